/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels of quantised integers against the reference, bit for bit: extremes that would saturate bytes, sums that wrap, and every rounding.
 */
#include "tests/unit/runtime/kernels_test.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(products), cmocka_unit_test(windows), cmocka_unit_test(rounding)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
