/* SPDX-License-Identifier: Apache-2.0
 *
 * dispatch.c: see dispatch.h.
 *
 * A task is a job to prepare, or a list of jobs to run, of the queue with the least virtual time that has one. A queue that is idle for a while comes
 * back at the dispatch's own virtual time: what it did not use is gone.
 */
#include "sidecar/dispatch.h"

enum { CLAMP = 4, WINDOW = 8, FADING = 64 };

/* --- lists ------------------------------------------------------------------------------------------------------------------- */

static void insert_after(struct pt_job_list *l, struct pt_job *at, struct pt_job *j)
{
    j->prev = at;
    j->next = at ? at->next : l->head;
    *(j->next ? &j->next->prev : &l->tail) = j;
    *(at ? &at->next : &l->head) = j;
}

static void unlink_job(struct pt_job_list *l, struct pt_job *j)
{
    *(j->prev ? &j->prev->next : &l->head) = j->next;
    *(j->next ? &j->next->prev : &l->tail) = j->prev;
    j->next = j->prev = NULL;
}

static int64_t rows_of(const struct pt_job *j)
{
    return j->rows > 0 ? j->rows : 1;
}

static void make_ready(struct pt_queue *q, struct pt_job *j)
{
    struct pt_job *at = q->ready.tail;
    while (at && at->priority > j->priority)
        at = at->prev;
    insert_after(&q->ready, at, j);
    q->ready_rows += rows_of(j);
    j->state = PT_JOB_READY;
}

static void leave_ready(struct pt_queue *q, struct pt_job *j)
{
    unlink_job(&q->ready, j);
    q->ready_rows -= rows_of(j);
}

static void finish(struct pt_queue *q, struct pt_job *j)
{
    j->state = PT_JOB_FINISHED;
    q->here--;
}

/* --- room -------------------------------------------------------------------------------------------------------------------- */

static int most_runs(const struct pt_queue *q)
{
    int workers = q->dispatch->workers;
    return q->o.runs && q->o.runs < workers ? q->o.runs : workers;
}

/* Workers that a queue can count on: those that it may use, shared with the other queues that have jobs. */
static double share(const struct pt_queue *q)
{
    int busy = 1;
    for (const struct pt_queue *other = q->dispatch->queues; other; other = other->next)
        busy += other != q && other->here > 0;
    double workers = (double)q->dispatch->workers / busy;
    return workers < most_runs(q) ? workers : most_runs(q);
}

/* Jobs that are always taken: what runs, and what runs next. */
static int64_t least_jobs(const struct pt_queue *q)
{
    double per_run = q->rows > 1 ? (double)q->o.max_rows / q->rows : (double)q->o.max_rows;
    double least = 2 * most_runs(q) * (per_run > 1 ? per_run : 1);
    return least > q->o.in_flight ? (int64_t)least : q->o.in_flight;
}

/* How long a job may have waited when it begins. Within max_wait and two runs the client shall have its answer: of those one is the run itself, and
 * half of one is left for what is not seen here, the way from the client to the queue and from the loop to the client. What slow runs and the way
 * back take beyond the usual run comes off, but max_wait is left whole: where costs differ widely, a shorter queue would leave the workers idle now
 * and then. */
static int64_t latest_ns(const struct pt_queue *q)
{
    int64_t more = q->slow_run_ns - q->run_ns + q->slow_way_ns, left = q->run_ns / 2 - (more > 0 ? more : 0);
    return q->o.max_wait_ns + (left > 0 ? left : 0);
}

static int64_t most_jobs(const struct pt_queue *q)
{
    int64_t least = least_jobs(q), most = (int64_t)(q->o.in_flight ? q->o.in_flight : most_runs(q)) + q->o.waiting;
    if (q->o.max_wait_ns && q->service_ns) {
        int64_t timely = (int64_t)(share(q) * (1 + (double)q->o.max_wait_ns / (double)q->service_ns));
        timely = timely < least ? least : timely;
        most = timely < most ? timely : most;
    }
    return most;
}

/* When a place should be free if all that is here takes as long as the last ones did; whole seconds, rounded up. */
int pt_dispatch_retry_after(const struct pt_queue *q)
{
    double seconds = (double)q->service_ns * q->here / share(q) / 1e9;
    return seconds <= 1 ? 1 : seconds > 3600 ? 3600 : (int)(seconds + 0.999999999);
}

bool pt_dispatch_room(const struct pt_queue *q, int *retry_after_s)
{
    if (q->here < most_jobs(q))
        return true;
    *retry_after_s = pt_dispatch_retry_after(q);
    return false;
}

/* --- choosing ------------------------------------------------------------------------------------------------------------------ */

static bool is_late(const struct pt_queue *q, const struct pt_job *j, int64_t now_ns)
{
    return now_ns - j->queued_ns > latest_ns(q);
}

/* Does anybody of the same priority wait who came in time? Priorities of those that are not prepared are not known, nor asked for then. */
static bool others_in_time(const struct pt_queue *q, const struct pt_job *first, int64_t now_ns)
{
    if (q->fresh.tail && !is_late(q, q->fresh.tail, now_ns))
        return true;
    const struct pt_job *j = q->ready.tail && q->ready.tail->priority == first->priority ? q->ready.tail : first;
    while (j && j->priority == first->priority && is_late(q, j, now_ns))
        j = j->next;
    return j && j->priority == first->priority;
}

/* Those at the head that waited too long, as far as they are more than are always taken. */
static void drop_late(struct pt_queue *q, int64_t now_ns, struct pt_task *t)
{
    int64_t too_many = q->o.max_wait_ns ? q->here - least_jobs(q) : 0;
    for (struct pt_job *j; too_many > 0; too_many--) {
        if ((j = q->ready.head) && is_late(q, j, now_ns) && others_in_time(q, j, now_ns))
            leave_ready(q, j);
        else if ((j = q->fresh.head) && is_late(q, j, now_ns) && !is_late(q, q->fresh.tail, now_ns))
            unlink_job(&q->fresh, j);
        else
            return;
        finish(q, j);
        j->next = t->late;
        t->late = j;
    }
}

/* The rows to run now: 0 while it is worth waiting, until *wake_ns. */
static int64_t ripe_rows(const struct pt_queue *q, int64_t now_ns, int64_t *wake_ns)
{
    const struct pt_job *oldest = q->ready.head;
    int64_t rows = q->ready_rows, chosen = 0, due_ns = INT64_MAX;
    if (q->o.max_rows <= 1 || oldest->alone || rows >= q->o.max_rows)
        return q->o.max_rows;
    for (const struct pt_job *j = q->ready.head; j; j = j->next)
        due_ns = j->queued_ns + q->o.max_delay_ns < due_ns ? j->queued_ns + q->o.max_delay_ns : due_ns;
    if (now_ns >= due_ns)
        return q->o.max_rows;
    for (size_t i = 0; i < PT_MAX_SIZES && q->o.preferred[i] && q->o.preferred[i] <= rows; i++)
        chosen = q->o.preferred[i];
    if (!chosen && due_ns < *wake_ns)
        *wake_ns = due_ns;
    return chosen;
}

/* The first job and those that join it, off the queue. */
static struct pt_job *take(struct pt_queue *q, int64_t rows)
{
    struct pt_job *first = q->ready.head, *last = first, *next;
    leave_ready(q, first);
    int64_t left = rows - rows_of(first);
    for (struct pt_job *j = q->ready.head; j && !first->alone && q->o.ops->joins && left > 0; j = next) {
        next = j->next;
        if (j->alone || rows_of(j) > left || !q->o.ops->joins(first, j))
            continue;
        leave_ready(q, j);
        left -= rows_of(j);
        last->next = j;
        last = j;
    }
    return first;
}

static bool has_task(struct pt_queue *q, int64_t now_ns, int64_t *wake_ns, int64_t *rows)
{
    bool may_run = q->ready.head && q->runs < most_runs(q) && !(q->o.by_priority && q->fresh.head);
    *rows = may_run ? ripe_rows(q, now_ns, wake_ns) : 0;
    if (*rows && q->o.max_rows > 1 && q->ready_rows < q->o.max_rows && q->fresh.head)
        *rows = 0; /* what is still to be prepared may join */
    return *rows || q->fresh.head;
}

bool pt_dispatch_next(struct pt_dispatch *d, int64_t now_ns, int64_t *wake_ns, struct pt_task *t)
{
    struct pt_queue *best = NULL;
    int64_t rows = 0, these;
    *wake_ns = INT64_MAX;
    *t = (struct pt_task){0};
    for (struct pt_queue *q = d->queues; q; q = q->next) {
        drop_late(q, now_ns, t);
        if (has_task(q, now_ns, wake_ns, &these) && (!best || q->vtime_ns < best->vtime_ns)) {
            best = q;
            rows = these;
        }
    }
    if (!best)
        return false;
    d->vtime_ns = best->vtime_ns > d->vtime_ns ? best->vtime_ns : d->vtime_ns;
    if (rows) {
        t->run = take(best, rows);
    } else {
        t->prepare = best->fresh.head;
        unlink_job(&best->fresh, t->prepare);
        t->prepare->state = PT_JOB_PREPARING;
    }
    return true;
}

/* --- the way of a job ------------------------------------------------------------------------------------------------------------- */

static void enter(struct pt_queue *q, struct pt_job *j, int64_t now_ns)
{
    if (q->here++ == 0 && q->vtime_ns < q->dispatch->vtime_ns)
        q->vtime_ns = q->dispatch->vtime_ns;
    j->queue = q;
    j->queued_ns = now_ns;
}

void pt_dispatch_arrive(struct pt_queue *q, struct pt_job *j, int64_t now_ns)
{
    enter(q, j, now_ns);
    j->state = PT_JOB_NEW;
    insert_after(&q->fresh, q->fresh.tail, j);
}

/* Only what is cheap, overtakes nobody, and is not told to wait for others to join. */
bool pt_dispatch_overtake(struct pt_queue *q, struct pt_job *j, int64_t now_ns)
{
    bool cheap = q->short_ns > 0 && q->dispatch->short_ns > q->short_ns;
    bool waits = q->o.max_rows > 1 && q->o.max_delay_ns > 0;
    if (!cheap || waits || q->here != q->running || q->here >= least_jobs(q) || (q->o.runs && q->runs >= q->o.runs))
        return false;
    enter(q, j, now_ns);
    j->state = PT_JOB_PREPARING;
    return true;
}

void pt_dispatch_prepared(struct pt_job *j, bool goes_on)
{
    struct pt_queue *q = j->queue;
    q->vtime_ns += j->prepare_ns;
    if (goes_on)
        make_ready(q, j);
    else
        finish(q, j);
}

void pt_dispatch_begin(struct pt_job *first, int slot)
{
    struct pt_queue *q = first->queue;
    q->runs++;
    for (struct pt_job *j = first; j; j = j->next) {
        j->state = PT_JOB_RUNNING;
        j->slot = slot;
        j->ran = true;
        q->running++;
    }
}

/* Over the last WINDOW or so. */
static void average(int64_t *mean, int64_t value)
{
    *mean += *mean ? (value - *mean) / WINDOW : value;
}

/* Towards larger values at once half the way, back slowly. */
static int64_t fade(int64_t slow, int64_t value)
{
    return value > slow ? slow + (value - slow + 1) / 2 : slow - (slow - value) / FADING;
}

void pt_dispatch_delivered(struct pt_queue *q, int64_t way_ns)
{
    q->slow_way_ns = fade(q->slow_way_ns, way_ns);
}

void pt_dispatch_end(struct pt_job *first)
{
    struct pt_queue *q = first->queue;
    int64_t took = first->finished_ns - first->started_ns, most = CLAMP * q->dispatch->short_ns, jobs = 0, rows = 0;
    q->vtime_ns += took;
    average(&q->run_ns, took);
    q->slow_run_ns = fade(q->slow_run_ns, took);
    for (struct pt_job *j = first; j; j = j->next) {
        took += j->prepare_ns;
        rows += rows_of(j);
        finish(q, j);
        jobs++;
    }
    took /= jobs;
    average(&q->service_ns, took);
    average(&q->short_ns, took < most ? took : most);
    q->rows += ((double)rows / (double)jobs - q->rows) / (q->rows > 0 ? WINDOW : 1);
    q->runs--;
    q->running -= (int)jobs;
}

bool pt_dispatch_remove(struct pt_job *j)
{
    struct pt_queue *q = j->queue;
    if (j->state == PT_JOB_NEW)
        unlink_job(&q->fresh, j);
    else if (j->state == PT_JOB_READY)
        leave_ready(q, j);
    else
        return false;
    finish(q, j);
    return true;
}
