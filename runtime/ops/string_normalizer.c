/* SPDX-License-Identifier: Apache-2.0
 *
 * string_normalizer.c: StringNormalizer: drops stop words, then changes the case of what is left. Case is Unicode's simple mapping; attribute
 * 'locale' asks for what a machine may not have, and the mapping differs from it in Turkish, Azeri and Lithuanian only, so those are refused.
 */
#include "runtime/ops/dict.h"
#include "runtime/ops/unicode.h"

typedef uint32_t (*map_fn)(uint32_t code);

struct normalizer {
    struct pt_dict stop;
    map_fn change;  /* of the output; NULL: none */
    map_fn compare; /* before a word is looked up; NULL: as it is */
};

/* to (room for 3 bytes per 2 of from, no mapping grows more) <- mapped bytes; how many. Bad bytes stay. */
static size_t map_string(map_fn map, struct pt_string from, char *to)
{
    size_t at = 0, n = 0, used;
    for (; at < from.len; at += used) {
        uint32_t code = pt_utf8_next(from.p + at, from.len - at, &used);
        if (code == PT_UNICODE_BAD)
            to[n++] = from.p[at];
        else
            n += pt_utf8_put(map(code), to + n);
    }
    return n;
}

static size_t room_for(size_t len)
{
    return len + len / 2 + 4;
}

/* The stop words as they are compared. */
static int map_stops(struct pt_op_ctx *c, const struct normalizer *p, struct pt_tensor *list)
{
    struct pt_string *s = list->data;
    for (int64_t i = 0; p->compare && i < list->dims[0]; i++) {
        char *to = pt_op_alloc(c, room_for(s[i].len));
        if (!to)
            return c->err->code;
        s[i] = (struct pt_string){to, map_string(p->compare, s[i], to)};
    }
    return PT_OK;
}

static int check_locale(struct pt_op_ctx *c)
{
    static const char *const special[] = {"tr", "az", "lt"};
    const struct pt_onnx_attr *a = pt_node_attr(c->node, "locale");
    for (size_t i = 0; a && i < sizeof special / sizeof *special; i++)
        if (pt_str_starts(a->s, pt_str(special[i])) && (a->s.len == 2 || a->s.p[2] == '_' || a->s.p[2] == '-'))
            return pt_op_fail(c, PT_EUNSUPPORTED, "attribute 'locale' = \"" PT_STR_FMT "\" has a case mapping of its own", PT_STR_ARG(a->s));
    return PT_OK;
}

static int string_normalizer_prepare(struct pt_op_ctx *c, void **prepared)
{
    static const char *const actions[] = {"NONE", "LOWER", "UPPER", NULL};
    static const map_fn maps[] = {NULL, pt_unicode_lower, pt_unicode_upper};
    struct normalizer *p = pt_op_alloc(c, sizeof *p);
    struct pt_tensor list;
    int64_t sensitive;
    int action, rc;
    if (!p)
        return c->err->code;
    if ((rc = pt_attr_choice(c, "case_change_action", actions, 0, &action)) < 0 ||
        (rc = pt_attr_int(c, "is_case_sensitive", 0, 0, 1, &sensitive)) < 0 || (rc = check_locale(c)) < 0 ||
        (rc = pt_attr_list(c, "stopwords", &list)) < 0)
        return rc;
    if (list.dtype != PT_UNDEFINED && list.dtype != PT_STRING)
        return pt_op_fail(c, PT_EINVAL, "attribute 'stopwords' is not a list of strings");
    p->change = maps[action];
    p->compare = sensitive ? NULL : action ? p->change : pt_unicode_lower;
    *prepared = p;
    if (list.dtype == PT_UNDEFINED) {
        p->stop = (struct pt_dict){0};
        return PT_OK;
    }
    return (rc = map_stops(c, p, &list)) < 0 ? rc : pt_dict_make(c, &list, false, &p->stop);
}

/* *stop <- is x one? buffer has room for the longest input mapped. */
static bool is_stop(const struct normalizer *p, struct pt_string x, char *buffer)
{
    if (p->compare)
        x = (struct pt_string){buffer, map_string(p->compare, x, buffer)};
    return pt_dict_find_string(&p->stop, x) >= 0;
}

/* keep[i] <- is element i not a stop word; how many are not, or a negative code. */
static int64_t select_words(struct pt_op_ctx *c, const struct pt_tensor *x, bool *keep)
{
    const struct normalizer *p = c->node->prepared;
    int64_t n = pt_tensor_count(x), kept = 0;
    const struct pt_string *s = x->data;
    size_t longest = 0;
    for (int64_t i = 0; i < n; i++)
        longest = s[i].len > longest ? s[i].len : longest;
    pt_auto_free char *buffer = pt_malloc(room_for(longest));
    if (!buffer)
        return pt_op_fail(c, PT_ENOMEM, "out of memory for a string of %zu bytes", longest);
    for (int64_t i = 0; i < n; i++) {
        bool stay = !p->stop.slots || !is_stop(p, s[i], buffer);
        kept += stay;
        if (keep)
            keep[i] = stay;
    }
    return kept;
}

static int string_normalizer_infer(struct pt_op_ctx *c)
{
    const struct normalizer *p = c->node->prepared;
    const struct pt_tensor *x = c->in[0];
    int64_t n = pt_tensor_count(x), dims[2] = {1, 1};
    if (x->rank < 1 || x->rank > 2 || (x->rank == 2 && x->dims[0] != 1))
        return pt_op_fail(c, PT_EINVAL, "input %s must be [C] or [1,C]", PT_SHAPE(x));
    if (!x->data && n && p->stop.slots)
        return pt_op_needs_data(c, 0, "X");
    int64_t kept = p->stop.slots ? select_words(c, x, NULL) : n;
    if (kept < 0)
        return (int)kept;
    dims[x->rank - 1] = kept ? kept : 1;
    pt_op_set_out(c, 0, PT_STRING, x->rank, dims);
    return PT_OK;
}

static int change_case(struct pt_op_ctx *c, map_fn map, struct pt_string *y, int64_t n)
{
    size_t total = 0;
    for (int64_t i = 0; i < n; i++)
        total += room_for(y[i].len);
    char *to = pt_op_alloc(c, total);
    if (!to)
        return c->err->code;
    for (int64_t i = 0; i < n; i++) {
        y[i] = (struct pt_string){to, map_string(map, y[i], to)};
        to += y[i].len;
    }
    return PT_OK;
}

static int string_normalizer_run(struct pt_op_ctx *c)
{
    const struct normalizer *p = c->node->prepared;
    const struct pt_tensor *x = c->in[0];
    int64_t n = pt_tensor_count(x), kept = 0, room = pt_tensor_count(c->out[0]);
    struct pt_string *y = c->out[0]->data;
    pt_auto_free bool *keep = pt_malloc((size_t)n + 1);
    if (!keep)
        return pt_op_fail(c, PT_ENOMEM, "out of memory for %lld strings", (long long)n);
    int64_t rc = select_words(c, x, keep);
    if (rc < 0)
        return (int)rc;
    for (int64_t i = 0; i < n && kept < room; i++)
        if (keep[i])
            y[kept++] = ((const struct pt_string *)x->data)[i];
    if (kept == 0)
        y[0] = (struct pt_string){"", 0};
    return p->change && kept ? change_case(c, p->change, y, kept) : PT_OK;
}

const struct pt_op pt_op_string_normalizer = {.type = "StringNormalizer",
                                              .since = {10},
                                              .min_in = 1,
                                              .max_in = 1,
                                              .max_out = 1,
                                              .types = {PT_TS_STRING},
                                              .prepare = string_normalizer_prepare,
                                              .infer = string_normalizer_infer,
                                              .run = string_normalizer_run};
