/* SPDX-License-Identifier: Apache-2.0
 *
 * lower_bytes.c: what stands between convolutions of quantised images and works on them channels last, as those leave them. Elementwise operators do
 * not care about the order, as long as all their operands have the same: their reference runs on either. Pools have code of their own.
 */
#include "runtime/compile/lower.h"

#include "runtime/ops/pool.h"
#include "runtime/ops/quant.h"
#include "runtime/ops/table.h"

static bool is_bytes(const struct pt_tensor *t)
{
    return t->dtype == PT_UINT8 || t->dtype == PT_INT8;
}

/* The reference operator, with these operands and a result in that layout. */
static int emit_same(struct pt_lower *l, const int *in, enum pt_layout layout)
{
    const struct pt_op *op = l->item->node->op;
    struct pt_step_desc d = {.run = pt_eval_fn(op),
                             .params = l->item->params,
                             .in = in,
                             .in_count = l->item->node->input_count,
                             .out = pt_lower_out(l, 0),
                             .inplace = op->flags & PT_OP_INPLACE ? ~0u : 0,
                             .scratch_bytes = l->item->scratch_bytes};
    int rc = pt_lower_emit(l, &d, layout);
    return rc < 0 ? rc : 1;
}

/* Operand 0 by one scale and zero point: QuantizeLinear, DequantizeLinear, and tables. */
int pt_lower_bytes(struct pt_lower *l)
{
    const struct pt_slot *x = pt_lower_slot(l, pt_lower_in(l, 0)), *scale = pt_lower_slot(l, pt_lower_in(l, 1));
    const struct pt_tensor *y = &pt_lower_slot(l, pt_lower_out(l, 0))->t;
    if (x->layout == PT_LAYOUT_PLAIN || pt_tensor_count(&scale->t) != 1 || (!is_bytes(&x->t) && x->t.dtype != PT_FLOAT) ||
        (!is_bytes(y) && y->dtype != PT_FLOAT))
        return 0;
    return emit_same(l, l->item->node->inputs, x->layout);
}

/* Operands 0 and 3 of one shape. */
int pt_lower_bytes_pair(struct pt_lower *l)
{
    const struct pt_node *n = l->item->node;
    const struct pt_slot *a = pt_lower_slot(l, n->inputs[0]), *b = pt_lower_slot(l, n->inputs[3]);
    const bool last = a->layout == PT_LAYOUT_CHANNELS_LAST || b->layout == PT_LAYOUT_CHANNELS_LAST;
    int *in = pt_lower_alloc(l, (size_t)n->input_count * sizeof *in);
    if (!in)
        return PT_ENOMEM;
    if (!last || !pt_dims_equal(&a->t, &b->t) || !is_bytes(&a->t) || !is_bytes(&b->t))
        return 0;
    memcpy(in, n->inputs, (size_t)n->input_count * sizeof *in);
    for (int i = 0; i < 4; i += 3)
        if ((in[i] = pt_lower_to(l, in[i], PT_LAYOUT_CHANNELS_LAST)) < 0)
            return in[i];
    return emit_same(l, in, PT_LAYOUT_CHANNELS_LAST);
}

/* --- QLinearGlobalAveragePool ------------------------------------------------------------------------------------------------------------ */

struct average_step {
    size_t images, pixels, channels;
};

static void sum_pixels(const struct average_step *s, const uint8_t *x, bool is_signed, int32_t *sums)
{
    memset(sums, 0, s->channels * sizeof *sums);
    for (size_t i = 0; i < s->pixels; i++, x += s->channels)
        for (size_t c = 0; c < s->channels; c++)
            sums[c] = (int32_t)((uint32_t)sums[c] + (uint32_t)(is_signed ? (int8_t)x[c] : x[c]));
}

/* The sum less so many zero points, as the reference has it. */
static int average_run(struct pt_op_ctx *c)
{
    const struct average_step *s = c->params;
    const float scale = pt_quant_scale(c->in[1], 0) / (pt_quant_scale(c->in[3], 0) * (float)(int64_t)s->pixels);
    const uint32_t zeros = (uint32_t)pt_quant_zero(c->in[2], 0) * (uint32_t)s->pixels;
    const int32_t y_zero = pt_quant_zero(pt_op_in(c, 4), 0);
    int32_t *sums = c->scratch;
    for (size_t i = 0; i < s->images; i++) {
        sum_pixels(s, (const uint8_t *)c->in[0]->data + i * s->pixels * s->channels, c->in[0]->dtype == PT_INT8, sums);
        for (size_t k = 0; k < s->channels; k++)
            pt_quant_put(c->out[0], (int64_t)(i * s->channels + k), (float)(int32_t)((uint32_t)sums[k] - zeros) * scale, y_zero);
    }
    return PT_OK;
}

int pt_lower_bytes_average(struct pt_lower *l)
{
    const struct pt_node *n = l->item->node;
    const struct pt_slot *x = pt_lower_slot(l, pt_lower_in(l, 0));
    const struct pt_onnx_attr *last = pt_node_attr(n, "channels_last");
    if (x->layout == PT_LAYOUT_PLAIN || !is_bytes(&x->t) || pt_tensor_count(&x->t) == 0 || (last && last->i))
        return 0;
    struct average_step *s = pt_lower_alloc(l, sizeof *s);
    if (!s)
        return PT_ENOMEM;
    *s = (struct average_step){(size_t)x->t.dims[0], (size_t)pt_dims_product(x->t.dims + 2, x->t.rank - 2), (size_t)x->t.dims[1]};
    struct pt_step_desc d = {.run = average_run,
                             .params = s,
                             .in = n->inputs,
                             .in_count = n->input_count,
                             .out = pt_lower_out(l, 0),
                             .scratch_bytes = s->channels * sizeof(int32_t)};
    int rc = pt_lower_emit(l, &d, PT_LAYOUT_PLAIN);
    return rc < 0 ? rc : 1;
}

/* --- MaxPool ------------------------------------------------------------------------------------------------------------------------------ */

#define LANES 16 /* a fixed count is what the compiler makes vectors of */

#define RAISE(T, s)                                                                                                                                  \
    static void raise_##s(T *restrict y, const T *restrict x, size_t n)                                                                              \
    {                                                                                                                                                \
        size_t i = 0;                                                                                                                                \
        for (; i + LANES <= n; i += LANES)                                                                                                           \
            for (size_t k = 0; k < LANES; k++)                                                                                                       \
                y[i + k] = x[i + k] > y[i + k] ? x[i + k] : y[i + k];                                                                                \
        for (; i < n; i++)                                                                                                                           \
            y[i] = x[i] > y[i] ? x[i] : y[i];                                                                                                        \
    }
RAISE(uint8_t, u8)
RAISE(int8_t, i8)

struct max_step {
    struct pt_window w; /* two axes */
    int64_t channels;
    bool is_signed;
};

struct max_job {
    const struct max_step *s;
    const uint8_t *x;
    uint8_t *y;
};

static void max_pixel(const struct max_step *s, const uint8_t *image, int64_t oy, int64_t ox, uint8_t *y)
{
    const size_t c = (size_t)s->channels;
    int64_t row, row_end, at_row, col, col_end, at_col;
    pt_window_taps(&s->w, 0, oy, &row, &row_end, &at_row);
    pt_window_taps(&s->w, 1, ox, &col, &col_end, &at_col);
    memset(y, s->is_signed ? INT8_MIN : 0, c);
    for (; row < row_end; row++, at_row += s->w.dilation[0])
        for (int64_t k = col, at = at_col; k < col_end; k++, at += s->w.dilation[1]) {
            const uint8_t *x = image + (at_row * s->w.in[1] + at) * s->channels;
            if (s->is_signed)
                raise_i8((int8_t *)y, (const int8_t *)x, c);
            else
                raise_u8(y, x, c);
        }
}

static void max_rows(void *arg, size_t begin, size_t end)
{
    const struct max_job *j = arg;
    const struct pt_window *w = &j->s->w;
    for (int64_t i = (int64_t)begin; i < (int64_t)end; i++) {
        const uint8_t *image = j->x + i / w->out[0] * w->in[0] * w->in[1] * j->s->channels;
        for (int64_t ox = 0; ox < w->out[1]; ox++)
            max_pixel(j->s, image, i % w->out[0], ox, j->y + (i * w->out[1] + ox) * j->s->channels);
    }
}

static int max_run(struct pt_op_ctx *c)
{
    struct max_job j = {c->params, c->in[0]->data, c->out[0]->data};
    pt_parallel_for(c->threads, (size_t)(c->in[0]->dims[0] * j.s->w.out[0]), 4, max_rows, &j);
    return PT_OK;
}

int pt_lower_bytes_max(struct pt_lower *l)
{
    const struct pt_pool_params *p = l->item->params;
    const struct pt_slot *x = pt_lower_slot(l, pt_lower_in(l, 0)), *y = pt_lower_given(l, pt_lower_out(l, 0));
    if (x->layout == PT_LAYOUT_PLAIN || l->item->node->op != &pt_op_max_pool || p->w.axes != 2 || !y || pt_lower_out(l, 1) >= 0 ||
        pt_tensor_count(&x->t) == 0 || pt_tensor_count(&y->t) == 0)
        return 0;
    struct max_step *s = pt_lower_alloc(l, sizeof *s);
    if (!s)
        return PT_ENOMEM;
    *s = (struct max_step){p->w, x->t.dims[1], x->t.dtype == PT_INT8};
    int in = pt_lower_in(l, 0);
    int rc = pt_lower_emit(l, &(struct pt_step_desc){.run = max_run, .params = s, .in = &in, .in_count = 1, .out = pt_lower_out(l, 0)},
                           PT_LAYOUT_CHANNELS_LAST);
    return rc < 0 ? rc : 1;
}
