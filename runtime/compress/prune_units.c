/* SPDX-License-Identifier: Apache-2.0
 *
 * prune_units.c: the walk through the graph, and the union-find that it fills.
 */
#include "runtime/compress/prune_units.h"

#define LARGEST_INPUT 65536 /* units of one of its axes */

const char pt_units_is_input[] = "an input of the model cannot shrink";

static void fail_memory(struct pt_units *u)
{
    if (!u->failed)
        pt_fail(u->err, PT_ENOMEM, "out of memory for pruning");
    u->failed = true;
}

static void *alloc(struct pt_units *u, size_t bytes)
{
    void *p = u->failed ? NULL : pt_arena_alloc(&u->arena, bytes ? bytes : 1);
    if (!p)
        fail_memory(u);
    return p;
}

/* --- units ------------------------------------------------------------------------------------------------------------------ */

int pt_units_root(struct pt_units *u, int unit)
{
    while (u->units[unit].parent != unit) {
        u->units[unit].parent = u->units[u->units[unit].parent].parent;
        unit = u->units[unit].parent;
    }
    return unit;
}

static void pin_unit(struct pt_units *u, int unit, const char *why)
{
    struct pt_unit *r = &u->units[pt_units_root(u, unit)];
    if (!r->why) {
        r->why = why;
        r->pinned_by = u->node;
    }
}

int *pt_units_array(struct pt_units *u, int64_t count)
{
    return alloc(u, (size_t)count * sizeof(int));
}

struct pt_size_ref *pt_units_sizes(struct pt_units *u, int64_t count)
{
    return alloc(u, (size_t)count * sizeof(struct pt_size_ref));
}

int *pt_units_fresh(struct pt_units *u, int64_t count, const char *why)
{
    int *labels = pt_units_array(u, count);
    if (!labels)
        return NULL;
    if (u->count + (size_t)count > u->room) {
        size_t room = 2 * (u->count + (size_t)count);
        struct pt_unit *more = room > INT32_MAX ? NULL : pt_reallocarray(u->units, room, sizeof *more);
        if (!more) {
            fail_memory(u);
            return NULL;
        }
        u->units = more;
        u->room = room;
    }
    for (int64_t i = 0; i < count; i++) {
        labels[i] = (int)u->count;
        u->units[u->count] = (struct pt_unit){.parent = (int)u->count, .pinned_by = -1, .tied_by = -1};
        u->count++;
        if (why)
            pin_unit(u, labels[i], why);
    }
    return labels;
}

void pt_units_tie(struct pt_units *u, int a, int b)
{
    int x = pt_units_root(u, a), y = pt_units_root(u, b);
    if (x == y)
        return;
    struct pt_unit *to = &u->units[x < y ? x : y], *from = &u->units[x < y ? y : x];
    from->parent = x < y ? x : y;
    to->tied_by = u->node;
    to->head = to->head || from->head;
    if (to->why && !from->why && to->pinned_by < 0) /* an input of the model: what it is tied by says more */
        to->pinned_by = u->node;
    if (!to->why && from->why) {
        to->why = from->why;
        to->pinned_by = from->pinned_by < 0 ? u->node : from->pinned_by;
    }
}

void pt_units_tie_all(struct pt_units *u, const int *a, const int *b, int64_t count)
{
    for (int64_t i = 0; a && b && a != b && i < count; i++)
        pt_units_tie(u, a[i], b[i]);
}

void pt_units_pin(struct pt_units *u, const int *labels, int64_t count, const char *why)
{
    for (int64_t i = 0; labels && i < count; i++)
        pin_unit(u, labels[i], why);
}

void pt_units_mark_heads(struct pt_units *u, const int *labels, int64_t count)
{
    for (int64_t i = 0; labels && i < count; i++)
        u->units[pt_units_root(u, labels[i])].head = true;
}

/* --- values ----------------------------------------------------------------------------------------------------------------- */

struct pt_axes *pt_units_value(struct pt_units *u, struct pt_str name)
{
    struct pt_axes *v = name.len ? pt_map_get(&u->values, name) : NULL;
    const struct pt_tensor *shape = v || u->failed ? NULL : pt_shape_of(u->shapes, name);
    if (v || !shape)
        return v;
    const struct pt_edit_value *x = pt_edit_value(u->e, name, NULL);
    if (!(v = alloc(u, sizeof *v)))
        return NULL;
    *v = (struct pt_axes){.name = name, .shape = shape, .initializer = x ? x->initializer : -1};
    if (pt_map_set(&u->values, name, v, NULL, u->err) < 0)
        u->failed = true;
    if (v->initializer >= 0 && !pt_dtype_size(shape->dtype))
        v->frozen = "its elements are packed";
    if (v->initializer >= 0 && (x->captured || x->is_output))
        v->frozen = x->captured ? "a graph inside a node reads it" : "it is an output of the model";
    return u->failed ? NULL : v;
}

struct pt_axes *pt_units_in(struct pt_units *u, const struct pt_onnx_node *n, size_t i)
{
    return i < n->input_count ? pt_units_value(u, n->inputs[i]) : NULL;
}

struct pt_axes *pt_units_out(struct pt_units *u, const struct pt_onnx_node *n, size_t i)
{
    return i < n->output_count ? pt_units_value(u, n->outputs[i]) : NULL;
}

int *pt_units_want(struct pt_units *u, struct pt_axes *v, int axis)
{
    if (!v || axis < 0 || axis >= v->shape->rank)
        return NULL;
    if (!v->labels[axis] && v->initializer >= 0)
        v->labels[axis] = pt_units_fresh(u, pt_axis_size(v, axis), v->frozen);
    return v->labels[axis];
}

void pt_units_want_all(struct pt_units *u, struct pt_axes *v)
{
    for (int i = 0; v && v->initializer >= 0 && i < v->shape->rank; i++)
        pt_units_want(u, v, i);
}

void pt_units_pin_axis(struct pt_units *u, struct pt_axes *v, int axis, const char *why)
{
    if (v)
        pt_units_pin(u, pt_units_want(u, v, axis), axis < v->shape->rank ? pt_axis_size(v, axis) : 0, why);
}

void pt_units_pin_value(struct pt_units *u, struct pt_axes *v, const char *why)
{
    if (!v)
        return;
    for (int i = 0; i < v->shape->rank; i++)
        pt_units_pin(u, v->labels[i], pt_axis_size(v, i), why);
    if (v->initializer >= 0 && !v->frozen) {
        v->frozen = why;
        v->frozen_by = u->node;
    }
}

int *pt_units_join(struct pt_units *u, struct pt_axes *a, int a_axis, struct pt_axes *b, int b_axis)
{
    int *x = pt_units_want(u, a, a_axis), *y = pt_units_want(u, b, b_axis);
    if (x && y && pt_axis_size(a, a_axis) == pt_axis_size(b, b_axis))
        pt_units_tie_all(u, x, y, pt_axis_size(a, a_axis));
    else if (a && b) {
        pt_units_pin_axis(u, a, a_axis, "the other operand cannot shrink");
        pt_units_pin_axis(u, b, b_axis, "the other operand cannot shrink");
    }
    return x ? x : y;
}

/* --- the walk --------------------------------------------------------------------------------------------------------------- */

const struct pt_unit_rule *pt_unit_rule_find(const struct pt_onnx_node *n)
{
    static const struct pt_unit_rule *const tables[] = {pt_unit_rules_basic, pt_unit_rules_moving, pt_unit_rules_parts, pt_unit_rules_product,
                                                        pt_unit_rules_numbers};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const struct pt_unit_rule *r = tables[t]; r->op; r++)
            if (pt_node_is(n, r->domain, r->op))
                return r;
    return NULL;
}

static bool has_graph(const struct pt_onnx_node *n)
{
    bool found = false;
    for (size_t i = 0; i < n->attr_count; i++)
        found = found || n->attrs[i].type == PT_ATTR_GRAPH || n->attrs[i].type == PT_ATTR_GRAPHS;
    return found;
}

static const char *no_rule(const struct pt_onnx_node *n)
{
    static const char *const recurrent[] = {"LSTM", "GRU", "RNN"};
    for (size_t i = 0; i < sizeof recurrent / sizeof *recurrent; i++)
        if (pt_str_eq(n->op_type, pt_str(recurrent[i])))
            return "recurrent layers are not pruned";
    return has_graph(n) ? "a node with graphs of its own is not looked into" : "channels are not followed through this operator";
}

static void visit(struct pt_units *u, const struct pt_onnx_node *n)
{
    const struct pt_unit_rule *r = pt_unit_rule_find(n);
    for (size_t i = 0; i < n->input_count && !(r && r->takes_sizes); i++)
        pt_units_pin_sizes(u, pt_units_in(u, n, i));
    if (r && pt_units_out(u, n, 0)) {
        r->rule(u, n);
        pt_units_mark_vanishing(u, n);
        return;
    }
    for (size_t i = 0; i < n->input_count; i++)
        pt_units_pin_value(u, pt_units_in(u, n, i), no_rule(n));
}

/* Sizes of inputs that the model fixes are numbers as good as the weights' (prune_numbers.c): their axes have units, which stay. */
static void label_inputs(struct pt_units *u)
{
    const struct pt_onnx_graph *g = &u->e->model.graph;
    u->node = -1;
    for (size_t i = 0; i < g->input_count && !u->failed; i++) {
        const struct pt_onnx_type *t = &g->inputs[i].type;
        struct pt_axes *v = pt_units_value(u, g->inputs[i].name);
        for (int axis = 0; v && v->initializer < 0 && axis < v->shape->rank && axis < t->rank; axis++)
            if (t->dims[axis] > 0 && t->dims[axis] <= LARGEST_INPUT)
                v->labels[axis] = pt_units_fresh(u, pt_axis_size(v, axis), pt_units_is_input);
    }
}

/* Values that graphs inside nodes read, and what the model gives. */
static void pin_ends(struct pt_units *u)
{
    const struct pt_onnx_graph *g = &u->e->model.graph;
    u->node = -1;
    for (size_t i = 0; i < g->output_count; i++)
        pt_units_pin_value(u, pt_units_value(u, g->outputs[i].name), "it is an output of the model");
    for (size_t i = 0; i < g->node_count; i++)
        for (size_t k = 0; k < g->nodes[i].output_count; k++) {
            const struct pt_edit_value *v = pt_edit_value(u->e, g->nodes[i].outputs[k], NULL);
            if (v && v->captured) {
                u->node = v->readers[0];
                pt_units_pin_value(u, pt_units_out(u, &g->nodes[i], k), "a graph inside a node reads it");
            }
        }
}

int pt_units_find(struct pt_units *u, struct pt_edit *e, const struct pt_shapes *s, bool through_norms, struct pt_err *err)
{
    *u = (struct pt_units){.e = e, .shapes = s, .through_norms = through_norms, .err = err};
    pt_arena_init(&u->arena, 0);
    u->modes = alloc(u, e->model.graph.node_count);
    int rc = PT_OK;
    pt_edit_value(e, PT_STR("-"), &rc); /* the index: from here on it is there */
    if (rc == PT_ENOMEM)
        fail_memory(u);
    label_inputs(u);
    for (size_t i = 0; i < e->model.graph.node_count && !u->failed; i++) {
        u->node = (int)i;
        visit(u, &e->model.graph.nodes[i]);
    }
    if (!u->failed)
        pin_ends(u);
    return u->failed ? err->code : PT_OK;
}

void pt_units_finish(struct pt_units *u)
{
    pt_map_finish(&u->values);
    pt_free(u->units);
    if (u->e)
        pt_arena_finish(&u->arena);
}
