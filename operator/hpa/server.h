/* SPDX-License-Identifier: Apache-2.0
 *
 * server.h: answer.h over TLS, for the API server's aggregation layer alone.
 *
 * The API server proxies what is asked of custom.metrics.k8s.io here, after it has authenticated and authorised the client by the cluster's RBAC. So
 * all that is to be checked is that the API server asks: its client certificate, against the CA and the names that the cluster publishes in ConfigMap
 * kube-system/extension-apiserver-authentication (read again every minute, so that its rotation is followed). Nothing listens before that is known.
 * In the other direction the API server knows us by the caBundle of the APIService, which the working operator keeps equal to its own CA.
 */
#ifndef PT_HPA_SERVER_H
#define PT_HPA_SERVER_H

#include "net/loop.h"
#include "operator/ctrl/api.h"
#include "operator/hpa/answer.h"

struct pt_hpa;
struct pt_hpa_options {
    struct pt_loop *loop;
    struct pt_api *api;
    const char *address, *ns;             /* "0.0.0.0:8444"; the namespace of the Service that the APIService must name; copied */
    const char *ca_cert_pem, *ca_key_pem; /* signs the server's certificate; copied */
    int64_t cert_s;                       /* lifetime of that; 0: PT_CERT_LIFETIME_S of report/ca.h */
    bool (*works)(void *arg);             /* does this operator, or does it stand by? */
    pt_hpa_loads_fn loads;                /* of arg */
    void *arg;
};
int pt_hpa_start(const struct pt_hpa_options *o, struct pt_hpa **out, struct pt_err *err);
/* As pt_intake_renew(); the APIService is told. */
int pt_hpa_renew(struct pt_hpa *h, const char *ca_cert_pem, const char *ca_key_pem, struct pt_err *err);
void pt_hpa_destroy(struct pt_hpa *h);

#endif
