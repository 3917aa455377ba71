/* SPDX-License-Identifier: Apache-2.0
 *
 * http_msg.h: private to net/: the bytes of one HTTP/1.1 request or response after another, without I/O. Server, client and fuzzers use it.
 *
 * Feed it bytes in pieces of any size. It collects the head, calls on_headers once, on_body for each piece of body (chunked framing removed),
 * and stops behind the end of the message, so that the owner decides when the next one begins.
 */
#ifndef PT_NET_HTTP_MSG_H
#define PT_NET_HTTP_MSG_H

#include "base/buf.h"
#include "net/http_server.h" /* struct pt_http_header */

#include <llhttp.h>

#define PT_HTTP_MAX_HEADERS 256

struct pt_http_msg;
struct pt_http_msg_ops {
    /* 0, or what pt_http_msg_fail() returned: parsing stops and feed returns it. */
    int (*on_headers)(struct pt_http_msg *m);
    int (*on_body)(struct pt_http_msg *m, const char *p, size_t len);
};

struct pt_http_span {
    uint32_t name, name_len, value, value_len; /* offsets in head, which may still move */
};

struct pt_http_msg {
    llhttp_t parser;
    const struct pt_http_msg_ops *ops;
    size_t max_header_bytes;
    bool is_response;
    bool no_body;            /* set by the owner before the response to a HEAD request */
    bool begun;              /* a byte of the message was seen */
    bool headers_done, done; /* on_headers was called; the message is complete */
    bool keep_alive;         /* of a complete message: may another follow? */
    size_t target_len;       /* head starts with the request's target */
    size_t head_bytes;       /* names, values, target and trailers, counted against the limit */
    struct pt_buf head;
    struct pt_http_span *spans;
    struct pt_http_header *headers; /* views of head; from on_headers on */
    size_t header_count, header_room;
    int fail_code; /* of err.h; the server answers fail_status */
    int fail_status;
    const char *fail_reason; /* static text */
};

void pt_http_msg_init(struct pt_http_msg *m, bool is_response, const struct pt_http_msg_ops *ops, size_t max_header_bytes);
void pt_http_msg_finish(struct pt_http_msg *m);
void pt_http_msg_reset(struct pt_http_msg *m); /* for the next message; keeps modest memory */
/* *used bytes were taken. 1: the message is complete (the rest belongs to the next). 0: more is needed. A code: malformed or refused; see fail_*. */
int pt_http_msg_feed(struct pt_http_msg *m, const char *p, size_t len, size_t *used);
/* The peer has closed: 1 when that completes a response whose body has no other end, or PT_EIO. */
int pt_http_msg_eof(struct pt_http_msg *m);
/* For the callbacks: records the failure; returns code. */
int pt_http_msg_fail(struct pt_http_msg *m, int code, int status, const char *reason);

struct pt_str pt_http_msg_target(const struct pt_http_msg *m);
struct pt_str pt_http_find_header(const struct pt_http_header *headers, size_t count, struct pt_str name); /* the first; p NULL: absent */

#endif
