/* SPDX-License-Identifier: Apache-2.0
 *
 * auth.h: bearer tokens that may use the server. The file has their SHA-256, one "sha256:HEX [comment]" a line ("#" begins a comment line), so that
 * reading it gives nobody a token; it is read again when it changes, and one that cannot be used is logged while what was read before stays. Tokens
 * are long and random: a plain hash is enough for them. Loop thread.
 */
#ifndef PT_SIDECAR_AUTH_H
#define PT_SIDECAR_AUTH_H

#include "net/http_server.h"

struct pt_auth {
    struct pt_loop *loop;
    const char *file; /* NULL: everybody may */
    int64_t poll_ms;
    /* its own */
    uint8_t (*hashes)[32];
    size_t count;
    uint64_t print;
    struct pt_timer timer;
};
/* PT_EPARSE names file and line. */
int pt_auth_start(struct pt_auth *a, struct pt_err *err);
void pt_auth_stop(struct pt_auth *a); /* zeroed memory is fine */
/* By the request's Authorization: PT_OK, or PT_EUNAUTHENTICATED and why. */
int pt_auth_check(const struct pt_auth *a, const struct pt_http_request *req, struct pt_err *err);

#endif
