/* SPDX-License-Identifier: Apache-2.0
 *
 * reshape.c: operators whose output is the input with other dims: Reshape, Flatten, Squeeze, Unsqueeze, Identity. The plan lets the output share the input's memory; run copies only when it could not.
 */
#include "runtime/ops/types.h"

static int view_run(struct pt_op_ctx *c)
{
    if (c->out[0]->data != c->in[0]->data && c->in[0]->size_bytes)
        memcpy(c->out[0]->data, c->in[0]->data, c->in[0]->size_bytes);
    return PT_OK;
}

/* --- Reshape: -1 is what is left, 0 keeps the input's dim (unless allowzero) ------------------------------------------------- */

static int reshape_infer(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0];
    int64_t dims[PT_MAX_RANK], allow_zero, known = 1, count = pt_tensor_count(x);
    int n, rc, open = -1;
    if (c->node->version < 5)
        rc = pt_attr_ints(c, "shape", -1, INT64_MAX, dims, PT_MAX_RANK, &n);
    else
        rc = pt_op_const_ints(c, 1, "shape", dims, PT_MAX_RANK, &n);
    if (rc == PT_OK)
        rc = pt_attr_int(c, "allowzero", 0, 0, 1, &allow_zero);
    if (rc < 0)
        return rc;
    if (n < 0)
        return pt_op_fail(c, PT_EINVAL, "the shape is missing");
    for (int i = 0; i < n; i++) {
        if (dims[i] == 0 && !allow_zero) {
            if (i >= x->rank)
                return pt_op_fail(c, PT_EINVAL, "dim %d of the shape is 0 (keep), but the input is %s", i, PT_SHAPE(x));
            dims[i] = x->dims[i];
        } else if (dims[i] == -1 && open < 0) {
            open = i;
            continue;
        }
        if (dims[i] < 0 || __builtin_mul_overflow(known, dims[i], &known))
            return pt_op_fail(c, PT_EINVAL, "dim %d of the shape is %lld: %s", i, (long long)dims[i],
                              dims[i] == -1  ? "only one may be -1"
                              : dims[i] < -1 ? "must be a size, 0 or -1"
                                             : "too large");
    }
    if (open >= 0 && (known == 0 || count % known))
        return pt_op_fail(c, PT_EINVAL, "%s does not divide into a shape whose other dims have the product %lld", PT_SHAPE(x), (long long)known);
    if (open >= 0)
        dims[open] = count / known;
    else if (known != count)
        return pt_op_fail(c, PT_EINVAL, "%s cannot become %s", PT_SHAPE(x), pt_shape_text(x->dtype, n, dims).s);
    pt_op_set_out(c, 0, x->dtype, n, dims);
    return PT_OK;
}

static int flatten_infer(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0];
    int64_t axis;
    int a, rc = pt_attr_int(c, "axis", 1, INT32_MIN, INT32_MAX, &axis);
    if (rc == PT_OK)
        rc = pt_op_axis(c, "attribute 'axis'", axis, x->rank, true, &a);
    if (rc < 0)
        return rc;
    pt_op_set_out(c, 0, x->dtype, 2, (const int64_t[]){pt_dims_product(x->dims, a), pt_dims_product(x->dims + a, x->rank - a)});
    return PT_OK;
}

/* Axes are an attribute before opset 13, an input from then on. *count -1: not given. */
static int read_axes(struct pt_op_ctx *c, int rank, bool *marked, int *count)
{
    int64_t axes[PT_MAX_RANK];
    int rc = c->node->version < 13 ? pt_attr_ints(c, "axes", INT32_MIN, INT32_MAX, axes, PT_MAX_RANK, count)
                                   : pt_op_const_ints(c, 1, "axes", axes, PT_MAX_RANK, count);
    for (int i = 0; rc == PT_OK && i < *count; i++) {
        int a;
        rc = pt_op_axis(c, "axis", axes[i], rank, false, &a);
        if (rc == PT_OK && marked[a])
            rc = pt_op_fail(c, PT_EINVAL, "axis %d is given twice", a);
        if (rc == PT_OK)
            marked[a] = true;
    }
    return rc;
}

static int squeeze_infer(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0];
    bool drop[PT_MAX_RANK] = {0};
    int64_t dims[PT_MAX_RANK];
    int n, rank = 0, rc = read_axes(c, x->rank, drop, &n);
    if (rc < 0)
        return rc;
    for (int i = 0; i < x->rank; i++) {
        if (drop[i] && x->dims[i] != 1)
            return pt_op_fail(c, PT_EINVAL, "axis %d of %s is not 1", i, PT_SHAPE(x));
        if (n < 0 ? x->dims[i] != 1 : !drop[i])
            dims[rank++] = x->dims[i];
    }
    pt_op_set_out(c, 0, x->dtype, rank, dims);
    return PT_OK;
}

static int unsqueeze_infer(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0];
    bool added[2 * PT_MAX_RANK] = {0};
    int64_t dims[PT_MAX_RANK];
    int n, rc, from = 0;
    const struct pt_onnx_attr *a = pt_node_attr(c->node, "axes");
    const struct pt_tensor *t = pt_op_in(c, 1);
    int64_t count = c->node->version < 13 ? (a && a->type == PT_ATTR_INTS ? (int64_t)a->count : 0) : t ? pt_tensor_count(t) : 0;
    if (x->rank + count > PT_MAX_RANK)
        return pt_op_fail(c, PT_ELIMIT, "rank %lld is over the limit of %d", (long long)(x->rank + count), PT_MAX_RANK);
    int rank = x->rank + (int)count;
    if ((rc = read_axes(c, rank, added, &n)) < 0)
        return rc;
    if (n < 0)
        return pt_op_fail(c, PT_EINVAL, "the axes are missing");
    for (int i = 0; i < rank; i++)
        dims[i] = added[i] ? 1 : x->dims[from++];
    pt_op_set_out(c, 0, x->dtype, rank, dims);
    return PT_OK;
}

#define V(...) {__VA_ARGS__}
#define ROW(sym, op_name, sinces, ins, kinds, infer_fn) \
    const struct pt_op pt_op_##sym = {.type = op_name, .since = sinces, .min_in = 1, .max_in = ins, .max_out = 1, .types = {PT_TS_ANY | (kinds), PT_TS_INDEX}, \
                                      .flags = PT_OP_VIEW, .infer = infer_fn, .run = view_run};
ROW(reshape, "Reshape", V(1, 5, 13, 14, 19, 21, 23, 24, 25), 2, 0, reshape_infer)
ROW(flatten, "Flatten", V(1, 9, 11, 13, 21, 23, 24, 25), 1, 0, flatten_infer)
ROW(squeeze, "Squeeze", V(1, 11, 13, 21, 23, 24, 25), 2, 0, squeeze_infer)
ROW(unsqueeze, "Unsqueeze", V(1, 11, 13, 21, 23, 24, 25), 2, 0, unsqueeze_infer)
ROW(identity, "Identity", V(1, 13, 14, 16, 19, 21, 23, 24, 25), 1, PT_TS_KINDS, pt_infer_same)
