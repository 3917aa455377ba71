/* SPDX-License-Identifier: Apache-2.0
 *
 * http.c: a server in front of memapi: a request is read (request.c) and turned into a call of the API interface, or answered here when it asks
 * about the API itself; the answer is given in the form that the client accepts (table.c).
 */
#include "operator/memapi/internal.h"
#include "base/contract.h"

#include <stdio.h>

struct pt_memapi_exchange {
    struct pt_memapi *m;
    pt_memapi_reply_fn reply;
    void *arg;
    struct pt_api_call *call;
    struct pt_timer turn; /* answers made here come later too; and the head of a quiet watch */
    struct pt_mem_answer answer;
    const char *content_type;
    struct pt_mem_request req;
    bool begun;
    struct pt_buf line;
};

/* --- about the API itself ------------------------------------------------------------------------------------------------ */

static bool put_version(struct pt_memapi *m, struct pt_buf *b)
{
    (void)m;
    return pt_buf_puts(b,
                       "{\"major\":\"1\",\"minor\":\"37\",\"gitVersion\":\"v1.37.0+pintle." PT_VERSION "\",\"gitCommit\":\"\",\"gitTreeState\":\"\","
                       "\"buildDate\":\"\",\"goVersion\":\"\",\"compiler\":\"\",\"platform\":\"\"}");
}

static bool put_ok(struct pt_memapi *m, struct pt_buf *b)
{
    (void)m;
    return pt_buf_puts(b, "ok");
}

static bool put_api_versions(struct pt_memapi *m, struct pt_buf *b)
{
    (void)m;
    return pt_buf_puts(b, "{\"kind\":\"APIVersions\",\"versions\":[\"v1\"],\"serverAddressByClientCIDRs\":[]}");
}

static bool put_groups(struct pt_memapi *m, struct pt_buf *b)
{
    pt_mem_put_groups(m, b);
    return true;
}

static bool put_core_aggregated(struct pt_memapi *m, struct pt_buf *b)
{
    pt_mem_put_aggregated(m, true, b);
    return true;
}

static bool put_groups_aggregated(struct pt_memapi *m, struct pt_buf *b)
{
    pt_mem_put_aggregated(m, false, b);
    return true;
}

static bool put_openapi_v2(struct pt_memapi *m, struct pt_buf *b)
{
    pt_mem_put_openapi_v2(m, b);
    return true;
}

static bool put_openapi_v3(struct pt_memapi *m, struct pt_buf *b)
{
    pt_mem_put_openapi_v3_index(m, b);
    return true;
}

#define JSON "application/json"
#define AGGREGATED "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

static const struct {
    const char *path, *type;
    bool (*put)(struct pt_memapi *m, struct pt_buf *b);
    const char *aggregated_type;
    bool (*put_aggregated)(struct pt_memapi *m, struct pt_buf *b);
} pages[] = {
    {"/healthz", "text/plain", put_ok, NULL, NULL},
    {"/livez", "text/plain", put_ok, NULL, NULL},
    {"/readyz", "text/plain", put_ok, NULL, NULL},
    {"/version", JSON, put_version, NULL, NULL},
    {"/api", JSON, put_api_versions, AGGREGATED, put_core_aggregated},
    {"/apis", JSON, put_groups, AGGREGATED, put_groups_aggregated},
    {"/openapi/v2", JSON, put_openapi_v2, NULL, NULL},
    {"/openapi/v3", JSON, put_openapi_v3, NULL, NULL},
};

static bool answer_page(struct pt_memapi_exchange *x)
{
    if (x->req.protobuf) {
        x->content_type = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
        pt_mem_put_openapi_v2_protobuf(&x->answer.body);
        return true;
    }
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        if (!pt_str_eq(x->req.path, pt_str(pages[i].path)))
            continue;
        bool aggregated = x->req.aggregated && pages[i].put_aggregated;
        x->content_type = aggregated ? pages[i].aggregated_type : pages[i].type;
        return (aggregated ? pages[i].put_aggregated : pages[i].put)(x->m, &x->answer.body);
    }
    return false;
}

/* "/openapi/v3/apis/pintle.dev/v1alpha1" */
static bool answer_schema(struct pt_memapi_exchange *x)
{
    char path[200], group[128] = "", version[64];
    int end = 0;
    snprintf(path, sizeof path, PT_STR_FMT, PT_STR_ARG(x->req.path));
    bool found = (sscanf(path, "/openapi/v3/apis/%127[^/]/%63[^/]%n", group, version, &end) == 2 && end && !path[end]) ||
                 (sscanf(path, "/openapi/v3/api/%63[^/]%n", version, &end) == 1 && end && !path[end] && !(*group = 0));
    return found && pt_mem_put_openapi_v3(x->m, pt_str(group), pt_str(version), &x->answer.body);
}

static bool answer_group(struct pt_memapi_exchange *x)
{
    const struct pt_mem_request *r = &x->req;
    if (!r->group.p)
        return false;
    return r->version.p ? pt_mem_put_resources(x->m, r->group, r->version, &x->answer.body) : pt_mem_put_group(x->m, r->group, &x->answer.body);
}

static bool answer_here(struct pt_memapi_exchange *x)
{
    x->answer.http = 200;
    bool found = answer_page(x) || answer_schema(x) || answer_group(x);
    if (found && x->answer.body.failed)
        pt_mem_fail(&x->answer, 500, "InternalError", "out of memory");
    return found;
}

/* --- the answer ---------------------------------------------------------------------------------------------------------- */

static void finish(struct pt_memapi_exchange *x)
{
    if (x->call)
        pt_api_cancel(&x->m->api, x->call);
    pt_timer_stop(x->m->o.sched, &x->turn);
    pt_buf_finish(&x->answer.body);
    pt_buf_finish(&x->line);
    pt_arena_finish(&x->req.arena);
    pt_free(x);
}

void pt_memapi_http_cancel(struct pt_memapi_exchange *x)
{
    if (x)
        finish(x);
}

void pt_memapi_http_pause(struct pt_memapi_exchange *x, bool pause)
{
    if (x->call)
        pt_mem_call_pause(x->call, pause);
}

/* The object in the form that was asked for, in x->line; false: as it is. */
static bool reform(struct pt_memapi_exchange *x, struct pt_str object)
{
    struct pt_err err = {0};
    if (x->req.form == PT_MEM_PLAIN || !x->req.type)
        return false;
    pt_buf_reset(&x->line);
    return pt_mem_put_form(x->m, x->req.type, x->req.form, x->req.include, object, &x->line, &err) == PT_OK;
}

static void last_reply(struct pt_memapi_exchange *x, int status, struct pt_str body)
{
    pt_memapi_reply_fn reply = x->reply;
    void *arg = x->arg;
    const char *type = x->content_type;
    struct pt_buf kept = x->answer.body, formed = {0};
    if (status < 300 && body.len && !x->begun && reform(x, body)) {
        formed = x->line;
        x->line = (struct pt_buf){0};
        body = (struct pt_str){formed.data, formed.len};
    }
    x->answer.body = (struct pt_buf){0};
    finish(x);
    reply(arg, status, type, body, false);
    pt_buf_finish(&kept);
    pt_buf_finish(&formed);
}

static void turn(struct pt_timer *t)
{
    struct pt_memapi_exchange *x = (struct pt_memapi_exchange *)((char *)t - offsetof(struct pt_memapi_exchange, turn));
    if (x->call) { /* a watch, and nothing has happened yet: let the client know that it is connected */
        if (!x->begun) {
            x->begun = true;
            x->reply(x->arg, 200, x->content_type, (struct pt_str){NULL, 0}, true);
        }
        return;
    }
    last_reply(x, x->answer.http, (struct pt_str){x->answer.body.data, x->answer.body.len});
}

static void done(void *arg, const struct pt_api_result *res)
{
    struct pt_memapi_exchange *x = arg;
    x->call = NULL;
    int status = res->http ? res->http : pt_err_http(res->err.code);
    if (x->req.watch && (x->begun || status < 300)) {
        last_reply(x, status, (struct pt_str){NULL, 0});
    } else if (res->err.code != PT_OK && !res->body.len) {
        pt_mem_fail(&x->answer, status, status == 400 ? "BadRequest" : status == 504 ? "Timeout" : "InternalError", "%s", res->err.msg);
        last_reply(x, status, (struct pt_str){x->answer.body.data, x->answer.body.len});
    } else {
        last_reply(x, status, res->body);
    }
}

static void event(void *arg, const struct pt_watch_event *e)
{
    static const char *const types[] = {"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"};
    struct pt_memapi_exchange *x = arg;
    struct pt_str object = e->object;
    pt_auto_buf line = PT_BUF_INIT(0);
    if (e->type == PT_WATCH_BOOKMARK && !x->req.bookmarks)
        return;
    if (e->type != PT_WATCH_ERROR && reform(x, object))
        object = (struct pt_str){x->line.data, x->line.len};
    pt_buf_printf(&line, "{\"type\":\"%s\",\"object\":", types[e->type]);
    pt_buf_append(&line, object.p, object.len);
    pt_buf_puts(&line, "}\n");
    x->begun = true;
    if (!line.failed)
        x->reply(x->arg, 200, x->content_type, (struct pt_str){line.data, line.len}, true);
}

/* What was wrong with the request itself. */
static void refuse(struct pt_memapi_exchange *x, const struct pt_err *why)
{
    static const struct {
        int code, http;
        const char *reason;
    } rows[] = {{PT_EUNSUPPORTED, 415, "UnsupportedMediaType"},
                {PT_EMETHOD, 405, "MethodNotAllowed"},
                {PT_ENOMEM, 500, "InternalError"},
                {0, 400, "BadRequest"}};
    size_t i = 0;
    while (rows[i].code && rows[i].code != why->code)
        i++;
    x->content_type = JSON;
    if (x->req.unacceptable)
        pt_mem_fail(&x->answer, 406, "NotAcceptable", "%s", why->msg);
    else
        pt_mem_fail(&x->answer, rows[i].http, rows[i].reason, "%s", why->msg);
}

static int begin(struct pt_memapi_exchange *x, struct pt_err *err)
{
    struct pt_mem_request *r = &x->req;
    if (!r->type) {
        if (!answer_here(x))
            pt_mem_fail(&x->answer, 404, "NotFound", "the server could not find the requested resource (" PT_STR_FMT ")", PT_STR_ARG(r->path));
        return PT_OK;
    }
    return r->watch ? pt_api_watch(&x->m->api, &r->api, event, done, x, &x->call, err) : pt_api_start(&x->m->api, &r->api, done, x, &x->call, err);
}

int pt_memapi_http(struct pt_memapi *m, const struct pt_memapi_http *h, pt_memapi_reply_fn reply, void *arg, struct pt_memapi_exchange **out,
                   struct pt_err *err)
{
    struct pt_err why = {0};
    struct pt_memapi_exchange *x = pt_calloc(1, sizeof *x);
    if (!x)
        return pt_fail(err, PT_ENOMEM, "request: out of memory");
    *x = (struct pt_memapi_exchange){.m = m, .reply = reply, .arg = arg, .content_type = JSON};
    pt_arena_init(&x->req.arena, 16 << 20);
    int rc = pt_mem_define(m, err);
    if (rc == PT_OK) {
        if (pt_mem_request_read(m, h, &x->req, &why) < 0)
            refuse(x, &why);
        else
            rc = begin(x, err);
    }
    if (rc < 0) {
        finish(x);
        return rc;
    }
    if (!x->call || x->req.watch)
        pt_timer_start(m->o.sched, &x->turn, x->call ? m->o.latency_ms : 0, turn);
    *out = x;
    return PT_OK;
}
