/* SPDX-License-Identifier: Apache-2.0
 *
 * store.h: the local copy of one resource type: compact structs by "namespace/name", listed by owner.
 *
 * An object starts with `struct pt_object`; the rest is its owner's. The store owns what is put into it. Order is by resourceVersion
 * (one resource type, so comparable): older news never replaces newer. That makes it read-your-writes: whoever has written puts
 * the server's answer in with pt_store_wrote() and sees it at once, whether the watch is behind or ahead. One thread.
 */
#ifndef PT_CTRL_STORE_H
#define PT_CTRL_STORE_H

#include "operator/ctrl/index.h"

struct pt_object {
    const char *ns, *name, *uid;
    const char *owner_uid, *owner_name; /* of the controller; an orphan has only the name of the one that its labels ask for; NULL: none */
    uint64_t rv;
    struct pt_object *next; /* the owner's next; in order of no meaning */
    unsigned mark;          /* the store's: seen by the list of this number; 0: by none */
};

enum pt_change { PT_ADDED, PT_UPDATED, PT_DELETED };
struct pt_store_type {
    const char *name;                                                                        /* "pods"; for logs and metrics */
    int (*decode)(struct pt_str json, struct pt_object **out, struct pt_err *err);           /* JSON -> struct, one allocation or more */
    /* The same, given the version before, if there is one: what cannot have changed need not be read again. NULL: decode() it is. */
    int (*decode_after)(struct pt_str json, const struct pt_object *was, struct pt_object **out, struct pt_err *err);
    void (*free)(struct pt_object *o);
    /* After the store changed. was: the old one (NULL when added), is: the new one (NULL when deleted); was is freed after the call.
     * A name that came back with another uid is a deletion and an addition. initial: from the first list. */
    void (*changed)(void *arg, enum pt_change change, struct pt_object *was, struct pt_object *is, bool initial);
};

struct pt_store {
    const struct pt_store_type *type;
    void *arg;
    struct pt_index by_name, by_owner; /* the second: of the first of each owner's */
    uint64_t rv;     /* the watch has reached this */
    unsigned lists;  /* begun so far */
    bool synced;     /* one was taken in */
};

void pt_store_init(struct pt_store *s, const struct pt_store_type *type, void *arg);
void pt_store_finish(struct pt_store *s); /* frees all objects, without calling changed() */
struct pt_object *pt_store_get(const struct pt_store *s, const char *ns, const char *name);
struct pt_object *pt_store_owned(const struct pt_store *s, const char *owner_uid);                    /* first; then ->next */
struct pt_object *pt_store_orphans(const struct pt_store *s, const char *ns, const char *owner_name); /* of that name's: without a controller */
static inline bool pt_store_synced(const struct pt_store *s)
{
    return s->synced;
}
static inline size_t pt_store_count(const struct pt_store *s)
{
    return s->by_name.count;
}
/* for (size_t i = 0; (o = pt_store_next(s, &i));): all of them, in no order. */
static inline struct pt_object *pt_store_next(const struct pt_store *s, size_t *iter)
{
    return pt_index_next(&s->by_name, iter);
}

int pt_store_decode(const struct pt_store *s, struct pt_str json, struct pt_object **out, struct pt_err *err);
/* News from the watch; takes o. */
int pt_store_put(struct pt_store *s, struct pt_object *o, struct pt_err *err);
void pt_store_delete(struct pt_store *s, const char *ns, const char *name, uint64_t rv);
/* Has the watch already shown this version, or what came after it? Then its text need not be read. */
bool pt_store_knows(const struct pt_store *s, struct pt_str json);
/* The answer to a write of ours; takes o. Taken in only when the watch has not reached its version yet. */
int pt_store_wrote(struct pt_store *s, struct pt_object *o, struct pt_err *err);
/* A list is begun, and comes in pieces. What it shows in the very version that is here need only be confirmed: only what is news is kept twice for a while. */
void pt_store_list(struct pt_store *s);
bool pt_store_confirm(struct pt_store *s, const char *ns, const char *name, uint64_t rv); /* false: that version is not here */
void pt_store_doubt(struct pt_store *s, const char *ns, const char *name);               /* it was confirmed, and deleted since */
/* The list is complete, of version rv; takes the objects (not the array). What is neither in it nor confirmed was deleted, except what we wrote later. */
int pt_store_replace(struct pt_store *s, struct pt_object **list, size_t count, uint64_t rv, struct pt_err *err);

#endif
