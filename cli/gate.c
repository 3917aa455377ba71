/* SPDX-License-Identifier: Apache-2.0
 *
 * gate.c: see gate.h. A figure is a row: which bounds it may have and where its value is.
 */
#include "cli/gate.h"

#include "base/judge.h"
#include "base/json.h"
#include "cli/options.h"

#include <math.h>
#include <stdio.h>

enum { MAX_DROP = 1, MIN = 2, PER_CLASS = 4, MAX_RISE = 8, MAX = 16 };

static const struct row {
    const char *name;
    int bounds;
    const char *unit; /* of an absolute bound; "": none; NULL: no text, a number */
} rows[] = {
    [PT_GATE_ACCURACY] = {"accuracy", MAX_DROP | MIN, NULL},
    [PT_GATE_RECALL] = {"recall", MAX_DROP | MIN | PER_CLASS, NULL},
    [PT_GATE_LOSS] = {"loss", MAX_RISE | MAX, NULL},
    [PT_GATE_LATENCY] = {"latency", MAX, "ms"},
    [PT_GATE_SIZE] = {"size", MAX, "B"},
    [PT_GATE_MACS] = {"macs", MAX, ""},
};

static double value_of(const struct pt_quality *q, enum pt_gate_figure f)
{
    switch (f) {
    case PT_GATE_ACCURACY:
        return q->judged ? q->figures.accuracy : NAN;
    case PT_GATE_RECALL:
        return q->judged ? q->figures.recall : NAN;
    case PT_GATE_LOSS:
        return q->loss;
    case PT_GATE_LATENCY:
        return q->latency_ms;
    case PT_GATE_SIZE:
        return (double)q->file_bytes;
    case PT_GATE_MACS:
        return q->macs ? (double)q->macs : NAN;
    default:
        return NAN;
    }
}

/* --- reading --------------------------------------------------------------------------------------------------------------------------------------
 */

/* Number and unit: "0.5x", "3ms", "500KB", 1000. */
static int read_max(const cJSON *v, const char *where, const char *unit, struct pt_gate_rule *r, struct pt_err *err)
{
    static const struct {
        const char *unit;
        double factor;
    } bytes[] = {{"KiB", 1024}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}};
    const char *text = cJSON_IsString(v) ? v->valuestring : NULL;
    double factor = 1;
    size_t n = text ? strcspn(text, "xmKMGB ") : 0;
    struct pt_json j;
    if (cJSON_IsNumber(v) && v->valuedouble > 0) {
        r->max = v->valuedouble;
        return PT_OK;
    }
    bool fine = text != NULL;
    if (text) {
        const char *end = text + n + strspn(text + n, " ");
        pt_json_init(&j, text, n);
        fine = pt_json_double(&j, &r->max, NULL) == PT_OK && pt_json_end(&j, NULL) == PT_OK && r->max > 0;
        r->relative = strcmp(end, "x") == 0;
        bool known = r->relative || !*end || (*unit == 'm' && strcmp(end, "ms") == 0);
        for (size_t i = 0; *unit == 'B' && !known && i < sizeof bytes / sizeof *bytes; i++)
            if (strcmp(end, bytes[i].unit) == 0) {
                factor = bytes[i].factor;
                known = true;
            }
        fine = fine && known;
        r->max *= factor;
    }
    return fine ? PT_OK
                : pt_fail(err, PT_EINVAL, "%s: \"%s\" is neither a share of the input's (0.5x) nor a number%s", where, text ? text : "",
                          *unit == 'm'   ? " of milliseconds (3ms)"
                          : *unit == 'B' ? " of bytes (500KB)"
                                         : "");
}

static int read_number(const cJSON *v, const char *where, double *out, struct pt_err *err)
{
    if (!cJSON_IsNumber(v) || !(v->valuedouble >= 0))
        return pt_fail(err, PT_EINVAL, "%s: must be a number of 0 or more", where);
    *out = v->valuedouble;
    return PT_OK;
}

static const char *const bound_names[] = {"maxDrop", "min", "perClass", "maxRise", "max", NULL};

struct allowed {
    int bounds;
    const char *names[8];
};

static const char *next_bound(void *arg, size_t i)
{
    return ((const struct allowed *)arg)->names[i];
}

static int read_rule(const struct row *row, const cJSON *o, struct pt_gate_rule *r, struct pt_err *err)
{
    const cJSON *v;
    double *const members[] = {&r->max_drop, &r->min, &r->per_class, &r->max_rise, NULL};
    if (!cJSON_IsObject(o) || !o->child)
        return pt_fail(err, PT_EINVAL, "gate.%s: must be a map of bounds", row->name);
    cJSON_ArrayForEach(v, o)
    {
        char where[96];
        int b = 0;
        while (bound_names[b] && (strcmp(bound_names[b], v->string) != 0 || !(row->bounds & 1 << b)))
            b++;
        snprintf(where, sizeof where, "gate.%s.%.32s", row->name, v->string);
        if (!bound_names[b]) {
            struct allowed a = {.bounds = row->bounds};
            for (int i = 0, n = 0; bound_names[i]; i++)
                if (row->bounds & 1 << i)
                    a.names[n++] = bound_names[i];
            const char *like = pt_cmd_like(v->string, next_bound, &a);
            return pt_fail(err, PT_EINVAL, "gate.%s: unknown key \"%s\"%s%s%s", row->name, v->string, like ? ": did you mean \"" : "",
                           like ? like : "", like ? "\"?" : "");
        }
        int rc = members[b]  ? read_number(v, where, members[b], err)
                 : row->unit ? read_max(v, where, row->unit, r, err)
                             : read_number(v, where, &r->max, err);
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

static const char *next_figure(void *arg, size_t i)
{
    (void)arg;
    return i < PT_GATE_FIGURES ? rows[i].name : NULL;
}

int pt_gate_read(struct pt_gate *g, const cJSON *o, struct pt_err *err)
{
    const cJSON *v;
    *g = (struct pt_gate){0};
    for (int i = 0; i < PT_GATE_FIGURES; i++)
        g->rules[i] = (struct pt_gate_rule){NAN, NAN, NAN, NAN, NAN, false};
    if (!o)
        return PT_OK;
    if (!cJSON_IsObject(o))
        return pt_fail(err, PT_EINVAL, "gate: must be a map of figures");
    cJSON_ArrayForEach(v, o)
    {
        size_t i = 0;
        if (strcmp(v->string, "reference") == 0) {
            if (!(g->reference = cJSON_GetStringValue(v)))
                return pt_fail(err, PT_EINVAL, "gate.reference: must be the name of a file");
            continue;
        }
        while (i < PT_GATE_FIGURES && strcmp(rows[i].name, v->string) != 0)
            i++;
        if (i == PT_GATE_FIGURES) {
            const char *like = pt_cmd_like(v->string, next_figure, NULL);
            return pt_fail(err, PT_EINVAL, "gate: unknown key \"%s\"%s%s%s", v->string, like ? ": did you mean \"" : "", like ? like : "",
                           like ? "\"?" : "");
        }
        int rc = read_rule(&rows[i], v, &g->rules[i], err);
        if (rc < 0)
            return rc;
        g->set = true;
    }
    return PT_OK;
}

bool pt_gate_needs_samples(const struct pt_gate *g)
{
    for (int i = PT_GATE_ACCURACY; i <= PT_GATE_LATENCY; i++) {
        const struct pt_gate_rule *r = &g->rules[i];
        if (!isnan(r->max_drop) || !isnan(r->min) || !isnan(r->per_class) || !isnan(r->max_rise) || !isnan(r->max))
            return true;
    }
    return false;
}

/* --- checking --------------------------------------------------------------------------------------------------------------------------------------
 */

struct checking {
    cJSON *checks;
    struct pt_err *err;
    int rc; /* of the first that does not hold */
};

/* value <= bound, or >= with `least`. */
static void check(struct checking *c, const char *figure, const char *rule, double value, double bound, bool least)
{
    bool holds = least ? value >= bound : value <= bound; /* NaN holds nothing */
    cJSON *o = c->checks ? cJSON_CreateObject() : NULL;
    if (isnan(bound)) {
        cJSON_Delete(o);
        return;
    }
    if (o) {
        cJSON_AddStringToObject(o, "figure", figure);
        cJSON_AddStringToObject(o, "rule", rule);
        if (!isnan(value))
            cJSON_AddNumberToObject(o, "value", value);
        cJSON_AddNumberToObject(o, "bound", bound);
        cJSON_AddBoolToObject(o, "holds", holds);
        cJSON_AddItemToArray(c->checks, o);
    }
    if (!holds && c->rc == PT_OK)
        c->rc = isnan(value) ? pt_fail(c->err, PT_EPRECONDITION, "the gate does not hold: %s is not known, %s is %g", figure, rule, bound)
                             : pt_fail(c->err, PT_EPRECONDITION, "the gate does not hold: %s is %.6g, %s is %g", figure, value, rule, bound);
}

/* The class that lost most. */
static void check_classes(struct checking *c, const struct pt_quality *a, const struct pt_quality *b, double bound, char *const *names, size_t count)
{
    bool alike = a->judged && b->judged && a->figures.classes == b->figures.classes && a->figures.confusion && b->figures.confusion;
    size_t n = alike ? (size_t)b->figures.classes : 0, worst = 0;
    double most = NAN;
    char figure[96];
    for (size_t k = 0; k < n; k++) {
        struct pt_class_figures before, after;
        if (!pt_judge_class(a->figures.confusion, n, k, &before) || before.support <= 0)
            continue;
        pt_judge_class(b->figures.confusion, n, k, &after);
        if (isnan(most) || before.recall - after.recall > most) {
            most = before.recall - after.recall;
            worst = k;
        }
    }
    snprintf(figure, sizeof figure, worst < count ? "the drop of recall of class %zu, %.40s," : "the drop of recall of class %zu", worst,
             worst < count ? names[worst] : "");
    check(c, figure, "perClass", most, bound, false);
}

int pt_gate_check(const struct pt_gate *g, const struct pt_quality *before, const struct pt_quality *after, char *const *names, size_t name_count,
                  cJSON *checks, struct pt_err *err)
{
    struct checking c = {.checks = checks, .err = err};
    for (int i = 0; i < PT_GATE_FIGURES; i++) {
        const struct pt_gate_rule *r = &g->rules[i];
        double a = value_of(before, i), b = value_of(after, i);
        char text[64];
        snprintf(text, sizeof text, "the drop of %s", rows[i].name);
        check(&c, text, "maxDrop", a - b, r->max_drop, false);
        check(&c, rows[i].name, "min", b, r->min, true);
        snprintf(text, sizeof text, "the rise of %s", rows[i].name);
        check(&c, text, "maxRise", b - a, r->max_rise, false);
        snprintf(text, sizeof text, "%s as a share of the %s's", rows[i].name, g->reference ? "reference" : "input");
        check(&c, r->relative ? text : rows[i].name, "max", r->relative ? b / a : b, r->max, false);
        if (i == PT_GATE_RECALL)
            check_classes(&c, before, after, r->per_class, names, name_count);
    }
    return c.rc;
}
