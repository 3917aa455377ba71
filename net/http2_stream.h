/* SPDX-License-Identifier: Apache-2.0
 *
 * http2_stream.h: private to HTTP/2: its streams, shared by http2.c (the connection: its life, what is sent), http2_input.c (what the client
 * sends) and http2_request.c (requests as handlers see them, and their answers).
 */
#ifndef PT_NET_HTTP2_STREAM_H
#define PT_NET_HTTP2_STREAM_H

#include "net/http_conn.h"

#include <nghttp2/nghttp2.h>

enum {
    PT_H2_OUT_FULL_BYTES = 1 << 20, /* pt_http_chunk() says PT_EAGAIN */
    PT_H2_OUT_CUT_BYTES = 64 << 20, /* and gives the client up */
};

#define PT_H2_BUFFERED_BYTES ((size_t)256 << 20) /* bodies of a connection that are collected at once */

/* HEAD: its head comes. BODY: its body comes. HANDLING: with the handler. STREAMING: begun, not ended. ENDED: answered. */
enum pt_h2_state { PT_H2_HEAD, PT_H2_BODY, PT_H2_HANDLING, PT_H2_STREAMING, PT_H2_ENDED };

struct pt_h2_stream {
    struct pt_http_request req; /* first member */
    struct pt_h2 *h2;
    struct pt_h2_stream *prev, *next;
    int32_t id;
    enum pt_h2_state state;
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
    struct pt_h2_stream *streams;
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

static inline int64_t pt_h2_now_ms(const struct pt_h2 *h)
{
    return pt_now_ms(pt_loop_sched(h->conn->server->loop));
}

static inline struct pt_h2_stream *pt_h2_stream_of(const struct pt_http_request *r)
{
    return (struct pt_h2_stream *)(uintptr_t)r;
}

extern const struct pt_http_request_ops pt_h2_ops;
void pt_h2_input(nghttp2_session_callbacks *cb); /* adds what http2_input.c answers to */
/* Its body does not count among what is collected any more. */
void pt_h2_uncount(struct pt_h2_stream *s);
void pt_h2_free_stream(struct pt_h2_stream *s); /* nobody refers to it */
/* The client may send so much more. */
void pt_h2_give_back(struct pt_h2_stream *s, size_t len);
/* Answers this status instead of asking the handler. */
void pt_h2_refuse(struct pt_h2_stream *s, int status, const char *reason);
void pt_h2_dispatch(struct pt_h2_stream *s);
void pt_h2_flush(struct pt_h2 *h);       /* sends what there is, unless somebody further up will */
void pt_h2_settle_soon(struct pt_h2 *h); /* from the loop: streams that ended are told and freed, the rest is sent */
ssize_t pt_h2_read_out(nghttp2_session *session, int32_t id, uint8_t *buf, size_t room, uint32_t *flags, nghttp2_data_source *source, void *arg);

#endif
