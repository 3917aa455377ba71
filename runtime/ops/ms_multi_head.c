/* SPDX-License-Identifier: Apache-2.0
 *
 * ms_multi_head.c: com.microsoft's MultiHeadAttention. Inputs: query, key, value, bias of the three, key padding mask, attention bias, past key,
 * past value. Query, key and value come apart, keys and values together, or all three together; keys may also come by heads (of an encoder).
 */
#include "runtime/ops/ms_attention.h"
#include "runtime/ops/quant.h"

#include <math.h>

enum { Q, K, V, BIAS, KEY_MASK, ATTENTION_BIAS, PAST_K, PAST_V, PAST_LENGTH, CACHE };

struct params {
    struct pt_ms_attention a;
    float filter;
    struct pt_attention_operand in[3]; /* strides of q, k, v */
    int64_t offset[3];                 /* first element in its input */
    int source[3];
    size_t biased_at[3]; /* copies with the bias added */
};

static void lay(struct params *p, int i, int source, int64_t offset, int64_t batch, int64_t head, int64_t position)
{
    p->source[i] = source;
    p->offset[i] = offset;
    p->in[i] = (struct pt_attention_operand){NULL, {batch, head, position}};
}

/* [B,S,hidden] */
static void lay_rows(struct params *p, int i, int64_t length, int64_t width)
{
    int64_t hidden = p->a.heads * width;
    lay(p, i, i, 0, length * hidden, width, hidden);
}

static int read_keys(struct pt_op_ctx *c, struct params *p)
{
    struct pt_ms_attention *a = &p->a;
    const struct pt_tensor *k = pt_op_in(c, K), *v = pt_op_in(c, V);
    int64_t n = a->heads, h = a->width;
    if ((k && pt_tensor_count(k) == 0) || (v && pt_tensor_count(v) == 0))
        return pt_op_fail(c, PT_EUNSUPPORTED, "key %s or value %s is empty", k ? PT_SHAPE(k) : "(none)", v ? PT_SHAPE(v) : "(none)");
    if (k && k->rank == 5 && !v && k->dims[0] == a->batch && k->dims[2] == n && k->dims[3] == 2 && k->dims[4] == h) {
        a->new_len = k->dims[1];
        lay(p, K, K, 0, a->new_len * n * 2 * h, 2 * h, n * 2 * h);
        lay(p, V, K, h, a->new_len * n * 2 * h, 2 * h, n * 2 * h);
        return PT_OK;
    }
    if (k && v && k->rank == 4 && v->rank == 4 && k->dims[0] == a->batch && k->dims[1] == n && k->dims[3] == h && v->dims[0] == a->batch &&
        v->dims[1] == n && v->dims[2] == k->dims[2]) {
        a->new_len = k->dims[2];
        a->v_width = v->dims[3];
        lay(p, K, K, 0, n * a->new_len * h, a->new_len * h, h);
        lay(p, V, V, 0, n * a->new_len * a->v_width, a->new_len * a->v_width, a->v_width);
        return PT_OK;
    }
    if (k && v && k->rank == 3 && v->rank == 3 && k->dims[0] == a->batch && k->dims[2] == n * h && v->dims[0] == a->batch &&
        v->dims[1] == k->dims[1] && v->dims[2] % n == 0) {
        a->new_len = k->dims[1];
        a->v_width = v->dims[2] / n;
        lay_rows(p, K, a->new_len, h);
        lay_rows(p, V, a->new_len, a->v_width);
        return PT_OK;
    }
    return pt_op_fail(c, PT_EINVAL, "query %s, key %s and value %s do not fit %lld heads", PT_SHAPE(c->in[Q]), k ? PT_SHAPE(k) : "(none)",
                      v ? PT_SHAPE(v) : "(none)", (long long)n);
}

static int read_operands(struct pt_op_ctx *c, struct params *p)
{
    struct pt_ms_attention *a = &p->a;
    const struct pt_tensor *q = c->in[Q];
    bool packed = q->rank == 5 && q->dims[3] == 3 && q->dims[2] == a->heads && !pt_op_in(c, K) && !pt_op_in(c, V);
    if (!packed && (q->rank != 3 || q->dims[2] % a->heads))
        return pt_op_fail(c, PT_EINVAL, "query %s must be [batch, length, %lld heads times width], or [batch, length, %lld, 3, width] alone",
                          PT_SHAPE(q), (long long)a->heads, (long long)a->heads);
    if (pt_tensor_count(q) == 0)
        return pt_op_fail(c, PT_EUNSUPPORTED, "query %s is empty", PT_SHAPE(q));
    a->batch = q->dims[0];
    a->q_len = q->dims[1];
    a->width = a->v_width = packed ? q->dims[4] : q->dims[2] / a->heads;
    if (!packed) {
        lay_rows(p, Q, a->q_len, a->width);
        return read_keys(c, p);
    }
    a->new_len = a->q_len;
    for (int i = 0; i < 3; i++)
        lay(p, i, Q, i * a->width, a->q_len * a->heads * 3 * a->width, 3 * a->width, a->heads * 3 * a->width);
    return PT_OK;
}

static int read_past(struct pt_op_ctx *c, struct params *p)
{
    struct pt_ms_attention *a = &p->a;
    const struct pt_tensor *k = pt_op_in(c, PAST_K), *v = pt_op_in(c, PAST_V);
    if (!k != !v)
        return pt_op_fail(c, PT_EINVAL, "past key and past value must both be given or neither");
    a->past_room = k ? k->rank == 4 ? k->dims[2] : -1 : 0;
    if (k && (a->past_room < 0 || k->dims[0] != a->batch || k->dims[1] != a->heads || k->dims[3] != a->width || v->rank != 4 ||
              v->dims[0] != a->batch || v->dims[1] != a->heads || v->dims[2] != a->past_room || v->dims[3] != a->v_width))
        return pt_op_fail(c, PT_EINVAL, "past key %s and value %s do not fit [%lld,%lld,past,%lld]", PT_SHAPE(k), PT_SHAPE(v), (long long)a->batch,
                          (long long)a->heads, (long long)a->width);
    a->joined = k || (c->out_count > 1 && c->out[1]) || (c->out_count > 2 && c->out[2]);
    return __builtin_add_overflow(a->past_room, a->new_len, &a->total) ? pt_op_fail(c, PT_ELIMIT, "too many keys") : PT_OK;
}

static int check_types(struct pt_op_ctx *c)
{
    static const int floats[] = {Q, K, V, BIAS, ATTENTION_BIAS, PAST_K, PAST_V};
    int rc = PT_OK;
    for (size_t i = 0; rc == PT_OK && i < sizeof floats / sizeof *floats; i++)
        rc = pt_quant_type(c, floats[i], "operand", PT_T(PT_FLOAT) | PT_TS_HALF);
    if (rc == PT_OK && (pt_op_in(c, PAST_LENGTH) || pt_op_in(c, CACHE)))
        rc = pt_op_fail(c, PT_EUNSUPPORTED, "inputs 8 (past_sequence_length) and 9 (cache_indirection) are not supported");
    return rc;
}

static int infer(struct pt_op_ctx *c)
{
    struct params *p = c->params;
    struct pt_ms_attention *a = &p->a;
    const struct pt_tensor *bias = pt_op_in(c, BIAS);
    int64_t causal;
    int rc = check_types(c);
    if (rc < 0 || (rc = pt_attr_int(c, "num_heads", 0, 1, INT32_MAX, &a->heads)) < 0 ||
        (rc = pt_attr_float(c, "mask_filter_value", -10000, &p->filter)) < 0 || (rc = pt_attr_float(c, "scale", 0, &a->scale)) < 0 ||
        (rc = pt_attr_int(c, "unidirectional", 0, 0, 1, &causal)) < 0)
        return rc;
    if (a->heads < 1)
        return pt_op_fail(c, PT_EINVAL, "attribute 'num_heads' is missing");
    a->kv_heads = a->heads;
    if ((rc = read_operands(c, p)) < 0 || (rc = read_past(c, p)) < 0)
        return rc;
    if (a->scale == 0)
        a->scale = 1 / sqrtf((float)a->width);
    a->causal = causal != 0;
    a->masked = pt_op_in(c, KEY_MASK) || pt_op_in(c, ATTENTION_BIAS);
    if ((rc = pt_ms_check_key_mask(c, KEY_MASK, a)) < 0 || (rc = pt_ms_check_bias(c, ATTENTION_BIAS, a)) < 0)
        return rc;
    int64_t hidden = a->heads * a->width, v_hidden = a->heads * a->v_width, parts[3] = {hidden, hidden, v_hidden};
    if (bias && (bias->rank != 1 || bias->dims[0] != 2 * hidden + v_hidden))
        return pt_op_fail(c, PT_EINVAL, "input 3 (bias) is %s, must be [%lld]", PT_SHAPE(bias), (long long)(2 * hidden + v_hidden));
    for (int i = 0; bias && i < 3; i++) {
        int64_t rows, count;
        if (__builtin_mul_overflow(a->batch, i ? a->new_len : a->q_len, &rows) || __builtin_mul_overflow(rows, parts[i], &count) ||
            !pt_ms_room(&a->scratch_at, count, &p->biased_at[i]))
            return pt_op_fail(c, PT_ELIMIT, "the operands are too large");
    }
    const int64_t y[3] = {a->batch, a->q_len, v_hidden}, k[4] = {a->batch, a->heads, a->total, a->width},
                  v[4] = {a->batch, a->heads, a->total, a->v_width};
    if (c->out_count > 3 && c->out[3])
        return pt_op_fail(c, PT_EUNSUPPORTED, "output 3 (qk) is not supported");
    pt_op_set_out(c, 0, c->in[Q]->dtype, 3, y);
    pt_op_set_out(c, 1, c->in[Q]->dtype, 4, k);
    pt_op_set_out(c, 2, c->in[Q]->dtype, 4, v);
    return pt_ms_attention_plan(c, a);
}

/* The operand with its part of the bias added, by heads. */
static struct pt_attention_operand add_bias(struct pt_op_ctx *c, const struct params *p, int i, struct pt_attention_operand x)
{
    const struct pt_ms_attention *a = &p->a;
    const struct pt_tensor *bias = pt_op_in(c, BIAS);
    if (!bias)
        return x;
    int64_t width = i == 2 ? a->v_width : a->width, length = i ? a->new_len : a->q_len;
    const float *add = (const float *)bias->data + i * a->heads * a->width;
    float *dst = (float *)(void *)((char *)c->scratch + p->biased_at[i]), *at = dst;
    for (int64_t row = 0; row < a->batch * a->heads * length; row++) {
        int64_t b = row / length / a->heads, h = row / length % a->heads, s = row % length;
        const float *src = (const float *)x.data + b * x.stride[0] + h * x.stride[1] + s * x.stride[2];
        for (int64_t d = 0; d < width; d++)
            *at++ = src[d] + add[h * width + d];
    }
    return (struct pt_attention_operand){dst, {a->heads * length * width, length * width, width}};
}

static struct pt_attention_operand operand(struct pt_op_ctx *c, const struct params *p, int i)
{
    struct pt_attention_operand x = p->in[i];
    x.data = (float *)c->in[p->source[i]]->data + p->offset[i];
    return add_bias(c, p, i, x);
}

static int run(struct pt_op_ctx *c)
{
    const struct params *p = c->params;
    struct pt_ms_attention a = p->a;
    const struct pt_tensor *past_k = pt_op_in(c, PAST_K), *past_v = pt_op_in(c, PAST_V);
    struct pt_ms_mask mask = {pt_op_in(c, KEY_MASK), pt_op_in(c, ATTENTION_BIAS), p->filter, a.batch, a.q_len, a.total};
    a.q = operand(c, p, Q);
    a.k = operand(c, p, K);
    a.v = operand(c, p, V);
    a.y = (struct pt_attention_operand){c->out[0]->data, {a.q_len * a.heads * a.v_width, a.v_width, a.heads * a.v_width}};
    a.past_k = past_k ? past_k->data : NULL;
    a.past_v = past_v ? past_v->data : NULL;
    a.present_k = c->out_count > 1 && c->out[1] ? c->out[1]->data : NULL;
    a.present_v = c->out_count > 2 && c->out[2] ? c->out[2]->data : NULL;
    a.fill_mask = pt_ms_fill_mask;
    a.mask_arg = &mask;
    return pt_ms_attention_run(c, &a);
}

const struct pt_op pt_op_ms_multi_head_attention = {.domain = "com.microsoft",
                                                    .type = "MultiHeadAttention",
                                                    .since = {1},
                                                    .min_in = 1,
                                                    .max_in = 10,
                                                    .max_out = 4,
                                                    .flags = PT_OP_WIDEN,
                                                    .params_size = sizeof(struct params),
                                                    .infer = infer,
                                                    .run = run};
