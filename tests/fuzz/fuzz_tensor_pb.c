/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_tensor_pb.c: any bytes as a TensorProto. What is read, written and read again must be the same tensor.
 */
#include "tests/fuzz/fuzz_tensor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pt_tensor_file f, g;
    struct pt_err err;
    pt_auto_buf b = PT_BUF_INIT(0);
    if (pt_tensor_pb_parse(data, size, &f, &err) < 0)
        return 0;
    if (pt_tensor_pb_write(&b, &f.t, "name", &err) < 0 || pt_tensor_pb_parse(b.data, b.len, &g, &err) < 0 || !fuzz_same(&f.t, &g.t))
        abort();
    pt_tensor_file_finish(&g);
    pt_tensor_file_finish(&f);
    return 0;
}
