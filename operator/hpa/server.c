/* SPDX-License-Identifier: Apache-2.0
 *
 * server.c: see server.h. A round a minute: whom to believe (the ConfigMap), then whether the APIService knows our CA. The first round starts the
 * server.
 */
#include "operator/hpa/server.h"

#include "base/log.h"
#include "base/mem.h"
#include "net/http_server.h"
#include "operator/ctrl/obj.h"
#include "operator/report/ca.h"

#include <stddef.h>
#include <stdio.h>

enum { ROUND_MS = 60000, RETRY_MS = 2000 };

#define CONFIG_NS "kube-system"
#define CONFIG_NAME "extension-apiserver-authentication"
#define SERVICE "pintle-operator"
#define APISERVICE PT_HPA_VERSION "." PT_HPA_GROUP

struct pt_hpa {
    struct pt_hpa_options o;
    char *address, *ns, *ca_cert, *ca_key, *names;
    char *client_ca, *allowed; /* of the front proxy, as published; allowed: JSON list of common names, empty: any */
    struct pt_http_server *server;
    struct pt_api_call *call;
    struct pt_timer timer;
};

static void start_round(struct pt_timer *t);

static void next_round(struct pt_hpa *h, const char *what, const struct pt_err *failure)
{
    if (failure)
        pt_log(PT_LOG_WARN, what, "error", failure->msg, NULL);
    pt_timer_start(pt_loop_sched(h->o.loop), &h->timer, failure ? RETRY_MS : ROUND_MS, start_round);
}

/* --- requests ------------------------------------------------------------------------------------------------------------ */

/* Is it one of the names that may speak for the front proxy? */
static bool is_allowed(const struct pt_hpa *h, const char *name)
{
    pt_auto_obj *names = cJSON_Parse(h->allowed);
    const cJSON *n;
    if (cJSON_GetArraySize(names) == 0)
        return true;
    cJSON_ArrayForEach(n, names) if (cJSON_IsString(n) && strcmp(n->valuestring, name) == 0) return true;
    return false;
}

static void handle(void *arg, struct pt_http_request *req)
{
    struct pt_hpa *h = arg;
    char peer[256], labels[1024], metric[256];
    pt_auto_buf out = PT_BUF_INIT(64 << 20);
    struct pt_hpa_request r = {.path = pt_http_path(req),
                               .label_selector = pt_http_query_param(req, "labelSelector", labels, sizeof labels),
                               .metric_selector = pt_http_query_param(req, "metricLabelSelector", metric, sizeof metric)};
    int status;
    if (!pt_http_peer_name(req, peer, sizeof peer) || !is_allowed(h, peer))
        status = pt_hpa_status(403, "Forbidden", "only the API server's aggregation layer may ask", &out);
    else if (!pt_str_eq(pt_http_method(req), PT_STR("GET")))
        status = pt_hpa_status(405, "MethodNotAllowed", "metrics are read with GET", &out);
    else if (h->o.works(h->o.arg))
        status = pt_hpa_answer(&r, h->o.loads, h->o.arg, pt_wall_ms(pt_loop_sched(h->o.loop)), &out);
    else
        status = pt_hpa_status(503, "ServiceUnavailable", "this operator stands by or has just started", &out);
    if (status == 503) /* another may lead by now: the Service knows */
        pt_http_retire(req);
    pt_http_reply_buf(req, status, "application/json", NULL, 0, &out);
}

/* --- whom to believe ----------------------------------------------------------------------------------------------------- */

static int listen_with(struct pt_hpa *h, const char *client_ca, const char *allowed, struct pt_err *err)
{
    struct pt_tls *tls = NULL;
    char *ca = pt_strdup(client_ca), *names = pt_strdup(allowed);
    int rc = ca && names ? pt_ca_serve(h->ca_cert, h->ca_key, h->names, h->o.cert_s, ca, &tls, err) : pt_fail(err, PT_ENOMEM, "out of memory");
    struct pt_http_server_options o = {
        .address = h->address, .tls = tls, .max_body_bytes = 4096, .max_connections = 256, .handler = handle, .arg = h};
    bool first = !h->server;
    if (rc == PT_OK && first)
        rc = pt_http_server_start(h->o.loop, &o, &h->server, err);
    else if (rc == PT_OK)
        pt_http_server_set_tls(h->server, tls);
    pt_tls_destroy(tls);
    if (rc < 0) {
        pt_free(ca);
        pt_free(names);
        return pt_wrap(err, "metrics API on %s", h->address);
    }
    pt_free(h->client_ca);
    pt_free(h->allowed);
    h->client_ca = ca;
    h->allowed = names;
    if (first)
        pt_log(PT_LOG_INFO, "metrics API for HorizontalPodAutoscalers", "address", h->address, NULL);
    return PT_OK;
}

static int believe(struct pt_hpa *h, const cJSON *config, struct pt_err *err)
{
    const cJSON *data = pt_obj_get(config, "data");
    const char *ca = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(data, "requestheader-client-ca-file"));
    const char *names = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(data, "requestheader-allowed-names"));
    pt_auto_obj *list = names ? cJSON_Parse(names) : cJSON_CreateArray();
    if (!ca || !*ca)
        return pt_fail(err, PT_EINVAL,
                       "ConfigMap " CONFIG_NS "/" CONFIG_NAME ": no requestheader-client-ca-file: the API server's aggregation layer is not set up");
    if (!cJSON_IsArray(list))
        return pt_fail(err, PT_EINVAL, "ConfigMap " CONFIG_NS "/" CONFIG_NAME ": requestheader-allowed-names \"%.100s\" is no JSON list",
                       names ? names : "");
    names = names ? names : "[]";
    if (h->client_ca && strcmp(h->client_ca, ca) == 0 && strcmp(h->allowed, names) == 0)
        return PT_OK;
    return listen_with(h, ca, names, err);
}

/* --- being believed ------------------------------------------------------------------------------------------------------ */

static void on_patched(void *arg, const struct pt_api_result *r)
{
    struct pt_hpa *h = arg;
    h->call = NULL;
    next_round(h, "the APIService " APISERVICE " could not be given our CA", r->err.code == PT_OK ? NULL : &r->err);
}

static int patch_bundle(struct pt_hpa *h, const cJSON *service, const char *bundle, struct pt_err *err)
{
    pt_auto_buf body = PT_BUF_INIT(256 << 10);
    pt_buf_printf(&body, "{\"metadata\":{\"uid\":\"%s\"},\"spec\":{\"caBundle\":\"%s\"}}", pt_obj_text(service, "metadata.uid"), bundle);
    int rc = pt_buf_check(&body, "APIService", err);
    struct pt_api_request req = {.verb = PT_VERB_MERGE_PATCH, .resource = &pt_res_apiservices, .name = APISERVICE, .body = {body.data, body.len}};
    return rc < 0 ? rc : pt_api_start(h->o.api, &req, on_patched, h, &h->call, err);
}

static void on_apiservice(void *arg, const struct pt_api_result *r)
{
    struct pt_hpa *h = arg;
    struct pt_err err;
    pt_auto_obj *service = r->err.code == PT_OK ? cJSON_ParseWithLength(r->body.p, r->body.len) : NULL;
    size_t len = strlen(h->ca_cert);
    pt_auto_free char *bundle = pt_malloc((len + 2) / 3 * 4 + 1);
    h->call = NULL;
    if (r->err.code != PT_OK || !service || !bundle) {
        next_round(h, "the APIService " APISERVICE " is not at hand", r->err.code == PT_OK ? &(struct pt_err){PT_EPARSE, "not understood"} : &r->err);
        return;
    }
    pt_base64_encode(h->ca_cert, len, bundle);
    if (strcmp(pt_obj_text(service, "spec.service.namespace"), h->ns) != 0 || strcmp(pt_obj_text(service, "spec.service.name"), SERVICE) != 0) {
        pt_fail(&err, PT_EEXIST, "it belongs to Service %s/%s", pt_obj_text(service, "spec.service.namespace"),
                pt_obj_text(service, "spec.service.name"));
        next_round(h, "the APIService " APISERVICE " is another's", &err);
    } else if (strcmp(pt_obj_text(service, "spec.caBundle"), bundle) == 0) {
        next_round(h, NULL, NULL);
    } else if (patch_bundle(h, service, bundle, &err) < 0) {
        next_round(h, "the APIService " APISERVICE " could not be given our CA", &err);
    }
}

static void on_config(void *arg, const struct pt_api_result *r)
{
    struct pt_hpa *h = arg;
    struct pt_err err = r->err;
    pt_auto_obj *config = err.code == PT_OK ? cJSON_ParseWithLength(r->body.p, r->body.len) : NULL;
    struct pt_api_request req = {.verb = PT_VERB_GET, .resource = &pt_res_apiservices, .name = APISERVICE, .timeout_ms = 10000};
    h->call = NULL;
    if (err.code != PT_OK || believe(h, config, &err) < 0)
        next_round(h, "the metrics API does not know whom to believe", &err);
    else if (!h->o.works(h->o.arg)) /* the APIService is the business of whoever works; that may be we soon */
        pt_timer_start(pt_loop_sched(h->o.loop), &h->timer, RETRY_MS, start_round);
    else if (pt_api_start(h->o.api, &req, on_apiservice, h, &h->call, &err) < 0)
        next_round(h, "the APIService " APISERVICE " is not at hand", &err);
}

static void start_round(struct pt_timer *t)
{
    struct pt_hpa *h = (struct pt_hpa *)(void *)((char *)t - offsetof(struct pt_hpa, timer));
    struct pt_err err;
    struct pt_api_request req = {.verb = PT_VERB_GET, .resource = &pt_res_configmaps, .ns = CONFIG_NS, .name = CONFIG_NAME, .timeout_ms = 10000};
    if (pt_api_start(h->o.api, &req, on_config, h, &h->call, &err) < 0)
        next_round(h, "the metrics API does not know whom to believe", &err);
}

/* --- life ---------------------------------------------------------------------------------------------------------------- */

int pt_hpa_start(const struct pt_hpa_options *o, struct pt_hpa **out, struct pt_err *err)
{
    char names[256];
    struct pt_hpa *h = pt_calloc(1, sizeof *h);
    if (!h)
        return pt_fail(err, PT_ENOMEM, "metrics API: out of memory");
    h->o = *o;
    snprintf(names, sizeof names, SERVICE ".%s.svc", o->ns);
    if (!(h->address = pt_strdup(o->address)) || !(h->ns = pt_strdup(o->ns)) || !(h->ca_cert = pt_strdup(o->ca_cert_pem)) ||
        !(h->ca_key = pt_strdup(o->ca_key_pem)) || !(h->names = pt_strdup(names))) {
        pt_hpa_destroy(h);
        return pt_fail(err, PT_ENOMEM, "metrics API: out of memory");
    }
    pt_timer_start(pt_loop_sched(o->loop), &h->timer, 0, start_round);
    *out = h;
    return PT_OK;
}

int pt_hpa_renew(struct pt_hpa *h, const char *ca_cert_pem, const char *ca_key_pem, struct pt_err *err)
{
    char *cert = pt_strdup(ca_cert_pem), *key = pt_strdup(ca_key_pem);
    if (!cert || !key) {
        pt_free(cert);
        pt_free(key);
        return pt_fail(err, PT_ENOMEM, "metrics API: out of memory");
    }
    pt_free(h->ca_cert);
    pt_free(h->ca_key);
    h->ca_cert = cert;
    h->ca_key = key;
    if (!h->call)
        pt_timer_start(pt_loop_sched(h->o.loop), &h->timer, 0, start_round);
    return h->server ? listen_with(h, h->client_ca, h->allowed, err) : PT_OK;
}

void pt_hpa_destroy(struct pt_hpa *h)
{
    if (!h)
        return;
    pt_timer_stop(pt_loop_sched(h->o.loop), &h->timer);
    if (h->call)
        pt_api_cancel(h->o.api, h->call);
    pt_http_server_destroy(h->server);
    char *owned[] = {h->address, h->ns, h->ca_cert, h->ca_key, h->names, h->client_ca, h->allowed};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        pt_free(owned[i]);
    pt_free(h);
}
