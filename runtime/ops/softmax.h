/* SPDX-License-Identifier: Apache-2.0
 *
 * softmax.h: how Softmax, LogSoftmax and Hardmax see their input: outer x n x inner, along n.
 */
#ifndef PT_RUNTIME_OPS_SOFTMAX_H
#define PT_RUNTIME_OPS_SOFTMAX_H

#include "runtime/ops/op.h"

struct pt_softmax_params {
    int64_t outer, n, inner;
};

#endif
