/* SPDX-License-Identifier: Apache-2.0
 *
 * lower_int_winograd.c: 3 x 3 convolution of integers with stride 1 by F(2 x 2, 3 x 3): 16 instead of 36 multiplications per 4 results and pair of
 * channels. Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2015): Y = A' [(G g G') . (B' d B)] A.
 *
 * G has halves, so filters are transformed with 2 G and every result comes out four times as large. That is exact: transformed images are below 4 *
 * 255 and filters below 9 * 255, which int16 holds; sums are modulo 2^32, and where no true sum reaches 2^29 the fourfold one has not lost a bit, so
 * that a shift gives the sum that the plain kernel has. Sizes for which that cannot be promised are left to it.
 *
 * A block of tiles is a task: their patches become 16 matrices [tiles x channels], which the integer kernel multiplies with 16 packed ones, a slab of
 * columns at a time.
 */
#include "runtime/compile/lower_int_winograd.h"

#include <string.h>

#define SLAB 32              /* columns */
#define V_BYTES (384 * 1024) /* of a block's transformed patches: they stay in L2 */
#define FEW 32               /* channels, on either side, below which transforms cost more than they save */
#define FEW_TILES 12         /* of a block: the kernel's tiles have some rows */

typedef int16_t s8 __attribute__((vector_size(16)));
typedef int16_t s8_mem __attribute__((vector_size(16), aligned(2), may_alias));
typedef uint32_t u4 __attribute__((vector_size(16)));
typedef int32_t i4 __attribute__((vector_size(16)));
typedef int32_t i4_mem __attribute__((vector_size(16), aligned(4), may_alias));

void pt_int_wino_init(struct pt_int_wino *w, const struct pt_kernels *k, size_t channels, size_t n, size_t out_h, size_t out_w, int32_t most,
                      size_t threads)
{
    const size_t tiles_w = (out_w + 1) / 2, tiles = tiles_w * ((out_h + 1) / 2);
    *w = (struct pt_int_wino){.channels = channels, .n = n, .out_h = out_h, .out_w = out_w, .tiles_w = tiles_w};
    if (channels % 8 || n % 8 || channels < FEW || n < FEW || tiles < FEW_TILES || tiles * 16 * 4 > out_h * out_w * 9 * 3 ||
        channels > (1u << 29) / (9 * 255 * (size_t)most))
        return;
    size_t most_tiles = V_BYTES / (16 * channels * sizeof(int16_t));
    most_tiles = most_tiles < FEW_TILES ? FEW_TILES : most_tiles > PT_INT_BAND ? PT_INT_BAND : most_tiles;
    w->tiles = tiles;
    w->blocks = (tiles + most_tiles - 1) / most_tiles;
    while (threads > 1 && w->blocks < 2 * threads && tiles / (w->blocks + 1) >= FEW_TILES)
        w->blocks++;
    w->plane_bytes = k->int_pack_size(channels, n);
}

static size_t block_tiles(const struct pt_int_wino *w)
{
    return (w->tiles + w->blocks - 1) / w->blocks;
}

/* --- filters ------------------------------------------------------------------------------------------------------------------------------ */

size_t pt_int_wino_pack_size(const struct pt_int_wino *w)
{
    return 16 * w->plane_bytes;
}

/* 2 G, one axis: row i of what three values become. */
static int32_t filter_row(int i, int32_t a, int32_t b, int32_t c)
{
    return i == 0 ? 2 * a : i == 1 ? a + b + c : i == 2 ? a - b + c : 2 * c;
}

/* Element (i, j) of the transformed filter; g: taps, `step` apart. */
static int16_t filter_at(int i, int j, const int16_t *g, size_t step)
{
    int32_t t[3];
    for (size_t r = 0; r < 3; r++)
        t[r] = filter_row(j, g[3 * r * step], g[(3 * r + 1) * step], g[(3 * r + 2) * step]);
    return (int16_t)filter_row(i, t[0], t[1], t[2]);
}

void pt_int_wino_pack(const struct pt_int_wino *w, const struct pt_kernels *k, const int16_t *filters, int16_t *work, void *packed)
{
    for (int p = 0; p < 16; p++) {
        for (size_t o = 0; o < w->n; o++)
            for (size_t c = 0; c < w->channels; c++)
                work[o * w->channels + c] = filter_at(p / 4, p % 4, filters + o * 9 * w->channels + c, w->channels);
        k->int_pack(w->channels, w->n, work, (char *)packed + (size_t)p * w->plane_bytes);
    }
}

/* --- patches and results ---------------------------------------------------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) void patch_axis(s8 *d, size_t step)
{
    const s8 a = d[0], b = d[step], c = d[2 * step], e = d[3 * step];
    d[0] = a - c;
    d[step] = b + c;
    d[2 * step] = c - b;
    d[3 * step] = b - e;
}

/* The 4 x 4 patch at x into place t of 16 matrices, `plane` elements apart. */
static void transform_patch(const struct pt_int_wino *w, const int16_t *x, int16_t *to, size_t plane)
{
    for (size_t c = 0; c < w->channels; c += 8) {
        s8 d[16];
#pragma GCC unroll 16
        for (size_t i = 0; i < 16; i++)
            d[i] = *(const s8_mem *)(x + i / 4 * w->row + i % 4 * w->channels + c);
#pragma GCC unroll 4
        for (size_t i = 0; i < 4; i++)
            patch_axis(d + 4 * i, 1);
#pragma GCC unroll 4
        for (size_t i = 0; i < 4; i++)
            patch_axis(d + i, 4);
#pragma GCC unroll 16
        for (size_t i = 0; i < 16; i++)
            *(s8_mem *)(to + i * plane + c) = d[i];
    }
}

/* The 2 x 2 results of a tile, from 16 products `plane` apart, into two rows of acc. */
static void transform_result(const int32_t *m, size_t plane, size_t n, int32_t *top, int32_t *bottom)
{
    for (size_t j = 0; j < n; j += 4) {
        u4 t[4][2];
#pragma GCC unroll 4
        for (size_t r = 0; r < 4; r++) {
            const u4 a = (u4) * (const i4_mem *)(m + (4 * r) * plane + j), b = (u4) * (const i4_mem *)(m + (4 * r + 1) * plane + j),
                     c = (u4) * (const i4_mem *)(m + (4 * r + 2) * plane + j), e = (u4) * (const i4_mem *)(m + (4 * r + 3) * plane + j);
            t[r][0] = a + b + c;
            t[r][1] = b - c - e;
        }
#pragma GCC unroll 2
        for (size_t q = 0; q < 2; q++) {
            *(i4_mem *)(top + q * n + j) = (i4)(t[0][q] + t[1][q] + t[2][q]) >> 2;
            *(i4_mem *)(bottom + q * n + j) = (i4)(t[1][q] - t[2][q] - t[3][q]) >> 2;
        }
    }
}

/* --- a block ------------------------------------------------------------------------------------------------------------------------------------ */

struct work {
    int16_t *patches;  /* [16][tiles][channels] */
    int32_t *products; /* [16][tiles][SLAB] */
    int32_t *acc;      /* [2][2 tiles][n] */
};

static size_t round_up(size_t n)
{
    return (n + 63) / 64 * 64;
}

static struct work split_work(const struct pt_int_wino *w, char *at, size_t *bytes)
{
    const size_t tiles = block_tiles(w), v = round_up(16 * tiles * w->channels * sizeof(int16_t)), m = round_up(16 * tiles * SLAB * sizeof(int32_t));
    *bytes = v + m + round_up(4 * tiles * SLAB * sizeof(int32_t));
    return (struct work){(int16_t *)(void *)at, (int32_t *)(void *)(at + v), (int32_t *)(void *)(at + v + m)};
}

size_t pt_int_wino_work_bytes(const struct pt_int_wino *w)
{
    static char none[1];
    size_t bytes;
    split_work(w, none, &bytes);
    return bytes;
}

void pt_int_wino_block(const struct pt_int_wino *w, const int16_t *x, const void *packed, size_t block, void *memory, pt_int_wino_put_fn put,
                       const void *arg)
{
    const size_t first = block * w->tiles / w->blocks, count = (block + 1) * w->tiles / w->blocks - first, plane = count * w->channels;
    size_t bytes;
    struct work k = split_work(w, memory, &bytes);
    for (size_t t = 0; t < count; t++) {
        const size_t at = first + t;
        transform_patch(w, x + at / w->tiles_w * 2 * w->row + at % w->tiles_w * 2 * w->channels, k.patches + t * w->channels, plane);
    }
    for (size_t col = 0; col < w->n; col += SLAB) {
        const size_t n = w->n - col < SLAB ? w->n - col : SLAB;
        const struct pt_int_conv s = {.out_w = count, .kernel_h = 1, .kernel_w = 1, .channels = w->channels, .n = n, .x_step = w->channels};
        for (size_t p = 0; p < 16; p++)
            pt_kernels()->int_conv(&s, k.patches + p * plane, (const char *)packed + p * w->plane_bytes + col * w->channels * sizeof(int16_t), 0,
                                   count, k.products + p * count * n, n);
        for (size_t t = 0, run; t < count; t += run) { /* tiles of one row */
            const size_t ty = (first + t) / w->tiles_w, tx = (first + t) % w->tiles_w;
            run = w->tiles_w - tx < count - t ? w->tiles_w - tx : count - t;
            for (size_t i = 0; i < run; i++)
                transform_result(k.products + (t + i) * n, count * n, n, k.acc + 2 * i * n, k.acc + 2 * (run + i) * n);
            const size_t pixels = w->out_w - 2 * tx < 2 * run ? w->out_w - 2 * tx : 2 * run;
            put(arg, col, n, 2 * ty * w->out_w + 2 * tx, pixels, k.acc);
            if (2 * ty + 1 < w->out_h)
                put(arg, col, n, (2 * ty + 1) * w->out_w + 2 * tx, pixels, k.acc + 2 * run * n);
        }
    }
}
