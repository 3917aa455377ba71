/* SPDX-License-Identifier: Apache-2.0
 *
 * http_client.h: a small HTTP/1.1 client (llhttp) on the loop for the sidecar's downloads and reports, the local Service proxy and the
 * command line: http, https and unix sockets, kept-alive connections in a bounded pool, deadlines, streaming bodies.
 * Proxies are not supported (proxy variables of the environment are not read) and compressed bodies are not asked for.
 * The Kubernetes client uses libcurl (operator/kube) instead: it needs HTTP/2, proxies and the rest.
 */
#ifndef PT_NET_HTTP_CLIENT_H
#define PT_NET_HTTP_CLIENT_H

#include "base/buf.h"
#include "net/loop.h"
#include "net/tls.h"
#include "net/http_server.h"

struct pt_http_client;
struct pt_http_call;

struct pt_http_client_options {
    struct pt_tls *tls;          /* for https; NULL: made on first use with the system's roots */
    const char *unix_socket;     /* every connection goes there instead of to the URL's host */
    unsigned max_idle;           /* kept-alive connections per origin; 0 = 8 */
};
int pt_http_client_create(struct pt_loop *l, const struct pt_http_client_options *o, struct pt_http_client **out, struct pt_err *err);
void pt_http_client_destroy(struct pt_http_client *c); /* cancels every call without callbacks */

struct pt_http_response {
    int status;
    struct pt_str body;                       /* whole body when no on_data was given */
    const struct pt_http_header *headers;     /* valid in the callback */
    size_t header_count;
};
struct pt_http_call_options {
    const char *method, *url;
    const struct pt_http_header *headers;     /* copied; Content-Length, Connection and the like are refused: the client sets them */
    size_t header_count;
    struct pt_str body;                       /* copied */
    size_t max_body_bytes;                    /* of the response when collected; 0 = 16 MiB */
    int64_t connect_timeout_ms, timeout_ms;   /* 0 = 10 s; timeout: whole call, 0 = none */
    int64_t stall_timeout_ms;                 /* no byte for so long; 0 = 60 s */
    unsigned max_redirects;                   /* 301/302/303/307/308, GET and HEAD only; Authorization is dropped on another origin; https never goes to http */
    /* All called on the loop thread, never inside pt_http_call_start(). */
    int (*on_headers)(void *arg, const struct pt_http_response *r);   /* optional; non-zero cancels the call with PT_ECANCELED */
    int (*on_data)(void *arg, const void *p, size_t len);             /* optional; non-zero cancels */
    /* Always exactly once (unless cancelled by the caller). err is NULL when a complete response arrived, of any status; PT_EUNAVAILABLE when no byte of a
     * response was received (safe to retry elsewhere), PT_EIO when it broke off later, PT_ETIMEDOUT... Messages name URL and reason. */
    void (*on_done)(void *arg, const struct pt_http_response *r, const struct pt_err *err);
    void *arg;
};
int pt_http_call_start(struct pt_http_client *c, const struct pt_http_call_options *o, struct pt_http_call **out, struct pt_err *err);
void pt_http_call_cancel(struct pt_http_call *call); /* no callback afterwards; not after on_done was called */
void pt_http_call_pause(struct pt_http_call *call, bool pause); /* stops and goes on reading the response (what was
                                                                 read already may still come); the stall limit stands still meanwhile */
struct pt_str pt_http_response_header(const struct pt_http_response *r, const char *name);

#endif
