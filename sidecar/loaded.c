/* SPDX-License-Identifier: Apache-2.0
 *
 * loaded.c: see loaded.h. The session reads the same mapping that was hashed, so a file that is replaced by another in between changes
 * nothing. Writing into a mapped file in place is what the runtime's contract forbids: where that must be expected, its bytes are taken instead.
 */
#include "sidecar/loaded.h"

#include "base/mem.h"
#include "net/tls.h"
#include "sidecar/warmup.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HASH_CHUNK = 1 << 20, HUGE_FROM = 8 << 20 };

static int read_all(int fd, char *p, size_t len, const char *path, struct pt_err *err)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = pread(fd, p + at, len - at, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? pt_fail(err, PT_EIO, "read %s: %s", path, strerror(errno))
                         : pt_fail(err, PT_EIO, "read %s: it ends after %zu of %zu bytes", path, at, len);
        at += (size_t)n;
    }
    return PT_OK;
}

int pt_loaded_map(struct pt_loaded *l, int fd, const char *path, bool copy, struct pt_err *err)
{
    struct stat st;
    *l = (struct pt_loaded){0};
    if (fstat(fd, &st) != 0)
        return pt_fail(err, PT_EIO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return pt_fail(err, PT_EINVAL, "%s: is not a regular file", path);
    if (st.st_size == 0)
        return pt_fail(err, PT_EINVAL, "%s: is empty", path);
    void *p = mmap(NULL, (size_t)st.st_size, copy ? PROT_READ | PROT_WRITE : PROT_READ, copy ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_PRIVATE,
                   copy ? -1 : fd, 0);
    if (p == MAP_FAILED)
        return pt_fail(err, errno == ENOMEM ? PT_ENOMEM : PT_EIO, "map %s: %s", path, strerror(errno));
    l->data = p;
    l->len = (size_t)st.st_size;
    l->copied = copy;
    if (copy && l->len >= HUGE_FROM)
        madvise(p, l->len, MADV_HUGEPAGE); /* where there are none, small ones do as well */
    return copy ? read_all(fd, p, l->len, path, err) : PT_OK;
}

int pt_loaded_hash(struct pt_loaded *l, const atomic_bool *stop, struct pt_err *err)
{
    struct pt_sha256 *h = pt_sha256_create();
    if (!h)
        return pt_fail(err, PT_ENOMEM, "SHA-256: out of memory");
    for (size_t at = 0; at < l->len; at += HASH_CHUNK) {
        if (atomic_load(stop)) {
            pt_sha256_abort(h);
            return pt_fail(err, PT_ECANCELED, "stopped");
        }
        size_t left = l->len - at;
        pt_sha256_update(h, (const char *)l->data + at, left < HASH_CHUNK ? left : HASH_CHUNK);
    }
    pt_sha256_finish(h, l->digest);
    return PT_OK;
}

static void close_slot(struct pt_loaded_slot *slot)
{
    pt_run_destroy(slot->run);
    pt_batch_finish(&slot->batch);
    pt_free(slot->outputs);
    pt_free(slot->whole);
    pt_free(slot->parts);
}

static int open_slots(struct pt_loaded *l, int slots, struct pt_err *err)
{
    l->slots = pt_calloc((size_t)slots, sizeof *l->slots);
    if (!l->slots)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    for (; l->slot_count < slots; l->slot_count++) {
        struct pt_loaded_slot *slot = &l->slots[l->slot_count];
        slot->outputs = pt_calloc(l->info.output_count + 1, sizeof *slot->outputs);
        slot->whole = pt_calloc(l->info.output_count + 1, sizeof *slot->whole);
        slot->parts = pt_calloc(l->info.output_count + 1, sizeof *slot->parts);
        int rc = slot->outputs && slot->whole && slot->parts ? pt_batch_init(&slot->batch, &l->info, err) : pt_fail(err, PT_ENOMEM, "out of memory");
        if (rc == PT_OK)
            rc = pt_run_create(l->session, &slot->run, err);
        if (rc < 0) {
            close_slot(slot);
            return rc;
        }
    }
    return PT_OK;
}

static int read_padding(struct pt_loaded *l, const char *text, struct pt_err *err)
{
    l->info.pads = l->pads = pt_calloc(l->info.input_count + 1, sizeof *l->pads);
    return l->pads ? pt_padding_parse(&l->info, pt_str(text), l->pads, err) : pt_fail(err, PT_ENOMEM, "out of memory");
}

/* The pages that lie wholly in it. Those of a file would come back if they were read, those of a copy would not. */
static void give_back(void *arg, const void *begin, size_t len)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = ((uintptr_t)begin + page - 1) / page * page,
              to = ((uintptr_t)begin + len) / page * page;
    (void)arg;
    if (to > from)
        madvise((void *)from, to - from, MADV_DONTNEED);
}

/* Programs kept: as many as there are sizes of a run, within reason. */
enum { PROGRAMS = 8, MOST_PROGRAMS = 64 };

int pt_loaded_open(struct pt_loaded *l, const struct pt_loaded_options *o, struct pt_err *err)
{
    int64_t programs = PROGRAMS + (o->max_batch > 1 ? o->max_batch : 0);
    struct pt_session_options so = {.size = sizeof so,
                                    .threads = o->threads,
                                    .max_programs = (int)(programs < MOST_PROGRAMS ? programs : MOST_PROGRAMS),
                                    .prepared = o->prepared,
                                    .prepared_name = o->prepared_name,
                                    .adopt = l->copied};
    int rc = pt_session_open_memory(l->data, l->len, &so, &l->session, err);
    if (rc < 0 || (rc = pt_session_unneeded(l->session, give_back, NULL, err)) < 0)
        return rc;
    size_t inputs = pt_session_input_count(l->session), outputs = pt_session_output_count(l->session);
    l->values = pt_calloc(inputs + outputs + 1, sizeof *l->values);
    if (!l->values)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    for (size_t i = 0; i < inputs; i++)
        l->values[i] = pt_session_input(l->session, i);
    for (size_t i = 0; i < outputs; i++)
        l->values[inputs + i] = pt_session_output(l->session, i);
    l->info = (struct pt_model_info){.name = o->name,
                                     .version = o->version,
                                     .max_batch = o->max_batch > 1 ? o->max_batch : 0,
                                     .inputs = l->values,
                                     .outputs = l->values + inputs,
                                     .input_count = inputs,
                                     .output_count = outputs};
    rc = pt_model_info_check(&l->info, err);
    if (rc == PT_OK && l->info.max_batch && (rc = pt_batch_check(&l->info, err)) < 0 && o->batch_optional) {
        l->info.max_batch = 0;
        rc = PT_OK;
    }
    if (rc == PT_OK && o->padding)
        rc = read_padding(l, o->padding, err);
    return rc < 0 ? rc : open_slots(l, o->slots, err);
}

int pt_loaded_warm(struct pt_loaded *l, const char *shapes, struct pt_err *err)
{
    int rc = pt_warmup_run(&l->info, l->slots[0].run, shapes, err);
    if (rc == PT_OK)
        pt_loaded_rest(l);
    return rc;
}

void pt_loaded_rest(struct pt_loaded *l)
{
    if (!l->copied) /* most weights are packed; what is read all the same comes back from the page cache */
        madvise(l->data, l->len, MADV_DONTNEED);
    pt_session_rest(l->session);
}

void pt_loaded_close(struct pt_loaded *l)
{
    for (int i = 0; i < l->slot_count; i++)
        close_slot(&l->slots[i]);
    pt_free(l->slots);
    pt_session_close(l->session);
    pt_free(l->values);
    pt_free(l->pads);
    if (l->data)
        munmap(l->data, l->len);
    *l = (struct pt_loaded){0};
}
