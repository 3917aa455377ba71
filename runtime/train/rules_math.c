/* SPDX-License-Identifier: Apache-2.0
 *
 * rules_math.c: derivatives of elementwise functions and of sums.
 */
#include "runtime/train/rules.h"

#include "runtime/ops/table.h"

static int d_same(struct pt_grad *d, struct pt_grad_site *s)
{
    (void)d;
    return s->dy;
}

static int d_none(struct pt_grad *d, struct pt_grad_site *s)
{
    (void)d;
    (void)s;
    return PT_GRAD_NONE;
}

static int neg(struct pt_grad *d, int a)
{
    return pt_grad_emit(d, &pt_op_neg, a);
}

static int mul(struct pt_grad *d, int a, int b)
{
    return pt_grad_emit(d, &pt_op_mul, a, b);
}

static int ones(struct pt_grad *d, int a)
{
    return pt_grad_emit(d, &pt_grad_ones_like, a);
}

static int d_neg(struct pt_grad *d, struct pt_grad_site *s)
{
    return neg(d, s->dy);
}

static int d_sub(struct pt_grad *d, struct pt_grad_site *s)
{
    return s->k == 0 ? s->dy : neg(d, s->dy);
}

static int d_mul(struct pt_grad *d, struct pt_grad_site *s)
{
    return mul(d, s->dy, s->n.inputs[!s->k]);
}

static int d_div(struct pt_grad *d, struct pt_grad_site *s)
{
    int by = pt_grad_emit(d, &pt_op_div, s->dy, s->n.inputs[1]);
    return s->k == 0 ? by : neg(d, mul(d, by, s->y));
}

static int d_pow(struct pt_grad *d, struct pt_grad_site *s)
{
    int x = s->n.inputs[0], e = s->n.inputs[1];
    if (s->k == 1)
        return mul(d, s->dy, mul(d, s->y, pt_grad_emit(d, &pt_op_log, x)));
    int less = pt_grad_emit(d, &pt_op_sub, e, ones(d, e));
    return mul(d, s->dy, mul(d, e, pt_grad_emit(d, &pt_op_pow, x, less)));
}

static int d_exp(struct pt_grad *d, struct pt_grad_site *s)
{
    return mul(d, s->dy, s->y);
}

static int d_log(struct pt_grad *d, struct pt_grad_site *s)
{
    return pt_grad_emit(d, &pt_op_div, s->dy, s->n.inputs[0]);
}

static int d_sqrt(struct pt_grad *d, struct pt_grad_site *s)
{
    return pt_grad_emit(d, &pt_op_div, s->dy, pt_grad_emit(d, &pt_op_add, s->y, s->y));
}

static int d_reciprocal(struct pt_grad *d, struct pt_grad_site *s)
{
    return neg(d, mul(d, s->dy, mul(d, s->y, s->y)));
}

static int d_sin(struct pt_grad *d, struct pt_grad_site *s)
{
    return mul(d, s->dy, pt_grad_emit(d, &pt_op_cos, s->n.inputs[0]));
}

static int d_cos(struct pt_grad *d, struct pt_grad_site *s)
{
    return neg(d, mul(d, s->dy, pt_grad_emit(d, &pt_op_sin, s->n.inputs[0])));
}

/* dy where the output is this operand; where several are equal, each gets it. */
static int d_extreme(struct pt_grad *d, struct pt_grad_site *s)
{
    int is = pt_grad_emit(d, &pt_op_equal, s->y, s->n.inputs[s->k]);
    return mul(d, s->dy, pt_grad_emit(d, &pt_op_cast_like, is, s->dy));
}

static int d_where(struct pt_grad *d, struct pt_grad_site *s)
{
    int one = ones(d, s->dy), zero = pt_grad_emit(d, &pt_op_sub, one, one), when = s->n.inputs[0];
    if (s->k == 0)
        return PT_GRAD_NONE;
    return s->k == 1 ? pt_grad_emit(d, &pt_op_where, when, s->dy, zero) : pt_grad_emit(d, &pt_op_where, when, zero, s->dy);
}

static int d_cast(struct pt_grad *d, struct pt_grad_site *s)
{
    return s->k == 0 ? pt_grad_emit(d, &pt_op_cast_like, s->dy, s->n.inputs[0]) : PT_GRAD_NONE;
}

#define UNARY(name)                                                                                                                                  \
    static int d_##name(struct pt_grad *d, struct pt_grad_site *s)                                                                                   \
    {                                                                                                                                                \
        return pt_grad_emit_like(d, &pt_grad_##name, s, s->dy, s->n.inputs[0]);                                                                      \
    }
UNARY(leaky_relu)
UNARY(erf)
UNARY(gelu)
UNARY(softplus)
UNARY(elu)
UNARY(hard_sigmoid)
UNARY(hard_swish)
UNARY(swish)
UNARY(abs)
UNARY(mish)

/* Of functions whose slope their value tells: what they read need not be kept, and they may be part of the step that makes it. */
#define BY_VALUE(name)                                                                                                                               \
    static int d_##name(struct pt_grad *d, struct pt_grad_site *s)                                                                                   \
    {                                                                                                                                                \
        return pt_grad_emit(d, &pt_grad_##name, s->dy, s->y);                                                                                        \
    }
BY_VALUE(relu)
BY_VALUE(sigmoid)
BY_VALUE(tanh)

/* slope where the value is positive; elsewhere what its value tells */
static int by_sign(struct pt_grad *d, struct pt_grad_site *s, float slope, float times, float plus)
{
    int one = pt_grad_number(d, slope, s->y), below = mul(d, s->y, pt_grad_number(d, times, s->y));
    below = pt_grad_emit(d, &pt_op_add, below, pt_grad_number(d, plus, s->y));
    return mul(d, s->dy, pt_grad_emit(d, &pt_op_where, pt_grad_emit(d, &pt_op_greater, s->y, pt_grad_number(d, 0, s->y)), one, below));
}

static int d_selu(struct pt_grad *d, struct pt_grad_site *s)
{
    float gamma = pt_grad_attr_float(s, "gamma", 1.0507010F);
    return by_sign(d, s, gamma, 1, gamma * pt_grad_attr_float(s, "alpha", 1.6732632F));
}

static int d_celu(struct pt_grad *d, struct pt_grad_site *s)
{
    return by_sign(d, s, 1, 1 / pt_grad_attr_float(s, "alpha", 1), 1);
}

/* y = x / (1 + |x|), and 1 - |y| = 1 / (1 + |x|) */
static int d_softsign(struct pt_grad *d, struct pt_grad_site *s)
{
    int size = pt_grad_emit(d, &pt_op_abs, s->y), rest = pt_grad_emit(d, &pt_op_sub, ones(d, size), size);
    return mul(d, s->dy, mul(d, rest, rest));
}

static int d_thresholded_relu(struct pt_grad *d, struct pt_grad_site *s)
{
    int x = s->n.inputs[0], passes = pt_grad_emit(d, &pt_op_greater, x, pt_grad_number(d, pt_grad_attr_float(s, "alpha", 1), x));
    return mul(d, s->dy, pt_grad_emit(d, &pt_op_cast_like, passes, s->dy));
}

static int d_tan(struct pt_grad *d, struct pt_grad_site *s)
{
    return mul(d, s->dy, pt_grad_emit(d, &pt_op_add, ones(d, s->y), mul(d, s->y, s->y)));
}

static int d_atan(struct pt_grad *d, struct pt_grad_site *s)
{
    int x = s->n.inputs[0];
    return pt_grad_emit(d, &pt_op_div, s->dy, pt_grad_emit(d, &pt_op_add, ones(d, x), mul(d, x, x)));
}

static int d_mean(struct pt_grad *d, struct pt_grad_site *s)
{
    return mul(d, s->dy, pt_grad_number(d, 1 / (float)s->n.input_count, s->dy));
}

static int d_clip(struct pt_grad *d, struct pt_grad_site *s)
{
    return s->k == 0 ? pt_grad_emit_like(d, &pt_grad_clip, s, s->dy, s->n.inputs[0], pt_grad_in(s, 1), pt_grad_in(s, 2)) : PT_GRAD_NONE;
}

static int d_reduce_sum(struct pt_grad *d, struct pt_grad_site *s)
{
    return s->k == 0 ? pt_grad_emit_like(d, &pt_grad_spread, s, s->dy, s->n.inputs[0], pt_grad_in(s, 1)) : PT_GRAD_NONE;
}

static int d_reduce_mean(struct pt_grad *d, struct pt_grad_site *s)
{
    int v = d_reduce_sum(d, s);
    return v == PT_GRAD_NONE ? v : pt_grad_set_int(d, v, "mean", 1);
}

/* dy goes to the elements that are the largest (smallest), in equal parts. */
static int d_reduce_extreme(struct pt_grad *d, struct pt_grad_site *s)
{
    return s->k == 0 ? pt_grad_emit_like(d, &pt_grad_share, s, s->dy, s->n.inputs[0], pt_grad_in(s, 1), s->y) : PT_GRAD_NONE;
}

/* |x|, as the sum of squares is its square: dx = x dy / y, and 2 x dy */
static int d_reduce_l2(struct pt_grad *d, struct pt_grad_site *s)
{
    int x = s->n.inputs[0];
    if (s->k != 0)
        return PT_GRAD_NONE;
    return mul(d, x, pt_grad_emit_like(d, &pt_grad_spread, s, pt_grad_emit(d, &pt_op_div, s->dy, s->y), x, pt_grad_in(s, 1)));
}

static int d_reduce_sum_square(struct pt_grad *d, struct pt_grad_site *s)
{
    int x = s->n.inputs[0];
    if (s->k != 0)
        return PT_GRAD_NONE;
    return mul(d, x, pt_grad_emit_like(d, &pt_grad_spread, s, pt_grad_emit(d, &pt_op_add, s->dy, s->dy), x, pt_grad_in(s, 1)));
}

static int d_reduce_l1(struct pt_grad *d, struct pt_grad_site *s)
{
    int part = d_reduce_sum(d, s);
    return part == PT_GRAD_NONE ? part : mul(d, part, pt_grad_emit(d, &pt_op_sign, s->n.inputs[0]));
}

/* y as large as x again, or something of y's shape */
static int repeat(struct pt_grad *d, struct pt_grad_site *s, int v)
{
    return pt_grad_emit_like(d, &pt_grad_spread, s, v, s->n.inputs[0], pt_grad_in(s, 1));
}

/* log sum e^x: a softmax */
static int d_reduce_log_sum_exp(struct pt_grad *d, struct pt_grad_site *s)
{
    if (s->k != 0)
        return PT_GRAD_NONE;
    int part = pt_grad_emit(d, &pt_op_exp, pt_grad_emit(d, &pt_op_sub, s->n.inputs[0], repeat(d, s, s->y)));
    return mul(d, part, repeat(d, s, s->dy));
}

static int d_reduce_log_sum(struct pt_grad *d, struct pt_grad_site *s)
{
    return s->k == 0 ? repeat(d, s, pt_grad_emit(d, &pt_op_div, s->dy, pt_grad_emit(d, &pt_op_exp, s->y))) : PT_GRAD_NONE;
}

/* max(x, 0) + slope min(x, 0) */
static int d_prelu(struct pt_grad *d, struct pt_grad_site *s)
{
    int x = s->n.inputs[0], zero = pt_grad_number(d, 0, x);
    if (s->k == 1)
        return mul(d, s->dy, pt_grad_emit(d, &pt_op_min, x, zero));
    return pt_grad_emit(d, &pt_op_where, pt_grad_emit(d, &pt_op_less, x, zero), mul(d, s->dy, s->n.inputs[1]), s->dy);
}

static int d_sum_to(struct pt_grad *d, struct pt_grad_site *s)
{
    return s->k == 1 ? PT_GRAD_NONE : mul(d, s->dy, ones(d, s->n.inputs[0]));
}

#define ONE PT_GRAD_SHAPED
const struct pt_grad_rule pt_grad_rules_math[] = {
    {&pt_op_identity, d_same, ONE},
    {&pt_op_add, d_same, 0},
    {&pt_op_sum, d_same, 0},
    {&pt_op_sub, d_sub, 0},
    {&pt_op_mul, d_mul, 0},
    {&pt_op_div, d_div, 0},
    {&pt_op_pow, d_pow, 0},
    {&pt_op_max, d_extreme, 0},
    {&pt_op_min, d_extreme, 0},
    {&pt_op_where, d_where, 0},
    {&pt_op_neg, d_neg, ONE},
    {&pt_op_abs, d_abs, ONE},
    {&pt_op_exp, d_exp, ONE},
    {&pt_op_log, d_log, ONE},
    {&pt_op_sqrt, d_sqrt, ONE},
    {&pt_op_reciprocal, d_reciprocal, ONE},
    {&pt_op_sin, d_sin, ONE},
    {&pt_op_cos, d_cos, ONE},
    {&pt_op_tanh, d_tanh, ONE},
    {&pt_op_sigmoid, d_sigmoid, ONE},
    {&pt_op_erf, d_erf, ONE},
    {&pt_op_relu, d_relu, ONE},
    {&pt_op_leaky_relu, d_leaky_relu, ONE},
    {&pt_op_elu, d_elu, ONE},
    {&pt_op_gelu, d_gelu, ONE},
    {&pt_op_softplus, d_softplus, ONE},
    {&pt_op_hard_sigmoid, d_hard_sigmoid, ONE},
    {&pt_op_hard_swish, d_hard_swish, ONE},
    {&pt_op_swish, d_swish, ONE},
    {&pt_op_mish, d_mish, ONE},
    {&pt_op_selu, d_selu, ONE},
    {&pt_op_celu, d_celu, ONE},
    {&pt_op_softsign, d_softsign, ONE},
    {&pt_op_thresholded_relu, d_thresholded_relu, ONE},
    {&pt_op_tan, d_tan, ONE},
    {&pt_op_atan, d_atan, ONE},
    {&pt_op_mean, d_mean, 0},
    {&pt_op_clip, d_clip, ONE},
    {&pt_op_cast, d_cast, ONE},
    {&pt_op_cast_like, d_cast, ONE},
    {&pt_op_reduce_sum, d_reduce_sum, ONE},
    {&pt_op_reduce_mean, d_reduce_mean, ONE},
    {&pt_op_reduce_max, d_reduce_extreme, ONE},
    {&pt_op_reduce_min, d_reduce_extreme, ONE},
    {&pt_op_reduce_l1, d_reduce_l1, ONE},
    {&pt_op_reduce_l2, d_reduce_l2, ONE},
    {&pt_op_reduce_log_sum, d_reduce_log_sum, ONE},
    {&pt_op_reduce_log_sum_exp, d_reduce_log_sum_exp, ONE},
    {&pt_op_reduce_sum_square, d_reduce_sum_square, ONE},
    {&pt_op_prelu, d_prelu, 0},
    {&pt_grad_sum_to, d_sum_to, ONE},
    /* in steps, or of dims only */
    {&pt_op_sign, d_none, 0},
    {&pt_op_equal, d_none, 0},
    {&pt_op_greater, d_none, 0},
    {&pt_op_greater_or_equal, d_none, 0},
    {&pt_op_less, d_none, 0},
    {&pt_op_less_or_equal, d_none, 0},
    {&pt_op_isnan, d_none, 0},
    {&pt_op_isinf, d_none, 0},
    {&pt_op_arg_max, d_none, 0},
    {&pt_op_arg_min, d_none, 0},
    {&pt_op_not, d_none, 0},
    {&pt_op_and, d_none, 0},
    {&pt_op_or, d_none, 0},
    {&pt_op_xor, d_none, 0},
    {&pt_op_constant_of_shape, d_none, 0},
    {&pt_op_range, d_none, 0},
    {&pt_op_shape, d_none, 0},
    {&pt_op_size, d_none, 0},
    {&pt_grad_ones_like, d_none, 0},
    {NULL, NULL, 0},
};
