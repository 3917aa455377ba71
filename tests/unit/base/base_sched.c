/* SPDX-License-Identifier: Apache-2.0
 *
 * base_sched.c: timers and virtual time.
 */
#include "unit.h"

#include "base/rand.h"
#include "base/sched.h"

enum { MANY = 500 };

struct entry {
    struct pt_timer timer; /* first member */
    int id, restarts;
};
static struct pt_vsched v;
static int fired[100000], fired_count;

static void note(struct pt_timer *t)
{
    fired[fired_count++] = ((struct entry *)t)->id;
}

static int setup(void **state)
{
    (void)state;
    pt_vsched_init(&v, 1000000);
    fired_count = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pt_sched_finish(&v.sched);
    return 0;
}

static void fires_in_order(void **state)
{
    struct entry e[4] = {{.id = 0}, {.id = 1}, {.id = 2}, {.id = 3}};
    (void)state;
    pt_timer_start(&v.sched, &e[0].timer, 20, note);
    pt_timer_start(&v.sched, &e[1].timer, 10, note);
    pt_timer_start(&v.sched, &e[2].timer, 10, note); /* same time: start order */
    pt_timer_start(&v.sched, &e[3].timer, 30, note);
    pt_timer_stop(&v.sched, &e[3].timer);
    pt_timer_stop(&v.sched, &e[3].timer);
    assert_false(pt_timer_running(&e[3].timer));
    assert_int_equal(pt_sched_next_ms(&v.sched), 10);
    assert_true(pt_vsched_step(&v, 15));
    assert_int_equal(pt_now_ms(&v.sched), 10);
    assert_int_equal(pt_wall_ms(&v.sched), 1000010);
    assert_false(pt_vsched_step(&v, 15)); /* the next is later */
    assert_int_equal(pt_now_ms(&v.sched), 15);
    assert_true(pt_vsched_step(&v, INT64_MAX));
    assert_false(pt_vsched_step(&v, INT64_MAX));
    assert_int_equal(pt_now_ms(&v.sched), 20);
    assert_int_equal(pt_sched_next_ms(&v.sched), -1);
    assert_int_equal(fired_count, 3);
    assert_int_equal(fired[0], 1);
    assert_int_equal(fired[1], 2);
    assert_int_equal(fired[2], 0);
}

static void again(struct pt_timer *t)
{
    struct entry *e = (struct entry *)t;
    note(t);
    assert_false(pt_timer_running(t));
    if (e->restarts-- > 0)
        pt_timer_start(&v.sched, t, 0, again);
}

static void restart_waits_for_the_next_turn(void **state)
{
    struct entry a = {.id = 1, .restarts = 2};
    (void)state;
    pt_timer_start(&v.sched, &a.timer, 0, again);
    assert_int_equal(fired_count, 0); /* never inside the call */
    for (int turn = 1; turn <= 3; turn++) {
        assert_true(pt_vsched_step(&v, 0));
        assert_int_equal(fired_count, turn);
    }
    assert_false(pt_vsched_step(&v, 0));
}

static struct entry *victim;
static void stop_victim(struct pt_timer *t)
{
    note(t);
    pt_timer_stop(&v.sched, &victim->timer);
}

static void callback_stops_another(void **state)
{
    struct entry a = {.id = 1}, b = {.id = 2};
    (void)state;
    victim = &b;
    pt_timer_start(&v.sched, &a.timer, 5, stop_victim);
    pt_timer_start(&v.sched, &b.timer, 5, note);
    assert_true(pt_vsched_step(&v, 10));
    assert_int_equal(fired_count, 1);
    assert_false(pt_timer_running(&b.timer));
}

/* Random starts, restarts and stops; what fires is compared with a plain search through all. */
static void follows_a_plain_search(void **state)
{
    static struct entry e[MANY];
    static int64_t due[MANY], order[MANY];
    struct pt_rand r;
    int64_t seq = 0;
    (void)state;
    memset(e, 0, sizeof e);
    for (int i = 0; i < MANY; i++)
        e[i].id = i, due[i] = -1;
    pt_rand_init(&r, 3);
    for (int step = 0; step < 20000; step++) {
        unsigned i = pt_rand_below(&r, MANY), what = pt_rand_below(&r, 4);
        if (what < 2) {
            int64_t delay = pt_rand_below(&r, 50);
            pt_timer_start(&v.sched, &e[i].timer, delay, note);
            due[i] = v.now + delay;
            order[i] = seq++;
        } else if (what == 2) {
            pt_timer_stop(&v.sched, &e[i].timer);
            due[i] = -1;
        } else {
            fired_count = 0;
            pt_vsched_step(&v, v.now + pt_rand_below(&r, 10));
            for (int n = 0; n < fired_count; n++) {
                int best = -1;
                for (int k = 0; k < MANY; k++)
                    if (due[k] >= 0 && (best < 0 || due[k] < due[best] || (due[k] == due[best] && order[k] < order[best])))
                        best = k;
                assert_int_equal(fired[n], best);
                assert_true(due[best] <= v.now);
                due[best] = -1;
            }
        }
    }
}

static int rearmed;
static void count_rearm(struct pt_sched *s)
{
    (void)s;
    rearmed++;
}

static void rearms_only_when_the_first_changes(void **state)
{
    struct entry e[3] = {0};
    (void)state;
    v.sched.rearm = count_rearm;
    rearmed = 0;
    pt_timer_start(&v.sched, &e[0].timer, 10, note);
    assert_int_equal(rearmed, 1);
    pt_timer_start(&v.sched, &e[1].timer, 20, note);
    assert_int_equal(rearmed, 1);
    pt_timer_start(&v.sched, &e[2].timer, 5, note);
    assert_int_equal(rearmed, 2);
    pt_timer_stop(&v.sched, &e[1].timer);
    assert_int_equal(rearmed, 2);
    pt_timer_stop(&v.sched, &e[2].timer);
    assert_int_equal(rearmed, 3);
}

static void moved_first_timer_rearms(void **state)
{
    struct entry e[2] = {0};
    (void)state;
    v.sched.rearm = count_rearm;
    pt_timer_start(&v.sched, &e[0].timer, 10, note);
    pt_timer_start(&v.sched, &e[1].timer, 20, note);
    rearmed = 0;
    pt_timer_start(&v.sched, &e[0].timer, 30, note); /* the other one is the first now */
    assert_int_equal(rearmed, 1);
    assert_int_equal(pt_sched_next_ms(&v.sched), 20);
}

static void odd_delays(void **state)
{
    struct entry e[2] = {0};
    (void)state;
    pt_timer_start(&v.sched, &e[0].timer, -5, note);
    assert_int_equal(pt_sched_next_ms(&v.sched), 0);
    v.now = 100;
    pt_timer_start(&v.sched, &e[1].timer, INT64_MAX, note);
    assert_true(e[1].timer.due_ms == INT64_MAX);
}

static void reserve_reports_memory(void **state)
{
    struct entry e[64] = {0};
    (void)state;
    pt_mem_fail_at(1, 1);
    assert_fails(pt_sched_reserve(&v.sched, 64, &err), PT_ENOMEM, "64 timers");
    pt_mem_fail_at(0, 0);
    assert_works(pt_sched_reserve(&v.sched, 64, &err));
    pt_mem_fail_at(1, 1); /* now starting needs none */
    for (int i = 0; i < 64; i++)
        pt_timer_start(&v.sched, &e[i].timer, i, note);
    pt_mem_fail_at(0, 0);
    pt_sched_finish(&v.sched);
    assert_false(pt_timer_running(&e[0].timer));
}

static void clocks_run(void **state)
{
    (void)state;
    int64_t a = pt_clock_mono_ns(), b = pt_clock_mono_ns();
    assert_true(a > 0 && b >= a);
    assert_true(pt_clock_wall_ms() > 1700000000000);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(fires_in_order), CASE(restart_waits_for_the_next_turn), CASE(callback_stops_another), CASE(follows_a_plain_search),
        CASE(rearms_only_when_the_first_changes), CASE(moved_first_timer_rearms), CASE(odd_delays), CASE(reserve_reports_memory), CASE(clocks_run),
    };
    return cmocka_run_group_tests_name("sched", tests, NULL, NULL);
}
