/* SPDX-License-Identifier: Apache-2.0
 *
 * recipe_work.c: see recipe_work.h.
 */
#include "cli/recipe_work.h"

#include "base/contract.h"
#include "base/mem.h"
#include "base/path.h"
#include "net/tls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- digests --------------------------------------------------------------------------------------------------------------------------------------
 */

static int add_file(struct pt_sha256 *h, const char *path, struct pt_err *err)
{
    static _Thread_local char block[1 << 16];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : 1;
    while (n > 0 && (n = read(fd, block, sizeof block)) > 0)
        pt_sha256_update(h, block, (size_t)n);
    int rc = n < 0 ? pt_fail(err, pt_err_from_errno(errno), "%s: %s", path, strerror(errno)) : PT_OK;
    if (fd >= 0)
        close(fd);
    return rc;
}

static int add_path(struct pt_sha256 *h, const char *path, int depth, struct pt_err *err)
{
    struct dirent **list;
    struct stat st;
    if (stat(path, &st) < 0)
        return pt_fail(err, pt_err_from_errno(errno), "%s: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return add_file(h, path, err);
    int n = depth < 4 ? scandir(path, &list, NULL, alphasort) : 0, rc = PT_OK;
    if (n < 0)
        return pt_fail(err, pt_err_from_errno(errno), "%s: %s", path, strerror(errno));
    for (int i = 0; i < n; i++) {
        pt_auto_free char *inner = *list[i]->d_name != '.' && rc == PT_OK ? pt_asprintf("%s/%s", path, list[i]->d_name) : NULL;
        if (inner) {
            pt_sha256_update(h, list[i]->d_name, strlen(list[i]->d_name) + 1);
            rc = add_path(h, inner, depth + 1, err);
        }
        free(list[i]);
    }
    if (n > 0 || depth < 4)
        free(list);
    return rc;
}

static int finish_digest(struct pt_sha256 *h, int rc, char out[72])
{
    uint8_t bytes[32];
    if (rc < 0)
        pt_sha256_abort(h);
    else {
        pt_sha256_finish(h, bytes);
        pt_format_digest(bytes, out);
    }
    return rc;
}

int pt_path_digest(const char *path, char out[72], struct pt_err *err)
{
    struct pt_sha256 *h = pt_sha256_create();
    return h ? finish_digest(h, add_path(h, path, 0, err), out) : pt_fail(err, PT_ENOMEM, "out of memory");
}

/* What decides how a model comes out: not where it goes, nor what it is judged by. */
static char *text_of(const struct pt_recipe *r)
{
    static const char *const others[] = {"output", "gate", "report", "latencySeconds"};
    cJSON *copy = cJSON_Duplicate(r->json, true);
    for (size_t i = 0; copy && i < sizeof others / sizeof *others; i++)
        cJSON_DeleteItemFromObjectCaseSensitive(copy, others[i]);
    char *text = copy ? cJSON_PrintUnformatted(copy) : NULL;
    cJSON_Delete(copy);
    return text;
}

/* That, and every file that is read. */
static int digest_of(struct pt_recipe_work *w, const struct pt_recipe *r, struct pt_err *err)
{
    const char *paths[6];
    int rc = pt_path_digest(r->settings.model, w->model_digest, err);
    struct pt_sha256 *h = rc == PT_OK ? pt_sha256_create() : NULL;
    char *text = rc == PT_OK ? text_of(r) : NULL;
    if (rc == PT_OK && (!h || !text))
        rc = pt_fail(err, PT_ENOMEM, "out of memory");
    if (rc == PT_OK) {
        pt_sha256_update(h, PT_VERSION, sizeof PT_VERSION);
        pt_sha256_update(h, text, strlen(text));
        pt_sha256_update(h, w->model_digest, strlen(w->model_digest));
        pt_data_paths(&r->data, paths);
        for (size_t i = 0; rc == PT_OK && paths[i]; i++)
            if (access(paths[i], F_OK) == 0 || paths[i] == r->data.train) /* the name of an array in an archive is no file */
                rc = add_path(h, paths[i], 0, err);
        for (size_t i = 0; rc == PT_OK && i < r->stage_count; i++)
            if (r->stages[i].train && r->stages[i].train->teacher && (rc = add_path(h, r->stages[i].train->teacher, 0, err)) < 0)
                pt_wrap(err, "teacher");
    }
    cJSON_free(text);
    if (h)
        rc = finish_digest(h, rc, w->digest);
    return rc;
}

/* --- the folder ------------------------------------------------------------------------------------------------------------------------------------
 */

char *pt_recipe_work_path(const struct pt_recipe_work *w, const struct pt_recipe *r, size_t stage, const char *ending)
{
    return pt_asprintf("%s/%zu-%s.%s", w->folder, stage + 1, r->stages[stage].stage->name, ending);
}

/* A file that a run makes. half: one that was being written (pt_path_write_atomic(): NAME.XXXXXX) when its run was killed. */
static bool is_ours(const char *name, bool *half)
{
    static const char *const endings[] = {".onnx", ".json", ".checkpoint"};
    const char *last = strrchr(name, '.');
    *half = last && strlen(last) == 7;
    size_t len = *half ? (size_t)(last - name) : strlen(name);
    bool known = len == 6 && strncmp(name, "digest", 6) == 0;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t n = strlen(endings[i]);
        known |= *name >= '1' && *name <= '9' && memchr(name, '-', len) && len > n && strncmp(name + len - n, endings[i], n) == 0;
    }
    return known;
}

/* Only files that a run makes: the folder may be one with other things in it. */
static void empty(const char *folder, bool half_only)
{
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        bool half;
        pt_auto_free char *path = is_ours(e->d_name, &half) && (half || !half_only) ? pt_asprintf("%s/%s", folder, e->d_name) : NULL;
        if (path)
            unlink(path);
    }
    if (d)
        closedir(d);
}

static int take_folder(struct pt_recipe_work *w, const char *kept, struct pt_err *err)
{
    const char *tmp = getenv("TMPDIR");
    w->temporary = !kept;
    w->folder = kept ? pt_strdup(kept) : pt_asprintf("%s/pintle-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!w->folder)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    if (kept)
        return pt_path_mkdirs(w->folder, 0777, err);
    return mkdtemp(w->folder) ? PT_OK : pt_fail(err, pt_err_from_errno(errno), "%s: %s", w->folder, strerror(errno));
}

/* Where a file system knows no locks there are none. It goes with the process. */
static int lock_folder(struct pt_recipe_work *w, struct pt_err *err)
{
    w->lock = open(w->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (w->lock >= 0 && flock(w->lock, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
        return pt_fail(err, PT_ECONFLICT, "another run is at work in %s", w->folder);
    return PT_OK;
}

int pt_recipe_work_open(struct pt_recipe_work *w, const struct pt_recipe *r, const char *kept, const struct pt_recipe_copy *copy, struct pt_err *err)
{
    pt_auto_buf old = PT_BUF_INIT(4096);
    *w = (struct pt_recipe_work){.copy = kept ? copy : NULL, .lock = -1};
    int rc = digest_of(w, r, err);
    if (rc == PT_OK && (rc = take_folder(w, kept, err)) < 0)
        pt_free(pt_steal(w->folder));
    if (rc < 0 || (rc = lock_folder(w, err)) < 0)
        return rc;
    pt_auto_free char *path = pt_asprintf("%s/digest", w->folder);
    if (!path)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    bool ours = pt_buf_read_file(&old, path, NULL) == PT_OK && strcmp(pt_buf_cstr(&old), w->digest) == 0;
    empty(w->folder, ours); /* a run that is killed again and again must not fill the disk */
    if (ours)
        return PT_OK;
    rc = w->copy ? w->copy->load(w->copy->arg, w->folder, w->digest, err) : PT_OK;
    return rc < 0 ? rc : pt_path_write_atomic(path, w->digest, strlen(w->digest), 0644, err);
}

void pt_recipe_work_close(struct pt_recipe_work *w, const struct pt_recipe *r, bool remove)
{
    (void)r;
    if (w->folder && (remove || w->temporary)) {
        empty(w->folder, false);
        rmdir(w->folder);
    }
    if (w->folder && w->lock >= 0)
        close(w->lock);
    pt_free(w->folder);
    *w = (struct pt_recipe_work){.lock = -1};
}

void pt_recipe_discard(const char *work)
{
    empty(work, false);
    rmdir(work);
}

cJSON *pt_recipe_work_finished(const struct pt_recipe_work *w, const struct pt_recipe *r, size_t stage)
{
    pt_auto_buf text = PT_BUF_INIT(64 << 20);
    pt_auto_free char *path = pt_recipe_work_path(w, r, stage, "json"), *model = pt_recipe_work_path(w, r, stage, "onnx");
    if (!path || !model || access(model, R_OK) != 0 || pt_buf_read_file(&text, path, NULL) < 0)
        return NULL;
    return cJSON_ParseWithLength(text.data, text.len);
}

int pt_recipe_work_finish_stage(const struct pt_recipe_work *w, const struct pt_recipe *r, size_t stage, const cJSON *said, struct pt_err *err)
{
    pt_auto_free char *path = pt_recipe_work_path(w, r, stage, "json"), *checkpoint = pt_recipe_work_path(w, r, stage, "checkpoint");
    char *text = cJSON_PrintUnformatted(said);
    int rc = path && checkpoint && text ? pt_path_write_atomic(path, text, strlen(text), 0644, err) : pt_fail(err, PT_ENOMEM, "out of memory");
    cJSON_free(text);
    if (rc == PT_OK)
        unlink(checkpoint);
    static const char *const endings[] = {"onnx", "json", "checkpoint"}; /* the model before what makes the stage a finished one */
    for (size_t i = 0; rc == PT_OK && w->copy && i < sizeof endings / sizeof *endings; i++) {
        pt_auto_free char *file = pt_recipe_work_path(w, r, stage, endings[i]);
        rc = file ? w->copy->save(w->copy->arg, w->folder, strrchr(file, '/') + 1, err) : pt_fail(err, PT_ENOMEM, "out of memory");
    }
    return rc;
}
