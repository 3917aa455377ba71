/* SPDX-License-Identifier: Apache-2.0
 *
 * err.c: the rows of the error table and the writing of messages. Any thread.
 */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct row {
    int code;
    const char *name, *text;
    int http, grpc;
};

static const struct row rows[] = {
    {PT_OK, "PT_OK", "ok", 200, 0},
#define PT_X(name, value, text, http, grpc) {name, #name, text, http, grpc},
    PT_ERRORS(PT_X)
#undef PT_X
};
#define ROW_COUNT (sizeof rows / sizeof *rows)

/* A code that is not ours is a bug of the caller's and reads as an internal error. */
static const struct row *row_of(int code)
{
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (rows[i].code == code)
            return &rows[i];
    return &rows[ROW_COUNT - 1];
}

/* Makes msg one line; when `cut`, ends it with "..." without splitting a UTF-8 sequence. */
static void tidy(char *msg, size_t size, int cut)
{
    for (char *p = msg; *p; p++)
        if (*p == '\n' || *p == '\r' || *p == '\t')
            *p = ' ';
        else if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    if (!cut)
        return;
    size_t at = size - sizeof "...";
    while (at > 0 && ((unsigned char)msg[at] & 0xc0) == 0x80)
        at--;
    memcpy(msg + at, "...", sizeof "...");
}

int pt_vfail(struct pt_err *err, int code, const char *fmt, va_list ap)
{
    if (!err)
        return code;
    char msg[sizeof err->msg]; /* the arguments may point into err->msg */
    int n = vsnprintf(msg, sizeof msg, fmt, ap);
    if (n < 0)
        snprintf(msg, sizeof msg, "%s", pt_err_text(code));
    tidy(msg, sizeof msg, n >= (int)sizeof msg);
    err->code = code;
    memcpy(err->msg, msg, sizeof msg);
    return code;
}

int pt_fail(struct pt_err *err, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    code = pt_vfail(err, code, fmt, ap);
    va_end(ap);
    return code;
}

int pt_wrap(struct pt_err *err, const char *fmt, ...)
{
    if (!err)
        return PT_EINTERNAL;
    struct pt_err context;
    va_list ap;
    va_start(ap, fmt);
    pt_vfail(&context, err->code, fmt, ap);
    va_end(ap);
    return pt_fail(err, err->code, "%s: %s", context.msg, err->msg);
}

int pt_err_from_errno(int e)
{
    switch (e) {
    case ENOENT:
    case ENOTDIR:
        return PT_ENOTFOUND;
    case EACCES:
    case EPERM:
        return PT_EDENIED;
    case EEXIST:
        return PT_EEXIST;
    case ENOMEM:
        return PT_ENOMEM;
    case ETIMEDOUT:
        return PT_ETIMEDOUT;
    default:
        return PT_EIO;
    }
}

const char *pt_err_name(int code) { return row_of(code)->name; }
const char *pt_err_text(int code) { return row_of(code)->text; }
int pt_err_http(int code) { return row_of(code)->http; }
int pt_err_grpc(int code) { return row_of(code)->grpc; }
