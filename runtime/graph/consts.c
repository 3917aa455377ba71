/* SPDX-License-Identifier: Apache-2.0
 *
 * consts.c: memory for folded constants, aligned copies and packed weights, in one list that is freed at once.
 */
#include "runtime/graph/graph.h"

struct pt_const_block {
    struct pt_const_block *next;
    char pad[64 - sizeof(void *)]; /* what follows is as aligned as the block */
};

void pt_consts_init(struct pt_consts *c, uint64_t cap_bytes)
{
    *c = (struct pt_consts){.cap_bytes = cap_bytes};
    pthread_mutex_init(&c->lock, NULL);
}

void pt_consts_finish(struct pt_consts *c)
{
    for (struct pt_const_block *b = c->blocks, *next; b; b = next) {
        next = b->next;
        pt_free(b);
    }
    pthread_mutex_destroy(&c->lock);
    *c = (struct pt_consts){0};
}

void *pt_consts_alloc(struct pt_consts *c, size_t bytes, struct pt_err *err)
{
    struct pt_const_block *b = NULL;
    pthread_mutex_lock(&c->lock);
    bool fits = bytes <= c->cap_bytes && c->bytes <= c->cap_bytes - bytes;
    if (fits && (b = pt_alloc_aligned(sizeof *b + bytes))) {
        b->next = c->blocks;
        c->blocks = b;
        c->bytes += bytes;
    }
    pthread_mutex_unlock(&c->lock);
    if (b)
        return b + 1;
    if (fits)
        pt_fail(err, PT_ENOMEM, "out of memory: %zu bytes for a constant", bytes);
    else
        pt_fail(err, PT_ELIMIT, "a constant of %zu bytes is over what is left of the limit of %llu bytes", bytes, (unsigned long long)c->cap_bytes);
    return NULL;
}
