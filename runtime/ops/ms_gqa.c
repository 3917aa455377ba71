/* SPDX-License-Identifier: Apache-2.0
 *
 * ms_gqa.c: com.microsoft's GroupQueryAttention: query, key, value (or all in one), past key, past value, seqlens_k (keys of each batch, less
 * one), total_sequence_length (of the longest batch), cos_cache, sin_cache, position_ids, attention_bias.
 *
 * The caches are [batch, kv_heads, room, width]. In the first call (the queries are all the keys) batches are padded at the right, later ones follow
 * their own past; so each batch has its own place for the new keys.
 */
#include "runtime/ops/ms_attention.h"
#include "runtime/ops/quant.h"
#include "runtime/ops/rotary.h"

#include <math.h>

enum { Q, K, V, PAST_K, PAST_V, LENGTHS, TOTAL, COS, SIN, POSITIONS, BIAS, SINK };

struct params {
    struct pt_ms_attention a;
    int64_t window; /* -1: none */
    int64_t half;   /* 0: no rotation */
    bool interleaved, packed, first_call;
    size_t rotated_q_at, rotated_k_at, rows_at, past_at;
};

static int read_attributes(struct pt_op_ctx *c, struct params *p)
{
    static const char *const refused[] = {"smooth_softmax", "qk_output", "kv_cache_bit_width"};
    struct pt_ms_attention *a = &p->a;
    int64_t rotary, interleaved, none;
    int rc;
    if ((rc = pt_attr_int(c, "num_heads", 0, 1, INT32_MAX, &a->heads)) < 0 ||
        (rc = pt_attr_int(c, "kv_num_heads", 0, 1, INT32_MAX, &a->kv_heads)) < 0 || (rc = pt_attr_float(c, "scale", 0, &a->scale)) < 0 ||
        (rc = pt_attr_float(c, "softcap", 0, &a->softcap)) < 0 || (rc = pt_attr_int(c, "local_window_size", -1, -1, INT32_MAX, &p->window)) < 0 ||
        (rc = pt_attr_int(c, "do_rotary", 0, 0, 1, &rotary)) < 0 || (rc = pt_attr_int(c, "rotary_interleaved", 0, 0, 1, &interleaved)) < 0)
        return rc;
    if (a->heads < 1 || a->kv_heads < 1 || a->heads % a->kv_heads)
        return pt_op_fail(c, PT_EINVAL, "attributes 'num_heads' = %lld and 'kv_num_heads' = %lld do not make groups", (long long)a->heads,
                          (long long)a->kv_heads);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        if ((rc = pt_attr_int(c, refused[i], 0, INT64_MIN, INT64_MAX, &none)) < 0)
            return rc;
        if (none > 0)
            return pt_op_fail(c, PT_EUNSUPPORTED, "attribute '%s' = %lld is not supported", refused[i], (long long)none);
    }
    p->interleaved = interleaved != 0;
    p->half = rotary;
    return PT_OK;
}

static int read_shapes(struct pt_op_ctx *c, struct params *p)
{
    struct pt_ms_attention *a = &p->a;
    const struct pt_tensor *q = c->in[Q], *k = pt_op_in(c, K), *v = pt_op_in(c, V);
    p->packed = !k && !v;
    int64_t heads = p->packed ? a->heads + 2 * a->kv_heads : a->heads;
    if (q->rank != 3 || q->dims[2] % heads || pt_tensor_count(q) == 0)
        return pt_op_fail(c, PT_EINVAL, "query %s does not divide into %lld heads", PT_SHAPE(q), (long long)heads);
    a->batch = q->dims[0];
    a->q_len = a->new_len = q->dims[1];
    a->width = a->v_width = q->dims[2] / heads;
    for (int i = K; !p->packed && i <= V; i++) {
        const struct pt_tensor *t = pt_op_in(c, i);
        if (!t || t->rank != 3 || t->dims[0] != a->batch || t->dims[1] != a->q_len || t->dims[2] != a->kv_heads * a->width)
            return pt_op_fail(c, PT_EINVAL, "input %d is %s, must be [%lld,%lld,%lld]", i, t ? PT_SHAPE(t) : "not given", (long long)a->batch,
                              (long long)a->q_len, (long long)(a->kv_heads * a->width));
    }
    return PT_OK;
}

static int read_cache(struct pt_op_ctx *c, struct params *p)
{
    struct pt_ms_attention *a = &p->a;
    const struct pt_tensor *lengths = pt_op_in(c, LENGTHS), *total = pt_op_in(c, TOTAL);
    for (int i = PAST_K; i <= PAST_V; i++) {
        const struct pt_tensor *t = pt_op_in(c, i);
        if (t && (t->rank != 4 || t->dims[0] != a->batch || t->dims[1] != a->kv_heads || t->dims[3] != a->width))
            return pt_op_fail(c, PT_EINVAL, "input %d (past) is %s, must be [%lld,%lld,past,%lld]", i, PT_SHAPE(t), (long long)a->batch,
                              (long long)a->kv_heads, (long long)a->width);
        if (t)
            a->past_room = t->dims[2];
    }
    if (!pt_op_in(c, PAST_K) != !pt_op_in(c, PAST_V) || (pt_op_in(c, PAST_K) && pt_op_in(c, PAST_K)->dims[2] != pt_op_in(c, PAST_V)->dims[2]))
        return pt_op_fail(c, PT_EINVAL, "past key and past value must both be given, of one length, or neither");
    if (!lengths || lengths->dtype != PT_INT32 || pt_tensor_count(lengths) != a->batch)
        return pt_op_fail(c, PT_EINVAL, "input 5 (seqlens_k) is %s, must be int32[%lld]", lengths ? PT_SHAPE(lengths) : "not given",
                          (long long)a->batch);
    if (!total || total->dtype != PT_INT32 || pt_tensor_count(total) != 1)
        return pt_op_fail(c, PT_EINVAL, "input 6 (total_sequence_length) is %s, must be one int32", total ? PT_SHAPE(total) : "not given");
    if (!total->data)
        return pt_op_needs_data(c, TOTAL, "total_sequence_length");
    int64_t longest = pt_elem_i64(total, 0);
    if (longest < a->q_len)
        return pt_op_fail(c, PT_EINVAL, "input 6 (total_sequence_length) is %lld, below the %lld queries", (long long)longest, (long long)a->q_len);
    p->first_call = longest == a->q_len;
    a->total = longest > a->past_room ? longest : a->past_room;
    return PT_OK;
}

static int read_rotary(struct pt_op_ctx *c, struct params *p)
{
    const struct pt_ms_attention *a = &p->a;
    const struct pt_tensor *cos = pt_op_in(c, COS), *sin = pt_op_in(c, SIN), *ids = pt_op_in(c, POSITIONS);
    if (!p->half)
        return PT_OK;
    if (!cos || !sin || cos->rank != 2 || !pt_dims_equal(cos, sin) || cos->dims[1] * 2 > a->width || cos->dims[1] < 1)
        return pt_op_fail(c, PT_EINVAL, "inputs 7 and 8 (cos_cache %s, sin_cache %s) do not fit heads of %lld", cos ? PT_SHAPE(cos) : "(none)",
                          sin ? PT_SHAPE(sin) : "(none)", (long long)a->width);
    if (ids && (ids->dtype != PT_INT64 || ids->rank != 2 || ids->dims[0] != a->batch || ids->dims[1] != a->q_len))
        return pt_op_fail(c, PT_EINVAL, "input 9 (position_ids) is %s, must be int64[%lld,%lld]", PT_SHAPE(ids), (long long)a->batch,
                          (long long)a->q_len);
    p->half = cos->dims[1];
    return PT_OK;
}

static int infer(struct pt_op_ctx *c)
{
    static const int floats[] = {Q, K, V, PAST_K, PAST_V, COS, SIN, BIAS};
    struct params *p = c->params;
    struct pt_ms_attention *a = &p->a;
    int rc = PT_OK;
    for (size_t i = 0; rc == PT_OK && i < sizeof floats / sizeof *floats; i++)
        rc = pt_quant_type(c, floats[i], "operand", PT_T(PT_FLOAT) | PT_TS_HALF);
    if (rc == PT_OK && pt_op_in(c, SINK))
        rc = pt_op_fail(c, PT_EUNSUPPORTED, "input 11 (head_sink) is not supported");
    if (rc < 0 || (rc = read_attributes(c, p)) < 0 || (rc = read_shapes(c, p)) < 0 || (rc = read_cache(c, p)) < 0 || (rc = read_rotary(c, p)) < 0 ||
        (rc = pt_ms_check_bias(c, BIAS, a)) < 0)
        return rc;
    if (a->scale == 0)
        a->scale = 1 / sqrtf((float)a->width);
    a->joined = a->masked = true;
    int64_t tokens = a->batch * a->q_len;
    if (!pt_ms_room(&a->scratch_at, p->half ? tokens * a->heads * a->width : 0, &p->rotated_q_at) ||
        !pt_ms_room(&a->scratch_at, p->half ? tokens * a->kv_heads * a->width : 0, &p->rotated_k_at) ||
        !pt_ms_room(&a->scratch_at, 2 * tokens, &p->rows_at) || !pt_ms_room(&a->scratch_at, 2 * a->batch, &p->past_at))
        return pt_op_fail(c, PT_ELIMIT, "the operands are too large");
    const int64_t y[3] = {a->batch, a->q_len, a->heads * a->width}, kv[4] = {a->batch, a->kv_heads, a->total, a->width};
    pt_op_set_out(c, 0, c->in[Q]->dtype, 3, y);
    pt_op_set_out(c, 1, c->in[Q]->dtype, 4, kv);
    pt_op_set_out(c, 2, c->in[Q]->dtype, 4, kv);
    return pt_ms_attention_plan(c, a);
}

/* --- run ---------------------------------------------------------------------------------------------------------------------------------- */

struct window_mask {
    struct pt_ms_mask common;
    const int64_t *past;
    const int32_t *lengths;
    int64_t window;
};

static void fill_mask(const void *mask, int64_t b, int64_t h, int64_t q, float *row)
{
    const struct window_mask *m = mask;
    int64_t end = m->past[b] + q + 1, start = m->window > 0 && end > m->window ? end - m->window : 0, keys = m->lengths[b] + (int64_t)1;
    end = end < keys ? end : keys; /* queries in the padding see what is before it */
    pt_ms_fill_mask(&m->common, b, h, q, row);
    for (int64_t t = 0; t < m->common.total; t++)
        if (t < start || t >= end)
            row[t] = -INFINITY;
}

static int read_past(struct pt_op_ctx *c, const struct params *p, int64_t *past, int64_t *rows)
{
    const struct pt_ms_attention *a = &p->a;
    const struct pt_tensor *ids = pt_op_in(c, POSITIONS);
    for (int64_t b = 0; b < a->batch; b++) {
        int64_t keys = ((const int32_t *)c->in[LENGTHS]->data)[b] + (int64_t)1;
        past[b] = p->first_call ? 0 : keys - a->q_len;
        if (past[b] < 0 || past[b] > a->past_room || past[b] + a->q_len > a->total)
            return pt_op_fail(c, PT_EINVAL, "input 5 (seqlens_k) of batch %lld is %lld: %lld queries and a past of %lld make no sense with it",
                              (long long)b, (long long)(keys - 1), (long long)a->q_len, (long long)a->past_room);
        for (int64_t s = 0; p->half && s < a->q_len; s++) {
            int64_t *at = &rows[b * a->q_len + s];
            *at = ids ? ((const int64_t *)ids->data)[b * a->q_len + s] : past[b] + s;
            if (*at < 0 || *at >= c->in[COS]->dims[0])
                return pt_op_fail(c, PT_EINVAL, "position %lld is outside the %lld of the cache", (long long)*at, (long long)c->in[COS]->dims[0]);
        }
    }
    return PT_OK;
}

static struct pt_attention_operand rotate(struct pt_op_ctx *c, const struct params *p, struct pt_attention_operand x, int64_t heads,
                                          const int64_t *rows, float *dst)
{
    const struct pt_ms_attention *a = &p->a;
    if (!p->half)
        return x;
    struct pt_rotary r = {.batch = a->batch,
                          .heads = heads,
                          .length = a->q_len,
                          .width = a->width,
                          .half = p->half,
                          .interleaved = p->interleaved,
                          .x = x.data,
                          .cos = c->in[COS]->data,
                          .sin = c->in[SIN]->data,
                          .y = dst,
                          .row = rows,
                          .y_stride = {a->q_len * heads * a->width, a->width, heads * a->width}};
    memcpy(r.x_stride, x.stride, sizeof r.x_stride);
    pt_rotary_run(&r, c->threads);
    struct pt_attention_operand y = {dst, {r.y_stride[0], r.y_stride[1], r.y_stride[2]}};
    return y;
}

static struct pt_attention_operand rows_of(const struct pt_tensor *t, int64_t first, int64_t width)
{
    return (struct pt_attention_operand){(float *)t->data + first, {t->dims[1] * t->dims[2], width, t->dims[2]}};
}

static int run(struct pt_op_ctx *c)
{
    const struct params *p = c->params;
    struct pt_ms_attention a = p->a;
    char *scratch = c->scratch;
    int64_t *rows = (int64_t *)(void *)(scratch + p->rows_at), *past = (int64_t *)(void *)(scratch + p->past_at);
    const struct pt_tensor *past_k = pt_op_in(c, PAST_K), *past_v = pt_op_in(c, PAST_V);
    struct window_mask mask = {{NULL, pt_op_in(c, BIAS), 0, a.batch, a.q_len, a.total}, past, c->in[LENGTHS]->data, p->window};
    int rc = read_past(c, p, past, rows);
    if (rc < 0)
        return rc;
    const struct pt_tensor *k = p->packed ? c->in[Q] : c->in[K], *v = p->packed ? c->in[Q] : c->in[V];
    a.q = rotate(c, p, rows_of(c->in[Q], 0, a.width), a.heads, rows, (float *)(void *)(scratch + p->rotated_q_at));
    a.k = rotate(c, p, rows_of(k, p->packed ? a.heads * a.width : 0, a.width), a.kv_heads, rows, (float *)(void *)(scratch + p->rotated_k_at));
    a.v = rows_of(v, p->packed ? (a.heads + a.kv_heads) * a.width : 0, a.width);
    a.y = (struct pt_attention_operand){c->out[0]->data, {a.q_len * a.heads * a.width, a.width, a.heads * a.width}};
    a.past_k = past_k ? past_k->data : NULL;
    a.past_v = past_v ? past_v->data : NULL;
    a.past = past;
    a.present_k = c->out_count > 1 && c->out[1] ? c->out[1]->data : NULL;
    a.present_v = c->out_count > 2 && c->out[2] ? c->out[2]->data : NULL;
    a.fill_mask = fill_mask;
    a.mask_arg = &mask;
    return pt_ms_attention_run(c, &a);
}

const struct pt_op pt_op_ms_group_query_attention = {.domain = "com.microsoft",
                                                     .type = "GroupQueryAttention",
                                                     .since = {1},
                                                     .min_in = 1,
                                                     .max_in = 14,
                                                     .max_out = 4,
                                                     .flags = PT_OP_WIDEN,
                                                     .params_size = sizeof(struct params),
                                                     .infer = infer,
                                                     .run = run};
