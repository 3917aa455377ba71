/* SPDX-License-Identifier: Apache-2.0
 *
 * room.c: memory that follows what is asked for. It grows by half more than before, so that shapes which grow with every execution (a decoder's
 * cache) do not make it move each time, and is given back when 64 executions in a row would have done with a quarter.
 */
#include "runtime/exec/frame.h"

#define LIFE 64
#define WORTH_GIVING_BACK ((size_t)64 << 10)

int pt_room_get(struct pt_exec *x, struct pt_room *r, size_t bytes, size_t kept_bytes, struct pt_err *err)
{
    uint64_t cap = x->session->max_arena_bytes, others = x->room_bytes - r->bytes;
    bytes = bytes ? bytes : 1;
    r->peak = bytes > r->peak ? bytes : r->peak;
    if (bytes <= r->bytes)
        return PT_OK;
    if (bytes > cap || others > cap - bytes)
        return pt_fail(err, PT_ELIMIT, "one run needs %llu bytes, over the limit of %llu bytes", (unsigned long long)(others + bytes),
                       (unsigned long long)cap);
    size_t size = r->bytes + r->bytes / 2;
    size = size < bytes || size > cap - others ? bytes : size;
    if (!kept_bytes) { /* first, so that both are never there together */
        pt_free(r->p);
        r->p = NULL;
        x->room_bytes -= r->bytes;
        r->bytes = 0;
    }
    void *p = pt_alloc_aligned(size);
    if (!p)
        return pt_fail(err, PT_ENOMEM, "out of memory: one run needs %zu bytes in one piece", size);
    if (kept_bytes) {
        memcpy(p, r->p, kept_bytes);
        pt_free(r->p);
        x->room_bytes -= r->bytes;
    }
    r->p = p;
    r->bytes = size;
    x->room_bytes += size;
    return PT_OK;
}

void pt_room_age(struct pt_exec *x, struct pt_room *r)
{
    if (++r->age < LIFE)
        return;
    if (r->bytes > WORTH_GIVING_BACK && r->peak < r->bytes / 4)
        pt_room_finish(x, r);
    r->age = 0;
    r->peak = 0;
}

void pt_room_finish(struct pt_exec *x, struct pt_room *r)
{
    pt_free(r->p);
    x->room_bytes -= r->bytes;
    *r = (struct pt_room){0};
}
