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

/* MatMul: the batch axes of the result, and for each operand the element strides along them; 0 repeats. Matrices are m x k, k x n, m x n. */
struct pt_matmul_params {
    int64_t m, n, k;
    int axes;
    int64_t dims[PT_MAX_RANK], a[PT_MAX_RANK], b[PT_MAX_RANK], c[PT_MAX_RANK];
};

/* Fills p for the product of a and b as numpy.matmul, and sets output 0. */
int pt_matmul_plan(struct pt_op_ctx *c, struct pt_matmul_params *p, const struct pt_tensor *a, const struct pt_tensor *b, enum pt_dtype type);
/* Where the matrices of batch i begin, in elements. */
void pt_matmul_at(const struct pt_matmul_params *p, int64_t i, int64_t *a, int64_t *b, int64_t *y);

#endif
