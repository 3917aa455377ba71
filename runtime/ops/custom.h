/* SPDX-License-Identifier: Apache-2.0
 *
 * custom.h: operators that a program registers (pintle/runtime.h), as rows like all others.
 */
#ifndef PT_RUNTIME_OPS_CUSTOM_H
#define PT_RUNTIME_OPS_CUSTOM_H

#include "runtime/ops/op.h"

/* The registered row in force at that version, or NULL; *since as in pt_op_find. */
const struct pt_op *pt_custom_find(struct pt_str domain, struct pt_str type, int64_t version, int *since);

bool pt_custom_any(void); /* is any registered? */

#endif
