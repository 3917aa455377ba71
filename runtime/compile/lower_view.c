/* SPDX-License-Identifier: Apache-2.0
 *
 * lower_view.c: operands seen through the transpositions and factors that made them, which then need not be done.
 */
#include "runtime/compile/lower.h"
#include "runtime/ops/table.h"

void pt_view_slot(struct pt_lower *l, int slot, struct pt_view *v)
{
    const struct pt_tensor *t = &pt_lower_slot(l, slot)->t;
    v->slot = slot;
    v->rank = t->rank;
    int64_t s = 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        v->dims[i] = t->dims[i];
        v->stride[i] = s;
        s *= t->dims[i];
    }
}

/* Is the step a product or quotient with a number, of the same rank? */
static bool is_factor(struct pt_lower *l, const struct pt_step *s, int rank, float *factor)
{
    const int *ops = pt_lower_operands(l, s);
    float number;
    if (!pt_is_binary_step(s) || (s->node->op != &pt_op_mul && s->node->op != &pt_op_div) || !pt_fuse_number(l, ops[1], &number) ||
        pt_lower_slot(l, ops[0])->t.rank != rank || pt_lower_slot(l, ops[0])->layout != PT_LAYOUT_PLAIN)
        return false;
    *factor = s->node->op == &pt_op_mul ? number : 1 / number;
    return true;
}

bool pt_view_peel(struct pt_lower *l, struct pt_view *v, float *alpha, bool commit)
{
    int perm[PT_MAX_RANK], slot = v->slot, rank = v->rank;
    if (alpha)
        *alpha = 1;
    for (int i = 0; i < rank; i++)
        perm[i] = i;
    for (struct pt_step *s; (s = pt_fuse_source(l, slot)) != NULL;) {
        const int *p = pt_transpose_perm(s);
        float factor;
        if (p) {
            for (int i = 0; i < rank; i++)
                perm[i] = p[perm[i]];
        } else if (alpha && is_factor(l, s, rank, &factor)) {
            *alpha *= factor;
        } else {
            break;
        }
        if (commit)
            s->run = NULL;
        slot = pt_lower_operands(l, s)[0];
    }
    if (slot == v->slot)
        return false;
    struct pt_view source;
    pt_view_slot(l, slot, &source);
    v->slot = slot;
    for (int i = 0; i < rank; i++) {
        v->dims[i] = source.dims[perm[i]];
        v->stride[i] = source.stride[perm[i]];
    }
    return true;
}
