/* SPDX-License-Identifier: Apache-2.0
 *
 * value.c: SequenceProto, OptionalProto and MapProto: values as files of their own, for tests and the command line.
 */
#include "runtime/onnx/internal.h"

static int read_any(struct pt_onnx_reader *r, struct pt_str bytes, enum pt_dtype kind, struct pt_tensor *out);

/* The arena gives 16 bytes; raw data of a file lies anywhere. */
static int align(struct pt_onnx_reader *r, struct pt_tensor *t)
{
    size_t size = pt_dtype_size(t->dtype);
    if (!size || (uintptr_t)t->data % (size > 8 ? 8 : size) == 0)
        return PT_OK;
    void *copy = pt_onnx_array(r, t->size_bytes, 1);
    if (!copy)
        return pt_onnx_code(r);
    if (t->size_bytes)
        memcpy(copy, t->data, t->size_bytes);
    t->data = copy;
    return PT_OK;
}

static int read_plain(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_tensor *out)
{
    struct pt_onnx_tensor t = {0};
    int rc = pt_onnx_read_tensor(r, bytes, &t);
    *out = t.t;
    return rc == PT_OK ? align(r, out) : rc;
}

/* Which kind the fields 3 to 7 of a SequenceProto or OptionalProto hold. Sparse tensors (4) are made dense. */
static enum pt_dtype kind_of(uint32_t field)
{
    return field == 5 ? PT_SEQUENCE : field == 6 ? PT_MAP : field == 7 ? PT_OPTIONAL : PT_UNDEFINED;
}

static int read_item(struct pt_onnx_reader *r, const struct pt_pb_field *f, struct pt_tensor *out)
{
    if (f->number != 4)
        return read_any(r, f->bytes, kind_of(f->number), out);
    struct pt_onnx_tensor t = {0};
    int rc = pt_onnx_read_sparse(r, f->bytes, &t);
    *out = t.t;
    return rc;
}

static bool is_item(const struct pt_pb_field *f)
{
    return f->number >= 3 && f->number <= 7 && f->type == PT_PB_LEN;
}

static int read_sequence(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_sequence *out)
{
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    size_t n[32] = {0};
    int rc = pt_onnx_count_fields(r, bytes, n);
    struct pt_tensor *items = rc < 0 ? NULL : pt_onnx_array(r, n[3] + n[4] + n[5] + n[6] + n[7], sizeof *items);
    if (!items)
        return rc < 0 ? rc : pt_onnx_code(r);
    *out = (struct pt_sequence){.items = items};
    while ((rc = pt_pb_next(&in, &f, r->err)) == 1) {
        if (!is_item(&f))
            continue;
        struct pt_tensor *t = &items[out->count];
        if ((rc = read_item(r, &f, t)) < 0)
            return rc;
        if (out->count && t->dtype != out->elem)
            return pt_fail(r->err, PT_EPARSE, "item %zu of a sequence is %s, the ones before are %s", out->count, pt_dtype_name(t->dtype),
                           pt_dtype_name(out->elem));
        out->elem = t->dtype;
        out->count++;
    }
    return rc;
}

static int read_optional(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_optional *out)
{
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    int rc;
    *out = (struct pt_optional){0};
    while ((rc = pt_pb_next(&in, &f, r->err)) == 1) {
        if (!is_item(&f))
            continue;
        struct pt_tensor *t = pt_onnx_array(r, 1, sizeof *t);
        if (!t)
            return pt_onnx_code(r);
        if ((rc = read_item(r, &f, t)) < 0)
            return rc;
        out->value = t;
    }
    return rc;
}

/* The values of a map, single elements each, as one tensor of rank 1. */
static int join_scalars(struct pt_onnx_reader *r, const struct pt_sequence *s, struct pt_tensor *out)
{
    size_t size = s->count ? pt_dtype_size(s->items[0].dtype) : 0;
    *out =
        (struct pt_tensor){.dtype = s->count ? s->items[0].dtype : PT_FLOAT, .rank = 1, .dims = {(int64_t)s->count}, .size_bytes = s->count * size};
    if (!(out->data = pt_onnx_array(r, s->count, size)))
        return pt_onnx_code(r);
    for (size_t i = 0; i < s->count; i++) {
        if (!size || pt_is_kind(s->items[i].dtype) || pt_tensor_count(&s->items[i]) != 1)
            return pt_fail(r->err, PT_EUNSUPPORTED, "value %zu of a map is not a single element", i);
        memcpy((char *)out->data + i * size, s->items[i].data, size);
    }
    return PT_OK;
}

static int read_key_type(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_tensor *out)
{
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    size_t ints = 0, strings = 0;
    int rc;
    while ((rc = pt_pb_next(&in, &f, r->err)) == 1) {
        if (f.number == 2 && f.type == PT_PB_VARINT && f.value < PT_DTYPE_COUNT)
            out->dtype = (enum pt_dtype)f.value;
        else if (f.number == 3 && (rc = pt_onnx_count_ints(r, &f, "keys", &ints)) < 0)
            return rc;
        strings += f.number == 4 && f.type == PT_PB_LEN;
    }
    if (rc < 0)
        return rc;
    if ((out->dtype != PT_STRING && out->dtype != PT_INT64) || (ints && strings))
        return pt_fail(r->err, PT_EUNSUPPORTED, "a map has %zu keys that are integers, %zu that are strings and the type %s", ints, strings,
                       pt_dtype_name(out->dtype));
    out->rank = 1;
    out->dims[0] = (int64_t)(out->dtype == PT_STRING ? strings : ints);
    out->size_bytes = (size_t)out->dims[0] * pt_dtype_size(out->dtype);
    out->data = pt_onnx_array(r, out->size_bytes, 1);
    return out->data ? PT_OK : pt_onnx_code(r);
}

static int read_keys(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_tensor *out)
{
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    size_t n = 0;
    int rc = read_key_type(r, bytes, out);
    while (rc == PT_OK && (rc = pt_pb_next(&in, &f, r->err)) == 1) {
        rc = PT_OK;
        if (f.number == 3 && out->dtype == PT_INT64)
            rc = pt_onnx_read_ints(r, &f, out->data, &n);
        else if (f.number == 4 && out->dtype == PT_STRING && f.type == PT_PB_LEN)
            ((struct pt_string *)out->data)[n++] = (struct pt_string){f.bytes.p, f.bytes.len};
    }
    return rc;
}

static int read_map(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_map_value *out)
{
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    struct pt_sequence values = {0};
    int rc = read_keys(r, bytes, &out->keys);
    while (rc == PT_OK && (rc = pt_pb_next(&in, &f, r->err)) == 1)
        rc = f.number == 5 && f.type == PT_PB_LEN ? read_sequence(r, f.bytes, &values) : PT_OK;
    if (rc == PT_OK)
        rc = join_scalars(r, &values, &out->values);
    if (rc == PT_OK && out->keys.dims[0] != out->values.dims[0])
        rc = pt_fail(r->err, PT_EPARSE, "a map has %lld keys and %lld values", (long long)out->keys.dims[0], (long long)out->values.dims[0]);
    return rc;
}

static int read_any(struct pt_onnx_reader *r, struct pt_str bytes, enum pt_dtype kind, struct pt_tensor *out)
{
    if (!pt_is_kind(kind))
        return read_plain(r, bytes, out);
    if (r->depth >= PT_ONNX_MAX_DEPTH)
        return pt_fail(r->err, PT_ELIMIT, "values are nested deeper than %d", PT_ONNX_MAX_DEPTH);
    *out = (struct pt_tensor){.dtype = kind, .size_bytes = pt_dtype_size(kind)};
    if (!(out->data = pt_onnx_array(r, 1, out->size_bytes)))
        return pt_onnx_code(r);
    r->depth++;
    int rc = kind == PT_SEQUENCE   ? read_sequence(r, bytes, out->data)
             : kind == PT_OPTIONAL ? read_optional(r, bytes, out->data)
                                   : read_map(r, bytes, out->data);
    r->depth--;
    return rc;
}

int pt_onnx_read_value(const void *data, size_t len, enum pt_dtype kind, struct pt_arena *arena, struct pt_tensor *out, struct pt_str *name,
                       struct pt_err *err)
{
    struct pt_err local = {0};
    struct pt_onnx_reader r = {.arena = arena, .err = err ? err : &local};
    struct pt_pb_reader in = pt_pb_reader(data, len);
    struct pt_pb_field f;
    uint32_t name_field = pt_is_kind(kind) ? 1 : 8;
    int rc = read_any(&r, (struct pt_str){data, len}, kind, out);
    while (rc == PT_OK && name && pt_pb_next(&in, &f, NULL) == 1)
        if (f.number == name_field && f.type == PT_PB_LEN)
            *name = f.bytes;
    return rc;
}
