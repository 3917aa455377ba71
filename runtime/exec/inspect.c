/* SPDX-License-Identifier: Apache-2.0
 *
 * inspect.c: what is in a model, whether Pintle can run it or not. The summary is one block that owns the graph it points into.
 */
#include "runtime/exec/session.h"

#include "base/contract.h"
#include "runtime/compile/rewrite.h"
#include "runtime/train/gradient.h"

#include <stdlib.h>

struct summary {
    struct pt_model_summary pub; /* first member */
    struct pt_map_file file;
    char *folder;
    struct pt_graph graph;
    struct pt_op_count *ops;
    struct pt_opset *opsets;
};

const char *pt_runtime_version(void)
{
    return PT_VERSION;
}

const char *pt_runtime_isa(void)
{
    return pt_kernels()->name;
}

static int by_count(const void *a, const void *b)
{
    const struct pt_op_count *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    int c = strcmp(x->op_type, y->op_type);
    return c ? c : strcmp(x->domain, y->domain);
}

static int by_name(const void *a, const void *b)
{
    const struct pt_node *x = *(const struct pt_node *const *)a, *y = *(const struct pt_node *const *)b;
    size_t n = x->op_type.len < y->op_type.len ? x->op_type.len : y->op_type.len;
    int c = n ? memcmp(x->op_type.p, y->op_type.p, n) : 0;
    if (c == 0)
        c = (x->op_type.len > y->op_type.len) - (x->op_type.len < y->op_type.len);
    if (c == 0 && !pt_str_eq(x->domain, y->domain))
        c = x->domain.len < y->domain.len || (x->domain.len == y->domain.len && memcmp(x->domain.p, y->domain.p, x->domain.len) < 0) ? -1 : 1;
    return c;
}

static int add_op(struct summary *s, const struct pt_node *n, size_t count, struct pt_err *err)
{
    struct pt_op_count *o = &s->ops[s->pub.op_count++];
    o->domain = pt_arena_strndup(&s->graph.arena, n->domain.p, n->domain.len);
    o->op_type = pt_arena_strndup(&s->graph.arena, n->op_type.p, n->op_type.len);
    if (!o->domain || !o->op_type)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    const struct pt_op *op = pt_op_find(n->domain, n->op_type, n->version, &o->since_version);
    o->supported = op && (n->domain.len || n->version <= PT_MAX_OPSET);
    o->count = count;
    return PT_OK;
}

/* All that is alive, bodies included, and how many; out may be NULL. */
static size_t list_nodes(const struct pt_graph *g, const struct pt_node **out)
{
    size_t n = 0;
    for (int i = 0; i < g->node_count; i++) {
        const struct pt_node *node = &g->nodes[i];
        if (node->dead)
            continue;
        if (out)
            out[n] = node;
        n++;
        for (int b = 0; b < node->body_count; b++)
            n += list_nodes(node->bodies[b], out ? out + n : NULL);
    }
    return n;
}

/* Of the model's graph, with functions expanded, and of every body. */
static int count_ops(struct summary *s, struct pt_err *err)
{
    size_t n = list_nodes(&s->graph, NULL);
    pt_auto_free const struct pt_node **nodes = pt_calloc(n + 1, sizeof *nodes);
    pt_free(s->ops);
    s->pub.op_count = 0;
    s->ops = pt_calloc(n + 1, sizeof *s->ops);
    if (!nodes || !s->ops)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    list_nodes(&s->graph, nodes);
    qsort(nodes, n, sizeof *nodes, by_name);
    for (size_t i = 0, from = 0; i < n; i++)
        if (i + 1 == n || by_name(&nodes[from], &nodes[i + 1]) != 0) {
            int rc = add_op(s, nodes[from], i + 1 - from, err);
            if (rc < 0)
                return rc;
            from = i + 1;
        }
    qsort(s->ops, s->pub.op_count, sizeof *s->ops, by_count);
    s->pub.ops = s->ops;
    return PT_OK;
}

static void count_weights(const struct pt_onnx_graph *g, struct pt_model_summary *pub);

static void count_in_nodes(const struct pt_onnx_node *nodes, size_t count, struct pt_model_summary *pub)
{
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < nodes[i].attr_count; k++)
            if (nodes[i].attrs[k].type == PT_ATTR_GRAPH && nodes[i].attrs[k].g)
                count_weights(nodes[i].attrs[k].g, pub);
}

static void count_weights(const struct pt_onnx_graph *g, struct pt_model_summary *pub)
{
    for (size_t i = 0; i < g->initializer_count; i++) {
        pub->parameters += (uint64_t)pt_tensor_count(&g->initializers[i].t);
        pub->weight_bytes += g->initializers[i].t.size_bytes;
    }
    count_in_nodes(g->nodes, g->node_count, pub);
}

static int describe(struct summary *s, struct pt_err *err)
{
    const struct pt_onnx_model *m = &s->graph.model;
    struct pt_model_summary *pub = &s->pub;
    if (!(s->opsets = pt_calloc(m->opset_count + 1, sizeof *s->opsets)))
        return pt_fail(err, PT_ENOMEM, "out of memory");
    for (size_t i = 0; i < m->opset_count; i++) {
        s->opsets[i].version = m->opsets[i].version;
        if (!(s->opsets[i].domain = pt_arena_strndup(&s->graph.arena, m->opsets[i].domain.p, m->opsets[i].domain.len)))
            return pt_fail(err, PT_ENOMEM, "out of memory");
    }
    if (!(pub->producer = pt_arena_strndup(&s->graph.arena, m->producer.p, m->producer.len)))
        return pt_fail(err, PT_ENOMEM, "out of memory");
    count_weights(&m->graph, pub);
    for (size_t i = 0; i < m->function_count; i++)
        count_in_nodes(m->functions[i].nodes, m->functions[i].node_count, pub);
    pub->opsets = s->opsets;
    pub->opset_count = m->opset_count;
    pub->inputs = s->graph.input_info;
    pub->outputs = s->graph.output_info;
    pub->input_count = (size_t)s->graph.input_count;
    pub->output_count = (size_t)s->graph.output_count;
    pub->ir_version = m->ir_version;
    return count_ops(s, err);
}

/* Compiles with every free dim set to 1. What stands in the way goes into plan_error; it is no failure of inspecting. */
static void try_plan(struct summary *s, uint32_t off, bool *rewritten)
{
    struct pt_graph *g = &s->graph;
    struct pt_err err = {0};
    pt_auto_free struct pt_tensor *in = pt_calloc((size_t)g->input_count + 1, sizeof *in);
    pt_auto_free const struct pt_tensor **list = pt_calloc((size_t)g->input_count + 1, sizeof *list);
    struct pt_packs *packs = pt_packs_create();
    struct pt_program *p = NULL;
    int rc = in && list && packs ? PT_OK : pt_fail(&err, PT_ENOMEM, "out of memory");
    for (int i = 0; rc == PT_OK && i < g->input_count; i++) {
        const struct pt_value_info *vi = &g->input_info[i];
        in[i] = (struct pt_tensor){.dtype = vi->dtype, .rank = vi->rank};
        list[i] = &in[i];
        for (int k = 0; k < vi->rank; k++)
            in[i].dims[k] = vi->dims[k] < 0 ? 1 : vi->dims[k];
        if (vi->rank < 0)
            rc = pt_fail(&err, PT_EINVAL, "input '%s' has no shape", vi->name);
        else if (!pt_tensor_need(in[i].dtype, in[i].rank, in[i].dims, &in[i].size_bytes))
            rc = pt_fail(&err, PT_EUNSUPPORTED, "input '%s' is not a tensor of a known type and size", vi->name);
    }
    if (rc == PT_OK)
        rc = pt_graph_expand_gradients(g, &err);
    if (rc == PT_OK)
        rc = pt_graph_prune(g, &err);
    if (rc == PT_OK)
        rc = pt_graph_check_supported(g, &err);
    if (rc == PT_OK)
        rc = pt_graph_rewrite(g, off, &err);
    *rewritten = rc == PT_OK;
    struct pt_compile_options o = {.max_arena_bytes = PT_DEFAULT_ARENA, .threads = 1, .packs = packs, .off = off};
    if (rc == PT_OK)
        rc = pt_program_create(g, NULL, list, &o, &p, &err);
    if (p) {
        s->pub.macs = p->macs;
        s->pub.peak_bytes = p->arena_bytes + p->keep_bytes;
        s->pub.dynamic_nodes = (size_t)(p->frontier_count + p->rest_count);
    } else {
        memcpy(s->pub.plan_error, err.msg, sizeof s->pub.plan_error);
    }
    pt_program_destroy(p);
    pt_packs_destroy(packs);
}

static int open_graph(struct summary *s, const char *path, struct pt_err *err)
{
    const char *slash = strrchr(path, '/');
    s->folder = slash == path ? pt_strdup("/") : slash ? pt_strndup(path, (size_t)(slash - path)) : pt_strdup(".");
    if (!s->folder)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    struct pt_graph_source src = {.model = s->file.data, .len = s->file.len, .folder = s->folder, .const_cap = PT_DEFAULT_ARENA};
    return pt_graph_init(&s->graph, &src, err);
}

static int inspect(const char *path, bool optimized, const char *disable, struct pt_model_summary **out, struct pt_err *err)
{
    bool rewritten = false;
    uint32_t off = 0;
    struct summary *s = pt_calloc(1, sizeof *s);
    struct pt_err local = {0};
    err = err ? err : &local;
    *out = NULL;
    if (!s)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    int rc = pt_rewrite_parse(disable, &off, err);
    if (rc == PT_OK)
        rc = pt_map_file_open(path, &s->file, err);
    if (rc == PT_OK && (rc = open_graph(s, path, err)) < 0)
        pt_wrap(err, "%s", path);
    if (rc == PT_OK)
        rc = describe(s, err);
    if (rc == PT_OK)
        try_plan(s, off, &rewritten);
    if (rc == PT_OK && optimized && rewritten)
        rc = count_ops(s, err);
    if (rc < 0) {
        pt_model_summary_free(&s->pub);
        return rc;
    }
    *out = &s->pub;
    return PT_OK;
}

int pt_model_inspect(const char *path, struct pt_model_summary **out, struct pt_err *err)
{
    return inspect(path, false, NULL, out, err);
}

int pt_model_inspect_optimized(const char *path, const char *disable, struct pt_model_summary **out, struct pt_err *err)
{
    return inspect(path, true, disable, out, err);
}

void pt_model_summary_free(struct pt_model_summary *m)
{
    struct summary *s = (struct summary *)m;
    if (!s)
        return;
    pt_free(s->ops);
    pt_free(s->opsets);
    pt_graph_finish(&s->graph);
    pt_map_file_close(&s->file);
    pt_free(s->folder);
    pt_free(s);
}
