/* SPDX-License-Identifier: Apache-2.0
 *
 * spread.h: what the inference of a reduction's derivative tells the compiler.
 */
#ifndef PT_RUNTIME_TRAIN_SPREAD_H
#define PT_RUNTIME_TRAIN_SPREAD_H

#include "runtime/ops/op.h"

struct pt_spread {
    struct pt_tensor kept; /* dy with the axes it lost as 1 */
    double factor;
};

#endif
