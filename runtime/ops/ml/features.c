/* SPDX-License-Identifier: Apache-2.0
 *
 * features.c: ai.onnx.ml operators that select and scale features: ArrayFeatureExtractor, Binarizer, FeatureVectorizer, Imputer, Normalizer, Scaler.
 */
#include "runtime/ops/ml/ml.h"

#include "runtime/ops/order.h"

#include <math.h>

/* --- ArrayFeatureExtractor ---------------------------------------------------------------------------------------------------------------- */

static int array_feature_extractor_infer(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0], *y = c->in[1];
    int64_t n = pt_tensor_count(y), dims[PT_MAX_RANK];
    if (x->rank < 1 || n < 1)
        return pt_op_fail(c, PT_EINVAL, "input %s and indices %s are not enough", PT_SHAPE(x), PT_SHAPE(y));
    memcpy(dims, x->dims, sizeof dims);
    dims[x->rank - 1] = n;
    if (x->rank == 1)
        pt_op_set_out(c, 0, x->dtype, 2, (const int64_t[]){1, n});
    else
        pt_op_set_out(c, 0, x->dtype, x->rank, dims);
    return PT_OK;
}

static int array_feature_extractor_run(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0], *iy = c->in[1];
    int64_t n = pt_tensor_count(iy), columns = x->dims[x->rank - 1], rows = pt_dims_product(x->dims, x->rank - 1);
    const int64_t *index = iy->data;
    size_t size = pt_dtype_size(x->dtype);
    char *y = c->out[0]->data;
    for (int64_t i = 0; i < n; i++)
        if (index[i] < 0 || index[i] >= columns)
            return pt_op_fail(c, PT_EINVAL, "input 1 (Y): index %lld is outside 0 to %lld", (long long)index[i], (long long)columns - 1);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++, y += size)
            pt_move(y, (const char *)x->data + (size_t)(r * columns + index[i]) * size, size);
    return PT_OK;
}

const struct pt_op pt_op_ml_array_feature_extractor = {.domain = PT_ML_DOMAIN,
                                                       .type = "ArrayFeatureExtractor",
                                                       .since = {1},
                                                       .min_in = 2,
                                                       .max_in = 2,
                                                       .max_out = 1,
                                                       .types = {PT_ML_NUM | PT_TS_STRING, PT_T(PT_INT64)},
                                                       .infer = array_feature_extractor_infer,
                                                       .run = array_feature_extractor_run};

/* --- one number in, one number out ----------------------------------------------------------------------------------------------------------- */

static int binarizer_infer(struct pt_op_ctx *c)
{
    int rc = pt_attr_float(c, "threshold", 0, c->params);
    return rc < 0 ? rc : pt_infer_same(c);
}

static int binarizer_run(struct pt_op_ctx *c)
{
    double v[PT_BLOCK], threshold = (double)*(const float *)c->params;
    int64_t n = pt_tensor_count(c->in[0]);
    for (int64_t at = 0; at < n; at += PT_BLOCK) {
        int64_t m = n - at < PT_BLOCK ? n - at : PT_BLOCK;
        pt_load_f64(c->in[0], at, m, v);
        for (int64_t i = 0; i < m; i++)
            v[i] = v[i] > threshold;
        pt_store_f64(c->out[0], at, m, v);
    }
    return PT_OK;
}

const struct pt_op pt_op_ml_binarizer = {.domain = PT_ML_DOMAIN,
                                         .type = "Binarizer",
                                         .since = {1},
                                         .min_in = 1,
                                         .max_in = 1,
                                         .max_out = 1,
                                         .types = {PT_ML_NUM},
                                         .params_size = sizeof(float),
                                         .infer = binarizer_infer,
                                         .run = binarizer_run};

/* Per feature (or one for all) two lists; row-major over the last axis. */
struct per_feature {
    const float *a, *b;
    int64_t a_count, b_count;
};

static int check_lists(struct pt_op_ctx *c, const struct per_feature *p, const char *a, const char *b)
{
    int64_t columns = c->in[0]->rank ? pt_ml_columns(c->in[0]) : 1;
    if (p->a_count > 1 && p->a_count != columns)
        return pt_op_fail(c, PT_EINVAL, "attribute '%s' has %lld values for %lld features", a, (long long)p->a_count, (long long)columns);
    if (p->b_count > 1 && p->b_count != columns)
        return pt_op_fail(c, PT_EINVAL, "attribute '%s' has %lld values for %lld features", b, (long long)p->b_count, (long long)columns);
    return PT_OK;
}

static int scaler_prepare(struct pt_op_ctx *c, void **prepared)
{
    struct per_feature *p = pt_op_alloc(c, sizeof *p);
    int rc;
    if (!p)
        return c->err->code;
    *prepared = p;
    return (rc = pt_attr_floats(c, "offset", &p->a, &p->a_count)) < 0 ? rc : pt_attr_floats(c, "scale", &p->b, &p->b_count);
}

static int scaler_infer(struct pt_op_ctx *c)
{
    pt_op_set_out(c, 0, PT_FLOAT, c->in[0]->rank, c->in[0]->dims);
    return check_lists(c, c->node->prepared, "offset", "scale");
}

static int scaler_run(struct pt_op_ctx *c)
{
    const struct per_feature *p = c->node->prepared;
    const struct pt_tensor *x = c->in[0];
    int64_t n = pt_tensor_count(x), columns = x->rank ? pt_ml_columns(x) : 1;
    double v[PT_BLOCK];
    for (int64_t at = 0; at < n; at += PT_BLOCK) {
        int64_t m = n - at < PT_BLOCK ? n - at : PT_BLOCK;
        pt_load_f64(x, at, m, v);
        for (int64_t i = 0, k = at % columns; i < m; i++, k = k + 1 == columns ? 0 : k + 1) {
            v[i] -= p->a_count > 0 ? (double)p->a[p->a_count > 1 ? k : 0] : 0;
            v[i] *= p->b_count > 0 ? (double)p->b[p->b_count > 1 ? k : 0] : 1;
        }
        pt_store_f64(c->out[0], at, m, v);
    }
    return PT_OK;
}

const struct pt_op pt_op_ml_scaler = {.domain = PT_ML_DOMAIN,
                                      .type = "Scaler",
                                      .since = {1},
                                      .min_in = 1,
                                      .max_in = 1,
                                      .max_out = 1,
                                      .types = {PT_ML_NUM},
                                      .prepare = scaler_prepare,
                                      .infer = scaler_infer,
                                      .run = scaler_run};

/* --- Imputer: elements equal to one value (NaN equals NaN) become another, per feature ------------------------------------------------------- */

struct imputer {
    struct pt_tensor values[2]; /* by kind: floats, integers; dtype PT_UNDEFINED when not given */
    float missing_float;
    int64_t missing_int;
};

static int imputer_prepare(struct pt_op_ctx *c, void **prepared)
{
    struct imputer *p = pt_op_alloc(c, sizeof *p);
    int rc;
    if (!p)
        return c->err->code;
    *prepared = p;
    if ((rc = pt_attr_list(c, "imputed_value_floats", &p->values[0])) < 0 || (rc = pt_attr_list(c, "imputed_value_int64s", &p->values[1])) < 0 ||
        (rc = pt_attr_float(c, "replaced_value_float", 0, &p->missing_float)) < 0)
        return rc;
    return pt_attr_int(c, "replaced_value_int64", 0, INT64_MIN, INT64_MAX, &p->missing_int);
}

static const struct pt_tensor *imputed(const struct pt_op_ctx *c)
{
    const struct imputer *p = c->node->prepared;
    return &p->values[(PT_T(c->in[0]->dtype) & PT_TS_INT) != 0];
}

static int imputer_infer(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0], *v = imputed(c);
    bool integer = (PT_T(x->dtype) & PT_TS_INT) != 0;
    int64_t columns = x->rank ? pt_ml_columns(x) : 1, count = v->rank == 1 ? v->dims[0] : 0;
    if (v->dtype != (integer ? PT_INT64 : PT_FLOAT))
        return pt_op_fail(c, PT_EINVAL, "attribute 'imputed_value_%s' is missing for an input of %s", integer ? "int64s" : "floats",
                          pt_dtype_name(x->dtype));
    if (count != 1 && count != columns)
        return pt_op_fail(c, PT_EINVAL, "%lld imputed values for %lld features", (long long)count, (long long)columns);
    return pt_infer_same(c);
}

static int imputer_run(struct pt_op_ctx *c)
{
    const struct imputer *p = c->node->prepared;
    const struct pt_tensor *x = c->in[0], *values = imputed(c), missing_f = {.dtype = PT_FLOAT, .data = (void *)(uintptr_t)&p->missing_float},
                           missing_i = {.dtype = PT_INT64, .data = (void *)(uintptr_t)&p->missing_int};
    struct pt_tensor one = {.dtype = x->dtype, .data = &(int64_t){0}};
    int64_t n = pt_tensor_count(x), columns = x->rank ? pt_ml_columns(x) : 1, count = values->dims[0];
    pt_ml_convert(&one, 0, values->dtype == PT_FLOAT ? &missing_f : &missing_i, 0);
    for (int64_t i = 0; i < n; i++)
        if (pt_elem_compare(x, i, &one, 0) == 0)
            pt_ml_convert(c->out[0], i, values, count == 1 ? 0 : i % columns);
        else
            pt_copy_elem(c->out[0], i, x, i);
    return PT_OK;
}

const struct pt_op pt_op_ml_imputer = {.domain = PT_ML_DOMAIN,
                                       .type = "Imputer",
                                       .since = {1},
                                       .min_in = 1,
                                       .max_in = 1,
                                       .max_out = 1,
                                       .types = {PT_ML_NUM},
                                       .prepare = imputer_prepare,
                                       .infer = imputer_infer,
                                       .run = imputer_run};

/* --- Normalizer: each row divided by its greatest element, by its sum of sizes or by its length -------------------------------------------- */

static int normalizer_infer(struct pt_op_ctx *c)
{
    static const char *const norms[] = {"MAX", "L1", "L2", NULL};
    int64_t rows, columns;
    int rc = pt_attr_choice(c, "norm", norms, 0, c->params);
    if (rc < 0 || (rc = pt_ml_matrix(c, 0, &rows, &columns)) < 0)
        return rc;
    pt_op_set_out(c, 0, PT_FLOAT, c->in[0]->rank, c->in[0]->dims);
    return PT_OK;
}

static double norm_of(int norm, const struct pt_tensor *x, int64_t first, int64_t n)
{
    double v[PT_BLOCK], max = -INFINITY, sum = 0;
    for (int64_t at = 0; at < n; at += PT_BLOCK) {
        int64_t m = n - at < PT_BLOCK ? n - at : PT_BLOCK;
        pt_load_f64(x, first + at, m, v);
        for (int64_t i = 0; i < m; i++) {
            max = v[i] > max ? v[i] : max;
            sum += norm == 1 ? fabs(v[i]) : v[i] * v[i];
        }
    }
    return norm == 0 ? max : norm == 1 ? sum : sqrt(sum);
}

static int normalizer_run(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0];
    int64_t rows = pt_ml_rows(x), n = pt_ml_columns(x);
    double v[PT_BLOCK];
    for (int64_t r = 0; r < rows; r++) {
        double norm = norm_of(*(const int *)c->params, x, r * n, n);
        for (int64_t at = 0; at < n; at += PT_BLOCK) {
            int64_t m = n - at < PT_BLOCK ? n - at : PT_BLOCK;
            pt_load_f64(x, r * n + at, m, v);
            for (int64_t i = 0; i < m && norm != 0; i++)
                v[i] /= norm;
            pt_store_f64(c->out[0], r * n + at, m, v);
        }
    }
    return PT_OK;
}

const struct pt_op pt_op_ml_normalizer = {.domain = PT_ML_DOMAIN,
                                          .type = "Normalizer",
                                          .since = {1},
                                          .min_in = 1,
                                          .max_in = 1,
                                          .max_out = 1,
                                          .types = {PT_ML_NUM},
                                          .params_size = sizeof(int),
                                          .infer = normalizer_infer,
                                          .run = normalizer_run};

/* --- FeatureVectorizer: columns side by side, as floats -------------------------------------------------------------------------------------- */

static int feature_vectorizer_infer(struct pt_op_ctx *c)
{
    int64_t rows = 0, total = 0;
    const struct pt_onnx_attr *sizes = pt_node_attr(c->node, "inputdimensions");
    if (sizes && (sizes->type != PT_ATTR_INTS || sizes->count != (size_t)c->in_count))
        return pt_op_fail(c, PT_EINVAL, "attribute 'inputdimensions' does not have a value for each of %d inputs", c->in_count);
    for (int i = 0; i < c->in_count; i++) {
        int64_t r, n;
        int rc = c->in[i] ? pt_ml_matrix(c, i, &r, &n) : pt_op_fail(c, PT_EINVAL, "input %d is missing", i);
        if (rc < 0)
            return rc;
        if (i > 0 && r != rows)
            return pt_op_fail(c, PT_EINVAL, "input %d is %s, but input 0 has %lld rows", i, PT_SHAPE(c->in[i]), (long long)rows);
        if (sizes && sizes->ints[i] != n)
            return pt_op_fail(c, PT_EINVAL, "attribute 'inputdimensions' says %lld features, input %d is %s", (long long)sizes->ints[i], i,
                              PT_SHAPE(c->in[i]));
        rows = r;
        total += n;
    }
    pt_op_set_out(c, 0, PT_FLOAT, 2, (const int64_t[]){rows, total});
    return PT_OK;
}

static int feature_vectorizer_run(struct pt_op_ctx *c)
{
    int64_t rows = c->out[0]->dims[0], total = c->out[0]->dims[1], to = 0;
    double v[PT_BLOCK];
    for (int i = 0; i < c->in_count; to += pt_ml_columns(c->in[i++]))
        for (int64_t r = 0, n = pt_ml_columns(c->in[i]); r < rows; r++)
            for (int64_t at = 0; at < n; at += PT_BLOCK) {
                int64_t m = n - at < PT_BLOCK ? n - at : PT_BLOCK;
                pt_load_f64(c->in[i], r * n + at, m, v);
                pt_store_f64(c->out[0], r * total + to + at, m, v);
            }
    return PT_OK;
}

const struct pt_op pt_op_ml_feature_vectorizer = {.domain = PT_ML_DOMAIN,
                                                  .type = "FeatureVectorizer",
                                                  .since = {1},
                                                  .min_in = 1,
                                                  .max_in = PT_OP_VARIADIC,
                                                  .max_out = 1,
                                                  .types = {PT_ML_NUM},
                                                  .infer = feature_vectorizer_infer,
                                                  .run = feature_vectorizer_run};
