/* SPDX-License-Identifier: Apache-2.0
 *
 * monitor_stats.c: see monitor_stats.h.
 */
#include "sidecar/monitor_stats.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

/* --- samples ------------------------------------------------------------------------------------------------------------------------ */

size_t pt_points_distinct(const struct pt_point *p, size_t n)
{
    size_t distinct = n > 0;
    for (size_t i = 1; i < n; i++)
        distinct += p[i].value > p[i - 1].value;
    return distinct;
}

double pt_points_mean(const struct pt_point *p, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += p[i].weight * p[i].value;
    return sum / pt_points_weight(p, n);
}

double pt_points_deviation(const struct pt_point *p, size_t n)
{
    double mean = pt_points_mean(p, n), sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += p[i].weight * (p[i].value - mean) * (p[i].value - mean);
    return sqrt(sum / pt_points_weight(p, n));
}

/* --- distances between distribution functions -------------------------------------------------------------------------------------- */

/* Goes through both by value. f gets both distribution functions behind each value and the way to the next one. */
struct walk {
    double gap_max, area;
};

static struct walk walk(const struct pt_point *a, size_t an, const struct pt_point *b, size_t bn)
{
    struct walk w = {0};
    double a_all = pt_points_weight(a, an), b_all = pt_points_weight(b, bn), a_sum = 0, b_sum = 0;
    for (size_t i = 0, k = 0; i < an || k < bn;) {
        double at = i < an && (k == bn || a[i].value <= b[k].value) ? a[i].value : b[k].value;
        while (i < an && a[i].value <= at)
            a_sum += a[i++].weight;
        while (k < bn && b[k].value <= at)
            b_sum += b[k++].weight;
        double gap = fabs(a_sum / a_all - b_sum / b_all);
        double next = i < an && (k == bn || a[i].value <= b[k].value) ? a[i].value : k < bn ? b[k].value : at;
        w.gap_max = gap > w.gap_max ? gap : w.gap_max;
        w.area += gap * (next - at);
    }
    return w;
}

double pt_stat_ks(const struct pt_point *a, size_t an, const struct pt_point *b, size_t bn)
{
    return an && bn ? walk(a, an, b, bn).gap_max : NAN;
}

double pt_stat_wasserstein(const struct pt_point *a, size_t an, const struct pt_point *b, size_t bn)
{
    return an && bn ? walk(a, an, b, bn).area : NAN;
}

/* Kolmogorov's distribution; two series, each quick where the other is not. */
double pt_stat_ks_p(double d, double an, double bn)
{
    double x = sqrt(an * bn / (an + bn)) * d, sum = 0;
    if (!(x > 0))
        return x == 0 ? 1 : NAN;
    if (x < 0.9) {
        for (int k = 1; k < 20; k++)
            sum += exp(-(2 * k - 1) * (2 * k - 1) * M_PI * M_PI / (8 * x * x));
        return 1 - sqrt(2 * M_PI) / x * sum;
    }
    for (int k = 1; k < 20; k++)
        sum += (k % 2 ? 2 : -2) * exp(-2.0 * k * k * x * x);
    return sum;
}

/* --- shares -------------------------------------------------------------------------------------------------------------------------- */

enum { FEW = 20 };

static size_t shares_by_value(const struct pt_point *a, size_t an, const struct pt_point *b, size_t bn, double *a_share, double *b_share)
{
    double a_all = pt_points_weight(a, an), b_all = pt_points_weight(b, bn);
    size_t n = 0;
    for (size_t i = 0, k = 0; i < an || k < bn; n++) {
        double at = i < an && (k == bn || a[i].value <= b[k].value) ? a[i].value : b[k].value;
        a_share[n] = b_share[n] = 0;
        while (i < an && a[i].value <= at)
            a_share[n] += a[i++].weight / a_all;
        while (k < bn && b[k].value <= at)
            b_share[n] += b[k++].weight / b_all;
    }
    return n;
}

static void fill_bins(const struct pt_point *p, size_t n, double first, double step, size_t bins, double last, double *share)
{
    double all = pt_points_weight(p, n);
    size_t bin = 0;
    for (size_t i = 0; i < bins; i++)
        share[i] = 0;
    for (size_t i = 0; i < n; i++) { /* sorted: the bin only goes up; the last one has its upper edge too */
        while (bin + 1 < bins && p[i].value >= (bin + 1 == bins ? last : first + (double)(bin + 1) * step))
            bin++;
        share[bin] += p[i].weight / all;
    }
}

size_t pt_stat_shares(const struct pt_point *a, size_t an, const struct pt_point *b, size_t bn, bool categorical, double *a_share, double *b_share)
{
    if (!an || !bn)
        return 0;
    if (categorical || pt_points_distinct(a, an) <= FEW)
        return shares_by_value(a, an, b, bn, a_share, b_share);
    double first = a[0].value < b[0].value ? a[0].value : b[0].value;
    double last = a[an - 1].value > b[bn - 1].value ? a[an - 1].value : b[bn - 1].value;
    double width = (last - first) / (log2((double)(an + bn)) + 1);
    size_t bins = (size_t)ceil((last - first) / width);
    double step = (last - first) / (double)bins;
    fill_bins(a, an, first, step, bins, last, a_share);
    fill_bins(b, bn, first, step, bins, last, b_share);
    return bins;
}

/* What an empty bin counts as. */
static double least_share(const double *p, size_t n)
{
    double least = INFINITY;
    for (size_t i = 0; i < n; i++)
        if (p[i] > 0 && p[i] < least)
            least = p[i];
    return least <= 0.0001 ? least / 1e6 : 0.0001;
}

double pt_stat_psi(const double *a, const double *b, size_t n)
{
    double a_zero = least_share(a, n), b_zero = least_share(b, n), sum = 0;
    for (size_t i = 0; i < n; i++) {
        double x = a[i] > 0 ? a[i] : a_zero, y = b[i] > 0 ? b[i] : b_zero;
        sum += (x - y) * log(x / y);
    }
    return n ? sum : NAN;
}

double pt_stat_js(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double middle = (a[i] + b[i]) / 2;
        sum += (a[i] > 0 ? a[i] * log(a[i] / middle) : 0) + (b[i] > 0 ? b[i] * log(b[i] / middle) : 0);
    }
    return n ? sqrt(sum > 0 ? sum / 2 : 0) : NAN;
}

/* Series below a + 1, continued fraction (Lentz) above. */
double pt_stat_gamma_q(double a, double x)
{
    int sign;
    if (!(x >= 0) || !(a > 0))
        return NAN;
    if (x == 0)
        return 1;
    double front = exp(a * log(x) - x - lgamma_r(a, &sign));
    if (x < a + 1) {
        double term = 1 / a, sum = term;
        for (int i = 1; i < 10000 && term > sum * 1e-16; i++)
            sum += term *= x / (a + i);
        return 1 - front * sum;
    }
    double b = x + 1 - a, c = 1e300, d = 1 / b, h = d;
    for (int i = 1; i < 10000; i++) {
        double an = -i * (i - a);
        b += 2;
        d = 1 / (an * d + b);
        c = b + an / c;
        h *= d * c;
        if (fabs(d * c - 1) < 1e-16)
            break;
    }
    return front * h;
}

double pt_stat_chi2_p(const double *a, const double *b, size_t n, double b_count)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (a[i] == 0) /* it was never seen: no chance is as small */
            return 0;
        sum += b_count * (b[i] - a[i]) * (b[i] - a[i]) / a[i];
    }
    return n > 1 ? pt_stat_gamma_q((double)(n - 1) / 2, sum / 2) : n == 1 ? 1 : NAN;
}

double pt_stat_z_p(const double *a, const double *b, size_t n, double a_count, double b_count)
{
    if (n != 2)
        return NAN;
    double all = (a[0] * a_count + b[0] * b_count) / (a_count + b_count), spread = all * (1 - all) * (1 / a_count + 1 / b_count);
    return spread > 0 ? erfc(fabs(a[0] - b[0]) / sqrt(spread) / M_SQRT2) : 1;
}

/* --- scores -------------------------------------------------------------------------------------------------------------------------- */

static bool are_probabilities(const float *s, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (!(s[i] >= 0 && s[i] <= 1))
            return false;
        sum += (double)s[i];
    }
    return n == 1 || fabs(sum - 1) < 1e-3;
}

bool pt_stat_probabilities(const float *s, size_t n, bool *logits, float *out)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(s[i]))
            return false;
    bool given = are_probabilities(s, n);
    if (n == 1) {
        *logits |= !given;
        out[1] = *logits ? 1 / (1 + expf(-s[0])) : s[0];
        out[0] = 1 - out[1];
        return true;
    }
    float most = s[0], sum = 0;
    for (size_t i = 1; i < n; i++)
        most = s[i] > most ? s[i] : most;
    for (size_t i = 0; i < n; i++)
        sum += out[i] = given ? s[i] : expf(s[i] - most);
    for (size_t i = 0; !given && i < n; i++)
        out[i] /= sum;
    return true;
}
