/* SPDX-License-Identifier: Apache-2.0
 *
 * metrics.c: one table row per family.
 */
#include "sidecar/metrics.h"

#include "base/cgroup.h"

#include <stddef.h>
#include <stdio.h>

static const double latency_bounds[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
enum { LATENCY_BOUNDS = sizeof latency_bounds / sizeof latency_bounds[0] };

static const double row_bounds[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096};
enum { ROW_BOUNDS = sizeof row_bounds / sizeof row_bounds[0] };

static const struct pt_metric_family
    requests_total = {"pintle_requests_total",
                      "Inference requests answered, by HTTP status (499: the client went away).",
                      PT_COUNTER,
                      "model,version,code",
                      NULL,
                      0},
    request_seconds = {"pintle_request_duration_seconds",
                       "From the complete request to its answer.",
                       PT_HISTOGRAM,
                       "model,version",
                       latency_bounds,
                       LATENCY_BOUNDS},
    queue_seconds =
        {"pintle_queue_duration_seconds", "Time a request waited for a worker.", PT_HISTOGRAM, "model,version", latency_bounds, LATENCY_BOUNDS},
    inference_seconds = {"pintle_inference_duration_seconds",
                         "Reading the tensors, running the model and writing the answer.",
                         PT_HISTOGRAM,
                         "model,version",
                         latency_bounds,
                         LATENCY_BOUNDS},
    refused_total = {"pintle_requests_refused_total",
                     "Inference requests answered without running the model, by reason.",
                     PT_COUNTER,
                     "model,version,reason",
                     NULL,
                     0},
    batch_rows = {"pintle_batch_rows", "Rows of one run of the model, with those that fill it up.", PT_HISTOGRAM, "model,version", row_bounds,
                  ROW_BOUNDS},
    memory_bytes =
        {"pintle_model_memory_bytes", "Bytes of the model's file in memory; 0 while it is not loaded.", PT_GAUGE, "model,version", NULL, 0},
    in_flight = {"pintle_requests_in_flight", "Requests being run.", PT_GAUGE, "model,version", NULL, 0},
    queued = {"pintle_requests_queued", "Requests waiting for a worker.", PT_GAUGE, "model,version", NULL, 0},
    model_state = {"pintle_model_state", "1 for the state the model is in, else 0.", PT_GAUGE, "model,version,state", NULL, 0},
    load_seconds = {"pintle_model_load_seconds", "From the model file's presence to readiness; 0 until then.", PT_GAUGE, "model,version", NULL, 0},
    downloaded_bytes = {"pintle_model_download_bytes", "Bytes of the model downloaded so far.", PT_GAUGE, "model,version", NULL, 0},
    build_info = {"pintle_build_info", "Always 1.", PT_GAUGE, "version,isa", NULL, 0};

/* In the order of enum pt_refusal. */
static const char *const refusals[PT_REFUSALS] = {"queue_full", "not_ready", "deadline", "client_gone", "invalid", "other"};

static enum pt_refusal refusal_of(int status)
{
    return status == 429   ? PT_REFUSED_QUEUE_FULL
           : status == 503 ? PT_REFUSED_NOT_READY
           : status == 504 ? PT_REFUSED_DEADLINE
           : status == 499 ? PT_REFUSED_CLIENT_GONE
           : status < 500  ? PT_REFUSED_INVALID
                           : PT_REFUSED_OTHER;
}

/* --- the process ---------------------------------------------------------------------------------------------------------------- */

/* Values of struct pt_cgroup_usage, one row each. */
static double periods_of(const struct pt_cgroup_usage *u)
{
    return (double)u->periods;
}

static double throttled_of(const struct pt_cgroup_usage *u)
{
    return (double)u->throttled_periods;
}

static double throttled_seconds_of(const struct pt_cgroup_usage *u)
{
    return u->throttled_seconds;
}

static double memory_of(const struct pt_cgroup_usage *u)
{
    return (double)u->memory_bytes;
}

static double memory_limit_of(const struct pt_cgroup_usage *u)
{
    return (double)u->memory_limit_bytes;
}

static const struct {
    struct pt_metric_family family;
    double (*value)(const struct pt_cgroup_usage *u);
} cgroup_rows[] = {
    {{"pintle_cgroup_cpu_periods_total", "Periods of the cgroup's CPU quota.", PT_COUNTER, "", NULL, 0}, periods_of},
    {{"pintle_cgroup_cpu_throttled_periods_total", "Periods in which the cgroup had used up its CPU quota.", PT_COUNTER, "", NULL, 0}, throttled_of},
    {{"pintle_cgroup_cpu_throttled_seconds_total", "Time that the cgroup's threads waited for CPU quota.", PT_COUNTER, "", NULL, 0},
     throttled_seconds_of},
    {{"pintle_cgroup_memory_bytes", "Memory that the cgroup uses, page cache included.", PT_GAUGE, "", NULL, 0}, memory_of},
    {{"pintle_cgroup_memory_limit_bytes", "Memory that the cgroup may use; 0: no limit.", PT_GAUGE, "", NULL, 0}, memory_limit_of},
};

static void collect_cgroup(void *arg)
{
    struct pt_metrics *registry = arg;
    struct pt_cgroup_usage usage;
    pt_cgroup_usage("", &usage);
    for (size_t i = 0; i < sizeof cgroup_rows / sizeof cgroup_rows[0]; i++)
        pt_metric_set(pt_metrics_series(registry, &cgroup_rows[i].family, NULL), cgroup_rows[i].value(&usage));
}

struct pt_metrics *pt_serving_registry_create(struct pt_err *err)
{
    struct pt_metrics *registry = pt_metrics_create();
    if (!registry) {
        pt_fail(err, PT_ENOMEM, "metrics: out of memory");
        return NULL;
    }
    pt_metric_set(pt_metrics_series(registry, &build_info, PT_VERSION, pt_runtime_isa(), NULL), 1);
    pt_metrics_add_process(registry);
    pt_metrics_on_collect(registry, collect_cgroup, registry);
    return registry;
}

/* --- a version of a model --------------------------------------------------------------------------------------------------------- */

void pt_serving_metrics_collect(struct pt_serving_metrics *m)
{
    struct pt_queue_stats stats = {0};
    if (m->queue)
        pt_queue_stats(m->queue, &stats);
    pt_metric_set(m->in_flight, stats.running);
    pt_metric_set(m->queued, stats.queued);
    if (m->stats)
        pt_metrics_alias_collect(m);
    if (!m->servable)
        return;
    for (int i = 0; i < PT_MODEL_STATE_COUNT; i++)
        pt_metric_set(m->states[i], m->servable->state == (enum pt_model_state)i);
    pt_metric_set(m->load_seconds, m->servable->load_ms < 0 ? 0 : (double)m->servable->load_ms / 1000);
    pt_metric_set(m->downloaded, (double)m->servable->bytes_done);
    pt_metric_set(m->memory, m->servable->loaded.data ? (double)m->servable->loaded.len : 0);
}

/* Counts n answers with this status; the series is made when the first one comes. NULL: out of memory. */
static struct pt_metric *count_answers(struct pt_serving_metrics *m, int status, unsigned n)
{
    char code[16];
    size_t i = 0;
    while (i < m->code_count && m->codes[i].status != status)
        i++;
    if (i == PT_SERVING_CODES)
        return NULL;
    if (i == m->code_count) {
        snprintf(code, sizeof code, "%d", status);
        struct pt_metric *s = pt_metrics_series(m->registry, &requests_total, m->model, m->version, code, NULL);
        if (!s)
            return NULL;
        m->codes[m->code_count].status = status;
        m->codes[m->code_count++].series = s;
    }
    m->codes[i].count += n;
    pt_metric_add(m->codes[i].series, n);
    return m->codes[i].series;
}

/* The series that every version has one of, and where its pointer is. */
static const struct {
    const struct pt_metric_family *family;
    size_t offset;
} version_rows[] = {
#define ROW(family, member)                                                                                                                          \
    {                                                                                                                                                \
        &family, offsetof(struct pt_serving_metrics, member)                                                                                         \
    }
    ROW(request_seconds, duration),  ROW(queue_seconds, queue_time),    ROW(inference_seconds, inference_time),
    ROW(batch_rows, batch_rows),     ROW(in_flight, in_flight),         ROW(queued, queued),
    ROW(load_seconds, load_seconds), ROW(downloaded_bytes, downloaded), ROW(memory_bytes, memory),
#undef ROW
};
enum { VERSION_ROWS = sizeof version_rows / sizeof version_rows[0] };

static struct pt_metric **place_of(struct pt_serving_metrics *m, size_t row)
{
    return (struct pt_metric **)(void *)((char *)m + version_rows[row].offset);
}

int pt_serving_metrics_init(struct pt_serving_metrics *m, struct pt_metrics *registry, const char *model, const char *version, struct pt_err *err)
{
    static const int codes[] = {200, 400, 413, 429, 499, 500, 503, 504};
    *m = (struct pt_serving_metrics){.registry = registry, .model = model, .version = version};
    bool complete = true;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        complete &= count_answers(m, codes[i], 0) != NULL;
    for (int i = 0; i < PT_REFUSALS; i++)
        complete &= (m->refused[i] = pt_metrics_series(registry, &refused_total, model, version, refusals[i], NULL)) != NULL;
    for (size_t i = 0; i < VERSION_ROWS; i++)
        complete &= (*place_of(m, i) = pt_metrics_series(registry, version_rows[i].family, model, version, NULL)) != NULL;
    for (int i = 0; i < PT_MODEL_STATE_COUNT; i++)
        complete &=
            (m->states[i] = pt_metrics_series(registry, &model_state, model, version, pt_model_state_text((enum pt_model_state)i), NULL)) != NULL;
    if (complete)
        return PT_OK;
    pt_fail(err, PT_ENOMEM, "metrics of model \"%s\" version %s: out of memory, or too many versions", model, version);
    pt_serving_metrics_finish(m);
    return PT_ENOMEM;
}

void pt_serving_metrics_finish(struct pt_serving_metrics *m)
{
    pt_metrics_alias_finish(m);
    for (size_t i = 0; i < m->code_count; i++)
        pt_metrics_remove(m->registry, m->codes[i].series);
    for (int i = 0; i < PT_REFUSALS; i++)
        pt_metrics_remove(m->registry, m->refused[i]);
    for (size_t i = 0; i < VERSION_ROWS; i++)
        pt_metrics_remove(m->registry, *place_of(m, i));
    for (int i = 0; i < PT_MODEL_STATE_COUNT; i++)
        pt_metrics_remove(m->registry, m->states[i]);
    *m = (struct pt_serving_metrics){0};
}

static double seconds(int64_t ns)
{
    return (double)ns / 1e9;
}

void pt_serving_metrics_request(struct pt_serving_metrics *m, int status, const struct pt_job *job, int64_t received_ns, const uint8_t *trace_id)
{
    m->requests++;
    m->errors += status >= 500;
    m->rejected += status == 429;
    (void)count_answers(m, status, 1);
    if (!job || !job->ran) { /* refused or never run: it would only blur the times of those that were */
        pt_metric_add(m->refused[refusal_of(status)], 1);
        return;
    }
    pt_metric_observe_traced(m->duration, seconds(pt_clock_mono_ns() - received_ns), trace_id);
    pt_metric_observe_traced(m->queue_time, seconds(job->started_ns - job->queued_ns), trace_id);
    pt_metric_observe_traced(m->inference_time, seconds(job->finished_ns - job->started_ns), trace_id);
}

const double *pt_serving_latency_bounds(size_t *count)
{
    *count = LATENCY_BOUNDS;
    return latency_bounds;
}
