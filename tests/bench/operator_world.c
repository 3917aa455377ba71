/* SPDX-License-Identifier: Apache-2.0
 *
 * operator_world.c: see operator_world.h.
 */
#include "tests/bench/operator_world.h"

#include "base/contract.h"
#include "operator/ctrl/obj.h"
#include "operator/model/spec.h"

#include <stdio.h>
#include <stdlib.h>

#define CHUNK 200 /* writes between which watches are read: a history is not endless */

void world_fail(const char *what)
{
    fprintf(stderr, "operator bench: %s\n", what);
    exit(1);
}

static int admit(void *arg, const struct pt_resource *res, cJSON *object, const cJSON *old, struct pt_err *err)
{
    (void)arg;
    (void)old;
    return res == &pt_res_modeldeployments ? pt_spec_admit(object, err) : PT_OK;
}

void world_create(struct world *w, int replicas, struct pt_memapi_options *o)
{
    struct pt_err err;
    w->replicas = replicas;
    pt_vsched_init(&w->clock, pt_clock_wall_ms());
    o->sched = &w->clock.sched;
    o->seed = 1;
    o->admit = admit;
    if (pt_memapi_create(o, &w->api, &err) < 0)
        world_fail(err.msg);
}

void world_destroy(struct world *w)
{
    pt_operator_destroy(w->op);
    pt_memapi_destroy(w->api);
    pt_sched_finish(&w->clock.sched);
    free(w->pods);
}

void world_start_operator(struct world *w, uint64_t seed)
{
    struct pt_err err;
    struct pt_operator_options o = {.api = pt_memapi_api(w->api),
                                    .sched = &w->clock.sched,
                                    .seed = seed,
                                    .metrics = NULL,
                                    .sidecar_image = "sidecar:bench",
                                    .report_url = "https://pintle-operator:8443/v1/report"};
    if (pt_operator_create(&o, &w->op, &err) < 0)
        world_fail(err.msg);
    pt_operator_start(w->op);
}

void world_stop_operator(struct world *w)
{
    pt_operator_destroy(w->op);
    w->op = NULL;
}

void world_request(struct world *w, enum pt_verb verb, const struct pt_resource *res, const char *name, const char *sub, const char *body)
{
    struct pt_err err = {0};
    struct pt_api_request req = {.verb = verb,
                                 .resource = res,
                                 .ns = WORLD_NS,
                                 .name = name,
                                 .subresource = sub,
                                 .body = pt_str(body),
                                 .field_manager = WORLD_EDITOR,
                                 .grace_seconds = verb == PT_VERB_DELETE ? 0 : -1};
    int http = pt_memapi_do(w->api, &req, NULL, &err);
    if (http >= 300 && http != 404)
        world_fail(err.msg);
}

void world_write(struct world *w, int number, int version)
{
    char name[32], body[400];
    snprintf(name, sizeof name, "model-%d", number);
    snprintf(
        body, sizeof body,
        "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"replicas\":%d,\"model\":{\"uri\":\"https://models.example/%s/model.onnx\",\"version\":\"%d\"}}}",
        name, w->replicas, name, version);
    world_request(w, version == 1 ? PT_VERB_CREATE : PT_VERB_MERGE_PATCH, &pt_res_modeldeployments, version == 1 ? NULL : name, NULL, body);
}

void world_write_all(struct world *w, int count, int version)
{
    for (int i = 0; i < count; i++) {
        if (i % CHUNK == 0)
            world_run(w, 1);
        world_write(w, i, version);
    }
}

void world_run(struct world *w, int64_t ms)
{
    int64_t end = w->clock.now + ms;
    while (pt_vsched_step(&w->clock, end))
        ;
}

/* --- nodes ------------------------------------------------------------------------------------------------------------- */

static void collect(void *arg, const char *ns, const char *name, struct pt_str object)
{
    struct world *w = arg;
    pt_auto_obj *pod = NULL;
    (void)ns;
    if (!w->all && memmem(object.p, object.len, "\"nodeName\"", 10) && !memmem(object.p, object.len, "\"deletionTimestamp\"", 19))
        return;
    if (pt_obj_parse(object, "pod", &pod, NULL) < 0)
        world_fail("a pod is not JSON");
    if (w->count == w->room) {
        w->room = w->room ? w->room * 2 : 1024;
        w->pods = realloc(w->pods, w->room * sizeof *w->pods);
        if (!w->pods)
            world_fail("out of memory");
    }
    struct world_pod *p = &w->pods[w->count++];
    *p = (struct world_pod){.ends = pt_obj_get(pod, "metadata.deletionTimestamp")};
    snprintf(p->uid, sizeof p->uid, "%s", pt_obj_text(pod, "metadata.uid"));
    snprintf(p->owner, sizeof p->owner, "%s", pt_obj_text(pod, "metadata.ownerReferences.0.name"));
    snprintf(p->name, sizeof p->name, "%s", name);
}

static void read_pods(struct world *w, bool all)
{
    w->count = 0;
    w->all = all;
    pt_memapi_each(w->api, &pt_res_pods, collect, w);
}

void world_pods(struct world *w)
{
    read_pods(w, true);
}

/* As long as a kubelet writes it. */
static void write_status(struct world *w, const struct world_pod *p, unsigned number)
{
    static const char *const types[] = {"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"};
    pt_auto_buf b = PT_BUF_INIT(0);
    char now[24];
    pt_format_time(w->clock.wall_offset + w->clock.now, now);
    pt_buf_puts(&b, "{\"status\":{\"phase\":\"Running\",\"conditions\":[");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        pt_buf_printf(&b, "%s{\"type\":\"%s\",\"status\":\"True\",\"observedGeneration\":1,\"lastProbeTime\":null,\"lastTransitionTime\":\"%s\"}",
                      i ? "," : "", types[i], now);
    pt_buf_printf(
        &b, "],\"hostIP\":\"192.168.1.%u\",\"hostIPs\":[{\"ip\":\"192.168.1.%u\"}],\"podIP\":\"10.%u.%u.%u\",\"podIPs\":[{\"ip\":\"10.%u.%u.%u\"}],",
        number % 200, number % 200, number >> 16 & 255, number >> 8 & 255, number & 255, number >> 16 & 255, number >> 8 & 255, number & 255);
    pt_buf_printf(&b,
                  "\"startTime\":\"%s\",\"qosClass\":\"BestEffort\",\"containerStatuses\":[{\"name\":\"" PT_CONTAINER
                  "\",\"image\":\"sidecar:bench\","
                  "\"imageID\":\"registry.example/sidecar@sha256:%064u\",\"containerID\":\"containerd://%064u\",\"ready\":true,\"started\":true,"
                  "\"restartCount\":0,\"state\":{\"running\":{\"startedAt\":\"%s\"}},\"lastState\":{}}]}}",
                  now, 7u, number, now);
    if (b.failed)
        world_fail("out of memory");
    world_request(w, PT_VERB_STRATEGIC, &pt_res_pods, p->name, "status", pt_buf_cstr(&b));
}

static void play_kubelet(struct world *w)
{
    char body[64];
    read_pods(w, false);
    for (size_t i = 0; i < w->count; i++) {
        const struct world_pod *p = &w->pods[i];
        if (i % CHUNK == 0)
            world_run(w, 1);
        if (p->ends) {
            world_request(w, PT_VERB_DELETE, &pt_res_pods, p->name, NULL, "");
            continue;
        }
        struct pt_report r = {.state = PT_MODEL_READY, .reason = PT_REASON_NONE, .sequence = 1, .started_ms = 1};
        struct pt_err err;
        int64_t next;
        snprintf(r.pod_uid, sizeof r.pod_uid, "%s", p->uid);
        snprintf(r.pod_name, sizeof r.pod_name, "%s", p->name);
        snprintf(r.ns, sizeof r.ns, WORLD_NS);
        if (pt_operator_report(w->op, &r, &next, &err) < 0)
            continue; /* the next round */
        snprintf(body, sizeof body, "{\"spec\":{\"nodeName\":\"node-%u\"}}", (unsigned)i % 200);
        world_request(w, PT_VERB_MERGE_PATCH, &pt_res_pods, p->name, NULL, body);
        write_status(w, p, (unsigned)i);
    }
}

void world_until_settled(struct world *w)
{
    uint64_t writes = 0;
    for (int quiet = 0; quiet < 12;) { /* longer than a pod is waited for that is being taken out */
        world_run(w, 1000);
        play_kubelet(w);
        quiet = pt_memapi_writes(w->api) == writes ? quiet + 1 : 0;
        writes = pt_memapi_writes(w->api);
    }
}

/* --- EndpointSlices ------------------------------------------------------------------------------------------------------ */

static int by_owner(const void *a, const void *b)
{
    return strcmp(((const struct world_pod *)a)->owner, ((const struct world_pod *)b)->owner);
}

static void put_endpoint(struct pt_buf *b, const struct world_pod *p, unsigned number)
{
    pt_buf_printf(b,
                  "{\"addresses\":[\"10.%u.%u.%u\"],\"conditions\":{\"ready\":true,\"serving\":true,\"terminating\":false},\"nodeName\":\"node-%u\","
                  "\"targetRef\":{\"kind\":\"Pod\",\"namespace\":\"" WORLD_NS "\",\"name\":\"%s\",\"uid\":\"%s\"}}",
                  number >> 16 & 255, number >> 8 & 255, number & 255, number % 200, p->name, p->uid);
}

static void write_slice(struct world *w, size_t from, size_t to)
{
    pt_auto_buf b = PT_BUF_INIT(0);
    pt_auto_obj *service = NULL;
    const char *name = w->pods[from].owner;
    if (pt_obj_parse(pt_memapi_peek(w->api, &pt_res_services, WORLD_NS, name), "Service", &service, NULL) < 0)
        world_fail("a Service is missing");
    pt_buf_printf(&b,
                  "{\"apiVersion\":\"discovery.k8s.io/"
                  "v1\",\"kind\":\"EndpointSlice\",\"addressType\":\"IPv4\",\"metadata\":{\"generateName\":\"%s-\",\"labels\":{",
                  name);
    pt_buf_printf(&b, "\"" PT_LABEL_MANAGED_BY "\":\"" PT_MANAGER "\",\"" PT_LABEL_INSTANCE "\":\"%s\",\"" PT_LABEL_NAME "\":\"%s\",", name, name);
    pt_buf_printf(&b, "\"endpointslice.kubernetes.io/managed-by\":\"endpointslice-controller.k8s.io\",\"kubernetes.io/service-name\":\"%s\"},", name);
    pt_buf_printf(&b,
                  "\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"name\":\"%s\",\"uid\":\"%s\",\"controller\":true,"
                  "\"blockOwnerDeletion\":true}]},",
                  name, pt_obj_text(service, "metadata.uid"));
    pt_buf_puts(&b, "\"ports\":[{\"name\":\"http\",\"port\":8080,\"protocol\":\"TCP\"},{\"name\":\"grpc\",\"port\":8081,\"protocol\":\"TCP\"},"
                    "{\"name\":\"metrics\",\"port\":8082,\"protocol\":\"TCP\"}],\"endpoints\":[");
    for (size_t i = from; i < to; i++) {
        if (i > from)
            pt_buf_putc(&b, ',');
        put_endpoint(&b, &w->pods[i], (unsigned)i);
    }
    pt_buf_puts(&b, "]}");
    if (b.failed)
        world_fail("out of memory");
    world_request(w, PT_VERB_CREATE, &pt_res_endpointslices, NULL, NULL, pt_buf_cstr(&b));
}

void world_slices(struct world *w)
{
    world_pods(w);
    qsort(w->pods, w->count, sizeof *w->pods, by_owner);
    for (size_t from = 0, to; from < w->count; from = to) {
        for (to = from; to < w->count && !strcmp(w->pods[to].owner, w->pods[from].owner);)
            to++;
        write_slice(w, from, to);
        world_run(w, 1);
    }
}
