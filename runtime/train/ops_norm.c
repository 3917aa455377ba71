/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_norm.c: the derivatives of normalisations and of softmax. Sums are in double.
 *
 * With xh = (x - mean) / sd and n elements to a mean: dx = scale / sd (dy - mean(dy) - xh mean(dy xh)), where mean and variance are of x itself;
 * where they are given, dx = scale / sd dy. dscale = sum dy xh, dbias = sum dy.
 */
#include "runtime/train/ops.h"

#include "runtime/ops/types.h"
#include "runtime/train/norm.h"

#include <math.h>

static int outputs_like(struct pt_op_ctx *c, const struct pt_tensor *scale)
{
    if (!pt_dims_equal(c->in[0], c->in[1]))
        return pt_op_fail(c, PT_EINVAL, "%s and %s differ", PT_SHAPE(c->in[0]), PT_SHAPE(c->in[1]));
    pt_infer_same(c);
    pt_op_like(c, 1, scale);
    pt_op_like(c, 2, scale);
    return PT_OK;
}

static int batch_infer(struct pt_op_ctx *c)
{
    struct pt_norm_grad *p = c->params;
    const struct pt_tensor *x = c->in[1];
    int64_t training = 0;
    int rc = pt_attr_float(c, "epsilon", 1e-5F, &p->epsilon);
    if (rc == PT_OK && c->node->version >= 14)
        rc = pt_attr_int(c, "training_mode", 0, 0, 1, &training);
    if (rc < 0)
        return rc;
    if (x->rank < 2)
        return pt_op_fail(c, PT_EINVAL, "%s has no channels", PT_SHAPE(x));
    p->given = !training;
    p->outer = x->dims[0];
    p->count = x->dims[1];
    p->inner = pt_dims_product(x->dims + 2, x->rank - 2);
    return outputs_like(c, c->in[2]);
}

PT_REALS(channel, (struct pt_op_ctx * c, const struct pt_norm_grad *p, int64_t ch), {
    const real *dy = c->in[0]->data, *x = c->in[1]->data;
    double n = (double)(p->outer * p->inner), mean = 0, var = 0, sum = 0, prod = 0;
    int64_t step = p->count * p->inner, at = ch * p->inner;
    if (p->given) {
        mean = pt_elem_f64(c->in[3], ch);
        var = pt_elem_f64(c->in[4], ch);
    }
    for (int64_t i = 0; !p->given && i < p->outer; i++)
        for (int64_t k = at + i * step; k < at + i * step + p->inner; k++)
            mean += (double)x[k];
    mean = p->given ? mean : mean / n;
    for (int64_t i = 0; !p->given && i < p->outer; i++)
        for (int64_t k = at + i * step; k < at + i * step + p->inner; k++)
            var += ((double)x[k] - mean) * ((double)x[k] - mean);
    var = p->given ? var : var / n;
    double inv = 1 / sqrt(var + (double)p->epsilon), scale = pt_elem_f64(c->in[2], ch) * inv;
    for (int64_t i = 0; i < p->outer; i++)
        for (int64_t k = at + i * step; k < at + i * step + p->inner; k++) {
            sum += (double)dy[k];
            prod += (double)dy[k] * ((double)x[k] - mean);
        }
    prod *= inv;
    real *dx = c->out[0] ? c->out[0]->data : NULL;
    real a = (real)scale, b = (real)(p->given ? 0 : -scale * prod * inv / n), d = (real)(p->given ? 0 : -scale * sum / n), m = (real)mean;
    for (int64_t i = 0; dx && i < p->outer; i++)
        for (int64_t k = at + i * step; k < at + i * step + p->inner; k++)
            dx[k] = a * dy[k] + b * (x[k] - m) + d;
    if (c->out[1])
        ((real *)c->out[1]->data)[ch] = (real)prod;
    if (c->out[2])
        ((real *)c->out[2]->data)[ch] = (real)sum;
})

static int batch_run(struct pt_op_ctx *c)
{
    const struct pt_norm_grad *p = c->params;
    for (int64_t ch = 0; ch < p->count; ch++)
        PT_REAL_CALL(c, channel, c, p, ch);
    return PT_OK;
}

const struct pt_op pt_grad_batchnorm = {.type = "BatchNormalizationGrad",
                                        .since = {1},
                                        .min_in = 5,
                                        .max_in = 5,
                                        .max_out = 3,
                                        .types = {PT_TS_FLOAT},
                                        .params_size = sizeof(struct pt_norm_grad),
                                        .infer = batch_infer,
                                        .run = batch_run};

/* The derivatives of scale and bias, n of each, where somebody wants them. */
static int put_sums(struct pt_op_ctx *c, const double *sums, int64_t n)
{
    for (int i = 0; i < 2; i++)
        if (c->out[1 + i])
            pt_store_f64(c->out[1 + i], 0, n, sums + i * n);
    return PT_OK;
}

static int layer_infer(struct pt_op_ctx *c)
{
    struct pt_norm_grad *p = c->params;
    const struct pt_tensor *x = c->in[1], *scale = c->in[2];
    int64_t axis;
    int at, rc = pt_attr_float(c, "epsilon", 1e-5F, &p->epsilon);
    if (rc < 0 || (rc = pt_attr_int(c, "axis", -1, INT64_MIN, INT64_MAX, &axis)) < 0 || (rc = pt_op_axis(c, "axis", axis, x->rank, false, &at)) < 0)
        return rc;
    p->outer = pt_dims_product(x->dims, at);
    p->inner = pt_dims_product(x->dims + at, x->rank - at);
    if (pt_tensor_count(scale) != p->inner)
        return pt_op_fail(c, PT_EUNSUPPORTED, "the derivative with a scale of %s is not supported: one value for each of %lld elements is",
                          PT_SHAPE(scale), (long long)p->inner);
    c->scratch_bytes = 2 * (size_t)p->inner * sizeof(double);
    return outputs_like(c, scale);
}

PT_REALS(layer, (struct pt_op_ctx * c, const struct pt_norm_grad *p, double *dscale, double *dbias), {
    const real *dy = c->in[0]->data, *x = c->in[1]->data, *scale = c->in[2]->data;
    real *dx = c->out[0] ? c->out[0]->data : NULL;
    double n = (double)p->inner;
    for (int64_t r = 0; r < p->outer; r++, x += p->inner, dy += p->inner) {
        double mean = 0, var = 0, sum = 0, prod = 0;
        for (int64_t i = 0; i < p->inner; i++)
            mean += (double)x[i];
        mean /= n;
        for (int64_t i = 0; i < p->inner; i++)
            var += ((double)x[i] - mean) * ((double)x[i] - mean);
        double inv = 1 / sqrt(var / n + (double)p->epsilon);
        for (int64_t i = 0; i < p->inner; i++) {
            double g = (double)dy[i] * (double)scale[i], xh = ((double)x[i] - mean) * inv;
            sum += g;
            prod += g * xh;
            dscale[i] += (double)dy[i] * xh;
            dbias[i] += (double)dy[i];
        }
        for (int64_t i = 0; dx && i < p->inner; i++)
            dx[r * p->inner + i] = (real)(inv * ((double)dy[i] * (double)scale[i] - sum / n - ((double)x[i] - mean) * inv * prod / n));
    }
})

static int layer_run(struct pt_op_ctx *c)
{
    const struct pt_norm_grad *p = c->params;
    double *sums = c->scratch;
    memset(sums, 0, 2 * (size_t)p->inner * sizeof *sums);
    PT_REAL_CALL(c, layer, c, p, sums, sums + p->inner);
    return put_sums(c, sums, p->inner);
}

const struct pt_op pt_grad_layernorm = {.type = "LayerNormalizationGrad",
                                        .since = {1},
                                        .min_in = 3,
                                        .max_in = 3,
                                        .max_out = 3,
                                        .types = {PT_TS_FLOAT},
                                        .params_size = sizeof(struct pt_norm_grad),
                                        .infer = layer_infer,
                                        .run = layer_run};

/* --- InstanceNormalization: a mean and a variance for each channel of each image ------------------------------------------------------------------
 */

static int instance_infer(struct pt_op_ctx *c)
{
    struct pt_norm_grad *p = c->params;
    const struct pt_tensor *x = c->in[1];
    int rc = pt_attr_float(c, "epsilon", 1e-5F, &p->epsilon);
    if (rc < 0)
        return rc;
    if (x->rank < 3 || pt_tensor_count(c->in[2]) != x->dims[1])
        return pt_op_fail(c, PT_EINVAL, "the scale %s is not one value for each channel of %s", PT_SHAPE(c->in[2]), PT_SHAPE(x));
    p->outer = x->dims[0];
    p->count = x->dims[1];
    p->inner = pt_dims_product(x->dims + 2, x->rank - 2);
    c->scratch_bytes = 2 * (size_t)p->count * sizeof(double);
    return outputs_like(c, c->in[2]);
}

/* Sums of one plane are added to those of its channel. */
PT_REALS(plane, (const struct pt_op_ctx *c, const struct pt_norm_grad *p, int64_t at, double *dscale, double *dbias), {
    const real *dy = (const real *)c->in[0]->data + at * p->inner;
    const real *x = (const real *)c->in[1]->data + at * p->inner;
    real *dx = c->out[0] ? (real *)c->out[0]->data + at * p->inner : NULL;
    double n = (double)p->inner;
    double mean = 0;
    double var = 0;
    double sum = 0;
    double prod = 0;
    for (int64_t i = 0; i < p->inner; i++)
        mean += (double)x[i] / n;
    for (int64_t i = 0; i < p->inner; i++)
        var += ((double)x[i] - mean) * ((double)x[i] - mean) / n;
    double inv = 1 / sqrt(var + (double)p->epsilon);
    for (int64_t i = 0; i < p->inner; i++) {
        sum += (double)dy[i];
        prod += (double)dy[i] * ((double)x[i] - mean) * inv;
    }
    double scale = pt_elem_f64(c->in[2], at % p->count) * inv;
    for (int64_t i = 0; dx && i < p->inner; i++)
        dx[i] = (real)(scale * ((double)dy[i] - sum / n - ((double)x[i] - mean) * inv * prod / n));
    dscale[at % p->count] += prod;
    dbias[at % p->count] += sum;
})

static int instance_run(struct pt_op_ctx *c)
{
    const struct pt_norm_grad *p = c->params;
    double *sums = c->scratch;
    memset(sums, 0, 2 * (size_t)p->count * sizeof *sums);
    for (int64_t at = 0; p->inner && at < p->outer * p->count; at++)
        PT_REAL_CALL(c, plane, c, p, at, sums, sums + p->count);
    return put_sums(c, sums, p->count);
}

const struct pt_op pt_grad_instancenorm = {.type = "InstanceNormalizationGrad",
                                           .since = {1},
                                           .min_in = 3,
                                           .max_in = 3,
                                           .max_out = 3,
                                           .types = {PT_TS_FLOAT},
                                           .params_size = sizeof(struct pt_norm_grad),
                                           .infer = instance_infer,
                                           .run = instance_run};

/* --- softmax: dx = y (dy - sum dy y); its logarithm: dx = dy - exp(y) sum dy -------------------------------------------------------------------- */

static int softmax_infer(struct pt_op_ctx *c)
{
    struct pt_norm_grad *p = c->params;
    const struct pt_tensor *y = c->in[1];
    bool flat = c->node->version < 13; /* everything behind the axis is one row */
    int64_t axis;
    int at, rc = pt_attr_int(c, "axis", flat ? 1 : -1, INT64_MIN, INT64_MAX, &axis);
    if (rc < 0 || (rc = pt_op_axis(c, "axis", axis, y->rank, flat, &at)) < 0)
        return rc;
    p->outer = pt_dims_product(y->dims, at);
    p->count = flat ? pt_dims_product(y->dims + at, y->rank - at) : y->dims[at];
    p->inner = flat ? 1 : pt_dims_product(y->dims + at + 1, y->rank - at - 1);
    return pt_infer_same(c);
}

static void softmax(struct pt_op_ctx *c, bool logarithm)
{
    const struct pt_norm_grad *p = c->params;
    for (int64_t o = 0; o < p->outer; o++)
        for (int64_t in = 0; in < p->inner; in++) {
            int64_t at = o * p->count * p->inner + in;
            double sum = 0, dy, y;
            for (int64_t i = 0; i < p->count; i++) {
                dy = pt_elem_f64(c->in[0], at + i * p->inner);
                sum += logarithm ? dy : dy * pt_elem_f64(c->in[1], at + i * p->inner);
            }
            for (int64_t i = 0; i < p->count; i++) {
                dy = pt_elem_f64(c->in[0], at + i * p->inner);
                y = pt_elem_f64(c->in[1], at + i * p->inner);
                double dx = logarithm ? dy - exp(y) * sum : y * (dy - sum);
                pt_store_f64(c->out[0], at + i * p->inner, 1, &dx);
            }
        }
}

static int softmax_run(struct pt_op_ctx *c)
{
    softmax(c, false);
    return PT_OK;
}

static int log_softmax_run(struct pt_op_ctx *c)
{
    softmax(c, true);
    return PT_OK;
}

const struct pt_op pt_grad_softmax = {.type = "SoftmaxGrad",
                                      .since = {1},
                                      .min_in = 2,
                                      .max_in = 2,
                                      .max_out = 1,
                                      .types = {PT_TS_FLOAT},
                                      .flags = PT_OP_SAME_TYPE,
                                      .params_size = sizeof(struct pt_norm_grad),
                                      .infer = softmax_infer,
                                      .run = softmax_run};
const struct pt_op pt_grad_log_softmax = {.type = "LogSoftmaxGrad",
                                          .since = {1},
                                          .min_in = 2,
                                          .max_in = 2,
                                          .max_out = 1,
                                          .types = {PT_TS_FLOAT},
                                          .flags = PT_OP_SAME_TYPE,
                                          .params_size = sizeof(struct pt_norm_grad),
                                          .infer = softmax_infer,
                                          .run = log_softmax_run};
