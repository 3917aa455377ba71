/* SPDX-License-Identifier: Apache-2.0
 *
 * loop_uv.h: private to net/: the libuv side of a loop.
 */
#ifndef PT_NET_LOOP_UV_H
#define PT_NET_LOOP_UV_H

#include "net/loop.h"

#include <uv.h>

uv_loop_t *pt_loop_uv(struct pt_loop *l);
/* The code of err.h for a (negative) libuv error. */
int pt_uv_code(int uv_error);

/* Child processes of a loop: process.c. Embedded in the loop. */
struct pt_processes {
    uv_signal_t sigchld;
    bool watching;
    struct pt_process *first;
};
struct pt_processes *pt_loop_processes(struct pt_loop *l);
void pt_processes_finish(struct pt_processes *ps); /* after the handles are closed */

#endif
