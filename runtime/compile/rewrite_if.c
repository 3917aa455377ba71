/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite_if.c: from a graph to its bodies. An If whose condition is a constant is replaced by the nodes of the branch; constants of a graph are
 * constants in its bodies; and every body is rewritten like the graph it belongs to.
 */
#include "runtime/compile/rewrite.h"
#include "runtime/ops/table.h"

struct inliner {
    struct pt_graph *g;
    const struct pt_graph *body;
    int *map; /* value of the body -> value of g */
    struct pt_err *err;
};

static int map_values(struct inliner *in, const struct pt_node *n)
{
    const struct pt_graph *body = in->body;
    for (int i = 0; i < body->input_count; i++) /* captures: a branch has no inputs of its own */
        in->map[body->inputs[i]] = n->inputs[body->captures[i - body->own_input_count]];
    for (int i = 0; i < body->value_count; i++) {
        if (in->map[i] >= 0)
            continue;
        int id = pt_graph_add_value(in->g, in->err);
        if (id < 0)
            return id;
        in->g->values[id].name = body->values[i].name;
        in->g->values[id].constant = body->values[i].constant;
        in->map[i] = id;
    }
    return PT_OK;
}

static int *map_list(struct inliner *in, const int *list, int count, int room)
{
    int *copy = pt_graph_alloc(in->g, (size_t)(count + room) * sizeof *copy, in->err);
    for (int i = 0; copy && i < count; i++)
        copy[i] = list[i] < 0 ? -1 : in->map[list[i]];
    return copy;
}

static int copy_nodes(struct inliner *in)
{
    for (int i = 0; i < in->body->node_count; i++) {
        int at = pt_graph_add_node(in->g, in->err);
        if (at < 0)
            return at;
        struct pt_node *n = &in->g->nodes[at];
        *n = in->body->nodes[i];
        n->inputs = map_list(in, n->inputs, n->input_count, 4);
        n->outputs = map_list(in, n->outputs, n->output_count, 0);
        if (!n->inputs || !n->outputs)
            return in->err->code;
        for (int k = 0; !n->dead && k < n->output_count; k++)
            if (n->outputs[k] >= 0)
                in->g->values[n->outputs[k]].producer = at;
    }
    return PT_OK;
}

/* The If's output is what the branch gives: an Identity, which its own rewrite removes. */
static int link_output(struct inliner *in, int from, int to)
{
    int at = pt_graph_add_node(in->g, in->err);
    if (at < 0)
        return at;
    struct pt_node *n = &in->g->nodes[at];
    *n = (struct pt_node){.op = &pt_op_identity,
                          .version = PT_MAX_OPSET,
                          .name = in->g->values[to].name,
                          .op_type = PT_STR("Identity"),
                          .domain = PT_STR(""),
                          .input_count = 1,
                          .output_count = 1,
                          .inputs = pt_graph_alloc(in->g, 5 * sizeof *n->inputs, in->err),
                          .outputs = pt_graph_alloc(in->g, sizeof *n->outputs, in->err)};
    if (!n->inputs || !n->outputs)
        return in->err->code;
    n->inputs[0] = from;
    n->outputs[0] = to;
    in->g->values[to].producer = at;
    return PT_OK;
}

static int inline_branch(struct pt_graph *g, int node, const struct pt_graph *body, struct pt_err *err)
{
    pt_auto_free int *map = pt_calloc((size_t)body->value_count + 1, sizeof *map);
    struct inliner in = {g, body, map, err};
    if (!map)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    for (int i = 0; i < body->value_count; i++)
        map[i] = -1;
    const int *outputs = g->nodes[node].outputs;
    int count = g->nodes[node].output_count;
    g->nodes[node].dead = true;
    int rc = map_values(&in, &g->nodes[node]);
    if (rc == PT_OK)
        rc = copy_nodes(&in);
    for (int i = 0; rc == PT_OK && i < count; i++)
        if (outputs[i] >= 0)
            rc = link_output(&in, map[body->outputs[i]], outputs[i]);
    return rc;
}

/* *found: something was inlined. */
static int inline_ifs(struct pt_graph *g, bool *found, struct pt_err *err)
{
    int rc = PT_OK, count = g->node_count;
    *found = false;
    for (int i = 0; rc == PT_OK && i < count; i++) {
        const struct pt_node *n = &g->nodes[i];
        const struct pt_tensor *cond = n->dead || n->op != &pt_op_if ? NULL : g->values[n->inputs[0]].constant;
        if (!cond || cond->dtype != PT_BOOL || pt_tensor_count(cond) != 1)
            continue;
        *found = true;
        rc = inline_branch(g, i, pt_node_body(n, *(const uint8_t *)cond->data ? "then_branch" : "else_branch"), err);
    }
    return rc == PT_OK && *found ? pt_graph_sort(g, err) : rc;
}

int pt_graph_rewrite(struct pt_graph *g, uint32_t off, struct pt_err *err)
{
    bool again = true;
    int rc = pt_graph_prune(g, err);
    while (rc == PT_OK && again) {
        rc = pt_rewrite_graph(g, off, err);
        if (rc == PT_OK)
            rc = inline_ifs(g, &again, err);
    }
    if (rc == PT_OK)
        rc = pt_graph_prune(g, err);
    if (rc == PT_OK)
        pt_graph_pass_constants(g);
    for (int i = 0; i < g->node_count; i++)
        for (int k = 0; rc == PT_OK && !g->nodes[i].dead && k < g->nodes[i].body_count; k++)
            rc = pt_graph_rewrite(g->nodes[i].bodies[k], off, err);
    return rc;
}
