/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_idx.c: any bytes as an IDX file.
 */
#include "cli/data_files.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pt_data_file f;
    struct pt_err err;
    if (pt_idx_parse(data, size, &f, &err) < 0)
        return 0;
    if (f.count != 1 || f.arrays[0].value.t.size_bytes > size || pt_tensor_count(&f.arrays[0].value.t) < 0)
        abort();
    pt_data_file_finish(&f);
    return 0;
}
