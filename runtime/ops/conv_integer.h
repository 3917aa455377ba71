/* SPDX-License-Identifier: Apache-2.0
 *
 * conv_integer.h: what the inference of ConvInteger and QLinearConv tells the compiler.
 */
#ifndef PT_RUNTIME_OPS_CONV_INTEGER_H
#define PT_RUNTIME_OPS_CONV_INTEGER_H

#include "runtime/ops/conv.h"
#include "runtime/ops/quant.h"

struct pt_int_conv_params {
    struct pt_conv_params conv;
    int x, w; /* operands */
    int x_zero, w_zero;
    int64_t x_channel, y_channel; /* element strides of image and result: */
    int64_t x_pixel, y_pixel;
};

#endif
