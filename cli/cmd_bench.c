/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_bench.c: pintle bench MODEL.onnx: how long a model takes to load, to run first and to run again, and what memory that costs.
 */
#include "cli/commands.h"
#include "cli/model.h"
#include "cli/options.h"

#include "base/mem.h"
#include "base/metrics.h"
#include "base/sched.h"

#include <stdio.h>
#include <stdlib.h>

static const char usage[] = "usage: pintle bench MODEL.onnx [OPTION...]\n"
                            "\n"
                            "Measures load time, first run, and latency of further runs. Inputs without a file are made up: floats N(0, 1), integers "
                            "1; free dimensions are 1.\n\n";

#define RUNS_MAX ((size_t)10000000)

struct options {
    const char *model;
    struct pt_cli_pairs inputs, shapes;
    struct pt_cli_model_options session;
    int64_t warmup;
    double seconds;
    bool json, help;
};

struct result {
    int threads;
    double load_ms, first_ms, min_ms, median_ms, p99_ms, rss_mb;
    size_t runs;
};

#define AT(member) offsetof(struct options, member)
static const struct pt_cmd_option rows[] = {
    {"input", PT_CMD_PAIRS, AT(inputs), .letter = 'i', .value = "NAME=FILE", .help = "value of an input: NumPy .npy or ONNX TensorProto .pb"},
    {"shape", PT_CMD_PAIRS, AT(shapes), .value = "NAME=DIMS", .help = "shape of an input that is made up, such as 1x3x224x224"},
    PT_CLI_MODEL_THREADS(AT(session)),
    {"seconds", PT_CMD_REAL, AT(seconds), .high = 86400, .def = "3", .help = "how long to measure"},
    {"warmup", PT_CMD_NUMBER, AT(warmup), .max = 1000000, .def = "3", .help = "runs before that, beside the first"},
    PT_CLI_MODEL_OPTIMISER(AT(session)),
    {"json", PT_CMD_FLAG, AT(json), .help = "one JSON object: model threads load_ms first_ms runs min_ms median_ms p99_ms rss_mb"},
    {"help", PT_CMD_FLAG, AT(help), .help = "print this"},
};

/* 0, or the exit status. */
static int parse(int argc, char **argv, struct options *o)
{
    struct pt_err err;
    *o = (struct options){0};
    if (pt_cmd_defaults(rows, sizeof rows / sizeof *rows, o, &err) < 0)
        return pt_cmd_fail(&err);
    int status = pt_cmd_options(argc, argv, rows, sizeof rows / sizeof *rows, o);
    if (status)
        return status;
    if (!o->help && argc - optind != 1)
        return pt_cmd_usage(argv[0], argc == optind ? "a model is needed" : "one model is needed, not also \"%s\"", argv[argc - 1]);
    o->model = argv[optind];
    return 0;
}

static int timed_run(struct pt_run *run, double *ms, struct pt_err *err)
{
    int64_t start = pt_clock_mono_ns();
    int rc = pt_run_execute(run, err);
    *ms = (double)(pt_clock_mono_ns() - start) * 1e-6;
    return rc;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Runs for the time asked, at least once. */
static int sample(struct pt_run *run, double seconds, struct pt_buf *samples, struct pt_err *err)
{
    int64_t end = pt_clock_mono_ns() + (int64_t)(seconds * 1e9);
    do {
        double ms;
        int rc = timed_run(run, &ms, err);
        if (rc < 0)
            return rc;
        pt_buf_append(samples, &ms, sizeof ms);
    } while (pt_clock_mono_ns() < end && samples->len < RUNS_MAX * sizeof(double) && !samples->failed);
    return pt_buf_check(samples, "measurements", err);
}

static int measure(const struct options *o, struct pt_cli_model *m, struct result *r, struct pt_err *err)
{
    double ignored, cpu;
    int64_t rss;
    pt_auto_buf samples = PT_BUF_INIT(0);
    int64_t start = pt_clock_mono_ns();
    int rc = pt_cli_model_open(m, o->model, &o->session, err);
    r->load_ms = (double)(pt_clock_mono_ns() - start) * 1e-6;
    if (rc == PT_OK)
        rc = pt_cli_model_load_inputs(m, &o->inputs, &o->shapes, err);
    if (rc == PT_OK)
        rc = timed_run(m->run, &r->first_ms, err);
    for (int64_t i = 0; i < o->warmup && rc == PT_OK; i++)
        rc = timed_run(m->run, &ignored, err);
    if (rc == PT_OK)
        rc = sample(m->run, o->seconds, &samples, err);
    if (rc < 0)
        return rc;
    double *ms = (double *)(void *)samples.data;
    r->threads = pt_threads_count(m->threads);
    r->runs = samples.len / sizeof *ms;
    qsort(ms, r->runs, sizeof *ms, by_value);
    r->min_ms = ms[0];
    r->median_ms = (ms[(r->runs - 1) / 2] + ms[r->runs / 2]) / 2;
    r->p99_ms = ms[(r->runs * 99 + 99) / 100 - 1]; /* nearest rank */
    pt_process_usage(&rss, &cpu);
    r->rss_mb = (double)rss / (1 << 20);
    return PT_OK;
}

static int print(const struct options *o, const struct result *r)
{
    if (o->json) {
        pt_auto_buf name = PT_BUF_INIT(0);
        pt_buf_json_string(&name, pt_str(o->model));
        printf("{\"model\":%s,\"threads\":%d,\"load_ms\":%.3f,\"first_ms\":%.3f,\"runs\":%zu,\"min_ms\":%.4f,\"median_ms\":%.4f,\"p99_ms\":%.4f,"
               "\"rss_mb\":%.1f}\n",
               pt_buf_cstr(&name), r->threads, r->load_ms, r->first_ms, r->runs, r->min_ms, r->median_ms, r->p99_ms, r->rss_mb);
    } else {
        printf("model      %s\nthreads    %d (%s)\nload       %.3f ms\nfirst run  %.3f ms\nruns       %zu\nmin        %.4f ms\nmedian     %.4f "
               "ms\np99        %.4f ms\n"
               "memory     %.1f MB resident\n",
               o->model, r->threads, pt_runtime_isa(), r->load_ms, r->first_ms, r->runs, r->min_ms, r->median_ms, r->p99_ms, r->rss_mb);
    }
    return pt_cmd_finish();
}

int pt_cmd_bench(int argc, char **argv)
{
    struct options o;
    struct result r = {0};
    struct pt_cli_model m = {0};
    struct pt_err err;
    int status = parse(argc, argv, &o);
    if (status)
        return status;
    if (o.help)
        return pt_cmd_help(usage, &(struct pt_cmd_group)PT_CMD_GROUP(rows, NULL), 1);
    status = measure(&o, &m, &r, &err) < 0 ? pt_cmd_fail(&err) : print(&o, &r);
    pt_cli_model_close(&m);
    return status;
}
