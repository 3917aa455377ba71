/* SPDX-License-Identifier: Apache-2.0
 *
 * remote.c: see remote.h.
 */
#include "cli/remote.h"

#include "base/mem.h"
#include "base/path.h"
#include "cli/bucket.h"
#include "cli/recipe_work.h"
#include "sidecar/locator.h"
#include "sidecar/source.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WAIT_MS = 600000 };

static const char file_scheme[] = "file://";
#define IS_FILE(uri) (!strncmp((uri), file_scheme, sizeof file_scheme - 1))

bool pt_remote_is_uri(const char *text)
{
    return strstr(text, "://") != NULL;
}

/* --- fetching ------------------------------------------------------------------------------------------------------------ */

struct fetch {
    struct pt_loop *loop;
    char *path;
    int rc;
    struct pt_err *err;
};

static void no_progress(void *arg, int64_t done, int64_t total)
{
    (void)arg;
    (void)done;
    (void)total;
}

static void fetched(void *arg, const struct pt_source_file *file, const struct pt_err *err)
{
    struct fetch *f = arg;
    if (err)
        f->rc = pt_fail(f->err, err->code, "%s", err->msg);
    else if (!(f->path = pt_strdup(file->path)))
        f->rc = pt_fail(f->err, PT_ENOMEM, "out of memory");
    /* the descriptor stays open: nobody clears the cache of what is in use */
    pt_loop_stop(f->loop);
}

static int download(const char *uri, const uint8_t *digest, const char *cache, char **path, struct pt_err *err)
{
    struct fetch f = {.err = err};
    struct pt_source *source = NULL;
    int rc = pt_loop_create(&f.loop, err);
    if (rc < 0)
        return rc;
    struct pt_source_options o = {
        .loop = f.loop, .uri = uri, .digest = digest, .cache_dir = cache, .wait_ms = WAIT_MS, .progress = no_progress, .done = fetched, .arg = &f};
    rc = pt_source_create(&o, &source, err);
    if (rc == PT_OK) {
        pt_source_fetch(source);
        pt_loop_run(f.loop);
        rc = f.rc;
    }
    pt_source_destroy(source);
    pt_loop_destroy(f.loop);
    *path = f.path;
    return rc;
}

int pt_remote_fetch(const char *uri, const char *digest, const char *cache, char **path, struct pt_err *err)
{
    uint8_t wanted[32];
    char is[72];
    *path = NULL;
    int rc = digest ? pt_parse_digest(pt_str(digest), "digest", wanted, err) : PT_OK;
    if (rc == PT_OK)
        rc = download(uri, digest ? wanted : NULL, cache, path, err);
    if (rc == PT_OK && digest && IS_FILE(uri)) { /* what was downloaded has been compared */
        rc = pt_path_digest(*path, is, err);
        if (rc == PT_OK && strcmp(is, digest) != 0)
            rc = pt_fail(err, PT_ECONFLICT, "%s: digest: want %s, got %s", uri, digest, is);
    }
    if (rc < 0) {
        pt_free(*path);
        *path = NULL;
    }
    return rc;
}

/* --- publishing ---------------------------------------------------------------------------------------------------------- */

static int put(const char *file, const char *uri, struct pt_err *err)
{
    struct pt_bucket *bucket = NULL;
    int rc = pt_bucket_create(&bucket, err);
    if (rc == PT_OK)
        rc = pt_bucket_put_file(bucket, uri, file, err);
    pt_bucket_destroy(bucket);
    return rc;
}

static int move(const char *file, const char *hex, const char *folder, struct pt_err *err)
{
    char real[PATH_MAX - 96], to[PATH_MAX];
    int rc = pt_path_resolve(folder, real, sizeof real, err);
    if (rc == PT_OK)
        rc = pt_path_mkdirs(real, 0777, err);
    if (rc < 0)
        return rc;
    snprintf(to, sizeof to, "%s/sha256-%s.onnx", real, hex);
    return rename(file, to) == 0 ? PT_OK : pt_fail(err, pt_err_from_errno(errno), "rename %s to %s: %s", file, to, strerror(errno));
}

int pt_remote_check_folder(const char *folder, struct pt_err *err)
{
    if (IS_FILE(folder) && folder[sizeof file_scheme - 1] == '/')
        return PT_OK;
    if (strncmp(folder, "s3://", 5) != 0)
        return pt_fail(err, PT_EINVAL, "\"%.200s\": want file:///PATH or s3://BUCKET/KEY", folder);
    return pt_locator_check(folder, err);
}

int pt_remote_publish(const char *file, const char *digest, const char *folder, struct pt_err *err)
{
    const char *hex = strchr(digest, ':') ? strchr(digest, ':') + 1 : digest;
    if (IS_FILE(folder))
        return move(file, hex, folder + sizeof file_scheme - 1, err);
    pt_auto_free char *uri = pt_asprintf("%s/sha256-%s.onnx", folder, hex);
    return uri ? put(file, uri, err) : pt_fail(err, PT_ENOMEM, "out of memory");
}
