/* SPDX-License-Identifier: Apache-2.0
 *
 * relay.h: passes connections on, byte for byte, each to a backend that is picked when it comes.
 *
 * What the bytes mean is not looked at, so that TLS, streams, trailers, deadlines, resets and GOAWAY of HTTP/2 hold from end to end; a side that
 * reads slowly holds up the other after BUFFER_BYTES. A backend that refuses the connection is left for the next pick before a byte of the client was
 * read; once bytes have passed, an end of one side is an end of the other.
 */
#ifndef PT_NET_RELAY_H
#define PT_NET_RELAY_H

#include "net/loop.h"

#include <sys/socket.h>

struct pt_relay;
struct pt_relay_options {
    const char *address; /* as in http_server.h */
    /* The backend of a new connection (again after one refused); false: there is none now, ask again. */
    bool (*pick)(void *arg, struct sockaddr_storage *to);
    void *arg;
    int64_t wait_ms;          /* so long a connection waits for a backend before it is closed; 0: 5 s */
    unsigned max_connections; /* more wait in the kernel's queue; 0: 1024 */
};
int pt_relay_start(struct pt_loop *l, const struct pt_relay_options *o, struct pt_relay **out, struct pt_err *err);
/* Cuts all connections. Accepts NULL. */
void pt_relay_destroy(struct pt_relay *r);
int pt_relay_port(const struct pt_relay *r);
unsigned pt_relay_connections(const struct pt_relay *r);

#endif
