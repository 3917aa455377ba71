/* SPDX-License-Identifier: Apache-2.0
 *
 * tfs.c: see tfs.h.
 */
#include "sidecar/tfs.h"

#include "base/num.h"

#include <stdio.h>

static int width_of(struct pt_str s)
{
    return (int)(s.len < 128 ? s.len : 128);
}

int pt_tfs_check_signature(struct pt_str name, struct pt_err *err)
{
    if (name.len == 0 || pt_str_eq(name, PT_STR(PT_TFS_SIGNATURE)))
        return PT_OK;
    return pt_fail(err, PT_EINVAL, "Serving signature name: \"" PT_STR_FMT "\" not found in signature def; there is \"" PT_TFS_SIGNATURE "\"",
                   width_of(name), name.p);
}

int pt_tfs_find(struct pt_frontend *f, struct pt_model_ref *ref, struct pt_model_view *v, struct pt_err *err)
{
    if (!ref->label && pt_str_eq(ref->version, PT_STR("0")))
        ref->version = PT_STR("");
    int rc = pt_frontend_find_serving(f, ref, v, err);
    if (rc != PT_ENOTFOUND)
        return rc;
    if (ref->label)
        return pt_fail(err, PT_EINVAL, "Unrecognized servable version label: " PT_STR_FMT, width_of(ref->version), ref->version.p);
    if (ref->version.len)
        return pt_fail(err, rc, "Servable not found for request: Specific(" PT_STR_FMT ", " PT_STR_FMT ")", width_of(ref->name), ref->name.p,
                       width_of(ref->version), ref->version.p);
    return pt_fail(err, rc, "Servable not found for request: Latest(" PT_STR_FMT ")", width_of(ref->name), ref->name.p);
}

const char *pt_tfs_state(const struct pt_model_view *v, unsigned *number)
{
    static const struct {
        const char *text;
        unsigned number;
    } states[PT_MODEL_STATE_COUNT] = {
        [PT_MODEL_DOWNLOADING] = {"START", 10}, [PT_MODEL_VERIFYING] = {"START", 10}, [PT_MODEL_LOADING] = {"LOADING", 20},
        [PT_MODEL_WARMING] = {"LOADING", 20},   [PT_MODEL_READY] = {"AVAILABLE", 30}, [PT_MODEL_DRAINING] = {"UNLOADING", 40},
        [PT_MODEL_FAILED] = {"END", 50}};
    *number = states[v->state].number;
    return states[v->state].text;
}

const char *pt_tfs_method_name(enum pt_tfs_method m)
{
    return m == PT_TFS_CLASSIFY ? "tensorflow/serving/classify" : m == PT_TFS_REGRESS ? "tensorflow/serving/regress" : "tensorflow/serving/predict";
}

const char *pt_tfs_dtype_name(const struct pt_datatype *t)
{
    switch (t->dtype) {
    case PT_FLOAT:
        return "DT_FLOAT";
    case PT_DOUBLE:
        return "DT_DOUBLE";
    case PT_STRING:
        return "DT_STRING";
    case PT_FLOAT16:
        return "DT_HALF";
    case PT_BFLOAT16:
        return "DT_BFLOAT16";
    case PT_BOOL:
        return "DT_BOOL";
    case PT_INT8:
        return "DT_INT8";
    case PT_UINT8:
        return "DT_UINT8";
    case PT_INT16:
        return "DT_INT16";
    case PT_UINT16:
        return "DT_UINT16";
    case PT_INT32:
        return "DT_INT32";
    case PT_UINT32:
        return "DT_UINT32";
    case PT_INT64:
        return "DT_INT64";
    case PT_UINT64:
        return "DT_UINT64";
    default:
        return "DT_INVALID";
    }
}

/* --- rows ------------------------------------------------------------------------------------------------------------------------ */

int pt_tfs_rows_init(struct pt_tfs_rows *r, struct pt_request *q, size_t count, size_t most, struct pt_err *err)
{
    *r = (struct pt_tfs_rows){.q = q, .count = count, .most = most};
    r->columns = pt_request_alloc(q, q->model->input_count * sizeof *r->columns);
    if (!r->columns)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    for (size_t i = 0; i < q->model->input_count; i++)
        r->columns[i] = (struct pt_tfs_column){.rank = -1};
    return PT_OK;
}

/* A flat list for a row that the model wants in another shape with as many elements. */
static bool fits_flat(const struct pt_value_info *v, const int64_t *dims, int rank)
{
    int64_t want = 1, got = rank == 1 ? dims[0] : 1;
    if (rank > 1 || v->rank < 1 || v->rank == rank + 1)
        return false;
    for (int i = 1; i < v->rank; i++)
        if (v->dims[i] < 0 || __builtin_mul_overflow(want, v->dims[i], &want))
            return false;
    return want == got;
}

static int start_column(struct pt_tfs_rows *r, size_t input, const int64_t *dims, int rank, struct pt_err *err)
{
    struct pt_tfs_column *c = &r->columns[input];
    const struct pt_value_info *v = r->q->model->inputs[input];
    const struct pt_datatype *type = pt_datatype_of(v->dtype);
    struct pt_tensor *t = &r->q->inputs[input];
    int64_t whole[PT_MAX_RANK + 1] = {(int64_t)r->count}, count;
    bool flat = fits_flat(v, dims, rank);
    c->rank = rank;
    memcpy(c->dims, dims, (size_t)rank * sizeof *dims);
    int whole_rank = flat ? v->rank : rank + 1;
    memcpy(whole + 1, flat ? v->dims + 1 : dims, (size_t)(whole_rank - 1) * sizeof *dims);
    int rc = pt_request_set_shape(r->q, input, type, whole, whole_rank, &count, err);
    if (rc < 0)
        return rc;
    if ((uint64_t)count > r->most)
        return pt_fail(err, PT_EINVAL, "input \"%s\": %zu rows of this shape are more than the request can hold", v->name, r->count);
    t->data = pt_request_alloc(r->q, t->size_bytes);
    c->elements = r->count ? (size_t)count / r->count : 0;
    return t->data ? PT_OK : pt_fail(err, PT_ENOMEM, "input \"%s\": out of memory for %zu bytes", v->name, t->size_bytes);
}

int pt_tfs_rows_place(struct pt_tfs_rows *r, size_t row, size_t input, const int64_t *dims, int rank, void **place, struct pt_err *err)
{
    struct pt_tfs_column *c = &r->columns[input];
    const char *name = r->q->model->inputs[input]->name;
    if (c->seen != row)
        return pt_fail(err, PT_EINVAL, c->seen > row ? "row %zu: input \"%s\" is given twice" : "row %zu: input \"%s\" was missing before", row,
                       name);
    if (row == 0) {
        int rc = start_column(r, input, dims, rank, err);
        if (rc < 0)
            return rc;
    } else if (rank != c->rank || memcmp(dims, c->dims, (size_t)rank * sizeof *dims) != 0) {
        return pt_fail(err, PT_EINVAL, "row %zu: input \"%s\" has another shape than in the rows before", row, name);
    }
    size_t width = r->q->inputs[input].dtype == PT_STRING ? sizeof(struct pt_string) : pt_dtype_bits(r->q->inputs[input].dtype) / 8;
    *place = (char *)r->q->inputs[input].data + row * c->elements * width;
    c->seen++;
    return PT_OK;
}

int pt_tfs_rows_end(const struct pt_tfs_rows *r, size_t row, struct pt_err *err)
{
    for (size_t i = 0; i < r->q->model->input_count; i++)
        if (r->columns[i].seen != row + 1)
            return pt_fail(err, PT_EINVAL, "row %zu: input \"%s\" is missing", row, r->q->model->inputs[i]->name);
    return PT_OK;
}

/* --- classes and values ------------------------------------------------------------------------------------------------------------------- */

static bool is_real(const struct pt_value_info *v)
{
    return v->dtype == PT_FLOAT || v->dtype == PT_DOUBLE || v->dtype == PT_FLOAT16 || v->dtype == PT_BFLOAT16;
}

static bool may_be_scores(const struct pt_value_info *v, enum pt_tfs_method m)
{
    if (!is_real(v))
        return false;
    if (m == PT_TFS_CLASSIFY)
        return v->rank == 2 || v->rank < 0;
    return v->rank < 0 || v->rank == 1 || (v->rank == 2 && (v->dims[1] == 1 || v->dims[1] < 0));
}

/* Names that models give such outputs, the surest first; then the first output that could be it. */
static int find_scores(const struct pt_model_info *m, enum pt_tfs_method method)
{
    static const char *const classes[] = {"scores", "probabilities", "output_probability", "probability"}, *const values[] = {"outputs", "variable",
                                                                                                                              "output"};
    const char *const *names = method == PT_TFS_CLASSIFY ? classes : values;
    size_t count = method == PT_TFS_CLASSIFY ? sizeof classes / sizeof *classes : sizeof values / sizeof *values;
    for (size_t k = 0; k < count; k++)
        for (size_t i = 0; i < m->output_count; i++)
            if (strcmp(m->outputs[i]->name, names[k]) == 0 && may_be_scores(m->outputs[i], method))
                return (int)i;
    for (size_t i = 0; i < m->output_count; i++)
        if (may_be_scores(m->outputs[i], method))
            return (int)i;
    return -1;
}

static int find_labels(const struct pt_model_info *m, enum pt_tfs_method method)
{
    for (size_t i = 0; method == PT_TFS_CLASSIFY && i < m->output_count; i++)
        if (m->outputs[i]->dtype == PT_STRING)
            return (int)i;
    return -1;
}

int pt_tfs_choose(struct pt_request *q, enum pt_tfs_method m, struct pt_err *err)
{
    const struct pt_model_info *info = q->model;
    if (m == PT_TFS_PREDICT)
        return PT_OK;
    int scores = find_scores(info, m), labels = find_labels(info, m);
    if (scores < 0)
        return pt_fail(err, PT_EINVAL, "model \"%s\" cannot %s: it has no output of numbers [batch%s]", info->name,
                       m == PT_TFS_CLASSIFY ? "classify" : "regress", m == PT_TFS_CLASSIFY ? ", classes" : "");
    q->outputs[scores].wanted = true;
    if (labels >= 0)
        q->outputs[labels].wanted = true;
    return PT_OK;
}

int pt_tfs_scores(struct pt_request *q, const struct pt_tensor *const *outputs, enum pt_tfs_method m, struct pt_tfs_scores *s, struct pt_err *err)
{
    int index = find_scores(q->model, m), labels = find_labels(q->model, m);
    const struct pt_tensor *t = outputs[index];
    *s = (struct pt_tfs_scores){.scores = t, .labels = labels >= 0 ? outputs[labels] : NULL};
    bool fits = t && (m == PT_TFS_CLASSIFY ? t->rank == 2 : t->rank == 1 || (t->rank == 2 && t->dims[1] == 1));
    if (!fits)
        return pt_fail(err, PT_EINVAL, "output \"%s\" has another shape than [batch%s]", q->model->outputs[index]->name,
                       m == PT_TFS_CLASSIFY ? ", classes" : "");
    s->rows = (size_t)t->dims[0];
    s->classes = t->rank == 2 ? (size_t)t->dims[1] : 1;
    size_t names = s->labels ? s->labels->size_bytes / sizeof(struct pt_string) : 0;
    s->label_per_row = names == s->rows * s->classes;
    if (!s->label_per_row && names != s->classes)
        s->labels = NULL;
    return PT_OK;
}

double pt_tfs_score(const struct pt_tfs_scores *s, size_t row, size_t k)
{
    size_t i = row * s->classes + k;
    switch (s->scores->dtype) {
    case PT_DOUBLE:
        return ((const double *)s->scores->data)[i];
    case PT_FLOAT16:
        return pt_num_f16_value(((const uint16_t *)s->scores->data)[i]);
    case PT_BFLOAT16:
        return pt_num_bf16_value(((const uint16_t *)s->scores->data)[i]);
    default:
        return (double)((const float *)s->scores->data)[i];
    }
}

struct pt_str pt_tfs_label(const struct pt_tfs_scores *s, size_t row, size_t k, char text[24])
{
    if (s->labels) {
        const struct pt_string *l = (const struct pt_string *)s->labels->data + (s->label_per_row ? row * s->classes : 0) + k;
        return (struct pt_str){l->p, l->len};
    }
    snprintf(text, 24, "%zu", k);
    return pt_str(text);
}
