/* SPDX-License-Identifier: Apache-2.0
 *
 * packs.c: packed weights: made once each, on all threads, and forgotten when one of them cannot be made.
 */
#include "tests/unit/runtime/model.h"

#include "runtime/compile/program.h"

enum { PACKS = 40 };

static char sources[PACKS];
static _Atomic int calls;

struct job {
    int value;
    bool fails;
};

static int fill(void *arg, void *out, struct pt_err *err)
{
    const struct job *j = arg;
    calls++;
    memset(out, j->value, (size_t)j->value + 1);
    return j->fails ? pt_fail(err, PT_EINTERNAL, "job %d fails", j->value) : PT_OK;
}

static char *later(struct pt_packs *p, int i, bool fails, struct pt_err *err)
{
    const struct job job = {i, fails};
    return pt_packs_later(p, (struct pt_pack_key){&sources[i], 1}, (size_t)i + 1, fill, &job, sizeof job, err);
}

static bool is_filled(const char *data, int i)
{
    for (int k = 0; k <= i; k++)
        if (data[k] != i)
            return false;
    return true;
}

static void fills_once(void **state)
{
    struct pt_threads *pool;
    struct pt_packs *p = pt_packs_create();
    struct pt_err err = {0};
    char *data[PACKS];
    (void)state;
    assert_int_equal(pt_threads_create(3, &pool, NULL), PT_OK);
    calls = 0;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < PACKS; i++) {
            char *again = later(p, i, false, &err);
            assert_non_null(again);
            assert_true(round == 0 || again == data[i]);
            data[i] = again;
            assert_ptr_equal(later(p, i, true, &err), data[i]); /* is known: never filled a second time */
        }
        assert_int_equal(pt_packs_fill(p, round ? NULL : pool, &err), PT_OK);
        assert_int_equal(calls, PACKS);
    }
    for (int i = 0; i < PACKS; i++)
        assert_true(is_filled(data[i], i));
    char own[8];
    const struct job job = {7, false};
    assert_int_equal(pt_packs_queue(p, own, sizeof own, fill, &job, sizeof job, &err), PT_OK);
    assert_int_equal(pt_packs_fill(p, pool, &err), PT_OK);
    assert_true(is_filled(own, 7));
    pt_packs_destroy(p);
    pt_threads_destroy(pool);
}

/* What one failure takes with it is made anew by whoever asks next; what was there before stays. */
static void forgets(void **state)
{
    struct pt_threads *pool;
    struct pt_packs *p = pt_packs_create();
    struct pt_err err = {0};
    (void)state;
    assert_int_equal(pt_threads_create(2, &pool, NULL), PT_OK);
    char *first = later(p, 0, false, &err);
    assert_int_equal(pt_packs_fill(p, pool, &err), PT_OK);
    for (int i = 1; i < PACKS; i++)
        assert_non_null(later(p, i, i == 5 || i == 6, &err));
    assert_int_equal(pt_packs_fill(p, pool, &err), PT_EINTERNAL);
    assert_true(strstr(err.msg, "job 5 fails") || strstr(err.msg, "job 6 fails"));
    assert_ptr_equal(later(p, 0, true, &err), first);
    assert_non_null(later(p, 6, false, &err));
    pt_packs_forget(p);
    char *six = later(p, 6, false, &err);
    assert_int_equal(pt_packs_fill(p, pool, &err), PT_OK);
    assert_true(is_filled(six, 6));
    pt_packs_destroy(p);
    pt_threads_destroy(pool);
}

static int fill_some(struct pt_err *err)
{
    struct pt_packs *p = pt_packs_create();
    int rc = p ? PT_OK : pt_fail(err, PT_ENOMEM, "no packs");
    for (int i = 0; rc == PT_OK && i < PACKS; i++)
        rc = later(p, i, false, err) ? PT_OK : err->code;
    if (rc == PT_OK)
        rc = pt_packs_fill(p, NULL, err);
    pt_packs_destroy(p);
    return rc;
}

static void out_of_memory(void **state)
{
    struct pt_err err = {0};
    (void)state;
    uint64_t before = pt_mem_count();
    assert_int_equal(fill_some(&err), PT_OK);
    int64_t total = (int64_t)(pt_mem_count() - before);
    for (int64_t i = 1; i <= total; i++) {
        pt_mem_fail_at(i, 0);
        assert_int_equal(fill_some(&err), PT_ENOMEM);
        pt_mem_fail_at(0, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_once),
        cmocka_unit_test(forgets),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
