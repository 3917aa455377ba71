/* SPDX-License-Identifier: Apache-2.0
 *
 * quant.h: what operators on quantised integers share. A quantised value q stands for scale * (q - zero point).
 *
 * Scales and zero points are operands: one value for the tensor, or one per channel. Results are exact: integer sums modulo 2^32, one
 * multiplication by the quotient of the scales in float, rounding half to even, saturation.
 */
#ifndef PT_RUNTIME_OPS_QUANT_H
#define PT_RUNTIME_OPS_QUANT_H

#include "runtime/ops/op.h"

#include <math.h>

#define PT_TS_8BIT (PT_T(PT_INT8) | PT_T(PT_UINT8))
#define PT_TS_16BIT (PT_T(PT_INT16) | PT_T(PT_UINT16))
#define PT_TS_SCALE (PT_T(PT_FLOAT) | PT_TS_HALF)

/* Input i, if given, has one of the types. */
int pt_quant_type(struct pt_op_ctx *c, int i, const char *what, uint32_t types);
/* Fails unless input i is given: for operators with optional operands before required ones. */
int pt_quant_needs(struct pt_op_ctx *c, int i, const char *what);
/* Scale and zero point (either index -1: the operator has none) for data of that type: each one value or `channels` of them. */
int pt_quant_params(struct pt_op_ctx *c, int scale, int zero, enum pt_dtype type, int64_t channels);

/* Value i of a scale or zero point, where one value serves for all; 1 and 0 where the operand is not given. */
static inline float pt_quant_scale(const struct pt_tensor *t, int64_t i)
{
    return t ? (float)pt_elem_f64(t, pt_tensor_count(t) == 1 ? 0 : i) : 1;
}
static inline int32_t pt_quant_zero(const struct pt_tensor *t, int64_t i)
{
    return t ? (int32_t)pt_elem_i64(t, pt_tensor_count(t) == 1 ? 0 : i) : 0;
}

/* The range of an integer type of 8 or 16 bits. */
static inline void pt_quant_range(enum pt_dtype t, int32_t *lo, int32_t *hi)
{
    bool is_signed = t == PT_INT8 || t == PT_INT16;
    int32_t span = t == PT_INT8 || t == PT_UINT8 ? 256 : 65536;
    *lo = is_signed ? -span / 2 : 0;
    *hi = *lo + span - 1;
}
/* round(v) + zero, saturated and stored as element i of y. NaN becomes the lowest. */
void pt_quant_put(struct pt_tensor *y, int64_t i, float v, int32_t zero);

/* Which elements of operand 0 of QuantizeLinear and DequantizeLinear share an entry of the scale (operand 1) and the zero point (2). */
struct pt_quant_grid {
    int64_t n, inner;       /* along the axis and inside it */
    int64_t block, entries; /* elements of the axis that share an entry; entries along it. 0 entries: one for all */
    bool outer;             /* entries differ outside and inside the axis too */
};
/* From the attributes and operands 0 to 2. */
int pt_quant_grid_read(struct pt_op_ctx *c, struct pt_quant_grid *p);
/* Scale and zero point of element `at`; how many elements of [at, end) share them with it. */
int64_t pt_quant_grid_at(const struct pt_op_ctx *c, const struct pt_quant_grid *p, int64_t at, int64_t end, float *scale, float *zero);

/* n elements from `at` on, as floats. */
void pt_dequantise(const struct pt_tensor *q, int64_t at, int64_t n, float scale, int32_t zero, float *out);

/* The scale and zero point that make the range of x, widened to hold 0, a uint8. */
void pt_quant_measure(const float *x, int64_t n, float *scale, int32_t *zero);

/* y[m][n] = sum over k of (a[m][k] - a_zero) (b[k][n] - b_zero), modulo 2^32; a and b 8 or 16 bits. */
struct pt_int_product {
    int64_t m, n, k;
    int64_t a_row, a_col, b_row, b_col; /* strides in elements */
    enum pt_dtype a_type, b_type;
    const void *a, *b;
    const struct pt_tensor *a_zero, *b_zero; /* one value, or one per row of a and column of b starting at element *_zero_at; NULL: 0 */
    int64_t a_zero_at, b_zero_at;
    int32_t *y;
};
void pt_int_product(const struct pt_int_product *p, struct pt_threads *threads);

#endif
