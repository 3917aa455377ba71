/* SPDX-License-Identifier: Apache-2.0
 *
 * unary.c: operators of one input whose every element is computed alone. One row each: the expression, the types, the attributes.
 */
#include "runtime/ops/unary.h"

#include "runtime/ops/types.h"

#include <tgmath.h>

typedef void (*loop_fn)(const void *x, void *y, int64_t n, const float *p);

/* Up to two float attributes with their defaults. */
struct attrs {
    const char *name[2];
    float def[2];
};

/* float8 is read as float32, here and in unary_run(): only predicates take it, and bool is what they give. */
static loop_fn loop_of(const loop_fn *fns, enum pt_dtype t)
{
    return fns[(PT_TS_F8 & PT_T(t)) ? PT_FLOAT : pt_widened(t)];
}

static int unary_infer(struct pt_op_ctx *c, const loop_fn *fns, struct attrs a, enum pt_dtype out)
{
    struct pt_unary_params *u = c->params;
    u->fn = loop_of(fns, c->in[0]->dtype);
    for (int i = 0; i < 2; i++) {
        int rc = a.name[i] ? pt_attr_float(c, a.name[i], a.def[i], &u->p[i]) : PT_OK;
        if (rc < 0)
            return rc;
    }
    pt_op_set_out(c, 0, out ? out : c->in[0]->dtype, c->in[0]->rank, c->in[0]->dims);
    return PT_OK;
}

static int unary_run(struct pt_op_ctx *c)
{
    const struct pt_unary_params *u = c->params;
    const struct pt_tensor *x = c->in[0];
    float block[PT_BLOCK];
    int64_t n = pt_tensor_count(x);
    if (!(PT_TS_F8 & PT_T(x->dtype)))
        u->fn(x->data, c->out[0]->data, n, u->p);
    else
        for (int64_t at = 0; at < n; at += PT_BLOCK) {
            int64_t count = n - at < PT_BLOCK ? n - at : PT_BLOCK;
            pt_load_f32(x, at, count, block);
            u->fn(block, (char *)c->out[0]->data + at, count, u->p);
        }
    return PT_OK;
}

#define LOOP(name, T, R, expr) \
    static void name(const void *in, void *out, int64_t n, const float *p) \
    { \
        const T *a = in; \
        R *b = out; \
        (void)p; \
        for (int64_t i = 0; i < n; i++) { \
            T x = a[i]; \
            b[i] = (R)(expr); \
        } \
    }
#define FLOATS(sym, expr) \
    LOOP(sym##_f32, float, float, expr) \
    LOOP(sym##_f64, double, double, expr) \
    static const loop_fn sym##_fns[PT_DTYPE_COUNT] = {[PT_FLOAT] = sym##_f32, [PT_DOUBLE] = sym##_f64};

#define ROW(sym, op_name, sinces, ts, out_type, fl, ...) \
    static int sym##_infer(struct pt_op_ctx *c) \
    { \
        return unary_infer(c, sym##_fns, (struct attrs){__VA_ARGS__}, out_type); \
    } \
    const struct pt_op pt_op_##sym = {.type = op_name, .since = sinces, .min_in = 1, .max_in = 1, .max_out = 1, .types = {ts}, .flags = fl, \
                                      .params_size = sizeof(struct pt_unary_params), .infer = sym##_infer, .run = unary_run};
#define V(...) {__VA_ARGS__}
#define NOATTR {NULL, NULL}, {0, 0}
#define FLOAT_OP(sym, op_name, sinces, expr, ...) \
    FLOATS(sym, expr) \
    ROW(sym, op_name, V sinces, PT_TS_REAL, PT_UNDEFINED, PT_OP_INPLACE | PT_OP_WIDEN, __VA_ARGS__)

/* Held in [0, 1]; NaN stays. */
#define unit(v) ((v) < 0 ? 0 : (v) > 1 ? 1 : (v))

FLOAT_OP(leaky_relu, "LeakyRelu", (1, 6, 16), x < 0 ? x * p[0] : x, {"alpha"}, {0.01f})
FLOAT_OP(sigmoid, "Sigmoid", (1, 6, 13), 1 / (1 + exp(-x)), NOATTR)
FLOAT_OP(tanh, "Tanh", (1, 6, 13), tanh(x), NOATTR)
FLOAT_OP(exp, "Exp", (1, 6, 13), exp(x), NOATTR)
FLOAT_OP(log, "Log", (1, 6, 13), log(x), NOATTR)
FLOAT_OP(sqrt, "Sqrt", (1, 6, 13), sqrt(x), NOATTR)
FLOAT_OP(reciprocal, "Reciprocal", (1, 6, 13), 1 / x, NOATTR)
FLOAT_OP(floor, "Floor", (1, 6, 13), floor(x), NOATTR)
FLOAT_OP(ceil, "Ceil", (1, 6, 13), ceil(x), NOATTR)
FLOAT_OP(round, "Round", (11, 22), rint(x), NOATTR)
FLOAT_OP(sin, "Sin", (7, 22), sin(x), NOATTR)
FLOAT_OP(cos, "Cos", (7, 22), cos(x), NOATTR)
FLOAT_OP(tan, "Tan", (7, 22), tan(x), NOATTR)
FLOAT_OP(asin, "Asin", (7, 22), asin(x), NOATTR)
FLOAT_OP(acos, "Acos", (7, 22), acos(x), NOATTR)
FLOAT_OP(atan, "Atan", (7, 22), atan(x), NOATTR)
FLOAT_OP(sinh, "Sinh", (9, 22), sinh(x), NOATTR)
FLOAT_OP(cosh, "Cosh", (9, 22), cosh(x), NOATTR)
FLOAT_OP(asinh, "Asinh", (9, 22), asinh(x), NOATTR)
FLOAT_OP(acosh, "Acosh", (9, 22), acosh(x), NOATTR)
FLOAT_OP(atanh, "Atanh", (9, 22), atanh(x), NOATTR)
FLOAT_OP(softplus, "Softplus", (1, 22), x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)), NOATTR)
FLOAT_OP(softsign, "Softsign", (1, 22), x / (1 + fabs(x)), NOATTR)
FLOAT_OP(elu, "Elu", (1, 6, 22), x < 0 ? p[0] * expm1(x) : x, {"alpha"}, {1})
FLOAT_OP(celu, "Celu", (12), x < 0 ? p[0] * expm1(x / p[0]) : x, {"alpha"}, {1})
FLOAT_OP(selu, "Selu", (1, 6, 22), p[1] * (x > 0 ? x : p[0] * expm1(x)), {"alpha", "gamma"}, {1.67326319217681884765625f, 1.05070102214813232421875f})
FLOAT_OP(thresholded_relu, "ThresholdedRelu", (1, 10, 22), x > p[0] ? x : 0, {"alpha"}, {1})
FLOAT_OP(hard_sigmoid, "HardSigmoid", (1, 6, 22), unit(p[0] * x + p[1]), {"alpha", "beta"}, {0.2f, 0.5f})
FLOAT_OP(hard_swish, "HardSwish", (14, 22), x *unit(x / 6 + 0.5f), NOATTR)
FLOAT_OP(swish, "Swish", (24), x / (1 + exp(-p[0] * x)), {"alpha"}, {1})
FLOAT_OP(mish, "Mish", (18, 22), x *tanh(x > 0 ? x + log1p(exp(-x)) : log1p(exp(x))), NOATTR)

/* --- with integers ------------------------------------------------------------------------------------------------------ */

#define INT_ABS(id, T, U, s) LOOP(abs_##s, T, T, x < 0 ? (T)(U)(0 - (U)x) : x)
#define UINT_SAME(T, s) LOOP(abs_##s, T, T, x)
INT_ABS(PT_INT8, int8_t, uint8_t, i8)
INT_ABS(PT_INT16, int16_t, uint16_t, i16)
INT_ABS(PT_INT32, int32_t, uint32_t, i32)
INT_ABS(PT_INT64, int64_t, uint64_t, i64)
UINT_SAME(uint8_t, u8)
UINT_SAME(uint16_t, u16)
UINT_SAME(uint32_t, u32)
UINT_SAME(uint64_t, u64)
LOOP(abs_f32, float, float, fabs(x))
LOOP(abs_f64, double, double, fabs(x))

#define INT_NEG(id, T, U, s) LOOP(neg_##s, T, T, (U)(0 - (U)x))
INT_NEG(PT_INT8, int8_t, uint8_t, i8)
INT_NEG(PT_INT16, int16_t, uint16_t, i16)
INT_NEG(PT_INT32, int32_t, uint32_t, i32)
INT_NEG(PT_INT64, int64_t, uint64_t, i64)
LOOP(neg_f32, float, float, -x)
LOOP(neg_f64, double, double, -x)

#define ERF(id, T, U, s) LOOP(erf_##s, T, T, erf((float)x))
PT_INT_ROWS(ERF)
LOOP(erf_f32, float, float, erf(x))
LOOP(erf_f64, double, double, erf(x))

/* NaN has no sign and stays */
#define SIGN(id, T, U, s) LOOP(sign_##s, T, T, x > 0 ? 1 : x == 0 ? 0 : x < 0 ? -1 : x)
#define USIGN(T, s) LOOP(sign_##s, T, T, x > 0)
SIGN(PT_INT8, int8_t, , i8)
SIGN(PT_INT16, int16_t, , i16)
SIGN(PT_INT32, int32_t, , i32)
SIGN(PT_INT64, int64_t, , i64)
SIGN(PT_FLOAT, float, , f32)
SIGN(PT_DOUBLE, double, , f64)
USIGN(uint8_t, u8)
USIGN(uint16_t, u16)
USIGN(uint32_t, u32)
USIGN(uint64_t, u64)

#define RELU(id, T, U, s) LOOP(relu_##s, T, T, x < 0 ? 0 : x)
RELU(PT_INT8, int8_t, , i8)
RELU(PT_INT16, int16_t, , i16)
RELU(PT_INT32, int32_t, , i32)
RELU(PT_INT64, int64_t, , i64)
RELU(PT_FLOAT, float, , f32)
RELU(PT_DOUBLE, double, , f64)

#define BITNOT(id, T, U, s) LOOP(bitnot_##s, T, T, ~(U)x)
PT_INT_ROWS(BITNOT)

#define AT(id, T, U, s) [id] = FAMILY(s),
#define FAMILY(s) abs_##s
static const loop_fn abs_fns[PT_DTYPE_COUNT] = {PT_NUM_ROWS(AT)};
#undef FAMILY
#define FAMILY(s) sign_##s
static const loop_fn sign_fns[PT_DTYPE_COUNT] = {PT_NUM_ROWS(AT)};
#undef FAMILY
#define FAMILY(s) erf_##s
static const loop_fn erf_fns[PT_DTYPE_COUNT] = {PT_NUM_ROWS(AT)};
#undef FAMILY
#define FAMILY(s) bitnot_##s
static const loop_fn bitwise_not_fns[PT_DTYPE_COUNT] = {PT_INT_ROWS(AT)};
#undef FAMILY
#define SIGNED(f) \
    [PT_INT8] = f##_i8, [PT_INT16] = f##_i16, [PT_INT32] = f##_i32, [PT_INT64] = f##_i64, [PT_FLOAT] = f##_f32, [PT_DOUBLE] = f##_f64
static const loop_fn neg_fns[PT_DTYPE_COUNT] = {SIGNED(neg)};
static const loop_fn relu_fns[PT_DTYPE_COUNT] = {SIGNED(relu)};

ROW(abs, "Abs", V(1, 6, 13), PT_TS_NUM | PT_TS_HALF, PT_UNDEFINED, PT_OP_INPLACE | PT_OP_WIDEN, NOATTR)
ROW(erf, "Erf", V(9, 13), PT_TS_NUM | PT_TS_HALF, PT_UNDEFINED, PT_OP_INPLACE | PT_OP_WIDEN, NOATTR)
ROW(sign, "Sign", V(9, 13), PT_TS_NUM | PT_TS_HALF, PT_UNDEFINED, PT_OP_INPLACE | PT_OP_WIDEN, NOATTR)
ROW(bitwise_not, "BitwiseNot", V(18), PT_TS_ALLINT, PT_UNDEFINED, PT_OP_INPLACE, NOATTR)
ROW(neg, "Neg", V(1, 6, 13), PT_TS_INT | PT_TS_REAL, PT_UNDEFINED, PT_OP_INPLACE | PT_OP_WIDEN, NOATTR)
ROW(relu, "Relu", V(1, 6, 13, 14), PT_TS_INT | PT_TS_REAL, PT_UNDEFINED, PT_OP_INPLACE | PT_OP_WIDEN, NOATTR)

/* --- to and from bool ------------------------------------------------------------------------------------------------------ */

LOOP(not_b, uint8_t, uint8_t, !x)
static const loop_fn not_fns[PT_DTYPE_COUNT] = {[PT_BOOL] = not_b};
ROW(not, "Not", V(1), PT_TS_BOOL, PT_UNDEFINED, PT_OP_INPLACE, NOATTR)

LOOP(isnan_f32, float, uint8_t, x != x)
LOOP(isnan_f64, double, uint8_t, x != x)
static const loop_fn isnan_fns[PT_DTYPE_COUNT] = {[PT_FLOAT] = isnan_f32, [PT_DOUBLE] = isnan_f64};
ROW(isnan, "IsNaN", V(9, 13, 20), PT_TS_REAL | PT_TS_F8, PT_BOOL, PT_OP_WIDEN, NOATTR)

/* --- attributes of other kinds ------------------------------------------------------------------------------------------------- */

LOOP(isinf_f32, float, uint8_t, (x == INFINITY && p[1] != 0) || (x == -INFINITY && p[0] != 0))
LOOP(isinf_f64, double, uint8_t, (x == INFINITY && p[1] != 0) || (x == -INFINITY && p[0] != 0))

static int isinf_infer(struct pt_op_ctx *c)
{
    static const loop_fn fns[PT_DTYPE_COUNT] = {[PT_FLOAT] = isinf_f32, [PT_DOUBLE] = isinf_f64};
    struct pt_unary_params *u = c->params;
    int64_t negative, positive;
    int rc = pt_attr_int(c, "detect_negative", 1, 0, 1, &negative);
    if (rc == PT_OK)
        rc = pt_attr_int(c, "detect_positive", 1, 0, 1, &positive);
    if (rc < 0)
        return rc;
    *u = (struct pt_unary_params){loop_of(fns, c->in[0]->dtype), {(float)negative, (float)positive}};
    pt_op_set_out(c, 0, PT_BOOL, c->in[0]->rank, c->in[0]->dims);
    return PT_OK;
}
const struct pt_op pt_op_isinf = {.type = "IsInf", .since = {10, 20}, .min_in = 1, .max_in = 1, .max_out = 1, .types = {PT_TS_REAL | PT_TS_F8}, .flags = PT_OP_WIDEN,
                                  .params_size = sizeof(struct pt_unary_params), .infer = isinf_infer, .run = unary_run};

LOOP(gelu_f32, float, float, 0.5f * x * (1 + erf(x * 0.70710678118654752f)))
LOOP(gelu_f64, double, double, 0.5 * x * (1 + erf(x * 0.70710678118654752)))
LOOP(gelu_tanh_f32, float, float, 0.5f * x * (1 + tanh(0.7978845608028654f * (x + 0.044715f * x * x * x))))
LOOP(gelu_tanh_f64, double, double, 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))))

static int gelu_infer(struct pt_op_ctx *c)
{
    static const char *const kinds[] = {"none", "tanh", NULL};
    struct pt_unary_params *u = c->params;
    int tanh_kind, rc = pt_attr_choice(c, "approximate", kinds, 0, &tanh_kind);
    if (rc < 0)
        return rc;
    bool f = c->in[0]->dtype != PT_DOUBLE;
    u->fn = tanh_kind ? (f ? gelu_tanh_f32 : gelu_tanh_f64) : (f ? gelu_f32 : gelu_f64);
    u->p[0] = (float)tanh_kind;
    return pt_infer_same(c);
}
const struct pt_op pt_op_gelu = {.type = "Gelu", .since = {20}, .min_in = 1, .max_in = 1, .max_out = 1, .types = {PT_TS_REAL}, .flags = PT_OP_INPLACE | PT_OP_WIDEN,
                                 .params_size = sizeof(struct pt_unary_params), .infer = gelu_infer, .run = unary_run};

/* To an integer of 64 bits, whose low ones are then taken: what is outside wraps, as x86 converts, instead of being undefined. */
static int64_t wrapped(double v)
{
    if (v >= 9223372036854775808.0 && v < 18446744073709551616.0)
        return (int64_t)(uint64_t)v;
    return v >= -9223372036854775808.0 && v < 9223372036854775808.0 ? (int64_t)v : INT64_MIN;
}

/* Shrink: y = x + bias below -lambd, x - bias above lambd, else 0 */
#define SHRINK(id, T, U, s) \
    LOOP(shrink_##s, T, T, wrapped((double)x < -(double)p[1] ? (double)x + (double)p[0] : (double)x > (double)p[1] ? (double)x - (double)p[0] : 0))
PT_INT_ROWS(SHRINK)
LOOP(shrink_f32, float, float, x < -p[1] ? x + p[0] : x > p[1] ? x - p[0] : 0)
LOOP(shrink_f64, double, double, x < -p[1] ? x + p[0] : x > p[1] ? x - p[0] : 0)
#define FAMILY(s) shrink_##s
static const loop_fn shrink_fns[PT_DTYPE_COUNT] = {PT_NUM_ROWS(AT)};
#undef FAMILY
ROW(shrink, "Shrink", V(9), PT_TS_NUM | PT_TS_HALF, PT_UNDEFINED, PT_OP_INPLACE | PT_OP_WIDEN, {"bias", "lambd"}, {0, 0.5f})

/* --- of the first opset, experimental there and dropped since; old exporters wrote them ------------------------------------------------- */

FLOAT_OP(affine, "Affine", (1), p[0] * x + p[1], {"alpha", "beta"}, {1, 0})
FLOAT_OP(parametric_softplus, "ParametricSoftplus", (1), p[0] * log1p(exp(p[1] * x)), {"alpha", "beta"}, {1, 1})
FLOAT_OP(scaled_tanh, "ScaledTanh", (1), p[0] * tanh(p[1] * x), {"alpha", "beta"}, {1, 1})
