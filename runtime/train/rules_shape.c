/* SPDX-License-Identifier: Apache-2.0
 *
 * rules_shape.c: derivatives of operators that only move elements. Most share one rule: the operator itself, applied to the places 0, 1, 2, ... of
 * its input instead of the elements, says where each output element came from, and dy is added there. Places depend on shapes alone, so that the
 * compiler folds them; where they would be many (a table of embeddings) or a cheaper way is at hand, the operator has a rule of its own.
 */
#include "runtime/train/rules.h"

#include "runtime/ops/table.h"

static int d_shape(struct pt_grad *d, struct pt_grad_site *s)
{
    return s->k == 0 ? pt_grad_emit(d, &pt_grad_shape_like, s->dy, s->n.inputs[0]) : PT_GRAD_NONE;
}

static int d_transpose(struct pt_grad *d, struct pt_grad_site *s)
{
    const struct pt_onnx_attr *perm = pt_node_attr(&s->n, "perm");
    int64_t back[PT_MAX_RANK];
    if (!perm) /* reverses the axes: is its own inverse */
        return pt_grad_emit_like(d, &pt_op_transpose, s, s->dy);
    if (perm->type != PT_ATTR_INTS || perm->count > PT_MAX_RANK)
        return pt_fail(d->err, PT_EINVAL, "%s: attribute 'perm' is no list of axes", pt_node_text(&s->n).s);
    for (size_t i = 0; i < perm->count; i++)
        if (perm->ints[i] < 0 || perm->ints[i] >= (int64_t)perm->count)
            return pt_fail(d->err, PT_EINVAL, "%s: axis %lld of 'perm' is out of range", pt_node_text(&s->n).s, (long long)perm->ints[i]);
        else
            back[perm->ints[i]] = (int64_t)i;
    return pt_grad_set_ints(d, pt_grad_emit_like(d, &pt_op_transpose, s, s->dy), "perm", back, perm->count);
}

/* The node again, with `places` instead of input k; its first output. */
static int again(struct pt_grad *d, const struct pt_grad_site *s, int k, int places)
{
    int in[16];
    if (s->n.input_count > 16)
        return pt_fail(d->err, PT_EUNSUPPORTED, "%s: its derivative is known up to 16 operands", pt_node_text(&s->n).s);
    for (int i = 0; i < s->n.input_count; i++)
        in[i] = i == k ? places : pt_grad_in(s, i);
    return pt_grad_node(d, s->n.op, &s->n, in, s->n.input_count, s->n.output_count);
}

static int scatter(struct pt_grad *d, int dy, int places, int like)
{
    return pt_grad_emit(d, &pt_grad_scatter_sum, dy, places, like);
}

static int d_move(struct pt_grad *d, struct pt_grad_site *s)
{
    if (s->k != 0)
        return PT_GRAD_NONE;
    int x = s->n.inputs[0];
    return scatter(d, s->dy, again(d, s, 0, pt_grad_emit(d, &pt_grad_places_like, x)), x);
}

/* As above; what was padded with a constant comes from nowhere, place -1. */
static int d_pad(struct pt_grad *d, struct pt_grad_site *s)
{
    if (s->k != 0)
        return PT_GRAD_NONE;
    int x = s->n.inputs[0], in[4] = {pt_grad_emit(d, &pt_grad_places_like, x), pt_grad_in(s, 1), pt_grad_int64(d, -1), pt_grad_in(s, 3)};
    if (s->n.version < 11)
        return pt_fail(d->err, PT_EUNSUPPORTED, "%s: its derivative is known from opset 11 on", pt_node_text(&s->n).s);
    return scatter(d, s->dy, pt_grad_node(d, s->n.op, &s->n, in, s->n.input_count < 4 ? 3 : 4, 1), x);
}

/* The mode that only repeats or leaves out elements moves them. With a crop the operator would put in numbers of its own, which are no places. */
static int d_resize(struct pt_grad *d, struct pt_grad_site *s)
{
    const struct pt_onnx_attr *mode = pt_node_attr(&s->n, "mode"), *at = pt_node_attr(&s->n, "coordinate_transformation_mode");
    if (s->k != 0)
        return PT_GRAD_NONE;
    if (mode && !pt_str_eq(mode->s, PT_STR("nearest"))) {
        int in[5] = {s->dy};
        for (int i = 0; i < s->n.input_count; i++)
            in[1 + i] = pt_grad_in(s, i);
        return pt_grad_node(d, &pt_grad_resize, &s->n, in, 1 + s->n.input_count, 1);
    }
    if (at && pt_str_eq(at->s, PT_STR("tf_crop_and_resize")))
        return pt_fail(d->err, PT_EUNSUPPORTED, "%s: its derivative in mode nearest is known without crops", pt_node_text(&s->n).s);
    return d_move(d, s);
}

/* The triangle that stays is where dy counts. */
static int d_trilu(struct pt_grad *d, struct pt_grad_site *s)
{
    return s->k == 0 ? pt_grad_emit_like(d, &pt_op_trilu, s, s->dy, pt_grad_in(s, 1)) : PT_GRAD_NONE;
}

/* x is in the sums behind it, so its derivative is the sum over them: from the other end. */
static int d_cumsum(struct pt_grad *d, struct pt_grad_site *s)
{
    if (s->k != 0)
        return PT_GRAD_NONE;
    return pt_grad_set_int(d, pt_grad_emit_like(d, &pt_op_cumsum, s, s->dy, s->n.inputs[1]), "reverse", !pt_grad_attr_int(s, "reverse", 0));
}

static int axis_of(const struct pt_grad_site *s, int def)
{
    const struct pt_onnx_attr *axis = pt_node_attr(&s->n, "axis");
    return axis ? (int)axis->i : def;
}

/* The parts' adjoints joined again; one that nobody read is zero. */
static int d_split(struct pt_grad *d, struct pt_grad_site *s)
{
    int in[64], zero;
    if (s->k != 0)
        return PT_GRAD_NONE;
    if (s->n.output_count > 64)
        return pt_fail(d->err, PT_EUNSUPPORTED, "%s: its derivative is known up to 64 parts", pt_node_text(&s->n).s);
    for (int i = 0; i < s->n.output_count; i++) {
        in[i] = pt_grad_dy(d, s, i);
        if (in[i] != PT_GRAD_NONE)
            continue;
        if (s->n.outputs[i] < 0) /* not even named: its dims are not known, nor how many elements it takes */
            return pt_fail(d->err, PT_EUNSUPPORTED, "%s: its derivative needs names for all of its outputs", pt_node_text(&s->n).s);
        zero = pt_grad_emit(d, &pt_grad_ones_like, s->n.outputs[i]);
        in[i] = pt_grad_emit(d, &pt_op_sub, zero, zero);
    }
    return pt_grad_set_int(d, pt_grad_node(d, &pt_op_concat, NULL, in, s->n.output_count, 1), "axis", axis_of(s, 0));
}

/* The part of dy that is input k's. */
static int d_concat(struct pt_grad *d, struct pt_grad_site *s)
{
    int in[64];
    if (s->n.input_count > 63)
        return pt_fail(d->err, PT_EUNSUPPORTED, "%s: its derivative is known up to 63 operands", pt_node_text(&s->n).s);
    in[0] = s->dy;
    for (int i = 0; i < s->n.input_count; i++)
        in[1 + i] = s->n.inputs[i];
    int part = pt_grad_node(d, &pt_grad_part, NULL, in, s->n.input_count + 1, 1);
    return pt_grad_set_int(d, pt_grad_set_int(d, part, "axis", axis_of(s, 1)), "part", s->k);
}

static int d_gather(struct pt_grad *d, struct pt_grad_site *s)
{
    const struct pt_onnx_attr *axis = pt_node_attr(&s->n, "axis");
    if (s->k != 0)
        return PT_GRAD_NONE;
    if (!axis || axis->i == 0)
        return pt_grad_emit(d, &pt_grad_rows, s->dy, s->n.inputs[1], s->n.inputs[0]);
    return d_move(d, s);
}

/* Broadcasting: the sum to the input's shape, which the walk adds anyway. */
static int d_expand(struct pt_grad *d, struct pt_grad_site *s)
{
    (void)d;
    return s->k == 0 ? s->dy : PT_GRAD_NONE;
}

const struct pt_grad_rule pt_grad_rules_shape[] = {
    {&pt_op_reshape, d_shape, PT_GRAD_SHAPED},
    {&pt_op_flatten, d_shape, PT_GRAD_SHAPED},
    {&pt_op_squeeze, d_shape, PT_GRAD_SHAPED},
    {&pt_op_unsqueeze, d_shape, PT_GRAD_SHAPED},
    {&pt_grad_shape_like, d_shape, PT_GRAD_SHAPED},
    {&pt_op_transpose, d_transpose, PT_GRAD_SHAPED},
    {&pt_op_slice, d_move, PT_GRAD_SHAPED},
    {&pt_op_gather, d_gather, PT_GRAD_SHAPED},
    {&pt_op_gather_elements, d_move, PT_GRAD_SHAPED},
    {&pt_op_gather_nd, d_move, PT_GRAD_SHAPED},
    {&pt_op_tile, d_move, PT_GRAD_SHAPED},
    {&pt_op_depth_to_space, d_move, PT_GRAD_SHAPED},
    {&pt_op_space_to_depth, d_move, PT_GRAD_SHAPED},
    {&pt_op_resize, d_resize, PT_GRAD_SHAPED},
    {&pt_op_trilu, d_trilu, PT_GRAD_SHAPED},
    {&pt_op_cumsum, d_cumsum, PT_GRAD_SHAPED},
    {&pt_op_pad, d_pad, PT_GRAD_SHAPED},
    {&pt_op_split, d_split, PT_GRAD_SHAPED | PT_GRAD_ALL},
    {&pt_op_concat, d_concat, PT_GRAD_SHAPED},
    {&pt_op_expand, d_expand, 0},
    {NULL, NULL, 0},
};
