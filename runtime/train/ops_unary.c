/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_unary.c: dx = dy f'(x) of functions of one element. A derivative is written in double and read from the attributes of f.
 */
#include "runtime/train/ops.h"

#include "runtime/ops/types.h"
#include "runtime/train/unary.h"

#include <math.h>

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double d_relu(double x, const struct pt_unary_grad *p)
{
    (void)p;
    return x > 0;
}
static double d_sigmoid(double y, const struct pt_unary_grad *p)
{
    (void)p;
    return y * (1 - y);
}
static double d_tanh(double y, const struct pt_unary_grad *p)
{
    (void)p;
    return 1 - y * y;
}
static double d_leaky_relu(double x, const struct pt_unary_grad *p)
{
    return x < 0 ? (double)p->a : 1;
}
static double d_erf(double x, const struct pt_unary_grad *p)
{
    (void)p;
    return M_2_SQRTPI * exp(-x * x);
}
static double d_gelu(double x, const struct pt_unary_grad *p)
{
    if (p->a != 0) { /* by tanh */
        double c = sqrt(2 / M_PI), t = tanh(c * (x + 0.044715 * x * x * x));
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x);
    }
    return 0.5 * (1 + erf(x * M_SQRT1_2)) + x * exp(-0.5 * x * x) * M_2_SQRTPI * M_SQRT1_2 / 2;
}
static double d_softplus(double x, const struct pt_unary_grad *p)
{
    (void)p;
    return sigmoid(x);
}
static double d_elu(double x, const struct pt_unary_grad *p)
{
    return x < 0 ? (double)p->a * exp(x) : 1;
}
static double d_hard_sigmoid(double x, const struct pt_unary_grad *p)
{
    double y = (double)p->a * x + (double)p->b;
    return y > 0 && y < 1 ? (double)p->a : 0;
}
static double d_hard_swish(double x, const struct pt_unary_grad *p)
{
    (void)p;
    return x <= -3 ? 0 : x >= 3 ? 1 : (2 * x + 3) / 6;
}
static double d_swish(double x, const struct pt_unary_grad *p)
{
    double a = (double)p->a, s = sigmoid(a * x);
    return s + x * a * s * (1 - s);
}
static double d_clip(double x, const struct pt_unary_grad *p)
{
    return x >= (double)p->a && x <= (double)p->b;
}
static double d_abs(double x, const struct pt_unary_grad *p)
{
    (void)p;
    return x > 0 ? 1 : x < 0 ? -1 : 0;
}
static double d_mish(double x, const struct pt_unary_grad *p)
{
    (void)p;
    double sp = x > 30 ? x : log1p(exp(x)), t = tanh(sp);
    return t + x * (1 - t * t) * sigmoid(x);
}

static int infer_plain(struct pt_op_ctx *c)
{
    if (!pt_dims_equal(c->in[0], c->in[1]))
        return pt_op_fail(c, PT_EINVAL, "%s and %s differ", PT_SHAPE(c->in[0]), PT_SHAPE(c->in[1]));
    return pt_infer_same(c);
}

static int infer_params(struct pt_op_ctx *c, const char *a, float def_a, const char *b, float def_b)
{
    struct pt_unary_grad *p = c->params;
    int rc = a ? pt_attr_float(c, a, def_a, &p->a) : PT_OK;
    if (rc == PT_OK && b)
        rc = pt_attr_float(c, b, def_b, &p->b);
    return rc < 0 ? rc : infer_plain(c);
}

static int infer_alpha_relu(struct pt_op_ctx *c)
{
    return infer_params(c, "alpha", 0.01F, NULL, 0);
}
static int infer_alpha_one(struct pt_op_ctx *c)
{
    return infer_params(c, "alpha", 1, NULL, 0);
}
static int infer_hard(struct pt_op_ctx *c)
{
    return infer_params(c, "alpha", 0.2F, "beta", 0.5F);
}

static int infer_gelu(struct pt_op_ctx *c)
{
    static const char *const kinds[] = {"none", "tanh", NULL};
    int kind, rc = pt_attr_choice(c, "approximate", kinds, 0, &kind);
    ((struct pt_unary_grad *)c->params)->a = (float)kind;
    return rc < 0 ? rc : infer_plain(c);
}

/* Bounds are attributes before opset 11, operands after; as the operands are not always known here, run reads them. */
static int infer_clip(struct pt_op_ctx *c)
{
    return infer_params(c, "min", -INFINITY, "max", INFINITY);
}

static void apply(struct pt_op_ctx *c, double (*f)(double, const struct pt_unary_grad *), const struct pt_unary_grad *p)
{
    double dy[PT_BLOCK], x[PT_BLOCK];
    for (int64_t at = 0, total = pt_tensor_count(c->out[0]); at < total; at += PT_BLOCK) {
        int64_t n = total - at < PT_BLOCK ? total - at : PT_BLOCK;
        pt_load_f64(c->in[0], at, n, dy);
        pt_load_f64(c->in[1], at, n, x);
        for (int64_t i = 0; i < n; i++)
            dy[i] *= f(x[i], p);
        pt_store_f64(c->out[0], at, n, dy);
    }
}

static int run_clip(struct pt_op_ctx *c)
{
    struct pt_unary_grad p = *(const struct pt_unary_grad *)c->params;
    if (pt_op_in(c, 2))
        p.a = (float)pt_elem_f64(c->in[2], 0);
    if (pt_op_in(c, 3))
        p.b = (float)pt_elem_f64(c->in[3], 0);
    apply(c, d_clip, &p);
    return PT_OK;
}

#define ROW(name, op_type, infer_fn)                                                                                                                 \
    static int run_##name(struct pt_op_ctx *c)                                                                                                       \
    {                                                                                                                                                \
        apply(c, d_##name, c->params);                                                                                                               \
        return PT_OK;                                                                                                                                \
    }                                                                                                                                                \
    const struct pt_op pt_grad_##name = {.type = op_type "Grad",                                                                                     \
                                         .since = {1},                                                                                               \
                                         .min_in = 2,                                                                                                \
                                         .max_in = 2,                                                                                                \
                                         .max_out = 1,                                                                                               \
                                         .types = {PT_TS_FLOAT},                                                                                     \
                                         .flags = PT_OP_SAME_TYPE,                                                                                   \
                                         .params_size = sizeof(struct pt_unary_grad),                                                                \
                                         .infer = infer_fn,                                                                                          \
                                         .run = run_##name};

ROW(relu, "Relu", infer_plain)
ROW(sigmoid, "Sigmoid", infer_plain)
ROW(tanh, "Tanh", infer_plain)
ROW(leaky_relu, "LeakyRelu", infer_alpha_relu)
ROW(erf, "Erf", infer_plain)
ROW(gelu, "Gelu", infer_gelu)
ROW(softplus, "Softplus", infer_plain)
ROW(elu, "Elu", infer_alpha_one)
ROW(hard_sigmoid, "HardSigmoid", infer_hard)
ROW(hard_swish, "HardSwish", infer_plain)
ROW(swish, "Swish", infer_alpha_one)
ROW(abs, "Abs", infer_plain)
ROW(mish, "Mish", infer_plain)

const struct pt_op pt_grad_clip = {.type = "ClipGrad",
                                   .since = {1},
                                   .min_in = 2,
                                   .max_in = 4,
                                   .max_out = 1,
                                   .types = {PT_TS_FLOAT},
                                   .flags = PT_OP_SAME_TYPE,
                                   .params_size = sizeof(struct pt_unary_grad),
                                   .infer = infer_clip,
                                   .run = run_clip};
