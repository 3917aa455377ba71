/* SPDX-License-Identifier: Apache-2.0
 *
 * prune_rules_moving.c: operators that move elements: reshapes, transposes, pads. Labels move as the elements do. Numbers of channels in their
 * operands (the shape of a Reshape) are rewritten afterwards (prune_numbers.c).
 */
#include "runtime/compress/prune_units.h"

#define LARGEST ((int64_t)1 << 22) /* labels of one reshape */

static int fix_second(struct pt_units *u, int node, int ordinal)
{
    (void)ordinal;
    return pt_units_fix_shape(u, node, 1);
}

static int fix_fourth(struct pt_units *u, int node, int ordinal)
{
    (void)ordinal;
    return pt_edit_attr(&u->e->model.graph.nodes[node], "axes") ? PT_OK : pt_units_fix_shape(u, node, 3);
}

/* --- reshapes --------------------------------------------------------------------------------------------------------------------- */

/* Axes [from, to) of a tensor. */
struct span {
    int from, to;
};

/* Where an axis longer than 1 of a node's operand 0 is in its result; -1: it is not there, or nobody knows. */
static int axis_behind(struct pt_units *u, const struct pt_onnx_node *n, int axis)
{
    const struct pt_tensor *x = pt_shape_of(u->shapes, n->inputs[0]), *y = pt_shape_of(u->shapes, n->outputs[0]);
    const struct pt_onnx_attr *perm = pt_edit_attr(n, "perm");
    bool moves = pt_node_is(n, "", "Transpose"), drops = pt_node_is(n, "", "Squeeze") || pt_node_is(n, "", "Unsqueeze");
    int before = 0;
    for (int i = 0; x && drops && i < axis; i++)
        before += x->dims[i] != 1;
    for (int i = 0; x && y && (moves || drops) && i < y->rank; i++) {
        int64_t from = perm && perm->count > (size_t)i ? perm->ints[i] : y->rank - 1 - i;
        if (moves ? from == axis : y->dims[i] != 1 && before-- == 0)
            return i;
    }
    return pt_node_is(n, "", "Identity") ? axis : -1;
}

/* Is one place of it taken by itself further on, as queries, keys and values are that come out of one product? */
static bool is_taken_apart(struct pt_units *u, struct pt_str name, int axis, int depth)
{
    const struct pt_edit_value *v = pt_edit_value(u->e, name, NULL);
    const struct pt_tensor *shape = pt_shape_of(u->shapes, name);
    bool found = false;
    for (int i = 0; v && shape && depth < 8 && !found && i < v->reader_count; i++) {
        const struct pt_onnx_node *n = &u->e->model.graph.nodes[v->readers[i]];
        int64_t along = pt_edit_attr_int(n, "axis", 0);
        if (n->input_count == 0 || n->output_count == 0 || !pt_str_eq(n->inputs[0], name))
            continue;
        if (pt_node_is(n, "", "Gather") || pt_node_is(n, "", "Split"))
            found = (along < 0 ? along + shape->rank : along) == axis;
        else
            found = (along = axis_behind(u, n, axis)) >= 0 && is_taken_apart(u, n->outputs[0], (int)along, depth + 1);
    }
    return found;
}

/* Which of several axes an axis is split into shrinks: heads of [heads, size], of [3, heads, size]; the width of [3, width]. */
static int preferred_axis(struct pt_units *u, const struct pt_axes *y, const int *axes, int count)
{
    int k = 0;
    while (k + 1 < count && is_taken_apart(u, y->name, axes[k], 0))
        k++;
    return axes[k == 0 && count > 2 && pt_axis_size(y, axes[0]) <= 4 ? 1 : k];
}

/* Are labels the same for all places that have the same coordinate on an axis of that stride and size? */
static bool depend_only_on(struct pt_units *u, const int *flat, int64_t count, int64_t stride, int64_t size)
{
    for (int64_t i = 0; i < count; i++)
        if (pt_units_root(u, flat[i]) != pt_units_root(u, flat[i / stride % size * stride]))
            return false;
    return true;
}

static void label_split(struct pt_units *u, const int *flat, int64_t count, struct pt_axes *y, struct span ys)
{
    int axes[PT_MAX_RANK], n = 0, chosen = -1;
    int64_t stride = count;
    for (int i = ys.from; i < ys.to; i++) {
        if (pt_axis_size(y, i) == 1)
            continue;
        axes[n++] = i;
        stride /= pt_axis_size(y, i);
        if (chosen < 0 && depend_only_on(u, flat, count, stride, pt_axis_size(y, i)))
            chosen = i;
    }
    if (n == 0)
        return;
    chosen = chosen < 0 ? preferred_axis(u, y, axes, n) : chosen;
    stride = pt_dims_product(y->shape->dims + chosen + 1, ys.to - chosen - 1);
    int64_t size = pt_axis_size(y, chosen);
    int *labels = pt_units_array(u, size);
    for (int64_t i = 0; labels && i < count; i++)
        pt_units_tie(u, flat[i], flat[i / stride % size * stride]);
    for (int64_t i = 0; labels && i < size; i++)
        labels[i] = flat[i * stride];
    y->labels[chosen] = labels;
}

/* Is it an axis of an input? It cannot shrink, and stands in nobody's way. */
static bool is_of_input(struct pt_units *u, const struct pt_axes *x, int axis)
{
    return u->units[pt_units_root(u, x->labels[axis][0])].why == pt_units_is_input;
}

/* Axes of x that together are axes of y together. */
static void label_span(struct pt_units *u, struct pt_axes *x, struct span xs, struct pt_axes *y, struct span ys)
{
    int from = -1, many = 0;
    int64_t count = 1;
    for (int i = xs.from; i < xs.to; i++) {
        count *= pt_axis_size(x, i);
        bool labelled = x->labels[i] && pt_axis_size(x, i) > 1, input = labelled && is_of_input(u, x, i);
        many += labelled && !input;
        from = labelled && (from < 0 || !input) ? i : from;
    }
    if (from < 0)
        return;
    if (many > 1 || count > LARGEST) {
        for (int i = xs.from; i < xs.to; i++)
            pt_units_pin_axis(u, x, i, "it makes one axis of two that could shrink");
        return;
    }
    int64_t stride = pt_dims_product(x->shape->dims + from + 1, xs.to - from - 1), size = pt_axis_size(x, from);
    int *flat = pt_units_array(u, count);
    for (int64_t i = 0; flat && i < count; i++)
        flat[i] = x->labels[from][i / stride % size];
    if (flat)
        label_split(u, flat, count, y, ys);
}

/* Elements keep their order: axes are matched where the products of the dims so far agree. */
static void relabel(struct pt_units *u, struct pt_axes *x, struct pt_axes *y)
{
    struct span xs = {0, 0}, ys = {0, 0};
    int64_t a = 1, b = 1;
    while (xs.to < x->shape->rank || ys.to < y->shape->rank) {
        if ((a <= b && xs.to < x->shape->rank) || ys.to == y->shape->rank)
            a *= pt_axis_size(x, xs.to++);
        else
            b *= pt_axis_size(y, ys.to++);
        /* a 1 behind belongs to no one in particular: it is better alone */
        if (a == b && xs.to > xs.from && ys.to > ys.from) {
            label_span(u, x, xs, y, ys);
            xs.from = xs.to;
            ys.from = ys.to;
            a = b = 1;
        }
    }
}

static void reshape(struct pt_units *u, const struct pt_onnx_node *n)
{
    struct pt_axes *x = pt_units_in(u, n, 0), *y = pt_units_out(u, n, 0);
    if (!x)
        return;
    pt_units_want_all(u, x);
    if (pt_axes_has_sizes(x) && y->shape->rank <= 1)
        y->sizes = x->sizes;
    else
        pt_units_pin_sizes(u, x);
    if (pt_tensor_count(x->shape) > 0)
        relabel(u, x, y);
    else
        pt_units_pin_value(u, x, "it is empty");
    if (pt_str_eq(n->op_type, PT_STR("Reshape")))
        pt_units_check_shape(u, n, 1, y);
}

static void expand(struct pt_units *u, const struct pt_onnx_node *n)
{
    struct pt_axes *x = pt_units_in(u, n, 0), *y = pt_units_out(u, n, 0);
    pt_units_want_all(u, x);
    for (int i = 0; x && i < x->shape->rank; i++) {
        int at = i + y->shape->rank - x->shape->rank;
        if (pt_axis_size(x, i) == pt_axis_size(y, at))
            y->labels[at] = x->labels[i];
    }
    pt_units_check_shape(u, n, 1, y);
}

/* Axes that keep their size keep their labels. */
static void same_axes(struct pt_units *u, const struct pt_onnx_node *n)
{
    struct pt_axes *x = pt_units_in(u, n, 0), *y = pt_units_out(u, n, 0);
    for (int i = 0; x && i < x->shape->rank; i++) {
        if (i < y->shape->rank && pt_axis_size(x, i) == pt_axis_size(y, i))
            y->labels[i] = x->labels[i];
        else
            pt_units_pin_axis(u, x, i, "its size changes there");
    }
    if (n->input_count > 3)
        pt_units_check_shape(u, n, 3, y);
}

static void transpose(struct pt_units *u, const struct pt_onnx_node *n)
{
    struct pt_axes *x = pt_units_in(u, n, 0), *y = pt_units_out(u, n, 0);
    const struct pt_onnx_attr *perm = pt_edit_attr(n, "perm");
    for (int i = 0; x && i < y->shape->rank; i++) {
        int64_t from = perm && perm->count > (size_t)i ? perm->ints[i] : y->shape->rank - 1 - i;
        y->labels[i] = pt_units_want(u, x, (int)(from < 0 ? from + y->shape->rank : from));
    }
}

const struct pt_unit_rule pt_unit_rules_moving[] = {
    {"", "Reshape", reshape, fix_second, true}, {"", "Flatten", reshape, NULL, false},
    {"", "Squeeze", reshape, NULL, true},       {"", "Unsqueeze", reshape, NULL, true},
    {"", "Expand", expand, fix_second, true},   {"", "Transpose", transpose, NULL, false},
    {"", "Pad", same_axes, NULL, false},        {"", "Resize", same_axes, fix_fourth, true},
    {"", "Upsample", same_axes, NULL, false},   {NULL, NULL, NULL, NULL, false},
};
