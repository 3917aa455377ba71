/* SPDX-License-Identifier: Apache-2.0
 *
 * scheduler.c: one mutex guards the queue, the states of jobs and the counts. A job's way is IDLE -> QUEUED -> RUNNING -> FINISHED ->
 * done, or QUEUED -> FINISHED when it is cancelled or late; whoever moves it to FINISHED posts it to the loop.
 */
#include "sidecar/scheduler.h"

#include "base/mem.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { IDLE, QUEUED, RUNNING, FINISHED };
enum { CLAMP = 4 };

struct worker {
    struct pt_scheduler *scheduler;
    pthread_t thread;
    int slot;
    struct pt_job *current;
};

struct pt_scheduler {
    struct pt_loop *loop;
    struct pt_scheduler_options o;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* guarded by lock */
    struct pt_job *head, *tail;
    int queued, running, sleeping;
    bool stopping;
    int64_t service_ns, short_ns; /* averages; in the second no run counts more than CLAMP limits: a pause of the machine is no slow model */
    int started; /* threads */
    struct worker workers[];
};

static void append(struct pt_scheduler *s, struct pt_job *j)
{
    j->next = NULL;
    j->prev = s->tail;
    *(s->tail ? &s->tail->next : &s->head) = j;
    s->tail = j;
    s->queued++;
}

static void remove_queued(struct pt_scheduler *s, struct pt_job *j)
{
    *(j->prev ? &j->prev->next : &s->head) = j->next;
    *(j->next ? &j->next->prev : &s->tail) = j->prev;
    s->queued--;
}

/* What the worker runs next: the oldest. */
static struct pt_job *take(struct pt_scheduler *s)
{
    struct pt_job *j = s->head;
    remove_queued(s, j);
    return j;
}

static void start_running(struct pt_scheduler *s, struct pt_job *j, int slot)
{
    j->state = RUNNING;
    j->slot = slot;
    j->ran = true;
    s->running++;
}

/* Over the last eight or so. */
static void average(int64_t *mean, int64_t value)
{
    *mean += *mean ? (value - *mean) / 8 : value;
}

static void end_running(struct pt_scheduler *s, struct pt_job *j)
{
    int64_t took = j->finished_ns - j->started_ns, most = CLAMP * s->o.run_here_ns;
    s->running--;
    average(&s->service_ns, took);
    average(&s->short_ns, took < most ? took : most);
    j->state = FINISHED;
}

static void run(struct pt_job *j, int slot)
{
    j->started_ns = pt_clock_mono_ns();
    j->ops->run(j, slot);
    j->finished_ns = pt_clock_mono_ns();
}

/* On the loop: gives the job back. */
static void deliver(struct pt_post *p)
{
    struct pt_job *j = (struct pt_job *)(void *)((char *)p - offsetof(struct pt_job, post));
    pt_timer_stop(pt_loop_sched(j->scheduler->loop), &j->timer);
    j->ops->done(j);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct pt_scheduler *s = w->scheduler;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (!s->head && !s->stopping) {
            s->sleeping++;
            pthread_cond_wait(&s->wake, &s->lock);
            s->sleeping--;
        }
        if (s->stopping)
            break;
        struct pt_job *j = w->current = take(s);
        start_running(s, j, w->slot);
        pthread_mutex_unlock(&s->lock);
        run(j, w->slot);
        pthread_mutex_lock(&s->lock);
        end_running(s, j);
        w->current = NULL;
        pthread_mutex_unlock(&s->lock);
        pt_loop_post(s->loop, &j->post); /* from here on j may be gone */
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* Takes it off the queue, or asks its run to stop. The first reason counts. */
static void stop_job(struct pt_scheduler *s, struct pt_job *j, int why)
{
    bool give_back = false;
    pthread_mutex_lock(&s->lock);
    int none = 0;
    if (j->state == QUEUED || j->state == RUNNING)
        atomic_compare_exchange_strong(&j->stopped, &none, why);
    if (j->state == QUEUED) {
        remove_queued(s, j);
        j->state = FINISHED;
        give_back = true;
    } else if (j->state == RUNNING)
        j->ops->stop(j, j->slot);
    pthread_mutex_unlock(&s->lock);
    if (give_back)
        pt_loop_post(s->loop, &j->post);
}

static void on_deadline(struct pt_timer *t)
{
    struct pt_job *j = (struct pt_job *)(void *)((char *)t - offsetof(struct pt_job, timer));
    stop_job(j->scheduler, j, PT_ETIMEDOUT);
}

void pt_scheduler_cancel(struct pt_scheduler *s, struct pt_job *j)
{
    stop_job(s, j, PT_ECANCELED);
}

/* When a place should be free if all that is here takes as long as the last ones did; whole seconds, rounded up. */
static int retry_after(const struct pt_scheduler *s)
{
    int64_t wait_ns = s->service_ns * (s->queued + s->running) / s->o.workers;
    int64_t seconds = (wait_ns + 999999999) / 1000000000;
    return seconds < 1 ? 1 : seconds > 3600 ? 3600 : (int)seconds;
}

int pt_scheduler_room(struct pt_scheduler *s, int *retry_after_s, struct pt_err *err)
{
    pthread_mutex_lock(&s->lock);
    int here = s->queued + s->running;
    *retry_after_s = retry_after(s);
    pthread_mutex_unlock(&s->lock);
    if (here < s->o.concurrency + s->o.queue)
        return PT_OK;
    return pt_fail(err, PT_EBUSY, "the queue is full: %d requests are here already, try again in %d s", here, *retry_after_s);
}

void pt_scheduler_submit(struct pt_scheduler *s, struct pt_job *j)
{
    j->scheduler = s;
    j->post.fn = deliver;
    j->queued_ns = pt_clock_mono_ns();
    pthread_mutex_lock(&s->lock);
    j->state = QUEUED;
    append(s, j);
    bool wake = s->sleeping > 0;
    pthread_mutex_unlock(&s->lock);
    if (wake)
        pthread_cond_signal(&s->wake);
    struct pt_sched *clock = pt_loop_sched(s->loop);
    int64_t left_ms = j->deadline_ms - pt_now_ms(clock);
    pt_timer_start(clock, &j->timer, left_ms > 0 ? left_ms : 0, on_deadline);
}

bool pt_scheduler_run_here(struct pt_scheduler *s, struct pt_job *j)
{
    pthread_mutex_lock(&s->lock);
    bool allowed = s->short_ns > 0 && s->short_ns < s->o.run_here_ns && s->queued == 0 && s->running < s->o.concurrency;
    if (allowed)
        start_running(s, j, s->o.workers);
    pthread_mutex_unlock(&s->lock);
    if (!allowed)
        return false;
    run(j, s->o.workers);
    j->queued_ns = j->started_ns;
    pthread_mutex_lock(&s->lock);
    end_running(s, j);
    pthread_mutex_unlock(&s->lock);
    return true;
}

int pt_scheduler_slots(const struct pt_scheduler *s)
{
    return s->o.workers + 1;
}

void pt_scheduler_stats(struct pt_scheduler *s, struct pt_scheduler_stats *out)
{
    pthread_mutex_lock(&s->lock);
    *out = (struct pt_scheduler_stats){.running = s->running, .queued = s->queued, .service_ns = s->service_ns};
    pthread_mutex_unlock(&s->lock);
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
    if (pt_sched_reserve(pt_loop_sched(l), (size_t)o->concurrency + (size_t)o->queue + 64, err) < 0)
        return pt_wrap(err, "scheduler");
    struct pt_scheduler *s = pt_calloc(1, sizeof *s + (size_t)o->workers * sizeof s->workers[0]);
    if (!s)
        return pt_fail(err, PT_ENOMEM, "scheduler: out of memory");
    s->loop = l;
    s->o = *o;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wake, NULL);
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
            s->workers[i].current->ops->stop(s->workers[i].current, i);
    pthread_cond_broadcast(&s->wake);
    pthread_mutex_unlock(&s->lock);
    for (int i = 0; i < s->started; i++)
        pthread_join(s->workers[i].thread, NULL);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
    pt_free(s);
}
