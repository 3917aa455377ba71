/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul_integer.c: products of quantised matrices whose result is not quantised: MatMulInteger, and com.microsoft's MatMulInteger16,
 * MatMulIntegerToFloat (scaled, with a bias) and DynamicQuantizeMatMul (A is a float tensor quantised as a whole to uint8).
 */
#include "runtime/ops/int_matmul.h"

/* Per row of A or per column of B: one value, one for each, or one for each of every matrix. */
static int check_zero(struct pt_op_ctx *c, int i, const struct pt_tensor *data, int64_t each)
{
    const struct pt_tensor *t = i < 0 ? NULL : pt_op_in(c, i);
    int64_t all = data->rank > 2 ? pt_dims_product(data->dims, data->rank - 2) * each : each, n = t ? pt_tensor_count(t) : 1;
    int rc = i < 0 ? PT_OK : pt_quant_type(c, i, "zero point", PT_T(data->dtype));
    if (rc < 0 || n == 1 || n == each || n == all)
        return rc;
    return pt_op_fail(c, PT_EINVAL, "input %d (zero point) is %s, must be one value or %lld", i, PT_SHAPE(t), (long long)each);
}

static int infer(struct pt_op_ctx *c, enum pt_dtype out)
{
    struct pt_int_matmul_params *p = c->params;
    const struct pt_tensor *a = c->in[0], *b = c->in[1], *bias = p->bias < 0 ? NULL : pt_op_in(c, p->bias);
    struct pt_tensor as_uint8 = *a;
    as_uint8.dtype = PT_UINT8;
    int rc = pt_matmul_plan(c, &p->mm, a, b, out);
    if (rc < 0 || (rc = check_zero(c, p->a_zero, p->dynamic ? &as_uint8 : a, p->mm.m)) < 0 || (rc = check_zero(c, p->b_zero, b, p->mm.n)) < 0)
        return rc;
    if (p->a_scale >= 0 && (rc = pt_quant_params(c, p->a_scale, -1, a->dtype, 1)) < 0)
        return rc;
    if (p->b_scale >= 0 && (rc = pt_quant_params(c, p->b_scale, -1, b->dtype, p->mm.n)) < 0)
        return rc;
    if (bias && (bias->dtype != out || bias->rank != 1 || bias->dims[0] != p->mm.n))
        return pt_op_fail(c, PT_EINVAL, "input %d (bias) is %s, must be %s[%lld]", p->bias, PT_SHAPE(bias), pt_dtype_name(out), (long long)p->mm.n);
    size_t acc, quantised = p->dynamic ? (size_t)pt_tensor_count(a) : 0;
    if (__builtin_mul_overflow((size_t)p->mm.m, (size_t)p->mm.n * sizeof(int32_t), &acc) || __builtin_add_overflow(acc, quantised, &c->scratch_bytes))
        return pt_op_fail(c, PT_ELIMIT, "the product is too large");
    return PT_OK;
}

static int64_t zero_offset(const struct pt_tensor *t, int64_t each, int64_t matrix)
{
    return t && pt_tensor_count(t) > each && each > 0 ? matrix * each : 0;
}

/* Matrix of batch i into acc. */
static void product(struct pt_op_ctx *c, int64_t i, const void *a, enum pt_dtype a_type, const struct pt_tensor *a_zero, int32_t *acc)
{
    const struct pt_int_matmul_params *p = c->params;
    const struct pt_tensor *bt = c->in[1], *b_zero = p->b_zero < 0 ? NULL : pt_op_in(c, p->b_zero);
    int64_t ao, bo, yo, m = p->mm.m, n = p->mm.n, k = p->mm.k;
    pt_matmul_at(&p->mm, i, &ao, &bo, &yo);
    struct pt_int_product g = {.m = m,
                               .n = n,
                               .k = k,
                               .a_row = k,
                               .a_col = 1,
                               .b_row = n,
                               .b_col = 1,
                               .a_type = a_type,
                               .b_type = bt->dtype,
                               .a = (const char *)a + (size_t)ao * pt_dtype_size(a_type),
                               .b = (const char *)bt->data + (size_t)bo * pt_dtype_size(bt->dtype),
                               .a_zero = a_zero,
                               .b_zero = b_zero,
                               .y = acc};
    g.a_zero_at = zero_offset(a_zero, m, m * k != 0 ? ao / (m * k) : 0);
    g.b_zero_at = zero_offset(b_zero, n, n * k != 0 ? bo / (n * k) : 0);
    pt_int_product(&g, c->threads);
}

/* --- to int32 ----------------------------------------------------------------------------------------------------------------- */

static int integer_infer(struct pt_op_ctx *c)
{
    *(struct pt_int_matmul_params *)c->params = (struct pt_int_matmul_params){
        .b = 1, .a_scale = -1, .b_scale = -1, .a_zero = 2, .b_zero = 3, .sums = -1, .bias = -1, .y_scale = -1, .y_zero = -1};
    return infer(c, PT_INT32);
}

static int integer_run(struct pt_op_ctx *c)
{
    const struct pt_int_matmul_params *p = c->params;
    for (int64_t i = 0, batch = pt_dims_product(p->mm.dims, p->mm.axes); i < batch; i++)
        product(c, i, c->in[0]->data, c->in[0]->dtype, pt_op_in(c, 2), (int32_t *)c->out[0]->data + i * p->mm.m * p->mm.n);
    return PT_OK;
}

/* --- to float ----------------------------------------------------------------------------------------------------------------- */

static void scale_matrix(struct pt_op_ctx *c, const int32_t *acc, float a_scale, float *y)
{
    const struct pt_int_matmul_params *p = c->params;
    const struct pt_tensor *b_scale = pt_op_in(c, p->b_scale), *bias = pt_op_in(c, p->bias);
    for (int64_t i = 0; i < p->mm.m; i++)
        for (int64_t j = 0; j < p->mm.n; j++) {
            float v = (float)acc[i * p->mm.n + j] * (a_scale * pt_quant_scale(b_scale, j));
            y[i * p->mm.n + j] = bias ? v + ((const float *)bias->data)[j] : v;
        }
}

static int run_scaled(struct pt_op_ctx *c, const void *a, enum pt_dtype a_type, float a_scale, const struct pt_tensor *a_zero)
{
    const struct pt_int_matmul_params *p = c->params;
    int64_t size = p->mm.m * p->mm.n;
    for (int64_t i = 0, batch = pt_dims_product(p->mm.dims, p->mm.axes); i < batch; i++) {
        product(c, i, a, a_type, a_zero, c->scratch);
        scale_matrix(c, c->scratch, a_scale, (float *)c->out[0]->data + i * size);
    }
    return PT_OK;
}

static int to_float_infer(struct pt_op_ctx *c)
{
    *(struct pt_int_matmul_params *)c->params = (struct pt_int_matmul_params){
        .alpha = 1, .b = 1, .a_scale = 2, .b_scale = 3, .a_zero = 4, .b_zero = 5, .sums = -1, .bias = 6, .y_scale = -1, .y_zero = -1};
    return infer(c, PT_FLOAT);
}

static int to_float_run(struct pt_op_ctx *c)
{
    return run_scaled(c, c->in[0]->data, c->in[0]->dtype, pt_quant_scale(c->in[2], 0), pt_op_in(c, 4));
}

static int dynamic_infer(struct pt_op_ctx *c)
{
    *(struct pt_int_matmul_params *)c->params = (struct pt_int_matmul_params){.alpha = 1,
                                                                              .dynamic = true,
                                                                              .b = 1,
                                                                              .a_scale = -1,
                                                                              .b_scale = 2,
                                                                              .a_zero = -1,
                                                                              .b_zero = 3,
                                                                              .sums = -1,
                                                                              .bias = 4,
                                                                              .y_scale = -1,
                                                                              .y_zero = -1};
    int rc = pt_quant_type(c, 0, "A", PT_T(PT_FLOAT));
    return rc < 0 ? rc : infer(c, PT_FLOAT);
}

static int dynamic_run(struct pt_op_ctx *c)
{
    const struct pt_int_matmul_params *p = c->params;
    const float *x = c->in[0]->data;
    int64_t n = pt_tensor_count(c->in[0]);
    struct pt_tensor q = {.dtype = PT_UINT8, .data = (int32_t *)c->scratch + p->mm.m * p->mm.n}, zero = {.dtype = PT_UINT8};
    float scale;
    int32_t z;
    pt_quant_measure(x, n, &scale, &z);
    for (int64_t i = 0; i < n; i++)
        pt_quant_put(&q, i, x[i] / scale, z);
    uint8_t zero_byte = (uint8_t)z;
    zero.data = &zero_byte;
    return run_scaled(c, q.data, PT_UINT8, scale, &zero);
}

static uint64_t macs(const struct pt_op_ctx *c)
{
    return (uint64_t)pt_tensor_count(c->out[0]) * (uint64_t)((const struct pt_int_matmul_params *)c->params)->mm.k;
}

#define ROW(sym, dom, op_name, since_version, min, max, ts, infer_fn, run_fn)                                                                        \
    const struct pt_op pt_op_##sym = {.domain = dom,                                                                                                 \
                                      .type = op_name,                                                                                               \
                                      .since = {since_version},                                                                                      \
                                      .min_in = min,                                                                                                 \
                                      .max_in = max,                                                                                                 \
                                      .max_out = 1,                                                                                                  \
                                      .types = {ts},                                                                                                 \
                                      .params_size = sizeof(struct pt_int_matmul_params),                                                            \
                                      .infer = infer_fn,                                                                                             \
                                      .run = run_fn,                                                                                                 \
                                      .macs = macs};
ROW(matmul_integer, "", "MatMulInteger", 10, 2, 4, PT_TS_8BIT, integer_infer, integer_run)
ROW(ms_matmul_integer16, "com.microsoft", "MatMulInteger16", 1, 2, 2, PT_TS_16BIT, integer_infer, integer_run)
#undef ROW
#define ROW(sym, op_name, min, max, ts, infer_fn, run_fn)                                                                                            \
    const struct pt_op pt_op_##sym = {.domain = "com.microsoft",                                                                                     \
                                      .type = op_name,                                                                                               \
                                      .since = {1},                                                                                                  \
                                      .min_in = min,                                                                                                 \
                                      .max_in = max,                                                                                                 \
                                      .max_out = 1,                                                                                                  \
                                      .types = {ts, PT_TS_8BIT, PT_T(PT_FLOAT), PT_TS_8BIT | PT_T(PT_FLOAT)},                                        \
                                      .params_size = sizeof(struct pt_int_matmul_params),                                                            \
                                      .infer = infer_fn,                                                                                             \
                                      .run = run_fn,                                                                                                 \
                                      .macs = macs};
ROW(ms_matmul_integer_to_float, "MatMulIntegerToFloat", 4, 7, PT_TS_8BIT, to_float_infer, to_float_run)
ROW(ms_dynamic_quantize_matmul, "DynamicQuantizeMatMul", 3, 5, PT_T(PT_FLOAT), dynamic_infer, dynamic_run)
