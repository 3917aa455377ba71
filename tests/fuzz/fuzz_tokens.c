/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_tokens.c: any bytes as the file of known tokens. It is refused, with a reason that shows none of it, or has tokens.
 */
#include "sidecar/auth.h"
#include "tests/fuzz/fuzz_file.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pt_loop *loop;
    struct pt_err err = {0};
    if (!loop && pt_loop_create(&loop, &err) < 0)
        abort();
    struct pt_auth a = {.loop = loop, .file = fuzz_file(data, size), .poll_ms = 3600000};
    int rc = pt_auth_start(&a, &err);
    if (rc < 0 ? !strstr(err.msg, a.file) : a.count == 0)
        abort();
    pt_auth_stop(&a);
    return 0;
}
