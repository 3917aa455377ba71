/* SPDX-License-Identifier: Apache-2.0
 *
 * trilu.c: Trilu: the upper or lower triangle of the last two axes.
 */
#include "runtime/ops/order.h"

static int trilu_infer(struct pt_op_ctx *c)
{
    int64_t *upper = c->params;
    int rc = pt_attr_int(c, "upper", 1, 0, 1, upper);
    if (rc < 0)
        return rc;
    if (c->in[0]->rank < 2)
        return pt_op_fail(c, PT_EINVAL, "input %s is not a matrix", PT_SHAPE(c->in[0]));
    if (pt_op_in(c, 1) && pt_tensor_count(c->in[1]) != 1)
        return pt_op_fail(c, PT_EINVAL, "input 1 (k) is %s, must be one value", PT_SHAPE(c->in[1]));
    return pt_infer_same(c);
}

static int trilu_run(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0];
    const int64_t *upper = c->params;
    int64_t k = pt_op_in(c, 1) ? pt_elem_i64(c->in[1], 0) : 0, cols = x->dims[x->rank - 1], rows = x->dims[x->rank - 2], n = pt_tensor_count(x);
    size_t size = pt_dtype_size(x->dtype);
    char *y = c->out[0]->data;
    if (y != x->data && n)
        memcpy(y, x->data, x->size_bytes);
    for (int64_t at = 0; at < n; at++) {
        int64_t j = at % cols, i = at / cols % rows, d = j - i;
        if (*upper ? d < k : d > k)
            memset(y + (size_t)at * size, 0, size);
    }
    return PT_OK;
}

const struct pt_op pt_op_trilu = {.type = "Trilu",
                                  .since = {14},
                                  .min_in = 1,
                                  .max_in = 2,
                                  .max_out = 1,
                                  .types = {PT_TS_BYTES, PT_T(PT_INT64)},
                                  .flags = PT_OP_INPLACE,
                                  .params_size = sizeof(int64_t),
                                  .infer = trilu_infer,
                                  .run = trilu_run};
