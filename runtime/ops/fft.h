/* SPDX-License-Identifier: Apache-2.0
 *
 * fft.h: the discrete Fourier transform of any length in double: radix 2 for powers of two, Bluestein's way (a convolution of power-of-two length)
 * for all others.
 */
#ifndef PT_RUNTIME_OPS_FFT_H
#define PT_RUNTIME_OPS_FFT_H

#include <complex.h>
#include <stddef.h>
#include <stdint.h>

struct pt_fft {
    int64_t n, pow2;        /* length; of the transforms underneath */
    double complex *roots;  /* e^(-2 pi i k / pow2), k < pow2 / 2 */
    double complex *chirp;  /* e^(-pi i k^2 / n), k < n; NULL when n is a power of two */
    double complex *kernel; /* transform of the chirp's convolution kernel */
    double complex *work;   /* pow2 */
};

/* Bytes that pt_fft_init wants; SIZE_MAX when n is too large. n >= 1. */
size_t pt_fft_bytes(int64_t n);
void pt_fft_init(struct pt_fft *f, int64_t n, void *memory);
/* x <- its transform (inverse: without the factor 1/n). */
void pt_fft_run(const struct pt_fft *f, double complex *x, int inverse);

#endif
