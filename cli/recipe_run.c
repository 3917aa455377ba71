/* SPDX-License-Identifier: Apache-2.0
 *
 * recipe_run.c: running a recipe. Each stage reads the file that the one before left and leaves one itself, so that going on after a kill is the same
 * as going on.
 */
#include "base/contract.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sched.h"
#include "cli/recipe_work.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

struct runner {
    const struct pt_recipe *r;
    const struct pt_recipe_run *how;
    struct pt_recipe_work work;
    struct pt_data_set data;
    struct pt_threads *threads;
    struct pt_quality before, after, reference;
    cJSON *report, *stages;
};

static int no_memory(struct pt_err *err)
{
    return pt_fail(err, PT_ENOMEM, "out of memory for a recipe");
}

static const struct pt_data *part(const struct pt_samples *s)
{
    return s->data.count ? &s->data : NULL;
}

static int read_data(struct runner *n, struct pt_err *err)
{
    struct pt_edit model;
    int rc = pt_edit_open(&model, n->r->settings.model, err);
    if (rc == PT_OK)
        rc = pt_data_set_read(&n->data, &n->r->data, &model, (uint64_t)n->r->settings.seed, err);
    pt_edit_finish(&model);
    if (rc == PT_OK && n->r->data.held_out && !n->data.held_out.data.labels.dtype)
        rc = pt_fail(err, PT_EINVAL, "%s: held-out samples need labels", n->r->data.held_out);
    return rc;
}

static int measure(struct runner *n, const char *path, struct pt_quality *q, struct pt_err *err)
{
    const struct pt_quality_options o = {
        .samples = part(&n->data.held_out), .loss = n->data.loss, .seconds = n->r->settings.latency_seconds, .threads = n->threads};
    return pt_quality_measure(path, &o, q, err);
}

static int add_quality(struct runner *n, cJSON *to, const char *name, const struct pt_quality *q, struct pt_err *err)
{
    cJSON *o = pt_quality_json(q, n->data.classes, n->data.class_count);
    return o && cJSON_AddItemToObject(to, name, o) ? PT_OK : no_memory(err);
}

/* --- one stage
 * --------------------------------------------------------------------------------------------------------------------------------------- */

/* What was done so far, for whoever has only the model: [{"prune": {"amount": 0.8}}, ...]. */
static int note(struct runner *n, struct pt_edit *model, size_t stage, struct pt_err *err)
{
    cJSON *list = cJSON_CreateArray();
    int rc = list ? PT_OK : no_memory(err);
    for (size_t i = 0; rc == PT_OK && i <= stage; i++) {
        cJSON *o = cJSON_CreateObject(), *options = pt_stage_call_json(&n->r->stages[i]);
        if (!o || !options || !cJSON_AddItemToArray(list, o) || !cJSON_AddItemToObject(o, n->r->stages[i].stage->name, options))
            rc = no_memory(err);
    }
    char *text = rc == PT_OK ? cJSON_PrintUnformatted(list) : NULL;
    cJSON_Delete(list);
    if (rc == PT_OK)
        rc = text ? pt_edit_note(model, "pintle.compression", text, err) : no_memory(err);
    cJSON_free(text);
    if (rc == PT_OK)
        rc = pt_edit_note(model, "pintle.source", n->work.model_digest, err);
    return rc < 0 ? rc : pt_data_set_note(&n->data, &n->r->data, model, err);
}

/* The stage on the model at `from`, to the model at `to`. */
static int work(struct runner *n, size_t i, const char *from, const char *to, cJSON *details, struct pt_err *err)
{
    const struct pt_stage_call *call = &n->r->stages[i];
    struct pt_edit model;
    pt_auto_free char *checkpoint = n->how->work ? pt_recipe_work_path(&n->work, n->r, i, "checkpoint") : NULL;
    struct pt_stage_work w = {.model = &model,
                              .train = part(&n->data.train),
                              .held_out = part(&n->data.held_out),
                              .calibration = part(&n->data.calibration) ? part(&n->data.calibration) : part(&n->data.train),
                              .classes = (const char *const *)n->data.classes,
                              .loss = n->data.loss,
                              .seed = (uint64_t)n->r->settings.seed,
                              .threads = n->threads,
                              .checkpoint = checkpoint ? checkpoint : n->how->checkpoint,
                              .progress = n->how->progress,
                              .report = details};
    int rc = pt_edit_open(&model, from, err);
    if (rc == PT_OK)
        rc = call->stage->run(&w, call->options, call->train, err);
    if (rc == PT_OK && pt_progress_interrupted())
        rc = pt_fail(err, PT_ECANCELED, "interrupted");
    if (rc == PT_OK)
        rc = note(n, &model, i, err);
    if (rc == PT_OK)
        rc = pt_edit_save(&model, to, err);
    pt_edit_finish(&model);
    return rc;
}

/* {"stage", "options", "seconds", "details", "quality"} */
static int do_stage(struct runner *n, size_t i, const char *from, cJSON **said, struct pt_err *err)
{
    const struct pt_stage_call *call = &n->r->stages[i];
    pt_auto_free char *to = pt_recipe_work_path(&n->work, n->r, i, "onnx");
    int64_t start = pt_clock_mono_ns();
    cJSON *o = cJSON_CreateObject(), *options = pt_stage_call_json(call);
    *said = o;
    if (!to || !o || !options || !cJSON_AddStringToObject(o, "stage", call->stage->name) || !cJSON_AddItemToObject(o, "options", options))
        return no_memory(err);
    cJSON *details = cJSON_AddObjectToObject(o, "details");
    if (!details)
        return no_memory(err);
    int rc = work(n, i, from, to, details, err);
    if (rc < 0)
        return n->r->stage_count > 1 ? pt_wrap(err, "stage %zu, %s", i + 1, call->stage->name) : rc;
    pt_quality_finish(&n->after);
    rc = measure(n, to, &n->after, err);
    if (rc == PT_OK && !cJSON_AddNumberToObject(o, "seconds", (double)(pt_clock_mono_ns() - start) * 1e-9))
        rc = no_memory(err);
    if (rc == PT_OK)
        rc = add_quality(n, o, "quality", &n->after, err);
    return rc < 0 ? rc : pt_recipe_work_finish_stage(&n->work, n->r, i, o, err);
}

static void say_quality(struct runner *n, const char *what, const struct pt_quality *q)
{
    char accuracy[64] = "", latency[64] = "";
    if (q->judged && !isnan(q->figures.accuracy))
        snprintf(accuracy, sizeof accuracy, ", accuracy %.4f", q->figures.accuracy);
    else if (q->judged)
        snprintf(accuracy, sizeof accuracy, ", loss %.5g", q->loss);
    if (!isnan(q->latency_ms))
        snprintf(latency, sizeof latency, ", %.3f ms", q->latency_ms);
    pt_progress_say(n->how->progress, "%s: %.1f KB, %.4g MMACs%s%s", what, (double)q->file_bytes / 1000, (double)q->macs / 1e6, latency, accuracy);
}

static int all_stages(struct runner *n, struct pt_err *err)
{
    pt_auto_free char *from = pt_strdup(n->r->settings.model);
    int rc = from ? PT_OK : no_memory(err);
    bool skipped = false;
    for (size_t i = 0; rc == PT_OK && i < n->r->stage_count; i++) {
        const char *name = n->r->stages[i].stage->name;
        cJSON *said = pt_recipe_work_finished(&n->work, n->r, i);
        pt_progress_stage(n->how->progress, name, (int64_t)i, (int64_t)(n->r->stage_count > 1 ? n->r->stage_count : 0));
        if ((skipped = said != NULL)) {
            pt_progress_say(n->how->progress, "%s: finished before", name);
            cJSON_AddTrueToObject(said, "resumed");
        } else
            rc = do_stage(n, i, from, &said, err);
        if (said && !cJSON_AddItemToArray(n->stages, said))
            rc = no_memory(err);
        if (rc == PT_OK && !skipped)
            say_quality(n, name, &n->after);
        pt_free(from);
        if (rc == PT_OK && !(from = pt_recipe_work_path(&n->work, n->r, i, "onnx")))
            rc = no_memory(err);
        else if (rc < 0)
            from = NULL;
    }
    if (rc == PT_OK && skipped) /* the last one was finished before: its figures are those of its file */
        rc = measure(n, from, &n->after, err);
    return rc;
}

/* --- the whole
 * ---------------------------------------------------------------------------------------------------------------------------------------- */

static int begin_report(struct runner *n, struct pt_err *err)
{
    cJSON *o = n->report, *input, *recipe = cJSON_Duplicate(n->r->json, true), *data;
    bool fine = cJSON_AddNumberToObject(o, "version", 1) && cJSON_AddStringToObject(o, "pintle", PT_VERSION) && recipe &&
                cJSON_AddItemToObject(o, "recipe", recipe) && cJSON_AddStringToObject(o, "digest", n->work.digest) &&
                (input = cJSON_AddObjectToObject(o, "input")) && cJSON_AddStringToObject(input, "path", n->r->settings.model) &&
                cJSON_AddStringToObject(input, "digest", n->work.model_digest) && (data = cJSON_AddObjectToObject(o, "data")) &&
                cJSON_AddNumberToObject(data, "train", (double)n->data.train.data.count) &&
                cJSON_AddNumberToObject(data, "heldOut", (double)n->data.held_out.data.count) &&
                cJSON_AddNumberToObject(data, "calibration", (double)n->data.calibration.data.count);
    int rc = fine ? add_quality(n, input, "quality", &n->before, err) : no_memory(err);
    if (rc == PT_OK && !(n->stages = cJSON_AddArrayToObject(o, "stages")))
        rc = no_memory(err);
    return rc;
}

static int publish(struct runner *n, struct pt_err *err)
{
    if (!n->r->settings.output) /* a stage that only looks */
        return PT_OK;
    pt_auto_buf bytes = PT_BUF_INIT(0);
    pt_auto_free char *last = pt_recipe_work_path(&n->work, n->r, n->r->stage_count - 1, "onnx");
    char digest[72];
    cJSON *output = cJSON_AddObjectToObject(n->report, "output");
    int rc = last && output ? pt_buf_read_file(&bytes, last, err) : no_memory(err);
    if (rc == PT_OK)
        rc = pt_path_write_atomic(n->r->settings.output, bytes.data, bytes.len, 0644, err);
    if (rc == PT_OK)
        rc = pt_path_digest(n->r->settings.output, digest, err);
    if (rc == PT_OK && (!cJSON_AddStringToObject(output, "path", n->r->settings.output) || !cJSON_AddStringToObject(output, "digest", digest) ||
                        !cJSON_AddNumberToObject(output, "bytes", (double)bytes.len)))
        rc = no_memory(err);
    return rc;
}

static int judge_and_publish(struct runner *n, struct pt_err *err)
{
    cJSON *gate = cJSON_AddObjectToObject(n->report, "gate"), *checks = gate ? cJSON_AddArrayToObject(gate, "checks") : NULL;
    if (!checks)
        return no_memory(err);
    const struct pt_gate *g = &n->r->gate;
    int rc = g->reference ? measure(n, g->reference, &n->reference, err) : PT_OK;
    if (rc < 0)
        return pt_wrap(err, "gate.reference");
    if (g->reference && (rc = add_quality(n, gate, "reference", &n->reference, err)) < 0)
        return rc;
    rc = pt_gate_check(g, g->reference ? &n->reference : &n->before, &n->after, n->data.classes, n->data.class_count, checks, err);
    cJSON_AddBoolToObject(gate, "holds", rc == PT_OK);
    if (rc < 0) {
        cJSON_AddStringToObject(gate, "message", err->msg);
        return rc;
    }
    return publish(n, err);
}

static int run(struct runner *n, struct pt_err *err)
{
    int rc = read_data(n, err);
    if (rc == PT_OK)
        rc = pt_threads_create((int)n->r->settings.threads, &n->threads, err);
    if (rc == PT_OK)
        rc = measure(n, n->r->settings.model, &n->before, err);
    if (rc == PT_OK)
        rc = begin_report(n, err);
    if (rc == PT_OK) {
        say_quality(n, n->r->settings.model, &n->before);
        rc = all_stages(n, err);
    }
    return rc < 0 ? rc : judge_and_publish(n, err);
}

/* Can it be written there? Asked before hours of work, not after them. */
static int check_place(const char *what, const char *path, bool device, struct pt_err *err)
{
    struct stat st;
    char folder[PATH_MAX];
    const char *slash = path ? strrchr(path, '/') : NULL;
    if (!path)
        return PT_OK;
    bool there = stat(path, &st) == 0;
    if (there && !S_ISREG(st.st_mode) && (S_ISDIR(st.st_mode) || !device))
        return pt_fail(err, PT_EINVAL, "%s: %s is %s", what, path, S_ISDIR(st.st_mode) ? "a folder" : "no regular file");
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + (slash == path) : 1, slash ? path : ".");
    if ((!there || S_ISREG(st.st_mode)) && access(folder, W_OK | X_OK) != 0)
        return pt_fail(err, pt_err_from_errno(errno), "%s: nothing can be written in %s: %s", what, folder, strerror(errno));
    return PT_OK;
}

static int check_places(const struct pt_recipe *r, struct pt_err *err)
{
    int rc = check_place("output", r->settings.output, false, err);
    if (rc == PT_OK)
        rc = check_place("report", r->report.json, true, err);
    return rc < 0 ? rc : check_place("report", r->report.html, true, err);
}

int pt_recipe_run(const struct pt_recipe *r, const struct pt_recipe_run *how, cJSON **report, struct pt_err *err)
{
    struct runner n = {.r = r, .how = how, .work = {.lock = -1}, .report = cJSON_CreateObject()};
    int rc = n.report ? pt_recipe_check(r, err) : no_memory(err);
    if (rc == PT_OK && !how->keep) /* else it is made in the work folder's parent, which that makes */
        rc = check_places(r, err);
    if (rc == PT_OK)
        rc = pt_recipe_work_open(&n.work, r, how->work, how->copy, err);
    if (rc == PT_OK)
        rc = run(&n, err);
    pt_recipe_work_close(&n.work, r, rc == PT_OK && !how->keep);
    pt_data_set_finish(&n.data);
    pt_quality_finish(&n.before);
    pt_quality_finish(&n.after);
    pt_quality_finish(&n.reference);
    if (n.threads)
        pt_threads_destroy(n.threads);
    *report = n.report;
    return rc;
}

/* --- the plan
 * ------------------------------------------------------------------------------------------------------------------------------------------- */

static void plan_stage(const struct pt_stage_call *c, double samples, double macs, struct pt_buf *out)
{
    cJSON *o = pt_stage_call_json(c);
    char *text = o ? cJSON_PrintUnformatted(o) : NULL;
    pt_buf_printf(out, "  %s %s\n", c->stage->name, text ? text : "{}");
    if (c->train) {
        double steps = ceil(samples / (double)c->train->batch_size) * (double)c->train->epochs;
        pt_buf_printf(out, "    trains %.0f steps of %lld samples; about %.4g GMACs (3 for one of a forward run)%s%s\n", steps,
                      (long long)c->train->batch_size, 3e-9 * macs * samples * (double)c->train->epochs,
                      c->train->teacher ? ", and the teacher's: " : "", c->train->teacher ? c->train->teacher : "");
    }
    cJSON_free(text);
    cJSON_Delete(o);
}

int pt_recipe_plan(const struct pt_recipe *r, struct pt_buf *out, struct pt_err *err)
{
    struct runner n = {.r = r};
    struct pt_quality q = {0};
    int rc = pt_recipe_check(r, err);
    if (rc == PT_OK)
        rc = read_data(&n, err);
    if (rc == PT_OK)
        rc = pt_quality_measure(r->settings.model, &(struct pt_quality_options){0}, &q, err);
    for (size_t i = 0; rc == PT_OK && i < r->stage_count; i++)
        if (r->stages[i].train && r->stages[i].train->teacher && access(r->stages[i].train->teacher, R_OK) != 0)
            rc = pt_fail(err, PT_ENOTFOUND, "teacher: %s: cannot be read", r->stages[i].train->teacher);
    if (rc == PT_OK) {
        pt_buf_printf(out, "model   %s: %llu bytes, %llu parameters, %llu MACs a sample\n", r->settings.model, (unsigned long long)q.file_bytes,
                      (unsigned long long)q.parameters, (unsigned long long)q.macs);
        pt_buf_printf(out, "data    %lld samples to learn from, %lld held out, %lld for calibration\n", (long long)n.data.train.data.count,
                      (long long)n.data.held_out.data.count, (long long)n.data.calibration.data.count);
        pt_buf_puts(out, "stages\n");
        for (size_t i = 0; i < r->stage_count; i++)
            plan_stage(&r->stages[i], (double)n.data.train.data.count, (double)q.macs, out);
        pt_buf_printf(out, "output  %s%s\n", r->settings.output, r->gate.set ? ", when the gate holds" : "");
        rc = pt_buf_check(out, "plan", err);
    }
    pt_quality_finish(&q);
    pt_data_set_finish(&n.data);
    return rc;
}
