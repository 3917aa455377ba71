/* SPDX-License-Identifier: Apache-2.0
 *
 * regex.c: runs the program of a pattern (regex.h), and RegexFullMatch.
 */
#include "runtime/ops/regex.h"

#include "runtime/ops/unicode.h"

/* The states that the automaton is in: SET and MATCH instructions, the preferred ones first, and where in the text each began. */
struct state {
    int32_t inst;
    size_t begin;
};
struct states {
    struct state *list;
    int32_t count;
};

struct matcher {
    const struct pt_regex *re;
    struct pt_str text;
    struct states now, next;
    int32_t *stack;
    uint32_t *seen, step; /* seen[i] == step: instruction i was visited in this step */
};

size_t pt_regex_work_bytes(const struct pt_regex *re)
{
    return (size_t)re->inst_count * (2 * sizeof(struct state) + 3 * sizeof(int32_t)) + 64;
}

static bool in_ranges(const struct pt_regex *re, const struct pt_regex_set *s, uint32_t code)
{
    for (int32_t i = s->first; i < s->first + s->count; i++)
        if (code >= re->ranges[i].lo && code <= re->ranges[i].hi)
            return true;
    return false;
}

static bool in_set(const struct pt_regex *re, int32_t set, uint32_t code)
{
    const struct pt_regex_set *s = &re->sets[set];
    if (code == PT_UNICODE_BAD)
        return false;
    bool in = in_ranges(re, s, code);
    if (!in && s->fold) {
        uint32_t lower = pt_unicode_lower(code), upper = pt_unicode_upper(code);
        in = in_ranges(re, s, lower) || in_ranges(re, s, upper) || in_ranges(re, s, pt_unicode_lower(upper));
    }
    return in != s->negated;
}

static bool is_word(uint32_t code)
{
    return code == '_' || (code >= '0' && code <= '9') || ((code | 32) >= 'a' && (code | 32) <= 'z' && code < 128);
}

#define NONE 0xfffffffeu /* before the text or behind it */

static bool holds(enum pt_regex_assert what, uint32_t before, uint32_t behind)
{
    switch (what) {
    case PT_RE_TEXT_BEGIN:
        return before == NONE;
    case PT_RE_TEXT_END:
        return behind == NONE;
    case PT_RE_LINE_BEGIN:
        return before == NONE || before == '\n';
    case PT_RE_LINE_END:
        return behind == NONE || behind == '\n';
    case PT_RE_WORD:
        return is_word(before) != is_word(behind);
    default:
        return is_word(before) == is_word(behind);
    }
}

/* Adds what can be reached from instruction `at` without reading anything. */
static void add(struct matcher *m, struct states *to, int32_t at, size_t begin, uint32_t before, uint32_t behind)
{
    int32_t depth = 0;
    for (m->stack[depth++] = at; depth;) {
        int32_t i = m->stack[--depth];
        const struct pt_regex_inst *in = &m->re->insts[i];
        if (m->seen[i] == m->step)
            continue;
        m->seen[i] = m->step;
        switch (in->op) {
        case PT_RE_SPLIT:
            m->stack[depth++] = in->y;
            m->stack[depth++] = in->x;
            break;
        case PT_RE_JUMP:
            m->stack[depth++] = in->x;
            break;
        case PT_RE_ASSERT:
            if (holds((enum pt_regex_assert)in->x, before, behind))
                m->stack[depth++] = i + 1;
            break;
        default:
            to->list[to->count++] = (struct state){i, begin};
        }
    }
}

static uint32_t code_at(struct pt_str text, size_t at, size_t *used)
{
    *used = 0;
    return at < text.len ? pt_utf8_next(text.p + at, text.len - at, used) : NONE;
}

static struct matcher matcher_of(const struct pt_regex *re, struct pt_str text, void *work)
{
    int32_t n = re->inst_count;
    struct matcher m = {.re = re, .text = text, .now.list = work, .step = 1};
    m.next.list = m.now.list + n;
    m.stack = (int32_t *)(void *)(m.next.list + n); /* each instruction is taken off it once and puts two on it at most */
    m.seen = (uint32_t *)m.stack + 2 * n;
    memset(m.seen, 0, (size_t)n * sizeof *m.seen);
    return m;
}

/* From the states now, past `code` and before `behind`, into the next ones. */
static void step(struct matcher *m, uint32_t code, uint32_t behind)
{
    m->step++;
    m->next.count = 0;
    for (int32_t i = 0; i < m->now.count; i++) {
        const struct pt_regex_inst *in = &m->re->insts[m->now.list[i].inst];
        if (in->op == PT_RE_SET && in_set(m->re, in->x, code))
            add(m, &m->next, m->now.list[i].inst + 1, m->now.list[i].begin, code, behind);
    }
    struct states swap = m->now;
    m->now = m->next;
    m->next = swap;
}

/* The preferred state that has matched, or NULL; those behind it are not wanted any more. */
static const struct state *matched(struct matcher *m)
{
    for (int32_t i = 0; i < m->now.count; i++)
        if (m->re->insts[m->now.list[i].inst].op == PT_RE_MATCH) {
            m->now.count = i;
            return &m->now.list[i];
        }
    return NULL;
}

bool pt_regex_full_match(const struct pt_regex *re, struct pt_str text, void *work)
{
    struct matcher m = matcher_of(re, text, work);
    size_t at = 0, used, behind_used;
    uint32_t code = code_at(text, 0, &used);
    add(&m, &m.now, 0, 0, NONE, code);
    while (code != NONE && m.now.count) {
        uint32_t behind = code_at(text, at + used, &behind_used);
        step(&m, code, behind);
        at += used;
        used = behind_used;
        code = behind;
    }
    return matched(&m) != NULL;
}

/* The code point that ends at byte `at`. */
static uint32_t code_before(struct pt_str text, size_t at)
{
    size_t begin = at, used;
    if (at == 0)
        return NONE;
    while (begin > 0 && at - begin < 4 && ((uint8_t)text.p[--begin] & 0xc0) == 0x80)
        continue;
    return pt_utf8_next(text.p + begin, at - begin, &used);
}

bool pt_regex_find(const struct pt_regex *re, struct pt_str text, size_t from, void *work, size_t *begin, size_t *end)
{
    struct matcher m = matcher_of(re, text, work);
    size_t at = from, used;
    uint32_t before = code_before(text, from), code = code_at(text, from, &used);
    bool found = false;
    for (;;) {
        if (!found) /* a match may begin here too, if none began before */
            add(&m, &m.now, 0, at, before, code);
        const struct state *s = matched(&m);
        if (s) {
            found = true;
            *begin = s->begin;
            *end = at;
        }
        if (code == NONE || (found && m.now.count == 0))
            return found;
        size_t behind_used;
        uint32_t behind = code_at(text, at + used, &behind_used);
        step(&m, code, behind);
        at += used;
        used = behind_used;
        before = code;
        code = behind;
    }
}

/* --- RegexFullMatch ------------------------------------------------------------------------------------------------------------------------ */

static int regex_full_match_prepare(struct pt_op_ctx *c, void **prepared)
{
    const struct pt_onnx_attr *a = pt_node_attr(c->node, "pattern");
    struct pt_regex *re = pt_op_alloc(c, sizeof *re);
    if (!re)
        return c->err->code;
    if (!a || a->type != PT_ATTR_STRING)
        return pt_op_fail(c, PT_EINVAL, "attribute 'pattern' is missing or not a string");
    *prepared = re;
    return pt_regex_make(c, a->s, re);
}

static int regex_full_match_infer(struct pt_op_ctx *c)
{
    pt_op_set_out(c, 0, PT_BOOL, c->in[0]->rank, c->in[0]->dims);
    c->scratch_bytes = pt_regex_work_bytes(c->node->prepared);
    return PT_OK;
}

static int regex_full_match_run(struct pt_op_ctx *c)
{
    const struct pt_string *x = c->in[0]->data;
    int64_t n = pt_tensor_count(c->in[0]);
    for (int64_t i = 0; i < n; i++)
        ((uint8_t *)c->out[0]->data)[i] = pt_regex_full_match(c->node->prepared, (struct pt_str){x[i].p, x[i].len}, c->scratch);
    return PT_OK;
}

const struct pt_op pt_op_regex_full_match = {.type = "RegexFullMatch",
                                             .since = {20},
                                             .min_in = 1,
                                             .max_in = 1,
                                             .max_out = 1,
                                             .types = {PT_TS_STRING},
                                             .prepare = regex_full_match_prepare,
                                             .infer = regex_full_match_infer,
                                             .run = regex_full_match_run};
