/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_pbtxt.c: any bytes as config.pbtxt.
 */
#include "sidecar/model_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pt_model_config c;
    struct pt_err err;
    pt_model_config_init(&c);
    (void)pt_model_config_parse(&c, "resnet", (struct pt_str){(const char *)data, size}, &err);
    return 0;
}
