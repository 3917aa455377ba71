/* SPDX-License-Identifier: Apache-2.0
 *
 * bodies.c: nodes with graphs inside, and calls of model-local functions.
 *
 * A body grows as the model does, with all values around it in sight (in a function: its own only) and its inputs bound to what they have at first:
 * the first iteration, the first slice, the arguments of the first call. So every node in it is tried alone, like any other. What a branch or a
 * function computes is known before the node runs and must come out of it; carried values and slices change, so they count as inexact.
 */
#include "tests/graphs/generate.h"

#include "runtime/ops/op.h"

#define MAX_FORMALS 6
#define MAX_RESULTS 3

struct body {
    struct pt_buf outer; /* the lines around it */
    int mark, first;
    bool in_function;
};

/* What is left of a value when its body is done. */
struct result {
    char name[16];
    enum pt_dtype dtype;
    bool inexact;
    size_t len;
    void *data;
};

static uint32_t pick(struct gen *g, uint32_t n)
{
    return choose(g->c, n);
}

static void begin(struct gen *g, struct body *b, bool function)
{
    *b = (struct body){.outer = g->lines, .mark = g->value_count, .first = g->first, .in_function = g->in_function};
    g->lines = PT_BUF_INIT(0);
    g->depth++;
    if (function) {
        g->first = b->mark;
        g->in_function = true;
    } else {
        g->in_function = b->in_function;
    }
}

/* Leaves the body; its lines go behind *text. */
static void end(struct gen *g, struct body *b, struct pt_buf *text)
{
    pt_buf_append(text, pt_buf_cstr(&g->lines), g->lines.len);
    pt_buf_finish(&g->lines);
    g->lines = b->outer;
    g->depth--;
    g->first = b->first;
    g->in_function = b->in_function;
    for (int i = b->mark; i < g->value_count; i++)
        gen_hide(&g->values[i]);
}

static void grow(struct gen *g)
{
    for (uint32_t i = 1 + pick(g, 3); i > 0; i--)
        gen_grow(g);
}

/* One of the body's values, the newest more often, that is like `like` (or NULL: any; or_type: its type only). NULL: there is none. */
static struct gen_value *newest(struct gen *g, const struct body *b, const struct pt_tensor *like, bool or_type)
{
    for (int i = g->value_count - 1 - (int)pick(g, 2); i >= b->mark; i--) {
        struct gen_value *v = &g->values[i];
        if (!v->t.data || (v->constant && pick(g, 4)) || (v->inexact && !gen_is_real(&v->t)))
            continue;
        if (!like || (v->t.dtype == like->dtype && (or_type || pt_dims_equal(&v->t, like))))
            return v;
    }
    return NULL;
}

static bool keep(struct result *r, const struct gen_value *v)
{
    *r = (struct result){.dtype = v->t.dtype, .inexact = v->inexact, .len = v->t.size_bytes, .data = malloc(v->t.size_bytes + 1)};
    memcpy(r->name, v->name, sizeof r->name);
    if (r->data)
        memcpy(r->data, v->t.data, r->len);
    return r->data != NULL;
}

/* What was computed node by node must be what the whole gives; anything else is a mistake of what runs bodies. */
static void check(struct gen *g, const struct result *r, struct gen_value *v)
{
    if (!g->mistake[0] && (r->dtype != v->t.dtype || r->len != v->t.size_bytes || memcmp(r->data, v->t.data, r->len) != 0))
        snprintf(g->mistake, sizeof g->mistake, "value %s of a body differs from what its nodes gave one by one, as %s", v->name, r->name);
    v->inexact = r->inexact;
}

static int new_name(struct gen *g)
{
    return g->names++;
}

static void put_graph(struct pt_buf *text, int name, const struct pt_buf *ins, const struct pt_buf *lines, const struct pt_buf *outs)
{
    pt_buf_printf(text, "graph G%d\n", name);
    if (ins && ins->len)
        pt_buf_append(text, ins->data, ins->len);
    if (lines->len)
        pt_buf_append(text, lines->data, lines->len);
    pt_buf_append(text, outs->data, outs->len);
    pt_buf_puts(text, "end\n");
}

/* --- If ----------------------------------------------------------------------------------------------------------------------------------- */

static struct gen_value *condition(struct gen *g)
{
    struct gen_value *b = pick(g, 2) ? gen_pick(g, PT_T(PT_BOOL), -1) : NULL, *x;
    if (b && pt_tensor_count(&b->t) == 1)
        return b;
    if (pick(g, 4) == 0)
        return gen_integer(g, PT_BOOL, pick(g, 2));
    x = gen_pick(g, PT_T(PT_FLOAT) | PT_T(PT_INT32), -1);
    x = x && !x->inexact && pt_tensor_count(&x->t) ? gen_node(g, 1, "ReduceMax(%s) keepdims=0", x->name) : NULL;
    b = !x ? NULL : x->t.dtype == PT_FLOAT ? gen_number(g, pick(g, 3)) : gen_integer(g, PT_INT32, pick(g, 3));
    return b ? gen_node(g, 1, "Greater(%s,%s)", x->name, b->name) : NULL;
}

/* One branch with `outs` results, of the other branch's types if that has been made. */
static bool branch(struct gen *g, int outs, const struct result *other, struct result *r, struct pt_buf *graphs, int name)
{
    struct body b;
    struct pt_buf lines = PT_BUF_INIT(0), names = PT_BUF_INIT(0);
    bool ok = true;
    begin(g, &b, false);
    grow(g);
    for (int i = 0; ok && i < outs; i++) {
        struct gen_value *v = newest(g, &b, NULL, false), *x = v ? v : gen_pick(g, ~0u, -1);
        if (!x || (x->inexact && !gen_is_real(&x->t)))
            ok = false;
        else if (other && x->t.dtype != other[i].dtype)
            v = gen_node(g, 1, "Cast(%s) to=%d", x->name, (int)other[i].dtype);
        else if (!v || pick(g, 4) == 0)
            v = gen_node(g, 1, "Identity(%s)", x->name);
        ok = ok && v && keep(&r[i], v);
        if (ok)
            pt_buf_printf(&names, "out %s\n", v->name);
    }
    end(g, &b, &lines);
    if (ok)
        put_graph(graphs, name, NULL, &lines, &names);
    pt_buf_finish(&lines);
    pt_buf_finish(&names);
    return ok;
}

static void if_node(struct gen *g)
{
    struct result r[2][MAX_RESULTS] = {0};
    struct pt_buf graphs = PT_BUF_INIT(0);
    struct gen_value *c = condition(g), *y = NULL;
    int outs = 1 + (int)pick(g, 2), yes = new_name(g), no = new_name(g);
    bool taken = c && *(const uint8_t *)c->t.data;
    if (c && branch(g, outs, NULL, r[1], &graphs, yes) && branch(g, outs, r[1], r[0], &graphs, no)) {
        pt_buf_append(&g->graphs, graphs.data, graphs.len);
        y = gen_node(g, outs, "If(%s) then_branch=@G%d else_branch=@G%d", c->name, yes, no);
    }
    for (int i = 0; y && i < outs; i++) {
        check(g, &r[taken][i], &y[i]);
        y[i].inexact = r[0][i].inexact || r[1][i].inexact;
    }
    for (int i = 0; i < 2 * MAX_RESULTS; i++)
        free(r[i / MAX_RESULTS][i % MAX_RESULTS].data);
    pt_buf_finish(&graphs);
}

/* --- Loop and Scan --------------------------------------------------------------------------------------------------------------------------- */

/* Inputs of a body: copies of what they are at first. */
struct formals {
    struct pt_tensor t[MAX_FORMALS]; /* borrowed, but for slices' memory */
    struct gen_value *v[MAX_FORMALS];
    int count;
};

static bool bind(struct gen *g, struct formals *f, struct pt_buf *ins)
{
    for (int i = 0; i < f->count; i++) {
        struct gen_value *v = f->v[i] = gen_copy(g, &f->t[i], gen_is_real(&f->t[i]));
        if (!v)
            return false;
        pt_buf_printf(ins, "in %s ", v->name);
        gen_put_type(ins, &v->t, pick(g, 3) ? 0 : pick(g, 16));
        pt_buf_putc(ins, '\n');
    }
    return true;
}

static struct gen_value *operand(struct gen *g, int rank)
{
    struct gen_value *v = gen_pick(g, ~0u, rank);
    return v && (!v->inexact || gen_is_real(&v->t)) ? v : NULL;
}

/* Results: states (like the formals from `from` on), then one more that is collected. */
static void put_states(struct gen *g, const struct body *b, const struct formals *f, int from, int states, int collected, struct pt_buf *outs)
{
    for (int i = 0; i < states; i++) {
        struct gen_value *v = newest(g, b, &f->t[from + i], pick(g, 8) == 0),
                         *n = v && pick(g, 3) ? v : gen_node(g, 1, "Identity(%s)", v ? v->name : f->v[from + i]->name);
        pt_buf_printf(outs, "out %s\n", n ? n->name : f->v[from + i]->name);
    }
    for (int i = 0; i < collected; i++) {
        struct gen_value *v = newest(g, b, NULL, false), *n = v ? gen_node(g, 1, "Identity(%s)", v->name) : NULL;
        pt_buf_printf(outs, "out %s\n", n ? n->name : f->v[from]->name);
    }
}

static struct gen_value *goes_on(struct gen *g, const struct formals *f, bool bounded)
{
    struct gen_value *n = bounded && pick(g, 2) ? NULL : gen_integer(g, PT_INT64, pick(g, 4));
    struct gen_value *c = n ? gen_node(g, 1, "Less(%s,%s)", f->v[0]->name, n->name) : gen_node(g, 1, "Identity(%s)", f->v[1]->name);
    if (c && pick(g, 4) == 0)
        c = gen_node(g, 1, "And(%s,%s)", c->name, f->v[1]->name);
    return c;
}

static void loop_node(struct gen *g)
{
    int64_t zero = 0;
    uint8_t yes = 1;
    struct formals f = {.t = {{.dtype = PT_INT64, .data = &zero, .size_bytes = 8}, {.dtype = PT_BOOL, .data = &yes, .size_bytes = 1}}, .count = 2};
    struct pt_buf ins = PT_BUF_INIT(0), lines = PT_BUF_INIT(0), outs = PT_BUF_INIT(0), operands = PT_BUF_INIT(0);
    int states = 1 + (int)pick(g, 2), collected = (int)pick(g, 2), name = new_name(g);
    struct gen_value *trips = pick(g, 6) ? gen_integer(g, PT_INT64, pick(g, 4)) : NULL,
                     *cond = pick(g, 2) ? gen_integer(g, PT_BOOL, pick(g, 8) > 0) : NULL;
    struct body b;
    bool ok = true;
    pt_buf_printf(&operands, "%s,%s", trips ? trips->name : "", cond ? cond->name : "");
    for (int i = 0; ok && i < states; i++) {
        struct gen_value *v = operand(g, -1);
        ok = v != NULL;
        if (ok) {
            f.t[f.count++] = v->t;
            pt_buf_printf(&operands, ",%s", v->name);
        }
    }
    begin(g, &b, false);
    struct gen_value *c = NULL;
    if (ok && bind(g, &f, &ins)) {
        grow(g);
        c = goes_on(g, &f, trips != NULL);
    }
    if (c) {
        pt_buf_printf(&outs, "out %s\n", c->name);
        put_states(g, &b, &f, 2, states, collected, &outs);
    }
    end(g, &b, &lines);
    if (c) {
        put_graph(&g->graphs, name, &ins, &lines, &outs);
        gen_node(g, states + collected, "Loop(%s) body=@G%d", pt_buf_cstr(&operands), name);
    }
    pt_buf_finish(&ins);
    pt_buf_finish(&lines);
    pt_buf_finish(&outs);
    pt_buf_finish(&operands);
}

/* The first slice along axis 0; shares t's memory. */
static struct pt_tensor slice_of(const struct pt_tensor *t)
{
    struct pt_tensor s = *t;
    s.rank--;
    s.size_bytes = t->size_bytes / (size_t)t->dims[0];
    memmove(s.dims, s.dims + 1, (size_t)s.rank * sizeof *s.dims);
    return s;
}

static void scan_node(struct gen *g)
{
    struct formals f = {0};
    struct pt_buf ins = PT_BUF_INIT(0), lines = PT_BUF_INIT(0), outs = PT_BUF_INIT(0), operands = PT_BUF_INIT(0);
    struct gen_value *state = pick(g, 4) ? operand(g, -1) : NULL, *x = operand(g, -1), *y = pick(g, 3) == 0 ? operand(g, -1) : NULL;
    int states = state != NULL, slices = 1, collected = states ? (int)pick(g, 2) : 1, name = new_name(g);
    struct body b;
    if (!x || x->t.rank == 0 || x->t.dims[0] == 0)
        return;
    if (state) {
        f.t[f.count++] = state->t;
        pt_buf_printf(&operands, "%s,", state->name);
    }
    f.t[f.count++] = slice_of(&x->t);
    pt_buf_puts(&operands, x->name);
    if (y && y->t.rank && y->t.dims[0] == x->t.dims[0]) {
        f.t[f.count++] = slice_of(&y->t);
        pt_buf_printf(&operands, ",%s", y->name);
        slices = 2;
    }
    begin(g, &b, false);
    bool ok = bind(g, &f, &ins);
    if (ok) {
        grow(g);
        put_states(g, &b, &f, 0, states, collected, &outs);
    }
    end(g, &b, &lines);
    const char *turned = pick(g, 3) ? "" : slices == 2 ? " scan_input_directions=[0,1]" : " scan_input_directions=[1]";
    if (ok) {
        put_graph(&g->graphs, name, &ins, &lines, &outs);
        gen_node(g, states + collected, "Scan(%s) body=@G%d num_scan_inputs=%d%s%s", pt_buf_cstr(&operands), name, slices, turned,
                 collected && pick(g, 4) == 0 ? " scan_output_directions=[1]" : "");
    }
    pt_buf_finish(&ins);
    pt_buf_finish(&lines);
    pt_buf_finish(&outs);
    pt_buf_finish(&operands);
}

/* --- functions -------------------------------------------------------------------------------------------------------------------------------- */

static void put_names(struct pt_buf *b, struct gen_value *const *v, int count)
{
    for (int i = 0; i < count; i++)
        pt_buf_printf(b, "%s%s", i ? "," : "", v[i]->name);
}

static void function_call(struct gen *g)
{
    struct gen_value *args[2] = {0}, *formals[2] = {0}, *v = NULL, *y;
    struct pt_buf lines = PT_BUF_INIT(0), head = PT_BUF_INIT(0), call = PT_BUF_INIT(0);
    struct result r = {0};
    struct body b;
    int count = 1 + (int)pick(g, 2), name = new_name(g);
    bool ok = true;
    for (int i = 0; ok && i < count; i++)
        ok = (args[i] = operand(g, -1)) != NULL;
    if (!ok)
        return;
    put_names(&call, args, count);
    begin(g, &b, true);
    for (int i = 0; ok && i < count; i++)
        ok = (formals[i] = gen_copy(g, &args[i]->t, args[i]->inexact)) != NULL;
    if (ok) {
        grow(g);
        v = newest(g, &b, NULL, false);
        ok = v && keep(&r, v);
    }
    if (ok) {
        pt_buf_printf(&head, "function F%d(", name);
        put_names(&head, formals, count);
        pt_buf_printf(&head, ") -> %s\n", v->name);
    }
    end(g, &b, &lines);
    size_t before = g->functions.len; /* those that it calls are there already */
    if (ok) {
        pt_buf_append(&g->functions, head.data, head.len);
        pt_buf_append(&g->functions, pt_buf_cstr(&lines), lines.len);
        pt_buf_puts(&g->functions, "end\n");
        y = gen_node(g, 1, "com.foo::F%d(%s)", name, pt_buf_cstr(&call));
        if (y)
            check(g, &r, y);
        else
            g->functions.len = before;
        if (y && pick(g, 2) && (args[0]->inexact || !y->inexact)) /* once more, of what it gave: if what it does bears that */
            gen_node(g, 1, count == 1 ? "com.foo::F%d(%s)" : "com.foo::F%d(%s,%s)", name, y->name, args[count - 1]->name);
    }
    free(r.data);
    pt_buf_finish(&lines);
    pt_buf_finish(&head);
    pt_buf_finish(&call);
}

void gen_bodies(struct gen *g)
{
    static void (*const list[])(struct gen *) = {if_node, if_node, loop_node, loop_node, scan_node, function_call, function_call};
    if (g->depth < GEN_MAX_DEPTH)
        list[pick(g, sizeof list / sizeof *list)](g);
}
