/* SPDX-License-Identifier: Apache-2.0
 *
 * conv.h: what the inference of a convolution's derivatives tells the compiler.
 */
#ifndef PT_RUNTIME_TRAIN_CONV_H
#define PT_RUNTIME_TRAIN_CONV_H

#include "runtime/ops/conv.h"

struct pt_conv_grad {
    struct pt_conv_params p;
    bool weights;                                     /* of them, or of the image */
    int64_t group_in, group_out, taps, pixels, image; /* channels of a group, sizes of a window, an output and an input plane */
};

#endif
