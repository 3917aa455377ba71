/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite_qlinear.c: quantised models wrap every operator as DequantizeLinear -> operator -> QuantizeLinear. What has a namesake on integers becomes
 * that, by way of a Relu which the bounds of the result do anyway:
 *
 *     Conv -> QLinearConv;  MatMul, Gemm -> QLinearMatMul, QGemm (rewrite_qproduct.c);  Add, Mul -> QLinearAdd, QLinearMul;  Sigmoid, LeakyRelu ->
 * their tables;  Concat -> QLinearConcat; AveragePool, GlobalAveragePool -> theirs
 *
 * A convolution sums integers exactly where the numbers were rounded, so a result that lies at the middle between two quanta may fall to the other
 * side: one quantum, no more. A sum and a product are told to round as the three nodes did. Scales and zero points must be known, and a bias must
 * count in steps of the product's scale: one of numbers would have to be rounded to such steps, and networks magnify that.
 */
#include "runtime/compile/quantised.h"
#include "runtime/ops/table.h"

#include <math.h>

#define FEW_CHANNELS 4 /* results of a group, for which a convolution stays */

/* A zero point as a value of the graph; of 0 when the node has none. */
static int zero_of(struct pt_rewriter *r, const struct pt_node *n, enum pt_dtype dtype)
{
    if (pt_node_in(n, 2) >= 0)
        return n->inputs[2];
    struct pt_tensor *t = pt_graph_new_tensor(r->g, dtype, 0, NULL, r->err);
    if (!t)
        return r->err->code;
    memset(t->data, 0, t->size_bytes);
    return pt_add_constant(r, t);
}

/* What number `value` is made of, if it is made of 8-bit integers by one scale and zero point; NULL: it is not. */
const struct pt_node *pt_dequantised(const struct pt_rewriter *r, int value, enum pt_dtype *dtype)
{
    const struct pt_node *dq = pt_producer_of(r, value, &pt_op_dequantize_linear, false);
    struct pt_ends e;
    if (!dq || !pt_read_ends(r, dq, &e) || !(PT_EIGHT_BITS & PT_T(e.dtype)))
        return NULL;
    *dtype = e.dtype;
    return dq;
}

int pt_take_quantised(struct pt_rewriter *r, const struct pt_node *dq, enum pt_dtype dtype, struct pt_quantised *q)
{
    int zero = zero_of(r, dq, dtype);
    *q = (struct pt_quantised){dq->inputs[0], dq->inputs[1], zero};
    return zero < 0 ? zero : PT_OK;
}

/* --- the node becomes another, with its attributes -------------------------------------------------------------------------------------- */

/* QuantizeLinear `q` takes operands and operator over from `node`, which it follows. */
int pt_become_like(struct pt_rewriter *r, int q, int node, const struct pt_op *op, int version, const int *operands, int count)
{
    struct pt_node *n = &r->g->nodes[node], *to = &r->g->nodes[q];
    int *inputs = pt_graph_alloc(r->g, ((size_t)count + 1) * sizeof *inputs, r->err);
    if (!inputs)
        return PT_ENOMEM;
    const struct pt_onnx_attr *attrs = n->attrs;
    size_t attr_count = n->attr_count;
    struct pt_str name = n->name;
    pt_become(r, q, op, version);
    to->domain = pt_str(op->domain ? op->domain : "");
    to->attrs = attrs;
    to->attr_count = attr_count;
    to->name = name;
    to->inputs = inputs;
    for (int i = 0; i < count; i++)
        pt_set_input(r, q, i, operands[i]);
    return PT_OK;
}

/* --- Conv ---------------------------------------------------------------------------------------------------------------------------------- */

const struct pt_node *pt_quantised_weights(const struct pt_rewriter *r, int value, int axis)
{
    const struct pt_node *dq = pt_producer_of(r, value, &pt_op_dequantize_linear, false);
    const struct pt_tensor *w = dq ? pt_constant(r, dq->inputs[0]) : NULL, *s = dq ? pt_constant(r, dq->inputs[1]) : NULL;
    const struct pt_tensor *z = dq ? pt_constant(r, pt_node_in(dq, 2)) : NULL;
    if (!w || !s || s->dtype != PT_FLOAT || !(PT_EIGHT_BITS & PT_T(w->dtype)) || w->rank <= axis || (pt_node_in(dq, 2) >= 0 && !z) ||
        pt_node_int(dq, "block_size", 0))
        return NULL;
    int64_t along = pt_node_int(dq, "axis", 1);
    bool one = pt_tensor_count(s) == 1, each = s->rank == 1 && s->dims[0] == w->dims[axis] && (along < 0 ? along + w->rank : along) == axis;
    for (int64_t i = 0; i < pt_tensor_count(s); i++)
        if (!(pt_elem_f64(s, i) > 1e-30 && pt_elem_f64(s, i) < 1e30))
            return NULL;
    return one || each ? dq : NULL;
}

/* Number i of a tensor that may hold one for all. */
static double number(const struct pt_tensor *t, int64_t i)
{
    return pt_elem_f64(t, pt_tensor_count(t) == 1 ? 0 : i);
}

/* The integers behind a bias that counts in steps of x's scale times w's, as quantisers write it: they are taken as they are. -1: it is not so. */
int pt_integer_bias(const struct pt_rewriter *r, int value, const struct pt_tensor *x_scale, const struct pt_tensor *w_scale, int64_t n)
{
    const struct pt_node *dq = pt_producer_of(r, value, &pt_op_dequantize_linear, false);
    const struct pt_tensor *b = dq ? pt_constant(r, dq->inputs[0]) : NULL, *s = dq ? pt_constant(r, dq->inputs[1]) : NULL,
                           *z = dq ? pt_constant(r, pt_node_in(dq, 2)) : NULL;
    if (!b || b->dtype != PT_INT32 || b->rank != 1 || b->dims[0] != n || !s || s->dtype != PT_FLOAT || (pt_node_in(dq, 2) >= 0 && !z) ||
        (pt_tensor_count(s) != 1 && pt_tensor_count(s) != n))
        return -1;
    for (int64_t i = 0; i < n; i++) {
        double step = pt_elem_f64(x_scale, 0) * number(w_scale, i);
        if (fabs(number(s, i) - step) > 1e-6 * step || (z && number(z, i) != 0))
            return -1;
    }
    return dq->inputs[0];
}

/* A zero point of 0 for each scale. */
int pt_zeros_like(struct pt_rewriter *r, const struct pt_tensor *scale, enum pt_dtype dtype)
{
    struct pt_tensor *t = pt_graph_new_tensor(r->g, dtype, scale->rank, scale->dims, r->err);
    if (!t)
        return r->err->code;
    memset(t->data, 0, t->size_bytes);
    return pt_add_constant(r, t);
}

/* Groups for which there is a kernel of integers: many channels in each, or one. */
static bool is_fast(int64_t groups, const struct pt_tensor *w)
{
    return groups == 1 || w->dims[0] / groups >= FEW_CHANNELS || (w->dims[1] == 1 && w->dims[0] == groups);
}

/* x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias */
static int conv(struct pt_rewriter *r, int q, int node, const struct pt_quantised *y)
{
    const struct pt_node *n = &r->g->nodes[node];
    enum pt_dtype dtype;
    const struct pt_node *x = pt_dequantised(r, n->inputs[0], &dtype), *w = pt_quantised_weights(r, n->inputs[1], 0);
    const struct pt_tensor *x_scale = x ? pt_constant(r, x->inputs[1]) : NULL, *wt = w ? pt_constant(r, w->inputs[0]) : NULL,
                           *w_scale = w ? pt_constant(r, w->inputs[1]) : NULL;
    int64_t groups = pt_node_int(n, "group", 1);
    if (!x_scale || !wt || !w_scale || wt->rank < 3 || groups < 1 || !is_fast(groups, wt))
        return PT_OK;
    int rc, bias = -1, value = pt_node_in(n, 2);
    if (value >= 0 && (bias = pt_integer_bias(r, value, x_scale, w_scale, wt->dims[0])) < 0)
        return PT_OK;
    struct pt_quantised xq, wq = {w->inputs[0], w->inputs[1], pt_node_in(w, 2)};
    if ((rc = pt_take_quantised(r, x, dtype, &xq)) < 0)
        return rc;
    if (wq.zero < 0 && (wq.zero = pt_zeros_like(r, w_scale, wt->dtype)) < 0)
        return wq.zero;
    const int all[] = {xq.value, xq.scale, xq.zero, wq.value, wq.scale, wq.zero, y->scale, y->zero, bias};
    return pt_become_like(r, q, node, &pt_op_qlinear_conv, 10, all, bias < 0 ? 8 : 9);
}

/* --- the operators of com.microsoft -------------------------------------------------------------------------------------------------------- */

static int binary(struct pt_rewriter *r, int q, int node, const struct pt_quantised *y, enum pt_dtype type, const struct pt_op *op)
{
    const struct pt_node *n = &r->g->nodes[node];
    struct pt_quantised in[2];
    if (n->version < 7)
        return PT_OK;
    for (int i = 0; i < 2; i++) {
        enum pt_dtype dtype;
        const struct pt_node *dq = pt_dequantised(r, n->inputs[i], &dtype);
        if (!dq || dtype != type)
            return PT_OK;
        int rc = pt_take_quantised(r, dq, dtype, &in[i]);
        if (rc < 0)
            return rc;
    }
    const int all[] = {in[0].value, in[0].scale, in[0].zero, in[1].value, in[1].scale, in[1].zero, y->scale, y->zero};
    const int64_t one = 1;
    int rc = pt_become_like(r, q, node, op, 1, all, 8);
    return rc < 0 ? rc : pt_set_ints(r, q, "pintle.as_numbers", &one, -1);
}

static int unary(struct pt_rewriter *r, int q, int node, const struct pt_quantised *y, enum pt_dtype type, const struct pt_op *op)
{
    enum pt_dtype dtype;
    const struct pt_node *dq = pt_dequantised(r, r->g->nodes[node].inputs[0], &dtype);
    struct pt_quantised x;
    if (!dq || dtype != type)
        return PT_OK;
    int rc = pt_take_quantised(r, dq, dtype, &x);
    const int all[] = {x.value, x.scale, x.zero, y->scale, y->zero};
    return rc < 0 ? rc : pt_become_like(r, q, node, op, 1, all, 5);
}

/* y_scale, y_zero, then value, scale and zero point of each */
static int concat(struct pt_rewriter *r, int q, int node, const struct pt_quantised *y, enum pt_dtype type)
{
    const struct pt_node *n = &r->g->nodes[node];
    int count = 2 + 3 * n->input_count;
    pt_auto_free int *all = pt_calloc((size_t)count, sizeof *all);
    if (!all)
        return pt_fail(r->err, PT_ENOMEM, "out of memory");
    all[0] = y->scale;
    all[1] = y->zero;
    for (int i = 0; i < n->input_count; i++) {
        enum pt_dtype dtype;
        const struct pt_node *dq = pt_dequantised(r, n->inputs[i], &dtype);
        struct pt_quantised x;
        if (!dq || dtype != type)
            return PT_OK;
        int rc = pt_take_quantised(r, dq, dtype, &x);
        if (rc < 0)
            return rc;
        memcpy(all + 2 + 3 * i, (const int[]){x.value, x.scale, x.zero}, 3 * sizeof *all);
    }
    return pt_become_like(r, q, node, &pt_op_ms_qlinear_concat, 1, all, count);
}

static int dispatch(struct pt_rewriter *r, int q, int node, const struct pt_quantised *y, enum pt_dtype type)
{
    static const struct {
        const struct pt_op *op, *to;
        int operands;
    } rows[] = {
        {&pt_op_add, &pt_op_ms_qlinear_add, 2},
        {&pt_op_mul, &pt_op_ms_qlinear_mul, 2},
        {&pt_op_sigmoid, &pt_op_ms_qlinear_sigmoid, 1},
        {&pt_op_leaky_relu, &pt_op_ms_qlinear_leaky_relu, 1},
        {&pt_op_average_pool, &pt_op_ms_qlinear_average_pool, 1},
        {&pt_op_global_average_pool, &pt_op_ms_qlinear_global_average_pool, 1},
    };
    const struct pt_op *op = r->g->nodes[node].op;
    if (op == &pt_op_conv)
        return conv(r, q, node, y);
    if (op == &pt_op_matmul || op == &pt_op_gemm)
        return pt_rewrite_product(r, q, node, y);
    if (op == &pt_op_concat)
        return concat(r, q, node, y, type);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].op == op)
            return rows[i].operands == 2 ? binary(r, q, node, y, type, rows[i].to) : unary(r, q, node, y, type, rows[i].to);
    return PT_OK;
}

/* The node that makes value for nothing else, through a Relu that saturation does as well: its 0 is the lowest integer. */
static const struct pt_node *behind_relu(const struct pt_rewriter *r, int value, const struct pt_ends *e)
{
    const struct pt_node *n = pt_producer(r, value);
    if (!n || r->uses[value] != 1 || n->op != &pt_op_relu)
        return n && r->uses[value] == 1 ? n : NULL;
    int64_t lowest = e->dtype == PT_UINT8 ? 0 : INT8_MIN;
    const struct pt_node *before = pt_producer(r, n->inputs[0]);
    return pt_ends_zero(e) == lowest && before && r->uses[n->inputs[0]] == 1 ? before : NULL;
}

int pt_rewrite_qlinear(struct pt_rewriter *r, int node)
{
    const struct pt_node *q = node < 0 ? NULL : &r->g->nodes[node];
    struct pt_ends e;
    if (!q || q->op != &pt_op_quantize_linear || !pt_read_ends(r, q, &e) || !(PT_EIGHT_BITS & PT_T(e.dtype)))
        return PT_OK;
    const struct pt_node *n = behind_relu(r, q->inputs[0], &e);
    if (!n || n->output_count != 1)
        return PT_OK;
    struct pt_quantised y = {-1, q->inputs[1], zero_of(r, q, e.dtype)};
    return y.zero < 0 ? y.zero : dispatch(r, node, (int)(n - r->g->nodes), &y, e.dtype);
}
