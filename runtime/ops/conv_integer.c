/* SPDX-License-Identifier: Apache-2.0
 *
 * conv_integer.c: convolutions of quantised images: ConvInteger (int32 result), QLinearConv, and com.microsoft's QLinearConv, which may have
 * the channels innermost in image and result.
 *
 * One channel of one image of the result at a time: every tap of the window adds a shifted, scaled copy of an input channel to an image of int32.
 * Taps in the padding add nothing, which is what the zero point stands for.
 */
#include "runtime/ops/conv_integer.h"

#define PIECES 16 /* of the work, at most that many threads */

static int plan(struct pt_op_ctx *c, int bias, bool channels_last, enum pt_dtype out)
{
    struct pt_int_conv_params *p = c->params;
    struct pt_tensor x = *c->in[p->x];
    int rc;
    if (channels_last && x.rank > 2) {
        int64_t channels = x.dims[x.rank - 1];
        memmove(x.dims + 2, x.dims + 1, (size_t)(x.rank - 2) * sizeof *x.dims);
        x.dims[1] = channels;
    }
    if ((rc = pt_conv_plan(c, &p->conv, &x, c->in[p->w], bias < 0 ? NULL : pt_op_in(c, bias), out)) < 0)
        return rc;
    const struct pt_window *win = &p->conv.w;
    struct pt_tensor *y = c->out[0];
    int64_t pixels = 1;
    for (int i = 0; i < win->axes; i++)
        if (__builtin_mul_overflow(pixels, win->out[i], &pixels) || pixels > (int64_t)(SIZE_MAX / 16 / PIECES / sizeof(int32_t)))
            return pt_op_fail(c, PT_ELIMIT, "the result is too large");
    p->x_pixel = channels_last ? x.dims[1] : 1;
    p->x_channel = channels_last ? 1 : pt_dims_product(win->in, win->axes);
    p->y_pixel = channels_last ? y->dims[1] : 1;
    p->y_channel = channels_last ? 1 : pixels;
    c->scratch_bytes = (size_t)pixels * sizeof(int32_t) * PIECES;
    if (channels_last) {
        int64_t channels = y->dims[1];
        memmove(y->dims + 1, y->dims + 2, (size_t)(y->rank - 2) * sizeof *y->dims);
        y->dims[y->rank - 1] = channels;
    }
    return PT_OK;
}

/* A tap of the innermost axis: acc[o] += w (x[at(o)] - zero), where at(o) lies in the image. */
#define TAP(T, s)                                                                                                                                    \
    static void tap_##s(int32_t *acc, const void *x, int64_t step, int64_t n, int32_t zero, int32_t w)                                               \
    {                                                                                                                                                \
        const T *v = x;                                                                                                                              \
        for (int64_t i = 0; step == 1 && i < n; i++) /* apart, for vectors */                                                                        \
            acc[i] = (int32_t)((uint32_t)acc[i] + (uint32_t)w * (uint32_t)((int32_t)v[i] - zero));                                                   \
        for (int64_t i = 0; step != 1 && i < n; i++)                                                                                                 \
            acc[i] = (int32_t)((uint32_t)acc[i] + (uint32_t)w * (uint32_t)((int32_t)v[i * step] - zero));                                            \
    }
TAP(int8_t, i8)
TAP(uint8_t, u8)

struct image {
    const struct pt_window *win;
    const char *x; /* the input channel */
    int64_t pixel; /* its element stride */
    bool is_signed;
    int32_t zero;
};

/* Adds a tap at position k of the axes to the pixels of acc, from `axis` on. */
static void add_tap(const struct image *im, int axis, const int64_t *k, int64_t x_at, int64_t acc_at, int32_t w, int32_t *acc)
{
    const struct pt_window *win = im->win;
    int64_t stride = win->stride[axis], shift = k[axis] * win->dilation[axis] - win->pad[axis];
    int64_t first = shift < 0 ? (-shift + stride - 1) / stride : 0, end = win->in[axis] <= shift ? 0 : (win->in[axis] - 1 - shift) / stride + 1;
    end = end > win->out[axis] ? win->out[axis] : end;
    if (first >= end)
        return;
    if (axis == win->axes - 1) {
        const char *x = im->x + (x_at * win->in[axis] + first * stride + shift) * im->pixel;
        (im->is_signed ? tap_i8 : tap_u8)(acc + acc_at * win->out[axis] + first, x, stride * im->pixel, end - first, im->zero, w);
        return;
    }
    for (int64_t o = first; o < end; o++)
        add_tap(im, axis + 1, k, x_at * win->in[axis] + o * stride + shift, acc_at * win->out[axis] + o, w, acc);
}

/* Channel oc of image n. */
static void convolve(const struct pt_op_ctx *c, int64_t n, int64_t oc, int32_t *acc)
{
    const struct pt_int_conv_params *p = c->params;
    const struct pt_window *win = &p->conv.w;
    const struct pt_tensor *xt = c->in[p->x], *wt = c->in[p->w];
    int64_t cg = wt->dims[1], taps = pt_dims_product(win->kernel, win->axes), pixels = pt_dims_product(win->out, win->axes);
    int64_t group = oc / (wt->dims[0] / p->conv.groups), channels = cg * p->conv.groups, image = channels * pt_dims_product(win->in, win->axes);
    int32_t w_zero = pt_quant_zero(pt_op_in(c, p->w_zero), oc);
    struct image im = {.win = win, .pixel = p->x_pixel, .is_signed = xt->dtype == PT_INT8, .zero = pt_quant_zero(pt_op_in(c, p->x_zero), 0)};
    memset(acc, 0, (size_t)pixels * sizeof *acc);
    for (int64_t ic = 0; ic < cg; ic++) {
        int64_t k[PT_WINDOW_AXES] = {0};
        im.x = (const char *)xt->data + n * image + (group * cg + ic) * p->x_channel;
        for (int64_t t = 0; t < taps; t++) {
            int32_t w = (int32_t)pt_elem_i64(wt, (oc * cg + ic) * taps + t) - w_zero;
            if (w)
                add_tap(&im, 0, k, 0, 0, w, acc);
            for (int a = win->axes - 1; a >= 0 && ++k[a] == win->kernel[a]; a--)
                k[a] = 0;
        }
    }
}

static uint64_t macs(const struct pt_op_ctx *c)
{
    const struct pt_int_conv_params *p = c->params;
    const struct pt_tensor *w = c->in[p->w];
    return (uint64_t)pt_tensor_count(c->out[0]) * (uint64_t)pt_dims_product(w->dims + 1, w->rank - 1);
}

/* --- ConvInteger: x, w, x_zero, w_zero -------------------------------------------------------------------------------------------- */

static int integer_infer(struct pt_op_ctx *c)
{
    struct pt_int_conv_params *p = c->params;
    *p = (struct pt_int_conv_params){.x = 0, .w = 1, .x_zero = 2, .w_zero = 3};
    int rc = plan(c, -1, false, PT_INT32);
    if (rc < 0 || (rc = pt_quant_params(c, -1, 2, c->in[0]->dtype, 1)) < 0)
        return rc;
    c->scratch_bytes = 0;
    return pt_quant_params(c, -1, 3, c->in[1]->dtype, c->in[1]->dims[0]);
}

static void integer_channels(void *arg, size_t begin, size_t end)
{
    const struct pt_op_ctx *c = arg;
    const struct pt_int_conv_params *p = c->params;
    int64_t m = c->in[1]->dims[0];
    for (int64_t i = (int64_t)begin; i < (int64_t)end; i++)
        convolve(c, i / m, i % m, (int32_t *)c->out[0]->data + i * p->y_channel);
}

static int integer_run(struct pt_op_ctx *c)
{
    if (pt_tensor_count(c->out[0]))
        pt_parallel_for(c->threads, (size_t)(c->in[0]->dims[0] * c->in[1]->dims[0]), 1, integer_channels, c);
    return PT_OK;
}

const struct pt_op pt_op_conv_integer = {.type = "ConvInteger",
                                         .since = {10},
                                         .min_in = 2,
                                         .max_in = 4,
                                         .max_out = 1,
                                         .types = {PT_TS_8BIT},
                                         .params_size = sizeof(struct pt_int_conv_params),
                                         .infer = integer_infer,
                                         .run = integer_run,
                                         .macs = macs};

/* --- QLinearConv: x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias ------------------------------------------------------- */

static int qlinear(struct pt_op_ctx *c, bool channels_last)
{
    struct pt_int_conv_params *p = c->params;
    *p = (struct pt_int_conv_params){.x = 0, .w = 3, .x_zero = 2, .w_zero = 5};
    const struct pt_tensor *w = c->in[3], *y_zero = c->in[7];
    int rc;
    if ((rc = pt_quant_type(c, 3, "w", PT_TS_8BIT)) < 0 || (rc = pt_quant_type(c, 7, "y_zero_point", PT_TS_8BIT)) < 0 ||
        (rc = pt_quant_type(c, 8, "bias", PT_T(PT_INT32))) < 0)
        return rc;
    enum pt_dtype out = y_zero ? y_zero->dtype : c->in[0]->dtype;
    if ((rc = plan(c, 8, channels_last, out)) < 0 || (rc = pt_quant_params(c, 1, 2, c->in[0]->dtype, 1)) < 0 ||
        (rc = pt_quant_params(c, 4, 5, w->dtype, w->dims[0])) < 0)
        return rc;
    return pt_quant_params(c, 6, 7, out, 1);
}

static int qlinear_infer(struct pt_op_ctx *c)
{
    return qlinear(c, false);
}

static int ms_qlinear_infer(struct pt_op_ctx *c)
{
    int64_t channels_last;
    int rc = pt_attr_int(c, "channels_last", 0, 0, 1, &channels_last);
    return rc < 0 ? rc : qlinear(c, channels_last != 0);
}

static void qlinear_channel(const struct pt_op_ctx *c, int64_t i, int32_t *acc)
{
    const struct pt_int_conv_params *p = c->params;
    const struct pt_tensor *bias = pt_op_in(c, 8);
    int64_t m = c->in[3]->dims[0], pixels = pt_dims_product(p->conv.w.out, p->conv.w.axes), oc = i % m, at = i / m * m * pixels + oc * p->y_channel;
    uint32_t b = bias ? (uint32_t)((const int32_t *)bias->data)[oc] : 0;
    float scale = pt_quant_scale(c->in[1], 0) * pt_quant_scale(c->in[4], oc) / pt_quant_scale(c->in[6], 0);
    int32_t zero = pt_quant_zero(c->in[7], 0);
    convolve(c, i / m, oc, acc);
    for (int64_t k = 0; k < pixels; k++)
        pt_quant_put(c->out[0], at + k * p->y_pixel, (float)(int32_t)((uint32_t)acc[k] + b) * scale, zero);
}

/* Piece k does every PIECES-th channel, in its own part of the scratch memory. */
static void qlinear_pieces(void *arg, size_t begin, size_t end)
{
    const struct pt_op_ctx *c = arg;
    const struct pt_int_conv_params *p = c->params;
    int64_t channels = c->in[0]->dims[0] * c->in[3]->dims[0], pixels = pt_dims_product(p->conv.w.out, p->conv.w.axes);
    for (int64_t k = (int64_t)begin; k < (int64_t)end; k++)
        for (int64_t i = k; i < channels; i += PIECES)
            qlinear_channel(c, i, (int32_t *)c->scratch + k * pixels);
}

static int qlinear_run(struct pt_op_ctx *c)
{
    if (pt_tensor_count(c->out[0]))
        pt_parallel_for(c->threads, PIECES, 1, qlinear_pieces, c);
    return PT_OK;
}

#define ROW(sym, dom, since_version, infer_fn)                                                                                                       \
    const struct pt_op pt_op_##sym = {.domain = dom,                                                                                                 \
                                      .type = "QLinearConv",                                                                                         \
                                      .since = {since_version},                                                                                      \
                                      .min_in = 8,                                                                                                   \
                                      .max_in = 9,                                                                                                   \
                                      .max_out = 1,                                                                                                  \
                                      .types = {PT_TS_8BIT, PT_T(PT_FLOAT), PT_TS_8BIT, PT_TS_8BIT | PT_T(PT_FLOAT) | PT_T(PT_INT32)},               \
                                      .params_size = sizeof(struct pt_int_conv_params),                                                                          \
                                      .infer = infer_fn,                                                                                             \
                                      .run = qlinear_run,                                                                                            \
                                      .macs = macs};
ROW(qlinear_conv, "", 10, qlinear_infer)
ROW(ms_qlinear_conv, "com.microsoft", 1, ms_qlinear_infer)
