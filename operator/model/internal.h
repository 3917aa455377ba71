/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h: the controller's insides: operator.c keeps stores and queue and takes snapshots, run.c carries out plans. Within model/ only.
 */
#ifndef PT_MODEL_INTERNAL_H
#define PT_MODEL_INTERNAL_H

#include "base/map.h"
#include "base/rand.h"
#include "operator/ctrl/events.h"
#include "operator/ctrl/fence.h"
#include "operator/ctrl/reflector.h"
#include "operator/ctrl/workqueue.h"
#include "operator/model/operator.h"
#include "operator/model/plan.h"

#define PT_RESERVED_MAX 64
#define PT_TAKEN_MS 30000 /* how long a name found taken is not tried again */

/* What is remembered of a ModelDeployment between reconciles. It goes with the object. */
struct pt_deployment {
    char uid[64];
    struct pt_progress progress;
    int64_t progress_ms;
    int64_t status_ms;                /* the last write of the status; -1: none */
    int64_t taken_ms[PT_NAMED_COUNT]; /* the name of our Service, of our budget was found taken then; -1: not */
    bool revision_taken, inherited; /* inherited: whoever led before us left it under way */
    bool bereaved; /* something of its was deleted, and not by us: perhaps because it is gone itself, which our copy does not know yet */
    char *trouble; /* why pods could not be made last; NULL: they could */
    struct pt_refusal *refusals;
    size_t refusal_count;
    struct pt_reserved *reserved;
    size_t reserved_count;
    struct pt_autoscale *autoscale; /* NULL without spec.autoscaling */
    struct pt_verdict *verdict;     /* NULL without spec.monitoring */
    struct pt_metric *m_healthy;    /* NULL: no verdict yet */
    struct pt_scaling scaling;      /* as the last plan saw it */
    int64_t observed_s, scaled_wall_ms;
    struct pt_carry_out *run; /* under way */
};

enum pt_kind_index { PT_STORE_MD, PT_STORE_POD, PT_STORE_REVISION, PT_STORE_SERVICE, PT_STORE_BUDGET, PT_STORE_SLICE, PT_STORE_WORK, PT_STORE_COUNT };

struct pt_operator {
    struct pt_operator_options o;
    struct pt_fence fence; /* what is written goes through it */
    char *ns, *image, *url, *ca;
    struct pt_rand rand;
    struct pt_store stores[PT_STORE_COUNT];
    struct pt_reflector *reflectors[PT_STORE_COUNT];
    struct pt_workqueue *queue;
    struct pt_events *events;
    struct pt_map deployments; /* key -> pt_deployment */
    unsigned synced;
    bool stopping, leading, loads_asked;
    int64_t led_ms; /* leads since */
    struct pt_timer stop_timer, load_timer;
    int64_t stop_by_ms, told_by_ms; /* the second: of events */
    void (*stopped)(void *arg);
    void *stopped_arg;
    uint64_t begun, reconciles, failures, writes; /* begun: of reconciles, the ID of the newest */
    struct pt_metric *m_success, *m_error, *m_requeue, *m_errors, *m_seconds, *m_active, *m_reports;
};

void pt_operator_enqueue(struct pt_operator *op, const char *ns, const char *name, enum pt_urgency urgency);
/* load.c: fills in s->scaling and s->verdict; s->md, pods and times are set. */
int pt_load_look(struct pt_operator *op, struct pt_deployment *d, struct pt_snapshot *s, struct pt_err *err);

void pt_load_retreated(struct pt_operator *op, const char *ns, const char *name); /* is counted */

/* Carries out the plan (taken over, also on failure), then tells the queue. key and md's uid are copied. */
void pt_carry_out_start(struct pt_operator *op, struct pt_deployment *d, const char *key, const struct pt_md *md, struct pt_plan *plan);
void pt_carry_out_cancel(struct pt_carry_out *run); /* calls under way are cancelled; NULL is fine */
/* Called by run.c when a run has ended. */
void pt_operator_ran(struct pt_operator *op, const char *key, bool failed, int64_t requeue_ms, int64_t started_ms);

#endif
