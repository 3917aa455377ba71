/* SPDX-License-Identifier: Apache-2.0
 *
 * index.c: linear probing over a power-of-two table at most three quarters full, tombstones included. Hashes are not kept: who grows reads the keys
 * again.
 */
#include "operator/ctrl/index.h"

#include "base/mem.h"

#include <string.h>

static char tombstone;
#define TOMBSTONE ((struct pt_object *)(void *)&tombstone)

static size_t hash_of(struct pt_index_key k)
{
    uint64_t h = pt_hash64(k.name, strlen(k.name), k.ns ? pt_hash64(k.ns, strlen(k.ns), 1) : 0);
    return (size_t)(h ^ h >> 32); /* the low bits are its weakest */
}

static bool is_same(struct pt_index_key a, struct pt_index_key b)
{
    return !a.ns == !b.ns && !strcmp(a.name, b.name) && (!a.ns || !strcmp(a.ns, b.ns));
}

void pt_index_init(struct pt_index *x, pt_index_key_fn key)
{
    *x = (struct pt_index){.key = key};
}

void pt_index_finish(struct pt_index *x)
{
    pt_free(x->slots);
    *x = (struct pt_index){.key = x->key};
}

/* Where the key is, or where it belongs: the first tombstone passed, else the empty slot that ended the search. size > 0. */
static struct pt_object **find(const struct pt_index *x, struct pt_index_key key)
{
    struct pt_object **vacant = NULL;
    for (size_t i = hash_of(key) & (x->size - 1);; i = (i + 1) & (x->size - 1)) {
        struct pt_object **s = &x->slots[i];
        if (!*s)
            return vacant ? vacant : s;
        if (*s == TOMBSTONE)
            vacant = vacant ? vacant : s;
        else if (is_same(x->key(*s), key))
            return s;
    }
}

static bool is_live(const struct pt_object *o)
{
    return o && o != TOMBSTONE;
}

/* A table with room for one more; of the same size when it is tombstones that fill this one. */
static bool grow(struct pt_index *x)
{
    struct pt_index next = {.key = x->key, .count = x->count, .used = x->count, .size = 8};
    while ((x->count + 1) * 2 > next.size)
        next.size *= 2;
    next.slots = pt_calloc(next.size, sizeof *next.slots);
    if (!next.slots)
        return false;
    for (size_t i = 0; i < x->size; i++)
        if (is_live(x->slots[i]))
            *find(&next, x->key(x->slots[i])) = x->slots[i];
    pt_free(x->slots);
    *x = next;
    return true;
}

struct pt_object *pt_index_get(const struct pt_index *x, struct pt_index_key key)
{
    struct pt_object *o = x->count ? *find(x, key) : NULL;
    return is_live(o) ? o : NULL;
}

int pt_index_set(struct pt_index *x, struct pt_object *o, struct pt_err *err)
{
    struct pt_object **s = x->size ? find(x, x->key(o)) : NULL;
    if (s && is_live(*s)) {
        *s = o;
        return PT_OK;
    }
    if ((x->used + 1) * 4 > x->size * 3) {
        if (!grow(x))
            return pt_fail(err, PT_ENOMEM, "index of %zu objects: out of memory", x->count);
        s = find(x, x->key(o));
    }
    x->used += *s == NULL;
    x->count++;
    *s = o;
    return PT_OK;
}

void pt_index_remove(struct pt_index *x, struct pt_index_key key)
{
    struct pt_object **s = x->count ? find(x, key) : NULL;
    if (!s || !is_live(*s))
        return;
    *s = TOMBSTONE;
    x->count--;
}

struct pt_object *pt_index_next(const struct pt_index *x, size_t *iter)
{
    while (*iter < x->size) {
        struct pt_object *o = x->slots[(*iter)++];
        if (is_live(o))
            return o;
    }
    return NULL;
}
