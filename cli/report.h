/* SPDX-License-Identifier: Apache-2.0
 *
 * report.h: the report of a recipe (docs/compression.md, "Report") in forms for people: curves of training, a page, a few lines.
 */
#ifndef PT_CLI_REPORT_H
#define PT_CLI_REPORT_H

#include "base/buf.h"

#include <cjson/cJSON.h>

/* Loss and accuracy of all epochs of all stages that trained. PT_EINVAL when none did. */
int pt_report_curves_svg(const cJSON *report, struct pt_buf *out, struct pt_err *err);
int pt_report_curves_csv(const cJSON *report, struct pt_buf *out, struct pt_err *err);
/* One page without anything outside it: a table and plots by stage, the gate, confusion before and after. */
int pt_report_html(const cJSON *report, struct pt_buf *out, struct pt_err *err);
/* A table of stages, and what the gate says. */
int pt_report_text(const cJSON *report, struct pt_buf *out, struct pt_err *err);

/* What pruning did to layers, or would cost them (details of a stage): tables, where there are any. */
void pt_report_prune_text(const cJSON *details, struct pt_buf *out);
void pt_report_quantize_text(const cJSON *details, struct pt_buf *out); /* cluster too */

/* A number inside objects: pt_report_number(stage, "quality", "accuracy"); NaN when it is not there. */
double pt_report_number(const cJSON *o, const char *a, const char *b);

#endif
