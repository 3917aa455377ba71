/* SPDX-License-Identifier: Apache-2.0
 *
 * http_reply.c: a request as its handler sees it, and the replies.
 *
 * A reply's head is built in a buffer of the server and goes out together with the body in one system call; only what the socket does not
 * take is copied (or, for pt_http_reply_buf, kept where it is).
 */
#include "net/http_conn.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

#define STREAM_FULL_BYTES ((size_t)1 << 20)
#define STREAM_CUT_BYTES ((size_t)64 << 20)

/* --- the request ------------------------------------------------------------------------------------------------------ */
struct pt_str pt_http_method(const struct pt_http_request *r)
{
    return pt_str(llhttp_method_name((llhttp_method_t)pt_conn_of(r)->msg.parser.method));
}

/* Path and query of the target: origin form "/p?q", absolute form "http://h/p?q", or "*". */
static struct pt_str origin_form(const struct pt_http_request *r)
{
    struct pt_str t = pt_http_msg_target(&pt_conn_of(r)->msg);
    const char *hash = memchr(t.p, '#', t.len);
    if (hash)
        t.len = (size_t)(hash - t.p);
    if (t.len == 0 || t.p[0] == '/' || t.p[0] == '*')
        return t;
    const char *host = memmem(t.p, t.len, "://", 3);
    if (!host)
        return t;
    host += 3;
    size_t left = (size_t)(t.p + t.len - host), n = 0;
    while (n < left && host[n] != '/' && host[n] != '?')
        n++;
    return n < left ? (struct pt_str){host + n, left - n} : PT_STR("/");
}

struct pt_str pt_http_path(const struct pt_http_request *r)
{
    struct pt_str t = origin_form(r);
    const char *q = memchr(t.p, '?', t.len);
    if (q)
        t.len = (size_t)(q - t.p);
    return t.len ? t : PT_STR("/");
}

struct pt_str pt_http_query(const struct pt_http_request *r)
{
    struct pt_str t = origin_form(r);
    const char *q = memchr(t.p, '?', t.len);
    return q ? (struct pt_str){q + 1, (size_t)(t.p + t.len - q - 1)} : (struct pt_str){"", 0};
}

struct pt_str pt_http_body(const struct pt_http_request *r)
{
    const struct pt_http_conn *c = pt_conn_of(r);
    return (struct pt_str){c->body.data, c->body.len};
}

void pt_http_take_body(struct pt_http_request *r, struct pt_buf *out)
{
    struct pt_http_conn *c = pt_conn_of(r);
    *out = c->body;
    c->body = (struct pt_buf){.cap = out->cap};
}

struct pt_str pt_http_header(const struct pt_http_request *r, const char *name)
{
    const struct pt_http_msg *m = &pt_conn_of(r)->msg;
    return pt_http_find_header(m->headers, m->header_count, pt_str(name));
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static const char *decode_query(struct pt_str s, char *buf, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (n + 1 >= size)
            return NULL;
        int hi = s.p[i] == '%' && i + 2 < s.len ? hex(s.p[i + 1]) : -1, lo = hi >= 0 ? hex(s.p[i + 2]) : -1;
        if (lo >= 0) {
            buf[n++] = (char)(hi << 4 | lo);
            i += 2;
        } else {
            buf[n++] = s.p[i] == '+' ? ' ' : s.p[i];
        }
    }
    if (size == 0)
        return NULL;
    buf[n] = 0;
    return buf;
}

const char *pt_http_query_param(const struct pt_http_request *r, const char *name, char *buf, size_t size)
{
    struct pt_str rest = pt_http_query(r), part, key = pt_str(name);
    while (pt_str_split(&rest, '&', &part)) {
        const char *eq = memchr(part.p, '=', part.len);
        size_t key_len = eq ? (size_t)(eq - part.p) : part.len;
        if (key_len == key.len && memcmp(part.p, key.p, key_len) == 0)
            return decode_query(eq ? (struct pt_str){eq + 1, part.len - key_len - 1} : (struct pt_str){"", 0}, buf, size);
    }
    return NULL;
}

void pt_http_on_close(struct pt_http_request *r, void (*fn)(void *arg), void *arg)
{
    r->on_close = fn;
    r->close_arg = arg;
}

void pt_http_on_drain(struct pt_http_request *r, void (*fn)(void *arg), void *arg)
{
    r->on_drain = fn;
    r->drain_arg = arg;
}

struct pt_http_server *pt_http_request_server(const struct pt_http_request *r)
{
    return pt_conn_of(r)->server;
}

/* --- heads ------------------------------------------------------------------------------------------------------------------ */
static const struct {
    int status;
    const char *text;
} reasons[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {499, "Client Closed Request"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

static const char *reason(int status)
{
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "Unknown";
}

static void put_number(struct pt_buf *b, uint64_t n)
{
    char text[20];
    size_t at = sizeof text;
    do
        text[--at] = (char)('0' + n % 10);
    while (n /= 10);
    pt_buf_append(b, text + at, sizeof text - at);
}

static void put_date(struct pt_http_server *s)
{
    int64_t now_s = pt_wall_ms(pt_loop_sched(s->loop)) / 1000;
    if (now_s != s->date_s) {
        static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
        time_t t = (time_t)now_s;
        struct tm tm;
        gmtime_r(&t, &tm);
        snprintf(s->date, sizeof s->date, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT", days + 3 * tm.tm_wday, (unsigned)tm.tm_mday % 100u,
                 months + 3 * tm.tm_mon, (unsigned)(tm.tm_year + 1900) % 10000u, (unsigned)tm.tm_hour % 100u, (unsigned)tm.tm_min % 100u,
                 (unsigned)tm.tm_sec % 100u);
        s->date_s = now_s;
    }
    pt_buf_append(&s->head, "Date: ", 6);
    pt_buf_puts(&s->head, s->date);
    pt_buf_append(&s->head, "\r\n", 2);
}

/* Line ends and NUL in what a handler passes on must not become headers of their own. */
static void put_value(struct pt_buf *b, struct pt_str v)
{
    size_t at = b->len;
    if (!pt_buf_append(b, v.p, v.len))
        return;
    for (size_t i = at; i < b->len; i++)
        if (b->data[i] == '\r' || b->data[i] == '\n' || b->data[i] == 0)
            b->data[i] = ' ';
}

static void put_header(struct pt_buf *b, struct pt_str name, struct pt_str value)
{
    put_value(b, name);
    pt_buf_append(b, ": ", 2);
    put_value(b, value);
    pt_buf_append(b, "\r\n", 2);
}

/* Status line and the headers that every reply has. Decides whether the connection goes on. */
static void begin_head(struct pt_http_conn *c, int status, const char *content_type)
{
    struct pt_http_server *s = c->server;
    struct pt_buf *b = &s->head;
    pt_buf_reset(b);
    c->close_after |= !c->msg.done || !c->msg.keep_alive || s->draining || s->close_replies;
    pt_buf_append(b, "HTTP/1.1 ", 9);
    put_number(b, (uint64_t)status);
    pt_buf_putc(b, ' ');
    pt_buf_puts(b, reason(status));
    pt_buf_append(b, "\r\n", 2);
    if (content_type)
        put_header(b, PT_STR("Content-Type"), pt_str(content_type));
    put_date(s);
    if (c->close_after)
        pt_buf_puts(b, "Connection: close\r\n");
    else if (c->msg.parser.http_minor == 0)
        pt_buf_puts(b, "Connection: keep-alive\r\n");
}

/* --- replies ------------------------------------------------------------------------------------------------------------------- */
static void reply(struct pt_http_request *r, int status, const char *content_type, const struct pt_http_header *headers, size_t header_count,
                  struct pt_str body, struct pt_buf *own)
{
    struct pt_http_conn *c = pt_conn_of(r);
    if (c->state != PT_CONN_HANDLING)
        return;
    struct pt_buf *b = &c->server->head;
    begin_head(c, status, content_type);
    for (size_t i = 0; i < header_count; i++)
        put_header(b, headers[i].name, headers[i].value);
    bool bodiless = status == 204 || status == 304, with_body = !bodiless && !r->head_only && body.len > 0;
    if (!bodiless) {
        pt_buf_append(b, "Content-Length: ", 16);
        put_number(b, body.len);
        pt_buf_append(b, "\r\n", 2);
    }
    pt_buf_append(b, "\r\n", 2);
    struct pt_str parts[2] = {{b->data, b->len}, body};
    if (b->failed)
        pt_stream_fail(&c->stream, ENOMEM, NULL);
    else
        pt_stream_write(&c->stream, parts, with_body ? 2 : 1, with_body ? own : NULL);
    pt_conn_reply_done(c);
}

void pt_http_reply(struct pt_http_request *r, int status, const char *content_type, const struct pt_http_header *headers, size_t header_count,
                   struct pt_str body)
{
    reply(r, status, content_type, headers, header_count, body, NULL);
}

void pt_http_reply_buf(struct pt_http_request *r, int status, const char *content_type, const struct pt_http_header *headers, size_t header_count,
                       struct pt_buf *body)
{
    if (body->failed) {
        struct pt_err e;
        pt_buf_check(body, "reply", &e);
        pt_http_reply_error(r, &e);
    } else {
        reply(r, status, content_type, headers, header_count, (struct pt_str){body->data, body->len}, body);
    }
    pt_buf_finish(body);
}

static void reply_text(struct pt_http_request *r, int status, const char *reason_text)
{
    pt_auto_buf body = PT_BUF_INIT(0);
    pt_buf_puts(&body, "{\"error\":");
    pt_buf_json_string(&body, pt_str(reason_text));
    pt_buf_putc(&body, '}');
    struct pt_str text = body.failed ? PT_STR("{\"error\":\"out of memory\"}") : (struct pt_str){body.data, body.len};
    reply(r, status, "application/json", NULL, 0, text, NULL);
}

void pt_http_reply_error(struct pt_http_request *r, const struct pt_err *e)
{
    reply_text(r, pt_err_http(e->code), e->msg);
}

void pt_conn_refuse(struct pt_http_conn *c, int status, const char *reason_text)
{
    c->state = PT_CONN_HANDLING;
    c->close_after = true;
    reply_text(&c->req, status, reason_text);
}

void pt_http_begin(struct pt_http_request *r, int status, const char *content_type)
{
    struct pt_http_conn *c = pt_conn_of(r);
    if (c->state != PT_CONN_HANDLING)
        return;
    r->chunked = c->msg.parser.http_minor > 0;
    c->close_after |= !r->chunked;
    begin_head(c, status, content_type);
    struct pt_buf *b = &c->server->head;
    pt_buf_puts(b, r->chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
    c->state = PT_CONN_STREAMING;
    if (b->failed)
        pt_stream_fail(&c->stream, ENOMEM, NULL);
    else
        pt_stream_write(&c->stream, &(struct pt_str){b->data, b->len}, 1, NULL);
    pt_conn_watch_output(c);
}

int pt_http_chunk(struct pt_http_request *r, struct pt_str data)
{
    struct pt_http_conn *c = pt_conn_of(r);
    if (c->state != PT_CONN_STREAMING || c->stream.broken || c->stream.unwritable)
        return PT_ECANCELED;
    if (data.len == 0 || r->head_only)
        return PT_OK;
    char size[24];
    int n = snprintf(size, sizeof size, "%zx\r\n", data.len);
    struct pt_str parts[3] = {{size, (size_t)n}, data, {"\r\n", 2}};
    pt_stream_write(&c->stream, parts + !r->chunked, r->chunked ? 3 : 1, NULL);
    pt_conn_watch_output(c);
    if (pt_stream_pending(&c->stream) > STREAM_CUT_BYTES)
        pt_stream_fail(&c->stream, 0, "the client does not read");
    if (c->stream.broken || c->stream.unwritable)
        return PT_ECANCELED;
    return pt_stream_pending(&c->stream) > STREAM_FULL_BYTES ? PT_EAGAIN : PT_OK;
}

void pt_http_end(struct pt_http_request *r)
{
    struct pt_http_conn *c = pt_conn_of(r);
    if (c->state != PT_CONN_STREAMING)
        return;
    if (r->chunked && !r->head_only)
        pt_stream_write(&c->stream, &PT_STR("0\r\n\r\n"), 1, NULL);
    c->close_after |= c->server->draining || c->server->close_replies;
    pt_conn_reply_done(c);
}
