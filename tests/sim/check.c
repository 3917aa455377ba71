/* SPDX-License-Identifier: Apache-2.0
 *
 * check.c: the invariants.
 *
 *   most     never more live pods than replicas + maxSurge (of the loosest wish not yet fulfilled)
 *   floor    a pod that serves is taken out only when replicas - maxUnavailable others are available
 *   first    a pod is deleted by the operator only when it does not serve, whatever the operator knows of it
 *   truth    Ready=True for the current generation only when that many pods of the newest revision are ready
 *   leader   only the operator that leads writes, while its Lease is good (world.c)
 *   shape    each pod's containers are what the template says (kubelet.c)
 *   load     what autoscaling may do (load.c)
 *   end      when faults have stopped everything becomes as wished, or says why not; then nothing is written for an hour
 *
 * "Available" allows for what the operator cannot know yet: a pod that was ready within the last stale_ms counts.
 */
#include "tests/sim/world.h"
#include "base/json.h"

#include <stdio.h>

#define PROXIES_MS 5000

static bool live(const struct kubelet_pod *p)
{
    return !p->terminating && !p->draining && !p->phase_ended;
}

static bool recent(struct world *w, int64_t until_ms)
{
    return until_ms == INT64_MAX || (until_ms > 0 && until_ms >= w->clock.now - w->p.stale_ms);
}

/* Available as far as the operator can know. */
static bool recently_ready(struct world *w, const struct kubelet_pod *p)
{
    return !p->draining && recent(w, p->ready_until_ms);
}

static int ghosts_of(struct world *w, const char *owner, const char *revision)
{
    int n = 0;
    for (unsigned i = 0; i < SIM_GHOSTS && i < w->ghost_count; i++) {
        const struct ghost *g = &w->ghosts[i];
        n += !strcmp(g->owner_uid, owner) && (!revision || !strcmp(g->revision, revision)) && recent(w, g->ready_until_ms);
    }
    return n;
}

static void check_bounds(struct world *w, struct wish *m)
{
    int pods = 0, available = ghosts_of(w, m->uid, NULL), drained_now = 0;
    const char *drained = "";
    void *v;
    for (size_t i = 0; pt_map_next(&w->pods, &i, NULL, &v);) {
        struct kubelet_pod *p = v;
        if (strcmp(p->owner_uid, m->uid) != 0)
            continue;
        pods += live(p) && !p->revenant;
        available += recently_ready(w, p);
        if (p->draining && !p->drain_seen) {
            p->drain_seen = true;
            drained_now += recent(w, p->ready_until_ms);
            drained = p->name;
        }
    }
    if (pods > m->most && w->clock.now > w->slack_until_ms)
        world_break(w, "%s has %d live pods, at most %d are allowed", m->name, pods, m->most);
    if (drained_now && available < m->floor)
        world_break(w, "%s: pod %s was taken out of service with %d others available, at least %d are wanted", m->name, drained, available, m->floor);
}

static int ready_of(struct world *w, const char *owner, const char *revision, bool recently)
{
    int n = recently ? ghosts_of(w, owner, revision) : 0;
    void *v;
    for (size_t i = 0; pt_map_next(&w->pods, &i, NULL, &v);) {
        struct kubelet_pod *p = v;
        if (!strcmp(p->owner_uid, owner) && !strcmp(p->revision, revision))
            n += recently ? recently_ready(w, p) : p->shown_ready && live(p);
    }
    return n;
}

static bool cond(const cJSON *md, const char *type, const char *status)
{
    const cJSON *c;
    cJSON_ArrayForEach(c, pt_obj_get(md, "status.conditions"))
    {
        const char *t = pt_obj_str(c, "type"), *s = pt_obj_str(c, "status");
        if (t && s && !strcmp(t, type))
            return !strcmp(s, status);
    }
    return false;
}

/* A rollback changes the spec behind the user's back. */
static void follow_spec(struct wish *m, const cJSON *md)
{
    const char *uri = pt_obj_text(md, "spec.model.uri");
    if (!*uri)
        return;
    m->version = uri[strlen(uri) - 1] - '0';
    m->bad = strcmp(pt_obj_text(md, "spec.model.digest"), sim_digest(m->version)) != 0;
    m->own_containers = pt_obj_get(md, "spec.template.spec.containers") != NULL;
    m->recipe = (int)pt_obj_int(md, "spec.compression.recipe.stages.0.n", 0);
    int replicas = (int)pt_obj_int(md, "spec.replicas", 1);
    if (m->scaled && replicas != m->replicas && !strcmp(pt_obj_text(md, "metadata.uid"), m->uid)) {
        m->replicas = replicas;
        wish_widen(m);
    }
}

/* Only what the operator has written just now: when nobody leads, what it said last may be true no longer. */
static bool status_is_new(struct wish *m, struct pt_str object)
{
    struct pt_json j;
    struct pt_str key, value, status = {NULL, 0};
    pt_json_init(&j, object.p, object.len);
    if (pt_json_object(&j, NULL) < 0)
        return false;
    while (pt_json_member(&j, &key, NULL) == 1 && pt_json_value(&j, &value, NULL) == PT_OK)
        if (pt_json_key_is(&key, "status"))
            status = value;
    uint64_t was = m->status;
    if (!status.len)
        return false;
    m->status = pt_hash_words(status.p, status.len);
    return m->status != was;
}

static void check_truth(struct world *w, struct wish *m, const cJSON *md, struct pt_str text)
{
    const char *uid = pt_obj_str(md, "metadata.uid"), *revision = pt_obj_str(md, "status.updateRevision");
    if (!uid || strcmp(uid, m->uid) != 0 || pt_obj_get(md, "metadata.deletionTimestamp") || !status_is_new(m, text))
        return;
    if (pt_obj_int(md, "status.observedGeneration", 0) != pt_obj_int(md, "metadata.generation", 0) || !cond(md, "Ready", "True"))
        return;
    int ready = ready_of(w, uid, revision ? revision : "", true);
    if (ready < m->replicas)
        world_break(w, "%s says Ready with %d of %d pods of %s ready", m->name, ready, m->replicas, revision);
    if (m->bad && m->replicas)
        world_break(w, "%s says Ready with a model that cannot be loaded", m->name);
    void *v;
    char served[72];
    work_served(m, served);
    for (size_t i = 0; pt_map_next(&w->pods, &i, NULL, &v);) {
        const struct kubelet_pod *p = v;
        if (!strcmp(p->owner_uid, uid) && revision && !strcmp(p->revision, revision) && (strcmp(p->digest, served) != 0 || p->native != m->own_containers))
            world_break(w, "%s says Ready, and pod %s is not what it declares", m->name, p->name);
    }
    int surge = amount_of(m->surge, m->replicas, true), unavailable = amount_of(m->unavailable, m->replicas, false);
    if (!surge && !unavailable)
        unavailable = 1;
    m->most = m->replicas + (m->recreate ? 0 : surge);
    m->floor = m->recreate || m->replicas < unavailable ? 0 : m->replicas - unavailable;
}

/* Asked for it may be, by what the operator knows; the server must refuse it. */
void check_wrote(struct world *w, const struct pt_api_request *req)
{
    const struct kubelet_pod *p = req->verb == PT_VERB_DELETE && req->resource == &pt_res_pods ? pt_map_get(&w->pods, pt_str(req->name)) : NULL;
    if (p && !strcmp(req->field_manager, PT_MANAGER) && p->shown_ready && !p->draining && !p->terminating)
        world_break(w, "pod %s is deleted while it serves", p->name);
}

/* Proxies that have missed an outage of the API server must have time to follow. */
void check_asked(struct world *w, const struct pt_api_request *req)
{
    const struct kubelet_pod *p = req->verb == PT_VERB_DELETE && req->resource == &pt_res_pods ? pt_map_get(&w->pods, pt_str(req->name)) : NULL;
    if (p && req->uid && !strcmp(p->uid, req->uid) && p->draining && w->back_ms && w->clock.now - w->back_ms < PROXIES_MS)
        world_break(w, "pod %s is deleted %lld ms after the API server came back: proxies may still send it requests", p->name, (long long)(w->clock.now - w->back_ms));
}

static void check_wish(struct world *w, struct wish *m)
{
    struct pt_str text = pt_memapi_peek(w->api, &pt_res_modeldeployments, SIM_NS, m->name);
    const cJSON *md = text.len && text.p != m->seen ? world_stored(w, m) : NULL;
    if (md) {
        m->seen = text.p;
        follow_spec(m, md);
    }
    check_bounds(w, m);
    if (md)
        check_truth(w, m, md, text);
}

void check_now(struct world *w)
{
    for (int i = 0; i < SIM_MDS; i++) {
        if (!w->wish[i].uid[0])
            continue;
        check_wish(w, &w->wish[i]);
    }
}

/* --- the end ------------------------------------------------------------------------------------------------------------- */

struct tally {
    struct world *w;
    int count;
    const char *owner;
};

static void tally_owned(void *arg, const char *ns, const char *name, struct pt_str object)
{
    struct tally *t = arg;
    (void)ns;
    (void)name;
    t->count += memmem(object.p, object.len, t->owner, strlen(t->owner)) != NULL;
}

static int owned(struct world *w, const struct pt_resource *res, const char *uid)
{
    struct tally t = {w, 0, uid};
    pt_memapi_each(w->api, res, tally_owned, &t);
    return t.count;
}

static const char *message_of(const cJSON *md, const char *type)
{
    const cJSON *c;
    cJSON_ArrayForEach(c, pt_obj_get(md, "status.conditions")) if (!strcmp(pt_obj_text(c, "type"), type)) return pt_obj_text(c, "message");
    return "";
}

static void check_good(struct world *w, struct wish *m, const cJSON *md, const char *revision)
{
    int all = 0;
    void *v;
    for (size_t i = 0; pt_map_next(&w->pods, &i, NULL, &v);)
        all += !strcmp(((struct kubelet_pod *)v)->owner_uid, m->uid);
    int ready = ready_of(w, m->uid, revision, false);
    if (all != m->replicas || ready != m->replicas)
        world_break(w, "end: %s has %d pods, %d of them ready and of %s; wanted %d", m->name, all, ready, revision, m->replicas);
    static const char *const wanted[][2] = {{"Ready", "True"}, {"Available", "True"}, {"Progressing", "True"}, {"Reconciling", "False"}, {"Stalled", "False"}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (!cond(md, wanted[i][0], wanted[i][1]))
            world_break(w, "end: %s: condition %s is not %s: %s", m->name, wanted[i][0], wanted[i][1], message_of(md, wanted[i][0]));
    if (m->replicas && !cond(md, "ModelLoaded", "True"))
        world_break(w, "end: %s: condition ModelLoaded is not True", m->name);
    const char *current = pt_obj_str(md, "status.currentRevision");
    if (!current || strcmp(current, revision) != 0)
        world_break(w, "end: %s: currentRevision is %s, updateRevision %s", m->name, current ? current : "unset", revision);
    if (pt_obj_int(md, "status.readyReplicas", -1) != m->replicas || pt_obj_int(md, "status.terminatingReplicas", -1) != 0)
        world_break(w, "end: %s: readyReplicas is %lld, terminatingReplicas %lld", m->name, (long long)pt_obj_int(md, "status.readyReplicas", -1),
                    (long long)pt_obj_int(md, "status.terminatingReplicas", -1));
}

/* What a HorizontalPodAutoscaler and kubectl scale go by. */
static void check_scale(struct world *w, struct wish *m, const cJSON *md)
{
    pt_auto_buf b = PT_BUF_INIT(0);
    pt_auto_obj *scale = NULL;
    struct pt_api_request req = {.verb = PT_VERB_GET, .resource = &pt_res_modeldeployments, .ns = SIM_NS, .name = m->name, .subresource = "scale", .grace_seconds = -1};
    if (pt_memapi_do(w->api, &req, &b, NULL) != 200 || pt_obj_parse((struct pt_str){b.data, b.len}, "scale", &scale, NULL) < 0)
        world_break(w, "end: %s has no scale", m->name);
    else if (pt_obj_int(scale, "spec.replicas", -1) != pt_obj_int(md, "spec.replicas", -2) || pt_obj_int(scale, "status.replicas", -1) != pt_obj_int(md, "status.replicas", -2) ||
             strcmp(pt_obj_text(scale, "status.selector"), pt_obj_text(md, "status.selector")) != 0 || !*pt_obj_text(scale, "status.selector"))
        world_break(w, "end: the scale of %s is not what the object says", m->name);
    if (m->scaled && m->replicas && pt_obj_int(md, "status.autoscaling.desiredReplicas", -1) != m->replicas)
        world_break(w, "end: %s wants %lld replicas and has %d", m->name, (long long)pt_obj_int(md, "status.autoscaling.desiredReplicas", -1), m->replicas);
}

static void check_one(struct world *w, struct wish *m)
{
    const cJSON *md = world_stored(w, m);
    if (!m->uid[0]) {
        if (md)
            world_break(w, "end: %s is still there after its deletion", m->name);
        return;
    }
    if (!md) {
        world_break(w, "end: %s is gone", m->name);
        return;
    }
    load_check_end(w, m);
    watch_check_end(w, m, md);
    work_check_end(w, m, md);
    check_scale(w, m, md);
    const char *revision = pt_obj_str(md, "status.updateRevision");
    if (pt_obj_int(md, "status.observedGeneration", 0) != pt_obj_int(md, "metadata.generation", -1) || !revision)
        world_break(w, "end: %s: the status is not of the current generation", m->name);
    else if (!m->bad || m->replicas == 0)
        check_good(w, m, md, revision);
    else if (!cond(md, "ModelLoaded", "False") || !cond(md, "Ready", "False"))
        world_break(w, "end: %s: a bad model does not show in the conditions", m->name);
    if (owned(w, &pt_res_services, m->uid) != 1)
        world_break(w, "end: %s has no Service", m->name);
    if (owned(w, &pt_res_poddisruptionbudgets, m->uid) != (m->budget >= 0))
        world_break(w, "end: %s has %s PodDisruptionBudget", m->name, m->budget >= 0 ? "no" : "a");
    if (cJSON_GetObjectItemCaseSensitive(pt_obj_get(md, "metadata.annotations"), PT_ANNOTATION_ROLLBACK))
        world_break(w, "end: %s: a rollback was not carried out", m->name);
    int revisions = owned(w, &pt_res_controllerrevisions, m->uid);
    if (revisions > 2 + 3) /* newest, current, and what still serves between them */
        world_break(w, "end: %s keeps %d revisions with a limit of 2", m->name, revisions);
}

/* Without an owner: let go, or left behind by a deletion that orphans. */
static bool is_expected(struct world *w, const struct kubelet_pod *p)
{
    bool expected = !*p->owner_uid;
    for (int i = 0; i < SIM_MDS; i++)
        expected |= w->wish[i].uid[0] && !strcmp(p->owner_uid, w->wish[i].uid);
    return expected;
}

void check_end(struct world *w)
{
    void *v;
    for (int i = 0; i < SIM_MDS && !w->broken; i++)
        check_one(w, &w->wish[i]);
    for (size_t i = 0; pt_map_next(&w->pods, &i, NULL, &v);)
        if (!is_expected(w, v))
            world_break(w, "end: pod %s is left over from a deleted owner, %s", ((struct kubelet_pod *)v)->name, ((struct kubelet_pod *)v)->owner_uid);
}
