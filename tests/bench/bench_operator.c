/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_operator [COUNT [PODS]]: the controller over memapi: what it keeps in memory for COUNT ModelDeployments of PODS pods each (1,000 of 3), and how many
 * reconciles a second of CPU time it makes, with nothing to do (after a restart) and while everything is rolled out (up to 2,000); after a restart, CPU until
 * all is listed, until an edit that comes then is acted on while everybody else waits, and when nothing happens but reports. Prints; asserts nothing about time.
 *
 * Memory is what a second operator allocates when it starts on the finished objects (heap in use, allocator overhead included): memapi
 * is there before, and pages that the first operator left behind would hide growth of the resident set. The CPU
 * time of the rollout includes memapi's, which does the API server's work. The same between processes, with a peer: bench_operator_api.c.
 */
#include "base/log.h"
#include "base/metrics.h"
#include "tests/bench/operator_world.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#define ROLLED_MAX 2000

static const char *edited; /* the ModelDeployment that was; NULL once the operator has acted on it */

/* Acting on an edit begins with the new revision. */
static void on_request(void *arg, const struct pt_api_request *req, bool watch, struct pt_memapi_fault *f)
{
    (void)arg;
    (void)f;
    if (!watch && edited && req->verb == PT_VERB_CREATE && req->resource == &pt_res_controllerrevisions && memmem(req->body.p, req->body.len, edited, strlen(edited)))
        edited = NULL;
}

static double cpu_now(void)
{
    int64_t rss;
    double cpu;
    pt_process_usage(&rss, &cpu);
    return cpu;
}

static void figures(struct world *w, const char *what, uint64_t reconciles_before, double cpu_before)
{
    struct pt_operator_stats s;
    pt_operator_stats(w->op, &s);
    double cpu = cpu_now() - cpu_before;
    uint64_t n = s.reconciles - reconciles_before;
    printf("%-34s %8llu reconciles %8.2f s CPU %10.0f reconciles/s\n", what, (unsigned long long)n, cpu, (double)n / cpu);
}

/* Until everything is listed; then one edit, while all others are still in the queue. */
static void restart(struct world *w, int count)
{
    double begin = cpu_now();
    world_start_operator(w, 2);
    while (!pt_operator_synced(w->op) && pt_vsched_step(&w->clock, w->clock.now + 60000))
        ;
    double synced = cpu_now();
    struct pt_operator_stats s;
    world_request(w, PT_VERB_MERGE_PATCH, &pt_res_modeldeployments, count > 7 ? "model-7" : "model-0", NULL, "{\"spec\":{\"model\":{\"version\":\"9\"}}}");
    pt_operator_stats(w->op, &s);
    edited = count > 7 ? "model-7" : "model-0";
    double begun = cpu_now();
    while (edited && pt_vsched_step(&w->clock, w->clock.now + 60000))
        ;
    printf("%-34s %8.2f s CPU until synced; an edit acted on after %.1f ms of CPU, %zu others in the queue\n", "restart", synced - begin, 1000 * (cpu_now() - begun), s.queue_depth);
    if (edited)
        world_fail("the edit was not acted on");
    world_until_settled(w);
}

/* Nothing happens but reports, as many as the operator asks for. */
static void idle(struct world *w, int seconds)
{
    struct pt_report r = {.state = PT_MODEL_READY, .reason = PT_REASON_NONE, .sequence = 2, .started_ms = 1};
    struct pt_err err;
    int64_t next;
    size_t at = 0, told = 0;
    snprintf(r.ns, sizeof r.ns, WORLD_NS);
    double begin = cpu_now();
    for (int s = 0; s < seconds; s++) {
        for (int i = 0; i < 200 && w->count; i++, at = (at + 1) % w->count) {
            snprintf(r.pod_uid, sizeof r.pod_uid, "%s", w->pods[at].uid);
            snprintf(r.pod_name, sizeof r.pod_name, "%s", w->pods[at].name);
            r.sequence++;
            told += pt_operator_report(w->op, &r, &next, &err) == PT_OK;
        }
        world_run(w, 1000);
    }
    printf("%-34s %8.4f cores, %zu reports taken in %d s\n", "idle", (cpu_now() - begin) / seconds, told, seconds);
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 1000, pods = argc > 2 ? atoi(argv[2]) : 3;
    struct world w = {0};
    struct pt_operator_stats s;
    if (count <= 0 || pods <= 0)
        world_fail("usage: bench_operator [COUNT [PODS]]");
    pt_log_setup("bench", PT_LOG_OFF, PT_LOG_TEXT);
    struct pt_memapi_options o = {.history = 8192, .hooks = {.request = on_request}};
    world_create(&w, pods, &o);
    double cpu = cpu_now();
    world_start_operator(&w, 1);
    world_write_all(&w, count, 1);
    world_until_settled(&w);
    figures(&w, "create everything (with memapi)", 0, cpu);
    pt_operator_stats(w.op, &s);
    if (count <= ROLLED_MAX) {
        cpu = cpu_now();
        world_write_all(&w, count, 2);
        world_until_settled(&w);
        figures(&w, "roll everything (with memapi)", s.reconciles, cpu);
    }
    world_stop_operator(&w);
    size_t heap = mallinfo2().uordblks + mallinfo2().hblkhd;
    cpu = cpu_now();
    restart(&w, count);
    figures(&w, "all of the restart (with memapi)", 0, cpu);
    heap = mallinfo2().uordblks + mallinfo2().hblkhd - heap;
    world_pods(&w);
    idle(&w, 60);
    int64_t rss;
    pt_process_usage(&rss, &cpu);
    pt_operator_stats(w.op, &s);
    printf("%zu ModelDeployments, %zu pods, %zu revisions, %zu services: operator %.2f MB (%.0f bytes per object); process with memapi %.1f MB resident\n", s.deployments,
           s.pods, s.revisions, s.services, (double)heap / 1e6, (double)heap / (double)(s.deployments + s.pods + s.revisions + s.services), (double)rss / 1e6);
    world_destroy(&w);
    return 0;
}
