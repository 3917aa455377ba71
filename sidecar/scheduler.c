/* SPDX-License-Identifier: Apache-2.0
 *
 * scheduler.c: one mutex guards queues, states of jobs and counts. Whoever moves a job to FINISHED posts it to the loop.
 *
 * A worker asks for a task: a job to prepare, or a list of jobs to run, of the queue with the least virtual time that has one. A queue that is idle
 * for a while comes back at the scheduler's own virtual time: what it did not use is gone.
 */
#include "sidecar/scheduler.h"

#include "base/mem.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { IDLE, NEW, PREPARING, READY, RUNNING, FINISHED };
enum { CLAMP = 4 };

struct list {
    struct pt_job *head, *tail;
};

struct pt_queue {
    struct pt_scheduler *scheduler;
    struct pt_queue *next;
    struct pt_queue_options o;
    /* guarded by the scheduler's lock */
    struct list fresh, ready; /* NEW by arrival; READY by priority, then arrival */
    int64_t ready_rows;
    int here, runs, running; /* jobs of any state; runs and their jobs under way */
    int64_t vtime_ns;
    int64_t service_ns, short_ns; /* averages; in the second no run counts more than CLAMP limits: a pause of the machine is no slow model */
};

struct worker {
    struct pt_scheduler *scheduler;
    pthread_t thread;
    int slot;
    struct pt_job *current; /* the first of the jobs that it runs */
};

struct pt_scheduler {
    struct pt_loop *loop;
    struct pt_scheduler_options o;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* guarded by lock */
    struct pt_queue *queues;
    int sleeping;
    int64_t vtime_ns;
    bool stopping;
    int started; /* threads */
    struct worker workers[];
};

/* --- lists ------------------------------------------------------------------------------------------------------------------- */

static void insert_after(struct list *l, struct pt_job *at, struct pt_job *j)
{
    j->prev = at;
    j->next = at ? at->next : l->head;
    *(j->next ? &j->next->prev : &l->tail) = j;
    *(at ? &at->next : &l->head) = j;
}

static void unlink_job(struct list *l, struct pt_job *j)
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
    j->state = READY;
}

static void leave_ready(struct pt_queue *q, struct pt_job *j)
{
    unlink_job(&q->ready, j);
    q->ready_rows -= rows_of(j);
}

/* --- choosing ------------------------------------------------------------------------------------------------------------------ */

struct task {
    struct pt_job *prepare, *run; /* at most one of them */
};

static int most_runs(const struct pt_queue *q)
{
    int workers = q->scheduler->o.workers;
    return q->o.runs && q->o.runs < workers ? q->o.runs : workers;
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

/* False: nothing to do before *wake_ns. */
static bool choose(struct pt_scheduler *s, int64_t now_ns, int64_t *wake_ns, struct task *t)
{
    struct pt_queue *best = NULL;
    int64_t rows = 0, these;
    *wake_ns = INT64_MAX;
    for (struct pt_queue *q = s->queues; q; q = q->next)
        if (has_task(q, now_ns, wake_ns, &these) && (!best || q->vtime_ns < best->vtime_ns)) {
            best = q;
            rows = these;
        }
    if (!best)
        return false;
    s->vtime_ns = best->vtime_ns > s->vtime_ns ? best->vtime_ns : s->vtime_ns;
    if (rows) {
        t->run = take(best, rows);
    } else {
        t->prepare = best->fresh.head;
        unlink_job(&best->fresh, t->prepare);
        t->prepare->state = PREPARING;
    }
    return true;
}

/* --- working ------------------------------------------------------------------------------------------------------------------- */

/* Over the last eight or so. */
static void average(int64_t *mean, int64_t value)
{
    *mean += *mean ? (value - *mean) / 8 : value;
}

static void start_running(struct pt_queue *q, struct pt_job *first, int slot)
{
    q->runs++;
    for (struct pt_job *j = first; j; j = j->next) {
        j->state = RUNNING;
        j->slot = slot;
        j->ran = true;
        q->running++;
    }
}

static void run(struct pt_queue *q, struct pt_job *first, int slot)
{
    int64_t started_ns = pt_clock_mono_ns();
    for (struct pt_job *j = first; j; j = j->next)
        j->started_ns = started_ns;
    q->o.ops->run(first, slot);
    int64_t finished_ns = pt_clock_mono_ns();
    for (struct pt_job *j = first; j; j = j->next)
        j->finished_ns = finished_ns;
}

static void end_running(struct pt_queue *q, struct pt_job *first)
{
    int64_t took = first->finished_ns - first->started_ns, most = CLAMP * q->scheduler->o.run_here_ns, jobs = 0;
    q->vtime_ns += took;
    for (struct pt_job *j = first; j; j = j->next) {
        took += j->prepare_ns;
        j->state = FINISHED;
        jobs++;
    }
    took /= jobs;
    average(&q->service_ns, took);
    average(&q->short_ns, took < most ? took : most);
    q->runs--;
    q->running -= (int)jobs;
    q->here -= (int)jobs;
}

static int prepare(struct pt_queue *q, struct pt_job *j)
{
    int64_t begin_ns = pt_clock_mono_ns();
    int rc = q->o.ops->prepare ? q->o.ops->prepare(j) : PT_OK;
    j->prepare_ns = pt_clock_mono_ns() - begin_ns;
    j->prepared = rc == PT_OK;
    return rc;
}

static struct pt_job *of_timer_post(struct pt_post *p)
{
    return (struct pt_job *)(void *)((char *)p - offsetof(struct pt_job, timer_post));
}

static void on_deadline(struct pt_timer *t);

/* On the loop: the client does not want to wait in the queue as long as the deadline would let it. */
static void shorten(struct pt_post *p)
{
    struct pt_job *j = of_timer_post(p);
    struct pt_sched *clock = pt_loop_sched(j->queue->scheduler->loop);
    int64_t left_ms = (j->queued_ns + j->max_wait_us * 1000 - pt_clock_mono_ns() + 999999) / 1000000;
    if (left_ms < j->deadline_ms - pt_now_ms(clock))
        pt_timer_start(clock, &j->timer, left_ms > 0 ? left_ms : 0, on_deadline);
}

/* With the lock held; it is released meanwhile. */
static void work_prepare(struct pt_scheduler *s, struct pt_job *j)
{
    struct pt_queue *q = j->queue;
    pthread_mutex_unlock(&s->lock);
    int rc = prepare(q, j);
    if (rc == PT_OK && j->max_wait_us > 0) {
        j->timer_post.fn = shorten;
        pt_loop_post(s->loop, &j->timer_post); /* delivered before the job's own post */
    }
    pthread_mutex_lock(&s->lock);
    q->vtime_ns += j->prepare_ns;
    if (rc == PT_OK && !atomic_load(&j->stopped)) {
        make_ready(q, j);
        return;
    }
    j->state = FINISHED;
    q->here--;
    pt_loop_post(s->loop, &j->post); /* from here on j may be gone */
}

static void work_run(struct pt_scheduler *s, struct worker *w, struct pt_job *first)
{
    struct pt_queue *q = first->queue;
    start_running(q, first, w->slot);
    w->current = first;
    pthread_mutex_unlock(&s->lock);
    run(q, first, w->slot);
    pthread_mutex_lock(&s->lock);
    end_running(q, first);
    w->current = NULL;
    for (struct pt_job *j = first, *next; j; j = next) {
        next = j->next;
        pt_loop_post(s->loop, &j->post);
    }
}

static void sleep_until(struct pt_scheduler *s, int64_t wake_ns)
{
    s->sleeping++;
    if (wake_ns == INT64_MAX) {
        pthread_cond_wait(&s->wake, &s->lock);
    } else {
        struct timespec t = {wake_ns / 1000000000, wake_ns % 1000000000};
        pthread_cond_timedwait(&s->wake, &s->lock, &t);
    }
    s->sleeping--;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct pt_scheduler *s = w->scheduler;
    int64_t wake_ns;
    pthread_mutex_lock(&s->lock);
    while (!s->stopping) {
        struct task t = {0};
        if (!choose(s, pt_clock_mono_ns(), &wake_ns, &t))
            sleep_until(s, wake_ns);
        else if (t.prepare)
            work_prepare(s, t.prepare);
        else
            work_run(s, w, t.run);
        if (s->sleeping && t.prepare) /* what became ready may be for another worker while this one goes on */
            pthread_cond_signal(&s->wake);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* --- the loop's side ----------------------------------------------------------------------------------------------------------- */

/* Gives the job back. */
static void deliver(struct pt_post *p)
{
    struct pt_job *j = (struct pt_job *)(void *)((char *)p - offsetof(struct pt_job, post));
    pt_timer_stop(pt_loop_sched(j->queue->scheduler->loop), &j->timer);
    j->queue->o.ops->done(j);
}

/* Is none of the jobs that run in this slot wanted any more? */
static bool all_stopped(const struct pt_scheduler *s, int slot)
{
    const struct pt_job *j = slot < s->o.workers ? s->workers[slot].current : NULL;
    while (j && atomic_load(&j->stopped))
        j = j->next;
    return !j;
}

/* Takes it off the queue, or asks its run to stop. The first reason counts. */
static void stop_job(struct pt_job *j, int why)
{
    struct pt_queue *q = j->queue;
    struct pt_scheduler *s = q->scheduler;
    bool give_back = false;
    int none = 0;
    pthread_mutex_lock(&s->lock);
    if (j->state != IDLE && j->state != FINISHED)
        atomic_compare_exchange_strong(&j->stopped, &none, why);
    if (j->state == NEW)
        unlink_job(&q->fresh, j);
    else if (j->state == READY)
        leave_ready(q, j);
    if (j->state == NEW || j->state == READY) {
        j->state = FINISHED;
        q->here--;
        give_back = true;
    } else if (j->state == RUNNING && all_stopped(s, j->slot)) {
        q->o.ops->stop(j, j->slot);
    }
    pthread_mutex_unlock(&s->lock);
    if (give_back)
        pt_loop_post(s->loop, &j->post);
}

/* A job that has begun has until its deadline, even if it would not have waited as long in the queue. */
static void on_deadline(struct pt_timer *t)
{
    struct pt_job *j = (struct pt_job *)(void *)((char *)t - offsetof(struct pt_job, timer));
    struct pt_scheduler *s = j->queue->scheduler;
    struct pt_sched *clock = pt_loop_sched(s->loop);
    int64_t left_ms = j->deadline_ms - pt_now_ms(clock);
    pthread_mutex_lock(&s->lock);
    bool goes_on = left_ms > 0 && (j->state == RUNNING || j->state == FINISHED);
    pthread_mutex_unlock(&s->lock);
    if (goes_on)
        pt_timer_start(clock, t, left_ms, on_deadline);
    else
        stop_job(j, PT_ETIMEDOUT);
}

void pt_job_cancel(struct pt_job *j)
{
    stop_job(j, PT_ECANCELED);
}

/* --- room ------------------------------------------------------------------------------------------------------------------------ */

/* Workers that a queue can count on: those that it may use, shared with the other queues that have jobs. */
static int64_t share(const struct pt_queue *q)
{
    int busy = 1;
    for (const struct pt_queue *other = q->scheduler->queues; other; other = other->next)
        busy += other != q && other->here > 0;
    int workers = q->scheduler->o.workers / busy;
    workers = workers < 1 ? 1 : workers;
    return workers < most_runs(q) ? workers : most_runs(q);
}

static int64_t most_jobs(const struct pt_queue *q)
{
    int64_t most = (int64_t)q->o.in_flight + q->o.waiting;
    if (!q->o.max_wait_ns || !q->service_ns)
        return most;
    int64_t timely = share(q) * (1 + q->o.max_wait_ns / q->service_ns);
    timely = timely < q->o.in_flight ? q->o.in_flight : timely;
    return timely < most ? timely : most;
}

/* When a place should be free if all that is here takes as long as the last ones did; whole seconds, rounded up. */
static int retry_after(const struct pt_queue *q)
{
    int64_t wait_ns = q->service_ns * q->here / share(q);
    int64_t seconds = (wait_ns + 999999999) / 1000000000;
    return seconds < 1 ? 1 : seconds > 3600 ? 3600 : (int)seconds;
}

int pt_queue_room(struct pt_queue *q, int *retry_after_s, struct pt_err *err)
{
    pthread_mutex_lock(&q->scheduler->lock);
    int here = q->here;
    bool room = here < most_jobs(q);
    if (!room)
        *retry_after_s = retry_after(q);
    pthread_mutex_unlock(&q->scheduler->lock);
    return room ? PT_OK : pt_fail(err, PT_EBUSY, "the queue is full: %d requests are here already, try again in %d s", here, *retry_after_s);
}

/* With the lock held. */
static void arrive(struct pt_queue *q, struct pt_job *j)
{
    if (q->here++ == 0 && q->vtime_ns < q->scheduler->vtime_ns)
        q->vtime_ns = q->scheduler->vtime_ns;
    j->queue = q;
}

void pt_queue_submit(struct pt_queue *q, struct pt_job *j)
{
    struct pt_scheduler *s = q->scheduler;
    struct pt_sched *clock = pt_loop_sched(s->loop);
    int64_t left_ms = j->deadline_ms - pt_now_ms(clock);
    j->post.fn = deliver;
    j->queued_ns = pt_clock_mono_ns();
    pthread_mutex_lock(&s->lock);
    arrive(q, j);
    j->state = NEW;
    insert_after(&q->fresh, q->fresh.tail, j);
    bool wake = s->sleeping > 0;
    pthread_mutex_unlock(&s->lock);
    if (wake)
        pthread_cond_signal(&s->wake);
    pt_timer_start(clock, &j->timer, left_ms > 0 ? left_ms : 0, on_deadline);
}

bool pt_queue_run_here(struct pt_queue *q, struct pt_job *j)
{
    struct pt_scheduler *s = q->scheduler;
    pthread_mutex_lock(&s->lock);
    bool allowed =
        q->short_ns > 0 && q->short_ns < s->o.run_here_ns && q->here == q->running && q->here < q->o.in_flight && (!q->o.runs || q->runs < q->o.runs);
    if (allowed) {
        arrive(q, j);
        j->state = PREPARING;
    }
    pthread_mutex_unlock(&s->lock);
    if (!allowed)
        return false;
    j->queued_ns = pt_clock_mono_ns();
    int rc = prepare(q, j);
    pthread_mutex_lock(&s->lock);
    if (rc == PT_OK)
        start_running(q, j, s->o.workers);
    else
        q->here--;
    pthread_mutex_unlock(&s->lock);
    if (rc < 0)
        return true;
    run(q, j, s->o.workers);
    pthread_mutex_lock(&s->lock);
    end_running(q, j);
    pthread_mutex_unlock(&s->lock);
    return true;
}

static void add_stats(const struct pt_queue *q, struct pt_queue_stats *out)
{
    out->running += q->running;
    out->queued += q->here - q->running;
    out->service_ns = q->service_ns > out->service_ns ? q->service_ns : out->service_ns;
}

void pt_queue_stats(struct pt_queue *q, struct pt_queue_stats *out)
{
    *out = (struct pt_queue_stats){0};
    pthread_mutex_lock(&q->scheduler->lock);
    add_stats(q, out);
    pthread_mutex_unlock(&q->scheduler->lock);
}

void pt_scheduler_stats(struct pt_scheduler *s, struct pt_queue_stats *out)
{
    *out = (struct pt_queue_stats){0};
    pthread_mutex_lock(&s->lock);
    for (const struct pt_queue *q = s->queues; q; q = q->next)
        add_stats(q, out);
    pthread_mutex_unlock(&s->lock);
}

int pt_scheduler_slots(const struct pt_scheduler *s)
{
    return s->o.workers + 1;
}

/* --- beginning and end ----------------------------------------------------------------------------------------------------------- */

int pt_queue_create(struct pt_scheduler *s, const struct pt_queue_options *o, struct pt_queue **out, struct pt_err *err)
{
    size_t jobs = (size_t)o->in_flight + (size_t)o->waiting;
    pthread_mutex_lock(&s->lock);
    for (const struct pt_queue *q = s->queues; q; q = q->next)
        jobs += (size_t)q->o.in_flight + (size_t)q->o.waiting;
    pthread_mutex_unlock(&s->lock);
    if (pt_sched_reserve(pt_loop_sched(s->loop), jobs + 64, err) < 0) /* each job has a timer */
        return pt_wrap(err, "queue");
    struct pt_queue *q = pt_calloc(1, sizeof *q);
    if (!q)
        return pt_fail(err, PT_ENOMEM, "queue: out of memory");
    q->scheduler = s;
    q->o = *o;
    q->o.max_rows = o->max_rows > 1 ? o->max_rows : 1;
    pthread_mutex_lock(&s->lock);
    q->next = s->queues;
    s->queues = q;
    pthread_mutex_unlock(&s->lock);
    *out = q;
    return PT_OK;
}

void pt_queue_destroy(struct pt_queue *q)
{
    if (!q)
        return;
    if (q->scheduler) {
        pthread_mutex_lock(&q->scheduler->lock);
        struct pt_queue **link = &q->scheduler->queues;
        while (*link != q)
            link = &(*link)->next;
        *link = q->next;
        pthread_mutex_unlock(&q->scheduler->lock);
    }
    pt_free(q);
}

/* Threads take no signals: those belong to the loop. */
static int start_threads(struct pt_scheduler *s, struct pt_err *err)
{
    sigset_t all, old;
    int rc = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (; s->started < s->o.workers; s->started++) {
        struct worker *w = &s->workers[s->started];
        char name[16];
        *w = (struct worker){.scheduler = s, .slot = s->started};
        if ((rc = pthread_create(&w->thread, NULL, work, w)) != 0)
            break;
        snprintf(name, sizeof name, "worker-%d", w->slot % 10000);
        pthread_setname_np(w->thread, name);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc == 0 ? PT_OK : pt_fail(err, PT_ENOMEM, "start worker thread %d: %s", s->started, strerror(rc));
}

int pt_scheduler_create(struct pt_loop *l, const struct pt_scheduler_options *o, struct pt_scheduler **out, struct pt_err *err)
{
    struct pt_scheduler *s = pt_calloc(1, sizeof *s + (size_t)o->workers * sizeof s->workers[0]);
    pthread_condattr_t monotonic;
    if (!s)
        return pt_fail(err, PT_ENOMEM, "scheduler: out of memory");
    s->loop = l;
    s->o = *o;
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int rc = start_threads(s, err);
    if (rc < 0) {
        pt_scheduler_destroy(s);
        return rc;
    }
    *out = s;
    return PT_OK;
}

void pt_scheduler_destroy(struct pt_scheduler *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    for (int i = 0; i < s->started; i++)
        if (s->workers[i].current)
            s->workers[i].current->queue->o.ops->stop(s->workers[i].current, i);
    pthread_cond_broadcast(&s->wake);
    pthread_mutex_unlock(&s->lock);
    for (int i = 0; i < s->started; i++)
        pthread_join(s->workers[i].thread, NULL);
    for (struct pt_queue *q = s->queues; q; q = q->next)
        q->scheduler = NULL;
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
    pt_free(s);
}
