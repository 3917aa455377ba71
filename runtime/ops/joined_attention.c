/* SPDX-License-Identifier: Apache-2.0
 *
 * joined_attention.c: JoinedAttention (joined_attention.h), row by row.
 */
#include "runtime/ops/joined_attention.h"

#include <math.h>

/* The last two axes of operand t as a matrix, and how many batch axes stand before them. */
static int64_t rows_of(const struct pt_tensor *t)
{
    return t->rank > 1 ? t->dims[t->rank - 2] : 1;
}

static int64_t columns_of(const struct pt_tensor *t)
{
    return t->rank > 0 ? t->dims[t->rank - 1] : 1;
}

static bool join_batch(int64_t *dims, int *rank, const struct pt_tensor *t)
{
    struct pt_tensor batch = {.rank = t->rank > 2 ? t->rank - 2 : 0};
    memcpy(batch.dims, t->dims, (size_t)batch.rank * sizeof *batch.dims);
    return pt_bcast_dims(dims, rank, &batch);
}

/* A dim of the scores that the mask may stretch. */
static bool stretch(int64_t *dim, int64_t by)
{
    bool fits = *dim == by || by == 1 || *dim == 1;
    if (by != 1)
        *dim = by;
    return fits;
}

static int set_shapes(struct pt_op_ctx *c, struct pt_joined_attention_params *p)
{
    const struct pt_tensor *q = c->in[PT_JOINED_Q], *kt = c->in[PT_JOINED_KT], *v = c->in[PT_JOINED_V];
    bool fits = q->rank >= 2 && kt->rank >= 2 && v->rank >= 2 && columns_of(q) == rows_of(kt);
    p->m = rows_of(q);
    p->n = columns_of(kt);
    p->width = columns_of(q);
    p->v_width = columns_of(v);
    for (int i = 0; fits && i < PT_JOINED_COUNT; i++) {
        const struct pt_tensor *t = pt_op_in(c, i);
        if (t && i >= PT_JOINED_CHOICE)
            fits = stretch(&p->m, rows_of(t)) && stretch(&p->n, columns_of(t));
        fits = fits && (!t || i == PT_JOINED_SCALE || join_batch(p->dims, &p->axes, t));
    }
    if (!fits || rows_of(v) != p->n || p->axes > PT_MAX_RANK - 2)
        return pt_op_fail(c, PT_EINVAL, "attention of %s, %s and %s: the shapes do not go together", PT_SHAPE(q), PT_SHAPE(kt), PT_SHAPE(v));
    int64_t dims[PT_MAX_RANK];
    memcpy(dims, p->dims, sizeof dims);
    dims[p->axes] = p->m;
    dims[p->axes + 1] = p->v_width;
    pt_op_set_out(c, 0, PT_FLOAT, p->axes + 2, dims);
    if (__builtin_mul_overflow((size_t)p->n, sizeof(double), &c->scratch_bytes))
        return pt_op_fail(c, PT_ELIMIT, "the keys are too many");
    return PT_OK;
}

static int joined_infer(struct pt_op_ctx *c)
{
    struct pt_joined_attention_params *p = c->params;
    const struct pt_tensor *scale = pt_op_in(c, PT_JOINED_SCALE);
    int64_t divide, keep, bias_last, zero_nan;
    int rc;
    if ((rc = pt_attr_int(c, "divide", 0, 0, 1, &divide)) < 0 || (rc = pt_attr_int(c, "keep", 0, 0, 1, &keep)) < 0 ||
        (rc = pt_attr_int(c, "bias_last", 0, 0, 1, &bias_last)) < 0 || (rc = pt_attr_int(c, "zero_nan", 0, 0, 1, &zero_nan)) < 0 ||
        (rc = pt_attr_float(c, "alpha", 1, &p->alpha)) < 0 || (rc = pt_attr_float(c, "fill", -INFINITY, &p->fill)) < 0)
        return rc;
    for (int i = 0; i < c->in_count; i++)
        if (c->in[i] && c->in[i]->dtype != (i == PT_JOINED_CHOICE ? PT_BOOL : PT_FLOAT))
            return pt_op_fail(c, PT_EINVAL, "input %d is %s", i, PT_SHAPE(c->in[i]));
    if (scale && pt_tensor_count(scale) != 1)
        return pt_op_fail(c, PT_EINVAL, "input %d (scale) is %s, must be one number", PT_JOINED_SCALE, PT_SHAPE(scale));
    p->divide = divide;
    p->keep = keep;
    p->bias_last = bias_last;
    p->zero_nan = zero_nan;
    return set_shapes(c, p);
}

/* --- running ------------------------------------------------------------------------------------------------------------------------- */

/* A matrix of an operand: elements from row to row and column to column, 0 where it repeats. */
struct matrix {
    const struct pt_tensor *t;
    int64_t at, row, column;
};

static struct matrix matrix_at(const struct pt_joined_attention_params *p, const struct pt_tensor *t, int64_t product)
{
    struct matrix m = {.t = t, .row = rows_of(t) == 1 ? 0 : columns_of(t), .column = columns_of(t) == 1 ? 0 : 1};
    int64_t size = rows_of(t) * columns_of(t);
    for (int i = p->axes - 1; i >= 0; i--) {
        int axis = t->rank - 2 - p->axes + i;
        int64_t index = product % p->dims[i];
        product /= p->dims[i];
        if (axis < 0 || axis >= t->rank - 2)
            continue;
        m.at += t->dims[axis] == 1 ? 0 : index * size;
        size *= t->dims[axis];
    }
    return m;
}

static float number_at(const struct matrix *m, int64_t row, int64_t column)
{
    return ((const float *)m->t->data)[m->at + row * m->row + column * m->column];
}

struct head {
    const struct pt_joined_attention_params *p;
    struct matrix q, kt, v, choice, bias;
    double scale;
};

/* Every step of it is rounded as the nodes were that it stands for, so that what overflows does so here too. */
static float score(const struct head *h, int64_t i, int64_t j)
{
    const struct pt_joined_attention_params *p = h->p;
    double sum = 0;
    for (int64_t k = 0; k < p->width; k++)
        sum += (double)number_at(&h->q, i, k) * (double)((const float *)h->kt.t->data)[h->kt.at + k * columns_of(h->kt.t) + j * h->kt.column];
    float z = (float)(sum * h->scale);
    if (h->bias.t && !p->bias_last)
        z += number_at(&h->bias, i, j);
    if (h->choice.t && (((const uint8_t *)h->choice.t->data)[h->choice.at + i * h->choice.row + j * h->choice.column] != 0) != p->keep)
        z = p->fill;
    if (h->bias.t && p->bias_last)
        z += number_at(&h->bias, i, j);
    return z;
}

static void attend_row(const struct head *h, int64_t i, double *w, float *y)
{
    const struct pt_joined_attention_params *p = h->p;
    double max = -INFINITY, sum = 0;
    for (int64_t j = 0; j < p->n; j++) {
        w[j] = (double)score(h, i, j);
        max = w[j] > max ? w[j] : max;
    }
    for (int64_t j = 0; j < p->n; j++)
        sum += w[j] = exp(w[j] - max);
    for (int64_t j = 0; j < p->n; j++)
        w[j] = isnan(sum) && p->zero_nan ? 0 : w[j] / sum;
    for (int64_t k = 0; k < p->v_width; k++) {
        double total = 0;
        for (int64_t j = 0; j < p->n; j++)
            total += w[j] * (double)((const float *)h->v.t->data)[h->v.at + j * p->v_width + k];
        y[k] = (float)total;
    }
}

static int joined_run(struct pt_op_ctx *c)
{
    const struct pt_joined_attention_params *p = c->params;
    const struct pt_tensor *scale = pt_op_in(c, PT_JOINED_SCALE), *choice = pt_op_in(c, PT_JOINED_CHOICE), *bias = pt_op_in(c, PT_JOINED_BIAS);
    double factor = scale ? (double)*(const float *)scale->data : 1;
    struct head h = {.p = p, .scale = (double)p->alpha * (p->divide ? 1 / factor : factor)};
    float *y = c->out[0]->data;
    for (int64_t b = 0, n = pt_dims_product(p->dims, p->axes); b < n; b++) {
        h.q = matrix_at(p, c->in[PT_JOINED_Q], b);
        h.kt = matrix_at(p, c->in[PT_JOINED_KT], b);
        h.v = matrix_at(p, c->in[PT_JOINED_V], b);
        if (choice)
            h.choice = matrix_at(p, choice, b);
        if (bias)
            h.bias = matrix_at(p, bias, b);
        for (int64_t i = 0; i < p->m; i++, y += p->v_width)
            attend_row(&h, i, c->scratch, y);
    }
    return PT_OK;
}

static uint64_t joined_macs(const struct pt_op_ctx *c)
{
    const struct pt_joined_attention_params *p = c->params;
    return (uint64_t)(pt_dims_product(p->dims, p->axes) * p->m) * (uint64_t)(p->n * (p->width + p->v_width));
}

const struct pt_op pt_op_joined_attention = {.domain = "pintle",
                                             .type = "JoinedAttention",
                                             .since = {1},
                                             .min_in = 3,
                                             .max_in = PT_JOINED_COUNT,
                                             .max_out = 1,
                                             .types = {PT_T(PT_FLOAT), PT_T(PT_FLOAT), PT_T(PT_FLOAT), PT_T(PT_FLOAT) | PT_T(PT_BOOL)},
                                             .params_size = sizeof(struct pt_joined_attention_params),
                                             .infer = joined_infer,
                                             .run = joined_run,
                                             .macs = joined_macs};
