/* SPDX-License-Identifier: Apache-2.0
 *
 * cpu.h: what the processor can do and how much of it we may use.
 */
#ifndef PT_BASE_CPU_H
#define PT_BASE_CPU_H

#include <stdbool.h>

enum pt_isa { PT_ISA_REF, PT_ISA_AVX2, PT_ISA_AVX512, PT_ISA_COUNT };

/* Best level of this CPU and operating system (CPUID and XCR0), lowered by PINTLE_ISA=ref|avx2|avx512. AVX2 implies FMA;
 * AVX512 means F+BW+DQ+VL. Decided once. */
enum pt_isa pt_cpu_isa(void);
const char *pt_isa_text(enum pt_isa isa);
/* Parses "ref", "avx2", "avx512"; -1 otherwise. */
int pt_isa_parse(const char *s);
/* "AMD EPYC ..." from CPUID. */
const char *pt_cpu_name(void);
/* CPUs this process may use: min(affinity, ceil(cgroup quota / period)), cgroup v2 cpu.max or v1 cfs quota, walking up the
 * hierarchy; at least 1. root_dir is "" outside tests. */
int pt_cpu_limit(const char *root_dir);

#endif
