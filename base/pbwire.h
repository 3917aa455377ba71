/* SPDX-License-Identifier: Apache-2.0
 *
 * pbwire.h: the protobuf wire format, without schemas: what the ONNX reader, TensorProto files and gRPC messages need.
 * The reader works in place on bytes it does not own and can meet any input; every failure is PT_EPARSE.
 */
#ifndef PT_BASE_PBWIRE_H
#define PT_BASE_PBWIRE_H

#include "base/buf.h"

enum pt_pb_type { PT_PB_VARINT = 0, PT_PB_I64 = 1, PT_PB_LEN = 2, PT_PB_I32 = 5 };

struct pt_pb_reader {
    const uint8_t *p, *end;
};
struct pt_pb_field {
    uint32_t number;
    enum pt_pb_type type;
    uint64_t value;      /* VARINT, I64, I32 (bits) */
    struct pt_str bytes; /* LEN: a view of the input */
};
static inline struct pt_pb_reader pt_pb_reader(const void *p, size_t len)
{
    return (struct pt_pb_reader){p, len ? (const uint8_t *)p + len : p}; /* p may be NULL for nothing */
}
/* 1 and the next field, 0 at the end, PT_EPARSE. Groups (types 3, 4) are refused. */
int pt_pb_next(struct pt_pb_reader *r, struct pt_pb_field *f, struct pt_err *err);
/* For packed repeated fields inside f->bytes: 1, 0 at the end, PT_EPARSE. */
int pt_pb_varint(struct pt_pb_reader *r, uint64_t *v, struct pt_err *err);

void pt_pb_put_varint(struct pt_buf *b, uint32_t number, uint64_t v);
void pt_pb_put_bytes(struct pt_buf *b, uint32_t number, const void *p, size_t len);
void pt_pb_put_i32(struct pt_buf *b, uint32_t number, uint32_t bits);
void pt_pb_put_i64(struct pt_buf *b, uint32_t number, uint64_t bits);
/* A nested message: what is written between the two is its content. Several may be open, innermost ended first. */
size_t pt_pb_begin(struct pt_buf *b, uint32_t number);
void pt_pb_end(struct pt_buf *b, size_t begun);
void pt_pb_put_raw_varint(struct pt_buf *b, uint64_t v); /* inside packed fields */

#endif
