/* SPDX-License-Identifier: Apache-2.0
 *
 * calibrate.c: observers and the five ways from what they saw to a range. All but min-max and averages read the histogram.
 */
#include "runtime/compress/calibrate.h"

#include "base/mem.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define BINS PT_CALIBRATE_BINS
#define HALF (BINS / 2)

int pt_observer_init(struct pt_observer *v, const struct pt_calibration_options *o, struct pt_err *err)
{
    *v = (struct pt_observer){.low = INFINITY, .high = -INFINITY};
    if (o->method < PT_CALIBRATE_PERCENTILE)
        return PT_OK;
    v->bins = pt_calloc(BINS, sizeof *v->bins);
    return v->bins ? PT_OK : pt_fail(err, PT_ENOMEM, "out of memory for histograms");
}

void pt_observer_finish(struct pt_observer *v)
{
    pt_free(v->bins);
    *v = (struct pt_observer){.low = INFINITY, .high = -INFINITY};
}

/* --- adding ------------------------------------------------------------------------------------------------------------- */

/* [-reach, reach] becomes [-2 reach, 2 reach]: pairs of bins become one. */
static void widen(struct pt_observer *v)
{
    for (int i = HALF - 1; i >= 0; i -= 2) /* from zero outwards: never over a bin that is still to be read */
        v->bins[BINS / 4 + i / 2] = v->bins[i] + v->bins[i - 1];
    for (int i = HALF; i < BINS; i += 2)
        v->bins[BINS / 4 + i / 2] = v->bins[i] + v->bins[i + 1];
    memset(v->bins, 0, BINS / 4 * sizeof *v->bins);
    memset(v->bins + BINS - BINS / 4, 0, BINS / 4 * sizeof *v->bins);
    v->reach *= 2;
}

static void count(struct pt_observer *v, const float *x, size_t n)
{
    double most = fmax(-(double)v->low, (double)v->high);
    if (v->reach == 0)
        v->reach = 1.0001 * most; /* what lies at the reach itself is in the bin behind it */
    while (v->reach <= most && most > 0)
        widen(v);
    double per = v->reach > 0 ? HALF / v->reach : 0;
    for (size_t i = 0; i < n; i++) {
        if (x[i] == 0) {
            v->zeros++;
            continue;
        }
        v->bins[(int)floor((double)x[i] * per) + HALF]++;
    }
}

int pt_observer_add(struct pt_observer *v, const float *x, size_t n, const struct pt_calibration_options *o, size_t *bad, struct pt_err *err)
{
    float low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) {
            if (bad)
                *bad = i;
            return pt_fail(err, PT_EINVAL, "element %zu is %g", i, (double)x[i]);
        }
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    if (n == 0)
        return PT_OK;
    double rate = o->average > 0 ? o->average : 0.01;
    v->average_low = v->count ? v->average_low + rate * ((double)low - v->average_low) : (double)low;
    v->average_high = v->count ? v->average_high + rate * ((double)high - v->average_high) : (double)high;
    v->low = fminf(v->low, low);
    v->high = fmaxf(v->high, high);
    v->count += n;
    if (v->bins)
        count(v, x, n);
    return PT_OK;
}

/* --- percentile ------------------------------------------------------------------------------------------------------------ */

/* The edge behind which, going from zero in direction `sign`, at most `share` of all samples lie; within a bin they are taken to lie evenly. */
static double cut(const struct pt_observer *v, int sign, double share)
{
    double room = share * (double)v->count, width = v->reach / HALF;
    for (int k = HALF - 1; k >= 0; k--) {
        double in = (double)v->bins[sign > 0 ? HALF + k : HALF - 1 - k];
        if (in > room)
            return width * (k + 1 - room / in);
        room -= in;
    }
    return 0;
}

/* The same of |x|. */
static double cut_both(const struct pt_observer *v, double share)
{
    double room = share * (double)v->count, width = v->reach / HALF;
    for (int k = HALF - 1; k >= 0; k--) {
        double in = (double)v->bins[HALF + k] + (double)v->bins[HALF - 1 - k];
        if (in > room)
            return width * (k + 1 - room / in);
        room -= in;
    }
    return 0;
}

/* --- mean squared error -------------------------------------------------------------------------------------------------------- */

/* Of the samples in the histogram on a grid of so many levels over [low, high], low <= 0 <= high, that holds 0 exactly. */
static double squared_error(const struct pt_observer *v, double low, double high, int levels)
{
    double step = (high - low) / (levels - 1), width = v->reach / HALF, sum = 0;
    if (step <= 0)
        return INFINITY;
    double zero = nearbyint(-low / step);
    for (int i = 0; i < BINS; i++) {
        if (!v->bins[i])
            continue;
        double x = width * (i - HALF + 0.5), q = nearbyint(x / step) + zero;
        q = q < 0 ? 0 : q > levels - 1 ? levels - 1 : q;
        double off = x - step * (q - zero);
        sum += (double)v->bins[i] * off * off;
    }
    return sum;
}

/* Ends shrink together, then each alone: what one end gives up is steps for the other. */
static struct pt_range least_error(const struct pt_observer *v, double low, double high, int levels)
{
    static const struct {
        bool low, high;
    } rounds[] = {{true, true}, {true, false}, {false, true}, {true, false}};
    double best = squared_error(v, low, high, levels);
    for (size_t r = 0; r < sizeof rounds / sizeof *rounds; r++) {
        double from_low = low, from_high = high;
        for (double f = 0.98; f > 0.02; f *= 0.98) {
            double l = rounds[r].low ? f * from_low : from_low, h = rounds[r].high ? f * from_high : from_high;
            double e = squared_error(v, l, h, levels);
            if (e < best) {
                best = e;
                low = l;
                high = h;
            }
        }
    }
    return (struct pt_range){(float)low, (float)high};
}

/* --- entropy -------------------------------------------------------------------------------------------------------------------
 *
 * Kullback and Leibler's divergence between what was seen, what lies outside of a range being at its ends, and the same in as many steps as there are
 * integers. Ranges are looked at that reach equally far from zero, as far as values were seen on that side: so a grid that has no use for negative
 * numbers, or for few, is judged with the steps that it will have.
 *
 * The divergence counts how many values are cut, not how far. Where most are small and the few large ones carry the signal (the first depthwise
 * convolutions of MobileNetV2) it would cut half of the range; so only ranges are taken that make the squared error smaller than the whole one has
 * it, and clearly: what is cut errs in one direction, in all sums that it is part of, while roundings cancel.
 */

#define FINE 4096 /* bins that are looked at */
#define STEP 4    /* bins between two candidates */
#define GAIN 0.75 /* of the whole range's squared error: what a cut must not be above */

/* p: the n bins of the range; below, above: what the cut left out. q: every group of p's bins has its mean on those that are not empty. */
static double divergence(const double *p, int n, double below, double above, int levels)
{
    const double little = 1e-4;
    double mass = below + above, sum = 0, q_mass = 0;
    for (int i = 0; i < n; i++) {
        mass += p[i];
        q_mass += p[i];
    }
    if (mass <= 0 || q_mass <= 0)
        return INFINITY;
    for (int k = 0; k < levels; k++) {
        int begin = (int)((int64_t)k * n / levels), end = (int)((int64_t)(k + 1) * n / levels), filled = 0;
        double group = 0;
        for (int i = begin; i < end; i++) {
            group += p[i];
            filled += p[i] > 0;
        }
        for (int i = begin; i < end; i++) {
            double a = (p[i] + (i == 0 ? below : 0) + (i == n - 1 ? above : 0)) / mass, b = p[i] > 0 ? group / filled / q_mass : 0;
            if (a > 0)
                sum += a * log(a / (b > 0 ? b : little / mass));
        }
    }
    return sum;
}

static double total(const double *p, int begin, int end)
{
    double sum = 0;
    for (int i = begin; i < end; i++)
        sum += p[i];
    return sum;
}

static struct pt_range least_divergence(const struct pt_observer *v, double low, double high, int levels)
{
    double p[FINE] = {0}, best = INFINITY, per = FINE / 2 / v->reach, bound = GAIN * squared_error(v, low, high, levels);
    struct pt_range range = {(float)low, (float)high};
    for (int k = 0; k < BINS; k++) /* zeros are exact on every grid, and would drown everything else */
        p[k * FINE / BINS] += (double)v->bins[k];
    int most = (int)fmin(ceil(fmax(-low, high) * per), FINE / 2);
    for (int k = most; k > 0; k -= STEP) {
        double from = fmax(low, -k / per), to = fmin(high, k / per);
        int begin = FINE / 2 + (int)floor(from * per), end = FINE / 2 + (int)ceil(to * per);
        if (end - begin < levels)
            break;
        double d = divergence(p + begin, end - begin, total(p, 0, begin), total(p, end, FINE), levels);
        if (d < best && (k == most || squared_error(v, from, to, levels) <= bound)) {
            best = d;
            range = (struct pt_range){(float)from, (float)to};
        }
    }
    return range;
}

/* --- ranges ------------------------------------------------------------------------------------------------------------------------ */

static struct pt_range within(double low, double high, const struct pt_observer *v)
{
    return (struct pt_range){fminf(0, fmaxf((float)low, v->low)), fmaxf(0, fminf((float)high, v->high))};
}

struct pt_range pt_observer_range(const struct pt_observer *v, const struct pt_calibration_options *o, bool symmetric, int levels)
{
    double share = 1 - (o->percentile > 0 ? o->percentile : 99.999) / 100;
    if (v->count == 0)
        return (struct pt_range){0, 0};
    double low = fmin(0, (double)v->low), high = fmax(0, (double)v->high), most = fmax(-low, high);
    if (o->method == PT_CALIBRATE_AVERAGE)
        return within(v->average_low, v->average_high, v);
    if (o->method == PT_CALIBRATE_MINMAX || v->reach == 0)
        return (struct pt_range){(float)low, (float)high};
    if (o->method == PT_CALIBRATE_PERCENTILE) {
        if (!symmetric)
            return within(-cut(v, -1, share / 2), cut(v, 1, share / 2), v);
        double t = cut_both(v, share);
        return within(-t, t, v);
    }
    if (o->method == PT_CALIBRATE_ENTROPY) {
        struct pt_range r = least_divergence(v, symmetric ? -most : low, symmetric ? most : high, levels);
        return within((double)r.low, (double)r.high, v);
    }
    if (!symmetric)
        return least_error(v, low, high, levels);
    struct pt_range both = least_error(v, -most, most, levels);
    return within(-fmax(-(double)both.low, (double)both.high), fmax(-(double)both.low, (double)both.high), v);
}

/* --- integers --------------------------------------------------------------------------------------------------------------------- */

struct pt_grid pt_grid_make(struct pt_range r, int bits, bool is_signed, bool symmetric)
{
    struct pt_grid g = {.low = is_signed ? -(1 << (bits - 1)) : 0, .high = (1 << (bits - (is_signed ? 1 : 0))) - 1};
    double low = fmin(0, (double)r.low), high = fmax(0, (double)r.high);
    if (symmetric) {
        g.low++; /* as many on both sides */
        high = fmax(-low, high);
        low = -high;
    }
    g.scale = (float)((high - low) / (g.high - g.low));
    g.zero = symmetric ? (g.low + g.high) / 2 : g.low;
    if (!(g.scale >= FLT_MIN))
        g.scale = 1;
    else if (!symmetric)
        g.zero = (int32_t)fmin(fmax(nearbyint(g.low - low / (double)g.scale), g.low), g.high);
    return g;
}

int32_t pt_grid_integer(const struct pt_grid *g, float x)
{
    float q = nearbyintf(x / g->scale) + (float)g->zero;
    return q < (float)g->low ? g->low : q > (float)g->high ? g->high : (int32_t)q;
}
