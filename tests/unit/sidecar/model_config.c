/* SPDX-License-Identifier: Apache-2.0
 *
 * model_config.c: config.pbtxt as people write it, and every fault with its line.
 */
#include "sidecar/model_config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char whole[] = "# a model\n"
                            "name: \"resnet\" platform: 'onnxruntime_' \"onnx\"\n"
                            "max_batch_size: 16, default_model_filename: \"net.onnx\";\n"
                            "input [ { name: \"x\" data_type: TYPE_FP32 dims: [ 3, 224, -1 ] }, { name: \"y\" } ]\n"
                            "output { name: \"p\" data_type: TYPE_FP32 dims: 1000 label_filename: \"a\\n\\101\" }\n"
                            "instance_group [ { count: 2 kind: KIND_CPU } ]\n"
                            "dynamic_batching < preferred_batch_size: [ 4, 8 ] preferred_batch_size: 12\n"
                            "  max_queue_delay_microseconds: 250 priority_levels: 3 >\n"
                            "version_policy: { specific: { versions: [1, 3] } }\n"
                            "parameters { key: \"label.stable\" value { string_value: \"3\" } }\n"
                            "parameters { key: \"execution_mode\" value: { string_value: \"0\" } }\n"
                            "optimization { execution_accelerators { } }\n";

static void what_people_write(void **state)
{
    (void)state;
    struct pt_model_config c;
    struct pt_err err;
    pt_model_config_init(&c);
    if (pt_model_config_parse(&c, "resnet", pt_str(whole), &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(c.file, "net.onnx");
    assert_int_equal(c.max_batch, 16);
    assert_true(c.dynamic_batching);
    assert_int_equal(c.max_delay_us, 250);
    assert_int_equal(c.priority_levels, 3);
    assert_int_equal(c.preferred[0], 4);
    assert_int_equal(c.preferred[2], 12);
    assert_int_equal(c.preferred[3], 0);
    assert_int_equal(c.policy, PT_VERSIONS_SPECIFIC);
    assert_int_equal(c.version_count, 2);
    assert_int_equal(c.versions[1], 3);
    assert_int_equal(c.label_count, 1);
    assert_string_equal(c.labels[0].name, "stable");
    assert_int_equal(c.labels[0].version, 3);
}

static void nothing_at_all(void **state)
{
    (void)state;
    struct pt_model_config c;
    pt_model_config_init(&c);
    assert_int_equal(pt_model_config_parse(&c, "m", (struct pt_str){0}, NULL), PT_OK);
    assert_string_equal(c.file, "model.onnx");
    assert_int_equal(c.max_batch, -1);
    assert_int_equal(c.policy, PT_VERSIONS_LATEST);
    assert_int_equal(c.latest, 1);
}

static void faults(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"\nname: \"other\"", "line 2: name: want the folder's, \"m\", got \"other\""},
        {"platform: \"tensorrt_plan\"", "line 1: platform or backend \"tensorrt_plan\": only ONNX is served (onnxruntime_onnx, onnxruntime)"},
        {"max_batch_size: many", "line 1: \"max_batch_size\": want a whole number from 0 to 4096, got many"},
        {"max_batch_size: -1", "line 1: \"max_batch_size\": want a whole number from 0 to 4096, got -1"},
        {"max_batch: 1", "line 1: \"max_batch\": unknown field"},
        {"sequence_batching { }", "line 1: \"sequence_batching\": sequence batching is not supported"},
        {"ensemble_scheduling { step [ ] }", "line 1: \"ensemble_scheduling\": graphs of models are not supported"},
        {"dynamic_batching { preferred_batch_size: [8, 4] }", "line 1: \"preferred_batch_size\": want up to 16 ascending sizes"},
        {"version_policy { latest { num_versions: 0 } }", "line 1: \"num_versions\": want a whole number from 1 to 64, got 0"},
        {"parameters { key: \"label.x\" value { string_value: \"new\" } }",
         "line 1: parameter \"label.x\": want the number of a version, got \"new\""},
        {"default_model_filename: \"../x\"", "line 1: default_model_filename: want a file in the version's folder, got \"../x\""},
        {"dynamic_batching 5", "line 1: \"dynamic_batching\": want '{', got '5'"},
        {"name: m", "line 1: \"name\": want a string, got 'm'"},
        {"name: \"m", "line 1: want the string's end, the text ends"},
        {"dynamic_batching {", "line 1: want '}', the text ends"},
        {"}", "line 1: a bracket that nothing opened"},
        {"input [ { ] ", "line 1: want ',' or ']', the text ends"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pt_model_config c;
        struct pt_err err = {0};
        pt_model_config_init(&c);
        int rc = pt_model_config_parse(&c, "m", pt_str(rows[i].text), &err);
        if (rc == PT_OK || strcmp(err.msg, rows[i].message) != 0)
            fail_msg("%s\nwant %s\ngot  %s", rows[i].text, rows[i].message, err.msg);
    }
}

/* Any part of a text is read without harm; what is cut off inside a value is a fault. */
static void cut_anywhere(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof whole; n++) {
        struct pt_model_config c;
        char *exact = malloc(n + 1);
        memcpy(exact, whole, n);
        pt_model_config_init(&c);
        (void)pt_model_config_parse(&c, "resnet", (struct pt_str){exact, n}, NULL);
        free(exact);
    }
}

static void policies(void **state)
{
    (void)state;
    struct pt_model_config c;
    struct pt_err err;
    pt_model_config_init(&c);
    assert_int_equal(pt_model_config_policy(&c, "all", NULL), PT_OK);
    assert_int_equal(c.policy, PT_VERSIONS_ALL);
    assert_int_equal(pt_model_config_policy(&c, "latest:3", NULL), PT_OK);
    assert_int_equal(c.policy, PT_VERSIONS_LATEST);
    assert_int_equal(c.latest, 3);
    assert_int_equal(pt_model_config_policy(&c, "1, 7", NULL), PT_OK);
    assert_int_equal(c.policy, PT_VERSIONS_SPECIFIC);
    assert_int_equal(c.version_count, 2);
    assert_int_equal(c.versions[1], 7);
    assert_int_equal(pt_model_config_policy(&c, "newest", &err), PT_EINVAL);
    assert_string_equal(err.msg, "versions: want latest, latest:N, all, or numbers such as \"1, 3\", got \"newest\"");
    assert_int_equal(pt_model_config_policy(&c, "latest:0", NULL), PT_EINVAL);
    assert_int_equal(pt_model_config_policy(&c, "", NULL), PT_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_people_write), cmocka_unit_test(nothing_at_all), cmocka_unit_test(faults),
                                       cmocka_unit_test(cut_anywhere), cmocka_unit_test(policies)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
