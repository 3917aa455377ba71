/* SPDX-License-Identifier: Apache-2.0
 *
 * quantised.h: QuantizeLinear and DequantizeLinear as the rewrites see them.
 */
#ifndef PT_RUNTIME_QUANTISED_H
#define PT_RUNTIME_QUANTISED_H

#include "runtime/compile/rewrite.h"

/* What makes an integer of a number, or a number of it: one scale and zero point, which are known. */
struct pt_ends {
    const struct pt_tensor *scale, *zero; /* zero: NULL is 0 */
    enum pt_dtype dtype;                  /* of the integers, 8 or 16 bits */
};
/* The node's; false when they are not so, or its numbers are not float32. */
bool pt_read_ends(const struct pt_rewriter *r, const struct pt_node *n, struct pt_ends *e);

static inline int64_t pt_ends_zero(const struct pt_ends *e)
{
    return e->zero ? pt_elem_i64(e->zero, 0) : 0;
}

#endif
