/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_csv.c: any bytes as a CSV file of samples; the first byte chooses what the label column is said to be.
 */
#include "cli/data_files.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const labels[] = {NULL, "", "1", "2", "y"};
    struct pt_data_file f;
    struct pt_err err;
    if (!size)
        return 0;
    if (pt_csv_parse(data + 1, size - 1, labels[data[0] % 5], (enum pt_task)(data[0] / 5 % 3), &f, &err) < 0)
        return 0;
    const struct pt_tensor *x = &f.arrays[0].value.t;
    if (f.count != 1 || x->rank != 2 || x->dims[0] < 1 || (f.labels.t.dtype && f.labels.t.dims[0] != x->dims[0]))
        abort();
    for (size_t i = 0; i < x->size_bytes / sizeof(float); i++)
        if (!isfinite(((float *)x->data)[i]))
            abort();
    pt_data_file_finish(&f);
    return 0;
}
