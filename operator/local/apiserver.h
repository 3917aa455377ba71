/* SPDX-License-Identifier: Apache-2.0
 *
 * apiserver.h: the in-memory API on a unix socket, in the Kubernetes API's own paths, for the command line; plus what a kubelet would answer: pod logs.
 */
#ifndef PT_LOCAL_APISERVER_H
#define PT_LOCAL_APISERVER_H

#include "operator/local/agent.h"

struct pt_apiserver;
/* socket_path: its folder is made (0700) if missing; PT_EEXIST when another `pintle up` answers on it. */
int pt_apiserver_create(struct pt_loop *loop, struct pt_memapi *memapi, struct pt_agent *agent, const char *socket_path, struct pt_apiserver **out,
                        struct pt_err *err);
void pt_apiserver_destroy(struct pt_apiserver *s);

#endif
