/* SPDX-License-Identifier: Apache-2.0
 *
 * base_str.c: slices and the strict parsers, good and bad values as tables.
 */
#include "unit.h"

#include <time.h>

static void slices(void **state)
{
    struct pt_str rest = PT_STR("a,,b"), part;
    (void)state;
    assert_true(pt_str_eq(PT_STR("ab"), pt_str("ab")) && !pt_str_eq(PT_STR("ab"), PT_STR("a")) && pt_str_eq((struct pt_str){0}, PT_STR("")));
    assert_true(pt_str_eq_nocase(PT_STR("Content-TYPE"), PT_STR("content-type")) && !pt_str_eq_nocase(PT_STR("a"), PT_STR("b")));
    assert_true(pt_str_starts(PT_STR("abc"), PT_STR("ab")) && pt_str_starts(PT_STR("abc"), PT_STR("")) && !pt_str_starts(PT_STR("a"), PT_STR("ab")));
    assert_true(pt_str_eq(pt_str_trim(PT_STR(" \t a b\r\n")), PT_STR("a b")) && pt_str_trim(PT_STR("  ")).len == 0);
    const char *parts[] = {"a", "", "b"};
    for (int i = 0; i < 3; i++) {
        assert_true(pt_str_split(&rest, ',', &part));
        assert_true(pt_str_eq(part, pt_str(parts[i])));
    }
    assert_false(pt_str_split(&rest, ',', &part));
    rest = PT_STR("");
    assert_true(pt_str_split(&rest, ',', &part) && part.len == 0);
    assert_false(pt_str_split(&rest, ',', &part));
}

static void whole_numbers(void **state)
{
    int64_t v;
    (void)state;
    assert_works(pt_parse_i64(PT_STR("-9223372036854775808"), INT64_MIN, INT64_MAX, "n", &v, &err));
    assert_true(v == INT64_MIN);
    assert_works(pt_parse_i64(PT_STR("9223372036854775807"), INT64_MIN, INT64_MAX, "n", &v, &err));
    assert_true(v == INT64_MAX);
    assert_works(pt_parse_i64(PT_STR("007"), 0, 10, "n", &v, &err));
    assert_int_equal(v, 7);
    const char *bad[] = {"", "-", "+1", " 1", "1 ", "1.0", "0x1", "1e3", "9223372036854775808", "-9223372036854775809", "99999999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_fails(pt_parse_i64(pt_str(bad[i]), INT64_MIN, INT64_MAX, "--port", &v, &err), PT_EPARSE, "--port");
    assert_fails(pt_parse_i64(PT_STR("65536"), 1, 65535, "--port", &v, &err), PT_EPARSE, "65536 is not between 1 and 65535");
}

static void durations(void **state)
{
    const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"0", 0}, {"0s", 0}, {"500ms", 500}, {"1m30s", 90000}, {"2h", 7200000}, {"1.5s", 1500}, {".5s", 500}, {"1.s", 1000}, {"1000us", 1},
                {"1000\xc2\xb5s", 1}, {"1000000ns", 1}, {"1h1m1s1ms", 3661001}, {"0.001s", 1}, {"2562047h", 9223369200000}};
    const char *bad[] = {"", "5", "s", "-1s", "1 s", "1s ", "1d", "1.2.3s", ".s", "1e3s", "0.5ms", "1ns", "1.0001s", "2562048h", "99999999999999999999h",
                         "1s-1s", "00", "1.00000000000000000000s"};
    int64_t ms;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_works(pt_parse_duration_ms(pt_str(good[i].text), "d", &ms, &err));
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (pt_parse_duration_ms(pt_str(bad[i]), "d", &ms, NULL) != PT_EPARSE)
            fail_msg("'%s' was taken for %lld ms", bad[i], (long long)ms);
    assert_fails(pt_parse_duration_ms(PT_STR("x"), "spec.drain.timeout", &ms, &err), PT_EPARSE, "spec.drain.timeout: 'x'");
}

static void digests(void **state)
{
    uint8_t bytes[32], back[32];
    char text[72];
    (void)state;
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)(i * 37 + 200);
    pt_format_digest(bytes, text);
    assert_int_equal(strlen(text), 71);
    assert_works(pt_parse_digest(pt_str(text), "digest", back, &err));
    assert_memory_equal(bytes, back, 32);
    for (size_t len = 0; len < 71; len++)
        assert_int_equal(pt_parse_digest((struct pt_str){text, len}, "digest", back, NULL), PT_EPARSE);
    for (size_t at = 7; at < 71; at++) { /* every byte in every place */
        char was = text[at];
        for (int c = 0; c < 256; c++) {
            text[at] = (char)c;
            bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
            if ((pt_parse_digest((struct pt_str){text, 71}, "digest", back, NULL) == PT_OK) != digit)
                fail_msg("byte 0x%02x at %zu is %staken for a digit", c, at, digit ? "not " : "");
            int value = c >= 'a' ? c - 'a' + 10 : c - '0';
            if (digit && value != (at % 2 ? back[(at - 7) / 2] >> 4 : back[(at - 7) / 2] & 15))
                fail_msg("%c at %zu is read wrongly", c, at);
        }
        text[at] = was;
    }
    text[70] = 'G';
    assert_fails(pt_parse_digest(pt_str(text), "spec.model.digest", back, &err), PT_EPARSE, "spec.model.digest");
    text[70] = 'A';
    assert_fails(pt_parse_digest(pt_str(text), "d", back, &err), PT_EPARSE, "lower-case");
}

static void times(void **state)
{
    const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"1970-01-01T00:00:00Z", 0}, {"2026-01-31T12:00:00Z", 1769860800000}, {"2026-01-31T12:00:00.5Z", 1769860800500},
                {"2026-01-31T12:00:00.123456789Z", 1769860800123}, {"2026-01-31T14:00:00+02:00", 1769860800000}, {"2026-01-31T10:30:00-01:30", 1769860800000},
                {"2024-02-29T00:00:00Z", 1709164800000}, {"0001-01-01T00:00:00Z", -62135596800000}, {"9999-12-31T23:59:59Z", 253402300799000}};
    const char *bad[] = {"", "2026-01-31", "2026-01-31T12:00:00", "2026-01-31 12:00:00Z", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
                         "2026-01-00T00:00:00Z", "2026-01-32T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z",
                         "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00z", "2026-01-01T00:00:00Zx", "2026-01-01T00:00:00+2:00", "2026-01-01T00:00:00+24:00",
                         "1900-02-29T00:00:00Z", "0000-01-01T00:00:00Z", "-026-01-01T00:00:00Z"};
    char text[24];
    int64_t ms;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_works(pt_parse_time(pt_str(good[i].text), &ms, &err));
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (pt_parse_time(pt_str(bad[i]), &ms, NULL) != PT_EPARSE)
            fail_msg("'%s' was taken for a time", bad[i]);
    pt_format_time(1769860800999, text);
    assert_string_equal(text, "2026-01-31T12:00:00Z");
    pt_format_time(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59Z");
    pt_format_time(INT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59Z");
    pt_format_time(INT64_MIN, text);
    assert_string_equal(text, "0001-01-01T00:00:00Z");
}

/* Each day of 400 years, and days of all others, as libc sees them. */
static void dates_as_libc_says(void **state)
{
    const int64_t first = -62135596800 / 86400, last = 253402300799 / 86400;
    (void)state;
    for (int64_t day = first; day <= last; day += day > -26000 && day < 121000 ? 1 : 29) {
        int64_t of_day = (day * 7919 % 86400 + 86400) % 86400, ms;
        time_t t = (time_t)(day * 86400 + of_day);
        struct tm tm;
        char text[24], wanted[40];
        gmtime_r(&t, &tm);
        snprintf(wanted, sizeof wanted, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
        pt_format_time((int64_t)t * 1000 + 7, text);
        if (strcmp(text, wanted) != 0)
            fail_msg("%lld s: %s, and libc says %s", (long long)t, text, wanted);
        assert_works(pt_parse_time(pt_str(text), &ms, &err));
        if (ms != (int64_t)t * 1000)
            fail_msg("%s: %lld s, and libc says %lld", text, (long long)ms / 1000, (long long)t);
    }
}

static void dns_names(void **state)
{
    char name[300];
    (void)state;
    memset(name, 'a', sizeof name);
    assert_true(pt_is_dns_label((struct pt_str){name, 63}) && !pt_is_dns_label((struct pt_str){name, 64}));
    assert_true(pt_is_dns_subdomain((struct pt_str){name, 253}) && !pt_is_dns_subdomain((struct pt_str){name, 254}));
    assert_true(pt_is_dns_label(PT_STR("a-1")) && pt_is_dns_label(PT_STR("0")) && pt_is_dns_subdomain(PT_STR("a.b-c.d")));
    const char *bad[] = {"", "-a", "a-", "A", "a_b", "a b", "\xc3\xa9"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(pt_is_dns_label(pt_str(bad[i])) || pt_is_dns_subdomain(pt_str(bad[i])));
    assert_false(pt_is_dns_label(PT_STR("a.b")) || pt_is_dns_subdomain(PT_STR("a..b")) || pt_is_dns_subdomain(PT_STR(".a")) || pt_is_dns_subdomain(PT_STR("a.")));
}

/* The standard's own definition, by decoding: the reference for every sequence of up to four bytes out of a telling alphabet. */
static bool utf8_by_decoding(const uint8_t *p, size_t len)
{
    while (len) {
        size_t n = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;
        if (n == 0 || n > len)
            return false;
        uint32_t c = n == 1 ? p[0] : p[0] & (0x7fu >> n);
        for (size_t i = 1; i < n; i++) {
            if (p[i] >> 6 != 2)
                return false;
            c = c << 6 | (p[i] & 63);
        }
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
            return false;
        p += n, len -= n;
    }
    return true;
}

static void utf8(void **state)
{
    static const uint8_t bytes[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff};
    enum { N = sizeof bytes };
    (void)state;
    for (unsigned i = 0; i < N * N * N * N; i++) {
        uint8_t s[4] = {bytes[i % N], bytes[i / N % N], bytes[i / N / N % N], bytes[i / N / N / N]};
        for (size_t len = 0; len <= 4; len++)
            if (pt_utf8_valid((struct pt_str){(const char *)s, len}) != utf8_by_decoding(s, len))
                fail_msg("%02x %02x %02x %02x, %zu bytes", s[0], s[1], s[2], s[3], len);
    }
}

static void base64(void **state)
{
    const struct {
        const char *text, *bytes;
    } good[] = {{"", ""}, {"Zg==", "f"}, {"Zm8=", "fo"}, {"Zm9v", "foo"}, {"Zm9vYg==", "foob"}, {"Zm9vYmE=", "fooba"}, {"Zm9vYmFy", "foobar"}, {"+/+/", "\xfb\xff\xbf"}};
    const char *bad[] = {"Z", "Zg", "Zg=", "====", "Zg==Zg==", "Z===", "Zh==", "Zm9=", "Zm 9", "Zm9v\n", "Zm-_", "=Zm9"};
    uint8_t out[16];
    size_t len;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_works(pt_base64_decode(pt_str(good[i].text), out, sizeof out, &len, &err));
        assert_int_equal(len, strlen(good[i].bytes));
        assert_memory_equal(out, good[i].bytes, len);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (pt_base64_decode(pt_str(bad[i]), out, sizeof out, &len, NULL) != PT_EPARSE)
            fail_msg("'%s' was decoded", bad[i]);
    assert_fails(pt_base64_decode(PT_STR("Zm9vYmFy"), out, 5, &len, &err), PT_ELIMIT, "5 bytes");
}

static void hashes(void **state)
{
    (void)state;
    assert_int_equal(pt_fnv32a("", 0, 2166136261u), 2166136261u);
    assert_int_equal(pt_fnv32a("foobar", 6, 2166136261u), 0xbf9cf968);
    assert_int_equal(pt_fnv32a("bar", 3, pt_fnv32a("foo", 3, 2166136261u)), 0xbf9cf968);
    assert_true(pt_hash64("foobar", 6, 0) == 0x85944171f73967e8);
    assert_true(pt_hash64("foobar", 6, 1) != pt_hash64("foobar", 6, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices), cmocka_unit_test(whole_numbers), cmocka_unit_test(durations), cmocka_unit_test(digests), cmocka_unit_test(times),
        cmocka_unit_test(dates_as_libc_says),
        cmocka_unit_test(dns_names), cmocka_unit_test(utf8), cmocka_unit_test(base64), cmocka_unit_test(hashes),
    };
    return cmocka_run_group_tests_name("str", tests, NULL, NULL);
}
