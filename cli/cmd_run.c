/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_run.c: pintle run MODEL.onnx: one execution, inputs from files, outputs to files.
 */
#include "cli/commands.h"
#include "cli/model.h"
#include "cli/options.h"
#include "cli/profile.h"

#include "base/mem.h"
#include "base/path.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] = "usage: pintle run MODEL.onnx -i NAME=FILE... -o DIR [OPTION...]\n"
                            "\n"
                            "Runs a model once. Writes its outputs to DIR/0.npy, DIR/1.npy, ... in the order of the model's outputs.\n"
                            "Items of a sequence go to DIR/K.0.npy, DIR/K.1.npy, ..., a map to DIR/K.json.\n\n";

struct options {
    const char *model, *dir, *profile;
    struct pt_cli_pairs inputs;
    struct pt_cli_model_options session;
    int format;
    bool help;
};
enum { NPY, PB };
#define AT(member) offsetof(struct options, member)
static const struct pt_cmd_option rows[] = {
    {"input", PT_CMD_PAIRS, AT(inputs), .letter = 'i', .value = "NAME=FILE",
     .help = "value of an input: NumPy .npy or ONNX .pb (TensorProto, or SequenceProto and OptionalProto where the model takes one); every input "
             "needs one"},
    {"output", PT_CMD_TEXT, AT(dir), .letter = 'o', .value = "DIR", .help = "where the outputs go; made if it is not there"},
    PT_CLI_MODEL_THREADS(AT(session)),
    {"format", PT_CMD_CHOICE, AT(format), .words = (const char *const[]){"npy", "pb", NULL}, .def = "npy", .value = "FORMAT", .help = "of the files"},
    {"profile", PT_CMD_TEXT, AT(profile), .value = "FILE",
     .help = "write what each step took as a trace for Perfetto or chrome://tracing; print a table per operator"},
    PT_CLI_MODEL_OPTIMISER(AT(session)),
    {"help", PT_CMD_FLAG, AT(help), .help = "print this"},
};

/* 0, or the exit status. */
static int parse(int argc, char **argv, struct options *o)
{
    *o = (struct options){0};
    int status = pt_cmd_options(argc, argv, rows, sizeof rows / sizeof *rows, o);
    if (status || o->help)
        return status;
    if (argc - optind != 1)
        return pt_cmd_usage(argv[0], argc == optind ? "a model is needed" : "one model is needed, not also \"%s\"", argv[argc - 1]);
    if (!o->dir)
        return pt_cmd_usage(argv[0], "-o DIR is needed");
    o->model = argv[optind];
    return 0;
}

/* Files that will be written: names in DIR, and their bytes. */
struct file {
    char *name;
    struct pt_buf bytes;
};
struct files {
    struct file *list;
    size_t count, room;
};

static void finish_files(struct files *f)
{
    for (size_t i = 0; i < f->count; i++) {
        pt_free(f->list[i].name);
        pt_buf_finish(&f->list[i].bytes);
    }
    pt_free(f->list);
}

/* NULL: out of memory, written. */
static struct pt_buf *add_file(struct files *f, const char *stem, const char *ending, struct pt_err *err)
{
    if (f->count == f->room) {
        size_t room = f->room ? f->room * 2 : 16;
        struct file *list = pt_reallocarray(f->list, room, sizeof *list);
        if (list) {
            f->list = list;
            f->room = room;
        }
    }
    char *name = f->count < f->room ? pt_asprintf("%s.%s", stem, ending) : NULL;
    if (!name) {
        pt_fail(err, PT_ENOMEM, "out of memory");
        return NULL;
    }
    f->list[f->count] = (struct file){name, PT_BUF_INIT(0)};
    return &f->list[f->count++].bytes;
}

/* All files or none. */
static int write_files(const struct options *o, const struct files *f, struct pt_err *err)
{
    mode_t mask = umask(0);
    umask(mask);
    int rc = pt_path_mkdirs(o->dir, 0777, err);
    size_t done = 0;
    for (; done < f->count && rc == PT_OK; done++) {
        pt_auto_free char *path = pt_asprintf("%s/%s", o->dir, f->list[done].name);
        rc = path ? pt_path_write_atomic(path, f->list[done].bytes.data, f->list[done].bytes.len, 0666 & ~mask, err)
                  : pt_fail(err, PT_ENOMEM, "out of memory");
    }
    while (rc < 0 && done-- > 0) {
        pt_auto_free char *path = pt_asprintf("%s/%s", o->dir, f->list[done].name);
        if (path)
            unlink(path);
    }
    return rc;
}

/* npy has tensors only: items of a sequence get a number behind a dot each, an optional is its value or nothing, maps are JSON. */
static int add_npy(struct files *f, const char *stem, const struct pt_tensor *t, struct pt_err *err)
{
    struct pt_buf *bytes;
    if (pt_is_map_or_maps(t))
        return (bytes = add_file(f, stem, "json", err)) ? pt_map_json_write(bytes, t, err) : PT_ENOMEM;
    if (t->dtype == PT_OPTIONAL) {
        const struct pt_tensor *value = ((const struct pt_optional *)t->data)->value;
        return value ? add_npy(f, stem, value, err) : PT_OK;
    }
    if (t->dtype != PT_SEQUENCE)
        return (bytes = add_file(f, stem, "npy", err)) ? pt_npy_write(bytes, t, err) : PT_ENOMEM;
    const struct pt_sequence *s = t->data;
    for (size_t i = 0; i < s->count; i++) {
        pt_auto_free char *inner = pt_asprintf("%s.%zu", stem, i);
        int rc = inner ? add_npy(f, inner, &s->items[i], err) : pt_fail(err, PT_ENOMEM, "out of memory");
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

/* All outputs become bytes before the first file is written. */
static int write_outputs(const struct pt_cli_model *m, const struct options *o, struct pt_err *err)
{
    struct files f = {0};
    int rc = PT_OK;
    for (size_t i = 0; i < pt_session_output_count(m->session) && rc == PT_OK; i++) {
        const char *name = pt_session_output(m->session, i)->name;
        const struct pt_tensor *t = pt_run_output(m->run, i);
        char stem[24];
        snprintf(stem, sizeof stem, "%zu", i);
        struct pt_buf *bytes = o->format == PB ? add_file(&f, stem, "pb", err) : NULL;
        rc = o->format == NPY ? add_npy(&f, stem, t, err) : bytes ? pt_value_pb_write(bytes, t, name, err) : PT_ENOMEM;
        if (rc < 0)
            pt_wrap(err, "output '%s'", name);
    }
    if (rc == PT_OK)
        rc = write_files(o, &f, err);
    finish_files(&f);
    return rc;
}

/* Runs it, measured if that was asked for. */
static int execute(const struct options *o, struct pt_run *run, struct pt_err *err)
{
    struct pt_cli_profile p;
    if (!o->profile)
        return pt_run_execute(run, err);
    pt_cli_profile_init(&p);
    int rc = pt_run_execute_with(
        run, &(struct pt_run_options){.size = sizeof(struct pt_run_options), .profile = pt_cli_profile_add, .profile_arg = &p}, err);
    if (rc == PT_OK)
        rc = pt_cli_profile_write(&p, o->profile, err);
    if (rc == PT_OK)
        pt_cli_profile_print(&p);
    pt_cli_profile_finish(&p);
    return rc;
}

static int run(const struct options *o, struct pt_err *err)
{
    struct pt_cli_model m;
    int rc = pt_cli_model_open(&m, o->model, &o->session, err);
    if (rc < 0)
        return rc;
    rc = pt_cli_model_load_inputs(&m, &o->inputs, NULL, err);
    if (rc == PT_OK)
        rc = execute(o, m.run, err);
    if (rc == PT_OK)
        rc = write_outputs(&m, o, err);
    pt_cli_model_close(&m);
    return rc;
}

int pt_cmd_run(int argc, char **argv)
{
    struct options o;
    struct pt_err err;
    int status = parse(argc, argv, &o);
    if (status)
        return status;
    if (o.help)
        return pt_cmd_help(usage, &(struct pt_cmd_group)PT_CMD_GROUP(rows, NULL), 1);
    return run(&o, &err) < 0 ? pt_cmd_fail(&err) : pt_cmd_finish();
}
