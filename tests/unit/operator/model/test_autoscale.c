/* SPDX-License-Identifier: Apache-2.0
 *
 * test_autoscale.c: the autoscaler alone, and under simulated traffic beside Knative's policy.
 */
#include "base/mem.h"
#include "operator/model/autosim.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct pt_autoscale_config config = {
    .min = 1, .max = 20, .target = 8, .stable_ms = 60000, .panic_window = 0.1, .panic_threshold = 2, .scale_down_delay_ms = 30000};

/* One decision a second over seconds [from, to) of a constant total; the last decision. */
static struct pt_autoscale_decision hold(struct pt_autoscale *a, int from, int to, double total, bool complete, int *pods)
{
    struct pt_autoscale_decision d = {0};
    for (int s = from; s < to; s++) {
        pt_autoscale_observe(a, s * 1000 + 500, total, complete);
        d = pt_autoscale_decide(a, &config, s * 1000 + 1000, *pods, *pods);
        *pods = d.desired;
    }
    return d;
}

static void up_and_down(void **state)
{
    (void)state;
    struct pt_autoscale a;
    int pods = 1;
    pt_autoscale_init(&a);
    assert_false(pt_autoscale_decide(&a, &config, 1000, 3, 3).known);
    assert_int_equal(pt_autoscale_decide(&a, &config, 1000, 3, 3).desired, 3); /* nothing is known */
    hold(&a, 1, 100, 4, true, &pods);
    assert_int_equal(pods, 1);
    hold(&a, 100, 103, 60, true, &pods);
    assert_in_range(pods, 8, 20); /* at once */
    hold(&a, 103, 200, 60, true, &pods);
    assert_in_range(pods, 8, 9);
    hold(&a, 200, 225, 4, true, &pods);
    assert_in_range(pods, 8, 20); /* not yet */
    hold(&a, 225, 330, 4, true, &pods);
    assert_int_equal(pods, 1);
}

static void never_down_on_partial_data(void **state)
{
    (void)state;
    struct pt_autoscale a;
    int pods = 8;
    pt_autoscale_init(&a);
    hold(&a, 1, 100, 60, true, &pods);
    int before = pods;
    hold(&a, 100, 300, 3, false, &pods);
    assert_int_equal(pods, before);
    hold(&a, 300, 302, 100, false, &pods);
    assert_true(pods > before);       /* up, though */
    for (int s = 310; s < 500; s++) { /* and silence changes nothing */
        struct pt_autoscale_decision d = pt_autoscale_decide(&a, &config, s * 1000, pods, pods);
        assert_false(d.known);
        assert_int_equal(d.desired, pods);
    }
}

static void bounds(void **state)
{
    (void)state;
    struct pt_autoscale a;
    int pods = 1;
    pt_autoscale_init(&a);
    hold(&a, 1, 50, 1e12, true, &pods);
    assert_int_equal(pods, 20);
    hold(&a, 50, 400, 0, true, &pods);
    assert_int_equal(pods, 1);
    assert_int_equal(pt_autoscale_decide(&a, &config, 401000, 50, 1).desired <= 20, 1);
}

static void panic_holds(void **state)
{
    (void)state;
    struct pt_autoscale a;
    pt_autoscale_init(&a);
    for (int s = 1; s < 40; s++)
        pt_autoscale_observe(&a, s * 1000, 4, true);
    for (int s = 40; s < 44; s++)
        pt_autoscale_observe(&a, s * 1000, 150, true);
    struct pt_autoscale_decision d = pt_autoscale_decide(&a, &config, 44000, 1, 1);
    assert_true(d.panic);
    assert_in_range(d.desired, 10, 20);
}

/* The same traffic, more pods ready later: the trend is looked at further ahead. */
static void a_slow_start_is_anticipated(void **state)
{
    (void)state;
    int needed[2];
    for (int k = 0; k < 2; k++) {
        struct pt_autoscale a;
        pt_autoscale_init(&a);
        pt_autoscale_started(&a, k ? 20000 : 500);
        for (int s = 1; s < 60; s++)
            pt_autoscale_observe(&a, s * 1000, s, true);
        needed[k] = pt_autoscale_decide(&a, &config, 60000, 1, 1).desired;
    }
    assert_in_range(needed[0], 8, 9);
    assert_in_range(needed[1], 10, 11);
}

static struct pt_autosim_options options(double start_s, uint64_t seed)
{
    struct pt_autosim_options o = {.service_s = 0.1, .concurrency = 8, .start_s = start_s, .slo_s = 0.3, .seed = seed, .config = config};
    o.config.max = 200;
    return o;
}

/* The claim of docs/autoscaling.md: over the set, no more late requests than KPA's with at most nine tenths of its pods. */
static void better_than_kpa_on_the_set(void **state)
{
    (void)state;
    static double rps[PT_AUTOSIM_TRACE_S];
    for (double start_s = 1; start_s <= 5; start_s += 2) {
        double late[2] = {0}, pods[2] = {0};
        for (size_t i = 0; pt_autosim_trace(i, rps); i++)
            for (int p = 0; p < 2; p++) {
                struct pt_autosim_options o = options(start_s, 100 + i);
                struct pt_autosim_result r;
                assert_int_equal(pt_autosim_run(rps, PT_AUTOSIM_TRACE_S, p ? PT_AUTOSIM_KPA : PT_AUTOSIM_PINTLE, &o, NULL, &r, NULL), PT_OK);
                late[p] += r.late;
                pods[p] += r.pod_seconds;
            }
        printf("pods start in %.0f s: %.3f of KPA's pod-seconds, %.3f of its late requests\n", start_s, pods[0] / pods[1], late[0] / late[1]);
        assert_true(late[0] <= late[1]);
        assert_true(pods[0] <= 0.9 * pods[1]);
    }
}

static void steady_load_is_left_alone(void **state)
{
    (void)state;
    static double rps[PT_AUTOSIM_TRACE_S];
    for (double level = 5; level < 3000; level *= 1.17) {
        for (int t = 0; t < PT_AUTOSIM_TRACE_S; t++)
            rps[t] = level;
        struct pt_autosim_options o = options(2, (uint64_t)level);
        struct pt_autosim_result r;
        assert_int_equal(pt_autosim_run(rps, PT_AUTOSIM_TRACE_S, PT_AUTOSIM_PINTLE, &o, NULL, &r, NULL), PT_OK);
        if (r.reversals > PT_AUTOSIM_TRACE_S / 60)
            fail_msg("%g requests/s: %d reversals in %d stable windows", level, r.reversals, PT_AUTOSIM_TRACE_S / 60);
    }
}

static void out_of_memory(void **state)
{
    (void)state;
    static const double rps[30] = {1000};
    struct pt_autosim_options o = options(1, 1);
    struct pt_autosim_result r;
    for (int n = 1; n <= 3; n++) {
        struct pt_err err = {0};
        pt_mem_fail_at(n, 0);
        int rc = pt_autosim_run(rps, 30, PT_AUTOSIM_PINTLE, &o, NULL, &r, &err);
        pt_mem_fail_at(0, 0);
        assert_int_equal(rc, PT_ENOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(up_and_down),
                                       cmocka_unit_test(never_down_on_partial_data),
                                       cmocka_unit_test(bounds),
                                       cmocka_unit_test(panic_holds),
                                       cmocka_unit_test(a_slow_start_is_anticipated),
                                       cmocka_unit_test(better_than_kpa_on_the_set),
                                       cmocka_unit_test(steady_load_is_left_alone),
                                       cmocka_unit_test(out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
