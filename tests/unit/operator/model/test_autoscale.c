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
    pt_auto_free struct pt_autoscale *a = pt_autoscale_create(&config);
    int pods = 1;
    assert_false(pt_autoscale_decide(a, &config, 1000, 3, 3).known);
    assert_int_equal(pt_autoscale_decide(a, &config, 1000, 3, 3).desired, 3); /* nothing is known */
    hold(a, 1, 100, 4, true, &pods);
    assert_int_equal(pods, 1);
    hold(a, 100, 103, 60, true, &pods);
    assert_in_range(pods, 8, 20); /* at once */
    hold(a, 103, 200, 60, true, &pods);
    assert_in_range(pods, 8, 9);
    hold(a, 200, 225, 4, true, &pods);
    assert_in_range(pods, 8, 20); /* not yet */
    hold(a, 225, 330, 4, true, &pods);
    assert_int_equal(pods, 1);
}

static void never_down_on_partial_data(void **state)
{
    (void)state;
    pt_auto_free struct pt_autoscale *a = pt_autoscale_create(&config);
    int pods = 8;
    hold(a, 1, 100, 60, true, &pods);
    int before = pods;
    hold(a, 100, 300, 3, false, &pods);
    assert_int_equal(pods, before);
    hold(a, 300, 302, 100, false, &pods);
    assert_true(pods > before);       /* up, though */
    for (int s = 310; s < 500; s++) { /* and silence changes nothing */
        struct pt_autoscale_decision d = pt_autoscale_decide(a, &config, s * 1000, pods, pods);
        assert_false(d.known);
        assert_int_equal(d.desired, pods);
    }
}

/* A load that nobody told of for a while may have been any: one calm second after it proves nothing. */
static void never_down_right_after_silence(void **state)
{
    (void)state;
    pt_auto_free struct pt_autoscale *a = pt_autoscale_create(&config);
    int pods = 5;
    hold(a, 1, 10, 40, true, &pods);
    assert_true(pods >= 5);
    int before = pods;
    hold(a, 70, 99, 0, true, &pods);
    assert_int_equal(pods, before);
    hold(a, 99, 110, 0, true, &pods);
    assert_int_equal(pods, 1);
}

static void bounds(void **state)
{
    (void)state;
    pt_auto_free struct pt_autoscale *a = pt_autoscale_create(&config);
    int pods = 1;
    hold(a, 1, 50, 1e12, true, &pods);
    assert_int_equal(pods, 20);
    hold(a, 50, 400, 0, true, &pods);
    assert_int_equal(pods, 1);
    assert_int_equal(pt_autoscale_decide(a, &config, 401000, 50, 1).desired <= 20, 1);
}

static void panic_holds(void **state)
{
    (void)state;
    pt_auto_free struct pt_autoscale *a = pt_autoscale_create(&config);
    for (int s = 1; s < 40; s++)
        pt_autoscale_observe(a, s * 1000, 4, true);
    for (int s = 40; s < 44; s++)
        pt_autoscale_observe(a, s * 1000, 150, true);
    struct pt_autoscale_decision d = pt_autoscale_decide(a, &config, 44000, 1, 1);
    assert_true(d.panic);
    assert_in_range(d.desired, 10, 20);
}

/* The same traffic, more pods ready later: the trend is looked at further ahead. */
static void a_slow_start_is_anticipated(void **state)
{
    (void)state;
    int needed[2];
    for (int k = 0; k < 2; k++) {
        pt_auto_free struct pt_autoscale *a = pt_autoscale_create(&config);
        pt_autoscale_started(a, k ? 20000 : 500);
        for (int s = 1; s < 60; s++)
            pt_autoscale_observe(a, s * 1000, s, true);
        needed[k] = pt_autoscale_decide(a, &config, 60000, 1, 1).desired;
    }
    assert_in_range(needed[0], 8, 9);
    assert_in_range(needed[1], 10, 11);
}

/* --- delays ---------------------------------------------------------------------------------------------------------------------- */

static const struct pt_autoscale_config delay = {
    .min = 1, .max = 40, .target = 7.2, .goal_s = 0.05, .stable_ms = 60000, .panic_window = 0.1, .panic_threshold = 2, .scale_down_delay_ms = 30000};

static void a_delay_over_its_goal_means_less_for_each_pod(void **state)
{
    (void)state;
    pt_auto_free struct pt_autoscale *a = pt_autoscale_create(&delay);
    pt_autoscale_delay(a, &delay, 1000, 0.01, 10, 2, true);
    assert_true(a->target >= 4.99 && a->target <= 5.01); /* what it carries now, with the goal met */
    for (int s = 2; s < 40; s++)
        pt_autoscale_delay(a, &delay, s * 1000, 0.5, 2 * a->target, 2, true);
    assert_true(a->target < 4);
    assert_true(a->target >= delay.target / 32);
    double least = a->target;
    for (int s = 40; s < 90; s++)
        pt_autoscale_delay(a, &delay, s * 1000, 0.04, 5, 3, true); /* met, but not by far */
    assert_true(a->target <= least);
}

static void what_was_missed_is_not_tried_again_soon(void **state)
{
    (void)state;
    pt_auto_free struct pt_autoscale *a = pt_autoscale_create(&delay);
    for (int s = 1; s < 80; s++)
        pt_autoscale_delay(a, &delay, s * 1000, s > 10 ? 0.06 : 0, 8, 2, true); /* four each are too many */
    assert_true(a->target < 4);
    for (int s = 80; s < 500; s++) {
        pt_autoscale_delay(a, &delay, s * 1000, 0, 9, 3, true); /* three each are fine */
        assert_true(a->target < 4);
    }
    double before = a->target;
    for (int s = 500; s < 2000; s++)
        pt_autoscale_delay(a, &delay, s * 1000, 0, 12, 3, true);
    assert_true(a->target > before && a->target <= 2 * delay.target);
}

static void partial_data_and_idle_pods_teach_nothing_good(void **state)
{
    (void)state;
    pt_auto_free struct pt_autoscale *a = pt_autoscale_create(&delay);
    pt_autoscale_delay(a, &delay, 1000, 0, 10, 2, true);
    double before = a->target;
    for (int s = 2; s < 500; s++)
        pt_autoscale_delay(a, &delay, s * 1000, 0, 10, 2, false);
    assert_true(a->target <= before);
    for (int s = 500; s < 1500; s++)
        pt_autoscale_delay(a, &delay, s * 1000, 0, 1, 2, s > 600);
    assert_true(a->target <= before);
    for (int s = 1500; s < 1560; s++)
        pt_autoscale_delay(a, &delay, s * 1000, INFINITY, 10, 2, false);
    assert_true(a->target < before);
    assert_true(a->delay_s <= 4 * delay.goal_s);
}

static void longer_windows_need_another_ring(void **state)
{
    (void)state;
    pt_auto_free struct pt_autoscale *a = pt_autoscale_create(&config);
    struct pt_autoscale_config longer = config;
    longer.stable_ms = 599000;
    assert_true(pt_autoscale_fits(a, &config));
    assert_false(pt_autoscale_fits(a, &longer));
    pt_mem_fail_at(1, 0);
    assert_null(pt_autoscale_create(&config));
    pt_mem_fail_at(0, 0);
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

/* Steady traffic of many levels: the goal is kept most of the time, and the number of pods settles. */
static void delays_settle_under_steady_load(void **state)
{
    (void)state;
    static double rps[PT_AUTOSIM_TRACE_S];
    for (int latency = 0; latency < 2; latency++)
        for (double level = 20; level < 3000; level *= 1.6) {
            for (int t = 0; t < PT_AUTOSIM_TRACE_S; t++)
                rps[t] = level;
            struct pt_autosim_options o = options(2, (uint64_t)level);
            struct pt_autosim_result r;
            o.latency = latency;
            o.config.goal_s = latency ? 0.25 : 0.15;
            o.slo_s = 0.25;
            assert_int_equal(pt_autosim_run(rps, PT_AUTOSIM_TRACE_S, PT_AUTOSIM_PINTLE, &o, NULL, &r, NULL), PT_OK);
            printf("%s, %4.0f requests a second: %.1f pods, %.2f%% late, %d reversals\n", latency ? "latency" : "queue delay", level, r.pod_seconds / PT_AUTOSIM_TRACE_S,
                   100 * r.late / r.requests, r.reversals);
            assert_true(r.late <= 0.02 * r.requests);
            assert_true(r.reversals <= PT_AUTOSIM_TRACE_S / 60);
            assert_true(r.pod_seconds / PT_AUTOSIM_TRACE_S <= 2 + 2 * level * 0.25 / o.concurrency); /* nothing is served faster than a step of the simulation */
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(up_and_down),
                                       cmocka_unit_test(never_down_on_partial_data),
                                       cmocka_unit_test(never_down_right_after_silence),
                                       cmocka_unit_test(bounds),
                                       cmocka_unit_test(panic_holds),
                                       cmocka_unit_test(a_slow_start_is_anticipated),
                                       cmocka_unit_test(better_than_kpa_on_the_set),
                                       cmocka_unit_test(steady_load_is_left_alone),
                                       cmocka_unit_test(out_of_memory), cmocka_unit_test(a_delay_over_its_goal_means_less_for_each_pod),
        cmocka_unit_test(what_was_missed_is_not_tried_again_soon), cmocka_unit_test(partial_data_and_idle_pods_teach_nothing_good),
        cmocka_unit_test(longer_windows_need_another_ring), cmocka_unit_test(delays_settle_under_steady_load)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
