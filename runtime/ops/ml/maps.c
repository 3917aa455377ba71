/* SPDX-License-Identifier: Apache-2.0
 *
 * maps.c: ai.onnx.ml operators between tensors and maps: ZipMap, DictVectorizer, CastMap.
 */
#include "runtime/ops/ml/ml.h"

#include "base/num.h"
#include "runtime/ops/order.h"

/* --- ZipMap: each row of scores becomes a map from label to score ---------------------------------------------------------------------------- */

static int zip_map_prepare(struct pt_op_ctx *c, void **prepared)
{
    struct pt_ml_labels *l = pt_op_alloc(c, sizeof *l);
    if (!l)
        return c->err->code;
    *prepared = l;
    return pt_ml_read_labels(c, "classlabels_int64s", "classlabels_strings", l);
}

static int zip_map_infer(struct pt_op_ctx *c)
{
    const struct pt_ml_labels *l = c->node->prepared;
    int64_t rows, columns;
    int rc = pt_ml_matrix(c, 0, &rows, &columns);
    if (rc < 0)
        return rc;
    if (columns != l->count)
        return pt_op_fail(c, PT_EINVAL, "input %s for %lld labels", PT_SHAPE(c->in[0]), (long long)l->count);
    pt_op_set_out(c, 0, PT_SEQUENCE, 0, NULL);
    return PT_OK;
}

static int zip_map_run(struct pt_op_ctx *c)
{
    const struct pt_ml_labels *l = c->node->prepared;
    int64_t rows = pt_ml_rows(c->in[0]);
    struct pt_sequence *y = c->out[0]->data;
    struct pt_tensor *items = pt_op_alloc(c, (size_t)rows * sizeof *items), scores;
    struct pt_map_value *maps = pt_op_alloc(c, (size_t)rows * sizeof *maps);
    int rc = items && maps ? pt_op_keep(c, c->in[0], &scores) : c->err->code;
    if (rc < 0)
        return rc;
    for (int64_t r = 0; r < rows; r++) {
        size_t bytes = (size_t)l->count * sizeof(float);
        maps[r].keys = l->list;
        maps[r].values =
            (struct pt_tensor){.dtype = PT_FLOAT, .rank = 1, .dims = {l->count}, .data = (float *)scores.data + r * l->count, .size_bytes = bytes};
        items[r] = (struct pt_tensor){.dtype = PT_MAP, .data = &maps[r], .size_bytes = sizeof maps[r]};
    }
    *y = (struct pt_sequence){.count = (size_t)rows, .items = items, .elem = PT_MAP};
    return PT_OK;
}

const struct pt_op pt_op_ml_zip_map = {.domain = PT_ML_DOMAIN,
                                       .type = "ZipMap",
                                       .since = {1},
                                       .min_in = 1,
                                       .max_in = 1,
                                       .max_out = 1,
                                       .types = {PT_T(PT_FLOAT)},
                                       .prepare = zip_map_prepare,
                                       .infer = zip_map_infer,
                                       .run = zip_map_run};

/* --- DictVectorizer: a map's values in the order of a vocabulary ------------------------------------------------------------------------------ */

static int dict_vectorizer_prepare(struct pt_op_ctx *c, void **prepared)
{
    struct pt_dict *d = pt_op_alloc(c, sizeof *d);
    struct pt_ml_labels l;
    int rc;
    if (!d)
        return c->err->code;
    *prepared = d;
    return (rc = pt_ml_read_labels(c, "int64_vocabulary", "string_vocabulary", &l)) < 0 ? rc : pt_dict_make(c, &l.list, true, d);
}

/* The map, or NULL with the error written; what it maps to decides the type, so its value must be known. */
static const struct pt_map_value *map_of(struct pt_op_ctx *c)
{
    if (c->in[0]->data)
        return c->in[0]->data;
    pt_op_needs_data(c, 0, "X");
    return NULL;
}

static int dict_vectorizer_infer(struct pt_op_ctx *c)
{
    const struct pt_dict *d = c->node->prepared;
    const struct pt_map_value *m = map_of(c);
    if (!m)
        return c->err->code;
    if (m->keys.dtype != d->list.dtype)
        return pt_op_fail(c, PT_EINVAL, "a map with keys of %s does not go with a vocabulary of %s", pt_dtype_name(m->keys.dtype),
                          pt_dtype_name(d->list.dtype));
    pt_op_set_out(c, 0, m->values.dtype, 2, (const int64_t[]){1, d->list.dims[0]});
    return PT_OK;
}

static int dict_vectorizer_run(struct pt_op_ctx *c)
{
    const struct pt_dict *d = c->node->prepared;
    const struct pt_map_value *m = c->in[0]->data;
    struct pt_tensor *y = c->out[0];
    int64_t n = pt_tensor_count(&m->keys), at;
    memset(y->data, 0, y->size_bytes);
    for (int64_t i = 0; i < n; i++) {
        pt_dict_find(d, &m->keys, i, 1, &at);
        if (at >= 0)
            pt_copy_elem(y, at, &m->values, i);
    }
    return PT_OK;
}

const struct pt_op pt_op_ml_dict_vectorizer = {.domain = PT_ML_DOMAIN,
                                               .type = "DictVectorizer",
                                               .since = {1},
                                               .min_in = 1,
                                               .max_in = 1,
                                               .max_out = 1,
                                               .types = {PT_T(PT_MAP)},
                                               .prepare = dict_vectorizer_prepare,
                                               .infer = dict_vectorizer_infer,
                                               .run = dict_vectorizer_run};

/* --- CastMap: a map's values as a tensor, by key: all of them in order (dense), or each at the place that its key says (sparse) ------------- */

struct cast_map {
    int to; /* float, string, int64 */
    int sparse;
    int64_t width;
};

static int cast_map_infer(struct pt_op_ctx *c)
{
    static const char *const targets[] = {"TO_FLOAT", "TO_STRING", "TO_INT64", NULL}, *const forms[] = {"DENSE", "SPARSE", NULL};
    static const enum pt_dtype dtypes[] = {PT_FLOAT, PT_STRING, PT_INT64};
    struct cast_map *p = c->params;
    int rc = pt_attr_choice(c, "cast_to", targets, 0, &p->to);
    if (rc < 0 || (rc = pt_attr_choice(c, "map_form", forms, 0, &p->sparse)) < 0 || (rc = pt_attr_int(c, "max_map", 1, 1, INT32_MAX, &p->width)) < 0)
        return rc;
    const struct pt_map_value *m = map_of(c);
    if (!m)
        return c->err->code;
    if (m->keys.dtype != PT_INT64 || !(PT_T(m->values.dtype) & (PT_T(PT_FLOAT) | PT_TS_STRING)))
        return pt_op_fail(c, PT_EINVAL, "a map from %s to %s is none of int64 to float32 or string", pt_dtype_name(m->keys.dtype),
                          pt_dtype_name(m->values.dtype));
    p->width = p->sparse ? p->width : pt_tensor_count(&m->keys);
    pt_op_set_out(c, 0, dtypes[p->to], 2, (const int64_t[]){1, p->width});
    return PT_OK;
}

static int put_text(struct pt_op_ctx *c, struct pt_tensor *y, int64_t to, float v)
{
    char *p = pt_op_alloc(c, PT_NUM_MAX);
    if (!p)
        return c->err->code;
    ((struct pt_string *)y->data)[to] = (struct pt_string){p, pt_num_put_f32(p, v)};
    return PT_OK;
}

static int put_number(struct pt_op_ctx *c, struct pt_tensor *y, int64_t to, struct pt_string s)
{
    struct pt_num n;
    const char *end = s.len ? s.p + s.len : NULL;
    if (!s.len || pt_num_scan(s.p, end, &n) != end)
        return pt_op_fail(c, PT_EINVAL, "\"%.*s\" is no number", (int)(s.len < 64 ? s.len : 64), s.len ? s.p : "");
    pt_store_f64(y, to, 1, &(double){pt_num_to_f64(&n)});
    return PT_OK;
}

/* Text of a number, number of a text; the same types are copied. */
static int cast_elem(struct pt_op_ctx *c, struct pt_tensor *y, int64_t to, const struct pt_tensor *values, int64_t i)
{
    if (y->dtype == values->dtype)
        pt_copy_elem(y, to, values, i);
    else if (y->dtype != PT_STRING && values->dtype != PT_STRING)
        pt_ml_convert(y, to, values, i);
    else if (y->dtype == PT_STRING)
        return put_text(c, y, to, ((const float *)values->data)[i]);
    else
        return put_number(c, y, to, ((const struct pt_string *)values->data)[i]);
    return PT_OK;
}

static int compare_keys(const void *arg, int64_t a, int64_t b)
{
    const int64_t *keys = arg;
    return (keys[a] > keys[b]) - (keys[a] < keys[b]);
}

static int cast_dense(struct pt_op_ctx *c, const struct pt_map_value *m)
{
    int64_t n = pt_tensor_count(&m->keys);
    int64_t *order = pt_op_alloc(c, 2 * (size_t)n * sizeof *order);
    int rc = order ? PT_OK : c->err->code;
    for (int64_t i = 0; rc == PT_OK && i < n; i++)
        order[i] = i;
    if (rc == PT_OK)
        pt_sort(order, order + n, n, compare_keys, m->keys.data);
    for (int64_t i = 0; rc == PT_OK && i < n; i++)
        rc = cast_elem(c, c->out[0], i, &m->values, order[i]);
    return rc;
}

static int cast_map_run(struct pt_op_ctx *c)
{
    const struct cast_map *p = c->params;
    const struct pt_map_value *m = c->in[0]->data;
    const int64_t *keys = m->keys.data;
    int64_t n = pt_tensor_count(&m->keys);
    if (!p->sparse)
        return cast_dense(c, m);
    memset(c->out[0]->data, 0, c->out[0]->size_bytes);
    for (int64_t i = 0; i < n; i++) {
        if (keys[i] < 0 || keys[i] >= p->width)
            return pt_op_fail(c, PT_EINVAL, "key %lld is outside 0 to %lld", (long long)keys[i], (long long)p->width - 1);
        int rc = cast_elem(c, c->out[0], keys[i], &m->values, i);
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

const struct pt_op pt_op_ml_cast_map = {.domain = PT_ML_DOMAIN,
                                        .type = "CastMap",
                                        .since = {1},
                                        .min_in = 1,
                                        .max_in = 1,
                                        .max_out = 1,
                                        .types = {PT_T(PT_MAP)},
                                        .params_size = sizeof(struct cast_map),
                                        .infer = cast_map_infer,
                                        .run = cast_map_run};
