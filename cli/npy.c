/* SPDX-License-Identifier: Apache-2.0
 *
 * npy.c: NumPy's format (numpy.lib.format): magic, version, header length, a Python dict with descr, fortran_order and shape, then the data.
 */
#include "cli/tensor_file.h"

#include "base/mem.h"

#define MAGIC "\x93NUMPY"

/* descr without its byte order */
static const struct {
    char kind;
    int64_t size;
    enum pt_dtype dtype;
} descrs[] = {
    {'b', 1, PT_BOOL},   {'i', 1, PT_INT8},   {'i', 2, PT_INT16},  {'i', 4, PT_INT32},   {'i', 8, PT_INT64},     {'u', 1, PT_UINT8},      {'u', 2, PT_UINT16},
    {'u', 4, PT_UINT32}, {'u', 8, PT_UINT64}, {'f', 2, PT_FLOAT16}, {'f', 4, PT_FLOAT},  {'f', 8, PT_DOUBLE},    {'c', 8, PT_COMPLEX64},  {'c', 16, PT_COMPLEX128},
};
#define DESCR_COUNT (sizeof descrs / sizeof *descrs)
#define ITEM_MAX ((int64_t)1 << 31) /* bytes of one string */

struct header {
    char order, kind;
    int64_t size; /* S: bytes, U: code points, else bytes of an element */
    enum pt_dtype dtype;
    bool fortran;
    int rank;
    int64_t dims[PT_MAX_RANK];
};

/* --- the header -------------------------------------------------------------------------------------------------------------- */

static void skip_blanks(struct pt_str *s)
{
    while (s->len && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n'))
        s->p++, s->len--;
}

static bool cut(struct pt_str *s, struct pt_str token)
{
    skip_blanks(s);
    if (!pt_str_starts(*s, token))
        return false;
    s->p += token.len, s->len -= token.len;
    return true;
}

/* A Python string literal without escapes; NumPy writes no others here. */
static bool cut_quoted(struct pt_str *s, struct pt_str *out)
{
    skip_blanks(s);
    if (s->len < 2 || (*s->p != '\'' && *s->p != '"'))
        return false;
    const char *start = s->p + 1, *end = memchr(start, *s->p, s->len - 1);
    if (!end)
        return false;
    *out = (struct pt_str){start, (size_t)(end - start)};
    s->len -= (size_t)(end + 1 - s->p);
    s->p = end + 1;
    return true;
}

static int parse_descr(struct pt_str *rest, struct header *h, struct pt_err *err)
{
    struct pt_str text;
    if (!cut_quoted(rest, &text))
        return pt_fail(err, PT_EUNSUPPORTED, "npy: structured arrays are not supported");
    struct pt_str digits = {text.p + 2, text.len - 2};
    if (text.len < 3 || !memchr("<>|=", text.p[0], 4) || pt_parse_i64(digits, 0, ITEM_MAX, "", &h->size, NULL) < 0)
        return pt_fail(err, PT_EUNSUPPORTED, "npy: element type '" PT_STR_FMT "' is not supported", PT_STR_ARG(text));
    h->order = text.p[0];
    h->kind = text.p[1];
    h->dtype = h->kind == 'S' || h->kind == 'U' ? PT_STRING : PT_UNDEFINED;
    for (size_t i = 0; i < DESCR_COUNT; i++)
        if (descrs[i].kind == h->kind && descrs[i].size == h->size)
            h->dtype = descrs[i].dtype;
    if (h->dtype == PT_UNDEFINED)
        return pt_fail(err, PT_EUNSUPPORTED, "npy: element type '" PT_STR_FMT "' is not supported", PT_STR_ARG(text));
    return PT_OK;
}

static int parse_shape(struct pt_str *rest, struct header *h, struct pt_err *err)
{
    if (!cut(rest, PT_STR("(")))
        return pt_fail(err, PT_EPARSE, "npy: the shape is not a tuple");
    while (!cut(rest, PT_STR(")"))) {
        struct pt_str digits = {rest->p, 0};
        while (digits.len < rest->len && !memchr(",) ", digits.p[digits.len], 3))
            digits.len++;
        if (h->rank == PT_MAX_RANK)
            return pt_fail(err, PT_ELIMIT, "npy: the rank is over the limit of %d", PT_MAX_RANK);
        if (pt_parse_i64(digits, 0, INT64_MAX, "npy: dimension", &h->dims[h->rank++], err) < 0)
            return PT_EPARSE;
        rest->p += digits.len, rest->len -= digits.len;
        if (!cut(rest, PT_STR(",")) && !(rest->len && *rest->p == ')'))
            return pt_fail(err, PT_EPARSE, "npy: the shape is not a tuple of numbers");
        skip_blanks(rest);
    }
    return PT_OK;
}

static int parse_dict(struct pt_str text, struct header *h, struct pt_err *err)
{
    enum { DESCR = 1, ORDER = 2, SHAPE = 4 };
    struct pt_str rest = text, key = {0};
    int seen = 0, rc = PT_OK;
    if (!cut(&rest, PT_STR("{")))
        return pt_fail(err, PT_EPARSE, "npy: the header is not a dict");
    while (!cut(&rest, PT_STR("}"))) {
        if (!cut_quoted(&rest, &key) || !cut(&rest, PT_STR(":")))
            return pt_fail(err, PT_EPARSE, "npy: the header is not a dict of named values");
        int what = pt_str_eq(key, PT_STR("descr")) ? DESCR : pt_str_eq(key, PT_STR("fortran_order")) ? ORDER : pt_str_eq(key, PT_STR("shape")) ? SHAPE : 0;
        if (!what || seen & what)
            return pt_fail(err, PT_EPARSE, "npy: header key '" PT_STR_FMT "' is %s", PT_STR_ARG(key), what ? "there twice" : "unknown");
        seen |= what;
        if (what == DESCR)
            rc = parse_descr(&rest, h, err);
        else if (what == SHAPE)
            rc = parse_shape(&rest, h, err);
        else if (!(h->fortran = cut(&rest, PT_STR("True"))) && !cut(&rest, PT_STR("False")))
            rc = pt_fail(err, PT_EPARSE, "npy: fortran_order is neither True nor False");
        if (rc < 0)
            return rc;
        if (!cut(&rest, PT_STR(",")) && !(rest.len && *rest.p == '}'))
            return pt_fail(err, PT_EPARSE, "npy: ',' or '}' is missing after '" PT_STR_FMT "'", PT_STR_ARG(key));
    }
    return seen == (DESCR | ORDER | SHAPE) ? PT_OK : pt_fail(err, PT_EPARSE, "npy: the header needs descr, fortran_order and shape");
}

static int cut_header(struct pt_str *bytes, struct header *h, struct pt_err *err)
{
    const uint8_t *p = (const uint8_t *)bytes->p;
    if (bytes->len < 10 || memcmp(p, MAGIC, 6) != 0)
        return pt_fail(err, PT_EPARSE, "not an npy file");
    if (p[6] < 1 || p[6] > 3)
        return pt_fail(err, PT_EUNSUPPORTED, "npy: version %u.%u is not supported", p[6], p[7]);
    size_t start = p[6] == 1 ? 10 : 12;
    size_t len = bytes->len < start ? SIZE_MAX : p[6] == 1 ? p[8] | (size_t)p[9] << 8 : p[8] | (size_t)p[9] << 8 | (size_t)p[10] << 16 | (size_t)p[11] << 24;
    if (bytes->len < start || len > bytes->len - start)
        return pt_fail(err, PT_EPARSE, "npy: the file ends inside the header");
    *h = (struct header){0};
    int rc = parse_dict((struct pt_str){bytes->p + start, len}, h, err);
    bytes->p += start + len, bytes->len -= start + len;
    return rc;
}

/* --- the elements ---------------------------------------------------------------------------------------------------------------- */

/* Bytes of an element in the file, and of the unit whose byte order may differ. */
static size_t item_bytes(const struct header *h) { return (size_t)h->size * (h->kind == 'U' ? 4 : 1); }
static size_t unit_bytes(const struct header *h) { return h->kind == 'U' ? 4 : h->kind == 'S' ? 1 : h->kind == 'c' ? (size_t)h->size / 2 : (size_t)h->size; }

static void swap_units(uint8_t *p, size_t len, size_t unit)
{
    for (uint8_t *end = p + len; unit > 1 && p < end; p += unit)
        for (size_t a = 0, b = unit - 1; a < b; a++, b--) {
            uint8_t kept = p[a];
            p[a] = p[b];
            p[b] = kept;
        }
}

/* Copies items from column-major to row-major order, or as they are. */
static void copy_items(const struct header *h, const uint8_t *from, uint8_t *to, size_t count, size_t item)
{
    int64_t at[PT_MAX_RANK] = {0};
    if (!h->fortran || h->rank < 2) {
        memcpy(to, from, count * item);
        return;
    }
    for (size_t i = 0; i < count; i++, to += item) {
        size_t offset = 0;
        for (int d = h->rank; d-- > 0;)
            offset = offset * (size_t)h->dims[d] + (size_t)at[d];
        memcpy(to, from + offset * item, item);
        for (int d = h->rank; d-- > 0 && ++at[d] == h->dims[d];)
            at[d] = 0;
    }
}

static size_t put_utf8(uint32_t c, char *out)
{
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(lead[n] | c);
    return n;
}

/* items are of fixed size, filled up with zeros; text has room for as many bytes. Code points become UTF-8, which is never longer. */
static int make_strings(const struct header *h, const uint8_t *items, size_t count, struct pt_tensor_file *out, struct pt_err *err)
{
    struct pt_string *strings = out->t.data;
    size_t item = item_bytes(h);
    char *to = out->text;
    for (size_t i = 0; i < count; i++, items += item) {
        size_t len = item, unit = unit_bytes(h);
        while (len && items[len - 1] == 0)
            len--;
        strings[i].p = to;
        if (h->kind == 'S')
            to = mempcpy(to, items, len);
        for (size_t k = 0; h->kind == 'U' && k < len; k += unit) {
            uint32_t c;
            memcpy(&c, items + k, sizeof c);
            if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
                return pt_fail(err, PT_EPARSE, "npy: element %zu: U+%X is no character", i, c);
            to += put_utf8(c, to);
        }
        strings[i].len = (size_t)(to - strings[i].p);
    }
    return PT_OK;
}

static int read_strings(const struct header *h, struct pt_str data, size_t count, struct pt_tensor_file *out, struct pt_err *err)
{
    uint8_t *items = pt_malloc(data.len);
    out->text = pt_malloc(data.len);
    int rc = items && out->text ? PT_OK : pt_fail(err, PT_ENOMEM, "strings of %zu bytes: out of memory", data.len);
    if (rc == PT_OK) {
        copy_items(h, (const uint8_t *)data.p, items, count, item_bytes(h));
        if (h->order == '>')
            swap_units(items, data.len, unit_bytes(h));
        rc = make_strings(h, items, count, out, err);
    }
    pt_free(items);
    return rc;
}

static int read_data(const struct header *h, struct pt_str data, struct pt_tensor_file *out, struct pt_err *err)
{
    struct pt_tensor shape = {.rank = h->rank};
    memcpy(shape.dims, h->dims, sizeof shape.dims);
    int64_t count = pt_tensor_count(&shape);
    size_t need, item = item_bytes(h);
    if (count < 0 || __builtin_mul_overflow((size_t)count, item, &need))
        return pt_fail(err, PT_ELIMIT, "npy: the shape has too many elements");
    if (need != data.len)
        return pt_fail(err, PT_EPARSE, "npy: %zu bytes of data, type and shape need %zu", data.len, need);
    if (item == 0 && count > 1 << 20)
        return pt_fail(err, PT_ELIMIT, "npy: %lld empty strings", (long long)count); /* no data bounds them */
    int rc = pt_tensor_file_alloc(out, h->dtype, h->rank, h->dims, err);
    if (rc < 0)
        return rc;
    if (h->dtype == PT_STRING)
        return read_strings(h, data, (size_t)count, out, err);
    copy_items(h, (const uint8_t *)data.p, out->t.data, (size_t)count, item);
    if (h->order == '>')
        swap_units(out->t.data, out->t.size_bytes, unit_bytes(h));
    for (size_t i = 0; h->dtype == PT_BOOL && i < out->t.size_bytes; i++)
        ((uint8_t *)out->t.data)[i] = ((uint8_t *)out->t.data)[i] != 0;
    return PT_OK;
}

int pt_npy_parse(const void *bytes, size_t len, struct pt_tensor_file *out, struct pt_err *err)
{
    struct header h;
    struct pt_str rest = {bytes, len};
    *out = (struct pt_tensor_file){0};
    int rc = cut_header(&rest, &h, err);
    if (rc == PT_OK)
        rc = read_data(&h, rest, out, err);
    if (rc < 0)
        pt_tensor_file_finish(out);
    return rc;
}

/* --- writing --------------------------------------------------------------------------------------------------------------------------- */

/* Data starts at a multiple of 64 in version 1. */
static void put_header(struct pt_buf *out, const char *order, char kind, size_t size, const struct pt_tensor *t)
{
    size_t start = out->len;
    pt_buf_append(out, MAGIC "\x01\x00\x00\x00", 10);
    pt_buf_printf(out, "{'descr': '%s%c%zu', 'fortran_order': False, 'shape': (", order, kind, size);
    for (int i = 0; i < t->rank; i++)
        pt_buf_printf(out, "%s%lld%s", i ? ", " : "", (long long)t->dims[i], t->rank == 1 ? "," : "");
    pt_buf_puts(out, "), }");
    while (!out->failed && (out->len - start) % 64 != 63)
        pt_buf_putc(out, ' ');
    pt_buf_putc(out, '\n');
    if (!out->failed) {
        size_t len = out->len - start - 10;
        out->data[start + 8] = (char)(len & 0xff);
        out->data[start + 9] = (char)(len >> 8);
    }
}

/* One code point of checked UTF-8. */
static uint32_t cut_code_point(struct pt_str *s)
{
    size_t n = pt_utf8_sequence(*s);
    uint32_t c = (uint8_t)s->p[0];
    if (n > 1) {
        c &= 0x7fu >> n;
        for (size_t i = 1; i < n; i++)
            c = c << 6 | ((uint8_t)s->p[i] & 0x3f);
    }
    s->p += n, s->len -= n;
    return c;
}

static int write_strings(struct pt_buf *out, const struct pt_tensor *t, struct pt_err *err)
{
    const struct pt_string *strings = t->data;
    size_t count = t->size_bytes / sizeof *strings, widest = 0, zero = 0;
    for (size_t i = 0; i < count; i++) {
        struct pt_str s = {strings[i].p, strings[i].len};
        if (!pt_utf8_valid(s) || (s.len && s.p[s.len - 1] == 0))
            return pt_fail(err, PT_EUNSUPPORTED, "npy: string %zu is not text that NumPy can hold: use pb", i);
        size_t n = 0;
        for (; s.len; n++)
            cut_code_point(&s);
        widest = n > widest ? n : widest;
    }
    put_header(out, "<", 'U', widest, t);
    for (size_t i = 0; i < count; i++) {
        struct pt_str s = {strings[i].p, strings[i].len};
        size_t n = 0;
        for (; s.len; n++) {
            uint32_t c = cut_code_point(&s);
            pt_buf_append(out, &c, sizeof c);
        }
        for (; n < widest; n++)
            pt_buf_append(out, &zero, 4);
    }
    return pt_buf_check(out, "npy", err);
}

int pt_npy_write(struct pt_buf *out, const struct pt_tensor *t, struct pt_err *err)
{
    if (t->dtype == PT_STRING)
        return write_strings(out, t, err);
    for (size_t i = 0; i < DESCR_COUNT; i++)
        if (descrs[i].dtype == t->dtype) {
            put_header(out, descrs[i].size == 1 ? "|" : "<", descrs[i].kind, (size_t)descrs[i].size, t);
            pt_buf_append(out, t->data, t->size_bytes);
            return pt_buf_check(out, "npy", err);
        }
    return pt_fail(err, PT_EUNSUPPORTED, "npy: NumPy has no type %s: use pb", pt_dtype_name(t->dtype));
}
