/* SPDX-License-Identifier: Apache-2.0
 *
 * trace.c: see trace.h.
 */
#include "sidecar/trace.h"

#include "net/http_server.h"

/* --- traceparent: VERSION-TRACE_ID-PARENT_ID-FLAGS -------------------------------------------------------------------------------- */

enum { VERSION_00_LEN = 55, SAMPLED = 1 };

static int nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex(const char *p, uint8_t *out, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        int high = nibble(p[2 * i]), low = nibble(p[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool is_zero(const uint8_t *p, size_t len)
{
    while (len && *p == 0)
        p++, len--;
    return len == 0;
}

int pt_trace_parse(struct pt_str s, struct pt_trace *out)
{
    struct pt_trace t = {.valid = true};
    uint8_t version, flags;
    *out = (struct pt_trace){0};
    if (s.len < VERSION_00_LEN || s.p[2] != '-' || s.p[35] != '-' || s.p[52] != '-' || !read_hex(s.p, &version, 1) ||
        !read_hex(s.p + 3, t.trace_id, sizeof t.trace_id) || !read_hex(s.p + 36, t.parent_id, sizeof t.parent_id) || !read_hex(s.p + 53, &flags, 1))
        return PT_EPARSE;
    if (version == 0xff || is_zero(t.trace_id, sizeof t.trace_id) || is_zero(t.parent_id, sizeof t.parent_id))
        return PT_EPARSE;
    if (s.len > VERSION_00_LEN && (version == 0 || s.p[VERSION_00_LEN] != '-')) /* later versions may have more behind a dash */
        return PT_EPARSE;
    t.sampled = flags & SAMPLED;
    *out = t;
    return PT_OK;
}

/* --- tracestate: KEY=VALUE, ... ------------------------------------------------------------------------------------------------------ */

enum { MAX_MEMBERS = 32, MAX_KEY = 256, MAX_TENANT = 241, MAX_SYSTEM = 14, MAX_VALUE = 256 };

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name(struct pt_str s, size_t most, bool digit_first)
{
    if (s.len == 0 || s.len > most || !(is_lower(s.p[0]) || (digit_first && is_digit(s.p[0]))))
        return false;
    for (size_t i = 1; i < s.len; i++)
        if (!is_lower(s.p[i]) && !is_digit(s.p[i]) && s.p[i] != '_' && s.p[i] != '-' && s.p[i] != '*' && s.p[i] != '/')
            return false;
    return true;
}

static bool is_key(struct pt_str s)
{
    struct pt_str system = s, tenant;
    if (!memchr(s.p, '@', s.len))
        return is_name(s, MAX_KEY, false);
    pt_str_split(&system, '@', &tenant);
    return is_name(tenant, MAX_TENANT, true) && is_name(system, MAX_SYSTEM, false);
}

static bool is_value(struct pt_str s)
{
    if (s.len == 0 || s.len > MAX_VALUE || s.p[s.len - 1] == ' ')
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] < 0x20 || s.p[i] > 0x7e || s.p[i] == ',' || s.p[i] == '=')
            return false;
    return true;
}

/* Blanks around a member are the list's. */
static struct pt_str without_blanks(struct pt_str s)
{
    while (s.len && (s.p[0] == ' ' || s.p[0] == '\t'))
        s.p++, s.len--;
    while (s.len && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
        s.len--;
    return s;
}

bool pt_trace_state_valid(struct pt_str list)
{
    struct pt_str keys[MAX_MEMBERS], member, key;
    size_t count = 0;
    while (pt_str_split(&list, ',', &member)) {
        member = without_blanks(member);
        if (member.len == 0) /* allowed between commas */
            continue;
        const char *eq = memchr(member.p, '=', member.len);
        if (!eq || count == MAX_MEMBERS)
            return false;
        key = (struct pt_str){member.p, (size_t)(eq - member.p)};
        if (!is_key(key) || !is_value((struct pt_str){eq + 1, member.len - key.len - 1}))
            return false;
        for (size_t i = 0; i < count; i++)
            if (pt_str_eq(keys[i], key))
                return false;
        keys[count++] = key;
    }
    return count > 0;
}

/* --- of a request ---------------------------------------------------------------------------------------------------------------------- */

void pt_trace_of_request(const struct pt_http_request *req, struct pt_trace *out)
{
    const struct pt_http_header *h;
    size_t count = pt_http_headers(req, &h), found = 0;
    struct pt_str value = {0};
    for (size_t i = 0; i < count; i++)
        if (h[i].name.len == 11 && pt_str_eq_nocase(h[i].name, PT_STR("traceparent"))) {
            value = h[i].value;
            found++;
        }
    *out = (struct pt_trace){0};
    if (found == 1)
        (void)pt_trace_parse(value, out);
}

struct pt_str pt_trace_state_of(const struct pt_http_request *req, char out[PT_TRACE_STATE_MAX + 1])
{
    const struct pt_http_header *h;
    size_t count = pt_http_headers(req, &h), len = 0;
    for (size_t i = 0; i < count; i++) {
        if (!pt_str_eq_nocase(h[i].name, PT_STR("tracestate")))
            continue;
        if (h[i].value.len + (len > 0) > PT_TRACE_STATE_MAX - len)
            return PT_STR("");
        if (len)
            out[len++] = ',';
        memcpy(out + len, h[i].value.p, h[i].value.len);
        len += h[i].value.len;
    }
    struct pt_str s = {out, len};
    return len && pt_trace_state_valid(s) ? s : PT_STR("");
}

void pt_trace_hex(const uint8_t *id, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        *out++ = digits[id[i] >> 4];
        *out++ = digits[id[i] & 15];
    }
    *out = 0;
}
