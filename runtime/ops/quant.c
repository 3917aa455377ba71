/* SPDX-License-Identifier: Apache-2.0
 *
 * quant.c: see quant.h.
 */
#include "runtime/ops/quant.h"

int pt_quant_type(struct pt_op_ctx *c, int i, const char *what, uint32_t types)
{
    const struct pt_tensor *t = pt_op_in(c, i);
    if (!t || (types & PT_T(t->dtype)))
        return PT_OK;
    return pt_op_fail(c, PT_EUNSUPPORTED, "input %d (%s) has type %s, which is not supported here", i, what, pt_dtype_name(t->dtype));
}

int pt_quant_needs(struct pt_op_ctx *c, int i, const char *what)
{
    return pt_op_in(c, i) ? PT_OK : pt_op_fail(c, PT_EINVAL, "input %d (%s) is missing", i, what);
}

static int one_or_each(struct pt_op_ctx *c, int i, const char *what, int64_t channels)
{
    const struct pt_tensor *t = pt_op_in(c, i);
    int64_t n = t ? pt_tensor_count(t) : 1;
    if (n == 1 || n == channels)
        return PT_OK;
    return pt_op_fail(c, PT_EINVAL, "input %d (%s) is %s, must be one value or %lld", i, what, PT_SHAPE(t), (long long)channels);
}

int pt_quant_params(struct pt_op_ctx *c, int scale, int zero, enum pt_dtype type, int64_t channels)
{
    int rc = PT_OK;
    if (scale >= 0 && ((rc = pt_quant_type(c, scale, "scale", PT_TS_SCALE)) < 0 || (rc = one_or_each(c, scale, "scale", channels)) < 0))
        return rc;
    if (zero >= 0 && (rc = pt_quant_type(c, zero, "zero point", PT_T(type))) == PT_OK)
        rc = one_or_each(c, zero, "zero point", channels);
    return rc;
}

void pt_quant_put(struct pt_tensor *y, int64_t i, float v, int32_t zero)
{
    int32_t lo, hi;
    pt_quant_range(y->dtype, &lo, &hi);
    float low = (float)(lo - zero), high = (float)(hi - zero);
    int32_t q = (v >= low ? v > high ? hi - zero : (int32_t)rintf(v) : lo - zero) + zero;
    if (y->dtype == PT_INT8 || y->dtype == PT_UINT8)
        ((uint8_t *)y->data)[i] = (uint8_t)q;
    else
        ((uint16_t *)y->data)[i] = (uint16_t)q;
}

void pt_dequantise(const struct pt_tensor *q, int64_t at, int64_t n, float scale, int32_t zero, float *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = scale * (float)((int32_t)pt_elem_i64(q, at + i) - zero);
}

void pt_quant_measure(const float *x, int64_t n, float *scale, int32_t *zero)
{
    float lo = 0, hi = 0;
    for (int64_t i = 0; i < n; i++) {
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
    }
    *scale = lo == hi ? 1 : (hi - lo) / 255;
    *zero = (int32_t)rintf(fmaxf(0, fminf(255, 0 - lo / *scale)));
}

/* --- products ----------------------------------------------------------------------------------------------------------------- */

/* y[j] += a b[j] */
#define ADD_ROW(T, s)                                                                                                                                \
    static void add_row_##s(int32_t a, const void *b, int64_t step, int64_t n, int32_t *y)                                                           \
    {                                                                                                                                                \
        const T *r = b;                                                                                                                              \
        for (int64_t j = 0; j < n; j++)                                                                                                              \
            y[j] = (int32_t)((uint32_t)y[j] + (uint32_t)a * (uint32_t)(int32_t)r[j * step]);                                                         \
    }
ADD_ROW(int8_t, i8)
ADD_ROW(uint8_t, u8)
ADD_ROW(int16_t, i16)
ADD_ROW(uint16_t, u16)

typedef void (*add_row_fn)(int32_t, const void *, int64_t, int64_t, int32_t *);

static add_row_fn add_row_of(enum pt_dtype t)
{
    return t == PT_INT8 ? add_row_i8 : t == PT_UINT8 ? add_row_u8 : t == PT_INT16 ? add_row_i16 : add_row_u16;
}

static int32_t zero_at(const struct pt_tensor *t, int64_t first, int64_t i)
{
    return pt_quant_zero(t, first + i);
}

/* (a - za)(b - zb) summed is (a - za) b summed, less zb times the sum of (a - za): b is read as it is. */
static void product_rows(void *arg, size_t begin, size_t end)
{
    const struct pt_int_product *p = arg;
    const struct pt_tensor a = {.dtype = p->a_type, .data = (void *)(uintptr_t)p->a};
    size_t b_size = pt_dtype_size(p->b_type);
    add_row_fn add_row = add_row_of(p->b_type);
    for (int64_t i = (int64_t)begin; i < (int64_t)end; i++) {
        int32_t *y = p->y + i * p->n, za = zero_at(p->a_zero, p->a_zero_at, i);
        uint32_t sum = 0;
        memset(y, 0, (size_t)p->n * sizeof *y);
        for (int64_t k = 0; k < p->k; k++) {
            int32_t v = (int32_t)pt_elem_i64(&a, i * p->a_row + k * p->a_col) - za;
            sum += (uint32_t)v;
            if (v)
                add_row(v, (const char *)p->b + (size_t)(k * p->b_row) * b_size, p->b_col, p->n, y);
        }
        for (int64_t j = 0; p->b_zero && j < p->n; j++)
            y[j] = (int32_t)((uint32_t)y[j] - sum * (uint32_t)zero_at(p->b_zero, p->b_zero_at, j));
    }
}

void pt_int_product(const struct pt_int_product *p, struct pt_threads *threads)
{
    struct pt_int_product copy = *p;
    if (p->n > 0)
        pt_parallel_for(threads, (size_t)p->m, 1 + (size_t)(p->m / 16), product_rows, &copy);
}
