/* SPDX-License-Identifier: Apache-2.0
 *
 * causal_conv.c: CausalConvWithState: a convolution of each channel with its own kernel over the present and past elements of a sequence. The
 * state is the last kernel - 1 elements of past state (or zeros) and input together.
 */
#include "runtime/ops/op.h"

#include <math.h>

struct causal {
    int64_t taps;
    int activation; /* 0: none */
};

static int causal_infer(struct pt_op_ctx *c)
{
    static const char *const activations[] = {"none", "silu", "swish", NULL};
    struct causal *p = c->params;
    const struct pt_tensor *x = c->in[0], *w = c->in[1], *b = pt_op_in(c, 2), *s = pt_op_in(c, 3);
    int rc = pt_attr_choice(c, "activation", activations, 0, &p->activation);
    if (rc < 0)
        return rc;
    if (x->rank != 3 || w->rank != 3 || w->dims[0] != x->dims[1] || w->dims[1] != 1 || w->dims[2] < 1)
        return pt_op_fail(c, PT_EINVAL, "weights %s do not fit input %s", PT_SHAPE(w), PT_SHAPE(x));
    p->taps = w->dims[2];
    const int64_t state[3] = {x->dims[0], x->dims[1], p->taps - 1};
    if (b && (b->rank != 1 || b->dims[0] != x->dims[1]))
        return pt_op_fail(c, PT_EINVAL, "input 2 (bias) is %s, must be one value per channel (%lld)", PT_SHAPE(b), (long long)x->dims[1]);
    if (s && (s->rank != 3 || memcmp(s->dims, state, sizeof state)))
        return pt_op_fail(c, PT_EINVAL, "input 3 (past_state) is %s, must be %s", PT_SHAPE(s), pt_shape_text(x->dtype, 3, state).s);
    pt_op_like(c, 0, x);
    pt_op_set_out(c, 1, x->dtype, 3, state);
    return PT_OK;
}

/* Element i of past and input together; the past has `past` elements, all 0 without a state. */
static float joined(const float *state, const float *x, int64_t past, int64_t i)
{
    return i >= past ? x[i - past] : state ? state[i] : 0;
}

static void channels(void *arg, size_t begin, size_t end)
{
    const struct pt_op_ctx *c = arg;
    const struct causal *p = c->params;
    const struct pt_tensor *x = c->in[0], *b = pt_op_in(c, 2), *s = pt_op_in(c, 3);
    struct pt_tensor *out = c->out_count > 1 ? c->out[1] : NULL;
    int64_t n = x->dims[2], past = p->taps - 1;
    for (int64_t i = (int64_t)begin; i < (int64_t)end; i++) {
        int64_t ch = i % x->dims[1];
        const float *row = (const float *)x->data + i * n, *w = (const float *)c->in[1]->data + ch * p->taps;
        const float *state = s ? (const float *)s->data + i * past : NULL;
        for (int64_t t = 0; t < n; t++) {
            float sum = b ? ((const float *)b->data)[ch] : 0;
            for (int64_t k = 0; k < p->taps; k++)
                sum += w[k] * joined(state, row, past, t + k);
            ((float *)c->out[0]->data)[i * n + t] = p->activation ? sum / (1 + expf(-sum)) : sum;
        }
        for (int64_t k = 0; out && k < past; k++)
            ((float *)out->data)[i * past + k] = joined(state, row, past, n + k);
    }
}

static int causal_run(struct pt_op_ctx *c)
{
    pt_parallel_for(c->threads, (size_t)(c->in[0]->dims[0] * c->in[0]->dims[1]), 1, channels, c);
    return PT_OK;
}

const struct pt_op pt_op_causal_conv_with_state = {.type = "CausalConvWithState",
                                                   .since = {27},
                                                   .min_in = 2,
                                                   .max_in = 4,
                                                   .max_out = 2,
                                                   .types = {PT_T(PT_FLOAT) | PT_TS_HALF},
                                                   .flags = PT_OP_SAME_TYPE | PT_OP_WIDEN,
                                                   .params_size = sizeof(struct causal),
                                                   .infer = causal_infer,
                                                   .run = causal_run};
