/* SPDX-License-Identifier: Apache-2.0
 *
 * rules_nn.c: derivatives of products, convolutions, pools, normalisations and softmax.
 */
#include "runtime/train/rules.h"

#include "runtime/ops/table.h"

/* alpha op(a) op(b), summed to the shape of like */
static int product(struct pt_grad *d, int a, bool trans_a, int b, bool trans_b, float alpha, int like)
{
    int v = pt_grad_emit(d, &pt_grad_product, a, b, like);
    v = trans_a ? pt_grad_set_int(d, v, "transA", 1) : v;
    v = trans_b ? pt_grad_set_int(d, v, "transB", 1) : v;
    return alpha != 1 ? pt_grad_set_float(d, v, "alpha", alpha) : v;
}

static int d_matmul(struct pt_grad *d, struct pt_grad_site *s)
{
    int a = s->n.inputs[0], b = s->n.inputs[1];
    return s->k == 0 ? product(d, s->dy, false, b, true, 1, a) : product(d, a, true, s->dy, false, 1, b);
}

/* y = alpha op(a) op(b) + beta c */
static int d_gemm(struct pt_grad *d, struct pt_grad_site *s)
{
    const struct pt_onnx_attr *ta = pt_node_attr(&s->n, "transA"), *tb = pt_node_attr(&s->n, "transB");
    const struct pt_onnx_attr *al = pt_node_attr(&s->n, "alpha"), *be = pt_node_attr(&s->n, "beta");
    bool trans_a = ta && ta->i, trans_b = tb && tb->i;
    float alpha = al ? al->f : 1, beta = be ? be->f : 1;
    int a = s->n.inputs[0], b = s->n.inputs[1];
    if (s->k == 0 && trans_a)
        return product(d, b, trans_b, s->dy, true, alpha, a);
    if (s->k == 0)
        return product(d, s->dy, false, b, !trans_b, alpha, a);
    if (s->k == 1 && trans_b)
        return product(d, s->dy, true, a, trans_a, alpha, b);
    if (s->k == 1)
        return product(d, a, !trans_a, s->dy, false, alpha, b);
    int part = s->dy;
    if (beta != 1)
        part = pt_grad_emit(d, &pt_op_mul, part, pt_grad_number(d, beta, part));
    return pt_grad_emit(d, &pt_grad_sum_to, part, s->n.inputs[2]);
}

static int d_conv(struct pt_grad *d, struct pt_grad_site *s)
{
    int x = s->n.inputs[0], w = s->n.inputs[1];
    if (s->k == 2)
        return pt_grad_emit(d, &pt_grad_channels, s->dy);
    return s->k == 0 ? pt_grad_emit_like(d, &pt_grad_conv_image, s, s->dy, w, x) : pt_grad_emit_like(d, &pt_grad_conv_weights, s, s->dy, x, w);
}

/* It is what the derivative of a convolution by its image is, so its own is that convolution; and the image and dy change places for the weights. */
static int d_conv_transpose(struct pt_grad *d, struct pt_grad_site *s)
{
    const struct pt_onnx_attr *pad = pt_node_attr(&s->n, "auto_pad");
    int x = s->n.inputs[0], w = s->n.inputs[1];
    if (pt_node_attr(&s->n, "output_shape") || (pad && !pt_str_eq(pad->s, PT_STR("NOTSET"))))
        return pt_fail(d->err, PT_EUNSUPPORTED, "%s: its derivative is known with pads, not with output_shape or auto_pad", pt_node_text(&s->n).s);
    if (s->k == 2)
        return pt_grad_emit(d, &pt_grad_channels, s->dy);
    return s->k == 0 ? pt_grad_emit_like(d, &pt_op_conv, s, s->dy, w) : pt_grad_emit_like(d, &pt_grad_conv_weights, s, x, s->dy, w);
}

static int d_max_pool(struct pt_grad *d, struct pt_grad_site *s)
{
    return pt_grad_emit_like(d, &pt_grad_max_pool, s, s->dy, s->n.inputs[0], s->y);
}

static int d_average_pool(struct pt_grad *d, struct pt_grad_site *s)
{
    return pt_grad_emit_like(d, &pt_grad_average_pool, s, s->dy, s->n.inputs[0]);
}

/* The mean over all axes from 2 on. */
static int d_global_average(struct pt_grad *d, struct pt_grad_site *s)
{
    int v = pt_grad_emit(d, &pt_grad_spread, s->dy, s->n.inputs[0]);
    return pt_grad_set_int(d, pt_grad_set_int(d, v, "mean", 1), "from", 2);
}

static int d_global_max(struct pt_grad *d, struct pt_grad_site *s)
{
    return pt_grad_set_int(d, pt_grad_emit(d, &pt_grad_share, s->dy, s->n.inputs[0], PT_GRAD_NONE, s->y), "from", 2);
}

/* One operator gives the derivatives by x, scale and bias. */
static int d_batchnorm(struct pt_grad *d, struct pt_grad_site *s)
{
    const struct pt_onnx_attr *training = pt_node_attr(&s->n, "training_mode");
    if (s->k > 2 && training && training->i) /* the batch's own are used */
        return PT_GRAD_NONE;
    if (s->k > 2)
        return pt_fail(d->err, PT_EUNSUPPORTED, "%s: its derivative by input %d is not known", pt_node_text(&s->n).s, s->k);
    if (s->n.version < 9)
        return pt_fail(d->err, PT_EUNSUPPORTED, "%s: its derivative is known from opset 9 on", pt_node_text(&s->n).s);
    if (s->shared < 0)
        s->shared = pt_grad_node(d, &pt_grad_batchnorm, &s->n, PT_GRAD_IN(s->dy, s->n.inputs[0], s->n.inputs[1], s->n.inputs[3], s->n.inputs[4]), 3);
    return s->shared < 0 ? s->shared : s->shared + s->k;
}

static int d_layernorm(struct pt_grad *d, struct pt_grad_site *s)
{
    if (s->shared < 0)
        s->shared = pt_grad_node(d, &pt_grad_layernorm, &s->n, PT_GRAD_IN(s->dy, s->n.inputs[0], s->n.inputs[1]), 3);
    return s->shared < 0 ? s->shared : s->shared + s->k;
}

static int d_instancenorm(struct pt_grad *d, struct pt_grad_site *s)
{
    if (s->shared < 0)
        s->shared = pt_grad_node(d, &pt_grad_instancenorm, &s->n, PT_GRAD_IN(s->dy, s->n.inputs[0], s->n.inputs[1]), 3);
    return s->shared < 0 ? s->shared : s->shared + s->k;
}

static int d_softmax(struct pt_grad *d, struct pt_grad_site *s)
{
    return pt_grad_emit_like(d, &pt_grad_softmax, s, s->dy, s->y);
}

static int d_log_softmax(struct pt_grad *d, struct pt_grad_site *s)
{
    return pt_grad_emit_like(d, &pt_grad_log_softmax, s, s->dy, s->y);
}

/* As in inference: passes everything on. With a mask of its own drawing it has no derivative here. */
static int d_dropout(struct pt_grad *d, struct pt_grad_site *s)
{
    if (s->k > 0)
        return PT_GRAD_NONE;
    if (pt_grad_in(s, 2) != PT_GRAD_NONE)
        return pt_fail(d->err, PT_EUNSUPPORTED, "%s: its derivative in training mode is not known", pt_node_text(&s->n).s);
    return s->dy;
}

/* The adjoint of an integer is that of the number it stands for: the scales of QuantizeLinear and of DequantizeLinear behind it cancel. Neither
 * scales nor zero points are trained. */
static int d_quantize(struct pt_grad *d, struct pt_grad_site *s)
{
    int x = s->n.inputs[0];
    return s->k == 0 ? pt_grad_emit_like(d, &pt_grad_quantize, s, x, s->n.inputs[1], pt_grad_in(s, 2), s->dy, s->y) : PT_GRAD_NONE;
}

/* Of DynamicQuantizeLinear too, which never saturates. */
static int d_dequantize(struct pt_grad *d, struct pt_grad_site *s)
{
    (void)d;
    return s->k == 0 ? s->dy : PT_GRAD_NONE;
}

const struct pt_grad_rule pt_grad_rules_nn[] = {
    {&pt_op_matmul, d_matmul, PT_GRAD_SHAPED},
    {&pt_op_gemm, d_gemm, PT_GRAD_SHAPED},
    {&pt_op_conv, d_conv, PT_GRAD_SHAPED},
    {&pt_op_conv_transpose, d_conv_transpose, PT_GRAD_SHAPED},
    {&pt_op_max_pool, d_max_pool, PT_GRAD_SHAPED},
    {&pt_op_average_pool, d_average_pool, PT_GRAD_SHAPED},
    {&pt_op_global_average_pool, d_global_average, PT_GRAD_SHAPED},
    {&pt_op_global_max_pool, d_global_max, PT_GRAD_SHAPED},
    {&pt_op_batch_normalization, d_batchnorm, PT_GRAD_SHAPED},
    {&pt_op_layer_normalization, d_layernorm, PT_GRAD_SHAPED},
    {&pt_op_instance_normalization, d_instancenorm, PT_GRAD_SHAPED},
    {&pt_op_softmax, d_softmax, PT_GRAD_SHAPED},
    {&pt_op_log_softmax, d_log_softmax, PT_GRAD_SHAPED},
    {&pt_op_dropout, d_dropout, PT_GRAD_SHAPED},
    {&pt_op_quantize_linear, d_quantize, PT_GRAD_SHAPED},
    {&pt_op_dynamic_quantize_linear, d_dequantize, PT_GRAD_SHAPED},
    {&pt_op_dequantize_linear, d_dequantize, PT_GRAD_SHAPED},
    {NULL, NULL, 0},
};
