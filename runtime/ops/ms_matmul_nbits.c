/* SPDX-License-Identifier: Apache-2.0
 *
 * ms_matmul_nbits.c: com.microsoft's MatMulNBits: A times the transpose of a matrix [N, K] of 2, 4 or 8 bits in blocks along K, each with a scale and
 * a zero point. Inputs: A, B [N, blocks, bytes of a block], scales, zero_points (packed like B, or of A's type), g_idx, bias.
 *
 * B stays as small as it is: strips of it are unpacked and packed for the float kernel, on the stack, once for all rows of A.
 */
#include "runtime/kernels/kernels.h"
#include "runtime/ops/quant.h"

struct params {
    int64_t rows, n, k, bits, block, blocks;
};

static int check(struct pt_op_ctx *c, int i, const char *what, int64_t count, uint32_t types)
{
    const struct pt_tensor *t = pt_op_in(c, i);
    int rc = pt_quant_type(c, i, what, types);
    if (rc < 0 || !t || pt_tensor_count(t) == count)
        return rc;
    return pt_op_fail(c, PT_EINVAL, "input %d (%s) is %s, must have %lld values", i, what, PT_SHAPE(t), (long long)count);
}

static int infer(struct pt_op_ctx *c)
{
    struct params *p = c->params;
    const struct pt_tensor *a = c->in[0], *zeros = pt_op_in(c, 3);
    int64_t dims[PT_MAX_RANK];
    int rc;
    if ((rc = pt_attr_int(c, "K", 0, 1, INT32_MAX, &p->k)) < 0 || (rc = pt_attr_int(c, "N", 0, 1, INT32_MAX, &p->n)) < 0 ||
        (rc = pt_attr_int(c, "bits", 4, 2, 8, &p->bits)) < 0 || (rc = pt_attr_int(c, "block_size", 0, 16, INT32_MAX, &p->block)) < 0)
        return rc;
    if (p->k < 1 || p->n < 1 || p->block < 16 || (p->block & (p->block - 1)) || (p->bits != 2 && p->bits != 4 && p->bits != 8))
        return pt_op_fail(c, PT_EINVAL,
                          "attributes K = %lld, N = %lld, bits = %lld, block_size = %lld: must be at least 1, at least 1, one of 2, 4, 8, "
                          "and a power of two from 16 on",
                          (long long)p->k, (long long)p->n, (long long)p->bits, (long long)p->block);
    if (pt_op_in(c, 4))
        return pt_op_fail(c, PT_EUNSUPPORTED, "input 4 (g_idx) is not supported");
    if (a->rank < 1 || a->dims[a->rank - 1] != p->k)
        return pt_op_fail(c, PT_EINVAL, "input %s must end in K = %lld", PT_SHAPE(a), (long long)p->k);
    p->blocks = (p->k + p->block - 1) / p->block;
    bool packed = zeros && zeros->dtype == PT_UINT8;
    if ((rc = check(c, 1, "B", p->n * p->blocks * (p->block * p->bits / 8), PT_T(PT_UINT8))) < 0 ||
        (rc = check(c, 2, "scales", p->n * p->blocks, PT_T(a->dtype))) < 0 ||
        (rc = check(c, 3, "zero_points", packed ? p->n * ((p->blocks * p->bits + 7) / 8) : p->n * p->blocks, PT_T(PT_UINT8) | PT_T(a->dtype))) < 0 ||
        (rc = check(c, 5, "bias", p->n, PT_T(a->dtype))) < 0)
        return rc;
    for (int i = 0; i < a->rank; i++)
        dims[i] = a->dims[i];
    dims[a->rank - 1] = p->n;
    p->rows = pt_dims_product(a->dims, a->rank - 1);
    pt_op_set_out(c, 0, a->dtype, a->rank, dims);
    return PT_OK;
}

static int packed_at(const uint8_t *data, int64_t i, int64_t bits)
{
    int64_t at = i * bits;
    return data[at / 8] >> (at % 8) & ((1 << bits) - 1);
}

#define STRIP 256  /* of K */
#define COLUMNS 32 /* of B: whole panels of every table of kernels */

/* n weights from element `at` of b on, as a byte each. */
static void split(const uint8_t *b, int64_t at, int64_t n, int64_t bits, uint8_t *restrict out)
{
    int64_t i = 0;
    for (const uint8_t *from = b + at / 2; bits == 4 && at % 2 == 0 && i + 1 < n; i += 2, from++) {
        out[i] = *from & 15;
        out[i + 1] = *from >> 4;
    }
    for (; i < n; i++)
        out[i] = (uint8_t)packed_at(b, at + i, bits);
}

/* w[0..n) <- weights k.. of column j; n <= STRIP */
static void unpack(const struct pt_op_ctx *c, const struct params *p, int64_t j, int64_t k, int64_t n, float *w)
{
    const struct pt_tensor *zeros = pt_op_in(c, 3);
    const uint8_t *b = (const uint8_t *)c->in[1]->data + j * p->blocks * (p->block * p->bits / 8);
    uint8_t bytes[STRIP];
    split(b, k, n, p->bits, bytes);
    for (int64_t i = 0, end; i < n; i = end) {
        int64_t g = (k + i) / p->block;
        float scale = ((const float *)c->in[2]->data)[j * p->blocks + g];
        end = (g + 1) * p->block - k < n ? (g + 1) * p->block - k : n;
        if (zeros && zeros->dtype != PT_UINT8) {
            float zero = ((const float *)zeros->data)[j * p->blocks + g];
            for (int64_t at = i; at < end; at++)
                w[at] = ((float)bytes[at] - zero) * scale;
            continue;
        }
        int zero = zeros ? packed_at((const uint8_t *)zeros->data + j * ((p->blocks * p->bits + 7) / 8), g, p->bits) : 1 << (p->bits - 1);
        pt_kernels()->dequantise(bytes + i, false, (size_t)(end - i), scale, zero, w + i);
    }
}

/* Adds a strip of K to `n` columns from j on; the first begins them. */
static void add_strip(const struct pt_op_ctx *c, int64_t j, int64_t n, int64_t k, int64_t depth)
{
    const struct params *p = c->params;
    const struct pt_tensor *bias = pt_op_in(c, 5);
    float w[COLUMNS * STRIP], *y = (float *)c->out[0]->data + j;
    _Alignas(64) float packed[COLUMNS * STRIP];
    for (int64_t i = 0; i < n; i++)
        unpack(c, p, j + i, k, depth, w + i * depth);
    pt_kernels()->gemm_pack((size_t)depth, (size_t)n, w, (size_t)depth, true, packed);
    struct pt_gemm g = {.m = (size_t)p->rows,
                        .n = (size_t)n,
                        .k = (size_t)depth,
                        .a = (const float *)c->in[0]->data + k,
                        .lda = (size_t)p->k,
                        .packed_b = packed,
                        .c = y,
                        .ldc = (size_t)p->n,
                        .alpha = 1};
    if (k == 0)
        g.ep.bias = bias ? (const float *)bias->data + j : NULL;
    else
        g.ep.residual = y;
    g.ep.residual_ld = (size_t)p->n;
    pt_kernels()->gemm(&g, NULL, NULL);
}

static void columns(void *arg, size_t begin, size_t end)
{
    const struct pt_op_ctx *c = arg;
    const struct params *p = c->params;
    for (int64_t j = (int64_t)begin * COLUMNS; j < (int64_t)end * COLUMNS && j < p->n; j += COLUMNS)
        for (int64_t k = 0; k < p->k; k += STRIP)
            add_strip(c, j, p->n - j < COLUMNS ? p->n - j : COLUMNS, k, p->k - k < STRIP ? p->k - k : STRIP);
}

static int run(struct pt_op_ctx *c)
{
    const struct params *p = c->params;
    pt_parallel_for(c->threads, (size_t)(p->n + COLUMNS - 1) / COLUMNS, 1, columns, c);
    return PT_OK;
}

static uint64_t macs(const struct pt_op_ctx *c)
{
    return (uint64_t)pt_tensor_count(c->out[0]) * (uint64_t)((const struct params *)c->params)->k;
}

const struct pt_op pt_op_ms_matmul_nbits = {.domain = "com.microsoft",
                                            .type = "MatMulNBits",
                                            .since = {1},
                                            .min_in = 3,
                                            .max_in = 6,
                                            .max_out = 1,
                                            .types = {PT_T(PT_FLOAT) | PT_TS_HALF, PT_T(PT_UINT8), PT_T(PT_FLOAT) | PT_TS_HALF,
                                                      PT_T(PT_FLOAT) | PT_TS_HALF | PT_T(PT_UINT8) | PT_T(PT_INT32)},
                                            .flags = PT_OP_WIDEN,
                                            .params_size = sizeof(struct params),
                                            .infer = infer,
                                            .run = run,
                                            .macs = macs};
