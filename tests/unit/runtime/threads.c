/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <time.h>
#include <cmocka.h>

#include "base/cpu.h"
#include "base/err.h"
#include "base/mem.h"
#include "pintle/runtime.h"
#include "runtime/exec/threads.h"

enum { N = 1000 };

struct marks {
    struct pt_threads *pool;
    int count[N]; /* how often each index was visited */
    size_t grain;
    int bad; /* pieces larger than the grain */
};
static void mark(void *arg, size_t begin, size_t end)
{
    struct marks *m = arg;
    if (end <= begin || end - begin > m->grain || end > N)
        __atomic_fetch_add(&m->bad, 1, __ATOMIC_RELAXED);
    for (size_t i = begin; i < end && i < N; i++)
        __atomic_fetch_add(&m->count[i], 1, __ATOMIC_RELAXED);
}
static void check_once(struct pt_threads *pool, size_t n, size_t grain)
{
    struct marks m = {.grain = grain ? grain : 1};
    pt_parallel_for(pool, n, grain, mark, &m);
    assert_int_equal(m.bad, 0);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(m.count[i], i < n);
}
static void test_every_index_once(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 5; threads++) {
        struct pt_threads *pool;
        assert_int_equal(pt_threads_create(threads, &pool, NULL), PT_OK);
        assert_int_equal(pt_threads_count(pool), threads);
        for (size_t n = 0; n <= N; n = n * 3 + 1)
            for (size_t grain = 0; grain < 12; grain += 5)
                check_once(pool, n, grain);
        pt_threads_destroy(pool);
    }
    check_once(NULL, 17, 4);
}
static void nested(void *arg, size_t begin, size_t end)
{
    struct marks *m = arg;
    for (size_t i = begin; i < end; i++) {
        struct marks inner = {.grain = 3};
        pt_parallel_for(m->pool, 20, 3, mark, &inner);
        for (int k = 0; k < 20; k++)
            if (inner.count[k] != 1)
                __atomic_fetch_add(&m->bad, 1, __ATOMIC_RELAXED);
    }
    mark(arg, begin, end);
}
static void test_nested(void **state)
{
    (void)state;
    struct marks m = {.grain = 1};
    assert_int_equal(pt_threads_create(3, &m.pool, NULL), PT_OK);
    pt_parallel_for(m.pool, 100, 1, nested, &m);
    assert_int_equal(m.bad, 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(m.count[i], 1);
    pt_threads_destroy(m.pool);
}
static void *caller(void *arg)
{
    for (int round = 0; round < 300; round++) {
        struct marks m = {.grain = 7};
        pt_parallel_for(arg, N, 7, mark, &m);
        for (int i = 0; i < N; i++)
            if (m.count[i] != 1 || m.bad)
                return arg;
    }
    return NULL;
}
static void test_concurrent_callers(void **state)
{
    (void)state;
    struct pt_threads *pool;
    pthread_t callers[4];
    assert_int_equal(pt_threads_create(3, &pool, NULL), PT_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&callers[i], NULL, caller, pool), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        pthread_join(callers[i], &failed);
        assert_null(failed);
    }
    pt_threads_destroy(pool);
}
struct alone {
    pthread_t self;
    int others; /* pieces that another thread did */
};
static void who(void *arg, size_t begin, size_t end)
{
    struct alone *a = arg;
    struct timespec nap = {.tv_nsec = 1000000};
    (void)begin, (void)end;
    if (!pthread_equal(pthread_self(), a->self))
        __atomic_fetch_add(&a->others, 1, __ATOMIC_RELAXED);
    nanosleep(&nap, NULL);
}
/* As many executions as threads: nobody helps. One fewer: somebody may, and one alone. */
static void test_executions_share_the_threads(void **state)
{
    (void)state;
    struct pt_threads *pool;
    assert_int_equal(pt_threads_create(3, &pool, NULL), PT_OK);
    for (int users = 4; users >= 0; users--) {
        struct alone a = {.self = pthread_self()};
        for (int i = 0; i < users; i++)
            pt_threads_enter(pool);
        pt_parallel_for(pool, 50, 1, who, &a);
        assert_true(users >= 3 ? a.others == 0 : a.others > 0);
        for (int i = 0; i < users; i++)
            pt_threads_leave(pool);
    }
    pt_threads_destroy(pool);
}
static void test_no_allocation_per_call(void **state)
{
    (void)state;
    struct pt_threads *pool;
    assert_int_equal(pt_threads_create(3, &pool, NULL), PT_OK);
    uint64_t before = pt_mem_count();
    for (int i = 0; i < 50; i++)
        check_once(pool, N, 10);
    assert_int_equal(pt_mem_count(), before);
    pt_threads_destroy(pool);
}
/* An idle pool burns no CPU: a third of a second of waiting costs well under a tenth of it, even on a loaded machine. */
static void test_idle_sleeps(void **state)
{
    (void)state;
    struct pt_threads *pool;
    struct timespec before, after, nap = {.tv_nsec = 300000000};
    assert_int_equal(pt_threads_create(4, &pool, NULL), PT_OK);
    check_once(pool, N, 10);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    nanosleep(&nap, NULL);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    assert_true((after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec - before.tv_nsec < 30000000L);
    pt_threads_destroy(pool);
}
static void test_arguments(void **state)
{
    (void)state;
    struct pt_threads *pool = NULL;
    struct pt_err err;
    assert_int_equal(pt_threads_create(-1, &pool, &err), PT_EINVAL);
    assert_int_equal(pt_threads_create(100000, &pool, &err), PT_EINVAL);
    assert_null(pool);
    pt_mem_fail_at(1, 0);
    assert_int_equal(pt_threads_create(2, &pool, &err), PT_ENOMEM);
    pt_mem_fail_at(0, 0);
    assert_int_equal(pt_threads_create(0, &pool, &err), PT_OK);
    assert_int_equal(pt_threads_count(pool), pt_cpu_limit(""));
    pt_threads_destroy(pool);
    pt_threads_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_index_once),
                                       cmocka_unit_test(test_nested),
                                       cmocka_unit_test(test_concurrent_callers),
                                       cmocka_unit_test(test_executions_share_the_threads),
                                       cmocka_unit_test(test_no_allocation_per_call),
                                       cmocka_unit_test(test_idle_sleeps),
                                       cmocka_unit_test(test_arguments)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
