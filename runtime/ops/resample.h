/* SPDX-License-Identifier: Apache-2.0
 *
 * resample.h: interpolation along axes. Every output position of an axis is a weighted sum of `width` input positions; a table says which. Tables
 * of several axes are applied one after the other.
 */
#ifndef PT_RUNTIME_OPS_RESAMPLE_H
#define PT_RUNTIME_OPS_RESAMPLE_H

#include "runtime/ops/op.h"

struct pt_taps {
    int64_t in, out;
    int width;
    int64_t *at; /* [out][width], all in [0, in) */
    float *w;    /* [out][width]; NULL: every weight is 1 and width is 1 */
};

/* Elements of at and w. */
static inline size_t pt_taps_count(const struct pt_taps *t)
{
    return (size_t)t->out * (size_t)t->width;
}

/* y <- x ([outer, in, inner]) resampled to [outer, out, inner], float32 or float64. */
void pt_resample(const struct pt_taps *t, enum pt_dtype dtype, int64_t outer, int64_t inner, const void *x, void *y, struct pt_threads *threads);

/* The derivative of that: dx ([outer, in, inner]) <- every element of dy ([outer, out, inner]) times its weights, added where it was taken from. */
void pt_resample_back(const struct pt_taps *t, enum pt_dtype dtype, int64_t outer, int64_t inner, const void *dy, void *dx,
                      struct pt_threads *threads);

/* y <- x gathered along all axes of y (taps of width 1, one table per axis), any element type of `size` bytes. */
void pt_resample_nearest(const struct pt_taps *t, int rank, size_t size, const void *x, void *y, struct pt_threads *threads);

#endif
