/* SPDX-License-Identifier: Apache-2.0
 *
 * intake.h: where sidecars report: POST /v1/report over TLS. The sender proves which pod it is with its projected ServiceAccount token, which is
 * checked by TokenReview (and remembered for a while); a report about another pod than its sender's is refused.
 */
#ifndef PT_REPORT_INTAKE_H
#define PT_REPORT_INTAKE_H

#include "base/metrics.h"
#include "net/loop.h"
#include "operator/ctrl/api.h"
#include "operator/model/report.h"

struct pt_intake;

/* What an authenticated report goes to; as pt_operator_report(). */
typedef int (*pt_intake_report_fn)(void *arg, const struct pt_report *report, int64_t *next_ms, struct pt_err *err);

struct pt_intake_options {
    struct pt_loop *loop;
    struct pt_api *api;           /* TokenReview */
    struct pt_metrics *metrics;   /* may be NULL */
    const char *address;          /* "0.0.0.0:8443" */
    const char *ca_cert_pem, *ca_key_pem; /* signs the server's certificate */
    int64_t cert_s;               /* lifetime of that; 0: PT_CERT_LIFETIME_S of ca.h */
    const char *names;            /* DNS names and IP addresses of the certificate, comma-separated */
    pt_intake_report_fn report;
    void *arg;
};
int pt_intake_start(const struct pt_intake_options *o, struct pt_intake **out, struct pt_err *err);
/* Signs its certificate anew, with another CA where that has changed; connections that there are stay. */
int pt_intake_renew(struct pt_intake *i, const char *ca_cert_pem, const char *ca_key_pem, struct pt_err *err);
int pt_intake_port(const struct pt_intake *i);
void pt_intake_destroy(struct pt_intake *i);

/* The UID of the pod whose token an answered TokenReview (JSON) accepts, "" where it accepts none, or none of a pod. */
void pt_intake_read_review(struct pt_str review, char uid[64]);

#endif
