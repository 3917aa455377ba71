/* SPDX-License-Identifier: Apache-2.0
 *
 * str.c: slices and strict parsers. Nothing here allocates or reads past a slice. Any thread.
 */
#include "base/str.h"

#include <stdio.h>
#include <strings.h>
#include <time.h>

bool pt_str_eq(struct pt_str a, struct pt_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

bool pt_str_eq_nocase(struct pt_str a, struct pt_str b)
{
    return a.len == b.len && (a.len == 0 || strncasecmp(a.p, b.p, a.len) == 0);
}

bool pt_str_starts(struct pt_str s, struct pt_str prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.p, prefix.p, prefix.len) == 0);
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

struct pt_str pt_str_trim(struct pt_str s)
{
    while (s.len && is_blank(s.p[0]))
        s.p++, s.len--;
    while (s.len && is_blank(s.p[s.len - 1]))
        s.len--;
    return s;
}

bool pt_str_split(struct pt_str *rest, char sep, struct pt_str *part)
{
    if (!rest->p)
        return false;
    const char *at = rest->len ? memchr(rest->p, sep, rest->len) : NULL;
    if (!at) {
        *part = *rest;
        *rest = (struct pt_str){0};
        return true;
    }
    *part = (struct pt_str){rest->p, (size_t)(at - rest->p)};
    *rest = (struct pt_str){at + 1, rest->len - part->len - 1};
    return true;
}

int pt_parse_i64(struct pt_str s, int64_t min, int64_t max, const char *what, int64_t *out, struct pt_err *err)
{
    bool negative = s.len > 0 && s.p[0] == '-';
    int64_t v = 0;
    size_t i = negative;
    bool fits = true;
    if (i == s.len)
        return pt_fail(err, PT_EPARSE, "%s: '" PT_STR_FMT "' is not a whole number", what, PT_STR_ARG(s));
    for (; i < s.len; i++) {
        if (!is_digit(s.p[i]))
            return pt_fail(err, PT_EPARSE, "%s: '" PT_STR_FMT "' is not a whole number", what, PT_STR_ARG(s));
        int digit = s.p[i] - '0';
        fits = fits && !__builtin_mul_overflow(v, 10, &v) && !__builtin_add_overflow(v, negative ? -digit : digit, &v);
    }
    if (!fits || v < min || v > max)
        return pt_fail(err, PT_EPARSE, "%s: " PT_STR_FMT " is not between %lld and %lld", what, PT_STR_ARG(s), (long long)min, (long long)max);
    *out = v;
    return PT_OK;
}

/* Cuts the decimal number at the front of *s: whole + fraction / scale. False when there is none or it has too many digits. */
static bool cut_decimal(struct pt_str *s, int64_t *whole, int64_t *fraction, int64_t *scale)
{
    size_t digits = 0;
    bool point = false;
    *whole = *fraction = 0, *scale = 1;
    for (; s->len && (is_digit(s->p[0]) || (s->p[0] == '.' && !point)); s->p++, s->len--) {
        if (s->p[0] == '.') {
            point = true;
            continue;
        }
        int64_t *to = point ? fraction : whole;
        if (__builtin_mul_overflow(*to, 10, to) || __builtin_add_overflow(*to, s->p[0] - '0', to) ||
            (point && __builtin_mul_overflow(*scale, 10, scale)))
            return false;
        digits++;
    }
    return digits > 0;
}

static int64_t cut_unit_ns(struct pt_str *s)
{
    static const struct {
        struct pt_str name;
        int64_t ns;
    } units[] = {{PT_STR("ns"), 1},       {PT_STR("us"), 1000},      {PT_STR("\xc2\xb5s"), 1000}, {PT_STR("\xce\xbcs"), 1000},
                 {PT_STR("ms"), 1000000}, {PT_STR("s"), 1000000000}, {PT_STR("m"), 60000000000},  {PT_STR("h"), 3600000000000}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (pt_str_starts(*s, units[i].name)) {
            s->p += units[i].name.len, s->len -= units[i].name.len;
            return units[i].ns;
        }
    return 0;
}

int pt_parse_duration_ms(struct pt_str s, const char *what, int64_t *out_ms, struct pt_err *err)
{
    struct pt_str rest = s;
    __int128 total_ns = 0;
    if (pt_str_eq(s, PT_STR("0"))) {
        *out_ms = 0;
        return PT_OK;
    }
    do {
        int64_t whole, fraction, scale, unit;
        if (!cut_decimal(&rest, &whole, &fraction, &scale) || (unit = cut_unit_ns(&rest)) == 0)
            return pt_fail(err, PT_EPARSE, "%s: '" PT_STR_FMT "' is not a duration such as 500ms, 1m30s or 2h", what, PT_STR_ARG(s));
        __int128 part = (__int128)fraction * unit;
        if (part % scale)
            return pt_fail(err, PT_EPARSE, "%s: '" PT_STR_FMT "' is finer than a millisecond", what, PT_STR_ARG(s));
        total_ns += (__int128)whole * unit + part / scale;
        if (total_ns > INT64_MAX)
            return pt_fail(err, PT_EPARSE, "%s: '" PT_STR_FMT "' is too long a time", what, PT_STR_ARG(s));
    } while (rest.len);
    if (total_ns % 1000000)
        return pt_fail(err, PT_EPARSE, "%s: '" PT_STR_FMT "' is finer than a millisecond", what, PT_STR_ARG(s));
    *out_ms = (int64_t)(total_ns / 1000000);
    return PT_OK;
}

/* Eight hexadecimal digits at once, in a word with the first one lowest. Not 0: one is none. */
static uint64_t eight_digits(const char *text, uint8_t out[4])
{
    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first digit is the lowest byte");
    const uint64_t ones = 0x0101010101010101;
    uint64_t v;
    memcpy(&v, text, sizeof v);
    uint64_t letter = v >> 6 & ones, n = (v & ones * 15) + letter * 9; /* 'a' is 0x61 */
    uint64_t strange = v ^ (n + ones * '0' + letter * 39);             /* what those values are written as */
    strange |= ((n + ones * 6) >> 4 & ones) ^ letter;                  /* 10 and more are letters, and they alone */
    strange |= n & ones * 0xf0;
    n = (n << 4 | n >> 8) & 0x00ff00ff00ff00ff;
    n = (n | n >> 8) & 0x0000ffff0000ffff;
    n |= n >> 16;
    memcpy(out, &n, 4);
    return strange;
}

int pt_parse_digest(struct pt_str s, const char *what, uint8_t out[32], struct pt_err *err)
{
    struct pt_str prefix = PT_STR("sha256:");
    bool good = pt_str_starts(s, prefix) && s.len == prefix.len + 64;
    uint64_t strange = 0;
    for (size_t i = 0; good && i < 32; i += 4)
        strange |= eight_digits(s.p + prefix.len + 2 * i, out + i);
    return good && !strange
               ? PT_OK
               : pt_fail(err, PT_EPARSE, "%s: '" PT_STR_FMT "' is not \"sha256:\" and 64 lower-case hexadecimal digits", what, PT_STR_ARG(s));
}

void pt_format_digest(const uint8_t digest[32], char out[72])
{
    static const char hex[] = "0123456789abcdef";
    char *p = out + 7;
    memcpy(out, "sha256:", 7);
    for (int i = 0; i < 32; i++) {
        *p++ = hex[digest[i] >> 4];
        *p++ = hex[digest[i] & 15];
    }
    *p = '\0';
}

/* Dates by arithmetic: statuses and Leases are full of times, and libc asks for the time zone each time. Years begin in March, so that the leap day
 * is their last one, and the calendar repeats after 400 of them. Days are counted from 1970-01-01; the year is 1 or later. */
#define DAYS_OF_400_YEARS 146097
#define DAYS_BEFORE_1970 719468 /* since March 1 of the year 0 */

static int64_t days_of(int year, int month, int day)
{
    int since_march = (month + 9) % 12, y = year - (month < 3), of_400 = y % 400;
    return (int64_t)(y / 400) * DAYS_OF_400_YEARS + of_400 * 365 + of_400 / 4 - of_400 / 100 + (153 * since_march + 2) / 5 + day - 1 -
           DAYS_BEFORE_1970;
}

static void date_of(int64_t days, int *year, int *month, int *day)
{
    int64_t all = days + DAYS_BEFORE_1970;
    int d = (int)(all % DAYS_OF_400_YEARS), y = (d - d / 1460 + d / 36524 - d / 146096) / 365;
    d -= y * 365 + y / 4 - y / 100;
    int since_march = (5 * d + 2) / 153;
    *day = d - (153 * since_march + 2) / 5 + 1;
    *month = since_march < 10 ? since_march + 3 : since_march - 9;
    *year = y + (int)(all / DAYS_OF_400_YEARS) * 400 + (*month < 3);
}

static void put_pair(char *out, unsigned value, char after)
{
    out[0] = (char)('0' + value / 10);
    out[1] = (char)('0' + value % 10);
    out[2] = after;
}

void pt_format_time(int64_t wall_ms, char out[24])
{
    const int64_t first = -62135596800, last = 253402300799; /* years 1 to 9999: what RFC 3339 can say */
    int64_t s = wall_ms / 1000 - (wall_ms % 1000 < 0);
    s = s < first ? first : s > last ? last : s;
    int64_t days = s / 86400 - (s % 86400 < 0);
    unsigned of_day = (unsigned)(s - days * 86400);
    static _Thread_local struct {
        int64_t days;
        char date[12];
    } known = {INT64_MIN, ""}; /* times are most often of the same day */
    if (days != known.days) {
        int year, month, day;
        date_of(days, &year, &month, &day);
        put_pair(known.date, (unsigned)year / 100, 0);
        put_pair(known.date + 2, (unsigned)year % 100, '-');
        put_pair(known.date + 5, (unsigned)month, '-');
        put_pair(known.date + 8, (unsigned)day, 'T');
        known.days = days;
    }
    memcpy(out, known.date, 11);
    put_pair(out + 11, of_day / 3600, ':');
    put_pair(out + 14, of_day / 60 % 60, ':');
    put_pair(out + 17, of_day % 60, 'Z');
    out[20] = 0;
}

/* `count` digits and then `after` (0 = nothing) at the front of *s. */
static bool cut_digits(struct pt_str *s, int count, char after, int *out)
{
    size_t need = (size_t)count + (after != 0);
    *out = 0;
    if (s->len < need || (after && s->p[count] != after))
        return false;
    for (int i = 0; i < count; i++) {
        if (!is_digit(s->p[i]))
            return false;
        *out = *out * 10 + (s->p[i] - '0');
    }
    s->p += need, s->len -= need;
    return true;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

/* ".123" -> 123; digits past the third are dropped. */
static bool cut_fraction_ms(struct pt_str *s, int *ms)
{
    *ms = 0;
    if (!s->len || s->p[0] != '.')
        return true;
    int place = 100;
    const char *start = ++s->p;
    for (s->len--; s->len && is_digit(s->p[0]); s->p++, s->len--, place /= 10)
        *ms += (s->p[0] - '0') * place;
    return s->p > start;
}

static bool cut_offset_minutes(struct pt_str *s, int *minutes)
{
    int hh, mm;
    *minutes = 0;
    if (!s->len)
        return false;
    char c = *s->p++;
    s->len--;
    if (c == 'Z')
        return true;
    if ((c != '+' && c != '-') || !cut_digits(s, 2, ':', &hh) || !cut_digits(s, 2, 0, &mm) || hh > 23 || mm > 59)
        return false;
    *minutes = (hh * 60 + mm) * (c == '-' ? -1 : 1);
    return true;
}

int pt_parse_time(struct pt_str s, int64_t *out_wall_ms, struct pt_err *err)
{
    struct pt_str rest = s;
    struct tm tm = {0};
    int ms, offset;
    bool good = cut_digits(&rest, 4, '-', &tm.tm_year) && cut_digits(&rest, 2, '-', &tm.tm_mon) && cut_digits(&rest, 2, 'T', &tm.tm_mday) &&
                cut_digits(&rest, 2, ':', &tm.tm_hour) && cut_digits(&rest, 2, ':', &tm.tm_min) && cut_digits(&rest, 2, 0, &tm.tm_sec) &&
                cut_fraction_ms(&rest, &ms) && cut_offset_minutes(&rest, &offset) && rest.len == 0;
    if (!good || tm.tm_year < 1 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > days_in_month(tm.tm_year, tm.tm_mon) ||
        tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 59)
        return pt_fail(err, PT_EPARSE, "'" PT_STR_FMT "' is not a time such as 2026-01-31T12:00:00Z", PT_STR_ARG(s));
    *out_wall_ms = (days_of(tm.tm_year, tm.tm_mon, tm.tm_mday) * 86400 + tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec - offset * 60) * 1000 + ms;
    return PT_OK;
}

static bool is_dns_part(struct pt_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_digit(s.p[i]) && !(s.p[i] >= 'a' && s.p[i] <= 'z') && !(s.p[i] == '-' && i > 0 && i + 1 < s.len))
            return false;
    return s.len > 0;
}

bool pt_is_dns_label(struct pt_str s)
{
    return s.len <= 63 && is_dns_part(s);
}

bool pt_is_dns_subdomain(struct pt_str s)
{
    struct pt_str part;
    if (s.len == 0 || s.len > 253)
        return false;
    while (pt_str_split(&s, '.', &part)) /* the API server bounds the whole, not each part */
        if (!is_dns_part(part))
            return false;
    return true;
}

/* RFC 3629: no overlong forms, no surrogates, at most U+10FFFF. */
size_t pt_utf8_sequence(struct pt_str s)
{
    const uint8_t *p = (const uint8_t *)s.p;
    if (s.len == 0 || p[0] < 0x80)
        return s.len > 0;
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    uint8_t low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    uint8_t high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    if (p[0] < 0xc2 || p[0] > 0xf4 || s.len < n || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

bool pt_utf8_valid(struct pt_str s)
{
    for (size_t n; s.len; s.p += n, s.len -= n)
        if ((n = pt_utf8_sequence(s)) == 0)
            return false;
    return true;
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    return is_digit(c) ? c - '0' + 52 : c == '+' ? 62 : c == '/' ? 63 : -1;
}

void pt_base64_encode(const void *p, size_t len, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *in = p;
    for (size_t i = 0; i < len; i += 3) {
        uint32_t v = (uint32_t)in[i] << 16 | (i + 1 < len ? (uint32_t)in[i + 1] << 8 : 0) | (i + 2 < len ? in[i + 2] : 0);
        *out++ = digits[v >> 18];
        *out++ = digits[v >> 12 & 63];
        *out++ = i + 1 < len ? digits[v >> 6 & 63] : '=';
        *out++ = i + 2 < len ? digits[v & 63] : '=';
    }
    *out = 0;
}

int pt_base64_decode(struct pt_str s, uint8_t *out, size_t cap, size_t *out_len, struct pt_err *err)
{
    size_t n = 0;
    if (s.len % 4)
        return pt_fail(err, PT_EPARSE, "base64: %zu characters are not a multiple of 4", s.len);
    for (size_t i = 0; i < s.len; i += 4) {
        bool last = i + 4 == s.len;
        int pad = !last || s.p[i + 3] != '=' ? 0 : s.p[i + 2] != '=' ? 1 : 2;
        uint32_t bits = 0;
        for (int k = 0; k < 4 - pad; k++) {
            int digit = base64_digit(s.p[i + (size_t)k]);
            if (digit < 0)
                return pt_fail(err, PT_EPARSE, "base64: byte 0x%02x at %zu", (unsigned char)s.p[i + (size_t)k], i + (size_t)k);
            bits |= (uint32_t)digit << (18 - 6 * k);
        }
        if (pad && (bits & (pad == 1 ? 0xffu : 0xffffu)))
            return pt_fail(err, PT_EPARSE, "base64: bits are set behind the last byte");
        for (int k = 0; k < 3 - pad; k++) {
            if (n == cap)
                return pt_fail(err, PT_ELIMIT, "base64: more than %zu bytes", cap);
            out[n++] = (uint8_t)(bits >> (16 - 8 * k));
        }
    }
    *out_len = n;
    return PT_OK;
}

uint64_t pt_hash64(const void *p, size_t len, uint64_t seed)
{
    const uint64_t prime = 1099511628211u;
    const uint8_t *b = p;
    uint64_t h = 14695981039346656037u ^ seed;
    for (; len >= 4; b += 4, len -= 4) {
        h = (h ^ b[0]) * prime;
        h = (h ^ b[1]) * prime;
        h = (h ^ b[2]) * prime;
        h = (h ^ b[3]) * prime;
    }
    for (; len > 0; b++, len--)
        h = (h ^ *b) * prime;
    return h;
}

uint64_t pt_hash_words(const void *p, size_t len)
{
    uint64_t h = len * 0x9e3779b97f4a7c15u, word;
    const uint8_t *b = p;
    for (; len >= sizeof word; b += sizeof word, len -= sizeof word) {
        memcpy(&word, b, sizeof word);
        h = (h ^ word) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    if (len > 0) {
        word = 0;
        memcpy(&word, b, len);
        h = (h ^ word) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    return h;
}

uint32_t pt_fnv32a(const void *p, size_t len, uint32_t seed)
{
    for (const uint8_t *b = p; len > 0; b++, len--)
        seed = (seed ^ *b) * 16777619u;
    return seed;
}

void pt_format_age(int64_t s, char *out, size_t size)
{
    if (s < 0)
        s = 0;
    if (s < 120)
        snprintf(out, size, "%llds", (long long)s);
    else if (s < 600)
        snprintf(out, size, "%lldm%llds", (long long)(s / 60), (long long)(s % 60));
    else if (s < 3 * 3600)
        snprintf(out, size, "%lldm", (long long)(s / 60));
    else if (s < 8 * 3600)
        snprintf(out, size, "%lldh%lldm", (long long)(s / 3600), (long long)(s / 60 % 60));
    else if (s < 48 * 3600)
        snprintf(out, size, "%lldh", (long long)(s / 3600));
    else if (s < 8 * 86400)
        snprintf(out, size, "%lldd%lldh", (long long)(s / 86400), (long long)(s / 3600 % 24));
    else
        snprintf(out, size, "%lldd", (long long)(s / 86400));
}
