/* SPDX-License-Identifier: Apache-2.0
 *
 * reduce.c: the Reduce family. The axes are an attribute until opset 12 (ReduceSum) or 17 (the others), an input from then on. Floats are
 * summed in double, integers exactly (modulo 2^64); the logarithms and roots of integers go through double.
 */
#include "runtime/ops/types.h"

#include <math.h>

enum kind { SUM, MEAN, MAX, MIN, PROD, L1, L2, LOG_SUM, LOG_SUM_EXP, SUM_SQUARE };

struct reduce {
    enum kind kind;
    int kept, reduced; /* merged axes */
    int64_t kept_dim[PT_MAX_RANK], kept_stride[PT_MAX_RANK], reduced_dim[PT_MAX_RANK], reduced_stride[PT_MAX_RANK];
    int64_t count; /* reduced elements per result */
};

static int read_axes(struct pt_op_ctx *c, int input_from, bool *is_reduced, bool *all)
{
    const struct pt_tensor *x = c->in[0];
    int64_t axes[PT_MAX_RANK], noop = 0;
    int n, rc;
    if (c->node->version >= input_from)
        rc = pt_op_const_ints(c, 1, "axes", axes, PT_MAX_RANK, &n);
    else
        rc = pt_attr_ints(c, "axes", INT32_MIN, INT32_MAX, axes, PT_MAX_RANK, &n);
    if (rc == PT_OK && c->node->version >= input_from)
        rc = pt_attr_int(c, "noop_with_empty_axes", 0, 0, 1, &noop);
    if (rc < 0)
        return rc;
    *all = n <= 0;
    for (int i = 0; i < x->rank; i++)
        is_reduced[i] = *all && !noop;
    for (int i = 0; i < n; i++) {
        int a;
        if ((rc = pt_op_axis(c, "axis", axes[i], x->rank, false, &a)) < 0)
            return rc;
        is_reduced[a] = true;
    }
    return PT_OK;
}

/* Neighbouring axes of one kind are one axis. Innermost first. */
static void merge_axes(struct reduce *p, const struct pt_tensor *x, const bool *is_reduced)
{
    int64_t stride = 1;
    int last = -1;
    p->kept = p->reduced = 0;
    p->count = 1;
    for (int i = x->rank - 1; i >= 0; i--) {
        int *n = is_reduced[i] ? &p->reduced : &p->kept;
        int64_t *dim = is_reduced[i] ? p->reduced_dim : p->kept_dim, *st = is_reduced[i] ? p->reduced_stride : p->kept_stride;
        if (last == is_reduced[i] && *n)
            dim[*n - 1] *= x->dims[i];
        else {
            dim[*n] = x->dims[i];
            st[(*n)++] = stride;
        }
        last = is_reduced[i];
        stride *= x->dims[i];
        if (is_reduced[i])
            p->count *= x->dims[i];
    }
}

static int reduce_infer(struct pt_op_ctx *c, enum kind kind, int input_from)
{
    struct reduce *p = c->params;
    const struct pt_tensor *x = c->in[0];
    bool is_reduced[PT_MAX_RANK], all;
    int64_t keep, dims[PT_MAX_RANK];
    int rank = 0, rc = pt_attr_int(c, "keepdims", 1, 0, 1, &keep);
    if (rc == PT_OK)
        rc = read_axes(c, input_from, is_reduced, &all);
    if (rc < 0)
        return rc;
    p->kind = kind;
    merge_axes(p, x, is_reduced);
    for (int i = 0; i < x->rank; i++)
        if (!is_reduced[i] || keep)
            dims[rank++] = is_reduced[i] ? 1 : x->dims[i];
    pt_op_set_out(c, 0, x->dtype, rank, dims);
    return PT_OK;
}

static inline double real_start(enum kind k)
{
    return k == MAX ? -INFINITY : k == MIN ? INFINITY : k == PROD ? 1 : 0;
}

static inline double real_step(enum kind k, double acc, double v, double shift)
{
    switch (k) {
    case MAX:
        return v > acc || v != v ? v : acc;
    case MIN:
        return v < acc || v != v ? v : acc;
    case PROD:
        return acc * v;
    case L1:
        return acc + fabs(v);
    case L2:
    case SUM_SQUARE:
        return acc + v * v;
    case LOG_SUM_EXP:
        return acc + exp(v - shift);
    default:
        return acc + v;
    }
}

static double real_finish(enum kind k, double acc, double shift, int64_t n)
{
    switch (k) {
    case MEAN:
        return acc / (double)n;
    case L2:
        return sqrt(acc);
    case LOG_SUM:
        return log(acc);
    case LOG_SUM_EXP:
        return log(acc) + shift;
    default:
        return acc;
    }
}

/* Offset of element i along merged axes. */
static int64_t offset_of(int axes, const int64_t *dim, const int64_t *stride, int64_t i)
{
    int64_t off = 0;
    for (int k = 0; k < axes; k++) {
        off += i % dim[k] * stride[k];
        i /= dim[k];
    }
    return off;
}

/* One loop per kind: with `kind` known the step is an instruction or two. */
#define PASS(k) \
    static double pass_##k(const struct pt_tensor *x, const struct reduce *p, int64_t base, double shift) \
    { \
        double acc = real_start(k); \
        int64_t inner = p->reduced ? p->reduced_dim[0] : 1, step = p->reduced ? p->reduced_stride[0] : 0; \
        for (int64_t i = 0; i < p->count; i += inner) { \
            int64_t at = base + offset_of(p->reduced, p->reduced_dim, p->reduced_stride, i); \
            if (x->dtype == PT_FLOAT) \
                for (int64_t n = 0; n < inner; n++) \
                    acc = real_step(k, acc, (double)((const float *)x->data)[at + n * step], shift); \
            else \
                for (int64_t n = 0; n < inner; n++) \
                    acc = real_step(k, acc, pt_elem_f64(x, at + n * step), shift); \
        } \
        return acc; \
    }
#define KINDS(X) X(SUM) X(MEAN) X(MAX) X(MIN) X(PROD) X(L1) X(L2) X(LOG_SUM) X(LOG_SUM_EXP) X(SUM_SQUARE)
KINDS(PASS)

static double real_pass(const struct pt_tensor *x, const struct reduce *p, int64_t base, enum kind kind, double shift)
{
#define AT(k) [k] = pass_##k,
    static double (*const passes[])(const struct pt_tensor *, const struct reduce *, int64_t, double) = {KINDS(AT)};
    return passes[kind](x, p, base, shift);
}

static double real_one(const struct pt_tensor *x, const struct reduce *p, int64_t base)
{
    double shift = p->kind == LOG_SUM_EXP ? real_pass(x, p, base, MAX, 0) : 0;
    if (shift - shift != 0) /* infinite or NaN: nothing to gain from shifting */
        shift = 0;
    return real_finish(p->kind, real_pass(x, p, base, p->kind, shift), shift, p->count);
}

static uint64_t int_step(enum kind k, bool is_signed, uint64_t acc, uint64_t v)
{
    int64_t sa = (int64_t)acc, sv = (int64_t)v;
    switch (k) {
    case MAX:
        return is_signed ? (uint64_t)(sv > sa ? sv : sa) : v > acc ? v : acc;
    case MIN:
        return is_signed ? (uint64_t)(sv < sa ? sv : sa) : v < acc ? v : acc;
    case PROD:
        return acc * v;
    case L1:
        return acc + (is_signed && sv < 0 ? 0 - v : v);
    case SUM_SQUARE:
        return acc + v * v;
    default:
        return acc + v;
    }
}

/* The identity: for MAX and MIN the type's own limit. */
static uint64_t int_start(enum kind k, enum pt_dtype t)
{
    unsigned bits = t == PT_BOOL ? 1 : pt_dtype_bits(t);
    bool is_signed = PT_TS_INT & PT_T(t);
    uint64_t umax = bits == 64 ? UINT64_MAX : (1ull << bits) - 1;
    if (k == MAX)
        return is_signed ? (uint64_t) - (int64_t)(umax / 2) - 1 : 0;
    if (k == MIN)
        return is_signed ? umax / 2 : umax;
    return k == PROD;
}

static uint64_t int_one(const struct pt_tensor *x, const struct reduce *p, int64_t base)
{
    bool is_signed = PT_TS_INT & PT_T(x->dtype);
    uint64_t acc = int_start(p->kind, x->dtype);
    for (int64_t i = 0; i < p->count; i++)
        acc = int_step(p->kind, is_signed, acc,
                       (uint64_t)pt_elem_i64(x, base + offset_of(p->reduced, p->reduced_dim, p->reduced_stride, i)));
    if (p->kind == MEAN)
        return p->count == 0 ? 0 : is_signed ? (uint64_t)((int64_t)acc / p->count) : acc / (uint64_t)p->count;
    return acc;
}

static int reduce_run(struct pt_op_ctx *c)
{
    const struct reduce *p = c->params;
    const struct pt_tensor *x = c->in[0];
    struct pt_tensor *y = c->out[0];
    int64_t n = pt_tensor_count(y);
    bool real = (PT_TS_FLOAT & PT_T(x->dtype)) || p->kind == L2 || p->kind == LOG_SUM || p->kind == LOG_SUM_EXP;
    for (int64_t i = 0; i < n; i++) {
        int64_t base = offset_of(p->kept, p->kept_dim, p->kept_stride, i);
        if (real) {
            double v = real_one(x, p, base);
            pt_store_f64(y, i, 1, &v);
        } else {
            uint64_t v = int_one(x, p, base);
            memcpy((char *)y->data + (size_t)i * pt_dtype_size(y->dtype), &v, pt_dtype_size(y->dtype));
        }
    }
    return PT_OK;
}

#define V(...) {__VA_ARGS__}
#define ROW(sym, op_name, k, sinces, input_from, ts) \
    static int sym##_infer(struct pt_op_ctx *c) \
    { \
        return reduce_infer(c, k, input_from); \
    } \
    const struct pt_op pt_op_##sym = {.type = op_name, .since = sinces, .min_in = 1, .max_in = 2, .max_out = 1, .types = {ts | PT_TS_HALF, PT_TS_INDEX}, \
                                      .flags = PT_OP_WIDEN,                                       .params_size = sizeof(struct reduce), .infer = sym##_infer, .run = reduce_run};
ROW(reduce_sum, "ReduceSum", SUM, V(1, 11, 13), 13, PT_TS_NUM)
ROW(reduce_mean, "ReduceMean", MEAN, V(1, 11, 13, 18), 18, PT_TS_NUM)
ROW(reduce_max, "ReduceMax", MAX, V(1, 11, 12, 13, 18, 20), 18, PT_TS_NUM | PT_TS_BOOL)
ROW(reduce_min, "ReduceMin", MIN, V(1, 11, 12, 13, 18, 20), 18, PT_TS_NUM | PT_TS_BOOL)
ROW(reduce_prod, "ReduceProd", PROD, V(1, 11, 13, 18), 18, PT_TS_NUM)
ROW(reduce_l1, "ReduceL1", L1, V(1, 11, 13, 18), 18, PT_TS_NUM)
ROW(reduce_l2, "ReduceL2", L2, V(1, 11, 13, 18), 18, PT_TS_NUM)
ROW(reduce_log_sum, "ReduceLogSum", LOG_SUM, V(1, 11, 13, 18), 18, PT_TS_NUM)
ROW(reduce_log_sum_exp, "ReduceLogSumExp", LOG_SUM_EXP, V(1, 11, 13, 18), 18, PT_TS_NUM)
ROW(reduce_sum_square, "ReduceSumSquare", SUM_SQUARE, V(1, 11, 13, 18), 18, PT_TS_NUM)
