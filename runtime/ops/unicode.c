/* SPDX-License-Identifier: Apache-2.0
 *
 * unicode.c: see unicode.h.
 */
#include "runtime/ops/unicode.h"

/* Code points first, first + step, ... last map to themselves + delta. */
struct run {
    uint32_t first : 21, step : 2, : 9;
    uint32_t last;
    int32_t delta;
};
#include "runtime/ops/unicode_case.inc"

static uint32_t map(const struct run *runs, size_t n, uint32_t code)
{
    size_t lo = 0, hi = n;
    while (lo < hi) { /* the first run that does not end before code */
        size_t mid = (lo + hi) / 2;
        if (runs[mid].last < code)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == n || code < runs[lo].first || (code - runs[lo].first) % runs[lo].step)
        return code;
    return (uint32_t)((int32_t)code + runs[lo].delta);
}

uint32_t pt_unicode_lower(uint32_t code)
{
    if (code < 128)
        return code >= 'A' && code <= 'Z' ? code + 32 : code;
    return map(to_lower, sizeof to_lower / sizeof *to_lower, code);
}

uint32_t pt_unicode_upper(uint32_t code)
{
    if (code < 128)
        return code >= 'a' && code <= 'z' ? code - 32 : code;
    return map(to_upper, sizeof to_upper / sizeof *to_upper, code);
}

bool pt_unicode_is_space(uint32_t code)
{
    return (code >= 9 && code <= 13) || code == ' ' || code == 0x85 || code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) ||
           code == 0x2028 || code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

uint32_t pt_utf8_next(const char *p, size_t len, size_t *used)
{
    const uint8_t *b = (const uint8_t *)p;
    *used = 1;
    if (b[0] < 0x80)
        return b[0];
    if ((*used = pt_utf8_sequence((struct pt_str){p, len})) == 0) {
        *used = 1;
        return PT_UNICODE_BAD;
    }
    uint32_t code = b[0] & (0x7fu >> *used);
    for (size_t i = 1; i < *used; i++)
        code = code << 6 | (b[i] & 0x3f);
    return code;
}

size_t pt_utf8_put(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)((0xf00u >> n) | code);
    return n;
}
