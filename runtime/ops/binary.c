/* SPDX-License-Identifier: Apache-2.0
 *
 * binary.c: operators of two inputs that broadcast and whose elements are computed alone. Before opset 7 broadcasting was one-way and asked for with
 * the attributes `broadcast` and `axis`; binary.h says how that is undone.
 */
#include "runtime/ops/binary.h"

#include <math.h>

/* y[i] = f(a[i * sa], b[i * sb]) */
typedef void (*loop_fn)(const void *a, const void *b, void *y, int64_t n, int64_t sa, int64_t sb, int mode);

struct binary {
    loop_fn fn;
    int mode; /* of operators with an attribute */
    struct pt_binary_dims b;
};

/* b's dims stand at `axis` of a: pad them with ones to the right end. */
static int legacy_dims(struct pt_op_ctx *c, struct pt_binary_dims *p)
{
    const struct pt_tensor *a = c->in[0], *b = c->in[1];
    int64_t axis, broadcast;
    int rc = pt_attr_int(c, "axis", a->rank - b->rank, -PT_MAX_RANK, PT_MAX_RANK, &axis);
    if (rc == PT_OK)
        rc = pt_attr_int(c, "broadcast", 0, 0, 1, &broadcast);
    if (rc < 0)
        return rc;
    if (!broadcast) {
        if (!pt_dims_equal(a, b))
            return pt_op_fail(c, PT_EINVAL, "inputs %s and %s differ and attribute 'broadcast' is not set", PT_SHAPE(a), PT_SHAPE(b));
        return PT_OK;
    }
    if (axis < 0)
        axis += a->rank;
    if (axis < 0 || axis + b->rank > a->rank)
        return pt_op_fail(c, PT_EINVAL, "attribute 'axis' = %lld puts input %s outside %s", (long long)axis, PT_SHAPE(b), PT_SHAPE(a));
    for (int i = b->rank; i < a->rank - (int)axis; i++)
        p->dims[i] = 1;
    p->rank = a->rank - (int)axis;
    return PT_OK;
}

static int infer_dims(struct pt_op_ctx *c, struct pt_binary_dims *b, enum pt_dtype out)
{
    const struct pt_tensor second = pt_binary_second(c, b), *pair[2] = {c->in[0], &second};
    int64_t dims[PT_MAX_RANK];
    int rank = 0;
    for (int i = 0; i < 2; i++)
        if (!pt_bcast_dims(dims, &rank, pair[i]))
            return pt_op_fail(c, PT_EINVAL, "inputs %s and %s do not broadcast", PT_SHAPE(c->in[0]), PT_SHAPE(c->in[1]));
    pt_op_set_out(c, 0, out ? out : c->in[0]->dtype, rank, dims);
    return PT_OK;
}

static void dims_of(struct pt_binary_dims *b, const struct pt_tensor *t)
{
    b->rank = t->rank;
    memcpy(b->dims, t->dims, sizeof b->dims);
}

int pt_binary_infer(struct pt_op_ctx *c, struct pt_binary_dims *b, enum pt_dtype out)
{
    dims_of(b, c->in[1]);
    int rc = c->node->version < 7 ? legacy_dims(c, b) : PT_OK;
    return rc < 0 ? rc : infer_dims(c, b, out);
}

struct pt_tensor pt_binary_second(const struct pt_op_ctx *c, const struct pt_binary_dims *b)
{
    struct pt_tensor t = *c->in[1];
    t.rank = b->rank;
    memcpy(t.dims, b->dims, sizeof t.dims);
    return t;
}

static int binary_infer(struct pt_op_ctx *c, const loop_fn *fns, enum pt_dtype out)
{
    struct binary *p = c->params;
    p->fn = fns[pt_widened(c->in[0]->dtype)];
    return pt_binary_infer(c, &p->b, out);
}

static int binary_run(struct pt_op_ctx *c)
{
    const struct binary *p = c->params;
    const struct pt_tensor *a = c->in[0], *y = c->out[0], second = pt_binary_second(c, &p->b), *b = &second;
    struct pt_bcast w;
    pt_bcast_init(&w, y, 2, (const struct pt_tensor *const[]){a, b});
    size_t ea = pt_dtype_size(a->dtype), eb = pt_dtype_size(b->dtype), ey = pt_dtype_size(y->dtype);
    for (int64_t r = 0; r < w.rows; r++) {
        int64_t off[PT_BCAST_MAX];
        pt_bcast_row(&w, r, off);
        p->fn((const char *)a->data + (size_t)off[0] * ea, (const char *)b->data + (size_t)off[1] * eb, (char *)y->data + (size_t)(r * w.n) * ey, w.n,
              w.step[0], w.step[1], p->mode);
    }
    return PT_OK;
}

#define LOOP(name, TA, TB, R, expr)                                                                                                                  \
    static void name(const void *va, const void *vb, void *vy, int64_t n, int64_t sa, int64_t sb, int mode)                                          \
    {                                                                                                                                                \
        const TA *pa = va;                                                                                                                           \
        const TB *pb = vb;                                                                                                                           \
        R *py = vy;                                                                                                                                  \
        (void)mode;                                                                                                                                  \
        for (int64_t i = 0; i < n; i++) {                                                                                                            \
            TA a = pa[i * sa];                                                                                                                       \
            TB b = pb[i * sb];                                                                                                                       \
            py[i] = (R)(expr);                                                                                                                       \
        }                                                                                                                                            \
    }
#define V(...)                                                                                                                                       \
    {                                                                                                                                                \
        __VA_ARGS__                                                                                                                                  \
    }
#define ROW(sym, op_name, sinces, ts, out_type, fl)                                                                                                  \
    static int sym##_infer(struct pt_op_ctx *c)                                                                                                      \
    {                                                                                                                                                \
        return binary_infer(c, sym##_fns, out_type);                                                                                                 \
    }                                                                                                                                                \
    const struct pt_op pt_op_##sym = {.type = op_name,                                                                                               \
                                      .since = sinces,                                                                                               \
                                      .min_in = 2,                                                                                                   \
                                      .max_in = 2,                                                                                                   \
                                      .max_out = 1,                                                                                                  \
                                      .types = {ts},                                                                                                 \
                                      .flags = PT_OP_SAME_TYPE | (fl),                                                                               \
                                      .params_size = sizeof(struct binary),                                                                          \
                                      .infer = sym##_infer,                                                                                          \
                                      .run = binary_run};
#define AT(id, T, U, s) [id] = FAMILY(s),

/* --- arithmetic: integers wrap around, as numpy's do; a division by an integer zero gives 0 --------------------------------------- */

#define ADD(id, T, U, s) LOOP(add_##s, T, T, T, (U)a + (U)b)
#define SUB(id, T, U, s) LOOP(sub_##s, T, T, T, (U)a - (U)b)
#define MUL(id, T, U, s) LOOP(mul_##s, T, T, T, (U)((U)a * 1u * (U)b))
#define FADD(id, T, U, s) LOOP(add_##s, T, T, T, a + b)
#define FSUB(id, T, U, s) LOOP(sub_##s, T, T, T, a - b)
#define FMUL(id, T, U, s) LOOP(mul_##s, T, T, T, a *b)
#define FDIV(id, T, U, s) LOOP(div_##s, T, T, T, a / b)
#define SDIV(T, U, s) LOOP(div_##s, T, T, T, b == 0 ? 0 : b == -1 ? (T)(U)(0 - (U)a) : a / b)
#define UDIV(T, s) LOOP(div_##s, T, T, T, b == 0 ? 0 : a / b)
PT_INT_ROWS(ADD)
PT_INT_ROWS(SUB)
PT_INT_ROWS(MUL)
PT_FLOAT_ROWS(FADD)
PT_FLOAT_ROWS(FSUB)
PT_FLOAT_ROWS(FMUL)
PT_FLOAT_ROWS(FDIV)
SDIV(int8_t, uint8_t, i8)
SDIV(int16_t, uint16_t, i16)
SDIV(int32_t, uint32_t, i32)
SDIV(int64_t, uint64_t, i64)
UDIV(uint8_t, u8)
UDIV(uint16_t, u16)
UDIV(uint32_t, u32)
UDIV(uint64_t, u64)

#define FAMILY(s) add_##s
static const loop_fn add_fns[PT_DTYPE_COUNT] = {PT_NUM_ROWS(AT)};
#undef FAMILY
#define FAMILY(s) sub_##s
static const loop_fn sub_fns[PT_DTYPE_COUNT] = {PT_NUM_ROWS(AT)};
#undef FAMILY
#define FAMILY(s) mul_##s
static const loop_fn mul_fns[PT_DTYPE_COUNT] = {PT_NUM_ROWS(AT)};
#undef FAMILY
#define FAMILY(s) div_##s
static const loop_fn div_fns[PT_DTYPE_COUNT] = {PT_NUM_ROWS(AT)};
#undef FAMILY
ROW(add, "Add", V(1, 6, 7, 13, 14), PT_TS_NUM | PT_TS_HALF, PT_UNDEFINED, PT_OP_INPLACE | PT_OP_WIDEN)
ROW(sub, "Sub", V(1, 6, 7, 13, 14), PT_TS_NUM | PT_TS_HALF, PT_UNDEFINED, PT_OP_INPLACE | PT_OP_WIDEN)
ROW(mul, "Mul", V(1, 6, 7, 13, 14), PT_TS_NUM | PT_TS_HALF, PT_UNDEFINED, PT_OP_INPLACE | PT_OP_WIDEN)
ROW(div, "Div", V(1, 6, 7, 13, 14), PT_TS_NUM | PT_TS_HALF, PT_UNDEFINED, PT_OP_INPLACE | PT_OP_WIDEN)

/* --- comparison and logic ------------------------------------------------------------------------------------------------------------- */

#define CMP(f, T, s, op) LOOP(f##_##s, T, T, uint8_t, a op b)
#define EQ(id, T, U, s) CMP(equal, T, s, ==)
#define LT(id, T, U, s) CMP(less, T, s, <)
#define LE(id, T, U, s) CMP(less_equal, T, s, <=)
#define GT(id, T, U, s) CMP(greater, T, s, >)
#define GE(id, T, U, s) CMP(greater_equal, T, s, >=)
PT_NUM_ROWS(EQ)
PT_NUM_ROWS(LT)
PT_NUM_ROWS(LE)
PT_NUM_ROWS(GT)
PT_NUM_ROWS(GE)
static bool same_text(struct pt_string a, struct pt_string b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}
LOOP(equal_str, struct pt_string, struct pt_string, uint8_t, same_text(a, b))
LOOP(equal_b, uint8_t, uint8_t, uint8_t, !a == !b)
LOOP(and_b, uint8_t, uint8_t, uint8_t, a &&b)
LOOP(or_b, uint8_t, uint8_t, uint8_t, a || b)
LOOP(xor_b, uint8_t, uint8_t, uint8_t, !a != !b)

#define FAMILY(s) equal_##s
static const loop_fn equal_fns[PT_DTYPE_COUNT] = {PT_NUM_ROWS(AT)[PT_BOOL] = equal_b, [PT_STRING] = equal_str};
#undef FAMILY
#define FAMILY(s) less_##s
static const loop_fn less_fns[PT_DTYPE_COUNT] = {PT_NUM_ROWS(AT)};
#undef FAMILY
#define FAMILY(s) less_equal_##s
static const loop_fn less_or_equal_fns[PT_DTYPE_COUNT] = {PT_NUM_ROWS(AT)};
#undef FAMILY
#define FAMILY(s) greater_##s
static const loop_fn greater_fns[PT_DTYPE_COUNT] = {PT_NUM_ROWS(AT)};
#undef FAMILY
#define FAMILY(s) greater_equal_##s
static const loop_fn greater_or_equal_fns[PT_DTYPE_COUNT] = {PT_NUM_ROWS(AT)};
#undef FAMILY
static const loop_fn and_fns[PT_DTYPE_COUNT] = {[PT_BOOL] = and_b};
static const loop_fn or_fns[PT_DTYPE_COUNT] = {[PT_BOOL] = or_b};
static const loop_fn xor_fns[PT_DTYPE_COUNT] = {[PT_BOOL] = xor_b};
ROW(equal, "Equal", V(1, 7, 11, 13, 19), PT_TS_FIXED | PT_T(PT_STRING), PT_BOOL, PT_OP_WIDEN)
ROW(less, "Less", V(1, 7, 9, 13), PT_TS_NUM | PT_TS_HALF, PT_BOOL, PT_OP_WIDEN)
ROW(greater, "Greater", V(1, 7, 9, 13), PT_TS_NUM | PT_TS_HALF, PT_BOOL, PT_OP_WIDEN)
ROW(less_or_equal, "LessOrEqual", V(12, 16), PT_TS_NUM | PT_TS_HALF, PT_BOOL, PT_OP_WIDEN)
ROW(greater_or_equal, "GreaterOrEqual", V(12, 16), PT_TS_NUM | PT_TS_HALF, PT_BOOL, PT_OP_WIDEN)
ROW(and, "And", V(1, 7), PT_TS_BOOL, PT_UNDEFINED, PT_OP_INPLACE)
ROW(or, "Or", V(1, 7), PT_TS_BOOL, PT_UNDEFINED, PT_OP_INPLACE)
ROW(xor, "Xor", V(1, 7), PT_TS_BOOL, PT_UNDEFINED, PT_OP_INPLACE)

#define BAND(id, T, U, s) LOOP(band_##s, T, T, T, a &b)
#define BOR(id, T, U, s) LOOP(bor_##s, T, T, T, a | b)
#define BXOR(id, T, U, s) LOOP(bxor_##s, T, T, T, a ^ b)
PT_INT_ROWS(BAND)
PT_INT_ROWS(BOR)
PT_INT_ROWS(BXOR)
#define FAMILY(s) band_##s
static const loop_fn bitwise_and_fns[PT_DTYPE_COUNT] = {PT_INT_ROWS(AT)};
#undef FAMILY
#define FAMILY(s) bor_##s
static const loop_fn bitwise_or_fns[PT_DTYPE_COUNT] = {PT_INT_ROWS(AT)};
#undef FAMILY
#define FAMILY(s) bxor_##s
static const loop_fn bitwise_xor_fns[PT_DTYPE_COUNT] = {PT_INT_ROWS(AT)};
#undef FAMILY
ROW(bitwise_and, "BitwiseAnd", V(18), PT_TS_ALLINT, PT_UNDEFINED, PT_OP_INPLACE)
ROW(bitwise_or, "BitwiseOr", V(18), PT_TS_ALLINT, PT_UNDEFINED, PT_OP_INPLACE)
ROW(bitwise_xor, "BitwiseXor", V(18), PT_TS_ALLINT, PT_UNDEFINED, PT_OP_INPLACE)

/* --- BitShift: mode 1 shifts left; a shift by the width or more gives 0 ------------------------------------------------------------------ */

#define SHIFT(T, s) LOOP(shift_##s, T, T, T, b >= 8 * sizeof(T) ? 0 : mode ? (uint64_t)a << b : (uint64_t)a >> b)
SHIFT(uint8_t, u8)
SHIFT(uint16_t, u16)
SHIFT(uint32_t, u32)
SHIFT(uint64_t, u64)
static int bit_shift_infer(struct pt_op_ctx *c)
{
    static const loop_fn fns[PT_DTYPE_COUNT] = {[PT_UINT8] = shift_u8, [PT_UINT16] = shift_u16, [PT_UINT32] = shift_u32, [PT_UINT64] = shift_u64};
    static const char *const directions[] = {"RIGHT", "LEFT", NULL};
    struct binary *p = c->params;
    int rc = pt_attr_choice(c, "direction", directions, -1, &p->mode);
    if (rc < 0)
        return rc;
    if (p->mode < 0)
        return pt_op_fail(c, PT_EINVAL, "attribute 'direction' is missing");
    return binary_infer(c, fns, PT_UNDEFINED);
}
const struct pt_op pt_op_bit_shift = {.type = "BitShift",
                                      .since = {11},
                                      .min_in = 2,
                                      .max_in = 2,
                                      .max_out = 1,
                                      .types = {PT_TS_UINT},
                                      .flags = PT_OP_SAME_TYPE | PT_OP_INPLACE,
                                      .params_size = sizeof(struct binary),
                                      .infer = bit_shift_infer,
                                      .run = binary_run};

/* --- Mod: mode 0 has the sign of the divisor, mode 1 (fmod) of the dividend --------------------------------------------------------------------- */

#define SMOD(T, s)                                                                                                                                   \
    static T mod1_##s(T a, T b, int mode)                                                                                                            \
    {                                                                                                                                                \
        if (b == 0 || b == -1)                                                                                                                       \
            return 0;                                                                                                                                \
        T r = (T)(a % b);                                                                                                                            \
        return !mode && r && (r < 0) != (b < 0) ? (T)(r + b) : r;                                                                                    \
    }                                                                                                                                                \
    LOOP(mod_##s, T, T, T, mod1_##s(a, b, mode))
SMOD(int8_t, i8)
SMOD(int16_t, i16)
SMOD(int32_t, i32)
SMOD(int64_t, i64)
#define UMOD(T, s) LOOP(mod_##s, T, T, T, b == 0 ? 0 : a % b)
UMOD(uint8_t, u8)
UMOD(uint16_t, u16)
UMOD(uint32_t, u32)
UMOD(uint64_t, u64)
LOOP(mod_f32, float, float, float, fmodf(a, b))
LOOP(mod_f64, double, double, double, fmod(a, b))
#define FAMILY(s) mod_##s
static const loop_fn mod_fns[PT_DTYPE_COUNT] = {PT_NUM_ROWS(AT)};
#undef FAMILY
static int mod_infer(struct pt_op_ctx *c)
{
    struct binary *p = c->params;
    int64_t f;
    int rc = pt_attr_int(c, "fmod", 0, 0, 1, &f);
    if (rc < 0)
        return rc;
    p->mode = (int)f;
    if (!f && (PT_TS_REAL & PT_T(c->in[0]->dtype)))
        return pt_op_fail(c, PT_EINVAL, "attribute 'fmod' must be 1 for %s", pt_dtype_name(c->in[0]->dtype));
    return binary_infer(c, mod_fns, PT_UNDEFINED);
}
const struct pt_op pt_op_mod = {.type = "Mod",
                                .since = {10, 13},
                                .min_in = 2,
                                .max_in = 2,
                                .max_out = 1,
                                .types = {PT_TS_NUM | PT_TS_HALF},
                                .flags = PT_OP_SAME_TYPE | PT_OP_INPLACE | PT_OP_WIDEN,
                                .params_size = sizeof(struct binary),
                                .infer = mod_infer,
                                .run = binary_run};

/* --- PRelu: the slope broadcasts to the input only; before opset 7 it was one value per channel
 * ----------------------------------------------------- */

#define PRELU(id, T, U, s) LOOP(prelu_##s, T, T, T, a < 0 ? (T)((U)a * (U)b) : a)
#define PRELU_ROWS(X) X(PT_INT32, int32_t, uint32_t, i32) X(PT_INT64, int64_t, uint64_t, i64) PT_FLOAT_ROWS(X)
PRELU_ROWS(PRELU)
#define FAMILY(s) prelu_##s
LOOP(prelu_u32, uint32_t, uint32_t, uint32_t, ((void)b, a)) /* nothing is negative */
LOOP(prelu_u64, uint64_t, uint64_t, uint64_t, ((void)b, a))
static const loop_fn prelu_fns[PT_DTYPE_COUNT] = {PRELU_ROWS(AT)[PT_UINT32] = prelu_u32, [PT_UINT64] = prelu_u64};

static int prelu_infer(struct pt_op_ctx *c)
{
    struct binary *p = c->params;
    const struct pt_tensor *x = c->in[0], *s = c->in[1];
    p->fn = prelu_fns[pt_widened(x->dtype)];
    dims_of(&p->b, s);
    if (c->node->version < 7 && pt_tensor_count(s) != 1) {
        if (s->rank != 1 || x->rank < 2 || x->dims[1] != s->dims[0])
            return pt_op_fail(c, PT_EINVAL, "slope %s is not one value per channel of %s", PT_SHAPE(s), PT_SHAPE(x));
        for (int i = 1; i < x->rank - 1; i++)
            p->b.dims[i] = 1;
        p->b.rank = x->rank - 1;
        return pt_infer_same(c);
    }
    int rc = infer_dims(c, &p->b, PT_UNDEFINED);
    if (rc == PT_OK && !pt_dims_equal(c->out[0], x))
        return pt_op_fail(c, PT_EINVAL, "slope %s does not broadcast to %s", PT_SHAPE(s), PT_SHAPE(x));
    return rc;
}
const struct pt_op pt_op_prelu = {.type = "PRelu",
                                  .since = {1, 6, 7, 9, 16},
                                  .min_in = 2,
                                  .max_in = 2,
                                  .max_out = 1,
                                  .types = {PT_TS_REAL | PT_TS_INDEX | PT_T(PT_UINT32) | PT_T(PT_UINT64)},
                                  .flags = PT_OP_SAME_TYPE | PT_OP_INPLACE | PT_OP_WIDEN,
                                  .params_size = sizeof(struct binary),
                                  .infer = prelu_infer,
                                  .run = binary_run};
