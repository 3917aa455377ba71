/* SPDX-License-Identifier: Apache-2.0
 *
 * prune_rules_basic.c: operators that leave channels where they are, or take them all together: elementwise, norms, pooling, softmax, reductions.
 */
#include "runtime/compress/prune_units.h"

static const char mean_of[] = "a mean over the channels would be over fewer (--through-norms lets it)";

/* y = f(x, constants...) of x's shape; other operands are scalars or say nothing of channels. */
static void unary(struct pt_units *u, const struct pt_onnx_node *n)
{
    struct pt_axes *x = pt_units_in(u, n, 0), *y = pt_units_out(u, n, 0);
    pt_units_want_all(u, x);
    for (int i = 0; x && i < y->shape->rank && i < x->shape->rank; i++)
        y->labels[i] = x->labels[i];
    if (pt_axes_has_sizes(x) && pt_dtype_size(y->shape->dtype) >= 4) /* Cast, Identity */
        y->sizes = x->sizes;
    else
        pt_units_pin_sizes(u, x);
    for (size_t k = 1; k < n->output_count; k++) { /* Dropout's mask */
        struct pt_axes *more = pt_units_out(u, n, k);
        for (int i = 0; x && more && i < more->shape->rank && i < x->shape->rank; i++)
            more->labels[i] = x->labels[i];
    }
}

int pt_axes_broadcast(const struct pt_axes *v, const struct pt_axes *y, int axis)
{
    int at = axis - (y->shape->rank - v->shape->rank);
    return at < 0 || (pt_axis_size(v, at) == 1 && pt_axis_size(y, axis) != 1) ? -1 : at;
}

/* One axis of operands [first, end) of a node whose result y is. */
static void join_operands(struct pt_units *u, const struct pt_onnx_node *n, size_t end, struct pt_axes *y, int axis)
{
    int *labels = NULL;
    for (size_t i = 0; i < end && !labels; i++) { /* does one of those that are computed have labels? */
        struct pt_axes *v = pt_units_in(u, n, i);
        int at = v ? pt_axes_broadcast(v, y, axis) : -1;
        labels = at >= 0 && v->initializer < 0 ? v->labels[at] : NULL;
    }
    for (size_t i = 0; i < end; i++) {
        struct pt_axes *v = pt_units_in(u, n, i);
        int at = v ? pt_axes_broadcast(v, y, axis) : -1;
        if (at < 0)
            continue;
        int *own = labels || v->labels[at] ? pt_units_want(u, v, at) : NULL;
        if (own && !labels)
            pt_units_pin(u, own, pt_axis_size(v, at), "the other operand cannot shrink");
        else if (labels && !own)
            pt_units_pin(u, labels, pt_axis_size(y, axis), "the other operand cannot shrink");
        else if (labels)
            pt_units_tie_all(u, labels, own, pt_axis_size(y, axis));
    }
    y->labels[axis] = labels;
}

void pt_units_elementwise(struct pt_units *u, const struct pt_onnx_node *n)
{
    struct pt_axes *y = pt_units_out(u, n, 0);
    if (pt_edit_attr(n, "axis") || pt_edit_attr(n, "broadcast")) { /* of operator sets before 7 */
        for (size_t i = 0; i < n->input_count; i++)
            pt_units_pin_value(u, pt_units_in(u, n, i), "broadcasting as before operator set 7");
        return;
    }
    for (int axis = 0; axis < y->shape->rank; axis++)
        join_operands(u, n, n->input_count, y, axis);
}

static void batch_norm(struct pt_units *u, const struct pt_onnx_node *n)
{
    struct pt_axes *x = pt_units_in(u, n, 0);
    unary(u, n);
    for (size_t i = 1; x && x->shape->rank > 1 && x->labels[1] && i < n->input_count; i++)
        if (pt_units_in(u, n, i))
            pt_units_join(u, x, 1, pt_units_in(u, n, i), 0);
}

/* Means over the channels of axes from `axis` on, with scales of those axes. */
static void norm_over(struct pt_units *u, const struct pt_onnx_node *n, int axis, size_t first_scale, size_t scales_end)
{
    struct pt_axes *x = pt_units_in(u, n, 0);
    for (int i = axis; x && i < x->shape->rank; i++) {
        if (!x->labels[i])
            continue;
        if (!u->through_norms)
            pt_units_pin_axis(u, x, i, mean_of);
        for (size_t k = first_scale; k < scales_end; k++) {
            struct pt_axes *s = pt_units_in(u, n, k);
            int at = s ? pt_axes_broadcast(s, x, i) : -1;
            if (at >= 0)
                pt_units_join(u, x, i, s, at);
        }
    }
}

static void layer_norm(struct pt_units *u, const struct pt_onnx_node *n)
{
    struct pt_axes *x = pt_units_in(u, n, 0);
    int64_t axis = pt_edit_attr_int(n, "axis", -1);
    unary(u, n);
    for (size_t k = 1; k < n->output_count; k++) { /* mean and deviation */
        struct pt_axes *more = pt_units_out(u, n, k);
        for (int i = 0; x && more && i < more->shape->rank; i++)
            more->labels[i] = pt_axis_size(more, i) == pt_axis_size(x, i) ? x->labels[i] : NULL;
    }
    if (x)
        norm_over(u, n, (int)(axis < 0 ? axis + x->shape->rank : axis), 1, 3);
}

/* com.microsoft: of x + skip (+ bias). Its further outputs are statistics, and the sum. */
static void skip_layer_norm(struct pt_units *u, const struct pt_onnx_node *n)
{
    struct pt_axes *x = pt_units_in(u, n, 0), *skip = pt_units_in(u, n, 1), *y = pt_units_out(u, n, 0), *sum = pt_units_out(u, n, 3);
    size_t bias = pt_str_eq(n->op_type, PT_STR("SkipLayerNormalization")) ? 4 : 3;
    for (int i = 0; x && skip && i < y->shape->rank && x->shape->rank == skip->shape->rank; i++) {
        if (pt_axis_size(x, i) == pt_axis_size(skip, i) && (x->labels[i] || skip->labels[i]))
            pt_units_join(u, x, i, skip, i);
        y->labels[i] = x->labels[i];
        if (sum)
            sum->labels[i] = x->labels[i];
    }
    if (x)
        norm_over(u, n, x->shape->rank - 1, 2, bias);
    if (x && pt_units_in(u, n, bias) && x->labels[x->shape->rank - 1])
        pt_units_join(u, x, x->shape->rank - 1, pt_units_in(u, n, bias), 0);
}

/* Axes 0 and 1 stay what they are; those of space cannot shrink. */
static void pool(struct pt_units *u, const struct pt_onnx_node *n)
{
    struct pt_axes *x = pt_units_in(u, n, 0);
    for (size_t k = 0; x && k < n->output_count; k++) {
        struct pt_axes *y = pt_units_out(u, n, k);
        for (int i = 0; y && i < 2 && i < y->shape->rank; i++)
            y->labels[i] = x->labels[i];
    }
    for (int i = 2; x && i < x->shape->rank; i++)
        pt_units_pin_axis(u, x, i, "a window moves along it");
}

static void across_channels(struct pt_units *u, const struct pt_onnx_node *n)
{
    unary(u, n);
    pt_units_pin_axis(u, pt_units_in(u, n, 0), 1, "it mixes neighbouring channels");
}

static void softmax(struct pt_units *u, const struct pt_onnx_node *n)
{
    struct pt_axes *x = pt_units_in(u, n, 0);
    bool old = pt_edit_opset(u->e, "") < 13;
    int64_t axis = pt_edit_attr_int(n, "axis", old ? 1 : -1);
    int rank = x ? x->shape->rank : 0;
    unary(u, n);
    axis = axis < 0 ? axis + rank : axis;
    for (int i = (int)axis; i < rank && (old || i == (int)axis); i++)
        pt_units_pin_axis(u, x, i, "the channels are compared with each other");
    if ((rank == 4 || rank == 3) && axis == rank - 1) /* [batch, heads, length, length], or heads folded into the batch */
        pt_units_mark_heads(u, x->labels[rank - 3], pt_axis_size(x, rank - 3));
}

/* --- reductions --------------------------------------------------------------------------------------------------------------- */

/* Bits of the axes that go; false: they are not constant. */
static bool reduced_axes(struct pt_units *u, const struct pt_onnx_node *n, int rank, unsigned *out)
{
    const struct pt_onnx_attr *a = pt_edit_attr(n, "axes");
    const struct pt_tensor *t = pt_edit_constant(u->e, n, 1);
    int64_t count = a ? (int64_t)a->count : t ? pt_tensor_count(t) : 0;
    *out = 0;
    if (!a && !t && n->input_count > 1 && n->inputs[1].len)
        return false;
    if (count == 0) {
        *out = pt_edit_attr_int(n, "noop_with_empty_axes", 0) ? 0 : (1U << rank) - 1;
        return true;
    }
    for (int64_t i = 0; i < count; i++) {
        int64_t axis;
        memcpy(&axis, a ? &a->ints[i] : (int64_t *)t->data + i, sizeof axis);
        axis = axis < 0 ? axis + rank : axis;
        if (axis >= 0 && axis < rank)
            *out |= 1U << axis;
    }
    return true;
}

/* A sum loses nothing when what is zero is taken out; a mean does, and of the others nothing is known. */
static void reduce(struct pt_units *u, const struct pt_onnx_node *n)
{
    static const char *const sums[] = {"ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare"};
    struct pt_axes *x = pt_units_in(u, n, 0), *y = pt_units_out(u, n, 0);
    unsigned axes = 0;
    bool sum = false, mean = pt_str_eq(n->op_type, PT_STR("ReduceMean"));
    bool keep = pt_edit_attr_int(n, "keepdims", 1) != 0;
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++)
        sum = sum || pt_str_eq(n->op_type, pt_str(sums[i]));
    if (!x || !reduced_axes(u, n, x->shape->rank, &axes)) {
        pt_units_pin_value(u, x, "the axes to reduce are not constant");
        return;
    }
    for (int i = 0, at = 0; i < x->shape->rank; i++) {
        bool goes = axes >> i & 1;
        if (goes && sum && !pt_units_vanishes(u, x))
            pt_units_pin_axis(u, x, i, pt_units_missing);
        if (goes && !sum && !(mean && u->through_norms))
            pt_units_pin_axis(u, x, i, mean ? mean_of : "the channels are compared with each other");
        if (!goes && at < y->shape->rank)
            y->labels[at] = x->labels[i];
        at += !goes || keep;
    }
}

#define UNARY(name)                                                                                                                                  \
    {                                                                                                                                                \
        "", name, unary, NULL, false                                                                                                                 \
    }
#define ELEMENTWISE(name)                                                                                                                            \
    {                                                                                                                                                \
        "", name, pt_units_elementwise, NULL, false                                                                                                  \
    }
#define REDUCE(name)                                                                                                                                 \
    {                                                                                                                                                \
        "", name, reduce, NULL, false                                                                                                                \
    }
#define POOL(name)                                                                                                                                   \
    {                                                                                                                                                \
        "", name, pool, NULL, false                                                                                                                  \
    }
const struct pt_unit_rule pt_unit_rules_basic[] = {
    UNARY("Abs"),
    UNARY("Acos"),
    UNARY("Acosh"),
    UNARY("Asin"),
    UNARY("Asinh"),
    UNARY("Atan"),
    UNARY("Atanh"),
    UNARY("BitwiseNot"),
    UNARY("Ceil"),
    UNARY("Celu"),
    UNARY("Clip"),
    UNARY("Cos"),
    UNARY("Cosh"),
    UNARY("Dropout"),
    UNARY("Elu"),
    UNARY("Erf"),
    UNARY("Exp"),
    UNARY("Floor"),
    UNARY("Gelu"),
    UNARY("HardSigmoid"),
    UNARY("HardSwish"),
    UNARY("IsInf"),
    UNARY("IsNaN"),
    UNARY("LeakyRelu"),
    UNARY("Log"),
    UNARY("Mish"),
    UNARY("Neg"),
    UNARY("Not"),
    UNARY("Reciprocal"),
    UNARY("Relu"),
    UNARY("Round"),
    UNARY("Selu"),
    UNARY("Shrink"),
    UNARY("Sigmoid"),
    UNARY("Sign"),
    UNARY("Sin"),
    UNARY("Sinh"),
    UNARY("Softplus"),
    UNARY("Softsign"),
    UNARY("Sqrt"),
    UNARY("Swish"),
    UNARY("Tan"),
    UNARY("Tanh"),
    UNARY("ThresholdedRelu"),
    {"", "Cast", unary, NULL, true},
    {"", "Identity", unary, NULL, true},
    {"com.microsoft", "Gelu", unary, NULL, false},
    {"com.microsoft", "QuickGelu", unary, NULL, false},
    {"com.microsoft", "BiasGelu", pt_units_elementwise, NULL, false},
    {"com.microsoft", "FastGelu", pt_units_elementwise, NULL, false},
    ELEMENTWISE("And"),
    ELEMENTWISE("Equal"),
    ELEMENTWISE("Greater"),
    ELEMENTWISE("GreaterOrEqual"),
    ELEMENTWISE("Less"),
    ELEMENTWISE("LessOrEqual"),
    ELEMENTWISE("Max"),
    ELEMENTWISE("Mean"),
    ELEMENTWISE("Min"),
    ELEMENTWISE("Or"),
    ELEMENTWISE("PRelu"),
    ELEMENTWISE("Pow"),
    ELEMENTWISE("Sum"),
    ELEMENTWISE("Where"),
    ELEMENTWISE("Xor"),
    {"", "BatchNormalization", batch_norm, NULL, false},
    {"", "InstanceNormalization", batch_norm, NULL, false},
    {"", "LayerNormalization", layer_norm, NULL, false},
    {"", "RMSNormalization", layer_norm, NULL, false},
    {"", "SimplifiedLayerNormalization", layer_norm, NULL, false},
    {"com.microsoft", "SkipLayerNormalization", skip_layer_norm, NULL, false},
    {"com.microsoft", "SkipSimplifiedLayerNormalization", skip_layer_norm, NULL, false},
    POOL("AveragePool"),
    POOL("GlobalAveragePool"),
    POOL("GlobalLpPool"),
    POOL("GlobalMaxPool"),
    POOL("LpPool"),
    POOL("MaxPool"),
    {"", "LRN", across_channels, NULL, false},
    {"", "Softmax", softmax, NULL, false},
    {"", "LogSoftmax", softmax, NULL, false},
    REDUCE("ReduceL1"),
    REDUCE("ReduceL2"),
    REDUCE("ReduceLogSum"),
    REDUCE("ReduceLogSumExp"),
    REDUCE("ReduceMax"),
    REDUCE("ReduceMean"),
    REDUCE("ReduceMin"),
    REDUCE("ReduceProd"),
    REDUCE("ReduceSum"),
    REDUCE("ReduceSumSquare"),
    {NULL, NULL, NULL, NULL, false},
};
