/* SPDX-License-Identifier: Apache-2.0
 *
 * regex.h: regular expressions as RE2 has them, decided in time linear in text and pattern.
 *
 * A pattern becomes a nondeterministic automaton (Thompson 1968), which is run by following all of its states at once, so that no pattern makes
 * it slow. Understood: literals, ., classes with ranges, \d \w \s and POSIX names, groups (captured ones are groups like others), alternatives,
 * * + ? {n,m} and their lazy forms, ^ $ \A \z \b \B, \Q..\E, flags i m s U, code points \x{..}. Refused by name: \C and
 * \p{..}. Text and pattern are UTF-8; a bad byte of the text matches nothing.
 */
#ifndef PT_RUNTIME_OPS_REGEX_H
#define PT_RUNTIME_OPS_REGEX_H

#include "runtime/ops/types.h"

enum pt_regex_op { PT_RE_SET, PT_RE_SPLIT, PT_RE_JUMP, PT_RE_ASSERT, PT_RE_MATCH };

struct pt_regex_inst {
    enum pt_regex_op op;
    int32_t x, y; /* SET: which; SPLIT, JUMP: where to; ASSERT: x is enum pt_regex_assert */
};
enum pt_regex_assert { PT_RE_TEXT_BEGIN, PT_RE_TEXT_END, PT_RE_LINE_BEGIN, PT_RE_LINE_END, PT_RE_WORD, PT_RE_NOT_WORD };

struct pt_regex_range {
    uint32_t lo, hi;
};
struct pt_regex_set {
    int32_t first, count; /* ranges */
    bool negated, fold;   /* fold: whatever the case */
};

struct pt_regex {
    struct pt_regex_inst *insts;
    struct pt_regex_set *sets;
    struct pt_regex_range *ranges;
    int32_t inst_count, set_count, range_count;
};

/* For prepare: the program lives as long as the graph. */
int pt_regex_make(struct pt_op_ctx *c, struct pt_str pattern, struct pt_regex *re);

/* Bytes that the functions below need to work in. */
size_t pt_regex_work_bytes(const struct pt_regex *re);
/* Does the pattern match all of the text? */
bool pt_regex_full_match(const struct pt_regex *re, struct pt_str text, void *work);
/* The first match at or behind byte `from`, and of those the one that the pattern prefers, as Perl has it. */
bool pt_regex_find(const struct pt_regex *re, struct pt_str text, size_t from, void *work, size_t *begin, size_t *end);

#endif
