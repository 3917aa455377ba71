/* SPDX-License-Identifier: Apache-2.0
 *
 * http_conn.h: private to net/: one connection of the HTTP server, shared by http_server.c (its life, reading) and http_reply.c (requests as
 * handlers see them, writing).
 */
#ifndef PT_NET_HTTP_CONN_H
#define PT_NET_HTTP_CONN_H

#include "net/http_msg.h"
#include "net/listen.h"
#include "net/stream.h"

/* READING -> HANDLING (a request is complete) -> [STREAMING] -> [FLUSHING] (the socket is full) -> READING or LINGERING.
 * READING -> HANDLING -> LINGERING as well when a request is refused; any -> CLOSED. Changed only by the functions below and in http_server.c. */
enum pt_http_conn_state { PT_CONN_READING, PT_CONN_HANDLING, PT_CONN_STREAMING, PT_CONN_FLUSHING, PT_CONN_LINGERING, PT_CONN_CLOSED };

/* What the deadline stands for while reading. */
enum pt_http_wait { PT_WAIT_IDLE, PT_WAIT_HEAD, PT_WAIT_BODY };

struct pt_http_request {
    void (*on_close)(void *arg);
    void *close_arg;
    void (*on_drain)(void *arg);
    void *drain_arg;
    bool head_only; /* HEAD: the reply has no body */
    bool chunked;   /* this reply is framed in chunks, not by the end of the connection */
};

struct pt_http_conn {
    struct pt_stream stream; /* first member */
    struct pt_http_server *server;
    struct pt_http_conn *prev, *next;
    enum pt_http_conn_state state;
    enum pt_http_wait wait;
    struct pt_timer timer;  /* fires at or before the deadline; moved only when it must be earlier */
    int64_t deadline_ms;    /* 0: none */
    int64_t limit_ms;       /* of a body's arrival, of lingering: begun then */
    uint64_t mark;          /* progress (bytes of body, bytes sent) when the deadline was set */
    struct pt_timer resume; /* goes on with the stash from the loop */
    bool parsing;           /* inside parse(): it goes on by itself */
    bool close_after;       /* the reply is the last one */
    bool send_continue;     /* the client waits for 100 Continue */
    struct pt_http_msg msg;
    struct pt_buf body;
    struct pt_buf stash; /* came while a request was being answered */
    size_t stash_off;
    struct pt_http_request req;
};

struct pt_http_server {
    struct pt_loop *loop;
    struct pt_tls *tls;
    struct pt_listener listener;
    size_t max_header_bytes, max_body_bytes;
    char too_large[64]; /* says max_body_bytes */
    int64_t idle_timeout_ms, header_timeout_ms, body_timeout_ms;
    unsigned max_connections;
    pt_http_handler_fn handler;
    void *arg;
    struct pt_http_conn *conns;
    unsigned conn_count; /* open */
    unsigned live;       /* connections and listener whose memory is still in the loop's hands */
    bool draining, close_replies, destroyed;
    struct pt_timer drain_timer;
    void (*drain_done)(void *arg);
    void *drain_arg;
    struct pt_buf head; /* scratch for reply heads */
    char date[32];      /* of the Date header, for date_s */
    int64_t date_s;
    char *read_buf;
};

static inline struct pt_http_conn *pt_conn_of(const struct pt_http_request *r)
{
    return (struct pt_http_conn *)((char *)(uintptr_t)r - offsetof(struct pt_http_conn, req));
}
/* The reply is complete as far as the handler is concerned: flush it, then the next request or the end. */
void pt_conn_reply_done(struct pt_http_conn *c);
/* Answers what is not a request that a handler could see with {"error": reason}, and ends the connection. */
void pt_conn_refuse(struct pt_http_conn *c, int status, const char *reason);
/* There may be output that the client does not take: watch its progress. */
void pt_conn_watch_output(struct pt_http_conn *c);

#endif
