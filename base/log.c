/* SPDX-License-Identifier: Apache-2.0
 *
 * log.c: builds a record in one buffer and writes it at once, so that records of threads do not mix.
 * Text: "2026-01-31T12:00:00.123Z info pintle: model ready model=digits". JSON: {"ts":...,"level":...,"program":...,"msg":...,KEY:VALUE...}.
 */
#include "base/log.h"

#include "base/buf.h"
#include "base/sched.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define VALUE_MAX ((size_t)8192)  /* of one value; longer ones are cut */
#define RECORD_MAX ((size_t)65536)

static const char *const level_names[] = {"debug", "info", "warn", "error", "off"};
static _Atomic(const char *) program_name = "pintle";
static atomic_int threshold = PT_LOG_INFO;
static atomic_int wanted_format = PT_LOG_AUTO;

void pt_log_setup(const char *program, enum pt_log_level level, enum pt_log_format format)
{
    atomic_store(&program_name, program);
    atomic_store(&threshold, (int)level);
    atomic_store(&wanted_format, (int)format);
}

int pt_log_level_parse(const char *s)
{
    for (int i = PT_LOG_DEBUG; i <= PT_LOG_OFF; i++)
        if (strcmp(s, level_names[i]) == 0)
            return i;
    return -1;
}

void pt_log_level_set(enum pt_log_level level)
{
    atomic_store(&threshold, (int)level);
}

enum pt_log_level pt_log_level_get(void)
{
    return (enum pt_log_level)atomic_load_explicit(&threshold, memory_order_relaxed);
}

/* A bare word stays bare; what could be mistaken is quoted as JSON. */
static void put_text(struct pt_buf *b, struct pt_str s, bool bare_blanks)
{
    bool bare = s.len > 0;
    for (size_t i = 0; i < s.len && bare; i++)
        bare = (unsigned char)s.p[i] > ' ' ? s.p[i] != '"' && s.p[i] != '\\' && s.p[i] != 0x7f : bare_blanks && s.p[i] == ' ';
    if (bare && pt_utf8_valid(s))
        pt_buf_append(b, s.p, s.len);
    else
        pt_buf_json_string(b, s);
}

static struct pt_str bounded(const char *s)
{
    return (struct pt_str){s, strnlen(s, VALUE_MAX)};
}

static void put_record(struct pt_buf *b, bool json, enum pt_log_level level, const char *msg, va_list pairs)
{
    char ts[24];
    int64_t now = pt_clock_wall_ms();
    pt_format_time(now, ts);
    pt_buf_printf(b, json ? "{\"ts\":\"%.19s.%03dZ\",\"level\":\"%s\",\"program\":" : "%.19s.%03dZ %s ", ts, (int)(now % 1000), level_names[level]);
    const char *program = atomic_load(&program_name);
    if (json) {
        pt_buf_json_string(b, bounded(program));
        pt_buf_puts(b, ",\"msg\":");
        pt_buf_json_string(b, bounded(msg));
    } else {
        pt_buf_printf(b, "%s: ", program);
        put_text(b, bounded(msg), true);
    }
    for (const char *key; (key = va_arg(pairs, const char *));) {
        const char *value = va_arg(pairs, const char *);
        pt_buf_putc(b, json ? ',' : ' ');
        if (json)
            pt_buf_json_string(b, pt_str(key));
        else
            pt_buf_puts(b, key);
        pt_buf_putc(b, json ? ':' : '=');
        if (!value)
            pt_buf_puts(b, "null");
        else if (json)
            pt_buf_json_string(b, bounded(value));
        else
            put_text(b, bounded(value), false);
    }
    pt_buf_puts(b, json ? "}\n" : "\n");
}

static void write_record(const char *p, size_t len)
{
    while (len) {
        ssize_t n = write(STDERR_FILENO, p, len);
        if (n < 0 && errno != EINTR)
            return; /* there is nowhere to complain to */
        if (n > 0)
            p += n, len -= (size_t)n;
    }
}

void pt_log(enum pt_log_level level, const char *msg, ...)
{
    if (level < pt_log_level_get() || level >= PT_LOG_OFF)
        return;
    int saved_errno = errno;
    int format = atomic_load(&wanted_format);
    bool json = format == PT_LOG_JSON || (format == PT_LOG_AUTO && !isatty(STDERR_FILENO));
    pt_auto_buf b = PT_BUF_INIT(RECORD_MAX);
    va_list pairs;
    va_start(pairs, msg);
    put_record(&b, json, level, msg, pairs);
    va_end(pairs);
    if (!b.failed) {
        write_record(b.data, b.len);
    } else {
        static const char lost[] = "{\"level\":\"error\",\"msg\":\"a log record was lost: out of memory or too long\"}\n";
        write_record(lost, sizeof lost - 1);
    }
    errno = saved_errno;
}

const char *pt_log_int(char buf[24], int64_t v)
{
    snprintf(buf, 24, "%lld", (long long)v);
    return buf;
}
