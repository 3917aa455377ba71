/* SPDX-License-Identifier: Apache-2.0
 *
 * profile.c: events of steps, and the clock that deadlines are measured by.
 */
#include "runtime/exec/profile.h"

#include <time.h>

int64_t pt_profile_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct pt_string text_of(struct pt_str s)
{
    return (struct pt_string){s.p ? s.p : "", s.len};
}

void pt_profile_event(const struct pt_exec *x, const struct pt_op_ctx *c, int64_t start_ns)
{
    const struct pt_node *n = c->node;
    struct pt_profile_event e = {.name = n ? text_of(n->name) : (struct pt_string){"", 0},
                                 .op_type = text_of(n ? n->op_type : PT_STR("Reorder")),
                                 .domain = n ? text_of(n->domain) : (struct pt_string){"", 0},
                                 .start_ns = start_ns,
                                 .end_ns = pt_profile_now_ns(),
                                 .inputs = c->in,
                                 .outputs = (const struct pt_tensor *const *)c->out,
                                 .input_count = (size_t)c->in_count,
                                 .output_count = (size_t)c->out_count,
                                 .depth = x->depth - 1};
    x->options.profile(x->options.profile_arg, &e);
}

int pt_exec_check(const struct pt_exec *x, struct pt_err *err)
{
    if (atomic_load_explicit(&x->cancelled, memory_order_relaxed))
        return pt_fail(err, PT_ECANCELED, "the run was cancelled");
    if (x->deadline_ns && pt_profile_now_ns() > x->deadline_ns)
        return pt_fail(err, PT_ETIMEDOUT, "the run took longer than its deadline of %llu ms", (unsigned long long)x->options.deadline_ms);
    return PT_OK;
}
