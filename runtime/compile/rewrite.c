/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite.c: the order of the rewrites and what they share.
 */
#include "runtime/compile/rewrite.h"

#include <math.h>

#define MAX_PASSES 8

/* In order; each looks at every node once per pass. */
static const struct {
    pt_rewrite_fn fn;
    bool always;
} rows[] = {
    {pt_rewrite_prepare, true}, {pt_rewrite_fold, true}, {pt_rewrite_identity, false}, {pt_rewrite_gelu, false}, {pt_rewrite_layernorm, false}, {pt_rewrite_batchnorm, false},
};

/* --- uses ------------------------------------------------------------------------------------------------------------------------ */

/* Room in the table for every value; new places are 0. */
static int grow(struct pt_rewriter *r)
{
    int room = r->g->value_count + r->g->value_count / 4 + 64;
    if (r->use_room >= r->g->value_count)
        return PT_OK;
    int *uses = pt_reallocarray(r->uses, (size_t)room, sizeof *uses);
    if (!uses)
        return pt_fail(r->err, PT_ENOMEM, "out of memory");
    r->uses = uses;
    for (; r->use_room < room; r->use_room++)
        uses[r->use_room] = 0;
    return PT_OK;
}

static int count_uses(struct pt_rewriter *r)
{
    struct pt_graph *g = r->g;
    if (grow(r) < 0)
        return PT_ENOMEM;
    for (int i = 0; i < r->use_room; i++)
        r->uses[i] = 0;
    for (int i = 0; i < g->node_count; i++)
        for (int k = 0; !g->nodes[i].dead && k < g->nodes[i].input_count; k++)
            if (g->nodes[i].inputs[k] >= 0)
                r->uses[g->nodes[i].inputs[k]]++;
    for (int i = 0; i < g->output_count; i++)
        r->uses[g->outputs[i]]++;
    return PT_OK;
}

struct pt_node *pt_producer_of(const struct pt_rewriter *r, int value, const struct pt_op *op, bool only)
{
    struct pt_node *n = pt_producer(r, value);
    return n && n->op == op && n->outputs[0] == value && (!only || r->uses[value] == 1) ? n : NULL;
}

bool pt_constant_is(const struct pt_rewriter *r, int value, double v)
{
    const struct pt_tensor *t = pt_constant(r, value);
    return t && pt_tensor_count(t) == 1 && fabs(pt_elem_f64(t, 0) - v) <= 1e-6 * fabs(v);
}

void pt_set_input(struct pt_rewriter *r, int node, int i, int value)
{
    struct pt_node *n = &r->g->nodes[node];
    while (n->input_count <= i)
        n->inputs[n->input_count++] = -1;
    if (n->inputs[i] >= 0)
        r->uses[n->inputs[i]]--;
    n->inputs[i] = value;
    if (value >= 0)
        r->uses[value]++;
}

void pt_kill(struct pt_rewriter *r, int node)
{
    struct pt_node *n = &r->g->nodes[node];
    n->dead = true;
    for (int k = 0; k < n->input_count; k++)
        if (n->inputs[k] >= 0)
            r->uses[n->inputs[k]]--;
}

void pt_become(struct pt_rewriter *r, int node, const struct pt_op *op, int version)
{
    struct pt_node *n = &r->g->nodes[node];
    for (int k = 0; k < n->input_count; k++)
        pt_set_input(r, node, k, -1);
    n->op = op;
    n->version = version;
    n->op_type = pt_str(op->type);
    n->prepared = NULL;
    n->attrs = NULL;
    n->attr_count = 0;
    n->input_count = 0;
}

void pt_take_output(struct pt_rewriter *r, int node, int old)
{
    int value = r->g->nodes[old].outputs[0];
    r->g->nodes[node].outputs[0] = value;
    r->g->values[value].producer = node;
    pt_kill(r, old);
}

int pt_add_constant(struct pt_rewriter *r, const struct pt_tensor *t)
{
    int id = pt_graph_add_value(r->g, r->err);
    if (id < 0)
        return id;
    r->g->values[id].constant = t;
    int rc = grow(r);
    return rc < 0 ? rc : id;
}

/* --- the passes --------------------------------------------------------------------------------------------------------------------- */

int pt_graph_prune(struct pt_graph *g, struct pt_err *err)
{
    pt_auto_free uint8_t *needed = pt_calloc((size_t)g->value_count + 1, 1);
    if (!needed)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    for (int i = 0; i < g->output_count; i++)
        needed[g->outputs[i]] = 1;
    for (int i = g->node_count - 1; i >= 0; i--) {
        struct pt_node *n = &g->nodes[i];
        bool used = false;
        for (int k = 0; k < n->output_count; k++)
            used = used || (n->outputs[k] >= 0 && needed[n->outputs[k]]);
        n->dead = n->dead || !used;
        for (int k = 0; !n->dead && k < n->input_count; k++)
            if (n->inputs[k] >= 0)
                needed[n->inputs[k]] = 1;
    }
    return PT_OK;
}

static int pass(struct pt_rewriter *r, bool no_opt)
{
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        if (no_opt && !rows[row].always)
            continue;
        int rc = count_uses(r);
        for (int i = 0; rc == PT_OK && i < r->g->node_count; i++)
            if (!r->g->nodes[i].dead)
                rc = rows[row].fn(r, i);
        if (rc == PT_OK)
            rc = pt_graph_prune(r->g, r->err);
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

static int live_nodes(const struct pt_graph *g)
{
    int n = 0;
    for (int i = 0; i < g->node_count; i++)
        n += !g->nodes[i].dead;
    return n;
}

int pt_graph_rewrite(struct pt_graph *g, bool no_opt, struct pt_err *err)
{
    struct pt_rewriter r = {.g = g, .err = err};
    int rc = PT_OK;
    for (int i = 0, before = -1; rc == PT_OK && i < MAX_PASSES && live_nodes(g) != before; i++) {
        before = live_nodes(g);
        rc = pass(&r, no_opt);
    }
    pt_free(r.uses);
    return rc;
}
