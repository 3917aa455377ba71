/* SPDX-License-Identifier: Apache-2.0
 *
 * optimizer.h: learning rates and steps. Functions of numbers and arrays; nothing of models.
 */
#ifndef PT_RUNTIME_TRAIN_OPTIMIZER_H
#define PT_RUNTIME_TRAIN_OPTIMIZER_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pt_schedule_kind {
    PT_RATE_CONSTANT,
    PT_RATE_STEP,        /* times gamma every `every` epochs */
    PT_RATE_EXPONENTIAL, /* times gamma every epoch */
    PT_RATE_COSINE,      /* from 1 to `floor` along half a cosine (Loshchilov & Hutter 2017, without restarts) */
    PT_RATE_POLYNOMIAL,  /* floor + (1 - floor) (1 - t)^power */
    PT_RATE_PLATEAU      /* times gamma after `every` epochs without a better held-out loss */
};
struct pt_schedule {
    enum pt_schedule_kind kind;
    double gamma, floor, power;
    int64_t every;
    int64_t warmup_steps; /* the rate rises in a line from 0 during the first steps */
};
/* Factor of the learning rate at `step` (from 0) of `steps`, in epoch `epoch`; plateaus: times that the loss has stalled so far. */
double pt_schedule_factor(const struct pt_schedule *s, int64_t step, int64_t steps, int64_t epoch, int64_t plateaus);

/* Names the number that its kind cannot work with. */
int pt_schedule_check(const struct pt_schedule *s, struct pt_err *err);

enum pt_optimizer_kind {
    PT_SGD,  /* v = momentum v + g; w -= rate (nesterov ? g + momentum v : v) */
    PT_ADAMW /* Loshchilov & Hutter 2019 */
};
struct pt_optimizer_options {
    enum pt_optimizer_kind kind;
    float rate, momentum;
    bool nesterov;
    float beta1, beta2, epsilon; /* 0: 0.9, 0.999, 1e-8 */
    float weight_decay;          /* L2, decoupled: w -= rate * weight_decay * w. Of matrices and kernels only, as the next two */
    float l1;                    /* g += l1 sign(w) */
    float group_lasso;           /* g += group_lasso w / |w_c|, per output channel c (axis 0) (Yuan & Lin 2006) */
    float clip_norm;             /* gradients are scaled so that their norm over all weights is at most this; 0: not */
};
int pt_optimizer_check(const struct pt_optimizer_options *o, struct pt_err *err);

/* One array of weights. state: 2 * count floats, zero at first. */
struct pt_parameter {
    float *w, *g, *state;
    const uint8_t *keep;    /* or NULL; w and state are made 0 where it is 0 */
    size_t count, channels; /* channels: of axis 0 */
    bool matrix;            /* rank 2 and more */
};
/* Norm of all gradients; NaN or infinite when one of them is. */
double pt_gradient_norm(const struct pt_parameter *p, size_t count);
/* Step number `step` (from 0) with the learning rate `rate`; norm as above. Changes g. */
void pt_optimizer_step(const struct pt_optimizer_options *o, struct pt_parameter *p, size_t count, int64_t step, double rate, double norm);

#endif
