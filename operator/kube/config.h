/* SPDX-License-Identifier: Apache-2.0
 *
 * config.h: where the API server is and who we are: a kubeconfig file, or the service account of the pod we run in.
 */
#ifndef PT_KUBE_CONFIG_H
#define PT_KUBE_CONFIG_H

#include "base/err.h"

#include <stdbool.h>

/* Text fields are owned; NULL when not given. Certificates and keys are PEM text, already read and decoded. Files that rotate are
 * kept as paths and read again while running (pt_kube_config_refresh). */
struct pt_kube_config {
    char *server;          /* https://host:port, no trailing slash */
    char *tls_server_name; /* name to verify instead of the host's */
    char *ca_pem, *ca_file;
    bool insecure;
    char *cert_pem, *key_pem, *cert_file, *key_file;
    char *token, *token_file;
    char *username, *password;
    char *proxy_url;
    bool uncompressed;     /* disable-compression */
    char *impersonate;     /* headers, one a line: "Impersonate-User: x\n" ... */
    struct pt_kube_exec *exec; /* a program that gives credentials; NULL: none */
    char *ns;              /* default namespace of the context or service account; "default" */
};

/* users[].user.exec: client.authentication.k8s.io/v1 or v1beta1. What runs it is exec.h. */
struct pt_kube_exec {
    char *command;          /* absolute, or to be looked up in PATH */
    char *api_version, *install_hint;
    char **args, **env;     /* NULL-terminated; env as "NAME=value" */
    bool cluster_info;      /* provideClusterInfo */
};

/* The current context of kubeconfig files (YAML or JSON), or `context` if not NULL. path: one file, or a list separated by ':' as KUBECONFIG has
 * it: those that are there count as one file, and what an earlier one says wins. Relative paths are below their file's folder. What is not supported
 * (auth-provider plugins, programs that need a terminal) is PT_EUNSUPPORTED by name. */
int pt_kube_config_load(const char *path, const char *context, struct pt_kube_config *out, struct pt_err *err);
/* KUBERNETES_SERVICE_HOST/PORT and the mounted service account; PT_ENOTFOUND outside a cluster. */
int pt_kube_config_in_cluster(struct pt_kube_config *out, struct pt_err *err);
/* Reads rotating files again. What cannot be read stays as it was, and err says why (of the first); the rest is taken. *changed: CA or client certificate differ. */
int pt_kube_config_refresh(struct pt_kube_config *c, bool *changed, struct pt_err *err);
/* Completes what is short for something, and refuses what cannot be meant: for who has filled it in. */
int pt_kube_config_check(struct pt_kube_config *c, struct pt_err *err);
bool pt_kube_config_lacks(const struct pt_kube_config *c); /* the text of a file has never been read */
void pt_kube_config_finish(struct pt_kube_config *c);

#endif
