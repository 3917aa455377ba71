/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/model/report.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define HEAD "\"podUID\":\"u\",\"podName\":\"p\",\"namespace\":\"n\",\"sequence\":4,\"startedMs\":1700000000000"

static void good(void **state)
{
    (void)state;
    struct pt_report r;
    struct pt_err err;
    assert_int_equal(pt_report_decode(PT_STR("{" HEAD ",\"state\":\"Failed\",\"reason\":\"DigestMismatch\",\"message\":\"m\",\"future\":[1],\"inFlight\":3,"
                                             "\"latency\":{\"boundsSeconds\":[0.1,1],\"counts\":[1,2,3],\"sumSeconds\":4.5}}"), &r, &err), PT_OK);
    assert_int_equal(r.state, PT_MODEL_FAILED);
    assert_int_equal(r.reason, PT_REASON_DIGEST_MISMATCH);
    assert_int_equal(r.sequence, 4);
    assert_true(r.started_ms == 1700000000000 && r.in_flight == 3 && r.bounds == 2 && r.counts[2] == 3 && r.latency_sum_s == 4.5);
    assert_int_equal(pt_report_decode(PT_STR("{" HEAD ",\"state\":\"Ready\"}"), &r, &err), PT_OK);
    assert_int_equal(r.reason, PT_REASON_NONE);
}

static void figures(void **state)
{
    (void)state;
    struct pt_report r;
    struct pt_err err;
    assert_int_equal(pt_report_decode(PT_STR("{" HEAD ",\"state\":\"Ready\",\"monitoring\":{\"rows\":10,\"labelled\":4,\"figures\":{\"accuracy\":0.75,\"mean_error\":-2,\"of_tomorrow\":\"x\"}}}"), &r, &err), PT_OK);
    assert_true(r.monitored && r.rows == 10 && r.labelled == 4 && r.figures[PT_FIGURE_ACCURACY] == 0.75 && r.figures[PT_FIGURE_MEAN_ERROR] == -2);
    assert_true(isnan(r.figures[PT_FIGURE_F1]));
    assert_int_equal(pt_report_decode(PT_STR("{" HEAD ",\"state\":\"Ready\"}"), &r, &err), PT_OK);
    assert_true(!r.monitored && isnan(r.figures[PT_FIGURE_ACCURACY]));
}

static void how_far_a_compression_is(void **state)
{
    (void)state;
    struct pt_report r;
    struct pt_err err;
    assert_int_equal(pt_report_decode(PT_STR("{" HEAD ",\"compression\":{\"stage\":\"prune\",\"stageNumber\":2,\"stages\":3,\"epoch\":4,\"epochs\":12,"
                                             "\"percent\":47,\"etaSeconds\":310,\"of_tomorrow\":1}}"), &r, &err), PT_OK);
    assert_true(r.compresses && !strcmp(r.progress.stage, "prune") && r.progress.number == 2 && r.progress.stages == 3 && r.progress.epoch == 4);
    assert_true(r.progress.epochs == 12 && r.progress.percent == 47 && r.progress.eta_s == 310);
    assert_int_equal(pt_report_decode(PT_STR("{" HEAD ",\"compression\":{\"stage\":\"\"}}"), &r, &err), PT_OK);
    assert_true(r.compresses && r.progress.percent == -1 && r.progress.eta_s == -1 && r.progress.epochs == 0);
    assert_int_equal(pt_report_decode(PT_STR("{" HEAD ",\"state\":\"Ready\"}"), &r, &err), PT_OK);
    assert_false(r.compresses);
}

static void bad(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "JSON"},
        {"[]", "object"},
        {"{}", "podUID"},
        {"{\"podUID\":\"u\",\"podName\":\"p\",\"namespace\":\"n\",\"startedMs\":1,\"state\":\"Ready\"}", "sequence"},
        {"{" HEAD "}", "state"},
        {"{" HEAD ",\"state\":\"Happy\"}", "Happy"},
        {"{" HEAD ",\"compression\":{}}", "must have a stage"},
        {"{" HEAD ",\"compression\":{\"stage\":\"a-stage-with-a-name-of-32-bytes--\"}}", "must have a stage"},
        {"{" HEAD ",\"compression\":{\"stage\":\"prune\",\"percent\":101}}", "percent: 101"},
        {"{" HEAD ",\"compression\":{\"stage\":\"prune\",\"epoch\":-1}}", "epoch: -1"},
        {"{" HEAD ",\"compression\":{\"stage\":\"prune\",\"stages\":2.5}}", "stages: 2.5"},
        {"{" HEAD ",\"compression\":{\"stage\":\"prune\"},\"state\":\"Happy\"}", "Happy"},
        {"{" HEAD ",\"state\":\"Failed\"}", "reason"},
        {"{" HEAD ",\"state\":\"Ready\",\"reason\":\"DigestMismatch\"}", "reason"},
        {"{" HEAD ",\"state\":\"Ready\",\"inFlight\":-1}", "inFlight: -1"},
        {"{" HEAD ",\"state\":\"Ready\",\"inFlight\":1e999}", "inFlight"},
        {"{" HEAD ",\"state\":\"Ready\",\"inFlight\":\"1\"}", "inFlight"},
        {"{" HEAD ",\"state\":\"Ready\",\"bytesDone\":1.5}", "bytesDone"},
        {"{" HEAD ",\"state\":\"Ready\",\"digest\":\"md5:1\"}", "digest"},
        {"{" HEAD ",\"state\":\"Ready\",\"monitoring\":{}}", "must have rows, labelled and figures"},
        {"{" HEAD ",\"state\":\"Ready\",\"monitoring\":{\"rows\":1,\"labelled\":-1,\"figures\":{}}}", "must have rows"},
        {"{" HEAD ",\"state\":\"Ready\",\"monitoring\":{\"rows\":1,\"labelled\":1,\"figures\":{\"auc\":\"1\"}}}", "auc: \"1\": must be a number"},
        {"{" HEAD ",\"state\":\"Ready\",\"latency\":{\"boundsSeconds\":[1,1],\"counts\":[1,2,3]}}", "ascending"},
        {"{" HEAD ",\"state\":\"Ready\",\"latency\":{\"boundsSeconds\":[1],\"counts\":[1]}}", "one more"},
        {"{\"podUID\":\"0123456789012345678901234567890123456789012345678901234567890123456789\",\"podName\":\"p\",\"namespace\":\"n\"}", "too long"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pt_report r;
        struct pt_err err = {0};
        if (pt_report_decode(pt_str(cases[i][0]), &r, &err) >= 0 || !strstr(err.msg, cases[i][1]))
            fail_msg("%s: %s", cases[i][0], err.msg);
    }
}

static void long_message_is_cut_between_characters(void **state)
{
    (void)state;
    char text[1200] = "{" HEAD ",\"state\":\"Ready\",\"message\":\"x";
    struct pt_report r;
    struct pt_err err;
    for (int i = 0; i < 200; i++)
        strcat(text, "\xc3\xa9");
    strcat(text, "\"}");
    assert_int_equal(pt_report_decode(pt_str(text), &r, &err), PT_OK);
    assert_true(strlen(r.message) >= 253 && pt_utf8_valid(pt_str(r.message)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(good), cmocka_unit_test(figures), cmocka_unit_test(how_far_a_compression_is), cmocka_unit_test(bad), cmocka_unit_test(long_message_is_cut_between_characters)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
