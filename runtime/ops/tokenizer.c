/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer.c: Tokenizer of com.microsoft, which exporters of text models use: cuts strings into tokens, a row of them per string, padded.
 *
 * Tokens are what `tokenexp` matches, or what lies between matches of the `separators`, one after the other; with one empty separator, each
 * character. Tokens of fewer characters than `mincharnum` and those in `stopwords` do not count.
 */
#include "runtime/ops/dict.h"
#include "runtime/ops/regex.h"
#include "runtime/ops/unicode.h"

struct tokenizer {
    struct pt_regex *patterns;
    int64_t pattern_count; /* 0: every character */
    bool matches;          /* the one pattern is tokenexp */
    bool mark;
    int64_t least;
    struct pt_string pad;
    struct pt_dict stop;
    size_t work_bytes;
};

/* Where tokens go: counted, and stored if `to` is given. */
struct sink {
    const struct tokenizer *t;
    struct pt_string *to;
    int64_t count, room;
    void *work;
};

static int64_t characters(struct pt_str s)
{
    int64_t n = 0;
    for (size_t at = 0, used; at < s.len; at += used, n++)
        pt_utf8_next(s.p + at, s.len - at, &used);
    return n;
}

static void put(struct sink *s, struct pt_str token)
{
    if (token.len == 0 || characters(token) < s->t->least || pt_dict_find_string(&s->t->stop, (struct pt_string){token.p, token.len}) >= 0)
        return;
    if (s->to && s->count < s->room)
        s->to[s->count] = (struct pt_string){token.p, token.len};
    s->count++;
}

static void put_characters(struct sink *s, struct pt_str text)
{
    for (size_t at = 0, used; at < text.len; at += used) {
        pt_utf8_next(text.p + at, text.len - at, &used);
        put(s, (struct pt_str){text.p + at, used});
    }
}

/* Behind a match; past the next character if it was empty. */
static size_t advance(struct pt_str text, size_t begin, size_t end)
{
    size_t used = 0;
    if (end == begin && end < text.len)
        pt_utf8_next(text.p + end, text.len - end, &used);
    return end == begin && end == text.len ? end + 1 : end + used;
}

static void put_matches(struct sink *s, struct pt_str text)
{
    size_t begin, end;
    for (size_t at = 0; at <= text.len && pt_regex_find(s->t->patterns, text, at, s->work, &begin, &end); at = advance(text, begin, end))
        put(s, (struct pt_str){text.p + begin, end - begin});
}

/* What separator i and those behind it leave of text. The depth is the number of separators. */
static void put_between(struct sink *s, struct pt_str text, int64_t i)
{
    size_t begin, end, from = 0;
    if (i == s->t->pattern_count) {
        put(s, text);
        return;
    }
    for (size_t at = 0; at <= text.len && pt_regex_find(&s->t->patterns[i], text, at, s->work, &begin, &end); at = advance(text, begin, end)) {
        if (end == begin)
            continue;
        put_between(s, (struct pt_str){text.p + from, begin - from}, i + 1);
        from = end;
    }
    put_between(s, (struct pt_str){text.p + from, text.len - from}, i + 1);
}

/* Tokens of x to `to` (or only counted). */
static int64_t tokenize(const struct tokenizer *t, struct pt_string x, struct pt_string *to, int64_t room, void *work)
{
    struct sink s = {.t = t, .to = to, .room = room, .work = work};
    struct pt_str text = {x.len ? x.p : "", x.len};
    if (t->pattern_count == 0)
        put_characters(&s, text);
    else if (t->matches)
        put_matches(&s, text);
    else
        put_between(&s, text, 0);
    return s.count;
}

/* --- the operator ----------------------------------------------------------------------------------------------------------------------- */

static int read_patterns(struct pt_op_ctx *c, struct tokenizer *t)
{
    const struct pt_onnx_attr *expression = pt_node_attr(c->node, "tokenexp"), *separators = pt_node_attr(c->node, "separators");
    if ((expression != NULL) == (separators != NULL) || (expression && expression->type != PT_ATTR_STRING) ||
        (separators && separators->type != PT_ATTR_STRINGS))
        return pt_op_fail(c, PT_EINVAL, "needs one of the attributes tokenexp (a string) and separators (strings)");
    t->matches = expression != NULL;
    size_t n = expression ? 1 : separators->count;
    if (n > 64)
        return pt_op_fail(c, PT_ELIMIT, "attribute 'separators' has %zu values", n);
    if (separators && n == 1 && separators->strings[0].len == 0)
        return PT_OK;
    if (!(t->patterns = pt_op_alloc(c, n * sizeof *t->patterns)))
        return c->err->code;
    for (; (size_t)t->pattern_count < n; t->pattern_count++) {
        struct pt_str pattern = expression ? expression->s : separators->strings[t->pattern_count];
        int rc = pt_regex_make(c, pattern, &t->patterns[t->pattern_count]);
        if (rc < 0)
            return rc;
        size_t bytes = pt_regex_work_bytes(&t->patterns[t->pattern_count]);
        t->work_bytes = bytes > t->work_bytes ? bytes : t->work_bytes;
    }
    return PT_OK;
}

static int tokenizer_prepare(struct pt_op_ctx *c, void **prepared)
{
    struct tokenizer *t = pt_op_alloc(c, sizeof *t);
    const struct pt_onnx_attr *pad = pt_node_attr(c->node, "pad_value");
    struct pt_tensor stop;
    int64_t mark;
    int rc;
    if (!t)
        return c->err->code;
    *t = (struct tokenizer){0};
    *prepared = t;
    if ((rc = pt_attr_int(c, "mark", 0, 0, 1, &mark)) < 0 || (rc = pt_attr_int(c, "mincharnum", 1, 1, INT32_MAX, &t->least)) < 0 ||
        (rc = pt_attr_list(c, "stopwords", &stop)) < 0 || (rc = read_patterns(c, t)) < 0)
        return rc;
    if (!pad || pad->type != PT_ATTR_STRING)
        return pt_op_fail(c, PT_EINVAL, "attribute 'pad_value' is missing or not a string");
    t->pad = (struct pt_string){pad->s.len ? pad->s.p : "", pad->s.len};
    t->mark = mark != 0;
    if (stop.dtype == PT_UNDEFINED)
        return PT_OK;
    if (stop.dtype != PT_STRING)
        return pt_op_fail(c, PT_EINVAL, "attribute 'stopwords' is not a list of strings");
    return pt_dict_make(c, &stop, false, &t->stop);
}

static int tokenizer_infer(struct pt_op_ctx *c)
{
    const struct tokenizer *t = c->node->prepared;
    const struct pt_tensor *x = c->in[0];
    int64_t n = pt_tensor_count(x), dims[3] = {0}, most = 0;
    if (x->rank < 1 || x->rank > 2)
        return pt_op_fail(c, PT_EINVAL, "input %s must be [C] or [N,C]", PT_SHAPE(x));
    if (!x->data && n)
        return pt_op_needs_data(c, 0, "X");
    pt_auto_free void *work = pt_malloc(t->work_bytes + 1);
    if (!work)
        return pt_op_fail(c, PT_ENOMEM, "out of memory for a pattern");
    for (int64_t i = 0; i < n; i++) {
        int64_t tokens = tokenize(t, ((const struct pt_string *)x->data)[i], NULL, 0, work);
        most = tokens > most ? tokens : most;
    }
    for (int i = 0; i < x->rank; i++)
        dims[i] = x->dims[i];
    dims[x->rank] = n ? most + 2 * t->mark : 0;
    c->scratch_bytes = t->work_bytes;
    pt_op_set_out(c, 0, PT_STRING, x->rank + 1, dims);
    return PT_OK;
}

static int tokenizer_run(struct pt_op_ctx *c)
{
    const struct tokenizer *t = c->node->prepared;
    const struct pt_tensor *x = c->in[0];
    int64_t n = pt_tensor_count(x), width = c->out[0]->dims[x->rank];
    struct pt_string *y = c->out[0]->data;
    for (int64_t i = 0; i < n && width; i++, y += width) {
        int64_t at = t->mark;
        at += tokenize(t, ((const struct pt_string *)x->data)[i], y + at, width - 2 * t->mark, c->scratch);
        if (t->mark) {
            y[0] = (struct pt_string){"\x02", 1};
            y[at++] = (struct pt_string){"\x03", 1};
        }
        for (; at < width; at++)
            y[at] = t->pad;
    }
    return PT_OK;
}

const struct pt_op pt_op_ms_tokenizer = {.domain = "com.microsoft",
                                         .type = "Tokenizer",
                                         .since = {1},
                                         .min_in = 1,
                                         .max_in = 1,
                                         .max_out = 1,
                                         .types = {PT_TS_STRING},
                                         .prepare = tokenizer_prepare,
                                         .infer = tokenizer_infer,
                                         .run = tokenizer_run};
