/* SPDX-License-Identifier: Apache-2.0
 *
 * rollout.c: which pods there shall be: how many of which revision, and which go first.
 *
 * Rolling update. `fresh` pods are of the newest revision, `old` ones of any other; the current revision is the one that last served in
 * full. Bounds at every moment: at most replicas + maxSurge pods, and no pod is taken out of service that would leave fewer than replicas -
 * maxUnavailable available. A pod makes room for another only when its leaving is confirmed, so one plan never counts on its own removals. Old
 * pods are kept until fresh ones are available in their place, and pods of the current revision that die meanwhile are made again: so a bad
 * revision never costs what serves.
 *
 * Paused: the mix of revisions stays as it is; only its size follows spec.replicas, and what is missing is made of the revision that served last.
 */
#include "operator/model/view.h"

#include <stdio.h>
#include <stdlib.h>

#define CREATE_MAX 500

static int min_int(int a, int b)
{
    return a < b ? a : b;
}
static int max_int(int a, int b)
{
    return a > b ? a : b;
}

/* --- which pods go first ------------------------------------------------------------------------------------------------- */

static const struct pt_view *sorting; /* qsort has no argument; one thread, not reentered */

static int bucket(int64_t ms) /* powers of two, so that a small difference does not decide */
{
    int n = 0;
    for (; ms > 0; ms >>= 1)
        n++;
    return n;
}

static int order(double a, double b)
{
    return a < b ? -1 : a > b;
}

/* Other pods of ours that run beside this one. */
static int neighbours(const struct pt_pod *pod)
{
    int n = 0;
    for (const struct pt_pod *p = sorting->s->pods; p && pod->node; p = (const struct pt_pod *)p->o.next)
        n += p->node == pod->node && !p->terminating && p->phase != PT_PHASE_ENDED;
    return n;
}

static double in_flight(const struct pt_pod *pod)
{
    return pod->state.told ? pod->state.told->in_flight : 0;
}

/* The pod that would be missed least comes first: as for a ReplicaSet, but work in flight decides where nothing was said by hand. */
static int by_worth(const void *pa, const void *pb)
{
    const struct pt_pod *a = *(const struct pt_pod *const *)pa, *b = *(const struct pt_pod *const *)pb;
    int64_t now = sorting->s->now_ms;
    int c;
    if ((c = a->assigned - b->assigned) || (c = (int)a->phase - (int)b->phase))
        return c;
    if ((c = pt_view_available(sorting, a) - pt_view_available(sorting, b)) || (c = a->ready - b->ready))
        return c;
    if ((c = order(a->deletion_cost, b->deletion_cost)) || (c = order(in_flight(a), in_flight(b))))
        return c;
    if ((c = neighbours(b) - neighbours(a)))
        return c;
    if (a->ready && (c = bucket(now - a->state.ready_since_ms) - bucket(now - b->state.ready_since_ms)))
        return c;
    if ((c = b->restarts - a->restarts) || (c = order((double)b->created_ms, (double)a->created_ms)))
        return c;
    return strcmp(a->o.uid, b->o.uid);
}

static bool is_current(const struct pt_view *v, const struct pt_pod *pod)
{
    return v->current_revision && !strcmp(pod->revision, v->current_revision->o.name);
}

/* Old pods: first what neither serves nor is current, then what does not serve, then what is not current. */
static int old_rank(const struct pt_pod *pod)
{
    return 2 * pt_view_available(sorting, pod) + is_current(sorting, pod);
}

static int by_rank(const void *pa, const void *pb)
{
    int c = old_rank(*(const struct pt_pod *const *)pa) - old_rank(*(const struct pt_pod *const *)pb);
    return c ? c : by_worth(pa, pb);
}

static void sort(const struct pt_view *v, struct pt_pod_list *list, int (*compare)(const void *, const void *))
{
    sorting = v;
    qsort(list->pod, (size_t)list->count, sizeof *list->pod, compare);
}

/* Takes out n pods, those that come first in this order, and drops them from the list. */
static void take_out_first(struct pt_view *v, struct pt_pod_list *list, int n, int (*compare)(const void *, const void *))
{
    if (n > 0 && n < list->count)
        sort(v, list, compare);
    for (int i = 0; i < n; i++) {
        list->available -= pt_view_available(v, list->pod[i]);
        list->ready -= list->pod[i]->ready;
        pt_view_take_out(v, list->pod[i]);
    }
    if (n > 0) {
        list->pod += n;
        list->count -= n;
        v->leaving += n;
    }
}

/* --- creating ------------------------------------------------------------------------------------------------------------ */

static const char *new_name(struct pt_view *v, const char *revision, size_t *reserved, uint64_t *seed)
{
    char name[80];
    for (; *reserved < v->s->reserved_count; ++*reserved)
        if (!strcmp(v->s->reserved[*reserved].revision, revision))
            return v->s->reserved[(*reserved)++].name;
    pt_pod_name(revision, seed, name);
    return pt_view_text(v, "%s", name);
}

static void create_pods(struct pt_view *v, const char *revision, const char *user_json, int n)
{
    size_t reserved = 0;
    const struct pt_revision *r = pt_view_revision(v, revision); /* NULL: it is made in this plan */
    const struct pt_made_model kept = {r ? r->compressed_key : NULL, r && r->compressed_uri && *r->compressed_uri ? r->compressed_uri : NULL, r ? r->digest : NULL},
                               made = r ? kept : v->made;
    uint64_t seed = v->s->seed ^ pt_fnv32a(revision, strlen(revision), 2166136261u);
    for (int i = 0; i < min_int(n, CREATE_MAX) && v->rc == PT_OK; i++) {
        struct pt_err err;
        pt_auto_buf b = PT_BUF_INIT(0);
        const char *name = new_name(v, revision, &reserved, &seed);
        int rc = pt_build_pod(v->s->md, &v->s->settings, revision, user_json, made.uri ? &made : NULL, name, &b, &err);
        if (rc == PT_EINVAL) {
            v->trouble = "InvalidSpec";
            v->trouble_message = pt_view_text(v, "%s", err.msg);
            return;
        }
        if (rc < 0) {
            v->rc = pt_fail(v->err, err.code, "plan: %s", err.msg);
            return;
        }
        struct pt_effect *e = pt_view_effect(v, PT_EFFECT_CREATE_POD);
        e->name = name;
        e->revision = pt_view_text(v, "%s", revision);
        e->body = pt_view_keep(v, &b);
        e->reason = "SuccessfulCreate";
        e->message = pt_view_text(v, "Created pod: %s", name);
    }
}

/* --- the rollout --------------------------------------------------------------------------------------------------------- */

/* Pods of the newest revision, built from what it keeps: while paused the spec may already say something else. */
static void create_fresh(struct pt_view *v, int n)
{
    create_pods(v, v->update, v->update_revision ? v->update_revision->data : v->s->md->spec.user_json, n);
}

static void recreate(struct pt_view *v)
{
    int old = v->old.count + v->old_leaving;
    take_out_first(v, &v->old, v->old.count, by_worth);
    if (old == 0)
        create_fresh(v, min_int(v->replicas - v->fresh.count, v->replicas - v->present + pt_view_landing(v, v->update)));
}

static int count_worthless(struct pt_view *v)
{
    int n = 0;
    sorting = v;
    for (int i = 0; i < v->old.count; i++)
        n += old_rank(v->old.pod[i]) == 0;
    return n;
}

static void roll(struct pt_view *v, int surge)
{
    int limit = v->replicas + surge;
    int keep_old = max_int(0, v->min_available - v->fresh.available);
    take_out_first(v, &v->old, max_int(count_worthless(v), v->old.count - keep_old), by_rank);
    take_out_first(v, &v->fresh, max_int(0, min_int(v->fresh.count + v->old.count - limit, v->fresh.count - v->fresh.available)), by_worth);

    const struct pt_revision *again = v->current_revision && strcmp(v->current_revision->o.name, v->update) != 0 ? v->current_revision : NULL;
    int heal = again ? max_int(0, min_int(keep_old - v->old.count, limit - v->present + pt_view_landing(v, again->o.name))) : 0;
    int reserve = again ? max_int(v->old.count + heal, keep_old) : v->old.count;
    if (heal)
        create_pods(v, again->o.name, again->data, heal);
    int room = min_int(limit - reserve - v->fresh.count, limit - v->present + pt_view_landing(v, v->update) - heal);
    create_fresh(v, min_int(v->replicas - v->fresh.count, room));
}

/* Takes out n pods of whatever revision. */
static void shrink(struct pt_view *v, int n)
{
    struct pt_pod_list all = {.pod = pt_view_alloc(v, (size_t)(v->fresh.count + v->old.count + 1) * sizeof(void *))};
    if (n <= 0 || !all.pod)
        return;
    memcpy(all.pod, v->fresh.pod, (size_t)v->fresh.count * sizeof(void *));
    memcpy(all.pod + v->fresh.count, v->old.pod, (size_t)v->old.count * sizeof(void *));
    all.count = v->fresh.count + v->old.count;
    take_out_first(v, &all, n, by_worth);
    v->fresh.count = 0; /* the rest is followed as one list */
    v->old = all;
}

static void hold(struct pt_view *v, int surge)
{
    bool mixed = v->fresh.count && v->old.count;
    int total = v->fresh.count + v->old.count;
    const struct pt_revision *r = v->current_revision ? v->current_revision : v->update_revision;
    shrink(v, total - v->replicas - (mixed ? surge : 0));
    if (r)
        create_pods(v, r->o.name, r->data, min_int(v->replicas - total, v->replicas - v->present + pt_view_landing(v, r->o.name)));
}

void pt_plan_rollout(struct pt_view *v)
{
    const struct pt_spec *spec = &v->s->md->spec;
    if (v->held && !v->update_revision && !spec->paused) /* nothing there yet that could be served */
        return;
    int surge = spec->strategy == PT_STRATEGY_RECREATE ? 0 : pt_view_amount(spec->max_surge, v->replicas, true);
    if (spec->paused) {
        hold(v, surge);
        return;
    }
    take_out_first(v, &v->fresh, max_int(0, v->fresh.count - v->replicas), by_worth);
    if (spec->strategy == PT_STRATEGY_RECREATE)
        recreate(v);
    else
        roll(v, surge);
}
