/* SPDX-License-Identifier: Apache-2.0
 *
 * certificates.h: the server's TLS context from files, made anew when they change. Loop thread.
 *
 * Whoever renews a certificate writes files one after the other, so a pair that does not fit is expected: it is logged, the context before stays, and
 * the next change is tried again. Files are small and local; reading them on the loop thread is cheaper than handing that over.
 */
#ifndef PT_SIDECAR_CERTIFICATES_H
#define PT_SIDECAR_CERTIFICATES_H

#include "net/loop.h"
#include "net/tls.h"

struct pt_certificates {
    const char *cert_file, *key_file;
    const char *client_ca_file; /* clients must show a certificate of these; NULL: anybody may come */
    bool open_health; /* clients may show none: who needs one is decided by request */
    int64_t poll_ms;
    void (*changed)(void *arg, struct pt_tls *tls); /* to use from now on; the callee takes a reference if it keeps it */
    void *arg;
    /* its own */
    struct pt_loop *loop;
    struct pt_timer timer;
    uint64_t print; /* of the files when they were read last */
};
/* *first is the caller's. */
int pt_certificates_start(struct pt_certificates *c, struct pt_loop *l, struct pt_tls **first, struct pt_err *err);
void pt_certificates_stop(struct pt_certificates *c); /* zeroed memory is fine */

#endif
