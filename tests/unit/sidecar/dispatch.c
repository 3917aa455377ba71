/* SPDX-License-Identifier: Apache-2.0
 *
 * dispatch.c: overload in virtual time. Requests come at random at a multiple of what the workers can do, and the real policy decides which are
 * taken, joined and run. Whatever the distribution of costs, goodput stays near capacity and what is answered is answered within max_wait and two
 * runs.
 *
 * Capacity is what the workers do if they never wait: workers / mean cost (of what was drawn), with full runs where requests are joined. "Two runs"
 * are two of the slow ones (99th percentile): with costs that vary no queue could promise two mean ones.
 */
#include "base/rand.h"
#include "sidecar/dispatch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MS 1000000LL
enum { MOST_WORKERS = 8, MOST_JOBS = 4096, RUNS = 6000 };

/* --- costs ------------------------------------------------------------------------------------------------------------------------ */

static double uniform(struct pt_rand *r)
{
    return (pt_rand_below(r, 1u << 30) + 0.5) / (double)(1u << 30);
}

static double constant(struct pt_rand *r)
{
    (void)r;
    return 1;
}

static double wide(struct pt_rand *r)
{
    return 0.5 + uniform(r);
}

static double exponential(struct pt_rand *r)
{
    return -log(uniform(r));
}

/* One in twenty takes fifteen times as long as the others. */
static double two_kinds(struct pt_rand *r)
{
    return (uniform(r) < 0.05 ? 15 : 1) / 1.7;
}

/* As of one model with one shape on a machine that has other things to do as well. */
static double disturbed(struct pt_rand *r)
{
    return (uniform(r) < 0.06 ? 1.5 : 0.97) * (0.97 + 0.06 * uniform(r));
}

/* --- the simulation ---------------------------------------------------------------------------------------------------------------- */

struct scenario {
    int workers;
    int64_t max_rows;
    double fixed, per_row; /* a run of n rows costs cost_ms * (fixed + per_row * n) * what the distribution draws */
    double cost_ms, prepare_ms;
    double (*draw)(struct pt_rand *r); /* of mean 1 */
    int64_t max_wait_ms, max_delay_ms;
    int in_flight;
};

struct sim {
    const struct scenario *sc;
    struct pt_dispatch d;
    struct pt_queue q;
    struct pt_rand rand;
    struct pt_job jobs[MOST_JOBS], *unused;
    struct worker {
        int64_t until_ns; /* busy; INT64_MAX: idle */
        struct pt_job *prepares, *runs;
    } workers[MOST_WORKERS];
    int64_t now_ns, from_ns, next_arrival_ns, wake_ns;
    double mean_gap_ns;
    long arrived, refused, late, ended;
    double *latency, *cost; /* ms, of what was answered; of runs */
    double drawn;
    long latencies, costs;
};

static bool joins(const struct pt_job *a, const struct pt_job *b)
{
    (void)a, (void)b;
    return true;
}

static const struct pt_job_ops ops = {.joins = joins};

static void free_job(struct sim *s, struct pt_job *j)
{
    j->next = s->unused;
    s->unused = j;
}

static void arrive(struct sim *s)
{
    int retry = 0;
    s->next_arrival_ns += (int64_t)(exponential(&s->rand) * s->mean_gap_ns) + 1;
    s->arrived++;
    if (!pt_dispatch_room(&s->q, &retry)) {
        assert_in_range(retry, 1, 3600);
        s->refused++;
        return;
    }
    struct pt_job *j = s->unused;
    assert_non_null(j);
    s->unused = j->next;
    *j = (struct pt_job){.rows = 1};
    pt_dispatch_arrive(&s->q, j, s->now_ns);
}

static void end_run(struct sim *s, struct pt_job *first)
{
    for (struct pt_job *j = first; j; j = j->next)
        j->finished_ns = s->now_ns;
    pt_dispatch_end(first);
    for (struct pt_job *j = first, *next; j; j = next) {
        next = j->next;
        if (s->now_ns >= s->from_ns)
            s->latency[s->latencies++] = (double)(s->now_ns - j->queued_ns) / MS;
        s->ended++;
        free_job(s, j);
    }
}

static void end_work(struct sim *s, struct worker *w)
{
    if (w->prepares)
        pt_dispatch_prepared(w->prepares, true);
    else
        end_run(s, w->runs);
    *w = (struct worker){.until_ns = INT64_MAX};
}

static void begin_run(struct sim *s, struct worker *w, struct pt_job *first)
{
    int64_t rows = 0;
    pt_dispatch_begin(first, 0);
    for (struct pt_job *j = first; j; j = j->next, rows++)
        j->started_ns = s->now_ns;
    double drawn = s->sc->draw(&s->rand), cost_ms = s->sc->cost_ms * (s->sc->fixed + s->sc->per_row * (double)rows) * drawn;
    s->drawn += drawn;
    w->runs = first;
    w->until_ns = s->now_ns + (int64_t)(cost_ms * MS) + 1;
    s->cost[s->costs++] = cost_ms;
}

static void give_work(struct sim *s, struct worker *w)
{
    struct pt_task t;
    bool found = pt_dispatch_next(&s->d, s->now_ns, &s->wake_ns, &t);
    for (struct pt_job *j = t.late, *next; j; j = next) {
        next = j->next;
        s->late++;
        free_job(s, j);
    }
    if (found && t.prepare) {
        w->prepares = t.prepare;
        t.prepare->prepare_ns = (int64_t)(s->sc->prepare_ms * MS);
        w->until_ns = s->now_ns + t.prepare->prepare_ns + 1;
    } else if (found) {
        begin_run(s, w, t.run);
    }
}

/* The next thing that happens. */
static void step(struct sim *s)
{
    int64_t next_ns = s->next_arrival_ns < s->wake_ns ? s->next_arrival_ns : s->wake_ns;
    for (int i = 0; i < s->sc->workers; i++)
        next_ns = s->workers[i].until_ns < next_ns ? s->workers[i].until_ns : next_ns;
    s->now_ns = next_ns;
    s->wake_ns = INT64_MAX;
    for (int i = 0; i < s->sc->workers; i++)
        if (s->workers[i].until_ns <= s->now_ns)
            end_work(s, &s->workers[i]);
    if (s->next_arrival_ns <= s->now_ns)
        arrive(s);
    for (int i = 0; i < s->sc->workers; i++)
        if (s->workers[i].until_ns == INT64_MAX)
            give_work(s, &s->workers[i]);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double p99(double *values, long count)
{
    assert_true(count > 0);
    qsort(values, (size_t)count, sizeof *values, by_size);
    return values[(long)(0.99 * (double)(count - 1))];
}

static double capacity_per_ms(const struct scenario *sc)
{
    double rows = (double)sc->max_rows, run_ms = sc->cost_ms * (sc->fixed + sc->per_row * rows) + rows * sc->prepare_ms;
    return sc->workers * rows / run_ms;
}

struct outcome {
    double goodput, p99_ms, bound_ms, usual_bound_ms,
        late; /* goodput of capacity, late of what arrived; the bounds with slow runs, and with mean ones */
};

static struct outcome simulate(const struct scenario *sc, double load, uint64_t seed)
{
    struct sim *s = calloc(1, sizeof *s);
    double all_ms = (sc->max_rows > 1 ? RUNS / 4 : RUNS) * sc->cost_ms * (sc->fixed + sc->per_row * (double)sc->max_rows) / sc->workers;
    s->sc = sc;
    s->d = (struct pt_dispatch){.workers = sc->workers, .queues = &s->q};
    s->q = (struct pt_queue){.dispatch = &s->d,
                             .o = {.ops = &ops,
                                   .in_flight = sc->in_flight,
                                   .waiting = 1000,
                                   .max_wait_ns = sc->max_wait_ms * MS,
                                   .max_rows = sc->max_rows,
                                   .max_delay_ns = sc->max_delay_ms * MS}};
    s->latency = calloc((size_t)(RUNS * sc->max_rows * 2), sizeof *s->latency);
    s->cost = calloc(RUNS * 60, sizeof *s->cost);
    s->from_ns = (int64_t)(all_ms / 10 * MS);
    s->mean_gap_ns = MS / (load * capacity_per_ms(sc));
    s->wake_ns = INT64_MAX;
    pt_rand_init(&s->rand, seed);
    for (int i = 0; i < MOST_JOBS; i++)
        free_job(s, &s->jobs[i]);
    for (int i = 0; i < sc->workers; i++)
        s->workers[i].until_ns = INT64_MAX;
    while (s->now_ns < (int64_t)(all_ms * MS))
        step(s);
    assert_int_equal(s->arrived, s->refused + s->late + s->ended + s->q.here); /* each request has one end */
    double more_ms = (double)(sc->max_wait_ms + sc->max_delay_ms) + (double)sc->max_rows * sc->prepare_ms;
    struct outcome out = {.goodput = (double)s->latencies / (all_ms * 0.9) / capacity_per_ms(sc) * (s->drawn / (double)s->costs),
                          .p99_ms = p99(s->latency, s->latencies),
                          .bound_ms = 2 * p99(s->cost, s->costs) + more_ms,
                          .usual_bound_ms = 2 * sc->cost_ms * (sc->fixed + sc->per_row * (double)sc->max_rows) + more_ms,
                          .late = (double)s->late / (double)s->arrived};
    free(s->latency);
    free(s->cost);
    free(s);
    return out;
}

/* --- properties ----------------------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    double (*draw)(struct pt_rand *r);
} costs[] = {{"constant", constant}, {"uniform", wide}, {"exponential", exponential}, {"two kinds", two_kinds}};
enum { COSTS = sizeof costs / sizeof costs[0] };

static const struct scenario scenarios[] = {
    {.workers = 1, .max_rows = 1, .per_row = 1, .cost_ms = 12, .prepare_ms = 0.1, .max_wait_ms = 50},
    {.workers = 1, .max_rows = 1, .per_row = 1, .cost_ms = 12, .prepare_ms = 0.1, .max_wait_ms = 50, .in_flight = 1},
    {.workers = 2, .max_rows = 1, .per_row = 1, .cost_ms = 12, .max_wait_ms = 50},
    {.workers = 4, .max_rows = 1, .per_row = 1, .cost_ms = 3, .max_wait_ms = 1000},
    {.workers = 1, .max_rows = 1, .per_row = 1, .cost_ms = 200, .max_wait_ms = 1000},
    {.workers = 1, .max_rows = 8, .fixed = 0.5, .per_row = 0.5, .cost_ms = 4, .prepare_ms = 0.05, .max_wait_ms = 50, .max_delay_ms = 2},
    {.workers = 2, .max_rows = 32, .fixed = 0.9, .per_row = 0.1, .cost_ms = 10, .max_wait_ms = 100, .max_delay_ms = 5},
    {.workers = 2, .max_rows = 16, .per_row = 1, .cost_ms = 1, .max_wait_ms = 20},
};
enum { SCENARIOS = sizeof scenarios / sizeof scenarios[0] };

static void overload_keeps_goodput_and_latency(void **state)
{
    static const double loads[] = {1.2, 2, 10};
    (void)state;
    for (int i = 0; i < SCENARIOS; i++)
        for (int k = 0; k < COSTS; k++)
            for (size_t l = 0; l < sizeof loads / sizeof loads[0]; l++) {
                struct scenario sc = scenarios[i];
                sc.draw = costs[k].draw;
                struct outcome o = simulate(&sc, loads[l], 1 + (uint64_t)(i * 100 + k * 10) + l);
                double least = loads[l] < 2 ? 0.8 : 0.95; /* at 1.2x chance leaves a short queue empty now and then: M/M/1/5 loses a tenth */
                if (getenv("VERBOSE") || o.goodput < least || o.p99_ms > o.bound_ms)
                    fprintf(stderr, "scenario %d, %s costs, load %.1f: goodput %.3f of capacity, p99 %.1f of at most %.1f ms, given back late %.4f\n",
                            i, costs[k].name, loads[l], o.goodput, o.p99_ms, o.bound_ms, o.late);
                assert_true(o.goodput >= least);
                assert_true(o.p99_ms <= o.bound_ms);
            }
}

/* Where costs vary as little as one model's do, the bound is that of usual runs, as a client measures them that is alone. */
static void steady_costs_keep_the_usual_bound(void **state)
{
    static const double loads[] = {1.2, 2, 10};
    (void)state;
    for (int i = 0; i < SCENARIOS; i++)
        for (size_t l = 0; l < sizeof loads / sizeof loads[0]; l++) {
            struct scenario sc = scenarios[i];
            sc.draw = disturbed;
            struct outcome o = simulate(&sc, loads[l], 7 + (uint64_t)i * 10 + l);
            double least = loads[l] < 2 ? 0.8 : 0.95;
            if (getenv("VERBOSE") || o.goodput < least || o.p99_ms > o.usual_bound_ms)
                fprintf(stderr, "scenario %d, disturbed, load %.1f: goodput %.3f of capacity, p99 %.1f of at most %.1f ms, given back late %.4f\n", i,
                        loads[l], o.goodput, o.p99_ms, o.usual_bound_ms, o.late);
            assert_true(o.goodput >= least);
            assert_true(o.p99_ms <= o.usual_bound_ms);
        }
}

/* Four wait, then nothing happens for ten seconds, then a fifth comes. */
static int given_back(int in_flight, bool fifth)
{
    struct pt_dispatch d = {.workers = 1};
    struct pt_queue q = {.dispatch = &d, .o = {.ops = &ops, .in_flight = in_flight, .waiting = 100, .max_wait_ns = 50 * MS, .max_rows = 1}};
    struct pt_job jobs[5] = {{0}};
    struct pt_task t;
    int64_t wake_ns;
    int late = 0;
    d.queues = &q;
    for (int i = 0; i < 4; i++)
        pt_dispatch_arrive(&q, &jobs[i], 0);
    if (fifth)
        pt_dispatch_arrive(&q, &jobs[4], 10000 * MS);
    assert_true(pt_dispatch_next(&d, 10001 * MS, &wake_ns, &t));
    for (const struct pt_job *j = t.late; j; j = j->next, late++)
        assert_int_equal(j->state, PT_JOB_FINISHED);
    assert_ptr_equal(t.prepare, &jobs[late]);
    assert_int_equal(q.here, (fifth ? 5 : 4) - late);
    return late;
}

static void only_what_is_too_much_is_given_back(void **state)
{
    (void)state;
    assert_int_equal(given_back(0, false), 0); /* all are late: nothing would be gained */
    assert_int_equal(given_back(0, true), 3);
    assert_int_equal(given_back(4, true), 1);
    assert_int_equal(given_back(5, true), 0); /* so many are always taken */
}

/* Cheap jobs run at once, but where they are told to wait for others to join. */
static void those_that_wait_for_others_do_not_overtake(void **state)
{
    (void)state;
    struct pt_dispatch d = {.workers = 1, .short_ns = MS};
    struct pt_queue q = {.dispatch = &d, .short_ns = 1000, .o = {.ops = &ops, .waiting = 100, .max_rows = 8}};
    struct pt_job a = {0}, b = {0};
    assert_true(pt_dispatch_overtake(&q, &a, 0));
    pt_dispatch_prepared(&a, false);
    q.o.max_delay_ns = 2 * MS;
    assert_false(pt_dispatch_overtake(&q, &b, 0));
    assert_int_equal(q.here, 0);
    q.o.max_rows = 1; /* nobody could join */
    assert_true(pt_dispatch_overtake(&q, &b, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overload_keeps_goodput_and_latency),
        cmocka_unit_test(steady_costs_keep_the_usual_bound),
        cmocka_unit_test(those_that_wait_for_others_do_not_overtake),
        cmocka_unit_test(only_what_is_too_much_is_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
