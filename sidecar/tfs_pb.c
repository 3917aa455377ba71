/* SPDX-License-Identifier: Apache-2.0
 *
 * tfs_pb.c: see tfs_pb.h.
 */
#include "sidecar/tfs_pb.h"

#include "sidecar/pbtensor.h"

#include <stdio.h>

/* --- model specs -------------------------------------------------------------------------------------------------------------------- */

enum { SPEC_NAME = 1, SPEC_VERSION, SPEC_SIGNATURE, SPEC_LABEL };

static int read_version(struct pt_str wrapper, int64_t *version, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(wrapper.p, wrapper.len);
    struct pt_pb_field f;
    int rc;
    *version = 0;
    while ((rc = pt_pb_next(&r, &f, err)) == 1)
        if (f.number == 1 && f.type == PT_PB_VARINT)
            *version = (int64_t)f.value;
    return rc;
}

int pt_tfs_pb_spec(struct pt_str message, struct pt_model_ref *ref, struct pt_str *signature, char version[24], struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(message.p, message.len), in = {NULL, NULL};
    struct pt_pb_field f;
    int64_t number;
    int rc;
    *ref = (struct pt_model_ref){.name = PT_STR(""), .version = PT_STR("")};
    *signature = PT_STR("");
    while ((rc = pt_pb_next(&r, &f, err)) == 1)
        if (f.number == 1 && f.type == PT_PB_LEN)
            in = pt_pb_reader(f.bytes.p, f.bytes.len);
    if (rc < 0)
        return rc;
    while ((rc = pt_pb_next(&in, &f, err)) == 1) {
        if (f.type != PT_PB_LEN)
            continue;
        if (f.number == SPEC_NAME)
            ref->name = f.bytes;
        else if (f.number == SPEC_SIGNATURE)
            *signature = f.bytes;
        else if (f.number == SPEC_LABEL) {
            ref->version = f.bytes;
            ref->label = true;
        } else if (f.number == SPEC_VERSION) {
            if ((rc = read_version(f.bytes, &number, err)) < 0)
                return rc;
            snprintf(version, 24, "%lld", (long long)number);
            ref->version = pt_str(version);
            ref->label = false;
        }
    }
    return rc < 0 ? rc : ref->name.len ? PT_OK : pt_fail(err, PT_EINVAL, "Missing ModelSpec: it names no model");
}

void pt_tfs_pb_put_spec(struct pt_buf *out, uint32_t number, const char *name, const char *version, struct pt_str signature)
{
    int64_t n;
    size_t spec = pt_pb_begin(out, number);
    pt_pb_put_str(out, SPEC_NAME, pt_str(name));
    if (pt_parse_i64(pt_str(version), 0, INT64_MAX, "version", &n, NULL) == PT_OK) {
        size_t wrapper = pt_pb_begin(out, SPEC_VERSION);
        if (n)
            pt_pb_put_varint(out, 1, (uint64_t)n);
        pt_pb_end(out, wrapper);
    }
    pt_pb_put_str(out, SPEC_SIGNATURE, signature);
    pt_pb_end(out, spec);
}

/* --- tensors --------------------------------------------------------------------------------------------------------------------------- */

enum { T_DTYPE = 1, T_SHAPE, T_VERSION, T_CONTENT, T_STRINGS = 8 };

static int read_shape(struct pt_str message, int64_t *dims, int *rank, bool *unknown, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(message.p, message.len), in;
    struct pt_pb_field f, d;
    int rc;
    while ((rc = pt_pb_next(&r, &f, err)) == 1) {
        *unknown |= f.number == 3 && f.type == PT_PB_VARINT && f.value;
        if (f.number != 2 || f.type != PT_PB_LEN)
            continue;
        if (*rank == PT_MAX_RANK)
            return pt_fail(err, PT_EINVAL, "tensor_shape: more than %d dimensions", PT_MAX_RANK);
        dims[*rank] = 0;
        in = pt_pb_reader(f.bytes.p, f.bytes.len);
        while ((rc = pt_pb_next(&in, &d, err)) == 1)
            if (d.number == 1 && d.type == PT_PB_VARINT)
                dims[*rank] = (int64_t)d.value;
        ++*rank;
        if (rc < 0)
            return rc;
    }
    return rc;
}

/* One element in the typed field stands for all that follow. */
static void spread(char *data, size_t width, size_t from, size_t count)
{
    for (size_t i = from; from > 0 && i < count; i++)
        memcpy(data + i * width, data + (from - 1) * width, width);
}

static int read_elements(struct pt_request *q, size_t i, const struct pt_datatype *type, struct pt_str message, size_t count, struct pt_err *err)
{
    struct pt_tensor *t = &q->inputs[i];
    struct pt_pb_reader r = pt_pb_reader(message.p, message.len);
    struct pt_pb_field f;
    size_t n = 0, width = type->width ? type->width : sizeof(struct pt_string);
    int rc;
    t->data = pt_request_alloc(q, t->size_bytes);
    if (!t->data)
        return pt_fail(err, PT_ENOMEM, "out of memory for %zu bytes", t->size_bytes);
    while ((rc = pt_pb_next(&r, &f, err)) == 1) {
        if (f.number < 5 || (f.number == 15 && f.type == PT_PB_LEN))
            continue;
        if (f.number != type->tf_field)
            return pt_fail(err, PT_EINVAL, "field %u of TensorProto does not carry %s, field %u does", f.number, pt_tfs_dtype_name(type),
                           type->tf_field);
        if (type->width)
            rc = pt_pb_numbers(&f, t->dtype, t->data, count, &n, err);
        else if (f.type != PT_PB_LEN || n == count)
            rc = pt_fail(err, PT_EINVAL, "want %zu strings, got more", count);
        else
            ((struct pt_string *)t->data)[n++] = (struct pt_string){f.bytes.p, f.bytes.len};
        if (rc < 0)
            return rc;
    }
    if (rc == PT_OK && n != count && n == 0)
        return pt_fail(err, PT_EINVAL, "want %zu elements, got none", count);
    spread(t->data, width, n, count);
    return rc;
}

int pt_tfs_pb_tensor(struct pt_request *q, size_t i, struct pt_str message, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(message.p, message.len);
    struct pt_pb_field f;
    struct pt_str content = {NULL, 0};
    uint64_t dtype = 0;
    int64_t dims[PT_MAX_RANK], count;
    int rank = 0, rc;
    bool unknown = false;
    while ((rc = pt_pb_next(&r, &f, err)) == 1) {
        if (f.number == T_DTYPE && f.type == PT_PB_VARINT)
            dtype = f.value;
        else if (f.number == T_CONTENT && f.type == PT_PB_LEN)
            content = f.bytes;
        else if (f.number == T_SHAPE && f.type == PT_PB_LEN && (rc = read_shape(f.bytes, dims, &rank, &unknown, err)) < 0)
            return rc;
    }
    if (rc < 0)
        return rc;
    const struct pt_datatype *type = pt_datatype_of_tf(dtype);
    if (!type)
        return pt_fail(err, PT_EINVAL, "dtype %llu of TensorProto cannot be served", (unsigned long long)dtype);
    if (unknown)
        return pt_fail(err, PT_EINVAL, "tensor_shape: unknown_rank");
    if ((rc = pt_request_set_shape(q, i, type, dims, rank, &count, err)) < 0)
        return rc;
    if (content.len && type->width)
        return pt_request_set_raw(q, i, content, err);
    if ((uint64_t)count > ((uint64_t)1 << 28)) /* one element may stand for many, but not for more than could be meant */
        return pt_fail(err, PT_EINVAL, "tensor_shape: %lld elements without tensor_content", (long long)count);
    return read_elements(q, i, type, message, (size_t)count, err);
}

void pt_tfs_pb_put_tensor(struct pt_buf *out, uint32_t number, const struct pt_tensor *t)
{
    const struct pt_datatype *type = pt_datatype_of(t->dtype);
    const struct pt_string *s = t->data;
    size_t tensor = pt_pb_begin(out, number);
    pt_pb_put_varint(out, T_DTYPE, type->tf);
    size_t shape = pt_pb_begin(out, T_SHAPE);
    for (int k = 0; k < t->rank; k++) {
        size_t dim = pt_pb_begin(out, 2);
        if (t->dims[k])
            pt_pb_put_varint(out, 1, (uint64_t)t->dims[k]);
        pt_pb_end(out, dim);
    }
    pt_pb_end(out, shape);
    if (type->width)
        pt_pb_put_numbers(out, type->tf_field, t);
    else
        for (size_t i = 0; i < t->size_bytes / sizeof *s; i++)
            pt_pb_put_bytes(out, T_STRINGS, s[i].p, s[i].len);
    pt_pb_end(out, tensor);
}

/* --- Predict ------------------------------------------------------------------------------------------------------------------------------- */

/* A map's entry: {key = 1, value = 2} */
static int read_entry(struct pt_str entry, struct pt_str *key, struct pt_str *value, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(entry.p, entry.len);
    struct pt_pb_field f;
    int rc;
    *key = *value = PT_STR("");
    while ((rc = pt_pb_next(&r, &f, err)) == 1)
        if (f.type == PT_PB_LEN && (f.number == 1 || f.number == 2))
            *(f.number == 1 ? key : value) = f.bytes;
    return rc;
}

static int decode_predict(struct pt_request *q, struct pt_str message, struct pt_err *err)
{
    enum { INPUTS = 2, OUTPUT_FILTER };
    struct pt_pb_reader r = pt_pb_reader(message.p, message.len);
    struct pt_pb_field f;
    struct pt_str key, value;
    int rc, i;
    while ((rc = pt_pb_next(&r, &f, err)) == 1) {
        if (f.type != PT_PB_LEN)
            continue;
        if (f.number == OUTPUT_FILTER) {
            if ((i = pt_request_output_index(q, f.bytes, err)) < 0)
                return i;
            q->outputs[i].wanted = true;
        }
        if (f.number != INPUTS)
            continue;
        if ((rc = read_entry(f.bytes, &key, &value, err)) < 0)
            return rc;
        if ((i = pt_request_input_index(q, key, err)) < 0)
            return i;
        if (q->inputs[i].data)
            return pt_fail(err, PT_EINVAL, "input \"%s\" is given twice", q->model->inputs[i]->name);
        if (pt_tfs_pb_tensor(q, (size_t)i, value, err) < 0)
            return pt_wrap(err, "input \"%s\"", q->model->inputs[i]->name);
    }
    return rc < 0 ? rc : pt_request_check(q, err);
}

/* --- Classify and Regress: examples -------------------------------------------------------------------------------------------------------- */

enum { BYTES_LIST = 1, FLOAT_LIST, INT64_LIST };

/* Which list a type of input is read from. */
static unsigned list_of(enum pt_dtype t)
{
    return t == PT_STRING ? BYTES_LIST : t == PT_FLOAT || t == PT_DOUBLE ? FLOAT_LIST : t == PT_FLOAT16 || t == PT_BFLOAT16 ? 0 : INT64_LIST;
}

static int count_values(struct pt_str list, unsigned kind, size_t *count, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(list.p, list.len), in;
    struct pt_pb_field f;
    uint64_t v;
    int rc;
    *count = 0;
    while ((rc = pt_pb_next(&r, &f, err)) == 1) {
        in = pt_pb_reader(f.bytes.p, f.bytes.len);
        if (f.type != PT_PB_LEN || kind == BYTES_LIST)
            ++*count;
        else if (kind == FLOAT_LIST)
            *count += f.bytes.len / 4;
        else
            while ((rc = pt_pb_varint(&in, &v, err)) == 1)
                ++*count;
        if (rc < 0)
            return rc;
    }
    return rc;
}

static int read_values(struct pt_request *q, size_t input, struct pt_str list, size_t count, void *place, struct pt_err *err)
{
    enum pt_dtype type = q->model->inputs[input]->dtype;
    struct pt_pb_reader r = pt_pb_reader(list.p, list.len);
    struct pt_pb_field f;
    size_t n = 0;
    int rc;
    float *floats = type == PT_DOUBLE ? pt_request_alloc(q, count * sizeof *floats) : NULL;
    if (type == PT_DOUBLE && !floats)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    while ((rc = pt_pb_next(&r, &f, err)) == 1) {
        if (type == PT_STRING)
            ((struct pt_string *)place)[n++] = (struct pt_string){f.bytes.p, f.bytes.len};
        else if ((rc = pt_pb_numbers(&f, floats ? PT_FLOAT : type, floats ? (void *)floats : place, count, &n, err)) < 0)
            return rc;
    }
    for (size_t i = 0; floats && i < n; i++)
        ((double *)place)[i] = (double)floats[i];
    return rc < 0 || n == count ? rc : pt_fail(err, PT_EINVAL, "want %zu values, got %zu", count, n);
}

static int read_feature(struct pt_tfs_rows *rows, size_t row, struct pt_str name, struct pt_str feature, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(feature.p, feature.len);
    struct pt_pb_field f, list = {0};
    size_t count;
    void *place;
    int rc, i = pt_request_input_index(rows->q, name, err);
    if (i < 0)
        return i;
    while ((rc = pt_pb_next(&r, &f, err)) == 1)
        if (f.type == PT_PB_LEN)
            list = f;
    if (rc < 0)
        return rc;
    enum pt_dtype type = rows->q->model->inputs[i]->dtype;
    if (list.number != list_of(type) || !list.number)
        return pt_fail(err, PT_EINVAL, "feature \"%s\": the model's input is %s", rows->q->model->inputs[i]->name,
                       pt_tfs_dtype_name(pt_datatype_of(type)));
    rc = count_values(list.bytes, list.number, &count, err);
    const int64_t dims[1] = {(int64_t)count};
    int rank = count == 1 && rows->q->model->inputs[i]->rank == 1 ? 0 : 1; /* a value per row, of a model that wants a list of them */
    if (rc == PT_OK)
        rc = pt_tfs_rows_place(rows, row, (size_t)i, dims, rank, &place, err);
    return rc < 0 ? rc : read_values(rows->q, (size_t)i, list.bytes, count, place, err);
}

/* context_row: the features of a context, which hold where the example itself says nothing. */
static int read_example(struct pt_tfs_rows *rows, size_t row, struct pt_str example, bool context, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(example.p, example.len), in;
    struct pt_pb_field f, entry;
    struct pt_str key, value;
    int rc;
    while ((rc = pt_pb_next(&r, &f, err)) == 1) { /* features = 1 */
        in = pt_pb_reader(f.bytes.p, f.number == 1 && f.type == PT_PB_LEN ? f.bytes.len : 0);
        while ((rc = pt_pb_next(&in, &entry, err)) == 1) { /* feature = 1: a map */
            if (entry.number != 1 || entry.type != PT_PB_LEN)
                continue;
            if ((rc = read_entry(entry.bytes, &key, &value, err)) < 0)
                return rc;
            int i = context ? pt_request_input_index(rows->q, key, err) : 0;
            if (i < 0)
                return i;
            if (context && rows->columns[i].seen > row)
                continue;
            if ((rc = read_feature(rows, row, key, value, err)) < 0)
                return rc;
        }
        if (rc < 0)
            return rc;
    }
    return rc;
}

struct examples {
    struct pt_str list, context; /* a message with examples = 1; an Example */
};

/* Input: example_list = 1, or example_list_with_context = 2 {examples = 1, context = 2} */
static int find_examples(struct pt_str message, struct examples *e, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(message.p, message.len), in = {NULL, NULL};
    struct pt_pb_field f;
    int rc;
    *e = (struct examples){.list = {NULL, 0}};
    while ((rc = pt_pb_next(&r, &f, err)) == 1)
        if (f.number == 2 && f.type == PT_PB_LEN)
            in = pt_pb_reader(f.bytes.p, f.bytes.len);
    if (rc < 0)
        return rc;
    bool with_context = false;
    while ((rc = pt_pb_next(&in, &f, err)) == 1)
        if (f.type == PT_PB_LEN && (f.number == 1 || f.number == 2)) {
            e->list = f.bytes;
            with_context = f.number == 2;
        }
    in = pt_pb_reader(e->list.p, with_context ? e->list.len : 0);
    while (rc >= 0 && (rc = pt_pb_next(&in, &f, err)) == 1)
        if (f.number == 2 && f.type == PT_PB_LEN)
            e->context = f.bytes;
    return rc;
}

static int decode_examples(struct pt_request *q, struct pt_str message, struct pt_err *err)
{
    struct examples e;
    struct pt_tfs_rows rows;
    struct pt_pb_field f;
    size_t count = 0, row = 0;
    int rc = find_examples(message, &e, err);
    if (rc < 0)
        return rc;
    struct pt_pb_reader r = pt_pb_reader(e.list.p, e.list.len);
    while ((rc = pt_pb_next(&r, &f, err)) == 1)
        count += f.number == 1 && f.type == PT_PB_LEN;
    if (rc < 0)
        return rc;
    if (count == 0)
        return pt_fail(err, PT_EINVAL, "Input is empty");
    if ((rc = pt_tfs_rows_init(&rows, q, count, e.context.p ? SIZE_MAX >> 8 : message.len, err)) < 0)
        return rc;
    r = pt_pb_reader(e.list.p, e.list.len);
    while (rc >= 0 && (rc = pt_pb_next(&r, &f, err)) == 1) {
        if (f.number != 1 || f.type != PT_PB_LEN)
            continue;
        rc = read_example(&rows, row, f.bytes, false, err);
        if (rc == PT_OK && e.context.p)
            rc = read_example(&rows, row, e.context, true, err);
        if (rc == PT_OK)
            rc = pt_tfs_rows_end(&rows, row++, err);
    }
    return rc < 0 ? rc : pt_request_check(q, err);
}

int pt_tfs_pb_decode(struct pt_request *q, struct pt_str message, enum pt_tfs_method m, struct pt_err *err)
{
    int rc = pt_tfs_choose(q, m, err);
    return rc < 0 ? rc : m == PT_TFS_PREDICT ? decode_predict(q, message, err) : decode_examples(q, message, err);
}

/* --- answers ------------------------------------------------------------------------------------------------------------------------------- */

static int put_predictions(struct pt_request *q, const struct pt_tensor *const *outputs, struct pt_str signature, struct pt_buf *out,
                           struct pt_err *err)
{
    const struct pt_model_info *m = q->model;
    for (size_t i = 0; i < m->output_count; i++) {
        if (!q->outputs[i].wanted)
            continue;
        if (!outputs[i] || !pt_datatype_of(outputs[i]->dtype))
            return pt_fail(err, PT_EINTERNAL, "output \"%s\": the model gave nothing that can be sent", m->outputs[i]->name);
        size_t entry = pt_pb_begin(out, 1);
        pt_pb_put_str(out, 1, pt_str(m->outputs[i]->name));
        pt_tfs_pb_put_tensor(out, 2, outputs[i]);
        pt_pb_end(out, entry);
    }
    pt_tfs_pb_put_spec(out, 2, m->name, m->version, signature);
    return PT_OK;
}

static void put_float(struct pt_buf *out, uint32_t number, double v)
{
    float f = (float)v;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if (bits)
        pt_pb_put_i32(out, number, bits);
}

static void put_result_row(const struct pt_tfs_scores *s, size_t row, enum pt_tfs_method m, struct pt_buf *out)
{
    char text[24];
    size_t at = pt_pb_begin(out, 1);
    if (m == PT_TFS_REGRESS)
        put_float(out, 1, pt_tfs_score(s, row, 0));
    for (size_t k = 0; m == PT_TFS_CLASSIFY && k < s->classes; k++) {
        size_t class = pt_pb_begin(out, 1);
        pt_pb_put_str(out, 1, pt_tfs_label(s, row, k, text));
        put_float(out, 2, pt_tfs_score(s, row, k));
        pt_pb_end(out, class);
    }
    pt_pb_end(out, at);
}

int pt_tfs_pb_encode(struct pt_request *q, const struct pt_tensor *const *outputs, enum pt_tfs_method m, struct pt_str signature, struct pt_buf *out,
                     struct pt_err *err)
{
    struct pt_tfs_scores s;
    if (signature.len == 0)
        signature = PT_STR(PT_TFS_SIGNATURE);
    int rc = m == PT_TFS_PREDICT ? put_predictions(q, outputs, signature, out, err) : pt_tfs_scores(q, outputs, m, &s, err);
    if (rc == PT_OK && m != PT_TFS_PREDICT) {
        size_t result = pt_pb_begin(out, 1);
        for (size_t row = 0; row < s.rows; row++)
            put_result_row(&s, row, m, out);
        pt_pb_end(out, result);
        pt_tfs_pb_put_spec(out, 2, q->model->name, q->model->version, signature);
    }
    return rc < 0 ? rc : pt_buf_check(out, "response", err);
}
