/* SPDX-License-Identifier: Apache-2.0
 *
 * stack.c: outputs of loops that are made of slices.
 */
#include "runtime/exec/control.h"

void pt_stack_init(struct pt_stack *s, struct pt_control *c, int output)
{
    bool there = output < c->node->output_count;
    *s = (struct pt_stack){.out = there ? c->out[output] : NULL, .room = there ? c->rooms[output] : NULL};
}

/* Dims of the stack of `length` slices; in front of them the batches, if any. */
static void set_dims(struct pt_stack *s, const struct pt_tensor *slice, int64_t length, int64_t batches)
{
    int n = 0, from = 0;
    s->out->dtype = slice->dtype;
    s->out->rank = slice->rank + 1 + (batches > 0);
    if (batches > 0)
        s->out->dims[n++] = batches;
    for (int i = 0; i <= slice->rank; i++)
        s->out->dims[n++] = i == s->axis ? length : slice->dims[from++];
}

static int check_slice(struct pt_control *c, const struct pt_stack *s, const struct pt_tensor *slice, int64_t length, int64_t batches)
{
    if (pt_is_kind(slice->dtype) || !pt_dtype_size(slice->dtype) || slice->rank + 2 > PT_MAX_RANK)
        return pt_control_fail(c, PT_EUNSUPPORTED, "an output that is stacked is %s in the body", PT_SHAPE(slice));
    if (s->axis > slice->rank)
        return pt_control_fail(c, PT_EINVAL, "axis %d of an output is over the rank of %s", s->axis, PT_SHAPE(slice));
    if (!s->started)
        return PT_OK;
    struct pt_tensor want = {0};
    struct pt_stack now = {.out = &want, .axis = s->axis};
    set_dims(&now, slice, length, batches);
    return want.dtype == s->out->dtype && pt_dims_equal(&want, s->out)
               ? PT_OK
               : pt_control_fail(c, PT_EINVAL, "an output that is stacked is %s, earlier iterations made %s", PT_SHAPE(slice), PT_SHAPE(s->out));
}

static int take_memory(struct pt_control *c, struct pt_stack *s, size_t kept)
{
    if (!pt_tensor_need(s->out->dtype, s->out->rank, s->out->dims, &s->out->size_bytes))
        return pt_control_fail(c, PT_ELIMIT, "an output would be %s: too large", PT_SHAPE(s->out));
    int rc = pt_room_get(c->frame->x, s->room, s->out->size_bytes, kept, c->err);
    s->out->data = s->room->p;
    s->started = true;
    return rc < 0 ? (pt_wrap(c->err, "%s", pt_node_text(c->node).s), rc) : PT_OK;
}

int pt_stack_append(struct pt_control *c, struct pt_stack *s, const struct pt_tensor *slice, int64_t at)
{
    int rc = check_slice(c, s, slice, at, 0);
    size_t kept = (size_t)at * slice->size_bytes;
    if (rc < 0)
        return rc;
    set_dims(s, slice, at + 1, 0);
    if ((rc = take_memory(c, s, kept)) < 0)
        return rc;
    if (slice->size_bytes)
        memcpy((char *)s->out->data + kept, slice->data, slice->size_bytes);
    return PT_OK;
}

int pt_stack_place(struct pt_control *c, struct pt_stack *s, const struct pt_tensor *slice, int64_t at, int64_t length, int64_t batch,
                   int64_t batches)
{
    int rc = check_slice(c, s, slice, length, batches);
    if (rc == PT_OK && !s->started) {
        set_dims(s, slice, length, batches);
        rc = take_memory(c, s, 0);
        if (rc == PT_OK)
            memset(s->out->data, 0, s->out->size_bytes);
    }
    if (rc < 0)
        return rc;
    size_t outer = (size_t)pt_dims_product(slice->dims, s->axis), inner = outer ? slice->size_bytes / outer : 0;
    char *to = (char *)s->out->data + (size_t)batch * (size_t)length * slice->size_bytes;
    for (size_t o = 0; inner && o < outer; o++)
        memcpy(to + (o * (size_t)length + (size_t)at) * inner, (const char *)slice->data + o * inner, inner);
    return PT_OK;
}

int pt_stack_finish(struct pt_control *c, struct pt_stack *s, const struct pt_value_info *info, int64_t length, int64_t batches)
{
    struct pt_tensor slice = {.dtype = info->dtype, .rank = info->rank < 0 ? 0 : info->rank};
    if (!s->out || s->started)
        return PT_OK;
    if (pt_is_kind(info->dtype) || info->dtype == PT_UNDEFINED || slice.rank + 2 > PT_MAX_RANK)
        return pt_control_fail(c, PT_EUNSUPPORTED, "no iteration makes output '%s', and what the body says of it is no tensor that can be stacked",
                               info->name);
    for (int i = 0; i < slice.rank; i++)
        slice.dims[i] = info->dims[i] < 0 ? 0 : info->dims[i];
    s->axis = s->axis > slice.rank ? 0 : s->axis;
    set_dims(s, &slice, length, batches);
    int rc = take_memory(c, s, 0);
    if (rc == PT_OK)
        memset(s->out->data, 0, s->out->size_bytes);
    return rc;
}
