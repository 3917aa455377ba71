/* SPDX-License-Identifier: Apache-2.0
 *
 * What an API server sends: watch lines and Status bodies.
 */
#include "operator/kube/client.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pt_str text = {(const char *)data, size};
    struct pt_watch_event e;
    struct pt_err err;
    if (pt_kube_decode_event(text, &e, &err) == PT_OK && (e.object.p < text.p || e.object.p + e.object.len > text.p + text.len))
        abort();
    struct pt_api_result r = {.http = 500, .body = text, .retry_after_ms = -1};
    pt_kube_decode_status(&r, "fuzz");
    return 0;
}
