/* SPDX-License-Identifier: Apache-2.0
 *
 * scheduler.c: threads, clock and timers around the policy (dispatch.h), which one mutex guards. Whoever moves a job to FINISHED posts it to the
 * loop, and not under the lock: the loop may go on at once, on the same CPU, and would wait for it.
 */
#include "base/mem.h"
#include "sidecar/dispatch.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

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
    struct pt_dispatch dispatch;
    int sleeping;
    bool stopping;
    int started; /* threads */
    struct worker workers[];
};

static struct pt_scheduler *scheduler_of(const struct pt_queue *q)
{
    return (struct pt_scheduler *)((char *)q->dispatch - offsetof(struct pt_scheduler, dispatch));
}

/* --- working ------------------------------------------------------------------------------------------------------------------- */

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
    struct pt_sched *clock = pt_loop_sched(scheduler_of(j->queue)->loop);
    int64_t left_ms = (j->queued_ns + j->max_wait_us * 1000 - pt_clock_mono_ns() + 999999) / 1000000;
    if (left_ms < j->deadline_ms - pt_now_ms(clock))
        pt_timer_start(clock, &j->timer, left_ms > 0 ? left_ms : 0, on_deadline);
}

/* With the lock held; it is released meanwhile. From the post on jobs may be gone. */
static void post_all(struct pt_scheduler *s, struct pt_job *first, int stopped)
{
    pthread_mutex_unlock(&s->lock);
    for (struct pt_job *j = first, *next; j; j = next) {
        next = j->next;
        if (stopped)
            atomic_store(&j->stopped, stopped);
        pt_loop_post(s->loop, &j->post);
    }
    pthread_mutex_lock(&s->lock);
}

/* These two likewise. */
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
    pt_dispatch_prepared(j, rc == PT_OK && !atomic_load(&j->stopped));
    if (j->state == PT_JOB_FINISHED)
        post_all(s, j, 0);
}

static void begin(struct worker *w, struct pt_job *first)
{
    pt_dispatch_begin(first, w->slot);
    w->current = first;
}

static void work_run(struct pt_scheduler *s, struct worker *w, struct pt_job *first)
{
    struct pt_queue *q = first->queue;
    pthread_mutex_unlock(&s->lock);
    run(q, first, w->slot);
    pthread_mutex_lock(&s->lock);
    pt_dispatch_end(first);
    w->current = NULL;
    post_all(s, first, 0);
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
        struct pt_task t;
        bool found = pt_dispatch_next(&s->dispatch, pt_clock_mono_ns(), &wake_ns, &t);
        if (t.run)
            begin(w, t.run);
        if (t.late)
            post_all(s, t.late, PT_EBUSY); /* something may have come meanwhile: no sleep after it */
        else if (!found)
            sleep_until(s, wake_ns);
        if (t.prepare)
            work_prepare(s, t.prepare);
        else if (t.run)
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
    pt_timer_stop(pt_loop_sched(scheduler_of(j->queue)->loop), &j->timer);
    if (j->ran)
        pt_dispatch_delivered(j->queue, pt_clock_mono_ns() - j->finished_ns);
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
    struct pt_scheduler *s = scheduler_of(q);
    int none = 0;
    pthread_mutex_lock(&s->lock);
    if (j->state != PT_JOB_IDLE && j->state != PT_JOB_FINISHED)
        atomic_compare_exchange_strong(&j->stopped, &none, why);
    bool give_back = pt_dispatch_remove(j);
    if (j->state == PT_JOB_RUNNING && all_stopped(s, j->slot))
        q->o.ops->stop(j, j->slot);
    pthread_mutex_unlock(&s->lock);
    if (give_back)
        pt_loop_post(s->loop, &j->post);
}

/* A job that has begun has until its deadline, even if it would not have waited as long in the queue. */
static void on_deadline(struct pt_timer *t)
{
    struct pt_job *j = (struct pt_job *)(void *)((char *)t - offsetof(struct pt_job, timer));
    struct pt_scheduler *s = scheduler_of(j->queue);
    struct pt_sched *clock = pt_loop_sched(s->loop);
    int64_t left_ms = j->deadline_ms - pt_now_ms(clock);
    pthread_mutex_lock(&s->lock);
    bool goes_on = left_ms > 0 && (j->state == PT_JOB_RUNNING || j->state == PT_JOB_FINISHED);
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

int pt_queue_room(struct pt_queue *q, int *retry_after_s, struct pt_err *err)
{
    struct pt_scheduler *s = scheduler_of(q);
    pthread_mutex_lock(&s->lock);
    int here = q->here;
    bool room = pt_dispatch_room(q, retry_after_s);
    pthread_mutex_unlock(&s->lock);
    return room ? PT_OK : pt_fail(err, PT_EBUSY, "the queue is full: %d requests are here already, try again in %d s", here, *retry_after_s);
}

int pt_queue_retry_after(struct pt_queue *q)
{
    struct pt_scheduler *s = scheduler_of(q);
    pthread_mutex_lock(&s->lock);
    int seconds = pt_dispatch_retry_after(q);
    pthread_mutex_unlock(&s->lock);
    return seconds;
}

void pt_queue_submit(struct pt_queue *q, struct pt_job *j)
{
    struct pt_scheduler *s = scheduler_of(q);
    struct pt_sched *clock = pt_loop_sched(s->loop);
    int64_t left_ms = j->deadline_ms - pt_now_ms(clock), now_ns = pt_clock_mono_ns();
    j->post.fn = deliver;
    pthread_mutex_lock(&s->lock);
    pt_dispatch_arrive(q, j, now_ns);
    bool wake = s->sleeping > 0;
    pthread_mutex_unlock(&s->lock);
    if (wake)
        pthread_cond_signal(&s->wake);
    pt_timer_start(clock, &j->timer, left_ms > 0 ? left_ms : 0, on_deadline);
}

bool pt_queue_run_here(struct pt_queue *q, struct pt_job *j)
{
    struct pt_scheduler *s = scheduler_of(q);
    int64_t now_ns = pt_clock_mono_ns();
    pthread_mutex_lock(&s->lock);
    bool allowed = pt_dispatch_overtake(q, j, now_ns);
    pthread_mutex_unlock(&s->lock);
    if (!allowed)
        return false;
    int rc = prepare(q, j);
    pthread_mutex_lock(&s->lock);
    if (rc == PT_OK)
        pt_dispatch_begin(j, s->o.workers);
    else
        pt_dispatch_prepared(j, false);
    pthread_mutex_unlock(&s->lock);
    if (rc < 0)
        return true;
    run(q, j, s->o.workers);
    pthread_mutex_lock(&s->lock);
    pt_dispatch_end(j);
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
    struct pt_scheduler *s = scheduler_of(q);
    *out = (struct pt_queue_stats){0};
    pthread_mutex_lock(&s->lock);
    add_stats(q, out);
    pthread_mutex_unlock(&s->lock);
}

void pt_scheduler_stats(struct pt_scheduler *s, struct pt_queue_stats *out)
{
    *out = (struct pt_queue_stats){0};
    pthread_mutex_lock(&s->lock);
    for (const struct pt_queue *q = s->dispatch.queues; q; q = q->next)
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
    for (const struct pt_queue *q = s->dispatch.queues; q; q = q->next)
        jobs += (size_t)q->o.in_flight + (size_t)q->o.waiting;
    pthread_mutex_unlock(&s->lock);
    if (pt_sched_reserve(pt_loop_sched(s->loop), jobs + 64, err) < 0) /* each job has a timer */
        return pt_wrap(err, "queue");
    struct pt_queue *q = pt_calloc(1, sizeof *q);
    if (!q)
        return pt_fail(err, PT_ENOMEM, "queue: out of memory");
    q->dispatch = &s->dispatch;
    q->o = *o;
    q->o.max_rows = o->max_rows > 1 ? o->max_rows : 1;
    pthread_mutex_lock(&s->lock);
    q->next = s->dispatch.queues;
    s->dispatch.queues = q;
    pthread_mutex_unlock(&s->lock);
    *out = q;
    return PT_OK;
}

void pt_queue_destroy(struct pt_queue *q)
{
    if (!q)
        return;
    if (q->dispatch) {
        struct pt_scheduler *s = scheduler_of(q);
        pthread_mutex_lock(&s->lock);
        struct pt_queue **link = &s->dispatch.queues;
        while (*link != q)
            link = &(*link)->next;
        *link = q->next;
        pthread_mutex_unlock(&s->lock);
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
    s->dispatch = (struct pt_dispatch){.workers = o->workers, .short_ns = o->run_here_ns};
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
    for (struct pt_queue *q = s->dispatch.queues; q; q = q->next)
        q->dispatch = NULL;
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
    pt_free(s);
}
