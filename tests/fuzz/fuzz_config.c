/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_config.c: the sidecar's configuration. What is accepted is complete.
 */
#include "sidecar/config.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pt_config c;
    if (pt_config_parse(&c, "fuzz", (struct pt_str){(const char *)data, size}, NULL) < 0)
        return 0;
    if (!c.model.name || !c.model.uri || !c.model.version || c.serving.port > 65535 || c.runtime.concurrency < 0)
        abort();
    pt_config_finish(&c);
    return 0;
}
