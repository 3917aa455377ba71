/* SPDX-License-Identifier: Apache-2.0
 *
 * manifest.c: libyaml's document tree, written out as JSON. Aliases are expanded while writing, so the cap on the output is also the
 * defence against documents that multiply themselves; a cyclic alias meets the depth limit.
 */
#include "operator/ctrl/manifest.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <yaml.h>

enum { MAX_DEPTH = 100, MAX_JSON = 8 << 20, MAX_MERGES = 10000, MAX_MERGED = 16 };

struct writer {
    yaml_document_t *doc;
    struct pt_buf *out;
    const char *what;
    struct pt_err *err;
    int merges; /* so far: a merge may write nothing, so the cap on the output does not bound them */
};

static int fail_at(struct writer *w, const yaml_node_t *n, const char *problem, struct pt_str value)
{
    if (value.p)
        return pt_fail(w->err, PT_EPARSE, "%s: line %zu: %s: \"%.*s\"", w->what, n->start_mark.line + 1, problem,
                       (int)(value.len < 100 ? value.len : 100), value.p);
    return pt_fail(w->err, PT_EPARSE, "%s: line %zu: %s", w->what, n->start_mark.line + 1, problem);
}

static bool one_of(struct pt_str s, const char *const *list)
{
    for (; *list; list++)
        if (pt_str_eq(s, pt_str(*list)))
            return true;
    return false;
}

/* Digits with optional sign, prefix and underscores -> decimal; false when s is no integer of 64 bits. */
static bool write_integer(struct pt_buf *out, struct pt_str s)
{
    char digits[72];
    size_t n = 0;
    bool negative = s.len && s.p[0] == '-';
    if (s.len && (s.p[0] == '-' || s.p[0] == '+'))
        s.p++, s.len--;
    int base = 10;
    if (s.len > 2 && s.p[0] == '0' && (s.p[1] == 'x' || s.p[1] == 'X'))
        base = 16;
    else if (s.len > 2 && s.p[0] == '0' && (s.p[1] == 'b' || s.p[1] == 'B'))
        base = 2;
    else if (s.len > 2 && s.p[0] == '0' && (s.p[1] == 'o' || s.p[1] == 'O'))
        base = 8;
    size_t skip = base == 10 ? 0 : 2;
    if (base == 10 && s.len > 1 && s.p[0] == '0')
        base = 8, skip = 1;
    for (size_t i = skip; i < s.len; i++) {
        if (s.p[i] == '_')
            continue;
        if (n + 1 >= sizeof digits || !isalnum((unsigned char)s.p[i]))
            return false;
        digits[n++] = s.p[i];
    }
    digits[n] = 0;
    if (n == 0)
        return false;
    char *end;
    errno = 0;
    unsigned long long v = strtoull(digits, &end, base);
    if (errno || *end || (negative && v > (1ULL << 63)))
        return false;
    pt_buf_printf(out, "%s%llu", negative && v ? "-" : "", v);
    return true;
}

static bool write_float(struct pt_buf *out, struct pt_str s)
{
    char text[72];
    if (s.len == 0 || s.len >= sizeof text)
        return false;
    bool digit = false;
    for (size_t i = 0; i < s.len; i++) {
        if (!strchr("0123456789+-.eE", s.p[i]))
            return false;
        digit |= isdigit((unsigned char)s.p[i]) != 0;
    }
    memcpy(text, s.p, s.len);
    text[s.len] = 0;
    char *end;
    double v = strtod(text, &end);
    if (!digit || *end || !isfinite(v))
        return false;
    pt_buf_printf(out, "%.17g", v);
    return true;
}

static int write_plain(struct writer *w, struct pt_str s)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", "n", "N", "no", "No", "NO", "off", "Off", "OFF", NULL};
    if (one_of(s, nulls))
        pt_buf_puts(w->out, "null");
    else if (one_of(s, trues))
        pt_buf_puts(w->out, "true");
    else if (one_of(s, falses))
        pt_buf_puts(w->out, "false");
    else if (!write_integer(w->out, s) && !write_float(w->out, s))
        pt_buf_json_string(w->out, s);
    return PT_OK;
}

static int write_scalar(struct writer *w, const yaml_node_t *n)
{
    struct pt_str s = {(const char *)n->data.scalar.value, n->data.scalar.length};
    const char *tag = n->tag ? (const char *)n->tag : YAML_STR_TAG;
    /* libyaml's loader gives every untagged scalar the string tag, so a plain one with that tag is typed by its looks */
    if (n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && strcmp(tag, YAML_STR_TAG) == 0)
        return write_plain(w, s);
    static const char *const known[] = {YAML_STR_TAG, "tag:yaml.org,2002:binary", "!", NULL};
    static const char *const typed[] = {YAML_INT_TAG, YAML_FLOAT_TAG, YAML_BOOL_TAG, YAML_NULL_TAG, NULL};
    if (one_of(pt_str(tag), typed))
        return write_plain(w, s);
    if (!one_of(pt_str(tag), known))
        return fail_at(w, n, "unknown tag", pt_str(tag));
    pt_buf_json_string(w->out, s);
    return PT_OK;
}

static struct pt_str key_of(const yaml_node_t *n)
{
    return (struct pt_str){(const char *)n->data.scalar.value, n->data.scalar.length};
}

static bool is_merge(const yaml_node_t *key)
{
    return key->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && pt_str_eq(key_of(key), PT_STR("<<"));
}

static int check_keys(struct writer *w, const yaml_node_t *map)
{
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
        const yaml_node_t *k = yaml_document_get_node(w->doc, p->key);
        if (k->type != YAML_SCALAR_NODE)
            return fail_at(w, k, "a mapping key must be a scalar", (struct pt_str){0});
        for (yaml_node_pair_t *q = map->data.mapping.pairs.start; q < p; q++)
            if (pt_str_eq(key_of(k), key_of(yaml_document_get_node(w->doc, q->key))))
                return fail_at(w, k, "duplicate key", key_of(k));
    }
    return PT_OK;
}

/* The maps whose keys go before those of the one that is written: those that merge it in, and what they merged before it. */
struct shadow {
    const yaml_node_t *map;
    const struct shadow *up;
};

static bool is_shadowed(struct writer *w, struct pt_str key, const struct shadow *s)
{
    for (; s; s = s->up)
        for (yaml_node_pair_t *p = s->map->data.mapping.pairs.start; p < s->map->data.mapping.pairs.top; p++)
            if (pt_str_eq(key, key_of(yaml_document_get_node(w->doc, p->key))))
                return true;
    return false;
}

static int write_node(struct writer *w, int index, int depth);
static int write_merged(struct writer *w, int index, const struct shadow *above, bool *first, int depth);

static int write_members(struct writer *w, const yaml_node_t *map, const struct shadow *above, bool *first, int depth)
{
    struct shadow here = {map, above};
    int rc = check_keys(w, map);
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; rc == PT_OK && p < map->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = yaml_document_get_node(w->doc, p->key);
        if (is_merge(key)) {
            rc = write_merged(w, p->value, &here, first, depth);
            continue;
        }
        if (is_shadowed(w, key_of(key), above))
            continue;
        if (!*first)
            pt_buf_putc(w->out, ',');
        *first = false;
        pt_buf_json_string(w->out, key_of(key));
        pt_buf_putc(w->out, ':');
        rc = write_node(w, p->value, depth + 1);
    }
    return rc;
}

/* What "<<" names: a map, or a list of maps of which the earlier go first. */
static int write_merged(struct writer *w, int index, const struct shadow *above, bool *first, int depth)
{
    const yaml_node_t *n = yaml_document_get_node(w->doc, index);
    if (depth > MAX_DEPTH || ++w->merges > MAX_MERGES)
        return fail_at(w, n, "too many merges", (struct pt_str){0});
    if (n->type == YAML_MAPPING_NODE)
        return write_members(w, n, above, first, depth + 1);
    if (n->type != YAML_SEQUENCE_NODE)
        return fail_at(w, n, "only a mapping can be merged", (struct pt_str){0});
    struct shadow before[MAX_MERGED];
    size_t count = 0;
    int rc = PT_OK;
    for (yaml_node_item_t *i = n->data.sequence.items.start; rc == PT_OK && i < n->data.sequence.items.top; i++) {
        const yaml_node_t *map = yaml_document_get_node(w->doc, *i);
        if (map->type != YAML_MAPPING_NODE || count == MAX_MERGED)
            return fail_at(w, map, count == MAX_MERGED ? "too many merges" : "only a mapping can be merged", (struct pt_str){0});
        rc = write_merged(w, *i, above, first, depth + 1);
        before[count] = (struct shadow){map, above};
        above = &before[count++];
    }
    return rc;
}

static int write_node(struct writer *w, int index, int depth)
{
    const yaml_node_t *n = yaml_document_get_node(w->doc, index);
    int rc = PT_OK;
    bool first = true;
    if (depth > MAX_DEPTH)
        return fail_at(w, n, "nested too deeply", (struct pt_str){0});
    if (w->out->failed)
        return pt_buf_check(w->out, w->what, w->err);
    switch (n->type) {
    case YAML_SCALAR_NODE:
        return write_scalar(w, n);
    case YAML_SEQUENCE_NODE:
        pt_buf_putc(w->out, '[');
        for (yaml_node_item_t *i = n->data.sequence.items.start; rc == PT_OK && i < n->data.sequence.items.top; i++) {
            if (i > n->data.sequence.items.start)
                pt_buf_putc(w->out, ',');
            rc = write_node(w, *i, depth + 1);
        }
        pt_buf_putc(w->out, ']');
        return rc;
    case YAML_MAPPING_NODE:
        pt_buf_putc(w->out, '{');
        rc = write_members(w, n, NULL, &first, depth);
        pt_buf_putc(w->out, '}');
        return rc;
    case YAML_NO_NODE:
        break;
    }
    return fail_at(w, n, "empty node", (struct pt_str){0});
}

static int write_document(yaml_document_t *doc, const char *what, pt_manifest_fn fn, void *arg, struct pt_err *err)
{
    const yaml_node_t *root = yaml_document_get_root_node(doc);
    if (root->type == YAML_SCALAR_NODE && root->data.scalar.length == 0)
        return PT_OK;
    pt_auto_buf out = PT_BUF_INIT(MAX_JSON);
    struct writer w = {.doc = doc, .out = &out, .what = what, .err = err};
    int rc = write_node(&w, 1, 0);
    if (rc == PT_OK)
        rc = pt_buf_check(&out, what, err);
    if (rc == PT_OK)
        rc = fn(arg, (struct pt_str){pt_buf_cstr(&out), out.len}, doc->start_mark.line + 1, err);
    return rc;
}

int pt_manifest_parse(struct pt_str text, const char *what, pt_manifest_fn fn, void *arg, struct pt_err *err)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return pt_fail(err, PT_ENOMEM, "%s: out of memory", what);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.len);
    int rc = PT_OK;
    bool more = true;
    while (rc == PT_OK && more) {
        yaml_document_t doc;
        if (!yaml_parser_load(&parser, &doc)) {
            rc = pt_fail(err, parser.error == YAML_MEMORY_ERROR ? PT_ENOMEM : PT_EPARSE, "%s: line %zu: %s", what, parser.problem_mark.line + 1,
                         parser.problem ? parser.problem : "malformed YAML");
            break;
        }
        more = yaml_document_get_root_node(&doc) != NULL;
        if (more)
            rc = write_document(&doc, what, fn, arg, err);
        yaml_document_delete(&doc);
    }
    yaml_parser_delete(&parser);
    return rc;
}
