/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite_identity.c: readers of an Identity, or of a Dropout in inference, read its input instead. Nodes come in order, so a chain
 * is gone after one pass.
 */
#include "runtime/compile/rewrite.h"
#include "runtime/ops/table.h"

static bool does_nothing(const struct pt_rewriter *r, const struct pt_node *n)
{
    if (n->op == &pt_op_identity)
        return true;
    if (n->op != &pt_op_dropout)
        return false;
    if (n->input_count < 3 || n->inputs[2] < 0)
        return true;
    const struct pt_tensor *training = pt_constant(r, n->inputs[2]);
    return training && pt_tensor_count(training) == 1 && pt_elem_i64(training, 0) == 0;
}

int pt_rewrite_identity(struct pt_rewriter *r, int node)
{
    struct pt_node *n = &r->g->nodes[node];
    for (int i = 0; i < n->input_count; i++) {
        const struct pt_node *p = pt_producer(r, n->inputs[i]);
        if (p && p->outputs[0] == n->inputs[i] && does_nothing(r, p))
            pt_set_input(r, node, i, p->inputs[0]);
    }
    return PT_OK;
}
