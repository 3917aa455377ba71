/* SPDX-License-Identifier: Apache-2.0
 *
 * value_pb.c: SequenceProto, OptionalProto and MapProto files (onnx-data.proto), and maps as JSON.
 *
 * Fields of the first two: 1 name, 2 elem_type, 3 tensor, 4 sparse tensor, 5 sequence, 6 map, 7 optional. MapProto: 1 name, 2 key_type, 3 keys,
 * 4 string_keys, 5 values, a SequenceProto of single elements.
 */
#include "cli/tensor_file.h"

#include "base/mem.h"
#include "base/pbwire.h"

#include <math.h>

#define MAX_DEPTH 16
enum { NAME = 1, ELEM_TYPE = 2, TENSOR = 3, SPARSE = 4, OPTIONAL = 7, KEYS = 3, STRING_KEYS = 4, VALUES = 5 };

static int parse(struct pt_str bytes, enum pt_dtype kind, int depth, struct pt_tensor_file *out, struct pt_err *err);

static bool is_kind(enum pt_dtype t)
{
    return t == PT_SEQUENCE || t == PT_OPTIONAL || t == PT_MAP;
}

/* What a value field holds, and the elem_type that says so. */
static const struct {
    uint32_t field;
    enum pt_dtype kind;
    uint64_t elem_type;
} fields[] = {{TENSOR, PT_UNDEFINED, 1}, {5, PT_SEQUENCE, 3}, {6, PT_MAP, 4}, {OPTIONAL, PT_OPTIONAL, 5}};

static int count_parts(struct pt_str bytes, size_t *count, struct pt_err *err)
{
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    int rc;
    *count = 0;
    while ((rc = pt_pb_next(&in, &f, err)) == 1)
        *count += f.number >= TENSOR && f.number <= OPTIONAL;
    return rc;
}

static int parse_parts(struct pt_str bytes, int depth, struct pt_tensor_file *out, struct pt_err *err)
{
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    size_t count;
    int rc = count_parts(bytes, &count, err);
    if (rc < 0)
        return rc;
    out->parts = pt_calloc(count, sizeof *out->parts);
    out->items = pt_calloc(count, sizeof *out->items);
    if (!out->parts || !out->items)
        return pt_fail(err, PT_ENOMEM, "%zu items: out of memory", count);
    while ((rc = pt_pb_next(&in, &f, err)) == 1) {
        if (f.number < TENSOR || f.number > OPTIONAL)
            continue;
        if (f.type != PT_PB_LEN || f.number == SPARSE)
            return pt_fail(err, PT_EUNSUPPORTED, "item %zu is a sparse tensor or no value", out->part_count);
        enum pt_dtype kind = PT_UNDEFINED;
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
            kind = fields[i].field == f.number ? fields[i].kind : kind;
        struct pt_tensor_file *part = &out->parts[out->part_count];
        if ((rc = parse(f.bytes, kind, depth + 1, part, err)) < 0)
            return pt_wrap(err, "item %zu", out->part_count);
        out->items[out->part_count++] = part->t;
    }
    return rc;
}

static int finish_sequence(struct pt_tensor_file *out, struct pt_err *err)
{
    struct pt_sequence *s = out->t.data;
    *s = (struct pt_sequence){.count = out->part_count, .items = out->items, .elem = out->part_count ? out->items[0].dtype : PT_UNDEFINED};
    for (size_t i = 1; i < s->count; i++)
        if (s->items[i].dtype != s->elem)
            return pt_fail(err, PT_EPARSE, "item %zu is %s, the ones before are %s", i, pt_dtype_name(s->items[i].dtype), pt_dtype_name(s->elem));
    return PT_OK;
}

/* --- maps -------------------------------------------------------------------------------------------------------------------------------- */

static int parse_keys(struct pt_str bytes, struct pt_tensor_file *out, struct pt_err *err)
{
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len), again = in;
    struct pt_pb_field f;
    int64_t ints = 0, strings = 0;
    uint64_t v;
    int rc;
    while ((rc = pt_pb_next(&in, &f, err)) == 1) {
        if (f.number == KEYS && f.type == PT_PB_LEN) {
            struct pt_pb_reader packed = pt_pb_reader(f.bytes.p, f.bytes.len);
            while ((rc = pt_pb_varint(&packed, &v, err)) == 1)
                ints++;
            if (rc < 0)
                return rc;
        }
        ints += f.number == KEYS && f.type == PT_PB_VARINT;
        strings += f.number == STRING_KEYS && f.type == PT_PB_LEN;
    }
    if (rc < 0)
        return rc;
    if (ints && strings)
        return pt_fail(err, PT_EPARSE, "a map has keys of two types");
    rc = pt_tensor_file_alloc(out, strings ? PT_STRING : PT_INT64, 1, (const int64_t[]){strings ? strings : ints}, err);
    if (rc == PT_OK && !(out->text = pt_malloc(bytes.len)))
        rc = pt_fail(err, PT_ENOMEM, "out of memory");
    char *text = out->text;
    int64_t *number = out->t.data;
    struct pt_string *string = out->t.data;
    while (rc == PT_OK && (rc = pt_pb_next(&again, &f, err)) == 1) {
        rc = PT_OK;
        if (f.number == KEYS && f.type == PT_PB_VARINT) {
            *number++ = (int64_t)f.value;
        } else if (f.number == KEYS && f.type == PT_PB_LEN) {
            struct pt_pb_reader packed = pt_pb_reader(f.bytes.p, f.bytes.len);
            while ((rc = pt_pb_varint(&packed, &v, err)) == 1)
                *number++ = (int64_t)v;
        } else if (f.number == STRING_KEYS && f.type == PT_PB_LEN) {
            *string++ = (struct pt_string){text, f.bytes.len};
            if (f.bytes.len)
                text = mempcpy(text, f.bytes.p, f.bytes.len);
        }
    }
    return rc;
}

/* Single elements side by side. Strings stay in the parts they came in. */
static int join(const struct pt_tensor_file *from, struct pt_tensor_file *out, struct pt_err *err)
{
    enum pt_dtype dtype = from->part_count ? from->items[0].dtype : PT_FLOAT;
    int rc = pt_tensor_file_alloc(out, dtype, 1, (const int64_t[]){(int64_t)from->part_count}, err);
    size_t size = from->part_count && rc == PT_OK ? out->t.size_bytes / from->part_count : 0;
    for (size_t i = 0; rc == PT_OK && i < from->part_count; i++) {
        const struct pt_tensor *t = &from->items[i];
        if (t->dtype != dtype || is_kind(t->dtype) || t->size_bytes != size || pt_dtype_bits(dtype) % 8)
            return pt_fail(err, PT_EUNSUPPORTED, "value %zu of a map is no single element", i);
        memcpy((char *)out->t.data + i * size, t->data, size);
    }
    return rc;
}

static int parse_map(struct pt_str bytes, int depth, struct pt_tensor_file *out, struct pt_err *err)
{
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    struct pt_str values = {0};
    int rc;
    while ((rc = pt_pb_next(&in, &f, err)) == 1)
        if (f.number == VALUES && f.type == PT_PB_LEN)
            values = f.bytes;
    if (rc < 0)
        return rc;
    if (!(out->parts = pt_calloc(3, sizeof *out->parts))) /* keys, values, and what the values were read into */
        return pt_fail(err, PT_ENOMEM, "out of memory");
    out->part_count = 3;
    rc = parse_keys(bytes, &out->parts[0], err);
    if (rc == PT_OK)
        rc = parse_parts(values, depth, &out->parts[2], err);
    if (rc == PT_OK)
        rc = join(&out->parts[2], &out->parts[1], err);
    if (rc < 0)
        return rc;
    struct pt_map_value *m = out->t.data;
    *m = (struct pt_map_value){out->parts[0].t, out->parts[1].t};
    return m->keys.dims[0] == m->values.dims[0]
               ? PT_OK
               : pt_fail(err, PT_EPARSE, "a map has %lld keys and %lld values", (long long)m->keys.dims[0], (long long)m->values.dims[0]);
}

/* ------------------------------------------------------------------------------------------------------------------------------------------ */

static int parse(struct pt_str bytes, enum pt_dtype kind, int depth, struct pt_tensor_file *out, struct pt_err *err)
{
    if (!is_kind(kind))
        return pt_tensor_pb_parse(bytes.p, bytes.len, out, err);
    if (depth > MAX_DEPTH)
        return pt_fail(err, PT_ELIMIT, "values are nested deeper than %d", MAX_DEPTH);
    size_t size = kind == PT_SEQUENCE ? sizeof(struct pt_sequence) : kind == PT_OPTIONAL ? sizeof(struct pt_optional) : sizeof(struct pt_map_value);
    *out = (struct pt_tensor_file){.t = {.dtype = kind, .data = pt_calloc(1, size), .size_bytes = size}};
    int rc = out->t.data ? PT_OK : pt_fail(err, PT_ENOMEM, "out of memory");
    if (rc == PT_OK)
        rc = kind == PT_MAP ? parse_map(bytes, depth, out, err) : parse_parts(bytes, depth, out, err);
    if (rc == PT_OK && kind == PT_SEQUENCE)
        rc = finish_sequence(out, err);
    if (rc == PT_OK && kind == PT_OPTIONAL)
        ((struct pt_optional *)out->t.data)->value = out->part_count ? &out->items[out->part_count - 1] : NULL;
    if (rc < 0)
        pt_tensor_file_finish(out);
    return rc;
}

int pt_value_pb_parse(const void *bytes, size_t len, enum pt_dtype kind, struct pt_tensor_file *out, struct pt_err *err)
{
    *out = (struct pt_tensor_file){0};
    return parse((struct pt_str){bytes, len}, kind, 0, out, err);
}

/* --- writing ------------------------------------------------------------------------------------------------------------------------------ */

static int put_part(struct pt_buf *out, uint32_t field, const struct pt_tensor *t, struct pt_err *err)
{
    pt_auto_buf part = PT_BUF_INIT(0);
    int rc = pt_value_pb_write(&part, t, "", err);
    if (rc == PT_OK)
        pt_pb_put_bytes(out, field, part.data, part.len);
    return rc;
}

static int put_items(struct pt_buf *out, const struct pt_tensor *items, size_t count, enum pt_dtype elem, struct pt_err *err)
{
    size_t row = 0;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        row = fields[i].kind == (is_kind(elem) ? elem : PT_UNDEFINED) ? i : row;
    pt_pb_put_varint(out, ELEM_TYPE, fields[row].elem_type);
    for (size_t i = 0; i < count; i++) {
        int rc = put_part(out, fields[row].field, &items[i], err);
        if (rc < 0)
            return pt_wrap(err, "item %zu", i);
    }
    return PT_OK;
}

static int64_t key_at(const struct pt_tensor *keys, int64_t i)
{
    int64_t v = 0;
    size_t size = keys->dims[0] ? keys->size_bytes / (size_t)keys->dims[0] : 0;
    memcpy(&v, (const char *)keys->data + (size_t)i * size, size); /* little endian */
    bool is_signed = keys->dtype == PT_INT8 || keys->dtype == PT_INT16 || keys->dtype == PT_INT32;
    return is_signed ? (int64_t)((uint64_t)v << (64 - 8 * size)) >> (64 - 8 * size) : v;
}

static int put_map(struct pt_buf *out, const struct pt_map_value *m, struct pt_err *err)
{
    pt_auto_buf values = PT_BUF_INIT(0);
    size_t size = m->values.dims[0] ? m->values.size_bytes / (size_t)m->values.dims[0] : 0;
    pt_pb_put_varint(out, ELEM_TYPE, m->keys.dtype);
    for (int64_t i = 0; i < m->keys.dims[0]; i++) {
        const struct pt_string *s = m->keys.dtype == PT_STRING ? (const struct pt_string *)m->keys.data + i : NULL;
        if (s)
            pt_pb_put_bytes(out, STRING_KEYS, s->p, s->len);
        else
            pt_pb_put_varint(out, KEYS, (uint64_t)key_at(&m->keys, i));
    }
    pt_pb_put_varint(&values, ELEM_TYPE, 1);
    for (int64_t i = 0; i < m->values.dims[0]; i++) {
        struct pt_tensor one = {.dtype = m->values.dtype, .data = (char *)m->values.data + (size_t)i * size, .size_bytes = size};
        int rc = put_part(&values, TENSOR, &one, err);
        if (rc < 0)
            return rc;
    }
    pt_pb_put_bytes(out, VALUES, values.data, values.len);
    return pt_buf_check(&values, "MapProto", err);
}

int pt_value_pb_write(struct pt_buf *out, const struct pt_tensor *t, const char *name, struct pt_err *err)
{
    if (!is_kind(t->dtype))
        return pt_tensor_pb_write(out, t, name, err);
    int rc;
    if (*name)
        pt_pb_put_bytes(out, NAME, name, strlen(name));
    if (t->dtype == PT_MAP) {
        rc = put_map(out, t->data, err);
    } else if (t->dtype == PT_SEQUENCE) {
        const struct pt_sequence *s = t->data;
        rc = put_items(out, s->items, s->count, s->elem, err);
    } else {
        const struct pt_tensor *value = ((const struct pt_optional *)t->data)->value;
        rc = value ? put_items(out, value, 1, value->dtype, err) : PT_OK;
    }
    return rc < 0 ? rc : pt_buf_check(out, "SequenceProto", err);
}

/* --- JSON ------------------------------------------------------------------------------------------------------------------------------------ */

bool pt_is_map_or_maps(const struct pt_tensor *t)
{
    return t->dtype == PT_MAP || (t->dtype == PT_SEQUENCE && ((const struct pt_sequence *)t->data)->elem == PT_MAP);
}

static int put_json_value(struct pt_buf *out, const struct pt_tensor *t, int64_t i, struct pt_err *err)
{
    double d;
    switch (t->dtype) {
    case PT_STRING: {
        const struct pt_string *s = (const struct pt_string *)t->data + i;
        pt_buf_json_string(out, (struct pt_str){s->p, s->len});
        return PT_OK;
    }
    case PT_FLOAT:
        d = (double)((const float *)t->data)[i];
        break;
    case PT_DOUBLE:
        d = ((const double *)t->data)[i];
        break;
    case PT_INT8:
    case PT_INT16:
    case PT_INT32:
    case PT_INT64:
    case PT_UINT8:
    case PT_UINT16:
    case PT_UINT32:
    case PT_UINT64:
        pt_buf_printf(out, "%lld", (long long)key_at(t, i));
        return PT_OK;
    default:
        return pt_fail(err, PT_EUNSUPPORTED, "a map of %s cannot be written as JSON: use pb", pt_dtype_name(t->dtype));
    }
    if (isfinite(d))
        pt_buf_printf(out, t->dtype == PT_FLOAT ? "%.9g" : "%.17g", d);
    else
        pt_buf_puts(out, "null");
    return PT_OK;
}

static int put_json_map(struct pt_buf *out, const struct pt_map_value *m, struct pt_err *err)
{
    pt_buf_putc(out, '{');
    for (int64_t i = 0; i < m->keys.dims[0]; i++) {
        bool string = m->keys.dtype == PT_STRING;
        pt_buf_puts(out, i ? "," : "");
        pt_buf_puts(out, string ? "" : "\"");
        int rc = put_json_value(out, &m->keys, i, err);
        pt_buf_puts(out, string ? ":" : "\":");
        if (rc < 0 || (rc = put_json_value(out, &m->values, i, err)) < 0)
            return rc;
    }
    pt_buf_putc(out, '}');
    return PT_OK;
}

int pt_map_json_write(struct pt_buf *out, const struct pt_tensor *t, struct pt_err *err)
{
    const struct pt_sequence *s = t->dtype == PT_SEQUENCE ? t->data : NULL;
    int rc = s ? PT_OK : put_json_map(out, t->data, err);
    pt_buf_puts(out, s ? "[" : "");
    for (size_t i = 0; s && rc == PT_OK && i < s->count; i++) {
        pt_buf_puts(out, i ? ",\n" : "");
        rc = put_json_map(out, s->items[i].data, err);
    }
    pt_buf_puts(out, s ? "]\n" : "\n");
    return rc < 0 ? rc : pt_buf_check(out, "JSON", err);
}
