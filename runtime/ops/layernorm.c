/* SPDX-License-Identifier: Apache-2.0
 *
 * layernorm.c: LayerNormalization and RMSNormalization over the axes from `axis` to the last. Scale and bias broadcast to the input.
 */
#include "runtime/ops/layernorm.h"
#include "runtime/ops/types.h"

#include <math.h>

static int infer(struct pt_op_ctx *c, bool rms)
{
    struct pt_layernorm_params *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int64_t axis, stash, dims[PT_MAX_RANK], all[PT_MAX_RANK];
    int a, rc;
    if ((rc = pt_attr_int(c, "axis", -1, INT32_MIN, INT32_MAX, &axis)) < 0 || (rc = pt_attr_int(c, "stash_type", 1, 0, PT_DTYPE_COUNT - 1, &stash)) < 0 ||
        (rc = pt_attr_float(c, "epsilon", 1e-5f, &p->epsilon)) < 0 || (rc = pt_op_axis(c, "attribute 'axis'", axis, x->rank, false, &a)) < 0)
        return rc;
    p->rms = rms;
    p->rows = pt_dims_product(x->dims, a);
    p->n = pt_dims_product(x->dims + a, x->rank - a);
    for (int i = 1; i < 3; i++) {
        const struct pt_tensor *t = pt_op_in(c, i);
        int rank = 0;
        if (t &&
            (!pt_bcast_dims(all, &rank, x) || !pt_bcast_dims(all, &rank, t) || rank != x->rank || memcmp(all, x->dims, (size_t)rank * sizeof *all)))
            return pt_op_fail(c, PT_EINVAL, "input %d is %s, which does not broadcast to %s", i, PT_SHAPE(t), PT_SHAPE(x));
    }
    for (int i = 0; i < x->rank; i++)
        dims[i] = i < a ? x->dims[i] : 1;
    if (!(PT_TS_REAL & PT_T(stash)))
        return pt_op_fail(c, PT_EINVAL, "attribute 'stash_type' is %s, not a float type", pt_dtype_name((enum pt_dtype)stash));
    pt_op_set_out(c, 0, rms ? c->in[1]->dtype : x->dtype, x->rank, x->dims);
    pt_op_set_out(c, 1, (enum pt_dtype)stash, x->rank, dims);
    pt_op_set_out(c, 2, (enum pt_dtype)stash, x->rank, dims);
    return PT_OK;
}

static int layernorm_infer(struct pt_op_ctx *c)
{
    return infer(c, false);
}

static int rmsnorm_infer(struct pt_op_ctx *c)
{
    return infer(c, true);
}

static double get(const struct pt_tensor *t, int64_t i)
{
    return t->dtype == PT_FLOAT ? (double)((const float *)t->data)[i] : ((const double *)t->data)[i];
}

static void normalise_row(struct pt_op_ctx *c, int64_t r, double *mean, double *inv)
{
    const struct pt_layernorm_params *p = c->params;
    double m = 0, v = 0;
    for (int64_t i = 0; !p->rms && i < p->n; i++)
        m += get(c->in[0], r * p->n + i);
    m /= (double)p->n;
    for (int64_t i = 0; i < p->n; i++) {
        double d = get(c->in[0], r * p->n + i) - (p->rms ? 0 : m);
        v += d * d;
    }
    *mean = p->rms ? 0 : m;
    *inv = 1 / sqrt(v / (double)p->n + (double)p->epsilon);
}

static void put_statistics(struct pt_op_ctx *c, int64_t row, double mean, double inv)
{
    if (c->out_count > 1 && c->out[1])
        pt_store_f64(c->out[1], row, 1, &mean);
    if (c->out_count > 2 && c->out[2])
        pt_store_f64(c->out[2], row, 1, &inv);
}

static int layernorm_run(struct pt_op_ctx *c)
{
    const struct pt_layernorm_params *p = c->params;
    const struct pt_tensor *scale = c->in[1], *bias = pt_op_in(c, 2);
    struct pt_tensor *y = c->out[0];
    struct pt_bcast w;
    const struct pt_tensor *in[2] = {scale, bias ? bias : scale};
    double mean = 0, inv = 0;
    pt_bcast_init(&w, y, 2, in);
    for (int64_t r = 0; p->n == 0 && r < p->rows; r++)
        put_statistics(c, r, (double)NAN, (double)NAN); /* of nothing */
    for (int64_t r = 0, at = 0; r < w.rows; r++) {
        int64_t off[PT_BCAST_MAX];
        pt_bcast_row(&w, r, off);
        for (int64_t i = 0; i < w.n; i++, at++) {
            if (at % p->n == 0) {
                normalise_row(c, at / p->n, &mean, &inv);
                put_statistics(c, at / p->n, mean, inv);
            }
            double v = (get(c->in[0], at) - mean) * inv * get(scale, off[0] + i * w.step[0]) + (bias ? get(bias, off[1] + i * w.step[1]) : 0);
            if (y->dtype == PT_FLOAT)
                ((float *)y->data)[at] = (float)v;
            else
                ((double *)y->data)[at] = v;
        }
    }
    return PT_OK;
}

const struct pt_op pt_op_layer_normalization = {.type = "LayerNormalization",
                                                .since = {1, 17},
                                                .min_in = 2,
                                                .max_in = 3,
                                                .max_out = 3,
                                                .types = {PT_TS_REAL},
                                                .flags = PT_OP_SAME_TYPE | PT_OP_WIDEN,
                                                .params_size = sizeof(struct pt_layernorm_params),
                                                .infer = layernorm_infer,
                                                .run = layernorm_run};
const struct pt_op pt_op_rms_normalization = {.type = "RMSNormalization",
                                              .since = {23},
                                              .min_in = 2,
                                              .max_in = 2,
                                              .max_out = 1,
                                              .types = {PT_TS_REAL},
                                              .flags = PT_OP_WIDEN,
                                              .params_size = sizeof(struct pt_layernorm_params),
                                              .infer = rmsnorm_infer,
                                              .run = layernorm_run};
