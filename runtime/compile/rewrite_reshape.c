/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite_reshape.c: Reshape, Flatten, Squeeze and Unsqueeze give the same elements other dims. One that gives the dims which are there is nothing;
 * one behind another reads what that one read.
 */
#include "runtime/compile/rewrite.h"
#include "runtime/ops/table.h"

static bool is_view(const struct pt_node *n)
{
    return n && (n->op == &pt_op_reshape || n->op == &pt_op_flatten || n->op == &pt_op_squeeze || n->op == &pt_op_unsqueeze);
}

/* All dims but at most one are known, the same, and not 0; the count of elements settles the last. */
static bool keeps_dims(const struct pt_type *x, const struct pt_type *y)
{
    int open = 0;
    if (!x->exact || !y->exact || x->rank < 0 || x->rank != y->rank)
        return false;
    for (int i = 0; i < x->rank; i++) {
        if (x->dims[i] != y->dims[i] || x->dims[i] == 0)
            return false;
        open += x->dims[i] < 0;
    }
    return open <= 1;
}

/* The node's shape does not depend on the dims of its operand: Reshape to constant dims without 0 (which copies one). */
static bool is_absolute(const struct pt_rewriter *r, const struct pt_node *n)
{
    const struct pt_tensor *shape = n->op == &pt_op_reshape && n->version >= 5 ? pt_constant(r, pt_node_in(n, 1)) : NULL;
    for (int64_t i = 0; shape && i < pt_tensor_count(shape); i++)
        if (pt_elem_i64(shape, i) == 0)
            return false;
    return shape != NULL;
}

/* Reshape to what is known of y; false when that is not enough. */
static int make_absolute(struct pt_rewriter *r, int node, const struct pt_type *y, bool *done)
{
    int open = 0;
    int64_t rank = y->rank;
    *done = false;
    for (int i = 0; i < y->rank; i++) {
        open += y->dims[i] < 0;
        if (y->dims[i] == 0)
            return PT_OK;
    }
    if (!y->exact || y->rank < 0 || open > 1)
        return PT_OK;
    struct pt_tensor *shape = pt_graph_new_tensor(r->g, PT_INT64, 1, &rank, r->err);
    int value = shape ? pt_add_constant(r, shape) : r->err->code, x = r->g->nodes[node].inputs[0];
    if (value < 0)
        return value;
    memcpy(shape->data, y->dims, shape->size_bytes);
    pt_become(r, node, &pt_op_reshape, 13);
    pt_set_input(r, node, 0, x);
    pt_set_input(r, node, 1, value);
    *done = true;
    return PT_OK;
}

int pt_rewrite_reshape(struct pt_rewriter *r, int node)
{
    const struct pt_node *n = node < 0 ? NULL : &r->g->nodes[node];
    if (!is_view(n))
        return PT_OK;
    struct pt_type x = pt_type_of(r, n->inputs[0]), y = pt_type_of(r, n->outputs[0]);
    if (keeps_dims(&x, &y)) {
        pt_bypass(r, node, n->inputs[0]);
        return PT_OK;
    }
    const struct pt_node *first = pt_producer(r, n->inputs[0]);
    bool absolute = is_absolute(r, n);
    if (!is_view(first))
        return PT_OK;
    int rc = absolute ? PT_OK : make_absolute(r, node, &y, &absolute);
    if (rc == PT_OK && absolute)
        pt_set_input(r, node, 0, first->inputs[0]);
    return rc;
}
