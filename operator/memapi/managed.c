/* SPDX-License-Identifier: Apache-2.0
 *
 * managed.c: who owns which fields (metadata.managedFields), and server-side apply by it.
 *
 * A manager that applies owns what its configuration names; what it named before and no longer does, and nobody else owns, is removed. A field that
 * another manager owns with another value is a conflict, or, with force, changes hands. Whoever updates or patches owns what that changed, and nobody
 * else does any more.
 */
#include "operator/memapi/fieldset.h"

#include <stdio.h>

/* Fields that belong to the server, and those that name the object. */
static const char *const nobodys[] = {"name",
                                      "namespace",
                                      "uid",
                                      "creationTimestamp",
                                      "generation",
                                      "deletionTimestamp",
                                      "deletionGracePeriodSeconds",
                                      "resourceVersion",
                                      "managedFields",
                                      "generateName",
                                      "selfLink"};

static void strip(cJSON *set)
{
    cJSON *meta = cJSON_GetObjectItemCaseSensitive(set, "f:metadata");
    char name[64];
    for (size_t i = 0; i < sizeof nobodys / sizeof *nobodys; i++) {
        snprintf(name, sizeof name, "f:%s", nobodys[i]);
        cJSON_DeleteItemFromObjectCaseSensitive(meta, name);
    }
    if (meta)
        cJSON_DeleteItemFromObjectCaseSensitive(meta, ".");
    if (meta && !meta->child)
        cJSON_DeleteItemFromObjectCaseSensitive(set, "f:metadata");
    cJSON_DeleteItemFromObjectCaseSensitive(set, "f:apiVersion");
    cJSON_DeleteItemFromObjectCaseSensitive(set, "f:kind");
    cJSON_DeleteItemFromObjectCaseSensitive(set, ".");
}

/* The schema of a whole object: that of its kind, with metadata as all have it. NULL: out of memory. The caller's. */
static cJSON *whole_schema(struct pt_memapi *m, const struct pt_mem_type *t)
{
    cJSON *schema = cJSON_CreateObject(), *properties = schema ? cJSON_AddObjectToObject(schema, "properties") : NULL;
    const cJSON *p;
    bool ok = properties && cJSON_AddItemReferenceToObject(properties, "metadata", (cJSON *)(uintptr_t)m->meta_schema);
    cJSON_ArrayForEach(p, pt_obj_get(pt_mem_schema(t), "properties")) if (ok && strcmp(p->string, "metadata") != 0) ok =
        cJSON_AddItemReferenceToObject(properties, p->string, (cJSON *)(uintptr_t)p);
    if (ok)
        return schema;
    pt_obj_free(schema);
    return NULL;
}

static bool is_entry(const cJSON *e, const struct pt_api_request *req, const char *operation)
{
    return !strcmp(pt_obj_text(e, "manager"), req->field_manager ? req->field_manager : "") && !strcmp(pt_obj_text(e, "operation"), operation) &&
           !strcmp(pt_obj_text(e, "subresource"), req->subresource ? req->subresource : "");
}

static cJSON *find_entry(cJSON *list, const struct pt_api_request *req, const char *operation)
{
    cJSON *e;
    cJSON_ArrayForEach(e, list) if (is_entry(e, req, operation)) return e;
    return NULL;
}

static cJSON *fields_in(cJSON *entry)
{
    return cJSON_GetObjectItemCaseSensitive(entry, "fieldsV1");
}

static cJSON *add_entry(cJSON *list, const struct pt_mem_type *t, const struct pt_api_request *req, const char *operation)
{
    char version[128];
    cJSON *e = cJSON_CreateObject();
    snprintf(version, sizeof version, "%s%s%s", t->res->group, *t->res->group ? "/" : "", t->res->version);
    bool ok = e && cJSON_AddStringToObject(e, "manager", req->field_manager ? req->field_manager : "") &&
              cJSON_AddStringToObject(e, "operation", operation) && cJSON_AddStringToObject(e, "apiVersion", version) &&
              cJSON_AddStringToObject(e, "fieldsType", "FieldsV1") && cJSON_AddObjectToObject(e, "fieldsV1") &&
              (!req->subresource || cJSON_AddStringToObject(e, "subresource", req->subresource)) && cJSON_AddItemToArray(list, e);
    if (ok)
        return e;
    pt_obj_free(e);
    return NULL;
}

/* The entries of an object, fields unpacked; the caller's. */
static cJSON *entries_of(const cJSON *object, struct pt_err *err)
{
    const cJSON *stored = pt_obj_get(object, "metadata.managedFields");
    cJSON *list = cJSON_IsArray(stored) ? pt_obj_copy(stored) : cJSON_CreateArray(), *e;
    bool ok = list != NULL;
    cJSON_ArrayForEach(e, list)
    {
        if (!cJSON_IsObject(fields_in(e)))
            ok = ok && cJSON_AddObjectToObject(e, "fieldsV1");
        else if (fields_in(e)->child)
            ok = ok && pt_fields_unpack(fields_in(e), err) == PT_OK;
    }
    if (ok)
        return list;
    pt_obj_free(list);
    pt_fail(err, PT_ENOMEM, "managed fields: out of memory");
    return NULL;
}

/* Empty entries go; those whose fields are not what they were get the time. The list is taken. */
static int store_entries(struct pt_memapi *m, cJSON *object, cJSON *list, const cJSON *before, struct pt_err *err)
{
    char now[24];
    pt_mem_time(m, 0, now);
    for (cJSON *e = list->child, *next; e; e = next) {
        next = e->next;
        if (!fields_in(e)->child) {
            pt_obj_free(cJSON_DetachItemViaPointer(list, e));
            continue;
        }
        pt_fields_pack(fields_in(e));
        const cJSON *old;
        bool same = false;
        cJSON_ArrayForEach(old, before) same |= !strcmp(pt_obj_text(old, "manager"), pt_obj_text(e, "manager")) &&
                                                !strcmp(pt_obj_text(old, "operation"), pt_obj_text(e, "operation")) &&
                                                !strcmp(pt_obj_text(old, "subresource"), pt_obj_text(e, "subresource")) &&
                                                pt_obj_equal(cJSON_GetObjectItemCaseSensitive(old, "fieldsV1"), fields_in(e));
        if ((!same || !cJSON_HasObjectItem(e, "time")) && pt_obj_set(e, "time", cJSON_CreateString(now), err) < 0) {
            pt_obj_free(list);
            return PT_ENOMEM;
        }
    }
    return pt_obj_set(pt_obj_ensure(object, "metadata"), "managedFields", list, err);
}

/* --- update, patch, create ------------------------------------------------------------------------------------------------------- */

/* A status has no spec beside it (patch.c), so only what the request may change is compared. */
static int changes(const struct pt_api_request *req, const cJSON *was, const cJSON *next, const cJSON *schema, cJSON *changed, cJSON *removed,
                   struct pt_err *err)
{
    if (!req->subresource)
        return pt_fields_diff(was, next, schema, changed, removed, err);
    pt_auto_obj *a = cJSON_CreateObject(), *b = cJSON_CreateObject();
    const cJSON *was_status = cJSON_GetObjectItemCaseSensitive(was, "status"), *status = cJSON_GetObjectItemCaseSensitive(next, "status");
    if (!a || !b || (was_status && !cJSON_AddItemReferenceToObject(a, "status", (cJSON *)(uintptr_t)was_status)) ||
        (status && !cJSON_AddItemReferenceToObject(b, "status", (cJSON *)(uintptr_t)status)))
        return pt_fail(err, PT_ENOMEM, "managed fields: out of memory");
    return pt_fields_diff(a, b, schema, changed, removed, err);
}

int pt_mem_manage(struct pt_memapi *m, struct pt_mem_type *t, const struct pt_api_request *req, const cJSON *was, cJSON *next, struct pt_err *err)
{
    if (!m->o.managed_fields || req->verb == PT_VERB_APPLY)
        return PT_OK;
    pt_auto_obj *schema = whole_schema(m, t), *changed = cJSON_CreateObject(), *removed = cJSON_CreateObject(), *nothing = cJSON_CreateObject();
    const cJSON *sent = pt_obj_get(next, "metadata.managedFields"), *stored = pt_obj_get(was, "metadata.managedFields");
    if (!schema || !changed || !removed || !nothing)
        return pt_fail(err, PT_ENOMEM, "managed fields: out of memory");
    pt_auto_obj *list = entries_of(cJSON_IsArray(sent) ? next : was, err);
    if (!list || changes(req, was ? was : nothing, next, schema, changed, removed, err) < 0)
        return PT_ENOMEM;
    strip(changed);
    strip(removed);
    cJSON *e, *mine = find_entry(list, req, "Update");
    cJSON_ArrayForEach(e, list)
    {
        pt_fields_subtract(fields_in(e), removed);
        if (e != mine)
            pt_fields_subtract(fields_in(e), changed);
    }
    if (changed->child && ((!mine && !(mine = add_entry(list, t, req, "Update"))) || pt_fields_add(fields_in(mine), changed, err) < 0))
        return pt_fail(err, PT_ENOMEM, "managed fields: out of memory");
    return store_entries(m, next, pt_steal(list), stored, err);
}

/* --- apply ----------------------------------------------------------------------------------------------------------------------- */

static void fail_conflicts(struct pt_mem_answer *a, const cJSON *list, const cJSON *mine, const cJSON *changed)
{
    pt_auto_buf causes = PT_BUF_INIT(0), text = PT_BUF_INIT(0);
    unsigned count = 0;
    const cJSON *e;
    cJSON_ArrayForEach(e, list)
    {
        pt_auto_buf paths = PT_BUF_INIT(0);
        struct pt_str rest, path;
        char why[200];
        if (e == mine)
            continue;
        pt_fields_common(cJSON_GetObjectItemCaseSensitive(e, "fieldsV1"), changed, PT_STR(""), &paths);
        snprintf(why, sizeof why, "conflict with \"%s\"%s%s using %s", pt_obj_text(e, "manager"),
                 *pt_obj_text(e, "subresource") ? " with subresource " : "", pt_obj_text(e, "subresource"), pt_obj_text(e, "apiVersion"));
        for (rest = (struct pt_str){paths.data, paths.len}; rest.len && pt_str_split(&rest, '\n', &path);) {
            if (!path.len)
                continue;
            pt_buf_puts(&causes, count++ ? "," : "");
            pt_buf_puts(&causes, "{\"reason\":\"FieldManagerConflict\",\"message\":");
            pt_buf_json_string(&causes, pt_str(why));
            pt_buf_puts(&causes, ",\"field\":");
            pt_buf_json_string(&causes, path);
            pt_buf_putc(&causes, '}');
            pt_buf_printf(&text, "%s%s: " PT_STR_FMT, count > 1 ? "; " : "", why, PT_STR_ARG(path));
        }
    }
    pt_mem_fail(a, 409, "Conflict", "Apply failed with %u conflict%s: %.300s", count, count == 1 ? "" : "s", pt_buf_cstr(&text));
    pt_auto_buf details = PT_BUF_INIT(0);
    pt_buf_printf(&details, "{\"causes\":[%s]}", pt_buf_cstr(&causes));
    pt_mem_details(a, pt_buf_cstr(&details));
}

/* What of mine the new configuration has left out and nobody else owns. */
static int prune_left_out(cJSON *next, cJSON *list, const cJSON *mine, const cJSON *fields, const cJSON *schema, struct pt_err *err)
{
    pt_auto_obj *gone = pt_obj_copy(cJSON_GetObjectItemCaseSensitive(mine, "fieldsV1"));
    cJSON *e;
    if (!gone)
        return pt_fail(err, PT_ENOMEM, "apply: out of memory");
    pt_fields_subtract(gone, fields);
    cJSON_ArrayForEach(e, list) if (e != mine) pt_fields_subtract(gone, fields_in(e));
    pt_fields_prune(next, gone, schema);
    return PT_OK;
}

int pt_mem_apply(struct pt_memapi *m, struct pt_mem_type *t, const struct pt_api_request *req, cJSON *next, const cJSON *config,
                 struct pt_mem_answer *a, struct pt_err *err)
{
    pt_auto_obj *schema = whole_schema(m, t), *fields = cJSON_CreateObject(), *changed = cJSON_CreateObject(), *removed = cJSON_CreateObject();
    pt_auto_obj *before = pt_obj_copy(next), *list = entries_of(next, err);
    if (!schema || !fields || !changed || !removed || !before || !list)
        return pt_fail(err, PT_ENOMEM, "apply: out of memory");
    if (pt_obj_get(config, "metadata.managedFields"))
        return pt_fail(err, PT_EINVAL, "metadata.managedFields must be nil");
    cJSON *mine = find_entry(list, req, "Apply"), *e;
    if (pt_fields_of(config, schema, fields, err) < 0 || pt_fields_merge(next, config, schema, err) < 0)
        return err->code;
    strip(fields);
    if (mine && prune_left_out(next, list, mine, fields, schema, err) < 0)
        return err->code;
    if (pt_fields_diff(before, next, schema, changed, removed, err) < 0)
        return err->code;
    strip(changed);
    cJSON_ArrayForEach(e, list) if (e != mine && req->no_force && pt_fields_overlap(fields_in(e), changed))
    {
        fail_conflicts(a, list, mine, changed);
        return a->err.code;
    }
    cJSON_ArrayForEach(e, list) if (e != mine)
    {
        pt_fields_subtract(fields_in(e), changed);
        pt_fields_subtract(fields_in(e), removed);
    }
    if (!mine && !(mine = add_entry(list, t, req, "Apply")))
        return pt_fail(err, PT_ENOMEM, "apply: out of memory");
    if (!cJSON_ReplaceItemInObjectCaseSensitive(mine, "fieldsV1", pt_steal(fields)))
        return pt_fail(err, PT_ENOMEM, "apply: out of memory");
    return store_entries(m, next, pt_steal(list), pt_obj_get(before, "metadata.managedFields"), err);
}
