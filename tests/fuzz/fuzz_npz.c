/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_npz.c: any bytes as a .npz archive, and as a gzip file.
 */
#include "base/buf.h"
#include "cli/data_files.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pt_data_file f;
    struct pt_err err;
    pt_auto_buf plain = PT_BUF_INIT(0);
    if (pt_npz_parse(data, size, NULL, 1 << 20, &f, &err) == PT_OK) {
        for (size_t i = 0; i < f.count; i++)
            if (f.arrays[i].value.t.size_bytes > 16 << 20 || !f.arrays[i].name)
                abort();
        pt_data_file_finish(&f);
    }
    pt_gunzip(data, size, 1 << 20, &plain, &err);
    if (plain.len > (1 << 20) + (1 << 16))
        abort();
    return 0;
}
