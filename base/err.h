/* SPDX-License-Identifier: Apache-2.0
 *
 * err.h: the one table of error codes, and the error object that carries a message up to the user.
 *
 * Functions return PT_OK or a negative code and take `struct pt_err *err` last. The object lives on the caller's
 * stack, owns nothing, and is written only on failure; NULL is allowed when the caller does not want the text.
 *
 *     if (fd < 0)
 *         return pt_fail(err, PT_EIO, "open %s: %s", path, strerror(errno));
 *     ...
 *     if (load(path, &model, err) < 0)
 *         return pt_wrap(err, "load model %s", name);       // "load model digits: open /m/x: No such file"
 */
#ifndef PT_BASE_ERR_H
#define PT_BASE_ERR_H

#include <stdarg.h>

/* code, text, HTTP status, gRPC status. The values are stable: they are part of the runtime library's interface. */
#define PT_ERRORS(X) \
    X(PT_EINVAL, -1, "invalid argument", 400, 3) \
    X(PT_ENOMEM, -2, "out of memory", 503, 8) \
    X(PT_EIO, -3, "input/output error", 500, 13) \
    X(PT_ENOTFOUND, -4, "not found", 404, 5) \
    X(PT_EEXIST, -5, "already exists", 409, 6) \
    X(PT_ECONFLICT, -6, "conflict", 409, 10) \
    X(PT_EUNSUPPORTED, -7, "not supported", 501, 12) \
    X(PT_ELIMIT, -8, "limit exceeded", 413, 8) \
    X(PT_EBUSY, -9, "too many requests", 429, 8) \
    X(PT_ETIMEDOUT, -10, "deadline exceeded", 504, 4) \
    X(PT_ECANCELED, -11, "cancelled", 499, 1) \
    X(PT_EUNAVAILABLE, -12, "unavailable", 503, 14) \
    X(PT_EDENIED, -13, "permission denied", 403, 7) \
    X(PT_EUNAUTHENTICATED, -14, "unauthenticated", 401, 16) \
    X(PT_EPARSE, -15, "malformed input", 400, 3) \
    X(PT_EGONE, -16, "gone", 410, 11) \
    X(PT_EAGAIN, -17, "would block", 503, 14) \
    X(PT_EMETHOD, -18, "method not allowed", 405, 12) \
    X(PT_EINTERNAL, -19, "internal error", 500, 13) \
    X(PT_EPRECONDITION, -20, "failed precondition", 400, 9) \
    X(PT_EUNKNOWN, -21, "unknown error", 500, 2)

enum {
    PT_OK = 0,
#define PT_X(name, value, text, http, grpc) name = value,
    PT_ERRORS(PT_X)
#undef PT_X
};

#ifndef PT_ERR_STRUCT /* the runtime's public header stands alone and declares the same */
#define PT_ERR_STRUCT
struct pt_err {
    int code;      /* PT_OK or a negative code */
    char msg[504]; /* one line, no newline, always terminated; cut with "..." when too long */
};
#endif

/* Writes code and message; returns code. Newlines and control bytes in the result become spaces or '?'. */
int pt_fail(struct pt_err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4), cold));
int pt_vfail(struct pt_err *err, int code, const char *fmt, va_list ap) __attribute__((format(printf, 3, 0), cold));
/* Puts "context: " before the message; returns err->code, or PT_EINTERNAL when err is NULL. */
int pt_wrap(struct pt_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3), cold));

/* The code for an errno value: PT_ENOTFOUND for ENOENT, PT_EDENIED for EACCES, ...; PT_EIO for the rest. */
int pt_err_from_errno(int e);

const char *pt_err_name(int code); /* "PT_EINVAL"; "PT_OK" for 0; never NULL */
const char *pt_err_text(int code);
int pt_err_http(int code); /* 200 for PT_OK */
int pt_err_grpc(int code); /* 0 for PT_OK */

#endif
