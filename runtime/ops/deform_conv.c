/* SPDX-License-Identifier: Apache-2.0
 *
 * deform_conv.c: DeformConv: a convolution whose taps are moved by offsets and weighted by a mask. Taps between pixels are interpolated linearly;
 * outside the image there are zeros. Output pixels are worked on a tile at a time: their taps become the columns of a matrix.
 */
#include "runtime/kernels/kernels.h"
#include "runtime/ops/conv.h"
#include "runtime/ops/fold.h"

#include <math.h>

#define TILE 128

enum { X, W, OFFSET, BIAS, MASK };

struct deform {
    struct pt_conv_params conv;
    int64_t offset_groups, taps, pixels;
};

static int check_field(struct pt_op_ctx *c, int i, int64_t channels)
{
    const struct deform *p = c->params;
    const struct pt_tensor *t = pt_op_in(c, i), *x = c->in[X];
    bool fits = !t || (t->dtype == x->dtype && t->rank == x->rank && t->dims[0] == x->dims[0] && t->dims[1] == channels);
    for (int a = 0; t && fits && a < p->conv.w.axes; a++)
        fits = t->dims[a + 2] == p->conv.w.out[a];
    return fits ? PT_OK
                : pt_op_fail(c, PT_EINVAL, "input %d is %s, which does not fit %lld values for each of %lld output pixels", i, PT_SHAPE(t),
                             (long long)channels, (long long)p->pixels);
}

static int deform_infer(struct pt_op_ctx *c)
{
    struct deform *p = c->params;
    const struct pt_tensor *x = c->in[X];
    int64_t columns, values;
    int rc;
    if ((rc = pt_conv_plan(c, &p->conv, x, c->in[W], pt_op_in(c, BIAS), x->dtype)) < 0 ||
        (rc = pt_attr_int(c, "offset_group", 1, 1, INT32_MAX, &p->offset_groups)) < 0)
        return rc;
    if (x->dims[1] % p->offset_groups)
        return pt_op_fail(c, PT_EINVAL, "%lld channels do not divide into 'offset_group' = %lld", (long long)x->dims[1], (long long)p->offset_groups);
    p->taps = p->pixels = 1;
    for (int i = 0; i < p->conv.w.axes; i++)
        if (__builtin_mul_overflow(p->taps, p->conv.w.kernel[i], &p->taps) || __builtin_mul_overflow(p->pixels, p->conv.w.out[i], &p->pixels))
            return pt_op_fail(c, PT_ELIMIT, "input %s is too large", PT_SHAPE(x));
    if (__builtin_mul_overflow(p->taps, p->offset_groups * p->conv.w.axes, &values) || __builtin_mul_overflow(p->taps, x->dims[1], &columns) ||
        columns > INT64_MAX / 4096)
        return pt_op_fail(c, PT_ELIMIT, "weights %s are too large", PT_SHAPE(c->in[W]));
    if ((rc = check_field(c, OFFSET, values)) < 0 || (rc = check_field(c, MASK, p->taps * p->offset_groups)) < 0)
        return rc;
    c->scratch_bytes = (size_t)columns * TILE * pt_dtype_size(x->dtype == PT_DOUBLE ? PT_DOUBLE : PT_FLOAT);
    if (x->dtype != PT_DOUBLE)
        c->scratch_bytes += pt_kernels()->gemm_pack_size((size_t)(columns / p->conv.groups), TILE) + 64;
    return PT_OK;
}

struct tile {
    const struct pt_op_ctx *c;
    int64_t n, first, count; /* image, pixels */
    void *columns;           /* [channel][tap][TILE] */
};

/* Rows of `columns` are (channel, tap). */
#define DEFORM(T, s)                                                                                                                                 \
    static T sample_##s(const struct pt_window *w, const T *image, const double *at)                                                                 \
    {                                                                                                                                                \
        T sum = 0;                                                                                                                                   \
        for (int corner = 0; corner < 1 << w->axes; corner++) {                                                                                      \
            int64_t i = 0;                                                                                                                           \
            T weight = 1;                                                                                                                            \
            for (int a = 0; a < w->axes && weight != 0; a++) {                                                                                       \
                double base = floor(at[a]), p = base + (corner >> a & 1), f = at[a] - base;                                                          \
                weight *= (T)(p >= 0 && p < (double)w->in[a] ? corner >> a & 1 ? f : 1 - f : 0);                                                     \
                i = i * w->in[a] + (weight != 0 ? (int64_t)p : 0);                                                                                   \
            }                                                                                                                                        \
            if (weight != 0)                                                                                                                         \
                sum += weight * image[i];                                                                                                            \
        }                                                                                                                                            \
        return sum;                                                                                                                                  \
    }                                                                                                                                                \
    static void columns_##s(void *arg, size_t begin, size_t end)                                                                                     \
    {                                                                                                                                                \
        const struct tile *t = arg;                                                                                                                  \
        const struct deform *p = t->c->params;                                                                                                       \
        const struct pt_window *w = &p->conv.w;                                                                                                      \
        const struct pt_tensor *x = t->c->in[X], *mask = pt_op_in(t->c, MASK);                                                                       \
        int64_t image = pt_dims_product(w->in, w->axes);                                                                                             \
        for (int64_t r = (int64_t)begin; r < (int64_t)end; r++) {                                                                                    \
            int64_t ch = r / p->taps, tap = r % p->taps, og = ch / (x->dims[1] / p->offset_groups),                                                  \
                    field = (t->n * p->offset_groups + og) * p->taps + tap;                                                                          \
            const T *off = (const T *)t->c->in[OFFSET]->data + field * w->axes * p->pixels,                                                          \
                    *m = mask ? (const T *)mask->data + field * p->pixels : NULL;                                                                    \
            T *out = (T *)t->columns + r * TILE;                                                                                                     \
            for (int64_t k = 0; k < t->count; k++) {                                                                                                 \
                int64_t pixel = t->first + k, rest = pixel, rest_tap = tap;                                                                          \
                double at[PT_WINDOW_AXES];                                                                                                           \
                for (int a = w->axes - 1; a >= 0; a--) {                                                                                             \
                    at[a] = (double)(rest % w->out[a] * w->stride[a] - w->pad[a] + rest_tap % w->kernel[a] * w->dilation[a]) +                       \
                            (double)off[a * p->pixels + pixel];                                                                                      \
                    rest /= w->out[a];                                                                                                               \
                    rest_tap /= w->kernel[a];                                                                                                        \
                }                                                                                                                                    \
                out[k] = sample_##s(w, (const T *)x->data + (t->n * x->dims[1] + ch) * image, at) * (m ? m[pixel] : 1);                              \
            }                                                                                                                                        \
        }                                                                                                                                            \
    }
DEFORM(float, f32)
DEFORM(double, f64)

static void product_f64(const double *w, const double *columns, int64_t m, int64_t k, int64_t n, double *y, int64_t ldy)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t r = 0; r < k; r++)
                sum += w[i * k + r] * columns[r * TILE + j];
            y[i * ldy + j] = sum;
        }
}

static void multiply(const struct tile *t, int64_t g)
{
    const struct pt_op_ctx *c = t->c;
    const struct deform *p = c->params;
    int64_t m = c->in[W]->dims[0] / p->conv.groups, k = c->in[W]->dims[1] * p->taps;
    int64_t y = (t->n * c->in[W]->dims[0] + g * m) * p->pixels + t->first;
    if (c->in[X]->dtype == PT_DOUBLE) {
        product_f64((const double *)c->in[W]->data + g * m * k, (const double *)t->columns + g * k * TILE, m, k, t->count,
                    (double *)c->out[0]->data + y, p->pixels);
        return;
    }
    const struct pt_kernels *kn = pt_kernels();
    float *packed = (float *)t->columns + c->in[X]->dims[1] * p->taps * TILE;
    packed += (64 - (uintptr_t)packed % 64) % 64 / sizeof *packed;
    kn->gemm_pack((size_t)k, (size_t)t->count, (const float *)t->columns + g * k * TILE, TILE, false, packed);
    kn->gemm(&(struct pt_gemm){.m = (size_t)m,
                               .n = (size_t)t->count,
                               .k = (size_t)k,
                               .a = (const float *)c->in[W]->data + g * m * k,
                               .lda = (size_t)k,
                               .packed_b = packed,
                               .c = (float *)c->out[0]->data + y,
                               .ldc = (size_t)p->pixels,
                               .alpha = 1},
             NULL, c->threads);
}

static void add_bias(const struct pt_op_ctx *c)
{
    const struct deform *p = c->params;
    const struct pt_tensor *b = pt_op_in(c, BIAS), *y = c->out[0];
    for (int64_t i = 0, n = b ? pt_tensor_count(y) : 0; i < n; i++) {
        int64_t ch = i / p->pixels % y->dims[1];
        if (y->dtype == PT_FLOAT)
            ((float *)y->data)[i] += ((const float *)b->data)[ch];
        else
            ((double *)y->data)[i] += ((const double *)b->data)[ch];
    }
}

static int deform_run(struct pt_op_ctx *c)
{
    const struct deform *p = c->params;
    const struct pt_tensor *x = c->in[X];
    struct tile t = {.c = c, .columns = c->scratch};
    for (t.n = 0; c->out[0]->size_bytes && t.n < x->dims[0]; t.n++)
        for (t.first = 0; t.first < p->pixels; t.first += TILE) {
            t.count = p->pixels - t.first < TILE ? p->pixels - t.first : TILE;
            pt_parallel_for(c->threads, (size_t)(x->dims[1] * p->taps), 4, x->dtype == PT_FLOAT ? columns_f32 : columns_f64, &t);
            for (int64_t g = 0; g < p->conv.groups; g++)
                multiply(&t, g);
        }
    add_bias(c);
    return PT_OK;
}

const struct pt_op pt_op_deform_conv = {.type = "DeformConv",
                                        .since = {19, 22},
                                        .min_in = 3,
                                        .max_in = 5,
                                        .max_out = 1,
                                        .types = {PT_TS_REAL},
                                        .flags = PT_OP_SAME_TYPE | PT_OP_WIDEN,
                                        .params_size = sizeof(struct deform),
                                        .infer = deform_infer,
                                        .run = deform_run};
