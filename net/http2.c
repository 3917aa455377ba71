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
#include "net/http2_stream.h"

#include <errno.h>
#include <stdio.h>

const char pt_h2_preface[24] = {'P', 'R', 'I',  ' ',  '*',  ' ',  'H', 'T', 'T',  'P',  '/',  '2',
                                '.', '0', '\r', '\n', '\r', '\n', 'S', 'M', '\r', '\n', '\r', '\n'};

enum {
    STREAM_WINDOW = 1 << 20,
    CONN_WINDOW = 16 << 20,
    FLUSH_BYTES = 256 << 10, /* given to the socket at a time */
    LAST_STREAMS_MS = 1000   /* from "go elsewhere" to taking no more: a round trip and more */
};

/* --- deadlines ----------------------------------------------------------------------------------------------------------------- */

/* While streams are open or output waits the connection is looked at now and then; an idle one has its one deadline. */
static void watch(struct pt_h2 *h)
{
    struct pt_http_conn *c = h->conn;
    const struct pt_http_server *s = c->server;
    int64_t least = s->header_timeout_ms < s->body_timeout_ms ? s->header_timeout_ms : s->body_timeout_ms;
    bool busy = h->count > 0 || pt_stream_pending(&c->stream) > 0;
    if (!busy)
        pt_conn_set_deadline(c,
                             s->idle_timeout_ms - (pt_h2_now_ms(h) - h->active_ms) > 0 ? s->idle_timeout_ms - (pt_h2_now_ms(h) - h->active_ms) : 0);
    else if (c->deadline_ms == 0 || c->deadline_ms > pt_h2_now_ms(h) + least / 2)
        pt_conn_set_deadline(c, least / 2 + 1);
}

/* --- streams ------------------------------------------------------------------------------------------------------------------- */

void pt_h2_uncount(struct pt_h2_stream *s)
{
    s->h2->buffered -= s->counted;
    s->counted = 0;
}

void pt_h2_free_stream(struct pt_h2_stream *s)
{
    struct pt_h2 *h = s->h2;
    *(s->prev ? &s->prev->next : &h->streams) = s->next;
    if (s->next)
        s->next->prev = s->prev;
    pt_h2_uncount(s);
    if (--h->count == 0)
        h->active_ms = pt_h2_now_ms(h);
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
static void end_stream(struct pt_h2_stream *s)
{
    void (*gone)(void *) = s->req.on_close;
    if (s->state != PT_H2_ENDED && s->state != PT_H2_HEAD)
        pt_request_ended(&s->req, 499, true);
    s->req.on_close = NULL;
    if (s->state != PT_H2_ENDED && gone)
        gone(s->req.close_arg);
    pt_h2_free_stream(s);
}

/* The part of the windows that these bytes took is given back: of the stream's unless it is paused. */
void pt_h2_give_back(struct pt_h2_stream *s, size_t len)
{
    struct pt_h2 *h = s->h2;
    if (h->buffered > PT_H2_BUFFERED_BYTES)
        h->window_held += len;
    else
        nghttp2_session_consume_connection(h->session, len);
    if (s->paused)
        s->held += len;
    else
        nghttp2_session_consume_stream(h->session, s->id, len);
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

ssize_t pt_h2_read_out(nghttp2_session *session, int32_t id, uint8_t *buf, size_t room, uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct pt_h2_stream *s = source->ptr;
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
    struct pt_h2_stream *s = source->ptr;
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
    const struct pt_h2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
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
void pt_h2_flush(struct pt_h2 *h)
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
        pt_h2_settle_soon(h);
    watch(h);
}

/* --- from the loop only ------------------------------------------------------------------------------------------------------------ */

static void reap(struct pt_h2 *h)
{
    h->any_closed = false;
    for (struct pt_h2_stream *s = h->streams, *next; s; s = next) {
        next = s->next;
        if (s->closed)
            end_stream(s);
    }
}

/* A handler may end its stream, which is not freed before the next flush. */
static void tell_drained(struct pt_h2 *h)
{
    h->any_drained = false;
    for (struct pt_h2_stream *s = h->streams; s; s = s->next) {
        bool tell = s->drained && s->state == PT_H2_STREAMING && !s->closed && s->req.on_drain;
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
    pt_h2_flush(h);
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

void pt_h2_settle_soon(struct pt_h2 *h)
{
    pt_timer_start(pt_loop_sched(h->conn->server->loop), &h->conn->resume, 0, on_settle);
}

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
        pt_h2_input(cb);
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
        pt_h2_flush(h);
        settle(h);
    }
}

void pt_h2_drained(struct pt_http_conn *c)
{
    pt_h2_flush(c->h2);
    settle(c->h2);
}

static bool is_stuck(const struct pt_h2_stream *s, int64_t now)
{
    const struct pt_http_server *server = s->h2->conn->server;
    if (s->state == PT_H2_HEAD)
        return now - s->progress_ms >= server->header_timeout_ms;
    return s->state == PT_H2_BODY && now - s->progress_ms >= server->body_timeout_ms;
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
    for (struct pt_h2_stream *s = h->streams, *next; s; s = next) {
        next = s->next;
        if (!is_stuck(s, now))
            continue;
        if (s->state == PT_H2_HEAD)
            nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
        pt_h2_refuse(s, 408, "the body took too long");
        if (s->state == PT_H2_BODY)
            pt_h2_dispatch(s);
    }
    h->busy = false;
    pt_h2_flush(h);
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
    pt_h2_flush(h);
}

void pt_h2_shut(struct pt_http_conn *c)
{
    struct pt_h2 *h = c->h2;
    if (h->shut)
        return;
    h->retired = h->shut = true;
    nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h->session), NGHTTP2_NO_ERROR, NULL, 0);
    pt_h2_flush(h);
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
