/* SPDX-License-Identifier: Apache-2.0
 *
 * mirror.c: see mirror.h.
 */
#include "cli/mirror.h"

#include "base/mem.h"
#include "base/path.h"
#include "cli/bucket.h"
#include "cli/recipe_work.h"
#include "cli/remote.h"

#include <stdio.h>
#include <unistd.h>

enum { MAX_INDEX = 64 << 10 };

struct pt_mirror {
    struct pt_bucket *bucket;
    char *prefix, *cache;
    char digest[72]; /* of the recipe and its files */
    struct pt_mirror_entry entries[PT_MIRROR_FILES];
    size_t count;
};

static char *object_uri(const struct pt_mirror *m, const char *digest)
{
    return digest ? pt_asprintf("%s/sha256-%s", m->prefix, digest + sizeof "sha256:" - 1) : pt_asprintf("%s/index", m->prefix);
}

static int no_memory(struct pt_err *err)
{
    return pt_fail(err, PT_ENOMEM, "out of memory");
}

static int put_index(struct pt_mirror *m, struct pt_err *err)
{
    pt_auto_free char *uri = object_uri(m, NULL);
    pt_auto_buf text = PT_BUF_INIT(MAX_INDEX);
    pt_buf_cat(&text, m->digest, "\n", NULL);
    for (size_t i = 0; i < m->count; i++)
        pt_buf_cat(&text, m->entries[i].digest, " ", m->entries[i].name, "\n", NULL);
    int rc = uri ? pt_buf_check(&text, "index", err) : no_memory(err);
    return rc < 0 ? rc : pt_bucket_put(m->bucket, uri, (struct pt_str){text.data, text.len}, err);
}

static int remove_object(struct pt_mirror *m, const char *digest, struct pt_err *err)
{
    for (size_t i = 0; i < m->count; i++)
        if (!strcmp(m->entries[i].digest, digest)) /* another name's as well */
            return PT_OK;
    pt_auto_free char *uri = object_uri(m, digest);
    return uri ? pt_bucket_remove(m->bucket, uri, err) : no_memory(err);
}

/* --- load ---------------------------------------------------------------------------------------------------------------- */

/* A name of a file of a run, and nothing that leads elsewhere. */
static bool is_name(struct pt_str name)
{
    return name.len > 0 && name.len < sizeof((struct pt_mirror_entry){0}).name && name.p[0] >= '1' && name.p[0] <= '9' &&
           !memchr(name.p, '/', name.len);
}

size_t pt_mirror_read_index(struct pt_str lines, struct pt_mirror_entry out[PT_MIRROR_FILES])
{
    struct pt_str line, digest;
    uint8_t bytes[32];
    size_t count = 0;
    for (; count < PT_MIRROR_FILES && pt_str_split(&lines, '\n', &line); count++) {
        if (!pt_str_split(&line, ' ', &digest) || pt_parse_digest(digest, "index", bytes, NULL) < 0 || !is_name(line))
            break;
        pt_format_digest(bytes, out[count].digest);
        snprintf(out[count].name, sizeof out[count].name, PT_STR_FMT, PT_STR_ARG(line));
    }
    return count;
}

static int bring(struct pt_mirror *m, const struct pt_mirror_entry *e, const char *folder, struct pt_err *err)
{
    pt_auto_free char *uri = object_uri(m, e->digest), *to = pt_asprintf("%s/%s", folder, e->name), *file = NULL;
    pt_auto_buf bytes = PT_BUF_INIT(0);
    int rc = uri && to ? pt_remote_fetch(uri, e->digest, m->cache, &file, err) : no_memory(err);
    if (rc == PT_OK && link(file, to) == 0)
        return PT_OK;
    if (rc == PT_OK)
        rc = pt_buf_read_file(&bytes, file, err);
    return rc < 0 ? rc : pt_path_write_atomic(to, bytes.data, bytes.len, 0644, err);
}

int pt_mirror_load(struct pt_mirror *m, const char *folder, const char *digest, struct pt_err *err)
{
    pt_auto_free char *uri = object_uri(m, NULL);
    pt_auto_buf text = PT_BUF_INIT(MAX_INDEX);
    struct pt_str rest, first;
    snprintf(m->digest, sizeof m->digest, "%s", digest);
    int rc = uri ? pt_bucket_get(m->bucket, uri, &text, err) : no_memory(err);
    if (rc == PT_ENOTFOUND || rc == PT_EDENIED) /* S3 says the latter of what is not there to those who may not list. May one write at all? */
        rc = put_index(m, err);
    if (rc < 0)
        return pt_wrap(err, "what is left of an earlier run");
    rest = (struct pt_str){text.data, text.len};
    bool ours = pt_str_split(&rest, '\n', &first) && pt_str_eq(first, pt_str(digest));
    m->count = pt_mirror_read_index(rest, m->entries);
    if (!ours && text.len) /* of another recipe, or other data */
        return pt_mirror_remove(m, err);
    for (size_t i = 0; rc == PT_OK && i < m->count; i++)
        rc = bring(m, &m->entries[i], folder, err);
    return rc < 0 ? pt_wrap(err, "what is left of an earlier run") : PT_OK;
}

/* --- save ---------------------------------------------------------------------------------------------------------------- */

static struct pt_mirror_entry *find(struct pt_mirror *m, const char *name)
{
    for (size_t i = 0; i < m->count; i++)
        if (!strcmp(m->entries[i].name, name))
            return &m->entries[i];
    return NULL;
}

/* In the order in which it came: a model before what is said of it. */
static int enter(struct pt_mirror *m, struct pt_mirror_entry *old, const struct pt_mirror_entry *is, struct pt_err *err)
{
    if (old && *is->digest)
        *old = *is;
    else if (old)
        memmove(old, old + 1, (size_t)(&m->entries[--m->count] - old) * sizeof *old);
    else if (m->count == PT_MIRROR_FILES)
        return pt_fail(err, PT_ELIMIT, "more than %d files of a run", PT_MIRROR_FILES);
    else
        m->entries[m->count++] = *is;
    return PT_OK;
}

int pt_mirror_save(struct pt_mirror *m, const char *folder, const char *name, struct pt_err *err)
{
    struct pt_mirror_entry is = {.digest = ""}, *old = find(m, name), was = old ? *old : is;
    pt_auto_free char *file = pt_asprintf("%s/%s", folder, name);
    if (!file || !is_name(pt_str(name)))
        return file ? pt_fail(err, PT_EINVAL, "%s: is no file of a run", name) : no_memory(err);
    snprintf(is.name, sizeof is.name, "%s", name);
    bool there = access(file, F_OK) == 0;
    int rc = there ? pt_path_digest(file, is.digest, err) : PT_OK;
    if (rc < 0 || (!there && !old) || !strcmp(is.digest, was.digest))
        return rc;
    pt_auto_free char *uri = there ? object_uri(m, is.digest) : NULL;
    if (there)
        rc = uri ? pt_bucket_put_file(m->bucket, uri, file, err) : no_memory(err);
    if (rc == PT_OK)
        rc = enter(m, old, &is, err);
    if (rc == PT_OK)
        rc = put_index(m, err);
    return rc == PT_OK && old ? remove_object(m, was.digest, err) : rc;
}

int pt_mirror_remove(struct pt_mirror *m, struct pt_err *err)
{
    int rc = PT_OK;
    while (rc == PT_OK && m->count > 0) {
        struct pt_mirror_entry e = m->entries[--m->count];
        rc = remove_object(m, e.digest, err);
    }
    pt_auto_free char *uri = object_uri(m, NULL);
    if (rc == PT_OK)
        rc = uri ? pt_bucket_remove(m->bucket, uri, err) : no_memory(err);
    return rc;
}

/* --- life ---------------------------------------------------------------------------------------------------------------- */

int pt_mirror_create(const char *prefix, const char *cache, struct pt_mirror **out, struct pt_err *err)
{
    struct pt_mirror *m = pt_calloc(1, sizeof *m);
    if (m) {
        m->prefix = pt_strdup(prefix);
        m->cache = pt_strdup(cache);
    }
    int rc = m && m->prefix && m->cache ? pt_bucket_create(&m->bucket, err) : no_memory(err);
    if (rc < 0)
        pt_mirror_destroy(m);
    else
        *out = m;
    return rc;
}

void pt_mirror_destroy(struct pt_mirror *m)
{
    if (!m)
        return;
    pt_bucket_destroy(m->bucket);
    pt_free(m->prefix);
    pt_free(m->cache);
    pt_free(m);
}
