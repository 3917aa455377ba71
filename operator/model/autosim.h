/* SPDX-License-Identifier: Apache-2.0
 *
 * autosim.h: a served model under a trace of traffic, in simulated time, with a policy that decides how many pods there are: what would it have
 * cost, and how long would clients have waited?
 *
 * The model: requests arrive as a Poisson process of the trace's rate; a pod serves `concurrency` of them at a time, each for service_s; the others
 * queue. A pod takes start_s until it serves; one that is taken away ends at once, its requests go back to the queue. Policies:
 *
 *     pintle  autoscale.h, deciding every second
 *     kpa     Knative's: 60 s and 6 s means, target 70 % of the concurrency, every 2 s (serving.knative.dev defaults)
 *     hpa     Kubernetes' on the same metric and target as kpa: every 15 s, 10 % tolerance, 300 s of stabilisation downwards
 */
#ifndef PT_MODEL_AUTOSIM_H
#define PT_MODEL_AUTOSIM_H

#include "base/err.h"
#include "operator/model/autoscale.h"

#include <stddef.h>

enum pt_autosim_policy { PT_AUTOSIM_PINTLE, PT_AUTOSIM_KPA, PT_AUTOSIM_HPA, PT_AUTOSIM_POLICIES };
const char *pt_autosim_policy_name(enum pt_autosim_policy p);

struct pt_autosim_options {
    double service_s; /* of one request */
    int concurrency;  /* of one pod */
    double start_s;   /* of a pod */
    double slo_s;     /* a request that takes longer violates it */
    uint64_t seed;
    bool latency; /* with config.goal_s: pintle goes by the latency, else by the time in the queue */
    struct pt_autoscale_config config; /* min and max hold for all; the rest for pintle */
};
struct pt_autosim_point { /* one second */
    double rps, latency_s, queued;
    int pods, ready;
};
struct pt_autosim_result {
    double requests, late; /* how many came, and how many took longer than the SLO */
    double pod_seconds, worst_s;
    int peak, reversals; /* most pods; changes of direction */
};
/* rps: one rate per second. points: room for `seconds`, or NULL. PT_ENOMEM. */
int pt_autosim_run(const double *rps, size_t seconds, enum pt_autosim_policy policy, const struct pt_autosim_options *o,
                   struct pt_autosim_point *points, struct pt_autosim_result *out, struct pt_err *err);

/* A set of traces to judge a policy by: steps, ramps, days, spikes, noise, on and off. Name of trace i, or NULL past the last; rps gets its seconds.
 */
enum { PT_AUTOSIM_TRACES = 20, PT_AUTOSIM_TRACE_S = 1800 };
const char *pt_autosim_trace(size_t i, double rps[PT_AUTOSIM_TRACE_S]);

#endif
