/* SPDX-License-Identifier: Apache-2.0
 *
 * request.c: what a request over HTTP asks for: its path, query, method, body and the forms of answer that its client accepts.
 */
#include "operator/memapi/internal.h"
#include "operator/ctrl/manifest.h"

#include <stdio.h>
#include <strings.h>

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

/* --- query ------------------------------------------------------------------------------------------------------------------- */

static int take_number(struct pt_mem_request *r, const char *name, const char *value, struct pt_err *err)
{
    int64_t n;
    if (pt_parse_i64(pt_str(value), 0, INT32_MAX, name, &n, err) < 0)
        return err->code;
    if (!strcmp(name, "limit"))
        r->api.limit = n;
    else if (!strcmp(name, "timeoutSeconds"))
        r->api.timeout_ms = n * 1000;
    else
        r->api.grace_seconds = (int)n;
    return PT_OK;
}

static int take_flag(struct pt_mem_request *r, const char *name, const char *value)
{
    bool yes = !strcmp(value, "1") || !strcasecmp(value, "true");
    if (!strcmp(name, "watch"))
        r->watch = yes;
    else if (!strcmp(name, "allowWatchBookmarks"))
        r->bookmarks = yes;
    else if (!strcmp(name, "sendInitialEvents"))
        r->api.initial_events = yes;
    else
        r->force = yes;
    return PT_OK;
}

static int take_choice(struct pt_mem_request *r, const char *name, const char *value, struct pt_err *err)
{
    if (!strcmp(name, "includeObject")) {
        r->include = !strcmp(value, "Object") ? PT_MEM_INCLUDE_OBJECT : !strcmp(value, "None") ? PT_MEM_INCLUDE_NONE : PT_MEM_INCLUDE_METADATA;
        return PT_OK;
    }
    if (strcmp(value, "All") != 0)
        return pt_fail(err, PT_EINVAL, "dryRun: \"%s\": only All is known", value);
    r->api.dry_run = true;
    return PT_OK;
}

static int take_parameter(struct pt_mem_request *r, const char *name, const char *value, struct pt_err *err)
{
    static const char *const numbers[] = {"limit", "timeoutSeconds", "gracePeriodSeconds"}, *const flags[] = {"watch", "allowWatchBookmarks",
                                                                                                              "sendInitialEvents", "force"};
    const struct {
        const char *name, **place;
    } texts[] = {{"continue", &r->api.continue_token},       {"labelSelector", &r->api.label_selector},     {"fieldSelector", &r->api.field_selector},
                 {"propagationPolicy", &r->api.propagation}, {"resourceVersion", &r->api.resource_version}, {"fieldManager", &r->api.field_manager}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!strcmp(name, texts[i].name))
            *texts[i].place = value;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!strcmp(name, numbers[i]))
            return take_number(r, name, value, err);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (!strcmp(name, flags[i]))
            return take_flag(r, name, value);
    return !strcmp(name, "includeObject") || !strcmp(name, "dryRun") ? take_choice(r, name, value, err) : PT_OK;
}

static int take_query(struct pt_mem_request *r, struct pt_str query, struct pt_err *err)
{
    struct pt_str pair;
    int rc = PT_OK;
    while (rc == PT_OK && query.len && pt_str_split(&query, '&', &pair)) {
        const char *eq = memchr(pair.p, '=', pair.len);
        size_t n = eq ? (size_t)(eq - pair.p) : pair.len;
        const char *name = decoded(&r->arena, (struct pt_str){pair.p, n}, true);
        const char *value = decoded(&r->arena, eq ? (struct pt_str){eq + 1, pair.len - n - 1} : PT_STR(""), true);
        if (!name || !value)
            return pt_fail(err, PT_EINVAL, "query \"" PT_STR_FMT "\": not decodable", PT_STR_ARG(pair));
        rc = take_parameter(r, name, value, err);
    }
    return rc;
}

/* --- what is accepted ---------------------------------------------------------------------------------------------------------- */

/* The value of a media type's parameter, or empty. */
static struct pt_str parameter_of(struct pt_str type, const char *name)
{
    struct pt_str part;
    size_t n = strlen(name);
    while (type.len && pt_str_split(&type, ';', &part)) {
        part = pt_str_trim(part);
        if (part.len > n && part.p[n] == '=' && !memcmp(part.p, name, n))
            return (struct pt_str){part.p + n + 1, part.len - n - 1};
    }
    return (struct pt_str){NULL, 0};
}

/* Takes the first of the accepted media types that can be had. JSON in any of its forms can; protobuf (but for one document) and CBOR cannot. */
static bool negotiate(struct pt_mem_request *r, struct pt_str accept)
{
    struct pt_str type;
    if (!pt_str_trim(accept).len)
        return true;
    while (accept.len && pt_str_split(&accept, ',', &type)) {
        struct pt_str rest = type, name;
        pt_str_split(&rest, ';', &name);
        name = pt_str_trim(name);
        struct pt_str as = parameter_of(type, "as"), version = parameter_of(type, "v");
        if (pt_str_eq(name, PT_STR(PT_MEM_OPENAPI_V2_PROTOBUF)) && pt_str_eq(r->path, PT_STR("/openapi/v2"))) {
            r->protobuf = true;
            return true;
        }
        bool any = pt_str_eq(name, PT_STR("*/*")) || pt_str_eq(name, PT_STR("application/*"));
        if (!any && !pt_str_eq_nocase(name, PT_STR("application/json")))
            continue;
        if (pt_str_eq(as, PT_STR("APIGroupDiscoveryList"))) {
            r->aggregated = pt_str_eq(version, PT_STR("v2"));
            if (!r->aggregated)
                continue;
        } else if (pt_str_eq(as, PT_STR("Table"))) {
            r->form = PT_MEM_TABLE;
        } else if (pt_str_eq(as, PT_STR("PartialObjectMetadata")) || pt_str_eq(as, PT_STR("PartialObjectMetadataList"))) {
            r->form = PT_MEM_METADATA;
        } else if (as.len) {
            continue;
        }
        return true;
    }
    return false;
}

/* --- body ---------------------------------------------------------------------------------------------------------------------- */

static int take_yaml(void *arg, struct pt_str json, size_t line, struct pt_err *err)
{
    struct pt_mem_request *r = arg;
    (void)line;
    if (r->api.body.len)
        return pt_fail(err, PT_EINVAL, "the body has more than one document");
    r->api.body = (struct pt_str){pt_arena_strndup(&r->arena, json.p, json.len), json.len};
    return r->api.body.p ? PT_OK : pt_fail(err, PT_ENOMEM, "out of memory");
}

static int take_protobuf(struct pt_mem_request *r, struct pt_str body, struct pt_err *err)
{
    pt_auto_buf json = PT_BUF_INIT(4 << 20);
    if (pt_mem_protobuf_to_json(body, &json, err) < 0)
        return err->code;
    r->api.body = (struct pt_str){pt_arena_strndup(&r->arena, json.data, json.len), json.len};
    return r->api.body.p ? PT_OK : pt_fail(err, PT_ENOMEM, "out of memory");
}

static struct pt_str media_type(struct pt_str content_type)
{
    struct pt_str rest = content_type, type = content_type;
    pt_str_split(&rest, ';', &type);
    return pt_str_trim(type);
}

static int take_body(struct pt_mem_request *r, const struct pt_memapi_http *h, struct pt_err *err)
{
    struct pt_str type = media_type(h->content_type);
    if (pt_str_eq_nocase(type, PT_STR("application/yaml")))
        return pt_manifest_parse(h->body, "request body", take_yaml, r, err);
    if (pt_str_eq_nocase(type, PT_STR("application/vnd.kubernetes.protobuf")))
        return take_protobuf(r, h->body, err);
    if (type.len && !pt_str_eq_nocase(type, PT_STR("application/json")))
        return pt_fail(err, PT_EUNSUPPORTED,
                       "the body of the request was in an unknown format (" PT_STR_FMT
                       ") - accepted media types include: application/json, application/yaml",
                       PT_STR_ARG(type));
    r->api.body = h->body;
    return PT_OK;
}

static int take_delete_options(struct pt_mem_request *r, const struct pt_memapi_http *h, struct pt_err *err)
{
    pt_auto_obj *o = NULL;
    int rc = pt_str_trim(h->body).len ? take_body(r, h, err) : PT_OK;
    if (rc < 0 || !r->api.body.len)
        return rc;
    if (pt_obj_parse(r->api.body, "DeleteOptions", &o, err) < 0)
        return err->code;
    const char *uid = pt_obj_str(o, "preconditions.uid"), *rv = pt_obj_str(o, "preconditions.resourceVersion"),
               *how = pt_obj_str(o, "propagationPolicy");
    int64_t grace = pt_obj_int(o, "gracePeriodSeconds", r->api.grace_seconds);
    r->api.uid = uid ? pt_arena_strndup(&r->arena, uid, strlen(uid)) : NULL;
    r->api.resource_version = rv ? pt_arena_strndup(&r->arena, rv, strlen(rv)) : NULL;
    if (how)
        r->api.propagation = pt_arena_strndup(&r->arena, how, strlen(how));
    else if (pt_obj_true(o, "orphanDependents"))
        r->api.propagation = "Orphan";
    r->api.grace_seconds = grace > INT32_MAX ? INT32_MAX : grace < -1 ? -1 : (int)grace;
    const char *dry = pt_obj_str(o, "dryRun.0");
    r->api.body = (struct pt_str){NULL, 0};
    return dry ? take_choice(r, "dryRun", dry, err) : PT_OK;
}

static int take_patch(struct pt_mem_request *r, const struct pt_memapi_http *h, struct pt_err *err)
{
    static const struct {
        const char *type;
        enum pt_verb verb;
    } types[] = {{"application/merge-patch+json", PT_VERB_MERGE_PATCH},
                 {"application/strategic-merge-patch+json", PT_VERB_STRATEGIC},
                 {"application/json-patch+json", PT_VERB_JSON_PATCH},
                 {"application/apply-patch+yaml", PT_VERB_APPLY}};
    struct pt_str type = media_type(h->content_type);
    size_t i = 0;
    while (i < sizeof types / sizeof *types && !pt_str_eq_nocase(type, pt_str(types[i].type)))
        i++;
    if (i == sizeof types / sizeof *types)
        return pt_fail(err, PT_EUNSUPPORTED, "patches of type \"" PT_STR_FMT "\" are not supported; merge, strategic merge, JSON or apply",
                       PT_STR_ARG(type));
    r->api.verb = types[i].verb;
    r->api.body = h->body;
    if (types[i].verb != PT_VERB_APPLY)
        return PT_OK;
    r->api.body = (struct pt_str){NULL, 0};
    r->api.no_force = !r->force;
    return pt_manifest_parse(h->body, "request body", take_yaml, r, err);
}

/* A watch of one object is one of those that have its name. */
static int take_get(struct pt_mem_request *r, struct pt_err *err)
{
    r->api.verb = r->api.name && !r->watch ? PT_VERB_GET : PT_VERB_LIST;
    if (!r->api.name || !r->watch)
        return PT_OK;
    char text[300];
    int n = snprintf(text, sizeof text, "metadata.name=%s", r->api.name);
    r->api.field_selector = pt_arena_strndup(&r->arena, text, (size_t)n);
    return r->api.field_selector ? PT_OK : pt_fail(err, PT_ENOMEM, "request: out of memory");
}

static int take_method(struct pt_mem_request *r, const struct pt_memapi_http *h, struct pt_err *err)
{
    bool named = r->api.name != NULL;
    if (pt_str_eq(h->method, PT_STR("GET")))
        return take_get(r, err);
    if (pt_str_eq(h->method, PT_STR("POST")) && !named) {
        r->api.verb = PT_VERB_CREATE;
        return take_body(r, h, err);
    }
    if (pt_str_eq(h->method, PT_STR("PUT")) && named) {
        r->api.verb = PT_VERB_UPDATE;
        return take_body(r, h, err);
    }
    if (pt_str_eq(h->method, PT_STR("PATCH")) && named)
        return take_patch(r, h, err);
    if (pt_str_eq(h->method, PT_STR("DELETE"))) {
        r->api.verb = PT_VERB_DELETE;
        return take_delete_options(r, h, err);
    }
    return pt_fail(err, PT_EMETHOD, "method " PT_STR_FMT " is not allowed on this path", PT_STR_ARG(h->method));
}

/* --- paths --------------------------------------------------------------------------------------------------------------------- */

static bool resource_of(struct pt_memapi *m, struct pt_mem_request *r, struct pt_str plural)
{
    for (struct pt_mem_type *t = m->types; t; t = t->next)
        if (pt_str_eq(r->group, pt_str(t->res->group)) && pt_str_eq(r->version, pt_str(t->res->version)) && pt_str_eq(plural, pt_str(t->res->plural)))
            r->type = t;
    r->api.resource = r->type ? r->type->res : NULL;
    return r->type != NULL;
}

/* [namespaces/NS/]PLURAL[/NAME[/SUBRESOURCE]]; namespaces/NAME[/status] are namespaces themselves. */
static bool take_segments(struct pt_memapi *m, struct pt_mem_request *r, const struct pt_str *seg, int n)
{
    int at = 0;
    if (n >= 3 && pt_str_eq(seg[0], PT_STR("namespaces")) && !pt_str_eq(seg[2], PT_STR("status"))) {
        r->api.ns = decoded(&r->arena, seg[1], false);
        at = 2;
    }
    if (!resource_of(m, r, seg[at]) || n - at > 3 || (at && (!r->api.ns || !r->type->res->namespaced)))
        return false;
    r->api.name = n - at > 1 ? decoded(&r->arena, seg[at + 1], false) : NULL;
    r->api.subresource = n - at > 2 ? decoded(&r->arena, seg[at + 2], false) : NULL;
    return n - at == 1 || (r->api.name && (n - at == 2 || r->api.subresource));
}

/* /api, /api/v1/..., /apis, /apis/GROUP, /apis/GROUP/VERSION/... */
static bool take_path(struct pt_memapi *m, struct pt_mem_request *r, struct pt_str path)
{
    struct pt_str rest = path, part, seg[6];
    int n = 0;
    pt_str_split(&rest, '/', &part); /* before the first slash */
    if (part.len || !pt_str_split(&rest, '/', &part))
        return false;
    r->group = PT_STR("");
    if (pt_str_eq(part, PT_STR("apis")))
        pt_str_split(&rest, '/', &r->group);
    else if (!pt_str_eq(part, PT_STR("api")))
        return false;
    if (!pt_str_split(&rest, '/', &r->version))
        r->version = (struct pt_str){NULL, 0};
    while (n < 6 && pt_str_split(&rest, '/', &seg[n]))
        n += seg[n].len > 0;
    return n == 0 || take_segments(m, r, seg, n);
}

int pt_mem_request_read(struct pt_memapi *m, const struct pt_memapi_http *h, struct pt_mem_request *r, struct pt_err *err)
{
    const char *question = h->target.len ? memchr(h->target.p, '?', h->target.len) : NULL;
    size_t n = question ? (size_t)(question - h->target.p) : h->target.len;
    r->path = (struct pt_str){h->target.p, n};
    r->api.grace_seconds = -1;
    r->unacceptable = !negotiate(r, h->accept);
    if (r->unacceptable)
        return pt_fail(err, PT_EUNSUPPORTED, "only the following media types are accepted: application/json");
    if (!take_path(m, r, r->path)) {
        r->version = r->group = (struct pt_str){NULL, 0};
        r->type = NULL;
    }
    int rc = question ? take_query(r, (struct pt_str){question + 1, h->target.len - n - 1}, err) : PT_OK;
    if (rc == PT_OK && !r->api.field_manager) { /* as a server: who does not say is called by its program */
        struct pt_str rest = h->user_agent, program = PT_STR("unknown");
        pt_str_split(&rest, '/', &program);
        r->api.field_manager = pt_arena_strndup(&r->arena, program.len ? program.p : "unknown", program.len ? program.len : 7);
    }
    return rc == PT_OK && r->type ? take_method(r, h, err) : rc;
}
