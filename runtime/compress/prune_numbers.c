/* SPDX-License-Identifier: Apache-2.0
 *
 * prune_numbers.c: integers that shapes are made of: Shape, arithmetic, and the operands that are shapes.
 *
 * Exporters write the number of channels as a constant, take it from a Shape, or compute with it: the size of a head is the width by the number of
 * heads, and what PyTorch's MultiheadAttention reshapes to is the batch times the heads. Every integer on its way to a shape is therefore one of
 *
 *     a constant                             rewritten where it says how long an axis is
 *     the size of an axis that could shrink  a number, since such an axis is of the weights' making; it follows by itself where both shrink alike
 *     computed from such                     the same, times one integer that does depend on what the model reads ("rest"): rewritten as a product
 *     any other                              it must not say how long something is that shrinks
 *
 * Rewritten is the operand that is the shape, never the arithmetic in front of it, which others may read. An axis whose size goes into anything else
 * (a scale that is computed from it, say) stays.
 */
#include "runtime/compress/prune_units.h"

void pt_units_pin_sizes(struct pt_units *u, const struct pt_axes *v)
{
    int64_t n = v && v->sizes ? pt_tensor_count(v->shape) : 0;
    for (int64_t i = 0; i < n; i++)
        if (v->sizes[i].of)
            pt_units_pin_axis(u, v->sizes[i].of, v->sizes[i].axis, "the number of channels is computed with");
}

static bool is_integer(const struct pt_tensor *t)
{
    return t->dtype == PT_INT64 || t->dtype == PT_INT32;
}

/* Is it the size of an axis that could shrink? One that was so long when the model was run is so always. */
static bool is_fixed(const struct pt_size_ref *s)
{
    return s->is_number || (s->of && (s->of->labels[s->axis] || s->of->initializer >= 0));
}

static struct pt_size_ref as_number(const struct pt_size_ref *s)
{
    return s->is_number ? *s : (struct pt_size_ref){.of = s->of, .axis = s->axis, .is_number = true, .value = pt_axis_size(s->of, s->axis)};
}

bool pt_units_number(struct pt_units *u, const struct pt_onnx_node *n, size_t i, int64_t at, struct pt_size_ref *out)
{
    const struct pt_tensor *t = pt_units_constant(u, n, i);
    const struct pt_axes *v = pt_units_in(u, n, i);
    if (t && is_integer(t) && at < pt_tensor_count(t))
        *out = (struct pt_size_ref){.is_number = true, .value = pt_tensor_integer(t, at)};
    else if (pt_axes_has_sizes(v) && at < pt_tensor_count(v->shape) && is_fixed(&v->sizes[at]))
        *out = as_number(&v->sizes[at]);
    else
        return false;
    return true;
}

/* --- rules -------------------------------------------------------------------------------------------------------------------- */

static void shape(struct pt_units *u, const struct pt_onnx_node *n)
{
    struct pt_axes *x = pt_units_in(u, n, 0), *y = pt_units_out(u, n, 0);
    int64_t start = pt_edit_attr_int(n, "start", 0), count = pt_tensor_count(y->shape);
    if (!x || !(y->sizes = pt_units_sizes(u, count)))
        return;
    start = start < 0 ? start + x->shape->rank : start;
    for (int64_t i = 0; i < count; i++)
        y->sizes[i] = (struct pt_size_ref){.of = x, .axis = (int)(start + i)};
}

static bool compute(const struct pt_onnx_node *n, int64_t a, int64_t b, int64_t *out)
{
    if (pt_node_is(n, "", "Add"))
        return !__builtin_add_overflow(a, b, out);
    if (pt_node_is(n, "", "Sub"))
        return !__builtin_sub_overflow(a, b, out);
    if (pt_node_is(n, "", "Mul"))
        return !__builtin_mul_overflow(a, b, out);
    if (a < 0 || b <= 0)
        return false;
    *out = pt_node_is(n, "", "Div") ? a / b : a % b;
    return true;
}

/* Place k of operand i, which may be one for all. */
static bool operand_number(struct pt_units *u, const struct pt_onnx_node *n, size_t i, int64_t k, struct pt_size_ref *out)
{
    const struct pt_axes *v = pt_units_in(u, n, i);
    return v && pt_units_number(u, n, i, pt_tensor_count(v->shape) == 1 ? 0 : k, out);
}

/* A number times an integer of the graph that is none. */
static bool times_rest(struct pt_units *u, const struct pt_onnx_node *n, struct pt_size_ref *out)
{
    struct pt_size_ref a;
    size_t number = operand_number(u, n, 0, 0, &a) ? 0 : 1;
    const struct pt_axes *rest = pt_units_in(u, n, 1 - number);
    if (!pt_node_is(n, "", "Mul") || !rest || !operand_number(u, n, number, 0, &a) || a.rest.len || a.value <= 0 ||
        pt_tensor_count(rest->shape) != 1 || pt_tensor_count(pt_units_in(u, n, number)->shape) != 1)
        return false;
    a.rest = rest->name;
    *out = a;
    return true;
}

static bool result_number(struct pt_units *u, const struct pt_onnx_node *n, int64_t k, struct pt_size_ref *out)
{
    struct pt_size_ref a, b;
    if (!operand_number(u, n, 0, k, &a) || !operand_number(u, n, 1, k, &b))
        return times_rest(u, n, out);
    if ((a.of && b.of) || (a.rest.len && b.rest.len) || ((a.rest.len || b.rest.len) && !pt_node_is(n, "", "Mul")))
        return false;
    *out = (struct pt_size_ref){.of = a.of ? a.of : b.of, .axis = a.of ? a.axis : b.axis, .is_number = true, .rest = a.rest.len ? a.rest : b.rest};
    return compute(n, a.value, b.value, &out->value);
}

static bool is_number_or_sized(struct pt_units *u, const struct pt_onnx_node *n, size_t i)
{
    const struct pt_tensor *t = pt_units_constant(u, n, i);
    return pt_axes_has_sizes(pt_units_in(u, n, i)) || (t && is_integer(t) && pt_tensor_count(t) <= PT_MAX_RANK);
}

/* Add, Sub, Mul, Div and Mod, of integers too. */
static void arithmetic(struct pt_units *u, const struct pt_onnx_node *n)
{
    struct pt_axes *x[2] = {pt_units_in(u, n, 0), pt_units_in(u, n, 1)}, *y = pt_units_out(u, n, 0);
    bool sized = pt_axes_has_sizes(x[0]) || pt_axes_has_sizes(x[1]) || (is_number_or_sized(u, n, 0) && is_number_or_sized(u, n, 1));
    bool known = sized && is_integer(y->shape) && y->shape->rank <= 1;
    int64_t count = known ? pt_tensor_count(y->shape) : 0;
    struct pt_size_ref *sizes = known ? pt_units_sizes(u, count) : NULL;
    for (int64_t k = 0; sizes && k < count && known; k++)
        known = result_number(u, n, k, &sizes[k]);
    if (known)
        y->sizes = sizes;
    else
        for (int i = 0; i < 2; i++)
            pt_units_pin_sizes(u, x[i]);
    pt_units_elementwise(u, n);
}

const struct pt_unit_rule pt_unit_rules_numbers[] = {
    {"", "Shape", shape, NULL, false},   {"", "Add", arithmetic, NULL, true}, {"", "Sub", arithmetic, NULL, true},
    {"", "Mul", arithmetic, NULL, true}, {"", "Div", arithmetic, NULL, true}, {"", "Mod", arithmetic, NULL, true},
    {NULL, NULL, NULL, NULL, false},
};

/* --- shapes: what can follow ---------------------------------------------------------------------------------------------------- */

/* A shape in an operand of a node. */
struct written {
    const struct pt_onnx_node *concat; /* of single integers, that makes it; NULL: none */
    const struct pt_axes *operand;
    int64_t count;
    int first;    /* axis of y that the first integer is for: an Expand may name fewer */
    bool numbers; /* each is a number without a rest */
};

/* The constant number that piece k of a Concat is, perhaps cast or reshaped on its way; NULL: it is none. Needs the edit's index. */
static const struct pt_tensor *piece_constant(struct pt_units *u, const struct pt_onnx_node *n, size_t k)
{
    static const char *const through[] = {"Cast", "Identity", "Unsqueeze", "Squeeze"};
    for (int depth = 0; depth < 8; depth++) {
        const struct pt_tensor *t = pt_units_constant(u, n, k);
        if (t)
            return is_integer(t) && pt_tensor_count(t) == 1 ? t : NULL;
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

/* The Concat of single integers that makes operand i, or NULL. */
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

static struct written written_in(struct pt_units *u, const struct pt_onnx_node *n, size_t i, const struct pt_axes *y)
{
    struct pt_size_ref s;
    struct written w = {.operand = pt_units_in(u, n, i)};
    w.count = w.operand ? pt_tensor_count(w.operand->shape) : 0;
    w.first = y->shape->rank - (int)w.count;
    w.concat = w.operand && w.operand->initializer < 0 ? concat_of(u, n, i, y->shape->rank) : NULL;
    w.numbers = w.count > 0 && w.count <= PT_MAX_RANK;
    for (int64_t k = 0; w.numbers && k < w.count; k++)
        w.numbers = pt_units_number(u, n, i, k, &s) && !s.rest.len;
    return w;
}

/* Integer k of it. *constant: it is one, and not computed from anything. false: it is no number. */
static bool written_number(struct pt_units *u, const struct written *w, int64_t k, struct pt_size_ref *out, bool *constant)
{
    const struct pt_tensor *t = w->concat                      ? piece_constant(u, w->concat, (size_t)k)
                                : w->operand->initializer >= 0 ? &u->e->model.graph.initializers[w->operand->initializer].t
                                                               : NULL;
    *constant = false;
    if (t)
        *out = (struct pt_size_ref){.is_number = true, .value = pt_tensor_integer(t, w->concat ? 0 : k)};
    else if (!pt_axes_has_sizes(w->operand) || !is_fixed(&w->operand->sizes[k]))
        return false;
    else
        *out = as_number(&w->operand->sizes[k]);
    *constant = !out->of && !out->rest.len;
    /* what it is multiplied with must be of the type that the product has */
    const struct pt_tensor *rest = out->rest.len ? pt_shape_of(u->shapes, out->rest) : NULL;
    return !out->rest.len || (rest && rest->dtype == w->operand->shape->dtype);
}

/* A constant entry of a shape says how long its axis is, that it follows from the rest (-1) or another shape (0), or that it is repeated (1). A -1
 * may stand for more than our axis, when a batch is folded into it, so only what is the size itself is ever rewritten. */
static bool entry_follows(int64_t entry, int64_t size)
{
    return entry == size || entry <= 0 || entry == 1;
}

static void pin_source(struct pt_units *u, const struct written *w, int64_t k)
{
    if (pt_axes_has_sizes(w->operand) && w->operand->sizes[k].of)
        pt_units_pin_axis(u, w->operand->sizes[k].of, w->operand->sizes[k].axis, "the shape of something else has its size");
}

/* Can integer k follow, or be rewritten? Else the axis that it is for, and the one that it comes from, stay as they are. */
static void check_entry(struct pt_units *u, const struct written *w, int64_t k, struct pt_axes *y)
{
    int axis = w->first + (int)k;
    int64_t size = axis >= 0 ? pt_axis_size(y, axis) : 0;
    struct pt_size_ref s;
    bool constant, number = written_number(u, w, k, &s, &constant), known = axis >= 0 && number;
    if (constant && known && (!y->labels[axis] || entry_follows(s.value, size)))
        return;
    if (known && !constant && s.value > 0 && size % s.value == 0 && (s.rest.len || s.value == size))
        return;
    if (axis >= 0)
        pt_units_pin(u, y->labels[axis], size, "the shape is computed");
    pin_source(u, w, k);
}

void pt_units_check_shape(struct pt_units *u, const struct pt_onnx_node *n, size_t i, struct pt_axes *y)
{
    struct written w = {.count = 0};
    if (pt_units_in(u, n, i))
        w = written_in(u, n, i, y);
    for (int64_t k = 0; k < w.count; k++)
        check_entry(u, &w, k, y);
}

/* --- shapes: what is rewritten -------------------------------------------------------------------------------------------------- */

/* Would integer k no longer say how long its axis is? *out: what it must be, times the rest. */
static bool must_change(struct pt_units *u, const struct written *w, int64_t k, const struct pt_axes *y, struct pt_size_ref *out)
{
    int axis = w->first + (int)k;
    bool constant;
    if (axis < 0 || !written_number(u, w, k, out, &constant))
        return false;
    int64_t size = pt_axis_size(y, axis), left = pt_units_axis_left(u, y, axis), value = out->value;
    if (constant)
        out->value = left;
    else if (value > 0 && size % value == 0)
        out->value = left / (size / value);
    if (constant || value <= 0 || size % value)
        return constant && value == size && left != size;
    bool same = !w->operand->sizes[k].is_number; /* the size of an axis itself: right as long as both lose as much */
    return same ? pt_units_axis_left(u, out->of, out->axis) != left : left != size || (out->of && pt_units_shrinks(u, out->of, out->axis));
}

/* A constant with the changed integers in it; the others are as they were. */
static int write_constant(struct pt_units *u, int node, size_t i, const struct pt_axes *y, const struct written *w)
{
    int64_t v[PT_MAX_RANK];
    bool changed = false, constant;
    for (int64_t k = 0; k < w->count && k < PT_MAX_RANK; k++) {
        struct pt_size_ref was, is;
        bool changes = must_change(u, w, k, y, &is);
        v[k] = changes ? is.value : written_number(u, w, k, &was, &constant) ? was.value : 0;
        changed = changed || changes;
    }
    struct pt_str old = u->e->model.graph.nodes[node].inputs[i];
    struct pt_str name = changed && w->count <= PT_MAX_RANK ? pt_units_add_integers(u, old, PT_INT64, 1, v, w->count) : old;
    if (!name.p)
        return u->err->code;
    u->e->model.graph.nodes[node].inputs[i] = name;
    return PT_OK;
}

/* A node in front of node *node, which is moved on. */
static struct pt_onnx_node *put_before(struct pt_units *u, int *node, const char *op, struct pt_str stem, size_t inputs)
{
    struct pt_str out = pt_edit_name(u->e, stem, u->err);
    struct pt_onnx_node *made = out.p ? pt_edit_add_node(u->e, (size_t)*node, out, "", op, inputs, 1, u->err) : NULL;
    if (!made)
        return NULL;
    made->outputs[0] = out;
    (*node)++;
    return made;
}

/* The integer that is s, in front of node *node. */
static struct pt_str write_piece(struct pt_units *u, int *node, const struct pt_axes *shape, const struct pt_size_ref *s)
{
    struct pt_str value = pt_units_add_integers(u, shape->name, shape->shape->dtype, 1, &s->value, 1);
    if (!value.p || !s->rest.len)
        return value;
    struct pt_onnx_node *product = put_before(u, node, "Mul", shape->name, 2);
    if (!product)
        return (struct pt_str){0};
    product->inputs[0] = s->rest;
    product->inputs[1] = value;
    return product->outputs[0];
}

/* Integer k as it was. */
static struct pt_str old_piece(struct pt_units *u, int *node, const struct written *w, int64_t k)
{
    if (w->concat)
        return w->concat->inputs[k];
    struct pt_str at = pt_units_add_integers(u, w->operand->name, PT_INT64, 1, &k, 1);
    struct pt_onnx_node *n = at.p ? put_before(u, node, "Gather", w->operand->name, 2) : NULL;
    if (!n)
        return (struct pt_str){0};
    n->inputs[0] = w->operand->name;
    n->inputs[1] = at;
    return n->outputs[0];
}

/* A Concat of the changed integers and of the others as they were; what there is stays, others may read it. All that is asked of the edit's index is
 * asked before the first node is added. */
static int write_concat(struct pt_units *u, int node, size_t i, const struct pt_axes *y, const struct written *w)
{
    const struct pt_onnx_node copy = w->concat ? *w->concat : (struct pt_onnx_node){.input_count = 0};
    struct written now = *w;
    struct pt_size_ref is[PT_MAX_RANK];
    struct pt_str pieces[PT_MAX_RANK];
    bool changes[PT_MAX_RANK], changed = false;
    now.concat = w->concat ? &copy : NULL;
    for (int64_t k = 0; k < w->count; k++) {
        changes[k] = must_change(u, w, k, y, &is[k]);
        changed = changed || changes[k];
    }
    if (!changed)
        return PT_OK;
    for (int64_t k = 0; k < w->count; k++) {
        pieces[k] = changes[k] ? write_piece(u, &node, w->operand, &is[k]) : old_piece(u, &node, &now, k);
        if (!pieces[k].p)
            return u->err->code;
    }
    struct pt_onnx_node *made = put_before(u, &node, "Concat", w->operand->name, (size_t)w->count);
    if (!made || pt_edit_set_int(u->e, made, "axis", 0, u->err) < 0)
        return u->err->code;
    memcpy(made->inputs, pieces, (size_t)w->count * sizeof *pieces);
    u->e->model.graph.nodes[node].inputs[i] = made->outputs[0];
    pt_edit_changed(u->e);
    return PT_OK;
}

int pt_units_fix_shape(struct pt_units *u, int node, size_t i)
{
    const struct pt_onnx_node *n = &u->e->model.graph.nodes[node];
    const struct pt_axes *y = pt_units_out(u, n, 0);
    if (!y || i >= n->input_count || n->inputs[i].len == 0 || !pt_units_in(u, n, i))
        return PT_OK;
    struct written w = written_in(u, n, i, y);
    if (w.count > PT_MAX_RANK)
        return PT_OK;
    return w.numbers && !w.concat ? write_constant(u, node, i, y, &w) : write_concat(u, node, i, y, &w);
}
