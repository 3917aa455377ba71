/* SPDX-License-Identifier: Apache-2.0
 *
 * prune_rules_moving.c: operators that move elements: reshapes, transposes, concats, splits, slices. Labels move as the elements do. Numbers of
 * channels that are written in operands (the shape of a Reshape, the sizes of a Split) are rewritten afterwards.
 */
#include "runtime/compress/prune_units.h"

#define LARGEST ((int64_t)1 << 22) /* labels of one reshape */

/* --- numbers of channels in operands ------------------------------------------------------------------------------------------ */

/* The Concat of single numbers that makes operand i, or NULL. */
static const struct pt_onnx_node *concat_of(struct pt_units *u, const struct pt_onnx_node *n, size_t i, int rank)
{
    const struct pt_edit_value *v = pt_edit_value(u->e, n->inputs[i], NULL);
    const struct pt_onnx_node *c = v && v->producer >= 0 ? &u->e->model.graph.nodes[v->producer] : NULL;
    bool single = c && pt_node_is(c, "", "Concat") && c->input_count == (size_t)rank;
    for (size_t k = 0; single && k < c->input_count; k++) {
        const struct pt_axes *piece = pt_units_in(u, c, k);
        single = piece && pt_tensor_count(piece->shape) == 1;
    }
    return single ? c : NULL;
}

/* A constant entry of a shape says how long its axis is, that it follows from the rest (-1) or another shape (0), or that it is repeated (1). A -1
 * may stand for more than our axis, when a batch is folded into it, so only what is the size itself is ever rewritten. */
static bool entry_follows(int64_t entry, int64_t size)
{
    return entry == size || entry <= 0 || entry == 1;
}

/* The constant number that piece k of a shape is, perhaps cast or reshaped on its way; NULL: it is none. Needs the edit's index. */
static const struct pt_tensor *piece_constant(struct pt_units *u, const struct pt_onnx_node *n, size_t k)
{
    static const char *const through[] = {"Cast", "Identity", "Unsqueeze", "Squeeze"};
    for (int depth = 0; depth < 8; depth++) {
        const struct pt_tensor *t = pt_units_constant(u, n, k);
        if (t)
            return (t->dtype == PT_INT64 || t->dtype == PT_INT32) && pt_tensor_count(t) == 1 ? t : NULL;
        const struct pt_edit_value *v = k < n->input_count ? pt_edit_value(u->e, n->inputs[k], NULL) : NULL;
        bool passes = false;
        if (!v || v->producer < 0)
            return NULL;
        n = &u->e->model.graph.nodes[v->producer];
        k = 0;
        for (size_t i = 0; i < sizeof through / sizeof *through; i++)
            passes = passes || pt_node_is(n, "", through[i]);
        if (!passes)
            return NULL;
    }
    return NULL;
}

/* Is it the size of an axis that could shrink? Such a size is a number: one that was `size` when the model was run is so always. */
static bool is_number(const struct pt_size_ref *ref, int64_t size)
{
    return ref && ref->of && ref->of->labels[ref->axis] && pt_axis_size(ref->of, ref->axis) == size;
}

/* Can the entry of operand i that says how long axis `axis` of y is follow, or be rewritten? Else the axis stays as it is. */
static void check_entry(struct pt_units *u, const struct pt_onnx_node *n, size_t i, struct pt_axes *y, int axis)
{
    const struct pt_axes *operand = pt_units_in(u, n, i);
    int64_t count = operand ? pt_tensor_count(operand->shape) : 0, at = axis - (y->shape->rank - count), size = pt_axis_size(y, axis);
    const struct pt_size_ref *ref = pt_axes_has_sizes(operand) && at >= 0 ? &operand->sizes[at] : NULL;
    if (!y->labels[axis] || !operand || at < 0)
        return;
    const struct pt_onnx_node *c = operand->initializer >= 0 ? NULL : concat_of(u, n, i, y->shape->rank);
    const struct pt_tensor *t = c ? piece_constant(u, c, (size_t)at) : pt_units_constant(u, n, i);
    if (t && entry_follows(pt_tensor_integer(t, c ? 0 : at), size))
        return;
    if (!is_number(ref, size))
        pt_units_pin_axis(u, y, axis, "the shape is computed");
    else if (!c)
        pt_units_tie_all(u, y->labels[axis], ref->of->labels[ref->axis], size);
}

/* Sizes in operand i that are of axes which shrink where y's does not. */
static void check_sizes(struct pt_units *u, const struct pt_onnx_node *n, size_t i, struct pt_axes *y)
{
    const struct pt_axes *operand = pt_units_in(u, n, i);
    for (int64_t k = 0; pt_axes_has_sizes(operand) && k < pt_tensor_count(operand->shape); k++)
        if (operand->sizes[k].of && (k >= y->shape->rank || !y->labels[k]))
            pt_units_pin_axis(u, operand->sizes[k].of, operand->sizes[k].axis, "the shape of something else has its size");
    for (int axis = 0; axis < y->shape->rank; axis++)
        check_entry(u, n, i, y, axis);
}

static int fix_constant_shape(struct pt_units *u, int node, size_t i, const struct pt_axes *y)
{
    const struct pt_tensor *t = pt_units_constant(u, &u->e->model.graph.nodes[node], i);
    int64_t v[PT_MAX_RANK], count = pt_tensor_count(t);
    int first = y->shape->rank - (int)count; /* an Expand may name fewer */
    bool changed = false;
    for (int64_t k = 0; k < count && k < PT_MAX_RANK; k++) {
        int axis = first + (int)k;
        v[k] = pt_tensor_integer(t, k);
        if (axis < 0 || !pt_units_shrinks(u, y, axis) || v[k] != pt_axis_size(y, axis))
            continue;
        v[k] = pt_units_axis_left(u, y, axis);
        changed = true;
    }
    struct pt_str old = u->e->model.graph.nodes[node].inputs[i];
    struct pt_str name = changed && count <= PT_MAX_RANK ? pt_units_add_integers(u, old, PT_INT64, 1, v, count) : old;
    if (!name.p)
        return u->err->code;
    u->e->model.graph.nodes[node].inputs[i] = name;
    return PT_OK;
}

/* Would piece k of a shape no longer say how long axis k is? As a constant that was, or as the size of something that becomes another one. */
static bool piece_changes(struct pt_units *u, const struct pt_onnx_node *concat, size_t k, const struct pt_axes *y)
{
    const struct pt_tensor *t = piece_constant(u, concat, k);
    const struct pt_axes *v = pt_units_in(u, concat, k);
    int axis = (int)k;
    int64_t size = pt_axis_size(y, axis);
    if (t)
        return pt_units_shrinks(u, y, axis) && pt_tensor_integer(t, 0) == size;
    return pt_axes_has_sizes(v) && y->labels[axis] && is_number(&v->sizes[0], size) &&
           pt_units_axis_left(u, v->sizes[0].of, v->sizes[0].axis) != pt_units_axis_left(u, y, axis);
}

/* A Concat like the one there is, which others may read, with other numbers in place of the pieces whose bits are set. */
static int fix_concat_shape(struct pt_units *u, int node, size_t i, const struct pt_axes *y, const struct pt_onnx_node *concat, unsigned changes)
{
    struct pt_onnx_node c = *concat;
    struct pt_str out = pt_edit_name(u->e, c.outputs[0], u->err);
    struct pt_onnx_node *made = out.p ? pt_edit_add_node(u->e, (size_t)node, out, "", "Concat", c.input_count, 1, u->err) : NULL;
    if (!made || pt_edit_set_int(u->e, made, "axis", 0, u->err) < 0)
        return u->err->code;
    made->outputs[0] = out;
    u->e->model.graph.nodes[node + 1].inputs[i] = out;
    for (size_t k = 0; k < c.input_count; k++) {
        struct pt_str piece = c.inputs[k];
        int64_t left = pt_units_axis_left(u, y, (int)k);
        if (changes >> k & 1) {
            piece = pt_units_add_integers(u, piece, pt_units_value(u, piece)->shape->dtype, 1, &left, 1);
            if (!piece.p)
                return u->err->code;
        }
        u->e->model.graph.nodes[node].inputs[k] = piece;
    }
    pt_edit_changed(u->e);
    return PT_OK;
}

static int fix_shape(struct pt_units *u, int node, size_t i)
{
    const struct pt_onnx_node *n = &u->e->model.graph.nodes[node];
    const struct pt_axes *y = pt_units_out(u, n, 0);
    unsigned changes = 0; /* found before the first node is added: the index is gone then */
    if (!y || i >= n->input_count || n->inputs[i].len == 0)
        return PT_OK;
    if (pt_units_constant(u, n, i))
        return fix_constant_shape(u, node, i, y);
    const struct pt_onnx_node *c = concat_of(u, n, i, y->shape->rank);
    for (size_t k = 0; c && k < c->input_count; k++)
        changes |= (unsigned)piece_changes(u, c, k, y) << k;
    return changes ? fix_concat_shape(u, node, i, y, c, changes) : PT_OK; /* else it follows by itself */
}

static int fix_second(struct pt_units *u, int node, int ordinal)
{
    (void)ordinal;
    return fix_shape(u, node, 1);
}

static int fix_fourth(struct pt_units *u, int node, int ordinal)
{
    (void)ordinal;
    return pt_edit_attr(&u->e->model.graph.nodes[node], "axes") ? PT_OK : fix_shape(u, node, 3);
}

/* --- reshapes --------------------------------------------------------------------------------------------------------------------- */

/* Axes [from, to) of a tensor. */
struct span {
    int from, to;
};

/* Which of several axes an axis is split into shrinks: heads of [heads, size], of [3, heads, size]. */
static int preferred_axis(const struct pt_axes *y, const int *axes, int count)
{
    return axes[count > 2 && pt_axis_size(y, axes[0]) <= 4 ? 1 : 0];
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
    chosen = chosen < 0 ? preferred_axis(y, axes, n) : chosen;
    stride = pt_dims_product(y->shape->dims + chosen + 1, ys.to - chosen - 1);
    int64_t size = pt_axis_size(y, chosen);
    int *labels = pt_units_array(u, size);
    for (int64_t i = 0; labels && i < count; i++)
        pt_units_tie(u, flat[i], flat[i / stride % size * stride]);
    for (int64_t i = 0; labels && i < size; i++)
        labels[i] = flat[i * stride];
    y->labels[chosen] = labels;
}

/* Axes of x that together are axes of y together. */
static void label_span(struct pt_units *u, struct pt_axes *x, struct span xs, struct pt_axes *y, struct span ys)
{
    int from = -1, many = 0;
    int64_t count = 1;
    for (int i = xs.from; i < xs.to; i++) {
        count *= pt_axis_size(x, i);
        if (x->labels[i] && pt_axis_size(x, i) > 1)
            from = i, many++;
    }
    if (many == 0)
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
    if (pt_tensor_count(x->shape) > 0)
        relabel(u, x, y);
    else
        pt_units_pin_value(u, x, "it is empty");
    if (pt_str_eq(n->op_type, PT_STR("Reshape")))
        check_sizes(u, n, 1, y);
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
    check_sizes(u, n, 1, y);
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
        check_sizes(u, n, 3, y);
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

static void shape(struct pt_units *u, const struct pt_onnx_node *n)
{
    struct pt_axes *x = pt_units_in(u, n, 0), *y = pt_units_out(u, n, 0);
    int64_t start = pt_edit_attr_int(n, "start", 0), count = pt_tensor_count(y->shape);
    if (!x || !(y->sizes = pt_units_sizes(u, count)))
        return;
    start = start < 0 ? start + x->shape->rank : start;
    for (int64_t i = 0; i < count; i++)
        y->sizes[i] = (struct pt_size_ref){x, (int)(start + i)};
}

const struct pt_unit_rule pt_unit_rules_moving[] = {
    {"", "Reshape", reshape, fix_second, true}, {"", "Flatten", reshape, NULL, false},    {"", "Squeeze", reshape, NULL, true},
    {"", "Unsqueeze", reshape, NULL, true},     {"", "Expand", expand, fix_second, true}, {"", "Transpose", transpose, NULL, false},
    {"", "Shape", shape, NULL, false},          {"", "Pad", same_axes, NULL, false},      {"", "Resize", same_axes, fix_fourth, true},
    {"", "Upsample", same_axes, NULL, false},   {NULL, NULL, NULL, NULL, false},
};
