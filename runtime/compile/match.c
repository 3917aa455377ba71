/* SPDX-License-Identifier: Apache-2.0
 *
 * match.c: a pattern is read while it is matched; nothing is compiled or allocated. Which way round the operands of Add and Mul are tried is
 * one bit each of a mask; all masks that differ in what was come to are tried, so that an early choice which fits by chance never hides a match.
 */
#include "runtime/compile/match.h"

#include <stdlib.h>
#include <string.h>

#define MAX_CHOICES 10

struct walk {
    const struct pt_rewriter *r;
    struct pt_match *m;
    unsigned mask;
    int choice;
};

static bool match_value(struct walk *w, const char **p, int value, bool root);

static bool commutes(const struct pt_node *n)
{
    return n->input_count == 2 && (strcmp(n->op->type, "Add") == 0 || strcmp(n->op->type, "Mul") == 0);
}

static bool match_operands(struct walk *w, const char **p, const struct pt_node *n)
{
    bool swap = commutes(n) && (w->mask >> w->choice++ & 1);
    for (int i = 0;; ++*p) {
        if (strncmp(*p, "...)", 4) == 0) {
            *p += 4;
            return true;
        }
        if (i >= n->input_count || !match_value(w, p, n->inputs[swap ? 1 - i : i], false))
            return false;
        i++;
        if (**p == ')')
            return ++*p, i == n->input_count;
    }
}

/* Before opset 7, arithmetic broadcast by an attribute. */
static bool is_op(const struct pt_node *n, const char *name, size_t len)
{
    return n && n->op && (!n->op->domain || !*n->op->domain) && n->version >= 7 && strlen(n->op->type) == len && memcmp(n->op->type, name, len) == 0;
}

static bool bind(struct walk *w, char name, int value)
{
    int *at = &w->m->value[name - 'a'];
    if (*at < 0)
        *at = value;
    return *at == value;
}

static bool match_op(struct walk *w, const char **p, int value, bool root, char name)
{
    size_t len = strcspn(*p, "(");
    const struct pt_node *n = pt_producer(w->r, value);
    if (!is_op(n, *p, len) || n->outputs[0] != value || (!root && !name && w->r->uses[value] != 1))
        return false;
    if (name && !bind(w, name, value))
        return false;
    *p += len + 1;
    return match_operands(w, p, n);
}

static bool match_value(struct walk *w, const char **p, int value, bool root)
{
    const char *s = *p;
    char name = 0;
    if (value < 0)
        return false;
    if (*s == '#') {
        *p = s + 2;
        return pt_constant(w->r, value) && bind(w, s[1], value);
    }
    if (*s >= 'a' && *s <= 'z' && s[1] == ':') {
        name = *s;
        *p = s + 2;
    } else if (*s >= 'a' && *s <= 'z') {
        *p = s + 1;
        return bind(w, *s, value);
    }
    if (**p >= 'A' && **p <= 'Z')
        return match_op(w, p, value, root, name);
    char *end;
    double number = strtod(s, &end);
    *p = end;
    return pt_constant_is(w->r, value, number);
}

/* The next way to make the first `made` choices, in which whatever was not come to does not count. False: there is none. */
static bool next_mask(unsigned *mask, int made)
{
    for (int i = (made < MAX_CHOICES ? made : MAX_CHOICES) - 1; i >= 0; i--) {
        if (!(*mask >> i & 1)) {
            *mask |= 1u << i;
            return true;
        }
        *mask &= ~(1u << i);
    }
    return false;
}

bool pt_match(const struct pt_rewriter *r, int node, const char *pattern, struct pt_match *m)
{
    const struct pt_node *n = &r->g->nodes[node];
    const char *op = pattern[1] == ':' ? pattern + 2 : pattern;
    if (!is_op(n, op, strcspn(op, "(")))
        return false;
    struct walk w = {.r = r, .m = m};
    do {
        const char *p = pattern;
        w.choice = 0;
        memset(m->value, -1, sizeof m->value);
        if (match_value(&w, &p, n->outputs[0], true))
            return true;
    } while (next_mask(&w.mask, w.choice));
    return false;
}

int pt_match_any(const struct pt_rewriter *r, int node, const char *const *patterns, size_t count, struct pt_match *m)
{
    for (size_t i = 0; i < count; i++)
        if (pt_match(r, node, patterns[i], m))
            return (int)i;
    return -1;
}
