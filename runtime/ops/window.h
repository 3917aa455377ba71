/* SPDX-License-Identifier: Apache-2.0
 *
 * window.h: the sliding window that convolutions and pools share: attributes, padding rules and output sizes, for any number of spatial axes.
 */
#ifndef PT_RUNTIME_WINDOW_H
#define PT_RUNTIME_WINDOW_H

#include "runtime/ops/op.h"

#define PT_WINDOW_AXES 6

struct pt_window {
    int axes;
    int64_t in[PT_WINDOW_AXES], out[PT_WINDOW_AXES], kernel[PT_WINDOW_AXES], stride[PT_WINDOW_AXES], dilation[PT_WINDOW_AXES];
    int64_t pad[PT_WINDOW_AXES], pad_end[PT_WINDOW_AXES];
};

enum pt_auto_pad { PT_PAD_NOTSET, PT_PAD_VALID, PT_PAD_SAME_UPPER, PT_PAD_SAME_LOWER };
/* Reads strides, dilations, pads (0 unless NOTSET) and auto_pad, and checks them together with in and kernel, which the caller has set. */
int pt_window_read(struct pt_op_ctx *c, struct pt_window *w, enum pt_auto_pad *kind);
/* Reads strides, dilations, pads, auto_pad (kernel is set by the caller) and computes out from in. ceil_mode as pools have it. */
int pt_window_infer(struct pt_op_ctx *c, struct pt_window *w, bool ceil_mode);

/* Taps of the window at output position o of one axis that lie inside the image: [*first, *end), and the input index of *first. */
static inline void pt_window_taps(const struct pt_window *w, int axis, int64_t o, int64_t *first, int64_t *end, int64_t *at)
{
    int64_t start = o * w->stride[axis] - w->pad[axis], d = w->dilation[axis];
    *first = start < 0 ? (-start + d - 1) / d : 0;
    *end = start >= w->in[axis] ? 0 : (w->in[axis] - start + d - 1) / d;
    if (*end > w->kernel[axis])
        *end = w->kernel[axis];
    if (*first > *end)
        *first = *end;
    *at = start + *first * d;
}

#endif
