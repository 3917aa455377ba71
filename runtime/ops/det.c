/* SPDX-License-Identifier: Apache-2.0
 *
 * det.c: Det: the determinant of each matrix in the last two axes, by elimination with the largest pivot of a column, in double.
 */
#include "runtime/ops/types.h"

#include <math.h>

static int det_infer(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0];
    size_t n;
    if (x->rank < 2 || x->dims[x->rank - 1] != x->dims[x->rank - 2])
        return pt_op_fail(c, PT_EINVAL, "input %s holds no square matrices", PT_SHAPE(x));
    n = (size_t)x->dims[x->rank - 1];
    if (__builtin_mul_overflow(n, n * sizeof(double), &c->scratch_bytes) || n > INT32_MAX)
        return pt_op_fail(c, PT_ELIMIT, "matrices of %s are too large", PT_SHAPE(x));
    pt_op_set_out(c, 0, x->dtype, x->rank - 2, x->dims);
    return PT_OK;
}

static double determinant(double *a, int64_t n)
{
    double det = 1;
    for (int64_t k = 0; k < n; k++) {
        int64_t p = k;
        for (int64_t i = k + 1; i < n; i++)
            if (fabs(a[i * n + k]) > fabs(a[p * n + k]))
                p = i;
        det *= p == k ? a[k * n + k] : -a[p * n + k];
        if (a[p * n + k] == 0)
            return det;
        for (int64_t j = k; j < n && p != k; j++) {
            double t = a[k * n + j];
            a[k * n + j] = a[p * n + j];
            a[p * n + j] = t;
        }
        for (int64_t i = k + 1; i < n; i++) {
            double f = a[i * n + k] / a[k * n + k];
            for (int64_t j = k; j < n; j++)
                a[i * n + j] -= f * a[k * n + j];
        }
    }
    return det;
}

static int det_run(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0];
    int64_t n = x->dims[x->rank - 1], count = pt_tensor_count(c->out[0]);
    for (int64_t i = 0; i < count; i++) {
        pt_load_f64(x, i * n * n, n * n, c->scratch);
        pt_store_f64(c->out[0], i, 1, &(double){determinant(c->scratch, n)});
    }
    return PT_OK;
}

const struct pt_op pt_op_det = {
    .type = "Det", .since = {11, 22}, .min_in = 1, .max_in = 1, .max_out = 1, .types = {PT_TS_REAL}, .infer = det_infer, .run = det_run};
