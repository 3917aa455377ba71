/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <ftw.h>
#include <unistd.h>

static char dir[64];

const char *temp_dir(void)
{
    if (!*dir) {
        snprintf(dir, sizeof dir, "/tmp/pintle-unit.XXXXXX");
        assert_non_null(mkdtemp(dir));
    }
    return dir;
}

char *temp_path(const char *name)
{
    static char paths[8][256];
    static unsigned turn;
    char *path = paths[turn++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", temp_dir(), name);
    return path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void temp_remove(void)
{
    if (*dir)
        nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    *dir = '\0';
}

void temp_write(const char *name, const void *data, size_t len)
{
    FILE *f = fopen(temp_path(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}
