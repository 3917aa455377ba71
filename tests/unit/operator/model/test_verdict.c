/* SPDX-License-Identifier: Apache-2.0
 *
 * Verdicts on a monitored model from what its pods report, look by look.
 */
#include "base/mem.h"
#include "operator/model/verdict.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* accuracy at least 0.9, and rollback; drifted_share at most 0.3, without. Two in a row. */
static struct pt_monitoring *config(void)
{
    static union {
        struct pt_monitoring m;
        char room[sizeof(struct pt_monitoring) + 2 * sizeof(struct pt_threshold)];
    } c;
    c.m = (struct pt_monitoring){.period_ms = 1000, .min_samples = 50, .periods = 2, .retreats = true, .count = 2};
    c.m.thresholds[0] = (struct pt_threshold){PT_FIGURE_ACCURACY, 0.9, NAN, true};
    c.m.thresholds[1] = (struct pt_threshold){PT_FIGURE_DRIFTED_SHARE, NAN, 0.3, false};
    return &c.m;
}

static void add(struct pt_figures *f, double rows, double labelled, double accuracy, double drifted)
{
    double values[PT_FIGURE_COUNT];
    for (int i = 0; i < PT_FIGURE_COUNT; i++)
        values[i] = NAN;
    values[PT_FIGURE_ACCURACY] = accuracy;
    values[PT_FIGURE_DRIFTED_SHARE] = drifted;
    pt_figures_add(f, rows, labelled, values);
}

static bool look(struct pt_verdict *v, const char *revision, double labelled, double accuracy, double drifted)
{
    struct pt_figures f = {.pods = 0};
    add(&f, 200, labelled, accuracy, drifted);
    return pt_verdict_look(v, config(), revision, &f, v->judged_ms + 1000);
}

static void in_a_row(void **state)
{
    (void)state;
    struct pt_verdict v = {.judged_ms = 5000};
    assert_true(look(&v, "r1", 100, 0.95, 0.1)); /* another revision is news */
    assert_int_equal(v.health, PT_HEALTH_UNKNOWN);
    assert_true(look(&v, "r1", 100, 0.95, 0.1));
    assert_int_equal(v.health, PT_HEALTH_GOOD);
    assert_string_equal(v.reason, "WithinThresholds");
    assert_false(look(&v, "r1", 100, 0.5, 0.1)); /* once is nothing */
    assert_false(look(&v, "r1", 100, 0.95, 0.1));
    assert_false(look(&v, "r1", 100, 0.5, 0.1));
    assert_int_equal(v.health, PT_HEALTH_GOOD);
    assert_true(look(&v, "r1", 100, 0.5, 0.1));
    assert_int_equal(v.health, PT_HEALTH_BAD);
    assert_true(v.retreat);
    assert_string_equal(v.reason, "QualityLow");
    assert_string_equal(v.message, "accuracy is 0.5, at least 0.9 is asked for; 2 times in a row, last of 100 labelled rows of 1 pod");
    assert_false(look(&v, "r1", 100, 0.95, 0.1));
    assert_true(look(&v, "r1", 100, 0.95, 0.1));
    assert_int_equal(v.health, PT_HEALTH_GOOD);
    assert_false(v.retreat);
    assert_true(look(&v, "r2", 100, 0.5, 0.1)); /* begins anew */
    assert_int_equal(v.health, PT_HEALTH_UNKNOWN);
}

static void not_enough(void **state)
{
    (void)state;
    struct pt_verdict v = {.judged_ms = 5000};
    struct pt_figures nothing = {.pods = 0};
    for (int i = 0; i < 5; i++)
        (void)look(&v, "r1", 49, 0.1, NAN);
    assert_int_equal(v.health, PT_HEALTH_UNKNOWN);
    assert_string_equal(v.reason, "NotEnoughSamples");
    (void)pt_verdict_look(&v, config(), "r1", &nothing, v.judged_ms + 1000);
    assert_string_equal(v.reason, "NoReports");
    (void)look(&v, "r1", 50, 0.1, NAN);
    (void)look(&v, "r1", 0, NAN, NAN); /* silence between them changes nothing */
    (void)look(&v, "r1", 50, 0.1, NAN);
    assert_int_equal(v.health, PT_HEALTH_BAD);
    for (int i = 0; i < 5; i++)
        assert_false(look(&v, "r1", 0, NAN, NAN));
    assert_int_equal(v.health, PT_HEALTH_BAD); /* what was seen holds until something else is */
}

static void only_what_is_named_goes_back(void **state)
{
    (void)state;
    struct pt_verdict v = {.judged_ms = 5000};
    for (int i = 0; i < 3; i++)
        (void)look(&v, "r1", 100, 0.95, 0.4);
    assert_int_equal(v.health, PT_HEALTH_BAD);
    assert_string_equal(v.reason, "Drifted");
    assert_false(v.retreat);
    (void)look(&v, "r1", 100, 0.5, 0.4);
    assert_true(look(&v, "r1", 100, 0.5, 0.4)); /* bad already, and worse now */
    assert_true(v.retreat);
    assert_string_equal(v.reason, "QualityLow");
}

static void to_go_back_to(void **state)
{
    (void)state;
    struct pt_verdict v = {.judged_ms = 5000};
    for (int i = 0; i < 2; i++)
        (void)look(&v, "r1", 0, NAN, 0.1); /* nobody sends labels: what there is has to do */
    assert_true(v.proven);
    for (int i = 0; i < 2; i++)
        (void)look(&v, "r2", 100, 0.95, 0.1);
    assert_true(v.proven);
    for (int i = 0; i < 4; i++)
        (void)look(&v, "r3", 0, NAN, 0.1);
    assert_int_equal(v.health, PT_HEALTH_GOOD);
    assert_false(v.proven); /* its labels are late */
    (void)look(&v, "r3", 49, 0.95, 0.1);
    (void)look(&v, "r3", 100, 0.95, 0.1);
    assert_false(v.proven);
    assert_true(look(&v, "r3", 100, 0.95, 0.1)); /* is shown */
    assert_true(v.proven);
    (void)look(&v, "r3", 0, NAN, 0.1);
    assert_true(v.proven);
    for (int i = 0; i < 2; i++)
        (void)look(&v, "r3", 100, 0.5, 0.1);
    assert_false(v.proven);
}

/* What is outside is named, all of it, once it has been so for as long as anything has to be. */
static void all_are_named(void **state)
{
    (void)state;
    struct pt_verdict v = {.judged_ms = 5000};
    for (int i = 0; i < 2; i++)
        (void)look(&v, "r1", 100, 0.95, 0.4);
    assert_string_equal(v.message, "drifted_share is 0.4, at most 0.3 is asked for; 2 times in a row, last of 200 rows of 1 pod");
    assert_false(look(&v, "r1", 100, 0.5, 0.5));
    assert_false(look(&v, "r1", 100, 0.95, 0.4)); /* once is nothing */
    assert_false(look(&v, "r1", 100, 0.5, 0.5));
    assert_false(look(&v, "r1", 0, NAN, NAN));
    assert_true(look(&v, "r1", 100, 0.5, 0.5));
    assert_string_equal(v.message, "accuracy is 0.5, at least 0.9 is asked for, and drifted_share is 0.5, at most 0.3 is asked for; 2 times in a row, last of 100 "
                                   "labelled rows of 1 pod");
    assert_string_equal(v.reason, "QualityLow");
    assert_false(look(&v, "r1", 100, 0.5, 0.5));
    assert_false(look(&v, "r1", 100, 0.95, 0.4));
    assert_true(look(&v, "r1", 100, 0.95, 0.4));
    assert_string_equal(v.message, "drifted_share is 0.4, at most 0.3 is asked for; 2 times in a row, last of 200 rows of 1 pod");
    assert_int_equal(v.health, PT_HEALTH_BAD);
}

/* A return that was asked for and could not be made (paused, say) goes with the rule that asked for it. */
static void other_rules_begin_anew(void **state)
{
    (void)state;
    struct pt_verdict v = {.judged_ms = 5000};
    struct pt_figures f = {.pods = 0};
    struct pt_monitoring *m = config();
    add(&f, 200, 100, 0.85, 0.1);
    for (int i = 0; i < 3; i++)
        (void)pt_verdict_look(&v, m, "r1", &f, v.judged_ms + 1000);
    assert_int_equal(v.health, PT_HEALTH_BAD);
    assert_true(v.retreat);
    m->thresholds[0].retreat = m->retreats = false;
    assert_true(pt_verdict_look(&v, m, "r1", &f, v.judged_ms + 100));
    assert_int_equal(v.health, PT_HEALTH_UNKNOWN);
    (void)pt_verdict_look(&v, m, "r1", &f, v.judged_ms + 1000);
    assert_int_equal(v.health, PT_HEALTH_BAD);
    assert_false(v.retreat);
    m->thresholds[0].least = 0.8;
    for (int i = 0; i < 2; i++)
        assert_true(pt_verdict_look(&v, m, "r1", &f, v.judged_ms + 1000));
    assert_int_equal(v.health, PT_HEALTH_GOOD);
    assert_string_equal(v.message, "2 of 2 thresholds could be judged, and hold");
    m->thresholds[0] = (struct pt_threshold){PT_FIGURE_ACCURACY, 0.9, NAN, true};
    m->retreats = true;
    assert_true(pt_verdict_look(&v, m, "r1", &f, v.judged_ms + 1000));
    assert_int_equal(v.bad, 1);
    assert_true(pt_verdict_look(&v, m, "r1", &f, v.judged_ms + 1000));
    assert_true(v.retreat);
}

/* Around a threshold, every other look on either side, nothing changes, however long it goes on. */
static void flapping(void **state)
{
    (void)state;
    struct pt_verdict v = {.judged_ms = 5000};
    for (int i = 0; i < 2; i++)
        (void)look(&v, "r1", 100, 0.95, 0.1);
    for (int i = 0; i < 100; i++)
        assert_false(look(&v, "r1", 100, i % 2 ? 0.91 : 0.89, 0.1));
    assert_int_equal(v.health, PT_HEALTH_GOOD);
    for (int i = 0; i < 2; i++)
        (void)look(&v, "r1", 100, 0.89, 0.1);
    for (int i = 0; i < 100; i++)
        assert_false(look(&v, "r1", 100, i % 2 ? 0.89 : 0.91, 0.1));
    assert_int_equal(v.health, PT_HEALTH_BAD);
    assert_true(v.retreat);
}

static void period(void **state)
{
    (void)state;
    struct pt_verdict v = {.judged_ms = 0};
    struct pt_figures f = {.pods = 0};
    add(&f, 100, 100, 0.5, 0.1);
    for (int64_t now = 10000; now < 11900; now += 100)
        (void)pt_verdict_look(&v, config(), "r1", &f, now);
    assert_int_equal(v.bad, 2);
}

static void pods_add_up(void **state)
{
    (void)state;
    struct pt_verdict v = {.judged_ms = 0};
    struct pt_figures f = {.pods = 0};
    add(&f, 1000, 90, 0.8, 0.1); /* 72 right */
    add(&f, 10, 10, 1.0, 0.9);   /* 10 right: 82 of 100 */
    assert_true(fabs(f.of[PT_FIGURE_ACCURACY].sum / f.of[PT_FIGURE_ACCURACY].weight - 0.82) < 1e-12);
    assert_int_equal(f.of[PT_FIGURE_DRIFTED_SHARE].weight, 1010);
    (void)pt_verdict_look(&v, config(), "r1", &f, 1000);
    (void)pt_verdict_look(&v, config(), "r1", &f, 2000);
    assert_string_equal(v.message, "accuracy is 0.82, at least 0.9 is asked for; 2 times in a row, last of 100 labelled rows of 2 pods");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(in_a_row), cmocka_unit_test(not_enough), cmocka_unit_test(only_what_is_named_goes_back), cmocka_unit_test(to_go_back_to), cmocka_unit_test(all_are_named), cmocka_unit_test(other_rules_begin_anew), cmocka_unit_test(flapping), cmocka_unit_test(period),
                                       cmocka_unit_test(pods_add_up)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
