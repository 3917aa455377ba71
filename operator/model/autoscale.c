/* SPDX-License-Identifier: Apache-2.0
 *
 * autoscale.c: see autoscale.h.
 */
#include "operator/model/autoscale.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

enum { TREND_S = 16, LEAST_S = 2, BLIND_MS = 3000 /* without an observation: as if it had just begun; shorter than what else keeps a pod for having been silent */ };
/* Of delays: DELAY_S and EACH_S how long a moment counts: that a pod has too much shows before the mean of what it has; SETTLE_MS before what was done can show; FORGET so many times the calm after which what was missed is tried
 * again; the target of a pod begins at FIRST_SHARE of what is configured at least, and shrinks to LEAST_SHARE of it; more than MISS_MOST goals is as bad. */
enum { DELAY_S = 5, EACH_S = 15, SETTLE_MS = 8000, FORGET = 10, FIRST_SHARE = 4, LEAST_SHARE = 32, MISS_MOST = 4 };

static int64_t clamp_window(int64_t ms)
{
    return ms < 6000 ? 6000 : ms > (PT_AUTOSCALE_SECONDS - 1) * 1000 ? (PT_AUTOSCALE_SECONDS - 1) * 1000 : ms;
}

static unsigned seconds_for(const struct pt_autoscale_config *c)
{
    int64_t most = clamp_window(c->stable_ms), delay = clamp_window(c->scale_down_delay_ms);
    most = (most > delay ? most : delay) / 1000;
    return (unsigned)(most > TREND_S ? most : TREND_S) + 2;
}

struct pt_autoscale *pt_autoscale_create(const struct pt_autoscale_config *c)
{
    unsigned seconds = seconds_for(c);
    struct pt_autoscale *a = pt_calloc(1, sizeof *a + seconds * sizeof *a->slots);
    if (!a)
        return NULL;
    a->seconds = seconds;
    a->first_ms = a->panic_ms = a->down_ms = -1;
    return a;
}

bool pt_autoscale_fits(const struct pt_autoscale *a, const struct pt_autoscale_config *c)
{
    return seconds_for(c) <= a->seconds;
}

/* The slot of a second; what was in it before, a ring ago, is forgotten. */
static struct pt_autoscale_slot *slot_of(struct pt_autoscale *a, int64_t second)
{
    struct pt_autoscale_slot *slot = &a->slots[second % a->seconds];
    if (slot->second != (uint32_t)second)
        *slot = (struct pt_autoscale_slot){.second = (uint32_t)second, .complete = true};
    return slot;
}

/* Goes over slots from a second on; a division for each would be most of what looking costs. */
struct walk {
    const struct pt_autoscale *a;
    int64_t second;
    unsigned at;
};

static struct walk walk_from(const struct pt_autoscale *a, int64_t second)
{
    second = second > 0 ? second : 0;
    return (struct walk){a, second, (unsigned)(second % a->seconds)};
}

/* Of the walk's second, to read; NULL: nothing is known of it. */
static inline const struct pt_autoscale_slot *seen(const struct walk *w)
{
    const struct pt_autoscale_slot *slot = &w->a->slots[w->at];
    return slot->second == (uint32_t)w->second ? slot : NULL;
}

static inline void step(struct walk *w)
{
    w->second++;
    w->at = w->at + 1 == w->a->seconds ? 0 : w->at + 1;
}

void pt_autoscale_observe(struct pt_autoscale *a, int64_t now_ms, double total, bool complete)
{
    struct pt_autoscale_slot *slot = slot_of(a, now_ms / 1000);
    if (a->first_ms < 0 || now_ms - a->last_ms > BLIND_MS) /* what came before says little of what was missed */
        a->first_ms = now_ms;
    a->last_ms = now_ms;
    slot->sum += (float)total;
    if (slot->count < UINT16_MAX)
        slot->count++;
    slot->complete = slot->complete && complete;
}

/* --- delays ------------------------------------------------------------------------------------------------------------------ */

static const char *const metric_names[PT_METRIC_COUNT] = {"Concurrency", "RPS", "QueueDelay", "Latency"};

const char *pt_autoscaling_metric_name(enum pt_autoscaling_metric m)
{
    return metric_names[m];
}

int pt_autoscaling_metric_parse(const char *name)
{
    for (int i = 0; i < PT_METRIC_COUNT; i++)
        if (!strcmp(name, metric_names[i]))
            return i;
    return -1;
}

static double at_least(double x, double least)
{
    return x > least ? x : least;
}

/* What one pod carries now is as good a beginning as any when the goal is met: after a restart nothing changes. */
static double first_target(const struct pt_autoscale *a, const struct pt_autoscale_config *c)
{
    return a->delay_s > c->goal_s ? c->target : fmin(c->target, at_least(a->each, c->target / FIRST_SHARE));
}

static int64_t calm_of(const struct pt_autoscale_config *c)
{
    return c->stable_ms > c->scale_down_delay_ms ? c->stable_ms : c->scale_down_delay_ms;
}

void pt_autoscale_delay(struct pt_autoscale *a, const struct pt_autoscale_config *c, int64_t now_ms, double delay_s, double total, int ready, bool complete)
{
    double since_s = (double)(now_ms - a->delay_ms) / 1000;
    bool first = a->target <= 0;
    int64_t patience_ms = a->start_ms + SETTLE_MS, calm_ms = calm_of(c);
    delay_s = fmin(delay_s, MISS_MOST * c->goal_s); /* a moment that was very bad must not be looked at for minutes */
    a->delay_s += (first ? 1 : 1 - exp(-since_s / DELAY_S)) * (delay_s - a->delay_s);
    a->each += (first ? 1 : 1 - exp(-since_s / EACH_S)) * (total / (ready > 0 ? ready : 1) - a->each);
    a->delay_ms = now_ms;
    if (first) {
        a->target = first_target(a, c);
        a->changed_ms = now_ms;
    }
    if (now_ms - a->changed_ms < patience_ms) { /* what was asked for is still on its way: what is seen until then is no judgement on it */
        a->delay_s = fmin(a->delay_s, 0.75 * c->goal_s);
        return;
    }
    if (a->delay_s > c->goal_s) {
        a->missed_ms = now_ms;
        if (a->each > 1.05 * a->target) /* pods are missing; what one may carry is another question */
            return;
        double was = fmin(a->target, at_least(a->each, c->target / LEAST_SHARE));
        a->ceiling = 0.9 * was;
        a->target = at_least(was * at_least(c->goal_s / a->delay_s, 0.7), c->target / LEAST_SHARE);
        a->changed_ms = now_ms;
        return;
    }
    if (now_ms - a->missed_ms > FORGET * calm_ms)
        a->ceiling = 0;
    /* no further than one pod less asks for: that is the next thing to try */
    double tried = ready > 1 ? 1.15 * a->each * ready / (ready - 1) : 0;
    if (!complete || a->target >= tried || a->delay_s > c->goal_s / 2 || now_ms - a->changed_ms < calm_ms)
        return;
    double most = fmin(tried, a->ceiling > 0 ? a->ceiling : 2 * c->target);
    a->target = at_least(a->target, fmin(1.2 * a->target, most));
    a->changed_ms = now_ms;
}

/* One pod less was one too few, though the load caught up with it before the delay told. */
static void went_too_far(struct pt_autoscale *a, const struct pt_autoscale_config *c, int64_t now_ms)
{
    a->ceiling = a->target = at_least(0.9 * a->target, c->target / LEAST_SHARE);
    a->missed_ms = a->changed_ms = now_ms;
    a->down_ms = -1;
}

void pt_autoscale_started(struct pt_autoscale *a, int64_t took_ms)
{
    a->start_ms += a->start_ms ? (took_ms - a->start_ms) / 4 : took_ms;
}

/* --- looking back ------------------------------------------------------------------------------------------------------------ */

struct view {
    int n;              /* seconds with observations */
    double mean, slope; /* per second, at the end of the line */
    double end, spread; /* of the line through them: its value now; the standard deviation about it */
    double most;        /* of a second */
    bool complete;
};

/* The last `seconds` before now, the present second left out while it fills. */
static struct view look(const struct pt_autoscale *a, int64_t now_ms, int64_t seconds)
{
    struct view v = {.complete = true};
    double x1 = 0, x2 = 0, y1 = 0, y2 = 0, xy = 0;
    int64_t now = now_ms / 1000;
    for (struct walk w = walk_from(a, now - seconds); w.second < now; step(&w)) {
        const struct pt_autoscale_slot *slot = seen(&w);
        if (!slot || slot->count == 0)
            continue;
        double x = (double)(w.second - now), y = (double)(slot->sum / slot->count);
        v.n++;
        v.most = at_least(y, v.most);
        v.complete = v.complete && slot->complete;
        x1 += x;
        x2 += x * x;
        y1 += y;
        y2 += y * y;
        xy += x * y;
    }
    if (v.n == 0)
        return v;
    double n = v.n, den = n * x2 - x1 * x1;
    v.mean = y1 / n;
    v.slope = den > 0 ? (n * xy - x1 * y1) / den : 0;
    v.end = v.mean - v.slope * x1 / n;
    double about = y2 - y1 * y1 / n - (den > 0 ? v.slope * (n * xy - x1 * y1) / n : 0);
    v.spread = v.n > 2 ? sqrt(fmax(0, about) / (n - 2)) : 0;
    /* a slope that noise could have made is none */
    double doubt = den > 0 ? 2 * v.spread * sqrt(n / den) : 0;
    if (fabs(v.slope) <= doubt) {
        v.slope = 0;
        v.end = v.mean;
    }
    return v;
}

/* Its mean alone. */
static double mean_of(const struct pt_autoscale *a, int64_t now_ms, int64_t seconds)
{
    double sum = 0, n = 0;
    for (struct walk w = walk_from(a, now_ms / 1000 - seconds); w.second < now_ms / 1000; step(&w)) {
        const struct pt_autoscale_slot *slot = seen(&w);
        if (!slot || slot->count == 0)
            continue;
        sum += (double)(slot->sum / slot->count);
        n++;
    }
    return n > 0 ? sum / n : 0;
}

static void remember(struct pt_autoscale *a, int64_t second, double need)
{
    struct pt_autoscale_slot *slot = slot_of(a, second);
    slot->need = fmaxf(slot->need, (float)need);
}

static double largest_need(const struct pt_autoscale *a, int64_t now_ms, int64_t window_ms)
{
    double most = 0;
    for (struct walk w = walk_from(a, now_ms / 1000 - window_ms / 1000); w.second <= now_ms / 1000; step(&w)) {
        const struct pt_autoscale_slot *slot = seen(&w);
        most = slot ? at_least((double)slot->need, most) : most;
    }
    return most;
}

/* --- deciding ------------------------------------------------------------------------------------------------------------------ */

static int pods(double load, double target)
{
    double n = ceil(load / target - 1e-9);
    return n < 0 ? 0 : n > 1000000 ? 1000000 : (int)n;
}

static int within(const struct pt_autoscale_config *c, int n)
{
    return n < c->min ? c->min : n > c->max ? c->max : n;
}

struct pt_autoscale_decision pt_autoscale_decide(struct pt_autoscale *a, const struct pt_autoscale_config *c, int64_t now_ms, int current, int ready)
{
    int64_t stable_ms = clamp_window(c->stable_ms), panic_s = (int64_t)((double)stable_ms / 1000 * c->panic_window);
    struct view fast = look(a, now_ms, panic_s > LEAST_S ? panic_s : LEAST_S), recent = look(a, now_ms, TREND_S);
    struct pt_autoscale_decision d = {.desired = within(c, current), .known = fast.n > 0};
    double target = c->goal_s > 0 && a->target > 0 ? a->target : c->target;
    if (!d.known)
        return d;
    double ahead_s = (double)a->start_ms / 1000 + 1, level = fmax(fast.mean, recent.slope > 0 ? recent.end : 0);
    double grown = level + fmax(0, recent.slope) * ahead_s;
    d.need = fmax(grown, fmin(grown + 2 * recent.spread, recent.most)); /* a load that fell is restless, too, but asks for nothing more */
    remember(a, now_ms / 1000, d.need);
    int up = pods(d.need, target);
    if (pods(fast.mean, target) >= c->panic_threshold * (ready > 0 ? ready : 1))
        a->panic_ms = now_ms;
    d.panic = a->panic_ms >= 0 && now_ms - a->panic_ms < c->scale_down_delay_ms;
    if (up > current) {
        d.desired = within(c, up);
        if (a->down_ms >= 0 && now_ms - a->down_ms < calm_of(c) && d.desired > current && c->goal_s > 0)
            went_too_far(a, c, now_ms);
    } else if (current > c->min && fast.complete && !d.panic && now_ms - a->first_ms >= c->scale_down_delay_ms) {
        double lasting = fmax(largest_need(a, now_ms, c->scale_down_delay_ms), mean_of(a, now_ms, stable_ms / 1000));
        /* one pod less must still be enough with a tenth to spare, or the next breath of the load would bring it back */
        int calm = pods(lasting * 1.1, target);
        d.desired = within(c, calm < current ? calm : current);
        a->down_ms = d.desired < current ? now_ms : a->down_ms;
    }
    return d;
}
