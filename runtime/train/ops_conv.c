/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_conv.c: the derivatives of convolution and pooling, window by window.
 */
#include "runtime/train/ops.h"

#include "runtime/ops/pool.h"
#include "runtime/ops/types.h"
#include "runtime/train/conv.h"

/* in: dy, weights (or their like), image (or its like) */
static int conv_infer(struct pt_op_ctx *c, const struct pt_tensor *x, const struct pt_tensor *w, bool weights)
{
    struct pt_conv_grad *p = c->params;
    const struct pt_tensor *dy = c->in[0];
    int rc = pt_conv_plan(c, &p->p, x, w, NULL, dy->dtype);
    if (rc < 0)
        return rc;
    if (dy->rank != x->rank || dy->dims[0] != x->dims[0] || dy->dims[1] != w->dims[0] ||
        memcmp(dy->dims + 2, p->p.w.out, (size_t)p->p.w.axes * sizeof(int64_t)) != 0)
        return pt_op_fail(c, PT_EINVAL, "%s is not what %s gives of %s", PT_SHAPE(dy), PT_SHAPE(w), PT_SHAPE(x));
    pt_op_like(c, 0, weights ? w : x);
    p->weights = weights;
    p->group_in = w->dims[1];
    p->group_out = w->dims[0] / p->p.groups;
    p->taps = pt_dims_product(w->dims + 2, w->rank - 2);
    p->pixels = pt_dims_product(p->p.w.out, p->p.w.axes);
    p->image = pt_dims_product(p->p.w.in, p->p.w.axes);
    return PT_OK;
}

static int weights_infer(struct pt_op_ctx *c)
{
    return conv_infer(c, c->in[1], c->in[2], true);
}

static int image_infer(struct pt_op_ctx *c)
{
    return conv_infer(c, c->in[2], c->in[1], false);
}

/* For one output pixel, every tap of the axes from `axis` on in the image. */
typedef void (*tap_fn)(void *arg, int64_t at, int64_t tap);
static void each_tap(const struct pt_window *w, int axis, const int64_t *o, int64_t at, int64_t tap, tap_fn fn, void *arg)
{
    int64_t first, end, pos;
    pt_window_taps(w, axis, o[axis], &first, &end, &pos);
    for (int64_t k = first; k < end; k++, pos += w->dilation[axis]) {
        int64_t here = at * w->in[axis] + pos, t = tap * w->kernel[axis] + k;
        if (axis < w->axes - 1)
            each_tap(w, axis + 1, o, here, t, fn, arg);
        else
            fn(arg, here, t);
    }
}

/* The next output pixel, in row-major order. */
static void next_pixel(const struct pt_window *w, int64_t *o)
{
    for (int a = w->axes - 1; a >= 0 && ++o[a] == w->out[a]; a--)
        o[a] = 0;
}

/* dw += dy x or dx += dy w, of one pixel and one pair of channels */
struct conv_walk {
    const void *dy;
    void *x, *w;
    bool weights;
};
PT_REALS(conv_tap, (void *arg, int64_t at, int64_t tap), {
    const struct conv_walk *j = arg;
    real dy = *(const real *)j->dy, *x = (real *)j->x + at, *w = (real *)j->w + tap;
    if (j->weights)
        *w += dy * *x;
    else
        *x += dy * *w;
})

static int conv_run(struct pt_op_ctx *c)
{
    const struct pt_conv_grad *p = c->params;
    int64_t out_c = p->group_out * p->p.groups;
    size_t size = pt_dtype_size(c->in[0]->dtype);
    char *xs = p->weights ? c->in[1]->data : c->out[0]->data, *ws = p->weights ? c->out[0]->data : c->in[1]->data;
    struct conv_walk j = {.dy = c->in[0]->data, .weights = p->weights};
    memset(c->out[0]->data, 0, c->out[0]->size_bytes);
    for (int64_t no = 0; p->pixels && no < c->in[0]->dims[0] * out_c; no++) {
        int64_t oc = no % out_c, plane = (no / out_c * p->p.groups + oc / p->group_out) * p->group_in, o[PT_WINDOW_AXES] = {0};
        for (int64_t i = 0; i < p->pixels; i++, next_pixel(&p->p.w, o), j.dy = (const char *)j.dy + size)
            for (int64_t ic = 0; ic < p->group_in; ic++) {
                j.x = xs + (size_t)((plane + ic) * p->image) * size;
                j.w = ws + (size_t)((oc * p->group_in + ic) * p->taps) * size;
                each_tap(&p->p.w, 0, o, 0, 0, c->in[0]->dtype == PT_FLOAT ? conv_tap_f32 : conv_tap_f64, &j);
            }
    }
    return PT_OK;
}

const struct pt_op pt_grad_conv_image = {.type = "ConvImageGrad",
                                         .since = {1},
                                         .min_in = 3,
                                         .max_in = 3,
                                         .max_out = 1,
                                         .types = {PT_TS_FLOAT},
                                         .flags = PT_OP_SAME_TYPE,
                                         .params_size = sizeof(struct pt_conv_grad),
                                         .infer = image_infer,
                                         .run = conv_run};
const struct pt_op pt_grad_conv_weights = {.type = "ConvWeightsGrad",
                                           .since = {1},
                                           .min_in = 3,
                                           .max_in = 3,
                                           .max_out = 1,
                                           .types = {PT_TS_FLOAT},
                                           .flags = PT_OP_SAME_TYPE,
                                           .params_size = sizeof(struct pt_conv_grad),
                                           .infer = weights_infer,
                                           .run = conv_run};

/* --- of a bias: the sum over images and pixels ---------------------------------------------------------------------------------------------- */

static int channels_infer(struct pt_op_ctx *c)
{
    const struct pt_tensor *dy = c->in[0];
    if (dy->rank < 2)
        return pt_op_fail(c, PT_EINVAL, "%s has no channels", PT_SHAPE(dy));
    pt_op_set_out(c, 0, dy->dtype, 1, dy->dims + 1);
    return PT_OK;
}

static int channels_run(struct pt_op_ctx *c)
{
    const struct pt_tensor *dy = c->in[0];
    int64_t channels = dy->dims[1], pixels = pt_dims_product(dy->dims + 2, dy->rank - 2);
    for (int64_t ch = 0; ch < channels; ch++) {
        double sum = 0;
        for (int64_t n = 0; n < dy->dims[0]; n++)
            for (int64_t i = 0; i < pixels; i++)
                sum += pt_elem_f64(dy, (n * channels + ch) * pixels + i);
        pt_store_f64(c->out[0], ch, 1, &sum);
    }
    return PT_OK;
}

const struct pt_op pt_grad_channels = {
    .type = "ChannelSum", .since = {1}, .min_in = 1, .max_in = 1, .max_out = 1, .types = {PT_TS_FLOAT}, .infer = channels_infer, .run = channels_run};

/* --- pools: dy goes to the largest tap, or to all in equal parts ---------------------------------------------------------------------------------
 */

static int pool_infer(struct pt_op_ctx *c)
{
    struct pt_pool_params *p = c->params;
    const struct pt_tensor *dy = c->in[0], *x = c->in[1];
    int rc = pt_pool_plan(c, p, x);
    if (rc < 0)
        return rc;
    if (dy->rank != x->rank || dy->dims[0] != x->dims[0] || dy->dims[1] != x->dims[1] ||
        memcmp(dy->dims + 2, p->w.out, (size_t)p->w.axes * sizeof(int64_t)) != 0)
        return pt_op_fail(c, PT_EINVAL, "%s is not what pooling %s gives", PT_SHAPE(dy), PT_SHAPE(x));
    pt_op_like(c, 0, x);
    return PT_OK;
}

/* Taps of a window, inside the image (count) or inside the padded one. */
static int64_t count_taps(const struct pt_window *w, const int64_t *o, bool padded)
{
    int64_t n = 1;
    for (int a = 0; a < w->axes; a++) {
        struct pt_window v = *w;
        int64_t first, end, at;
        if (padded) {
            v.in[a] += v.pad[a] + v.pad_end[a];
            v.pad[a] = 0;
        }
        pt_window_taps(&v, a, o[a], &first, &end, &at);
        n *= end - first;
    }
    return n;
}

struct pool_walk {
    const void *x, *dy;
    void *dx;
    int64_t best, taps; /* taps: of an average */
};
/* The first largest tap; NaN counts as larger than all. */
PT_REALS(largest, (void *arg, int64_t at, int64_t tap), {
    struct pool_walk *j = arg;
    const real *x = j->x;
    (void)tap;
    if (j->best < 0 || x[at] > x[j->best] || (x[at] != x[at] && x[j->best] == x[j->best]))
        j->best = at;
})
PT_REALS(give, (void *arg, int64_t at, int64_t tap), {
    const struct pool_walk *j = arg;
    (void)tap;
    ((real *)j->dx)[at] += *(const real *)j->dy / (real)j->taps;
})

static int pool_run(struct pt_op_ctx *c, bool average)
{
    const struct pt_pool_params *p = c->params;
    const struct pt_window *w = &p->w;
    bool narrow = c->in[0]->dtype == PT_FLOAT;
    size_t size = pt_dtype_size(c->in[0]->dtype);
    int64_t planes = c->in[1]->dims[0] * c->in[1]->dims[1], image = pt_dims_product(w->in, w->axes), pixels = pt_dims_product(w->out, w->axes);
    struct pool_walk j = {.dy = c->in[0]->data};
    memset(c->out[0]->data, 0, c->out[0]->size_bytes);
    for (int64_t pl = 0; pl < planes; pl++) {
        int64_t o[PT_WINDOW_AXES] = {0};
        j.x = (const char *)c->in[1]->data + (size_t)(pl * image) * size;
        j.dx = (char *)c->out[0]->data + (size_t)(pl * image) * size;
        for (int64_t i = 0; i < pixels; i++, next_pixel(w, o), j.dy = (const char *)j.dy + size) {
            j.best = -1;
            j.taps = average ? count_taps(w, o, p->count_include_pad) : 1;
            if (!average)
                each_tap(w, 0, o, 0, 0, narrow ? largest_f32 : largest_f64, &j);
            if (average && j.taps > 0)
                each_tap(w, 0, o, 0, 0, narrow ? give_f32 : give_f64, &j);
            else if (j.best >= 0)
                (narrow ? give_f32 : give_f64)(&j, j.best, 0);
        }
    }
    return PT_OK;
}

static int max_run(struct pt_op_ctx *c)
{
    return pool_run(c, false);
}

static int average_run(struct pt_op_ctx *c)
{
    return pool_run(c, true);
}

const struct pt_op pt_grad_max_pool = {.type = "MaxPoolGrad",
                                       .since = {1},
                                       .min_in = 3,
                                       .max_in = 3,
                                       .max_out = 1,
                                       .types = {PT_TS_FLOAT},
                                       .flags = PT_OP_SAME_TYPE,
                                       .params_size = sizeof(struct pt_pool_params),
                                       .infer = pool_infer,
                                       .run = max_run};
const struct pt_op pt_grad_average_pool = {.type = "AveragePoolGrad",
                                           .since = {1},
                                           .min_in = 2,
                                           .max_in = 2,
                                           .max_out = 1,
                                           .types = {PT_TS_FLOAT},
                                           .flags = PT_OP_SAME_TYPE,
                                           .params_size = sizeof(struct pt_pool_params),
                                           .infer = pool_infer,
                                           .run = average_run};
