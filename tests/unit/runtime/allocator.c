/* SPDX-License-Identifier: Apache-2.0
 *
 * allocator.c: memory from the program's own functions: every block of a session and its runs comes from them and goes back to them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "pintle/runtime.h"

static long blocks, taken;

static void *count(void *p)
{
    __atomic_add_fetch(&blocks, p != NULL, __ATOMIC_RELAXED);
    __atomic_add_fetch(&taken, 1, __ATOMIC_RELAXED);
    return p;
}
static void *my_malloc(size_t n)
{
    return count(malloc(n));
}
static void *my_realloc(void *p, size_t n)
{
    return p ? realloc(p, n) : count(malloc(n));
}
static void my_free(void *p)
{
    __atomic_sub_fetch(&blocks, 1, __ATOMIC_RELAXED);
    free(p);
}
static void *my_aligned(size_t alignment, size_t n)
{
    return count(aligned_alloc(alignment, n));
}

static void all_of_it(void **state)
{
    (void)state;
    struct pt_allocator a = {sizeof a, my_malloc, my_realloc, my_free, my_aligned};
    struct pt_session *s;
    struct pt_run *r;
    struct pt_err err;
    static float x[64];
    struct pt_tensor in = {.dtype = PT_FLOAT, .rank = 4, .dims = {1, 1, 8, 8}, .data = x, .size_bytes = sizeof x};
    assert_int_equal(pt_set_allocator(&a, &err), 0);
    assert_int_equal(pt_session_open(PT_SOURCE_DIR "/examples/digits/digits.onnx", NULL, &s, &err), 0);
    assert_int_equal(pt_run_create(s, &r, &err), 0);
    assert_int_equal(pt_run_set_input(r, 0, &in, &err), 0);
    assert_int_equal(pt_run_execute(r, &err), 0);
    assert_true(blocks > 10);
    long before = taken;
    assert_int_equal(pt_run_execute(r, &err), 0);
    assert_int_equal(taken, before);
    pt_run_destroy(r);
    pt_session_close(s);
    assert_int_equal(blocks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_of_it)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
