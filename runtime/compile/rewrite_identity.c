/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite_identity.c: nodes whose result is one of their operands, bit for bit: Identity, Dropout in inference, a sum or Concat of one, x * 1, x / 1,
 * x - 0, x ^ 1, Pad and Tile that add nothing, Expand to the shape that is there. Not x + 0, which makes 0 of -0.
 */
#include "runtime/compile/rewrite.h"
#include "runtime/ops/table.h"

/* One number, exactly v, that broadcasts to x without giving it more axes. */
static bool is_number(const struct pt_rewriter *r, int value, double v, int x)
{
    const struct pt_tensor *t = pt_constant(r, value);
    struct pt_type type = pt_type_of(r, x);
    return t && pt_tensor_count(t) == 1 && pt_elem_f64(t, 0) == v && (t->rank == 0 || (type.rank >= 0 && t->rank <= type.rank));
}

static bool all_are(const struct pt_rewriter *r, int value, int64_t v)
{
    const struct pt_tensor *t = pt_constant(r, value);
    for (int64_t i = 0; t && i < pt_tensor_count(t); i++)
        if (pt_elem_i64(t, i) != v)
            return false;
    return t && (t->dtype == PT_INT64 || t->dtype == PT_INT32);
}

/* Both shapes are known to the last dim. */
static bool same_shape(const struct pt_rewriter *r, int a, int b)
{
    struct pt_type x = pt_type_of(r, a), y = pt_type_of(r, b);
    if (!x.exact || !y.exact || x.rank < 0 || x.rank != y.rank || x.dtype != y.dtype)
        return false;
    for (int i = 0; i < x.rank; i++)
        if (x.dims[i] < 0 || x.dims[i] != y.dims[i])
            return false;
    return true;
}

static bool drops_nothing(const struct pt_rewriter *r, const struct pt_node *n)
{
    const struct pt_tensor *training = n->input_count > 2 ? pt_constant(r, n->inputs[2]) : NULL;
    bool off = n->input_count < 3 || n->inputs[2] < 0 || (training && pt_tensor_count(training) == 1 && pt_elem_i64(training, 0) == 0);
    return off && (n->output_count < 2 || n->outputs[1] < 0 || r->uses[n->outputs[1]] == 0);
}

/* Has constant b that many numbers for each axis of operand 0, or for each of those that operand 3 names? What has not is refused by its inference.
 */
static bool is_whole(const struct pt_rewriter *r, const struct pt_node *n, int64_t per_axis)
{
    const struct pt_tensor *b = pt_constant(r, pt_node_in(n, 1)), *axes = pt_constant(r, pt_node_in(n, 3));
    int64_t count = pt_node_in(n, 3) < 0 ? pt_type_of(r, pt_node_in(n, 0)).rank : axes ? pt_tensor_count(axes) : -1;
    return b && count >= 0 && pt_tensor_count(b) == per_axis * count;
}

/* Which operand the node's result is, or -1. */
static int kept_operand(const struct pt_rewriter *r, const struct pt_node *n)
{
    const struct pt_op *op = n->op;
    int a = pt_node_in(n, 0), b = pt_node_in(n, 1);
    if (op == &pt_op_identity)
        return 0;
    if (op == &pt_op_dropout)
        return drops_nothing(r, n) ? 0 : -1;
    if (op == &pt_op_concat && n->version >= 4 && !pt_node_attr(n, "axis"))
        return -1; /* not a Concat that may be kept: its inference says so */
    if (op == &pt_op_concat || op == &pt_op_sum || op == &pt_op_max || op == &pt_op_min || op == &pt_op_mean)
        return n->input_count == 1 && pt_type_of(r, a).rank > 0 ? 0 : -1;
    if (op == &pt_op_pad && n->version >= 11)
        return all_are(r, b, 0) && is_whole(r, n, 2) ? 0 : -1;
    if (op == &pt_op_tile && n->version >= 6)
        return all_are(r, b, 1) && is_whole(r, n, 1) ? 0 : -1;
    if (op == &pt_op_expand)
        return same_shape(r, a, n->outputs[0]) ? 0 : -1;
    if (n->version < 7 || n->input_count != 2)
        return -1;
    if (op == &pt_op_mul && is_number(r, a, 1, b))
        return 1;
    if (((op == &pt_op_mul || op == &pt_op_div || op == &pt_op_pow) && is_number(r, b, 1, a)) || (op == &pt_op_sub && is_number(r, b, 0, a)))
        return 0;
    return -1;
}

int pt_rewrite_identity(struct pt_rewriter *r, int node)
{
    int k = node < 0 ? -1 : kept_operand(r, &r->g->nodes[node]);
    if (k >= 0 && pt_node_in(&r->g->nodes[node], k) >= 0)
        pt_bypass(r, node, r->g->nodes[node].inputs[k]);
    return PT_OK;
}
