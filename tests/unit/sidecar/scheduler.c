/* SPDX-License-Identifier: Apache-2.0
 *
 * scheduler.c: order, bounds, deadlines, cancellation, joining, priorities and fairness, with jobs that hold their worker until the test lets go.
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
    struct pt_queue *q;
    struct job {
        struct pt_job job;
        struct fixture *f;
        atomic_bool hold, begun, stop_asked;
        int order; /* in which it began */
        int run;   /* in which run it was */
        bool done;
        /* what prepare finds out */
        int kind, rows, priority, fails;
        bool alone;
        int64_t max_wait_us;
    } jobs[MAX_JOBS];
    atomic_int begun, runs;
    int done, stop_at;
    int64_t work_ns; /* that a run takes */
};

static struct job *of(struct pt_job *j)
{
    return (struct job *)j;
}

static int prepare_job(struct pt_job *j)
{
    struct job *job = of(j);
    j->rows = job->rows;
    j->priority = (uint32_t)job->priority;
    j->alone = job->alone;
    j->max_wait_us = job->max_wait_us;
    return job->fails;
}

static bool joins(const struct pt_job *a, const struct pt_job *b)
{
    return ((const struct job *)a)->kind == ((const struct job *)b)->kind;
}

static void run(struct pt_job *first, int slot)
{
    struct fixture *f = of(first)->f;
    int number = atomic_fetch_add(&f->runs, 1);
    int64_t end_ns = pt_clock_mono_ns() + f->work_ns;
    (void)slot;
    for (struct pt_job *j = first; j; j = j->next) {
        struct job *job = of(j);
        job->run = number;
        job->order = atomic_fetch_add(&f->begun, 1);
        atomic_store(&job->begun, true);
    }
    while ((atomic_load(&of(first)->hold) && !atomic_load(&of(first)->stop_asked)) || pt_clock_mono_ns() < end_ns)
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

static const struct pt_job_ops ops = {prepare_job, joins, run, stop, done};

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

static struct fixture *set_up_queue(int workers, int64_t run_here_ns, struct pt_queue_options qo)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct pt_scheduler_options o = {.workers = workers, .run_here_ns = run_here_ns};
    qo.ops = &ops;
    assert_int_equal(pt_loop_create(&f->loop, NULL), PT_OK);
    assert_int_equal(pt_scheduler_create(f->loop, &o, &f->s, NULL), PT_OK);
    assert_int_equal(pt_queue_create(f->s, &qo, &f->q, NULL), PT_OK);
    return f;
}

static struct fixture *set_up(int workers, int concurrency, int queue, int64_t run_here_ns)
{
    return set_up_queue(workers, run_here_ns, (struct pt_queue_options){.in_flight = concurrency, .waiting = queue});
}

static void tear_down(struct fixture *f)
{
    pt_scheduler_destroy(f->s);
    pt_queue_destroy(f->q);
    pt_loop_destroy(f->loop);
    free(f);
}

static struct job *prepare(struct fixture *f, int i, bool hold, int64_t timeout_ms)
{
    struct job *j = &f->jobs[i];
    j->f = f;
    j->job.deadline_ms = pt_now_ms(pt_loop_sched(f->loop)) + timeout_ms;
    atomic_store(&j->hold, hold);
    return j;
}

static struct job *submit(struct fixture *f, int i, bool hold, int64_t timeout_ms)
{
    struct job *j = prepare(f, i, hold, timeout_ms);
    int retry;
    assert_int_equal(pt_queue_room(f->q, &retry, NULL), PT_OK);
    pt_queue_submit(f->q, &j->job);
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
    struct pt_queue_stats stats;
    for (int i = 0; i < 5; i++)
        submit(f, i, true, 60000);
    for (int i = 0; i < 3; i++)
        wait_begun(&f->jobs[i]);
    pt_queue_stats(f->q, &stats);
    assert_int_equal(stats.running, 3);
    assert_int_equal(stats.queued, 2);
    assert_false(f->jobs[3].begun || f->jobs[4].begun);
    for (int i = 0; i < 5; i++)
        atomic_store(&f->jobs[i].hold, false);
    until_done(f, 5);
    pt_queue_stats(f->q, &stats);
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
    assert_int_equal(pt_queue_room(f->q, &retry, &err), PT_EBUSY);
    assert_int_equal(retry, 1); /* nothing measured yet */
    assert_string_equal(err.msg, "the queue is full: 5 requests are here already, try again in 1 s");
    usleep(450000); /* the first job takes that long: its followers will make a new one wait about 2 s */
    atomic_store(&f->jobs[0].hold, false);
    until_done(f, 1);
    submit(f, 5, true, 60000);
    assert_int_equal(pt_queue_room(f->q, &retry, NULL), PT_EBUSY);
    assert_in_range(retry, 2, 6);
    for (int i = 1; i < 6; i++)
        atomic_store(&f->jobs[i].hold, false);
    until_done(f, 6);
    assert_int_equal(pt_queue_room(f->q, &retry, NULL), PT_OK);
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
    pt_job_cancel(&waiting->job);
    assert_false(waiting->done); /* never from inside the call */
    until_done(f, 1);
    assert_true(waiting->done && !waiting->job.ran);
    pt_job_cancel(&running->job);
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
    struct pt_queue_stats stats = {.running = 1};
    wait_begun(j);
    for (int i = 0; i < 5000 && stats.running; i++) {
        usleep(1000);
        pt_queue_stats(f->q, &stats);
    }
    pt_job_cancel(&j->job);
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
    assert_false(pt_queue_run_here(f->q, &first->job)); /* nothing is known of its cost */
    pt_queue_submit(f->q, &first->job);
    until_done(f, 1);
    assert_true(pt_queue_run_here(f->q, &prepare(f, 1, false, 60000)->job));
    assert_true(f->jobs[1].begun && !f->jobs[1].done);
    struct job *held = submit(f, 2, true, 60000);
    wait_begun(held);
    assert_true(pt_queue_run_here(f->q, &prepare(f, 3, false, 60000)->job)); /* a second at once is allowed */
    submit(f, 4, false, 60000);
    assert_false(pt_queue_run_here(f->q, &prepare(f, 5, false, 60000)->job)); /* it would overtake one that waits */
    usleep(100000);
    atomic_store(&held->hold, false);
    until_done(f, 3);
    assert_true(pt_queue_run_here(f->q, &prepare(f, 6, false, 60000)->job)); /* one slow run may be the machine's fault */
    for (int i = 7; i < 10; i++) {
        held = submit(f, i, true, 60000);
        usleep(100000);
        atomic_store(&held->hold, false);
        until_done(f, i - 3);
    }
    assert_false(pt_queue_run_here(f->q, &prepare(f, 10, false, 60000)->job)); /* three are the model's */
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

/* --- joining --------------------------------------------------------------------------------------------------------------------- */

/* A worker that is held, so that what is submitted meanwhile waits; job 0. */
static void hold_worker(struct fixture *f)
{
    f->jobs[0].kind = -1;
    wait_begun(submit(f, 0, true, 60000));
}

static void let_go(struct fixture *f, int count)
{
    usleep(20000); /* what was submitted is prepared, if there is a worker for it */
    atomic_store(&f->jobs[0].hold, false);
    until_done(f, count);
}

/* Jobs of one kind share runs, which hold no more than max_rows. */
static void joined_up_to_the_most_rows(void **state)
{
    (void)state;
    static const struct {
        int rows, kind;
        bool alone;
    } rows[] = {{1, 0, false}, {2, 0, false}, {3, 1, false}, {1, 0, false}, {1, 0, true},
                {5, 1, false}, {9, 0, false}, {4, 0, false}, {1, 0, false}, {1, 1, false}};
    enum { N = sizeof rows / sizeof rows[0] };
    struct fixture *f = set_up_queue(1, 0, (struct pt_queue_options){.in_flight = 8, .waiting = MAX_JOBS, .max_rows = 8});
    hold_worker(f);
    for (int i = 0; i < N; i++) {
        f->jobs[i + 1].rows = rows[i].rows;
        f->jobs[i + 1].kind = rows[i].kind;
        f->jobs[i + 1].alone = rows[i].alone;
        submit(f, i + 1, false, 60000);
    }
    let_go(f, N + 1);
    for (int i = 0; i < N; i++) {
        int run = f->jobs[i + 1].run, together = 0;
        for (int k = 0; k < N; k++)
            if (f->jobs[k + 1].run == run) {
                together += rows[k].rows;
                assert_int_equal(rows[k].kind, rows[i].kind);
                assert_true(k == i || !rows[i].alone);
            }
        assert_true(together <= 8 || together == rows[i].rows);
    }
    assert_int_equal(f->jobs[1].run, f->jobs[2].run);
    assert_int_equal(f->jobs[3].run, f->jobs[6].run);
    assert_int_equal(f->runs, 1 + 6);
    tear_down(f);
}

static void waits_for_others_no_longer_than_told(void **state)
{
    (void)state;
    struct fixture *f =
        set_up_queue(2, 0, (struct pt_queue_options){.in_flight = 8, .waiting = 8, .max_rows = 4, .max_delay_ns = 400000000, .preferred = {3}});
    int64_t begin_ns = pt_clock_mono_ns();
    submit(f, 0, false, 60000);
    until_done(f, 1); /* nobody else came */
    assert_in_range(pt_clock_mono_ns() - begin_ns, 390000000, 5000000000);
    begin_ns = pt_clock_mono_ns();
    for (int i = 1; i <= 3; i++)
        submit(f, i, false, 60000);
    until_done(f, 4); /* a preferred number */
    assert_in_range(pt_clock_mono_ns() - begin_ns, 0, 390000000);
    assert_int_equal(f->jobs[1].run, f->jobs[3].run);
    f->jobs[4].alone = true;
    begin_ns = pt_clock_mono_ns();
    submit(f, 4, false, 60000);
    until_done(f, 5);
    assert_in_range(pt_clock_mono_ns() - begin_ns, 0, 390000000);
    tear_down(f);
    f = set_up_queue(2, 0, (struct pt_queue_options){.in_flight = 8, .waiting = 8, .max_rows = 4, .max_delay_ns = 400000000});
    begin_ns = pt_clock_mono_ns();
    for (int i = 0; i < 4; i++)
        submit(f, i, false, 60000);
    until_done(f, 4); /* the most: at once */
    assert_in_range(pt_clock_mono_ns() - begin_ns, 0, 390000000);
    tear_down(f);
}

static void a_run_stops_when_nobody_wants_it(void **state)
{
    (void)state;
    struct fixture *f = set_up_queue(1, 0, (struct pt_queue_options){.in_flight = 8, .waiting = 8, .max_rows = 4, .max_delay_ns = 20000000});
    atomic_store(&f->jobs[0].hold, true);
    struct job *a = submit(f, 0, true, 60000), *b = submit(f, 1, true, 60000);
    wait_begun(a);
    wait_begun(b);
    assert_int_equal(a->run, b->run);
    pt_job_cancel(&a->job);
    usleep(5000);
    assert_false(a->stop_asked || b->stop_asked);
    pt_job_cancel(&b->job);
    assert_true(a->stop_asked || b->stop_asked);
    atomic_store(&a->hold, false);
    until_done(f, 2);
    assert_int_equal(a->job.stopped, PT_ECANCELED);
    assert_int_equal(b->job.stopped, PT_ECANCELED);
    tear_down(f);
}

static void failed_preparation_is_the_end(void **state)
{
    (void)state;
    struct fixture *f = set_up(1, 4, 4, 0);
    f->jobs[0].fails = PT_EINVAL;
    submit(f, 0, false, 60000);
    submit(f, 1, false, 60000);
    until_done(f, 2);
    assert_false(f->jobs[0].job.ran || f->jobs[0].job.prepared);
    assert_true(f->jobs[1].job.ran && f->jobs[1].job.prepared);
    tear_down(f);
}

/* --- order and shares ---------------------------------------------------------------------------------------------------------------- */

static void by_priority_then_by_arrival(void **state)
{
    (void)state;
    static const int priority[] = {2, 1, 3, 1, 2, 3}, order[] = {3, 1, 5, 2, 4, 6};
    struct fixture *f = set_up_queue(1, 0, (struct pt_queue_options){.in_flight = 8, .waiting = 8, .by_priority = true});
    hold_worker(f);
    for (int i = 0; i < 6; i++) {
        f->jobs[i + 1].priority = priority[i];
        submit(f, i + 1, false, 60000);
    }
    let_go(f, 7);
    for (int i = 0; i < 6; i++)
        assert_int_equal(f->jobs[i + 1].order, order[i]);
    tear_down(f);
}

/* Two workers, one run at a time: the second worker prepares what then has to wait. */
static void own_limit_of_waiting(void **state)
{
    (void)state;
    struct fixture *f = set_up_queue(2, 0, (struct pt_queue_options){.in_flight = 8, .waiting = 8, .runs = 1});
    f->jobs[0].max_wait_us = 30000;
    struct job *runs = submit(f, 0, true, 60000); /* it begins at once: the limit means nothing any more */
    wait_begun(runs);
    f->jobs[1].max_wait_us = 30000;
    struct job *waits = submit(f, 1, false, 60000);
    until_done(f, 1);
    assert_true(waits->done && !waits->job.ran);
    assert_int_equal(waits->job.stopped, PT_ETIMEDOUT);
    usleep(50000);
    atomic_store(&runs->hold, false);
    until_done(f, 2);
    assert_true(runs->job.ran);
    assert_int_equal(runs->job.stopped, 0);
    tear_down(f);
}

/* One queue is always full, the other has a job now and then: it must not wait for all of the first. */
static void fair_between_queues(void **state)
{
    (void)state;
    struct fixture *f = set_up(1, 40, 40, 0);
    struct pt_queue *busy = f->q, *other;
    struct pt_queue_options qo = {.ops = &ops, .in_flight = 8, .waiting = 8};
    assert_int_equal(pt_queue_create(f->s, &qo, &other, NULL), PT_OK);
    f->work_ns = 2000000;
    for (int i = 0; i < 30; i++)
        submit(f, i, false, 60000);
    wait_begun(&f->jobs[3]);
    f->q = other;
    for (int i = 30; i < 33; i++)
        submit(f, i, false, 60000);
    f->q = busy;
    until_done(f, 33);
    for (int i = 0; i < 3; i++)
        assert_in_range(f->jobs[30 + i].order, 0, 12 + 2 * i);
    tear_down(f);
    pt_queue_destroy(other);
}

/* What costs 20 ms must begin within 50 ms: two or three per worker may be here. */
static void room_follows_cost(void **state)
{
    (void)state;
    struct fixture *f = set_up_queue(1, 0, (struct pt_queue_options){.in_flight = 1, .waiting = 50, .max_wait_ns = 50000000});
    int retry, taken = 0;
    for (int i = 0; i < 20; i++)
        submit(f, i, false, 60000); /* nothing is known yet */
    until_done(f, 20);
    f->work_ns = 20000000;
    for (int i = 20; i < 30; i++) {
        submit(f, i, false, 60000);
        until_done(f, i + 1);
    }
    for (int i = 30; i < 50 && pt_queue_room(f->q, &retry, NULL) == PT_OK; i++, taken++)
        pt_queue_submit(f->q, &prepare(f, i, true, 60000)->job);
    assert_in_range(taken, 2, 4);
    for (int i = 30; i < 50; i++)
        atomic_store(&f->jobs[i].hold, false);
    until_done(f, 30 + taken);
    tear_down(f);
}

/* Ten are quick, the next one is not: who waited behind it gives way to who comes later, but for as many as are always taken. */
static void late_ones_are_given_back(void **state)
{
    (void)state;
    struct fixture *f = set_up_queue(1, 0, (struct pt_queue_options){.waiting = 50, .max_wait_ns = 20000000});
    int late = 0;
    for (int i = 0; i < 10; i++) {
        submit(f, i, false, 60000);
        until_done(f, i + 1);
    }
    wait_begun(submit(f, 10, true, 60000));
    for (int i = 11; i < 16; i++)
        submit(f, i, false, 60000);
    usleep(200000);
    struct job *last = submit(f, 16, false, 60000);
    atomic_store(&f->jobs[10].hold, false);
    until_done(f, 17);
    for (int i = 0; i < 17; i++) {
        int stopped = f->jobs[i].job.stopped;
        assert_int_equal(stopped, f->jobs[i].job.ran ? 0 : PT_EBUSY);
        late += stopped == PT_EBUSY;
    }
    assert_int_equal(late, 4);
    assert_true(last->job.ran);
    assert_in_range(pt_queue_retry_after(f->q), 1, 1);
    tear_down(f);
}

static void out_of_memory(void **state)
{
    (void)state;
    struct pt_loop *loop;
    struct pt_scheduler *s;
    struct pt_queue *q;
    struct pt_err err;
    struct pt_scheduler_options o = {.workers = 1};
    struct pt_queue_options qo = {.ops = &ops, .in_flight = 500, .waiting = 500};
    assert_int_equal(pt_loop_create(&loop, NULL), PT_OK);
    pt_mem_fail_at(1, 0);
    int rc = pt_scheduler_create(loop, &o, &s, &err);
    pt_mem_fail_at(0, 0);
    assert_int_equal(rc, PT_ENOMEM);
    assert_int_equal(pt_scheduler_create(loop, &o, &s, &err), PT_OK);
    for (int n = 1; n <= 2; n++) {
        pt_mem_fail_at(n, 0);
        rc = pt_queue_create(s, &qo, &q, &err);
        pt_mem_fail_at(0, 0);
        if (n == 1 || rc < 0)
            assert_int_equal(rc, PT_ENOMEM);
        else
            pt_queue_destroy(q);
    }
    pt_scheduler_destroy(s);
    pt_loop_destroy(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_in_first_out),
        cmocka_unit_test(as_many_at_once_as_workers),
        cmocka_unit_test(bounded),
        cmocka_unit_test(deadline_in_queue_and_run),
        cmocka_unit_test(cancel_in_queue_and_run),
        cmocka_unit_test(cancel_after_the_end_changes_nothing),
        cmocka_unit_test(cheap_jobs_run_here),
        cmocka_unit_test(destroyed_with_work),
        cmocka_unit_test(joined_up_to_the_most_rows),
        cmocka_unit_test(waits_for_others_no_longer_than_told),
        cmocka_unit_test(a_run_stops_when_nobody_wants_it),
        cmocka_unit_test(failed_preparation_is_the_end),
        cmocka_unit_test(by_priority_then_by_arrival),
        cmocka_unit_test(own_limit_of_waiting),
        cmocka_unit_test(fair_between_queues),
        cmocka_unit_test(room_follows_cost),
        cmocka_unit_test(late_ones_are_given_back),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
