/* SPDX-License-Identifier: Apache-2.0
 *
 * resolve.h: private to net/: host names to addresses, on the loop's thread pool.
 */
#ifndef PT_NET_RESOLVE_H
#define PT_NET_RESOLVE_H

#include "net/loop_uv.h"

#include <sys/socket.h>

#define PT_RESOLVE_MAX 8

struct pt_address {
    struct sockaddr_storage a;
    socklen_t len;
};

/* An IPv4 or IPv6 address as text, or a unix socket's path (port -1): no waiting. False when it is a name. */
bool pt_address_parse(const char *host, int port, struct pt_address *out);
void pt_address_format(const struct pt_address *a, char out[128]);

struct pt_resolve;
/* In the system's order of preference; count 0: err says why. Called on the loop, never inside the start. */
typedef void (*pt_resolve_fn)(void *arg, const struct pt_address *list, size_t count, const struct pt_err *err);
int pt_resolve_start(struct pt_loop *l, const char *host, int port, pt_resolve_fn fn, void *arg, struct pt_resolve **out, struct pt_err *err);
void pt_resolve_cancel(struct pt_resolve *r); /* no callback afterwards; NULL is fine */

#endif
