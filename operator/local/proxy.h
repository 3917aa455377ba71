/* SPDX-License-Identifier: Apache-2.0
 *
 * proxy.h: Services of `pintle up`: for each Service one listener on 127.0.0.1 that spreads requests over the ready pods, round robin, and
 * repeats a request on another pod when one dies under it (inference has no side effects), so that a killed process costs no answer. For gRPC it
 * spreads connections.
 */
#ifndef PT_LOCAL_PROXY_H
#define PT_LOCAL_PROXY_H

#include "operator/local/agent.h"

struct pt_proxy;
struct pt_proxy_options {
    struct pt_loop *loop;
    struct pt_memapi *memapi;
    struct pt_http_client *http;
    struct pt_agent *agent;
};
/* Watches Services at once. A Service gets the port it asks for, or the next free one when that is taken; the log says which. */
int pt_proxy_create(const struct pt_proxy_options *o, struct pt_proxy **out, struct pt_err *err);
void pt_proxy_destroy(struct pt_proxy *p);
/* What a Service's port "http" is asked for. Rates and durations are of the last ten seconds, or the last 1,024 requests; durations are negative when there was none. */
struct pt_proxy_traffic {
    uint64_t answered, failed; /* so far; failed: no pod gave a whole answer */
    unsigned under_way;
    double requests_per_second, p50_ms, p99_ms;
};
void pt_proxy_traffic_of(const struct pt_proxy *p, const char *ns, const char *service, struct pt_proxy_traffic *out);
/* The local port of a Service's port of this name; 0 when there is none. */
int pt_proxy_port(const struct pt_proxy *p, const char *ns, const char *service, const char *port_name);

#endif
