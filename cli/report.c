/* SPDX-License-Identifier: Apache-2.0
 *
 * report.c: curves and text of a report. See report.h.
 */
#include "cli/report.h"

#include "base/mem.h"
#include "cli/plot.h"

#include <math.h>

double pt_report_number(const cJSON *o, const char *a, const char *b)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, a);
    v = b ? cJSON_GetObjectItemCaseSensitive(v, b) : v;
    return cJSON_IsNumber(v) ? v->valuedouble : NAN;
}

/* --- curves
 * ----------------------------------------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *key, *csv;
} columns[] = {
    {"rate", "rate"}, {"loss", "loss"}, {"accuracy", "accuracy"}, {"heldOutLoss", "held_out_loss"}, {"heldOutAccuracy", "held_out_accuracy"}};
enum { RATE, LOSS, ACCURACY, HELD_OUT_LOSS, HELD_OUT_ACCURACY, COLUMNS };

static size_t count_epochs(const cJSON *report)
{
    const cJSON *stage;
    size_t n = 0;
    cJSON_ArrayForEach(stage, cJSON_GetObjectItemCaseSensitive(report, "stages"))
    {
        const cJSON *epochs = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(stage, "details"), "epochs");
        n += epochs ? (size_t)cJSON_GetArraySize(epochs) : 0;
    }
    return n;
}

int pt_report_curves_csv(const cJSON *report, struct pt_buf *out, struct pt_err *err)
{
    const cJSON *stage, *e;
    pt_buf_puts(out, "stage,epoch");
    for (size_t c = 0; c < COLUMNS; c++)
        pt_buf_cat(out, ",", columns[c].csv, NULL);
    pt_buf_putc(out, '\n');
    cJSON_ArrayForEach(stage, cJSON_GetObjectItemCaseSensitive(report, "stages"))
    {
        const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(stage, "stage"));
        cJSON_ArrayForEach(e, cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(stage, "details"), "epochs"))
        {
            pt_buf_printf(out, "%s,%.0f", name ? name : "", pt_report_number(e, "epoch", NULL));
            for (size_t c = 0; c < COLUMNS; c++) {
                double v = pt_report_number(e, columns[c].key, NULL);
                pt_buf_putc(out, ',');
                if (!isnan(v))
                    pt_buf_printf(out, "%.9g", v);
            }
            pt_buf_putc(out, '\n');
        }
    }
    return pt_buf_check(out, "curves", err);
}

int pt_report_curves_svg(const cJSON *report, struct pt_buf *out, struct pt_err *err)
{
    size_t n = count_epochs(report), at = 0;
    pt_auto_free double *y = pt_calloc(n * COLUMNS + 1, sizeof *y);
    const cJSON *stage, *e;
    bool held_out = false, accuracy = false;
    if (!n)
        return pt_fail(err, PT_EINVAL, "no stage trained: there are no curves");
    if (!y)
        return pt_fail(err, PT_ENOMEM, "out of memory for curves");
    cJSON_ArrayForEach(stage, cJSON_GetObjectItemCaseSensitive(report, "stages"))
    {
        cJSON_ArrayForEach(e, cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(stage, "details"), "epochs"))
        {
            for (size_t c = 0; c < COLUMNS; c++) {
                double v = pt_report_number(e, columns[c].key, NULL);
                held_out |= c == HELD_OUT_LOSS && !isnan(v);
                accuracy |= c == ACCURACY && !isnan(v);
                y[c * n + at] = isnan(v) ? 0 : v;
            }
            at++;
        }
    }
    struct pt_plot_panel panels[3] = {
        {.title = "loss", .unit = "mean of a sample", .curves = {{"training", y + LOSS * n}, {"held out", y + HELD_OUT_LOSS * n}}},
        {.title = "accuracy", .unit = "share", .curves = {{"training", y + ACCURACY * n}, {"held out", y + HELD_OUT_ACCURACY * n}}, .top = 1},
        {.title = "learning rate", .unit = "at the end of the epoch", .curves = {{"rate", y + RATE * n}}, .curve_count = 1}};
    panels[0].curve_count = panels[1].curve_count = held_out ? 2 : 1;
    if (!accuracy)
        panels[1] = panels[2];
    pt_plot_svg(out, "training", panels, accuracy ? 3 : 2, n, (double)n, " epochs");
    return pt_buf_check(out, "curves", err);
}

/* --- text
 * -------------------------------------------------------------------------------------------------------------------------------------------- */

static void put_figure(struct pt_buf *out, double v, int digits)
{
    if (isnan(v))
        pt_buf_printf(out, "%10s", "-");
    else
        pt_buf_printf(out, "%10.*f", digits, v);
}

static void put_row(struct pt_buf *out, const char *name, const cJSON *quality)
{
    double accuracy = pt_report_number(quality, "accuracy", NULL), ms = pt_report_number(quality, "latencyMs", NULL);
    double loss = pt_report_number(quality, "loss", NULL);
    pt_buf_printf(out, "%-10s %12.0f %12.0f %14.0f %6.1f", name, pt_report_number(quality, "bytes", NULL),
                  pt_report_number(quality, "parameters", NULL), pt_report_number(quality, "macs", NULL),
                  100 * pt_report_number(quality, "zeros", NULL));
    put_figure(out, ms, 3);
    put_figure(out, accuracy, 4);
    put_figure(out, loss, 4);
    pt_buf_putc(out, '\n');
}

int pt_report_text(const cJSON *report, struct pt_buf *out, struct pt_err *err)
{
    const cJSON *stage, *gate = cJSON_GetObjectItemCaseSensitive(report, "gate"), *c;
    pt_buf_printf(out, "%-10s %12s %12s %14s %6s %10s%10s%10s\n", "stage", "bytes", "parameters", "MACs", "zeros%", "ms", "accuracy", "loss");
    put_row(out, "input", cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(report, "input"), "quality"));
    cJSON_ArrayForEach(stage, cJSON_GetObjectItemCaseSensitive(report, "stages"))
    {
        const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(stage, "stage"));
        put_row(out, name ? name : "", cJSON_GetObjectItemCaseSensitive(stage, "quality"));
    }
    cJSON_ArrayForEach(stage, cJSON_GetObjectItemCaseSensitive(report, "stages"))
    {
        pt_report_prune_text(cJSON_GetObjectItemCaseSensitive(stage, "details"), out);
        pt_report_quantize_text(cJSON_GetObjectItemCaseSensitive(stage, "details"), out);
    }
    cJSON_ArrayForEach(c, cJSON_GetObjectItemCaseSensitive(gate, "checks"))
    {
        const char *figure = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(c, "figure"));
        const char *rule = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(c, "rule"));
        pt_buf_printf(out, "gate: %s is %.6g, %s is %g: %s\n", figure, pt_report_number(c, "value", NULL), rule, pt_report_number(c, "bound", NULL),
                      cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(c, "holds")) ? "holds" : "does not hold");
    }
    return pt_buf_check(out, "report", err);
}
