/* SPDX-License-Identifier: Apache-2.0
 *
 * trace.c: W3C Trace Context: what the specification calls valid and invalid, field by field.
 */
#include "sidecar/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"

static void reads_what_is_valid(void **state)
{
    static const struct {
        const char *text;
        bool sampled;
    } cases[] = {
        {"00-" ID "-" PARENT "-01", true},   {"00-" ID "-" PARENT "-00", false}, {"00-" ID "-" PARENT "-ff", true},
        {"00-" ID "-" PARENT "-02", false}, /* level 2's bit for random ids */
        {"00-" ID "-" PARENT "-03", true},   {"cc-" ID "-" PARENT "-01", true},  {"cc-" ID "-" PARENT "-01-what-comes", true},
        {"01-" ID "-" PARENT "-00-", false}, {"fe-" ID "-" PARENT "-01", true},  {"00-00000000000000000000000000000001-0000000000000001-01", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pt_trace t;
        char hex[33];
        assert_int_equal(pt_trace_parse(pt_str(cases[i].text), &t), PT_OK);
        assert_true(t.valid);
        assert_int_equal(t.sampled, cases[i].sampled);
        pt_trace_hex(t.trace_id, sizeof t.trace_id, hex);
        assert_memory_equal(hex, cases[i].text + 3, 32);
        pt_trace_hex(t.parent_id, sizeof t.parent_id, hex);
        assert_memory_equal(hex, cases[i].text + 36, 16);
    }
}

static void ignores_what_is_not(void **state)
{
    static const char *const cases[] = {
        "",
        "00",
        "00-" ID "-" PARENT,
        "00-" ID "-" PARENT "-",
        "00-" ID "-" PARENT "-1",
        "00-" ID "-" PARENT "-001",
        "00-" ID "-" PARENT "-01-",
        "00-" ID "-" PARENT "-01-what-the-future-will-be-like",
        "00-" ID "-" PARENT "-01.what-the-future-will-be-like",
        "cc-" ID "-" PARENT "-01.what-the-future-will-be-like",
        "cc-" ID "-" PARENT "-01x",
        "ff-" ID "-" PARENT "-01",
        "0-" ID "-" PARENT "-01",
        "000-" ID "-" PARENT "-01",
        ".0-" ID "-" PARENT "-01",
        "0x-" ID "-" PARENT "-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01",
        "00-" ID "-00F067AA0BA902B7-01",
        "00-" ID "-" PARENT "-0A",
        "00-" ID "-" PARENT "-0.",
        "00-00000000000000000000000000000000-" PARENT "-01",
        "00-" ID "-0000000000000000-01",
        "00-.bf92f3577b34da6a3ce929d0e0e4736-" PARENT "-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473-" PARENT "-01",
        "00-4bf92f3577b34da6a3ce929d0e0e47366-" PARENT "-01",
        "00-" ID "-.0f067aa0ba902b7-01",
        "00-" ID "-00f067aa0ba902b-01",
        "00-" ID "-00f067aa0ba902b77-01",
        "00_" ID "-" PARENT "-01",
        "00-" ID "_" PARENT "-01",
        "00-" ID "-" PARENT "_01",
        " 00-" ID "-" PARENT "-01",
        "00-" ID "-" PARENT "-01 ",
        "00-" ID "-" PARENT "-01,00-" ID "-" PARENT "-01",
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pt_trace t = {.valid = true};
        assert_int_equal(pt_trace_parse(pt_str(cases[i]), &t), PT_EPARSE);
        assert_false(t.valid || t.sampled);
    }
}

/* n members k0=v,k1=v,... */
static struct pt_str members(int n, char *out)
{
    size_t len = 0;
    for (int i = 0; i < n; i++)
        len += (size_t)sprintf(out + len, "%sk%d=v", i ? "," : "", i);
    return (struct pt_str){out, len};
}

static void knows_a_valid_tracestate(void **state)
{
    static const char *const good[] = {"a=1",          "foo=1,bar=2",      "foo=1 , bar=2", "foo=1,\t bar=2\t", "foo=1,,bar=2", "foo=1,",
                                       ",foo=1",       "a_-*/9=1",         "t@s=1",         "9t@s=1",           "foo= 1",       "foo=a b",
                                       "foo=!~<>:;[]", "congo=t61rcWkgMzE"};
    static const char *const bad[] = {"",         ",",       " ",      "foo",    "=1",   "foo=", "foo= ",  "foo=1=2", "foo=1,foo=2", "Foo=1",
                                      "9foo=1",   "f o=1",   "foo =1", "foo.=1", "@s=1", "t@=1", "t@9s=1", "t@s@u=1", "f\xc3\xa9=1", "foo=\xc3\xa9",
                                      "foo=a\tb", "foo=a\nb"};
    char text[1000], key[300];
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(pt_trace_state_valid(pt_str(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (pt_trace_state_valid(pt_str(bad[i])))
            fail_msg("\"%s\" is taken for a tracestate", bad[i]);
    assert_true(pt_trace_state_valid(members(32, text)));
    assert_false(pt_trace_state_valid(members(33, text)));
    memset(key, 'k', sizeof key);
    for (size_t len = 255; len <= 257; len++) { /* of keys, and of values */
        snprintf(text, sizeof text, "%.*s=1", (int)len, key);
        assert_int_equal(pt_trace_state_valid(pt_str(text)), len <= 256);
        snprintf(text, sizeof text, "k=%.*s", (int)len, key);
        assert_int_equal(pt_trace_state_valid(pt_str(text)), len <= 256);
    }
    for (int len = 240; len <= 242; len++) {
        snprintf(text, sizeof text, "%.*s@s=1", len, key);
        assert_int_equal(pt_trace_state_valid(pt_str(text)), len <= 241);
    }
    assert_true(pt_trace_state_valid(PT_STR("t@kkkkkkkkkkkkkk=1")));
    assert_false(pt_trace_state_valid(PT_STR("t@kkkkkkkkkkkkkkk=1")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads_what_is_valid), cmocka_unit_test(ignores_what_is_not),
                                       cmocka_unit_test(knows_a_valid_tracestate)};
    return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
