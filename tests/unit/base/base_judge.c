/* SPDX-License-Identifier: Apache-2.0
 *
 * base_judge.c: figures against those that scikit-learn 1.x gives of the same numbers.
 */
#include "unit.h"

#include "base/judge.h"

#include <math.h>

#define near(a, b) assert_true(fabs((a) - (b)) < 1e-8)

static void judges_classes(void **state)
{
    (void)state;
    static const double confusion[9] = {1, 1, 0, 0, 2, 0, 1, 0, 3};
    static const double want[3][4] = {{2, 0.5, 0.5, 0.5}, {2, 2.0 / 3, 1, 0.8}, {4, 1, 0.75, 6.0 / 7}};
    struct pt_class_figures c;
    struct pt_confusion_figures all;
    for (size_t i = 0; i < 3; i++) {
        assert_true(pt_judge_class(confusion, 3, i, &c));
        near(c.support, want[i][0]);
        near(c.precision, want[i][1]);
        near(c.recall, want[i][2]);
        near(c.f1, want[i][3]);
    }
    pt_judge_confusion(confusion, 3, &all);
    near(all.count, 8);
    near(all.accuracy, 0.75);
    near(all.precision, 0.72222222222);
    near(all.recall, 0.75);
    near(all.f1, 0.71904761905);
    /* a class that never occurs is no part of the means; one that is only answered is */
    static const double odd[16] = {3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4};
    assert_false(pt_judge_class(odd, 4, 1, &c));
    assert_true(pt_judge_class(odd, 4, 2, &c));
    near(c.recall + c.precision + c.f1, 0);
    pt_judge_confusion(odd, 4, &all);
    near(all.recall, (0.75 + 0 + 1) / 3);
    pt_judge_confusion((const double[4]){0}, 2, &all);
    assert_true(isnan(all.accuracy) && isnan(all.recall));
}

static void ranks(void **state)
{
    (void)state;
    /* label, share of class 0, of class 1; ties count half */
    static const float rows[6][3] = {{0, 0.9F, 0.1F}, {1, 0.6F, 0.4F}, {1, 0.65F, 0.35F}, {0, 0.65F, 0.35F}, {1, 0.1F, 0.9F}, {0, 0.8F, 0.2F}};
    near(pt_judge_mean_auc(&rows[0][0], NULL, 6, 2), 0.944444444444);
    near(pt_judge_mean_auc(&rows[0][0], (const double[]){1, 2, 1, 3, 1, 1}, 6, 2), 0.925);
    assert_true(isnan(pt_judge_mean_auc(&rows[0][0], NULL, 1, 2))); /* no positive */
    near(pt_judge_log_loss(0.25), log(4));
    assert_true(pt_judge_log_loss(0) < 37 && pt_judge_log_loss(1) > 0);
}

static void calibrates(void **state)
{
    (void)state;
    struct pt_calibration a = {0}, b = {0};
    assert_true(isnan(pt_calibration_error(&a)));
    pt_calibration_add(&a, 0.85, true);
    pt_calibration_add(&a, 0.81, false);
    pt_calibration_add(&b, 1, true);
    pt_calibration_add(&b, 0.05, false);
    pt_calibration_join(&a, &b);
    near(pt_calibration_error(&a), (1.66 - 1 + 0 + 0.05) / 4);
}

static void judges_numbers(void **state)
{
    (void)state;
    static const double y[5] = {1, 2.5, -1, 4, 0}, p[5] = {1.5, 2, -1.25, 3, 1};
    for (size_t cut = 0; cut <= 5; cut++) {
        struct pt_errors e = {0}, more = {0};
        for (size_t i = 0; i < 5; i++)
            pt_errors_add(i < cut ? &e : &more, y[i], p[i]);
        pt_errors_join(&e, &more);
        near(pt_errors_mean(&e), -0.05);
        near(pt_errors_mean_absolute(&e), 0.65);
        near(pt_errors_root_mean_squared(&e), 0.7158910531638176);
        near(pt_errors_r2(&e), 0.8378164556962026);
    }
    struct pt_errors none = {0};
    assert_true(isnan(pt_errors_r2(&none)) && isnan(pt_errors_mean(&none)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(judges_classes), cmocka_unit_test(ranks), cmocka_unit_test(calibrates),
                                       cmocka_unit_test(judges_numbers)};
    return cmocka_run_group_tests_name("judge", tests, NULL, NULL);
}
