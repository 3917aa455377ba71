/* SPDX-License-Identifier: Apache-2.0
 *
 * mem.c: malloc with a switch that makes the Nth call fail, and arenas. The switch costs one relaxed atomic load per allocation.
 */
#include "base/mem.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_uint_fast64_t total;
int64_t pt_mem_fail_in;     /* atomic; 0 = off, 1 = the next one fails */
static atomic_bool fail_on; /* the state stays at 1 */

static struct pt_mem_hooks from = {malloc, realloc, free, aligned_alloc};

int pt_mem_set_hooks(const struct pt_mem_hooks *hooks)
{
    if (pt_mem_count())
        return -1;
    from = *hooks;
    return 0;
}

bool pt_mem_must_fail(void)
{
    atomic_fetch_add_explicit(&total, 1, memory_order_relaxed);
    int64_t n = __atomic_load_n(&pt_mem_fail_in, __ATOMIC_RELAXED);
    while (n > 0 && !(n == 1 && atomic_load(&fail_on)))
        if (__atomic_compare_exchange_n(&pt_mem_fail_in, &n, n - 1, true, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            return n == 1;
    return n > 0;
}

void pt_mem_fail_at(int64_t n, int all_after)
{
    __atomic_store_n(&pt_mem_fail_in, 0, __ATOMIC_SEQ_CST);
    atomic_store(&fail_on, all_after != 0);
    __atomic_store_n(&pt_mem_fail_in, n > 0 ? n : 0, __ATOMIC_SEQ_CST);
}

uint64_t pt_mem_count(void)
{
    return atomic_load(&total);
}

void *pt_malloc(size_t size)
{
    return pt_mem_must_fail() ? NULL : from.malloc(size ? size : 1);
}

void *pt_calloc(size_t count, size_t size)
{
    if (pt_mem_must_fail())
        return NULL;
    if (from.malloc == malloc) /* pages fresh from the system are not cleared twice */
        return calloc(count ? count : 1, size ? size : 1);
    size_t bytes;
    void *p = __builtin_mul_overflow(count, size, &bytes) ? NULL : from.malloc(bytes ? bytes : 1);
    return p ? memset(p, 0, bytes) : NULL;
}

void *pt_realloc(void *p, size_t size)
{
    return pt_mem_must_fail() ? NULL : from.realloc(p, size ? size : 1);
}

void *pt_reallocarray(void *p, size_t count, size_t size)
{
    size_t bytes;
    return __builtin_mul_overflow(count, size, &bytes) ? NULL : pt_realloc(p, bytes);
}

void *pt_alloc_aligned(size_t size)
{
    if (size > SIZE_MAX - 63 || pt_mem_must_fail())
        return NULL;
    size = (size + 63) & ~(size_t)63;
    return from.aligned_alloc(64, size ? size : 64);
}

void pt_free(void *p)
{
    if (p)
        from.free(p);
}

char *pt_strndup(const char *s, size_t len)
{
    char *copy = len < SIZE_MAX ? pt_malloc(len + 1) : NULL;
    if (copy) {
        if (len)
            memcpy(copy, s, len);
        copy[len] = '\0';
    }
    return copy;
}

char *pt_strdup(const char *s)
{
    return pt_strndup(s, strlen(s));
}

char *pt_asprintf(const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int len = vsnprintf(NULL, 0, fmt, ap);
    char *s = len < 0 ? NULL : pt_malloc((size_t)len + 1);
    if (s)
        vsnprintf(s, (size_t)len + 1, fmt, again);
    va_end(again);
    va_end(ap);
    return s;
}

/* --- arenas: chunks grow from 4 KiB to 1 MiB; what is larger gets a chunk of its own size ----------------------------- */

#define ARENA_FIRST ((size_t)4096)
#define ARENA_MOST ((size_t)1 << 20)

struct pt_arena_chunk {
    struct pt_arena_chunk *next;
    size_t used, room;
    _Alignas(16) uint8_t data[];
};

void pt_arena_init(struct pt_arena *a, size_t cap_bytes)
{
    *a = (struct pt_arena){.cap_bytes = cap_bytes};
}

void pt_arena_finish(struct pt_arena *a)
{
    for (struct pt_arena_chunk *c = a->chunks, *next; c; c = next) {
        next = c->next;
        pt_free(c);
    }
    pt_arena_init(a, a->cap_bytes);
}

static struct pt_arena_chunk *add_chunk(struct pt_arena *a, size_t size)
{
    size_t room = a->chunks ? a->chunks->room * 2 : ARENA_FIRST;
    if (room > ARENA_MOST)
        room = ARENA_MOST;
    if (room < size)
        room = size;
    struct pt_arena_chunk *c = pt_malloc(sizeof *c + room);
    if (!c)
        return NULL;
    *c = (struct pt_arena_chunk){.room = room, .next = a->chunks};
    a->chunks = c;
    return c;
}

static void *take(struct pt_arena *a, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + 15) & ~(size_t)15;
    if (size == 0)
        size = 16;
    if (a->cap_bytes && (size > a->cap_bytes || a->used_bytes > a->cap_bytes - size))
        return NULL;
    struct pt_arena_chunk *c = a->chunks;
    if ((!c || c->room - c->used < size) && !(c = add_chunk(a, size)))
        return NULL;
    void *p = c->data + c->used;
    c->used += size;
    a->used_bytes += size;
    return p;
}

void *pt_arena_alloc(struct pt_arena *a, size_t size)
{
    void *p = take(a, size);
    return p ? memset(p, 0, size) : NULL;
}

char *pt_arena_strndup(struct pt_arena *a, const char *s, size_t len)
{
    char *copy = len < SIZE_MAX ? take(a, len + 1) : NULL;
    if (copy) {
        if (len)
            memcpy(copy, s, len);
        copy[len] = '\0';
    }
    return copy;
}
