/* SPDX-License-Identifier: Apache-2.0
 *
 * tls.h: TLS contexts, certificates of a private CA, SHA-256 (OpenSSL inside).
 */
#ifndef PT_NET_TLS_H
#define PT_NET_TLS_H

#include "base/buf.h"

/* A context is immutable after creation and may be shared by connections of one loop thread. */
struct pt_tls;
/* Client: verifies the peer against ca_pem (NULL: the system's roots; SSL_CERT_FILE honoured) and the host name. TLS 1.2+. */
int pt_tls_client_create(const char *ca_pem, struct pt_tls **out, struct pt_err *err);
/* Server with this certificate chain and key, PEM. */
int pt_tls_server_create(const char *cert_pem, const char *key_pem, struct pt_tls **out, struct pt_err *err);
/* For those that know whom they talk to by other means, as a kubelet's probes do: nothing is verified. */
int pt_tls_client_create_unverified(struct pt_tls **out, struct pt_err *err);
/* Before the first connection: the certificate chain that it shows, with its key, PEM. A server has one from the start. */
int pt_tls_show(struct pt_tls *t, const char *cert_pem, const char *key_pem, struct pt_err *err);
/* Of a server, before its first connection: clients must show a certificate that one of these CAs has signed. may_lack: or none at all, which
 * pt_stream_has_peer() tells. */
int pt_tls_require_clients(struct pt_tls *t, const char *ca_pem, bool may_lack, struct pt_err *err);
void pt_tls_destroy(struct pt_tls *t); /* connections hold their own reference */

/* A new P-256 CA: certificate and key as PEM appended to the buffers; valid from one hour ago for `days`. */
int pt_ca_create(const char *common_name, int days, struct pt_buf *cert_pem, struct pt_buf *key_pem, struct pt_err *err);
/* A server certificate signed by that CA. names: DNS names and IP addresses, comma-separated. */
int pt_ca_issue(const char *ca_cert_pem, const char *ca_key_pem, const char *names, int days, struct pt_buf *cert_pem, struct pt_buf *key_pem, struct pt_err *err);
/* The same for so many seconds. */
int pt_ca_issue_for(const char *ca_cert_pem, const char *ca_key_pem, const char *names, int64_t seconds, struct pt_buf *cert_pem, struct pt_buf *key_pem,
                    struct pt_err *err);
/* A new certificate for the CA's name and key: what was signed before is valid under the new one, and what is signed from now on under the old. */
int pt_ca_renew(const char *ca_cert_pem, const char *ca_key_pem, int64_t seconds, struct pt_buf *cert_pem, struct pt_err *err);
/* Seconds until the first certificate in the PEM expires (negative: already); PT_EPARSE in err and INT64_MIN if it is none. */
int64_t pt_cert_seconds_left(const char *cert_pem, struct pt_err *err);

struct pt_sha256;
struct pt_sha256 *pt_sha256_create(void); /* NULL out of memory */
void pt_sha256_update(struct pt_sha256 *h, const void *p, size_t len);
void pt_sha256_finish(struct pt_sha256 *h, uint8_t out[32]); /* and frees */
void pt_sha256_abort(struct pt_sha256 *h);                   /* frees; NULL is fine */

int pt_hmac_sha256(struct pt_str key, struct pt_str message, uint8_t out[32], struct pt_err *err); /* out may be key's memory */

#endif
