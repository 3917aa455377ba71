/* SPDX-License-Identifier: Apache-2.0
 *
 * ops.h: operators that only gradients use. They have no name in ONNX and no row in the operator table: a file cannot ask for them. What runs here
 * is the definition, in the element type of the operands, float32 or float64; lower.h has the fast steps for float32.
 */
#ifndef PT_RUNTIME_TRAIN_OPS_H
#define PT_RUNTIME_TRAIN_OPS_H

#include "runtime/ops/op.h"

/* A function of both element types: `real` in the body is the one or the other. */
#define PT_REALS(name, args, ...)                                                                                                                    \
    static void name##_f32 args                                                                                                                      \
    {                                                                                                                                                \
        typedef float real;                                                                                                                          \
        __VA_ARGS__                                                                                                                                  \
    }                                                                                                                                                \
    static void name##_f64 args                                                                                                                      \
    {                                                                                                                                                \
        typedef double real;                                                                                                                         \
        __VA_ARGS__                                                                                                                                  \
    }
/* Calls the one of the type of the operator's first operand. */
#define PT_REAL_CALL(c, name, ...) ((c)->in[0]->dtype == PT_FLOAT ? name##_f32(__VA_ARGS__) : name##_f64(__VA_ARGS__))

/* ops_basic.c */
extern const struct pt_op pt_grad_ones_like;   /* x: ones of its shape */
extern const struct pt_op pt_grad_sum_to;      /* x, like: x summed to the shape of like, which broadcasts to x's */
extern const struct pt_op pt_grad_shape_like;  /* x, like: x with the dims of like */
extern const struct pt_op pt_grad_places_like; /* x: int64 of its shape, 0, 1, 2, ... in row-major order */
extern const struct pt_op pt_grad_scatter_sum; /* dy, places, like: each dy added at its place of a zeroed tensor like like; place -1: nowhere */
/* dy, like, axes (or the attribute; or all from the attribute `from` on): what ReduceSum and, with mean = 1, ReduceMean of like took away */
extern const struct pt_op pt_grad_spread;
extern const struct pt_op
    pt_grad_part; /* dy, x0, x1, ...: what Concat along `axis` took from x of number `part`; the x are looked at for their dims */
extern const struct pt_op pt_grad_share; /* dy, x, axes (or the attribute), y: of ReduceMax and ReduceMin: to those of x that are y, in equal parts */
extern const struct pt_op pt_grad_product; /* a, b, like: alpha op(a) op(b) summed to the shape of like; attributes transA, transB, alpha */
extern const struct pt_op pt_grad_rows;    /* dy, indices, like: rows of dy added along axis 0 of a zeroed tensor: of Gather from a table */
/* ops_unary.c: dy, x: dy f'(x), attributes as the function's; of relu, sigmoid and tanh dy, y */
#define PT_GRAD_UNARY(X)                                                                                                                             \
    X(relu)                                                                                                                                          \
    X(sigmoid) X(tanh) X(leaky_relu) X(erf) X(gelu) X(softplus) X(elu) X(hard_sigmoid) X(hard_swish) X(swish) X(clip) X(abs) X(mish)
#define PT_GRAD_DECLARE(name) extern const struct pt_op pt_grad_##name;
PT_GRAD_UNARY(PT_GRAD_DECLARE)
/* ops_conv.c; attributes as Conv's and the pools' */
extern const struct pt_op pt_grad_conv_image;   /* dy, w, like x */
extern const struct pt_op pt_grad_conv_weights; /* dy, x, like w */
extern const struct pt_op pt_grad_channels;     /* dy: summed over all axes but 1: of a bias */
extern const struct pt_op pt_grad_max_pool;     /* dy, x, y */
extern const struct pt_op pt_grad_average_pool; /* dy, like x */
/* ops_resize.c; attributes as Resize's */
extern const struct pt_op pt_grad_resize; /* dy, x, further operands of Resize: its derivative but in mode nearest */
/* ops_quant.c */
extern const struct pt_op pt_grad_quantize; /* x, scale, zero point, dy, q: dy where QuantizeLinear of x did not saturate, else 0 */
/* ops_norm.c */
extern const struct pt_op pt_grad_batchnorm;    /* dy, x, scale, mean, variance -> dx, dscale, dbias; with training_mode those of the batch */
extern const struct pt_op pt_grad_layernorm;    /* dy, x, scale -> dx, dscale, dbias */
extern const struct pt_op pt_grad_instancenorm; /* dy, x, scale -> dx, dscale, dbias */
extern const struct pt_op pt_grad_softmax;      /* dy, y */
extern const struct pt_op pt_grad_log_softmax;  /* dy, y */

#endif
