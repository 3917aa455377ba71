/* SPDX-License-Identifier: Apache-2.0
 *
 * pool.c: MaxPool, AveragePool, LpPool and their global forms, over any number of spatial axes.
 */
#include "runtime/ops/pool.h"

#include <math.h>

int pt_pool_plan(struct pt_op_ctx *c, struct pt_pool_params *p, const struct pt_tensor *x)
{
    int64_t ceil_mode, dims[PT_MAX_RANK];
    int n, rc;
    if (x->rank < 3 || x->rank - 2 > PT_WINDOW_AXES)
        return pt_op_fail(c, PT_EINVAL, "input %s must have rank 3 to %d", PT_SHAPE(x), PT_WINDOW_AXES + 2);
    p->w.axes = x->rank - 2;
    if ((rc = pt_attr_ints(c, "kernel_shape", 1, INT32_MAX, p->w.kernel, p->w.axes, &n)) < 0 ||
        (rc = pt_attr_int(c, "ceil_mode", 0, 0, 1, &ceil_mode)) < 0 ||
        (rc = pt_attr_int(c, "count_include_pad", 0, 0, 1, &p->count_include_pad)) < 0 ||
        (rc = pt_attr_int(c, "storage_order", 0, 0, 1, &p->storage_order)) < 0)
        return rc;
    if (n != p->w.axes)
        return pt_op_fail(c, PT_EINVAL, "attribute 'kernel_shape' has %d values, needs %d", n < 0 ? 0 : n, p->w.axes);
    for (int i = 0; i < x->rank; i++)
        dims[i] = x->dims[i];
    for (int i = 0; i < p->w.axes; i++)
        p->w.in[i] = x->dims[i + 2];
    if ((rc = pt_window_infer(c, &p->w, ceil_mode)) < 0)
        return rc;
    for (int i = 0; i < p->w.axes; i++)
        dims[i + 2] = p->w.out[i];
    pt_op_set_out(c, 0, x->dtype, x->rank, dims);
    pt_op_set_out(c, 1, PT_INT64, x->rank, dims);
    return PT_OK;
}

static int pool_infer(struct pt_op_ctx *c)
{
    return pt_pool_plan(c, c->params, c->in[0]);
}

/* Calls visit for each tap of the window at o that lies in the image, with the offset in the image. */
typedef void (*tap_fn)(void *arg, int64_t offset);
static void each_tap(const struct pt_window *w, int axis, const int64_t *o, int64_t offset, tap_fn visit, void *arg)
{
    int64_t first, end, at, s = pt_dims_product(w->in + axis + 1, w->axes - axis - 1);
    pt_window_taps(w, axis, o[axis], &first, &end, &at);
    for (int64_t k = first; k < end; k++, at += w->dilation[axis]) {
        if (axis == w->axes - 1)
            visit(arg, offset + at);
        else
            each_tap(w, axis + 1, o, offset + at * s, visit, arg);
    }
}

/* Taps of the window inside the padded image. */
static double padded_taps(const struct pt_window *w, const int64_t *o)
{
    double n = 1;
    for (int i = 0; i < w->axes; i++) {
        struct pt_window padded = *w;
        int64_t first, end, at;
        padded.in[i] += w->pad[i] + w->pad_end[i];
        padded.pad[i] = 0;
        pt_window_taps(&padded, i, o[i], &first, &end, &at);
        n *= (double)(end - first);
    }
    return n;
}

struct fold {
    const struct pt_tensor *x;
    int64_t base, best;
    double value, taps;
    float p;
};

static void fold_max(void *arg, int64_t offset)
{
    struct fold *f = arg;
    double v = pt_elem_f64(f->x, f->base + offset);
    if (f->best < 0 || v > f->value || (v != v && f->value == f->value)) {
        f->value = v;
        f->best = offset;
    }
}

static void fold_sum(void *arg, int64_t offset)
{
    struct fold *f = arg;
    f->value += pt_elem_f64(f->x, f->base + offset);
    f->taps++;
}

static void fold_lp(void *arg, int64_t offset)
{
    struct fold *f = arg;
    f->value += pow(fabs(pt_elem_f64(f->x, f->base + offset)), (double)f->p);
}

static void put(struct pt_tensor *y, int64_t i, double v)
{
    switch (y->dtype) {
    case PT_FLOAT:
        ((float *)y->data)[i] = (float)v;
        break;
    case PT_DOUBLE:
        ((double *)y->data)[i] = v;
        break;
    case PT_INT8:
        ((int8_t *)y->data)[i] = (int8_t)v;
        break;
    default:
        ((uint8_t *)y->data)[i] = (uint8_t)v;
        break;
    }
}

/* storage_order 1 numbers the pixels of an image column by column. */
static int64_t column_major(const struct pt_window *w, int64_t offset)
{
    int64_t at[PT_WINDOW_AXES], r = 0;
    for (int i = w->axes - 1; i >= 0; i--) {
        at[i] = offset % w->in[i];
        offset /= w->in[i];
    }
    for (int i = w->axes - 1; i >= 0; i--)
        r = r * w->in[i] + at[i];
    return r;
}

static int pool_walk(struct pt_op_ctx *c, tap_fn visit, double (*finish)(const struct pt_pool_params *, const struct fold *, const int64_t *), double start)
{
    const struct pt_pool_params *p = c->params;
    const struct pt_window *w = &p->w;
    const struct pt_tensor *x = c->in[0];
    int64_t pixels = pt_dims_product(w->out, w->axes), image = pt_dims_product(w->in, w->axes), at = 0;
    int64_t *indices = c->out_count > 1 && c->out[1] ? c->out[1]->data : NULL;
    for (int64_t nc = 0; pixels && nc < x->dims[0] * x->dims[1]; nc++) {
        int64_t o[PT_WINDOW_AXES] = {0};
        for (int64_t i = 0; i < pixels; i++, at++) {
            struct fold f = {.x = x, .base = nc * image, .best = -1, .value = start, .p = p->p};
            each_tap(w, 0, o, 0, visit, &f);
            put(c->out[0], at, finish(p, &f, o));
            if (indices)
                indices[at] = nc * image + (f.best < 0 ? 0 : p->storage_order ? column_major(w, f.best) : f.best);
            for (int a = w->axes - 1; a >= 0 && ++o[a] == w->out[a]; a--)
                o[a] = 0;
        }
    }
    return PT_OK;
}

static double finish_max(const struct pt_pool_params *p, const struct fold *f, const int64_t *o)
{
    (void)p, (void)o;
    return f->value;
}

static double finish_average(const struct pt_pool_params *p, const struct fold *f, const int64_t *o)
{
    double n = p->count_include_pad ? padded_taps(&p->w, o) : f->taps;
    return n > 0 ? f->value / n : 0;
}

static double finish_lp(const struct pt_pool_params *p, const struct fold *f, const int64_t *o)
{
    (void)o;
    return pow(f->value, 1.0 / (double)p->p);
}

/* Bytes over two axes, as quantised networks have them: the rows of a window first, all columns at once, then columns. */
#define WIDEST 4096
#define MAX_IMAGE(T, name, lowest)                                                                                                                   \
    static void name(const struct pt_window *w, const T *x, T *y)                                                                                    \
    {                                                                                                                                                \
        T row[WIDEST];                                                                                                                               \
        int64_t width = w->in[1], first, end, at;                                                                                                    \
        for (int64_t r = 0; r < w->out[0]; r++) {                                                                                                    \
            for (int64_t i = 0; i < width; i++)                                                                                                      \
                row[i] = (lowest);                                                                                                                   \
            pt_window_taps(w, 0, r, &first, &end, &at);                                                                                              \
            for (int64_t k = first; k < end; k++, at += w->dilation[0])                                                                              \
                for (int64_t i = 0; i < width; i++)                                                                                                  \
                    row[i] = x[at * width + i] > row[i] ? x[at * width + i] : row[i];                                                                \
            for (int64_t o = 0; o < w->out[1]; o++, y++) {                                                                                           \
                *y = (lowest);                                                                                                                       \
                pt_window_taps(w, 1, o, &first, &end, &at);                                                                                          \
                for (int64_t k = first; k < end; k++, at += w->dilation[1])                                                                          \
                    *y = row[at] > *y ? row[at] : *y;                                                                                                \
            }                                                                                                                                        \
        }                                                                                                                                            \
    }
MAX_IMAGE(uint8_t, max_image_u8, 0)
MAX_IMAGE(int8_t, max_image_i8, -128)

static bool max_bytes(struct pt_op_ctx *c)
{
    const struct pt_window *w = &((const struct pt_pool_params *)c->params)->w;
    const struct pt_tensor *x = c->in[0];
    bool is_signed = x->dtype == PT_INT8;
    if ((!is_signed && x->dtype != PT_UINT8) || w->axes != 2 || w->in[1] > WIDEST || (c->out_count > 1 && c->out[1]))
        return false;
    int64_t in = w->in[0] * w->in[1], out = w->out[0] * w->out[1];
    for (int64_t i = 0; out && i < x->dims[0] * x->dims[1]; i++)
        if (is_signed)
            max_image_i8(w, (const int8_t *)x->data + i * in, (int8_t *)c->out[0]->data + i * out);
        else
            max_image_u8(w, (const uint8_t *)x->data + i * in, (uint8_t *)c->out[0]->data + i * out);
    return true;
}

static int max_pool_run(struct pt_op_ctx *c)
{
    if (max_bytes(c))
        return PT_OK;
    bool real = PT_TS_FLOAT & PT_T(c->in[0]->dtype);
    return pool_walk(c, fold_max, finish_max, real ? -INFINITY : c->in[0]->dtype == PT_INT8 ? -128 : 0);
}

static int average_pool_run(struct pt_op_ctx *c)
{
    return pool_walk(c, fold_sum, finish_average, 0);
}

/* The exponent; opset 1 has it as a float. */
static int read_p(struct pt_op_ctx *c, struct pt_pool_params *p)
{
    int64_t whole = 2;
    int rc = c->node->version < 2 ? pt_attr_float(c, "p", 2, &p->p) : pt_attr_int(c, "p", 2, 1, INT32_MAX, &whole);
    if (rc == PT_OK && c->node->version >= 2)
        p->p = (float)whole;
    if (rc == PT_OK && !(p->p > 0))
        rc = pt_op_fail(c, PT_EINVAL, "attribute 'p' = %g is not positive", (double)p->p);
    return rc;
}

static int lp_pool_infer(struct pt_op_ctx *c)
{
    int rc = read_p(c, c->params);
    return rc < 0 ? rc : pool_infer(c);
}

static int lp_pool_run(struct pt_op_ctx *c)
{
    return pool_walk(c, fold_lp, finish_lp, 0);
}

/* Global pools are pools whose window is the image. */
static int global_pool_infer(struct pt_op_ctx *c)
{
    struct pt_pool_params *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int64_t dims[PT_MAX_RANK];
    if (x->rank < 3 || x->rank - 2 > PT_WINDOW_AXES)
        return pt_op_fail(c, PT_EINVAL, "input %s must have rank 3 to %d", PT_SHAPE(x), PT_WINDOW_AXES + 2);
    p->w.axes = x->rank - 2;
    for (int i = 0; i < x->rank; i++)
        dims[i] = i < 2 ? x->dims[i] : 1;
    for (int i = 0; i < p->w.axes; i++) {
        p->w.in[i] = p->w.kernel[i] = x->dims[i + 2];
        p->w.out[i] = p->w.stride[i] = p->w.dilation[i] = 1;
    }
    pt_op_set_out(c, 0, x->dtype, x->rank, dims);
    return PT_OK;
}

static int global_lp_pool_infer(struct pt_op_ctx *c)
{
    int rc = read_p(c, c->params);
    return rc < 0 ? rc : global_pool_infer(c);
}

#define V(...) {__VA_ARGS__}
#define ROW(sym, op_name, sinces, outs, ts, infer_fn, run_fn) \
    const struct pt_op pt_op_##sym = {.type = op_name, .since = sinces, .min_in = 1, .max_in = 1, .max_out = outs, .types = {ts}, .flags = PT_OP_WIDEN, \
                                      .params_size = sizeof(struct pt_pool_params), .infer = infer_fn, .run = run_fn};
ROW(max_pool, "MaxPool", V(1, 8, 10, 11, 12, 22), 2, PT_TS_REAL | PT_T(PT_INT8) | PT_T(PT_UINT8), pool_infer, max_pool_run)
ROW(average_pool, "AveragePool", V(1, 7, 10, 11, 19, 22), 1, PT_TS_REAL, pool_infer, average_pool_run)
ROW(lp_pool, "LpPool", V(1, 2, 11, 18, 22), 1, PT_TS_REAL, lp_pool_infer, lp_pool_run)
ROW(global_max_pool, "GlobalMaxPool", V(1, 22), 1, PT_TS_REAL, global_pool_infer, max_pool_run)
ROW(global_average_pool, "GlobalAveragePool", V(1, 22), 1, PT_TS_REAL, global_pool_infer, average_pool_run)
ROW(global_lp_pool, "GlobalLpPool", V(1, 2, 22), 1, PT_TS_REAL, global_lp_pool_infer, lp_pool_run)
