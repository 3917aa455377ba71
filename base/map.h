/* SPDX-License-Identifier: Apache-2.0
 *
 * map.h: string -> pointer hash table (open addressing, keys copied). Iteration order is unspecified but the same for
 * the same history, so that simulations replay. One owner, no threads.
 */
#ifndef PT_BASE_MAP_H
#define PT_BASE_MAP_H

#include "base/err.h"
#include "base/str.h"

struct pt_map {
    struct pt_map_slot *slots;
    size_t count, used, size; /* used counts tombstones; size is a power of two or 0 */
};
void pt_map_finish(struct pt_map *m); /* values are the caller's */
void *pt_map_get(const struct pt_map *m, struct pt_str key);
/* Sets key to value (not NULL); the old value, if any, in *old (may be NULL). PT_ENOMEM. */
int pt_map_set(struct pt_map *m, struct pt_str key, void *value, void **old, struct pt_err *err);
void *pt_map_remove(struct pt_map *m, struct pt_str key); /* the value, or NULL */
/* for (size_t i = 0; pt_map_next(m, &i, &key, &value);) — removal of the current entry during iteration is allowed. */
bool pt_map_next(const struct pt_map *m, size_t *iter, struct pt_str *key, void **value);

#endif
