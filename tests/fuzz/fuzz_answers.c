/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_answers.c: what others answer the sidecar and the commands, where a few lines of ours read it: the operator a report, a sidecar a scrape, a
 * bucket about what it holds. The first byte says which.
 */
#include "base/mem.h"
#include "cli/bucket.h"
#include "cli/mirror.h"
#include "cli/top_sample.h"
#include "sidecar/sender.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

/* Whatever the operator says, reports neither flood it nor cease. */
static void report_reply(struct pt_str text)
{
    int64_t interval_ms = 1000;
    pt_sender_read_reply(text, &interval_ms);
    check(interval_ms >= 10 && interval_ms <= 3600 * 1000);
}

static void metrics(struct pt_str text)
{
    struct pt_top_counters c;
    pt_top_read_metrics(text, &c);
    check(c.buckets <= PT_TOP_BUCKETS);
    (void)pt_top_quantile(c.limit, c.count, c.buckets, 0.99);
}

/* Nothing is brought from a bucket but to the folder of the run, and by its digest. */
static void bucket_index(struct pt_str text)
{
    static struct pt_mirror_entry entries[PT_MIRROR_FILES];
    uint8_t digest[32];
    size_t n = pt_mirror_read_index(text, entries);
    check(n <= PT_MIRROR_FILES);
    for (size_t i = 0; i < n; i++) {
        check(memchr(entries[i].name, 0, sizeof entries[i].name) && entries[i].name[0] && entries[i].name[0] != '.' && !strchr(entries[i].name, '/'));
        check(pt_parse_digest(pt_str(entries[i].digest), "digest", digest, NULL) == PT_OK);
    }
}

static void upload(struct pt_str text)
{
    char id[1024];
    struct pt_err err = {0};
    if (pt_bucket_read_upload(text, id, &err) == PT_OK)
        check(*id && !strpbrk(id, "&# <\n"));
    else
        check(err.msg[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const kinds[])(struct pt_str) = {report_reply, metrics, bucket_index, upload};
    if (size > 0)
        kinds[data[0] % (sizeof kinds / sizeof *kinds)]((struct pt_str){(const char *)data + 1, size - 1});
    return 0;
}
