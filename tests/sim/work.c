/* SPDX-License-Identifier: Apache-2.0
 *
 * work.c: pods that compress. Recipe N does what the story says (w->outcome[N]): it makes a model, fails its gate, is refused, or crashes; a pod can
 * be lost with its node. For one key of one ModelDeployment work that has succeeded is never begun again, and no two pods of a key live at a time:
 * their name sees to that, and what is checked here is that the operator lets it.
 */
#include "tests/sim/world.h"

#include <stdio.h>

enum { MAKES, GATE_FAILS, REFUSED, CRASHES };

static void work_digest(int version, int recipe, char out[72])
{
    uint8_t digest[32];
    memset(digest, 0x80 + 8 * version + recipe, sizeof digest);
    pt_format_digest(digest, out);
}

void work_put(const struct wish *m, char *out, size_t size)
{
    if (m->recipe)
        snprintf(out, size, "{\"recipe\":{\"stages\":[{\"n\":%d}]},\"output\":{\"uri\":\"pvc://c/out\"},\"backoffLimit\":60}", m->recipe);
    else
        snprintf(out, size, "null");
}

/* What a pod of this ModelDeployment loads. */
const char *work_served(const struct wish *m, char out[72])
{
    if (m->recipe)
        work_digest(m->version, m->recipe, out);
    else
        snprintf(out, 72, "%s", sim_digest(m->version));
    return out;
}

/* --- one pod ------------------------------------------------------------------------------------------------------------- */

static void write_status(struct work_pod *p, const char *status)
{
    char body[700];
    int n = snprintf(body, sizeof body, "{\"metadata\":{\"uid\":\"%s\"},\"status\":%s}", p->uid, status);
    (void)world_do(p->w,
                   (struct pt_api_request){.verb = PT_VERB_STRATEGIC,
                                           .resource = &pt_res_pods,
                                           .ns = SIM_NS,
                                           .name = p->name,
                                           .subresource = "status",
                                           .body = {body, (size_t)n},
                                           .grace_seconds = -1},
                   "kubelet", true);
}

static void remember(struct work_pod *p)
{
    struct world *w = p->w;
    struct work_done *d = &w->work_done[w->work_done_count++ % SIM_WORK_DONE];
    snprintf(d->owner_uid, sizeof d->owner_uid, "%s", p->owner_uid);
    snprintf(d->key, sizeof d->key, "%s", p->key);
}

static void end_run(struct work_pod *p)
{
    static const int codes[] = {[MAKES] = 0, [GATE_FAILS] = 3, [REFUSED] = 65, [CRASHES] = 137};
    static const char *const words[] = {[MAKES] = "made", [GATE_FAILS] = "the gate does not hold", [REFUSED] = "no such stage", [CRASHES] = ""};
    int outcome = p->w->outcome[p->recipe & 7];
    char status[500], digest[72];
    work_digest(p->version, p->recipe, digest);
    world_log(p->w, "kubelet: %s ends with %d", p->name, codes[outcome]);
    snprintf(status, sizeof status,
             "{\"phase\":\"%s\",\"containerStatuses\":[{\"name\":\"compress\",\"state\":{\"running\":null,\"terminated\":{\"exitCode\":%d,\"reason\":"
             "\"%s\","
             "\"message\":\"{\\\"digest\\\":\\\"%s\\\",\\\"message\\\":\\\"%s\\\"}\"}}}]}",
             outcome == MAKES ? "Succeeded" : "Failed", codes[outcome], outcome == CRASHES ? "OOMKilled" : "Completed",
             outcome == MAKES ? digest : "", words[outcome]);
    if (outcome == MAKES)
        remember(p);
    p->ended = true;
    write_status(p, status);
}

enum { REPORTS = 6 };

/* Two stages of three reports; the operator hears of some of them, perhaps late, when newer ones have come. */
static void report(struct work_pod *p)
{
    struct world *w = p->w;
    struct pt_operator *leader = world_leader(w);
    struct pt_report r = {.compresses = true, .sequence = (uint64_t)p->reports + 1, .started_ms = p->started_ms};
    struct pt_err err;
    int64_t next;
    snprintf(r.pod_uid, sizeof r.pod_uid, "%s", p->uid);
    snprintf(r.pod_name, sizeof r.pod_name, "%s", p->name);
    snprintf(r.ns, sizeof r.ns, "%s", SIM_NS);
    r.progress = (struct pt_run_progress){.stage = "prune", .number = 1 + p->reports / 3, .stages = 2, .percent = p->reports % 3 * 40, .eta_s = -1};
    p->reports++;
    if (leader && !w->mute && !(w->faults && chance(&w->luck, w->p.lose)))
        (void)pt_operator_report(leader, &r, &next, &err);
    r.sequence = 0; /* what came before is of no interest any more */
    r.progress.number = 77;
    if (leader && p->reports > 1)
        (void)pt_operator_report(leader, &r, &next, &err);
}

static void live(struct pt_timer *t)
{
    struct work_pod *p = (struct work_pod *)((char *)t - offsetof(struct work_pod, life));
    if (p->terminating || p->ended)
        return;
    if (p->running && p->reports < REPORTS) {
        report(p);
        pt_timer_start(&p->w->clock.sched, &p->life, between(&p->w->rand, 100, 5000), live);
        return;
    }
    if (p->running) {
        end_run(p);
        return;
    }
    p->running = true;
    p->started_ms = p->w->clock.now + 1;
    world_log(p->w, "kubelet: %s runs", p->name);
    write_status(p, "{\"phase\":\"Running\",\"containerStatuses\":[{\"name\":\"compress\",\"state\":{\"running\":{}}}]}");
    pt_timer_start(&p->w->clock.sched, &p->life, between(&p->w->rand, 100, 5000), live);
}

static void remove_pod(struct work_pod *p)
{
    (void)world_do(
        p->w,
        (struct pt_api_request){.verb = PT_VERB_DELETE, .resource = &pt_res_pods, .ns = SIM_NS, .name = p->name, .uid = p->uid, .grace_seconds = 0},
        "kubelet", true);
}

static void end_now(struct pt_timer *t)
{
    remove_pod((struct work_pod *)((char *)t - offsetof(struct work_pod, end)));
}

static void forget(struct work_pod *p)
{
    pt_timer_stop(&p->w->clock.sched, &p->life);
    pt_timer_stop(&p->w->clock.sched, &p->end);
    *p = (struct work_pod){.w = NULL};
}

static const char *label(const cJSON *tree, const char *name)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(pt_obj_get(tree, "metadata.labels"), name));
    return s ? s : "";
}

static void begin(struct world *w, struct work_pod *p, const cJSON *tree)
{
    pt_auto_obj *recipe =
        cJSON_Parse(label(tree, PT_LABEL_COMPRESSION)[0]
                        ? cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(pt_obj_get(tree, "metadata.annotations"), PT_ANNOTATION_CONFIG))
                        : NULL);
    *p = (struct work_pod){.w = w, .recipe = (int)pt_obj_int(recipe, "stages.0.n", 0)};
    snprintf(p->name, sizeof p->name, "%s", pt_obj_text(tree, "metadata.name"));
    snprintf(p->uid, sizeof p->uid, "%s", pt_obj_text(tree, "metadata.uid"));
    snprintf(p->key, sizeof p->key, "%s", label(tree, PT_LABEL_COMPRESSION));
    snprintf(p->owner_uid, sizeof p->owner_uid, "%s", pt_obj_text(tree, "metadata.ownerReferences.0.uid"));
    const char *uri = pt_obj_text(tree, "spec.containers.0.args.3");
    p->version = *uri ? uri[strlen(uri) - 1] - '0' : 0;
    for (unsigned i = 0; i < SIM_WORK_DONE; i++)
        if (*w->work_done[i].key && !strcmp(w->work_done[i].key, p->key) && !strcmp(w->work_done[i].owner_uid, p->owner_uid))
            world_break(w, "pod %s begins work again that is done", p->name);
    pt_timer_start(&w->clock.sched, &p->life, between(&w->rand, 1, 3000), live);
}

bool work_observe(struct world *w, const cJSON *tree)
{
    struct work_pod *p = NULL, *empty = NULL;
    if (!*label(tree, PT_LABEL_COMPRESSION))
        return false;
    for (int i = 0; i < SIM_WORK; i++) {
        struct work_pod *at = &w->work[i];
        if (at->w && !strcmp(at->uid, pt_obj_text(tree, "metadata.uid")))
            p = at;
        else if (!at->w)
            empty = at;
    }
    if (!p && !(p = empty))
        world_break(w, "more than %d pods compress", SIM_WORK);
    if (!p)
        return true;
    if (!p->w)
        begin(w, p, tree);
    p->epoch = w->epoch;
    p->stray = !pt_obj_get(tree, "metadata.ownerReferences.0"); /* left behind by a deletion that orphans: its user's */
    if (!p->terminating && pt_obj_get(tree, "metadata.deletionTimestamp")) {
        p->terminating = true;
        pt_timer_start(&w->clock.sched, &p->end, between(&w->rand, 10, 3000), end_now);
    }
    return true;
}

void work_observed(struct world *w)
{
    for (int i = 0; i < SIM_WORK; i++)
        if (w->work[i].w && w->work[i].epoch != w->epoch)
            forget(&w->work[i]);
}

void work_finish(struct world *w)
{
    for (int i = 0; i < SIM_WORK; i++)
        if (w->work[i].w)
            forget(&w->work[i]);
}

void work_lose(struct world *w)
{
    for (int i = 0; i < SIM_WORK; i++)
        if (w->work[i].w && !w->work[i].ended) {
            world_log(w, "node: %s is gone", w->work[i].name);
            remove_pod(&w->work[i]);
            return;
        }
}

/* --- the end ------------------------------------------------------------------------------------------------------------- */

void work_check_end(struct world *w, const struct wish *m, const cJSON *md)
{
    const char *phase = pt_obj_text(md, "status.compression.phase");
    if (m->recipe ? strcmp(phase, "Succeeded") != 0 : *phase)
        world_break(w, "end: %s: the compression is %s", m->name, *phase ? phase : "not told of");
    if (pt_obj_get(md, "status.compression.progress"))
        world_break(w, "end: %s: the compression is over and at %s", m->name, pt_obj_text(md, "status.compression.progress.summary"));
    for (int i = 0; i < SIM_WORK; i++)
        if (w->work[i].w && !w->work[i].stray)
            world_break(w, "end: pod %s is left over", w->work[i].name);
}
