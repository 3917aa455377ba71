/* SPDX-License-Identifier: Apache-2.0
 *
 * profile.h: telling the caller of an execution about each step, when it asked for that.
 */
#ifndef PT_RUNTIME_PROFILE_H
#define PT_RUNTIME_PROFILE_H

#include "runtime/exec/frame.h"

int64_t pt_profile_now_ns(void);
static inline int64_t pt_profile_start(const struct pt_exec *x)
{
    return x->options.profile ? pt_profile_now_ns() : 0;
}
void pt_profile_event(const struct pt_exec *x, const struct pt_op_ctx *c, int64_t start_ns);
static inline void pt_profile_end(const struct pt_exec *x, const struct pt_op_ctx *c, int64_t start_ns)
{
    if (x->options.profile)
        pt_profile_event(x, c, start_ns);
}

#endif
