/* SPDX-License-Identifier: Apache-2.0
 *
 * norm_axes.c: LpNormalization along one axis, and MeanVarianceNormalization over several.
 */
#include "runtime/ops/types.h"

#include <math.h>

/* --- LpNormalization: a norm of zero leaves zeros ---------------------------------------------------------------------------------- */

struct lp {
    int64_t p, outer, n, inner;
};

static int lp_infer(struct pt_op_ctx *c)
{
    struct lp *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int64_t axis;
    int a, rc = pt_attr_int(c, "p", 2, 1, 2, &p->p);
    if (rc == PT_OK)
        rc = pt_attr_int(c, "axis", -1, INT32_MIN, INT32_MAX, &axis);
    if (rc == PT_OK)
        rc = pt_op_axis(c, "attribute 'axis'", axis, x->rank, false, &a);
    if (rc < 0)
        return rc;
    p->outer = pt_dims_product(x->dims, a);
    p->n = x->dims[a];
    p->inner = pt_dims_product(x->dims + a + 1, x->rank - a - 1);
    return pt_infer_same(c);
}

static int lp_run(struct pt_op_ctx *c)
{
    const struct lp *p = c->params;
    const struct pt_tensor *x = c->in[0];
    for (int64_t row = 0; p->n && row < p->outer * p->inner; row++) {
        int64_t at = row / p->inner * p->n * p->inner + row % p->inner;
        double norm = 0;
        for (int64_t k = 0; k < p->n; k++) {
            double v = pt_elem_f64(x, at + k * p->inner);
            norm += p->p == 1 ? fabs(v) : v * v;
        }
        norm = p->p == 1 ? norm : sqrt(norm);
        for (int64_t k = 0; k < p->n; k++) {
            double v = norm == 0 ? 0 : pt_elem_f64(x, at + k * p->inner) / norm;
            pt_store_f64(c->out[0], at + k * p->inner, 1, &v);
        }
    }
    return PT_OK;
}

const struct pt_op pt_op_lp_normalization = {.type = "LpNormalization",
                                             .since = {1, 22},
                                             .min_in = 1,
                                             .max_in = 1,
                                             .max_out = 1,
                                             .types = {PT_TS_REAL},
                                             .flags = PT_OP_WIDEN,
                                             .params_size = sizeof(struct lp),
                                             .infer = lp_infer,
                                             .run = lp_run};

/* --- MeanVarianceNormalization: (x - mean) / (standard deviation + 1e-9) ---------------------------------------------------------------- */

struct mvn {
    int64_t stride[PT_MAX_RANK]; /* of the statistics; 0 along reduced axes */
    int64_t stats, per_stat;
};

static int mvn_infer(struct pt_op_ctx *c)
{
    struct mvn *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int64_t axes[PT_MAX_RANK] = {0, 2, 3};
    int n, a, rc = pt_attr_ints(c, "axes", INT32_MIN, INT32_MAX, axes, PT_MAX_RANK, &n);
    bool reduced[PT_MAX_RANK] = {0};
    n = n < 0 ? 3 : n;
    for (int i = 0; rc == PT_OK && i < n; i++)
        if ((rc = pt_op_axis(c, "attribute 'axes'", axes[i], x->rank, false, &a)) == PT_OK)
            reduced[a] = true;
    if (rc < 0)
        return rc;
    p->stats = p->per_stat = 1;
    for (int i = x->rank - 1; i >= 0; i--) {
        p->stride[i] = reduced[i] ? 0 : p->stats;
        *(reduced[i] ? &p->per_stat : &p->stats) *= x->dims[i];
    }
    if (__builtin_mul_overflow((size_t)p->stats, 2 * sizeof(double), &c->scratch_bytes))
        return pt_op_fail(c, PT_ELIMIT, "the statistics of %s are too large", PT_SHAPE(x));
    return pt_infer_same(c);
}

static int64_t stat_of(const struct mvn *p, const struct pt_tensor *x, int64_t i)
{
    int64_t s = 0;
    for (int a = x->rank - 1; a >= 0; a--) {
        s += i % x->dims[a] * p->stride[a];
        i /= x->dims[a];
    }
    return s;
}

static int mvn_run(struct pt_op_ctx *c)
{
    const struct mvn *p = c->params;
    const struct pt_tensor *x = c->in[0];
    if (!p->stats) /* nor any element: no scratch memory either */
        return PT_OK;
    double *mean = c->scratch, *var = mean + p->stats;
    int64_t n = pt_tensor_count(x);
    for (int64_t s = 0; s < 2 * p->stats; s++)
        mean[s] = 0;
    for (int64_t i = 0; i < n; i++)
        mean[stat_of(p, x, i)] += pt_elem_f64(x, i) / (double)p->per_stat;
    for (int64_t i = 0; i < n; i++) {
        int64_t s = stat_of(p, x, i);
        double d = pt_elem_f64(x, i) - mean[s];
        var[s] += d * d / (double)p->per_stat;
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t s = stat_of(p, x, i);
        double v = (pt_elem_f64(x, i) - mean[s]) / (sqrt(var[s]) + 1e-9);
        pt_store_f64(c->out[0], i, 1, &v);
    }
    return PT_OK;
}

const struct pt_op pt_op_mean_variance_normalization = {.type = "MeanVarianceNormalization",
                                                        .since = {9, 13},
                                                        .min_in = 1,
                                                        .max_in = 1,
                                                        .max_out = 1,
                                                        .types = {PT_TS_REAL},
                                                        .flags = PT_OP_WIDEN,
                                                        .params_size = sizeof(struct mvn),
                                                        .infer = mvn_infer,
                                                        .run = mvn_run};
