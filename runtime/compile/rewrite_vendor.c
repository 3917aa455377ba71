/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite_vendor.c: operators of ONNX Runtime that the standard has since become those of the standard, which other rewrites and kernels know.
 */
#include "runtime/compile/rewrite.h"
#include "runtime/ops/table.h"

static int become(struct pt_rewriter *r, int node, const struct pt_op *op, int version)
{
    struct pt_node *n = &r->g->nodes[node];
    int x = n->inputs[0], scale = op == &pt_op_rms_normalization ? n->inputs[1] : -1;
    pt_become(r, node, op, version);
    n->domain = PT_STR("");
    pt_set_input(r, node, 0, x);
    if (scale >= 0)
        pt_set_input(r, node, 1, scale);
    return PT_OK;
}

static float float_of(const struct pt_node *n, const char *name, float def)
{
    const struct pt_onnx_attr *a = pt_node_attr(n, name);
    return a && a->type == PT_ATTR_FLOAT ? a->f : def;
}

static bool has_statistics(const struct pt_rewriter *r, const struct pt_node *n)
{
    return n->output_count > 1 && n->outputs[1] >= 0 && r->uses[n->outputs[1]] > 0;
}

/* The standard's scale broadcasts by its shape, ONNX Runtime's only counts: a row over the last axis means the same to both. */
static bool has_row(const struct pt_rewriter *r, const struct pt_node *n)
{
    struct pt_type x = pt_type_of(r, n->inputs[0]), scale = pt_type_of(r, n->inputs[1]);
    int64_t axis = pt_node_int(n, "axis", -1);
    return scale.rank == 1 && (axis == -1 || (x.rank > 0 && axis == x.rank - 1));
}

static int rms(struct pt_rewriter *r, int node)
{
    const struct pt_node *n = &r->g->nodes[node];
    int64_t axis = pt_node_int(n, "axis", -1);
    float epsilon = float_of(n, "epsilon", 1e-5f);
    int rc = become(r, node, &pt_op_rms_normalization, 23);
    r->g->nodes[node].output_count = 1;
    if (rc == PT_OK)
        rc = pt_set_ints(r, node, "axis", &axis, -1);
    return rc < 0 ? rc : pt_set_float(r, node, "epsilon", epsilon);
}

int pt_rewrite_vendor(struct pt_rewriter *r, int node)
{
    const struct pt_node *n = node < 0 ? NULL : &r->g->nodes[node];
    int rc;
    if (!n)
        return PT_OK;
    if (n->op == &pt_op_ms_gelu)
        return become(r, node, &pt_op_gelu, 20);
    if (n->op == &pt_op_ms_fast_gelu && pt_node_in(n, 1) < 0)
        return (rc = become(r, node, &pt_op_gelu, 20)) < 0 ? rc : pt_set_text(r, node, "approximate", "tanh");
    if (n->op == &pt_op_ms_quick_gelu) {
        float alpha = float_of(n, "alpha", 1.702f);
        return (rc = become(r, node, &pt_op_swish, 24)) < 0 ? rc : pt_set_float(r, node, "alpha", alpha);
    }
    if (n->op == &pt_op_simplified_layer_normalization && !has_statistics(r, n) && has_row(r, n))
        return rms(r, node);
    return PT_OK;
}
