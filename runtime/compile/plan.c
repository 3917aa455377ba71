/* SPDX-License-Identifier: Apache-2.0
 *
 * plan.c: the memory plan. A view shares its input's memory; an elementwise step takes over an input that nobody needs afterwards; what
 * remains is placed greedily, one after another at the lowest offset that is free for its whole life. (Pisarchyk and Lee, "Efficient Memory
 * Management for Deep Neural Net Inference", 2020: greedy by size.) Largest first is best for most models and a third too much for some; so where
 * it needs more than is ever alive at once, other orders are tried and the best plan is kept.
 */
#include "runtime/compile/program.h"

#include <limits.h>
#include <stdlib.h>

#define ALIGN 64
#define MANY 4000 /* values, for which trying another order takes longer than it is worth */

static int root_of(const struct pt_program *p, int slot)
{
    while (p->slots[slot].place == PT_PLACE_ALIAS)
        slot = p->slots[slot].index;
    return slot;
}

/* Last step that reads each slot, before any sharing. */
static void find_lives(struct pt_program *p)
{
    for (int i = 0; i < p->slot_count; i++)
        p->slots[i].first = p->slots[i].last = -1;
    for (int s = 0; s < p->step_count; s++) {
        const struct pt_step *st = &p->steps[s];
        for (int k = 0; k < st->in_count + st->out_count; k++) {
            int slot = p->operands[st->operands + k];
            if (slot < 0)
                continue;
            if (k >= st->in_count)
                p->slots[slot].first = s;
            p->slots[slot].last = s;
        }
    }
    for (int i = 0; i < p->output_count; i++)
        p->slots[p->outputs[i]].last = INT_MAX;
}

static void share(struct pt_program *p, int slot, int with)
{
    int root = root_of(p, with); /* never a chain of aliases: a long one would make each look-up long */
    p->slots[slot].place = PT_PLACE_ALIAS;
    p->slots[slot].index = root;
    if (p->slots[slot].last > p->slots[root].last)
        p->slots[root].last = p->slots[slot].last;
}

static bool same_shape(const struct pt_tensor *a, const struct pt_tensor *b)
{
    return a->dtype == b->dtype && pt_dims_equal(a, b);
}

/* May step s write its output over input k? Only if that is arena memory which this step is the last to read, and which no other operand
 * of it is, except one that is read element by element too. */
static bool can_take_over(const struct pt_program *p, int s, int k)
{
    const struct pt_step *st = &p->steps[s];
    const int *ops = &p->operands[st->operands];
    const struct pt_slot *out = &p->slots[ops[st->in_count]];
    if (k > 31 || !(st->inplace >> k & 1) || ops[k] < 0)
        return false;
    int root = root_of(p, ops[k]);
    if (p->slots[root].place != PT_PLACE_ARENA || p->slots[root].last != s)
        return false;
    for (int i = 0; i < st->in_count; i++) {
        const struct pt_slot *in = ops[i] < 0 ? NULL : &p->slots[ops[i]];
        if (!in || root_of(p, ops[i]) != root)
            continue;
        if (i > 31 || !(st->inplace >> i & 1) || !same_shape(&in->t, &out->t) || in->layout != out->layout)
            return false;
    }
    return true;
}

static void share_all(struct pt_program *p)
{
    for (int s = 0; s < p->step_count; s++) {
        const struct pt_step *st = &p->steps[s];
        int out = st->out_count ? p->operands[st->operands + st->in_count] : -1;
        if (out < 0 || p->slots[out].place != PT_PLACE_ARENA)
            continue;
        if (st->view) {
            int in = p->operands[st->operands];
            if (p->slots[root_of(p, in)].place == PT_PLACE_ARENA || p->slots[out].last != INT_MAX)
                share(p, out, in);
            continue;
        }
        for (int k = 0; st->inplace && k < st->in_count; k++)
            if (can_take_over(p, s, k)) {
                share(p, out, p->operands[st->operands + k]);
                break;
            }
    }
}

struct block {
    size_t size, offset;
    int first, last, slot;
};

static int by_slot(const struct block *x, const struct block *y)
{
    return x->slot < y->slot ? -1 : x->slot > y->slot;
}

static int by_size(const void *a, const void *b)
{
    const struct block *x = a, *y = b;
    return x->size != y->size ? (x->size < y->size ? 1 : -1) : by_slot(x, y);
}

/* In the order of execution; of those made together the larger first. */
static int by_start(const void *a, const void *b)
{
    const struct block *x = a, *y = b;
    return x->first != y->first ? (x->first < y->first ? -1 : 1) : by_size(a, b);
}

/* Backwards. */
static int by_end(const void *a, const void *b)
{
    const struct block *x = a, *y = b;
    return x->last != y->last ? (x->last < y->last ? 1 : -1) : by_size(a, b);
}

/* Those that live long first: they cut the memory of all others. */
static int by_life(const void *a, const void *b)
{
    const struct block *x = a, *y = b;
    int64_t m = (int64_t)x->last - x->first, n = (int64_t)y->last - y->first;
    return m != n ? (m < n ? 1 : -1) : by_size(a, b);
}

static int (*const orders[])(const void *, const void *) = {by_size, by_start, by_life, by_end};

/* placed[] is ordered by offset. Returns where the new block belongs in it. */
static size_t lowest_gap(const struct block *placed, size_t count, struct block *b)
{
    size_t end = 0, at = count;
    for (size_t i = 0; i < count; i++) {
        const struct block *o = &placed[i];
        if (o->last < b->first || o->first > b->last)
            continue;
        if (o->offset >= end && o->offset - end >= b->size)
            break;
        if (o->offset + o->size > end)
            end = o->offset + o->size;
    }
    b->offset = end;
    while (at > 0 && placed[at - 1].offset > end)
        at--;
    return at;
}

/* Places all blocks in that order; the size of the area, or SIZE_MAX when it is over max. */
static size_t place(struct block *blocks, struct block *placed, size_t count, int (*order)(const void *, const void *), uint64_t max)
{
    size_t peak = 0;
    qsort(blocks, count, sizeof *blocks, order);
    for (size_t done = 0; done < count; done++) {
        struct block *b = &blocks[done];
        size_t at = lowest_gap(placed, done, b);
        memmove(placed + at + 1, placed + at, (done - at) * sizeof *placed);
        placed[at] = *b;
        size_t end = b->offset + b->size; /* no overflow: each size is at most max and so is every end before */
        if (end > max)
            return SIZE_MAX;
        peak = end > peak ? end : peak;
    }
    return peak;
}

/* The most bytes that are alive at one step. */
static int most_alive(const struct pt_program *p, const struct block *blocks, size_t count, size_t *most, struct pt_err *err)
{
    size_t alive = 0;
    pt_auto_free size_t *born = pt_calloc((size_t)p->step_count + 2, 2 * sizeof *born);
    if (!born)
        return pt_fail(err, PT_ENOMEM, "out of memory planning memory");
    size_t *gone = born + p->step_count + 2;
    for (size_t i = 0; i < count; i++) {
        born[blocks[i].first] += blocks[i].size;
        gone[blocks[i].last < p->step_count ? blocks[i].last + 1 : p->step_count + 1] += blocks[i].size;
    }
    *most = 0;
    for (int i = 0; i <= p->step_count; i++) {
        alive += born[i] - gone[i];
        *most = alive > *most ? alive : *most;
    }
    return PT_OK;
}

/* Places the slots that are kept, or those that are not, each in an area of its own; *peak is its size. */
static int place_all(struct pt_program *p, bool kept, struct block *blocks, struct block *placed, uint64_t max, size_t *peak, struct pt_err *err)
{
    size_t count = 0, most = 0;
    for (int i = 0; i < p->slot_count; i++) {
        const struct pt_slot *s = &p->slots[i];
        if (s->place != PT_PLACE_ARENA || s->first < 0 || s->kept != kept)
            continue;
        if (s->t.size_bytes > max)
            return pt_fail(err, PT_ELIMIT, "a value of %s is over the memory limit of %llu bytes", PT_SHAPE(&s->t), (unsigned long long)max);
        size_t size = s->t.size_bytes ? (s->t.size_bytes + ALIGN - 1) / ALIGN * ALIGN : ALIGN;
        blocks[count++] = (struct block){size, 0, s->first, s->last, i};
    }
    int rc = most_alive(p, blocks, count, &most, err);
    *peak = SIZE_MAX;
    for (size_t k = 0; rc == PT_OK && k<sizeof orders / sizeof *orders && * peak> most && (k == 0 || count <= MANY); k++) {
        size_t size = place(blocks, placed, count, orders[k], max);
        if (size >= *peak)
            continue;
        *peak = size;
        for (size_t i = 0; i < count; i++)
            p->slots[blocks[i].slot].offset = blocks[i].offset;
    }
    if (rc == PT_OK && *peak == SIZE_MAX)
        rc = pt_fail(err, PT_ELIMIT, "one run needs more than the limit of %llu bytes", (unsigned long long)max);
    return rc;
}

static int place_scratch(struct pt_program *p, size_t peak, uint64_t max, struct pt_err *err)
{
    size_t scratch = 0, total;
    for (int s = 0; s < p->step_count; s++)
        scratch = p->steps[s].scratch_bytes > scratch ? p->steps[s].scratch_bytes : scratch;
    p->scratch_offset = peak;
    if (__builtin_add_overflow(peak, scratch, &p->arena_bytes) || __builtin_add_overflow(p->arena_bytes, p->keep_bytes, &total) || total > max)
        return pt_fail(err, PT_ELIMIT, "one run needs %zu bytes and %zu of workspace, over the limit of %llu bytes", peak + p->keep_bytes, scratch,
                       (unsigned long long)max);
    return PT_OK;
}

int pt_program_plan(struct pt_program *p, uint64_t max_arena_bytes, struct pt_err *err)
{
    find_lives(p);
    share_all(p);
    size_t n = (size_t)p->slot_count + 1, peak;
    pt_auto_free struct block *blocks = pt_calloc(n, sizeof *blocks), *placed = pt_calloc(n, sizeof *placed);
    if (!blocks || !placed)
        return pt_fail(err, PT_ENOMEM, "out of memory planning memory");
    for (int i = 0; i < p->slot_count; i++) /* the arena is used again by what comes after a frontier */
        p->slots[i].kept = p->frontier_count && p->slots[i].last == INT_MAX;
    int rc = place_all(p, true, blocks, placed, max_arena_bytes, &p->keep_bytes, err);
    if (rc == PT_OK)
        rc = place_all(p, false, blocks, placed, max_arena_bytes, &peak, err);
    return rc < 0 ? rc : place_scratch(p, peak, max_arena_bytes, err);
}
