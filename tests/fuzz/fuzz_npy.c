/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_npy.c: any bytes as a .npy file. What is read, written and read again must be the same tensor.
 */
#include "tests/fuzz/fuzz_tensor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pt_tensor_file f, g;
    struct pt_err err;
    pt_auto_buf b = PT_BUF_INIT(0);
    if (pt_npy_parse(data, size, &f, &err) < 0)
        return 0;
    int rc = pt_npy_write(&b, &f.t, &err);
    if (rc == PT_OK) {
        if (pt_npy_parse(b.data, b.len, &g, &err) < 0 || !fuzz_same(&f.t, &g.t))
            abort();
        pt_tensor_file_finish(&g);
    } else if (f.t.dtype != PT_STRING) { /* byte strings need not be text */
        abort();
    }
    pt_tensor_file_finish(&f);
    return 0;
}
