/* SPDX-License-Identifier: Apache-2.0
 *
 * user.c: what people do to ModelDeployments, and to the cluster below them.
 */
#include "tests/sim/world.h"

#include <stdio.h>

static int spec_of(const struct wish *m, char *body, size_t size)
{
    char rolling[80] = "null";
    if (!m->recreate)
        snprintf(rolling, sizeof rolling, "{\"maxSurge\":%d,\"maxUnavailable\":%d}", m->surge, m->unavailable);
    return snprintf(body, size,
                    "{\"apiVersion\":\"pintle.dev/v1alpha1\",\"kind\":\"ModelDeployment\",\"metadata\":{\"name\":\"%s\"},\"spec\":{\"replicas\":%d,\"model\":{"
                    "\"uri\":\"https://models/m%d\",\"digest\":\"%s\"},\"strategy\":{\"type\":\"%s\",\"rollingUpdate\":%s},\"revisionHistoryLimit\":2}}",
                    m->name, m->replicas, m->version, sim_digest(m->version + m->bad), m->recreate ? "Recreate" : "RollingUpdate", rolling);
}

/* The bounds that the operator may act on from now: the loosest of all wishes since the last one that was fulfilled. */
static void widen(struct wish *m)
{
    int most = m->replicas + (m->recreate ? 0 : m->surge), floor = m->recreate ? 0 : m->replicas - m->unavailable;
    m->most = most > m->most ? most : m->most;
    m->floor = floor < m->floor ? floor : m->floor;
    m->floor = m->floor > 0 ? m->floor : 0;
}

static void write_spec(struct world *w, struct wish *m, const char *what)
{
    char body[1024];
    struct pt_str text = {body, (size_t)spec_of(m, body, sizeof body)};
    world_log(w, "user: %s %s: replicas %d, version %d%s, surge %d, unavailable %d%s", what, m->name, m->replicas, m->version, m->bad ? " (bad)" : "", m->surge,
              m->unavailable, m->recreate ? ", Recreate" : "");
    widen(m);
    (void)world_do(w, (struct pt_api_request){.verb = m->exists ? PT_VERB_MERGE_PATCH : PT_VERB_CREATE, .resource = &pt_res_modeldeployments, .ns = SIM_NS,
                                              .name = m->exists ? m->name : NULL, .body = text, .grace_seconds = -1}, "user", false);
    struct pt_str stored = pt_memapi_peek(w->api, &pt_res_modeldeployments, SIM_NS, m->name);
    pt_auto_obj *tree = NULL;
    if (pt_obj_parse(stored, "stored", &tree, NULL) == PT_OK) {
        const char *uid = pt_obj_str(tree, "metadata.uid");
        snprintf(m->uid, sizeof m->uid, "%s", uid ? uid : "");
    }
    m->exists = true;
}

static void create(struct world *w, struct wish *m)
{
    m->most = m->floor = 0;
    m->replicas = (int)between(&w->rand, 0, 4);
    m->version = (int)between(&w->rand, 0, 3);
    m->bad = chance(&w->rand, 0.15);
    m->recreate = chance(&w->rand, 0.15);
    m->surge = (int)between(&w->rand, 0, 2);
    m->unavailable = m->surge ? (int)between(&w->rand, 0, 2) : 1;
    write_spec(w, m, "create");
}

static void erase(struct world *w, struct wish *m)
{
    const char *how = chance(&w->rand, 0.3) ? "Foreground" : NULL;
    world_log(w, "user: delete %s%s", m->name, how ? " (foreground)" : "");
    (void)world_do(w, (struct pt_api_request){.verb = PT_VERB_DELETE, .resource = &pt_res_modeldeployments, .ns = SIM_NS, .name = m->name, .propagation = how,
                                              .grace_seconds = -1}, "user", false);
    m->exists = pt_memapi_peek(w->api, &pt_res_modeldeployments, SIM_NS, m->name).len > 0; /* foreground: it waits for its pods */
    m->uid[0] = 0;
}

static void scale(struct world *w, struct wish *m)
{
    char body[64];
    m->replicas = (int)between(&w->rand, 0, 5);
    int n = snprintf(body, sizeof body, "{\"spec\":{\"replicas\":%d}}", m->replicas);
    world_log(w, "user: scale %s to %d", m->name, m->replicas);
    widen(m);
    (void)world_do(w, (struct pt_api_request){.verb = PT_VERB_MERGE_PATCH, .resource = &pt_res_modeldeployments, .ns = SIM_NS, .name = m->name, .subresource = "scale",
                                              .body = {body, (size_t)n}, .grace_seconds = -1}, "user", false);
}

static void kill_a_pod(struct world *w)
{
    void *v;
    size_t n = w->pods.count ? pt_rand_below(&w->rand, (uint32_t)w->pods.count) : 0;
    for (size_t i = 0; pt_map_next(&w->pods, &i, NULL, &v);)
        if (n-- == 0) {
            struct kubelet_pod *p = v;
            world_log(w, "user: delete pod %s", p->name);
            (void)world_do(w, (struct pt_api_request){.verb = PT_VERB_DELETE, .resource = &pt_res_pods, .ns = SIM_NS, .name = p->name,
                                                      .grace_seconds = chance(&w->rand, 0.3) ? 0 : -1}, "user", true);
            return;
        }
}

static void steal_service(struct world *w, struct wish *m)
{
    world_log(w, "user: delete service %s", m->name);
    (void)world_do(w, (struct pt_api_request){.verb = PT_VERB_DELETE, .resource = &pt_res_services, .ns = SIM_NS, .name = m->name, .grace_seconds = -1}, "user", true);
}

/* Deleted in the foreground, and not gone yet: it cannot be changed to any effect. */
static bool going(struct world *w, struct wish *m)
{
    pt_auto_obj *tree = NULL;
    struct pt_str text = pt_memapi_peek(w->api, &pt_res_modeldeployments, SIM_NS, m->name);
    if (!text.len)
        m->exists = false;
    return text.len && pt_obj_parse(text, "stored", &tree, NULL) == PT_OK && pt_obj_get(tree, "metadata.deletionTimestamp");
}

static void act(struct world *w)
{
    struct wish *m = &w->wish[pt_rand_below(&w->rand, SIM_MDS)];
    if (going(w, m))
        return;
    if (!m->exists) {
        create(w, m);
        return;
    }
    switch (pt_rand_below(&w->rand, 16)) {
    case 0: case 1: case 2:
        scale(w, m);
        break;
    case 3: case 4: case 5:
        m->version = (int)between(&w->rand, 0, 3);
        m->bad = false;
        write_spec(w, m, "change the model of");
        break;
    case 6: case 7:
        m->version = (int)between(&w->rand, 0, 3);
        m->bad = true;
        write_spec(w, m, "break");
        break;
    case 8:
        m->surge = (int)between(&w->rand, 0, 2);
        m->unavailable = m->surge ? (int)between(&w->rand, 0, 2) : 1;
        m->recreate = chance(&w->rand, 0.2);
        write_spec(w, m, "change the strategy of");
        break;
    case 9:
        erase(w, m);
        break;
    case 10:
        erase(w, m);
        if (!m->exists)
            create(w, m);
        break;
    case 11:
        kill_a_pod(w);
        break;
    case 12:
        kubelet_crash_one(w);
        break;
    case 13:
        kubelet_fail_one(w);
        break;
    case 14:
        if (w->faults && w->p.stale_ms > 1000) {
            bool expired = chance(&w->luck, 0.5);
            world_log(w, "apiserver: all watches end%s", expired ? " with 410" : "");
            pt_memapi_cut_watches(w->api, NULL, expired);
        }
        break;
    default:
        steal_service(w, m);
        break;
    }
}

static void next(struct pt_timer *t)
{
    struct world *w = (struct world *)((char *)t - offsetof(struct world, user));
    act(w);
    if (--w->actions_left > 0)
        pt_timer_start(&w->clock.sched, t, chance(&w->rand, 0.3) ? between(&w->rand, 0, 300) : between(&w->rand, 300, 40000), next);
}

void user_start(struct world *w)
{
    for (int i = 0; i < SIM_MDS; i++)
        snprintf(w->wish[i].name, sizeof w->wish[i].name, "m%c", 'a' + i);
    w->actions_left = (int)between(&w->rand, 3, 14);
    pt_timer_start(&w->clock.sched, &w->user, 1, next);
}

void user_settle(struct world *w)
{
    for (int i = 0; i < SIM_MDS; i++) {
        struct wish *m = &w->wish[i];
        if (going(w, m) || !m->exists || !m->bad || chance(&w->rand, 0.3))
            continue;
        m->bad = false;
        write_spec(w, m, "repair");
    }
}
