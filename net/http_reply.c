/* SPDX-License-Identifier: Apache-2.0
 *
 * http_reply.c: a request of HTTP/1.1 behind the interface that all versions share, and its replies.
 *
 * A reply's head is built in a buffer of the server and goes out together with the body in one system call; only what the socket does not
 * take is copied (or, for pt_http_reply_buf, kept where it is).
 */
#include "net/http_conn.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define STREAM_FULL_BYTES ((size_t)1 << 20)
#define STREAM_CUT_BYTES ((size_t)64 << 20)

/* --- the request ------------------------------------------------------------------------------------------------------ */
static struct pt_str method(const struct pt_http_request *r)
{
    return pt_str(llhttp_method_name((llhttp_method_t)pt_conn_of(r)->msg.parser.method));
}

static struct pt_str target(const struct pt_http_request *r)
{
    return pt_http_msg_target(&pt_conn_of(r)->msg);
}

static const struct pt_http_header *headers_of(const struct pt_http_request *r, size_t *count)
{
    const struct pt_http_msg *m = &pt_conn_of(r)->msg;
    *count = m->header_count;
    return m->headers;
}

static struct pt_buf *body_of(const struct pt_http_request *r)
{
    return &pt_conn_of(r)->body;
}

static struct pt_http_conn *conn_of(const struct pt_http_request *r)
{
    return pt_conn_of(r);
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

struct pt_str pt_server_date(struct pt_http_server *s)
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
    return pt_str(s->date);
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
    c->close_after |= !c->msg.done || !c->msg.keep_alive || s->draining || s->close_replies || c->old;
    pt_buf_append(b, "HTTP/1.1 ", 9);
    put_number(b, (uint64_t)status);
    pt_buf_putc(b, ' ');
    pt_buf_puts(b, reason(status));
    pt_buf_append(b, "\r\n", 2);
    if (content_type)
        put_header(b, PT_STR("Content-Type"), pt_str(content_type));
    struct pt_str date = pt_server_date(s);
    pt_buf_append(b, "Date: ", 6);
    pt_buf_append(b, date.p, date.len);
    pt_buf_append(b, "\r\n", 2);
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
    r->bytes_out = with_body ? parts[1].len : 0;
    pt_request_ended(r, status, c->msg.headers_done);
    pt_conn_reply_done(c);
}

void pt_conn_refuse(struct pt_http_conn *c, int status, const char *reason_text)
{
    c->state = PT_CONN_HANDLING;
    c->close_after = true;
    pt_request_refuse(&c->req, status, reason_text);
}

static void begin(struct pt_http_request *r, int status, const char *content_type, const struct pt_http_header *headers, size_t header_count)
{
    struct pt_http_conn *c = pt_conn_of(r);
    if (c->state != PT_CONN_HANDLING)
        return;
    r->chunked = c->msg.parser.http_minor > 0;
    c->close_after |= !r->chunked;
    begin_head(c, status, content_type);
    struct pt_buf *b = &c->server->head;
    for (size_t i = 0; i < header_count; i++)
        put_header(b, headers[i].name, headers[i].value);
    pt_buf_puts(b, r->chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
    c->state = PT_CONN_STREAMING;
    r->status = status;
    if (b->failed)
        pt_stream_fail(&c->stream, ENOMEM, NULL);
    else
        pt_stream_write(&c->stream, &(struct pt_str){b->data, b->len}, 1, NULL);
    pt_conn_watch_output(c);
}

static int chunk(struct pt_http_request *r, struct pt_str data)
{
    struct pt_http_conn *c = pt_conn_of(r);
    if (c->state != PT_CONN_STREAMING || c->stream.broken || c->stream.unwritable)
        return PT_ECANCELED;
    if (data.len == 0 || r->head_only)
        return PT_OK;
    char size[24];
    int n = snprintf(size, sizeof size, "%zx\r\n", data.len);
    struct pt_str parts[3] = {{size, (size_t)n}, data, {"\r\n", 2}};
    r->bytes_out += data.len;
    pt_stream_write(&c->stream, parts + !r->chunked, r->chunked ? 3 : 1, NULL);
    pt_conn_watch_output(c);
    if (pt_stream_pending(&c->stream) > STREAM_CUT_BYTES)
        pt_stream_fail(&c->stream, 0, "the client does not read");
    if (c->stream.broken || c->stream.unwritable)
        return PT_ECANCELED;
    return pt_stream_pending(&c->stream) > STREAM_FULL_BYTES ? PT_EAGAIN : PT_OK;
}

static void end(struct pt_http_request *r, const struct pt_http_header *trailers, size_t count)
{
    struct pt_http_conn *c = pt_conn_of(r);
    if (c->state != PT_CONN_STREAMING)
        return;
    if (r->chunked && !r->head_only) {
        struct pt_buf *b = &c->server->head;
        pt_buf_reset(b);
        pt_buf_append(b, "0\r\n", 3);
        for (size_t i = 0; i < count; i++)
            put_header(b, trailers[i].name, trailers[i].value);
        pt_buf_append(b, "\r\n", 2);
        if (b->failed)
            pt_stream_fail(&c->stream, ENOMEM, NULL);
        else
            pt_stream_write(&c->stream, &(struct pt_str){b->data, b->len}, 1, NULL);
    }
    c->close_after |= c->server->draining || c->server->close_replies || c->old;
    pt_request_ended(r, r->status, true);
    pt_conn_reply_done(c);
}

/* One request at a time: each came after the answer to the one before, or might have waited for it. */
static void discourage(struct pt_http_request *r, int retry_after_s)
{
    pt_conn_discourage(pt_conn_of(r), retry_after_s);
}

static void retire(struct pt_http_request *r)
{
    pt_conn_of(r)->close_after = true;
}

const struct pt_http_request_ops pt_http1_ops = {.method = method,
                                                 .target = target,
                                                 .headers = headers_of,
                                                 .body = body_of,
                                                 .conn = conn_of,
                                                 .reply = reply,
                                                 .begin = begin,
                                                 .chunk = chunk,
                                                 .end = end,
                                                 .discourage = discourage,
                                                 .retire = retire};
