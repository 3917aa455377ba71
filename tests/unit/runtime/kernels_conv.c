/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/runtime/kernels_test.h"

struct conv_case {
    size_t batch, h, w, in_c, out_c, kernel, kernel_w, stride, stride_w, dilation, pad, pad_left, pad_end, groups;
    size_t slice; /* the tensors are slices of wider ones by this many channels */
    enum pt_act act;
    bool residual, in_place, no_bias, exact;
    int threads;
};

static size_t out_size(size_t in, size_t kernel, size_t stride, size_t dilation, size_t pads)
{
    size_t window = (kernel - 1) * dilation + 1;
    return in + pads < window ? 0 : (in + pads - window) / stride + 1;
}
static void run(const struct pt_kernels *k, const struct pt_conv *s, const float *x, const float *w, const struct pt_epilogue *ep, float *y, struct pt_threads *threads)
{
    float *packed = test_alloc(k->conv_pack_size(s));
    void *ws = test_alloc(k->conv_workspace(s, threads ? pt_threads_count(threads) : 1));
    k->conv_pack(s, w, packed);
    k->conv(s, x, packed, ep, y, ws, threads);
    pt_free(ws);
    pt_free(packed);
}
static void check(const struct conv_case *c, struct pt_threads *pool)
{
    const size_t kw = c->kernel_w ? c->kernel_w : c->kernel, sw = c->stride_w ? c->stride_w : c->stride, groups = c->groups ? c->groups : 1;
    const size_t dilation = c->dilation ? c->dilation : 1;
    struct pt_conv s = {.batch = c->batch, .in_h = c->h, .in_w = c->w, .in_c = c->in_c, .out_c = c->out_c, .kernel_h = c->kernel, .kernel_w = kw,
                        .stride_h = c->stride, .stride_w = sw, .dilation_h = dilation, .dilation_w = dilation, .pad_top = c->pad, .pad_left = c->pad_left ? c->pad_left : c->pad,
                        .groups = groups, .x_ld = c->in_c + c->slice, .y_ld = c->out_c + c->slice, .exact = c->exact};
    s.out_h = out_size(c->h, c->kernel, c->stride, dilation, s.pad_top + c->pad + c->pad_end);
    s.out_w = out_size(c->w, kw, sw, dilation, s.pad_left + c->pad + c->pad_end);
    const size_t pixels = c->batch * s.out_h * s.out_w, k_size = c->in_c / groups * c->kernel * kw;
    struct gbuf x = gbuf_random(c->batch * c->h * c->w * s.x_ld - c->slice, 1), w = gbuf_random(c->out_c * k_size, 2), bias = gbuf_random(c->out_c, 3);
    struct gbuf residual = gbuf_random(pixels * s.y_ld - (pixels ? c->slice : 0), 4), want = c->in_place ? gbuf_copy(&residual) : gbuf_make(residual.n);
    struct pt_epilogue ep = {.bias = c->no_bias ? NULL : bias.p, .residual_ld = s.y_ld, .act = c->act, .lo = -0.5f, .hi = 1.5f};
    ep.residual = c->in_place ? want.p : c->residual ? residual.p : NULL;
    run(&pt_kernels_ref, &s, x.p, w.p, &ep, want.p, NULL);
    const struct pt_kernels *k;
    for (size_t i = 0; (k = test_table(i)); i++) {
        struct gbuf got = c->in_place ? gbuf_copy(&residual) : gbuf_make(residual.n);
        ep.residual = c->in_place ? got.p : c->residual ? residual.p : NULL;
        run(k, &s, x.p, w.p, &ep, got.p, c->threads ? pool : NULL);
        char what[200];
        snprintf(what, sizeof what, "conv %zux%zux%zux%zu -> %zu kernel %zux%zu stride %zu,%zu dilation %zu pad %zu,%zu groups %zu slice %zu act %d", c->batch, c->h, c->w,
                 c->in_c, c->out_c, c->kernel, kw, c->stride, sw, dilation, s.pad_top, s.pad_left, groups, c->slice, (int)c->act);
        check_equal(what, k, &want, &got, c->exact ? 1e-6f * sqrtf((float)k_size) + 1e-6f : 1e-5f * sqrtf((float)k_size) + 1e-6f, 1e-5f);
        gbuf_free(&got);
    }
    gbuf_free(&x), gbuf_free(&w), gbuf_free(&bias), gbuf_free(&residual), gbuf_free(&want);
}

static void test_cases(void **state)
{
    (void)state;
    struct pt_threads *pool = test_pool();
    static const struct conv_case cases[] = {
        {.batch = 1, .h = 8, .w = 8, .in_c = 1, .out_c = 8, .kernel = 3, .stride = 1, .pad = 1},
        {.batch = 2, .h = 9, .w = 7, .in_c = 3, .out_c = 10, .kernel = 7, .stride = 2, .pad = 3, .act = PT_ACT_RELU, .threads = 1},
        {.batch = 1, .h = 5, .w = 6, .in_c = 17, .out_c = 35, .kernel = 1, .stride = 1, .act = PT_ACT_CLIP, .residual = true},
        {.batch = 3, .h = 5, .w = 6, .in_c = 17, .out_c = 33, .kernel = 1, .stride = 2, .slice = 3, .threads = 1},
        {.batch = 1, .h = 11, .w = 10, .in_c = 6, .out_c = 9, .kernel = 3, .stride = 1, .dilation = 2, .pad = 2, .residual = true},
        {.batch = 1, .h = 11, .w = 10, .in_c = 6, .out_c = 9, .kernel = 3, .kernel_w = 5, .stride = 1, .stride_w = 3, .pad = 1, .pad_left = 4, .pad_end = 2},
        {.batch = 2, .h = 10, .w = 10, .in_c = 12, .out_c = 8, .kernel = 3, .stride = 1, .pad = 1, .groups = 4, .in_place = true, .slice = 5},
        {.batch = 1, .h = 4, .w = 4, .in_c = 4, .out_c = 8, .kernel = 3, .stride = 1, .pad = 1, .groups = 4, .act = PT_ACT_GELU},
        {.batch = 1, .h = 10, .w = 9, .in_c = 5, .out_c = 5, .kernel = 3, .stride = 1, .pad = 0, .slice = 2},
        {.batch = 1, .h = 3, .w = 3, .in_c = 2, .out_c = 2, .kernel = 5, .stride = 1, .pad = 4},
        {.batch = 1, .h = 2, .w = 2, .in_c = 2, .out_c = 2, .kernel = 1, .stride = 1, .pad = 3},
        {.batch = 1, .h = 3, .w = 3, .in_c = 130, .out_c = 20, .kernel = 3, .stride = 1, .pad = 1, .act = PT_ACT_RELU, .in_place = true},
        {.batch = 1, .h = 3, .w = 2, .in_c = 450, .out_c = 17, .kernel = 2, .stride = 1, .act = PT_ACT_GELU, .no_bias = true},
        {.batch = 1, .h = 40, .w = 40, .in_c = 3, .out_c = 16, .kernel = 3, .stride = 2, .pad = 1, .threads = 1},
        {.batch = 1, .h = 2, .w = 2, .in_c = 3, .out_c = 4, .kernel = 3, .stride = 1}, /* no output */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct conv_case c = cases[i];
        check(&c, pool);
        c.exact = true;
        check(&c, pool);
    }
    pt_threads_destroy(pool);
}
static void test_depthwise(void **state)
{
    (void)state;
    struct pt_threads *pool = test_pool();
    for (size_t kernel = 1; kernel <= 5; kernel += 2)
        for (size_t stride = 1; stride <= 2; stride++)
            for (size_t pad = 0; pad <= kernel; pad++)
                for (size_t dilation = 1; dilation <= 2; dilation++)
                    check(&(struct conv_case){.batch = 2, .h = 13, .w = 37, .in_c = 21, .out_c = 21, .groups = 21, .kernel = kernel, .stride = stride, .dilation = dilation,
                                              .pad = pad, .slice = 1, .act = (enum pt_act)(pad % 4), .residual = stride == 2, .threads = dilation == 2},
                          pool);
    pt_threads_destroy(pool);
}
/* 3 x 3, stride 1, enough channels and pixels: the fast path where there is one */
static void test_winograd(void **state)
{
    (void)state;
    struct pt_threads *pool = test_pool();
    for (size_t h = 12; h <= 27; h += 5)
        for (int flags = 0; flags < 8; flags++)
            check(&(struct conv_case){.batch = flags & 1 ? 3 : 1, .h = h, .w = h + 3, .in_c = 36, .out_c = 45, .kernel = 3, .stride = 1, .pad = flags & 2 ? 1 : 0,
                                      .slice = flags & 4 ? 2 : 0, .act = (enum pt_act)(flags & 3), .residual = flags & 4, .in_place = flags == 7, .threads = flags & 1},
                  pool);
    pt_threads_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_depthwise), cmocka_unit_test(test_winograd)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
