/* SPDX-License-Identifier: Apache-2.0
 *
 * keep.h: weights that the runtime made ready (pintle/runtime.h, pt_session_save) are kept in a folder of the cache, so that the next start of the model,
 * here or in another process that shares the cache, need not make them, and their memory is a file's.
 */
#ifndef PT_SIDECAR_KEEP_H
#define PT_SIDECAR_KEEP_H

#include "base/err.h"

#include <pintle/runtime.h>

enum { PT_KEEP_NAME = 96 };

/* The folder in the cache, as the pod sees it, for pt_free(); NULL: out of memory. */
char *pt_keep_folder(const char *cache);
/* What tells apart files with the same bytes that may not be the same party's: the digest that it was downloaded under, or else (NULL) what the file
 * system says of the open file. */
void pt_keep_name(int fd, const uint8_t *digest, char name[PT_KEEP_NAME]);
/* Saves what the session made, if it made anything, in `limit` bytes for all such files. Takes as long as the disk does. */
int pt_keep_save(struct pt_session *s, const char *folder, int64_t limit, struct pt_err *err);

#endif
