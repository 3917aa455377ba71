/* SPDX-License-Identifier: Apache-2.0
 *
 * report_quantize.c: what quantisation and clustering did, as tables: a line for each layer, or for each tensor.
 */
#include "cli/report.h"

#include <math.h>
#include <string.h>

static const char *text(const cJSON *o, const char *key)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));
    return s ? s : "-";
}

/* The end of a long name says more than its beginning. */
static void put_name(struct pt_buf *out, const char *name)
{
    size_t n = strlen(name);
    pt_buf_printf(out, "%s%-*s", n > 32 ? "..." : "", n > 32 ? 29 : 32, n > 32 ? name + n - 29 : name);
}

/* digits -1: four that count. */
static void put_number(struct pt_buf *out, int digits, double v)
{
    if (isnan(v))
        pt_buf_printf(out, " %10s", "-");
    else if (digits < 0)
        pt_buf_printf(out, " %10.4g", v);
    else
        pt_buf_printf(out, " %10.*f", digits, v);
}

static double bytes_of(const cJSON *o, int i)
{
    const cJSON *v = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(o, "bytes"), i);
    return cJSON_IsNumber(v) ? v->valuedouble : (double)NAN;
}

static void put_layers(struct pt_buf *out, const cJSON *q)
{
    const cJSON *l;
    pt_buf_printf(out, "\n%-32s %-18s %-10s %-6s %-6s %10s %10s %10s %10s\n", "layer", "operator", "", "out", "weight", "scale", "output dB",
                  "weight dB", "bytes");
    cJSON_ArrayForEach(l, cJSON_GetObjectItemCaseSensitive(q, "layers"))
    {
        put_name(out, text(l, "node"));
        pt_buf_printf(out, " %-18s %-10s %-6s %-6s", text(l, "op"), text(l, "state"), text(l, "activation"), text(l, "weight"));
        put_number(out, -1, pt_report_number(l, "scale", NULL));
        put_number(out, 1, pt_report_number(l, "output_sqnr_db", NULL));
        put_number(out, 1, pt_report_number(l, "weight_sqnr_db", NULL));
        put_number(out, 0, bytes_of(l, 1));
        pt_buf_printf(out, "%s%s\n", cJSON_HasObjectItem(l, "why") ? "  " : "", cJSON_HasObjectItem(l, "why") ? text(l, "why") : "");
    }
    pt_buf_printf(out, "weights: %.0f bytes, %.0f before", bytes_of(q, 1), bytes_of(q, 0));
    double db = pt_report_number(q, "output_sqnr_db", NULL);
    if (!isnan(db))
        pt_buf_printf(out, "; the output is %.1f dB above the noise of rounding", db);
    pt_buf_putc(out, '\n');
}

static void put_tensors(struct pt_buf *out, const cJSON *c)
{
    const cJSON *t;
    pt_buf_printf(out, "\n%-32s %10s %10s %10s %10s %10s\n", "weights", "elements", "values", "bits each", "dB", "coded");
    cJSON_ArrayForEach(t, cJSON_GetObjectItemCaseSensitive(c, "tensors"))
    {
        put_name(out, text(t, "name"));
        put_number(out, 0, pt_report_number(t, "elements", NULL));
        put_number(out, 0, pt_report_number(t, "values", NULL));
        put_number(out, 2, pt_report_number(t, "bits", NULL));
        put_number(out, 1, pt_report_number(t, "sqnr_db", NULL));
        put_number(out, 0, bytes_of(t, 1));
        pt_buf_putc(out, '\n');
    }
    pt_buf_printf(out, "weights: %.0f bytes where indices are coded perfectly, %.0f as they are\n", bytes_of(c, 1), bytes_of(c, 0));
}

void pt_report_quantize_text(const cJSON *details, struct pt_buf *out)
{
    const cJSON *q = cJSON_GetObjectItemCaseSensitive(details, "quantize"), *c = cJSON_GetObjectItemCaseSensitive(details, "cluster");
    if (q)
        put_layers(out, q);
    if (c)
        put_tensors(out, c);
}
