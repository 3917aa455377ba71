/* SPDX-License-Identifier: Apache-2.0
 *
 * socket.h: where a running `pintle up` listens for the command line.
 */
#ifndef PT_LOCAL_SOCKET_H
#define PT_LOCAL_SOCKET_H

#include "base/err.h"

#include <stddef.h>

/* given, else PINTLE_SOCKET, else $XDG_RUNTIME_DIR/pintle/api.sock, else /tmp/pintle-<uid>/api.sock. PT_ELIMIT when it does not fit. */
int pt_local_socket_path(const char *given, char *out, size_t size, struct pt_err *err);

#endif
