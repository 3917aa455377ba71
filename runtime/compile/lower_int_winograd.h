/* SPDX-License-Identifier: Apache-2.0
 *
 * lower_int_winograd.h: 3 x 3 convolutions of integers with fewer multiplications, exactly.
 */
#ifndef PT_RUNTIME_LOWER_INT_WINOGRAD_H
#define PT_RUNTIME_LOWER_INT_WINOGRAD_H

#include "runtime/kernels/kernels.h"

struct pt_int_wino {
    size_t channels, n, out_h, out_w; /* channels and n are multiples of 8 */
    size_t tiles_w, tiles, blocks;    /* tiles 0: not used */
    size_t row;                       /* elements of a row of the image, which has rows and columns for whole tiles */
    size_t plane_bytes;               /* packed, of one of 16 matrices */
};

/* How the result is cut into tiles, if a 3 x 3 convolution of these sizes with stride 1 is exact this way and worth it: weights less their zero point
 * are at most `most`. `row` is left to the caller. */
void pt_int_wino_init(struct pt_int_wino *w, const struct pt_kernels *k, size_t channels, size_t n, size_t out_h, size_t out_w, int32_t most,
                      size_t threads);
size_t pt_int_wino_pack_size(const struct pt_int_wino *w);
/* filters: [n][9][channels]; work: n * channels int16. */
void pt_int_wino_pack(const struct pt_int_wino *w, const struct pt_kernels *k, const int16_t *filters, int16_t *work, void *packed);

/* Sums of `count` pixels of one row of the result, from pixel `first` on, for n channels from `channel` on: acc[pixel][n]. */
typedef void (*pt_int_wino_put_fn)(const void *arg, size_t channel, size_t n, size_t first, size_t count, const int32_t *acc);
size_t pt_int_wino_work_bytes(const struct pt_int_wino *w);
void pt_int_wino_block(const struct pt_int_wino *w, const int16_t *x, const void *packed, size_t block, void *work, pt_int_wino_put_fn put,
                       const void *arg);

#endif
