/* SPDX-License-Identifier: Apache-2.0
 *
 * batchnorm.c: BatchNormalization. In inference it applies the given mean and variance; in training mode (attribute training_mode from opset 14 on,
 * more than one output wanted before) those of the batch, and gives the running ones as further outputs. With spatial = 0 (before opset 9) there is a
 * mean for each place of an image and not one per channel.
 */
#include "runtime/ops/batchnorm.h"
#include "runtime/ops/types.h"

#include <math.h>

static int check_statistics(struct pt_op_ctx *c, const struct pt_batchnorm_params *p)
{
    for (int i = 1; i < 5; i++)
        if (pt_tensor_count(c->in[i]) != p->channels)
            return pt_op_fail(c, PT_EINVAL, "input %d is %s, must be one value for each of %lld channels", i, PT_SHAPE(c->in[i]),
                              (long long)p->channels);
    return PT_OK;
}

static bool wanted(const struct pt_op_ctx *c, int i)
{
    return i < c->out_count && c->out[i];
}

static int batch_infer(struct pt_op_ctx *c)
{
    struct pt_batchnorm_params *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int64_t training = 0, spatial = 1;
    int rc = pt_attr_float(c, "epsilon", 1e-5f, &p->epsilon);
    if (rc == PT_OK)
        rc = pt_attr_float(c, "momentum", 0.9f, &p->momentum);
    if (rc == PT_OK && c->node->version >= 14)
        rc = pt_attr_int(c, "training_mode", 0, 0, 1, &training);
    if (rc == PT_OK && c->node->version < 9)
        rc = pt_attr_int(c, "spatial", 1, 0, 1, &spatial);
    if (rc < 0)
        return rc;
    if (x->rank < 1)
        return pt_op_fail(c, PT_EINVAL, "input %s has no channels", PT_SHAPE(x));
    p->training = training != 0;
    for (int i = 1; i < 5; i++)
        p->training = p->training || (c->node->version < 14 && wanted(c, i));
    p->images = x->dims[0];
    p->channels = x->rank < 2 ? 1 : spatial ? x->dims[1] : pt_dims_product(x->dims + 1, x->rank - 1);
    p->pixels = spatial && x->rank > 2 ? pt_dims_product(x->dims + 2, x->rank - 2) : 1;
    pt_infer_same(c);
    for (int i = 1; i < 5; i++)
        pt_op_like(c, i, c->in[i % 2 ? 3 : 4]); /* mean, variance, and both of the batch */
    return check_statistics(c, p);
}

static void batch_statistics(const struct pt_batchnorm_params *p, const struct pt_tensor *x, int64_t ch, double *mean, double *var)
{
    double n = (double)p->images * (double)p->pixels, m = 0, v = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; p->pixels && i < p->images; i++)
            for (int64_t k = 0; k < p->pixels; k++) {
                double e = pt_elem_f64(x, (i * p->channels + ch) * p->pixels + k);
                if (pass == 0)
                    m += e / n;
                else
                    v += (e - m) * (e - m) / n;
            }
    *mean = m;
    *var = v;
}

static void put_statistics(struct pt_op_ctx *c, const struct pt_batchnorm_params *p, int64_t ch, double mean, double var)
{
    double keep = (double)p->momentum, values[5] = {0, 0, 0, mean, var};
    values[1] = pt_elem_f64(c->in[3], ch) * keep + mean * (1 - keep);
    values[2] = pt_elem_f64(c->in[4], ch) * keep + var * (1 - keep);
    for (int i = 1; i < 5; i++)
        if (wanted(c, i))
            pt_store_f64(c->out[i], ch, 1, &values[i]);
}

static void apply(const struct pt_batchnorm_params *p, const struct pt_tensor *x, struct pt_tensor *y, int64_t at, double scale, double shift)
{
    if (x->dtype == PT_FLOAT)
        for (int64_t k = at; k < at + p->pixels; k++)
            ((float *)y->data)[k] = (float)((double)((const float *)x->data)[k] * scale + shift);
    else
        for (int64_t k = at; k < at + p->pixels; k++)
            ((double *)y->data)[k] = ((const double *)x->data)[k] * scale + shift;
}

static int batch_run(struct pt_op_ctx *c)
{
    const struct pt_batchnorm_params *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int64_t images = p->pixels ? p->images : 0;
    for (int64_t ch = 0; ch < p->channels; ch++) {
        double mean = pt_elem_f64(c->in[3], ch), var = pt_elem_f64(c->in[4], ch);
        if (p->training) {
            batch_statistics(p, x, ch, &mean, &var);
            put_statistics(c, p, ch, mean, var);
        }
        double scale = pt_elem_f64(c->in[1], ch) / sqrt(var + (double)p->epsilon);
        double shift = pt_elem_f64(c->in[2], ch) - mean * scale;
        for (int64_t i = 0; c->out[0] && i < images; i++)
            apply(p, x, c->out[0], (i * p->channels + ch) * p->pixels, scale, shift);
    }
    return PT_OK;
}

const struct pt_op pt_op_batch_normalization = {.type = "BatchNormalization",
                                                .since = {1, 6, 7, 9, 14, 15},
                                                .min_in = 5,
                                                .max_in = 5,
                                                .max_out = 5,
                                                .types = {PT_TS_REAL},
                                                .flags = PT_OP_WIDEN,
                                                .params_size = sizeof(struct pt_batchnorm_params),
                                                .infer = batch_infer,
                                                .run = batch_run};
