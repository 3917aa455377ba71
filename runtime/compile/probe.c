/* SPDX-License-Identifier: Apache-2.0
 *
 * probe.c: what can be said of every value before any run: its type, its rank, and those dims that are the same whatever the inputs are.
 *
 * Operators infer shapes from known dims only. So the graph is inferred several times, with another choice each time for the dims that the model
 * leaves free; a dim that comes out the same every time does not depend on them. One choice is 1, which broadcasts and is squeezed away; the next
 * are primes, which nothing else is likely to be. Where one of these fits nowhere (exporters forget relations between dims), what the first one gave
 * is kept as not exact, good enough for the type and for conditions that a coincidence cannot break. The last choice is larger than any stride or
 * step, which make small dims alike; it fits few models (tables of positions end before), and only says no.
 */
#include "runtime/compile/program.h"
#include "runtime/compile/rewrite.h"
#include "runtime/ops/table.h"

/* Values computed while probing are shapes, axes and sizes. */
#define SMALL_BYTES 8192
#define ALL_BYTES (16u << 20)
#define NEEDED 3 /* choices that must fit */
#define CHOICES 4

struct probe {
    const struct pt_graph *g;
    struct pt_tensor *types; /* per value; dtype 0: unknown */
    struct pt_arena mem;
    struct pt_consts consts;
};

/* Pixels must be many enough for the windows of the model; everything else may be few. */
static int64_t free_dim(const struct pt_value_info *vi, int axis, int choice)
{
    bool pixels = vi->dtype == PT_FLOAT && vi->rank >= 4 && axis >= 2;
    static const int64_t few[CHOICES] = {1, 7, 13, 100002}, many[CHOICES] = {224, 256, 288, 224 * 128};
    return pixels ? many[choice] : few[choice];
}

static void set_inputs(struct probe *p, int choice)
{
    if (p->g->index) /* what is written in a body about its inputs need not hold for every iteration */
        return;
    for (int i = 0; i < p->g->input_count; i++) {
        const struct pt_value_info *vi = &p->g->input_info[i];
        struct pt_tensor *t = &p->types[p->g->inputs[i]];
        if (vi->dtype == PT_UNDEFINED || vi->rank < 0)
            continue;
        *t = (struct pt_tensor){.dtype = vi->dtype, .rank = vi->rank};
        for (int k = 0; k < vi->rank; k++)
            t->dims[k] = vi->dims[k] < 0 ? free_dim(vi, k, choice) : vi->dims[k];
        if (!pt_tensor_need(t->dtype, t->rank, t->dims, &t->size_bytes))
            t->dtype = PT_UNDEFINED;
    }
}

static bool is_small(const struct pt_op_ctx *c)
{
    size_t bytes = c->scratch_bytes;
    for (int i = 0; i < c->in_count && bytes <= SMALL_BYTES; i++)
        bytes += c->in[i] && c->in[i]->data ? c->in[i]->size_bytes : 0;
    for (int i = 0; i < c->out_count && bytes <= SMALL_BYTES; i++)
        bytes += c->out[i] ? c->out[i]->size_bytes : 0;
    return bytes <= SMALL_BYTES;
}

/* Leaves the outputs unknown when they cannot be told; fails for want of memory only. */
static int probe_node(struct probe *p, const struct pt_node *n, const struct pt_tensor **in, struct pt_tensor **out)
{
    struct pt_err err = {0};
    struct pt_op_ctx c = {.node = n, .in = in, .out = out, .in_count = n->input_count, .out_count = n->output_count, .err = &err};
    bool known = n->op && !(n->op->flags & PT_OP_CONTROL);
    for (int i = 0; i < n->input_count; i++) {
        in[i] = n->inputs[i] < 0 ? NULL : &p->types[n->inputs[i]];
        known = known && (!in[i] || in[i]->dtype != PT_UNDEFINED);
    }
    for (int i = 0; i < n->output_count; i++)
        out[i] = n->outputs[i] < 0 ? NULL : &p->types[n->outputs[i]];
    int rc = known ? pt_eval_infer(&c, &p->mem) : PT_ENOTFOUND;
    if (rc == PT_OK && pt_eval_can_fold(&c) && is_small(&c))
        rc = pt_eval_run(&c, &p->consts);
    for (int i = 0; rc < 0 && i < n->output_count; i++)
        if (out[i])
            out[i]->dtype = PT_UNDEFINED;
    return rc == PT_ENOMEM ? rc : PT_OK;
}

static int probe(struct probe *p, int choice, int widest, struct pt_err *err)
{
    const struct pt_graph *g = p->g;
    pt_auto_free const struct pt_tensor **in = pt_calloc((size_t)widest, sizeof *in);
    pt_auto_free struct pt_tensor **out = pt_calloc((size_t)widest, sizeof *out);
    if (!in || !out || !(p->types = pt_calloc((size_t)g->value_count + 1, sizeof *p->types)))
        return pt_fail(err, PT_ENOMEM, "out of memory for the types of %d values", g->value_count);
    pt_arena_init(&p->mem, 0);
    pt_consts_init(&p->consts, ALL_BYTES);
    for (int i = 0; i < g->value_count; i++)
        if (g->values[i].constant)
            p->types[i] = *g->values[i].constant;
    set_inputs(p, choice);
    for (int i = 0; i < g->node_count; i++)
        if (!g->nodes[i].dead && probe_node(p, &g->nodes[i], in, out) < 0)
            return pt_fail(err, PT_ENOMEM, "out of memory for the types of %d values", g->value_count);
    return PT_OK;
}

static void finish(struct probe *p)
{
    if (p->types)
        pt_consts_finish(&p->consts);
    pt_arena_finish(&p->mem);
    pt_free(p->types);
}

/* What the choices agree on for a value. */
static struct pt_type merge(const struct probe p[CHOICES], int value)
{
    const struct pt_tensor *t = NULL;
    struct pt_type type = {.rank = -1, .exact = true};
    for (int k = 0; k < CHOICES; k++) {
        const struct pt_tensor *o = &p[k].types[value];
        type.exact = type.exact && (k >= NEEDED || (o->dtype != PT_UNDEFINED && (!t || o->dtype == t->dtype)));
        if (k < NEEDED && !t && o->dtype != PT_UNDEFINED) {
            t = o;
            type.dtype = t->dtype;
            type.rank = t->rank;
            memcpy(type.dims, t->dims, sizeof type.dims);
        }
    }
    for (int k = 0; t && k < CHOICES; k++) {
        const struct pt_tensor *o = &p[k].types[value];
        if (o->dtype == PT_UNDEFINED)
            continue;
        type.rank = o->rank == type.rank ? type.rank : -1;
        for (int i = 0; i < type.rank; i++)
            type.dims[i] = o->dims[i] == type.dims[i] ? type.dims[i] : -1;
    }
    return type;
}

static bool has_free_dims(const struct pt_graph *g)
{
    for (int i = 0; g->index == 0 && i < g->input_count; i++)
        for (int k = 0; k < g->input_info[i].rank; k++)
            if (g->input_info[i].dims[k] < 0)
                return true;
    return false;
}

/* What comes out hangs on values, or on whether a free dim is 1: choices that agree prove nothing. */
static bool counts(const struct pt_rewriter *r, const struct pt_node *n)
{
    if (n->op == &pt_op_squeeze && pt_node_in(n, 1) < 0 && (n->version >= 13 || !pt_node_attr(n, "axes"))) {
        struct pt_type x = pt_type_of(r, n->inputs[0]);
        bool fixed = x.rank >= 0;
        for (int i = 0; i < x.rank; i++)
            fixed = fixed && x.dims[i] >= 0;
        return !fixed;
    }
    return n->op == &pt_op_unique || n->op == &pt_op_ms_unique || n->op == &pt_op_nonzero || n->op == &pt_op_compress || n->op == &pt_op_nms;
}

/* What was counted, and what is made of that, is not exact. */
static int loosen(struct pt_rewriter *r)
{
    const struct pt_graph *g = r->g;
    pt_auto_free bool *counted = pt_calloc((size_t)g->value_count + 1, sizeof *counted);
    if (!counted)
        return pt_fail(r->err, PT_ENOMEM, "out of memory for the types of %d values", g->value_count);
    for (int i = 0; i < g->node_count; i++) {
        const struct pt_node *n = &g->nodes[i];
        bool any = false;
        for (int k = 0; !n->dead && k < n->input_count; k++)
            any = any || (n->inputs[k] >= 0 && (counted[n->inputs[k]] || (counts(r, n) && !g->values[n->inputs[k]].constant)));
        for (int k = 0; any && k < n->output_count; k++)
            if (n->outputs[k] >= 0) {
                counted[n->outputs[k]] = true;
                r->types[n->outputs[k]].exact = false;
            }
    }
    return PT_OK;
}

int pt_rewriter_probe(struct pt_rewriter *r)
{
    struct probe p[CHOICES] = {{.g = r->g}, {.g = r->g}, {.g = r->g}, {.g = r->g}};
    const struct pt_graph *g = r->g;
    int widest = 1, rc = PT_OK;
    for (int i = 0; i < g->node_count; i++) {
        widest = g->nodes[i].input_count > widest ? g->nodes[i].input_count : widest;
        widest = g->nodes[i].output_count > widest ? g->nodes[i].output_count : widest;
    }
    for (int k = 0; k < CHOICES && rc == PT_OK; k++)
        rc = probe(&p[k], k, widest, r->err);
    if (rc == PT_OK && !(r->types = pt_calloc((size_t)g->value_count + 1, sizeof *r->types)))
        rc = pt_fail(r->err, PT_ENOMEM, "out of memory for the types of %d values", g->value_count);
    if (rc == PT_OK)
        r->type_count = g->value_count;
    for (int i = 0; i < r->type_count; i++)
        r->types[i] = merge(p, i);
    if (rc == PT_OK && has_free_dims(g))
        rc = loosen(r);
    for (int i = 0; i < r->type_count; i++)
        for (int k = 0; k < r->types[i].rank; k++)
            if (!r->types[i].exact && r->types[i].dims[k] <= 1)
                r->types[i].dims[k] = -1;
    for (int k = 0; k < CHOICES; k++)
        finish(&p[k]);
    return rc;
}

struct pt_type pt_type_of(const struct pt_rewriter *r, int value)
{
    const struct pt_tensor *t = pt_constant(r, value);
    struct pt_type type = {.rank = -1};
    if (t) {
        type = (struct pt_type){.dtype = t->dtype, .exact = true, .rank = t->rank};
        memcpy(type.dims, t->dims, sizeof type.dims);
    } else if (value >= 0 && value < r->type_count) {
        type = r->types[value];
    }
    return type;
}
