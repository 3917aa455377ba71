/* SPDX-License-Identifier: Apache-2.0
 *
 * ref.c: the reference table. Scalar C straight from the definitions in kernels.h, sums in double, one thread: slow, and what every other
 * table is held against. Packed weights are plain copies.
 */
#include <math.h>
#include <string.h>

#include "runtime/kernels/tables.h"

/* max and min as ONNX Runtime has them: NaN wins over any number. */
static float max_nan(float a, float b)
{
    return isnan(a) || a > b ? a : b;
}
static float min_nan(float a, float b)
{
    return isnan(a) || a < b ? a : b;
}
static float clip(float x, float lo, float hi)
{
    return min_nan(max_nan(x, lo), hi);
}
static float gelu(float x)
{
    return (float)(0.5 * x * erfc(-x * 0.70710678118654752440));
}
static float activate(const struct pt_epilogue *ep, float x)
{
    switch (ep->act) {
    case PT_ACT_RELU:
        return max_nan(x, 0);
    case PT_ACT_CLIP:
        return clip(x, ep->lo, ep->hi);
    case PT_ACT_GELU:
        return gelu(x);
    case PT_ACT_NONE:
        break;
    }
    return x;
}

/* --- matrix product ------------------------------------------------------------------------------------------------------------------ */

static size_t gemm_pack_size(size_t k, size_t n)
{
    return (k * n * sizeof(float) + 63) / 64 * 64;
}
static void gemm_pack(size_t k, size_t n, const float *b, size_t ldb, bool trans, float *packed)
{
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < n; j++)
            packed[i * n + j] = trans ? b[j * ldb + i] : b[i * ldb + j];
}
static size_t gemm_workspace(const struct pt_gemm *g, int threads)
{
    (void)g, (void)threads;
    return 0;
}
static void gemm_one(const struct pt_gemm *g, const float *a, const float *b, float *c, const float *residual)
{
    for (size_t i = 0; i < g->m; i++)
        for (size_t j = 0; j < g->n; j++) {
            double sum = 0;
            for (size_t p = 0; p < g->k; p++)
                sum += (double)a[i * g->lda + p] * (g->packed_b ? b[p * g->n + j] : g->trans_b ? b[j * g->ldb + p] : b[p * g->ldb + j]);
            sum *= g->alpha;
            sum += g->ep.bias ? g->ep.bias[j] : 0;
            sum += g->ep.row_bias ? g->ep.row_bias[i] : 0;
            sum += residual ? residual[i * g->ep.residual_ld + j] : 0;
            c[i * g->ldc + j] = activate(&g->ep, (float)sum);
        }
}
static void gemm(const struct pt_gemm *g, void *workspace, struct pt_threads *threads)
{
    (void)workspace, (void)threads;
    const size_t outer = g->outer ? g->outer : 1, inner = g->inner ? g->inner : 1;
    for (size_t o = 0; o < outer; o++)
        for (size_t i = 0; i < inner; i++) {
            size_t c = o * g->c_stride[0] + i * g->c_stride[1];
            gemm_one(g, g->a + o * g->a_stride[0] + i * g->a_stride[1], (g->packed_b ? g->packed_b : g->b) + o * g->b_stride[0] + i * g->b_stride[1],
                     g->c + c, g->ep.residual ? g->ep.residual + c : NULL);
        }
}

/* --- convolution --------------------------------------------------------------------------------------------------------------------- */

static size_t conv_weights(const struct pt_conv *s)
{
    return s->out_c * (s->in_c / s->groups) * s->kernel_h * s->kernel_w;
}
static enum pt_conv_form conv_pack_form(const struct pt_conv *s)
{
    (void)s;
    return PT_CONV_WINDOWS;
}
static size_t conv_pack_size(const struct pt_conv *s)
{
    return (conv_weights(s) * sizeof(float) + 63) / 64 * 64;
}
static void conv_pack(const struct pt_conv *s, const float *w, float *packed)
{
    if (conv_weights(s))
        memcpy(packed, w, conv_weights(s) * sizeof *w);
}
static size_t conv_workspace(const struct pt_conv *s, int threads)
{
    (void)s, (void)threads;
    return 0;
}
/* Output position * stride + tap * dilation - pad, if it lies in [0, size). */
static bool source(size_t out, size_t stride, size_t tap, size_t dilation, size_t pad, size_t size, size_t *in)
{
    *in = out * stride + tap * dilation - pad; /* wraps below 0 to something >= size */
    return *in < size;
}
static double conv_at(const struct pt_conv *s, const float *x, const float *w, size_t n, size_t oy, size_t ox, size_t oc)
{
    const size_t icg = s->in_c / s->groups, group = oc / (s->out_c / s->groups);
    double sum = 0;
    for (size_t r = 0; r < s->kernel_h; r++)
        for (size_t q = 0; q < s->kernel_w; q++) {
            size_t iy, ix;
            if (!source(oy, s->stride_h, r, s->dilation_h, s->pad_top, s->in_h, &iy) ||
                !source(ox, s->stride_w, q, s->dilation_w, s->pad_left, s->in_w, &ix))
                continue;
            const float *px = x + ((n * s->in_h + iy) * s->in_w + ix) * s->x_ld + group * icg;
            for (size_t c = 0; c < icg; c++)
                sum += (double)px[c] * w[((oc * icg + c) * s->kernel_h + r) * s->kernel_w + q];
        }
    return sum;
}
static void conv(const struct pt_conv *s, const float *x, const float *packed, const struct pt_epilogue *ep, float *y, void *workspace,
                 struct pt_threads *threads)
{
    (void)workspace, (void)threads;
    for (size_t p = 0; p < s->batch * s->out_h * s->out_w; p++)
        for (size_t o = 0; o < s->out_c; o++) {
            double sum = conv_at(s, x, packed, p / s->out_w / s->out_h, p / s->out_w % s->out_h, p % s->out_w, o);
            if (ep && ep->bias)
                sum += ep->bias[o];
            if (ep && ep->residual)
                sum += ep->residual[p * ep->residual_ld + o];
            y[p * s->y_ld + o] = ep ? activate(ep, (float)sum) : (float)sum;
        }
}

/* --- pooling --------------------------------------------------------------------------------------------------------------------------- */

static float pool_at(const struct pt_pool *s, const float *x, size_t n, size_t oy, size_t ox, size_t c)
{
    float max = -INFINITY;
    double sum = 0;
    size_t inside = 0, padded = 0;
    for (size_t r = 0; r < s->kernel_h; r++)
        for (size_t q = 0; q < s->kernel_w; q++) {
            size_t iy, ix;
            padded += oy * s->stride_h + r * s->dilation_h < s->in_h + s->pad_top + s->pad_bottom &&
                      ox * s->stride_w + q * s->dilation_w < s->in_w + s->pad_left + s->pad_right;
            if (!source(oy, s->stride_h, r, s->dilation_h, s->pad_top, s->in_h, &iy) ||
                !source(ox, s->stride_w, q, s->dilation_w, s->pad_left, s->in_w, &ix))
                continue;
            float v = x[((n * s->in_h + iy) * s->in_w + ix) * s->x_ld + c];
            max = max_nan(v, max);
            sum += v;
            inside++;
        }
    if (!s->average)
        return max;
    size_t count = s->count_include_pad ? padded : inside;
    return inside ? (float)(sum / (double)count) : 0;
}
static void pool(const struct pt_pool *s, const float *x, float *y, struct pt_threads *threads)
{
    (void)threads;
    for (size_t p = 0; p < s->batch * s->out_h * s->out_w; p++)
        for (size_t c = 0; c < s->c; c++)
            y[p * s->y_ld + c] = pool_at(s, x, p / s->out_w / s->out_h, p / s->out_w % s->out_h, p % s->out_w, c);
}
static void global_average(size_t pixels, size_t c, const float *x, size_t x_ld, float *y)
{
    for (size_t i = 0; i < c; i++) {
        double sum = 0;
        for (size_t p = 0; p < pixels; p++)
            sum += x[p * x_ld + i];
        y[i] = (float)(sum / (double)pixels);
    }
}

/* --- elementwise --------------------------------------------------------------------------------------------------------------------------- */

#define UNARY(name, expr)                                                                                                                            \
    static void unary_##name(const float *x, float *y, size_t n, float p0, float p1)                                                                 \
    {                                                                                                                                                \
        (void)p0, (void)p1;                                                                                                                          \
        for (size_t i = 0; i < n; i++) {                                                                                                             \
            float v = x[i];                                                                                                                          \
            y[i] = (float)(expr);                                                                                                                    \
        }                                                                                                                                            \
    }
UNARY(relu, max_nan(v, 0))
UNARY(clip, clip(v, p0, p1))
UNARY(leaky_relu, v < 0 ? v * p0 : v)
UNARY(exp, exp((double)v))
UNARY(erf, erf((double)v))
UNARY(tanh, tanh((double)v))
UNARY(sigmoid, 1 / (1 + exp(-(double)v)))
UNARY(gelu, gelu(v))
UNARY(silu, v / (1 + exp(-(double)p0 * v)))
UNARY(hard_sigmoid, clip((float)((double)v *p0 + p1), 0, 1))
UNARY(hard_swish, v *clip((float)((double)v *p0 + p1), 0, 1))
UNARY(sqrt, sqrtf(v))
UNARY(reciprocal, 1 / v)
UNARY(neg, -v)
UNARY(abs, fabsf(v))
#undef UNARY

#define BINARY(name, expr)                                                                                                                           \
    static void binary_##name(const struct pt_binary_args *s)                                                                                        \
    {                                                                                                                                                \
        for (size_t r = 0; r < s->rows; r++)                                                                                                         \
            for (size_t i = 0; i < s->n; i++) {                                                                                                      \
                float a = s->a[r * s->a_ld + i * s->a_step], b = s->b[r * s->b_ld + i * s->b_step];                                                  \
                s->y[r * s->y_ld + i] = expr;                                                                                                        \
            }                                                                                                                                        \
    }
BINARY(add, a + b)
BINARY(sub, a - b)
BINARY(mul, a *b)
BINARY(div, a / b)
BINARY(max, max_nan(a, b))
BINARY(min, min_nan(a, b))
#undef BINARY

/* --- rows -------------------------------------------------------------------------------------------------------------------------------------- */

static void softmax(size_t rows, size_t n, float scale, const float *x, size_t x_ld, const float *mask, size_t mask_ld, float *y, size_t y_ld)
{
    for (size_t r = 0; r < rows; r++) {
        float max = -INFINITY;
        double sum = 0;
        for (size_t i = 0; i < n; i++) {
            y[r * y_ld + i] = x[r * x_ld + i] * scale + (mask ? mask[r * mask_ld + i] : 0);
            max = max_nan(y[r * y_ld + i], max);
        }
        for (size_t i = 0; i < n; i++)
            sum += exp((double)y[r * y_ld + i] - max);
        for (size_t i = 0; i < n; i++)
            y[r * y_ld + i] = (float)(exp((double)y[r * y_ld + i] - max) / sum);
    }
}
static void layernorm(size_t rows, size_t n, const float *x, size_t x_ld, const float *residual, size_t residual_ld, const float *gamma,
                      const float *beta, float eps, float *y, size_t y_ld)
{
    for (size_t r = 0; r < rows; r++) {
        const float *px = x + r * x_ld, *pr = residual ? residual + r * residual_ld : NULL;
        double mean = 0, var = 0;
        for (size_t i = 0; i < n; i++)
            mean += px[i] + (pr ? pr[i] : 0);
        mean /= (double)n;
        for (size_t i = 0; i < n; i++) {
            double d = px[i] + (pr ? pr[i] : 0) - mean;
            var += d * d;
        }
        double inv = 1 / sqrt(var / (double)n + eps);
        for (size_t i = 0; i < n; i++)
            y[r * y_ld + i] = (float)((px[i] + (pr ? pr[i] : 0) - mean) * inv * (gamma ? gamma[i] : 1) + (beta ? beta[i] : 0));
    }
}
static void transpose(size_t rows, size_t cols, const float *x, size_t x_ld, float *y, size_t y_ld)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            y[j * y_ld + i] = x[i * x_ld + j];
}

/* --- attention ------------------------------------------------------------------------------------------------------------------------------- */

static size_t attend_workspace(const struct pt_attend *a)
{
    return (a->n * sizeof(double) + 63) / 64 * 64;
}
static float attend_score(const struct pt_attend *a, size_t i, size_t j)
{
    double sum = 0;
    for (size_t p = 0; p < a->width; p++)
        sum += (double)a->q[i * a->q_ld + p] * a->k[a->k_columns ? p * a->k_ld + j : j * a->k_ld + p];
    float z = (float)(sum * a->scale);
    if (a->bias && !a->bias_last)
        z += a->bias[i * a->bias_ld + j];
    if (a->choice && (a->choice[i * a->choice_ld + j] != 0) != a->keep)
        z = a->fill;
    return a->bias && a->bias_last ? z + a->bias[i * a->bias_ld + j] : z;
}
static void attend(const struct pt_attend *a, void *workspace)
{
    double *w = workspace;
    for (size_t i = 0; i < a->m; i++) {
        double max = -INFINITY, sum = 0;
        for (size_t j = 0; j < a->n; j++) {
            w[j] = attend_score(a, i, j);
            max = w[j] > max ? w[j] : max;
        }
        for (size_t j = 0; j < a->n; j++)
            sum += w[j] = exp(w[j] - max);
        for (size_t p = 0; p < a->v_width; p++) {
            double y = 0;
            for (size_t j = 0; j < a->n; j++)
                y += (a->zero_nan && isnan(sum) ? 0 : w[j] / sum) * a->v[j * a->v_ld + p];
            a->y[i * a->y_ld + p] = (float)y;
        }
    }
}

/* --- quantised integers ---------------------------------------------------------------------------------------------------------------------------
 */

static size_t int_pack_size(size_t k, size_t n)
{
    return (k * n * sizeof(int16_t) + 63) / 64 * 64;
}
static void int_pack(size_t k, size_t n, const int16_t *w, void *packed)
{
    if (k && n)
        memcpy(packed, w, k * n * sizeof *w);
}
static void int_conv(const struct pt_int_conv *s, const int16_t *x, const void *packed, size_t first, size_t count, int32_t *y, size_t y_ld)
{
    const int16_t *w = packed;
    const size_t k = s->kernel_h * s->kernel_w * s->channels;
    for (size_t i = 0; i < count; i++) {
        const int16_t *px = x + (first + i) / s->out_w * s->y_step + (first + i) % s->out_w * s->x_step;
        for (size_t j = 0; j < s->n; j++) {
            uint32_t sum = 0;
            for (size_t p = 0; p < k; p++) {
                size_t tap = p / s->channels, at = tap / s->kernel_w * s->tap_row + tap % s->kernel_w * s->tap_col + p % s->channels;
                sum += (uint32_t)(px[at] * w[j * k + p]);
            }
            y[i * y_ld + j] = (int32_t)sum;
        }
    }
}
static size_t int_depthwise_pack_size(size_t taps, size_t n)
{
    return (n + PT_INT_LANES - 1) / PT_INT_LANES * PT_INT_LANES * taps * sizeof(int16_t);
}
static void int_depthwise_pack(size_t taps, size_t n, const int16_t *w, void *packed)
{
    if (taps && n)
        memcpy(packed, w, taps * n * sizeof *w);
}
static void int_depthwise(const struct pt_int_conv *s, const int16_t *x, const void *packed, size_t first, size_t count, int32_t *y, size_t y_ld)
{
    const int16_t *w = packed;
    const size_t taps = s->kernel_h * s->kernel_w;
    for (size_t i = 0; i < count; i++) {
        const int16_t *px = x + (first + i) / s->out_w * s->y_step + (first + i) % s->out_w * s->x_step;
        for (size_t j = 0; j < s->n; j++) {
            uint32_t sum = 0;
            for (size_t t = 0; t < taps; t++)
                sum += (uint32_t)(px[t / s->kernel_w * s->tap_row + t % s->kernel_w * s->tap_col + j] * w[j * taps + t]);
            y[i * y_ld + j] = (int32_t)sum;
        }
    }
}

static uint8_t to_byte(float v, int32_t zero, int32_t lo, int32_t hi)
{
    return (uint8_t)((v >= (float)(lo - zero) ? v > (float)(hi - zero) ? hi - zero : (int32_t)rintf(v) : lo - zero) + zero);
}
static float int_sum(const int32_t *acc, const int32_t *bias, size_t j)
{
    return (float)(int32_t)((uint32_t)acc[j] + (uint32_t)(bias ? bias[j] : 0));
}
static void requantise(const struct pt_requantise *r)
{
    for (size_t i = 0; i < r->rows; i++)
        for (size_t j = 0; j < r->n; j++)
            r->y[i * r->y_ld + j] = to_byte(int_sum(r->acc + i * r->acc_ld, r->bias, j) * r->scale[j], r->zero, r->lo, r->hi);
}
static void int_floats(const struct pt_int_floats *r)
{
    for (size_t i = 0; i < r->rows; i++)
        for (size_t j = 0; j < r->n; j++) {
            float v = int_sum(r->acc + i * r->acc_ld, r->bias, j) * r->scale[j];
            v += (r->ep.bias ? r->ep.bias[j] : 0) + (r->ep.residual ? r->ep.residual[i * r->ep.residual_ld + j] : 0);
            r->y[i * r->y_ld + j] = activate(&r->ep, v);
        }
}
static int32_t byte_at(const uint8_t *x, bool is_signed, size_t i)
{
    return is_signed ? (int8_t)x[i] : x[i];
}
static void quantise(const float *x, size_t n, float scale, int32_t zero, int32_t lo, int32_t hi, uint8_t *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = to_byte(x[i] / scale, zero, lo, hi);
}
static void dequantise(const uint8_t *x, bool is_signed, size_t n, float scale, int32_t zero, float *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (float)(byte_at(x, is_signed, i) - zero) * scale;
}
static void widen(const uint8_t *x, bool is_signed, size_t n, int32_t zero, int16_t *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (int16_t)(byte_at(x, is_signed, i) - zero);
}
static void int_combine(const struct pt_int_combine *c)
{
    for (size_t i = 0; i < c->n; i++) {
        float a = (float)(byte_at(c->a, c->is_signed, i) - c->a_zero) * c->a_scale, b = (float)(byte_at(c->b, c->is_signed, i) - c->b_zero) * c->b_scale;
        c->y[i] = to_byte((c->adds ? a + b : a * b) / c->y_scale, c->zero, c->lo, c->hi);
    }
}
static void range(const float *x, size_t n, float *lo, float *hi)
{
    for (size_t i = 0; i < n; i++) {
        *lo = x[i] < *lo ? x[i] : *lo;
        *hi = x[i] > *hi ? x[i] : *hi;
    }
}

const struct pt_kernels pt_kernels_ref = {PT_KERNEL_ROW(PT_ISA_REF, "ref")};
