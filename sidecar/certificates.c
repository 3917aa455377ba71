/* SPDX-License-Identifier: Apache-2.0
 *
 * certificates.c: see certificates.h.
 */
#include "sidecar/certificates.h"

#include "base/log.h"
#include "base/path.h"

enum { MAX_PEM = 1 << 20 };

static uint64_t print_of(const struct pt_certificates *c)
{
    uint64_t print = pt_path_fingerprint(c->key_file, pt_path_fingerprint(c->cert_file, 0));
    return c->client_ca_file ? pt_path_fingerprint(c->client_ca_file, print) : print;
}

static int load(const struct pt_certificates *c, struct pt_tls **out, struct pt_err *err)
{
    pt_auto_buf cert = PT_BUF_INIT(MAX_PEM), key = PT_BUF_INIT(MAX_PEM), ca = PT_BUF_INIT(MAX_PEM);
    int rc = pt_buf_read_file(&cert, c->cert_file, err);
    if (rc == PT_OK)
        rc = pt_buf_read_file(&key, c->key_file, err);
    if (rc == PT_OK && c->client_ca_file)
        rc = pt_buf_read_file(&ca, c->client_ca_file, err);
    if (rc == PT_OK && (rc = pt_tls_server_create(pt_buf_cstr(&cert), pt_buf_cstr(&key), out, err)) < 0)
        return pt_wrap(err, "%s, %s", c->cert_file, c->key_file);
    if (rc == PT_OK && c->client_ca_file && (rc = pt_tls_require_clients(*out, pt_buf_cstr(&ca), c->open_health, err)) < 0) {
        pt_tls_destroy(*out);
        return pt_wrap(err, "%s", c->client_ca_file);
    }
    return rc;
}

static void on_poll(struct pt_timer *t)
{
    struct pt_certificates *c = (struct pt_certificates *)((char *)t - offsetof(struct pt_certificates, timer));
    struct pt_tls *tls;
    struct pt_err err;
    uint64_t print = print_of(c);
    pt_timer_start(pt_loop_sched(c->loop), t, c->poll_ms, on_poll);
    if (print == c->print)
        return;
    c->print = print;
    if (load(c, &tls, &err) < 0) {
        pt_log(PT_LOG_ERROR, "new certificates cannot be used, those before stay", "error", err.msg, NULL);
        return;
    }
    pt_log(PT_LOG_INFO, "certificates changed", "file", c->cert_file, NULL);
    c->changed(c->arg, tls);
    pt_tls_destroy(tls);
}

int pt_certificates_start(struct pt_certificates *c, struct pt_loop *l, struct pt_tls **first, struct pt_err *err)
{
    c->loop = l;
    c->print = print_of(c);
    int rc = load(c, first, err);
    if (rc < 0)
        return pt_wrap(err, "serving.tls");
    pt_timer_start(pt_loop_sched(l), &c->timer, c->poll_ms, on_poll);
    return PT_OK;
}

void pt_certificates_stop(struct pt_certificates *c)
{
    if (c->loop)
        pt_timer_stop(pt_loop_sched(c->loop), &c->timer);
}
