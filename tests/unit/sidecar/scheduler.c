/* SPDX-License-Identifier: Apache-2.0
 *
 * scheduler.c: order, bounds, deadlines and cancellation, with jobs that hold their worker until the test lets go.
 */
#include "base/mem.h"
#include "sidecar/scheduler.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAX_JOBS = 64 };

struct fixture {
    struct pt_loop *loop;
    struct pt_scheduler *s;
    struct job {
        struct pt_job job;
        struct fixture *f;
        atomic_bool hold, begun, stop_asked;
        int order; /* in which it began */
        bool done;
    } jobs[MAX_JOBS];
    atomic_int begun;
    int done, stop_at;
};

static struct job *of(struct pt_job *j)
{
    return (struct job *)j;
}

static void run(struct pt_job *j, int slot)
{
    struct job *job = of(j);
    (void)slot;
    job->order = atomic_fetch_add(&job->f->begun, 1);
    atomic_store(&job->begun, true);
    while (atomic_load(&job->hold) && !atomic_load(&job->stop_asked))
        usleep(200);
}

static void stop(struct pt_job *j, int slot)
{
    (void)slot;
    atomic_store(&of(j)->stop_asked, true);
}

static void done(struct pt_job *j)
{
    struct job *job = of(j);
    assert_false(job->done);
    job->done = true;
    if (++job->f->done == job->f->stop_at)
        pt_loop_stop(job->f->loop);
}

static const struct pt_job_ops ops = {run, stop, done};

static void on_timeout(struct pt_timer *t)
{
    (void)t;
    fail_msg("the jobs did not come back");
}

/* Runs the loop until so many jobs came back. */
static void until_done(struct fixture *f, int count)
{
    struct pt_timer limit = {0};
    f->stop_at = count;
    pt_timer_start(pt_loop_sched(f->loop), &limit, 10000, on_timeout);
    if (f->done < count)
        pt_loop_run(f->loop);
    pt_timer_stop(pt_loop_sched(f->loop), &limit);
    assert_int_equal(f->done, count);
}

static struct fixture *set_up(int workers, int concurrency, int queue, int64_t run_here_ns)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct pt_scheduler_options o = {.workers = workers, .concurrency = concurrency, .queue = queue, .run_here_ns = run_here_ns};
    assert_int_equal(pt_loop_create(&f->loop, NULL), PT_OK);
    assert_int_equal(pt_scheduler_create(f->loop, &o, &f->s, NULL), PT_OK);
    return f;
}

static void tear_down(struct fixture *f)
{
    pt_scheduler_destroy(f->s);
    pt_loop_destroy(f->loop);
    free(f);
}

static struct job *prepare(struct fixture *f, int i, bool hold, int64_t timeout_ms)
{
    struct job *j = &f->jobs[i];
    j->f = f;
    j->job.ops = &ops;
    j->job.deadline_ms = pt_now_ms(pt_loop_sched(f->loop)) + timeout_ms;
    atomic_store(&j->hold, hold);
    return j;
}

static struct job *submit(struct fixture *f, int i, bool hold, int64_t timeout_ms)
{
    struct job *j = prepare(f, i, hold, timeout_ms);
    int retry;
    assert_int_equal(pt_scheduler_room(f->s, &retry, NULL), PT_OK);
    pt_scheduler_submit(f->s, &j->job);
    return j;
}

static void wait_begun(struct job *j)
{
    for (int i = 0; i < 5000 && !atomic_load(&j->begun); i++)
        usleep(1000);
    assert_true(atomic_load(&j->begun));
}

static void first_in_first_out(void **state)
{
    (void)state;
    struct fixture *f = set_up(1, 1, MAX_JOBS, 0);
    for (int i = 0; i < MAX_JOBS; i++)
        submit(f, i, false, 60000);
    until_done(f, MAX_JOBS);
    for (int i = 0; i < MAX_JOBS; i++)
        assert_int_equal(f->jobs[i].order, i);
    tear_down(f);
}

static void as_many_at_once_as_workers(void **state)
{
    (void)state;
    struct fixture *f = set_up(3, 3, 8, 0);
    struct pt_scheduler_stats stats;
    for (int i = 0; i < 5; i++)
        submit(f, i, true, 60000);
    for (int i = 0; i < 3; i++)
        wait_begun(&f->jobs[i]);
    pt_scheduler_stats(f->s, &stats);
    assert_int_equal(stats.running, 3);
    assert_int_equal(stats.queued, 2);
    assert_false(f->jobs[3].begun || f->jobs[4].begun);
    for (int i = 0; i < 5; i++)
        atomic_store(&f->jobs[i].hold, false);
    until_done(f, 5);
    pt_scheduler_stats(f->s, &stats);
    assert_int_equal(stats.running + stats.queued, 0);
    assert_true(stats.service_ns > 0);
    tear_down(f);
}

static void bounded(void **state)
{
    (void)state;
    struct fixture *f = set_up(1, 2, 3, 0);
    struct pt_err err;
    int retry = 0;
    for (int i = 0; i < 5; i++)
        submit(f, i, true, 60000);
    assert_int_equal(pt_scheduler_room(f->s, &retry, &err), PT_EBUSY);
    assert_int_equal(retry, 1); /* nothing measured yet */
    assert_string_equal(err.msg, "the queue is full: 5 requests are here already, try again in 1 s");
    usleep(450000); /* the first job takes that long: its followers will make a new one wait about 2 s */
    atomic_store(&f->jobs[0].hold, false);
    until_done(f, 1);
    submit(f, 5, true, 60000);
    assert_int_equal(pt_scheduler_room(f->s, &retry, NULL), PT_EBUSY);
    assert_in_range(retry, 2, 6);
    for (int i = 1; i < 6; i++)
        atomic_store(&f->jobs[i].hold, false);
    until_done(f, 6);
    assert_int_equal(pt_scheduler_room(f->s, &retry, NULL), PT_OK);
    tear_down(f);
}

static void deadline_in_queue_and_run(void **state)
{
    (void)state;
    struct fixture *f = set_up(1, 1, 4, 0);
    struct job *running = submit(f, 0, true, 60), *waiting = submit(f, 1, false, 30);
    until_done(f, 1);
    assert_true(waiting->done && !waiting->job.ran);
    assert_int_equal(waiting->job.stopped, PT_ETIMEDOUT);
    until_done(f, 2);
    assert_true(running->job.ran && running->stop_asked);
    assert_int_equal(running->job.stopped, PT_ETIMEDOUT);
    tear_down(f);
}

static void cancel_in_queue_and_run(void **state)
{
    (void)state;
    struct fixture *f = set_up(1, 1, 4, 0);
    struct job *running = submit(f, 0, true, 60000), *waiting = submit(f, 1, false, 60000), *last = submit(f, 2, false, 60000);
    wait_begun(running);
    pt_scheduler_cancel(f->s, &waiting->job);
    assert_false(waiting->done); /* never from inside the call */
    until_done(f, 1);
    assert_true(waiting->done && !waiting->job.ran);
    pt_scheduler_cancel(f->s, &running->job);
    until_done(f, 3);
    assert_int_equal(running->job.stopped, PT_ECANCELED);
    assert_int_equal(last->job.stopped, 0);
    assert_true(last->job.ran);
    tear_down(f);
}

static void cancel_after_the_end_changes_nothing(void **state)
{
    (void)state;
    struct fixture *f = set_up(1, 1, 4, 0);
    struct job *j = submit(f, 0, false, 60000);
    struct pt_scheduler_stats stats = {.running = 1};
    wait_begun(j);
    for (int i = 0; i < 5000 && stats.running; i++) {
        usleep(1000);
        pt_scheduler_stats(f->s, &stats);
    }
    pt_scheduler_cancel(f->s, &j->job);
    until_done(f, 1);
    assert_int_equal(j->job.stopped, 0);
    assert_false(j->stop_asked);
    tear_down(f);
}

static void cheap_jobs_run_here(void **state)
{
    (void)state;
    struct fixture *f = set_up(1, 2, 4, 20000000);
    struct job *first = prepare(f, 0, false, 60000);
    assert_false(pt_scheduler_run_here(f->s, &first->job)); /* nothing is known of its cost */
    pt_scheduler_submit(f->s, &first->job);
    until_done(f, 1);
    assert_true(pt_scheduler_run_here(f->s, &prepare(f, 1, false, 60000)->job));
    assert_true(f->jobs[1].begun && !f->jobs[1].done);
    struct job *held = submit(f, 2, true, 60000);
    wait_begun(held);
    assert_true(pt_scheduler_run_here(f->s, &prepare(f, 3, false, 60000)->job)); /* a second at once is allowed */
    submit(f, 4, false, 60000);
    assert_false(pt_scheduler_run_here(f->s, &prepare(f, 5, false, 60000)->job)); /* it would overtake one that waits */
    usleep(100000);
    atomic_store(&held->hold, false);
    until_done(f, 3);
    assert_true(pt_scheduler_run_here(f->s, &prepare(f, 6, false, 60000)->job)); /* one slow run may be the machine's fault */
    for (int i = 7; i < 10; i++) {
        held = submit(f, i, true, 60000);
        usleep(100000);
        atomic_store(&held->hold, false);
        until_done(f, i - 3);
    }
    assert_false(pt_scheduler_run_here(f->s, &prepare(f, 10, false, 60000)->job)); /* three are the model's */
    tear_down(f);
}

static void destroyed_with_work(void **state)
{
    (void)state;
    struct fixture *f = set_up(2, 2, 8, 0);
    for (int i = 0; i < 6; i++)
        submit(f, i, true, 60000);
    wait_begun(&f->jobs[0]);
    tear_down(f); /* asks the running ones to stop; a hang is the failure */
}

static void out_of_memory(void **state)
{
    (void)state;
    struct pt_loop *loop;
    struct pt_scheduler *s;
    struct pt_err err;
    struct pt_scheduler_options o = {.workers = 1, .concurrency = 500, .queue = 500};
    assert_int_equal(pt_loop_create(&loop, NULL), PT_OK);
    for (int n = 1; n <= 2; n++) {
        pt_mem_fail_at(n, 0);
        int rc = pt_scheduler_create(loop, &o, &s, &err);
        pt_mem_fail_at(0, 0);
        assert_int_equal(rc, PT_ENOMEM);
    }
    pt_loop_destroy(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_in_first_out),      cmocka_unit_test(as_many_at_once_as_workers), cmocka_unit_test(bounded),
        cmocka_unit_test(deadline_in_queue_and_run), cmocka_unit_test(cancel_in_queue_and_run),  cmocka_unit_test(cancel_after_the_end_changes_nothing),
        cmocka_unit_test(cheap_jobs_run_here),     cmocka_unit_test(destroyed_with_work),        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
