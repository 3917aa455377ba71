/* SPDX-License-Identifier: Apache-2.0
 *
 * metrics_alias.c: one table row per series. They are computed when they are read, from the statistics that each version keeps; only the latency
 * histogram of TensorFlow Serving, whose buckets are its own, is kept as requests end.
 *
 * What was counted since the last reading is added, rather than the total set: versions share series where the labels do not tell them apart, and a
 * counter must not fall when one of them goes.
 */
#include "sidecar/metrics_alias.h"

#include "base/mem.h"
#include "sidecar/metrics.h"

#include <stddef.h>

static const char *const set_names[] = {"triton", "tensorflow"};
enum { SETS = sizeof set_names / sizeof set_names[0] };

int pt_metrics_alias_parse(const char *list, unsigned *sets, struct pt_err *err)
{
    struct pt_str rest = pt_str(list ? list : ""), part;
    *sets = 0;
    while (rest.len && pt_str_split(&rest, ',', &part)) {
        size_t i = 0;
        part = pt_str_trim(part);
        while (i < SETS && !pt_str_eq(part, pt_str(set_names[i])))
            i++;
        if (i == SETS)
            return pt_fail(err, PT_EINVAL, "metrics.aliases: want triton, tensorflow or both, got \"" PT_STR_FMT "\"",
                           (int)(part.len < 80 ? part.len : 80), part.p);
        *sets |= 1U << i;
    }
    return PT_OK;
}

/* --- values ----------------------------------------------------------------------------------------------------------------------- */

/* Requests answered with this status; 0: with any that no row names. */
static double answered(const struct pt_serving_metrics *m, int status);

static double us_of(const struct pt_serving_metrics *m, int offset)
{
    return (double)((const struct pt_stat *)(const void *)((const char *)m->stats + offset))->ns / 1e3;
}

static double inferences(const struct pt_serving_metrics *m, int unused)
{
    (void)unused;
    return (double)m->stats->inferences;
}

static double executions(const struct pt_serving_metrics *m, int unused)
{
    (void)unused;
    return (double)m->stats->executions;
}

static double pending(const struct pt_serving_metrics *m, int unused)
{
    struct pt_queue_stats stats = {0};
    (void)unused;
    if (m->queue)
        pt_queue_stats(m->queue, &stats);
    return stats.queued;
}

#define TRITON(name, help)                                                                                                                           \
    {                                                                                                                                                \
        name, help, PT_COUNTER, "model,version", NULL, 0                                                                                             \
    }
static const struct pt_metric_family
    success = TRITON("nv_inference_request_success", "Successful inference requests."),
    failure = {"nv_inference_request_failure", "Failed inference requests, by reason.", PT_COUNTER, "model,version,reason", NULL, 0},
    count = TRITON("nv_inference_count", "Rows inferred."), exec_count = TRITON("nv_inference_exec_count", "Runs of the model."),
    request_us = TRITON("nv_inference_request_duration_us", "Time of successful requests in microseconds."),
    queue_us = TRITON("nv_inference_queue_duration_us", "Time that requests waited in microseconds."),
    input_us = TRITON("nv_inference_compute_input_duration_us", "Time of reading inputs in microseconds."),
    infer_us = TRITON("nv_inference_compute_infer_duration_us", "Time of running the model in microseconds."),
    output_us = TRITON("nv_inference_compute_output_duration_us", "Time of writing outputs in microseconds."),
    pending_count = {"nv_inference_pending_request_count", "Requests that wait for a worker.", PT_GAUGE, "model,version", NULL, 0},
    request_count = {":tensorflow:serving:request_count", "Requests, by status.", PT_COUNTER, "model_name,status", NULL, 0};

#define STAT(member) us_of, offsetof(struct pt_model_stats, member)
static const struct {
    unsigned set;
    const struct pt_metric_family *family;
    const char *label; /* the last one's value; NULL: it has no more than model and version */
    double (*value)(const struct pt_serving_metrics *m, int arg);
    int arg;
} rows[] = {
    {PT_ALIAS_TRITON, &success, NULL, answered, 200},
    {PT_ALIAS_TRITON, &failure, "REJECTED", answered, 429},
    {PT_ALIAS_TRITON, &failure, "CANCELED", answered, 499},
    {PT_ALIAS_TRITON, &failure, "BACKEND", answered, 500},
    {PT_ALIAS_TRITON, &failure, "OTHER", answered, 0},
    {PT_ALIAS_TRITON, &count, NULL, inferences, 0},
    {PT_ALIAS_TRITON, &exec_count, NULL, executions, 0},
    {PT_ALIAS_TRITON, &request_us, NULL, STAT(success)},
    {PT_ALIAS_TRITON, &queue_us, NULL, STAT(queue)},
    {PT_ALIAS_TRITON, &input_us, NULL, STAT(input)},
    {PT_ALIAS_TRITON, &infer_us, NULL, STAT(infer)},
    {PT_ALIAS_TRITON, &output_us, NULL, STAT(output)},
    {PT_ALIAS_TRITON, &pending_count, NULL, pending, 0},
    {PT_ALIAS_TENSORFLOW, &request_count, "OK", answered, 200},
    {PT_ALIAS_TENSORFLOW, &request_count, "INVALID_ARGUMENT", answered, 400},
    {PT_ALIAS_TENSORFLOW, &request_count, "RESOURCE_EXHAUSTED", answered, 429},
    {PT_ALIAS_TENSORFLOW, &request_count, "CANCELLED", answered, 499},
    {PT_ALIAS_TENSORFLOW, &request_count, "INTERNAL", answered, 500},
    {PT_ALIAS_TENSORFLOW, &request_count, "UNAVAILABLE", answered, 503},
    {PT_ALIAS_TENSORFLOW, &request_count, "DEADLINE_EXCEEDED", answered, 504},
    {PT_ALIAS_TENSORFLOW, &request_count, "UNKNOWN", answered, 0},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static bool is_named(unsigned set, int status)
{
    for (size_t i = 0; i < ROWS; i++)
        if (rows[i].set == set && rows[i].value == answered && rows[i].arg == status)
            return true;
    return false;
}

static double others(const struct pt_serving_metrics *m, unsigned set)
{
    double n = 0;
    for (size_t i = 0; i < m->code_count; i++)
        if (!is_named(set, m->codes[i].status))
            n += (double)m->codes[i].count;
    return n;
}

static double answered(const struct pt_serving_metrics *m, int status)
{
    for (size_t i = 0; i < m->code_count; i++)
        if (m->codes[i].status == status)
            return (double)m->codes[i].count;
    return 0;
}

static double value_of(const struct pt_serving_metrics *m, size_t row)
{
    return rows[row].value == answered && rows[row].arg == 0 ? others(m, rows[row].set) : rows[row].value(m, rows[row].arg);
}

/* --- the series -------------------------------------------------------------------------------------------------------------------- */

struct pt_metric_alias {
    struct pt_metric *series; /* NULL: of a set that was not asked for */
    double seen;
};

static struct pt_metric *series_of(const struct pt_serving_metrics *m, size_t row)
{
    const char *label = rows[row].label;
    return rows[row].set == PT_ALIAS_TENSORFLOW ? pt_metrics_series(m->registry, rows[row].family, m->model, label, NULL)
                                                : pt_metrics_series(m->registry, rows[row].family, m->model, m->version, label, NULL);
}

static bool add_latency(struct pt_serving_metrics *m)
{
    static double bounds[33]; /* 10 us * 1.8^i: the same each time */
    static const struct pt_metric_family latency = {
        ":tensorflow:serving:request_latency", "Time of requests in microseconds.", PT_HISTOGRAM, "model_name,API,entrypoint", bounds, 33};
    bounds[0] = 10;
    for (int i = 1; i < 33; i++)
        bounds[i] = bounds[i - 1] * 1.8;
    m->latency_us[0] = pt_metrics_series(m->registry, &latency, m->model, "Predict", "REST", NULL);
    m->latency_us[1] = pt_metrics_series(m->registry, &latency, m->model, "Predict", "GRPC", NULL);
    return m->latency_us[0] && m->latency_us[1];
}

int pt_metrics_alias_init(struct pt_serving_metrics *m, unsigned sets, struct pt_err *err)
{
    if (!sets)
        return PT_OK;
    bool complete = (m->aliases = pt_calloc(ROWS, sizeof *m->aliases)) != NULL;
    for (size_t i = 0; complete && i < ROWS; i++)
        if (rows[i].set & sets)
            complete = (m->aliases[i].series = series_of(m, i)) != NULL;
    if (complete && (sets & PT_ALIAS_TENSORFLOW))
        complete = add_latency(m);
    return complete ? PT_OK : pt_fail(err, PT_ENOMEM, "metrics.aliases of model \"%s\": out of memory, or too many versions", m->model);
}

void pt_metrics_alias_collect(struct pt_serving_metrics *m)
{
    for (size_t i = 0; m->aliases && i < ROWS; i++) {
        double now = value_of(m, i);
        pt_metric_add(m->aliases[i].series, now - m->aliases[i].seen);
        m->aliases[i].seen = now;
    }
}

void pt_metrics_alias_finish(struct pt_serving_metrics *m)
{
    m->queue = NULL; /* nothing waits any more */
    if (m->aliases && m->stats)
        pt_metrics_alias_collect(m);
    for (size_t i = 0; m->aliases && i < ROWS; i++)
        pt_metrics_remove(m->registry, m->aliases[i].series);
    for (int i = 0; i < 2; i++)
        pt_metrics_remove(m->registry, m->latency_us[i]);
    pt_free(m->aliases);
    m->aliases = NULL;
}
