/* SPDX-License-Identifier: Apache-2.0
 *
 * pbwire.c: protobuf wire format (protobuf.dev/programming-guides/encoding). Little-endian targets only, as all of ours are.
 */
#include "base/pbwire.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Pintle's tensors and protobuf code assume a little-endian processor"
#endif

/* Stricter than some readers: a varint of more than 64 bits is refused, not cut. */
int pt_pb_varint(struct pt_pb_reader *r, uint64_t *v, struct pt_err *err)
{
    uint64_t value = 0;
    if (r->p == r->end)
        return 0;
    for (unsigned shift = 0; r->p < r->end; shift += 7) {
        uint8_t byte = *r->p++;
        if (shift == 63 && byte > 1)
            return pt_fail(err, PT_EPARSE, "protobuf: a varint is longer than 64 bits");
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *v = value;
            return 1;
        }
    }
    return pt_fail(err, PT_EPARSE, "protobuf: the input ends inside a varint");
}

static int need_varint(struct pt_pb_reader *r, uint64_t *v, uint32_t number, struct pt_err *err)
{
    int rc = pt_pb_varint(r, v, err);
    return rc != 0 ? rc : pt_fail(err, PT_EPARSE, "protobuf: the input ends inside field %u", number);
}

static int fixed(struct pt_pb_reader *r, struct pt_pb_field *f, size_t width, struct pt_err *err)
{
    if ((size_t)(r->end - r->p) < width)
        return pt_fail(err, PT_EPARSE, "protobuf: the input ends inside field %u", f->number);
    f->value = 0;
    memcpy(&f->value, r->p, width);
    r->p += width;
    return 1;
}

int pt_pb_next(struct pt_pb_reader *r, struct pt_pb_field *f, struct pt_err *err)
{
    uint64_t tag, len;
    int rc = pt_pb_varint(r, &tag, err);
    if (rc <= 0)
        return rc;
    if (tag > UINT32_MAX || tag >> 3 == 0)
        return pt_fail(err, PT_EPARSE, "protobuf: tag %llu is not one of a field", (unsigned long long)tag);
    *f = (struct pt_pb_field){.number = (uint32_t)(tag >> 3), .type = (enum pt_pb_type)(tag & 7)};
    switch (f->type) {
    case PT_PB_VARINT:
        return need_varint(r, &f->value, f->number, err);
    case PT_PB_I64:
        return fixed(r, f, 8, err);
    case PT_PB_I32:
        return fixed(r, f, 4, err);
    case PT_PB_LEN:
        if ((rc = need_varint(r, &len, f->number, err)) < 0)
            return rc;
        if (len > (uint64_t)(r->end - r->p))
            return pt_fail(err, PT_EPARSE, "protobuf: field %u says %llu bytes, %zu are left", f->number, (unsigned long long)len, (size_t)(r->end - r->p));
        f->bytes = (struct pt_str){(const char *)r->p, (size_t)len};
        r->p += len;
        return 1;
    default:
        return pt_fail(err, PT_EPARSE, "protobuf: field %u has wire type %u, which is not supported", f->number, (unsigned)(tag & 7));
    }
}

void pt_pb_put_raw_varint(struct pt_buf *b, uint64_t v)
{
    uint8_t bytes[10];
    size_t n = 0;
    for (; v >= 0x80; v >>= 7)
        bytes[n++] = (uint8_t)(v | 0x80);
    bytes[n++] = (uint8_t)v;
    pt_buf_append(b, bytes, n);
}

static void put_tag(struct pt_buf *b, uint32_t number, enum pt_pb_type type)
{
    pt_pb_put_raw_varint(b, (uint64_t)number << 3 | type);
}

void pt_pb_put_varint(struct pt_buf *b, uint32_t number, uint64_t v)
{
    put_tag(b, number, PT_PB_VARINT);
    pt_pb_put_raw_varint(b, v);
}

void pt_pb_put_bytes(struct pt_buf *b, uint32_t number, const void *p, size_t len)
{
    put_tag(b, number, PT_PB_LEN);
    pt_pb_put_raw_varint(b, len);
    pt_buf_append(b, p, len);
}

void pt_pb_put_i32(struct pt_buf *b, uint32_t number, uint32_t bits)
{
    put_tag(b, number, PT_PB_I32);
    pt_buf_append(b, &bits, sizeof bits);
}

void pt_pb_put_i64(struct pt_buf *b, uint32_t number, uint64_t bits)
{
    put_tag(b, number, PT_PB_I64);
    pt_buf_append(b, &bits, sizeof bits);
}

/* One byte is left for the length, which is right for most; a longer one moves the content. */
size_t pt_pb_begin(struct pt_buf *b, uint32_t number)
{
    pt_pb_put_raw_varint(b, (uint64_t)number << 3 | PT_PB_LEN);
    pt_buf_putc(b, 0);
    return b->len;
}

void pt_pb_end(struct pt_buf *b, size_t begun)
{
    if (b->failed)
        return;
    size_t len = b->len - begun, more = 0;
    for (size_t n = len; n > 127; n >>= 7)
        more++;
    if (more && !pt_buf_reserve(b, more))
        return;
    char *at = b->data + begun - 1;
    if (more)
        memmove(at + 1 + more, at + 1, len);
    b->len += more;
    for (size_t n = len; more; n >>= 7, more--)
        *at++ = (char)(n | 0x80);
    *at = (char)(len >> 7 * (size_t)(at - (b->data + begun - 1)));
}
