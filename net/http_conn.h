/* SPDX-License-Identifier: Apache-2.0
 *
 * http_conn.h: private to net/: one connection of the HTTP server, shared by http_server.c (its life, reading), http_request.c (requests as
 * handlers see them), http_reply.c (writing HTTP/1.1) and http2.c (everything of HTTP/2).
 */
#ifndef PT_NET_HTTP_CONN_H
#define PT_NET_HTTP_CONN_H

#include "net/http_msg.h"
#include "net/listen.h"
#include "net/stream.h"

#include <netinet/in.h>

/* READING -> HANDLING (a request is complete) -> [STREAMING] -> [FLUSHING] (the socket is full) -> READING or LINGERING.
 * READING -> HANDLING -> LINGERING as well when a request is refused; READING -> HTTP2 by its preface, -> LINGERING; any -> CLOSED. Changed only by
 * the functions below and in http_server.c. */
enum pt_http_conn_state { PT_CONN_READING, PT_CONN_HANDLING, PT_CONN_STREAMING, PT_CONN_FLUSHING, PT_CONN_HTTP2, PT_CONN_LINGERING, PT_CONN_CLOSED };

/* What the deadline stands for while reading. */
enum pt_http_wait { PT_WAIT_IDLE, PT_WAIT_HEAD, PT_WAIT_BODY };

struct pt_http_conn;
/* How a request's version of HTTP reads and writes it; reply, begin, chunk and end as http_server.h says. */
struct pt_http_request_ops {
    struct pt_str (*method)(const struct pt_http_request *r);
    struct pt_str (*target)(const struct pt_http_request *r);
    const struct pt_http_header *(*headers)(const struct pt_http_request *r, size_t *count);
    struct pt_buf *(*body)(const struct pt_http_request *r);
    struct pt_http_conn *(*conn)(const struct pt_http_request *r);
    void (*reply)(struct pt_http_request *r, int status, const char *content_type, const struct pt_http_header *headers, size_t header_count,
                  struct pt_str body, struct pt_buf *own);
    void (*reply_trailers)(struct pt_http_request *r, const char *content_type, const struct pt_http_header *headers, size_t header_count,
                           struct pt_buf *body, const struct pt_http_header *trailers, size_t trailer_count); /* NULL: not in this version */
    void (*begin)(struct pt_http_request *r, int status, const char *content_type, const struct pt_http_header *headers, size_t header_count);
    int (*chunk)(struct pt_http_request *r, struct pt_str data);
    void (*end)(struct pt_http_request *r, const struct pt_http_header *trailers, size_t count);
    void (*read_body)(struct pt_http_request *r, const struct pt_http_body_ops *ops, void *arg); /* NULL: bodies are always collected */
    void (*pause_body)(struct pt_http_request *r, bool pause);
    void (*discourage)(struct pt_http_request *r, int retry_after_s);
    void (*retire)(struct pt_http_request *r);
};
extern const struct pt_http_request_ops pt_http1_ops;

struct pt_http_request {
    const struct pt_http_request_ops *ops;
    void (*on_close)(void *arg);
    void *close_arg;
    void (*on_drain)(void *arg);
    void *drain_arg;
    bool head_only; /* HEAD: the reply has no body */
    bool unwelcome; /* it was not admitted: its body is not read */
    bool chunked;   /* this reply is framed in chunks, not by the end of the connection */
    /* for the server's `ended` */
    bool has_outcome;
    int status, code; /* status: of a reply that has begun */
    const char *reason;
    void *note;
    uint64_t bytes_in, bytes_out;
    int64_t received_ns;
};
/* The request was given to the handler. */
void pt_request_received(struct pt_http_request *r);
/* It is over: tells `ended`, once. */
void pt_request_ended(struct pt_http_request *r, int status, bool has_head);

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
    size_t preface;       /* bytes of HTTP/2's preface seen at the start of the connection */
    bool asked;           /* it has had a request: what looks like a preface is none */
    struct pt_h2 *h2;     /* with PT_CONN_HTTP2 */
    struct pt_timer age;  /* when it is old enough to end, */
    bool old;             /* and whether it is */
    int64_t patience_ms;  /* before this the client should not ask again */
    int64_t hold_ms;      /* how long it was last held back for asking nevertheless; 0: it was not */
    struct pt_timer hold; /* runs meanwhile */
    struct sockaddr_in6 peer; /* if the server has `ended`; family 0: none, or a unix socket */
};

struct pt_http_server {
    struct pt_loop *loop;
    struct pt_tls *tls;
    struct pt_listener listener;
    size_t max_header_bytes, max_body_bytes;
    char too_large[64]; /* says max_body_bytes */
    int64_t idle_timeout_ms, header_timeout_ms, body_timeout_ms;
    int64_t max_age_ms;
    unsigned max_connections, max_streams;
    bool http2;
    pt_http_handler_fn handler, on_head;
    bool (*admits)(void *arg, const struct pt_http_request *r);
    pt_http_ended_fn ended;
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

/* Writes the Date header's value for now into the server's cache and returns it. */
struct pt_str pt_server_date(struct pt_http_server *s);
/* Closes the connection, at once. Its memory goes later. */
void pt_conn_close(struct pt_http_conn *c);
/* Sends what is pending and then closes. */
void pt_conn_linger(struct pt_http_conn *c);
/* A request was refused: how long its client is to be held back. early: it was sent after the last refusal was known, which counts if its time is
 * not over. */
int64_t pt_conn_hold_ms(struct pt_http_conn *c, bool early, int retry_after_s);
void pt_conn_discourage(struct pt_http_conn *c, int retry_after_s); /* HTTP/1.1: the connection is not read from for so long */
void pt_conn_set_deadline(struct pt_http_conn *c, int64_t delay_ms);
/* {"error": reason} as a whole reply. */
void pt_request_refuse(struct pt_http_request *r, int status, const char *reason);

/* --- http2.c: what a connection does once it speaks HTTP/2 -------------------------------------------------------------------------- */
extern const char pt_h2_preface[24];
/* Feeds the preface. PT_ENOMEM. */
int pt_h2_start(struct pt_http_conn *c);
void pt_h2_data(struct pt_http_conn *c, const char *p, size_t len);
void pt_h2_drained(struct pt_http_conn *c); /* what was pending is sent */
void pt_h2_on_deadline(struct pt_http_conn *c, int64_t now_ms);
void pt_h2_retire(struct pt_http_conn *c); /* tells the client to go elsewhere; new streams are still served for a moment */
void pt_h2_shut(struct pt_http_conn *c);   /* no new streams; closes when those there are have ended */
bool pt_h2_is_idle(const struct pt_http_conn *c);
void pt_h2_destroy(struct pt_http_conn *c); /* every request gets its on_close */

#endif
