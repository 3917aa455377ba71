/* SPDX-License-Identifier: Apache-2.0
 *
 * view.h: what plan.c has found out about the pods, for itself and for status.c. Within model/ only.
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
    int rc; /* sticky failure */
    char update[64];                          /* name of the newest revision */
    const struct pt_revision *update_revision, *current_revision; /* as stored; NULL: not there */
    struct pt_pod_list fresh, old;            /* of the newest revision, of others; without those that are leaving */
    int present;                              /* pods that take up room: all but those known to be leaving */
    int leaving, old_leaving;                 /* terminating, being drained, or deleted without our having seen it */
    int collisions, replicas, min_available;
    const char *trouble, *trouble_message;
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
void pt_view_look_again(struct pt_view *v, int64_t after_ms);

/* Adds the status effect when the status is not what is stored. */
void pt_plan_status(struct pt_view *v);

#endif
