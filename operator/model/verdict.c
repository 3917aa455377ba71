/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict.c: see verdict.h.
 */
#include "operator/model/verdict.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static size_t size_of(unsigned count)
{
    return sizeof(struct pt_monitoring) + count * sizeof(struct pt_threshold);
}

struct pt_monitoring *pt_monitoring_copy(const struct pt_monitoring *m)
{
    struct pt_monitoring *copy = pt_malloc(size_of(m->count));
    return copy ? memcpy(copy, m, size_of(m->count)) : NULL;
}

static double behind(enum pt_figure figure, double rows, double labelled)
{
    return pt_figure_of_labels(figure) ? labelled : rows;
}

void pt_figures_add(struct pt_figures *sum, double rows, double labelled, const double values[PT_FIGURE_COUNT])
{
    sum->pods++;
    sum->rows += rows;
    sum->labelled += labelled;
    for (int i = 0; i < PT_FIGURE_COUNT; i++) {
        double weight = behind((enum pt_figure)i, rows, labelled);
        if (!isfinite(values[i]) || weight <= 0)
            continue;
        sum->of[i].sum += weight * values[i];
        sum->of[i].weight += weight;
    }
}

static bool outside(const struct pt_threshold *t, double value)
{
    return value < t->least || value > t->most; /* a NaN bounds nothing */
}

/* What one look says. */
struct look {
    const struct pt_threshold *broken, *worst; /* the first that does not hold; of those that rollback.when names */
    double value, worst_value;
    int judged;
};

static struct look look_at(const struct pt_monitoring *m, const struct pt_figures *f)
{
    struct look l = {.judged = 0};
    for (const struct pt_threshold *t = m->thresholds; t < m->thresholds + m->count; t++) {
        double weight = f->of[t->figure].weight, value = weight > 0 ? f->of[t->figure].sum / weight : NAN;
        if (weight < m->min_samples || weight <= 0)
            continue;
        l.judged++;
        if (!outside(t, value))
            continue;
        if (!l.broken)
            l.broken = t, l.value = value;
        if (t->retreat && !l.worst)
            l.worst = t, l.worst_value = value;
    }
    return l;
}

static void tell_broken(struct pt_verdict *v, const struct pt_monitoring *m, const struct pt_threshold *t, double value, const struct pt_figures *f)
{
    bool low = value < t->least, labels = pt_figure_of_labels(t->figure);
    v->reason = pt_figure_reason(t->figure);
    snprintf(v->message, sizeof v->message, "%s is %.4g, %s %.4g is asked for; %d times in a row, last of %.0f %srows of %d %s",
             pt_figure_text(t->figure), value, low ? "at least" : "at most", low ? t->least : t->most, m->periods, f->of[t->figure].weight,
             labels ? "labelled " : "", f->pods, f->pods == 1 ? "pod" : "pods");
}

static void tell_unknown(struct pt_verdict *v, const struct pt_monitoring *m, const struct pt_figures *f)
{
    v->reason = f->pods ? "NotEnoughSamples" : "NoReports";
    if (f->pods)
        snprintf(v->message, sizeof v->message, "too little has been answered or labelled yet to judge by: at least %.0f rows, %d times in a row",
                 m->min_samples, m->periods);
    else
        snprintf(v->message, sizeof v->message, "no pod has reported figures yet");
}

/* The verdict after this look; what it was while the periods in a row are too few for another one. */
static void decide(struct pt_verdict *v, const struct pt_monitoring *m, const struct look *l, const struct pt_figures *f)
{
    v->bad = l->broken ? v->bad + 1 : l->judged ? 0 : v->bad;
    v->good = l->broken ? 0 : l->judged ? v->good + 1 : v->good;
    v->worse = l->worst ? v->worse + 1 : l->judged ? 0 : v->worse;
    if (l->worst && v->worse >= m->periods && !v->retreat) {
        v->retreat = m->retreats;
        v->health = PT_HEALTH_BAD;
        tell_broken(v, m, l->worst, l->worst_value, f);
    } else if (l->broken && v->bad >= m->periods && v->health != PT_HEALTH_BAD) {
        v->health = PT_HEALTH_BAD;
        tell_broken(v, m, l->broken, l->value, f);
    } else if (v->good >= m->periods && v->health != PT_HEALTH_GOOD) {
        v->health = PT_HEALTH_GOOD;
        v->retreat = false;
        v->reason = "WithinThresholds";
        snprintf(v->message, sizeof v->message, "%d of %u thresholds could be judged, and hold", l->judged, m->count);
    } else if (v->health == PT_HEALTH_UNKNOWN) {
        tell_unknown(v, m, f);
    }
}

bool pt_verdict_look(struct pt_verdict *v, const struct pt_monitoring *m, const char *revision, const struct pt_figures *f, int64_t now_ms)
{
    bool another = strcmp(v->revision, revision) != 0;
    if (another) {
        *v = (struct pt_verdict){.judged_ms = now_ms};
        snprintf(v->revision, sizeof v->revision, "%s", revision);
        tell_unknown(v, m, f);
    }
    if (v->began && now_ms - v->judged_ms < m->period_ms)
        return another;
    struct pt_verdict was = *v;
    struct look l = look_at(m, f);
    v->began = true;
    v->judged_ms = now_ms;
    decide(v, m, &l, f);
    return another || was.health != v->health || was.retreat != v->retreat || strcmp(was.reason, v->reason) != 0;
}
