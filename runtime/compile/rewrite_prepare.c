/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite_prepare.c: lets each operator make of its attributes what every run of it needs. First of all, because
 * folding runs operators, and at the end for nodes that became others.
 */
#include "runtime/compile/rewrite.h"
#include "runtime/ops/op.h"

int pt_rewrite_prepare(struct pt_rewriter *r, int node)
{
    struct pt_node *n = node < 0 ? NULL : &r->g->nodes[node];
    if (!n || !n->op || !n->op->prepare || n->prepared)
        return PT_OK;
    struct pt_op_ctx c = {.node = n, .in_count = n->input_count, .out_count = n->output_count, .consts = &r->g->consts, .err = r->err};
    return n->op->prepare(&c, &n->prepared);
}
