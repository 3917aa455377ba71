/* SPDX-License-Identifier: Apache-2.0
 *
 * svm.c: SVMRegressor and SVMClassifier, as libsvm computes them: kernels of the sample with every support vector, then sums of them.
 *
 * A classifier has one decision per pair of classes, i before j: above 0 is a vote for i. With prob_a and prob_b each decision becomes the
 * probability of i against j, and the probabilities of all classes are those that agree with the pairs best (Wu, Lin, Weng 2004, second method).
 * Without vectors_per_class it is a linear model with a row of coefficients per class.
 */
#include "runtime/ops/ml/ml.h"

#include <math.h>

enum kernel { LINEAR, POLY, RBF, SIGMOID };

struct svm {
    int kernel, post;
    double gamma, coef0, degree;
    const float *coefficients, *vectors, *rho, *prob_a, *prob_b;
    const int64_t *per_class;
    int64_t rho_count, features, vector_count, classes, one_class;
    bool linear, positive; /* no support vectors; no coefficient below 0 */
    struct pt_ml_labels labels;
    size_t room; /* doubles that a piece of rows needs */
};

/* --- what both read --------------------------------------------------------------------------------------------------------------------------- */

static int read_kernel(struct pt_op_ctx *c, struct svm *p)
{
    static const char *const kernels[] = {"LINEAR", "POLY", "RBF", "SIGMOID", NULL};
    const float *params;
    int64_t n;
    int rc = pt_attr_choice(c, "kernel_type", kernels, LINEAR, &p->kernel);
    if (rc < 0 || (rc = pt_attr_floats(c, "kernel_params", &params, &n)) < 0 || (rc = pt_ml_read_post(c, &p->post)) < 0)
        return rc;
    if (n > 0 && n != 3)
        return pt_op_fail(c, PT_EINVAL, "attribute 'kernel_params' has %lld values, must be gamma, coef0 and degree", (long long)n);
    if (n == 3) {
        p->gamma = (double)params[0];
        p->coef0 = (double)params[1];
        p->degree = (double)params[2];
    }
    return PT_OK;
}

/* coefficients, rho and support_vectors, for `vector_count` vectors with `sums` coefficients each. */
static int read_vectors(struct pt_op_ctx *c, struct svm *p, int64_t sums)
{
    int64_t coefficients, vectors;
    int rc = pt_attr_floats(c, "coefficients", &p->coefficients, &coefficients);
    if (rc < 0 || (rc = pt_attr_floats(c, "rho", &p->rho, &p->rho_count)) < 0 ||
        (rc = pt_attr_floats(c, "support_vectors", &p->vectors, &vectors)) < 0)
        return rc;
    p->linear = p->vector_count == 0;
    p->positive = true;
    for (int64_t i = 0; i < coefficients; i++)
        p->positive = p->positive && p->coefficients[i] >= 0;
    int64_t divisor = p->linear ? sums : p->vector_count, all = p->linear ? coefficients : vectors;
    if (coefficients < 1 || all < 1 || all % divisor || (!p->linear && coefficients != p->vector_count * sums))
        return pt_op_fail(c, PT_EINVAL, "%lld coefficients and %lld values of support vectors do not fit %lld support vectors",
                          (long long)coefficients, (long long)(vectors < 0 ? 0 : vectors), (long long)p->vector_count);
    if (p->rho_count < 1)
        return pt_op_fail(c, PT_EINVAL, "attribute 'rho' is missing");
    p->features = all / divisor;
    p->room = (size_t)p->features + (size_t)p->vector_count;
    return PT_OK;
}

static int check_input(struct pt_op_ctx *c, int64_t *rows)
{
    const struct svm *p = c->node->prepared;
    int64_t columns;
    int rc = pt_ml_matrix(c, 0, rows, &columns);
    if (rc < 0)
        return rc;
    if (columns != p->features)
        return pt_op_fail(c, PT_EINVAL, "input %s, but the support vectors have %lld features", PT_SHAPE(c->in[0]), (long long)p->features);
    c->scratch_bytes = PT_ML_PIECES * p->room * sizeof(double);
    return PT_OK;
}

/* --- kernels ------------------------------------------------------------------------------------------------------------------------------------ */

static double dot(const double *x, const float *v, int64_t n)
{
    double sum[4] = {0};
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++)
            sum[k] += x[i + k] * (double)v[i + k];
    for (; i < n; i++)
        sum[0] += x[i] * (double)v[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static double distance(const double *x, const float *v, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (x[i] - (double)v[i]) * (x[i] - (double)v[i]);
    return sum;
}

static double kernel(const struct svm *p, const double *x, const float *v)
{
    switch (p->kernel) {
    case POLY:
        return pow(p->gamma * dot(x, v, p->features) + p->coef0, p->degree);
    case RBF:
        return exp(-p->gamma * distance(x, v, p->features));
    case SIGMOID:
        return tanh(p->gamma * dot(x, v, p->features) + p->coef0);
    default:
        return dot(x, v, p->features);
    }
}

/* What one piece of rows works in. */
struct work {
    double *x, *kernels, *scores, *votes, *pairs;
};

static int64_t operations(const struct svm *p)
{
    return p->features * (p->vector_count + p->classes + 1);
}

static struct work work_of(const struct pt_op_ctx *c, int piece)
{
    const struct svm *p = c->node->prepared;
    struct work w = {.x = (double *)c->scratch + (size_t)piece * p->room};
    w.kernels = w.x + p->features;
    w.scores = w.kernels + p->vector_count;
    w.votes = w.scores + p->classes * p->classes + 2;
    w.pairs = w.votes + p->classes;
    return w;
}

static void load_row(const struct pt_op_ctx *c, int64_t row, struct work *w)
{
    const struct svm *p = c->node->prepared;
    pt_load_f64(c->in[0], row * p->features, p->features, w->x);
    for (int64_t i = 0; i < p->vector_count; i++)
        w->kernels[i] = kernel(p, w->x, p->vectors + i * p->features);
}

/* --- SVMRegressor ----------------------------------------------------------------------------------------------------------------------------------
 */

static int svm_regressor_prepare(struct pt_op_ctx *c, void **prepared)
{
    struct svm *p = pt_op_alloc(c, sizeof *p);
    int rc;
    if (!p)
        return c->err->code;
    *p = (struct svm){0};
    *prepared = p;
    if ((rc = read_kernel(c, p)) < 0 || (rc = pt_attr_int(c, "n_supports", 0, 0, INT32_MAX, &p->vector_count)) < 0 ||
        (rc = pt_attr_int(c, "one_class", 0, 0, 1, &p->one_class)) < 0 || (rc = read_vectors(c, p, 1)) < 0)
        return rc;
    p->kernel = p->linear ? LINEAR : p->kernel;
    p->room += 8;
    return PT_OK;
}

static int svm_regressor_infer(struct pt_op_ctx *c)
{
    int64_t dims[2] = {0, 1};
    int rc = check_input(c, &dims[0]);
    pt_op_set_out(c, 0, PT_FLOAT, 2, dims);
    return rc;
}

static void regress(void *arg, int piece, int64_t first, int64_t end)
{
    const struct pt_op_ctx *c = arg;
    const struct svm *p = c->node->prepared;
    struct work w = work_of(c, piece);
    for (int64_t r = first; r < end; r++) {
        load_row(c, r, &w);
        double s[2] = {(double)p->rho[0]};
        s[0] += p->linear ? dot(w.x, p->coefficients, p->features) : dot(w.kernels, p->coefficients, p->vector_count);
        if (p->one_class)
            s[0] = s[0] > 0 ? 1 : -1;
        pt_ml_write_scores(p->one_class ? PT_ML_NONE : p->post, PT_ML_ALONE, s, 1, (float *)c->out[0]->data + r);
    }
}

static int svm_regressor_run(struct pt_op_ctx *c)
{
    pt_ml_each_row(c->threads, c->out[0]->dims[0], operations(c->node->prepared), regress, c);
    return PT_OK;
}

const struct pt_op pt_op_ml_svm_regressor = {.domain = PT_ML_DOMAIN,
                                             .type = "SVMRegressor",
                                             .since = {1},
                                             .min_in = 1,
                                             .max_in = 1,
                                             .max_out = 1,
                                             .types = {PT_ML_NUM},
                                             .prepare = svm_regressor_prepare,
                                             .infer = svm_regressor_infer,
                                             .run = svm_regressor_run};

/* --- SVMClassifier
 * ----------------------------------------------------------------------------------------------------------------------------------- */

static int64_t pairs_of(const struct svm *p)
{
    return p->classes * (p->classes - 1) / 2;
}

static int read_classes(struct pt_op_ctx *c, struct svm *p)
{
    int64_t classes, a, b;
    int rc = pt_attr_int64s(c, "vectors_per_class", &p->per_class, &classes);
    if (rc < 0 || (rc = pt_attr_floats(c, "prob_a", &p->prob_a, &a)) < 0 || (rc = pt_attr_floats(c, "prob_b", &p->prob_b, &b)) < 0)
        return rc;
    p->classes = p->labels.count;
    if (p->classes > 1024 || (classes > 0 && classes != p->classes))
        return pt_op_fail(c, PT_EINVAL, "attribute 'vectors_per_class' has %lld values for %lld labels", (long long)classes, (long long)p->classes);
    for (int64_t i = 0; i < classes; i++) {
        if (p->per_class[i] < 0 || p->per_class[i] > INT32_MAX)
            return pt_op_fail(c, PT_EINVAL, "attribute 'vectors_per_class' has the value %lld", (long long)p->per_class[i]);
        p->vector_count += p->per_class[i];
    }
    if (a != b || (a > 0 && (a != pairs_of(p) || p->vector_count == 0)))
        return pt_op_fail(c, PT_EINVAL, "%lld values of prob_a and %lld of prob_b for %lld pairs of classes", (long long)a, (long long)b,
                          (long long)pairs_of(p));
    p->prob_a = a > 0 ? p->prob_a : NULL;
    return PT_OK;
}

static int svm_classifier_prepare(struct pt_op_ctx *c, void **prepared)
{
    struct svm *p = pt_op_alloc(c, sizeof *p);
    int rc;
    if (!p)
        return c->err->code;
    *p = (struct svm){0};
    *prepared = p;
    if ((rc = read_kernel(c, p)) < 0 || (rc = pt_ml_read_labels(c, "classlabels_ints", "classlabels_strings", &p->labels)) < 0 ||
        (rc = read_classes(c, p)) < 0)
        return rc;
    if ((rc = read_vectors(c, p, p->vector_count ? p->classes - 1 : p->classes)) < 0)
        return rc;
    if (!p->linear && p->rho_count != pairs_of(p))
        return pt_op_fail(c, PT_EINVAL, "attribute 'rho' has %lld values for %lld pairs of classes", (long long)p->rho_count, (long long)pairs_of(p));
    p->room += 3 * (size_t)(p->classes * p->classes) + 2 * (size_t)p->classes + 16;
    return PT_OK;
}

/* How many scores a row has. */
static int64_t width_of(const struct svm *p)
{
    if (p->linear || p->prob_a)
        return p->classes;
    return p->classes == 2 ? 2 : pairs_of(p);
}

static int svm_classifier_infer(struct pt_op_ctx *c)
{
    const struct svm *p = c->node->prepared;
    int64_t dims[2] = {0, width_of(p)};
    int rc = check_input(c, &dims[0]);
    pt_op_set_out(c, 0, p->labels.list.dtype, 1, dims);
    pt_op_set_out(c, 1, PT_FLOAT, 2, dims);
    return rc;
}

/* Decisions of all pairs, and votes. */
static void decide(const struct svm *p, struct work *w)
{
    int64_t pair = 0, at_i = 0;
    memset(w->votes, 0, (size_t)p->classes * sizeof *w->votes);
    for (int64_t i = 0; i < p->classes; at_i += p->per_class[i++]) {
        int64_t at_j = at_i + p->per_class[i];
        for (int64_t j = i + 1; j < p->classes; at_j += p->per_class[j++], pair++) {
            double s = (double)p->rho[pair] + dot(w->kernels + at_i, p->coefficients + (j - 1) * p->vector_count + at_i, p->per_class[i]) +
                       dot(w->kernels + at_j, p->coefficients + i * p->vector_count + at_j, p->per_class[j]);
            w->scores[pair] = s;
            w->votes[s > 0 ? i : j]++;
        }
    }
}

/* q <- the matrix of the quadratic form whose least value the probabilities take; r[i][j]: of i against j. */
static void quadratic_form(const double *r, int64_t n, double *q)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            q[i * n + j] = i == j ? 0 : -r[j * n + i] * r[i * n + j];
            for (int64_t k = 0; i == j && k < n; k++)
                q[i * n + i] += k == i ? 0 : r[k * n + i] * r[k * n + i];
        }
}

/* prob <- probabilities of n classes; qp has room for n. */
static void couple(const double *q, int64_t n, double *prob, double *qp)
{
    double eps = 0.005 / (double)n;
    for (int64_t i = 0; i < n; i++)
        prob[i] = 1 / (double)n;
    for (int64_t round = 0; round < (n > 100 ? n : 100); round++) {
        double pqp = 0, error = 0;
        for (int64_t i = 0; i < n; i++) {
            qp[i] = 0;
            for (int64_t j = 0; j < n; j++)
                qp[i] += q[i * n + j] * prob[j];
            pqp += prob[i] * qp[i];
        }
        for (int64_t i = 0; i < n; i++)
            error = fmax(error, fabs(qp[i] - pqp));
        if (error < eps)
            return;
        for (int64_t i = 0; i < n; i++) {
            double d = (pqp - qp[i]) / q[i * n + i];
            prob[i] += d;
            pqp = (pqp + d * (d * q[i * n + i] + 2 * qp[i])) / (1 + d) / (1 + d);
            for (int64_t j = 0; j < n; j++) {
                qp[j] = (qp[j] + d * q[i * n + j]) / (1 + d);
                prob[j] /= 1 + d;
            }
        }
    }
}

static void probabilities(const struct svm *p, struct work *w)
{
    int64_t n = p->classes, pair = 0;
    double *r = w->pairs, *q = r + n * n;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i + 1; j < n; j++, pair++) {
            double v = w->scores[pair] * (double)p->prob_a[pair] + (double)p->prob_b[pair];
            v = fmin(fmax(1 / (1 + exp(v)), 1e-7), 1 - 1e-7);
            r[i * n + j] = v;
            r[j * n + i] = 1 - v;
        }
    quadratic_form(r, n, q);
    couple(q, n, w->scores, r);
}

static void classify(void *arg, int piece, int64_t first, int64_t end)
{
    const struct pt_op_ctx *c = arg;
    const struct svm *p = c->node->prepared;
    struct pt_tensor *y = c->out[0], *z = c->out_count > 1 ? c->out[1] : NULL;
    struct work w = work_of(c, piece);
    int64_t width = width_of(p);
    for (int64_t r = first; r < end; r++) {
        int64_t best, n = p->linear || p->prob_a ? p->classes : pairs_of(p);
        load_row(c, r, &w);
        for (int64_t k = 0; p->linear && k < p->classes; k++)
            w.scores[k] = (double)p->rho[0] + dot(w.x, p->coefficients + k * p->features, p->features);
        if (!p->linear)
            decide(p, &w);
        if (p->prob_a)
            probabilities(p, &w);
        best = p->linear ? pt_ml_best(w.scores, p->classes) : pt_ml_best(w.votes, p->classes); /* not the probabilities */
        pt_ml_put_label(&p->labels, y, r, best);
        if (z)
            pt_ml_write_scores(p->post, PT_ML_OPPOSITE, w.scores, n, (float *)z->data + r * width);
    }
}

static int svm_classifier_run(struct pt_op_ctx *c)
{
    pt_ml_each_row(c->threads, pt_ml_rows(c->in[0]), operations(c->node->prepared), classify, c);
    return PT_OK;
}

const struct pt_op pt_op_ml_svm_classifier = {.domain = PT_ML_DOMAIN,
                                              .type = "SVMClassifier",
                                              .since = {1},
                                              .min_in = 1,
                                              .max_in = 1,
                                              .max_out = 2,
                                              .types = {PT_ML_NUM},
                                              .prepare = svm_classifier_prepare,
                                              .infer = svm_classifier_infer,
                                              .run = svm_classifier_run};
