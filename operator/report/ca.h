/* SPDX-License-Identifier: Apache-2.0
 *
 * ca.h: the operator's private certificate authority, kept in one Secret of its own namespace so that pods created by an earlier operator
 * process still trust the next one.
 *
 * It lives as long as the operator: it reads the Secret again now and then, and renews what gets old. Certificates of servers are made anew at a
 * sixth of their life, without a restart. The CA's own is renewed, by whoever works, when two thirds of its life are over, with the same
 * key: what pods were given when they were made goes on verifying, until that expires. So a pod may grow as old as a third of the CA's life.
 */
#ifndef PT_REPORT_CA_H
#define PT_REPORT_CA_H

#include "base/buf.h"
#include "net/tls.h"
#include "operator/ctrl/api.h"

#define PT_CA_SECRET "pintle-ca"
#define PT_CA_LIFETIME_S (3650LL * 86400)
#define PT_CERT_LIFETIME_S (90LL * 86400)

/* The PEM texts are valid inside the callback; err is NULL on success. With an error it is called once and no more. */
typedef void (*pt_ca_fn)(void *arg, const char *cert_pem, const char *key_pem, const struct pt_err *err);

/* A context for a server that this authority vouches for under these names (comma-separated), for so many seconds (0: PT_CERT_LIFETIME_S). client_ca_pem:
 * clients must show a certificate signed by it; NULL: they need none. */
int pt_ca_serve(const char *ca_cert_pem, const char *ca_key_pem, const char *names, int64_t cert_s, const char *client_ca_pem, struct pt_tls **out, struct pt_err *err);

struct pt_ca;
struct pt_ca_options {
    struct pt_api *api;
    struct pt_sched *sched;
    const char *ns;              /* of the Secret; copied */
    int64_t ca_s, cert_s;        /* lifetimes; 0: as above */
    int64_t deadline_ms;         /* for the first answer; then fn is told why there is none */
    bool (*works)(void *arg);    /* renews only then; NULL: always */
    pt_ca_fn fn;                 /* first with what there is, then whenever that changed or servers' certificates are to be made anew */
    void *arg;
};
/* Makes CA and Secret where they are missing or of no use. */
int pt_ca_start(const struct pt_ca_options *o, struct pt_ca **out, struct pt_err *err);
void pt_ca_destroy(struct pt_ca *ca); /* not from fn */

#endif
