/* SPDX-License-Identifier: Apache-2.0
 *
 * exit.c: how commands end: one line on stderr and an exit status of sysexits(3).
 */
#include "cli/commands.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

int pt_cmd_fail(const struct pt_err *err)
{
    fprintf(stderr, "error: %s\n", err->msg);
    switch (err->code) {
    case PT_EINVAL:
    case PT_EPARSE:
    case PT_EUNSUPPORTED:
    case PT_ELIMIT:
    case PT_ECONFLICT: /* a digest */
        return EX_DATAERR;
    case PT_ENOTFOUND:
        return EX_NOINPUT;
    case PT_EDENIED:
        return EX_NOPERM;
    case PT_EIO:
    case PT_EEXIST:
        return EX_IOERR;
    case PT_ENOMEM:
        return EX_OSERR;
    case PT_EUNAVAILABLE:
    case PT_ETIMEDOUT:
        return EX_UNAVAILABLE;
    case PT_ECANCELED:
        return EX_TEMPFAIL;
    case PT_EPRECONDITION:
        return PT_EXIT_GATE;
    default:
        return EX_SOFTWARE;
    }
}

int pt_cmd_usage(const char *command, const char *fmt, ...)
{
    struct pt_err err;
    va_list ap;
    va_start(ap, fmt);
    pt_vfail(&err, PT_EINVAL, fmt, ap);
    va_end(ap);
    fprintf(stderr, "error: %s (see `pintle %s%s--help`)\n", err.msg, command, *command ? " " : "");
    return EX_USAGE;
}

int pt_cmd_bad_option(char **argv, int result)
{
    if (result == ':')
        return pt_cmd_usage(argv[0], "%s needs a value", argv[optind - 1]);
    if (optopt && (argv[optind - 1][0] != '-' || argv[optind - 1][1] != '-'))
        return pt_cmd_usage(argv[0], "unknown option -%c", optopt);
    return pt_cmd_usage(argv[0], optopt ? "%s takes no value" : "unknown option %s", argv[optind - 1]);
}

int pt_cmd_finish(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EX_OK;
    fprintf(stderr, "error: write to standard output: %s\n", strerror(errno));
    return EX_IOERR;
}
