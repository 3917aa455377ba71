/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_operator [COUNT [PODS]]: the controller over memapi: what it keeps in memory for COUNT ModelDeployments of PODS pods each (1,000 of 3), and how many
 * reconciles a second of CPU time it makes, with nothing to do (after a restart) and while everything is rolled out (up to 2,000); after a restart, CPU until
 * all is listed, until an edit that comes then is acted on while everybody else waits, and when nothing happens but reports. Prints; asserts nothing about time.
 *
 * Memory is what a second operator allocates when it starts on the finished objects (heap in use, allocator overhead included): memapi
 * is there before, and pages that the first operator left behind would hide growth of the resident set. The CPU
 * time of the rollout includes memapi's, which does the API server's work.
 */
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "operator/ctrl/obj.h"
#include "operator/memapi/memapi.h"
#include "operator/model/operator.h"
#include "operator/model/spec.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#define NS "bench"
#define ROLLED_MAX 2000
#define CHUNK 200 /* writes between which watches are read: a history is not endless */

struct bench {
    struct pt_vsched clock;
    struct pt_memapi *api;
    struct pt_operator *op;
    struct names {
        char name[80], uid[64];
    } *pods;
    size_t count, room;
    int replicas;
    const char *edited; /* the ModelDeployment that was; NULL once the operator has acted on it */
};

static void fail(const char *what)
{
    fprintf(stderr, "bench_operator: %s\n", what);
    exit(1);
}

static int admit(void *arg, const struct pt_resource *res, struct pt_str object, struct pt_str old, struct pt_buf *out, struct pt_err *err)
{
    (void)arg;
    (void)old;
    return res == &pt_res_modeldeployments ? pt_spec_admit(object, out, err) : PT_OK;
}

/* Acting on an edit begins with the new revision. */
static void on_request(void *arg, const struct pt_api_request *req, bool watch, struct pt_memapi_fault *f)
{
    struct bench *b = arg;
    (void)f;
    if (!watch && b->edited && req->verb == PT_VERB_CREATE && req->resource == &pt_res_controllerrevisions && memmem(req->body.p, req->body.len, b->edited, strlen(b->edited)))
        b->edited = NULL;
}

static void request(struct bench *b, enum pt_verb verb, const struct pt_resource *res, const char *name, const char *sub, const char *body)
{
    struct pt_err err = {0};
    struct pt_api_request req = {.verb = verb, .resource = res, .ns = NS, .name = name, .subresource = sub, .body = pt_str(body), .field_manager = "bench", .grace_seconds = verb == PT_VERB_DELETE ? 0 : -1};
    int http = pt_memapi_do(b->api, &req, NULL, &err);
    if (http >= 300 && http != 404)
        fail(err.msg);
}

/* --- the cluster: whatever pod is there becomes ready, whatever is deleted goes -------------------------------------------- */

static void collect(void *arg, const char *ns, const char *name, struct pt_str object)
{
    struct bench *b = arg;
    pt_auto_obj *pod = NULL;
    (void)ns;
    if (memmem(object.p, object.len, "\"nodeName\"", 10) && !memmem(object.p, object.len, "\"deletionTimestamp\"", 19))
        return;
    if (pt_obj_parse(object, "pod", &pod, NULL) < 0)
        fail("a pod is not JSON");
    if (b->count == b->room) {
        b->room = b->room ? b->room * 2 : 1024;
        b->pods = realloc(b->pods, b->room * sizeof *b->pods);
        if (!b->pods)
            fail("out of memory");
    }
    snprintf(b->pods[b->count].uid, sizeof b->pods->uid, "%s", pt_obj_get(pod, "metadata.deletionTimestamp") ? "" : pt_obj_str(pod, "metadata.uid"));
    snprintf(b->pods[b->count++].name, sizeof b->pods->name, "%s", name);
}

static void run_for(struct bench *b, int64_t ms)
{
    int64_t end = b->clock.now + ms;
    while (pt_vsched_step(&b->clock, end))
        ;
}

static void play_kubelet(struct bench *b)
{
    b->count = 0;
    pt_memapi_each(b->api, &pt_res_pods, collect, b);
    for (size_t i = 0; i < b->count; i++) {
        const struct names *p = &b->pods[i];
        if (i % CHUNK == 0)
            run_for(b, 1);
        if (!*p->uid) {
            request(b, PT_VERB_DELETE, &pt_res_pods, p->name, NULL, "");
            continue;
        }
        struct pt_report r = {.state = PT_MODEL_READY, .reason = PT_REASON_NONE, .sequence = 1, .started_ms = 1};
        struct pt_err err;
        int64_t next;
        snprintf(r.pod_uid, sizeof r.pod_uid, "%s", p->uid);
        snprintf(r.pod_name, sizeof r.pod_name, "%s", p->name);
        snprintf(r.ns, sizeof r.ns, NS);
        if (pt_operator_report(b->op, &r, &next, &err) < 0)
            continue; /* the next round */
        request(b, PT_VERB_MERGE_PATCH, &pt_res_pods, p->name, NULL, "{\"spec\":{\"nodeName\":\"n\"}}");
        request(b, PT_VERB_STRATEGIC, &pt_res_pods, p->name, "status",
                "{\"status\":{\"phase\":\"Running\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"lastTransitionTime\":\"2024-01-01T00:00:00Z\"}]}}");
    }
}

static bool settled(struct bench *b, uint64_t *writes)
{
    uint64_t now = pt_memapi_writes(b->api);
    bool same = now == *writes;
    *writes = now;
    return same;
}

static void until_settled(struct bench *b)
{
    uint64_t writes = 0;
    for (int quiet = 0; quiet < 12;) { /* longer than a pod is waited for that is being taken out */
        run_for(b, 1000);
        play_kubelet(b);
        quiet = settled(b, &writes) ? quiet + 1 : 0;
    }
}

static void start_operator(struct bench *b, uint64_t seed)
{
    struct pt_err err;
    struct pt_operator_options o = {.api = pt_memapi_api(b->api), .sched = &b->clock.sched, .seed = seed, .metrics = NULL, .sidecar_image = "sidecar:bench",
                                    .report_url = "https://pintle-operator:8443/v1/report"};
    if (pt_operator_create(&o, &b->op, &err) < 0)
        fail(err.msg);
    pt_operator_start(b->op);
}

static void figures(struct bench *b, const char *what, uint64_t reconciles_before, double cpu_before)
{
    struct pt_operator_stats s;
    int64_t rss;
    double cpu;
    pt_operator_stats(b->op, &s);
    pt_process_usage(&rss, &cpu);
    uint64_t n = s.reconciles - reconciles_before;
    printf("%-34s %8llu reconciles %8.2f s CPU %10.0f reconciles/s\n", what, (unsigned long long)n, cpu - cpu_before, (double)n / (cpu - cpu_before));
}

static void write_all(struct bench *b, int count, bool first)
{
    char name[32], body[400];
    for (int i = 0; i < count; i++) {
        if (i % CHUNK == 0)
            run_for(b, 1);
        snprintf(name, sizeof name, "model-%d", i);
        snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"replicas\":%d,\"model\":{\"uri\":\"https://models.example/%s/model.onnx\",\"version\":\"%d\"}}}", name, b->replicas,
                 name, first ? 1 : 2);
        request(b, first ? PT_VERB_CREATE : PT_VERB_MERGE_PATCH, &pt_res_modeldeployments, first ? NULL : name, NULL, body);
    }
}

static double cpu_now(void)
{
    int64_t rss;
    double cpu;
    pt_process_usage(&rss, &cpu);
    return cpu;
}

/* Until everything is listed; then one edit, while all others are still in the queue. */
static void restart(struct bench *b, int count)
{
    static const char name[] = "model-7";
    double begin = cpu_now();
    start_operator(b, 2);
    while (!pt_operator_synced(b->op) && pt_vsched_step(&b->clock, b->clock.now + 60000))
        ;
    double synced = cpu_now();
    struct pt_operator_stats s;
    request(b, PT_VERB_MERGE_PATCH, &pt_res_modeldeployments, name, NULL, "{\"spec\":{\"model\":{\"version\":\"9\"}}}");
    pt_operator_stats(b->op, &s);
    b->edited = count > 7 ? name : NULL;
    double edited = cpu_now();
    while (b->edited && pt_vsched_step(&b->clock, b->clock.now + 60000))
        ;
    printf("%-34s %8.2f s CPU until synced; an edit acted on after %.1f ms of CPU, %zu others in the queue\n", "restart", synced - begin, 1000 * (cpu_now() - edited), s.queue_depth);
    if (b->edited)
        fail("the edit was not acted on");
    until_settled(b);
}

/* Nothing happens but reports, as many as the operator asks for. */
static void idle(struct bench *b, int seconds)
{
    struct pt_report r = {.state = PT_MODEL_READY, .reason = PT_REASON_NONE, .sequence = 2, .started_ms = 1};
    struct pt_err err;
    int64_t next;
    size_t at = 0, told = 0;
    snprintf(r.ns, sizeof r.ns, NS);
    double begin = cpu_now();
    for (int s = 0; s < seconds; s++) {
        for (int i = 0; i < 200 && b->count; i++, at = (at + 1) % b->count) {
            snprintf(r.pod_uid, sizeof r.pod_uid, "%s", b->pods[at].uid);
            snprintf(r.pod_name, sizeof r.pod_name, "%s", b->pods[at].name);
            r.sequence++;
            told += pt_operator_report(b->op, &r, &next, &err) == PT_OK;
        }
        run_for(b, 1000);
    }
    printf("%-34s %8.4f cores, %zu reports taken in %d s\n", "idle", (cpu_now() - begin) / seconds, told, seconds);
}

static void collect_all(void *arg, const char *ns, const char *name, struct pt_str object)
{
    struct bench *b = arg;
    static const char member[] = "\"uid\":\"";
    const char *uid = memmem(object.p, object.len, member, sizeof member - 1), *meta = memmem(object.p, object.len, "\"creationTimestamp\"", 19);
    (void)ns;
    for (const char *p = uid; p && meta && p < meta; p = memmem(p + 1, (size_t)(meta - p - 1), member, sizeof member - 1))
        uid = p; /* the last before the time is its own, not its owner's */
    if (!uid || b->count >= b->room)
        return;
    snprintf(b->pods[b->count].uid, sizeof b->pods->uid, "%.36s", uid + sizeof member - 1);
    snprintf(b->pods[b->count++].name, sizeof b->pods->name, "%s", name);
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 1000;
    struct bench b = {.replicas = argc > 2 ? atoi(argv[2]) : 3};
    struct pt_err err;
    struct pt_operator_stats s;
    pt_log_setup("bench", PT_LOG_OFF, PT_LOG_TEXT);
    pt_vsched_init(&b.clock, pt_clock_wall_ms());
    struct pt_memapi_options o = {.sched = &b.clock.sched, .seed = 1, .history = 8192, .admit = admit, .hooks = {.arg = &b, .request = on_request}};
    if (count <= 0 || b.replicas <= 0 || pt_memapi_create(&o, &b.api, &err) < 0)
        fail("usage: bench_operator [COUNT [PODS]]");
    double cpu = cpu_now();
    start_operator(&b, 1);
    write_all(&b, count, true);
    until_settled(&b);
    figures(&b, "create everything (with memapi)", 0, cpu);
    pt_operator_stats(b.op, &s);
    if (count <= ROLLED_MAX) {
        cpu = cpu_now();
        write_all(&b, count, false);
        until_settled(&b);
        figures(&b, "roll everything (with memapi)", s.reconciles, cpu);
    }
    pt_operator_destroy(b.op);
    size_t heap = mallinfo2().uordblks + mallinfo2().hblkhd;
    cpu = cpu_now();
    restart(&b, count);
    figures(&b, "all of the restart (with memapi)", 0, cpu);
    heap = mallinfo2().uordblks + mallinfo2().hblkhd - heap;
    b.count = 0;
    pt_memapi_each(b.api, &pt_res_pods, collect_all, &b);
    idle(&b, 60);
    int64_t rss;
    pt_process_usage(&rss, &cpu);
    pt_operator_stats(b.op, &s);
    printf("%zu ModelDeployments, %zu pods, %zu revisions, %zu services: operator %.2f MB (%.0f bytes per object); process with memapi %.1f MB resident\n", s.deployments,
           s.pods, s.revisions, s.services, (double)heap / 1e6, (double)heap / (double)(s.deployments + s.pods + s.revisions + s.services), (double)rss / 1e6);
    pt_operator_destroy(b.op);
    pt_memapi_destroy(b.api);
    pt_sched_finish(&b.clock.sched);
    free(b.pods);
    return 0;
}
