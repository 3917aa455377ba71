/* SPDX-License-Identifier: Apache-2.0
 *
 * ms_qlinear.c: com.microsoft's operators from quantised tensors to quantised tensors, besides products and convolutions. Those of two inputs
 * compute in float what their plain namesakes do; those of one input are a table of 256 results.
 */
#include "runtime/kernels/kernels.h"
#include "runtime/ops/quant.h"

/* --- QLinearAdd, QLinearMul: A, A_scale, A_zero, B, B_scale, B_zero, C_scale, C_zero ---------------------------------------------------- */

static int binary_infer(struct pt_op_ctx *c)
{
    int64_t dims[PT_MAX_RANK];
    int rank = 0, rc;
    if ((rc = pt_quant_needs(c, 1, "A_scale")) < 0 || (rc = pt_quant_needs(c, 3, "B")) < 0 || (rc = pt_quant_needs(c, 4, "B_scale")) < 0 ||
        (rc = pt_quant_needs(c, 6, "C_scale")) < 0)
        return rc;
    const struct pt_tensor *a = c->in[0], *b = c->in[3];
    if ((rc = pt_quant_type(c, 3, "B", PT_T(a->dtype))) < 0)
        return rc;
    for (int i = 1; i < 8; i += i == 4 ? 2 : 3)
        if ((rc = pt_quant_params(c, i, i + 1, a->dtype, 1)) < 0)
            return rc;
    if (!pt_bcast_dims(dims, &rank, a) || !pt_bcast_dims(dims, &rank, b))
        return pt_op_fail(c, PT_EINVAL, "inputs %s and %s do not broadcast", PT_SHAPE(a), PT_SHAPE(b));
    pt_op_set_out(c, 0, a->dtype, rank, dims);
    return PT_OK;
}

#define LANES 16 /* a fixed count is what the compiler makes vectors of */
#define GRAIN 16384

struct combine {
    const struct pt_op_ctx *c;
    struct pt_bcast w;
    bool adds, numbers;
    float ka, kb, kc; /* factors of a and b, a product has one; with `numbers` the three scales */
    int32_t za, zb;
    float zero, lo, hi; /* of the result, the bounds less the zero point */
};

/* A sum is rounded once more than a fused one would be, but from double. */
static inline __attribute__((always_inline)) float combine_one(int32_t a, int32_t b, const struct combine *k, bool adds, bool numbers)
{
    if (numbers) {
        float x = (float)a * k->ka, y = (float)b * k->kb;
        return (adds ? x + y : x * y) / k->kc;
    }
    return adds ? (float)((double)a * (double)k->ka + (double)((float)b * k->kb)) : (float)(a * b) * k->ka;
}

/* Rounding by adding and taking away 1.5 * 2^23: exact for what the bounds leave, half to even. NaN fails both comparisons and is the lowest. */
static inline int32_t quantise(float v, const struct combine *k)
{
    v = v > k->lo ? v : k->lo;
    v = v < k->hi ? v : k->hi;
    return (int32_t)((v + 0x1.8p23f) - 0x1.8p23f + k->zero);
}

/* adds and numbers are constants wherever this is inlined. */
#define COMBINE(T, s)                                                                                                                                \
    static inline __attribute__((always_inline)) void combine_##s(const struct combine *args, const T *a, int64_t a_step, const T *b,                \
                                                                  int64_t b_step, T *y, int64_t n, bool adds, bool numbers)                          \
    {                                                                                                                                                \
        const struct combine k = *args;                                                                                                              \
        int64_t i = 0;                                                                                                                               \
        for (; a_step && b_step && i + LANES <= n; i += LANES)                                                                                       \
            for (int j = 0; j < LANES; j++)                                                                                                          \
                y[i + j] = (T)quantise(combine_one(a[i + j] - k.za, b[i + j] - k.zb, &k, adds, numbers), &k);                                        \
        for (; i < n; i++)                                                                                                                           \
            y[i] = (T)quantise(combine_one(a[i * a_step] - k.za, b[i * b_step] - k.zb, &k, adds, numbers), &k);                                      \
    }                                                                                                                                                \
    static void combine_row_##s(const struct combine *k, const T *a, int64_t a_step, const T *b, int64_t b_step, T *y, int64_t n)                    \
    {                                                                                                                                                \
        if (k->adds && k->numbers)                                                                                                                   \
            combine_##s(k, a, a_step, b, b_step, y, n, true, true);                                                                                  \
        else if (k->adds)                                                                                                                            \
            combine_##s(k, a, a_step, b, b_step, y, n, true, false);                                                                                 \
        else                                                                                                                                         \
            combine_##s(k, a, a_step, b, b_step, y, n, false, k->numbers);                                                                           \
    }
COMBINE(uint8_t, u8)
COMBINE(int8_t, i8)

/* Elements [begin, end) of row r. */
static void combine_part(const struct combine *k, int64_t r, int64_t begin, int64_t end)
{
    int64_t off[PT_BCAST_MAX];
    pt_bcast_row(&k->w, r, off);
    int64_t sa = k->w.step[0], sb = k->w.step[1], a = off[0] + begin * sa, b = off[1] + begin * sb, y = r * k->w.n + begin;
    const struct pt_op_ctx *c = k->c;
    if (k->numbers && sa == 1 && sb == 1) {
        pt_kernels()->int_combine(&(struct pt_int_combine){.n = (size_t)(end - begin),
                                                           .a = (const uint8_t *)c->in[0]->data + a,
                                                           .b = (const uint8_t *)c->in[3]->data + b,
                                                           .is_signed = c->out[0]->dtype == PT_INT8,
                                                           .adds = k->adds,
                                                           .a_zero = k->za,
                                                           .b_zero = k->zb,
                                                           .a_scale = k->ka,
                                                           .b_scale = k->kb,
                                                           .y_scale = k->kc,
                                                           .zero = (int32_t)k->zero,
                                                           .lo = (int32_t)(k->lo + k->zero),
                                                           .hi = (int32_t)(k->hi + k->zero),
                                                           .y = (uint8_t *)c->out[0]->data + y});
        return;
    }
    if (c->out[0]->dtype == PT_UINT8)
        combine_row_u8(k, (const uint8_t *)c->in[0]->data + a, sa, (const uint8_t *)c->in[3]->data + b, sb, (uint8_t *)c->out[0]->data + y,
                       end - begin);
    else
        combine_row_i8(k, (const int8_t *)c->in[0]->data + a, sa, (const int8_t *)c->in[3]->data + b, sb, (int8_t *)c->out[0]->data + y, end - begin);
}

static void combine_range(void *arg, size_t begin, size_t end)
{
    const struct combine *k = arg;
    for (int64_t at = (int64_t)begin; at < (int64_t)end;) {
        int64_t i = at % k->w.n, n = k->w.n - i < (int64_t)end - at ? k->w.n - i : (int64_t)end - at;
        combine_part(k, at / k->w.n, i, i + n);
        at += n;
    }
}

/* The attribute that rewrite_qlinear.c sets: every rounding as DequantizeLinear, the plain operator and QuantizeLinear have it. */
static bool as_numbers(const struct pt_op_ctx *c)
{
    return pt_node_attr(c->node, "pintle.as_numbers") != NULL;
}

static int combine_all(struct pt_op_ctx *c, bool adds)
{
    const struct pt_tensor *in[2] = {c->in[0], c->in[3]};
    float sa = pt_quant_scale(c->in[1], 0), sb = pt_quant_scale(c->in[4], 0), sc = pt_quant_scale(c->in[6], 0);
    int32_t zero = pt_quant_zero(pt_op_in(c, 7), 0), lo, hi;
    pt_quant_range(c->out[0]->dtype, &lo, &hi);
    struct combine k = {.c = c,
                        .adds = adds,
                        .ka = adds ? sa / sc : sa * sb / sc,
                        .kb = sb / sc,
                        .za = pt_quant_zero(pt_op_in(c, 2), 0),
                        .zb = pt_quant_zero(pt_op_in(c, 5), 0),
                        .zero = (float)zero,
                        .lo = (float)(lo - zero),
                        .hi = (float)(hi - zero)};
    if (as_numbers(c)) {
        k.numbers = true;
        k.ka = sa;
        k.kb = sb;
        k.kc = sc;
    }
    pt_bcast_init(&k.w, c->out[0], 2, in);
    pt_parallel_for(c->threads, (size_t)pt_tensor_count(c->out[0]), GRAIN, combine_range, &k);
    return PT_OK;
}

static int qlinear_add_run(struct pt_op_ctx *c)
{
    return combine_all(c, true);
}

static int qlinear_mul_run(struct pt_op_ctx *c)
{
    return combine_all(c, false);
}

#define TYPES                                                                                                                                        \
    {                                                                                                                                                \
        PT_TS_8BIT, PT_T(PT_FLOAT), PT_TS_8BIT, PT_TS_8BIT | PT_T(PT_FLOAT)                                                                          \
    }
#define BINARY(sym, op_name)                                                                                                                         \
    const struct pt_op pt_op_ms_##sym = {.domain = "com.microsoft",                                                                                  \
                                         .type = op_name,                                                                                            \
                                         .since = {1},                                                                                               \
                                         .min_in = 1,                                                                                                \
                                         .max_in = 8,                                                                                                \
                                         .max_out = 1,                                                                                               \
                                         .types = TYPES,                                                                                             \
                                         .infer = binary_infer,                                                                                      \
                                         .run = sym##_run};
BINARY(qlinear_add, "QLinearAdd")
BINARY(qlinear_mul, "QLinearMul")

/* --- tables: X, X_scale, X_zero, Y_scale, Y_zero ------------------------------------------------------------------------------------- */

struct unary_params {
    float alpha;
};

static int unary_infer(struct pt_op_ctx *c)
{
    struct unary_params *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int rc = pt_attr_float(c, "alpha", 0.01f, &p->alpha);
    if (rc < 0 || (rc = pt_quant_needs(c, 1, "X_scale")) < 0 || (rc = pt_quant_needs(c, 3, "Y_scale")) < 0 ||
        (rc = pt_quant_params(c, 1, 2, x->dtype, 1)) < 0 || (rc = pt_quant_params(c, 3, 4, x->dtype, 1)) < 0)
        return rc;
    return pt_infer_same(c);
}

static float sigmoid(float x, float alpha)
{
    (void)alpha;
    return 1 / (1 + expf(-x));
}

static float leaky(float x, float alpha)
{
    return x >= 0 ? x : alpha * x;
}

/* table[q] of y for each byte q of x */
static void fill_table(const struct pt_tensor *like, float x_scale, int32_t x_zero, float y_scale, int32_t y_zero, float (*fn)(float, float),
                       float alpha, uint8_t table[256])
{
    struct pt_tensor y = {.dtype = like->dtype, .data = table};
    for (int32_t i = 0; i < 256; i++) {
        float x = x_scale * (float)((like->dtype == PT_INT8 ? (int32_t)(int8_t)i : i) - x_zero);
        pt_quant_put(&y, i, (fn ? fn(x, alpha) : x) / y_scale, y_zero);
    }
}

static int unary_run(struct pt_op_ctx *c, float (*fn)(float, float))
{
    const struct unary_params *p = c->params;
    const uint8_t *x = c->in[0]->data;
    uint8_t table[256], *y = c->out[0]->data;
    fill_table(c->in[0], pt_quant_scale(c->in[1], 0), pt_quant_zero(c->in[2], 0), pt_quant_scale(c->in[3], 0), pt_quant_zero(pt_op_in(c, 4), 0), fn,
               p->alpha, table);
    for (int64_t i = 0, n = pt_tensor_count(c->in[0]); i < n; i++)
        y[i] = table[x[i]];
    return PT_OK;
}

static int qlinear_sigmoid_run(struct pt_op_ctx *c)
{
    return unary_run(c, sigmoid);
}

static int qlinear_leaky_relu_run(struct pt_op_ctx *c)
{
    return unary_run(c, leaky);
}

#define UNARY(sym, op_name)                                                                                                                          \
    const struct pt_op pt_op_ms_##sym = {.domain = "com.microsoft",                                                                                  \
                                         .type = op_name,                                                                                            \
                                         .since = {1},                                                                                               \
                                         .min_in = 1,                                                                                                \
                                         .max_in = 5,                                                                                                \
                                         .max_out = 1,                                                                                               \
                                         .types = TYPES,                                                                                             \
                                         .params_size = sizeof(struct unary_params),                                                                 \
                                         .infer = unary_infer,                                                                                       \
                                         .run = sym##_run};
UNARY(qlinear_sigmoid, "QLinearSigmoid")
UNARY(qlinear_leaky_relu, "QLinearLeakyRelu")

/* --- QLinearConcat: Y_scale, Y_zero, then X, X_scale, X_zero for each input ------------------------------------------------------------- */

struct concat_params {
    int64_t outer, inner; /* inner: bytes of the result per outer index */
};

static int concat_infer(struct pt_op_ctx *c)
{
    struct concat_params *p = c->params;
    const struct pt_tensor *first = pt_op_in(c, 2);
    int64_t axis, dims[PT_MAX_RANK];
    int a, rc, n = (c->in_count - 2) / 3;
    if (c->in_count < 5 || (c->in_count - 2) % 3)
        return pt_op_fail(c, PT_EINVAL, "%d inputs: must be a scale and a zero point, then three for each tensor", c->in_count);
    for (int i = 0; i < c->in_count; i++)
        if ((rc = pt_quant_needs(c, i, i < 2 ? "of the result" : "of a tensor")) < 0)
            return rc;
    if (!pt_node_attr(c->node, "axis"))
        return pt_op_fail(c, PT_EINVAL, "attribute 'axis' is missing");
    if ((rc = pt_attr_int(c, "axis", 0, INT32_MIN, INT32_MAX, &axis)) < 0 ||
        (rc = pt_op_axis(c, "attribute 'axis'", axis, first->rank, false, &a)) < 0 || (rc = pt_quant_type(c, 2, "X", PT_TS_8BIT)) < 0 ||
        (rc = pt_quant_params(c, 0, 1, first->dtype, 1)) < 0)
        return rc;
    for (int i = 0; i < first->rank; i++)
        dims[i] = i == a ? 0 : first->dims[i];
    for (int i = 0; i < n; i++) {
        const struct pt_tensor *t = c->in[2 + 3 * i];
        bool fits = t->rank == first->rank && t->dtype == first->dtype;
        for (int k = 0; fits && k < t->rank; k++)
            fits = k == a || t->dims[k] == first->dims[k];
        if (!fits || __builtin_add_overflow(dims[a], t->dims[a], &dims[a]))
            return pt_op_fail(c, PT_EINVAL, "input %d is %s, which does not join %s along axis %d", 2 + 3 * i, PT_SHAPE(t), PT_SHAPE(first), a);
        if ((rc = pt_quant_params(c, 3 + 3 * i, 4 + 3 * i, t->dtype, 1)) < 0)
            return rc;
    }
    pt_op_set_out(c, 0, first->dtype, first->rank, dims);
    p->outer = pt_dims_product(dims, a);
    p->inner = pt_dims_product(dims + a, first->rank - a);
    return PT_OK;
}

static int concat_run(struct pt_op_ctx *c)
{
    const struct concat_params *p = c->params;
    float y_scale = pt_quant_scale(c->in[0], 0);
    int32_t y_zero = pt_quant_zero(c->in[1], 0);
    int64_t at = 0;
    for (int i = 2; i < c->in_count; i += 3) {
        const struct pt_tensor *t = c->in[i];
        const uint8_t *x = t->data;
        uint8_t table[256];
        int64_t inner = p->outer ? pt_tensor_count(t) / p->outer : 0;
        fill_table(t, pt_quant_scale(c->in[i + 1], 0), pt_quant_zero(c->in[i + 2], 0), y_scale, y_zero, NULL, 0, table);
        bool same = true;
        for (int k = 0; k < 256; k++)
            same = same && table[k] == k;
        for (int64_t o = 0; o < p->outer; o++) {
            uint8_t *y = (uint8_t *)c->out[0]->data + o * p->inner + at;
            if (same && inner)
                memcpy(y, x + o * inner, (size_t)inner);
            for (int64_t k = 0; !same && k < inner; k++)
                y[k] = table[x[o * inner + k]];
        }
        at += inner;
    }
    return PT_OK;
}

const struct pt_op pt_op_ms_qlinear_concat = {.domain = "com.microsoft",
                                              .type = "QLinearConcat",
                                              .since = {1},
                                              .min_in = 5,
                                              .max_in = PT_OP_VARIADIC,
                                              .max_out = 1,
                                              .params_size = sizeof(struct concat_params),
                                              .infer = concat_infer,
                                              .run = concat_run};

/* --- QLinearSoftmax: X, X_scale, X_zero, Y_scale, Y_zero --------------------------------------------------------------------------------- */

struct softmax_params {
    int64_t outer, n, inner;
};

static int softmax_infer(struct pt_op_ctx *c)
{
    struct softmax_params *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int64_t axis, opset;
    int a, rc;
    if (!pt_node_attr(c->node, "opset"))
        return pt_op_fail(c, PT_EINVAL, "attribute 'opset' is missing");
    if ((rc = pt_attr_int(c, "opset", 0, 1, INT32_MAX, &opset)) < 0 ||
        (rc = pt_attr_int(c, "axis", opset < 13 ? 1 : -1, INT32_MIN, INT32_MAX, &axis)) < 0 ||
        (rc = pt_op_axis(c, "attribute 'axis'", axis, x->rank, opset < 13, &a)) < 0 || (rc = pt_quant_needs(c, 1, "X_scale")) < 0 ||
        (rc = pt_quant_needs(c, 3, "Y_scale")) < 0 || (rc = pt_quant_params(c, 1, 2, x->dtype, 1)) < 0 ||
        (rc = pt_quant_params(c, 3, 4, x->dtype, 1)) < 0)
        return rc;
    p->outer = pt_dims_product(x->dims, a);
    p->n = opset < 13 ? pt_dims_product(x->dims + a, x->rank - a) : x->dims[a];
    p->inner = opset < 13 ? 1 : pt_dims_product(x->dims + a + 1, x->rank - a - 1);
    return pt_infer_same(c);
}

static int softmax_run(struct pt_op_ctx *c)
{
    const struct softmax_params *p = c->params;
    const struct pt_tensor *x = c->in[0];
    double scale = (double)pt_quant_scale(c->in[1], 0);
    float y_scale = pt_quant_scale(c->in[3], 0);
    int32_t y_zero = pt_quant_zero(pt_op_in(c, 4), 0);
    for (int64_t row = 0; row < p->outer * p->inner; row++) {
        int64_t at = row / p->inner * p->n * p->inner + row % p->inner, max = INT64_MIN;
        double sum = 0;
        for (int64_t i = 0; i < p->n; i++) {
            int64_t v = pt_elem_i64(x, at + i * p->inner);
            max = v > max ? v : max;
        }
        for (int64_t i = 0; i < p->n; i++)
            sum += exp(scale * (double)(pt_elem_i64(x, at + i * p->inner) - max));
        for (int64_t i = 0; i < p->n; i++) {
            double v = exp(scale * (double)(pt_elem_i64(x, at + i * p->inner) - max)) / sum;
            pt_quant_put(c->out[0], at + i * p->inner, (float)v / y_scale, y_zero);
        }
    }
    return PT_OK;
}

const struct pt_op pt_op_ms_qlinear_softmax = {.domain = "com.microsoft",
                                               .type = "QLinearSoftmax",
                                               .since = {1},
                                               .min_in = 1,
                                               .max_in = 5,
                                               .max_out = 1,
                                               .types = TYPES,
                                               .params_size = sizeof(struct softmax_params),
                                               .infer = softmax_infer,
                                               .run = softmax_run};
