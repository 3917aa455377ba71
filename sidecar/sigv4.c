/* SPDX-License-Identifier: Apache-2.0
 *
 * sigv4.c: see sigv4.h.
 */
#include "sidecar/sigv4.h"

#include "net/tls.h"

#include <stdio.h>
#include <time.h>

static void hex(const uint8_t h[32], char out[65])
{
    for (int i = 0; i < 32; i++)
        snprintf(out + 2 * i, 3, "%02x", h[i]);
}

int pt_sigv4_digest(struct pt_str s, char out[65], struct pt_err *err)
{
    uint8_t digest[32];
    struct pt_sha256 *h = pt_sha256_create();
    if (!h)
        return pt_fail(err, PT_ENOMEM, "SHA-256: out of memory");
    pt_sha256_update(h, s.p, s.len);
    pt_sha256_finish(h, digest);
    hex(digest, out);
    return PT_OK;
}

/* The headers that are signed, in order; without values their names. */
static void put_headers(struct pt_buf *b, const struct pt_sigv4 *s, const char *date, bool values)
{
    const struct {
        const char *name;
        struct pt_str value;
    } headers[] = {{"host", s->host},
                   {"x-amz-content-sha256", pt_str(s->payload ? s->payload : PT_SIGV4_EMPTY)},
                   {"x-amz-date", pt_str(date)},
                   {"x-amz-security-token", s->session_token}};
    size_t count = s->session_token.len ? 4 : 3;
    for (size_t i = 0; i < count; i++) {
        if (values)
            pt_buf_printf(b, "%s:" PT_STR_FMT "\n", headers[i].name, PT_STR_ARG(headers[i].value));
        else
            pt_buf_printf(b, "%s%s", i ? ";" : "", headers[i].name);
    }
}

static int signing_key(const struct pt_sigv4 *s, const char *day, uint8_t key[32], struct pt_err *err)
{
    pt_auto_buf first = PT_BUF_INIT(0);
    pt_buf_puts(&first, "AWS4");
    pt_buf_append(&first, s->secret_key.p, s->secret_key.len);
    const struct pt_str parts[] = {pt_str(day), s->region, s->service, PT_STR("aws4_request")};
    int rc = pt_buf_check(&first, "signature", err);
    struct pt_str with = {first.data, first.len};
    for (size_t i = 0; rc == PT_OK && i < 4; i++) {
        rc = pt_hmac_sha256(with, parts[i], key, err);
        with = (struct pt_str){(const char *)key, 32};
    }
    return rc;
}

int pt_sigv4_sign(const struct pt_sigv4 *s, char date[20], struct pt_buf *authorization, struct pt_err *err)
{
    time_t now = (time_t)(s->wall_ms / 1000);
    struct tm tm;
    char day[12], request[65], signature[65];
    uint8_t key[32], mac[32];
    pt_auto_buf canonical = PT_BUF_INIT(0), to_sign = PT_BUF_INIT(0);
    gmtime_r(&now, &tm);
    strftime(date, 20, "%Y%m%dT%H%M%SZ", &tm);
    snprintf(day, sizeof day, "%.8s", date);

    pt_buf_printf(&canonical, "%s\n" PT_STR_FMT "\n%s\n", s->method ? s->method : s->payload ? "PUT" : "GET", PT_STR_ARG(s->path),
                  s->query ? s->query : "");
    put_headers(&canonical, s, date, true);
    pt_buf_putc(&canonical, '\n');
    put_headers(&canonical, s, date, false);
    pt_buf_cat(&canonical, "\n", s->payload ? s->payload : PT_SIGV4_EMPTY, NULL);
    int rc = pt_buf_check(&canonical, "signature", err);
    if (rc < 0 || (rc = pt_sigv4_digest((struct pt_str){canonical.data, canonical.len}, request, err)) < 0)
        return rc;
    pt_buf_printf(&to_sign, "AWS4-HMAC-SHA256\n%s\n%s/" PT_STR_FMT "/" PT_STR_FMT "/aws4_request\n%s", date, day, PT_STR_ARG(s->region),
                  PT_STR_ARG(s->service), request);
    if ((rc = pt_buf_check(&to_sign, "signature", err)) < 0 || (rc = signing_key(s, day, key, err)) < 0 ||
        (rc = pt_hmac_sha256((struct pt_str){(const char *)key, 32}, (struct pt_str){to_sign.data, to_sign.len}, mac, err)) < 0)
        return rc;
    hex(mac, signature);
    pt_buf_printf(authorization, "AWS4-HMAC-SHA256 Credential=" PT_STR_FMT "/%s/" PT_STR_FMT "/" PT_STR_FMT "/aws4_request, SignedHeaders=",
                  PT_STR_ARG(s->access_key), day, PT_STR_ARG(s->region), PT_STR_ARG(s->service));
    put_headers(authorization, s, date, false);
    pt_buf_printf(authorization, ", Signature=%s", signature);
    return pt_buf_check(authorization, "signature", err);
}

void pt_percent_encode(struct pt_buf *b, struct pt_str s, bool slash)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-._~", c) || (c == '/' && !slash);
        if (plain && c)
            pt_buf_putc(b, c);
        else
            pt_buf_printf(b, "%%%02X", (unsigned char)c);
    }
}
