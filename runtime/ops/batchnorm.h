/* SPDX-License-Identifier: Apache-2.0
 *
 * batchnorm.h: what BatchNormalization's inference tells the compiler.
 */
#ifndef PT_RUNTIME_OPS_BATCHNORM_H
#define PT_RUNTIME_OPS_BATCHNORM_H

#include "runtime/ops/op.h"

struct pt_batchnorm_params {
    float epsilon, momentum;
    int64_t images, channels, pixels; /* x seen as [images, channels, pixels] */
    bool training;
};

#endif
