/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_bench.c: pintle bench MODEL.onnx: how long a model takes to load, to run first and to run again, and what memory that costs.
 */
#include "cli/commands.h"
#include "cli/model.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/sched.h"

#include <stdio.h>
#include <stdlib.h>

static const char help[] =
    "usage: pintle bench MODEL.onnx [--threads N] [--seconds S] [--warmup K] [--shape NAME=1x3x224x224] [-i NAME=FILE] [--no-opt] [--disable NAME,...] [--json]\n"
    "\n"
    "Measures load time, first run, and latency of further runs. Inputs without a file are made up: floats N(0, 1), integers 1; free dimensions are 1.\n"
    "\n"
    "  -i, --input NAME=FILE       value of an input: NumPy .npy or ONNX TensorProto .pb\n"
    "      --shape NAME=DIMS       shape of an input that is made up, such as 1x3x224x224\n"
    "      --threads N             threads to compute with (default: the CPU limit of this process)\n"
    "      --seconds S             how long to measure (default 3)\n"
    "      --warmup K              runs before that, beside the first (default 3)\n"
    "      --no-opt                every node by its reference operator, as the model has it\n"
    "      --disable NAMES         leave out these rewrites of the optimiser: gelu,pad,... (pintle-run(1) lists them)\n"
    "      --json                  one JSON object: model threads load_ms first_ms runs min_ms median_ms p99_ms rss_mb\n";

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

static int parse_seconds(const char *text, double *out, struct pt_err *err)
{
    struct pt_json j;
    pt_json_init(&j, text, strlen(text));
    if (pt_json_double(&j, out, NULL) < 0 || pt_json_end(&j, NULL) < 0 || *out < 0 || *out > 86400)
        return pt_fail(err, PT_EINVAL, "--seconds: \"%s\" is not a number from 0 to 86400", text);
    return PT_OK;
}

static int set_option(struct options *o, int c, const char *value, struct pt_err *err)
{
    switch (c) {
    case 'i':
        return pt_cli_pairs_add(&o->inputs, value, err);
    case 'S':
        return pt_cli_pairs_add(&o->shapes, value, err);
    case 't':
        return pt_parse_i64(pt_str(value), 1, 1024, "--threads", &o->session.threads, err);
    case 'n':
        o->session.no_opt = true;
        return PT_OK;
    case 'd':
        o->session.disable = value;
        return PT_OK;
    case 's':
        return parse_seconds(value, &o->seconds, err);
    case 'w':
        return pt_parse_i64(pt_str(value), 0, 1000000, "--warmup", &o->warmup, err);
    case 'j':
        o->json = true;
        return PT_OK;
    default:
        o->help = true;
        return PT_OK;
    }
}

/* 0, or the exit status. */
static int parse(int argc, char **argv, struct options *o)
{
    static const struct option options[] = {{"input", required_argument, NULL, 'i'},   {"shape", required_argument, NULL, 'S'},  {"threads", required_argument, NULL, 't'},
                                            {"seconds", required_argument, NULL, 's'}, {"warmup", required_argument, NULL, 'w'}, {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},          {"no-opt", no_argument, NULL, 'n'},    {"disable", required_argument, NULL, 'd'}, {0}};
    struct pt_err err;
    *o = (struct options){.seconds = 3, .warmup = 3};
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, ":i:h", options, NULL)) != -1;) {
        if (c == '?' || c == ':')
            return pt_cmd_bad_option(argv, c);
        if (set_option(o, c, optarg, &err) < 0)
            return pt_cmd_usage(argv[0], "%s", err.msg);
    }
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
        printf("{\"model\":%s,\"threads\":%d,\"load_ms\":%.3f,\"first_ms\":%.3f,\"runs\":%zu,\"min_ms\":%.4f,\"median_ms\":%.4f,\"p99_ms\":%.4f,\"rss_mb\":%.1f}\n",
               pt_buf_cstr(&name), r->threads, r->load_ms, r->first_ms, r->runs, r->min_ms, r->median_ms, r->p99_ms, r->rss_mb);
    } else {
        printf("model      %s\nthreads    %d (%s)\nload       %.3f ms\nfirst run  %.3f ms\nruns       %zu\nmin        %.4f ms\nmedian     %.4f ms\np99        %.4f ms\n"
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
    if (o.help) {
        fputs(help, stdout);
        return pt_cmd_finish();
    }
    status = measure(&o, &m, &r, &err) < 0 ? pt_cmd_fail(&err) : print(&o, &r);
    pt_cli_model_close(&m);
    return status;
}
