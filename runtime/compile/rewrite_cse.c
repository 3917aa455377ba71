/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite_cse.c: nodes of one operator, version, attributes and operands compute the same, so the first one is enough. Exporters repeat shape
 * arithmetic and casts for every use; small constants count as the same when their bytes are. Operators that draw random numbers are
 * left alone, and so are those with graphs inside.
 */
#include "runtime/compile/rewrite.h"

#define SMALL_CONSTANT 64

struct table {
    int *nodes; /* open addressing; -1: free */
    size_t mask;
};

static bool tensors_equal(const struct pt_tensor *a, const struct pt_tensor *b)
{
    return a->dtype == b->dtype && pt_dims_equal(a, b) && a->dtype != PT_STRING &&
           (a->size_bytes == 0 || memcmp(a->data, b->data, a->size_bytes) == 0);
}

static const struct pt_tensor *small_constant(const struct pt_rewriter *r, int value)
{
    const struct pt_tensor *t = pt_constant(r, value);
    return t && t->size_bytes <= SMALL_CONSTANT && pt_dtype_size(t->dtype) ? t : NULL;
}

static bool operands_equal(const struct pt_rewriter *r, int a, int b)
{
    const struct pt_tensor *x = small_constant(r, a), *y = small_constant(r, b);
    return a == b || (x && y && tensors_equal(x, y));
}

static bool attrs_equal(const struct pt_onnx_attr *a, const struct pt_onnx_attr *b)
{
    if (a->type != b->type || !pt_str_eq(a->name, b->name))
        return false;
    switch (a->type) {
    case PT_ATTR_FLOAT:
        return memcmp(&a->f, &b->f, sizeof a->f) == 0;
    case PT_ATTR_INT:
        return a->i == b->i;
    case PT_ATTR_STRING:
        return pt_str_eq(a->s, b->s);
    case PT_ATTR_TENSOR:
        return tensors_equal(&a->t->t, &b->t->t);
    case PT_ATTR_FLOATS:
        return a->count == b->count && (!a->count || memcmp(a->floats, b->floats, a->count * sizeof *a->floats) == 0);
    case PT_ATTR_INTS:
        return a->count == b->count && (!a->count || memcmp(a->ints, b->ints, a->count * sizeof *a->ints) == 0);
    default:
        return false;
    }
}

static bool nodes_equal(const struct pt_rewriter *r, const struct pt_node *a, const struct pt_node *b)
{
    if (a->op != b->op || a->version != b->version || a->input_count != b->input_count || a->output_count != b->output_count ||
        a->attr_count != b->attr_count)
        return false;
    for (int i = 0; i < a->input_count; i++)
        if (!operands_equal(r, a->inputs[i], b->inputs[i]))
            return false;
    for (int i = 0; i < a->output_count; i++)
        if ((a->outputs[i] < 0) != (b->outputs[i] < 0))
            return false;
    for (size_t i = 0; i < a->attr_count; i++)
        if (!attrs_equal(&a->attrs[i], &b->attrs[i]))
            return false;
    return true;
}

static uint64_t hash_node(const struct pt_rewriter *r, const struct pt_node *n)
{
    uint64_t h = pt_hash64(&n->op, sizeof n->op, (uint64_t)n->version);
    for (int i = 0; i < n->input_count; i++) {
        const struct pt_tensor *t = small_constant(r, n->inputs[i]);
        h = t ? pt_hash64(t->data, t->size_bytes, h) : pt_hash64(&n->inputs[i], sizeof *n->inputs, h);
    }
    return h;
}

/* The earlier node that computes the same; else puts this one down. -1: none. */
static int find(const struct pt_rewriter *r, struct table *t, int node)
{
    const struct pt_node *n = &r->g->nodes[node];
    for (size_t i = hash_node(r, n) & t->mask;; i = (i + 1) & t->mask) {
        if (t->nodes[i] < 0)
            return t->nodes[i] = node, -1;
        if (nodes_equal(r, &r->g->nodes[t->nodes[i]], n))
            return t->nodes[i];
    }
}

static bool may_merge(const struct pt_node *n)
{
    return !n->dead && n->op && n->input_count > 0 && !(n->op->flags & PT_OP_RANDOM);
}

int pt_rewrite_cse(struct pt_rewriter *r, int node)
{
    struct pt_graph *g = r->g;
    struct table t = {.mask = 64};
    if (node >= 0)
        return PT_OK;
    while (t.mask < (size_t)g->node_count * 2)
        t.mask *= 2;
    pt_auto_free int *nodes = pt_calloc(t.mask, sizeof *nodes);
    if (!nodes)
        return pt_fail(r->err, PT_ENOMEM, "out of memory comparing %d nodes", g->node_count);
    memset(nodes, -1, t.mask * sizeof *nodes);
    t.nodes = nodes;
    t.mask--;
    for (int i = 0; i < g->node_count; i++) {
        struct pt_node *n = &g->nodes[i];
        pt_follow_aliases(r, n->inputs, n->input_count);
        int same = may_merge(n) ? find(r, &t, i) : -1;
        if (same < 0)
            continue;
        for (int k = 0; k < n->output_count; k++)
            if (n->outputs[k] >= 0)
                pt_replace(r, n->outputs[k], g->nodes[same].outputs[k]);
        pt_kill(r, i);
    }
    return PT_OK;
}
