/* SPDX-License-Identifier: Apache-2.0
 *
 * categories.c: ai.onnx.ml operators that look elements up: LabelEncoder, CategoryMapper, OneHotEncoder.
 *
 * LabelEncoder and CategoryMapper are the same thing: a dictionary from keys to values and a default for what is not in it. Versions differ in which
 * attributes hold them, so `prepare` makes one structure of all of them.
 */
#include "runtime/ops/ml/ml.h"

struct mapping {
    struct pt_dict keys;
    struct pt_tensor values, fallback; /* fallback: one element */
};

/* A mapping for each direction that the attributes give; the input's type chooses. */
struct mapper {
    struct mapping way[2];
    int ways;
};

static int infer_mapping(struct pt_op_ctx *c)
{
    const struct mapper *p = c->node->prepared;
    const struct pt_tensor *x = c->in[0];
    for (int i = 0; i < p->ways; i++)
        if (p->way[i].keys.list.dtype == x->dtype) {
            *(const struct mapping **)c->params = &p->way[i];
            pt_op_set_out(c, 0, p->way[i].values.dtype, x->rank, x->dims);
            return PT_OK;
        }
    return pt_op_fail(c, PT_EINVAL, "input %s does not go with keys of %s", PT_SHAPE(x), pt_dtype_name(p->way[0].keys.list.dtype));
}

static int run_mapping(struct pt_op_ctx *c)
{
    const struct mapping *m = *(const struct mapping *const *)c->params;
    int64_t index[PT_BLOCK], n = pt_tensor_count(c->in[0]);
    for (int64_t at = 0; at < n; at += PT_BLOCK) {
        int64_t part = n - at < PT_BLOCK ? n - at : PT_BLOCK;
        pt_dict_find(&m->keys, c->in[0], at, part, index);
        for (int64_t i = 0; i < part; i++)
            pt_copy_elem(c->out[0], at + i, index[i] < 0 ? &m->fallback : &m->values, index[i] < 0 ? 0 : index[i]);
    }
    return PT_OK;
}

static int make_mapping(struct pt_op_ctx *c, struct mapping *m, const struct pt_tensor *keys, const struct pt_tensor *values, bool last)
{
    if (keys->rank != 1 || values->rank != 1 || keys->dims[0] != values->dims[0])
        return pt_op_fail(c, PT_EINVAL, "keys %s and values %s are not two lists of one length", PT_SHAPE(keys), PT_SHAPE(values));
    m->values = *values;
    return pt_dict_make(c, keys, last, &m->keys);
}

/* --- defaults -------------------------------------------------------------------------------------------------------------------------------- */

static int default_string(struct pt_op_ctx *c, struct pt_tensor *out)
{
    const struct pt_onnx_attr *a = pt_node_attr(c->node, "default_string");
    struct pt_string *s = pt_op_alloc(c, sizeof *s);
    if (!s)
        return c->err->code;
    if (a && a->type != PT_ATTR_STRING)
        return pt_op_fail(c, PT_EINVAL, "attribute 'default_string' is not a string");
    *s = a ? (struct pt_string){a->s.p, a->s.len} : (struct pt_string){"_Unused", 7};
    *out = (struct pt_tensor){.dtype = PT_STRING, .data = s, .size_bytes = sizeof *s};
    return PT_OK;
}

static int default_number(struct pt_op_ctx *c, enum pt_dtype dtype, struct pt_tensor *out)
{
    int64_t i;
    float f;
    int rc = pt_attr_int(c, "default_int64", -1, INT64_MIN, INT64_MAX, &i);
    if (rc < 0 || (rc = pt_attr_float(c, "default_float", -0.0f, &f)) < 0)
        return rc;
    *out = (struct pt_tensor){.dtype = dtype, .size_bytes = pt_dtype_size(dtype)};
    if (!(out->data = pt_op_alloc(c, 8)))
        return c->err->code;
    double d = (double)f;
    if (PT_T(dtype) & PT_TS_FLOAT)
        pt_store_f64(out, 0, 1, &d);
    else
        pt_store_i64(out, 0, 1, &i);
    return PT_OK;
}

static int default_of(struct pt_op_ctx *c, enum pt_dtype dtype, struct pt_tensor *out)
{
    if (c->node->version >= 4 && pt_node_attr(c->node, "default_tensor")) {
        int rc = pt_attr_list(c, "default_tensor", out);
        if (rc < 0)
            return rc;
        if (out->dtype != dtype || pt_tensor_count(out) != 1)
            return pt_op_fail(c, PT_EINVAL, "attribute 'default_tensor' is %s, must be one %s", PT_SHAPE(out), pt_dtype_name(dtype));
        return PT_OK;
    }
    return dtype == PT_STRING ? default_string(c, out) : default_number(c, dtype, out);
}

/* --- LabelEncoder ------------------------------------------------------------------------------------------------------------------------------ */

/* Strings and their places in the list, both ways: CategoryMapper has its own numbers, LabelEncoder 1 counts from 0. */
static int make_both_ways(struct pt_op_ctx *c, struct mapper *p, const struct pt_tensor *strings, const struct pt_tensor *ints)
{
    p->ways = 2;
    int rc = make_mapping(c, &p->way[0], strings, ints, false);
    if (rc < 0 || (rc = make_mapping(c, &p->way[1], ints, strings, false)) < 0 || (rc = default_of(c, PT_INT64, &p->way[0].fallback)) < 0)
        return rc;
    return default_of(c, PT_STRING, &p->way[1].fallback);
}

static int label_encoder_1(struct pt_op_ctx *c, struct mapper *p)
{
    struct pt_tensor strings, numbers;
    int which, rc = pt_attr_one_list(c, (const char *const[]){"classes_strings", NULL}, &strings, &which);
    if (rc < 0)
        return rc;
    if (strings.dtype != PT_STRING || strings.rank != 1)
        return pt_op_fail(c, PT_EINVAL, "attribute 'classes_strings' is not a list of strings");
    numbers = (struct pt_tensor){.dtype = PT_INT64, .rank = 1, .dims = {strings.dims[0]}, .size_bytes = (size_t)strings.dims[0] * sizeof(int64_t)};
    int64_t *n = numbers.data = pt_op_alloc(c, numbers.size_bytes);
    if (!n)
        return c->err->code;
    for (int64_t i = 0; i < strings.dims[0]; i++)
        n[i] = i;
    return make_both_ways(c, p, &strings, &numbers);
}

static int label_encoder_prepare(struct pt_op_ctx *c, void **prepared)
{
    static const char *const keys[] = {"keys_strings", "keys_int64s", "keys_floats", "keys_tensor", NULL};
    static const char *const values[] = {"values_strings", "values_int64s", "values_floats", "values_tensor", NULL};
    struct mapper *p = pt_op_alloc(c, sizeof *p);
    struct pt_tensor k, v;
    int which, rc;
    if (!p)
        return c->err->code;
    *prepared = p;
    if (c->node->version < 2)
        return label_encoder_1(c, p);
    p->ways = 1;
    if ((rc = pt_attr_one_list(c, keys, &k, &which)) < 0 || (rc = pt_attr_one_list(c, values, &v, &which)) < 0 ||
        (rc = make_mapping(c, &p->way[0], &k, &v, c->node->version >= 4)) < 0)
        return rc;
    return default_of(c, v.dtype, &p->way[0].fallback);
}

#define MAPPING_ROW                                                                                                                                  \
    .domain = PT_ML_DOMAIN, .min_in = 1, .max_in = 1, .max_out = 1, .params_size = sizeof(struct mapping *), .infer = infer_mapping,                 \
    .run = run_mapping
const struct pt_op pt_op_ml_label_encoder = {
    .type = "LabelEncoder", .since = {1, 2, 4}, .types = {PT_ML_NUM | PT_T(PT_INT16) | PT_TS_STRING}, .prepare = label_encoder_prepare, MAPPING_ROW};

/* --- CategoryMapper ---------------------------------------------------------------------------------------------------------------------------- */

static int category_mapper_prepare(struct pt_op_ctx *c, void **prepared)
{
    struct mapper *p = pt_op_alloc(c, sizeof *p);
    struct pt_tensor strings, ints;
    int rc;
    if (!p)
        return c->err->code;
    *prepared = p;
    if ((rc = pt_attr_list(c, "cats_strings", &strings)) < 0 || (rc = pt_attr_list(c, "cats_int64s", &ints)) < 0)
        return rc;
    if (strings.dtype != PT_STRING || ints.dtype != PT_INT64)
        return pt_op_fail(c, PT_EINVAL, "attributes 'cats_strings' and 'cats_int64s' are not both given");
    return make_both_ways(c, p, &strings, &ints);
}

const struct pt_op pt_op_ml_category_mapper = {
    .type = "CategoryMapper", .since = {1}, .types = {PT_T(PT_INT64) | PT_TS_STRING}, .prepare = category_mapper_prepare, MAPPING_ROW};

/* --- OneHotEncoder: numbers are looked up as integers ---------------------------------------------------------------------------------------------
 */

struct one_hot {
    struct pt_dict categories;
    int64_t zeros;
};

static int one_hot_encoder_prepare(struct pt_op_ctx *c, void **prepared)
{
    struct one_hot *p = pt_op_alloc(c, sizeof *p);
    struct pt_ml_labels l;
    int rc;
    if (!p)
        return c->err->code;
    *prepared = p;
    if ((rc = pt_attr_int(c, "zeros", 1, 0, 1, &p->zeros)) < 0 || (rc = pt_ml_read_labels(c, "cats_int64s", "cats_strings", &l)) < 0)
        return rc;
    return pt_dict_make(c, &l.list, true, &p->categories);
}

static int one_hot_encoder_infer(struct pt_op_ctx *c)
{
    const struct one_hot *p = c->node->prepared;
    const struct pt_tensor *x = c->in[0], *list = &p->categories.list;
    int64_t dims[PT_MAX_RANK];
    if ((x->dtype == PT_STRING) != (list->dtype == PT_STRING))
        return pt_op_fail(c, PT_EINVAL, "input %s does not go with categories of %s", PT_SHAPE(x), pt_dtype_name(list->dtype));
    if (x->rank == PT_MAX_RANK)
        return pt_op_fail(c, PT_ELIMIT, "the result is over rank %d", PT_MAX_RANK);
    memcpy(dims, x->dims, sizeof dims);
    dims[x->rank] = list->dims[0];
    pt_op_set_out(c, 0, PT_FLOAT, x->rank + 1, dims);
    return PT_OK;
}

static int one_hot_encoder_run(struct pt_op_ctx *c)
{
    const struct one_hot *p = c->node->prepared;
    const struct pt_tensor *x = c->in[0];
    int64_t n = pt_tensor_count(x), width = p->categories.list.dims[0], integers[PT_BLOCK], index[PT_BLOCK];
    const struct pt_tensor as_int = {.dtype = PT_INT64, .data = integers};
    float *y = c->out[0]->data;
    memset(y, 0, c->out[0]->size_bytes);
    for (int64_t at = 0; at < n; at += PT_BLOCK) {
        int64_t part = n - at < PT_BLOCK ? n - at : PT_BLOCK;
        if (x->dtype != PT_STRING)
            pt_load_i64(x, at, part, integers);
        pt_dict_find(&p->categories, x->dtype == PT_STRING ? x : &as_int, x->dtype == PT_STRING ? at : 0, part, index);
        for (int64_t i = 0; i < part; i++) {
            if (index[i] >= 0)
                y[(at + i) * width + index[i]] = 1;
            else if (!p->zeros)
                return pt_op_fail(c, PT_EINVAL, "element %lld of the input is no category", (long long)(at + i));
        }
    }
    return PT_OK;
}

const struct pt_op pt_op_ml_one_hot_encoder = {.domain = PT_ML_DOMAIN,
                                               .type = "OneHotEncoder",
                                               .since = {1},
                                               .min_in = 1,
                                               .max_in = 1,
                                               .max_out = 1,
                                               .types = {PT_ML_NUM | PT_TS_STRING},
                                               .prepare = one_hot_encoder_prepare,
                                               .infer = one_hot_encoder_infer,
                                               .run = one_hot_encoder_run};
