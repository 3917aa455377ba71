/* SPDX-License-Identifier: Apache-2.0
 *
 * run.c: executes a program. A run keeps the arena and the resolved tensors of the last program; both only grow, so that executing shapes seen
 * before allocates nothing. Binding (slots -> pointers) happens when the program changes; between executions only the inputs' pointers do.
 */
#include "runtime/exec/session.h"

#include <stdatomic.h>

struct pt_run {
    struct pt_session *session;
    struct pt_program *program;  /* bound, or NULL */
    struct pt_tensor *inputs;    /* as set; data NULL: not set */
    struct pt_tensor *tensors;   /* one per slot */
    struct pt_tensor **operands; /* as program->operands */
    size_t tensor_room, operand_room, arena_room;
    char *arena;
    struct pt_heap heap;
    bool done; /* outputs are valid */
    atomic_bool cancelled;
};

int pt_run_create(struct pt_session *s, struct pt_run **out, struct pt_err *err)
{
    struct pt_run *r = pt_calloc(1, sizeof *r);
    *out = NULL;
    if (r)
        r->inputs = pt_calloc((size_t)s->graph.input_count + 1, sizeof *r->inputs);
    if (!r || !r->inputs) {
        pt_free(r);
        return pt_fail(err, PT_ENOMEM, "out of memory for a run");
    }
    r->session = s;
    pt_heap_init(&r->heap, s->max_arena_bytes);
    *out = r;
    return PT_OK;
}

void pt_run_destroy(struct pt_run *r)
{
    if (!r)
        return;
    pt_session_put(r->session, r->program);
    pt_heap_finish(&r->heap);
    pt_free(r->arena);
    pt_free(r->tensors);
    pt_free(r->operands);
    pt_free(r->inputs);
    pt_free(r);
}

/* --- inputs ------------------------------------------------------------------------------------------------------------------------- */

static int check_dims(const struct pt_value_info *vi, const struct pt_tensor *t, struct pt_err *err)
{
    if (t->rank < 0 || t->rank > PT_MAX_RANK)
        return pt_fail(err, PT_EINVAL, "input '%s' has rank %d, must be 0 to %d", vi->name, t->rank, PT_MAX_RANK);
    if (vi->rank < 0)
        return PT_OK;
    bool fits = t->rank == vi->rank;
    for (int i = 0; fits && i < t->rank; i++)
        fits = vi->dims[i] < 0 || vi->dims[i] == t->dims[i];
    if (fits)
        return PT_OK;
    return pt_fail(err, PT_EINVAL, "input '%s' is %s, the model takes %s (-1: any)", vi->name, PT_SHAPE(t),
                   pt_shape_text(vi->dtype, vi->rank, vi->dims).s);
}

int pt_run_set_input(struct pt_run *r, size_t i, const struct pt_tensor *t, struct pt_err *err)
{
    const struct pt_value_info *vi = pt_session_input(r->session, i);
    size_t need, size = pt_dtype_size(t->dtype);
    if (!vi)
        return pt_fail(err, PT_EINVAL, "input %zu does not exist: the model has %zu", i, pt_session_input_count(r->session));
    if (t->dtype != vi->dtype)
        return pt_fail(err, PT_EINVAL, "input '%s' is %s, the model takes %s", vi->name, pt_dtype_name(t->dtype), pt_dtype_name(vi->dtype));
    int rc = check_dims(vi, t, err);
    if (rc < 0)
        return rc;
    if (!pt_tensor_need(t->dtype, t->rank, t->dims, &need))
        return pt_fail(err, PT_EINVAL, "input '%s' has shape %s, which is negative or too large", vi->name, PT_SHAPE(t));
    if (need != t->size_bytes)
        return pt_fail(err, PT_EINVAL, "input '%s' %s needs %zu bytes, but %zu are given", vi->name, PT_SHAPE(t), need, t->size_bytes);
    if (need && !t->data)
        return pt_fail(err, PT_EINVAL, "input '%s' has no data", vi->name);
    if (size && (uintptr_t)t->data % (size > 8 ? 8 : size))
        return pt_fail(err, PT_EINVAL, "data of input '%s' is not aligned to %zu bytes", vi->name, size > 8 ? 8 : size);
    r->inputs[i] = *t;
    if (!t->data)
        r->inputs[i].data = &r->inputs[i]; /* empty, but set */
    return PT_OK;
}

/* --- binding ----------------------------------------------------------------------------------------------------------------------------- */

static int grow(void **p, size_t *room, size_t need, size_t size, struct pt_err *err)
{
    if (need <= *room)
        return PT_OK;
    void *bigger = pt_reallocarray(*p, need, size);
    if (!bigger)
        return pt_fail(err, PT_ENOMEM, "out of memory for a run");
    *p = bigger;
    *room = need;
    return PT_OK;
}

static int make_room(struct pt_run *r, const struct pt_program *p, struct pt_err *err)
{
    if (grow((void **)&r->tensors, &r->tensor_room, (size_t)p->slot_count, sizeof *r->tensors, err) < 0 ||
        grow((void **)&r->operands, &r->operand_room, (size_t)p->operand_count, sizeof *r->operands, err) < 0)
        return PT_ENOMEM;
    if (p->arena_bytes <= r->arena_room && r->arena)
        return PT_OK;
    pt_free(r->arena);
    r->arena_room = 0;
    if (!(r->arena = pt_alloc_aligned(p->arena_bytes ? p->arena_bytes : 64)))
        return pt_fail(err, PT_ENOMEM, "out of memory: one run needs %zu bytes", p->arena_bytes);
    r->arena_room = p->arena_bytes;
    return PT_OK;
}

static void resolve(struct pt_run *r, const struct pt_program *p)
{
    for (int i = 0; i < p->slot_count; i++) {
        const struct pt_slot *s = &p->slots[i], *root = s;
        while (root->place == PT_PLACE_ALIAS)
            root = &p->slots[root->index];
        r->tensors[i] = s->t;
        if (root->place == PT_PLACE_ARENA)
            r->tensors[i].data = r->arena + root->offset;
        else if (root->place == PT_PLACE_INPUT)
            r->tensors[i].data = r->inputs[root->index].data;
        else
            r->tensors[i].data = root->t.data;
    }
}

static int bind(struct pt_run *r, struct pt_program *p, struct pt_err *err)
{
    int rc = make_room(r, p, err);
    if (rc < 0)
        return rc;
    for (int i = 0; i < p->operand_count; i++)
        r->operands[i] = p->operands[i] < 0 ? NULL : &r->tensors[p->operands[i]];
    return PT_OK;
}

/* --- execution ------------------------------------------------------------------------------------------------------------------------------ */

static int choose_program(struct pt_run *r, struct pt_err *err)
{
    struct pt_program *p;
    for (int i = 0; i < r->session->graph.input_count; i++)
        if (!r->inputs[i].data)
            return pt_fail(err, PT_EINVAL, "input '%s' is not set", r->session->graph.input_info[i].name);
    if (r->program && pt_program_is_for(r->program, r->inputs))
        return PT_OK;
    int rc = pt_session_get(r->session, r->inputs, &p, err);
    if (rc < 0)
        return rc;
    pt_session_put(r->session, r->program);
    r->program = NULL;
    if ((rc = bind(r, p, err)) < 0) {
        pt_session_put(r->session, p);
        return rc;
    }
    r->program = p;
    return PT_OK;
}

static int walk(struct pt_run *r, struct pt_err *err)
{
    const struct pt_program *p = r->program;
    struct pt_op_ctx c = {.threads = r->session->threads, .heap = &r->heap, .scratch = r->arena + p->scratch_offset, .err = err};
    for (int i = 0; i < p->step_count; i++) {
        const struct pt_step *s = &p->steps[i];
        if (atomic_load_explicit(&r->cancelled, memory_order_relaxed))
            return pt_fail(err, PT_ECANCELED, "the run was cancelled");
        c.node = s->node;
        c.params = s->params;
        c.in = (const struct pt_tensor *const *)&r->operands[s->operands];
        c.out = &r->operands[s->operands + s->in_count];
        c.in_count = s->in_count;
        c.out_count = s->out_count;
        int rc = s->run(&c);
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

int pt_run_execute(struct pt_run *r, struct pt_err *err)
{
    struct pt_err local = {0};
    err = err ? err : &local;
    atomic_store(&r->cancelled, false);
    r->done = false;
    pt_heap_reset(&r->heap);
    int rc = choose_program(r, err);
    if (rc < 0)
        return rc;
    resolve(r, r->program);
    rc = walk(r, err);
    r->done = rc == PT_OK;
    return rc;
}

const struct pt_tensor *pt_run_output(const struct pt_run *r, size_t i)
{
    if (!r->done || i >= (size_t)r->program->output_count)
        return NULL;
    return &r->tensors[r->program->outputs[i]];
}

void pt_run_cancel(struct pt_run *r)
{
    atomic_store(&r->cancelled, true);
}
