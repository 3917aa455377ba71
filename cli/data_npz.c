/* SPDX-License-Identifier: Apache-2.0
 *
 * data_npz.c: NumPy's .npz: a zip archive (PKWARE's APPNOTE) read by its central directory; gzip, which shares the compression.
 */
#include "cli/data_files.h"

#include "base/mem.h"

#include <zlib.h>

enum { END = 22, ENTRY = 46, LOCAL = 30, COMMENT = 65535, END64 = 20, RECORD64 = 56, MEMBERS = 4096 };

static uint64_t le(const uint8_t *p, int bytes)
{
    uint64_t v = 0;
    for (int i = bytes; i-- > 0;)
        v = v << 8 | p[i];
    return v;
}

/* Inflates all of `in` into out, which may become max bytes. window: zlib's windowBits. */
static int inflate_all(struct pt_str in, int window, size_t max, struct pt_buf *out, struct pt_err *err)
{
    z_stream z = {0};
    int rc = PT_OK, status = Z_OK;
    if (inflateInit2(&z, window) != Z_OK)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    while (rc == PT_OK && status != Z_STREAM_END) {
        char *to = pt_buf_reserve(out, 1 << 16);
        if (!to)
            rc = pt_fail(err, PT_ENOMEM, "out of memory");
        else if (out->len + (1 << 16) > max + (1 << 16))
            rc = pt_fail(err, PT_ELIMIT, "holds more than %zu bytes", max);
        else {
            uInt chunk = in.len > 1 << 30 ? 1 << 30 : (uInt)in.len;
            z.next_in = (Bytef *)(uintptr_t)in.p;
            z.avail_in = chunk;
            z.next_out = (Bytef *)to;
            z.avail_out = 1 << 16;
            status = inflate(&z, Z_NO_FLUSH);
            in.p += chunk - z.avail_in, in.len -= chunk - z.avail_in;
            out->len += (1 << 16) - z.avail_out;
            if (status != Z_OK && status != Z_STREAM_END)
                rc =
                    pt_fail(err, PT_EPARSE, "%s", status == Z_BUF_ERROR ? "ends in the middle of compressed data" : "the compressed data are broken");
        }
    }
    inflateEnd(&z);
    return rc;
}

int pt_gunzip(const void *bytes, size_t len, size_t max, struct pt_buf *out, struct pt_err *err)
{
    const uint8_t *p = bytes;
    if (len < 18 || p[0] != 0x1f || p[1] != 0x8b)
        return PT_OK;
    return inflate_all((struct pt_str){bytes, len}, 15 + 16, max, out, err);
}

/* --- the archive --------------------------------------------------------------------------------------------------------------------------- */

struct member {
    struct pt_str name;
    uint64_t method, crc, packed, size, at;
};

/* Where the central directory begins and how many entries it has. */
static int find_directory(struct pt_str zip, uint64_t *at, uint64_t *count, struct pt_err *err)
{
    const uint8_t *p = (const uint8_t *)zip.p;
    size_t i = zip.len >= END ? zip.len - END : 0, least = zip.len > END + COMMENT ? zip.len - END - COMMENT : 0;
    while (zip.len >= END && i > least && le(p + i, 4) != 0x06054b50)
        i--;
    if (zip.len < END || le(p + i, 4) != 0x06054b50)
        return pt_fail(err, PT_EPARSE, "not an npz file: no end of a zip archive");
    *count = le(p + i + 10, 2);
    *at = le(p + i + 16, 4);
    if ((*count == 0xffff || *at == 0xffffffff) && i >= END64 && le(p + i - END64, 4) == 0x07064b50) {
        uint64_t record = le(p + i - END64 + 8, 8);
        if (record > zip.len || zip.len - record < RECORD64 || le(p + record, 4) != 0x06064b50)
            return pt_fail(err, PT_EPARSE, "npz: the zip64 directory is not where the file says");
        *count = le(p + record + 32, 8);
        *at = le(p + record + 48, 8);
    }
    if (*count > MEMBERS)
        return pt_fail(err, PT_ELIMIT, "npz: %llu members, at most %d", (unsigned long long)*count, MEMBERS);
    return PT_OK;
}

/* The zip64 field holds, in this order, those of the three numbers that did not fit. */
static void read_extra(const uint8_t *p, size_t len, struct member *m)
{
    uint64_t *fields[] = {&m->size, &m->packed, &m->at};
    while (len >= 4) {
        size_t n = (size_t)le(p + 2, 2);
        if (n > len - 4)
            return;
        if (le(p, 2) == 1)
            for (size_t f = 0, at = 4; f < 3; f++)
                if (*fields[f] == 0xffffffff && at + 8 <= 4 + n) {
                    *fields[f] = le(p + at, 8);
                    at += 8;
                }
        p += 4 + n, len -= 4 + n;
    }
}

static int cut_entry(struct pt_str zip, uint64_t *at, struct member *m, struct pt_err *err)
{
    if (*at > zip.len || zip.len - *at < ENTRY)
        return pt_fail(err, PT_EPARSE, "npz: the directory is cut off");
    const uint8_t *p = (const uint8_t *)zip.p + *at;
    size_t name = (size_t)le(p + 28, 2), extra = (size_t)le(p + 30, 2), comment = (size_t)le(p + 32, 2);
    if (le(p, 4) != 0x02014b50 || name + extra + comment > zip.len - *at - ENTRY)
        return pt_fail(err, PT_EPARSE, "npz: the directory is broken");
    *m = (struct member){{(const char *)p + ENTRY, name}, le(p + 10, 2), le(p + 16, 4), le(p + 20, 4), le(p + 24, 4), le(p + 42, 4)};
    if (le(p + 8, 2) & 1)
        return pt_fail(err, PT_EUNSUPPORTED, "npz: member '" PT_STR_FMT "' is encrypted", PT_STR_ARG(m->name));
    read_extra(p + ENTRY + name, extra, m);
    *at += ENTRY + name + extra + comment;
    return PT_OK;
}

/* The member's bytes: a view of the archive, or inflated into room. */
static int unpack(struct pt_str zip, const struct member *m, size_t max, struct pt_buf *room, struct pt_str *out, struct pt_err *err)
{
    const uint8_t *p = (const uint8_t *)zip.p;
    if (m->at > zip.len || zip.len - m->at < LOCAL || le(p + m->at, 4) != 0x04034b50)
        return pt_fail(err, PT_EPARSE, "is not where the directory says");
    uint64_t start = m->at + LOCAL + le(p + m->at + 26, 2) + le(p + m->at + 28, 2);
    if (start > zip.len || m->packed > zip.len - start)
        return pt_fail(err, PT_EPARSE, "is cut off");
    if (m->size > max)
        return pt_fail(err, PT_ELIMIT, "is said to hold %llu bytes, at most %zu", (unsigned long long)m->size, max);
    *out = (struct pt_str){zip.p + start, (size_t)m->packed};
    if (m->method == 8) {
        int rc = inflate_all(*out, -15, (size_t)m->size, room, err);
        if (rc < 0)
            return rc;
        *out = (struct pt_str){room->data, room->len};
    } else if (m->method != 0)
        return pt_fail(err, PT_EUNSUPPORTED, "is compressed by method %llu; stored and deflated are read", (unsigned long long)m->method);
    if (out->len != m->size)
        return pt_fail(err, PT_EPARSE, "has %zu bytes, the directory says %llu", out->len, (unsigned long long)m->size);
    if (crc32_z(0, (const Bytef *)out->p, out->len) != m->crc)
        return pt_fail(err, PT_EPARSE, "is damaged: its checksum differs");
    return PT_OK;
}

static bool is_labels(struct pt_str name, const char *labels)
{
    return labels ? pt_str_eq(name, pt_str(labels)) : pt_str_eq(name, PT_STR("labels")) || pt_str_eq(name, PT_STR("y"));
}

static int take(struct pt_str zip, const struct member *m, const char *labels, size_t max, struct pt_data_file *out, struct pt_err *err)
{
    struct pt_str name = m->name, bytes;
    pt_auto_buf room = PT_BUF_INIT(0);
    if (name.len < 4 || memcmp(name.p + name.len - 4, ".npy", 4) != 0)
        return pt_fail(err, PT_EUNSUPPORTED, "npz: member '" PT_STR_FMT "' is no .npy", PT_STR_ARG(name));
    name.len -= 4;
    struct pt_tensor_file *to = is_labels(name, labels) ? &out->labels : pt_data_file_add(out, name, err);
    if (!to)
        return err ? err->code : PT_ENOMEM;
    int rc = to->t.dtype ? pt_fail(err, PT_EPARSE, "is there twice") : unpack(zip, m, max, &room, &bytes, err);
    if (rc == PT_OK)
        rc = pt_npy_parse(bytes.p, bytes.len, to, err);
    return rc < 0 ? pt_wrap(err, "member '" PT_STR_FMT "'", PT_STR_ARG(name)) : PT_OK;
}

int pt_npz_parse(const void *bytes, size_t len, const char *labels, size_t max, struct pt_data_file *out, struct pt_err *err)
{
    struct pt_str zip = {bytes, len};
    uint64_t at = 0, count = 0;
    *out = (struct pt_data_file){0};
    int rc = find_directory(zip, &at, &count, err);
    for (uint64_t i = 0; rc == PT_OK && i < count; i++) {
        struct member m;
        rc = cut_entry(zip, &at, &m, err);
        if (rc == PT_OK)
            rc = take(zip, &m, labels, max, out, err);
    }
    if (rc == PT_OK && labels && !out->labels.t.dtype)
        rc = pt_fail(err, PT_ENOTFOUND, "has no array '%s' for labels", labels);
    if (rc < 0)
        pt_data_file_finish(out);
    return rc;
}
