/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite.h: changes to a graph that keep what it computes. Each rewrite is a file and a row in rewrite.c; all of them run once, when a session is
 * opened, before any shape is known.
 */
#ifndef PT_RUNTIME_REWRITE_H
#define PT_RUNTIME_REWRITE_H

#include "runtime/ops/op.h"

/* A graph under change: who reads each value, kept up to date by the helpers below. */
struct pt_rewriter {
    struct pt_graph *g;
    int *uses;       /* per value: how many operands of live nodes and outputs of the graph read it */
    int use_room;
    struct pt_err *err;
};
/* Looks at node i, may change the graph. 0 or a negative code. */
typedef int (*pt_rewrite_fn)(struct pt_rewriter *r, int node);

int pt_rewrite_prepare(struct pt_rewriter *r, int node);     /* operators make their tables, once */
int pt_rewrite_fold(struct pt_rewriter *r, int node);        /* nodes of constants become constants */
int pt_rewrite_identity(struct pt_rewriter *r, int node);    /* Identity and Dropout disappear */
int pt_rewrite_gelu(struct pt_rewriter *r, int node);        /* x/2 (1 + erf(x / sqrt 2)) in pieces becomes Gelu */
int pt_rewrite_layernorm(struct pt_rewriter *r, int node);   /* LayerNormalization in pieces becomes the operator */
int pt_rewrite_batchnorm(struct pt_rewriter *r, int node);   /* BatchNormalization moves into the weights of the convolution before it */

/* Marks nodes whose results nobody reads as dead. */
int pt_graph_prune(struct pt_graph *g, struct pt_err *err);
/* Runs everything until nothing changes. no_opt: only folds. */
int pt_graph_rewrite(struct pt_graph *g, bool no_opt, struct pt_err *err);

/* --- for rewrites ------------------------------------------------------------------------------------------------------------------ */
static inline struct pt_node *pt_producer(const struct pt_rewriter *r, int value)
{
    int p = value < 0 ? -1 : r->g->values[value].producer;
    return p < 0 || r->g->nodes[p].dead ? NULL : &r->g->nodes[p];
}
/* The producer of value if it is that operator, and (with `only`) nothing else reads value. */
struct pt_node *pt_producer_of(const struct pt_rewriter *r, int value, const struct pt_op *op, bool only);
/* The constant behind value, or NULL. */
static inline const struct pt_tensor *pt_constant(const struct pt_rewriter *r, int value)
{
    return value < 0 ? NULL : r->g->values[value].constant;
}
/* Is it one number equal to v (within 1e-6 of it)? */
bool pt_constant_is(const struct pt_rewriter *r, int value, double v);
/* Sets operand i (growing the list with absent ones), counting uses. */
void pt_set_input(struct pt_rewriter *r, int node, int i, int value);
/* The node is that operator from now on, without attributes and inputs; its output stays. */
void pt_become(struct pt_rewriter *r, int node, const struct pt_op *op, int version);
/* `node` produces `value` from now on as its output 0 (it was `old`'s output); old dies. */
void pt_take_output(struct pt_rewriter *r, int node, int old);
void pt_kill(struct pt_rewriter *r, int node);
/* A new constant value holding t. */
int pt_add_constant(struct pt_rewriter *r, const struct pt_tensor *t);

#endif
