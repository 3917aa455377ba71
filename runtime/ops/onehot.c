/* SPDX-License-Identifier: Apache-2.0
 *
 * onehot.c: OneHot: indices in [-depth, depth), before opset 11 in [0, depth); others give a row of off-values.
 */
#include "runtime/ops/order.h"

struct onehot {
    int axis;
};

static int onehot_infer(struct pt_op_ctx *c)
{
    struct onehot *p = c->params;
    const struct pt_tensor *x = c->in[0];
    double depth = 0;
    int64_t axis, dims[PT_MAX_RANK];
    int rc;
    if ((rc = pt_attr_int(c, "axis", -1, INT32_MIN, INT32_MAX, &axis)) < 0 ||
        (rc = pt_op_axis(c, "attribute 'axis'", axis, x->rank + 1, false, &p->axis)) < 0 || (rc = pt_op_const_float(c, 1, "depth", &depth)) < 0)
        return rc;
    if (depth < 1 || depth > 0x1p40 || x->rank == PT_MAX_RANK)
        return pt_op_fail(c, PT_EINVAL, "depth %g of indices %s is out of range", depth, PT_SHAPE(x));
    if (pt_tensor_count(c->in[2]) != 2)
        return pt_op_fail(c, PT_EINVAL, "input 2 (values) is %s, must be two values", PT_SHAPE(c->in[2]));
    for (int i = 0; i <= x->rank; i++)
        dims[i] = i < p->axis ? x->dims[i] : i == p->axis ? (int64_t)depth : x->dims[i - 1];
    pt_op_set_out(c, 0, c->in[2]->dtype, x->rank + 1, dims);
    return PT_OK;
}

static int onehot_run(struct pt_op_ctx *c)
{
    const struct onehot *p = c->params;
    const struct pt_tensor *x = c->in[0], *y = c->out[0];
    int64_t depth = y->dims[p->axis], inner = pt_dims_product(y->dims + p->axis + 1, y->rank - p->axis - 1), n = pt_tensor_count(y);
    size_t size = pt_dtype_size(y->dtype);
    const char *values = c->in[2]->data;
    for (int64_t i = 0; i < n; i++) {
        int64_t k = pt_elem_i64(x, i / (inner * depth) * inner + i % inner);
        bool on = (k < 0 && c->node->version >= 11 ? k + depth : k) == i / inner % depth;
        pt_move((char *)y->data + (size_t)i * size, values + on * size, size);
    }
    return PT_OK;
}

const struct pt_op pt_op_one_hot = {.type = "OneHot",
                                    .since = {9, 11},
                                    .min_in = 3,
                                    .max_in = 3,
                                    .max_out = 1,
                                    .types = {PT_TS_NUM | PT_TS_HALF, PT_TS_NUM | PT_TS_HALF, PT_TS_BYTES},
                                    .params_size = sizeof(struct onehot),
                                    .infer = onehot_infer,
                                    .run = onehot_run};
