/* SPDX-License-Identifier: Apache-2.0
 *
 * ms_linear.c: com.microsoft's CDist, distances between the rows of two matrices, and Inverse, of each matrix in the last two axes, by Gauss-Jordan
 * elimination with the largest pivot of a column. Both compute in double. A singular matrix gives infinities and NaN.
 */
#include "runtime/ops/types.h"

#include <math.h>

/* --- CDist ------------------------------------------------------------------------------------------------------------------------------ */

static int cdist_infer(struct pt_op_ctx *c)
{
    static const char *const metrics[] = {"sqeuclidean", "euclidean", NULL};
    const struct pt_tensor *a = c->in[0], *b = c->in[1];
    int rc = pt_attr_choice(c, "metric", metrics, 0, c->params);
    if (rc < 0)
        return rc;
    if (a->rank != 2 || b->rank != 2 || a->dims[1] != b->dims[1])
        return pt_op_fail(c, PT_EINVAL, "inputs %s and %s must be matrices with rows of one length", PT_SHAPE(a), PT_SHAPE(b));
    size_t row = (size_t)a->dims[1] * sizeof(double);
    if (a->dims[1] > INT32_MAX || __builtin_mul_overflow(row, (size_t)b->dims[0] + 1, &c->scratch_bytes))
        return pt_op_fail(c, PT_ELIMIT, "input 1 %s is too large", PT_SHAPE(b));
    pt_op_set_out(c, 0, a->dtype, 2, (const int64_t[]){a->dims[0], b->dims[0]});
    return PT_OK;
}

static int cdist_run(struct pt_op_ctx *c)
{
    const int *euclidean = c->params;
    int64_t m = c->in[0]->dims[0], n = c->in[1]->dims[0], k = c->in[0]->dims[1];
    double *b = c->scratch, *row = b + n * k;
    pt_load_f64(c->in[1], 0, n * k, b);
    for (int64_t i = 0; i < m; i++) {
        pt_load_f64(c->in[0], i * k, k, row);
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t l = 0; l < k; l++)
                sum += (row[l] - b[j * k + l]) * (row[l] - b[j * k + l]);
            pt_store_f64(c->out[0], i * n + j, 1, &(double){*euclidean ? sqrt(sum) : sum});
        }
    }
    return PT_OK;
}

const struct pt_op pt_op_ms_cdist = {.domain = "com.microsoft",
                                     .type = "CDist",
                                     .since = {1},
                                     .min_in = 2,
                                     .max_in = 2,
                                     .max_out = 1,
                                     .types = {PT_T(PT_FLOAT) | PT_T(PT_DOUBLE)},
                                     .flags = PT_OP_SAME_TYPE,
                                     .params_size = sizeof(int),
                                     .infer = cdist_infer,
                                     .run = cdist_run};

/* --- Inverse ---------------------------------------------------------------------------------------------------------------------------- */

static int inverse_infer(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0];
    if (x->rank < 2 || x->dims[x->rank - 1] != x->dims[x->rank - 2])
        return pt_op_fail(c, PT_EINVAL, "input %s holds no square matrices", PT_SHAPE(x));
    size_t n = (size_t)x->dims[x->rank - 1];
    if (n > INT32_MAX || __builtin_mul_overflow(n, 2 * n * sizeof(double), &c->scratch_bytes))
        return pt_op_fail(c, PT_ELIMIT, "matrices of %s are too large", PT_SHAPE(x));
    pt_op_set_out(c, 0, x->dtype, x->rank, x->dims);
    return PT_OK;
}

static void swap_rows(double *a, int64_t n, int64_t i, int64_t j)
{
    for (int64_t k = 0; i != j && k < n; k++) {
        double t = a[i * n + k];
        a[i * n + k] = a[j * n + k];
        a[j * n + k] = t;
    }
}

/* row i of a minus f times row k */
static void eliminate(double *a, int64_t n, int64_t i, int64_t k, double f)
{
    for (int64_t j = 0; j < n; j++)
        a[i * n + j] -= f * a[k * n + j];
}

static void invert(double *a, double *b, int64_t n)
{
    for (int64_t i = 0; i < n * n; i++)
        b[i] = i % (n + 1) == 0;
    for (int64_t k = 0; k < n; k++) {
        int64_t p = k;
        for (int64_t i = k + 1; i < n; i++)
            p = fabs(a[i * n + k]) > fabs(a[p * n + k]) ? i : p;
        swap_rows(a, n, k, p);
        swap_rows(b, n, k, p);
        double pivot = a[k * n + k];
        for (int64_t j = 0; j < n; j++) {
            a[k * n + j] /= pivot;
            b[k * n + j] /= pivot;
        }
        for (int64_t i = 0; i < n; i++)
            if (i != k) {
                double f = a[i * n + k];
                eliminate(a, n, i, k, f);
                eliminate(b, n, i, k, f);
            }
    }
}

static int inverse_run(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0];
    int64_t n = x->dims[x->rank - 1], size = n * n, total = pt_tensor_count(x);
    double *a = c->scratch, *b = a + size;
    for (int64_t at = 0; size && at < total; at += size) {
        pt_load_f64(x, at, size, a);
        invert(a, b, n);
        pt_store_f64(c->out[0], at, size, b);
    }
    return PT_OK;
}

const struct pt_op pt_op_ms_inverse = {.domain = "com.microsoft",
                                       .type = "Inverse",
                                       .since = {1},
                                       .min_in = 1,
                                       .max_in = 1,
                                       .max_out = 1,
                                       .types = {PT_TS_REAL},
                                       .infer = inverse_infer,
                                       .run = inverse_run};
