/* SPDX-License-Identifier: Apache-2.0
 *
 * rig.h: a server on a loop thread of its own, a handler with a route per behaviour, and blocking sockets for the test's side.
 */
#ifndef PT_TESTS_NET_RIG_H
#define PT_TESTS_NET_RIG_H

#include "net/http_server.h"

#include <pthread.h>
#include <stdatomic.h>
#include <semaphore.h>

struct rig {
    struct pt_loop *loop;
    pthread_t thread;
    struct pt_http_server *server;
    struct pt_http_server_options options; /* set before rig_start(); address, handler and arg have defaults */
    int port;
    sem_t drained;
    atomic_int closed; /* on_close calls */
    atomic_int handled;
    atomic_int canceled;  /* pt_http_chunk() said so */
    unsigned connections; /* at the last rig_connections() */
    atomic_int full;      /* pt_http_chunk() said PT_EAGAIN */
};

void rig_start(struct rig *r);
void rig_stop(struct rig *r);                            /* destroys the server, ends the loop, joins */
void rig_call(struct rig *r, void (*fn)(struct rig *r)); /* on the loop thread; waits */
unsigned rig_connections(struct rig *r);
bool rig_wait(const atomic_int *counter, int at_least); /* up to 5 s */

/* Blocking sockets with a 10 s limit. */
int dial(const struct rig *r);
void send_all(int fd, const char *text);
void send_bytes(int fd, const void *p, size_t len);
/* One response; body appended to *body when not NULL. Status, or 0 when the connection ended before one, or -1 when it broke. Bytes behind it are
 * kept for the next call on the same descriptor (one descriptor at a time). */
int read_response(int fd, struct pt_buf *head, struct pt_buf *body);
bool at_end(int fd); /* the peer has closed; false: it said something, or reset */

#endif
