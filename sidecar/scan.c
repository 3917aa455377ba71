/* SPDX-License-Identifier: Apache-2.0
 *
 * scan.c: see scan.h.
 */
#include "sidecar/scan.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { MAX_MODELS = 10000, MAX_CONFIG = 1 << 20, MAX_FOUND = 100000 };

static void finish_model(struct pt_scan_model *m)
{
    for (size_t k = 0; k < m->version_count; k++)
        pt_free(m->versions[k].path);
    pt_free(m->versions);
    pt_free(m->name);
}

void pt_scan_finish(struct pt_scan *s)
{
    for (size_t i = 0; i < s->count; i++)
        finish_model(&s->models[i]);
    pt_free(s->models);
    *s = (struct pt_scan){0};
}

static int out_of_memory(struct pt_err *err)
{
    return pt_fail(err, PT_ENOMEM, "scan: out of memory");
}

/* Folders are numbers without sign and leading zeros. */
static bool version_number(const char *name, int64_t *number)
{
    return (name[0] != '0' || !name[1]) && name[0] >= '0' && name[0] <= '9' &&
           pt_parse_i64(pt_str(name), 0, INT64_MAX, "version", number, NULL) == PT_OK;
}

static int add_version(struct pt_scan_model *m, const char *folder, int64_t number, struct pt_err *err)
{
    struct stat st;
    pt_auto_free char *path = pt_asprintf("%s/%s", folder, m->config.file);
    if (!path)
        return out_of_memory(err);
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) || m->version_count == MAX_FOUND) /* being copied, or something else's folder */
        return PT_OK;
    struct pt_scan_version *more = pt_reallocarray(m->versions, m->version_count + 1, sizeof *more);
    if (!more)
        return out_of_memory(err);
    m->versions = more;
    uint64_t print = pt_path_fingerprint(path, 0);
    more[m->version_count++] = (struct pt_scan_version){number, pt_steal(path), print};
    return PT_OK;
}

static int higher_first(const void *a, const void *b)
{
    int64_t x = ((const struct pt_scan_version *)a)->number, y = ((const struct pt_scan_version *)b)->number;
    return (x < y) - (x > y);
}

/* Does the folder hold versions? */
static int read_versions(struct pt_scan_model *m, const char *folder, struct pt_err *err)
{
    DIR *d = opendir(folder);
    int rc = PT_OK;
    if (!d)
        return pt_fail(err, PT_EIO, "open %s: %s", folder, strerror(errno));
    for (struct dirent *e; rc == PT_OK && (e = readdir(d));) {
        int64_t number;
        if (!version_number(e->d_name, &number))
            continue;
        pt_auto_free char *path = pt_asprintf("%s/%s", folder, e->d_name);
        rc = path ? add_version(m, path, number, err) : out_of_memory(err);
    }
    closedir(d);
    if (m->version_count)
        qsort(m->versions, m->version_count, sizeof *m->versions, higher_first);
    return rc;
}

static int read_config(struct pt_scan_model *m, const char *folder, struct pt_err *err)
{
    pt_auto_buf text = PT_BUF_INIT(MAX_CONFIG);
    pt_auto_free char *path = pt_asprintf("%s/config.pbtxt", folder);
    if (!path)
        return out_of_memory(err);
    int rc = pt_buf_read_file(&text, path, err);
    if (rc == PT_ENOTFOUND)
        return PT_OK;
    if (rc == PT_OK)
        rc = pt_model_config_parse(&m->config, m->name, (struct pt_str){text.data, text.len}, err);
    m->config_print = pt_hash64(text.len ? text.data : "", text.len, 1);
    return rc < 0 ? pt_wrap(err, "%s", path) : PT_OK;
}

/* A model that cannot be used is still there, with its error; only what stops the scan is returned. folder NULL: nothing of it is read. */
static int add_model(struct pt_scan *s, const char *name, const char *folder, const struct pt_model_config *defaults, struct pt_err *err)
{
    struct pt_scan_model m = {.config = *defaults, .name = pt_strdup(name)}, *more;
    struct pt_err why = {0};
    if (!m.name)
        return out_of_memory(err);
    int rc = folder ? read_config(&m, folder, &why) : PT_OK;
    if (rc == PT_OK && folder)
        rc = read_versions(&m, folder, &why);
    more = rc == PT_ENOMEM ? NULL : pt_reallocarray(s->models, s->count + 1, sizeof *more);
    if (!more) {
        finish_model(&m);
        return out_of_memory(err);
    }
    if (rc < 0)
        m.err = why;
    s->models = more;
    more[s->count++] = m;
    return PT_OK;
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Is it a base path: do its own subfolders hold the model file? */
static int try_base(struct pt_scan *s, const char *root, const char *name, const struct pt_model_config *defaults, bool *is_base, struct pt_err *err)
{
    int rc = add_model(s, name, root, defaults, err);
    *is_base = rc == PT_OK && s->models[0].version_count > 0;
    if (rc == PT_OK && !*is_base)
        pt_scan_finish(s);
    return rc;
}

int pt_scan_run(const char *root, const char *base_name, const struct pt_model_config *defaults, struct pt_scan *out, struct pt_err *err)
{
    bool is_base;
    *out = (struct pt_scan){0};
    DIR *d = opendir(root);
    if (!d)
        return pt_fail(err, errno == ENOENT ? PT_ENOTFOUND : PT_EIO, "open %s: %s", root, strerror(errno));
    int rc = try_base(out, root, base_name, defaults, &is_base, err);
    for (struct dirent *e; rc == PT_OK && !is_base && (e = readdir(d));) {
        pt_auto_free char *path = pt_asprintf("%s/%s", root, e->d_name);
        if (!path)
            rc = out_of_memory(err);
        else if (e->d_name[0] != '.' && is_folder(path) && pt_utf8_valid(pt_str(e->d_name)))
            rc = out->count < MAX_MODELS ? add_model(out, e->d_name, path, defaults, err)
                                         : pt_fail(err, PT_ELIMIT, "%s: more than %d models", root, MAX_MODELS);
    }
    closedir(d);
    if (rc < 0)
        pt_scan_finish(out);
    return rc;
}

/* --- models of a list -------------------------------------------------------------------------------------------------------------- */

static bool is_below(const char *path, const char *root)
{
    size_t len = strlen(root);
    return strncmp(path, root, len) == 0 && (path[len] == '/' || !path[len] || (len && root[len - 1] == '/'));
}

/* Where links lead counts; what is outside is not even said to be there or not. */
static int check_base(const struct pt_model_entry *e, const char *root, struct pt_err *err)
{
    char *real_root = realpath(root, NULL), *real = realpath(e->base_path, NULL);
    int rc = PT_OK;
    bool named_below = is_below(e->base_path, root) || (real_root && is_below(e->base_path, real_root));
    if (!named_below || strstr(e->base_path, "/../") || (real && real_root && !is_below(real, real_root)))
        rc = pt_fail(err, PT_EDENIED, "base_path \"%s\" of model \"%s\" is not in the repository's folder %s", e->base_path, e->name, root);
    else if (!real || !real_root)
        rc = pt_fail(err, PT_ENOTFOUND, "Could not find base path %s for servable %s", e->base_path, e->name);
    free(real_root);
    free(real);
    return rc;
}

static void drop(struct pt_scan *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++)
        if (!strcmp(s->models[i].name, name)) {
            finish_model(&s->models[i]);
            s->models[i] = s->models[--s->count];
            return;
        }
}

int pt_scan_list(const char *root, const struct pt_model_list *list, const struct pt_model_config *defaults, struct pt_scan *out, struct pt_err *err)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct pt_model_entry *e = &list->entries[i];
        struct pt_err why;
        if (!e->base_path)
            continue;
        drop(out, e->name);
        int denied = check_base(e, root, &why), rc = add_model(out, e->name, denied ? NULL : e->base_path, defaults, err);
        if (rc < 0)
            return rc;
        struct pt_scan_model *m = &out->models[out->count - 1];
        if (denied)
            m->err = why;
        pt_model_config_adopt_policy(&m->config, &e->config);
    }
    return PT_OK;
}
