/* SPDX-License-Identifier: Apache-2.0
 *
 * autoscale.c: see autoscale.h.
 */
#include "operator/model/autoscale.h"

#include <math.h>
#include <string.h>

enum { TREND_S = 16, LEAST_S = 2 };

void pt_autoscale_init(struct pt_autoscale *a)
{
    memset(a, 0, sizeof *a);
    a->first_ms = a->panic_ms = -1;
}

static int place(int64_t second)
{
    return (int)(second % PT_AUTOSCALE_SECONDS);
}

void pt_autoscale_observe(struct pt_autoscale *a, int64_t now_ms, double total, bool complete)
{
    int64_t second = now_ms / 1000;
    int i = place(second);
    if (a->first_ms < 0)
        a->first_ms = now_ms;
    if (a->slots[i].second != second) {
        memset(&a->slots[i], 0, sizeof a->slots[i]);
        a->slots[i].second = second;
        a->slots[i].complete = true;
    }
    a->slots[i].sum += (float)total;
    a->slots[i].count += 1;
    a->slots[i].complete = a->slots[i].complete && complete;
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
    for (int64_t s = now - seconds; s < now; s++) {
        int i = place(s < 0 ? 0 : s);
        if (s < 0 || a->slots[i].second != s || a->slots[i].count == 0)
            continue;
        double x = (double)(s - now), y = (double)(a->slots[i].sum / a->slots[i].count);
        v.n++;
        v.most = fmax(v.most, y);
        v.complete = v.complete && a->slots[i].complete;
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

static void remember(struct pt_autoscale *a, int64_t second, double need)
{
    int i = place(second);
    if (a->needs[i].second != second)
        a->needs[i].need = 0;
    a->needs[i].second = second;
    a->needs[i].need = (float)fmax((double)a->needs[i].need, need);
}

static double largest_need(const struct pt_autoscale *a, int64_t now_ms, int64_t window_ms)
{
    double most = 0;
    int64_t now = now_ms / 1000, first = now - window_ms / 1000;
    for (int64_t s = first < 0 ? 0 : first; s <= now; s++)
        if (a->needs[place(s)].second == s)
            most = fmax(most, (double)a->needs[place(s)].need);
    return most;
}

static int64_t clamp_window(int64_t ms)
{
    return ms < 6000 ? 6000 : ms > (PT_AUTOSCALE_SECONDS - 1) * 1000 ? (PT_AUTOSCALE_SECONDS - 1) * 1000 : ms;
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
    struct view fast = look(a, now_ms, panic_s > LEAST_S ? panic_s : LEAST_S), recent = look(a, now_ms, TREND_S),
                stable = look(a, now_ms, stable_ms / 1000);
    struct pt_autoscale_decision d = {.desired = within(c, current), .known = fast.n > 0};
    if (!d.known)
        return d;
    double ahead_s = (double)a->start_ms / 1000 + 1, level = fmax(fast.mean, recent.slope > 0 ? recent.end : 0);
    double grown = level + fmax(0, recent.slope) * ahead_s;
    d.need = fmax(grown, fmin(grown + 2 * recent.spread, recent.most)); /* a load that fell is restless, too, but asks for nothing more */
    remember(a, now_ms / 1000, d.need);
    int up = pods(d.need, c->target), down = pods(fmax(largest_need(a, now_ms, c->scale_down_delay_ms), stable.mean), c->target);
    if (pods(fast.mean, c->target) >= c->panic_threshold * (ready > 0 ? ready : 1))
        a->panic_ms = now_ms;
    d.panic = a->panic_ms >= 0 && now_ms - a->panic_ms < c->scale_down_delay_ms;
    if (up > current)
        d.desired = within(c, up);
    else if (down < current && fast.complete && !d.panic && now_ms - a->first_ms >= c->scale_down_delay_ms) {
        /* one pod less must still be enough with a tenth to spare, or the next breath of the load would bring it back */
        int calm = pods(fmax(largest_need(a, now_ms, c->scale_down_delay_ms), stable.mean) * 1.1, c->target);
        d.desired = within(c, calm < current ? calm : current);
    }
    return d;
}
