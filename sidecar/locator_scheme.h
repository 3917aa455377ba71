/* SPDX-License-Identifier: Apache-2.0
 *
 * locator_scheme.h: what locator.c and the schemes share. Within the locator's files only.
 */
#ifndef PT_SIDECAR_LOCATOR_SCHEME_H
#define PT_SIDECAR_LOCATOR_SCHEME_H

#include "base/mem.h"
#include "sidecar/locator.h"

enum { LOCATOR_HEADERS = 6, LOCATOR_REDIRECTS = 5 };

struct pt_locator_scheme {
    const char *prefix;
    int (*check)(const struct pt_locator *l, struct pt_err *err); /* at creation: is the URI well formed? */
    /* Starts, and ends with pt_locator_found() or pt_locator_failed(), now or later. */
    void (*locate)(struct pt_locator *l);
    bool (*again)(struct pt_locator *l, const struct pt_http_response *r); /* NULL: never */
};
extern const struct pt_locator_scheme pt_scheme_http, pt_scheme_https, pt_scheme_s3, pt_scheme_oci;

struct pt_locator {
    struct pt_locator_options o;
    const struct pt_locator_scheme *scheme;
    char *uri, *payload;
    struct pt_timer timer;
    struct pt_http_call *call;
    void (*on_answer)(struct pt_locator *l, const struct pt_http_response *r);
    struct pt_arena mem; /* of one location */
    struct pt_location where;
    struct pt_http_header headers[LOCATOR_HEADERS];
    bool retried;
    /* what a scheme learns and keeps */
    char region[64];     /* s3: the bucket's, as it told us */
    char *authorization; /* oci: header for the registry, owned */
    char *reference;     /* oci: of the manifest to read next; arena */
    uint8_t digest[32];
    unsigned hops;
};

/* In l->mem; NULL, and the location has failed, when out of memory. */
char *pt_locator_printf(struct pt_locator *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool pt_locator_header(struct pt_locator *l, const char *name, const char *value); /* both live in l->mem or for ever */
void pt_locator_found(struct pt_locator *l, const char *url);
void pt_locator_failed(struct pt_locator *l, const struct pt_err *err);
/* A request on the way to the location; on_answer gets whatever complete answer comes, anything else fails the location. body NULL: GET, else POST of
 * a form. */
void pt_locator_call(struct pt_locator *l, const char *url, const struct pt_http_header *headers, size_t count, const char *body,
                     void (*on_answer)(struct pt_locator *l, const struct pt_http_response *r));
/* A credential by name, without blanks around it; "" when there is none. In l->mem. */
const char *pt_locator_credential(struct pt_locator *l, const char *name);
/* A whole file, e.g. a projected token; "" when it cannot be read. In l->mem. */
const char *pt_locator_file(struct pt_locator *l, const char *path);
/* "Basic ..." of the credentials, in l->mem. */
const char *pt_locator_basic(struct pt_locator *l, const char *user, const char *password);

#endif
