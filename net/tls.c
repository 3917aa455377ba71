/* SPDX-License-Identifier: Apache-2.0
 *
 * tls.c: TLS contexts and SHA-256 on OpenSSL. Certificates of our own CA are made in cert.c, connections are run by stream.c.
 */
#include "net/tls.h"
#include "base/mem.h"
#include "net/tls_ssl.h"

#include <arpa/inet.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

struct pt_tls {
    SSL_CTX *ctx;
    bool server;
    unsigned refs;
};

int pt_ssl_fail(struct pt_err *err, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    pt_vfail(err, code, fmt, ap);
    va_end(ap);
    unsigned long e = ERR_peek_last_error();
    const char *reason = e ? ERR_reason_error_string(e) : NULL;
    if (err && reason) {
        struct pt_err text = *err;
        pt_fail(err, code, "%s: %s", text.msg, reason);
    }
    ERR_clear_error();
    return code;
}

/* --- contexts ------------------------------------------------------------------------------------------------------- */
static const unsigned char alpn_http11[] = "\x08http/1.1", alpn_http2[] = "\x02h2\x08http/1.1";
static const char offers_http2;

void pt_tls_offer_http2(SSL *ssl)
{
    SSL_set_app_data(ssl, (void *)(uintptr_t)&offers_http2);
}

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in, unsigned in_len, void *arg)
{
    (void)arg;
    unsigned char *chosen;
    bool both = SSL_get_app_data(ssl) == &offers_http2;
    const unsigned char *ours = both ? alpn_http2 : alpn_http11;
    unsigned ours_len = both ? sizeof alpn_http2 - 1 : sizeof alpn_http11 - 1;
    if (SSL_select_next_proto(&chosen, out_len, ours, ours_len, in, in_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int create(const SSL_METHOD *method, bool server, struct pt_tls **out, struct pt_err *err)
{
    struct pt_tls *t = pt_calloc(1, sizeof *t);
    if (!t)
        return pt_fail(err, PT_ENOMEM, "TLS context: out of memory");
    t->server = server;
    t->refs = 1;
    t->ctx = SSL_CTX_new(method);
    if (!t->ctx) {
        pt_free(t);
        return pt_ssl_fail(err, PT_ENOMEM, "TLS context");
    }
    SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(t->ctx, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(t->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(t->ctx, 1); /* one recv for a record, not one for its header and one for its body */
    SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_OFF);
    *out = t;
    return PT_OK;
}

/* A certificate from the BIO; NULL at the end (err untouched, nothing in OpenSSL's queue) or for a broken one (*broken). */
static X509 *next_cert(BIO *bio, bool *broken)
{
    X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    if (x)
        return x;
    unsigned long e = ERR_peek_last_error();
    *broken = !(ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE);
    if (!*broken)
        ERR_clear_error();
    return NULL;
}

static int trust(SSL_CTX *ctx, const char *ca_pem, struct pt_err *err)
{
    BIO *bio = BIO_new_mem_buf(ca_pem, -1);
    if (!bio)
        return pt_ssl_fail(err, PT_ENOMEM, "CA certificates");
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    bool broken = false, added = true;
    int count = 0;
    for (X509 *x; added && (x = next_cert(bio, &broken)); count++) {
        added = X509_STORE_add_cert(store, x) == 1;
        X509_free(x);
    }
    BIO_free(bio);
    if (!added)
        return pt_ssl_fail(err, PT_ENOMEM, "CA certificate %d", count);
    if (broken)
        return pt_ssl_fail(err, PT_EPARSE, "CA certificate %d", count + 1);
    return count ? PT_OK : pt_fail(err, PT_EPARSE, "CA certificates: no PEM certificate found");
}

int pt_tls_client_create_unverified(struct pt_tls **out, struct pt_err *err)
{
    int rc = create(TLS_client_method(), false, out, err);
    if (rc == PT_OK)
        SSL_CTX_set_alpn_protos((*out)->ctx, alpn_http11, sizeof alpn_http11 - 1);
    return rc; /* SSL_VERIFY_NONE is OpenSSL's own default */
}

int pt_tls_client_create(const char *ca_pem, struct pt_tls **out, struct pt_err *err)
{
    struct pt_tls *t;
    int rc = create(TLS_client_method(), false, &t, err);
    if (rc < 0)
        return rc;
    SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_alpn_protos(t->ctx, alpn_http11, sizeof alpn_http11 - 1);
    if (ca_pem)
        rc = trust(t->ctx, ca_pem, err);
    else if (SSL_CTX_set_default_verify_paths(t->ctx) != 1)
        rc = pt_ssl_fail(err, PT_EIO, "load the system's CA certificates");
    if (rc < 0) {
        pt_tls_destroy(t);
        return rc;
    }
    *out = t;
    return PT_OK;
}

/* Without it OpenSSL would ask for an encrypted key's pass phrase on the terminal. */
static int no_password(char *buf, int size, int rw, void *arg)
{
    (void)buf;
    (void)size;
    (void)rw;
    (void)arg;
    return -1;
}

static int use_chain(SSL_CTX *ctx, BIO *bio, struct pt_err *err)
{
    bool broken = false, ok = true;
    int count = 0;
    for (X509 *x; ok && (x = next_cert(bio, &broken)); count++) {
        ok = count == 0 ? SSL_CTX_use_certificate(ctx, x) == 1 : SSL_CTX_add1_chain_cert(ctx, x) == 1;
        X509_free(x);
    }
    if (!ok || broken || !count)
        return pt_ssl_fail(err, PT_EPARSE, "server certificate%s", count || broken ? "" : ": no PEM certificate found");
    return PT_OK;
}

static int use_key(SSL_CTX *ctx, BIO *bio, struct pt_err *err)
{
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    if (!key)
        return pt_ssl_fail(err, PT_EPARSE, "server private key");
    bool ok = SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    EVP_PKEY_free(key);
    return ok ? PT_OK : pt_ssl_fail(err, PT_EINVAL, "server private key");
}

int pt_tls_show(struct pt_tls *t, const char *cert_pem, const char *key_pem, struct pt_err *err)
{
    BIO *cert = BIO_new_mem_buf(cert_pem, -1), *key = BIO_new_mem_buf(key_pem, -1);
    int rc = !cert || !key ? pt_ssl_fail(err, PT_ENOMEM, "certificate") : use_chain(t->ctx, cert, err);
    if (rc == PT_OK)
        rc = use_key(t->ctx, key, err);
    BIO_free(cert);
    BIO_free(key);
    return rc;
}

int pt_tls_server_create(const char *cert_pem, const char *key_pem, struct pt_tls **out, struct pt_err *err)
{
    struct pt_tls *t;
    int rc = create(TLS_server_method(), true, &t, err);
    if (rc < 0)
        return rc;
    SSL_CTX_set_alpn_select_cb(t->ctx, select_alpn, NULL);
    rc = pt_tls_show(t, cert_pem, key_pem, err);
    if (rc < 0) {
        pt_tls_destroy(t);
        return rc;
    }
    *out = t;
    return PT_OK;
}

int pt_tls_require_clients(struct pt_tls *t, const char *ca_pem, bool may_lack, struct pt_err *err)
{
    static const unsigned char context[] = "pintle";
    SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER | (may_lack ? 0 : SSL_VERIFY_FAIL_IF_NO_PEER_CERT), NULL);
    if (SSL_CTX_set_session_id_context(t->ctx, context, sizeof context - 1) != 1) /* without it OpenSSL fails the resumption of such sessions */
        return pt_ssl_fail(err, PT_ENOMEM, "client certificates");
    return trust(t->ctx, ca_pem, err);
}

struct pt_tls *pt_tls_ref(struct pt_tls *t)
{
    if (t)
        t->refs++;
    return t;
}

void pt_tls_destroy(struct pt_tls *t)
{
    if (!t || --t->refs)
        return;
    SSL_CTX_free(t->ctx);
    pt_free(t);
}

static bool is_ip(const char *host)
{
    unsigned char ip[16];
    return inet_pton(AF_INET, host, ip) == 1 || inet_pton(AF_INET6, host, ip) == 1;
}

static bool expect_host(SSL *ssl, const char *host)
{
    X509_VERIFY_PARAM *v = SSL_get0_param(ssl);
    if (is_ip(host)) /* RFC 6066: no SNI for addresses */
        return X509_VERIFY_PARAM_set1_ip_asc(v, host) == 1;
    X509_VERIFY_PARAM_set_hostflags(v, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(v, host, 0) == 1 && SSL_set_tlsext_host_name(ssl, (void *)(uintptr_t)host) == 1;
}

SSL *pt_tls_ssl_create(struct pt_tls *t, const char *host, struct pt_err *err)
{
    SSL *ssl = SSL_new(t->ctx);
    if (!ssl || (!t->server && !expect_host(ssl, host))) {
        SSL_free(ssl);
        pt_ssl_fail(err, PT_ENOMEM, "TLS connection%s%s", t->server ? "" : " to ", t->server ? "" : host);
        return NULL;
    }
    if (t->server)
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
    return ssl;
}

/* --- SHA-256 ------------------------------------------------------------------------------------------------------------ */
struct pt_sha256 {
    EVP_MD_CTX *ctx;
};

struct pt_sha256 *pt_sha256_create(void)
{
    struct pt_sha256 *h = pt_calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->ctx = EVP_MD_CTX_new();
    if (!h->ctx || EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) != 1) {
        pt_sha256_abort(h);
        return NULL;
    }
    return h;
}

void pt_sha256_update(struct pt_sha256 *h, const void *p, size_t len)
{
    EVP_DigestUpdate(h->ctx, p, len); /* of an initialised SHA-256 context cannot fail */
}

void pt_sha256_finish(struct pt_sha256 *h, uint8_t out[32])
{
    EVP_DigestFinal_ex(h->ctx, out, NULL);
    pt_sha256_abort(h);
}

void pt_sha256_abort(struct pt_sha256 *h)
{
    if (!h)
        return;
    EVP_MD_CTX_free(h->ctx);
    pt_free(h);
}

int pt_hmac_sha256(struct pt_str key, struct pt_str message, uint8_t out[32], struct pt_err *err)
{
    uint8_t mac[32];
    if (key.len > INT_MAX || !HMAC(EVP_sha256(), key.p, (int)key.len, (const uint8_t *)message.p, message.len, mac, NULL))
        return pt_ssl_fail(err, PT_ENOMEM, "HMAC");
    memcpy(out, mac, sizeof mac);
    return PT_OK;
}
