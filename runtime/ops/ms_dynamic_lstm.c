/* SPDX-License-Identifier: Apache-2.0
 *
 * ms_dynamic_lstm.c: com.microsoft's DynamicQuantizeLSTM: an LSTM whose weights are 8 bits wide, [directions, input, 4 hidden] and [directions,
 * hidden, 4 hidden]. The input is quantised as a whole, the state of all sequences together at every step. Gates stand in the order i o f c.
 */
#include "runtime/ops/quant.h"

#include <math.h>

enum { X, W, R, BIAS, LENGTHS, H0, C0, PEEPHOLE, W_SCALE, W_ZERO, R_SCALE, R_ZERO };

struct params {
    int64_t length, batch, input, hidden, directions;
    bool reverse; /* a single direction backwards */
    bool input_forget;
    float clip;
    size_t xw_at, acc_at, q_at, gates_at, h_at, c_at;
};

/* The activations of every model that a quantiser has written: sigmoid, tanh, tanh. */
static int check_activations(struct pt_op_ctx *c)
{
    static const char *const usual[] = {"Sigmoid", "Tanh", "Tanh"};
    const struct pt_onnx_attr *a = pt_node_attr(c->node, "activations");
    for (size_t i = 0; a && i < a->count; i++)
        if (a->type != PT_ATTR_STRINGS || !pt_str_eq(a->strings[i], pt_str(usual[i % 3])))
            return pt_op_fail(c, PT_EUNSUPPORTED, "attribute 'activations' has other values than Sigmoid, Tanh, Tanh");
    return PT_OK;
}

static int read_attributes(struct pt_op_ctx *c, struct params *p)
{
    static const char *const directions[] = {"forward", "reverse", "bidirectional", NULL};
    int64_t hidden, forget;
    int kind, rc;
    if ((rc = pt_attr_choice(c, "direction", directions, 0, &kind)) < 0 || (rc = pt_attr_float(c, "clip", INFINITY, &p->clip)) < 0 ||
        (rc = pt_attr_int(c, "input_forget", 0, 0, 1, &forget)) < 0 || (rc = pt_attr_int(c, "hidden_size", 0, 1, INT32_MAX, &hidden)) < 0 ||
        (rc = check_activations(c)) < 0)
        return rc;
    p->directions = kind == 2 ? 2 : 1;
    p->reverse = kind == 1;
    p->input_forget = forget != 0;
    p->hidden = hidden;
    return PT_OK;
}

static int check_shape(struct pt_op_ctx *c, int i, const char *what, uint32_t types, int rank, const int64_t *dims)
{
    const struct pt_tensor *t = pt_op_in(c, i);
    if (!t)
        return PT_OK;
    bool fits = (types & PT_T(t->dtype)) && t->rank == rank;
    for (int k = 0; fits && k < rank; k++)
        fits = t->dims[k] == dims[k];
    return fits ? PT_OK
                : pt_op_fail(c, PT_EINVAL, "input %d (%s) is %s, must be %s", i, what, PT_SHAPE(t), pt_shape_text(PT_UNDEFINED, rank, dims).s);
}

/* One value per direction, or one per column of it. */
static int check_scale(struct pt_op_ctx *c, int scale, const char *what, const struct params *p, enum pt_dtype weights)
{
    for (int i = scale; i < scale + 2; i++) {
        const struct pt_tensor *t = pt_op_in(c, i);
        int64_t n = t ? pt_tensor_count(t) : 0;
        if (!t || t->dtype != (i == scale ? PT_FLOAT : weights) || (n != p->directions && n != p->directions * 4 * p->hidden))
            return pt_op_fail(c, PT_EINVAL, "input %d (%s of %s) is %s, must have %lld or %lld values", i, i == scale ? "scale" : "zero point", what,
                              t ? PT_SHAPE(t) : "not given", (long long)p->directions, (long long)(p->directions * 4 * p->hidden));
    }
    return PT_OK;
}

static int check_operands(struct pt_op_ctx *c, const struct params *p)
{
    const int64_t d = p->directions, h = p->hidden, b = p->batch;
    const int64_t w[3] = {d, p->input, 4 * h}, r[3] = {d, h, 4 * h}, bias[2] = {d, 8 * h}, state[3] = {d, b, h}, peep[2] = {d, 3 * h};
    int rc;
    if ((rc = check_shape(c, W, "W", PT_TS_8BIT, 3, w)) < 0 || (rc = check_shape(c, R, "R", PT_TS_8BIT, 3, r)) < 0 ||
        (rc = check_shape(c, BIAS, "B", PT_T(PT_FLOAT), 2, bias)) < 0 || (rc = check_shape(c, LENGTHS, "sequence_lens", PT_T(PT_INT32), 1, &b)) < 0 ||
        (rc = check_shape(c, H0, "initial_h", PT_T(PT_FLOAT), 3, state)) < 0 ||
        (rc = check_shape(c, C0, "initial_c", PT_T(PT_FLOAT), 3, state)) < 0 || (rc = check_shape(c, PEEPHOLE, "P", PT_T(PT_FLOAT), 2, peep)) < 0 ||
        (rc = check_scale(c, W_SCALE, "W", p, c->in[W]->dtype)) < 0)
        return rc;
    return check_scale(c, R_SCALE, "R", p, c->in[R]->dtype);
}

static bool room(size_t *total, int64_t a, int64_t b, size_t size, size_t *at)
{
    size_t bytes;
    *at = *total;
    return !__builtin_mul_overflow((size_t)a, (size_t)b, &bytes) && !__builtin_mul_overflow(bytes, size, &bytes) && bytes < SIZE_MAX / 8 &&
           !__builtin_add_overflow(*total, (bytes + 63) / 64 * 64, total);
}

static int infer(struct pt_op_ctx *c)
{
    struct params *p = c->params;
    const struct pt_tensor *x = c->in[X];
    int rc = read_attributes(c, p);
    if (rc < 0)
        return rc;
    if (x->rank != 3 || c->in[R]->rank != 3)
        return pt_op_fail(c, PT_EINVAL, "inputs %s and R %s must have rank 3", PT_SHAPE(x), PT_SHAPE(c->in[R]));
    p->length = x->dims[0];
    p->batch = x->dims[1];
    p->input = x->dims[2];
    if (!p->hidden)
        p->hidden = c->in[R]->dims[1];
    if (p->hidden < 1 || p->hidden > (1 << 24))
        return pt_op_fail(c, PT_EINVAL, "a hidden size of %lld makes no sense", (long long)p->hidden);
    if ((rc = check_operands(c, p)) < 0)
        return rc;
    int64_t rows, widest = p->input > p->hidden ? p->input : p->hidden, steps = p->length > 1 ? p->length : 1;
    if (__builtin_mul_overflow(steps, p->batch, &rows) || !room(&c->scratch_bytes, rows, 4 * p->hidden, sizeof(float), &p->xw_at) ||
        !room(&c->scratch_bytes, rows, 4 * p->hidden, sizeof(float), &p->acc_at) || !room(&c->scratch_bytes, rows, widest, 1, &p->q_at) ||
        !room(&c->scratch_bytes, p->batch, 4 * p->hidden, sizeof(float), &p->gates_at) ||
        !room(&c->scratch_bytes, p->batch, p->hidden, sizeof(float), &p->h_at) ||
        !room(&c->scratch_bytes, p->batch, p->hidden, sizeof(float), &p->c_at))
        return pt_op_fail(c, PT_ELIMIT, "the sequences are too large");
    const int64_t y[4] = {p->length, p->directions, p->batch, p->hidden};
    pt_op_set_out(c, 0, PT_FLOAT, 4, y);
    pt_op_set_out(c, 1, PT_FLOAT, 3, y + 1);
    pt_op_set_out(c, 2, PT_FLOAT, 3, y + 1);
    return PT_OK;
}

/* --- run -------------------------------------------------------------------------------------------------------------------------------- */

/* What belongs to direction d. */
static struct pt_tensor slice(const struct pt_tensor *t, int64_t directions, int64_t d)
{
    struct pt_tensor s = *t;
    int64_t n = pt_tensor_count(t) / directions;
    s.rank = 1;
    s.dims[0] = n;
    s.data = (char *)t->data + (size_t)(d * n) * pt_dtype_size(t->dtype);
    return s;
}

static void *area(const struct pt_op_ctx *c, size_t at)
{
    return (char *)c->scratch + at;
}

/* y[rows x 4 hidden] = x[rows x k] times the weights of direction d, x quantised together. */
static void multiply(struct pt_op_ctx *c, int weights, int scale, int64_t d, const float *x, int64_t rows, float *y)
{
    const struct params *p = c->params;
    int64_t n = 4 * p->hidden, k = c->in[weights]->dims[1];
    struct pt_tensor q = {.dtype = PT_UINT8, .data = area(c, p->q_at)}, scales = slice(c->in[scale], p->directions, d);
    struct pt_tensor zeros = slice(c->in[scale + 1], p->directions, d), x_zero = {.dtype = PT_UINT8};
    int32_t *acc = area(c, p->acc_at), zero;
    float x_scale;
    pt_quant_measure(x, rows * k, &x_scale, &zero);
    for (int64_t i = 0; i < rows * k; i++)
        pt_quant_put(&q, i, x[i] / x_scale, zero);
    uint8_t zero_byte = (uint8_t)zero;
    x_zero.data = &zero_byte;
    struct pt_int_product g = {.m = rows,
                               .n = n,
                               .k = k,
                               .a_row = k,
                               .a_col = 1,
                               .b_row = n,
                               .b_col = 1,
                               .a_type = PT_UINT8,
                               .b_type = c->in[weights]->dtype,
                               .a = q.data,
                               .b = (const char *)c->in[weights]->data + d * k * n,
                               .a_zero = &x_zero,
                               .b_zero = &zeros,
                               .y = acc};
    pt_int_product(&g, c->threads);
    for (int64_t i = 0; i < rows * n; i++)
        y[i] = (float)acc[i] * (x_scale * pt_quant_scale(&scales, i % n));
}

static float sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

static float clipped(const struct params *p, float x)
{
    return x > p->clip ? p->clip : x < -p->clip ? -p->clip : x;
}

/* g: the gates of one sequence without bias. */
static void cell(const struct pt_op_ctx *c, int64_t d, const float *g, float *h, float *state)
{
    const struct params *p = c->params;
    const struct pt_tensor *bt = pt_op_in(c, BIAS), *pt = pt_op_in(c, PEEPHOLE);
    int64_t n = p->hidden;
    const float *bias = bt ? (const float *)bt->data + d * 8 * n : NULL, *peep = pt ? (const float *)pt->data + d * 3 * n : NULL;
    for (int64_t k = 0; k < n; k++) {
        float gate[4];
        for (int i = 0; i < 4; i++)
            gate[i] = g[i * n + k] + (bias ? bias[i * n + k] + bias[(i + 4) * n + k] : 0);
        float before = state[k], in = sigmoid(clipped(p, gate[0] + (peep ? peep[k] * before : 0)));
        float forget = p->input_forget ? 1 - in : sigmoid(clipped(p, gate[2] + (peep ? peep[2 * n + k] * before : 0)));
        state[k] = forget * before + in * tanhf(clipped(p, gate[3]));
        h[k] = sigmoid(clipped(p, gate[1] + (peep ? peep[n + k] * state[k] : 0))) * tanhf(state[k]);
    }
}

static int64_t length_of(const struct pt_op_ctx *c, int64_t b)
{
    const struct pt_tensor *t = pt_op_in(c, LENGTHS);
    return t ? ((const int32_t *)t->data)[b] : ((const struct params *)c->params)->length;
}

static void start_state(const struct pt_op_ctx *c, int i, int64_t d, float *state)
{
    const struct params *p = c->params;
    const struct pt_tensor *t = pt_op_in(c, i);
    size_t n = (size_t)(p->batch * p->hidden);
    if (t)
        memcpy(state, (const float *)t->data + (size_t)d * n, n * sizeof *state);
    else
        memset(state, 0, n * sizeof *state);
}

static float *wanted(const struct pt_op_ctx *c, int i)
{
    return i < c->out_count && c->out[i] ? c->out[i]->data : NULL;
}

/* Step s of direction d for all sequences: the products with the state first, since they are quantised together. */
static void step(struct pt_op_ctx *c, int64_t d, int64_t s, bool reverse)
{
    const struct params *p = c->params;
    int64_t n = p->hidden;
    float *xw = area(c, p->xw_at), *gates = area(c, p->gates_at), *h = area(c, p->h_at), *cells = area(c, p->c_at), *y = wanted(c, 0);
    multiply(c, R, R_SCALE, d, h, p->batch, gates);
    for (int64_t b = 0; b < p->batch; b++) {
        int64_t length = length_of(c, b), t = reverse ? length - 1 - s : s;
        if (s >= length)
            continue;
        for (int64_t i = 0; i < 4 * n; i++)
            gates[b * 4 * n + i] += xw[(t * p->batch + b) * 4 * n + i];
        cell(c, d, gates + b * 4 * n, h + b * n, cells + b * n);
        if (y)
            memcpy(y + ((t * p->directions + d) * p->batch + b) * n, h + b * n, (size_t)n * sizeof *y);
    }
}

static int run(struct pt_op_ctx *c)
{
    const struct params *p = c->params;
    size_t state = (size_t)(p->batch * p->hidden);
    int64_t longest = 0;
    for (int64_t b = 0; b < p->batch; b++) {
        int64_t n = length_of(c, b);
        if (n < 0 || n > p->length)
            return pt_op_fail(c, PT_EINVAL, "sequence %lld has the length %lld, the input %lld steps", (long long)b, (long long)n,
                              (long long)p->length);
        longest = n > longest ? n : longest;
    }
    if (wanted(c, 0))
        memset(wanted(c, 0), 0, c->out[0]->size_bytes);
    for (int64_t d = 0; d < p->directions; d++) {
        multiply(c, W, W_SCALE, d, c->in[X]->data, longest * p->batch, area(c, p->xw_at));
        start_state(c, H0, d, area(c, p->h_at));
        start_state(c, C0, d, area(c, p->c_at));
        for (int64_t s = 0; s < longest; s++)
            step(c, d, s, p->reverse || d == 1);
        if (wanted(c, 1))
            memcpy(wanted(c, 1) + (size_t)d * state, area(c, p->h_at), state * sizeof(float));
        if (wanted(c, 2))
            memcpy(wanted(c, 2) + (size_t)d * state, area(c, p->c_at), state * sizeof(float));
    }
    return PT_OK;
}

const struct pt_op pt_op_ms_dynamic_quantize_lstm = {.domain = "com.microsoft",
                                                     .type = "DynamicQuantizeLSTM",
                                                     .since = {1},
                                                     .min_in = 3,
                                                     .max_in = 12,
                                                     .max_out = 3,
                                                     .types = {PT_T(PT_FLOAT), PT_TS_8BIT, PT_TS_8BIT, PT_TS_8BIT | PT_T(PT_FLOAT) | PT_T(PT_INT32)},
                                                     .params_size = sizeof(struct params),
                                                     .infer = infer,
                                                     .run = run};
