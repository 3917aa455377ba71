/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_evaluate.c: pintle evaluate MODEL.onnx: what it costs and how right it is.
 */
#include "cli/cmd_report.h"
#include "cli/commands.h"
#include "cli/data.h"
#include "cli/quality.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>

static const char usage[] = "usage: pintle evaluate MODEL.onnx --data FILE [OPTION...]\n"
                            "\n"
                            "Runs a model on labelled samples and prints how right it is, class by class, and what it costs.\n\n";

struct arguments {
    int64_t threads;
    double seconds;
    bool json, help;
};
#define AT(member) offsetof(struct arguments, member)
const struct pt_cmd_option pt_evaluate_rows[] = {
    {"threads", PT_CMD_NUMBER, AT(threads), .min = 1, .max = 1024, .help = "threads to compute with; otherwise the CPU limit of this process"},
    {"latency-seconds", PT_CMD_REAL, AT(seconds), .high = 3600, .def = "0.3", .help = "how long the latency is measured; 0: not at all"},
    {"json", PT_CMD_FLAG, AT(json), .help = "one JSON object"},
    {"help", PT_CMD_FLAG, AT(help), .help = "print this"},
};
enum { ROWS = sizeof pt_evaluate_rows / sizeof *pt_evaluate_rows };
const size_t pt_evaluate_row_count = ROWS;

static void put_line(struct pt_buf *b, const char *name, const cJSON *o, const char *key, double factor, const char *unit)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    if (v)
        pt_buf_printf(b, "%-18s %.6g%s%s\n", name, v->valuedouble * factor, *unit ? " " : "", unit);
}

static const char *class_name(const cJSON *class)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(class, "class"));
    return s ? s : "";
}

static void put_classes(struct pt_buf *b, const cJSON *o)
{
    const cJSON *classes = cJSON_GetObjectItemCaseSensitive(o, "classes"), *c, *row, *v;
    if (!classes)
        return;
    pt_buf_printf(b, "\n%-16s %8s %10s %10s %10s\n", "class", "samples", "precision", "recall", "F1");
    cJSON_ArrayForEach(c, classes)
        pt_buf_printf(b, "%-16.16s %8.0f %10.4f %10.4f %10.4f\n", class_name(c), cJSON_GetObjectItemCaseSensitive(c, "support")->valuedouble,
                      cJSON_GetObjectItemCaseSensitive(c, "precision")->valuedouble, cJSON_GetObjectItemCaseSensitive(c, "recall")->valuedouble,
                      cJSON_GetObjectItemCaseSensitive(c, "f1")->valuedouble);
    if (cJSON_GetArraySize(classes) > 20)
        return;
    pt_buf_puts(b, "\nlabel \\ answer  ");
    cJSON_ArrayForEach(c, classes) pt_buf_printf(b, " %6.6s", class_name(c));
    c = classes->child;
    cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(o, "confusion"))
    {
        pt_buf_printf(b, "\n%-16.16s", class_name(c));
        cJSON_ArrayForEach(v, row) pt_buf_printf(b, " %6.0f", v->valuedouble);
        c = c ? c->next : NULL;
    }
    pt_buf_putc(b, '\n');
}

static int print(const struct pt_quality *q, const struct pt_data_set *s, bool json)
{
    struct pt_err err;
    pt_auto_buf b = PT_BUF_INIT(0);
    cJSON *o = pt_quality_json(q, s->classes, s->class_count);
    char *text = o && json ? cJSON_PrintUnformatted(o) : NULL;
    if (json)
        pt_buf_cat(&b, text ? text : "", "\n", NULL);
    else if (o) {
        put_line(&b, "samples", o, "samples", 1, "");
        put_line(&b, "accuracy", o, "accuracy", 100, "%");
        put_line(&b, "loss", o, "loss", 1, "");
        put_line(&b, "precision, macro", o, "precision", 100, "%");
        put_line(&b, "recall, macro", o, "recall", 100, "%");
        put_line(&b, "F1, macro", o, "f1", 100, "%");
        put_line(&b, "AUC", o, "auc", 1, "");
        put_line(&b, "calibration error", o, "calibrationError", 100, "%");
        put_line(&b, "mean error", o, "meanError", 1, "");
        put_line(&b, "MAE", o, "meanAbsoluteError", 1, "");
        put_line(&b, "RMSE", o, "rootMeanSquaredError", 1, "");
        put_line(&b, "R2", o, "r2", 1, "");
        put_line(&b, "latency", o, "latencyMs", 1, "ms, one sample");
        put_line(&b, "file", o, "bytes", 1e-3, "KB");
        put_line(&b, "parameters", o, "parameters", 1, "");
        put_line(&b, "zero weights", o, "zeros", 100, "%");
        put_line(&b, "MACs", o, "macs", 1, "");
        put_classes(&b, o);
    }
    int rc = !o || (json && !text) ? pt_fail(&err, PT_ENOMEM, "out of memory") : pt_buf_check(&b, "figures", &err);
    cJSON_free(text);
    cJSON_Delete(o);
    if (rc < 0)
        return pt_cmd_fail(&err);
    fwrite(b.data, 1, b.len, stdout);
    return pt_cmd_finish();
}

/* The data are samples to judge by: classes that do not occur are no mistake here. */
static int evaluate(const char *path, const struct pt_data_options *given, const struct arguments *a, struct pt_data_set *s, struct pt_quality *q,
                    struct pt_err *err)
{
    struct pt_edit model;
    struct pt_threads *threads = NULL;
    struct pt_data_options o = *given;
    o.held_out = o.train;
    o.held_out_labels = o.labels;
    o.train = o.labels = o.calibration = NULL;
    int rc = pt_edit_open(&model, path, err);
    if (rc == PT_OK)
        rc = pt_data_set_read(s, &o, &model, 1, err);
    pt_edit_finish(&model);
    if (rc == PT_OK && !s->held_out.data.labels.dtype)
        rc = pt_fail(err, PT_EINVAL, "%s: there are no labels: give --labels", given->train);
    if (rc == PT_OK)
        rc = pt_threads_create((int)a->threads, &threads, err);
    if (rc == PT_OK)
        rc = pt_quality_measure(path, &(struct pt_quality_options){&s->held_out.data, s->loss, a->seconds, threads}, q, err);
    if (threads)
        pt_threads_destroy(threads);
    return rc;
}

int pt_cmd_evaluate(int argc, char **argv)
{
    struct arguments a = {0};
    struct pt_data_options data = {0};
    struct pt_data_set s = {0};
    struct pt_quality q = {0};
    struct pt_err err;
    struct pt_cmd_group groups[] = {{pt_evaluate_rows, ROWS, &a}, {pt_data_rows, pt_data_row_count, &data}};
    if (pt_cmd_defaults(pt_evaluate_rows, ROWS, &a, &err) < 0 || pt_cmd_defaults(pt_data_rows, pt_data_row_count, &data, &err) < 0)
        return pt_cmd_fail(&err);
    int status = pt_cmd_options_of(argc, argv, groups, 2);
    if (status)
        return status;
    if (a.help)
        return pt_cmd_help(usage, groups, 2);
    if (argc - optind != 1)
        return pt_cmd_usage(argv[0], argc == optind ? "a model is needed" : "one model is needed, not also \"%s\"", argv[argc - 1]);
    if (!data.train)
        return pt_cmd_usage(argv[0], "--data FILE is needed");
    if (data.held_out || data.held_out_labels || data.calibration)
        return pt_cmd_usage(argv[0], "--held-out and --calibration are not for judging: give the samples with --data");
    status = evaluate(argv[optind], &data, &a, &s, &q, &err) < 0 ? pt_cmd_fail(&err) : print(&q, &s, a.json);
    pt_quality_finish(&q);
    pt_data_set_finish(&s);
    return status;
}
