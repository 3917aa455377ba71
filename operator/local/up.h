/* SPDX-License-Identifier: Apache-2.0
 *
 * up.h: `pintle up`: the operator without a cluster: in-memory API + operator core + report intake + node agent + Service proxy, in one process.
 */
#ifndef PT_LOCAL_UP_H
#define PT_LOCAL_UP_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>

struct pt_up_options {
    const char *socket_path; /* NULL: pt_local_socket_path() */
    const char *kubeconfig;  /* where to write one; NULL: beside the socket, .kubeconfig instead of .sock */
    int api_port;            /* of the API on the loopback interface; 0: any free one */
    int status_port;         /* of the status page on the loopback interface; 0: any free one */
    const char *state_dir;   /* NULL: a new folder below $XDG_RUNTIME_DIR or /tmp, removed at the end */
    const char *sidecar;     /* NULL: pintle-sidecar beside this program */
    /* Objects to create at the start, JSON. */
    const struct pt_str *objects;
    size_t object_count;
    /* Told once the API answers on socket_path, and at each change of a ModelDeployment's status. */
    void (*on_up)(void *arg, const char *socket_path, const char *kubeconfig, int status_port);
    void (*on_status)(void *arg, const char *ns, const char *name, struct pt_str object, int http_port, int grpc_port);
    void *arg;
};
/* Runs until SIGINT or SIGTERM, then stops the pods (gracefully; a second signal kills them) and returns PT_OK. */
int pt_up_run(const struct pt_up_options *o, struct pt_err *err);

#endif
