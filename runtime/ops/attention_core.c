/* SPDX-License-Identifier: Apache-2.0
 *
 * attention_core.c: see attention.h. Two ways for the products: packed keys and values and the matrix kernel for many float32 queries; plain loops
 * for float64 and for the few queries of a decoding step, where packing would cost more than it saves.
 */
#include "runtime/kernels/kernels.h"
#include "runtime/ops/attention.h"
#include "runtime/ops/types.h"

#include <math.h>

#define FEW_ROWS 8             /* queries that share a key head */
#define BLOCK_SCORES (1 << 22) /* scores held at a time */
#define MIN_BLOCK 16

struct job {
    const struct pt_attention *a;
    struct pt_threads *threads;
    int64_t b, first, rows;     /* queries [first, first + rows) of batch b */
    char *scores;               /* [heads][rows][kv_len] */
    float *packed_k, *packed_v; /* per key head */
    size_t k_bytes, v_bytes;
};

static bool uses_kernel(const struct pt_attention *a)
{
    return a->dtype == PT_FLOAT && a->q_len * (a->heads / a->kv_heads) >= FEW_ROWS && a->kv_len > 0 && a->width > 0 && a->v_width > 0;
}

static int64_t block_rows(const struct pt_attention *a)
{
    int64_t row = a->heads * (a->kv_len ? a->kv_len : 1), n = row > 0 && row < BLOCK_SCORES ? BLOCK_SCORES / row : 1;
    n = n < MIN_BLOCK ? MIN_BLOCK : n;
    return n < a->q_len ? n : a->q_len;
}

static size_t key_bytes(const struct pt_attention *a)
{
    return uses_kernel(a) ? pt_kernels()->gemm_pack_size((size_t)a->width, (size_t)a->kv_len) : 0;
}

static size_t value_bytes(const struct pt_attention *a)
{
    return uses_kernel(a) ? pt_kernels()->gemm_pack_size((size_t)a->kv_len, (size_t)a->v_width) : 0;
}

size_t pt_attention_packs(const struct pt_attention *a)
{
    size_t bytes;
    return __builtin_mul_overflow(key_bytes(a) + value_bytes(a), (size_t)a->kv_heads, &bytes) ? SIZE_MAX : bytes;
}

size_t pt_attention_scratch(const struct pt_attention *a)
{
    size_t bytes = pt_dtype_size(a->dtype);
    if (__builtin_mul_overflow(bytes, (size_t)a->heads, &bytes) || __builtin_mul_overflow(bytes, (size_t)block_rows(a), &bytes) ||
        __builtin_mul_overflow(bytes, (size_t)a->kv_len, &bytes) || bytes > SIZE_MAX / 4)
        return SIZE_MAX;
    bytes = (bytes + 63) / 64 * 64;
    return __builtin_add_overflow(bytes, pt_attention_packs(a), &bytes) ? SIZE_MAX : bytes;
}

/* --- products ------------------------------------------------------------------------------------------------------------------------- */

static size_t offset(const struct pt_attention_operand *o, int64_t b, int64_t h, int64_t i)
{
    return (size_t)(b * o->stride[0] + h * o->stride[1] + i * o->stride[2]);
}

static void pack_keys(void *arg, size_t begin, size_t end)
{
    const struct job *j = arg;
    const struct pt_attention *a = j->a;
    for (size_t h = begin; h < end; h++)
        pt_kernels()->gemm_pack((size_t)a->width, (size_t)a->kv_len, (const float *)a->k.data + offset(&a->k, j->b, (int64_t)h, 0),
                                (size_t)a->k.stride[2], true, j->packed_k + h * j->k_bytes / sizeof(float));
}

static void pack_values(void *arg, size_t begin, size_t end)
{
    const struct job *j = arg;
    const struct pt_attention *a = j->a;
    for (size_t h = begin; h < end; h++)
        pt_kernels()->gemm_pack((size_t)a->kv_len, (size_t)a->v_width, (const float *)a->v.data + offset(&a->v, j->b, (int64_t)h, 0),
                                (size_t)a->v.stride[2], false, j->packed_v + h * j->v_bytes / sizeof(float));
}

static void kernel_scores(const struct job *j)
{
    const struct pt_attention *a = j->a;
    size_t group = (size_t)(a->heads / a->kv_heads), plane = (size_t)(j->rows * a->kv_len);
    pt_kernels()->gemm(&(struct pt_gemm){.m = (size_t)j->rows,
                                         .n = (size_t)a->kv_len,
                                         .k = (size_t)a->width,
                                         .a = (const float *)a->q.data + offset(&a->q, j->b, 0, j->first),
                                         .lda = (size_t)a->q.stride[2],
                                         .packed_b = j->packed_k,
                                         .c = (float *)(void *)j->scores,
                                         .ldc = (size_t)a->kv_len,
                                         .alpha = (float)a->scale,
                                         .outer = (size_t)a->kv_heads,
                                         .inner = group,
                                         .a_stride = {group * (size_t)a->q.stride[1], (size_t)a->q.stride[1]},
                                         .b_stride = {j->k_bytes / sizeof(float), 0},
                                         .c_stride = {group * plane, plane}},
                       NULL, j->threads);
}

static void kernel_result(const struct job *j)
{
    const struct pt_attention *a = j->a;
    size_t group = (size_t)(a->heads / a->kv_heads), plane = (size_t)(j->rows * a->kv_len);
    pt_kernels()->gemm(&(struct pt_gemm){.m = (size_t)j->rows,
                                         .n = (size_t)a->v_width,
                                         .k = (size_t)a->kv_len,
                                         .a = (const float *)(const void *)j->scores,
                                         .lda = (size_t)a->kv_len,
                                         .packed_b = j->packed_v,
                                         .c = (float *)a->y.data + offset(&a->y, j->b, 0, j->first),
                                         .ldc = (size_t)a->y.stride[2],
                                         .alpha = 1,
                                         .outer = (size_t)a->kv_heads,
                                         .inner = group,
                                         .a_stride = {group * plane, plane},
                                         .b_stride = {j->v_bytes / sizeof(float), 0},
                                         .c_stride = {group * (size_t)a->y.stride[1], (size_t)a->y.stride[1]}},
                       NULL, j->threads);
}

/* Rows are (head, query) of the block. */
#define PLAIN(T, s)                                                                                                                                  \
    static T dot_##s(const T *a, const T *b, int64_t n)                                                                                              \
    {                                                                                                                                                \
        T sum[8] = {0};                                                                                                                              \
        int64_t d = 0;                                                                                                                               \
        for (; d + 8 <= n; d += 8)                                                                                                                   \
            for (int k = 0; k < 8; k++)                                                                                                              \
                sum[k] += a[d + k] * b[d + k];                                                                                                       \
        for (; d < n; d++)                                                                                                                           \
            sum[0] += a[d] * b[d];                                                                                                                   \
        return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));                                                    \
    }                                                                                                                                                \
    static void plain_scores_##s(void *arg, size_t begin, size_t end)                                                                                \
    {                                                                                                                                                \
        const struct job *j = arg;                                                                                                                   \
        const struct pt_attention *a = j->a;                                                                                                         \
        for (int64_t r = (int64_t)begin; r < (int64_t)end; r++) {                                                                                    \
            int64_t h = r / j->rows, kh = h / (a->heads / a->kv_heads);                                                                              \
            const T *q = (const T *)a->q.data + offset(&a->q, j->b, h, j->first + r % j->rows);                                                      \
            const T *k = (const T *)a->k.data + offset(&a->k, j->b, kh, 0);                                                                          \
            T *out = (T *)(void *)j->scores + r * a->kv_len;                                                                                         \
            for (int64_t i = 0; i < a->kv_len; i++, k += a->k.stride[2])                                                                             \
                out[i] = (T)a->scale * dot_##s(q, k, a->width);                                                                                      \
        }                                                                                                                                            \
    }                                                                                                                                                \
    static void plain_result_##s(void *arg, size_t begin, size_t end)                                                                                \
    {                                                                                                                                                \
        const struct job *j = arg;                                                                                                                   \
        const struct pt_attention *a = j->a;                                                                                                         \
        for (int64_t r = (int64_t)begin; r < (int64_t)end; r++) {                                                                                    \
            int64_t h = r / j->rows, kh = h / (a->heads / a->kv_heads);                                                                              \
            const T *p = (const T *)(const void *)j->scores + r * a->kv_len, *v = (const T *)a->v.data + offset(&a->v, j->b, kh, 0);                 \
            T *y = (T *)a->y.data + offset(&a->y, j->b, h, j->first + r % j->rows);                                                                  \
            for (int64_t d = 0; d < a->v_width; d++)                                                                                                 \
                y[d] = 0;                                                                                                                            \
            for (int64_t i = 0; i < a->kv_len; i++, v += a->v.stride[2])                                                                             \
                for (int64_t d = 0; d < a->v_width; d++)                                                                                             \
                    y[d] += p[i] * v[d];                                                                                                             \
        }                                                                                                                                            \
    }
PLAIN(float, f32)
PLAIN(double, f64)

/* --- between the products: softcap, mask, softmax, one row at a time -------------------------------------------------------------------- */

static void softmax_f32(float *x, size_t n)
{
    pt_kernels()->softmax(1, n, 1, x, n, NULL, 0, x, n);
}

static void softmax_f64(double *x, size_t n)
{
    double max = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (size_t i = 0; i < n; i++)
        sum += x[i] = exp(x[i] - max);
    for (size_t i = 0; i < n; i++)
        x[i] /= sum;
}

#define ROW(T, s)                                                                                                                                    \
    static void add_mask_##s(const struct job *j, int64_t h, int64_t i, T *x)                                                                        \
    {                                                                                                                                                \
        const struct pt_attention *a = j->a;                                                                                                         \
        int64_t at = j->b * a->mask_stride[0] + h * a->mask_stride[1] + i * a->mask_stride[2];                                                       \
        bool choice = a->mask->dtype == PT_BOOL;                                                                                                     \
        T block[PT_BLOCK];                                                                                                                           \
        for (int64_t k = 0; k < a->mask_len; k += PT_BLOCK) {                                                                                        \
            int64_t n = a->mask_len - k < PT_BLOCK ? a->mask_len - k : PT_BLOCK;                                                                     \
            pt_load_##s(a->mask, at + k * a->mask_step, a->mask_step ? n : 1, block);                                                                \
            for (int64_t d = 0; d < n; d++) {                                                                                                        \
                T m = block[a->mask_step ? d : 0];                                                                                                   \
                if (!choice)                                                                                                                         \
                    x[k + d] += m;                                                                                                                   \
                else if (m == 0)                                                                                                                     \
                    x[k + d] = -INFINITY;                                                                                                            \
            }                                                                                                                                        \
        }                                                                                                                                            \
        for (int64_t k = a->mask_len; k < a->kv_len; k++)                                                                                            \
            x[k] = -INFINITY;                                                                                                                        \
    }                                                                                                                                                \
    static void keep_##s(const struct job *j, enum pt_attention_stage stage, int64_t h, int64_t i, const T *x)                                       \
    {                                                                                                                                                \
        const struct pt_attention *a = j->a;                                                                                                         \
        if (a->stage_out && a->stage == stage)                                                                                                       \
            memcpy((T *)a->stage_out + ((j->b * a->heads + h) * a->q_len + i) * a->kv_len, x, (size_t)a->kv_len * sizeof *x);                        \
    }                                                                                                                                                \
    static void rows_##s(void *arg, size_t begin, size_t end)                                                                                        \
    {                                                                                                                                                \
        const struct job *j = arg;                                                                                                                   \
        const struct pt_attention *a = j->a;                                                                                                         \
        const T cap = (T)a->softcap;                                                                                                                 \
        for (int64_t r = (int64_t)begin; r < (int64_t)end; r++) {                                                                                    \
            int64_t h = r / j->rows, i = j->first + r % j->rows, n = a->kv_len, seen = a->past + i + 1;                                              \
            T *x = (T *)(void *)j->scores + r * n;                                                                                                   \
            keep_##s(j, PT_ATTENTION_PRODUCT, h, i, x);                                                                                              \
            for (int64_t k = 0; cap > 0 && k < n; k++)                                                                                               \
                x[k] = cap * (T)tanh((double)(x[k] / cap));                                                                                          \
            keep_##s(j, PT_ATTENTION_CAPPED, h, i, x);                                                                                               \
            if (a->mask)                                                                                                                             \
                add_mask_##s(j, h, i, x);                                                                                                            \
            if (!a->causal || seen > n)                                                                                                              \
                seen = n;                                                                                                                            \
            if (a->valid && ((const int64_t *)a->valid->data)[j->b] < seen)                                                                          \
                seen = ((const int64_t *)a->valid->data)[j->b];                                                                                      \
            for (int64_t k = seen < 0 ? 0 : seen; k < n; k++)                                                                                        \
                x[k] = -INFINITY;                                                                                                                    \
            keep_##s(j, PT_ATTENTION_MASKED, h, i, x);                                                                                               \
            softmax_##s(x, (size_t)n);                                                                                                               \
            keep_##s(j, PT_ATTENTION_WEIGHTS, h, i, x);                                                                                              \
        }                                                                                                                                            \
    }
ROW(float, f32)
ROW(double, f64)

/* --- running ---------------------------------------------------------------------------------------------------------------------------- */

static struct job start(const struct pt_attention *a, void *scores, void *packs, struct pt_threads *threads)
{
    struct job j = {.a = a, .threads = threads, .scores = scores, .packed_k = packs, .k_bytes = key_bytes(a), .v_bytes = value_bytes(a)};
    j.packed_v = j.packed_k + j.k_bytes / sizeof(float) * (size_t)a->kv_heads;
    return j;
}

static void pack(struct job *j, pt_range_fn what)
{
    if (uses_kernel(j->a))
        pt_parallel_for(j->threads, (size_t)j->a->kv_heads, 1, what, j);
}

static void multiply_keys(struct job *j)
{
    if (uses_kernel(j->a))
        kernel_scores(j);
    else
        pt_parallel_for(j->threads, (size_t)(j->a->heads * j->rows), 1, j->a->dtype == PT_FLOAT ? plain_scores_f32 : plain_scores_f64, j);
}

static void multiply_values(struct job *j)
{
    if (uses_kernel(j->a))
        kernel_result(j);
    else
        pt_parallel_for(j->threads, (size_t)(j->a->heads * j->rows), 1, j->a->dtype == PT_FLOAT ? plain_result_f32 : plain_result_f64, j);
}

void pt_attention_run(const struct pt_attention *a, void *scratch, struct pt_threads *threads)
{
    int64_t step = block_rows(a);
    size_t scores = (size_t)(a->heads * step * a->kv_len) * pt_dtype_size(a->dtype);
    struct job j = start(a, scratch, (char *)scratch + (scores + 63) / 64 * 64, threads);
    for (j.b = 0; j.b < a->batch; j.b++) {
        pack(&j, pack_keys);
        pack(&j, pack_values);
        for (j.first = 0; j.first < a->q_len; j.first += step) {
            j.rows = a->q_len - j.first < step ? a->q_len - j.first : step;
            multiply_keys(&j);
            pt_parallel_for(threads, (size_t)(a->heads * j.rows), 4, a->dtype == PT_FLOAT ? rows_f32 : rows_f64, &j);
            multiply_values(&j);
        }
    }
}

static size_t plane(const struct pt_attention *a)
{
    return (size_t)(a->heads * a->q_len * a->kv_len) * pt_dtype_size(a->dtype);
}

void pt_attention_scores(const struct pt_attention *a, void *scores, void *scratch, struct pt_threads *threads)
{
    struct job j = start(a, scores, scratch, threads);
    j.rows = a->q_len;
    for (j.b = 0; j.b < a->batch; j.b++, j.scores += plane(a)) {
        pack(&j, pack_keys);
        multiply_keys(&j);
    }
}

void pt_attention_apply(const struct pt_attention *a, const void *weights, void *scratch, struct pt_threads *threads)
{
    struct job j = start(a, (void *)(uintptr_t)weights, scratch, threads);
    j.rows = a->q_len;
    for (j.b = 0; j.b < a->batch; j.b++, j.scores += plane(a)) {
        pack(&j, pack_values);
        multiply_values(&j);
    }
}
