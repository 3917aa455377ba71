/* SPDX-License-Identifier: Apache-2.0
 *
 * scenarios.c: see scenarios.h. One row each. A scenario is run with several seeds (other times of nodes and faults, the same story), or once for
 * each place where a thing can happen: the operator dies at its kth write, before or after it. The invariants and the end of check.c hold in all.
 *
 * Of the fault model's numbers these have more tests elsewhere: T8 (lines cut anywhere), T10 (Retry-After) and T14 (credentials): tests/unit/operator/kube;
 * T24 (every field of the schema): tests/cluster/crd-cases and test_spec.
 */
#include "tests/sim/scenarios.h"

#include <stdio.h>

#define BASE "create a 3 1; wait 60; model a 2; wait 4; scale a 4; wait 60; bad a 3; wait 30; model a 1; wait 60; rolling a 0 1; model a 2; wait 60; scale a 1; wait 40; "

#define AUTOSCALE "create a 2; autoscale a 0 6; load a 16; wait 90; load a 5; wait 90; autoscale a 1 7; load a 20; wait 60; killpod; wait 5; crashpod; wait 60; load a 2; wait 100; "

enum how { SEEDS, EACH_WRITE, CHANCE };

static const struct scenario {
    const char *name;
    enum how how;
    int count; /* of seeds; writes to die at */
    struct script script;
} scenarios[] = {
    {"T1 the operator dies at each write", EACH_WRITE, 90, {{.error = 0}, BASE "delete a; wait 30; create a 2 1; wait 60; "}},
    {"T2 dies between a revision and its pods, a pod and the status", EACH_WRITE, 8, {{.error = 0.1}, "create a 2 1; wait 90; model a 2; wait 90; "}},
    {"T2 dies, and what it asked for last arrives late", SEEDS, 30,
     {{.late = 0.25}, "create a 3 1; rolling a 0 1; wait 90; model a 2; wait 9; crash; model a 1; wait 120; model a 2; wait 14; crash; model a 1; wait 120; model a 3; wait 20; crash; model a 1; wait 120; model a 2; wait 30; crash; model a 1; wait 120; "}},
    {"T3 an old view of a name that was made again", SEEDS, 40, {{.other_lag_ms = 20000, .pod_lag_ms = 3000}, "create a 3; wait 60; replace a 2; wait 1; replace a 3 2; wait 90; "}},
    {"T4 watch events are lost with their stream", SEEDS, 60, {{.cut = 0.2}, BASE}},
    {"T5 pods are seen late", SEEDS, 40, {{.pod_lag_ms = 15000}, BASE}},
    {"T6 ModelDeployments and the rest are seen late", SEEDS, 40, {{.other_lag_ms = 15000}, BASE}},
    {"T7 kinds are seen in another order", SEEDS, 40, {{.other_lag_ms = 4000, .pod_lag_ms = 4000}, BASE "orphan a; create a 2 1; wait 60; "}},
    {"T8 watches end, with and without 410", SEEDS, 40, {{.delay = 0.1}, "create a 3; wait 40; cut a 410; model a 2; wait 3; cut a 0; wait 3; cut a 410; scale a 5; cut a 410; wait 60; "}},
    {"T8 the history ends during an outage", SEEDS, 10,
     {{.history = 6}, "create a 4 1; wait 60; outage a 1; scale a 5; killpod; crashpod; evict; storm b 20; wait 20; killpod; crashpod; service a; wait 20; outage a 0; wait 60; model a 2; wait 60; "}},
    {"T8 lists are old when they arrive", SEEDS, 30,
     {{.slow_list_ms = 4000, .watchlist = PT_WATCHLIST_REFUSED}, "create a 1 1; wait 40; rolling a 0; wait 5; cut a 410; wait 1; scale a 6; wait 60; cut a 410; model a 2; wait 9; cut a 410; wait 5; cut a 410; wait 60; scale a 1; wait 60; cut a 410; wait 1; scale a 7; wait 60; "}},
    {"T9 a server without WatchList", SEEDS, 15, {{.cut = 0.05, .watchlist = PT_WATCHLIST_REFUSED}, BASE}},
    {"T9 a WatchList that never ends", SEEDS, 15, {{.cut = 0.05, .watchlist = PT_WATCHLIST_ENDLESS}, BASE}},
    {"T10 429", SEEDS, 30, {{.error = 0.3, .http = 429}, BASE}},
    {"T10 500", SEEDS, 30, {{.error = 0.3, .http = 500}, BASE}},
    {"T10 503", SEEDS, 30, {{.error = 0.3, .http = 503}, BASE}},
    {"T10 answers that are lost", SEEDS, 40, {{.lose = 0.2}, BASE}},
    {"T10 answers that come late", SEEDS, 40, {{.delay = 0.6}, BASE}},
    {"T10 504, and it was carried out", SEEDS, 30, {{.error = 0.25, .http = 504, .carried_out = true, .pod_lag_ms = 3000}, BASE "orphan a; create a 2 1; wait 60; "}},
    {"T10 writes that arrive when they were given up", SEEDS, 60, {{.late = 0.15}, BASE "own a 1; wait 20; model a 1; wait 33; model a 2; wait 35; own a 0; scale a 4; wait 60; "}},
    {"T10 answers that are lost, and pods seen late", SEEDS, 60, {{.lose = 0.3, .pod_lag_ms = 15000}, BASE}},
    {"T11 conflicts", SEEDS, 40, {{.error = 0.3, .http = 409}, BASE "undo a; wait 30; "}},
    {"T11 the Service's name is a stranger's", SEEDS, 5, {{.error = 0}, "create a 1; wait 30; service a; stranger a; wait 60; service a; wait 60; "}},
    {"T12 leaders change", SEEDS, 30, {{.elected = true, .error = 0.05}, BASE "crash; wait 5; model a 1; wait 100; crash; wait 100; crash; scale a 4; wait 100; "}},
    {"T12 the Lease is lost in the middle of work, twice, and taken back", SEEDS, 40,
     {{.elected = true, .delay = 0.2},
      "create a 3 1; wait 60; starve; wait 30; model a 2; wait 3; scale a 4; wait 70; rolling a 0 1; model a 1; wait 2; starve 0; starve; wait 31; scale a 5; model a 3; wait 70; starve 0; "
      "bad a 2; wait 30; model a 1; wait 90; lost 2; "}},
    {"T12 the Lease is lost for a moment by whoever takes it again", SEEDS, 20,
     {{.elected = true, .pod_lag_ms = 3000},
      "create a 4 1; wait 60; model a 2; starve; wait 32; scale a 6; wait 9; starve 0; wait 40; lost 1; scale a 2; starve; wait 34; model a 1; wait 7; starve 0; wait 90; lost 2; "}},
    {"T12 a leader is stopped, and goes on", SEEDS, 40,
     {{.elected = true, .delay = 0.6}, "create a 3 1; wait 120; scale a 7; wait 1; stop a 1; wait 90; stop a 0; wait 60; rolling a 0; model a 2; wait 5; stop a 1; wait 75; stop a 0; wait 60; model a 1; stop a 1; wait 100; scale a 3; "
                                       "wait 2; stop a 0; wait 100; scale a 6; wait 2; stop a 1; wait 20; stop a 0; wait 100; "}},
    {"T12 a leader cannot reach the API server", SEEDS, 30,
     {{.elected = true, .delay = 0.3}, "create a 3 1; wait 120; scale a 7; wait 1; apart a 1; wait 90; model a 2; wait 20; apart a 0; wait 60; rolling a 0; model a 1; wait 5; apart a 1; wait 50; apart a 0; wait 100; scale a 3; apart a 1; wait 30; apart a 0; wait 100; "}},
    {"T13 the clock jumps", SEEDS, 20, {{.delay = 0.1}, "create a 3; wait 20; jump a 60; model a 2; wait 5; jump a -60; wait 5; jump a -60; scale a 4; wait 60; jump a 60; "}},
    {"T14 401 for a while: tokens and certificates change", SEEDS, 30, {{.error = 0.3, .http = 401, .cut = 0.05}, BASE}},
    {"T15 deletions of all kinds", SEEDS, 40,
     {{.delay = 0.2, .error = 0.05}, "create a 3; wait 20; scale a 5; foreground a; wait 60; create a 2; wait 3; delete a; create a 3; wait 2; orphan a; wait 1; create a 2; wait 60; replace a 1; wait 30; "}},
    {"T16 the pod monkey", SEEDS, 40, {{.delay = 0.1}, "create a 4; wait 60; killpod; evict; wait 3; disown; crashpod; wait 2; relabel; killpod; disown; wait 10; model a 2; wait 3; relabel; evict; disown; wait 60; "}},
    {"T17 pods are refused for a while", SEEDS, 20, {{.error = 0}, "deny; create a 4; wait 120; deny a 0; wait 60; deny; model a 2; killpod; wait 100; deny a 0; wait 60; "}},
    {"an outage of the API server in a rollout", SEEDS, 30,
     {{.error = 0}, "create a 3 1; wait 60; model a 2; wait 4; outage a 1; wait 12; outage a 0; wait 60; model a 1; wait 3; outage a 1; wait 7; outage a 0; wait 60; outage a 1; wait 4; outage a 0; model a 3; wait 90; "}},
    {"a Service may not be taken in", SEEDS, 5, {{.error = 0}, "create a 2 1; wait 60; orphan a; wait 5; forbid a 1; create a 2 1; wait 60; told a 2; scale a 4; wait 60; told a 4; forbid; wait 90; "}},
    {"a revision may not be taken in", SEEDS, 5, {{.error = 0}, "create a 2 1; wait 60; orphan a; wait 5; forbid a 2; create a 2 1; wait 60; told a; forbid; wait 90; "}},
    {"a budget may not be taken in", SEEDS, 5, {{.error = 0}, "create a 2 1; budget a 1; wait 60; orphan a; wait 5; forbid a 3; create a 3 1; budget a 1; wait 60; told a 3; forbid; wait 90; "}},
    {"a Service may not be made", SEEDS, 5, {{.error = 0}, "forbid a 4; create a 2 1; wait 60; told a 2; model a 2; wait 60; told a 2; forbid; wait 300; "}},
    {"a budget may not be made", SEEDS, 5, {{.error = 0}, "forbid a 5; create a 2 1; budget a 1; wait 60; told a 2; forbid; wait 300; "}},
    {"a revision may not be made", SEEDS, 5, {{.error = 0}, "create a 2 1; wait 60; forbid a 6; model a 2; wait 60; told a 2; forbid; wait 300; "}},
    {"a budget may not be deleted", SEEDS, 5, {{.error = 0}, "create a 2 1; budget a 1; wait 60; forbid a 7; budget a -1; scale a 3; wait 60; told a 3; forbid; wait 300; "}},
    {"pods may not be taken in", SEEDS, 5, {{.error = 0}, "create a 2 1; wait 60; orphan a; wait 5; forbid a 8; create a 2 1; wait 90; told a; forbid; wait 120; "}},
    {"gates may not be written", SEEDS, 5, {{.error = 0}, "create a 2 1; wait 60; forbid a 9; model a 2; scale a 3; wait 60; told a 2; forbid; wait 300; "}},
    {"pods may not be deleted", SEEDS, 5, {{.error = 0}, "create a 3 1; wait 60; forbid a 10; scale a 1; wait 60; told a 1; forbid; wait 300; "}},
    {"revisions may not be deleted", SEEDS, 5,
     {{.error = 0}, "create a 1 0; wait 40; model a 1; wait 40; model a 2; wait 40; forbid a 11; model a 3; wait 40; own a 1; wait 60; told a 1; forbid; wait 300; "}},
    {"T18 a spec that flaps", SEEDS, 40, {{.delay = 0.2}, "create a 4; wait 40; model a 2; wait 2; model a 1; wait 3; percent a 50 25; model a 2; wait 1; model a 1; wait 2; percent a 0 50; model a 2; wait 5; model a 1; wait 4; model a 2; wait 90; "}},
    {"T19 pause, scale, undo", SEEDS, 40, {{.delay = 0.2}, "create a 3; wait 40; model a 2; wait 3; pause a; scale a 5; wait 30; killpod; scale a 2; wait 30; undo a; wait 3; resume a; wait 60; pause a; model a 3; wait 40; undo a; wait 10; resume a; wait 60; "}},
    {"T19 a rollout that is paused stands still", SEEDS, 10,
     {{.error = 0}, "create a 4 1; wait 60; model a 2; wait 3; pause a; wait 120; held a; scale a 6; wait 60; held a; killpod; wait 60; held a; scale a 3; wait 60; held a; resume a; wait 90; "}},
    {"T19 two writers of replicas", SEEDS, 20, {{.delay = 0.2}, "create a 2; wait 20; scale a 5; wait 1; scale a 1; wait 2; scale a 5; wait 1; scale a 1; model a 2; scale a 4; wait 2; scale a 3; wait 60; "}},
    {"T20 nothing is written when nothing happens", SEEDS, 10, {{.error = 0}, "create a 3; create b 1 2; wait 100; own a 1; budget b 1; wait 100; "}},
    {"T21 whatever happens, it ends and stays", CHANCE, 60, {{.error = 0}, NULL}},
    {"T22 an upgrade in the middle of a rollout", SEEDS, 20, {{.delay = 0.1}, "create a 3; wait 40; upgrade; wait 30; model a 2; wait 2; upgrade; wait 60; "}},
    {"T23 a start with a thousand others", SEEDS, 2, {{.error = 0}, "create a 2; wait 40; storm b 1000; wait 60; crash; wait 5; scale a 4; wait 1; served a; model a 2; wait 1; served a; wait 60; "}},
    {"T24 each field, set, changed and taken back", SEEDS, 10,
     {{.delay = 0.1},
      "create a 2 1; wait 30; field a 0 0; field a 0 1; wait 30; field a 0; field a 1 0; wait 2; field a 1 1; field a 1; field a 2 0; wait 9; field a 2 1; field a 3 0; wait 40; field a 3 1; wait 3; "
      "field a 3; field a 4 0; wait 30; field a 4 1; wait 40; field a 4; field a 5 0; wait 3; field a 5 1; wait 40; field a 5; field a 6 0; wait 2; field a 6 1; wait 30; field a 6; "
      "field a 7 0; wait 40; field a 7 1; wait 40; field a 7; field a 8 0; model a 2; wait 30; field a 8 1; wait 40; "}},
    {"T25 other ways to the same end", SEEDS, 30, {{.error = 0}, "create a 3 1; wait 60; own a 1; budget a 1; wait 3; recreate a; wait 60; rolling a 1 0; own a 0; wait 5; budget a -1; model a 2; wait 60; "}},
    {"T26 a bad spec and back", SEEDS, 30, {{.error = 0.05}, "create a 3 1; wait 40; bad a 2; wait 700; model a 2; wait 60; bad a 1; wait 10; undo a; wait 60; "}},
    {"T27 Ready says that all is as declared", SEEDS, 30, {{.delay = 0.2}, "create a 3 1; wait 30; own a 1; wait 2; model a 2; wait 25; own a 0; wait 30; model a 3; own a 1; wait 1; own a 0; wait 40; "}},
    {"T28 sidecars crash and come back", SEEDS, 30, {{.lose = 0.1}, "create a 4; wait 40; crashpod; crashpod; wait 2; crashpod; model a 2; wait 4; crashpod; wait 1; crashpod; crash; crashpod; wait 60; "}},
    {"T29 what serves is taken out of service first", SEEDS, 30, {{.delay = 0.2}, "create a 5; wait 60; scale a 2; wait 30; model a 2; wait 3; scale a 4; wait 30; evict; delete a; create a 2; wait 40; "}},
    {"T30 a third of the reports is lost", SEEDS, 20, {{.lose = 0.3}, AUTOSCALE}},
    {"T30 most of the reports are lost", SEEDS, 10, {{.lose = 0.8}, AUTOSCALE}},
    {"T30 no report arrives for a while", SEEDS, 10,
     {{.error = 0}, "create a 2; autoscale a 0 7; load a 14; wait 90; mute; load a 2; wait 200; crash; wait 100; mute a 0; wait 90; mute; load a 25; wait 100; mute a 0; wait 60; "}},
    {"T30 reports are lost, and nothing else", SEEDS, 20, {{.unheard = 0.3, .stale_ms = 1000}, AUTOSCALE "load a 18; wait 100; load a 7; wait 60; load a 1; wait 100; "}},
    {"T30 some of several pods are silent", SEEDS, 15,
     {{.stale_ms = 1000}, "create a 3; autoscale a 0 6; load a 9; wait 150; silence a 1; wait 200; silence a 0; wait 100; silence a 2; load a 11; wait 150; crash; wait 100; silence a 0; wait 60; autoscale a 1 6; load a 9; wait 100; silence a 1; wait 200; silence a 0; wait 30; "}},
    {"autoscaling, with crashes and another leader", SEEDS, 20, {{.elected = true, .error = 0.05}, AUTOSCALE "crash; load a 25; wait 90; crash; load a 3; wait 100; crash; wait 60; "}},
    {"autoscaling by delays", SEEDS, 15, {{.delay = 0.1}, "create a 1; autoscale a 2 7; load a 30; wait 100; load a 6; wait 200; model a 2; wait 60; autoscale a 3 6; load a 40; wait 100; load a 1; wait 300; "}},
    {"autoscaling, a user and a rollout", SEEDS, 20, {{.delay = 0.2}, "create a 2; autoscale a 0 6; load a 12; wait 40; scale a 6; model a 2; wait 5; load a 20; scale a 1; wait 40; scale a 0; wait 20; scale a 3; wait 60; fix a; wait 30; "}},
    {"a user stops what is being scaled", SEEDS, 20,
     {{.delay = 0.9}, "create a 2; autoscale a 0 7; load a 8; wait 90; load a 28; wait 3; scale a 0; wait 30; scale a 2; wait 60; load a 8; wait 60; load a 28; wait 4; scale a 0; wait 30; scale a 1; "
                      "wait 60; load a 27; wait 2; scale a 0; wait 30; scale a 2; wait 60; load a 5; wait 60; load a 28; wait 5; scale a 0; wait 30; scale a 3; wait 60; "}},
    {"a model that does badly is left once", SEEDS, 20,
     {{.error = 0}, "create a 2 1; monitor a; wait 150; quality 2 60; model a 2; wait 200; is a 1; wait 60; model a 2; wait 300; is a 2; quality 3 97; model a 3; wait 200; is a 3; quality 3 50; wait 200; is a 3; "}},
    {"two bad models do not take turns", SEEDS, 20,
     {{.error = 0.1, .delay = 0.2}, "create a 2 1; monitor a; wait 200; quality 2 60; model a 2; quality 1 50; wait 900; wait 900; quality 1 99; wait 300; "}},
    {"a bad model, another leader, and lost reports", SEEDS, 20,
     {{.elected = true, .lose = 0.2}, "create a 2 1; monitor a; wait 200; quality 2 60; model a 2; wait 20; crash; wait 100; crash; wait 300; quality 2 95; model a 2; wait 300; scale a 4; monitor a 0; wait 30; "}},
    {"a bad model dies at each write", EACH_WRITE, 70, {{.error = 0}, "create a 1 1; monitor a; wait 100; quality 2 60; model a 2; wait 200; is a 1; "}},
    {"a compression, its pod lost in the middle", SEEDS, 30,
     {{.delay = 0.2}, "create a 2 1; wait 40; compress a 1; wait 4; losework; wait 60; losework; wait 120; compressed a 1 2; model a 2; wait 3; losework; scale a 3; wait 120; undo a; wait 60; "}},
    {"a compression on the first apply", SEEDS, 20, {{.error = 0.1}, "outcome 1 3; create a 0 1; compress a 1; scale a 2; wait 200; outcome 1 0; wait 800; compressed a 1 2; compress a; wait 60; "}},
    {"a gate that fails leaves what serves", SEEDS, 20,
     {{.delay = 0.2}, "create a 2 1; wait 40; outcome 2 1; compress a 2; wait 90; compressed a 0 2; killpod; wait 60; compressed a 0 2; outcome 3 2; compress a 3; wait 90; compressed a 0 2; compress a 1; wait 120; compressed a 1 2; "}},
    {"the recipe changes in the middle", SEEDS, 30,
     {{.delay = 0.2, .lose = 0.1}, "create a 2 1; compress a 1; wait 3; compress a 2; wait 5; compress a 1; wait 2; model a 2; wait 100; compress a; wait 2; compress a 2; wait 100; undo a; wait 20; undo a; wait 60; "}},
    {"a compression, paused, deleted, made again", SEEDS, 20,
     {{.delay = 0.1}, "create a 1 1; wait 30; pause a; compress a 1; wait 60; resume a; wait 4; delete a; create a 2 2; compress a 1; wait 5; orphan a; create a 1 2; compress a 1; wait 90; "}},
    {"a compression, with another leader and old views", SEEDS, 30,
     {{.elected = true, .error = 0.1, .pod_lag_ms = 8000}, "create a 2 1; wait 60; compress a 1; wait 5; crash; wait 100; crash; compress a 2; wait 10; losework; crash; wait 200; "}},
    {"a compression dies at each write", EACH_WRITE, 60, {{.error = 0}, "create a 1 1; wait 40; compress a 1; wait 6; losework; wait 90; model a 2; wait 60; compress a; wait 40; "}},
    {"Recreate", SEEDS, 30, {{.delay = 0.2}, "create a 3; wait 40; recreate a; model a 2; wait 2; killpod; scale a 5; wait 60; model a 3; wait 1; model a 1; wait 60; "}},
};
enum { COUNT = sizeof scenarios / sizeof *scenarios };

/* *digest: NULL, or what takes in that of this schedule. */
static bool one(const struct scenario *s, uint64_t seed, int64_t crash_at, bool before, uint64_t *digest)
{
    struct script script = s->script;
    struct world w;
    script.profile.crash_at = crash_at;
    script.profile.crash_before = before;
    struct sim_run run = {.seed = seed, .script = script.actions ? &script : NULL, .digest = digest != NULL};
    bool good = world_run(&w, &run);
    if (digest)
        *digest = pt_hash64(&w.digest, sizeof w.digest, *digest);
    world_finish(&w);
    if (good)
        return true;
    run.logging = true; /* the same again, to be read */
    (void)world_run(&w, &run);
    fwrite(w.timeline.data, 1, w.timeline.len, stdout);
    printf("%s: seed %llu%s%.0lld: %s\n", s->name, (unsigned long long)seed, crash_at ? before ? ", died before write " : ", died after write " : "", (long long)crash_at, w.why);
    world_finish(&w);
    return false;
}

int sim_scenarios(const char *which, int share, bool digests, int *count, int *runs)
{
    int failed = 0;
    *count = *runs = 0;
    for (int i = 0; i < COUNT; i++) {
        const struct scenario *s = &scenarios[i];
        if (which && strncmp(s->name, which, strlen(which)) != 0)
            continue;
        bool good = true;
        uint64_t sum = 0, *digest = digests ? &sum : NULL;
        ++*count;
        for (int k = 1; good && k <= s->count; k += share) {
            good = s->how == EACH_WRITE ? one(s, 7, k, true, digest) && one(s, 7, k, false, digest) : one(s, (uint64_t)k, 0, false, digest);
            *runs += s->how == EACH_WRITE ? 2 : 1;
        }
        failed += !good;
        if (digests)
            printf("%016llx %s\n", (unsigned long long)sum, s->name);
    }
    return failed;
}
