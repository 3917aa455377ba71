/* SPDX-License-Identifier: Apache-2.0
 *
 * prune_vanish.c: is what a unit computes zero once its weights are?
 *
 * Removal must say what zeros say. What reads a channel through weights of its own reads it through zeros, whatever the channel holds: sigmoid(0)
 * too. A sum over the channels, or the product of two values that were both computed, has no such weights: there what is gone must itself have been
 * zero, or it would be missing. So every value knows whether its elements vanish with their units. Operators that are not in the table make them
 * stay.
 */
#include "runtime/compress/prune_units.h"

const char pt_units_missing[] = "it would be missing in the sum: it is not zero when its weights are";

enum kind {
    FIRST,    /* zero where operand 0 is */
    DIVIDEND, /* the same, which may be broadcast */
    ANY,      /* where one of the operands is */
    ALL,      /* where all are */
    PRODUCT,  /* as far as its channels are the weights' */
    NORM,     /* scaled and shifted by zero */
    KINDS
};
static const char *const operators[KINDS][48] = {
    [FIRST] = {"Abs",           "AveragePool",
               "Cast",          "Ceil",
               "Celu",          "Dropout",
               "Elu",           "Erf",
               "Expand",        "Flatten",
               "Floor",         "Gather",
               "Gelu",          "GlobalAveragePool",
               "GlobalMaxPool", "HardSwish",
               "Identity",      "LeakyRelu",
               "MaxPool",       "Mish",
               "Neg",           "PRelu",
               "QuickGelu",     "ReduceL1",
               "ReduceL2",      "ReduceMax",
               "ReduceMean",    "ReduceMin",
               "ReduceSum",     "ReduceSumSquare",
               "Relu",          "Reshape",
               "Round",         "Selu",
               "Shrink",        "Sign",
               "Sin",           "Sinh",
               "Slice",         "Softsign",
               "Split",         "Sqrt",
               "Squeeze",       "Swish",
               "Tanh",          "Transpose",
               "Unsqueeze"},
    [DIVIDEND] = {"Div"},
    [ANY] = {"Mul"},
    [ALL] = {"Add", "BiasGelu", "Concat", "FastGelu", "Max", "Mean", "Min", "Sub", "Sum"},
    [PRODUCT] = {"Conv", "ConvTranspose", "FusedMatMul", "Gemm", "MatMul"},
    [NORM] = {"BatchNormalization", "InstanceNormalization"},
};

static enum kind kind_of(const struct pt_onnx_node *n)
{
    enum kind k = FIRST;
    for (; k < KINDS; k++)
        for (size_t i = 0; operators[k][i]; i++)
            if (pt_str_eq(n->op_type, pt_str(operators[k][i])))
                return k;
    return k;
}

bool pt_units_vanishes(struct pt_units *u, const struct pt_axes *v)
{
    return v && (v->initializer >= 0 ? pt_units_holds_numbers(u, v) : v->vanishes);
}

/* Does operand v make y zero where axis `axis` of y has lost its unit? */
static bool makes_zero(struct pt_units *u, const struct pt_axes *v, const struct pt_axes *y, int axis, bool aligned)
{
    int at = v ? aligned ? axis : pt_axes_broadcast(v, y, axis) : -1;
    return at >= 0 && at < v->shape->rank && v->labels[at] && pt_units_vanishes(u, v);
}

static bool is_zero_along(struct pt_units *u, const struct pt_onnx_node *n, enum kind kind, const struct pt_axes *y, int axis)
{
    bool concat = pt_str_eq(n->op_type, PT_STR("Concat")), any = false, all = true;
    for (size_t i = 0; i < (kind == DIVIDEND ? 1 : n->input_count); i++) {
        bool zero = makes_zero(u, pt_units_in(u, n, i), y, axis, concat);
        any = any || zero;
        all = all && zero;
    }
    return kind == ANY ? any : all;
}

static bool has_labels(const struct pt_axes *v, int end)
{
    bool found = false;
    for (int i = 0; i < end; i++)
        found = found || v->labels[i];
    return found;
}

/* Channels that come out of the weights are zero with them; so are rows of a matrix. */
static bool is_zero_product(struct pt_units *u, const struct pt_onnx_node *n)
{
    bool conv = pt_str_starts(n->op_type, PT_STR("Conv"));
    const struct pt_axes *x = pt_units_in(u, n, 0), *w = pt_units_in(u, n, 1), *bias = pt_units_in(u, n, 2);
    if (!x || !w)
        return false;
    int ends = conv ? 0 : x->shape->rank - !pt_edit_attr_int(n, "transA", 0); /* its last axis is summed over */
    return (pt_units_vanishes(u, w) || !has_labels(w, w->shape->rank)) && (pt_units_vanishes(u, x) || !has_labels(x, ends)) &&
           (!bias || (pt_units_vanishes(u, bias) && has_labels(bias, bias->shape->rank)));
}

static bool is_zero(struct pt_units *u, const struct pt_onnx_node *n, enum kind kind, const struct pt_axes *y)
{
    if (kind == FIRST)
        return pt_units_vanishes(u, pt_units_in(u, n, 0));
    if (kind == PRODUCT)
        return is_zero_product(u, n);
    if (kind == NORM)
        return pt_units_vanishes(u, pt_units_in(u, n, 1)) && pt_units_vanishes(u, pt_units_in(u, n, 2));
    for (int axis = 0; axis < y->shape->rank; axis++)
        if (y->labels[axis] && !is_zero_along(u, n, kind, y, axis))
            return false;
    return true;
}

void pt_units_mark_vanishing(struct pt_units *u, const struct pt_onnx_node *n)
{
    enum kind kind = kind_of(n);
    for (size_t k = 0; kind != KINDS && k < n->output_count; k++) {
        struct pt_axes *y = pt_units_out(u, n, k);
        if (y)
            y->vanishes = is_zero(u, n, kind, y);
    }
}
