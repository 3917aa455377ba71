/* SPDX-License-Identifier: Apache-2.0
 *
 * mirror.h: a run's work folder (recipe_work.h) once more in a bucket, for a run whose machine may go for good: what is finished is copied there, and
 * brought back where the folder is empty.
 *
 * PREFIX/index is what counts: a line with the digest of the recipe and its files, then one "sha256:HEX NAME" for each file; the file itself is
 * PREFIX/sha256-HEX, written before the index names it and removed after it no longer does. So whoever is cut off between two writes has lost the
 * last of them, and what is brought back has been verified. An index of another recipe is written over.
 */
#ifndef PT_CLI_MIRROR_H
#define PT_CLI_MIRROR_H

#include "base/str.h"
#include "cli/progress.h"

struct pt_mirror;
/* prefix: s3://BUCKET/KEY. cache: where files are downloaded to. */
int pt_mirror_create(const char *prefix, const char *cache, struct pt_mirror **out, struct pt_err *err);
void pt_mirror_destroy(struct pt_mirror *m);
/* What the bucket has of this digest, into the folder. PT_OK also when that is nothing. */
int pt_mirror_load(struct pt_mirror *m, const char *folder, const char *digest, struct pt_err *err);
/* FOLDER/name as it is now; where there is no such file any more, it goes. */
int pt_mirror_save(struct pt_mirror *m, const char *folder, const char *name, struct pt_err *err);
/* All of it. */
int pt_mirror_remove(struct pt_mirror *m, struct pt_err *err);

enum { PT_MIRROR_FILES = 256 };
struct pt_mirror_entry {
    char digest[72], name[64]; /* "sha256:HEX"; a file of the folder, nothing that leads elsewhere */
};
/* The lines of an index behind the first; one that makes no sense ends them. How many there are. */
size_t pt_mirror_read_index(struct pt_str lines, struct pt_mirror_entry out[PT_MIRROR_FILES]);

#endif
