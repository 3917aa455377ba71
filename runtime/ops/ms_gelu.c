/* SPDX-License-Identifier: Apache-2.0
 *
 * ms_gelu.c: com.microsoft's Gelu, QuickGelu, BiasGelu and FastGelu, which optimisers make of several nodes: one
 * activation of x, or of x plus a bias along the last axis.
 */
#include "runtime/ops/op.h"

#include <math.h>

struct params {
    float alpha;
};
typedef double (*gelu_fn)(double x, double alpha);

static double exact(double x, double alpha)
{
    (void)alpha;
    return 0.5 * x * (1 + erf(x * 0.70710678118654752));
}

static double by_tanh(double x, double alpha)
{
    (void)alpha;
    return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

static double by_sigmoid(double x, double alpha)
{
    return x / (1 + exp(-alpha * x));
}

static int infer(struct pt_op_ctx *c)
{
    struct params *p = c->params;
    const struct pt_tensor *x = c->in[0], *bias = pt_op_in(c, 1);
    int rc = pt_attr_float(c, "alpha", 1.702f, &p->alpha);
    if (rc < 0)
        return rc;
    if (bias && (bias->rank != 1 || x->rank < 1 || bias->dims[0] != x->dims[x->rank - 1]))
        return pt_op_fail(c, PT_EINVAL, "input 1 (bias) is %s, which does not fit the last axis of %s", PT_SHAPE(bias), PT_SHAPE(x));
    return pt_infer_same(c);
}

static int run(struct pt_op_ctx *c, gelu_fn fn)
{
    const struct params *p = c->params;
    const struct pt_tensor *x = c->in[0], *bias = pt_op_in(c, 1);
    int64_t n = pt_tensor_count(x), width = bias ? bias->dims[0] : 1;
    for (int64_t i = 0; i < n; i++) {
        if (x->dtype == PT_DOUBLE) {
            double v = ((const double *)x->data)[i] + (bias ? ((const double *)bias->data)[i % width] : 0);
            ((double *)c->out[0]->data)[i] = fn(v, (double)p->alpha);
        } else {
            float v = ((const float *)x->data)[i] + (bias ? ((const float *)bias->data)[i % width] : 0);
            ((float *)c->out[0]->data)[i] = (float)fn((double)v, (double)p->alpha);
        }
    }
    return PT_OK;
}

static int run_exact(struct pt_op_ctx *c)
{
    return run(c, exact);
}

static int run_tanh(struct pt_op_ctx *c)
{
    return run(c, by_tanh);
}

static int run_sigmoid(struct pt_op_ctx *c)
{
    return run(c, by_sigmoid);
}

#define ROW(sym, op_name, least, most, run_fn)                                                                                                       \
    const struct pt_op pt_op_ms_##sym = {.domain = "com.microsoft",                                                                                  \
                                         .type = op_name,                                                                                            \
                                         .since = {1},                                                                                               \
                                         .min_in = least,                                                                                            \
                                         .max_in = most,                                                                                             \
                                         .max_out = 1,                                                                                               \
                                         .types = {PT_TS_REAL},                                                                                      \
                                         .flags = PT_OP_SAME_TYPE | PT_OP_INPLACE | PT_OP_WIDEN,                                                     \
                                         .params_size = sizeof(struct params),                                                                       \
                                         .infer = infer,                                                                                             \
                                         .run = run_fn};
ROW(gelu, "Gelu", 1, 1, run_exact)
ROW(bias_gelu, "BiasGelu", 2, 2, run_exact)
ROW(fast_gelu, "FastGelu", 1, 2, run_tanh)
ROW(quick_gelu, "QuickGelu", 1, 1, run_sigmoid)
