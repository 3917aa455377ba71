/* SPDX-License-Identifier: Apache-2.0
 *
 * base_json.c: the reader on good and bad texts, at every place where a text can end, and number arrays both ways.
 */
#include "unit.h"

#include "base/json.h"
#include "base/rand.h"

#include <math.h>

/* The text in memory that ends with it, so that reading past it is caught. */
static struct pt_json reader(const char *text, size_t len)
{
    static char *copy;
    struct pt_json j;
    free(copy);
    copy = malloc(len ? len : 1);
    memcpy(copy, text, len);
    pt_json_init(&j, copy, len);
    return j;
}

static int whole(const char *text, size_t len, struct pt_err *err)
{
    struct pt_json j = reader(text, len);
    int rc = pt_json_skip(&j, err);
    return rc < 0 ? rc : pt_json_end(&j, err);
}

static void skips_what_is_json(void **state)
{
    static const char *const good[] = {"null", "true", "false", "0", "-1.5e+3", "\"\"", "[]", "{}", " [ 1 , [ ] , { } , null ] ", "{\"a\":{\"b\":[1,2]},\"c\":\"d\"}",
                                       "\t\r\n 1 ", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\ud83d\\ude00\"", "\"\xc3\xa9\x7f\"", "[[[[[[[[]]]]]]]]", "{\"\":0}", "{\"a\":1,\"a\":2}"};
    static const char *const bad[] = {"", " ", "nul", "nullx", "True", "+1", "01", "1.", ".1", "1e", "NaN", "Infinity", "-", "'a'", "\"", "\"\\\"", "\"\\x\"", "\"\\u12\"", "\"\\u123g\"",
                                      "\"\\ud800\"", "\"\\ud800x\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"\n\"", "\"\xff\"", "\"\xc3\"", "\"\xed\xa0\x80\"", "[", "]", "[1", "[1,", "[1,]", "[,1]",
                                      "[1 2]", "[1}", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{a:1}", "{1:1}", "{\"a\" 1}", "{\"a\":1]", "{,}", "1 2", "[] []", "//x\n1", "\x00"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_works(whole(good[i], strlen(good[i]), &err));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (whole(bad[i], strlen(bad[i]), NULL) != PT_EPARSE)
            fail_msg("'%s' was read", bad[i]);
    assert_int_equal(whole("[1\0]", 4, NULL), PT_EPARSE);
    struct pt_json nothing;
    pt_json_init(&nothing, NULL, 0);
    assert_fails(pt_json_skip(&nothing, &err), PT_EPARSE, "ends at byte 0");
}

static void every_prefix_is_refused(void **state)
{
    static const char text[] = "{\"name\": \"x\\ud83d\\ude00\xc3\xa9\", \"shape\" : [1, -2.5e+10, true, false, null, [], {}], \"d\":[[1,2],[3,4]]}";
    (void)state;
    for (size_t len = 0; len + 1 < sizeof text; len++)
        if (whole(text, len, NULL) != PT_EPARSE)
            fail_msg("%zu bytes were enough", len);
    assert_works(whole(text, sizeof text - 1, &err));
}

static void depth_is_bounded(void **state)
{
    char text[2 * PT_JSON_MAX_DEPTH + 4];
    (void)state;
    for (int extra = 0; extra < 2; extra++) {
        int depth = PT_JSON_MAX_DEPTH + extra;
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        if (extra)
            assert_fails(whole(text, 2 * (size_t)depth, &err), PT_EPARSE, "deeper than 64");
        else
            assert_works(whole(text, 2 * (size_t)depth, &err));
        struct pt_json j = reader(text, 2 * (size_t)depth);
        float none;
        assert_int_equal(pt_json_numbers(&j, PT_JE_F32, &none, 0, NULL), extra ? PT_EPARSE : PT_OK);
    }
    char *endless = malloc(1000000);
    memset(endless, '[', 1000000);
    assert_int_equal(whole(endless, 1000000, NULL), PT_EPARSE);
    memset(endless, '{', 1000000);
    assert_int_equal(whole(endless, 1000000, NULL), PT_EPARSE);
    free(endless);
}

static void reads_members(void **state)
{
    static const char text[] = " {\"i\\u0064\": \"a\\n\\u00e9\\ud83d\\ude00\\u0000b\", \"n\":-7, \"d\":2.5, \"t\":true, \"z\":null, \"rest\": [1, {\"x\":[2]}], \"arr\":[1,2,3]} ";
    struct pt_json j = reader(text, sizeof text - 1);
    struct pt_str key, raw = {0};
    pt_auto_buf s = PT_BUF_INIT(0);
    int64_t n = 0, sum = 0;
    double d = 0;
    bool t = false;
    int rc, seen = 0;
    (void)state;
    assert_int_equal(pt_json_kind(&j, NULL), PT_JSON_OBJECT);
    assert_works(pt_json_object(&j, &err));
    while ((rc = pt_json_member(&j, &key, NULL)) == 1) {
        seen++;
        if (pt_json_key_is(&key, "id"))
            assert_works(pt_json_string(&j, &s, &err));
        else if (pt_json_key_is(&key, "n"))
            assert_works(pt_json_i64(&j, &n, &err));
        else if (pt_json_key_is(&key, "d"))
            assert_works(pt_json_double(&j, &d, &err));
        else if (pt_json_key_is(&key, "t"))
            assert_works(pt_json_bool(&j, &t, &err));
        else if (pt_json_key_is(&key, "z"))
            assert_works(pt_json_null(&j, &err));
        else if (pt_json_key_is(&key, "rest"))
            assert_works(pt_json_value(&j, &raw, &err));
        else {
            assert_true(pt_json_key_is(&key, "arr") && !pt_json_key_is(&key, "ar") && !pt_json_key_is(&key, "arrr"));
            assert_works(pt_json_array(&j, &err));
            for (int64_t v; pt_json_element(&j, NULL) == 1; sum += v)
                assert_works(pt_json_i64(&j, &v, &err));
        }
    }
    assert_int_equal(rc, 0);
    assert_int_equal(seen, 7);
    assert_works(pt_json_end(&j, &err));
    assert_int_equal(s.len, 10);
    assert_memory_equal(s.data, "a\n\xc3\xa9\xf0\x9f\x98\x80\0b", 10);
    assert_true(n == -7 && d == 2.5 && t && sum == 6);
    assert_true(pt_str_eq(raw, PT_STR("[1, {\"x\":[2]}]")));
}

static void names_what_is_wrong(void **state)
{
    struct pt_json j;
    struct pt_str key;
    pt_auto_buf s = PT_BUF_INIT(3);
    int64_t n;
    double d;
    bool b;
    (void)state;
#define ON(text) (j = reader(text, sizeof text - 1))
    assert_fails((ON("  [1]"), pt_json_object(&j, &err)), PT_EPARSE, "'[' at byte 2, an object is expected");
    assert_fails((ON("1.5"), pt_json_i64(&j, &n, &err)), PT_EPARSE, "1.5");
    assert_fails((ON("9223372036854775808"), pt_json_i64(&j, &n, &err)), PT_EPARSE, "64 bits");
    assert_works((ON("-9223372036854775808"), pt_json_i64(&j, &n, &err)));
    assert_fails((ON("-9223372036854775809"), pt_json_i64(&j, &n, &err)), PT_EPARSE, "-9223372036854775809");
    assert_fails((ON("1e999"), pt_json_double(&j, &d, &err)), PT_EPARSE, "too large");
    assert_fails((ON("tru"), pt_json_bool(&j, &b, &err)), PT_EPARSE, "true or false");
    assert_fails((ON("\"abcd\""), pt_json_string(&j, &s, &err)), PT_ELIMIT, "3 bytes");
    assert_fails((ON("7"), pt_json_string(&j, &s, &err)), PT_EPARSE, "a string is expected");
    assert_fails((ON(""), pt_json_kind(&j, &err)), PT_EPARSE, "the text ends at byte 0");
    assert_fails((ON("\x01"), pt_json_kind(&j, &err)), PT_EPARSE, "byte 0x01 at 0");
    ON("{\"a\":1;");
    assert_works(pt_json_object(&j, &err));
    assert_int_equal(pt_json_member(&j, &key, NULL), 1);
    assert_works(pt_json_i64(&j, &n, &err));
    assert_fails(pt_json_member(&j, &key, &err), PT_EPARSE, "';' at byte 6");
}

static int numbers(const char *text, enum pt_json_elem type, void *out, size_t count, struct pt_err *err)
{
    struct pt_json j = reader(text, strlen(text));
    int rc = pt_json_numbers(&j, type, out, count, err);
    return rc < 0 ? rc : pt_json_end(&j, err);
}

static void reads_arrays_of_each_type(void **state)
{
    (void)state;
#define READS(c_type, elem, text, ...) \
    do { \
        const c_type want[] = {__VA_ARGS__}; \
        c_type got[sizeof want / sizeof *want]; \
        assert_works(numbers(text, elem, got, sizeof want / sizeof *want, &err)); \
        assert_memory_equal(got, want, sizeof want); \
    } while (0)
    READS(uint8_t, PT_JE_BOOL, "[true,false,1,0, true ]", 1, 0, 1, 0, 1);
    READS(uint8_t, PT_JE_U8, "[0,255,1e2]", 0, 255, 100);
    READS(uint16_t, PT_JE_U16, "[65535]", 65535);
    READS(uint32_t, PT_JE_U32, "[4294967295,7.0]", 4294967295u, 7);
    READS(uint64_t, PT_JE_U64, "[18446744073709551615,-0]", UINT64_MAX, 0);
    READS(int8_t, PT_JE_I8, "[-128,127]", -128, 127);
    READS(int16_t, PT_JE_I16, "[-32768,32767]", -32768, 32767);
    READS(int32_t, PT_JE_I32, "[-2147483648,2147483647]", INT32_MIN, INT32_MAX);
    READS(int64_t, PT_JE_I64, "[-9223372036854775808,9223372036854775807]", INT64_MIN, INT64_MAX);
    READS(uint16_t, PT_JE_F16, "[1,-0.0,65504,65519.99,5.9604644775390625e-8]", 0x3c00, 0x8000, 0x7bff, 0x7bff, 1);
    READS(uint16_t, PT_JE_BF16, "[1,-2.5,1e-45]", 0x3f80, 0xc020, 0);
    READS(float, PT_JE_F32, "[0.1,-1e-3,16777217,3.4028235e38]", 0.1f, -1e-3f, 16777216.0f, 3.4028235e38f);
    READS(double, PT_JE_F64, "[[0.1],[[-0.0]], [1e308]]", 0.1, -0.0, 1e308);
    READS(float, PT_JE_F32, " [ [ 1 , 2 ] ,\n[ 3 ,\t4 ] ] ", 1, 2, 3, 4);
    READS(float, PT_JE_F32, "[[],[[],1],[]]", 1);
    assert_works(numbers("[]", PT_JE_F32, NULL, 0, &err));
    assert_works(numbers("[[],[]]", PT_JE_F32, NULL, 0, &err));
}

static void refuses_bad_arrays(void **state)
{
    uint8_t out[64];
    const struct {
        enum pt_json_elem type;
        const char *text, *part;
    } rows[] = {{PT_JE_U8, "[256]", "element 0: 256 does not fit UINT8"}, {PT_JE_U8, "[-1]", "-1 does not fit"}, {PT_JE_I8, "[128]", "128"}, {PT_JE_I8, "[-129]", "-129"},
                {PT_JE_I32, "[1.5]", "1.5 does not fit INT32"}, {PT_JE_I64, "[9223372036854775808]", "INT64"}, {PT_JE_U64, "[18446744073709551616]", "UINT64"}, {PT_JE_BOOL, "[2]", "BOOL"},
                {PT_JE_F32, "[3.5e38]", "FP32"}, {PT_JE_F16, "[65520]", "FP16"}, {PT_JE_BF16, "[3.4e38]", "BF16"}, {PT_JE_F64, "[-1e400]", "FP64"}, {PT_JE_F32, "[true]", "FP32 is expected"},
                {PT_JE_F32, "[\"1\"]", "FP32 is expected"}, {PT_JE_F32, "[null]", "element 0"}, {PT_JE_F32, "[1,2]", "2 elements, 1 are expected"}, {PT_JE_F32, "[]", "0 elements, 1 are expected"},
                {PT_JE_F32, "[{}]", "expected"}, {PT_JE_I32, "[-0.5]", "-0.5"}};
    static const char *const malformed[] = {"1", "{}", "", "[", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1]]", "[[1]", "[1}", "[01]", "[.5]", "[1.]", "[NaN]", "[-]", "[1e]", "[1],", "[1]1", "[tru]"};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_fails(numbers(rows[i].text, rows[i].type, out, 1, &err), PT_EINVAL, rows[i].part);
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
        if (numbers(malformed[i], strstr(malformed[i], "tru") ? PT_JE_BOOL : PT_JE_F32, out, 1, NULL) != PT_EPARSE)
            fail_msg("'%s' was read", malformed[i]);
}

static void number_arrays_are_left_where_they_end(void **state)
{
    struct pt_json j = reader("{\"data\":[1,2],\"x\":[[3]]}", 24);
    struct pt_str key;
    float v[2];
    (void)state;
    assert_works(pt_json_object(&j, &err));
    assert_int_equal(pt_json_member(&j, &key, NULL), 1);
    assert_works(pt_json_numbers(&j, PT_JE_F32, v, 2, &err));
    assert_int_equal(pt_json_member(&j, &key, NULL), 1);
    assert_works(pt_json_numbers(&j, PT_JE_F32, v, 1, &err));
    assert_int_equal(pt_json_member(&j, &key, NULL), 0);
    assert_works(pt_json_end(&j, &err));
    assert_true(v[0] == 3);
}

static void writes_numbers(void **state)
{
    pt_auto_buf b = PT_BUF_INIT(0);
    (void)state;
#define WRITES(c_type, elem, text, ...) \
    do { \
        const c_type v[] = {__VA_ARGS__}; \
        pt_buf_reset(&b); \
        assert_true(pt_json_put_numbers(&b, elem, v, sizeof v / sizeof *v)); \
        assert_string_equal(pt_buf_cstr(&b), text); \
    } while (0)
    WRITES(float, PT_JE_F32, "0.1,1.0,-0.0,null,null,1e30,16777216.0", 0.1f, 1, -0.0f, NAN, -INFINITY, 1e30f, 16777216);
    WRITES(double, PT_JE_F64, "0.1,100.0,5e-324", 0.1, 100, 5e-324);
    WRITES(uint16_t, PT_JE_F16, "1.0,null,5.9604645e-8", 0x3c00, 0x7e00, 1);
    WRITES(uint16_t, PT_JE_BF16, "1.0,-2.5", 0x3f80, 0xc020);
    WRITES(uint8_t, PT_JE_BOOL, "true,false,true", 1, 0, 2);
    WRITES(int8_t, PT_JE_I8, "-128,127", -128, 127);
    WRITES(uint8_t, PT_JE_U8, "255", 255);
    WRITES(int16_t, PT_JE_I16, "-32768", -32768);
    WRITES(uint16_t, PT_JE_U16, "65535", 65535);
    WRITES(int32_t, PT_JE_I32, "-2147483648", INT32_MIN);
    WRITES(uint32_t, PT_JE_U32, "4294967295", UINT32_MAX);
    WRITES(int64_t, PT_JE_I64, "-9223372036854775808,0", INT64_MIN, 0);
    WRITES(uint64_t, PT_JE_U64, "18446744073709551615", UINT64_MAX);
    pt_buf_reset(&b);
    assert_true(pt_json_put_numbers(&b, PT_JE_F32, NULL, 0) && b.len == 0);
    pt_json_put_double(&b, 0.5);
    pt_buf_putc(&b, ' ');
    pt_json_put_double(&b, NAN);
    assert_string_equal(pt_buf_cstr(&b), "0.5 null");
    pt_auto_buf small = PT_BUF_INIT(100);
    double many[200] = {0};
    assert_false(pt_json_put_numbers(&small, PT_JE_F64, many, 200));
    assert_int_equal(small.failed, PT_ELIMIT);
}

static void arrays_read_back_equal(void **state)
{
    enum { N = 20000 };
    static float f[N], g[N];
    static double d[N], e[N];
    struct pt_rand r;
    (void)state;
    pt_rand_init(&r, 5);
    for (int i = 0; i < N; i++) {
        do {
            uint32_t bits = pt_rand_u32(&r);
            memcpy(&f[i], &bits, 4);
        } while (!isfinite(f[i]));
        do {
            uint64_t bits = (uint64_t)pt_rand_u32(&r) << 32 | pt_rand_u32(&r);
            memcpy(&d[i], &bits, 8);
        } while (!isfinite(d[i]));
    }
    for (int wide = 0; wide < 2; wide++) {
        pt_auto_buf b = PT_BUF_INIT(0);
        pt_buf_putc(&b, '[');
        pt_json_put_numbers(&b, wide ? PT_JE_F64 : PT_JE_F32, wide ? (void *)d : (void *)f, N);
        pt_buf_putc(&b, ']');
        assert_works(numbers(pt_buf_cstr(&b), wide ? PT_JE_F64 : PT_JE_F32, wide ? (void *)e : (void *)g, N, &err));
    }
    assert_memory_equal(f, g, sizeof f);
    assert_memory_equal(d, e, sizeof d);
}

static int read_a_string(void)
{
    struct pt_json j;
    struct pt_buf s = PT_BUF_INIT(0);
    static const char text[] = "\"some text that is longer than sixty-four bytes, so that the buffer grows twice\\n and on\"";
    pt_json_init(&j, text, sizeof text - 1);
    int rc = pt_json_string(&j, &s, NULL);
    pt_buf_finish(&s);
    return rc;
}

static void strings_without_memory(void **state)
{
    (void)state;
    with_failing_memory(rc = read_a_string());
}

/* Of every length, with every byte in every place. */
static void finds_what_is_not_plain(void **state)
{
    char text[48];
    (void)state;
    for (size_t len = 0; len <= sizeof text; len++) {
        memset(text, 'x', sizeof text);
        assert_int_equal(pt_json_plain(text, len), len);
        for (size_t at = 0; at < len; at++) {
            for (int c = 0; c < 256; c++) {
                text[at] = (char)c;
                size_t wanted = c < ' ' || c >= 0x80 || c == '"' || c == '\\' ? at : len;
                if (pt_json_plain(text, len) != wanted)
                    fail_msg("byte 0x%02x at %zu of %zu: %zu", c, at, len, pt_json_plain(text, len));
            }
            text[at] = 'x';
        }
    }
}

static void names_with_escapes(void **state)
{
    static const struct {
        const char *raw, *name;
        bool is;
    } rows[] = {{"id", "id", true},        {"id", "i", false},  {"i", "id", false},       {"", "", true},
                {"", "a", false},          {"a", "", false},    {"\\u0069d", "id", true}, {"i\\u0064", "id", true},
                {"i\\u0065", "id", false}, {"\\n", "n", false}, {"\\/a", "/a", true},     {"ida", "id", false},
                {"\\u0069", "", false}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pt_str raw = pt_str(rows[i].raw);
        if (pt_json_key_is(&raw, rows[i].name) != rows[i].is)
            fail_msg("%s is %s%s", rows[i].raw, rows[i].is ? "not " : "", rows[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_is_not_plain),   cmocka_unit_test(names_with_escapes),
        cmocka_unit_test(skips_what_is_json),        cmocka_unit_test(every_prefix_is_refused), cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(reads_members),             cmocka_unit_test(names_what_is_wrong),     cmocka_unit_test(reads_arrays_of_each_type),
        cmocka_unit_test(refuses_bad_arrays),        cmocka_unit_test(number_arrays_are_left_where_they_end),
        cmocka_unit_test(writes_numbers),            cmocka_unit_test(arrays_read_back_equal),  cmocka_unit_test(strings_without_memory),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
