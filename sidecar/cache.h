/* SPDX-License-Identifier: Apache-2.0
 *
 * cache.h: the folder of downloaded models, which several processes, and pods on a shared volume, may use at once.
 *
 *     HASH.part          of a URI: what has come of it so far; whoever downloads holds an exclusive lock on it
 *     sha256-HEX         a whole model; whoever uses it holds a shared lock, and its time is that of the last use
 *     HASH.ref           of a URI: which model it was, and what its server called that version of it
 *
 * The locks are the kernel's (flock): a process that is killed lets go. A file is looked at again once it is locked: by then it may have been renamed
 * or removed. Past the limit those that nobody holds go, the one that was used longest ago first.
 */
#ifndef PT_SIDECAR_CACHE_H
#define PT_SIDECAR_CACHE_H

#include "base/err.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

/* The .part of a URI, locked: its descriptor. PT_EAGAIN: another process has it, *size bytes so far. dir is made when missing. */
int pt_cache_open_part(const char *dir, const char *uri, char path[PATH_MAX], int64_t *size, struct pt_err *err);
/* A model, locked for use: its descriptor, or PT_ENOTFOUND. */
int pt_cache_open(const char *path);
/* Removes what nobody uses until `need` more bytes fit under the limit (0: none). PT_ELIMIT says what is in the way. Files of the path `but` stay.
 * setting: where the limit comes from. */
int pt_cache_make_room(const char *dir, int64_t limit, const char *setting, int64_t need, const char *but, struct pt_err *err);

/* The user's, for pt_free(): $XDG_CACHE_HOME/pintle or ~/.cache/pintle. NULL: out of memory. */
char *pt_default_cache(void);

struct pt_cache_ref {
    uint8_t digest[32];
    char validator[256]; /* an ETag, or a date; "": the server names no versions */
    int64_t written_ms;  /* wall clock */
};
/* What the URI was the last time; false: not known. */
bool pt_cache_recall(const char *dir, const char *uri, struct pt_cache_ref *ref);
void pt_cache_remember(const char *dir, const char *uri, const struct pt_cache_ref *ref); /* best effort: without it there is one download more */

#endif
