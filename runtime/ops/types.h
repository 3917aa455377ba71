/* SPDX-License-Identifier: Apache-2.0
 *
 * types.h: every element type of ONNX as numbers. Elements are read and written in blocks through one of three carriers (float, double, int64), so
 * that an operator needs a loop per carrier and not one per type:
 *
 *     float block[PT_BLOCK];
 *     pt_load_f32(x, at, n, block);  ... compute ...  pt_store_f32(y, at, n, block);
 *
 * An operator that computes in float and double needs not even that: with the flag PT_OP_WIDEN in its row its run never sees float16 and
 * bfloat16 (ops/widen.h). Types below 8 bits are packed, the low bits first.
 */
#ifndef PT_RUNTIME_OPS_TYPES_H
#define PT_RUNTIME_OPS_TYPES_H

#include "runtime/ops/op.h"

#define PT_BLOCK 256 /* elements; what operators hold on the stack at a time */

enum pt_kind { PT_KIND_NONE, PT_KIND_SIGNED, PT_KIND_UNSIGNED, PT_KIND_BOOL, PT_KIND_FLOAT, PT_KIND_COMPLEX, PT_KIND_STRING };
enum pt_kind pt_dtype_kind(enum pt_dtype t);

#define PT_TS_F8 (PT_T(PT_FLOAT8E4M3FN) | PT_T(PT_FLOAT8E4M3FNUZ) | PT_T(PT_FLOAT8E5M2) | PT_T(PT_FLOAT8E5M2FNUZ) | PT_T(PT_FLOAT8E8M0))
#define PT_TS_PACKED (PT_T(PT_INT4) | PT_T(PT_UINT4) | PT_T(PT_FLOAT4E2M1) | PT_T(PT_INT2) | PT_T(PT_UINT2))
#define PT_TS_COMPLEX (PT_T(PT_COMPLEX64) | PT_T(PT_COMPLEX128))
#define PT_TS_STRING PT_T(PT_STRING)
#define PT_TS_BYTES (PT_TS_FIXED | PT_TS_F8 | PT_TS_COMPLEX | PT_TS_STRING) /* whole bytes: pt_dtype_size() bytes are one element */
#define PT_TS_ANY (PT_TS_BYTES | PT_TS_PACKED)

/* Rounding of what does not fit the target; only Cast and the quantisers ask for something else than the default. */
enum pt_round { PT_ROUND_NEAREST, PT_ROUND_UP, PT_ROUND_DOWN };
struct pt_rounding {
    bool overflow;      /* false: out of range becomes the largest value of fp8; true: infinity or, without one, NaN */
    enum pt_round e8m0; /* of PT_FLOAT8E8M0 */
};

/* Elements [at, at + n) of t as numbers. Strings and complex numbers have none: NaN and 0. int64 carries unsigned 64-bit values modulo 2^64. */
void pt_load_f32(const struct pt_tensor *t, int64_t at, int64_t n, float *y);
void pt_load_f64(const struct pt_tensor *t, int64_t at, int64_t n, double *y);
void pt_load_i64(const struct pt_tensor *t, int64_t at, int64_t n, int64_t *y);
/* The reverse. To floats: round half to even; to integers: towards zero, out of range as x86 does; integers keep the low bits. bool: anything but 0 is true. */
void pt_store_f32(struct pt_tensor *t, int64_t at, int64_t n, const float *x);
void pt_store_f64(struct pt_tensor *t, int64_t at, int64_t n, const double *x);
void pt_store_i64(struct pt_tensor *t, int64_t at, int64_t n, const int64_t *x);
void pt_store_f64_rounding(struct pt_tensor *t, int64_t at, int64_t n, const double *x, struct pt_rounding how);
void pt_store_i64_rounding(struct pt_tensor *t, int64_t at, int64_t n, const int64_t *x, struct pt_rounding how);

/* One element; as the blocks, with strings and complex numbers moved as they are when both have the same type. */
void pt_copy_elem(struct pt_tensor *y, int64_t to, const struct pt_tensor *x, int64_t from);
/* y[i] = x[i * step], n elements of `size` bytes. */
void pt_copy_row(void *y, const void *x, int64_t n, int64_t step, size_t size);
/* The bits of an element of 64 bits or fewer. */
uint64_t pt_get_bits(const struct pt_tensor *t, int64_t i);
void pt_set_bits(struct pt_tensor *t, int64_t i, uint64_t bits);

/* The float nearest to d, the last bit set if it is inexact: rounding it again to fewer bits gives what rounding d would. */
float pt_f64_to_f32_odd(double d);

/* Smallest and largest value of an integer type (or bool) of any width. */
int64_t pt_int_min(enum pt_dtype t);
uint64_t pt_int_max(enum pt_dtype t);

#endif
