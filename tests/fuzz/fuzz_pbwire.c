/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_pbwire.c: any bytes as a protobuf message. What is read, written again and read again must be the same.
 */
#include "base/pbwire.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put(struct pt_buf *b, const struct pt_pb_field *f)
{
    switch (f->type) {
    case PT_PB_VARINT:
        pt_pb_put_varint(b, f->number, f->value);
        break;
    case PT_PB_I64:
        pt_pb_put_i64(b, f->number, f->value);
        break;
    case PT_PB_I32:
        pt_pb_put_i32(b, f->number, (uint32_t)f->value);
        break;
    case PT_PB_LEN:
        pt_pb_put_bytes(b, f->number, f->bytes.p, f->bytes.len);
        break;
    }
}

static bool same(const struct pt_pb_field *a, const struct pt_pb_field *b)
{
    return a->number == b->number && a->type == b->type && a->value == b->value && pt_str_eq(a->bytes, b->bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pt_pb_reader in = pt_pb_reader(data, size);
    struct pt_pb_field f, g;
    struct pt_err err;
    uint64_t v;
    int rc;
    while ((rc = pt_pb_next(&in, &f, &err)) == 1) {
        pt_auto_buf b = PT_BUF_INIT(0);
        put(&b, &f);
        struct pt_pb_reader again = pt_pb_reader(b.data, b.len), packed = pt_pb_reader(f.bytes.p, f.bytes.len);
        if (pt_pb_next(&again, &g, &err) != 1 || !same(&f, &g) || pt_pb_next(&again, &g, &err) != 0)
            abort();
        while (f.type == PT_PB_LEN && pt_pb_varint(&packed, &v, &err) == 1) {
        }
    }
    if (rc != 0 && rc != PT_EPARSE)
        abort();
    return 0;
}
