/* SPDX-License-Identifier: Apache-2.0
 *
 * program.c: compiles a graph for given input shapes: infer each node in order, fold what is known (so that the arithmetic on shapes that exporters
 * write disappears), drop what nobody reads, lower the rest to steps, plan the memory.
 */
#include "runtime/compile/program.h"

#include "runtime/compile/lower.h"

/* What exporters and users feed as shapes, axes and sizes. */
#define BY_VALUE_COUNT 1024

struct build {
    const struct pt_graph *g;
    struct pt_program *p;
    struct pt_compile_options *o;
    struct pt_item *items;
    int item_count;
    const struct pt_tensor **in; /* scratch for one node */
    struct pt_tensor **out;
    struct pt_err *err;
};

bool pt_input_by_value(const struct pt_tensor *t)
{
    int64_t n = pt_tensor_count(t);
    return n == 1 || (n <= BY_VALUE_COUNT && ((PT_TS_ALLINT | PT_TS_BOOL) & PT_T(t->dtype)));
}

static int init_input(struct build *b, int i, const struct pt_tensor *t)
{
    struct pt_slot *s = &b->p->slots[b->g->inputs[i]];
    s->t = *t;
    s->t.data = NULL;
    s->place = PT_PLACE_INPUT;
    s->index = i;
    if (!b->o->by_value || !pt_input_by_value(t))
        return PT_OK;
    if (!(s->t.data = pt_consts_alloc(&b->p->consts, t->size_bytes, b->err)))
        return PT_ENOMEM;
    if (t->size_bytes)
        memcpy(s->t.data, t->data, t->size_bytes);
    s->place = PT_PLACE_CONST;
    return PT_OK;
}

static int init_slots(struct build *b, const struct pt_tensor *inputs)
{
    const struct pt_graph *g = b->g;
    struct pt_program *p = b->p;
    p->slot_room = g->value_count + g->value_count / 4 + 16;
    if (!(p->slots = pt_calloc((size_t)p->slot_room, sizeof *p->slots)))
        return pt_fail(b->err, PT_ENOMEM, "out of memory for %d values", p->slot_room);
    p->slot_count = g->value_count;
    for (int i = 0; i < g->value_count; i++) {
        p->slots[i].twin = p->slots[i].step = -1;
        if (!g->values[i].constant)
            continue;
        p->slots[i].t = *g->values[i].constant;
        p->slots[i].place = PT_PLACE_CONST;
        p->slots[i].shared = true;
    }
    for (int i = 0; i < g->input_count; i++) {
        int rc = init_input(b, i, &inputs[i]);
        if (rc < 0)
            return rc;
    }
    p->inputs = g->inputs;
    p->input_count = g->input_count;
    if (!(p->outputs = pt_arena_alloc(&p->mem, (size_t)g->output_count * sizeof *p->outputs + 1)))
        return pt_fail(b->err, PT_ENOMEM, "out of memory for outputs");
    memcpy(p->outputs, g->outputs, (size_t)g->output_count * sizeof *p->outputs);
    p->output_count = g->output_count;
    return PT_OK;
}

static int infer_node(struct build *b, const struct pt_node *n)
{
    struct pt_program *p = b->p;
    struct pt_op_ctx c = {.node = n, .in = b->in, .out = b->out, .in_count = n->input_count, .out_count = n->output_count, .err = b->err};
    for (int i = 0; i < n->input_count; i++)
        b->in[i] = n->inputs[i] < 0 ? NULL : &p->slots[n->inputs[i]].t;
    for (int i = 0; i < n->output_count; i++)
        b->out[i] = n->outputs[i] < 0 ? NULL : &p->slots[n->outputs[i]].t;
    int rc = pt_eval_infer(&c, &p->mem);
    b->o->wants_values = b->o->wants_values || c.needs_data;
    if (rc < 0)
        return rc;
    bool fold = pt_eval_can_fold(&c);
    if (fold && (rc = pt_eval_run(&c, &p->consts)) < 0)
        return rc;
    for (int i = 0; i < n->output_count; i++)
        if (n->outputs[i] >= 0)
            p->slots[n->outputs[i]].place = fold ? PT_PLACE_CONST : PT_PLACE_ARENA;
    if (!fold) {
        p->macs += n->op->macs ? n->op->macs(&c) : 0;
        b->items[b->item_count++] = (struct pt_item){n, c.params, c.scratch_bytes};
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

static int infer_all(struct build *b)
{
    const struct pt_graph *g = b->g;
    int widest = 1;
    for (int i = 0; i < g->node_count; i++) {
        widest = g->nodes[i].input_count > widest ? g->nodes[i].input_count : widest;
        widest = g->nodes[i].output_count > widest ? g->nodes[i].output_count : widest;
    }
    b->in = pt_calloc((size_t)widest, sizeof *b->in);
    b->out = pt_calloc((size_t)widest, sizeof *b->out);
    b->items = pt_calloc((size_t)g->node_count + 1, sizeof *b->items);
    if (!b->in || !b->out || !b->items)
        return pt_fail(b->err, PT_ENOMEM, "out of memory compiling %d nodes", g->node_count);
    for (int i = 0; i < g->node_count; i++) {
        int rc = g->nodes[i].dead ? PT_OK : infer_node(b, &g->nodes[i]);
        if (rc < 0)
            return rc;
    }
    return drop_unread(b);
}

int pt_program_create(const struct pt_graph *g, const struct pt_tensor *inputs, struct pt_compile_options *o, struct pt_program **out,
                      struct pt_err *err)
{
    struct pt_program *p = pt_calloc(1, sizeof *p);
    *out = NULL;
    if (!p)
        return pt_fail(err, PT_ENOMEM, "out of memory for a program");
    pt_arena_init(&p->mem, 0);
    pt_consts_init(&p->consts, o->max_arena_bytes);
    struct build b = {.g = g, .p = p, .o = o, .err = err};
    int rc = init_slots(&b, inputs);
    if (rc == PT_OK)
        rc = infer_all(&b);
    if (rc == PT_OK) {
        struct pt_lower l = {.p = p, .o = o, .k = pt_kernels(), .err = err};
        rc = pt_lower_all(&l, b.items, b.item_count);
    }
    if (rc == PT_OK)
        rc = pt_program_plan(p, o->max_arena_bytes, err);
    pt_free(b.in);
    pt_free(b.out);
    pt_free(b.items);
    if (rc < 0) {
        pt_program_destroy(p);
        return rc;
    }
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
