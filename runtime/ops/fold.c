/* SPDX-License-Identifier: Apache-2.0
 *
 * fold.c: see fold.h; and Col2Im, which is nothing else.
 */
#include "runtime/ops/fold.h"

/* Rows of windows along the last axis; those whose tap lies in the image are [lo, hi). */
#define FOLD(id, T, U, s)                                                                                                                            \
    static void fold_##s(const struct pt_window *w, const int64_t *tap, const T *v, T *image)                                                        \
    {                                                                                                                                                \
        int last = w->axes - 1;                                                                                                                      \
        int64_t rows = pt_dims_product(w->out, last), step = w->stride[last], base = tap[last] * w->dilation[last] - w->pad[last];                   \
        int64_t lo = base < 0 ? (-base + step - 1) / step : 0, hi = base < w->in[last] ? (w->in[last] - base + step - 1) / step : 0;                 \
        hi = hi < w->out[last] ? hi : w->out[last];                                                                                                  \
        for (int64_t r = 0; r < rows; r++, v += w->out[last]) {                                                                                      \
            int64_t rest = r, at = 0, stride = w->in[last];                                                                                          \
            bool inside = true;                                                                                                                      \
            for (int a = last - 1; a >= 0; a--) {                                                                                                    \
                int64_t p = rest % w->out[a] * w->stride[a] + tap[a] * w->dilation[a] - w->pad[a];                                                   \
                inside = inside && p >= 0 && p < w->in[a];                                                                                           \
                at += p * stride;                                                                                                                    \
                rest /= w->out[a];                                                                                                                   \
                stride *= w->in[a];                                                                                                                  \
            }                                                                                                                                        \
            for (int64_t i = lo; inside && i < hi; i++)                                                                                              \
                image[at + base + i * step] = (T)((U)image[at + base + i * step] + (U)v[i]);                                                         \
        }                                                                                                                                            \
    }
PT_NUM_ROWS(FOLD)

void pt_fold_tap(enum pt_dtype dtype, const struct pt_window *w, const int64_t *tap, const void *values, void *image)
{
    switch (dtype) {
#define CASE(id, T, U, s)                                                                                                                            \
    case id:                                                                                                                                         \
        fold_##s(w, tap, values, image);                                                                                                             \
        break;
        PT_NUM_ROWS(CASE)
    default:
        break;
    }
}

/* --- Col2Im: [N, C * taps, windows] and the image's shape ------------------------------------------------------------------------------- */

static int col2im_infer(struct pt_op_ctx *c)
{
    struct pt_window *w = c->params;
    const struct pt_tensor *x = c->in[0];
    enum pt_auto_pad kind;
    int64_t dims[PT_MAX_RANK], windows = 1, taps = 1;
    int n, rc;
    if ((rc = pt_op_const_ints(c, 1, "image_shape", w->in, PT_WINDOW_AXES, &w->axes)) < 0 ||
        (rc = pt_op_const_ints(c, 2, "block_shape", w->kernel, PT_WINDOW_AXES, &n)) < 0)
        return rc;
    if (n != w->axes || n < 1 || x->rank != 3)
        return pt_op_fail(c, PT_EINVAL, "input %s must have rank 3, image_shape (%d values) and block_shape (%d) be of one length", PT_SHAPE(x),
                          w->axes, n);
    if ((rc = pt_window_read(c, w, &kind)) < 0)
        return rc;
    for (int i = 0; i < n; i++) {
        int64_t room = w->in[i] + w->pad[i] + w->pad_end[i] - (w->kernel[i] - 1) * w->dilation[i] - 1;
        if (w->in[i] < 0 || room < 0)
            return pt_op_fail(c, PT_EINVAL, "a block of %lld does not fit an image of %lld at spatial axis %d", (long long)w->kernel[i],
                              (long long)w->in[i], i);
        w->out[i] = room / w->stride[i] + 1;
        dims[i + 2] = w->in[i];
        if (__builtin_mul_overflow(windows, w->out[i], &windows) || __builtin_mul_overflow(taps, w->kernel[i], &taps))
            return pt_op_fail(c, PT_ELIMIT, "the image or the block is too large");
    }
    if (x->dims[2] != windows || x->dims[1] % taps)
        return pt_op_fail(c, PT_EINVAL, "input %s does not hold %lld blocks of %lld values", PT_SHAPE(x), (long long)windows, (long long)taps);
    dims[0] = x->dims[0];
    dims[1] = x->dims[1] / taps;
    pt_op_set_out(c, 0, x->dtype, n + 2, dims);
    return PT_OK;
}

static int col2im_run(struct pt_op_ctx *c)
{
    const struct pt_window *w = c->params;
    const struct pt_tensor *x = c->in[0], *y = c->out[0];
    size_t size = pt_dtype_size(x->dtype), image = (size_t)pt_dims_product(w->in, w->axes) * size, row = (size_t)x->dims[2] * size;
    const char *v = x->data;
    if (y->size_bytes)
        memset(y->data, 0, y->size_bytes);
    for (int64_t nc = 0; image && nc < y->dims[0] * y->dims[1]; nc++) {
        int64_t tap[PT_WINDOW_AXES] = {0};
        do {
            pt_fold_tap(x->dtype, w, tap, v, (char *)y->data + (size_t)nc * image);
            v += row;
        } while (pt_next_tap(w, tap));
    }
    return PT_OK;
}

const struct pt_op pt_op_col2im = {.type = "Col2Im",
                                   .since = {18},
                                   .min_in = 3,
                                   .max_in = 3,
                                   .max_out = 1,
                                   .types = {PT_TS_NUM | PT_TS_HALF, PT_TS_INDEX},
                                   .flags = PT_OP_WIDEN,
                                   .params_size = sizeof(struct pt_window),
                                   .infer = col2im_infer,
                                   .run = col2im_run};
