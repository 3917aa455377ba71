/* SPDX-License-Identifier: Apache-2.0
 *
 * types.h: what is inferred of a model's values before any run, held against what a run has.
 */
#ifndef PT_TESTS_TYPES_H
#define PT_TESTS_TYPES_H

#include "runtime/compile/rewrite.h"
#include "runtime/exec/session.h"

/* The types of the values of an open session's graph; r is finished in any case. */
int types_infer(struct pt_rewriter *r, struct pt_session *s, struct pt_err *err);
void types_finish(struct pt_rewriter *r);
/* Does the value that a run has for `value` fit? Only what is said to hold for all inputs counts. PT_EINTERNAL says what does not. */
int types_check(const struct pt_rewriter *r, int value, const struct pt_tensor *t, struct pt_err *err);

#endif
