/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite_layernorm.c: exporters before opset 17 write LayerNormalization over the last axis in pieces:
 *
 *     d = x - mean(x);  y = d / sqrt(mean(d^2) + epsilon) * scale + bias
 *
 * The last Add becomes the operator; where there is no bias, the last Mul. rewrite_rmsnorm.c does the same without the mean.
 */
#include "runtime/compile/match.h"
#include "runtime/compile/norm.h"
#include "runtime/ops/table.h"

#include <stdio.h>

#define D "d:Sub(x,m:ReduceMean(x,...))"
#define SPREAD(square) "Sqrt(Add(v:ReduceMean(" square ",...),#e))"
/* The ways to divide d by its spread. */
#define NORMAL(square)                                                                                                                               \
    "Div(" D "," SPREAD(square) ")", "Mul(" D ",Reciprocal(" SPREAD(square) "))", "Mul(" D ",Div(1," SPREAD(square) "))",                            \
        "Mul(" D ",Pow(Add(v:ReduceMean(" square ",...),#e),-0.5))"

static const char *const normals[] = {NORMAL("Pow(d,2)"), NORMAL("Mul(d,d)")};

/* The last Mul: normal * g. */
static bool match_product(const struct pt_rewriter *r, int node, struct pt_match *m)
{
    char pattern[256];
    for (size_t i = 0; i < sizeof normals / sizeof *normals; i++) {
        snprintf(pattern, sizeof pattern, "Mul(%s,#g)", normals[i]);
        if (pt_match(r, node, pattern, m))
            return true;
    }
    return false;
}

bool pt_norm_is_last_axis(const struct pt_rewriter *r, int mean)
{
    const struct pt_node *n = pt_producer(r, mean);
    if (!n)
        return false;
    const struct pt_onnx_attr *axes = pt_node_attr(n, "axes");
    const struct pt_tensor *t = n->version < 18 ? NULL : pt_constant(r, pt_node_in(n, 1));
    struct pt_type x = pt_type_of(r, n->inputs[0]);
    int64_t axis;
    if (pt_node_int(n, "keepdims", 1) != 1)
        return false;
    if (n->version < 18 && axes && axes->type == PT_ATTR_INTS && axes->count == 1)
        axis = axes->ints[0];
    else if (t && pt_tensor_count(t) == 1)
        axis = pt_elem_i64(t, 0);
    else
        return false;
    return axis == -1 || (x.rank > 0 && axis == x.rank - 1);
}

/* One value for each element of x's last axis, which must be known: a longer row would broadcast x, which the operator does not. */
bool pt_norm_is_row(const struct pt_rewriter *r, int value, int x)
{
    const struct pt_tensor *t = pt_constant(r, value);
    struct pt_type type = pt_type_of(r, x);
    return t && t->rank == 1 && type.rank > 0 && t->dtype == type.dtype && t->dims[0] == type.dims[type.rank - 1];
}

bool pt_norm_epsilon(const struct pt_rewriter *r, int value, float *epsilon)
{
    const struct pt_tensor *e = pt_constant(r, value);
    if (!e || pt_tensor_count(e) != 1)
        return false;
    *epsilon = (float)pt_elem_f64(e, 0);
    return (double)*epsilon == pt_elem_f64(e, 0); /* the attribute is a float */
}

static int become(struct pt_rewriter *r, int node, const struct pt_match *m)
{
    int x = pt_matched(m, 'x'), scale = pt_matched(m, 'g');
    float epsilon;
    if (!pt_norm_is_last_axis(r, pt_matched(m, 'm')) || !pt_norm_is_last_axis(r, pt_matched(m, 'v')) || !pt_norm_is_row(r, scale, x) ||
        !pt_norm_epsilon(r, pt_matched(m, 'e'), &epsilon) || !pt_op_takes(&pt_op_layer_normalization, pt_type_of(r, x).dtype))
        return PT_OK;
    pt_become(r, node, &pt_op_layer_normalization, 17);
    pt_set_input(r, node, 0, x);
    pt_set_input(r, node, 1, scale);
    return pt_set_float(r, node, "epsilon", epsilon);
}

/* A bias is only met as the Add behind the operator that the Mul has become. */
static int take_bias(struct pt_rewriter *r, int node)
{
    struct pt_match m;
    if (!pt_match(r, node, "Add(n:LayerNormalization(x,g),#b)", &m) || r->uses[pt_matched(&m, 'n')] != 1 ||
        !pt_norm_is_row(r, pt_matched(&m, 'b'), pt_matched(&m, 'x')))
        return PT_OK;
    int norm = (int)(pt_producer(r, pt_matched(&m, 'n')) - r->g->nodes);
    if (r->g->nodes[norm].output_count > 1)
        return PT_OK;
    pt_set_input(r, norm, 2, pt_matched(&m, 'b'));
    pt_take_output(r, norm, node);
    return PT_OK;
}

int pt_rewrite_layernorm(struct pt_rewriter *r, int node)
{
    struct pt_match m;
    if (node < 0)
        return PT_OK;
    if (r->g->nodes[node].op == &pt_op_add)
        return take_bias(r, node);
    return match_product(r, node, &m) ? become(r, node, &m) : PT_OK;
}
