/* SPDX-License-Identifier: Apache-2.0
 *
 * layernorm.h: what the inference of LayerNormalization and RMSNormalization tells the compiler.
 */
#ifndef PT_RUNTIME_OPS_LAYERNORM_H
#define PT_RUNTIME_OPS_LAYERNORM_H

#include "runtime/ops/op.h"

struct pt_layernorm_params {
    float epsilon;
    int64_t rows, n;
    bool rms;
};

#endif
