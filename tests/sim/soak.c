/* SPDX-License-Identifier: Apache-2.0
 *
 * soak.c: runs schedules from seeds. soak --seeds N [--start S] [--verbose]; soak --seed S prints the whole timeline of one.
 *
 * Without --start the seeds are fresh (from the clock), and the first one is printed, so that any run can be repeated.
 */
#include "base/log.h"
#include "base/metrics.h"
#include "base/sched.h"
#include "tests/sim/world.h"

#include <stdio.h>
#include <stdlib.h>

/* Seeds that found a bug, and what it was. They run first. */
static const struct {
    uint64_t seed;
    const char *bug;
} known[] = {
    {30, "a pod made under an owner that is being deleted in the foreground stays, and the owner with it"},
    {32, "a pod was created into the place of one whose removal had failed"},
    {55, "a deletion whose answer was lost was never repeated"},
    {321, "Ready was said while a deletion was not confirmed"},
    {1234, "a create that arrived after its caller gave up, and after the spec had changed, was one pod too many"},
    {102391, "a gate patch that arrived late put a pod back into service that was being drained"},
    {11586, "a watch from version 0 began at now and missed a deletion"},
};

static int usage(void)
{
    fprintf(stderr, "usage: soak --seeds N [--start S] | --seed S\n");
    return 2;
}

static bool number(const char *text, int64_t max, int64_t *out)
{
    struct pt_err err;
    if (text && pt_parse_i64(pt_str(text), 0, max, "argument", out, &err) == PT_OK)
        return true;
    fprintf(stderr, "soak: %s: not a number\n", text ? text : "(missing)");
    return false;
}

int main(int argc, char **argv)
{
    int64_t seeds = 0, start = -1, broken = 0;
    uint64_t writes = 0;
    bool verbose = false;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(argv[i], "--seeds") && number(value, INT32_MAX, &seeds))
            i++;
        else if (!strcmp(argv[i], "--start") && number(value, INT64_MAX / 4, &start))
            i++;
        else if (!strcmp(argv[i], "--seed") && number(value, INT64_MAX / 4, &start))
            i++, seeds = 1, verbose = true;
        else
            return usage();
    }
    if (seeds == 0)
        return usage();
    if (start < 0)
        start = pt_clock_wall_ms() * 1000;
    pt_log_setup("soak", PT_LOG_OFF, PT_LOG_TEXT);
    for (size_t i = 0; !verbose && i < sizeof known / sizeof *known; i++) {
        struct world w;
        if (!world_run(&w, known[i].seed, true)) {
            fwrite(w.timeline.data, 1, w.timeline.len, stdout);
            printf("known seed %llu (%s): %s\n", (unsigned long long)known[i].seed, known[i].bug, w.why);
            broken++;
        }
        world_finish(&w);
    }
    printf("%lld schedules from seed %lld\n", (long long)seeds, (long long)start);
    fflush(stdout);
    int64_t rss;
    double before, cpu;
    pt_process_usage(&rss, &before);
    for (int64_t seed = start; seed < start + seeds; seed++) {
        struct world w;
        bool good = world_run(&w, (uint64_t)seed, verbose);
        if (!good || verbose)
            fwrite(w.timeline.data, 1, w.timeline.len, stdout);
        if (!good) {
            printf("seed %lld: %s\n", (long long)seed, w.why);
            fflush(stdout);
            broken++;
        }
        writes += w.api ? pt_memapi_writes(w.api) : 0;
        world_finish(&w);
        if (broken >= 3)
            break;
    }
    pt_process_usage(&rss, &cpu);
    cpu -= before;
    printf("%.1f s of CPU (%.0f schedules per second), %llu writes, %lld broken\n", cpu, (double)seeds / cpu, (unsigned long long)writes, (long long)broken);
    return broken > 0;
}
