/* SPDX-License-Identifier: Apache-2.0
 *
 * transpose.h: the permutation of a Transpose node, for the compiler.
 */
#ifndef PT_RUNTIME_OPS_TRANSPOSE_H
#define PT_RUNTIME_OPS_TRANSPOSE_H

#include "runtime/ops/op.h"

struct pt_transpose_params {
    int perm[PT_MAX_RANK];
};

#endif
