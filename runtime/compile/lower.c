/* SPDX-License-Identifier: Apache-2.0
 *
 * lower.c: walks the items and lets the row of their operator try; what no row takes runs as the reference in plain layout. Layout changes are
 * steps like any other, made at most once per value.
 */
#include "runtime/compile/lower.h"

#include "runtime/ops/joined_attention.h"
#include "runtime/ops/table.h"
#include "runtime/train/lower.h"

static const struct {
    const struct pt_op *op;
    pt_lower_fn fn;
} rows[] = {
    {&pt_op_conv, pt_lower_conv},
    {&pt_op_conv_integer, pt_lower_int_conv},
    {&pt_op_qlinear_conv, pt_lower_int_conv},
    {&pt_op_ms_qlinear_conv, pt_lower_int_conv},
    {&pt_op_quantize_linear, pt_lower_bytes},
    {&pt_op_dequantize_linear, pt_lower_bytes},
    {&pt_op_ms_qlinear_sigmoid, pt_lower_bytes},
    {&pt_op_ms_qlinear_leaky_relu, pt_lower_bytes},
    {&pt_op_ms_qlinear_add, pt_lower_bytes_pair},
    {&pt_op_ms_qlinear_mul, pt_lower_bytes_pair},
    {&pt_op_ms_qlinear_global_average_pool, pt_lower_bytes_average},
    {&pt_op_matmul_integer, pt_lower_int_matmul},
    {&pt_op_qlinear_matmul, pt_lower_int_matmul},
    {&pt_op_ms_qgemm, pt_lower_int_matmul},
    {&pt_op_ms_matmul_integer_to_float, pt_lower_int_matmul},
    {&pt_op_ms_dynamic_quantize_matmul, pt_lower_int_matmul},
    {&pt_op_max_pool, pt_lower_pool},
    {&pt_op_average_pool, pt_lower_pool},
    {&pt_op_global_average_pool, pt_lower_global_average},
    {&pt_op_reduce_mean, pt_lower_reduce_mean},
    {&pt_op_gemm, pt_lower_gemm},
    {&pt_op_matmul, pt_lower_matmul},
    {&pt_op_ms_fused_matmul, pt_lower_fused_matmul},
    {&pt_op_ms_transpose_matmul, pt_lower_fused_matmul},
    {&pt_op_ms_fused_conv, pt_lower_fused_conv},
    {&pt_op_ms_fused_gemm, pt_lower_fused_gemm},
    {&pt_op_joined_attention, pt_lower_attention},
    {&pt_op_relu, pt_lower_unary},
    {&pt_op_leaky_relu, pt_lower_unary},
    {&pt_op_exp, pt_lower_unary},
    {&pt_op_erf, pt_lower_unary},
    {&pt_op_tanh, pt_lower_unary},
    {&pt_op_sigmoid, pt_lower_unary},
    {&pt_op_gelu, pt_lower_unary},
    {&pt_op_swish, pt_lower_unary},
    {&pt_op_hard_sigmoid, pt_lower_unary},
    {&pt_op_hard_swish, pt_lower_unary},
    {&pt_op_sqrt, pt_lower_unary},
    {&pt_op_reciprocal, pt_lower_unary},
    {&pt_op_neg, pt_lower_unary},
    {&pt_op_abs, pt_lower_unary},
    {&pt_op_clip, pt_lower_clip},
    {&pt_op_add, pt_lower_binary},
    {&pt_op_sub, pt_lower_binary},
    {&pt_op_mul, pt_lower_binary},
    {&pt_op_div, pt_lower_binary},
    {&pt_op_pow, pt_lower_pow},
    {&pt_op_softmax, pt_lower_softmax},
    {&pt_op_layer_normalization, pt_lower_layernorm},
    {&pt_op_rms_normalization, pt_lower_rmsnorm},
    {&pt_op_batch_normalization, pt_lower_batchnorm},
    {&pt_op_transpose, pt_lower_transpose},
    {&pt_op_concat, pt_lower_concat},
    {&pt_grad_conv_image, pt_lower_conv_image_grad},
    {&pt_grad_conv_weights, pt_lower_conv_weights_grad},
    {&pt_grad_product, pt_lower_product_grad},
    {&pt_grad_channels, pt_lower_channels_grad},
    {&pt_grad_max_pool, pt_lower_max_pool_grad},
    {&pt_grad_average_pool, pt_lower_average_pool_grad},
    {&pt_grad_spread, pt_lower_spread},
    {&pt_grad_part, pt_lower_part},
    {&pt_grad_batchnorm, pt_lower_batchnorm_grad},
    {&pt_grad_layernorm, pt_lower_layernorm_grad},
    {&pt_grad_softmax, pt_lower_softmax_grad},
    {&pt_grad_log_softmax, pt_lower_softmax_grad},
    {&pt_grad_relu, pt_lower_unary_grad},
    {&pt_grad_sigmoid, pt_lower_unary_grad},
    {&pt_grad_tanh, pt_lower_unary_grad},
    {&pt_grad_leaky_relu, pt_lower_unary_grad},
    {&pt_grad_abs, pt_lower_unary_grad},
    {&pt_grad_hard_sigmoid, pt_lower_unary_grad},
    {&pt_grad_hard_swish, pt_lower_unary_grad},
    {&pt_grad_erf, pt_lower_unary_grad},
    {&pt_grad_gelu, pt_lower_unary_grad},
    {&pt_grad_softplus, pt_lower_unary_grad},
    {&pt_grad_elu, pt_lower_unary_grad},
    {&pt_grad_swish, pt_lower_unary_grad},
    {&pt_grad_clip, pt_lower_unary_grad},
};

/* --- growing ------------------------------------------------------------------------------------------------------------------ */

int pt_lower_new_slot(struct pt_lower *l, const struct pt_slot *like)
{
    struct pt_program *p = l->p;
    const struct pt_slot copy = *like; /* it may be one of those that move */
    if (p->slot_count == p->slot_room) {
        int room = p->slot_room + p->slot_room / 2 + 16;
        struct pt_slot *s = pt_reallocarray(p->slots, (size_t)room, sizeof *s);
        if (!s)
            return pt_fail(l->err, PT_ENOMEM, "out of memory for %d values", room);
        p->slots = s;
        p->slot_room = room;
    }
    struct pt_slot *s = &p->slots[p->slot_count];
    *s = copy;
    s->place = PT_PLACE_ARENA;
    s->t.data = NULL;
    s->twin = s->wide = s->step = -1;
    s->stored = PT_UNDEFINED;
    s->shared = false;
    return p->slot_count++;
}

static int *new_operands(struct pt_lower *l, int count)
{
    struct pt_program *p = l->p;
    if (p->operand_count > p->operand_room - count) {
        int room = p->operand_room + p->operand_room / 2 + count + 64;
        int *o = pt_reallocarray(p->operands, (size_t)room, sizeof *o);
        if (!o) {
            pt_fail(l->err, PT_ENOMEM, "out of memory for %d operands", room);
            return NULL;
        }
        p->operands = o;
        p->operand_room = room;
    }
    int *at = p->operands + p->operand_count;
    p->operand_count += count;
    return at;
}

static struct pt_step *new_step(struct pt_lower *l)
{
    struct pt_program *p = l->p;
    if (p->step_count == p->step_room) {
        int room = p->step_room ? p->step_room * 2 : 64;
        struct pt_step *s = pt_reallocarray(p->steps, (size_t)room, sizeof *s);
        if (!s) {
            pt_fail(l->err, PT_ENOMEM, "out of memory for %d steps", room);
            return NULL;
        }
        p->steps = s;
        p->step_room = room;
    }
    struct pt_step *s = &p->steps[p->step_count++];
    *s = (struct pt_step){.node = l->item ? l->item->node : NULL};
    return s;
}

void *pt_lower_alloc(struct pt_lower *l, size_t bytes)
{
    void *m = pt_arena_alloc(&l->p->mem, bytes);
    if (!m)
        pt_fail(l->err, PT_ENOMEM, "out of memory for a step");
    return m;
}

/* --- operands ------------------------------------------------------------------------------------------------------------------- */

int pt_lower_in(const struct pt_lower *l, int i)
{
    return i < l->item->node->input_count ? l->item->node->inputs[i] : -1;
}

int pt_lower_out(const struct pt_lower *l, int i)
{
    return i < l->item->node->output_count ? l->item->node->outputs[i] : -1;
}

/* Kernels and operators read elements where C allows it; views of the file may need a copy first. */
static int fill_copy(void *arg, void *out, struct pt_err *err)
{
    const struct pt_tensor *t = arg;
    (void)err;
    if (t->size_bytes)
        memcpy(out, t->data, t->size_bytes);
    return PT_OK;
}

int pt_lower_align(struct pt_lower *l, int slot)
{
    struct pt_slot *s = pt_lower_slot(l, slot);
    size_t size = pt_dtype_size(s->t.dtype);
    if (s->stored)
        return pt_lower_load_wide(l, slot);
    if (s->place != PT_PLACE_CONST || !size || (uintptr_t)s->t.data % (size > 16 ? 8 : size) == 0)
        return PT_OK;
    void *data = pt_lower_pack(l, s, 0, s->t.size_bytes, fill_copy, &s->t);
    if (!data)
        return PT_ENOMEM;
    s->t.data = data;
    return PT_OK;
}

void *pt_lower_pack(struct pt_lower *l, const struct pt_slot *s, uint64_t kind, size_t bytes, pt_pack_fn fill, void *arg)
{
    if (s->shared)
        return pt_packs_get(l->o->packs, (struct pt_pack_key){s->t.data, kind}, bytes, fill, arg, l->err);
    void *data = pt_consts_alloc(&l->p->consts, bytes, l->err);
    return data && fill(arg, data, l->err) == PT_OK ? data : NULL;
}

void *pt_lower_pack_later(struct pt_lower *l, const struct pt_slot *s, uint64_t kind, size_t bytes, pt_pack_fn fill, const void *arg,
                          size_t arg_bytes)
{
    if (s->shared)
        return pt_packs_later(l->o->packs, (struct pt_pack_key){s->t.data, kind}, bytes, fill, arg, arg_bytes, l->err);
    void *data = pt_consts_alloc(&l->p->consts, bytes, l->err);
    return data && pt_packs_queue(l->o->packs, data, bytes, fill, arg, arg_bytes, l->err) == PT_OK ? data : NULL;
}

static int emit(struct pt_lower *l, const struct pt_step_desc *d, const int *outs, int out_count, struct pt_step **out)
{
    for (int i = 0; i < d->in_count; i++) {
        int rc = d->in[i] < 0 ? PT_OK : pt_lower_align(l, d->in[i]);
        if (rc < 0)
            return rc;
    }
    int *ops = new_operands(l, d->in_count + out_count);
    struct pt_step *s = ops ? new_step(l) : NULL;
    if (!s)
        return PT_ENOMEM;
    s->run = d->run;
    s->params = d->params;
    s->operands = (int)(ops - l->p->operands);
    s->in_count = d->in_count;
    s->out_count = out_count;
    s->inplace = d->inplace;
    s->scratch_bytes = d->scratch_bytes;
    s->fused = d->fused;
    for (int i = 0; i < out_count; i++)
        if (outs[i] >= 0)
            pt_lower_slot(l, outs[i])->step = l->p->step_count - 1;
    memcpy(ops, d->in, (size_t)d->in_count * sizeof *ops);
    memcpy(ops + d->in_count, outs, (size_t)out_count * sizeof *ops);
    if (out)
        *out = s;
    return PT_OK;
}

int pt_lower_emit(struct pt_lower *l, const struct pt_step_desc *d, enum pt_layout out_layout)
{
    struct pt_slot *s = pt_lower_slot(l, d->out);
    s->layout = s->t.rank < 3 || pt_same_order(&s->t) ? PT_LAYOUT_PLAIN : out_layout;
    return emit(l, d, &d->out, 1, NULL);
}

int pt_lower_emit_all(struct pt_lower *l, const struct pt_step_desc *d, const int *outs, int out_count, enum pt_layout out_layout)
{
    for (int i = 0; i < out_count; i++)
        if (outs[i] >= 0) {
            struct pt_slot *s = pt_lower_slot(l, outs[i]);
            s->layout = s->t.rank < 3 || pt_same_order(&s->t) ? PT_LAYOUT_PLAIN : out_layout;
        }
    return emit(l, d, outs, out_count, NULL);
}

/* --- layouts ------------------------------------------------------------------------------------------------------------------- */

bool pt_same_order(const struct pt_tensor *t)
{
    if (t->rank < 3 || t->dims[1] == 1)
        return true;
    for (int i = 2; i < t->rank; i++)
        if (t->dims[i] != 1)
            return false;
    return true;
}

struct reorder {
    size_t images, rows, cols, elem; /* each image is rows x cols, to be transposed; elem bytes each */
};

struct reorder_job {
    const struct reorder *r;
    const float *x;
    float *y;
};

static void reorder_piece(void *arg, size_t begin, size_t end)
{
    const struct reorder_job *j = arg;
    size_t image = j->r->rows * j->r->cols;
    for (size_t i = begin; i < end; i++)
        pt_kernels()->transpose(j->r->rows, j->r->cols, j->x + i * image, j->r->cols, j->y + i * image, j->r->rows);
}

static int reorder_run(struct pt_op_ctx *c)
{
    const struct reorder *r = c->params;
    if (r->elem == 1) {
        const int64_t dims[3] = {(int64_t)r->images, (int64_t)r->rows, (int64_t)r->cols};
        pt_permute(c->in[0]->data, c->out[0]->data, 1, 3, dims, (const int[]){0, 2, 1}, c->threads);
        return PT_OK;
    }
    struct reorder_job j = {r, c->in[0]->data, c->out[0]->data};
    pt_parallel_for(c->threads, r->images, 1, reorder_piece, &j);
    return PT_OK;
}

int pt_lower_to(struct pt_lower *l, int slot, enum pt_layout layout)
{
    struct pt_slot *s = pt_lower_slot(l, slot);
    if (s->layout == layout || pt_same_order(&s->t))
        return slot;
    if (s->twin >= 0)
        return s->twin;
    const size_t elem = pt_dtype_size(s->t.dtype);
    if (s->t.dtype != PT_FLOAT && elem != 1)
        return pt_fail(l->err, PT_EINTERNAL, "reorder of %s", PT_SHAPE(&s->t));
    struct reorder *r = pt_lower_alloc(l, sizeof *r);
    int twin = r ? pt_lower_new_slot(l, s) : PT_ENOMEM;
    if (twin < 0)
        return twin;
    s = pt_lower_slot(l, slot);
    size_t pixels = (size_t)pt_dims_product(s->t.dims + 2, s->t.rank - 2), ch = (size_t)s->t.dims[1];
    *r = layout == PT_LAYOUT_CHANNELS_LAST ? (struct reorder){(size_t)s->t.dims[0], ch, pixels, elem}
                                           : (struct reorder){(size_t)s->t.dims[0], pixels, ch, elem};
    s->twin = twin;
    pt_lower_slot(l, twin)->twin = slot;
    int rc = emit(l, &(struct pt_step_desc){.run = reorder_run, .params = r, .in = &slot, .in_count = 1}, &twin, 1, NULL);
    pt_lower_slot(l, twin)->layout = layout;
    return rc < 0 ? rc : twin;
}

/* --- the walk --------------------------------------------------------------------------------------------------------------------- */

static int lower_reference(struct pt_lower *l)
{
    const struct pt_node *n = l->item->node;
    int *in = pt_lower_alloc(l, ((size_t)n->input_count + 1) * sizeof *in);
    struct pt_step *s;
    if (!in)
        return PT_ENOMEM;
    for (int i = 0; i < n->input_count; i++) {
        int rc = n->inputs[i] < 0 ? PT_OK : pt_lower_narrow(l, n->inputs[i]);
        if (rc < 0)
            return rc;
        in[i] = n->inputs[i] < 0 ? -1 : pt_lower_to(l, n->inputs[i], PT_LAYOUT_PLAIN);
        if (n->inputs[i] >= 0 && in[i] < 0)
            return in[i];
    }
    unsigned flags = n->op->flags;
    int rc = emit(l,
                  &(struct pt_step_desc){.run = pt_eval_fn(n->op),
                                         .params = l->item->params,
                                         .in = in,
                                         .in_count = n->input_count,
                                         .inplace = flags & PT_OP_INPLACE ? ~0u : 0,
                                         .scratch_bytes = l->item->scratch_bytes},
                  n->outputs, n->output_count, &s);
    if (rc == PT_OK)
        s->view = flags & PT_OP_VIEW;
    return rc;
}

/* A view of a half value that stands in float32 is one of that. */
static int lower_view(struct pt_lower *l)
{
    int rc = lower_reference(l);
    return rc < 0 ? rc : 1;
}

static bool is_wide_view(struct pt_lower *l)
{
    const struct pt_node *n = l->item->node;
    const struct pt_slot *x = n->op->flags & PT_OP_VIEW && n->output_count == 1 ? pt_lower_given(l, pt_lower_in(l, 0)) : NULL;
    return x && x->wide >= 0 && x->step < 0 && x->place == PT_PLACE_ARENA;
}

static int lower_item(struct pt_lower *l)
{
    if (!l->o->no_opt && is_wide_view(l)) {
        int rc = pt_lower_half(l, lower_view);
        return rc < 0 ? rc : PT_OK;
    }
    for (size_t i = 0; !l->o->no_opt && i < sizeof rows / sizeof *rows; i++)
        if (rows[i].op == l->item->node->op) {
            int rc = pt_lower_has_half(l) ? pt_lower_half(l, rows[i].fn) : rows[i].fn(l);
            if (rc != 0)
                return rc < 0 ? rc : PT_OK;
            break;
        }
    return lower_reference(l);
}

static int copy_run(struct pt_op_ctx *c)
{
    if (c->in[0]->size_bytes)
        memcpy(c->out[0]->data, c->in[0]->data, c->in[0]->size_bytes);
    return PT_OK;
}

/* What a caller gets is in plain layout, and never the caller's own input: that is borrowed for the run only. */
static int lower_output(struct pt_lower *l, int *slot)
{
    int made = pt_lower_narrow(l, *slot);
    int s = made < 0 ? made : pt_lower_to(l, *slot, PT_LAYOUT_PLAIN);
    if (s >= 0 && pt_lower_slot(l, s)->place == PT_PLACE_INPUT) {
        int in = s;
        s = pt_lower_new_slot(l, pt_lower_slot(l, in));
        int rc = s < 0 ? s : emit(l, &(struct pt_step_desc){.run = copy_run, .in = &in, .in_count = 1}, &s, 1, NULL);
        if (rc < 0)
            return rc;
    }
    if (s < 0)
        return s;
    *slot = s;
    return pt_lower_align(l, s);
}

static void count_reads(struct pt_lower *l, const struct pt_item *items, int count)
{
    for (int i = 0; i < count; i++)
        for (int k = 0; k < items[i].node->input_count; k++)
            if (items[i].node->inputs[k] >= 0)
                pt_lower_slot(l, items[i].node->inputs[k])->reads++;
    for (int i = 0; i < l->p->output_count; i++)
        pt_lower_slot(l, l->p->outputs[i])->reads++;
}

/* Steps that were merged into others, and those that nothing reads after all. */
static int drop_steps(struct pt_lower *l)
{
    struct pt_program *p = l->p;
    int kept = 0;
    pt_auto_free bool *needed = pt_calloc((size_t)p->slot_count + 1, sizeof *needed);
    if (!needed)
        return pt_fail(l->err, PT_ENOMEM, "out of memory for %d values", p->slot_count);
    for (int i = 0; i < p->output_count; i++)
        needed[p->outputs[i]] = true;
    for (int i = p->step_count - 1; i >= 0; i--) {
        struct pt_step *s = &p->steps[i];
        const int *ops = pt_lower_operands(l, s);
        bool used = false;
        for (int k = 0; k < s->out_count; k++)
            used = used || (ops[s->in_count + k] >= 0 && needed[ops[s->in_count + k]]);
        if (!used)
            s->run = NULL;
        for (int k = 0; s->run && k < s->in_count; k++)
            if (ops[k] >= 0)
                needed[ops[k]] = true;
    }
    for (int i = 0; i < p->step_count; i++)
        if (p->steps[i].run)
            p->steps[kept++] = p->steps[i];
    p->step_count = kept;
    return PT_OK;
}

int pt_lower_all(struct pt_lower *l, const struct pt_item *items, int count)
{
    int rc = PT_OK;
    count_reads(l, items, count);
    for (int i = 0; rc == PT_OK && i < count; i++) {
        l->item = &items[i];
        if ((rc = lower_item(l)) < 0)
            pt_wrap(l->err, "compile %s", pt_node_text(items[i].node).s);
    }
    l->item = NULL;
    for (int i = 0; rc == PT_OK && i < l->p->output_count; i++)
        rc = lower_output(l, &l->p->outputs[i]);
    if (rc == PT_OK)
        rc = drop_steps(l);
    if (rc == PT_OK)
        return pt_packs_fill(l->o->packs, l->o->pool, l->err);
    pt_packs_forget(l->o->packs);
    return rc;
}
