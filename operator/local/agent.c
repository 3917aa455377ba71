/* SPDX-License-Identifier: Apache-2.0
 *
 * agent.c: the set of pods: watch, addresses, endpoints, ending.
 */
#include "operator/local/agent.h"

#include "base/contract.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/path.h"
#include "operator/ctrl/obj.h"
#include "operator/local/pod.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MAX_PODS = 4096, REWATCH_MS = 200 };
#define NODE_NAME "local"

struct pt_agent {
    struct pt_agent_options o;
    char *sidecar, *program, *state_dir;
    struct pt_local_pod **pods; /* in order of arrival */
    size_t count;
    unsigned next_address;
    struct pt_api_call *watch;
    struct pt_timer rewatch;
    bool stopping;
    void (*stopped)(void *arg);
    void *stopped_arg;
};

#define AGENT_OF(t, member) ((struct pt_agent *)(void *)((char *)(t)-offsetof(struct pt_agent, member)))

static size_t index_of(const struct pt_agent *a, const char *uid)
{
    size_t i = 0;
    while (i < a->count && strcmp(a->pods[i]->uid, uid) != 0)
        i++;
    return i;
}

static void tell_stopped(struct pt_agent *a)
{
    void (*fn)(void *arg) = a->stopped;
    a->stopped = NULL;
    if (fn)
        fn(a->stopped_arg);
}

static void remove_pod(struct pt_agent *a, size_t i)
{
    pt_local_pod_destroy(a->pods[i]);
    memmove(a->pods + i, a->pods + i + 1, (a->count - i - 1) * sizeof *a->pods);
    a->count--;
    if (a->stopping && a->count == 0)
        tell_stopped(a);
}

void pt_agent_pod_ended(struct pt_agent *a, struct pt_local_pod *p)
{
    struct pt_err err;
    struct pt_api_request req = {.verb = PT_VERB_DELETE, .resource = &pt_res_pods, .ns = p->ns, .name = p->name, .uid = p->uid, .grace_seconds = 0};
    if (!a->stopping)
        pt_memapi_do(a->o.memapi, &req, NULL, &err);
    remove_pod(a, index_of(a, p->uid));
}

static void next_address(struct pt_agent *a, char out[16])
{
    for (;;) {
        unsigned n = a->next_address++ % 65024;
        size_t i = 0;
        snprintf(out, 16, "127.77.%u.%u", n / 254, n % 254 + 1);
        while (i < a->count && strcmp(a->pods[i]->address, out) != 0)
            i++;
        if (i == a->count)
            return;
    }
}

/* As a scheduler does: a pod without a node is deleted at once by the API, a running one gets its time to end. */
static int bind_pod(struct pt_agent *a, cJSON *object, struct pt_err *err)
{
    static const char body[] = "{\"spec\":{\"nodeName\":\"" NODE_NAME "\"}}";
    if (*pt_obj_text(object, "spec.nodeName"))
        return PT_OK;
    int rc = pt_obj_set(pt_obj_mut(object, "spec"), "nodeName", cJSON_CreateString(NODE_NAME), err);
    if (rc < 0)
        return rc;
    struct pt_api_request req = {.verb = PT_VERB_MERGE_PATCH,
                                 .resource = &pt_res_pods,
                                 .ns = pt_obj_text(object, "metadata.namespace"),
                                 .name = pt_obj_text(object, "metadata.name"),
                                 .uid = pt_obj_text(object, "metadata.uid"),
                                 .grace_seconds = -1,
                                 .body = {body, sizeof body - 1},
                                 .field_manager = "pintle-agent"};
    return pt_memapi_do(a->o.memapi, &req, NULL, err) < 300 ? PT_OK : err->code;
}

/* The same file is for clusters, so this is no reason to refuse it, but it is said. */
static void tell_unused_image(const cJSON *object)
{
    const char *image = pt_obj_text(object, "spec.containers.0.image");
    if (*image && strcmp(image, PT_SIDECAR_IMAGE) != 0)
        pt_log(PT_LOG_WARN, "the image is not used: without a cluster pods run the pintle-sidecar of this machine", "pod",
               pt_obj_text(object, "metadata.name"), "image", image, NULL);
}

static void add_pod(struct pt_agent *a, cJSON *object)
{
    char address[16];
    struct pt_err err;
    struct pt_local_pod **grown = a->count < MAX_PODS && !a->stopping ? pt_reallocarray(a->pods, a->count + 1, sizeof *a->pods) : NULL;
    if (!grown) {
        cJSON_Delete(object);
        return;
    }
    a->pods = grown;
    next_address(a, address);
    tell_unused_image(object);
    if (bind_pod(a, object, &err) < 0) {
        pt_log(PT_LOG_ERROR, "pod cannot be bound", "error", err.msg, NULL);
        cJSON_Delete(object);
    } else if (pt_local_pod_create(a, &a->o, object, address, &a->pods[a->count], &err) < 0)
        pt_log(PT_LOG_ERROR, "pod cannot be run", "error", err.msg, NULL);
    else
        a->count++;
}

static void on_event(void *arg, const struct pt_watch_event *e)
{
    struct pt_agent *a = arg;
    if (e->type == PT_WATCH_BOOKMARK || e->type == PT_WATCH_ERROR)
        return;
    cJSON *object = cJSON_ParseWithLength(e->object.p, e->object.len);
    size_t i = index_of(a, pt_obj_text(object, "metadata.uid"));
    if (e->type == PT_WATCH_DELETED) {
        if (i < a->count)
            remove_pod(a, i); /* deleted without grace */
        cJSON_Delete(object);
    } else if (i < a->count) {
        pt_local_pod_update(a->pods[i], object);
    } else {
        add_pod(a, object);
    }
}

static void on_watch_end(void *arg, const struct pt_api_result *r);

/* A watch without resource version begins with an ADDED for each pod there is. */
static void start_watch(struct pt_timer *t)
{
    struct pt_agent *a = AGENT_OF(t, rewatch);
    struct pt_err err;
    struct pt_api_request req = {.verb = PT_VERB_LIST, .resource = &pt_res_pods, .timeout_ms = 3600000};
    if (pt_api_watch(pt_memapi_api(a->o.memapi), &req, on_event, on_watch_end, a, &a->watch, &err) < 0) {
        pt_log(PT_LOG_ERROR, "pods cannot be watched", "error", err.msg, NULL);
        pt_timer_start(pt_loop_sched(a->o.loop), &a->rewatch, REWATCH_MS, start_watch);
    }
}

static void on_watch_end(void *arg, const struct pt_api_result *r)
{
    struct pt_agent *a = arg;
    (void)r;
    a->watch = NULL;
    pt_timer_start(pt_loop_sched(a->o.loop), &a->rewatch, REWATCH_MS, start_watch);
}

int pt_agent_create(const struct pt_agent_options *o, struct pt_agent **out, struct pt_err *err)
{
    struct pt_agent *a = pt_calloc(1, sizeof *a);
    if (!a)
        return pt_fail(err, PT_ENOMEM, "node agent: out of memory");
    a->o = *o;
    a->next_address = (unsigned)getpid() * 509U; /* so that two of us on one machine do not meet */
    a->o.sidecar = a->sidecar = pt_strdup(o->sidecar);
    a->o.program = a->program = pt_strdup(o->program);
    a->o.state_dir = a->state_dir = pt_strdup(o->state_dir);
    pt_auto_free char *logs = pt_asprintf("%s/logs", o->state_dir), *pods = pt_asprintf("%s/pods", o->state_dir);
    int rc = a->sidecar && a->program && a->state_dir && logs && pods ? pt_path_mkdirs(logs, 0700, err)
                                                                      : pt_fail(err, PT_ENOMEM, "node agent: out of memory");
    if (rc == PT_OK)
        rc = pt_path_mkdirs(pods, 0700, err);
    if (rc < 0) {
        pt_agent_destroy(a);
        return rc;
    }
    pt_timer_start(pt_loop_sched(o->loop), &a->rewatch, 0, start_watch);
    *out = a;
    return PT_OK;
}

void pt_agent_stop(struct pt_agent *a, int64_t grace_ms, void (*done)(void *arg), void *arg)
{
    a->stopping = true;
    a->stopped = done;
    a->stopped_arg = arg;
    for (size_t i = a->count; i-- > 0;)
        pt_local_pod_stop(a->pods[i], grace_ms); /* a pod without process leaves the list here */
    if (a->count == 0)
        tell_stopped(a);
}

void pt_agent_destroy(struct pt_agent *a)
{
    if (!a)
        return;
    if (a->watch)
        pt_api_cancel(pt_memapi_api(a->o.memapi), a->watch);
    pt_timer_stop(pt_loop_sched(a->o.loop), &a->rewatch);
    a->stopped = NULL;
    while (a->count)
        remove_pod(a, a->count - 1);
    pt_free(a->pods);
    pt_free(a->sidecar);
    pt_free(a->program);
    pt_free(a->state_dir);
    pt_free(a);
}

static bool matches(const struct pt_local_pod *p, const cJSON *selector)
{
    const cJSON *wanted;
    cJSON_ArrayForEach(wanted, selector)
    {
        const char *label = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(pt_obj_get(p->object, "metadata.labels"), wanted->string));
        if (!label || !cJSON_IsString(wanted) || strcmp(label, wanted->valuestring) != 0)
            return false;
    }
    return true;
}

size_t pt_agent_endpoints(struct pt_agent *a, const char *ns, const cJSON *selector, const cJSON *target_port, struct pt_endpoint *out, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < a->count && n < max; i++) {
        const struct pt_local_pod *p = a->pods[i];
        int port = pt_local_pod_port(p, target_port);
        if (port && strcmp(p->ns, ns) == 0 && pt_local_pod_is_endpoint(p) && matches(p, selector))
            out[n++] = (struct pt_endpoint){p->address, port, pt_local_pod_uses_tls(p)};
    }
    return n;
}

static const struct pt_local_pod *pod_named(const struct pt_agent *a, const char *ns, const char *name, struct pt_err *err)
{
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->pods[i]->ns, ns) == 0 && strcmp(a->pods[i]->name, name) == 0)
            return a->pods[i];
    pt_fail(err, PT_ENOTFOUND, "pods \"%s\" not found", name);
    return NULL;
}

int pt_agent_pod_address(struct pt_agent *a, const char *ns, const char *pod, char out[16], struct pt_err *err)
{
    const struct pt_local_pod *p = pod_named(a, ns, pod, err);
    if (p)
        snprintf(out, 16, "%s", p->address);
    return p ? PT_OK : PT_ENOTFOUND;
}

int pt_agent_log_path(struct pt_agent *a, const char *ns, const char *pod, char *out, size_t size, struct pt_err *err)
{
    const struct pt_local_pod *p = pod_named(a, ns, pod, err);
    if (p)
        snprintf(out, size, "%s", p->log);
    return p ? PT_OK : PT_ENOTFOUND;
}
