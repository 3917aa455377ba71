/* SPDX-License-Identifier: Apache-2.0
 *
 * url.h: http and https URLs.
 */
#ifndef PT_NET_URL_H
#define PT_NET_URL_H

#include "base/buf.h"

struct pt_url {
    bool https;
    int port;                /* the scheme's own unless given */
    struct pt_str authority; /* host[:port] as written: for the Host header */
    struct pt_str host;      /* without brackets */
    struct pt_str target;    /* path and query, may be empty or start with '?' */
};
/* Views into text. Refuses other schemes, user names and passwords, blanks and bytes beyond ASCII. Messages carry no query (it may hold a
 * signature). */
int pt_url_parse(const char *text, struct pt_url *out, struct pt_err *err);
/* The absolute URL that `reference` (a Location header) means at `base`; appended to out. */
void pt_url_resolve(const struct pt_url *base, struct pt_str reference, struct pt_buf *out);
bool pt_url_same_origin(const struct pt_url *a, const struct pt_url *b);

#endif
