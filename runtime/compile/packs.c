/* SPDX-License-Identifier: Apache-2.0
 *
 * packs.c: weights in the order a kernel wants, made once and shared by every program of a session. Lowering only says what it wants packed; the
 * packing itself waits until a program is lowered and is then done by all threads, the largest pieces first, so that none is left alone with a large
 * one at the end.
 */
#include "runtime/compile/program.h"
#include "runtime/exec/threads.h"
#include "runtime/graph/prepared.h"

#include <stdatomic.h>
#include <stdlib.h>

struct pack {
    struct pt_pack_key key;
    size_t bytes;
    void *data;
    bool filled;
    bool prepared; /* the memory is theirs (prepared.h) */
};

struct job {
    void *out, *arg;
    size_t bytes;
    pt_pack_fn fill;
};

struct pt_packs {
    struct pt_prepared *prepared; /* where packs are looked for first, or NULL */
    struct pack *items;
    size_t count, room;
    struct job *jobs;
    size_t job_count, job_room;
};

struct pt_packs *pt_packs_create(void)
{
    return pt_calloc(1, sizeof(struct pt_packs));
}

void pt_packs_keep_in(struct pt_packs *p, struct pt_prepared *prepared)
{
    p->prepared = prepared;
}

static void drop_jobs(struct pt_packs *p)
{
    while (p->job_count)
        pt_free(p->jobs[--p->job_count].arg);
}

static void free_data(const struct pack *pack)
{
    if (!pack->prepared)
        pt_free(pack->data);
}

static void drop_last(struct pt_packs *p)
{
    free_data(&p->items[--p->count]);
}

void pt_packs_destroy(struct pt_packs *p)
{
    if (!p)
        return;
    drop_jobs(p);
    while (p->count)
        drop_last(p);
    pt_free(p->items);
    pt_free(p->jobs);
    pt_free(p);
}

/* Room for one more of the list. */
static int grow(void *list, size_t count, size_t *room, size_t size, struct pt_err *err)
{
    void **items = list;
    if (count < *room)
        return PT_OK;
    size_t more = *room ? *room * 2 : 32;
    void *bigger = pt_reallocarray(*items, more, size);
    if (!bigger)
        return pt_fail(err, PT_ENOMEM, "out of memory for packed weights");
    *items = bigger;
    *room = more;
    return PT_OK;
}

/* Memory for a new pack; *filled: it is there already. */
static int alloc(struct pt_packs *p, struct pack *pack, struct pt_err *err)
{
    uint64_t source;
    if (p->prepared && pack->bytes >= PT_PREPARED_WORTH && pt_prepared_source(p->prepared, pack->key.data, &source)) {
        pack->prepared = true;
        pack->data = pt_prepared_get(p->prepared, source, pack->key.kind + 1, pack->bytes, &pack->filled, err); /* 0 is a constant itself */
        return pack->data ? PT_OK : err->code;
    }
    pack->data = pt_alloc_aligned(pack->bytes ? pack->bytes : 1);
    return pack->data ? PT_OK : pt_fail(err, PT_ENOMEM, "out of memory for packed weights (%zu bytes)", pack->bytes);
}

static void set_filled(struct pt_packs *p, struct pack *pack)
{
    if (pack->prepared && !pack->filled)
        pt_prepared_filled(p->prepared, pack->data);
    pack->filled = true;
}

/* The pack of that key, perhaps a new one that is not filled; NULL on failure. */
static struct pack *find(struct pt_packs *p, struct pt_pack_key key, size_t bytes, bool *is_new, struct pt_err *err)
{
    *is_new = false;
    for (size_t i = 0; i < p->count; i++)
        if (p->items[i].key.data == key.data && p->items[i].key.kind == key.kind && p->items[i].bytes == bytes)
            return &p->items[i];
    if (grow(&p->items, p->count, &p->room, sizeof *p->items, err) < 0)
        return NULL;
    struct pack pack = {.key = key, .bytes = bytes};
    if (alloc(p, &pack, err) < 0)
        return NULL;
    *is_new = !pack.filled;
    p->items[p->count] = pack;
    return &p->items[p->count++];
}

void *pt_packs_get(struct pt_packs *p, struct pt_pack_key key, size_t bytes, pt_pack_fn fill, void *arg, struct pt_err *err)
{
    bool is_new;
    struct pack *pack = find(p, key, bytes, &is_new, err);
    if (!pack || !is_new)
        return pack ? pack->data : NULL;
    if (fill(arg, pack->data, err) < 0) {
        drop_last(p);
        return NULL;
    }
    set_filled(p, pack);
    return pack->data;
}

int pt_packs_queue(struct pt_packs *p, void *data, size_t bytes, pt_pack_fn fill, const void *arg, size_t arg_bytes, struct pt_err *err)
{
    if (grow(&p->jobs, p->job_count, &p->job_room, sizeof *p->jobs, err) < 0)
        return err->code;
    void *copy = pt_malloc(arg_bytes);
    if (!copy)
        return pt_fail(err, PT_ENOMEM, "out of memory for packed weights");
    memcpy(copy, arg, arg_bytes);
    p->jobs[p->job_count++] = (struct job){data, copy, bytes, fill};
    return PT_OK;
}

void *pt_packs_later(struct pt_packs *p, struct pt_pack_key key, size_t bytes, pt_pack_fn fill, const void *arg, size_t arg_bytes, struct pt_err *err)
{
    bool is_new;
    struct pack *pack = find(p, key, bytes, &is_new, err);
    if (!pack || !is_new)
        return pack ? pack->data : NULL;
    if (pt_packs_queue(p, pack->data, bytes, fill, arg, arg_bytes, err) < 0) {
        drop_last(p);
        return NULL;
    }
    return pack->data;
}

/* --- filling ------------------------------------------------------------------------------------------------------------------------ */

struct filling {
    const struct job *jobs;
    atomic_flag failed; /* whoever is first writes err */
    struct pt_err err;
};

static void fill_piece(void *arg, size_t begin, size_t end)
{
    struct filling *f = arg;
    struct pt_err err;
    for (size_t i = begin; i < end; i++)
        if (f->jobs[i].fill(f->jobs[i].arg, f->jobs[i].out, &err) < 0 && !atomic_flag_test_and_set(&f->failed))
            f->err = err;
}

static int largest_first(const void *a, const void *b)
{
    size_t x = ((const struct job *)a)->bytes, y = ((const struct job *)b)->bytes;
    return (x < y) - (x > y);
}

int pt_packs_fill(struct pt_packs *p, struct pt_threads *pool, struct pt_err *err)
{
    struct filling f = {.jobs = p->jobs, .failed = ATOMIC_FLAG_INIT};
    if (p->job_count > 1)
        qsort(p->jobs, p->job_count, sizeof *p->jobs, largest_first);
    pt_parallel_for(pool, p->job_count, 1, fill_piece, &f);
    if (f.err.code) {
        *err = f.err;
        pt_packs_forget(p);
        return err->code;
    }
    drop_jobs(p);
    for (size_t i = 0; i < p->count; i++)
        set_filled(p, &p->items[i]);
    return PT_OK;
}

void pt_packs_forget(struct pt_packs *p)
{
    size_t kept = 0;
    drop_jobs(p);
    for (size_t i = 0; i < p->count; i++)
        if (p->items[i].filled)
            p->items[kept++] = p->items[i];
        else
            free_data(&p->items[i]);
    p->count = kept;
}
