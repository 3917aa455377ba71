/* SPDX-License-Identifier: Apache-2.0
 *
 * tensor.c: TensorProto and SparseTensorProto. raw_data stays where it is; the typed fields (float_data, int32_data, ...) are converted
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

/* Where the elements are, if not in typed fields. */
struct place {
    struct pt_str raw;
    bool has_raw, external;
    struct pt_str location, sha1;
    int64_t offset, length; /* length -1: to the end */
};

static int read_place_entry(struct pt_onnx_reader *r, struct pt_str bytes, struct place *p)
{
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    struct pt_str key = PT_STR(""), value = PT_STR("");
    int rc;
    while ((rc = pt_pb_next(&in, &f, r->err)) == 1) {
        if (f.number == 1 && f.type == PT_PB_LEN)
            key = f.bytes;
        else if (f.number == 2 && f.type == PT_PB_LEN)
            value = f.bytes;
    }
    if (rc < 0)
        return rc;
    if (pt_str_eq(key, PT_STR("location")))
        p->location = value;
    else if (pt_str_eq(key, PT_STR("checksum")))
        p->sha1 = value;
    else if (pt_str_eq(key, PT_STR("offset")))
        return pt_parse_i64(value, 0, INT64_MAX, "external data: offset", &p->offset, r->err);
    else if (pt_str_eq(key, PT_STR("length")))
        return pt_parse_i64(value, 0, INT64_MAX, "external data: length", &p->length, r->err);
    return PT_OK; /* other keys only help writers */
}

static int read_header(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_tensor *out, struct place *place)
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
            place->raw = f.bytes;
            place->has_raw = true;
            break;
        case 13:
            if (pt_onnx_expect(r, &f, PT_PB_LEN, "external_data") < 0 || (rc = read_place_entry(r, f.bytes, place)) < 0)
                return pt_onnx_code(r);
            break;
        case 14:
            if (f.value > 1)
                return pt_fail(r->err, PT_EUNSUPPORTED, "data_location %llu is not known", (unsigned long long)f.value);
            place->external = f.value == 1;
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

static int read_external(struct pt_onnx_reader *r, const struct place *place, struct pt_tensor *t)
{
    struct pt_str bytes;
    if (t->dtype == PT_STRING)
        return pt_fail(r->err, PT_EPARSE, "strings cannot be external data");
    if (place->length >= 0 && (uint64_t)place->length != t->size_bytes)
        return pt_fail(r->err, PT_EPARSE, "%s has %lld bytes of external data, needs %zu", PT_SHAPE(t), (long long)place->length, t->size_bytes);
    int rc = pt_onnx_files_get(r->files, place->location, place->offset, (int64_t)t->size_bytes, place->sha1, &bytes, r->err);
    t->data = (void *)(uintptr_t)bytes.p;
    return rc;
}

static int read_tensor(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_tensor *out)
{
    struct place place = {.length = -1};
    out->name = PT_STR("");
    int rc = read_header(r, bytes, out, &place);
    if (rc < 0)
        return rc;
    struct pt_tensor *t = &out->t;
    if (t->dtype == PT_UNDEFINED)
        return pt_fail(r->err, PT_EPARSE, "data_type is missing");
    if (!pt_tensor_need(t->dtype, t->rank, t->dims, &t->size_bytes))
        return pt_fail(r->err, PT_EINVAL, "shape %s is negative or too large", PT_SHAPE(t));
    if (place.external)
        rc = read_external(r, &place, t);
    else if (!place.has_raw)
        rc = read_typed(r, bytes, t);
    else if (t->dtype == PT_STRING)
        return pt_fail(r->err, PT_EPARSE, "strings cannot be in raw_data");
    else if (place.raw.len != t->size_bytes)
        return pt_fail(r->err, PT_EPARSE, "%s has %zu bytes of raw_data, needs %zu", PT_SHAPE(t), place.raw.len, t->size_bytes);
    else
        t->data = (void *)(uintptr_t)place.raw.p;
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

/* --- sparse tensors: made dense, since every operator wants them so ------------------------------------------------------------------ */

struct sparse {
    struct pt_onnx_tensor values, indices;
    int64_t dims[PT_MAX_RANK];
    size_t rank;
};

static int read_sparse_fields(struct pt_onnx_reader *r, struct pt_str bytes, struct sparse *s)
{
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    int rc;
    while ((rc = pt_pb_next(&in, &f, r->err)) == 1) {
        size_t more = 0;
        rc = PT_OK;
        if (f.number == 1 && f.type == PT_PB_LEN)
            rc = pt_onnx_read_tensor(r, f.bytes, &s->values);
        else if (f.number == 2 && f.type == PT_PB_LEN)
            rc = pt_onnx_read_tensor(r, f.bytes, &s->indices);
        else if (f.number == 3 && (rc = pt_onnx_count_ints(r, &f, "dims", &more)) == PT_OK)
            rc = s->rank + more > PT_MAX_RANK ? pt_fail(r->err, PT_ELIMIT, "rank %zu is over the limit of %d", s->rank + more, PT_MAX_RANK)
                                              : pt_onnx_read_ints(r, &f, s->dims, &s->rank);
        if (rc < 0)
            return rc;
    }
    return rc;
}

/* Element of value k: indices are positions in row-major order, or one row of coordinates per value. -1: outside. */
static int64_t sparse_position(const struct sparse *s, int64_t k)
{
    const struct pt_tensor *ix = &s->indices.t;
    int64_t at = 0, v, total = pt_dims_product(s->dims, (int)s->rank);
    if (ix->rank == 1) {
        memcpy(&v, (const char *)ix->data + (size_t)k * sizeof v, sizeof v);
        return v < 0 || v >= total ? -1 : v;
    }
    for (size_t i = 0; i < s->rank; i++) {
        memcpy(&v, (const char *)ix->data + ((size_t)k * s->rank + i) * sizeof v, sizeof v);
        if (v < 0 || v >= s->dims[i])
            return -1;
        at = at * s->dims[i] + v;
    }
    return at;
}

static int make_dense(struct pt_onnx_reader *r, const struct sparse *s, struct pt_tensor *out)
{
    const struct pt_tensor *v = &s->values.t, *ix = &s->indices.t;
    int64_t n = pt_tensor_count(v), last = -1;
    size_t size = pt_dtype_size(v->dtype);
    *out = (struct pt_tensor){.dtype = v->dtype, .rank = (int)s->rank};
    memcpy(out->dims, s->dims, s->rank * sizeof *s->dims);
    if (v->rank != 1 || ix->dtype != PT_INT64 || !size ||
        !((ix->rank == 1 && ix->dims[0] == n) || (ix->rank == 2 && ix->dims[0] == n && ix->dims[1] == (int64_t)s->rank)))
        return pt_fail(r->err, PT_EPARSE, "a sparse tensor of rank %zu has values %s and indices %s", s->rank, PT_SHAPE(v), PT_SHAPE(ix));
    if (!pt_tensor_need(out->dtype, out->rank, out->dims, &out->size_bytes))
        return pt_fail(r->err, PT_EINVAL, "shape %s is negative or too large", PT_SHAPE(out));
    if (!(out->data = pt_onnx_array(r, out->size_bytes, 1)))
        return pt_onnx_code(r);
    for (int64_t k = 0; k < n; k++) {
        int64_t at = sparse_position(s, k);
        if (at <= last)
            return pt_fail(r->err, PT_EPARSE, "index %lld of a sparse tensor is outside %s or not above the one before", (long long)k, PT_SHAPE(out));
        memcpy((char *)out->data + (size_t)at * size, (const char *)v->data + (size_t)k * size, size);
        last = at;
    }
    return PT_OK;
}

int pt_onnx_read_sparse(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_tensor *out)
{
    struct sparse s = {0};
    s.values.name = s.indices.name = PT_STR("");
    int rc = read_sparse_fields(r, bytes, &s);
    if (rc == PT_OK && (s.values.t.dtype == PT_UNDEFINED || s.indices.t.dtype == PT_UNDEFINED))
        rc = pt_fail(r->err, PT_EPARSE, "a sparse tensor lacks its values or indices");
    out->name = s.values.name;
    if (rc == PT_OK && (rc = make_dense(r, &s, &out->t)) < 0)
        pt_wrap(r->err, "tensor '" PT_STR_FMT "'", PT_STR_ARG(out->name));
    return rc;
}
