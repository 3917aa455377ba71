/* SPDX-License-Identifier: Apache-2.0
 *
 * mem.h: all allocation of Pintle goes through here, so that a test can fail the Nth one; scope cleanup; arenas.
 *
 * Every function may return NULL; callers report PT_ENOMEM. Thread-safe, except arenas (one owner).
 */
#ifndef PT_BASE_MEM_H
#define PT_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *pt_malloc(size_t size) __attribute__((malloc, alloc_size(1), warn_unused_result));
void *pt_calloc(size_t count, size_t size) __attribute__((malloc, alloc_size(1, 2), warn_unused_result));
void *pt_realloc(void *p, size_t size) __attribute__((alloc_size(2), warn_unused_result));
/* Array form that fails on overflow of count * size. */
void *pt_reallocarray(void *p, size_t count, size_t size) __attribute__((warn_unused_result));
/* 64-byte aligned (cache line, AVX-512), freed by pt_free(). size is rounded up to 64. */
void *pt_alloc_aligned(size_t size) __attribute__((malloc, warn_unused_result));
void pt_free(void *p); /* NULL is fine */
char *pt_strdup(const char *s) __attribute__((malloc, warn_unused_result));
char *pt_strndup(const char *s, size_t len) __attribute__((malloc, warn_unused_result));
char *pt_asprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2), malloc, warn_unused_result));

/* Where memory comes from instead of libc; all four, with libc's meaning. Only before the first allocation: 0, else -1. */
struct pt_mem_hooks {
    void *(*malloc)(size_t size);
    void *(*realloc)(void *p, size_t size);
    void (*free)(void *p);
    void *(*aligned_alloc)(size_t alignment, size_t size);
};
int pt_mem_set_hooks(const struct pt_mem_hooks *hooks);

/* --- tests: fail allocation number n from now (1 = the next), once or from then on. n = 0 switches it off. ------ */
void pt_mem_fail_at(int64_t n, int all_after);
/* For allocators on top of malloc: must the allocation that is about to be made fail? Counts it. */
bool pt_mem_must_fail(void);
/* For those that hand out again what they once allocated: is a failure armed? Only then is that an allocation too, and pt_mem_must_fail() is asked.
 */
extern int64_t pt_mem_fail_in;
static inline bool pt_mem_is_armed(void)
{
    return __atomic_load_n(&pt_mem_fail_in, __ATOMIC_RELAXED) != 0;
}
/* Allocations made by this process so far (successful or failed). */
uint64_t pt_mem_count(void);

/* --- scope cleanup: pt_auto_free char *s = pt_strdup(x); ... return pt_steal(s); --------------------------------- */
static inline void pt_free_ptr(void *pp)
{
    pt_free(*(void **)pp);
}
#define pt_auto_free __attribute__((cleanup(pt_free_ptr)))
#define pt_cleanup(fn) __attribute__((cleanup(fn)))
#define pt_steal(p) __extension__({ __typeof__(p) stolen_ = (p); (p) = NULL; stolen_; })

/* --- arena: bump allocation, freed at once. cap_bytes bounds the total (0 = none): over it, NULL. ----------------- */
struct pt_arena {
    struct pt_arena_chunk *chunks;
    size_t used_bytes, cap_bytes;
};
void pt_arena_init(struct pt_arena *a, size_t cap_bytes);
void pt_arena_finish(struct pt_arena *a);  /* frees everything; the arena can be used again */
void *pt_arena_alloc(struct pt_arena *a, size_t size); /* 16-byte aligned, zeroed */
char *pt_arena_strndup(struct pt_arena *a, const char *s, size_t len);

#endif
