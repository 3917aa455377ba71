/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite_qproduct.c: matrix products of quantised operands become products of integers. B is a constant of 8 bits.
 *
 *     DequantizeLinear(a) x DequantizeLinear(b), then QuantizeLinear          MatMul -> QLinearMatMul, Gemm -> QGemm (called by rewrite_qlinear.c)
 *     DequantizeLinear(a) x DequantizeLinear(b), then anything else           MatMul -> MatMulIntegerToFloat, Gemm -> QGemm without a result's scale
 *     Cast(MatMulInteger(a, b)) * (a_scale * b_scale)                         MatMulIntegerToFloat: what dynamic quantisation writes
 *
 * Numbers differ from those of the nodes only where floats were rounded in the sum: integers are summed exactly and scaled once. What gives numbers
 * takes in bias, residual and activation while it is lowered, as a product of floats does.
 */
#include "runtime/compile/quantised.h"
#include "runtime/ops/table.h"

/* Operands of a product, and the integers of its bias (-1: none). */
struct product {
    struct pt_quantised a, b;
    int bias;
};

/* 1: node's operands are quantised; 0: they are not, or not so that a product of integers does the same. */
static int read_product(struct pt_rewriter *r, const struct pt_node *n, struct product *p)
{
    const bool gemm = n->op == &pt_op_gemm, turned = gemm && pt_node_int(n, "transB", 0);
    const struct pt_onnx_attr *alpha = pt_node_attr(n, "alpha"), *beta = pt_node_attr(n, "beta");
    enum pt_dtype dtype;
    const struct pt_node *a = pt_dequantised(r, n->inputs[0], &dtype), *b = pt_quantised_weights(r, n->inputs[1], turned ? 0 : 1);
    const struct pt_tensor *w = b ? pt_constant(r, b->inputs[0]) : NULL, *a_scale = a ? pt_constant(r, a->inputs[1]) : NULL;
    int rc, bias = gemm ? pt_node_in(n, 2) : -1;
    if (!a_scale || !w || w->rank != 2 || (gemm && (n->version < 7 || pt_node_int(n, "transA", 0))))
        return 0;
    const struct pt_tensor *b_scale = pt_constant(r, b->inputs[1]);
    p->bias = -1;
    if (bias >= 0 && ((alpha && alpha->f != 1.0f) || (beta && beta->f != 1.0f) ||
                      (p->bias = pt_integer_bias(r, bias, a_scale, b_scale, w->dims[turned ? 0 : 1])) < 0))
        return 0;
    if ((rc = pt_take_quantised(r, a, dtype, &p->a)) < 0)
        return rc;
    p->b = (struct pt_quantised){b->inputs[0], b->inputs[1], pt_node_in(b, 2)};
    if (p->b.zero < 0 && (p->b.zero = pt_zeros_like(r, b_scale, w->dtype)) < 0)
        return p->b.zero;
    return 1;
}

int pt_rewrite_product(struct pt_rewriter *r, int q, int node, const struct pt_quantised *y)
{
    struct product p;
    int rc = read_product(r, &r->g->nodes[node], &p);
    if (rc <= 0)
        return rc;
    if (r->g->nodes[node].op == &pt_op_matmul) {
        const int all[] = {p.a.value, p.a.scale, p.a.zero, p.b.value, p.b.scale, p.b.zero, y->scale, y->zero};
        return pt_become_like(r, q, node, &pt_op_qlinear_matmul, 21, all, 8);
    }
    const int all[] = {p.a.value, p.a.scale, p.a.zero, p.b.value, p.b.scale, p.b.zero, p.bias, y->scale, y->zero};
    return pt_become_like(r, q, node, &pt_op_ms_qgemm, 1, all, 9);
}

static int to_numbers(struct pt_rewriter *r, int node)
{
    struct product p;
    int rc = read_product(r, &r->g->nodes[node], &p);
    if (rc <= 0)
        return rc;
    if (r->g->nodes[node].op == &pt_op_matmul) {
        const int all[] = {p.a.value, p.b.value, p.a.scale, p.b.scale, p.a.zero, p.b.zero};
        return pt_become_like(r, node, node, &pt_op_ms_matmul_integer_to_float, 1, all, 6);
    }
    const int all[] = {p.a.value, p.a.scale, p.a.zero, p.b.value, p.b.scale, p.b.zero, p.bias};
    return pt_become_like(r, node, node, &pt_op_ms_qgemm, 1, all, p.bias < 0 ? 6 : 7);
}

/* --- dynamic quantisation -------------------------------------------------------------------------------------------------------------------- */

/* The scale that DynamicQuantizeLinear found, if value is that. */
static bool is_found_scale(const struct pt_rewriter *r, int value)
{
    const struct pt_node *n = pt_producer(r, value);
    return n && n->op == &pt_op_dynamic_quantize_linear && n->output_count > 1 && n->outputs[1] == value;
}

/* One scale, or one for each column of b. */
static bool is_column_scale(const struct pt_rewriter *r, int value, const struct pt_tensor *b)
{
    const struct pt_tensor *s = pt_constant(r, value);
    return s && s->dtype == PT_FLOAT && s->rank <= 1 && b && b->rank == 2 && (pt_tensor_count(s) == 1 || pt_tensor_count(s) == b->dims[1]);
}

/* `sums` is a Cast of MatMulInteger's result for nobody else, `scale` the product of the scales; node multiplies them. */
static int scaled_sums(struct pt_rewriter *r, int node, int sums, int scale)
{
    const struct pt_node *cast = pt_producer_of(r, sums, &pt_op_cast, true), *both = pt_producer_of(r, scale, &pt_op_mul, false);
    const struct pt_node *mm =
        cast && pt_node_int(cast, "to", 0) == PT_FLOAT ? pt_producer_of(r, cast->inputs[0], &pt_op_matmul_integer, true) : NULL;
    if (!mm || !both)
        return 0;
    int first = is_found_scale(r, both->inputs[0]) ? 0 : 1;
    if (!is_found_scale(r, both->inputs[first]) || !is_column_scale(r, both->inputs[1 - first], pt_constant(r, mm->inputs[1])))
        return 0;
    const int all[] = {mm->inputs[0], mm->inputs[1], both->inputs[first], both->inputs[1 - first], pt_node_in(mm, 2), pt_node_in(mm, 3)};
    int rc = pt_become_like(r, node, (int)(mm - r->g->nodes), &pt_op_ms_matmul_integer_to_float, 1, all, all[5] < 0 ? 5 : 6);
    return rc < 0 ? rc : 1;
}

int pt_rewrite_qproduct(struct pt_rewriter *r, int node)
{
    const struct pt_node *n = node < 0 ? NULL : &r->g->nodes[node];
    if (!n)
        return PT_OK;
    if (n->op == &pt_op_matmul || n->op == &pt_op_gemm)
        return to_numbers(r, node);
    if (n->op != &pt_op_mul || n->version < 7)
        return PT_OK;
    int rc = scaled_sums(r, node, n->inputs[0], n->inputs[1]);
    rc = rc ? rc : scaled_sums(r, node, n->inputs[1], n->inputs[0]);
    return rc < 0 ? rc : PT_OK;
}
