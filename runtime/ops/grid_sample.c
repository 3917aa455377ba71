/* SPDX-License-Identifier: Apache-2.0
 *
 * grid_sample.c: GridSample over any number of spatial axes: each output pixel is read at a position between -1 and 1 that the grid gives. Along
 * every axis a position is a few taps with weights (one, two or four), which all channels share.
 */
#include "runtime/ops/types.h"
#include "runtime/ops/window.h"

#include <math.h>

enum { LINEAR, NEAREST, CUBIC };
enum { ZEROS, BORDER, REFLECTION };
#define MAX_TAPS 4

struct sample {
    int mode, padding, axes, taps;
    int64_t align;
    int64_t image, pixels; /* elements of an image of the input, of the output */
};

static int sample_infer(struct pt_op_ctx *c)
{
    static const char *const modes[] = {"linear", "nearest", "cubic", "bilinear", "bicubic", NULL}, *const paddings[] = {"zeros", "border",
                                                                                                                         "reflection", NULL};
    struct sample *p = c->params;
    const struct pt_tensor *x = c->in[0], *g = c->in[1];
    int64_t dims[PT_MAX_RANK] = {0};
    int rc;
    if ((rc = pt_attr_choice(c, "mode", modes, LINEAR, &p->mode)) < 0 || (rc = pt_attr_choice(c, "padding_mode", paddings, ZEROS, &p->padding)) < 0 ||
        (rc = pt_attr_int(c, "align_corners", 0, 0, 1, &p->align)) < 0)
        return rc;
    p->mode = p->mode == 3 ? LINEAR : p->mode == 4 ? CUBIC : p->mode;
    p->taps = p->mode == NEAREST ? 1 : p->mode == LINEAR ? 2 : 4;
    p->axes = x->rank - 2;
    if (x->rank < 3 || p->axes > PT_WINDOW_AXES || g->rank != x->rank || g->dims[0] != x->dims[0] || g->dims[x->rank - 1] != p->axes)
        return pt_op_fail(c, PT_EINVAL, "grid %s does not fit input %s", PT_SHAPE(g), PT_SHAPE(x));
    if (p->mode != NEAREST && !(PT_T(x->dtype) & (PT_TS_NUM | PT_TS_HALF)))
        return pt_op_fail(c, PT_EUNSUPPORTED, "input %s cannot be interpolated", PT_SHAPE(x));
    p->image = p->pixels = 1;
    dims[0] = x->dims[0];
    dims[1] = x->dims[1];
    for (int a = 0; a < p->axes; a++) {
        dims[a + 2] = g->dims[a + 1];
        if (__builtin_mul_overflow(p->image, x->dims[a + 2], &p->image) || __builtin_mul_overflow(p->pixels, g->dims[a + 1], &p->pixels))
            return pt_op_fail(c, PT_ELIMIT, "input %s is too large", PT_SHAPE(x));
    }
    if (p->image == 0 && p->pixels && x->dims[0] && x->dims[1])
        return pt_op_fail(c, PT_EINVAL, "input %s has no pixels", PT_SHAPE(x));
    pt_op_set_out(c, 0, x->dtype, x->rank, dims);
    return PT_OK;
}

/* --- one axis ------------------------------------------------------------------------------------------------------------------------------- */

/* Back and forth between lo and hi, as often as it takes. */
static double reflect(double x, double lo, double hi)
{
    double range = hi - lo, d = x < lo ? lo - x : x > hi ? x - hi : 0;
    if (range <= 0)
        return lo;
    if (d == 0)
        return x;
    double turns = floor(d / range), rest = d - turns * range;
    bool even = fmod(turns, 2) == 0;
    return (x < lo) == even ? lo + rest : hi - rest;
}

struct axis {
    int64_t at[MAX_TAPS];
    double w[MAX_TAPS];
};

static void cubic_weights(double f, double *w)
{
    const double a = -0.75;
    for (int k = 0; k < 4; k++) {
        double d = fabs(f + 1 - k);
        w[k] = d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
    }
}

/* Taps of grid value g along an axis of n elements; a tap outside has the weight 0. */
static void take_axis(const struct sample *p, double g, int64_t n, struct axis *t)
{
    double lo = p->align ? 0 : -0.5, hi = (double)n - 1 - lo, x = p->align ? (g + 1) / 2 * (double)(n - 1) : ((g + 1) * (double)n - 1) / 2;
    x = (double)(float)x;
    if (!(fabs(x) < 1e12)) /* NaN and infinities: far outside */
        x = x > 0 ? 1e12 : -1e12;
    if (p->mode == NEAREST)
        x = rint(x);
    if (p->mode == CUBIC)
        ; /* its taps are mapped one by one: a position just outside still sees the pixels inside */
    else if (p->padding == BORDER)
        x = x < 0 ? (x < lo ? 0 : x) : x > hi ? (double)(n - 1) : x;
    else if (p->padding == REFLECTION)
        x = reflect(x, lo, hi);
    double base = p->mode == NEAREST ? trunc(x) : floor(x), f = x - base;
    int64_t first = (int64_t)base - (p->mode == CUBIC);
    t->w[0] = p->mode == LINEAR ? 1 - f : 1;
    t->w[1] = f;
    if (p->mode == CUBIC)
        cubic_weights(f, t->w);
    for (int k = 0; k < p->taps; k++) {
        int64_t i = first + k;
        if (i < 0 || i >= n) {
            if (p->padding == ZEROS)
                t->w[k] = 0;
            i = p->padding == REFLECTION ? (int64_t)reflect((double)i, lo, hi) : i;
            i = i < 0 ? 0 : i >= n ? n - 1 : i;
        }
        t->at[k] = i;
    }
}

/* --- all axes --------------------------------------------------------------------------------------------------------------------------------- */

#define SUM(T, s)                                                                                                                                    \
    static T sum_##s(const struct sample *p, const struct axis *t, const int64_t *dims, int a, const T *x)                                           \
    {                                                                                                                                                \
        T sum = 0;                                                                                                                                   \
        int64_t stride = pt_dims_product(dims + a + 1, p->axes - a - 1);                                                                             \
        for (int k = 0; k < p->taps; k++)                                                                                                            \
            if (t[a].w[k] != 0)                                                                                                                      \
                sum += (T)t[a].w[k] * (a == p->axes - 1 ? x[t[a].at[k]] : sum_##s(p, t, dims, a + 1, x + t[a].at[k] * stride));                      \
        return sum;                                                                                                                                  \
    }
SUM(float, f32)
SUM(double, f64)

static double sum_any(const struct sample *p, const struct axis *t, const struct pt_tensor *x, int a, int64_t at)
{
    double sum = 0;
    for (int k = 0; k < p->taps; k++) {
        int64_t i = at * x->dims[a + 2] + t[a].at[k];
        if (t[a].w[k] != 0)
            sum += t[a].w[k] * (a == p->axes - 1 ? pt_elem_f64(x, i) : sum_any(p, t, x, a + 1, i));
    }
    return sum;
}

static void copy_nearest(const struct pt_op_ctx *c, const struct axis *t, int64_t image, int64_t to)
{
    const struct sample *p = c->params;
    const struct pt_tensor *x = c->in[0];
    size_t size = pt_dtype_size(x->dtype);
    int64_t at = 0;
    bool inside = true;
    for (int a = 0; a < p->axes; a++) {
        at = at * x->dims[a + 2] + t[a].at[0];
        inside = inside && t[a].w[0] != 0;
    }
    char *y = (char *)c->out[0]->data + (size_t)to * size;
    if (inside)
        memcpy(y, (const char *)x->data + (size_t)(image * p->image + at) * size, size);
    else
        memset(y, 0, size);
}

static void sample_pixels(void *arg, size_t begin, size_t end)
{
    const struct pt_op_ctx *c = arg;
    const struct sample *p = c->params;
    const struct pt_tensor *x = c->in[0];
    struct pt_tensor *y = c->out[0];
    for (int64_t i = (int64_t)begin; i < (int64_t)end; i++) {
        struct axis t[PT_WINDOW_AXES];
        double g[PT_WINDOW_AXES];
        pt_load_f64(c->in[1], i * p->axes, p->axes, g);
        for (int a = 0; a < p->axes; a++) /* the grid names the last axis first */
            take_axis(p, g[p->axes - 1 - a], x->dims[a + 2], &t[a]);
        for (int64_t k = 0; k < x->dims[1]; k++) {
            int64_t image = i / p->pixels * x->dims[1] + k, to = image * p->pixels + i % p->pixels;
            if (p->mode == NEAREST)
                copy_nearest(c, t, image, to);
            else if (x->dtype == PT_FLOAT)
                ((float *)y->data)[to] = sum_f32(p, t, x->dims + 2, 0, (const float *)x->data + image * p->image);
            else if (x->dtype == PT_DOUBLE)
                ((double *)y->data)[to] = sum_f64(p, t, x->dims + 2, 0, (const double *)x->data + image * p->image);
            else
                pt_store_f64(y, to, 1, &(double){sum_any(p, t, x, 0, image)});
        }
    }
}

static int sample_run(struct pt_op_ctx *c)
{
    const struct sample *p = c->params;
    if (c->out[0]->size_bytes)
        pt_parallel_for(c->threads, (size_t)(c->in[0]->dims[0] * p->pixels), 64, sample_pixels, c);
    return PT_OK;
}

const struct pt_op pt_op_grid_sample = {.type = "GridSample",
                                        .since = {16, 20, 22},
                                        .min_in = 2,
                                        .max_in = 2,
                                        .max_out = 1,
                                        .types = {PT_TS_FIXED | PT_TS_COMPLEX | PT_TS_STRING, PT_TS_REAL},
                                        .flags = PT_OP_WIDEN,
                                        .params_size = sizeof(struct sample),
                                        .infer = sample_infer,
                                        .run = sample_run};

/* --- AffineGrid: theta times the homogeneous positions of an evenly spaced grid ------------------------------------------------------------------
 */

struct affine {
    int axes;
    int64_t align, dims[3];
};

static int affine_infer(struct pt_op_ctx *c)
{
    struct affine *p = c->params;
    const struct pt_tensor *theta = c->in[0];
    int64_t size[5], dims[5];
    int n, rc;
    if ((rc = pt_attr_int(c, "align_corners", 0, 0, 1, &p->align)) < 0 || (rc = pt_op_const_ints(c, 1, "size", size, 5, &n)) < 0)
        return rc;
    p->axes = n - 2;
    if (n < 4 || theta->rank != 3 || theta->dims[0] != size[0] || theta->dims[1] != p->axes || theta->dims[2] != p->axes + 1)
        return pt_op_fail(c, PT_EINVAL, "theta %s does not fit a size of %d values", PT_SHAPE(theta), n);
    dims[0] = size[0];
    for (int a = 0; a < p->axes; a++) {
        if (size[a + 2] < 0)
            return pt_op_fail(c, PT_EINVAL, "size %lld of axis %d is negative", (long long)size[a + 2], a);
        p->dims[a] = dims[a + 1] = size[a + 2];
    }
    dims[n - 1] = p->axes;
    pt_op_set_out(c, 0, theta->dtype, n, dims);
    return PT_OK;
}

static double even(const struct affine *p, int64_t i, int64_t n)
{
    if (p->align)
        return n > 1 ? -1 + 2 * (double)i / (double)(n - 1) : -1;
    return -1 + (2 * (double)i + 1) / (double)n;
}

static int affine_run(struct pt_op_ctx *c)
{
    const struct affine *p = c->params;
    struct pt_tensor *y = c->out[0];
    int64_t pixels = pt_dims_product(p->dims, p->axes), n = pixels ? pt_tensor_count(y) / p->axes : 0;
    for (int64_t i = 0; i < n; i++) {
        double at[3], theta[12], out[3];
        int64_t rest = i % pixels;
        for (int a = p->axes - 1; a >= 0; a--) { /* x is the last axis and the first coordinate */
            at[p->axes - 1 - a] = even(p, rest % p->dims[a], p->dims[a]);
            rest /= p->dims[a];
        }
        pt_load_f64(c->in[0], i / pixels * p->axes * (p->axes + 1), p->axes * (p->axes + 1), theta);
        for (int r = 0; r < p->axes; r++) {
            out[r] = theta[r * (p->axes + 1) + p->axes];
            for (int k = 0; k < p->axes; k++)
                out[r] += theta[r * (p->axes + 1) + k] * at[k];
        }
        pt_store_f64(y, i * p->axes, p->axes, out);
    }
    return PT_OK;
}

const struct pt_op pt_op_affine_grid = {.type = "AffineGrid",
                                        .since = {20},
                                        .min_in = 2,
                                        .max_in = 2,
                                        .max_out = 1,
                                        .types = {PT_TS_REAL, PT_T(PT_INT64)},
                                        .params_size = sizeof(struct affine),
                                        .infer = affine_infer,
                                        .run = affine_run};
