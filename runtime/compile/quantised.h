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

/* --- what the rewrites to operators on integers share (rewrite_qlinear.c) ----------------------------------------------------------------- */
#define PT_EIGHT_BITS (PT_T(PT_INT8) | PT_T(PT_UINT8))

/* A quantised operand: value, scale, zero point, as the operators on integers take them. */
struct pt_quantised {
    int value, scale, zero;
};
/* The DequantizeLinear that makes number `value` of 8-bit integers by one scale and zero point, which are known; NULL: it is not so. */
const struct pt_node *pt_dequantised(const struct pt_rewriter *r, int value, enum pt_dtype *dtype);
/* The operand behind it; the zero point is made when the node has none. */
int pt_take_quantised(struct pt_rewriter *r, const struct pt_node *dq, enum pt_dtype dtype, struct pt_quantised *q);
/* The same for weights: constant integers of 8 bits with one scale and zero point, or one for each index of that axis. */
const struct pt_node *pt_quantised_weights(const struct pt_rewriter *r, int value, int axis);
/* A zero point of 0 for each scale. */
int pt_zeros_like(struct pt_rewriter *r, const struct pt_tensor *scale, enum pt_dtype dtype);
/* The integers behind a bias that counts in steps of x's scale times w's, as quantisers write it: they are taken as they are. -1: it is not so. */
int pt_integer_bias(const struct pt_rewriter *r, int value, const struct pt_tensor *x_scale, const struct pt_tensor *w_scale, int64_t n);
/* Node q takes operands and operator over from `node`, which it follows or is, with its attributes. */
int pt_become_like(struct pt_rewriter *r, int q, int node, const struct pt_op *op, int version, const int *operands, int count);
/* rewrite_qproduct.c: `node` is a MatMul or Gemm whose result QuantizeLinear q makes y of. */
int pt_rewrite_product(struct pt_rewriter *r, int q, int node, const struct pt_quantised *y);

#endif
