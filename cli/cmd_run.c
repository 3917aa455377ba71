/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_run.c: pintle run MODEL.onnx: one execution, inputs from files, outputs to files.
 */
#include "cli/commands.h"
#include "cli/model.h"

#include "base/mem.h"
#include "base/path.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] = "usage: pintle run MODEL.onnx -i NAME=FILE... -o DIR [--threads N] [--format npy|pb]\n"
                           "\n"
                           "Runs a model once. Writes its outputs to DIR/0.npy, DIR/1.npy, ... in the order of the model's outputs.\n"
                           "\n"
                           "  -i, --input NAME=FILE  value of an input: NumPy .npy or ONNX TensorProto .pb; every input needs one\n"
                           "  -o, --output DIR       where the outputs go; made if it is not there\n"
                           "      --threads N        threads to compute with (default: the CPU limit of this process)\n"
                           "      --format FORMAT    npy (default) or pb\n";

struct options {
    const char *model, *dir;
    struct pt_cli_pairs inputs;
    int64_t threads;
    bool pb, help;
};

static int set_option(struct options *o, int c, const char *value, struct pt_err *err)
{
    switch (c) {
    case 'i':
        return pt_cli_pairs_add(&o->inputs, value, err);
    case 'o':
        o->dir = value;
        return PT_OK;
    case 't':
        return pt_parse_i64(pt_str(value), 1, 1024, "--threads", &o->threads, err);
    case 'f':
        o->pb = strcmp(value, "pb") == 0;
        return o->pb || strcmp(value, "npy") == 0 ? PT_OK : pt_fail(err, PT_EINVAL, "--format: \"%s\" is neither npy nor pb", value);
    default:
        o->help = true;
        return PT_OK;
    }
}

/* 0, or the exit status. */
static int parse(int argc, char **argv, struct options *o)
{
    static const struct option options[] = {{"input", required_argument, NULL, 'i'},  {"output", required_argument, NULL, 'o'}, {"threads", required_argument, NULL, 't'},
                                            {"format", required_argument, NULL, 'f'}, {"help", no_argument, NULL, 'h'},         {0}};
    struct pt_err err;
    *o = (struct options){0};
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, ":i:o:h", options, NULL)) != -1;) {
        if (c == '?' || c == ':')
            return pt_cmd_bad_option(argv, c);
        if (set_option(o, c, optarg, &err) < 0)
            return pt_cmd_usage(argv[0], "%s", err.msg);
    }
    if (o->help)
        return 0;
    if (argc - optind != 1)
        return pt_cmd_usage(argv[0], argc == optind ? "a model is needed" : "one model is needed, not also \"%s\"", argv[argc - 1]);
    if (!o->dir)
        return pt_cmd_usage(argv[0], "-o DIR is needed");
    o->model = argv[optind];
    return 0;
}

static char *output_path(const struct options *o, size_t i)
{
    return pt_asprintf("%s/%zu.%s", o->dir, i, o->pb ? "pb" : "npy");
}

/* All files or none. */
static int write_files(const struct options *o, const struct pt_buf *files, size_t count, struct pt_err *err)
{
    mode_t mask = umask(0);
    umask(mask);
    int rc = pt_path_mkdirs(o->dir, 0777, err);
    size_t done = 0;
    for (; done < count && rc == PT_OK; done++) {
        pt_auto_free char *path = output_path(o, done);
        rc = path ? pt_path_write_atomic(path, files[done].data, files[done].len, 0666 & ~mask, err) : pt_fail(err, PT_ENOMEM, "out of memory");
    }
    while (rc < 0 && done-- > 0) {
        pt_auto_free char *path = output_path(o, done);
        if (path)
            unlink(path);
    }
    return rc;
}

/* All outputs become bytes before the first file is written. */
static int write_outputs(const struct pt_cli_model *m, const struct options *o, struct pt_buf *files, struct pt_err *err)
{
    size_t count = pt_session_output_count(m->session);
    int rc = PT_OK;
    for (size_t i = 0; i < count && rc == PT_OK; i++) {
        const char *name = pt_session_output(m->session, i)->name;
        const struct pt_tensor *t = pt_run_output(m->run, i);
        rc = o->pb ? pt_tensor_pb_write(&files[i], t, name, err) : pt_npy_write(&files[i], t, err);
        if (rc < 0)
            pt_wrap(err, "output '%s'", name);
    }
    return rc == PT_OK ? write_files(o, files, count, err) : rc;
}

static int run(const struct options *o, struct pt_err *err)
{
    struct pt_cli_model m;
    int rc = pt_cli_model_open(&m, o->model, (int)o->threads, err);
    if (rc < 0)
        return rc;
    size_t count = pt_session_output_count(m.session);
    struct pt_buf *files = pt_calloc(count, sizeof *files);
    rc = files ? pt_cli_model_load_inputs(&m, &o->inputs, NULL, err) : pt_fail(err, PT_ENOMEM, "out of memory");
    if (rc == PT_OK)
        rc = pt_run_execute(m.run, err);
    if (rc == PT_OK)
        rc = write_outputs(&m, o, files, err);
    for (size_t i = 0; files && i < count; i++)
        pt_buf_finish(&files[i]);
    pt_free(files);
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
    if (o.help) {
        fputs(help, stdout);
        return pt_cmd_finish();
    }
    return run(&o, &err) < 0 ? pt_cmd_fail(&err) : 0;
}
