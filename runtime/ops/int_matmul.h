/* SPDX-License-Identifier: Apache-2.0
 *
 * int_matmul.h: what the inference of a product of quantised matrices tells the compiler. The result is the sums (MatMulInteger), or numbers,
 * alpha * a_scale * b_scale * sum (+ bias), or those quantised again when there is a y_scale.
 */
#ifndef PT_RUNTIME_OPS_INT_MATMUL_H
#define PT_RUNTIME_OPS_INT_MATMUL_H

#include "runtime/ops/gemm.h"
#include "runtime/ops/quant.h"

struct pt_int_matmul_params {
    struct pt_matmul_params mm;
    float alpha;
    bool trans_a, trans_b;
    bool dynamic; /* A is float, and quantised as a whole to uint8 */
    /* operands; -1: the operator has none. sums: a bias of int32, added to the sums; bias: one of floats, added to the numbers */
    int a, b, a_scale, b_scale, a_zero, b_zero, sums, bias, y_scale, y_zero;
};

#endif
