/* SPDX-License-Identifier: Apache-2.0
 *
 * json.h: JSON for tensor bodies. A pull reader over a complete text (RFC 8259, UTF-8 checked in strings, depth bounded) that
 * can convert an array of numbers, nested or flat, straight into a typed buffer at 15 to 30 ns per number, and a number
 * writer that prints the shortest text which reads back equal. Configuration and Kubernetes objects use cJSON instead.
 *
 * The reader never allocates; strings are views into the text, decoded into the caller's buffer on demand.
 *
 *     struct pt_json j; pt_json_init(&j, text, len);
 *     if (pt_json_object(&j, err) < 0) ...
 *     while ((rc = pt_json_member(&j, &key, err)) == 1) {
 *         if (pt_json_key_is(&key, "id")) rc = pt_json_string(&j, buf, sizeof buf, &len, err);
 *         else rc = pt_json_skip(&j, err);
 *     }
 */
#ifndef PT_BASE_JSON_H
#define PT_BASE_JSON_H

#include "base/buf.h"

#define PT_JSON_MAX_DEPTH 64

enum pt_json_kind { PT_JSON_NULL, PT_JSON_BOOL, PT_JSON_NUMBER, PT_JSON_STRING, PT_JSON_ARRAY, PT_JSON_OBJECT };

struct pt_json {
    const char *start, *p, *end;
    unsigned depth;
    bool plain;                       /* the string read last, or the name, needs no decoding: it has no escapes and no bytes beyond ASCII */
    bool nan_tokens;                  /* set after init: NaN, Infinity and -Infinity are numbers too, as some protocols write them */
    uint8_t first[PT_JSON_MAX_DEPTH]; /* is the next element of this level the first one? */
};
void pt_json_init(struct pt_json *j, const void *text, size_t len);
int pt_json_kind(struct pt_json *j, struct pt_err *err);   /* of the next value, not consumed; or PT_EPARSE */
int pt_json_object(struct pt_json *j, struct pt_err *err); /* enters */
int pt_json_member(struct pt_json *j, struct pt_str *raw_key,
                   struct pt_err *err);                     /* 1, or 0 and leaves. raw_key: between the quotes, escapes not decoded */
int pt_json_array(struct pt_json *j, struct pt_err *err);   /* enters */
int pt_json_element(struct pt_json *j, struct pt_err *err); /* 1, or 0 and leaves */
/* How many bytes at the beginning need no look inside a JSON string: ASCII without control characters, quotes and backslashes. */
size_t pt_json_plain(const char *p, size_t len);
bool pt_json_decoded_key_is(const struct pt_str *raw_key, const char *name); /* with escapes */
static inline bool pt_json_key_is(const struct pt_str *raw_key, const char *name)
{
    size_t n = strlen(name);
    if (raw_key->len <= n) /* what has escapes is longer than what it stands for */
        return raw_key->len == n && !memcmp(raw_key->p, name, n);
    return (raw_key->p[0] == name[0] || raw_key->p[0] == '\\') && pt_json_decoded_key_is(raw_key, name);
}
int pt_json_text(struct pt_json *j, struct pt_str *raw, struct pt_err *err);   /* a string: what is between the quotes, checked, not decoded */
int pt_json_string(struct pt_json *j, struct pt_buf *out, struct pt_err *err); /* appends the decoded string */
int pt_json_bool(struct pt_json *j, bool *v, struct pt_err *err);
int pt_json_i64(struct pt_json *j, int64_t *v, struct pt_err *err); /* PT_EPARSE for fractions and out of range */
int pt_json_double(struct pt_json *j, double *v, struct pt_err *err);
int pt_json_null(struct pt_json *j, struct pt_err *err);
int pt_json_skip(struct pt_json *j, struct pt_err *err);                      /* any value */
int pt_json_value(struct pt_json *j, struct pt_str *raw, struct pt_err *err); /* skips a value and gives its text */
int pt_json_end(struct pt_json *j, struct pt_err *err);                       /* nothing but blanks is left */

/* Reads an array of numbers, flat or nested, into elements of `type`; count must match exactly (PT_EINVAL names both).
 * type is the Open Inference Protocol's name of the element: BOOL UINT8..UINT64 INT8..INT64 FP16 FP32 FP64 BF16. Integers out of range and
 * fractions for integers are PT_EINVAL. true/false are accepted for BOOL. Nesting is not checked against a shape, only its depth. */
enum pt_json_elem {
    PT_JE_BOOL,
    PT_JE_U8,
    PT_JE_U16,
    PT_JE_U32,
    PT_JE_U64,
    PT_JE_I8,
    PT_JE_I16,
    PT_JE_I32,
    PT_JE_I64,
    PT_JE_F16,
    PT_JE_BF16,
    PT_JE_F32,
    PT_JE_F64
};
int pt_json_numbers(struct pt_json *j, enum pt_json_elem type, void *out, size_t count, struct pt_err *err);
/* For readers of numbers: takes one of those tokens, if they are allowed and the next value is one. */
bool pt_json_nan_token(struct pt_json *j, double *v);
/* Writes count numbers separated by commas (no brackets); NaN and infinities become null. Floats always look like floats: "1.0", not "1". */
bool pt_json_put_numbers(struct pt_buf *b, enum pt_json_elem type, const void *data, size_t count);
/* The same with the tokens NaN, Infinity and -Infinity, which are no JSON, for protocols that want them. */
bool pt_json_put_numbers_nan(struct pt_buf *b, enum pt_json_elem type, const void *data, size_t count);
bool pt_json_put_double(struct pt_buf *b, double v);

#endif
