/* SPDX-License-Identifier: Apache-2.0
 *
 * tensor.h: what every part of the runtime needs to know of element types and shapes. One row per element type.
 */
#ifndef PT_RUNTIME_TENSOR_H
#define PT_RUNTIME_TENSOR_H

#include "base/err.h"
#include "pintle/runtime.h"

/* Sets of element types, for the operator table. */
#define PT_T(name) (1u << (name))
#define PT_TS_INT (PT_T(PT_INT8) | PT_T(PT_INT16) | PT_T(PT_INT32) | PT_T(PT_INT64))
#define PT_TS_UINT (PT_T(PT_UINT8) | PT_T(PT_UINT16) | PT_T(PT_UINT32) | PT_T(PT_UINT64))
#define PT_TS_ALLINT (PT_TS_INT | PT_TS_UINT)
#define PT_TS_FLOAT (PT_T(PT_FLOAT) | PT_T(PT_DOUBLE))
#define PT_TS_HALF (PT_T(PT_FLOAT16) | PT_T(PT_BFLOAT16))
#define PT_TS_REAL (PT_TS_FLOAT | PT_TS_HALF)
#define PT_TS_NUM (PT_TS_ALLINT | PT_TS_FLOAT)
#define PT_TS_BOOL PT_T(PT_BOOL)
#define PT_TS_INDEX (PT_T(PT_INT32) | PT_T(PT_INT64))
#define PT_TS_FIXED (PT_TS_NUM | PT_TS_BOOL | PT_TS_HALF) /* whole bytes, movable without knowing what they mean */

/* Kinds of value, for the operator table: not in any of the sets above. An operator that takes a sequence says PT_T(PT_SEQUENCE). */
#define PT_TS_KINDS (PT_T(PT_SEQUENCE) | PT_T(PT_OPTIONAL) | PT_T(PT_MAP))
static inline bool pt_is_kind(enum pt_dtype t)
{
    return t == PT_SEQUENCE || t == PT_OPTIONAL || t == PT_MAP;
}

/* Bytes of one element; sizeof the struct for strings, sequences, optionals and maps; 0 for packed and unknown types. */
size_t pt_dtype_size(enum pt_dtype t);
/* Bytes that dtype and dims need; false on overflow, a negative dim or a type without a size. */
bool pt_tensor_need(enum pt_dtype dtype, int rank, const int64_t *dims, size_t *bytes);
/* Copies a caller's structure whose first member is its size (pintle/runtime.h): 0 stands for first_size. NULL: all zero. what: for messages. */
int pt_options_read(const void *given, size_t first_size, void *out, size_t out_size, const char *what, struct pt_err *err);
/* Product of n dims, which must be known to fit. */
int64_t pt_dims_product(const int64_t *dims, int n);
bool pt_dims_equal(const struct pt_tensor *a, const struct pt_tensor *b);

/* "float32[1,3,224,224]" for messages. */
struct pt_shape_text {
    char s[160];
};
struct pt_shape_text pt_shape_text(enum pt_dtype dtype, int rank, const int64_t *dims);
#define PT_SHAPE(t) pt_shape_text((t)->dtype, (t)->rank, (t)->dims).s

/* Half precision, both kinds; to float exactly, from float round half to even. */
float pt_f16_to_f32(uint16_t h);
uint16_t pt_f32_to_f16(float f);
static inline float pt_bf16_to_f32(uint16_t h)
{
    union {
        uint32_t u;
        float f;
    } v = {.u = (uint32_t)h << 16};
    return v.f;
}
uint16_t pt_f32_to_bf16(float f);

#endif
