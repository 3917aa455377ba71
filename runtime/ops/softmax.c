/* SPDX-License-Identifier: Apache-2.0
 *
 * softmax.c: Softmax, LogSoftmax and Hardmax. Before opset 13 the input was seen as a matrix cut at `axis` (default 1), from then on they
 * work along one axis (default -1).
 */
#include "runtime/ops/softmax.h"

#include <math.h>

static int softmax_infer(struct pt_op_ctx *c)
{
    struct pt_softmax_params *p = c->params;
    const struct pt_tensor *x = c->in[0];
    bool old = c->node->version < 13;
    int64_t axis;
    int a, rc = pt_attr_int(c, "axis", old ? 1 : -1, INT32_MIN, INT32_MAX, &axis);
    if (rc == PT_OK)
        rc = pt_op_axis(c, "attribute 'axis'", axis, x->rank, old, &a);
    if (rc < 0)
        return rc;
    p->outer = pt_dims_product(x->dims, a);
    p->n = old ? pt_dims_product(x->dims + a, x->rank - a) : x->dims[a];
    p->inner = old ? 1 : pt_dims_product(x->dims + a + 1, x->rank - a - 1);
    return pt_infer_same(c);
}

enum { SOFT, LOG, HARD };

#define ROWS(T, s) \
    static void row_##s(const T *x, T *y, int64_t n, int64_t step, int kind) \
    { \
        double max = -INFINITY, sum = 0; \
        int64_t best = 0; \
        for (int64_t i = 0; i < n; i++) { \
            double v = (double)x[i * step]; \
            if (v > max || (v != v && max == max)) { \
                max = v; \
                best = i; \
            } \
        } \
        if (kind == HARD) { \
            for (int64_t i = 0; i < n; i++) \
                y[i * step] = i == best; \
            return; \
        } \
        for (int64_t i = 0; i < n; i++) \
            sum += exp((double)x[i * step] - max); \
        for (int64_t i = 0; i < n; i++) { \
            double d = (double)x[i * step] - max; \
            y[i * step] = (T)(kind == LOG ? d - log(sum) : exp(d) / sum); \
        } \
    }
ROWS(float, f32)
ROWS(double, f64)

static int run(struct pt_op_ctx *c, int kind)
{
    const struct pt_softmax_params *p = c->params;
    const struct pt_tensor *x = c->in[0];
    if (pt_tensor_count(x) == 0)
        return PT_OK;
    for (int64_t o = 0; o < p->outer; o++)
        for (int64_t i = 0; i < p->inner; i++) {
            int64_t at = o * p->n * p->inner + i;
            if (x->dtype == PT_FLOAT)
                row_f32((const float *)x->data + at, (float *)c->out[0]->data + at, p->n, p->inner, kind);
            else
                row_f64((const double *)x->data + at, (double *)c->out[0]->data + at, p->n, p->inner, kind);
        }
    return PT_OK;
}

static int softmax_run(struct pt_op_ctx *c)
{
    return run(c, SOFT);
}

static int log_softmax_run(struct pt_op_ctx *c)
{
    return run(c, LOG);
}

static int hardmax_run(struct pt_op_ctx *c)
{
    return run(c, HARD);
}

#define ROW(sym, op_name) \
    const struct pt_op pt_op_##sym = {.type = op_name, .since = {1, 11, 13}, .min_in = 1, .max_in = 1, .max_out = 1, .types = {PT_TS_REAL}, \
                                      .flags = PT_OP_INPLACE | PT_OP_WIDEN, .params_size = sizeof(struct pt_softmax_params), .infer = softmax_infer, \
                                      .run = sym##_run};
ROW(softmax, "Softmax")
ROW(log_softmax, "LogSoftmax")
ROW(hardmax, "Hardmax")
