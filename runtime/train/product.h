/* SPDX-License-Identifier: Apache-2.0
 *
 * product.h: what the inference of a product's derivative tells the compiler.
 */
#ifndef PT_RUNTIME_TRAIN_PRODUCT_H
#define PT_RUNTIME_TRAIN_PRODUCT_H

#include "runtime/ops/op.h"

struct pt_product_grad {
    int64_t trans[2];
    float alpha;
    int64_t m, n, k;                                   /* op(a) is m x k, op(b) k x n */
    int64_t batch;                                     /* products */
    int rank;                                          /* axes of the batch */
    int64_t dims[PT_MAX_RANK], stride[3][PT_MAX_RANK]; /* of a, b, out; in matrices */
    bool joined;                                       /* a^T b over the whole batch is one product */
    bool dense;                                        /* every product has its own matrices, in order */
};
/* Offsets, in matrices, of a, b and out of product i. */
void pt_product_at(const struct pt_product_grad *p, int64_t i, int64_t at[3]);

#endif
