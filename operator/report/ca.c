/* SPDX-License-Identifier: Apache-2.0
 *
 * ca.c: get, or create, or replace: a small level-driven loop. Each round starts with a GET and does at most one write, on what was read;
 * AlreadyExists and Conflict (another operator was faster) just start the next round.
 */
#include "operator/report/ca.h"

#include "base/log.h"
#include "base/mem.h"

#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdio.h>

enum { CA_DAYS = 3650, RETRY_MS = 500, LOOK_MS = 3600000 };

struct pt_ca {
    struct pt_ca_options o;
    char *ns, *known; /* the certificate that was told last */
    struct pt_timer timer;
    struct pt_api_call *call;
    int64_t give_up_ms, told_ms;
    bool wrote; /* just now, and it is not read back yet */
};

/* The Secret as it was read. */
struct found {
    bool exists, usable;
    char rv[48];
    struct pt_buf cert, key;
};

static void start_round(struct pt_timer *t);

static void tell(struct pt_ca *ca, const char *cert, const char *key)
{
    char *copy = pt_strdup(cert);
    if (copy) { /* else it is told again */
        pt_free(ca->known);
        ca->known = copy;
    }
    ca->told_ms = pt_now_ms(ca->o.sched);
    ca->o.fn(ca->o.arg, cert, key, NULL);
}

static void try_again(struct pt_ca *ca, const struct pt_err *why)
{
    if (!ca->known && pt_now_ms(ca->o.sched) >= ca->give_up_ms) {
        ca->o.fn(ca->o.arg, NULL, NULL, why);
        return;
    }
    pt_log(PT_LOG_WARN, "the certificate authority's Secret is not at hand, trying again", "secret", PT_CA_SECRET, "error", why->msg, NULL);
    pt_timer_start(ca->o.sched, &ca->timer, ca->known ? 10 * RETRY_MS : RETRY_MS, start_round);
}

/* So that nothing gets older than it may: a sixth of the shorter life, at most an hour. */
static int64_t look_again_ms(const struct pt_ca *ca)
{
    int64_t ms = (ca->o.ca_s < ca->o.cert_s ? ca->o.ca_s : ca->o.cert_s) * 1000 / 6;
    return ms < 100 ? 100 : ms < LOOK_MS ? ms : LOOK_MS;
}

/* --- writing ------------------------------------------------------------------------------------------------------------- */

static void on_written(void *arg, const struct pt_api_result *r)
{
    struct pt_ca *ca = arg;
    ca->call = NULL;
    ca->wrote = r->err.code == PT_OK;
    if (r->err.code == PT_OK || r->err.code == PT_EEXIST || r->err.code == PT_ECONFLICT) /* read back what is there now */
        pt_timer_start(ca->o.sched, &ca->timer, r->err.code == PT_ECONFLICT ? RETRY_MS : 0, start_round);
    else
        try_again(ca, &r->err);
}

static void put_member(struct pt_buf *body, const char *name, const struct pt_buf *pem)
{
    size_t len = (pem->len + 2) / 3 * 4;
    pt_buf_printf(body, "\"%s\":\"", name);
    char *text = pt_buf_reserve(body, len + 1);
    if (text) {
        pt_base64_encode(pem->data, pem->len, text);
        body->len += len;
    }
    pt_buf_putc(body, '"');
}

static int write_secret(struct pt_ca *ca, const struct found *f, const struct pt_buf *cert, const struct pt_buf *key, struct pt_err *err)
{
    pt_auto_buf body = PT_BUF_INIT(256 << 10);
    pt_buf_puts(&body, "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"" PT_CA_SECRET "\",\"namespace\":");
    pt_buf_json_string(&body, pt_str(ca->ns));
    if (f->exists) /* what somebody else has written meanwhile stays */
        pt_buf_printf(&body, ",\"resourceVersion\":\"%s\"", f->rv);
    pt_buf_puts(&body, "},\"type\":\"Opaque\",\"data\":{");
    put_member(&body, "tls.crt", cert);
    pt_buf_putc(&body, ',');
    put_member(&body, "tls.key", key);
    pt_buf_puts(&body, "}}");
    int rc = pt_buf_check(&body, "CA secret", err);
    struct pt_api_request req = {.verb = f->exists ? PT_VERB_MERGE_PATCH : PT_VERB_CREATE,
                                 .resource = &pt_res_secrets,
                                 .ns = ca->ns,
                                 .name = PT_CA_SECRET,
                                 .body = {body.data, body.len}};
    return rc < 0 ? rc : pt_api_start(ca->o.api, &req, on_written, ca, &ca->call, err);
}

static int make_new(struct pt_ca *ca, const struct found *f, struct pt_err *err)
{
    pt_auto_buf cert = PT_BUF_INIT(64 << 10), key = PT_BUF_INIT(64 << 10), first = PT_BUF_INIT(64 << 10);
    int rc = pt_ca_create("pintle-operator", CA_DAYS, &first, &key, err);
    if (rc == PT_OK)
        rc = pt_ca_renew(pt_buf_cstr(&first), pt_buf_cstr(&key), ca->o.ca_s, &cert, err); /* for as long as was asked */
    return rc < 0 ? rc : write_secret(ca, f, &cert, &key, err);
}

static int renew(struct pt_ca *ca, struct found *f, struct pt_err *err)
{
    pt_auto_buf cert = PT_BUF_INIT(64 << 10);
    int rc = pt_ca_renew(pt_buf_cstr(&f->cert), pt_buf_cstr(&f->key), ca->o.ca_s, &cert, err);
    if (rc == PT_OK)
        pt_log(PT_LOG_INFO, "the certificate authority is renewed", "secret", PT_CA_SECRET, NULL);
    return rc < 0 ? rc : write_secret(ca, f, &cert, &f->key, err);
}

/* --- reading ------------------------------------------------------------------------------------------------------------- */

static bool decode_member(const cJSON *data, const char *name, struct pt_buf *out)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(data, name);
    if (!cJSON_IsString(v))
        return false;
    size_t len = strlen(v->valuestring), n = 0;
    char *p = pt_buf_reserve(out, len + 4);
    if (!p || pt_base64_decode((struct pt_str){v->valuestring, len}, (uint8_t *)p, len + 3, &n, NULL) < 0)
        return false;
    out->len += n;
    return true;
}

/* What is no Secret, a page of a proxy say, is not taken for one without a certificate: that would be written anew. */
static int read_secret(struct found *f, struct pt_str body, struct pt_err *err)
{
    cJSON *secret = cJSON_ParseWithLength(body.p ? body.p : "", body.len);
    const cJSON *data = cJSON_GetObjectItemCaseSensitive(secret, "data"), *meta = cJSON_GetObjectItemCaseSensitive(secret, "metadata");
    const char *rv = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(meta, "resourceVersion"));
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(meta, "name"));
    if (!rv || !*rv || strlen(rv) >= sizeof f->rv || !name || strcmp(name, PT_CA_SECRET) != 0) {
        cJSON_Delete(secret);
        return pt_fail(err, PT_EPARSE, "the answer is not the Secret %s", PT_CA_SECRET);
    }
    snprintf(f->rv, sizeof f->rv, "%s", rv ? rv : "");
    f->exists = true;
    f->usable =
        decode_member(data, "tls.crt", &f->cert) && decode_member(data, "tls.key", &f->key) && pt_cert_seconds_left(pt_buf_cstr(&f->cert), NULL) > 0;
    cJSON_Delete(secret);
    return PT_OK;
}

static void decide(struct pt_ca *ca, struct found *f)
{
    struct pt_err err;
    bool works = !ca->o.works || ca->o.works(ca->o.arg);
    int64_t left_s = f->usable ? pt_cert_seconds_left(pt_buf_cstr(&f->cert), NULL) : 0;
    int64_t age_ms = pt_now_ms(ca->o.sched) - ca->told_ms;
    int rc = PT_OK;
    if (!f->usable && ca->wrote)
        rc = pt_fail(&err, PT_EINTERNAL, "Secret %s has no valid certificate and key, though they were written just now", PT_CA_SECRET);
    else if (!f->usable)
        rc = make_new(ca, f, &err);
    else if (left_s < ca->o.ca_s / 3 && works)
        rc = renew(ca, f, &err);
    else if (!ca->known || strcmp(ca->known, pt_buf_cstr(&f->cert)) != 0 || age_ms >= ca->o.cert_s * 1000 / 6)
        tell(ca, pt_buf_cstr(&f->cert), pt_buf_cstr(&f->key));
    ca->wrote = false;
    if (rc < 0)
        try_again(ca, &err);
    else if (!ca->call)
        pt_timer_start(ca->o.sched, &ca->timer, look_again_ms(ca), start_round);
}

static void on_read(void *arg, const struct pt_api_result *r)
{
    struct pt_ca *ca = arg;
    struct found f = {.cert = PT_BUF_INIT(64 << 10), .key = PT_BUF_INIT(64 << 10)};
    ca->call = NULL;
    if (r->err.code != PT_OK && r->err.code != PT_ENOTFOUND) {
        try_again(ca, &r->err);
        return;
    }
    struct pt_err err;
    if (r->err.code == PT_OK && read_secret(&f, r->body, &err) < 0)
        try_again(ca, &err);
    else
        decide(ca, &f);
    pt_buf_finish(&f.cert);
    pt_buf_finish(&f.key);
}

static void start_round(struct pt_timer *t)
{
    struct pt_ca *ca = (struct pt_ca *)(void *)((char *)t - offsetof(struct pt_ca, timer));
    struct pt_err err;
    struct pt_api_request req = {.verb = PT_VERB_GET, .resource = &pt_res_secrets, .ns = ca->ns, .name = PT_CA_SECRET, .timeout_ms = 10000};
    if (pt_api_start(ca->o.api, &req, on_read, ca, &ca->call, &err) < 0)
        try_again(ca, &err);
}

/* --- life ---------------------------------------------------------------------------------------------------------------- */

int pt_ca_serve(const char *ca_cert_pem, const char *ca_key_pem, const char *names, int64_t cert_s, const char *client_ca_pem, struct pt_tls **out,
                struct pt_err *err)
{
    pt_auto_buf cert = PT_BUF_INIT(64 << 10), key = PT_BUF_INIT(64 << 10);
    struct pt_tls *tls = NULL;
    int rc = pt_ca_issue_for(ca_cert_pem, ca_key_pem, names, cert_s ? cert_s : PT_CERT_LIFETIME_S, &cert, &key, err);
    if (rc == PT_OK)
        rc = pt_tls_server_create(pt_buf_cstr(&cert), pt_buf_cstr(&key), &tls, err);
    if (rc == PT_OK && client_ca_pem && (rc = pt_tls_require_clients(tls, client_ca_pem, false, err)) < 0)
        pt_tls_destroy(pt_steal(tls));
    *out = tls;
    return rc;
}

int pt_ca_start(const struct pt_ca_options *o, struct pt_ca **out, struct pt_err *err)
{
    struct pt_ca *ca = pt_calloc(1, sizeof *ca);
    char *ns = pt_strdup(o->ns);
    if (!ca || !ns) {
        pt_free(ca);
        pt_free(ns);
        return pt_fail(err, PT_ENOMEM, "certificate authority: out of memory");
    }
    *ca = (struct pt_ca){.o = *o, .ns = ns, .give_up_ms = pt_now_ms(o->sched) + o->deadline_ms};
    ca->o.ca_s = o->ca_s ? o->ca_s : PT_CA_LIFETIME_S;
    ca->o.cert_s = o->cert_s ? o->cert_s : PT_CERT_LIFETIME_S;
    pt_timer_start(o->sched, &ca->timer, 0, start_round);
    *out = ca;
    return PT_OK;
}

void pt_ca_destroy(struct pt_ca *ca)
{
    if (!ca)
        return;
    pt_timer_stop(ca->o.sched, &ca->timer);
    if (ca->call)
        pt_api_cancel(ca->o.api, ca->call);
    pt_free(ca->ns);
    pt_free(ca->known);
    pt_free(ca);
}
