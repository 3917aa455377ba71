/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_report.h: what the commands that change models share: where their report goes, and their options.
 */
#ifndef PT_CLI_CMD_REPORT_H
#define PT_CLI_CMD_REPORT_H

#include "cli/recipe.h"

/* To the files that are named; curves: .svg or .csv, or NULL. */
int pt_cmd_write_reports(const struct pt_recipe_report *to, const char *curves, const cJSON *report, struct pt_err *err);
/* To standard output, as JSON or as a table; the exit status. */
int pt_cmd_print_report(const cJSON *report, bool json);

/* Options of these commands, for the documents (cli/stage_docs.c). */
extern const struct pt_cmd_option pt_stage_command_rows[], pt_compress_rows[], pt_evaluate_rows[], pt_new_rows[];
extern const size_t pt_stage_command_row_count, pt_compress_row_count, pt_evaluate_row_count, pt_new_row_count;

#endif
