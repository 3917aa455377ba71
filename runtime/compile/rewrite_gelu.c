/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite_gelu.c: exporters before opset 20 write Gelu as x/2 (1 + erf(x / sqrt 2)) in pieces:
 *
 *     x -> Div sqrt 2 (or Mul 1/sqrt 2) -> Erf -> Add 1 -> Mul x -> Mul 1/2      or      ... Add 1 -> Mul (x * 1/2)
 *
 * The last Mul becomes the Gelu.
 */
#include "runtime/compile/rewrite.h"
#include "runtime/ops/table.h"

/* value is x times a number near f: x, or -1. */
static int scaled(const struct pt_rewriter *r, int value, double f)
{
    const struct pt_node *n = pt_producer_of(r, value, &pt_op_mul, false), *d = pt_producer_of(r, value, &pt_op_div, false);
    if (n && pt_constant_is(r, n->inputs[1], f))
        return n->inputs[0];
    if (n && pt_constant_is(r, n->inputs[0], f))
        return n->inputs[1];
    return d && pt_constant_is(r, d->inputs[1], 1 / f) ? d->inputs[0] : -1;
}

/* value is 1 + erf(x / sqrt 2), read once: x, or -1. */
static int one_plus_erf(const struct pt_rewriter *r, int value)
{
    const struct pt_node *add = pt_producer_of(r, value, &pt_op_add, true), *erf;
    for (int k = 0; add && k < 2; k++)
        if (pt_constant_is(r, add->inputs[k], 1) && (erf = pt_producer_of(r, add->inputs[1 - k], &pt_op_erf, true)) != NULL)
            return scaled(r, erf->inputs[0], 0.70710678118654752);
    return -1;
}

/* value is x (1 + erf(x / sqrt 2)): x, or -1. */
static int doubled_gelu(const struct pt_rewriter *r, int value)
{
    const struct pt_node *mul = pt_producer_of(r, value, &pt_op_mul, true);
    for (int k = 0; mul && k < 2; k++) {
        int x = one_plus_erf(r, mul->inputs[k]);
        if (x >= 0 && mul->inputs[1 - k] == x)
            return x;
    }
    return -1;
}

int pt_rewrite_gelu(struct pt_rewriter *r, int node)
{
    struct pt_node *n = &r->g->nodes[node];
    int x = -1;
    if (n->op != &pt_op_mul || n->version < 7)
        return PT_OK;
    for (int k = 0; x < 0 && k < 2; k++) {
        if (pt_constant_is(r, n->inputs[k], 0.5))
            x = doubled_gelu(r, n->inputs[1 - k]);
        else if ((x = one_plus_erf(r, n->inputs[k])) >= 0 && scaled(r, n->inputs[1 - k], 0.5) != x)
            x = -1;
    }
    if (x < 0)
        return PT_OK;
    pt_become(r, node, &pt_op_gelu, 20);
    pt_set_input(r, node, 0, x);
    return PT_OK;
}
