/* SPDX-License-Identifier: Apache-2.0
 *
 * prune_rules_product.c: convolutions, matrix products, attention in one node: where input channels become output channels.
 *
 * A grouped convolution needs groups of one size. Where it has more groups than channels in a group (depthwise: one), whole groups go; else the same
 * place of every group goes.
 */
#include "runtime/compress/prune_units.h"

enum mode { MODE_PLAIN, MODE_WHOLE_GROUPS };

static void join_bias(struct pt_units *u, const struct pt_onnx_node *n, size_t i, struct pt_axes *y, int axis)
{
    struct pt_axes *b = pt_units_in(u, n, i);
    if (b && y->labels[axis])
        pt_units_join(u, y, axis, b, b->shape->rank - 1);
}

/* Operands are multiplied and summed up along axes of theirs. */
static void sum_over(struct pt_units *u, struct pt_axes *a, int a_axis, struct pt_axes *b, int b_axis)
{
    pt_units_join(u, a, a_axis, b, b_axis);
    if (!pt_units_vanishes(u, a) && !pt_units_vanishes(u, b))
        pt_units_pin_axis(u, a, a_axis, pt_units_missing);
}

/* Labels of one place in each group, or of a whole group, become one unit. */
static void tie_groups(struct pt_units *u, const int *labels, int64_t count, int64_t groups, bool whole)
{
    int64_t each = count / groups;
    for (int64_t i = 0; labels && i < count; i++)
        pt_units_tie(u, labels[i], labels[whole ? i / each * each : i % each]);
}

/* Space, and whatever else is not axis 1, cannot shrink. */
static void pin_others(struct pt_units *u, struct pt_axes *x, int axis)
{
    for (int i = 0; i < x->shape->rank; i++)
        if (i != axis)
            pt_units_pin(u, x->labels[i], pt_axis_size(x, i), "a window moves along it");
}

/* The groups of a convolution: input channels xl, output channels yl (axis of the weights that goes over all of one of them). */
static void tie_whole_groups(struct pt_units *u, const int *xl, int64_t ins, const int *yl, int64_t outs, int64_t groups)
{
    tie_groups(u, xl, ins, groups, true);
    tie_groups(u, yl, outs, groups, true);
    for (int64_t g = 0; xl && yl && g < groups; g++)
        pt_units_tie(u, xl[g * (ins / groups)], yl[g * (outs / groups)]);
}

static void conv(struct pt_units *u, const struct pt_onnx_node *n)
{
    struct pt_axes *x = pt_units_in(u, n, 0), *w = pt_units_in(u, n, 1), *y = pt_units_out(u, n, 0);
    int64_t groups = pt_edit_attr_int(n, "group", 1);
    if (!x || !w || x->shape->rank < 2 || w->shape->rank != x->shape->rank)
        return;
    int64_t ins = pt_axis_size(x, 1), outs = pt_axis_size(w, 0);
    bool whole = groups > 1 && groups > ins / groups;
    pin_others(u, x, 1);
    y->labels[1] = pt_units_want(u, w, 0);
    if (groups == 1) {
        sum_over(u, x, 1, w, 1);
    } else if (whole) {
        u->modes[u->node] = MODE_WHOLE_GROUPS;
        if (x->labels[1] && y->labels[1])
            tie_whole_groups(u, x->labels[1], ins, y->labels[1], outs, groups);
        else
            pt_units_join(u, x, 1, w, 0); /* pins */
    } else {
        int *wl = pt_units_want(u, w, 1);
        tie_groups(u, x->labels[1], ins, groups, false);
        tie_groups(u, y->labels[1], outs, groups, false);
        pt_units_tie_all(u, x->labels[1], wl, ins / groups);
        if (!x->labels[1] || !wl) {
            pt_units_pin_axis(u, x, 1, "the other operand cannot shrink");
            pt_units_pin_axis(u, w, 1, "the other operand cannot shrink");
        }
    }
    join_bias(u, n, 2, y, 1);
}

static void conv_transpose(struct pt_units *u, const struct pt_onnx_node *n)
{
    struct pt_axes *x = pt_units_in(u, n, 0), *w = pt_units_in(u, n, 1), *y = pt_units_out(u, n, 0);
    int64_t groups = pt_edit_attr_int(n, "group", 1);
    if (!x || !w || x->shape->rank < 2 || w->shape->rank != x->shape->rank)
        return;
    int64_t ins = pt_axis_size(x, 1), each = pt_axis_size(w, 1);
    pin_others(u, x, 1);
    int *xl = pt_units_join(u, x, 1, w, 0), *wl = pt_units_want(u, w, 1);
    y->labels[1] = groups == 1 ? wl : pt_units_array(u, groups * each);
    if (groups > 1 && !u->failed) {
        bool whole = xl && groups > ins / groups;
        u->modes[u->node] = whole ? MODE_WHOLE_GROUPS : MODE_PLAIN;
        tie_groups(u, xl, ins, groups, whole);
        if (whole)
            pt_units_pin_axis(u, w, 1, "whole groups go, not places in them");
        for (int64_t i = 0; i < groups * each; i++)
            y->labels[1][i] = whole ? xl[i / each * (ins / groups)] : wl ? wl[i % each] : 0;
        y->labels[1] = whole || wl ? y->labels[1] : NULL;
    }
    join_bias(u, n, 2, y, 1);
}

static int fix_groups(struct pt_units *u, int node, int ordinal)
{
    struct pt_onnx_node *n = &u->e->model.graph.nodes[node];
    struct pt_axes *x = pt_units_in(u, n, 0);
    int64_t groups = pt_edit_attr_int(n, "group", 1);
    if (!x || u->modes[ordinal] != MODE_WHOLE_GROUPS)
        return PT_OK;
    return pt_edit_set_int(u->e, n, "group", groups * pt_units_axis_left(u, x, 1) / pt_axis_size(x, 1), u->err);
}

/* Means are over groups: whole ones can go. Scales are one for a group, or (operator set 21) for a channel. */
static void group_norm(struct pt_units *u, const struct pt_onnx_node *n)
{
    struct pt_axes *x = pt_units_in(u, n, 0), *y = pt_units_out(u, n, 0);
    int64_t groups = pt_edit_attr_int(n, "num_groups", 1);
    if (!x || x->shape->rank < 2 || groups < 1)
        return;
    memcpy(y->labels, x->labels, sizeof y->labels);
    tie_groups(u, x->labels[1], pt_axis_size(x, 1), groups, true);
    for (size_t i = 1; i < 3; i++) {
        struct pt_axes *s = pt_units_in(u, n, i);
        const int *sl = s && x->labels[1] ? pt_units_want(u, s, 0) : NULL;
        int64_t each = s ? pt_axis_size(x, 1) / pt_axis_size(s, 0) : 0;
        for (int64_t k = 0; sl && k < pt_axis_size(x, 1); k++)
            pt_units_tie(u, x->labels[1][k], sl[k / each]);
        if (s && x->labels[1] && !sl)
            pt_units_pin_axis(u, x, 1, "the other operand cannot shrink");
    }
}

static int fix_group_norm(struct pt_units *u, int node, int ordinal)
{
    (void)ordinal;
    struct pt_onnx_node *n = &u->e->model.graph.nodes[node];
    struct pt_axes *x = pt_units_in(u, n, 0);
    int64_t left = x ? pt_units_axis_left(u, x, 1) : 0;
    if (!x || left == pt_axis_size(x, 1))
        return PT_OK;
    return pt_edit_set_int(u->e, n, "num_groups", pt_edit_attr_int(n, "num_groups", 1) * left / pt_axis_size(x, 1), u->err);
}

/* y[.., m, n] = sum a[.., m, k] b[.., k, n]; what is in front is broadcast. */
static void product(struct pt_units *u, struct pt_axes *a, int am, int ak, struct pt_axes *b, int bk, int bn, struct pt_axes *y)
{
    int rank = y->shape->rank;
    sum_over(u, a, ak, b, bk);
    if (am >= 0)
        y->labels[bn < 0 ? rank - 1 : rank - 2] = pt_units_want(u, a, am);
    if (bn >= 0)
        y->labels[rank - 1] = pt_units_want(u, b, bn);
    int plain = (am >= 0) + (bn >= 0);
    for (int i = 0; i < rank - plain; i++) {
        int ia = i - (rank - plain) + a->shape->rank - 2, ib = i - (rank - plain) + b->shape->rank - 2;
        bool has_a = ia >= 0 && am >= 0 && pt_axis_size(a, ia) == pt_axis_size(y, i),
             has_b = ib >= 0 && bn >= 0 && pt_axis_size(b, ib) == pt_axis_size(y, i);
        if (has_a && has_b && (a->labels[ia] || b->labels[ib]))
            y->labels[i] = pt_units_join(u, a, ia, b, ib);
        else if (has_a || has_b)
            y->labels[i] = has_a && !has_b ? a->labels[ia] : has_b && !has_a ? b->labels[ib] : NULL;
    }
}

/* Also com.microsoft's, which has matrices transposed. */
static void matmul(struct pt_units *u, const struct pt_onnx_node *n)
{
    struct pt_axes *a = pt_units_in(u, n, 0), *b = pt_units_in(u, n, 1);
    int ta = pt_edit_attr_int(n, "transA", 0) != 0, tb = pt_edit_attr_int(n, "transB", 0) != 0;
    if (!a || !b)
        return;
    int ra = a->shape->rank, rb = b->shape->rank;
    if (pt_edit_attr_int(n, "transBatchA", 0) || pt_edit_attr_int(n, "transBatchB", 0)) {
        pt_units_pin_value(u, a, "batches are transposed");
        pt_units_pin_value(u, b, "batches are transposed");
        return;
    }
    product(u, a, ra > 1 ? ra - 2 + ta : -1, ra > 1 ? ra - 1 - ta : 0, b, rb > 1 ? rb - 2 + tb : 0, rb > 1 ? rb - 1 - tb : -1, pt_units_out(u, n, 0));
}

static void gemm(struct pt_units *u, const struct pt_onnx_node *n)
{
    struct pt_axes *a = pt_units_in(u, n, 0), *b = pt_units_in(u, n, 1), *c = pt_units_in(u, n, 2), *y = pt_units_out(u, n, 0);
    int ta = pt_edit_attr_int(n, "transA", 0) != 0, tb = pt_edit_attr_int(n, "transB", 0) != 0;
    if (!a || !b)
        return;
    product(u, a, ta, 1 - ta, b, tb, 1 - tb, y);
    for (int i = 0; c && i < c->shape->rank; i++) {
        int at = i + 2 - c->shape->rank;
        if (at >= 0 && pt_axis_size(c, i) == pt_axis_size(y, at) && (y->labels[at] || c->labels[i]))
            pt_units_join(u, y, at, c, i);
    }
}

/* --- attention in one node -------------------------------------------------------------------------------------------------- */

static void pin_inputs(struct pt_units *u, const struct pt_onnx_node *n, size_t first, const char *why)
{
    for (size_t i = first; i < n->input_count; i++)
        pt_units_pin_value(u, pt_units_in(u, n, i), why);
}

/* Channels of `heads` heads are units by head: labels[h * each + j] and unit[h]. */
static void tie_heads(struct pt_units *u, const int *labels, int64_t count, int64_t heads, const int *unit)
{
    for (int64_t i = 0; labels && i < count; i++)
        pt_units_tie(u, labels[i], unit[i / (count / heads)]);
}

/* The bias that is added to scores: [.., heads or 1, ..] in axis 1. */
static void tie_score_bias(struct pt_units *u, const struct pt_onnx_node *n, size_t i, int64_t heads, const int *unit)
{
    struct pt_axes *b = pt_units_in(u, n, i);
    if (b && b->shape->rank == 4 && pt_axis_size(b, 1) == heads && heads > 1) {
        int *labels = pt_units_want(u, b, 1);
        pt_units_tie_all(u, labels, unit, labels ? heads : 0);
        if (!labels)
            pt_units_pin(u, unit, heads, "the bias of its scores cannot shrink");
    }
}

static bool is_given(struct pt_units *u, const struct pt_onnx_node *n, size_t input)
{
    return pt_units_in(u, n, input) != NULL;
}

static bool wants(const struct pt_onnx_node *n, size_t output)
{
    return output < n->output_count && n->outputs[output].len > 0;
}

/* com.microsoft Attention: queries, keys and values from one matrix. */
static void attention(struct pt_units *u, const struct pt_onnx_node *n)
{
    struct pt_axes *x = pt_units_in(u, n, 0), *w = pt_units_in(u, n, 1), *y = pt_units_out(u, n, 0);
    const struct pt_onnx_attr *sizes = pt_edit_attr(n, "qkv_hidden_sizes");
    int64_t heads = pt_edit_attr_int(n, "num_heads", 0), width = w && w->shape->rank == 2 ? pt_axis_size(w, 1) : 0;
    for (size_t i = 0; sizes && i < sizes->count; i++)
        heads = sizes->count == 3 && sizes->type == PT_ATTR_INTS && heads > 0 && sizes->ints[i] % heads == 0 ? heads : 0;
    if (!x || heads < 1 || width < 3 * heads || (!sizes && width % (3 * heads)) || is_given(u, n, 4) || wants(n, 1)) {
        pin_inputs(u, n, 0, "attention with a cache is not pruned");
        return;
    }
    pt_units_join(u, x, x->shape->rank - 1, w, 0);
    int *labels = pt_units_want(u, w, 1), *unit = pt_units_fresh(u, heads, labels ? NULL : "the weights cannot shrink");
    if (u->failed)
        return;
    int64_t at = 0, size = 0;
    for (int part = 0; part < 3; part++, at += size) {
        size = sizes && sizes->count == 3 ? sizes->ints[part] : width / 3;
        tie_heads(u, labels ? labels + at : NULL, size, heads, unit);
    }
    y->labels[2] = pt_units_array(u, size);
    for (int64_t i = 0; !u->failed && i < size; i++)
        y->labels[2][i] = unit[i / (size / heads)];
    if (is_given(u, n, 2) && labels)
        pt_units_join(u, w, 1, pt_units_in(u, n, 2), 0);
    tie_score_bias(u, n, 5, heads, unit);
    pt_units_mark_heads(u, unit, heads);
}

/* Queries, keys and values of [batch, length, heads * size] each: operands 0, 1, 2. bias: operand, of all three behind each other; -1: none. */
static void attend(struct pt_units *u, const struct pt_onnx_node *n, int64_t heads, int bias, size_t score_bias)
{
    struct pt_axes *y = pt_units_out(u, n, 0), *b = bias < 0 ? NULL : pt_units_in(u, n, (size_t)bias);
    int64_t at = 0, width = pt_axis_size(y, 2);
    for (size_t i = 0; i < 3; i++)
        if (pt_axis_size(pt_units_in(u, n, i), 2) % heads || width % heads || width < heads) {
            pin_inputs(u, n, 0, "its heads do not divide its width");
            return;
        }
    int *unit = pt_units_fresh(u, heads, NULL), *bl = pt_units_want(u, b, 0);
    for (size_t i = 0; i < 3 && !u->failed; i++) {
        struct pt_axes *x = pt_units_in(u, n, i);
        int64_t size = pt_axis_size(x, 2);
        if (x->labels[2])
            tie_heads(u, x->labels[2], size, heads, unit);
        else
            pt_units_pin(u, unit, heads, "the other operand cannot shrink");
        tie_heads(u, bl ? bl + at : NULL, size, heads, unit);
        at += size;
    }
    y->labels[2] = pt_units_array(u, width);
    for (int64_t i = 0; !u->failed && i < width; i++)
        y->labels[2][i] = unit[i / (width / heads)];
    if (u->failed)
        return;
    tie_score_bias(u, n, score_bias, heads, unit);
    pt_units_mark_heads(u, unit, heads);
}

static bool is_plain(struct pt_units *u, const struct pt_onnx_node *n, size_t first_past, int rank)
{
    bool plain = !is_given(u, n, first_past) && !is_given(u, n, first_past + 1) && !wants(n, 1) && pt_units_out(u, n, 0)->shape->rank == rank;
    for (size_t i = 0; i < 3; i++)
        plain = plain && pt_units_in(u, n, i) && pt_units_in(u, n, i)->shape->rank == rank;
    return plain;
}

/* com.microsoft's */
static void multi_head_attention(struct pt_units *u, const struct pt_onnx_node *n)
{
    int64_t heads = pt_edit_attr_int(n, "num_heads", 0);
    if (heads > 0 && is_plain(u, n, 6, 3))
        attend(u, n, heads, 3, 5);
    else
        pin_inputs(u, n, 0, "attention with a cache, or with packed operands, is not pruned");
}

/* ai.onnx's: heads are an axis, or part of one. */
static void attention_onnx(struct pt_units *u, const struct pt_onnx_node *n)
{
    struct pt_axes *y = pt_units_out(u, n, 0);
    int64_t heads = pt_edit_attr_int(n, "q_num_heads", 0);
    if (heads > 0 && heads == pt_edit_attr_int(n, "kv_num_heads", 0) && is_plain(u, n, 4, 3)) {
        attend(u, n, heads, -1, 3);
    } else if (is_plain(u, n, 4, 4) && pt_axis_size(pt_units_in(u, n, 0), 1) == pt_axis_size(pt_units_in(u, n, 1), 1)) {
        y->labels[1] = pt_units_join(u, pt_units_in(u, n, 0), 1, pt_units_in(u, n, 1), 1);
        pt_units_join(u, pt_units_in(u, n, 0), 1, pt_units_in(u, n, 2), 1);
        if (!y->labels[1])
            return;
        tie_score_bias(u, n, 3, pt_axis_size(y, 1), y->labels[1]);
        pt_units_mark_heads(u, y->labels[1], pt_axis_size(y, 1));
    } else {
        pin_inputs(u, n, 0, "attention with a cache, or with fewer heads for keys, is not pruned");
    }
}

static int fix_heads(struct pt_units *u, int node, int ordinal)
{
    (void)ordinal;
    struct pt_onnx_node *n = &u->e->model.graph.nodes[node];
    struct pt_axes *y = pt_units_out(u, n, 0);
    const struct pt_onnx_attr *sizes = pt_edit_attr(n, "qkv_hidden_sizes");
    if (!y || y->shape->rank != 3 || !y->labels[2])
        return PT_OK;
    int64_t before = pt_axis_size(y, 2), left = pt_units_axis_left(u, y, 2), heads = pt_edit_attr_int(n, "num_heads", 1);
    int64_t shrunk[3] = {0};
    for (size_t i = 0; sizes && i < sizes->count && i < 3; i++)
        shrunk[i] = sizes->ints[i] * left / before;
    int rc = PT_OK;
    if (n->domain.len == 0) {
        heads = pt_edit_attr_int(n, "q_num_heads", 1) * left / before;
        rc = pt_edit_set_int(u->e, n, "q_num_heads", heads, u->err);
        return rc < 0 ? rc : pt_edit_set_int(u->e, n, "kv_num_heads", heads, u->err);
    }
    rc = pt_edit_set_int(u->e, n, "num_heads", heads * left / before, u->err);
    return rc == PT_OK && sizes && sizes->count == 3 ? pt_edit_set_ints(u->e, n, "qkv_hidden_sizes", shrunk, 3, u->err) : rc;
}

const struct pt_unit_rule pt_unit_rules_product[] = {
    {"", "Conv", conv, fix_groups, false},
    {"", "ConvTranspose", conv_transpose, fix_groups, false},
    {"", "GroupNormalization", group_norm, fix_group_norm, false},
    {"", "Gemm", gemm, NULL, false},
    {"", "MatMul", matmul, NULL, false},
    {"com.microsoft", "FusedMatMul", matmul, NULL, false},
    {"com.microsoft", "Attention", attention, fix_heads, false},
    {"", "Attention", attention_onnx, fix_heads, false},
    {"com.microsoft", "MultiHeadAttention", multi_head_attention, fix_heads, false},
    {NULL, NULL, NULL, NULL, false},
};
