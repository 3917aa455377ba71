/* SPDX-License-Identifier: Apache-2.0
 *
 * widen.h: half precision for operators that are written for float32 and float64 only.
 *
 * A row with PT_OP_WIDEN lists the half types, its `run` never sees them: around it every float16 and bfloat16 operand stands in float32, and the
 * results are rounded once, at the end. The copies lie in the scratch memory, before the operator's own. `infer` sees the operands as they are.
 */
#ifndef PT_RUNTIME_OPS_WIDEN_H
#define PT_RUNTIME_OPS_WIDEN_H

#include "runtime/ops/op.h"

/* Bytes of scratch that pt_widen_run needs beside the operator's own; call after infer. SIZE_MAX when that is no sensible size. */
size_t pt_widen_bytes(const struct pt_op_ctx *c);
/* op->run, on float32 copies where operands are half. */
int pt_widen_run(struct pt_op_ctx *c);

#endif
