/* SPDX-License-Identifier: Apache-2.0
 *
 * scheduler.h: which request runs when, and with which others.
 *
 * A scheduler is a few worker threads that sleep when idle. Each model version has a queue there. The loop thread submits, cancels and gets
 * every accepted job back exactly once. In between a worker prepares it (decodes it: then its rows and its priority are known) and runs it, joined
 * with others of its queue where the queue allows it:
 *
 *     submit -> NEW -> PREPARING -> READY -> RUNNING -> FINISHED -> done
 *
 * Order: by priority, then by arrival. A queue that joins (max_rows > 1) runs when it has max_rows, or a preferred number, or when its oldest job has
 * waited max_delay; a worker that has nothing else to do waits no longer than that. Between queues the next one is that which has had the least of
 * the workers' time (start-time fair queueing), so that one model's load does not starve another.
 *
 * Room: the most jobs a queue takes follows from what jobs cost: those that can be expected to begin within max_wait, but never fewer than keep the
 * workers busy, or in_flight, and never more than `waiting` besides. Past it there is an estimate when there will be room. Where the forecast was
 * wrong and others wait as well, a job whose turn comes too late is given back with PT_EBUSY. So latency is bounded at any offered load (dispatch.h).
 *
 * A job whose deadline passes, or that is cancelled, leaves the queue at once; a run stops when none of its jobs is wanted any more. A job that
 * is cheaper than waking a thread may run on the loop thread itself (pt_queue_run_here): tiny models are served with one thread awake.
 */
#ifndef PT_SIDECAR_SCHEDULER_H
#define PT_SIDECAR_SCHEDULER_H

#include "net/loop.h"

#include <stdatomic.h>

struct pt_scheduler;
struct pt_queue;

/* Embedded in the owner's struct; zero it and set deadline_ms. */
struct pt_job {
    int64_t deadline_ms; /* monotonic, as pt_now_ms() */
    atomic_int stopped;  /* PT_ETIMEDOUT, PT_ECANCELED or PT_EBUSY once it should not go on; run may look at it between steps */
    bool prepared, ran;  /* prepare succeeded; run was called */
    int64_t queued_ns, started_ns, finished_ns; /* monotonic; the latter two only if it ran */
    struct pt_job *next;                        /* in run: the next one of the same run */
    /* set by prepare */
    int64_t rows;        /* along the dimension on which jobs are joined; 0 counts as 1 */
    uint32_t priority;   /* lower goes first */
    int64_t max_wait_us; /* in the queue; 0: until the deadline */
    bool alone;          /* is not joined with others */
    /* the scheduler's own */
    struct pt_queue *queue;
    struct pt_job *prev;
    int state, slot;
    int64_t prepare_ns;
    struct pt_timer timer;
    struct pt_post post, timer_post;
};

struct pt_job_ops {
    /* Worker: what has to be done before it can be ordered. Negative: it is over without a run. NULL: nothing. */
    int (*prepare)(struct pt_job *j);
    /* Both prepared, neither alone: may b run together with a? NULL: never. */
    bool (*joins)(const struct pt_job *a, const struct pt_job *b);
    /* Worker: a list by `next` of one job, or more that all join the first. slot says which of pt_scheduler_slots() states is this thread's. */
    void (*run)(struct pt_job *first, int slot);
    void (*stop)(struct pt_job *j, int slot); /* any thread, only while run is under way: run should return soon. Must not block */
    void (*done)(struct pt_job *j);           /* loop thread; the job is the caller's again */
};

struct pt_scheduler_options {
    int workers;         /* threads, >= 1 */
    int64_t run_here_ns; /* jobs that take less on average may run on the loop thread; 0: never */
};
int pt_scheduler_create(struct pt_loop *l, const struct pt_scheduler_options *o, struct pt_scheduler **out, struct pt_err *err);
/* Asks running jobs to stop, waits for the threads and frees. Jobs still queued or posted get no done; queues still have to be destroyed. */
void pt_scheduler_destroy(struct pt_scheduler *s);
/* States of which each run owns one: workers + 1 (the last is the loop thread's). */
int pt_scheduler_slots(const struct pt_scheduler *s);

enum { PT_MAX_SIZES = 16 };
struct pt_queue_options {
    const struct pt_job_ops *ops;
    int runs;                        /* at a time; 0: as many as there are workers */
    int in_flight;                   /* jobs that are always taken; 0: as many as keep the workers busy */
    int waiting;                     /* jobs that may wait beyond those, */
    int64_t max_wait_ns;             /* as far as they can be expected to begin within this; 0: all of them */
    int64_t max_rows;                /* of one run; up to 1: jobs run alone */
    int64_t max_delay_ns;            /* that a job waits for others to join */
    int64_t preferred[PT_MAX_SIZES]; /* rows with which a run need not wait, ascending; 0 ends */
    bool by_priority;                /* prepare everything before anything runs, so that priorities are known */
};
/* Loop thread. The scheduler may be destroyed before its queues, but not used by them afterwards. */
int pt_queue_create(struct pt_scheduler *s, const struct pt_queue_options *o, struct pt_queue **out, struct pt_err *err);
void pt_queue_destroy(struct pt_queue *q); /* without jobs, or after the scheduler; NULL is fine */

/* PT_OK: there is room for one more job. PT_EBUSY: full, *retry_after_s (>= 1) says when to try again. */
int pt_queue_room(struct pt_queue *q, int *retry_after_s, struct pt_err *err);
/* When there should be room, in whole seconds (>= 1). Any thread. */
int pt_queue_retry_after(struct pt_queue *q);
/* Only when there is room. done follows, never from inside this call. */
void pt_queue_submit(struct pt_queue *q, struct pt_job *j);
/* Prepares and runs j inside this call if that is allowed now; then it is finished and gets no done. A queue whose jobs wait for others to join
 * (max_delay) does not: they would never meet. */
bool pt_queue_run_here(struct pt_queue *q, struct pt_job *j);
/* The caller lost interest. done still follows, with j->stopped set unless it was finished already. */
void pt_job_cancel(struct pt_job *j);

struct pt_queue_stats {
    int running, queued; /* jobs */
    int64_t service_ns;  /* moving average of what one job costs a worker; 0: none yet */
};
void pt_queue_stats(struct pt_queue *q, struct pt_queue_stats *out);         /* any thread */
void pt_scheduler_stats(struct pt_scheduler *s, struct pt_queue_stats *out); /* of all queues; service_ns of the slowest */

#endif
