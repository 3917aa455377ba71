/* SPDX-License-Identifier: Apache-2.0
 *
 * tfs_pb.c: see tfs_pb.h.
 */
#include "sidecar/tfs_pb.h"

#include "sidecar/pbtensor.h"
#include "sidecar/tfs_examples.h"
#include "sidecar/tfs_session.h"

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

int pt_tfs_pb_entry(struct pt_str entry, struct pt_str *key, struct pt_str *value, struct pt_err *err)
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
        if ((rc = pt_tfs_pb_entry(f.bytes, &key, &value, err)) < 0)
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

int pt_tfs_pb_decode(struct pt_request *q, struct pt_str message, enum pt_tfs_method m, struct pt_err *err)
{
    if (m == PT_TFS_MULTI)
        return pt_tfs_multi_decode(q, message, err);
    if (m == PT_TFS_SESSION)
        return pt_tfs_session_decode(q, message, err);
    int rc = pt_tfs_choose(q, m, err);
    return rc < 0 ? rc : m == PT_TFS_PREDICT ? decode_predict(q, message, err) : pt_tfs_examples_decode(q, message, err);
}

int pt_tfs_pb_encode(struct pt_request *q, const struct pt_tensor *const *outputs, enum pt_tfs_method m, struct pt_str message,
                     struct pt_str signature, struct pt_buf *out, struct pt_err *err)
{
    if (signature.len == 0)
        signature = PT_STR(PT_TFS_SIGNATURE);
    int rc = m == PT_TFS_MULTI     ? pt_tfs_multi_encode(q, outputs, message, out, err)
             : m == PT_TFS_SESSION ? pt_tfs_session_encode(q, outputs, message, out, err)
             : m == PT_TFS_PREDICT ? put_predictions(q, outputs, signature, out, err)
                                   : pt_tfs_examples_encode(q, outputs, m, 1, out, err);
    if (rc == PT_OK && (m == PT_TFS_CLASSIFY || m == PT_TFS_REGRESS))
        pt_tfs_pb_put_spec(out, 2, q->model->name, q->model->version, signature);
    return rc < 0 ? rc : pt_buf_check(out, "response", err);
}
