/* SPDX-License-Identifier: Apache-2.0
 *
 * index.h: objects by a key that they hold themselves: a table of pointers, 8 bytes a slot and no copy of a key. A cluster has ten thousands of
 * objects, and of what is kept of one a key of its own would be a good part. Within ctrl/ only.
 */
#ifndef PT_CTRL_INDEX_H
#define PT_CTRL_INDEX_H

#include "base/err.h"
#include "base/str.h"

/* Two texts; ns NULL is another key than any ns. */
struct pt_index_key {
    const char *ns, *name;
};
struct pt_object;
typedef struct pt_index_key (*pt_index_key_fn)(const struct pt_object *o);

struct pt_index {
    pt_index_key_fn key;
    struct pt_object **slots;
    size_t count, used, size; /* used counts tombstones; size is a power of two or 0 */
};
void pt_index_init(struct pt_index *x, pt_index_key_fn key);
void pt_index_finish(struct pt_index *x); /* objects are the caller's */
struct pt_object *pt_index_get(const struct pt_index *x, struct pt_index_key key);
/* Instead of what has the same key, if anything has (then it needs no memory). PT_ENOMEM. */
int pt_index_set(struct pt_index *x, struct pt_object *o, struct pt_err *err);
void pt_index_remove(struct pt_index *x, struct pt_index_key key);
/* for (size_t i = 0; (o = pt_index_next(x, &i));): the removal of the current one is allowed. Order: none, but the same for the same history. */
struct pt_object *pt_index_next(const struct pt_index *x, size_t *iter);

#endif
