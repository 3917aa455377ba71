/* SPDX-License-Identifier: Apache-2.0
 *
 * tree.c: TreeEnsemble, TreeEnsembleRegressor and TreeEnsembleClassifier: what the trees add up to, and what is made of it.
 */
#include "runtime/ops/ml/tree.h"

#include <math.h>

/* --- prepare --------------------------------------------------------------------------------------------------------------------------------- */

static int read_base(struct pt_op_ctx *c, struct pt_trees *t)
{
    struct pt_tensor list;
    int rc = pt_attr_list(c, "base_values", &list);
    if (rc == PT_OK && list.dtype == PT_UNDEFINED)
        rc = pt_attr_list(c, "base_values_as_tensor", &list);
    if (rc < 0 || list.dtype == PT_UNDEFINED)
        return rc;
    int64_t n = pt_tensor_count(&list);
    if (!(PT_T(list.dtype) & PT_TS_FLOAT) || (n != 1 && n != t->target_count))
        return pt_op_fail(c, PT_EINVAL, "attribute 'base_values' is %s for %lld targets", PT_SHAPE(&list), (long long)t->target_count);
    double *base = pt_op_alloc(c, (size_t)n * sizeof *base);
    if (!base)
        return c->err->code;
    pt_load_f64(&list, 0, n, base);
    t->base = base;
    t->base_count = n;
    return PT_OK;
}

static int read_targets(struct pt_op_ctx *c, struct pt_trees *t)
{
    if (!pt_node_attr(c->node, "n_targets"))
        return pt_op_fail(c, PT_EINVAL, "attribute 'n_targets' is missing");
    return pt_attr_int(c, "n_targets", 1, 1, 1 << 24, &t->target_count);
}

static int prepare_v5(struct pt_op_ctx *c, struct pt_trees *t, struct pt_raw_trees *raw)
{
    static const int posts[] = {PT_ML_NONE, PT_ML_SOFTMAX, PT_ML_LOGISTIC, PT_ML_SOFTMAX_ZERO, PT_ML_PROBIT};
    int64_t aggregate, post;
    int rc = read_targets(c, t);
    if (rc < 0 || (rc = pt_attr_int(c, "aggregate_function", PT_TREE_SUM, 0, PT_TREE_MAX, &aggregate)) < 0 ||
        (rc = pt_attr_int(c, "post_transform", 0, 0, 4, &post)) < 0 || (rc = pt_trees_read_v5(c, raw)) < 0)
        return rc;
    t->aggregate = (int)aggregate;
    t->post = posts[post];
    return pt_trees_build(c, raw, t);
}

static int prepare_regressor(struct pt_op_ctx *c, struct pt_trees *t, struct pt_raw_trees *raw)
{
    static const char *const aggregates[] = {"AVERAGE", "SUM", "MIN", "MAX", NULL};
    int rc = read_targets(c, t);
    if (rc < 0 || (rc = pt_attr_choice(c, "aggregate_function", aggregates, PT_TREE_SUM, &t->aggregate)) < 0 ||
        (rc = pt_ml_read_post(c, &t->post)) < 0 || (rc = read_base(c, t)) < 0 || (rc = pt_trees_read_v1(c, "target", raw)) < 0)
        return rc;
    return pt_trees_build(c, raw, t);
}

static int prepare_classifier(struct pt_op_ctx *c, struct pt_trees *t, struct pt_raw_trees *raw)
{
    int rc = pt_ml_read_labels(c, "classlabels_int64s", "classlabels_strings", &t->labels);
    t->aggregate = PT_TREE_SUM;
    t->target_count = t->labels.count;
    if (rc < 0 || (rc = pt_ml_read_post(c, &t->post)) < 0 || (rc = read_base(c, t)) < 0 || (rc = pt_trees_read_v1(c, "class", raw)) < 0)
        return rc;
    return pt_trees_build(c, raw, t);
}

static int prepare(struct pt_op_ctx *c, void **prepared, int (*read)(struct pt_op_ctx *c, struct pt_trees *t, struct pt_raw_trees *raw))
{
    struct pt_trees *t = pt_op_alloc(c, sizeof *t);
    struct pt_raw_trees raw = {0};
    if (!t)
        return c->err->code;
    *t = (struct pt_trees){0};
    *prepared = t;
    int rc = read(c, t, &raw);
    pt_raw_trees_free(&raw);
    return rc;
}

static int tree_ensemble_prepare(struct pt_op_ctx *c, void **prepared)
{
    return prepare(c, prepared, prepare_v5);
}

static int tree_regressor_prepare(struct pt_op_ctx *c, void **prepared)
{
    return prepare(c, prepared, prepare_regressor);
}

static int tree_classifier_prepare(struct pt_op_ctx *c, void **prepared)
{
    return prepare(c, prepared, prepare_classifier);
}

/* --- walking on the pool ------------------------------------------------------------------------------------------------------------------------ */

/* Scratch: a sum per row and target, then the input as doubles if it is not of floats. */
static int check_input(struct pt_op_ctx *c, int64_t *rows)
{
    const struct pt_trees *t = c->node->prepared;
    int64_t columns;
    int rc = pt_ml_matrix(c, 0, rows, &columns);
    if (rc < 0)
        return rc;
    if (columns < t->features || (columns < 1 && *rows))
        return pt_op_fail(c, PT_EINVAL, "input %s, but the trees ask for feature %lld", PT_SHAPE(c->in[0]), (long long)t->features - 1);
    size_t sums, values = PT_T(c->in[0]->dtype) & PT_TS_FLOAT ? 0 : (size_t)pt_tensor_count(c->in[0]);
    if (__builtin_mul_overflow((size_t)*rows, (size_t)t->target_count, &sums) || sums > SIZE_MAX / 16 - values)
        return pt_op_fail(c, PT_ELIMIT, "%lld rows of %lld targets are too many", (long long)*rows, (long long)t->target_count);
    c->scratch_bytes = (sums + values) * sizeof(double);
    return PT_OK;
}

typedef void (*finish_fn)(const struct pt_op_ctx *c, int64_t row, double *s);

struct job {
    const struct pt_op_ctx *c;
    enum pt_dtype dtype;
    const char *x;
    finish_fn finish;
};

static void walk_rows(void *arg, int piece, int64_t first, int64_t end)
{
    const struct job *j = arg;
    const struct pt_trees *t = j->c->node->prepared;
    int64_t columns = pt_ml_columns(j->c->in[0]);
    double *acc = (double *)j->c->scratch + first * t->target_count;
    (void)piece;
    pt_trees_walk(t, j->dtype, j->x + (size_t)(first * columns) * pt_dtype_size(j->dtype), columns, end - first, acc);
    for (int64_t r = first; r < end; r++, acc += t->target_count)
        j->finish(j->c, r, acc);
}

static int run_trees(struct pt_op_ctx *c, finish_fn finish)
{
    const struct pt_trees *t = c->node->prepared;
    const struct pt_tensor *x = c->in[0];
    int64_t rows = pt_ml_rows(x);
    struct job j = {.c = c, .dtype = x->dtype, .x = x->data, .finish = finish};
    if (!(PT_T(x->dtype) & PT_TS_FLOAT)) {
        double *values = (double *)c->scratch + rows * t->target_count;
        pt_load_f64(x, 0, pt_tensor_count(x), values);
        j.dtype = PT_DOUBLE;
        j.x = (const char *)values;
    }
    pt_ml_each_row(c->threads, rows, 8 * t->root_count, walk_rows, &j);
    return PT_OK;
}

/* --- regression
 * -------------------------------------------------------------------------------------------------------------------------------------- */

static int tree_regressor_infer(struct pt_op_ctx *c)
{
    const struct pt_trees *t = c->node->prepared;
    int64_t dims[2] = {0, t->target_count};
    int rc = check_input(c, &dims[0]);
    pt_op_set_out(c, 0, PT_FLOAT, 2, dims);
    return rc;
}

static int tree_ensemble_infer(struct pt_op_ctx *c)
{
    const struct pt_trees *t = c->node->prepared;
    int64_t dims[2] = {0, t->target_count};
    int rc = check_input(c, &dims[0]);
    pt_op_set_out(c, 0, c->in[0]->dtype, 2, dims);
    return rc;
}

static void finish_regression(const struct pt_op_ctx *c, int64_t row, double *s)
{
    const struct pt_trees *t = c->node->prepared;
    for (int64_t k = 0; k < t->target_count; k++) {
        s[k] = t->aggregate == PT_TREE_AVERAGE ? s[k] / (double)t->root_count : isnan(s[k]) && t->aggregate > PT_TREE_SUM ? 0 : s[k];
        s[k] += t->base ? t->base[t->base_count > 1 ? k : 0] : 0;
    }
    pt_ml_post(t->post, s, t->target_count);
    pt_store_f64(c->out[0], row * t->target_count, t->target_count, s);
}

static int tree_regressor_run(struct pt_op_ctx *c)
{
    return run_trees(c, finish_regression);
}

#define TREE_ROW .domain = PT_ML_DOMAIN, .min_in = 1, .max_in = 1
const struct pt_op pt_op_ml_tree_ensemble = {.type = "TreeEnsemble",
                                             TREE_ROW,
                                             .since = {5},
                                             .max_out = 1,
                                             .types = {PT_TS_FLOAT | PT_T(PT_FLOAT16)},
                                             .prepare = tree_ensemble_prepare,
                                             .infer = tree_ensemble_infer,
                                             .run = tree_regressor_run};
const struct pt_op pt_op_ml_tree_ensemble_regressor = {.type = "TreeEnsembleRegressor",
                                                       TREE_ROW,
                                                       .since = {1, 3, 5},
                                                       .max_out = 1,
                                                       .types = {PT_ML_NUM},
                                                       .prepare = tree_regressor_prepare,
                                                       .infer = tree_regressor_infer,
                                                       .run = tree_regressor_run};

/* --- classification
 * ------------------------------------------------------------------------------------------------------------------------------------ */

static int tree_classifier_infer(struct pt_op_ctx *c)
{
    const struct pt_trees *t = c->node->prepared;
    int64_t dims[2] = {0, t->target_count};
    int rc = check_input(c, &dims[0]);
    pt_op_set_out(c, 0, t->labels.list.dtype, 1, dims);
    pt_op_set_out(c, 1, PT_FLOAT, 2, dims);
    return rc;
}

/* Above it a single score means the second class. */
static double border(const struct pt_trees *t)
{
    return t->positive ? 0.5 : 0;
}

/* Two classes and all weights for the first: that is how exporters write one score for the second, which gives that of the first. If no weight is
 * below 0 it is taken for a probability, else for a distance from the border. */
static void finish_binary(const struct pt_op_ctx *c, int64_t row, double *s, float *z)
{
    const struct pt_trees *t = c->node->prepared;
    double both[2] = {s[0] + (t->base ? t->base[0] : 0)};
    pt_ml_put_label(&t->labels, c->out[0], row, both[0] > border(t));
    if (z)
        pt_ml_write_scores(t->post, t->positive ? PT_ML_COMPLEMENT : PT_ML_OPPOSITE, both, 1, z);
}

static void finish_classes(const struct pt_op_ctx *c, int64_t row, double *s)
{
    const struct pt_trees *t = c->node->prepared;
    int64_t n = t->target_count;
    float *z = c->out_count > 1 && c->out[1] ? (float *)c->out[1]->data + row * n : NULL;
    if (n == 2 && t->one_class && !t->has_second) {
        finish_binary(c, row, s, z);
        return;
    }
    for (int64_t k = 0; k < n; k++)
        s[k] += t->base ? t->base[t->base_count > 1 ? k : 0] : 0;
    pt_ml_put_label(&t->labels, c->out[0], row, n == 2 && t->one_class ? s[1] > border(t) : pt_ml_best(s, n));
    pt_ml_post(t->post, s, n);
    for (int64_t k = 0; z && k < n; k++)
        z[k] = (float)s[k];
}

static int tree_classifier_run(struct pt_op_ctx *c)
{
    return run_trees(c, finish_classes);
}

const struct pt_op pt_op_ml_tree_ensemble_classifier = {.type = "TreeEnsembleClassifier",
                                                        TREE_ROW,
                                                        .since = {1, 3, 5},
                                                        .max_out = 2,
                                                        .types = {PT_ML_NUM},
                                                        .prepare = tree_classifier_prepare,
                                                        .infer = tree_classifier_infer,
                                                        .run = tree_classifier_run};
