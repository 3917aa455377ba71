/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_checkpoint.c: any bytes as the checkpoint of a training with three arrays. The sum at its end is made to fit, or nothing behind it would ever
 * be reached. Either all arrays are read, and writing them gives what was read, or none is touched.
 */
#include "runtime/onnx/onnx.h"
#include "runtime/train/checkpoint.h"

#include <stdlib.h>
#include <string.h>

#define SUM 20

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t arrays[3][16], untouched[sizeof arrays];
    struct pt_checkpoint_part parts[3] = {{arrays[0], 16}, {arrays[1], 0}, {arrays[2], 5}};
    struct pt_err err = {0};
    pt_auto_buf fit = PT_BUF_INIT(0);
    uint64_t print = 0;
    memset(arrays, 0x5a, sizeof arrays);
    memcpy(untouched, arrays, sizeof arrays);
    if (pt_checkpoint_parse((struct pt_str){(const char *)data, size}, "file", 7, parts, 3, &err) == PT_OK && size < SUM)
        abort();
    memset(arrays, 0x5a, sizeof arrays);
    if (size < SUM)
        return 0;
    if (size >= 16)
        memcpy(&print, data + 8, sizeof print);
    pt_buf_append(&fit, data, size - SUM);
    uint8_t sum[SUM];
    pt_sha1(fit.data, fit.len, sum);
    pt_buf_append(&fit, sum, SUM);
    if (fit.failed)
        return 0;
    struct pt_str bytes = {fit.data, fit.len};
    if (pt_checkpoint_parse(bytes, "file", print, parts, 3, &err) < 0) {
        if (memcmp(arrays, untouched, sizeof arrays) != 0 || !err.msg[0])
            abort();
    } else if (fit.len != 24 + 3 * 8 + 21 + SUM || memcmp(arrays[0], fit.data + 32, 16) != 0 || memcmp(arrays[2], fit.data + 64, 5) != 0) {
        abort();
    }
    return 0;
}
