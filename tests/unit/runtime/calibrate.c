/* SPDX-License-Identifier: Apache-2.0
 *
 * calibrate.c: observers and ranges against plain definitions on all samples at once.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "runtime/compress/calibrate.h"

#define N 20000
static float samples[N];

static double uniform(void)
{
    static uint64_t s = 7;
    s = s * 6364136223846793005U + 1442695040888963407U;
    return (double)(s >> 11) / 9007199254740992.0;
}

/* A bell with a few far outliers; from the front on small, so that the histogram widens on the way. one_sided: behind a Relu. */
static void make_samples(bool one_sided)
{
    for (int i = 0; i < N; i++) {
        double g = sqrt(-2 * log(1 - uniform())) * cos(6.283185307179586 * uniform());
        samples[i] = (float)(i < 100 ? 0.01 * g : i % 5000 == 4999 ? 20 + g : g + 0.3);
        if (one_sided && samples[i] < 0)
            samples[i] = 0;
    }
}

static struct pt_observer observed(const struct pt_calibration_options *o)
{
    struct pt_observer v;
    struct pt_err err = {0};
    assert_int_equal(pt_observer_init(&v, o, &err), PT_OK);
    for (size_t at = 0, n = 1; at < N; at += n, n = 1 + (n * 7) % 501) {
        size_t take = at + n > N ? N - at : n;
        assert_int_equal(pt_observer_add(&v, samples + at, take, o, NULL, &err), PT_OK);
    }
    return v;
}

static void counts(void **state)
{
    (void)state;
    struct pt_calibration_options o = {.method = PT_CALIBRATE_MSE};
    static uint64_t bins[PT_CALIBRATE_BINS];
    for (int side = 0; side < 2; side++) {
        make_samples(side);
        struct pt_observer v = observed(&o);
        float low = 0, high = 0;
        uint64_t zeros = 0;
        memset(bins, 0, sizeof bins);
        for (int i = 0; i < N; i++) {
            low = fminf(low, samples[i]);
            high = fmaxf(high, samples[i]);
            zeros += samples[i] == 0;
            if (samples[i] != 0)
                bins[(int)floor((double)samples[i] * (PT_CALIBRATE_BINS / 2 / v.reach)) + PT_CALIBRATE_BINS / 2]++;
        }
        assert_true(v.low == low && v.high == high && v.zeros == zeros && v.count == N);
        assert_true(v.reach > (double)high && v.reach <= 2 * (double)high);
        assert_memory_equal(bins, v.bins, sizeof bins);
        pt_observer_finish(&v);
    }
}

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void percentile(void **state)
{
    (void)state;
    static const double shares[] = {99, 99.9, 99.99, 60};
    static float sorted[N];
    for (size_t k = 0; k < 4; k++) {
        struct pt_calibration_options o = {.method = PT_CALIBRATE_PERCENTILE, .percentile = shares[k]};
        make_samples(false);
        struct pt_observer v = observed(&o);
        double bin = 2 * v.reach / PT_CALIBRATE_BINS, out = (100 - shares[k]) / 100 * N;
        memcpy(sorted, samples, sizeof sorted);
        qsort(sorted, N, sizeof *sorted, ascending);
        struct pt_range r = pt_observer_range(&v, &o, false, 256);
        assert_true(r.low <= fminf(0, sorted[(int)(out / 2) + 1]) + (float)bin && r.low >= fminf(0, sorted[(int)(out / 2) - 1]) - (float)bin);
        assert_true(r.high >= sorted[N - 2 - (int)(out / 2)] - (float)bin && r.high <= sorted[N - 1 - (int)(out / 2)] + (float)bin);
        for (int i = 0; i < N; i++)
            sorted[i] = fabsf(samples[i]);
        qsort(sorted, N, sizeof *sorted, ascending);
        r = pt_observer_range(&v, &o, true, 255);
        assert_true(r.high >= sorted[N - 2 - (int)out] - (float)bin && r.high <= sorted[N - 1 - (int)out] + (float)bin);
        pt_observer_finish(&v);
    }
}

static double error_of(const struct pt_grid *g)
{
    double sum = 0;
    for (int i = 0; i < N; i++) {
        double off = (double)samples[i] - (double)pt_grid_real(g, pt_grid_integer(g, samples[i]));
        sum += off * off;
    }
    return sum;
}

/* No end of 40 x 40 tried on the samples themselves is better by more than what bins cost. */
static void mean_squared_error(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++)
        for (int symmetric = 0; symmetric < 2; symmetric++) {
            struct pt_calibration_options o = {.method = PT_CALIBRATE_MSE};
            make_samples(side);
            struct pt_observer v = observed(&o);
            struct pt_grid g = pt_grid_make(pt_observer_range(&v, &o, symmetric, symmetric ? 255 : 256), 8, true, symmetric);
            double best = INFINITY, got = error_of(&g);
            for (int a = 1; a <= 40; a++)
                for (int b = 1; b <= 40; b++) {
                    struct pt_grid t = pt_grid_make((struct pt_range){v.low * (float)a / 40, v.high * (float)b / 40}, 8, true, symmetric);
                    best = fmin(best, error_of(&t));
                }
            assert_true(got <= 1.02 * best);
            pt_observer_finish(&v);
        }
}

#define FINE 4096

/* The divergence of bins [begin, end) from its steps, written from the definition. */
static double divergence_of(const double *p, int begin, int end, int levels)
{
    static double a[FINE], b[FINE];
    double mass = 0, inside = 0, sum = 0;
    int n = end - begin;
    for (int i = 0; i < FINE; i++) {
        mass += p[i];
        inside += i >= begin && i < end ? p[i] : 0;
    }
    for (int i = 0; i < n; i++)
        a[i] = p[begin + i];
    for (int i = 0; i < FINE; i++)
        a[i < begin ? 0 : n - 1] += i < begin || i >= end ? p[i] : 0;
    for (int k = 0; k < levels; k++) {
        double all = 0, filled = 0;
        for (int i = k * n / levels; i < (k + 1) * n / levels; i++) {
            all += p[begin + i];
            filled += p[begin + i] > 0;
        }
        for (int i = k * n / levels; i < (k + 1) * n / levels; i++)
            b[i] = p[begin + i] > 0 ? all / filled / inside : 1e-4 / mass;
    }
    for (int i = 0; i < n; i++)
        if (a[i] > 0)
            sum += a[i] / mass * log(a[i] / mass / b[i]);
    return sum;
}

/* Every candidate, with 4 bits, where the outliers are cut off, and with 8, where they would be more error than the steps are. */
static void check_entropy(bool one_sided, int bits)
{
    static double p[FINE];
    struct pt_calibration_options o = {.method = PT_CALIBRATE_ENTROPY};
    make_samples(one_sided);
    struct pt_observer v = observed(&o);
    double low = fmin(0, (double)v.low), high = (double)v.high, best = INFINITY, per = FINE / 2 / v.reach, from = low, to = high, whole = 0;
    memset(p, 0, sizeof p);
    for (int i = 0; i < N; i++)
        if (samples[i] != 0)
            p[(int)floor((double)samples[i] * per) + FINE / 2]++;
    for (int k = (int)ceil(fmax(-low, high) * per), most = k; k > 0; k -= 4) {
        double l = fmax(low, -k / per), h = fmin(high, k / per);
        int begin = FINE / 2 + (int)floor(l * per), end = FINE / 2 + (int)ceil(h * per);
        struct pt_grid g = pt_grid_make((struct pt_range){(float)l, (float)h}, bits, true, false);
        whole = k == most ? error_of(&g) : whole;
        if (end - begin < 1 << bits || (k < most && error_of(&g) > 0.75 * whole))
            continue;
        double d = divergence_of(p, begin, end, 1 << bits);
        if (d < best) {
            best = d;
            from = l;
            to = h;
        }
    }
    struct pt_range r = pt_observer_range(&v, &o, false, 1 << bits);
    assert_true(fabs((double)r.high - to) <= 4.01 / per && fabs((double)r.low - from) <= 4.01 / per);
    assert_true(bits == 4 ? r.high < 10 : r.high == v.high);
    assert_true(one_sided ? r.low == 0 : r.low < 0);
    pt_observer_finish(&v);
}

static void entropy(void **state)
{
    (void)state;
    for (int bits = 4; bits <= 8; bits += 4) {
        check_entropy(false, bits);
        check_entropy(true, bits);
    }
}

static void least_and_greatest(void **state)
{
    (void)state;
    struct pt_calibration_options o = {.method = PT_CALIBRATE_AVERAGE, .average = 0.25};
    struct pt_observer v;
    struct pt_err err = {0};
    size_t bad = 0;
    assert_int_equal(pt_observer_init(&v, &o, &err), PT_OK);
    assert_true(pt_observer_range(&v, &o, false, 256).high == 0);
    pt_observer_add(&v, (const float[]){-1, 4}, 2, &o, NULL, &err);
    pt_observer_add(&v, (const float[]){-3, 8}, 2, &o, NULL, &err);
    struct pt_range r = pt_observer_range(&v, &o, false, 256);
    assert_true(r.low == -1.5F && r.high == 5);
    o.method = PT_CALIBRATE_MINMAX;
    r = pt_observer_range(&v, &o, false, 256);
    assert_true(r.low == -3 && r.high == 8);
    assert_int_equal(pt_observer_add(&v, (const float[]){1, NAN}, 2, &o, &bad, &err), PT_EINVAL);
    assert_int_equal(bad, 1);
    assert_string_equal(err.msg, "element 1 is nan");
    assert_int_equal(pt_observer_add(&v, (const float[]){-INFINITY}, 1, &o, NULL, &err), PT_EINVAL);
    pt_observer_finish(&v);
}

/* What a grid holds comes back within half a scale, zero exactly. */
static void grids(void **state)
{
    (void)state;
    static const struct pt_range ranges[] = {{-1, 1}, {0, 6}, {-0.1F, 30}, {-5, 0}, {-3e-5F, 1e-5F}, {-1e30F, 3e30F}, {2, 9}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        for (int kind = 0; kind < 12; kind++) {
            int bits = kind % 3 == 0 ? 8 : kind % 3 == 1 ? 7 : 4;
            bool is_signed = kind / 3 % 2, symmetric = kind >= 6;
            struct pt_grid g = pt_grid_make(ranges[i], bits, is_signed, symmetric);
            assert_true(g.zero >= g.low && g.zero <= g.high && pt_grid_real(&g, pt_grid_integer(&g, 0)) == 0);
            assert_true(!symmetric || g.zero - g.low == g.high - g.zero);
            float low = fminf(0, ranges[i].low), high = fmaxf(0, ranges[i].high);
            for (int k = 0; k <= 1000; k++) {
                float x = low + (high - low) * (float)k / 1000, back = pt_grid_real(&g, pt_grid_integer(&g, x));
                float outmost = k == 0 || k == 1000 ? 1.001F : 0.5001F; /* rounding the zero point moves the ends */
                assert_true(fabsf(x - back) <= (x < pt_grid_real(&g, g.low) || x > pt_grid_real(&g, g.high) ? 1.001F : outmost) * g.scale);
            }
            assert_int_equal(pt_grid_integer(&g, INFINITY), g.high);
            assert_int_equal(pt_grid_integer(&g, -INFINITY), g.low);
        }
    struct pt_grid none = pt_grid_make((struct pt_range){0, 0}, 8, false, false);
    assert_true(none.scale == 1 && none.zero == 0);
    struct pt_grid g = pt_grid_make((struct pt_range){-127, 127}, 8, true, true);
    assert_int_equal(pt_grid_integer(&g, 0.5F), 0); /* half to even */
    assert_int_equal(pt_grid_integer(&g, 1.5F), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(counts),  cmocka_unit_test(percentile),         cmocka_unit_test(mean_squared_error),
                                       cmocka_unit_test(entropy), cmocka_unit_test(least_and_greatest), cmocka_unit_test(grids)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
