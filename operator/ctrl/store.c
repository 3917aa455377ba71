/* SPDX-License-Identifier: Apache-2.0
 *
 * store.c: see store.h. Two maps onto the same objects: by name, and by owner's uid to the first of a linked list. Orphans are listed under
 * "namespace/name" of the owner they ask for: no uid has a slash.
 */
#include "operator/ctrl/store.h"
#include "operator/ctrl/obj.h"

#include <string.h>

#define KEY_MAX 352 /* a namespace has at most 63 bytes, a name 253 */

static struct pt_str key_of(char key[KEY_MAX], const char *ns, const char *name)
{
    size_t n = ns ? strlen(ns) : 0, m = strlen(name);
    n = n < KEY_MAX - 1 ? n : KEY_MAX - 1;
    m = m < KEY_MAX - 1 - n ? m : KEY_MAX - 1 - n;
    memcpy(key, ns ? ns : "", n);
    key[n] = '/';
    memcpy(key + n + 1, name, m);
    return (struct pt_str){key, n + 1 + m};
}

void pt_store_init(struct pt_store *s, const struct pt_store_type *type, void *arg)
{
    *s = (struct pt_store){.type = type, .arg = arg};
}

void pt_store_finish(struct pt_store *s)
{
    void *o;
    for (size_t i = 0; pt_map_next(&s->by_name, &i, NULL, &o);)
        s->type->free(o);
    pt_map_finish(&s->by_name);
    pt_map_finish(&s->by_owner);
}

struct pt_object *pt_store_get(const struct pt_store *s, const char *ns, const char *name)
{
    char key[KEY_MAX];
    return pt_map_get(&s->by_name, key_of(key, ns, name));
}

struct pt_object *pt_store_owned(const struct pt_store *s, const char *owner_uid)
{
    return pt_map_get(&s->by_owner, pt_str(owner_uid));
}

struct pt_object *pt_store_orphans(const struct pt_store *s, const char *ns, const char *owner_name)
{
    char key[KEY_MAX];
    return pt_map_get(&s->by_owner, key_of(key, ns, owner_name));
}

static struct pt_str owner_key(char key[KEY_MAX], const struct pt_object *o)
{
    return o->owner_uid ? pt_str(o->owner_uid) : o->owner_name ? key_of(key, o->ns, o->owner_name) : (struct pt_str){NULL, 0};
}

static int link_owner(struct pt_store *s, struct pt_object *o, struct pt_err *err)
{
    char key[KEY_MAX];
    struct pt_str k = owner_key(key, o);
    if (!k.p)
        return PT_OK;
    o->next = pt_map_get(&s->by_owner, k);
    return pt_map_set(&s->by_owner, k, o, NULL, err);
}

static void unlink_owner(struct pt_store *s, struct pt_object *o)
{
    char key[KEY_MAX];
    struct pt_str k = owner_key(key, o);
    struct pt_object *head = k.p ? pt_map_get(&s->by_owner, k) : NULL;
    if (head == o) {
        if (o->next)
            (void)pt_map_set(&s->by_owner, k, o->next, NULL, NULL); /* the key is there: needs no memory */
        else
            pt_map_remove(&s->by_owner, k);
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
    char key[KEY_MAX];
    pt_map_remove(&s->by_name, key_of(key, o->ns, o->name));
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
    char key[KEY_MAX];
    if (was && strcmp(was->uid, o->uid) != 0) {
        remove_object(s, was);
        was = NULL;
    }
    if (link_owner(s, o, err) < 0) {
        s->type->free(o);
        return PT_ENOMEM;
    }
    if (pt_map_set(&s->by_name, key_of(key, o->ns, o->name), o, NULL, err) < 0) {
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
    int rc = put(s, o, s->lists, err);
    if (rc == PT_OK && rv > s->rv)
        s->rv = rv;
    return rc;
}

int pt_store_wrote(struct pt_store *s, struct pt_object *o, struct pt_err *err)
{
    if (o->rv <= s->rv) { /* the watch has already shown this version, or what came after it */
        s->type->free(o);
        return PT_OK;
    }
    return put(s, o, s->lists, err);
}

void pt_store_delete(struct pt_store *s, const char *ns, const char *name, uint64_t rv)
{
    struct pt_object *o = pt_store_get(s, ns, name);
    if (o && o->rv <= rv)
        remove_object(s, o);
    if (rv > s->rv)
        s->rv = rv;
}

int pt_store_replace(struct pt_store *s, struct pt_object **list, size_t count, uint64_t rv, struct pt_err *err)
{
    int rc = PT_OK;
    unsigned mark = s->lists + 1;
    for (size_t i = 0; i < count; i++) {
        if (rc == PT_OK)
            rc = put(s, list[i], mark, err);
        else
            s->type->free(list[i]);
    }
    if (rc < 0)
        return rc;
    void *v;
    for (size_t i = 0; pt_map_next(&s->by_name, &i, NULL, &v);) {
        struct pt_object *o = v;
        if (o->mark != mark && o->rv <= rv)
            remove_object(s, o);
    }
    if (rv > s->rv)
        s->rv = rv;
    s->lists = mark;
    return PT_OK;
}
