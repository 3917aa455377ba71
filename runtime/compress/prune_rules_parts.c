/* SPDX-License-Identifier: Apache-2.0
 *
 * prune_rules_parts.c: operators that put axes together or take parts of them: concats, splits, slices, gathers. Labels are put together and cut the
 * same way; sizes and places that are written in operands are rewritten afterwards.
 */
#include "runtime/compress/prune_units.h"

static void concat_sizes(struct pt_units *u, const struct pt_onnx_node *n, struct pt_axes *y)
{
    bool any = false;
    for (size_t i = 0; i < n->input_count; i++)
        any = any || pt_axes_has_sizes(pt_units_in(u, n, i));
    y->sizes = any ? pt_units_sizes(u, pt_tensor_count(y->shape)) : NULL;
    for (size_t i = 0, at = 0; y->sizes && i < n->input_count; i++) {
        const struct pt_axes *x = pt_units_in(u, n, i);
        int64_t count = x ? pt_tensor_count(x->shape) : 0;
        for (int64_t k = 0; k < count; k++, at++)
            if (pt_axes_has_sizes(x))
                y->sizes[at] = x->sizes[k];
            else
                (void)pt_units_number(u, n, i, k, &y->sizes[at]);
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
    pt_units_want_all(u, x);
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
    if (x && n->input_count > 1 && !pt_units_constant(u, n, 1))
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
    if (!x || !pt_units_shrinks(u, x, axis))
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

/* Operand `which` of a Slice (1 starts, 2 ends, 3 axes, 4 steps), an attribute in old operator sets. -1: no numbers; else how many there are. */
static int64_t slice_operand(struct pt_units *u, const struct pt_onnx_node *n, size_t which, int64_t *out)
{
    static const char *const names[] = {"", "starts", "ends", "axes", "steps"};
    const struct pt_onnx_attr *a = pt_edit_attr(n, names[which]);
    const struct pt_axes *v = pt_units_in(u, n, which);
    struct pt_size_ref s = {.value = 0};
    if (!a && !v)
        return which < n->input_count && n->inputs[which].len ? -1 : 0;
    int64_t count = a ? (int64_t)a->count : pt_tensor_count(v->shape);
    for (int64_t i = 0; i < count && i < PT_MAX_RANK; i++) {
        if (!a && (!pt_units_number(u, n, which, i, &s) || s.rest.len))
            return -1;
        out[i] = a ? a->ints[i] : s.value;
    }
    return count > PT_MAX_RANK ? -1 : count;
}

/* Will an operand that is computed be another number than it was? */
static bool slice_operand_moves(struct pt_units *u, const struct pt_onnx_node *n, size_t which)
{
    const struct pt_axes *v = pt_units_in(u, n, which);
    bool moves = false;
    for (int64_t i = 0; pt_axes_has_sizes(v) && i < pt_tensor_count(v->shape); i++)
        moves = moves || (v->sizes[i].of && pt_units_shrinks(u, v->sizes[i].of, v->sizes[i].axis));
    return moves;
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
    int64_t start, step, numbers[PT_MAX_RANK];
    bool rewritable = slice_operand(u, n, 1, numbers) >= 0 && slice_operand(u, n, 2, numbers) >= 0 && slice_operand(u, n, 3, numbers) >= 0;
    for (size_t i = rewritable ? 3 : 1; i < 5; i++)
        pt_units_pin_sizes(u, pt_units_in(u, n, i));
    for (int i = 0; x && i < x->shape->rank; i++) {
        bool known = (x->labels[i] || pt_axes_has_sizes(x)) && slice_of(u, n, x, i, &start, &step);
        if (pt_axes_has_sizes(x) && known && step == 1 && i == 0)
            y->sizes = x->sizes + start;
        if (known && step == 1 && start + pt_axis_size(y, i) <= pt_axis_size(x, i))
            y->labels[i] = x->labels[i] ? x->labels[i] + start : NULL;
        else if (x->labels[i])
            pt_units_pin_axis(u, x, i, "which of them it takes is computed, or not every one of a range");
        if (!y->sizes)
            pt_units_pin_sizes(u, x);
    }
}

static int set_slice_operand(struct pt_units *u, int node, size_t which, const char *attr, const int64_t *v, int64_t count)
{
    struct pt_onnx_node *n = &u->e->model.graph.nodes[node];
    if (pt_edit_attr(n, attr))
        return pt_edit_set_ints(u->e, n, attr, v, (size_t)count, u->err);
    struct pt_str name = pt_units_add_integers(u, n->inputs[which], pt_units_in(u, n, which)->shape->dtype, 1, v, count);
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
    bool changed = slice_operand_moves(u, n, 1) || slice_operand_moves(u, n, 2);
    for (int64_t i = 0; ns == ne && i < ns; i++) {
        int axis = (int)(na > 0 ? axes[i] + (axes[i] < 0 ? x->shape->rank : 0) : i);
        if (!pt_units_shrinks(u, x, axis) || !slice_of(u, n, x, axis, &start, &step))
            continue;
        starts[i] = pt_units_left(u, x->labels[axis], start);
        ends[i] = starts[i] + pt_units_axis_left(u, y, axis);
        changed = true;
    }
    if (!changed || ns < 0 || ns != ne)
        return PT_OK;
    int rc = set_slice_operand(u, node, 1, "starts", starts, ns);
    return rc < 0 ? rc : set_slice_operand(u, node, 2, "ends", ends, ns);
}

static void gather(struct pt_units *u, const struct pt_onnx_node *n)
{
    struct pt_axes *x = pt_units_in(u, n, 0), *at = pt_units_in(u, n, 1), *y = pt_units_out(u, n, 0);
    const struct pt_tensor *t = pt_units_constant(u, n, 1);
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
    if (!pt_axes_has_sizes(x))
        return;
    int64_t count = pt_tensor_count(y->shape), all = pt_tensor_count(x->shape);
    struct pt_size_ref *sizes = t ? pt_units_sizes(u, count) : NULL;
    if (!t)
        pt_units_pin_sizes(u, x);
    for (int64_t i = 0; sizes && i < count; i++) {
        int64_t k = pt_tensor_integer(t, i);
        sizes[i] = x->sizes[k < 0 ? k + all : k];
    }
    y->sizes = sizes;
}

const struct pt_unit_rule pt_unit_rules_parts[] = {
    {"", "Concat", concat, NULL, true}, {"", "Split", split, fix_split, false}, {"", "Slice", slice, fix_slice, true},
    {"", "Gather", gather, NULL, true}, {NULL, NULL, NULL, NULL, false},
};
