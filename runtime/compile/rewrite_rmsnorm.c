/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite_rmsnorm.c: exporters before opset 23 write RMSNormalization over the last axis in pieces: y = x / sqrt(mean(x^2) + epsilon) * scale. The
 * last Mul becomes the operator.
 */
#include "runtime/compile/match.h"
#include "runtime/compile/norm.h"
#include "runtime/ops/table.h"

#define SPREAD(square) "Sqrt(Add(v:ReduceMean(" square ",...),#e))"
#define WAYS(square)                                                                                                                                 \
    "Mul(Div(x," SPREAD(square) "),#g)", "Mul(Mul(x,Reciprocal(" SPREAD(square) ")),#g)", "Mul(Mul(x,Div(1," SPREAD(square) ")),#g)",                \
        "Mul(Mul(x,Pow(Add(v:ReduceMean(" square ",...),#e),-0.5)),#g)"

static const char *const ways[] = {WAYS("Pow(x,2)"), WAYS("Mul(x,x)")};

int pt_rewrite_rmsnorm(struct pt_rewriter *r, int node)
{
    struct pt_match m;
    float epsilon;
    if (node < 0 || r->g->nodes[node].op != &pt_op_mul || pt_match_any(r, node, ways, sizeof ways / sizeof *ways, &m) < 0)
        return PT_OK;
    int x = pt_matched(&m, 'x'), scale = pt_matched(&m, 'g');
    if (!pt_norm_is_last_axis(r, pt_matched(&m, 'v')) || !pt_norm_is_row(r, scale, x) || !pt_norm_epsilon(r, pt_matched(&m, 'e'), &epsilon) ||
        !pt_op_takes(&pt_op_rms_normalization, pt_type_of(r, x).dtype))
        return PT_OK;
    pt_become(r, node, &pt_op_rms_normalization, 23);
    pt_set_input(r, node, 0, x);
    pt_set_input(r, node, 1, scale);
    return pt_set_float(r, node, "epsilon", epsilon);
}
