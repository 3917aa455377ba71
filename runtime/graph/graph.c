/* SPDX-License-Identifier: Apache-2.0
 *
 * graph.c: from names to numbers. Every value gets an id, every node its operator row, and the nodes are put in topological
 * order (files are usually in it already; then the order stays as it is).
 */
#include "runtime/graph/graph.h"

#include "base/map.h"
#include "runtime/ops/op.h"

#include <stdio.h>

/* The reader's structures are a few times larger than the shortest bytes that make them. */
#define ARENA_FACTOR 96
#define ARENA_FLOOR (1u << 20)

void *pt_graph_alloc(struct pt_graph *g, size_t bytes, struct pt_err *err)
{
    void *p = pt_arena_alloc(&g->arena, bytes ? bytes : 1);
    bool capped = bytes > g->arena.cap_bytes - g->arena.used_bytes;
    if (!p && capped)
        pt_fail(err, PT_ELIMIT, "the graph needs more than %zu bytes, which its size does not justify", g->arena.cap_bytes);
    else if (!p)
        pt_fail(err, PT_ENOMEM, "out of memory for the graph (%zu bytes)", bytes);
    return p;
}

struct pt_node_text pt_node_text(const struct pt_node *n)
{
    struct pt_node_text t;
    const char *dot = n->domain.len ? "::" : "";
    snprintf(t.s, sizeof t.s, "node '%.*s' (%.*s%s%.*s)", (int)(n->name.len > 80 ? 80 : n->name.len), n->name.p ? n->name.p : "",
             (int)(n->domain.len > 32 ? 32 : n->domain.len), n->domain.p ? n->domain.p : "", dot, (int)(n->op_type.len > 48 ? 48 : n->op_type.len),
             n->op_type.p ? n->op_type.p : "");
    return t;
}

int pt_graph_add_value(struct pt_graph *g, struct pt_err *err)
{
    if (g->value_count == g->value_room) {
        int room = g->value_room < 64 ? 64 : g->value_room + g->value_room / 2;
        struct pt_value *v = pt_reallocarray(g->values, (size_t)room, sizeof *v);
        if (!v)
            return pt_fail(err, PT_ENOMEM, "out of memory for %d values", room);
        g->values = v;
        g->value_room = room;
    }
    g->values[g->value_count] = (struct pt_value){.name = PT_STR(""), .producer = -1};
    return g->value_count++;
}

struct pt_tensor *pt_graph_new_tensor(struct pt_graph *g, enum pt_dtype dtype, int rank, const int64_t *dims, struct pt_err *err)
{
    struct pt_tensor *t = pt_graph_alloc(g, sizeof *t, err);
    size_t bytes;
    if (!t)
        return NULL;
    if (!pt_tensor_need(dtype, rank, dims, &bytes)) {
        pt_fail(err, PT_ELIMIT, "constant %s is too large", pt_shape_text(dtype, rank, dims).s);
        return NULL;
    }
    *t = (struct pt_tensor){.dtype = dtype, .rank = rank, .size_bytes = bytes};
    memcpy(t->dims, dims, (size_t)rank * sizeof *dims);
    t->data = pt_consts_alloc(&g->consts, bytes, err);
    return t->data ? t : NULL;
}

/* --- names ------------------------------------------------------------------------------------------------------------- */

struct builder {
    struct pt_graph *g;
    struct pt_map names; /* -> id + 1 */
    struct pt_err *err;
};

static int find_value(struct builder *b, struct pt_str name)
{
    return (int)(intptr_t)pt_map_get(&b->names, name) - 1;
}

static int define_value(struct builder *b, struct pt_str name, int producer)
{
    if (find_value(b, name) >= 0)
        return pt_fail(b->err, PT_EPARSE, "value '" PT_STR_FMT "' is defined twice", PT_STR_ARG(name));
    int id = pt_graph_add_value(b->g, b->err);
    if (id < 0)
        return id;
    b->g->values[id].name = name;
    b->g->values[id].producer = producer;
    int rc = pt_map_set(&b->names, name, (void *)(intptr_t)(id + 1), NULL, b->err);
    return rc < 0 ? rc : id;
}

static int define_inputs(struct builder *b)
{
    struct pt_graph *g = b->g;
    const struct pt_onnx_graph *og = &g->model.graph;
    for (size_t i = 0; i < og->initializer_count; i++) {
        const struct pt_onnx_tensor *t = &og->initializers[i];
        int id = define_value(b, t->name, -1);
        if (id < 0)
            return pt_wrap(b->err, "initializer"), id;
        g->values[id].constant = &t->t;
    }
    if (!(g->inputs = pt_graph_alloc(g, og->input_count * sizeof *g->inputs, b->err)))
        return b->err->code;
    for (size_t i = 0; i < og->input_count; i++) {
        int id = find_value(b, og->inputs[i].name);
        if (id >= 0 && g->values[id].constant)
            continue;
        if (og->inputs[i].name.len == 0)
            return pt_fail(b->err, PT_EPARSE, "input %zu has no name", i);
        if ((id = define_value(b, og->inputs[i].name, -1)) < 0)
            return pt_wrap(b->err, "input"), id;
        g->inputs[g->input_count++] = id;
    }
    return PT_OK;
}

static int opset_of(const struct pt_onnx_model *m, struct pt_str domain, int64_t *version)
{
    for (size_t i = 0; i < m->opset_count; i++)
        if (pt_str_eq(m->opsets[i].domain, domain)) {
            *version = m->opsets[i].version;
            return PT_OK;
        }
    return PT_ENOTFOUND;
}

static int init_node(struct builder *b, struct pt_node *n, const struct pt_onnx_node *on)
{
    struct pt_graph *g = b->g;
    int64_t version;
    *n = (struct pt_node){.name = on->name, .op_type = on->op_type, .domain = on->domain, .attrs = on->attrs, .attr_count = on->attr_count};
    if (opset_of(&g->model, on->domain, &version) < 0)
        return pt_fail(b->err, PT_EPARSE, "%s: the model imports no opset of domain '" PT_STR_FMT "'", pt_node_text(n).s, PT_STR_ARG(on->domain));
    if (version < 1 || version > INT32_MAX)
        return pt_fail(b->err, PT_EPARSE, "opset version %lld is out of range", (long long)version);
    n->version = (int)version;
    n->op = pt_op_find(on->domain, on->op_type, version, NULL);
    n->inputs = pt_graph_alloc(g, (on->input_count + 4) * sizeof *n->inputs, b->err); /* rewrites append up to 4 operands */
    n->outputs = pt_graph_alloc(g, on->output_count * sizeof *n->outputs, b->err);
    if (!n->inputs || !n->outputs)
        return b->err->code;
    n->output_count = (int)on->output_count;
    for (size_t i = 0; i < on->output_count; i++) {
        n->outputs[i] = -1;
        if (on->outputs[i].len)
            n->outputs[i] = define_value(b, on->outputs[i], g->node_count);
        else if (i == 0 && (n->outputs[0] = pt_graph_add_value(g, b->err)) >= 0) /* operators always compute their first output */
            g->values[n->outputs[0]].producer = g->node_count;
        if (n->outputs[i] < 0 && (i == 0 || on->outputs[i].len))
            return pt_wrap(b->err, "%s", pt_node_text(n).s), n->outputs[i];
    }
    return PT_OK;
}

static int link_inputs(struct builder *b, struct pt_node *n, const struct pt_onnx_node *on)
{
    for (size_t i = 0; i < on->input_count; i++) {
        n->inputs[i] = -1;
        if (on->inputs[i].len && (n->inputs[i] = find_value(b, on->inputs[i])) < 0)
            return pt_fail(b->err, PT_EPARSE, "%s: input %zu '" PT_STR_FMT "' is produced by nothing", pt_node_text(n).s, i,
                           PT_STR_ARG(on->inputs[i]));
    }
    n->input_count = (int)on->input_count;
    while (n->input_count > 0 && n->inputs[n->input_count - 1] < 0)
        n->input_count--;
    return PT_OK;
}

static int define_nodes(struct builder *b)
{
    struct pt_graph *g = b->g;
    const struct pt_onnx_graph *og = &g->model.graph;
    if (!(g->nodes = pt_graph_alloc(g, og->node_count * sizeof *g->nodes, b->err)))
        return b->err->code;
    for (; (size_t)g->node_count < og->node_count; g->node_count++) {
        int rc = init_node(b, &g->nodes[g->node_count], &og->nodes[g->node_count]);
        if (rc < 0)
            return rc;
    }
    for (int i = 0; i < g->node_count; i++) {
        int rc = link_inputs(b, &g->nodes[i], &og->nodes[i]);
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

/* --- order ------------------------------------------------------------------------------------------------------------- */

struct frame {
    int node, next_input;
};
enum { UNSEEN, OPEN, DONE };

/* Depth first over what node `root` needs, without recursion; appends to order. */
static int visit(struct pt_graph *g, int root, uint8_t *state, struct frame *stack, int *order, int *count, struct pt_err *err)
{
    int depth = 0;
    stack[depth++] = (struct frame){root, 0};
    state[root] = OPEN;
    while (depth) {
        struct frame *f = &stack[depth - 1];
        struct pt_node *n = &g->nodes[f->node];
        if (f->next_input == n->input_count) {
            state[f->node] = DONE;
            order[(*count)++] = f->node;
            depth--;
            continue;
        }
        int v = n->inputs[f->next_input++], p = v < 0 ? -1 : g->values[v].producer;
        if (p < 0 || state[p] == DONE)
            continue;
        if (state[p] == OPEN)
            return pt_fail(err, PT_EPARSE, "%s is part of a cycle", pt_node_text(&g->nodes[p]).s);
        state[p] = OPEN;
        stack[depth++] = (struct frame){p, 0};
    }
    return PT_OK;
}

static int sort_nodes(struct pt_graph *g, struct pt_err *err)
{
    size_t n = (size_t)g->node_count;
    pt_auto_free uint8_t *state = pt_calloc(n + 1, 1);
    pt_auto_free struct frame *stack = pt_calloc(n + 1, sizeof *stack);
    pt_auto_free int *order = pt_calloc(n + 1, sizeof *order);
    struct pt_node *sorted = pt_graph_alloc(g, n * sizeof *sorted, err);
    if (!state || !stack || !order || !sorted)
        return pt_fail(err, PT_ENOMEM, "out of memory ordering %zu nodes", n);
    int count = 0;
    for (int i = 0; i < g->node_count; i++) {
        int rc = state[i] == UNSEEN ? visit(g, i, state, stack, order, &count, err) : PT_OK;
        if (rc < 0)
            return rc;
    }
    for (int i = 0; i < count; i++) {
        sorted[i] = g->nodes[order[i]];
        for (int k = 0; k < sorted[i].output_count; k++)
            if (sorted[i].outputs[k] >= 0)
                g->values[sorted[i].outputs[k]].producer = i;
    }
    g->nodes = sorted;
    return PT_OK;
}

/* --- inputs and outputs ------------------------------------------------------------------------------------------------- */

static int fill_info(struct pt_graph *g, const struct pt_onnx_value_info *vi, struct pt_value_info *out, struct pt_err *err)
{
    *out = (struct pt_value_info){.dtype = vi->is_tensor ? vi->dtype : PT_UNDEFINED, .rank = vi->rank};
    if (!(out->name = pt_arena_strndup(&g->arena, vi->name.p, vi->name.len)))
        return pt_fail(err, PT_ENOMEM, "out of memory for names");
    for (int i = 0; i < vi->rank; i++) {
        out->dims[i] = vi->dims[i];
        if (vi->dim_names[i].len && !(out->dim_names[i] = pt_arena_strndup(&g->arena, vi->dim_names[i].p, vi->dim_names[i].len)))
            return pt_fail(err, PT_ENOMEM, "out of memory for names");
    }
    return PT_OK;
}

static int describe_ends(struct builder *b)
{
    struct pt_graph *g = b->g;
    const struct pt_onnx_graph *og = &g->model.graph;
    g->input_info = pt_graph_alloc(g, og->input_count * sizeof *g->input_info, b->err);
    g->output_info = pt_graph_alloc(g, og->output_count * sizeof *g->output_info, b->err);
    g->outputs = pt_graph_alloc(g, og->output_count * sizeof *g->outputs, b->err);
    if (!g->input_info || !g->output_info || !g->outputs)
        return b->err->code;
    int rc, k = 0;
    for (size_t i = 0; i < og->input_count; i++) {
        int id = find_value(b, og->inputs[i].name);
        if (g->values[id].constant)
            continue;
        if ((rc = fill_info(g, &og->inputs[i], &g->input_info[k++], b->err)) < 0)
            return rc;
    }
    for (size_t i = 0; i < og->output_count; i++) {
        g->outputs[i] = find_value(b, og->outputs[i].name);
        if (g->outputs[i] < 0)
            return pt_fail(b->err, PT_EPARSE, "output '" PT_STR_FMT "' is produced by nothing", PT_STR_ARG(og->outputs[i].name));
        if ((rc = fill_info(g, &og->outputs[i], &g->output_info[i], b->err)) < 0)
            return rc;
    }
    g->output_count = (int)og->output_count;
    return PT_OK;
}

static int check_size(const struct pt_onnx_graph *og, struct pt_err *err)
{
    uint64_t values = og->initializer_count + og->input_count;
    for (size_t i = 0; i < og->node_count; i++)
        values += og->nodes[i].output_count + og->nodes[i].input_count;
    if (values > 1u << 26 || og->node_count > 1u << 24)
        return pt_fail(err, PT_ELIMIT, "the graph has %zu nodes and %llu operands: over the limit", og->node_count, (unsigned long long)values);
    return PT_OK;
}

int pt_graph_init(struct pt_graph *g, const void *model, size_t len, uint64_t const_cap, struct pt_err *err)
{
    *g = (struct pt_graph){0};
    size_t cap;
    if (__builtin_mul_overflow(len, (size_t)ARENA_FACTOR, &cap) || __builtin_add_overflow(cap, (size_t)ARENA_FLOOR, &cap))
        cap = SIZE_MAX / 2;
    pt_arena_init(&g->arena, cap);
    pt_consts_init(&g->consts, const_cap);
    int rc = pt_onnx_read(model, len, &g->arena, &g->model, err);
    if (rc < 0)
        return rc;
    struct builder b = {.g = g, .err = err};
    rc = check_size(&g->model.graph, err);
    if (rc == PT_OK)
        rc = define_inputs(&b);
    if (rc == PT_OK)
        rc = define_nodes(&b);
    if (rc == PT_OK)
        rc = describe_ends(&b);
    if (rc == PT_OK)
        rc = sort_nodes(g, err);
    pt_map_finish(&b.names);
    return rc;
}

void pt_graph_finish(struct pt_graph *g)
{
    pt_free(g->values);
    pt_consts_finish(&g->consts);
    pt_arena_finish(&g->arena);
    *g = (struct pt_graph){0};
}

int pt_graph_check_supported(const struct pt_graph *g, struct pt_err *err)
{
    for (int i = 0; i < g->node_count; i++) {
        const struct pt_node *n = &g->nodes[i];
        if (n->dead)
            continue;
        if (n->domain.len == 0 && n->version > PT_MAX_OPSET)
            return pt_fail(err, PT_EUNSUPPORTED, "%s: opset %d is newer than the newest known, %d", pt_node_text(n).s, n->version, PT_MAX_OPSET);
        if (!n->op)
            return pt_fail(err, PT_EUNSUPPORTED, "%s: this operator is not supported (opset %d)", pt_node_text(n).s, n->version);
        if (n->input_count < n->op->min_in || n->input_count > n->op->max_in)
            return pt_fail(err, PT_EINVAL, "%s has %d inputs, needs %d to %d", pt_node_text(n).s, n->input_count, n->op->min_in,
                           n->op->max_in == PT_OP_VARIADIC ? 999 : n->op->max_in);
        for (int k = 0; k < n->op->min_in; k++)
            if (n->inputs[k] < 0)
                return pt_fail(err, PT_EINVAL, "%s: input %d is missing", pt_node_text(n).s, k);
        if (n->output_count < 1 || n->output_count > n->op->max_out)
            return pt_fail(err, PT_EINVAL, "%s has %d outputs, may have 1 to %d", pt_node_text(n).s, n->output_count, n->op->max_out);
    }
    for (int i = 0; i < g->input_count; i++)
        if (g->input_info[i].dtype == PT_UNDEFINED)
            return pt_fail(err, PT_EUNSUPPORTED, "input '%s' is not a tensor of a known type", g->input_info[i].name);
    return PT_OK;
}
