/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_conv.c: the derivatives of convolution and pooling.
 *
 * A convolution of float32 in two dims is, per image and group, the product of the weights [M, C k k] and the image's columns [C k k, P] (one column
 * per output pixel, its window's taps). So dW = dy columns^T, summed over images, and the columns of dx = W^T dy, added back where they came from.
 * Other ranks, float64, and groups of few channels (where the product would be a few numbers long) walk the windows.
 */
#include "runtime/train/ops.h"

#include "runtime/kernels/kernels.h"
#include "runtime/ops/conv.h"
#include "runtime/ops/pool.h"
#include "runtime/ops/types.h"

struct conv_grad {
    struct pt_conv_params p;
    bool weights;                                     /* of them, or of the image */
    bool columns;                                     /* as products */
    bool direct;                                      /* the columns are the image: a 1 x 1 window */
    int64_t group_in, group_out, taps, pixels, image; /* channels of a group, sizes of a window, an output and an input plane */
    size_t columns_bytes, turned_bytes;
};

static struct pt_gemm gemm_of(const struct conv_grad *p)
{
    size_t rows = (size_t)(p->group_in * p->taps), out = (size_t)p->group_out, pixels = (size_t)p->pixels;
    if (p->weights)
        return (struct pt_gemm){.m = out, .n = rows, .k = pixels, .lda = pixels, .ldb = pixels, .trans_b = true, .ldc = rows, .alpha = 1};
    return (struct pt_gemm){.m = rows, .n = pixels, .k = out, .lda = out, .ldb = pixels, .ldc = pixels, .alpha = 1};
}

/* in: dy, weights (or their like), image (or its like) */
static int conv_infer(struct pt_op_ctx *c, const struct pt_tensor *x, const struct pt_tensor *w, bool weights)
{
    struct conv_grad *p = c->params;
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
    p->columns = dy->dtype == PT_FLOAT && p->p.w.axes == 2 && p->group_in * p->taps >= 16 && p->group_out >= 4 && p->pixels > 0 && p->image > 0;
    const struct pt_window *win = &p->p.w;
    p->direct =
        p->columns && p->taps == 1 && win->stride[0] == 1 && win->stride[1] == 1 && p->pixels == p->image && win->pad[0] == 0 && win->pad[1] == 0;
    if (p->columns) {
        struct pt_gemm g = gemm_of(p);
        p->columns_bytes = p->direct ? 0 : ((size_t)(p->group_in * p->taps * p->pixels) * sizeof(float) + 63) / 64 * 64;
        p->turned_bytes = weights ? 0 : ((size_t)(p->group_in * p->taps * p->group_out) * sizeof(float) + 63) / 64 * 64;
        c->scratch_bytes = p->columns_bytes + p->turned_bytes + pt_kernels()->gemm_workspace(&g, 1);
    }
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

/* --- as products -------------------------------------------------------------------------------------------------------------------------- */

/* Of row i of the output along an axis: where in the image tap k lies. */
static int64_t tap_at(const struct pt_window *w, int axis, int64_t o, int64_t k)
{
    return o * w->stride[axis] + k * w->dilation[axis] - w->pad[axis];
}

/* Outputs [*first, *end) of the last axis whose tap k lies in the image. */
static void inside(const struct pt_window *w, int64_t k, int64_t *first, int64_t *end)
{
    int64_t shift = k * w->dilation[1] - w->pad[1], s = w->stride[1];
    *first = shift < 0 ? (-shift + s - 1) / s : 0;
    *end = shift >= w->in[1] ? 0 : (w->in[1] - shift + s - 1) / s;
    *end = *end > w->out[1] ? w->out[1] : *end;
    *first = *first > *end ? *end : *first;
}

/* Image to columns, or (back) columns added to the image. */
static void move_columns(const struct conv_grad *p, float *x, float *columns, bool back)
{
    const struct pt_window *w = &p->p.w;
    float *col = columns;
    for (int64_t ch = 0; ch < p->group_in; ch++, x += p->image)
        for (int64_t ky = 0; ky < w->kernel[0]; ky++)
            for (int64_t kx = 0; kx < w->kernel[1]; kx++) {
                int64_t first, end, s = w->stride[1];
                inside(w, kx, &first, &end);
                for (int64_t oy = 0; oy < w->out[0]; oy++, col += w->out[1]) {
                    int64_t iy = tap_at(w, 0, oy, ky);
                    bool in = iy >= 0 && iy < w->in[0];
                    float *row = x + (in ? iy * w->in[1] + tap_at(w, 1, 0, kx) : 0);
                    if (back) {
                        for (int64_t o = first; in && o < end; o++)
                            row[o * s] += col[o];
                        continue;
                    }
                    if (!in || first > 0 || end < w->out[1])
                        memset(col, 0, (size_t)w->out[1] * sizeof *col);
                    if (in && s == 1)
                        memcpy(col + first, row + first, (size_t)(end - first) * sizeof *col);
                    for (int64_t o = first; in && s != 1 && o < end; o++)
                        col[o] = row[o * s];
                }
            }
}

static void weights_by_products(struct pt_op_ctx *c, const struct conv_grad *p)
{
    const struct pt_kernels *k = pt_kernels();
    float *columns = c->scratch;
    char *work = (char *)c->scratch + p->columns_bytes;
    struct pt_gemm g = gemm_of(p);
    for (int64_t ng = 0; ng < c->in[0]->dims[0] * p->p.groups; ng++) {
        float *x = (float *)c->in[1]->data + ng * p->group_in * p->image;
        g.b = p->direct ? x : columns;
        if (!p->direct)
            move_columns(p, x, columns, false);
        g.a = (const float *)c->in[0]->data + ng * p->group_out * p->pixels;
        g.c = (float *)c->out[0]->data + ng % p->p.groups * p->group_out * p->group_in * p->taps;
        if (ng >= p->p.groups) {
            g.ep.residual = g.c;
            g.ep.residual_ld = g.ldc;
        }
        k->gemm(&g, work, NULL);
    }
}

static void image_by_products(struct pt_op_ctx *c, const struct conv_grad *p)
{
    const struct pt_kernels *k = pt_kernels();
    float *columns = c->scratch, *turned = (float *)(void *)((char *)c->scratch + p->columns_bytes);
    char *work = (char *)turned + p->turned_bytes;
    struct pt_gemm g = gemm_of(p);
    size_t rows = g.m;
    for (int64_t group = 0; group < p->p.groups; group++) {
        k->transpose(g.k, rows, (const float *)c->in[1]->data + (size_t)group * g.k * rows, rows, turned, g.k);
        for (int64_t n = 0; n < c->in[0]->dims[0]; n++) {
            int64_t ng = n * p->p.groups + group;
            float *dx = (float *)c->out[0]->data + ng * p->group_in * p->image;
            g.a = turned;
            g.b = (const float *)c->in[0]->data + ng * p->group_out * p->pixels;
            g.c = p->direct ? dx : columns;
            k->gemm(&g, work, NULL);
            if (!p->direct) {
                memset(dx, 0, (size_t)(p->group_in * p->image) * sizeof *dx);
                move_columns(p, dx, columns, true);
            }
        }
    }
}

/* --- by windows ------------------------------------------------------------------------------------------------------------------------------ */

/* For one output pixel and one input channel, every tap in the image: dw += dy x or dx += dy w. */
#define WALK(T, s)                                                                                                                                   \
    static void walk_##s(const struct pt_window *win, int axis, const int64_t *o, T dy, T *x, T *w, bool weights)                                    \
    {                                                                                                                                                \
        int64_t first, end, at, xs = pt_dims_product(win->in + axis + 1, win->axes - axis - 1);                                                      \
        int64_t ws = pt_dims_product(win->kernel + axis + 1, win->axes - axis - 1);                                                                  \
        pt_window_taps(win, axis, o[axis], &first, &end, &at);                                                                                       \
        for (int64_t k = first; k < end; k++, at += win->dilation[axis]) {                                                                           \
            if (axis < win->axes - 1)                                                                                                                \
                walk_##s(win, axis + 1, o, dy, x + at * xs, w + k * ws, weights);                                                                    \
            else if (weights)                                                                                                                        \
                w[k] += dy * x[at];                                                                                                                  \
            else                                                                                                                                     \
                x[at] += dy * w[k];                                                                                                                  \
        }                                                                                                                                            \
    }                                                                                                                                                \
    static void by_windows_##s(struct pt_op_ctx *c, const struct conv_grad *p)                                                                       \
    {                                                                                                                                                \
        const struct pt_window *win = &p->p.w;                                                                                                       \
        int64_t m = p->group_out * p->p.groups, cg = p->group_in, groups = p->p.groups;                                                              \
        T *xs = p->weights ? c->in[1]->data : c->out[0]->data, *ws = p->weights ? c->out[0]->data : c->in[1]->data;                                  \
        const T *dy = c->in[0]->data;                                                                                                                \
        memset(c->out[0]->data, 0, c->out[0]->size_bytes);                                                                                           \
        for (int64_t no = 0; p->pixels && no < c->in[0]->dims[0] * m; no++) {                                                                        \
            int64_t oc = no % m, g = oc / p->group_out, o[PT_WINDOW_AXES] = {0};                                                                     \
            T *x = xs + (no / m * groups + g) * cg * p->image, *w = ws + oc * cg * p->taps;                                                          \
            for (int64_t i = 0; i < p->pixels; i++, dy++) {                                                                                          \
                for (int64_t ic = 0; ic < cg; ic++)                                                                                                  \
                    walk_##s(win, 0, o, *dy, x + ic * p->image, w + ic * p->taps, p->weights);                                                       \
                for (int a = win->axes - 1; a >= 0 && ++o[a] == win->out[a]; a--)                                                                    \
                    o[a] = 0;                                                                                                                        \
            }                                                                                                                                        \
        }                                                                                                                                            \
    }
WALK(float, f32)
WALK(double, f64)

static int conv_run(struct pt_op_ctx *c)
{
    const struct conv_grad *p = c->params;
    if (pt_tensor_count(c->in[0]) == 0)
        memset(c->out[0]->data, 0, c->out[0]->size_bytes);
    else if (p->columns && p->weights)
        weights_by_products(c, p);
    else if (p->columns)
        image_by_products(c, p);
    else if (c->in[0]->dtype == PT_FLOAT)
        by_windows_f32(c, p);
    else
        by_windows_f64(c, p);
    return PT_OK;
}

const struct pt_op pt_grad_conv_image = {.type = "ConvImageGrad",
                                         .since = {1},
                                         .min_in = 3,
                                         .max_in = 3,
                                         .max_out = 1,
                                         .types = {PT_TS_FLOAT},
                                         .flags = PT_OP_SAME_TYPE,
                                         .params_size = sizeof(struct conv_grad),
                                         .infer = image_infer,
                                         .run = conv_run};
const struct pt_op pt_grad_conv_weights = {.type = "ConvWeightsGrad",
                                           .since = {1},
                                           .min_in = 3,
                                           .max_in = 3,
                                           .max_out = 1,
                                           .types = {PT_TS_FLOAT},
                                           .flags = PT_OP_SAME_TYPE,
                                           .params_size = sizeof(struct conv_grad),
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
        for (int64_t n = 0; n < dy->dims[0]; n++) {
            int64_t at = (n * channels + ch) * pixels;
            double part[4] = {0};
            if (dy->dtype == PT_FLOAT)
                for (int64_t i = 0; i < pixels; i++)
                    part[i & 3] += (double)((const float *)dy->data)[at + i];
            else
                for (int64_t i = 0; i < pixels; i++)
                    part[i & 3] += ((const double *)dy->data)[at + i];
            sum += (part[0] + part[1]) + (part[2] + part[3]);
        }
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

#define POOL(T, s)                                                                                                                                   \
    /* The offset of the first largest tap; NaN counts as larger than all. */                                                                        \
    static void largest_##s(const struct pt_window *w, int axis, const int64_t *o, const T *x, int64_t offset, int64_t *best)                        \
    {                                                                                                                                                \
        int64_t first, end, at, s_ = pt_dims_product(w->in + axis + 1, w->axes - axis - 1);                                                          \
        pt_window_taps(w, axis, o[axis], &first, &end, &at);                                                                                         \
        for (int64_t k = first; k < end; k++, at += w->dilation[axis]) {                                                                             \
            int64_t here = offset + at * s_;                                                                                                         \
            if (axis < w->axes - 1)                                                                                                                  \
                largest_##s(w, axis + 1, o, x, here, best);                                                                                          \
            else if (*best < 0 || x[here] > x[*best] || (x[here] != x[here] && x[*best] == x[*best]))                                                \
                *best = here;                                                                                                                        \
        }                                                                                                                                            \
    }                                                                                                                                                \
    static void spread_##s(const struct pt_window *w, int axis, const int64_t *o, T part, T *dx)                                                     \
    {                                                                                                                                                \
        int64_t first, end, at, s_ = pt_dims_product(w->in + axis + 1, w->axes - axis - 1);                                                          \
        pt_window_taps(w, axis, o[axis], &first, &end, &at);                                                                                         \
        for (int64_t k = first; k < end; k++, at += w->dilation[axis]) {                                                                             \
            if (axis < w->axes - 1)                                                                                                                  \
                spread_##s(w, axis + 1, o, part, dx + at * s_);                                                                                      \
            else                                                                                                                                     \
                dx[at] += part;                                                                                                                      \
        }                                                                                                                                            \
    }                                                                                                                                                \
    static void pool_##s(struct pt_op_ctx *c, bool average)                                                                                          \
    {                                                                                                                                                \
        const struct pt_pool_params *p = c->params;                                                                                                  \
        const struct pt_window *w = &p->w;                                                                                                           \
        int64_t planes = c->in[1]->dims[0] * c->in[1]->dims[1], image = pt_dims_product(w->in, w->axes), pixels = pt_dims_product(w->out, w->axes);  \
        const T *dy = c->in[0]->data;                                                                                                                \
        memset(c->out[0]->data, 0, c->out[0]->size_bytes);                                                                                           \
        for (int64_t pl = 0; pl < planes; pl++) {                                                                                                    \
            int64_t o[PT_WINDOW_AXES] = {0};                                                                                                         \
            T *dx = (T *)c->out[0]->data + pl * image;                                                                                               \
            for (int64_t i = 0; i < pixels; i++, dy++) {                                                                                             \
                int64_t best = -1, taps = average ? count_taps(w, o, p->count_include_pad) : 1;                                                      \
                if (average && taps > 0)                                                                                                             \
                    spread_##s(w, 0, o, *dy / (T)taps, dx);                                                                                          \
                else if (!average)                                                                                                                   \
                    largest_##s(w, 0, o, (const T *)c->in[1]->data + pl * image, 0, &best);                                                          \
                if (best >= 0)                                                                                                                       \
                    dx[best] += *dy;                                                                                                                 \
                for (int a = w->axes - 1; a >= 0 && ++o[a] == w->out[a]; a--)                                                                        \
                    o[a] = 0;                                                                                                                        \
            }                                                                                                                                        \
        }                                                                                                                                            \
    }
POOL(float, f32)
POOL(double, f64)

static int max_run(struct pt_op_ctx *c)
{
    if (c->in[0]->dtype == PT_FLOAT)
        pool_f32(c, false);
    else
        pool_f64(c, false);
    return PT_OK;
}

static int average_run(struct pt_op_ctx *c)
{
    if (c->in[0]->dtype == PT_FLOAT)
        pool_f32(c, true);
    else
        pool_f64(c, true);
    return PT_OK;
}

const struct pt_op pt_grad_max_pool = {.type = "MaxPoolGrad",
                                       .since = {1},
                                       .min_in = 2,
                                       .max_in = 2,
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
