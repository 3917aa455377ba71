/* SPDX-License-Identifier: Apache-2.0
 *
 * store.c: see store.h. Two indexes of the same objects: by name, and by owner the first of a linked list. Orphans are listed under namespace and
 * name of the owner they ask for; a uid is alone in its key.
 */
#include "operator/ctrl/store.h"
#include "operator/ctrl/obj.h"

#include <string.h>

static struct pt_index_key name_key(const struct pt_object *o)
{
    return (struct pt_index_key){o->ns ? o->ns : "", o->name};
}

/* Name NULL: it has no owner. */
static struct pt_index_key owner_key(const struct pt_object *o)
{
    return o->owner_uid ? (struct pt_index_key){NULL, o->owner_uid} : (struct pt_index_key){o->ns ? o->ns : "", o->owner_name};
}

void pt_store_init(struct pt_store *s, const struct pt_store_type *type, void *arg)
{
    *s = (struct pt_store){.type = type, .arg = arg};
    pt_index_init(&s->by_name, name_key);
    pt_index_init(&s->by_owner, owner_key);
}

void pt_store_finish(struct pt_store *s)
{
    struct pt_object *o;
    for (size_t i = 0; (o = pt_store_next(s, &i));)
        s->type->free(o);
    pt_index_finish(&s->by_name);
    pt_index_finish(&s->by_owner);
}

struct pt_object *pt_store_get(const struct pt_store *s, const char *ns, const char *name)
{
    return pt_index_get(&s->by_name, (struct pt_index_key){ns ? ns : "", name});
}

struct pt_object *pt_store_owned(const struct pt_store *s, const char *owner_uid)
{
    return pt_index_get(&s->by_owner, (struct pt_index_key){NULL, owner_uid});
}

struct pt_object *pt_store_orphans(const struct pt_store *s, const char *ns, const char *owner_name)
{
    return pt_index_get(&s->by_owner, (struct pt_index_key){ns ? ns : "", owner_name});
}

static int link_owner(struct pt_store *s, struct pt_object *o, struct pt_err *err)
{
    struct pt_index_key k = owner_key(o);
    if (!k.name)
        return PT_OK;
    o->next = pt_index_get(&s->by_owner, k);
    return pt_index_set(&s->by_owner, o, err);
}

static void unlink_owner(struct pt_store *s, struct pt_object *o)
{
    struct pt_index_key k = owner_key(o);
    struct pt_object *head = k.name ? pt_index_get(&s->by_owner, k) : NULL;
    if (head == o) {
        if (o->next)
            (void)pt_index_set(&s->by_owner, o->next, NULL); /* the key is there: needs no memory */
        else
            pt_index_remove(&s->by_owner, k);
        return;
    }
    for (; head; head = head->next)
        if (head->next == o) {
            head->next = o->next;
            return;
        }
}

static void removed(struct pt_store *s, struct pt_object *o)
{
    unlink_owner(s, o);
    s->type->changed(s->arg, PT_DELETED, o, NULL, !pt_store_synced(s));
    s->type->free(o);
}

static void remove_object(struct pt_store *s, struct pt_object *o)
{
    pt_index_remove(&s->by_name, name_key(o));
    removed(s, o);
}

int pt_store_decode(const struct pt_store *s, struct pt_str json, struct pt_object **out, struct pt_err *err)
{
    struct pt_obj_identity id;
    if (!s->type->decode_after)
        return s->type->decode(json, out, err);
    return s->type->decode_after(json, pt_obj_identify(json, &id) ? pt_store_get(s, id.ns, id.name) : NULL, out, err);
}

/* o is newer than what is there, if anything is. */
static int take(struct pt_store *s, struct pt_object *o, struct pt_object *was, struct pt_err *err)
{
    if (was && strcmp(was->uid, o->uid) != 0) {
        remove_object(s, was);
        was = NULL;
    }
    if (link_owner(s, o, err) < 0) {
        s->type->free(o);
        return PT_ENOMEM;
    }
    if (pt_index_set(&s->by_name, o, err) < 0) {
        unlink_owner(s, o);
        s->type->free(o);
        return PT_ENOMEM;
    }
    if (was)
        unlink_owner(s, was);
    s->type->changed(s->arg, was ? PT_UPDATED : PT_ADDED, was, o, !pt_store_synced(s));
    if (was)
        s->type->free(was);
    return PT_OK;
}

static int put(struct pt_store *s, struct pt_object *o, unsigned mark, struct pt_err *err)
{
    struct pt_object *was = pt_store_get(s, o->ns, o->name);
    if (was && was->rv >= o->rv) {
        was->mark = mark;
        s->type->free(o);
        return PT_OK;
    }
    o->mark = mark;
    return take(s, o, was, err);
}

int pt_store_put(struct pt_store *s, struct pt_object *o, struct pt_err *err)
{
    uint64_t rv = o->rv;
    int rc = put(s, o, 0, err);
    if (rc == PT_OK && rv > s->rv)
        s->rv = rv;
    return rc;
}

bool pt_store_knows(const struct pt_store *s, struct pt_str json)
{
    struct pt_obj_identity id;
    return pt_obj_identify(json, &id) && id.rv <= s->rv;
}

int pt_store_wrote(struct pt_store *s, struct pt_object *o, struct pt_err *err)
{
    if (o->rv <= s->rv) { /* the watch has already shown this version, or what came after it */
        s->type->free(o);
        return PT_OK;
    }
    return put(s, o, 0, err);
}

void pt_store_delete(struct pt_store *s, const char *ns, const char *name, uint64_t rv)
{
    struct pt_object *o = pt_store_get(s, ns, name);
    if (o && o->rv <= rv)
        remove_object(s, o);
    if (rv > s->rv)
        s->rv = rv;
}

void pt_store_list(struct pt_store *s)
{
    s->lists++;
}

bool pt_store_confirm(struct pt_store *s, const char *ns, const char *name, uint64_t rv)
{
    struct pt_object *o = pt_store_get(s, ns, name);
    if (!o || o->rv != rv)
        return false;
    o->mark = s->lists;
    return true;
}

void pt_store_doubt(struct pt_store *s, const char *ns, const char *name)
{
    struct pt_object *o = pt_store_get(s, ns, name);
    if (o)
        o->mark = 0;
}

int pt_store_replace(struct pt_store *s, struct pt_object **list, size_t count, uint64_t rv, struct pt_err *err)
{
    int rc = PT_OK;
    for (size_t i = 0; i < count; i++) {
        if (rc == PT_OK)
            rc = put(s, list[i], s->lists, err);
        else
            s->type->free(list[i]);
    }
    if (rc < 0)
        return rc;
    struct pt_object *o;
    for (size_t i = 0; (o = pt_store_next(s, &i));)
        if (o->mark != s->lists && o->rv <= rv)
            remove_object(s, o);
    if (rv > s->rv)
        s->rv = rv;
    s->synced = true;
    return PT_OK;
}
