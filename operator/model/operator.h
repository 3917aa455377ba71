/* SPDX-License-Identifier: Apache-2.0
 *
 * operator.h: the controller of ModelDeployments, over any API interface and any clock: pintle-operator, `pintle up` and the simulator
 * run this same object.
 *
 * Seven reflectors fill stores; a changed object queues its ModelDeployment; a reconcile takes a snapshot, asks plan() (plan.h, pure)
 * and carries out its effects. One thread, the scheduler's.
 */
#ifndef PT_MODEL_OPERATOR_H
#define PT_MODEL_OPERATOR_H

#include "operator/ctrl/api.h"
#include "operator/model/report.h"
#include "base/metrics.h"

struct pt_operator;
struct pt_operator_options {
    struct pt_api *api;
    struct pt_sched *sched;
    struct pt_metrics *metrics;  /* may be NULL */
    uint64_t seed;               /* of names and jitter */
    const char *ns;              /* NULL: every namespace */
    const char *sidecar_image;   /* for spec.runtime.image "" */
    const char *report_url;      /* "https://host:8443/v1/report"; NULL: pods are told to send no reports, and then never get ready */
    const char *report_ca_pem;   /* what pods verify it with; may be NULL */
    int64_t drain_settle_ms;     /* how long proxies may need to follow an EndpointSlice; 0 = 1,000 */
    unsigned workers;            /* reconciles under way at once; 0 = 16 */
    bool standby;                /* watches, and does nothing until pt_operator_lead() */
    bool (*may_write)(void *arg); /* asked before each write; NULL: always */
    void *may_write_arg;
};
/* Strings are copied. */
int pt_operator_create(const struct pt_operator_options *o, struct pt_operator **out, struct pt_err *err);
int pt_operator_set_ca(struct pt_operator *op, const char *report_ca_pem, struct pt_err *err); /* of pods made from now on */
void pt_operator_start(struct pt_operator *op);
void pt_operator_lead(struct pt_operator *op); /* a standby begins to work */
/* At once: no write is begun any more, those under way are cancelled (they may have happened or not), and all that was remembered of them is forgotten.
 * The stores go on following the server, so that it can lead again. */
void pt_operator_stand_by(struct pt_operator *op);
/* Takes no new work; done(arg) when what is under way has ended, at the latest after 30 s. */
void pt_operator_stop(struct pt_operator *op, void (*done)(void *arg), void *arg);
/* At once: calls under way are cancelled (a write may have happened or not), no callback comes afterwards. */
void pt_operator_destroy(struct pt_operator *op);
bool pt_operator_synced(const struct pt_operator *op); /* all stores have their first list: readyz */
/* A report whose sender was authenticated as that pod. *next_ms <- when it should report again. PT_ENOTFOUND: no such pod of ours (404);
 * PT_EUNAVAILABLE: not synced yet; an old sequence is ignored (PT_OK). */
int pt_operator_report(struct pt_operator *op, const struct pt_report *report, int64_t *next_ms, struct pt_err *err);

/* What a pod carries, as it reported lately. */
struct pt_load {
    const char *pod, *deployment, *revision;
    double in_flight, rps;  /* requests in flight and queued; per second; means of the last seconds */
    double queue_delay_s;   /* how long a request waits; fades to 0 without requests */
    double latency_s;       /* 95th percentile, the same; NaN: nobody has asked for loads before */
};
typedef void (*pt_load_fn)(void *arg, const struct pt_load *l);
/* fn for each pod of the namespace that has told lately, in no order. */
void pt_operator_loads(struct pt_operator *op, const char *ns, pt_load_fn fn, void *arg);

struct pt_operator_stats {
    size_t deployments, pods, revisions, services, queue_depth;
    uint64_t reconciles, failures, writes;
};
void pt_operator_stats(const struct pt_operator *op, struct pt_operator_stats *out);

#endif
