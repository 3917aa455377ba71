/* SPDX-License-Identifier: Apache-2.0
 *
 * cgroup.h: what the control group of this process may use, and has used; v2 and v1. root is "" outside tests. Any thread.
 */
#ifndef PT_BASE_CGROUP_H
#define PT_BASE_CGROUP_H

#include <stdint.h>

/* CPUs: the least ceil(quota / period) from our group up; INT_MAX without a limit. */
int pt_cgroup_cpu_limit(const char *root);

/* 0 where it is not known. */
struct pt_cgroup_usage {
    int64_t periods, throttled_periods; /* of the CPU quota */
    double throttled_seconds;
    int64_t memory_bytes, memory_limit_bytes; /* limit 0: none */
};
void pt_cgroup_usage(const char *root, struct pt_cgroup_usage *u);

#endif
