/* SPDX-License-Identifier: Apache-2.0
 *
 * rnn.c: RNN, GRU and LSTM: attributes and shapes of all versions. What happens at a step is in rnn_run.inc.
 */
#include "runtime/ops/rnn.h"

#include <math.h>
#include <strings.h>

static const struct {
    const char *name;
    float alpha, beta;
} act_rows[] = {
#define PT_X(id, name, alpha, beta) {name, alpha, beta},
    PT_RNN_ACT_KINDS(PT_X)
#undef PT_X
};

/* --- activations ------------------------------------------------------------------------------------------------------------------------ */

static bool has_alpha(enum pt_rnn_act_kind k)
{
    return k != PT_RNN_RELU && k != PT_RNN_TANH && k != PT_RNN_SIGMOID && k != PT_RNN_SOFTSIGN && k != PT_RNN_SOFTPLUS;
}

static bool has_beta(enum pt_rnn_act_kind k)
{
    return k == PT_RNN_AFFINE || k == PT_RNN_SCALED_TANH || k == PT_RNN_HARD_SIGMOID;
}

/* Names are taken in any case: files with "tanh" exist. */
static int find_act(struct pt_op_ctx *c, struct pt_str name, struct pt_rnn_act *a)
{
    for (int k = 0; k < PT_RNN_ACT_COUNT; k++)
        if (name.len == strlen(act_rows[k].name) && strncasecmp(name.p, act_rows[k].name, name.len) == 0) {
            *a = (struct pt_rnn_act){(enum pt_rnn_act_kind)k, act_rows[k].alpha, act_rows[k].beta};
            return PT_OK;
        }
    return pt_op_fail(c, PT_EUNSUPPORTED, "activation \"" PT_STR_FMT "\" is not supported", PT_STR_ARG(name));
}

/* Values go to the activations that have such a parameter, in order. */
static int read_parameters(struct pt_op_ctx *c, struct pt_rnn *p, const char *name, bool (*has)(enum pt_rnn_act_kind), bool beta)
{
    const struct pt_onnx_attr *a = pt_node_attr(c->node, name);
    if (!a)
        return PT_OK;
    if (a->type != PT_ATTR_FLOATS)
        return pt_op_fail(c, PT_EINVAL, "attribute '%s' is not a list of floats", name);
    size_t at = 0;
    for (int i = 0; i < p->act_count * (int)p->directions; i++)
        if (has(p->acts[i].kind) && at < a->count)
            *(beta ? &p->acts[i].beta : &p->acts[i].alpha) = a->floats[at++];
    return PT_OK;
}

static int read_acts(struct pt_op_ctx *c, struct pt_rnn *p)
{
    static const enum pt_rnn_act_kind defaults[][PT_RNN_ACTS] = {
        [PT_RNN_PLAIN] = {PT_RNN_TANH}, [PT_RNN_GRU] = {PT_RNN_SIGMOID, PT_RNN_TANH}, [PT_RNN_LSTM] = {PT_RNN_SIGMOID, PT_RNN_TANH, PT_RNN_TANH}};
    const struct pt_onnx_attr *a = pt_node_attr(c->node, "activations");
    p->act_count = (int)p->kind + 1;
    int need = p->act_count * (int)p->directions, rc = PT_OK;
    if (a && a->type != PT_ATTR_STRINGS)
        return pt_op_fail(c, PT_EINVAL, "attribute 'activations' is not a list of strings");
    if (a && a->count < (size_t)need)
        return pt_op_fail(c, PT_EINVAL, "attribute 'activations' has %zu values, needs %d", a->count, need);
    for (int i = 0; rc == PT_OK && i < need; i++) {
        if (a)
            rc = find_act(c, a->strings[i], &p->acts[i]);
        else
            p->acts[i].kind = defaults[p->kind][i % p->act_count];
    }
    if (rc == PT_OK)
        rc = read_parameters(c, p, "activation_alpha", has_alpha, false);
    return rc == PT_OK ? read_parameters(c, p, "activation_beta", has_beta, true) : rc;
}

/* --- shapes ------------------------------------------------------------------------------------------------------------------------------- */

static int check_shape(struct pt_op_ctx *c, enum pt_rnn_input i, int rank, const int64_t *dims)
{
    const struct pt_tensor *t = pt_op_in(c, (int)i);
    enum pt_dtype want = i == PT_RNN_LENGTHS ? PT_INT32 : c->in[PT_RNN_X]->dtype;
    if (!t || (t->dtype == want && t->rank == rank && memcmp(t->dims, dims, (size_t)rank * sizeof *dims) == 0))
        return PT_OK;
    return pt_op_fail(c, PT_EINVAL, "input %d is %s, must be %s", (int)i, PT_SHAPE(t), pt_shape_text(want, rank, dims).s);
}

static int check_shapes(struct pt_op_ctx *c, const struct pt_rnn *p)
{
    int64_t d = p->directions, b = p->batch, h = p->hidden, g = p->gates;
    const int64_t state[3] = {p->batch_first ? b : d, p->batch_first ? d : b, h};
    int rc;
    if ((rc = check_shape(c, PT_RNN_W, 3, (const int64_t[]){d, g * h, p->input})) < 0 ||
        (rc = check_shape(c, PT_RNN_R, 3, (const int64_t[]){d, g * h, h})) < 0 ||
        (rc = check_shape(c, PT_RNN_B, 2, (const int64_t[]){d, 2 * g * h})) < 0 || (rc = check_shape(c, PT_RNN_LENGTHS, 1, &b)) < 0 ||
        (rc = check_shape(c, PT_RNN_H0, 3, state)) < 0 || (rc = check_shape(c, PT_RNN_C0, 3, state)) < 0)
        return rc;
    return check_shape(c, PT_RNN_P, 2, (const int64_t[]){d, 3 * h});
}

static int read_attrs(struct pt_op_ctx *c, struct pt_rnn *p, int64_t *hidden)
{
    static const char *const directions[] = {"forward", "reverse", "bidirectional", NULL};
    int direction, rc;
    if ((rc = pt_attr_choice(c, "direction", directions, 0, &direction)) < 0 || (rc = pt_attr_int(c, "layout", 0, 0, 1, &p->batch_first)) < 0 ||
        (rc = pt_attr_float(c, "clip", INFINITY, &p->clip)) < 0 || (rc = pt_attr_int(c, "hidden_size", 0, 1, INT32_MAX, hidden)) < 0 ||
        (rc = pt_attr_int(c, "linear_before_reset", 0, INT32_MIN, INT32_MAX, &p->linear_before_reset)) < 0 ||
        (rc = pt_attr_int(c, "input_forget", 0, INT32_MIN, INT32_MAX, &p->input_forget)) < 0)
        return rc;
    p->reverse = direction == 1;
    p->directions = direction == 2 ? 2 : 1;
    p->clip = fabsf(p->clip);
    return read_acts(c, p);
}

static int rnn_infer(struct pt_op_ctx *c, enum pt_rnn_kind kind)
{
    struct pt_rnn *p = c->params;
    const struct pt_tensor *x = c->in[PT_RNN_X], *r = c->in[PT_RNN_R];
    int64_t hidden;
    p->kind = kind;
    p->gates = kind == PT_RNN_PLAIN ? 1 : kind == PT_RNN_GRU ? 3 : 4;
    int rc = read_attrs(c, p, &hidden);
    if (rc < 0)
        return rc;
    if (x->rank != 3 || r->rank != 3)
        return pt_op_fail(c, PT_EINVAL, "inputs X %s and R %s must have rank 3", PT_SHAPE(x), PT_SHAPE(r));
    p->batch = x->dims[!p->batch_first];
    p->length = x->dims[p->batch_first];
    p->input = x->dims[2];
    p->hidden = r->dims[2];
    if (p->hidden > INT32_MAX || (hidden && hidden != p->hidden))
        return pt_op_fail(c, PT_EINVAL, "attribute 'hidden_size' = %lld, but R is %s", (long long)hidden, PT_SHAPE(r));
    if ((rc = check_shapes(c, p)) < 0)
        return rc;
    int64_t t = p->length, d = p->directions, b = p->batch, h = p->hidden;
    const int64_t state[3] = {p->batch_first ? b : d, p->batch_first ? d : b, h};
    if (p->batch_first)
        pt_op_set_out(c, 0, x->dtype, 4, (const int64_t[]){b, t, d, h});
    else
        pt_op_set_out(c, 0, x->dtype, 4, (const int64_t[]){t, d, b, h});
    pt_op_set_out(c, 1, x->dtype, 3, state);
    pt_op_set_out(c, 2, x->dtype, 3, state);
    c->scratch_bytes = pt_rnn_scratch(p, x->dtype == PT_DOUBLE ? PT_DOUBLE : PT_FLOAT);
    if (c->scratch_bytes == SIZE_MAX)
        return pt_op_fail(c, PT_ELIMIT, "input %s with %lld hidden values takes too much memory", PT_SHAPE(x), (long long)h);
    return PT_OK;
}

static int plain_infer(struct pt_op_ctx *c)
{
    return rnn_infer(c, PT_RNN_PLAIN);
}

static int gru_infer(struct pt_op_ctx *c)
{
    return rnn_infer(c, PT_RNN_GRU);
}

static int lstm_infer(struct pt_op_ctx *c)
{
    return rnn_infer(c, PT_RNN_LSTM);
}

static uint64_t rnn_macs(const struct pt_op_ctx *c)
{
    const struct pt_rnn *p = c->params;
    return (uint64_t)(p->directions * p->length * p->batch) * (uint64_t)(p->gates * p->hidden) * (uint64_t)(p->input + p->hidden);
}

#define V(...)                                                                                                                                       \
    {                                                                                                                                                \
        __VA_ARGS__                                                                                                                                  \
    }
#define ROW(sym, op_name, sinces, ins, outs, infer_fn)                                                                                               \
    const struct pt_op pt_op_##sym = {.type = op_name,                                                                                               \
                                      .since = sinces,                                                                                               \
                                      .min_in = 3,                                                                                                   \
                                      .max_in = ins,                                                                                                 \
                                      .max_out = outs,                                                                                               \
                                      .types = {PT_TS_REAL, PT_TS_REAL, PT_TS_REAL, PT_TS_REAL | PT_T(PT_INT32)},                                    \
                                      .flags = PT_OP_SAME_TYPE | PT_OP_WIDEN,                                                                        \
                                      .params_size = sizeof(struct pt_rnn),                                                                          \
                                      .infer = infer_fn,                                                                                             \
                                      .run = pt_rnn_run,                                                                                             \
                                      .macs = rnn_macs};
ROW(rnn, "RNN", V(1, 7, 14, 22), 6, 2, plain_infer)
ROW(gru, "GRU", V(1, 3, 7, 14, 22), 6, 2, gru_infer)
ROW(lstm, "LSTM", V(1, 7, 14, 22), 8, 3, lstm_infer)
