/* SPDX-License-Identifier: Apache-2.0
 *
 * calibrate.h: the range that a value shall have as an integer, found from what it was in samples. Functions of numbers; nothing of models.
 *
 * An observer sees the samples of one value, batch after batch, in bounded memory: the least and the greatest, their moving averages, and a histogram
 * of PT_CALIBRATE_BINS bins over [-reach, reach]. When something lies outside, reach doubles and neighbouring bins become one, so every count stays
 * where it belongs and one pass is enough. Zeros are counted apart: they are always represented exactly.
 */
#ifndef PT_RUNTIME_COMPRESS_CALIBRATE_H
#define PT_RUNTIME_COMPRESS_CALIBRATE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pt_calibration {
    PT_CALIBRATE_MINMAX,
    PT_CALIBRATE_AVERAGE,    /* moving averages of each batch's least and greatest (Jacob et al. 2018) */
    PT_CALIBRATE_PERCENTILE, /* cuts off (100 - percentile) / 2 on both sides; symmetric: 100 - percentile of |x| */
    PT_CALIBRATE_ENTROPY,    /* least Kullback-Leibler divergence between the cut distribution and the rounded one (Migacz 2017), of
                              ranges that clearly make the squared error smaller, or the whole one */
    PT_CALIBRATE_MSE         /* least mean squared error of the rounded values */
};
struct pt_calibration_options {
    enum pt_calibration method;
    double percentile; /* 0: 99.999 */
    double average;    /* weight of a new batch; 0: 0.01 */
    int64_t batch;     /* samples of a batch; 0: what the model fixes, else up to 32 */
    int64_t samples;   /* only so many of the samples; 0: all */
};

#define PT_CALIBRATE_BINS 8192 /* even */

struct pt_observer {
    float low, high; /* least and greatest so far; low > high: nothing was seen */
    double average_low, average_high;
    double reach;          /* 0: only zeros were seen */
    uint64_t zeros, count; /* count: with zeros */
    uint64_t *bins;        /* bin i: [-reach + i w, -reach + (i + 1) w), w = 2 reach / PT_CALIBRATE_BINS; NULL: not asked for */
};
struct pt_range {
    float low, high; /* low <= 0 <= high */
};

/* With bins when the method needs them. */
int pt_observer_init(struct pt_observer *v, const struct pt_calibration_options *o, struct pt_err *err);
void pt_observer_finish(struct pt_observer *v);
/* One batch. PT_EINVAL on NaN or infinity: *bad (may be NULL) is then its index. */
int pt_observer_add(struct pt_observer *v, const float *x, size_t n, const struct pt_calibration_options *o, size_t *bad, struct pt_err *err);
/* symmetric: the range will be used as [-max, max]; levels: integers that represent it, 255 or 256 (int4: 15, 16). Always contains 0. Nothing seen:
 * [0, 0]. */
struct pt_range pt_observer_range(const struct pt_observer *v, const struct pt_calibration_options *o, bool symmetric, int levels);

/* --- integers ------------------------------------------------------------------------------------------------------------ */
/* real = scale * (integer - zero), low <= integer <= high. */
struct pt_grid {
    float scale;
    int32_t zero, low, high;
};
/* The grid of a range; symmetric: zero is in the middle, and integers are as many on both sides (-127 to 127). bits 8, 7 (reduced range) or 4. A
 * range of nothing has scale 1. */
struct pt_grid pt_grid_make(struct pt_range r, int bits, bool is_signed, bool symmetric);
/* Round half to even, then clamp. */
int32_t pt_grid_integer(const struct pt_grid *g, float x);
static inline float pt_grid_real(const struct pt_grid *g, int32_t q)
{
    return g->scale * (float)(q - g->zero);
}

#endif
