/* SPDX-License-Identifier: Apache-2.0
 *
 * regex_parse.c: from a pattern to a program. Parsing gives a tree, whose nodes with many children keep them in a list, so that the depth of the
 * tree is that of the parentheses, which is bounded; repetitions are then unrolled while the program is written, which is bounded too.
 */
#include "runtime/ops/regex.h"
#include "runtime/ops/unicode.h"

#include <stdio.h>

#define MOST_DEPTH 200
#define MOST_REPEAT 1000
#define MOST_INSTS 100000
#define MAX_CODE 0x10ffffu

enum kind { EMPTY, SET, ASSERT, CAT, ALT, REPEAT };
struct tree {
    enum kind kind;
    int32_t value;       /* SET: which; ASSERT: which */
    int32_t child, next; /* nodes or -1 */
    bool lazy;
    int32_t min, max; /* REPEAT; max -1: no end */
};

enum { FOLD = 1, MULTI = 2, DOTALL = 4, UNGREEDY = 8 };

struct parser {
    struct pt_op_ctx *c;
    struct pt_str pattern;
    size_t at;
    unsigned flags;
    bool quoted; /* behind \Q */
    int depth;
    int32_t written; /* nodes, each as often as it is repeated */
    struct tree *nodes;
    struct pt_regex re; /* growing, in malloc's memory */
    int32_t node_count, node_room, inst_room, set_room, range_room;
};

static int bad(struct parser *p, const char *what)
{
    return pt_op_fail(p->c, PT_EINVAL, "pattern \"" PT_STR_FMT "\": %s at byte %zu", PT_STR_ARG(p->pattern), what, p->at);
}

/* --- growing arrays ---------------------------------------------------------------------------------------------------------------------- */

static void *grow(struct parser *p, void *array, int32_t count, int32_t *room, size_t size)
{
    if (count < *room)
        return array;
    int32_t more = *room ? *room * 2 : 64;
    void *bigger = pt_reallocarray(array, (size_t)more, size);
    if (bigger)
        *room = more;
    else
        pt_op_fail(p->c, PT_ENOMEM, "out of memory for a pattern");
    return bigger;
}

static int32_t add_node(struct parser *p, enum kind kind, int32_t value)
{
    struct tree *nodes = grow(p, p->nodes, p->node_count, &p->node_room, sizeof *nodes);
    if (!nodes)
        return PT_ENOMEM;
    p->nodes = nodes;
    nodes[p->node_count] = (struct tree){.kind = kind, .value = value, .child = -1, .next = -1};
    return p->node_count++;
}

static int add_range(struct parser *p, uint32_t lo, uint32_t hi)
{
    struct pt_regex_range *ranges = grow(p, p->re.ranges, p->re.range_count, &p->range_room, sizeof *ranges);
    if (!ranges)
        return PT_ENOMEM;
    p->re.ranges = ranges;
    ranges[p->re.range_count++] = (struct pt_regex_range){lo, hi};
    return PT_OK;
}

/* A node for the ranges added since `first`. */
static int32_t add_set(struct parser *p, int32_t first, bool negated)
{
    struct pt_regex_set *sets = grow(p, p->re.sets, p->re.set_count, &p->set_room, sizeof *sets);
    if (!sets)
        return PT_ENOMEM;
    p->re.sets = sets;
    sets[p->re.set_count] = (struct pt_regex_set){first, p->re.range_count - first, negated, (p->flags & FOLD) != 0};
    return add_node(p, SET, p->re.set_count++);
}

static int32_t add_literal(struct parser *p, uint32_t code)
{
    int32_t first = p->re.range_count, rc = add_range(p, code, code);
    return rc < 0 ? rc : add_set(p, first, false);
}

/* --- pieces ------------------------------------------------------------------------------------------------------------------------------- */

static bool more(const struct parser *p)
{
    return p->at < p->pattern.len;
}

static bool looking_at(const struct parser *p, const char *s)
{
    size_t len = strlen(s);
    return p->pattern.len - p->at >= len && memcmp(p->pattern.p + p->at, s, len) == 0;
}

static bool take(struct parser *p, const char *s)
{
    if (!looking_at(p, s))
        return false;
    p->at += strlen(s);
    return true;
}

static int take_code(struct parser *p, uint32_t *code)
{
    size_t used;
    if (!more(p))
        return bad(p, "ends too early");
    *code = pt_utf8_next(p->pattern.p + p->at, p->pattern.len - p->at, &used);
    if (*code == PT_UNICODE_BAD)
        return bad(p, "is not UTF-8");
    p->at += used;
    return PT_OK;
}

/* Named classes: pairs of first and last, all ASCII. */
static const struct {
    const char *name, *pairs;
} classes[] = {
    {"d", "09"},
    {"s", "\t\n\f\r  "},
    {"w", "09AZ__az"},
    {"[:alnum:]", "09AZaz"},
    {"[:alpha:]", "AZaz"},
    {"[:ascii:]", "\001\177"},
    {"[:blank:]", "\t\t  "},
    {"[:cntrl:]", "\001\037\177\177"},
    {"[:digit:]", "09"},
    {"[:graph:]", "!~"},
    {"[:lower:]", "az"},
    {"[:print:]", " ~"},
    {"[:punct:]", "!/:@[`{~"},
    {"[:space:]", "\t\r  "},
    {"[:upper:]", "AZ"},
    {"[:word:]", "09AZ__az"},
    {"[:xdigit:]", "09AFaf"},
};

static int add_class(struct parser *p, size_t row, bool negated)
{
    const char *pairs = classes[row].pairs;
    bool from_zero = strcmp(classes[row].name, "[:ascii:]") == 0 || strcmp(classes[row].name, "[:cntrl:]") == 0;
    uint32_t next = 0;
    int rc = PT_OK;
    for (; *pairs && rc == PT_OK; pairs += 2) {
        uint32_t lo = from_zero && pairs[0] == 1 ? 0 : (uint8_t)pairs[0], hi = (uint8_t)pairs[1];
        if (!negated)
            rc = add_range(p, lo, hi);
        else if (lo > next)
            rc = add_range(p, next, lo - 1);
        next = hi + 1;
    }
    return negated && rc == PT_OK ? add_range(p, next, MAX_CODE) : rc;
}

/* \d \D \s \S \w \W after the backslash: 1 if it was one. */
static int take_perl_class(struct parser *p)
{
    char ch = more(p) ? p->pattern.p[p->at] : 0, low = (char)(ch | 32);
    for (size_t i = 0; i < 3; i++)
        if (ch && classes[i].name[0] == low) {
            int rc = add_class(p, i, ch != low);
            p->at++;
            return rc < 0 ? rc : 1;
        }
    return 0;
}

static int hex_value(char ch)
{
    return ch >= '0' && ch <= '9' ? ch - '0' : (ch | 32) >= 'a' && (ch | 32) <= 'f' ? (ch | 32) - 'a' + 10 : -1;
}

static int take_hex(struct parser *p, uint32_t *code)
{
    bool braces = take(p, "{");
    int digits = 0;
    for (*code = 0; more(p) && (braces || digits < 2) && hex_value(p->pattern.p[p->at]) >= 0; digits++, p->at++) {
        *code = *code * 16 + (uint32_t)hex_value(p->pattern.p[p->at]);
        if (*code > MAX_CODE)
            return bad(p, "code point out of range");
    }
    return (braces ? digits && take(p, "}") : digits == 2) ? PT_OK : bad(p, "bad hexadecimal escape");
}

/* What follows a backslash and stands for one code point. */
static int take_escape(struct parser *p, uint32_t *code)
{
    static const char from[] = "afnrtv", to[] = "\a\f\n\r\t\v";
    size_t start = p->at;
    int rc = take_code(p, code);
    if (rc < 0)
        return rc;
    const char *known = *code < 128 ? strchr(from, (int)*code) : NULL;
    if (*code == 'x')
        return take_hex(p, code);
    if (known && *known) {
        *code = (uint8_t)to[known - from];
        return PT_OK;
    }
    bool octal = *code == '0' || (*code >= '1' && *code <= '7' && more(p) && p->pattern.p[p->at] >= '0' && p->pattern.p[p->at] <= '7');
    if (octal) {
        for (*code -= '0'; more(p) && p->at - start < 3 && p->pattern.p[p->at] >= '0' && p->pattern.p[p->at] <= '7'; p->at++)
            *code = *code * 8 + (uint32_t)(p->pattern.p[p->at] - '0');
        return PT_OK;
    }
    bool word = *code >= 128 || *code == '_' || (*code >= '0' && *code <= '9') || ((*code | 32) >= 'a' && (*code | 32) <= 'z');
    if (!word || *code == '_' || *code >= 128)
        return PT_OK;
    p->at = start;
    if ((*code | 32) == 'p' || *code == 'C')
        return pt_op_fail(p->c, PT_EUNSUPPORTED, "pattern \"" PT_STR_FMT "\": \\%c is not supported", PT_STR_ARG(p->pattern), (int)*code);
    return bad(p, "unknown escape");
}

/* --- [...] --------------------------------------------------------------------------------------------------------------------------------- */

static int take_posix_class(struct parser *p)
{
    for (size_t i = 3; i < sizeof classes / sizeof *classes; i++) {
        char inverse[16];
        snprintf(inverse, sizeof inverse, "[:^%s", classes[i].name + 2);
        bool plain = take(p, classes[i].name);
        if (plain || take(p, inverse)) {
            int rc = add_class(p, i, !plain);
            return rc < 0 ? rc : 1;
        }
    }
    return looking_at(p, "[:") ? bad(p, "unknown character class") : 0;
}

static int take_class_code(struct parser *p, uint32_t *code)
{
    return take(p, "\\") ? take_escape(p, code) : take_code(p, code);
}

/* One member of a class. */
static int take_member(struct parser *p)
{
    uint32_t lo, hi;
    int rc = take_posix_class(p);
    if (rc != 0)
        return rc;
    if (looking_at(p, "\\")) {
        p->at++;
        if ((rc = take_perl_class(p)) != 0)
            return rc;
        p->at--;
    }
    if ((rc = take_class_code(p, &lo)) < 0)
        return rc;
    hi = lo;
    if (looking_at(p, "-") && p->at + 1 < p->pattern.len && p->pattern.p[p->at + 1] != ']') {
        p->at++;
        if ((rc = take_class_code(p, &hi)) < 0)
            return rc;
        if (hi < lo)
            return bad(p, "bad range in a character class");
    }
    return add_range(p, lo, hi);
}

static int32_t take_brackets(struct parser *p)
{
    int32_t first = p->re.range_count;
    bool negated = take(p, "^"), empty = true;
    while (empty || !looking_at(p, "]")) {
        if (!more(p))
            return bad(p, "missing ]");
        int rc = take_member(p);
        if (rc < 0)
            return rc;
        empty = false;
    }
    p->at++;
    return add_set(p, first, negated);
}

/* --- groups, alternatives, repetitions --------------------------------------------------------------------------------------------------- */

static bool take_number(struct parser *p, int32_t *n)
{
    size_t start = p->at;
    for (*n = 0; more(p) && p->pattern.p[p->at] >= '0' && p->pattern.p[p->at] <= '9'; p->at++)
        *n = *n > MOST_REPEAT ? *n : *n * 10 + (p->pattern.p[p->at] - '0');
    return p->at > start;
}

/* {n} {n,} {n,m}; anything else in braces is literal. */
static bool take_counts(struct parser *p, int32_t *min, int32_t *max)
{
    size_t start = p->at;
    bool ok = take(p, "{") && take_number(p, min);
    *max = *min;
    if (ok && take(p, ",") && !take_number(p, max))
        *max = -1;
    ok = ok && take(p, "}");
    p->at = ok ? p->at : start;
    return ok;
}

static bool take_repeat(struct parser *p, int32_t *min, int32_t *max)
{
    *min = looking_at(p, "+") ? 1 : 0;
    *max = looking_at(p, "?") ? 1 : -1;
    return take(p, "*") || take(p, "+") || take(p, "?") || take_counts(p, min, max);
}

static int32_t take_alternatives(struct parser *p);

/* Behind "(?": flags; *group: ends with ':' and not ')'. */
static int take_flags(struct parser *p, bool *group)
{
    bool on = true;
    for (; more(p); p->at++) {
        static const char names[] = "imsU";
        char ch = p->pattern.p[p->at];
        const char *known = ch ? strchr(names, ch) : NULL;
        if (known)
            p->flags = on ? p->flags | 1u << (known - names) : p->flags & ~(1u << (known - names));
        else if (ch == '-' && on)
            on = false;
        else if (ch == ':' || ch == ')') {
            *group = ch == ':';
            p->at++;
            return PT_OK;
        } else
            break;
    }
    return bad(p, "unknown group or flag");
}

static int take_name(struct parser *p)
{
    size_t start = p->at;
    while (more(p) && (hex_value(p->pattern.p[p->at]) >= 0 || ((p->pattern.p[p->at] | 32) >= 'a' && (p->pattern.p[p->at] | 32) <= 'z') ||
                       p->pattern.p[p->at] == '_'))
        p->at++;
    return p->at > start && take(p, ">") ? PT_OK : bad(p, "bad name of a group");
}

/* Behind "(". */
static int32_t take_group(struct parser *p)
{
    unsigned outer = p->flags;
    bool group = true;
    int rc = take(p, "?P<") || take(p, "?<") ? take_name(p) : take(p, "?") ? take_flags(p, &group) : PT_OK;
    if (rc < 0)
        return rc;
    if (!group) /* (?i) holds for the rest of the group around it */
        return add_node(p, EMPTY, 0);
    if (++p->depth > MOST_DEPTH)
        return bad(p, "groups are nested too deep");
    int32_t node = take_alternatives(p);
    p->depth--;
    p->flags = outer;
    if (node < 0)
        return node;
    return take(p, ")") ? node : bad(p, "missing )");
}

/* A literal between \Q and \E. What follows \E belongs to the last one. */
static int32_t take_quoted(struct parser *p)
{
    uint32_t code;
    p->quoted = !take(p, "\\E");
    if (!p->quoted || !more(p))
        return add_node(p, EMPTY, 0);
    if (take_code(p, &code) < 0)
        return p->c->err->code;
    p->quoted = !take(p, "\\E");
    return add_literal(p, code);
}

static int32_t take_backslash(struct parser *p)
{
    static const struct {
        const char *name;
        enum pt_regex_assert is;
    } asserts[] = {{"A", PT_RE_TEXT_BEGIN}, {"z", PT_RE_TEXT_END}, {"b", PT_RE_WORD}, {"B", PT_RE_NOT_WORD}};
    int32_t first = p->re.range_count;
    uint32_t code;
    int rc;
    for (size_t i = 0; i < sizeof asserts / sizeof *asserts; i++)
        if (take(p, asserts[i].name))
            return add_node(p, ASSERT, asserts[i].is);
    if (take(p, "Q"))
        return take_quoted(p);
    if ((rc = take_perl_class(p)) != 0)
        return rc < 0 ? rc : add_set(p, first, false);
    return (rc = take_escape(p, &code)) < 0 ? rc : add_literal(p, code);
}

static int32_t take_dot(struct parser *p)
{
    int32_t first = p->re.range_count;
    if (!(p->flags & DOTALL))
        return add_range(p, '\n', '\n') < 0 ? PT_ENOMEM : add_set(p, first, true);
    return add_range(p, 0, MAX_CODE) < 0 ? PT_ENOMEM : add_set(p, first, false);
}

static int32_t take_atom(struct parser *p)
{
    uint32_t code;
    size_t start = p->at;
    if (take_repeat(p, &(int32_t){0}, &(int32_t){0})) {
        p->at = start;
        return bad(p, "nothing to repeat");
    }
    int rc = take_code(p, &code);
    if (rc < 0)
        return rc;
    switch (code) {
    case '(':
        return take_group(p);
    case '[':
        return take_brackets(p);
    case '\\':
        return take_backslash(p);
    case '.':
        return take_dot(p);
    case '^':
        return add_node(p, ASSERT, p->flags & MULTI ? PT_RE_LINE_BEGIN : PT_RE_TEXT_BEGIN);
    case '$':
        return add_node(p, ASSERT, p->flags & MULTI ? PT_RE_LINE_END : PT_RE_TEXT_END);
    default:
        return add_literal(p, code);
    }
}

static int32_t take_repeated(struct parser *p)
{
    int32_t node = p->quoted ? take_quoted(p) : take_atom(p), min, max;
    if (node < 0 || p->quoted || !take_repeat(p, &min, &max))
        return node;
    if (min > MOST_REPEAT || max > MOST_REPEAT || (max >= 0 && max < min))
        return bad(p, "bad number of repetitions");
    bool lazy = take(p, "?") != ((p->flags & UNGREEDY) != 0);
    if (take_repeat(p, &(int32_t){0}, &(int32_t){0}))
        return bad(p, "repetition of a repetition");
    int32_t repeat = add_node(p, REPEAT, 0);
    if (repeat >= 0) {
        p->nodes[repeat].child = node;
        p->nodes[repeat].min = min;
        p->nodes[repeat].max = max;
        p->nodes[repeat].lazy = lazy;
    }
    return repeat;
}

static int32_t take_sequence(struct parser *p)
{
    int32_t list = add_node(p, CAT, 0), last = -1;
    while (list >= 0 && more(p) && (p->quoted || (!looking_at(p, "|") && !looking_at(p, ")")))) {
        int32_t node = take_repeated(p);
        if (node < 0)
            return node;
        *(last < 0 ? &p->nodes[list].child : &p->nodes[last].next) = node;
        last = node;
    }
    return list;
}

static int32_t take_alternatives(struct parser *p)
{
    int32_t list = add_node(p, ALT, 0), last = -1;
    while (list >= 0) {
        int32_t node = take_sequence(p);
        if (node < 0)
            return node;
        *(last < 0 ? &p->nodes[list].child : &p->nodes[last].next) = node;
        last = node;
        if (!take(p, "|"))
            break;
    }
    return list;
}

/* --- from tree to program ----------------------------------------------------------------------------------------------------------------- */

static int32_t emit(struct parser *p, enum pt_regex_op op, int32_t x, int32_t y)
{
    if (p->re.inst_count >= MOST_INSTS)
        return pt_op_fail(p->c, PT_ELIMIT, "pattern \"" PT_STR_FMT "\" needs more than %d states", PT_STR_ARG(p->pattern), MOST_INSTS);
    struct pt_regex_inst *insts = grow(p, p->re.insts, p->re.inst_count, &p->inst_room, sizeof *insts);
    if (!insts)
        return PT_ENOMEM;
    p->re.insts = insts;
    insts[p->re.inst_count] = (struct pt_regex_inst){op, x, y};
    return p->re.inst_count++;
}

static int write_node(struct parser *p, int32_t node);

/* child | next | ...: each alternative but the last begins with a split and ends with a jump behind all. */
static int write_alternatives(struct parser *p, int32_t node)
{
    int32_t jumps = -1, rc = PT_OK; /* the jumps to be patched, linked through x */
    for (; rc >= 0 && node >= 0; node = p->nodes[node].next) {
        bool last = p->nodes[node].next < 0;
        int32_t split = last ? 0 : emit(p, PT_RE_SPLIT, p->re.inst_count + 1, -1);
        if (split < 0 || (rc = write_node(p, node)) < 0)
            return split < 0 ? split : rc;
        if (last)
            break;
        if ((rc = emit(p, PT_RE_JUMP, jumps, 0)) < 0)
            return rc;
        jumps = rc;
        p->re.insts[split].y = p->re.inst_count;
    }
    for (int32_t next; jumps >= 0; jumps = next) {
        next = p->re.insts[jumps].x;
        p->re.insts[jumps].x = p->re.inst_count;
    }
    return PT_OK;
}

/* A split at `at`, complete: into the child behind it, or past it to the end of the program; the first is preferred unless it is lazy. */
static void aim(struct parser *p, int32_t at, bool lazy)
{
    int32_t child = at + 1, past = p->re.inst_count;
    p->re.insts[at].x = lazy ? past : child;
    p->re.insts[at].y = lazy ? child : past;
}

static int write_repeat(struct parser *p, const struct tree t)
{
    int32_t rc = PT_OK, first = -1;
    for (int32_t i = 0; rc >= 0 && i < t.min; i++)
        rc = write_node(p, t.child);
    if (rc < 0)
        return rc;
    if (t.max < 0) { /* split -> child -> back */
        int32_t split = emit(p, PT_RE_SPLIT, 0, 0);
        if (split < 0 || (rc = write_node(p, t.child)) < 0 || (rc = emit(p, PT_RE_JUMP, split, 0)) < 0)
            return split < 0 ? split : rc;
        aim(p, split, t.lazy);
        return PT_OK;
    }
    for (int32_t i = t.min; i < t.max; i++) { /* nested options, all ending in one place; linked through y until it is known */
        if ((rc = emit(p, PT_RE_SPLIT, 0, first)) < 0)
            return rc;
        first = rc;
        if ((rc = write_node(p, t.child)) < 0)
            return rc;
    }
    for (int32_t next; first >= 0; first = next) {
        next = p->re.insts[first].y;
        aim(p, first, t.lazy);
    }
    return PT_OK;
}

static int write_node(struct parser *p, int32_t node)
{
    const struct tree t = p->nodes[node];
    int rc = PT_OK;
    if (++p->written > 8 * MOST_INSTS) /* nothing, repeated often, writes nothing but takes its time */
        return pt_op_fail(p->c, PT_ELIMIT, "pattern \"" PT_STR_FMT "\" repeats too much", PT_STR_ARG(p->pattern));
    switch (t.kind) {
    case EMPTY:
        return PT_OK;
    case SET:
        return emit(p, PT_RE_SET, t.value, 0);
    case ASSERT:
        return emit(p, PT_RE_ASSERT, t.value, 0);
    case CAT:
        for (int32_t k = t.child; rc >= 0 && k >= 0; k = p->nodes[k].next)
            rc = write_node(p, k);
        return rc;
    case ALT:
        return write_alternatives(p, t.child);
    default:
        return write_repeat(p, t);
    }
}

static void *keep(struct pt_op_ctx *c, const void *from, int32_t count, size_t size)
{
    void *to = pt_op_alloc(c, (size_t)count * size);
    if (to && count)
        memcpy(to, from, (size_t)count * size);
    return to;
}

static int finish(struct parser *p, struct pt_regex *re)
{
    *re = p->re;
    re->insts = keep(p->c, p->re.insts, p->re.inst_count, sizeof *re->insts);
    re->sets = keep(p->c, p->re.sets, p->re.set_count, sizeof *re->sets);
    re->ranges = keep(p->c, p->re.ranges, p->re.range_count, sizeof *re->ranges);
    return re->insts && re->sets && re->ranges ? PT_OK : p->c->err->code;
}

int pt_regex_make(struct pt_op_ctx *c, struct pt_str pattern, struct pt_regex *re)
{
    struct parser p = {.c = c, .pattern = pattern};
    int32_t root = take_alternatives(&p), rc = root;
    if (root >= 0 && more(&p))
        rc = bad(&p, "unexpected )");
    if (rc >= 0 && (rc = write_node(&p, root)) >= 0 && (rc = emit(&p, PT_RE_MATCH, 0, 0)) >= 0)
        rc = finish(&p, re);
    pt_free(p.nodes);
    pt_free(p.re.insts);
    pt_free(p.re.sets);
    pt_free(p.re.ranges);
    return rc < 0 ? rc : PT_OK;
}
