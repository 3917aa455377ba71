/* SPDX-License-Identifier: Apache-2.0
 *
 * cert.c: a private certificate authority: ECDSA P-256 keys, X.509 v3. The operator makes one for the reports of its sidecars, so that TLS
 * there needs neither cert-manager nor a person.
 */
#include "base/mem.h"
#include "net/tls_ssl.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <string.h>

static void free_x509(X509 **x)
{
    X509_free(*x);
}
static void free_key(EVP_PKEY **k)
{
    EVP_PKEY_free(*k);
}
static void free_bio(BIO **b)
{
    BIO_free(*b); /* memory BIOs wipe what they held */
}
static void free_names(GENERAL_NAMES **n)
{
    GENERAL_NAMES_free(*n);
}
#define auto_x509 pt_cleanup(free_x509) X509
#define auto_key pt_cleanup(free_key) EVP_PKEY
#define auto_bio pt_cleanup(free_bio) BIO
#define auto_names pt_cleanup(free_names) GENERAL_NAMES

static bool add_extension(X509 *x, X509V3_CTX *ctx, int nid, const char *value)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, ctx, nid, value);
    bool ok = e && X509_add_ext(x, e, -1) == 1;
    X509_EXTENSION_free(e);
    return ok;
}

static bool set_serial(X509 *x)
{
    unsigned char raw[16];
    if (RAND_bytes(raw, sizeof raw) != 1)
        return false;
    raw[0] = (unsigned char)((raw[0] & 0x7f) | 0x40); /* positive, never zero, always 16 bytes */
    BIGNUM *n = BN_bin2bn(raw, sizeof raw, NULL);
    bool ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));
    BN_free(n);
    return ok;
}

static bool set_common_name(X509_NAME *name, const char *cn)
{
    return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0) == 1;
}

/* Version, serial, validity and key; subject and issuer are the caller's. */
static X509 *blank_cert(EVP_PKEY *key, int64_t seconds)
{
    X509 *x = X509_new();
    if (x && X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x) && X509_gmtime_adj(X509_getm_notBefore(x), -3600) &&
        X509_time_adj_ex(X509_getm_notAfter(x), (int)(seconds / 86400), (long)(seconds % 86400), NULL) && X509_set_pubkey(x, key) == 1)
        return x;
    X509_free(x);
    return NULL;
}

static int write_pem(X509 *x, EVP_PKEY *key, struct pt_buf *cert_pem, struct pt_buf *key_pem, struct pt_err *err)
{
    auto_bio *c = BIO_new(BIO_s_mem()), *k = BIO_new(BIO_s_mem());
    if (!c || !k || PEM_write_bio_X509(c, x) != 1 || PEM_write_bio_PrivateKey(k, key, NULL, NULL, 0, NULL, NULL) != 1)
        return pt_ssl_fail(err, PT_ENOMEM, "write certificate as PEM");
    char *text;
    long len = BIO_get_mem_data(c, &text);
    pt_buf_append(cert_pem, text, (size_t)len);
    len = BIO_get_mem_data(k, &text);
    pt_buf_append(key_pem, text, (size_t)len);
    int rc = pt_buf_check(cert_pem, "certificate", err);
    return rc < 0 ? rc : pt_buf_check(key_pem, "private key", err);
}

static bool sign_as_ca(X509 *x, EVP_PKEY *key)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    return X509_set_issuer_name(x, X509_get_subject_name(x)) == 1 && add_extension(x, &ctx, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
           add_extension(x, &ctx, NID_key_usage, "critical,keyCertSign,cRLSign") && add_extension(x, &ctx, NID_subject_key_identifier, "hash") &&
           X509_sign(x, key, EVP_sha256()) != 0;
}

int pt_ca_create(const char *common_name, int days, struct pt_buf *cert_pem, struct pt_buf *key_pem, struct pt_err *err)
{
    auto_key *key = EVP_EC_gen("P-256");
    auto_x509 *x = key ? blank_cert(key, (int64_t)days * 86400) : NULL;
    if (!x || !set_common_name(X509_get_subject_name(x), common_name))
        return pt_ssl_fail(err, PT_EINVAL, "make CA \"%s\"", common_name);
    if (!sign_as_ca(x, key))
        return pt_ssl_fail(err, PT_EINTERNAL, "make CA \"%s\"", common_name);
    return write_pem(x, key, cert_pem, key_pem, err);
}

/* --- names ------------------------------------------------------------------------------------------------------------ */
static bool is_dns_name(struct pt_str s)
{
    if (s.len > 2 && s.p[0] == '*' && s.p[1] == '.')
        s = (struct pt_str){s.p + 2, s.len - 2};
    return pt_is_dns_subdomain(s);
}

static GENERAL_NAME *general_name(struct pt_str s)
{
    char text[256];
    if (s.len == 0 || s.len >= sizeof text)
        return NULL;
    memcpy(text, s.p, s.len);
    text[s.len] = 0;
    unsigned char ip[16];
    bool is_ip = inet_pton(AF_INET, text, ip) == 1 || inet_pton(AF_INET6, text, ip) == 1;
    if (!is_ip && !is_dns_name(s))
        return NULL;
    return a2i_GENERAL_NAME(NULL, NULL, NULL, is_ip ? GEN_IPADD : GEN_DNS, text, 0);
}

static GENERAL_NAMES *parse_names(const char *names, struct pt_err *err)
{
    auto_names *list = GENERAL_NAMES_new();
    struct pt_str rest = pt_str(names), part;
    while (list && pt_str_split(&rest, ',', &part)) {
        part = pt_str_trim(part);
        GENERAL_NAME *n = general_name(part);
        if (!n) {
            pt_fail(err, PT_EINVAL, "certificate for \"" PT_STR_FMT "\": neither a DNS name nor an IP address", PT_STR_ARG(part));
            return NULL;
        }
        if (sk_GENERAL_NAME_push(list, n) == 0) {
            GENERAL_NAME_free(n);
            break;
        }
    }
    if (!list || rest.p)
        pt_fail(err, PT_ENOMEM, "certificate for %s: out of memory", names);
    else
        return pt_steal(list);
    return NULL;
}

/* --- issuing -------------------------------------------------------------------------------------------------------------- */
static X509 *read_cert(const char *pem)
{
    auto_bio *b = BIO_new_mem_buf(pem, -1);
    return b ? PEM_read_bio_X509(b, NULL, NULL, NULL) : NULL;
}

static EVP_PKEY *read_key(const char *pem)
{
    auto_bio *b = BIO_new_mem_buf(pem, -1);
    char empty[] = ""; /* as the pass phrase: never ask on the terminal */
    return b ? PEM_read_bio_PrivateKey(b, NULL, NULL, empty) : NULL;
}

int pt_ca_renew(const char *ca_cert_pem, const char *ca_key_pem, int64_t seconds, struct pt_buf *cert_pem, struct pt_err *err)
{
    auto_x509 *ca = read_cert(ca_cert_pem);
    auto_key *key = read_key(ca_key_pem);
    if (!ca || !key || X509_check_private_key(ca, key) != 1)
        return pt_ssl_fail(err, PT_EPARSE, "renew CA");
    pt_auto_buf same_key = PT_BUF_INIT(64 << 10);
    auto_x509 *x = blank_cert(key, seconds);
    if (!x || X509_set_subject_name(x, X509_get_subject_name(ca)) != 1 || !sign_as_ca(x, key))
        return pt_ssl_fail(err, PT_EINTERNAL, "renew CA");
    return write_pem(x, key, cert_pem, &same_key, err);
}

int pt_ca_issue(const char *ca_cert_pem, const char *ca_key_pem, const char *names, int days, struct pt_buf *cert_pem, struct pt_buf *key_pem,
                struct pt_err *err)
{
    return pt_ca_issue_for(ca_cert_pem, ca_key_pem, names, (int64_t)days * 86400, cert_pem, key_pem, err);
}

int pt_ca_issue_for(const char *ca_cert_pem, const char *ca_key_pem, const char *names, int64_t seconds, struct pt_buf *cert_pem, struct pt_buf *key_pem,
                    struct pt_err *err)
{
    auto_x509 *ca = read_cert(ca_cert_pem);
    if (!ca)
        return pt_ssl_fail(err, PT_EPARSE, "CA certificate");
    auto_key *ca_key = read_key(ca_key_pem);
    if (!ca_key || X509_check_private_key(ca, ca_key) != 1)
        return pt_ssl_fail(err, PT_EPARSE, "CA private key");
    struct pt_err local = {0};
    auto_names *san = parse_names(names, &local);
    if (!san)
        return pt_fail(err, local.code, "%s", local.msg);
    auto_key *key = EVP_EC_gen("P-256");
    auto_x509 *x = key ? blank_cert(key, seconds) : NULL;
    /* the subject stays empty, as RFC 6125 wants names in the extension; that one is then critical */
    if (!x || X509_set_issuer_name(x, X509_get_subject_name(ca)) != 1 || X509_add1_ext_i2d(x, NID_subject_alt_name, san, 1, 0) != 1)
        return pt_ssl_fail(err, PT_ENOMEM, "certificate for %s", names);
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, ca, x, NULL, NULL, 0);
    if (!add_extension(x, &ctx, NID_basic_constraints, "critical,CA:FALSE") || !add_extension(x, &ctx, NID_key_usage, "critical,digitalSignature") ||
        !add_extension(x, &ctx, NID_ext_key_usage, "serverAuth") || !add_extension(x, &ctx, NID_authority_key_identifier, "keyid") ||
        X509_sign(x, ca_key, EVP_sha256()) == 0)
        return pt_ssl_fail(err, PT_EINTERNAL, "certificate for %s", names);
    return write_pem(x, key, cert_pem, key_pem, err);
}

int64_t pt_cert_seconds_left(const char *cert_pem, struct pt_err *err)
{
    auto_x509 *x = read_cert(cert_pem);
    int days, seconds;
    if (!x || ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(x)) != 1) {
        pt_ssl_fail(err, PT_EPARSE, "certificate");
        return INT64_MIN;
    }
    return (int64_t)days * 86400 + seconds;
}
