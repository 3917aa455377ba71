/* SPDX-License-Identifier: Apache-2.0
 *
 * gemm.c: Gemm: Y = alpha A' B' + beta C, C broadcast to Y one-way.
 */
#include "runtime/ops/gemm.h"

static int gemm_infer(struct pt_op_ctx *c)
{
    struct pt_gemm_params *p = c->params;
    const struct pt_tensor *a = c->in[0], *b = c->in[1], *bias = pt_op_in(c, 2);
    int64_t ta, tb, dims[2], all[PT_MAX_RANK];
    int rc, rank = 0;
    if ((rc = pt_attr_float(c, "alpha", 1, &p->alpha)) < 0 || (rc = pt_attr_float(c, "beta", 1, &p->beta)) < 0 ||
        (rc = pt_attr_int(c, "transA", 0, INT64_MIN, INT64_MAX, &ta)) < 0 || (rc = pt_attr_int(c, "transB", 0, INT64_MIN, INT64_MAX, &tb)) < 0)
        return rc;
    p->trans_a = ta != 0;
    p->trans_b = tb != 0;
    if (a->rank != 2 || b->rank != 2)
        return pt_op_fail(c, PT_EINVAL, "inputs %s and %s must be matrices", PT_SHAPE(a), PT_SHAPE(b));
    p->m = dims[0] = a->dims[p->trans_a];
    p->k = a->dims[!p->trans_a];
    p->n = dims[1] = b->dims[!p->trans_b];
    if (b->dims[p->trans_b] != p->k)
        return pt_op_fail(c, PT_EINVAL, "inputs %s%s and %s%s do not multiply", PT_SHAPE(a), p->trans_a ? " (transposed)" : "", PT_SHAPE(b),
                          p->trans_b ? " (transposed)" : "");
    pt_op_set_out(c, 0, a->dtype, 2, dims);
    if (bias && (!pt_bcast_dims(all, &rank, c->out[0]) || !pt_bcast_dims(all, &rank, bias) || rank != 2 || all[0] != dims[0] || all[1] != dims[1]))
        return pt_op_fail(c, PT_EINVAL, "input 2 (C) is %s, which does not broadcast to %s", PT_SHAPE(bias), PT_SHAPE(c->out[0]));
    return PT_OK;
}

/* Sums: floats in double; integers modulo 2^64, unless a factor is not 1. */
#define GEMM(id, T, SUM, s) \
    static void gemm_##s(struct pt_op_ctx *c) \
    { \
        const struct pt_gemm_params *p = c->params; \
        const T *a = c->in[0]->data, *b = c->in[1]->data; \
        const struct pt_tensor *ct = pt_op_in(c, 2); \
        T *y = c->out[0]->data; \
        int64_t ar = p->trans_a ? 1 : p->k, ac = p->trans_a ? p->m : 1, br = p->trans_b ? 1 : p->n, bc = p->trans_b ? p->k : 1; \
        int64_t crow = ct && ct->rank == 2 && ct->dims[0] != 1 ? ct->dims[1] : 0, ccol = ct && ct->rank && ct->dims[ct->rank - 1] != 1; \
        bool scaled = p->alpha != 1 || p->beta != 1; \
        for (int64_t i = 0; i < p->m; i++) \
            for (int64_t j = 0; j < p->n; j++) { \
                SUM sum = 0, bias = ct ? (SUM)((const T *)ct->data)[i * crow + j * ccol] : 0; \
                for (int64_t k = 0; k < p->k; k++) \
                    sum += (SUM)a[i * ar + k * ac] * (SUM)b[k * br + j * bc]; \
                y[i * p->n + j] = scaled ? (T)((double)p->alpha * (double)(T)sum + (double)p->beta * (double)(T)bias) : (T)(sum + bias); \
            } \
    }
#define GEMM_ROWS(X) \
    X(PT_FLOAT, float, double, f32) \
    X(PT_DOUBLE, double, double, f64) \
    X(PT_INT32, int32_t, uint64_t, i32) \
    X(PT_UINT32, uint32_t, uint64_t, u32) \
    X(PT_INT64, int64_t, uint64_t, i64) \
    X(PT_UINT64, uint64_t, uint64_t, u64)
GEMM_ROWS(GEMM)

static int gemm_run(struct pt_op_ctx *c)
{
    switch (c->in[0]->dtype) {
#define CASE(id, T, SUM, s) \
    case id: \
        gemm_##s(c); \
        break;
        GEMM_ROWS(CASE)
    default:
        break;
    }
    return PT_OK;
}

static uint64_t gemm_macs(const struct pt_op_ctx *c)
{
    const struct pt_gemm_params *p = c->params;
    return (uint64_t)pt_tensor_count(c->out[0]) * (uint64_t)p->k;
}

const struct pt_op pt_op_gemm = {.type = "Gemm",
                                 .since = {1, 6, 7, 9, 11, 13},
                                 .min_in = 2,
                                 .max_in = 3,
                                 .max_out = 1,
                                 .types = {PT_TS_REAL | PT_TS_INDEX | PT_T(PT_UINT32) | PT_T(PT_UINT64)},
                                 .flags = PT_OP_SAME_TYPE | PT_OP_WIDEN,
                                 .params_size = sizeof(struct pt_gemm_params),
                                 .infer = gemm_infer,
                                 .run = gemm_run,
                                 .macs = gemm_macs};
