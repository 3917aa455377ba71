/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_basic.c: what gradients need to undo broadcasting, reductions, products and the moving of elements.
 */
#include "runtime/train/ops.h"

#include "runtime/kernels/kernels.h"
#include "runtime/ops/types.h"
#include "runtime/train/part.h"
#include "runtime/train/spread.h"

#define FLOATS .since = {1}, .max_out = 1, .types = {PT_TS_FLOAT}

static int ones_run(struct pt_op_ctx *c)
{
    int64_t n = pt_tensor_count(c->out[0]);
    if (c->out[0]->dtype == PT_FLOAT)
        for (int64_t i = 0; i < n; i++)
            ((float *)c->out[0]->data)[i] = 1;
    else
        for (int64_t i = 0; i < n; i++)
            pt_store_f64(c->out[0], i, 1, &(double){1});
    return PT_OK;
}

const struct pt_op pt_grad_ones_like = {.type = "OnesLike",
                                        .since = {1},
                                        .min_in = 1,
                                        .max_in = 1,
                                        .max_out = 1,
                                        .types = {PT_TS_FLOAT | PT_TS_HALF},
                                        .infer = pt_infer_same,
                                        .run = ones_run};

/* --- undoing broadcasts ------------------------------------------------------------------------------------------------------------------ */

static int sum_to_infer(struct pt_op_ctx *c)
{
    int64_t dims[PT_MAX_RANK];
    int rank = 0;
    if (!pt_bcast_dims(dims, &rank, c->in[1]) || !pt_bcast_dims(dims, &rank, c->in[0]) || rank != c->in[0]->rank ||
        memcmp(dims, c->in[0]->dims, (size_t)rank * sizeof *dims) != 0)
        return pt_op_fail(c, PT_EINVAL, "%s is no repetition of %s", PT_SHAPE(c->in[0]), PT_SHAPE(c->in[1]));
    pt_op_set_out(c, 0, c->in[0]->dtype, c->in[1]->rank, c->in[1]->dims);
    c->scratch_bytes = (size_t)pt_tensor_count(c->in[1]) * sizeof(double);
    return PT_OK;
}

/* A row of float32: what it adds to the sums, one of them or one each. */
static void sum_row(double *sums, int64_t step, const float *x, int64_t x_step, int64_t n)
{
    if (step == 0) {
        double part[4] = {0};
        int64_t i = 0;
        for (; i + 4 <= n; i += 4)
            for (int k = 0; k < 4; k++)
                part[k] += (double)x[(i + k) * x_step];
        for (; i < n; i++)
            part[0] += (double)x[i * x_step];
        *sums += (part[0] + part[1]) + (part[2] + part[3]);
    } else {
        for (int64_t i = 0; i < n; i++)
            sums[i * step] += (double)x[i * x_step];
    }
}

static int sum_to_run(struct pt_op_ctx *c)
{
    const struct pt_tensor *const pair[] = {c->in[0], c->out[0]};
    int64_t off[PT_BCAST_MAX], n = pt_tensor_count(c->out[0]);
    double *sums = c->scratch, v;
    struct pt_bcast w;
    if (pt_tensor_count(c->in[0]) == n) {
        memcpy(c->out[0]->data, c->in[0]->data, c->out[0]->size_bytes);
        return PT_OK;
    }
    memset(sums, 0, (size_t)n * sizeof *sums);
    pt_bcast_init(&w, c->in[0], 2, pair);
    for (int64_t r = 0; r < w.rows; r++) {
        pt_bcast_row(&w, r, off);
        if (c->in[0]->dtype == PT_FLOAT) {
            sum_row(sums + off[1], w.step[1], (const float *)c->in[0]->data + off[0], w.step[0], w.n);
            continue;
        }
        for (int64_t i = 0; i < w.n; i++) {
            pt_load_f64(c->in[0], off[0] + i * w.step[0], 1, &v);
            sums[off[1] + i * w.step[1]] += v;
        }
    }
    pt_store_f64(c->out[0], 0, n, sums);
    return PT_OK;
}

const struct pt_op pt_grad_sum_to = {.type = "SumTo",
                                     .since = {1},
                                     .min_in = 2,
                                     .max_in = 2,
                                     .max_out = 1,
                                     .types = {PT_TS_FLOAT | PT_TS_HALF},
                                     .infer = sum_to_infer,
                                     .run = sum_to_run};

/* --- undoing what only moves elements ------------------------------------------------------------------------------------------------------ */

static int shape_like_infer(struct pt_op_ctx *c)
{
    if (pt_tensor_count(c->in[0]) != pt_tensor_count(c->in[1]))
        return pt_op_fail(c, PT_EINVAL, "%s does not have the elements of %s", PT_SHAPE(c->in[0]), PT_SHAPE(c->in[1]));
    pt_op_set_out(c, 0, c->in[0]->dtype, c->in[1]->rank, c->in[1]->dims);
    return PT_OK;
}

static int shape_like_run(struct pt_op_ctx *c)
{
    memmove(c->out[0]->data, c->in[0]->data, c->out[0]->size_bytes);
    return PT_OK;
}

const struct pt_op pt_grad_shape_like = {.type = "ShapeLike",
                                         .since = {1},
                                         .min_in = 2,
                                         .max_in = 2,
                                         .max_out = 1,
                                         .types = {PT_TS_FLOAT, PT_TS_ANY},
                                         .flags = PT_OP_VIEW,
                                         .infer = shape_like_infer,
                                         .run = shape_like_run};

static int places_infer(struct pt_op_ctx *c)
{
    pt_op_set_out(c, 0, PT_INT64, c->in[0]->rank, c->in[0]->dims);
    return PT_OK;
}

static int places_run(struct pt_op_ctx *c)
{
    for (int64_t i = 0, n = pt_tensor_count(c->out[0]); i < n; i++)
        ((int64_t *)c->out[0]->data)[i] = i;
    return PT_OK;
}

const struct pt_op pt_grad_places_like = {
    .type = "PlacesLike", FLOATS, .min_in = 1, .max_in = 1, .flags = PT_OP_SHAPE, .infer = places_infer, .run = places_run};

static int scatter_infer(struct pt_op_ctx *c)
{
    if (pt_tensor_count(c->in[0]) != pt_tensor_count(c->in[1]))
        return pt_op_fail(c, PT_EINVAL, "%s has other places, %s", PT_SHAPE(c->in[0]), PT_SHAPE(c->in[1]));
    pt_op_set_out(c, 0, c->in[0]->dtype, c->in[2]->rank, c->in[2]->dims);
    return PT_OK;
}

PT_REALS(scatter, (const struct pt_tensor *from, const int64_t *at, struct pt_tensor *to), {
    const real *dy = from->data;
    real *dx = to->data;
    for (int64_t i = 0, n = pt_tensor_count(from); i < n; i++)
        if (at[i] >= 0)
            dx[at[i]] += dy[i];
})

static int scatter_run(struct pt_op_ctx *c)
{
    memset(c->out[0]->data, 0, c->out[0]->size_bytes);
    PT_REAL_CALL(c, scatter, c->in[0], c->in[1]->data, c->out[0]);
    return PT_OK;
}

const struct pt_op pt_grad_scatter_sum = {.type = "ScatterSum",
                                          .since = {1},
                                          .min_in = 3,
                                          .max_in = 3,
                                          .max_out = 1,
                                          .types = {PT_TS_FLOAT, PT_T(PT_INT64), PT_TS_FLOAT},
                                          .infer = scatter_infer,
                                          .run = scatter_run};

/* indices: [...], like: [table, row...], dy: [..., row...] */
static int rows_infer(struct pt_op_ctx *c)
{
    const struct pt_tensor *dy = c->in[0], *at = c->in[1], *like = c->in[2];
    if (like->rank < 1 || dy->rank != at->rank + like->rank - 1)
        return pt_op_fail(c, PT_EINVAL, "%s is not what indices %s take from %s", PT_SHAPE(dy), PT_SHAPE(at), PT_SHAPE(like));
    pt_op_like(c, 0, like);
    return PT_OK;
}

PT_REALS(add_row, (void *sums, int64_t k, const void *rows, int64_t i, int64_t n), {
    real *y = (real *)sums + k * n;
    const real *x = (const real *)rows + i * n;
    for (int64_t j = 0; j < n; j++)
        y[j] += x[j];
})

static int rows_run(struct pt_op_ctx *c)
{
    const struct pt_tensor *at = c->in[1], *like = c->in[2];
    int64_t n = pt_tensor_count(at), row = pt_dims_product(like->dims + 1, like->rank - 1);
    memset(c->out[0]->data, 0, c->out[0]->size_bytes);
    for (int64_t i = 0; i < n; i++) {
        int64_t k = pt_elem_i64(at, i);
        k += k < 0 ? like->dims[0] : 0;
        if (k < 0 || k >= like->dims[0])
            return pt_op_fail(c, PT_EINVAL, "index %lld is outside of %lld rows", (long long)k, (long long)like->dims[0]);
        PT_REAL_CALL(c, add_row, c->out[0]->data, k, c->in[0]->data, i, row);
    }
    return PT_OK;
}

const struct pt_op pt_grad_rows = {.type = "GatherRows",
                                   .since = {1},
                                   .min_in = 3,
                                   .max_in = 3,
                                   .max_out = 1,
                                   .types = {PT_TS_FLOAT, PT_TS_INDEX, PT_TS_FLOAT},
                                   .infer = rows_infer,
                                   .run = rows_run};

/* --- undoing Concat -------------------------------------------------------------------------------------------------------------------------------
 */

static int part_infer(struct pt_op_ctx *c)
{
    struct pt_part *p = c->params;
    const struct pt_tensor *dy = c->in[0];
    int64_t axis, part, before = 0;
    int at, rc = pt_attr_int(c, "axis", 1, INT32_MIN, INT32_MAX, &axis);
    if (rc < 0 || (rc = pt_attr_int(c, "part", 0, 0, c->in_count - 2, &part)) < 0 || (rc = pt_op_axis(c, "axis", axis, dy->rank, false, &at)) < 0)
        return rc;
    for (int64_t i = 0; i < part; i++)
        before += c->in[1 + i]->rank == dy->rank ? c->in[1 + i]->dims[at] : 0;
    const struct pt_tensor *x = c->in[1 + part];
    if (x->rank != dy->rank || before + x->dims[at] > dy->dims[at])
        return pt_op_fail(c, PT_EINVAL, "%s is no part of %s", PT_SHAPE(x), PT_SHAPE(dy));
    int64_t inner = pt_dims_product(dy->dims + at + 1, dy->rank - at - 1);
    *p = (struct pt_part){.axis = at,
                          .skip = before,
                          .rows = pt_dims_product(dy->dims, at),
                          .from = before * inner,
                          .row = x->dims[at] * inner,
                          .stride = dy->dims[at] * inner};
    pt_op_set_out(c, 0, dy->dtype, x->rank, x->dims);
    return PT_OK;
}

static int part_run(struct pt_op_ctx *c)
{
    const struct pt_part *p = c->params;
    size_t size = pt_dtype_size(c->in[0]->dtype);
    for (int64_t i = 0; p->row && i < p->rows; i++)
        memcpy((char *)c->out[0]->data + (size_t)(i * p->row) * size, (const char *)c->in[0]->data + (size_t)(i * p->stride + p->from) * size,
               (size_t)p->row * size);
    return PT_OK;
}

const struct pt_op pt_grad_part = {.type = "Part",
                                   .since = {1},
                                   .min_in = 2,
                                   .max_in = PT_OP_VARIADIC,
                                   .max_out = 1,
                                   .types = {PT_TS_FLOAT},
                                   .params_size = sizeof(struct pt_part),
                                   .infer = part_infer,
                                   .run = part_run};

/* --- undoing sums and means -------------------------------------------------------------------------------------------------------------------- */

static int spread_infer(struct pt_op_ctx *c)
{
    struct pt_spread *p = c->params;
    const struct pt_tensor *dy = c->in[0], *x = c->in[1];
    int64_t axes[PT_MAX_RANK], mean, empty, from;
    int n, rc = pt_attr_ints(c, "axes", INT64_MIN, INT64_MAX, axes, PT_MAX_RANK, &n);
    if (rc == PT_OK && n < 0)
        rc = pt_op_const_ints(c, 2, "axes", axes, PT_MAX_RANK, &n);
    if (rc < 0 || (rc = pt_attr_int(c, "mean", 0, 0, 1, &mean)) < 0 || (rc = pt_attr_int(c, "from", 0, 0, PT_MAX_RANK, &from)) < 0 ||
        (rc = pt_attr_int(c, "noop_with_empty_axes", 0, 0, 1, &empty)) < 0)
        return rc;
    p->kept = *x;
    p->kept.dtype = dy->dtype;
    p->factor = 1;
    for (int i = 0; i < x->rank; i++) {
        bool gone = n <= 0 && !empty && i >= from;
        for (int k = 0; k < n; k++)
            gone = gone || axes[k] == i || axes[k] + x->rank == i;
        if (gone && mean)
            p->factor /= (double)x->dims[i];
        p->kept.dims[i] = gone ? 1 : x->dims[i];
    }
    if (pt_tensor_count(&p->kept) != pt_tensor_count(dy))
        return pt_op_fail(c, PT_EINVAL, "%s is not what a reduction of %s leaves", PT_SHAPE(dy), PT_SHAPE(x));
    pt_op_set_out(c, 0, dy->dtype, x->rank, x->dims);
    return PT_OK;
}

/* A row of n: the next element, or the same one again. */
PT_REALS(spread_row, (void *to, const void *from, int64_t step, int64_t n, double factor), {
    const real *dy = from;
    real *dx = to, f = (real)factor;
    for (int64_t i = 0; step == 0 && i < n; i++)
        dx[i] = dy[0] * f;
    for (int64_t i = 0; step != 0 && i < n; i++)
        dx[i] = dy[i * step] * f;
})

static int spread_run(struct pt_op_ctx *c)
{
    const struct pt_spread *p = c->params;
    size_t size = pt_dtype_size(p->kept.dtype);
    struct pt_tensor kept = p->kept;
    const struct pt_tensor *const one[] = {&kept};
    struct pt_bcast w;
    int64_t off[PT_BCAST_MAX], at = 0;
    kept.data = c->in[0]->data;
    pt_bcast_init(&w, c->out[0], 1, one);
    for (int64_t r = 0; r < w.rows; r++, at += w.n) {
        pt_bcast_row(&w, r, off);
        PT_REAL_CALL(c, spread_row, (char *)c->out[0]->data + (size_t)at * size, (const char *)kept.data + (size_t)off[0] * size, w.step[0], w.n,
                     p->factor);
    }
    return PT_OK;
}

const struct pt_op pt_grad_spread = {.type = "Spread",
                                     .since = {1},
                                     .min_in = 2,
                                     .max_in = 3,
                                     .max_out = 1,
                                     .types = {PT_TS_FLOAT, PT_TS_FLOAT, PT_TS_INDEX},
                                     .params_size = sizeof(struct pt_spread),
                                     .infer = spread_infer,
                                     .run = spread_run};

/* --- undoing extremes: a row of x, and what it is compared with, the next element or the same one again -------------------------------------------
 */

static int share_infer(struct pt_op_ctx *c)
{
    int rc = spread_infer(c);
    if (rc < 0)
        return rc;
    if (pt_tensor_count(c->in[3]) != pt_tensor_count(c->in[0]))
        return pt_op_fail(c, PT_EINVAL, "%s and %s differ", PT_SHAPE(c->in[0]), PT_SHAPE(c->in[3]));
    c->scratch_bytes = (size_t)pt_tensor_count(c->in[0]) * sizeof(int64_t);
    return PT_OK;
}

struct share_row {
    const void *x, *y, *dy;
    void *dx;
    int64_t *counts, at, off, step, n;
};
PT_REALS(count_row, (const struct share_row *r), {
    const real *x = (const real *)r->x + r->at;
    const real *y = (const real *)r->y + r->off;
    for (int64_t i = 0; i < r->n; i++)
        r->counts[r->off + i * r->step] += x[i] == y[i * r->step];
})
PT_REALS(give_row, (const struct share_row *r), {
    const real *x = (const real *)r->x + r->at;
    const real *y = (const real *)r->y + r->off;
    const real *dy = (const real *)r->dy + r->off;
    real *dx = (real *)r->dx + r->at;
    for (int64_t i = 0; i < r->n; i++)
        dx[i] = x[i] == y[i * r->step] ? dy[i * r->step] / (real)r->counts[r->off + i * r->step] : 0;
})

static int share_run(struct pt_op_ctx *c)
{
    struct pt_tensor kept = ((const struct pt_spread *)c->params)->kept;
    const struct pt_tensor *const one[] = {&kept};
    struct share_row r = {.x = c->in[1]->data, .y = c->in[3]->data, .dy = c->in[0]->data, .dx = c->out[0]->data, .counts = c->scratch};
    struct pt_bcast w;
    int64_t off[PT_BCAST_MAX];
    kept.data = c->in[0]->data;
    memset(r.counts, 0, (size_t)pt_tensor_count(c->in[0]) * sizeof *r.counts);
    pt_bcast_init(&w, c->out[0], 1, one);
    for (int pass = 0; pass < 2; pass++)
        for (int64_t row = 0; row < w.rows; row++) {
            pt_bcast_row(&w, row, off);
            r.at = row * w.n;
            r.off = off[0];
            r.step = w.step[0];
            r.n = w.n;
            if (pass == 0)
                PT_REAL_CALL(c, count_row, &r);
            else
                PT_REAL_CALL(c, give_row, &r);
        }
    return PT_OK;
}

const struct pt_op pt_grad_share = {.type = "Share",
                                    .since = {1},
                                    .min_in = 4,
                                    .max_in = 4,
                                    .max_out = 1,
                                    .types = {PT_TS_FLOAT, PT_TS_FLOAT, PT_TS_INDEX, PT_TS_FLOAT},
                                    .flags = PT_OP_MAY_LACK,
                                    .params_size = sizeof(struct pt_spread),
                                    .infer = share_infer,
                                    .run = share_run};
