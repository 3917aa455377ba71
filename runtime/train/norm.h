/* SPDX-License-Identifier: Apache-2.0
 *
 * norm.h: what the inference of the derivatives of normalisations and of softmax tells the compiler.
 */
#ifndef PT_RUNTIME_TRAIN_NORM_H
#define PT_RUNTIME_TRAIN_NORM_H

#include "runtime/ops/op.h"

struct pt_norm_grad {
    float epsilon;
    bool given; /* mean and variance are operands */
    /* BatchNormalization: images, pixels, channels; LayerNormalization: rows, width; softmax: rows before and behind the axis, and its length */
    int64_t outer, inner, count;
};

#endif
