/* SPDX-License-Identifier: Apache-2.0
 *
 * ms_qlinear_pool.c: com.microsoft's pools of images that may have the channels innermost: QLinearAveragePool, QLinearGlobalAveragePool,
 * NhwcMaxPool.
 */
#include "runtime/ops/pool.h"
#include "runtime/ops/quant.h"

struct params {
    struct pt_pool_params pool;
    int64_t channels, x_pixel, y_pixel, x_channel, y_channel; /* element strides */
};

/* The image with its channels moved to axis 1. */
static struct pt_tensor channels_first(const struct pt_tensor *x, bool last)
{
    struct pt_tensor t = *x;
    if (!last || x->rank < 3)
        return t;
    memmove(t.dims + 2, t.dims + 1, (size_t)(t.rank - 2) * sizeof *t.dims);
    t.dims[1] = x->dims[x->rank - 1];
    return t;
}

static void set_strides(struct pt_op_ctx *c, bool last)
{
    struct params *p = c->params;
    struct pt_tensor *y = c->out[0];
    const struct pt_window *w = &p->pool.w;
    p->channels = y->dims[1];
    p->x_pixel = p->y_pixel = last ? p->channels : 1;
    p->x_channel = last ? 1 : pt_dims_product(w->in, w->axes);
    p->y_channel = last ? 1 : pt_dims_product(w->out, w->axes);
    if (!last)
        return;
    memmove(y->dims + 1, y->dims + 2, (size_t)(y->rank - 2) * sizeof *y->dims);
    y->dims[y->rank - 1] = p->channels;
}

/* --- one value of the window ------------------------------------------------------------------------------------------------------ */

struct fold {
    const struct pt_tensor *x;
    float scale, sum;
    int32_t zero, max;
    int64_t taps, pixel, base;
};

static void each_tap(const struct pt_window *w, int axis, const int64_t *o, int64_t at_outer, struct fold *f)
{
    int64_t first, end, at;
    pt_window_taps(w, axis, o[axis], &first, &end, &at);
    for (int64_t k = first; k < end; k++, at += w->dilation[axis]) {
        int64_t here = at_outer * w->in[axis] + at;
        if (axis < w->axes - 1) {
            each_tap(w, axis + 1, o, here, f);
            continue;
        }
        int32_t q = (int32_t)pt_elem_i64(f->x, f->base + here * f->pixel);
        f->sum += f->scale * (float)(q - f->zero);
        f->max = f->taps++ && f->max > q ? f->max : q;
    }
}

typedef void (*finish_fn)(struct pt_op_ctx *c, const struct fold *f, int64_t at);

static void walk(struct pt_op_ctx *c, struct fold start, finish_fn finish)
{
    const struct params *p = c->params;
    const struct pt_window *w = &p->pool.w;
    int64_t in = pt_dims_product(w->in, w->axes), out = pt_dims_product(w->out, w->axes);
    for (int64_t nc = 0; out && nc < c->in[0]->dims[0] * p->channels; nc++) {
        int64_t o[PT_WINDOW_AXES] = {0}, n = nc / p->channels, ch = nc % p->channels;
        for (int64_t i = 0; i < out; i++) {
            struct fold f = start;
            f.base = n * p->channels * in + ch * p->x_channel;
            f.pixel = p->x_pixel;
            each_tap(w, 0, o, 0, &f);
            finish(c, &f, n * p->channels * out + ch * p->y_channel + i * p->y_pixel);
            for (int a = w->axes - 1; a >= 0 && ++o[a] == w->out[a]; a--)
                o[a] = 0;
        }
    }
}

/* --- QLinearAveragePool: X, x_scale, x_zero, y_scale, y_zero ----------------------------------------------------------------------- */

static int scales(struct pt_op_ctx *c)
{
    enum pt_dtype t = c->in[0]->dtype;
    int rc;
    if ((rc = pt_quant_needs(c, 1, "x_scale")) < 0 || (rc = pt_quant_needs(c, 3, "y_scale")) < 0 || (rc = pt_quant_params(c, 1, 2, t, 1)) < 0)
        return rc;
    return pt_quant_params(c, 3, 4, t, 1);
}

static int average_infer(struct pt_op_ctx *c)
{
    struct params *p = c->params;
    int64_t last;
    int rc = pt_attr_int(c, "channels_last", 0, 0, 1, &last);
    if (rc < 0 || (rc = scales(c)) < 0)
        return rc;
    struct pt_tensor x = channels_first(c->in[0], last);
    if ((rc = pt_pool_plan(c, &p->pool, &x)) == PT_OK)
        set_strides(c, last);
    return rc;
}

/* The padding counts with the whole window, even where it reaches past the padding. */
static void finish_average(struct pt_op_ctx *c, const struct fold *f, int64_t at)
{
    const struct params *p = c->params;
    int64_t n = p->pool.count_include_pad ? pt_dims_product(p->pool.w.kernel, p->pool.w.axes) : f->taps;
    pt_quant_put(c->out[0], at, (n > 0 ? f->sum / (float)n : 0) / pt_quant_scale(c->in[3], 0), pt_quant_zero(pt_op_in(c, 4), 0));
}

static int average_run(struct pt_op_ctx *c)
{
    walk(c, (struct fold){.x = c->in[0], .scale = pt_quant_scale(c->in[1], 0), .zero = pt_quant_zero(c->in[2], 0)}, finish_average);
    return PT_OK;
}

#define TYPES                                                                                                                                        \
    {                                                                                                                                                \
        PT_TS_8BIT, PT_T(PT_FLOAT), PT_TS_8BIT, PT_TS_8BIT | PT_T(PT_FLOAT)                                                                          \
    }
const struct pt_op pt_op_ms_qlinear_average_pool = {.domain = "com.microsoft",
                                                    .type = "QLinearAveragePool",
                                                    .since = {1},
                                                    .min_in = 1,
                                                    .max_in = 5,
                                                    .max_out = 1,
                                                    .types = TYPES,
                                                    .params_size = sizeof(struct params),
                                                    .infer = average_infer,
                                                    .run = average_run};

/* --- QLinearGlobalAveragePool -------------------------------------------------------------------------------------------------------- */

static int global_infer(struct pt_op_ctx *c)
{
    struct params *p = c->params;
    int64_t last, dims[PT_MAX_RANK];
    int rc = pt_attr_int(c, "channels_last", 0, 0, 1, &last);
    if (rc < 0 || (rc = scales(c)) < 0)
        return rc;
    struct pt_tensor x = channels_first(c->in[0], last);
    if (x.rank < 3 || x.rank - 2 > PT_WINDOW_AXES)
        return pt_op_fail(c, PT_EINVAL, "input %s must have rank 3 to %d", PT_SHAPE(c->in[0]), PT_WINDOW_AXES + 2);
    struct pt_window *w = &p->pool.w;
    w->axes = x.rank - 2;
    for (int i = 0; i < x.rank; i++)
        dims[i] = i < 2 ? x.dims[i] : 1;
    for (int i = 0; i < w->axes; i++) {
        w->in[i] = x.dims[i + 2];
        w->out[i] = 1;
    }
    pt_op_set_out(c, 0, x.dtype, x.rank, dims);
    set_strides(c, last);
    return PT_OK;
}

/* The sum is an integer, so that its scale is applied once. */
static int global_run(struct pt_op_ctx *c)
{
    const struct params *p = c->params;
    int64_t pixels = pt_dims_product(p->pool.w.in, p->pool.w.axes);
    float scale = pt_quant_scale(c->in[1], 0) / (pt_quant_scale(c->in[3], 0) * (float)pixels);
    int32_t x_zero = pt_quant_zero(c->in[2], 0), y_zero = pt_quant_zero(pt_op_in(c, 4), 0);
    for (int64_t nc = 0; nc < c->in[0]->dims[0] * p->channels; nc++) {
        int64_t base = nc / p->channels * p->channels * pixels + nc % p->channels * p->x_channel;
        uint32_t sum = 0;
        for (int64_t i = 0; i < pixels; i++)
            sum += (uint32_t)((int32_t)pt_elem_i64(c->in[0], base + i * p->x_pixel) - x_zero);
        pt_quant_put(c->out[0], nc, (float)(int32_t)sum * scale, y_zero);
    }
    return PT_OK;
}

const struct pt_op pt_op_ms_qlinear_global_average_pool = {.domain = "com.microsoft",
                                                           .type = "QLinearGlobalAveragePool",
                                                           .since = {1},
                                                           .min_in = 1,
                                                           .max_in = 5,
                                                           .max_out = 1,
                                                           .types = TYPES,
                                                           .params_size = sizeof(struct params),
                                                           .infer = global_infer,
                                                           .run = global_run};

/* --- NhwcMaxPool ------------------------------------------------------------------------------------------------------------------------ */

static int max_infer(struct pt_op_ctx *c)
{
    struct params *p = c->params;
    struct pt_tensor x = channels_first(c->in[0], true);
    int rc = pt_pool_plan(c, &p->pool, &x);
    if (rc == PT_OK)
        set_strides(c, true);
    return rc;
}

static void finish_max(struct pt_op_ctx *c, const struct fold *f, int64_t at)
{
    ((uint8_t *)c->out[0]->data)[at] = f->taps ? (uint8_t)f->max : c->in[0]->dtype == PT_INT8 ? 0x80 : 0;
}

static int max_run(struct pt_op_ctx *c)
{
    walk(c, (struct fold){.x = c->in[0]}, finish_max);
    return PT_OK;
}

const struct pt_op pt_op_ms_nhwc_max_pool = {.domain = "com.microsoft",
                                             .type = "NhwcMaxPool",
                                             .since = {1},
                                             .min_in = 1,
                                             .max_in = 1,
                                             .max_out = 1,
                                             .types = {PT_TS_8BIT},
                                             .params_size = sizeof(struct params),
                                             .infer = max_infer,
                                             .run = max_run};
