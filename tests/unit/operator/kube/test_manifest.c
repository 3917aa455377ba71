/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/ctrl/manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static int join(void *arg, struct pt_str json, size_t line, struct pt_err *err)
{
    (void)err;
    pt_buf_printf(arg, "%zu:" PT_STR_FMT "\n", line, PT_STR_ARG(json));
    return PT_OK;
}

static void expect_json(const char *yaml, const char *wanted)
{
    struct pt_err err = {0};
    pt_auto_buf out = PT_BUF_INIT(0);
    if (pt_manifest_parse(pt_str(yaml), "t", join, &out, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(pt_buf_cstr(&out), wanted);
}

static void expect_error(const char *yaml, int code, const char *part)
{
    struct pt_err err = {0};
    pt_auto_buf out = PT_BUF_INIT(0);
    assert_int_equal(pt_manifest_parse(pt_str(yaml), "file.yaml", join, &out, &err), code);
    if (!strstr(err.msg, part) || !strstr(err.msg, "file.yaml"))
        fail_msg("\"%s\" does not say \"%s\" and the file", err.msg, part);
}

static void test_scalars(void **state)
{
    (void)state;
    expect_json("a: 1\nb: '1'\nc: true\nd: \"yes\"\ne: yes\nf: null\ng: ~\nh:\ni: 1.5\nj: 0x10\nk: 010\nl: -0\nm: 1_000\nn: 1e3\no: 5s\np: .5\nq: v1.2.3\n",
                "1:{\"a\":1,\"b\":\"1\",\"c\":true,\"d\":\"yes\",\"e\":true,\"f\":null,\"g\":null,\"h\":null,\"i\":1.5,\"j\":16,\"k\":8,\"l\":0,\"m\":1000,\"n\":1000,\"o\":\"5s\",\"p\":0.5,\"q\":\"v1.2.3\"}\n");
    expect_json("[!!int \"2\", 18446744073709551615, 18446744073709551616]", "1:[2,18446744073709551615,1.8446744073709552e+19]\n");
}

static void test_structure(void **state)
{
    (void)state;
    expect_json("a: {b: [1, {c: d}], e: []}\nf: |\n  two\n  lines\n", "1:{\"a\":{\"b\":[1,{\"c\":\"d\"}],\"e\":[]},\"f\":\"two\\nlines\\n\"}\n");
    expect_json("x: &a {k: v}\ny: *a\n", "1:{\"x\":{\"k\":\"v\"},\"y\":{\"k\":\"v\"}}\n");
    expect_json("---\na: 1\n---\n---\n# only a comment\n---\nb: 2\n", "1:{\"a\":1}\n6:{\"b\":2}\n");
    expect_json("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\n", "1:{\"a\":{\"b\":1,\"c\":2},\"d\":{\"b\":1,\"c\":3}}\n");
    expect_json("- &x {b: 1}\n- &y {b: 2, c: 3, <<: *x}\n- {<<: [*x, *y], d: 4}\n", "1:[{\"b\":1},{\"b\":2,\"c\":3},{\"b\":1,\"c\":3,\"d\":4}]\n");
    expect_json("{\"<<\": {b: 1}}", "1:{\"<<\":{\"b\":1}}\n");
    expect_json("", "");
    expect_json("{\"json\": [\"is\", \"yaml\"]}", "1:{\"json\":[\"is\",\"yaml\"]}\n");
}

static void test_errors(void **state)
{
    (void)state;
    expect_error("a: 1\nb: 2\na: 3\n", PT_EPARSE, "line 3: duplicate key: \"a\"");
    expect_error("a: [1, 2\n", PT_EPARSE, "line");
    expect_error("a: !python/object x\n", PT_EPARSE, "unknown tag");
    expect_error("a: &x [1]\nc:\n  <<: *x\n", PT_EPARSE, "only a mapping can be merged");
    expect_error("a: &a {<<: *a}\n", PT_EPARSE, "too many merges");
    expect_error("? [a, b]\n: c\n", PT_EPARSE, "key must be a scalar");
    expect_error("a: \"\\xZZ\"\n", PT_EPARSE, "line 1");
}

static void test_nesting_is_bounded(void **state)
{
    char deep[600];
    (void)state;
    memset(deep, '[', 299);
    memset(deep + 299, ']', 299);
    deep[598] = 0;
    expect_error(deep, PT_EPARSE, "nested too deeply");
}

/* Each level doubles: 2^40 elements if expanded. */
static void test_aliases_are_bounded(void **state)
{
    pt_auto_buf yaml = PT_BUF_INIT(0);
    struct pt_err err = {0};
    pt_auto_buf out = PT_BUF_INIT(0);
    (void)state;
    pt_buf_puts(&yaml, "a0: &a0 [lol, lol]\n");
    for (int i = 1; i < 40; i++)
        pt_buf_printf(&yaml, "a%d: &a%d [*a%d, *a%d]\n", i, i, i - 1, i - 1);
    assert_int_equal(pt_manifest_parse((struct pt_str){yaml.data, yaml.len}, "t", join, &out, &err), PT_ELIMIT);
}

static int refuse(void *arg, struct pt_str json, size_t line, struct pt_err *err)
{
    (void)json;
    ++*(int *)arg;
    return pt_fail(err, PT_EINVAL, "document at line %zu", line);
}

static void test_callback_stops(void **state)
{
    struct pt_err err;
    int calls = 0;
    (void)state;
    assert_int_equal(pt_manifest_parse(PT_STR("a: 1\n---\nb: 2\n"), "t", refuse, &calls, &err), PT_EINVAL);
    assert_int_equal(calls, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars),         cmocka_unit_test(test_structure),          cmocka_unit_test(test_errors),
        cmocka_unit_test(test_nesting_is_bounded), cmocka_unit_test(test_aliases_are_bounded), cmocka_unit_test(test_callback_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
