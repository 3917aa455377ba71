/* SPDX-License-Identifier: Apache-2.0
 *
 * client.h: struct pt_api over a real API server: libcurl's multi interface on our loop, HTTP/2 where the server speaks it, one
 * connection for all watches and writes. Knows no custom resource.
 */
#ifndef PT_KUBE_CLIENT_H
#define PT_KUBE_CLIENT_H

#include "base/metrics.h"
#include "net/loop.h"
#include "operator/ctrl/api.h"
#include "operator/kube/config.h"

struct pt_kube_client;

/* Takes over *config (it is zeroed). metrics may be NULL. */
int pt_kube_client_create(struct pt_loop *loop, struct pt_kube_config *config, struct pt_metrics *metrics, struct pt_kube_client **out, struct pt_err *err);
/* Cancels every call without callbacks. */
void pt_kube_client_destroy(struct pt_kube_client *c);
struct pt_api *pt_kube_client_api(struct pt_kube_client *c);
/* At most qps calls a second, after a burst; 0: no limit, which is how it begins. */
void pt_kube_client_limit(struct pt_kube_client *c, double qps, double burst);
/* Reads credentials from files again now; it happens by itself every ten seconds, after a 401 and when a server's certificate is not believed. Cuts
 * every connection when the CA or the client certificate are others. */
void pt_kube_client_refresh(struct pt_kube_client *c);
/* Cuts every connection, and what has not left by now never leaves: neither what we hold nor what the kernel does. Calls under way fail; cancel first those
 * that are not to be tried again. */
void pt_kube_client_cut(struct pt_kube_client *c);
/* How long a connection with watches may be silent before it is asked for a sign of life, and how long that may take; 0: 30 s, 15 s. */
void pt_kube_client_watchdog(struct pt_kube_client *c, int64_t idle_ms, int64_t answer_ms);

/* The request's path and query, e.g. "/api/v1/namespaces/a/pods?labelSelector=x%3Dy"; seed spreads the timeouts of watches. */
int pt_kube_path(const struct pt_api_request *req, bool watch, uint32_t seed, struct pt_buf *out, struct pt_err *err);
/* Fills r->err, reason and retry_after_ms from the status line and the body of an answer. */
void pt_kube_decode_status(struct pt_api_result *r, const char *what);
/* Decodes one line of a watch stream; PT_EPARSE. object points into line. */
int pt_kube_decode_event(struct pt_str line, struct pt_watch_event *e, struct pt_err *err);

#endif
