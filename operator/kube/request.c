/* SPDX-License-Identifier: Apache-2.0
 *
 * request.c: the Kubernetes API's paths, its Status objects and its watch lines: everything about the wire that needs no wire.
 */
#include "operator/kube/client.h"

#include "base/json.h"
#include "base/mem.h"

#include <cjson/cJSON.h>
#include <stdio.h>

/* One path segment or query value, percent-encoded (RFC 3986 unreserved pass). */
static void put_escaped(struct pt_buf *out, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-._~", c))
            pt_buf_putc(out, (char)c);
        else
            pt_buf_printf(out, "%%%02X", c);
    }
}

static void put_query(struct pt_buf *out, char *separator, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    pt_buf_putc(out, *separator);
    *separator = '&';
    pt_buf_puts(out, name);
    pt_buf_putc(out, '=');
    put_escaped(out, value);
}

static void put_watch(struct pt_buf *out, char *separator, const struct pt_api_request *req, uint32_t seed)
{
    char seconds[24];
    int64_t s = req->timeout_ms ? (req->timeout_ms + 999) / 1000 : 300 + seed % 300;
    snprintf(seconds, sizeof seconds, "%lld", (long long)s);
    put_query(out, separator, "watch", "true");
    put_query(out, separator, "allowWatchBookmarks", "true");
    put_query(out, separator, "timeoutSeconds", seconds);
    if (req->initial_events) {
        put_query(out, separator, "sendInitialEvents", "true");
        put_query(out, separator, "resourceVersionMatch", "NotOlderThan");
    }
}

int pt_kube_path(const struct pt_api_request *req, bool watch, uint32_t seed, struct pt_buf *out, struct pt_err *err)
{
    const struct pt_resource *res = req->resource;
    char separator = '?', limit[24] = "";
    if (*res->group)
        pt_buf_printf(out, "/apis/%s/%s", res->group, res->version);
    else
        pt_buf_printf(out, "/api/%s", res->version);
    if (res->namespaced && req->ns && *req->ns) {
        pt_buf_puts(out, "/namespaces/");
        put_escaped(out, req->ns);
    }
    pt_buf_printf(out, "/%s", res->plural);
    bool named = req->verb != PT_VERB_CREATE && req->verb != PT_VERB_LIST && !watch;
    if (named && (!req->name || !*req->name))
        return pt_fail(err, PT_EINVAL, "%s: a name is needed", res->plural);
    if (named) {
        pt_buf_putc(out, '/');
        put_escaped(out, req->name);
    }
    if (named && req->subresource)
        pt_buf_printf(out, "/%s", req->subresource);
    put_query(out, &separator, "labelSelector", req->label_selector);
    put_query(out, &separator, "fieldSelector", req->field_selector);
    if (watch)
        put_watch(out, &separator, req, seed);
    if (watch || req->verb == PT_VERB_LIST)
        put_query(out, &separator, "resourceVersion", req->resource_version);
    if (req->verb == PT_VERB_LIST && !watch) {
        if (req->limit)
            snprintf(limit, sizeof limit, "%lld", (long long)req->limit);
        put_query(out, &separator, "limit", limit);
        put_query(out, &separator, "continue", req->continue_token);
    } else if (!watch && req->verb != PT_VERB_GET && req->verb != PT_VERB_DELETE) {
        put_query(out, &separator, "fieldManager", req->field_manager);
        put_query(out, &separator, "force", req->verb == PT_VERB_APPLY && !req->no_force ? "true" : NULL);
        put_query(out, &separator, "fieldValidation", req->strict ? "Strict" : NULL);
    }
    put_query(out, &separator, "dryRun", req->dry_run ? "All" : NULL);
    return pt_buf_check(out, "request path", err);
}

static const struct {
    int http;
    const char *reason; /* NULL: any */
    int code;
} codes[] = {
    {400, NULL, PT_EINVAL},  {401, NULL, PT_EUNAUTHENTICATED}, {403, NULL, PT_EDENIED}, {404, NULL, PT_ENOTFOUND},    {405, NULL, PT_EMETHOD},
    {409, "AlreadyExists", PT_EEXIST}, {409, NULL, PT_ECONFLICT}, {410, NULL, PT_EGONE}, {413, NULL, PT_ELIMIT},      {422, NULL, PT_EINVAL},
    {429, NULL, PT_EBUSY},   {503, NULL, PT_EUNAVAILABLE},     {504, NULL, PT_ETIMEDOUT}, {0, NULL, PT_EINTERNAL},
};

void pt_kube_decode_status(struct pt_api_result *r, const char *what)
{
    r->reason[0] = 0;
    r->err.code = PT_OK;
    if (r->http >= 200 && r->http < 300)
        return;
    char message[400] = "";
    cJSON *status = cJSON_ParseWithLength(r->body.p ? r->body.p : "", r->body.len);
    const cJSON *reason = cJSON_GetObjectItemCaseSensitive(status, "reason"), *text = cJSON_GetObjectItemCaseSensitive(status, "message");
    const cJSON *seconds = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(status, "details"), "retryAfterSeconds");
    if (cJSON_IsString(reason))
        snprintf(r->reason, sizeof r->reason, "%s", reason->valuestring);
    if (cJSON_IsString(text))
        snprintf(message, sizeof message, "%s", text->valuestring);
    else
        snprintf(message, sizeof message, "%.*s", (int)(r->body.len < 200 ? r->body.len : 200), r->body.p ? r->body.p : "");
    if (cJSON_IsNumber(seconds) && seconds->valuedouble > 0 && seconds->valuedouble < 86400 && r->retry_after_ms < 0)
        r->retry_after_ms = (int64_t)seconds->valuedouble * 1000;
    cJSON_Delete(status);
    size_t i = 0;
    while (codes[i].http && (codes[i].http != r->http || (codes[i].reason && strcmp(codes[i].reason, r->reason) != 0)))
        i++;
    pt_fail(&r->err, codes[i].code, "%s: %s (HTTP %d%s%s)", what, *message ? message : "no message", r->http, *r->reason ? " " : "", r->reason);
}

static const char *const event_names[] = {"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"};

int pt_kube_decode_event(struct pt_str line, struct pt_watch_event *e, struct pt_err *err)
{
    struct pt_json j;
    struct pt_str key, value, type = {0};
    e->object = (struct pt_str){0};
    pt_json_init(&j, line.p, line.len);
    int rc = pt_json_object(&j, err);
    while (rc >= 0 && (rc = pt_json_member(&j, &key, err)) == 1) {
        rc = pt_json_value(&j, &value, err);
        if (rc == PT_OK && pt_json_key_is(&key, "type"))
            type = value;
        else if (rc == PT_OK && pt_json_key_is(&key, "object"))
            e->object = value;
    }
    if (rc < 0)
        return pt_wrap(err, "watch event");
    for (size_t i = 0; i < sizeof event_names / sizeof *event_names; i++) {
        size_t n = strlen(event_names[i]);
        if (e->object.p && type.len == n + 2 && memcmp(type.p + 1, event_names[i], n) == 0) {
            e->type = (enum pt_watch_type)i;
            return PT_OK;
        }
    }
    return pt_fail(err, PT_EPARSE, "watch event of unknown type %.*s or without object", (int)(type.len < 40 ? type.len : 40), type.p ? type.p : "null");
}
