/* SPDX-License-Identifier: Apache-2.0
 *
 * report_html.c: the page of a report. Everything is inside: style, plots as SVG, no script, nothing that is loaded.
 */
#include "cli/report.h"

#include <math.h>

enum { BAR_WIDTH = 300, BAR_ROW = 22, LABEL = 90 };

static void put_text(struct pt_buf *out, const char *s)
{
    for (; s && *s; s++)
        if (*s == '<')
            pt_buf_puts(out, "&lt;");
        else if (*s == '&')
            pt_buf_puts(out, "&amp;");
        else if (*s == '"')
            pt_buf_puts(out, "&quot;");
        else
            pt_buf_putc(out, *s);
}

static const char *text_of(const cJSON *o, const char *key)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));
    return s ? s : "";
}

/* The figures of a stage, -1: of what came in. */
static const cJSON *quality_at(const cJSON *report, int i)
{
    const cJSON *o =
        i < 0 ? cJSON_GetObjectItemCaseSensitive(report, "input") : cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(report, "stages"), i);
    return cJSON_GetObjectItemCaseSensitive(o, "quality");
}

static int stage_count(const cJSON *report)
{
    const cJSON *stages = cJSON_GetObjectItemCaseSensitive(report, "stages");
    return stages ? cJSON_GetArraySize(stages) : 0;
}

static const char *name_at(const cJSON *report, int i)
{
    return i < 0 ? "input" : text_of(cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(report, "stages"), i), "stage");
}

/* --- figures by stage: a table, and a plot of bars for each
 * ------------------------------------------------------------------------------------------ */

static const struct figure {
    const char *key, *title, *unit;
    double factor;
    int digits;
} figures[] = {
    {"bytes", "size", "KB", 1e-3, 1},
    {"parameters", "parameters", "", 1, 0},
    {"macs", "MACs", "millions", 1e-6, 3},
    {"zeros", "weights that are zero", "%", 100, 1},
    {"latencyMs", "latency", "ms, one sample", 1, 3},
    {"accuracy", "accuracy", "%", 100, 2},
    {"recall", "recall", "%, macro", 100, 2},
    {"loss", "loss", "", 1, 4},
};
#define FIGURES (sizeof figures / sizeof *figures)

static void put_value(struct pt_buf *out, const struct figure *f, double v)
{
    if (isnan(v))
        pt_buf_puts(out, "&ndash;");
    else
        pt_buf_printf(out, "%.*f", f->digits, v * f->factor);
}

static void put_table(struct pt_buf *out, const cJSON *report)
{
    pt_buf_puts(out, "<table><tr><th>stage</th>");
    for (size_t f = 0; f < FIGURES; f++)
        pt_buf_cat(out, "<th>", figures[f].title, *figures[f].unit ? ", " : "", figures[f].unit, "</th>", NULL);
    pt_buf_puts(out, "</tr>\n");
    for (int i = -1; i < stage_count(report); i++) {
        pt_buf_puts(out, "<tr><td>");
        put_text(out, name_at(report, i));
        pt_buf_puts(out, "</td>");
        for (size_t f = 0; f < FIGURES; f++) {
            pt_buf_puts(out, "<td>");
            put_value(out, &figures[f], pt_report_number(quality_at(report, i), figures[f].key, NULL));
            pt_buf_puts(out, "</td>");
        }
        pt_buf_puts(out, "</tr>\n");
    }
    pt_buf_puts(out, "</table>\n");
}

static void put_bars(struct pt_buf *out, const cJSON *report, const struct figure *f)
{
    double most = 0;
    int n = stage_count(report);
    for (int i = -1; i < n; i++)
        most = fmax(most, pt_report_number(quality_at(report, i), f->key, NULL));
    if (most <= 0)
        return;
    pt_buf_printf(out, "<figure><figcaption>%s%s%s</figcaption><svg width=\"%d\" height=\"%d\">\n", f->title, *f->unit ? ", " : "", f->unit,
                  LABEL + BAR_WIDTH + 80, (n + 1) * BAR_ROW);
    for (int i = -1; i < n; i++) {
        double v = pt_report_number(quality_at(report, i), f->key, NULL), w = isnan(v) ? 0 : v / most * BAR_WIDTH;
        int y = (i + 1) * BAR_ROW;
        pt_buf_printf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">", LABEL - 6, y + 15);
        put_text(out, name_at(report, i));
        pt_buf_printf(out, "</text><rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\"/><text x=\"%.1f\" y=\"%d\">", LABEL, y + 3, w, BAR_ROW - 6,
                      LABEL + w + 4, y + 15);
        put_value(out, f, v);
        pt_buf_puts(out, "</text>\n");
    }
    pt_buf_puts(out, "</svg></figure>\n");
}

/* --- confusion
 * ------------------------------------------------------------------------------------------------------------------------------------------ */

static void put_confusion(struct pt_buf *out, const cJSON *quality, const char *title)
{
    const cJSON *rows = cJSON_GetObjectItemCaseSensitive(quality, "confusion"), *names = cJSON_GetObjectItemCaseSensitive(quality, "classes"), *row,
                *v;
    int i = 0;
    if (!rows || cJSON_GetArraySize(rows) > 40)
        return;
    pt_buf_cat(out, "<figure><figcaption>", title, "</figcaption><table class=\"confusion\"><tr><th>label \\ answer</th>", NULL);
    cJSON_ArrayForEach(v, names)
    {
        pt_buf_puts(out, "<th>");
        put_text(out, text_of(v, "class"));
        pt_buf_puts(out, "</th>");
    }
    pt_buf_puts(out, "<th>recall</th></tr>\n");
    cJSON_ArrayForEach(row, rows)
    {
        double all = 0;
        int k = 0;
        const cJSON *class = cJSON_GetArrayItem(names, i);
        cJSON_ArrayForEach(v, row) all += v->valuedouble;
        pt_buf_puts(out, "<tr><th>");
        put_text(out, text_of(class, "class"));
        pt_buf_puts(out, "</th>");
        cJSON_ArrayForEach(v, row)
        {
            double share = all > 0 ? v->valuedouble / all : 0;
            pt_buf_printf(out, "<td style=\"background:rgba(%s,%.2f)\">%.0f</td>", k == i ? "44,160,44" : "214,39,40",
                          k == i ? 0.6 * share : fmin(1, 4 * share), v->valuedouble);
            k++;
        }
        pt_buf_printf(out, "<td>%.1f %%</td></tr>\n", 100 * pt_report_number(class, "recall", NULL));
        i++;
    }
    pt_buf_puts(out, "</table></figure>\n");
}

static void put_gate(struct pt_buf *out, const cJSON *report)
{
    const cJSON *gate = cJSON_GetObjectItemCaseSensitive(report, "gate"), *c;
    const cJSON *checks = cJSON_GetObjectItemCaseSensitive(gate, "checks");
    if (!checks || !checks->child) {
        pt_buf_puts(out, "<p>No bounds were set.</p>\n");
        return;
    }
    pt_buf_puts(out, "<table><tr><th>figure</th><th>value</th><th>rule</th><th>bound</th><th></th></tr>\n");
    cJSON_ArrayForEach(c, checks)
    {
        bool holds = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(c, "holds"));
        pt_buf_puts(out, "<tr><td>");
        put_text(out, text_of(c, "figure"));
        pt_buf_printf(out, "</td><td>%.6g</td><td>%s</td><td>%g</td><td class=\"%s\">%s</td></tr>\n", pt_report_number(c, "value", NULL),
                      text_of(c, "rule"), pt_report_number(c, "bound", NULL), holds ? "yes" : "no", holds ? "holds" : "does not hold");
    }
    pt_buf_puts(out, "</table>\n");
}

static void put_json(struct pt_buf *out, const char *title, const cJSON *o)
{
    char *text = o ? cJSON_Print(o) : NULL;
    if (text) {
        pt_buf_cat(out, "<details><summary>", title, "</summary><pre>", NULL);
        put_text(out, text);
        pt_buf_puts(out, "</pre></details>\n");
    }
    cJSON_free(text);
}

int pt_report_html(const cJSON *report, struct pt_buf *out, struct pt_err *err)
{
    const cJSON *input = cJSON_GetObjectItemCaseSensitive(report, "input"), *output = cJSON_GetObjectItemCaseSensitive(report, "output");
    int n = stage_count(report);
    pt_buf_puts(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Pintle: ");
    put_text(out, text_of(input, "path"));
    pt_buf_puts(out, "</title><style>\nbody{font:14px sans-serif;margin:2em auto;max-width:70em;padding:0 1em}table{border-collapse:collapse}"
                     "th,td{padding:.25em .6em;border-bottom:1px solid #ddd;text-align:right}th:first-child,td:first-child{text-align:left}"
                     "figure{display:inline-block;margin:1em 1em 1em 0;vertical-align:top}figcaption{font-weight:bold}svg{font-size:12px}"
                     "svg rect{fill:#1f77b4}.yes{color:#2ca02c}.no{color:#d62728;font-weight:bold}.confusion td{min-width:2em}pre{overflow:auto}\n"
                     "</style></head><body>\n<h1>");
    put_text(out, text_of(input, "path"));
    pt_buf_puts(out, "</h1>\n<p>");
    put_text(out, output ? text_of(output, "path") : "Not published");
    pt_buf_puts(out, output ? " &middot; " : ": ");
    put_text(out, output ? text_of(output, "digest") : text_of(cJSON_GetObjectItemCaseSensitive(report, "gate"), "message"));
    pt_buf_printf(out, "</p>\n<p>%.0f samples to learn from, %.0f held out. Pintle ", pt_report_number(report, "data", "train"),
                  pt_report_number(report, "data", "heldOut"));
    put_text(out, text_of(report, "pintle"));
    pt_buf_puts(out, ".</p>\n<h2>Stages</h2>\n");
    put_table(out, report);
    for (size_t f = 0; f < FIGURES; f++)
        put_bars(out, report, &figures[f]);
    pt_report_curves_svg(report, out, NULL); /* nothing where no stage trained */
    pt_buf_puts(out, "<h2>Gate</h2>\n");
    put_gate(out, report);
    if (cJSON_GetObjectItemCaseSensitive(quality_at(report, -1), "confusion")) {
        pt_buf_puts(out, "<h2>Confusion of held-out samples</h2>\n");
        put_confusion(out, quality_at(report, -1), "before");
        put_confusion(out, quality_at(report, n - 1), "after");
    }
    pt_buf_puts(out, "<h2>Details</h2>\n");
    put_json(out, "recipe", cJSON_GetObjectItemCaseSensitive(report, "recipe"));
    for (int i = 0; i < n; i++)
        put_json(out, name_at(report, i),
                 cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(report, "stages"), i), "details"));
    pt_buf_puts(out, "</body></html>\n");
    return pt_buf_check(out, "report", err);
}
