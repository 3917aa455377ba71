/* SPDX-License-Identifier: Apache-2.0
 *
 * url.c: http and https URLs (RFC 3986, the part that HTTP needs).
 */
#include "net/url.h"

static struct pt_str before(struct pt_str s, const char *stops)
{
    size_t n = 0;
    while (n < s.len && !strchr(stops, s.p[n]))
        n++;
    return (struct pt_str){s.p, n};
}

static struct pt_str after(struct pt_str s, struct pt_str front)
{
    return (struct pt_str){s.p + front.len, s.len - front.len};
}

static int split_authority(struct pt_str a, struct pt_url *u, struct pt_err *err)
{
    struct pt_str rest;
    if (memchr(a.p, '@', a.len))
        return pt_fail(err, PT_EUNSUPPORTED, "user name or password in a URL");
    if (a.len && a.p[0] == '[') {
        const char *close = memchr(a.p, ']', a.len);
        if (!close)
            return pt_fail(err, PT_EINVAL, "no ] after the IPv6 address");
        u->host = (struct pt_str){a.p + 1, (size_t)(close - a.p - 1)};
        rest = (struct pt_str){close + 1, (size_t)(a.p + a.len - close - 1)};
    } else {
        u->host = before(a, ":");
        rest = after(a, u->host);
    }
    if (u->host.len == 0 || u->host.len > 253)
        return pt_fail(err, PT_EINVAL, "no host, or too long a one");
    u->port = u->https ? 443 : 80;
    if (rest.len == 0)
        return PT_OK;
    int64_t port;
    if (rest.p[0] != ':' || pt_parse_i64((struct pt_str){rest.p + 1, rest.len - 1}, 1, 65535, "port", &port, err) < 0)
        return pt_fail(err, PT_EINVAL, "port \"" PT_STR_FMT "\" is not a number from 1 to 65535", PT_STR_ARG(rest));
    u->port = (int)port;
    return PT_OK;
}

static int parse(struct pt_str s, struct pt_url *u, struct pt_err *err)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] <= 0x20 || s.p[i] >= 0x7f)
            return pt_fail(err, PT_EINVAL, "byte %zu is a blank, a control byte or not ASCII: percent-encode it", i);
    struct pt_str scheme = before(s, ":/?#");
    u->https = pt_str_eq_nocase(scheme, PT_STR("https"));
    s = after(s, scheme);
    if ((!u->https && !pt_str_eq_nocase(scheme, PT_STR("http"))) || !pt_str_starts(s, PT_STR("://")))
        return pt_fail(err, PT_EINVAL, "expected http:// or https://");
    s = (struct pt_str){s.p + 3, s.len - 3};
    u->authority = before(s, "/?#");
    u->target = before(after(s, u->authority), "#");
    return split_authority(u->authority, u, err);
}

int pt_url_parse(const char *text, struct pt_url *out, struct pt_err *err)
{
    *out = (struct pt_url){0};
    int rc = parse(pt_str(text), out, err);
    struct pt_str shown = before(pt_str(text), strchr(text, '@') ? ":" : "?"); /* no password, no signature in a message */
    return rc < 0 ? pt_wrap(err, "URL \"" PT_STR_FMT "\"", PT_STR_ARG(shown)) : PT_OK;
}

void pt_url_resolve(const struct pt_url *base, struct pt_str ref, struct pt_buf *out)
{
    struct pt_str scheme = before(ref, ":/?#");
    if (scheme.len > 0 && scheme.len < ref.len && ref.p[scheme.len] == ':') { /* absolute */
        pt_buf_append(out, ref.p, ref.len);
        return;
    }
    pt_buf_puts(out, base->https ? "https:" : "http:");
    if (!pt_str_starts(ref, PT_STR("//"))) {
        pt_buf_puts(out, "//");
        pt_buf_append(out, base->authority.p, base->authority.len);
        struct pt_str path = before(base->target, "?");
        if (ref.len == 0 || ref.p[0] == '?' || ref.p[0] == '#') {
            pt_buf_append(out, path.p, path.len);
        } else if (ref.p[0] != '/') { /* relative to the last slash; dot segments are the server's to understand */
            while (path.len > 0 && path.p[path.len - 1] != '/')
                path.len--;
            pt_buf_append(out, path.len ? path.p : "/", path.len ? path.len : 1);
        }
    }
    pt_buf_append(out, ref.p, ref.len);
}

bool pt_url_same_origin(const struct pt_url *a, const struct pt_url *b)
{
    return a->https == b->https && a->port == b->port && pt_str_eq_nocase(a->host, b->host);
}
