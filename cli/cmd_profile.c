/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_profile.c: pintle profile MODEL.onnx: what a model's inputs and answers look like on data that it is good at, as a reference for monitoring.
 * The rows go through the same sketches that a server fills, spread over its panes in their order, so that both keep the same things.
 */
#include "cli/commands.h"
#include "cli/data.h"
#include "cli/model.h"
#include "cli/options.h"

#include "base/mem.h"
#include "base/path.h"
#include "sidecar/monitor.h"

#include <stdio.h>
#include <sys/stat.h>

enum { PANES = 12, ROWS = 64, SEED = 1 };

static const char usage[] = "usage: pintle profile MODEL.onnx (-i NAME=FILE... | --data FILE) [OPTION...]\n"
                            "\n"
                            "Runs the model on rows of data and writes what its inputs and outputs look like: put the file beside the model, and\n"
                            "`pintle serve --monitoring 1` says how far what it is given later is from that (docs/monitoring.md).\n\n";

struct options {
    const char *model, *output;
    struct pt_cli_pairs inputs;
    struct pt_cli_model_options session;
    struct pt_data_options data;
    bool help;
};
#define AT(member) offsetof(struct options, member)
static const struct pt_cmd_option rows[] = {
    {"input", PT_CMD_PAIRS, AT(inputs), .letter = 'i', .value = "NAME=FILE",
     .help = "rows of an input: NumPy .npy or ONNX .pb; every input needs as many"},
    {"output", PT_CMD_TEXT, AT(output), .letter = 'o', .def = "profile.json", .value = "FILE", .help = "where to write; - for standard output"},
    PT_CLI_MODEL_THREADS(AT(session)),
    {"help", PT_CMD_FLAG, AT(help), .help = "print this"},
};

/* 0, or the exit status. */
static int parse(int argc, char **argv, struct options *o)
{
    struct pt_err err;
    *o = (struct options){0};
    if (pt_cmd_defaults(rows, sizeof rows / sizeof *rows, o, &err) < 0)
        return pt_cmd_fail(&err);
    struct pt_cmd_group groups[] = {PT_CMD_GROUP(rows, o), {pt_data_rows, pt_data_row_count, &o->data}};
    if (pt_cmd_defaults(pt_data_rows, pt_data_row_count, &o->data, &err) < 0)
        return pt_cmd_fail(&err);
    int status = pt_cmd_options_of(argc, argv, groups, 2);
    if (status)
        return status;
    if (o->data.held_out || o->data.held_out_labels || o->data.calibration)
        return pt_cmd_usage(argv[0], "--held-out and --calibration are not for a profile: give the samples with --data");
    if (o->data.train && o->inputs.count)
        return pt_cmd_usage(argv[0], "--data and --input: give one of them");
    if (!o->help && argc - optind != 1)
        return pt_cmd_usage(argv[0], argc == optind ? "a model is needed" : "one model is needed, not also \"%s\"", argv[argc - 1]);
    o->model = argv[optind];
    return 0;
}

/* The model as requests know it, and a part of its inputs. */
struct data {
    struct pt_cli_model model;
    struct pt_model_info info;
    const struct pt_value_info **values; /* inputs, then outputs */
    struct pt_tensor *part;
    const struct pt_tensor **outputs;
    int64_t rows, step;
};

static int describe(struct data *d, struct pt_err *err)
{
    const struct pt_session *s = d->model.session;
    size_t in = pt_session_input_count(s), out = pt_session_output_count(s);
    d->values = pt_calloc(in + out + 1, sizeof *d->values);
    d->part = pt_calloc(in + 1, sizeof *d->part);
    d->outputs = pt_calloc(out + 1, sizeof *d->outputs);
    if (!d->values || !d->part || !d->outputs)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    for (size_t i = 0; i < in + out; i++)
        d->values[i] = i < in ? pt_session_input(s, i) : pt_session_output(s, i - in);
    d->info = (struct pt_model_info){
        .name = "model", .version = "1", .inputs = d->values, .outputs = d->values + in, .input_count = in, .output_count = out};
    return pt_model_info_check(&d->info, err);
}

static int count_rows(struct data *d, struct pt_err *err)
{
    d->rows = d->info.input_count && d->model.inputs[0].t.rank ? d->model.inputs[0].t.dims[0] : 0;
    d->step = ROWS;
    for (size_t i = 0; i < d->info.input_count; i++) {
        const struct pt_tensor *t = &d->model.inputs[i].t;
        const struct pt_value_info *v = d->info.inputs[i];
        if (t->rank < 1 || t->dims[0] != d->rows || d->rows < 1)
            return pt_fail(err, PT_EINVAL, "input \"%s\": want the same number of rows in every input, one at least", v->name);
        if (v->rank > 0 && v->dims[0] > 0)
            d->step = v->dims[0];
    }
    if (d->rows % d->step && d->step != ROWS)
        return pt_fail(err, PT_EINVAL, "the model takes %lld rows at a time, and %lld are no multiple of that", (long long)d->step,
                       (long long)d->rows);
    return PT_OK;
}

static int run_rows(struct data *d, int64_t first, int64_t count, struct pt_err *err)
{
    int rc = PT_OK;
    for (size_t i = 0; rc == PT_OK && i < d->info.input_count; i++) {
        const struct pt_tensor *whole = &d->model.inputs[i].t;
        size_t row = whole->size_bytes / (size_t)d->rows;
        d->part[i] = *whole;
        d->part[i].dims[0] = count;
        d->part[i].data = (char *)whole->data + (size_t)first * row;
        d->part[i].size_bytes = (size_t)count * row;
        rc = pt_run_set_input(d->model.run, i, &d->part[i], err);
    }
    if (rc == PT_OK)
        rc = pt_run_execute(d->model.run, err);
    for (size_t i = 0; rc == PT_OK && i < d->info.output_count; i++)
        d->outputs[i] = pt_run_output(d->model.run, i);
    return rc < 0 ? pt_wrap(err, "rows from %lld", (long long)first) : PT_OK;
}

static int observe(struct data *d, struct pt_monitor *m, int64_t pane_ms, struct pt_err *err)
{
    const struct pt_request q = {.model = &d->info, .inputs = d->part};
    int rc = PT_OK;
    for (int64_t at = 0; rc == PT_OK && at < d->rows; at += d->step) {
        int64_t left = d->rows - at;
        if ((rc = run_rows(d, at, left < d->step ? left : d->step, err)) == PT_OK)
            pt_monitor_observe(m, &q, d->outputs, at * PANES / d->rows * pane_ms);
    }
    return rc;
}

static int write_file(const char *path, const struct pt_buf *b, struct pt_err *err)
{
    mode_t mask = umask(0);
    umask(mask);
    if (strcmp(path, "-") != 0)
        return pt_path_write_atomic(path, b->data, b->len, 0666 & ~mask, err);
    return fwrite(b->data, 1, b->len, stdout) == b->len ? PT_OK : pt_fail(err, PT_EIO, "standard output: cannot be written");
}

/* Samples in any form that `pintle train` reads, fitted to the model: they become its inputs. */
static int load_samples(const struct options *o, struct pt_cli_model *m, struct pt_err *err)
{
    struct pt_edit model;
    struct pt_data_set s = {0};
    int rc = pt_edit_open(&model, o->model, err);
    if (rc == PT_OK)
        rc = pt_data_set_read(&s, &o->data, &model, SEED, err);
    pt_edit_finish(&model);
    for (size_t i = 0; rc == PT_OK && i < s.train.input_count; i++) {
        m->inputs[m->input_count++] = s.train.inputs[i];
        s.train.inputs[i] = (struct pt_tensor_file){0};
    }
    pt_data_set_finish(&s);
    return rc;
}

static int profile(const struct options *o, struct data *d, const struct pt_config *c, struct pt_metrics *registry, struct pt_err *err)
{
    pt_auto_buf b = PT_BUF_INIT(0);
    struct pt_monitor *m = NULL;
    int64_t pane_ms = c->monitoring.window_ms / PANES;
    int rc = !registry       ? pt_fail(err, PT_ENOMEM, "out of memory")
             : o->data.train ? load_samples(o, &d->model, err)
                             : pt_cli_model_load_inputs(&d->model, &o->inputs, NULL, err);
    if (rc < 0 || (rc = describe(d, err)) < 0 || (rc = count_rows(d, err)) < 0 || (rc = pt_monitor_create(c, registry, SEED, &m, err)) < 0)
        return rc;
    rc = observe(d, m, pane_ms, err);
    if (rc == PT_OK)
        rc = pt_monitor_write_profile(m, (PANES - 1) * pane_ms, &b, err);
    if (rc == PT_OK)
        rc = write_file(o->output, &b, err);
    pt_monitor_unref(m);
    return rc;
}

static int run(const struct options *o, struct pt_err *err)
{
    struct data d = {0};
    struct pt_config c;
    int rc = pt_config_init(&c, err);
    if (rc < 0)
        return rc;
    struct pt_metrics *registry = pt_metrics_create();
    rc = pt_config_set(&c, "model", "name", "model", err);
    if (rc == PT_OK)
        rc = pt_cli_model_open(&d.model, o->model, &o->session, err);
    if (rc == PT_OK) {
        rc = profile(o, &d, &c, registry, err);
        pt_cli_model_close(&d.model);
    }
    pt_free(d.values);
    pt_free(d.part);
    pt_free(d.outputs);
    pt_metrics_destroy(registry);
    pt_config_finish(&c);
    return rc;
}

int pt_cmd_profile(int argc, char **argv)
{
    struct options o;
    struct pt_err err;
    int status = parse(argc, argv, &o);
    if (status)
        return status;
    if (o.help)
        return pt_cmd_help(usage, (struct pt_cmd_group[]){PT_CMD_GROUP(rows, NULL), {pt_data_rows, pt_data_row_count, NULL}}, 2);
    return run(&o, &err) < 0 ? pt_cmd_fail(&err) : pt_cmd_finish();
}
