/* SPDX-License-Identifier: Apache-2.0
 *
 * plan.c: the memory plan. A view shares its input's memory; an elementwise step takes over an input that nobody needs afterwards; what
 * remains is placed greedily, largest first, at the lowest offset that is free for its whole life. (Pisarchyk and Lee, "Efficient Memory
 * Management for Deep Neural Net Inference", 2020: greedy by size.)
 */
#include "runtime/compile/program.h"

#include <limits.h>
#include <stdlib.h>

#define ALIGN 64

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

static int by_size(const void *a, const void *b)
{
    const struct block *x = a, *y = b;
    if (x->size != y->size)
        return x->size < y->size ? 1 : -1;
    return x->slot < y->slot ? -1 : 1;
}

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

/* Places the slots that are kept, or those that are not, each in an area of its own; *peak is its size. */
static int place_all(struct pt_program *p, bool kept, struct block *blocks, struct block *placed, uint64_t max, size_t *peak, struct pt_err *err)
{
    size_t count = 0, done = 0;
    *peak = 0;
    for (int i = 0; i < p->slot_count; i++) {
        const struct pt_slot *s = &p->slots[i];
        if (s->place != PT_PLACE_ARENA || s->first < 0 || s->kept != kept)
            continue;
        if (s->t.size_bytes > max)
            return pt_fail(err, PT_ELIMIT, "a value of %s is over the memory limit of %llu bytes", PT_SHAPE(&s->t), (unsigned long long)max);
        size_t size = s->t.size_bytes ? (s->t.size_bytes + ALIGN - 1) / ALIGN * ALIGN : ALIGN;
        blocks[count++] = (struct block){size, 0, s->first, s->last, i};
    }
    qsort(blocks, count, sizeof *blocks, by_size);
    for (; done < count; done++) {
        struct block *b = &blocks[done];
        size_t at = lowest_gap(placed, done, b);
        memmove(placed + at + 1, placed + at, (done - at) * sizeof *placed);
        placed[at] = *b;
        p->slots[b->slot].offset = b->offset;
        size_t end = b->offset + b->size; /* no overflow: each size is at most max and so is every end before */
        if (end > max)
            return pt_fail(err, PT_ELIMIT, "one run needs more than the limit of %llu bytes", (unsigned long long)max);
        *peak = end > *peak ? end : *peak;
    }
    return PT_OK;
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
