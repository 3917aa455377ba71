/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize.c: QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear. Scale and zero point are one value, one per index of an axis, or one
 * per block of `block_size` along it; the element at (outer, k, inner) of x uses entry (outer, k / block, inner) of theirs. All types pass through
 * float32, which holds every quantised value but int32's exactly; int32 is subtracted in double.
 */
#include "runtime/kernels/kernels.h"
#include "runtime/ops/quant.h"
#include "runtime/ops/types.h"

#include <math.h>

struct quantize {
    struct pt_quant_grid grid;
    enum pt_dtype precision; /* of the division */
    bool overflow;           /* fp8 does not saturate */
};

static int check_blocks(struct pt_op_ctx *c, struct pt_quant_grid *p, int axis)
{
    const struct pt_tensor *x = c->in[0], *s = c->in[1];
    bool fits = s->rank == x->rank;
    for (int i = 0; fits && i < x->rank; i++)
        fits = s->dims[i] == (i == axis ? (x->dims[i] + p->block - 1) / p->block : x->dims[i]);
    if (!fits)
        return pt_op_fail(c, PT_EINVAL, "scale %s is not one value per block of %lld along axis %d of %s", PT_SHAPE(s), (long long)p->block, axis,
                          PT_SHAPE(x));
    p->outer = true;
    p->entries = s->dims[axis];
    return PT_OK;
}

int pt_quant_grid_read(struct pt_op_ctx *c, struct pt_quant_grid *p)
{
    const struct pt_tensor *x = c->in[0], *s = c->in[1], *z = pt_op_in(c, 2);
    int64_t axis, block = 0;
    int a, rc = pt_attr_int(c, "axis", 1, INT32_MIN, INT32_MAX, &axis);
    if (rc == PT_OK && c->node->version >= 21)
        rc = pt_attr_int(c, "block_size", 0, 0, INT64_MAX / 2, &block);
    if (rc < 0)
        return rc;
    if (z && !pt_dims_equal(z, s) && !(pt_tensor_count(z) == 1 && pt_tensor_count(s) == 1))
        return pt_op_fail(c, PT_EINVAL, "scale is %s, but zero point is %s", PT_SHAPE(s), PT_SHAPE(z));
    p->n = p->inner = p->block = 1;
    if (!block && s->rank <= 1 && pt_tensor_count(s) == 1)
        return PT_OK;
    if (axis == 1 && x->rank == 1)
        axis = 0; /* the default of a vector */
    if ((rc = pt_op_axis(c, "attribute 'axis'", axis, x->rank, false, &a)) < 0)
        return rc;
    p->n = x->dims[a];
    p->inner = pt_dims_product(x->dims + a + 1, x->rank - a - 1);
    if (block) {
        p->block = block;
        return check_blocks(c, p, a);
    }
    if (s->rank != 1 || s->dims[0] != p->n)
        return pt_op_fail(c, PT_EINVAL, "scale %s is neither one value nor one for each index of axis %d of %s", PT_SHAPE(s), a, PT_SHAPE(x));
    p->entries = p->n;
    return PT_OK;
}

static int64_t entry_of(const struct pt_quant_grid *p, int64_t at)
{
    if (!p->entries)
        return 0;
    int64_t k = at / p->inner % p->n / p->block;
    return p->outer ? (at / p->inner / p->n * p->entries + k) * p->inner + at % p->inner : k;
}

/* Scales and zero points of elements [at, at + n). */
static void load_entries(const struct pt_op_ctx *c, const struct pt_quant_grid *p, int64_t at, int64_t n, float *scale, float *zero)
{
    const struct pt_tensor *z = pt_op_in(c, 2);
    int64_t last = -1;
    for (int64_t i = 0; i < n; i++) {
        int64_t e = entry_of(p, at + i);
        if (e == last) {
            scale[i] = scale[i - 1];
            zero[i] = zero[i - 1];
            continue;
        }
        last = e;
        pt_load_f32(c->in[1], e, 1, &scale[i]);
        zero[i] = 0;
        if (z)
            pt_load_f32(z, e, 1, &zero[i]);
    }
}

int64_t pt_quant_grid_at(const struct pt_op_ctx *c, const struct pt_quant_grid *p, int64_t at, int64_t end, float *scale, float *zero)
{
    int64_t n = end - at;
    if (p->entries && !p->outer)
        n = p->inner - at % p->inner;
    else if (p->outer)
        n = p->inner > 1 ? 1 : p->block - at % p->n % p->block < p->n - at % p->n ? p->block - at % p->n % p->block : p->n - at % p->n;
    load_entries(c, p, at, 1, scale, zero);
    return n < end - at ? n : end - at;
}

/* --- QuantizeLinear --------------------------------------------------------------------------------------------------------------- */

#define QUANTISED (PT_T(PT_INT8) | PT_T(PT_UINT8) | PT_T(PT_INT16) | PT_T(PT_UINT16) | PT_TS_PACKED | (PT_TS_F8 & ~PT_T(PT_FLOAT8E8M0)))

static int quantize_infer(struct pt_op_ctx *c)
{
    struct quantize *p = c->params;
    const struct pt_tensor *z = pt_op_in(c, 2);
    int64_t out = 0, saturate = 1, precision = 0;
    int rc = pt_quant_grid_read(c, &p->grid);
    if (rc == PT_OK && c->node->version >= 19)
        rc = pt_attr_int(c, "saturate", 1, 0, 1, &saturate);
    if (rc == PT_OK && c->node->version >= 21)
        rc = pt_attr_int(c, "output_dtype", 0, 0, PT_DTYPE_COUNT - 1, &out);
    if (rc == PT_OK && c->node->version >= 23)
        rc = pt_attr_int(c, "precision", 0, 0, PT_DTYPE_COUNT - 1, &precision);
    if (rc < 0)
        return rc;
    if (z && out && out != z->dtype)
        return pt_op_fail(c, PT_EINVAL, "attribute 'output_dtype' is %s, but the zero point is %s", pt_dtype_name((enum pt_dtype)out),
                          pt_dtype_name(z->dtype));
    out = out ? out : z ? z->dtype : PT_UINT8;
    if (!(QUANTISED & PT_T(out)))
        return pt_op_fail(c, PT_EINVAL, "%s is not a type to quantise to", pt_dtype_name((enum pt_dtype)out));
    if (precision && !(PT_TS_REAL & PT_T(precision)))
        return pt_op_fail(c, PT_EINVAL, "attribute 'precision' is %s, not a float type", pt_dtype_name((enum pt_dtype)precision));
    p->overflow = !saturate;
    p->precision = precision                            ? (enum pt_dtype)precision
                   : PT_TS_HALF & PT_T(c->in[1]->dtype) ? c->in[1]->dtype
                   : c->in[0]->dtype == PT_INT32        ? PT_DOUBLE
                                                        : PT_FLOAT;
    pt_op_set_out(c, 0, (enum pt_dtype)out, c->in[0]->rank, c->in[0]->dims);
    return PT_OK;
}

static double divide(double x, double scale, enum pt_dtype precision)
{
    if (precision == PT_DOUBLE)
        return x / scale;
    float q = (float)x / (float)scale;
    if (precision == PT_FLOAT16)
        q = pt_f16_to_f32(pt_f32_to_f16(q));
    return (double)(precision == PT_BFLOAT16 ? pt_bf16_to_f32(pt_f32_to_bf16(q)) : q);
}

static double saturate(double q, double lo, double hi)
{
    return q >= hi ? hi : q > lo ? q : lo; /* NaN: the lowest */
}

/* --- the pairs of types that models use, row by row --------------------------------------------------------------------------------- */

#define GRAIN 65536

struct rows {
    const struct pt_op_ctx *c;
    bool quantises;
};

static void row_piece(void *arg, size_t begin, size_t end)
{
    const struct rows *r = arg;
    const struct pt_op_ctx *c = r->c;
    const struct quantize *p = c->params;
    const char *x = c->in[0]->data;
    char *y = c->out[0]->data;
    enum pt_dtype t = r->quantises ? c->out[0]->dtype : c->in[0]->dtype;
    for (int64_t at = (int64_t)begin; at < (int64_t)end;) {
        float scale, zero;
        int64_t n = pt_quant_grid_at(c, &p->grid, at, (int64_t)end, &scale, &zero);
        if (r->quantises)
            pt_kernels()->quantise((const float *)x + at, (size_t)n, scale, (int32_t)zero, (int32_t)pt_int_min(t), (int32_t)pt_int_max(t),
                                   (uint8_t *)y + at);
        else
            pt_kernels()->dequantise((const uint8_t *)x + at, t == PT_INT8, (size_t)n, scale, (int32_t)zero, (float *)y + at);
        at += n;
    }
}

static bool run_rows(struct pt_op_ctx *c, bool quantises)
{
    const struct quantize *p = c->params;
    enum pt_dtype real = c->in[quantises ? 0 : 1]->dtype, whole = quantises ? c->out[0]->dtype : c->in[0]->dtype;
    enum pt_dtype other = quantises ? p->precision : c->out[0]->dtype;
    if (real != PT_FLOAT || other != PT_FLOAT || (whole != PT_UINT8 && whole != PT_INT8))
        return false;
    struct rows r = {c, quantises};
    pt_parallel_for(c->threads, (size_t)pt_tensor_count(c->out[0]), GRAIN, row_piece, &r);
    return true;
}

static int quantize_run(struct pt_op_ctx *c)
{
    const struct quantize *p = c->params;
    struct pt_tensor *y = c->out[0];
    if (run_rows(c, true))
        return PT_OK;
    int64_t total = pt_tensor_count(y);
    bool real = pt_dtype_kind(y->dtype) == PT_KIND_FLOAT;
    double lo = real ? 0 : (double)pt_int_min(y->dtype), hi = real ? 0 : (double)pt_int_max(y->dtype);
    float scale[PT_BLOCK], zero[PT_BLOCK];
    double x[PT_BLOCK], q[PT_BLOCK];
    for (int64_t at = 0; at < total; at += PT_BLOCK) {
        int64_t n = total - at < PT_BLOCK ? total - at : PT_BLOCK;
        pt_load_f64(c->in[0], at, n, x);
        load_entries(c, &p->grid, at, n, scale, zero);
        for (int64_t i = 0; i < n; i++) {
            double v = divide(x[i], (double)scale[i], p->precision);
            q[i] = real ? v + (double)zero[i] : saturate(rint(v) + (double)zero[i], lo, hi);
        }
        pt_store_f64_rounding(y, at, n, q, (struct pt_rounding){.overflow = p->overflow});
    }
    return PT_OK;
}

const struct pt_op pt_op_quantize_linear = {.type = "QuantizeLinear",
                                            .since = {10, 13, 19, 21, 23, 24, 25},
                                            .min_in = 2,
                                            .max_in = 3,
                                            .max_out = 1,
                                            .types = {PT_TS_REAL | PT_T(PT_INT32), PT_TS_REAL | PT_T(PT_INT32) | PT_T(PT_FLOAT8E8M0), QUANTISED},
                                            .params_size = sizeof(struct quantize),
                                            .infer = quantize_infer,
                                            .run = quantize_run};

/* --- DequantizeLinear --------------------------------------------------------------------------------------------------------------- */

static int dequantize_infer(struct pt_op_ctx *c)
{
    const struct pt_tensor *z = pt_op_in(c, 2), *s = c->in[1];
    int64_t out = 0;
    int rc = pt_quant_grid_read(c, &((struct quantize *)c->params)->grid);
    if (rc == PT_OK && c->node->version >= 23)
        rc = pt_attr_int(c, "output_dtype", 0, 0, PT_DTYPE_COUNT - 1, &out);
    if (rc < 0)
        return rc;
    if (z && z->dtype != c->in[0]->dtype)
        return pt_op_fail(c, PT_EINVAL, "input is %s, but the zero point is %s", pt_dtype_name(c->in[0]->dtype), pt_dtype_name(z->dtype));
    out = out ? out : PT_TS_REAL & PT_T(s->dtype) ? s->dtype : PT_FLOAT;
    if (!(PT_TS_REAL & PT_T(out)))
        return pt_op_fail(c, PT_EINVAL, "attribute 'output_dtype' is %s, not a float type", pt_dtype_name((enum pt_dtype)out));
    pt_op_set_out(c, 0, (enum pt_dtype)out, c->in[0]->rank, c->in[0]->dims);
    return PT_OK;
}

static int dequantize_run(struct pt_op_ctx *c)
{
    const struct quantize *p = c->params;
    if (run_rows(c, false))
        return PT_OK;
    int64_t total = pt_tensor_count(c->out[0]);
    double x[PT_BLOCK];
    float scale[PT_BLOCK], zero[PT_BLOCK], y[PT_BLOCK];
    for (int64_t at = 0; at < total; at += PT_BLOCK) {
        int64_t n = total - at < PT_BLOCK ? total - at : PT_BLOCK;
        pt_load_f64(c->in[0], at, n, x);
        load_entries(c, &p->grid, at, n, scale, zero);
        for (int64_t i = 0; i < n; i++)
            y[i] = (float)(x[i] - (double)zero[i]) * scale[i];
        pt_store_f32(c->out[0], at, n, y);
    }
    return PT_OK;
}

const struct pt_op pt_op_dequantize_linear = {.type = "DequantizeLinear",
                                              .since = {10, 13, 19, 21, 23, 24, 25},
                                              .min_in = 2,
                                              .max_in = 3,
                                              .max_out = 1,
                                              .types = {QUANTISED | PT_T(PT_INT32), PT_TS_REAL | PT_T(PT_FLOAT8E8M0), QUANTISED | PT_T(PT_INT32)},
                                              .params_size = sizeof(struct quantize),
                                              .infer = dequantize_infer,
                                              .run = dequantize_run};

/* --- DynamicQuantizeLinear: the scale maps the range of x, widened to hold 0, onto 0 to 255 ------------------------------------------- */

static int dynamic_infer(struct pt_op_ctx *c)
{
    pt_op_set_out(c, 0, PT_UINT8, c->in[0]->rank, c->in[0]->dims);
    pt_op_set_out(c, 1, PT_FLOAT, 0, NULL);
    pt_op_set_out(c, 2, PT_UINT8, 0, NULL);
    return PT_OK;
}

#define PARTS 64

struct dynamic {
    const float *x;
    uint8_t *y; /* or NULL */
    size_t n, parts;
    float lo[PARTS], hi[PARTS]; /* of each part */
    float scale;
    int32_t zero;
};

static void range_parts(void *arg, size_t begin, size_t end)
{
    struct dynamic *d = arg;
    for (size_t i = begin; i < end; i++) {
        size_t from = i * d->n / d->parts, to = (i + 1) * d->n / d->parts;
        d->lo[i] = d->hi[i] = 0;
        pt_kernels()->range(d->x + from, to - from, &d->lo[i], &d->hi[i]);
    }
}

static void quantise_parts(void *arg, size_t begin, size_t end)
{
    const struct dynamic *d = arg;
    size_t from = begin * d->n / d->parts, to = end * d->n / d->parts;
    pt_kernels()->quantise(d->x + from, to - from, d->scale, d->zero, 0, 255, d->y + from);
}

static int dynamic_run(struct pt_op_ctx *c)
{
    struct dynamic d = {.x = c->in[0]->data, .y = c->out[0] ? c->out[0]->data : NULL, .n = (size_t)pt_tensor_count(c->in[0])};
    d.parts = d.n / (GRAIN / 4) < 1 ? 1 : d.n / (GRAIN / 4) < PARTS ? d.n / (GRAIN / 4) : PARTS;
    pt_parallel_for(c->threads, d.parts, 1, range_parts, &d);
    for (size_t i = 1; i < d.parts; i++) {
        d.lo[0] = d.lo[i] < d.lo[0] ? d.lo[i] : d.lo[0];
        d.hi[0] = d.hi[i] > d.hi[0] ? d.hi[i] : d.hi[0];
    }
    d.scale = d.hi[0] == d.lo[0] ? 1 : (d.hi[0] - d.lo[0]) / 255;
    d.zero = (int32_t)saturate(rint((double)((0 - d.lo[0]) / d.scale)), 0, 255);
    if (d.y)
        pt_parallel_for(c->threads, d.parts, 1, quantise_parts, &d);
    if (c->out_count > 1 && c->out[1])
        *(float *)c->out[1]->data = d.scale;
    if (c->out_count > 2 && c->out[2])
        *(uint8_t *)c->out[2]->data = (uint8_t)d.zero;
    return PT_OK;
}

const struct pt_op pt_op_dynamic_quantize_linear = {.type = "DynamicQuantizeLinear",
                                                    .since = {11},
                                                    .min_in = 1,
                                                    .max_in = 1,
                                                    .max_out = 3,
                                                    .types = {PT_T(PT_FLOAT)},
                                                    .infer = dynamic_infer,
                                                    .run = dynamic_run};
