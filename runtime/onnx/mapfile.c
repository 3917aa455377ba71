/* SPDX-License-Identifier: Apache-2.0
 *
 * mapfile.c: a file as read-only memory, so that weights are never copied and pods on a node share them in the page cache.
 */
#include "runtime/onnx/onnx.h"

#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int pt_map_file_open(const char *path, struct pt_map_file *out, struct pt_err *err)
{
    char real[PATH_MAX];
    struct stat st;
    *out = (struct pt_map_file){0};
    if (pt_path_resolve(path, real, sizeof real, err) < 0)
        return pt_wrap(err, "open %s", path);
    int fd = open(real, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return pt_fail(err, errno == ENOENT ? PT_ENOTFOUND : PT_EIO, "open %s: %s", path, strerror(errno));
    int rc = PT_OK;
    if (fstat(fd, &st) < 0)
        rc = pt_fail(err, PT_EIO, "stat %s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        rc = pt_fail(err, PT_EINVAL, "%s is not a regular file", path);
    else if (st.st_size == 0)
        rc = pt_fail(err, PT_EPARSE, "%s is empty, not an ONNX model", path);
    else {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            rc = pt_fail(err, PT_EIO, "map %s: %s", path, strerror(errno));
        else
            *out = (struct pt_map_file){p, (size_t)st.st_size};
    }
    close(fd);
    return rc;
}

void pt_map_file_close(struct pt_map_file *m)
{
    if (m->data)
        munmap(m->data, m->len);
    *m = (struct pt_map_file){0};
}
