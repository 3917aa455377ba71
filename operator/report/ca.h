/* SPDX-License-Identifier: Apache-2.0
 *
 * ca.h: the operator's private certificate authority, kept in one Secret of its own namespace so that pods created by an earlier operator
 * process still trust the next one.
 */
#ifndef PT_REPORT_CA_H
#define PT_REPORT_CA_H

#include "base/buf.h"
#include "net/tls.h"
#include "operator/ctrl/api.h"

#define PT_CA_SECRET "pintle-ca"

/* The PEM texts are valid inside the callback; err is NULL on success. Called exactly once. */
typedef void (*pt_ca_fn)(void *arg, const char *cert_pem, const char *key_pem, const struct pt_err *err);

/* A context for a server that this authority vouches for under these names (comma-separated). The certificate is new with each process, and outlives it:
 * what clients trust is the CA. client_ca_pem: clients must show a certificate signed by it; NULL: they need none. */
int pt_ca_serve(const char *ca_cert_pem, const char *ca_key_pem, const char *names, const char *client_ca_pem, struct pt_tls **out, struct pt_err *err);

/* Reads the Secret `pintle-ca` of namespace ns; makes CA and Secret when it is missing, replaces a CA with less than 30 days left.
 * API failures are tried again with backoff until deadline_ms from now, then err says why. */
int pt_ca_load(struct pt_api *api, struct pt_sched *sched, const char *ns, int64_t deadline_ms, pt_ca_fn fn, void *arg, struct pt_err *err);

#endif
