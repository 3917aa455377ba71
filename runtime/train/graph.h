/* SPDX-License-Identifier: Apache-2.0
 *
 * graph.h: the model that training runs, made of the model that is trained.
 */
#ifndef PT_RUNTIME_TRAIN_GRAPH_H
#define PT_RUNTIME_TRAIN_GRAPH_H

#include "runtime/train/train.h"

struct pt_training_graph {
    struct pt_edit e;
    /* Inputs: the model's, then one per weight, one per statistic, then those below. Outputs: loss, scores, one gradient per weight, one per
     * statistic. */
    size_t model_inputs;
    int *weights; /* initializers of the trained model */
    size_t weight_count;
    int *statistics; /* the same: mean and variance of each BatchNormalization that is trained, then what is carried */
    size_t statistic_count;
    int scores_rank;      /* of what the loss reads; -1: unknown */
    struct pt_str scores; /* value: scores before a softmax */
    /* Cross entropy: [N, C], each row the wanted distribution times its share of the loss; MSE: like the output. */
    size_t target_input;
    size_t scale_input;  /* MSE: [], 1 / number of elements */
    size_t soft_input;   /* distillation: [N, C] as target_input */
    size_t hidden_input; /* the first of hidden_count */
    size_t hidden_scale_input;
    size_t dropout_input; /* the first of dropout_count: what the value is multiplied with */
};

/* *g is the caller's; finish it also after a failure. */
int pt_training_graph_make(struct pt_training_graph *g, struct pt_edit *model, const struct pt_train_options *o, struct pt_err *err);
void pt_training_graph_finish(struct pt_training_graph *g);
/* Indices of the initializers that are trained, and of statistics; arrays of room for all initializers. */
int pt_training_weights(struct pt_edit *model, const struct pt_train_options *o, int *weights, size_t *weight_count, int *statistics,
                        size_t *statistic_count, struct pt_err *err);

#endif
