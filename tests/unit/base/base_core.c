/* SPDX-License-Identifier: Apache-2.0
 *
 * base_core.c: errors, allocation, maps, random numbers and the contract's texts.
 */
#include "unit.h"

#include "base/contract.h"
#include "base/map.h"
#include "base/rand.h"

#include <errno.h>
#include <math.h>

/* --- err ------------------------------------------------------------------------------------------------------------- */

static void err_says_what_failed(void **state)
{
    struct pt_err err = {0};
    (void)state;
    assert_int_equal(pt_fail(&err, PT_EIO, "open %s: %s", "x", "gone"), PT_EIO);
    assert_int_equal(err.code, PT_EIO);
    assert_string_equal(err.msg, "open x: gone");
    assert_int_equal(pt_wrap(&err, "load model %s", "digits"), PT_EIO);
    assert_string_equal(err.msg, "load model digits: open x: gone");
    assert_int_equal(pt_fail(NULL, PT_EINVAL, "nobody listens"), PT_EINVAL);
    assert_int_equal(pt_wrap(NULL, "nobody listens"), PT_EINTERNAL);
}

static void err_message_may_quote_itself(void **state)
{
    struct pt_err err;
    (void)state;
    pt_fail(&err, PT_EIO, "inner");
    pt_fail(&err, PT_EINVAL, "outer (%s)", err.msg);
    assert_string_equal(err.msg, "outer (inner)");
}

static void err_is_one_line(void **state)
{
    struct pt_err err;
    (void)state;
    pt_fail(&err, PT_EPARSE, "a\nb\tc\rd\x01\x7f\xc3\xa9");
    assert_string_equal(err.msg, "a b c d??\xc3\xa9");
}

static void err_cuts_long_messages(void **state)
{
    struct pt_err err;
    char text[2000];
    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    pt_fail(&err, PT_EIO, "%s", text);
    assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
    assert_string_equal(err.msg + sizeof err.msg - 5, "x...");
    for (size_t i = 0; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    for (int shift = 0; shift < 2; shift++) { /* the cut falls into a code point for one of both */
        pt_fail(&err, PT_EIO, "%s%s", shift ? "y" : "", text);
        assert_true(pt_utf8_valid(pt_str(err.msg)));
        assert_true(strlen(err.msg) > sizeof err.msg - 4);
    }
}

static void err_table_is_whole(void **state)
{
    (void)state;
    assert_string_equal(pt_err_name(PT_OK), "PT_OK");
    assert_string_equal(pt_err_name(PT_EBUSY), "PT_EBUSY");
    assert_string_equal(pt_err_text(PT_EBUSY), "too many requests");
    assert_int_equal(pt_err_http(PT_OK), 200);
    assert_int_equal(pt_err_http(PT_EBUSY), 429);
    assert_int_equal(pt_err_grpc(PT_ETIMEDOUT), 4);
    assert_int_equal(pt_err_http(-4711), 500);
    assert_int_equal(pt_err_from_errno(ENOENT), PT_ENOTFOUND);
    assert_int_equal(pt_err_from_errno(EACCES), PT_EDENIED);
    assert_int_equal(pt_err_from_errno(ENOSPC), PT_EIO);
}

/* --- mem ------------------------------------------------------------------------------------------------------------- */

static void mem_fails_when_told(void **state)
{
    (void)state;
    uint64_t before = pt_mem_count();
    pt_mem_fail_at(2, 0);
    void *a = pt_malloc(1), *b = pt_malloc(1), *c = pt_calloc(1, 1);
    assert_non_null(a);
    assert_null(b);
    assert_non_null(c);
    pt_mem_fail_at(1, 1);
    assert_null(pt_strdup("x"));
    assert_null(pt_alloc_aligned(1));
    a = pt_realloc(a, 100) ? NULL : a; /* the old block stays */
    pt_mem_fail_at(0, 0);
    char *d = pt_asprintf("%d", 7);
    assert_string_equal(d, "7");
    assert_int_equal(pt_mem_count() - before, 7);
    pt_free(a);
    pt_free(c);
    pt_free(d);
    pt_free(NULL);
}

static void mem_refuses_overflow(void **state)
{
    (void)state;
    assert_null(pt_reallocarray(NULL, SIZE_MAX / 2, 4));
    assert_null(pt_alloc_aligned(SIZE_MAX - 1));
    void *p = pt_alloc_aligned(0);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % 64, 0);
    pt_free(p);
}

static char *stolen(void)
{
    pt_auto_free char *s = pt_strndup("abcdef", 3);
    return pt_steal(s);
}

static void mem_hands_over(void **state)
{
    (void)state;
    char *s = stolen();
    assert_string_equal(s, "abc");
    pt_free(s);
}

static void arena_is_aligned_zeroed_and_capped(void **state)
{
    struct pt_arena a;
    (void)state;
    pt_arena_init(&a, 1 << 20);
    for (size_t size = 0, total = 0; total + size < (1 << 19); total += size, size = size * 2 + 7) {
        char *p = pt_arena_alloc(&a, size);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, size);
    }
    assert_string_equal(pt_arena_strndup(&a, "hello", 4), "hell");
    assert_null(pt_arena_alloc(&a, 1 << 20));
    assert_null(pt_arena_alloc(&a, SIZE_MAX));
    assert_non_null(pt_arena_alloc(&a, 64));
    pt_arena_finish(&a);
    assert_int_equal(a.used_bytes, 0);
    pt_mem_fail_at(1, 0);
    assert_null(pt_arena_alloc(&a, 1));
    pt_mem_fail_at(0, 0);
    assert_non_null(pt_arena_alloc(&a, 1));
    pt_arena_finish(&a);
}

/* --- map ------------------------------------------------------------------------------------------------------------- */

static struct pt_str number_key(char buf[32], unsigned i)
{
    snprintf(buf, 32, "key-%u", i);
    return pt_str(buf);
}

static void map_follows_a_plain_array(void **state)
{
    static int values[500];
    static bool there[500];
    struct pt_map m = {0};
    struct pt_rand r;
    char buf[32];
    size_t count = 0;
    (void)state;
    pt_rand_init(&r, 7);
    for (int step = 0; step < 20000; step++) {
        unsigned i = pt_rand_below(&r, 500);
        void *old = &m;
        if (pt_rand_below(&r, 5) < 2) {
            assert_ptr_equal(pt_map_remove(&m, number_key(buf, i)), there[i] ? &values[i] : NULL);
            count -= there[i];
            there[i] = false;
        } else {
            assert_works(pt_map_set(&m, number_key(buf, i), &values[i], &old, &err));
            assert_ptr_equal(old, there[i] ? &values[i] : NULL);
            count += !there[i];
            there[i] = true;
        }
        assert_int_equal(m.count, count);
        i = pt_rand_below(&r, 500);
        assert_ptr_equal(pt_map_get(&m, number_key(buf, i)), there[i] ? &values[i] : NULL);
    }
    assert_true(m.size <= 2048); /* tombstones do not make it grow */
    pt_map_finish(&m);
}

static void map_iterates_and_removes(void **state)
{
    int value;
    char buf[32];
    struct pt_map m = {0};
    struct pt_str key;
    void *v;
    size_t seen = 0;
    (void)state;
    assert_null(pt_map_get(&m, PT_STR("x")));
    assert_null(pt_map_remove(&m, PT_STR("x")));
    for (unsigned i = 0; i < 100; i++)
        assert_works(pt_map_set(&m, number_key(buf, i), &value, NULL, &err));
    assert_works(pt_map_set(&m, PT_STR(""), &value, NULL, &err)); /* the empty key is one too */
    assert_works(pt_map_set(&m, (struct pt_str){"a\0b", 3}, &value, NULL, &err));
    assert_null(pt_map_get(&m, PT_STR("a")));
    for (size_t i = 0; pt_map_next(&m, &i, &key, &v); seen++) {
        assert_ptr_equal(v, &value);
        assert_ptr_equal(pt_map_remove(&m, key), &value);
    }
    assert_int_equal(seen, 102);
    assert_int_equal(m.count, 0);
    pt_map_finish(&m);
}

static int fill_map(void)
{
    int value, rc = PT_OK;
    char buf[32];
    struct pt_map m = {0};
    for (unsigned i = 0; i < 40 && rc == PT_OK; i++) {
        rc = pt_map_set(&m, number_key(buf, i), &value, NULL, NULL);
        assert_int_equal(m.count, i + (rc == PT_OK));
    }
    pt_map_finish(&m);
    return rc;
}

static void map_without_memory(void **state)
{
    (void)state;
    with_failing_memory(rc = fill_map());
}

/* --- rand, contract -------------------------------------------------------------------------------------------------- */

static void rand_repeats_and_spreads(void **state)
{
    struct pt_rand a, b;
    double sum = 0, squares = 0;
    unsigned hits[10] = {0};
    (void)state;
    pt_rand_init(&a, 42);
    pt_rand_init(&b, 42);
    for (int i = 0; i < 100; i++)
        assert_int_equal(pt_rand_u32(&a), pt_rand_u32(&b));
    for (int i = 0; i < 100000; i++) {
        double u = pt_rand_unit(&a), z = pt_rand_normal(&a);
        assert_true(u >= 0 && u < 1);
        sum += z;
        squares += z * z;
        hits[pt_rand_below(&a, 10)]++;
    }
    assert_true(fabs(sum / 1e5) < 0.02 && fabs(squares / 1e5 - 1) < 0.03);
    for (int i = 0; i < 10; i++)
        assert_in_range(hits[i], 9500, 10500);
    assert_int_equal(pt_rand_below(&a, 0), 0);
    assert_int_equal(pt_rand_below(&a, 1), 0);
}

static void contract_texts_read_back(void **state)
{
    (void)state;
    for (int i = 0; i < PT_MODEL_STATE_COUNT; i++)
        assert_int_equal(pt_model_state_parse(pt_model_state_text((enum pt_model_state)i)), i);
    for (int i = 0; i < PT_MODEL_REASON_COUNT; i++)
        assert_int_equal(pt_model_reason_parse(pt_model_reason_text((enum pt_model_reason)i)), i);
    assert_string_equal(pt_model_state_text(PT_MODEL_READY), "Ready");
    assert_string_equal(pt_model_reason_text(PT_REASON_NONE), "");
    assert_int_equal(pt_model_state_parse("ready"), -1);
    assert_int_equal(pt_model_reason_parse(""), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err_says_what_failed),       cmocka_unit_test(err_message_may_quote_itself), cmocka_unit_test(err_is_one_line),
        cmocka_unit_test(err_cuts_long_messages),     cmocka_unit_test(err_table_is_whole),           cmocka_unit_test(mem_fails_when_told),
        cmocka_unit_test(mem_refuses_overflow),       cmocka_unit_test(mem_hands_over),               cmocka_unit_test(arena_is_aligned_zeroed_and_capped),
        cmocka_unit_test(map_follows_a_plain_array),  cmocka_unit_test(map_iterates_and_removes),     cmocka_unit_test(map_without_memory),
        cmocka_unit_test(rand_repeats_and_spreads),   cmocka_unit_test(contract_texts_read_back),
    };
    return cmocka_run_group_tests_name("core", tests, NULL, NULL);
}
