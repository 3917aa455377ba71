/* SPDX-License-Identifier: Apache-2.0
 *
 * joined_attention.h: what the inference of JoinedAttention tells the compiler. No model can name the operator: rewrite_attention.c makes it of
 * the nodes that exporters write for scaled dot-product attention, and it means exactly what they mean, broadcasting included:
 *
 *     y = MatMul(Softmax(z), v),    z = MatMul(q, kt) * scale, with `choice` and `bias` applied
 *
 * Operands: q, kt, v, then any of scale (one number), choice (bool) and bias (added). Where choice differs from `keep`, z is `fill`.
 */
#ifndef PT_RUNTIME_OPS_JOINED_ATTENTION_H
#define PT_RUNTIME_OPS_JOINED_ATTENTION_H

#include "runtime/ops/op.h"

enum pt_joined { PT_JOINED_Q, PT_JOINED_KT, PT_JOINED_V, PT_JOINED_SCALE, PT_JOINED_CHOICE, PT_JOINED_BIAS, PT_JOINED_COUNT };

struct pt_joined_attention_params {
    int64_t m, n, width, v_width; /* queries, keys */
    int axes;                     /* batch axes of the result, which has two more */
    int64_t dims[PT_MAX_RANK];
    float alpha, fill;
    bool divide; /* by scale */
    bool keep;
    bool bias_last; /* bias is added after the choice */
    bool zero_nan;  /* weights that are NaN count as 0 */
};

extern const struct pt_op pt_op_joined_attention;

#endif
