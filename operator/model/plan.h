/* SPDX-License-Identifier: Apache-2.0
 *
 * plan.h: what to do about one ModelDeployment: a pure function of a snapshot. No clock, no randomness, no input or output of its own.
 */
#ifndef PT_MODEL_PLAN_H
#define PT_MODEL_PLAN_H

#include "base/mem.h"
#include "operator/model/build.h"

/* How far a rollout has come; any change for the better is progress. */
struct pt_progress {
    int64_t generation; /* 0: nothing seen yet */
    bool complete;
    int updated, ready, available, old;
};

/* A create whose answer was lost: the pod may exist, or come yet. Its name is used again, so that it never exists twice, and it takes up room
 * until it is known to be missing: PT_LANDING_MS later the create can no longer arrive, and then the server is asked. The watch alone does not
 * tell: it may lag by any time. */
#define PT_LANDING_MS 30000
struct pt_reserved {
    char name[80], revision[64];
    int64_t since_ms;
    bool missing;
};

/* What the autoscaler makes of the load. */
struct pt_scaling {
    bool on;      /* spec.autoscaling is set, and replicas is not 0 */
    bool known;   /* there are reports to decide by */
    bool panic;
    int desired;
    int64_t scaled_wall_ms; /* when replicas was changed last; 0: not by us */
};

/* A write that the server refused, or answered badly time and again: what is said of it in the status until it succeeds or is no longer wanted. */
#define PT_REFUSALS_MAX 16
#define PT_REFUSED_MS 30000 /* how long a step that others wait for is left out when it was refused for good */
struct pt_refusal {
    int kind; /* enum pt_effect_kind */
    char name[80], message[320];
    int count;
    bool final; /* 4xx: the same again is refused again */
    int64_t since_ms;
};

/* What goes by the ModelDeployment's own name. */
enum pt_named { PT_NAMED_SERVICE, PT_NAMED_BUDGET, PT_NAMED_COUNT };

struct pt_snapshot {
    const struct pt_md *md;
    const struct pt_pod *pods;           /* owned by md; linked by o.next */
    const struct pt_revision *revisions; /* owned by md; linked by o.next */
    const struct pt_pod *orphan_pods;    /* without a controller, with our labels; linked as well */
    const struct pt_revision *orphan_revisions;
    struct {
        const struct pt_shaped *is; /* of md's name, ours or not; NULL: none that we can see */
        bool taken;                 /* creating it failed: someone else's has the name */
    } named[PT_NAMED_COUNT];
    const struct pt_work_pod *work_pods; /* those that compress; linked as well */
    int64_t alone_ms;              /* what others asked for before us may be carried out until this, monotonic */
    int64_t proxies_ms;            /* they may not have followed the slices again before this, monotonic: the API server was away */
    const struct pt_slice *slices; /* of our Service; linked as well */
    bool revision_taken; /* the same of the revision */
    const struct pt_reserved *reserved;
    size_t reserved_count;
    const struct pt_refusal *refusals;
    size_t refusal_count;
    const char *trouble, *trouble_message; /* the last write that failed: reason and message; NULL: none */
    struct pt_settings settings;
    struct pt_scaling scaling;
    const struct pt_verdict *verdict; /* NULL: not monitored */
    struct pt_progress progress;           /* as of the last plan */
    int64_t progress_ms;                   /* when it last got better, monotonic */
    int64_t status_ms;                     /* when the status was written last, monotonic; -1: not yet */
    uint64_t seed;
    int64_t now_ms, wall_ms;
};

enum pt_effect_kind {
    PT_EFFECT_ROLLBACK, /* merge patch of the ModelDeployment */
    PT_EFFECT_RETREAT,  /* the same, of the operator's own accord */
    PT_EFFECT_SCALE,    /* the same, of spec.replicas */
    PT_EFFECT_ADOPT_REVISION,
    PT_EFFECT_ADOPT_POD,
    PT_EFFECT_ADOPT_SERVICE,
    PT_EFFECT_ADOPT_BUDGET,
    PT_EFFECT_RELEASE_POD,
    PT_EFFECT_CREATE_REVISION,
    PT_EFFECT_NUMBER_REVISION, /* merge patch of its number */
    PT_EFFECT_DELETE_REVISION,
    PT_EFFECT_CREATE_SERVICE,
    PT_EFFECT_PATCH_SERVICE,
    PT_EFFECT_CREATE_BUDGET,
    PT_EFFECT_PATCH_BUDGET,
    PT_EFFECT_DELETE_BUDGET,
    PT_EFFECT_CREATE_POD,
    PT_EFFECT_FIND_POD, /* has the create whose answer was lost arrived? */
    PT_EFFECT_PATCH_GATE,
    PT_EFFECT_DELETE_POD,
    PT_EFFECT_CREATE_WORK,
    PT_EFFECT_DELETE_WORK,
    PT_EFFECT_PATCH_STATUS,
};
struct pt_effect {
    enum pt_effect_kind kind;
    const char *name;        /* of the object */
    const char *uid;         /* precondition; NULL for creates */
    uint64_t rv;             /* precondition; 0 = none */
    struct pt_str body;
    const char *revision;    /* CREATE_POD */
    bool removal, repeated;  /* PATCH_GATE: it takes the pod out of service for good; was asked for before */
    bool warning;            /* of the event */
    const char *reason, *message; /* an event when it succeeded; NULL: none */
};
struct pt_plan {
    struct pt_arena arena; /* everything below points into it */
    struct pt_effect *effects;
    size_t count, room;
    int64_t requeue_ms; /* look again after this; -1: only when something changes */
    struct pt_progress progress;
    bool progressed;
};

/* It serves, or may come to: neither out of service for good nor ended. Its deletion holds only for the version that was looked at. */
bool pt_pod_may_serve(const struct pt_pod *pod);

/* Effects come in the order in which they must be started: revision, service, pods, status, cleaning up. pt_plan_finish() in any case. */
int pt_plan_make(const struct pt_snapshot *s, struct pt_plan *out, struct pt_err *err);
void pt_plan_finish(struct pt_plan *p);

#endif
