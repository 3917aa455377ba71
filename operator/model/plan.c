/* SPDX-License-Identifier: Apache-2.0
 *
 * plan.c: see plan.h. Looks at the pods, follows those that leave and what sidecars report, and puts the plan together: rollout.c decides
 * which pods there shall be, owned.c about revisions, Service and budget, status.c what is said about it.
 *
 * A pod that serves leaves in two steps: its gate is turned off, and when its node has seen that, no EndpointSlice has it any more and proxies have had
 * time to follow, it is deleted. One that does not serve is deleted at once, as the version of it that was looked at: it may have become ready since.
 */
#include "operator/model/view.h"
#include "base/num.h"

#include <stdio.h>
#include <stdlib.h>

#define DOOMED_MS 30000 /* a deletion whose answer was lost is repeated after this */
#define FOLLOW_MS 10000 /* how long kubelet and EndpointSlices may take to follow a gate that is off; then the pod is deleted all the same */

/* --- small helpers ------------------------------------------------------------------------------------------------------- */

void *pt_view_alloc(struct pt_view *v, size_t size)
{
    void *p = pt_arena_alloc(&v->plan->arena, size);
    if (!p)
        v->rc = pt_fail(v->err, PT_ENOMEM, "plan: out of memory");
    return p;
}

struct pt_str pt_view_keep(struct pt_view *v, struct pt_buf *b)
{
    char *p = b->failed ? NULL : pt_arena_strndup(&v->plan->arena, b->data ? b->data : "", b->len);
    if (!p)
        v->rc = pt_fail(v->err, PT_ENOMEM, "plan: out of memory");
    return (struct pt_str){p ? p : "", p ? b->len : 0};
}

#define TEXT_MAX 1199
const char *pt_view_text(struct pt_view *v, const char *fmt, ...)
{
    pt_auto_buf text = PT_BUF_INIT(0);
    va_list ap;
    va_start(ap, fmt);
    bool good = pt_buf_vprintf(&text, fmt, ap);
    va_end(ap);
    char *p = good ? pt_arena_strndup(&v->plan->arena, text.data, text.len < TEXT_MAX ? text.len : TEXT_MAX) : NULL;
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

int pt_view_amount(struct pt_amount a, int of, bool up)
{
    return a.percent ? (int)(((int64_t)a.value * of + (up ? 99 : 0)) / 100) : a.value;
}

/* --- what was refused ---------------------------------------------------------------------------------------------------- */

static const struct {
    const char *reason, *what; /* "... Service x: why" */
} refused[] = {
    [PT_EFFECT_ROLLBACK] = {"RollbackFailed", "going back"},
    [PT_EFFECT_RETREAT] = {"RollbackFailed", "going back"},
    [PT_EFFECT_SCALE] = {"ScaleFailed", "scaling"},
    [PT_EFFECT_ADOPT_REVISION] = {"AdoptionFailed", "taking in ControllerRevision"},
    [PT_EFFECT_ADOPT_POD] = {"AdoptionFailed", "taking in Pod"},
    [PT_EFFECT_ADOPT_SERVICE] = {"AdoptionFailed", "taking in Service"},
    [PT_EFFECT_ADOPT_BUDGET] = {"AdoptionFailed", "taking in PodDisruptionBudget"},
    [PT_EFFECT_RELEASE_POD] = {"ReleaseFailed", "letting go of Pod"},
    [PT_EFFECT_CREATE_REVISION] = {"FailedCreate", "creating ControllerRevision"},
    [PT_EFFECT_CREATE_SERVICE] = {"FailedCreate", "creating Service"},
    [PT_EFFECT_CREATE_BUDGET] = {"FailedCreate", "creating PodDisruptionBudget"},
    [PT_EFFECT_NUMBER_REVISION] = {"FailedUpdate", "numbering ControllerRevision"},
    [PT_EFFECT_DELETE_REVISION] = {"FailedDelete", "deleting ControllerRevision"},
    [PT_EFFECT_PATCH_SERVICE] = {"FailedUpdate", "updating Service"},
    [PT_EFFECT_PATCH_BUDGET] = {"FailedUpdate", "updating PodDisruptionBudget"},
    [PT_EFFECT_DELETE_BUDGET] = {"FailedDelete", "deleting PodDisruptionBudget"},
    [PT_EFFECT_FIND_POD] = {"FailedRead", "reading Pod"},
    [PT_EFFECT_PATCH_GATE] = {"FailedUpdate", "writing the readiness gate of Pod"},
    [PT_EFFECT_DELETE_POD] = {"FailedDelete", "deleting Pod"},
    [PT_EFFECT_DELETE_WORK] = {"FailedDelete", "deleting Pod"},
    [PT_EFFECT_PATCH_STATUS] = {NULL, NULL},
};

bool pt_view_left_out(struct pt_view *v, enum pt_effect_kind kind, const char *name)
{
    for (const struct pt_refusal *r = v->s->refusals; r && r < v->s->refusals + v->s->refusal_count; r++) {
        int64_t left = r->since_ms + PT_REFUSED_MS - v->s->now_ms;
        if (r->kind != (int)kind || strcmp(r->name, name) != 0 || !r->final || left <= 0)
            continue;
        pt_view_look_again(v, left);
        return true;
    }
    return false;
}

/* Whatever is more than bad luck is what the status says, one of each kind: that none of ten pods may be deleted has one reason. */
static void tell_refusals(struct pt_view *v)
{
    uint64_t told = 0;
    for (const struct pt_refusal *r = v->s->refusals; r && r < v->s->refusals + v->s->refusal_count; r++) {
        if ((!r->final && r->count < 3) || !refused[r->kind].reason || told >> r->kind & 1)
            continue;
        const char *text = pt_view_text(v, "%s %s: %s", refused[r->kind].what, r->name, r->message);
        v->blocked = true;
        v->trouble = told ? v->trouble : refused[r->kind].reason;
        v->trouble_message = told ? pt_view_text(v, "%s; %s", v->trouble_message, text) : text;
        told |= UINT64_C(1) << r->kind;
    }
}

/* --- looking ------------------------------------------------------------------------------------------------------------- */

bool pt_view_available(const struct pt_view *v, const struct pt_pod *pod)
{
    return pod->ready && v->s->now_ms - pod->state.ready_since_ms >= (int64_t)v->s->md->spec.min_ready_s * 1000;
}

const struct pt_revision *pt_view_revision(const struct pt_view *v, const char *name)
{
    for (const struct pt_revision *r = v->s->revisions; r; r = (const struct pt_revision *)r->o.next)
        if (!strcmp(r->o.name, name))
            return r;
    return NULL;
}

static bool wrong_digest(const struct pt_view *v, const struct pt_pod *pod)
{
    const struct pt_revision *r = pt_view_revision(v, pod->revision);
    uint8_t wanted[32];
    if (!r || !*r->digest || pt_parse_digest(pt_str(r->digest), "digest", wanted, NULL) < 0)
        return false;
    return !pod->state.told->has_digest || memcmp(wanted, pod->state.told->digest, 32) != 0;
}

struct pt_pod_model pt_view_model(const struct pt_view *v, const struct pt_pod *pod)
{
    const struct pt_pod_told *st = pod->state.told;
    struct pt_pod_model m = {.known = st};
    if (!st) {
        m.loaded = pod->gate == PT_TRUE && pod->ready;
        m.failed = pod->gate == PT_FALSE && pt_model_reason_parse(pod->gate_reason) >= 0;
        m.reason = pod->gate_reason;
        m.message = pod->trouble->gate_message;
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

bool pt_pod_may_serve(const struct pt_pod *pod)
{
    return !draining(pod) && pod->phase != PT_PHASE_ENDED;
}

static bool leaving(const struct pt_pod *pod)
{
    return pod->terminating || pod->state.doomed_ms >= 0 || pod->state.removing_ms >= 0 || draining(pod) || pod->phase == PT_PHASE_ENDED;
}

static void add(struct pt_view *v, struct pt_pod_list *list, const struct pt_pod *pod)
{
    list->pod[list->count++] = pod;
    list->available += pt_view_available(v, pod);
    list->ready += pod->ready;
    if (pod->ready && !pt_view_available(v, pod))
        pt_view_look_again(v, (int64_t)v->s->md->spec.min_ready_s * 1000 - (v->s->now_ms - pod->state.ready_since_ms));
}

/* Creates that may have arrived or still arrive; those of one revision, or of all (NULL). */
int pt_view_landing(struct pt_view *v, const char *revision)
{
    int n = 0;
    for (size_t i = 0; i < v->s->reserved_count; i++) {
        const struct pt_reserved *r = &v->s->reserved[i];
        int64_t left = r->since_ms + PT_LANDING_MS - v->s->now_ms;
        if (r->missing || (revision && strcmp(r->revision, revision) != 0))
            continue;
        n++;
        if (left > 0)
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
    v->present = pt_view_landing(v, NULL);
    for (pod = v->s->pods; pod; pod = (const struct pt_pod *)pod->o.next) {
        bool fresh = !strcmp(pod->revision, v->update);
        if (leaving(pod)) {
            v->leaving++;
            v->old_leaving += !fresh;
            v->present += !pod->terminating && (pod->state.doomed_ms >= 0 || (pod->state.removing_ms >= 0 && !draining(pod)));
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
    e->rv = pt_pod_may_serve(pod) ? pod->o.rv : 0;
    e->reason = "SuccessfulDelete";
    e->message = pt_view_text(v, "Deleted pod: %s", pod->o.name);
    pt_view_look_again(v, DOOMED_MS);
}

/* With the version as a precondition: a patch that arrives late must not undo what was decided since. */
static struct pt_effect *patch_gate(struct pt_view *v, const struct pt_pod *pod, bool on, const char *reason, const char *message)
{
    char now[24], rv[PT_NUM_MAX + 1];
    pt_auto_buf b = PT_BUF_INIT(0);
    pt_format_time(v->s->wall_ms, now);
    rv[pt_num_put_u64(rv, pod->o.rv)] = 0;
    pt_buf_cat(&b, "{\"metadata\":{\"uid\":\"", pod->o.uid, "\",\"resourceVersion\":\"", rv,
               "\"},\"status\":{\"conditions\":[{\"type\":\"" PT_READINESS_GATE "\",\"status\":\"", on ? "True" : "False",
               "\",\"lastTransitionTime\":\"", now, "\",\"reason\":", NULL);
    pt_buf_json_string(&b, pt_str(reason));
    pt_buf_puts(&b, ",\"message\":");
    pt_buf_json_string(&b, pt_str(message));
    pt_buf_puts(&b, "}]}}");
    struct pt_effect *e = pt_view_effect(v, PT_EFFECT_PATCH_GATE);
    e->name = pod->o.name;
    e->uid = pod->o.uid;
    e->body = pt_view_keep(v, &b);
    return e;
}

/* When the answer is lost the pod is on its way out all the same (removing_ms), and asked again: the patch may still come, and then it must not meet other plans. */
void pt_view_take_out(struct pt_view *v, const struct pt_pod *pod)
{
    if (pod->gate == PT_TRUE && pod->ready && v->s->now_ms < v->s->alone_ms) {
        pt_view_look_again(v, v->s->alone_ms - v->s->now_ms);
    } else if (pod->gate == PT_TRUE && pod->ready) {
        patch_gate(v, pod, false, PT_GATE_REMOVAL, "Pintle takes this pod out of service before it is deleted")->removal = true;
        pt_view_look_again(v, DOOMED_MS);
    } else {
        delete_pod(v, pod);
    }
}

static bool gets_traffic(const struct pt_view *v, const struct pt_pod *pod)
{
    for (const struct pt_slice *s = v->s->slices; s; s = (const struct pt_slice *)s->o.next)
        if (pt_slice_has(s, pod->o.name))
            return true;
    return false;
}

/* When a pod that is being drained may be deleted, as things are. */
static int64_t drained_by(const struct pt_view *v, const struct pt_pod *pod)
{
    int64_t bound = pod->state.drain_since_ms + FOLLOW_MS, out = pod->state.left_ms > pod->state.drained_ms ? pod->state.left_ms : pod->state.drained_ms;
    int64_t due = (pod->ready || gets_traffic(v, pod) || out > bound ? bound : out) + v->s->settings.drain_settle_ms;
    return due > v->s->proxies_ms ? due : v->s->proxies_ms;
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
        else if (pod->state.removing_ms >= 0 && !draining(pod)) {
            if (pod->state.removing_ms + DOOMED_MS <= v->s->now_ms) {
                pt_view_take_out(v, pod);
                if (v->rc == PT_OK)
                    v->plan->effects[v->plan->count - 1].repeated = true;
            } else
                pt_view_look_again(v, pod->state.removing_ms + DOOMED_MS - v->s->now_ms);
            continue;
        } else if (draining(pod))
            due = drained_by(v, pod);
        else
            continue;
        if (due <= v->s->now_ms)
            delete_pod(v, pod);
        else
            pt_view_look_again(v, due - v->s->now_ms);
    }
}

static bool is_planned(const struct pt_view *v, enum pt_effect_kind kind, const char *name)
{
    for (size_t i = 0; i < v->plan->count; i++)
        if (v->plan->effects[i].kind == kind && !strcmp(v->plan->effects[i].name, name))
            return true;
    return false;
}

/* What is asked for again under its name is answered by that. */
static void find_landed(struct pt_view *v)
{
    for (size_t i = 0; i < v->s->reserved_count && v->rc == PT_OK; i++) {
        const struct pt_reserved *r = &v->s->reserved[i];
        if (!r->missing && r->since_ms + PT_LANDING_MS <= v->s->now_ms && !is_planned(v, PT_EFFECT_CREATE_POD, r->name))
            pt_view_effect(v, PT_EFFECT_FIND_POD)->name = r->name;
    }
}

/* --- gates --------------------------------------------------------------------------------------------------------------- */

/* The probe lets a pod in, reports keep it there. The gate is open from the start, while the model is on its way: a kubelet looks at gates
 * only when it synchronises the pod, which after the container has started it does once a second, and the sidecar answers its probe by the same
 * state that it reports. A report of anything but progress closes the gate; after a failure it stays closed until the model is loaded. Silence
 * changes nothing. */
static void follow_report(struct pt_view *v, const struct pt_pod *pod)
{
    const struct pt_pod_told *st = pod->state.told;
    struct pt_pod_model m = pt_view_model(v, pod);
    bool failed = st && m.failed, loaded = st && m.loaded;
    bool lost = st && !loaded && !failed && st->model == PT_MODEL_DRAINING;
    bool on = !failed && !lost;
    const char *reason = failed ? m.reason : loaded ? PT_GATE_READY : lost ? pt_model_state_text(st->model) : PT_GATE_AWAITING;
    if (!loaded && on && pod->gate != PT_UNKNOWN && (pod->gate == PT_FALSE || !st))
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

/* --- all of it ----------------------------------------------------------------------------------------------------------- */

static void judge(struct pt_view *v)
{
    struct pt_plan *p = v->plan;
    const struct pt_progress *was = &v->s->progress;
    v->complete = v->update_revision && !v->held && v->fresh.count == v->replicas && v->fresh.available == v->replicas && v->present == v->replicas;
    struct pt_progress now = {.generation = v->s->md->generation,
                              .complete = v->complete,
                              .updated = v->fresh.count,
                              .ready = v->fresh.ready,
                              .available = v->fresh.available,
                              .old = v->old.count};
    bool first_look = was->generation == 0;
    p->progress = now;
    bool paused = v->s->md->spec.paused || v->held; /* that time does not count */
    p->progressed = v->complete || was->complete || paused ||
                    (!first_look && (now.generation != was->generation || now.updated > was->updated || now.ready > was->ready ||
                                     now.available > was->available || now.old < was->old));
    int64_t left = (int64_t)v->s->md->spec.progress_deadline_s * 1000 - (p->progressed || first_look ? 0 : v->s->now_ms - v->s->progress_ms);
    bool was_exceeded = v->s->md->deadline_exceeded && v->s->md->observed_generation == v->s->md->generation;
    v->exceeded = !v->complete && !p->progressed && (left <= 0 || was_exceeded);
    if (!v->complete && !paused && left > 0)
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

/* The status alone, of the revision that was the newest last. */
static void tell_state(struct pt_view *v)
{
    snprintf(v->update, sizeof v->update, "%.63s", v->s->md->update_revision);
    v->collisions = v->s->md->collisions;
    if (v->s->md->compression)
        v->compression = *v->s->md->compression;
    if (!v->s->md->invalid)
        v->replicas = v->s->md->spec.replicas;
    look(v);
    if (v->rc == PT_OK)
        pt_plan_status(v);
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
        v.trouble = "InvalidSpec";
        v.trouble_message = s->md->invalid;
        tell_state(&v);
        return detach(&v);
    }
    if (pt_plan_rollback(&v) || pt_plan_retreat(&v) || pt_plan_adopt(&v) || pt_plan_scale(&v)) { /* what comes back is planned with */
        tell_refusals(&v);
        if (v.blocked) /* and if nothing does, that is said */
            tell_state(&v);
        return detach(&v);
    }
    pt_plan_compression(&v);
    bool named = v.rc == PT_OK && pt_plan_revision(&v);
    v.replicas = s->md->spec.replicas;
    int surge = pt_view_amount(s->md->spec.max_surge, v.replicas, true), unavailable = pt_view_amount(s->md->spec.max_unavailable, v.replicas, false);
    if (surge == 0 && unavailable == 0)
        unavailable = 1;
    v.min_available = v.replicas > unavailable ? v.replicas - unavailable : 0;
    if (v.rc == PT_OK)
        look(&v);
    if (v.rc == PT_OK)
        judge(&v);
    struct pt_view seen = v; /* the status tells what is, not what this plan will make of it */
    if (named && v.rc == PT_OK) {
        pt_plan_named(&v);
        follow_leaving(&v);
        pt_plan_rollout(&v);
        find_landed(&v);
        for (int i = 0; i < v.fresh.count; i++)
            follow_report(&v, v.fresh.pod[i]);
        for (int i = 0; i < v.old.count; i++)
            follow_report(&v, v.old.pod[i]);
    }
    tell_refusals(&v);
    seen.rc = v.rc;
    seen.blocked = v.blocked;
    seen.trouble = v.trouble;
    seen.trouble_message = v.trouble_message;
    if (seen.rc == PT_OK)
        pt_plan_status(&seen);
    if (named && seen.rc == PT_OK)
        pt_plan_prune(&seen);
    return detach(&seen);
}

void pt_plan_finish(struct pt_plan *p)
{
    pt_arena_finish(&p->arena);
    pt_free(p->effects);
    *p = (struct pt_plan){.requeue_ms = -1};
}
