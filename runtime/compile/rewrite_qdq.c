/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite_qdq.c: quantised models wrap every operator as DequantizeLinear -> operator -> QuantizeLinear. Where the operator only moves or picks
 * elements and both ends have one scale and zero point, it can as well do that with the integers; where nothing lies between the ends, they
 * cancel. That is exact: (q - z) s / s rounds to q - z again, and a positive scale keeps the order that MaxPool looks at.
 */
#include "runtime/compile/quantised.h"
#include "runtime/ops/table.h"

static bool one_of(const struct pt_tensor *t)
{
    return t && pt_tensor_count(t) == 1;
}

bool pt_read_ends(const struct pt_rewriter *r, const struct pt_node *n, struct pt_ends *e)
{
    const uint32_t types = PT_T(PT_INT8) | PT_T(PT_UINT8) | PT_T(PT_INT16) | PT_T(PT_UINT16);
    bool quantises = n->op == &pt_op_quantize_linear;
    *e = (struct pt_ends){pt_constant(r, n->inputs[1]), pt_constant(r, pt_node_in(n, 2)),
                          pt_type_of(r, quantises ? n->outputs[0] : n->inputs[0]).dtype};
    if (!one_of(e->scale) || e->scale->dtype != PT_FLOAT || (pt_node_in(n, 2) >= 0 && !one_of(e->zero)) || !(types & PT_T(e->dtype)) ||
        pt_type_of(r, quantises ? n->inputs[0] : n->outputs[0]).dtype != PT_FLOAT)
        return false;
    double s = pt_elem_f64(e->scale, 0);
    return s > 1e-30 && s < 1e30 && pt_node_int(n, "block_size", 0) == 0;
}

static bool ends_agree(const struct pt_ends *a, const struct pt_ends *b)
{
    return a->dtype == b->dtype && pt_ends_zero(a) == pt_ends_zero(b) && pt_elem_f64(a->scale, 0) == pt_elem_f64(b->scale, 0);
}

/* The integers that value is made of, if by these ends; else -1. */
static int integers_of(const struct pt_rewriter *r, int value, const struct pt_ends *e)
{
    const struct pt_node *dq = pt_producer_of(r, value, &pt_op_dequantize_linear, false);
    struct pt_ends other;
    return dq && pt_read_ends(r, dq, &other) && ends_agree(e, &other) ? dq->inputs[0] : -1;
}

/* How many operands, from the first on, are the data that the operator moves; 0: it does more than that. */
static int moved_operands(const struct pt_node *n)
{
    static const struct pt_op *const movers[] = {&pt_op_reshape,        &pt_op_flatten,        &pt_op_squeeze, &pt_op_unsqueeze, &pt_op_transpose,
                                                 &pt_op_slice,          &pt_op_gather,         &pt_op_expand,  &pt_op_tile,      &pt_op_identity,
                                                 &pt_op_depth_to_space, &pt_op_space_to_depth, &pt_op_max_pool};
    if (n->op == &pt_op_concat)
        return n->input_count;
    if (n->op == &pt_op_max_pool && n->version < 12)
        return 0;
    for (size_t i = 0; i < sizeof movers / sizeof *movers; i++)
        if (movers[i] == n->op)
            return 1;
    return 0;
}

int pt_rewrite_qdq(struct pt_rewriter *r, int node)
{
    const struct pt_node *q = node < 0 ? NULL : &r->g->nodes[node];
    struct pt_ends e;
    if (!q || q->op != &pt_op_quantize_linear || !pt_read_ends(r, q, &e))
        return PT_OK;
    int value = q->inputs[0], direct = integers_of(r, value, &e);
    if (direct >= 0) {
        pt_bypass(r, node, direct);
        return PT_OK;
    }
    const struct pt_node *mover = pt_producer(r, value);
    int moved = mover && mover->output_count == 1 && r->uses[value] == 1 ? moved_operands(mover) : 0;
    for (int i = 0; i < moved; i++)
        if (integers_of(r, mover->inputs[i], &e) < 0 || !pt_op_takes(mover->op, e.dtype))
            return PT_OK;
    if (moved == 0)
        return PT_OK;
    for (int i = 0; i < moved; i++)
        pt_set_input(r, (int)(mover - r->g->nodes), i, integers_of(r, mover->inputs[i], &e));
    if (value < r->type_count)
        r->types[value].dtype = e.dtype;
    pt_bypass(r, node, value);
    return PT_OK;
}
