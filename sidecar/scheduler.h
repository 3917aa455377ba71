/* SPDX-License-Identifier: Apache-2.0
 *
 * scheduler.h: which request runs when. A bounded first-in first-out queue in front of a few worker threads that sleep when idle.
 *
 * The loop thread submits, cancels and gets every accepted job back exactly once; a worker runs it in between. Past concurrency + queue
 * jobs there is no room, and an estimate when there will be. A job whose deadline passes, or that is cancelled, leaves
 * the queue at once or is asked to stop running.
 *
 * A job that is cheaper than waking a thread may run on the loop thread itself (pt_scheduler_run_here): tiny models are served with
 * one thread awake. Taking several queued jobs at once (dynamic batching) belongs into take() in scheduler.c.
 */
#ifndef PT_SIDECAR_SCHEDULER_H
#define PT_SIDECAR_SCHEDULER_H

#include "net/loop.h"

#include <stdatomic.h>

struct pt_scheduler;
struct pt_job;

struct pt_job_ops {
    void (*run)(struct pt_job *j, int slot);  /* worker thread; slot says which of pt_scheduler_slots() states is this thread's */
    void (*stop)(struct pt_job *j, int slot); /* any thread, only while run is under way: run should return soon. Must not block */
    void (*done)(struct pt_job *j);           /* loop thread; the job is the caller's again */
};

/* Embedded in the owner's struct; zero it and set ops and deadline_ms. */
struct pt_job {
    const struct pt_job_ops *ops;
    int64_t deadline_ms;                       /* monotonic, as pt_now_ms() */
    atomic_int stopped;                        /* PT_ETIMEDOUT or PT_ECANCELED once it should not go on; run may look at it between steps */
    bool ran;                                  /* run was called */
    int64_t queued_ns, started_ns, finished_ns; /* monotonic; the latter two only if it ran */
    /* the scheduler's own */
    struct pt_scheduler *scheduler;
    int state, slot;
    struct pt_job *next, *prev;
    struct pt_timer timer;
    struct pt_post post;
};

struct pt_scheduler_options {
    int workers;          /* threads, >= 1 */
    int concurrency;      /* >= workers; jobs of which no more than `workers` run at a time */
    int queue;            /* jobs that may wait beyond those */
    int64_t run_here_ns;  /* jobs that take less on average may run on the loop thread; 0: never */
};
int pt_scheduler_create(struct pt_loop *l, const struct pt_scheduler_options *o, struct pt_scheduler **out, struct pt_err *err);
/* Asks running jobs to stop, waits for the threads and frees. Jobs still queued or posted get no done. */
void pt_scheduler_destroy(struct pt_scheduler *s);
/* States of which each running job owns one: workers + 1 (the last is the loop thread's). */
int pt_scheduler_slots(const struct pt_scheduler *s);

/* PT_OK: there is room for one more job. PT_EBUSY: full, *retry_after_s (>= 1) says when to try again. */
int pt_scheduler_room(struct pt_scheduler *s, int *retry_after_s, struct pt_err *err);
/* Only when there is room. done follows, never from inside this call. */
void pt_scheduler_submit(struct pt_scheduler *s, struct pt_job *j);
/* Runs j inside this call if that is allowed now; then it is finished and gets no done. */
bool pt_scheduler_run_here(struct pt_scheduler *s, struct pt_job *j);
/* The caller lost interest. done still follows, with j->stopped set unless it was finished already. */
void pt_scheduler_cancel(struct pt_scheduler *s, struct pt_job *j);

struct pt_scheduler_stats {
    int running, queued;
    int64_t service_ns; /* moving average of a run; 0: none yet */
};
void pt_scheduler_stats(struct pt_scheduler *s, struct pt_scheduler_stats *out); /* any thread */

#endif
