/* SPDX-License-Identifier: Apache-2.0
 *
 * table.h: the operators Pintle has, one line each in rows.inc; the row itself stands in the operator's own file.
 */
#ifndef PT_RUNTIME_OPS_TABLE_H
#define PT_RUNTIME_OPS_TABLE_H

#include "runtime/ops/op.h"


#define PT_OP(name) extern const struct pt_op pt_op_##name;
#include "runtime/ops/rows.inc"
#undef PT_OP

#endif
