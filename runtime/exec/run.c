/* SPDX-License-Identifier: Apache-2.0
 *
 * run.c: the public face of an execution: inputs checked, the model's graph executed as a frame (frame.h), outputs given out.
 */
#include "runtime/exec/profile.h"
#include "runtime/exec/value.h"

#include <string.h>

struct pt_run {
    struct pt_exec x;
    struct pt_tensor *inputs; /* as set; data NULL: not set */
    const struct pt_tensor **input_list;
    struct pt_frame *frame;
    struct pt_tensor *bound; /* by output: the caller's memory, or data NULL */
    struct pt_tensor *owned; /* outputs whose strings or items may be the caller's, copied */
    bool done;               /* outputs are valid */
};

int pt_run_create(struct pt_session *s, struct pt_run **out, struct pt_err *err)
{
    struct pt_run *r = pt_calloc(1, sizeof *r);
    struct pt_err local = {0};
    int rc = PT_ENOMEM;
    *out = NULL;
    err = err ? err : &local;
    if (r) {
        r->x.session = s;
        pt_heap_init(&r->x.heap, s->max_arena_bytes);
        r->inputs = pt_calloc((size_t)s->graph.input_count + 1, sizeof *r->inputs);
        r->input_list = pt_calloc((size_t)s->graph.input_count + 1, sizeof *r->input_list);
        r->owned = pt_calloc((size_t)s->graph.output_count + 1, sizeof *r->owned);
        r->x.bound = r->bound = pt_calloc((size_t)s->graph.output_count + 1, sizeof *r->bound);
        if (r->inputs && r->input_list && r->owned && r->bound)
            rc = pt_frame_create(&r->x, &s->graph, &r->frame, err);
    }
    if (rc < 0) {
        pt_run_destroy(r);
        return pt_fail(err, PT_ENOMEM, "out of memory for a run");
    }
    for (int i = 0; i < s->graph.input_count; i++)
        r->input_list[i] = &r->inputs[i];
    *out = r;
    return PT_OK;
}

void pt_run_destroy(struct pt_run *r)
{
    if (!r)
        return;
    pt_frame_destroy(r->frame);
    pt_heap_finish(&r->x.heap);
    pt_free(r->inputs);
    pt_free(r->input_list);
    pt_free(r->owned);
    pt_free(r->bound);
    pt_free(r);
}

/* --- inputs ------------------------------------------------------------------------------------------------------------------------- */

static int check_dims(const struct pt_value_info *vi, const char *what, const struct pt_tensor *t, struct pt_err *err)
{
    if (t->rank < 0 || t->rank > PT_MAX_RANK)
        return pt_fail(err, PT_EINVAL, "%s has rank %d, must be 0 to %d", what, t->rank, PT_MAX_RANK);
    if (vi->rank < 0)
        return PT_OK;
    bool fits = t->rank == vi->rank;
    for (int i = 0; fits && i < t->rank; i++)
        fits = vi->dims[i] < 0 || vi->dims[i] == t->dims[i];
    if (fits)
        return PT_OK;
    return pt_fail(err, PT_EINVAL, "%s is %s, the model takes %s (-1: any)", what, PT_SHAPE(t), pt_shape_text(vi->dtype, vi->rank, vi->dims).s);
}

/* A tensor, or a sequence, optional or map with all that is in it. vi: what the model says, or NULL where it says nothing. */
static int check_value(const struct pt_value_info *vi, const char *what, const struct pt_tensor *t, struct pt_err *err)
{
    size_t need, size = pt_dtype_size(t->dtype);
    if (vi && vi->dtype != PT_UNDEFINED && t->dtype != vi->dtype)
        return pt_fail(err, PT_EINVAL, "%s is %s, the model takes %s", what, pt_dtype_name(t->dtype), pt_dtype_name(vi->dtype));
    int rc = vi ? check_dims(vi, what, t, err) : PT_OK;
    if (rc < 0)
        return rc;
    if (!pt_tensor_need(t->dtype, t->rank, t->dims, &need))
        return pt_fail(err, PT_EINVAL, "%s has shape %s, which is negative or too large", what, PT_SHAPE(t));
    if (need != t->size_bytes)
        return pt_fail(err, PT_EINVAL, "%s %s needs %zu bytes, but %zu are given", what, PT_SHAPE(t), need, t->size_bytes);
    if (need && !t->data)
        return pt_fail(err, PT_EINVAL, "%s has no data", what);
    if (size && (uintptr_t)t->data % (size > 8 ? 8 : size))
        return pt_fail(err, PT_EINVAL, "data of %s is not aligned to %zu bytes", what, size > 8 ? 8 : size);
    const struct pt_value_info *elem = vi ? vi->elem : NULL;
    if (t->dtype == PT_SEQUENCE) {
        const struct pt_sequence *s = t->data;
        for (size_t i = 0; i < s->count; i++)
            if ((rc = check_value(elem, what, &s->items[i], err)) < 0)
                return pt_wrap(err, "item %zu", i);
    } else if (t->dtype == PT_OPTIONAL) {
        const struct pt_optional *o = t->data;
        return o->value ? check_value(elem, what, o->value, err) : PT_OK;
    } else if (t->dtype == PT_MAP) {
        const struct pt_map_value *m = t->data;
        if ((rc = check_value(NULL, what, &m->keys, err)) < 0 || (rc = check_value(NULL, what, &m->values, err)) < 0)
            return rc;
        if (m->keys.rank != 1 || m->values.rank != 1 || m->keys.dims[0] != m->values.dims[0])
            return pt_fail(err, PT_EINVAL, "%s is a map with keys %s and values %s", what, PT_SHAPE(&m->keys), PT_SHAPE(&m->values));
    }
    return PT_OK;
}

/* "input 'NAME'", for messages. Once per input and run, so without printf. */
static void name_value(char out[160], const char *what, const char *name)
{
    size_t at = strlen(what), len = strnlen(name, 130);
    memcpy(out, what, at);
    memcpy(out + at, name, len);
    memcpy(out + at + len, "'", 2);
}

int pt_run_set_input(struct pt_run *r, size_t i, const struct pt_tensor *t, struct pt_err *err)
{
    const struct pt_value_info *vi = pt_session_input(r->x.session, i);
    if (!vi)
        return pt_fail(err, PT_EINVAL, "input %zu does not exist: the model has %zu", i, pt_session_input_count(r->x.session));
    char what[160];
    name_value(what, "input '", vi->name);
    int rc = check_value(vi, what, t, err);
    if (rc < 0)
        return rc;
    r->inputs[i] = *t;
    if (!t->data)
        r->inputs[i].data = &r->inputs[i]; /* empty, but set */
    return PT_OK;
}

/* --- bound outputs -------------------------------------------------------------------------------------------------------------------- */

int pt_run_bind_output(struct pt_run *r, size_t i, const struct pt_tensor *t, struct pt_err *err)
{
    const struct pt_value_info *vi = pt_session_output(r->x.session, i);
    size_t size = t ? pt_dtype_size(t->dtype) : 0;
    char what[160];
    if (!vi)
        return pt_fail(err, PT_EINVAL, "output %zu does not exist: the model has %zu", i, pt_session_output_count(r->x.session));
    name_value(what, "buffer of output '", vi->name);
    if (t && (t->dtype == PT_STRING || pt_is_kind(t->dtype)))
        return pt_fail(err, PT_EUNSUPPORTED, "%s: %s cannot be bound", what, pt_dtype_name(t->dtype));
    int rc = t ? check_value(vi, what, t, err) : PT_OK;
    if (rc < 0)
        return rc;
    r->bound[i] = t ? *t : (struct pt_tensor){0};
    if (t && size && (uintptr_t)t->data % size == 0 && !t->data)
        r->bound[i].data = &r->bound[i]; /* empty, but bound */
    return PT_OK;
}

static bool overlap(const struct pt_tensor *a, const struct pt_tensor *b)
{
    uintptr_t x = (uintptr_t)a->data, y = (uintptr_t)b->data;
    return a->size_bytes && b->size_bytes && x < y + b->size_bytes && y < x + a->size_bytes;
}

static int check_bound(const struct pt_run *r, struct pt_err *err)
{
    const struct pt_graph *g = &r->x.session->graph;
    for (int o = 0; o < g->output_count; o++) {
        if (!r->bound[o].data)
            continue;
        for (int i = 0; i < g->input_count; i++)
            if (overlap(&r->bound[o], &r->inputs[i]))
                return pt_fail(err, PT_EINVAL, "the buffer of output '%s' overlaps input '%s'", g->output_info[o].name, g->input_info[i].name);
        for (int i = 0; i < o; i++)
            if (r->bound[i].data && overlap(&r->bound[o], &r->bound[i]))
                return pt_fail(err, PT_EINVAL, "the buffers of outputs '%s' and '%s' overlap", g->output_info[o].name, g->output_info[i].name);
    }
    return PT_OK;
}

/* What could not be written to the caller's memory directly is copied there. */
static int fill_bound(struct pt_run *r, struct pt_err *err)
{
    const struct pt_graph *g = &r->x.session->graph;
    for (int o = 0; o < g->output_count; o++) {
        const struct pt_tensor *t = pt_frame_output(r->frame, o), *to = &r->bound[o];
        if (!to->data)
            continue;
        if (t->dtype != to->dtype || !pt_dims_equal(t, to))
            return pt_fail(err, PT_EINVAL, "output '%s' is %s, its buffer is %s", g->output_info[o].name, PT_SHAPE(t), PT_SHAPE(to));
        if (t->data != to->data && t->size_bytes)
            memcpy(to->data, t->data, t->size_bytes);
        r->owned[o] = *to;
    }
    return PT_OK;
}

/* --- outputs ---------------------------------------------------------------------------------------------------------------------------- */

/* Strings and items are shared from operand to result, so those of an output may be the caller's own, who lends them for the execution only. */
static int own_outputs(struct pt_run *r, struct pt_err *err)
{
    const struct pt_graph *g = &r->x.session->graph;
    bool lent = false;
    int rc = PT_OK;
    for (int i = 0; i < g->input_count; i++)
        lent = lent || pt_value_points(r->inputs[i].dtype);
    for (int i = 0; rc == PT_OK && i < g->output_count; i++) {
        const struct pt_tensor *t = pt_frame_output(r->frame, i);
        r->owned[i].data = NULL;
        if (lent && pt_value_points(t->dtype))
            rc = pt_value_copy(&r->x.heap, t, &r->owned[i], err);
    }
    return rc;
}

static int64_t deadline(uint64_t ms)
{
    int64_t ns;
    return ms == 0 ? 0 : __builtin_mul_overflow(ms, (uint64_t)1000000, &ns) || __builtin_add_overflow(ns, pt_profile_now_ns(), &ns) ? INT64_MAX : ns;
}

/* --- execution ------------------------------------------------------------------------------------------------------------------------------ */

int pt_run_execute(struct pt_run *r, struct pt_err *err)
{
    return pt_run_execute_with(r, NULL, err);
}

int pt_run_execute_with(struct pt_run *r, const struct pt_run_options *o, struct pt_err *err)
{
    struct pt_err local = {0};
    const struct pt_graph *g = &r->x.session->graph;
    err = err ? err : &local;
    atomic_store(&r->x.cancelled, false);
    r->done = false;
    for (int i = 0; i < g->input_count; i++)
        if (!r->inputs[i].data)
            return pt_fail(err, PT_EINVAL, "input '%s' is not set", g->input_info[i].name);
    pt_heap_reset(&r->x.heap);
    int rc = pt_options_read(o, sizeof *o, &r->x.options, sizeof r->x.options, "run options", err);
    if (rc == PT_OK)
        rc = check_bound(r, err);
    if (rc < 0)
        return rc;
    r->x.deadline_ns = deadline(r->x.options.deadline_ms);
    pt_threads_enter(r->x.session->threads);
    rc = pt_frame_execute(r->frame, r->input_list, err);
    pt_threads_leave(r->x.session->threads);
    if (rc == PT_OK)
        rc = own_outputs(r, err);
    if (rc == PT_OK)
        rc = fill_bound(r, err);
    r->done = rc == PT_OK;
    return rc;
}

const struct pt_tensor *pt_run_output(const struct pt_run *r, size_t i)
{
    if (!r->done || i >= (size_t)r->x.session->graph.output_count)
        return NULL;
    return r->owned[i].data ? &r->owned[i] : pt_frame_output(r->frame, (int)i);
}

uint64_t pt_run_memory(const struct pt_run *r)
{
    return r->x.room_bytes + r->x.heap.room_bytes;
}

void pt_run_cancel(struct pt_run *r)
{
    atomic_store(&r->x.cancelled, true);
}
