/* SPDX-License-Identifier: Apache-2.0
 *
 * openapi.c: the kinds' schemas as OpenAPI documents: version 3, one per group version, which kubectl explains and validates from, and version 2, one
 * for all. Paths carry just what clients look for: which kind a path is about, and that writes take fieldValidation and dryRun.
 */
#include "operator/memapi/internal.h"
#include "base/contract.h"
#include "base/pbwire.h"

#define META_NAME "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

struct doc {
    struct pt_buf *b;
    const char *definitions; /* where schemas are: the beginning of a $ref */
};

/* "dev.pintle.v1alpha1.ModelDeployment": the group backwards, version, kind. */
static void put_name(struct pt_buf *b, const struct pt_resource *r)
{
    struct pt_str rest = pt_str(r->group);
    while (rest.len) {
        const char *dot = memrchr(rest.p, '.', rest.len), *from = dot ? dot + 1 : rest.p;
        pt_buf_append(b, from, rest.len - (size_t)(from - rest.p));
        pt_buf_putc(b, '.');
        rest.len = dot ? (size_t)(dot - rest.p) : 0;
    }
    pt_buf_printf(b, "%s%s.%s", *r->group ? "" : "core.", r->version, r->kind);
}

static void put_gvk(struct pt_buf *b, const struct pt_resource *r, const char *suffix)
{
    pt_buf_printf(b, "{\"group\":\"%s\",\"version\":\"%s\",\"kind\":\"%s%s\"}", r->group, r->version, r->kind, suffix);
}

/* --- schemas ------------------------------------------------------------------------------------------------------------- */

static void put_meta(const struct doc *d)
{
    pt_buf_printf(d->b, "{\"description\":\"What every object has.\",\"default\":{},\"allOf\":[{\"$ref\":\"%s" META_NAME "\"}]}", d->definitions);
}

static void put_kind_members(const struct doc *d)
{
    pt_buf_puts(d->b, "\"apiVersion\":{\"type\":\"string\",\"description\":\"Group and version of the kind.\"},"
                      "\"kind\":{\"type\":\"string\",\"description\":\"What kind of object this is.\"}");
}

/* The declared schema with apiVersion, kind and metadata as all kinds have them. */
static void put_schema(const struct doc *d, const struct pt_mem_type *t)
{
    struct pt_buf *b = d->b;
    const cJSON *schema = pt_mem_schema(t), *c, *p;
    put_name(b, t->res);
    pt_buf_puts(b, "\":{\"x-kubernetes-group-version-kind\":[");
    put_gvk(b, t->res, "");
    pt_buf_puts(b, "],\"properties\":{");
    put_kind_members(d);
    pt_buf_puts(b, ",\"metadata\":");
    put_meta(d);
    cJSON_ArrayForEach(p, pt_obj_get(schema, "properties"))
    {
        if (!strcmp(p->string, "apiVersion") || !strcmp(p->string, "kind") || !strcmp(p->string, "metadata"))
            continue;
        pt_buf_putc(b, ',');
        pt_buf_json_string(b, pt_str(p->string));
        pt_buf_putc(b, ':');
        (void)pt_obj_print(p, b, NULL);
    }
    pt_buf_putc(b, '}');
    cJSON_ArrayForEach(c, schema)
    {
        if (!strcmp(c->string, "properties"))
            continue;
        pt_buf_printf(b, ",\"%s\":", c->string);
        (void)pt_obj_print(c, b, NULL);
    }
    pt_buf_putc(b, '}');
}

static void put_list_schema(const struct doc *d, const struct pt_mem_type *t)
{
    struct pt_buf *b = d->b;
    put_name(b, t->res);
    pt_buf_printf(b, "List\":{\"description\":\"A list of %s.\",\"type\":\"object\",\"required\":[\"items\"],\"x-kubernetes-group-version-kind\":[",
                  t->res->plural);
    put_gvk(b, t->res, "List");
    pt_buf_puts(b, "],\"properties\":{");
    put_kind_members(d);
    pt_buf_printf(b, ",\"metadata\":{\"type\":\"object\"},\"items\":{\"type\":\"array\",\"items\":{\"$ref\":\"%s", d->definitions);
    put_name(b, t->res);
    pt_buf_puts(b, "\"}}}}");
}

static bool belongs(const struct pt_mem_type *t, const struct pt_str *group, const struct pt_str *version)
{
    return !group || (pt_str_eq(*group, pt_str(t->res->group)) && pt_str_eq(*version, pt_str(t->res->version)));
}

static void put_schemas(struct pt_memapi *m, const struct doc *d, const struct pt_str *group, const struct pt_str *version)
{
    pt_buf_printf(d->b, "{\"" META_NAME "\":");
    (void)pt_obj_print(m->meta_schema, d->b, NULL);
    for (struct pt_mem_type *t = m->types; t; t = t->next) {
        if (!belongs(t, group, version))
            continue;
        pt_buf_puts(d->b, ",\"");
        put_schema(d, t);
        pt_buf_puts(d->b, ",\"");
        put_list_schema(d, t);
    }
    pt_buf_putc(d->b, '}');
}

/* --- paths ----------------------------------------------------------------------------------------------------------------- */

static void put_parameters(const struct doc *d)
{
    static const char *const names[] = {"dryRun", "fieldManager", "fieldValidation"};
    bool v2 = strstr(d->definitions, "components") == NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        pt_buf_printf(d->b, "%s{\"name\":\"%s\",\"in\":\"query\",\"uniqueItems\":true,%s}", i ? "," : "", names[i],
                      v2 ? "\"type\":\"string\"" : "\"schema\":{\"type\":\"string\"}");
}

static void put_operation(const struct doc *d, const struct pt_mem_type *t, const char *method, const char *action, bool writes)
{
    pt_buf_printf(d->b, "\"%s\":{\"x-kubernetes-action\":\"%s\",\"x-kubernetes-group-version-kind\":", method, action);
    put_gvk(d->b, t->res, "");
    pt_buf_puts(d->b, ",\"parameters\":[");
    if (writes)
        put_parameters(d);
    pt_buf_puts(d->b, "],\"responses\":{\"200\":{\"description\":\"OK\"}}}");
}

static void put_paths_of(const struct doc *d, const struct pt_mem_type *t)
{
    static const struct {
        const char *method, *action;
        bool named, writes;
    } operations[] = {{"get", "list", false, false},   {"post", "post", false, true}, {"delete", "deletecollection", false, true},
                      {"get", "get", true, false},     {"put", "put", true, true},    {"patch", "patch", true, true},
                      {"delete", "delete", true, true}};
    const struct pt_resource *r = t->res;
    for (int named = 0; named < (pt_mem_is_review(t) ? 1 : 2); named++) {
        bool first = true;
        pt_buf_printf(d->b, "%s\"/%s%s/%s/%s%s%s\":{", named ? "," : "", *r->group ? "apis/" : "api", r->group, r->version,
                      r->namespaced ? "namespaces/{namespace}/" : "", r->plural, named ? "/{name}" : "");
        for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
            if (operations[i].named != (named == 1) || (pt_mem_is_review(t) && strcmp(operations[i].method, "post") != 0))
                continue;
            pt_buf_puts(d->b, first ? "" : ",");
            first = false;
            put_operation(d, t, operations[i].method, operations[i].action, operations[i].writes);
        }
        pt_buf_putc(d->b, '}');
    }
}

static void put_paths(struct pt_memapi *m, const struct doc *d, const struct pt_str *group, const struct pt_str *version)
{
    bool first = true;
    pt_buf_putc(d->b, '{');
    for (struct pt_mem_type *t = m->types; t; t = t->next) {
        if (!belongs(t, group, version))
            continue;
        pt_buf_puts(d->b, first ? "" : ",");
        first = false;
        put_paths_of(d, t);
    }
    pt_buf_putc(d->b, '}');
}

/* --- documents --------------------------------------------------------------------------------------------------------------- */

void pt_mem_put_openapi_v2(struct pt_memapi *m, struct pt_buf *b)
{
    struct doc d = {b, "#/definitions/"};
    pt_buf_puts(b, "{\"swagger\":\"2.0\",\"info\":{\"title\":\"Pintle\",\"version\":\"" PT_VERSION "\"},\"paths\":");
    put_paths(m, &d, NULL, NULL);
    pt_buf_puts(b, ",\"definitions\":");
    put_schemas(m, &d, NULL, NULL);
    pt_buf_putc(b, '}');
}

void pt_mem_put_openapi_v2_protobuf(struct pt_buf *b)
{
    pt_pb_put_bytes(b, 1, "2.0", 3);
    size_t info = pt_pb_begin(b, 2);
    pt_pb_put_bytes(b, 1, "Pintle", 6);
    pt_pb_put_bytes(b, 2, PT_VERSION, strlen(PT_VERSION));
    pt_pb_end(b, info);
}

bool pt_mem_put_openapi_v3(struct pt_memapi *m, struct pt_str group, struct pt_str version, struct pt_buf *b)
{
    struct doc d = {b, "#/components/schemas/"};
    struct pt_mem_type *t = m->types;
    while (t && !belongs(t, &group, &version))
        t = t->next;
    if (!t)
        return false;
    pt_buf_puts(b, "{\"openapi\":\"3.0.0\",\"info\":{\"title\":\"Pintle\",\"version\":\"" PT_VERSION "\"},\"paths\":");
    put_paths(m, &d, &group, &version);
    pt_buf_puts(b, ",\"components\":{\"schemas\":");
    put_schemas(m, &d, &group, &version);
    pt_buf_puts(b, "}}");
    return true;
}

void pt_mem_put_openapi_v3_index(struct pt_memapi *m, struct pt_buf *b)
{
    bool first = true;
    pt_buf_puts(b, "{\"paths\":{");
    for (struct pt_mem_type *t = m->types; t; t = t->next) {
        const struct pt_resource *r = t->res;
        bool seen = false;
        for (struct pt_mem_type *u = m->types; u != t && !seen; u = u->next)
            seen = !strcmp(u->res->group, r->group) && !strcmp(u->res->version, r->version);
        if (seen)
            continue;
        const char *root = *r->group ? "apis/" : "api";
        pt_buf_printf(b, "%s\"%s%s/%s\":{\"serverRelativeURL\":\"/openapi/v3/%s%s/%s\"}", first ? "" : ",", root, r->group, r->version, root,
                      r->group, r->version);
        first = false;
    }
    pt_buf_puts(b, "}}");
}
