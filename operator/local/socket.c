/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/local/socket.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int pt_local_socket_path(const char *given, char *out, size_t size, struct pt_err *err)
{
    const char *env = getenv("PINTLE_SOCKET"), *runtime_dir = getenv("XDG_RUNTIME_DIR");
    int n;
    if (given || (env && *env))
        n = snprintf(out, size, "%s", given ? given : env);
    else if (runtime_dir && *runtime_dir)
        n = snprintf(out, size, "%s/pintle/api.sock", runtime_dir);
    else
        n = snprintf(out, size, "/tmp/pintle-%u/api.sock", (unsigned)getuid());
    if (n < 0 || (size_t)n >= size)
        return pt_fail(err, PT_ELIMIT, "socket path \"%s\" is longer than %zu bytes", given ? given : env ? env : runtime_dir, size - 1);
    return PT_OK;
}
