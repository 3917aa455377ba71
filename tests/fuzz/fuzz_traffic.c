/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_traffic.c: any text as the traffic that the autoscaler is tried on. What is taken has a rate for every second.
 */
#include "base/mem.h"
#include "cli/traffic.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pt_traffic t = {0};
    struct pt_err err = {0};
    int rc = pt_traffic_read(&t, "fuzz", (struct pt_str){(const char *)data, size}, &err);
    if (rc < 0 ? !strstr(err.msg, "fuzz: ") : t.seconds < 2 || t.seconds > PT_TRAFFIC_MAX_SECONDS + 1)
        abort();
    for (size_t i = 0; rc == PT_OK && i < t.seconds; i++)
        if (!(t.rps[i] >= 0 && t.rps[i] <= 1e9))
            abort();
    pt_free(t.rps);
    return 0;
}
