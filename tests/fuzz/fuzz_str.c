/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_str.c: any text to each of the strict parsers of str.h; what has a writer is written and read again.
 */
#include "base/str.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pt_str s = {(const char *)data, size}, rest = s, part;
    struct pt_err err;
    uint8_t digest[32], again[32], bytes[256];
    int64_t v, w;
    size_t len, parts = 0;
    char text[72];
    if (pt_parse_i64(s, -1000, 1000, "n", &v, &err) == PT_OK)
        check(v >= -1000 && v <= 1000);
    if (pt_parse_duration_ms(s, "d", &v, &err) == PT_OK)
        check(v >= 0);
    if (pt_parse_digest(s, "digest", digest, &err) == PT_OK) {
        pt_format_digest(digest, text);
        check(pt_str_eq(pt_str(text), s) && pt_parse_digest(pt_str(text), "digest", again, &err) == PT_OK && memcmp(digest, again, 32) == 0);
    }
    if (pt_parse_time(s, &v, &err) == PT_OK) {
        pt_format_time(v, text);
        if (pt_parse_time(pt_str(text), &w, &err) == PT_OK) /* an offset may lead out of the years 1 to 9999 */
            check(v - w >= 0 ? v - w < 1000 : v < -62135596800000);
    }
    if (pt_base64_decode(s, bytes, sizeof bytes, &len, &err) == PT_OK)
        check(len <= s.len / 4 * 3);
    check(!pt_is_dns_label(s) || pt_is_dns_subdomain(s));
    while (pt_str_split(&rest, ',', &part))
        parts += 1 + part.len;
    check(parts == size + (s.p != NULL));
    check(pt_str_trim(s).len <= size);
    while (s.len && (len = pt_utf8_sequence(s)) > 0)
        s.p += len, s.len -= len;
    check((s.len == 0) == pt_utf8_valid((struct pt_str){(const char *)data, size}));
    return 0;
}
