/* SPDX-License-Identifier: Apache-2.0
 *
 * prepared_file.c: see prepared_file.h.
 */
#include "runtime/graph/prepared_file.h"

#include "base/mem.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char magic[16] = "pintle weights\n";

struct header {
    char magic[16];
    uint8_t identity[PT_IDENTITY_BYTES];
    uint32_t page;
    uint64_t file_bytes, entries_at, count, entries_sum;
    uint64_t sum; /* of what is before it */
};

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static uint64_t round_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

/* --- sums ------------------------------------------------------------------------------------------------------------------------ */

/* Eight lanes, so that their multiplications overlap. Each step is a permutation of the lane for a given word: a single change never gets lost. */
#define LANES 8
#define ODD 0x9e3779b97f4a7c15u

static inline uint64_t turn(uint64_t x)
{
    return x << 31 | x >> 33;
}

void pt_prepared_digest(const void *data, size_t len, uint64_t out[LANES])
{
    const char *p = data;
    uint64_t lane[LANES], word[LANES];
    size_t left = len;
    for (int i = 0; i < LANES; i++)
        lane[i] = (uint64_t)len + (uint64_t)(i + 1) * ODD;
    for (; left >= sizeof word; p += sizeof word, left -= sizeof word) {
        memcpy(word, p, sizeof word);
        for (int i = 0; i < LANES; i++)
            lane[i] = turn((lane[i] ^ word[i]) * ODD);
    }
    memset(word, 0, sizeof word);
    if (left)
        memcpy(word, p, left);
    for (int i = 0; i < LANES; i++)
        out[i] = turn((lane[i] ^ word[i]) * ODD);
}

uint64_t pt_prepared_sum(const void *data, size_t len)
{
    uint64_t lanes[LANES], sum = 0;
    pt_prepared_digest(data, len, lanes);
    for (int i = 0; i < LANES; i++) {
        sum = (sum ^ lanes[i]) * 0xff51afd7ed558ccdu;
        sum ^= sum >> 32;
    }
    return sum;
}

/* --- reading --------------------------------------------------------------------------------------------------------------------- */

int pt_prepared_compare(const struct pt_prepared_entry *a, const struct pt_prepared_entry *b)
{
    if (a->source != b->source)
        return a->source < b->source ? -1 : 1;
    if (a->what != b->what)
        return a->what < b->what ? -1 : 1;
    return (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

static int check_header(const struct header *h, size_t len, const uint8_t *identity, struct pt_err *err)
{
    if (memcmp(h->magic, magic, sizeof magic) != 0)
        return pt_fail(err, PT_EPARSE, "it is no file of prepared weights");
    if (h->sum != pt_prepared_sum(h, offsetof(struct header, sum)))
        return pt_fail(err, PT_EPARSE, "its header is damaged");
    if (memcmp(h->identity, identity, PT_IDENTITY_BYTES) != 0 || h->page != page_bytes())
        return pt_fail(err, PT_EPARSE, "it is of another model, build or CPU");
    if (h->file_bytes != len)
        return pt_fail(err, PT_EPARSE, "it has %zu bytes of %llu", len, (unsigned long long)h->file_bytes);
    if (h->entries_at < h->page || h->entries_at % h->page || h->entries_at > len ||
        (len - h->entries_at) / sizeof(struct pt_prepared_entry) != h->count || (len - h->entries_at) % sizeof(struct pt_prepared_entry))
        return pt_fail(err, PT_EPARSE, "it says that %llu entries begin at %llu of %zu bytes", (unsigned long long)h->count,
                       (unsigned long long)h->entries_at, len);
    return PT_OK;
}

int pt_prepared_parse(const void *data, size_t len, const uint8_t identity[PT_IDENTITY_BYTES], const struct pt_prepared_entry **entries,
                      size_t *count, struct pt_err *err)
{
    struct header h;
    *entries = NULL;
    *count = 0;
    if (len < sizeof h)
        return pt_fail(err, PT_EPARSE, "it has only %zu bytes", len);
    memcpy(&h, data, sizeof h);
    int rc = check_header(&h, len, identity, err);
    if (rc < 0)
        return rc;
    const struct pt_prepared_entry *e = (const void *)((const char *)data + h.entries_at);
    if (pt_prepared_sum(e, len - h.entries_at) != h.entries_sum)
        return pt_fail(err, PT_EPARSE, "its list of contents is damaged");
    for (size_t i = 0; i < h.count; i++)
        if (e[i].at < h.page || e[i].at % 64 || e[i].at > h.entries_at || e[i].bytes > h.entries_at - e[i].at ||
            (i && pt_prepared_compare(&e[i - 1], &e[i]) >= 0))
            return pt_fail(err, PT_EPARSE, "its entry %zu, %llu bytes at %llu, cannot be", i, (unsigned long long)e[i].bytes,
                           (unsigned long long)e[i].at);
    *entries = e;
    *count = h.count;
    return PT_OK;
}

/* --- writing --------------------------------------------------------------------------------------------------------------------- */

uint64_t pt_prepared_place(uint64_t before_at, size_t before_len)
{
    return before_at ? round_up(before_at + before_len, page_bytes()) : page_bytes();
}

static int write_at(int fd, const void *data, size_t len, uint64_t at)
{
    for (const char *p = data; len;) {
        ssize_t n = pwrite(fd, p, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n ? errno : ENOSPC;
            return PT_EIO;
        }
        p += n, at += (uint64_t)n, len -= (size_t)n;
    }
    return PT_OK;
}

static int write_all(int fd, const uint8_t *identity, const struct pt_prepared_span *spans, size_t span_count,
                     const struct pt_prepared_entry *entries, size_t count)
{
    uint64_t at = 0;
    size_t before = 0;
    for (size_t i = 0; i < span_count; i++) {
        at = pt_prepared_place(at, before);
        before = spans[i].len;
        if (write_at(fd, spans[i].base, spans[i].len, at) < 0)
            return PT_EIO;
    }
    struct header h = {.page = (uint32_t)page_bytes(), .count = count};
    h.entries_at = pt_prepared_place(at, before);
    h.file_bytes = h.entries_at + count * sizeof *entries;
    h.entries_sum = pt_prepared_sum(entries, count * sizeof *entries);
    memcpy(h.magic, magic, sizeof magic);
    memcpy(h.identity, identity, sizeof h.identity);
    h.sum = pt_prepared_sum(&h, offsetof(struct header, sum));
    bool good = ftruncate(fd, (off_t)h.entries_at) == 0 && write_at(fd, entries, count * sizeof *entries, h.entries_at) == PT_OK &&
                write_at(fd, &h, sizeof h, 0) == PT_OK && fsync(fd) == 0;
    return good ? PT_OK : PT_EIO;
}

int pt_prepared_write(const char *folder, const char *name, const uint8_t identity[PT_IDENTITY_BYTES], const struct pt_prepared_span *spans,
                      size_t span_count, const struct pt_prepared_entry *entries, size_t count, struct pt_err *err)
{
    pt_auto_free char *path = pt_asprintf("%s/%s", folder, name), *temporary = pt_asprintf("%s/%s.XXXXXX", folder, name);
    if (!path || !temporary)
        return pt_fail(err, PT_ENOMEM, "write prepared weights: out of memory");
    if (pt_path_mkdirs(folder, 0755, err) < 0)
        return pt_wrap(err, "write prepared weights");
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return pt_fail(err, pt_err_from_errno(errno), "write %s: %s", path, strerror(errno));
    if (fchmod(fd, 0644) < 0 || write_all(fd, identity, spans, span_count, entries, count) < 0 || rename(temporary, path) < 0) {
        int code = pt_fail(err, pt_err_from_errno(errno), "write %s: %s", path, strerror(errno));
        unlink(temporary);
        close(fd);
        return code;
    }
    return fd;
}
