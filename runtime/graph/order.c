/* SPDX-License-Identifier: Apache-2.0
 *
 * order.c: topological order. Files are usually in it already; then it stays as it is.
 */
#include "runtime/graph/graph.h"

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

int pt_graph_sort(struct pt_graph *g, struct pt_err *err)
{
    size_t n = (size_t)g->node_count;
    pt_auto_free uint8_t *state = pt_calloc(n + 1, 1);
    pt_auto_free struct frame *stack = pt_calloc(n + 1, sizeof *stack);
    pt_auto_free int *order = pt_calloc(n + 1, sizeof *order);
    struct pt_node *sorted = pt_calloc(n + 1, sizeof *sorted);
    if (!state || !stack || !order || !sorted) {
        pt_free(sorted);
        return pt_fail(err, PT_ENOMEM, "out of memory ordering %zu nodes", n);
    }
    int count = 0, rc = PT_OK;
    for (int i = 0; rc == PT_OK && i < g->node_count; i++)
        if (state[i] == UNSEEN && !g->nodes[i].dead)
            rc = visit(g, i, state, stack, order, &count, err);
    if (rc < 0) {
        pt_free(sorted);
        return rc;
    }
    for (int i = 0; i < count; i++) {
        sorted[i] = g->nodes[order[i]];
        for (int k = 0; k < sorted[i].output_count; k++)
            if (sorted[i].outputs[k] >= 0)
                g->values[sorted[i].outputs[k]].producer = i;
    }
    pt_free(g->nodes);
    g->nodes = sorted;
    g->node_count = count;
    g->node_room = (int)n + 1;
    return PT_OK;
}
