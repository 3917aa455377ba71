/* SPDX-License-Identifier: Apache-2.0
 *
 * gather.c: Gather, GatherElements and GatherND. Indices may be negative; one outside the axis is an error that names it.
 */
#include "runtime/ops/order.h"

struct gather {
    int axis;
    int64_t batch_dims;
};

static int axis_of(struct pt_op_ctx *c)
{
    struct gather *p = c->params;
    int64_t axis;
    int rc = pt_attr_int(c, "axis", 0, INT32_MIN, INT32_MAX, &axis);
    return rc < 0 ? rc : pt_op_axis(c, "attribute 'axis'", axis, c->in[0]->rank, false, &p->axis);
}

static int gather_infer(struct pt_op_ctx *c)
{
    const struct gather *p = c->params;
    const struct pt_tensor *x = c->in[0], *ix = c->in[1];
    int64_t dims[PT_MAX_RANK];
    int rank = 0, rc = axis_of(c);
    if (rc < 0)
        return rc;
    if (x->rank + ix->rank - 1 > PT_MAX_RANK)
        return pt_op_fail(c, PT_ELIMIT, "the result of %s and indices %s is over rank %d", PT_SHAPE(x), PT_SHAPE(ix), PT_MAX_RANK);
    for (int i = 0; i < p->axis; i++)
        dims[rank++] = x->dims[i];
    for (int i = 0; i < ix->rank; i++)
        dims[rank++] = ix->dims[i];
    for (int i = p->axis + 1; i < x->rank; i++)
        dims[rank++] = x->dims[i];
    pt_op_set_out(c, 0, x->dtype, rank, dims);
    return PT_OK;
}

static int gather_run(struct pt_op_ctx *c)
{
    const struct gather *p = c->params;
    const struct pt_tensor *x = c->in[0], *ix = c->in[1];
    int64_t outer = pt_dims_product(x->dims, p->axis), dim = x->dims[p->axis], n = pt_tensor_count(ix), k;
    size_t inner = (size_t)pt_dims_product(x->dims + p->axis + 1, x->rank - p->axis - 1) * pt_dtype_size(x->dtype);
    char *y = c->out[0]->data;
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < n; i++, y += inner) {
            int rc = pt_op_index(c, 1, i, dim, p->axis, &k);
            if (rc < 0)
                return rc;
            if (inner)
                pt_move(y, (const char *)x->data + (size_t)(o * dim + k) * inner, inner);
        }
    return PT_OK;
}

const struct pt_op pt_op_gather = {.type = "Gather",
                                   .since = {1, 11, 13},
                                   .min_in = 2,
                                   .max_in = 2,
                                   .max_out = 1,
                                   .types = {PT_TS_BYTES, PT_TS_INDEX},
                                   .params_size = sizeof(struct gather),
                                   .infer = gather_infer,
                                   .run = gather_run};

/* --- GatherElements: along the axis as the index says, along the others in step with it --------------------------------------------- */

static int gather_elements_infer(struct pt_op_ctx *c)
{
    const struct gather *p = c->params;
    const struct pt_tensor *x = c->in[0], *ix = c->in[1];
    int rc = axis_of(c);
    if (rc < 0)
        return rc;
    bool fits = ix->rank == x->rank;
    for (int i = 0; fits && i < x->rank; i++)
        fits = i == p->axis || ix->dims[i] <= x->dims[i];
    if (!fits)
        return pt_op_fail(c, PT_EINVAL, "indices %s do not fit input %s along axis %d", PT_SHAPE(ix), PT_SHAPE(x), p->axis);
    pt_op_set_out(c, 0, x->dtype, ix->rank, ix->dims);
    return PT_OK;
}

static int gather_elements_run(struct pt_op_ctx *c)
{
    const struct gather *p = c->params;
    const struct pt_tensor *x = c->in[0], *ix = c->in[1];
    size_t size = pt_dtype_size(x->dtype);
    char *y = c->out[0]->data;
    struct pt_walk_elements w;
    for (pt_walk_elements_init(&w, ix, x, p->axis); w.i < w.n; pt_walk_elements_next(&w), y += size) {
        int64_t k;
        int rc = pt_op_index(c, 1, w.i, x->dims[p->axis], p->axis, &k);
        if (rc < 0)
            return rc;
        pt_move(y, (const char *)x->data + (size_t)(w.at + k * w.stride) * size, size);
    }
    return PT_OK;
}

const struct pt_op pt_op_gather_elements = {.type = "GatherElements",
                                            .since = {11, 13},
                                            .min_in = 2,
                                            .max_in = 2,
                                            .max_out = 1,
                                            .types = {PT_TS_BYTES, PT_TS_INDEX},
                                            .params_size = sizeof(struct gather),
                                            .infer = gather_elements_infer,
                                            .run = gather_elements_run};

/* --- GatherND: the last axis of the indices holds coordinates --------------------------------------------------------------------- */

static int gather_nd_infer(struct pt_op_ctx *c)
{
    struct gather *p = c->params;
    const struct pt_tensor *x = c->in[0], *ix = c->in[1];
    int64_t dims[PT_MAX_RANK];
    int rank = 0, rc = c->node->version < 12 ? PT_OK : pt_attr_int(c, "batch_dims", 0, 0, PT_MAX_RANK, &p->batch_dims);
    if (rc < 0)
        return rc;
    int b = (int)p->batch_dims;
    int64_t depth = ix->rank ? ix->dims[ix->rank - 1] : 0;
    if (ix->rank < 1 || b >= ix->rank || b > x->rank || depth < 1 || depth > x->rank - b)
        return pt_op_fail(c, PT_EINVAL, "indices %s with batch_dims %d do not fit input %s", PT_SHAPE(ix), b, PT_SHAPE(x));
    for (int i = 0; i < b; i++)
        if (x->dims[i] != ix->dims[i])
            return pt_op_fail(c, PT_EINVAL, "batch axis %d differs between input %s and indices %s", i, PT_SHAPE(x), PT_SHAPE(ix));
    int tail = x->rank - b - (int)depth;
    if (ix->rank - 1 + tail > PT_MAX_RANK)
        return pt_op_fail(c, PT_ELIMIT, "the result is over rank %d", PT_MAX_RANK);
    for (int i = 0; i < ix->rank - 1; i++)
        dims[rank++] = ix->dims[i];
    for (int i = x->rank - tail; i < x->rank; i++)
        dims[rank++] = x->dims[i];
    pt_op_set_out(c, 0, x->dtype, rank, dims);
    return PT_OK;
}

static int gather_nd_run(struct pt_op_ctx *c)
{
    const struct gather *p = c->params;
    const struct pt_tensor *x = c->in[0], *ix = c->in[1];
    int b = (int)p->batch_dims, depth = (int)ix->dims[ix->rank - 1];
    int64_t batches = pt_dims_product(ix->dims, b), per_batch = pt_dims_product(ix->dims + b, ix->rank - 1 - b), at;
    size_t inner = (size_t)pt_dims_product(x->dims + b + depth, x->rank - b - depth) * pt_dtype_size(x->dtype);
    int64_t slices = pt_dims_product(x->dims + b, depth);
    char *y = c->out[0]->data;
    for (int64_t i = 0; i < batches * per_batch; i++, y += inner) {
        int rc = pt_op_coordinates(c, 1, i, depth, x->dims + b, &at);
        if (rc < 0)
            return rc;
        if (inner)
            pt_move(y, (const char *)x->data + (size_t)(i / per_batch * slices + at) * inner, inner);
    }
    return PT_OK;
}

const struct pt_op pt_op_gather_nd = {.type = "GatherND",
                                      .since = {11, 12, 13},
                                      .min_in = 2,
                                      .max_in = 2,
                                      .max_out = 1,
                                      .types = {PT_TS_BYTES, PT_T(PT_INT64)},
                                      .params_size = sizeof(struct gather),
                                      .infer = gather_nd_infer,
                                      .run = gather_nd_run};
