/* SPDX-License-Identifier: Apache-2.0
 *
 * expand.c: Expand (broadcast to a shape) and Tile (repeat along axes).
 */
#include "runtime/ops/types.h"

static int expand_infer(struct pt_op_ctx *c)
{
    int64_t dims[PT_MAX_RANK];
    struct pt_tensor shape = {.rank = 0};
    int n, rank = 0, rc = pt_op_const_ints(c, 1, "shape", shape.dims, PT_MAX_RANK, &n);
    if (rc < 0)
        return rc;
    shape.rank = n;
    for (int i = 0; i < n; i++)
        if (shape.dims[i] < 0)
            return pt_op_fail(c, PT_EINVAL, "dim %d of the shape is %lld, must be at least 0", i, (long long)shape.dims[i]);
    if (!pt_bcast_dims(dims, &rank, c->in[0]) || !pt_bcast_dims(dims, &rank, &shape))
        return pt_op_fail(c, PT_EINVAL, "%s does not broadcast to %s", PT_SHAPE(c->in[0]), pt_shape_text(c->in[0]->dtype, n, shape.dims).s);
    pt_op_set_out(c, 0, c->in[0]->dtype, rank, dims);
    return PT_OK;
}

static int expand_run(struct pt_op_ctx *c)
{
    struct pt_bcast w;
    size_t size = pt_dtype_size(c->in[0]->dtype);
    char *y = c->out[0]->data;
    pt_bcast_init(&w, c->out[0], 1, c->in);
    for (int64_t r = 0; r < w.rows; r++) {
        int64_t off[PT_BCAST_MAX];
        pt_bcast_row(&w, r, off);
        pt_copy_row(y + (size_t)(r * w.n) * size, (const char *)c->in[0]->data + (size_t)off[0] * size, w.n, w.step[0], size);
    }
    return PT_OK;
}

const struct pt_op pt_op_expand = {.type = "Expand",
                                   .since = {8, 13},
                                   .min_in = 2,
                                   .max_in = 2,
                                   .max_out = 1,
                                   .types = {PT_TS_BYTES, PT_TS_INDEX},
                                   .infer = expand_infer,
                                   .run = expand_run};

/* --- Tile: opset 1 has one count and one axis, later versions a count per axis --------------------------------------------------- */

/* Opset 1 gives both as numbers of the input's own type. */
static int early_repeats(struct pt_op_ctx *c, int64_t *repeats)
{
    int64_t v[2];
    int a, rank = c->in[0]->rank;
    for (int i = 1; i < 3; i++) {
        const struct pt_tensor *t = pt_op_in(c, i);
        if (!t || pt_tensor_count(t) != 1)
            return pt_op_fail(c, PT_EINVAL, "input %d is %s, must be one number", i, t ? PT_SHAPE(t) : "not given");
        if (!t->data)
            return pt_op_needs_data(c, i, i == 1 ? "tiles" : "axis");
        v[i - 1] = pt_elem_i64(t, 0);
    }
    int rc = pt_op_axis(c, "axis", v[1], rank, false, &a);
    for (int i = 0; rc == PT_OK && i < rank; i++)
        repeats[i] = i == a ? v[0] : 1;
    return rc;
}

static int tile_infer(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0];
    int64_t repeats[PT_MAX_RANK], dims[PT_MAX_RANK];
    int n = x->rank, rc = c->node->version < 6 ? early_repeats(c, repeats) : pt_op_const_ints(c, 1, "repeats", repeats, PT_MAX_RANK, &n);
    if (rc < 0)
        return rc;
    if (n != x->rank)
        return pt_op_fail(c, PT_EINVAL, "%d repeats for an input of rank %d", n, x->rank);
    for (int i = 0; i < n; i++)
        if (repeats[i] < 0 || __builtin_mul_overflow(x->dims[i], repeats[i], &dims[i]))
            return pt_op_fail(c, PT_EINVAL, "repeat %d is %lld: negative, or too much for axis %d of %s", i, (long long)repeats[i], i, PT_SHAPE(x));
    pt_op_set_out(c, 0, x->dtype, n, dims);
    return PT_OK;
}

static int tile_run(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0], *y = c->out[0];
    int last = x->rank - 1;
    size_t size = pt_dtype_size(x->dtype), row = (last < 0 ? 1 : (size_t)x->dims[last]) * size;
    char *to = y->data;
    if (y->size_bytes == 0)
        return PT_OK;
    for (int64_t r = 0, rows = last < 0 ? 1 : pt_dims_product(y->dims, last); r < rows; r++) {
        int64_t rest = r, at = 0, stride = 1;
        for (int a = last - 1; a >= 0; a--) {
            at += rest % y->dims[a] % x->dims[a] * stride;
            rest /= y->dims[a];
            stride *= x->dims[a];
        }
        for (int64_t i = 0, n = last < 0 ? 1 : y->dims[last] / x->dims[last]; i < n; i++, to += row)
            memcpy(to, (const char *)x->data + (size_t)at * row, row);
    }
    return PT_OK;
}

const struct pt_op pt_op_tile = {.type = "Tile",
                                 .since = {1, 6, 13},
                                 .min_in = 2,
                                 .max_in = 3,
                                 .max_out = 1,
                                 .types = {PT_TS_BYTES, PT_TS_INDEX | PT_TS_REAL},
                                 .infer = tile_infer,
                                 .run = tile_run};
