/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_autoscale.c: pintle autoscale simulate: what the operator's autoscaler would do with a traffic, beside Knative's and Kubernetes' own.
 */
#include "cli/commands.h"
#include "cli/options.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "cli/plot.h"
#include "cli/traffic.h"
#include "operator/model/autosim.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char help[] =
    "usage: pintle autoscale simulate [--trace FILE.csv] [OPTION...]\n"
    "\n"
    "Runs the operator's autoscaler on a traffic in simulated time and prints what it costs and how long clients wait, beside the policies of\n"
    "Knative (KPA) and of Kubernetes' HorizontalPodAutoscaler. Without a trace: on a set of 20 (steps, ramps, days, spikes, noise, on and off).\n"
    "\n"
    "      --trace FILE            lines \"SECONDS,REQUESTS_PER_SECOND\", or one rate per second and line; - is standard input\n"
    "      --service-ms MS         how long one request is served (default 100)\n"
    "      --concurrency N         requests that a pod serves at a time (default 8)\n"
    "      --target N              requests in flight that a pod should carry at most (default: concurrency)\n"
    "      --queue-delay-ms MS     instead of a target: the time in the queue shall stay below\n"
    "      --latency-ms MS         the same of the latency\n"
    "      --start-ms MS           from a pod's creation to its readiness (default 2000)\n"
    "      --slo-ms MS             longest time of a request that counts as good (default: 3 times the service time)\n"
    "      --min N, --max N        pods (default 1 and 100)\n"
    "      --stable-window S       seconds (default 60)\n"
    "      --scale-down-delay S    seconds (default 30)\n"
    "      --seed N                of arrivals (default 1)\n"
    "      --svg FILE              a plot of the trace: traffic, pods, latency\n"
    "      --json                  the figures as JSON\n";

enum { MAX_FILE = 64 << 20 };

struct arguments {
    const char *trace, *svg;
    int64_t service_ms, concurrency, target, queue_delay_ms, latency_ms, start_ms, slo_ms, min, max, stable_s, delay_s, seed;
    bool json, help;
};

static const struct pt_cmd_option options[] = {
    {"trace", PT_CMD_TEXT, offsetof(struct arguments, trace), .help = NULL},
    {"svg", PT_CMD_TEXT, offsetof(struct arguments, svg), .help = NULL},
    {"json", PT_CMD_FLAG, offsetof(struct arguments, json), .help = NULL},
    {"help", PT_CMD_FLAG, offsetof(struct arguments, help), .help = NULL},
    {"service-ms", PT_CMD_NUMBER, offsetof(struct arguments, service_ms), .min = 1, .max = 3600000},
    {"concurrency", PT_CMD_NUMBER, offsetof(struct arguments, concurrency), .min = 1, .max = 4096},
    {"target", PT_CMD_NUMBER, offsetof(struct arguments, target), .min = 1, .max = 1000000},
    {"queue-delay-ms", PT_CMD_NUMBER, offsetof(struct arguments, queue_delay_ms), .min = 1, .max = 3600000},
    {"latency-ms", PT_CMD_NUMBER, offsetof(struct arguments, latency_ms), .min = 1, .max = 3600000},
    {"start-ms", PT_CMD_NUMBER, offsetof(struct arguments, start_ms), .min = 0, .max = 3600000},
    {"slo-ms", PT_CMD_NUMBER, offsetof(struct arguments, slo_ms), .min = 1, .max = 3600000},
    {"min", PT_CMD_NUMBER, offsetof(struct arguments, min), .min = 0, .max = 10000},
    {"max", PT_CMD_NUMBER, offsetof(struct arguments, max), .min = 1, .max = 10000},
    {"stable-window", PT_CMD_NUMBER, offsetof(struct arguments, stable_s), .min = 6, .max = PT_AUTOSCALE_SECONDS - 1},
    {"scale-down-delay", PT_CMD_NUMBER, offsetof(struct arguments, delay_s), .min = 0, .max = PT_AUTOSCALE_SECONDS - 1},
    {"seed", PT_CMD_NUMBER, offsetof(struct arguments, seed), .min = 0, .max = INT64_MAX},
};

static int parse(int argc, char **argv, struct arguments *a)
{
    int status = pt_cmd_options(argc, argv, options, sizeof options / sizeof *options, a);
    if (status)
        return status;
    if (a->help)
        return 0;
    if (argc - optind != 1 || strcmp(argv[optind], "simulate") != 0)
        return pt_cmd_usage(argv[0], argc == optind ? "what? There is `pintle autoscale simulate`" : "unknown argument \"%s\"", argv[argc - 1]);
    if (a->min > a->max)
        return pt_cmd_usage(argv[0], "--min %lld is more than --max %lld", (long long)a->min, (long long)a->max);
    if (!!a->target + !!a->queue_delay_ms + !!a->latency_ms > 1)
        return pt_cmd_usage(argv[0], "--target, --queue-delay-ms and --latency-ms: give one of them");
    if (a->svg && !a->trace)
        return pt_cmd_usage(argv[0], "--svg plots one trace: give --trace");
    return 0;
}

/* --- the trace ----------------------------------------------------------------------------------------------------------------- */

static int read_trace(struct pt_traffic *t, const char *file, struct pt_err *err)
{
    pt_auto_buf text = PT_BUF_INIT(MAX_FILE);
    if (strcmp(file, "-") != 0) {
        int rc = pt_buf_read_file(&text, file, err);
        return rc < 0 ? rc : pt_traffic_read(t, file, (struct pt_str){text.data, text.len}, err);
    }
    for (char *p; (p = pt_buf_reserve(&text, 65536));) {
        size_t n = fread(p, 1, 65536, stdin);
        text.len += n;
        if (n == 0)
            break;
    }
    int rc = pt_buf_check(&text, "standard input", err);
    return rc < 0 ? rc : pt_traffic_read(t, "standard input", (struct pt_str){text.data, text.len}, err);
}

/* --- figures ------------------------------------------------------------------------------------------------------------------- */

static struct pt_autosim_options options_of(const struct arguments *a)
{
    return (struct pt_autosim_options){.service_s = (double)a->service_ms / 1000,
                                       .concurrency = (int)a->concurrency,
                                       .start_s = (double)a->start_ms / 1000,
                                       .slo_s = (double)(a->slo_ms ? a->slo_ms : 3 * a->service_ms) / 1000,
                                       .seed = (uint64_t)a->seed,
                                       .latency = a->latency_ms > 0,
                                       .config = {.min = (int)a->min,
                                                  .max = (int)a->max,
                                                  .target = (double)(a->target ? a->target : a->concurrency),
                                                  .goal_s = (double)(a->queue_delay_ms + a->latency_ms) / 1000,
                                                  .stable_ms = a->stable_s * 1000,
                                                  .panic_window = 0.1,
                                                  .panic_threshold = 2,
                                                  .scale_down_delay_ms = a->delay_s * 1000}};
}

struct table {
    bool json;
    size_t rows;
    struct pt_autosim_result sum[PT_AUTOSIM_POLICIES];
};

static void print_row(struct table *t, const char *trace, enum pt_autosim_policy p, const struct pt_autosim_result *r, double kpa_pod_seconds)
{
    double late = r->requests > 0 ? 100 * r->late / r->requests : 0;
    if (t->json) {
        printf("%s\n  {\"trace\": \"%s\", \"policy\": \"%s\", \"requests\": %.0f, \"late\": %.0f, \"latePercent\": %.4f, \"podSeconds\": %.0f, "
               "\"peakPods\": %d, \"worstSeconds\": %.3f, \"reversals\": %d}",
               t->rows ? "," : "", trace, pt_autosim_policy_name(p), r->requests, r->late, late, r->pod_seconds, r->peak, r->worst_s, r->reversals);
    } else {
        if (t->rows == 0)
            printf("%-14s %-7s %12s %9s %9s %6s %10s %10s %10s\n", "TRACE", "POLICY", "REQUESTS", "LATE", "PODS*S", "/KPA", "PEAK PODS", "WORST S",
                   "REVERSALS");
        printf("%-14s %-7s %12.0f %8.3f%% %9.0f %6.2f %10d %10.2f %10d\n", p == PT_AUTOSIM_PINTLE ? trace : "", pt_autosim_policy_name(p),
               r->requests, late, r->pod_seconds, kpa_pod_seconds > 0 ? r->pod_seconds / kpa_pod_seconds : 0, r->peak, r->worst_s, r->reversals);
    }
    t->rows++;
}

static void add(struct pt_autosim_result *sum, const struct pt_autosim_result *r)
{
    sum->requests += r->requests;
    sum->late += r->late;
    sum->pod_seconds += r->pod_seconds;
    sum->reversals += r->reversals;
    sum->peak = r->peak > sum->peak ? r->peak : sum->peak;
    sum->worst_s = r->worst_s > sum->worst_s ? r->worst_s : sum->worst_s;
}

static int compare(struct table *t, const char *name, const struct pt_traffic *trace, const struct pt_autosim_options *o,
                   struct pt_autosim_point *points, struct pt_err *err)
{
    struct pt_autosim_result r[PT_AUTOSIM_POLICIES];
    for (int p = 0; p < PT_AUTOSIM_POLICIES; p++) {
        int rc =
            pt_autosim_run(trace->rps, trace->seconds, (enum pt_autosim_policy)p, o, points ? points + (size_t)p * trace->seconds : NULL, &r[p], err);
        if (rc < 0)
            return rc;
        add(&t->sum[p], &r[p]);
    }
    for (int p = 0; p < PT_AUTOSIM_POLICIES; p++)
        print_row(t, name, (enum pt_autosim_policy)p, &r[p], r[PT_AUTOSIM_KPA].pod_seconds);
    return PT_OK;
}

static int simulate_set(const struct arguments *a, struct table *t, struct pt_err *err)
{
    double *rps = pt_calloc(PT_AUTOSIM_TRACE_S, sizeof *rps);
    const char *name;
    int rc = rps ? PT_OK : pt_fail(err, PT_ENOMEM, "out of memory");
    for (size_t i = 0; rc == PT_OK && (name = pt_autosim_trace(i, rps)); i++) {
        struct pt_autosim_options o = options_of(a);
        o.seed += i;
        rc = compare(t, name, &(struct pt_traffic){rps, PT_AUTOSIM_TRACE_S}, &o, NULL, err);
    }
    pt_free(rps);
    for (int p = 0; rc == PT_OK && p < PT_AUTOSIM_POLICIES; p++)
        print_row(t, "all", (enum pt_autosim_policy)p, &t->sum[p], t->sum[PT_AUTOSIM_KPA].pod_seconds);
    return rc;
}

/* --- the plot ------------------------------------------------------------------------------------------------------------------ */

static int plot(const char *file, const struct pt_traffic *t, const struct pt_autosim_point *points, const struct pt_autosim_options *o,
                struct pt_err *err)
{
    size_t n = t->seconds;
    pt_auto_free double *pods = pt_calloc(n * PT_AUTOSIM_POLICIES, sizeof *pods), *latency = pt_calloc(n * PT_AUTOSIM_POLICIES, sizeof *latency);
    pt_auto_buf svg = PT_BUF_INIT(MAX_FILE);
    struct pt_plot_panel panels[3] = {
        {.title = "Traffic", .unit = "requests/s", .curves = {{"arriving", t->rps}}, .curve_count = 1},
        {.title = "Pods", .unit = "pods", .curve_count = PT_AUTOSIM_POLICIES},
        {.title = "Latency and objective", .unit = "s", .curve_count = PT_AUTOSIM_POLICIES, .limit = o->slo_s, .top = 4 * o->slo_s}};
    if (!pods || !latency)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    for (size_t p = 0; p < PT_AUTOSIM_POLICIES; p++) {
        for (size_t i = 0; i < n; i++) {
            pods[p * n + i] = points[p * n + i].pods;
            latency[p * n + i] = points[p * n + i].latency_s;
        }
        panels[1].curves[p].name = panels[2].curves[p].name = pt_autosim_policy_name((enum pt_autosim_policy)p);
        panels[1].curves[p].y = pods + p * n;
        panels[2].curves[p].y = latency + p * n;
    }
    pt_plot_svg(&svg, "Autoscaling", panels, 3, n, (double)n, " s");
    int rc = pt_buf_check(&svg, file, err);
    return rc < 0 ? rc : pt_path_write_atomic(file, svg.data, svg.len, 0644, err);
}

static int simulate_trace(const struct arguments *a, struct table *t, struct pt_err *err)
{
    struct pt_traffic trace = {0};
    struct pt_autosim_options o = options_of(a);
    struct pt_autosim_point *points = NULL;
    int rc = read_trace(&trace, a->trace, err);
    if (rc == PT_OK && !(points = pt_calloc(trace.seconds * PT_AUTOSIM_POLICIES, sizeof *points)))
        rc = pt_fail(err, PT_ENOMEM, "out of memory");
    const char *base = strrchr(a->trace, '/') ? strrchr(a->trace, '/') + 1 : a->trace;
    if (rc == PT_OK)
        rc = compare(t, base, &trace, &o, points, err);
    if (rc == PT_OK && a->svg)
        rc = plot(a->svg, &trace, points, &o, err);
    pt_free(trace.rps);
    pt_free(points);
    return rc;
}

int pt_cmd_autoscale(int argc, char **argv)
{
    struct arguments a = {.service_ms = 100, .concurrency = 8, .start_ms = 2000, .min = 1, .max = 100, .stable_s = 60, .delay_s = 30, .seed = 1};
    struct table t = {0};
    struct pt_err err;
    int status = parse(argc, argv, &a);
    if (status)
        return status;
    if (a.help) {
        fputs(help, stdout);
        return pt_cmd_finish();
    }
    t.json = a.json;
    if (a.json)
        putchar('[');
    int rc = a.trace ? simulate_trace(&a, &t, &err) : simulate_set(&a, &t, &err);
    if (rc < 0)
        return pt_cmd_fail(&err);
    if (a.json)
        puts("\n]");
    return pt_cmd_finish();
}
