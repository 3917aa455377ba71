/* SPDX-License-Identifier: Apache-2.0
 *
 * files.c: external data. A location is a path below the model's folder; what it leads to after following links must be there too, so that a model
 * cannot make anybody read other files of the machine. A file is mapped once, however many tensors are in it.
 */
#include "runtime/onnx/onnx.h"

#include "base/path.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

struct pt_onnx_file {
    struct pt_onnx_file *next;
    struct pt_map_file map;
    struct pt_str location; /* of the model's bytes */
    bool checked;           /* its checksum was compared */
};

static bool has_parent_step(struct pt_str path)
{
    struct pt_str part;
    while (pt_str_split(&path, '/', &part))
        if (pt_str_eq(part, PT_STR("..")))
            return true;
    return false;
}

/* The real path of location in out; both folder and file with every link followed. */
static int resolve(const struct pt_onnx_files *f, struct pt_str location, char out[PATH_MAX], struct pt_err *err)
{
    char mounted[PATH_MAX], folder[PATH_MAX], path[2 * PATH_MAX];
    if (location.len == 0 || location.p[0] == '/' || memchr(location.p, '\0', location.len) || has_parent_step(location))
        return pt_fail(err, PT_EINVAL, "external data '" PT_STR_FMT "' must be a relative path without '..'", PT_STR_ARG(location));
    int rc = pt_path_resolve(*f->folder ? f->folder : ".", mounted, sizeof mounted, err);
    if (rc < 0)
        return rc;
    if (!realpath(mounted, folder))
        return pt_fail(err, PT_EIO, "folder %s: %s", f->folder, strerror(errno));
    if (snprintf(path, sizeof path, "%s/" PT_STR_FMT, folder, PT_STR_ARG(location)) >= (int)sizeof path)
        return pt_fail(err, PT_EINVAL, "external data: the path is too long");
    if (!realpath(path, out))
        return pt_fail(err, errno == ENOENT ? PT_ENOTFOUND : PT_EIO, "external data '" PT_STR_FMT "': %s", PT_STR_ARG(location), strerror(errno));
    size_t n = strlen(folder);
    if (strncmp(out, folder, n) != 0 || (out[n] != '/' && n > 1))
        return pt_fail(err, PT_EINVAL, "external data '" PT_STR_FMT "' is a link that leads out of the model's folder", PT_STR_ARG(location));
    return PT_OK;
}

static int open_file(struct pt_onnx_files *f, struct pt_str location, struct pt_onnx_file **out, struct pt_err *err)
{
    char path[PATH_MAX];
    int rc = resolve(f, location, path, err);
    if (rc < 0)
        return rc;
    struct pt_onnx_file *file = pt_calloc(1, sizeof *file);
    if (!file)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    if ((rc = pt_map_file_open(path, &file->map, err)) < 0) {
        pt_free(file);
        return rc;
    }
    file->location = location;
    file->next = f->list;
    *out = f->list = file;
    return PT_OK;
}

static int check_sum(struct pt_onnx_file *file, struct pt_str sha1, struct pt_err *err)
{
    uint8_t digest[20];
    char hex[41];
    if (file->checked || sha1.len == 0)
        return PT_OK;
    pt_sha1(file->map.data, file->map.len, digest);
    for (int i = 0; i < 20; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    if (!pt_str_eq_nocase(sha1, pt_str(hex)))
        return pt_fail(err, PT_EPARSE, "external data '" PT_STR_FMT "' has the SHA-1 %s, the model says " PT_STR_FMT, PT_STR_ARG(file->location), hex,
                       PT_STR_ARG(sha1));
    file->checked = true;
    return PT_OK;
}

int pt_onnx_files_get(struct pt_onnx_files *f, struct pt_str location, int64_t offset, int64_t len, struct pt_str sha1, struct pt_str *out,
                      struct pt_err *err)
{
    struct pt_onnx_file *file = f ? f->list : NULL;
    int rc = PT_OK;
    *out = (struct pt_str){0};
    if (!f || !f->folder)
        return pt_fail(err, PT_EUNSUPPORTED, "external data '" PT_STR_FMT "': a model read from memory needs the option that names its folder",
                       PT_STR_ARG(location));
    while (file && !pt_str_eq(file->location, location))
        file = file->next;
    if (!file && (rc = open_file(f, location, &file, err)) < 0)
        return rc;
    if ((uint64_t)offset > file->map.len || (len >= 0 && (uint64_t)len > file->map.len - (uint64_t)offset))
        return pt_fail(err, PT_EPARSE, "external data '" PT_STR_FMT "' has %zu bytes, but a tensor is said to be %lld bytes at %lld",
                       PT_STR_ARG(location), file->map.len, (long long)len, (long long)offset);
    *out = (struct pt_str){(const char *)file->map.data + offset, len < 0 ? file->map.len - (size_t)offset : (size_t)len};
    return check_sum(file, sha1, err);
}

int pt_onnx_files_each(const struct pt_onnx_files *f, int (*fn)(void *arg, const void *data, size_t len), void *arg)
{
    int rc = 0;
    for (const struct pt_onnx_file *file = f->list; file && !rc; file = file->next)
        rc = fn(arg, file->map.data, file->map.len);
    return rc;
}

void pt_onnx_files_close(struct pt_onnx_files *f)
{
    for (struct pt_onnx_file *file = f->list, *next; file; file = next) {
        next = file->next;
        pt_map_file_close(&file->map);
        pt_free(file);
    }
    *f = (struct pt_onnx_files){0};
}
