/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul.c: MatMul as numpy.matmul: matrices in the last two axes, the others broadcast.
 */
#include "runtime/ops/gemm.h"

/* Axis `back` places before the matrix axes, 1 where there is none; its stride, 0 when it repeats. A vector counts as a matrix. */
static int64_t batch_axis(const struct pt_tensor *t, int back, int64_t *stride)
{
    int axis = t->rank - 3 - back;
    *stride = axis < 0 || t->dims[axis] == 1 ? 0 : pt_dims_product(t->dims + axis + 1, t->rank - axis - 1);
    return axis < 0 ? 1 : t->dims[axis];
}

int pt_matmul_plan(struct pt_op_ctx *c, struct pt_matmul_params *p, const struct pt_tensor *a, const struct pt_tensor *b, enum pt_dtype type)
{
    int64_t dims[PT_MAX_RANK];
    if (a->rank < 1 || b->rank < 1)
        return pt_op_fail(c, PT_EINVAL, "inputs %s and %s must have rank 1 or more", PT_SHAPE(a), PT_SHAPE(b));
    p->m = a->rank > 1 ? a->dims[a->rank - 2] : 1;
    p->k = a->dims[a->rank - 1];
    p->n = b->rank > 1 ? b->dims[b->rank - 1] : 1;
    int rank = (a->rank > b->rank ? a->rank : b->rank) - 2;
    p->axes = rank = rank < 0 ? 0 : rank;
    bool fits = b->dims[b->rank > 1 ? b->rank - 2 : 0] == p->k;
    for (int i = 0; fits && i < p->axes; i++) {
        int64_t da = batch_axis(a, p->axes - 1 - i, &p->a[i]), db = batch_axis(b, p->axes - 1 - i, &p->b[i]);
        fits = da == db || da == 1 || db == 1;
        p->dims[i] = dims[i] = da == 1 ? db : da;
    }
    if (!fits)
        return pt_op_fail(c, PT_EINVAL, "inputs %s and %s do not multiply", PT_SHAPE(a), PT_SHAPE(b));
    if (a->rank > 1)
        dims[rank++] = p->m;
    if (b->rank > 1)
        dims[rank++] = p->n;
    pt_op_set_out(c, 0, type, rank, dims);
    int64_t stride;
    if (__builtin_mul_overflow(p->m, p->n, &stride))
        return pt_op_fail(c, PT_ELIMIT, "the result is too large");
    for (int i = p->axes - 1; i >= 0; i--) {
        p->c[i] = stride;
        if (__builtin_mul_overflow(stride, p->dims[i], &stride))
            return pt_op_fail(c, PT_ELIMIT, "the result is too large");
    }
    return PT_OK;
}

static int matmul_infer(struct pt_op_ctx *c)
{
    return pt_matmul_plan(c, c->params, c->in[0], c->in[1], c->in[0]->dtype);
}

void pt_matmul_at(const struct pt_matmul_params *p, int64_t i, int64_t *a, int64_t *b, int64_t *y)
{
    *a = *b = *y = 0;
    for (int k = p->axes - 1; k >= 0; k--) {
        int64_t at = i % p->dims[k];
        i /= p->dims[k];
        *a += at * p->a[k];
        *b += at * p->b[k];
        *y += at * p->c[k];
    }
}

/* Sums: floats in double, integers modulo 2^width. */
#define MATRIX(T, SUM, s)                                                                                                                            \
    static void matrix_##s(const struct pt_matmul_params *p, const T *a, const T *b, T *y)                                                           \
    {                                                                                                                                                \
        for (int64_t i = 0; i < p->m; i++)                                                                                                           \
            for (int64_t j = 0; j < p->n; j++) {                                                                                                     \
                SUM sum = 0;                                                                                                                         \
                for (int64_t k = 0; k < p->k; k++)                                                                                                   \
                    sum += (SUM)a[i * p->k + k] * (SUM)b[k * p->n + j];                                                                              \
                y[i * p->n + j] = (T)sum;                                                                                                            \
            }                                                                                                                                        \
    }
MATRIX(float, double, f32)
MATRIX(double, double, f64)
MATRIX(int32_t, uint32_t, i32)
MATRIX(uint32_t, uint32_t, u32)
MATRIX(int64_t, uint64_t, i64)
MATRIX(uint64_t, uint64_t, u64)

static int matmul_run(struct pt_op_ctx *c)
{
    const struct pt_matmul_params *p = c->params;
    int64_t batch = pt_dims_product(p->dims, p->axes);
    for (int64_t i = 0; i < batch; i++) {
        int64_t a, b, y;
        pt_matmul_at(p, i, &a, &b, &y);
        switch (c->in[0]->dtype) {
#define CASE(id, T, U, s)                                                                                                                            \
    case id:                                                                                                                                         \
        matrix_##s(p, (const T *)c->in[0]->data + a, (const T *)c->in[1]->data + b, (T *)c->out[0]->data + y);                                       \
        break;
            PT_FLOAT_ROWS(CASE)
            CASE(PT_INT32, int32_t, , i32)
            CASE(PT_UINT32, uint32_t, , u32)
            CASE(PT_INT64, int64_t, , i64)
            CASE(PT_UINT64, uint64_t, , u64)
        default:
            break;
        }
    }
    return PT_OK;
}

static uint64_t matmul_macs(const struct pt_op_ctx *c)
{
    const struct pt_matmul_params *p = c->params;
    return (uint64_t)pt_tensor_count(c->out[0]) * (uint64_t)p->k;
}

const struct pt_op pt_op_matmul = {.type = "MatMul",
                                   .since = {1, 9, 13},
                                   .min_in = 2,
                                   .max_in = 2,
                                   .max_out = 1,
                                   .types = {PT_TS_REAL | PT_TS_INDEX | PT_T(PT_UINT32) | PT_T(PT_UINT64)},
                                   .flags = PT_OP_SAME_TYPE | PT_OP_WIDEN,
                                   .params_size = sizeof(struct pt_matmul_params),
                                   .infer = matmul_infer,
                                   .run = matmul_run,
                                   .macs = matmul_macs};
