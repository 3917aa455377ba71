/* SPDX-License-Identifier: Apache-2.0
 *
 * random.c: operators that draw random numbers, and Dropout. With a seed every run draws the same numbers, those of numpy's RandomState; without one
 * each run draws new ones, so none of these operators is ever folded.
 */
#include "runtime/ops/mt19937.h"
#include "runtime/ops/types.h"

#include <math.h>

struct random {
    bool has_seed;
    uint32_t seed;
    float a, b; /* normal: mean and scale; uniform: low and high */
};

static void start(const struct random *p, struct pt_mt *m)
{
    pt_mt_init(m, p->has_seed ? p->seed : pt_mt_fresh_seed());
}

/* The attribute is a float, an int in Dropout. */
static int read_seed(struct pt_op_ctx *c, struct random *p)
{
    const struct pt_onnx_attr *a = pt_node_attr(c->node, "seed");
    if (!a)
        return PT_OK;
    if (a->type != PT_ATTR_FLOAT && a->type != PT_ATTR_INT)
        return pt_op_fail(c, PT_EINVAL, "attribute 'seed' is not a number (type %d)", (int)a->type);
    if (a->type == PT_ATTR_FLOAT && !(fabsf(a->f) < 0x1p62f))
        return a->f == a->f ? pt_op_fail(c, PT_EINVAL, "attribute 'seed' = %g is too large", (double)a->f) : PT_OK;
    p->has_seed = true;
    p->seed = (uint32_t)(a->type == PT_ATTR_INT ? a->i : (int64_t)a->f);
    return PT_OK;
}

static int read_dtype(struct pt_op_ctx *c, int64_t def, uint32_t allowed, enum pt_dtype *out)
{
    int64_t t;
    int rc = pt_attr_int(c, "dtype", def, 1, PT_DTYPE_COUNT - 1, &t);
    if (rc == PT_OK && !(allowed & PT_T(t)))
        return pt_op_fail(c, PT_EUNSUPPORTED, "type %s is not supported for the output", pt_dtype_name((enum pt_dtype)t));
    *out = (enum pt_dtype)t;
    return rc;
}

/* --- RandomNormal, RandomUniform and their Like kinds -------------------------------------------------------------------------------- */

static int random_infer(struct pt_op_ctx *c, bool normal)
{
    struct random *p = c->params;
    const struct pt_tensor *like = pt_op_in(c, 0);
    int64_t dims[PT_MAX_RANK];
    enum pt_dtype dtype;
    int rank = 0, rc = read_seed(c, p);
    if (rc == PT_OK)
        rc = pt_attr_float(c, normal ? "mean" : "low", 0, &p->a);
    if (rc == PT_OK)
        rc = pt_attr_float(c, normal ? "scale" : "high", 1, &p->b);
    if (rc == PT_OK)
        rc = read_dtype(c, like ? like->dtype : PT_FLOAT, PT_TS_REAL, &dtype);
    if (rc == PT_OK && !like)
        rc = pt_attr_ints(c, "shape", 0, INT64_MAX, dims, PT_MAX_RANK, &rank);
    if (rc < 0)
        return rc;
    if (rank < 0)
        return pt_op_fail(c, PT_EINVAL, "attribute 'shape' is missing");
    pt_op_set_out(c, 0, dtype, like ? like->rank : rank, like ? like->dims : dims);
    return PT_OK;
}

static int random_run(struct pt_op_ctx *c, bool normal)
{
    const struct random *p = c->params;
    struct pt_mt m;
    int64_t n = pt_tensor_count(c->out[0]);
    start(p, &m);
    for (int64_t i = 0; i < n; i++) {
        double v = normal ? pt_mt_normal(&m) * (double)p->b + (double)p->a : (double)p->a + ((double)p->b - (double)p->a) * pt_mt_unit(&m);
        pt_store_f64(c->out[0], i, 1, &v);
    }
    return PT_OK;
}

#define ROW(sym, op_name, ins, normal)                                                                                                               \
    static int sym##_infer(struct pt_op_ctx *c)                                                                                                      \
    {                                                                                                                                                \
        return random_infer(c, normal);                                                                                                              \
    }                                                                                                                                                \
    static int sym##_run(struct pt_op_ctx *c)                                                                                                        \
    {                                                                                                                                                \
        return random_run(c, normal);                                                                                                                \
    }                                                                                                                                                \
    const struct pt_op pt_op_##sym = {.type = op_name,                                                                                               \
                                      .since = {1, 22},                                                                                              \
                                      .min_in = ins,                                                                                                 \
                                      .max_in = ins,                                                                                                 \
                                      .max_out = 1,                                                                                                  \
                                      .types = {PT_TS_ANY},                                                                                          \
                                      .flags = PT_OP_RANDOM,                                                                                         \
                                      .params_size = sizeof(struct random),                                                                          \
                                      .infer = sym##_infer,                                                                                          \
                                      .run = sym##_run};
ROW(random_normal, "RandomNormal", 0, true)
ROW(random_normal_like, "RandomNormalLike", 1, true)
ROW(random_uniform, "RandomUniform", 0, false)
ROW(random_uniform_like, "RandomUniformLike", 1, false)
#undef ROW

/* --- Bernoulli: 1 with the probability that the input says -------------------------------------------------------------------------- */

static int bernoulli_infer(struct pt_op_ctx *c)
{
    enum pt_dtype dtype;
    int rc = read_seed(c, c->params);
    if (rc == PT_OK)
        rc = read_dtype(c, c->in[0]->dtype, PT_TS_FIXED, &dtype);
    if (rc == PT_OK)
        pt_op_set_out(c, 0, dtype, c->in[0]->rank, c->in[0]->dims);
    return rc;
}

static int bernoulli_run(struct pt_op_ctx *c)
{
    struct pt_mt m;
    int64_t n = pt_tensor_count(c->out[0]);
    start(c->params, &m);
    for (int64_t i = 0; i < n; i++) {
        double p = pt_elem_f64(c->in[0], i);
        if (!(p >= 0 && p <= 1))
            return pt_op_fail(c, PT_EINVAL, "probability %lld is %g", (long long)i, p);
        double u = p == 0 ? 0 : pt_mt_unit(&m);
        int64_t yes = p <= 0.5 ? u > 1 - p : !(u > p);
        pt_store_i64(c->out[0], i, 1, &yes);
    }
    return PT_OK;
}

const struct pt_op pt_op_bernoulli = {.type = "Bernoulli",
                                      .since = {15, 22},
                                      .min_in = 1,
                                      .max_in = 1,
                                      .max_out = 1,
                                      .types = {PT_TS_REAL},
                                      .flags = PT_OP_RANDOM,
                                      .params_size = sizeof(struct random),
                                      .infer = bernoulli_infer,
                                      .run = bernoulli_run};

/* --- Multinomial: classes by their unnormalised log-probabilities -------------------------------------------------------------------- */

static int multinomial_infer(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0];
    enum pt_dtype dtype;
    int64_t samples;
    int rc = read_seed(c, c->params);
    if (rc == PT_OK)
        rc = read_dtype(c, PT_INT32, PT_TS_INDEX, &dtype);
    if (rc == PT_OK)
        rc = pt_attr_int(c, "sample_size", 1, 1, INT32_MAX, &samples);
    if (rc < 0)
        return rc;
    if (x->rank != 2 || x->dims[1] < 1)
        return pt_op_fail(c, PT_EINVAL, "input %s is not [batch, classes]", PT_SHAPE(x));
    pt_op_set_out(c, 0, dtype, 2, (const int64_t[]){x->dims[0], samples});
    return PT_OK;
}

/* The class at which the running sum of weights passes u. */
static int64_t pick(const struct pt_tensor *x, int64_t row, double max, double u)
{
    double sum = 0;
    int64_t last = 0;
    for (int64_t k = 0; k < x->dims[1]; k++) {
        double w = exp(pt_elem_f64(x, row * x->dims[1] + k) - max);
        sum += w;
        if (u < sum)
            return k;
        last = w > 0 ? k : last;
    }
    return last;
}

static int multinomial_run(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0];
    struct pt_tensor *y = c->out[0];
    int64_t classes = x->dims[1], samples = y->dims[1];
    struct pt_mt m;
    start(c->params, &m);
    for (int64_t r = 0; r < x->dims[0]; r++) {
        double max = -INFINITY, sum = 0;
        for (int64_t k = 0; k < classes; k++)
            max = fmax(max, pt_elem_f64(x, r * classes + k));
        for (int64_t k = 0; k < classes; k++)
            sum += exp(pt_elem_f64(x, r * classes + k) - max);
        if (!(sum > 0 && sum < INFINITY))
            return pt_op_fail(c, PT_EINVAL, "row %lld is no distribution", (long long)r);
        for (int64_t i = 0; i < samples; i++) {
            int64_t k = pick(x, r, max, pt_mt_unit(&m) * sum);
            pt_store_i64(y, r * samples + i, 1, &k);
        }
    }
    return PT_OK;
}

const struct pt_op pt_op_multinomial = {.type = "Multinomial",
                                        .since = {7, 22},
                                        .min_in = 1,
                                        .max_in = 1,
                                        .max_out = 1,
                                        .types = {PT_TS_REAL},
                                        .flags = PT_OP_RANDOM,
                                        .params_size = sizeof(struct random),
                                        .infer = multinomial_infer,
                                        .run = multinomial_run};

/* --- Dropout: drops in training mode only, which exists from opset 12 on; the mask's type was the input's before opset 10 ------------------ */

static int dropout_infer(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0];
    for (int i = 1; i < c->in_count; i++)
        if (c->in[i] && pt_tensor_count(c->in[i]) != 1)
            return pt_op_fail(c, PT_EINVAL, "input %d is %s, must be one value", i, PT_SHAPE(c->in[i]));
    pt_op_set_out(c, 1, c->node->version < 10 ? x->dtype : PT_BOOL, x->rank, x->dims);
    int rc = read_seed(c, c->params);
    return rc < 0 ? rc : pt_infer_same(c);
}

static int dropout_run(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0], *ratio_in = pt_op_in(c, 1), *training = pt_op_in(c, 2);
    struct pt_tensor *y = c->out[0], *mask = c->out_count > 1 ? c->out[1] : NULL;
    double ratio = ratio_in ? pt_elem_f64(ratio_in, 0) : 0.5;
    int64_t n = pt_tensor_count(x);
    bool drops = training && pt_elem_i64(training, 0) != 0 && ratio != 0;
    struct pt_mt m;
    if (!(ratio >= 0 && ratio < 1))
        return pt_op_fail(c, PT_EINVAL, "the ratio is %g, must be in [0, 1)", ratio);
    if (drops)
        start(c->params, &m);
    else if (y && y->data != x->data && y->size_bytes)
        memcpy(y->data, x->data, y->size_bytes);
    if (!drops && !mask)
        return PT_OK;
    for (int64_t i = 0; i < n; i++) {
        int64_t keep = !drops || pt_mt_unit(&m) >= ratio;
        double v = drops ? pt_elem_f64(x, i) * (double)keep * (1 / (1 - ratio)) : 0;
        if (drops && y)
            pt_store_f64(y, i, 1, &v);
        if (mask)
            pt_store_i64(mask, i, 1, &keep);
    }
    return PT_OK;
}

const struct pt_op pt_op_dropout = {.type = "Dropout",
                                    .since = {1, 6, 7, 10, 12, 13, 22},
                                    .min_in = 1,
                                    .max_in = 3,
                                    .max_out = 2,
                                    .types = {PT_TS_REAL | PT_TS_F8, PT_TS_REAL | PT_TS_F8, PT_TS_BOOL},
                                    .flags = PT_OP_INPLACE | PT_OP_RANDOM,
                                    .params_size = sizeof(struct random),
                                    .infer = dropout_infer,
                                    .run = dropout_run};
