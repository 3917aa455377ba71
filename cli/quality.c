/* SPDX-License-Identifier: Apache-2.0
 *
 * quality.c: see quality.h.
 */
#include "cli/quality.h"

#include "base/judge.h"
#include "base/mem.h"
#include "base/sched.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { RUNS = 100000, LEAST_RUNS = 5 };

void pt_quality_finish(struct pt_quality *q)
{
    pt_figures_finish(&q->figures);
    *q = (struct pt_quality){0};
}

static void count_zeros(const struct pt_edit *e, struct pt_quality *q)
{
    double all = 0, zeros = 0;
    for (size_t i = 0; i < e->model.graph.initializer_count; i++) {
        const struct pt_tensor *t = &e->model.graph.initializers[i].t;
        size_t bytes = t->dtype == PT_FLOAT ? sizeof(float) : 1;
        if ((t->dtype != PT_FLOAT && t->dtype != PT_INT8) || t->rank < 2) /* of int8, 0 is zero; of other integers it need not be */
            continue;
        for (size_t k = 0; k < t->size_bytes / bytes; k++) {
            float v = 0;
            memcpy(&v, (const char *)t->data + k * bytes, bytes);
            zeros += v == 0;
            all++;
        }
    }
    q->zeros = all > 0 ? zeros / all : 0;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int sample_runs(struct pt_run *run, double seconds, double *median, struct pt_err *err)
{
    pt_auto_free double *ms = pt_calloc(RUNS, sizeof *ms);
    int64_t end = pt_clock_mono_ns() + (int64_t)(seconds * 1e9);
    size_t n = 0;
    if (!ms)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    int rc = pt_run_execute(run, err); /* makes the program */
    while (rc == PT_OK && n < RUNS && (n < LEAST_RUNS || pt_clock_mono_ns() < end)) {
        int64_t start = pt_clock_mono_ns();
        rc = pt_run_execute(run, err);
        ms[n++] = (double)(pt_clock_mono_ns() - start) * 1e-6;
    }
    if (rc < 0)
        return rc;
    qsort(ms, n, sizeof *ms, by_value);
    *median = (ms[(n - 1) / 2] + ms[n / 2]) / 2;
    return PT_OK;
}

static int measure_latency(const char *path, const struct pt_quality_options *o, double *ms, struct pt_err *err)
{
    struct pt_session_options options = {.size = sizeof options, .threads = o->threads};
    struct pt_session *s = NULL;
    struct pt_run *run = NULL;
    int rc = pt_session_open(path, &options, &s, err);
    if (rc == PT_OK)
        rc = pt_run_create(s, &run, err);
    pt_auto_free struct pt_tensor *one = pt_calloc(o->samples->input_count + 1, sizeof *one);
    if (rc == PT_OK && !one)
        rc = pt_fail(err, PT_ENOMEM, "out of memory");
    if (rc == PT_OK)
        pt_data_slice(o->samples, 0, 1, one);
    for (size_t i = 0; rc == PT_OK && i < o->samples->input_count; i++)
        rc = pt_run_set_input(run, i, &one[i], err);
    if (rc == PT_OK)
        rc = sample_runs(run, o->seconds, ms, err);
    if (run)
        pt_run_destroy(run);
    if (s)
        pt_session_close(s);
    return rc;
}

static int judge(struct pt_edit *e, const struct pt_quality_options *o, struct pt_quality *q, struct pt_err *err)
{
    struct pt_evaluation v;
    int rc = pt_evaluate(e, o->samples, o->loss, 0, o->threads, true, &v, err);
    if (rc < 0)
        return rc;
    q->loss = v.loss;
    rc = pt_figures_make(&q->figures, o->samples, o->loss, v.scores, v.classes, err);
    q->judged = rc == PT_OK;
    pt_free(v.scores);
    return rc;
}

int pt_quality_measure(const char *path, const struct pt_quality_options *o, struct pt_quality *q, struct pt_err *err)
{
    struct pt_model_summary *m;
    struct pt_edit e;
    struct stat st;
    *q = (struct pt_quality){.latency_ms = NAN, .loss = NAN};
    int rc = pt_model_inspect(path, &m, err);
    if (rc < 0)
        return rc;
    q->file_bytes = stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
    q->parameters = m->parameters;
    q->macs = m->macs;
    pt_model_summary_free(m);
    rc = pt_edit_open(&e, path, err);
    if (rc == PT_OK)
        count_zeros(&e, q);
    if (rc == PT_OK && o->samples)
        rc = judge(&e, o, q, err);
    pt_edit_finish(&e);
    if (rc == PT_OK && o->samples && o->seconds > 0)
        rc = measure_latency(path, o, &q->latency_ms, err);
    return rc;
}

/* --- JSON -----------------------------------------------------------------------------------------------------------------------------------------
 */

static bool put(cJSON *o, const char *name, double v)
{
    return isnan(v) || cJSON_AddNumberToObject(o, name, v);
}

static bool put_classes(cJSON *o, const struct pt_figures *f, char *const *names, size_t name_count)
{
    cJSON *list = cJSON_AddArrayToObject(o, "classes"), *rows = cJSON_AddArrayToObject(o, "confusion");
    bool fine = list && rows;
    for (int64_t c = 0; fine && c < f->classes; c++) {
        struct pt_class_figures k = {0};
        cJSON *class = cJSON_CreateObject(), *row = cJSON_CreateDoubleArray(f->confusion + c * f->classes, (int)f->classes);
        fine = cJSON_AddItemToArray(list, class) && cJSON_AddItemToArray(rows, row);
        if (!fine)
            break;
        char number[24];
        snprintf(number, sizeof number, "%lld", (long long)c);
        pt_judge_class(f->confusion, (size_t)f->classes, (size_t)c, &k);
        fine = cJSON_AddStringToObject(class, "class", (size_t)c < name_count ? names[c] : number) && put(class, "support", k.support) &&
               put(class, "precision", k.precision) && put(class, "recall", k.recall) && put(class, "f1", k.f1);
    }
    return fine;
}

cJSON *pt_quality_json(const struct pt_quality *q, char *const *names, size_t name_count)
{
    const struct pt_figures *f = &q->figures;
    cJSON *o = cJSON_CreateObject();
    bool fine = o && put(o, "bytes", (double)q->file_bytes) && put(o, "parameters", (double)q->parameters) && put(o, "macs", (double)q->macs) &&
                put(o, "zeros", q->zeros) && put(o, "latencyMs", q->latency_ms) && put(o, "loss", q->loss);
    if (fine && q->judged)
        fine = put(o, "samples", (double)f->count) && put(o, "accuracy", f->accuracy) && put(o, "precision", f->precision) &&
               put(o, "recall", f->recall) && put(o, "f1", f->f1) && put(o, "logLoss", f->log_loss) && put(o, "auc", f->auc) &&
               put(o, "calibrationError", f->calibration_error) && put(o, "meanError", f->mean_error) &&
               put(o, "meanAbsoluteError", f->mean_absolute_error) && put(o, "rootMeanSquaredError", f->root_mean_squared_error) &&
               put(o, "r2", f->r2) && (!f->confusion || put_classes(o, f, names, name_count));
    if (!fine) {
        cJSON_Delete(o);
        return NULL;
    }
    return o;
}
