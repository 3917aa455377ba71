/* SPDX-License-Identifier: Apache-2.0
 *
 * cast.c: Cast, CastLike and BitCast between any two element types. Numbers pass through one of two carriers, int64 for integers and double for
 * floats, each exact for its types; ops/types.c knows how the types round. The few pairs that models convert all the time have loops.
 */
#include "runtime/ops/op.h"

#include "base/num.h"
#include "runtime/ops/types.h"

#include <math.h>
#include <stdio.h>

#define TEXT_ROOM 32 /* bytes that a number's text may take */

/* --- text ------------------------------------------------------------------------------------------------------------------------ */

static bool same_word(struct pt_str s, const char *lower)
{
    size_t n = strlen(lower);
    if (s.len != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] + 32 : s.p[i]) != lower[i])
            return false;
    return true;
}

static struct pt_str trim(struct pt_str s)
{
    while (s.len && (s.p[0] == ' ' || (s.p[0] >= '\t' && s.p[0] <= '\r')))
        s.p++, s.len--;
    while (s.len && (s.p[s.len - 1] == ' ' || (s.p[s.len - 1] >= '\t' && s.p[s.len - 1] <= '\r')))
        s.len--;
    return s;
}

/* A signed word or number: "-1.5e3", ".5", "7.", "+INF". *whole is set when it is an integer that fits *i. */
static bool parse_number(struct pt_str s, double *d, int64_t *i, bool *whole)
{
    char copy[400]; /* longer ones are no sensible numbers */
    struct pt_num n;
    s = trim(s);
    bool negative = s.len && s.p[0] == '-';
    if (s.len && (s.p[0] == '-' || s.p[0] == '+'))
        s.p++, s.len--;
    *whole = false;
    if (same_word(s, "inf") || same_word(s, "infinity") || same_word(s, "nan")) {
        *d = s.len == 3 && (s.p[0] | 32) == 'n' ? NAN : negative ? -INFINITY : INFINITY;
        return true;
    }
    if (s.len == 0 || s.len > sizeof copy - 4)
        return false;
    /* JSON's grammar wants a digit on both sides of the point and no leading zeros */
    size_t at = 0, k = 0;
    while (k + 1 < s.len && s.p[k] == '0' && s.p[k + 1] >= '0' && s.p[k + 1] <= '9')
        k++;
    if (s.p[k] == '.')
        copy[at++] = '0';
    for (; k < s.len; k++) {
        copy[at++] = s.p[k];
        if (s.p[k] == '.' && !(k + 1 < s.len && s.p[k + 1] >= '0' && s.p[k + 1] <= '9'))
            copy[at++] = '0';
    }
    if (s.len == 1 && s.p[0] == '.')
        return false;
    uint64_t u;
    if (pt_num_scan(copy, copy + at, &n) != copy + at)
        return false;
    *d = negative ? -pt_num_to_f64(&n) : pt_num_to_f64(&n);
    *whole = pt_num_to_u64(&n, &u);
    *i = *whole ? (int64_t)(negative ? 0 - u : u) : 0;
    return true;
}

static int from_text(struct pt_op_ctx *c, const struct pt_tensor *x, struct pt_tensor *y, int64_t n)
{
    const struct pt_string *s = x->data;
    bool integer = pt_dtype_kind(y->dtype) != PT_KIND_FLOAT;
    for (int64_t i = 0; i < n; i++) {
        double d;
        int64_t v;
        bool whole;
        if (!parse_number((struct pt_str){s[i].p, s[i].len}, &d, &v, &whole))
            return pt_op_fail(c, PT_EINVAL, "element %lld, \"%.*s\", is not a number", (long long)i, (int)(s[i].len < 60 ? s[i].len : 60), s[i].p);
        if (integer && whole)
            pt_store_i64(y, i, 1, &v);
        else
            pt_store_f64(y, i, 1, &d);
    }
    return PT_OK;
}

/* Integers in full, floats with as many digits as tell values of their type apart in practice: 8, 17 for float64. */
static size_t put_text(char *out, const struct pt_tensor *x, int64_t i)
{
    enum pt_kind kind = pt_dtype_kind(x->dtype);
    int64_t v;
    if (kind != PT_KIND_FLOAT) {
        pt_load_i64(x, i, 1, &v);
        return kind == PT_KIND_SIGNED ? pt_num_put_i64(out, v) : pt_num_put_u64(out, (uint64_t)v);
    }
    double d = pt_elem_f64(x, i);
    if (d - d != 0)
        return (size_t)snprintf(out, TEXT_ROOM, "%s", d != d ? "NaN" : d > 0 ? "INF" : "-INF");
    return (size_t)snprintf(out, TEXT_ROOM, "%.*g", x->dtype == PT_DOUBLE ? 17 : 8, d);
}

static int to_text(struct pt_op_ctx *c, const struct pt_tensor *x, struct pt_tensor *y, int64_t n)
{
    char text[TEXT_ROOM];
    size_t bytes = 0;
    struct pt_string *s = y->data;
    for (int64_t i = 0; i < n; i++)
        bytes += put_text(text, x, i);
    char *room = pt_op_alloc(c, bytes);
    if (!room)
        return c->err->code;
    for (int64_t i = 0; i < n; i++) {
        s[i] = (struct pt_string){room, put_text(text, x, i)};
        memcpy(room, text, s[i].len);
        room += s[i].len;
    }
    return PT_OK;
}

/* --- numbers ------------------------------------------------------------------------------------------------------------------------ */

/* The conversions that models do all the time. */
static bool cast_fast(const struct pt_tensor *x, struct pt_tensor *y, int64_t n)
{
#define PAIR(a, b) ((unsigned)(a)*PT_DTYPE_COUNT + (unsigned)(b))
#define LOOP(a, A, b, B)                                                                                                                             \
    case PAIR(a, b):                                                                                                                                 \
        for (int64_t i = 0; i < n; i++)                                                                                                              \
            ((B *)y->data)[i] = (B)((const A *)x->data)[i];                                                                                          \
        return true;
    switch (PAIR(x->dtype, y->dtype)) {
        LOOP(PT_INT64, int64_t, PT_FLOAT, float)
        LOOP(PT_INT32, int32_t, PT_FLOAT, float)
        LOOP(PT_UINT8, uint8_t, PT_FLOAT, float)
        LOOP(PT_UINT64, uint64_t, PT_FLOAT, float)
        LOOP(PT_FLOAT, float, PT_DOUBLE, double)
        LOOP(PT_DOUBLE, double, PT_FLOAT, float)
        LOOP(PT_INT64, int64_t, PT_INT32, int32_t)
        LOOP(PT_INT32, int32_t, PT_INT64, int64_t)
    case PAIR(PT_FLOAT, PT_INT64):
        for (int64_t i = 0; i < n; i++) {
            float v = ((const float *)x->data)[i];
            ((int64_t *)y->data)[i] = v >= -0x1p63f && v < 0x1p63f ? (int64_t)v : INT64_MIN;
        }
        return true;
    case PAIR(PT_FLOAT, PT_INT32):
        for (int64_t i = 0; i < n; i++) {
            float v = ((const float *)x->data)[i];
            ((int32_t *)y->data)[i] = v >= -0x1p31f && v < 0x1p31f ? (int32_t)v : INT32_MIN;
        }
        return true;
    case PAIR(PT_FLOAT, PT_BOOL):
        for (int64_t i = 0; i < n; i++)
            ((uint8_t *)y->data)[i] = ((const float *)x->data)[i] != 0;
        return true;
    case PAIR(PT_INT64, PT_BOOL):
        for (int64_t i = 0; i < n; i++)
            ((uint8_t *)y->data)[i] = ((const int64_t *)x->data)[i] != 0;
        return true;
    case PAIR(PT_BOOL, PT_FLOAT):
        for (int64_t i = 0; i < n; i++)
            ((float *)y->data)[i] = ((const uint8_t *)x->data)[i] != 0;
        return true;
    case PAIR(PT_FLOAT16, PT_FLOAT):
    case PAIR(PT_BFLOAT16, PT_FLOAT):
        pt_load_f32(x, 0, n, y->data);
        return true;
    case PAIR(PT_FLOAT, PT_FLOAT16):
    case PAIR(PT_FLOAT, PT_BFLOAT16):
        pt_store_f32(y, 0, n, x->data);
        return true;
    default:
        break;
    }
    if (x->dtype != y->dtype)
        return false;
    if (x->size_bytes)
        memcpy(y->data, x->data, x->size_bytes);
    return true;
}

struct cast {
    struct pt_rounding rounding;
};

static void cast_numbers(const struct cast *p, const struct pt_tensor *x, struct pt_tensor *y, int64_t n)
{
    union {
        double d[PT_BLOCK];
        int64_t i[PT_BLOCK];
    } block;
    bool wide = x->dtype == PT_UINT64 && pt_dtype_kind(y->dtype) == PT_KIND_FLOAT; /* not all of it fits int64 */
    bool real = pt_dtype_kind(x->dtype) == PT_KIND_FLOAT || wide;
    for (int64_t at = 0; at < n; at += PT_BLOCK) {
        int64_t count = n - at < PT_BLOCK ? n - at : PT_BLOCK;
        if (real) {
            pt_load_f64(x, at, count, block.d);
            pt_store_f64_rounding(y, at, count, block.d, p->rounding);
        } else {
            pt_load_i64(x, at, count, block.i);
            pt_store_i64_rounding(y, at, count, block.i, p->rounding);
        }
    }
}

static int cast_run(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0];
    struct pt_tensor *y = c->out[0];
    int64_t n = pt_tensor_count(x);
    if (cast_fast(x, y, n))
        return PT_OK;
    if (x->dtype == PT_STRING)
        return from_text(c, x, y, n);
    if (y->dtype == PT_STRING)
        return to_text(c, x, y, n);
    cast_numbers(c->params, x, y, n);
    return PT_OK;
}

/* --- what to cast to ------------------------------------------------------------------------------------------------------------------ */

#define CASTABLE (PT_TS_ANY & ~PT_TS_COMPLEX)

static int set_type(struct pt_op_ctx *c, int64_t to)
{
    static const char *const modes[] = {"nearest", "up", "down", NULL};
    struct cast *p = c->params;
    int64_t saturate = 1;
    int mode = PT_ROUND_UP, rc = PT_OK;
    if (to == 0)
        return pt_op_fail(c, PT_EINVAL, "attribute 'to' is missing or undefined (0)");
    if (to <= 0 || to >= PT_DTYPE_COUNT || !(CASTABLE & PT_T(to)))
        return pt_op_fail(c, PT_EUNSUPPORTED, "cast to %s (type %lld) is not supported", pt_dtype_name((enum pt_dtype)to), (long long)to);
    if (c->node->version >= 19)
        rc = pt_attr_int(c, "saturate", 1, 0, 1, &saturate);
    if (rc == PT_OK && c->node->version >= 24)
        rc = pt_attr_choice(c, "round_mode", modes, PT_ROUND_UP, &mode);
    p->rounding = (struct pt_rounding){!saturate, (enum pt_round)mode};
    pt_op_set_out(c, 0, (enum pt_dtype)to, c->in[0]->rank, c->in[0]->dims);
    return rc;
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
                                 .types = {CASTABLE},
                                 .params_size = sizeof(struct cast),
                                 .infer = cast_infer,
                                 .run = cast_run};
const struct pt_op pt_op_cast_like = {.type = "CastLike",
                                      .since = {15, 19, 21, 23, 24, 25},
                                      .min_in = 2,
                                      .max_in = 2,
                                      .max_out = 1,
                                      .types = {CASTABLE},
                                      .params_size = sizeof(struct cast),
                                      .infer = cast_like_infer,
                                      .run = cast_run};

/* --- BitCast ---------------------------------------------------------------------------------------------------------------------------- */

static int bit_cast_infer(struct pt_op_ctx *c)
{
    enum pt_dtype from = c->in[0]->dtype;
    int64_t to;
    int rc = pt_attr_int(c, "to", 0, 1, PT_DTYPE_COUNT - 1, &to);
    if (rc < 0)
        return rc;
    if (pt_dtype_bits((enum pt_dtype)to) != pt_dtype_bits(from))
        return pt_op_fail(c, PT_EINVAL, "attribute 'to' = %lld is %s, which has not the %u bits of %s", (long long)to,
                          pt_dtype_name((enum pt_dtype)to), pt_dtype_bits(from), pt_dtype_name(from));
    pt_op_set_out(c, 0, (enum pt_dtype)to, c->in[0]->rank, c->in[0]->dims);
    return PT_OK;
}

/* Bytes of bool are 0 or 1 to everything that reads them. */
static int bit_cast_run(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0];
    struct pt_tensor *y = c->out[0];
    if (x->size_bytes && y->data != x->data)
        memcpy(y->data, x->data, x->size_bytes);
    for (size_t i = 0; y->dtype == PT_BOOL && i < y->size_bytes; i++)
        ((uint8_t *)y->data)[i] = ((const uint8_t *)y->data)[i] != 0;
    return PT_OK;
}

const struct pt_op pt_op_bit_cast = {.type = "BitCast",
                                     .since = {26},
                                     .min_in = 1,
                                     .max_in = 1,
                                     .max_out = 1,
                                     .types = {PT_TS_ANY & ~PT_TS_STRING},
                                     .infer = bit_cast_infer,
                                     .run = bit_cast_run};
