/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite.h: changes to a graph that keep what it computes. Each rewrite is a file and a row in the table below; all of them run once, when a session
 * is opened, before any shape is known.
 *
 * What every rewrite keeps: results up to the rounding of floating point (integers exactly, but for qlinear, where that rounding decides them; NaN
 * and infinity where they were), the graph's
 * inputs and outputs, and values that anything else reads. A rewrite that needs a type or a dim asks pt_type_of() and leaves the graph alone when it
 * is not known. Arithmetic on shapes needs no rewrite: a program is compiled for known shapes, and what follows from them is folded there.
 */
#ifndef PT_RUNTIME_REWRITE_H
#define PT_RUNTIME_REWRITE_H

#include "runtime/ops/op.h"

/* In the order in which they run: X(name, what it does). Names are those of --disable. */
#define PT_REWRITES(X)                                                                                                                               \
    X(fold, "nodes of constants become constants")                                                                                                   \
    X(dead, "nodes whose results nobody reads disappear")                                                                                            \
    X(identity, "nodes that change nothing disappear: Identity, Dropout, x * 1, Concat of one, ...")                                                 \
    X(cast, "a Cast to the type that a value has, or by way of a wider type, disappears")                                                            \
    X(cse, "nodes that compute the same from the same are computed once")                                                                            \
    X(reshape, "chains of Reshape, Flatten, Squeeze and Unsqueeze become one; those that change nothing disappear")                                  \
    X(transpose, "chains of Transpose become one; pairs around elementwise operators cancel")                                                        \
    X(vendor, "operators of ONNX Runtime that the standard has become those of the standard")                                                        \
    X(gelu, "Gelu in pieces, erf and tanh forms, becomes the operator")                                                                              \
    X(layernorm, "LayerNormalization in pieces becomes the operator")                                                                                \
    X(rmsnorm, "RMSNormalization in pieces becomes the operator")                                                                                    \
    X(attention, "softmax(q k' scale + mask) v in pieces becomes one step that never holds all scores")                                              \
    X(batchnorm, "BatchNormalization moves into the weights of the Conv, ConvTranspose or Gemm before it")                                           \
    X(prenorm, "BatchNormalization moves into the weights of the Conv after it")                                                                     \
    X(pad, "Pad moves into the Conv or pool after it")                                                                                               \
    X(qdq, "what lies between DequantizeLinear and QuantizeLinear and only moves elements works on the integers")                                    \
    X(qlinear, "DequantizeLinear, an operator and QuantizeLinear become the operator on integers: results may differ by one quantum")                \
    X(qproduct, "a MatMul or Gemm of numbers made of integers, or a scaled MatMulInteger, becomes the product of integers that gives numbers")       \
    X(fuse, "bias, residual, scale and activation are done by the Conv or MatMul before them (while lowering)")

enum pt_rewrite_id {
#define PT_X(name, what) PT_REWRITE_##name,
    PT_REWRITES(PT_X)
#undef PT_X
        PT_REWRITE_COUNT
};
#define PT_REWRITE_BIT(name) (1u << PT_REWRITE_##name)
/* All off but folding, without which few shapes are known. */
#define PT_REWRITE_NO_OPT (((1u << PT_REWRITE_COUNT) - 1) & ~PT_REWRITE_BIT(fold))

/* What is known of a value before any run. */
struct pt_type {
    enum pt_dtype dtype;       /* PT_UNDEFINED: nothing is known */
    int rank;                  /* -1: not known */
    bool exact;                /* dims that are given hold whatever the inputs are; else they are likely only */
    int64_t dims[PT_MAX_RANK]; /* -1: not fixed */
};

/* A graph under change: who reads each value, kept up to date by the helpers below. */
struct pt_rewriter {
    struct pt_graph *g;
    int *uses;             /* per value: how many operands of live nodes and outputs of the graph read it */
    int *alias;            /* per value: what its readers are to read instead, or -1 */
    int room;              /* of both */
    struct pt_type *types; /* of the first type_count values */
    int type_count;
    int changes;
    bool keep_integers; /* a DequantizeLinear of constants waits: qlinear may want the integers */
    struct pt_err *err;
};
/* Looks at node i, or at the whole graph with -1; may change it. 0 or a negative code. */
typedef int (*pt_rewrite_fn)(struct pt_rewriter *r, int node);
int pt_rewrite_prepare(struct pt_rewriter *r, int node); /* not a choice: operators make their tables, once */
#define PT_X(name, what) int pt_rewrite_##name(struct pt_rewriter *r, int node);
PT_REWRITES(PT_X)
#undef PT_X

/* Marks nodes whose results nobody reads as dead. */
int pt_graph_prune(struct pt_graph *g, struct pt_err *err);
/* Runs all rewrites whose bit is not in `off`, until nothing changes, on one graph; */
int pt_rewrite_graph(struct pt_graph *g, uint32_t off, struct pt_err *err);
/* on a graph and all its bodies. */
int pt_graph_rewrite(struct pt_graph *g, uint32_t off, struct pt_err *err);
/* "gelu,pad" as bits; PT_EINVAL names what is unknown and what there is. NULL and "" are none. */
int pt_rewrite_parse(const char *names, uint32_t *off, struct pt_err *err);

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
struct pt_type pt_type_of(const struct pt_rewriter *r, int value);
/* Does the operator take that type as input 0? */
bool pt_op_takes(const struct pt_op *op, enum pt_dtype t);
int pt_rewriter_probe(struct pt_rewriter *r); /* probe.c: fills types */

static inline int pt_node_in(const struct pt_node *n, int i)
{
    return i < n->input_count ? n->inputs[i] : -1;
}
/* The attribute if it is there with that type, else def. */
int64_t pt_node_int(const struct pt_node *n, const char *name, int64_t def);
/* Has the node that string attribute with another value than one of a and b (either may be NULL)? */
bool pt_node_text_is(const struct pt_node *n, const char *name, const char *def, const char *value);

/* Sets operand i (growing the list with absent ones), counting uses. */
void pt_set_input(struct pt_rewriter *r, int node, int i, int value);
/* Gives the node its own list of attributes with these integers (count -1: one integer) under that name. */
int pt_set_ints(struct pt_rewriter *r, int node, const char *name, const int64_t *v, int count);
/* The node is that operator from now on, without attributes and inputs; its output stays. */
void pt_become(struct pt_rewriter *r, int node, const struct pt_op *op, int version);
int pt_set_float(struct pt_rewriter *r, int node, const char *name, float v);
int pt_set_text(struct pt_rewriter *r, int node, const char *name, const char *v);
/* `node` produces `value` from now on as its output 0 (it was `old`'s output); old dies. */
void pt_take_output(struct pt_rewriter *r, int node, int old);
void pt_kill(struct pt_rewriter *r, int node);
/* Whoever reads `value` reads `other` from now on (a value that is made before its readers). Readers see it when their turn comes. */
void pt_replace(struct pt_rewriter *r, int value, int other);
/* What these operands have become; done for every node when its turn comes. */
void pt_follow_aliases(const struct pt_rewriter *r, int *values, int count);
/* Readers of node's output 0 read `value` instead; the node dies. */
void pt_bypass(struct pt_rewriter *r, int node, int value);
/* A new constant value holding t. */
int pt_add_constant(struct pt_rewriter *r, const struct pt_tensor *t);

#endif
