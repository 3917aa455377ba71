/* SPDX-License-Identifier: Apache-2.0
 *
 * linear_attention.c: LinearAttention: a state per key head, [key width, value width], updated token by token:
 *
 *     S <- exp(decay) S                                    gated, gated_delta
 *     S <- S + k outer (v)                                 linear, gated
 *     S <- S + k outer beta (v - S' k)                     delta, gated_delta
 *     o  = scale S' q                                      for each query head that shares the key head
 */
#include "runtime/ops/op.h"

#include <math.h>

enum { QUERY, KEY, VALUE, STATE, DECAY, BETA };

struct linear {
    int64_t batch, length, q_heads, heads, width, v_width;
    int64_t decays, betas; /* of a token: per head, per head and key element, or one; 0: none */
    float scale;
};

static int check_gates(struct pt_op_ctx *c, struct linear *p)
{
    static const char *const rules[] = {"linear", "gated", "delta", "gated_delta", NULL};
    int rule, rc = pt_attr_choice(c, "update_rule", rules, 3, &rule);
    if (rc < 0)
        return rc;
    for (int i = DECAY; i <= BETA; i++) {
        const struct pt_tensor *t = pt_op_in(c, i);
        if (!t != !(rule & (i == DECAY ? 1 : 2)))
            return pt_op_fail(c, PT_EINVAL, "input %d is %s, which the update rule '%s' does not allow", i, t ? "given" : "missing", rules[rule]);
        if (!t)
            continue;
        int64_t last = t->rank == 3 ? t->dims[2] : 0;
        bool fits =
            t->rank == 3 && t->dims[0] == p->batch && t->dims[1] == p->length && (last == p->heads || last == (i == DECAY ? p->heads * p->width : 1));
        if (!fits)
            return pt_op_fail(c, PT_EINVAL, "input %d is %s, which does not fit %lld heads", i, PT_SHAPE(t), (long long)p->heads);
        *(i == DECAY ? &p->decays : &p->betas) = last;
    }
    return PT_OK;
}

static int linear_infer(struct pt_op_ctx *c)
{
    struct linear *p = c->params;
    const struct pt_tensor *q = c->in[QUERY], *k = c->in[KEY], *v = c->in[VALUE], *s = pt_op_in(c, STATE);
    int64_t chunk, hidden, state;
    int rc;
    if ((rc = pt_attr_int(c, "q_num_heads", 0, 1, INT32_MAX, &p->q_heads)) < 0 ||
        (rc = pt_attr_int(c, "kv_num_heads", 0, 1, INT32_MAX, &p->heads)) < 0 || (rc = pt_attr_int(c, "chunk_size", 64, 1, INT64_MAX, &chunk)) < 0 ||
        (rc = pt_attr_float(c, "scale", 0, &p->scale)) < 0)
        return rc;
    if (q->rank != 3 || k->rank != 3 || v->rank != 3 || !p->heads || !p->q_heads || p->q_heads % p->heads || q->dims[2] % p->q_heads ||
        k->dims[2] % p->heads || v->dims[2] % p->heads || q->dims[2] / p->q_heads != k->dims[2] / p->heads || q->dims[0] != k->dims[0] ||
        q->dims[0] != v->dims[0] || q->dims[1] != k->dims[1] || q->dims[1] != v->dims[1])
        return pt_op_fail(c, PT_EINVAL, "query %s, key %s and value %s do not go together with %lld and %lld heads", PT_SHAPE(q), PT_SHAPE(k),
                          PT_SHAPE(v), (long long)p->q_heads, (long long)p->heads);
    p->batch = q->dims[0];
    p->length = q->dims[1];
    p->width = q->dims[2] / p->q_heads;
    p->v_width = v->dims[2] / p->heads;
    if (p->scale == 0)
        p->scale = 1 / sqrtf((float)p->width);
    const int64_t dims[4] = {p->batch, p->heads, p->width, p->v_width};
    if (s && (s->rank != 4 || memcmp(s->dims, dims, sizeof dims)))
        return pt_op_fail(c, PT_EINVAL, "input 3 (past_state) is %s, must be %s", PT_SHAPE(s), pt_shape_text(s->dtype, 4, dims).s);
    if ((rc = check_gates(c, p)) < 0)
        return rc;
    if (__builtin_mul_overflow(p->q_heads, p->v_width, &hidden) || __builtin_mul_overflow(p->batch * p->heads, p->v_width, &state) ||
        __builtin_mul_overflow(state, p->width + 1, &state) || state > INT64_MAX / 8)
        return pt_op_fail(c, PT_ELIMIT, "the state is too large");
    pt_op_set_out(c, 0, q->dtype, 3, (const int64_t[]){p->batch, p->length, hidden});
    pt_op_set_out(c, 1, s ? s->dtype : q->dtype, 4, dims);
    c->scratch_bytes = (size_t)state * sizeof(float); /* states, and a row for each */
    return PT_OK;
}

struct walk {
    const struct pt_op_ctx *c;
    float *states, *rows;
};

static void decay_state(const struct linear *p, const float *g, float *s)
{
    for (int64_t i = 0; i < p->width; i++) {
        float f = expf(g[p->decays == p->heads ? 0 : i]);
        for (int64_t d = 0; d < p->v_width; d++)
            s[i * p->v_width + d] *= f;
    }
}

/* y += f * S' x */
static void add_product(const struct linear *p, const float *s, const float *x, float f, float *y)
{
    for (int64_t i = 0; i < p->width; i++)
        for (int64_t d = 0; d < p->v_width; d++)
            y[d] += f * x[i] * s[i * p->v_width + d];
}

static void step(const struct walk *w, int64_t b, int64_t h, int64_t t, float *s, float *row)
{
    const struct pt_op_ctx *c = w->c;
    const struct linear *p = c->params;
    int64_t at = b * p->length + t, group = p->q_heads / p->heads;
    const float *k = (const float *)c->in[KEY]->data + (at * p->heads + h) * p->width;
    const float *v = (const float *)c->in[VALUE]->data + (at * p->heads + h) * p->v_width;
    if (p->decays)
        decay_state(p, (const float *)c->in[DECAY]->data + at * p->decays + (p->decays == p->heads ? h : h * p->width), s);
    memcpy(row, v, (size_t)p->v_width * sizeof *row);
    if (p->betas) {
        float beta = ((const float *)c->in[BETA]->data)[at * p->betas + (p->betas == p->heads ? h : 0)];
        add_product(p, s, k, -1, row);
        for (int64_t d = 0; d < p->v_width; d++)
            row[d] *= beta;
    }
    for (int64_t i = 0; i < p->width; i++)
        for (int64_t d = 0; d < p->v_width; d++)
            s[i * p->v_width + d] += k[i] * row[d];
    for (int64_t g = h * group; g < (h + 1) * group; g++) {
        float *y = (float *)c->out[0]->data + (at * p->q_heads + g) * p->v_width;
        memset(y, 0, (size_t)p->v_width * sizeof *y);
        add_product(p, s, (const float *)c->in[QUERY]->data + (at * p->q_heads + g) * p->width, p->scale, y);
    }
}

static void heads(void *arg, size_t begin, size_t end)
{
    const struct walk *w = arg;
    const struct pt_op_ctx *c = w->c;
    const struct linear *p = c->params;
    size_t size = (size_t)(p->width * p->v_width);
    for (size_t i = begin; i < end; i++) {
        float *s = w->states + i * size;
        if (pt_op_in(c, STATE))
            memcpy(s, (const float *)c->in[STATE]->data + i * size, size * sizeof *s);
        else
            memset(s, 0, size * sizeof *s);
        for (int64_t t = 0; t < p->length; t++)
            step(w, (int64_t)i / p->heads, (int64_t)i % p->heads, t, s, w->rows + i * (size_t)p->v_width);
        if (c->out_count > 1 && c->out[1])
            memcpy((float *)c->out[1]->data + i * size, s, size * sizeof *s);
    }
}

static int linear_run(struct pt_op_ctx *c)
{
    const struct linear *p = c->params;
    size_t n = (size_t)(p->batch * p->heads);
    struct walk w = {c, c->scratch, (float *)c->scratch + n * (size_t)(p->width * p->v_width)};
    pt_parallel_for(c->threads, n, 1, heads, &w);
    return PT_OK;
}

const struct pt_op pt_op_linear_attention = {.type = "LinearAttention",
                                             .since = {27},
                                             .min_in = 3,
                                             .max_in = 6,
                                             .max_out = 2,
                                             .types = {PT_T(PT_FLOAT) | PT_TS_HALF},
                                             .flags = PT_OP_WIDEN,
                                             .params_size = sizeof(struct linear),
                                             .infer = linear_infer,
                                             .run = linear_run};
