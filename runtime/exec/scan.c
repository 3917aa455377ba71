/* SPDX-License-Identifier: Apache-2.0
 *
 * scan.c: Scan and SequenceMap: a body over slices of tensors, or over items of sequences.
 *
 * Scan has states that go from iteration to iteration and inputs of which each iteration sees a slice. Version 8 does this for each entry of a batch,
 * along the axis behind it, and may stop each at a length of its own; what is not reached of its outputs is 0.
 */
#include "runtime/exec/control.h"

/* An input that is cut into slices. */
struct cut {
    const struct pt_tensor *from;
    struct pt_tensor slice;
    int axis;
    bool reverse;
};

struct scan {
    const struct pt_graph *body;
    int states, cuts, stacks_count;
    int64_t length, batches; /* batches 0: there is no batch */
    const struct pt_tensor **state, *lengths;
    struct pt_tensor *state_slices; /* of one batch entry */
    struct cut *cut;
    struct pt_stack *stacks, *finals; /* finals: states of a batch */
    bool *reverse;                    /* of the stacks */
};

static int64_t list_entry(const struct pt_node *n, const char *name, int i)
{
    const struct pt_onnx_attr *a = pt_node_attr(n, name);
    return a && a->type == PT_ATTR_INTS && (size_t)i < a->count ? a->ints[i] : 0;
}

static int check_axis(struct pt_control *c, int64_t axis, int rank, int *out)
{
    if (axis < -rank || axis >= rank)
        return pt_control_fail(c, PT_EINVAL, "axis %lld is outside %d to %d", (long long)axis, -rank, rank - 1);
    *out = (int)(axis < 0 ? axis + rank : axis);
    return PT_OK;
}

static int start_cut(struct pt_control *c, struct scan *s, int i)
{
    struct cut *k = &s->cut[i];
    bool old = c->node->version < 9;
    k->from = pt_control_in(c, s->states + i + (old ? 1 : 0));
    if (!k->from || pt_is_kind(k->from->dtype) || !pt_dtype_size(k->from->dtype) || k->from->rank < (old ? 2 : 1))
        return pt_control_fail(c, PT_EINVAL, "scan input %d is %s, which has no axis to scan", i, k->from ? PT_SHAPE(k->from) : "missing");
    k->reverse = list_entry(c->node, old ? "directions" : "scan_input_directions", i) != 0;
    int rc = old ? (k->axis = 1, PT_OK) : check_axis(c, list_entry(c->node, "scan_input_axes", i), k->from->rank, &k->axis);
    if (rc < 0)
        return rc;
    int64_t length = k->from->dims[k->axis];
    if (i > 0 && length != s->length)
        return pt_control_fail(c, PT_EINVAL, "scan input %d is %s: %lld slices, an earlier one has %lld", i, PT_SHAPE(k->from), (long long)length,
                               (long long)s->length);
    if (old && i > 0 && k->from->dims[0] != s->batches)
        return pt_control_fail(c, PT_EINVAL, "scan input %d is %s, the batch of an earlier one is %lld", i, PT_SHAPE(k->from), (long long)s->batches);
    s->length = length;
    s->batches = old ? k->from->dims[0] : 0;
    k->slice = *k->from;
    k->slice.rank = 0;
    for (int d = old ? 1 : 0; d < k->from->rank; d++)
        if (d != k->axis)
            k->slice.dims[k->slice.rank++] = k->from->dims[d];
    if (!pt_tensor_need(k->slice.dtype, k->slice.rank, k->slice.dims, &k->slice.size_bytes))
        return pt_control_fail(c, PT_ELIMIT, "slices of scan input %d are too large", i);
    return PT_OK;
}

/* Slice `at`, which counts from the end of `length` when the input goes backwards. */
static int next_slice(struct pt_control *c, const struct scan *s, struct cut *k, struct pt_room *room, int64_t at, int64_t length, int64_t batch)
{
    size_t axis_dim = (size_t)s->length, index = (size_t)(k->reverse ? length - 1 - at : at);
    int first = s->batches ? 1 : 0;
    size_t outer = (size_t)pt_dims_product(k->from->dims + first, k->axis - first), inner = outer ? k->slice.size_bytes / outer : 0;
    char *from = (char *)k->from->data + (size_t)batch * axis_dim * k->slice.size_bytes;
    if (outer <= 1) {
        k->slice.data = from + index * inner;
        return PT_OK;
    }
    int rc = pt_room_get(c->frame->x, room, k->slice.size_bytes, 0, c->err);
    if (rc < 0)
        return rc;
    k->slice.data = room->p;
    for (size_t o = 0; o < outer; o++)
        memcpy((char *)room->p + o * inner, from + (o * axis_dim + index) * inner, inner);
    return PT_OK;
}

static int iterate(struct pt_control *c, struct scan *s, int64_t at, int64_t length, int64_t batch)
{
    struct pt_frame *kid;
    int rc = pt_control_kid(c, s->body, at & 1, &kid);
    for (int i = 0; rc == PT_OK && i < s->cuts; i++) {
        rc = next_slice(c, s, &s->cut[i], &kid->arg_rooms[s->states + i], at, length, batch);
        kid->args[s->states + i] = &s->cut[i].slice;
    }
    for (int i = 0; rc == PT_OK && i < s->states; i++)
        kid->args[i] = s->state[i];
    if (rc == PT_OK)
        rc = pt_control_execute(c, kid);
    for (int i = 0; rc == PT_OK && i < s->states; i++)
        s->state[i] = pt_frame_output(kid, i);
    for (int i = 0; rc == PT_OK && i < s->stacks_count; i++)
        if (s->stacks[i].out)
            rc = pt_stack_place(c, &s->stacks[i], pt_frame_output(kid, s->states + i), s->reverse[i] ? s->length - 1 - at : at, s->length, batch,
                                s->batches);
    return rc;
}

/* The states that one entry of the batch starts with. */
static int batch_states(struct pt_control *c, struct scan *s, int64_t batch)
{
    for (int i = 0; i < s->states; i++) {
        const struct pt_tensor *t = pt_control_in(c, 1 + i);
        struct pt_tensor *slice = &s->state_slices[i];
        if (!t || t->rank < 1 || t->dims[0] != s->batches || !pt_dtype_size(t->dtype))
            return pt_control_fail(c, PT_EINVAL, "state %d is %s, needs a batch of %lld", i, t ? PT_SHAPE(t) : "missing", (long long)s->batches);
        *slice = *t;
        slice->rank--;
        memmove(slice->dims, t->dims + 1, (size_t)slice->rank * sizeof *slice->dims);
        slice->size_bytes = t->size_bytes / (size_t)s->batches;
        slice->data = (char *)t->data + (size_t)batch * slice->size_bytes;
        s->state[i] = slice;
    }
    return PT_OK;
}

static int batch_length(struct pt_control *c, const struct scan *s, int64_t batch, int64_t *length)
{
    *length = s->length;
    if (!s->lengths)
        return PT_OK;
    if (pt_tensor_count(s->lengths) != s->batches)
        return pt_control_fail(c, PT_EINVAL, "sequence_lens is %s, the batch is %lld", PT_SHAPE(s->lengths), (long long)s->batches);
    *length = pt_elem_i64(s->lengths, batch);
    if (*length < 0 || *length > s->length)
        return pt_control_fail(c, PT_EINVAL, "sequence_lens[%lld] = %lld is outside 0 to %lld", (long long)batch, (long long)*length,
                               (long long)s->length);
    return PT_OK;
}

static int scan_batches(struct pt_control *c, struct scan *s)
{
    s->lengths = pt_control_in(c, 0);
    for (int64_t b = 0; b < s->batches; b++) {
        int64_t length = 0;
        int rc = batch_length(c, s, b, &length);
        if (rc == PT_OK)
            rc = batch_states(c, s, b);
        for (int64_t at = 0; rc == PT_OK && at < length; at++)
            rc = iterate(c, s, at, length, b);
        for (int i = 0; rc == PT_OK && i < s->states; i++)
            if (s->finals[i].out)
                rc = pt_stack_place(c, &s->finals[i], s->state[i], b, s->batches, 0, 0);
        if (rc < 0)
            return rc;
    }
    for (int i = 0; i < s->states; i++) {
        int rc = pt_stack_finish(c, &s->finals[i], &s->body->output_info[i], 0, 0);
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

static int scan_once(struct pt_control *c, struct scan *s)
{
    int rc = PT_OK;
    for (int i = 0; i < s->states; i++)
        if (!(s->state[i] = pt_control_in(c, i)))
            return pt_control_fail(c, PT_EINVAL, "input %d is missing", i);
    for (int64_t at = 0; rc == PT_OK && at < s->length; at++)
        rc = iterate(c, s, at, s->length, 0);
    for (int i = 0; rc == PT_OK && i < s->states && i < c->node->output_count; i++)
        if (c->out[i])
            *c->out[i] = *s->state[i];
    return rc;
}

static int start_stacks(struct pt_control *c, struct scan *s)
{
    for (int i = 0; i < s->states; i++)
        pt_stack_init(&s->finals[i], c, i);
    for (int i = 0; i < s->stacks_count; i++) {
        const struct pt_value_info *info = &s->body->output_info[s->states + i];
        int64_t axis = c->node->version < 9 ? 0 : list_entry(c->node, "scan_output_axes", i);
        pt_stack_init(&s->stacks[i], c, s->states + i);
        s->reverse[i] = c->node->version >= 9 && list_entry(c->node, "scan_output_directions", i) != 0;
        if (axis < 0 && info->rank < 0)
            return pt_control_fail(c, PT_EINVAL, "axis %lld counts from the end of output '%s', whose rank the body does not say", (long long)axis,
                                   info->name);
        int rc = axis < 0 ? check_axis(c, axis, info->rank + 1, &s->stacks[i].axis) : PT_OK;
        if (rc < 0)
            return rc;
        if (axis >= 0)
            s->stacks[i].axis = axis > PT_MAX_RANK ? PT_MAX_RANK : (int)axis;
    }
    return PT_OK;
}

static int lend_lists(struct pt_control *c, struct scan *s)
{
    size_t states = (size_t)s->states, cuts = (size_t)s->cuts, stacks = (size_t)s->stacks_count;
    struct pt_frame *kid;
    int rc = pt_control_kid(c, s->body, 0, &kid);
    if (rc < 0)
        return rc;
    char *p = pt_control_lists(c, kid,
                               states * (sizeof *s->state + sizeof *s->state_slices + sizeof *s->finals) + cuts * sizeof *s->cut +
                                   stacks * (sizeof *s->stacks + sizeof *s->reverse));
    if (!p)
        return c->err->code;
    s->state_slices = (void *)p;
    s->finals = (void *)(s->state_slices + states);
    s->cut = (void *)(s->finals + states);
    s->stacks = (void *)(s->cut + cuts);
    s->state = (void *)(s->stacks + stacks);
    s->reverse = (void *)(s->state + states);
    return PT_OK;
}

int pt_control_scan(struct pt_control *c)
{
    const struct pt_onnx_attr *count = pt_node_attr(c->node, "num_scan_inputs");
    struct scan s = {.body = pt_node_body(c->node, "body"), .cuts = (int)count->i};
    s.states = s.body->own_input_count - s.cuts;
    s.stacks_count = s.body->output_count - s.states;
    int rc = lend_lists(c, &s);
    for (int i = 0; rc == PT_OK && i < s.cuts; i++)
        rc = start_cut(c, &s, i);
    if (rc == PT_OK)
        rc = start_stacks(c, &s);
    if (rc == PT_OK)
        rc = c->node->version < 9 ? scan_batches(c, &s) : scan_once(c, &s);
    for (int i = 0; rc == PT_OK && i < s.stacks_count; i++)
        rc = pt_stack_finish(c, &s.stacks[i], &s.body->output_info[s.states + i], s.length, s.batches);
    return rc;
}

/* --- SequenceMap -------------------------------------------------------------------------------------------------------------------------- */

static int map_item(struct pt_control *c, const struct pt_graph *body, struct pt_frame *kid, size_t at, struct pt_tensor *const *items)
{
    for (int i = 0; i < body->own_input_count; i++) {
        const struct pt_tensor *t = pt_control_in(c, i);
        const struct pt_sequence *s = t && t->dtype == PT_SEQUENCE ? t->data : NULL;
        if (!t || (s && at >= s->count))
            return pt_control_fail(c, PT_EINVAL, "input %d %s", i, t ? "has fewer items than input 0" : "is missing");
        kid->args[i] = s ? &s->items[at] : t;
    }
    int rc = pt_control_execute(c, kid);
    struct pt_op_ctx ctx = {.node = c->node, .heap = &c->frame->x->heap, .err = c->err};
    for (int i = 0; rc == PT_OK && i < c->node->output_count; i++)
        if (c->out[i] && pt_is_kind(pt_frame_output(kid, i)->dtype))
            rc = pt_control_fail(c, PT_EUNSUPPORTED, "output %d of the body is a %s, must be a tensor", i,
                                 pt_dtype_name(pt_frame_output(kid, i)->dtype));
        else if (c->out[i])
            rc = pt_op_keep(&ctx, pt_frame_output(kid, i), &items[i][at]);
    return rc;
}

int pt_control_sequence_map(struct pt_control *c)
{
    const struct pt_graph *body = pt_node_body(c->node, "body");
    const struct pt_tensor *first = pt_control_in(c, 0);
    struct pt_frame *kid;
    int rc = pt_control_kid(c, body, 0, &kid);
    if (rc < 0)
        return rc;
    if (first->dtype != PT_SEQUENCE)
        return pt_control_fail(c, PT_EINVAL, "input 0 is %s, must be a sequence", PT_SHAPE(first));
    const struct pt_sequence *s = first->data;
    struct pt_tensor **items = pt_control_lists(c, kid, (size_t)c->node->output_count * sizeof *items);
    if (!items)
        return c->err->code;
    for (int i = 0; rc == PT_OK && i < c->node->output_count; i++) {
        if (!c->out[i])
            continue;
        *c->out[i] = (struct pt_tensor){.dtype = PT_SEQUENCE, .size_bytes = sizeof(struct pt_sequence)};
        if ((rc = pt_room_get(c->frame->x, c->rooms[i], sizeof(struct pt_sequence), 0, c->err)) == PT_OK &&
            !(items[i] = pt_heap_alloc(&c->frame->x->heap, s->count * sizeof **items, c->err)))
            rc = c->err->code;
        c->out[i]->data = c->rooms[i]->p;
    }
    for (size_t at = 0; rc == PT_OK && at < s->count; at++)
        rc = map_item(c, body, kid, at, items);
    for (int i = 0; rc == PT_OK && i < c->node->output_count; i++)
        if (c->out[i])
            *(struct pt_sequence *)c->out[i]->data =
                (struct pt_sequence){.count = s->count, .items = items[i], .elem = s->count ? items[i][0].dtype : body->output_info[i].dtype};
    return rc;
}
