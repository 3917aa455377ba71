/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels of quantised integers against the reference, bit for bit: extremes that would saturate bytes, sums that wrap, and every rounding.
 */
#include "tests/unit/runtime/kernels_test.h"

#include <float.h>

static uint32_t next(uint32_t *state)
{
    return *state = *state * 1664525u + 1013904223u;
}

/* Differences of bytes, [-255, 255], with many at the ends. */
static void fill(int16_t *p, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t r = next(&seed) >> 16;
        p[i] = (int16_t)(r % 4 == 0 ? 255 : r % 4 == 1 ? -255 : (int)(r / 4 % 511) - 255);
    }
}

static int32_t *run(const struct pt_kernels *k, const struct pt_int_conv *s, const int16_t *x, const int16_t *w, size_t first, size_t count,
                    size_t y_ld)
{
    size_t depth = s->kernel_h * s->kernel_w * s->channels;
    void *packed = test_alloc(k->int_pack_size(depth, s->n));
    int32_t *y = test_alloc(count * y_ld * sizeof *y);
    memset(y, 0x5a, count * y_ld * sizeof *y);
    k->int_pack(depth, s->n, w, packed);
    k->int_conv(s, x, packed, first, count, y, y_ld);
    pt_free(packed);
    return y;
}

static void check(const struct pt_int_conv *s, size_t x_count, size_t first, size_t count)
{
    size_t depth = s->kernel_h * s->kernel_w * s->channels, y_ld = s->n + 1;
    int16_t *w = test_alloc(depth * s->n * sizeof *w);
    struct gbuf image = gbuf_make((x_count + 1) / 2); /* ends where nothing may be read */
    int16_t *x = (int16_t *)(void *)(image.p + image.n) - x_count;
    fill(x, x_count, 1);
    fill(w, depth * s->n, 2);
    int32_t *want = run(&pt_kernels_ref, s, x, w, first, count, y_ld);
    const struct pt_kernels *k;
    for (size_t i = 0; (k = test_table(i)); i++) {
        int32_t *got = run(k, s, x, w, first, count, y_ld);
        for (size_t j = 0; j < count * y_ld; j++)
            if (want[j] != got[j])
                fail_msg("int_conv on %s: element %zu: want %d, got %d", k->name, j, want[j], got[j]);
        pt_free(got);
    }
    pt_free(want);
    pt_free(w);
    gbuf_free(&image);
}

static void products(void **state)
{
    (void)state;
    static const size_t sizes[][3] = {{1, 1, 2},   {5, 7, 4},      {6, 16, 34},   {13, 33, 6},
                                      {96, 17, 2}, {12, 32, 1000}, {7, 40, 66000}}; /* the last wraps */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t m = sizes[i][0], n = sizes[i][1], k = sizes[i][2];
        check(&(struct pt_int_conv){.out_w = m, .kernel_h = 1, .kernel_w = 1, .channels = k, .n = n, .x_step = k + 2}, (m - 1) * (k + 2) + k, 0, m);
    }
}

static void windows(void **state)
{
    (void)state;
    for (size_t form = 0; form < 16; form++) {
        size_t kernel = 1 + form % 4, stride = 1 + form / 4 % 2, dilation = 1 + form / 8 % 2, channels = 6, ld = form % 3 ? channels : 2 * channels;
        size_t out = 5, size = (out - 1) * stride + (kernel - 1) * dilation + 1, row = size * ld;
        struct pt_int_conv s = {.out_w = out,
                                .kernel_h = kernel,
                                .kernel_w = kernel,
                                .channels = channels,
                                .n = 19,
                                .y_step = stride * row,
                                .x_step = stride * ld,
                                .tap_row = dilation * row,
                                .tap_col = dilation * ld};
        check(&s, (size - 1) * row + (size - 1) * ld + channels, 3, out * out - 3);
    }
}

static void rounding(void **state)
{
    (void)state;
    enum { N = 37, ROWS = 40 };
    int32_t acc[ROWS * N], bias[N];
    float scale[N];
    uint32_t seed = 5;
    for (size_t i = 0; i < ROWS * N; i++)
        acc[i] = i % 5 == 0 ? (int32_t)next(&seed) : (int32_t)(next(&seed) >> 16) % 1200 - 600;
    for (size_t j = 0; j < N; j++) {
        bias[j] = (int32_t)(next(&seed) >> 20);
        scale[j] = j % 3 ? 0.5f : 1.0f / (float)(1 + j); /* many halves */
    }
    acc[3] = INT32_MAX, acc[4] = INT32_MIN, scale[7] = NAN, scale[8] = INFINITY, scale[9] = -0.25f;
    for (int form = 0; form < 12; form++) {
        struct pt_requantise r = {.rows = ROWS,
                                  .n = N,
                                  .acc = acc,
                                  .acc_ld = N,
                                  .bias = form % 2 ? bias : NULL,
                                  .scale = scale,
                                  .lo = form % 4 < 2 ? 0 : -128,
                                  .hi = form % 4 < 2 ? 255 : 127,
                                  .zero = (int32_t[]){0, 17, -100}[form / 4],
                                  .y_ld = N + 1};
        uint8_t want[ROWS * (N + 1)], got[ROWS * (N + 1)];
        if (r.zero < r.lo)
            continue;
        memset(want, 0x77, sizeof want);
        r.y = want;
        pt_kernels_ref.requantise(&r);
        const struct pt_kernels *k;
        for (size_t i = 0; (k = test_table(i)); i++) {
            memset(got, 0x77, sizeof got);
            r.y = got;
            k->requantise(&r);
            for (size_t j = 0; j < sizeof want; j++)
                if (want[j] != got[j])
                    fail_msg("requantise on %s: form %d, element %zu of %d: want %u, got %u", k->name, form, j, N + 1, want[j], got[j]);
        }
    }
}

/* --- depthwise --------------------------------------------------------------------------------------------------------------------------------- */

static void check_depthwise(size_t kernel, size_t stride, size_t dilation, size_t n, size_t first)
{
    const size_t out = 5, size = (out - 1) * stride + (kernel - 1) * dilation + 1, ld = (n + PT_INT_LANES - 1) / PT_INT_LANES * PT_INT_LANES;
    const size_t taps = kernel * kernel, count = out * out - first, x_count = size * size * ld, y_ld = n + 3;
    const struct pt_int_conv s = {.out_w = out,
                                  .kernel_h = kernel,
                                  .kernel_w = kernel,
                                  .channels = 1,
                                  .n = n,
                                  .y_step = stride * size * ld,
                                  .x_step = stride * ld,
                                  .tap_row = dilation * size * ld,
                                  .tap_col = dilation * ld};
    int16_t *w = test_alloc(n * taps * sizeof *w);
    struct gbuf image = gbuf_make(x_count / 2);
    fill((int16_t *)(void *)image.p, x_count, 3);
    fill(w, n * taps, 4);
    int32_t *want = NULL;
    for (size_t i = 0; i == 0 || test_table(i - 1); i++) {
        const struct pt_kernels *k = i ? test_table(i - 1) : &pt_kernels_ref;
        void *packed = test_alloc(k->int_depthwise_pack_size(taps, n));
        int32_t *got = test_alloc(count * y_ld * sizeof *got);
        memset(got, 0x5a, count * y_ld * sizeof *got);
        k->int_depthwise_pack(taps, n, w, packed);
        k->int_depthwise(&s, (int16_t *)(void *)image.p, packed, first, count, got, y_ld);
        for (size_t j = 0; want && j < count * y_ld; j++)
            if (want[j] != got[j])
                fail_msg("int_depthwise %zu x %zu of %zu on %s: element %zu: want %d, got %d", kernel, kernel, n, k->name, j, want[j], got[j]);
        pt_free(packed);
        if (want)
            pt_free(got);
        want = want ? want : got;
    }
    pt_free(want);
    pt_free(w);
    gbuf_free(&image);
}

static void depthwise(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 8, 15, 16, 17, 31, 32, 33, 72};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t form = 0; form < 20; form++)
            check_depthwise(1 + form % 5, 1 + form / 5 % 2, 1 + form / 10, sizes[i], form % 7);
}

/* --- bytes and numbers ----------------------------------------------------------------------------------------------------------------------------
 */

/* Numbers around every rounding, past the bounds, and no numbers. */
static void fill_numbers(float *x, size_t n, float scale)
{
    uint32_t seed = 9;
    for (size_t i = 0; i < n; i++)
        x[i] = ((float)(next(&seed) >> 22) * 0.5f - 256) * scale * (i % 3 ? 1.0f : 1 + 0x1p-22f);
    const float odd[] = {NAN, INFINITY, -INFINITY, -0.0f, FLT_MAX, -FLT_MAX, 0x1p-140f};
    for (size_t i = 0; i < sizeof odd / sizeof *odd && 3 * i < n; i++)
        x[3 * i] = odd[i];
}

static void to_bytes(void **state)
{
    (void)state;
    for (size_t n = 0; n < 70; n++)
        for (int form = 0; form < 8; form++) {
            const int32_t lo = form % 2 ? -128 : 0, hi = lo + 255, zero = (int32_t[]){lo, 3, hi, 100}[form / 2];
            const float scale = (float[]){0.25f, 0.1f, 3, 0x1p-20f}[form / 2];
            struct gbuf x = gbuf_make(n);
            uint8_t want[72], got[72];
            fill_numbers(x.p, n, scale);
            memset(want, 0x77, sizeof want);
            pt_kernels_ref.quantise(x.p, n, scale, zero, lo, hi, want);
            const struct pt_kernels *k;
            for (size_t i = 0; (k = test_table(i)); i++) {
                memset(got, 0x77, sizeof got);
                k->quantise(x.p, n, scale, zero, lo, hi, got);
                assert_memory_equal(want, got, sizeof want);
                float a[2] = {0, 0}, b[2] = {0, 0};
                pt_kernels_ref.range(x.p, n, &a[0], &a[1]);
                k->range(x.p, n, &b[0], &b[1]);
                assert_memory_equal(a, b, sizeof a);
            }
            gbuf_free(&x);
        }
}

static void from_bytes(void **state)
{
    (void)state;
    struct gbuf bytes = gbuf_make(64); /* 256 bytes that end where nothing may be read */
    for (size_t i = 0; i < 256; i++)
        ((uint8_t *)(void *)bytes.p)[i] = (uint8_t)i;
    for (size_t n = 0; n <= 256; n += n < 70 ? 1 : 62)
        for (int form = 0; form < 4; form++) {
            const uint8_t *x = (const uint8_t *)(void *)bytes.p + 256 - n;
            const bool is_signed = form % 2;
            const int32_t zero = form / 2 ? 0 : is_signed ? -128 : 255;
            float want[257], got[257];
            int16_t wide[257], narrow[257];
            memset(want, 0x77, sizeof want);
            memset(wide, 0x77, sizeof wide);
            pt_kernels_ref.dequantise(x, is_signed, n, 0.1f, zero, want);
            pt_kernels_ref.widen(x, is_signed, n, zero, wide);
            const struct pt_kernels *k;
            for (size_t i = 0; (k = test_table(i)); i++) {
                memset(got, 0x77, sizeof got);
                memset(narrow, 0x77, sizeof narrow);
                k->dequantise(x, is_signed, n, 0.1f, zero, got);
                k->widen(x, is_signed, n, zero, narrow);
                assert_memory_equal(want, got, sizeof want);
                assert_memory_equal(wide, narrow, sizeof wide);
            }
        }
    gbuf_free(&bytes);
}

/* Scales whose sums lie at the middle between two quanta: a product that is not rounded before the sum shows. */
static void combined(void **state)
{
    (void)state;
    enum { N = 65539 };
    uint8_t *a = test_alloc(N), *b = test_alloc(N), *want = test_alloc(N + 1), *got = test_alloc(N + 1);
    for (size_t i = 0; i < N; i++) {
        a[i] = (uint8_t)i;
        b[i] = (uint8_t)(i >> 8);
    }
    for (int form = 0; form < 32; form++) {
        const float scales[] = {0.1f, 0.3f, 0.017f, 0.5f, 0.07f};
        struct pt_int_combine c = {.n = form % 3 ? N : 13, .a = a, .b = b, .is_signed = form & 1, .adds = form & 2};
        c.lo = c.is_signed ? -128 : 0;
        c.hi = c.lo + 255;
        c.zero = c.lo + form * 8;
        c.a_zero = c.lo + 7 * form;
        c.b_zero = c.hi - 5 * form;
        c.a_scale = scales[form % 5];
        c.b_scale = scales[(form + 1) % 5];
        c.y_scale = form & 2 ? c.a_scale + c.b_scale : c.a_scale * c.b_scale * 64;
        memset(want, 0x77, N + 1);
        c.y = want;
        pt_kernels_ref.int_combine(&c);
        const struct pt_kernels *k;
        for (size_t i = 0; (k = test_table(i)); i++) {
            memset(got, 0x77, N + 1);
            c.y = got;
            k->int_combine(&c);
            for (size_t j = 0; j <= N; j++)
                if (want[j] != got[j])
                    fail_msg("int_combine on %s: form %d, %u and %u: want %u, got %u", k->name, form, a[j], b[j], want[j], got[j]);
        }
    }
    pt_free(a);
    pt_free(b);
    pt_free(want);
    pt_free(got);
}

static void to_floats(void **state)
{
    (void)state;
    enum { N = 37, ROWS = 7 };
    int32_t acc[ROWS * N], sums[N];
    float scale[N], add[N], residual[ROWS * (N + 2)];
    uint32_t seed = 6;
    for (size_t i = 0; i < ROWS * N; i++)
        acc[i] = i % 9 ? (int32_t)(next(&seed) >> 12) - (1 << 19) : (int32_t)next(&seed);
    for (size_t j = 0; j < N; j++) {
        sums[j] = (int32_t)(next(&seed) >> 12);
        scale[j] = test_random(&seed) * 1e-5f;
        add[j] = test_random(&seed);
    }
    for (size_t i = 0; i < ROWS * (N + 2); i++)
        residual[i] = test_random(&seed);
    for (int form = 0; form < 32; form++) {
        struct pt_int_floats f = {.rows = ROWS, .n = N, .acc = acc, .acc_ld = N, .bias = form & 1 ? sums : NULL, .scale = scale, .y_ld = N + 1};
        f.ep = (struct pt_epilogue){.bias = form & 2 ? add : NULL,
                                    .residual = form & 4 ? residual : NULL,
                                    .residual_ld = N + 2,
                                    .act = (enum pt_act)(form / 8),
                                    .lo = -0.5f,
                                    .hi = 0.25f};
        struct gbuf want = gbuf_make(ROWS * (N + 1));
        f.y = want.p;
        pt_kernels_ref.int_floats(&f);
        const struct pt_kernels *k;
        for (size_t i = 0; (k = test_table(i)); i++) {
            struct gbuf got = gbuf_make(ROWS * (N + 1));
            f.y = got.p;
            k->int_floats(&f);
            for (size_t j = 0; j < want.n; j++)
                if (memcmp(&want.p[j], &got.p[j], 4) != 0 && !(fabsf(want.p[j] - got.p[j]) <= 1e-6f + 2e-6f * fabsf(want.p[j])))
                    fail_msg("int_floats on %s: form %d, element %zu: want %.9g, got %.9g", k->name, form, j, (double)want.p[j], (double)got.p[j]);
            gbuf_free(&got);
        }
        gbuf_free(&want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(products),  cmocka_unit_test(windows),  cmocka_unit_test(rounding),
                                       cmocka_unit_test(depthwise), cmocka_unit_test(to_bytes), cmocka_unit_test(from_bytes),
                                       cmocka_unit_test(to_floats), cmocka_unit_test(combined)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
