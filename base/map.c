/* SPDX-License-Identifier: Apache-2.0
 *
 * map.c: linear probing over a power-of-two table at most three quarters full, tombstones included; keys are copied beside the table.
 */
#include "base/map.h"

#include "base/mem.h"

struct pt_map_slot {
    uint64_t hash;
    char *key; /* NULL: never used; tombstone: removed */
    size_t len;
    void *value;
};
static char tombstone[1];

static bool is_live(const struct pt_map_slot *s)
{
    return s->key && s->key != tombstone;
}

/* FNV-1a's low bits are its weakest. */
static uint64_t hash_of(struct pt_str key)
{
    uint64_t h = pt_hash64(key.p, key.len, 0);
    return h ^ h >> 32;
}

/* The slot of key, or the one where it belongs: the first tombstone passed, else the empty slot that ended the search. size > 0. */
static struct pt_map_slot *find(const struct pt_map *m, struct pt_str key, uint64_t hash)
{
    struct pt_map_slot *vacant = NULL;
    for (size_t i = hash & (m->size - 1);; i = (i + 1) & (m->size - 1)) {
        struct pt_map_slot *s = &m->slots[i];
        if (!s->key)
            return vacant ? vacant : s;
        if (s->key == tombstone) {
            if (!vacant)
                vacant = s;
        } else if (s->hash == hash && pt_str_eq((struct pt_str){s->key, s->len}, key)) {
            return s;
        }
    }
}

/* A table with room for one more; the same size when only tombstones fill this one. */
static bool grow(struct pt_map *m)
{
    struct pt_map next = {.count = m->count, .used = m->count, .size = 8};
    while ((m->count + 1) * 2 > next.size)
        next.size *= 2;
    next.slots = pt_calloc(next.size, sizeof *next.slots);
    if (!next.slots)
        return false;
    for (size_t i = 0; i < m->size; i++)
        if (is_live(&m->slots[i]))
            *find(&next, (struct pt_str){m->slots[i].key, m->slots[i].len}, m->slots[i].hash) = m->slots[i];
    pt_free(m->slots);
    *m = next;
    return true;
}

void pt_map_finish(struct pt_map *m)
{
    for (size_t i = 0; i < m->size; i++)
        if (is_live(&m->slots[i]))
            pt_free(m->slots[i].key);
    pt_free(m->slots);
    *m = (struct pt_map){0};
}

void *pt_map_get(const struct pt_map *m, struct pt_str key)
{
    if (m->count == 0)
        return NULL;
    struct pt_map_slot *s = find(m, key, hash_of(key));
    return is_live(s) ? s->value : NULL;
}

int pt_map_set(struct pt_map *m, struct pt_str key, void *value, void **old, struct pt_err *err)
{
    uint64_t hash = hash_of(key);
    if ((m->used + 1) * 4 > m->size * 3 && !grow(m))
        return pt_fail(err, PT_ENOMEM, "map of %zu entries: out of memory", m->count);
    struct pt_map_slot *s = find(m, key, hash);
    if (old)
        *old = is_live(s) ? s->value : NULL;
    if (!is_live(s)) {
        char *copy = pt_strndup(key.p, key.len);
        if (!copy)
            return pt_fail(err, PT_ENOMEM, "map key of %zu bytes: out of memory", key.len);
        m->used += s->key == NULL;
        m->count++;
        *s = (struct pt_map_slot){.hash = hash, .key = copy, .len = key.len};
    }
    s->value = value;
    return PT_OK;
}

void *pt_map_remove(struct pt_map *m, struct pt_str key)
{
    struct pt_map_slot *s = m->count ? find(m, key, hash_of(key)) : NULL;
    if (!s || !is_live(s))
        return NULL;
    void *value = s->value;
    pt_free(s->key);
    *s = (struct pt_map_slot){.key = tombstone};
    m->count--;
    return value;
}

bool pt_map_next(const struct pt_map *m, size_t *iter, struct pt_str *key, void **value)
{
    for (; *iter < m->size; ++*iter) {
        const struct pt_map_slot *s = &m->slots[*iter];
        if (!is_live(s))
            continue;
        if (key)
            *key = (struct pt_str){s->key, s->len};
        if (value)
            *value = s->value;
        ++*iter;
        return true;
    }
    return false;
}
