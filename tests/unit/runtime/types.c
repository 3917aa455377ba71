/* SPDX-License-Identifier: Apache-2.0
 *
 * types.c: conversions of element types: every code of the narrow ones there and back, rounding between neighbours, the ends of the range.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/ops/types.h"

static const enum pt_dtype narrow[] = {PT_FLOAT8E4M3FN, PT_FLOAT8E4M3FNUZ, PT_FLOAT8E5M2, PT_FLOAT8E5M2FNUZ,
                                       PT_FLOAT4E2M1,   PT_FLOAT8E8M0,     PT_FLOAT16,    PT_BFLOAT16};
#define NARROW (sizeof narrow / sizeof *narrow)

static double value_of(enum pt_dtype t, uint64_t code)
{
    uint64_t bits = code;
    struct pt_tensor x = {.dtype = t, .rank = 1, .dims = {1}, .data = &bits};
    return pt_elem_f64(&x, 0);
}

static uint64_t code_of(enum pt_dtype t, double v, struct pt_rounding how)
{
    uint64_t bits = 0;
    struct pt_tensor y = {.dtype = t, .rank = 1, .dims = {1}, .data = &bits};
    pt_store_f64_rounding(&y, 0, 1, &v, how);
    return bits;
}

static void every_code_survives(void **state)
{
    (void)state;
    for (size_t k = 0; k < NARROW; k++)
        for (uint64_t code = 0; code < UINT64_C(1) << pt_dtype_bits(narrow[k]); code++) {
            double v = value_of(narrow[k], code);
            if (v == v)
                assert_int_equal(code_of(narrow[k], v, (struct pt_rounding){.overflow = true}), code);
            else
                assert_true(isnan(value_of(narrow[k], code_of(narrow[k], v, (struct pt_rounding){0}))));
        }
}

/* Between neighbouring magnitudes the nearer wins, and in the middle the even code. */
static void the_nearest_wins(void **state)
{
    (void)state;
    for (size_t k = 0; k < NARROW; k++) {
        if (narrow[k] == PT_FLOAT8E8M0)
            continue;
        for (uint64_t code = 0; code < (UINT64_C(1) << (pt_dtype_bits(narrow[k]) - 1)) - 1; code++) {
            double a = value_of(narrow[k], code), b = value_of(narrow[k], code + 1), mid = (a + b) / 2;
            if (!(b - a > 0) || isinf(b))
                continue;
            assert_int_equal(code_of(narrow[k], mid, (struct pt_rounding){0}), code + (code & 1));
            assert_int_equal(code_of(narrow[k], nextafter(mid, 0), (struct pt_rounding){0}), code);
            assert_int_equal(code_of(narrow[k], nextafter(mid, INFINITY), (struct pt_rounding){0}), code + 1);
        }
    }
}

static void ends_of_the_range(void **state)
{
    (void)state;
    static const struct {
        enum pt_dtype t;
        double max, with_overflow;
    } rows[] = {{PT_FLOAT8E4M3FN, 448, NAN},
                {PT_FLOAT8E4M3FNUZ, 240, NAN},
                {PT_FLOAT8E5M2, 57344, INFINITY},
                {PT_FLOAT8E5M2FNUZ, 57344, NAN},
                {PT_FLOAT4E2M1, 6, 6}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int negative = 0; negative < 2; negative++) {
            double s = negative ? -1 : 1, big[] = {1e6, INFINITY};
            for (int k = 0; k < 2; k++) {
                assert_true(value_of(rows[i].t, code_of(rows[i].t, s * big[k], (struct pt_rounding){0})) == s * rows[i].max);
                double over = value_of(rows[i].t, code_of(rows[i].t, s * big[k], (struct pt_rounding){.overflow = true}));
                assert_true(isnan(rows[i].with_overflow) ? isnan(over) : over == s * rows[i].with_overflow);
            }
        }
    assert_int_equal(code_of(PT_FLOAT8E4M3FNUZ, -0.0, (struct pt_rounding){0}), 0);
    assert_int_equal(code_of(PT_FLOAT8E4M3FN, -0.0, (struct pt_rounding){0}), 0x80);
}

static void powers_of_two(void **state)
{
    (void)state;
    struct pt_rounding up = {.e8m0 = PT_ROUND_UP}, down = {.e8m0 = PT_ROUND_DOWN}, nearest = {0};
    assert_int_equal(code_of(PT_FLOAT8E8M0, 1.1, up), 128);
    assert_int_equal(code_of(PT_FLOAT8E8M0, 1.9, down), 127);
    assert_int_equal(code_of(PT_FLOAT8E8M0, 1.25, nearest), 127);
    assert_int_equal(code_of(PT_FLOAT8E8M0, 1.5, nearest), 128);
    assert_int_equal(code_of(PT_FLOAT8E8M0, 0, up), 0);
    assert_int_equal(code_of(PT_FLOAT8E8M0, INFINITY, up), 254);
    assert_int_equal(code_of(PT_FLOAT8E8M0, INFINITY, (struct pt_rounding){.overflow = true}), 255);
    assert_int_equal(code_of(PT_FLOAT8E8M0, 0, (struct pt_rounding){.overflow = true}), 255);
    assert_int_equal(code_of(PT_FLOAT8E8M0, NAN, up), 255);
}

static void packed_low_bits_first(void **state)
{
    (void)state;
    uint8_t bytes[2] = {0, 0};
    struct pt_tensor t = {.dtype = PT_INT4, .rank = 1, .dims = {3}, .data = bytes};
    pt_store_i64(&t, 0, 3, (int64_t[]){-8, 7, -1});
    assert_int_equal(bytes[0], 0x78);
    assert_int_equal(bytes[1], 0x0f);
    int64_t back[3];
    pt_load_i64(&t, 0, 3, back);
    assert_int_equal(back[0], -8);
    assert_int_equal(back[1], 7);
    assert_int_equal(back[2], -1);
    t.dtype = PT_UINT2;
    pt_store_i64(&t, 0, 3, (int64_t[]){1, 2, 3});
    assert_int_equal(bytes[0], 1 | 2 << 2 | 3 << 4 | 1 << 6); /* the fourth is left alone */
}

static void integers(void **state)
{
    (void)state;
    int8_t y;
    struct pt_tensor t = {.dtype = PT_INT8, .rank = 1, .dims = {1}, .data = &y};
    pt_store_i64(&t, 0, 1, &(int64_t){200});
    assert_int_equal(y, -56);
    pt_store_f64(&t, 0, 1, &(double){-3.9});
    assert_int_equal(y, -3);
    pt_store_f32(&t, 0, 1, &(float){NAN});
    assert_int_equal(y, 0);
    assert_int_equal(pt_int_min(PT_INT2), -2);
    assert_int_equal(pt_int_max(PT_INT2), 1);
    assert_int_equal(pt_int_min(PT_INT64), INT64_MIN);
    assert_true(pt_int_max(PT_UINT64) == UINT64_MAX);
    assert_int_equal(pt_int_max(PT_BOOL), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_survives), cmocka_unit_test(the_nearest_wins),      cmocka_unit_test(ends_of_the_range),
        cmocka_unit_test(powers_of_two),       cmocka_unit_test(packed_low_bits_first), cmocka_unit_test(integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
