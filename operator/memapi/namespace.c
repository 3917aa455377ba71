/* SPDX-License-Identifier: Apache-2.0
 *
 * namespace.c: namespaces, where the kind is known (definitions.c): one comes to be with the first object in it, and its deletion waits for all that
 * is in it.
 */
#include "operator/memapi/internal.h"

#include <stdio.h>

static struct pt_mem_type *namespaces(struct pt_memapi *m)
{
    struct pt_mem_type *t = m->types;
    while (t && (*t->res->group || strcmp(t->res->kind, "Namespace") != 0))
        t = t->next;
    return t;
}

bool pt_mem_is_namespace(const struct pt_mem_type *t)
{
    return !*t->res->group && !strcmp(t->res->kind, "Namespace");
}

int pt_mem_enter_namespace(struct pt_memapi *m, const char *ns, struct pt_mem_answer *a)
{
    struct pt_mem_type *t = namespaces(m);
    struct pt_mem_object *o = t ? pt_mem_find(t, NULL, ns) : NULL;
    struct pt_err err = {0};
    if (!t)
        return PT_OK;
    if (o) {
        const cJSON *tree = pt_mem_read(m, o->now, &err);
        if (tree && pt_obj_get(tree, "metadata.deletionTimestamp"))
            pt_mem_fail(a, 403, "Forbidden", "namespace %s is being terminated: nothing can be created in it", ns);
        return a->err.code;
    }
    char body[200];
    int n = snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"kubernetes.io/metadata.name\":\"%s\"}}}", ns, ns);
    struct pt_api_request req = {
        .verb = PT_VERB_CREATE, .resource = t->res, .body = {body, (size_t)n}, .field_manager = "pintle-up", .grace_seconds = -1};
    struct pt_mem_answer made = {0};
    pt_mem_execute(m, &req, &made);
    pt_buf_finish(&made.body);
    if (made.err.code)
        pt_mem_fail(a, made.http, made.reason, "%s", made.err.msg);
    return made.err.code;
}

static bool any_in(struct pt_mem_type *t, const char *ns)
{
    void *v;
    for (size_t i = 0; pt_map_next(&t->objects, &i, NULL, &v);) {
        const struct pt_mem_version *now = ((struct pt_mem_object *)v)->now;
        if (!strcmp(now->ns, ns))
            return true;
    }
    return false;
}

bool pt_mem_empty_namespace(struct pt_memapi *m, const char *ns)
{
    bool left = false;
    for (struct pt_mem_type *t = m->types; t; t = t->next) {
        struct pt_api_request req = {.verb = PT_VERB_DELETE, .resource = t->res, .ns = ns, .grace_seconds = -1};
        struct pt_mem_answer a = {0};
        if (!t->res->namespaced || !any_in(t, ns))
            continue;
        pt_mem_execute(m, &req, &a);
        pt_buf_finish(&a.body);
        left |= any_in(t, ns);
    }
    return left;
}

void pt_mem_left_namespace(struct pt_memapi *m, const char *ns)
{
    struct pt_mem_type *t = namespaces(m);
    struct pt_mem_object *o = t && *ns ? pt_mem_find(t, NULL, ns) : NULL;
    const cJSON *tree = o ? pt_mem_read(m, o->now, NULL) : NULL;
    if (!tree || !pt_obj_get(tree, "metadata.deletionTimestamp"))
        return;
    for (struct pt_mem_type *u = m->types; u; u = u->next)
        if (u->res->namespaced && any_in(u, ns))
            return;
    pt_auto_obj *last = NULL;
    if (pt_mem_tree(o->now, &last, NULL) == PT_OK)
        (void)pt_mem_remove(m, t, o, last, NULL);
}
