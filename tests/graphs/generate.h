/* SPDX-License-Identifier: Apache-2.0
 *
 * generate.h: random valid models from a stream of choices, for comparing the optimised runtime with its reference operators.
 *
 * The stream is a seeded generator (random_graphs.c) or the bytes of a fuzzer (tests/fuzz/fuzz_graph.c). A model grows node by node. Nodes come
 * from templates (what real models are made of, and what the rewrites look for: layers.c, patterns.c, quantised.c), are nodes with graphs inside and
 * calls of functions (bodies.c), or are any row of the operator table with operands, constants and attributes at random. Each new node is run
 * alone with the reference operators on the values that its operands have; what fails is dropped, so that the model is valid, and the values of
 * every node are known.
 *
 * Two correct programs may round differently. So every value knows whether it depends on rounding (nodes.c: arithmetic on few bits does not), and
 * steps (Floor, comparisons, ArgMax, ...) and poles (Div, Log, ...) apply only where the operand does not, or is far enough away from them; values
 * stay finite and moderate. What rounding is magnified nevertheless is for noise.h to tell.
 */
#ifndef PT_TESTS_GENERATE_H
#define PT_TESTS_GENERATE_H

#include "tests/unit/runtime/model.h"

#include "base/rand.h"

#define GEN_MAX_VALUES 256
#define GEN_MAX_INPUTS 4
#define GEN_MAX_ELEMENTS 1024
#define GEN_MAX_DEPTH 3

/* Choices: from bytes, or without them from rand. */
struct choices {
    const uint8_t *bytes;
    size_t len, at;
    struct pt_rand rand;
};
/* In [0, n). */
uint32_t choose(struct choices *c, uint32_t n);
bool choices_left(const struct choices *c);

struct gen_value {
    char name[16];
    struct pt_tensor t; /* its value; data NULL: out of sight, in a body that is done */
    bool inexact;       /* depends on rounding */
    bool constant;
    int reads;
};

struct gen {
    struct choices *c;
    struct gen_value values[GEN_MAX_VALUES];
    int value_count, input_count; /* the first input_count values are the model's inputs */
    int names;
    int opset;
    bool hostile; /* attributes and constants may be extreme; what they are refused for is not looked at */
    bool daring;  /* steps may follow rounding: for templates that quantise */
    bool in_function;
    int depth;               /* of bodies around the next node */
    int first;               /* values before it are out of sight: those of whoever calls a function */
    struct pt_buf lines;     /* constants and nodes so far, of the innermost body */
    struct pt_buf functions; /* all of them */
    struct pt_buf graphs;    /* those of the next node */
    char mistake[160];       /* a body that does not give what its nodes do; "" */
};

/* Makes a model with up to so many nodes (hostile as above): g->values[0..input_count) are its inputs, *text the whole of it. Finish g in any case.
 */
void generate(struct gen *g, struct choices *c, int max_nodes, bool hostile, struct pt_buf *text);
void gen_finish(struct gen *g);

/* --- values.c ---------------------------------------------------------------------------------------------------------------------------- */
/* A value of that type and rank (-1: any), found; NULL: there is none. */
struct gen_value *gen_pick(struct gen *g, uint32_t types, int rank);
/* A constant with these dims, values made up. */
struct gen_value *gen_constant(struct gen *g, enum pt_dtype dtype, int rank, const int64_t *dims);
/* The same with bytes from the whole range. */
struct gen_value *gen_bytes(struct gen *g, enum pt_dtype dtype, int rank, const int64_t *dims);
struct gen_value *gen_number(struct gen *g, double v);
struct gen_value *gen_integer(struct gen *g, enum pt_dtype dtype, int64_t v);
struct gen_value *gen_ints(struct gen *g, int count, const int64_t *v);
struct gen_value *gen_floats(struct gen *g, int count, const float *v);
/* A value of its own with what t has, for an input of the model or of a body. NULL: too many or too large. */
struct gen_value *gen_copy(struct gen *g, const struct pt_tensor *t, bool inexact);
struct gen_value *gen_input(struct gen *g, enum pt_dtype dtype, int rank, const int64_t *dims);
void gen_hide(struct gen_value *v);
enum pt_dtype gen_type_in(struct gen *g, uint32_t mask);
int64_t gen_extreme(struct gen *g);
const char *gen_type_name(enum pt_dtype t); /* as the text of a model has it; NULL: none */
void gen_put_type(struct pt_buf *b, const struct pt_tensor *t, uint32_t free_dims);
void gen_put_constant(struct pt_buf *b, const struct gen_value *v);

/* --- nodes.c ------------------------------------------------------------------------------------------------------------------------------ */
/* Adds a node if it is valid: "Op(x,...) attr=...", with g->graphs before it; outs: how many outputs. Its output 0 (the others follow), or NULL. */
struct gen_value *gen_node(struct gen *g, int outs, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The results of such an operator are its operands, whole or in part. */
bool gen_only_moves(const char *op, size_t len);
bool gen_is_real(const struct pt_tensor *t);

/* --- kinds of nodes; each adds some, or none -------------------------------------------------------------------------------------------------- */
void gen_grow(struct gen *g); /* any kind at all */
void gen_layers(struct gen *g);
void gen_patterns(struct gen *g);
void gen_quantised(struct gen *g);
void gen_bodies(struct gen *g);

#endif
