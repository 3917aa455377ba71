/* SPDX-License-Identifier: Apache-2.0
 *
 * cluster.h: the API server that a kubeconfig names, for single requests of the HTTP client (which has no HTTP/2 and no proxies: operator/kube is
 * for programs that stay).
 */
#ifndef PT_CLI_CLUSTER_H
#define PT_CLI_CLUSTER_H

#include "net/http_client.h"

struct pt_cluster {
    char *server;        /* https://host:port */
    char *authorization; /* the header, or NULL */
    struct pt_tls *tls;
};
/* Runs the credential program of the kubeconfig, if it has one, on the loop, which must not run already. */
int pt_cluster_open(struct pt_loop *loop, const char *kubeconfig, struct pt_cluster *out, struct pt_err *err);
void pt_cluster_close(struct pt_cluster *c);
/* The namespace of its context. */
int pt_cluster_namespace(const char *kubeconfig, char *out, size_t size, struct pt_err *err);

#endif
