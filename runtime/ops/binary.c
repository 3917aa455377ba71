/* SPDX-License-Identifier: Apache-2.0
 *
 * binary.c: operators of two inputs that broadcast and whose elements are computed alone. Before opset 7 broadcasting was one-way and asked for with
 * the attributes `broadcast` and `axis`; binary_infer() turns that into dims of the second operand, and nothing below knows of it.
 */
#include "runtime/ops/op.h"

#include <math.h>

/* y[i] = f(a[i * sa], b[i * sb]) */
typedef void (*loop_fn)(const void *a, const void *b, void *y, int64_t n, int64_t sa, int64_t sb, int mode);

struct binary {
    loop_fn fn;
    int mode;                 /* of operators with an attribute */
    int b_rank;               /* dims of b as broadcasting sees them */
    int64_t b_dims[PT_MAX_RANK];
};

/* b's dims stand at `axis` of a: pad them with ones to the right end. */
static int legacy_dims(struct pt_op_ctx *c, struct binary *p, bool wanted)
{
    const struct pt_tensor *a = c->in[0], *b = c->in[1];
    int64_t axis;
    int rc = pt_attr_int(c, "axis", a->rank - b->rank, -PT_MAX_RANK, PT_MAX_RANK, &axis);
    if (rc < 0)
        return rc;
    if (!wanted) {
        if (!pt_dims_equal(a, b))
            return pt_op_fail(c, PT_EINVAL, "inputs %s and %s differ and attribute 'broadcast' is not set", PT_SHAPE(a), PT_SHAPE(b));
        return PT_OK;
    }
    if (axis < 0)
        axis += a->rank;
    if (axis < 0 || axis + b->rank > a->rank)
        return pt_op_fail(c, PT_EINVAL, "attribute 'axis' = %lld puts input %s outside %s", (long long)axis, PT_SHAPE(b), PT_SHAPE(a));
    for (int i = b->rank; i < a->rank - (int)axis; i++)
        p->b_dims[i] = 1;
    p->b_rank = a->rank - (int)axis;
    return PT_OK;
}

static int binary_infer_dims(struct pt_op_ctx *c, enum pt_dtype out, bool has_legacy)
{
    struct binary *p = c->params;
    const struct pt_tensor *a = c->in[0], *b = c->in[1];
    int64_t dims[PT_MAX_RANK], broadcast = 1;
    int rank = 0;
    p->b_rank = b->rank;
    for (int i = 0; i < b->rank; i++)
        p->b_dims[i] = b->dims[i];
    if (has_legacy && c->node->version < 7) {
        int rc = pt_attr_int(c, "broadcast", 0, 0, 1, &broadcast);
        if (rc == PT_OK)
            rc = legacy_dims(c, p, broadcast != 0);
        if (rc < 0)
            return rc;
    }
    struct pt_tensor bt = {.rank = p->b_rank};
    for (int i = 0; i < p->b_rank; i++)
        bt.dims[i] = p->b_dims[i];
    if (!pt_bcast_dims(dims, &rank, a) || !pt_bcast_dims(dims, &rank, &bt))
        return pt_op_fail(c, PT_EINVAL, "inputs %s and %s do not broadcast", PT_SHAPE(a), PT_SHAPE(b));
    pt_op_set_out(c, 0, out ? out : a->dtype, rank, dims);
    return PT_OK;
}

static int binary_infer(struct pt_op_ctx *c, const loop_fn *fns, enum pt_dtype out)
{
    struct binary *p = c->params;
    p->fn = fns[c->in[0]->dtype];
    return binary_infer_dims(c, out, true);
}

static int binary_run(struct pt_op_ctx *c)
{
    const struct binary *p = c->params;
    const struct pt_tensor *a = c->in[0], *b = c->in[1], *y = c->out[0];
    struct pt_tensor bt = *b;
    bt.rank = p->b_rank;
    for (int i = 0; i < p->b_rank; i++)
        bt.dims[i] = p->b_dims[i];
    struct pt_bcast w;
    pt_bcast_init(&w, y, 2, (const struct pt_tensor *const[]){a, &bt});
    size_t ea = pt_dtype_size(a->dtype), eb = pt_dtype_size(b->dtype), ey = pt_dtype_size(y->dtype);
    for (int64_t r = 0; r < w.rows; r++) {
        int64_t off[PT_BCAST_MAX];
        pt_bcast_row(&w, r, off);
        p->fn((const char *)a->data + (size_t)off[0] * ea, (const char *)b->data + (size_t)off[1] * eb, (char *)y->data + (size_t)(r * w.n) * ey, w.n,
              w.step[0], w.step[1], p->mode);
    }
    return PT_OK;
}

#define LOOP(name, TA, TB, R, expr) \
    static void name(const void *va, const void *vb, void *vy, int64_t n, int64_t sa, int64_t sb, int mode) \
    { \
        const TA *pa = va; \
        const TB *pb = vb; \
        R *py = vy; \
        (void)mode; \
        for (int64_t i = 0; i < n; i++) { \
            TA a = pa[i * sa]; \
            TB b = pb[i * sb]; \
            py[i] = (R)(expr); \
        } \
    }
#define V(...) {__VA_ARGS__}
#define ROW(sym, op_name, sinces, ts, out_type, fl) \
    static int sym##_infer(struct pt_op_ctx *c) \
    { \
        return binary_infer(c, sym##_fns, out_type); \
    } \
    const struct pt_op pt_op_##sym = {.type = op_name, .since = sinces, .min_in = 2, .max_in = 2, .max_out = 1, .types = {ts}, \
                                      .flags = PT_OP_SAME_TYPE | (fl), .params_size = sizeof(struct binary), .infer = sym##_infer, .run = binary_run};
#define AT(id, T, U, s) [id] = FAMILY(s),

/* --- arithmetic: integers wrap around, as numpy's do; a division by an integer zero gives 0 --------------------------------------- */

#define ADD(id, T, U, s) LOOP(add_##s, T, T, T, (U)a + (U)b)
#define SUB(id, T, U, s) LOOP(sub_##s, T, T, T, (U)a - (U)b)
#define MUL(id, T, U, s) LOOP(mul_##s, T, T, T, (U)((U)a * 1u * (U)b))
#define FADD(id, T, U, s) LOOP(add_##s, T, T, T, a + b)
#define FSUB(id, T, U, s) LOOP(sub_##s, T, T, T, a - b)
#define FMUL(id, T, U, s) LOOP(mul_##s, T, T, T, a * b)
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
ROW(add, "Add", V(1, 6, 7, 13, 14), PT_TS_NUM, PT_UNDEFINED, PT_OP_INPLACE)
ROW(sub, "Sub", V(1, 6, 7, 13, 14), PT_TS_NUM, PT_UNDEFINED, PT_OP_INPLACE)
ROW(mul, "Mul", V(1, 6, 7, 13, 14), PT_TS_NUM, PT_UNDEFINED, PT_OP_INPLACE)
ROW(div, "Div", V(1, 6, 7, 13, 14), PT_TS_NUM, PT_UNDEFINED, PT_OP_INPLACE)

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
LOOP(equal_b, uint8_t, uint8_t, uint8_t, !a == !b)
LOOP(and_b, uint8_t, uint8_t, uint8_t, a && b)
LOOP(or_b, uint8_t, uint8_t, uint8_t, a || b)
LOOP(xor_b, uint8_t, uint8_t, uint8_t, !a != !b)

#define FAMILY(s) equal_##s
static const loop_fn equal_fns[PT_DTYPE_COUNT] = {PT_NUM_ROWS(AT)[PT_BOOL] = equal_b};
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
ROW(equal, "Equal", V(1, 7, 11, 13, 19), PT_TS_NUM | PT_TS_BOOL, PT_BOOL, 0)
ROW(less, "Less", V(1, 7, 9, 13), PT_TS_NUM, PT_BOOL, 0)
ROW(greater, "Greater", V(1, 7, 9, 13), PT_TS_NUM, PT_BOOL, 0)
ROW(less_or_equal, "LessOrEqual", V(12, 16), PT_TS_NUM, PT_BOOL, 0)
ROW(greater_or_equal, "GreaterOrEqual", V(12, 16), PT_TS_NUM, PT_BOOL, 0)
ROW(and, "And", V(1, 7), PT_TS_BOOL, PT_UNDEFINED, PT_OP_INPLACE)
ROW(or, "Or", V(1, 7), PT_TS_BOOL, PT_UNDEFINED, PT_OP_INPLACE)
ROW(xor, "Xor", V(1, 7), PT_TS_BOOL, PT_UNDEFINED, PT_OP_INPLACE)

#define BAND(id, T, U, s) LOOP(band_##s, T, T, T, a & b)
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
const struct pt_op pt_op_bit_shift = {.type = "BitShift", .since = {11}, .min_in = 2, .max_in = 2, .max_out = 1, .types = {PT_TS_UINT},
                                      .flags = PT_OP_SAME_TYPE | PT_OP_INPLACE, .params_size = sizeof(struct binary), .infer = bit_shift_infer,
                                      .run = binary_run};

/* --- Mod: mode 0 has the sign of the divisor, mode 1 (fmod) of the dividend --------------------------------------------------------------------- */

#define SMOD(T, s) \
    static T mod1_##s(T a, T b, int mode) \
    { \
        if (b == 0 || b == -1) \
            return 0; \
        T r = (T)(a % b); \
        return !mode && r && (r < 0) != (b < 0) ? (T)(r + b) : r; \
    } \
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
    if (!f && (PT_TS_FLOAT & PT_T(c->in[0]->dtype)))
        return pt_op_fail(c, PT_EINVAL, "attribute 'fmod' must be 1 for %s", pt_dtype_name(c->in[0]->dtype));
    return binary_infer(c, mod_fns, PT_UNDEFINED);
}
const struct pt_op pt_op_mod = {.type = "Mod", .since = {10, 13}, .min_in = 2, .max_in = 2, .max_out = 1, .types = {PT_TS_NUM},
                                .flags = PT_OP_SAME_TYPE | PT_OP_INPLACE, .params_size = sizeof(struct binary), .infer = mod_infer, .run = binary_run};

/* --- PRelu: the slope broadcasts to the input only; before opset 7 it was one value per channel ----------------------------------------------------- */

#define PRELU(id, T, U, s) LOOP(prelu_##s, T, T, T, a < 0 ? (T)(a * b) : a)
PRELU(PT_FLOAT, float, , f32)
PRELU(PT_DOUBLE, double, , f64)
#undef PRELU
static int prelu_infer(struct pt_op_ctx *c)
{
    struct binary *p = c->params;
    const struct pt_tensor *x = c->in[0], *s = c->in[1];
    p->fn = x->dtype == PT_FLOAT ? prelu_f32 : prelu_f64;
    int rc = binary_infer_dims(c, PT_UNDEFINED, false);
    if (c->node->version < 7 && s->rank == 1 && s->dims[0] != 1) {
        if (x->rank < 2 || x->dims[1] != s->dims[0])
            return pt_op_fail(c, PT_EINVAL, "slope %s is not one value per channel of %s", PT_SHAPE(s), PT_SHAPE(x));
        p->b_rank = x->rank - 1;
        for (int i = 1; i < p->b_rank; i++)
            p->b_dims[i] = 1;
        return pt_infer_same(c);
    }
    if (rc == PT_OK && !pt_dims_equal(c->out[0], x))
        return pt_op_fail(c, PT_EINVAL, "slope %s does not broadcast to %s", PT_SHAPE(s), PT_SHAPE(x));
    return rc;
}
const struct pt_op pt_op_prelu = {.type = "PRelu", .since = {1, 6, 7, 9, 16}, .min_in = 2, .max_in = 2, .max_out = 1, .types = {PT_TS_FLOAT},
                                  .flags = PT_OP_SAME_TYPE | PT_OP_INPLACE, .params_size = sizeof(struct binary), .infer = prelu_infer,
                                  .run = binary_run};
