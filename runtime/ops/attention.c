/* SPDX-License-Identifier: Apache-2.0
 *
 * attention.c: Attention: shapes, the cache of keys and values, masks; the arithmetic is in attention_core.c.
 *
 * Operands are [batch, heads, length, width], or [batch, length, heads * width] with the numbers of heads as attributes. Keys and values of the past
 * stand before the new ones; the joined ones are outputs 1 and 2, or stand in the scratch memory when nobody wants them.
 */
#include "runtime/ops/attention.h"

#include <math.h>

enum { Q, K, V, MASK, PAST_K, PAST_V, VALID };

struct attention {
    struct pt_attention a;
    int64_t past, fresh;   /* lengths of the cache and of the new keys */
    size_t cache_bytes[2]; /* of joined keys and values that are no output */
};

/* [batch, heads, length, width] of operand i, whichever form it has. */
static int read_form(struct pt_op_ctx *c, int i, int64_t heads, int64_t dims[4])
{
    const struct pt_tensor *t = c->in[i];
    if (t->rank == 4) {
        memcpy(dims, t->dims, 4 * sizeof *dims);
        return PT_OK;
    }
    if (t->rank != 3 || c->in[Q]->rank != 3)
        return pt_op_fail(c, PT_EINVAL, "input %d is %s, must have rank 3 or 4 as the others", i, PT_SHAPE(t));
    if (heads < 1 || t->dims[2] % heads)
        return pt_op_fail(c, PT_EINVAL, "input %d is %s, which does not divide into %lld heads", i, PT_SHAPE(t), (long long)heads);
    dims[0] = t->dims[0];
    dims[1] = heads;
    dims[2] = t->dims[1];
    dims[3] = t->dims[2] / heads;
    return PT_OK;
}

static int check_past(struct pt_op_ctx *c, int i, const int64_t dims[4], int64_t *past)
{
    const struct pt_tensor *t = pt_op_in(c, i);
    if (!t)
        return PT_OK;
    if (t->dtype != c->in[i - PAST_K + K]->dtype || t->rank != 4 || t->dims[0] != dims[0] || t->dims[1] != dims[1] || t->dims[3] != dims[3])
        return pt_op_fail(c, PT_EINVAL, "input %d is %s, which does not continue input %d (%s)", i, PT_SHAPE(t), i - PAST_K + K,
                          PT_SHAPE(c->in[i - PAST_K + K]));
    *past = t->dims[2];
    return PT_OK;
}

static int read_mask(struct pt_op_ctx *c, struct pt_attention *a)
{
    const struct pt_tensor *m = pt_op_in(c, MASK);
    if (!m)
        return PT_OK;
    int64_t want[3] = {a->batch, a->heads, a->q_len}, stride = m->rank ? m->dims[m->rank - 1] : 1;
    int64_t len = stride;
    bool fits = m->rank >= 1 && m->rank <= 4 && len <= a->kv_len;
    a->mask_step = 1;
    a->mask_len = len;
    if (len == 1 && c->node->version < 24) { /* later versions take the missing keys as masked out */
        a->mask_step = 0;
        a->mask_len = a->kv_len;
    }
    for (int i = m->rank - 2; fits && i >= 0; i--) {
        int k = 3 - (m->rank - 1 - i);
        fits = m->dims[i] == 1 || m->dims[i] == want[k];
        a->mask_stride[k] = m->dims[i] == 1 ? 0 : stride;
        stride *= m->dims[i];
    }
    return fits ? PT_OK
                : pt_op_fail(c, PT_EINVAL, "input 3 (attn_mask) is %s, which does not broadcast to [%lld,%lld,%lld,%lld]", PT_SHAPE(m),
                             (long long)want[0], (long long)want[1], (long long)want[2], (long long)a->kv_len);
}

static int read_attrs(struct pt_op_ctx *c, struct attention *p, int64_t *q_heads, int64_t *kv_heads)
{
    int64_t causal, stage, precision;
    float scale, cap;
    int rc;
    if ((rc = pt_attr_int(c, "is_causal", 0, 0, 1, &causal)) < 0 || (rc = pt_attr_int(c, "qk_matmul_output_mode", 0, 0, 3, &stage)) < 0 ||
        (rc = pt_attr_int(c, "q_num_heads", 0, 1, INT32_MAX, q_heads)) < 0 || (rc = pt_attr_int(c, "kv_num_heads", 0, 1, INT32_MAX, kv_heads)) < 0 ||
        (rc = pt_attr_int(c, "softmax_precision", PT_FLOAT, 1, PT_DTYPE_COUNT - 1, &precision)) < 0 ||
        (rc = pt_attr_float(c, "scale", NAN, &scale)) < 0 || (rc = pt_attr_float(c, "softcap", 0, &cap)) < 0)
        return rc;
    /* half operands are computed in float32, so any precision up to that is had */
    if (!(PT_T(precision) & PT_TS_REAL))
        return pt_op_fail(c, PT_EINVAL, "attribute 'softmax_precision' = %lld is no type of real numbers", (long long)precision);
    p->a.causal = causal != 0;
    p->a.stage = (enum pt_attention_stage)stage;
    p->a.scale = (double)scale;
    p->a.softcap = (double)cap;
    return PT_OK;
}

static int set_outputs(struct pt_op_ctx *c, const struct attention *p)
{
    const struct pt_attention *a = &p->a;
    const struct pt_tensor *q = c->in[Q];
    enum pt_dtype t1 = q->dtype, t2 = c->in[V]->dtype;
    int64_t hidden;
    if (q->rank == 4) {
        pt_op_set_out(c, 0, t1, 4, (const int64_t[]){a->batch, a->heads, a->q_len, a->v_width});
    } else {
        if (__builtin_mul_overflow(a->heads, a->v_width, &hidden))
            return pt_op_fail(c, PT_ELIMIT, "the result is too large");
        pt_op_set_out(c, 0, t1, 3, (const int64_t[]){a->batch, a->q_len, hidden});
    }
    pt_op_set_out(c, 1, t1, 4, (const int64_t[]){a->batch, a->kv_heads, a->kv_len, a->width});
    pt_op_set_out(c, 2, t2, 4, (const int64_t[]){a->batch, a->kv_heads, a->kv_len, a->v_width});
    pt_op_set_out(c, 3, t1, 4, (const int64_t[]){a->batch, a->heads, a->q_len, a->kv_len});
    return PT_OK;
}

static bool wide(enum pt_dtype t)
{
    return t == PT_DOUBLE;
}

static int plan_memory(struct pt_op_ctx *c, struct attention *p)
{
    const struct pt_attention *a = &p->a;
    size_t bytes = pt_attention_scratch(a);
    for (int i = 0; i < 2; i++) {
        size_t need = 0;
        const int64_t dims[4] = {a->batch, a->kv_heads, a->kv_len, i ? a->v_width : a->width};
        bool given = c->out_count > i + 1 && c->out[i + 1];
        if (!given && p->past && !pt_tensor_need(a->dtype, 4, dims, &need))
            bytes = SIZE_MAX;
        p->cache_bytes[i] = (need + 63) / 64 * 64;
        if (__builtin_add_overflow(bytes, p->cache_bytes[i], &bytes))
            bytes = SIZE_MAX;
    }
    if (bytes == SIZE_MAX)
        return pt_op_fail(c, PT_ELIMIT, "attention of %s over %lld keys takes too much memory", PT_SHAPE(c->in[Q]), (long long)a->kv_len);
    c->scratch_bytes = bytes;
    return PT_OK;
}

static int attention_infer(struct pt_op_ctx *c)
{
    struct attention *p = c->params;
    struct pt_attention *a = &p->a;
    int64_t qh, kvh, q[4], k[4], v[4], past[2] = {0, 0};
    const struct pt_tensor *valid = pt_op_in(c, VALID);
    int rc;
    if ((rc = read_attrs(c, p, &qh, &kvh)) < 0 || (rc = read_form(c, Q, qh, q)) < 0 || (rc = read_form(c, K, kvh, k)) < 0 ||
        (rc = read_form(c, V, kvh, v)) < 0 || (rc = check_past(c, PAST_K, k, &past[0])) < 0 || (rc = check_past(c, PAST_V, v, &past[1])) < 0)
        return rc;
    if (k[0] != q[0] || v[0] != q[0] || v[1] != k[1] || v[2] != k[2] || k[3] != q[3] || !k[1] || q[1] % k[1] || past[0] != past[1] ||
        !pt_op_in(c, PAST_K) != !pt_op_in(c, PAST_V))
        return pt_op_fail(c, PT_EINVAL, "inputs Q %s, K %s, V %s with %lld keys and %lld values of the past do not go together", PT_SHAPE(c->in[Q]),
                          PT_SHAPE(c->in[K]), PT_SHAPE(c->in[V]), (long long)past[0], (long long)past[1]);
    if (wide(c->in[Q]->dtype) != wide(c->in[V]->dtype))
        return pt_op_fail(c, PT_EUNSUPPORTED, "inputs Q %s and V %s have different precision", PT_SHAPE(c->in[Q]), PT_SHAPE(c->in[V]));
    if (c->in[K]->dtype != c->in[Q]->dtype)
        return pt_op_fail(c, PT_EINVAL, "inputs Q %s and K %s have different types", PT_SHAPE(c->in[Q]), PT_SHAPE(c->in[K]));
    if (valid && (valid->dtype != PT_INT64 || valid->rank != 1 || valid->dims[0] != q[0]))
        return pt_op_fail(c, PT_EINVAL, "input 6 (nonpad_kv_seqlen) is %s, must be int64[%lld]", PT_SHAPE(valid), (long long)q[0]);
    p->past = past[0];
    p->fresh = k[2];
    a->dtype = wide(c->in[Q]->dtype) ? PT_DOUBLE : PT_FLOAT;
    a->batch = q[0];
    a->heads = q[1];
    a->kv_heads = k[1];
    a->q_len = q[2];
    if (__builtin_add_overflow(past[0], k[2], &a->kv_len))
        return pt_op_fail(c, PT_ELIMIT, "the keys are too many");
    a->width = q[3];
    a->v_width = v[3];
    a->past = past[0];
    if (isnan(a->scale))
        a->scale = 1 / sqrt((double)a->width);
    if ((rc = read_mask(c, a)) < 0 || (rc = set_outputs(c, p)) < 0)
        return rc;
    return plan_memory(c, p);
}

/* --- running ---------------------------------------------------------------------------------------------------------------------------- */

static struct pt_attention_operand place(void *data, int rank, int64_t heads, int64_t length, int64_t width)
{
    if (rank == 4)
        return (struct pt_attention_operand){data, {heads * length * width, length * width, width}};
    return (struct pt_attention_operand){data, {heads * length * width, width, heads * width}};
}

/* The past and then the new keys or values, as [batch, heads, length, width]. */
static void join(const struct attention *p, const struct pt_tensor *past, const struct pt_attention_operand *fresh, int64_t width, char *out)
{
    const struct pt_attention *a = &p->a;
    size_t size = pt_dtype_size(a->dtype), row = (size_t)width * size, old = (size_t)p->past * row;
    for (int64_t bh = 0; row && bh < a->batch * a->kv_heads; bh++) {
        const char *from = (const char *)fresh->data + (size_t)(bh / a->kv_heads * fresh->stride[0] + bh % a->kv_heads * fresh->stride[1]) * size;
        if (old)
            memcpy(out, (const char *)past->data + (size_t)bh * old, old);
        out += old;
        for (int64_t i = 0; i < p->fresh; i++, out += row)
            memcpy(out, from + (size_t)(i * fresh->stride[2]) * size, row);
    }
}

static int attention_run(struct pt_op_ctx *c)
{
    const struct attention *p = c->params;
    struct pt_attention a = p->a;
    char *scratch = c->scratch;
    struct pt_attention_operand *kv[2] = {&a.k, &a.v};
    a.q = place(c->in[Q]->data, c->in[Q]->rank, a.heads, a.q_len, a.width);
    a.y = place(c->out[0]->data, c->in[Q]->rank, a.heads, a.q_len, a.v_width);
    for (int i = 0; i < 2; i++) {
        int64_t width = i ? a.v_width : a.width;
        struct pt_tensor *out = c->out_count > i + 1 ? c->out[i + 1] : NULL;
        *kv[i] = place(c->in[K + i]->data, c->in[K + i]->rank, a.kv_heads, p->fresh, width);
        if (!out && !p->past)
            continue;
        char *to = out ? out->data : scratch;
        scratch += p->cache_bytes[i];
        join(p, pt_op_in(c, PAST_K + i), kv[i], width, to);
        *kv[i] = place(to, 4, a.kv_heads, a.kv_len, width);
    }
    a.mask = pt_op_in(c, MASK);
    a.valid = pt_op_in(c, VALID);
    a.stage_out = c->out_count > 3 && c->out[3] ? c->out[3]->data : NULL;
    pt_attention_run(&a, scratch, c->threads);
    return PT_OK;
}

static uint64_t attention_macs(const struct pt_op_ctx *c)
{
    const struct pt_attention *a = &((const struct attention *)c->params)->a;
    return (uint64_t)(a->batch * a->heads * a->q_len) * (uint64_t)(a->kv_len * (a->width + a->v_width));
}

const struct pt_op pt_op_attention = {.type = "Attention",
                                      .since = {23, 24},
                                      .min_in = 3,
                                      .max_in = 7,
                                      .max_out = 4,
                                      .types = {PT_TS_REAL, PT_TS_REAL, PT_TS_REAL, PT_TS_FIXED},
                                      .flags = PT_OP_WIDEN,
                                      .params_size = sizeof(struct attention),
                                      .infer = attention_infer,
                                      .run = attention_run,
                                      .macs = attention_macs};
