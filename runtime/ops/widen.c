/* SPDX-License-Identifier: Apache-2.0
 *
 * widen.c: see widen.h.
 */
#include "runtime/ops/widen.h"

#define ALIGN 64

static bool is_half(const struct pt_tensor *t)
{
    return t && (PT_T(t->dtype) & PT_TS_HALF);
}

static size_t round_up(size_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

static size_t heads_bytes(const struct pt_op_ctx *c)
{
    size_t n = (size_t)c->in_count + (size_t)c->out_count;
    return round_up(n * (sizeof(struct pt_tensor) + sizeof(struct pt_tensor *)));
}

static const struct pt_tensor *operand(const struct pt_op_ctx *c, int i)
{
    return i < c->in_count ? c->in[i] : c->out[i - c->in_count];
}

size_t pt_widen_bytes(const struct pt_op_ctx *c)
{
    size_t bytes = 0;
    for (int i = 0; i < c->in_count + c->out_count; i++) {
        const struct pt_tensor *t = operand(c, i);
        if (is_half(t) && __builtin_add_overflow(bytes, round_up(2 * t->size_bytes), &bytes))
            return SIZE_MAX;
    }
    return bytes ? heads_bytes(c) + bytes : 0;
}

static void widen(const struct pt_tensor *half, float *out)
{
    const uint16_t *h = half->data;
    size_t n = half->size_bytes / sizeof *h;
    if (half->dtype == PT_FLOAT16)
        for (size_t i = 0; i < n; i++)
            out[i] = pt_f16_to_f32(h[i]);
    else
        for (size_t i = 0; i < n; i++)
            out[i] = pt_bf16_to_f32(h[i]);
}

static void narrow(const float *x, const struct pt_tensor *half)
{
    uint16_t *h = half->data;
    size_t n = half->size_bytes / sizeof *h;
    if (half->dtype == PT_FLOAT16)
        for (size_t i = 0; i < n; i++)
            h[i] = pt_f32_to_f16(x[i]);
    else
        for (size_t i = 0; i < n; i++)
            h[i] = pt_f32_to_bf16(x[i]);
}

int pt_widen_run(struct pt_op_ctx *c)
{
    int count = c->in_count + c->out_count;
    size_t bytes = pt_widen_bytes(c);
    if (!bytes)
        return c->node->op->run(c);
    struct pt_tensor *heads = c->scratch;
    struct pt_tensor **list = (void *)(heads + count);
    char *data = (char *)c->scratch + heads_bytes(c);
    for (int i = 0; i < count; i++) {
        const struct pt_tensor *t = operand(c, i);
        if (t)
            heads[i] = *t;
        list[i] = t ? &heads[i] : NULL;
        if (!is_half(t))
            continue;
        heads[i].dtype = PT_FLOAT;
        heads[i].size_bytes = 2 * t->size_bytes;
        heads[i].data = data;
        data += round_up(heads[i].size_bytes);
        if (i < c->in_count)
            widen(t, heads[i].data);
    }
    struct pt_op_ctx wide = *c;
    wide.in = (const struct pt_tensor *const *)(void *)list;
    wide.out = list + c->in_count;
    wide.scratch = data;
    int rc = c->node->op->run(&wide);
    for (int i = c->in_count; rc == PT_OK && i < count; i++)
        if (list[i] && is_half(operand(c, i)))
            narrow(heads[i].data, operand(c, i));
    return rc;
}
