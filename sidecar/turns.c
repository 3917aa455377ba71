/* SPDX-License-Identifier: Apache-2.0
 *
 * turns.c: see turns.h. sched_setattr(2) has no wrapper in the C library of Debian 12.
 */
#include "sidecar/turns.h"

#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TURN_NS = 200000, RESET_ON_FORK = 1 };

struct attributes { /* the first version of the kernel's struct sched_attr */
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

void pt_ask_short_turns(void)
{
    struct attributes a = {.size = sizeof a};
    if (syscall(SYS_sched_getattr, 0, &a, sizeof a, 0) != 0 || a.policy != SCHED_OTHER)
        return; /* whoever started us knows better */
    a.flags = RESET_ON_FORK;
    a.runtime = TURN_NS;
    (void)syscall(SYS_sched_setattr, 0, &a, 0);
}
