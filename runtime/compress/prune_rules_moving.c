/* SPDX-License-Identifier: Apache-2.0
 *
 * prune_rules_moving.c: operators that move elements: reshapes, transposes, concats, splits, slices. Labels move as the elements do. Numbers of
 * channels that are written in operands (the shape of a Reshape, the sizes of a Split) are rewritten afterwards.
 */
#include "runtime/compress/prune_units.h"

#define LARGEST ((int64_t)1 << 22) /* labels of one reshape */

static bool sizes_of(const struct pt_axes *v)
{
    return v && v->sizes;
}

static int64_t integer(const struct pt_tensor *t, int64_t i)
{
    int64_t wide = 0;
    int32_t narrow = 0;
    if (t->dtype == PT_INT32) {
        memcpy(&narrow, (const char *)t->data + 4 * i, 4);
        return narrow;
    }
    memcpy(&wide, (const char *)t->data + 8 * i, 8);
    return wide;
}

/* Without the edit's index, which every fix throws away. */
static const struct pt_tensor *constant_in(struct pt_units *u, const struct pt_onnx_node *n, size_t i)
{
    const struct pt_axes *v = pt_units_in(u, n, i);
    return v && v->initializer >= 0 ? &u->e->model.graph.initializers[v->initializer].t : NULL;
}

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

/* Can the entry of operand i that says how long axis `axis` of y is follow, or be rewritten? Else the axis stays as it is. */
static void check_entry(struct pt_units *u, const struct pt_onnx_node *n, size_t i, struct pt_axes *y, int axis)
{
    const struct pt_axes *operand = pt_units_in(u, n, i);
    const struct pt_size_ref *ref = sizes_of(operand) && axis < pt_tensor_count(operand->shape) ? &operand->sizes[axis] : NULL;
    if (!y->labels[axis] || !operand || operand->initializer >= 0 || concat_of(u, n, i, y->shape->rank))
        return;
    if (ref && ref->of && ref->of->labels[ref->axis] && pt_axis_size(ref->of, ref->axis) == pt_axis_size(y, axis))
        pt_units_tie_all(u, y->labels[axis], ref->of->labels[ref->axis], pt_axis_size(y, axis));
    else
        pt_units_pin_axis(u, y, axis, "the shape is computed");
}

/* Sizes in operand i that are of axes which shrink where y's does not. */
static void check_sizes(struct pt_units *u, const struct pt_onnx_node *n, size_t i, struct pt_axes *y)
{
    const struct pt_axes *operand = pt_units_in(u, n, i);
    for (int64_t k = 0; sizes_of(operand) && k < pt_tensor_count(operand->shape); k++)
        if (operand->sizes[k].of && (k >= y->shape->rank || !y->labels[k]))
            pt_units_pin_axis(u, operand->sizes[k].of, operand->sizes[k].axis, "the shape of something else has its size");
    for (int axis = 0; axis < y->shape->rank; axis++)
        check_entry(u, n, i, y, axis);
}

static struct pt_str add_integers(struct pt_units *u, struct pt_str stem, enum pt_dtype dtype, int rank, const int64_t *v, int64_t count)
{
    int32_t narrow[PT_MAX_RANK];
    for (int64_t i = 0; i < count && i < PT_MAX_RANK; i++)
        narrow[i] = (int32_t)v[i];
    struct pt_str name = pt_edit_name(u->e, stem, u->err);
    if (!name.p || pt_edit_add_initializer(u->e, name, dtype, rank, &count, dtype == PT_INT32 ? (const void *)narrow : v, u->err) < 0)
        return (struct pt_str){0};
    return name;
}

/* What entry `was` of a shape says when its axis shrinks from size to left; a 1 that is broadcast stays. */
static int64_t entry(int64_t was, int64_t size, int64_t left)
{
    return was == 1 && size != 1 ? 1 : left;
}

static bool shrinks(struct pt_units *u, const struct pt_axes *y, int axis)
{
    return y->labels[axis] && pt_units_axis_left(u, y, axis) != pt_axis_size(y, axis);
}

static int fix_constant_shape(struct pt_units *u, int node, size_t i, const struct pt_axes *y)
{
    const struct pt_tensor *t = constant_in(u, &u->e->model.graph.nodes[node], i);
    int64_t v[PT_MAX_RANK], count = pt_tensor_count(t);
    int first = y->shape->rank - (int)count; /* an Expand may name fewer */
    bool changed = false;
    for (int64_t k = 0; k < count && k < PT_MAX_RANK; k++) {
        v[k] = integer(t, k);
        if (first + k < 0 || !shrinks(u, y, first + (int)k))
            continue;
        v[k] = entry(v[k], pt_axis_size(y, first + (int)k), pt_units_axis_left(u, y, first + (int)k));
        changed = true;
    }
    struct pt_str old = u->e->model.graph.nodes[node].inputs[i];
    struct pt_str name = changed && count <= PT_MAX_RANK ? add_integers(u, old, PT_INT64, 1, v, count) : old;
    if (!name.p)
        return u->err->code;
    u->e->model.graph.nodes[node].inputs[i] = name;
    return PT_OK;
}

/* A Concat like the one there is, which others may read, with other numbers. */
static int fix_concat_shape(struct pt_units *u, int node, size_t i, const struct pt_axes *y, const struct pt_onnx_node *concat)
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
        const struct pt_axes *v = pt_units_value(u, piece);
        if (shrinks(u, y, (int)k)) {
            const struct pt_tensor *t = constant_in(u, &c, k);
            int64_t left = pt_units_axis_left(u, y, (int)k), now = t ? entry(integer(t, 0), pt_axis_size(y, (int)k), left) : left;
            piece = add_integers(u, piece, v->shape->dtype, 1, &now, 1);
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
    bool any = false;
    for (int axis = 0; y && axis < y->shape->rank; axis++)
        any = any || shrinks(u, y, axis);
    if (!any || i >= n->input_count || n->inputs[i].len == 0)
        return PT_OK;
    if (constant_in(u, n, i))
        return fix_constant_shape(u, node, i, y);
    const struct pt_onnx_node *c = concat_of(u, n, i, y->shape->rank);
    return c ? fix_concat_shape(u, node, i, y, c) : PT_OK; /* else it follows by itself */
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
    if (sizes_of(x) && y->shape->rank <= 1)
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

/* --- concats, splits, slices -------------------------------------------------------------------------------------------------- */

static void concat_sizes(struct pt_units *u, const struct pt_onnx_node *n, struct pt_axes *y)
{
    bool any = false;
    for (size_t i = 0; i < n->input_count; i++)
        any = any || sizes_of(pt_units_in(u, n, i));
    y->sizes = any ? pt_units_sizes(u, pt_tensor_count(y->shape)) : NULL;
    for (size_t i = 0, at = 0; y->sizes && i < n->input_count; i++) {
        const struct pt_axes *x = pt_units_in(u, n, i);
        size_t count = x ? (size_t)pt_tensor_count(x->shape) : 0;
        if (sizes_of(x))
            memcpy(y->sizes + at, x->sizes, count * sizeof *y->sizes);
        at += count;
    }
}

static void concat(struct pt_units *u, const struct pt_onnx_node *n)
{
    struct pt_axes *y = pt_units_out(u, n, 0), *first = pt_units_in(u, n, 0);
    int rank = y->shape->rank, axis = (int)pt_edit_attr_int(n, "axis", 1), *all = NULL;
    axis = axis < 0 ? axis + rank : axis;
    if (rank == 1)
        concat_sizes(u, n, y);
    bool any = false;
    for (size_t i = 0; i < n->input_count; i++) {
        struct pt_axes *x = pt_units_in(u, n, i);
        if (!x || x->shape->rank != rank || axis >= rank)
            return;
        any = any || x->labels[axis];
        for (int k = 0; k < rank; k++)
            if (k != axis && i > 0 && (x->labels[k] || first->labels[k]))
                pt_units_join(u, first, k, x, k);
    }
    for (int k = 0; k < rank; k++)
        y->labels[k] = k == axis ? NULL : first->labels[k];
    if (!any || !(all = pt_units_array(u, pt_axis_size(y, axis))))
        return;
    int64_t at = 0;
    for (size_t i = 0; i < n->input_count && !u->failed; i++) {
        struct pt_axes *x = pt_units_in(u, n, i);
        int64_t count = pt_axis_size(x, axis);
        const int *part = pt_units_want(u, x, axis);
        if (!part)
            part = pt_units_fresh(u, count, "it comes from something that cannot shrink");
        if (part && count)
            memcpy(all + at, part, (size_t)count * sizeof *all);
        at += count;
    }
    y->labels[axis] = all;
}

static int split_axis(const struct pt_onnx_node *n, int rank)
{
    int64_t axis = pt_edit_attr_int(n, "axis", 0);
    return (int)(axis < 0 ? axis + rank : axis);
}

static void split(struct pt_units *u, const struct pt_onnx_node *n)
{
    struct pt_axes *x = pt_units_in(u, n, 0);
    int axis = x ? split_axis(n, x->shape->rank) : 0;
    int64_t at = 0;
    for (size_t k = 0; x && k < n->output_count; k++) {
        struct pt_axes *y = pt_units_out(u, n, k);
        if (!y) {
            pt_units_pin_axis(u, x, axis, "a part of it is not read");
            return;
        }
        for (int i = 0; i < y->shape->rank; i++)
            y->labels[i] = i == axis && x->labels[i] ? x->labels[i] + at : x->labels[i];
        at += pt_axis_size(y, axis);
    }
    if (x && n->input_count > 1 && !constant_in(u, n, 1))
        pt_units_pin_axis(u, x, axis, "the sizes of its parts are computed");
}

static void drop_attr(struct pt_onnx_node *n, const char *name)
{
    size_t kept = 0;
    for (size_t i = 0; i < n->attr_count; i++)
        if (!pt_str_eq(n->attrs[i].name, pt_str(name)))
            n->attrs[kept++] = n->attrs[i];
    n->attr_count = kept;
}

static int fix_split(struct pt_units *u, int node, int ordinal)
{
    (void)ordinal;
    struct pt_onnx_node *n = &u->e->model.graph.nodes[node];
    struct pt_axes *x = pt_units_in(u, n, 0);
    int axis = x ? split_axis(n, x->shape->rank) : 0;
    if (!x || !shrinks(u, x, axis))
        return PT_OK;
    int64_t *sizes = pt_edit_alloc(u->e, n->output_count * sizeof *sizes, u->err), count = (int64_t)n->output_count;
    struct pt_str *inputs = sizes ? pt_edit_alloc(u->e, 2 * sizeof *inputs, u->err) : NULL;
    if (!inputs)
        return u->err->code;
    for (size_t k = 0; k < n->output_count; k++)
        sizes[k] = pt_units_axis_left(u, pt_units_out(u, n, k), axis);
    if (pt_edit_opset(u->e, "") < 13)
        return pt_edit_set_ints(u->e, n, "split", sizes, n->output_count, u->err);
    struct pt_str name = pt_edit_name(u->e, PT_STR("split"), u->err);
    if (!name.p || pt_edit_add_initializer(u->e, name, PT_INT64, 1, &count, sizes, u->err) < 0)
        return u->err->code;
    inputs[0] = n->inputs[0];
    inputs[1] = name;
    n->inputs = inputs;
    n->input_count = 2;
    drop_attr(n, "num_outputs");
    pt_edit_changed(u->e);
    return PT_OK;
}

/* Operand `which` of a Slice (1 starts, 2 ends, 3 axes, 4 steps), an attribute in old operator sets. -1: not constant; else how many there are. */
static int64_t slice_operand(struct pt_units *u, const struct pt_onnx_node *n, size_t which, int64_t *out)
{
    static const char *const names[] = {"", "starts", "ends", "axes", "steps"};
    const struct pt_onnx_attr *a = pt_edit_attr(n, names[which]);
    const struct pt_tensor *t = constant_in(u, n, which);
    if (!a && !t)
        return which < n->input_count && n->inputs[which].len ? -1 : 0;
    int64_t count = a ? (int64_t)a->count : pt_tensor_count(t);
    for (int64_t i = 0; i < count && i < PT_MAX_RANK; i++)
        out[i] = a ? a->ints[i] : integer(t, i);
    return count > PT_MAX_RANK ? -1 : count;
}

/* Where axis `axis` begins and in what steps. false: not known before the run. */
static bool slice_of(struct pt_units *u, const struct pt_onnx_node *n, const struct pt_axes *x, int axis, int64_t *start, int64_t *step)
{
    int64_t starts[PT_MAX_RANK], axes[PT_MAX_RANK], steps[PT_MAX_RANK];
    int64_t ns = slice_operand(u, n, 1, starts), na = slice_operand(u, n, 3, axes), nt = slice_operand(u, n, 4, steps), end[PT_MAX_RANK];
    bool fixed = slice_operand(u, n, 2, end) >= 0;
    *start = 0;
    *step = 1;
    if (na < 0)
        return false;
    for (int64_t i = 0; i < (na ? na : x->shape->rank); i++) {
        int64_t at = na ? axes[i] : i;
        if ((at < 0 ? at + x->shape->rank : at) != axis || (na == 0 && ns >= 0 && i >= ns))
            continue;
        if (ns < 0 || nt < 0 || !fixed)
            return false;
        *step = nt ? steps[i] : 1;
        *start = starts[i] < 0 ? starts[i] + pt_axis_size(x, axis) : starts[i];
        *start = *start < 0 ? 0 : *start;
    }
    return true;
}

static void slice(struct pt_units *u, const struct pt_onnx_node *n)
{
    struct pt_axes *x = pt_units_in(u, n, 0), *y = pt_units_out(u, n, 0);
    int64_t start, step;
    for (int i = 0; x && i < x->shape->rank; i++) {
        bool known = (x->labels[i] || sizes_of(x)) && slice_of(u, n, x, i, &start, &step);
        if (sizes_of(x) && known && step == 1 && i == 0)
            y->sizes = x->sizes + start;
        if (known && step == 1 && start + pt_axis_size(y, i) <= pt_axis_size(x, i))
            y->labels[i] = x->labels[i] ? x->labels[i] + start : NULL;
        else if (x->labels[i])
            pt_units_pin_axis(u, x, i, "which of them it takes is computed, or not every one of a range");
        if (sizes_of(x) && !y->sizes)
            for (int64_t k = 0; k < pt_tensor_count(x->shape); k++)
                if (x->sizes[k].of)
                    pt_units_pin_axis(u, x->sizes[k].of, x->sizes[k].axis, "the number of channels is computed with");
    }
}

static int set_slice_operand(struct pt_units *u, int node, size_t which, const char *attr, const int64_t *v, int64_t count)
{
    struct pt_onnx_node *n = &u->e->model.graph.nodes[node];
    if (pt_edit_attr(n, attr))
        return pt_edit_set_ints(u->e, n, attr, v, (size_t)count, u->err);
    const struct pt_tensor *before = constant_in(u, n, which);
    struct pt_str name = add_integers(u, n->inputs[which], before ? before->dtype : PT_INT64, 1, v, count);
    if (!name.p)
        return u->err->code;
    u->e->model.graph.nodes[node].inputs[which] = name;
    return PT_OK;
}

static int fix_slice(struct pt_units *u, int node, int ordinal)
{
    (void)ordinal;
    const struct pt_onnx_node *n = &u->e->model.graph.nodes[node];
    struct pt_axes *x = pt_units_in(u, n, 0), *y = pt_units_out(u, n, 0);
    int64_t starts[PT_MAX_RANK], ends[PT_MAX_RANK], axes[PT_MAX_RANK], start, step;
    int64_t ns = x ? slice_operand(u, n, 1, starts) : -1, ne = x ? slice_operand(u, n, 2, ends) : -1, na = slice_operand(u, n, 3, axes);
    bool changed = false;
    for (int64_t i = 0; ns == ne && i < ns; i++) {
        int axis = (int)(na > 0 ? axes[i] + (axes[i] < 0 ? x->shape->rank : 0) : i);
        if (!shrinks(u, x, axis) || !slice_of(u, n, x, axis, &start, &step))
            continue;
        starts[i] = pt_units_left(u, x->labels[axis], start);
        ends[i] = starts[i] + pt_units_axis_left(u, y, axis);
        changed = true;
    }
    if (!changed)
        return PT_OK;
    int rc = set_slice_operand(u, node, 1, "starts", starts, ns);
    return rc < 0 ? rc : set_slice_operand(u, node, 2, "ends", ends, ns);
}

static void gather(struct pt_units *u, const struct pt_onnx_node *n)
{
    struct pt_axes *x = pt_units_in(u, n, 0), *at = pt_units_in(u, n, 1), *y = pt_units_out(u, n, 0);
    const struct pt_tensor *t = constant_in(u, n, 1);
    int64_t axis = pt_edit_attr_int(n, "axis", 0);
    if (!x || !at)
        return;
    axis = axis < 0 ? axis + x->shape->rank : axis;
    for (int i = 0; i < x->shape->rank; i++) {
        if (i == (int)axis)
            pt_units_pin_axis(u, x, i, "its indices are places along it");
        else
            y->labels[i < (int)axis ? i : i - 1 + at->shape->rank] = pt_units_want(u, x, i);
    }
    pt_units_pin_value(u, at, "indices cannot shrink");
    if (!sizes_of(x))
        return;
    int64_t count = pt_tensor_count(y->shape), all = pt_tensor_count(x->shape);
    struct pt_size_ref *sizes = t ? pt_units_sizes(u, count) : NULL;
    for (int64_t i = 0; i < all && !t && !u->failed; i++)
        if (x->sizes[i].of)
            pt_units_pin_axis(u, x->sizes[i].of, x->sizes[i].axis, "the number of channels is computed with");
    for (int64_t i = 0; sizes && i < count; i++) {
        int64_t k = integer(t, i);
        sizes[i] = x->sizes[k < 0 ? k + all : k];
    }
    y->sizes = sizes;
}

const struct pt_unit_rule pt_unit_rules_moving[] = {
    {"", "Reshape", reshape, fix_second, true},  {"", "Flatten", reshape, NULL, false},    {"", "Squeeze", reshape, NULL, true},
    {"", "Unsqueeze", reshape, NULL, true},      {"", "Expand", expand, fix_second, true}, {"", "Transpose", transpose, NULL, false},
    {"", "Shape", shape, NULL, false},           {"", "Concat", concat, NULL, true},       {"", "Split", split, fix_split, false},
    {"", "Slice", slice, fix_slice, true},       {"", "Gather", gather, NULL, true},       {"", "Pad", same_axes, NULL, false},
    {"", "Resize", same_axes, fix_fourth, true}, {"", "Upsample", same_axes, NULL, false}, {NULL, NULL, NULL, NULL, false},
};
