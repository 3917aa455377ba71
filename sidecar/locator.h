/* SPDX-License-Identifier: Apache-2.0
 *
 * locator.h: where the bytes of a model are: from a URI to the one HTTP request that gets them. One table row per scheme (locator.c):
 *
 *     http:// https://  the URL itself
 *     s3://BUCKET/KEY   a signed URL of S3 or of what AWS_ENDPOINT_URL names (locator_s3.c)
 *     oci://REGISTRY/REPOSITORY[:TAG|@DIGEST]  the blob of the model's layer, by way of its manifest (locator_oci.c)
 *
 * Credentials are looked up anew for each attempt, as files of the credentials folder (PT_PATH_CREDENTIALS: the Secret of
 * model.credentialsSecretRef, or PINTLE_CREDENTIALS_DIR), else as variables of the environment; the scheme's file says which. They never
 * appear in messages. Loop thread.
 */
#ifndef PT_SIDECAR_LOCATOR_H
#define PT_SIDECAR_LOCATOR_H

#include "net/http_client.h"

struct pt_locator;

struct pt_location {
    const char *url;
    const struct pt_http_header *headers;
    size_t header_count;
    unsigned max_redirects;
    const uint8_t *digest; /* 32 bytes that the place promises, or NULL */
};
struct pt_locator_options {
    struct pt_loop *loop;
    struct pt_http_client *client; /* outlives the locator */
    const char *uri;               /* copied */
    const char *payload;           /* copied; NULL: to get the bytes; else to PUT those with this SHA-256 in hex there: s3:// only */
    const char *method, *query;    /* of s3:// (sigv4.h), as long as the locator; NULL: as the payload says, and none */
    /* Exactly once per pt_locator_start(), never from inside it; where lives until the next start. */
    void (*done)(void *arg, const struct pt_location *where, const struct pt_err *err);
    void *arg;
};
/* PT_EINVAL names the URI's fault, PT_EUNSUPPORTED a scheme that is not there. */
int pt_locator_check(const char *uri, struct pt_err *err);
/* The same faults, and PT_ENOMEM. */
int pt_locator_create(const struct pt_locator_options *o, struct pt_locator **out, struct pt_err *err);
void pt_locator_start(struct pt_locator *l);
/* The location was answered by a refusal: may a new one do better (another region, a token that ran out)? At most once in a row. */
bool pt_locator_again(struct pt_locator *l, const struct pt_http_response *r);
void pt_locator_destroy(struct pt_locator *l); /* no callback afterwards; NULL is fine */

/* What a refusal's body says, in short: the code and message of S3's XML or a registry's JSON. "" when it is neither. */
void pt_refusal_text(struct pt_str body, char *out, size_t size);

#endif
