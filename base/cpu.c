/* SPDX-License-Identifier: Apache-2.0
 *
 * cpu.c: CPUID with what the operating system saves (XCR0), and the CPU limit of our cgroup.
 */
#include "base/cpu.h"

#include "base/str.h"

#include <fcntl.h>
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
    const unsigned fma = 1u << 12, osxsave = 1u << 27, avx = 1u << 28;                       /* leaf 1, ecx */
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
static enum pt_isa detect_isa(void) { return PT_ISA_REF; }
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

/* The small file root/a/b/c in text, terminated; false when it cannot be read. */
static bool read_small(const char *root, const char *dir, struct pt_str group, const char *file, char *text, size_t size)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s%s" PT_STR_FMT "%s", root, dir, PT_STR_ARG(group), file);
    int fd = n < 0 || (size_t)n >= sizeof path ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, text, size - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    return got > 0;
}

static bool parse_us(struct pt_str s, int64_t *v)
{
    return pt_parse_i64(pt_str_trim(s), 1, INT64_MAX / 2, "", v, NULL) == PT_OK;
}

static int cpus_of(int64_t quota, int64_t period)
{
    int64_t n = (quota - 1) / period + 1;
    return n < INT_MAX ? (int)n : INT_MAX;
}

/* cgroup v2: cpu.max is "max 100000" or "150000 100000". */
static int quota_v2(const char *root, const char *dir, struct pt_str group)
{
    char text[64];
    struct pt_str rest, quota;
    int64_t q, p;
    if (!read_small(root, dir, group, "/cpu.max", text, sizeof text))
        return INT_MAX;
    rest = pt_str(text);
    return pt_str_split(&rest, ' ', &quota) && parse_us(quota, &q) && parse_us(rest, &p) ? cpus_of(q, p) : INT_MAX;
}

/* cgroup v1: the quota is -1 when there is none. */
static int quota_v1(const char *root, const char *dir, struct pt_str group)
{
    char quota[64], period[64];
    int64_t q, p;
    bool set = read_small(root, dir, group, "/cpu.cfs_quota_us", quota, sizeof quota) &&
               read_small(root, dir, group, "/cpu.cfs_period_us", period, sizeof period) && parse_us(pt_str(quota), &q) && parse_us(pt_str(period), &p);
    return set ? cpus_of(q, p) : INT_MAX;
}

/* The least quota from group up to the root of the hierarchy. In a container the path may be the host's and only the root is there. */
static int walk_up(const char *root, const char *dir, struct pt_str group, int (*quota)(const char *, const char *, struct pt_str))
{
    int least = INT_MAX;
    for (;;) {
        while (group.len && group.p[group.len - 1] == '/')
            group.len--;
        int n = quota(root, dir, group);
        least = n < least ? n : least;
        if (group.len == 0)
            return least;
        while (group.len && group.p[group.len - 1] != '/')
            group.len--;
    }
}

static bool has_controller(struct pt_str list, struct pt_str wanted)
{
    struct pt_str one;
    while (pt_str_split(&list, ',', &one))
        if (pt_str_eq(one, wanted))
            return true;
    return false;
}

static int cgroup_limit(const char *root)
{
    static const char *const v1_dirs[] = {"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/cpuacct,cpu"};
    char text[16384];
    int least = INT_MAX;
    if (!read_small(root, "/proc/self", (struct pt_str){0}, "/cgroup", text, sizeof text))
        return least;
    struct pt_str rest = pt_str(text), line, id, controllers;
    while (pt_str_split(&rest, '\n', &line)) { /* "0::/path" for v2, "4:cpu,cpuacct:/path" for v1 */
        if (!pt_str_split(&line, ':', &id) || !pt_str_split(&line, ':', &controllers) || !line.p)
            continue;
        if (controllers.len == 0) {
            int n = walk_up(root, "/sys/fs/cgroup", line, quota_v2);
            least = n < least ? n : least;
        } else if (has_controller(controllers, PT_STR("cpu"))) {
            for (size_t i = 0; i < sizeof v1_dirs / sizeof *v1_dirs; i++) {
                int n = walk_up(root, v1_dirs[i], line, quota_v1);
                least = n < least ? n : least;
            }
        }
    }
    return least;
}

int pt_cpu_limit(const char *root_dir)
{
    int cpus = affinity_count(), quota = cgroup_limit(root_dir);
    if (quota < cpus)
        cpus = quota;
    if (cpus == INT_MAX) {
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        cpus = online > 0 && online < INT_MAX ? (int)online : 1;
    }
    return cpus;
}
