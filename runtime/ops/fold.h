/* SPDX-License-Identifier: Apache-2.0
 *
 * fold.h: the reverse of cutting an image into windows: values at the taps of windows are added up where the taps lie.
 */
#ifndef PT_RUNTIME_OPS_FOLD_H
#define PT_RUNTIME_OPS_FOLD_H

#include "runtime/ops/window.h"

/* image[w->in] += values[w->out], value o at tap `tap` (a position in the kernel) of window o. Any arithmetic type. */
void pt_fold_tap(enum pt_dtype dtype, const struct pt_window *w, const int64_t *tap, const void *values, void *image);

/* tap <- the next position in the kernel, row by row; false after the last. Start with zeros. */
static inline bool pt_next_tap(const struct pt_window *w, int64_t *tap)
{
    for (int a = w->axes - 1; a >= 0; a--) {
        if (++tap[a] < w->kernel[a])
            return true;
        tap[a] = 0;
    }
    return false;
}

#endif
