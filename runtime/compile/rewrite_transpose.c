/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite_transpose.c: a Transpose of a Transpose is one, or none. Models converted from channels-last frameworks put
 *
 *     Transpose p -> elementwise operators -> Transpose q,  q undoing p
 *
 * around everything between two convolutions: the elementwise part can work in the order that is there before p. It does when every tensor that
 * enters it comes through such a p, or is a constant, which can be transposed now.
 */
#include "runtime/compile/rewrite.h"
#include "runtime/ops/table.h"

#define MAX_DEPTH 16

struct pair {
    struct pt_rewriter *r;
    int rank, undo[PT_MAX_RANK]; /* the second Transpose's permutation */
};

/* Any order of the elements will do: row by row for one operand, in step for two. */
static const struct pt_op *const unary[] = {
    &pt_op_relu, &pt_op_leaky_relu, &pt_op_elu,      &pt_op_selu,         &pt_op_sigmoid,    &pt_op_tanh,  &pt_op_erf,  &pt_op_gelu, &pt_op_exp,
    &pt_op_log,  &pt_op_sqrt,       &pt_op_abs,      &pt_op_neg,          &pt_op_reciprocal, &pt_op_floor, &pt_op_ceil, &pt_op_clip, &pt_op_cast,
    &pt_op_not,  &pt_op_softplus,   &pt_op_softsign, &pt_op_hard_sigmoid, &pt_op_hard_swish, &pt_op_swish, &pt_op_mish, &pt_op_sign, &pt_op_round,
};
static const struct pt_op *const binary[] = {&pt_op_add, &pt_op_sub, &pt_op_mul, &pt_op_div, &pt_op_pow, &pt_op_max, &pt_op_min, &pt_op_prelu};

static bool is_one_of(const struct pt_op *op, const struct pt_op *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == op)
            return true;
    return false;
}
#define IS_ONE_OF(op, list) is_one_of(op, list, sizeof(list) / sizeof *(list))

/* The permutation of a Transpose; false when it is not known. */
static bool perm_of(const struct pt_rewriter *r, const struct pt_node *n, int *rank, int perm[PT_MAX_RANK])
{
    const struct pt_onnx_attr *a = pt_node_attr(n, "perm");
    unsigned seen = 0;
    *rank = a ? (int)(a->count > PT_MAX_RANK ? PT_MAX_RANK + 1 : a->count) : pt_type_of(r, n->inputs[0]).rank;
    if (*rank < 0 || *rank > PT_MAX_RANK || (a && a->type != PT_ATTR_INTS))
        return false;
    for (int i = 0; i < *rank; i++) {
        int64_t p = a ? a->ints[i] : *rank - 1 - i;
        if (p < 0 || p >= *rank || seen >> p & 1)
            return false;
        seen |= 1u << p;
        perm[i] = (int)p;
    }
    return true;
}

static bool is_identity(int rank, const int *perm)
{
    for (int i = 0; i < rank; i++)
        if (perm[i] != i)
            return false;
    return true;
}

/* --- pairs around elementwise operators -------------------------------------------------------------------------------------------- */

/* What value is a Transpose of, if the pair's second one undoes that; else -1. */
static int undone(const struct pair *p, int value)
{
    const struct pt_node *n = pt_producer_of(p->r, value, &pt_op_transpose, false);
    int rank, perm[PT_MAX_RANK];
    if (!n || !perm_of(p->r, n, &rank, perm) || rank != p->rank)
        return -1;
    for (int i = 0; i < rank; i++)
        if (perm[p->undo[i]] != i)
            return -1;
    return n->inputs[0];
}

static bool is_number(const struct pt_rewriter *r, int value)
{
    const struct pt_tensor *t = pt_constant(r, value);
    return t && t->rank <= 1 && pt_tensor_count(t) == 1;
}

static bool can_turn_constant(const struct pair *p, int value)
{
    const struct pt_tensor *t = pt_constant(p->r, value);
    return t && t->rank <= p->rank && pt_dtype_size(t->dtype);
}

/* Can value be had in the order before the first Transpose? *any: one that is undone was found. */
static bool can_turn(const struct pair *p, int value, int depth, bool *any)
{
    const struct pt_node *n = pt_producer(p->r, value);
    if (undone(p, value) >= 0)
        return *any = true;
    if (!n || depth == MAX_DEPTH || p->r->uses[value] != 1 || n->outputs[0] != value || n->output_count != 1 || n->version < 7)
        return false;
    if (IS_ONE_OF(n->op, unary)) /* other operands are numbers: the bounds of Clip */
        return pt_type_of(p->r, value).rank == p->rank && can_turn(p, n->inputs[0], depth + 1, any);
    if (!IS_ONE_OF(n->op, binary))
        return false;
    for (int i = 0; i < n->input_count; i++)
        if (!is_number(p->r, n->inputs[i]) && !can_turn_constant(p, n->inputs[i]) && !can_turn(p, n->inputs[i], depth + 1, any))
            return false;
    return pt_type_of(p->r, value).rank == p->rank;
}

/* x, seen with y's rank and these dims, in y's order. x may lie unaligned in the file. */
static void permute(const struct pt_tensor *x, const int64_t *dims, const int *perm, struct pt_tensor *y)
{
    size_t size = pt_dtype_size(x->dtype);
    int64_t stride[PT_MAX_RANK], at[PT_MAX_RANK] = {0}, s = 1, n = pt_tensor_count(y);
    for (int i = y->rank - 1; i >= 0; s *= dims[i--])
        stride[i] = s;
    for (int64_t k = 0; k < n; k++) {
        int64_t from = 0;
        for (int i = 0; i < y->rank; i++)
            from += at[i] * stride[perm[i]];
        memcpy((char *)y->data + (size_t)k * size, (const char *)x->data + (size_t)from * size, size);
        for (int i = y->rank - 1; i >= 0 && ++at[i] == y->dims[i]; i--)
            at[i] = 0;
    }
}

/* The constant in the other order, with as many axes as the result. */
static int turn_constant(const struct pair *p, int value)
{
    const struct pt_tensor *t = pt_constant(p->r, value);
    int64_t dims[PT_MAX_RANK], turned[PT_MAX_RANK];
    for (int i = 0; i < p->rank; i++)
        dims[i] = i < p->rank - t->rank ? 1 : t->dims[i - (p->rank - t->rank)];
    for (int i = 0; i < p->rank; i++)
        turned[i] = dims[p->undo[i]];
    bool ready;
    struct pt_consts *consts = &p->r->g->consts;
    struct pt_tensor *copy = pt_graph_make_tensor(p->r->g, t->dtype, p->rank, turned, pt_consts_origin(consts, 1, t->data), &ready, p->r->err);
    if (!copy)
        return p->r->err->code;
    if (!ready) {
        permute(t, dims, p->undo, copy);
        pt_consts_made(consts, copy->data);
    }
    return pt_add_constant(p->r, copy);
}

static void turn_type(const struct pair *p, int value)
{
    struct pt_type *t = value < p->r->type_count ? &p->r->types[value] : NULL;
    if (!t || t->rank != p->rank)
        return;
    struct pt_type old = *t;
    for (int i = 0; i < p->rank; i++)
        t->dims[i] = old.dims[p->undo[i]];
}

/* Does what can_turn() found possible. */
static int turn(const struct pair *p, int value)
{
    struct pt_rewriter *r = p->r;
    const struct pt_node *n = pt_producer(r, value);
    if (!n)
        return pt_fail(r->err, PT_EINTERNAL, "a transposed value has no producer");
    int node = (int)(n - r->g->nodes);
    int operands = IS_ONE_OF(n->op, unary) ? 1 : n->input_count;
    for (int i = 0; i < operands; i++) {
        int in = n->inputs[i], rc = PT_OK;
        if (is_number(r, in))
            continue;
        if (pt_constant(r, in))
            rc = turn_constant(p, in);
        else if ((rc = undone(p, in)) < 0 && (rc = turn(p, in)) >= 0)
            continue;
        if (rc < 0)
            return rc;
        pt_set_input(r, node, i, rc);
    }
    turn_type(p, value);
    return PT_OK;
}

/* --- the rewrite --------------------------------------------------------------------------------------------------------------------- */

static int chain(struct pt_rewriter *r, int node, int rank, const int *perm)
{
    const struct pt_node *first = pt_producer_of(r, r->g->nodes[node].inputs[0], &pt_op_transpose, false);
    int first_rank, before[PT_MAX_RANK];
    int64_t both[PT_MAX_RANK];
    if (!first || !perm_of(r, first, &first_rank, before) || first_rank != rank)
        return PT_OK;
    for (int i = 0; i < rank; i++)
        both[i] = before[perm[i]];
    pt_set_input(r, node, 0, first->inputs[0]);
    return pt_set_ints(r, node, "perm", both, rank);
}

int pt_rewrite_transpose(struct pt_rewriter *r, int node)
{
    struct pair p = {.r = r};
    bool any = false;
    if (node < 0 || r->g->nodes[node].op != &pt_op_transpose)
        return PT_OK;
    int in = r->g->nodes[node].inputs[0], rc;
    if (perm_of(r, &r->g->nodes[node], &p.rank, p.undo) && (rc = chain(r, node, p.rank, p.undo)) < 0)
        return rc;
    in = r->g->nodes[node].inputs[0];
    if (!perm_of(r, &r->g->nodes[node], &p.rank, p.undo))
        return PT_OK;
    int rank = pt_type_of(r, in).rank;
    if (is_identity(p.rank, p.undo) && (rank < 0 || rank == p.rank)) {
        pt_bypass(r, node, in);
        return PT_OK;
    }
    if (!can_turn(&p, in, 0, &any) || !any || undone(&p, in) >= 0)
        return PT_OK;
    if ((rc = turn(&p, in)) < 0)
        return rc;
    pt_bypass(r, node, in);
    return PT_OK;
}
