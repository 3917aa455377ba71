/* SPDX-License-Identifier: Apache-2.0
 *
 * lower_half.c: half precision through the float32 kernels. A slot of float16 or bfloat16 may have a wide one, the same value in float32: made by a
 * step from it, or the other way round. A node that has a row in the table of lowerings is lowered on the wide slots of its operands, so that a
 * chain of such nodes stays in float32 from end to end, is fused as any other, and is rounded only where something reads the half value: the
 * reference of another operator, or the caller. That is more exact than rounding after every node.
 */
#include "runtime/compile/lower.h"
#include "runtime/ops/types.h"

#include "runtime/ops/table.h"

#define LARGE 4096 /* elements of a constant that is widened only when something reads it in float32: weights are packed from the half type */

static bool is_half(const struct pt_tensor *t)
{
    return (PT_T(t->dtype) & PT_TS_HALF) != 0;
}

/* --- the steps ------------------------------------------------------------------------------------------------------------------------------ */

static void widen_piece(void *arg, size_t begin, size_t end)
{
    const struct pt_op_ctx *c = arg;
    pt_load_f32(c->in[0], (int64_t)begin, (int64_t)(end - begin), (float *)c->out[0]->data + begin);
}

static int widen_run(struct pt_op_ctx *c)
{
    pt_parallel_for(c->threads, c->out[0]->size_bytes / sizeof(float), 16384, widen_piece, c);
    return PT_OK;
}

static void narrow_piece(void *arg, size_t begin, size_t end)
{
    const struct pt_op_ctx *c = arg;
    pt_store_f32(c->out[0], (int64_t)begin, (int64_t)(end - begin), (const float *)c->in[0]->data + begin);
}

static int narrow_run(struct pt_op_ctx *c)
{
    pt_parallel_for(c->threads, c->in[0]->size_bytes / sizeof(float), 16384, narrow_piece, c);
    return PT_OK;
}

static int fill_wide(void *arg, void *out, struct pt_err *err)
{
    const struct pt_tensor *t = arg;
    (void)err;
    pt_load_f32(t, 0, pt_tensor_count(t), out);
    return PT_OK;
}

/* --- slots ------------------------------------------------------------------------------------------------------------------------------------ */

static int new_wide(struct pt_lower *l, int slot)
{
    int wide = pt_lower_new_slot(l, pt_lower_slot(l, slot));
    if (wide < 0)
        return wide;
    struct pt_slot *w = pt_lower_slot(l, wide);
    w->t.dtype = PT_FLOAT;
    w->t.size_bytes *= 2;
    w->kept = false;
    pt_lower_slot(l, slot)->wide = wide;
    return wide;
}

/* The wide slot of a half one that has a value. */
static int widen(struct pt_lower *l, int slot)
{
    struct pt_slot *s = pt_lower_slot(l, slot);
    if (s->wide >= 0)
        return s->wide;
    if (s->place != PT_PLACE_CONST) {
        int wide = new_wide(l, slot);
        int rc =
            wide < 0 ? wide : pt_lower_emit(l, &(struct pt_step_desc){.run = widen_run, .in = &slot, .in_count = 1, .out = wide}, PT_LAYOUT_PLAIN);
        return rc < 0 ? rc : wide;
    }
    const struct pt_slot half = *s;
    int wide = new_wide(l, slot);
    if (wide < 0)
        return wide;
    struct pt_slot *w = pt_lower_slot(l, wide);
    w->t.data = half.t.data;
    w->place = PT_PLACE_CONST;
    w->shared = half.shared;
    w->stored = half.t.dtype;
    int rc = pt_tensor_count(&w->t) > LARGE ? PT_OK : pt_lower_align(l, wide);
    return rc < 0 ? rc : wide;
}

static struct pt_tensor as_stored(const struct pt_tensor *t, enum pt_dtype stored)
{
    struct pt_tensor half = *t;
    half.dtype = stored;
    half.size_bytes /= 2;
    return half;
}

int pt_lower_load_wide(struct pt_lower *l, int slot)
{
    struct pt_slot *s = pt_lower_slot(l, slot);
    struct pt_tensor half = as_stored(&s->t, s->stored);
    void *data = pt_lower_pack(l, s, PT_PACK_WIDE, s->t.size_bytes, fill_wide, &half);
    if (!data)
        return PT_ENOMEM;
    s->t.data = data;
    s->stored = PT_UNDEFINED;
    return PT_OK;
}

const float *pt_lower_floats(const struct pt_tensor *t, enum pt_dtype stored, float **copy)
{
    if (!stored && (uintptr_t)t->data % sizeof(float) == 0)
        return t->data;
    if (!(*copy = pt_alloc_aligned(t->size_bytes)))
        return NULL;
    if (stored) {
        struct pt_tensor half = as_stored(t, stored);
        pt_load_f32(&half, 0, pt_tensor_count(t), *copy);
    } else {
        memcpy(*copy, t->data, t->size_bytes);
    }
    return *copy;
}

int pt_lower_narrow(struct pt_lower *l, int slot)
{
    const struct pt_slot *s = pt_lower_slot(l, slot);
    if (s->wide < 0 || s->step >= 0 || s->place != PT_PLACE_ARENA || !is_half(&s->t))
        return PT_OK;
    int wide = pt_lower_to(l, s->wide, PT_LAYOUT_PLAIN);
    return wide < 0 ? wide : pt_lower_emit(l, &(struct pt_step_desc){.run = narrow_run, .in = &wide, .in_count = 1, .out = slot}, PT_LAYOUT_PLAIN);
}

/* --- nodes -------------------------------------------------------------------------------------------------------------------------------------- */

static bool any_half(struct pt_lower *l, const int *slots, int count)
{
    for (int i = 0; i < count; i++)
        if (slots[i] >= 0 && is_half(&pt_lower_slot(l, slots[i])->t))
            return true;
    return false;
}

bool pt_lower_has_half(struct pt_lower *l)
{
    const struct pt_node *n = l->item->node;
    return any_half(l, n->inputs, n->input_count) || any_half(l, n->outputs, n->output_count);
}

/* What only moves elements is not worth a conversion. */
static bool worth_it(struct pt_lower *l)
{
    const struct pt_node *n = l->item->node;
    bool moves = n->op == &pt_op_transpose || n->op == &pt_op_concat;
    for (int i = 0; moves && i < n->input_count; i++)
        if (n->inputs[i] >= 0 && is_half(&pt_lower_slot(l, n->inputs[i])->t) && pt_lower_slot(l, n->inputs[i])->wide < 0)
            return false;
    return true;
}

/* The node as it would be in float32. */
static struct pt_node *wide_node(struct pt_lower *l)
{
    const struct pt_node *from = l->item->node;
    struct pt_node *n = pt_lower_alloc(l, sizeof *n);
    int *slots = pt_lower_alloc(l, (size_t)(from->input_count + from->output_count + 1) * sizeof *slots);
    if (!n || !slots)
        return NULL;
    *n = *from;
    n->inputs = slots;
    n->outputs = slots + from->input_count;
    for (int i = 0; i < from->input_count + from->output_count; i++) {
        bool in = i < from->input_count;
        int slot = in ? from->inputs[i] : from->outputs[i - from->input_count];
        if (slot >= 0 && is_half(&pt_lower_slot(l, slot)->t))
            slot = in ? widen(l, slot) : new_wide(l, slot);
        if (slot < -1)
            return NULL;
        slots[i] = slot;
    }
    return n;
}

int pt_lower_half(struct pt_lower *l, pt_lower_fn fn)
{
    const struct pt_item *item = l->item;
    if (!worth_it(l))
        return fn(l);
    struct pt_item wide = *item;
    if (!(wide.node = wide_node(l)))
        return PT_ENOMEM;
    l->item = &wide;
    int rc = fn(l);
    l->item = item;
    for (int i = 0; rc == 0 && i < item->node->output_count; i++) /* no kernel after all: the reference makes the half value */
        if (item->node->outputs[i] >= 0)
            pt_lower_slot(l, item->node->outputs[i])->wide = -1;
    return rc;
}
