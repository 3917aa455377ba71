/* SPDX-License-Identifier: Apache-2.0
 *
 * metrics.c: one table row per family.
 */
#include "sidecar/metrics.h"

#include <stdio.h>

static const double latency_bounds[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
enum { LATENCY_BOUNDS = sizeof latency_bounds / sizeof latency_bounds[0] };

static const struct pt_metric_family
    requests_total = {"pintle_requests_total", "Inference requests answered, by HTTP status (499: the client went away).", PT_COUNTER, "model,version,code",
                      NULL, 0},
    request_seconds = {"pintle_request_duration_seconds", "From the complete request to its answer.", PT_HISTOGRAM, "model,version", latency_bounds,
                       LATENCY_BOUNDS},
    queue_seconds = {"pintle_queue_duration_seconds", "Time a request waited for a worker.", PT_HISTOGRAM, "model,version", latency_bounds, LATENCY_BOUNDS},
    inference_seconds = {"pintle_inference_duration_seconds", "Reading the tensors, running the model and writing the answer.", PT_HISTOGRAM, "model,version",
                         latency_bounds, LATENCY_BOUNDS},
    in_flight = {"pintle_requests_in_flight", "Requests being run.", PT_GAUGE, "model,version", NULL, 0},
    queued = {"pintle_requests_queued", "Requests waiting for a worker.", PT_GAUGE, "model,version", NULL, 0},
    model_state = {"pintle_model_state", "1 for the state the model is in, else 0.", PT_GAUGE, "model,version,state", NULL, 0},
    load_seconds = {"pintle_model_load_seconds", "From the model file's presence to readiness; 0 until then.", PT_GAUGE, "model,version", NULL, 0},
    downloaded_bytes = {"pintle_model_download_bytes", "Bytes of the model downloaded so far.", PT_GAUGE, "model,version", NULL, 0},
    build_info = {"pintle_build_info", "Always 1.", PT_GAUGE, "version,isa", NULL, 0};

void pt_serving_metrics_collect(struct pt_serving_metrics *m)
{
    struct pt_queue_stats stats = {0};
    if (m->queue)
        pt_queue_stats(m->queue, &stats);
    pt_metric_set(m->in_flight, stats.running);
    pt_metric_set(m->queued, stats.queued);
    if (!m->servable)
        return;
    for (int i = 0; i < PT_MODEL_STATE_COUNT; i++)
        pt_metric_set(m->states[i], m->servable->state == (enum pt_model_state)i);
    pt_metric_set(m->load_seconds, m->servable->load_ms < 0 ? 0 : (double)m->servable->load_ms / 1000);
    pt_metric_set(m->downloaded, (double)m->servable->bytes_done);
}

static struct pt_metric *requests_with(struct pt_serving_metrics *m, int status)
{
    char code[16];
    snprintf(code, sizeof code, "%d", status);
    return pt_metrics_series(m->registry, &requests_total, m->model, m->version, code, NULL);
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
    return registry;
}

int pt_serving_metrics_init(struct pt_serving_metrics *m, struct pt_metrics *registry, const char *model, const char *version, struct pt_err *err)
{
    static const int codes[] = {400, 413, 429, 499, 500, 503, 504};
    *m = (struct pt_serving_metrics){.registry = registry, .model = model, .version = version};
    if (!(m->ok = requests_with(m, 200)))
        return pt_fail(err, PT_ENOMEM, "metrics of model \"%s\" version %s: out of memory, or too many versions", model, version);
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        (void)requests_with(m, codes[i]);
    m->duration = pt_metrics_series(m->registry, &request_seconds, model, version, NULL);
    m->queue_time = pt_metrics_series(m->registry, &queue_seconds, model, version, NULL);
    m->inference_time = pt_metrics_series(m->registry, &inference_seconds, model, version, NULL);
    m->in_flight = pt_metrics_series(m->registry, &in_flight, model, version, NULL);
    m->queued = pt_metrics_series(m->registry, &queued, model, version, NULL);
    for (int i = 0; i < PT_MODEL_STATE_COUNT; i++)
        m->states[i] = pt_metrics_series(m->registry, &model_state, model, version, pt_model_state_text((enum pt_model_state)i), NULL);
    m->load_seconds = pt_metrics_series(m->registry, &load_seconds, model, version, NULL);
    m->downloaded = pt_metrics_series(m->registry, &downloaded_bytes, model, version, NULL);
    return PT_OK;
}

void pt_serving_metrics_finish(struct pt_serving_metrics *m)
{
    pt_metric_set(m->in_flight, 0);
    pt_metric_set(m->queued, 0);
    pt_metric_set(m->load_seconds, 0);
    pt_metric_set(m->downloaded, 0);
    for (int i = 0; i < PT_MODEL_STATE_COUNT; i++)
        pt_metric_set(m->states[i], 0);
    *m = (struct pt_serving_metrics){0};
}

static double seconds(int64_t ns)
{
    return (double)ns / 1e9;
}

void pt_serving_metrics_request(struct pt_serving_metrics *m, int status, const struct pt_job *job, int64_t received_ns)
{
    m->requests++;
    m->errors += status >= 500;
    m->rejected += status == 429;
    pt_metric_add(status == 200 ? m->ok : requests_with(m, status), 1);
    if (!job || !job->ran) /* refused or never run: it would only blur the times of those that were */
        return;
    pt_metric_observe(m->duration, seconds(pt_clock_mono_ns() - received_ns));
    pt_metric_observe(m->queue_time, seconds(job->started_ns - job->queued_ns));
    pt_metric_observe(m->inference_time, seconds(job->finished_ns - job->started_ns));
}

const double *pt_serving_latency_bounds(size_t *count)
{
    *count = LATENCY_BOUNDS;
    return latency_bounds;
}
