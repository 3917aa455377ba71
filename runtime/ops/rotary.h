/* SPDX-License-Identifier: Apache-2.0
 *
 * rotary.h: rotary position embedding on float32 heads that lie anywhere, for the operators that are built on it.
 *
 * Of each head's `width` elements the first 2 * half are taken as pairs (neighbours when interleaved, else i and i + half) and turned by the angle of
 * the token's position; cos and sin are rows of `half` values. The others are copied.
 */
#ifndef PT_RUNTIME_OPS_ROTARY_H
#define PT_RUNTIME_OPS_ROTARY_H

#include "runtime/ops/op.h"

struct pt_rotary {
    int64_t batch, heads, length, width, half;
    bool interleaved;
    const float *x, *cos, *sin;
    float *y;                         /* may be x */
    int64_t x_stride[3], y_stride[3]; /* elements from one batch, head, token to the next */
    const int64_t *row;               /* [batch][length]: row of cos and sin; NULL: row b * length + token */
};
void pt_rotary_run(const struct pt_rotary *r, struct pt_threads *threads);

#endif
