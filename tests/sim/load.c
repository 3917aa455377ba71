/* SPDX-License-Identifier: Apache-2.0
 *
 * load.c: what clients ask of autoscaled ModelDeployments, what sidecars tell of it, and what the operator may make of that.
 *
 * The demand of a ModelDeployment is so many requests at a time, spread evenly over the pods that are ready; each takes SERVICE_S, and a pod serves SLOTS of
 * them at a time: the rest waits. Reports of it get lost, come twice and come late. The invariants:
 *
 *   owner    the operator writes spec.replicas only with spec.autoscaling, never from or to 0, and within its bounds
 *   partial  it takes nothing away while a pod that serves has not told its load, nor by what was seen in that time
 *   steady   when demand and cluster have long been quiet, the number of pods does not go up and down
 *   enough   at the end there are as many pods as the demand needs, and few more
 */
#include "tests/sim/world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SERVICE_S 0.1
#define SLOTS 8
#define FRESH_MS 2600 /* how old a report may be to count: two intervals and a half */
#define BLIND_MS 4000 /* seconds in which a pod was silent are no ground to take one away by for so long after */
#define LOOK_MS 2000  /* so often the operator looks at least */
#define CALM_MS 300000

static const char *const targets[PT_METRIC_COUNT] = {"4", "40", "\"50ms\"", "\"300ms\""};
static const double bounds[] = {0.05, 0.1, 0.2, 0.4, 0.8, 1.6};
enum { BOUNDS = sizeof bounds / sizeof *bounds };

void load_put(const struct wish *m, char *out, size_t size)
{
    if (m->scaled)
        snprintf(out, size, "{\"minReplicas\":%d,\"maxReplicas\":%d,\"metric\":\"%s\",\"target\":%s,\"scaleDownDelay\":\"20s\"}", m->min, m->max,
                 pt_autoscaling_metric_name(m->metric), targets[m->metric]);
    else
        snprintf(out, size, "null");
}

static struct wish *wish_of(struct world *w, const char *owner_uid)
{
    for (int i = 0; i < SIM_MDS && *owner_uid; i++)
        if (!strcmp(w->wish[i].uid, owner_uid))
            return &w->wish[i];
    return NULL;
}

static int serving(struct world *w, const struct wish *m)
{
    int n = 0;
    for (const struct kubelet_pod *p = w->all; p; p = p->next)
        n += p->shown_ready && !strcmp(p->owner_uid, m->uid);
    return n;
}

/* Requests at a time that each pod has. */
static double share_of(struct world *w, const struct wish *m)
{
    int n = serving(w, m);
    return n ? m->load / n : 0;
}

bool load_fill(struct kubelet_pod *p, struct pt_report *r)
{
    struct world *w = p->w;
    const struct wish *m = wish_of(w, p->owner_uid);
    double since_s = (double)(w->clock.now - p->load_ms) / 1000;
    if (!m || !m->scaled)
        return false;
    double share = p->shown_ready ? share_of(w, m) : 0, served = fmin(share, SLOTS), latency = SERVICE_S * fmax(1, share / SLOTS);
    p->load_ms = w->clock.now;
    if (p->sequence > 1) { /* the counters begin with the process */
        double n = served / SERVICE_S * since_s;
        int bucket = 0;
        while (bucket < BOUNDS && latency > bounds[bucket] + 1e-9)
            bucket++;
        p->requests += n;
        p->counts[bucket] += n;
    } else {
        p->requests = 0;
        memset(p->counts, 0, sizeof p->counts);
    }
    r->in_flight = served;
    r->queued = share - served;
    r->requests = p->requests;
    r->bounds = BOUNDS;
    memcpy(r->bounds_s, bounds, sizeof bounds);
    memcpy(r->counts, p->counts, sizeof p->counts);
    return true;
}

/* This one has told. Others that are silent are missed from now on: while nobody tells anything nothing is seen, which is another matter. */
static void note_told(struct kubelet_pod *p)
{
    int64_t now = p->w->clock.now;
    for (struct kubelet_pod *q = p->w->all; q; q = q->next)
        if (q != p && !q->missed_ms && q->told_ms && now - q->told_ms > FRESH_MS && !strcmp(q->owner_uid, p->owner_uid))
            q->missed_ms = now;
    if (p->missed_ms && now - p->missed_ms > LOOK_MS)
        p->heard_again_ms = now;
    p->missed_ms = 0;
    p->told_ms = now;
}

/* The leader hears of it: perhaps, perhaps twice, perhaps when newer ones have come. The interval that it wishes. */
int64_t load_send(struct kubelet_pod *p, const struct pt_report *r)
{
    struct world *w = p->w;
    struct pt_operator *leader = world_leader(w);
    struct pt_err err;
    int64_t next = 1000;
    bool lost = (w->faults && chance(&w->luck, w->p.lose)) || w->mute || p->silent || (w->faults && w->p.unheard > 0 && chance(&w->luck, w->p.unheard));
    if (!leader || lost)
        return -1;
    if (pt_operator_report(leader, r, &next, &err) < 0)
        return -1;
    note_told(p);
    if (!w->autoscales || !w->faults || !chance(&w->luck, 0.1))
        return next;
    (void)pt_operator_report(leader, chance(&w->luck, 0.3) ? r : &w->late_report, &next, &err); /* twice; or one from long ago, perhaps of a pod that is gone */
    w->late_report = *r;
    return next;
}

/* --- what the operator makes of it ----------------------------------------------------------------------------------------- */

static bool scales(const struct pt_api_request *req, int *replicas)
{
    static const char member[] = "\"replicas\":";
    if (req->verb != PT_VERB_MERGE_PATCH || req->resource != &pt_res_modeldeployments || req->subresource || !req->body.len)
        return false;
    const char *at = memmem(req->body.p, req->body.len, member, sizeof member - 1);
    *replicas = at ? (int)strtol(at + sizeof member - 1, NULL, 10) : 0;
    return at != NULL;
}

static struct wish *named(struct world *w, const struct pt_api_request *req)
{
    for (int i = 0; i < SIM_MDS; i++)
        if (!strcmp(w->wish[i].name, req->name) && w->wish[i].uid[0] && memmem(req->body.p, req->body.len, w->wish[i].uid, strlen(w->wish[i].uid)))
            return &w->wish[i];
    return NULL;
}

/* Of what was changed meanwhile: the server refuses it. */
static bool is_stale(struct world *w, const struct pt_api_request *req)
{
    struct pt_obj_identity is;
    static const char member[] = "\"resourceVersion\":\"";
    const char *at = memmem(req->body.p, req->body.len, member, sizeof member - 1);
    return at && pt_obj_identify(pt_memapi_peek(w->api, req->resource, req->ns, req->name), &is) && strtoull(at + sizeof member - 1, NULL, 10) != is.rv;
}

void load_asked(struct world *w, const struct pt_api_request *req)
{
    int replicas;
    void *v;
    const struct wish *m = scales(req, &replicas) ? named(w, req) : NULL;
    int64_t lag_ms = 10000 + w->p.pod_lag_ms + w->p.stale_ms;
    if (!m || replicas >= m->replicas || m->replicas > m->max || is_stale(w, req))
        return;
    for (size_t i = 0; pt_map_next(&w->pods, &i, NULL, &v);) {
        const struct kubelet_pod *p = v;
        if (!p->shown_ready || p->terminating || strcmp(p->owner_uid, m->uid) != 0 || w->clock.now - p->ready_from_ms <= lag_ms)
            continue;
        if (p->heard_again_ms && w->clock.now - p->heard_again_ms < BLIND_MS)
            world_break(w, "%s: is scaled from %d to %d, and pod %s was silent until %lld ms ago", m->name, m->replicas, replicas, p->name,
                        (long long)(w->clock.now - p->heard_again_ms));
        if (w->clock.now - p->told_ms > FRESH_MS)
            world_break(w, "%s: is scaled from %d to %d, and pod %s has told nothing for %lld ms", m->name, m->replicas, replicas, p->name,
                        (long long)(w->clock.now - p->told_ms));
    }
}

void load_wrote(struct world *w, const struct pt_api_request *req)
{
    int replicas;
    struct wish *m = scales(req, &replicas) ? named(w, req) : NULL;
    if (!m || strcmp(req->field_manager, PT_MANAGER) != 0)
        return;
    world_log(w, "operator: scales %s to %d, %.1f requests at a time over %d pods", m->name, replicas, m->load, serving(w, m));
    if (!m->scaled)
        world_break(w, "%s: spec.replicas was written without spec.autoscaling", m->name);
    else if (replicas < m->min || replicas > m->max)
        world_break(w, "%s: is scaled to %d, %d to %d are allowed", m->name, replicas, m->min, m->max);
    else if (!m->replicas)
        world_break(w, "%s: was stopped, and is scaled to %d", m->name, replicas);
    if (w->mute && w->clock.now - w->mute_ms > CALM_MS / 10)
        world_break(w, "%s: is scaled to %d in the dark", m->name, replicas);
    int way = (replicas > m->replicas) - (replicas < m->replicas);
    bool calm = !w->faults && w->clock.now - w->calm_ms > CALM_MS && w->clock.now - m->load_ms > CALM_MS;
    m->turns += calm && m->way && way != m->way;
    m->way = way;
    m->scale_ms = w->clock.now;
    if (m->turns > (m->metric < PT_METRIC_QUEUE_DELAY ? 0 : 7)) /* to learn what a pod can carry, the edge is tried once in ten minutes: in forty, three times down and up */
        world_break(w, "%s: goes up and down under a steady load", m->name);
}

void load_check_end(struct world *w, const struct wish *m)
{
    double share = share_of(w, m), least = m->load / 4, most = 1.1 * m->load / 4;
    if (!m->scaled || !m->replicas)
        return;
    if (m->replicas < m->min || m->replicas > m->max)
        world_break(w, "end: %s has %d replicas, %d to %d are allowed", m->name, m->replicas, m->min, m->max);
    if (m->bad || m->replicas == m->max)
        return;
    if (m->metric < PT_METRIC_QUEUE_DELAY && (m->replicas < (int)ceil(least - 0.02) || (m->replicas > (int)ceil(most + 0.02) && m->replicas > m->min)))
        world_break(w, "end: %s has %d replicas for a load that needs %.2f of them", m->name, m->replicas, least);
    if (m->metric >= PT_METRIC_QUEUE_DELAY && (share > SLOTS * 3 || (m->replicas > m->min && share < 0.8)))
        world_break(w, "end: %s has %d replicas, each with %.1f requests at a time of which it serves %d", m->name, m->replicas, share, SLOTS);
}
