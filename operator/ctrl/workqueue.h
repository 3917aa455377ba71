/* SPDX-License-Identifier: Apache-2.0
 *
 * workqueue.h: keys that want a reconcile.
 *
 * A key is queued once, is never given to two workers, and is queued again if it was added while it was worked on. Failures wait 5 ms doubling
 * to 1,000 s per key. What changes now overtakes the backlog of the first list, and what somebody has just asked for overtakes both; of many who ask at
 * once, every other turn is for the newest: whoever comes while a thousand wait does not wait for a thousand.
 * One thread: the queue calls work() whenever fewer than `workers` keys are under way; the worker calls pt_workqueue_done() later.
 */
#ifndef PT_CTRL_WORKQUEUE_H
#define PT_CTRL_WORKQUEUE_H

#include "base/metrics.h"
#include "base/sched.h"

struct pt_workqueue;
typedef void (*pt_work_fn)(void *arg, const char *key); /* key is valid until pt_workqueue_done */
struct pt_workqueue_options {
    const char *name; /* label of the metrics */
    struct pt_sched *sched;
    struct pt_metrics *metrics; /* may be NULL; not to be written out any more when the queue is gone */
    unsigned workers;
    pt_work_fn work;
    void *arg;
};
int pt_workqueue_create(const struct pt_workqueue_options *o, struct pt_workqueue **out, struct pt_err *err);
void pt_workqueue_destroy(struct pt_workqueue *q);
/* Nothing is handed out before this. */
void pt_workqueue_start(struct pt_workqueue *q);
/* No more keys are handed out. */
void pt_workqueue_stop(struct pt_workqueue *q);
/* The same, and all keys are forgotten, those under way too: as if it had just been created. Not from inside work(). */
void pt_workqueue_reset(struct pt_workqueue *q);
/* Why a key is there: it was in the first list; something about it has changed; somebody has edited what is wanted. */
enum pt_urgency { PT_URGENCY_BACKLOG, PT_URGENCY_NEWS, PT_URGENCY_EDIT, PT_URGENCY_COUNT };
/* PT_ENOMEM is logged and the key lost only then. */
void pt_workqueue_add(struct pt_workqueue *q, const char *key, enum pt_urgency urgency);
void pt_workqueue_add_after(struct pt_workqueue *q, const char *key, int64_t delay_ms); /* an earlier wait for the key stays */
enum pt_work_result { PT_WORK_OK, PT_WORK_FAILED };
/* The key has been worked on: OK forgets its failures, FAILED queues it again after its backoff. requeue_ms >= 0 with OK: again after that. */
void pt_workqueue_done(struct pt_workqueue *q, const char *key, enum pt_work_result result, int64_t requeue_ms);
unsigned pt_workqueue_active(const struct pt_workqueue *q);
size_t pt_workqueue_depth(const struct pt_workqueue *q);

#endif
