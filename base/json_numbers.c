/* SPDX-License-Identifier: Apache-2.0
 *
 * json_numbers.c: arrays of numbers between JSON text and typed buffers: the hot path of REST inference. One loop walks the brackets;
 * one switch per number stores it.
 */
#include "base/json.h"

#include "base/num.h"

#include <math.h>

/* --- reading ---------------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    uint64_t max;
    bool is_signed;
    uint8_t size;
} elems[] = {
    [PT_JE_BOOL] = {"BOOL", 1, false, 1},
    [PT_JE_U8] = {"UINT8", UINT8_MAX, false, 1},
    [PT_JE_U16] = {"UINT16", UINT16_MAX, false, 2},
    [PT_JE_U32] = {"UINT32", UINT32_MAX, false, 4},
    [PT_JE_U64] = {"UINT64", UINT64_MAX, false, 8},
    [PT_JE_I8] = {"INT8", INT8_MAX, true, 1},
    [PT_JE_I16] = {"INT16", INT16_MAX, true, 2},
    [PT_JE_I32] = {"INT32", INT32_MAX, true, 4},
    [PT_JE_I64] = {"INT64", INT64_MAX, true, 8},
    [PT_JE_F16] = {"FP16", 0, true, 2},
    [PT_JE_BF16] = {"BF16", 0, true, 2},
    [PT_JE_F32] = {"FP32", 0, true, 4},
    [PT_JE_F64] = {"FP64", 0, true, 8},
};

__attribute__((cold)) static int not_fitting(const struct pt_num *n, enum pt_json_elem type, size_t i, struct pt_err *err)
{
    return pt_fail(err, PT_EINVAL, "element %zu: %s%.*s does not fit %s", i, n->negative ? "-" : "", (int)(n->end - n->start), n->start,
                   elems[type].name);
}

static int store_integer(const struct pt_num *n, enum pt_json_elem type, void *out, size_t i, struct pt_err *err)
{
    uint64_t m;
    if (!pt_num_to_u64(n, &m) || m > elems[type].max + (n->negative && elems[type].is_signed) || (n->negative && m && !elems[type].is_signed))
        return not_fitting(n, type, i, err);
    if (n->negative)
        m = 0 - m;
    memcpy((char *)out + i * elems[type].size, &m, elems[type].size);
    return PT_OK;
}

static int store(const struct pt_num *n, enum pt_json_elem type, void *out, size_t i, struct pt_err *err)
{
    bool finite;
    switch (type) {
    case PT_JE_F32:
        finite = isfinite(((float *)out)[i] = pt_num_to_f32(n));
        break;
    case PT_JE_F64:
        finite = isfinite(((double *)out)[i] = pt_num_to_f64(n));
        break;
    case PT_JE_F16:
    case PT_JE_BF16: {
        double v = pt_num_to_f64(n);
        uint16_t h = type == PT_JE_F16 ? pt_num_f16_bits(v) : pt_num_bf16_bits(v);
        finite = (h & 0x7fff) < (type == PT_JE_F16 ? 0x7c00 : 0x7f80);
        ((uint16_t *)out)[i] = h;
        break;
    }
    default:
        return store_integer(n, type, out, i, err);
    }
    return finite ? PT_OK : not_fitting(n, type, i, err);
}

static void store_f64(double v, enum pt_json_elem type, void *out, size_t i)
{
    if (type == PT_JE_F32)
        ((float *)out)[i] = (float)v;
    else if (type == PT_JE_F64)
        ((double *)out)[i] = v;
    else
        ((uint16_t *)out)[i] = type == PT_JE_F16 ? pt_num_f16_bits(v) : pt_num_bf16_bits(v);
}

/* One element; past count it is only counted. */
static int read_element(struct pt_json *j, enum pt_json_elem type, void *out, size_t i, size_t count, struct pt_err *err)
{
    struct pt_num n;
    if (type == PT_JE_BOOL && j->p < j->end && (*j->p == 't' || *j->p == 'f')) {
        bool v;
        int rc = pt_json_bool(j, &v, err);
        if (rc == PT_OK && i < count)
            ((uint8_t *)out)[i] = v;
        return rc;
    }
    const char *end = pt_num_scan(j->p, j->end, &n);
    double v;
    if (!end && elems[type].max == 0 && pt_json_nan_token(j, &v)) {
        if (i < count)
            store_f64(v, type, out, i);
        return PT_OK;
    }
    if (!end) {
        int kind = pt_json_kind(j, err); /* says what is wrong when it is no value at all */
        if (kind == PT_JSON_NUMBER)
            return pt_fail(err, PT_EPARSE, "JSON: element %zu, at byte %zu, is not a number of JSON", i, (size_t)(j->p - j->start));
        return kind < 0 ? kind : pt_fail(err, PT_EINVAL, "element %zu, at byte %zu: %s is expected", i, (size_t)(j->p - j->start), elems[type].name);
    }
    j->p = end;
    return i < count ? store(&n, type, out, i, err) : PT_OK;
}

static inline char past_blanks(struct pt_json *j)
{
    const char *p = j->p;
    while (p < j->end && (unsigned char)*p <= ' ' && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    j->p = p;
    return p < j->end ? *p : '\0';
}

/* Behind an element: closes what ends here. 1 when another element follows, 0 when the outermost array is closed. */
static int after_element(struct pt_json *j, unsigned base, struct pt_err *err)
{
    char c;
    for (; (c = past_blanks(j)) == ']'; j->p++)
        if (--j->depth == base) {
            j->p++;
            return 0;
        }
    if (c != ',')
        return pt_fail(err, PT_EPARSE, "JSON: at byte %zu of an array of numbers, ',' or ']' is expected", (size_t)(j->p - j->start));
    j->p++;
    return 1;
}

int pt_json_numbers(struct pt_json *j, enum pt_json_elem type, void *out, size_t count, struct pt_err *err)
{
    unsigned base = j->depth;
    size_t n = 0;
    int rc = pt_json_array(j, err);
    if (rc < 0)
        return rc;
    for (bool opened = true;; opened = false) { /* opened: an array that may be empty starts here */
        char c = past_blanks(j);
        while (c == '[') {
            if ((rc = pt_json_array(j, err)) < 0)
                return rc;
            opened = true;
            c = past_blanks(j);
        }
        size_t many = type == PT_JE_F32 && n < count ? pt_num_read_f32s(&j->p, j->end, (float *)out + n, count - n) : 0;
        n += many;
        if (many) /* the next one is not so plain, or the last */
            continue;
        if (!(opened && c == ']') && (rc = read_element(j, type, out, n++, count, err)) < 0)
            return rc;
        if ((rc = after_element(j, base, err)) <= 0)
            break;
    }
    if (rc < 0)
        return rc;
    return n == count ? PT_OK : pt_fail(err, PT_EINVAL, "%zu elements, %zu are expected", n, count);
}

/* --- writing ---------------------------------------------------------------------------------------------------------------- */

/* Floats always look like floats ("1.0"), so that readers with typed numbers do not take them for integers; "-0" would lose its sign there. */
static size_t put_float(char *out, double v, bool is_f32)
{
    if (!isfinite(v)) {
        memcpy(out, "null", 4);
        return 4;
    }
    size_t n = is_f32 ? pt_num_put_f32(out, (float)v) : pt_num_put_f64(out, v);
    for (size_t i = 0; i < n; i++)
        if (out[i] == '.' || out[i] == 'e')
            return n;
    memcpy(out + n, ".0", 2);
    return n + 2;
}

static size_t put_element(char *out, enum pt_json_elem type, const void *data, size_t i)
{
    switch (type) {
    case PT_JE_BOOL: {
        bool v = ((const uint8_t *)data)[i];
        memcpy(out, v ? "true" : "false", 5);
        return v ? 4 : 5;
    }
    case PT_JE_U8:
        return pt_num_put_u64(out, ((const uint8_t *)data)[i]);
    case PT_JE_U16:
        return pt_num_put_u64(out, ((const uint16_t *)data)[i]);
    case PT_JE_U32:
        return pt_num_put_u64(out, ((const uint32_t *)data)[i]);
    case PT_JE_U64:
        return pt_num_put_u64(out, ((const uint64_t *)data)[i]);
    case PT_JE_I8:
        return pt_num_put_i64(out, ((const int8_t *)data)[i]);
    case PT_JE_I16:
        return pt_num_put_i64(out, ((const int16_t *)data)[i]);
    case PT_JE_I32:
        return pt_num_put_i64(out, ((const int32_t *)data)[i]);
    case PT_JE_I64:
        return pt_num_put_i64(out, ((const int64_t *)data)[i]);
    case PT_JE_F16:
        return put_float(out, pt_num_f16_value(((const uint16_t *)data)[i]), true);
    case PT_JE_BF16:
        return put_float(out, pt_num_bf16_value(((const uint16_t *)data)[i]), true);
    case PT_JE_F32:
        return put_float(out, (double)((const float *)data)[i], true);
    case PT_JE_F64:
        return put_float(out, ((const double *)data)[i], false);
    }
    return 0;
}

bool pt_json_put_numbers(struct pt_buf *b, enum pt_json_elem type, const void *data, size_t count)
{
    char text[2048];
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        if (i)
            text[len++] = ',';
        len += put_element(text + len, type, data, i);
        if (len > sizeof text - PT_NUM_MAX - 4) {
            if (!pt_buf_append(b, text, len))
                return false;
            len = 0;
        }
    }
    return pt_buf_append(b, text, len);
}

static bool finite_at(enum pt_json_elem type, const void *data, size_t i, double *v)
{
    *v = type == PT_JE_F32    ? (double)((const float *)data)[i]
         : type == PT_JE_F64  ? ((const double *)data)[i]
         : type == PT_JE_F16  ? pt_num_f16_value(((const uint16_t *)data)[i])
         : type == PT_JE_BF16 ? pt_num_bf16_value(((const uint16_t *)data)[i])
                              : 0;
    return isfinite(*v);
}

bool pt_json_put_numbers_nan(struct pt_buf *b, enum pt_json_elem type, const void *data, size_t count)
{
    size_t from = 0; /* runs of finite numbers go together */
    bool ok = true;
    double v;
    for (size_t i = 0; i < count; i++) {
        if (finite_at(type, data, i, &v))
            continue;
        if (i > from)
            ok = pt_json_put_numbers(b, type, (const char *)data + from * elems[type].size, i - from) && pt_buf_putc(b, ',');
        ok = pt_buf_puts(b, v != v ? "NaN" : v > 0 ? "Infinity" : "-Infinity") && ok;
        if (i + 1 < count)
            pt_buf_putc(b, ',');
        from = i + 1;
    }
    return count > from ? pt_json_put_numbers(b, type, (const char *)data + from * elems[type].size, count - from) && ok : ok;
}

bool pt_json_put_double(struct pt_buf *b, double v)
{
    char text[PT_NUM_MAX + 4];
    return pt_buf_append(b, text, put_float(text, v, false));
}
