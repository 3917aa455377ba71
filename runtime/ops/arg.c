/* SPDX-License-Identifier: Apache-2.0
 *
 * arg.c: ArgMax and ArgMin along one axis; the first of equals, or the last with select_last_index.
 */
#include "runtime/ops/op.h"

struct arg {
    int64_t outer, n, inner, last;
    bool min;
};

static int arg_infer(struct pt_op_ctx *c, bool min)
{
    struct arg *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int64_t axis, keep, dims[PT_MAX_RANK];
    int a, rank = 0, rc;
    if ((rc = pt_attr_int(c, "axis", 0, INT32_MIN, INT32_MAX, &axis)) < 0 || (rc = pt_attr_int(c, "keepdims", 1, 0, 1, &keep)) < 0 ||
        (rc = pt_attr_int(c, "select_last_index", 0, 0, 1, &p->last)) < 0 || (rc = pt_op_axis(c, "attribute 'axis'", axis, x->rank, false, &a)) < 0)
        return rc;
    for (int i = 0; i < x->rank; i++)
        if (i != a || keep)
            dims[rank++] = i == a ? 1 : x->dims[i];
    p->min = min;
    p->outer = pt_dims_product(x->dims, a);
    p->n = x->dims[a];
    p->inner = pt_dims_product(x->dims + a + 1, x->rank - a - 1);
    if (p->n == 0 && p->outer && p->inner)
        return pt_op_fail(c, PT_EINVAL, "input %s has nothing to choose from along axis %d", PT_SHAPE(x), a);
    pt_op_set_out(c, 0, PT_INT64, rank, dims);
    return PT_OK;
}

/* Compares as double; 64-bit integers as integers. */
static bool better(const struct pt_tensor *x, int64_t a, int64_t b, bool min, bool last)
{
    if (PT_TS_ALLINT & PT_T(x->dtype)) {
        int64_t va = pt_elem_i64(x, a), vb = pt_elem_i64(x, b);
        bool lt = x->dtype == PT_UINT64 ? (uint64_t)va < (uint64_t)vb : va < vb;
        return va == vb ? last : lt == min;
    }
    double va = pt_elem_f64(x, a), vb = pt_elem_f64(x, b);
    return va == vb ? last : min ? va < vb : va > vb;
}

static int arg_run(struct pt_op_ctx *c)
{
    const struct arg *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int64_t *y = c->out[0]->data;
    for (int64_t o = 0; o < p->outer; o++)
        for (int64_t i = 0; i < p->inner; i++) {
            int64_t base = o * p->n * p->inner + i, best = 0;
            for (int64_t k = 1; k < p->n; k++)
                if (better(x, base + k * p->inner, base + best * p->inner, p->min, p->last != 0))
                    best = k;
            *y++ = best;
        }
    return PT_OK;
}

static int arg_max_infer(struct pt_op_ctx *c)
{
    return arg_infer(c, false);
}

static int arg_min_infer(struct pt_op_ctx *c)
{
    return arg_infer(c, true);
}

const struct pt_op pt_op_arg_max = {.type = "ArgMax",
                                    .since = {1, 11, 12, 13},
                                    .min_in = 1,
                                    .max_in = 1,
                                    .max_out = 1,
                                    .types = {PT_TS_NUM | PT_TS_HALF},
                                    .flags = PT_OP_WIDEN,
                                    .params_size = sizeof(struct arg),
                                    .infer = arg_max_infer,
                                    .run = arg_run};
const struct pt_op pt_op_arg_min = {.type = "ArgMin",
                                    .since = {1, 11, 12, 13},
                                    .min_in = 1,
                                    .max_in = 1,
                                    .max_out = 1,
                                    .types = {PT_TS_NUM | PT_TS_HALF},
                                    .flags = PT_OP_WIDEN,
                                    .params_size = sizeof(struct arg),
                                    .infer = arg_min_infer,
                                    .run = arg_run};
