/* SPDX-License-Identifier: Apache-2.0
 *
 * report_prune.c: what pruning did, as tables: a line for each layer, before and after; what each layer would lose with each amount.
 */
#include "cli/report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *text(const cJSON *o, const char *key)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));
    return s ? s : "";
}

/* Widest of a member's texts, within limits. */
static int width_of(const cJSON *list, const char *key, int least)
{
    const cJSON *o;
    int width = least;
    cJSON_ArrayForEach(o, list)
    {
        int n = (int)strlen(text(o, key));
        width = n > width ? n : width;
    }
    return width > 48 ? 48 : width;
}

/* The end of a long name says more than its beginning. */
static void put_name(struct pt_buf *out, const char *name, int width)
{
    int n = (int)strlen(name);
    if (n > width)
        pt_buf_printf(out, "...%s", name + n - width + 3);
    else
        pt_buf_printf(out, "%-*s", width, name);
}

static double at(const cJSON *o, const char *key, int i)
{
    const cJSON *v = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(o, key), i);
    return cJSON_IsNumber(v) ? v->valuedouble : (double)NAN;
}

static void put_pair(struct pt_buf *out, const cJSON *o, const char *key, int width)
{
    char pair[64];
    double before = at(o, key, 0), now = at(o, key, 1);
    if (isnan(before))
        snprintf(pair, sizeof pair, "-");
    else if (before == now)
        snprintf(pair, sizeof pair, "%.0f", now);
    else
        snprintf(pair, sizeof pair, "%.0f>%.0f", before, now);
    pt_buf_printf(out, " %*s", width, pair);
}

static void put_layer(struct pt_buf *out, const cJSON *o, int name, int op)
{
    double parameters = at(o, "parameters", 1), zeros = at(o, "zeros", 1);
    put_name(out, text(o, "name"), name);
    pt_buf_printf(out, " %-*s", op, text(o, "op"));
    put_pair(out, o, "units", 11);
    put_pair(out, o, "parameters", 19);
    pt_buf_printf(out, " %6.1f", parameters > 0 ? 100 * zeros / parameters : 0.0);
    put_pair(out, o, "macs", 23);
    put_pair(out, o, "bytes", 21);
    pt_buf_printf(out, "%s%s\n", text(o, "reason")[0] ? "  " : "", text(o, "reason"));
}

static void put_layers(struct pt_buf *out, const cJSON *pruned)
{
    const cJSON *layers = cJSON_GetObjectItemCaseSensitive(pruned, "layers"), *o;
    int name = width_of(layers, "name", 5), op = width_of(layers, "op", 2);
    if (!layers)
        return;
    pt_buf_printf(out, "\n%-*s %-*s %11s %19s %6s %23s %21s\n", name, "layer", op, "op", "units", "parameters", "zeros%", "MACs", "bytes");
    cJSON_ArrayForEach(o, layers) put_layer(out, o, name, op);
    put_layer(out, cJSON_GetObjectItemCaseSensitive(pruned, "total"), name, op);
}

static void put_trials(struct pt_buf *out, const cJSON *trials)
{
    const cJSON *o;
    int name = width_of(trials, "layer", 10);
    if (!trials)
        return;
    pt_buf_printf(out, "\n%-*s %7s %10s %10s %12s %14s\n", name, "layer", "amount", "loss", "accuracy", "parameters", "MACs");
    cJSON_ArrayForEach(o, trials)
    {
        double accuracy = pt_report_number(o, "accuracy", NULL);
        put_name(out, text(o, "layer")[0] ? text(o, "layer") : "(as it is)", name);
        pt_buf_printf(out, " %7.3g %10.5g", pt_report_number(o, "amount", NULL), pt_report_number(o, "loss", NULL));
        if (isnan(accuracy))
            pt_buf_printf(out, " %10s", "-");
        else
            pt_buf_printf(out, " %10.4f", accuracy);
        pt_buf_printf(out, " %12.0f %14.0f\n", pt_report_number(o, "parameters", NULL), pt_report_number(o, "macs", NULL));
    }
}

void pt_report_prune_text(const cJSON *details, struct pt_buf *out)
{
    put_layers(out, cJSON_GetObjectItemCaseSensitive(details, "pruned"));
    put_trials(out, cJSON_GetObjectItemCaseSensitive(details, "sensitivity"));
}
