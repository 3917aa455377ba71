/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict.c: see verdict.h.
 */
#include "operator/model/verdict.h"

#include "base/mem.h"
#include "base/str.h"

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

static double value_of(const struct pt_figures *f, enum pt_figure figure)
{
    return f->of[figure].weight > 0 ? f->of[figure].sum / f->of[figure].weight : (double)NAN;
}

/* What one look says. */
struct look {
    const struct pt_threshold *broken, *worst; /* the first that does not hold; of those that rollback.when names */
    uint64_t out;                              /* figures of those that do not hold */
    bool missing;                              /* one that rollback.when names has too few samples, and had some before */
    int judged;
};
_Static_assert(PT_FIGURE_COUNT <= 64, "figures are bits");

static struct look look_at(const struct pt_monitoring *m, const struct pt_figures *f, uint64_t *seen)
{
    struct look l = {.judged = 0};
    for (const struct pt_threshold *t = m->thresholds; t < m->thresholds + m->count; t++) {
        double weight = f->of[t->figure].weight;
        if (weight > 0)
            *seen |= UINT64_C(1) << t->figure;
        if (weight < m->min_samples || weight <= 0) {
            l.missing |= t->retreat && *seen >> t->figure & 1;
            continue;
        }
        l.judged++;
        if (!outside(t, value_of(f, t->figure)))
            continue;
        l.out |= UINT64_C(1) << t->figure;
        l.broken = l.broken ? l.broken : t;
        l.worst = t->retreat && !l.worst ? t : l.worst;
    }
    return l;
}

/* All figures that are outside, the one that matters most first; the reason is that one's. */
static void tell_broken(struct pt_verdict *v, const struct pt_monitoring *m, const struct pt_threshold *first, const struct look *l,
                        const struct pt_figures *f)
{
    char end[96];
    bool labels = pt_figure_of_labels(first->figure);
    int tail = snprintf(end, sizeof end, "; %d times in a row, last of %.0f %srows of %d %s", m->periods, f->of[first->figure].weight,
                        labels ? "labelled " : "", f->pods, f->pods == 1 ? "pod" : "pods");
    size_t n = 0, room = sizeof v->message - (size_t)tail;
    uint64_t left = l->out;
    for (unsigned i = 0; i <= m->count; i++) {
        const struct pt_threshold *t = i ? &m->thresholds[i - 1] : first;
        double value = value_of(f, t->figure);
        char text[128];
        if (!(left >> t->figure & 1) || !outside(t, value))
            continue;
        left &= ~(UINT64_C(1) << t->figure);
        int len = snprintf(text, sizeof text, "%s%s is %.4g, %s %.4g is asked for", n ? ", and " : "", pt_figure_text(t->figure), value,
                           value < t->least ? "at least" : "at most", value < t->least ? t->least : t->most);
        if (n + (size_t)len >= room)
            break;
        memcpy(v->message + n, text, (size_t)len + 1);
        n += (size_t)len;
    }
    memcpy(v->message + n, end, (size_t)tail + 1);
    v->reason = pt_figure_reason(first->figure);
    v->told = l->out;
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
    v->sound = l->broken || l->missing ? 0 : l->judged ? v->sound + 1 : v->sound;
    v->worse = l->worst ? v->worse + 1 : l->judged ? 0 : v->worse;
    v->alike = !l->judged ? v->alike : l->out == v->out ? v->alike + 1 : 1;
    v->out = l->judged ? l->out : v->out;
    bool others = l->out != v->told && v->alike >= m->periods; /* than those that were told */
    if (l->worst && v->worse >= m->periods && !v->retreat) {
        v->retreat = m->retreats;
        v->health = PT_HEALTH_BAD;
        tell_broken(v, m, l->worst, l, f);
    } else if (l->broken && v->bad >= m->periods && (v->health != PT_HEALTH_BAD || others)) {
        v->health = PT_HEALTH_BAD;
        tell_broken(v, m, l->worst ? l->worst : l->broken, l, f);
    } else if (v->good >= m->periods && v->health != PT_HEALTH_GOOD) {
        v->health = PT_HEALTH_GOOD;
        v->retreat = false;
        v->told = 0;
        v->reason = "WithinThresholds";
        snprintf(v->message, sizeof v->message, "%d of %u thresholds could be judged, and hold", l->judged, m->count);
    } else if (v->health == PT_HEALTH_UNKNOWN) {
        tell_unknown(v, m, f);
    }
    v->proven = v->health == PT_HEALTH_GOOD && (v->proven || v->sound >= m->periods);
}

/* The same for the same rules. */
static uint64_t rules_of(const struct pt_monitoring *m)
{
    const double own[] = {(double)m->period_ms, m->min_samples, m->periods, m->retreats};
    uint64_t h = pt_hash64(own, sizeof own, 1);
    for (const struct pt_threshold *t = m->thresholds; t < m->thresholds + m->count; t++) {
        const double of[] = {t->figure, t->least, t->most, t->retreat};
        h = pt_hash64(of, sizeof of, h);
    }
    return h;
}

bool pt_verdict_look(struct pt_verdict *v, const struct pt_monitoring *m, const char *revision, const struct pt_figures *f, int64_t now_ms)
{
    uint64_t rules = rules_of(m);
    bool another = v->rules != rules || strcmp(v->revision, revision) != 0;
    if (another) {
        *v = (struct pt_verdict){.rules = rules, .judged_ms = now_ms, .seen = v->seen};
        snprintf(v->revision, sizeof v->revision, "%s", revision);
        tell_unknown(v, m, f);
    }
    if (v->began && now_ms - v->judged_ms < m->period_ms)
        return another;
    struct pt_verdict was = *v;
    struct look l = look_at(m, f, &v->seen);
    v->began = true;
    v->judged_ms = now_ms;
    decide(v, m, &l, f);
    return another || was.health != v->health || was.proven != v->proven || was.retreat != v->retreat || was.told != v->told || strcmp(was.reason, v->reason) != 0;
}
