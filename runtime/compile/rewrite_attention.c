/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite_attention.c: exporters write scaled dot-product attention in pieces, which become one JoinedAttention (ops/joined_attention.h):
 *
 *     MatMul(w, v)                            the last node, which becomes the operator
 *       w = Where(IsNaN(p), 0, p) or p        PyTorch's guard for rows that are masked out wholly
 *       p = Softmax(z) over the last axis
 *       z = Add(z, bias), Where(choice, z, number) or the other way round, each at most once, in either order
 *       z = Mul(z, scale), Div(z, scale) of one number, at most once
 *       z = MatMul(q, kt), or FusedMatMul with a factor
 *
 * Transpositions of q, k, v and of the result, and factors of q and k, stay what they are: lowering looks through them. Whatever stands in between
 * must be read by nothing else. Float32 only: half-precision scores overflow where the operator's would not.
 */
#include "runtime/compile/rewrite.h"

#include "runtime/ops/joined_attention.h"
#include "runtime/ops/table.h"

struct found {
    int operands[PT_JOINED_COUNT];
    float alpha, fill;
    bool divide, keep, bias_last, zero_nan;
};

static bool is_float(const struct pt_rewriter *r, int value)
{
    return pt_type_of(r, value).dtype == PT_FLOAT;
}

/* A number that does not give what it is combined with more axes. */
static bool is_number(const struct pt_rewriter *r, int value)
{
    struct pt_type t = pt_type_of(r, value);
    return t.dtype == PT_FLOAT && (t.rank == 0 || (t.rank == 1 && t.exact && t.dims[0] == 1));
}

static bool is_matrix(const struct pt_rewriter *r, int value)
{
    return is_float(r, value) && pt_type_of(r, value).rank >= 2;
}

/* z = MatMul(q, kt) */
static bool find_product(const struct pt_rewriter *r, int z, struct found *f)
{
    static const char *const no[] = {"transA", "transB", "transBatchA", "transBatchB"};
    const struct pt_node *n = pt_producer_of(r, z, &pt_op_matmul, true);
    if (!n && (n = pt_producer_of(r, z, &pt_op_ms_fused_matmul, true)) != NULL) {
        const struct pt_onnx_attr *alpha = pt_node_attr(n, "alpha");
        for (size_t i = 0; i < sizeof no / sizeof *no; i++)
            if (pt_node_int(n, no[i], 0))
                return false;
        f->alpha = alpha ? alpha->f : 1;
    }
    if (!n || !is_matrix(r, n->inputs[0]) || !is_matrix(r, n->inputs[1]))
        return false;
    f->operands[PT_JOINED_Q] = n->inputs[0];
    f->operands[PT_JOINED_KT] = n->inputs[1];
    return true;
}

static bool find_scaled(const struct pt_rewriter *r, int z, struct found *f)
{
    const struct pt_node *mul = pt_producer_of(r, z, &pt_op_mul, true), *div = pt_producer_of(r, z, &pt_op_div, true), *n = mul ? mul : div;
    if (!n)
        return find_product(r, z, f);
    for (int k = 0; k < (mul ? 2 : 1); k++)
        if (n->version >= 7 && is_number(r, n->inputs[1 - k]) && find_product(r, n->inputs[k], f)) {
            f->operands[PT_JOINED_SCALE] = n->inputs[1 - k];
            f->divide = !mul;
            return true;
        }
    return false;
}

static bool find_scores(const struct pt_rewriter *r, int z, struct found *f);

/* The operands of Add are tried both ways round: what does not lead to a product is the bias. */
static bool find_biased(const struct pt_rewriter *r, const struct pt_node *n, struct found *f)
{
    for (int k = 0; k < 2; k++) {
        struct found trial = *f;
        trial.bias_last = f->operands[PT_JOINED_CHOICE] < 0;
        trial.operands[PT_JOINED_BIAS] = n->inputs[1 - k];
        if (is_float(r, n->inputs[1 - k]) && find_scores(r, n->inputs[k], &trial)) {
            *f = trial;
            return true;
        }
    }
    return false;
}

static bool find_chosen(const struct pt_rewriter *r, const struct pt_node *n, struct found *f)
{
    for (int k = 1; k < 3; k++) {
        const struct pt_tensor *fill = pt_constant(r, n->inputs[3 - k]);
        if (!is_number(r, n->inputs[3 - k]) || !fill || pt_type_of(r, n->inputs[0]).dtype != PT_BOOL)
            continue;
        struct found trial = *f;
        trial.operands[PT_JOINED_CHOICE] = n->inputs[0];
        trial.keep = k == 1;
        trial.fill = (float)pt_elem_f64(fill, 0);
        if (find_scores(r, n->inputs[k], &trial)) {
            *f = trial;
            return true;
        }
    }
    return false;
}

/* Back from z, what is nearest the softmax first. */
static bool find_scores(const struct pt_rewriter *r, int z, struct found *f)
{
    const struct pt_node *add = pt_producer_of(r, z, &pt_op_add, true), *where = pt_producer_of(r, z, &pt_op_where, true);
    if (add)
        return add->version >= 7 && f->operands[PT_JOINED_BIAS] < 0 && find_biased(r, add, f);
    if (where)
        return f->operands[PT_JOINED_CHOICE] < 0 && find_chosen(r, where, f);
    return find_scaled(r, z, f);
}

/* p of Where(IsNaN(p), 0, p), or w itself. *readers: how many read it if nothing else does. */
static int find_guarded(const struct pt_rewriter *r, int w, int *readers)
{
    const struct pt_node *where = pt_producer_of(r, w, &pt_op_where, true);
    const struct pt_node *test = where ? pt_producer_of(r, where->inputs[0], &pt_op_isnan, true) : NULL;
    bool guards = test && test->inputs[0] == where->inputs[2] && is_number(r, where->inputs[1]) && pt_constant(r, where->inputs[1]) &&
                  pt_elem_f64(pt_constant(r, where->inputs[1]), 0) == 0;
    *readers = guards ? 2 : 1;
    return guards ? where->inputs[2] : w;
}

static bool is_last_axis(const struct pt_rewriter *r, const struct pt_node *softmax)
{
    int64_t axis = pt_node_int(softmax, "axis", softmax->version < 13 ? 1 : -1);
    return axis == -1 || (axis > 0 && axis == pt_type_of(r, softmax->inputs[0]).rank - 1);
}

static bool find_weights(const struct pt_rewriter *r, int w, struct found *f)
{
    int readers, p = find_guarded(r, w, &readers);
    const struct pt_node *softmax = pt_producer_of(r, p, &pt_op_softmax, false);
    f->zero_nan = readers == 2;
    return softmax && r->uses[p] == readers && is_last_axis(r, softmax) && find_scores(r, softmax->inputs[0], f);
}

/* Only what is not the default is written. */
static int set_attributes(struct pt_rewriter *r, int node, const struct found *f)
{
    const int64_t one = 1;
    const struct {
        const char *name;
        bool set;
    } flags[] = {
        {"divide", f->divide}, {"keep", f->keep}, {"bias_last", f->bias_last && f->operands[PT_JOINED_CHOICE] >= 0}, {"zero_nan", f->zero_nan}};
    int rc = f->alpha == 1 ? PT_OK : pt_set_float(r, node, "alpha", f->alpha);
    if (rc == PT_OK && f->operands[PT_JOINED_CHOICE] >= 0)
        rc = pt_set_float(r, node, "fill", f->fill);
    for (size_t i = 0; rc == PT_OK && i < sizeof flags / sizeof *flags; i++)
        if (flags[i].set)
            rc = pt_set_ints(r, node, flags[i].name, &one, -1);
    return rc;
}

int pt_rewrite_attention(struct pt_rewriter *r, int node)
{
    struct pt_node *n = node < 0 ? NULL : &r->g->nodes[node];
    struct found f = {.operands = {-1, -1, -1, -1, -1, -1}, .alpha = 1};
    if (!n || n->op != &pt_op_matmul || !is_matrix(r, n->inputs[1]) || !find_weights(r, n->inputs[0], &f))
        return PT_OK;
    int *inputs = pt_graph_alloc(r->g, (PT_JOINED_COUNT + 1) * sizeof *inputs, r->err);
    if (!inputs)
        return PT_ENOMEM;
    f.operands[PT_JOINED_V] = n->inputs[1];
    pt_become(r, node, &pt_op_joined_attention, 1);
    n->domain = pt_str(pt_op_joined_attention.domain);
    n->inputs = inputs;
    for (int i = PT_JOINED_COUNT - 1; i >= 0; i--)
        if (i <= PT_JOINED_V || f.operands[i] >= 0)
            pt_set_input(r, node, i, f.operands[i]);
    return set_attributes(r, node, &f);
}
