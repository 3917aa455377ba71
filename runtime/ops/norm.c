/* SPDX-License-Identifier: Apache-2.0
 *
 * norm.c: InstanceNormalization, GroupNormalization and LRN: normalisations per channel.
 */
#include "runtime/ops/op.h"

#include <math.h>

static double get(const struct pt_tensor *t, int64_t i)
{
    return t->dtype == PT_FLOAT ? (double)((const float *)t->data)[i] : ((const double *)t->data)[i];
}

static void put(struct pt_tensor *t, int64_t i, double v)
{
    if (t->dtype == PT_FLOAT)
        ((float *)t->data)[i] = (float)v;
    else
        ((double *)t->data)[i] = v;
}

struct norm {
    float epsilon;
    int64_t groups, size;
    float alpha, beta, bias;
};

static int per_channel(struct pt_op_ctx *c, int first, int last, int64_t channels)
{
    for (int i = first; i <= last; i++)
        if (c->in[i]->rank != 1 || c->in[i]->dims[0] != channels)
            return pt_op_fail(c, PT_EINVAL, "input %d is %s, must be one value for each of %lld channels", i, PT_SHAPE(c->in[i]),
                              (long long)channels);
    return PT_OK;
}

/* --- InstanceNormalization and GroupNormalization ------------------------------------------------------------------------------- */

static int instance_infer(struct pt_op_ctx *c)
{
    struct norm *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int rc = pt_attr_float(c, "epsilon", 1e-5f, &p->epsilon);
    if (rc < 0)
        return rc;
    if (x->rank < 2)
        return pt_op_fail(c, PT_EINVAL, "input %s has no channels", PT_SHAPE(x));
    p->groups = x->dims[1];
    pt_infer_same(c);
    return per_channel(c, 1, 2, x->dims[1]);
}

/* Until opset 20 scale and bias are per group, from 21 on per channel. */
static int group_infer(struct pt_op_ctx *c)
{
    struct norm *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int rc = pt_attr_float(c, "epsilon", 1e-5f, &p->epsilon);
    if (rc == PT_OK)
        rc = pt_attr_int(c, "num_groups", 0, 1, INT32_MAX, &p->groups);
    if (rc < 0)
        return rc;
    if (x->rank < 2 || p->groups < 1 || x->dims[1] % p->groups)
        return pt_op_fail(c, PT_EINVAL, "input %s does not divide into %lld groups", PT_SHAPE(x), (long long)p->groups);
    pt_infer_same(c);
    return per_channel(c, 1, 2, c->node->version < 21 ? p->groups : x->dims[1]);
}

/* Mean and 1 / sqrt(variance + epsilon) of n elements, and y = x * scale + shift. */
#define GROUP(id, T, U, s)                                                                                                                           \
    static void statistics_##s(const T *x, int64_t n, double epsilon, double *mean, double *inv)                                                     \
    {                                                                                                                                                \
        double m = 0, v = 0;                                                                                                                         \
        for (int64_t i = 0; i < n; i++)                                                                                                              \
            m += (double)x[i];                                                                                                                       \
        m /= (double)n;                                                                                                                              \
        for (int64_t i = 0; i < n; i++)                                                                                                              \
            v += ((double)x[i] - m) * ((double)x[i] - m);                                                                                            \
        *mean = m;                                                                                                                                   \
        *inv = 1 / sqrt(v / (double)n + epsilon);                                                                                                    \
    }                                                                                                                                                \
    static void scale_##s(const T *x, T *y, int64_t n, double mean, double scale, double shift)                                                      \
    {                                                                                                                                                \
        for (int64_t i = 0; i < n; i++)                                                                                                              \
            y[i] = (T)(((double)x[i] - mean) * scale + shift);                                                                                       \
    }
PT_FLOAT_ROWS(GROUP)

struct group_job {
    const struct pt_op_ctx *c;
    int64_t size, pixels, channels; /* size: elements of a group */
    bool per_group;                 /* scale and bias are per group */
};

static void group_piece(void *arg, size_t begin, size_t end)
{
    const struct group_job *j = arg;
    const struct pt_op_ctx *c = j->c;
    const struct norm *p = c->params;
    bool f32 = c->in[0]->dtype == PT_FLOAT;
    const float *xf = c->in[0]->data;
    const double *xd = c->in[0]->data;
    for (int64_t b = (int64_t)begin; b < (int64_t)end; b++) {
        double mean, inv;
        if (f32)
            statistics_f32(xf + b * j->size, j->size, (double)p->epsilon, &mean, &inv);
        else
            statistics_f64(xd + b * j->size, j->size, (double)p->epsilon, &mean, &inv);
        for (int64_t at = b * j->size; at < (b + 1) * j->size; at += j->pixels) {
            int64_t k = j->per_group ? b % p->groups : at / j->pixels % j->channels;
            double scale = inv * get(c->in[1], k), shift = get(c->in[2], k);
            if (f32)
                scale_f32(xf + at, (float *)c->out[0]->data + at, j->pixels, mean, scale, shift);
            else
                scale_f64(xd + at, (double *)c->out[0]->data + at, j->pixels, mean, scale, shift);
        }
    }
}

static int group_run(struct pt_op_ctx *c)
{
    const struct norm *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int64_t n = pt_tensor_count(x);
    if (n == 0)
        return PT_OK;
    int64_t blocks = x->dims[0] * p->groups, channels = x->dims[1];
    struct group_job j = {c, n / blocks, n / (x->dims[0] * channels), channels, c->in[1]->dims[0] == p->groups && p->groups != channels};
    pt_parallel_for(c->threads, (size_t)blocks, 1, group_piece, &j);
    return PT_OK;
}

const struct pt_op pt_op_instance_normalization = {.type = "InstanceNormalization",
                                                   .since = {1, 6, 22},
                                                   .min_in = 3,
                                                   .max_in = 3,
                                                   .max_out = 1,
                                                   .types = {PT_TS_REAL},
                                                   .flags = PT_OP_SAME_TYPE | PT_OP_WIDEN,
                                                   .params_size = sizeof(struct norm),
                                                   .infer = instance_infer,
                                                   .run = group_run};
const struct pt_op pt_op_group_normalization = {.type = "GroupNormalization",
                                                .since = {18, 21},
                                                .min_in = 3,
                                                .max_in = 3,
                                                .max_out = 1,
                                                .types = {PT_TS_REAL},
                                                .flags = PT_OP_SAME_TYPE | PT_OP_WIDEN,
                                                .params_size = sizeof(struct norm),
                                                .infer = group_infer,
                                                .run = group_run};

/* --- LRN ------------------------------------------------------------------------------------------------------------------------------ */

static int lrn_infer(struct pt_op_ctx *c)
{
    struct norm *p = c->params;
    int rc;
    if ((rc = pt_attr_float(c, "alpha", 1e-4f, &p->alpha)) < 0 || (rc = pt_attr_float(c, "beta", 0.75f, &p->beta)) < 0 ||
        (rc = pt_attr_float(c, "bias", 1, &p->bias)) < 0 || (rc = pt_attr_int(c, "size", 0, 1, INT32_MAX, &p->size)) < 0)
        return rc;
    if (p->size < 1 || c->in[0]->rank < 2)
        return pt_op_fail(c, PT_EINVAL, "attribute 'size' is missing or input %s has no channels", PT_SHAPE(c->in[0]));
    return pt_infer_same(c);
}

static int lrn_run(struct pt_op_ctx *c)
{
    const struct norm *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int64_t n = pt_tensor_count(x), channels = x->dims[1], pixels = n ? n / (x->dims[0] * channels) : 0;
    for (int64_t at = 0; at < n; at++) {
        int64_t ch = at / pixels % channels, first = ch - (p->size - 1) / 2, last = ch + p->size / 2;
        double sum = 0;
        first = first < 0 ? 0 : first;
        last = last >= channels ? channels - 1 : last;
        for (int64_t k = first; k <= last; k++) {
            double v = get(x, at + (k - ch) * pixels);
            sum += v * v;
        }
        put(c->out[0], at, get(x, at) / pow((double)p->bias + (double)p->alpha / (double)p->size * sum, (double)p->beta));
    }
    return PT_OK;
}

const struct pt_op pt_op_lrn = {.type = "LRN",
                                .since = {1, 13},
                                .min_in = 1,
                                .max_in = 1,
                                .max_out = 1,
                                .types = {PT_TS_REAL},
                                .flags = PT_OP_WIDEN,
                                .params_size = sizeof(struct norm),
                                .infer = lrn_infer,
                                .run = lrn_run};
