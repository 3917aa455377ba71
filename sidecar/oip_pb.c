/* SPDX-License-Identifier: Apache-2.0
 *
 * oip_pb.c: see oip_pb.h. Inputs are read in one pass over the message; raw contents, which belong to them by their order, in a second.
 */
#include "sidecar/oip_pb.h"

#include "base/num.h"
#include "sidecar/oip.h"
#include "sidecar/pbtensor.h"

enum { REQ_NAME = 1, REQ_VERSION, REQ_ID, REQ_PARAMETERS, REQ_INPUTS, REQ_OUTPUTS, REQ_RAW };
enum { TENSOR_NAME = 1, TENSOR_DATATYPE, TENSOR_SHAPE, TENSOR_PARAMETERS, TENSOR_CONTENTS };
enum { MAX_ID = 1024, MAX_NAME = 64 };

static int name_width(struct pt_str s)
{
    return (int)(s.len < MAX_NAME ? s.len : MAX_NAME);
}

int pt_oip_pb_peek(struct pt_str message, struct pt_str *name, struct pt_str *version, struct pt_str *id, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(message.p, message.len);
    struct pt_pb_field f;
    int rc;
    *name = *version = *id = PT_STR("");
    while ((rc = pt_pb_next(&r, &f, err)) == 1)
        if (f.type == PT_PB_LEN && f.number <= REQ_ID)
            *(f.number == REQ_NAME ? name : f.number == REQ_VERSION ? version : id) = f.bytes;
    return rc;
}

/* --- parameters --------------------------------------------------------------------------------------------------------------- */

struct parameter {
    struct pt_str key, text;
    bool given; /* it asks for something: not false, 0 or "" */
    bool number;
    unsigned kind; /* which of the members it was */
    int64_t value;
};
enum { BOOL = 1, INT, STRING, DOUBLE, UINT };

static int read_parameter(struct pt_str entry, struct parameter *p, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(entry.p, entry.len), in;
    struct pt_pb_field f, v;
    int rc;
    *p = (struct parameter){.key = PT_STR("")};
    while ((rc = pt_pb_next(&r, &f, err)) == 1) {
        if (f.type != PT_PB_LEN)
            continue;
        if (f.number == 1)
            p->key = f.bytes;
        in = pt_pb_reader(f.bytes.p, f.number == 2 ? f.bytes.len : 0);
        while ((rc = pt_pb_next(&in, &v, err)) == 1) {
            p->kind = v.number;
            p->number = v.type == PT_PB_VARINT && (v.number == INT || v.number == UINT);
            p->value = (int64_t)v.value;
            p->text = v.number == STRING && v.type == PT_PB_LEN ? v.bytes : PT_STR("");
            p->given = v.type == PT_PB_LEN ? p->text.len > 0 : v.value != 0;
        }
        if (rc < 0)
            return rc;
    }
    return rc;
}

/* A number not below 0 and within max; strings of digits are taken too, as some clients send them. */
static int whole(const struct parameter *p, int64_t max, int64_t *out, struct pt_err *err)
{
    *out = p->value;
    if (p->text.len)
        return pt_parse_i64(p->text, 0, max, "value", out, err);
    return p->number && p->value >= 0 && p->value <= max ? PT_OK : pt_fail(err, PT_EINVAL, "want a whole number from 0 to %lld", (long long)max);
}

/* As JSON would have it, so that a group is one whatever the protocol. */
static int read_group(const struct parameter *p, struct pt_request *q, struct pt_err *err)
{
    enum { ROOM = 64 };
    struct pt_buf text = {.data = p->kind == STRING ? NULL : pt_request_alloc(q, ROOM), .room = ROOM, .cap = ROOM};
    double d;
    q->group = p->text.p ? p->text : PT_STR("");
    if (p->kind == STRING)
        return PT_OK;
    if (!text.data)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    memcpy(&d, &p->value, sizeof d);
    if (p->kind == DOUBLE)
        pt_json_put_double(&text, d);
    else if (p->kind == BOOL)
        pt_buf_puts(&text, p->value ? "true" : "false");
    else
        pt_buf_printf(&text, p->kind == UINT ? "%llu" : "%lld", (long long)p->value);
    q->group = (struct pt_str){text.data, text.len};
    return PT_OK;
}

/* request: of the whole request; wish: of an output. */
static int read_parameters(struct pt_str entry, struct pt_request *request, struct pt_output_wish *wish, struct pt_err *err)
{
    struct parameter p;
    int64_t n = 0;
    int rc = read_parameter(entry, &p, err);
    if (rc < 0)
        return pt_wrap(err, "parameters");
    const char *why = pt_oip_refused_parameter(p.key);
    if (why && p.given)
        rc = pt_fail(err, PT_EINVAL, "%s", why);
    else if (request && pt_str_eq(p.key, PT_STR("priority"))) {
        rc = whole(&p, UINT32_MAX, &n, err);
        request->priority = (uint32_t)n;
    } else if (request && pt_str_eq(p.key, PT_STR("timeout")))
        rc = whole(&p, INT64_MAX / 1000, &request->timeout_us, err);
    else if (request && pt_str_eq(p.key, PT_STR("traceparent")))
        request->traceparent = p.text;
    else if (request && request->group_key && pt_str_eq(p.key, pt_str(request->group_key)))
        rc = read_group(&p, request, err);
    else if (wish && pt_str_eq(p.key, PT_STR("classification"))) {
        rc = whole(&p, UINT32_MAX, &n, err);
        wish->classes = (uint32_t)n;
    }
    return rc < 0 ? pt_wrap(err, "parameter \"" PT_STR_FMT "\"", name_width(p.key), p.key.p) : PT_OK;
}

/* --- inputs -------------------------------------------------------------------------------------------------------------------- */

static int read_strings(struct pt_request *q, size_t i, struct pt_str contents, unsigned field, size_t count, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(contents.p, contents.len);
    struct pt_pb_field f;
    size_t n = 0;
    int rc;
    if (count > contents.len) /* each takes a byte at least */
        return pt_fail(err, PT_EINVAL, "want %zu elements, got fewer", count);
    struct pt_string *s = pt_request_alloc(q, count * sizeof *s);
    if (!s)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    while ((rc = pt_pb_next(&r, &f, err)) == 1) {
        if (f.number != field || f.type != PT_PB_LEN)
            return pt_fail(err, PT_EINVAL, "field %u does not carry BYTES", f.number);
        if (n == count)
            return pt_fail(err, PT_EINVAL, "want %zu elements, got more", count);
        s[n++] = (struct pt_string){f.bytes.p, f.bytes.len};
    }
    q->inputs[i].data = s;
    return rc < 0 || n == count ? rc : pt_fail(err, PT_EINVAL, "want %zu elements, got %zu", count, n);
}

static int read_contents(struct pt_request *q, size_t i, struct pt_str contents, size_t count, struct pt_err *err)
{
    struct pt_tensor *t = &q->inputs[i];
    const struct pt_datatype *type = pt_datatype_of(t->dtype);
    struct pt_pb_reader r = pt_pb_reader(contents.p, contents.len);
    struct pt_pb_field f;
    size_t n = 0;
    int rc;
    if (!type->contents)
        return pt_fail(err, PT_EINVAL, "datatype %s goes into raw_input_contents only", type->name);
    if (t->dtype == PT_STRING)
        return read_strings(q, i, contents, type->contents, count, err);
    if (count > contents.len) /* each takes a byte at least */
        return pt_fail(err, PT_EINVAL, "want %zu elements, got fewer", count);
    t->data = pt_request_alloc(q, t->size_bytes);
    if (!t->data)
        return pt_fail(err, PT_ENOMEM, "out of memory for %zu bytes", t->size_bytes);
    while ((rc = pt_pb_next(&r, &f, err)) == 1) {
        if (f.number != type->contents)
            return pt_fail(err, PT_EINVAL, "field %u does not carry %s, field %u does", f.number, type->name, type->contents);
        if ((rc = pt_pb_numbers(&f, t->dtype, t->data, count, &n, err)) < 0)
            return rc;
    }
    return rc < 0 || n == count ? rc : pt_fail(err, PT_EINVAL, "want %zu elements, got %zu", count, n);
}

struct input {
    struct pt_str name, datatype, contents;
    bool has_contents;
    int64_t dims[PT_MAX_RANK];
    int rank;
};

static int read_tensor(struct pt_str message, struct input *in, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(message.p, message.len);
    struct pt_pb_field f;
    int rc;
    *in = (struct input){.name = PT_STR("")};
    while ((rc = pt_pb_next(&r, &f, err)) == 1) {
        bool text = f.type == PT_PB_LEN;
        if (f.number == TENSOR_NAME && text)
            in->name = f.bytes;
        else if (f.number == TENSOR_DATATYPE && text)
            in->datatype = f.bytes;
        else if (f.number == TENSOR_SHAPE)
            rc = pt_pb_dims(&f, in->dims, &in->rank, err);
        else if (f.number == TENSOR_PARAMETERS && text)
            rc = read_parameters(f.bytes, NULL, NULL, err);
        else if (f.number == TENSOR_CONTENTS && text) {
            in->contents = f.bytes;
            in->has_contents = true;
        }
        if (rc < 0)
            return pt_wrap(err, "input \"" PT_STR_FMT "\"", name_width(in->name), in->name.p);
    }
    return rc;
}

/* *index <- which input of the model it is. */
static int read_input(struct pt_request *q, struct pt_str message, bool raw, size_t *index, struct pt_err *err)
{
    struct input in;
    int64_t count;
    int rc = read_tensor(message, &in, err);
    if (rc < 0)
        return rc;
    int i = pt_request_input_index(q, in.name, err);
    if (i < 0)
        return i;
    const char *name = q->model->inputs[i]->name;
    const struct pt_datatype *type = pt_datatype_named(in.datatype);
    if (!type)
        return pt_fail(err, PT_EINVAL, "input \"%s\": unknown datatype \"" PT_STR_FMT "\"", name, name_width(in.datatype),
                       in.datatype.p ? in.datatype.p : "");
    if (q->inputs[i].dtype != PT_UNDEFINED)
        return pt_fail(err, PT_EINVAL, "input \"%s\" is given twice", name);
    if ((rc = pt_request_set_shape(q, (size_t)i, type, in.dims, in.rank, &count, err)) < 0)
        return rc;
    *index = (size_t)i;
    if (raw)
        return in.has_contents && in.contents.len
                   ? pt_fail(err, PT_EINVAL, "input \"%s\": has contents, and the request has raw_input_contents", name)
                   : PT_OK;
    rc = read_contents(q, (size_t)i, in.contents, (size_t)count, err);
    return rc < 0 ? pt_wrap(err, "input \"%s\": contents", name) : PT_OK;
}

static int read_output(struct pt_request *q, struct pt_str message, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(message.p, message.len);
    struct pt_pb_field f;
    struct pt_output_wish wish = {.wanted = true};
    struct pt_str name = PT_STR("");
    int rc;
    while ((rc = pt_pb_next(&r, &f, err)) == 1) {
        if (f.type == PT_PB_LEN && f.number == 1)
            name = f.bytes;
        else if (f.type == PT_PB_LEN && f.number == 2)
            rc = read_parameters(f.bytes, NULL, &wish, err);
        if (rc < 0)
            return pt_wrap(err, "output \"" PT_STR_FMT "\"", name_width(name), name.p);
    }
    int i = rc < 0 ? rc : pt_request_output_index(q, name, err);
    if (i >= 0)
        q->outputs[i] = wish;
    return i < 0 ? i : PT_OK;
}

static int read_raws(struct pt_request *q, struct pt_str message, const size_t *order, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(message.p, message.len);
    struct pt_pb_field f;
    size_t n = 0;
    int rc;
    while ((rc = pt_pb_next(&r, &f, err)) == 1)
        if (f.number == REQ_RAW && (rc = pt_request_set_raw(q, order[n++], f.bytes, err)) < 0)
            return rc;
    return rc;
}

int pt_oip_pb_decode(struct pt_request *q, struct pt_str message, bool *raw, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(message.p, message.len);
    struct pt_pb_field f;
    size_t raws = 0, inputs = 0, n = 0;
    int rc;
    while ((rc = pt_pb_next(&r, &f, err)) == 1) {
        if (f.number >= REQ_PARAMETERS && f.number <= REQ_RAW && f.type != PT_PB_LEN)
            return pt_fail(err, PT_EPARSE, "field %u is of another wire type", f.number);
        raws += f.number == REQ_RAW;
        inputs += f.number == REQ_INPUTS;
    }
    if (rc < 0)
        return rc;
    *raw = raws > 0;
    if (raws && raws != inputs)
        return pt_fail(err, PT_EINVAL, "raw_input_contents has %zu entries for %zu inputs", raws, inputs);
    if (inputs > q->model->input_count)
        return pt_fail(err, PT_EINVAL, "the model has %zu inputs, the request %zu", q->model->input_count, inputs);
    size_t *order = pt_request_alloc(q, inputs * sizeof *order);
    if (!order)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    r = pt_pb_reader(message.p, message.len);
    while ((rc = pt_pb_next(&r, &f, err)) == 1) {
        if (f.number == REQ_ID && f.type == PT_PB_LEN && f.bytes.len > MAX_ID)
            rc = pt_fail(err, PT_EINVAL, "id: longer than %d bytes", MAX_ID);
        else if (f.number == REQ_ID && f.type == PT_PB_LEN)
            q->id = q->plain_id = f.bytes;
        else if (f.number == REQ_PARAMETERS)
            rc = read_parameters(f.bytes, q, NULL, err);
        else if (f.number == REQ_INPUTS)
            rc = read_input(q, f.bytes, *raw, &order[n++], err);
        else if (f.number == REQ_OUTPUTS)
            rc = read_output(q, f.bytes, err);
        if (rc < 0)
            return rc;
    }
    if (rc == PT_OK && *raw)
        rc = read_raws(q, message, order, err);
    return rc < 0 ? rc : pt_request_check(q, err);
}

/* --- answers ---------------------------------------------------------------------------------------------------------------------- */

static void put_contents(const struct pt_tensor *t, const struct pt_datatype *type, struct pt_buf *out)
{
    size_t contents = pt_pb_begin(out, TENSOR_CONTENTS);
    const struct pt_string *s = t->data;
    if (type->width)
        pt_pb_put_numbers(out, type->contents, t);
    else
        for (size_t i = 0; i < t->size_bytes / sizeof *s; i++)
            pt_pb_put_bytes(out, type->contents, s[i].p, s[i].len);
    pt_pb_end(out, contents);
}

static void put_output(const char *name, const struct pt_tensor *t, bool raw, struct pt_buf *out)
{
    const struct pt_datatype *type = pt_datatype_of(t->dtype);
    size_t tensor = pt_pb_begin(out, 5);
    pt_pb_put_str(out, TENSOR_NAME, pt_str(name));
    pt_pb_put_str(out, TENSOR_DATATYPE, pt_str(type->name));
    struct pt_tensor shape = {.dtype = PT_INT64, .data = (void *)(uintptr_t)t->dims, .size_bytes = (size_t)t->rank * sizeof(int64_t)};
    pt_pb_put_numbers(out, TENSOR_SHAPE, &shape);
    if (!raw)
        put_contents(t, type, out);
    pt_pb_end(out, tensor);
}

static void put_raw(const struct pt_tensor *t, struct pt_buf *out)
{
    if (t->dtype != PT_STRING) {
        pt_pb_put_bytes(out, 6, t->data, t->size_bytes);
        return;
    }
    size_t begun = pt_pb_begin(out, 6);
    pt_tensor_put_raw(t, out);
    pt_pb_end(out, begun);
}

/* The tensor to send for an output: itself, or its classes. */
static const struct pt_tensor *sent(struct pt_request *q, size_t i, const struct pt_tensor *t, struct pt_tensor *classes, struct pt_err *err)
{
    if (!t || !pt_datatype_of(t->dtype)) {
        pt_fail(err, PT_EINTERNAL, "output \"%s\": the model gave nothing that can be sent", q->model->outputs[i]->name);
        return NULL;
    }
    if (!q->outputs[i].classes)
        return t;
    return pt_request_classify(q, i, t, classes, err) < 0 ? NULL : classes;
}

int pt_oip_pb_encode(struct pt_request *q, const struct pt_tensor *const *outputs, bool raw, bool final, struct pt_buf *out, struct pt_err *err)
{
    const struct pt_model_info *m = q->model;
    struct pt_tensor classes;
    pt_pb_put_str(out, 1, pt_str(m->name));
    pt_pb_put_str(out, 2, pt_str(m->version));
    pt_pb_put_str(out, 3, q->id);
    if (final)
        pt_pb_put_bytes(out, 4, "\x0a\x15triton_final_response\x12\x02\x08\x01", 27);
    for (size_t i = 0; i < m->output_count; i++) /* all or none are raw */
        raw |= q->outputs[i].wanted && outputs[i] && (outputs[i]->dtype == PT_FLOAT16 || outputs[i]->dtype == PT_BFLOAT16);
    for (int pass = 0; pass < 1 + raw; pass++)
        for (size_t i = 0; i < m->output_count; i++) {
            if (!q->outputs[i].wanted)
                continue;
            const struct pt_tensor *t = sent(q, i, outputs[i], &classes, err);
            if (!t)
                return err->code;
            if (pass == 0)
                put_output(m->outputs[i]->name, t, raw, out);
            else
                put_raw(t, out);
        }
    return pt_buf_check(out, "response", err);
}
