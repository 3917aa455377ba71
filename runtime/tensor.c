/* SPDX-License-Identifier: Apache-2.0
 *
 * tensor.c: the table of element types, and shape arithmetic that cannot overflow.
 */
#include "runtime/tensor.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    unsigned bits;
} dtypes[PT_DTYPE_COUNT] = {
    [PT_UNDEFINED] = {"undefined", 0},
    [PT_FLOAT] = {"float32", 32},
    [PT_UINT8] = {"uint8", 8},
    [PT_INT8] = {"int8", 8},
    [PT_UINT16] = {"uint16", 16},
    [PT_INT16] = {"int16", 16},
    [PT_INT32] = {"int32", 32},
    [PT_INT64] = {"int64", 64},
    [PT_STRING] = {"string", 0},
    [PT_BOOL] = {"bool", 8},
    [PT_FLOAT16] = {"float16", 16},
    [PT_DOUBLE] = {"float64", 64},
    [PT_UINT32] = {"uint32", 32},
    [PT_UINT64] = {"uint64", 64},
    [PT_COMPLEX64] = {"complex64", 64},
    [PT_COMPLEX128] = {"complex128", 128},
    [PT_BFLOAT16] = {"bfloat16", 16},
    [PT_FLOAT8E4M3FN] = {"float8_e4m3fn", 8},
    [PT_FLOAT8E4M3FNUZ] = {"float8_e4m3fnuz", 8},
    [PT_FLOAT8E5M2] = {"float8_e5m2", 8},
    [PT_FLOAT8E5M2FNUZ] = {"float8_e5m2fnuz", 8},
    [PT_UINT4] = {"uint4", 4},
    [PT_INT4] = {"int4", 4},
    [PT_FLOAT4E2M1] = {"float4_e2m1", 4},
    [PT_FLOAT8E8M0] = {"float8_e8m0", 8},
    [PT_UINT2] = {"uint2", 2},
    [PT_INT2] = {"int2", 2},
};

const char *pt_dtype_name(enum pt_dtype t)
{
    if (pt_is_kind(t))
        return t == PT_SEQUENCE ? "sequence" : t == PT_OPTIONAL ? "optional" : "map";
    return (unsigned)t < PT_DTYPE_COUNT ? dtypes[t].name : "unknown";
}

unsigned pt_dtype_bits(enum pt_dtype t)
{
    return (unsigned)t < PT_DTYPE_COUNT ? dtypes[t].bits : 0;
}

size_t pt_dtype_size(enum pt_dtype t)
{
    switch ((int)t) {
    case PT_STRING:
        return sizeof(struct pt_string);
    case PT_SEQUENCE:
        return sizeof(struct pt_sequence);
    case PT_OPTIONAL:
        return sizeof(struct pt_optional);
    case PT_MAP:
        return sizeof(struct pt_map_value);
    default:
        return pt_dtype_bits(t) / 8;
    }
}

int64_t pt_tensor_count(const struct pt_tensor *t)
{
    int64_t n = 1;
    bool zero = false;
    for (int i = 0; i < t->rank; i++) {
        if (t->dims[i] < 0)
            return -1;
        zero = zero || t->dims[i] == 0;
        /* the others must fit even beside a zero, so that strides cannot overflow */
        if (t->dims[i] && __builtin_mul_overflow(n, t->dims[i], &n))
            return -1;
    }
    return zero ? 0 : n;
}

bool pt_tensor_need(enum pt_dtype dtype, int rank, const int64_t *dims, size_t *bytes)
{
    if (rank < 0 || rank > PT_MAX_RANK)
        return false;
    struct pt_tensor t = {.rank = rank};
    if (rank)
        memcpy(t.dims, dims, (size_t)rank * sizeof *dims);
    int64_t n = pt_tensor_count(&t);
    if (n < 0)
        return false;
    if (dtype == PT_STRING || pt_is_kind(dtype))
        return (dtype == PT_STRING || rank == 0) && !__builtin_mul_overflow((size_t)n, pt_dtype_size(dtype), bytes);
    unsigned bits = pt_dtype_bits(dtype);
    size_t total;
    if (bits == 0 || __builtin_mul_overflow((size_t)n, (size_t)bits, &total))
        return false;
    *bytes = total / 8 + (total % 8 != 0);
    return true;
}

int64_t pt_dims_product(const int64_t *dims, int n)
{
    int64_t p = 1;
    for (int i = 0; i < n; i++)
        p *= dims[i];
    return p;
}

bool pt_dims_equal(const struct pt_tensor *a, const struct pt_tensor *b)
{
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dims[i] != b->dims[i])
            return false;
    return true;
}

struct pt_shape_text pt_shape_text(enum pt_dtype dtype, int rank, const int64_t *dims)
{
    struct pt_shape_text t;
    int n = snprintf(t.s, sizeof t.s, "%s[", pt_dtype_name(dtype));
    for (int i = 0; i < rank && n < (int)sizeof t.s - 24; i++)
        n += snprintf(t.s + n, sizeof t.s - (size_t)n, i ? ",%lld" : "%lld", (long long)dims[i]);
    snprintf(t.s + n, sizeof t.s - (size_t)n, "]");
    return t;
}

union bits32 {
    uint32_t u;
    float f;
};

float pt_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = (h >> 10) & 31, man = h & 0x3ff;
    union bits32 v;
    if (exp == 31)
        v.u = sign | 0x7f800000 | man << 13;
    else if (exp)
        v.u = sign | (exp + 112) << 23 | man << 13;
    else {
        v.f = (float)man * 0x1p-24f;
        v.u |= sign;
    }
    return v.f;
}

uint16_t pt_f32_to_f16(float f)
{
    union bits32 v = {.f = f};
    uint32_t sign = v.u >> 16 & 0x8000, mag = v.u & 0x7fffffff;
    if (mag > 0x7f800000)
        return (uint16_t)(sign | 0x7e00 | (mag >> 13 & 0x1ff));
    if (mag >= 0x477ff000) /* 65520 and up round to infinity */
        return (uint16_t)(sign | 0x7c00);
    if (mag < 0x38800000) { /* below 2^-14: let the adder round into the subnormal grid of 2^-24 */
        union bits32 s = {.u = mag}, magic = {.f = 0.5f};
        s.f += magic.f;
        return (uint16_t)(sign | (s.u - magic.u));
    }
    uint32_t odd = mag >> 13 & 1;
    return (uint16_t)(sign | (mag - 0x38000000 + 0xfff + odd) >> 13);
}

uint16_t pt_f32_to_bf16(float f)
{
    union bits32 v = {.f = f};
    if ((v.u & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(v.u >> 16 | 0x40);
    return (uint16_t)((v.u + 0x7fff + (v.u >> 16 & 1)) >> 16);
}
