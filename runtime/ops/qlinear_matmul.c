/* SPDX-License-Identifier: Apache-2.0
 *
 * qlinear_matmul.c: products of quantised matrices with a quantised result: QLinearMatMul, and com.microsoft's QGemm (whose result is float when
 * it is given no scale).
 */
#include "runtime/ops/int_matmul.h"

static int too_large(struct pt_op_ctx *c, int64_t m, int64_t n)
{
    size_t bytes;
    if (__builtin_mul_overflow((size_t)m, (size_t)n, &bytes) || __builtin_mul_overflow(bytes, sizeof(int32_t), &bytes))
        return pt_op_fail(c, PT_ELIMIT, "the product is too large");
    c->scratch_bytes = bytes;
    return PT_OK;
}

/* --- QLinearMatMul: a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero ------------------------------------------------------ */

static int64_t matrices(const struct pt_tensor *t)
{
    return t->rank > 2 ? pt_dims_product(t->dims, t->rank - 2) : 1;
}

/* One scale and zero point, or one per row or column, of the matrix or of every matrix. */
static int check_operand(struct pt_op_ctx *c, int scale, const struct pt_tensor *data, int64_t each)
{
    int64_t all = each * matrices(data);
    return pt_quant_params(c, scale, scale + 1, data->dtype, pt_tensor_count(c->in[scale]) == all ? all : each);
}

static int matmul_infer(struct pt_op_ctx *c)
{
    struct pt_int_matmul_params *p = c->params;
    const struct pt_tensor *a = c->in[0], *b = c->in[3];
    int rc;
    *p = (struct pt_int_matmul_params){
        .alpha = 1, .b = 3, .a_scale = 1, .b_scale = 4, .a_zero = 2, .b_zero = 5, .sums = -1, .bias = -1, .y_scale = 6, .y_zero = 7};
    if ((rc = pt_quant_type(c, 3, "b", PT_TS_8BIT)) < 0 || (rc = pt_quant_type(c, 7, "y_zero_point", PT_TS_8BIT)) < 0 ||
        (rc = pt_matmul_plan(c, &p->mm, a, b, c->in[7]->dtype)) < 0 || (rc = check_operand(c, 1, a, p->mm.m)) < 0 ||
        (rc = check_operand(c, 4, b, p->mm.n)) < 0 || (rc = pt_quant_params(c, 6, 7, c->in[7]->dtype, p->mm.m)) < 0)
        return rc;
    return too_large(c, p->mm.m, p->mm.n);
}

static int64_t offset(const struct pt_tensor *t, int64_t each, int64_t matrix)
{
    return pt_tensor_count(t) > each ? matrix * each : 0;
}

static int matmul_run(struct pt_op_ctx *c)
{
    const struct pt_int_matmul_params *p = c->params;
    const struct pt_tensor *a = c->in[0], *b = c->in[3];
    int64_t m = p->mm.m, n = p->mm.n, k = p->mm.k;
    int32_t *acc = c->scratch;
    for (int64_t i = 0, batch = pt_dims_product(p->mm.dims, p->mm.axes); i < batch; i++) {
        int64_t ao, bo, yo;
        pt_matmul_at(&p->mm, i, &ao, &bo, &yo);
        int64_t am = m * k != 0 ? ao / (m * k) : 0, bm = n * k != 0 ? bo / (n * k) : 0, as = offset(c->in[1], m, am), bs = offset(c->in[4], n, bm);
        struct pt_int_product g = {.m = m,
                                   .n = n,
                                   .k = k,
                                   .a_row = k,
                                   .a_col = 1,
                                   .b_row = n,
                                   .b_col = 1,
                                   .a_type = a->dtype,
                                   .b_type = b->dtype,
                                   .a = (const int8_t *)a->data + ao,
                                   .b = (const int8_t *)b->data + bo,
                                   .a_zero = c->in[2],
                                   .b_zero = c->in[5],
                                   .a_zero_at = offset(c->in[2], m, am),
                                   .b_zero_at = offset(c->in[5], n, bm),
                                   .y = acc};
        pt_int_product(&g, c->threads);
        for (int64_t r = 0; r < m; r++)
            for (int64_t j = 0; j < n; j++) {
                float scale = pt_quant_scale(c->in[1], as + r) * pt_quant_scale(c->in[4], bs + j) / pt_quant_scale(c->in[6], r);
                pt_quant_put(c->out[0], yo + r * n + j, (float)acc[r * n + j] * scale, pt_quant_zero(c->in[7], r));
            }
    }
    return PT_OK;
}

static uint64_t macs(const struct pt_op_ctx *c)
{
    return (uint64_t)pt_tensor_count(c->out[0]) * (uint64_t)((const struct pt_int_matmul_params *)c->params)->mm.k;
}

const struct pt_op pt_op_qlinear_matmul = {.type = "QLinearMatMul",
                                           .since = {10, 21},
                                           .min_in = 8,
                                           .max_in = 8,
                                           .max_out = 1,
                                           .types = {PT_TS_8BIT, PT_TS_SCALE, PT_TS_8BIT, PT_TS_8BIT | PT_TS_SCALE},
                                           .params_size = sizeof(struct pt_int_matmul_params),
                                           .infer = matmul_infer,
                                           .run = matmul_run,
                                           .macs = macs};

/* --- QGemm: A, a_scale, a_zero, B, b_scale, b_zero, C, y_scale, y_zero -------------------------------------------------------------- */

static int gemm_infer(struct pt_op_ctx *c)
{
    struct pt_int_matmul_params *p = c->params;
    const struct pt_tensor *a = c->in[0], *b = c->in[3], *bias = pt_op_in(c, 6), *y_scale = pt_op_in(c, 7), *y_zero = pt_op_in(c, 8);
    int64_t ta, tb, dims[2], all[PT_MAX_RANK];
    int rc, rank = 0;
    *p = (struct pt_int_matmul_params){
        .b = 3, .a_scale = 1, .b_scale = 4, .a_zero = 2, .b_zero = 5, .sums = 6, .bias = -1, .y_scale = y_scale ? 7 : -1, .y_zero = 8};
    if ((rc = pt_attr_float(c, "alpha", 1, &p->alpha)) < 0 || (rc = pt_attr_int(c, "transA", 0, 0, 1, &ta)) < 0 ||
        (rc = pt_attr_int(c, "transB", 0, 0, 1, &tb)) < 0 || (rc = pt_quant_type(c, 3, "B", PT_TS_8BIT)) < 0 ||
        (rc = pt_quant_type(c, 6, "C", PT_T(PT_INT32))) < 0 || (rc = pt_quant_type(c, 8, "y_zero_point", PT_TS_8BIT)) < 0)
        return rc;
    p->trans_a = ta;
    p->trans_b = tb;
    if (a->rank != 2 || b->rank != 2 || a->dims[!ta] != b->dims[tb])
        return pt_op_fail(c, PT_EINVAL, "inputs %s%s and %s%s do not multiply", PT_SHAPE(a), ta ? " (transposed)" : "", PT_SHAPE(b),
                          tb ? " (transposed)" : "");
    p->mm.m = dims[0] = a->dims[ta];
    p->mm.k = a->dims[!ta];
    p->mm.n = dims[1] = b->dims[!tb];
    enum pt_dtype out = !y_scale ? PT_FLOAT : y_zero ? y_zero->dtype : a->dtype;
    if ((rc = pt_quant_params(c, 1, 2, a->dtype, 1)) < 0 || (rc = pt_quant_params(c, 4, 5, b->dtype, p->mm.n)) < 0 ||
        (rc = pt_quant_params(c, 7, 8, out, 1)) < 0)
        return rc;
    pt_op_set_out(c, 0, out, 2, dims);
    if (bias && (!pt_bcast_dims(all, &rank, c->out[0]) || !pt_bcast_dims(all, &rank, bias) || rank != 2 || all[0] != dims[0] || all[1] != dims[1]))
        return pt_op_fail(c, PT_EINVAL, "input 6 (C) is %s, which does not broadcast to %s", PT_SHAPE(bias), PT_SHAPE(c->out[0]));
    return too_large(c, p->mm.m, p->mm.n);
}

static int gemm_run(struct pt_op_ctx *c)
{
    const struct pt_int_matmul_params *p = c->params;
    const struct pt_tensor *bias = pt_op_in(c, 6), *y_scale = pt_op_in(c, 7), *y_zero = pt_op_in(c, 8);
    int64_t m = p->mm.m, n = p->mm.n, k = p->mm.k;
    int64_t brow = bias && bias->rank == 2 && bias->dims[0] != 1 ? bias->dims[1] : 0, bcol = bias && bias->rank && bias->dims[bias->rank - 1] != 1;
    int32_t *acc = c->scratch;
    struct pt_int_product g = {.m = m,
                               .n = n,
                               .k = k,
                               .a_row = p->trans_a ? 1 : k,
                               .a_col = p->trans_a ? m : 1,
                               .b_row = p->trans_b ? 1 : n,
                               .b_col = p->trans_b ? k : 1,
                               .a_type = c->in[0]->dtype,
                               .b_type = c->in[3]->dtype,
                               .a = c->in[0]->data,
                               .b = c->in[3]->data,
                               .a_zero = pt_op_in(c, 2),
                               .b_zero = pt_op_in(c, 5),
                               .y = acc};
    pt_int_product(&g, c->threads);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            float scale = p->alpha * pt_quant_scale(c->in[1], 0) * pt_quant_scale(c->in[4], j);
            uint32_t sum = (uint32_t)acc[i * n + j];
            if (bias)
                sum += (uint32_t)((const int32_t *)bias->data)[i * brow + j * bcol];
            if (y_scale)
                pt_quant_put(c->out[0], i * n + j, (float)(int32_t)sum * (scale / pt_quant_scale(y_scale, 0)), pt_quant_zero(y_zero, 0));
            else
                ((float *)c->out[0]->data)[i * n + j] = (float)(int32_t)sum * scale;
        }
    return PT_OK;
}

const struct pt_op pt_op_ms_qgemm = {.domain = "com.microsoft",
                                     .type = "QGemm",
                                     .since = {1},
                                     .min_in = 6,
                                     .max_in = 9,
                                     .max_out = 1,
                                     .types = {PT_TS_8BIT, PT_T(PT_FLOAT), PT_TS_8BIT, PT_TS_8BIT | PT_T(PT_FLOAT) | PT_T(PT_INT32)},
                                     .params_size = sizeof(struct pt_int_matmul_params),
                                     .infer = gemm_infer,
                                     .run = gemm_run,
                                     .macs = macs};
