/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "operator/report/known.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct pt_known_id id_of(const char *kind, int n)
{
    char text[32];
    struct pt_known_id id;
    snprintf(text, sizeof text, "%s-%d", kind, n);
    assert_true(pt_known_id(pt_str(text), &id));
    return id;
}

static bool knows(const struct pt_known *k, int n, int64_t now_ms)
{
    struct pt_known_id token = id_of("token", n), pod = id_of("pod", n);
    const struct pt_known_id *got = pt_known_get(k, &token, now_ms);
    if (got)
        assert_memory_equal(got, &pod, sizeof pod);
    return got != NULL;
}

static void put(struct pt_known *k, int n, int64_t until_ms, int64_t now_ms)
{
    struct pt_known_id token = id_of("token", n), pod = id_of("pod", n);
    pt_known_put(k, &token, &pod, until_ms, now_ms);
}

static void tokens_are_known_until_they_expire(void **state)
{
    (void)state;
    struct pt_known k = {.most = 100000};
    assert_false(knows(&k, 1, 0));
    for (int i = 0; i < 5000; i++)
        put(&k, i, i < 2500 ? 100 : 200, 10);
    for (int i = 0; i < 5000; i++) {
        assert_true(knows(&k, i, 99));
        assert_int_equal(knows(&k, i, 100), i >= 2500);
    }
    put(&k, 7, 300, 150); /* reviewed again */
    assert_true(knows(&k, 7, 299));
    size_t size = k.size;
    for (int i = 0; i < 20000; i++) /* what has expired makes room */
        put(&k, 10000 + i, 301 + i, 300 + i);
    assert_true(k.size <= size);
    assert_true(knows(&k, 10000 + 19999, 300 + 19999));
    pt_known_finish(&k);
}

static void past_the_bound_all_are_forgotten(void **state)
{
    (void)state;
    struct pt_known k = {.most = 10};
    for (int i = 0; i < 11; i++)
        put(&k, i, 100, 0);
    assert_int_equal(k.count, 1);
    assert_false(knows(&k, 9, 0));
    assert_true(knows(&k, 10, 0));
    pt_known_finish(&k);
}

static void without_memory_nothing_is_remembered(void **state)
{
    (void)state;
    struct pt_known k = {.most = 10};
    struct pt_known_id token = id_of("token", 1);
    pt_mem_fail_at(1, 0);
    pt_known_put(&k, &token, &token, 100, 0);
    pt_mem_fail_at(0, 0);
    assert_null(pt_known_get(&k, &token, 0));
    pt_known_finish(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_are_known_until_they_expire),
        cmocka_unit_test(past_the_bound_all_are_forgotten),
        cmocka_unit_test(without_memory_nothing_is_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
