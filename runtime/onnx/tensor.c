/* SPDX-License-Identifier: Apache-2.0
 *
 * tensor.c: TensorProto and ValueInfoProto. raw_data stays where it is; the typed fields (float_data, int32_data, ...) are converted
 * into the arena, because they are varints or may come in pieces.
 */
#include "runtime/onnx/internal.h"

/* Which typed field carries a type, and how many bytes one of its entries fills (below 8 bits an entry is a byte of packed elements). */
struct storage {
    uint32_t field;
    unsigned unit_bytes;
};

static struct storage storage_of(enum pt_dtype t)
{
    switch (t) {
    case PT_FLOAT:
    case PT_COMPLEX64:
        return (struct storage){4, 4};
    case PT_DOUBLE:
    case PT_COMPLEX128:
        return (struct storage){10, 8};
    case PT_INT64:
        return (struct storage){7, 8};
    case PT_UINT32:
        return (struct storage){11, 4};
    case PT_UINT64:
        return (struct storage){11, 8};
    case PT_STRING:
        return (struct storage){6, sizeof(struct pt_string)};
    default: {
        unsigned bits = pt_dtype_bits(t);
        return (struct storage){5, bits < 8 ? 1 : bits / 8};
    }
    }
}

static void put_unit(uint8_t *data, size_t unit, size_t i, uint64_t v)
{
    memcpy(data + i * unit, &v, unit); /* little endian, as every target of ours */
}

/* Counts (data NULL) or stores the entries of one typed field. */
static int typed_field(struct pt_onnx_reader *r, const struct pt_pb_field *f, struct storage st, uint8_t *data, size_t *n)
{
    bool fixed = f->number == 4 || f->number == 10;
    enum pt_pb_type single = !fixed ? PT_PB_VARINT : f->number == 4 ? PT_PB_I32 : PT_PB_I64;
    if (f->number == 6) {
        if (pt_onnx_expect(r, f, PT_PB_LEN, "string_data") < 0)
            return r->err ? r->err->code : PT_EPARSE;
        if (data) {
            struct pt_string s = {f->bytes.p, f->bytes.len};
            memcpy(data + *n * sizeof s, &s, sizeof s);
        }
        ++*n;
        return PT_OK;
    }
    if (f->type == single) {
        if (data)
            put_unit(data, st.unit_bytes, *n, f->value);
        ++*n;
        return PT_OK;
    }
    if (f->type != PT_PB_LEN)
        return pt_fail(r->err, PT_EPARSE, "tensor data field %u has wire type %d", f->number, (int)f->type);
    if (fixed) {
        size_t width = f->number == 4 ? 4 : 8;
        if (f->bytes.len % width)
            return pt_fail(r->err, PT_EPARSE, "tensor data of %zu bytes is not a multiple of %zu", f->bytes.len, width);
        if (data && f->bytes.len)
            memcpy(data + *n * width, f->bytes.p, f->bytes.len);
        *n += f->bytes.len / width;
        return PT_OK;
    }
    struct pt_pb_reader in = pt_pb_reader(f->bytes.p, f->bytes.len);
    uint64_t v;
    int rc;
    while ((rc = pt_pb_varint(&in, &v, r->err)) == 1) {
        if (data)
            put_unit(data, st.unit_bytes, *n, v);
        ++*n;
    }
    return rc;
}

static bool is_typed(uint32_t number)
{
    return (number >= 4 && number <= 7) || number == 10 || number == 11;
}

static int read_header(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_tensor *out, struct pt_str *raw, bool *has_raw)
{
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    int64_t dims[PT_MAX_RANK];
    size_t rank = 0;
    int rc;
    while ((rc = pt_pb_next(&in, &f, r->err)) == 1) {
        switch (f.number) {
        case 1: {
            size_t more = 0;
            if (pt_onnx_count_ints(r, &f, "dims", &more) < 0)
                return PT_EPARSE;
            if (rank + more > PT_MAX_RANK)
                return pt_fail(r->err, PT_ELIMIT, "rank %zu is over the limit of %d", rank + more, PT_MAX_RANK);
            if (pt_onnx_read_ints(r, &f, dims, &rank) < 0)
                return PT_EPARSE;
            break;
        }
        case 2:
            if (pt_onnx_expect(r, &f, PT_PB_VARINT, "data_type") < 0)
                return PT_EPARSE;
            if (f.value == 0 || f.value >= PT_DTYPE_COUNT)
                return pt_fail(r->err, PT_EUNSUPPORTED, "data_type %llu is not a known element type", (unsigned long long)f.value);
            out->t.dtype = (enum pt_dtype)f.value;
            break;
        case 3:
            return pt_fail(r->err, PT_EUNSUPPORTED, "tensors in segments are not supported");
        case 8:
            if (pt_onnx_expect(r, &f, PT_PB_LEN, "name") < 0)
                return PT_EPARSE;
            out->name = f.bytes;
            break;
        case 9:
            if (pt_onnx_expect(r, &f, PT_PB_LEN, "raw_data") < 0)
                return PT_EPARSE;
            *raw = f.bytes;
            *has_raw = true;
            break;
        case 13:
            return pt_fail(r->err, PT_EUNSUPPORTED, "external data is not supported yet");
        case 14:
            if (f.value != 0)
                return pt_fail(r->err, PT_EUNSUPPORTED, "external data is not supported yet (data_location %llu)", (unsigned long long)f.value);
            break;
        default:
            break;
        }
    }
    if (rc < 0)
        return rc;
    out->t.rank = (int)rank;
    memcpy(out->t.dims, dims, rank * sizeof *dims);
    return PT_OK;
}

static int read_typed(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_tensor *t)
{
    struct storage st = storage_of(t->dtype);
    size_t need = t->size_bytes / st.unit_bytes;
    for (int pass = 0; pass < 2; pass++) {
        struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
        struct pt_pb_field f;
        size_t n = 0;
        int rc;
        while ((rc = pt_pb_next(&in, &f, r->err)) == 1) {
            if (!is_typed(f.number))
                continue;
            if (f.number != st.field)
                return pt_fail(r->err, PT_EPARSE, "%s elements cannot be in data field %u", pt_dtype_name(t->dtype), f.number);
            if ((rc = typed_field(r, &f, st, pass ? t->data : NULL, &n)) < 0)
                return rc;
        }
        if (rc < 0)
            return rc;
        if (n != need)
            return pt_fail(r->err, PT_EPARSE, "%s has %zu data entries, needs %zu", PT_SHAPE(t), n, need);
        if (pass == 0 && !(t->data = pt_onnx_array(r, need, st.unit_bytes)))
            return PT_ELIMIT;
    }
    return PT_OK;
}

/* Booleans are computed with as 0 and 1: any other byte is made 1. */
static int check_bools(struct pt_onnx_reader *r, struct pt_tensor *t)
{
    const uint8_t *p = t->data;
    size_t i = 0;
    while (i < t->size_bytes && p[i] <= 1)
        i++;
    if (i == t->size_bytes)
        return PT_OK;
    uint8_t *copy = pt_onnx_array(r, t->size_bytes, 1);
    if (!copy)
        return PT_ELIMIT;
    for (i = 0; i < t->size_bytes; i++)
        copy[i] = p[i] != 0;
    t->data = copy;
    return PT_OK;
}

static int read_tensor(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_tensor *out)
{
    struct pt_str raw = {0};
    bool has_raw = false;
    out->name = PT_STR("");
    int rc = read_header(r, bytes, out, &raw, &has_raw);
    if (rc < 0)
        return rc;
    struct pt_tensor *t = &out->t;
    if (t->dtype == PT_UNDEFINED)
        return pt_fail(r->err, PT_EPARSE, "data_type is missing");
    if (!pt_tensor_need(t->dtype, t->rank, t->dims, &t->size_bytes))
        return pt_fail(r->err, PT_EINVAL, "shape %s is negative or too large", PT_SHAPE(t));
    if (!has_raw)
        rc = read_typed(r, bytes, t);
    else if (t->dtype == PT_STRING)
        return pt_fail(r->err, PT_EPARSE, "strings cannot be in raw_data");
    else if (raw.len != t->size_bytes)
        return pt_fail(r->err, PT_EPARSE, "%s has %zu bytes of raw_data, needs %zu", PT_SHAPE(t), raw.len, t->size_bytes);
    else
        t->data = (void *)(uintptr_t)raw.p;
    if (rc == PT_OK && t->dtype == PT_BOOL)
        rc = check_bools(r, t);
    return rc;
}

/* The name may stand behind what is wrong. */
static void find_name(struct pt_str bytes, struct pt_str *name)
{
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    while (pt_pb_next(&in, &f, NULL) == 1)
        if (f.number == 8 && f.type == PT_PB_LEN)
            *name = f.bytes;
}

int pt_onnx_read_tensor(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_tensor *out)
{
    int rc = read_tensor(r, bytes, out);
    if (rc < 0)
        find_name(bytes, &out->name);
    return rc < 0 ? pt_wrap(r->err, "tensor '" PT_STR_FMT "'", PT_STR_ARG(out->name)), rc : PT_OK;
}

/* --- types ---------------------------------------------------------------------------------------------------------- */

static int read_dim(struct pt_onnx_reader *r, struct pt_str bytes, int64_t *dim, struct pt_str *name)
{
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    int rc;
    *dim = -1;
    *name = (struct pt_str){0};
    while ((rc = pt_pb_next(&in, &f, r->err)) == 1) {
        if (f.number == 1 && f.type == PT_PB_VARINT)
            *dim = (int64_t)f.value < 0 ? -1 : (int64_t)f.value;
        else if (f.number == 2 && f.type == PT_PB_LEN)
            *name = f.bytes;
    }
    return rc;
}

static int read_shape(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_value_info *out)
{
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    int rc;
    out->rank = 0;
    while ((rc = pt_pb_next(&in, &f, r->err)) == 1) {
        if (f.number != 1 || f.type != PT_PB_LEN)
            continue;
        if (out->rank == PT_MAX_RANK)
            return pt_fail(r->err, PT_ELIMIT, "rank is over the limit of %d", PT_MAX_RANK);
        if ((rc = read_dim(r, f.bytes, &out->dims[out->rank], &out->dim_names[out->rank])) < 0)
            return rc;
        out->rank++;
    }
    return rc;
}

static int read_type(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_value_info *out)
{
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    int rc;
    while ((rc = pt_pb_next(&in, &f, r->err)) == 1) {
        if (f.number != 1 || f.type != PT_PB_LEN)
            continue;
        struct pt_pb_reader tin = pt_pb_reader(f.bytes.p, f.bytes.len);
        struct pt_pb_field tf;
        out->is_tensor = true;
        while ((rc = pt_pb_next(&tin, &tf, r->err)) == 1) {
            if (tf.number == 1 && tf.type == PT_PB_VARINT)
                out->dtype = tf.value < PT_DTYPE_COUNT ? (enum pt_dtype)tf.value : PT_UNDEFINED;
            else if (tf.number == 2 && tf.type == PT_PB_LEN && (rc = read_shape(r, tf.bytes, out)) < 0)
                return rc;
        }
        if (rc < 0)
            return rc;
    }
    return rc;
}

int pt_onnx_read_value_info(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_value_info *out)
{
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    int rc;
    out->name = PT_STR("");
    out->rank = -1;
    while ((rc = pt_pb_next(&in, &f, r->err)) == 1) {
        if (f.number == 1 && f.type == PT_PB_LEN)
            out->name = f.bytes;
        else if (f.number == 2 && f.type == PT_PB_LEN && (rc = read_type(r, f.bytes, out)) < 0)
            return rc;
    }
    return rc;
}
