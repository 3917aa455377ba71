/* SPDX-License-Identifier: Apache-2.0
 *
 * buf.c: growable byte buffers. Doubling growth, one byte of slack for the terminator, the first failure sticks.
 */
#include "base/buf.h"

#include "base/mem.h"
#include "base/num.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void pt_buf_finish(struct pt_buf *b)
{
    pt_free(b->data);
    *b = PT_BUF_INIT(b->cap);
}

void pt_buf_reset(struct pt_buf *b)
{
    b->len = 0;
    b->failed = PT_OK;
}

char *pt_buf_reserve_more(struct pt_buf *b, size_t len)
{
    if (b->failed)
        return NULL;
    if (len > SIZE_MAX / 2 - b->len || (b->cap && len > b->cap - b->len)) {
        b->failed = PT_ELIMIT;
        return NULL;
    }
    size_t need = b->len + len + 1;
    if (need > b->room) {
        size_t room = b->room ? b->room : 256;
        while (room < need)
            room *= 2;
        char *data = pt_realloc(b->data, room);
        if (!data) {
            b->failed = PT_ENOMEM;
            return NULL;
        }
        b->data = data;
        b->room = room;
    }
    return b->data + b->len;
}

bool pt_buf_append_more(struct pt_buf *b, const void *p, size_t len)
{
    char *to = pt_buf_reserve(b, len);
    if (!to)
        return false;
    if (len)
        memcpy(to, p, len);
    b->len += len;
    return true;
}

bool pt_buf_cat(struct pt_buf *b, ...)
{
    va_list ap;
    va_start(ap, b);
    for (const char *s; (s = va_arg(ap, const char *));)
        pt_buf_puts(b, s);
    va_end(ap);
    return !b->failed;
}

static bool append_number(struct pt_buf *b, uint64_t n, bool negative)
{
    char text[PT_NUM_MAX];
    size_t len = negative ? pt_num_put_i64(text, (int64_t)n) : pt_num_put_u64(text, n);
    return pt_buf_append(b, text, len);
}

/* The conversions that most formats are made of, %s %.Ns %.*s %d %u %c %% and whole numbers of other lengths: libc's printf takes ten times as long.
 * false: there is another one, which libc knows. */
static bool append_format(struct pt_buf *b, const char *fmt, va_list *ap)
{
    for (const char *percent; *(percent = strchrnul(fmt, '%'));) {
        pt_buf_append(b, fmt, (size_t)(percent - fmt));
        fmt = percent + 1;
        bool is_cut = *fmt == '.';
        size_t cut = 0;
        for (fmt += is_cut; is_cut && *fmt >= '0' && *fmt <= '9'; fmt++)
            cut = cut * 10 + (size_t)(*fmt - '0');
        if (is_cut && *fmt == '*') { /* a negative one cuts nothing */
            cut = (size_t)va_arg(*ap, int);
            fmt++;
        }
        bool is_long = *fmt == 'l' || *fmt == 'z'; /* size_t, long and long long are of one size here */
        fmt += is_long + (is_long && *fmt == 'l' && fmt[1] == 'l');
        char c = *fmt++;
        if (c == 's' && !is_long) {
            const char *s = va_arg(*ap, const char *);
            if (!s)
                return false;
            pt_buf_append(b, s, is_cut ? strnlen(s, cut) : strlen(s));
        } else if (is_cut) {
            return false;
        } else if (c == 'd') {
            int64_t n = is_long ? va_arg(*ap, int64_t) : va_arg(*ap, int);
            append_number(b, (uint64_t)n, n < 0);
        } else if (c == 'u') {
            append_number(b, is_long ? va_arg(*ap, uint64_t) : va_arg(*ap, unsigned), false);
        } else if ((c == 'c' || c == '%') && !is_long) {
            pt_buf_putc(b, c == 'c' ? (char)va_arg(*ap, int) : '%');
        } else {
            return false;
        }
    }
    pt_buf_puts(b, fmt);
    return true;
}

bool pt_buf_vprintf(struct pt_buf *b, const char *fmt, va_list all)
{
    va_list ap;
    size_t before = b->len;
    _Static_assert(sizeof(long) == sizeof(int64_t) && sizeof(size_t) == sizeof(int64_t), "one size");
    va_copy(ap, all);
    bool done = append_format(b, fmt, &ap);
    va_end(ap);
    if (done || b->failed) {
        b->len = b->failed ? before : b->len;
        return !b->failed;
    }
    b->len = before;
    size_t room = b->failed || b->room <= b->len ? 0 : b->room - b->len; /* most often it fits */
    if (b->cap && room > b->cap - b->len + 1)
        room = b->cap - b->len + 1;
    va_copy(ap, all);
    int len = vsnprintf(room ? b->data + b->len : NULL, room, fmt, ap);
    va_end(ap);
    if (len >= 0 && (size_t)len < room) {
        b->len += (size_t)len;
        return true;
    }
    if (len < 0 && !b->failed)
        b->failed = PT_EINVAL;
    char *to = len < 0 ? NULL : pt_buf_reserve(b, (size_t)len);
    if (!to)
        return false;
    va_copy(ap, all);
    vsnprintf(to, (size_t)len + 1, fmt, ap); /* reserve left room for the terminator */
    va_end(ap);
    b->len += (size_t)len;
    return true;
}

bool pt_buf_printf(struct pt_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    bool good = pt_buf_vprintf(b, fmt, ap);
    va_end(ap);
    return good;
}

void pt_buf_consume(struct pt_buf *b, size_t len)
{
    if (len >= b->len) {
        b->len = 0;
        return;
    }
    b->len -= len;
    memmove(b->data, b->data + len, b->len);
}

const char *pt_buf_cstr(struct pt_buf *b)
{
    if (!pt_buf_reserve(b, 0))
        return "";
    b->data[b->len] = '\0';
    return b->data;
}

int pt_buf_check(const struct pt_buf *b, const char *what, struct pt_err *err)
{
    if (!b->failed)
        return PT_OK;
    if (b->failed == PT_ELIMIT && b->cap)
        return pt_fail(err, PT_ELIMIT, "%s: over the limit of %zu bytes", what, b->cap);
    return pt_fail(err, b->failed, "%s: %s", what, pt_err_text(b->failed));
}

static int read_all(struct pt_buf *b, int fd, const char *path, struct pt_err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return pt_fail(err, PT_EIO, "stat %s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return pt_fail(err, PT_EINVAL, "%s is not a regular file", path);
    size_t chunk = st.st_size > 0 ? (size_t)st.st_size : 4096; /* files of /proc and /sys say 0 */
    for (ssize_t n = 1; n > 0; chunk = 4096) {
        char past[1];
        size_t left = b->cap ? b->cap - b->len : SIZE_MAX;
        char *to = left ? pt_buf_reserve(b, chunk < left ? chunk : left) : past; /* at the cap: is there one byte more? */
        if (!to)
            return pt_buf_check(b, path, err);
        while ((n = read(fd, to, !left ? 1 : chunk < left ? chunk : left)) < 0 && errno == EINTR) {}
        if (n < 0)
            return pt_fail(err, PT_EIO, "read %s: %s", path, strerror(errno));
        if (n > 0 && !left)
            return pt_fail(err, b->failed = PT_ELIMIT, "%s: over the limit of %zu bytes", path, b->cap);
        b->len += (size_t)n;
    }
    return PT_OK;
}

int pt_buf_read_file(struct pt_buf *b, const char *path, struct pt_err *err)
{
    char real[PATH_MAX];
    int rc = pt_path_resolve(path, real, sizeof real, err);
    if (rc < 0)
        return rc;
    int fd = open(real, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a fifo must not hang us; it is refused below */
    if (fd < 0)
        return pt_fail(err, pt_err_from_errno(errno), "open %s: %s", path, strerror(errno));
    rc = read_all(b, fd, path, err);
    close(fd);
    return rc;
}
