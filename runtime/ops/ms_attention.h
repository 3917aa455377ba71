/* SPDX-License-Identifier: Apache-2.0
 *
 * ms_attention.h: what com.microsoft's attention operators share around attention.h: keys and values that are put behind those of earlier
 * calls, and one additive mask made of padding, windows and a bias.
 *
 * Everything is float32 here. `plan` is called in infer, once the sizes are set; `run` in run, once the operands are. Scratch memory is c->scratch
 * from scratch_at on.
 */
#ifndef PT_RUNTIME_OPS_MS_ATTENTION_H
#define PT_RUNTIME_OPS_MS_ATTENTION_H

#include "runtime/ops/attention.h"
#include "runtime/ops/op.h"

struct pt_ms_attention {
    /* sizes */
    int64_t batch, heads, kv_heads, q_len, width, v_width;
    int64_t new_len; /* keys of this call */
    int64_t total;   /* keys that queries may see: places in the joined buffers when `joined`, else new_len */
    bool joined;     /* keys and values are copied into buffers [batch, kv_heads, total, width]: there are earlier ones, or they are an output */
    bool masked;     /* there is a mask to make */
    float scale, softcap;
    bool causal; /* query i sees keys up to the last i - q_len + total */
    size_t scratch_at, mask_at, k_at, v_at, core_at;

    /* operands */
    struct pt_attention_operand q, k, v, y;
    const float *past_k, *past_v; /* [batch, kv_heads, past_room, width], or NULL */
    int64_t past_room;
    const int64_t *past;                                                             /* per batch: how many of them count; NULL: past_room */
    float *present_k, *present_v;                                                    /* outputs, or NULL: scratch */
    void (*fill_mask)(const void *arg, int64_t b, int64_t h, int64_t q, float *row); /* row[total], zeros at first */
    const void *mask_arg;
};

/* Adds to *total room for count floats; false when that is too large. *at: where the room begins. */
bool pt_ms_room(size_t *total, int64_t count, size_t *at);
int pt_ms_attention_plan(struct pt_op_ctx *c, struct pt_ms_attention *a);
int pt_ms_attention_run(struct pt_op_ctx *c, const struct pt_ms_attention *a);

/* The mask input of Attention, MultiHeadAttention and QAttention: ends of sequences [B] or [2B] (ends, then starts), or zeros where a key is hidden:
 * [B,T], [B,S,T]. */
int pt_ms_check_key_mask(struct pt_op_ctx *c, int i, const struct pt_ms_attention *a);
int pt_ms_check_bias(struct pt_op_ctx *c, int i, const struct pt_ms_attention *a);
struct pt_ms_mask {
    const struct pt_tensor *keys, *bias; /* or NULL */
    float filter;                        /* what is added to a hidden key */
    int64_t batch, q_len, total;
};
void pt_ms_fill_mask(const void *mask, int64_t b, int64_t h, int64_t q, float *row);

#endif
