/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels_test.h: what the tests of kernels share. Every table that this CPU can run, and the 16-wide templates lowered to AVX2, is held
 * against the reference. Buffers end at an unreadable page, so one element read or written too far is a crash; outputs are filled
 * with a pattern that the reference leaves wherever nothing may be written, and comparing whole buffers checks strides and gaps.
 */
#ifndef PT_TESTS_KERNELS_TEST_H
#define PT_TESTS_KERNELS_TEST_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "pintle/runtime.h"
#include "runtime/kernels/tables.h"

extern const struct pt_kernels pt_kernels_wide;

/* Table i of those to test, NULL past the last. */
static inline const struct pt_kernels *test_table(size_t i)
{
    const struct pt_kernels *all[] = {pt_kernels_of(PT_ISA_AVX2), pt_kernels_of(PT_ISA_AVX2) ? &pt_kernels_wide : NULL, pt_kernels_of(PT_ISA_AVX512)};
    for (size_t k = 0; k < 3; k++)
        if (all[k] && i-- == 0)
            return all[k];
    return NULL;
}

#define SENTINEL 0x7fa5a5a5u /* a NaN no kernel makes */

/* n floats that end at a page which traps. */
struct gbuf {
    float *p;
    size_t n;
    void *map;
    size_t map_len;
};
static inline struct gbuf gbuf_make(size_t n)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), len = (n * sizeof(float) + page - 1) / page * page;
    struct gbuf b = {.n = n, .map_len = len + page};
    b.map = mmap(NULL, b.map_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(b.map != MAP_FAILED);
    assert_int_equal(mprotect((char *)b.map + len, page, PROT_NONE), 0);
    b.p = (float *)(void *)((char *)b.map + len) - n;
    const uint32_t s = SENTINEL;
    for (size_t i = 0; i < n; i++)
        memcpy(b.p + i, &s, sizeof s);
    return b;
}
static inline void gbuf_free(struct gbuf *b)
{
    munmap(b->map, b->map_len);
}
/* Values in [-1, 1) from a small generator: the same on every machine. */
static inline float test_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(int32_t)*state / 2147483648.0f;
}
static inline struct gbuf gbuf_random(size_t n, uint32_t seed)
{
    struct gbuf b = gbuf_make(n);
    for (size_t i = 0; i < n; i++)
        b.p[i] = test_random(&seed);
    return b;
}
static inline struct gbuf gbuf_copy(const struct gbuf *a)
{
    struct gbuf b = gbuf_make(a->n);
    memcpy(b.p, a->p, a->n * sizeof(float));
    return b;
}

/* Bits equal, both NaN, or |a - b| <= abs_tol + rel_tol |want|; untouched where the reference left it untouched. */
static inline void check_equal(const char *what, const struct pt_kernels *k, const struct gbuf *want, const struct gbuf *got, float abs_tol, float rel_tol)
{
    assert_int_equal(want->n, got->n);
    for (size_t i = 0; i < want->n; i++) {
        uint32_t w, g;
        memcpy(&w, want->p + i, 4);
        memcpy(&g, got->p + i, 4);
        const float a = want->p[i], b = got->p[i];
        if (w == g || (w != SENTINEL && g != SENTINEL && isnan(a) && isnan(b)))
            continue;
        if (w != SENTINEL && g != SENTINEL && fabsf(a - b) <= abs_tol + rel_tol * fabsf(a))
            continue;
        fail_msg("%s on %s: element %zu of %zu: want %.9g (%08x), got %.9g (%08x)", what, k->name, i, want->n, (double)a, w, (double)b, g);
    }
}

/* 64-byte aligned memory of exactly the bytes a kernel asked for (at least 1), to be freed with pt_free. */
static inline void *test_alloc(size_t bytes)
{
    void *p = pt_alloc_aligned(bytes ? bytes : 1);
    assert_non_null(p);
    return p;
}
static inline struct pt_threads *test_pool(void)
{
    struct pt_threads *t = NULL;
    assert_int_equal(pt_threads_create(3, &t, NULL), 0);
    return t;
}

#endif
