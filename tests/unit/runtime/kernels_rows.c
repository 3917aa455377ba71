/* SPDX-License-Identifier: Apache-2.0
 *
 * Elementwise kernels, softmax, layer normalisation, transposes and pooling against the reference.
 */
#include "tests/unit/runtime/kernels_test.h"

static const char *const unary_names[] = {
#define PT_X(id, name) [id] = #name,
    PT_UNARY_KERNELS(PT_X)
};
static const char *const binary_names[] = {PT_BINARY_KERNELS(PT_X)};
#undef PT_X

static void unary_params(enum pt_unary op, float *p0, float *p1)
{
    *p0 = op == PT_UNARY_CLIP ? -0.75f : op == PT_UNARY_SILU ? 1 : op == PT_UNARY_LEAKY_RELU ? 0.01f : op == PT_UNARY_HARD_SIGMOID ? 0.2f : 1.0f / 6;
    *p1 = op == PT_UNARY_CLIP ? 6 : 0.5f;
}
static void check_unary(enum pt_unary op, const struct gbuf *x, float rel)
{
    float p0, p1;
    unary_params(op, &p0, &p1);
    struct gbuf want = gbuf_make(x->n);
    pt_kernels_ref.unary[op](x->p, want.p, x->n, p0, p1);
    const struct pt_kernels *k;
    for (size_t i = 0; (k = test_table(i)); i++) {
        struct gbuf got = gbuf_copy(x);
        k->unary[op](got.p, got.p, got.n, p0, p1); /* in place */
        check_equal(unary_names[op], k, &want, &got, op == PT_UNARY_HARD_SIGMOID || op == PT_UNARY_HARD_SWISH ? 5e-7f : 1e-37f, rel); /* p0 x + p1 cancels */
        gbuf_free(&got);
    }
    gbuf_free(&want);
}
/* Over all magnitudes with both signs: relative accuracy near 0 and in the tails. */
static void test_unary(void **state)
{
    (void)state;
    for (int op = 0; op < PT_UNARY_COUNT; op++) {
        struct gbuf x = gbuf_make(80001);
        for (size_t i = 0; i < x.n; i++) {
            float m = exp2f(-30.0f + (float)(i / 2) * 37.0f / 40000.0f); /* 2^-30 .. 2^7 */
            x.p[i] = i % 2 ? -m : m;
        }
        check_unary((enum pt_unary)op, &x, op == PT_UNARY_GELU ? 2e-5f : 2e-6f);
        gbuf_free(&x);
        for (size_t n = 0; n <= 33; n++) {
            x = gbuf_random(n, (uint32_t)n);
            check_unary((enum pt_unary)op, &x, 2e-6f);
            gbuf_free(&x);
        }
    }
}
static void test_unary_special(void **state)
{
    (void)state;
    const float values[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 1e-40f, -1e-40f, 88.7f, 89.5f, -87.0f, -103.0f, -110.0f, 3.0e38f, -3.0e38f};
    struct gbuf x = gbuf_make(sizeof values / sizeof *values);
    memcpy(x.p, values, sizeof values);
    for (int op = 0; op < PT_UNARY_COUNT; op++)
        check_unary((enum pt_unary)op, &x, 1e-5f);
    gbuf_free(&x);
}

static void check_binary(enum pt_binary op, size_t rows, size_t n, int a_form, int b_form)
{
    /* forms: 0 same shape with a gap, 1 one row for all, 2 one column for all, 3 scalar */
    struct gbuf a = gbuf_random(rows * (n + 2), 1), b = gbuf_random(rows * (n + 2), 2), want = gbuf_make(rows * (n + 3));
    if (n > 3)
        a.p[1] = NAN, b.p[2] = NAN, b.p[3] = -INFINITY;
    struct pt_binary_args s = {.rows = rows, .n = n, .a = a.p, .a_ld = a_form == 0 ? n + 2 : a_form == 2, .a_step = a_form < 2, .b = b.p,
                               .b_ld = b_form == 0 ? n + 2 : b_form == 2, .b_step = b_form < 2, .y = want.p, .y_ld = n + 3};
    pt_kernels_ref.binary[op](&s);
    const struct pt_kernels *k;
    for (size_t i = 0; (k = test_table(i)); i++) {
        struct gbuf got = gbuf_make(want.n);
        s.y = got.p;
        k->binary[op](&s);
        check_equal(binary_names[op], k, &want, &got, 0, 1e-6f);
        gbuf_free(&got);
    }
    gbuf_free(&a), gbuf_free(&b), gbuf_free(&want);
}
static void test_binary(void **state)
{
    (void)state;
    static const size_t widths[] = {0, 1, 7, 8, 9, 16, 31, 100};
    for (int op = 0; op < PT_BINARY_COUNT; op++)
        for (size_t w = 0; w < 8; w++)
            for (int forms = 0; forms < 16; forms++)
                check_binary((enum pt_binary)op, 3, widths[w], forms & 3, forms >> 2);
}

static void test_softmax(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 70; n += n < 36 ? 1 : 17)
        for (int flags = 0; flags < 4; flags++) {
            enum { R = 3 };
            struct gbuf x = gbuf_random(R * (n + 2), 1), mask = gbuf_random(R * n, 2), want = gbuf_make(R * (n + 1));
            mask.p[0] = -INFINITY;
            const float *m = flags & 1 ? mask.p : NULL;
            const size_t mask_ld = flags & 2 ? n : 0;
            pt_kernels_ref.softmax(R, n, 5, x.p, n + 2, m, mask_ld, want.p, n + 1);
            const struct pt_kernels *k;
            for (size_t i = 0; (k = test_table(i)); i++) {
                struct gbuf got = gbuf_make(want.n);
                k->softmax(R, n, 5, x.p, n + 2, m, mask_ld, got.p, n + 1);
                check_equal("softmax", k, &want, &got, 1e-9f, 4e-6f);
                gbuf_free(&got);
            }
            gbuf_free(&x), gbuf_free(&mask), gbuf_free(&want);
        }
}
static void test_softmax_special(void **state)
{
    (void)state;
    const float rows[4][3] = {{1000, 1001, -1000}, {-INFINITY, 0, 0}, {NAN, 0, 0}, {-INFINITY, -INFINITY, -INFINITY}};
    const struct pt_kernels *k;
    for (size_t i = 0; (k = test_table(i)); i++) {
        float y[4][3];
        k->softmax(4, 3, 1, rows[0], 3, NULL, 0, y[0], 3);
        assert_true(fabsf(y[0][1] - 0.731058579f) < 1e-6f && fabsf(y[1][1] - 0.5f) < 1e-7f);
        assert_true(y[1][0] == 0.0f && isnan(y[2][0]) && isnan(y[2][2]) && isnan(y[3][1]));
    }
}
static void test_layernorm(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 400; n += n < 36 ? 1 : 91)
        for (int flags = 0; flags < 8; flags++) {
            enum { R = 4 };
            struct gbuf x = gbuf_random(R * (n + 1), 1), residual = gbuf_random(R * (n + 2), 2), gamma = gbuf_random(n, 3), beta = gbuf_random(n, 4), want = gbuf_make(R * (n + 3));
            const float *r = flags & 1 ? residual.p : NULL, *g = flags & 2 ? gamma.p : NULL, *b = flags & 4 ? beta.p : NULL;
            pt_kernels_ref.layernorm(R, n, x.p, n + 1, r, n + 2, g, b, 1e-5f, want.p, n + 3);
            const struct pt_kernels *k;
            for (size_t i = 0; (k = test_table(i)); i++) {
                struct gbuf got = gbuf_make(want.n);
                k->layernorm(R, n, x.p, n + 1, r, n + 2, g, b, 1e-5f, got.p, n + 3);
                check_equal("layernorm", k, &want, &got, n < 4 ? 2e-4f : 5e-6f, 5e-6f);
                gbuf_free(&got);
            }
            gbuf_free(&x), gbuf_free(&residual), gbuf_free(&gamma), gbuf_free(&beta), gbuf_free(&want);
        }
}

static void test_transpose(void **state)
{
    (void)state;
    for (size_t rows = 0; rows <= 19; rows++)
        for (size_t cols = 0; cols <= 19; cols++) {
            struct gbuf x = gbuf_random(rows * (cols + 1), 1), want = gbuf_make(cols * (rows + 2));
            pt_kernels_ref.transpose(rows, cols, x.p, cols + 1, want.p, rows + 2);
            const struct pt_kernels *k;
            for (size_t i = 0; (k = test_table(i)); i++) {
                struct gbuf got = gbuf_make(want.n);
                k->transpose(rows, cols, x.p, cols + 1, got.p, rows + 2);
                check_equal("transpose", k, &want, &got, 0, 0);
                gbuf_free(&got);
            }
            gbuf_free(&x), gbuf_free(&want);
        }
}
/* against the definition, element by element, for every element size */
static void check_permute(size_t elem, int rank, const int64_t *dims, const int *perm, struct pt_threads *threads)
{
    unsigned char x[4096] = {0}, y[4096];
    int64_t total = 1, index[16] = {0};
    for (int i = 0; i < rank; i++)
        total *= dims[i];
    for (size_t i = 0; i < (size_t)total * elem; i++)
        x[i] = (unsigned char)(i * 37 + i / 256);
    memset(y, 0xaa, sizeof y);
    pt_permute(x, y, elem, rank, dims, perm, threads);
    for (int64_t out = 0; out < total; out++) {
        int64_t in[16], from = 0, rest = out;
        for (int i = rank - 1; i >= 0; i--) {
            index[i] = rest % dims[perm[i]];
            rest /= dims[perm[i]];
        }
        for (int i = 0; i < rank; i++)
            in[perm[i]] = index[i];
        for (int i = 0; i < rank; i++)
            from = from * dims[i] + in[i];
        assert_memory_equal(y + (size_t)out * elem, x + (size_t)from * elem, elem);
    }
    assert_int_equal(y[(size_t)total * elem], 0xaa);
}
static void test_permute(void **state)
{
    (void)state;
    struct pt_threads *pool = test_pool();
    static const int64_t dims[][4] = {{2, 3, 5, 7}, {1, 9, 1, 11}, {3, 10, 8, 1}, {1, 1, 1, 1}, {4, 0, 2, 3}};
    for (size_t d = 0; d < 5; d++)
        for (int p = 0; p < 256; p++) {
            const int perm[4] = {p & 3, p >> 2 & 3, p >> 4 & 3, p >> 6};
            if ((1 << perm[0] | 1 << perm[1] | 1 << perm[2] | 1 << perm[3]) != 15)
                continue;
            for (size_t elem = 1; elem <= 8; elem *= 2)
                check_permute(elem, 4, dims[d], perm, p & 1 ? pool : NULL);
        }
    check_permute(4, 0, dims[0], (const int[1]){0}, NULL);
    pt_threads_destroy(pool);
}

static void check_pool(struct pt_pool s, size_t batch, struct pt_threads *pool)
{
    s.batch = batch;
    struct gbuf x = gbuf_random(batch * s.in_h * s.in_w * s.x_ld, 1), want = gbuf_make(batch * s.out_h * s.out_w * s.y_ld);
    if (!s.average)
        x.p[3] = NAN, x.p[s.x_ld + 1] = -INFINITY;
    pt_kernels_ref.pool(&s, x.p, want.p, NULL);
    const struct pt_kernels *k;
    for (size_t i = 0; (k = test_table(i)); i++) {
        struct gbuf got = gbuf_make(want.n);
        k->pool(&s, x.p, got.p, pool);
        check_equal(s.average ? "average pool" : "max pool", k, &want, &got, 1e-6f, 1e-6f);
        gbuf_free(&got);
    }
    gbuf_free(&x), gbuf_free(&want);
}
static void test_pool_kinds(void **state)
{
    (void)state;
    struct pt_threads *threads = test_pool();
    for (size_t c = 1; c <= 33; c += 4)
        for (int f = 0; f < 32; f++) {
            struct pt_pool s = {.in_h = 9, .in_w = 11, .c = c, .kernel_h = 3, .kernel_w = f & 1 ? 2 : 3, .stride_h = 2, .stride_w = f & 2 ? 3 : 1,
                                .dilation_h = 1, .dilation_w = f & 4 ? 2 : 1, .pad_top = 1, .pad_left = f & 1, .pad_bottom = 1, .pad_right = 2, .x_ld = c + 4, .y_ld = c + 1,
                                .average = f & 8, .count_include_pad = f & 16};
            s.out_h = (s.in_h + 2 - 3 + 1) / 2 + 1; /* rounded up: the last window hangs over */
            s.out_w = (s.in_w + s.pad_left + 2 - (s.kernel_w - 1) * s.dilation_w - 1) / s.stride_w + 1;
            check_pool(s, 1 + (size_t)(f & 1), f & 2 ? threads : NULL);
        }
    pt_threads_destroy(threads);
}
static void test_global_average(void **state)
{
    (void)state;
    for (size_t pixels = 1; pixels <= 49; pixels += 12)
        for (size_t c = 0; c <= 40; c++) {
            struct gbuf x = gbuf_random(pixels * (c + 1), 1), want = gbuf_make(c);
            pt_kernels_ref.global_average(pixels, c, x.p, c + 1, want.p);
            const struct pt_kernels *k;
            for (size_t i = 0; (k = test_table(i)); i++) {
                struct gbuf got = gbuf_make(c);
                k->global_average(pixels, c, x.p, c + 1, got.p);
                check_equal("global average", k, &want, &got, 1e-6f, 1e-6f);
                gbuf_free(&got);
            }
            gbuf_free(&x), gbuf_free(&want);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unary), cmocka_unit_test(test_unary_special), cmocka_unit_test(test_binary), cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_softmax_special), cmocka_unit_test(test_layernorm), cmocka_unit_test(test_transpose), cmocka_unit_test(test_permute),
        cmocka_unit_test(test_pool_kinds), cmocka_unit_test(test_global_average),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
