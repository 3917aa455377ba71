/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite_gelu.c: exporters before opset 20 write Gelu in pieces: x/2 (1 + g), where g is erf(x / sqrt 2) or its approximation
 * tanh(sqrt(2/pi) (x + 0.044715 x^3)). The last Mul becomes the operator.
 */
#include "runtime/compile/match.h"
#include "runtime/ops/table.h"

/* The ways to write the product, and those to write what stands inside. */
#define OUTER(g) "Mul(Mul(x,0.5),Add(" g ",1))", "Mul(Mul(x,Add(" g ",1)),0.5)", "Mul(x,Mul(Add(" g ",1),0.5))", "Mul(Div(x,2),Add(" g ",1))"
#define CUBIC(cube) OUTER("Tanh(Mul(Add(x,Mul(" cube ",0.044715)),0.7978845608))")

static const char *const exact[] = {
    OUTER("Erf(Div(x,1.41421356))"),
    OUTER("Erf(Mul(x,0.70710678))"),
};
static const char *const approximate[] = {
    CUBIC("Pow(x,3)"),
    CUBIC("Mul(x,Mul(x,x))"),
    OUTER("Tanh(Mul(Mul(x,0.7978845608),Add(Mul(Mul(x,0.044715),x),1)))"),
    OUTER("Tanh(Mul(Mul(x,0.7978845608),Add(Mul(Mul(x,x),0.044715),1)))"),
};
#define COUNT(list) (sizeof list / sizeof *list)

int pt_rewrite_gelu(struct pt_rewriter *r, int node)
{
    struct pt_match m;
    if (node < 0 || r->g->nodes[node].op != &pt_op_mul)
        return PT_OK;
    bool erf = pt_match_any(r, node, exact, COUNT(exact), &m) >= 0;
    if ((!erf && pt_match_any(r, node, approximate, COUNT(approximate), &m) < 0) ||
        !pt_op_takes(&pt_op_gelu, pt_type_of(r, pt_matched(&m, 'x')).dtype))
        return PT_OK;
    pt_become(r, node, &pt_op_gelu, 20);
    pt_set_input(r, node, 0, pt_matched(&m, 'x'));
    return erf ? PT_OK : pt_set_text(r, node, "approximate", "tanh");
}
