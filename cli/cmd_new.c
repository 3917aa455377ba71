/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_new.c: pintle new OUT.onnx: a model with random weights, to be trained.
 */
#include "cli/cmd_report.h"
#include "cli/commands.h"
#include "cli/new.h"
#include "cli/options.h"

#include <stdio.h>

static const char usage[] = "usage: pintle new OUT.onnx --input 1x28x28 --layers LAYER,LAYER,... [OPTION...]\n"
                            "\n"
                            "Writes a model with random weights, a chain of layers, for `pintle train`.\n\n";

struct arguments {
    const char *input, *layers;
    int64_t seed;
    bool help;
};
#define AT(member) offsetof(struct arguments, member)
const struct pt_cmd_option pt_new_rows[] = {
    {"input", PT_CMD_TEXT, AT(input), .value = "DIMS", .help = "of a sample: CHANNELSxHEIGHTxWIDTH, or COLUMNS of a table"},
    {"layers", PT_CMD_TEXT, AT(layers), .value = "LAYER,...", .help = "from the input to the output, see below"},
    {"seed", PT_CMD_NUMBER, AT(seed), .max = INT64_MAX, .def = "1", .help = "of the weights"},
    {"help", PT_CMD_FLAG, AT(help), .help = "print this"},
};
enum { ROWS = sizeof pt_new_rows / sizeof *pt_new_rows };
const size_t pt_new_row_count = ROWS;

static int help(void)
{
    pt_auto_buf layers = PT_BUF_INIT(0);
    pt_cmd_help(usage, &(struct pt_cmd_group){pt_new_rows, ROWS, NULL}, 1);
    pt_new_help(&layers);
    printf("\nLayers:\n%s", pt_buf_cstr(&layers));
    return pt_cmd_finish();
}

int pt_cmd_new(int argc, char **argv)
{
    struct arguments a = {0};
    struct pt_edit e;
    struct pt_err err;
    pt_auto_buf bytes = PT_BUF_INIT(0);
    if (pt_cmd_defaults(pt_new_rows, ROWS, &a, &err) < 0)
        return pt_cmd_fail(&err);
    int status = pt_cmd_options(argc, argv, pt_new_rows, ROWS, &a);
    if (status)
        return status;
    if (a.help)
        return help();
    if (argc - optind != 1)
        return pt_cmd_usage(argv[0], argc == optind ? "a file to write is needed" : "one file is needed, not also \"%s\"", argv[argc - 1]);
    if (!a.input || !a.layers)
        return pt_cmd_usage(argv[0], "--input and --layers are needed");
    int rc = pt_new_model(&e, &bytes, a.input, a.layers, (uint64_t)a.seed, &err);
    if (rc == PT_OK)
        rc = pt_edit_save(&e, argv[optind], &err);
    pt_edit_finish(&e);
    return rc < 0 ? pt_cmd_fail(&err) : pt_cmd_finish();
}
