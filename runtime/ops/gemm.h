/* SPDX-License-Identifier: Apache-2.0
 *
 * gemm.h: what the inference of Gemm and MatMul tells the compiler.
 */
#ifndef PT_RUNTIME_OPS_GEMM_H
#define PT_RUNTIME_OPS_GEMM_H

#include "runtime/ops/op.h"

struct pt_gemm_params {
    float alpha, beta;
    bool trans_a, trans_b;
    int64_t m, n, k;
};

/* C[rows x n]'s element strides for each operand once broadcasting and transpositions are resolved: out axis i of `axes` batch axes. */
struct pt_matmul_params {
    int64_t m, n, k;
    int axes;                                /* batch axes */
    int64_t dims[PT_MAX_RANK];
    int64_t a[PT_MAX_RANK], b[PT_MAX_RANK], c[PT_MAX_RANK]; /* element strides of the batch axes; 0 repeats */
    int64_t a_row, a_col, b_row, b_col, c_row, c_col;       /* of the matrices */
};

#endif
