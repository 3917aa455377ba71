/* SPDX-License-Identifier: Apache-2.0
 *
 * conformance.c: judges the runtime on folders in the shape of ONNX's backend tests: model.onnx and test_data_set_K/{input,output}_I.pb.
 *
 *     conformance [--rtol R] [--atol A] [--scale S] [--random 1] [--threads N] [--timeout SECONDS] CASE...
 *
 * One line per case, "RESULT<tab>NAME<tab>DETAIL", where RESULT is
 *     passed       all data sets gave the expected outputs: number, element type and shape exactly, integers and strings exactly,
 *                  floats within atol + rtol * |expected| (the suite's own 1e-7 and 1e-3), NaN equal to NaN. With --scale the bound is
 *                  S times the largest |expected| of the output instead: for whole models, where single values near 0 mean nothing.
 *                  With --argmax 1 the largest value along the last axis must stand where it should, too: for quantised classifiers.
 *                  With --random 1 the values only have to lie in the range of the expected ones: for operators that draw numbers.
 *     unsupported  the model has operators that Pintle lacks; DETAIL names them
 *     rejected     it has only operators of Pintle's, but the model or an input was refused as not supported; DETAIL is the error
 *     failed       anything else
 * Each case runs in a process of its own with a time limit, so that a crash, a hang or a leak found by a sanitizer is that case's
 * failure. Exit 0 however the cases went; tests/conformance/run judges the lines.
 */
#include "runtime/onnx/internal.h"
#include "runtime/ops/types.h"

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_TENSORS 64
#define MAX_LINE 2048

struct options {
    double rtol, atol, scale; /* scale 0: not used */
    bool argmax;
    bool random;
    int threads;
    unsigned timeout_s;
};

/* A file with a TensorProto, SequenceProto or OptionalProto: its bytes stay mapped, what they hold lies in the arena. */
struct file_value {
    struct pt_map_file file;
    struct pt_arena arena;
    struct pt_tensor t;
};

/* Of the kind that the model declares. An empty file is an empty message: an optional without a value. */
static int file_value_load(struct file_value *f, const char *path, const struct pt_value_info *info, struct pt_err *err)
{
    int rc = pt_map_file_open(path, &f->file, err);
    if (rc == PT_EPARSE && info && pt_is_kind(info->dtype))
        rc = PT_OK;
    if (rc == PT_OK)
        rc = pt_onnx_read_value(f->file.data, f->file.len, info ? info->dtype : PT_UNDEFINED, &f->arena, &f->t, NULL, err);
    return rc < 0 ? pt_wrap(err, "read %s", path) : PT_OK;
}

static void file_value_finish(struct file_value *f)
{
    pt_arena_finish(&f->arena);
    pt_map_file_close(&f->file);
    *f = (struct file_value){0};
}

/* --- comparison ------------------------------------------------------------------------------------------------------ */

static bool is_float(enum pt_dtype t)
{
    return pt_dtype_kind(t) == PT_KIND_FLOAT;
}

static double float_at(const struct pt_tensor *t, int64_t i)
{
    return pt_elem_f64(t, i);
}

static bool strings_equal(const struct pt_tensor *a, const struct pt_tensor *b)
{
    const struct pt_string *x = a->data, *y = b->data;
    int64_t n = pt_tensor_count(a);
    for (int64_t i = 0; i < n; i++)
        if (x[i].len != y[i].len || (x[i].len && memcmp(x[i].p, y[i].p, x[i].len) != 0))
            return false;
    return true;
}

/* The largest finite magnitude, never 0. */
static double scale_of(const struct pt_tensor *t)
{
    double max = 1e-30;
    int64_t n = pt_tensor_count(t);
    for (int64_t i = 0; i < n; i++) {
        double v = fabs(float_at(t, i));
        if (isfinite(v) && v > max)
            max = v;
    }
    return max;
}

/* *worst is the largest error met, as a share of the output's scale. */
static int floats_close(const struct pt_tensor *got, const struct pt_tensor *want, const struct options *o, double *worst, struct pt_err *err)
{
    int64_t n = pt_tensor_count(want), bad = 0, first = -1;
    double scale = scale_of(want);
    for (int64_t i = 0; i < n; i++) {
        double g = float_at(got, i), w = float_at(want, i), error = fabs(g - w);
        if (g == w || (isnan(g) && isnan(w)))
            continue;
        double bound = o->scale > 0 ? o->scale * scale : o->atol + o->rtol * fabs(w);
        if (error > *worst * scale)
            *worst = error / scale;
        if (isfinite(error) && error <= bound)
            continue;
        if (!bad++)
            first = i;
    }
    if (bad)
        return pt_fail(err, PT_EINTERNAL, "%" PRId64 " of %" PRId64 " values differ; the first, [%" PRId64 "], is %.9g, expected %.9g", bad, n, first,
                       float_at(got, first), float_at(want, first));
    return PT_OK;
}

static int in_range(const struct pt_tensor *got, const struct pt_tensor *want, struct pt_err *err)
{
    double lo = INFINITY, hi = -INFINITY;
    int64_t n = pt_tensor_count(want);
    for (int64_t i = 0; i < n; i++) {
        lo = fmin(lo, float_at(want, i));
        hi = fmax(hi, float_at(want, i));
    }
    for (int64_t i = 0; i < n; i++)
        if (!(float_at(got, i) >= lo && float_at(got, i) <= hi))
            return pt_fail(err, PT_EINTERNAL, "value %" PRId64 " is %.9g, expected %.9g to %.9g", i, float_at(got, i), lo, hi);
    return PT_OK;
}

static int64_t largest(const struct pt_tensor *t, int64_t at, int64_t n)
{
    int64_t best = at;
    for (int64_t i = at + 1; i < at + n; i++)
        if (float_at(t, i) > float_at(t, best))
            best = i;
    return best - at;
}

static int same_argmax(const struct pt_tensor *got, const struct pt_tensor *want, struct pt_err *err)
{
    int64_t n = want->rank ? want->dims[want->rank - 1] : 1, count = pt_tensor_count(want);
    for (int64_t at = 0; at < count; at += n)
        if (largest(got, at, n) != largest(want, at, n))
            return pt_fail(err, PT_EINTERNAL, "the largest of values [%" PRId64 "] and on is number %" PRId64 ", expected %" PRId64, at,
                           largest(got, at, n), largest(want, at, n));
    return PT_OK;
}

static int compare(const struct pt_tensor *got, const struct pt_tensor *want, const struct options *o, double *worst, struct pt_err *err);

static int compare_items(const struct pt_sequence *got, const struct pt_sequence *want, const struct options *o, double *worst, struct pt_err *err)
{
    if (got->count != want->count)
        return pt_fail(err, PT_EINTERNAL, "has %zu items, expected %zu", got->count, want->count);
    for (size_t i = 0; i < want->count; i++) {
        int rc = compare(&got->items[i], &want->items[i], o, worst, err);
        if (rc < 0)
            return pt_wrap(err, "item %zu", i);
    }
    return PT_OK;
}

static int compare_kinds(const struct pt_tensor *got, const struct pt_tensor *want, const struct options *o, double *worst, struct pt_err *err)
{
    if (want->dtype == PT_SEQUENCE)
        return compare_items(got->data, want->data, o, worst, err);
    if (want->dtype == PT_MAP) {
        const struct pt_map_value *g = got->data, *w = want->data;
        int rc = compare(&g->keys, &w->keys, o, worst, err);
        return rc < 0 ? rc : compare(&g->values, &w->values, o, worst, err);
    }
    const struct pt_tensor *g = ((const struct pt_optional *)got->data)->value, *w = ((const struct pt_optional *)want->data)->value;
    if (!g != !w)
        return pt_fail(err, PT_EINTERNAL, "is %s, expected %s", g ? PT_SHAPE(g) : "empty", w ? PT_SHAPE(w) : "empty");
    return w ? compare(g, w, o, worst, err) : PT_OK;
}

static int compare(const struct pt_tensor *got, const struct pt_tensor *want, const struct options *o, double *worst, struct pt_err *err)
{
    if (got->dtype != want->dtype || !pt_dims_equal(got, want))
        return pt_fail(err, PT_EINTERNAL, "is %s, expected %s", PT_SHAPE(got), PT_SHAPE(want));
    if (pt_is_kind(want->dtype))
        return compare_kinds(got, want, o, worst, err);
    if (o->random)
        return in_range(got, want, err);
    if (is_float(want->dtype)) {
        int rc = floats_close(got, want, o, worst, err);
        return rc == PT_OK && o->argmax ? same_argmax(got, want, err) : rc;
    }
    bool equal = want->dtype == PT_STRING ? strings_equal(got, want)
                                          : got->size_bytes == want->size_bytes && memcmp(got->data, want->data, want->size_bytes) == 0;
    return equal ? PT_OK : pt_fail(err, PT_EINTERNAL, "%s: values differ", PT_SHAPE(want));
}

/* --- one case -------------------------------------------------------------------------------------------------------- */

static bool data_path(char *path, size_t size, const char *dir, int set, const char *kind, size_t i)
{
    snprintf(path, size, "%s/test_data_set_%d/%s_%zu.pb", dir, set, kind, i);
    return access(path, R_OK) == 0;
}

static int run_set(struct pt_session *s, struct pt_run *r, const char *dir, int set, const struct options *o, double *worst, struct pt_err *err)
{
    struct file_value inputs[MAX_TENSORS] = {0}, want = {0};
    char path[4096];
    size_t n = 0, outputs = 0;
    int rc = PT_OK;
    for (; rc == PT_OK && n < MAX_TENSORS && data_path(path, sizeof path, dir, set, "input", n); n++) {
        rc = file_value_load(&inputs[n], path, pt_session_input(s, n), err);
        if (rc == PT_OK)
            rc = pt_run_set_input(r, n, &inputs[n].t, err);
    }
    if (rc == PT_OK)
        rc = pt_run_execute(r, err);
    for (; rc == PT_OK && data_path(path, sizeof path, dir, set, "output", outputs); outputs++) {
        const struct pt_tensor *got = pt_run_output(r, outputs);
        rc = file_value_load(&want, path, pt_session_output(s, outputs), err);
        if (rc == PT_OK)
            rc = got ? compare(got, &want.t, o, worst, err) : pt_fail(err, PT_EINTERNAL, "missing");
        if (rc < 0)
            rc = pt_wrap(err, "set %d: output %zu", set, outputs);
        file_value_finish(&want);
    }
    if (rc == PT_OK && (outputs == 0 || outputs != pt_session_output_count(s)))
        rc = pt_fail(err, PT_EINTERNAL, "set %d: %zu outputs expected, the model has %zu", set, outputs, pt_session_output_count(s));
    for (size_t i = 0; i < n; i++)
        file_value_finish(&inputs[i]);
    return rc;
}

/* Names of operators that Pintle lacks, "" if none. */
static int missing_operators(const char *model, char *out, size_t size, struct pt_err *err)
{
    struct pt_model_summary *m;
    *out = '\0';
    if (pt_model_inspect(model, &m, err) < 0)
        return err->code;
    for (size_t i = 0, at = 0; i < m->op_count && at < size; i++) {
        const struct pt_op_count *op = &m->ops[i];
        if (!op->supported)
            at += (size_t)snprintf(out + at, size - at, "%s%s%s%s", at ? " " : "", op->domain, *op->domain ? "::" : "", op->op_type);
    }
    pt_model_summary_free(m);
    return PT_OK;
}

static int run_sets(struct pt_session *s, const char *dir, const struct options *o, int *sets, double *worst, struct pt_err *err)
{
    struct pt_run *r;
    char path[4096];
    int rc = pt_run_create(s, &r, err);
    if (rc < 0)
        return rc;
    for (; rc == PT_OK && data_path(path, sizeof path, dir, *sets, "output", 0); ++*sets)
        rc = run_set(s, r, dir, *sets, o, worst, err);
    pt_run_destroy(r);
    if (rc == PT_OK && *sets == 0)
        rc = pt_fail(err, PT_ENOTFOUND, "no test_data_set_0/output_0.pb");
    return rc;
}

/* Writes "RESULT<tab>DETAIL". */
static void judge(const char *dir, const struct options *o, char *line, size_t size)
{
    struct pt_err err = {0};
    struct pt_session *s;
    struct pt_session_options session = {.thread_count = o->threads};
    char model[4096], missing[1024];
    double worst = 0;
    int sets = 0;
    snprintf(model, sizeof model, "%s/model.onnx", dir);
    int rc = missing_operators(model, missing, sizeof missing, &err);
    if (rc == PT_OK && *missing) {
        snprintf(line, size, "unsupported\t%s", missing);
        return;
    }
    if (rc == PT_OK)
        rc = pt_session_open(model, &session, &s, &err);
    if (rc == PT_OK) {
        rc = run_sets(s, dir, o, &sets, &worst, &err);
        pt_session_close(s);
    }
    if (rc == PT_OK)
        snprintf(line, size, "passed\t%d set%s, largest error %.2g of scale", sets, sets == 1 ? "" : "s", worst);
    else
        snprintf(line, size, "%s\t%s", rc == PT_EUNSUPPORTED ? "rejected" : "failed", err.msg);
}

/* --- processes ------------------------------------------------------------------------------------------------------- */

static void judge_apart(const char *dir, const struct options *o)
{
    const char *slash = strrchr(dir, '/'), *name = slash ? slash + 1 : dir;
    char line[MAX_LINE] = "";
    int fds[2], status = 0;
    if (pipe(fds) < 0) {
        perror("conformance: pipe");
        exit(1);
    }
    pid_t pid = fork();
    if (pid < 0) {
        perror("conformance: fork");
        exit(1);
    }
    if (pid == 0) {
        close(fds[0]);
        alarm(o->timeout_s);
        judge(dir, o, line, sizeof line);
        ssize_t n = write(fds[1], line, strlen(line));
        exit(n > 0 ? 0 : 1); /* not _exit: the leak checker runs at exit */
    }
    close(fds[1]);
    size_t len = 0;
    for (ssize_t n; len < sizeof line - 1 && (n = read(fds[0], line + len, sizeof line - 1 - len)) > 0;)
        len += (size_t)n;
    line[len] = '\0';
    close(fds[0]);
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status))
        snprintf(line, sizeof line, "failed\t%s", WTERMSIG(status) == SIGALRM ? "still running at the time limit" : strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0)
        snprintf(line, sizeof line, "failed\tthe process ended with %d; see its messages", WEXITSTATUS(status));
    char *tab = strchr(line, '\t');
    if (tab)
        printf("%.*s\t%s%s\n", (int)(tab - line), line, name, tab);
    fflush(stdout);
}

static double number(const char *option, const char *text)
{
    char *end = NULL;
    double v = text ? strtod(text, &end) : -1;
    if (!text || end == text || *end || !(v >= 0)) {
        fprintf(stderr, "conformance: %s needs a number that is not negative\n", option);
        exit(64);
    }
    return v;
}

int main(int argc, char **argv)
{
    struct options o = {.rtol = 1e-3, .atol = 1e-7, .threads = 1, .timeout_s = 60};
    int i = 1;
    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
        double v = number(argv[i], argv[i + 1]);
        if (strcmp(argv[i], "--rtol") == 0)
            o.rtol = v;
        else if (strcmp(argv[i], "--atol") == 0)
            o.atol = v;
        else if (strcmp(argv[i], "--scale") == 0)
            o.scale = v;
        else if (strcmp(argv[i], "--argmax") == 0)
            o.argmax = v != 0;
        else if (strcmp(argv[i], "--random") == 0)
            o.random = v != 0;
        else if (strcmp(argv[i], "--threads") == 0)
            o.threads = (int)v;
        else if (strcmp(argv[i], "--timeout") == 0)
            o.timeout_s = (unsigned)v;
        else {
            fprintf(stderr, "conformance: unknown option %s\n", argv[i]);
            return 64;
        }
    }
    for (; i < argc; i++)
        judge_apart(argv[i], &o);
    return 0;
}
