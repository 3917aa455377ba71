/* SPDX-License-Identifier: Apache-2.0
 *
 * types.c: conversions between every element type and the three carriers. The narrow floats are described by a row each: how many bits,
 * which code is NaN or infinity; one encoder rounds for them all.
 */
#include "runtime/ops/types.h"

#include <math.h>

enum pt_kind pt_dtype_kind(enum pt_dtype t)
{
    uint32_t m = PT_T(t);
    if (m & (PT_TS_INT | PT_T(PT_INT4) | PT_T(PT_INT2)))
        return PT_KIND_SIGNED;
    if (m & (PT_TS_UINT | PT_T(PT_UINT4) | PT_T(PT_UINT2)))
        return PT_KIND_UNSIGNED;
    if (m & (PT_TS_REAL | PT_TS_F8 | PT_T(PT_FLOAT4E2M1)))
        return PT_KIND_FLOAT;
    if (m & PT_TS_COMPLEX)
        return PT_KIND_COMPLEX;
    return t == PT_BOOL ? PT_KIND_BOOL : t == PT_STRING ? PT_KIND_STRING : PT_KIND_NONE;
}

int64_t pt_int_min(enum pt_dtype t)
{
    return pt_dtype_kind(t) == PT_KIND_SIGNED ? (int64_t)(~UINT64_C(0) << (pt_dtype_bits(t) - 1)) : 0;
}

uint64_t pt_int_max(enum pt_dtype t)
{
    unsigned bits = t == PT_BOOL ? 1 : pt_dtype_bits(t) - (pt_dtype_kind(t) == PT_KIND_SIGNED);
    return bits >= 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
}

/* --- bits ------------------------------------------------------------------------------------------------------------------- */

uint64_t pt_get_bits(const struct pt_tensor *t, int64_t i)
{
    unsigned bits = pt_dtype_bits(t->dtype);
    const uint8_t *p = t->data;
    uint64_t v = 0;
    if (bits < 8)
        return p[(uint64_t)i * bits / 8] >> ((uint64_t)i * bits % 8) & ((1u << bits) - 1);
    memcpy(&v, p + (size_t)i * (bits / 8), bits / 8);
    return v;
}

/* Bits behind the last element are 0, so that equal tensors are equal bytes. */
static bool is_last(const struct pt_tensor *t, int64_t i, const uint8_t *byte)
{
    return byte + 1 == (const uint8_t *)t->data + t->size_bytes && i + 1 == pt_tensor_count(t);
}

void pt_set_bits(struct pt_tensor *t, int64_t i, uint64_t v)
{
    unsigned bits = pt_dtype_bits(t->dtype);
    uint8_t *p = t->data;
    if (bits >= 8) {
        memcpy(p + (size_t)i * (bits / 8), &v, bits / 8);
        return;
    }
    unsigned shift = (unsigned)((uint64_t)i * bits % 8), mask = (1u << bits) - 1;
    uint8_t *byte = p + (uint64_t)i * bits / 8;
    unsigned kept = is_last(t, i, byte) ? (1u << shift) - 1 : ~(mask << shift);
    *byte = (uint8_t)((*byte & kept) | ((unsigned)v & mask) << shift);
}

void pt_copy_elem(struct pt_tensor *y, int64_t to, const struct pt_tensor *x, int64_t from)
{
    size_t size = pt_dtype_size(x->dtype);
    if (size)
        memcpy((char *)y->data + (size_t)to * size, (const char *)x->data + (size_t)from * size, size);
    else
        pt_set_bits(y, to, pt_get_bits(x, from));
}

#define COPY_CASE(bytes, T)                                                                                                                          \
    case bytes: {                                                                                                                                    \
        const char *from = x;                                                                                                                        \
        for (int64_t i = 0; i < n; i++, from += stride)                                                                                              \
            memcpy((T *)y + i, from, bytes);                                                                                                         \
        return;                                                                                                                                      \
    }

void pt_copy_row(void *y, const void *x, int64_t n, int64_t step, size_t size)
{
    int64_t stride = step * (int64_t)size;
    if (step == 1) {
        memcpy(y, x, (size_t)n * size);
        return;
    }
    switch (size) {
        COPY_CASE(1, uint8_t)
        COPY_CASE(2, uint16_t)
        COPY_CASE(4, uint32_t)
        COPY_CASE(8, uint64_t)
    default:
        for (int64_t i = 0; i < n; i++)
            memcpy((char *)y + (size_t)i * size, (const char *)x + i * stride, size);
    }
}

/* --- narrow floats ------------------------------------------------------------------------------------------------------------ */

struct format {
    int mantissa, bias; /* bits of the fraction; exponent bias */
    unsigned sign;      /* bit of the sign, 0 without one */
    unsigned max;       /* code of the largest finite value */
    int inf, nan;       /* codes, or -1 */
    bool signed_zero;
};
static const struct format formats[PT_DTYPE_COUNT] = {
    [PT_FLOAT8E4M3FN] = {3, 7, 0x80, 0x7e, -1, 0x7f, true},  [PT_FLOAT8E4M3FNUZ] = {3, 8, 0x80, 0x7f, -1, 0x80, false},
    [PT_FLOAT8E5M2] = {2, 15, 0x80, 0x7b, 0x7c, 0x7e, true}, [PT_FLOAT8E5M2FNUZ] = {2, 16, 0x80, 0x7f, -1, 0x80, false},
    [PT_FLOAT4E2M1] = {1, 1, 0x8, 0x7, -1, -1, true},
};

static float decode(const struct format *f, unsigned code)
{
    unsigned mag = code & (f->sign - 1), exp = mag >> f->mantissa, frac = mag & ((1u << f->mantissa) - 1);
    if ((int)code == f->nan || (f->signed_zero && f->nan >= 0 && mag > f->max && (int)mag != f->inf))
        return NAN;
    float v = (int)mag == f->inf ? INFINITY
              : exp              ? ldexpf((float)(frac | 1u << f->mantissa), (int)exp - f->bias - f->mantissa)
                                 : ldexpf((float)frac, 1 - f->bias - f->mantissa);
    return code & f->sign ? -v : v;
}

/* Magnitudes are ordered as their codes, so rounding may carry from the fraction into the exponent. */
static unsigned encode_magnitude(const struct format *f, float a)
{
    int e;
    frexpf(a, &e);
    e = e - 1 < 1 - f->bias ? 1 - f->bias : e - 1;
    float q = rintf(ldexpf(a, f->mantissa - e)); /* in units of the last place; half to even */
    unsigned units = (unsigned)q, one = 1u << f->mantissa;
    int exp = e + f->bias;
    return units < one ? units : (unsigned)(exp - 1) * one + units;
}

static unsigned encode(const struct format *f, float v, bool overflow)
{
    unsigned sign = signbit(v) ? f->sign : 0;
    if (v != v)
        return f->nan >= 0 ? (unsigned)f->nan | (f->signed_zero ? sign : 0) : f->sign; /* without a NaN: -0 */
    float limit = decode(f, f->max);
    unsigned mag = fabsf(v) > 2 * limit ? f->max + 1 : encode_magnitude(f, fabsf(v));
    if (mag > f->max) {
        if (overflow && (f->inf >= 0 || f->nan >= 0))
            return f->inf >= 0 ? (unsigned)f->inf | sign : f->signed_zero ? (unsigned)f->nan | sign : (unsigned)f->nan;
        mag = f->max;
    }
    return mag || f->signed_zero ? mag | sign : 0;
}

/* 2^(code - 127), 255 is NaN. No sign: only magnitudes of positive numbers make sense. */
static unsigned encode_e8m0(float v, struct pt_rounding how)
{
    union {
        float f;
        uint32_t u;
    } b = {.f = v};
    uint32_t exp = b.u >> 23 & 0xff, frac = b.u & 0x7fffff;
    if (v != v || (how.overflow && (exp == 0xff || v < 0x1p-127f)))
        return 0xff;
    if (exp == 0xff)
        return 0xfe;
    bool up = false;
    if (how.e8m0 == PT_ROUND_UP)
        up = frac != 0 && !(exp == 0 && frac <= 0x400000);
    else if (how.e8m0 == PT_ROUND_NEAREST)
        up = exp ? frac >= 0x400000 : frac > 0x600000;
    if (up && exp == 0xfe)
        return how.overflow ? 0xff : 0xfe;
    return exp + up;
}

static float decode_e8m0(unsigned code)
{
    return code == 0xff ? NAN : ldexpf(1, (int)code - 127);
}

float pt_f64_to_f32_odd(double d)
{
    union {
        float f;
        uint32_t u;
    } v = {.f = (float)d};
    if ((double)v.f == d || d != d || (v.u & 0x7fffffff) == 0x7f800000)
        return v.f;
    if (fabs((double)v.f) > fabs(d))
        v.u--;
    v.u |= 1;
    return v.f;
}

static float half_bits_to_f32(enum pt_dtype t, uint16_t h)
{
    return t == PT_FLOAT16 ? pt_f16_to_f32(h) : pt_bf16_to_f32(h);
}

/* One element of a type that has no C type. */
static float narrow_get(const struct pt_tensor *t, int64_t i)
{
    if (formats[t->dtype].sign)
        return decode(&formats[t->dtype], (unsigned)pt_get_bits(t, i));
    if (t->dtype == PT_FLOAT8E8M0)
        return decode_e8m0((unsigned)pt_get_bits(t, i));
    return PT_TS_HALF & PT_T(t->dtype) ? half_bits_to_f32(t->dtype, (uint16_t)pt_get_bits(t, i)) : NAN;
}

static void narrow_put(struct pt_tensor *t, int64_t i, float v, struct pt_rounding how)
{
    if (formats[t->dtype].sign)
        pt_set_bits(t, i, encode(&formats[t->dtype], v, how.overflow));
    else if (t->dtype == PT_FLOAT8E8M0)
        pt_set_bits(t, i, encode_e8m0(v, how));
    else if (PT_TS_HALF & PT_T(t->dtype))
        pt_set_bits(t, i, t->dtype == PT_FLOAT16 ? pt_f32_to_f16(v) : pt_f32_to_bf16(v));
}

/* --- loading -------------------------------------------------------------------------------------------------------------------- */

/* 4 and 2 bits: sign-extended when the type has one. */
static int64_t packed_int(const struct pt_tensor *t, int64_t i)
{
    unsigned bits = pt_dtype_bits(t->dtype);
    uint64_t v = pt_get_bits(t, i);
    return pt_dtype_kind(t->dtype) == PT_KIND_SIGNED ? (int64_t)(v << (64 - bits)) >> (64 - bits) : (int64_t)v;
}

static bool is_packed_int(enum pt_dtype t)
{
    return (PT_TS_PACKED & PT_T(t)) && t != PT_FLOAT4E2M1;
}

/* Constants are views of a file and may lie anywhere: memcpy, which compiles to a plain load. */
#define LOAD_CASE(id, T, U, s)                                                                                                                       \
    case id: {                                                                                                                                       \
        const char *p = (const char *)t->data + (size_t)at * sizeof(T);                                                                              \
        for (int64_t i = 0; i < n; i++, p += sizeof(T)) {                                                                                            \
            T v;                                                                                                                                     \
            memcpy(&v, p, sizeof v);                                                                                                                 \
            y[i] = (CARRIER)v;                                                                                                                       \
        }                                                                                                                                            \
        return;                                                                                                                                      \
    }
#define LOAD_BODY                                                                                                                                    \
    switch (t->dtype) {                                                                                                                              \
        PT_NUM_ROWS(LOAD_CASE)                                                                                                                       \
    case PT_BOOL:                                                                                                                                    \
        for (int64_t i = 0; i < n; i++)                                                                                                              \
            y[i] = ((const uint8_t *)t->data)[at + i] != 0;                                                                                          \
        return;                                                                                                                                      \
    default:                                                                                                                                         \
        break;                                                                                                                                       \
    }                                                                                                                                                \
    if (is_packed_int(t->dtype)) {                                                                                                                   \
        for (int64_t i = 0; i < n; i++)                                                                                                              \
            y[i] = (CARRIER)packed_int(t, at + i);                                                                                                   \
        return;                                                                                                                                      \
    }

#define CARRIER float
void pt_load_f32(const struct pt_tensor *t, int64_t at, int64_t n, float *y)
{
    if (PT_TS_HALF & PT_T(t->dtype)) {
        const char *p = (const char *)t->data + (size_t)at * 2;
        for (int64_t i = 0; i < n; i++) {
            uint16_t h;
            memcpy(&h, p + i * 2, sizeof h);
            y[i] = half_bits_to_f32(t->dtype, h);
        }
        return;
    }
    LOAD_BODY
    for (int64_t i = 0; i < n; i++)
        y[i] = narrow_get(t, at + i);
}
#undef CARRIER
#define CARRIER double
void pt_load_f64(const struct pt_tensor *t, int64_t at, int64_t n, double *y)
{
    LOAD_BODY
    for (int64_t i = 0; i < n; i++)
        y[i] = (double)narrow_get(t, at + i);
}
#undef CARRIER

static int64_t real_to_i64(double d)
{
    return d != d ? 0 : d <= -0x1p63 ? INT64_MIN : d < 0x1p63 ? (int64_t)d : INT64_MAX;
}

/* Out of range is undefined in ONNX; this is what the processors do that models were tried on: 64-bit types, and uint32, convert to 64 bits, the
 * others to 32, and what does not fit gives the smallest number. */
static uint64_t real_to_bits(double d, enum pt_dtype t)
{
    if (t == PT_UINT64 && d >= 0x1p63 && d < 0x1p64)
        return (uint64_t)d;
    if (t == PT_INT64 || t == PT_UINT64 || t == PT_UINT32)
        return (uint64_t)(d > -0x1p63 && d < 0x1p63 ? (int64_t)d : INT64_MIN);
    return (uint64_t)(d > -0x1p31 - 1 && d < 0x1p31 ? (int64_t)d : INT32_MIN);
}

void pt_load_i64(const struct pt_tensor *t, int64_t at, int64_t n, int64_t *y)
{
    switch (t->dtype) {
#define CARRIER int64_t
        PT_INT_ROWS(LOAD_CASE)
#undef CARRIER
    case PT_BOOL:
        for (int64_t i = 0; i < n; i++)
            y[i] = ((const uint8_t *)t->data)[at + i] != 0;
        return;
    default:
        break;
    }
    for (int64_t i = 0; i < n; i++) {
        double d;
        if (is_packed_int(t->dtype)) {
            y[i] = packed_int(t, at + i);
            continue;
        }
        pt_load_f64(t, at + i, 1, &d);
        y[i] = real_to_i64(d);
    }
}

/* --- storing ----------------------------------------------------------------------------------------------------------------------- */

void pt_store_f64_rounding(struct pt_tensor *t, int64_t at, int64_t n, const double *x, struct pt_rounding how)
{
    enum pt_kind kind = pt_dtype_kind(t->dtype);
    for (int64_t i = 0; i < n; i++)
        if (t->dtype == PT_FLOAT)
            ((float *)t->data)[at + i] = (float)x[i];
        else if (t->dtype == PT_DOUBLE)
            ((double *)t->data)[at + i] = x[i];
        else if (kind == PT_KIND_FLOAT)
            narrow_put(t, at + i, pt_f64_to_f32_odd(x[i]), how);
        else if (kind == PT_KIND_BOOL)
            ((uint8_t *)t->data)[at + i] = x[i] != 0;
        else if (kind == PT_KIND_SIGNED || kind == PT_KIND_UNSIGNED)
            pt_set_bits(t, at + i, real_to_bits(x[i], t->dtype));
}

void pt_store_i64_rounding(struct pt_tensor *t, int64_t at, int64_t n, const int64_t *x, struct pt_rounding how)
{
    enum pt_kind kind = pt_dtype_kind(t->dtype);
    for (int64_t i = 0; i < n; i++)
        if (kind == PT_KIND_SIGNED || kind == PT_KIND_UNSIGNED)
            pt_set_bits(t, at + i, (uint64_t)x[i]);
        else if (kind == PT_KIND_BOOL)
            ((uint8_t *)t->data)[at + i] = x[i] != 0;
        else if (t->dtype == PT_FLOAT)
            ((float *)t->data)[at + i] = (float)x[i];
        else
            pt_store_f64_rounding(t, at + i, 1, &(double){(double)x[i]}, how);
}

void pt_store_f32(struct pt_tensor *t, int64_t at, int64_t n, const float *x)
{
    for (int64_t i = 0; i < n; i++)
        switch (t->dtype) {
        case PT_FLOAT:
            ((float *)t->data)[at + i] = x[i];
            break;
        case PT_FLOAT16:
            ((uint16_t *)t->data)[at + i] = pt_f32_to_f16(x[i]);
            break;
        case PT_BFLOAT16:
            ((uint16_t *)t->data)[at + i] = pt_f32_to_bf16(x[i]);
            break;
        default:
            pt_store_f64_rounding(t, at + i, 1, &(double){(double)x[i]}, (struct pt_rounding){0});
        }
}

void pt_store_f64(struct pt_tensor *t, int64_t at, int64_t n, const double *x)
{
    pt_store_f64_rounding(t, at, n, x, (struct pt_rounding){0});
}

void pt_store_i64(struct pt_tensor *t, int64_t at, int64_t n, const int64_t *x)
{
    pt_store_i64_rounding(t, at, n, x, (struct pt_rounding){0});
}
