/* SPDX-License-Identifier: Apache-2.0
 *
 * http2_input.c: what the client of an HTTP/2 connection sends becomes requests: heads and bodies, with their limits.
 */
#include "base/mem.h"
#include "net/http2_stream.h"

enum { MAX_FIELDS = 128 };

void pt_h2_refuse(struct pt_h2_stream *s, int status, const char *reason)
{
    if (!s->refused) {
        s->refused = status;
        s->refused_reason = reason;
    }
}

/* The head is complete: make its parts addressable. */
static bool settle_head(struct pt_h2_stream *s)
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

void pt_h2_dispatch(struct pt_h2_stream *s)
{
    struct pt_http_server *server = s->h2->conn->server;
    s->state = PT_H2_HANDLING;
    pt_request_received(&s->req);
    pt_h2_uncount(s); /* the handler's, and bounded by what it takes at once */
    if (s->refused)
        pt_request_refuse(&s->req, s->refused, s->refused_reason);
    else
        server->handler(server->arg, &s->req);
}

static void check_head(struct pt_h2_stream *s)
{
    struct pt_http_server *server = s->h2->conn->server;
    struct pt_str length = pt_http_find_header(s->fields, s->field_count, PT_STR("content-length"));
    int64_t n;
    if (!s->refused && length.p && (pt_parse_i64(length, 0, INT64_MAX, "content-length", &n, NULL) < 0 || (uint64_t)n > server->max_body_bytes))
        pt_h2_refuse(s, 413, server->too_large);
    s->req.head_only = pt_str_eq(s->method, PT_STR("HEAD"));
    s->state = PT_H2_BODY;
    if (!s->refused && server->on_head)
        server->on_head(server->arg, &s->req);
    s->req.unwelcome =
        !s->refused && !s->received && !s->body_ops && s->state == PT_H2_BODY && server->admits && !server->admits(server->arg, &s->req);
    if (s->req.unwelcome || (s->refused && !s->received))
        pt_h2_dispatch(s); /* its body would only be thrown away */
}

/* --- what the client sends ------------------------------------------------------------------------------------------------------- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct pt_h2 *h = arg;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct pt_h2_stream *s = pt_calloc(1, sizeof *s);
    if (!s)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    s->req.ops = &pt_h2_ops;
    s->h2 = h;
    s->id = frame->hd.stream_id;
    s->next = h->streams;
    if (s->next)
        s->next->prev = s;
    h->streams = s;
    h->count++;
    s->progress_ms = pt_h2_now_ms(h);
    nghttp2_session_set_stream_user_data(session, s->id, s);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len, const uint8_t *value,
                     size_t value_len, uint8_t flags, void *arg)
{
    struct pt_h2 *h = arg;
    struct pt_h2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    (void)flags;
    if (!s || s->refused)
        return 0;
    s->header_bytes += name_len + value_len;
    if (s->header_bytes > h->conn->server->max_header_bytes || s->field_count == MAX_FIELDS)
        pt_h2_refuse(s, 431, "the header is too large");
    if (s->refused || s->state != PT_H2_HEAD) /* trailers are counted, not kept */
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

static void all_received(struct pt_h2_stream *s)
{
    s->received = true;
    if (s->body_ops)
        s->body_ops->end(s->body_arg);
    else if (s->state == PT_H2_BODY)
        pt_h2_dispatch(s);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct pt_h2 *h = arg;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    struct pt_h2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!s)
        return 0;
    s->progress_ms = pt_h2_now_ms(h);
    bool last = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (s->state == PT_H2_HEAD) {
        h->conn->asked = true;
        if (!s->refused && !settle_head(s))
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        s->received = last;
        check_head(s);
    }
    if (last && s->state != PT_H2_ENDED)
        all_received(s);
    if (h->conn->server->close_replies && !h->retired)
        pt_h2_retire(h->conn);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t len, void *arg)
{
    struct pt_h2 *h = arg;
    struct pt_h2_stream *s = nghttp2_session_get_stream_user_data(session, id);
    (void)flags;
    if (!s) {
        nghttp2_session_consume(session, id, len);
        return 0;
    }
    s->progress_ms = pt_h2_now_ms(h);
    s->req.bytes_in += len;
    if (s->body_ops) {
        s->body_ops->data(s->body_arg, (const char *)p, len);
    } else if (s->state == PT_H2_BODY) {
        if (len > h->conn->server->max_body_bytes - s->body.len) {
            pt_h2_refuse(s, 413, h->conn->server->too_large);
            pt_h2_dispatch(s);
        } else if (!pt_buf_append(&s->body, p, len)) {
            pt_h2_refuse(s, 503, "out of memory");
            pt_h2_dispatch(s);
        } else {
            h->buffered += len;
            s->counted += len;
        }
    }
    pt_h2_give_back(s, len);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
    struct pt_h2_stream *s = nghttp2_session_get_stream_user_data(session, id);
    struct pt_h2 *h = arg;
    (void)code;
    if (!s)
        return 0;
    nghttp2_session_set_stream_user_data(session, id, NULL);
    if (s->state == PT_H2_ENDED) { /* nobody refers to it */
        pt_h2_free_stream(s);
    } else {
        s->closed = h->any_closed = true;
        pt_h2_settle_soon(h);
    }
    if (h->window_held && h->buffered <= PT_H2_BUFFERED_BYTES) {
        nghttp2_session_consume_connection(session, h->window_held);
        h->window_held = 0;
    }
    return 0;
}

void pt_h2_input(nghttp2_session_callbacks *cb)
{
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
}
