/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize_plan.h: inside of quantisation: what could be quantised, what is, and the ranges of values.
 *
 * A plan is made once for a prepared model (quantize_prepare.c) and its values are calibrated once. What of it is quantised is then a question of
 * which nodes are switched off: pt_qz_resolve() answers it, pt_qz_apply() writes a model. So the gate tries many sets without running anything
 * again but its judge.
 *
 * Products (Conv, Gemm, MatMul with constant weights) are quantised for their own sake. Everything else in the table is so only between them: its
 * operands come from quantised nodes and somebody wants its result as integers. Elsewhere it would cost two roundings and gain nothing.
 */
#ifndef PT_RUNTIME_COMPRESS_QUANTIZE_PLAN_H
#define PT_RUNTIME_COMPRESS_QUANTIZE_PLAN_H

#include "runtime/compress/quantize.h"

enum pt_qz_kind {
    PT_QZ_PRODUCT,   /* of an activation and weights, with a bias perhaps */
    PT_QZ_POINTWISE, /* of one or more activations; the result has a range of its own */
    PT_QZ_MOVE,      /* the result's elements are the first operand's, or some of them */
    PT_QZ_BOUND,     /* Relu, Clip: done by saturation where it follows a quantised node */
    PT_QZ_STORED     /* only its weights can be integers: PT_QUANTIZE_WEIGHTS */
};
struct pt_qz_op {
    const char *op;
    enum pt_qz_kind kind;
    int weight, bias;             /* operands; 0: none (of Gather it is operand 0) */
    int operands;                 /* POINTWISE: how many; 0: all */
    const char *integer, *domain; /* the operator on integers, for PT_FORM_OPERATORS; NULL: none */
    bool rounds;                  /* PRODUCT: its integer form gives integers only, so its result is rounded whoever reads it */
};
const struct pt_qz_op *pt_qz_op_find(const struct pt_onnx_node *n);

/* A constant operand that is a product's weights. */
struct pt_qz_weight {
    int initializer;
    int channel, summed; /* axes; channel -1: none */
};
/* False with the reason when it cannot be quantised. */
bool pt_qz_weight_of(struct pt_edit *e, const struct pt_onnx_node *n, const struct pt_qz_op *row, struct pt_qz_weight *w, const char **why);

struct pt_qz_value {
    struct pt_str name;
    struct pt_observer seen;
    struct pt_range range;
    struct pt_grid grid;
    int same_as; /* the value whose elements it has, or -1 */
    bool made;   /* by a quantised node, as integers: as resolved */
    bool used;   /* by this plan as resolved */
};
struct pt_qz_node {
    const struct pt_qz_op *row; /* NULL: not of the table */
    struct pt_qz_weight weight;
    enum pt_layer_state state; /* PT_LAYER_QUANTISED here: it could be */
    const char *why;
    int bound;                       /* the Relu or Clip that is done with it, or -1 */
    int bounds;                      /* the node that this Relu or Clip is done with, or -1 */
    struct pt_str out;               /* its result, behind the bound */
    bool reached, quantised, rounds; /* as resolved; rounds: its result is made integers */
};
struct pt_qz_plan {
    struct pt_edit *e;
    const struct pt_quantize_options *o;
    struct pt_qz_node *nodes;
    struct pt_qz_value *values;
    size_t node_count, value_count, value_room;
    struct pt_map index; /* name -> 1 + index of the value, as a pointer */
};

/* --- quantize_prepare.c ----------------------------------------------------------------------------------------------------- */
/* Errors for a model that is quantised already. Brings it to the operator set; Identity and transposed weights go, BatchNormalization moves into
 * convolutions, Gemm is alpha = beta = 1 (and, for plain products of integers, without transB). */
int pt_qz_prepare(struct pt_edit *e, const struct pt_quantize_options *o, struct pt_err *err);

/* --- quantize_plan.c -------------------------------------------------------------------------------------------------------- */
int pt_qz_plan_make(struct pt_qz_plan *p, struct pt_edit *e, const struct pt_quantize_options *o, struct pt_err *err);
void pt_qz_plan_finish(struct pt_qz_plan *p);
/* off (or NULL): nodes that stay floats. How many products are quantised. */
size_t pt_qz_resolve(struct pt_qz_plan *p, const bool *off);
int pt_qz_calibrate(struct pt_qz_plan *p, const struct pt_data *d, int64_t *samples, struct pt_err *err);
/* Grids of the values' ranges. */
void pt_qz_set_grids(struct pt_qz_plan *p);
/* Index of the value, or -1. */
int pt_qz_value_of(const struct pt_qz_plan *p, struct pt_str name);
/* Samples of a batch for the model: its fixed first dim, or `wanted` (0: 8). */
int64_t pt_qz_batch(const struct pt_session *s, int64_t wanted, bool *fixed);
int pt_qz_report_progress(const struct pt_quantize_options *o, const char *stage, int64_t done, int64_t total, struct pt_str node,
                          struct pt_err *err);

/* --- quantize_weight.c ------------------------------------------------------------------------------------------------------- */
/* Integers of a tensor: one grid, one for each entry of `axis`, or one for each block along it. */
struct pt_qz_array {
    int8_t *q; /* one per element, also of 4 bits; unsigned ones as their bits */
    float *scale;
    int32_t *zero;
    size_t grids;
    double sqnr; /* dB */
};
/* axis -1: one grid. floor (or NULL): least scale of each grid of the axis. */
int pt_qz_array_make(const struct pt_tensor *t, int axis, int64_t block, enum pt_dtype dtype, int bits, bool symmetric, const float *floor,
                     struct pt_qz_array *out, struct pt_err *err);
void pt_qz_array_finish(struct pt_qz_array *a);

/* --- quantize_apply.c, quantize_dynamic.c, quantize_stored.c ------------------------------------------------------------------ */
/* Ranges of activations in training: ends of each value that is no other's, the low one first, in the order of the values. */
struct pt_qz_follow {
    struct pt_train_carry *carries; /* room for two a value */
    size_t count;
};
/* out: a pt_edit_copy() of the plan's model. follow: for training, weights and biases stay floats that are rounded on the way, and ranges follow what
 * is seen; else NULL. layers: one per node, written to where the node is of the table; may be NULL. */
int pt_qz_apply(const struct pt_qz_plan *p, struct pt_edit *out, struct pt_qz_follow *follow, struct pt_quantize_layer *layers, struct pt_err *err);
int pt_qz_dynamic(const struct pt_qz_plan *p, struct pt_edit *e, struct pt_quantize_layer *layers, struct pt_err *err);
int pt_qz_stored(const struct pt_qz_plan *p, struct pt_edit *e, struct pt_quantize_layer *layers, struct pt_err *err);

#endif
