/* SPDX-License-Identifier: Apache-2.0
 *
 * cast.c: Cast and CastLike between numbers, bool and the 16-bit floats. Floats go to integers towards zero; out of range wraps for
 * integers as C's conversion does and is clamped for floats (ONNX leaves it undefined). Anything but zero is true.
 */
#include "runtime/ops/op.h"

/* Every type passes through one of three carriers: exact for each. */
union carrier {
    int64_t i;
    uint64_t u;
    double d;
};
enum kind { SIGNED, UNSIGNED, REAL };

static enum kind kind_of(enum pt_dtype t)
{
    uint32_t m = PT_T(t);
    return m & PT_TS_INT ? SIGNED : m & (PT_TS_UINT | PT_TS_BOOL) ? UNSIGNED : REAL;
}

static union carrier load(enum pt_dtype t, const struct pt_tensor *x, int64_t i)
{
    switch (kind_of(t)) {
    case SIGNED:
        return (union carrier){.i = pt_elem_i64(x, i)};
    case UNSIGNED:
        return (union carrier){.u = (uint64_t)pt_elem_i64(x, i)};
    default:
        return (union carrier){.d = pt_elem_f64(x, i)};
    }
}

static uint64_t real_to_int(double d, bool is_signed)
{
    if (d != d)
        return 0;
    if (d <= -0x1p63)
        return is_signed ? (uint64_t)INT64_MIN : 0;
    if (d < 0)
        return (uint64_t)(int64_t)d;
    if (d >= 0x1p64)
        return is_signed ? INT64_MAX : UINT64_MAX;
    return d >= 0x1p63 ? (is_signed ? (uint64_t)INT64_MAX : (uint64_t)d) : (uint64_t)d;
}

static void store(enum pt_dtype t, char *y, enum kind from, union carrier v)
{
    size_t size = pt_dtype_size(t);
    double d = from == SIGNED ? (double)v.i : from == UNSIGNED ? (double)v.u : v.d;
    if (t == PT_BOOL) {
        *y = from == REAL ? v.d != 0 : v.u != 0;
    } else if (kind_of(t) != REAL) {
        uint64_t bits = from == REAL ? real_to_int(v.d, kind_of(t) == SIGNED) : v.u;
        memcpy(y, &bits, size);
    } else if (t == PT_DOUBLE) {
        memcpy(y, &d, size);
    } else {
        float f = from == SIGNED ? (float)v.i : from == UNSIGNED ? (float)v.u : (float)v.d;
        uint16_t h = t == PT_FLOAT16 ? pt_f32_to_f16(f) : pt_f32_to_bf16(f);
        memcpy(y, t == PT_FLOAT ? (const void *)&f : (const void *)&h, size);
    }
}

/* The conversions that models do all the time. */
static bool cast_fast(const struct pt_tensor *x, struct pt_tensor *y, int64_t n)
{
    if (x->dtype == y->dtype)
        memcpy(y->data, x->data, x->size_bytes);
    else if (x->dtype == PT_INT64 && y->dtype == PT_FLOAT)
        for (int64_t i = 0; i < n; i++)
            ((float *)y->data)[i] = (float)((const int64_t *)x->data)[i];
    else if (x->dtype == PT_INT64 && y->dtype == PT_INT32)
        for (int64_t i = 0; i < n; i++)
            ((int32_t *)y->data)[i] = (int32_t)((const int64_t *)x->data)[i];
    else if (x->dtype == PT_BOOL && y->dtype == PT_FLOAT)
        for (int64_t i = 0; i < n; i++)
            ((float *)y->data)[i] = ((const uint8_t *)x->data)[i] != 0;
    else
        return false;
    return true;
}

static int cast_run(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0];
    struct pt_tensor *y = c->out[0];
    int64_t n = pt_tensor_count(x);
    enum kind from = kind_of(x->dtype);
    size_t size = pt_dtype_size(y->dtype);
    if (cast_fast(x, y, n))
        return PT_OK;
    for (int64_t i = 0; i < n; i++)
        store(y->dtype, (char *)y->data + (size_t)i * size, from, load(x->dtype, x, i));
    return PT_OK;
}

static int set_type(struct pt_op_ctx *c, int64_t to)
{
    if (to <= 0 || to >= PT_DTYPE_COUNT || !(PT_TS_FIXED & PT_T(to)))
        return pt_op_fail(c, PT_EUNSUPPORTED, "cast to %s (type %lld) is not supported", pt_dtype_name((enum pt_dtype)to), (long long)to);
    pt_op_set_out(c, 0, (enum pt_dtype)to, c->in[0]->rank, c->in[0]->dims);
    return PT_OK;
}

/* Before opset 6 the type was written as text: "FLOAT". */
static int cast_infer(struct pt_op_ctx *c)
{
    static const char *const old_names[] = {"UNDEFINED", "FLOAT", "UINT8",   "INT8",   "UINT16", "INT16",  "INT32", "INT64",
                                            "STRING",    "BOOL",  "FLOAT16", "DOUBLE", "UINT32", "UINT64", NULL};
    int64_t to = 0;
    int old = 0, rc;
    if (c->node->version < 6)
        rc = pt_attr_choice(c, "to", old_names, 0, &old);
    else
        rc = pt_attr_int(c, "to", 0, 1, PT_DTYPE_COUNT - 1, &to);
    return rc < 0 ? rc : set_type(c, c->node->version < 6 ? old : to);
}

static int cast_like_infer(struct pt_op_ctx *c)
{
    return set_type(c, c->in[1]->dtype);
}

const struct pt_op pt_op_cast = {.type = "Cast",
                                 .since = {1, 6, 9, 13, 19, 21, 23, 24, 25},
                                 .min_in = 1,
                                 .max_in = 1,
                                 .max_out = 1,
                                 .types = {PT_TS_FIXED},
                                 .infer = cast_infer,
                                 .run = cast_run};
const struct pt_op pt_op_cast_like = {.type = "CastLike",
                                      .since = {15, 19, 21, 23, 24, 25},
                                      .min_in = 2,
                                      .max_in = 2,
                                      .max_out = 1,
                                      .types = {PT_TS_FIXED},
                                      .infer = cast_like_infer,
                                      .run = cast_run};
