/* SPDX-License-Identifier: Apache-2.0
 *
 * access_log.h: one JSON line per request: what was asked, of which model, how it ended and how long it took. Off unless it is asked for; with a
 * sample of 1 in N everything that failed is written nevertheless. Never has bodies, query strings or credentials in it.
 *
 * A line is put into memory on the loop thread and written by a thread of its own, so that a slow disk or pipe holds up nobody; what does not fit
 * into the memory is dropped and counted.
 */
#ifndef PT_SIDECAR_ACCESS_LOG_H
#define PT_SIDECAR_ACCESS_LOG_H

#include "base/metrics.h"
#include "net/http_server.h"

struct pt_call;
struct pt_access_log;

struct pt_access_options {
    const char *path; /* appended to, and opened again when it was moved away; NULL: standard output */
    int64_t sample;   /* 1: every request; N: one in N of those that went well */
    struct pt_metrics *registry;
};
int pt_access_log_create(const struct pt_access_options *o, struct pt_access_log **out, struct pt_err *err);
/* Writes what is left, for a second at most. NULL is fine. */
void pt_access_log_destroy(struct pt_access_log *a);

/* For pt_http_server_options.ended. The request's note is the call that it became, or NULL. a NULL: nothing. */
void pt_access_log_request(struct pt_access_log *a, const struct pt_http_request *req, const struct pt_http_end *e);
/* A message of a stream that was answered; peer is pt_http_peer()'s of its stream. The call has just ended. */
void pt_access_log_message(struct pt_access_log *a, const struct pt_call *c, const char *path, const char *peer, size_t bytes_in, size_t bytes_out);

#endif
