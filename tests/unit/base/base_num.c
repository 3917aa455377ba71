/* SPDX-License-Identifier: Apache-2.0
 *
 * base_num.c: numbers as text against the C library: reading must equal strtod and strtof bit for bit, writing must read back equal and be
 * as short as the shortest %.Ne that does.
 */
#include "unit.h"

#include "base/num.h"
#include "base/rand.h"

#include <float.h>
#include <math.h>

static struct pt_num scanned(const char *text)
{
    struct pt_num n;
    const char *end = text + strlen(text);
    assert_ptr_equal(pt_num_scan(text, end, &n), end);
    return n;
}

/* As one of many: how many of "TEXT,REST" are read at once, where REST is no number. */
static size_t among_many(const char *text, const char *comma, float *out)
{
    static const char rest[] = "no number, and more than enough to read ahead";
    size_t len = strlen(text) + strlen(comma), size = len + sizeof rest - 1;
    char *all = malloc(size); /* exactly: what reads past the end is seen by the sanitizer */
    assert_non_null(all);
    memcpy(all, text, strlen(text));
    memcpy(all + strlen(text), comma, strlen(comma));
    memcpy(all + len, rest, sizeof rest - 1);
    const char *p = all;
    size_t n = pt_num_read_f32s(&p, all + size, out, 2);
    assert_ptr_equal(p, n ? all + len : all);
    free(all);
    return n;
}

static void reads_exactly(const char *text)
{
    struct pt_num n = scanned(text);
    double d = pt_num_to_f64(&n), want = strtod(text, NULL);
    float f = pt_num_to_f32(&n), want_f = strtof(text, NULL);
    if (memcmp(&d, &want, sizeof d) != 0)
        fail_msg("%s: %a, not %a", text, d, want);
    if (memcmp(&f, &want_f, sizeof f) != 0)
        fail_msg("%s: %a, not %a", text, (double)f, (double)want_f);
    if (among_many(text, ", ", &f) && memcmp(&f, &want_f, sizeof f) != 0)
        fail_msg("%s among many: %a, not %a", text, (double)f, (double)want_f);
}

static void reads_many(void **state)
{
    static const char *const plain[] = {
        "0", "-0", "1", "-17", "0.5", "-0.5", "12345678.9", "0.12345678955888748", "1234567890123456789", "-1.234567890123456789"};
    static const char *const others[] = {
        "01",  "-01.5", "1.", "-.5", ".5", "-", "", "+1", "--1", "1-", "1e5", "1.5E2", "1.5.2", "0x1", "12345678901234567890",
        "NaN", "null",  "[1", "1]",  "1 "};
    float f;
    (void)state;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        assert_int_equal(among_many(plain[i], ",", &f), 1);
        assert_int_equal(among_many(plain[i], ", ", &f), 1);
        reads_exactly(plain[i]);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (among_many(others[i], ",", &f))
            fail_msg("\"%s\" is read as %a", others[i], (double)f);
    const char text[] = "1,-2.5, 3,4.25 ,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20", *p = text;
    float v[20];
    assert_int_equal(pt_num_read_f32s(&p, text + sizeof text - 1, v, 20), 3); /* a blank stands before a comma */
    assert_ptr_equal(p, text + 10);
    assert_true(v[0] == 1 && v[1] == -2.5F && v[2] == 3);
    p = text;
    assert_int_equal(pt_num_read_f32s(&p, text + sizeof text - 1, v, 2), 2);
    assert_int_equal(pt_num_read_f32s(&p, text + 41, v, 2), 0); /* too near to the end */
}

static void reads_hard_cases(void **state)
{
    static const char *const texts[] = {
        "0",
        "-0",
        "0.0",
        "-0e5",
        "1",
        "-1",
        "0.1",
        "1e22",
        "1e23",
        "9007199254740993",
        "9007199254740992.5",
        "9007199254740993.0000000000000000000001",
        "1.7976931348623157e308",
        "1.7976931348623158e308",
        "1.7976931348623159e308",
        "1e309",
        "-1e400",
        "1e1000000000",
        "1e99999999999999999999",
        "2.2250738585072011e-308",
        "2.2250738585072014e-308",
        "4.9e-324",
        "5e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "1e-400",
        "1e-1000000000",
        "2.47032822920623272088284396434110686182e-324",
        "3.4028234663852886e38",
        "3.4028235677973366e38",
        "3.4028235677973365e38",
        "1.17549435e-38",
        "1.1754942106924411e-38",
        "1.4e-45",
        "7.006492321624085e-46",
        "7.0064923216240853e-46",
        "7.0064923216240854e-46",
        "16777217",
        "16777217.000000000000000000000000000001",
        "16777216.999999999999999999999",
        "33554433",
        "8388608.5",
        "8388609.5",
        "0.000030517578125",
        "123456789012345678",
        "1234567890123456789",
        "12345678901234567890",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999999999999999999",
        "0.000000000000000000000000000000000000000000000000000000000000001",
        "6.631236846766476e-316",
        "1.00000017881393421514957253748434595763683319091796875001",
        "1.00000017881393432617187499",
        "1.00000017881393432617187500",
        "1.00000017881393432617187501",
        "7.2057594037927933e16",
        "5708990770823839524233143877797980545530986496e-10",
        "358416272e-33",
        "3.518437208883201171875e13",
        "62.5364939768271845828",
        "8.10109172351e-10",
        "1.50000000000000011102230246251565",
        "9007199254740991.4999999999999999999999999999999995",
        "2."
        "22507385850720212418870147920222032907240528279439037814303133837435107319244194686754406432563881851382188218502438069999947733013005649884"
        "10779192874134192929720097048195199306799329096904278406473168204156592672863293363047467012331685298342215274451726083585965456631928283524"
        "47877877998943107797838336991592885945552137141811284582511455843192230798975043950868594124572308917389461693683723211913736589779777232866"
        "98840356390251044443035457396733706583981055420456693824658413747607155981176573877626747665912387199931904006317334709003012790188175203447"
        "19025002806127777791679839109057858400646471594381051148915428277504117468219413395246668250343130618158782937900420539237507208336669324158"
        "0002758391118854188641513168478436313080237596295773983001708984375e-308",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        reads_exactly(texts[i]);
}

/* Beyond the digits that a double can need, the last one of a million still decides. */
static void reads_long_texts(void **state)
{
    enum { LEN = 1000000 };
    char *text = malloc(LEN + 40);
    (void)state;
    assert_non_null(text);
    strcpy(text, "9007199254740993.");
    size_t start = strlen(text);
    memset(text + start, '0', LEN - start);
    strcpy(text + LEN, "0");
    reads_exactly(text);
    strcpy(text + LEN, "1");
    reads_exactly(text);
    memset(text, '0', LEN);
    text[1] = '.';
    strcpy(text + LEN, "17e1000000"); /* 1e6 places down and up again */
    reads_exactly(text);
    memset(text, '1', LEN);
    strcpy(text + LEN, "e-999999");
    reads_exactly(text);
    strcpy(text + LEN, "");
    reads_exactly(text);
    free(text);
}

static void reads_random_texts(void **state)
{
    struct pt_rand r;
    char text[64];
    (void)state;
    pt_rand_init(&r, 11);
    for (int i = 0; i < 100000; i++) {
        char *p = text;
        unsigned whole = 1 + pt_rand_below(&r, 21), fraction = pt_rand_below(&r, 20);
        for (unsigned k = 0; k < whole; k++)
            *p++ = (char)('0' + (k == 0 && whole > 1 ? 1 + pt_rand_below(&r, 9) : pt_rand_below(&r, 10)));
        if (fraction)
            *p++ = '.';
        for (unsigned k = 0; k < fraction; k++)
            *p++ = (char)('0' + pt_rand_below(&r, 10));
        *p = '\0';
        if (pt_rand_below(&r, 2))
            sprintf(p, "e%d", (int)pt_rand_below(&r, pt_rand_below(&r, 2) ? 720 : 100) - (i & 1 ? 360 : 50));
        reads_exactly(text);
    }
}

/* Texts that lie exactly between two floats or doubles, and just beside. */
static void reads_midpoints(void **state)
{
    struct pt_rand r;
    char text[1100];
    (void)state;
    pt_rand_init(&r, 12);
    for (int i = 0; i < 20000; i++) {
        uint32_t bits = pt_rand_u32(&r) & 0x7fffffff;
        float f, g;
        memcpy(&f, &bits, 4);
        g = nextafterf(f, INFINITY);
        if (!isfinite(f) || !isfinite(g))
            continue;
        double mid = ((double)f + (double)g) / 2; /* exact */
        sprintf(text, "%.200e", mid);
        reads_exactly(text);
        char *e = strchr(text, 'e'), tail[8];
        strcpy(tail, e);
        sprintf(e, "0000000001%s", tail);
        reads_exactly(text);
    }
    for (int i = 0; i < 2000; i++) {
        uint64_t bits = ((uint64_t)pt_rand_u32(&r) << 32 | pt_rand_u32(&r)) & (UINT64_MAX >> 1);
        double d;
        memcpy(&d, &bits, 8);
        double next = nextafter(d, INFINITY);
        if (!isfinite(d) || !isfinite(next))
            continue;
        long double mid = ((long double)d + (long double)next) / 2;
        if (LDBL_MANT_DIG < 64)
            break;
        sprintf(text, "%.900Le", mid);
        reads_exactly(text);
    }
}

static void refuses_what_is_no_number(void **state)
{
    static const char *const bad[] = {"",    "-",    "+1", ".5",  "1.",       "01",  "-01", "00", "1e",
                                      "1e+", "1.e5", "e5", "NaN", "Infinity", "- 1", "--1", "0x1"};
    struct pt_num n;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *end = pt_num_scan(bad[i], bad[i] + strlen(bad[i]), &n);
        if (end == bad[i] + strlen(bad[i]))
            fail_msg("'%s' was read", bad[i]);
    }
    const char *rest = "12,3";
    assert_ptr_equal(pt_num_scan(rest, rest + 4, &n), rest + 2);
}

/* Every prefix, in memory that ends there. */
static void stops_at_the_end(void **state)
{
    const char text[] = "-1234567890.12345678901234567890e+123";
    (void)state;
    for (size_t len = 0; len < sizeof text; len++) {
        char *copy = malloc(len ? len : 1);
        struct pt_num n;
        memcpy(copy, text, len);
        const char *end = pt_num_scan(copy, copy + len, &n);
        assert_true(!end || end <= copy + len);
        if (end)
            assert_true(isfinite(pt_num_to_f64(&n)));
        free(copy);
    }
}

static void whole_numbers(void **state)
{
    const struct {
        const char *text;
        bool fits;
        uint64_t value;
    } rows[] = {{"0", true, 0},
                {"1", true, 1},
                {"1.0", true, 1},
                {"12.50e1", true, 125},
                {"1e3", true, 1000},
                {"0e99999", true, 0},
                {"0.0e-99999", true, 0},
                {"18446744073709551615", true, UINT64_MAX},
                {"18446744073709551616", false, 0},
                {"1e19", true, 10000000000000000000u},
                {"1e20", false, 0},
                {"1.5", false, 0},
                {"1e-1", false, 0},
                {"10e-1", true, 1},
                {"99999999999999999999999", false, 0},
                {"12345678901234567890", true, 12345678901234567890u},
                {"00.1", false, 0},
                {"1e-99999999", false, 0},
                {"1e99999999", false, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pt_num n;
        uint64_t v;
        if (!pt_num_scan(rows[i].text, rows[i].text + strlen(rows[i].text), &n))
            continue;
        if (pt_num_to_u64(&n, &v) != rows[i].fits || (rows[i].fits && v != rows[i].value))
            fail_msg("%s", rows[i].text);
    }
}

static int significant(const char *text)
{
    int count = 0, zeros = 0;
    for (const char *p = text; *p && *p != 'e'; p++)
        if (*p >= '1' && *p <= '9')
            count += zeros + 1, zeros = 0;
        else if (*p == '0' && count)
            zeros++;
    return count;
}

static void writes_double(double v)
{
    char text[PT_NUM_MAX + 1], other[64];
    int digits = 1;
    size_t len = pt_num_put_f64(text, v);
    assert_true(len < PT_NUM_MAX);
    text[len] = '\0';
    double back = strtod(text, NULL);
    if (memcmp(&back, &v, sizeof v) != 0)
        fail_msg("%a became %s", v, text);
    for (; digits < 17; digits++) {
        snprintf(other, sizeof other, "%.*e", digits - 1, v);
        if (strtod(other, NULL) == v)
            break;
    }
    if (significant(text) > digits && strpbrk(text, ".e")) /* whole numbers are written exactly, in as many characters */
        fail_msg("%s is longer than %s", text, other);
}

static void writes_float(float v)
{
    char text[PT_NUM_MAX + 1], other[64];
    int digits = 1;
    size_t len = pt_num_put_f32(text, v);
    assert_true(len < PT_NUM_MAX);
    text[len] = '\0';
    float back = strtof(text, NULL);
    if (memcmp(&back, &v, sizeof v) != 0)
        fail_msg("%a became %s", (double)v, text);
    for (; digits < 9; digits++) {
        snprintf(other, sizeof other, "%.*e", digits - 1, (double)v);
        if (strtof(other, NULL) == v)
            break;
    }
    if (significant(text) > digits && strpbrk(text, ".e")) /* whole numbers are written exactly, in as many characters */
        fail_msg("%s is longer than %s", text, other);
}

static void writes_random_numbers(void **state)
{
    struct pt_rand r;
    (void)state;
    pt_rand_init(&r, 13);
    for (int i = 0; i < 50000; i++) {
        uint64_t bits = (uint64_t)pt_rand_u32(&r) << 32 | pt_rand_u32(&r);
        uint32_t low = pt_rand_u32(&r);
        double d;
        float f;
        memcpy(&d, &bits, 8);
        memcpy(&f, &low, 4);
        if (isfinite(d))
            writes_double(d);
        if (isfinite(f))
            writes_float(f);
        writes_double(pt_rand_normal(&r));
        writes_float((float)pt_rand_normal(&r));
        writes_double((double)pt_rand_below(&r, 100000) / 1000);
        writes_float((float)pt_rand_below(&r, 100000) / 1000);
        writes_double((double)bits);
        writes_float((float)low);
    }
}

/* Borders: all powers of two and their neighbours, all powers of ten, the smallest and the largest. */
static void writes_borders(void **state)
{
    (void)state;
    for (int e = -1074; e <= 1023; e++) {
        double v = ldexp(1, e);
        writes_double(v);
        writes_double(-nextafter(v, 0));
        writes_double(nextafter(v, INFINITY));
    }
    for (int e = -149; e <= 127; e++) {
        float v = ldexpf(1, e);
        writes_float(v);
        writes_float(-nextafterf(v, 0));
        writes_float(nextafterf(v, INFINITY));
    }
    for (int e = -323; e <= 308; e++) {
        char text[16];
        sprintf(text, "1e%d", e);
        writes_double(strtod(text, NULL));
        writes_float(e > -45 && e < 39 ? strtof(text, NULL) : 0);
    }
    writes_double(DBL_MAX);
    writes_float(FLT_MAX);
}

static void writes_as_people_do(void **state)
{
    const struct {
        double v;
        const char *text;
    } rows[] = {{0, "0"},
                {-0.0, "-0"},
                {1, "1"},
                {-1, "-1"},
                {0.1, "0.1"},
                {100, "100"},
                {123456, "123456"},
                {16777216, "16777216"},
                {1e15, "1000000000000000"},
                {1e16, "1e16"},
                {0.001, "0.001"},
                {0.0001, "0.0001"},
                {0.00001, "1e-5"},
                {1.5e-7, "1.5e-7"},
                {1e21, "1e21"},
                {1.25e300, "1.25e300"},
                {12.5, "12.5"},
                {NAN, "NaN"},
                {INFINITY, "+Inf"},
                {-INFINITY, "-Inf"},
                {1.0 / 3, "0.3333333333333333"},
                {5e-324, "5e-324"},
                {123456789.125, "123456789.125"}};
    char text[PT_NUM_MAX + 1];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        text[pt_num_put_f64(text, rows[i].v)] = '\0';
        assert_string_equal(text, rows[i].text);
    }
    text[pt_num_put_f32(text, 0.1f)] = '\0';
    assert_string_equal(text, "0.1");
    text[pt_num_put_f32(text, 16777216.0f * 3)] = '\0';
    assert_string_equal(text, "50331648");
    text[pt_num_put_i64(text, INT64_MIN)] = '\0';
    assert_string_equal(text, "-9223372036854775808");
    text[pt_num_put_u64(text, UINT64_MAX)] = '\0';
    assert_string_equal(text, "18446744073709551615");
    for (uint64_t v = 1, k = 0; k < 20; k++, v *= 10) {
        char want[32];
        sprintf(want, "%llu", (unsigned long long)v);
        text[pt_num_put_u64(text, v)] = '\0';
        assert_string_equal(text, want);
        sprintf(want, "%llu", (unsigned long long)(v - 1));
        text[pt_num_put_u64(text, v - 1)] = '\0';
        assert_string_equal(text, want);
    }
}

/* All 65,536 of both kinds, and what lies between neighbours. */
static void half_floats(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        uint16_t (*bits_of)(double) = kind ? pt_num_bf16_bits : pt_num_f16_bits;
        double (*value_of)(uint16_t) = kind ? pt_num_bf16_value : pt_num_f16_value;
        unsigned infinity = kind ? 0x7f80 : 0x7c00;
        for (unsigned h = 0; h < 0x10000; h++) {
            double v = value_of((uint16_t)h);
            if ((h & 0x7fff) > infinity) {
                assert_true(isnan(v) && (bits_of(v) & 0x7fff) > infinity);
                continue;
            }
            assert_int_equal(bits_of(v), h);
            if ((h & 0x7fff) + 1 > infinity)
                continue;
            double next = value_of((uint16_t)(h + 1)), mid;
            if ((h & 0x7fff) + 1 == infinity) { /* the next step would be infinite */
                double step = v - value_of((uint16_t)(h - 1));
                next = v + step;
            }
            mid = v + (next - v) / 2;
            assert_int_equal(bits_of(mid), h + (h & 1));
            assert_int_equal(bits_of(nextafter(mid, v)), h);
            assert_int_equal(bits_of(nextafter(mid, next)), h + 1);
        }
        assert_int_equal(bits_of(1e300), infinity);
        assert_int_equal(bits_of(-1e300), infinity | 0x8000);
        assert_int_equal(bits_of(1e-300), 0);
    }
    assert_true(pt_num_f16_value(0x3c00) == 1 && pt_num_f16_value(0x7bff) == 65504 && pt_num_f16_value(1) == ldexp(1, -24));
    assert_true(pt_num_bf16_value(0x3f80) == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_hard_cases),   cmocka_unit_test(reads_many),          cmocka_unit_test(reads_long_texts),
        cmocka_unit_test(reads_random_texts), cmocka_unit_test(reads_midpoints),     cmocka_unit_test(refuses_what_is_no_number),
        cmocka_unit_test(stops_at_the_end),   cmocka_unit_test(whole_numbers),       cmocka_unit_test(writes_random_numbers),
        cmocka_unit_test(writes_borders),     cmocka_unit_test(writes_as_people_do), cmocka_unit_test(half_floats),
    };
    return cmocka_run_group_tests_name("num", tests, NULL, NULL);
}
