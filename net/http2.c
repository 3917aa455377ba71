/* SPDX-License-Identifier: Apache-2.0
 *
 * http2.c: a connection that speaks HTTP/2 (nghttp2): its streams are requests behind the same interface as those of HTTP/1.1.
 *
 * Bytes go into nghttp2, whose callbacks collect head and body of each stream and hand complete requests to the handler; answers wait in the
 * stream until flow control and the socket take them. nghttp2 must not be called from its own callbacks, so whatever is to be sent goes out by
 * flush(): after the bytes of a read were processed, or at once when an answer comes from elsewhere. What follows from sending and calls
 * handlers back (streams that ended, streams that have room again) or ends the connection is done by settle(), which runs from the loop only.
 *
 * Flow control: the connection's window is given back as bytes come unless too much is buffered, a stream's as its reader takes them; so a
 * paused stream holds up nobody else. Limits: header bytes, body bytes, streams, time without progress; resets and settings by nghttp2.
 */
#include "base/log.h"
#include "base/mem.h"
#include "net/http_conn.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>

const char pt_h2_preface[24] = {'P', 'R', 'I',  ' ',  '*',  ' ',  'H', 'T', 'T',  'P',  '/',  '2',
                                '.', '0', '\r', '\n', '\r', '\n', 'S', 'M', '\r', '\n', '\r', '\n'};

enum {
    STREAM_WINDOW = 1 << 20,
    CONN_WINDOW = 16 << 20,
    FLUSH_BYTES = 256 << 10,  /* given to the socket at a time */
    OUT_FULL_BYTES = 1 << 20, /* pt_http_chunk() says PT_EAGAIN */
    OUT_CUT_BYTES = 64 << 20, /* and gives the client up */
    MAX_FIELDS = 128,
    LAST_STREAMS_MS = 1000 /* from "go elsewhere" to taking no more: a round trip and more */
};
#define BUFFERED_BYTES ((size_t)256 << 20) /* bodies of a connection that are collected at once */

/* HEAD: its head comes. BODY: its body comes. HANDLING: with the handler. STREAMING: begun, not ended. ENDED: answered. */
enum state { HEAD, BODY, HANDLING, STREAMING, ENDED };

struct stream {
    struct pt_http_request req; /* first member */
    struct pt_h2 *h2;
    struct stream *prev, *next;
    int32_t id;
    enum state state;
    bool received; /* the client has sent all */
    bool paused;
    bool full, drained; /* PT_EAGAIN was said; and all of it was sent since */
    bool closed;        /* for nghttp2; its handler is still to be told */
    int refused;        /* status to answer instead of asking the handler */
    const char *refused_reason;
    struct pt_buf head; /* names and values, one after the other */
    struct pt_http_header *fields;
    size_t field_count, header_bytes;
    struct pt_str method, path;
    struct pt_buf body;
    size_t counted; /* of body, in h2->buffered */
    const struct pt_http_body_ops *body_ops;
    void *body_arg;
    size_t held;       /* bytes whose window is held back while paused */
    struct pt_buf out; /* still to be sent, from out_off */
    size_t out_off;
    bool out_end;
    nghttp2_nv *trailers;
    size_t trailer_count;
    char *trailer_text;
    int64_t progress_ms;
    int64_t due_ms;   /* 0, or its answer goes out then: a client that asks too early waits for its refusal; until then it is here: */
    nghttp2_nv *late; /* fields, */
    struct pt_buf late_text;
    size_t late_count;
    bool late_body;
};

struct pt_h2 {
    struct pt_http_conn *conn;
    nghttp2_session *session;
    struct stream *streams;
    unsigned count;
    bool busy; /* inside nghttp2 or flush(): no flush now */
    bool retired, shut;
    int32_t refused_id; /* the newest stream when one was discouraged last: later ones came after it */
    bool any_drained, any_closed;
    size_t buffered, window_held; /* bytes of bodies being collected; of the connection's window not given back */
    struct pt_buf out;            /* frames of one flush */
    int64_t active_ms;            /* the last stream ended, or the beginning */
    uint64_t mark;
    int64_t mark_ms; /* when `mark` bytes had been sent */
    struct pt_timer last_streams;
    struct pt_timer hold;  /* the next late answer is due, */
    int64_t hold_until_ms; /* as are those of streams that are refused until then */
};

static int64_t now_ms(const struct pt_h2 *h)
{
    return pt_now_ms(pt_loop_sched(h->conn->server->loop));
}

static struct stream *stream_of(const struct pt_http_request *r)
{
    return (struct stream *)(uintptr_t)r;
}

static const struct pt_http_request_ops http2_ops;
static void flush(struct pt_h2 *h);
static void settle_soon(struct pt_h2 *h);

/* --- deadlines ----------------------------------------------------------------------------------------------------------------- */

/* While streams are open or output waits the connection is looked at now and then; an idle one has its one deadline. */
static void watch(struct pt_h2 *h)
{
    struct pt_http_conn *c = h->conn;
    const struct pt_http_server *s = c->server;
    int64_t least = s->header_timeout_ms < s->body_timeout_ms ? s->header_timeout_ms : s->body_timeout_ms;
    bool busy = h->count > 0 || pt_stream_pending(&c->stream) > 0;
    if (!busy)
        pt_conn_set_deadline(c, s->idle_timeout_ms - (now_ms(h) - h->active_ms) > 0 ? s->idle_timeout_ms - (now_ms(h) - h->active_ms) : 0);
    else if (c->deadline_ms == 0 || c->deadline_ms > now_ms(h) + least / 2)
        pt_conn_set_deadline(c, least / 2 + 1);
}

/* --- streams ------------------------------------------------------------------------------------------------------------------- */

static void uncount(struct stream *s)
{
    s->h2->buffered -= s->counted;
    s->counted = 0;
}

static void free_stream(struct stream *s)
{
    struct pt_h2 *h = s->h2;
    *(s->prev ? &s->prev->next : &h->streams) = s->next;
    if (s->next)
        s->next->prev = s->prev;
    uncount(s);
    if (--h->count == 0)
        h->active_ms = now_ms(h);
    pt_buf_finish(&s->head);
    pt_buf_finish(&s->body);
    pt_buf_finish(&s->out);
    pt_free(s->fields);
    pt_free(s->trailers);
    pt_free(s->trailer_text);
    pt_free(s->late);
    pt_buf_finish(&s->late_text);
    pt_free(s);
}

/* The client is gone, or it has its whole answer. */
static void end_stream(struct stream *s)
{
    void (*gone)(void *) = s->req.on_close;
    if (s->state != ENDED && s->state != HEAD)
        pt_request_ended(&s->req, 499, true);
    s->req.on_close = NULL;
    if (s->state != ENDED && gone)
        gone(s->req.close_arg);
    free_stream(s);
}

/* The part of the windows that these bytes took is given back: of the stream's unless it is paused. */
static void give_back(struct stream *s, size_t len)
{
    struct pt_h2 *h = s->h2;
    if (h->buffered > BUFFERED_BYTES)
        h->window_held += len;
    else
        nghttp2_session_consume_connection(h->session, len);
    if (s->paused)
        s->held += len;
    else
        nghttp2_session_consume_stream(h->session, s->id, len);
}

static void refuse(struct stream *s, int status, const char *reason)
{
    if (!s->refused) {
        s->refused = status;
        s->refused_reason = reason;
    }
}

/* The head is complete: make its parts addressable. */
static bool settle_head(struct stream *s)
{
    struct pt_str *place[] = {&s->method, &s->path};
    static const char *const names[] = {":method", ":path"};
    size_t kept = 0;
    for (size_t i = 0; i < s->field_count; i++) {
        struct pt_http_header *f = &s->fields[i];
        f->name.p = s->head.data + (uintptr_t)f->name.p;
        f->value.p = s->head.data + (uintptr_t)f->value.p;
        bool pseudo = f->name.len && f->name.p[0] == ':';
        for (size_t k = 0; pseudo && k < 2; k++)
            if (pt_str_eq(f->name, pt_str(names[k])))
                *place[k] = f->value;
        if (pt_str_eq(f->name, PT_STR(":authority")))
            f->name = PT_STR("host");
        else if (pseudo)
            continue;
        s->fields[kept++] = *f;
    }
    s->field_count = kept;
    return s->method.len && s->path.len;
}

static void dispatch(struct stream *s)
{
    struct pt_http_server *server = s->h2->conn->server;
    s->state = HANDLING;
    pt_request_received(&s->req);
    uncount(s); /* the handler's, and bounded by what it takes at once */
    if (s->refused)
        pt_request_refuse(&s->req, s->refused, s->refused_reason);
    else
        server->handler(server->arg, &s->req);
}

static void check_head(struct stream *s)
{
    struct pt_http_server *server = s->h2->conn->server;
    struct pt_str length = pt_http_find_header(s->fields, s->field_count, PT_STR("content-length"));
    int64_t n;
    if (!s->refused && length.p && (pt_parse_i64(length, 0, INT64_MAX, "content-length", &n, NULL) < 0 || (uint64_t)n > server->max_body_bytes))
        refuse(s, 413, server->too_large);
    s->req.head_only = pt_str_eq(s->method, PT_STR("HEAD"));
    s->state = BODY;
    if (!s->refused && server->on_head)
        server->on_head(server->arg, &s->req);
    bool unwelcome = !s->refused && !s->received && !s->body_ops && s->state == BODY && server->admits && !server->admits(server->arg, &s->req);
    if (unwelcome || (s->refused && !s->received))
        dispatch(s); /* its body would only be thrown away */
}

/* --- what the client sends ------------------------------------------------------------------------------------------------------- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct pt_h2 *h = arg;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct stream *s = pt_calloc(1, sizeof *s);
    if (!s)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    s->req.ops = &http2_ops;
    s->h2 = h;
    s->id = frame->hd.stream_id;
    s->next = h->streams;
    if (s->next)
        s->next->prev = s;
    h->streams = s;
    h->count++;
    s->progress_ms = now_ms(h);
    nghttp2_session_set_stream_user_data(session, s->id, s);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len, const uint8_t *value,
                     size_t value_len, uint8_t flags, void *arg)
{
    struct pt_h2 *h = arg;
    struct stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    (void)flags;
    if (!s || s->refused)
        return 0;
    s->header_bytes += name_len + value_len;
    if (s->header_bytes > h->conn->server->max_header_bytes || s->field_count == MAX_FIELDS)
        refuse(s, 431, "the header is too large");
    if (s->refused || s->state != HEAD) /* trailers are counted, not kept */
        return 0;
    if (!s->fields && !(s->fields = pt_malloc(MAX_FIELDS * sizeof *s->fields)))
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    struct pt_http_header *f = &s->fields[s->field_count]; /* offsets: head may still move */
    *f = (struct pt_http_header){{(const char *)(uintptr_t)s->head.len, name_len}, {(const char *)(uintptr_t)(s->head.len + name_len), value_len}};
    if (!pt_buf_append(&s->head, name, name_len) || !pt_buf_append(&s->head, value, value_len))
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    s->field_count++;
    return 0;
}

static void all_received(struct stream *s)
{
    s->received = true;
    if (s->body_ops)
        s->body_ops->end(s->body_arg);
    else if (s->state == BODY)
        dispatch(s);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct pt_h2 *h = arg;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    struct stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!s)
        return 0;
    s->progress_ms = now_ms(h);
    bool last = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (s->state == HEAD) {
        h->conn->asked = true;
        if (!s->refused && !settle_head(s))
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        s->received = last;
        check_head(s);
    }
    if (last && s->state != ENDED)
        all_received(s);
    if (h->conn->server->close_replies && !h->retired)
        pt_h2_retire(h->conn);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t len, void *arg)
{
    struct pt_h2 *h = arg;
    struct stream *s = nghttp2_session_get_stream_user_data(session, id);
    (void)flags;
    if (!s) {
        nghttp2_session_consume(session, id, len);
        return 0;
    }
    s->progress_ms = now_ms(h);
    s->req.bytes_in += len;
    if (s->body_ops) {
        s->body_ops->data(s->body_arg, (const char *)p, len);
    } else if (s->state == BODY) {
        if (len > h->conn->server->max_body_bytes - s->body.len) {
            refuse(s, 413, h->conn->server->too_large);
            dispatch(s);
        } else if (!pt_buf_append(&s->body, p, len)) {
            refuse(s, 503, "out of memory");
            dispatch(s);
        } else {
            h->buffered += len;
            s->counted += len;
        }
    }
    give_back(s, len);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
    struct stream *s = nghttp2_session_get_stream_user_data(session, id);
    struct pt_h2 *h = arg;
    (void)code;
    if (!s)
        return 0;
    nghttp2_session_set_stream_user_data(session, id, NULL);
    if (s->state == ENDED) { /* nobody refers to it */
        free_stream(s);
    } else {
        s->closed = h->any_closed = true;
        settle_soon(h);
    }
    if (h->window_held && h->buffered <= BUFFERED_BYTES) {
        nghttp2_session_consume_connection(session, h->window_held);
        h->window_held = 0;
    }
    return 0;
}

/* --- what we send ------------------------------------------------------------------------------------------------------------------ */

static ssize_t on_send(nghttp2_session *session, const uint8_t *p, size_t len, int flags, void *arg)
{
    struct pt_h2 *h = arg;
    (void)session;
    (void)flags;
    if (h->out.len >= FLUSH_BYTES)
        return NGHTTP2_ERR_WOULDBLOCK;
    return pt_buf_append(&h->out, p, len) ? (ssize_t)len : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static ssize_t read_out(nghttp2_session *session, int32_t id, uint8_t *buf, size_t room, uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct stream *s = source->ptr;
    size_t left = s->out.len - s->out_off, n = left < room ? left : room;
    (void)buf;
    (void)arg;
    if (n == 0 && !s->out_end)
        return NGHTTP2_ERR_DEFERRED;
    if (n == left && s->out_end) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (s->trailer_count) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            if (nghttp2_submit_trailer(session, id, s->trailers, s->trailer_count) != 0)
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        }
    }
    if (n)
        *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    return (ssize_t)n;
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t len, nghttp2_data_source *source, void *arg)
{
    struct pt_h2 *h = arg;
    struct stream *s = source->ptr;
    (void)session;
    (void)frame; /* never padded: there is no callback that asks for it */
    if (h->out.len >= FLUSH_BYTES)
        return NGHTTP2_ERR_WOULDBLOCK;
    if (!pt_buf_append(&h->out, head, 9) || !pt_buf_append(&h->out, s->out.data + s->out_off, len))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    s->out_off += len;
    if (s->out_off == s->out.len) {
        pt_buf_reset(&s->out);
        s->out_off = 0;
        s->drained = s->full;
        h->any_drained |= s->full;
        s->full = false;
    }
    return 0;
}

/* A whole answer while the client still sends: it may stop, without that being an error. */
static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    (void)arg;
    if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM) || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
        return 0;
    const struct stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (s && !s->received)
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
}

/* After GOAWAY, ours or because of an error of the client, all was said. */
static bool is_over(const struct pt_h2 *h)
{
    return !nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session) && pt_stream_pending(&h->conn->stream) == 0;
}

/* Sends what there is as far as the socket takes it. */
static void flush(struct pt_h2 *h)
{
    struct pt_http_conn *c = h->conn;
    if (h->busy)
        return;
    int rc = 0;
    for (bool more = true; rc == 0 && more && pt_stream_pending(&c->stream) < FLUSH_BYTES;) {
        pt_buf_reset(&h->out);
        h->busy = true;
        rc = nghttp2_session_send(h->session);
        h->busy = false;
        more = h->out.len >= FLUSH_BYTES;
        if (h->out.len)
            pt_stream_write(&c->stream, &(struct pt_str){h->out.data, h->out.len}, 1, NULL);
    }
    if (h->out.room > FLUSH_BYTES / 4)
        pt_buf_finish(&h->out);
    if (rc != 0)
        pt_stream_fail(&c->stream, rc == NGHTTP2_ERR_NOMEM ? ENOMEM : 0, "HTTP/2 failed");
    else if (h->any_drained || is_over(h))
        settle_soon(h);
    watch(h);
}

/* --- from the loop only ------------------------------------------------------------------------------------------------------------ */

static void reap(struct pt_h2 *h)
{
    h->any_closed = false;
    for (struct stream *s = h->streams, *next; s; s = next) {
        next = s->next;
        if (s->closed)
            end_stream(s);
    }
}

/* A handler may end its stream, which is not freed before the next flush. */
static void tell_drained(struct pt_h2 *h)
{
    h->any_drained = false;
    for (struct stream *s = h->streams; s; s = s->next) {
        bool tell = s->drained && s->state == STREAMING && !s->closed && s->req.on_drain;
        s->drained = false;
        if (tell)
            s->req.on_drain(s->req.drain_arg);
    }
}

static void settle(struct pt_h2 *h)
{
    struct pt_http_conn *c = h->conn;
    h->busy = true;
    if (h->any_closed)
        reap(h);
    if (h->any_drained)
        tell_drained(h);
    h->busy = false;
    flush(h);
    if (is_over(h)) {
        pt_h2_destroy(c);
        pt_conn_linger(c);
    }
}

static void on_settle(struct pt_timer *t)
{
    struct pt_http_conn *c = (struct pt_http_conn *)((char *)t - offsetof(struct pt_http_conn, resume));
    if (c->h2)
        settle(c->h2);
}

static void settle_soon(struct pt_h2 *h)
{
    pt_timer_start(pt_loop_sched(h->conn->server->loop), &h->conn->resume, 0, on_settle);
}

static void resume(struct stream *s)
{
    nghttp2_session_resume_data(s->h2->session, s->id);
    flush(s->h2);
}

/* --- the request interface ------------------------------------------------------------------------------------------------------------ */

static struct pt_str method(const struct pt_http_request *r)
{
    return stream_of(r)->method;
}

static struct pt_str target(const struct pt_http_request *r)
{
    return stream_of(r)->path;
}

static const struct pt_http_header *headers_of(const struct pt_http_request *r, size_t *count)
{
    *count = stream_of(r)->field_count;
    return stream_of(r)->fields;
}

static struct pt_buf *body_of(const struct pt_http_request *r)
{
    return &stream_of(r)->body;
}

static struct pt_http_conn *conn_of(const struct pt_http_request *r)
{
    return stream_of(r)->h2->conn;
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

static bool submit_fields(struct stream *s, const nghttp2_nv *nv, size_t n, bool with_body)
{
    nghttp2_data_provider body = {.source.ptr = s, .read_callback = read_out};
    return nghttp2_submit_response(s->h2->session, s->id, nv, n, with_body ? &body : NULL) == 0;
}

/* The head of an answer. length SIZE_MAX: not known or not to be said. */
static bool submit(struct stream *s, int status, const char *content_type, const struct pt_http_header *headers, size_t count, size_t length,
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
    int64_t now = now_ms(h), next = INT64_MAX;
    for (struct stream *s = h->streams; s; s = s->next) {
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
    flush(h);
}

/* The handler still has it: it is told by on_close. */
static void cut_stream(struct stream *s)
{
    nghttp2_submit_rst_stream(s->h2->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_INTERNAL_ERROR);
    settle_soon(s->h2);
}

static void fail_stream(struct stream *s)
{
    s->state = ENDED;
    nghttp2_submit_rst_stream(s->h2->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_INTERNAL_ERROR);
    flush(s->h2);
}

static bool keep_trailers(struct stream *s, const struct pt_http_header *trailers, size_t count)
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

static bool can_reply(const struct stream *s)
{
    return (s->state == HANDLING || s->state == BODY) && !s->closed;
}

/* The handler is done with it. */
static void ended(struct stream *s, int status)
{
    pt_request_ended(&s->req, status, s->method.len && s->path.len);
    s->state = ENDED;
    s->req.on_close = NULL;
    s->body_ops = NULL;
    s->out_end = true;
}

static void take_out(struct stream *s, struct pt_str body, struct pt_buf *own)
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
    struct stream *s = stream_of(r);
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
        flush(s->h2);
}

static void reply_trailers(struct pt_http_request *r, const char *content_type, const struct pt_http_header *headers, size_t header_count,
                           struct pt_buf *body, const struct pt_http_header *trailers, size_t trailer_count)
{
    struct stream *s = stream_of(r);
    if (!can_reply(s))
        return;
    r->bytes_out = body->len;
    ended(s, 200);
    take_out(s, (struct pt_str){body->data, body->len}, body);
    if (!keep_trailers(s, trailers, trailer_count) || !submit(s, 200, content_type, headers, header_count, SIZE_MAX, true))
        fail_stream(s);
    else
        flush(s->h2);
}

static void begin(struct pt_http_request *r, int status, const char *content_type, const struct pt_http_header *headers, size_t header_count)
{
    struct stream *s = stream_of(r);
    if (!can_reply(s))
        return;
    s->state = STREAMING;
    r->status = status;
    if (!submit(s, status, content_type, headers, header_count, SIZE_MAX, !r->head_only))
        cut_stream(s);
    else
        settle_soon(s->h2); /* unless it goes out with the first bytes of its body */
}

static int chunk(struct pt_http_request *r, struct pt_str data)
{
    struct stream *s = stream_of(r);
    if (s->state != STREAMING || s->closed)
        return PT_ECANCELED;
    if (data.len == 0 || r->head_only)
        return PT_OK;
    if (s->out_off > s->out.len / 2) {
        pt_buf_consume(&s->out, s->out_off);
        s->out_off = 0;
    }
    if (!pt_buf_append(&s->out, data.p, data.len) || s->out.len - s->out_off > OUT_CUT_BYTES) {
        cut_stream(s);
        return PT_ECANCELED;
    }
    r->bytes_out += data.len;
    resume(s);
    s->full = s->out.len - s->out_off > OUT_FULL_BYTES;
    return s->full ? PT_EAGAIN : PT_OK;
}

static void end(struct pt_http_request *r, const struct pt_http_header *trailers, size_t count)
{
    struct stream *s = stream_of(r);
    if (s->state != STREAMING || s->closed)
        return;
    ended(s, r->status);
    if (!keep_trailers(s, trailers, count))
        fail_stream(s);
    else
        resume(s);
}

static void read_body(struct pt_http_request *r, const struct pt_http_body_ops *ops, void *arg)
{
    struct stream *s = stream_of(r);
    s->body_ops = ops;
    s->body_arg = arg;
    s->state = HANDLING;
    pt_request_received(r);
}

static void pause_body(struct pt_http_request *r, bool pause)
{
    struct stream *s = stream_of(r);
    s->paused = pause;
    if (pause || s->held == 0 || s->closed)
        return;
    nghttp2_session_consume_stream(s->h2->session, s->id, s->held);
    s->held = 0;
    flush(s->h2);
}

static void discourage(struct pt_http_request *r, int retry_after_s)
{
    struct stream *s = stream_of(r);
    struct pt_h2 *h = s->h2;
    int64_t now = now_ms(h), hold_ms = h->hold_until_ms - now;
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

static const struct pt_http_request_ops http2_ops = {.method = method,
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
                                                     .discourage = discourage};

/* --- the connection ---------------------------------------------------------------------------------------------------------------------- */

static void *mem_malloc(size_t size, void *arg)
{
    (void)arg;
    return pt_malloc(size);
}
static void mem_free(void *p, void *arg)
{
    (void)arg;
    pt_free(p);
}
static void *mem_calloc(size_t n, size_t size, void *arg)
{
    (void)arg;
    return pt_calloc(n, size);
}
static void *mem_realloc(void *p, size_t size, void *arg)
{
    (void)arg;
    return pt_realloc(p, size);
}

static nghttp2_session *create_session(struct pt_h2 *h)
{
    nghttp2_mem mem = {NULL, mem_malloc, mem_free, mem_calloc, mem_realloc};
    nghttp2_session_callbacks *cb = NULL;
    nghttp2_option *o = NULL;
    nghttp2_session *session = NULL;
    if (nghttp2_session_callbacks_new(&cb) == 0 && nghttp2_option_new(&o) == 0) {
        nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
        nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
        nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
        nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
        nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_sent);
        nghttp2_session_callbacks_set_send_callback(cb, on_send);
        nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
        nghttp2_option_set_no_auto_window_update(o, 1);
        nghttp2_option_set_no_closed_streams(o, 1);
        if (nghttp2_session_server_new3(&session, cb, h, o, &mem) != 0)
            session = NULL;
    }
    nghttp2_option_del(o);
    nghttp2_session_callbacks_del(cb);
    return session;
}

int pt_h2_start(struct pt_http_conn *c)
{
    struct pt_h2 *h = pt_calloc(1, sizeof *h);
    if (!h)
        return PT_ENOMEM;
    h->conn = c;
    h->active_ms = pt_now_ms(pt_loop_sched(c->server->loop));
    h->session = create_session(h);
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, c->server->max_streams},
                                               {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
                                               {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)c->server->max_header_bytes}};
    if (!h->session || nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, sizeof settings / sizeof *settings) != 0 ||
        nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0, CONN_WINDOW) != 0) {
        nghttp2_session_del(h->session);
        pt_free(h);
        return PT_ENOMEM;
    }
    c->h2 = h;
    c->state = PT_CONN_HTTP2;
    c->deadline_ms = 0;
    pt_h2_data(c, pt_h2_preface, sizeof pt_h2_preface);
    return PT_OK;
}

void pt_h2_data(struct pt_http_conn *c, const char *p, size_t len)
{
    struct pt_h2 *h = c->h2;
    if (c->state != PT_CONN_HTTP2)
        return;
    h->busy = true;
    ssize_t n = nghttp2_session_mem_recv(h->session, (const uint8_t *)p, len);
    h->busy = false;
    if (n < 0)
        pt_stream_fail(&c->stream, n == NGHTTP2_ERR_NOMEM ? ENOMEM : 0, "malformed HTTP/2");
    else {
        flush(h);
        settle(h);
    }
}

void pt_h2_drained(struct pt_http_conn *c)
{
    flush(c->h2);
    settle(c->h2);
}

static bool is_stuck(const struct stream *s, int64_t now)
{
    const struct pt_http_server *server = s->h2->conn->server;
    if (s->state == HEAD)
        return now - s->progress_ms >= server->header_timeout_ms;
    return s->state == BODY && now - s->progress_ms >= server->body_timeout_ms;
}

void pt_h2_on_deadline(struct pt_http_conn *c, int64_t now)
{
    struct pt_h2 *h = c->h2;
    const struct pt_http_server *server = c->server;
    bool pending = pt_stream_pending(&c->stream) > 0;
    if (!pending || h->mark != c->stream.sent_bytes) {
        h->mark = c->stream.sent_bytes;
        h->mark_ms = now;
    }
    if (pending && now - h->mark_ms >= server->body_timeout_ms) {
        pt_conn_close(c); /* it takes nothing of what it asked for */
        return;
    }
    if (h->count == 0 && !pending && now - h->active_ms >= server->idle_timeout_ms) {
        pt_h2_shut(c);
        return;
    }
    h->busy = true;
    for (struct stream *s = h->streams, *next; s; s = next) {
        next = s->next;
        if (!is_stuck(s, now))
            continue;
        if (s->state == HEAD)
            nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
        refuse(s, 408, "the body took too long");
        if (s->state == BODY)
            dispatch(s);
    }
    h->busy = false;
    flush(h);
    settle(h);
}

static void on_last_streams(struct pt_timer *t)
{
    struct pt_h2 *h = (struct pt_h2 *)((char *)t - offsetof(struct pt_h2, last_streams));
    pt_h2_shut(h->conn);
}

void pt_h2_retire(struct pt_http_conn *c)
{
    struct pt_h2 *h = c->h2;
    if (h->retired)
        return;
    h->retired = true;
    nghttp2_submit_shutdown_notice(h->session);
    pt_timer_start(pt_loop_sched(c->server->loop), &h->last_streams, LAST_STREAMS_MS, on_last_streams);
    flush(h);
}

void pt_h2_shut(struct pt_http_conn *c)
{
    struct pt_h2 *h = c->h2;
    if (h->shut)
        return;
    h->retired = h->shut = true;
    nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h->session), NGHTTP2_NO_ERROR, NULL, 0);
    flush(h);
}

void pt_h2_destroy(struct pt_http_conn *c)
{
    struct pt_h2 *h = pt_steal(c->h2);
    if (!h)
        return;
    pt_timer_stop(pt_loop_sched(c->server->loop), &h->last_streams);
    pt_timer_stop(pt_loop_sched(c->server->loop), &h->hold);
    h->busy = true; /* whatever handlers do now is not sent */
    while (h->streams)
        end_stream(h->streams);
    nghttp2_session_del(h->session);
    pt_buf_finish(&h->out);
    pt_free(h);
}
