/* SPDX-License-Identifier: Apache-2.0
 *
 * pbtensor.c: see pbtensor.h.
 */
#include "sidecar/pbtensor.h"

#include <stdlib.h>

/* One number's bits as the type's element; false when it does not fit. Varints of negative numbers are sign-extended. */
static bool store(enum pt_dtype type, uint64_t v, char *to)
{
    int64_t s = (int64_t)v;
    switch (type) {
    case PT_BOOL:
        *to = v != 0;
        return true;
    case PT_INT8:
        *to = (char)s;
        return s >= INT8_MIN && s <= INT8_MAX;
    case PT_UINT8:
        *to = (char)v;
        return v <= UINT8_MAX;
    case PT_INT16:
        memcpy(to, &v, 2);
        return s >= INT16_MIN && s <= INT16_MAX;
    case PT_UINT16:
    case PT_FLOAT16:
    case PT_BFLOAT16:
        memcpy(to, &v, 2);
        return v <= UINT16_MAX;
    case PT_INT32:
        memcpy(to, &v, 4);
        return s >= INT32_MIN && s <= INT32_MAX;
    case PT_UINT32:
        memcpy(to, &v, 4);
        return v <= UINT32_MAX;
    case PT_FLOAT:
        memcpy(to, &v, 4);
        return true;
    default:
        memcpy(to, &v, 8);
        return true;
    }
}

static enum pt_pb_type wire_type(enum pt_dtype type)
{
    return type == PT_FLOAT ? PT_PB_I32 : type == PT_DOUBLE ? PT_PB_I64 : PT_PB_VARINT;
}

static int too_many(size_t count, struct pt_err *err)
{
    return pt_fail(err, PT_EINVAL, "want %zu elements, got more", count);
}

int pt_pb_numbers(const struct pt_pb_field *f, enum pt_dtype type, void *data, size_t count, size_t *at, struct pt_err *err)
{
    size_t width = pt_dtype_bits(type) / 8;
    char *to = (char *)data + *at * width;
    enum pt_pb_type wire = wire_type(type);
    if (f->type == wire) {
        if (*at == count)
            return too_many(count, err);
        if (!store(type, f->value, to))
            return pt_fail(err, PT_EINVAL, "element %zu does not fit", *at);
        ++*at;
        return PT_OK;
    }
    if (f->type != PT_PB_LEN)
        return pt_fail(err, PT_EPARSE, "the elements are of another wire type");
    if (wire != PT_PB_VARINT) {
        size_t n = f->bytes.len / width;
        if (f->bytes.len % width)
            return pt_fail(err, PT_EPARSE, "the elements are cut off");
        if (n > count - *at)
            return too_many(count, err);
        if (n)
            memcpy(to, f->bytes.p, f->bytes.len);
        *at += n;
        return PT_OK;
    }
    struct pt_pb_reader r = pt_pb_reader(f->bytes.p, f->bytes.len);
    uint64_t v;
    int rc;
    for (; (rc = pt_pb_varint(&r, &v, err)) == 1; to += width, ++*at) {
        if (*at == count)
            return too_many(count, err);
        if (!store(type, v, to))
            return pt_fail(err, PT_EINVAL, "element %zu does not fit", *at);
    }
    return rc;
}

/* An element as the bits of a varint; negative ones as sign-extended 64 bits. */
static uint64_t load(enum pt_dtype type, const char *p)
{
    int8_t i8;
    int16_t i16;
    int32_t i32;
    uint64_t v = 0;
    switch (type) {
    case PT_INT8:
        memcpy(&i8, p, 1);
        return (uint64_t)(int64_t)i8;
    case PT_INT16:
        memcpy(&i16, p, 2);
        return (uint64_t)(int64_t)i16;
    case PT_INT32:
        memcpy(&i32, p, 4);
        return (uint64_t)(int64_t)i32;
    default:
        memcpy(&v, p, pt_dtype_bits(type) / 8);
        return v;
    }
}

void pt_pb_put_numbers(struct pt_buf *b, uint32_t number, const struct pt_tensor *t)
{
    if (t->size_bytes == 0)
        return;
    if (wire_type(t->dtype) != PT_PB_VARINT) {
        pt_pb_put_bytes(b, number, t->data, t->size_bytes);
        return;
    }
    size_t width = pt_dtype_bits(t->dtype) / 8, begun = pt_pb_begin(b, number);
    for (size_t i = 0; i < t->size_bytes; i += width)
        pt_pb_put_raw_varint(b, load(t->dtype, (const char *)t->data + i));
    pt_pb_end(b, begun);
}

int pt_pb_dims(const struct pt_pb_field *f, int64_t *dims, int *rank, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(f->bytes.p, f->bytes.len);
    uint64_t v = f->value;
    int rc = 1;
    if (f->type != PT_PB_VARINT && f->type != PT_PB_LEN)
        return pt_fail(err, PT_EPARSE, "shape: another wire type");
    while (f->type == PT_PB_VARINT || (rc = pt_pb_varint(&r, &v, err)) == 1) {
        if (*rank == PT_MAX_RANK)
            return pt_fail(err, PT_EINVAL, "shape: more than %d dimensions", PT_MAX_RANK);
        dims[(*rank)++] = (int64_t)v;
        if (f->type == PT_PB_VARINT)
            return PT_OK;
    }
    return rc;
}

void pt_pb_put_str(struct pt_buf *b, uint32_t number, struct pt_str s)
{
    if (s.len)
        pt_pb_put_bytes(b, number, s.p, s.len);
}
