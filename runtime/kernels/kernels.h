/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels.h: the arithmetic, one table of functions per instruction set. A kernel knows nothing of graphs.
 *
 *     const struct pt_kernels *k = pt_kernels();          // best of this CPU, or what PINTLE_ISA asks for
 *     float *packed = pt_alloc_aligned(k->gemm_pack_size(K, N));
 *     k->gemm_pack(K, N, w, N, false, packed);            // once
 *     k->gemm(&(struct pt_gemm){.m = M, .n = N, .k = K, .a = x, .lda = K, .packed_b = packed, .c = y, .ldc = N, .alpha = 1}, NULL, threads);
 *
 * All data is float32. Pointers need no alignment beyond a float's, except packed weights and workspaces: 64 bytes. Strides ("ld", leading
 * dimension) count elements. Sizes may be zero: nothing is read or written then. Inputs and outputs do not overlap unless said. No kernel
 * allocates, blocks or fails: shapes are checked by who calls. Kernels with a `struct pt_threads *` (NULL is fine) split their work
 * themselves; all others run on the calling thread and are split by the caller, by rows, with pt_parallel_for().
 *
 * Images are channels-last, NHWC: x[((n * H + y) * W + x) * C + c]. In that layout a convolution is the same register tile as a matrix product
 * (rows = pixels, columns = output channels), every row is read in place, and pooling, depthwise and Winograd transforms are vectors
 * of channels. Weights are packed for one table and only that table can use them.
 *
 * The reference table is plain scalar C that follows the definitions; tests hold every other table against it.
 */
#ifndef PT_RUNTIME_KERNELS_H
#define PT_RUNTIME_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"

struct pt_threads;

/* What happens to a result before it is stored: y = act(alpha * sum + bias[column] + row_bias[row] + residual[row][column]). */
enum pt_act {
    PT_ACT_NONE,
    PT_ACT_RELU, /* max(x, 0); NaN stays NaN */
    PT_ACT_CLIP, /* min(max(x, lo), hi); NaN stays NaN */
    PT_ACT_GELU  /* x/2 (1 + erf(x / sqrt 2)) */
};
struct pt_epilogue {
    const float *bias;     /* one per column (output channel) or NULL */
    const float *row_bias; /* one per row or NULL; GEMM without batch only */
    const float *residual; /* same shape as the result, or NULL; may be the result's own memory */
    size_t residual_ld;    /* between rows (pixels) */
    enum pt_act act;
    float lo, hi; /* PT_ACT_CLIP */
};

/* --- matrix product ----------------------------------------------------------------------------------------------------------------
 * C[m x n] = act(alpha * A[m x k] B[k x n] + ...), A and C row-major. B is one of
 *   packed_b   made by gemm_pack for this k and n: constant weights;
 *   b, ldb     row-major [k x n], or with trans_b [n x k]: packed panel by panel into the workspace.
 * outer x inner products share one call: product (o, i) adds o * stride[0] + i * stride[1] to a, b (also packed_b: elements), c and
 * the residual (by c's strides). A stride of 0 repeats an operand. 0 counts as 1 for outer and inner. With them attention
 * reads Q, K, V and writes its result in the [batch, sequence, head, width] order they have: no transposes.
 * k = 0 gives act(bias + ...). Sums are in float32, in an order that does not depend on the number of threads. */
struct pt_gemm {
    size_t m, n, k;
    const float *a;
    size_t lda;
    const float *b;
    size_t ldb;
    bool trans_b;
    const float *packed_b;
    float *c;
    size_t ldc;
    float alpha;
    size_t outer, inner;
    size_t a_stride[2], b_stride[2], c_stride[2];
    struct pt_epilogue ep;
};

/* --- 2-D convolution, NHWC ------------------------------------------------------------------------------------------------------------
 * y[n, oy, ox, o] = act(bias[o] + sum over r, s, c of w[o, c, r, s] * x[n, oy * stride_h + r * dilation_h - pad_top, ..., g * in_c / groups + c]
 * ...). out_h and out_w are the caller's (ONNX formula); taps outside the image read 0, whatever the pads at the end. x_ld and y_ld: elements between
 * pixels (>= in_c, out_c), so that a tensor can be a slice of channels of a wider one. */
struct pt_conv {
    size_t batch, in_h, in_w, in_c, out_h, out_w, out_c;
    size_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
    size_t groups; /* divides in_c and out_c; in_c / groups = out_c / groups = 1 takes the depthwise path */
    size_t x_ld, y_ld;
    bool exact; /* no Winograd: errors of a plain sum (Winograd's are up to about 1e-5 of the largest value) */
};

enum pt_conv_form { PT_CONV_WINDOWS, PT_CONV_DEPTHWISE, PT_CONV_WINOGRAD };

/* --- pooling, NHWC ---------------------------------------------------------------------------------------------------------------------
 * Windows are cut at the image's border; a window wholly outside gives -inf (max) or 0 (average). max: NaN wins. */
struct pt_pool {
    size_t batch, in_h, in_w, c, out_h, out_w;
    size_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left, pad_bottom, pad_right;
    size_t x_ld, y_ld;
    bool average;
    bool count_include_pad; /* average: divide by the taps inside the padded image, not inside the image */
};

/* --- attention: one head -----------------------------------------------------------------------------------------------------------
 * y[m x v_width] = softmax(z) v over n keys, z[m x n] = scale q k' + bias; where choice is given and (choice != 0) != keep, z is `fill` (before the
 * bias is added with bias_last, else after). Scores of one block of keys are there at a time. A row of z that is all -inf, or has a NaN or +inf,
 * gives NaN, as the formula does; with zero_nan its weights are 0. Values are weighed before they are divided by the sum of the weights: with
 * |v| above FLT_MAX / n they may overflow. */
struct pt_attend {
    size_t m, n, width, v_width; /* n and width are not 0 */
    const float *q;
    size_t q_ld;
    const float *k;
    size_t k_ld;
    bool k_columns; /* a key is a column of k, else a row */
    const float *v;
    size_t v_ld;
    float scale, fill;
    const float *bias; /* [m x n] or NULL; bias_ld 0 repeats one row */
    size_t bias_ld;
    const uint8_t *choice; /* [m x n] or NULL; choice_ld 0 repeats one row */
    size_t choice_ld;
    bool keep, bias_last, zero_nan;
    float *y;
    size_t y_ld;
};

/* --- products of quantised integers ----------------------------------------------------------------------------------------------
 * Operands of 8 bits less their zero points, as int16: pairs of products are summed in int32, modulo 2^32 from there on, so nothing saturates and
 * every table gives the same. A convolution whose image has its borders: y[p][j] = sum over taps (r, q) and channels c of
 *     x[p / out_w * y_step + p % out_w * x_step + r * tap_row + q * tap_col + c] * w[j][(r * kernel_w + q) * channels + c].
 * A matrix product is one with a single tap. `channels` is even: who has an odd number adds one of zeros. */
#define PT_INT_BAND 96
#define PT_INT_LANES 32 /* a depthwise convolution reads so many channels at once: an image has a multiple of them in each pixel */
struct pt_int_conv {
    size_t out_w, kernel_h, kernel_w, channels, n;
    size_t y_step, x_step, tap_row, tap_col; /* elements between neighbours */
};
/* Integers to quantised bytes: y[r][j] = saturate(round((acc[r][j] + bias[j]) * scale[j]) + zero), half to even; NaN is the lowest. */
struct pt_requantise {
    size_t rows, n;
    const int32_t *acc;
    size_t acc_ld;
    const int32_t *bias; /* or NULL */
    const float *scale;
    int32_t zero, lo, hi; /* the range of the type */
    uint8_t *y;
    size_t y_ld;
};

/* The same to floats: y[r][j] = act((acc[r][j] + bias[j]) * scale[j] + ep.bias[j] + ep.residual[r][j]). */
struct pt_int_floats {
    size_t rows, n;
    const int32_t *acc;
    size_t acc_ld;
    const int32_t *bias; /* or NULL */
    const float *scale;
    struct pt_epilogue ep; /* without row_bias */
    float *y;
    size_t y_ld;
};

/* Two quantised operands: y[i] = saturate(round(((a[i] - a_zero) a_scale op (b[i] - b_zero) b_scale) / y_scale) + zero), op is + or *, each step rounded
 * to float as its own operator would. */
struct pt_int_combine {
    size_t n;
    const uint8_t *a, *b;
    bool is_signed, adds;
    int32_t a_zero, b_zero;
    float a_scale, b_scale, y_scale;
    int32_t zero, lo, hi;
    uint8_t *y;
};

/* --- elementwise -------------------------------------------------------------------------------------------------------------------------
 * Relative error against the exact result <= 2e-6 (gelu far below 0: 2e-5) except where the result underflows; NaN in, NaN out; +-inf
 * as IEEE. y may be x. */
#define PT_UNARY_KERNELS(X)                                                                                                                          \
    X(PT_UNARY_RELU, relu)             /* max(x, 0) */                                                                                               \
    X(PT_UNARY_CLIP, clip)             /* min(max(x, p0), p1) */                                                                                     \
    X(PT_UNARY_LEAKY_RELU, leaky_relu) /* x < 0 ? p0 x : x */                                                                                        \
    X(PT_UNARY_EXP, exp)                                                                                                                             \
    X(PT_UNARY_ERF, erf)                                                                                                                             \
    X(PT_UNARY_TANH, tanh)                                                                                                                           \
    X(PT_UNARY_SIGMOID, sigmoid)                                                                                                                     \
    X(PT_UNARY_GELU, gelu)                 /* x/2 (1 + erf(x / sqrt 2)) */                                                                           \
    X(PT_UNARY_SILU, silu)                 /* x sigmoid(p0 x) */                                                                                     \
    X(PT_UNARY_HARD_SIGMOID, hard_sigmoid) /* min(max(p0 x + p1, 0), 1) */                                                                           \
    X(PT_UNARY_HARD_SWISH, hard_swish)     /* x hard_sigmoid(x) with p0 = 1/6, p1 = 1/2 given */                                                     \
    X(PT_UNARY_SQRT, sqrt)                                                                                                                           \
    X(PT_UNARY_RECIPROCAL, reciprocal)                                                                                                               \
    X(PT_UNARY_NEG, neg)                                                                                                                             \
    X(PT_UNARY_ABS, abs)
#define PT_BINARY_KERNELS(X)                                                                                                                         \
    X(PT_BINARY_ADD, add)                                                                                                                            \
    X(PT_BINARY_SUB, sub)                                                                                                                            \
    X(PT_BINARY_MUL, mul)                                                                                                                            \
    X(PT_BINARY_DIV, div)                                                                                                                            \
    X(PT_BINARY_MAX, max) /* NaN if either is */                                                                                                     \
    X(PT_BINARY_MIN, min)

#define PT_X(id, name) id,
enum pt_unary { PT_UNARY_KERNELS(PT_X) PT_UNARY_COUNT };
enum pt_binary { PT_BINARY_KERNELS(PT_X) PT_BINARY_COUNT };
#undef PT_X

/* y[i] = f(x[i]) for i < n, contiguous. p0, p1: the parameters named above, else ignored. */
typedef void (*pt_unary_fn)(const float *x, float *y, size_t n, float p0, float p1);

/* y[r][i] = f(a[r * a_ld + i * a_step], b[r * b_ld + i * b_step]), steps 0 or 1, y[r] at r * y_ld. Covers same shape (one row), scalars
 * (step 0), a row for all (ld 0) and a column for all (step 0, ld 1). y may be a or b where that operand has y's own ld and step 1. */
struct pt_binary_args {
    size_t rows, n;
    const float *a;
    size_t a_ld, a_step;
    const float *b;
    size_t b_ld, b_step;
    float *y;
    size_t y_ld;
};
typedef void (*pt_binary_fn)(const struct pt_binary_args *args);

struct pt_kernels {
    enum pt_isa isa;
    const char *name; /* pt_isa_text(isa) */

    /* B[k x n] (trans: [n x k]) in the panel order of this table. Bytes, a multiple of 64; 0 for an empty matrix. */
    size_t (*gemm_pack_size)(size_t k, size_t n);
    void (*gemm_pack)(size_t k, size_t n, const float *b, size_t ldb, bool trans, float *packed);
    /* Bytes that gemm needs beside its operands on a pool of `threads`; 0 with packed_b. Depends on m, n, k and outer * inner only. */
    size_t (*gemm_workspace)(const struct pt_gemm *g, int threads);
    void (*gemm)(const struct pt_gemm *g, void *workspace, struct pt_threads *threads);

    /* w is ONNX's [out_c, in_c / groups, kernel_h, kernel_w]. conv_pack_form says how it will be packed: the same weights packed for another
     * shape of equal form are the same bytes (batch, pads and leading dimensions never matter, the image's size sometimes). Bytes
     * are multiples of 64. */
    enum pt_conv_form (*conv_pack_form)(const struct pt_conv *s);
    size_t (*conv_pack_size)(const struct pt_conv *s);
    void (*conv_pack)(const struct pt_conv *s, const float *w, float *packed);
    size_t (*conv_workspace)(const struct pt_conv *s, int threads);
    /* ep may be NULL; row_bias is not used; residual_ld is between pixels. */
    void (*conv)(const struct pt_conv *s, const float *x, const float *packed, const struct pt_epilogue *ep, float *y, void *workspace,
                 struct pt_threads *threads);

    void (*pool)(const struct pt_pool *s, const float *x, float *y, struct pt_threads *threads);
    /* y[c] = mean over `pixels` of x[pixel * x_ld + c]: one image. */
    void (*global_average)(size_t pixels, size_t c, const float *x, size_t x_ld, float *y);

    pt_unary_fn unary[PT_UNARY_COUNT];
    pt_binary_fn binary[PT_BINARY_COUNT];

    /* y[r] = softmax(scale * x[r] + mask[r]) over n; mask may be NULL, mask_ld 0 repeats one row. y may be x. A row whose every
     * entry is -inf gives NaN, as the formula does. */
    void (*softmax)(size_t rows, size_t n, float scale, const float *x, size_t x_ld, const float *mask, size_t mask_ld, float *y, size_t y_ld);
    /* z = x[r] (+ residual[r] if not NULL); y[r] = (z - mean) / sqrt(variance + eps) * gamma + beta over n; gamma, beta may be NULL. y may be x
     * or residual. Variance is the mean of squared differences (two passes). */
    void (*layernorm)(size_t rows, size_t n, const float *x, size_t x_ld, const float *residual, size_t residual_ld, const float *gamma,
                      const float *beta, float eps, float *y, size_t y_ld);
    /* Bytes, a multiple of 64; depends on the sizes only. */
    size_t (*attend_workspace)(const struct pt_attend *a);
    void (*attend)(const struct pt_attend *a, void *workspace);
    /* w is [n][k], k = kernel_h * kernel_w * channels. Bytes are a multiple of 64. Columns from j on, a multiple of PT_INT_LANES, begin at int16 j *
     * k. */
    size_t (*int_pack_size)(size_t k, size_t n);
    void (*int_pack)(size_t k, size_t n, const int16_t *w, void *packed);
    /* Pixels [first, first + count), count <= PT_INT_BAND, into the rows of y. */
    void (*int_conv)(const struct pt_int_conv *s, const int16_t *x, const void *packed, size_t first, size_t count, int32_t *y, size_t y_ld);
    /* One tap-wise sum for each of n channels: y[p][j] = sum over taps of x[p / out_w * y_step + ... + j] * w[j][tap]. Packed channels from j on, a
     * multiple of PT_INT_LANES, begin at j / PT_INT_LANES * int_depthwise_pack_size(taps, PT_INT_LANES). */
    size_t (*int_depthwise_pack_size)(size_t taps, size_t n);
    void (*int_depthwise_pack)(size_t taps, size_t n, const int16_t *w, void *packed);
    void (*int_depthwise)(const struct pt_int_conv *s, const int16_t *x, const void *packed, size_t first, size_t count, int32_t *y, size_t y_ld);
    void (*requantise)(const struct pt_requantise *r);
    void (*int_floats)(const struct pt_int_floats *r);
    /* y[i] = saturate(round(x[i] / scale) + zero), half to even; NaN is the lowest. lo, hi: the range of the type. */
    void (*quantise)(const float *x, size_t n, float scale, int32_t zero, int32_t lo, int32_t hi, uint8_t *y);
    void (*dequantise)(const uint8_t *x, bool is_signed, size_t n, float scale, int32_t zero, float *y); /* (x[i] - zero) * scale */
    void (*widen)(const uint8_t *x, bool is_signed, size_t n, int32_t zero, int16_t *y);                 /* x[i] - zero */
    void (*int_combine)(const struct pt_int_combine *c);
    /* Widens [*lo, *hi] to hold x; NaN does not count. */
    void (*range)(const float *x, size_t n, float *lo, float *hi);
    /* y[j * y_ld + i] = x[i * x_ld + j] for i < rows, j < cols: NCHW <-> NHWC of one image is [C x HW] <-> [HW x C]. */
    void (*transpose)(size_t rows, size_t cols, const float *x, size_t x_ld, float *y, size_t y_ld);
};

/* The table in use: pt_cpu_isa()'s. */
const struct pt_kernels *pt_kernels(void);
/* The table of that level whatever the environment says, or NULL when this build or CPU lacks it. For tests and benchmarks. */
const struct pt_kernels *pt_kernels_of(enum pt_isa isa);

/* y = x with axes permuted, dense row-major, any element size in {1, 2, 4, 8} bytes: dims are x's, y's axis i is x's axis perm[i].
 * Rank <= 16. Merges axes that stay together and transposes 4-byte planes by blocks. */
void pt_permute(const void *x, void *y, size_t elem_bytes, int rank, const int64_t *dims, const int *perm, struct pt_threads *threads);

#endif
