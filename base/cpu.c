/* SPDX-License-Identifier: Apache-2.0
 *
 * cpu.c: CPUID with what the operating system saves (XCR0), and how many CPUs we may use.
 */
#include "base/cpu.h"

#include "base/cgroup.h"
#include "base/str.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const isa_names[PT_ISA_COUNT] = {"ref", "avx2", "avx512"};

const char *pt_isa_text(enum pt_isa isa)
{
    return (unsigned)isa < PT_ISA_COUNT ? isa_names[isa] : "unknown";
}

int pt_isa_parse(const char *s)
{
    for (int i = 0; i < PT_ISA_COUNT; i++)
        if (strcmp(s, isa_names[i]) == 0)
            return i;
    return -1;
}

static char name[49] = "unknown";
static enum pt_isa isa;
static pthread_once_t once = PTHREAD_ONCE_INIT;

#if defined(__x86_64__)
#include <cpuid.h>

static enum pt_isa detect_isa(void)
{
    const unsigned fma = 1u << 12, osxsave = 1u << 27, avx = 1u << 28;                        /* leaf 1, ecx */
    const unsigned avx2 = 1u << 5, f = 1u << 16, dq = 1u << 17, bw = 1u << 30, vl = 1u << 31; /* leaf 7, ebx */
    unsigned a, b, c, d, b7, xcr0, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & (fma | osxsave | avx)) != (fma | osxsave | avx))
        return PT_ISA_REF;
    __asm__("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
    if ((xcr0 & 0x6) != 0x6 || !__get_cpuid_count(7, 0, &a, &b7, &c, &d) || !(b7 & avx2))
        return PT_ISA_REF;
    bool wide = (xcr0 & 0xe0) == 0xe0 && (b7 & (f | dq | bw | vl)) == (f | dq | bw | vl);
    return wide ? PT_ISA_AVX512 : PT_ISA_AVX2;
}

static void detect_name(void)
{
    unsigned text[12];
    for (unsigned i = 0; i < 3; i++)
        if (!__get_cpuid(0x80000002 + i, &text[4 * i], &text[4 * i + 1], &text[4 * i + 2], &text[4 * i + 3]))
            return;
    char raw[49] = {0};
    memcpy(raw, text, sizeof text);
    struct pt_str s = pt_str_trim(pt_str(raw));
    if (s.len) {
        memcpy(name, s.p, s.len);
        name[s.len] = '\0';
    }
}
#else
static enum pt_isa detect_isa(void)
{
    return PT_ISA_REF;
}
static void detect_name(void) {}
#endif

static void detect(void)
{
    const char *wanted = getenv("PINTLE_ISA");
    int lowered = wanted ? pt_isa_parse(wanted) : -1;
    isa = detect_isa();
    if (lowered >= 0 && lowered < (int)isa)
        isa = (enum pt_isa)lowered;
    detect_name();
}

enum pt_isa pt_cpu_isa(void)
{
    pthread_once(&once, detect);
    return isa;
}

const char *pt_cpu_name(void)
{
    pthread_once(&once, detect);
    return name;
}

static int affinity_count(void)
{
    cpu_set_t set[8]; /* 8192 CPUs, what Linux can be built for */
    if (sched_getaffinity(0, sizeof set, set) < 0)
        return INT_MAX;
    int n = CPU_COUNT_S(sizeof set, set);
    return n > 0 ? n : INT_MAX;
}

int pt_cpu_limit(const char *root_dir)
{
    int cpus = affinity_count(), quota = pt_cgroup_cpu_limit(root_dir);
    if (quota < cpus)
        cpus = quota;
    if (cpus == INT_MAX) {
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        cpus = online > 0 && online < INT_MAX ? (int)online : 1;
    }
    return cpus;
}
