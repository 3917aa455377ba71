/* SPDX-License-Identifier: Apache-2.0
 *
 * lower_elem.c: elementwise operators, softmax, layer normalisation, transposition and concatenation. Elementwise steps keep whatever layout
 * their operands have; small operands that broadcast are read with strides.
 */
#include "runtime/compile/lower.h"

#include "runtime/ops/batchnorm.h"
#include "runtime/ops/clip.h"
#include "runtime/ops/concat.h"
#include "runtime/ops/layernorm.h"
#include "runtime/ops/softmax.h"
#include "runtime/ops/table.h"
#include "runtime/ops/transpose.h"
#include "runtime/ops/unary.h"
#include "runtime/train/lower.h"

#define GRAIN 16384 /* elements per piece of parallel work */

/* --- one operand ---------------------------------------------------------------------------------------------------------------- */

struct unary_step {
    pt_unary_fn fn;
    float p0, p1;
};

struct unary_job {
    const struct unary_step *s;
    const float *x;
    float *y;
};

static void unary_piece(void *arg, size_t begin, size_t end)
{
    const struct unary_job *j = arg;
    j->s->fn(j->x + begin, j->y + begin, end - begin, j->s->p0, j->s->p1);
}

static int unary_run(struct pt_op_ctx *c)
{
    struct unary_job j = {c->params, c->in[0]->data, c->out[0]->data};
    pt_parallel_for(c->threads, c->out[0]->size_bytes / sizeof(float), GRAIN, unary_piece, &j);
    return PT_OK;
}

static int emit_unary(struct pt_lower *l, enum pt_unary id, float p0, float p1)
{
    int in = pt_lower_in(l, 0);
    const struct pt_slot *x = pt_lower_slot(l, in);
    if (x->t.dtype != PT_FLOAT)
        return 0;
    struct unary_step *s = pt_lower_alloc(l, sizeof *s);
    if (!s)
        return PT_ENOMEM;
    *s = (struct unary_step){l->k->unary[id], p0, p1};
    int rc = pt_lower_emit(
        l, &(struct pt_step_desc){.run = unary_run, .params = s, .in = &in, .in_count = 1, .out = pt_lower_out(l, 0), .inplace = 1}, x->layout);
    return rc < 0 ? rc : 1;
}

/* What the operators' own inference leaves in params: the loop and two floats. */
int pt_lower_unary(struct pt_lower *l)
{
    static const struct {
        const struct pt_op *op;
        enum pt_unary id;
    } ids[] = {
        {&pt_op_relu, PT_UNARY_RELU},
        {&pt_op_leaky_relu, PT_UNARY_LEAKY_RELU},
        {&pt_op_exp, PT_UNARY_EXP},
        {&pt_op_erf, PT_UNARY_ERF},
        {&pt_op_tanh, PT_UNARY_TANH},
        {&pt_op_sigmoid, PT_UNARY_SIGMOID},
        {&pt_op_gelu, PT_UNARY_GELU},
        {&pt_op_swish, PT_UNARY_SILU},
        {&pt_op_hard_sigmoid, PT_UNARY_HARD_SIGMOID},
        {&pt_op_sqrt, PT_UNARY_SQRT},
        {&pt_op_reciprocal, PT_UNARY_RECIPROCAL},
        {&pt_op_neg, PT_UNARY_NEG},
        {&pt_op_abs, PT_UNARY_ABS},
        {&pt_op_hard_swish, PT_UNARY_HARD_SWISH},
    };
    const struct pt_op *op = l->item->node->op;
    const struct pt_unary_params *u = l->item->params;
    if (op == &pt_op_gelu && u->p[0] != 0)
        return pt_lower_tanh_gelu(l);
    if ((op == &pt_op_gelu && pt_fuse_act(l, PT_ACT_GELU, 0, 0)) || (op == &pt_op_relu && pt_fuse_act(l, PT_ACT_RELU, 0, 0)))
        return 1;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (ids[i].op == op)
            return op == &pt_op_hard_swish ? emit_unary(l, ids[i].id, 1.0f / 6, 0.5f) : emit_unary(l, ids[i].id, u->p[0], u->p[1]);
    return 0;
}

int pt_lower_clip(struct pt_lower *l)
{
    const struct pt_slot *lo = pt_lower_given(l, pt_lower_in(l, 1)), *hi = pt_lower_given(l, pt_lower_in(l, 2));
    const struct pt_clip_params *p = l->item->params;
    if ((lo && lo->place != PT_PLACE_CONST) || (hi && hi->place != PT_PLACE_CONST))
        return 0;
    float min = (float)(lo ? pt_elem_f64(&lo->t, 0) : p->min), max = (float)(hi ? pt_elem_f64(&hi->t, 0) : p->max);
    return pt_fuse_act(l, PT_ACT_CLIP, min, max) ? 1 : emit_unary(l, PT_UNARY_CLIP, min, max);
}

/* --- two operands ------------------------------------------------------------------------------------------------------------------ */

struct binary_step {
    pt_binary_fn fn;
    struct pt_bcast w; /* of out, a, b: rows of n */
    size_t rows;       /* along the innermost outer axis, handled by one call */
    bool square;       /* b is a */
};

struct binary_job {
    const struct binary_step *s;
    const float *a, *b;
    float *y;
};

/* Rows of one axis go to the kernel together; the axes outside it are walked here. */
static void binary_piece(void *arg, size_t begin, size_t end)
{
    const struct binary_job *j = arg;
    const struct pt_bcast *w = &j->s->w;
    for (size_t i = begin; i < end;) {
        size_t in_axis = i % j->s->rows, rows = j->s->rows - in_axis < end - i ? j->s->rows - in_axis : end - i;
        int64_t off[PT_BCAST_MAX];
        pt_bcast_row(w, (int64_t)i, off);
        struct pt_binary_args args = {.rows = rows,
                                      .n = (size_t)w->n,
                                      .a = j->a + off[0],
                                      .a_ld = w->rank ? (size_t)w->stride[0][0] : 0,
                                      .a_step = (size_t)w->step[0],
                                      .b = j->b + off[1],
                                      .b_ld = w->rank ? (size_t)w->stride[1][0] : 0,
                                      .b_step = (size_t)w->step[1],
                                      .y = j->y + (int64_t)i * w->n,
                                      .y_ld = (size_t)w->n};
        j->s->fn(&args);
        i += rows;
    }
}

/* A single long row is cut into pieces. */
static void binary_flat_piece(void *arg, size_t begin, size_t end)
{
    const struct binary_job *j = arg;
    const struct pt_bcast *w = &j->s->w;
    struct pt_binary_args args = {.rows = 1,
                                  .n = end - begin,
                                  .a = j->a + (int64_t)begin * w->step[0],
                                  .a_step = (size_t)w->step[0],
                                  .b = j->b + (int64_t)begin * w->step[1],
                                  .b_step = (size_t)w->step[1],
                                  .y = j->y + begin,
                                  .y_ld = end - begin};
    j->s->fn(&args);
}

static int binary_run(struct pt_op_ctx *c)
{
    const struct binary_step *s = c->params;
    struct binary_job j = {s, c->in[0]->data, s->square ? c->in[0]->data : c->in[1]->data, c->out[0]->data};
    if (s->w.rows == 1)
        pt_parallel_for(c->threads, (size_t)s->w.n, GRAIN, binary_flat_piece, &j);
    else
        pt_parallel_for(c->threads, (size_t)s->w.rows, 1 + GRAIN / (size_t)s->w.n, binary_piece, &j);
    return PT_OK;
}

bool pt_is_binary_step(const struct pt_step *s)
{
    return s->run == binary_run && !((const struct binary_step *)s->params)->square;
}

/* Element strides of t (in the layout it has) for each axis of out, in out's own memory order. */
static void strides_in(const struct pt_slot *t, const struct pt_tensor *out, const int *order, int64_t *stride)
{
    int64_t own[PT_MAX_RANK], s = 1;
    int rank = t->t.rank, shift = out->rank - rank;
    for (int k = rank - 1; k >= 0; k--) {
        int axis = t->layout == PT_LAYOUT_PLAIN ? k : k == rank - 1 ? 1 : k == 0 ? 0 : k + 1;
        own[axis] = s;
        s *= t->t.dims[axis];
    }
    for (int i = 0; i < out->rank; i++) {
        int axis = order[i] - shift;
        stride[i] = axis < 0 || t->t.dims[axis] == 1 ? 0 : own[axis];
    }
}

/* How out's axes follow one another in memory. */
static void memory_order(int rank, enum pt_layout layout, int *order)
{
    for (int k = 0; k < rank; k++)
        order[k] = layout == PT_LAYOUT_PLAIN ? k : k == rank - 1 ? 1 : k == 0 ? 0 : k + 1;
}

/* Fills the walk; false when the kernel cannot read an operand so. */
static bool binary_walk(const struct pt_slot *a, const struct pt_slot *b, const struct pt_tensor *out, enum pt_layout layout, struct pt_bcast *w)
{
    int order[PT_MAX_RANK];
    int64_t sa[PT_MAX_RANK], sb[PT_MAX_RANK];
    struct pt_tensor y = {.rank = out->rank};
    memory_order(out->rank, layout, order);
    for (int i = 0; i < out->rank; i++)
        y.dims[i] = out->dims[order[i]];
    strides_in(a, out, order, sa);
    strides_in(b, out, order, sb);
    pt_bcast_init_strided(w, &y, 2, (const int64_t *const[]){sa, sb});
    return (w->step[0] == 0 || w->step[0] == 1) && (w->step[1] == 0 || w->step[1] == 1);
}

static int emit_binary(struct pt_lower *l, enum pt_binary id, bool square)
{
    int in[2] = {pt_lower_in(l, 0), square ? pt_lower_in(l, 0) : pt_lower_in(l, 1)};
    const struct pt_tensor out = pt_lower_slot(l, pt_lower_out(l, 0))->t;
    enum pt_layout layout = PT_LAYOUT_PLAIN;
    if (out.dtype != PT_FLOAT || pt_tensor_count(&out) == 0 || l->item->node->version < 7)
        return 0;
    for (int i = 0; i < 2; i++) /* a full-size operand in channels-last order decides */
        if (pt_lower_slot(l, in[i])->layout == PT_LAYOUT_CHANNELS_LAST && pt_dims_equal(&pt_lower_slot(l, in[i])->t, &out))
            layout = PT_LAYOUT_CHANNELS_LAST;
    for (int i = 0; i < 2; i++) {
        const struct pt_slot *s = pt_lower_slot(l, in[i]);
        if ((s->layout != layout && (pt_dims_equal(&s->t, &out) || s->layout == PT_LAYOUT_CHANNELS_LAST)) &&
            (in[i] = pt_lower_to(l, in[i], layout)) < 0)
            return in[i];
    }
    struct binary_step *s = pt_lower_alloc(l, sizeof *s);
    if (!s)
        return PT_ENOMEM;
    *s = (struct binary_step){.fn = l->k->binary[id], .square = square};
    if (!binary_walk(pt_lower_slot(l, in[0]), pt_lower_slot(l, in[1]), &out, layout, &s->w))
        return 0;
    s->rows = s->w.rank ? (size_t)s->w.dims[0] : 1;
    int rc = pt_lower_emit(
        l, &(struct pt_step_desc){.run = binary_run, .params = s, .in = in, .in_count = square ? 1 : 2, .out = pt_lower_out(l, 0), .inplace = 3},
        layout);
    return rc < 0 ? rc : 1;
}

int pt_lower_binary(struct pt_lower *l)
{
    const struct pt_op *op = l->item->node->op;
    int fused = op == &pt_op_add ? pt_fuse_add(l) : pt_fuse_scale(l);
    if (fused)
        return fused;
    return emit_binary(l,
                       op == &pt_op_add   ? PT_BINARY_ADD
                       : op == &pt_op_sub ? PT_BINARY_SUB
                       : op == &pt_op_mul ? PT_BINARY_MUL
                                          : PT_BINARY_DIV,
                       false);
}

/* Squares and roots, which exporters write as powers. */
int pt_lower_pow(struct pt_lower *l)
{
    const struct pt_slot *e = pt_lower_slot(l, pt_lower_in(l, 1)), *x = pt_lower_slot(l, pt_lower_in(l, 0));
    if (e->place != PT_PLACE_CONST || pt_tensor_count(&e->t) != 1 || e->t.rank > x->t.rank)
        return 0;
    double v = pt_elem_f64(&e->t, 0);
    return v == 2 ? emit_binary(l, PT_BINARY_MUL, true) : 0;
}

/* --- BatchNormalization that could not be folded into a convolution: y = x * scale + shift per channel -------------------------------------- */

struct batchnorm_step {
    const float *scale, *shift;
    size_t rows, channels;
};

struct batchnorm_job {
    const struct batchnorm_step *s;
    const float *x;
    float *y;
};

static void batchnorm_piece(void *arg, size_t begin, size_t end)
{
    const struct batchnorm_job *j = arg;
    size_t c = j->s->channels;
    struct pt_binary_args args = {
        .rows = end - begin, .n = c, .a = j->x + begin * c, .a_ld = c, .a_step = 1, .b = j->s->scale, .b_step = 1, .y = j->y + begin * c, .y_ld = c};
    pt_kernels()->binary[PT_BINARY_MUL](&args);
    args.a = args.y;
    args.b = j->s->shift;
    pt_kernels()->binary[PT_BINARY_ADD](&args);
}

static int batchnorm_run(struct pt_op_ctx *c)
{
    struct batchnorm_job j = {c->params, c->in[0]->data, c->out[0]->data};
    pt_parallel_for(c->threads, j.s->rows, 1 + GRAIN / j.s->channels, batchnorm_piece, &j);
    return PT_OK;
}

int pt_lower_batchnorm(struct pt_lower *l)
{
    const struct pt_slot *in[5];
    const struct pt_batchnorm_params *b = l->item->params;
    float epsilon = b->epsilon;
    if (b->training)
        return pt_lower_batchnorm_training(l);
    for (int i = 0; i < 5; i++) {
        in[i] = pt_lower_slot(l, pt_lower_in(l, i));
        if (in[i]->t.dtype != PT_FLOAT || (i && in[i]->place != PT_PLACE_CONST))
            return 0;
    }
    int64_t n = pt_tensor_count(&in[0]->t), channels = in[0]->t.rank > 2 ? in[0]->t.dims[1] : 0;
    if (n <= 0 || channels == 0)
        return 0;
    struct batchnorm_step *s = pt_lower_alloc(l, sizeof *s);
    float *scale = s ? pt_lower_alloc(l, 2 * (size_t)channels * sizeof *scale) : NULL;
    if (!scale)
        return PT_ENOMEM;
    float *shift = scale + channels;
    for (int64_t i = 0; i < channels; i++) {
        double k = pt_elem_f64(&in[1]->t, i) / __builtin_sqrt(pt_elem_f64(&in[4]->t, i) + (double)epsilon);
        scale[i] = (float)k;
        shift[i] = (float)(pt_elem_f64(&in[2]->t, i) - pt_elem_f64(&in[3]->t, i) * k);
    }
    *s = (struct batchnorm_step){scale, shift, (size_t)(n / channels), (size_t)channels};
    int x = pt_lower_to(l, pt_lower_in(l, 0), PT_LAYOUT_CHANNELS_LAST);
    if (x < 0)
        return x;
    int rc =
        pt_lower_emit(l, &(struct pt_step_desc){.run = batchnorm_run, .params = s, .in = &x, .in_count = 1, .out = pt_lower_out(l, 0), .inplace = 1},
                      PT_LAYOUT_CHANNELS_LAST);
    return rc < 0 ? rc : 1;
}

/* --- rows: softmax and layer normalisation -------------------------------------------------------------------------------------------- */

struct rows_step {
    size_t rows, n;
    size_t group; /* softmax: rows that share a row of the mask */
    float eps;
};

struct rows_job {
    const struct rows_step *s;
    const struct pt_op_ctx *c;
};

static const float *data_of(const struct pt_op_ctx *c, int i)
{
    return i < c->in_count && c->in[i] ? c->in[i]->data : NULL;
}

static void softmax_piece(void *arg, size_t begin, size_t end)
{
    const struct rows_job *j = arg;
    size_t n = j->s->n, group = j->s->group;
    const float *x = data_of(j->c, 0), *mask = data_of(j->c, 1);
    float *y = j->c->out[0]->data;
    for (size_t i = begin, rows; i < end; i += rows) {
        rows = mask && group - i % group < end - i ? group - i % group : end - i;
        pt_kernels()->softmax(rows, n, 1, x + i * n, n, mask ? mask + i / group * n : NULL, 0, y + i * n, n);
    }
}

static int softmax_run(struct pt_op_ctx *c)
{
    struct rows_job j = {c->params, c};
    pt_parallel_for(c->threads, j.s->rows, 1 + GRAIN / 4 / j.s->n, softmax_piece, &j);
    return PT_OK;
}

/* x + mask before a softmax, where the mask is one row for every so many rows of x: group, or 0 when it is not so. */
static size_t mask_group(const struct pt_tensor *x, const struct pt_tensor *mask)
{
    int shift = x->rank - mask->rank, last = x->rank - 1, i = 0;
    if (shift < 0 || mask->rank < 1 || mask->dims[mask->rank - 1] != x->dims[last])
        return 0;
    while (i < last && i >= shift && mask->dims[i - shift] == x->dims[i])
        i++;
    for (int k = i; k < last; k++)
        if (k >= shift && mask->dims[k - shift] != 1)
            return 0;
    return (size_t)pt_dims_product(x->dims + i, last - i);
}

/* Takes over the addition of a mask: in becomes {x, mask}. */
static size_t fuse_mask(struct pt_lower *l, int in[2])
{
    struct pt_step *s = pt_fuse_source(l, in[0]);
    if (!s || !pt_is_binary_step(s) || s->node->op != &pt_op_add)
        return 0;
    const int *ops = pt_lower_operands(l, s);
    const struct pt_slot *y = pt_lower_slot(l, in[0]);
    for (int k = 0; k < 2; k++) {
        const struct pt_slot *x = pt_lower_slot(l, ops[k]), *mask = pt_lower_slot(l, ops[1 - k]);
        size_t group =
            pt_dims_equal(&x->t, &y->t) && x->layout == PT_LAYOUT_PLAIN && mask->layout == PT_LAYOUT_PLAIN ? mask_group(&y->t, &mask->t) : 0;
        if (!group)
            continue;
        in[0] = ops[k];
        in[1] = ops[1 - k];
        s->run = NULL;
        return group;
    }
    return 0;
}

int pt_lower_softmax(struct pt_lower *l)
{
    const struct pt_softmax_params *p = l->item->params;
    const struct pt_slot *x = pt_lower_slot(l, pt_lower_in(l, 0));
    if (x->t.dtype != PT_FLOAT || p->inner != 1 || p->n == 0 || p->outer == 0)
        return 0;
    struct rows_step *s = pt_lower_alloc(l, sizeof *s);
    int in[2] = {s ? pt_lower_to(l, pt_lower_in(l, 0), PT_LAYOUT_PLAIN) : PT_ENOMEM, -1};
    if (in[0] < 0)
        return in[0];
    *s = (struct rows_step){.rows = (size_t)p->outer, .n = (size_t)p->n, .group = 1};
    size_t group = p->n == x->t.dims[x->t.rank - 1] ? fuse_mask(l, in) : 0;
    s->group = group ? group : 1;
    int rc =
        pt_lower_emit(l, &(struct pt_step_desc){.run = softmax_run, .params = s, .in = in, .in_count = 2, .out = pt_lower_out(l, 0), .inplace = 1},
                      PT_LAYOUT_PLAIN);
    return rc < 0 ? rc : 1;
}

static void layernorm_piece(void *arg, size_t begin, size_t end)
{
    const struct rows_job *j = arg;
    size_t n = j->s->n;
    const float *residual = data_of(j->c, 3);
    pt_kernels()->layernorm(end - begin, n, data_of(j->c, 0) + begin * n, n, residual ? residual + begin * n : NULL, n, data_of(j->c, 1),
                            data_of(j->c, 2), j->s->eps, (float *)j->c->out[0]->data + begin * n, n);
}

static int layernorm_run(struct pt_op_ctx *c)
{
    struct rows_job j = {c->params, c};
    pt_parallel_for(c->threads, j.s->rows, 1 + GRAIN / 4 / j.s->n, layernorm_piece, &j);
    return PT_OK;
}

/* Takes over a sum of two tensors of one shape: the kernel adds while it reads. */
static void fuse_sum(struct pt_lower *l, int in[4])
{
    struct pt_step *s = pt_fuse_source(l, in[0]);
    if (!s || !pt_is_binary_step(s) || s->node->op != &pt_op_add)
        return;
    const int *ops = pt_lower_operands(l, s);
    const struct pt_slot *a = pt_lower_slot(l, ops[0]), *b = pt_lower_slot(l, ops[1]);
    if (!pt_dims_equal(&a->t, &b->t) || a->layout != PT_LAYOUT_PLAIN || b->layout != PT_LAYOUT_PLAIN)
        return;
    in[0] = ops[0];
    in[3] = ops[1];
    s->run = NULL;
}

int pt_lower_layernorm(struct pt_lower *l)
{
    const struct pt_layernorm_params *p = l->item->params;
    const struct pt_slot *scale = pt_lower_slot(l, pt_lower_in(l, 1)), *bias = pt_lower_given(l, pt_lower_in(l, 2));
    const struct pt_tensor *x = &pt_lower_slot(l, pt_lower_in(l, 0))->t;
    if (x->dtype != PT_FLOAT || pt_lower_out(l, 1) >= 0 || pt_lower_out(l, 2) >= 0 || p->n == 0 || p->rows == 0 ||
        !pt_lower_is_row(&scale->t, x, p->n) || (bias && !pt_lower_is_row(&bias->t, x, p->n)))
        return 0;
    struct rows_step *s = pt_lower_alloc(l, sizeof *s);
    int in[4];
    if (!s)
        return PT_ENOMEM;
    for (int i = 0; i < 4; i++) {
        in[i] = pt_lower_in(l, i);
        if (in[i] >= 0 && (in[i] = pt_lower_to(l, in[i], PT_LAYOUT_PLAIN)) < 0)
            return in[i];
    }
    fuse_sum(l, in);
    *s = (struct rows_step){.rows = (size_t)p->rows, .n = (size_t)p->n, .eps = p->epsilon};
    int rc = pt_lower_emit(
        l, &(struct pt_step_desc){.run = layernorm_run, .params = s, .in = in, .in_count = 4, .out = pt_lower_out(l, 0), .inplace = 1u | 1u << 3},
        PT_LAYOUT_PLAIN);
    return rc < 0 ? rc : 1;
}

/* --- Transpose ---------------------------------------------------------------------------------------------------------------------------- */

static int transpose_run(struct pt_op_ctx *c)
{
    const struct pt_transpose_params *p = c->params;
    const struct pt_tensor *x = c->in[0];
    pt_permute(x->data, c->out[0]->data, pt_dtype_size(x->dtype), x->rank, x->dims, p->perm, c->threads);
    return PT_OK;
}

const int *pt_transpose_perm(const struct pt_step *s)
{
    return s->run == transpose_run ? ((const struct pt_transpose_params *)s->params)->perm : NULL;
}

int pt_lower_transpose(struct pt_lower *l)
{
    const struct pt_transpose_params *p = l->item->params;
    size_t size = pt_dtype_size(pt_lower_slot(l, pt_lower_in(l, 0))->t.dtype);
    if (size == 0 || size > 8)
        return 0;
    if (pt_fuse_transpose(l, p->perm))
        return 1;
    int in = pt_lower_to(l, pt_lower_in(l, 0), PT_LAYOUT_PLAIN);
    if (in < 0)
        return in;
    int rc =
        pt_lower_emit(l, &(struct pt_step_desc){.run = transpose_run, .params = l->item->params, .in = &in, .in_count = 1, .out = pt_lower_out(l, 0)},
                      PT_LAYOUT_PLAIN);
    return rc < 0 ? rc : 1;
}

/* --- Concat of channels, in channels-last order: each pixel's channels side by side --------------------------------------------------------------
 */

static int concat_run(struct pt_op_ctx *c)
{
    size_t row = (size_t)c->out[0]->dims[1] * pt_dtype_size(c->out[0]->dtype), pixels = c->out[0]->size_bytes / row, at = 0;
    for (int k = 0; k < c->in_count; k++) {
        size_t part = (size_t)c->in[k]->dims[1] * pt_dtype_size(c->out[0]->dtype);
        for (size_t i = 0; i < pixels; i++)
            memcpy((char *)c->out[0]->data + i * row + at, (const char *)c->in[k]->data + i * part, part);
        at += part;
    }
    return PT_OK;
}

int pt_lower_concat(struct pt_lower *l)
{
    const struct pt_node *n = l->item->node;
    const struct pt_concat_params *p = l->item->params;
    bool last = false;
    for (int i = 0; i < n->input_count; i++)
        last = last || pt_lower_slot(l, n->inputs[i])->layout == PT_LAYOUT_CHANNELS_LAST;
    if (!last || p->axis != 1 || pt_tensor_count(&pt_lower_slot(l, pt_lower_out(l, 0))->t) == 0)
        return 0;
    int *in = pt_lower_alloc(l, (size_t)n->input_count * sizeof *in);
    if (!in)
        return PT_ENOMEM;
    for (int i = 0; i < n->input_count; i++)
        if ((in[i] = pt_lower_to(l, n->inputs[i], PT_LAYOUT_CHANNELS_LAST)) < 0)
            return in[i];
    int rc = pt_lower_emit(l, &(struct pt_step_desc){.run = concat_run, .in = in, .in_count = n->input_count, .out = pt_lower_out(l, 0)},
                           PT_LAYOUT_CHANNELS_LAST);
    return rc < 0 ? rc : 1;
}
