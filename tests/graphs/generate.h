/* SPDX-License-Identifier: Apache-2.0
 *
 * generate.h: random valid models from a stream of choices, for comparing the optimised runtime with its reference operators.
 *
 * The stream is a seeded generator (random_graphs.c) or the bytes of a fuzzer (tests/fuzz/fuzz_graph.c). A model grows node by node. Nodes come
 * from templates (what real models are made of, and what the rewrites look for) or are any row of the operator table with operands, constants and
 * attributes at random. Each new node is run alone with the reference operators on the values that its operands have; what fails is dropped,
 * so that the model is valid, and the values of every node are known.
 *
 * Two correct programs may round differently, so a node is dropped too if it would make much of that: steps (Floor, comparisons, ArgMax, ...)
 * and poles (Div, Log, ...) apply only where the operand is exact or far enough away from them, and values stay finite and moderate.
 */
#ifndef PT_TESTS_GENERATE_H
#define PT_TESTS_GENERATE_H

#include "tests/unit/runtime/model.h"

#include "base/rand.h"

#define GEN_MAX_VALUES 96
#define GEN_MAX_INPUTS 4

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
    struct pt_tensor t; /* its value */
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
    struct pt_buf lines; /* constants and nodes so far */
};

/* Makes a model with up to so many nodes (hostile as above): g->values[0..input_count) are its inputs, *text the whole of it. Finish g in any case. */
void generate(struct gen *g, struct choices *c, int max_nodes, bool hostile, struct pt_buf *text);
void gen_finish(struct gen *g);

/* --- for templates ---------------------------------------------------------------------------------------------------------------------- */
/* A value of that type and rank (-1: any), made as a constant or found; its name. NULL: there is none. */
struct gen_value *gen_pick(struct gen *g, uint32_t types, int rank);
/* A constant with these dims, values made up. */
struct gen_value *gen_constant(struct gen *g, enum pt_dtype dtype, int rank, const int64_t *dims);
struct gen_value *gen_number(struct gen *g, double v);
struct gen_value *gen_ints(struct gen *g, int count, const int64_t *v);
/* Adds a node if it is valid: `op_and_rest` is "Op(%s,...) attr=..." filled in by the caller; outs: how many outputs. Its output 0, or NULL. */
struct gen_value *gen_node(struct gen *g, int outs, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* templates.c: adds some nodes of a kind chosen at random. */
void gen_template(struct gen *g);

#endif
