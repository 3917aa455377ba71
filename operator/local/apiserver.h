/* SPDX-License-Identifier: Apache-2.0
 *
 * apiserver.h: the in-memory API, in the Kubernetes API's own paths: on a unix socket for our own commands, on a port for kubectl; plus what a
 * kubelet would answer: pod logs.
 */
#ifndef PT_LOCAL_APISERVER_H
#define PT_LOCAL_APISERVER_H

#include "operator/local/agent.h"

struct pt_apiserver;
struct pt_apiserver_options {
    struct pt_loop *loop;
    struct pt_memapi *memapi;
    struct pt_agent *agent;
    struct pt_http_client *http;
    const char *socket_path;                           /* its folder is made (0700) if missing */
    int port;                                          /* on the loopback interface; 0: any free one */
    const char *ca_cert_pem, *ca_key_pem, *kubeconfig; /* see front.h */
};
/* PT_EEXIST when another `pintle up` answers on the socket. */
int pt_apiserver_create(const struct pt_apiserver_options *o, struct pt_apiserver **out, struct pt_err *err);
void pt_apiserver_destroy(struct pt_apiserver *s);

#endif
