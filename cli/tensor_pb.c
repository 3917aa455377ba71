/* SPDX-License-Identifier: Apache-2.0
 *
 * tensor_pb.c: ONNX TensorProto files. Fields: 1 dims, 2 data_type, 3 segment, 4 float_data, 5 int32_data, 6 string_data, 7 int64_data,
 * 8 name, 9 raw_data, 10 double_data, 11 uint64_data, 13 external_data, 14 data_location.
 */
#include "cli/tensor_file.h"

#include "base/mem.h"
#include "base/pbwire.h"

enum { DIMS = 1, DATA_TYPE = 2, SEGMENT = 3, FLOAT_DATA = 4, INT32_DATA = 5, STRING_DATA = 6, INT64_DATA = 7, NAME = 8, RAW_DATA = 9, DOUBLE_DATA = 10,
       UINT64_DATA = 11, EXTERNAL_DATA = 13, DATA_LOCATION = 14 };

/* The typed field that carries elements of a type. */
static uint32_t field_of(enum pt_dtype t)
{
    switch (t) {
    case PT_FLOAT:
    case PT_COMPLEX64:
        return FLOAT_DATA;
    case PT_DOUBLE:
    case PT_COMPLEX128:
        return DOUBLE_DATA;
    case PT_INT64:
        return INT64_DATA;
    case PT_UINT32:
    case PT_UINT64:
        return UINT64_DATA;
    case PT_STRING:
        return STRING_DATA;
    default:
        return INT32_DATA;
    }
}

struct proto {
    struct pt_tensor shape;
    struct pt_str raw;
    bool has_raw;
};

static int add_dim(struct proto *p, uint64_t v, struct pt_err *err)
{
    if (p->shape.rank == PT_MAX_RANK)
        return pt_fail(err, PT_ELIMIT, "TensorProto: the rank is over the limit of %d", PT_MAX_RANK);
    p->shape.dims[p->shape.rank++] = (int64_t)v;
    return PT_OK;
}

static int read_dims(struct proto *p, const struct pt_pb_field *f, struct pt_err *err)
{
    if (f->type == PT_PB_VARINT)
        return add_dim(p, f->value, err);
    struct pt_pb_reader packed = pt_pb_reader(f->bytes.p, f->bytes.len);
    uint64_t v;
    int rc;
    while ((rc = pt_pb_varint(&packed, &v, err)) == 1)
        if ((rc = add_dim(p, v, err)) < 0)
            return rc;
    return rc;
}

static int read_field(struct proto *p, const struct pt_pb_field *f, struct pt_err *err)
{
    static const struct {
        uint32_t number;
        enum pt_pb_type type;
    } types[] = {{DIMS, PT_PB_LEN}, {DATA_TYPE, PT_PB_VARINT}, {RAW_DATA, PT_PB_LEN}, {DATA_LOCATION, PT_PB_VARINT}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (f->number == types[i].number && f->type != types[i].type && !(f->number == DIMS && f->type == PT_PB_VARINT))
            return pt_fail(err, PT_EPARSE, "TensorProto: field %u has wire type %d", f->number, (int)f->type);
    switch (f->number) {
    case DIMS:
        return read_dims(p, f, err);
    case DATA_TYPE:
        if (f->value == PT_UNDEFINED || f->value >= PT_DTYPE_COUNT)
            return pt_fail(err, PT_EUNSUPPORTED, "TensorProto: data_type %llu is not known", (unsigned long long)f->value);
        p->shape.dtype = (enum pt_dtype)f->value;
        return PT_OK;
    case RAW_DATA:
        p->raw = f->bytes;
        p->has_raw = true;
        return PT_OK;
    case SEGMENT:
        return pt_fail(err, PT_EUNSUPPORTED, "TensorProto: segments are not supported");
    case DATA_LOCATION:
        return f->value == 0 ? PT_OK : pt_fail(err, PT_EUNSUPPORTED, "TensorProto: external data is not supported");
    case EXTERNAL_DATA:
        return pt_fail(err, PT_EUNSUPPORTED, "TensorProto: external data is not supported");
    default:
        return PT_OK;
    }
}

/* Where typed values go: entries of `width` bytes at data, `room` of them; strings one after another in text. */
struct sink {
    uint8_t *data, *end;
    size_t width;
    char *text;
};

static int put(struct sink *s, const void *bytes, size_t len, struct pt_err *err)
{
    if ((size_t)(s->end - s->data) < len)
        return pt_fail(err, PT_EPARSE, "TensorProto: more data than type and shape need");
    memcpy(s->data, bytes, len);
    s->data += len;
    return PT_OK;
}

static int put_typed(struct sink *s, const struct pt_pb_field *f, struct pt_err *err)
{
    bool fixed = f->number == FLOAT_DATA || f->number == DOUBLE_DATA;
    enum pt_pb_type single = !fixed ? PT_PB_VARINT : f->number == FLOAT_DATA ? PT_PB_I32 : PT_PB_I64;
    uint64_t v;
    int rc;
    if (f->number == STRING_DATA && f->type == PT_PB_LEN) {
        struct pt_string string = {s->text, f->bytes.len};
        if (f->bytes.len)
            s->text = mempcpy(s->text, f->bytes.p, f->bytes.len);
        return put(s, &string, sizeof string, err);
    }
    if (f->type == single && f->number != STRING_DATA)
        return put(s, &f->value, fixed ? f->number == FLOAT_DATA ? 4 : 8 : s->width, err);
    if (f->type != PT_PB_LEN)
        return pt_fail(err, PT_EPARSE, "TensorProto: field %u has wire type %d", f->number, (int)f->type);
    if (fixed)
        return f->bytes.len ? put(s, f->bytes.p, f->bytes.len, err) : PT_OK;
    struct pt_pb_reader packed = pt_pb_reader(f->bytes.p, f->bytes.len);
    while ((rc = pt_pb_varint(&packed, &v, err)) == 1)
        if ((rc = put(s, &v, s->width, err)) < 0)
            return rc;
    return rc;
}

static int read_typed(struct pt_str bytes, struct pt_tensor_file *out, struct pt_err *err)
{
    size_t bits = pt_dtype_bits(out->t.dtype);
    struct sink s = {out->t.data, (uint8_t *)out->t.data + out->t.size_bytes, bits < 8 ? 1 : bits / 8, NULL};
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    int rc;
    if (out->t.dtype == PT_STRING && !(s.text = out->text = pt_malloc(bytes.len)))
        return pt_fail(err, PT_ENOMEM, "strings of %zu bytes: out of memory", bytes.len);
    while ((rc = pt_pb_next(&in, &f, err)) == 1) {
        if ((f.number < FLOAT_DATA || f.number > INT64_DATA) && f.number != DOUBLE_DATA && f.number != UINT64_DATA)
            continue;
        if (f.number != field_of(out->t.dtype))
            return pt_fail(err, PT_EPARSE, "TensorProto: %s elements cannot be in field %u", pt_dtype_name(out->t.dtype), f.number);
        if ((rc = put_typed(&s, &f, err)) < 0)
            return rc;
    }
    if (rc == PT_OK && s.data != s.end)
        return pt_fail(err, PT_EPARSE, "TensorProto: %zu bytes of data are missing", (size_t)(s.end - s.data));
    return rc;
}

/* The shape may not ask for more than the bytes can hold: every element takes at least one, except that packed types share them. */
static bool plausible(const struct proto *p, size_t len)
{
    int64_t count = pt_tensor_count(&p->shape);
    unsigned bits = pt_dtype_bits(p->shape.dtype);
    return count <= 0 || (size_t)count <= len || (bits && bits < 8 && (size_t)count / (8 / bits) <= len);
}

static int parse(struct pt_str bytes, struct pt_tensor_file *out, struct pt_err *err)
{
    struct proto p = {0};
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    int rc;
    while ((rc = pt_pb_next(&in, &f, err)) == 1)
        if ((rc = read_field(&p, &f, err)) < 0)
            return rc;
    if (rc < 0)
        return rc;
    if (p.shape.dtype == PT_UNDEFINED)
        return pt_fail(err, PT_EPARSE, "TensorProto: data_type is missing");
    for (int i = 0; i < p.shape.rank; i++)
        if (p.shape.dims[i] < 0)
            return pt_fail(err, PT_EPARSE, "TensorProto: dimension %lld is negative", (long long)p.shape.dims[i]);
    if (!plausible(&p, bytes.len))
        return pt_fail(err, PT_EPARSE, "TensorProto: the shape needs more than the %zu bytes there are", bytes.len);
    if ((rc = pt_tensor_file_alloc(out, p.shape.dtype, p.shape.rank, p.shape.dims, err)) < 0)
        return rc;
    if (!p.has_raw)
        return read_typed(bytes, out, err);
    if (p.shape.dtype == PT_STRING)
        return pt_fail(err, PT_EPARSE, "TensorProto: strings cannot be in raw_data");
    if (p.raw.len != out->t.size_bytes)
        return pt_fail(err, PT_EPARSE, "TensorProto: %zu bytes of raw_data, type and shape need %zu", p.raw.len, out->t.size_bytes);
    if (p.raw.len)
        memcpy(out->t.data, p.raw.p, p.raw.len);
    return PT_OK;
}

int pt_tensor_pb_parse(const void *bytes, size_t len, struct pt_tensor_file *out, struct pt_err *err)
{
    *out = (struct pt_tensor_file){0};
    int rc = parse((struct pt_str){bytes, len}, out, err);
    for (size_t i = 0; rc == PT_OK && out->t.dtype == PT_BOOL && i < out->t.size_bytes; i++)
        ((uint8_t *)out->t.data)[i] = ((uint8_t *)out->t.data)[i] != 0;
    if (rc < 0)
        pt_tensor_file_finish(out);
    return rc;
}

int pt_tensor_pb_write(struct pt_buf *out, const struct pt_tensor *t, const char *name, struct pt_err *err)
{
    for (int i = 0; i < t->rank; i++)
        pt_pb_put_varint(out, DIMS, (uint64_t)t->dims[i]);
    pt_pb_put_varint(out, DATA_TYPE, t->dtype);
    pt_pb_put_bytes(out, NAME, name, strlen(name));
    const struct pt_string *strings = t->data;
    if (t->dtype != PT_STRING)
        pt_pb_put_bytes(out, RAW_DATA, t->data, t->size_bytes);
    else
        for (size_t i = 0; i < t->size_bytes / sizeof *strings; i++)
            pt_pb_put_bytes(out, STRING_DATA, strings[i].p, strings[i].len);
    return pt_buf_check(out, "TensorProto", err);
}
