/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite_pad.c: a Pad of pixels before a Conv or a pool becomes that node's own padding, where the value padded with is what the node pads with: 0
 * for Conv and for AveragePool that counts padding, minus infinity for MaxPool.
 */
#include "runtime/compile/rewrite.h"
#include "runtime/ops/table.h"

#include <math.h>

#define MAX_PADS (2 * PT_MAX_RANK)

/* Constant amounts for all axes, from attribute or operand; false when they cannot be told. */
static bool amounts(const struct pt_rewriter *r, const struct pt_node *pad, int64_t v[MAX_PADS], int *count)
{
    const struct pt_onnx_attr *a = pt_node_attr(pad, pad->version < 2 ? "paddings" : "pads");
    const struct pt_tensor *t = pad->version < 11 ? NULL : pt_constant(r, pt_node_in(pad, 1));
    int64_t n = pad->version < 11 ? (a && a->type == PT_ATTR_INTS ? (int64_t)a->count : 0) : t && t->dtype == PT_INT64 ? pt_tensor_count(t) : 0;
    if (n < 6 || n > MAX_PADS || n % 2 || pt_node_in(pad, 3) >= 0)
        return false;
    *count = (int)n;
    for (int i = 0; i < *count; i++)
        if ((v[i] = t ? pt_elem_i64(t, i) : a->ints[i]) < 0 || v[i] > INT32_MAX)
            return false;
    return v[0] == 0 && v[1] == 0 && v[n / 2] == 0 && v[n / 2 + 1] == 0; /* images and channels stay */
}

static bool pads_with(const struct pt_rewriter *r, const struct pt_node *pad, double *value)
{
    const struct pt_onnx_attr *a = pt_node_attr(pad, "value");
    const struct pt_tensor *t = pt_constant(r, pt_node_in(pad, 2));
    if (!pt_node_text_is(pad, "mode", "constant", "constant"))
        return false;
    *value = 0;
    if (pad->version < 11) {
        *value = a && a->type == PT_ATTR_FLOAT ? (double)a->f : 0;
        return !a || a->type == PT_ATTR_FLOAT;
    }
    if (pt_node_in(pad, 2) >= 0 && (!t || pt_tensor_count(t) != 1))
        return false;
    *value = t ? pt_elem_f64(t, 0) : 0;
    return true;
}

/* Does the node, for its own padding, do what the value says? */
static bool agrees(const struct pt_node *n, double value, bool own_pads, int64_t most)
{
    const struct pt_onnx_attr *kernel = pt_node_attr(n, "kernel_shape");
    if (n->op == &pt_op_conv)
        return value == 0;
    if (pt_node_int(n, "ceil_mode", 0) != 0 || !kernel || kernel->type != PT_ATTR_INTS || n->output_count != 1)
        return false;
    for (size_t i = 0; i < kernel->count; i++) /* windows of nothing but padding would have no maximum; and operators refuse them */
        if (kernel->ints[i] <= most)
            return false;
    if (n->op == &pt_op_max_pool)
        return isinf(value) && value < 0;
    return n->op == &pt_op_average_pool && n->version >= 7 && value == 0 && (!own_pads || pt_node_int(n, "count_include_pad", 0) == 1);
}

static int take_pads(struct pt_rewriter *r, int node, const int64_t *pads, int spatial, int pixels_in)
{
    const int64_t one = 1;
    int rc = pt_set_ints(r, node, "pads", pads, 2 * spatial);
    if (rc == PT_OK && pt_node_attr(&r->g->nodes[node], "auto_pad"))
        rc = pt_set_text(r, node, "auto_pad", "NOTSET");
    if (rc == PT_OK && r->g->nodes[node].op == &pt_op_average_pool)
        rc = pt_set_ints(r, node, "count_include_pad", &one, -1);
    if (rc == PT_OK)
        pt_set_input(r, node, 0, pixels_in);
    return rc;
}

int pt_rewrite_pad(struct pt_rewriter *r, int node)
{
    const struct pt_node *n = node < 0 ? NULL : &r->g->nodes[node];
    if (!n || (n->op != &pt_op_conv && n->op != &pt_op_max_pool && n->op != &pt_op_average_pool))
        return PT_OK;
    const struct pt_node *pad = pt_producer_of(r, n->inputs[0], &pt_op_pad, true);
    const struct pt_onnx_attr *own = pt_node_attr(n, "pads");
    int64_t v[MAX_PADS], sum[MAX_PADS], most = 0;
    int count;
    double value;
    bool own_pads = false, no_auto = pt_node_text_is(n, "auto_pad", "NOTSET", "NOTSET"), valid = pt_node_text_is(n, "auto_pad", "NOTSET", "VALID");
    if (!pad || !amounts(r, pad, v, &count) || !pads_with(r, pad, &value) || !(no_auto || valid) || pt_type_of(r, n->inputs[0]).dtype != PT_FLOAT)
        return PT_OK;
    int rank = count / 2, spatial = rank - 2;
    if (own && no_auto && (own->type != PT_ATTR_INTS || own->count != (size_t)(2 * spatial)))
        return PT_OK;
    for (int i = 0; i < 2 * spatial; i++) {
        int64_t mine = own && no_auto ? own->ints[i] : 0;
        if (mine < 0 || mine > INT32_MAX)
            return PT_OK;
        own_pads = own_pads || mine;
        sum[i] = mine + v[i < spatial ? i + 2 : i - spatial + rank + 2];
        most = sum[i] > most ? sum[i] : most;
    }
    return agrees(n, value, own_pads, most) ? take_pads(r, node, sum, spatial, pad->inputs[0]) : PT_OK;
}
