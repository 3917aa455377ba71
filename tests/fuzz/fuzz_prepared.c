/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_prepared.c: any bytes as a file of prepared weights. Sums are put right when the first byte is odd, so that what is behind them is reached;
 * the entries that are accepted must lie in the file, each once.
 */
#include "base/mem.h"
#include "runtime/graph/prepared_file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { IDENTITY = 16, PAGE = 36, FILE_BYTES = 40, ENTRIES_AT = 48, COUNT = 56, ENTRIES_SUM = 64, SUM = 72, HEADER = 80 };

static void put(uint8_t *at, uint64_t v)
{
    memcpy(at, &v, sizeof v);
}

/* What a writer would have written for the entries that are said. */
static void put_right(uint8_t *file, size_t size)
{
    uint64_t at;
    uint32_t page = (uint32_t)sysconf(_SC_PAGESIZE);
    memcpy(&at, file + ENTRIES_AT, sizeof at);
    memcpy(file, "pintle weights\n", 16);
    memset(file + IDENTITY, 0, PT_IDENTITY_BYTES);
    memcpy(file + PAGE, &page, sizeof page);
    put(file + FILE_BYTES, size);
    if (at <= size) {
        put(file + COUNT, (size - at) / sizeof(struct pt_prepared_entry));
        put(file + ENTRIES_SUM, pt_prepared_sum(file + at, size - at));
    }
    put(file + SUM, pt_prepared_sum(file, SUM));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t identity[PT_IDENTITY_BYTES];
    const struct pt_prepared_entry *e;
    size_t count;
    struct pt_err err;
    pt_auto_free uint8_t *file = pt_alloc_aligned(size + 1);
    if (!file || !size)
        return 0;
    memcpy(file, data + 1, size - 1);
    if (data[0] & 1 && size > HEADER)
        put_right(file, size - 1);
    if (pt_prepared_parse(file, size - 1, identity, &e, &count, &err) < 0) {
        if (err.code != PT_EPARSE || !err.msg[0] || count)
            abort();
        return 0;
    }
    const size_t at = (size_t)((const uint8_t *)e - file), page = (size_t)sysconf(_SC_PAGESIZE);
    if (at % page || at + count * sizeof *e != size - 1)
        abort();
    for (size_t i = 0; i < count; i++)
        if (e[i].at < page || e[i].at + e[i].bytes > at || e[i].at + e[i].bytes < e[i].at || (i && pt_prepared_compare(&e[i - 1], &e[i]) >= 0))
            abort();
    return 0;
}
