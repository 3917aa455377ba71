/* SPDX-License-Identifier: Apache-2.0
 *
 * graph.h: a model as nodes over numbered values, every name resolved.
 *
 * Values and nodes are indices; -1 is an operand that is not given. Nodes stand in topological order. A value that is known before any
 * run (initializer, folded constant) has `constant` set; its data are a view of the file or memory of the graph. Rewrites (compile/) change
 * the graph in place: they mark nodes dead and append values, and compile/ drops the dead ones.
 *
 * Bodies: a graph in an attribute (of If, Loop, Scan, SequenceMap, ...) is a graph of its own, found with pt_node_body(). Values of the graph around it
 * that it reads are captures: the node has them as additional inputs behind its own (the last capture_count of inputs), so that order, uses and rewrites
 * see them; the body has them as additional inputs behind its own (inputs[own_input_count..]), and body->captures says at which input of the node
 * each comes in. A capture whose value is a constant is no capture but a constant of the body.
 *
 * Calls of model-local functions are replaced by the function's nodes while the graph is built: nothing behind knows of functions.
 *
 * A graph owns its arena and its constants; it is changed only while a session is being opened and read-only afterwards.
 */
#ifndef PT_RUNTIME_GRAPH_H
#define PT_RUNTIME_GRAPH_H

#include "runtime/onnx/onnx.h"

#include <pthread.h>

struct pt_op;

struct pt_node {
    const struct pt_op *op; /* NULL: Pintle has no such operator */
    int version;            /* opset version of the node's domain */
    struct pt_str name, op_type, domain;
    int *inputs, *outputs;  /* value ids or -1 */
    int input_count, output_count;
    const struct pt_onnx_attr *attrs;
    size_t attr_count;
    void *prepared; /* op->prepare's */
    struct pt_graph **bodies; /* one per attribute that is a graph, in their order */
    int body_count;
    int capture_count;        /* of the inputs, the last ones */
    bool dead;
};

struct pt_value {
    struct pt_str name;
    int producer;                    /* node, or -1: input or constant */
    const struct pt_tensor *constant; /* or NULL */
};

/* Memory of folded constants and aligned copies; freed with its owner. */
struct pt_consts {
    pthread_mutex_t lock;
    struct pt_const_block *blocks;
    uint64_t bytes, cap_bytes;
    struct pt_prepared *prepared; /* what large constants may be found in, and are told to; or NULL (prepared.h) */
};

struct pt_graph {
    struct pt_arena arena;
    struct pt_consts consts;
    struct pt_onnx_model model;
    struct pt_value *values;
    struct pt_node *nodes;
    int value_count, value_room, node_count, node_room;
    int *inputs, *outputs;                        /* value ids; inputs without those that have an initializer, then captures */
    struct pt_value_info *input_info, *output_info; /* input_info: of the own inputs */
    int input_count, own_input_count, output_count;
    int *captures;                                /* of a body: which input of the node each capture is */
    struct pt_graph *first_body, *next_body;      /* every graph made for a node of this one, alive or not; the next of the same parent */
    int index;                                    /* 0: the model's graph, then bodies as they were made */
    int graph_count, node_total;                  /* of the model's graph: with all bodies, at any depth */
    size_t body_bytes;                            /* of the model's graph: what all bodies took to be built */
    struct pt_onnx_files files;
};

struct pt_graph_source {
    const void *model;
    size_t len;
    const char *folder;              /* of external data, or NULL */
    uint64_t const_cap;              /* bounds folded constants */
    const char *const *overridable;  /* names of initializers that shall be inputs, NULL-terminated; or NULL */
};
/* Reads the model into *g (caller's memory; finish it also after a failure). err is not NULL. */
int pt_graph_init(struct pt_graph *g, const struct pt_graph_source *src, struct pt_err *err);
void pt_graph_finish(struct pt_graph *g);
/* The node's body with that attribute name, or NULL. */
struct pt_graph *pt_node_body(const struct pt_node *n, const char *name);
/* Puts the nodes in topological order and sets each value's producer. Names a node of a cycle. */
int pt_graph_sort(struct pt_graph *g, struct pt_err *err);
/* Appends a zeroed node; pointers to nodes are not valid afterwards. Its index, or a negative code. */
int pt_graph_add_node(struct pt_graph *g, struct pt_err *err);
/* Bodies learn which captures have become constants of g. */
void pt_graph_pass_constants(struct pt_graph *g);

/* Every node's operator must be one we have, in a version we know, bodies included; names the first that is not. */
int pt_graph_check_supported(const struct pt_graph *g, struct pt_err *err);

/* --- building blocks for rewrites --------------------------------------------------------------------------------------- */
int pt_graph_add_value(struct pt_graph *g, struct pt_err *err); /* id or negative code */
/* A constant tensor with its own memory (data to be filled by the caller). */
struct pt_tensor *pt_graph_new_tensor(struct pt_graph *g, enum pt_dtype dtype, int rank, const int64_t *dims, struct pt_err *err);
/* The same for what is made of constants (origin: pt_consts_origin): *ready, and it is there already, for reading only; else it is to be filled and
 * told to pt_consts_made. */
struct pt_tensor *pt_graph_make_tensor(struct pt_graph *g, enum pt_dtype dtype, int rank, const int64_t *dims, uint64_t origin, bool *ready,
                                       struct pt_err *err);
void *pt_graph_alloc(struct pt_graph *g, size_t bytes, struct pt_err *err); /* from the arena, zeroed */

/* 64-byte aligned memory that lives as long as the owner; PT_ELIMIT over the cap. Thread-safe. */
void *pt_consts_alloc(struct pt_consts *c, size_t bytes, struct pt_err *err);
/* The same for a constant that rewrites make, always the same ones in the same order. ready: NULL, or it is asked for and may be there. */
void *pt_consts_make(struct pt_consts *c, size_t bytes, uint64_t origin, bool *ready, struct pt_err *err);
void pt_consts_made(struct pt_consts *c, void *data);
/* A hash of what a constant is made of: h, and the weights that lie there. */
uint64_t pt_consts_origin(const struct pt_consts *c, uint64_t h, const void *data);
void pt_consts_init(struct pt_consts *c, uint64_t cap_bytes);
void pt_consts_finish(struct pt_consts *c);

/* "node 'conv1' (Conv)" for messages. */
struct pt_node_text {
    char s[200];
};
struct pt_node_text pt_node_text(const struct pt_node *n);

#endif
