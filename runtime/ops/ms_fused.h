/* SPDX-License-Identifier: Apache-2.0
 *
 * ms_fused.h: what the inference of com.microsoft's fused products and convolutions tells the compiler.
 */
#ifndef PT_RUNTIME_OPS_MS_FUSED_H
#define PT_RUNTIME_OPS_MS_FUSED_H

#include "runtime/ops/conv.h"
#include "runtime/ops/gemm.h"

enum pt_ms_act { PT_MS_NONE, PT_MS_RELU, PT_MS_TANH, PT_MS_SIGMOID, PT_MS_LEAKY_RELU, PT_MS_CLIP, PT_MS_HARD_SIGMOID, PT_MS_HARD_SWISH };
struct pt_ms_activation {
    int kind; /* enum pt_ms_act */
    float p[2];
};

struct pt_ms_fused_conv_params {
    struct pt_conv_params conv; /* first: what is written for Conv reads it */
    struct pt_ms_activation act;
};
struct pt_ms_fused_gemm_params {
    struct pt_gemm_params gemm; /* first: what is written for Gemm reads it */
    struct pt_ms_activation act;
};
struct pt_ms_fused_matmul_params {
    struct pt_matmul_params mm; /* of the operands with their axes in the order that the product sees */
    float alpha;
    int a_order[PT_MAX_RANK], b_order[PT_MAX_RANK]; /* axis of the operand at each place of that order */
    int64_t a_row, a_col, b_row, b_col;
    int64_t a[PT_MAX_RANK], b[PT_MAX_RANK]; /* strides along the batch axes */
};

#endif
