/* SPDX-License-Identifier: Apache-2.0
 *
 * binary.h: how the second of two operands broadcasts. Before opset 7 the attributes `broadcast` and `axis` place it; that becomes dims, and
 * nothing further down knows of it.
 */
#ifndef PT_RUNTIME_OPS_BINARY_H
#define PT_RUNTIME_OPS_BINARY_H

#include "runtime/ops/op.h"

struct pt_binary_dims {
    int rank;
    int64_t dims[PT_MAX_RANK];
};
/* Fills b and sets output 0's shape; its type is out, or that of input 0 with PT_UNDEFINED. */
int pt_binary_infer(struct pt_op_ctx *c, struct pt_binary_dims *b, enum pt_dtype out);
/* Input 1 with these dims. */
struct pt_tensor pt_binary_second(const struct pt_op_ctx *c, const struct pt_binary_dims *b);

#endif
