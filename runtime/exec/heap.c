/* SPDX-License-Identifier: Apache-2.0
 *
 * heap.c: chunks in the order in which they were made; an execution uses them from the front.
 */
#include "runtime/exec/heap.h"

#include "base/mem.h"

#include <stdbool.h>

#define FIRST_CHUNK ((size_t)4096)
#define MOST_CHUNK ((size_t)1 << 20)
#define LIFE 64 /* executions that must do with a quarter of the memory before it is given back */

struct pt_heap_chunk {
    struct pt_heap_chunk *next;
    size_t used, room;
    char pad[64 - sizeof(void *) - 2 * sizeof(size_t)]; /* what follows is as aligned as the chunk */
};

void pt_heap_init(struct pt_heap *h, uint64_t cap_bytes)
{
    *h = (struct pt_heap){.cap_bytes = cap_bytes};
}

void pt_heap_finish(struct pt_heap *h)
{
    for (struct pt_heap_chunk *c = h->first, *next; c; c = next) {
        next = c->next;
        pt_free(c);
    }
    pt_heap_init(h, h->cap_bytes);
}

void pt_heap_reset(struct pt_heap *h)
{
    h->peak_bytes = h->used_bytes > h->peak_bytes ? h->used_bytes : h->peak_bytes;
    if (++h->age >= LIFE) {
        if (h->room_bytes / 4 > h->peak_bytes + FIRST_CHUNK)
            pt_heap_finish(h);
        h->age = 0;
        h->peak_bytes = 0;
    }
    for (struct pt_heap_chunk *c = h->first; c; c = c->next)
        c->used = 0;
    h->current = h->first;
    h->used_bytes = 0;
}

struct pt_heap_mark pt_heap_mark(const struct pt_heap *h)
{
    return (struct pt_heap_mark){h->current, h->current ? h->current->used : 0, h->used_bytes};
}

void pt_heap_release(struct pt_heap *h, struct pt_heap_mark m)
{
    h->peak_bytes = h->used_bytes > h->peak_bytes ? h->used_bytes : h->peak_bytes;
    if (m.chunk)
        m.chunk->used = m.used;
    for (struct pt_heap_chunk *c = m.chunk ? m.chunk->next : h->first; c; c = c->next)
        c->used = 0;
    h->current = m.chunk ? m.chunk : h->first;
    h->used_bytes = m.used_bytes;
}

/* The next chunk with room, or a new one behind the current. */
static struct pt_heap_chunk *advance(struct pt_heap *h, size_t size)
{
    struct pt_heap_chunk *c = h->current;
    while (c && c->room - c->used < size && c->next)
        c = c->next;
    if (c && c->room - c->used >= size)
        return h->current = c;
    size_t room = c ? c->room * 2 : FIRST_CHUNK;
    room = room > MOST_CHUNK ? MOST_CHUNK : room;
    room = room < size ? size : room;
    struct pt_heap_chunk *n = pt_alloc_aligned(sizeof *n + room);
    if (!n)
        return NULL;
    *n = (struct pt_heap_chunk){.room = room};
    *(c ? &c->next : &h->first) = n;
    h->room_bytes += room;
    return h->current = n;
}

void *pt_heap_alloc(struct pt_heap *h, size_t bytes, struct pt_err *err)
{
    size_t size = bytes > SIZE_MAX / 2 ? 0 : (bytes + 63) & ~(size_t)63;
    if (size == 0 && bytes <= SIZE_MAX / 2)
        size = 64;
    if (size == 0 || (h->cap_bytes && (size > h->cap_bytes || h->used_bytes > h->cap_bytes - size))) {
        pt_fail(err, PT_ELIMIT, "strings and sequences need %zu bytes more, over the limit of %llu bytes for one run", bytes,
                (unsigned long long)h->cap_bytes);
        return NULL;
    }
    struct pt_heap_chunk *c = h->current;
    if ((!c || c->room - c->used < size) && !(c = advance(h, size))) {
        pt_fail(err, PT_ENOMEM, "out of memory: %zu bytes for strings and sequences", bytes);
        return NULL;
    }
    void *p = (char *)(c + 1) + c->used;
    c->used += size;
    h->used_bytes += size;
    return p;
}
