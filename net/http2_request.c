/* SPDX-License-Identifier: Apache-2.0
 *
 * http2_request.c: requests of HTTP/2 as handlers see them, and their answers.
 */
#include "base/mem.h"
#include "net/http2_stream.h"

#include <stdio.h>

static void resume(struct pt_h2_stream *s)
{
    nghttp2_session_resume_data(s->h2->session, s->id);
    pt_h2_flush(s->h2);
}

/* --- the request interface ------------------------------------------------------------------------------------------------------------ */

static struct pt_str method(const struct pt_http_request *r)
{
    return pt_h2_stream_of(r)->method;
}

static struct pt_str target(const struct pt_http_request *r)
{
    return pt_h2_stream_of(r)->path;
}

static const struct pt_http_header *headers_of(const struct pt_http_request *r, size_t *count)
{
    *count = pt_h2_stream_of(r)->field_count;
    return pt_h2_stream_of(r)->fields;
}

static struct pt_buf *body_of(const struct pt_http_request *r)
{
    return &pt_h2_stream_of(r)->body;
}

static struct pt_http_conn *conn_of(const struct pt_http_request *r)
{
    return pt_h2_stream_of(r)->h2->conn;
}

/* Names in lower case, values without line ends: bytes of handlers stay one header. The text is put into b, which must not move. */
static nghttp2_nv put_field(struct pt_buf *b, struct pt_str name, struct pt_str value)
{
    char *n = b->data + b->len, *v = n + name.len;
    for (size_t i = 0; i < name.len; i++)
        n[i] = (char)(name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] + 32 : name.p[i]);
    for (size_t i = 0; i < value.len; i++)
        v[i] = value.p[i] == '\r' || value.p[i] == '\n' || value.p[i] == 0 ? ' ' : value.p[i];
    b->len += name.len + value.len;
    return (nghttp2_nv){.name = (uint8_t *)n, .value = (uint8_t *)v, .namelen = name.len, .valuelen = value.len};
}

static bool reserve_fields(struct pt_buf *b, const struct pt_http_header *headers, size_t count)
{
    size_t bytes = 256;
    for (size_t i = 0; i < count; i++)
        bytes += headers[i].name.len + headers[i].value.len;
    return pt_buf_reserve(b, bytes) != NULL;
}

enum { MAX_OUT_FIELDS = 32 };

static bool submit_fields(struct pt_h2_stream *s, const nghttp2_nv *nv, size_t n, bool with_body)
{
    nghttp2_data_provider body = {.source.ptr = s, .read_callback = pt_h2_read_out};
    return nghttp2_submit_response(s->h2->session, s->id, nv, n, with_body ? &body : NULL) == 0;
}

/* The head of an answer. length SIZE_MAX: not known or not to be said. */
static bool submit(struct pt_h2_stream *s, int status, const char *content_type, const struct pt_http_header *headers, size_t count, size_t length,
                   bool with_body)
{
    struct pt_http_server *server = s->h2->conn->server;
    struct pt_buf *b = s->due_ms ? &s->late_text : &server->head;
    nghttp2_nv fields[MAX_OUT_FIELDS + 4], *nv = fields;
    size_t n = 0;
    char text[24];
    pt_buf_reset(b);
    if (s->due_ms && !(nv = s->late = pt_calloc(MAX_OUT_FIELDS + 4, sizeof *nv)))
        return false;
    struct pt_str type = pt_str(content_type), date = pt_server_date(server);
    if (count > MAX_OUT_FIELDS || type.len > 128 || !reserve_fields(b, headers, count))
        return false;
    snprintf(text, sizeof text, "%d", status);
    nv[n++] = put_field(b, PT_STR(":status"), pt_str(text));
    if (content_type)
        nv[n++] = put_field(b, PT_STR("content-type"), type);
    nv[n++] = put_field(b, PT_STR("date"), date);
    if (length != SIZE_MAX) {
        snprintf(text, sizeof text, "%zu", length);
        nv[n++] = put_field(b, PT_STR("content-length"), pt_str(text));
    }
    for (size_t i = 0; i < count; i++)
        nv[n++] = put_field(b, headers[i].name, headers[i].value);
    s->late_count = n;
    s->late_body = with_body;
    return s->due_ms || submit_fields(s, nv, n, with_body);
}

static void send_late(struct pt_timer *t)
{
    struct pt_h2 *h = (struct pt_h2 *)((char *)t - offsetof(struct pt_h2, hold));
    int64_t now = pt_h2_now_ms(h), next = INT64_MAX;
    for (struct pt_h2_stream *s = h->streams; s; s = s->next) {
        if (!s->late || s->closed)
            continue;
        if (s->due_ms > now) {
            next = s->due_ms < next ? s->due_ms : next;
            continue;
        }
        s->due_ms = 0;
        if (!submit_fields(s, s->late, s->late_count, s->late_body))
            nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_INTERNAL_ERROR);
        pt_free(pt_steal(s->late));
    }
    if (next != INT64_MAX)
        pt_timer_start(pt_loop_sched(h->conn->server->loop), t, next - now, send_late);
    pt_h2_flush(h);
}

/* The handler still has it: it is told by on_close. */
static void cut_stream(struct pt_h2_stream *s)
{
    nghttp2_submit_rst_stream(s->h2->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_INTERNAL_ERROR);
    pt_h2_settle_soon(s->h2);
}

static void fail_stream(struct pt_h2_stream *s)
{
    s->state = PT_H2_ENDED;
    nghttp2_submit_rst_stream(s->h2->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_INTERNAL_ERROR);
    pt_h2_flush(s->h2);
}

static bool keep_trailers(struct pt_h2_stream *s, const struct pt_http_header *trailers, size_t count)
{
    if (count == 0)
        return true;
    pt_auto_buf b = PT_BUF_INIT(0);
    s->trailers = pt_calloc(count, sizeof *s->trailers);
    if (!s->trailers || !reserve_fields(&b, trailers, count))
        return false;
    for (size_t i = 0; i < count; i++)
        s->trailers[i] = put_field(&b, trailers[i].name, trailers[i].value);
    s->trailer_text = b.data;
    b = (struct pt_buf){0};
    s->trailer_count = count;
    return true;
}

static bool can_reply(const struct pt_h2_stream *s)
{
    return (s->state == PT_H2_HANDLING || s->state == PT_H2_BODY) && !s->closed;
}

/* The handler is done with it. */
static void ended(struct pt_h2_stream *s, int status)
{
    pt_request_ended(&s->req, status, s->method.len && s->path.len);
    s->state = PT_H2_ENDED;
    s->req.on_close = NULL;
    s->body_ops = NULL;
    s->out_end = true;
}

static void take_out(struct pt_h2_stream *s, struct pt_str body, struct pt_buf *own)
{
    if (!own) {
        pt_buf_append(&s->out, body.p, body.len);
        return;
    }
    s->out = *own;
    s->out.cap = 0;
    s->out_off = (size_t)(body.p - own->data);
    s->out.len = s->out_off + body.len;
    *own = (struct pt_buf){0};
}

static void reply(struct pt_http_request *r, int status, const char *content_type, const struct pt_http_header *headers, size_t header_count,
                  struct pt_str body, struct pt_buf *own)
{
    struct pt_h2_stream *s = pt_h2_stream_of(r);
    if (!can_reply(s))
        return;
    bool bodiless = status == 204 || status == 304, with_body = !bodiless && !r->head_only && body.len > 0;
    r->bytes_out = with_body ? body.len : 0;
    ended(s, status);
    if (with_body)
        take_out(s, body, own);
    if (s->out.failed || !submit(s, status, content_type, headers, header_count, with_body || r->head_only ? body.len : SIZE_MAX, with_body))
        fail_stream(s);
    else
        pt_h2_flush(s->h2);
}

static void reply_trailers(struct pt_http_request *r, const char *content_type, const struct pt_http_header *headers, size_t header_count,
                           struct pt_buf *body, const struct pt_http_header *trailers, size_t trailer_count)
{
    struct pt_h2_stream *s = pt_h2_stream_of(r);
    if (!can_reply(s))
        return;
    r->bytes_out = body->len;
    ended(s, 200);
    take_out(s, (struct pt_str){body->data, body->len}, body);
    if (!keep_trailers(s, trailers, trailer_count) || !submit(s, 200, content_type, headers, header_count, SIZE_MAX, true))
        fail_stream(s);
    else
        pt_h2_flush(s->h2);
}

static void begin(struct pt_http_request *r, int status, const char *content_type, const struct pt_http_header *headers, size_t header_count)
{
    struct pt_h2_stream *s = pt_h2_stream_of(r);
    if (!can_reply(s))
        return;
    s->state = PT_H2_STREAMING;
    r->status = status;
    if (!submit(s, status, content_type, headers, header_count, SIZE_MAX, !r->head_only))
        cut_stream(s);
    else
        pt_h2_settle_soon(s->h2); /* unless it goes out with the first bytes of its body */
}

static int chunk(struct pt_http_request *r, struct pt_str data)
{
    struct pt_h2_stream *s = pt_h2_stream_of(r);
    if (s->state != PT_H2_STREAMING || s->closed)
        return PT_ECANCELED;
    if (data.len == 0 || r->head_only)
        return PT_OK;
    if (s->out_off > s->out.len / 2) {
        pt_buf_consume(&s->out, s->out_off);
        s->out_off = 0;
    }
    if (!pt_buf_append(&s->out, data.p, data.len) || s->out.len - s->out_off > PT_H2_OUT_CUT_BYTES) {
        cut_stream(s);
        return PT_ECANCELED;
    }
    r->bytes_out += data.len;
    resume(s);
    s->full = s->out.len - s->out_off > PT_H2_OUT_FULL_BYTES;
    return s->full ? PT_EAGAIN : PT_OK;
}

static void end(struct pt_http_request *r, const struct pt_http_header *trailers, size_t count)
{
    struct pt_h2_stream *s = pt_h2_stream_of(r);
    if (s->state != PT_H2_STREAMING || s->closed)
        return;
    ended(s, r->status);
    if (!keep_trailers(s, trailers, count))
        fail_stream(s);
    else
        resume(s);
}

static void read_body(struct pt_http_request *r, const struct pt_http_body_ops *ops, void *arg)
{
    struct pt_h2_stream *s = pt_h2_stream_of(r);
    s->body_ops = ops;
    s->body_arg = arg;
    s->state = PT_H2_HANDLING;
    pt_request_received(r);
}

static void pause_body(struct pt_http_request *r, bool pause)
{
    struct pt_h2_stream *s = pt_h2_stream_of(r);
    s->paused = pause;
    if (pause || s->held == 0 || s->closed)
        return;
    nghttp2_session_consume_stream(s->h2->session, s->id, s->held);
    s->held = 0;
    pt_h2_flush(s->h2);
}

static void retire(struct pt_http_request *r)
{
    pt_h2_retire(pt_h2_stream_of(r)->h2->conn);
}

static void discourage(struct pt_http_request *r, int retry_after_s)
{
    struct pt_h2_stream *s = pt_h2_stream_of(r);
    struct pt_h2 *h = s->h2;
    int64_t now = pt_h2_now_ms(h), hold_ms = h->hold_until_ms - now;
    bool early = s->id > h->refused_id;
    h->refused_id = nghttp2_session_get_last_proc_stream_id(h->session);
    if (hold_ms <= 0)
        hold_ms = pt_conn_hold_ms(h->conn, early, retry_after_s);
    if (!early || hold_ms <= 0)
        return;
    h->hold_until_ms = s->due_ms = now + hold_ms;
    if (!pt_timer_running(&h->hold))
        pt_timer_start(pt_loop_sched(h->conn->server->loop), &h->hold, hold_ms, send_late);
}

const struct pt_http_request_ops pt_h2_ops = {.method = method,
                                              .target = target,
                                              .headers = headers_of,
                                              .body = body_of,
                                              .conn = conn_of,
                                              .reply = reply,
                                              .reply_trailers = reply_trailers,
                                              .begin = begin,
                                              .chunk = chunk,
                                              .end = end,
                                              .read_body = read_body,
                                              .pause_body = pause_body,
                                              .discourage = discourage,
                                              .retire = retire};
