/* SPDX-License-Identifier: Apache-2.0
 *
 * view.h: what plan.c has found out about the pods, for itself and the other parts of a plan. Within model/ only.
 */
#ifndef PT_MODEL_VIEW_H
#define PT_MODEL_VIEW_H

#include "operator/model/plan.h"

/* Reasons of the readiness gate, besides those of a failed model. */
#define PT_GATE_AWAITING "AwaitingModel" /* open: the probe decides */
#define PT_GATE_READY "ModelReady"       /* open: the sidecar reported the model as ready */
#define PT_GATE_REMOVAL "PodRemoval"     /* closed: we take the pod out of service */

struct pt_pod_list {
    const struct pt_pod **pod;
    int count, available, ready;
};

struct pt_view {
    const struct pt_snapshot *s;
    struct pt_plan *plan;
    struct pt_err *err;
    int rc;          /* sticky failure */
    char update[64]; /* name of the newest revision; while paused, of the newest there is; "" when there is none */
    bool held;       /* the revision that the spec asks for is not made yet: paused, or its model is being compressed */
    bool compressing;                /* the result of spec.compression is missing */
    struct pt_compression compression; /* as it is to be in the status */
    struct pt_made_model made;       /* the result; uri NULL: none */
    const struct pt_revision *update_revision, *current_revision; /* as stored; NULL: not there */
    struct pt_pod_list fresh, old;            /* of the newest revision, of others; without those that are leaving */
    int present;                              /* pods that take up room: all but those known to be leaving */
    int leaving, old_leaving;                 /* terminating, being drained, or deleted without our having seen it */
    int collisions, replicas, min_available;
    const char *trouble, *trouble_message;
    bool blocked;                             /* trouble is a refusal */
    bool complete;                            /* everything is as the spec says, and available */
    bool exceeded;                            /* the progress deadline */
};

bool pt_view_available(const struct pt_view *v, const struct pt_pod *pod);
/* What the pod's model does, from its last report or, when there was none since we started, from what its gate and readiness say. */
struct pt_pod_model {
    bool known, loaded, failed, downloading;
    const char *reason, *message; /* with failed */
};
struct pt_pod_model pt_view_model(const struct pt_view *v, const struct pt_pod *pod);

void *pt_view_alloc(struct pt_view *v, size_t size);
const char *pt_view_text(struct pt_view *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct pt_effect *pt_view_effect(struct pt_view *v, enum pt_effect_kind kind);
/* Not again before others had their turn: the server refused it for good. */
bool pt_view_left_out(struct pt_view *v, enum pt_effect_kind kind, const char *name);
void pt_view_look_again(struct pt_view *v, int64_t after_ms);

struct pt_str pt_view_keep(struct pt_view *v, struct pt_buf *b); /* as part of the plan */
int pt_view_amount(struct pt_amount a, int of, bool up);
const struct pt_revision *pt_view_revision(const struct pt_view *v, const char *name); /* or NULL */
/* Creates that may have arrived or still arrive; those of one revision, or of all (NULL). */
int pt_view_landing(struct pt_view *v, const char *revision);
/* Out of service, and then deleted. */
void pt_view_take_out(struct pt_view *v, const struct pt_pod *pod);

/* compress.c: fills in compressing, compression and made. */
void pt_plan_compression(struct pt_view *v);

/* rollout.c: creates pods and takes them out. */
void pt_plan_rollout(struct pt_view *v);

/* owned.c. The first two return true when what they plan must be seen before anything else is decided. */
bool pt_plan_rollback(struct pt_view *v);
bool pt_plan_retreat(struct pt_view *v); /* the same */
bool pt_plan_adopt(struct pt_view *v);
bool pt_plan_scale(struct pt_view *v); /* the same */
bool pt_plan_revision(struct pt_view *v); /* false: the name is taken by other content; the next plan uses another */
void pt_plan_named(struct pt_view *v);    /* Service, budget */
void pt_plan_prune(struct pt_view *v);    /* old revisions */

/* retreat.c. Was the operator here before by itself: did it leave this revision, or come to it? why: of the annotation; NULL is fine. */
enum pt_trace { PT_TRACE_NONE, PT_TRACE_LEFT, PT_TRACE_CAME };
enum pt_trace pt_retreat_trace(const struct pt_md *md, const char *revision, char other[64], const char **why);

/* status.c: adds the status effect when the status is not what is stored. */
void pt_plan_status(struct pt_view *v);

#endif
