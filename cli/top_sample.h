/* SPDX-License-Identifier: Apache-2.0
 *
 * top_sample.h: what the models of a cluster, or of `pintle up`, are doing: through the Kubernetes API alone. ModelDeployments and their pods are
 * listed, and each pod's metrics read by way of the API server (pods/NAME:PORT/proxy/metrics). Rates and quantiles are of the time between two
 * samples.
 */
#ifndef PT_CLI_TOP_SAMPLE_H
#define PT_CLI_TOP_SAMPLE_H

#include "operator/ctrl/api.h"

struct pt_top_model {
    char ns[64], name[64], state[24], revision[64];
    int desired, ready, updated;
    int sampled;             /* pods whose rates are known */
    double requests, errors; /* a second */
    double p50_ms, p99_ms;   /* negative: no request */
    double in_flight, queued;
    double cpu;    /* cores */
    double memory; /* bytes */
};

struct pt_top;
struct pt_top_options {
    struct pt_api *api;
    struct pt_sched *sched;
    const char *ns; /* NULL: all */
    /* After each sample. err: the lists could not be had. models are sorted by namespace and name. */
    void (*done)(void *arg, const struct pt_top_model *models, size_t count, const struct pt_err *err);
    void *arg;
};
int pt_top_create(const struct pt_top_options *o, struct pt_top **out, struct pt_err *err);
void pt_top_destroy(struct pt_top *t);
void pt_top_sample(struct pt_top *t); /* not while one is under way */

/* --- for tests ---------------------------------------------------------------------------------------------------------------- */
enum { PT_TOP_BUCKETS = 40 };
struct pt_top_counters {
    double requests, errors, cpu_seconds, memory, in_flight, queued;
    double limit[PT_TOP_BUCKETS], count[PT_TOP_BUCKETS]; /* of request durations, cumulative */
    size_t buckets;
};
/* Reads a sidecar's metrics in the text format of Prometheus. */
void pt_top_read_metrics(struct pt_str text, struct pt_top_counters *out);
/* The q-th quantile of cumulative counts, in the unit of limits; negative: there is none. */
double pt_top_quantile(const double *limit, const double *count, size_t buckets, double q);

#endif
