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
            return pt_op_fail(c, PT_EINVAL, "dim %d of the shape is %lld", i, (long long)shape.dims[i]);
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
        const char *x = (const char *)c->in[0]->data + (size_t)off[0] * size;
        for (int64_t i = 0; i < w.n; i++, y += size)
            memcpy(y, x + (size_t)(i * w.step[0]) * size, size);
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

static int tile_infer(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0];
    int64_t repeats[PT_MAX_RANK], axis = 0, dims[PT_MAX_RANK];
    int n, a, rc = pt_op_const_ints(c, 1, "repeats", repeats, PT_MAX_RANK, &n);
    if (rc < 0)
        return rc;
    if (c->node->version < 6) {
        int64_t count = n == 1 ? repeats[0] : -1;
        if ((rc = pt_op_const_ints(c, 2, "axis", &axis, 1, &n)) < 0 || (rc = pt_op_axis(c, "axis", n == 1 ? axis : 0, x->rank, false, &a)) < 0)
            return rc;
        for (int i = 0; i < x->rank; i++)
            repeats[i] = i == a ? count : 1;
        n = x->rank;
    }
    if (n != x->rank)
        return pt_op_fail(c, PT_EINVAL, "%d repeats for an input of rank %d", n, x->rank);
    for (int i = 0; i < n; i++)
        if (repeats[i] < 0 || __builtin_mul_overflow(x->dims[i], repeats[i], &dims[i]))
            return pt_op_fail(c, PT_EINVAL, "repeat %d is %lld", i, (long long)repeats[i]);
    pt_op_set_out(c, 0, x->dtype, n, dims);
    return PT_OK;
}

static int tile_run(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0], *y = c->out[0];
    size_t size = pt_dtype_size(x->dtype);
    int64_t n = pt_tensor_count(y);
    for (int64_t i = 0; i < n; i++) {
        int64_t rest = i, at = 0, stride = 1;
        for (int a = x->rank - 1; a >= 0; a--) {
            at += rest % y->dims[a] % x->dims[a] * stride;
            rest /= y->dims[a];
            stride *= x->dims[a];
        }
        memcpy((char *)y->data + (size_t)i * size, (const char *)x->data + (size_t)at * size, size);
    }
    return PT_OK;
}

const struct pt_op pt_op_tile = {.type = "Tile",
                                 .since = {1, 6, 13},
                                 .min_in = 2,
                                 .max_in = 3,
                                 .max_out = 1,
                                 .types = {PT_TS_FIXED, PT_TS_INDEX},
                                 .infer = tile_infer,
                                 .run = tile_run};
