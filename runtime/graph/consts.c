/* SPDX-License-Identifier: Apache-2.0
 *
 * consts.c: memory for folded constants, aligned copies and packed weights, in one list that is freed at once.
 */
#include "runtime/graph/graph.h"
#include "runtime/graph/prepared.h"

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

/* Counts the bytes. */
static int claim(struct pt_consts *c, size_t bytes, struct pt_err *err)
{
    bool fits = bytes <= c->cap_bytes && c->bytes <= c->cap_bytes - bytes;
    if (fits)
        c->bytes += bytes;
    return fits ? PT_OK
                : pt_fail(err, PT_ELIMIT, "a constant of %zu bytes is over what is left of the limit of %llu bytes", bytes,
                          (unsigned long long)c->cap_bytes);
}

static void *alloc(struct pt_consts *c, size_t bytes, struct pt_err *err)
{
    if (claim(c, bytes, err) < 0)
        return NULL;
    struct pt_const_block *b = pt_alloc_aligned(sizeof *b + bytes);
    if (!b) {
        c->bytes -= bytes;
        pt_fail(err, PT_ENOMEM, "out of memory: %zu bytes for a constant", bytes);
        return NULL;
    }
    b->next = c->blocks;
    c->blocks = b;
    return b + 1;
}

void *pt_consts_alloc(struct pt_consts *c, size_t bytes, struct pt_err *err)
{
    pthread_mutex_lock(&c->lock);
    void *data = alloc(c, bytes, err);
    pthread_mutex_unlock(&c->lock);
    return data;
}

void *pt_consts_make(struct pt_consts *c, size_t bytes, uint64_t origin, bool *ready, struct pt_err *err)
{
    bool named = c->prepared && bytes >= PT_PREPARED_WORTH;
    uint64_t id = named ? pt_prepared_next_id(c->prepared) : 0;
    if (ready)
        *ready = false;
    if (!named || !ready) { /* what is packed out of it can be kept all the same */
        void *data = pt_consts_alloc(c, bytes, err);
        return data && named && pt_prepared_add_source(c->prepared, data, bytes, id, err) < 0 ? NULL : data;
    }
    pthread_mutex_lock(&c->lock);
    int rc = claim(c, bytes, err);
    pthread_mutex_unlock(&c->lock);
    return rc < 0 ? NULL : pt_prepared_get(c->prepared, id, origin, bytes, ready, err);
}

void pt_consts_made(struct pt_consts *c, void *data)
{
    if (c->prepared)
        pt_prepared_filled(c->prepared, data);
}

uint64_t pt_consts_origin(const struct pt_consts *c, uint64_t h, const void *data)
{
    uint64_t of[2] = {h, 0};
    if (c->prepared && data)
        pt_prepared_source(c->prepared, data, &of[1]);
    return pt_hash_words(of, sizeof of);
}
