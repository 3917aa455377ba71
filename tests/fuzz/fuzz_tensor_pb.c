/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_tensor_pb.c: any bytes as a TensorProto, SequenceProto, OptionalProto or MapProto. What is read, written and read again must be the same
 * tensor; the others must be readable again.
 */
#include "tests/fuzz/fuzz_tensor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pt_tensor_file f, g;
    struct pt_err err;
    pt_auto_buf b = PT_BUF_INIT(0);
    for (enum pt_dtype kind = PT_SEQUENCE; kind <= PT_MAP; kind++) {
        pt_auto_buf v = PT_BUF_INIT(0);
        if (pt_value_pb_parse(data, size, kind, &f, &err) < 0)
            continue;
        if (pt_value_pb_write(&v, &f.t, "name", &err) < 0 || pt_value_pb_parse(v.data, v.len, kind, &g, &err) < 0)
            abort();
        pt_tensor_file_finish(&g);
        pt_tensor_file_finish(&f);
    }
    if (pt_tensor_pb_parse(data, size, &f, &err) < 0)
        return 0;
    if (pt_tensor_pb_write(&b, &f.t, "name", &err) < 0 || pt_tensor_pb_parse(b.data, b.len, &g, &err) < 0 || !fuzz_same(&f.t, &g.t))
        abort();
    pt_tensor_file_finish(&g);
    pt_tensor_file_finish(&f);
    return 0;
}
