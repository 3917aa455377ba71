/* SPDX-License-Identifier: Apache-2.0
 *
 * norm.h: conditions that the rewrites of normalisations share.
 */
#ifndef PT_RUNTIME_NORM_H
#define PT_RUNTIME_NORM_H

#include "runtime/compile/rewrite.h"

/* Is value the output of a ReduceMean over its operand's last axis, kept as one? */
bool pt_norm_is_last_axis(const struct pt_rewriter *r, int mean);
/* One constant for each element of x's last axis. */
bool pt_norm_is_row(const struct pt_rewriter *r, int value, int x);
bool pt_norm_epsilon(const struct pt_rewriter *r, int value, float *epsilon);

#endif
