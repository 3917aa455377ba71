/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_trace.c: any bytes as traceparent and as tracestate; what is taken reads back as it was written.
 */
#include "sidecar/trace.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pt_str s = {(const char *)data, size};
    struct pt_trace t;
    char trace[33], parent[17];
    (void)pt_trace_state_valid(s);
    if (pt_trace_parse(s, &t) < 0)
        return 0;
    pt_trace_hex(t.trace_id, sizeof t.trace_id, trace);
    pt_trace_hex(t.parent_id, sizeof t.parent_id, parent);
    if (memcmp(trace, s.p + 3, 32) != 0 || memcmp(parent, s.p + 36, 16) != 0)
        abort();
    return 0;
}
