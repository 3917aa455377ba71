/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "operator/ctrl/obj.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static cJSON *parse(const char *text)
{
    cJSON *o = NULL;
    struct pt_err err = {0};
    if (pt_obj_parse(pt_str(text), "test", &o, &err) < 0)
        fail_msg("%s", err.msg);
    return o;
}

typedef int merge_fn(cJSON *, const cJSON *, struct pt_err *);

/* What goes into the target is taken out of a copy of the patch: the others want it whole. */
static int merge_away(cJSON *target, const cJSON *patch, struct pt_err *err)
{
    pt_auto_obj *copy = pt_obj_copy(patch);
    return copy ? pt_obj_merge_away(target, copy, err) : pt_fail(err, PT_ENOMEM, "copy");
}

static void check_merge(merge_fn *merge, const char *target, const char *patch, const char *wanted)
{
    pt_auto_obj *t = parse(target), *p = parse(patch), *w = parse(wanted);
    pt_auto_buf is = PT_BUF_INIT(0), should = PT_BUF_INIT(0);
    struct pt_err err = {0};
    assert_int_equal(merge(t, p, &err), PT_OK);
    pt_obj_canonical(t, &is, &err);
    pt_obj_canonical(w, &should, &err);
    assert_string_equal(pt_buf_cstr(&is), pt_buf_cstr(&should));
}

static void parsing(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "{", "[]", "1", "{} x", "{\"a\":}", "{\"a\":1}{}", "nul"};
    char deep[1024] = "";
    struct pt_err err;
    cJSON *o = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(pt_obj_parse(pt_str(bad[i]), "test", &o, &err), PT_EPARSE);
    for (int i = 0; i < 120; i++)
        strcat(deep, "{\"a\":");
    strcat(deep, "1");
    for (int i = 0; i < 120; i++)
        strcat(deep, "}");
    assert_int_equal(pt_obj_parse(pt_str(deep), "test", &o, &err), PT_EPARSE);
    assert_non_null(strstr(err.msg, "64 levels"));
    assert_int_equal(pt_obj_parse((struct pt_str){"{}\0", 3}, "test", &o, &err), PT_EPARSE);
}

static void paths(void **state)
{
    (void)state;
    pt_auto_obj *o = parse("{\"a\":{\"b\":\"x\",\"n\":7,\"t\":true,\"b\":\"y\"}}");
    assert_string_equal(pt_obj_str(o, "a.b"), "y"); /* the last one counts */
    assert_int_equal(pt_obj_int(o, "a.n", 0), 7);
    assert_int_equal(pt_obj_int(o, "a.b", 3), 3);
    assert_true(pt_obj_true(o, "a.t"));
    assert_null(pt_obj_str(o, "a.b.c"));
    assert_null(pt_obj_get(o, "z"));
    assert_non_null(pt_obj_ensure(o, "x.y.z"));
    assert_non_null(pt_obj_get(o, "x.y.z"));
}

static void canonical(void **state)
{
    (void)state;
    pt_auto_obj *o = parse("{\"z\":1,\"a\":[{\"c\":null,\"b\":1.5}],\"m\":null,\"big\":9007199254740991,\"f\":0.1}");
    pt_auto_buf b = PT_BUF_INIT(0);
    struct pt_err err;
    assert_int_equal(pt_obj_canonical(o, &b, &err), PT_OK);
    assert_string_equal(pt_buf_cstr(&b), "{\"a\":[{\"b\":1.5}],\"big\":9007199254740991,\"f\":0.1,\"z\":1}");
}

static void merge_patch(void **state)
{
    (void)state;
    check_merge(pt_obj_merge, "{\"a\":1,\"b\":{\"c\":2,\"d\":3}}", "{\"a\":null,\"b\":{\"c\":4},\"e\":{\"f\":null,\"g\":1}}", "{\"b\":{\"c\":4,\"d\":3},\"e\":{\"g\":1}}");
    check_merge(pt_obj_merge, "{\"a\":[1,2]}", "{\"a\":[3]}", "{\"a\":[3]}");
    check_merge(pt_obj_merge, "{\"a\":\"s\"}", "{\"a\":{\"b\":1}}", "{\"a\":{\"b\":1}}");
    check_merge(merge_away, "{\"a\":1,\"b\":{\"c\":2,\"d\":3}}", "{\"a\":null,\"b\":{\"c\":[4]},\"e\":{\"f\":null,\"g\":\"h\"}}", "{\"b\":{\"c\":[4],\"d\":3},\"e\":{\"g\":\"h\"}}");
}

static void strategic_merge(void **state)
{
    (void)state;
    check_merge(pt_obj_strategic, "{\"containers\":[{\"name\":\"a\",\"image\":\"x\",\"env\":[{\"name\":\"E\",\"value\":\"1\"}]},{\"name\":\"b\"}]}",
                "{\"containers\":[{\"name\":\"a\",\"env\":[{\"name\":\"F\",\"value\":\"2\"},{\"name\":\"E\",\"value\":\"3\"}]},{\"name\":\"c\"}]}",
                "{\"containers\":[{\"name\":\"a\",\"image\":\"x\",\"env\":[{\"name\":\"E\",\"value\":\"3\"},{\"name\":\"F\",\"value\":\"2\"}]},{\"name\":\"b\"},{\"name\":\"c\"}]}");
    check_merge(pt_obj_strategic, "{\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}]}", "{\"volumes\":[{\"name\":\"v\",\"hostPath\":{\"path\":\"/x\"}}]}",
                "{\"volumes\":[{\"name\":\"v\",\"hostPath\":{\"path\":\"/x\"}}]}");
    check_merge(pt_obj_strategic, "{\"conditions\":[{\"type\":\"A\",\"status\":\"True\"},{\"type\":\"B\"}]}",
                "{\"conditions\":[{\"type\":\"B\",\"$patch\":\"delete\"},{\"type\":\"A\",\"status\":\"False\"}]}", "{\"conditions\":[{\"type\":\"A\",\"status\":\"False\"}]}");
    check_merge(pt_obj_strategic, "{\"tolerations\":[{\"key\":\"a\"}]}", "{\"tolerations\":[{\"key\":\"b\"}]}", "{\"tolerations\":[{\"key\":\"b\"}]}");
    check_merge(pt_obj_strategic, "{\"m\":{\"a\":1,\"b\":2}}", "{\"m\":{\"$patch\":\"replace\",\"c\":3}}", "{\"m\":{\"c\":3}}");
    pt_auto_obj *t = parse("{}"), *p = parse("{\"containers\":[{\"image\":\"x\"}]}");
    struct pt_err err;
    assert_int_equal(pt_obj_strategic(t, p, &err), PT_EINVAL);
    assert_non_null(strstr(err.msg, "name"));
}

/* What it says yes to is byte for byte what would be written. */
static void canonical_text(void **state)
{
    (void)state;
    static const char *const yes[] = {"{}", "[]", "{\"a\":1,\"b\":[{\"x\":-3},0,\"t\",true,false],\"c\":{\"a\":\"\",\"ab\":{}}}", "123456789012345", "\"x\""};
    static const char *const no[] = {"{\"b\":1,\"a\":2}", "{\"a\":1,\"a\":2}", "{\"ab\":1,\"a\":2}", "{\"a\":null}", "[null]", "{\"a\": 1}", "{ \"a\":1}", "{\"a\":1 }", "{\"a\" :1}", "[1, 2]", "[ 1]",
                                     "[1 ]", " {}", "{} ", "1.5", "1e3", "-0", "01", "1234567890123456", "\"\\n\"", "\"\xc3\xa9\"", "{\"a\":1", "", "{\"a\":[1,]}", "nul", "{\"a\\u0062\":1}"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        pt_auto_buf b = PT_BUF_INIT(0);
        pt_auto_obj *o = NULL;
        struct pt_err err;
        assert_true(pt_obj_is_canonical(pt_str(yes[i])));
        assert_int_equal(pt_obj_parse_any(pt_str(yes[i]), "test", &o, &err), PT_OK);
        assert_int_equal(pt_obj_canonical(o, &b, &err), PT_OK);
        assert_string_equal(pt_buf_cstr(&b), yes[i]);
    }
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (pt_obj_is_canonical(pt_str(no[i])))
            fail_msg("%s", no[i]);
}

/* Members keep their places, new ones go where their names say. */
static void order_of_members(void **state)
{
    (void)state;
    pt_auto_obj *t = parse("{\"b\":1,\"d\":{\"y\":1},\"f\":1}"), *p = parse("{\"f\":{\"q\":2,\"p\":1},\"a\":1,\"b\":[2],\"d\":{\"x\":1,\"z\":2},\"e\":null,\"c\":3}");
    pt_auto_buf b = PT_BUF_INIT(0);
    struct pt_err err;
    assert_int_equal(pt_obj_merge(t, p, &err), PT_OK);
    assert_int_equal(pt_obj_print(t, &b, &err), PT_OK);
    assert_string_equal(pt_buf_cstr(&b), "{\"a\":1,\"b\":[2],\"c\":3,\"d\":{\"x\":1,\"y\":1,\"z\":2},\"f\":{\"p\":1,\"q\":2}}");
}

/* Whatever allocation fails, there is an error and nothing is lost (the sanitizer watches). */
static void out_of_memory(void **state)
{
    (void)state;
    bool done = false;
    for (int64_t n = 1; !done; n++) {
        pt_auto_obj *t = parse("{\"containers\":[{\"name\":\"a\",\"env\":[]}]}"), *p = parse("{\"containers\":[{\"name\":\"a\",\"env\":[{\"name\":\"x\"}]},{\"name\":\"b\",\"m\":{\"x\":1}}]}");
        pt_auto_buf b = PT_BUF_INIT(0);
        struct pt_err err = {0};
        pt_mem_fail_at(n, 1);
        int rc = pt_obj_strategic(t, p, &err);
        if (rc == PT_OK)
            rc = pt_obj_canonical(t, &b, &err);
        pt_mem_fail_at(0, 0);
        done = rc == PT_OK;
        if (!done)
            assert_int_equal(rc, PT_ENOMEM);
        assert_true(n < 1000);
    }
}

/* A change of an object as a store makes it: what is shared, printed and taken over is as if all had been copied. */
static int change(cJSON **tree, struct pt_buf *text, merge_fn *merge, const cJSON *patch, struct pt_err *err)
{
    pt_auto_obj *next = pt_obj_share(*tree);
    pt_auto_buf fresh = PT_BUF_INIT(0);
    if (!next)
        return pt_fail(err, PT_ENOMEM, "share");
    if (merge(next, patch, err) < 0 || pt_obj_store(next, (struct pt_str){text->data, text->len}, &fresh, err) < 0)
        return err->code;
    pt_obj_take_over(next);
    pt_obj_free(*tree);
    *tree = pt_steal(next);
    struct pt_buf before = *text;
    *text = fresh;
    fresh = before;
    return PT_OK;
}

static const struct {
    merge_fn *merge;
    const char *patch;
} changes[] = {
    {pt_obj_merge, "{}"},
    {merge_away, "{\"metadata\":{\"name\":\"b\",\"new\":{\"z\":[{\"a\":null}],\"b\":null,\"a\":\"long enough to be no short text\"}}}"},
    {pt_obj_merge, "{\"metadata\":{\"resourceVersion\":\"10001\"}}"},
    {pt_obj_strategic, "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"},{\"type\":\"New\"}]}}"},
    {pt_obj_merge, "{\"metadata\":{\"annotations\":{\"one more\":\"\\\"\"},\"resourceVersion\":\"2\"}}"},
    {pt_obj_strategic, "{\"spec\":{\"containers\":[{\"name\":\"b\",\"$patch\":\"delete\"}]}}"},
    {pt_obj_merge, "{\"status\":null,\"spec\":{\"n\":[1,2.5,{}]}}"},
    {pt_obj_strategic, "{\"spec\":{\"$patch\":\"replace\",\"a\":\"b\"}}"},
    {pt_obj_merge, "{\"status\":{\"a\":[]},\"metadata\":{\"annotations\":null}}"},
};
static const char changed[] = "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\",\"annotations\":{\"an odd \\\"name\":\"{\\\"x\\\":1}\"},\"resourceVersion\":\"1\"},"
                              "\"spec\":{\"containers\":[{\"name\":\"a\",\"env\":[]},{\"name\":\"b\"}],\"n\":1e300},"
                              "\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\"},{\"type\":\"Old\",\"ok\":true}]}}";

static void sharing(void **state)
{
    (void)state;
    pt_auto_obj *tree = parse(changed), *copied = parse(changed);
    pt_auto_buf text = PT_BUF_INIT(0);
    struct pt_err err = {0};
    assert_int_equal(pt_obj_store(tree, PT_STR(""), &text, &err), PT_OK);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        pt_auto_obj *patch = parse(changes[i].patch), *unused = pt_obj_share(tree);
        pt_auto_buf wanted = PT_BUF_INIT(0), is = PT_BUF_INIT(0), was = PT_BUF_INIT(0);
        assert_int_equal(changes[i].merge(unused, patch, &err), PT_OK);
        assert_int_equal(pt_obj_print(tree, &was, &err), PT_OK); /* what others share with stays */
        assert_string_equal(pt_buf_cstr(&was), pt_buf_cstr(&text));
        assert_int_equal(changes[i].merge(copied, patch, &err), PT_OK);
        assert_int_equal(pt_obj_print(copied, &wanted, &err), PT_OK);
        pt_obj_free(pt_steal(unused));
        assert_int_equal(change(&tree, &text, changes[i].merge, patch, &err), PT_OK);
        assert_int_equal(pt_obj_print(tree, &is, &err), PT_OK);
        assert_string_equal(pt_buf_cstr(&is), pt_buf_cstr(&wanted));
        assert_string_equal(pt_buf_cstr(&text), pt_buf_cstr(&wanted));
        assert_true(pt_obj_equal(tree, copied));
    }
}

static void sharing_without_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        pt_auto_obj *tree = parse(changed), *patch = parse(changes[i].patch);
        pt_auto_buf text = PT_BUF_INIT(0);
        struct pt_err err = {0};
        assert_int_equal(pt_obj_store(tree, PT_STR(""), &text, &err), PT_OK);
        for (int64_t n = 1, rc = PT_ENOMEM; rc < 0; n++) {
            pt_mem_fail_at(n, 1);
            rc = change(&tree, &text, changes[i].merge, patch, &err);
            pt_mem_fail_at(0, 0);
            pt_auto_buf is = PT_BUF_INIT(0);
            assert_true(rc == PT_OK || rc == PT_ENOMEM);
            assert_int_equal(pt_obj_print(tree, &is, &err), PT_OK);
            assert_string_equal(pt_buf_cstr(&is), pt_buf_cstr(&text));
            assert_true(n < 1000);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(parsing),         cmocka_unit_test(paths),         cmocka_unit_test(canonical), cmocka_unit_test(merge_patch),
                                       cmocka_unit_test(strategic_merge), cmocka_unit_test(canonical_text), cmocka_unit_test(order_of_members), cmocka_unit_test(out_of_memory),
                                       cmocka_unit_test(sharing),         cmocka_unit_test(sharing_without_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
