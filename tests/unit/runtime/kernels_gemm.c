/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/runtime/kernels_test.h"

struct gemm_case {
    size_t m, n, k;
    int pad; /* added to every leading dimension */
    bool trans, packed, bias, row_bias, residual, in_place;
    enum pt_act act;
    float alpha;
    int threads;
};

static void run(const struct pt_kernels *k, struct pt_gemm g, const struct gemm_case *c, struct pt_threads *threads)
{
    float *packed = NULL;
    if (c->packed) {
        packed = test_alloc(k->gemm_pack_size(g.k, g.n));
        k->gemm_pack(g.k, g.n, g.b, g.ldb, g.trans_b, packed);
        g.packed_b = packed;
        g.b = NULL;
    }
    void *ws = test_alloc(k->gemm_workspace(&g, threads ? pt_threads_count(threads) : 1));
    k->gemm(&g, ws, threads);
    pt_free(ws);
    pt_free(packed);
}
static size_t extent(size_t rows, size_t cols, size_t ld)
{
    return rows && cols ? (rows - 1) * ld + cols : 0;
}
static void check(const struct gemm_case *c, struct pt_threads *pool)
{
    const size_t lda = c->k + c->pad, ldb = (c->trans ? c->k : c->n) + c->pad, ldc = c->n + c->pad;
    struct gbuf a = gbuf_random(extent(c->m, c->k, lda), 1), b = gbuf_random(c->trans ? extent(c->n, c->k, ldb) : extent(c->k, c->n, ldb), 2);
    struct gbuf bias = gbuf_random(c->n, 3), row_bias = gbuf_random(c->m, 4), residual = gbuf_random(extent(c->m, c->n, ldc), 5);
    struct pt_gemm g = {.m = c->m, .n = c->n, .k = c->k, .a = a.p, .lda = lda, .b = b.p, .ldb = ldb, .trans_b = c->trans, .ldc = ldc, .alpha = c->alpha,
                        .ep = {.bias = c->bias ? bias.p : NULL, .row_bias = c->row_bias ? row_bias.p : NULL, .residual_ld = ldc, .act = c->act, .lo = -0.5f, .hi = 0.75f}};
    struct gbuf want = c->in_place ? gbuf_copy(&residual) : gbuf_make(residual.n);
    g.c = want.p;
    g.ep.residual = c->in_place ? g.c : c->residual ? residual.p : NULL;
    run(&pt_kernels_ref, g, c, NULL);
    const struct pt_kernels *k;
    for (size_t i = 0; (k = test_table(i)); i++) {
        struct gbuf got = c->in_place ? gbuf_copy(&residual) : gbuf_make(residual.n);
        g.c = got.p;
        g.ep.residual = c->in_place ? g.c : c->residual ? residual.p : NULL;
        run(k, g, c, c->threads ? pool : NULL);
        char what[160];
        snprintf(what, sizeof what, "gemm %zux%zux%zu pad %d trans %d packed %d act %d threads %d", c->m, c->k, c->n, c->pad, c->trans, c->packed, (int)c->act, c->threads);
        check_equal(what, k, &want, &got, 2e-7f * (float)(c->k + 4), 1e-5f);
        gbuf_free(&got);
    }
    gbuf_free(&a), gbuf_free(&b), gbuf_free(&bias), gbuf_free(&row_bias), gbuf_free(&residual), gbuf_free(&want);
}

/* every row count of a tile with every column tail */
static void test_tiles(void **state)
{
    (void)state;
    for (size_t m = 1; m <= 14; m++)
        for (size_t n = 1; n <= 34; n++)
            check(&(struct gemm_case){.m = m, .n = n, .k = 7, .pad = 3, .packed = true, .bias = true, .alpha = 1}, NULL);
}
static void test_shapes(void **state)
{
    (void)state;
    static const size_t sizes[][3] = {{1, 1, 1}, {1, 100, 513}, {5, 33, 385}, {97, 17, 800}, {193, 65, 31}, {13, 800, 9}, {200, 1, 40}, {12, 32, 0}, {2, 48, 5}, {0, 5, 5}, {5, 0, 5}};
    struct pt_threads *pool = test_pool();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int flags = 0; flags < 64; flags++) {
            struct gemm_case c = {.m = sizes[i][0], .n = sizes[i][1], .k = sizes[i][2], .pad = flags & 1 ? 5 : 0, .trans = flags & 2, .packed = flags & 4,
                                  .bias = flags & 8, .row_bias = flags & 16, .residual = flags & 8, .in_place = flags & 32, .act = (enum pt_act)(flags & 3),
                                  .alpha = flags & 16 ? 0.5f : 1, .threads = flags & 8};
            check(&c, pool);
        }
    pt_threads_destroy(pool);
}

/* softmax(Q K^T) V without transposes: Q, K, V and the result are [batch, sequence, head, width] */
static void test_attention_strides(void **state)
{
    (void)state;
    enum { B = 2, S = 19, H = 3, D = 11 };
    struct gbuf q = gbuf_random(B * S * H * D, 1), kk = gbuf_random(B * S * H * D, 2), v = gbuf_random(B * S * H * D, 3);
    struct pt_threads *pool = test_pool();
    struct gbuf scores[2], out[2];
    const struct pt_kernels *k = &pt_kernels_ref;
    for (size_t i = 0; k; k = test_table(i++)) {
        const int slot = i > 0;
        scores[slot] = gbuf_make(B * H * S * S);
        out[slot] = gbuf_make(B * S * H * D);
        struct gemm_case c = {.threads = 1};
        struct pt_gemm g = {.m = S, .n = S, .k = D, .a = q.p, .lda = H * D, .b = kk.p, .ldb = H * D, .trans_b = true, .c = scores[slot].p, .ldc = S, .alpha = 0.3f,
                            .outer = B, .inner = H, .a_stride = {S * H * D, D}, .b_stride = {S * H * D, D}, .c_stride = {H * S * S, S * S}};
        run(k, g, &c, pool);
        g = (struct pt_gemm){.m = S, .n = D, .k = S, .a = scores[slot].p, .lda = S, .b = v.p, .ldb = H * D, .c = out[slot].p, .ldc = H * D, .alpha = 1,
                             .outer = B, .inner = H, .a_stride = {H * S * S, S * S}, .b_stride = {S * H * D, D}, .c_stride = {S * H * D, D}};
        run(k, g, &c, pool);
        if (slot) {
            check_equal("scores", k, &scores[0], &scores[1], 1e-5f, 0);
            check_equal("attention", k, &out[0], &out[1], 1e-4f, 0);
            gbuf_free(&scores[1]), gbuf_free(&out[1]);
        }
    }
    gbuf_free(&scores[0]), gbuf_free(&out[0]), gbuf_free(&q), gbuf_free(&kk), gbuf_free(&v);
    pt_threads_destroy(pool);
}

/* the answer is the same bits on any number of threads */
static void test_threads_change_nothing(void **state)
{
    (void)state;
    enum { M = 211, N = 130, K = 900 };
    struct gbuf a = gbuf_random(M * K, 1), b = gbuf_random(K * N, 2);
    struct pt_threads *pool = test_pool();
    const struct pt_kernels *k;
    for (size_t i = 0; (k = test_table(i)); i++)
        for (int packed = 0; packed < 2; packed++) {
            struct gbuf one = gbuf_make(M * N), many = gbuf_make(M * N);
            struct gemm_case c = {.packed = packed};
            struct pt_gemm g = {.m = M, .n = N, .k = K, .a = a.p, .lda = K, .b = b.p, .ldb = N, .c = one.p, .ldc = N, .alpha = 1};
            run(k, g, &c, NULL);
            g.c = many.p;
            run(k, g, &c, pool);
            assert_memory_equal(one.p, many.p, M * N * sizeof(float));
            gbuf_free(&one), gbuf_free(&many);
        }
    gbuf_free(&a), gbuf_free(&b);
    pt_threads_destroy(pool);
}

static void test_nan(void **state)
{
    (void)state;
    const float a[2] = {NAN, 1}, b[2] = {1, 1};
    const struct pt_kernels *k;
    for (size_t i = 0; (k = test_table(i)); i++)
        for (int act = PT_ACT_NONE; act <= PT_ACT_GELU; act++) {
            float c[4], *packed = test_alloc(k->gemm_pack_size(1, 2));
            k->gemm_pack(1, 2, b, 2, false, packed);
            struct pt_gemm g = {.m = 2, .n = 2, .k = 1, .a = a, .lda = 1, .packed_b = packed, .c = c, .ldc = 2, .alpha = 1, .ep = {.act = (enum pt_act)act, .hi = 6}};
            k->gemm(&g, NULL, NULL);
            assert_true(isnan(c[0]) && isnan(c[1]) && !isnan(c[2]) && !isnan(c[3]));
            pt_free(packed);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tiles), cmocka_unit_test(test_shapes), cmocka_unit_test(test_attention_strides),
                                       cmocka_unit_test(test_threads_change_nothing), cmocka_unit_test(test_nan)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
