/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite_layernorm.c: exporters before opset 17 write LayerNormalization over the last axis in pieces:
 *
 *     d = x - mean(x);  y = d / sqrt(mean(d^2) + epsilon) * scale + bias
 *
 * The last Add becomes the operator. The axis must be written as -1: the rank is not known here.
 */
#include "runtime/compile/rewrite.h"
#include "runtime/ops/table.h"

/* value is the mean over the last axis, kept, of what is returned; -1 otherwise. */
static int mean_of(const struct pt_rewriter *r, int value)
{
    const struct pt_node *n = pt_producer_of(r, value, &pt_op_reduce_mean, false);
    if (!n)
        return -1;
    const struct pt_onnx_attr *keep = pt_node_attr(n, "keepdims"), *axes = pt_node_attr(n, "axes");
    if (keep && (keep->type != PT_ATTR_INT || keep->i != 1))
        return -1;
    if (n->version < 18)
        return axes && axes->type == PT_ATTR_INTS && axes->count == 1 && axes->ints[0] == -1 ? n->inputs[0] : -1;
    return n->input_count > 1 && pt_constant_is(r, n->inputs[1], -1) ? n->inputs[0] : -1;
}

/* value is x - mean(x): x; -1 otherwise. */
static int deviation_of(const struct pt_rewriter *r, int value)
{
    const struct pt_node *n = pt_producer_of(r, value, &pt_op_sub, false);
    return n && mean_of(r, n->inputs[1]) == n->inputs[0] ? n->inputs[0] : -1;
}

/* value is the square of what is returned; -1 otherwise. */
static int root_of(const struct pt_rewriter *r, int value)
{
    const struct pt_node *pow = pt_producer_of(r, value, &pt_op_pow, false), *mul = pt_producer_of(r, value, &pt_op_mul, false);
    if (pow && pt_constant_is(r, pow->inputs[1], 2))
        return pow->inputs[0];
    return mul && mul->inputs[0] == mul->inputs[1] ? mul->inputs[0] : -1;
}

/* value is sqrt(mean((x - mean(x))^2) + epsilon): x; -1 otherwise. */
static int spread_of(const struct pt_rewriter *r, int value, float *epsilon)
{
    const struct pt_node *sqrt = pt_producer_of(r, value, &pt_op_sqrt, false);
    const struct pt_node *add = sqrt ? pt_producer_of(r, sqrt->inputs[0], &pt_op_add, false) : NULL;
    for (int k = 0; add && k < 2; k++) {
        const struct pt_tensor *e = pt_constant(r, add->inputs[k]);
        if (!e || pt_tensor_count(e) != 1 || e->dtype != PT_FLOAT)
            continue;
        *epsilon = (float)pt_elem_f64(e, 0);
        return deviation_of(r, root_of(r, mean_of(r, add->inputs[1 - k])));
    }
    return -1;
}

static bool is_row(const struct pt_tensor *t)
{
    return t && t->rank == 1 && t->dtype == PT_FLOAT;
}

static struct pt_onnx_attr *epsilon_attr(struct pt_rewriter *r, float epsilon)
{
    struct pt_onnx_attr *a = pt_graph_alloc(r->g, sizeof *a, r->err);
    if (a)
        *a = (struct pt_onnx_attr){.name = PT_STR("epsilon"), .type = PT_ATTR_FLOAT, .f = epsilon};
    return a;
}

/* The pieces from the last Mul back: x and scale. False when they are not there. */
static bool match(const struct pt_rewriter *r, int product, int *x, int *scale, float *epsilon)
{
    const struct pt_node *mul = pt_producer_of(r, product, &pt_op_mul, true);
    for (int k = 0; mul && k < 2; k++) {
        const struct pt_node *div = pt_producer_of(r, mul->inputs[1 - k], &pt_op_div, true);
        if (!is_row(pt_constant(r, mul->inputs[k])) || !div)
            continue;
        *x = deviation_of(r, div->inputs[0]);
        *scale = mul->inputs[k];
        return *x >= 0 && spread_of(r, div->inputs[1], epsilon) == *x;
    }
    return false;
}

int pt_rewrite_layernorm(struct pt_rewriter *r, int node)
{
    struct pt_node *n = &r->g->nodes[node];
    if (n->op != &pt_op_add || n->version < 7)
        return PT_OK;
    for (int k = 0; k < 2; k++) {
        int x, scale, bias = n->inputs[k];
        float epsilon = 0;
        const struct pt_tensor *row = pt_constant(r, bias);
        if (!is_row(row) || !match(r, n->inputs[1 - k], &x, &scale, &epsilon) || !pt_dims_equal(row, pt_constant(r, scale)))
            continue;
        struct pt_onnx_attr *a = epsilon_attr(r, epsilon);
        if (!a)
            return r->err->code;
        pt_become(r, node, &pt_op_layer_normalization, 17);
        n->attrs = a;
        n->attr_count = 1;
        pt_set_input(r, node, 0, x);
        pt_set_input(r, node, 1, scale);
        pt_set_input(r, node, 2, bias);
        return PT_OK;
    }
    return PT_OK;
}
