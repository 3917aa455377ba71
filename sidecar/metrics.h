/* SPDX-License-Identifier: Apache-2.0
 *
 * metrics.h: what the sidecar counts. Series exist with 0 from the start; updates are lock-free.
 */
#ifndef PT_SIDECAR_METRICS_H
#define PT_SIDECAR_METRICS_H

#include "base/metrics.h"
#include "sidecar/metrics_alias.h"
#include "sidecar/scheduler.h"
#include "sidecar/servable.h"

/* What belongs to the process: the registry of all series, with its own. */
struct pt_metrics *pt_serving_registry_create(struct pt_err *err);

/* Durations of one kind: how many and how long together. */
struct pt_stat {
    uint64_t count, ns;
};
struct pt_model_stats {
    struct pt_stat success, fail, queue, input, infer, output; /* per request; success and fail from receipt to answer */
    uint64_t inferences, executions;                           /* rows served; runs of the model */
    int64_t last_ms;                                           /* wall clock of the last request; 0: none yet */
};

enum { PT_SERVING_CODES = 24 };
/* Why a request was answered without running the model. */
enum pt_refusal {
    PT_REFUSED_QUEUE_FULL,
    PT_REFUSED_NOT_READY,
    PT_REFUSED_DEADLINE,
    PT_REFUSED_CLIENT_GONE,
    PT_REFUSED_INVALID,
    PT_REFUSED_OTHER,
    PT_REFUSALS
};

/* What belongs to one version of a model. */
struct pt_serving_metrics {
    struct pt_metrics *registry; /* borrowed */
    const char *model, *version;
    struct {
        int status;
        uint64_t count; /* of this version, without one that it replaced */
        struct pt_metric *series;
    } codes[PT_SERVING_CODES]; /* requests by status, 200 first: the hot path */
    size_t code_count;
    struct pt_metric *refused[PT_REFUSALS];
    struct pt_metric *duration, *queue_time, *inference_time, *batch_rows;
    struct pt_metric *in_flight, *queued, *load_seconds, *downloaded, *memory;
    struct pt_metric *states[PT_MODEL_STATE_COUNT];
    struct pt_metric_alias *aliases;     /* NULL: none are wanted */
    struct pt_metric *latency_us[2];     /* NULL, or TensorFlow Serving's: HTTP, gRPC */
    const struct pt_model_stats *stats;  /* for aliases */
    const struct pt_servable *servable;  /* read by collect: on the loop thread */
    struct pt_queue *queue;              /* the same */
    uint64_t requests, errors, rejected; /* totals for reports; errors: 5xx answers */
};
int pt_serving_metrics_init(struct pt_serving_metrics *m, struct pt_metrics *registry, const char *model, const char *version, struct pt_err *err);
void pt_serving_metrics_finish(struct pt_serving_metrics *m);  /* its series are gone, unless another version of the same name has them too */
void pt_serving_metrics_collect(struct pt_serving_metrics *m); /* fills the gauges */
/* One inference request was answered: its HTTP status and what its job measured. trace_id (16 bytes) becomes an exemplar; NULL: none. */
void pt_serving_metrics_request(struct pt_serving_metrics *m, int status, const struct pt_job *job, int64_t received_ns, const uint8_t *trace_id);
const double *pt_serving_latency_bounds(size_t *count);

#endif
