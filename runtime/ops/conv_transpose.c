/* SPDX-License-Identifier: Apache-2.0
 *
 * conv_transpose.c: ConvTranspose: a matrix product gives every tap of every window, which are then added up in the image (fold.h). The window's
 * image is the output, its windows are the pixels of the input. Output channels are worked on a few at a time.
 */
#include "runtime/kernels/kernels.h"
#include "runtime/ops/conv.h"
#include "runtime/ops/fold.h"

#define BLOCK (1 << 20) /* values of a block of taps */

struct transposed {
    struct pt_window w;
    int64_t groups;
    int64_t taps, pixels; /* of the kernel, of the input */
    int64_t block;        /* output channels at a time */
};

/* Pads from the size that is wanted; only SAME_UPPER puts the odd element at the end. (The formula in the text of opset 1 says the opposite, and so
 * contradicts that text's own words and every implementation; the text of opset 11 mends it.) */
static void split_pads(struct pt_window *w, int i, int64_t total, enum pt_auto_pad kind)
{
    w->pad[i] = kind == PT_PAD_SAME_UPPER ? total / 2 : total - total / 2;
    w->pad_end[i] = total - w->pad[i];
}

static int image_size(struct pt_op_ctx *c, struct transposed *p, const int64_t *shape, int shape_count, const int64_t *extra, enum pt_auto_pad kind)
{
    struct pt_window *w = &p->w;
    for (int i = 0; i < w->axes; i++) {
        int64_t full = w->stride[i] * (w->out[i] - 1) + extra[i] + (w->kernel[i] - 1) * w->dilation[i] + 1;
        bool same = kind == PT_PAD_SAME_UPPER || kind == PT_PAD_SAME_LOWER;
        if (shape_count > 0 || same) {
            w->in[i] = shape_count > 0 ? shape[shape_count - w->axes + i] : w->out[i] * w->stride[i];
            split_pads(w, i, full > w->in[i] ? full - w->in[i] : 0, kind);
        } else {
            w->in[i] = full - w->pad[i] - w->pad_end[i];
        }
        if (w->in[i] < (w->out[i] > 0) || w->in[i] > INT32_MAX)
            return pt_op_fail(c, PT_EINVAL, "spatial axis %d of the output would have %lld elements", i, (long long)w->in[i]);
    }
    return PT_OK;
}

static int check_operands(struct pt_op_ctx *c, struct transposed *p)
{
    const struct pt_tensor *x = c->in[0], *w = c->in[1], *b = pt_op_in(c, 2);
    int rc = pt_attr_int(c, "group", 1, 1, INT32_MAX, &p->groups);
    if (rc < 0)
        return rc;
    if (x->rank < 3 || x->rank - 2 > PT_WINDOW_AXES || w->rank != x->rank)
        return pt_op_fail(c, PT_EINVAL, "input %s and weights %s must have one rank, from 3 to %d", PT_SHAPE(x), PT_SHAPE(w), PT_WINDOW_AXES + 2);
    if (w->dims[0] != x->dims[1] || x->dims[1] % p->groups || w->dims[1] > INT64_MAX / p->groups)
        return pt_op_fail(c, PT_EINVAL, "weights %s do not fit input %s in %lld groups", PT_SHAPE(w), PT_SHAPE(x), (long long)p->groups);
    if (b && (b->rank != 1 || b->dims[0] != w->dims[1] * p->groups))
        return pt_op_fail(c, PT_EINVAL, "bias %s is not one value per output channel (%lld)", PT_SHAPE(b), (long long)(w->dims[1] * p->groups));
    return PT_OK;
}

static int read_attrs(struct pt_op_ctx *c, struct transposed *p)
{
    const struct pt_tensor *x = c->in[0], *w = c->in[1];
    int64_t kernel[PT_WINDOW_AXES], shape[PT_WINDOW_AXES + 2], extra[PT_WINDOW_AXES] = {0};
    int n, shape_count, rc;
    enum pt_auto_pad kind;
    p->w.axes = x->rank - 2;
    for (int i = 0; i < p->w.axes; i++) {
        p->w.in[i] = p->w.out[i] = x->dims[i + 2];
        p->w.kernel[i] = w->dims[i + 2];
    }
    if ((rc = pt_attr_ints(c, "kernel_shape", 1, INT32_MAX, kernel, p->w.axes, &n)) < 0)
        return rc;
    if (n >= 0 && (n != p->w.axes || memcmp(kernel, p->w.kernel, (size_t)n * sizeof *kernel)))
        return pt_op_fail(c, PT_EINVAL, "attribute 'kernel_shape' differs from the weights %s", PT_SHAPE(w));
    if ((rc = pt_window_read(c, &p->w, &kind)) < 0 || (rc = pt_attr_ints(c, "output_padding", 0, INT32_MAX, extra, p->w.axes, &n)) < 0 ||
        (rc = pt_attr_ints(c, "output_shape", 1, INT32_MAX, shape, p->w.axes + 2, &shape_count)) < 0)
        return rc;
    if ((n > 0 && n != p->w.axes) || (shape_count > 0 && shape_count < p->w.axes))
        return pt_op_fail(c, PT_EINVAL, "attribute '%s' has too few values for %d spatial axes",
                          n > 0 && n != p->w.axes ? "output_padding" : "output_shape", p->w.axes);
    return image_size(c, p, shape, shape_count, extra, kind);
}

static size_t round_up(size_t n)
{
    return (n + 63) / 64 * 64;
}

static size_t pack_bytes(const struct pt_op_ctx *c, const struct transposed *p)
{
    return pt_kernels()->gemm_pack_size((size_t)(c->in[0]->dims[1] / p->groups), (size_t)p->pixels);
}

/* Scratch of float32: packed input, transposed weights of a block, its taps. Of float64: one row of taps. */
static int plan_memory(struct pt_op_ctx *c, struct transposed *p)
{
    int64_t channel, weights, in_c = c->in[0]->dims[1] / p->groups, out_c = c->in[1]->dims[1];
    if (__builtin_mul_overflow(p->taps, p->pixels, &channel) || channel > INT64_MAX / 64 || p->pixels > INT64_MAX / 64 / (in_c + 1))
        return pt_op_fail(c, PT_ELIMIT, "input %s with weights %s takes too much memory", PT_SHAPE(c->in[0]), PT_SHAPE(c->in[1]));
    p->block = channel < BLOCK ? BLOCK / (channel + 1) + 1 : 1;
    p->block = p->block < out_c ? p->block : out_c;
    if (c->in[0]->dtype == PT_DOUBLE) {
        c->scratch_bytes = (size_t)p->pixels * sizeof(double);
        return PT_OK;
    }
    if (__builtin_mul_overflow(p->block * p->taps, in_c, &weights) || weights > INT64_MAX / 64)
        return pt_op_fail(c, PT_ELIMIT, "weights %s take too much memory", PT_SHAPE(c->in[1]));
    c->scratch_bytes = pack_bytes(c, p) + round_up((size_t)weights * sizeof(float)) + (size_t)(p->block * channel) * sizeof(float);
    return PT_OK;
}

static int transposed_infer(struct pt_op_ctx *c)
{
    struct transposed *p = c->params;
    const struct pt_tensor *x = c->in[0], *w = c->in[1];
    int64_t dims[PT_MAX_RANK] = {x->dims[0]};
    int rc;
    if ((rc = check_operands(c, p)) < 0 || (rc = read_attrs(c, p)) < 0)
        return rc;
    dims[1] = w->dims[1] * p->groups;
    p->taps = p->pixels = 1;
    for (int i = 0; i < p->w.axes; i++) {
        dims[i + 2] = p->w.in[i];
        if (__builtin_mul_overflow(p->taps, p->w.kernel[i], &p->taps) || __builtin_mul_overflow(p->pixels, p->w.out[i], &p->pixels))
            return pt_op_fail(c, PT_ELIMIT, "input %s or weights %s are too large", PT_SHAPE(x), PT_SHAPE(w));
    }
    pt_op_set_out(c, 0, x->dtype, x->rank, dims);
    return plan_memory(c, p);
}

/* --- running ------------------------------------------------------------------------------------------------------------------------------ */

#define START(T, s)                                                                                                                                  \
    static void start_##s(const struct pt_op_ctx *c)                                                                                                 \
    {                                                                                                                                                \
        const struct pt_tensor *y = c->out[0], *b = pt_op_in(c, 2);                                                                                  \
        int64_t image = pt_dims_product(y->dims + 2, y->rank - 2);                                                                                   \
        T *at = y->data;                                                                                                                             \
        for (int64_t nc = 0; nc < y->dims[0] * y->dims[1]; nc++)                                                                                     \
            for (int64_t i = 0; i < image; i++)                                                                                                      \
                *at++ = b ? ((const T *)b->data)[nc % y->dims[1]] : 0;                                                                               \
    }
START(float, f32)
START(double, f64)

struct block {
    const struct transposed *p;
    const float *taps; /* [channel][tap][pixel] */
    float *y;          /* images of the block's channels */
    int64_t image;
};

static void fold_channels(void *arg, size_t begin, size_t end)
{
    const struct block *b = arg;
    for (size_t k = begin; k < end; k++) {
        const float *v = b->taps + (int64_t)k * b->p->taps * b->p->pixels;
        int64_t tap[PT_WINDOW_AXES] = {0};
        do {
            pt_fold_tap(PT_FLOAT, &b->p->w, tap, v, b->y + (int64_t)k * b->image);
            v += b->p->pixels;
        } while (pt_next_tap(&b->p->w, tap));
    }
}

/* One image, one group. x: [in_c][pixels], w: [in_c][out_c * taps]. */
static void group_f32(const struct pt_op_ctx *c, const float *x, const float *w, float *y)
{
    const struct transposed *p = c->params;
    const struct pt_kernels *k = pt_kernels();
    int64_t in_c = c->in[0]->dims[1] / p->groups, out_c = c->in[1]->dims[1], image = pt_dims_product(p->w.in, p->w.axes);
    float *packed = c->scratch, *wt = (float *)(void *)((char *)c->scratch + pack_bytes(c, p));
    float *taps = (float *)(void *)((char *)wt + round_up((size_t)(p->block * p->taps * in_c) * sizeof(float)));
    k->gemm_pack((size_t)in_c, (size_t)p->pixels, x, (size_t)p->pixels, false, packed);
    for (int64_t first = 0; first < out_c; first += p->block) {
        int64_t n = out_c - first < p->block ? out_c - first : p->block;
        k->transpose((size_t)in_c, (size_t)(n * p->taps), w + first * p->taps, (size_t)(out_c * p->taps), wt, (size_t)in_c);
        k->gemm(&(struct pt_gemm){.m = (size_t)(n * p->taps),
                                  .n = (size_t)p->pixels,
                                  .k = (size_t)in_c,
                                  .a = wt,
                                  .lda = (size_t)in_c,
                                  .packed_b = packed,
                                  .c = taps,
                                  .ldc = (size_t)p->pixels,
                                  .alpha = 1},
                NULL, c->threads);
        struct block b = {p, taps, y + first * image, image};
        pt_parallel_for(c->threads, (size_t)n, 1, fold_channels, &b);
    }
}

static void group_f64(const struct pt_op_ctx *c, const double *x, const double *w, double *y)
{
    const struct transposed *p = c->params;
    int64_t in_c = c->in[0]->dims[1] / p->groups, out_c = c->in[1]->dims[1], image = pt_dims_product(p->w.in, p->w.axes);
    double *row = c->scratch;
    for (int64_t k = 0; k < out_c; k++) {
        int64_t tap[PT_WINDOW_AXES] = {0}, at = k * p->taps;
        do {
            memset(row, 0, (size_t)p->pixels * sizeof *row);
            for (int64_t i = 0; i < in_c; i++)
                for (int64_t j = 0; j < p->pixels; j++)
                    row[j] += w[i * out_c * p->taps + at] * x[i * p->pixels + j];
            pt_fold_tap(PT_DOUBLE, &p->w, tap, row, y + k * image);
            at++;
        } while (pt_next_tap(&p->w, tap));
    }
}

static int transposed_run(struct pt_op_ctx *c)
{
    const struct transposed *p = c->params;
    const struct pt_tensor *x = c->in[0], *w = c->in[1], *y = c->out[0];
    bool real = x->dtype == PT_FLOAT;
    int64_t in_c = x->dims[1] / p->groups, out_c = w->dims[1], image = pt_dims_product(p->w.in, p->w.axes);
    if (y->size_bytes == 0)
        return PT_OK;
    if (real)
        start_f32(c);
    else
        start_f64(c);
    for (int64_t ng = 0; in_c && p->pixels && ng < x->dims[0] * p->groups; ng++) {
        int64_t xi = ng * in_c * p->pixels, wi = ng % p->groups * in_c * out_c * p->taps, yi = ng * out_c * image;
        if (real)
            group_f32(c, (const float *)x->data + xi, (const float *)w->data + wi, (float *)y->data + yi);
        else
            group_f64(c, (const double *)x->data + xi, (const double *)w->data + wi, (double *)y->data + yi);
    }
    return PT_OK;
}

static uint64_t transposed_macs(const struct pt_op_ctx *c)
{
    const struct transposed *p = c->params;
    return (uint64_t)c->in[0]->dims[0] * (uint64_t)pt_tensor_count(c->in[1]) * (uint64_t)p->pixels;
}

const struct pt_op pt_op_conv_transpose = {.type = "ConvTranspose",
                                           .since = {1, 11, 22},
                                           .min_in = 2,
                                           .max_in = 3,
                                           .max_out = 1,
                                           .types = {PT_TS_REAL},
                                           .flags = PT_OP_SAME_TYPE | PT_OP_WIDEN,
                                           .params_size = sizeof(struct transposed),
                                           .infer = transposed_infer,
                                           .run = transposed_run,
                                           .macs = transposed_macs};
