/* SPDX-License-Identifier: Apache-2.0
 *
 * cache.c: see cache.h.
 */
#include "sidecar/cache.h"

#include "base/buf.h"
#include "base/contract.h"
#include "base/mem.h"
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

char *pt_default_cache(void)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && *cache)
        return pt_asprintf("%s/pintle", cache);
    return home && *home ? pt_asprintf("%s/.cache/pintle", home) : pt_strdup(PT_PATH_CACHE);
}

static void name_of(const char *dir, const char *uri, const char *ending, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%016llx.%s", dir, (unsigned long long)pt_hash64(uri, strlen(uri), 0), ending);
}

/* Does the path still lead to what is open? */
static bool is_same(int fd, const char *path)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

int pt_cache_open_part(const char *dir, const char *uri, char path[PATH_MAX], int64_t *size, struct pt_err *err)
{
    struct stat st;
    if (pt_path_mkdirs(dir, 0755, err) < 0)
        return pt_wrap(err, "cache");
    name_of(dir, uri, "part", path);
    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0)
            return pt_fail(err, PT_EIO, "open %s: %s", path, strerror(errno));
        bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0, busy = !locked && errno == EWOULDBLOCK;
        if ((!locked && !busy) || fstat(fd, &st) != 0) {
            pt_fail(err, PT_EIO, "lock %s: %s", path, strerror(errno));
            close(fd);
            return PT_EIO;
        }
        *size = st.st_size;
        if (locked && is_same(fd, path))
            return fd;
        close(fd);
        if (busy)
            return pt_fail(err, PT_EAGAIN, "%s: another process is downloading it", path);
    }
}

int pt_cache_open(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return PT_ENOTFOUND;
    (void)futimens(fd, NULL);
    if (flock(fd, LOCK_SH | LOCK_NB) == 0 && is_same(fd, path))
        return fd;
    close(fd);
    return PT_ENOTFOUND;
}

/* --- room ------------------------------------------------------------------------------------------------------------------------ */

struct entry {
    char *path;
    int64_t bytes;
    struct timespec used;
};
struct listing {
    struct entry *entries;
    size_t count;
    int64_t total;
};

static bool ends_with(const char *s, const char *ending)
{
    size_t a = strlen(s), b = strlen(ending);
    return a >= b && strcmp(s + a - b, ending) == 0;
}

static int add_entry(struct listing *l, const char *dir, const char *name, const char *but, struct pt_err *err)
{
    struct stat st;
    if (strncmp(name, "sha256-", 7) != 0 && !ends_with(name, ".part") && !strstr(name, ".weights"))
        return PT_OK;
    struct entry e = {.path = pt_asprintf("%s/%s", dir, name)}, *more;
    if (!e.path)
        return pt_fail(err, PT_ENOMEM, "cache: out of memory");
    if (strcmp(e.path, but) == 0 || lstat(e.path, &st) != 0 || !S_ISREG(st.st_mode)) {
        pt_free(e.path);
        return PT_OK;
    }
    if (!(more = pt_reallocarray(l->entries, l->count + 1, sizeof *more))) {
        pt_free(e.path);
        return pt_fail(err, PT_ENOMEM, "cache: out of memory");
    }
    e.bytes = st.st_size;
    e.used = st.st_mtim;
    l->entries = more;
    more[l->count++] = e;
    l->total += e.bytes;
    return PT_OK;
}

static int longest_unused_first(const void *a, const void *b)
{
    const struct timespec *x = &((const struct entry *)a)->used, *y = &((const struct entry *)b)->used;
    return x->tv_sec != y->tv_sec ? (x->tv_sec > y->tv_sec) - (x->tv_sec < y->tv_sec) : (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

static int list(const char *dir, const char *but, struct listing *l, struct pt_err *err)
{
    DIR *d = opendir(dir);
    int rc = PT_OK;
    if (!d)
        return pt_fail(err, PT_EIO, "open %s: %s", dir, strerror(errno));
    for (struct dirent *e; rc == PT_OK && (e = readdir(d));)
        rc = add_entry(l, dir, e->d_name, but, err);
    closedir(d);
    if (l->count)
        qsort(l->entries, l->count, sizeof *l->entries, longest_unused_first);
    return rc;
}

/* Unless somebody holds it. */
static bool evict(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW); /* to write: network file systems want that for an exclusive lock */
    if (fd < 0)
        return errno == ENOENT;
    bool gone = flock(fd, LOCK_EX | LOCK_NB) == 0 && is_same(fd, path) && unlink(path) == 0;
    close(fd);
    return gone;
}

int pt_cache_make_room(const char *dir, int64_t limit, const char *setting, int64_t need, const char *but, struct pt_err *err)
{
    struct listing l = {0};
    if (!limit)
        return PT_OK;
    if (need > limit)
        return pt_fail(err, PT_ELIMIT, "the model has %lld bytes, the cache takes %lld (%s)", (long long)need, (long long)limit, setting);
    int rc = list(dir, but, &l, err);
    for (size_t i = 0; rc == PT_OK && i < l.count && l.total > limit - need; i++)
        if (evict(l.entries[i].path))
            l.total -= l.entries[i].bytes;
    if (rc == PT_OK && l.total > limit - need)
        rc = pt_fail(err, PT_ELIMIT, "the model has %lld bytes, models in use have %lld, the cache takes %lld (%s)", (long long)need,
                     (long long)l.total, (long long)limit, setting);
    for (size_t i = 0; i < l.count; i++)
        pt_free(l.entries[i].path);
    pt_free(l.entries);
    return rc;
}

/* --- what a URI was -------------------------------------------------------------------------------------------------------------- */

bool pt_cache_recall(const char *dir, const char *uri, struct pt_cache_ref *ref)
{
    char path[PATH_MAX];
    struct stat st;
    pt_auto_buf text = PT_BUF_INIT(4096);
    name_of(dir, uri, "ref", path);
    if (stat(path, &st) != 0 || pt_buf_read_file(&text, path, NULL) < 0)
        return false;
    struct pt_str rest = {text.data ? text.data : "", text.len}, digest;
    *ref = (struct pt_cache_ref){.written_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000};
    if (!pt_str_split(&rest, '\n', &digest) || pt_parse_digest(digest, "digest", ref->digest, NULL) < 0)
        return false;
    rest = pt_str_trim(rest);
    snprintf(ref->validator, sizeof ref->validator, PT_STR_FMT, rest.len < sizeof ref->validator ? (int)rest.len : 0, rest.p ? rest.p : "");
    return true;
}

void pt_cache_remember(const char *dir, const char *uri, const struct pt_cache_ref *ref)
{
    char path[PATH_MAX], digest[72], text[512];
    name_of(dir, uri, "ref", path);
    pt_format_digest(ref->digest, digest);
    int len = snprintf(text, sizeof text, "%s\n%s\n", digest, ref->validator);
    (void)pt_path_write_atomic(path, text, (size_t)len, 0644, NULL);
}
