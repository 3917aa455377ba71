/* SPDX-License-Identifier: Apache-2.0
 *
 * discovery.c: what a client asks first: which groups, versions and resources there are, in the old form (a document per group version)
 * and in the aggregated one (two documents), which clients prefer.
 */
#include "operator/memapi/internal.h"

#include <stdio.h>

/* Newest first in m->types; clients show the order they get, so that is kept stable by group. */
static bool first_of_group(struct pt_memapi *m, const struct pt_mem_type *t)
{
    for (struct pt_mem_type *u = m->types; u != t; u = u->next)
        if (!strcmp(u->res->group, t->res->group))
            return false;
    return true;
}

static void put_verbs(struct pt_buf *b, const struct pt_mem_type *t, const char *sub)
{
    pt_buf_printf(b, "\"verbs\":[%s]",
                  pt_mem_is_review(t)   ? "\"create\""
                  : !strcmp(sub, "log") || !strcmp(sub, "proxy") ? "\"get\""
                  : *sub                ? "\"get\",\"patch\",\"update\""
                                        : "\"create\",\"delete\",\"deletecollection\",\"get\",\"list\",\"patch\",\"update\",\"watch\"");
}

static void put_names(struct pt_buf *b, const struct pt_mem_type *t)
{
    static const char *const lists[] = {"shortNames", "categories"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        const cJSON *list = cJSON_GetObjectItemCaseSensitive(pt_obj_get(t->def, "names"), lists[i]);
        if (!list)
            continue;
        pt_buf_printf(b, ",\"%s\":", lists[i]);
        (void)pt_obj_print(list, b, NULL);
    }
}

static const char *singular_of(const struct pt_mem_type *t)
{
    return pt_obj_text(t->def, "names.singular");
}

/* Calls put for each subresource. */
static void each_subresource(const struct pt_mem_type *t, struct pt_buf *b,
                             void (*put)(struct pt_buf *b, const struct pt_mem_type *t, const char *sub, bool first))
{
    bool first = true;
    const cJSON *sub;
    cJSON_ArrayForEach(sub, pt_obj_get(t->def, "versions.0.subresources"))
    {
        put(b, t, sub->string, first);
        first = false;
    }
}

/* --- one document per group version ---------------------------------------------------------------------------------- */

static void put_group_version(struct pt_buf *b, const struct pt_resource *r)
{
    pt_buf_printf(b, "{\"groupVersion\":\"%s/%s\",\"version\":\"%s\"}", r->group, r->version, r->version);
}

static void put_group(struct pt_buf *b, const struct pt_resource *r, bool alone)
{
    pt_buf_printf(b, "{%s\"name\":\"%s\",\"versions\":[", alone ? "\"kind\":\"APIGroup\",\"apiVersion\":\"v1\"," : "", r->group);
    put_group_version(b, r);
    pt_buf_puts(b, "],\"preferredVersion\":");
    put_group_version(b, r);
    pt_buf_putc(b, '}');
}

void pt_mem_put_groups(struct pt_memapi *m, struct pt_buf *b)
{
    bool first = true;
    pt_buf_puts(b, "{\"kind\":\"APIGroupList\",\"apiVersion\":\"v1\",\"groups\":[");
    for (struct pt_mem_type *t = m->types; t; t = t->next) {
        if (!*t->res->group || !first_of_group(m, t))
            continue;
        pt_buf_puts(b, first ? "" : ",");
        put_group(b, t->res, false);
        first = false;
    }
    pt_buf_puts(b, "]}");
}

bool pt_mem_put_group(struct pt_memapi *m, struct pt_str group, struct pt_buf *b)
{
    struct pt_mem_type *t = m->types;
    while (t && !pt_str_eq(group, pt_str(t->res->group)))
        t = t->next;
    if (t && group.len)
        put_group(b, t->res, true);
    return t && group.len;
}

static void put_resource(struct pt_buf *b, const struct pt_mem_type *t, const char *sub)
{
    bool scale = !strcmp(sub, "scale");
    pt_buf_printf(b, "{\"name\":\"%s%s%s\",\"singularName\":\"%s\",\"namespaced\":%s,%s\"kind\":\"%s\",", t->res->plural, *sub ? "/" : "", sub,
                  *sub ? "" : singular_of(t), t->res->namespaced ? "true" : "false", scale ? "\"group\":\"autoscaling\",\"version\":\"v1\"," : "",
                  scale ? "Scale" : t->res->kind);
    put_verbs(b, t, sub);
    if (!*sub)
        put_names(b, t);
    pt_buf_putc(b, '}');
}

static void put_resource_sub(struct pt_buf *b, const struct pt_mem_type *t, const char *sub, bool first)
{
    (void)first;
    pt_buf_putc(b, ',');
    put_resource(b, t, sub);
}

bool pt_mem_put_resources(struct pt_memapi *m, struct pt_str group, struct pt_str version, struct pt_buf *b)
{
    bool first = true;
    pt_buf_printf(b, "{\"kind\":\"APIResourceList\",\"apiVersion\":\"v1\",\"groupVersion\":\"" PT_STR_FMT "%s" PT_STR_FMT "\",\"resources\":[",
                  PT_STR_ARG(group), group.len ? "/" : "", PT_STR_ARG(version));
    for (struct pt_mem_type *t = m->types; t; t = t->next) {
        if (!pt_str_eq(group, pt_str(t->res->group)) || !pt_str_eq(version, pt_str(t->res->version)))
            continue;
        pt_buf_puts(b, first ? "" : ",");
        first = false;
        put_resource(b, t, "");
        each_subresource(t, b, put_resource_sub);
    }
    pt_buf_puts(b, "]}");
    return !first;
}

/* --- aggregated ---------------------------------------------------------------------------------------------------------- */

static void put_response_kind(struct pt_buf *b, const struct pt_resource *r, bool scale)
{
    if (scale)
        pt_buf_puts(b, "\"responseKind\":{\"group\":\"autoscaling\",\"version\":\"v1\",\"kind\":\"Scale\"},");
    else
        pt_buf_printf(b, "\"responseKind\":{\"group\":\"%s\",\"version\":\"%s\",\"kind\":\"%s\"},", r->group, r->version, r->kind);
}

static void put_aggregated_sub(struct pt_buf *b, const struct pt_mem_type *t, const char *sub, bool first)
{
    pt_buf_printf(b, "%s{\"subresource\":\"%s\",", first ? ",\"subresources\":[" : ",", sub);
    put_response_kind(b, t->res, !strcmp(sub, "scale"));
    put_verbs(b, t, sub);
    pt_buf_putc(b, '}');
}

static void put_aggregated_resource(struct pt_buf *b, const struct pt_mem_type *t)
{
    const cJSON *subs = pt_obj_get(t->def, "versions.0.subresources");
    pt_buf_printf(b, "{\"resource\":\"%s\",", t->res->plural);
    put_response_kind(b, t->res, false);
    pt_buf_printf(b, "\"scope\":\"%s\",\"singularResource\":\"%s\",", t->res->namespaced ? "Namespaced" : "Cluster", singular_of(t));
    put_verbs(b, t, "");
    put_names(b, t);
    each_subresource(t, b, put_aggregated_sub);
    pt_buf_puts(b, subs && subs->child ? "]}" : "}");
}

void pt_mem_put_aggregated(struct pt_memapi *m, bool core, struct pt_buf *b)
{
    bool first_group = true;
    pt_buf_puts(b, "{\"kind\":\"APIGroupDiscoveryList\",\"apiVersion\":\"apidiscovery.k8s.io/v2\",\"metadata\":{},\"items\":[");
    for (struct pt_mem_type *g = m->types; g; g = g->next) {
        bool first = true;
        if ((*g->res->group == 0) != core || !first_of_group(m, g))
            continue;
        pt_buf_printf(b, "%s{\"metadata\":{\"name\":\"%s\"},\"versions\":[{\"version\":\"%s\",\"freshness\":\"Current\",\"resources\":[",
                      first_group ? "" : ",", g->res->group, g->res->version);
        first_group = false;
        for (struct pt_mem_type *t = g; t; t = t->next) {
            if (strcmp(t->res->group, g->res->group) != 0)
                continue;
            pt_buf_puts(b, first ? "" : ",");
            first = false;
            put_aggregated_resource(b, t);
        }
        pt_buf_puts(b, "]}]}");
    }
    pt_buf_puts(b, "]}");
}
