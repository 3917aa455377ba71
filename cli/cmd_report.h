/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_report.h: where the commands that change models put their report.
 */
#ifndef PT_CLI_CMD_REPORT_H
#define PT_CLI_CMD_REPORT_H

#include "cli/recipe.h"

/* To the files that are named; curves: .svg or .csv, or NULL. */
int pt_cmd_write_reports(const struct pt_recipe_report *to, const char *curves, const cJSON *report, struct pt_err *err);
/* To standard output, as JSON or as a table; the exit status. */
int pt_cmd_print_report(const cJSON *report, bool json);

#endif
