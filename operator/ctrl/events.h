/* SPDX-License-Identifier: Apache-2.0
 *
 * events.h: Kubernetes Events, so that `kubectl describe` says what was done and why.
 *
 * Never blocks and never fails its caller: a bounded queue, dropped (and counted) when full. The same event again raises its count; more than
 * ten of one reason for one object in ten minutes become one; each object has a bucket of 25, refilled by one every five minutes, as client-go's
 * recorder has. Unlike there, milestones of an object have a bucket for each of their reasons, so that neither a busy rollout nor many of them use up
 * the event that says how it ended; and what a bucket refuses is still counted in its series.
 */
#ifndef PT_CTRL_EVENTS_H
#define PT_CTRL_EVENTS_H

#include "operator/ctrl/api.h"
#include "base/metrics.h"

struct pt_events;
struct pt_event {
    const struct pt_resource *resource; /* of the object it is about */
    const char *ns, *name, *uid;
    bool warning;                       /* else Normal */
    const char *reason;                 /* CamelCase */
    const char *message;                /* cut at 1,000 bytes */
    bool milestone;                     /* says how something ended, rather than that a step was taken */
};
int pt_events_create(struct pt_api *api, struct pt_sched *sched, struct pt_metrics *metrics, uint64_t seed, const char *component,
                     struct pt_events **out, struct pt_err *err);
void pt_events_destroy(struct pt_events *e);
/* What has not been written by now is not to be; a write under way may still arrive. */
void pt_events_drop(struct pt_events *e);
/* Nothing is to be written, or not soon: the server has just refused it. */
bool pt_events_idle(const struct pt_events *e);
void pt_events_emit(struct pt_events *e, const struct pt_event *ev);

#endif
