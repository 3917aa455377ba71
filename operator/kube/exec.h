/* SPDX-License-Identifier: Apache-2.0
 *
 * exec.h: credentials from a program, as kubectl's exec plugins give them (client.authentication.k8s.io). Never through a shell, never with a
 * terminal; what it prints is never logged. Loop thread.
 */
#ifndef PT_KUBE_EXEC_H
#define PT_KUBE_EXEC_H

#include "base/buf.h"
#include "net/loop.h"
#include "operator/kube/config.h"

struct pt_credential {
    char *token, *cert_pem, *key_pem; /* owned; NULL: not given */
    int64_t expires_ms;               /* wall clock; 0: it does not say */
};
void pt_credential_finish(struct pt_credential *c);
/* What the program printed. PT_EPARSE/PT_EINVAL say what is wrong, without the credential. */
int pt_credential_decode(struct pt_str text, const char *api_version, struct pt_credential *out, struct pt_err *err);
/* KUBERNETES_EXEC_INFO. */
int pt_kube_exec_info(const struct pt_kube_config *config, struct pt_buf *out, struct pt_err *err);

struct pt_exec_run;
/* Runs config->exec (config must outlive it); done once, later: the credential is its taker's, or why there is none. Ends within a minute. */
int pt_kube_exec_start(struct pt_loop *loop, const struct pt_kube_config *config, void (*done)(void *arg, struct pt_credential *c, const struct pt_err *err),
                       void *arg, struct pt_exec_run **out, struct pt_err *err);
void pt_kube_exec_cancel(struct pt_exec_run *r); /* kills it; no callback; NULL is fine */

#endif
