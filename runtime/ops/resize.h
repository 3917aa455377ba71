/* SPDX-License-Identifier: Apache-2.0
 *
 * resize.h: what Resize and its derivative share: sizes and tables of taps, settled from the operands of Resize.
 */
#ifndef PT_RUNTIME_OPS_RESIZE_H
#define PT_RUNTIME_OPS_RESIZE_H

#include "runtime/ops/resample.h"

enum { PT_RESIZE_NEAREST, PT_RESIZE_LINEAR, PT_RESIZE_CUBIC };

struct pt_resize {
    int mode, transform, nearest, policy;
    int64_t antialias, exclude_outside;
    float extrapolation, cubic_a;
    float scale[PT_MAX_RANK], start[PT_MAX_RANK], end[PT_MAX_RANK];
    float length[PT_MAX_RANK]; /* of the output, before it was made whole */
    bool changes[PT_MAX_RANK];
    size_t work_bytes; /* of one of two buffers between passes */
};

/* Of the operator: params is a struct pt_resize. Scratch is two buffers of work_bytes, then the tables. */
int pt_resize_infer(struct pt_op_ctx *c);
/* Tables of all axes of x, in memory behind the buffers; outside[axis][i]: position i takes the extrapolation value. True: some may. */
bool pt_resize_tables(const struct pt_resize *p, const struct pt_tensor *x, const struct pt_tensor *y, char *scratch, struct pt_taps *taps,
                      bool **outside);
/* y where any of its positions is outside <- value. */
void pt_resize_extrapolate(struct pt_tensor *y, bool *const *outside, float value);

#endif
