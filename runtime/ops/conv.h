/* SPDX-License-Identifier: Apache-2.0
 *
 * conv.h: what Conv's inference tells the compiler.
 */
#ifndef PT_RUNTIME_OPS_CONV_H
#define PT_RUNTIME_OPS_CONV_H

#include "runtime/ops/window.h"

struct pt_conv_params {
    struct pt_window w;
    int64_t groups;
};

#endif
