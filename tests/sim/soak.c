/* SPDX-License-Identifier: Apache-2.0
 *
 * soak.c: runs schedules from seeds. soak --seeds N [--start S]; soak --seed S prints the whole timeline of one; soak --scenarios [NAME] [--share N]
 * runs those with names, or every Nth schedule of them. --uses prints at last what operators have asked of the API, --digests one number for all that was
 * asked and what was there in the end, of each seed and each scenario: a change that should change nothing leaves them as they are.
 *
 * Without --start the seeds are fresh (from the clock), and the first one is printed, so that any run can be repeated. A schedule that breaks an
 * invariant is run again and again with one action or one kind of fault less, as long as it still breaks; what is left is printed. With SIM_LOG=1 in
 * the environment the operator's own log goes to standard error.
 */
#include "base/log.h"
#include "base/metrics.h"
#include "base/sched.h"
#include "tests/sim/scenarios.h"

#include <stdio.h>
#include <stdlib.h>

/* Seeds that found a bug since the story of a seed changed last, and what it was; what was found before is in scenarios.c: T10, T15, T16. They run first. */
static const struct {
    uint64_t seed;
    const char *bug;
} known[] = {
    {1795690100515879, "nobody led for a minute, and a user's annotation made an old status look new: a fault of the check"},
    {201816, "an adoption that arrived after its owner was gone was collected by nobody"},
    {201350, "the same of a Service: the name stayed taken"},
    {100070575, "a removal that its operator had died over arrived late, after an undo: the next operator had taken out another pod"},
    {100074815, "a revision that was refused and was no longer wanted then stayed in the condition Stalled"},
    {100206903, "a create that was given up had arrived, and the watch lagged by more than was waited for: a pod too many, and Ready"},
    {100031376, "the owner was gone, the watch did not say so yet, and a Service was made and collected again and again without end"},
    {100548388, "nobody had told anything for 50 s, and one calm second took a pod away"},
    {100770743, "the same after 7 s"},
    {5000858, "replicas asked for on top of a version that a user had just changed, which the server refuses: a fault of the check"},
};

static int usage(void)
{
    fprintf(stderr, "usage: soak --seeds N [--start S] | --seed S | --scenarios [NAME] [--share N] [--uses] [--digests]\n");
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

static bool breaks(const struct sim_run *run)
{
    struct world w;
    bool good = world_run(&w, run);
    world_finish(&w);
    return !good;
}

/* Leaves out what is not needed to break it. */
static void shrink(struct sim_run *run)
{
    for (int i = 0; i < 7; i++) {
        run->omit.faults[i] = true;
        run->omit.faults[i] = breaks(run);
    }
    for (int i = 31; i > 0; i--) {
        run->omit.actions |= 1u << i;
        if (!breaks(run))
            run->omit.actions &= ~(1u << i);
    }
}

static void tell(struct sim_run run)
{
    static const char *const names[] = {"errors", "losses", "delays", "cuts", "lags", "crashes", "elections"};
    struct world w;
    shrink(&run);
    run.logging = true;
    (void)world_run(&w, &run);
    fwrite(w.timeline.data, 1, w.timeline.len, stdout);
    printf("seed %llu: %s\n    it takes:", (unsigned long long)run.seed, w.why);
    for (int i = 0; i < 7; i++)
        if (!run.omit.faults[i])
            printf(" %s", names[i]);
    printf("; the timeline is without the actions that it does not take\n");
    fflush(stdout);
    world_finish(&w);
}

static int64_t run_known(void)
{
    int64_t broken = 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct sim_run run = {.seed = known[i].seed};
        if (!breaks(&run))
            continue;
        printf("known seed (%s):\n", known[i].bug);
        tell(run);
        broken++;
    }
    return broken;
}

static int64_t run_seeds(int64_t start, int64_t seeds, bool digests)
{
    int64_t broken = 0, rss, seed = start;
    uint64_t writes = 0;
    double before, cpu;
    printf("%lld schedules from seed %lld\n", (long long)seeds, (long long)start);
    fflush(stdout);
    pt_process_usage(&rss, &before);
    for (; seed < start + seeds && broken < 3; seed++) {
        struct world w;
        struct sim_run run = {.seed = (uint64_t)seed, .digest = digests};
        bool good = world_run(&w, &run);
        if (digests)
            printf("%lld %016llx\n", (long long)seed, (unsigned long long)w.digest);
        writes += w.api ? pt_memapi_writes(w.api) : 0;
        world_finish(&w);
        if ((seed - start + 1) % 10000 == 0) {
            printf("%lld done, %lld broken\n", (long long)(seed - start + 1), (long long)broken + !good);
            fflush(stdout);
        }
        if (good)
            continue;
        tell(run);
        broken++;
    }
    pt_process_usage(&rss, &cpu);
    cpu -= before;
    printf("%.1f s of CPU (%.0f schedules per second), %llu writes, %lld broken\n", cpu, (double)(seed - start) / cpu, (unsigned long long)writes, (long long)broken);
    return broken;
}

static int run_one(int64_t seed)
{
    struct world w;
    bool good = world_run(&w, &(struct sim_run){.seed = (uint64_t)seed, .logging = true});
    fwrite(w.timeline.data, 1, w.timeline.len, stdout);
    printf("seed %lld: %s\n", (long long)seed, good ? "good" : w.why);
    world_finish(&w);
    return !good;
}

int main(int argc, char **argv)
{
    int64_t seeds = 0, start = -1, one = -1, share = 1;
    bool scenarios = false, uses = false, digests = false;
    const char *which = NULL;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(argv[i], "--scenarios")) {
            scenarios = true;
            which = value && *value != '-' ? argv[++i] : NULL;
        } else if (!strcmp(argv[i], "--seeds") && number(value, INT32_MAX, &seeds))
            i++;
        else if (!strcmp(argv[i], "--start") && number(value, INT64_MAX / 4, &start))
            i++;
        else if (!strcmp(argv[i], "--share") && number(value, 1000, &share) && share > 0)
            i++;
        else if (!strcmp(argv[i], "--seed") && number(value, INT64_MAX / 4, &one))
            i++;
        else if (!strcmp(argv[i], "--uses"))
            uses = true;
        else if (!strcmp(argv[i], "--digests"))
            digests = true;
        else
            return usage();
    }
    if (!seeds && one < 0 && !scenarios)
        return usage();
    pt_log_setup("soak", getenv("SIM_LOG") ? PT_LOG_DEBUG : PT_LOG_OFF, PT_LOG_TEXT);
    if (one >= 0)
        return run_one(one);
    int failed = 0;
    if (scenarios) {
        int count, runs;
        failed = sim_scenarios(which, (int)share, digests, &count, &runs);
        printf("%d scenarios in %d schedules, %d broken\n", count, runs, failed);
    }
    int64_t broken = !seeds ? 0 : run_known() + run_seeds(start >= 0 ? start : pt_clock_wall_ms() * 1000, seeds, digests);
    if (uses)
        world_print_uses(stdout);
    return broken + failed > 0;
}
