/* SPDX-License-Identifier: Apache-2.0
 *
 * kubeclient.h: what get, describe, scale, rollout, delete, apply and logs share: one blocking request to a running `pintle up` over its unix socket,
 * or to the cluster of --kubeconfig, in the Kubernetes API's own paths and JSON; the kinds by all their names; kubectl's words for errors.
 * KUBECONFIG is not looked at: what was meant for `pintle up` must not reach a cluster because `pintle up` does not run.
 */
#ifndef PT_CLI_KUBECLIENT_H
#define PT_CLI_KUBECLIENT_H

#include "base/buf.h"

#include <cjson/cJSON.h>

struct pt_cli_kind {
    const char *plural, *singular, *short_name, *kind;
    const char *group, *version; /* "" is core */
};
/* The kind by plural, singular, short name or Kind, with ".group" or not, any case; NULL. */
const struct pt_cli_kind *pt_cli_kind_find(const char *name);
/* "modeldeployment.pintle.dev" or "pod": as kubectl names things in its messages. */
void pt_cli_kind_label(const struct pt_cli_kind *k, char *out, size_t size);
/* The path of one object, or of the collection when name is NULL; all namespaces when ns is NULL. */
void pt_cli_path(const struct pt_cli_kind *k, const char *ns, const char *name, struct pt_buf *out);

/* Options that every one of these commands has. */
struct pt_cli_options {
    const char *ns;                               /* -n, that of --kubeconfig, "default" */
    const char *socket_path;                      /* --socket, else PINTLE_SOCKET, else where `pintle up` puts it */
    bool all_namespaces;                          /* -A */
    const char *output;                           /* -o */
    const char *filename;                         /* -f */
    const char *replicas;                         /* --replicas */
    const char *selector;                         /* -l */
    const char *tail;                             /* --tail */
    const char *to_revision, *revision, *timeout; /* --to-revision, --revision, --timeout */
    const char *kubeconfig, *interval;            /* --kubeconfig, --interval */
    const char *accept;                           /* forms of the next answers; NULL: JSON */
    bool follow, help, watch, previous, once, json; /* --once, --json */
    const char *args[16];    /* what is left: kinds and names */
    size_t arg_count;
};
/* Fills o from argv; flags holds the letters of the options this command takes beside -n --socket --kubeconfig --help: 'A' 'o' 'f' 'r' (--replicas) 'l' 't'
 * (--tail) 'F' (--follow) 'w' (--watch) 'R' (--to-revision) 'V' (--revision) 'T' (--timeout) 'I' (--interval) '1' (--once) 'j' (--json). PT_EINVAL names the argument. */
int pt_cli_parse(int argc, char **argv, const char *flags, struct pt_cli_options *o, struct pt_err *err);

struct pt_cli_response {
    int status;
    struct pt_buf body;
};
/* One request; PT_OK for any HTTP status. PT_EUNAVAILABLE says that no `pintle up` listens on the socket, or no cluster answers. on_data: streams the body instead
 * of collecting it (logs -f, get -w). */
int pt_cli_request(const struct pt_cli_options *o, const char *method, const char *path, const char *content_type, struct pt_str body,
                   int (*on_data)(void *arg, const void *p, size_t len), void *arg, struct pt_cli_response *out, struct pt_err *err);
/* The same, decoded; the caller frees with cJSON_Delete. An HTTP error becomes the error, in kubectl's form
 * ("Error from server (NotFound): ..."). */
int pt_cli_request_json(const struct pt_cli_options *o, const char *method, const char *path, const char *content_type, struct pt_str body, cJSON **out,
                        struct pt_err *err);
/* Turns a non-2xx response into that error. */
int pt_cli_server_error(const struct pt_cli_response *r, struct pt_err *err);

/* Splits "kind/name" or "kind" "name"... of args[0..]; *kind is set, names, count are the names (none = all). PT_EINVAL names what is wrong. */
int pt_cli_resource_args(const struct pt_cli_options *o, const struct pt_cli_kind **kind, const char *names[16], size_t *count, struct pt_err *err);

/* Prints err as kubectl does ("Error from server..." as is, else "error: ...") and returns the exit code: 64 for usage, 1 otherwise. */
int pt_cli_exit(const struct pt_err *err);

#endif
