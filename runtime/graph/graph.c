/* SPDX-License-Identifier: Apache-2.0
 *
 * graph.c: a graph's memory, and what must hold before it can be compiled.
 */
#include "runtime/graph/graph.h"

#include "runtime/ops/op.h"

#include <stdio.h>

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

int pt_graph_add_node(struct pt_graph *g, struct pt_err *err)
{
    if (g->node_count == g->node_room) {
        int room = g->node_room < 16 ? 16 : g->node_room + g->node_room / 2;
        struct pt_node *n = pt_reallocarray(g->nodes, (size_t)room, sizeof *n);
        if (!n)
            return pt_fail(err, PT_ENOMEM, "out of memory for %d nodes", room);
        g->nodes = n;
        g->node_room = room;
    }
    g->nodes[g->node_count] = (struct pt_node){0};
    return g->node_count++;
}

struct pt_tensor *pt_graph_make_tensor(struct pt_graph *g, enum pt_dtype dtype, int rank, const int64_t *dims, uint64_t origin, bool *ready,
                                       struct pt_err *err)
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
    if (rank)
        memcpy(t->dims, dims, (size_t)rank * sizeof *dims);
    t->data = pt_consts_make(&g->consts, bytes, origin, ready, err);
    return t->data ? t : NULL;
}

struct pt_tensor *pt_graph_new_tensor(struct pt_graph *g, enum pt_dtype dtype, int rank, const int64_t *dims, struct pt_err *err)
{
    return pt_graph_make_tensor(g, dtype, rank, dims, 0, NULL, err);
}

void pt_graph_finish(struct pt_graph *g)
{
    for (struct pt_graph *b = g->first_body, *next; b; b = next) {
        next = b->next_body;
        pt_graph_finish(b);
        pt_free(b);
    }
    pt_onnx_files_close(&g->files);
    pt_free(g->values);
    pt_free(g->nodes);
    pt_consts_finish(&g->consts);
    pt_arena_finish(&g->arena);
    *g = (struct pt_graph){0};
}

/* --- bodies ------------------------------------------------------------------------------------------------------------- */

struct pt_graph *pt_node_body(const struct pt_node *n, const char *name)
{
    int k = 0;
    for (size_t i = 0; i < n->attr_count; i++) {
        if (n->attrs[i].type != PT_ATTR_GRAPH)
            continue;
        if (pt_str_eq(n->attrs[i].name, pt_str(name)))
            return k < n->body_count ? n->bodies[k] : NULL;
        k++;
    }
    return NULL;
}

static void pass_to_body(const struct pt_graph *g, struct pt_node *n, struct pt_graph *body)
{
    int kept = body->own_input_count;
    for (int i = body->own_input_count; i < body->input_count; i++) {
        int at = body->captures[i - body->own_input_count], outer = n->inputs[at];
        const struct pt_tensor *constant = outer < 0 ? NULL : g->values[outer].constant;
        if (constant) {
            body->values[body->inputs[i]].constant = constant;
            continue;
        }
        body->captures[kept - body->own_input_count] = at;
        body->inputs[kept++] = body->inputs[i];
    }
    body->input_count = kept;
}

void pt_graph_pass_constants(struct pt_graph *g)
{
    for (int i = 0; i < g->node_count; i++) {
        struct pt_node *n = &g->nodes[i];
        if (n->dead)
            continue;
        for (int k = 0; k < n->body_count; k++)
            pass_to_body(g, n, n->bodies[k]);
        for (int k = n->input_count - n->capture_count; n->body_count && k < n->input_count; k++)
            if (n->inputs[k] >= 0 && g->values[n->inputs[k]].constant)
                n->inputs[k] = -1;
    }
}

/* --- checks ------------------------------------------------------------------------------------------------------------- */

/* "2", "1 to 3" or "at least 1" */
static const char *range(int min, int max, char *s, size_t size)
{
    if (max == PT_OP_VARIADIC)
        snprintf(s, size, "at least %d", min);
    else if (min == max)
        snprintf(s, size, "%d", min);
    else
        snprintf(s, size, "%d to %d", min, max);
    return s;
}

static int check_node(const struct pt_node *n, struct pt_err *err)
{
    int inputs = n->input_count - n->capture_count;
    char text[48];
    if (n->domain.len == 0 && n->version > PT_MAX_OPSET)
        return pt_fail(err, PT_EUNSUPPORTED, "%s: opset %d is newer than the newest known, %d", pt_node_text(n).s, n->version, PT_MAX_OPSET);
    if (!n->op)
        return pt_fail(err, PT_EUNSUPPORTED, "%s: this operator is not supported (opset %d)", pt_node_text(n).s, n->version);
    if (inputs < n->op->min_in || inputs > n->op->max_in)
        return pt_fail(err, PT_EINVAL, "%s has %d inputs, needs %s", pt_node_text(n).s, inputs,
                       range(n->op->min_in, n->op->max_in, text, sizeof text));
    for (int k = 0; k < n->op->min_in; k++)
        if (n->inputs[k] < 0 && !(n->op->flags & PT_OP_MAY_LACK))
            return pt_fail(err, PT_EINVAL, "%s: input %d is missing", pt_node_text(n).s, k);
    if (n->output_count < 1 || n->output_count > n->op->max_out)
        return pt_fail(err, PT_EINVAL, "%s has %d outputs, may have %s", pt_node_text(n).s, n->output_count,
                       range(1, n->op->max_out, text, sizeof text));
    for (int k = 0; k < n->body_count; k++) {
        int rc = pt_graph_check_supported(n->bodies[k], err);
        if (rc < 0)
            return pt_wrap(err, "%s", pt_node_text(n).s), rc;
    }
    return n->op->check ? n->op->check(n, err) : PT_OK;
}

int pt_graph_check_supported(const struct pt_graph *g, struct pt_err *err)
{
    for (int i = 0; i < g->node_count; i++) {
        int rc = g->nodes[i].dead ? PT_OK : check_node(&g->nodes[i], err);
        if (rc < 0)
            return rc;
    }
    for (int i = 0; g->index == 0 && i < g->input_count; i++)
        if (g->input_info[i].dtype == PT_UNDEFINED)
            return pt_fail(err, PT_EUNSUPPORTED, "input '%s' has no type that is known", g->input_info[i].name);
    return PT_OK;
}
