/* SPDX-License-Identifier: Apache-2.0
 *
 * listen.h: private to net/: a listening socket on the loop.
 */
#ifndef PT_NET_LISTEN_H
#define PT_NET_LISTEN_H

#include "net/loop_uv.h"

struct pt_listener {
    uv_poll_t poll;
    struct pt_timer retry; /* after accept() ran out of descriptors */
    struct pt_loop *loop;
    int fd; /* -1: not open, or closed */
    int port;
    bool paused, out_of_files;
    char *unix_path;                                   /* removed when closing */
    void (*on_accept)(struct pt_listener *li, int fd); /* non-blocking, close-on-exec; the callee owns fd */
    void (*on_closed)(struct pt_listener *li);
};

/* address as in http_server.h. The callbacks are set by the caller before. */
int pt_listener_open(struct pt_listener *li, struct pt_loop *l, const char *address, struct pt_err *err);
void pt_listener_pause(struct pt_listener *li, bool pause); /* new connections wait in the kernel's queue */
void pt_listener_close(struct pt_listener *li);             /* once, after a successful open; then on_closed from the loop */

#endif
