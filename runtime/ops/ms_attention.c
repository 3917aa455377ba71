/* SPDX-License-Identifier: Apache-2.0
 *
 * ms_attention.c: see ms_attention.h.
 */
#include "runtime/ops/ms_attention.h"

#include <math.h>

bool pt_ms_room(size_t *total, int64_t count, size_t *at)
{
    size_t bytes;
    *at = *total;
    return count >= 0 && !__builtin_mul_overflow((size_t)count, sizeof(float), &bytes) && bytes < SIZE_MAX / 4 &&
           !__builtin_add_overflow(*total, (bytes + 63) / 64 * 64, total);
}

static bool product(int64_t a, int64_t b, int64_t c, int64_t d, int64_t *out)
{
    return !__builtin_mul_overflow(a, b, out) && !__builtin_mul_overflow(*out, c, out) && !__builtin_mul_overflow(*out, d, out);
}

static struct pt_attention core_of(const struct pt_ms_attention *a)
{
    return (struct pt_attention){.dtype = PT_FLOAT,
                                 .batch = a->batch,
                                 .heads = a->heads,
                                 .kv_heads = a->kv_heads,
                                 .q_len = a->q_len,
                                 .kv_len = a->total,
                                 .width = a->width,
                                 .v_width = a->v_width,
                                 .scale = (double)a->scale,
                                 .softcap = (double)a->softcap,
                                 .causal = a->causal,
                                 .past = a->total - a->q_len};
}

int pt_ms_attention_plan(struct pt_op_ctx *c, struct pt_ms_attention *a)
{
    int64_t k = 0, v = 0, mask = 0;
    struct pt_attention core = core_of(a);
    size_t core_bytes = pt_attention_scratch(&core), at = a->scratch_at;
    bool fits =
        core_bytes != SIZE_MAX && (!a->masked || product(a->batch, a->heads, a->q_len, a->total, &mask)) &&
        (!a->joined || (product(a->batch, a->kv_heads, a->total, a->width, &k) && product(a->batch, a->kv_heads, a->total, a->v_width, &v))) &&
        pt_ms_room(&at, mask, &a->mask_at) && pt_ms_room(&at, k, &a->k_at) && pt_ms_room(&at, v, &a->v_at);
    a->core_at = at;
    if (!fits || __builtin_add_overflow(at, core_bytes, &c->scratch_bytes))
        return pt_op_fail(c, PT_ELIMIT, "attention of %lld queries to %lld keys is too large", (long long)a->q_len, (long long)a->total);
    return PT_OK;
}

/* dst [batch, kv_heads, total, width]: what counts of the past, then the new ones, then zeros. */
static void join(const struct pt_ms_attention *a, const float *past, const struct pt_attention_operand *now, int64_t width, float *dst)
{
    for (int64_t b = 0; b < a->batch; b++)
        for (int64_t h = 0; h < a->kv_heads; h++) {
            float *row = dst + (b * a->kv_heads + h) * a->total * width;
            int64_t n = !past ? 0 : a->past ? a->past[b] : a->past_room;
            if (n)
                memmove(row, past + (b * a->kv_heads + h) * a->past_room * width, (size_t)(n * width) * sizeof *row);
            for (int64_t i = 0; i < a->new_len; i++)
                memcpy(row + (n + i) * width, (const float *)now->data + b * now->stride[0] + h * now->stride[1] + i * now->stride[2],
                       (size_t)width * sizeof *row);
            memset(row + (n + a->new_len) * width, 0, (size_t)((a->total - n - a->new_len) * width) * sizeof *row);
        }
}

static struct pt_attention_operand joined(const struct pt_ms_attention *a, float *data, int64_t width)
{
    return (struct pt_attention_operand){data, {a->kv_heads * a->total * width, a->total * width, width}};
}

int pt_ms_attention_run(struct pt_op_ctx *c, const struct pt_ms_attention *a)
{
    char *scratch = c->scratch;
    struct pt_attention core = core_of(a);
    struct pt_tensor mask = {.dtype = PT_FLOAT, .rank = 4, .dims = {a->batch, a->heads, a->q_len, a->total}, .data = scratch + a->mask_at};
    core.q = a->q;
    core.k = a->k;
    core.v = a->v;
    core.y = a->y;
    if (a->joined) {
        float *k = a->present_k ? a->present_k : (float *)(void *)(scratch + a->k_at);
        float *v = a->present_v ? a->present_v : (float *)(void *)(scratch + a->v_at);
        join(a, a->past_k, &a->k, a->width, k);
        join(a, a->past_v, &a->v, a->v_width, v);
        core.k = joined(a, k, a->width);
        core.v = joined(a, v, a->v_width);
    }
    if (a->masked) {
        float *row = mask.data;
        memset(row, 0, (size_t)(a->batch * a->heads * a->q_len * a->total) * sizeof *row);
        for (int64_t i = 0; i < a->batch * a->heads * a->q_len; i++, row += a->total)
            a->fill_mask(a->mask_arg, i / a->q_len / a->heads, i / a->q_len % a->heads, i % a->q_len, row);
        core.mask = &mask;
        core.mask_stride[0] = a->heads * a->q_len * a->total;
        core.mask_stride[1] = a->q_len * a->total;
        core.mask_stride[2] = a->total;
        core.mask_step = 1;
        core.mask_len = a->total;
    }
    pt_attention_run(&core, scratch + a->core_at, c->threads);
    return PT_OK;
}

/* --- masks ------------------------------------------------------------------------------------------------------------------------------ */

int pt_ms_check_key_mask(struct pt_op_ctx *c, int i, const struct pt_ms_attention *a)
{
    const struct pt_tensor *t = pt_op_in(c, i);
    if (!t)
        return PT_OK;
    bool fits = t->dtype == PT_INT32;
    if (t->rank == 1)
        fits = fits && (t->dims[0] == a->batch || t->dims[0] == 2 * a->batch);
    else if (t->rank == 2)
        fits = fits && t->dims[0] == a->batch && t->dims[1] == a->total;
    else
        fits = fits && t->rank == 3 && t->dims[0] == a->batch && t->dims[1] == a->q_len && t->dims[2] == a->total;
    if (fits)
        return PT_OK;
    return pt_op_fail(c, PT_EUNSUPPORTED, "input %d (mask) is %s; supported are int32 of [%lld], [%lld,%lld] and [%lld,%lld,%lld]", i, PT_SHAPE(t),
                      (long long)a->batch, (long long)a->batch, (long long)a->total, (long long)a->batch, (long long)a->q_len, (long long)a->total);
}

int pt_ms_check_bias(struct pt_op_ctx *c, int i, const struct pt_ms_attention *a)
{
    const struct pt_tensor *t = pt_op_in(c, i);
    if (!t || (t->rank == 4 && (PT_TS_REAL & PT_T(t->dtype)) && (t->dims[0] == 1 || t->dims[0] == a->batch) &&
               (t->dims[1] == 1 || t->dims[1] == a->heads) && t->dims[2] == a->q_len && t->dims[3] == a->total))
        return PT_OK;
    return pt_op_fail(c, PT_EINVAL, "input %d (attention bias) is %s, must be [1 or %lld, 1 or %lld, %lld, %lld]", i, PT_SHAPE(t),
                      (long long)a->batch, (long long)a->heads, (long long)a->q_len, (long long)a->total);
}

void pt_ms_fill_mask(const void *mask, int64_t b, int64_t h, int64_t q, float *row)
{
    const struct pt_ms_mask *m = mask;
    const int32_t *keys = m->keys ? m->keys->data : NULL;
    bool ends = keys && m->keys->rank == 1;
    int64_t end = ends ? keys[b] : 0, start = ends && m->keys->dims[0] == 2 * m->batch ? keys[m->batch + b] : 0;
    if (keys && !ends)
        keys += (m->keys->rank == 2 ? b : b * m->q_len + q) * m->total;
    for (int64_t t = 0; t < m->total; t++)
        if (ends ? t >= end || t < start : keys && keys[t] <= 0)
            row[t] = m->filter;
    if (m->bias) {
        int64_t at = (m->bias->dims[0] == 1 ? 0 : b) * m->bias->dims[1] + (m->bias->dims[1] == 1 ? 0 : h);
        const float *bias = (const float *)m->bias->data + (at * m->q_len + q) * m->total;
        for (int64_t t = 0; t < m->total; t++)
            row[t] += bias[t];
    }
}
