/* SPDX-License-Identifier: Apache-2.0
 *
 * cgroup.c: /proc/self/cgroup says which group of which hierarchy we are in; its files say what it may use and has used. In a container that path may
 * be the host's, and only the root of the hierarchy, which is the container's own group, is there to read: so lookups walk up.
 */
#include "base/cgroup.h"

#include "base/str.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const v1_cpu_dirs[] = {"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/cpuacct,cpu"};
enum { V1_CPU_DIRS = sizeof v1_cpu_dirs / sizeof v1_cpu_dirs[0] };

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
               read_small(root, dir, group, "/cpu.cfs_period_us", period, sizeof period) && parse_us(pt_str(quota), &q) &&
               parse_us(pt_str(period), &p);
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

int pt_cgroup_cpu_limit(const char *root)
{
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
            for (size_t i = 0; i < V1_CPU_DIRS; i++) {
                int n = walk_up(root, v1_cpu_dirs[i], line, quota_v1);
                least = n < least ? n : least;
            }
        }
    }
    return least;
}

/* --- usage ------------------------------------------------------------------------------------------------------------------- */

/* From group up to the root: the first that has this file. */
static bool read_nearest(const char *root, const char *dir, struct pt_str group, const char *file, char *text, size_t size)
{
    for (;;) {
        while (group.len && group.p[group.len - 1] == '/')
            group.len--;
        if (read_small(root, dir, group, file, text, size))
            return true;
        if (group.len == 0)
            return false;
        while (group.len && group.p[group.len - 1] != '/')
            group.len--;
    }
}

/* A file that is one number; "max" is none. */
static int64_t number_of(const char *text)
{
    int64_t v;
    return pt_parse_i64(pt_str_trim(pt_str(text)), 0, INT64_MAX, "", &v, NULL) == PT_OK ? v : 0;
}

/* "nr_throttled 12\n" among lines of the like. */
static int64_t stat_of(const char *text, const char *key)
{
    struct pt_str rest = pt_str(text), line, name;
    int64_t v;
    while (pt_str_split(&rest, '\n', &line))
        if (pt_str_split(&line, ' ', &name) && pt_str_eq(name, pt_str(key)) && pt_parse_i64(pt_str_trim(line), 0, INT64_MAX, "", &v, NULL) == PT_OK)
            return v;
    return 0;
}

static void cpu_usage(const char *root, const char *dir, struct pt_str group, bool v2, struct pt_cgroup_usage *u)
{
    char text[4096];
    if (!read_nearest(root, dir, group, "/cpu.stat", text, sizeof text))
        return;
    u->periods = stat_of(text, "nr_periods");
    u->throttled_periods = stat_of(text, "nr_throttled");
    u->throttled_seconds = v2 ? (double)stat_of(text, "throttled_usec") / 1e6 : (double)stat_of(text, "throttled_time") / 1e9;
}

/* Without a limit v1 says a number near 2^63, rounded to pages. */
static void memory_usage(const char *root, const char *dir, struct pt_str group, bool v2, struct pt_cgroup_usage *u)
{
    char text[64];
    if (read_nearest(root, dir, group, v2 ? "/memory.current" : "/memory.usage_in_bytes", text, sizeof text))
        u->memory_bytes = number_of(text);
    if (read_nearest(root, dir, group, v2 ? "/memory.max" : "/memory.limit_in_bytes", text, sizeof text))
        u->memory_limit_bytes = number_of(text) < INT64_MAX / 2 ? number_of(text) : 0;
}

void pt_cgroup_usage(const char *root, struct pt_cgroup_usage *u)
{
    char text[16384];
    *u = (struct pt_cgroup_usage){0};
    if (!read_small(root, "/proc/self", (struct pt_str){0}, "/cgroup", text, sizeof text))
        return;
    struct pt_str rest = pt_str(text), line, id, controllers;
    while (pt_str_split(&rest, '\n', &line)) {
        if (!pt_str_split(&line, ':', &id) || !pt_str_split(&line, ':', &controllers) || !line.p)
            continue;
        if (controllers.len == 0) {
            cpu_usage(root, "/sys/fs/cgroup", line, true, u);
            memory_usage(root, "/sys/fs/cgroup", line, true, u);
        }
        for (size_t i = 0; i < V1_CPU_DIRS && has_controller(controllers, PT_STR("cpu")); i++)
            cpu_usage(root, v1_cpu_dirs[i], line, false, u);
        if (has_controller(controllers, PT_STR("memory")))
            memory_usage(root, "/sys/fs/cgroup/memory", line, false, u);
    }
}
