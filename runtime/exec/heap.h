/* SPDX-License-Identifier: Apache-2.0
 *
 * heap.h: memory of one execution for what no plan can size: the bytes of strings, the items of sequences. Bump allocation from chunks that
 * are kept for the next execution, so that doing the same again allocates nothing; what has not been needed for many executions is given back.
 * One thread at a time.
 */
#ifndef PT_RUNTIME_EXEC_HEAP_H
#define PT_RUNTIME_EXEC_HEAP_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct pt_heap {
    struct pt_heap_chunk *first, *current;
    uint64_t used_bytes, room_bytes, cap_bytes;
    uint64_t peak_bytes; /* of the executions since `age` was 0 */
    int age;
};
void pt_heap_init(struct pt_heap *h, uint64_t cap_bytes); /* cap 0: none */
void pt_heap_finish(struct pt_heap *h);
/* Everything handed out before is gone. */
void pt_heap_reset(struct pt_heap *h);
/* What is handed out after a mark can be given back before the rest. */
struct pt_heap_mark {
    struct pt_heap_chunk *chunk;
    size_t used;
    uint64_t used_bytes;
};
struct pt_heap_mark pt_heap_mark(const struct pt_heap *h);
void pt_heap_release(struct pt_heap *h, struct pt_heap_mark m);
/* 64-byte aligned, not cleared; size 0 is fine. NULL with PT_ELIMIT or PT_ENOMEM written. */
void *pt_heap_alloc(struct pt_heap *h, size_t bytes, struct pt_err *err);

#endif
