/* SPDX-License-Identifier: Apache-2.0
 *
 * gzip.c: see gzip.h. The output grows step by step, so that a small input that claims much costs what it really holds, up to the limit.
 */
#include "net/gzip.h"

#include "base/mem.h"

#include <zlib.h>

enum { WINDOW = 15, GZIP = 16, LEVEL = 1, MEMORY = 8 };

static const struct {
    const char *name;
    enum pt_encoding e;
} names[] = {{"identity", PT_ENC_IDENTITY}, {"gzip", PT_ENC_GZIP}, {"x-gzip", PT_ENC_GZIP}, {"deflate", PT_ENC_DEFLATE}};
enum { NAMES = sizeof names / sizeof names[0] };

int pt_encoding_parse(struct pt_str value, enum pt_encoding *out, struct pt_err *err)
{
    value = pt_str_trim(value);
    *out = PT_ENC_IDENTITY;
    if (value.len == 0)
        return PT_OK;
    for (size_t i = 0; i < NAMES; i++)
        if (pt_str_eq_nocase(value, pt_str(names[i].name))) {
            *out = names[i].e;
            return PT_OK;
        }
    return pt_fail(err, PT_EUNSUPPORTED, "encoding \"" PT_STR_FMT "\" is not supported: there are gzip, deflate and identity",
                   (int)(value.len < 64 ? value.len : 64), value.p);
}

const char *pt_encoding_name(enum pt_encoding e)
{
    return e == PT_ENC_GZIP ? "gzip" : e == PT_ENC_DEFLATE ? "deflate" : "identity";
}

/* "gzip;q=0.5": false with a weight of 0 */
static bool wanted(struct pt_str parameters)
{
    struct pt_str part;
    while (pt_str_split(&parameters, ';', &part)) {
        part = pt_str_trim(part);
        if (part.len < 3 || (part.p[0] | 0x20) != 'q' || part.p[1] != '=')
            continue;
        for (size_t i = 2; i < part.len; i++)
            if (part.p[i] != '0' && part.p[i] != '.')
                return true;
        return false;
    }
    return true;
}

enum pt_encoding pt_encoding_choose(struct pt_str accept)
{
    enum pt_encoding best = PT_ENC_IDENTITY;
    struct pt_str part, name;
    while (pt_str_split(&accept, ',', &part)) {
        if (!pt_str_split(&part, ';', &name))
            continue;
        enum pt_encoding e = PT_ENC_IDENTITY;
        if (pt_encoding_parse(name, &e, NULL) == PT_OK && e != PT_ENC_IDENTITY && (part.p ? wanted(part) : true) && best != PT_ENC_GZIP)
            best = e;
    }
    return best;
}

static void *z_alloc(void *opaque, unsigned items, unsigned size)
{
    (void)opaque;
    return pt_calloc(items, size);
}

static void z_free(void *opaque, void *p)
{
    (void)opaque;
    pt_free(p);
}

/* --- in ---------------------------------------------------------------------------------------------------------------------- */

static int step(z_stream *z, size_t max_bytes, size_t start, struct pt_buf *out, struct pt_err *err)
{
    size_t have = out->len - start, room = out->len < 4096 ? 4096 : out->len;
    if (room > max_bytes - have)
        room = max_bytes - have + 1; /* one more shows that it is over */
    char *to = pt_buf_reserve(out, room);
    if (!to)
        return pt_buf_check(out, "inflate", err);
    z->next_out = (Bytef *)to;
    z->avail_out = (uInt)(room < 1u << 30 ? room : 1u << 30);
    uInt before = z->avail_out;
    int rc = inflate(z, Z_NO_FLUSH);
    out->len += before - z->avail_out;
    if (out->len - start > max_bytes)
        return pt_fail(err, PT_ELIMIT, "inflated it is over %zu bytes", max_bytes);
    if (rc == Z_OK || (rc == Z_BUF_ERROR && z->avail_out == 0))
        return 1;
    if (rc == Z_STREAM_END)
        return 0;
    if (rc == Z_MEM_ERROR)
        return pt_fail(err, PT_ENOMEM, "inflate: out of memory");
    return pt_fail(err, PT_EPARSE, "inflate: %s", rc == Z_BUF_ERROR ? "the data is cut off" : z->msg ? z->msg : "broken data");
}

static int inflate_all(int window, struct pt_str in, size_t max_bytes, struct pt_buf *out, struct pt_err *err)
{
    size_t start = out->len;
    z_stream z = {.zalloc = z_alloc, .zfree = z_free, .next_in = (Bytef *)(uintptr_t)in.p, .avail_in = (uInt)in.len};
    if (in.len > UINT32_MAX)
        return pt_fail(err, PT_ELIMIT, "inflate: over 4 GiB");
    if (inflateInit2(&z, window) != Z_OK)
        return pt_fail(err, PT_ENOMEM, "inflate: out of memory");
    int rc;
    while ((rc = step(&z, max_bytes, start, out, err)) == 1 || (rc == 0 && z.avail_in > 0 && window > WINDOW && inflateReset(&z) == Z_OK))
        ;
    if (rc == 0 && z.avail_in > 0)
        rc = pt_fail(err, PT_EPARSE, "inflate: %u bytes behind the end", z.avail_in);
    inflateEnd(&z);
    return rc;
}

int pt_inflate(enum pt_encoding e, struct pt_str in, size_t max_bytes, struct pt_buf *out, struct pt_err *err)
{
    if (e == PT_ENC_IDENTITY)
        return pt_buf_append(out, in.p, in.len) ? PT_OK : pt_buf_check(out, "inflate", err);
    if (e == PT_ENC_GZIP)
        return inflate_all(WINDOW + GZIP, in, max_bytes, out, err);
    bool zlib = in.len >= 2 && (in.p[0] & 0x0f) == 8 && (((uint8_t)in.p[0] << 8) + (uint8_t)in.p[1]) % 31 == 0;
    return inflate_all(zlib ? WINDOW : -WINDOW, in, max_bytes, out, err);
}

/* --- out ---------------------------------------------------------------------------------------------------------------------- */

int pt_deflate(enum pt_encoding e, struct pt_str in, struct pt_buf *out, struct pt_err *err)
{
    if (e == PT_ENC_IDENTITY)
        return pt_buf_append(out, in.p, in.len) ? PT_OK : pt_buf_check(out, "deflate", err);
    z_stream z = {.zalloc = z_alloc, .zfree = z_free, .next_in = (Bytef *)(uintptr_t)in.p, .avail_in = (uInt)in.len};
    if (in.len > UINT32_MAX / 2)
        return pt_fail(err, PT_ELIMIT, "deflate: over 2 GiB");
    if (deflateInit2(&z, LEVEL, Z_DEFLATED, e == PT_ENC_GZIP ? WINDOW + GZIP : WINDOW, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
        return pt_fail(err, PT_ENOMEM, "deflate: out of memory");
    size_t most = deflateBound(&z, (uLong)in.len);
    char *to = pt_buf_reserve(out, most);
    int rc = PT_OK;
    if (to) {
        z.next_out = (Bytef *)to;
        z.avail_out = (uInt)most;
        deflate(&z, Z_FINISH); /* the bound is enough: it cannot fail */
        out->len += most - z.avail_out;
    } else {
        rc = pt_buf_check(out, "deflate", err);
    }
    deflateEnd(&z);
    return rc;
}
