/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_top_exec.c: pintle top is a program of its own, pintle-top beside this one: it is the only command that speaks to clusters, through libcurl,
 * whose thirty libraries would otherwise be loaded by every `pintle serve` (4 MB of memory and 5 ms of its start).
 */
#include "cli/commands.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int pt_cmd_top(int argc, char **argv)
{
    char path[PATH_MAX + 8];
    struct pt_err err;
    ssize_t len = readlink("/proc/self/exe", path, PATH_MAX - 8);
    (void)argc;
    if (len > 0) {
        snprintf(path + len, 8, "-top");
        execv(path, argv);
    }
    pt_fail(&err, errno == ENOENT ? PT_ENOTFOUND : PT_EIO, "start %s: %s", len > 0 ? path : "pintle-top", strerror(errno));
    return pt_cmd_fail(&err);
}
