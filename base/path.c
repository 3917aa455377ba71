/* SPDX-License-Identifier: Apache-2.0
 *
 * path.c: mount table lookups, mkdir -p and atomic writes. Any thread.
 */
#include "base/path.h"

#include "base/contract.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_once_t mounts_once = PTHREAD_ONCE_INIT;
static const char *mounts;

static void read_mounts(void)
{
    mounts = getenv(PT_ENV_MOUNTS);
}

/* Writes the absolute path without empty, "." and ".." components, so that /models/../x is not taken for a file below /models. */
static bool normalize(struct pt_str path, char *out, size_t size)
{
    struct pt_str part;
    size_t len = 0;
    while (pt_str_split(&path, '/', &part)) {
        if (part.len == 0 || pt_str_eq(part, PT_STR(".")))
            continue;
        if (pt_str_eq(part, PT_STR(".."))) {
            while (len > 0 && out[--len] != '/') {
            }
            continue;
        }
        if (part.len + 2 > size - len)
            return false;
        out[len++] = '/';
        memcpy(out + len, part.p, part.len);
        len += part.len;
    }
    out[len] = '\0';
    return true;
}

/* Finds the row of the longest mount point that path lies in. */
static bool find_mount(struct pt_str path, struct pt_str *point, struct pt_str *target)
{
    struct pt_str rest = pt_str(mounts), row;
    bool found = false;
    while (pt_str_split(&rest, ':', &row)) {
        struct pt_str at;
        if (!pt_str_split(&row, '=', &at) || !row.p)
            continue;
        while (at.len && at.p[at.len - 1] == '/')
            at.len--;
        bool inside = pt_str_starts(path, at) && (path.len == at.len || path.p[at.len] == '/');
        if (inside && (!found || at.len > point->len)) {
            found = true;
            *point = at;
            *target = row;
        }
    }
    return found;
}

int pt_path_resolve(const char *path, char *out, size_t out_size, struct pt_err *err)
{
    char clean[PATH_MAX];
    struct pt_str point, target;
    pthread_once(&mounts_once, read_mounts);
    int n;
    if (mounts && path[0] == '/' && normalize(pt_str(path), clean, sizeof clean) && find_mount(pt_str(clean), &point, &target))
        n = snprintf(out, out_size, PT_STR_FMT "%s", PT_STR_ARG(target), clean + point.len);
    else
        n = snprintf(out, out_size, "%s", path);
    if (n < 0 || (size_t)n >= out_size)
        return pt_fail(err, PT_ELIMIT, "path of %zu bytes is too long: %s", strlen(path), path);
    return PT_OK;
}

static int make_dir(const char *path, unsigned mode, struct pt_err *err)
{
    struct stat st;
    if (mkdir(path, (mode_t)mode) == 0 || (errno == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode)))
        return PT_OK;
    if (errno == EEXIST)
        return pt_fail(err, PT_EEXIST, "make directory %s: it exists and is not a directory", path);
    return pt_fail(err, pt_err_from_errno(errno), "make directory %s: %s", path, strerror(errno));
}

int pt_path_mkdirs(const char *path, unsigned mode, struct pt_err *err)
{
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof part)
        return pt_fail(err, PT_EINVAL, "make directory: a path of %zu bytes", len);
    memcpy(part, path, len + 1);
    for (size_t i = 1; i <= len; i++)
        if (path[i] == '/' || path[i] == '\0') {
            part[i] = '\0';
            int rc = make_dir(part, mode, err);
            if (rc < 0)
                return rc;
            part[i] = path[i];
        }
    return PT_OK;
}

static bool write_all(int fd, const char *p, size_t len)
{
    while (len) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0)
            p += n, len -= (size_t)n;
    }
    return true;
}

/* The rename itself must reach the disk; a file system that cannot sync a directory has nothing to sync. */
static void sync_parent(const char *path)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int n = slash ? snprintf(dir, sizeof dir, "%.*s/", (int)(slash - path), path) : snprintf(dir, sizeof dir, ".");
    int fd = n < 0 || (size_t)n >= sizeof dir ? -1 : open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

/* A device, a pipe: /dev/stdout, or one that must not become a file because somebody wrote to it. */
static int write_special(const char *path, const void *data, size_t len, struct pt_err *err)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool good = fd >= 0 && write_all(fd, data, len);
    int saved = errno;
    if (fd >= 0)
        close(fd);
    return good ? PT_OK : pt_fail(err, pt_err_from_errno(saved), "write %s: %s", path, strerror(saved));
}

int pt_path_write_atomic(const char *path, const void *data, size_t len, unsigned mode, struct pt_err *err)
{
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return write_special(path, data, len, err);
    pt_auto_free char *temporary = pt_asprintf("%s.XXXXXX", path);
    if (!temporary)
        return pt_fail(err, PT_ENOMEM, "write %s: out of memory", path);
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return pt_fail(err, pt_err_from_errno(errno), "write %s: %s", path, strerror(errno));
    bool good = fchmod(fd, (mode_t)mode) == 0 && write_all(fd, data, len) && fsync(fd) == 0;
    int saved = errno;
    if (close(fd) < 0 && good)
        good = false, saved = errno;
    if (good && rename(temporary, path) < 0)
        good = false, saved = errno;
    if (!good) {
        unlink(temporary);
        return pt_fail(err, pt_err_from_errno(saved), "write %s: %s", path, strerror(saved));
    }
    sync_parent(path);
    return PT_OK;
}

uint64_t pt_path_fingerprint(const char *path, uint64_t seed)
{
    struct stat st = {0};
    if (stat(path, &st) != 0)
        st.st_size = -1;
    const int64_t facts[] = {(int64_t)st.st_dev, (int64_t)st.st_ino, st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec};
    return pt_hash64(facts, sizeof facts, seed);
}
