/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_report.c: see cmd_report.h.
 */
#include "cli/cmd_report.h"

#include "base/path.h"
#include "cli/commands.h"
#include "cli/report.h"

#include <stdio.h>

/* The report where the user wants it. */
static int write_text(const char *path, const struct pt_buf *b, struct pt_err *err)
{
    return pt_path_write_atomic(path, b->data, b->len, 0644, err);
}

int pt_cmd_write_reports(const struct pt_recipe_report *to, const char *curves, const cJSON *report, struct pt_err *err)
{
    pt_auto_buf html = PT_BUF_INIT(0), curve = PT_BUF_INIT(0), json = PT_BUF_INIT(0);
    size_t n = curves ? strlen(curves) : 0;
    int rc = PT_OK;
    if (to->json) {
        char *text = cJSON_Print(report);
        pt_buf_puts(&json, text ? text : "");
        pt_buf_putc(&json, '\n');
        rc = text ? write_text(to->json, &json, err) : pt_fail(err, PT_ENOMEM, "out of memory for the report");
        cJSON_free(text);
    }
    if (rc == PT_OK && to->html && (rc = pt_report_html(report, &html, err)) == PT_OK)
        rc = write_text(to->html, &html, err);
    if (rc == PT_OK && curves) {
        bool csv = n > 4 && strcmp(curves + n - 4, ".csv") == 0;
        rc = csv ? pt_report_curves_csv(report, &curve, err) : pt_report_curves_svg(report, &curve, err);
        if (rc == PT_OK)
            rc = write_text(curves, &curve, err);
    }
    return rc;
}

int pt_cmd_print_report(const cJSON *report, bool json)
{
    struct pt_err err;
    pt_auto_buf text = PT_BUF_INIT(0);
    char *printed = json ? cJSON_PrintUnformatted(report) : NULL;
    if (json && printed)
        pt_buf_cat(&text, printed, "\n", NULL);
    int rc = json && !printed ? pt_fail(&err, PT_ENOMEM, "out of memory for the report")
             : json           ? pt_buf_check(&text, "report", &err)
                              : pt_report_text(report, &text, &err);
    cJSON_free(printed);
    if (rc < 0)
        return pt_cmd_fail(&err);
    fwrite(text.data, 1, text.len, stdout);
    return pt_cmd_finish();
}
