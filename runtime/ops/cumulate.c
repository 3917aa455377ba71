/* SPDX-License-Identifier: Apache-2.0
 *
 * cumulate.c: CumSum and CumProd along an axis that is an input. Integers wrap around.
 */
#include "runtime/ops/op.h"

struct cumulate {
    int64_t outer, n, inner, exclusive, reverse;
};

static int cumulate_infer(struct pt_op_ctx *c)
{
    struct cumulate *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int64_t axis;
    int n, a, rc;
    if ((rc = pt_attr_int(c, "exclusive", 0, 0, 1, &p->exclusive)) < 0 || (rc = pt_attr_int(c, "reverse", 0, 0, 1, &p->reverse)) < 0 ||
        (rc = pt_op_const_ints(c, 1, "axis", &axis, 1, &n)) < 0)
        return rc;
    if (n != 1)
        return pt_op_fail(c, PT_EINVAL, "input 1 (axis) must be one value");
    if ((rc = pt_op_axis(c, "axis", axis, x->rank, false, &a)) < 0)
        return rc;
    p->outer = pt_dims_product(x->dims, a);
    p->n = x->dims[a];
    p->inner = pt_dims_product(x->dims + a + 1, x->rank - a - 1);
    return pt_infer_same(c);
}

/* Row k follows from row k - 1, so memory is walked in order whatever the axis. */
#define SCAN(id, T, U, s)                                                                                                                            \
    static void scan_##s(const struct cumulate *p, bool product, const T *x, T *y)                                                                   \
    {                                                                                                                                                \
        int64_t step = p->reverse ? -p->inner : p->inner, at = p->reverse ? (p->n - 1) * p->inner : 0;                                               \
        for (int64_t k = 0; k < p->n; k++, at += step) {                                                                                             \
            const T *in = x + (p->exclusive && k ? at - step : at);                                                                                       \
            for (int64_t i = 0; i < p->inner; i++)                                                                                                   \
                if (k == 0)                                                                                                                          \
                    y[at + i] = p->exclusive ? (T)product : in[i];                                                                                   \
                else                                                                                                                                 \
                    y[at + i] = product ? (T)((U)y[at - step + i] * (U)in[i]) : (T)((U)y[at - step + i] + (U)in[i]);                                 \
        }                                                                                                                                            \
    }
#define ROWS(X)                                                                                                                                      \
    X(PT_INT32, int32_t, uint32_t, i32)                                                                                                              \
    X(PT_INT64, int64_t, uint64_t, i64)                                                                                                              \
    X(PT_UINT32, uint32_t, uint32_t, u32) X(PT_UINT64, uint64_t, uint64_t, u64) X(PT_FLOAT, float, float, f32) X(PT_DOUBLE, double, double, f64)
ROWS(SCAN)

static void cumulate(struct pt_op_ctx *c, bool product)
{
    const struct cumulate *p = c->params;
    for (int64_t o = 0; p->n && p->inner && o < p->outer; o++) {
        int64_t base = o * p->n * p->inner;
        switch (c->in[0]->dtype) {
#define CASE(id, T, U, s)                                                                                                                            \
    case id:                                                                                                                                         \
        scan_##s(p, product, (const T *)c->in[0]->data + base, (T *)c->out[0]->data + base);                                                         \
        break;
            ROWS(CASE)
        default:
            break;
        }
    }
}

static int cumsum_run(struct pt_op_ctx *c)
{
    cumulate(c, false);
    return PT_OK;
}

static int cumprod_run(struct pt_op_ctx *c)
{
    cumulate(c, true);
    return PT_OK;
}

#define ROW(sym, op_name, ...)                                                                                                                       \
    const struct pt_op pt_op_##sym = {.type = op_name,                                                                                               \
                                      .since = {__VA_ARGS__},                                                                                        \
                                      .min_in = 2,                                                                                                   \
                                      .max_in = 2,                                                                                                   \
                                      .max_out = 1,                                                                                                  \
                                      .types = {PT_TS_INDEX | PT_T(PT_UINT32) | PT_T(PT_UINT64) | PT_TS_REAL, PT_TS_INDEX},                          \
                                      .flags = PT_OP_WIDEN,                                                                                          \
                                      .params_size = sizeof(struct cumulate),                                                                        \
                                      .infer = cumulate_infer,                                                                                       \
                                      .run = sym##_run};
ROW(cumsum, "CumSum", 11, 14)
ROW(cumprod, "CumProd", 26)
