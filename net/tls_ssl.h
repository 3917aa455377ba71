/* SPDX-License-Identifier: Apache-2.0
 *
 * tls_ssl.h: private to net/: the OpenSSL side of a TLS context.
 */
#ifndef PT_NET_TLS_SSL_H
#define PT_NET_TLS_SSL_H

#include "net/tls.h"

#include <openssl/ssl.h>

struct pt_tls *pt_tls_ref(struct pt_tls *t); /* pt_tls_destroy() gives a reference back; one loop thread, so not atomic */
/* A connection's state: server or client as the context is. host: the name or address that the peer's certificate must carry (client). */
SSL *pt_tls_ssl_create(struct pt_tls *t, const char *host, struct pt_err *err);
/* A server connection that may choose HTTP/2 by ALPN; before the handshake. */
void pt_tls_offer_http2(SSL *ssl);
/* pt_fail() with OpenSSL's reason at the end; empties its error queue. */
int pt_ssl_fail(struct pt_err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4), cold));

#endif
