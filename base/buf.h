/* SPDX-License-Identifier: Apache-2.0
 *
 * buf.h: a growable byte buffer with a cap. Appends after a failure are ignored and the failure sticks, so a writer
 * checks once at the end (pt_buf_check). One owner, no threads.
 */
#ifndef PT_BASE_BUF_H
#define PT_BASE_BUF_H

#include "base/err.h"
#include "base/str.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

struct pt_buf {
    char *data; /* not terminated; pt_buf_cstr() terminates */
    size_t len, room;
    size_t cap; /* most bytes it may hold; 0 = no cap */
    int failed; /* PT_ENOMEM or PT_ELIMIT, sticky until reset */
};
#define PT_BUF_INIT(cap_bytes) ((struct pt_buf){.cap = (cap_bytes)})

void pt_buf_finish(struct pt_buf *b);                                 /* frees; the buffer is empty and usable again */
void pt_buf_reset(struct pt_buf *b);                                  /* keeps the memory, forgets content and failure */
bool pt_buf_append_more(struct pt_buf *b, const void *p, size_t len); /* what the next one does when it does not simply fit */
static inline bool pt_buf_append(struct pt_buf *b, const void *p, size_t len)
{
    if (b->failed || b->cap || !b->room || len >= b->room - b->len)
        return pt_buf_append_more(b, p, len);
    if (len)
        memcpy(b->data + b->len, p, len);
    b->len += len;
    return true;
}
static inline bool pt_buf_puts(struct pt_buf *b, const char *s)
{
    return pt_buf_append(b, s, strlen(s));
}
static inline bool pt_buf_putc(struct pt_buf *b, char c)
{
    if (b->failed || b->len + 1 >= b->room || (b->cap && b->len >= b->cap))
        return pt_buf_append_more(b, &c, 1);
    b->data[b->len++] = c;
    return true;
}
/* Several texts, up to NULL: where nothing needs a format. */
bool pt_buf_cat(struct pt_buf *b, ...) __attribute__((sentinel));
bool pt_buf_printf(struct pt_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool pt_buf_vprintf(struct pt_buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
char *pt_buf_reserve_more(struct pt_buf *b, size_t len); /* what the next one does when it does not simply fit */
/* Room for len more bytes at the end, or NULL; then b->len += n. */
static inline char *pt_buf_reserve(struct pt_buf *b, size_t len)
{
    if (b->failed || b->cap || !b->room || len >= b->room - b->len)
        return pt_buf_reserve_more(b, len);
    return b->data + b->len;
}
void pt_buf_consume(struct pt_buf *b, size_t len); /* drops len bytes from the front */
const char *pt_buf_cstr(struct pt_buf *b);         /* terminated view; "" after a failure */
/* PT_OK, or the sticky failure with "what" in the message. */
int pt_buf_check(const struct pt_buf *b, const char *what, struct pt_err *err);
/* Reads a whole regular file; over cap is PT_ELIMIT; PT_ENOTFOUND when it is not there. path goes through pt_path_resolve. */
int pt_buf_read_file(struct pt_buf *b, const char *path, struct pt_err *err);
/* JSON string literal with quotes; invalid UTF-8 becomes U+FFFD. */
bool pt_buf_json_string(struct pt_buf *b, struct pt_str s);
#define pt_auto_buf __attribute__((cleanup(pt_buf_finish))) struct pt_buf

#endif
