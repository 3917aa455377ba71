/* SPDX-License-Identifier: Apache-2.0
 *
 * match.h: patterns of nodes as text, so that a rewrite says what it looks for in one line:
 *
 *     "Mul(Mul(x,0.5),Add(Erf(Div(x,1.41421356)),1))"
 *
 *     Op(a,b)      the value is output 0 of that ai.onnx operator, with exactly these operands; Op(a,...): at least these
 *     x            any value; every x of a pattern is the same one
 *     #g           a constant
 *     0.5          a constant of one number near that
 *     d:Op(...)    the same as Op(...), and d names the value
 *
 * Names are single small letters. The operands of Add and Mul are tried both ways round. A value inside the pattern without a name must have no
 * other reader, since it is to disappear; one with a name may have any.
 */
#ifndef PT_RUNTIME_MATCH_H
#define PT_RUNTIME_MATCH_H

#include "runtime/compile/rewrite.h"

struct pt_match {
    int value[26]; /* by letter; -1: not in the pattern */
};
static inline int pt_matched(const struct pt_match *m, char name)
{
    return m->value[name - 'a'];
}
/* Does node stand at the root of the pattern? */
bool pt_match(const struct pt_rewriter *r, int node, const char *pattern, struct pt_match *m);
/* The first of count patterns that fits, or -1. */
int pt_match_any(const struct pt_rewriter *r, int node, const char *const *patterns, size_t count, struct pt_match *m);

#endif
