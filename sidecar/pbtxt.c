/* SPDX-License-Identifier: Apache-2.0
 *
 * pbtxt.c: see pbtxt.h.
 */
#include "sidecar/pbtxt.h"

enum { MAX_NESTING = 64 };

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("_.-+", c);
}

static void skip_blanks(struct pt_pbtxt *t)
{
    for (; t->p < t->end; t->p++) {
        if (*t->p == '#')
            while (t->p + 1 < t->end && t->p[1] != '\n')
                t->p++;
        else if (*t->p == '\n')
            t->line++;
        else if (*t->p != ' ' && *t->p != '\t' && *t->p != '\r')
            return;
    }
}

static bool take(struct pt_pbtxt *t, char c)
{
    skip_blanks(t);
    bool there = t->p < t->end && *t->p == c;
    t->p += there;
    return there;
}

static int fail(const struct pt_pbtxt *t, const char *want, struct pt_err *err)
{
    if (t->p >= t->end)
        return pt_fail(err, PT_EPARSE, "line %d: want %s, the text ends", t->line, want);
    return pt_fail(err, PT_EPARSE, "line %d: %s" PT_STR_FMT "%swant %s, got '%c'", t->line, t->name.len ? "\"" : "",
                   (int)(t->name.len < 64 ? t->name.len : 64), t->name.p ? t->name.p : "", t->name.len ? "\": " : "", want,
                   *t->p >= 0x20 && *t->p < 0x7f ? *t->p : '?');
}

void pt_pbtxt_init(struct pt_pbtxt *t, struct pt_str text)
{
    *t = (struct pt_pbtxt){.p = text.p, .end = text.p + text.len, .line = 1};
    if (!text.len)
        t->p = t->end = "";
}

static struct pt_str word(struct pt_pbtxt *t)
{
    skip_blanks(t);
    const char *from = t->p;
    while (t->p < t->end && *t->p && is_word(*t->p))
        t->p++;
    return (struct pt_str){from, (size_t)(t->p - from)};
}

int pt_pbtxt_field(struct pt_pbtxt *t, struct pt_err *err)
{
    if (t->listed) {
        if (take(t, ',')) {
            skip_blanks(t);
            return 1;
        }
        t->listed = false;
        if (!take(t, ']'))
            return fail(t, "',' or ']'", err);
    }
    while (take(t, ',') || take(t, ';'))
        ;
    skip_blanks(t);
    t->name = (struct pt_str){0};
    if (t->p >= t->end)
        return t->depth ? fail(t, "'}'", err) : 0;
    if (*t->p == '}' || *t->p == '>') {
        if (t->depth-- == 0)
            return pt_fail(err, PT_EPARSE, "line %d: a bracket that nothing opened", t->line);
        t->p++;
        return 0;
    }
    t->name = word(t);
    if (!t->name.len)
        return fail(t, "a field's name", err);
    (void)take(t, ':');
    skip_blanks(t);
    if (t->p < t->end && *t->p == '[') {
        t->p++;
        if (take(t, ']')) /* an empty list sets nothing */
            return pt_pbtxt_field(t, err);
        t->listed = true;
    }
    skip_blanks(t);
    return 1;
}

bool pt_pbtxt_is(const struct pt_pbtxt *t, const char *name)
{
    return pt_str_eq(t->name, pt_str(name));
}

int pt_pbtxt_message(struct pt_pbtxt *t, struct pt_err *err)
{
    if (t->listed)
        return fail(t, "a message that is not in a list", err);
    if (!take(t, '{') && !take(t, '<'))
        return fail(t, "'{'", err);
    t->depth++;
    return PT_OK;
}

static int escape(struct pt_pbtxt *t, struct pt_buf *out)
{
    static const char from[] = "abfnrtv\\'\"?", to[] = "\a\b\f\n\r\t\v\\'\"?";
    const char *at = t->p < t->end && *t->p ? strchr(from, *t->p) : NULL;
    if (at) {
        pt_buf_putc(out, to[at - from]);
        t->p++;
        return PT_OK;
    }
    int value = 0, digits = 0;
    for (; digits < 3 && t->p < t->end && *t->p >= '0' && *t->p <= '7'; digits++)
        value = value * 8 + (*t->p++ - '0');
    pt_buf_putc(out, (char)value);
    return digits && value < 256 ? PT_OK : PT_EPARSE;
}

int pt_pbtxt_string(struct pt_pbtxt *t, struct pt_buf *out, struct pt_err *err)
{
    skip_blanks(t);
    if (t->p >= t->end || (*t->p != '"' && *t->p != '\''))
        return fail(t, "a string", err);
    while (t->p < t->end && (*t->p == '"' || *t->p == '\'')) {
        char quote = *t->p++;
        while (t->p < t->end && *t->p != quote) {
            if (*t->p == '\n')
                return fail(t, "the string's end", err);
            if (*t->p != '\\') {
                pt_buf_putc(out, *t->p++);
                continue;
            }
            t->p++;
            if (escape(t, out) < 0)
                return fail(t, "an escape such as \\n or \\101", err);
        }
        if (t->p >= t->end)
            return fail(t, "the string's end", err);
        t->p++;
        skip_blanks(t);
    }
    return pt_buf_check(out, "string", err);
}

int pt_pbtxt_word(struct pt_pbtxt *t, struct pt_str *out, struct pt_err *err)
{
    *out = word(t);
    return out->len ? PT_OK : fail(t, "a number or a name", err);
}

int pt_pbtxt_int(struct pt_pbtxt *t, int64_t min, int64_t max, int64_t *out, struct pt_err *err)
{
    struct pt_str w, name = t->name;
    int rc = pt_pbtxt_word(t, &w, err);
    if (rc == PT_OK && pt_parse_i64(w, min, max, "number", out, NULL) < 0)
        rc = pt_fail(err, PT_EPARSE, "line %d: \"" PT_STR_FMT "\": want a whole number from %lld to %lld, got " PT_STR_FMT, t->line, PT_STR_ARG(name),
                     (long long)min, (long long)max, (int)(w.len < 64 ? w.len : 64), w.p);
    return rc;
}

/* Brackets only have to match in number: what is skipped is not understood. */
int pt_pbtxt_skip(struct pt_pbtxt *t, struct pt_err *err)
{
    int depth = 0;
    struct pt_str w;
    do {
        skip_blanks(t);
        if (t->p >= t->end)
            return fail(t, "a value", err);
        if (strchr("{<[", *t->p)) {
            t->p++;
            if (++depth > MAX_NESTING)
                return fail(t, "less nesting", err);
        } else if (strchr("}>]", *t->p)) {
            if (depth-- == 0)
                return fail(t, "a value", err);
            t->p++;
        } else if (*t->p == '"' || *t->p == '\'') {
            struct pt_buf ignored = PT_BUF_INIT(0);
            int rc = pt_pbtxt_string(t, &ignored, err);
            pt_buf_finish(&ignored);
            if (rc < 0)
                return rc;
        } else if (depth && strchr(":,;", *t->p)) {
            t->p++;
        } else if (pt_pbtxt_word(t, &w, err) < 0) {
            return PT_EPARSE;
        }
    } while (depth > 0);
    return PT_OK;
}
