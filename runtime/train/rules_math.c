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
    {&pt_op_clip, d_clip, ONE},
    {&pt_op_cast, d_cast, ONE},
    {&pt_op_cast_like, d_cast, ONE},
    {&pt_op_reduce_sum, d_reduce_sum, ONE},
    {&pt_op_reduce_mean, d_reduce_mean, ONE},
    {&pt_op_reduce_max, d_reduce_extreme, ONE},
    {&pt_op_reduce_min, d_reduce_extreme, ONE},
    {&pt_op_reduce_l2, d_reduce_l2, ONE},
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
