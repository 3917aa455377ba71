/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul.c: MatMul as numpy.matmul. The compiler may add a bias (input 2, one value per column), a residual (input 3), a factor, an
 * activation, and transpositions of the operands and of the result: all of that is strides here.
 */
#include "runtime/ops/gemm.h"

#include "runtime/ops/fused.h"

struct view {
    int rank;
    int64_t dims[PT_MAX_RANK], stride[PT_MAX_RANK];
};

/* t seen through a transposition (NULL: as it is). */
static void view_of(const struct pt_tensor *t, const int *perm, struct view *v)
{
    int64_t stride[PT_MAX_RANK], s = 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        stride[i] = s;
        s *= t->dims[i];
    }
    v->rank = t->rank;
    for (int i = 0; i < t->rank; i++) {
        v->dims[i] = t->dims[perm ? perm[i] : i];
        v->stride[i] = stride[perm ? perm[i] : i];
    }
}

/* A vector is a row on the left and a column on the right; the added axis is dropped from the result. */
static void as_matrix(struct view *v, bool left)
{
    if (v->rank > 1)
        return;
    int one = left ? 0 : 1, it = 1 - one;
    v->dims[it] = v->dims[0];
    v->stride[it] = v->stride[0];
    v->dims[one] = 1;
    v->stride[one] = 0;
    v->rank = 2;
}

static int batch_dims(struct pt_op_ctx *c, struct pt_matmul_params *p, const struct view *a, const struct view *b)
{
    p->axes = (a->rank > b->rank ? a->rank : b->rank) - 2;
    for (int i = 0; i < p->axes; i++) {
        int ia = a->rank - 2 - p->axes + i, ib = b->rank - 2 - p->axes + i;
        int64_t da = ia < 0 ? 1 : a->dims[ia], db = ib < 0 ? 1 : b->dims[ib];
        if (da != db && da != 1 && db != 1)
            return pt_op_fail(c, PT_EINVAL, "inputs %s and %s do not multiply", PT_SHAPE(c->in[0]), PT_SHAPE(c->in[1]));
        p->dims[i] = da == 1 ? db : da;
        p->a[i] = da == 1 ? 0 : a->stride[ia];
        p->b[i] = db == 1 ? 0 : b->stride[ib];
    }
    return PT_OK;
}

/* The result in its own order; out_perm then moves the axes, so each stride is looked up where its axis went. */
static void place_result(struct pt_op_ctx *c, struct pt_matmul_params *p)
{
    int64_t dims[PT_MAX_RANK], out[PT_MAX_RANK], stride[PT_MAX_RANK], s = 1;
    const int *perm = c->node->fusion.out_perm;
    int rank = 0;
    for (int i = 0; i < p->axes; i++)
        dims[rank++] = p->dims[i];
    if (c->in[0]->rank > 1)
        dims[rank++] = p->m;
    if (c->in[1]->rank > 1)
        dims[rank++] = p->n;
    for (int i = 0; i < rank; i++)
        out[i] = dims[perm ? perm[i] : i];
    for (int i = rank - 1; i >= 0; i--) {
        stride[perm ? perm[i] : i] = s;
        s *= out[i];
    }
    int at = 0;
    for (; at < p->axes; at++)
        p->c[at] = stride[at];
    p->c_row = c->in[0]->rank > 1 ? stride[at++] : 0;
    p->c_col = c->in[1]->rank > 1 ? stride[at] : 0;
    pt_op_set_out(c, 0, c->in[0]->dtype, rank, out);
}

static int matmul_infer(struct pt_op_ctx *c)
{
    struct pt_matmul_params *p = c->params;
    struct view a, b;
    if (c->in[0]->rank < 1 || c->in[1]->rank < 1)
        return pt_op_fail(c, PT_EINVAL, "inputs %s and %s must have rank 1 or more", PT_SHAPE(c->in[0]), PT_SHAPE(c->in[1]));
    view_of(c->in[0], c->node->fusion.in_perm[0], &a);
    view_of(c->in[1], c->node->fusion.in_perm[1], &b);
    as_matrix(&a, true);
    as_matrix(&b, false);
    p->m = a.dims[a.rank - 2];
    p->k = a.dims[a.rank - 1];
    p->n = b.dims[b.rank - 1];
    if (b.dims[b.rank - 2] != p->k)
        return pt_op_fail(c, PT_EINVAL, "inputs %s and %s do not multiply", PT_SHAPE(c->in[0]), PT_SHAPE(c->in[1]));
    p->a_row = a.stride[a.rank - 2];
    p->a_col = a.stride[a.rank - 1];
    p->b_row = b.stride[b.rank - 2];
    p->b_col = b.stride[b.rank - 1];
    int rc = batch_dims(c, p, &a, &b);
    if (rc < 0)
        return rc;
    place_result(c, p);
    const struct pt_tensor *bias = pt_op_in(c, 2), *residual = pt_op_in(c, 3);
    if (bias && (bias->rank != 1 || bias->dims[0] != p->n))
        return pt_op_fail(c, PT_EINTERNAL, "fused bias is %s", PT_SHAPE(bias));
    if (residual && !pt_dims_equal(residual, c->out[0]))
        return pt_op_fail(c, PT_EINTERNAL, "fused residual is %s", PT_SHAPE(residual));
    return PT_OK;
}

/* Sums: floats in double, integers modulo 2^width. */
#define MATRIX(T, SUM, s, FINISH) \
    static void matrix_##s(struct pt_op_ctx *c, const T *a, const T *b, T *y, const T *residual) \
    { \
        const struct pt_matmul_params *p = c->params; \
        const struct pt_tensor *bt = pt_op_in(c, 2); \
        const T *bias = bt ? bt->data : NULL; \
        (void)residual, (void)bias; \
        for (int64_t i = 0; i < p->m; i++) \
            for (int64_t j = 0; j < p->n; j++) { \
                int64_t at = i * p->c_row + j * p->c_col; \
                SUM sum = 0; \
                for (int64_t k = 0; k < p->k; k++) \
                    sum += (SUM)a[i * p->a_row + k * p->a_col] * (SUM)b[k * p->b_row + j * p->b_col]; \
                y[at] = FINISH; \
            } \
    }
#define FLOAT_FINISH(T) \
    (T)pt_fused_act(&c->node->fusion, sum *(c->node->fusion.alpha != 0 ? (double)c->node->fusion.alpha : 1) + (bias ? (double)bias[j] : 0) + \
                                          (residual ? (double)residual[at] : 0))
MATRIX(float, double, f32, FLOAT_FINISH(float))
MATRIX(double, double, f64, FLOAT_FINISH(double))
MATRIX(int32_t, uint32_t, i32, (int32_t)sum)
MATRIX(uint32_t, uint32_t, u32, sum)
MATRIX(int64_t, uint64_t, i64, (int64_t)sum)
MATRIX(uint64_t, uint64_t, u64, sum)

static int matmul_run(struct pt_op_ctx *c)
{
    const struct pt_matmul_params *p = c->params;
    const struct pt_tensor *rt = pt_op_in(c, 3);
    int64_t batch = pt_dims_product(p->dims, p->axes);
    for (int64_t i = 0; i < batch; i++) {
        int64_t a = 0, b = 0, y = 0, rest = i;
        for (int k = p->axes - 1; k >= 0; k--) {
            int64_t at = rest % p->dims[k];
            rest /= p->dims[k];
            a += at * p->a[k];
            b += at * p->b[k];
            y += at * p->c[k];
        }
        switch (c->in[0]->dtype) {
#define CASE(id, T, U, s) \
    case id: \
        matrix_##s(c, (const T *)c->in[0]->data + a, (const T *)c->in[1]->data + b, (T *)c->out[0]->data + y, rt ? (const T *)rt->data + y : NULL); \
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

const struct pt_op pt_op_matmul = {.type = "MatMul", .since = {1, 9, 13}, .min_in = 2, .max_in = 2, .max_out = 1,
                                   .types = {PT_TS_FLOAT | PT_TS_INDEX | PT_T(PT_UINT32) | PT_T(PT_UINT64)}, .flags = PT_OP_SAME_TYPE,
                                   .params_size = sizeof(struct pt_matmul_params), .infer = matmul_infer, .run = matmul_run, .macs = matmul_macs};
