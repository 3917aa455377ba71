/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_image.c: any bytes as an image, made 5 x 4 in grey and in colour: libpng and libjpeg with our way out of their errors.
 */
#include "cli/data_files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t out[5 * 4 * 3];
    struct pt_err err;
    /* a header can ask for much work: what is too large is refused here, as a limit of the machine's would */
    if (size > 4 && data[0] == 0x89 && (size < 24 || data[16] || data[17] || data[18] > 4 || data[20] || data[21] || data[22] > 4))
        return 0;
    for (int channels = 1; channels <= 3; channels += 2)
        pt_image_parse(data, size, &(struct pt_image_shape){4, 5, channels}, out, &err);
    return 0;
}
