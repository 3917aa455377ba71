/* SPDX-License-Identifier: Apache-2.0
 *
 * user.c: what people do to ModelDeployments, and to the cluster below them: by chance, or by a script ("create a 3; wait 60; model a 2").
 *
 * One row per action. Each action has luck of its own, drawn from the seed and its number, so that leaving one out does not change the others.
 */
#include "tests/sim/world.h"

#include <stdio.h>
#include <stdlib.h>

#define NONE INT32_MIN

int amount_of(struct amount a, int of, bool up)
{
    return a.percent ? (a.value * of + (up ? 99 : 0)) / 100 : a.value;
}

static int arg_or(struct world *w, int arg, int low, int high)
{
    return arg != NONE ? arg : (int)between(&w->story, low, high);
}

/* --- the spec ------------------------------------------------------------------------------------------------------------ */

static void put_amount(char out[16], struct amount a)
{
    snprintf(out, 16, a.percent ? "\"%d%%\"" : "%d", a.value);
}

static int spec_of(const struct wish *m, char *body, size_t size)
{
    char rolling[80] = "null", surge[16], unavailable[16], budget[48] = "null", autoscaling[160], monitoring[240], compression[200], replicas[32] = "";
    load_put(m, autoscaling, sizeof autoscaling);
    watch_put(m, monitoring, sizeof monitoring);
    work_put(m, compression, sizeof compression);
    /* with an autoscaler what a user applies has no replicas */
    if (!m->scaled || !m->exists)
        snprintf(replicas, sizeof replicas, "\"replicas\":%d,", m->replicas);
    put_amount(surge, m->surge);
    put_amount(unavailable, m->unavailable);
    if (!m->recreate)
        snprintf(rolling, sizeof rolling, "{\"maxSurge\":%s,\"maxUnavailable\":%s}", surge, unavailable);
    if (m->budget >= 0)
        snprintf(budget, sizeof budget, "{\"maxUnavailable\":%d}", m->budget);
    return snprintf(body, size,
                    "{\"apiVersion\":\"pintle.dev/v1alpha1\",\"kind\":\"ModelDeployment\",\"metadata\":{\"name\":\"%s\",\"annotations\":{\"" PT_ANNOTATION_ROLLBACK
                    "\":null}},\"spec\":{%s\"autoscaling\":%s,\"monitoring\":%s,\"compression\":%s,\"paused\":%s,\"disruption\":%s,\"template\":%s,\"model\":{"
                    "\"uri\":\"https://models/m%d\",\"digest\":\"%s\"},\"strategy\":{\"type\":\"%s\",\"rollingUpdate\":%s},\"revisionHistoryLimit\":2}}",
                    m->name, replicas, autoscaling, monitoring, compression, m->paused ? "true" : "null", budget,
                    m->own_containers ? "{\"spec\":{\"containers\":[{\"name\":\"web\",\"image\":\"w\"}]}}" : "null", m->version, sim_digest(m->version + m->bad),
                    m->recreate ? "Recreate" : "RollingUpdate", rolling);
}

/* The bounds that the operator may act on from now: the loosest of all wishes since the last one that was fulfilled. */
void wish_widen(struct wish *m)
{
    int surge = amount_of(m->surge, m->replicas, true), unavailable = amount_of(m->unavailable, m->replicas, false);
    if (surge == 0 && unavailable == 0)
        unavailable = 1;
    int most = m->replicas + (m->recreate ? 0 : surge), floor = m->recreate ? 0 : m->replicas - unavailable;
    m->most = most > m->most ? most : m->most;
    m->floor = floor < m->floor ? floor : m->floor;
    m->floor = m->floor > 0 ? m->floor : 0;
}

static void write_spec(struct world *w, struct wish *m, const char *what)
{
    char body[2000];
    struct pt_str text = {body, (size_t)spec_of(m, body, sizeof body)};
    pt_auto_obj *whole = NULL;
    pt_auto_buf first = PT_BUF_INIT(0);
    if (!m->exists && pt_obj_parse(text, "spec", &whole, NULL) == PT_OK && pt_obj_canonical(whole, &first, NULL) == PT_OK)
        text = (struct pt_str){first.data, first.len}; /* nulls are for patches */
    world_log(w, "user: %s %s: replicas %d, version %d%s, surge %d%s, unavailable %d%s%s%s%s", what, m->name, m->replicas, m->version, m->bad ? " (bad)" : "",
              m->surge.value, m->surge.percent ? "%" : "", m->unavailable.value, m->unavailable.percent ? "%" : "", m->recreate ? ", Recreate" : "",
              m->paused ? ", paused" : "", m->own_containers ? ", own containers" : "");
    wish_widen(m);
    m->retreats = 0;
    (void)world_do(w,
                   (struct pt_api_request){.verb = m->exists ? PT_VERB_MERGE_PATCH : PT_VERB_CREATE,
                                           .resource = &pt_res_modeldeployments,
                                           .ns = SIM_NS,
                                           .name = m->exists ? m->name : NULL,
                                           .body = text,
                                           .grace_seconds = -1},
                   "user", false);
    const cJSON *stored = world_stored(w, m);
    if (stored)
        snprintf(m->uid, sizeof m->uid, "%s", pt_obj_text(stored, "metadata.uid"));
    m->exists = true;
}

/* Pods that a new ModelDeployment of this name may take in. */
static int orphans(struct world *w)
{
    int n = 0;
    void *v;
    for (size_t i = 0; pt_map_next(&w->pods, &i, NULL, &v);)
        n += !*((struct kubelet_pod *)v)->owner_uid && !((struct kubelet_pod *)v)->stray;
    return n;
}

/* --- actions ------------------------------------------------------------------------------------------------------------- */

static void create(struct world *w, struct wish *m, int a, int b)
{
    m->most = m->floor = 0;
    m->replicas = arg_or(w, a, 0, 4);
    m->version = arg_or(w, b, 0, 3);
    m->bad = a == NONE && chance(&w->story, 0.15);
    m->recreate = a == NONE && chance(&w->story, 0.15);
    m->paused = a == NONE && chance(&w->story, 0.05);
    m->own_containers = a == NONE && chance(&w->story, 0.1);
    m->budget = a == NONE && chance(&w->story, 0.2) ? 1 : -1;
    m->scaled = m->watched = false;
    m->recipe = 0;
    m->surge = (struct amount){a == NONE ? (int)between(&w->story, 0, 2) : 1, false};
    m->unavailable = (struct amount){!m->surge.value ? 1 : a == NONE ? (int)between(&w->story, 0, 2) : 0, false};
    write_spec(w, m, "create");
    m->most += orphans(w);
}

static void remove_it(struct world *w, struct wish *m, const char *how)
{
    world_log(w, "user: delete %s%s%s", m->name, how ? ", " : "", how ? how : "");
    (void)world_do(
        w, (struct pt_api_request){.verb = PT_VERB_DELETE, .resource = &pt_res_modeldeployments, .ns = SIM_NS, .name = m->name, .propagation = how, .grace_seconds = -1},
        "user", false);
    m->exists = pt_memapi_peek(w->api, &pt_res_modeldeployments, SIM_NS, m->name).len > 0; /* foreground: it waits for its pods */
    m->uid[0] = 0;
}

static void erase(struct world *w, struct wish *m, int a, int b)
{
    (void)a, (void)b;
    remove_it(w, m, chance(&w->story, 0.3) ? "Foreground" : NULL);
}

static void erase_foreground(struct world *w, struct wish *m, int a, int b)
{
    (void)a, (void)b;
    remove_it(w, m, "Foreground");
}

static void orphan(struct world *w, struct wish *m, int a, int b)
{
    (void)a, (void)b;
    remove_it(w, m, "Orphan");
}

static void replace(struct world *w, struct wish *m, int a, int b)
{
    erase(w, m, a, b);
    if (!m->exists)
        create(w, m, a, b);
}

static void scale(struct world *w, struct wish *m, int a, int b)
{
    char body[64];
    (void)b;
    m->replicas = arg_or(w, a, 0, 5);
    int n = snprintf(body, sizeof body, "{\"spec\":{\"replicas\":%d}}", m->replicas);
    world_log(w, "user: scale %s to %d", m->name, m->replicas);
    wish_widen(m);
    (void)world_do(w,
                   (struct pt_api_request){.verb = PT_VERB_MERGE_PATCH,
                                           .resource = &pt_res_modeldeployments,
                                           .ns = SIM_NS,
                                           .name = m->name,
                                           .subresource = "scale",
                                           .body = {body, (size_t)n},
                                           .grace_seconds = -1},
                   "user", false);
}

static void model(struct world *w, struct wish *m, int a, int b)
{
    (void)b;
    m->version = arg_or(w, a, 0, 3);
    m->bad = false;
    write_spec(w, m, "change the model of");
}

static void bad_model(struct world *w, struct wish *m, int a, int b)
{
    (void)b;
    m->version = arg_or(w, a, 0, 3);
    m->bad = true;
    write_spec(w, m, "break");
}

static void rolling(struct world *w, struct wish *m, int a, int b)
{
    m->surge = (struct amount){arg_or(w, a, 0, 2), false};
    m->unavailable = (struct amount){m->surge.value ? arg_or(w, b, 0, 2) : 1, false};
    m->recreate = a == NONE && chance(&w->story, 0.2);
    write_spec(w, m, "change the strategy of");
}

static void percent(struct world *w, struct wish *m, int a, int b)
{
    m->surge = (struct amount){arg_or(w, a, 0, 100), true};
    m->unavailable = (struct amount){arg_or(w, b, 0, 60), true};
    if (!m->surge.value && !m->unavailable.value)
        m->surge.value = 25;
    m->recreate = false;
    write_spec(w, m, "change the strategy of");
}

static void recreate(struct world *w, struct wish *m, int a, int b)
{
    (void)a, (void)b;
    m->recreate = true;
    write_spec(w, m, "change the strategy of");
}

static void pause_it(struct world *w, struct wish *m, int a, int b)
{
    (void)a, (void)b;
    m->paused = true;
    write_spec(w, m, "pause");
}

static void resume(struct world *w, struct wish *m, int a, int b)
{
    (void)a, (void)b;
    m->paused = false;
    write_spec(w, m, "resume");
}

static void own_containers(struct world *w, struct wish *m, int a, int b)
{
    (void)b;
    m->own_containers = a == NONE ? !m->own_containers : a;
    write_spec(w, m, "change the containers of");
}

static void budget(struct world *w, struct wish *m, int a, int b)
{
    (void)b;
    m->budget = arg_or(w, a, -1, 2);
    write_spec(w, m, "change the budget of");
}

static void undo(struct world *w, struct wish *m, int a, int b)
{
    char body[128];
    (void)b;
    int n = snprintf(body, sizeof body, "{\"metadata\":{\"annotations\":{\"" PT_ANNOTATION_ROLLBACK "\":\"%d\"}}}", a == NONE ? 0 : a);
    world_log(w, "user: undo %s", m->name);
    (void)world_do(w,
                   (struct pt_api_request){.verb = PT_VERB_MERGE_PATCH, .resource = &pt_res_modeldeployments, .ns = SIM_NS, .name = m->name, .body = {body, (size_t)n},
                                           .grace_seconds = -1},
                   "user", false);
}

static void kill_a_pod(struct world *w, struct wish *m, int a, int b)
{
    void *v;
    (void)m, (void)a, (void)b;
    size_t n = w->pods.count ? pt_rand_below(&w->story, (uint32_t)w->pods.count) : 0;
    for (size_t i = 0; pt_map_next(&w->pods, &i, NULL, &v);)
        if (n-- == 0) {
            struct kubelet_pod *p = v;
            world_log(w, "user: delete pod %s", p->name);
            (void)world_do(w, (struct pt_api_request){.verb = PT_VERB_DELETE, .resource = &pt_res_pods, .ns = SIM_NS, .name = p->name,
                                                      .grace_seconds = chance(&w->story, 0.3) ? 0 : -1}, "user", true);
            return;
        }
}

static void crash_pod(struct world *w, struct wish *m, int a, int b)
{
    (void)m, (void)a, (void)b;
    kubelet_crash_one(w);
}

static void evict(struct world *w, struct wish *m, int a, int b)
{
    (void)m, (void)a, (void)b;
    kubelet_fail_one(w);
}

static void disown(struct world *w, struct wish *m, int a, int b)
{
    (void)m, (void)a, (void)b;
    kubelet_monkey(w, false);
}

static void relabel(struct world *w, struct wish *m, int a, int b)
{
    (void)m, (void)a, (void)b;
    kubelet_monkey(w, true);
}

static void cut(struct world *w, struct wish *m, int a, int b)
{
    (void)m, (void)b;
    if (!w->faults || w->p.stale_ms <= 1000)
        return;
    bool expired = a == NONE ? chance(&w->story, 0.5) : a == 410;
    world_log(w, "apiserver: all watches end%s", expired ? " with 410" : "");
    pt_memapi_cut_watches(w->api, NULL, expired);
}

static void steal_service(struct world *w, struct wish *m, int a, int b)
{
    (void)a, (void)b;
    world_log(w, "user: delete service %s", m->name);
    (void)world_do(w, (struct pt_api_request){.verb = PT_VERB_DELETE, .resource = &pt_res_services, .ns = SIM_NS, .name = m->name, .grace_seconds = -1}, "user", true);
}

static void foreign_service(struct world *w, struct wish *m, int a, int b)
{
    char body[96];
    (void)a, (void)b;
    int n = snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"ports\":[{\"port\":1}]}}", m->name);
    world_log(w, "user: a service %s of somebody else's", m->name);
    (void)world_do(w, (struct pt_api_request){.verb = PT_VERB_CREATE, .resource = &pt_res_services, .ns = SIM_NS, .body = {body, (size_t)n}, .grace_seconds = -1}, "user", true);
}

static void crash(struct world *w, struct wish *m, int a, int b)
{
    (void)m, (void)a, (void)b;
    world_crash(w);
}

static void upgrade(struct world *w, struct wish *m, int a, int b)
{
    (void)m, (void)a, (void)b;
    world_upgrade(w);
}

/* Whoever leads cannot renew its Lease; 0: it can again. */
static void starve(struct world *w, struct wish *m, int a, int b)
{
    (void)m, (void)b;
    world_starve(w, a != 0);
}

/* By now the Lease was lost so many times, and no process has ended over it: somebody leads. */
static void lost(struct world *w, struct wish *m, int a, int b)
{
    (void)m, (void)b;
    if ((int)w->losses != a || w->lives != SIM_PROCESSES || !world_leader(w))
        world_break(w, "the Lease was lost %u times by %u processes%s", w->losses, w->lives, world_leader(w) ? "" : ", and nobody leads");
}

static void jump(struct world *w, struct wish *m, int a, int b)
{
    (void)m, (void)b;
    int minutes = arg_or(w, a, -60, 60);
    world_log(w, "clock: the wall clock jumps by %d minutes", minutes);
    w->clock.wall_offset += (int64_t)minutes * 60000;
}

/* a: metric, b: most pods; none: 0 */
static void autoscale(struct world *w, struct wish *m, int a, int b)
{
    m->scaled = true;
    m->metric = (enum pt_autoscaling_metric)arg_or(w, a, 0, PT_METRIC_COUNT - 1);
    m->max = arg_or(w, b, 1, 7);
    m->min = (int)between(&w->story, 1, a == NONE && m->max > 2 ? 3 : 1);
    m->way = 0;
    m->load_ms = w->clock.now;
    world_log(w, "user: autoscale %s: %s, %d to %d", m->name, pt_autoscaling_metric_name(m->metric), m->min, m->max);
    write_spec(w, m, "autoscale");
}

static void fix(struct world *w, struct wish *m, int a, int b)
{
    (void)a, (void)b;
    m->scaled = false;
    write_spec(w, m, "no longer autoscale");
}

static void set_load(struct world *w, struct wish *m, int a, int b)
{
    (void)b;
    m->load = a != NONE ? a : chance(&w->story, 0.2) ? 0 : 0.5 + 30 * pt_rand_unit(&w->story);
    m->load_ms = w->clock.now;
    m->way = 0;
    world_log(w, "clients: %.1f requests at a time of %s", m->load, m->name);
}

static void deny(struct world *w, struct wish *m, int a, int b)
{
    (void)m, (void)b;
    w->p.denied = a != 0;
    world_log(w, "apiserver: pods are %s", w->p.denied ? "refused: quota" : "allowed again");
}

/* Reports do not arrive; 0: they do again. */
static void mute(struct world *w, struct wish *m, int a, int b)
{
    (void)m, (void)b;
    w->mute = a != 0;
    w->mute_ms = w->clock.now;
    world_log(w, "network: reports %s", w->mute ? "are lost, all of them" : "arrive again");
}

/* The reports of so many pods that serve are lost; 0: of none. */
static void silence(struct world *w, struct wish *m, int a, int b)
{
    void *v;
    (void)b;
    for (size_t i = 0; pt_map_next(&w->pods, &i, NULL, &v);) {
        struct kubelet_pod *p = v;
        p->silent = a > 0 && p->shown_ready && !strcmp(p->owner_uid, m->uid);
        a -= p->silent;
        if (p->silent)
            world_log(w, "network: the reports of %s are lost", p->name);
    }
}

/* The operator that leads is stopped; 0: it goes on. */
static void stop(struct world *w, struct wish *m, int a, int b)
{
    (void)m, (void)b;
    process_disturb(w, a != 0, false);
}

/* It cannot reach the API server; 0: it can again. */
static void apart(struct world *w, struct wish *m, int a, int b)
{
    (void)m, (void)b;
    process_disturb(w, false, a != 0);
}

/* As many others, stopped: what a start of the operator has to look at besides. */
static void storm(struct world *w, struct wish *m, int a, int b)
{
    (void)m, (void)b;
    for (int i = 0; i < a; i++) {
        char body[256];
        int n = snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"other-%d\"},\"spec\":{\"replicas\":0,\"model\":{\"uri\":\"https://models/m0\"}}}", i);
        (void)world_do(w, (struct pt_api_request){.verb = PT_VERB_CREATE, .resource = &pt_res_modeldeployments, .ns = SIM_NS, .body = {body, (size_t)n}, .grace_seconds = -1}, "user", false);
    }
    world_log(w, "user: create %d others", a);
}

/* The operator has acted on the last change by now. */
static void served(struct world *w, struct wish *m, int a, int b)
{
    (void)a, (void)b;
    const cJSON *md = world_stored(w, m);
    if (!md || pt_obj_int(md, "status.observedGeneration", 0) != pt_obj_int(md, "metadata.generation", 0))
        world_break(w, "%s: the operator has not looked at it yet", m->name);
}

/* Paused in the middle of a rollout, which has not gone on to its end since. */
static void held(struct world *w, struct wish *m, int a, int b)
{
    (void)a, (void)b;
    const cJSON *md = world_stored(w, m);
    if (!strcmp(pt_obj_text(md, "status.currentRevision"), pt_obj_text(md, "status.updateRevision")))
        world_break(w, "%s: the rollout went on while it was paused", m->name);
}

static void monitor(struct world *w, struct wish *m, int a, int b)
{
    (void)b;
    m->watched = a != 0;
    write_spec(w, m, m->watched ? "monitor" : "no longer monitor");
}

/* a: version, b: how often it is right from now on, in percent */
static void quality(struct world *w, struct wish *m, int a, int b)
{
    (void)m;
    w->accuracy[a & 7] = b;
    world_log(w, "clients: version %d is right in %d%%", a, b);
}

static void compress(struct world *w, struct wish *m, int a, int b)
{
    (void)b;
    m->recipe = a == NONE ? 0 : a;
    write_spec(w, m, m->recipe ? "compress the model of" : "serve as it is the model of");
}

/* What recipe a does from now on: work.c. */
static void outcome(struct world *w, struct wish *m, int a, int b)
{
    (void)m;
    w->outcome[a & 7] = b == NONE ? 0 : b;
    world_log(w, "recipe %d: %d", a, w->outcome[a & 7]);
}

static void lose_work(struct world *w, struct wish *m, int a, int b)
{
    (void)m, (void)a, (void)b;
    work_lose(w);
}

/* By now the compression is in this phase (0: over, and refused); whatever it is, b pods serve. */
static void compressed(struct world *w, struct wish *m, int a, int b)
{
    const cJSON *md = world_stored(w, m);
    if (!md)
        return;
    const char *phase = pt_obj_text(md, "status.compression.phase"), *wanted = a ? "Succeeded" : "Failed";
    if (strcmp(phase, wanted) != 0)
        world_break(w, "%s: the compression is %s, and should be %s by now", m->name, phase, wanted);
    if (pt_obj_int(md, "status.readyReplicas", -1) != b)
        world_break(w, "%s: %lld pods serve, and %d should", m->name, (long long)pt_obj_int(md, "status.readyReplicas", -1), b);
}

/* By now the spec asks for this version, whoever wrote it. */
static void is_version(struct world *w, struct wish *m, int a, int b)
{
    (void)b;
    if (m->version != a)
        world_break(w, "%s: asks for version %d, and should ask for %d by now", m->name, m->version, a);
}

/* The API server cannot be reached by the operator, nor by proxies; 0: it can again. */
static void outage(struct world *w, struct wish *m, int a, int b)
{
    (void)m, (void)b;
    w->away = a != 0;
    w->back_ms = w->away ? w->back_ms : w->clock.now;
    world_log(w, "apiserver: %s", w->away ? "away" : "back");
    if (w->away)
        pt_memapi_cut_watches(w->api, NULL, false);
}

/* A right of the operator's is taken away; none: it has all. */
static void forbid(struct world *w, struct wish *m, int a, int b)
{
    (void)m, (void)b;
    w->p.forbidden = a == NONE ? 0 : a;
    world_log(w, "apiserver: the operator may not %s", w->p.forbidden ? world_right(a) : "do nothing: it may all again");
}

static const cJSON *condition_of(const cJSON *md, const char *type)
{
    const cJSON *c;
    cJSON_ArrayForEach(c, pt_obj_get(md, "status.conditions")) if (!strcmp(pt_obj_text(c, "type"), type)) return c;
    return NULL;
}

/* What is forbidden shows in the status, by its name and reason, and that is written; b: so many pods serve all the same. */
static void told(struct world *w, struct wish *m, int a, int b)
{
    const cJSON *md = world_stored(w, m);
    if (!md)
        return;
    const cJSON *stalled = condition_of(md, "Stalled");
    if (pt_obj_int(md, "status.observedGeneration", 0) != pt_obj_int(md, "metadata.generation", -1))
        world_break(w, "%s: the status was not written", m->name);
    else if (strcmp(pt_obj_text(stalled, "status"), "True") != 0 || !strstr(pt_obj_text(stalled, "message"), "HTTP 403"))
        world_break(w, "%s: Stalled is %s \"%s\", and the operator may not %s", m->name, pt_obj_text(stalled, "status"), pt_obj_text(stalled, "message"), world_right(w->p.forbidden));
    else if (a != NONE && pt_obj_int(md, "status.readyReplicas", -1) < a)
        world_break(w, "%s: %lld pods are ready while the operator may not %s, %d should be", m->name, (long long)pt_obj_int(md, "status.readyReplicas", -1), world_right(w->p.forbidden), a);
    (void)b;
}

/* Each field with a value, another one, and none. */
static void field(struct world *w, struct wish *m, int a, int b)
{
    static const struct {
        const char *name, *values[2];
    } fields[] = {
        {"minReadySeconds", {"0", "2"}},
        {"progressDeadlineSeconds", {"30", "900"}},
        {"revisionHistoryLimit", {"0", "5"}},
        {"runtime", {"{\"threads\":2,\"concurrency\":16}", "{\"threads\":null,\"concurrency\":1,\"batching\":{\"maxSize\":4,\"maxDelay\":\"1ms\"}}"}},
        {"serving", {"{\"port\":9000,\"timeout\":\"5s\"}", "{\"port\":null,\"grpcPort\":9001}"}},
        {"resources", {"{\"requests\":{\"cpu\":\"1\"}}", "{\"requests\":null,\"limits\":{\"memory\":\"1Gi\"}}"}},
        {"drain", {"{\"timeout\":\"1s\"}", "{\"timeout\":\"10m\"}"}},
        {"template", {"{\"metadata\":{\"labels\":{\"a\":\"b\"}}}", "{\"metadata\":null,\"spec\":{\"nodeSelector\":{\"disk\":\"ssd\"},\"tolerations\":[{\"operator\":\"Exists\"}]}}"}},
        {"paused", {"true", "false"}},
    };
    char body[300];
    size_t i = (size_t)a % (sizeof fields / sizeof *fields);
    const char *value = b == 0 || b == 1 ? fields[i].values[b] : "null";
    int n = snprintf(body, sizeof body, "{\"spec\":{\"%s\":%s}}", fields[i].name, value);
    world_log(w, "user: %s.%s: %s", m->name, fields[i].name, value);
    m->paused = i == 8 && b == 0;
    (void)world_do(w, (struct pt_api_request){.verb = PT_VERB_MERGE_PATCH, .resource = &pt_res_modeldeployments, .ns = SIM_NS, .name = m->name, .body = {body, (size_t)n}, .grace_seconds = -1},
                   "user", false);
}

static const struct action {
    const char *name;
    unsigned weight;
    bool on_one; /* of a ModelDeployment that is there */
    void (*run)(struct world *w, struct wish *m, int a, int b);
} actions[] = {
    {"create", 0, false, create},         {"scale", 3, true, scale},           {"model", 3, true, model},         {"bad", 2, true, bad_model},
    {"rolling", 1, true, rolling},        {"percent", 1, true, percent},       {"recreate", 0, true, recreate},   {"delete", 1, true, erase},
    {"foreground", 0, true, erase_foreground}, {"orphan", 1, true, orphan},    {"replace", 1, true, replace},     {"pause", 1, true, pause_it},
    {"resume", 1, true, resume},          {"undo", 1, true, undo},             {"own", 1, true, own_containers},  {"budget", 1, true, budget},
    {"killpod", 1, false, kill_a_pod},    {"crashpod", 1, false, crash_pod},   {"evict", 1, false, evict},        {"disown", 1, false, disown},
    {"relabel", 1, false, relabel},       {"cut", 1, false, cut},              {"service", 1, true, steal_service}, {"stranger", 0, true, foreign_service},
    {"crash", 0, false, crash},           {"upgrade", 1, false, upgrade},      {"jump", 1, false, jump},          {"deny", 0, false, deny},
    {"autoscale", 0, true, autoscale},    {"fix", 0, true, fix},               {"load", 0, true, set_load},
    {"mute", 0, false, mute},             {"storm", 0, false, storm},          {"served", 0, true, served}, {"held", 0, true, held},       {"field", 0, true, field},
    {"monitor", 0, true, monitor},        {"quality", 0, false, quality},      {"is", 0, true, is_version},
    {"compress", 0, true, compress},      {"outcome", 0, false, outcome},    {"losework", 0, false, lose_work}, {"compressed", 0, true, compressed},
    {"starve", 0, false, starve},         {"lost", 0, false, lost},
    {"stop", 0, false, stop},             {"apart", 0, false, apart},          {"silence", 0, true, silence},
    {"outage", 0, false, outage},         {"forbid", 0, false, forbid},         {"told", 0, true, told},
};
enum { ACTIONS = sizeof actions / sizeof *actions };

/* --- chance -------------------------------------------------------------------------------------------------------------- */

/* Deleted in the foreground, and not gone yet: it cannot be changed to any effect. */
static bool going(struct world *w, struct wish *m)
{
    const cJSON *stored = world_stored(w, m);
    if (!stored)
        m->exists = false;
    return stored && pt_obj_get(stored, "metadata.deletionTimestamp");
}

static const struct action *draw(struct world *w)
{
    unsigned all = 0;
    for (int i = 0; i < ACTIONS; i++)
        all += actions[i].weight;
    unsigned n = pt_rand_below(&w->story, all);
    const struct action *a = actions;
    while (n >= a->weight)
        n -= a++->weight;
    return a;
}

static void act(struct world *w)
{
    struct wish *m = &w->wish[pt_rand_below(&w->story, SIM_MDS)];
    bool left_out = w->action < 32 && w->omit.actions & (1u << w->action);
    if (left_out || going(w, m))
        return;
    if (!m->exists)
        create(w, m, NONE, NONE);
    else if (w->autoscales && chance(&w->story, 0.6))
        (!m->scaled ? autoscale : chance(&w->story, 0.7) ? set_load : chance(&w->story, 0.8) ? autoscale : fix)(w, m, NONE, NONE);
    else
        draw(w)->run(w, m, NONE, NONE);
}

/* --- scripts ------------------------------------------------------------------------------------------------------------- */

/* Carries out the next action of the script; how long to wait after it. */
static int64_t follow(struct world *w)
{
    char verb[16] = "", name[16] = "";
    int a = NONE, b = NONE, n = 0;
    while (*w->next_action == ' ' || *w->next_action == ';')
        w->next_action++;
    if (sscanf(w->next_action, "%15[a-z]%n", verb, &n) < 1)
        return -1;
    w->next_action += n;
    if (sscanf(w->next_action, " %15[a-z]%n", name, &n) == 1)
        w->next_action += n;
    if (sscanf(w->next_action, " %d%n", &a, &n) == 1)
        w->next_action += n;
    if (sscanf(w->next_action, " %d%n", &b, &n) == 1)
        w->next_action += n;
    if (!strcmp(verb, "wait"))
        return a * 1000;
    struct wish *m = &w->wish[*name == 'b'];
    for (int i = 0; i < ACTIONS; i++)
        if (!strcmp(actions[i].name, verb)) {
            bool is_going = going(w, m), makes = actions[i].run == create;
            if (!(actions[i].on_one && (is_going || !m->exists)) && !(makes && m->exists))
                actions[i].run(w, m, a, b);
            return 0;
        }
    world_break(w, "script: \"%s\" is no action", verb);
    return -1;
}

static void next(struct pt_timer *t)
{
    struct world *w = (struct world *)((char *)t - offsetof(struct world, user));
    pt_rand_init(&w->story, w->seed * 1000003 + ++w->action);
    if (w->script) {
        int64_t wait = follow(w);
        w->actions_left = wait >= 0;
        if (wait >= 0)
            pt_timer_start(&w->clock.sched, t, wait, next);
        return;
    }
    act(w);
    if (--w->actions_left > 0)
        pt_timer_start(&w->clock.sched, t, chance(&w->story, 0.3) ? between(&w->story, 0, 300) : between(&w->story, 300, 40000), next);
}

void user_start(struct world *w)
{
    pt_rand_init(&w->story, w->seed * 1000003);
    for (int i = 0; i < SIM_MDS; i++)
        snprintf(w->wish[i].name, sizeof w->wish[i].name, "m%c", 'a' + i);
    w->actions_left = (int)between(&w->story, 3, 14);
    w->autoscales = w->script ? strstr(w->script->actions, "autoscale") != NULL : w->seed % 5 == 3;
    pt_timer_start(&w->clock.sched, &w->user, 1, next);
}

void user_settle(struct world *w)
{
    pt_rand_init(&w->story, w->seed * 1000003 + 999);
    for (int i = 0; i < SIM_MDS; i++) {
        struct wish *m = &w->wish[i];
        if (going(w, m) || !m->exists)
            continue;
        bool repair = m->bad && !chance(&w->story, 0.3);
        if (!repair && !m->paused)
            continue;
        m->bad &= !repair;
        m->paused = false;
        write_spec(w, m, repair ? "repair" : "resume");
    }
}
