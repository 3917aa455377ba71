/* SPDX-License-Identifier: Apache-2.0
 *
 * fuse.c: nodes that a matrix product or a convolution can do while it stores its result. It happens while lowering, where shapes and
 * layouts are known: the step of the producer is already there and takes over the node's output. Only a value that nobody else reads may
 * disappear so.
 */
#include "runtime/compile/lower.h"
#include "runtime/compile/rewrite.h"

#include "runtime/ops/table.h"

struct pt_step *pt_fuse_source(struct pt_lower *l, int slot)
{
    const struct pt_slot *s = pt_lower_slot(l, slot);
    if (l->o->off & PT_REWRITE_BIT(fuse))
        return NULL;
    return s->reads == 1 && s->twin < 0 && s->step >= 0 && s->place == PT_PLACE_ARENA ? &l->p->steps[s->step] : NULL;
}

void pt_fuse_redirect(struct pt_lower *l, struct pt_step *step, int old)
{
    int out = pt_lower_out(l, 0);
    pt_lower_operands(l, step)[step->in_count] = out;
    pt_lower_slot(l, out)->layout = pt_lower_slot(l, old)->layout;
    pt_lower_slot(l, out)->step = (int)(step - l->p->steps);
}

/* A step that still takes additions and an activation. */
static struct pt_step *open_source(struct pt_lower *l, int slot)
{
    struct pt_step *s = pt_fuse_source(l, slot);
    return s && s->fused && s->fused->act == PT_ACT_NONE ? s : NULL;
}

bool pt_fuse_number(struct pt_lower *l, int slot, float *v)
{
    const struct pt_slot *s = pt_lower_slot(l, slot);
    if (s->place != PT_PLACE_CONST || s->t.dtype != PT_FLOAT || pt_tensor_count(&s->t) != 1)
        return false;
    *v = (float)pt_elem_f64(&s->t, 0);
    return true;
}

int pt_fuse_act(struct pt_lower *l, enum pt_act act, float lo, float hi)
{
    int in = pt_lower_in(l, 0);
    struct pt_step *s = open_source(l, in);
    if (!s)
        return 0;
    s->fused->act = act;
    s->fused->lo = lo;
    s->fused->hi = hi;
    pt_fuse_redirect(l, s, in);
    return 1;
}

/* One constant per column, along the axis of the columns. */
static bool is_bias(const struct pt_slot *b, const struct pt_tensor *y, const struct pt_fused *f)
{
    int axis = f->is_conv ? 1 : y->rank - 1, at = axis - (y->rank - b->t.rank);
    return b->place == PT_PLACE_CONST && b->t.rank <= y->rank && at >= 0 && b->t.dims[at] == f->columns && y->dims[axis] == f->columns &&
           pt_tensor_count(&b->t) == f->columns;
}

/* `value` is made before step s, in the order of the result. */
static bool is_residual(struct pt_lower *l, int value, const struct pt_slot *y, const struct pt_step *s)
{
    const struct pt_slot *r = pt_lower_slot(l, value);
    return pt_dims_equal(&r->t, &y->t) && (r->layout == y->layout || pt_same_order(&r->t)) && r->step < (int)(s - l->p->steps);
}

static int try_add(struct pt_lower *l, int product, int other)
{
    struct pt_step *s = open_source(l, product);
    const struct pt_slot *y = pt_lower_slot(l, product);
    if (!s || product == other || !pt_dims_equal(&y->t, &pt_lower_slot(l, pt_lower_out(l, 0))->t))
        return 0;
    int *ops = pt_lower_operands(l, s);
    if (ops[s->fused->bias] < 0 && is_bias(pt_lower_slot(l, other), &y->t, s->fused))
        ops[s->fused->bias] = other;
    else if (ops[s->fused->residual] < 0 && is_residual(l, other, y, s))
        ops[s->fused->residual] = other;
    else
        return 0;
    pt_fuse_redirect(l, s, product);
    return 1;
}

/* The operand made last can take the other one in. */
int pt_fuse_add(struct pt_lower *l)
{
    int a = pt_lower_in(l, 0), b = pt_lower_in(l, 1);
    if (l->item->node->version < 7)
        return 0;
    int rc = pt_lower_align(l, a);
    if (rc < 0 || (rc = pt_lower_align(l, b)) < 0)
        return rc;
    bool a_last = pt_lower_slot(l, a)->step > pt_lower_slot(l, b)->step;
    return try_add(l, a_last ? a : b, a_last ? b : a);
}

int pt_fuse_scale(struct pt_lower *l)
{
    const struct pt_op *op = l->item->node->op;
    int a = pt_lower_in(l, 0), b = pt_lower_in(l, 1);
    float v;
    if (op == &pt_op_mul && pt_fuse_number(l, a, &v)) {
        int t = a;
        a = b;
        b = t;
    }
    struct pt_step *s = open_source(l, a);
    if ((op != &pt_op_mul && op != &pt_op_div) || l->item->node->version < 7 || !s || !s->fused->scales || !pt_fuse_number(l, b, &v) ||
        !pt_dims_equal(&pt_lower_slot(l, a)->t, &pt_lower_slot(l, pt_lower_out(l, 0))->t))
        return 0;
    const int *ops = pt_lower_operands(l, s);
    if (ops[s->fused->bias] >= 0 || ops[s->fused->residual] >= 0)
        return 0;
    s->fused->alpha *= op == &pt_op_mul ? v : 1 / v;
    pt_fuse_redirect(l, s, a);
    return 1;
}
