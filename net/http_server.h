/* SPDX-License-Identifier: Apache-2.0
 *
 * http_server.h: HTTP/1.1 (llhttp) and HTTP/2 (nghttp2) server over TCP, TLS or a unix socket. Which of the two a client speaks is seen from its
 * first bytes (and over TLS agreed by ALPN), so one port serves both, and gRPC (grpc.h) besides.
 *
 * One handler per server gets each request when its body is complete (the body is bounded; Expect: 100-continue and chunked bodies
 * are handled here) and answers at once or later, from the loop thread, by pt_http_reply(), or by a stream of chunks for
 * watches. Pipelined requests are answered in order, one at a time. A request's memory lives until its reply is complete or the client
 * is gone; in the latter case on_close of the request is called first and no further reply is allowed.
 *
 * Defences: limits on header bytes, body bytes, connections and time (header, body, idle); 413 is sent and the connection lingers so
 * that the client can read it; 431, 408, 400 likewise.
 */
#ifndef PT_NET_HTTP_SERVER_H
#define PT_NET_HTTP_SERVER_H

#include "base/buf.h"
#include "net/loop.h"
#include "net/tls.h"

struct pt_http_server;
struct pt_http_request;

struct pt_http_header {
    struct pt_str name, value;
};

typedef void (*pt_http_handler_fn)(void *arg, struct pt_http_request *req);

/* How a request ended. */
struct pt_http_end {
    int status;                   /* of the answer; 499: the client went away before it was complete */
    int code;                     /* what a protocol on top calls its outcome (pt_http_set_outcome()); -1: none did */
    const char *reason;           /* why it was refused; NULL where nobody said */
    bool has_head;                /* method, path and headers can be read; false: what came was not that much */
    uint64_t bytes_in, bytes_out; /* of the bodies */
    int64_t received_ns;          /* pt_clock_mono_ns() when it was complete, or its head for pt_http_read_body() */
};
typedef void (*pt_http_ended_fn)(void *arg, struct pt_http_request *req, const struct pt_http_end *e);

struct pt_http_server_options {
    const char *address;      /* "0.0.0.0:8080", "[::]:0", "127.0.0.1:8080" or "unix:/path" (mode 0600, stale socket replaced) */
    struct pt_tls *tls;       /* NULL: plain */
    size_t max_header_bytes;  /* 0 = 64 KiB */
    size_t max_body_bytes;    /* 0 = 64 MiB */
    unsigned max_connections; /* 0 = 4096; over it accepting pauses */
    bool http2;               /* take HTTP/2 as well */
    unsigned max_streams;     /* requests at a time of one HTTP/2 connection; 0 = 1024 */
    int64_t max_age_ms;       /* connections end, politely and within a tenth more or less, at this age so that new replicas get their share; 0: never */
    /* 0 = 120 s, 10 s, 60 s. Body: without progress, in either direction; besides, a request's body must come at 1 KB/s after that time. */
    int64_t idle_timeout_ms, header_timeout_ms, body_timeout_ms;
    pt_http_handler_fn handler;
    /* HTTP/2 only, optional: a request's head is complete. It may call pt_http_read_body(), and the request is then never given to handler. */
    pt_http_handler_fn on_head;
    /* Optional, asked of each request that has a body when its head is complete. False: it is given to handler at once, which refuses it, and its
     * body is thrown away instead of collected; nobody is told to go on sending it. */
    bool (*admits)(void *arg, const struct pt_http_request *r);
    pt_http_ended_fn ended; /* optional: told of each request once, inside the call that answers it or when its client is gone; before on_close */
    void *arg;
};
int pt_http_server_start(struct pt_loop *l, const struct pt_http_server_options *o, struct pt_http_server **out, struct pt_err *err);
int pt_http_server_port(const struct pt_http_server *s); /* bound TCP port; 0 for unix */
/* Drain: stop accepting, close idle connections, answer what is under way with Connection: close; then done(arg) once no connection is
 * left or after timeout_ms (the rest is cut). */
void pt_http_server_drain(struct pt_http_server *s, int64_t timeout_ms, void (*done)(void *arg), void *arg);
/* Only the half: from now on each answer says Connection: close but accepting goes on (used while endpoints still point here). */
void pt_http_server_close_after_reply(struct pt_http_server *s);
void pt_http_server_destroy(struct pt_http_server *s); /* cuts everything; frees from the loop's close callbacks */
/* For connections accepted from now on; the server was started with one. */
void pt_http_server_set_tls(struct pt_http_server *s, struct pt_tls *tls);
unsigned pt_http_server_connections(const struct pt_http_server *s);

/* --- the request: valid until replied or closed -------------------------------------------------------------------------- */
struct pt_str pt_http_method(const struct pt_http_request *r);
struct pt_str pt_http_path(const struct pt_http_request *r);     /* percent-decoded is the caller's business; without query */
struct pt_str pt_http_query(const struct pt_http_request *r);    /* without '?' */
struct pt_str pt_http_body(const struct pt_http_request *r);
/* Moves the body's memory into out, which is overwritten: for work that may outlive the request. pt_http_body() is empty afterwards. */
void pt_http_take_body(struct pt_http_request *r, struct pt_buf *out);
struct pt_str pt_http_header(const struct pt_http_request *r, const char *name); /* case-insensitive; p == NULL when absent */
/* Parameter of the query string, percent-decoded into buf; NULL when absent or too long. */
const char *pt_http_query_param(const struct pt_http_request *r, const char *name, char *buf, size_t size);
/* Called once if the client goes away before the reply is complete. */
void pt_http_on_close(struct pt_http_request *r, void (*fn)(void *arg), void *arg);
struct pt_http_server *pt_http_request_server(const struct pt_http_request *r);
/* All headers, in order. */
size_t pt_http_headers(const struct pt_http_request *r, const struct pt_http_header **out);
/* "192.0.2.1:4711", "[2001:db8::1]:4711", IPv4 as such also on IPv6 sockets; "" unless the server has `ended`, and for unix sockets. */
void pt_http_peer(const struct pt_http_request *r, char out[64]);
/* For `ended`. What the request is about is the caller's business and must live until it ends; reason until the reply. */
void pt_http_set_note(struct pt_http_request *r, void *note);
void *pt_http_note(const struct pt_http_request *r);
void pt_http_set_outcome(struct pt_http_request *r, int code, const char *reason);
/* Its client has shown a certificate, which was verified. */
bool pt_http_has_peer_certificate(const struct pt_http_request *r);
/* The common name of the client's certificate, which was verified; false: it showed none, or its name does not fit. */
bool pt_http_peer_name(const struct pt_http_request *r, char *out, size_t size);

/* --- the reply, exactly once per request ------------------------------------------------------------------------------------ */
/* Before the reply that refuses it because the server is busy: the client is told to come back after so long. If the connection asks again before
 * that and is refused again, it is not read from for 50 ms, then 100, up to 1 s, so that who is refused costs those who are served little. Of HTTP/2,
 * which may carry many clients of a proxy, only the refusals come so much later: how many streams there may be bounds the rest. */
void pt_http_discourage(struct pt_http_request *r, int retry_after_s);
/* Before the reply: it is the connection's last. For what its client had better ask elsewhere. */
void pt_http_retire(struct pt_http_request *r);
/* Headers may be NULL; Content-Length, Date, Connection are added. Body is copied unless empty. */
void pt_http_reply(struct pt_http_request *r, int status, const char *content_type, const struct pt_http_header *headers, size_t header_count, struct pt_str body);
/* The same, taking the buffer's memory (body is empty afterwards): no copy for large tensors. */
void pt_http_reply_buf(struct pt_http_request *r, int status, const char *content_type, const struct pt_http_header *headers, size_t header_count, struct pt_buf *body);
/* {"error": "..."} with the code's HTTP status. */
void pt_http_reply_error(struct pt_http_request *r, const struct pt_err *e);
/* Streaming: begin, any number of chunks, end. pt_http_chunk returns PT_EAGAIN when more than 1 MiB is waiting (the data is still queued),
 * PT_ECANCELED when the client is gone. */
void pt_http_begin(struct pt_http_request *r, int status, const char *content_type);
int pt_http_chunk(struct pt_http_request *r, struct pt_str data);
/* fn is called each time all that was queued has been sent: after PT_EAGAIN, go on there. A client 64 MiB behind is cut off. */
void pt_http_on_drain(struct pt_http_request *r, void (*fn)(void *arg), void *arg);
void pt_http_end(struct pt_http_request *r);
void pt_http_begin_headers(struct pt_http_request *r, int status, const char *content_type, const struct pt_http_header *headers, size_t header_count);
void pt_http_end_trailers(struct pt_http_request *r, const struct pt_http_header *trailers, size_t count);

/* --- bodies as they come (HTTP/2) --------------------------------------------------------------------------------------------- */
struct pt_http_body_ops {
    void (*data)(void *arg, const char *p, size_t len);
    void (*end)(void *arg); /* the client has sent all; not called after its going away */
};
/* A whole reply (status 200) with trailers, taking the body's memory. HTTP/2 only. */
void pt_http_reply_trailers(struct pt_http_request *r, const char *content_type, const struct pt_http_header *headers, size_t header_count,
                            struct pt_buf *body, const struct pt_http_header *trailers, size_t trailer_count);
/* `admits` said no: the body is not there, and the connection may end after the reply. */
bool pt_http_unwelcome(const struct pt_http_request *r);
bool pt_http_is_http2(const struct pt_http_request *r);
/* From on_head only. The body is not collected nor limited. */
void pt_http_read_body(struct pt_http_request *r, const struct pt_http_body_ops *ops, void *arg);
/* Stops and goes on giving the client leave to send; about a window may still come. */
void pt_http_pause_body(struct pt_http_request *r, bool pause);

/* Splits "host:port", "[v6]:port" (host without brackets), "unix:/path" (host is the path, port -1). */
int pt_http_parse_address(const char *address, char *host, size_t host_size, int *port, struct pt_err *err);

#endif
