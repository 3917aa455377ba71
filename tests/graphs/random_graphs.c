/* SPDX-License-Identifier: Apache-2.0
 *
 * random_graphs.c: models made from seeds run optimised and on the reference operators alone; both must give the same.
 *
 *     random_graphs --seeds N [--start S]     without --start fresh seeds; the first one is printed
 *     random_graphs --seed S                  one, with its model as text
 *     random_graphs --failing ...             instead: every allocation of opening and running each fails in turn
 *     random_graphs --hostile ...             instead: extreme attributes and constants; nothing may break
 */
#include "tests/graphs/compare.h"

#include <time.h>

static bool failing; /* allocations, one at a time */
static bool hostile; /* extreme attributes and constants; what differs is no mistake then, only what breaks */

static int64_t forgiven;

static bool run_seed(uint64_t seed, bool verbose)
{
    struct choices c = {0};
    struct pt_err err = {0};
    pt_rand_init(&c.rand, seed);
    int nodes = 4 + (int)(seed % 14), rc = failing ? fail_graph(&c, nodes, &err) : compare_graph(&c, nodes, hostile, verbose, &err);
    if (rc < 0 && !hostile)
        printf("seed %llu: %s\n", (unsigned long long)seed, err.msg);
    forgiven += rc > 0;
    return rc >= 0 || hostile;
}

static bool number(const char *text, int64_t *v)
{
    char *end;
    *v = strtoll(text, &end, 10);
    return end != text && !*end && *v >= 0;
}

int main(int argc, char **argv)
{
    int64_t seeds = 0, start = -1, broken = 0;
    bool verbose = false;
    failing = argc > 1 && strcmp(argv[1], "--failing") == 0;
    hostile = argc > 1 && strcmp(argv[1], "--hostile") == 0;
    if (failing || hostile) {
        argc--;
        argv++;
    }
    for (int i = 1; i + 1 < argc; i += 2) {
        bool one = strcmp(argv[i], "--seed") == 0, ok = number(argv[i + 1], one || strcmp(argv[i], "--start") == 0 ? &start : &seeds);
        if (!ok || (!one && strcmp(argv[i], "--start") && strcmp(argv[i], "--seeds")))
            seeds = -1;
        if (one)
            seeds = 1, verbose = true;
    }
    if (argc < 3 || argc % 2 == 0 || seeds <= 0) {
        fprintf(stderr, "usage: random_graphs [--failing|--hostile] --seeds N [--start S] | --seed S\n");
        return 2;
    }
    if (start < 0)
        start = (int64_t)time(NULL) * 1000;
    printf("%lld graphs from seed %lld\n", (long long)seeds, (long long)start);
    for (int64_t seed = start; seed < start + seeds; seed++)
        broken += !run_seed((uint64_t)seed, verbose);
    printf("%lld broken, %lld the same but for rounding that the model magnifies\n", (long long)broken, (long long)forgiven);
    return broken ? 1 : 0;
}
