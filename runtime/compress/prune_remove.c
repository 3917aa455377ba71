/* SPDX-License-Identifier: Apache-2.0
 *
 * prune_remove.c: taking out what is gone. Initializers lose indices along every axis that has labels; then each node's fix rewrites the numbers of
 * channels that it holds.
 */
#include "runtime/compress/prune_units.h"

int64_t pt_units_left(struct pt_units *u, const int *labels, int64_t count)
{
    int64_t left = 0;
    for (int64_t i = 0; i < count; i++)
        left += !u->units[pt_units_root(u, labels[i])].gone;
    return left;
}

int64_t pt_units_axis_left(struct pt_units *u, const struct pt_axes *v, int axis)
{
    return v->labels[axis] ? pt_units_left(u, v->labels[axis], pt_axis_size(v, axis)) : pt_axis_size(v, axis);
}

/* --- weights ------------------------------------------------------------------------------------------------------------------ */

/* Copies t without what is gone along one axis. */
static int take_out(struct pt_units *u, int initializer, int axis, const int *labels, int64_t left)
{
    const struct pt_onnx_tensor *x = &u->e->model.graph.initializers[initializer];
    struct pt_tensor from = x->t;
    int64_t inner = pt_dims_product(from.dims + axis + 1, from.rank - axis - 1), outer = pt_dims_product(from.dims, axis);
    size_t bytes = (size_t)inner * pt_dtype_size(from.dtype);
    struct pt_tensor to = from;
    to.dims[axis] = left;
    to.size_bytes = (size_t)outer * (size_t)left * bytes;
    if (!(to.data = pt_edit_alloc(u->e, to.size_bytes, u->err)))
        return u->err->code;
    char *out = to.data;
    const char *in = from.data;
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < from.dims[axis]; i++, in += bytes) {
            if (u->units[pt_units_root(u, labels[i])].gone)
                continue;
            memcpy(out, in, bytes);
            out += bytes;
        }
    u->e->model.graph.initializers[initializer].t = to;
    return PT_OK;
}

/* Makes what is gone along one axis zero. */
static int write_zeros(struct pt_units *u, int initializer, int axis, const int *labels)
{
    struct pt_tensor t = u->e->model.graph.initializers[initializer].t;
    int rc = pt_edit_set_initializer(u->e, initializer, t.dtype, t.rank, t.dims, t.data, u->err);
    if (rc < 0)
        return rc;
    size_t bytes = (size_t)pt_dims_product(t.dims + axis + 1, t.rank - axis - 1) * pt_dtype_size(t.dtype);
    char *at = u->e->model.graph.initializers[initializer].t.data;
    for (int64_t o = 0, outer = pt_dims_product(t.dims, axis); o < outer; o++)
        for (int64_t i = 0; i < t.dims[axis]; i++, at += bytes)
            if (u->units[pt_units_root(u, labels[i])].gone)
                memset(at, 0, bytes);
    return PT_OK;
}

/* Divided by zero is not zero: such constants stay. */
static bool divides(struct pt_units *u, const struct pt_axes *v)
{
    const struct pt_edit_value *x = pt_edit_value(u->e, v->name, NULL);
    bool found = false;
    for (int i = 0; x && i < x->reader_count; i++) {
        const struct pt_onnx_node *n = &u->e->model.graph.nodes[x->readers[i]];
        found = found || (pt_node_is(n, "", "Div") && n->input_count == 2 && pt_str_eq(n->inputs[1], v->name));
    }
    return found;
}

bool pt_units_holds_numbers(struct pt_units *u, const struct pt_axes *v)
{
    enum pt_dtype t = v->shape->dtype;
    return (t == PT_FLOAT || t == PT_DOUBLE || t == PT_FLOAT16 || t == PT_BFLOAT16) && !divides(u, v);
}

/* Takes out, or makes zero, what is gone. */
static int shrink_weights(struct pt_units *u, bool zeros)
{
    struct pt_str name;
    void *value;
    int rc = PT_OK;
    for (size_t i = 0; rc == PT_OK && pt_map_next(&u->values, &i, &name, &value);) {
        const struct pt_axes *v = value;
        for (int axis = 0; rc == PT_OK && v->initializer >= 0 && axis < v->shape->rank; axis++) {
            int64_t left = pt_units_axis_left(u, v, axis);
            if (left == pt_axis_size(v, axis) || (zeros && !pt_units_holds_numbers(u, v)))
                continue;
            rc = zeros ? write_zeros(u, v->initializer, axis, v->labels[axis]) : take_out(u, v->initializer, axis, v->labels[axis], left);
        }
    }
    return rc;
}

/* --- the model as it was ------------------------------------------------------------------------------------------------------ */

/* Nodes with lists of their own from now on, so that what is kept stays as it is. */
static int keep_nodes(struct pt_units *u, struct pt_units_before *b)
{
    struct pt_onnx_graph *g = &u->e->model.graph;
    struct pt_onnx_node *kept = pt_edit_alloc(u->e, g->node_count * sizeof *kept, u->err);
    for (size_t i = 0; kept && i < g->node_count; i++) {
        struct pt_onnx_node *n = &g->nodes[i];
        kept[i] = *n;
        struct pt_onnx_attr *attrs = pt_edit_alloc(u->e, n->attr_count * sizeof *attrs, u->err);
        struct pt_str *inputs = pt_edit_alloc(u->e, n->input_count * sizeof *inputs, u->err);
        if (!attrs || !inputs)
            return u->err->code;
        if (n->attr_count)
            memcpy(attrs, n->attrs, n->attr_count * sizeof *attrs);
        if (n->input_count)
            memcpy(inputs, n->inputs, n->input_count * sizeof *inputs);
        n->attrs = attrs;
        n->inputs = inputs;
    }
    b->nodes = kept;
    b->node_count = g->node_count;
    return kept ? PT_OK : u->err->code;
}

static int keep_tensors(struct pt_units *u, struct pt_units_before *b)
{
    const struct pt_onnx_graph *g = &u->e->model.graph;
    if (!(b->tensors = pt_edit_alloc(u->e, g->initializer_count * sizeof *b->tensors, u->err)))
        return u->err->code;
    for (size_t i = 0; i < g->initializer_count; i++)
        b->tensors[i] = g->initializers[i].t;
    b->initializer_count = g->initializer_count;
    return PT_OK;
}

void pt_units_restore(struct pt_edit *e, const struct pt_units_before *b)
{
    struct pt_onnx_graph *g = &e->model.graph;
    if (b->nodes && b->node_count) {
        g->nodes = b->nodes;
        g->node_count = e->node_room = b->node_count;
    }
    for (size_t i = 0; b->tensors && i < b->initializer_count; i++)
        g->initializers[i].t = b->tensors[i];
    if (b->tensors)
        g->initializer_count = b->initializer_count; /* those added are at the end */
    pt_edit_changed(e);
}

/* --- both ----------------------------------------------------------------------------------------------------------------------- */

int pt_units_remove(struct pt_units *u, struct pt_units_before *before)
{
    struct pt_onnx_graph *g = &u->e->model.graph;
    *before = (struct pt_units_before){0};
    int rc = keep_nodes(u, before);
    if (rc == PT_OK)
        rc = keep_tensors(u, before);
    int ordinal = 0, end = (int)g->node_count;
    for (int i = 0; rc == PT_OK && ordinal < end; i++, ordinal++) { /* fixes read numbers in constants, so these come first */
        const struct pt_unit_rule *r = pt_unit_rule_find(&g->nodes[i]);
        size_t had = g->node_count;
        int index = PT_OK;
        pt_edit_value(u->e, PT_STR("-"), &index); /* made anew behind every change, or no memory for it */
        if (index == PT_ENOMEM)
            rc = pt_fail(u->err, PT_ENOMEM, "out of memory for pruning");
        else if (r && r->fix && pt_units_out(u, &g->nodes[i], 0))
            rc = r->fix(u, i, ordinal);
        i += (int)(g->node_count - had);
    }
    if (rc == PT_OK)
        rc = shrink_weights(u, false);
    pt_edit_changed(u->e);
    return rc;
}

int pt_units_zero(struct pt_units *u, struct pt_units_before *before)
{
    *before = (struct pt_units_before){0};
    int rc = keep_tensors(u, before);
    return rc < 0 ? rc : shrink_weights(u, true);
}

int pt_units_check(struct pt_units *u, const struct pt_shapes *now)
{
    struct pt_str name;
    void *value;
    for (size_t i = 0; pt_map_next(&u->values, &i, &name, &value);) {
        const struct pt_axes *v = value;
        const struct pt_tensor *t = pt_shape_of(now, v->name);
        struct pt_tensor want = *v->shape;
        for (int axis = 0; axis < want.rank; axis++) /* other axes may depend on what the numbers are */
            want.dims[axis] = v->labels[axis] || !t || axis >= t->rank ? pt_units_axis_left(u, v, axis) : t->dims[axis];
        if (t && !pt_dims_equal(t, &want))
            return pt_fail(u->err, PT_EUNSUPPORTED, "value '" PT_STR_FMT "' would become %s instead of %s; leave the layers before it alone",
                           PT_STR_ARG(v->name), PT_SHAPE(t), PT_SHAPE(&want));
    }
    return PT_OK;
}
