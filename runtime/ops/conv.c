/* SPDX-License-Identifier: Apache-2.0
 *
 * conv.c: Conv over any number of spatial axes, with groups, dilations and the padding rules.
 */
#include "runtime/ops/conv.h"

int pt_conv_plan(struct pt_op_ctx *c, struct pt_conv_params *p, const struct pt_tensor *x, const struct pt_tensor *w, const struct pt_tensor *b,
                 enum pt_dtype type)
{
    int rc = pt_attr_int(c, "group", 1, 1, INT32_MAX, &p->groups);
    if (rc < 0)
        return rc;
    if (x->rank < 3 || x->rank - 2 > PT_WINDOW_AXES || w->rank != x->rank)
        return pt_op_fail(c, PT_EINVAL, "input %s and weights %s must have one rank, from 3 to %d", PT_SHAPE(x), PT_SHAPE(w), PT_WINDOW_AXES + 2);
    /* divisions rather than products: dims of an empty tensor can be anything */
    if (w->dims[0] % p->groups || x->dims[1] % p->groups || x->dims[1] / p->groups != w->dims[1])
        return pt_op_fail(c, PT_EINVAL, "weights %s do not fit input %s in %lld groups", PT_SHAPE(w), PT_SHAPE(x), (long long)p->groups);
    if (b && (b->rank != 1 || b->dims[0] != w->dims[0]))
        return pt_op_fail(c, PT_EINVAL, "bias %s is not one value per output channel (%lld)", PT_SHAPE(b), (long long)w->dims[0]);
    int64_t kernel[PT_WINDOW_AXES], dims[PT_MAX_RANK] = {x->dims[0], w->dims[0]};
    int n;
    p->w.axes = x->rank - 2;
    if ((rc = pt_attr_ints(c, "kernel_shape", 1, INT32_MAX, kernel, p->w.axes, &n)) < 0)
        return rc;
    for (int i = 0; i < p->w.axes; i++) {
        p->w.in[i] = x->dims[i + 2];
        p->w.kernel[i] = w->dims[i + 2];
        if (n >= 0 && (n != p->w.axes || kernel[i] != w->dims[i + 2]))
            return pt_op_fail(c, PT_EINVAL, "attribute 'kernel_shape' differs from the weights %s", PT_SHAPE(w));
    }
    if ((rc = pt_window_infer(c, &p->w, false)) < 0)
        return rc;
    for (int i = 0; i < p->w.axes; i++)
        dims[i + 2] = p->w.out[i];
    pt_op_set_out(c, 0, type, x->rank, dims);
    return PT_OK;
}

static int conv_infer(struct pt_op_ctx *c)
{
    return pt_conv_plan(c, c->params, c->in[0], c->in[1], pt_op_in(c, 2), c->in[0]->dtype);
}

/* Sum over the window of one output position, one input channel. x and w point at the channel. */
#define DOT(T, s) \
    static T dot_##s(const struct pt_window *win, int axis, const int64_t *o, const T *x, const T *w) \
    { \
        int64_t first, end, at; \
        T sum = 0; \
        pt_window_taps(win, axis, o[axis], &first, &end, &at); \
        if (axis == win->axes - 1) { \
            for (int64_t k = first; k < end; k++, at += win->dilation[axis]) \
                sum += x[at] * w[k]; \
            return sum; \
        } \
        int64_t xs = pt_dims_product(win->in + axis + 1, win->axes - axis - 1), ws = pt_dims_product(win->kernel + axis + 1, win->axes - axis - 1); \
        for (int64_t k = first; k < end; k++, at += win->dilation[axis]) \
            sum += dot_##s(win, axis + 1, o, x + at * xs, w + k * ws); \
        return sum; \
    } \
    static void conv_##s(struct pt_op_ctx *c) \
    { \
        const struct pt_conv_params *p = c->params; \
        const struct pt_window *win = &p->w; \
        const struct pt_tensor *xt = c->in[0], *wt = c->in[1], *bt = pt_op_in(c, 2); \
        int64_t m = wt->dims[0], cg = wt->dims[1], pixels = pt_dims_product(win->out, win->axes); \
        int64_t xs = pt_dims_product(win->in, win->axes), ws = pt_dims_product(win->kernel, win->axes), at = 0; \
        T *y = c->out[0]->data; \
        for (int64_t no = 0; pixels && no < xt->dims[0] * m; no++) { \
            int64_t n = no / m, oc = no % m, g = oc / (m / p->groups), o[PT_WINDOW_AXES] = {0}; \
            const T *x = (const T *)xt->data + (n * xt->dims[1] + g * cg) * xs, *w = (const T *)wt->data + oc * cg * ws; \
            for (int64_t i = 0; i < pixels; i++, at++) { \
                T sum = bt ? ((const T *)bt->data)[oc] : 0; \
                for (int64_t ic = 0; ic < cg; ic++) \
                    sum += dot_##s(win, 0, o, x + ic * xs, w + ic * ws); \
                y[at] = sum; \
                for (int a = win->axes - 1; a >= 0 && ++o[a] == win->out[a]; a--) \
                    o[a] = 0; \
            } \
        } \
    }
DOT(float, f32)
DOT(double, f64)

static int conv_run(struct pt_op_ctx *c)
{
    if (c->in[0]->dtype == PT_FLOAT)
        conv_f32(c);
    else
        conv_f64(c);
    return PT_OK;
}

static uint64_t conv_macs(const struct pt_op_ctx *c)
{
    const struct pt_tensor *w = c->in[1];
    return (uint64_t)pt_tensor_count(c->out[0]) * (uint64_t)pt_dims_product(w->dims + 1, w->rank - 1);
}

const struct pt_op pt_op_conv = {.type = "Conv", .since = {1, 11, 22}, .min_in = 2, .max_in = 3, .max_out = 1, .types = {PT_TS_REAL},
                                 .flags = PT_OP_SAME_TYPE | PT_OP_WIDEN, .params_size = sizeof(struct pt_conv_params), .infer = conv_infer,
                                 .run = conv_run, .macs = conv_macs};
