/* SPDX-License-Identifier: Apache-2.0
 *
 * dispatch.h: the scheduler's policy, without its threads: which job is next, which run together, how many may be here, and which one waited too
 * long.
 *
 * Nothing here looks at a clock, takes a lock or wakes anybody: times are arguments and the caller holds the lock. So the same code serves requests
 * (scheduler.c) and is driven through hours of overload in virtual time (tests/unit/sidecar/dispatch.c).
 *
 *     arrive -> NEW -> PREPARING -> READY -> RUNNING -> FINISHED
 *
 * How many may be here. Enough that nobody idles are always taken: what all workers run now, and the same again, so that the next run is there when
 * one ends (pt_queue_options.in_flight, if that is more). Beyond those, as many as can be expected to begin within max_wait, by what jobs have cost
 * lately. That is a forecast, and costs vary: a job whose turn comes so late that its answer would not be there within max_wait and two runs gives
 * way to one that comes in time (`late`). How much of that time the run and the way back take is measured too, for slow runs and ways: what varies
 * more is begun earlier or not at all. A worker finds the same amount of work either way, so goodput does not suffer.
 */
#ifndef PT_SIDECAR_DISPATCH_H
#define PT_SIDECAR_DISPATCH_H

#include "sidecar/scheduler.h"

enum pt_job_state { PT_JOB_IDLE, PT_JOB_NEW, PT_JOB_PREPARING, PT_JOB_READY, PT_JOB_RUNNING, PT_JOB_FINISHED };

struct pt_job_list {
    struct pt_job *head, *tail;
};

struct pt_dispatch {
    int workers;
    int64_t short_ns; /* what counts as a cheap job */
    struct pt_queue *queues;
    int64_t vtime_ns;
};

struct pt_queue {
    struct pt_dispatch *dispatch;
    struct pt_queue *next;
    struct pt_queue_options o;
    struct pt_job_list fresh, ready; /* NEW by arrival; READY by priority, then arrival */
    int64_t ready_rows;
    int here, runs, running; /* jobs of any state; runs and their jobs under way */
    int64_t vtime_ns;
    /* averages: what a job costs a worker, how long a run takes, the rows of a job; and the cost again, but that no run counts as more than a few
     * times dispatch->short_ns: a pause of the machine is no slow model */
    int64_t service_ns, run_ns, short_ns;
    double rows;
    int64_t slow_run_ns;         /* how long a run takes now and then: the longest of the last ones, fading */
    _Atomic int64_t slow_way_ns; /* the same of the way from its end to the loop; written there, without a lock */
};

/* At most one of prepare and run; late, a list by `next`, is FINISHED and the caller's. */
struct pt_task {
    struct pt_job *prepare, *run, *late;
};

void pt_dispatch_arrive(struct pt_queue *q, struct pt_job *j, int64_t now_ns); /* NEW, at the end of the line */
/* May j run at once on a thread of its own, before any other? Then it is PREPARING. */
bool pt_dispatch_overtake(struct pt_queue *q, struct pt_job *j, int64_t now_ns);
/* Takes the next task off its queue. False: there is nothing to do before *wake_ns; late may be there all the same. */
bool pt_dispatch_next(struct pt_dispatch *d, int64_t now_ns, int64_t *wake_ns, struct pt_task *t);
/* A job that was prepared becomes READY, or FINISHED where it failed or is not wanted. */
void pt_dispatch_prepared(struct pt_job *j, bool goes_on);
void pt_dispatch_begin(struct pt_job *first, int slot);
void pt_dispatch_end(struct pt_job *first); /* by their started_ns and finished_ns */
/* A job's end was seen by the loop so long after it. The loop's thread; no lock. */
void pt_dispatch_delivered(struct pt_queue *q, int64_t way_ns);
/* Takes a job off its queue that has not begun; false: it is prepared or run just now, or over. */
bool pt_dispatch_remove(struct pt_job *j);
/* Is there room for one more? Else in how many seconds, at least one. */
bool pt_dispatch_room(const struct pt_queue *q, int *retry_after_s);
int pt_dispatch_retry_after(const struct pt_queue *q);

#endif
