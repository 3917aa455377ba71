/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_compress.c: pintle compress RECIPE.yaml.
 */
#include "cli/cmd_report.h"
#include "cli/commands.h"

#include "base/mem.h"

#include <stdio.h>

static const char usage[] =
    "usage: pintle compress RECIPE.yaml [OPTION...]\n"
    "\n"
    "Runs the stages of a recipe on a model, measures each, and publishes the result when the gate holds (docs/compression.md).\n"
    "Cut off, it goes on where it was when it is started again. Exit status 3: the gate does not hold, nothing was published.\n\n";

struct arguments {
    const char *work, *curves, *model, *output;
    int progress;
    bool dry_run, json, help, fresh;
};
#define AT(member) offsetof(struct arguments, member)
static const struct pt_cmd_option rows[] = {
    {"model", PT_CMD_TEXT, AT(model), .value = "FILE", .help = "instead of the recipe's"},
    {"output", PT_CMD_TEXT, AT(output), .letter = 'o', .value = "FILE", .help = "instead of the recipe's"},
    {"work", PT_CMD_TEXT, AT(work), .value = "DIR", .help = "where finished stages are kept until all are; otherwise OUTPUT.work"},
    {"curves", PT_CMD_TEXT, AT(curves), .value = "FILE", .help = "loss and accuracy by epoch, as a plot (.svg) or a table (.csv)"},
    {"progress", PT_CMD_CHOICE, AT(progress), .words = pt_progress_kinds, .def = "auto",
     .help = "a bar on a terminal, else lines; json: one object a line"},
    {"dry-run", PT_CMD_FLAG, AT(dry_run), .help = "say what would be done and what it costs"},
    {"json", PT_CMD_FLAG, AT(json), .help = "the report on standard output, instead of a table"},
    {"help", PT_CMD_FLAG, AT(help), .help = "print this"},
};
enum { ROWS = sizeof rows / sizeof *rows };

static int execute(struct pt_recipe *r, const struct arguments *a, struct pt_err *err)
{
    pt_auto_free char *work = a->work ? pt_strdup(a->work) : pt_asprintf("%s.work", r->settings.output);
    struct pt_progress p;
    struct pt_err second;
    cJSON *report = NULL;
    if (!work)
        return pt_cmd_fail(&(struct pt_err){.code = PT_ENOMEM, .msg = "out of memory"});
    pt_progress_init(&p, (enum pt_progress_kind)a->progress, stderr);
    pt_progress_catch_signals();
    int rc = pt_recipe_run(r, &(struct pt_recipe_run){.work = work, .progress = &p}, &report, err);
    pt_progress_finish(&p);
    if (rc == PT_OK || rc == PT_EPRECONDITION) { /* a gate that does not hold is reported like one that does */
        int written = pt_cmd_write_reports(&r->report, a->curves, report, &second);
        if (rc == PT_OK && (rc = written) < 0)
            *err = second;
        else if (written < 0)
            fprintf(stderr, "warning: %s\n", second.msg);
    }
    int status = rc == PT_OK || rc == PT_EPRECONDITION ? pt_cmd_print_report(report, a->json) : 0;
    cJSON_Delete(report);
    return rc < 0 ? pt_cmd_fail(err) : status;
}

static int plan(const struct pt_recipe *r, struct pt_err *err)
{
    pt_auto_buf text = PT_BUF_INIT(0);
    if (pt_recipe_plan(r, &text, err) < 0)
        return pt_cmd_fail(err);
    fwrite(text.data, 1, text.len, stdout);
    return pt_cmd_finish();
}

int pt_cmd_compress(int argc, char **argv)
{
    struct arguments a = {0};
    struct pt_recipe r = {0};
    struct pt_err err;
    pt_auto_buf text = PT_BUF_INIT(1 << 20);
    if (pt_cmd_defaults(rows, ROWS, &a, &err) < 0)
        return pt_cmd_fail(&err);
    int status = pt_cmd_options(argc, argv, rows, ROWS, &a);
    if (status)
        return status;
    if (a.help)
        return pt_cmd_help(usage, &(struct pt_cmd_group)PT_CMD_GROUP(rows, NULL), 1);
    if (argc - optind != 1)
        return pt_cmd_usage(argv[0], argc == optind ? "a recipe is needed" : "one recipe is needed, not also \"%s\"", argv[argc - 1]);
    int rc = pt_buf_read_file(&text, argv[optind], &err);
    if (rc == PT_OK)
        rc = pt_recipe_parse(&r, (struct pt_str){text.data, text.len}, argv[optind], &err);
    if (rc == PT_OK) {
        r.settings.model = a.model ? a.model : r.settings.model;
        r.settings.output = a.output ? a.output : r.settings.output;
        rc = pt_recipe_check(&r, &err);
    }
    status = rc < 0 ? pt_cmd_fail(&err) : a.dry_run ? plan(&r, &err) : execute(&r, &a, &err);
    pt_recipe_finish(&r);
    return status;
}
