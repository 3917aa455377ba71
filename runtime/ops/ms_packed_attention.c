/* SPDX-License-Identifier: Apache-2.0
 *
 * ms_packed_attention.c: com.microsoft's Attention and QAttention: query, key and value are made of the input by one matrix. QAttention has input and
 * matrix quantised, with float results.
 */
#include "runtime/ops/ms_attention.h"
#include "runtime/ops/quant.h"

#include <math.h>

struct params {
    struct pt_ms_attention a;
    float filter;
    int64_t input, hidden[3], columns; /* columns: of the matrix */
    int mask, past, bias, extra;       /* operands; extra: attention bias, or -1 */
    size_t qkv_at, acc_at;
};

static int read_sizes(struct pt_op_ctx *c, struct params *p)
{
    struct pt_ms_attention *a = &p->a;
    const struct pt_tensor *x = c->in[0], *w = c->in[1], *bias = pt_op_in(c, p->bias);
    int n, rc = pt_attr_ints(c, "qkv_hidden_sizes", 1, INT32_MAX, p->hidden, 3, &n);
    if (rc < 0)
        return rc;
    if (x->rank != 3 || w->rank != 2 || w->dims[0] != x->dims[2] || (n < 0 && w->dims[1] % 3))
        return pt_op_fail(c, PT_EINVAL, "input %s and weights %s do not fit", PT_SHAPE(x), PT_SHAPE(w));
    for (int i = 0; n < 0 && i < 3; i++)
        p->hidden[i] = w->dims[1] / 3;
    if ((n >= 0 && n != 3) || p->hidden[0] + p->hidden[1] + p->hidden[2] != w->dims[1] || p->hidden[0] != p->hidden[1] || p->hidden[0] % a->heads ||
        p->hidden[2] % a->heads)
        return pt_op_fail(c, PT_EINVAL, "weights %s do not divide into query, key and value of %lld heads", PT_SHAPE(w), (long long)a->heads);
    if (bias && (bias->rank != 1 || bias->dims[0] != w->dims[1]))
        return pt_op_fail(c, PT_EINVAL, "input %d (bias) is %s, must be [%lld]", p->bias, PT_SHAPE(bias), (long long)w->dims[1]);
    if (pt_tensor_count(x) == 0 || pt_tensor_count(w) == 0)
        return pt_op_fail(c, PT_EUNSUPPORTED, "input %s or weights %s are empty", PT_SHAPE(x), PT_SHAPE(w));
    a->batch = x->dims[0];
    a->q_len = a->new_len = x->dims[1];
    a->width = p->hidden[0] / a->heads;
    a->v_width = p->hidden[2] / a->heads;
    p->input = x->dims[2];
    p->columns = w->dims[1];
    return PT_OK;
}

static int read_past(struct pt_op_ctx *c, struct params *p)
{
    struct pt_ms_attention *a = &p->a;
    const struct pt_tensor *past = pt_op_in(c, p->past);
    a->past_room = 0;
    if (past) {
        if (past->rank != 5 || past->dims[0] != 2 || past->dims[1] != a->batch || past->dims[2] != a->heads || past->dims[4] != a->width ||
            a->width != a->v_width)
            return pt_op_fail(c, PT_EINVAL, "input %d (past) is %s, must be [2,%lld,%lld,past,%lld]", p->past, PT_SHAPE(past), (long long)a->batch,
                              (long long)a->heads, (long long)a->width);
        a->past_room = past->dims[3];
    }
    a->joined = past || (c->out_count > 1 && c->out[1]);
    if (a->joined && a->width != a->v_width)
        return pt_op_fail(c, PT_EUNSUPPORTED, "keys and values of different widths cannot be joined in one output");
    return __builtin_add_overflow(a->past_room, a->new_len, &a->total) ? pt_op_fail(c, PT_ELIMIT, "too many keys") : PT_OK;
}

static int infer(struct pt_op_ctx *c, enum pt_dtype type, bool quantised)
{
    struct params *p = c->params;
    struct pt_ms_attention *a = &p->a;
    int64_t causal, rotary, rows, count;
    int rc;
    if ((rc = pt_attr_int(c, "num_heads", 0, 1, INT32_MAX, &a->heads)) < 0 || (rc = pt_attr_float(c, "mask_filter_value", -10000, &p->filter)) < 0 ||
        (rc = pt_attr_float(c, "scale", 0, &a->scale)) < 0 || (rc = pt_attr_int(c, "unidirectional", 0, 0, 1, &causal)) < 0 ||
        (rc = pt_attr_int(c, "do_rotary", 0, 0, 1, &rotary)) < 0)
        return rc;
    if (a->heads < 1)
        return pt_op_fail(c, PT_EINVAL, "attribute 'num_heads' is missing");
    if (rotary)
        return pt_op_fail(c, PT_EUNSUPPORTED, "attribute 'do_rotary' = 1 is not supported");
    a->kv_heads = a->heads;
    if ((rc = read_sizes(c, p)) < 0 || (rc = read_past(c, p)) < 0)
        return rc;
    if (a->scale == 0)
        a->scale = 1 / sqrtf((float)a->width);
    a->causal = causal != 0;
    a->masked = pt_op_in(c, p->mask) || (p->extra >= 0 && pt_op_in(c, p->extra));
    if ((rc = pt_ms_check_key_mask(c, p->mask, a)) < 0 || (p->extra >= 0 && (rc = pt_ms_check_bias(c, p->extra, a)) < 0))
        return rc;
    if (__builtin_mul_overflow(a->batch, a->q_len, &rows) || __builtin_mul_overflow(rows, p->columns, &count) ||
        !pt_ms_room(&a->scratch_at, count, &p->qkv_at) || (quantised && !pt_ms_room(&a->scratch_at, count, &p->acc_at)))
        return pt_op_fail(c, PT_ELIMIT, "the operands are too large");
    const int64_t y[3] = {a->batch, a->q_len, p->hidden[2]}, present[5] = {2, a->batch, a->heads, a->total, a->width};
    pt_op_set_out(c, 0, type, 3, y);
    pt_op_set_out(c, 1, type, 5, present);
    return pt_ms_attention_plan(c, a);
}

/* From the projected rows [batch * length, columns]. */
static int attend(struct pt_op_ctx *c, float *qkv)
{
    const struct params *p = c->params;
    struct pt_ms_attention a = p->a;
    const struct pt_tensor *past = pt_op_in(c, p->past);
    struct pt_ms_mask mask = {pt_op_in(c, p->mask), p->extra < 0 ? NULL : pt_op_in(c, p->extra), p->filter, a.batch, a.q_len, a.total};
    int64_t batch = a.q_len * p->columns, half = a.batch * a.heads * a.width;
    a.q = (struct pt_attention_operand){qkv, {batch, a.width, p->columns}};
    a.k = (struct pt_attention_operand){qkv + p->hidden[0], {batch, a.width, p->columns}};
    a.v = (struct pt_attention_operand){qkv + p->hidden[0] + p->hidden[1], {batch, a.v_width, p->columns}};
    a.y = (struct pt_attention_operand){c->out[0]->data, {a.q_len * p->hidden[2], a.v_width, p->hidden[2]}};
    a.past_k = past ? past->data : NULL;
    a.past_v = past ? (const float *)past->data + half * a.past_room : NULL;
    a.present_k = c->out_count > 1 && c->out[1] ? c->out[1]->data : NULL;
    a.present_v = a.present_k ? a.present_k + half * a.total : NULL;
    a.fill_mask = pt_ms_fill_mask;
    a.mask_arg = &mask;
    return pt_ms_attention_run(c, &a);
}

/* --- Attention: input, weights, bias, mask_index, past, attention_bias ------------------------------------------------------------------- */

static int attention_infer(struct pt_op_ctx *c)
{
    struct params *p = c->params;
    p->bias = 2;
    p->mask = 3;
    p->past = 4;
    p->extra = 5;
    for (int i = 0; i < 6; i += i == 2 ? 2 : 1) {
        int rc = pt_quant_type(c, i, "operand", PT_T(PT_FLOAT) | PT_TS_HALF);
        if (rc < 0)
            return rc;
    }
    if (pt_op_in(c, 6))
        return pt_op_fail(c, PT_EUNSUPPORTED, "input 6 (past_sequence_length) is not supported");
    return infer(c, c->in[0]->dtype, false);
}

struct projection {
    const struct params *p;
    const float *x, *w, *bias;
    float *y;
};

static void project_rows(void *arg, size_t begin, size_t end)
{
    const struct projection *j = arg;
    int64_t n = j->p->columns;
    for (int64_t r = (int64_t)begin; r < (int64_t)end; r++) {
        float *y = j->y + r * n;
        for (int64_t i = 0; i < n; i++)
            y[i] = j->bias ? j->bias[i] : 0;
        for (int64_t k = 0; k < j->p->input; k++) {
            float x = j->x[r * j->p->input + k];
            const float *w = j->w + k * n;
            for (int64_t i = 0; i < n; i++)
                y[i] += x * w[i];
        }
    }
}

static int attention_run(struct pt_op_ctx *c)
{
    const struct params *p = c->params;
    const struct pt_tensor *bias = pt_op_in(c, 2);
    float *qkv = (float *)(void *)((char *)c->scratch + p->qkv_at);
    struct projection j = {p, c->in[0]->data, c->in[1]->data, bias ? bias->data : NULL, qkv};
    pt_parallel_for(c->threads, (size_t)(p->a.batch * p->a.q_len), 8, project_rows, &j);
    return attend(c, qkv);
}

const struct pt_op pt_op_ms_attention = {.domain = "com.microsoft",
                                         .type = "Attention",
                                         .since = {1},
                                         .min_in = 2,
                                         .max_in = 7,
                                         .max_out = 2,
                                         .flags = PT_OP_WIDEN,
                                         .params_size = sizeof(struct params),
                                         .infer = attention_infer,
                                         .run = attention_run};

/* --- QAttention: input, weight, bias, input_scale, weight_scale, mask_index, input_zero, weight_zero, past ---------------------------------- */

static int qattention_infer(struct pt_op_ctx *c)
{
    struct params *p = c->params;
    p->bias = 2;
    p->mask = 5;
    p->past = 8;
    p->extra = -1;
    int rc;
    if ((rc = pt_quant_type(c, 0, "input", PT_TS_8BIT)) < 0 || (rc = pt_quant_type(c, 1, "weight", PT_TS_8BIT)) < 0 ||
        (rc = pt_quant_type(c, 2, "bias", PT_T(PT_FLOAT))) < 0 || (rc = pt_quant_type(c, 8, "past", PT_T(PT_FLOAT))) < 0 ||
        (rc = infer(c, PT_FLOAT, true)) < 0 || (rc = pt_quant_params(c, 3, 6, c->in[0]->dtype, 1)) < 0)
        return rc;
    return pt_quant_params(c, 4, 7, c->in[1]->dtype, p->columns);
}

static int qattention_run(struct pt_op_ctx *c)
{
    const struct params *p = c->params;
    int64_t rows = p->a.batch * p->a.q_len, n = p->columns;
    const struct pt_tensor *w = c->in[1];
    float *qkv = (float *)(void *)((char *)c->scratch + p->qkv_at), scale = pt_quant_scale(c->in[3], 0);
    int32_t *acc = (int32_t *)(void *)((char *)c->scratch + p->acc_at);
    struct pt_int_product g = {.m = rows,
                               .n = n,
                               .k = p->input,
                               .a_row = p->input,
                               .a_col = 1,
                               .b_row = n,
                               .b_col = 1,
                               .a_type = c->in[0]->dtype,
                               .b_type = w->dtype,
                               .a = c->in[0]->data,
                               .b = w->data,
                               .a_zero = pt_op_in(c, 6),
                               .b_zero = pt_op_in(c, 7),
                               .y = acc};
    pt_int_product(&g, c->threads);
    for (int64_t i = 0; i < rows * n; i++)
        qkv[i] = (float)acc[i] * (scale * pt_quant_scale(c->in[4], i % n)) + ((const float *)c->in[2]->data)[i % n];
    return attend(c, qkv);
}

const struct pt_op pt_op_ms_qattention = {.domain = "com.microsoft",
                                          .type = "QAttention",
                                          .since = {1},
                                          .min_in = 5,
                                          .max_in = 9,
                                          .max_out = 2,
                                          .params_size = sizeof(struct params),
                                          .infer = qattention_infer,
                                          .run = qattention_run};
