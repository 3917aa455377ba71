/* SPDX-License-Identifier: Apache-2.0
 *
 * http.c: the API's own paths, for a server in front of memapi: a request line is turned into a call of the API interface, and discovery is
 * answered from the table of resource types.
 */
#include "operator/memapi/internal.h"
#include "base/contract.h"
#include "operator/ctrl/manifest.h"

#include <stdio.h>
#include <strings.h>

struct pt_memapi_exchange {
    struct pt_memapi *m;
    pt_memapi_reply_fn reply;
    void *arg;
    struct pt_api_call *call;
    struct pt_timer turn;      /* answers made here come later too; and the head of a quiet watch */
    struct pt_mem_answer answer;
    struct pt_arena arena;     /* of the request's strings */
    struct pt_api_request req;
    bool watch, begun;
    struct pt_buf line;
};

/* --- the request --------------------------------------------------------------------------------------------------------- */

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* Percent-decoded copy; NULL when malformed or out of memory. */
static const char *decoded(struct pt_arena *a, struct pt_str s, bool plus_is_blank)
{
    char *out = pt_arena_alloc(a, s.len + 1);
    size_t n = 0;
    for (size_t i = 0; out && i < s.len; i++) {
        int c = s.p[i];
        if (c == '%') {
            if (i + 2 >= s.len || hex(s.p[i + 1]) < 0 || hex(s.p[i + 2]) < 0)
                return NULL;
            c = hex(s.p[i + 1]) * 16 + hex(s.p[i + 2]);
            i += 2;
        } else if (c == '+' && plus_is_blank) {
            c = ' ';
        }
        if (c == 0)
            return NULL;
        out[n++] = (char)c;
    }
    return out;
}

static int take_query(struct pt_memapi_exchange *x, struct pt_str query, struct pt_err *err)
{
    struct pt_str pair;
    while (query.len && pt_str_split(&query, '&', &pair)) {
        const char *eq = memchr(pair.p, '=', pair.len);
        size_t n = eq ? (size_t)(eq - pair.p) : pair.len;
        const char *name = decoded(&x->arena, (struct pt_str){pair.p, n}, true);
        const char *value = decoded(&x->arena, eq ? (struct pt_str){eq + 1, pair.len - n - 1} : PT_STR(""), true);
        int64_t number = 0;
        if (!name || !value)
            return pt_fail(err, PT_EINVAL, "query \"" PT_STR_FMT "\": not decodable", PT_STR_ARG(pair));
        bool numeric = !strcmp(name, "limit") || !strcmp(name, "timeoutSeconds") || !strcmp(name, "gracePeriodSeconds");
        if (numeric && pt_parse_i64(pt_str(value), 0, 86400, name, &number, err) < 0)
            return err->code;
        if (!strcmp(name, "watch"))
            x->watch = !strcmp(value, "1") || !strcasecmp(value, "true");
        else if (!strcmp(name, "limit"))
            x->req.limit = number;
        else if (!strcmp(name, "timeoutSeconds"))
            x->req.timeout_ms = number * 1000;
        else if (!strcmp(name, "gracePeriodSeconds"))
            x->req.grace_seconds = (int)number;
        else if (!strcmp(name, "continue"))
            x->req.continue_token = value;
        else if (!strcmp(name, "labelSelector"))
            x->req.label_selector = value;
        else if (!strcmp(name, "fieldSelector"))
            x->req.field_selector = value;
        else if (!strcmp(name, "resourceVersion"))
            x->req.resource_version = value;
        else if (!strcmp(name, "propagationPolicy"))
            x->req.propagation = value;
        else if (!strcmp(name, "fieldManager"))
            x->req.field_manager = value;
        else if (!strcmp(name, "dryRun"))
            return pt_fail(err, PT_EUNSUPPORTED, "dryRun is not supported here");
    }
    return PT_OK;
}

static int take_yaml(void *arg, struct pt_str json, size_t line, struct pt_err *err)
{
    struct pt_memapi_exchange *x = arg;
    (void)line;
    if (x->req.body.len)
        return pt_fail(err, PT_EINVAL, "the body has more than one document");
    x->req.body = (struct pt_str){pt_arena_strndup(&x->arena, json.p, json.len), json.len};
    return x->req.body.p ? PT_OK : pt_fail(err, PT_ENOMEM, "out of memory");
}

static int take_delete_options(struct pt_memapi_exchange *x, struct pt_str body, struct pt_err *err)
{
    pt_auto_obj *o = NULL;
    if (!pt_str_trim(body).len)
        return PT_OK;
    if (pt_obj_parse(body, "DeleteOptions", &o, err) < 0)
        return err->code;
    const char *uid = pt_obj_str(o, "preconditions.uid"), *rv = pt_obj_str(o, "preconditions.resourceVersion"), *how = pt_obj_str(o, "propagationPolicy");
    int64_t grace = pt_obj_int(o, "gracePeriodSeconds", x->req.grace_seconds);
    x->req.uid = uid ? decoded(&x->arena, pt_str(uid), false) : NULL;
    x->req.resource_version = rv ? decoded(&x->arena, pt_str(rv), false) : NULL;
    if (how)
        x->req.propagation = decoded(&x->arena, pt_str(how), false);
    x->req.grace_seconds = grace > INT32_MAX ? INT32_MAX : grace < -1 ? -1 : (int)grace;
    return PT_OK;
}

static int take_patch(struct pt_memapi_exchange *x, const struct pt_memapi_http *r, struct pt_err *err)
{
    struct pt_str type = r->content_type, rest = type;
    pt_str_split(&rest, ';', &type);
    type = pt_str_trim(type);
    x->req.body = r->body;
    if (pt_str_eq_nocase(type, PT_STR("application/merge-patch+json"))) {
        x->req.verb = PT_VERB_MERGE_PATCH;
    } else if (pt_str_eq_nocase(type, PT_STR("application/strategic-merge-patch+json"))) {
        x->req.verb = PT_VERB_STRATEGIC;
    } else if (pt_str_eq_nocase(type, PT_STR("application/apply-patch+yaml"))) {
        x->req.verb = PT_VERB_APPLY;
        x->req.body = (struct pt_str){NULL, 0};
        return pt_manifest_parse(r->body, "request body", take_yaml, x, err);
    } else {
        return pt_fail(err, PT_EUNSUPPORTED, "patches of type \"" PT_STR_FMT "\" are not supported; merge, strategic merge or apply", PT_STR_ARG(type));
    }
    return PT_OK;
}

static int take_method(struct pt_memapi_exchange *x, const struct pt_memapi_http *r, struct pt_err *err)
{
    bool named = x->req.name != NULL;
    if (pt_str_eq(r->method, PT_STR("GET"))) {
        x->req.verb = named && !x->watch ? PT_VERB_GET : PT_VERB_LIST;
    } else if (pt_str_eq(r->method, PT_STR("POST")) && !named) {
        x->req.verb = PT_VERB_CREATE;
        x->req.body = r->body;
    } else if (pt_str_eq(r->method, PT_STR("PUT")) && named) {
        x->req.verb = PT_VERB_UPDATE;
        x->req.body = r->body;
    } else if (pt_str_eq(r->method, PT_STR("PATCH")) && named) {
        return take_patch(x, r, err);
    } else if (pt_str_eq(r->method, PT_STR("DELETE")) && named) {
        x->req.verb = PT_VERB_DELETE;
        return take_delete_options(x, r->body, err);
    } else {
        return pt_fail(err, PT_EMETHOD, "method " PT_STR_FMT " is not allowed on this path", PT_STR_ARG(r->method));
    }
    return PT_OK;
}

/* --- discovery ----------------------------------------------------------------------------------------------------------- */

static void put_group_version(struct pt_buf *b, const struct pt_resource *r)
{
    pt_buf_printf(b, "{\"groupVersion\":\"%s/%s\",\"version\":\"%s\"}", r->group, r->version, r->version);
}

static void put_groups(struct pt_memapi *m, struct pt_buf *b)
{
    bool first = true;
    pt_buf_puts(b, "{\"kind\":\"APIGroupList\",\"apiVersion\":\"v1\",\"groups\":[");
    for (struct pt_mem_type *t = m->types; t; t = t->next) {
        bool seen = !*t->res->group;
        for (struct pt_mem_type *u = m->types; u != t && !seen; u = u->next)
            seen = !strcmp(u->res->group, t->res->group);
        if (seen)
            continue;
        pt_buf_printf(b, "%s{\"name\":\"%s\",\"versions\":[", first ? "" : ",", t->res->group);
        put_group_version(b, t->res);
        pt_buf_puts(b, "],\"preferredVersion\":");
        put_group_version(b, t->res);
        pt_buf_putc(b, '}');
        first = false;
    }
    pt_buf_puts(b, "]}");
}

static void put_resource(struct pt_buf *b, const struct pt_mem_type *t, const char *sub, const char *kind)
{
    pt_buf_printf(b, "{\"name\":\"%s%s\",\"singularName\":\"\",\"namespaced\":%s,\"kind\":\"%s\",\"verbs\":[%s]", t->res->plural, sub,
                  t->res->namespaced ? "true" : "false", kind,
                  *sub                            ? "\"get\",\"patch\",\"update\""
                  : t->res == &pt_res_tokenreviews ? "\"create\""
                                                   : "\"create\",\"delete\",\"get\",\"list\",\"patch\",\"update\",\"watch\"");
    if (t->res == &pt_res_modeldeployments && !*sub)
        pt_buf_printf(b, ",\"shortNames\":[\"%s\"]", PT_SHORT_NAME);
    pt_buf_putc(b, '}');
}

/* false: no such group version. */
static bool put_resources(struct pt_memapi *m, struct pt_str group, struct pt_str version, struct pt_buf *b)
{
    bool first = true;
    pt_buf_printf(b, "{\"kind\":\"APIResourceList\",\"apiVersion\":\"v1\",\"groupVersion\":\"" PT_STR_FMT "%s" PT_STR_FMT "\",\"resources\":[", PT_STR_ARG(group),
                  group.len ? "/" : "", PT_STR_ARG(version));
    for (struct pt_mem_type *t = m->types; t; t = t->next) {
        if (!pt_str_eq(group, pt_str(t->res->group)) || !pt_str_eq(version, pt_str(t->res->version)))
            continue;
        pt_buf_puts(b, first ? "" : ",");
        first = false;
        put_resource(b, t, "", t->res->kind);
        if (t->has_status) {
            pt_buf_putc(b, ',');
            put_resource(b, t, "/status", t->res->kind);
        }
        if (t->res == &pt_res_modeldeployments) {
            pt_buf_putc(b, ',');
            put_resource(b, t, "/scale", "Scale");
        }
    }
    pt_buf_puts(b, "]}");
    return !first;
}

static bool answer_here(struct pt_memapi_exchange *x, struct pt_str path)
{
    struct pt_buf *b = &x->answer.body;
    x->answer.http = 200;
    if (pt_str_eq(path, PT_STR("/healthz")) || pt_str_eq(path, PT_STR("/readyz")) || pt_str_eq(path, PT_STR("/livez")))
        return pt_buf_puts(b, "ok");
    if (pt_str_eq(path, PT_STR("/version")))
        return pt_buf_puts(b, "{\"major\":\"1\",\"minor\":\"33\",\"gitVersion\":\"v1.33.0-pintle.v" PT_VERSION "\"}");
    if (pt_str_eq(path, PT_STR("/api")))
        return pt_buf_puts(b, "{\"kind\":\"APIVersions\",\"versions\":[\"v1\"],\"serverAddressByClientCIDRs\":[]}");
    if (pt_str_eq(path, PT_STR("/apis"))) {
        put_groups(x->m, b);
        return true;
    }
    return false;
}

/* --- paths --------------------------------------------------------------------------------------------------------------- */

static bool resource_of(struct pt_memapi_exchange *x, struct pt_str group, struct pt_str version, struct pt_str plural)
{
    for (struct pt_mem_type *t = x->m->types; t; t = t->next)
        if (pt_str_eq(group, pt_str(t->res->group)) && pt_str_eq(version, pt_str(t->res->version)) && pt_str_eq(plural, pt_str(t->res->plural)))
            x->req.resource = t->res;
    return x->req.resource != NULL;
}

/* /api/v1/... or /apis/GROUP/VERSION/..., then [namespaces/NS/]PLURAL[/NAME[/SUBRESOURCE]]. true: answered or routed. */
static bool route(struct pt_memapi_exchange *x, struct pt_str path)
{
    struct pt_str rest = path, part, group = PT_STR(""), version, seg[6];
    int n = 0;
    pt_str_split(&rest, '/', &part); /* before the first slash */
    if (part.len || !pt_str_split(&rest, '/', &part))
        return false;
    if (pt_str_eq(part, PT_STR("apis"))) {
        if (!pt_str_split(&rest, '/', &group))
            return false;
    } else if (!pt_str_eq(part, PT_STR("api"))) {
        return false;
    }
    if (!pt_str_split(&rest, '/', &version))
        return false;
    while (n < 6 && pt_str_split(&rest, '/', &seg[n]))
        n += seg[n].len > 0;
    if (n == 0)
        return put_resources(x->m, group, version, &x->answer.body);
    int at = 0;
    if (n >= 3 && pt_str_eq(seg[0], PT_STR("namespaces"))) {
        x->req.ns = decoded(&x->arena, seg[1], false);
        at = 2;
    }
    if (!resource_of(x, group, version, seg[at]) || n - at > 3 || (x->req.ns != NULL && !x->req.resource->namespaced))
        return false;
    x->req.name = n - at > 1 ? decoded(&x->arena, seg[at + 1], false) : NULL;
    x->req.subresource = n - at > 2 ? decoded(&x->arena, seg[at + 2], false) : NULL;
    return n - at == 1 || x->req.name;
}

/* --- the answer ---------------------------------------------------------------------------------------------------------- */

static void finish(struct pt_memapi_exchange *x)
{
    if (x->call)
        pt_api_cancel(&x->m->api, x->call);
    pt_timer_stop(x->m->o.sched, &x->turn);
    pt_buf_finish(&x->answer.body);
    pt_buf_finish(&x->line);
    pt_arena_finish(&x->arena);
    pt_free(x);
}

void pt_memapi_http_cancel(struct pt_memapi_exchange *x)
{
    if (x)
        finish(x);
}

static void last_reply(struct pt_memapi_exchange *x, int status, struct pt_str body)
{
    pt_memapi_reply_fn reply = x->reply;
    void *arg = x->arg;
    struct pt_buf kept = x->answer.body;
    x->answer.body = (struct pt_buf){0};
    finish(x);
    reply(arg, status, body, false);
    pt_buf_finish(&kept);
}

static void turn(struct pt_timer *t)
{
    struct pt_memapi_exchange *x = (struct pt_memapi_exchange *)((char *)t - offsetof(struct pt_memapi_exchange, turn));
    if (x->watch && x->call) { /* nothing has happened yet: let the client know that it is connected */
        if (!x->begun) {
            x->begun = true;
            x->reply(x->arg, 200, (struct pt_str){NULL, 0}, true);
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
    if (x->watch && x->begun) {
        last_reply(x, status, (struct pt_str){NULL, 0});
    } else if (res->err.code != PT_OK && !res->body.len) {
        pt_mem_fail(&x->answer, status, "InternalError", "%s", res->err.msg);
        last_reply(x, status, (struct pt_str){x->answer.body.data, x->answer.body.len});
    } else {
        last_reply(x, status, res->body);
    }
}

static void event(void *arg, const struct pt_watch_event *e)
{
    static const char *const types[] = {"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"};
    struct pt_memapi_exchange *x = arg;
    pt_buf_reset(&x->line);
    pt_buf_printf(&x->line, "{\"type\":\"%s\",\"object\":", types[e->type]);
    pt_buf_append(&x->line, e->object.p, e->object.len);
    pt_buf_puts(&x->line, "}\n");
    x->begun = true;
    if (!x->line.failed)
        x->reply(x->arg, 200, (struct pt_str){x->line.data, x->line.len}, true);
}

int pt_memapi_http(struct pt_memapi *m, const struct pt_memapi_http *r, pt_memapi_reply_fn reply, void *arg, struct pt_memapi_exchange **out, struct pt_err *err)
{
    struct pt_err why = {0};
    struct pt_memapi_exchange *x = pt_calloc(1, sizeof *x);
    if (!x)
        return pt_fail(err, PT_ENOMEM, "request: out of memory");
    *x = (struct pt_memapi_exchange){.m = m, .reply = reply, .arg = arg, .req = {.grace_seconds = -1}};
    pt_arena_init(&x->arena, 16 << 20);
    const char *question = memchr(r->target.p, '?', r->target.len);
    size_t n = question ? (size_t)(question - r->target.p) : r->target.len;
    struct pt_str path = {r->target.p, n};
    int rc = PT_OK;
    if (!answer_here(x, path)) {
        if (!route(x, path))
            pt_mem_fail(&x->answer, 404, "NotFound", "the server could not find the requested resource (" PT_STR_FMT ")", PT_STR_ARG(path));
        else if (x->req.resource && ((question && (rc = take_query(x, (struct pt_str){question + 1, r->target.len - n - 1}, &why)) < 0) ||
                                     (rc = take_method(x, r, &why)) < 0))
            pt_mem_fail(&x->answer, pt_err_http(rc) == 501 ? 415 : pt_err_http(rc), "BadRequest", "%s", why.msg);
        else if (x->req.resource && x->watch)
            rc = pt_api_watch(&m->api, &x->req, event, done, x, &x->call, err);
        else if (x->req.resource)
            rc = pt_api_start(&m->api, &x->req, done, x, &x->call, err);
    }
    if (rc < 0 && x->answer.err.code == PT_OK) {
        finish(x);
        return rc;
    }
    if (!x->call || x->watch)
        pt_timer_start(m->o.sched, &x->turn, x->watch && x->call ? m->o.latency_ms : 0, turn);
    *out = x;
    return PT_OK;
}
