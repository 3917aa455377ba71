/* SPDX-License-Identifier: Apache-2.0
 *
 * train.h: training of a model that is being changed: fine-tuning after pruning, distillation, training from random weights.
 *
 * The model becomes a training graph (train/graph.c): its weights turn into inputs, a loss is put behind its first output, and a Gradient node gives
 * the derivatives; that is compiled and run as any model. What happens between two runs - the optimizer, masks, schedules - is arithmetic on arrays
 * here. Everything random comes from `seed` and the number of the step, so that a run that was killed and resumed gives the bits of one that was not.
 * The number of threads does not matter either: sums are cut by shapes alone (train/lower.h). Another instruction set rounds otherwise.
 */
#ifndef PT_RUNTIME_TRAIN_TRAIN_H
#define PT_RUNTIME_TRAIN_TRAIN_H

#include "runtime/compress/data.h"
#include "runtime/compress/edit.h"
#include "runtime/train/optimizer.h"

enum pt_loss {
    PT_LOSS_CROSS_ENTROPY, /* labels: int64 classes [N]; the first output: scores [N, C], or their softmax, which is looked through */
    PT_LOSS_MSE            /* labels: float32, shaped as the first output; mean over all elements */
};

/* Knowledge distillation: loss = (1 - hardness) * loss of the labels + hardness * T^2 KL(softmax(teacher / T) || softmax(student / T)) (Hinton et
 * al., "Distilling the Knowledge in a Neural Network", 2015), plus hidden_weight * the mean squared difference of each pair of hidden values. */
struct pt_distillation {
    struct pt_edit *teacher; /* takes the same inputs; NULL: none */
    float temperature, hardness;
    const struct pt_str *student_hidden, *teacher_hidden; /* values of one shape */
    size_t hidden_count;
    float hidden_weight;
};

/* Weights that stay zero: keep[i] == 0. */
struct pt_train_mask {
    struct pt_str name; /* initializer */
    uint8_t *keep;      /* one per element; may be changed by after_step */
};

struct pt_train_point {
    int64_t epoch, step;                     /* done so far */
    double rate, loss, accuracy;             /* of the training data, over the epoch; accuracy is NaN with PT_LOSS_MSE */
    double held_out_loss, held_out_accuracy; /* NaN without held-out data */
    double seconds;                          /* of this process, since it began or resumed */
};

/* A running figure that the model computes itself: behind every step the initializer takes what the value was in it. Both of one shape. */
struct pt_train_carry {
    struct pt_str initializer, value;
};

struct pt_train_progress {
    struct pt_train_point now;
    int64_t epochs, steps; /* in all */
    bool epoch_ended;      /* now.held_out_* are new */
};

struct pt_train_options {
    enum pt_loss loss;
    float label_smoothing; /* PT_LOSS_CROSS_ENTROPY: this much of a label is spread over all classes */
    struct pt_distillation distill;
    struct pt_optimizer_options optimizer;
    struct pt_schedule schedule;
    int64_t batch_size, epochs;
    uint64_t seed;
    float dropout; /* of the inputs of `dropout_at`, each a value of the model */
    const struct pt_str *dropout_at;
    size_t dropout_count;
    int64_t shift; /* images are moved by up to so many pixels each time they are seen (train/augment.h) */
    bool frozen_batchnorm;       /* BatchNormalization keeps its mean and variance; else those of the batch are used and the running ones follow */
    const struct pt_str *frozen; /* initializers that are not trained */
    size_t frozen_count;
    const struct pt_train_carry *carries;
    size_t carry_count;
    int64_t patience; /* stops after so many epochs without a better held-out loss, with the best weights; 0: never */
    struct pt_train_mask *masks;
    size_t mask_count;
    /* Called behind every step, after masks; weights of the model are the edit's initializers. May change masks. Non-zero ends the training with it.
     */
    int (*after_step)(void *arg, const struct pt_train_progress *p, struct pt_err *err);
    void *after_step_arg;
    int (*progress)(void *arg, const struct pt_train_progress *p); /* non-zero stops, as if the epochs were over; PT_ECANCELED */
    void *progress_arg;
    const char *checkpoint;     /* file; written every checkpoint_steps and at the end of each epoch, read if it is there; NULL: none */
    int64_t checkpoint_steps;   /* 0: at the end of epochs only */
    struct pt_threads *threads; /* NULL: made */
};

struct pt_train_result {
    struct pt_train_point *points; /* one per epoch; pt_free() */
    size_t count;
    bool stopped_early;
    int64_t resumed_at; /* step; 0: from the start */
};

/* Trains the model in place. On a failure its weights are what they were before the call. Errors name the node without a derivative, a loss that is
 * not a number (step, batch), labels out of range. held_out may be NULL. */
int pt_train(struct pt_edit *model, const struct pt_data *train, const struct pt_data *held_out, const struct pt_train_options *o,
             struct pt_train_result *out, struct pt_err *err);

/* Names of the initializers that pt_train would train, in order; the list is the edit's. */
int pt_train_parameters(struct pt_edit *model, const struct pt_train_options *o, struct pt_str **names, size_t *count, struct pt_err *err);
/* New values for all of them: matrices and kernels from N(0, 2 / fan_in) (He et al. 2015), vectors: scales 1, others 0. Statistics of
 * BatchNormalization: mean 0, variance 1. */
int pt_train_reset(struct pt_edit *model, uint64_t seed, struct pt_err *err);

#endif
