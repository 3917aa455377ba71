/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_file.h: an input as a file, for parsers that open one.
 */
#ifndef PT_TESTS_FUZZ_FILE_H
#define PT_TESTS_FUZZ_FILE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* In memory; one per process, with new content each time. Its path. */
static inline const char *fuzz_file(const uint8_t *data, size_t size)
{
    static char path[32];
    static int fd = -1;
    if (fd < 0 && (fd = memfd_create("fuzz", 0)) < 0)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        abort();
    return path;
}

#endif
