/* SPDX-License-Identifier: Apache-2.0
 *
 * packs.c: weights in the order a kernel wants, made once and shared by every program of a session.
 */
#include "runtime/compile/program.h"

struct pack {
    struct pt_pack_key key;
    size_t bytes;
    void *data;
};

struct pt_packs {
    struct pack *items;
    size_t count, room;
};

struct pt_packs *pt_packs_create(void)
{
    return pt_calloc(1, sizeof(struct pt_packs));
}

void pt_packs_destroy(struct pt_packs *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->count; i++)
        pt_free(p->items[i].data);
    pt_free(p->items);
    pt_free(p);
}

void *pt_packs_get(struct pt_packs *p, struct pt_pack_key key, size_t bytes, pt_pack_fn fill, void *arg, struct pt_err *err)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->items[i].key.data == key.data && p->items[i].key.kind == key.kind && p->items[i].bytes == bytes)
            return p->items[i].data;
    if (p->count == p->room) {
        size_t room = p->room ? p->room * 2 : 32;
        struct pack *items = pt_reallocarray(p->items, room, sizeof *items);
        if (!items) {
            pt_fail(err, PT_ENOMEM, "out of memory for packed weights");
            return NULL;
        }
        p->items = items;
        p->room = room;
    }
    void *data = pt_alloc_aligned(bytes ? bytes : 1);
    if (!data) {
        pt_fail(err, PT_ENOMEM, "out of memory for packed weights (%zu bytes)", bytes);
        return NULL;
    }
    if (fill(arg, data, err) < 0) {
        pt_free(data);
        return NULL;
    }
    p->items[p->count++] = (struct pack){key, bytes, data};
    return data;
}
