/* SPDX-License-Identifier: Apache-2.0
 *
 * num.c: text to number by Clinger's exact cases, then D. Lemire's and M. Eisel's method ("Number Parsing at a Gigabyte per Second", 2021),
 * and strtod for what that leaves open; number to text by R. Giulietti's Schubfach ("The Schubfach way to render doubles", 2020).
 * Both need the leading bits of the powers of ten, one table.
 */
#include "base/num.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

__extension__ typedef unsigned __int128 u128;

static const uint64_t pow10_bits[][2] = {
#include "base/num_pow10.inc"
};
#define POW10_MIN (-342)
#define POW10_MAX 324

static int floor_log2_pow10(int e)
{
    return (e * 1741647) >> 19;
}

/* --- reading --------------------------------------------------------------------------------------------------------- */

static bool is_digit(char c)
{
    return (unsigned char)(c - '0') < 10;
}

static const uint64_t powers[] = {1u,
                                  10u,
                                  100u,
                                  1000u,
                                  10000u,
                                  100000u,
                                  1000000u,
                                  10000000u,
                                  100000000u,
                                  1000000000u,
                                  10000000000u,
                                  100000000000u,
                                  1000000000000u,
                                  10000000000000u,
                                  100000000000000u,
                                  1000000000000000u,
                                  10000000000000000u,
                                  100000000000000000u,
                                  1000000000000000000u,
                                  10000000000000000000u};

/* Eight digits' values, the first one in the low byte, as one number: pairs, then fours, then all (D. Lemire, "Quickly parsing eight digits", 2018).
 */
static inline uint64_t eight_values(uint64_t w)
{
    w = w * 10 + (w >> 8);
    const uint64_t mask = 0x000000ff000000ffu;
    return (uint32_t)(((w & mask) * 0x000f424000000064u + ((w >> 16) & mask) * 0x0000271000000001u) >> 32);
}

/* How many of the eight characters at p, which is the low byte first, are digits before one is not; *digits as a number. No loop and no branch on
 * the count, which no processor could predict. */
static inline unsigned eight_digits(const char *p, uint64_t *digits)
{
    uint64_t w;
    memcpy(&w, p, 8);
    uint64_t values = w - 0x3030303030303030u, others = (values | (w + 0x4646464646464646u)) & 0x8080808080808080u;
    unsigned n = others ? (unsigned)__builtin_ctzll(others) / 8 : 8;
    *digits = n ? eight_values(values << (64 - 8 * n)) : 0; /* zeros in front */
    return n;
}

static inline const char *cut_digits(const char *p, const char *end, uint64_t *v)
{
    while (end - p >= 8) {
        uint64_t digits;
        unsigned n = eight_digits(p, &digits);
        *v = *v * powers[n] + digits;
        p += n;
        if (n < 8)
            return p;
    }
    for (; p < end && is_digit(*p); p++)
        *v = *v * 10 + (uint64_t)(*p - '0');
    return p;
}

/* More than 19 digits stand in the text: takes the first 19 significant ones and says by the exponent where the point is. */
static void cut_long(struct pt_num *n, int64_t explicit_exp)
{
    int taken = 0;
    bool point = false;
    n->digits = 0;
    n->exp10 = explicit_exp;
    for (const char *p = n->start; p < n->end && (is_digit(*p) || *p == '.'); p++) {
        if (*p == '.') {
            point = true;
            continue;
        }
        if (taken < 19) {
            n->digits = n->digits * 10 + (uint64_t)(*p - '0');
            taken += n->digits != 0;
            n->exp10 -= point;
        } else {
            n->cut = true;
            n->exp10 += !point;
        }
    }
}

static const char *cut_exponent(const char *p, const char *end, int64_t *e)
{
    bool negative = p < end && *p == '-';
    p += p < end && (*p == '-' || *p == '+');
    const char *start = p;
    for (; p < end && is_digit(*p); p++)
        if (*e < 1000000000) /* beyond it any text that fits in memory is zero or infinite */
            *e = *e * 10 + (*p - '0');
    if (negative)
        *e = -*e;
    return p > start ? p : NULL;
}

const char *pt_num_scan(const char *p, const char *end, struct pt_num *n)
{
    *n = (struct pt_num){.negative = p < end && *p == '-'};
    p += n->negative;
    n->start = p;
    if (end - p >= 2 && is_digit(p[0]) && !is_digit(p[1])) /* what most floats have in front */
        n->digits = (uint64_t)(*p++ - '0');
    else
        p = cut_digits(p, end, &n->digits);
    ptrdiff_t count = p - n->start;
    if (count == 0 || (count > 1 && *n->start == '0'))
        return NULL;
    int64_t explicit_exp = 0;
    if (p < end && *p == '.') {
        const char *fraction = ++p;
        p = cut_digits(p, end, &n->digits);
        if (p == fraction)
            return NULL;
        n->exp10 = fraction - p;
        count += p - fraction;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        if (!(p = cut_exponent(p + 1, end, &explicit_exp)))
            return NULL;
        n->exp10 += explicit_exp;
    }
    n->end = p;
    if (count > 19)
        cut_long(n, explicit_exp);
    return p;
}

/* The double nearest to w * 10^q for w > 0; false when 128 bits of 10^q do not decide, and where the result is not a normal number. */
static bool eisel_lemire(uint64_t w, int64_t q, double *out)
{
    if (q < POW10_MIN || q > 308)
        return false;
    const uint64_t *g = pow10_bits[q - POW10_MIN];
    int zeros = __builtin_clzll(w);
    w <<= zeros;
    u128 x = (u128)w * g[0];
    if ((uint64_t)(x >> 64 & 0x1ff) == 0x1ff && (uint64_t)x + w < w) { /* the bits left out may carry into those that count */
        u128 y = (u128)w * g[1];
        x += (uint64_t)(y >> 64);
        if ((uint64_t)(x >> 64 & 0x1ff) == 0x1ff && (uint64_t)x == UINT64_MAX && (uint64_t)y + w < w)
            return false;
    }
    uint64_t high = (uint64_t)(x >> 64);
    int top = (int)(high >> 63);
    uint64_t mantissa = high >> (top + 9); /* 54 bits: one to round with */
    if ((uint64_t)x == 0 && (high & 0x1ff) == 0 && (mantissa & 3) == 1)
        return false; /* perhaps just between two doubles */
    mantissa = (mantissa + (mantissa & 1)) >> 1;
    int exponent = floor_log2_pow10((int)q) + 63 + top - zeros + 1023;
    if (mantissa >> 53) {
        mantissa >>= 1;
        exponent++;
    }
    if (exponent < 1 || exponent > 2046)
        return false;
    uint64_t bits = (uint64_t)exponent << 52 | (mantissa & 0xfffffffffffffu);
    memcpy(out, &bits, sizeof *out);
    return true;
}

/* Digits that decide which of two neighbours is nearer: at most 767 for a double; what is behind only matters by not being zero. Written without
 * a decimal point, which a locale could change. */
#define DECISIVE 800
static void write_plain(const struct pt_num *n, char out[DECISIVE + 40])
{
    size_t len = 0;
    bool tail = false;
    if (!n->cut) {
        snprintf(out, DECISIVE + 40, "%llue%lld", (unsigned long long)n->digits, (long long)n->exp10);
        return;
    }
    for (const char *p = n->start; p < n->end && (is_digit(*p) || *p == '.'); p++)
        if (*p == '.' || (len == 0 && *p == '0'))
            continue;
        else if (len < DECISIVE)
            out[len++] = *p;
        else
            tail = tail || *p != '0';
    if (tail)
        out[len++] = '1';
    snprintf(out + len, 40, "e%lld", (long long)(n->exp10 - ((int64_t)len - 19))); /* exp10 belongs to the first 19 */
}

__attribute__((noinline, cold)) static double exact_f64(const struct pt_num *n)
{
    char text[DECISIVE + 40];
    write_plain(n, text);
    return strtod(text, NULL);
}

__attribute__((noinline, cold)) static float exact_f32(const struct pt_num *n)
{
    char text[DECISIVE + 40];
    write_plain(n, text);
    return strtof(text, NULL);
}

static const double exact_tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static double magnitude(const struct pt_num *n)
{
    uint64_t w = n->digits;
    double v, next;
    if (w == 0)
        return 0;
    if (!n->cut && w <= (uint64_t)1 << 53 && n->exp10 >= -22 && n->exp10 <= 22) /* both exact: one rounding */
        return n->exp10 < 0 ? (double)(int64_t)w / exact_tens[-n->exp10] : (double)(int64_t)w * exact_tens[n->exp10];
    if (eisel_lemire(w, n->exp10, &v) && (!n->cut || (eisel_lemire(w + 1, n->exp10, &next) && next == v)))
        return v;
    return exact_f64(n);
}

double pt_num_to_f64(const struct pt_num *n)
{
    double v = magnitude(n);
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    bits |= (uint64_t)n->negative << 63;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* Signs are random: they are set without a branch. */
static inline float signed_f32(float f, bool negative)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    bits |= (uint32_t)negative << 31;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* By way of the double: rounding twice is wrong only where the double lies exactly between two floats but the text does not. */
float pt_num_to_f32(const struct pt_num *n)
{
    double v = magnitude(n);
    uint64_t wide;
    memcpy(&wide, &v, sizeof wide);
    float f = (float)v;
    if (((wide & 0x1fffffff) == 0x10000000 || v < 0x1p-126) && v > 0)
        f = exact_f32(n);
    return signed_f32(f, n->negative);
}

/* --- reading many ----------------------------------------------------------------------------------------------------- */

/* Bit i: the byte p[i] is no digit; of 16 bytes. */
static inline unsigned others16(const char *p)
{
#ifdef __SSE2__
    __m128i values = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)(const void *)p), _mm_set1_epi8('0'));
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(values, _mm_set1_epi8(9)), values)) ^ 0xffff;
#else
    unsigned bits = 0;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t w;
        memcpy(&w, p + 8 * i, 8);
        /* within the byte: 0x76 carries over from 0x0a up; without the bits that would carry into the next byte */
        uint64_t values = w ^ 0x3030303030303030u;
        uint64_t others = (((values & 0x7f7f7f7f7f7f7f7fu) + 0x7676767676767676u) | values) & 0x8080808080808080u;
        bits |= (unsigned)((others >> 7) * 0x0102040810204080u >> 56) << (8 * i);
    }
    return bits;
#endif
}

/* The number that n <= 8 digits at p are; eight bytes can be read there. */
static inline uint64_t up_to_8(const char *p, unsigned n)
{
    uint64_t w;
    memcpy(&w, p, 8);
    return n ? eight_values((w - 0x3030303030303030u) << (64 - 8 * n)) : 0;
}

static inline uint64_t up_to_19(const char *p, unsigned n)
{
    uint64_t v = 0;
    for (; n > 8; n -= 8, p += 8)
        v = v * 100000000 + up_to_8(p, 8);
    return v * powers[n] + up_to_8(p, n);
}

/* What w / 10^fraction is as a float, for up to 19 of each. The double has been rounded twice at most and is off by less than four of its last
 * places: that matters only where it is about half way between two floats. */
static inline float plain_f32(bool negative, uint64_t w, unsigned fraction)
{
    struct pt_num n = {.digits = w, .exp10 = -(int64_t)fraction, .negative = negative};
    double v = (double)(int64_t)w / exact_tens[fraction];
    uint64_t wide;
    memcpy(&wide, &v, sizeof wide);
    if (w > INT64_MAX || (wide & 0x1fffffff) - 0x0ffffffc <= 8)
        return pt_num_to_f32(&n);
    return signed_f32((float)v, negative);
}

/* Where one number ends and so where the next begins is what the processor has to wait for; all the rest it does meanwhile. So the ends are found in
 * few steps, from a map of what is no digit, and what can be guessed (is there a point, is there a blank) is a branch. */
size_t pt_num_read_f32s(const char **at, const char *end, float *out, size_t count)
{
    const char *p = *at;
    size_t i = 0;
    for (; i < count && end - p > 40; i++) {
        unsigned others = (others16(p) | others16(p + 16) << 16) & ~1u, sign = *p == '-'; /* a first byte that is no digit is a sign, or refused */
        if (!(others & (others - 1)))
            break;
        const char *s = p + sign, *point = p + __builtin_ctz(others), *stop = point;
        unsigned whole = (unsigned)(point - s), fraction = 0;
        if (__builtin_expect(*point == '.', 1)) {
            stop = p + __builtin_ctz(others & (others - 1));
            fraction = (unsigned)(stop - point) - 1;
            if (fraction == 0)
                break;
        }
        if (*stop != ',' || !is_digit(*s) || (whole > 1 && *s == '0') || whole + fraction > 19)
            break;
        uint64_t w = whole == 1 ? (uint64_t)(*s - '0') : up_to_19(s, whole);
        out[i] = plain_f32(sign, w * powers[fraction] + up_to_19(point + 1, fraction), fraction);
        p = stop + 1;
        if (__builtin_expect(*p == ' ', 1))
            p++;
    }
    *at = p;
    return i;
}

bool pt_num_to_u64(const struct pt_num *n, uint64_t *v)
{
    uint64_t w = n->digits;
    int64_t e = n->exp10;
    if (n->cut) { /* 20 digits may still fit */
        w = 0;
        e = 0;
        for (const char *p = n->start; p < n->end; p++)
            if (!is_digit(*p) || __builtin_mul_overflow(w, 10, &w) || __builtin_add_overflow(w, (uint64_t)(*p - '0'), &w))
                return false;
    }
    for (; w && e > 0; e--)
        if (__builtin_mul_overflow(w, 10, &w))
            return false;
    for (; w && e < 0; e++, w /= 10)
        if (w % 10)
            return false;
    *v = w;
    return true;
}

/* --- writing --------------------------------------------------------------------------------------------------------- */

static const char pairs[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657585960"
    "616263646566676869707172737475767778798081828384858687888990919293949596979899";

size_t pt_num_put_u64(char *out, uint64_t v)
{
    char text[20];
    size_t at = sizeof text;
    for (; v >= 100; v /= 100)
        memcpy(text + (at -= 2), pairs + 2 * (v % 100), 2);
    if (v >= 10)
        memcpy(text + (at -= 2), pairs + 2 * v, 2);
    else
        text[--at] = (char)('0' + v);
    memcpy(out, text + at, sizeof text - at);
    return sizeof text - at;
}

size_t pt_num_put_i64(char *out, int64_t v)
{
    if (v >= 0)
        return pt_num_put_u64(out, (uint64_t)v);
    *out = '-';
    return 1 + pt_num_put_u64(out + 1, 0 - (uint64_t)v);
}

struct decimal {
    uint64_t digits;
    int exp10;
};

/* Schubfach, given the three scaled numbers: the value and the borders of what rounds to it, each times four, with the lowest bit set when
 * anything was cut off below. Picks the shortest decimal inside, and the nearest of two. */
static struct decimal choose(uint64_t low, uint64_t mid, uint64_t high, bool even, int k)
{
    uint64_t s = mid / 4;
    low += !even, high -= !even; /* the borders themselves round to the even neighbour */
    if (s >= 10) {
        uint64_t tens = s / 10;
        bool down = low <= 40 * tens, up = 40 * tens + 40 <= high;
        if (down != up)
            return (struct decimal){tens + up, k + 1};
    }
    bool down = low <= 4 * s, up = 4 * s + 4 <= high;
    if (down != up)
        return (struct decimal){s + up, k};
    uint64_t half = 4 * s + 2;
    return (struct decimal){s + (mid > half || (mid == half && (s & 1))), k};
}

/* floor(log10(2^q)), or of 3/4 of it: the interval below a power of two is half as wide. */
static int floor_log10_pow2(int q, bool narrow_below)
{
    return (q * 1262611 - (narrow_below ? 524031 : 0)) >> 22;
}

static uint64_t scale64(const uint64_t g[2], uint64_t c)
{
    u128 x = (u128)g[1] * c, y = (u128)g[0] * c + (uint64_t)(x >> 64);
    return (uint64_t)(y >> 64) | ((uint64_t)y > 1);
}

static struct decimal shortest_f64(uint64_t mantissa, int exponent)
{
    bool narrow = mantissa == 0 && exponent > 1;
    uint64_t c = exponent ? mantissa | (uint64_t)1 << 52 : mantissa;
    int q = (exponent ? exponent : 1) - 1075;
    int k = floor_log10_pow2(q, narrow), h = q + floor_log2_pow10(-k) + 1;
    const uint64_t *table = pow10_bits[-k - POW10_MIN];
    uint64_t g[2] = {table[0], table[1]};
    if (k > 0 || k < -55) /* not exact: Schubfach wants it rounded up */
        g[0] += ++g[1] == 0;
    uint64_t mid = scale64(g, 4 * c << h), low = scale64(g, (4 * c - 2 + narrow) << h), high = scale64(g, (4 * c + 2) << h);
    return choose(low, mid, high, !(c & 1), k);
}

static uint64_t scale32(uint64_t g, uint32_t c)
{
    u128 x = (u128)g * c;
    return (uint64_t)(x >> 64) | ((uint32_t)(x >> 32) > 1);
}

static struct decimal shortest_f32(uint32_t mantissa, int exponent)
{
    bool narrow = mantissa == 0 && exponent > 1;
    uint32_t c = exponent ? mantissa | (uint32_t)1 << 23 : mantissa;
    int q = (exponent ? exponent : 1) - 150;
    int k = floor_log10_pow2(q, narrow), h = q + floor_log2_pow10(-k) + 1;
    const uint64_t *table = pow10_bits[-k - POW10_MIN];
    uint64_t g = table[0] + (table[1] != 0 || k > 0);
    uint64_t mid = scale32(g, 4 * c << h), low = scale32(g, (4 * c - 2 + narrow) << h), high = scale32(g, (4 * c + 2) << h);
    return choose(low, mid, high, !(c & 1), k);
}

/* Without an exponent for 1e-4 <= v < 1e16, as Python and JavaScript do or nearly so. */
static size_t put_decimal(char *out, struct decimal d)
{
    char text[20], *p = out;
    while (d.digits % 10 == 0)
        d.digits /= 10, d.exp10++;
    int count = (int)pt_num_put_u64(text, d.digits), point = count + d.exp10;
    if (point > 16 || point < -3) {
        *p++ = text[0];
        if (count > 1) {
            *p++ = '.';
            memcpy(p, text + 1, (size_t)count - 1);
            p += count - 1;
        }
        *p++ = 'e';
        return (size_t)(p - out) + pt_num_put_i64(p, point - 1);
    }
    int whole = point < 0 ? 0 : point < count ? point : count;
    memcpy(p, text, (size_t)whole);
    p += whole;
    for (int i = count; i < point; i++)
        *p++ = '0';
    if (point <= 0)
        *p++ = '0';
    if (point < count) {
        *p++ = '.';
        for (int i = point; i < 0; i++)
            *p++ = '0';
        memcpy(p, text + whole, (size_t)(count - whole));
        p += count - whole;
    }
    return (size_t)(p - out);
}

/* Zero, infinities, NaN, and whole numbers as long as they are written without an exponent: exactly, though zeros at the end would do as well. 0 when
 * v is none of them. */
static size_t put_special(char *out, double v)
{
    if (isnan(v))
        return (size_t)(stpcpy(out, "NaN") - out);
    if (isinf(v))
        return (size_t)(stpcpy(out, v < 0 ? "-Inf" : "+Inf") - out);
    if (fabs(v) >= 1e16 || v != (double)(int64_t)v)
        return 0;
    if (v == 0 && signbit(v)) {
        memcpy(out, "-0", 2);
        return 2;
    }
    return pt_num_put_i64(out, (int64_t)v);
}

size_t pt_num_put_f64(char *out, double v)
{
    size_t n = put_special(out, v);
    if (n)
        return n;
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    bool negative = bits >> 63;
    if (negative)
        *out = '-';
    return negative + put_decimal(out + negative, shortest_f64(bits & 0xfffffffffffffu, (int)(bits >> 52 & 0x7ff)));
}

size_t pt_num_put_f32(char *out, float v)
{
    size_t n = put_special(out, (double)v);
    if (n)
        return n;
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    bool negative = bits >> 31;
    if (negative)
        *out = '-';
    return negative + put_decimal(out + negative, shortest_f32(bits & 0x7fffff, (int)(bits >> 23 & 0xff)));
}

/* --- 16-bit floats: `bits` of mantissa, least exponent `least` ------------------------------------------------------------ */

struct half {
    int bits, least;
    unsigned infinity;
};
static const struct half f16 = {10, -14, 0x7c00}, bf16 = {7, -126, 0x7f80};

/* The nearest one, ties to even; its infinity when v is too large. */
static uint16_t to_half(double v, struct half t)
{
    double a = fabs(v);
    unsigned sign = signbit(v) ? 0x8000 : 0, out = 0;
    if (isnan(a))
        return (uint16_t)(sign | t.infinity | 1u << (t.bits - 1));
    if (isinf(a))
        return (uint16_t)(sign | t.infinity);
    if (a > 0) {
        int e = ilogb(a);
        e = e < t.least ? t.least : e;
        if (e > 1 - t.least)
            return (uint16_t)(sign | t.infinity);
        double steps = nearbyint(ldexp(a, t.bits - e)); /* steps of the last place; 2^bits of them make the next exponent */
        out = (unsigned)(e - t.least) * (1u << t.bits) + (unsigned)steps;
    }
    return (uint16_t)(sign | out);
}

static double from_half(uint16_t h, struct half t)
{
    unsigned rest = h & 0x7fffu, mantissa = rest & ((1u << t.bits) - 1), e = rest >> t.bits;
    double a;
    if (rest >= t.infinity)
        a = rest == t.infinity ? (double)INFINITY : (double)NAN;
    else
        a = e ? ldexp((double)(mantissa + (1u << t.bits)), (int)e - 1 + t.least - t.bits) : ldexp((double)mantissa, t.least - t.bits);
    return h & 0x8000 ? -a : a;
}

uint16_t pt_num_f16_bits(double v)
{
    return to_half(v, f16);
}
uint16_t pt_num_bf16_bits(double v)
{
    return to_half(v, bf16);
}
double pt_num_f16_value(uint16_t bits)
{
    return from_half(bits, f16);
}
double pt_num_bf16_value(uint16_t bits)
{
    return from_half(bits, bf16);
}
