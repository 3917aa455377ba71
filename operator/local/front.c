/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/local/front.h"

#include "base/mem.h"
#include "base/path.h"
#include "net/tls.h"

#include <stdio.h>
#include <unistd.h>

enum { CERT_DAYS = 30, TOKEN_BYTES = 32 };

struct pt_front {
    struct pt_http_server *http;
    struct pt_tls *tls;
    char token[2 * TOKEN_BYTES + 1];
    char *kubeconfig;
};

static int make_token(char *out, struct pt_err *err)
{
    unsigned char bytes[TOKEN_BYTES];
    if (getentropy(bytes, sizeof bytes) != 0)
        return pt_fail(err, PT_EIO, "API server: no random bytes for a token");
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    return PT_OK;
}

static int write_kubeconfig(struct pt_front *f, const char *ca_pem, struct pt_err *err)
{
    size_t n = strlen(ca_pem);
    pt_auto_free char *ca = pt_malloc((n + 2) / 3 * 4 + 1);
    pt_auto_buf b = PT_BUF_INIT(64 << 10);
    if (!ca)
        return pt_fail(err, PT_ENOMEM, "kubeconfig: out of memory");
    pt_base64_encode(ca_pem, n, ca);
    pt_buf_printf(&b,
                  "apiVersion: v1\nkind: Config\ncurrent-context: pintle\n"
                  "clusters:\n- name: pintle\n  cluster:\n    server: https://127.0.0.1:%d\n    certificate-authority-data: %s\n"
                  "users:\n- name: pintle\n  user:\n    token: %s\n"
                  "contexts:\n- name: pintle\n  context:\n    cluster: pintle\n    user: pintle\n    namespace: default\n",
                  pt_front_port(f), ca, f->token);
    int rc = pt_buf_check(&b, "kubeconfig", err);
    return rc < 0 ? rc : pt_path_write_atomic(f->kubeconfig, b.data, b.len, 0600, err);
}

static int start(struct pt_front *f, const struct pt_front_options *o, struct pt_err *err)
{
    pt_auto_buf cert = PT_BUF_INIT(64 << 10), key = PT_BUF_INIT(64 << 10);
    char address[32];
    snprintf(address, sizeof address, "127.0.0.1:%d", o->port);
    int rc = make_token(f->token, err);
    if (rc == PT_OK)
        rc = pt_ca_issue(o->ca_cert_pem, o->ca_key_pem, "127.0.0.1,localhost", CERT_DAYS, &cert, &key, err);
    if (rc == PT_OK)
        rc = pt_tls_server_create(pt_buf_cstr(&cert), pt_buf_cstr(&key), &f->tls, err);
    struct pt_http_server_options http = {.address = address,
                                          .tls = f->tls,
                                          .http2 = true,
                                          .max_body_bytes = 16 << 20,
                                          .idle_timeout_ms = 3600000,
                                          .handler = o->handler,
                                          .arg = o->arg};
    if (rc == PT_OK)
        rc = pt_http_server_start(o->loop, &http, &f->http, err);
    return rc < 0 ? rc : write_kubeconfig(f, o->ca_cert_pem, err);
}

int pt_front_create(const struct pt_front_options *o, struct pt_front **out, struct pt_err *err)
{
    struct pt_front *f = pt_calloc(1, sizeof *f);
    if (f)
        f->kubeconfig = pt_strdup(o->kubeconfig);
    int rc = f && f->kubeconfig ? start(f, o, err) : pt_fail(err, PT_ENOMEM, "API server: out of memory");
    if (rc < 0) {
        pt_front_destroy(f);
        return rc;
    }
    *out = f;
    return PT_OK;
}

void pt_front_destroy(struct pt_front *f)
{
    if (!f)
        return;
    pt_http_server_destroy(f->http);
    pt_tls_destroy(f->tls);
    if (f->kubeconfig)
        unlink(f->kubeconfig);
    pt_free(f->kubeconfig);
    pt_free(f);
}

bool pt_front_admits(const struct pt_front *f, const struct pt_http_request *req)
{
    static const struct pt_str scheme = {"Bearer ", 7};
    if (pt_http_request_server(req) != f->http)
        return true;
    struct pt_str given = pt_http_header(req, "Authorization");
    if (given.len != scheme.len + 2 * TOKEN_BYTES || !pt_str_eq_nocase((struct pt_str){given.p, scheme.len}, scheme))
        return false;
    unsigned differs = 0; /* no early end: the time says nothing about the token */
    for (size_t i = 0; i < 2 * TOKEN_BYTES; i++)
        differs |= (unsigned char)given.p[scheme.len + i] ^ (unsigned char)f->token[i];
    return differs == 0;
}

int pt_front_port(const struct pt_front *f)
{
    return pt_http_server_port(f->http);
}
