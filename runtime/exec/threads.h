/* SPDX-License-Identifier: Apache-2.0
 *
 * threads.h: fork-join over an index range, on the pool that pintle/runtime.h makes (pt_threads_create and friends).
 *
 * The caller works too. One call owns the pool at a time: a second caller, or a call from inside fn, runs its whole range inline,
 * which is always correct and needs no queue. Idle workers sleep on a futex; they look for work a few microseconds before they
 * do, but never when the pool has more threads than the CPU limit allows. No call allocates.
 */
#ifndef PT_RUNTIME_EXEC_THREADS_H
#define PT_RUNTIME_EXEC_THREADS_H

#include <stddef.h>

struct pt_threads;

typedef void (*pt_range_fn)(void *arg, size_t begin, size_t end);

/* Calls fn on disjoint pieces of [0, n), each of at most `grain` indices (0 counts as 1), and returns when all are done. Pieces are
 * handed out in order to whichever thread is free. t may be NULL, n may be 0. fn must not block on another piece. */
void pt_parallel_for(struct pt_threads *t, size_t n, size_t grain, pt_range_fn fn, void *arg);

/* Around the execution of a model: so many threads fewer are there to help others. */
void pt_threads_enter(struct pt_threads *t);
void pt_threads_leave(struct pt_threads *t);

/* How many threads may run pieces at once; 1 for NULL. Equals pt_threads_count(). */
int pt_parallel_width(const struct pt_threads *t);

#endif
