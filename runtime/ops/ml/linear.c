/* SPDX-License-Identifier: Apache-2.0
 *
 * linear.c: LinearRegressor and LinearClassifier: scores = X * coefficients^T + intercepts, one row of coefficients per target.
 */
#include "runtime/ops/ml/ml.h"

struct linear {
    const float *coefficients, *intercepts;
    int64_t features, targets;
    int post;
    struct pt_ml_labels labels; /* classifier */
};

static int read_linear(struct pt_op_ctx *c, struct linear *p)
{
    int64_t coefficients, intercepts;
    int rc = pt_attr_floats(c, "coefficients", &p->coefficients, &coefficients);
    if (rc < 0 || (rc = pt_attr_floats(c, "intercepts", &p->intercepts, &intercepts)) < 0 || (rc = pt_ml_read_post(c, &p->post)) < 0)
        return rc;
    if (!p->targets)
        p->targets = intercepts > 0 ? intercepts : p->labels.count;
    if (coefficients < 1 || coefficients % p->targets)
        return pt_op_fail(c, PT_EINVAL, "attribute 'coefficients' has %lld values for %lld targets", (long long)coefficients, (long long)p->targets);
    if (intercepts > 0 && intercepts != p->targets)
        return pt_op_fail(c, PT_EINVAL, "attribute 'intercepts' has %lld values for %lld targets", (long long)intercepts, (long long)p->targets);
    p->intercepts = intercepts > 0 ? p->intercepts : NULL;
    p->features = coefficients / p->targets;
    return PT_OK;
}

static int check_input(struct pt_op_ctx *c, int64_t *rows)
{
    const struct linear *p = c->node->prepared;
    int64_t columns;
    int rc = pt_ml_matrix(c, 0, rows, &columns);
    if (rc < 0)
        return rc;
    if (columns != p->features)
        return pt_op_fail(c, PT_EINVAL, "input %s, but the coefficients are for %lld features", PT_SHAPE(c->in[0]), (long long)p->features);
    c->scratch_bytes = PT_ML_PIECES * ((size_t)p->targets + 2) * sizeof(double);
    return PT_OK;
}

static double dot(const double *x, const float *w, int64_t n)
{
    double sum[4] = {0};
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++)
            sum[k] += x[i + k] * (double)w[i + k];
    for (; i < n; i++)
        sum[0] += x[i] * (double)w[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static void score(const struct linear *p, const struct pt_tensor *x, int64_t row, double *s)
{
    double v[PT_BLOCK];
    for (int64_t k = 0; k < p->targets; k++)
        s[k] = p->intercepts ? (double)p->intercepts[k] : 0;
    for (int64_t at = 0; at < p->features; at += PT_BLOCK) {
        int64_t m = p->features - at < PT_BLOCK ? p->features - at : PT_BLOCK;
        pt_load_f64(x, row * p->features + at, m, v);
        for (int64_t k = 0; k < p->targets; k++)
            s[k] += dot(v, p->coefficients + k * p->features + at, m);
    }
}

static double *scores_of(const struct pt_op_ctx *c, int piece)
{
    const struct linear *p = c->node->prepared;
    return (double *)c->scratch + (size_t)piece * ((size_t)p->targets + 2);
}

/* --- LinearRegressor ------------------------------------------------------------------------------------------------------------------------ */

static int linear_regressor_prepare(struct pt_op_ctx *c, void **prepared)
{
    struct linear *p = pt_op_alloc(c, sizeof *p);
    int rc;
    if (!p)
        return c->err->code;
    *p = (struct linear){0};
    *prepared = p;
    return (rc = pt_attr_int(c, "targets", 1, 1, INT32_MAX, &p->targets)) < 0 ? rc : read_linear(c, p);
}

static int linear_regressor_infer(struct pt_op_ctx *c)
{
    const struct linear *p = c->node->prepared;
    int64_t dims[2] = {0, p->targets};
    int rc = check_input(c, &dims[0]);
    pt_op_set_out(c, 0, PT_FLOAT, 2, dims);
    return rc;
}

static void regress(void *arg, int piece, int64_t first, int64_t end)
{
    const struct pt_op_ctx *c = arg;
    const struct linear *p = c->node->prepared;
    double *s = scores_of(c, piece);
    for (int64_t r = first; r < end; r++) {
        score(p, c->in[0], r, s);
        pt_ml_write_scores(p->post, PT_ML_ALONE, s, p->targets, (float *)c->out[0]->data + r * p->targets);
    }
}

static int linear_regressor_run(struct pt_op_ctx *c)
{
    const struct linear *p = c->node->prepared;
    pt_ml_each_row(c->threads, c->out[0]->dims[0], p->features * p->targets, regress, c);
    return PT_OK;
}

const struct pt_op pt_op_ml_linear_regressor = {.domain = PT_ML_DOMAIN,
                                                .type = "LinearRegressor",
                                                .since = {1},
                                                .min_in = 1,
                                                .max_in = 1,
                                                .max_out = 1,
                                                .types = {PT_ML_NUM},
                                                .prepare = linear_regressor_prepare,
                                                .infer = linear_regressor_infer,
                                                .run = linear_regressor_run};

/* --- LinearClassifier: with one row of coefficients and two labels, the score's sign decides ----------------------------------------------- */

static int linear_classifier_prepare(struct pt_op_ctx *c, void **prepared)
{
    struct linear *p = pt_op_alloc(c, sizeof *p);
    int rc;
    if (!p)
        return c->err->code;
    *p = (struct linear){0};
    *prepared = p;
    if ((rc = pt_ml_read_labels(c, "classlabels_ints", "classlabels_strings", &p->labels)) < 0 || (rc = read_linear(c, p)) < 0)
        return rc;
    if (p->targets > 1 && p->targets != p->labels.count)
        return pt_op_fail(c, PT_EINVAL, "%lld labels for %lld classes", (long long)p->labels.count, (long long)p->targets);
    return PT_OK;
}

static bool is_binary(const struct linear *p)
{
    return p->targets == 1 && p->labels.count == 2;
}

static int linear_classifier_infer(struct pt_op_ctx *c)
{
    const struct linear *p = c->node->prepared;
    int64_t dims[2] = {0, is_binary(p) ? 2 : p->targets};
    int rc = check_input(c, &dims[0]);
    pt_op_set_out(c, 0, p->labels.list.dtype, 1, dims);
    pt_op_set_out(c, 1, PT_FLOAT, 2, dims);
    return rc;
}

static void classify(void *arg, int piece, int64_t first, int64_t end)
{
    const struct pt_op_ctx *c = arg;
    const struct linear *p = c->node->prepared;
    struct pt_tensor *y = c->out[0], *z = c->out_count > 1 ? c->out[1] : NULL;
    int64_t width = is_binary(p) ? 2 : p->targets;
    double *s = scores_of(c, piece);
    for (int64_t r = first; r < end; r++) {
        score(p, c->in[0], r, s);
        pt_ml_put_label(&p->labels, y, r, p->targets == 1 ? s[0] > 0 : pt_ml_best(s, p->targets));
        if (!z)
            continue;
        if (is_binary(p))
            pt_ml_post(p->post == PT_ML_LOGISTIC ? PT_ML_LOGISTIC : PT_ML_NONE, s, 1);
        pt_ml_write_scores(p->post, is_binary(p) ? PT_ML_COMPLEMENT : PT_ML_ALONE, s, p->targets, (float *)z->data + r * width);
    }
}

static int linear_classifier_run(struct pt_op_ctx *c)
{
    const struct linear *p = c->node->prepared;
    pt_ml_each_row(c->threads, pt_ml_rows(c->in[0]), p->features * p->targets, classify, c);
    return PT_OK;
}

const struct pt_op pt_op_ml_linear_classifier = {.domain = PT_ML_DOMAIN,
                                                 .type = "LinearClassifier",
                                                 .since = {1},
                                                 .min_in = 1,
                                                 .max_in = 1,
                                                 .max_out = 2,
                                                 .types = {PT_ML_NUM},
                                                 .prepare = linear_classifier_prepare,
                                                 .infer = linear_classifier_infer,
                                                 .run = linear_classifier_run};
