/* SPDX-License-Identifier: Apache-2.0
 *
 * rnn.h: RNN, GRU and LSTM as one machine with three cells.
 *
 * All elements of the input are multiplied with W at once, before the first step; a step multiplies the state with R and applies the cell. Steps walk
 * the whole batch. A sequence that is shorter than the others keeps its state and gives zeros after its end, and walked backwards starts at its own
 * end. Directions are independent of each other and run side by side.
 */
#ifndef PT_RUNTIME_OPS_RNN_H
#define PT_RUNTIME_OPS_RNN_H

#include "runtime/ops/op.h"

#define PT_RNN_ACTS 3 /* activations of a direction, at most */

enum pt_rnn_kind { PT_RNN_PLAIN, PT_RNN_GRU, PT_RNN_LSTM };
enum pt_rnn_input { PT_RNN_X, PT_RNN_W, PT_RNN_R, PT_RNN_B, PT_RNN_LENGTHS, PT_RNN_H0, PT_RNN_C0, PT_RNN_P };

#define PT_RNN_ACT_KINDS(X)                                                                                                                          \
    X(RELU, "Relu", 0, 0)                                                                                                                            \
    X(TANH, "Tanh", 0, 0)                                                                                                                            \
    X(SIGMOID, "Sigmoid", 0, 0)                                                                                                                      \
    X(AFFINE, "Affine", 1, 0)                                                                                                                        \
    X(LEAKY_RELU, "LeakyRelu", 0.01f, 0)                                                                                                             \
    X(THRESHOLDED_RELU, "ThresholdedRelu", 1, 0)                                                                                                     \
    X(SCALED_TANH, "ScaledTanh", 1, 1)                                                                                                               \
    X(HARD_SIGMOID, "HardSigmoid", 0.2f, 0.5f)                                                                                                       \
    X(ELU, "Elu", 1, 0)                                                                                                                              \
    X(SOFTSIGN, "Softsign", 0, 0)                                                                                                                    \
    X(SOFTPLUS, "Softplus", 0, 0)
#define PT_X(id, name, alpha, beta) PT_RNN_##id,
enum pt_rnn_act_kind { PT_RNN_ACT_KINDS(PT_X) PT_RNN_ACT_COUNT };
#undef PT_X

struct pt_rnn_act {
    enum pt_rnn_act_kind kind;
    float alpha, beta;
};

struct pt_rnn {
    enum pt_rnn_kind kind;
    int64_t length, batch, input, hidden, gates, directions;
    bool reverse; /* of a single direction */
    int64_t batch_first, linear_before_reset, input_forget;
    float clip; /* infinity: none */
    struct pt_rnn_act acts[2 * PT_RNN_ACTS];
    int act_count; /* of a direction */
};

/* Bytes that a run needs; SIZE_MAX when too many. Elements of `size` bytes. */
size_t pt_rnn_scratch(const struct pt_rnn *p, enum pt_dtype dtype);
/* c->params is the struct pt_rnn. */
int pt_rnn_run(struct pt_op_ctx *c);

#endif
