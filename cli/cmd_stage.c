/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_stage.c: pintle train, distill, ...: one command per stage, each a recipe with that one stage. What is said here holds for all of them; what a
 * stage takes is in its rows.
 */
#include "cli/cmd_report.h"
#include "cli/commands.h"
#include "cli/report.h"

#include "base/mem.h"

#include <stdio.h>
#include <unistd.h>

struct arguments {
    const char *curves, *checkpoint;
    int progress;
    bool dry_run, json, help;
};
#define AT(member) offsetof(struct arguments, member)
const struct pt_cmd_option pt_stage_command_rows[] = {
    {"curves", PT_CMD_TEXT, AT(curves), .value = "FILE", .help = "loss and accuracy by epoch, as a plot (.svg) or a table (.csv)"},
    {"checkpoint", PT_CMD_TEXT, AT(checkpoint), .value = "FILE", .help = "where a training that is cut off goes on from; removed when it is done"},
    {"progress", PT_CMD_CHOICE, AT(progress), .words = pt_progress_kinds, .def = "auto",
     .help = "a bar on a terminal, else lines; json: one object a line"},
    {"dry-run", PT_CMD_FLAG, AT(dry_run), .help = "say what would be done and what it costs"},
    {"json", PT_CMD_FLAG, AT(json), .help = "the report on standard output, instead of a table"},
    {"help", PT_CMD_FLAG, AT(help), .help = "print this"},
};
enum { OWN = sizeof pt_stage_command_rows / sizeof *pt_stage_command_rows };
const size_t pt_stage_command_row_count = OWN;

static bool is_curves(const char *path)
{
    size_t n = strlen(path);
    return n > 4 && (strcmp(path + n - 4, ".csv") == 0 || strcmp(path + n - 4, ".svg") == 0);
}

static int execute(struct pt_recipe *r, const struct arguments *a, struct pt_err *err)
{
    pt_auto_buf plan = PT_BUF_INIT(0);
    struct pt_progress p;
    cJSON *report = NULL;
    int status = 0;
    if (a->dry_run) {
        if (pt_recipe_plan(r, &plan, err) < 0)
            return pt_cmd_fail(err);
        fwrite(plan.data, 1, plan.len, stdout);
        return pt_cmd_finish();
    }
    pt_progress_init(&p, (enum pt_progress_kind)a->progress, stderr);
    pt_progress_catch_signals();
    int rc = pt_recipe_run(r, &(struct pt_recipe_run){.checkpoint = a->checkpoint, .progress = &p}, &report, err);
    pt_progress_finish(&p);
    if (rc == PT_OK && a->checkpoint)
        unlink(a->checkpoint);
    if (rc == PT_OK)
        rc = pt_cmd_write_reports(&r->report, a->curves, report, err);
    status = rc < 0 ? pt_cmd_fail(err) : pt_cmd_print_report(report, a->json);
    cJSON_Delete(report);
    return status;
}

/* The recipe's JSON of a command line: what the report and the metadata say was asked for. */
static int echo(struct pt_recipe *r, struct pt_err *err)
{
    cJSON *list, *o, *options;
    r->json = cJSON_CreateObject();
    if (!r->json || !cJSON_AddStringToObject(r->json, "model", r->settings.model) || !(list = cJSON_AddArrayToObject(r->json, "stages")) ||
        !(o = cJSON_CreateObject()) || !cJSON_AddItemToArray(list, o) || !(options = pt_stage_call_json(&r->stages[0])) ||
        !cJSON_AddItemToObject(o, r->stages[0].stage->name, options))
        return pt_fail(err, PT_ENOMEM, "out of memory");
    return PT_OK;
}

static int usage(const struct pt_stage *s, struct pt_cmd_group *groups, size_t count)
{
    pt_auto_buf text = PT_BUF_INIT(0);
    pt_buf_printf(&text, "usage: pintle %s MODEL.onnx -o OUT.onnx%s [OPTION...]\n\n%c%s. docs/compression.md says more.\n\n", s->name,
                  s->trains ? " --data FILE" : "", s->summary[0] - 'a' + 'A', s->summary + 1);
    return pt_cmd_help(pt_buf_cstr(&text), groups, count);
}

static int run_stage(const struct pt_stage *s, int argc, char **argv, struct pt_recipe *r)
{
    struct arguments a = {0};
    struct pt_stage_call *call;
    struct pt_err err;
    pt_arena_init(&r->arena, 16 << 20);
    if (pt_recipe_add(r, s, s->trains, &call, &err) < 0 || pt_gate_read(&r->gate, NULL, &err) < 0 ||
        pt_cmd_defaults(pt_recipe_rows, pt_recipe_row_count, &r->settings, &err) < 0 ||
        pt_cmd_defaults(pt_data_rows, pt_data_row_count, &r->data, &err) < 0 || pt_cmd_defaults(pt_stage_command_rows, OWN, &a, &err) < 0)
        return pt_cmd_fail(&err);
    struct pt_train_settings *train = call->train;
    if (train && !s->is_training)
        train->epochs = 0; /* trains when --epochs is given */
    struct pt_cmd_group groups[] = {{s->rows, s->row_count, call->options},
                                    {pt_recipe_rows + 1, pt_recipe_row_count - 1, &r->settings}, /* the model is the argument */
                                    {pt_data_rows, pt_data_row_count, &r->data},
                                    {pt_recipe_report_rows, pt_recipe_report_row_count, &r->report},
                                    {pt_stage_command_rows, OWN, &a},
                                    {pt_train_rows, pt_train_row_count, train}};
    size_t count = sizeof groups / sizeof *groups - (train ? 0 : 1);
    int status = pt_cmd_options_of(argc, argv, groups, count);
    if (status)
        return status;
    if (a.help)
        return usage(s, groups, count);
    if (argc - optind != 1)
        return pt_cmd_usage(argv[0], argc == optind ? "a model is needed" : "one model is needed, not also \"%s\"", argv[argc - 1]);
    r->settings.model = argv[optind];
    if (train && train->epochs == 0) {
        pt_free(pt_steal(call->train));
        train = NULL;
    }
    if (!r->settings.output && !a.dry_run && !(s->only_looks && s->only_looks(call->options)))
        return pt_cmd_usage(argv[0], "-o FILE is needed");
    if (s->is_training && !r->data.train)
        return pt_cmd_usage(argv[0], "--data FILE is needed");
    if (a.curves && !is_curves(a.curves))
        return pt_cmd_usage(argv[0], "--curves %s: must end in .svg or .csv", a.curves);
    if (a.dry_run && !r->settings.output)
        r->settings.output = "nowhere";
    if (s->check && s->check(call->options, train, &err) < 0)
        return pt_cmd_usage(argv[0], "%s", err.msg);
    return echo(r, &err) < 0 ? pt_cmd_fail(&err) : execute(r, &a, &err);
}

static int stage_command(const char *name, int argc, char **argv)
{
    struct pt_recipe r = {0};
    int status = run_stage(pt_stage_find(name), argc, argv, &r);
    pt_recipe_finish(&r);
    return status;
}

#define PT_X(name)                                                                                                                                   \
    int pt_cmd_##name(int argc, char **argv)                                                                                                         \
    {                                                                                                                                                \
        return stage_command(#name, argc, argv);                                                                                                     \
    }
PT_STAGES(PT_X)
