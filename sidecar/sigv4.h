/* SPDX-License-Identifier: Apache-2.0
 *
 * sigv4.h: AWS Signature Version 4 (docs.aws.amazon.com, "Signing AWS API requests") as S3 and what speaks its protocol want it: of a request
 * with a whole body or none. Pure.
 */
#ifndef PT_SIDECAR_SIGV4_H
#define PT_SIDECAR_SIGV4_H

#include "base/buf.h"

struct pt_sigv4 {
    struct pt_str access_key, secret_key, session_token; /* token: empty without one */
    struct pt_str region, service;
    struct pt_str host; /* the Host header as it is sent */
    struct pt_str path; /* as in the request line: percent-encoded */
    const char *method;  /* NULL: GET without a payload, PUT with one */
    const char *query;   /* percent-encoded, its members in order; NULL: none */
    const char *payload; /* SHA-256 of the body in hex; NULL: there is none */
    int64_t wall_ms;
};
/* The values of x-amz-date ("20261126T070000Z") and Authorization; the request also carries x-amz-content-sha256: the payload, or PT_SIGV4_EMPTY, and, with a token,
 * x-amz-security-token. */
#define PT_SIGV4_EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
int pt_sigv4_sign(const struct pt_sigv4 *s, char date[20], struct pt_buf *authorization, struct pt_err *err);

/* SHA-256 of s in hex, as the payload has it. */
int pt_sigv4_digest(struct pt_str s, char out[65], struct pt_err *err);

/* Appends s with everything but unreserved characters and, where `slash`, '/' percent-encoded. */
void pt_percent_encode(struct pt_buf *b, struct pt_str s, bool slash);

#endif
