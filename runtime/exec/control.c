/* SPDX-License-Identifier: Apache-2.0
 *
 * control.c: what nodes that execute graphs share, If and Loop.
 */
#include "runtime/exec/control.h"
#include "runtime/exec/value.h"

#include "runtime/ops/table.h"

int pt_control_fail(const struct pt_control *c, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    pt_vfail(c->err, code, fmt, ap);
    va_end(ap);
    pt_wrap(c->err, "%s", pt_node_text(c->node).s);
    return code;
}

const struct pt_tensor *pt_control_in(const struct pt_control *c, int i)
{
    return i < c->node->input_count - c->node->capture_count ? c->in[i] : NULL;
}

int pt_control_kid(struct pt_control *c, const struct pt_graph *body, int which, struct pt_frame **kid)
{
    int rc = pt_frame_kid(c->frame, c->node, body, which, kid, c->err);
    for (int i = body->own_input_count; rc == PT_OK && i < body->input_count; i++)
        (*kid)->args[i] = c->in[body->captures[i - body->own_input_count]];
    return rc;
}

int pt_control_execute(struct pt_control *c, struct pt_frame *kid)
{
    int rc = pt_exec_check(kid->x, c->err);
    if (rc == PT_OK && (rc = pt_frame_execute(kid, kid->args, c->err)) < 0 && rc != PT_ECANCELED)
        pt_wrap(c->err, "%s", pt_node_text(c->node).s);
    return rc;
}

void *pt_control_lists(struct pt_control *c, struct pt_frame *kid, size_t bytes)
{
    int rc = pt_room_get(c->frame->x, &kid->lists, bytes, 0, c->err);
    return rc < 0 ? NULL : memset(kid->lists.p, 0, bytes);
}

static int read_bool(struct pt_control *c, const struct pt_tensor *t, const char *what, bool *out)
{
    if (t->dtype != PT_BOOL || pt_tensor_count(t) != 1)
        return pt_control_fail(c, PT_EINVAL, "%s is %s, must be one bool", what, PT_SHAPE(t));
    *out = *(const uint8_t *)t->data != 0;
    return PT_OK;
}

/* --- If ------------------------------------------------------------------------------------------------------------------------------- */

int pt_control_if(struct pt_control *c)
{
    bool cond = false;
    struct pt_frame *kid = NULL;
    int rc = read_bool(c, c->in[0], "the condition", &cond);
    if (rc == PT_OK)
        rc = pt_control_kid(c, pt_node_body(c->node, cond ? "then_branch" : "else_branch"), 0, &kid);
    if (rc == PT_OK)
        rc = pt_control_execute(c, kid);
    for (int i = 0; rc == PT_OK && i < c->node->output_count; i++)
        if (c->out[i])
            *c->out[i] = *pt_frame_output(kid, i);
    return rc;
}

/* --- Loop ------------------------------------------------------------------------------------------------------------------------------ */

/* Strings and sequences that iterations leave behind are swept when there are so many bytes more of them than what is still read. */
#define SWEEP_BYTES (16u << 20)

struct loop {
    const struct pt_graph *body;
    int states, scans;
    int64_t trips;
    bool go_on;
    const struct pt_tensor **state; /* current values */
    struct pt_tensor *swept;        /* what states have become when the heap was swept */
    struct pt_stack *stacks;
    struct pt_heap_mark start; /* of the heap, before the first iteration */
    uint64_t sweep_at;
};

static int loop_start(struct pt_control *c, struct loop *l)
{
    const struct pt_tensor *trips = pt_control_in(c, 0), *cond = pt_control_in(c, 1);
    if (trips && ((trips->dtype != PT_INT64 && trips->dtype != PT_INT32) || pt_tensor_count(trips) != 1))
        return pt_control_fail(c, PT_EINVAL, "the trip count is %s, must be one int64", PT_SHAPE(trips));
    l->trips = trips ? pt_elem_i64(trips, 0) : INT64_MAX;
    l->go_on = true;
    for (int i = 0; i < l->states; i++)
        if (!(l->state[i] = pt_control_in(c, 2 + i)))
            return pt_control_fail(c, PT_EINVAL, "input %d is missing", 2 + i);
    for (int i = 0; i < l->scans; i++)
        pt_stack_init(&l->stacks[i], c, l->states + i);
    return cond ? read_bool(c, cond, "the condition", &l->go_on) : PT_OK;
}

static int loop_iterate(struct pt_control *c, struct loop *l, int64_t at)
{
    uint8_t go_on = 1;
    struct pt_tensor number = {.dtype = PT_INT64, .data = &at, .size_bytes = sizeof at}, cond = {.dtype = PT_BOOL, .data = &go_on, .size_bytes = 1};
    struct pt_frame *kid;
    int rc = pt_control_kid(c, l->body, at & 1, &kid);
    if (rc < 0)
        return rc;
    kid->args[0] = &number;
    kid->args[1] = &cond;
    for (int i = 0; i < l->states; i++)
        kid->args[2 + i] = l->state[i];
    if ((rc = pt_control_execute(c, kid)) < 0)
        return rc;
    for (int i = 0; i < l->states; i++)
        l->state[i] = pt_frame_output(kid, 1 + i);
    for (int i = 0; rc == PT_OK && i < l->scans; i++)
        if (l->stacks[i].out)
            rc = pt_stack_append(c, &l->stacks[i], pt_frame_output(kid, 1 + l->states + i), at);
    return rc < 0 ? rc : read_bool(c, pt_frame_output(kid, 0), "the body's condition", &l->go_on);
}

/* States and stacked strings, copied to another heap or back. */
static int move_live(struct pt_control *c, struct loop *l, struct pt_heap *to)
{
    for (int i = 0; i < l->states; i++) {
        if (!pt_value_points(l->state[i]->dtype))
            continue;
        struct pt_tensor from = *l->state[i];
        int rc = pt_value_copy(to, &from, &l->swept[i], c->err);
        if (rc < 0)
            return rc;
        l->state[i] = &l->swept[i];
    }
    for (int i = 0; i < l->scans; i++) {
        struct pt_tensor *t = l->stacks[i].out, copy;
        if (!t || !l->stacks[i].started || t->dtype != PT_STRING)
            continue;
        int rc = pt_value_copy(to, t, &copy, c->err);
        if (rc < 0)
            return rc;
        if (t->size_bytes)
            memcpy(t->data, copy.data, t->size_bytes);
    }
    return PT_OK;
}

/* Between two iterations nothing that the heap got in this loop is read any more, except the states and what is stacked. */
static int sweep(struct pt_control *c, struct loop *l)
{
    struct pt_heap *heap = &c->frame->x->heap, aside;
    pt_heap_init(&aside, heap->cap_bytes);
    int rc = move_live(c, l, &aside);
    if (rc == PT_OK) {
        pt_heap_release(heap, l->start);
        rc = move_live(c, l, heap);
    }
    pt_heap_finish(&aside);
    l->sweep_at = 2 * heap->used_bytes + SWEEP_BYTES;
    return rc;
}

int pt_control_loop(struct pt_control *c)
{
    struct loop l = {.body = pt_node_body(c->node, "body")};
    struct pt_frame *kid;
    l.states = l.body->own_input_count - 2;
    l.scans = l.body->output_count - 1 - l.states;
    int rc = pt_control_kid(c, l.body, 0, &kid);
    if (rc < 0)
        return rc;
    if (!(l.stacks = pt_control_lists(c, kid, (size_t)l.scans * sizeof *l.stacks + (size_t)l.states * (sizeof *l.state + sizeof *l.swept))))
        return c->err->code;
    l.swept = (struct pt_tensor *)(l.stacks + l.scans);
    l.state = (const struct pt_tensor **)(l.swept + l.states);
    l.start = pt_heap_mark(&c->frame->x->heap);
    l.sweep_at = c->frame->x->heap.used_bytes + SWEEP_BYTES;
    rc = loop_start(c, &l);
    for (int64_t at = 0; rc == PT_OK && at < l.trips && l.go_on; at++) {
        rc = loop_iterate(c, &l, at);
        if (rc == PT_OK && c->frame->x->heap.used_bytes > l.sweep_at)
            rc = sweep(c, &l);
    }
    for (int i = 0; rc == PT_OK && i < l.states && i < c->node->output_count; i++)
        if (c->out[i])
            *c->out[i] = *l.state[i];
    for (int i = 0; rc == PT_OK && i < l.scans; i++)
        rc = pt_stack_finish(c, &l.stacks[i], &l.body->output_info[1 + l.states + i], 0, 0);
    return rc;
}

/* ----------------------------------------------------------------------------------------------------------------------------------------- */

static const struct {
    const struct pt_op *op;
    int (*run)(struct pt_control *c);
} rows[] = {
    {&pt_op_if, pt_control_if},
    {&pt_op_loop, pt_control_loop},
    {&pt_op_scan, pt_control_scan},
    {&pt_op_sequence_map, pt_control_sequence_map},
    {&pt_op_flex_attention, pt_control_flex_attention},
};

int pt_control_run(struct pt_control *c)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].op == c->node->op)
            return rows[i].run(c);
    return pt_control_fail(c, PT_EINTERNAL, "nothing executes this operator");
}
