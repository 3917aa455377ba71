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

/* Row k of the axis against the best so far, so that memory is walked in order: y holds indices. */
#define CHOOSE(id, T, U, s)                                                                                                                          \
    static void choose_##s(const struct arg *p, const T *x, int64_t *y)                                                                              \
    {                                                                                                                                                \
        bool last = p->last != 0;                                                                                                                    \
        for (int64_t i = 0; i < p->inner; i++)                                                                                                       \
            y[i] = 0;                                                                                                                                \
        for (int64_t k = 1; k < p->n; k++)                                                                                                           \
            for (int64_t i = 0; i < p->inner; i++) {                                                                                                 \
                T v = x[k * p->inner + i], best = x[y[i] * p->inner + i];                                                                            \
                if (v == best ? last : p->min ? v < best : v > best)                                                                                 \
                    y[i] = k;                                                                                                                        \
            }                                                                                                                                        \
    }
PT_NUM_ROWS(CHOOSE)

static int arg_run(struct pt_op_ctx *c)
{
    const struct arg *p = c->params;
    int64_t outer = p->inner ? p->outer : 0;
    for (int64_t o = 0; o < outer; o++) {
        int64_t *y = (int64_t *)c->out[0]->data + o * p->inner, base = o * p->n * p->inner;
        switch (c->in[0]->dtype) {
#define CASE(id, T, U, s)                                                                                                                            \
    case id:                                                                                                                                         \
        choose_##s(p, (const T *)c->in[0]->data + base, y);                                                                                          \
        break;
            PT_NUM_ROWS(CASE)
        default:
            break;
        }
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
