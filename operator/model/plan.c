/* SPDX-License-Identifier: Apache-2.0
 *
 * plan.c: see plan.h.
 *
 * Rolling update. `fresh` pods are of the newest revision, `old` ones of any other; the current revision is the one that last served in
 * full. Bounds at every moment: at most replicas + maxSurge pods, and no pod is taken out of service that would leave fewer than replicas -
 * maxUnavailable available. A pod makes room for another only when its leaving is confirmed, so one plan never counts on its own removals. Old pods are kept until fresh ones are available in their place, and pods of the current revision that die
 * meanwhile are made again: so a bad revision never costs what serves.
 *
 * A pod that serves leaves in two steps: its gate is turned off, and when endpoints have had time to follow it is deleted.
 */
#include "operator/model/plan.h"
#include "operator/model/view.h"

#include <stdio.h>
#include <stdlib.h>

#define CREATE_MAX 500
#define DOOMED_MS 30000 /* a deletion whose answer was lost is repeated after this */

/* --- small helpers ------------------------------------------------------------------------------------------------------- */

void *pt_view_alloc(struct pt_view *v, size_t size)
{
    void *p = pt_arena_alloc(&v->plan->arena, size);
    if (!p)
        v->rc = pt_fail(v->err, PT_ENOMEM, "plan: out of memory");
    return p;
}

static struct pt_str keep(struct pt_view *v, struct pt_buf *b)
{
    char *p = b->failed ? NULL : pt_arena_strndup(&v->plan->arena, b->data ? b->data : "", b->len);
    if (!p)
        v->rc = pt_fail(v->err, PT_ENOMEM, "plan: out of memory");
    return (struct pt_str){p ? p : "", p ? b->len : 0};
}

const char *pt_view_text(struct pt_view *v, const char *fmt, ...)
{
    char text[1200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    char *p = pt_arena_strndup(&v->plan->arena, text, strlen(text));
    if (!p)
        v->rc = pt_fail(v->err, PT_ENOMEM, "plan: out of memory");
    return p ? p : "";
}

struct pt_effect *pt_view_effect(struct pt_view *v, enum pt_effect_kind kind)
{
    static struct pt_effect nowhere; /* written, never read: rc is set */
    struct pt_plan *p = v->plan;
    if (p->count == p->room) {
        size_t room = p->room ? p->room * 2 : 8;
        struct pt_effect *more = pt_reallocarray(p->effects, room, sizeof *more);
        if (!more) {
            v->rc = pt_fail(v->err, PT_ENOMEM, "plan: out of memory");
            return &nowhere;
        }
        p->effects = more;
        p->room = room;
    }
    p->effects[p->count] = (struct pt_effect){.kind = kind};
    return &p->effects[p->count++];
}

void pt_view_look_again(struct pt_view *v, int64_t after_ms)
{
    if (after_ms < 1)
        after_ms = 1;
    if (v->plan->requeue_ms < 0 || after_ms < v->plan->requeue_ms)
        v->plan->requeue_ms = after_ms;
}

static int amount(struct pt_amount a, int of, bool up)
{
    return a.percent ? (int)(((int64_t)a.value * of + (up ? 99 : 0)) / 100) : a.value;
}

static int min_int(int a, int b)
{
    return a < b ? a : b;
}
static int max_int(int a, int b)
{
    return a > b ? a : b;
}

/* --- looking ------------------------------------------------------------------------------------------------------------- */

bool pt_view_available(const struct pt_view *v, const struct pt_pod *pod)
{
    return pod->ready && v->s->now_ms - pod->state.ready_since_ms >= (int64_t)v->s->md->spec.min_ready_s * 1000;
}

static const struct pt_revision *revision_of(const struct pt_view *v, const char *name)
{
    for (const struct pt_revision *r = v->s->revisions; r; r = (const struct pt_revision *)r->o.next)
        if (!strcmp(r->o.name, name))
            return r;
    return NULL;
}

static bool wrong_digest(const struct pt_view *v, const struct pt_pod *pod)
{
    const struct pt_revision *r = revision_of(v, pod->revision);
    uint8_t wanted[32];
    if (!r || !*r->digest || pt_parse_digest(pt_str(r->digest), "digest", wanted, NULL) < 0)
        return false;
    return !pod->state.has_digest || memcmp(wanted, pod->state.digest, 32) != 0;
}

struct pt_pod_model pt_view_model(const struct pt_view *v, const struct pt_pod *pod)
{
    const struct pt_pod_state *st = &pod->state;
    struct pt_pod_model m = {.known = st->reported};
    if (!st->reported) {
        m.loaded = pod->gate == PT_TRUE && pod->ready;
        m.failed = pod->gate == PT_FALSE && pt_model_reason_parse(pod->gate_reason) >= 0;
        m.reason = pod->gate_reason;
        m.message = pod->gate_message;
        m.known = m.loaded || m.failed;
        return m;
    }
    m.downloading = st->model == PT_MODEL_DOWNLOADING;
    m.failed = st->model == PT_MODEL_FAILED;
    m.reason = m.failed ? pt_model_reason_text(st->reason) : "";
    m.message = st->message ? st->message : "";
    if (st->model == PT_MODEL_READY) {
        m.failed = wrong_digest(v, pod);
        m.loaded = !m.failed;
        m.reason = m.failed ? pt_model_reason_text(PT_REASON_DIGEST_MISMATCH) : "";
        m.message = m.failed ? "the sidecar reports another digest than spec.model.digest" : "";
    }
    return m;
}

static bool draining(const struct pt_pod *pod)
{
    return pod->gate == PT_FALSE && !strcmp(pod->gate_reason, PT_GATE_REMOVAL);
}

static bool leaving(const struct pt_pod *pod)
{
    return pod->terminating || pod->state.doomed_ms >= 0 || draining(pod) || pod->phase == PT_PHASE_ENDED;
}

static void add(struct pt_view *v, struct pt_pod_list *list, const struct pt_pod *pod)
{
    list->pod[list->count++] = pod;
    list->available += pt_view_available(v, pod);
    list->ready += pod->ready;
    if (pod->ready && !pt_view_available(v, pod))
        pt_view_look_again(v, (int64_t)v->s->md->spec.min_ready_s * 1000 - (v->s->now_ms - pod->state.ready_since_ms));
}

/* Creates that may still arrive; those of one revision, or of all (NULL). */
static int landing(struct pt_view *v, const char *revision)
{
    int n = 0;
    for (size_t i = 0; i < v->s->reserved_count; i++) {
        const struct pt_reserved *r = &v->s->reserved[i];
        int64_t left = r->since_ms + PT_LANDING_MS - v->s->now_ms;
        if (left <= 0 || (revision && strcmp(r->revision, revision) != 0))
            continue;
        n++;
        pt_view_look_again(v, left);
    }
    return n;
}

static void look(struct pt_view *v)
{
    size_t n = 0;
    const struct pt_pod *pod;
    for (pod = v->s->pods; pod; pod = (const struct pt_pod *)pod->o.next)
        n++;
    v->fresh.pod = pt_view_alloc(v, (n + 1) * sizeof(void *));
    v->old.pod = pt_view_alloc(v, (n + 1) * sizeof(void *));
    if (v->rc < 0)
        return;
    v->present = landing(v, NULL);
    for (pod = v->s->pods; pod; pod = (const struct pt_pod *)pod->o.next) {
        bool fresh = !strcmp(pod->revision, v->update);
        if (leaving(pod)) {
            v->leaving++;
            v->old_leaving += !fresh;
            v->present += pod->state.doomed_ms >= 0 && !pod->terminating;
        } else {
            v->present++;
            add(v, fresh ? &v->fresh : &v->old, pod);
        }
    }
}

/* --- leaving ------------------------------------------------------------------------------------------------------------- */

static void delete_pod(struct pt_view *v, const struct pt_pod *pod)
{
    struct pt_effect *e = pt_view_effect(v, PT_EFFECT_DELETE_POD);
    e->name = pod->o.name;
    e->uid = pod->o.uid;
    e->reason = "SuccessfulDelete";
    e->message = pt_view_text(v, "Deleted pod: %s", pod->o.name);
    pt_view_look_again(v, DOOMED_MS);
}

/* With the version as a precondition: a patch that arrives late must not undo what was decided since. */
static struct pt_effect *patch_gate(struct pt_view *v, const struct pt_pod *pod, bool on, const char *reason, const char *message)
{
    char now[24];
    pt_auto_buf b = PT_BUF_INIT(0);
    pt_format_time(v->s->wall_ms, now);
    pt_buf_printf(&b, "{\"metadata\":{\"uid\":\"%s\",\"resourceVersion\":\"%llu\"},\"status\":{\"conditions\":[{\"type\":\"" PT_READINESS_GATE
                      "\",\"status\":\"%s\",\"lastTransitionTime\":\"%s\",\"reason\":",
                  pod->o.uid, (unsigned long long)pod->o.rv, on ? "True" : "False", now);
    pt_buf_json_string(&b, pt_str(reason));
    pt_buf_puts(&b, ",\"message\":");
    pt_buf_json_string(&b, pt_str(message));
    pt_buf_puts(&b, "}]}}");
    struct pt_effect *e = pt_view_effect(v, PT_EFFECT_PATCH_GATE);
    e->name = pod->o.name;
    e->uid = pod->o.uid;
    e->body = keep(v, &b);
    return e;
}

static void take_out(struct pt_view *v, const struct pt_pod *pod)
{
    if (pod->gate == PT_TRUE && pod->ready)
        (void)patch_gate(v, pod, false, PT_GATE_REMOVAL, "Pintle takes this pod out of service before it is deleted");
    else
        delete_pod(v, pod);
}

static void follow_leaving(struct pt_view *v)
{
    for (const struct pt_pod *pod = v->s->pods; pod; pod = (const struct pt_pod *)pod->o.next) {
        int64_t due = -1;
        if (pod->terminating)
            continue;
        if (pod->state.doomed_ms >= 0)
            due = pod->state.doomed_ms + DOOMED_MS;
        else if (pod->phase == PT_PHASE_ENDED)
            due = v->s->now_ms;
        else if (draining(pod))
            due = pod->state.drain_since_ms + v->s->settings.drain_settle_ms;
        else
            continue;
        if (due <= v->s->now_ms)
            delete_pod(v, pod);
        else
            pt_view_look_again(v, due - v->s->now_ms);
    }
}

/* --- gates --------------------------------------------------------------------------------------------------------------- */

/* The probe lets a pod in, reports keep it there. The gate is open from the start, while the model is on its way: a kubelet looks at gates
 * only when it synchronises the pod, which after the container has started it does once a second, and the sidecar answers its probe by the same
 * state that it reports. A report of anything but progress closes the gate; after a failure it stays closed until the model is loaded. Silence
 * changes nothing. */
static void follow_report(struct pt_view *v, const struct pt_pod *pod)
{
    const struct pt_pod_state *st = &pod->state;
    struct pt_pod_model m = pt_view_model(v, pod);
    bool failed = st->reported && m.failed, loaded = st->reported && m.loaded;
    bool lost = st->reported && !loaded && !failed && st->model == PT_MODEL_DRAINING;
    bool on = !failed && !lost;
    const char *reason = failed ? m.reason : loaded ? PT_GATE_READY : lost ? pt_model_state_text(st->model) : PT_GATE_AWAITING;
    if (!loaded && on && pod->gate != PT_UNKNOWN && (pod->gate == PT_FALSE || !st->reported))
        return;
    if (pod->gate == (on ? PT_TRUE : PT_FALSE) && !strcmp(pod->gate_reason, reason))
        return;
    struct pt_effect *e = patch_gate(v, pod, on, reason,
                                     failed   ? m.message
                                     : loaded ? "the sidecar has loaded the model and run it once"
                                     : lost   ? "the sidecar is ending"
                                              : "the pod is Ready as soon as its sidecar has loaded the model and answers the probe");
    if (!failed && !loaded)
        return;
    e->warning = failed;
    e->reason = reason;
    e->message = failed ? pt_view_text(v, "Pod %s: %.900s", pod->o.name, m.message) : pt_view_text(v, "Pod %s serves the model", pod->o.name);
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

/* The pod that would be missed least comes first. */
static int by_worth(const void *pa, const void *pb)
{
    const struct pt_pod *a = *(const struct pt_pod *const *)pa, *b = *(const struct pt_pod *const *)pb;
    int64_t now = sorting->s->now_ms;
    int c;
    if ((c = a->assigned - b->assigned) || (c = (int)a->phase - (int)b->phase))
        return c;
    if ((c = pt_view_available(sorting, a) - pt_view_available(sorting, b)) || (c = a->ready - b->ready))
        return c;
    if ((c = order(a->deletion_cost, b->deletion_cost)) || (c = order(a->state.in_flight, b->state.in_flight)))
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

/* Takes out the first n of a sorted list and drops them from it. */
static void take_out_first(struct pt_view *v, struct pt_pod_list *list, int n)
{
    for (int i = 0; i < n; i++) {
        list->available -= pt_view_available(v, list->pod[i]);
        list->ready -= list->pod[i]->ready;
        take_out(v, list->pod[i]);
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
    uint64_t seed = v->s->seed ^ pt_fnv32a(revision, strlen(revision), 2166136261u);
    for (int i = 0; i < min_int(n, CREATE_MAX) && v->rc == PT_OK; i++) {
        struct pt_err err;
        pt_auto_buf b = PT_BUF_INIT(0);
        const char *name = new_name(v, revision, &reserved, &seed);
        int rc = pt_build_pod(v->s->md, &v->s->settings, revision, user_json, name, &b, &err);
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
        e->body = keep(v, &b);
        e->reason = "SuccessfulCreate";
        e->message = pt_view_text(v, "Created pod: %s", name);
    }
}

/* --- the rollout --------------------------------------------------------------------------------------------------------- */

static void recreate(struct pt_view *v)
{
    int old = v->old.count + v->old_leaving;
    take_out_first(v, &v->old, v->old.count);
    if (old == 0)
        create_pods(v, v->update, v->s->md->spec.user_json, min_int(v->replicas - v->fresh.count, v->replicas - v->present + landing(v, v->update)));
}

static void roll(struct pt_view *v, int surge)
{
    int limit = v->replicas + surge;
    int keep_old = max_int(0, v->min_available - v->fresh.available);
    sort(v, &v->old, by_rank);
    int worthless = 0;
    while (worthless < v->old.count && old_rank(v->old.pod[worthless]) == 0)
        worthless++;
    take_out_first(v, &v->old, worthless);
    take_out_first(v, &v->old, max_int(0, v->old.count - keep_old));
    take_out_first(v, &v->fresh, max_int(0, min_int(v->fresh.count + v->old.count - limit, v->fresh.count - v->fresh.available)));

    const struct pt_revision *again = v->current_revision && strcmp(v->current_revision->o.name, v->update) != 0 ? v->current_revision : NULL;
    int heal = again ? max_int(0, min_int(keep_old - v->old.count, limit - v->present + landing(v, again->o.name))) : 0;
    int reserve = again ? max_int(v->old.count + heal, keep_old) : v->old.count;
    if (heal)
        create_pods(v, again->o.name, again->data, heal);
    int room = min_int(limit - reserve - v->fresh.count, limit - v->present + landing(v, v->update) - heal);
    create_pods(v, v->update, v->s->md->spec.user_json, min_int(v->replicas - v->fresh.count, room));
}

static void plan_pods(struct pt_view *v)
{
    const struct pt_spec *spec = &v->s->md->spec;
    int surge = amount(spec->max_surge, v->replicas, true);
    follow_leaving(v);
    sort(v, &v->fresh, by_worth);
    take_out_first(v, &v->fresh, max_int(0, v->fresh.count - v->replicas));
    if (spec->strategy == PT_STRATEGY_RECREATE)
        recreate(v);
    else
        roll(v, surge);
    for (int i = 0; i < v->fresh.count; i++)
        follow_report(v, v->fresh.pod[i]);
    for (int i = 0; i < v->old.count; i++)
        follow_report(v, v->old.pod[i]);
}

/* --- revisions, service -------------------------------------------------------------------------------------------------- */

static int64_t highest_number(const struct pt_view *v)
{
    int64_t n = 0;
    for (const struct pt_revision *r = v->s->revisions; r; r = (const struct pt_revision *)r->o.next)
        if (r->number > n)
            n = r->number;
    return n;
}

/* false: the name is taken by other content; the next plan uses another. */
static bool plan_revision(struct pt_view *v)
{
    const struct pt_md *md = v->s->md;
    v->collisions = md->collisions;
    pt_revision_name(md, md->spec.user_json, v->collisions, v->update);
    v->update_revision = revision_of(v, v->update);
    v->current_revision = *md->current_revision ? revision_of(v, md->current_revision) : NULL;
    if (v->update_revision ? strcmp(v->update_revision->data, md->spec.user_json) != 0 : v->s->revision_taken) {
        v->collisions++;
        return false;
    }
    pt_auto_buf b = PT_BUF_INIT(0);
    int64_t highest = highest_number(v);
    if (!v->update_revision) {
        if (pt_build_revision(md, v->update, highest + 1, &b, v->err) < 0)
            v->rc = v->err->code;
        struct pt_effect *e = pt_view_effect(v, PT_EFFECT_CREATE_REVISION);
        e->name = v->update;
        e->body = keep(v, &b);
        e->reason = "NewRevision";
        e->message = pt_view_text(v, "Created revision %s", v->update);
    } else if (v->update_revision->number < highest) { /* back to an earlier one */
        pt_buf_printf(&b, "{\"metadata\":{\"uid\":\"%s\"},\"revision\":%lld}", v->update_revision->o.uid, (long long)highest + 1);
        struct pt_effect *e = pt_view_effect(v, PT_EFFECT_NUMBER_REVISION);
        e->name = v->update_revision->o.name;
        e->body = keep(v, &b);
        e->reason = "Rollback";
        e->message = pt_view_text(v, "Going back to revision %s", v->update);
    }
    return true;
}

static bool in_use(const struct pt_view *v, const struct pt_revision *r)
{
    if (r == v->update_revision || r == v->current_revision || !strcmp(r->o.name, v->s->md->update_revision))
        return true;
    for (const struct pt_pod *pod = v->s->pods; pod; pod = (const struct pt_pod *)pod->o.next)
        if (!strcmp(pod->revision, r->o.name))
            return true;
    return false;
}

static int by_number(const void *a, const void *b)
{
    int64_t x = (*(const struct pt_revision *const *)a)->number, y = (*(const struct pt_revision *const *)b)->number;
    return x < y ? -1 : x > y;
}

static void prune_revisions(struct pt_view *v)
{
    size_t n = 0, unused = 0;
    const struct pt_revision *r;
    for (r = v->s->revisions; r; r = (const struct pt_revision *)r->o.next)
        n++;
    const struct pt_revision **all = pt_view_alloc(v, (n + 1) * sizeof(void *));
    if (!all)
        return;
    for (r = v->s->revisions; r; r = (const struct pt_revision *)r->o.next)
        if (!in_use(v, r))
            all[unused++] = r;
    qsort(all, unused, sizeof *all, by_number);
    for (size_t i = 0; i + (size_t)v->s->md->spec.history_limit < unused; i++) {
        struct pt_effect *e = pt_view_effect(v, PT_EFFECT_DELETE_REVISION);
        e->name = all[i]->o.name;
        e->uid = all[i]->o.uid;
    }
}

static void plan_service(struct pt_view *v)
{
    const struct pt_service *have = v->s->service;
    const struct pt_md *md = v->s->md;
    pt_auto_buf b = PT_BUF_INIT(0), shape = PT_BUF_INIT(0);
    bool ours = have && have->o.owner_uid && !strcmp(have->o.owner_uid, md->o.uid);
    if (v->s->service_taken || (have && !ours)) {
        v->trouble = "ServiceNameTaken";
        v->trouble_message = pt_view_text(v, "a Service named %s exists and does not belong to this ModelDeployment", md->o.name);
        pt_view_look_again(v, 30000);
        return;
    }
    if (pt_build_service_shape(md, &shape, v->err) < 0) {
        v->rc = v->err->code;
        return;
    }
    if (ours && !strcmp(have->shape, pt_buf_cstr(&shape)))
        return;
    if (pt_build_service(md, ours ? have->o.uid : NULL, &b, v->err) < 0) {
        v->rc = v->err->code;
        return;
    }
    struct pt_effect *e = pt_view_effect(v, ours ? PT_EFFECT_PATCH_SERVICE : PT_EFFECT_CREATE_SERVICE);
    e->name = md->o.name;
    e->uid = ours ? have->o.uid : NULL;
    e->body = keep(v, &b);
    e->reason = ours ? "ServiceUpdated" : "ServiceCreated";
    e->message = pt_view_text(v, "%s Service %s", ours ? "Updated" : "Created", md->o.name);
}

/* --- all of it ----------------------------------------------------------------------------------------------------------- */

static void judge(struct pt_view *v)
{
    struct pt_plan *p = v->plan;
    const struct pt_progress *was = &v->s->progress;
    v->complete = v->update_revision && v->fresh.count == v->replicas && v->fresh.available == v->replicas && v->present == v->replicas;
    struct pt_progress now = {.generation = v->s->md->generation, .complete = v->complete, .updated = v->fresh.count, .ready = v->fresh.ready,
                              .available = v->fresh.available, .old = v->old.count};
    bool first_look = was->generation == 0;
    p->progress = now;
    p->progressed = v->complete || was->complete ||
                    (!first_look && (now.generation != was->generation || now.updated > was->updated || now.ready > was->ready ||
                                     now.available > was->available || now.old < was->old));
    int64_t left = (int64_t)v->s->md->spec.progress_deadline_s * 1000 - (p->progressed || first_look ? 0 : v->s->now_ms - v->s->progress_ms);
    bool was_exceeded = v->s->md->deadline_exceeded && v->s->md->observed_generation == v->s->md->generation;
    v->exceeded = !v->complete && !p->progressed && (left <= 0 || was_exceeded);
    if (!v->complete && left > 0)
        pt_view_look_again(v, left);
}

static const char *own(struct pt_view *v, const char *text)
{
    char *p = text ? pt_arena_strndup(&v->plan->arena, text, strlen(text)) : NULL;
    if (text && !p)
        v->rc = pt_fail(v->err, PT_ENOMEM, "plan: out of memory");
    return p;
}

/* The plan outlives the snapshot: stores change while it is carried out. */
static int detach(struct pt_view *v)
{
    for (size_t i = 0; i < v->plan->count; i++) {
        struct pt_effect *e = &v->plan->effects[i];
        e->name = own(v, e->name);
        e->uid = own(v, e->uid);
        e->reason = own(v, e->reason);
        e->message = own(v, e->message);
    }
    return v->rc;
}

int pt_plan_make(const struct pt_snapshot *s, struct pt_plan *out, struct pt_err *err)
{
    struct pt_err local;
    struct pt_view v = {.s = s, .plan = out, .err = err ? err : &local, .trouble = s->trouble, .trouble_message = s->trouble_message};
    *out = (struct pt_plan){.requeue_ms = -1, .progress = s->progress};
    pt_arena_init(&out->arena, 64 << 20);
    if (s->md->deleting) /* the garbage collector follows our owner references */
        return PT_OK;
    if (s->md->invalid) {
        snprintf(v.update, sizeof v.update, "%.63s", s->md->update_revision);
        v.collisions = s->md->collisions;
        v.trouble = "InvalidSpec";
        v.trouble_message = s->md->invalid;
        look(&v);
        if (v.rc == PT_OK)
            pt_plan_status(&v);
        return detach(&v);
    }
    bool named = plan_revision(&v);
    v.replicas = s->md->spec.replicas;
    int surge = amount(s->md->spec.max_surge, v.replicas, true), unavailable = amount(s->md->spec.max_unavailable, v.replicas, false);
    if (surge == 0 && unavailable == 0)
        unavailable = 1;
    v.min_available = max_int(0, v.replicas - unavailable);
    if (v.rc == PT_OK)
        look(&v);
    if (v.rc == PT_OK)
        judge(&v);
    struct pt_view seen = v; /* the status tells what is, not what this plan will make of it */
    if (named && v.rc == PT_OK) {
        plan_service(&v);
        plan_pods(&v);
    }
    seen.rc = v.rc;
    seen.trouble = v.trouble;
    seen.trouble_message = v.trouble_message;
    if (seen.rc == PT_OK)
        pt_plan_status(&seen);
    if (named && seen.rc == PT_OK)
        prune_revisions(&seen);
    return detach(&seen);
}

void pt_plan_finish(struct pt_plan *p)
{
    pt_arena_finish(&p->arena);
    pt_free(p->effects);
    *p = (struct pt_plan){.requeue_ms = -1};
}
