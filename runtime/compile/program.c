/* SPDX-License-Identifier: Apache-2.0
 *
 * program.c: compiles a graph for given input shapes: infer each node in order, fold what is known (so that the arithmetic on shapes that exporters
 * write disappears), drop what nobody reads, lower the rest to steps, plan the memory. A node whose shapes depend on data goes to the frontier, what
 * depends on it to the rest (program.h).
 */
#include "runtime/compile/program.h"

#include "runtime/compile/lower.h"

struct build {
    const struct pt_graph *g;
    struct pt_program *p;
    const struct pt_compile_options *o;
    struct pt_item *items;
    int item_count;
    const struct pt_tensor **in; /* scratch for one node */
    struct pt_tensor **out;
    struct pt_err *err;
};

static void *alloc(struct build *b, size_t count, size_t size)
{
    void *m = pt_arena_alloc(&b->p->mem, count * size + 1);
    if (!m)
        pt_fail(b->err, PT_ENOMEM, "out of memory for a program");
    return m;
}

/* --- what is known before the first node ------------------------------------------------------------------------------------- */

static void set_input(struct pt_slot *s, int value, const struct pt_tensor *t)
{
    s->t = *t;
    s->t.data = NULL;
    s->place = PT_PLACE_INPUT;
    s->index = value;
}

static void init_from_graph(struct build *b)
{
    const struct pt_graph *g = b->g;
    for (int i = 0; i < g->value_count; i++) {
        struct pt_slot *s = &b->p->slots[i];
        s->twin = s->wide = s->step = -1;
        if (!g->values[i].constant)
            continue;
        s->t = *g->values[i].constant;
        s->place = PT_PLACE_CONST;
        s->shared = true;
    }
}

static void init_from_parent(struct build *b)
{
    const struct pt_program *from = b->p->parent;
    for (int i = 0; i < b->g->value_count; i++) {
        const struct pt_slot *f = &from->slots[i];
        struct pt_slot *s = &b->p->slots[i];
        s->twin = s->wide = s->step = -1;
        if (f->place == PT_PLACE_CONST) {
            s->t = f->t;
            s->place = PT_PLACE_CONST;
            s->shared = f->shared;
        } else if (f->place != PT_PLACE_NONE && f->place != PT_PLACE_LATER) {
            set_input(s, i, &f->t);
        }
    }
}

static int init_slots(struct build *b, const struct pt_tensor *const *inputs)
{
    const struct pt_graph *g = b->g;
    struct pt_program *p = b->p;
    p->slot_room = g->value_count + g->value_count / 4 + 16;
    if (!(p->slots = pt_calloc((size_t)p->slot_room, sizeof *p->slots)))
        return pt_fail(b->err, PT_ENOMEM, "out of memory for %d values", p->slot_room);
    p->slot_count = g->value_count;
    if (p->parent)
        init_from_parent(b);
    else
        init_from_graph(b);
    const int *from = p->parent ? p->parent->later : g->inputs;
    p->input_count = p->parent ? p->parent->later_count : g->input_count;
    if (!(p->inputs = alloc(b, (size_t)p->input_count, sizeof *p->inputs)))
        return PT_ENOMEM;
    for (int i = 0; i < p->input_count; i++) {
        p->inputs[i] = from[i];
        set_input(&p->slots[from[i]], from[i], inputs[i]);
    }
    return PT_OK;
}

/* --- inference ------------------------------------------------------------------------------------------------------------------ */

/* Everything the node reads has a shape; or has one once the frontier is evaluated. */
static bool is_ready(const struct build *b, const struct pt_node *n, bool with_later)
{
    for (int i = 0; i < n->input_count; i++) {
        enum pt_place place = n->inputs[i] < 0 ? PT_PLACE_CONST : b->p->slots[n->inputs[i]].place;
        if (place == PT_PLACE_NONE || (place == PT_PLACE_LATER && !with_later))
            return false;
    }
    return true;
}

static void add_to_frontier(struct build *b, const struct pt_node *n)
{
    struct pt_program *p = b->p;
    p->frontier[p->frontier_count++] = n;
    for (int i = 0; i < n->output_count; i++)
        if (n->outputs[i] >= 0) {
            p->slots[n->outputs[i]].place = PT_PLACE_LATER;
            p->later[p->later_count++] = n->outputs[i];
        }
}

static int infer_node(struct build *b, const struct pt_node *n)
{
    struct pt_program *p = b->p;
    struct pt_err err = {0}; /* asking for data is no failure */
    struct pt_op_ctx c = {.node = n, .in = b->in, .out = b->out, .in_count = n->input_count, .out_count = n->output_count, .err = &err};
    for (int i = 0; i < n->input_count; i++)
        b->in[i] = n->inputs[i] < 0 ? NULL : &p->slots[n->inputs[i]].t;
    for (int i = 0; i < n->output_count; i++)
        b->out[i] = n->outputs[i] < 0 ? NULL : &p->slots[n->outputs[i]].t;
    int rc = pt_eval_infer(&c, &p->mem);
    if (rc < 0 && c.needs_data) {
        add_to_frontier(b, n);
        return PT_OK;
    }
    bool fold = rc == PT_OK && pt_eval_can_fold(&c);
    if (fold)
        rc = pt_eval_run(&c, &p->consts);
    if (rc < 0) {
        *b->err = err;
        return rc;
    }
    for (int i = 0; i < n->output_count; i++)
        if (n->outputs[i] >= 0)
            p->slots[n->outputs[i]].place = fold ? PT_PLACE_CONST : PT_PLACE_ARENA;
    if (!fold) {
        p->macs += n->op->macs ? n->op->macs(&c) : 0;
        b->items[b->item_count++] = (struct pt_item){n, c.params, c.scratch_bytes};
    }
    return PT_OK;
}

static int take_node(struct build *b, const struct pt_node *n)
{
    bool dynamic = n->op->flags & (PT_OP_DYNAMIC | PT_OP_CONTROL);
    if (is_ready(b, n, false) && !(n->op->flags & PT_OP_CONTROL))
        return infer_node(b, n);
    if (dynamic && is_ready(b, n, true))
        add_to_frontier(b, n);
    else
        b->p->rest[b->p->rest_count++] = n;
    return PT_OK;
}

static int infer_all(struct build *b)
{
    const struct pt_graph *g = b->g;
    const struct pt_program *parent = b->p->parent;
    int count = parent ? parent->rest_count : g->node_count, widest = 1, outputs = 0;
    for (int i = 0; i < count; i++) {
        const struct pt_node *n = parent ? parent->rest[i] : &g->nodes[i];
        widest = n->input_count > widest ? n->input_count : widest;
        widest = n->output_count > widest ? n->output_count : widest;
        outputs += n->output_count;
    }
    b->in = pt_calloc((size_t)widest, sizeof *b->in);
    b->out = pt_calloc((size_t)widest, sizeof *b->out);
    b->items = pt_calloc((size_t)count + 1, sizeof *b->items);
    if (!b->in || !b->out || !b->items)
        return pt_fail(b->err, PT_ENOMEM, "out of memory compiling %d nodes", count);
    b->p->frontier = alloc(b, (size_t)count, sizeof *b->p->frontier);
    b->p->rest = alloc(b, (size_t)count, sizeof *b->p->rest);
    b->p->later = alloc(b, (size_t)outputs, sizeof *b->p->later);
    if (!b->p->frontier || !b->p->rest || !b->p->later)
        return PT_ENOMEM;
    for (int i = 0; i < count; i++) {
        const struct pt_node *n = parent ? parent->rest[i] : &g->nodes[i];
        int rc = n->dead ? PT_OK : take_node(b, n);
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

/* --- what is read ----------------------------------------------------------------------------------------------------------------- */

enum { BY_FRONTIER = 1, BY_REST = 2, BY_CALLER = 4 };

static void mark_reads(const struct pt_node *const *nodes, int count, uint8_t who, uint8_t *readers)
{
    for (int i = 0; i < count; i++)
        for (int k = 0; k < nodes[i]->input_count; k++)
            if (nodes[i]->inputs[k] >= 0)
                readers[nodes[i]->inputs[k]] |= who;
}

static bool must_export(const struct build *b, int value, uint8_t readers)
{
    enum pt_place before = b->p->parent ? b->p->parent->slots[value].place : PT_PLACE_NONE;
    switch (b->p->slots[value].place) {
    case PT_PLACE_ARENA:
        return readers;
    case PT_PLACE_CONST: /* children know constants; the frontier and the caller want to find them */
        return (readers & BY_FRONTIER) || ((readers & BY_CALLER) && before != PT_PLACE_CONST);
    case PT_PLACE_INPUT: /* an input of the graph that is an output too is copied once */
        return (readers & BY_CALLER) && !b->p->parent;
    default:
        return false;
    }
}

static int find_outputs(struct build *b)
{
    const struct pt_graph *g = b->g;
    struct pt_program *p = b->p;
    pt_auto_free uint8_t *readers = pt_calloc((size_t)g->value_count + 1, 1);
    if (!readers)
        return pt_fail(b->err, PT_ENOMEM, "out of memory");
    mark_reads(p->frontier, p->frontier_count, BY_FRONTIER, readers);
    mark_reads(p->rest, p->rest_count, BY_REST, readers);
    for (int i = 0; i < g->output_count; i++)
        readers[g->outputs[i]] |= BY_CALLER;
    int count = 0;
    for (int v = 0; v < g->value_count; v++)
        count += must_export(b, v, readers[v]);
    p->outputs = alloc(b, (size_t)count, sizeof *p->outputs);
    p->output_values = alloc(b, (size_t)count, sizeof *p->output_values);
    if (!p->outputs || !p->output_values)
        return PT_ENOMEM;
    for (int v = 0; v < g->value_count; v++)
        if (must_export(b, v, readers[v])) {
            p->output_values[p->output_count] = v;
            p->outputs[p->output_count++] = v;
        }
    return PT_OK;
}

/* Keeps the items whose results are read, back to front. */
static int drop_unread(struct build *b)
{
    pt_auto_free uint8_t *needed = pt_calloc((size_t)b->p->slot_count + 1, 1);
    if (!needed)
        return pt_fail(b->err, PT_ENOMEM, "out of memory");
    int kept = b->item_count;
    for (int i = 0; i < b->p->output_count; i++)
        needed[b->p->outputs[i]] = 1;
    for (int i = b->item_count - 1; i >= 0; i--) {
        const struct pt_node *n = b->items[i].node;
        bool used = false;
        for (int k = 0; k < n->output_count; k++)
            used = used || (n->outputs[k] >= 0 && needed[n->outputs[k]]);
        if (!used)
            continue;
        for (int k = 0; k < n->input_count; k++)
            if (n->inputs[k] >= 0)
                needed[n->inputs[k]] = 1;
        b->items[--kept] = b->items[i];
    }
    b->item_count -= kept;
    memmove(b->items, b->items + kept, (size_t)b->item_count * sizeof *b->items);
    return PT_OK;
}

/* --- all of it ---------------------------------------------------------------------------------------------------------------------- */

static int compile(struct build *b, const struct pt_tensor *const *inputs)
{
    int rc = init_slots(b, inputs);
    if (rc == PT_OK)
        rc = infer_all(b);
    if (rc == PT_OK)
        rc = find_outputs(b);
    if (rc == PT_OK)
        rc = drop_unread(b);
    if (rc == PT_OK) {
        struct pt_lower l = {.p = b->p, .o = b->o, .k = pt_kernels(), .err = b->err};
        rc = pt_lower_all(&l, b->items, b->item_count);
    }
    return rc < 0 ? rc : pt_program_plan(b->p, b->o->max_arena_bytes, b->err);
}

int pt_program_create(const struct pt_graph *g, struct pt_program *parent, const struct pt_tensor *const *inputs, const struct pt_compile_options *o,
                      struct pt_program **out, struct pt_err *err)
{
    struct pt_program *p = pt_calloc(1, sizeof *p);
    *out = NULL;
    if (!p)
        return pt_fail(err, PT_ENOMEM, "out of memory for a program");
    pt_arena_init(&p->mem, 0);
    pt_consts_init(&p->consts, o->max_arena_bytes);
    p->graph = g;
    p->parent = parent;
    p->depth = parent ? parent->depth + 1 : 0;
    struct build b = {.g = g, .p = p, .o = o, .err = err};
    int rc = compile(&b, inputs);
    pt_free(b.in);
    pt_free(b.out);
    pt_free(b.items);
    if (rc < 0) {
        pt_program_destroy(p);
        return rc;
    }
    if (parent)
        parent->refs++;
    p->refs = 1;
    *out = p;
    return PT_OK;
}

void pt_program_destroy(struct pt_program *p)
{
    if (!p)
        return;
    pt_free(p->slots);
    pt_free(p->steps);
    pt_free(p->operands);
    pt_consts_finish(&p->consts);
    pt_arena_finish(&p->mem);
    pt_free(p);
}

bool pt_program_is_for(const struct pt_program *p, const struct pt_tensor *const *inputs)
{
    for (int i = 0; i < p->input_count; i++) {
        const struct pt_tensor *t = &p->slots[p->inputs[i]].t;
        if (t->dtype != inputs[i]->dtype || !pt_dims_equal(t, inputs[i]))
            return false;
    }
    return true;
}
