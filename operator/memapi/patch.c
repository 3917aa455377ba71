/* SPDX-License-Identifier: Apache-2.0
 *
 * patch.c: what an object is after an update, a patch or an apply; admission and the few defaults that our controllers would see from a server.
 */
#include "operator/memapi/internal.h"

#include <stdio.h>

#define MAX_OBJECT (1536 * 1024) /* as etcd's limit */

static int bad(struct pt_mem_answer *a, const struct pt_err *err)
{
    if (err->code == PT_ENOMEM)
        pt_mem_fail(a, 500, "InternalError", "%s", err->msg);
    else
        pt_mem_fail(a, 400, "BadRequest", "%s", err->msg);
    return a->err.code;
}

/* metadata.uid and resourceVersion in a body are preconditions. */
static int check_preconditions(const struct pt_api_request *req, const cJSON *body, const cJSON *was, struct pt_mem_answer *a)
{
    const cJSON *meta = pt_obj_get(body, "metadata"), *was_meta = pt_obj_get(was, "metadata");
    const char *uid = pt_obj_text(meta, "uid"), *rv = pt_obj_text(meta, "resourceVersion");
    if (*uid && strcmp(uid, pt_obj_text(was_meta, "uid")) != 0)
        pt_mem_fail(a, 409, "Conflict", "%s \"%s\": the uid in the precondition (%s) is not that of the object (%s)", req->resource->plural,
                    req->name, uid, pt_obj_text(was_meta, "uid"));
    else if (*rv && strcmp(rv, pt_obj_text(was_meta, "resourceVersion")) != 0)
        pt_mem_fail(a, 409, "Conflict", "Operation cannot be fulfilled on %s \"%s\": the object has been modified", req->resource->plural, req->name);
    return a->err.code;
}

/* Removes from target what `before` has and `after` has not. Lists count as one value. */
static int remove_dropped(cJSON *target, const cJSON *before, const cJSON *after, struct pt_err *err)
{
    const cJSON *b;
    if (!pt_obj_own(target))
        return pt_fail(err, PT_ENOMEM, "apply: out of memory");
    cJSON_ArrayForEach(b, before)
    {
        cJSON *t = cJSON_GetObjectItemCaseSensitive(target, b->string);
        const cJSON *n = cJSON_GetObjectItemCaseSensitive(after, b->string);
        if (!t)
            continue;
        if (!n)
            pt_obj_free(cJSON_DetachItemViaPointer(target, t));
        else if (cJSON_IsObject(t) && cJSON_IsObject(b) && cJSON_IsObject(n) && remove_dropped(t, b, n, err) < 0)
            return PT_ENOMEM;
    }
    return PT_OK;
}

/* Apply: what this manager applied before and now leaves out goes; the rest is merged in. *applied is replaced. */
static int apply(const struct pt_api_request *req, cJSON *next, const cJSON *body, char **applied, struct pt_err *err)
{
    const char *manager = req->field_manager && *req->field_manager ? req->field_manager : "unknown";
    pt_auto_obj *all = NULL;
    if (*applied && pt_obj_parse(pt_str(*applied), "applied state", &all, err) < 0)
        return err->code;
    if (!all && !(all = cJSON_CreateObject()))
        return pt_fail(err, PT_ENOMEM, "apply: out of memory");
    if (remove_dropped(next, cJSON_GetObjectItemCaseSensitive(all, manager), body, err) < 0 || pt_obj_merge(next, body, err) < 0 || pt_obj_set(all, manager, pt_obj_copy(body), err) < 0)
        return err->code;
    pt_auto_buf text = PT_BUF_INIT(0);
    if (pt_obj_print(all, &text, err) < 0)
        return err->code;
    char *s = pt_strndup(text.data, text.len);
    if (!s)
        return pt_fail(err, PT_ENOMEM, "apply: out of memory");
    pt_free(*applied);
    *applied = s;
    return PT_OK;
}

/* Moves member `name` of from to `to`, or removes it there when from has none. */
static int take_member(cJSON *to, const cJSON *from, const char *name, struct pt_err *err)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(from, name);
    if (v && pt_obj_equal(v, cJSON_GetObjectItemCaseSensitive(to, name)))
        return PT_OK;
    if (v)
        return pt_obj_set(to, name, pt_obj_copy(v), err);
    cJSON_DeleteItemFromObjectCaseSensitive(to, name);
    return PT_OK;
}

/* A server does not write empty ones. */
static void drop_empty_collections(cJSON *meta)
{
    static const char *const collections[] = {"labels", "annotations", "finalizers", "ownerReferences"};
    for (cJSON *c = meta ? meta->child : NULL, *next; c; c = next) {
        bool named = false;
        next = c->next;
        for (size_t i = 0; i < sizeof collections / sizeof *collections && !c->child && (c->type & (cJSON_Object | cJSON_Array)); i++)
            named |= !strcmp(c->string, collections[i]);
        if (named)
            pt_obj_free(cJSON_DetachItemViaPointer(meta, c));
    }
}

/* What the server keeps whatever the client sent. */
static int keep_system_fields(struct pt_memapi *m, struct pt_mem_type *t, const struct pt_api_request *req, cJSON *next, const cJSON *was, struct pt_err *err)
{
    static const char *const kept[] = {
        "name", "namespace", "uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion"};
    cJSON *meta = pt_obj_ensure(next, "metadata");
    const cJSON *was_meta = pt_obj_get(was, "metadata");
    int rc = meta ? PT_OK : pt_fail(err, PT_ENOMEM, "update: out of memory");
    for (size_t i = 0; i < sizeof kept / sizeof *kept && rc == PT_OK; i++)
        rc = take_member(meta, was_meta, kept[i], err);
    if (rc == PT_OK)
        rc = take_member(next, was, "apiVersion", err);
    if (rc == PT_OK)
        rc = take_member(next, was, "kind", err);
    if (meta && !m->o.managed_fields)
        cJSON_DeleteItemFromObjectCaseSensitive(meta, "managedFields");
    if (rc == PT_OK && t->has_status && !req->subresource)
        rc = take_member(next, was, "status", err);
    return rc;
}

static void keep_only(cJSON *o, const char *name)
{
    for (cJSON *c = o->child, *next; c; c = next) {
        next = c->next;
        if (strcmp(c->string, name) != 0)
            pt_obj_free(cJSON_DetachItemViaPointer(o, c));
    }
}

/* A tree to change. Apply with managed fields goes its own ways through all of it (fieldset.c). */
static cJSON *changeable(const struct pt_memapi *m, const struct pt_api_request *req, const cJSON *was)
{
    return m->o.managed_fields && req->verb == PT_VERB_APPLY ? pt_obj_copy(was) : pt_obj_share(was);
}

/* The object after a JSON patch. A test that fails, or a path that is not there, is 422 as on a server. */
static int json_patched(struct pt_str text, const cJSON *was, cJSON **out, struct pt_mem_answer *a)
{
    struct pt_err err = {0};
    pt_auto_obj *patch = NULL, *next = pt_obj_copy(was);
    if (pt_obj_parse_any(text, "JSON patch", &patch, &err) < 0 || (!next && pt_fail(&err, PT_ENOMEM, "JSON patch: out of memory") < 0))
        return bad(a, &err);
    if (!cJSON_IsArray(patch)) {
        pt_fail(&err, PT_EINVAL, "a JSON patch is a list of operations");
        return bad(a, &err);
    }
    if (pt_obj_json_patch(&next, patch, &err) < 0) {
        if (err.code == PT_ENOMEM)
            return bad(a, &err);
        pt_mem_fail(a, 422, "Invalid", "the server rejected our request due to an error in our request: %s", err.msg);
        return a->err.code;
    }
    *out = pt_steal(next);
    return PT_OK;
}

/* A client may have written them in another order, or left the kind to us, which then came last: with its status an object gets the order that servers have. */
static void put_spec_before_status(cJSON *o)
{
    cJSON *status = cJSON_GetObjectItemCaseSensitive(o, "status"), *spec = cJSON_GetObjectItemCaseSensitive(o, "spec");
    if (!spec || (status ? spec->next == status : !spec->next))
        return;
    cJSON_DetachItemViaPointer(o, spec);
    if (!status) {
        cJSON_AddItemToArray(o, spec);
        return;
    }
    spec->next = status;
    spec->prev = status->prev; /* the first one's prev is the last one */
    if (status == o->child)
        o->child = spec;
    else
        status->prev->next = spec;
    status->prev = spec;
}

/* The body is of the object of the URL; and of some kinds a PUT must say which version it replaces. */
static int check_identity(const struct pt_mem_type *t, const struct pt_api_request *req, const cJSON *body, const cJSON *was, struct pt_mem_answer *a)
{
    const cJSON *meta = pt_obj_get(body, "metadata");
    const char *name = pt_obj_text(meta, "name"), *rv = pt_obj_text(meta, "resourceVersion");
    bool guarded = t->res == &pt_res_leases || t->res == &pt_res_modeldeployments || t->res == &pt_res_poddisruptionbudgets;
    if (*name && req->name && strcmp(name, req->name) != 0)
        pt_mem_fail(a, 400, "BadRequest", "the name of the object (%s) does not match the name on the URL (%s)", name, req->name);
    else if (guarded && req->verb == PT_VERB_UPDATE && !req->subresource && !*rv && was->child)
        pt_mem_fail(a, 422, "Invalid", "%s \"%s\" is invalid: metadata.resourceVersion: must be specified for an update", t->res->plural, req->name);
    return a->err.code;
}

int pt_mem_next(struct pt_memapi *m, struct pt_mem_type *t, const struct pt_api_request *req, const cJSON *was, char **applied, cJSON **out,
                struct pt_mem_answer *a)
{
    struct pt_err err = {0};
    pt_auto_obj *body = NULL;
    bool status = req->subresource != NULL;
    if (req->body.len > MAX_OBJECT) {
        pt_mem_fail(a, 413, "RequestEntityTooLarge", "the body has %zu bytes, the limit is %d", req->body.len, MAX_OBJECT);
        return a->err.code;
    }
    if ((req->verb == PT_VERB_JSON_PATCH ? json_patched(req->body, was, &body, a) : pt_obj_parse(req->body, "request body", &body, &err)) < 0)
        return a->err.code ? a->err.code : bad(a, &err);
    if (check_identity(t, req, body, was, a) < 0 || check_preconditions(req, body, was, a) < 0)
        return a->err.code;
    if (status)
        keep_only(body, "status"); /* only that counts */
    bool whole = req->verb == PT_VERB_UPDATE || req->verb == PT_VERB_JSON_PATCH; /* body is all of the object */
    pt_auto_obj *next = whole && !status ? pt_steal(body) : changeable(m, req, was);
    int rc = next ? PT_OK : pt_fail(&err, PT_ENOMEM, "update: out of memory");
    if (rc == PT_OK && req->verb == PT_VERB_STRATEGIC)
        rc = pt_obj_strategic(next, body, &err);
    else if (rc == PT_OK && req->verb == PT_VERB_MERGE_PATCH)
        rc = pt_obj_merge_away(next, body, &err);
    else if (rc == PT_OK && req->verb == PT_VERB_APPLY)
        rc = m->o.managed_fields ? pt_mem_apply(m, t, req, next, body, a, &err) : apply(req, next, body, applied, &err);
    else if (rc == PT_OK && status)
        rc = take_member(next, body, "status", &err);
    if (rc == PT_OK && (!status || m->o.managed_fields)) /* of a status nothing else was touched */
        rc = keep_system_fields(m, t, req, next, was, &err);
    drop_empty_collections(pt_obj_mut(next, "metadata"));
    if (rc == PT_OK && status)
        put_spec_before_status(next);
    if (rc < 0)
        return a->err.code ? a->err.code : bad(a, &err);
    *out = pt_steal(next);
    return PT_OK;
}

/* A message begins with the path of the field. */
void pt_mem_fail_invalid(struct pt_mem_answer *a, const struct pt_mem_type *t, const char *name, const char *why)
{
    pt_auto_buf b = PT_BUF_INIT(0);
    size_t n = strcspn(why, ":");
    const char *rest = why[n] ? why + n + 1 : why;
    pt_mem_fail(a, 422, "Invalid", "%s \"%s\" is invalid: %s", t->res->kind, name, why);
    pt_buf_puts(&b, "{\"name\":");
    pt_buf_json_string(&b, pt_str(name));
    pt_buf_printf(&b, ",\"group\":\"%s\",\"kind\":\"%s\",\"causes\":[{\"reason\":\"FieldValueInvalid\",\"message\":", t->res->group, t->res->kind);
    pt_buf_json_string(&b, pt_str_trim(pt_str(rest)));
    pt_buf_puts(&b, ",\"field\":");
    pt_buf_json_string(&b, (struct pt_str){why, why[n] ? n : 0});
    pt_buf_puts(&b, "}]}");
    pt_mem_details(a, pt_buf_cstr(&b));
}

int pt_mem_admit(struct pt_memapi *m, struct pt_mem_type *t, cJSON *tree, const cJSON *was, struct pt_mem_answer *a)
{
    struct pt_err err = {0};
    if (!m->o.admit || t->res != &pt_res_modeldeployments || m->o.admit(m->o.admit_arg, t->res, tree, was, &err) == PT_OK)
        return PT_OK;
    const char *name = pt_obj_text(tree, "metadata.name");
    if (err.code == PT_ENOMEM)
        return bad(a, &err);
    if (err.code == PT_EDENIED)
        pt_mem_fail(a, 403, "Forbidden", "%s \"%s\" is forbidden: %s", t->res->plural, name, err.msg);
    else
        pt_mem_fail_invalid(a, t, name, err.msg);
    return a->err.code;
}

/* --- defaults ------------------------------------------------------------------------------------------------------------ */

/* Members that are missing in o.NAME, which is made where it is missing too. */
static void set_text(cJSON *o, const char *in, const char *name, const char *value)
{
    if (!cJSON_HasObjectItem(pt_obj_get(o, in), name))
        (void)pt_obj_set(pt_obj_ensure(o, in), name, cJSON_CreateString(value), NULL);
}

static void set_number(cJSON *o, const char *in, const char *name, int64_t value)
{
    if (!cJSON_HasObjectItem(pt_obj_get(o, in), name))
        (void)pt_obj_set(pt_obj_ensure(o, in), name, cJSON_CreateNumber((double)value), NULL);
}

static void pod_defaults(cJSON *tree)
{
    set_text(tree, "spec", "restartPolicy", "Always");
    set_text(tree, "spec", "dnsPolicy", "ClusterFirst");
    set_number(tree, "spec", "terminationGracePeriodSeconds", 30);
    set_text(tree, "status", "phase", "Pending");
}

static void service_defaults(struct pt_memapi *m, cJSON *tree)
{
    char ip[32];
    snprintf(ip, sizeof ip, "10.96.%u.%u", pt_rand_below(&m->rand, 256), 1 + pt_rand_below(&m->rand, 254));
    (void)pt_obj_ensure(tree, "spec");
    if (!cJSON_HasObjectItem(pt_obj_get(tree, "status"), "loadBalancer"))
        (void)pt_obj_ensure(tree, "status.loadBalancer");
    set_text(tree, "spec", "type", "ClusterIP");
    set_text(tree, "spec", "clusterIP", ip);
    set_text(tree, "spec", "sessionAffinity", "None");
    cJSON *ports = pt_obj_mut(tree, "spec.ports"), *port;
    cJSON_ArrayForEach(port, ports)
    {
        set_text(port, "", "protocol", "TCP");
        set_number(port, "", "targetPort", pt_obj_int(port, "port", 0));
    }
}

void pt_mem_defaults(struct pt_memapi *m, struct pt_mem_type *t, cJSON *tree)
{
    if (t->res == &pt_res_pods)
        pod_defaults(tree);
    else if (t->res == &pt_res_services)
        service_defaults(m, tree);
    else if (pt_mem_is_namespace(t))
        set_text(tree, "status", "phase", "Active");
}
