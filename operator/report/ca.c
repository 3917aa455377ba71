/* SPDX-License-Identifier: Apache-2.0
 *
 * ca.c: get, or create, or replace: a small level-driven loop. Each round starts with a GET and does at most one write; AlreadyExists and
 * Conflict (another operator was faster) just start the next round.
 */
#include "operator/report/ca.h"

#include "base/log.h"
#include "base/mem.h"

#include <cjson/cJSON.h>
#include <stddef.h>

enum { CA_DAYS = 3650, CERT_DAYS = 3650, RENEW_SECONDS = 30 * 86400, RETRY_MS = 500 };

struct ca_load {
    struct pt_api *api;
    struct pt_sched *sched;
    struct pt_timer retry;
    char *ns;
    int64_t give_up_ms;
    bool exists;
    pt_ca_fn fn;
    void *arg;
};

static void start_round(struct pt_timer *t);

static void finish(struct ca_load *l, const char *cert, const char *key, const struct pt_err *err)
{
    l->fn(l->arg, cert, key, err);
    pt_free(l->ns);
    pt_free(l);
}

static void next_round(struct ca_load *l, const struct pt_err *why)
{
    if (pt_now_ms(l->sched) >= l->give_up_ms) {
        finish(l, NULL, NULL, why);
        return;
    }
    pt_log(PT_LOG_WARN, "the certificate authority's Secret is not at hand, trying again", "secret", PT_CA_SECRET, "error", why->msg, NULL);
    pt_timer_start(l->sched, &l->retry, RETRY_MS, start_round);
}

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

static void on_written(void *arg, const struct pt_api_result *r)
{
    struct ca_load *l = arg;
    if (r->err.code == PT_OK || r->err.code == PT_EEXIST || r->err.code == PT_ECONFLICT)
        pt_timer_start(l->sched, &l->retry, 0, start_round); /* read back what is there now */
    else
        next_round(l, &r->err);
}

static int put_secret(struct ca_load *l, struct pt_err *err)
{
    pt_auto_buf cert = PT_BUF_INIT(64 << 10), key = PT_BUF_INIT(64 << 10), body = PT_BUF_INIT(256 << 10);
    int rc = pt_ca_create("pintle-operator", CA_DAYS, &cert, &key, err);
    if (rc < 0)
        return rc;
    pt_buf_puts(&body, "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"" PT_CA_SECRET "\",\"namespace\":");
    pt_buf_json_string(&body, pt_str(l->ns));
    pt_buf_puts(&body, "},\"type\":\"Opaque\",\"stringData\":{\"tls.crt\":");
    pt_buf_json_string(&body, (struct pt_str){cert.data, cert.len});
    pt_buf_puts(&body, ",\"tls.key\":");
    pt_buf_json_string(&body, (struct pt_str){key.data, key.len});
    pt_buf_puts(&body, "}}");
    rc = pt_buf_check(&body, "CA secret", err);
    if (rc < 0)
        return rc;
    struct pt_api_request req = {.verb = l->exists ? PT_VERB_MERGE_PATCH : PT_VERB_CREATE, .resource = &pt_res_secrets, .ns = l->ns,
                                 .name = PT_CA_SECRET, .body = {body.data, body.len}};
    return pt_api_start(l->api, &req, on_written, l, NULL, err);
}

/* True when the Secret held a usable CA (then l is finished). */
static bool use_secret(struct ca_load *l, struct pt_str body)
{
    pt_auto_buf cert = PT_BUF_INIT(64 << 10), key = PT_BUF_INIT(64 << 10);
    cJSON *secret = cJSON_ParseWithLength(body.p, body.len);
    const cJSON *data = cJSON_GetObjectItemCaseSensitive(secret, "data");
    bool good = decode_member(data, "tls.crt", &cert) && decode_member(data, "tls.key", &key) && pt_cert_seconds_left(pt_buf_cstr(&cert), NULL) > RENEW_SECONDS;
    cJSON_Delete(secret);
    if (good)
        finish(l, pt_buf_cstr(&cert), pt_buf_cstr(&key), NULL);
    return good;
}

static void on_read(void *arg, const struct pt_api_result *r)
{
    struct ca_load *l = arg;
    struct pt_err err;
    if (r->err.code != PT_OK && r->err.code != PT_ENOTFOUND) {
        next_round(l, &r->err);
        return;
    }
    l->exists = r->err.code == PT_OK;
    if (l->exists && use_secret(l, r->body))
        return;
    if (put_secret(l, &err) < 0)
        next_round(l, &err);
}

static void start_round(struct pt_timer *t)
{
    struct ca_load *l = (struct ca_load *)(void *)((char *)t - offsetof(struct ca_load, retry));
    struct pt_err err;
    struct pt_api_request req = {.verb = PT_VERB_GET, .resource = &pt_res_secrets, .ns = l->ns, .name = PT_CA_SECRET, .timeout_ms = 10000};
    if (pt_api_start(l->api, &req, on_read, l, NULL, &err) < 0)
        next_round(l, &err);
}

int pt_ca_serve(const char *ca_cert_pem, const char *ca_key_pem, const char *names, const char *client_ca_pem, struct pt_tls **out, struct pt_err *err)
{
    pt_auto_buf cert = PT_BUF_INIT(64 << 10), key = PT_BUF_INIT(64 << 10);
    struct pt_tls *tls = NULL;
    int rc = pt_ca_issue(ca_cert_pem, ca_key_pem, names, CERT_DAYS, &cert, &key, err);
    if (rc == PT_OK)
        rc = pt_tls_server_create(pt_buf_cstr(&cert), pt_buf_cstr(&key), &tls, err);
    if (rc == PT_OK && client_ca_pem && (rc = pt_tls_require_clients(tls, client_ca_pem, false, err)) < 0)
        pt_tls_destroy(pt_steal(tls));
    *out = tls;
    return rc;
}

int pt_ca_load(struct pt_api *api, struct pt_sched *sched, const char *ns, int64_t deadline_ms, pt_ca_fn fn, void *arg, struct pt_err *err)
{
    struct ca_load *l = pt_calloc(1, sizeof *l);
    char *copy = pt_strdup(ns);
    if (!l || !copy) {
        pt_free(l);
        pt_free(copy);
        return pt_fail(err, PT_ENOMEM, "certificate authority: out of memory");
    }
    *l = (struct ca_load){.api = api, .sched = sched, .ns = copy, .give_up_ms = pt_now_ms(sched) + deadline_ms, .fn = fn, .arg = arg};
    pt_timer_start(sched, &l->retry, 0, start_round);
    return PT_OK;
}
