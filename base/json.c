/* SPDX-License-Identifier: Apache-2.0
 *
 * json.c: the pull reader of json.h. One position, one bit pair per open level; every read leaves the position behind what it read. And the strings of
 * pt_buf_json_string(), which are looked at by the same means.
 */
#include "base/json.h"
#include "base/num.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* j->first[level]: */
#define FIRST 1  /* no element of this level was read yet */
#define OBJECT 2 /* it is an object, not an array */

void pt_json_init(struct pt_json *j, const void *text, size_t len)
{
    *j = (struct pt_json){.start = text, .p = text, .end = len ? (const char *)text + len : text};
}

__attribute__((cold)) static int fail_at(struct pt_json *j, struct pt_err *err, const char *what)
{
    size_t at = (size_t)(j->p - j->start);
    if (j->p == j->end)
        return pt_fail(err, PT_EPARSE, "JSON: the text ends at byte %zu, %s", at, what);
    unsigned char c = (unsigned char)*j->p;
    if (c > ' ' && c < 0x7f)
        return pt_fail(err, PT_EPARSE, "JSON: '%c' at byte %zu, %s", c, at, what);
    return pt_fail(err, PT_EPARSE, "JSON: byte 0x%02x at %zu, %s", c, at, what);
}

static inline void skip_blanks(struct pt_json *j)
{
    if (j->p < j->end && (unsigned char)*j->p > ' ')
        return;
    while (j->p < j->end && (*j->p == ' ' || *j->p == '\n' || *j->p == '\r' || *j->p == '\t'))
        j->p++;
}

int pt_json_kind(struct pt_json *j, struct pt_err *err)
{
    skip_blanks(j);
    switch (j->p < j->end ? *j->p : '\0') {
    case '{':
        return PT_JSON_OBJECT;
    case '[':
        return PT_JSON_ARRAY;
    case '"':
        return PT_JSON_STRING;
    case 't':
    case 'f':
        return PT_JSON_BOOL;
    case 'n':
        return PT_JSON_NULL;
    case '-':
    case '0' ... '9':
        return PT_JSON_NUMBER;
    default:
        if (j->nan_tokens && j->p < j->end && (*j->p == 'N' || *j->p == 'I'))
            return PT_JSON_NUMBER;
        return fail_at(j, err, "a value is expected");
    }
}

bool pt_json_nan_token(struct pt_json *j, double *v)
{
    static const struct {
        struct pt_str text;
        double v;
    } tokens[] = {{{"NaN", 3}, __builtin_nan("")}, {{"Infinity", 8}, __builtin_inf()}, {{"-Infinity", 9}, -__builtin_inf()}};
    for (size_t i = 0; j->nan_tokens && i < sizeof tokens / sizeof tokens[0]; i++)
        if (pt_str_starts((struct pt_str){j->p, (size_t)(j->end - j->p)}, tokens[i].text)) {
            j->p += tokens[i].text.len;
            *v = tokens[i].v;
            return true;
        }
    return false;
}

static int enter(struct pt_json *j, char bracket, uint8_t level, const char *what, struct pt_err *err)
{
    skip_blanks(j);
    if (j->p == j->end || *j->p != bracket)
        return fail_at(j, err, what);
    if (j->depth == PT_JSON_MAX_DEPTH)
        return pt_fail(err, PT_EPARSE, "JSON: nested deeper than %d levels at byte %zu", PT_JSON_MAX_DEPTH, (size_t)(j->p - j->start));
    j->first[j->depth++] = level;
    j->p++;
    return PT_OK;
}

int pt_json_object(struct pt_json *j, struct pt_err *err)
{
    return enter(j, '{', FIRST | OBJECT, "an object is expected", err);
}

int pt_json_array(struct pt_json *j, struct pt_err *err)
{
    return enter(j, '[', FIRST, "an array is expected", err);
}

/* 1 when another element follows, 0 when the level was closed and left. */
static int next(struct pt_json *j, char bracket, const char *what, struct pt_err *err)
{
    uint8_t *level = &j->first[j->depth - 1];
    skip_blanks(j);
    if (j->p < j->end && *j->p == bracket) {
        j->p++;
        j->depth--;
        return 0;
    }
    if (!(*level & FIRST)) {
        if (j->p == j->end || *j->p != ',')
            return fail_at(j, err, what);
        j->p++;
    }
    *level &= (uint8_t)~FIRST;
    return 1;
}

int pt_json_element(struct pt_json *j, struct pt_err *err)
{
    return next(j, ']', "',' or ']' is expected", err);
}

static int hex4(const char *p, const char *end)
{
    int v = 0;
    for (int i = 0; i < 4; i++, p++) {
        int digit = p == end ? -1 : *p >= '0' && *p <= '9' ? *p - '0' : (*p | 32) >= 'a' && (*p | 32) <= 'f' ? (*p | 32) - 'a' + 10 : -1;
        if (digit < 0)
            return -1;
        v = v << 4 | digit;
    }
    return v;
}

/* Has one of these eight characters a meaning? A character's top bit is set if it has, as it may be above one that has. */
static inline uint64_t special(uint64_t v)
{
    const uint64_t ones = 0x0101010101010101, tops = ones << 7;
    uint64_t quote = v ^ ones * '"', slash = v ^ ones * '\\';
    return (((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((v - ones * ' ') & ~v) | v) & tops;
}

static inline uint64_t load8(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

#ifdef __SSE2__
/* The same of sixteen, a bit for each, and only for those that have. */
static inline __attribute__((always_inline)) unsigned odd_bits(const char *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i odd = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))),
                               _mm_cmplt_epi8(v, _mm_set1_epi8(' '))); /* signed: from 0x80 on as well */
    return (unsigned)_mm_movemask_epi8(odd);
}
#endif

/* The beginning of a text that goes on behind its string. */
static inline __attribute__((always_inline)) size_t plain(const char *p, size_t len)
{
    size_t i = 0;
#ifdef __SSE2__
    for (; len - i >= 16; i += 16) {
        unsigned odd = odd_bits(p + i);
        if (odd)
            return i + (size_t)__builtin_ctz(odd);
    }
#endif
    while (len - i >= 8 && !special(load8(p + i)))
        i += 8;
    while (i < len && p[i] >= ' ' && (signed char)p[i] >= 0 && p[i] != '"' && p[i] != '\\')
        i++;
    return i;
}

/* Most often all of it is plain: then the last bytes are looked at together with some before them. */
size_t pt_json_plain(const char *p, size_t len)
{
    size_t i = 0;
    if (len < 4 || len >= 64)
        return plain(p, len);
    if (len < 8) {
        uint32_t first, last;
        memcpy(&first, p, 4);
        memcpy(&last, p + len - 4, 4);
        return special(first | (uint64_t)last << 32) ? plain(p, len) : len;
    }
    for (; i < len - 8; i += 8)
        if (special(load8(p + i)))
            return plain(p, len);
    return special(load8(p + len - 8)) ? plain(p, len) : len;
}

/* The code point of the escape behind the backslash at p; *end_of_it behind it. -1 when there is no such escape or half a surrogate pair. */
static int32_t escape(const char *p, const char *end, const char **end_of_it)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    *end_of_it = p + 2;
    for (size_t i = 0; p + 1 < end && i < sizeof letters - 1; i++)
        if (p[1] == letters[i])
            return meanings[i];
    int32_t c = p + 1 < end && p[1] == 'u' ? hex4(p + 2, end) : -1;
    if (c < 0 || (c >= 0xdc00 && c < 0xe000))
        return -1;
    *end_of_it = p + 6;
    if (c < 0xd800 || c >= 0xe000)
        return c;
    int32_t low = end - p >= 12 && p[6] == '\\' && p[7] == 'u' ? hex4(p + 8, end) : -1;
    *end_of_it = p + 12;
    return low >= 0xdc00 && low < 0xe000 ? 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00) : -1;
}

/* Behind the usual escapes at p, as JSON inside a string is full of, and the plain text after each. */
static inline const char *pass_usual_escapes(const char *p, const char *end)
{
#ifdef __SSE2__
    while (end - p >= 18 && *p == '\\' && (p[1] == '"' || p[1] == '\\' || p[1] == 'n')) {
        unsigned odd = odd_bits(p + 2);
        p += 2 + (odd ? __builtin_ctz(odd) : 16);
    }
#else
    (void)end;
#endif
    return p;
}

/* What a string has that is not plain, up to its closing quote: escapes, UTF-8; no control characters. */
__attribute__((noinline)) static int check_string(struct pt_json *j, struct pt_err *err)
{
    j->p = pass_usual_escapes(j->p, j->end);
    for (; j->p < j->end && *j->p != '"'; j->p += plain(j->p, (size_t)(j->end - j->p))) {
        unsigned char c = (unsigned char)*j->p;
        size_t n = 1;
        const char *after;
        if (c == '\\' && j->end - j->p > 1 && (j->p[1] == '"' || j->p[1] == '\\' || j->p[1] == 'n')) { /* most are */
            n = 2;
        } else if (c == '\\') {
            if (escape(j->p, j->end, &after) < 0)
                return fail_at(j, err, "the escape is not valid");
            j->p = after;
            continue;
        }
        if (c < ' ')
            return fail_at(j, err, "control characters in strings must be escaped");
        if (c >= 0x80 && (n = pt_utf8_sequence((struct pt_str){j->p, (size_t)(j->end - j->p)})) == 0)
            return fail_at(j, err, "the string is not UTF-8");
        j->p += n;
    }
    return j->p < j->end ? PT_OK : fail_at(j, err, "inside a string");
}

__attribute__((noinline)) static int cut_any_string(struct pt_json *j, struct pt_str *raw, struct pt_err *err)
{
    skip_blanks(j);
    *raw = (struct pt_str){j->p, 0};
    if (j->p == j->end || *j->p != '"')
        return fail_at(j, err, "a string is expected");
    const char *start = ++j->p;
    j->p += plain(j->p, (size_t)(j->end - j->p));
    j->plain = j->p < j->end && *j->p == '"';
    if (!j->plain && check_string(j, err) < 0)
        return PT_EPARSE;
    *raw = (struct pt_str){start, (size_t)(j->p++ - start)};
    return PT_OK;
}

/* Cuts the string at j->p into what is between the quotes, checked. Most are short and plain. */
static inline int cut_string(struct pt_json *j, struct pt_str *raw, struct pt_err *err)
{
#ifdef __SSE2__
    const char *p = j->p;
    unsigned odd = j->end - p > 16 && *p == '"' ? odd_bits(p + 1) : 0;
    size_t n = odd ? (size_t)__builtin_ctz(odd) : 0;
    if (odd && p[1 + n] == '"') {
        *raw = (struct pt_str){p + 1, n};
        j->p = p + n + 2;
        j->plain = true;
        return PT_OK;
    }
#endif
    return cut_any_string(j, raw, err);
}

int pt_json_text(struct pt_json *j, struct pt_str *raw, struct pt_err *err)
{
    return cut_string(j, raw, err);
}

int pt_json_member(struct pt_json *j, struct pt_str *raw_key, struct pt_err *err)
{
    int rc = next(j, '}', "',' or '}' is expected", err);
    if (rc <= 0)
        return rc;
    if ((rc = cut_string(j, raw_key, err)) < 0)
        return rc;
    skip_blanks(j);
    if (j->p == j->end || *j->p != ':')
        return fail_at(j, err, "':' is expected");
    j->p++;
    return 1;
}

static size_t put_utf8(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | c);
    return n;
}

/* The next piece of a checked raw string: a run without escapes, or one escape decoded into tmp. */
static struct pt_str piece(struct pt_str *raw, char tmp[4])
{
    const char *slash = memchr(raw->p, '\\', raw->len), *after = slash;
    struct pt_str out = {raw->p, slash ? (size_t)(slash - raw->p) : raw->len};
    if (slash == raw->p) {
        int32_t c = escape(slash, raw->p + raw->len, &after);
        out = (struct pt_str){tmp, c < 0 ? 0 : put_utf8((uint32_t)c, tmp)};
    } else {
        after = raw->p + out.len;
    }
    raw->len -= (size_t)(after - raw->p);
    raw->p = after;
    return out;
}

/* Of a name that is not written as it is, if it has escapes at all. */
bool pt_json_decoded_key_is(const struct pt_str *raw_key, const char *name)
{
    if (!memchr(raw_key->p, '\\', raw_key->len))
        return false;
    struct pt_str rest = *raw_key, wanted = pt_str(name);
    char tmp[4];
    while (rest.len) {
        struct pt_str part = piece(&rest, tmp);
        if (!pt_str_starts(wanted, part))
            return false;
        wanted.p += part.len, wanted.len -= part.len;
    }
    return wanted.len == 0;
}

int pt_json_string(struct pt_json *j, struct pt_buf *out, struct pt_err *err)
{
    struct pt_str raw;
    char tmp[4];
    int rc = cut_string(j, &raw, err);
    if (rc < 0)
        return rc;
    if (j->plain) {
        pt_buf_append(out, raw.p, raw.len);
        return out->failed ? pt_buf_check(out, "string", err) : PT_OK;
    }
    while (raw.len) {
        struct pt_str part = piece(&raw, tmp);
        pt_buf_append(out, part.p, part.len);
    }
    return pt_buf_check(out, "string", err);
}

static int word(struct pt_json *j, struct pt_str text, const char *what, struct pt_err *err)
{
    if (!pt_str_starts((struct pt_str){j->p, (size_t)(j->end - j->p)}, text))
        return fail_at(j, err, what);
    j->p += text.len;
    return PT_OK;
}

int pt_json_bool(struct pt_json *j, bool *v, struct pt_err *err)
{
    skip_blanks(j);
    *v = j->p < j->end && *j->p == 't';
    return word(j, *v ? PT_STR("true") : PT_STR("false"), "true or false is expected", err);
}

int pt_json_null(struct pt_json *j, struct pt_err *err)
{
    skip_blanks(j);
    return word(j, PT_STR("null"), "null is expected", err);
}

static int cut_number(struct pt_json *j, struct pt_num *n, struct pt_err *err)
{
    skip_blanks(j);
    const char *end = pt_num_scan(j->p, j->end, n);
    if (!end)
        return fail_at(j, err, "a number is expected");
    j->p = end;
    return PT_OK;
}

int pt_json_i64(struct pt_json *j, int64_t *v, struct pt_err *err)
{
    struct pt_num n;
    uint64_t m;
    int rc = cut_number(j, &n, err);
    if (rc < 0)
        return rc;
    if (!pt_num_to_u64(&n, &m) || m > (uint64_t)INT64_MAX + n.negative)
        return pt_fail(err, PT_EPARSE, "JSON: %s%.*s is not a whole number that fits in 64 bits", n.negative ? "-" : "", (int)(n.end - n.start),
                       n.start);
    *v = n.negative ? (int64_t)(0 - m) : (int64_t)m;
    return PT_OK;
}

/* Short and whole, as most numbers of objects are. */
static bool cut_short_whole(struct pt_json *j, double *v)
{
    const char *p = j->p;
    int64_t n = 0;
    while (p < j->end && p - j->p < 15 && *p >= '0' && *p <= '9')
        n = n * 10 + (*p++ - '0');
    if (p == j->p || p == j->end || (*p != ',' && *p != '}' && *p != ']') || (*j->p == '0' && p - j->p > 1))
        return false;
    j->p = p;
    *v = (double)n;
    return true;
}

int pt_json_double(struct pt_json *j, double *v, struct pt_err *err)
{
    struct pt_num n;
    skip_blanks(j);
    if (cut_short_whole(j, v))
        return PT_OK;
    int rc = cut_number(j, &n, err);
    if (rc == PT_OK && (*v = pt_num_to_f64(&n)) * 0 != 0)
        return pt_fail(err, PT_EPARSE, "JSON: %s%.*s is too large", n.negative ? "-" : "", (int)(n.end - n.start), n.start);
    return rc;
}

/* Behind the string with something at p that is not plain; NULL when that is wrong. */
__attribute__((noinline)) static const char *skip_odd_string(const char *p, const char *end)
{
    struct pt_json j = {.start = p, .p = p, .end = end};
    return check_string(&j, NULL) < 0 ? NULL : j.p + 1;
}

/* Behind the string at p; NULL when it is none. */
static inline const char *skip_string(const char *p, const char *end)
{
    if (p == end || *p++ != '"')
        return NULL;
    p += plain(p, (size_t)(end - p));
    return p < end && *p == '"' ? p + 1 : skip_odd_string(p, end);
}

/* Behind the string, short whole number or word at p; NULL when it is something else. */
static inline const char *skip_plain_scalar(const char *p, const char *end)
{
    const char *start = p;
    if (p < end && *p == '"')
        return skip_string(p, end);
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    if (p > start)
        return p < end && *p != '.' && (*p | 32) != 'e' && (*start != '0' || p == start + 1) ? p : NULL;
    size_t n = p < end && *p == 'f' ? 5 : 4;
    if ((size_t)(end - p) <= n || memcmp(p, *p == 't' ? "true" : *p == 'f' ? "false" : "null", n) != 0)
        return NULL;
    return p + n;
}

/* Behind the value at p when it is written without blanks and has nothing that needs a second look, as what servers and we print: one pass with
 * everything in registers. NULL: to be read with care, which also finds the words for what is wrong. */
static const char *skip_plain(const char *p, const char *end, unsigned room)
{
    uint64_t objects = 0; /* one bit per open level, the innermost lowest: is it an object? */
    unsigned depth = 0;
    _Static_assert(PT_JSON_MAX_DEPTH <= 64, "levels have a bit each");
    for (;;) {
        if (p < end && (*p == '{' || *p == '[') && depth < room) {
            objects = objects << 1 | (*p == '{');
            depth++;
            p++;
            if (p == end || *p != ((objects & 1) ? '}' : ']')) { /* its first element */
                if ((objects & 1) && (!(p = skip_string(p, end)) || p == end || *p++ != ':'))
                    return NULL;
                continue;
            }
        } else if (!(p = skip_plain_scalar(p, end))) {
            return NULL;
        }
        while (depth && p < end && *p == ((objects & 1) ? '}' : ']')) {
            objects >>= 1;
            depth--;
            p++;
        }
        if (!depth)
            return p;
        if (p == end || *p++ != ',' || ((objects & 1) && (!(p = skip_string(p, end)) || p == end || *p++ != ':')))
            return NULL;
    }
}

static int skip_scalar(struct pt_json *j, int kind, struct pt_err *err)
{
    struct pt_str raw;
    struct pt_num n;
    bool b;
    double v;
    switch (kind) {
    case PT_JSON_STRING:
        return cut_string(j, &raw, err);
    case PT_JSON_NUMBER:
        if (pt_json_nan_token(j, &v))
            return PT_OK;
        return cut_number(j, &n, err);
    case PT_JSON_BOOL:
        return pt_json_bool(j, &b, err);
    default:
        return pt_json_null(j, err);
    }
}

int pt_json_skip(struct pt_json *j, struct pt_err *err)
{
    unsigned base = j->depth;
    const char *behind = skip_plain(j->p, j->end, PT_JSON_MAX_DEPTH - base);
    int rc;
    if (behind) {
        j->p = behind;
        return PT_OK;
    }
    do {
        int kind = pt_json_kind(j, err);
        if (kind < 0)
            return kind;
        rc = kind == PT_JSON_OBJECT ? pt_json_object(j, err) : kind == PT_JSON_ARRAY ? pt_json_array(j, err) : skip_scalar(j, kind, err);
        while (rc == 0 && j->depth > base) { /* to the next element of the innermost level that has one */
            struct pt_str key;
            rc = j->first[j->depth - 1] & OBJECT ? pt_json_member(j, &key, err) : pt_json_element(j, err);
        }
    } while (rc == 1);
    return rc;
}

int pt_json_value(struct pt_json *j, struct pt_str *raw, struct pt_err *err)
{
    skip_blanks(j);
    const char *start = j->p;
    int rc = pt_json_skip(j, err);
    if (rc == PT_OK)
        *raw = (struct pt_str){start, (size_t)(j->p - start)};
    return rc;
}

int pt_json_end(struct pt_json *j, struct pt_err *err)
{
    skip_blanks(j);
    return j->p == j->end ? PT_OK : fail_at(j, err, "nothing more is expected");
}

/* --- writing ------------------------------------------------------------------------------------------------------------- */

/* Copies len bytes as long as they are plain; the last ones together with some before them. false: not all are. */
static inline bool copy_plain(char *to, const char *p, size_t len)
{
    size_t i = 0;
#ifdef __SSE2__
    for (; len - i >= 16; i += 16) {
        if (odd_bits(p + i))
            return false;
        memcpy(to + i, p + i, 16);
    }
#endif
    for (; len - i >= 8; i += 8) {
        uint64_t v = load8(p + i);
        if (special(v))
            return false;
        memcpy(to + i, &v, 8);
    }
    if (i == len)
        return true;
    if (len >= 8) {
        uint64_t v = load8(p + len - 8);
        memcpy(to + len - 8, &v, 8);
        return !special(v);
    }
    if (len >= 4) {
        uint32_t first, last;
        memcpy(&first, p, 4);
        memcpy(&last, p + len - 4, 4);
        memcpy(to, &first, 4);
        memcpy(to + len - 4, &last, 4);
        return !special(first | (uint64_t)last << 32);
    }
    for (; i < len && p[i] >= ' ' && (signed char)p[i] >= 0 && p[i] != '"' && p[i] != '\\'; i++)
        to[i] = p[i];
    return i == len;
}

/* Up to the first byte that needs more than a backslash; to has room for twice as many bytes. Returns what was read; *to goes on. */
static size_t put_plain(struct pt_str s, char **to)
{
    size_t i = 0;
    char *out = *to;
    while (i < s.len) {
        size_t n = pt_json_plain(s.p + i, s.len - i);
        memcpy(out, s.p + i, n);
        out += n, i += n;
        if (i == s.len || (s.p[i] != '"' && s.p[i] != '\\'))
            break;
        *out++ = '\\';
        *out++ = s.p[i++];
    }
    *to = out;
    return i;
}

bool pt_buf_json_string(struct pt_buf *b, struct pt_str s)
{
    char *fits = pt_buf_reserve(b, s.len + 2);
    if (!fits)
        return false;
    if (copy_plain(fits + 1, s.p, s.len)) { /* most are */
        fits[0] = fits[s.len + 1] = '"';
        b->len += s.len + 2;
        return true;
    }
    pt_buf_putc(b, '"');
    while (s.len) {
        struct pt_str part = {s.p, s.len < 4096 ? s.len : 4096};
        char *to = b->cap && b->len + 2 * part.len > b->cap ? NULL : pt_buf_reserve(b, 2 * part.len);
        size_t plain = 0;
        if (to) {
            plain = put_plain(part, &to);
            b->len = (size_t)(to - b->data);
        }
        s.p += plain, s.len -= plain;
        if (plain == part.len)
            continue;
        if (b->failed)
            return false;
        size_t used = 1;
        char c = s.p[0];
        if ((unsigned char)c >= ' ' && (unsigned char)c < 0x80) { /* close to the cap: byte by byte */
            if (c == '"' || c == '\\')
                pt_buf_putc(b, '\\');
            pt_buf_putc(b, c);
        } else if (c == '\n' || c == '\r' || c == '\t')
            pt_buf_append(b, (char[]){'\\', c == '\n' ? 'n' : c == '\r' ? 'r' : 't'}, 2);
        else if ((unsigned char)c < ' ')
            pt_buf_printf(b, "\\u%04x", (unsigned)(unsigned char)c);
        else if ((used = pt_utf8_sequence(s)) > 0)
            pt_buf_append(b, s.p, used);
        else {
            pt_buf_puts(b, "\xef\xbf\xbd");
            used = 1;
        }
        s.p += used, s.len -= used;
    }
    return pt_buf_putc(b, '"');
}
