/* SPDX-License-Identifier: Apache-2.0
 *
 * value.h: values that point to others: strings, sequences, optionals, maps.
 */
#ifndef PT_RUNTIME_EXEC_VALUE_H
#define PT_RUNTIME_EXEC_VALUE_H

#include "runtime/exec/heap.h"
#include "runtime/tensor.h"

static inline bool pt_value_points(enum pt_dtype t)
{
    return t == PT_STRING || pt_is_kind(t);
}
/* *out <- a copy of t with all that it holds, in the heap. */
int pt_value_copy(struct pt_heap *h, const struct pt_tensor *t, struct pt_tensor *out, struct pt_err *err);

#endif
