/* SPDX-License-Identifier: Apache-2.0
 *
 * gc.c: the garbage collector of owners: what only a deleted object owned is deleted too, a little later.
 */
#include "operator/memapi/internal.h"

#include <stdio.h>

void pt_mem_owner_gone(struct pt_memapi *m, const char *uid)
{
    pt_buf_printf(&m->orphans_of, "%s\n", uid);
    if (!pt_timer_running(&m->gc))
        pt_timer_start(m->o.sched, &m->gc, m->o.gc_delay_ms, pt_mem_gc_now);
}

static void count_owners(struct pt_memapi *m, const struct pt_mem_version *v, intptr_t by)
{
    for (const char *p = v->owners; *p; p = strchr(p, '\n') + 1) {
        struct pt_str uid = {p, strcspn(p, "\n")};
        intptr_t n = (intptr_t)pt_map_get(&m->owned, uid) + by;
        if (n <= 0)
            pt_map_remove(&m->owned, uid);
        else if (pt_map_set(&m->owned, uid, (void *)n, NULL, NULL) < 0)
            m->owned_lost = true;
    }
}

void pt_mem_count_owners(struct pt_memapi *m, const struct pt_mem_version *was, const struct pt_mem_version *now)
{
    if (was && now && !strcmp(was->owners, now->owners))
        return;
    if (now)
        count_owners(m, now, 1);
    if (was)
        count_owners(m, was, -1);
}

static bool owned_by(const struct pt_mem_version *v, const char *uid)
{
    size_t n = strlen(uid);
    for (const char *p = v->owners; *p; p = strchr(p, '\n') + 1)
        if (!strncmp(p, uid, n) && p[n] == '\n')
            return true;
    return false;
}

static bool has_living_owner(struct pt_memapi *m, const struct pt_mem_version *v)
{
    for (const char *p = v->owners; *p; p = strchr(p, '\n') + 1)
        if (pt_map_get(&m->uids, (struct pt_str){p, strcspn(p, "\n")}))
            return true;
    return false;
}

struct dependents {
    struct dependent {
        struct pt_mem_type *t;
        struct pt_mem_version *v; /* held */
    } * all;
    size_t count, room;
};

static void dependents_finish(struct dependents *d)
{
    for (size_t i = 0; i < d->count; i++)
        pt_mem_version_release(d->all[i].v);
    pt_free(d->all);
}

/* Everything that references this owner now. What does not fit in memory is found by the next pass. */
static struct dependents dependents_of(struct pt_memapi *m, const char *uid)
{
    struct dependents d = {0};
    void *v;
    if (!m->owned_lost && !pt_map_get(&m->owned, pt_str(uid)))
        return d;
    for (struct pt_mem_type *t = m->types; t; t = t->next)
        for (size_t i = 0; pt_map_next(&t->objects, &i, NULL, &v);) {
            struct pt_mem_version *now = ((struct pt_mem_object *)v)->now;
            if (!owned_by(now, uid))
                continue;
            if (d.count == d.room) {
                size_t room = d.room ? d.room * 2 : 16;
                struct dependent *all = pt_reallocarray(d.all, room, sizeof *all);
                if (!all)
                    return d;
                d.all = all;
                d.room = room;
            }
            now->refs++;
            d.all[d.count++] = (struct dependent){t, now};
        }
    return d;
}

static void remove_reference(struct pt_memapi *m, struct pt_mem_type *t, struct pt_mem_object *o, const char *owner_uid)
{
    pt_auto_obj *tree = NULL;
    if (pt_mem_tree(o->now, &tree, NULL) < 0)
        return;
    cJSON *refs = pt_obj_mut(tree, "metadata.ownerReferences"), *e, *next;
    for (e = refs ? refs->child : NULL; e; e = next) {
        next = e->next;
        const char *uid = pt_obj_str(e, "uid");
        if (uid && !strcmp(uid, owner_uid))
            pt_obj_free(cJSON_DetachItemViaPointer(refs, e));
    }
    (void)pt_mem_commit(m, t, o, &tree, NULL);
}

static void delete_dependent(struct pt_memapi *m, struct pt_mem_type *t, struct pt_mem_object *o)
{
    pt_auto_free char *ns = pt_strdup(o->now->ns), *name = pt_strdup(o->now->name);
    struct pt_mem_answer a = {0};
    struct pt_api_request req = {.verb = PT_VERB_DELETE, .resource = t->res, .ns = ns, .name = name, .grace_seconds = -1};
    if (ns && name)
        pt_mem_execute(m, &req, &a);
    pt_buf_finish(&a.body);
}

/* The finalizer of foreground deletion goes with the last dependent. */
static void release_waiting(struct pt_memapi *m, struct pt_mem_type *t, struct pt_mem_object *o)
{
    pt_auto_obj *tree = NULL;
    if (pt_mem_tree(o->now, &tree, NULL) < 0)
        return;
    cJSON *list = pt_obj_mut(tree, "metadata.finalizers"), *e, *next;
    for (e = list ? list->child : NULL; e; e = next) {
        next = e->next;
        if (cJSON_IsString(e) && !strcmp(e->valuestring, "foregroundDeletion"))
            pt_obj_free(cJSON_DetachItemViaPointer(list, e));
    }
    if (list && !list->child && pt_obj_get(tree, "metadata.deletionTimestamp"))
        (void)pt_mem_remove(m, t, o, tree, NULL);
    else
        (void)pt_mem_commit(m, t, o, &tree, NULL);
}

bool pt_mem_is_waiting(const struct pt_mem_object *o)
{
    static const char mark[] = "\"foregroundDeletion\"";
    return memmem(o->now->text.p, o->now->text.len, mark, sizeof mark - 1) != NULL;
}

static void release_all_waiting(struct pt_memapi *m)
{
    void *v;
    struct pt_mem_type *t = pt_mem_type_of(m, &pt_res_modeldeployments);
    for (size_t i = 0; t && pt_map_next(&t->objects, &i, NULL, &v);) {
        struct pt_mem_object *o = v;
        if (pt_mem_is_waiting(o) && !pt_mem_delete_dependents(m, o->now->uid)) /* also those made since */
            release_waiting(m, t, o);
    }
}

static void collect(struct pt_memapi *m, const char *uid)
{
    struct dependents d = dependents_of(m, uid);
    for (size_t i = 0; i < d.count; i++) {
        struct pt_mem_object *o = pt_mem_find(d.all[i].t, d.all[i].v->ns, d.all[i].v->name);
        if (!o || strcmp(o->now->uid, d.all[i].v->uid) != 0)
            continue;
        if (has_living_owner(m, o->now))
            remove_reference(m, d.all[i].t, o, uid);
        else
            delete_dependent(m, d.all[i].t, o);
    }
    dependents_finish(&d);
}

void pt_mem_gc_now(struct pt_timer *timer)
{
    struct pt_memapi *m = (struct pt_memapi *)((char *)timer - offsetof(struct pt_memapi, gc));
    pt_auto_buf gone = m->orphans_of;
    m->orphans_of = PT_BUF_INIT(0);
    for (char *p = (char *)gone.data, *end = p + gone.len, *line; p < end; p = line + 1) {
        line = memchr(p, '\n', (size_t)(end - p));
        *line = 0;
        if (!pt_map_get(&m->uids, pt_str(p)))
            collect(m, p);
    }
    release_all_waiting(m);
}

void pt_mem_orphan(struct pt_memapi *m, const char *owner_uid)
{
    struct dependents d = dependents_of(m, owner_uid);
    for (size_t i = 0; i < d.count; i++)
        remove_reference(m, d.all[i].t, pt_mem_find(d.all[i].t, d.all[i].v->ns, d.all[i].v->name), owner_uid);
    dependents_finish(&d);
}

bool pt_mem_delete_dependents(struct pt_memapi *m, const char *owner_uid)
{
    struct dependents d = dependents_of(m, owner_uid);
    for (size_t i = 0; i < d.count; i++)
        delete_dependent(m, d.all[i].t, pt_mem_find(d.all[i].t, d.all[i].v->ns, d.all[i].v->name));
    dependents_finish(&d);
    d = dependents_of(m, owner_uid);
    size_t left = d.count;
    dependents_finish(&d);
    return left > 0;
}
