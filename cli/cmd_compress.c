/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_compress.c: pintle compress RECIPE.yaml. Also what the operator runs in a pod for spec.compression: there the model comes from a URI, the
 * result goes to one under its digest, and what came of it is left as a small JSON object (operator/model/compress.h reads it).
 */
#include "cli/cmd_report.h"
#include "cli/commands.h"
#include "cli/mirror.h"
#include "cli/recipe_work.h"
#include "cli/remote.h"
#include "cli/report.h"
#include "cli/teller.h"

#include "base/mem.h"
#include "base/path.h"
#include "base/sched.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: pintle compress RECIPE.yaml [OPTION...]\n"
    "\n"
    "Runs the stages of a recipe on a model, measures each, and publishes the result when the gate holds (docs/compression.md).\n"
    "Cut off, it goes on where it was when it is started again. Exit status 3: the gate does not hold, nothing was published.\n\n";

struct arguments {
    const char *work, *curves, *model, *output, *digest, *cache, *publish, *publish_credentials, *result, *operator_;
    int progress;
    bool dry_run, json, help, fresh;
};
#define AT(member) offsetof(struct arguments, member)
const struct pt_cmd_option pt_compress_rows[] = {
    {"model", PT_CMD_TEXT, AT(model), .value = "FILE|URI", .help = "instead of the recipe's; https://, s3://, oci:// and file:/// as for a server"},
    {"digest", PT_CMD_TEXT, AT(digest), .value = "sha256:HEX", .help = "of the model: another one is refused"},
    {"output", PT_CMD_TEXT, AT(output), .letter = 'o', .value = "FILE", .help = "instead of the recipe's"},
    {"publish", PT_CMD_TEXT, AT(publish), .value = "URI",
     .help = "instead of an output: the folder file:///PATH or s3://BUCKET/KEY, where the result becomes sha256-HEX.onnx; needs --work"},
    {"publish-credentials", PT_CMD_TEXT, AT(publish_credentials), .value = "DIR",
     .help = "files with the credentials of --publish, where they are not those of the model"},
    {"cache", PT_CMD_TEXT, AT(cache), .value = "DIR", .help = "where a model is downloaded to; otherwise the work folder"},
    {"work", PT_CMD_TEXT, AT(work), .value = "DIR", .help = "where finished stages are kept until all are; otherwise OUTPUT.work"},
    {"result", PT_CMD_TEXT, AT(result), .value = "FILE", .help = "what came of it in one JSON object: digest, message"},
    {"operator", PT_CMD_TEXT, AT(operator_), .value = "FILE", .help = "tell an operator how far the run is: {url, ca, tokenFile}, JSON"},
    {"curves", PT_CMD_TEXT, AT(curves), .value = "FILE", .help = "loss and accuracy by epoch, as a plot (.svg) or a table (.csv)"},
    {"progress", PT_CMD_CHOICE, AT(progress), .words = pt_progress_kinds, .def = "auto",
     .help = "a bar on a terminal, else lines; json: one object a line"},
    {"dry-run", PT_CMD_FLAG, AT(dry_run), .help = "say what would be done and what it costs"},
    {"json", PT_CMD_FLAG, AT(json), .help = "the report on standard output, instead of a table"},
    {"help", PT_CMD_FLAG, AT(help), .help = "print this"},
};
enum { ROWS = sizeof pt_compress_rows / sizeof *pt_compress_rows };
const size_t pt_compress_row_count = ROWS;

/* --- what came of it ----------------------------------------------------------------------------------------------------- */

/* "accuracy 0.9722 -> 0.9694"; nothing where one of both is not known. */
static void put_change(struct pt_buf *b, const cJSON *before, const cJSON *after, const char *member, const char *name, double scale,
                       const char *unit)
{
    double was = pt_report_number(before, "quality", member), is = pt_report_number(after, "quality", member);
    if (!isnan(was) && !isnan(is))
        pt_buf_printf(b, "%s%s %.4g -> %.4g%s", b->len ? ", " : "", name, was * scale, is * scale, unit);
}

static void put_figures(struct pt_buf *b, const cJSON *report)
{
    const cJSON *input = cJSON_GetObjectItemCaseSensitive(report, "input"), *stages = cJSON_GetObjectItemCaseSensitive(report, "stages");
    const cJSON *last = cJSON_GetArrayItem(stages, cJSON_GetArraySize(stages) - 1);
    put_change(b, input, last, "bytes", "size", 1e-3, " KB");
    put_change(b, input, last, "accuracy", "accuracy", 1, "");
    put_change(b, input, last, "recall", "recall", 1, "");
    put_change(b, input, last, "latencyMs", "latency", 1, " ms");
}

/* In place: the file may be one that is mounted. */
static int write_in_place(const char *path, struct pt_str text, struct pt_err *err)
{
    char real[PATH_MAX];
    if (pt_path_resolve(path, real, sizeof real, err) < 0)
        return err->code;
    int fd = open(real, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ssize_t n = fd < 0 ? -1 : write(fd, text.p, text.len);
    int rc =
        n == (ssize_t)text.len ? PT_OK : pt_fail(err, pt_err_from_errno(n < 0 ? errno : EIO), "write %s: %s", real, strerror(n < 0 ? errno : EIO));
    if (fd >= 0)
        close(fd);
    return rc;
}

static int write_result(const char *path, const cJSON *report, int rc, const struct pt_err *why, struct pt_err *err)
{
    pt_auto_buf text = PT_BUF_INIT(0), figures = PT_BUF_INIT(0);
    const cJSON *output = cJSON_GetObjectItemCaseSensitive(report, "output"), *digest = cJSON_GetObjectItemCaseSensitive(output, "digest");
    pt_buf_putc(&text, '{');
    if (rc == PT_OK && cJSON_IsString(digest))
        pt_buf_cat(&text, "\"digest\":\"", digest->valuestring, "\",", NULL);
    if (rc == PT_OK)
        put_figures(&figures, report);
    pt_buf_puts(&text, "\"message\":");
    pt_buf_json_string(&text, pt_str(rc == PT_OK ? pt_buf_cstr(&figures) : why->msg));
    pt_buf_puts(&text, "}\n");
    if (pt_buf_check(&text, "result", err) < 0 || pt_buf_check(&figures, "result", err) < 0)
        return err->code;
    return write_in_place(path, (struct pt_str){text.data, text.len}, err);
}

/* --- the run ------------------------------------------------------------------------------------------------------------- */

/* A run and who follows it: an operator, and a copy of the work folder in the bucket where its result goes. */
struct follower {
    struct pt_teller *teller;
    struct pt_mirror *mirror;
    const char *work;
    struct pt_progress *progress;
    int64_t saved_ms;
};
enum { SAVE_MS = 30000 /* between two copies of a checkpoint */, FIRST_SAVE_MS = 2000 };

static int load_copy(void *arg, const char *folder, const char *digest, struct pt_err *err)
{
    return pt_mirror_load(((struct follower *)arg)->mirror, folder, digest, err);
}

/* A run goes on when a copy fails: it may still come to its end. Behind what a stage leaves the next one's first checkpoint is copied soon. */
static int save_copy(void *arg, const char *folder, const char *name, struct pt_err *err)
{
    struct follower *f = arg;
    int rc = pt_mirror_save(f->mirror, folder, name, err);
    f->saved_ms = pt_clock_mono_ns() / 1000000 - SAVE_MS + FIRST_SAVE_MS;
    if (rc < 0)
        pt_progress_say(f->progress, "warning: %s was not copied: %s", name, err->msg);
    return PT_OK;
}

static void tell(void *arg, const struct pt_progress_now *now)
{
    struct follower *f = arg;
    char name[64];
    struct pt_err err;
    if (f->teller)
        pt_teller_tell(f->teller, now);
    if (!f->mirror || !now->epochs || pt_clock_mono_ns() / 1000000 - f->saved_ms < SAVE_MS)
        return;
    snprintf(name, sizeof name, "%lld-%s.checkpoint", (long long)now->number, now->stage);
    (void)save_copy(f, f->work, name, &err);
    f->saved_ms = pt_clock_mono_ns() / 1000000;
}

static int begin_follower(struct follower *f, const struct arguments *a, const char *work, struct pt_err *err)
{
    const char *name = strrchr(work, '/');
    *f = (struct follower){.work = work, .saved_ms = pt_clock_mono_ns() / 1000000 - SAVE_MS + FIRST_SAVE_MS};
    if (a->publish_credentials && setenv(PT_ENV_CREDENTIALS_DIR, a->publish_credentials, 1) != 0) /* the model has been fetched */
        return pt_fail(err, PT_ENOMEM, "out of memory");
    if (a->operator_ && pt_teller_create(a->operator_, &f->teller, err) < 0)
        return err->code;
    if (!a->publish || strncmp(a->publish, "s3://", 5) != 0)
        return PT_OK;
    pt_auto_free char *prefix = pt_asprintf("%s/%s", a->publish, name ? name + 1 : work);
    return prefix ? pt_mirror_create(prefix, a->cache ? a->cache : work, &f->mirror, err) : pt_fail(err, PT_ENOMEM, "out of memory");
}

static void discard(const char *work, struct pt_mirror *mirror)
{
    struct pt_err err;
    pt_recipe_discard(work);
    if (mirror && pt_mirror_remove(mirror, &err) < 0)
        fprintf(stderr, "warning: what is left of the run in the bucket was not removed: %s\n", err.msg);
}

static int publish(const struct arguments *a, const char *output, const cJSON *report, struct pt_err *err)
{
    const cJSON *digest = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(report, "output"), "digest");
    int rc = cJSON_IsString(digest) ? pt_remote_publish(output, digest->valuestring, a->publish, err)
                                    : pt_fail(err, PT_EINTERNAL, "the report names no output");
    if (rc == PT_OK)
        unlink(output); /* a move has done that */
    return rc;
}

static int run_followed(struct pt_recipe *r, const struct arguments *a, struct follower *f, cJSON **report, struct pt_err *err)
{
    const struct pt_recipe_copy copy = {load_copy, save_copy, f};
    struct pt_progress p;
    pt_progress_init(&p, (enum pt_progress_kind)a->progress, stderr);
    p.tell = tell;
    p.tell_arg = f;
    f->progress = &p;
    int rc = pt_recipe_run(r, &(struct pt_recipe_run){.work = f->work, .copy = f->mirror ? &copy : NULL, .progress = &p, .keep = a->publish != NULL},
                           report, err);
    pt_progress_finish(&p);
    if (rc == PT_OK && a->publish)
        rc = publish(a, r->settings.output, *report, err);
    if ((rc == PT_OK || rc == PT_EPRECONDITION) && a->publish) /* nobody comes back for what a gate refused: another recipe has another folder */
        discard(f->work, f->mirror);
    return rc;
}

static int run(struct pt_recipe *r, const struct arguments *a, cJSON **report, struct pt_err *err)
{
    pt_auto_free char *work = a->work ? pt_strdup(a->work) : pt_asprintf("%s.work", r->settings.output);
    struct follower f = {.work = work};
    struct pt_err second;
    if (!work)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    pt_progress_catch_signals();
    int rc = begin_follower(&f, a, work, err);
    if (rc == PT_OK)
        rc = run_followed(r, a, &f, report, err);
    pt_teller_destroy(f.teller);
    pt_mirror_destroy(f.mirror);
    if (rc == PT_OK || rc == PT_EPRECONDITION) { /* a gate that does not hold is reported like one that does */
        int written = pt_cmd_write_reports(&r->report, a->curves, *report, &second);
        if (rc == PT_OK && (rc = written) < 0)
            *err = second;
        else if (written < 0)
            fprintf(stderr, "warning: %s\n", second.msg);
    }
    return rc;
}

static int plan(const struct pt_recipe *r, struct pt_err *err)
{
    pt_auto_buf text = PT_BUF_INIT(0);
    int rc = pt_recipe_plan(r, &text, err);
    if (rc == PT_OK)
        fwrite(text.data, 1, text.len, stdout);
    return rc;
}

/* Texts of the command line, as long as the command runs. */
struct places {
    char work[PATH_MAX - 16], output[PATH_MAX], credentials[PATH_MAX], cache[PATH_MAX];
    char *model; /* owned */
};

static int find_places(struct arguments *a, struct places *p, struct pt_recipe *r, struct pt_err *err)
{
    const struct {
        const char **path;
        char *real;
        size_t size;
    } paths[] = {{&a->work, p->work, sizeof p->work},
                 {&a->publish_credentials, p->credentials, sizeof p->credentials},
                 {&a->cache, p->cache, sizeof p->cache}};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (*paths[i].path && pt_path_resolve(*paths[i].path, paths[i].real, paths[i].size, err) < 0)
            return err->code;
        if (*paths[i].path)
            *paths[i].path = paths[i].real;
    }
    if (a->publish && (!a->work || a->output))
        return pt_fail(err, PT_EINVAL, a->output ? "--publish %s: goes with no --output" : "--publish %s: needs --work", a->publish);
    if (a->publish && pt_remote_check_folder(a->publish, err) < 0)
        return pt_wrap(err, "--publish");
    if (a->publish) {
        snprintf(p->output, sizeof p->output, "%s.onnx", p->work);
        r->settings.output = p->output;
    }
    return PT_OK;
}

static int find_model(const struct arguments *a, struct places *p, struct pt_recipe *r, struct pt_err *err)
{
    const char *model = r->settings.model, *cache = a->cache ? a->cache : a->work;
    if (!model || !(pt_remote_is_uri(model) || a->digest))
        return PT_OK;
    if (!cache && pt_remote_is_uri(model) && strncmp(model, "file://", 7) != 0)
        return pt_fail(err, PT_EINVAL, "--model %s: needs --cache or --work", model);
    pt_auto_free char *uri = pt_remote_is_uri(model) ? pt_strdup(model) : realpath(model, NULL), *full = NULL;
    if (!uri)
        return pt_fail(err, pt_err_from_errno(errno), "%s: %s", model, strerror(errno));
    if (!pt_remote_is_uri(model) && !(full = pt_asprintf("file://%s", uri)))
        return pt_fail(err, PT_ENOMEM, "out of memory");
    int rc = pt_remote_fetch(full ? full : uri, a->digest, cache, &p->model, err);
    if (rc == PT_OK)
        r->settings.model = p->model;
    return rc;
}

static int read_recipe(struct pt_recipe *r, const char *file, struct arguments *a, struct places *p, struct pt_err *err)
{
    char real[PATH_MAX];
    pt_auto_buf text = PT_BUF_INIT(1 << 20);
    int rc = pt_path_resolve(file, real, sizeof real, err);
    if (rc == PT_OK)
        rc = pt_buf_read_file(&text, real, err);
    if (rc == PT_OK)
        rc = pt_recipe_parse(r, (struct pt_str){text.data, text.len}, file, err);
    if (rc == PT_OK)
        rc = pt_recipe_resolve(r, file, err);
    if (rc < 0)
        return rc;
    r->settings.model = a->model ? a->model : r->settings.model;
    r->settings.output = a->output ? a->output : r->settings.output;
    rc = find_places(a, p, r, err);
    if (rc == PT_OK && (rc = pt_recipe_check(r, err)) < 0)
        pt_wrap(err, "%s", file);
    return rc < 0 ? rc : find_model(a, p, r, err);
}

int pt_cmd_compress(int argc, char **argv)
{
    static struct places p;
    struct arguments a = {0};
    struct pt_recipe r = {0};
    struct pt_err err = {0}, second;
    cJSON *report = NULL;
    if (pt_cmd_defaults(pt_compress_rows, ROWS, &a, &err) < 0)
        return pt_cmd_fail(&err);
    int status = pt_cmd_options(argc, argv, pt_compress_rows, ROWS, &a);
    if (status)
        return status;
    if (a.help)
        return pt_cmd_help(usage, &(struct pt_cmd_group)PT_CMD_GROUP(pt_compress_rows, NULL), 1);
    if (argc - optind != 1)
        return pt_cmd_usage(argv[0], argc == optind ? "a recipe is needed" : "one recipe is needed, not also \"%s\"", argv[argc - 1]);
    int rc = read_recipe(&r, argv[optind], &a, &p, &err);
    if (rc == PT_OK)
        rc = a.dry_run ? plan(&r, &err) : run(&r, &a, &report, &err);
    if (a.result && write_result(a.result, report, rc, &err, &second) < 0) {
        if (rc == PT_OK)
            err = second;
        rc = rc == PT_OK ? second.code : rc;
    }
    status = report && (rc == PT_OK || rc == PT_EPRECONDITION) ? pt_cmd_print_report(report, a.json) : pt_cmd_finish();
    cJSON_Delete(report);
    pt_recipe_finish(&r);
    pt_free(p.model);
    return rc < 0 ? pt_cmd_fail(&err) : status;
}
