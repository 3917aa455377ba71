/* SPDX-License-Identifier: Apache-2.0
 *
 * frame.c: executes a graph, level by level (frame.h). Binding (slots -> places) happens when a level's program changes; between executions
 * only pointers do.
 */
#include "runtime/exec/control.h"
#include "runtime/exec/profile.h"

int pt_frame_create(struct pt_exec *x, const struct pt_graph *g, struct pt_frame **out, struct pt_err *err)
{
    struct pt_frame *f = pt_calloc(1, sizeof *f);
    int widest = 1;
    *out = NULL;
    for (int i = 0; i < g->node_count; i++) {
        widest = g->nodes[i].input_count > widest ? g->nodes[i].input_count : widest;
        widest = g->nodes[i].output_count > widest ? g->nodes[i].output_count : widest;
    }
    if (f) {
        f->x = x;
        f->graph = g;
        f->values = pt_calloc((size_t)g->value_count + 1, sizeof *f->values);
        f->in = pt_calloc((size_t)widest, sizeof *f->in);
        f->out = pt_calloc((size_t)widest, sizeof *f->out);
        f->args = pt_calloc((size_t)g->input_count + 1, sizeof *f->args);
        f->arg_rooms = pt_calloc((size_t)g->input_count + 1, sizeof *f->arg_rooms);
        f->copies = pt_calloc((size_t)g->output_count + 1, sizeof *f->copies);
        f->copy_rooms = pt_calloc((size_t)g->output_count + 1, sizeof *f->copy_rooms);
    }
    if (!f || !f->values || !f->in || !f->out || !f->args || !f->arg_rooms || !f->copies || !f->copy_rooms) {
        pt_frame_destroy(f);
        return pt_fail(err, PT_ENOMEM, "out of memory for a run");
    }
    *out = f;
    return PT_OK;
}

static void finish_level(struct pt_frame *f, struct pt_level *l)
{
    pt_session_put(f->x->session, l->program);
    pt_free(l->tensors);
    pt_free(l->operands);
    pt_room_finish(f->x, &l->keep);
    for (size_t i = 0; i < l->later_room; i++)
        pt_room_finish(f->x, &l->later_rooms[i]);
    pt_free(l->later);
    pt_free(l->later_list);
    pt_free(l->later_rooms);
}

void pt_frame_destroy(struct pt_frame *f)
{
    if (!f)
        return;
    for (int i = 0; i < f->level_count; i++)
        finish_level(f, &f->levels[i]);
    for (int i = 0; i < f->kid_count; i++)
        pt_frame_destroy(f->kids[i].frame);
    for (int i = 0; f->copy_rooms && i < f->graph->output_count; i++)
        pt_room_finish(f->x, &f->copy_rooms[i]);
    for (int i = 0; f->arg_rooms && i < f->graph->input_count; i++)
        pt_room_finish(f->x, &f->arg_rooms[i]);
    pt_room_finish(f->x, &f->arena);
    pt_room_finish(f->x, &f->params);
    pt_room_finish(f->x, &f->lists);
    pt_free(f->levels);
    pt_free(f->kids);
    pt_free(f->values);
    pt_free(f->in);
    pt_free(f->out);
    pt_free(f->args);
    pt_free(f->arg_rooms);
    pt_free(f->copies);
    pt_free(f->copy_rooms);
    pt_free(f);
}

int pt_frame_kid(struct pt_frame *f, const struct pt_node *n, const struct pt_graph *body, int which, struct pt_frame **out, struct pt_err *err)
{
    for (int i = 0; i < f->kid_count; i++)
        if (f->kids[i].node == n && f->kids[i].which == which && f->kids[i].frame->graph == body) {
            *out = f->kids[i].frame;
            return PT_OK;
        }
    struct pt_kid *kids = pt_reallocarray(f->kids, (size_t)f->kid_count + 1, sizeof *kids);
    if (!kids)
        return pt_fail(err, PT_ENOMEM, "out of memory for a run");
    f->kids = kids;
    kids[f->kid_count] = (struct pt_kid){.node = n, .which = which};
    int rc = pt_frame_create(f->x, body, &kids[f->kid_count].frame, err);
    if (rc == PT_OK)
        *out = kids[f->kid_count++].frame;
    return rc;
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

static int grow_later(struct pt_level *l, size_t need, struct pt_err *err)
{
    size_t room = l->later_room, had = l->later_room;
    if (need <= had)
        return PT_OK;
    if (grow((void **)&l->later, &room, need, sizeof *l->later, err) < 0 ||
        (room = had, grow((void **)&l->later_list, &room, need, sizeof *l->later_list, err)) < 0 ||
        (room = had, grow((void **)&l->later_rooms, &room, need, sizeof *l->later_rooms, err)) < 0)
        return PT_ENOMEM;
    memset(l->later_rooms + had, 0, (need - had) * sizeof *l->later_rooms);
    l->later_room = need;
    return PT_OK;
}

static int bind(struct pt_level *l, const struct pt_program *p, struct pt_err *err)
{
    if (grow((void **)&l->tensors, &l->tensor_room, (size_t)p->slot_count, sizeof *l->tensors, err) < 0 ||
        grow((void **)&l->operands, &l->operand_room, (size_t)p->operand_count, sizeof *l->operands, err) < 0 ||
        grow_later(l, (size_t)p->later_count, err) < 0)
        return PT_ENOMEM;
    for (int i = 0; i < p->operand_count; i++)
        l->operands[i] = p->operands[i] < 0 ? NULL : &l->tensors[p->operands[i]];
    for (int i = 0; i < p->later_count; i++)
        l->later_list[i] = &l->later[i];
    return PT_OK;
}

static int choose(struct pt_frame *f, struct pt_level *l, struct pt_program *parent, const struct pt_tensor *const *inputs, struct pt_err *err)
{
    struct pt_program *p;
    if (l->program && l->program->parent == parent && pt_program_is_for(l->program, inputs))
        return PT_OK;
    int rc = pt_session_get(f->x->session, f->graph, parent, inputs, &p, err);
    if (rc < 0)
        return rc;
    pt_session_put(f->x->session, l->program);
    l->program = NULL;
    if ((rc = bind(l, p, err)) < 0) {
        pt_session_put(f->x->session, p);
        return rc;
    }
    l->program = p;
    return PT_OK;
}

static void resolve(const struct pt_frame *f, struct pt_level *l)
{
    const struct pt_program *p = l->program;
    for (int i = 0; i < p->slot_count; i++) {
        const struct pt_slot *s = &p->slots[i], *root = s;
        while (root->place == PT_PLACE_ALIAS)
            root = &p->slots[root->index];
        struct pt_tensor *t = &l->tensors[i];
        *t = s->t;
        if (root->place == PT_PLACE_ARENA)
            t->data = (char *)(root->kept ? l->keep.p : f->arena.p) + root->offset;
        else if (root->place == PT_PLACE_INPUT)
            t->data = f->values[root->index] ? f->values[root->index]->data : NULL;
        else
            t->data = root->t.data;
    }
}

/* The caller's memory for outputs of the model: it takes the place of the arena's, for the output and all that shares its memory, unless another
 * output does, whose memory the caller did not lend. What is not written there directly is copied at the end (run.c). */
static void use_bound(const struct pt_frame *f, struct pt_level *l)
{
    const struct pt_program *p = l->program;
    for (int o = 0; o < f->graph->output_count; o++) {
        const struct pt_tensor *bound = &f->x->bound[o];
        int root = bound->data ? pt_program_output_root(p, f->graph->outputs[o]) : -1;
        if (root < 0 || p->slots[root].place != PT_PLACE_ARENA || p->slots[root].t.size_bytes != bound->size_bytes)
            continue;
        bool shared = false;
        for (int i = 0; i < f->graph->output_count; i++)
            shared = shared || (i != o && pt_program_output_root(p, f->graph->outputs[i]) == root);
        for (int i = 0; !shared && i < p->slot_count; i++)
            if (pt_program_root(p, i) == root)
                l->tensors[i].data = bound->data;
    }
}

/* --- steps ------------------------------------------------------------------------------------------------------------------------------ */

static int run_steps(struct pt_frame *f, struct pt_level *l, struct pt_err *err)
{
    const struct pt_program *p = l->program;
    int rc = pt_room_get(f->x, &f->arena, p->arena_bytes, 0, err);
    if (rc == PT_OK && p->keep_bytes)
        rc = pt_room_get(f->x, &l->keep, p->keep_bytes, 0, err);
    if (rc < 0)
        return rc;
    resolve(f, l);
    if (f->graph->index == 0)
        use_bound(f, l);
    struct pt_op_ctx c = {.threads = f->x->session->threads, .heap = &f->x->heap, .scratch = (char *)f->arena.p + p->scratch_offset, .err = err};
    for (int i = 0; i < p->step_count; i++) {
        const struct pt_step *s = &p->steps[i];
        if ((rc = pt_exec_check(f->x, err)) < 0)
            return rc;
        c.node = s->node;
        c.params = s->params;
        c.in = (const struct pt_tensor *const *)&l->operands[s->operands];
        c.out = &l->operands[s->operands + s->in_count];
        c.in_count = s->in_count;
        c.out_count = s->out_count;
        int64_t start = pt_profile_start(f->x);
        if ((rc = s->run(&c)) < 0)
            return rc;
        pt_profile_end(f->x, &c, start);
    }
    for (int i = 0; i < p->output_count; i++)
        f->values[p->output_values[i]] = &l->tensors[p->outputs[i]];
    return PT_OK;
}

/* --- the frontier ------------------------------------------------------------------------------------------------------------------------ */

static bool is_output(const struct pt_graph *g, int value)
{
    for (int i = 0; i < g->output_count; i++)
        if (g->outputs[i] == value)
            return true;
    return false;
}

/* Infers with the data at hand, gives the outputs their memory and runs the reference. */
static int eval_node(struct pt_frame *f, const struct pt_node *n, struct pt_room *rooms, struct pt_err *err)
{
    const struct pt_op *op = n->op;
    struct pt_op_ctx c = {.node = n,
                          .in = f->in,
                          .out = f->out,
                          .in_count = n->input_count,
                          .out_count = n->output_count,
                          .threads = f->x->session->threads,
                          .heap = &f->x->heap,
                          .err = err};
    int rc = op->params_size ? pt_room_get(f->x, &f->params, op->params_size, 0, err) : PT_OK;
    if (rc < 0)
        return rc;
    c.params = op->params_size ? memset(f->params.p, 0, op->params_size) : NULL;
    rc = pt_eval_infer_in(&c);
    for (int i = 0, k = 0; rc == PT_OK && i < n->output_count; i++) {
        if (!f->out[i])
            continue;
        struct pt_room *room = &rooms[k++];
        if (i == 0 && (op->flags & PT_OP_VIEW) && f->in[0] && !is_output(f->graph, n->outputs[0])) {
            f->out[0]->data = f->in[0]->data;
            continue;
        }
        rc = pt_room_get(f->x, room, f->out[i]->size_bytes, 0, err);
        f->out[i]->data = room->p;
    }
    if (rc == PT_OK && c.scratch_bytes)
        rc = pt_room_get(f->x, &f->arena, c.scratch_bytes, 0, err);
    c.scratch = f->arena.p;
    return rc < 0 ? pt_wrap(err, "%s", pt_node_text(n).s) : pt_eval_fn(op)(&c);
}

static int eval_control(struct pt_frame *f, const struct pt_node *n, struct pt_room *rooms, struct pt_err *err)
{
    struct pt_room *given[64], **list = given;
    pt_auto_free struct pt_room **many = NULL;
    if (n->output_count > 64 && !(list = many = pt_calloc((size_t)n->output_count, sizeof *many)))
        return pt_fail(err, PT_ENOMEM, "out of memory for a run");
    for (int i = 0, k = 0; i < n->output_count; i++)
        list[i] = f->out[i] ? &rooms[k++] : NULL;
    struct pt_control c = {f, n, f->in, f->out, list, err};
    return pt_control_run(&c);
}

static int eval_frontier(struct pt_frame *f, struct pt_level *l, struct pt_err *err)
{
    const struct pt_program *p = l->program;
    for (int i = 0, later = 0; i < p->frontier_count; i++) {
        const struct pt_node *n = p->frontier[i];
        struct pt_room *rooms = &l->later_rooms[later];
        int rc = pt_exec_check(f->x, err);
        if (rc < 0)
            return rc;
        for (int k = 0; k < n->input_count; k++)
            f->in[k] = n->inputs[k] < 0 ? NULL : f->values[n->inputs[k]];
        for (int k = 0; k < n->output_count; k++) {
            f->out[k] = n->outputs[k] < 0 ? NULL : &l->later[later];
            if (f->out[k])
                f->values[n->outputs[k]] = &l->later[later++];
        }
        int64_t start = pt_profile_start(f->x);
        rc = n->op->flags & PT_OP_CONTROL ? eval_control(f, n, rooms, err) : eval_node(f, n, rooms, err);
        if (rc == PT_OK)
            pt_profile_end(f->x, &(struct pt_op_ctx){.node = n, .in = f->in, .out = f->out, .in_count = n->input_count, .out_count = n->output_count},
                           start);
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

/* --- all of it ------------------------------------------------------------------------------------------------------------------------------ */

/* A result of the frontier may be an input handed through: whoever reads the outputs must be free to change the inputs. */
static int own_outputs(struct pt_frame *f, const struct pt_tensor *const *inputs, struct pt_err *err)
{
    const struct pt_graph *g = f->graph;
    for (int i = 0; i < g->output_count; i++) {
        const struct pt_tensor *t = f->values[g->outputs[i]];
        uintptr_t at = (uintptr_t)t->data;
        bool inside = false;
        for (int k = 0; k < g->input_count && !inside; k++)
            inside = at >= (uintptr_t)inputs[k]->data && at - (uintptr_t)inputs[k]->data < (inputs[k]->size_bytes ? inputs[k]->size_bytes : 1);
        if (!inside)
            continue;
        int rc = pt_room_get(f->x, &f->copy_rooms[i], t->size_bytes, 0, err);
        if (rc < 0)
            return rc;
        f->copies[i] = *t;
        f->copies[i].data = f->copy_rooms[i].p;
        if (t->size_bytes)
            memcpy(f->copy_rooms[i].p, t->data, t->size_bytes);
        f->values[g->outputs[i]] = &f->copies[i];
    }
    return PT_OK;
}

static void age(struct pt_frame *f)
{
    pt_room_age(f->x, &f->arena);
    for (int i = 0; i < f->level_count; i++) {
        pt_room_age(f->x, &f->levels[i].keep);
        for (size_t k = 0; k < f->levels[i].later_room; k++)
            pt_room_age(f->x, &f->levels[i].later_rooms[k]);
    }
}

static int get_level(struct pt_frame *f, int depth, struct pt_err *err)
{
    if (depth < f->level_count)
        return PT_OK;
    struct pt_level *l = pt_reallocarray(f->levels, (size_t)depth + 1, sizeof *l);
    if (!l)
        return pt_fail(err, PT_ENOMEM, "out of memory for a run");
    l[depth] = (struct pt_level){0};
    f->levels = l;
    f->level_count++;
    return PT_OK;
}

static int execute(struct pt_frame *f, const struct pt_tensor *const *inputs, struct pt_err *err)
{
    const struct pt_graph *g = f->graph;
    const struct pt_tensor *const *given = inputs;
    struct pt_program *parent = NULL;
    age(f);
    for (int i = 0; i < g->input_count; i++)
        f->values[g->inputs[i]] = inputs[i];
    for (int depth = 0;; depth++) {
        int rc = get_level(f, depth, err);
        struct pt_level *l = rc < 0 ? NULL : &f->levels[depth];
        if (rc == PT_OK)
            rc = choose(f, l, parent, given, err);
        if (rc == PT_OK)
            rc = run_steps(f, l, err);
        if (rc == PT_OK)
            rc = eval_frontier(f, l, err);
        if (rc < 0)
            return rc;
        if (l->program->rest_count == 0)
            return depth || l->program->frontier_count ? own_outputs(f, inputs, err) : PT_OK;
        parent = l->program;
        given = l->later_list;
    }
}

int pt_frame_execute(struct pt_frame *f, const struct pt_tensor *const *inputs, struct pt_err *err)
{
    f->x->depth++;
    int rc = execute(f, inputs, err);
    f->x->depth--;
    return rc;
}
