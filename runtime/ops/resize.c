/* SPDX-License-Identifier: Apache-2.0
 *
 * resize.c: Resize and its forerunner Upsample. Attributes and sizes are settled in infer; run makes a table of taps per axis that changes and
 * applies it.
 *
 * Coordinates are computed in float32, as the scales are given: a scale of 1/3 rounded to float32 must still map 3 to 1. Where the scales are given,
 * align_corners and tf_crop_and_resize use the size before it was rounded to a whole number, as the tests of the standard do. Resize 10 and Upsample
 * know only one transformation (asymmetric) and their nearest element is the one below, or the one above when the axis shrinks.
 */
#include "runtime/ops/resize.h"
#include "runtime/ops/types.h"

#include <math.h>

enum { HALF_PIXEL, SYMMETRIC, PYTORCH, ALIGN_CORNERS, ASYMMETRIC, TF_NN, TF_CROP };
enum { PREFER_FLOOR, PREFER_CEIL, FLOOR, CEIL, OUTWARD };
enum { STRETCH, NOT_LARGER, NOT_SMALLER };

/* --- attributes and sizes ---------------------------------------------------------------------------------------------------------- */

static int read_attrs(struct pt_op_ctx *c, struct pt_resize *p)
{
    static const char *const modes[] = {"nearest", "linear", "cubic", "bilinear", NULL}, *const policies[] = {"stretch", "not_larger", "not_smaller",
                                                                                                              NULL};
    static const char *const nearests[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil", NULL};
    static const char *const transforms[] = {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners",
                                             "asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize", NULL};
    bool old = c->node->version < 11;
    int rc;
    if ((rc = pt_attr_choice(c, "mode", modes, PT_RESIZE_NEAREST, &p->mode)) < 0 ||
        (rc = pt_attr_choice(c, "nearest_mode", nearests, PREFER_FLOOR, &p->nearest)) < 0 ||
        (rc = pt_attr_choice(c, "coordinate_transformation_mode", transforms, HALF_PIXEL, &p->transform)) < 0 ||
        (rc = pt_attr_choice(c, "keep_aspect_ratio_policy", policies, STRETCH, &p->policy)) < 0 ||
        (rc = pt_attr_int(c, "antialias", 0, 0, 1, &p->antialias)) < 0 ||
        (rc = pt_attr_int(c, "exclude_outside", 0, 0, 1, &p->exclude_outside)) < 0 ||
        (rc = pt_attr_float(c, "extrapolation_value", 0, &p->extrapolation)) < 0 || (rc = pt_attr_float(c, "cubic_coeff_a", -0.75f, &p->cubic_a)) < 0)
        return rc;
    if (p->mode > PT_RESIZE_CUBIC)
        p->mode = PT_RESIZE_LINEAR;
    if (old) {
        p->transform = ASYMMETRIC;
        p->nearest = OUTWARD;
    }
    if (p->mode != PT_RESIZE_NEAREST && !(PT_T(c->in[0]->dtype) & (PT_TS_NUM | PT_TS_HALF)))
        return pt_op_fail(c, PT_EUNSUPPORTED, "input %s cannot be interpolated", PT_SHAPE(c->in[0]));
    return PT_OK;
}

/* Numbers of input i or of a list attribute: *count -1 when neither is given. An empty input counts as not given. */
static int read_floats(struct pt_op_ctx *c, int i, const char *name, float *out, int room, int *count)
{
    const struct pt_onnx_attr *a = pt_node_attr(c->node, name);
    bool attr = i < 0;
    const struct pt_tensor *t = attr ? NULL : pt_op_in(c, i);
    *count = -1;
    if (attr ? !a : !t || pt_tensor_count(t) == 0)
        return PT_OK;
    if (attr && a->type != PT_ATTR_FLOATS)
        return pt_op_fail(c, PT_EINVAL, "attribute '%s' is not a list of floats", name);
    int64_t n = attr ? (int64_t)a->count : pt_tensor_count(t);
    if (n > room)
        return pt_op_fail(c, PT_EINVAL, "'%s' has %lld values, at most %d make sense here", name, (long long)n, room);
    if (!attr && !t->data)
        return pt_op_needs_data(c, i, name);
    for (int64_t k = 0; k < n; k++)
        out[k] = attr ? a->floats[k] : (float)pt_elem_f64(t, k);
    *count = (int)n;
    return PT_OK;
}

/* Which axes the inputs speak of. */
static int read_axes(struct pt_op_ctx *c, int *axes, int *count)
{
    int64_t given[PT_MAX_RANK];
    int n, rc = pt_attr_ints(c, "axes", INT32_MIN, INT32_MAX, given, PT_MAX_RANK, &n), rank = c->in[0]->rank;
    *count = n < 0 ? rank : n;
    for (int k = 0; rc == PT_OK && k < *count; k++)
        rc = pt_op_axis(c, "attribute 'axes'", n < 0 ? k : given[k], rank, false, &axes[k]);
    return rc;
}

static int set_scale(struct pt_op_ctx *c, struct pt_resize *p, int axis, float scale, int64_t *dim)
{
    int64_t in = c->in[0]->dims[axis];
    if (!(scale > 0) || !isfinite(scale))
        return pt_op_fail(c, PT_EINVAL, "the scale of axis %d is %g", axis, (double)scale);
    float length = (float)in * scale;
    if (length >= 0x1p62f)
        return pt_op_fail(c, PT_ELIMIT, "axis %d would grow from %lld by %g: too large", axis, (long long)in, (double)scale);
    p->scale[axis] = scale;
    p->length[axis] = length;
    *dim = (int64_t)length;
    p->changes[axis] = scale != 1;
    return PT_OK;
}

/* Sizes, made to keep the ratio of the axes where asked. */
static int apply_sizes(struct pt_op_ctx *c, struct pt_resize *p, const int *axes, int count, const int64_t *sizes, int64_t *dims)
{
    const struct pt_tensor *x = c->in[0];
    float common = 0;
    for (int k = 0; k < count; k++) {
        if (sizes[k] < 0 || (sizes[k] > 0 && x->dims[axes[k]] == 0))
            return pt_op_fail(c, PT_EINVAL, "axis %d of %s cannot become %lld", axes[k], PT_SHAPE(x), (long long)sizes[k]);
        float s = x->dims[axes[k]] ? (float)sizes[k] / (float)x->dims[axes[k]] : 1;
        if (k == 0 || (p->policy == NOT_LARGER ? s < common : s > common))
            common = s;
    }
    for (int k = 0; k < count; k++) {
        int a = axes[k];
        dims[a] = p->policy == STRETCH ? sizes[k] : (int64_t)floorf(common * (float)x->dims[a] + 0.5f);
        p->scale[a] = p->policy == STRETCH ? x->dims[a] ? (float)sizes[k] / (float)x->dims[a] : 1 : common;
        p->length[a] = (float)dims[a];
        p->changes[a] = p->scale[a] != 1;
    }
    return PT_OK;
}

static int read_roi(struct pt_op_ctx *c, struct pt_resize *p, const int *axes, int count)
{
    float roi[2 * PT_MAX_RANK];
    int n, rc = read_floats(c, 1, "roi", roi, 2 * PT_MAX_RANK, &n);
    if (rc < 0)
        return rc;
    if (n != 2 * count)
        return pt_op_fail(c, PT_EINVAL, "input 1 (roi) has %d values, needs %d", n < 0 ? 0 : n, 2 * count);
    for (int k = 0; k < count; k++) {
        p->start[axes[k]] = roi[k];
        p->end[axes[k]] = roi[count + k];
        p->changes[axes[k]] = p->changes[axes[k]] || roi[k] != 0 || roi[count + k] != 1;
    }
    return PT_OK;
}

/* Bytes of the tables of one axis: three lists in at most `width` columns. */
static int table_width(const struct pt_resize *p, int axis)
{
    float s = p->scale[axis] < 1 ? p->scale[axis] : 1;
    if (p->mode == PT_RESIZE_NEAREST)
        return 1;
    if (!p->antialias || s == 1)
        return p->mode == PT_RESIZE_LINEAR ? 2 : 4;
    float reach = floorf(-(p->mode == PT_RESIZE_LINEAR ? 1.0f : 2.0f) / s) + 1;
    return reach < -0x1p24f ? 0 : (int)(2 - 2 * reach);
}

/* Integers are computed in float32 too, as everybody does: a value that should be whole then mostly is, before it is cut. */
static enum pt_dtype work_type(const struct pt_tensor *x)
{
    return x->dtype == PT_DOUBLE || x->dtype == PT_INT64 || x->dtype == PT_UINT64 ? PT_DOUBLE : PT_FLOAT;
}

static size_t round_up(size_t n)
{
    return (n + 63) / 64 * 64;
}

/* Two buffers for what lies between passes, then the tables. */
static int plan_memory(struct pt_op_ctx *c, struct pt_resize *p, const int64_t *dims)
{
    const struct pt_tensor *x = c->in[0];
    size_t bytes = pt_dtype_size(work_type(x)), tables = 0;
    for (int i = 0; i < x->rank; i++) {
        int64_t widest = x->dims[i] > dims[i] ? x->dims[i] : dims[i];
        size_t n, width = (size_t)table_width(p, i);
        if (!width || __builtin_mul_overflow(bytes, (size_t)widest, &bytes) || __builtin_mul_overflow((size_t)dims[i], width, &n) ||
            n > SIZE_MAX / 64)
            return pt_op_fail(c, PT_ELIMIT, "resizing %s to %s takes too much memory", PT_SHAPE(x), pt_shape_text(x->dtype, x->rank, dims).s);
        tables += round_up(n * sizeof(int64_t)) + round_up(n * sizeof(float)) + round_up((size_t)dims[i]);
    }
    p->work_bytes = p->mode == PT_RESIZE_NEAREST ? 0 : round_up(bytes);
    if (__builtin_mul_overflow(p->work_bytes, 2, &bytes) || __builtin_add_overflow(bytes, tables, &c->scratch_bytes))
        return pt_op_fail(c, PT_ELIMIT, "resizing %s takes too much memory", PT_SHAPE(x));
    return PT_OK;
}

static int finish_infer(struct pt_op_ctx *c, const int64_t *dims)
{
    struct pt_resize *p = c->params;
    const struct pt_tensor *x = c->in[0];
    for (int i = 0; i < x->rank; i++)
        p->changes[i] = p->changes[i] || dims[i] != x->dims[i];
    pt_op_set_out(c, 0, x->dtype, x->rank, dims);
    return plan_memory(c, p, dims);
}

static void start_dims(struct pt_op_ctx *c, int64_t *dims)
{
    struct pt_resize *p = c->params;
    for (int i = 0; i < c->in[0]->rank; i++) {
        dims[i] = c->in[0]->dims[i];
        p->scale[i] = 1;
        p->length[i] = (float)dims[i];
        p->end[i] = 1;
    }
}

int pt_resize_infer(struct pt_op_ctx *c)
{
    struct pt_resize *p = c->params;
    float scales[PT_MAX_RANK];
    int64_t dims[PT_MAX_RANK], sizes[PT_MAX_RANK];
    int axes[PT_MAX_RANK], count, n, rc, at = c->node->version < 11 ? 1 : 2;
    start_dims(c, dims);
    if ((rc = read_attrs(c, p)) < 0 || (rc = read_axes(c, axes, &count)) < 0 || (rc = read_floats(c, at, "scales", scales, PT_MAX_RANK, &n)) < 0)
        return rc;
    const struct pt_tensor *st = pt_op_in(c, 3);
    bool by_size = n < 0 && st;
    if (by_size && (rc = pt_op_const_ints(c, 3, "sizes", sizes, PT_MAX_RANK, &n)) < 0)
        return rc;
    if (n != count)
        return pt_op_fail(c, PT_EINVAL, "%d scales or sizes for %d axes", n < 0 ? 0 : n, count);
    if (by_size && (rc = apply_sizes(c, p, axes, count, sizes, dims)) < 0)
        return rc;
    for (int k = 0; !by_size && k < count; k++)
        if ((rc = set_scale(c, p, axes[k], scales[k], &dims[axes[k]])) < 0)
            return rc;
    if (p->transform == TF_CROP && (rc = read_roi(c, p, axes, count)) < 0)
        return rc;
    return finish_infer(c, dims);
}

static int upsample_infer(struct pt_op_ctx *c)
{
    struct pt_resize *p = c->params;
    float scales[PT_MAX_RANK] = {1, 1, 0, 0};
    int64_t dims[PT_MAX_RANK];
    int n = 4, rc = read_attrs(c, p);
    start_dims(c, dims);
    if (rc == PT_OK && c->node->version < 7) {
        if ((rc = pt_attr_float(c, "height_scale", 0, &scales[2])) == PT_OK)
            rc = pt_attr_float(c, "width_scale", 0, &scales[3]);
    } else if (rc == PT_OK) {
        rc = read_floats(c, c->node->version < 9 ? -1 : 1, "scales", scales, PT_MAX_RANK, &n);
    }
    if (rc == PT_OK && n != c->in[0]->rank)
        rc = pt_op_fail(c, PT_EINVAL, "%d scales for %s", n < 0 ? 0 : n, PT_SHAPE(c->in[0]));
    for (int i = 0; rc == PT_OK && i < n; i++)
        rc = set_scale(c, p, i, scales[i], &dims[i]);
    return rc < 0 ? rc : finish_infer(c, dims);
}

/* --- tables ---------------------------------------------------------------------------------------------------------------------------- */

static float original(const struct pt_resize *p, int axis, int64_t in, int64_t out, int64_t i)
{
    float x = (float)i, s = p->scale[axis], last = (float)(in - 1), length = p->length[axis];
    switch (p->transform) {
    case ASYMMETRIC:
        return x / s;
    case PYTORCH:
        return out == 1 ? 0 : (x + 0.5f) / s - 0.5f;
    case ALIGN_CORNERS:
        return length == 1 ? 0 : x * last / (length - 1);
    case TF_NN:
        return (x + 0.5f) / s;
    case TF_CROP:
        return length == 1 ? 0.5f * (p->start[axis] + p->end[axis]) * last
                           : p->start[axis] * last + x * (p->end[axis] - p->start[axis]) * last / (length - 1);
    case SYMMETRIC:
        return (float)in / 2 * (1 - (float)out / length) + (x + 0.5f) / s - 0.5f;
    default:
        return (x + 0.5f) / s - 0.5f;
    }
}

static int64_t clamp(int64_t i, int64_t n)
{
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

static int64_t nearest(const struct pt_resize *p, int axis, float x)
{
    switch (p->nearest) {
    case PREFER_FLOOR:
        return (int64_t)ceilf(x - 0.5f);
    case PREFER_CEIL:
        return (int64_t)floorf(x + 0.5f);
    case CEIL:
        return (int64_t)ceilf(x);
    case OUTWARD:
        return (int64_t)(p->scale[axis] < 1 ? ceilf(x) : truncf(x));
    default:
        return (int64_t)floorf(x);
    }
}

/* Weight of an element at distance d, in units of the filter. */
static float filter(const struct pt_resize *p, float d)
{
    float a = p->cubic_a;
    d = fabsf(d);
    if (p->mode == PT_RESIZE_LINEAR)
        return d < 1 ? 1 - d : 0;
    if (d <= 1)
        return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

static void weigh(const struct pt_resize *p, int axis, float x, int64_t in, int width, int64_t *at, float *w)
{
    float s = p->antialias && p->scale[axis] < 1 ? p->scale[axis] : 1, base = ceilf(x) - 1, sum = 0;
    int64_t first = (int64_t)base - width / 2 + 1; /* as many elements at or below base as above it */
    for (int k = 0; k < width; k++) {
        int64_t i = first + k;
        w[k] = filter(p, (float)(i - (int64_t)base) * s - (x - base) * s);
        if (p->exclude_outside && (i < 0 || i >= in))
            w[k] = 0;
        sum += w[k];
        at[k] = clamp(i, in);
    }
    for (int k = 0; (p->exclude_outside || s != 1) && k < width; k++)
        w[k] /= sum;
}

/* Fills a table; outside[i] tells positions that take the extrapolation value. */
static void make_table(const struct pt_resize *p, int axis, struct pt_taps *t, bool *outside)
{
    for (int64_t i = 0; i < t->out; i++) {
        float x = original(p, axis, t->in, t->out, i);
        outside[i] = p->transform == TF_CROP && (x < 0 || x > (float)(t->in - 1));
        if (!(fabsf(x) < 0x1p31f))
            x = x > 0 ? 0x1p31f : -0x1p31f;
        if (!p->changes[axis])
            x = (float)i;
        if (p->mode != PT_RESIZE_NEAREST)
            weigh(p, axis, x, t->in, t->width, t->at + i * t->width, t->w + i * t->width);
        else
            t->at[i] = p->changes[axis] ? clamp(nearest(p, axis, x), t->in) : i;
    }
}

/* --- running ---------------------------------------------------------------------------------------------------------------------------- */

static void *take(char **scratch, size_t bytes)
{
    void *m = *scratch;
    *scratch += round_up(bytes);
    return m;
}

void pt_resize_extrapolate(struct pt_tensor *y, bool *const *outside, float value)
{
    int64_t n = pt_tensor_count(y);
    for (int64_t i = 0; i < n; i++) {
        int64_t rest = i;
        bool out = false;
        for (int a = y->rank - 1; a >= 0; a--) {
            out = out || outside[a][rest % y->dims[a]];
            rest /= y->dims[a];
        }
        if (out)
            pt_store_f32(y, i, 1, &value);
    }
}

/* Integers saturate rather than wrap: cubic weights overshoot. */
static void store(struct pt_tensor *y, const void *from, enum pt_dtype dtype)
{
    int64_t n = pt_tensor_count(y);
    bool integer = (PT_T(y->dtype) & PT_TS_ALLINT) != 0;
    double lo = integer ? (double)pt_int_min(y->dtype) : 0, hi = integer ? (double)pt_int_max(y->dtype) : 0;
    if (y->dtype == dtype) {
        memcpy(y->data, from, y->size_bytes);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        double v = dtype == PT_FLOAT ? (double)((const float *)from)[i] : ((const double *)from)[i];
        v = v < lo ? lo : v > hi ? hi : v;
        pt_store_f64(y, i, 1, &v);
    }
}

/* Pass after pass between two buffers; the first reads the input where its type allows. */
static void interpolate(struct pt_op_ctx *c, const struct pt_taps *taps, char *const buffers[2])
{
    const struct pt_resize *p = c->params;
    const struct pt_tensor *x = c->in[0], *y = c->out[0];
    enum pt_dtype dtype = work_type(x);
    int64_t dims[PT_MAX_RANK];
    const void *from = x->data;
    int turn = 0;
    memcpy(dims, x->dims, sizeof dims);
    if (x->dtype != dtype) {
        if (dtype == PT_FLOAT)
            pt_load_f32(x, 0, pt_tensor_count(x), (float *)(void *)buffers[0]);
        else
            pt_load_f64(x, 0, pt_tensor_count(x), (double *)(void *)buffers[0]);
        from = buffers[0];
        turn = 1;
    }
    for (int a = x->rank - 1; a >= 0; a--) {
        if (!p->changes[a])
            continue;
        pt_resample(&taps[a], dtype, pt_dims_product(dims, a), pt_dims_product(dims + a + 1, x->rank - a - 1), from, buffers[turn], c->threads);
        from = buffers[turn];
        turn = !turn;
        dims[a] = y->dims[a];
    }
    store(c->out[0], from, dtype);
}

bool pt_resize_tables(const struct pt_resize *p, const struct pt_tensor *x, const struct pt_tensor *y, char *scratch, struct pt_taps *taps,
                      bool **outside)
{
    for (int a = 0; a < x->rank; a++) {
        struct pt_taps *t = &taps[a];
        *t = (struct pt_taps){.in = x->dims[a], .out = y->dims[a], .width = table_width(p, a)};
        t->at = take(&scratch, pt_taps_count(t) * sizeof *t->at);
        t->w = take(&scratch, pt_taps_count(t) * sizeof *t->w);
        outside[a] = take(&scratch, (size_t)t->out);
        make_table(p, a, t, outside[a]);
    }
    return p->transform == TF_CROP;
}

static int resize_run(struct pt_op_ctx *c)
{
    const struct pt_resize *p = c->params;
    const struct pt_tensor *x = c->in[0], *y = c->out[0];
    struct pt_taps taps[PT_MAX_RANK];
    bool *outside[PT_MAX_RANK];
    char *scratch = c->scratch, *buffers[2] = {scratch, scratch + p->work_bytes};
    if (pt_tensor_count(y) == 0)
        return PT_OK;
    if (x->rank == 0) {
        memcpy(y->data, x->data, y->size_bytes);
        return PT_OK;
    }
    bool some = pt_resize_tables(p, x, y, scratch + 2 * p->work_bytes, taps, outside);
    if (p->mode == PT_RESIZE_NEAREST)
        pt_resample_nearest(taps, x->rank, pt_dtype_size(x->dtype), x->data, y->data, c->threads);
    else
        interpolate(c, taps, buffers);
    if (some)
        pt_resize_extrapolate(c->out[0], outside, p->extrapolation);
    return PT_OK;
}

const struct pt_op pt_op_resize = {
    .type = "Resize",
    .since = {10, 11, 13, 18, 19},
    .min_in = 1,
    .max_in = 4,
    .max_out = 1,
    .types = {PT_TS_FIXED | PT_T(PT_STRING) | PT_T(PT_COMPLEX64) | PT_T(PT_COMPLEX128), PT_TS_REAL, PT_TS_REAL, PT_TS_INDEX},
    .flags = PT_OP_WIDEN,
    .params_size = sizeof(struct pt_resize),
    .infer = pt_resize_infer,
    .run = resize_run};
const struct pt_op pt_op_upsample = {.type = "Upsample",
                                     .since = {1, 7, 9},
                                     .min_in = 1,
                                     .max_in = 2,
                                     .max_out = 1,
                                     .types = {PT_TS_FIXED | PT_T(PT_STRING) | PT_T(PT_COMPLEX64) | PT_T(PT_COMPLEX128), PT_TS_REAL},
                                     .flags = PT_OP_WIDEN,
                                     .params_size = sizeof(struct pt_resize),
                                     .infer = upsample_infer,
                                     .run = resize_run};
