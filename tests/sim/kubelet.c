/* SPDX-License-Identifier: Apache-2.0
 *
 * kubelet.c: nodes and sidecars. A pod is bound, starts, downloads, loads and is ready after random times; it reports to the operator; it
 * crashes, fails or is evicted; when deleted it ends a little later. Writes go straight into memapi.
 */
#include "tests/sim/world.h"

#include <stdio.h>

enum { BIND, START, LOAD, WARM, UP };

const char *sim_digest(int version)
{
    static char text[8][72];
    uint8_t digest[32];
    memset(digest, 17 + version, sizeof digest);
    pt_format_digest(digest, text[version & 7]);
    return text[version & 7];
}

static struct pt_sched *sched(struct kubelet_pod *p)
{
    return &p->w->clock.sched;
}

/* --- reports ------------------------------------------------------------------------------------------------------------- */

static void send_report(struct pt_timer *t)
{
    struct kubelet_pod *p = (struct kubelet_pod *)((char *)t - offsetof(struct kubelet_pod, report));
    struct pt_report r = {.state = p->state, .reason = p->state == PT_MODEL_FAILED ? p->reason : PT_REASON_NONE, .sequence = ++p->sequence, .started_ms = p->started_ms};
    memcpy(r.pod_uid, p->uid, sizeof p->uid);
    memcpy(r.pod_name, p->name, sizeof p->name);
    memcpy(r.ns, SIM_NS, sizeof SIM_NS);
    if (p->state == PT_MODEL_READY)
        memcpy(r.digest, p->digest, sizeof p->digest);
    if (p->state == PT_MODEL_FAILED)
        snprintf(r.message, sizeof r.message, "the model is not what was asked for");
    bool loaded = load_fill(p, &r) | watch_fill(p, &r);
    int64_t next = load_send(p, &r);
    /* without a load routine reports say nothing new: rarely is enough */
    pt_timer_start(sched(p), &p->report, next < 0 || loaded ? 1000 : 60000, send_report);
}

static void set_state(struct kubelet_pod *p, enum pt_model_state state)
{
    p->state = state;
    pt_timer_start(sched(p), &p->report, 0, send_report);
}

/* --- status -------------------------------------------------------------------------------------------------------------- */

static void write_status(struct pt_timer *t)
{
    struct kubelet_pod *p = (struct kubelet_pod *)((char *)t - offsetof(struct kubelet_pod, sync));
    struct world *w = p->w;
    char body[700], now[24];
    bool ready = p->container_ready && p->gate;
    pt_format_time(pt_wall_ms(sched(p)), now);
    int n = snprintf(body, sizeof body,
                     "{\"metadata\":{\"uid\":\"%s\"},\"status\":{\"phase\":\"%s\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"%s\"%s%s%s}],\"containerStatuses\":["
                     "{\"name\":\"sidecar\",\"ready\":%s,\"restartCount\":%d}]}}",
                     p->uid, p->phase_ended ? "Failed" : "Running", ready ? "True" : "False", ready != p->shown_ready ? ",\"lastTransitionTime\":\"" : "",
                     ready != p->shown_ready ? now : "", ready != p->shown_ready ? "\"" : "", p->container_ready ? "true" : "false", p->restarts);
    p->ready_from_ms = ready && !p->shown_ready ? w->clock.now : p->ready_from_ms;
    p->shown_ready = ready;
    p->ready_until_ms = ready ? INT64_MAX : p->ready_until_ms == INT64_MAX ? w->clock.now : p->ready_until_ms;
    world_log(w, "kubelet: %s is %s%s", p->name, p->phase_ended ? "Failed, " : "", ready ? "Ready" : "not ready");
    (void)world_do(w, (struct pt_api_request){.verb = PT_VERB_STRATEGIC, .resource = &pt_res_pods, .ns = SIM_NS, .name = p->name, .subresource = "status",
                                              .body = {body, (size_t)n}, .grace_seconds = -1}, "kubelet", true);
}

static void sync_soon(struct kubelet_pod *p)
{
    if (!pt_timer_running(&p->sync))
        pt_timer_start(sched(p), &p->sync, between(&p->w->rand, 5, 300), write_status);
}

/* --- life ---------------------------------------------------------------------------------------------------------------- */

static void live(struct pt_timer *t)
{
    struct kubelet_pod *p = (struct kubelet_pod *)((char *)t - offsetof(struct kubelet_pod, life));
    struct world *w = p->w;
    if (p->terminating || p->phase_ended)
        return;
    static const char bind[] = "{\"spec\":{\"nodeName\":\"node-1\"}}";
    switch (p->step++) {
    case BIND:
        (void)world_do(w, (struct pt_api_request){.verb = PT_VERB_MERGE_PATCH, .resource = &pt_res_pods, .ns = SIM_NS, .name = p->name,
                                                  .body = {bind, sizeof bind - 1}, .grace_seconds = -1}, "scheduler", true);
        break;
    case START:
        p->started_ms = w->clock.now + 1;
        p->sequence = 0;
        sync_soon(p);
        set_state(p, PT_MODEL_DOWNLOADING);
        break;
    case LOAD:
        if (p->fails) {
            set_state(p, PT_MODEL_FAILED);
            return;
        }
        set_state(p, PT_MODEL_LOADING);
        break;
    case WARM:
        set_state(p, PT_MODEL_READY);
        break;
    case UP:
        p->container_ready = true; /* the next readiness probe */
        sync_soon(p);
        return;
    }
    pt_timer_start(sched(p), &p->life, between(&w->rand, 1, chance(&w->rand, 0.1) ? 20000 : 1500), live);
}

static void end_now(struct pt_timer *t)
{
    struct kubelet_pod *p = (struct kubelet_pod *)((char *)t - offsetof(struct kubelet_pod, end));
    (void)world_do(p->w, (struct pt_api_request){.verb = PT_VERB_DELETE, .resource = &pt_res_pods, .ns = SIM_NS, .name = p->name, .uid = p->uid, .grace_seconds = 0},
                   "kubelet", true);
}

/* What this pod's sidecar will find: the configuration names a version by its digest and the file by its URI. */
static void read_config(struct kubelet_pod *p, const cJSON *tree)
{
    pt_auto_obj *config = NULL;
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(pt_obj_get(tree, "metadata.annotations"), PT_ANNOTATION_CONFIG));
    struct pt_err err;
    if (!text || pt_obj_parse(pt_str(text), "config", &config, &err) < 0) {
        world_break(p->w, "pod %s: configuration annotation missing or not JSON", p->name);
        return;
    }
    const char *uri = pt_obj_str(config, "model.uri"), *digest = pt_obj_str(config, "model.digest");
    int version = uri ? uri[strlen(uri) - 1] - '0' : 0;
    const char *made = uri ? strstr(uri, "/sha256-") : NULL; /* of a compression: named by what it is */
    if (made)
        snprintf(p->digest, sizeof p->digest, "sha256:%.64s", made + sizeof "/sha256-" - 1);
    else
        snprintf(p->digest, sizeof p->digest, "%.71s", sim_digest(version));
    p->fails = digest && strcmp(digest, p->digest) != 0;
    p->reason = PT_REASON_DIGEST_MISMATCH;
}

/* Beside containers of the user's the sidecar is a native one; else it is the only container. */
static void check_containers(struct kubelet_pod *p, const cJSON *tree)
{
    const char *first = pt_obj_text(tree, "spec.containers.0.name"), *init = pt_obj_text(tree, "spec.initContainers.0.name");
    bool alone = !strcmp(first, PT_CONTAINER) && !*init;
    bool native = !strcmp(first, "web") && !strcmp(init, PT_CONTAINER) && !strcmp(pt_obj_text(tree, "spec.initContainers.0.restartPolicy"), "Always");
    p->native = native;
    if (!alone && !native)
        world_break(p->w, "pod %s: containers %s, init containers %s", p->name, first, init);
}

static struct kubelet_pod *new_pod(struct world *w, const char *name, const cJSON *tree)
{
    struct kubelet_pod *p = pt_calloc(1, sizeof *p);
    struct pt_err err;
    if (!p || pt_map_set(&w->pods, pt_str(name), p, NULL, &err) < 0) {
        world_break(w, "kubelet: out of memory");
        return NULL;
    }
    p->revenant = pt_map_get(&w->names, pt_str(name)) != NULL;
    if (pt_map_set(&w->names, pt_str(name), w, NULL, &err) < 0)
        world_break(w, "kubelet: out of memory");
    p->w = w;
    p->link = &w->all;
    p->next = w->all;
    if (p->next)
        p->next->link = &p->next;
    w->all = p;
    snprintf(p->name, sizeof p->name, "%s", name);
    snprintf(p->uid, sizeof p->uid, "%s", pt_obj_text(tree, "metadata.uid"));
    read_config(p, tree);
    check_containers(p, tree);
    pt_timer_start(sched(p), &p->life, between(&w->rand, 1, 200), live);
    return p;
}

static void free_pod(struct kubelet_pod *p)
{
    *p->link = p->next;
    if (p->next)
        p->next->link = p->link;
    pt_timer_stop(sched(p), &p->life);
    pt_timer_stop(sched(p), &p->sync);
    pt_timer_stop(sched(p), &p->report);
    pt_timer_stop(sched(p), &p->end);
    pt_free(p);
}

/* A pod that others took away: it was ready until now. */
static void remember(struct world *w, const struct kubelet_pod *p)
{
    if (p->draining || p->ready_until_ms <= 0)
        return;
    struct ghost *g = &w->ghosts[w->ghost_count++ % SIM_GHOSTS];
    g->ready_until_ms = p->ready_until_ms == INT64_MAX ? w->clock.now : p->ready_until_ms;
    snprintf(g->owner_uid, sizeof g->owner_uid, "%s", p->owner_uid);
    snprintf(g->revision, sizeof g->revision, "%s", p->revision);
}

/* Whose it is: its controller. */
static const char *controller_of(const cJSON *meta)
{
    const cJSON *e;
    cJSON_ArrayForEach(e, pt_obj_get(meta, "ownerReferences")) if (pt_obj_true(e, "controller")) return pt_obj_text(e, "uid");
    return "";
}

static const char *label_of(const cJSON *meta, const char *name)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(pt_obj_get(meta, "labels"), name));
    return s ? s : "";
}

static const cJSON *gate_of(const cJSON *tree)
{
    const cJSON *c;
    cJSON_ArrayForEach(c, pt_obj_get(tree, "status.conditions")) if (!strcmp(pt_obj_text(c, "type"), PT_READINESS_GATE)) return c;
    return NULL;
}

static void see_owner(struct world *w, struct kubelet_pod *p, const cJSON *meta)
{
    const char *owner = controller_of(meta);
    if (*p->owner_uid && strcmp(p->owner_uid, owner) != 0)
        remember(w, p); /* the operator may still count on it */
    for (int i = 0; i < SIM_MDS && *owner && p->seen && !*p->owner_uid; i++)
        w->wish[i].most += !strcmp(w->wish[i].uid, owner); /* taken in */
    snprintf(p->owner_uid, sizeof p->owner_uid, "%s", owner);
    p->stray = !*owner && !strcmp(label_of(meta, PT_LABEL_NAME), "stray");
}

static void see_gate(struct kubelet_pod *p, const cJSON *gate)
{
    const char *status = pt_obj_text(gate, "status");
    p->draining = !strcmp(status, "False") && !strcmp(pt_obj_text(gate, "reason"), "PodRemoval");
    if (p->gate == !strcmp(status, "True"))
        return;
    p->gate = !p->gate;
    if ((p->container_ready && p->gate) != p->shown_ready)
        sync_soon(p);
}

static void see_end(struct kubelet_pod *p)
{
    struct world *w = p->w;
    p->terminating = true;
    p->ready_until_ms = p->ready_until_ms == INT64_MAX ? w->clock.now : p->ready_until_ms;
    pt_timer_stop(sched(p), &p->report);
    pt_timer_start(sched(p), &p->end, between(&w->rand, 10, 3000), end_now);
}

static void observe_pod(void *arg, const char *ns, const char *name, struct pt_str object)
{
    struct world *w = arg;
    struct kubelet_pod *p = pt_map_get(&w->pods, pt_str(name));
    if (p && p->seen == object.p) {
        p->epoch = w->epoch;
        return;
    }
    const cJSON *tree = pt_memapi_tree(w->api, &pt_res_pods, ns, name), *meta = pt_obj_get(tree, "metadata");
    if (!p && work_observe(w, tree))
        return;
    if (p && strcmp(p->uid, pt_obj_text(meta, "uid")) != 0) { /* gone and made again under its name */
        pt_map_remove(&w->pods, pt_str(name));
        free_pod(p);
        p = NULL;
    }
    if (!p && !(p = new_pod(w, name, tree)))
        return;
    p->epoch = w->epoch;
    see_owner(w, p, meta);
    p->seen = object.p;
    snprintf(p->revision, sizeof p->revision, "%s", label_of(meta, PT_LABEL_REVISION));
    see_gate(p, gate_of(tree));
    if (pt_obj_get(meta, "deletionTimestamp") && !p->terminating)
        see_end(p);
}

void kubelet_observe(struct world *w)
{
    void *v;
    struct pt_str name;
    w->epoch++;
    pt_memapi_each(w->api, &pt_res_pods, observe_pod, w);
    for (size_t i = 0; pt_map_next(&w->pods, &i, &name, &v);)
        if (((struct kubelet_pod *)v)->epoch != w->epoch) {
            struct kubelet_pod *p = v;
            remember(w, p);
            pt_map_remove(&w->pods, name);
            free_pod(p);
        }
    work_observed(w);
}

void kubelet_finish(struct world *w)
{
    void *v;
    for (size_t i = 0; pt_map_next(&w->pods, &i, NULL, &v);)
        free_pod(v);
    pt_map_finish(&w->pods);
    pt_map_finish(&w->names);
    work_finish(w);
}

/* --- bad days ------------------------------------------------------------------------------------------------------------ */

static struct kubelet_pod *any_pod(struct world *w)
{
    size_t n = w->pods.count ? pt_rand_below(&w->rand, (uint32_t)w->pods.count) : 0;
    void *v;
    for (size_t i = 0; pt_map_next(&w->pods, &i, NULL, &v);)
        if (n-- == 0)
            return v;
    return NULL;
}

void kubelet_crash_one(struct world *w)
{
    struct kubelet_pod *p = any_pod(w);
    if (!p || p->terminating || p->phase_ended || p->step <= START)
        return;
    world_log(w, "kubelet: the container of %s crashes", p->name);
    p->container_ready = false;
    p->restarts++;
    p->step = START;
    pt_timer_stop(sched(p), &p->report);
    sync_soon(p);
    pt_timer_start(sched(p), &p->life, between(&w->rand, 100, 10000), live);
}

void kubelet_fail_one(struct world *w)
{
    struct kubelet_pod *p = any_pod(w);
    if (!p || p->terminating || p->phase_ended)
        return;
    world_log(w, "kubelet: evicts %s", p->name);
    p->phase_ended = true;
    p->container_ready = false;
    pt_timer_stop(sched(p), &p->report);
    pt_timer_stop(sched(p), &p->life);
    sync_soon(p);
}

void kubelet_monkey(struct world *w, bool relabel)
{
    static const char label[] = "{\"metadata\":{\"labels\":{\"" PT_LABEL_NAME "\":\"stray\"}}}", owner[] = "{\"metadata\":{\"ownerReferences\":null}}";
    struct kubelet_pod *p = any_pod(w);
    if (!p || p->terminating || p->phase_ended || !*p->owner_uid)
        return;
    world_log(w, "user: takes the %s from %s", relabel ? "label" : "owner", p->name);
    (void)world_do(w, (struct pt_api_request){.verb = PT_VERB_MERGE_PATCH, .resource = &pt_res_pods, .ns = SIM_NS, .name = p->name,
                                              .body = pt_str(relabel ? label : owner), .grace_seconds = -1}, "user", true);
}
