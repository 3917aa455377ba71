/* SPDX-License-Identifier: Apache-2.0
 *
 * fft.c: see fft.h. L. I. Bluestein, "A linear filtering approach to the computation of discrete Fourier transform", 1970: with jk = (j^2 + k^2 -
 * (k - j)^2) / 2 the transform becomes a convolution with e^(pi i k^2 / n).
 */
#include "runtime/ops/fft.h"

#include <math.h>
#include <stdbool.h>

#define MAX_LENGTH (1LL << 40)

static int64_t pow2_of(int64_t n)
{
    int64_t p = 1, want = (n & (n - 1)) == 0 ? n : 2 * n - 1;
    while (p < want)
        p *= 2;
    return p;
}

size_t pt_fft_bytes(int64_t n)
{
    if (n > MAX_LENGTH)
        return SIZE_MAX;
    int64_t p = pow2_of(n);
    return (size_t)(p / 2 + 1 + 2 * p + n) * sizeof(double complex);
}

static double complex turn(double fraction)
{
    return cos(2 * M_PI * fraction) + sin(2 * M_PI * fraction) * I;
}

/* In place, decimation in time after a bit reversal. */
static void radix2(const struct pt_fft *f, double complex *x)
{
    int64_t n = f->pow2;
    for (int64_t i = 1, j = 0; i < n; i++) {
        int64_t bit = n >> 1;
        for (; j & bit; bit >>= 1)
            j ^= bit;
        j ^= bit;
        if (i < j) {
            double complex t = x[i];
            x[i] = x[j];
            x[j] = t;
        }
    }
    for (int64_t half = 1; half < n; half *= 2)
        for (int64_t i = 0; i < n; i += 2 * half)
            for (int64_t k = 0; k < half; k++) {
                double complex a = x[i + k], w = f->roots[k * (n / 2 / half)], b = x[i + half + k];
                double re = creal(b) * creal(w) - cimag(b) * cimag(w), im = creal(b) * cimag(w) + cimag(b) * creal(w);
                x[i + k] = a + (re + im * I);
                x[i + half + k] = a - (re + im * I);
            }
}

static double complex times(double complex a, double complex b)
{
    return creal(a) * creal(b) - cimag(a) * cimag(b) + (creal(a) * cimag(b) + cimag(a) * creal(b)) * I;
}

void pt_fft_init(struct pt_fft *f, int64_t n, void *memory)
{
    int64_t p = pow2_of(n);
    *f = (struct pt_fft){.n = n, .pow2 = p, .roots = memory};
    for (int64_t k = 0; k < p / 2; k++)
        f->roots[k] = turn(-(double)k / (double)p);
    f->work = f->roots + p / 2 + 1;
    if (p == n)
        return;
    f->kernel = f->work + p;
    f->chirp = f->kernel + p;
    for (int64_t k = 0; k < p; k++)
        f->kernel[k] = 0;
    for (int64_t k = 0; k < n; k++) {
        __extension__ typedef unsigned __int128 wide;
        double fraction = (double)(int64_t)((wide)k * (wide)k % (wide)(2 * n)) / (double)(2 * n); /* exact: the angle of a large square is not */
        f->chirp[k] = turn(-fraction);
        f->kernel[k] = f->kernel[(p - k) % p] = turn(fraction);
    }
    radix2(f, f->kernel);
}

/* The inverse is the transform with real and imaginary parts exchanged before and after. */
static void swap_parts(double complex *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = cimag(x[i]) + creal(x[i]) * I;
}

static void bluestein(const struct pt_fft *f, double complex *x)
{
    int64_t n = f->n, p = f->pow2;
    double complex *w = f->work;
    for (int64_t k = 0; k < p; k++)
        w[k] = k < n ? times(x[k], f->chirp[k]) : 0;
    radix2(f, w);
    for (int64_t k = 0; k < p; k++)
        w[k] = times(w[k], f->kernel[k]);
    swap_parts(w, p);
    radix2(f, w);
    swap_parts(w, p);
    for (int64_t k = 0; k < n; k++)
        x[k] = times(w[k], f->chirp[k]) / (double)p;
}

void pt_fft_run(const struct pt_fft *f, double complex *x, int inverse)
{
    if (inverse)
        swap_parts(x, f->n);
    if (f->chirp)
        bluestein(f, x);
    else
        radix2(f, x);
    if (inverse)
        swap_parts(x, f->n);
}
