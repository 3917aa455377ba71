/* SPDX-License-Identifier: Apache-2.0
 *
 * attention.h: scaled dot-product attention on operands that lie anywhere, for the operators that are built on it.
 *
 *     y[b, h] = softmax(softcap(scale q[b, h] k[b, h / group]') + mask) v[b, h / group],    group = heads / kv_heads
 *
 * Operands are read and written where they are: strides count elements from one batch, head and position to the next; the width is contiguous.
 * One part of the queries is worked on at a time, so that memory grows with the length of the keys and not with its square.
 */
#ifndef PT_RUNTIME_OPS_ATTENTION_H
#define PT_RUNTIME_OPS_ATTENTION_H

#include "runtime/ops/op.h"

enum pt_attention_stage { PT_ATTENTION_PRODUCT, PT_ATTENTION_CAPPED, PT_ATTENTION_MASKED, PT_ATTENTION_WEIGHTS };

struct pt_attention_operand {
    void *data;
    int64_t stride[3]; /* batch, head, position */
};

struct pt_attention {
    enum pt_dtype dtype; /* of q, k, v, y and the stage: float32 or float64 */
    int64_t batch, heads, kv_heads, q_len, kv_len, width, v_width;
    struct pt_attention_operand q, k, v, y;
    double scale, softcap; /* softcap 0: none */
    bool causal;           /* query i sees keys up to past + i */
    int64_t past;
    const struct pt_tensor *mask;  /* NULL: none. bool: true takes part; numbers are added */
    int64_t mask_stride[3];        /* batch, head, query; 0 repeats */
    int64_t mask_step, mask_len;   /* of the keys: step 0 or 1; keys from mask_len on are masked out */
    const struct pt_tensor *valid; /* int64[batch] or NULL: keys of each batch that count */
    enum pt_attention_stage stage;
    void *stage_out; /* [batch, heads, q_len, kv_len] or NULL */
};

/* Sizes and dtype must be set; SIZE_MAX when they are too large. */
size_t pt_attention_scratch(const struct pt_attention *a);
void pt_attention_run(const struct pt_attention *a, void *scratch, struct pt_threads *threads);

/* The two products alone, for whoever does something else between them: scores <- scale q k' and y <- weights v, both [batch, heads, q_len, kv_len]
 * in the operands' type. Scratch: pt_attention_packs() bytes. */
size_t pt_attention_packs(const struct pt_attention *a);
void pt_attention_scores(const struct pt_attention *a, void *scores, void *scratch, struct pt_threads *threads);
void pt_attention_apply(const struct pt_attention *a, const void *weights, void *scratch, struct pt_threads *threads);

#endif
