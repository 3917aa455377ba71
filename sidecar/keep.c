/* SPDX-License-Identifier: Apache-2.0
 *
 * keep.c: see keep.h.
 */
#include "sidecar/keep.h"

#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "sidecar/cache.h"

#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>

char *pt_keep_folder(const char *cache)
{
    char real[PATH_MAX];
    return pt_path_resolve(cache, real, sizeof real, NULL) == PT_OK ? pt_asprintf("%s/prepared", real) : NULL;
}

void pt_keep_name(int fd, const uint8_t *digest, char name[PT_KEEP_NAME])
{
    struct stat st = {0};
    if (digest)
        pt_format_digest(digest, name);
    else if (fstat(fd, &st) == 0)
        snprintf(name, PT_KEEP_NAME, "%llu %lld.%09ld", (unsigned long long)st.st_ino, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    else
        name[0] = '\0';
}

/* Files there are memory themselves: mapping them would save none. */
static bool is_in_memory(const char *folder)
{
    struct statfs fs;
    return statfs(folder, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

int pt_keep_save(struct pt_session *s, const char *folder, int64_t limit, struct pt_err *err)
{
    struct pt_prepared_info info = {.size = sizeof info};
    int rc = pt_session_prepared(s, &info, err);
    if (rc < 0 || !info.path || !info.made_bytes)
        return rc;
    rc = pt_path_mkdirs(folder, 0755, err);
    if (rc == PT_OK && is_in_memory(folder))
        rc = pt_fail(err, PT_EUNSUPPORTED, "%s is in memory (tmpfs)", folder);
    if (rc == PT_OK)
        rc = pt_cache_make_room(folder, limit, "cache.preparedBytes", (int64_t)info.file_bytes, info.path, err);
    return rc < 0 ? rc : pt_session_save(s, err);
}
