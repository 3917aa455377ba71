/* SPDX-License-Identifier: Apache-2.0
 *
 * concat.c: Concat along an axis (default 1 before opset 4, required from then on) and its inverse, Split.
 */
#include "runtime/ops/concat.h"

#include "runtime/ops/types.h"

static int concat_infer(struct pt_op_ctx *c)
{
    struct pt_concat_params *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int64_t axis, dims[PT_MAX_RANK];
    int rc = pt_attr_int(c, "axis", 1, INT32_MIN, INT32_MAX, &axis);
    if (rc < 0)
        return rc;
    if (c->node->version >= 4 && !pt_node_attr(c->node, "axis"))
        return pt_op_fail(c, PT_EINVAL, "attribute 'axis' is missing");
    if ((rc = pt_op_axis(c, "attribute 'axis'", axis, x->rank, false, &p->axis)) < 0)
        return rc;
    for (int i = 0; i < x->rank; i++)
        dims[i] = x->dims[i];
    for (int k = 1; k < c->in_count; k++) {
        const struct pt_tensor *t = c->in[k];
        if (!t)
            return pt_op_fail(c, PT_EINVAL, "input %d is missing", k);
        bool fits = t->rank == x->rank;
        for (int i = 0; fits && i < x->rank; i++)
            fits = i == p->axis || t->dims[i] == x->dims[i];
        if (!fits || __builtin_add_overflow(dims[p->axis], t->dims[p->axis], &dims[p->axis]))
            return pt_op_fail(c, PT_EINVAL, "input %d is %s, which does not join %s along axis %d", k, PT_SHAPE(t), PT_SHAPE(x), p->axis);
    }
    pt_op_set_out(c, 0, x->dtype, x->rank, dims);
    return PT_OK;
}

static int concat_run(struct pt_op_ctx *c)
{
    const struct pt_concat_params *p = c->params;
    const struct pt_tensor *y = c->out[0];
    int64_t outer = pt_dims_product(y->dims, p->axis);
    size_t inner = (size_t)pt_dims_product(y->dims + p->axis + 1, y->rank - p->axis - 1) * pt_dtype_size(y->dtype);
    size_t row = (size_t)y->dims[p->axis] * inner, at = 0;
    for (int k = 0; k < c->in_count; k++) {
        size_t part = (size_t)c->in[k]->dims[p->axis] * inner;
        for (int64_t o = 0; part && o < outer; o++)
            memcpy((char *)y->data + (size_t)o * row + at, (const char *)c->in[k]->data + (size_t)o * part, part);
        at += part;
    }
    return PT_OK;
}

const struct pt_op pt_op_concat = {.type = "Concat",
                                   .since = {1, 4, 11, 13},
                                   .min_in = 1,
                                   .max_in = PT_OP_VARIADIC,
                                   .max_out = 1,
                                   .types = {PT_TS_BYTES},
                                   .flags = PT_OP_SAME_TYPE,
                                   .params_size = sizeof(struct pt_concat_params),
                                   .infer = concat_infer,
                                   .run = concat_run};

/* --- Split: sizes are an attribute (opset 1 also an input) until 12, an input from 13 on; without sizes the parts are equal, from 18 on the last
 * one may be smaller. --------------------------------------------------------------------------------------------------------- */

static int split_sizes(struct pt_op_ctx *c, int64_t **given, int *n)
{
    const struct pt_onnx_attr *a = pt_node_attr(c->node, "split");
    const struct pt_tensor *t = pt_op_in(c, 1);
    *n = -1;
    if (c->node->version < 13 && a) {
        if (a->type != PT_ATTR_INTS)
            return pt_op_fail(c, PT_EINVAL, "attribute 'split' is not a list of integers");
        *given = a->ints;
        *n = (int)(a->count > INT32_MAX ? INT32_MAX : a->count);
    } else if (t) {
        if (!t->data)
            return pt_op_needs_data(c, 1, "split");
        *given = NULL;
        *n = (int)pt_tensor_count(t);
    }
    if (*n >= 0 && *n != c->node->output_count)
        return pt_op_fail(c, PT_EINVAL, "%d sizes for %d outputs", *n, c->node->output_count);
    return PT_OK;
}

static int split_infer(struct pt_op_ctx *c)
{
    struct pt_concat_params *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int64_t axis, num, dims[PT_MAX_RANK], *given = NULL, sum = 0;
    int n, rc;
    if ((rc = pt_attr_int(c, "axis", 0, INT32_MIN, INT32_MAX, &axis)) < 0 ||
        (rc = pt_op_axis(c, "attribute 'axis'", axis, x->rank, false, &p->axis)) < 0 ||
        (rc = pt_attr_int(c, "num_outputs", 0, 1, INT32_MAX, &num)) < 0 || (rc = split_sizes(c, &given, &n)) < 0)
        return rc;
    int64_t parts = c->node->output_count, dim = x->dims[p->axis], part = (dim + parts - 1) / parts;
    if (num && num != parts)
        return pt_op_fail(c, PT_EINVAL, "attribute 'num_outputs' = %lld, but the node has %lld outputs", (long long)num, (long long)parts);
    if (n < 0 && dim % parts && c->node->version < 18)
        return pt_op_fail(c, PT_EINVAL, "axis %d of %s does not divide into %lld equal parts", p->axis, PT_SHAPE(x), (long long)parts);
    for (int i = 0; i < x->rank; i++)
        dims[i] = x->dims[i];
    for (int64_t k = 0; k < parts; k++) {
        int64_t left = dim - sum, size = n < 0 ? (part < left ? part : left) : given ? given[k] : pt_elem_i64(c->in[1], k);
        if (size < 0 || size > left)
            return pt_op_fail(c, PT_EINVAL, "part %lld has size %lld, but %lld is left of axis %d", (long long)k, (long long)size, (long long)left,
                              p->axis);
        sum += size;
        dims[p->axis] = size;
        pt_op_set_out(c, (int)k, x->dtype, x->rank, dims);
    }
    if (sum != dim)
        return pt_op_fail(c, PT_EINVAL, "the parts have the sum %lld, axis %d of the input has %lld", (long long)sum, p->axis, (long long)dim);
    return PT_OK;
}

static int split_run(struct pt_op_ctx *c)
{
    const struct pt_concat_params *p = c->params;
    const struct pt_tensor *x = c->in[0];
    const struct pt_onnx_attr *a = c->node->version < 13 ? pt_node_attr(c->node, "split") : NULL;
    int64_t outer = pt_dims_product(x->dims, p->axis), parts = c->node->output_count, even = (x->dims[p->axis] + parts - 1) / parts;
    size_t inner = (size_t)pt_dims_product(x->dims + p->axis + 1, x->rank - p->axis - 1) * pt_dtype_size(x->dtype);
    size_t row = (size_t)x->dims[p->axis] * inner, at = 0;
    for (int k = 0; k < parts; k++) {
        int64_t size = c->out[k] ? c->out[k]->dims[p->axis] : a ? a->ints[k] : pt_op_in(c, 1) ? pt_elem_i64(c->in[1], k) : even;
        size_t part = (size_t)size * inner;
        for (int64_t o = 0; c->out[k] && part && o < outer; o++)
            memcpy((char *)c->out[k]->data + (size_t)o * part, (const char *)x->data + (size_t)o * row + at, part);
        at += part;
    }
    return PT_OK;
}

const struct pt_op pt_op_split = {.type = "Split",
                                  .since = {1, 2, 11, 13, 18},
                                  .min_in = 1,
                                  .max_in = 2,
                                  .max_out = PT_OP_VARIADIC,
                                  .types = {PT_TS_BYTES},
                                  .params_size = sizeof(struct pt_concat_params),
                                  .infer = split_infer,
                                  .run = split_run};
