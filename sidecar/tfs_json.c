/* SPDX-License-Identifier: Apache-2.0
 *
 * tfs_json.c: bodies of TensorFlow Serving's REST requests. Shapes are not said but follow from the nesting: a value is measured along its first
 * elements and then read, and every list must be as long as the first of its level.
 */
#include "base/json.h"
#include "sidecar/tfs.h"

/* {"b64": "..."} */
static int read_b64(struct pt_request *q, struct pt_json *j, struct pt_str *out, struct pt_err *err)
{
    struct pt_str key, text = {NULL, 0};
    int rc = pt_json_object(j, err);
    while (rc >= 0 && (rc = pt_json_member(j, &key, err)) == 1) {
        if (!pt_json_key_is(&key, "b64") || text.p || pt_json_kind(j, err) != PT_JSON_STRING)
            return pt_fail(err, PT_EINVAL, "a binary string is {\"b64\": \"...\"} and nothing else");
        rc = pt_request_json_string(q, j, &text, err);
    }
    if (rc < 0)
        return rc;
    if (!text.p)
        return pt_fail(err, PT_EINVAL, "a binary string is {\"b64\": \"...\"}, not an empty object");
    uint8_t *bytes = pt_request_alloc(q, text.len);
    size_t len;
    if (!bytes)
        return pt_fail(err, PT_ENOMEM, "out of memory for a string of %zu bytes", text.len);
    rc = pt_base64_decode(text, bytes, text.len, &len, err);
    *out = (struct pt_str){(const char *)bytes, len};
    return rc;
}

static int read_string(struct pt_request *q, struct pt_json *j, struct pt_string *out, struct pt_err *err)
{
    struct pt_str s;
    int kind = pt_json_kind(j, err);
    int rc = kind == PT_JSON_STRING   ? pt_request_json_string(q, j, &s, err)
             : kind == PT_JSON_OBJECT ? read_b64(q, j, &s, err)
             : kind < 0               ? kind
                                      : pt_fail(err, PT_EINVAL, "a string or {\"b64\": \"...\"} is wanted");
    if (rc == PT_OK)
        *out = (struct pt_string){s.p, s.len};
    return rc;
}

/* One number or string, without brackets. */
static int read_scalar(struct pt_request *q, struct pt_json *j, const struct pt_datatype *type, void *out, struct pt_err *err)
{
    struct pt_str raw;
    char text[512];
    if (type->dtype == PT_STRING)
        return read_string(q, j, out, err);
    int rc = pt_json_value(j, &raw, err);
    if (rc < 0)
        return rc;
    if (raw.len > sizeof text - 2 || *raw.p == '[')
        return pt_fail(err, PT_EINVAL, "one number is wanted");
    text[0] = '[';
    memcpy(text + 1, raw.p, raw.len);
    text[raw.len + 1] = ']';
    struct pt_json one;
    pt_json_init(&one, text, raw.len + 2);
    one.nan_tokens = true;
    return pt_json_numbers(&one, type->elem, out, 1, err);
}

/* The shape that the nesting of the next value says; consumes it. */
static int measure(struct pt_json *j, int64_t *dims, int *rank, struct pt_err *err)
{
    int kind = pt_json_kind(j, err), rc;
    if (kind != PT_JSON_ARRAY)
        return kind < 0 ? kind : pt_json_skip(j, err);
    if (*rank == PT_MAX_RANK)
        return pt_fail(err, PT_EINVAL, "nested deeper than %d levels", PT_MAX_RANK);
    int64_t *count = &dims[(*rank)++];
    *count = 0;
    rc = pt_json_array(j, err);
    while (rc >= 0 && (rc = pt_json_element(j, err)) == 1)
        rc = (*count)++ ? pt_json_skip(j, err) : measure(j, dims, rank, err);
    return rc;
}

static int ragged(int64_t want, struct pt_err *err)
{
    return pt_fail(err, PT_EINVAL, "a list has another length than the first of its level, %lld", (long long)want);
}

/* Reads a value of exactly this shape; recursion goes no deeper than PT_MAX_RANK. */
static int read_value(struct pt_request *q, struct pt_json *j, const struct pt_datatype *type, const int64_t *dims, int rank, char **out,
                      struct pt_err *err)
{
    size_t width = type->width ? type->width : sizeof(struct pt_string);
    int rc;
    if (rank == 0) {
        rc = read_scalar(q, j, type, *out, err);
        *out += width;
        return rc;
    }
    if (rank == 1 && type->width) {
        const char *from = j->p;
        rc = pt_json_numbers(j, type->elem, *out, (size_t)dims[0], err);
        const char *first = memchr(from, '[', (size_t)(j->p - from));
        if (rc == PT_OK && memchr(first + 1, '[', (size_t)(j->p - first - 1)))
            return pt_fail(err, PT_EINVAL, "numbers and lists are mixed in one list");
        *out += (size_t)dims[0] * width;
        return rc;
    }
    int64_t n = 0;
    rc = pt_json_array(j, err);
    while (rc >= 0 && (rc = pt_json_element(j, err)) == 1) {
        if (n++ == dims[0])
            return ragged(dims[0], err);
        rc = read_value(q, j, type, dims + 1, rank - 1, out, err);
    }
    return rc < 0 || n == dims[0] ? rc : ragged(dims[0], err);
}

static struct pt_json reader(struct pt_str text)
{
    struct pt_json j;
    pt_json_init(&j, text.p, text.len);
    j.nan_tokens = true;
    return j;
}

/* --- columns: a whole tensor per input ------------------------------------------------------------------------------------------------- */

static int read_column(struct pt_request *q, size_t input, struct pt_str text, struct pt_err *err)
{
    const struct pt_datatype *type = pt_datatype_of(q->model->inputs[input]->dtype);
    struct pt_tensor *t = &q->inputs[input];
    struct pt_json j = reader(text);
    int64_t dims[PT_MAX_RANK], count;
    int rank = 0, rc = measure(&j, dims, &rank, err);
    if (rc == PT_OK)
        rc = pt_request_set_shape(q, input, type, dims, rank, &count, err);
    if (rc < 0)
        return rc;
    if ((uint64_t)count > text.len)
        return pt_fail(err, PT_EINVAL, "input \"%s\": fewer elements than its shape has", q->model->inputs[input]->name);
    char *to = t->data = pt_request_alloc(q, t->size_bytes);
    if (!to)
        return pt_fail(err, PT_ENOMEM, "input \"%s\": out of memory for %zu bytes", q->model->inputs[input]->name, t->size_bytes);
    j = reader(text);
    rc = read_value(q, &j, type, dims, rank, &to, err);
    return rc < 0 ? pt_wrap(err, "input \"%s\"", q->model->inputs[input]->name) : rc;
}

static int input_named(struct pt_request *q, struct pt_str raw_key, struct pt_err *err)
{
    for (size_t i = 0; i < q->model->input_count; i++)
        if (pt_json_key_is(&raw_key, q->model->inputs[i]->name))
            return (int)i;
    return pt_request_input_index(q, raw_key, err);
}

static int one_input(const struct pt_request *q, struct pt_err *err)
{
    if (q->model->input_count == 1)
        return PT_OK;
    return pt_fail(err, PT_EINVAL, "model \"%s\" has %zu inputs: name the one that a value is for", q->model->name, q->model->input_count);
}

/* {"b64": ...} is a value, any other object has inputs by name. */
static bool is_named(struct pt_str text)
{
    struct pt_json j = reader(text);
    struct pt_str key = {"", 0};
    return pt_json_kind(&j, NULL) == PT_JSON_OBJECT && pt_json_object(&j, NULL) == PT_OK && pt_json_member(&j, &key, NULL) >= 0 && !pt_json_key_is(&key, "b64");
}

static int read_columns(struct pt_request *q, struct pt_str text, struct pt_err *err)
{
    struct pt_str key, value;
    if (!is_named(text))
        return one_input(q, err) < 0 ? PT_EINVAL : read_column(q, 0, text, err);
    struct pt_json j = reader(text);
    int rc = pt_json_object(&j, err);
    while (rc >= 0 && (rc = pt_json_member(&j, &key, err)) == 1) {
        int i = input_named(q, key, err);
        if (i < 0)
            return i;
        if (q->inputs[i].data)
            return pt_fail(err, PT_EINVAL, "input \"%s\" is given twice", q->model->inputs[i]->name);
        rc = pt_json_value(&j, &value, err);
        if (rc == PT_OK)
            rc = read_column(q, (size_t)i, value, err);
    }
    return rc;
}

/* --- rows ----------------------------------------------------------------------------------------------------------------------------------- */

static int read_row_value(struct pt_tfs_rows *r, size_t row, size_t input, struct pt_str text, struct pt_err *err)
{
    const struct pt_datatype *type = pt_datatype_of(r->q->model->inputs[input]->dtype);
    struct pt_json j = reader(text);
    int64_t dims[PT_MAX_RANK];
    int rank = 0, rc = measure(&j, dims, &rank, err);
    void *place;
    if (rc == PT_OK && rank == PT_MAX_RANK)
        rc = pt_fail(err, PT_EINVAL, "nested deeper than %d levels", PT_MAX_RANK - 1);
    if (rc == PT_OK)
        rc = pt_tfs_rows_place(r, row, input, dims, rank, &place, err);
    if (rc < 0)
        return rc;
    char *to = place;
    j = reader(text);
    rc = read_value(r->q, &j, type, dims, rank, &to, err);
    return rc < 0 ? pt_wrap(err, "row %zu: input \"%s\"", row, r->q->model->inputs[input]->name) : rc;
}

static int read_row_members(struct pt_tfs_rows *r, size_t row, struct pt_str text, struct pt_err *err)
{
    struct pt_json j = reader(text);
    struct pt_str key, value;
    int rc = pt_json_object(&j, err);
    while (rc >= 0 && (rc = pt_json_member(&j, &key, err)) == 1) {
        int i = input_named(r->q, key, err);
        if (i < 0)
            return i;
        rc = pt_json_value(&j, &value, err);
        if (rc == PT_OK)
            rc = read_row_value(r, row, (size_t)i, value, err);
    }
    return rc;
}

/* Instances or examples by name; what the context has holds for each example that does not say otherwise. */
static int read_rows(struct pt_request *q, struct pt_str text, struct pt_str context, struct pt_err *err)
{
    struct pt_tfs_rows rows;
    struct pt_json j = reader(text), members;
    struct pt_str row, key, value;
    size_t count = 0;
    int rc = pt_json_array(&j, err);
    while (rc >= 0 && (rc = pt_json_element(&j, err)) == 1) {
        rc = pt_json_skip(&j, err);
        count++;
    }
    if (rc < 0 || (rc = pt_tfs_rows_init(&rows, q, count, text.len, err)) < 0)
        return rc;
    if (count == 0)
        return pt_fail(err, PT_EINVAL, "there are no rows");
    j = reader(text);
    rc = pt_json_array(&j, err);
    for (size_t n = 0; rc >= 0 && (rc = pt_json_element(&j, err)) == 1; n++) {
        if ((rc = pt_json_value(&j, &row, err)) < 0)
            break;
        if (!is_named(row))
            return pt_fail(err, PT_EINVAL, "row %zu: an object with the inputs by name is wanted, as in the rows before", n);
        if ((rc = read_row_members(&rows, n, row, err)) < 0)
            break;
        members = reader(context);
        if (context.p && (rc = pt_json_object(&members, err)) == PT_OK)
            while (rc >= 0 && (rc = pt_json_member(&members, &key, err)) == 1) {
                int i = input_named(q, key, err);
                rc = i < 0 ? i : pt_json_value(&members, &value, err);
                if (rc == PT_OK && rows.columns[i].seen == n)
                    rc = read_row_value(&rows, n, (size_t)i, value, err);
            }
        if (rc >= 0)
            rc = pt_tfs_rows_end(&rows, n, err);
    }
    return rc;
}

/* A list of plain values is one tensor; of objects, rows. */
static int read_instances(struct pt_request *q, struct pt_str text, struct pt_err *err)
{
    struct pt_json j = reader(text);
    struct pt_str first = {NULL, 0};
    int rc = pt_json_array(&j, err);
    if (rc == PT_OK && (rc = pt_json_element(&j, err)) == 1)
        rc = pt_json_value(&j, &first, err);
    if (rc < 0)
        return pt_wrap(err, "instances");
    if (first.p && is_named(first))
        return read_rows(q, text, (struct pt_str){NULL, 0}, err);
    return one_input(q, err) < 0 ? PT_EINVAL : read_column(q, 0, text, err);
}

/* --- the body ----------------------------------------------------------------------------------------------------------------------------- */

struct body {
    struct pt_str signature, instances, inputs, examples, context;
};

static int read_members(struct pt_request *q, struct pt_str text, struct body *b, struct pt_err *err)
{
    const struct {
        const char *name;
        struct pt_str *place;
    } members[] = {{"instances", &b->instances}, {"inputs", &b->inputs}, {"examples", &b->examples}, {"context", &b->context}};
    struct pt_json j = reader(text);
    struct pt_str key, value;
    int rc = pt_json_object(&j, err);
    while (rc >= 0 && (rc = pt_json_member(&j, &key, err)) == 1) {
        bool signature = pt_json_key_is(&key, "signature_name");
        if (signature && pt_json_kind(&j, err) != PT_JSON_STRING)
            return pt_fail(err, PT_EINVAL, "signature_name: want a string");
        rc = signature ? pt_request_json_string(q, &j, &b->signature, err) : pt_json_value(&j, &value, err);
        for (size_t i = 0; rc == PT_OK && i < sizeof members / sizeof members[0]; i++)
            if (pt_json_key_is(&key, members[i].name))
                *members[i].place = value;
    }
    return rc < 0 ? rc : pt_json_end(&j, err);
}

int pt_tfs_json_decode(struct pt_request *q, struct pt_str body, enum pt_tfs_method m, bool *columns, struct pt_err *err)
{
    struct body b = {.signature = {NULL, 0}};
    if (body.len == 0)
        return pt_fail(err, PT_EPARSE, "JSON Parse error: The document is empty");
    int rc = read_members(q, body, &b, err);
    if (rc < 0 || (rc = pt_tfs_check_signature(b.signature, err)) < 0 || (rc = pt_tfs_choose(q, m, err)) < 0)
        return rc;
    *columns = b.inputs.p != NULL;
    if (m != PT_TFS_PREDICT)
        rc = b.examples.p ? read_rows(q, b.examples, b.context, err) : pt_fail(err, PT_EINVAL, "\"examples\" is missing");
    else if (b.instances.p && b.inputs.p)
        return pt_fail(err, PT_EINVAL, "\"instances\" and \"inputs\" are both given: rows or columns, not both");
    else if (b.instances.p)
        rc = read_instances(q, b.instances, err);
    else
        rc = b.inputs.p ? read_columns(q, b.inputs, err) : pt_fail(err, PT_EINVAL, "Missing 'inputs' or 'instances' key");
    return rc < 0 ? rc : pt_request_check(q, err);
}
