/* SPDX-License-Identifier: Apache-2.0
 *
 * intake.c: a request waits for its TokenReview unless its token was reviewed before. Good tokens are remembered for
 * REMEMBER_MS (known.h); they are never logged.
 */
#include "operator/report/intake.h"

#include "base/log.h"
#include "base/mem.h"
#include "net/http_server.h"
#include "operator/ctrl/obj.h"
#include "operator/report/ca.h"
#include "operator/report/known.h"

#include <stddef.h>
#include <stdio.h>

enum { REMEMBER_MS = 300000, MAX_REMEMBERED = 100000, MAX_REVIEWS = 1024, MAX_TOKEN = 8192 };

struct review {
    struct pt_intake *intake;
    struct review *next, **link;
    struct pt_http_request *request; /* NULL once the client is gone */
    struct pt_api_call *call;
    struct pt_known_id token;
};

struct pt_intake {
    struct pt_intake_options o;
    struct pt_http_server *server;
    struct pt_known tokens;
    struct review *reviews;
    unsigned review_count;
    char *ca_cert, *ca_key, *names;
};

static const struct pt_metric_family reports_family = {
    "pintle_operator_reports_total", "Reports of sidecars by HTTP status of the answer.", PT_COUNTER, "code", NULL, 0};

static void count(struct pt_intake *i, int status)
{
    char code[16];
    snprintf(code, sizeof code, "%d", status);
    if (i->o.metrics)
        pt_metric_add(pt_metrics_series(i->o.metrics, &reports_family, code, NULL), 1);
}

static void refuse(struct pt_intake *i, struct pt_http_request *req, const struct pt_err *err)
{
    count(i, pt_err_http(err->code));
    if (err->code == PT_EUNAVAILABLE) /* another may lead by now: the next report is to ask the Service anew */
        pt_http_retire(req);
    pt_http_reply_error(req, err);
}

/* The request's report, sent by this pod. */
static void take_report(struct pt_intake *i, struct pt_http_request *req, const struct pt_known_id *pod)
{
    struct pt_known_id told;
    struct pt_report report;
    struct pt_err err;
    int64_t next_ms = PT_REPORT_INTERVAL_MS;
    char reply[64];
    int rc = pt_report_decode(pt_http_body(req), &report, &err);
    if (rc == PT_OK && !pt_known_id(pt_str(report.pod_uid), &told))
        rc = pt_fail(&err, PT_ENOMEM, "out of memory");
    if (rc == PT_OK && memcmp(&told, pod, sizeof told) != 0)
        rc = pt_fail(&err, PT_EDENIED, "the token belongs to another pod than the one with uid %s", report.pod_uid);
    if (rc == PT_OK)
        rc = i->o.report(i->o.arg, &report, &next_ms, &err);
    if (rc < 0) {
        refuse(i, req, &err);
        return;
    }
    snprintf(reply, sizeof reply, "{\"" PT_REPORT_REPLY_AFTER "\":%lld}", (long long)next_ms);
    count(i, 200);
    pt_http_reply(req, 200, "application/json", NULL, 0, pt_str(reply));
}

/* --- tokens -------------------------------------------------------------------------------------------------------------- */

static void free_review(struct review *v)
{
    *v->link = v->next;
    if (v->next)
        v->next->link = v->link;
    v->intake->review_count--;
    pt_free(v);
}

void pt_intake_read_review(struct pt_str text, char uid[64])
{
    pt_auto_obj *review = cJSON_ParseWithLength(text.p ? text.p : "", text.len);
    const cJSON *status = pt_obj_get(review, "status"), *audience, *extra = pt_obj_get(status, "user.extra");
    bool ours = false;
    *uid = 0;
    cJSON_ArrayForEach(audience, pt_obj_get(status, "audiences")) ours |=
        cJSON_IsString(audience) && strcmp(audience->valuestring, PT_TOKEN_AUDIENCE) == 0;
    if (!ours || !cJSON_IsTrue(pt_obj_get(status, "authenticated")))
        return;
    /* the member's name has dots */
    const char *told = pt_obj_text(cJSON_GetObjectItemCaseSensitive(extra, "authentication.kubernetes.io/pod-uid"), "0");
    if (strlen(told) < 64)
        snprintf(uid, 64, "%s", told);
}

static void on_reviewed(void *arg, const struct pt_api_result *r)
{
    struct review *v = arg;
    struct pt_intake *i = v->intake;
    struct pt_http_request *req = v->request;
    struct pt_err err;
    char uid[64] = "";
    if (r->err.code == PT_OK)
        pt_intake_read_review(r->body, uid);
    struct pt_known_id pod = {{0}}, token = v->token;
    int64_t now = pt_now_ms(pt_loop_sched(i->o.loop));
    bool good = *uid && pt_known_id(pt_str(uid), &pod);
    if (good)
        pt_known_put(&i->tokens, &token, &pod, now + REMEMBER_MS, now);
    if (req)
        pt_http_on_close(req, NULL, NULL);
    free_review(v);
    if (req && r->err.code != PT_OK) {
        pt_log(PT_LOG_WARN, "a report's token could not be reviewed", "error", r->err.msg, NULL);
        pt_fail(&err, PT_EUNAVAILABLE, "the token could not be reviewed");
        refuse(i, req, &err);
    } else if (req && !*uid) {
        pt_fail(&err, PT_EUNAUTHENTICATED, "the token is not valid for audience " PT_TOKEN_AUDIENCE " or not bound to a pod");
        refuse(i, req, &err);
    } else if (req && !good) {
        pt_fail(&err, PT_ENOMEM, "out of memory");
        refuse(i, req, &err);
    } else if (req) {
        take_report(i, req, &pod);
    }
}

static void on_client_gone(void *arg)
{
    ((struct review *)arg)->request = NULL;
}

static int start_review(struct pt_intake *i, struct pt_http_request *req, struct pt_str token, const struct pt_known_id *id, struct pt_err *err)
{
    if (i->review_count >= MAX_REVIEWS)
        return pt_fail(err, PT_EBUSY, "too many reports wait for their token's review");
    struct review *v = pt_calloc(1, sizeof *v);
    if (!v)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    *v = (struct review){.intake = i, .request = req, .next = i->reviews, .link = &i->reviews, .token = *id};
    if (i->reviews)
        i->reviews->link = &v->next;
    i->reviews = v;
    i->review_count++;
    pt_auto_buf body = PT_BUF_INIT(2 * MAX_TOKEN);
    pt_buf_puts(&body, "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenReview\",\"spec\":{\"audiences\":[\"" PT_TOKEN_AUDIENCE
                       "\"],\"token\":");
    pt_buf_json_string(&body, token);
    pt_buf_puts(&body, "}}");
    int rc = pt_buf_check(&body, "token review", err);
    struct pt_api_request review = {.verb = PT_VERB_CREATE, .resource = &pt_res_tokenreviews, .body = {body.data, body.len}, .timeout_ms = 10000};
    if (rc == PT_OK)
        rc = pt_api_start(i->o.api, &review, on_reviewed, v, &v->call, err);
    if (rc < 0)
        free_review(v);
    else
        pt_http_on_close(req, on_client_gone, v);
    return rc;
}

static int authenticate(struct pt_intake *i, struct pt_http_request *req, const struct pt_known_id **pod, struct pt_err *err)
{
    struct pt_str token = pt_http_header(req, "Authorization");
    struct pt_known_id id;
    *pod = NULL;
    if (!token.p || !pt_str_starts(token, PT_STR("Bearer ")) || token.len > MAX_TOKEN)
        return pt_fail(err, PT_EUNAUTHENTICATED, "a bearer token is needed");
    token = (struct pt_str){token.p + 7, token.len - 7};
    if (!pt_known_id(token, &id))
        return pt_fail(err, PT_ENOMEM, "out of memory");
    *pod = pt_known_get(&i->tokens, &id, pt_now_ms(pt_loop_sched(i->o.loop)));
    return *pod ? PT_OK : start_review(i, req, token, &id, err);
}

static void handle(void *arg, struct pt_http_request *req)
{
    struct pt_intake *i = arg;
    struct pt_err err;
    const struct pt_known_id *pod = NULL;
    int rc = PT_OK;
    if (!pt_str_eq(pt_http_path(req), PT_STR(PT_REPORT_PATH)))
        rc = pt_fail(&err, PT_ENOTFOUND, "no such path: reports go to " PT_REPORT_PATH);
    else if (!pt_str_eq(pt_http_method(req), PT_STR("POST")))
        rc = pt_fail(&err, PT_EMETHOD, "reports are sent with POST");
    else
        rc = authenticate(i, req, &pod, &err);
    if (rc < 0)
        refuse(i, req, &err);
    else if (pod)
        take_report(i, req, pod);
}

/* --- the server ------------------------------------------------------------------------------------------------------------ */

static int start_listening(struct pt_intake *i, struct pt_err *err)
{
    struct pt_tls *tls = NULL;
    int rc = pt_ca_serve(i->ca_cert, i->ca_key, i->names, i->o.cert_s, NULL, &tls, err);
    struct pt_http_server_options o = {.address = i->o.address,
                                       .tls = tls,
                                       .max_header_bytes = 32 << 10,
                                       .max_body_bytes = PT_REPORT_MAX_BYTES,
                                       .max_connections = 65536,
                                       .idle_timeout_ms = 600000,
                                       .handler = handle,
                                       .arg = i};
    if (rc == PT_OK)
        rc = pt_http_server_start(i->o.loop, &o, &i->server, err);
    pt_tls_destroy(tls);
    return rc;
}

int pt_intake_start(const struct pt_intake_options *o, struct pt_intake **out, struct pt_err *err)
{
    struct pt_intake *i = pt_calloc(1, sizeof *i);
    if (!i)
        return pt_fail(err, PT_ENOMEM, "report intake: out of memory");
    i->o = *o;
    i->tokens.most = MAX_REMEMBERED;
    i->ca_cert = pt_strdup(o->ca_cert_pem);
    i->ca_key = pt_strdup(o->ca_key_pem);
    i->names = pt_strdup(o->names);
    int rc = i->ca_cert && i->ca_key && i->names ? start_listening(i, err) : pt_fail(err, PT_ENOMEM, "out of memory");
    if (rc < 0) {
        pt_intake_destroy(i);
        return pt_wrap(err, "report intake on %s", o->address);
    }
    *out = i;
    return PT_OK;
}

int pt_intake_renew(struct pt_intake *i, const char *ca_cert_pem, const char *ca_key_pem, struct pt_err *err)
{
    struct pt_tls *tls = NULL;
    int rc = pt_ca_serve(ca_cert_pem, ca_key_pem, i->names, i->o.cert_s, NULL, &tls, err);
    if (rc == PT_OK)
        pt_http_server_set_tls(i->server, tls);
    pt_tls_destroy(tls);
    return rc;
}

int pt_intake_port(const struct pt_intake *i)
{
    return pt_http_server_port(i->server);
}

void pt_intake_destroy(struct pt_intake *i)
{
    if (!i)
        return;
    while (i->reviews) {
        struct review *v = i->reviews;
        pt_api_cancel(i->o.api, v->call);
        if (v->request)
            pt_http_on_close(v->request, NULL, NULL);
        free_review(v);
    }
    pt_http_server_destroy(i->server);
    pt_known_finish(&i->tokens);
    pt_free(i->ca_cert);
    pt_free(i->ca_key);
    pt_free(i->names);
    pt_free(i);
}
