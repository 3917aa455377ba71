/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite_fold.c: a node whose inputs are all constants becomes constants. A Constant node's tensor stays where it is in the file.
 */
#include "runtime/compile/program.h"
#include "runtime/compile/rewrite.h"
#include "runtime/ops/table.h"

static int set_constant(struct pt_rewriter *r, int value, const struct pt_tensor *t)
{
    struct pt_tensor *copy = pt_graph_alloc(r->g, sizeof *copy, r->err);
    if (!copy)
        return r->err->code;
    *copy = *t;
    r->g->values[value].constant = copy;
    r->g->values[value].producer = -1;
    return PT_OK;
}

static int fold(struct pt_rewriter *r, int node, const struct pt_tensor **in, struct pt_tensor *results, struct pt_tensor **out)
{
    struct pt_node *n = &r->g->nodes[node];
    struct pt_op_ctx c = {.node = n, .in = in, .out = out, .in_count = n->input_count, .out_count = n->output_count, .err = r->err};
    for (int i = 0; i < n->input_count; i++)
        in[i] = pt_constant(r, n->inputs[i]);
    for (int i = 0; i < n->output_count; i++)
        out[i] = n->outputs[i] < 0 ? NULL : &results[i];
    int rc = pt_eval_infer(&c, &r->g->arena);
    if (rc == PT_OK)
        rc = pt_eval_run(&c, &r->g->consts);
    for (int i = 0; rc == PT_OK && i < n->output_count; i++)
        if (n->outputs[i] >= 0)
            rc = set_constant(r, n->outputs[i], &results[i]);
    if (rc == PT_OK)
        pt_kill(r, node);
    return rc;
}

int pt_rewrite_fold(struct pt_rewriter *r, int node)
{
    struct pt_node *n = node < 0 ? NULL : &r->g->nodes[node];
    if (!n || n->op->flags & (PT_OP_RANDOM | PT_OP_CONTROL))
        return PT_OK;
    for (int i = 0; i < n->input_count; i++)
        if (n->inputs[i] >= 0 && !pt_constant(r, n->inputs[i]))
            return PT_OK;
    if (r->keep_integers && n->op == &pt_op_dequantize_linear) {
        r->changes++; /* there is another pass */
        return PT_OK;
    }
    const struct pt_onnx_attr *value = n->op == &pt_op_constant ? pt_node_attr(n, "value") : NULL;
    if (n->op == &pt_op_constant && !value)
        value = pt_node_attr(n, "sparse_value");
    if (value && (value->type == PT_ATTR_TENSOR || value->type == PT_ATTR_SPARSE_TENSOR) && n->outputs[0] >= 0) {
        int rc = set_constant(r, n->outputs[0], &value->t->t);
        if (rc == PT_OK)
            pt_kill(r, node);
        return rc;
    }
    pt_auto_free const struct pt_tensor **in = pt_calloc((size_t)n->input_count + 1, sizeof *in);
    pt_auto_free struct pt_tensor *results = pt_calloc((size_t)n->output_count + 1, sizeof *results);
    pt_auto_free struct pt_tensor **out = pt_calloc((size_t)n->output_count + 1, sizeof *out);
    if (!in || !results || !out)
        return pt_fail(r->err, PT_ENOMEM, "out of memory folding %s", pt_node_text(n).s);
    return fold(r, node, in, results, out);
}
