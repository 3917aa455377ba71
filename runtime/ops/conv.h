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

/* Reads the attributes, checks that image, weights and bias (or NULL) fit, fills p and sets output 0. */
int pt_conv_plan(struct pt_op_ctx *c, struct pt_conv_params *p, const struct pt_tensor *x, const struct pt_tensor *w, const struct pt_tensor *b,
                 enum pt_dtype type);

#endif
