/* SPDX-License-Identifier: Apache-2.0
 *
 * verbs.c: carries out one request, at once. Failures are answered as a server does: HTTP status, reason and a Status body.
 */
#include "operator/memapi/internal.h"

#include <stdio.h>
#include <stdlib.h>

static const struct {
    int http;
    const char *reason;
    int code;
} codes[] = {
    {400, NULL, PT_EINVAL},       {401, NULL, PT_EUNAUTHENTICATED},  {403, NULL, PT_EDENIED},   {404, NULL, PT_ENOTFOUND},
    {405, NULL, PT_EMETHOD},      {409, "AlreadyExists", PT_EEXIST}, {409, NULL, PT_ECONFLICT}, {410, NULL, PT_EGONE},
    {413, NULL, PT_ELIMIT},       {415, NULL, PT_EUNSUPPORTED},      {422, NULL, PT_EINVAL},    {429, NULL, PT_EBUSY},
    {503, NULL, PT_EUNAVAILABLE}, {504, NULL, PT_ETIMEDOUT},         {0, NULL, PT_EINTERNAL},
};

void pt_mem_fail(struct pt_mem_answer *a, int http, const char *reason, const char *fmt, ...)
{
    size_t i = 0;
    while (codes[i].http && (codes[i].http != http || (codes[i].reason && strcmp(codes[i].reason, reason) != 0)))
        i++;
    va_list ap;
    va_start(ap, fmt);
    pt_vfail(&a->err, codes[i].code, fmt, ap);
    va_end(ap);
    a->http = http;
    snprintf(a->reason, sizeof a->reason, "%s", reason);
    pt_buf_reset(&a->body);
    pt_buf_puts(&a->body, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":");
    pt_buf_json_string(&a->body, pt_str(a->err.msg));
    pt_buf_printf(&a->body, ",\"reason\":\"%s\",\"code\":%d}", reason, http);
}

void pt_mem_details(struct pt_mem_answer *a, const char *details)
{
    if (a->body.len && !a->body.failed)
        a->body.len--; /* the closing brace */
    pt_buf_puts(&a->body, ",\"details\":");
    pt_buf_puts(&a->body, details);
    pt_buf_putc(&a->body, '}');
}

static void fail_err(struct pt_mem_answer *a, const struct pt_err *err)
{
    if (err->code == PT_ENOMEM)
        pt_mem_fail(a, 500, "InternalError", "%s", err->msg);
    else
        pt_mem_fail(a, 400, "BadRequest", "%s", err->msg);
}

static void answer_object(struct pt_mem_answer *a, int http, const struct pt_mem_version *v)
{
    a->http = http;
    pt_buf_append(&a->body, v->text.p, v->text.len);
    if (a->body.failed)
        pt_mem_fail(a, 500, "InternalError", "out of memory");
}

static const char *shown(const struct pt_api_request *req)
{
    return req->name ? req->name : "";
}

static struct pt_mem_object *need(struct pt_mem_type *t, const struct pt_api_request *req, struct pt_mem_answer *a)
{
    struct pt_mem_object *o = pt_mem_find(t, req->ns, shown(req));
    if (!o)
        pt_mem_fail(a, 404, "NotFound", "%s%s%s \"%s\" not found", t->res->plural, *t->res->group ? "." : "", t->res->group, shown(req));
    return o;
}

/* A dry run: what would have been stored, as the answer. */
static void answer_tree(struct pt_mem_answer *a, int http, const cJSON *tree)
{
    struct pt_err err = {0};
    pt_buf_reset(&a->body);
    a->http = http;
    if (pt_obj_print(tree, &a->body, &err) < 0)
        fail_err(a, &err);
}

/* --- create -------------------------------------------------------------------------------------------------------------- */

static int generate_name(struct pt_memapi *m, cJSON *meta, struct pt_err *err)
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    char name[254];
    const char *prefix = pt_obj_str(meta, "generateName");
    int n = snprintf(name, sizeof name - 5, "%s", prefix);
    if (n > (int)sizeof name - 6)
        n = (int)sizeof name - 6;
    for (int i = 0; i < 5; i++)
        name[n + i] = alphabet[pt_rand_below(&m->rand, sizeof alphabet - 1)];
    name[n + 5] = 0;
    return pt_obj_set(meta, "name", cJSON_CreateString(name), err);
}

static int check_type_meta(struct pt_mem_type *t, cJSON *tree, struct pt_err *err)
{
    char version[128];
    size_t n = strlen(t->res->group), m = strlen(t->res->version);
    if (n + m + 2 > sizeof version)
        return pt_fail(err, PT_EINVAL, "the group and version of %s are too long", t->res->plural);
    memcpy(version, t->res->group, n);
    version[n] = '/';
    n += n > 0;
    memcpy(version + n, t->res->version, m + 1);
    const char *v = pt_obj_str(tree, "apiVersion"), *k = pt_obj_str(tree, "kind");
    if ((v && strcmp(v, version) != 0) || (k && strcmp(k, t->res->kind) != 0))
        return pt_fail(err, PT_EINVAL, "the object is a %s %s, expected %s %s", v ? v : "(no apiVersion)", k ? k : "(no kind)", version,
                       t->res->kind);
    if (pt_obj_set(tree, "apiVersion", cJSON_CreateString(version), err) < 0)
        return err->code;
    return pt_obj_set(tree, "kind", cJSON_CreateString(t->res->kind), err);
}

static int name_new(struct pt_memapi *m, struct pt_mem_type *t, const struct pt_api_request *req, cJSON *meta, struct pt_err *err)
{
    const char *name = pt_obj_str(meta, "name"), *ns = pt_obj_str(meta, "namespace"), *prefix = pt_obj_str(meta, "generateName");
    if (req->name && !name && pt_obj_set(meta, "name", cJSON_CreateString(req->name), err) < 0)
        return err->code;
    if (req->name && name && strcmp(name, req->name) != 0)
        return pt_fail(err, PT_EINVAL, "the name of the object (%s) does not match the name on the URL (%s)", name, req->name);
    if (!req->name && !(name && *name) && prefix && generate_name(m, meta, err) < 0)
        return err->code;
    if (!t->res->namespaced) {
        cJSON_DeleteItemFromObjectCaseSensitive(meta, "namespace");
        return PT_OK;
    }
    if (!req->ns || !pt_is_dns_label(pt_str(req->ns)))
        return pt_fail(err, PT_EINVAL, "namespace \"%s\" is not a lower-case RFC 1123 label", req->ns ? req->ns : "");
    if (ns && *ns && strcmp(ns, req->ns) != 0)
        return pt_fail(err, PT_EINVAL, "the namespace of the object (%s) does not match the namespace on the request (%s)", ns, req->ns);
    return pt_obj_set(meta, "namespace", cJSON_CreateString(req->ns), err);
}

static bool counts_generations(const struct pt_mem_type *t)
{
    return t->res == &pt_res_modeldeployments || t->res == &pt_res_pods || t->res == &pt_res_poddisruptionbudgets;
}

/* So many digits, and what comes after them. */
static void put_hex(char *out, uint32_t value, int digits, char after)
{
    for (int i = digits; i-- > 0; value >>= 4)
        out[i] = "0123456789abcdef"[value & 15];
    out[digits] = after;
}

static int stamp_new(struct pt_memapi *m, struct pt_mem_type *t, cJSON *tree, cJSON *meta, struct pt_err *err)
{
    static const char *const not_yours[] = {"deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "selfLink"};
    char uid[40], now[24];
    uint32_t r[4] = {pt_rand_u32(&m->rand), pt_rand_u32(&m->rand), pt_rand_u32(&m->rand), pt_rand_u32(&m->rand)};
    put_hex(uid, r[0], 8, '-');
    put_hex(uid + 9, r[1] >> 16, 4, '-');
    put_hex(uid + 14, 0x4000 | (r[1] & 0xfff), 4, '-');
    put_hex(uid + 19, 0x8000 | (r[2] >> 16 & 0x3fff), 4, '-');
    put_hex(uid + 24, r[2] & 0xffff, 4, 0);
    put_hex(uid + 28, r[3], 8, 0);
    pt_mem_time(m, 0, now);
    for (size_t i = 0; i < sizeof not_yours / sizeof *not_yours; i++)
        cJSON_DeleteItemFromObjectCaseSensitive(meta, not_yours[i]);
    if (t->has_status)
        cJSON_DeleteItemFromObjectCaseSensitive(tree, "status");
    if (pt_obj_set(meta, "uid", cJSON_CreateString(uid), err) < 0 || pt_obj_set(meta, "creationTimestamp", cJSON_CreateString(now), err) < 0)
        return err->code;
    return counts_generations(t) ? pt_obj_set(meta, "generation", cJSON_CreateNumber(1), err) : PT_OK;
}

static void check_owners(struct pt_memapi *m, const struct pt_mem_version *v)
{
    for (const char *p = v->owners; *p; p = strchr(p, '\n') + 1) {
        struct pt_str uid = {p, strcspn(p, "\n")};
        pt_auto_free char *s = pt_strndup(uid.p, uid.len);
        const struct pt_mem_object *owner = pt_map_get(&m->uids, uid);
        if (s && (!owner || pt_mem_is_waiting(owner)))
            pt_mem_owner_gone(m, s);
    }
}

/* Who creates by apply owns what was applied, not what was added to it. */
static int manage_new(struct pt_memapi *m, struct pt_mem_type *t, const struct pt_api_request *req, cJSON *tree, struct pt_err *err)
{
    if (req->verb != PT_VERB_APPLY || !m->o.managed_fields) {
        cJSON_DeleteItemFromObjectCaseSensitive(pt_obj_mut(tree, "metadata"), "managedFields");
        return pt_mem_manage(m, t, req, NULL, tree, err);
    }
    pt_auto_obj *config = NULL;
    struct pt_mem_answer none = {0};
    if (pt_obj_parse(req->body, "request body", &config, err) < 0)
        return err->code;
    return pt_mem_apply(m, t, req, tree, config, &none, err);
}

static void create(struct pt_memapi *m, struct pt_mem_type *t, const struct pt_api_request *req, char *applied, struct pt_mem_answer *a)
{
    struct pt_err err = {0};
    pt_auto_obj *tree = NULL;
    if (req->subresource) {
        pt_mem_fail(a, 405, "MethodNotAllowed", "%s/%s cannot be created", t->res->plural, req->subresource);
        return;
    }
    cJSON *meta = NULL;
    if (pt_obj_parse(req->body, "request body", &tree, &err) < 0 || !(meta = pt_obj_ensure(tree, "metadata")) || check_type_meta(t, tree, &err) < 0 ||
        name_new(m, t, req, meta, &err) < 0) {
        if (!err.code)
            pt_fail(&err, PT_ENOMEM, "create: out of memory");
        fail_err(a, &err);
        return;
    }
    const char *name = pt_obj_text(tree, "metadata.name");
    if (!pt_is_dns_subdomain(pt_str(name))) {
        pt_fail(&err, PT_EINVAL, "metadata.name: Invalid value: \"%s\": is not a lower-case RFC 1123 name", name);
        pt_mem_fail_invalid(a, t, name, err.msg);
        return;
    }
    if (pt_mem_find(t, req->ns, name)) {
        pt_mem_fail(a, 409, "AlreadyExists", "%s \"%s\" already exists", t->res->plural, name);
        return;
    }
    if (stamp_new(m, t, tree, meta, &err) < 0) {
        fail_err(a, &err);
        return;
    }
    if (t->res->namespaced && !req->dry_run && pt_mem_enter_namespace(m, req->ns, a) < 0)
        return;
    if (pt_mem_admit(m, t, tree, NULL, a) < 0)
        return;
    pt_mem_defaults(m, t, tree);
    if (manage_new(m, t, req, tree, &err) < 0) {
        fail_err(a, &err);
        return;
    }
    if (req->dry_run) {
        answer_tree(a, 201, tree);
        return;
    }
    struct pt_mem_object *o = pt_calloc(1, sizeof *o);
    if (!o || pt_mem_commit(m, t, o, &tree, &err) < 0) {
        pt_free(o);
        pt_mem_fail(a, 500, "InternalError", "create: out of memory");
        return;
    }
    o->applied = applied ? pt_strdup(applied) : NULL;
    answer_object(a, 201, o->now);
    check_owners(m, o->now);
}

/* --- update -------------------------------------------------------------------------------------------------------------- */

/* Equal, members named here aside? */
static bool same_but(const cJSON *a, const cJSON *b, const char *ignore1, const char *ignore2)
{
    const cJSON *m;
    const cJSON *sides[2][2] = {{a, b}, {b, a}};
    for (int i = 0; i < 2; i++)
        cJSON_ArrayForEach(m, sides[i][0])
        {
            if ((ignore1 && !strcmp(m->string, ignore1)) || (ignore2 && !strcmp(m->string, ignore2)))
                continue;
            const cJSON *other = cJSON_GetObjectItemCaseSensitive(sides[i][1], m->string);
            if (!other || (i == 0 && !pt_obj_equal(m, other)))
                return false;
        }
    return true;
}

static bool no_finalizers(const cJSON *tree)
{
    const cJSON *f = pt_obj_get(tree, "metadata.finalizers");
    return !f || !f->child;
}

static void store_next(struct pt_memapi *m, struct pt_mem_type *t, struct pt_mem_object *o, const cJSON *was, cJSON **next_tree, bool dry_run,
                       struct pt_mem_answer *a)
{
    struct pt_err err = {0};
    cJSON *next = *next_tree;
    if (pt_obj_equal(was, next)) { /* nothing changed: no new version, no event */
        answer_object(a, 200, o->now);
        return;
    }
    if (pt_obj_get(was, "metadata.generation") && !same_but(was, next, "metadata", "status")) {
        double generation = (double)pt_obj_int(was, "metadata.generation", 0) + 1;
        if (pt_obj_set(pt_obj_mut(next, "metadata"), "generation", cJSON_CreateNumber(generation), &err) < 0) {
            fail_err(a, &err);
            return;
        }
    }
    if (dry_run) {
        answer_tree(a, 200, next);
        return;
    }
    bool gone = pt_obj_get(next, "metadata.deletionTimestamp") && no_finalizers(next) && !no_finalizers(was);
    if (gone) {
        pt_buf_reset(&a->body);
        a->http = 200;
        if (pt_obj_print(next, &a->body, &err) < 0 || pt_mem_remove(m, t, o, next, &err) < 0)
            fail_err(a, &err);
        return;
    }
    if (pt_mem_commit(m, t, o, next_tree, &err) < 0) {
        fail_err(a, &err);
        return;
    }
    answer_object(a, 200, o->now);
}

static void update(struct pt_memapi *m, struct pt_mem_type *t, const struct pt_api_request *req, struct pt_mem_answer *a)
{
    struct pt_err err = {0};
    struct pt_mem_object *o = pt_mem_find(t, req->ns, shown(req));
    if (!o && req->verb == PT_VERB_APPLY && !req->subresource) {
        pt_auto_obj *nothing = cJSON_CreateObject(), *first = NULL;
        pt_auto_free char *applied = NULL;
        if (nothing && pt_mem_next(m, t, req, nothing, &applied, &first, a) == PT_OK)
            create(m, t, req, applied, a);
        return;
    }
    if (!o && req->verb == PT_VERB_UPDATE && !req->subresource && (t->res == &pt_res_leases || t->res == &pt_res_events)) { /* PUT makes them, too */
        create(m, t, req, NULL, a);
        return;
    }
    if (!o && req->verb == PT_VERB_UPDATE) { /* before it is looked for */
        pt_auto_obj *body = NULL;
        const char *name = pt_obj_parse(req->body, "request body", &body, NULL) == PT_OK ? pt_obj_str(body, "metadata.name") : NULL;
        if (name && *name && strcmp(name, shown(req)) != 0) {
            pt_mem_fail(a, 400, "BadRequest", "the name of the object (%s) does not match the name on the URL (%s)", name, shown(req));
            return;
        }
    }
    if (!(o = need(t, req, a)))
        return;
    if (req->subresource && !strcmp(req->subresource, "scale")) {
        (void)pt_mem_scale(m, t, o, req, a);
        return;
    }
    pt_auto_obj *next = NULL;
    const cJSON *was = pt_mem_read(m, o->now, &err);
    pt_auto_free char *applied = o->applied ? pt_strdup(o->applied) : NULL;
    if (!was) {
        fail_err(a, &err);
        return;
    }
    if (pt_mem_next(m, t, req, was, &applied, &next, a) < 0 || (!req->subresource && pt_mem_admit(m, t, next, was, a) < 0))
        return;
    if (t->res == &pt_res_controllerrevisions && !pt_obj_equal(pt_obj_get(was, "data"), pt_obj_get(next, "data"))) {
        pt_mem_fail(a, 422, "Invalid", "%s \"%s\" is invalid: data: field is immutable", t->res->kind, shown(req));
        return;
    }
    if (!req->dry_run) {
        char *old = o->applied;
        o->applied = pt_steal(applied);
        pt_free(old);
    }
    if (!req->subresource)
        pt_mem_defaults(m, t, next);
    if (pt_mem_manage(m, t, req, was, next, &err) < 0) {
        fail_err(a, &err);
        return;
    }
    struct pt_mem_version *before = o->now;
    bool owned = *before->owners;
    store_next(m, t, o, was, &next, req->dry_run, a);
    if (a->err.code == PT_OK && !owned && (o = pt_mem_find(t, req->ns, shown(req))) && o->now != before) /* owners that came too late */
        check_owners(m, o->now);
}

/* --- scale --------------------------------------------------------------------------------------------------------------- */

static int put_scale(struct pt_memapi *m, struct pt_mem_object *o, cJSON **out, struct pt_err *err)
{
    const cJSON *tree = pt_mem_read(m, o->now, err);
    if (!tree)
        return err->code;
    pt_auto_buf b = PT_BUF_INIT(0);
    const char *selector = pt_obj_str(tree, "status.selector"), *created = pt_obj_str(tree, "metadata.creationTimestamp");
    pt_buf_printf(
        &b,
        "{\"kind\":\"Scale\",\"apiVersion\":\"autoscaling/v1\",\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\",\"uid\":\"%s\","
        "\"resourceVersion\":\"%llu\",\"creationTimestamp\":\"%s\"},\"spec\":{\"replicas\":%lld},\"status\":{\"replicas\":%lld",
        o->now->name, o->now->ns, o->now->uid, (unsigned long long)o->now->rv, created ? created : "",
        (long long)pt_obj_int(tree, "spec.replicas", 1), (long long)pt_obj_int(tree, "status.replicas", 0));
    if (selector && *selector) {
        pt_buf_puts(&b, ",\"selector\":");
        pt_buf_json_string(&b, pt_str(selector));
    }
    pt_buf_puts(&b, "}}");
    if (pt_buf_check(&b, "scale", err) < 0)
        return err->code;
    return pt_obj_parse((struct pt_str){b.data, b.len}, "scale", out, err);
}

int pt_mem_scale(struct pt_memapi *m, struct pt_mem_type *t, struct pt_mem_object *o, const struct pt_api_request *req, struct pt_mem_answer *a)
{
    struct pt_err err = {0};
    pt_auto_obj *scale = NULL, *next = NULL;
    if (put_scale(m, o, &scale, &err) < 0) {
        fail_err(a, &err);
        return a->err.code;
    }
    if (req->verb == PT_VERB_GET) {
        a->http = 200;
        if (pt_obj_print(scale, &a->body, &err) < 0)
            fail_err(a, &err);
        return a->err.code;
    }
    struct pt_api_request whole = *req;
    whole.subresource = NULL;
    char *applied = NULL;
    int rc = pt_mem_next(m, t, &whole, scale, &applied, &next, a);
    pt_free(applied);
    if (rc < 0)
        return rc;
    int64_t replicas = pt_obj_int(next, "spec.replicas", 0);
    if (replicas < 0 || replicas > INT32_MAX) {
        pt_mem_fail(a, 422, "Invalid", "Scale \"%s\" is invalid: spec.replicas: %lld: must be between 0 and %d", o->now->name, (long long)replicas,
                    INT32_MAX);
        return a->err.code;
    }
    char body[64];
    int n = snprintf(body, sizeof body, "{\"spec\":{\"replicas\":%lld}}", (long long)replicas);
    whole.verb = PT_VERB_MERGE_PATCH;
    whole.body = (struct pt_str){body, (size_t)n};
    update(m, t, &whole, a);
    if (a->err.code == PT_OK && req->dry_run) {
        answer_tree(a, 200, next);
    } else if (a->err.code == PT_OK) {
        pt_obj_free(pt_steal(scale));
        pt_buf_reset(&a->body);
        if (put_scale(m, o, &scale, &err) < 0 || pt_obj_print(scale, &a->body, &err) < 0)
            fail_err(a, &err);
    }
    return a->err.code;
}

/* --- delete -------------------------------------------------------------------------------------------------------------- */

static int mark_deleted(struct pt_memapi *m, struct pt_mem_type *t, struct pt_mem_object *o, cJSON **tree, int64_t grace_s, struct pt_err *err)
{
    char when[24];
    cJSON *meta = pt_obj_mut(*tree, "metadata");
    int64_t left = pt_obj_int(meta, "deletionGracePeriodSeconds", INT64_MAX);
    if (grace_s >= left)
        return PT_OK;
    pt_mem_time(m, grace_s * 1000, when);
    if (pt_obj_set(meta, "deletionTimestamp", cJSON_CreateString(when), err) < 0 ||
        pt_obj_set(meta, "deletionGracePeriodSeconds", cJSON_CreateNumber((double)grace_s), err) < 0)
        return err->code;
    int64_t generation = pt_obj_int(meta, "generation", 0); /* to be deleted is another wish */
    if (generation && pt_obj_set(meta, "generation", cJSON_CreateNumber((double)generation + 1), err) < 0)
        return err->code;
    return pt_mem_commit(m, t, o, tree, err);
}

static bool add_finalizer(cJSON *tree, const char *name)
{
    cJSON *meta = pt_obj_mut(tree, "metadata"), *list = pt_obj_mut(meta, "finalizers"), *e;
    if (!list) {
        list = cJSON_CreateArray();
        if (pt_obj_set(meta, "finalizers", list, NULL) < 0)
            return false;
    }
    cJSON_ArrayForEach(e, list) if (cJSON_IsString(e) && !strcmp(e->valuestring, name)) return true;
    return cJSON_AddItemToArray(list, cJSON_CreateString(name));
}

static int64_t grace_of(struct pt_mem_type *t, const struct pt_api_request *req, const cJSON *tree)
{
    const char *phase = pt_obj_str(tree, "status.phase");
    bool done = phase && (!strcmp(phase, "Failed") || !strcmp(phase, "Succeeded"));
    if (t->res != &pt_res_pods || !pt_obj_str(tree, "spec.nodeName") || done)
        return 0;
    return req->grace_seconds >= 0 ? req->grace_seconds : pt_obj_int(tree, "spec.terminationGracePeriodSeconds", 30);
}

static void delete_object(struct pt_memapi *m, struct pt_mem_type *t, const struct pt_api_request *req, struct pt_mem_answer *a)
{
    struct pt_err err = {0};
    struct pt_mem_object *o = need(t, req, a);
    if (!o)
        return;
    char rv[24];
    snprintf(rv, sizeof rv, "%llu", (unsigned long long)o->now->rv);
    if ((req->uid && strcmp(req->uid, o->now->uid) != 0) ||
        (req->resource_version && *req->resource_version && strcmp(req->resource_version, rv) != 0)) {
        pt_mem_fail(a, 409, "Conflict", "%s \"%s\": the precondition (uid %s, resourceVersion %s) does not hold: %s, %s", t->res->plural, shown(req),
                    req->uid ? req->uid : "any", req->resource_version ? req->resource_version : "any", o->now->uid, rv);
        return;
    }
    if (req->dry_run) {
        answer_object(a, 200, o->now);
        return;
    }
    if (pt_mem_is_namespace(t) && !strcmp(shown(req), "default")) {
        pt_mem_fail(a, 403, "Forbidden", "namespaces \"default\" is forbidden: this namespace may not be deleted");
        return;
    }
    pt_auto_free char *uid = pt_strdup(o->now->uid);
    if (uid && req->propagation && !strcmp(req->propagation, "Orphan"))
        pt_mem_orphan(m, uid);
    bool foreground = uid && req->propagation && !strcmp(req->propagation, "Foreground") && pt_mem_delete_dependents(m, uid);
    bool waits = pt_mem_is_namespace(t) && pt_mem_empty_namespace(m, shown(req));
    const cJSON *was = pt_mem_read(m, o->now, &err); /* last: what is deleted with it is read, too */
    pt_auto_obj *tree = was ? pt_obj_share(was) : NULL;
    if (!uid || !tree || (foreground && !add_finalizer(tree, "foregroundDeletion"))) {
        pt_mem_fail(a, 500, "InternalError", "delete: out of memory");
        return;
    }
    int64_t grace = grace_of(t, req, tree);
    int rc = PT_OK;
    if (waits && pt_obj_set(pt_obj_ensure(tree, "status"), "phase", cJSON_CreateString("Terminating"), &err) < 0) {
        fail_err(a, &err);
        return;
    }
    if (waits || grace > 0 || !no_finalizers(tree)) {
        rc = mark_deleted(m, t, o, &tree, grace, &err);
        if (rc == PT_OK)
            answer_object(a, 200, o->now);
    } else {
        answer_object(a, 200, o->now);
        rc = a->err.code == PT_OK ? pt_mem_remove(m, t, o, tree, &err) : PT_OK;
    }
    if (rc < 0)
        fail_err(a, &err);
}

/* Answers with the list of what was there. The first object that cannot be deleted ends it. */
static void delete_collection(struct pt_memapi *m, struct pt_mem_type *t, const struct pt_api_request *req, struct pt_mem_answer *a)
{
    pt_auto_obj *found = NULL;
    struct pt_err err = {0};
    const cJSON *item;
    (void)pt_mem_list(m, t, req, a);
    if (a->err.code || pt_obj_parse((struct pt_str){a->body.data, a->body.len}, "list", &found, &err) < 0)
        return;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(found, "items"))
    {
        struct pt_mem_answer one = {0};
        struct pt_api_request each = *req;
        each.ns = pt_obj_str(item, "metadata.namespace");
        each.name = pt_obj_str(item, "metadata.name");
        delete_object(m, t, &each, &one);
        bool failed = one.err.code && one.http != 404;
        if (failed)
            pt_mem_fail(a, one.http, one.reason, "%s", one.err.msg);
        pt_buf_finish(&one.body);
        if (failed)
            return;
    }
}

/* --- get, list ----------------------------------------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
    const struct pt_mem_version *x = *(struct pt_mem_version *const *)a, *y = *(struct pt_mem_version *const *)b;
    int ns = strcmp(x->ns, y->ns);
    return ns ? ns : strcmp(x->name, y->name);
}

/* The continue token is "version/namespace/name" of the last object given: later pages keep the version of the first, so that a watch from there
 * brings everything that changed in between. */
static int read_token(struct pt_mem_type *t, const char *token, uint64_t *rv, const char **ns, const char **name, char buf[400],
                      struct pt_mem_answer *a)
{
    int64_t n;
    snprintf(buf, 400, "%s", token);
    char *slash = strchr(buf, '/'), *second = slash ? strchr(slash + 1, '/') : NULL;
    if (!second || pt_parse_i64((struct pt_str){buf, (size_t)(slash - buf)}, 0, INT64_MAX, "continue", &n, NULL) < 0) {
        pt_mem_fail(a, 400, "BadRequest", "continue: \"%s\" is not a token of this server", token);
        return a->err.code;
    }
    *second = 0;
    *ns = slash + 1;
    *name = second + 1;
    *rv = (uint64_t)n;
    if (*rv < t->lost_rv)
        pt_mem_fail(a, 410, "Expired", "The provided continue parameter is too old");
    return a->err.code;
}

int pt_mem_list(struct pt_memapi *m, struct pt_mem_type *t, const struct pt_api_request *req, struct pt_mem_answer *a)
{
    struct pt_err err = {0};
    char buf[400];
    const char *after_ns = NULL, *after_name = NULL;
    uint64_t rv = m->rv;
    if (pt_mem_check_selectors(t, req->label_selector, req->field_selector, &err) < 0) {
        fail_err(a, &err);
        return a->err.code;
    }
    if (req->continue_token && *req->continue_token && read_token(t, req->continue_token, &rv, &after_ns, &after_name, buf, a) < 0)
        return a->err.code;
    pt_auto_free struct pt_mem_version **all = pt_reallocarray(NULL, t->objects.count + 1, sizeof *all);
    if (!all) {
        pt_mem_fail(a, 500, "InternalError", "list: out of memory");
        return a->err.code;
    }
    size_t n = 0, given = 0;
    void *v;
    for (size_t i = 0; pt_map_next(&t->objects, &i, NULL, &v);) {
        struct pt_mem_version *now = ((struct pt_mem_object *)v)->now;
        int order = after_ns ? strcmp(now->ns, after_ns) : 1;
        if ((order > 0 || (order == 0 && strcmp(now->name, after_name) > 0)) &&
            pt_mem_selected(now, req->ns, req->label_selector, req->field_selector))
            all[n++] = now;
    }
    qsort(all, n, sizeof *all, by_key);
    given = req->limit > 0 && n > (size_t)req->limit ? (size_t)req->limit : n;
    const struct pt_resource *r = t->res;
    pt_buf_printf(&a->body, "{\"kind\":\"%sList\",\"apiVersion\":\"%s%s%s\",\"metadata\":{\"resourceVersion\":\"%llu\"", r->kind, r->group,
                  *r->group ? "/" : "", r->version, (unsigned long long)rv);
    if (given < n)
        pt_buf_printf(&a->body, ",\"continue\":\"%llu/%s/%s\",\"remainingItemCount\":%zu", (unsigned long long)rv, all[given - 1]->ns,
                      all[given - 1]->name, n - given);
    pt_buf_puts(&a->body, "},\"items\":[");
    for (size_t i = 0; i < given; i++) {
        if (i)
            pt_buf_putc(&a->body, ',');
        pt_buf_append(&a->body, all[i]->text.p, all[i]->text.len);
    }
    pt_buf_puts(&a->body, "]}");
    a->http = 200;
    if (a->body.failed)
        pt_mem_fail(a, 500, "InternalError", "list: out of memory");
    return a->err.code;
}

static void get(struct pt_memapi *m, struct pt_mem_type *t, const struct pt_api_request *req, struct pt_mem_answer *a)
{
    struct pt_mem_object *o = need(t, req, a);
    if (o && req->subresource && !strcmp(req->subresource, "scale"))
        (void)pt_mem_scale(m, t, o, req, a);
    else if (o)
        answer_object(a, 200, o->now);
}

void pt_mem_execute(struct pt_memapi *m, const struct pt_api_request *req, struct pt_mem_answer *a)
{
    struct pt_mem_type *t = pt_mem_type_of(m, req->resource);
    if (!t) {
        pt_mem_fail(a, 404, "NotFound", "the server could not find the requested resource (%s)", req->resource->plural);
        return;
    }
    if (req->subresource && !(t->has_status && !strcmp(req->subresource, "status")) && !(t->res == &pt_res_modeldeployments && !strcmp(req->subresource, "scale"))) {
        pt_mem_fail(a, 404, "NotFound", "the server could not find the requested resource (%s/%s)", t->res->plural, req->subresource);
        return;
    }
    if (req->verb == PT_VERB_STRATEGIC && t->res == &pt_res_modeldeployments) {
        pt_mem_fail(a, 415, "UnsupportedMediaType", "strategic merge patch is not supported for custom resources");
        return;
    }
    if (pt_mem_is_review(t)) {
        pt_mem_review(m, t, req, a);
        return;
    }
    switch (req->verb) {
    case PT_VERB_GET:
        get(m, t, req, a);
        break;
    case PT_VERB_LIST:
        (void)pt_mem_list(m, t, req, a);
        break;
    case PT_VERB_CREATE:
        create(m, t, req, NULL, a);
        break;
    case PT_VERB_UPDATE:
    case PT_VERB_MERGE_PATCH:
    case PT_VERB_APPLY:
    case PT_VERB_STRATEGIC:
    case PT_VERB_JSON_PATCH:
        update(m, t, req, a);
        break;
    case PT_VERB_DELETE:
        (req->name ? delete_object : delete_collection)(m, t, req, a);
        break;
    }
}
