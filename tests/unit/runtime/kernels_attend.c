/* SPDX-License-Identifier: Apache-2.0
 *
 * The attention kernel against the reference: sizes around its blocks, every form of mask, and rows that are masked out or not finite.
 */
#include "tests/unit/runtime/kernels_test.h"

enum { NONE, ROW, FULL }; /* forms of bias and choice */

struct sizes {
    size_t m, n, width, v_width;
};

struct operands {
    struct gbuf q, k, v, bias, choice;
    uint8_t *chosen; /* the last bytes of choice */
};

/* Rows of everything have a gap behind them; the choice ends at the page. */
static struct pt_attend make(struct operands *o, const struct sizes *s, int bias, int choice, bool k_columns)
{
    size_t q_ld = s->width + 3, k_ld = (k_columns ? s->n : s->width) + 1, v_ld = s->v_width + 2, mask_ld = s->n + 1;
    *o = (struct operands){gbuf_random((s->m - 1) * q_ld + s->width, 1),   gbuf_random((k_columns ? s->width - 1 : s->n - 1) * k_ld + k_ld - 1, 2),
                           gbuf_random((s->n - 1) * v_ld + s->v_width, 3), gbuf_random((bias == FULL ? s->m - 1 : 0) * mask_ld + s->n, 4),
                           gbuf_random((s->m * mask_ld + 3) / 4 + 1, 5),   NULL};
    size_t bytes = (choice == FULL ? s->m - 1 : 0) * mask_ld + s->n;
    o->chosen = (uint8_t *)(o->choice.p + o->choice.n) - bytes;
    for (size_t i = 0; i < bytes; i++)
        o->chosen[i] = (i * 2654435761u >> 7) % 3 ? (uint8_t)(1 + i % 250) : 0;
    return (struct pt_attend){.m = s->m,
                              .n = s->n,
                              .width = s->width,
                              .v_width = s->v_width,
                              .q = o->q.p,
                              .q_ld = q_ld,
                              .k = o->k.p,
                              .k_ld = k_ld,
                              .k_columns = k_columns,
                              .v = o->v.p,
                              .v_ld = v_ld,
                              .scale = 0.7f,
                              .fill = -3.0e38f,
                              .bias = bias ? o->bias.p : NULL,
                              .bias_ld = bias == FULL ? mask_ld : 0,
                              .choice = choice ? o->chosen : NULL,
                              .choice_ld = choice == FULL ? mask_ld : 0};
}

static void drop(struct operands *o)
{
    gbuf_free(&o->q);
    gbuf_free(&o->k);
    gbuf_free(&o->v);
    gbuf_free(&o->bias);
    gbuf_free(&o->choice);
}

static struct gbuf run(const struct pt_kernels *k, struct pt_attend a)
{
    a.y_ld = a.v_width + 1;
    struct gbuf y = gbuf_make((a.m - 1) * a.y_ld + a.v_width);
    void *work = test_alloc(k->attend_workspace(&a));
    a.y = y.p;
    k->attend(&a, work);
    pt_free(work);
    return y;
}

static void check(const struct pt_attend *a)
{
    struct gbuf want = run(&pt_kernels_ref, *a);
    const struct pt_kernels *k;
    for (size_t i = 0; (k = test_table(i)); i++) {
        struct gbuf got = run(k, *a);
        check_equal("attend", k, &want, &got, 4e-6f, 1e-5f); /* scores are sums of up to 400 products */
        gbuf_free(&got);
    }
    gbuf_free(&want);
}

static void sizes(void **state)
{
    (void)state;
    static const struct sizes all[] = {{1, 1, 1, 1},     {1, 300, 5, 33},  {3, 16, 8, 16},   {7, 17, 3, 5},     {12, 40, 16, 48},
                                       {13, 256, 4, 17}, {48, 257, 2, 31}, {49, 33, 32, 32}, {97, 100, 6, 1},   {5, 600, 3, 7},
                                       {50, 520, 1, 2},  {2, 3, 400, 4},   {6, 64, 385, 32}, {20, 272, 16, 64}, {1, 31, 64, 64}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (int k_columns = 0; k_columns < 2; k_columns++) {
            struct operands o;
            struct pt_attend a = make(&o, &all[i], NONE, NONE, k_columns);
            check(&a);
            drop(&o);
        }
}

static void masks(void **state)
{
    (void)state;
    static const struct sizes all[] = {{5, 37, 4, 9}, {50, 300, 2, 3}};
    for (size_t i = 0; i < 2; i++)
        for (int form = 0; form < 9 * 8; form++) {
            struct operands o;
            struct pt_attend a = make(&o, &all[i], form % 3, form / 3 % 3, false);
            a.keep = form / 9 & 1;
            a.bias_last = form / 9 & 2;
            if (form / 9 & 4)
                a.fill = -INFINITY;
            check(&a);
            drop(&o);
        }
}

/* Every row but the last few has one kind of trouble at one place, in the first block of keys or a later one. */
static void trouble(void **state)
{
    (void)state;
    static const float what[] = {-INFINITY, INFINITY, NAN, -3.4e38f, 3.4e38f};
    const struct sizes s = {24, 600, 3, 5};
    for (int zero_nan = 0; zero_nan < 2; zero_nan++) {
        struct operands o;
        struct pt_attend a = make(&o, &s, FULL, NONE, false);
        for (size_t i = 0; i < 20; i++) {
            bool all = i / 5 % 2;
            for (size_t j = 0; j < s.n; j++)
                if (all || j == (i < 10 ? 4 : 598))
                    o.bias.p[i * a.bias_ld + j] = what[i % 5];
        }
        for (size_t j = 0; j < 590; j++) /* two blocks with nothing but -inf, then something */
            o.bias.p[20 * a.bias_ld + j] = -INFINITY;
        for (size_t j = 10; j < s.n; j++) /* the other way round */
            o.bias.p[21 * a.bias_ld + j] = -INFINITY;
        for (size_t j = 0; j < s.n; j++) /* ever greater: every block scales down what was before */
            o.bias.p[22 * a.bias_ld + j] = 0.1f * (float)j;
        a.zero_nan = zero_nan;
        check(&a);
        o.v.p[7 * a.v_ld + 1] = INFINITY;
        o.v.p[550 * a.v_ld + 2] = NAN;
        check(&a);
        drop(&o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sizes), cmocka_unit_test(masks), cmocka_unit_test(trouble)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
