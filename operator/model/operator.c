/* SPDX-License-Identifier: Apache-2.0
 *
 * operator.c: see operator.h. Stores and their news, the queue and snapshots.
 */
#include "base/log.h"
#include "operator/model/internal.h"
#include "operator/model/view.h"

#include <stdio.h>

#define KEY_MAX 320
#define STOP_MS 20000 /* the Lease is to be given back as well before a pod's 30 s are over */
#define STOP_EVENTS_MS 3000
#define DRAIN_SETTLE_MS 1000 /* as long as kube-proxy waits at most by default */

static const double seconds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0,
                                 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50, 60};
static const struct pt_metric_family
    f_total = {"controller_runtime_reconcile_total", "Total number of reconciliations per controller", PT_COUNTER, "controller,result", NULL, 0},
    f_errors = {"controller_runtime_reconcile_errors_total", "Total number of reconciliation errors per controller", PT_COUNTER, "controller", NULL, 0},
    f_seconds = {"controller_runtime_reconcile_time_seconds", "Length of time per reconciliation per controller", PT_HISTOGRAM, "controller", seconds,
                 sizeof seconds / sizeof *seconds},
    f_active = {"controller_runtime_active_workers", "Number of currently used workers per controller", PT_GAUGE, "controller", NULL, 0},
    f_max = {"controller_runtime_max_concurrent_reconciles", "Maximum number of concurrent reconciles per controller", PT_GAUGE, "controller", NULL, 0},
    /* what cannot happen here has its series all the same, at 0: dashboards ask for them */
    f_terminal = {"controller_runtime_terminal_reconcile_errors_total", "Total number of terminal reconciliation errors per controller", PT_COUNTER, "controller", NULL, 0},
    f_panics = {"controller_runtime_reconcile_panics_total", "Total number of reconciliation panics per controller", PT_COUNTER, "controller", NULL, 0},
    f_timeouts = {"controller_runtime_reconcile_timeouts_total", "Total number of reconciliation timeouts per controller", PT_COUNTER, "controller", NULL, 0},
    f_reports = {"pintle_reports_total", "Reports of sidecars taken in", PT_COUNTER, "", NULL, 0};

/* --- news from the stores ------------------------------------------------------------------------------------------------ */

static bool put_key(char key[KEY_MAX], const char *ns, const char *name)
{
    size_t n = strlen(ns), m = strlen(name);
    if (n + m + 2 > KEY_MAX) /* no server has such names */
        return false;
    memcpy(key, ns, n);
    key[n] = '/';
    memcpy(key + n + 1, name, m + 1);
    return true;
}

/* Whoever begins to lead looks at all of them. */
void pt_operator_enqueue(struct pt_operator *op, const char *ns, const char *name, enum pt_urgency urgency)
{
    char key[KEY_MAX];
    if (op->leading && put_key(key, ns, name))
        pt_workqueue_add(op->queue, key, urgency);
}

static void md_changed(void *arg, enum pt_change change, struct pt_object *was, struct pt_object *is, bool initial)
{
    bool echo = change == PT_UPDATED && ((struct pt_md *)was)->generation == ((struct pt_md *)is)->generation; /* of a status, most often */
    pt_operator_enqueue(arg, (is ? is : was)->ns, (is ? is : was)->name, initial ? PT_URGENCY_BACKLOG : echo ? PT_URGENCY_NEWS : PT_URGENCY_EDIT);
}

/* The garbage collector deletes what a deleted owner had. While our copy is behind, what we made anew for it would be deleted again, and so on. */
static void note_loss(struct pt_operator *op, const struct pt_object *was)
{
    char key[KEY_MAX];
    struct pt_deployment *d = was->owner_uid && put_key(key, was->ns, was->owner_name) ? pt_map_get(&op->deployments, pt_str(key)) : NULL;
    if (d && !strcmp(d->uid, was->owner_uid))
        d->bereaved = true;
}

static void child_changed(void *arg, enum pt_change change, struct pt_object *was, struct pt_object *is, bool initial)
{
    enum pt_urgency urgency = initial ? PT_URGENCY_BACKLOG : PT_URGENCY_NEWS;
    (void)change;
    if (was && was->owner_name)
        pt_operator_enqueue(arg, was->ns, was->owner_name, urgency);
    if (is && is->owner_name && !(was && was->owner_name && !strcmp(was->owner_name, is->owner_name)))
        pt_operator_enqueue(arg, is->ns, is->owner_name, urgency);
}

static void owned_changed(void *arg, enum pt_change change, struct pt_object *was, struct pt_object *is, bool initial)
{
    if (change == PT_DELETED)
        note_loss(arg, was);
    child_changed(arg, change, was, is, initial);
}

/* What is kept beside a pod moves to its new version; times are taken when we see the change, on the monotonic clock. */
static void pod_changed(void *arg, enum pt_change change, struct pt_object *was_object, struct pt_object *is_object, bool initial)
{
    struct pt_operator *op = arg;
    struct pt_pod *was = (struct pt_pod *)was_object, *is = (struct pt_pod *)is_object;
    int64_t now = pt_now_ms(op->o.sched), before = 0;
    if (change == PT_UPDATED) {
        is->state = was->state;
        was->state.told = NULL;
    } else if (change == PT_ADDED && is->ready && is->ready_wall_ms) {
        before = pt_wall_ms(op->o.sched) - is->ready_wall_ms; /* ready since before we looked */
        before = before > 0 ? before : 0;
    }
    if (is) {
        struct pt_pod_state *st = &is->state;
        bool draining = is->gate == PT_FALSE && !strcmp(is->gate_reason, PT_GATE_REMOVAL);
        st->ready_since_ms = !is->ready ? -1 : st->ready_since_ms >= 0 ? st->ready_since_ms : now - before;
        st->drained_ms = !draining || is->ready ? -1 : st->drained_ms >= 0 ? st->drained_ms : now;
        st->removing_ms = draining || (was && was->o.rv != is->o.rv) ? -1 : st->removing_ms; /* it has come, or cannot any more: it was for another version */
        st->doomed_ms = was && was->o.rv != is->o.rv && pt_pod_may_serve(was) ? -1 : st->doomed_ms; /* the same */
        st->drain_since_ms = !draining ? -1 : st->drain_since_ms >= 0 ? st->drain_since_ms : now;
    } else if (was->state.doomed_ms < 0) {
        note_loss(op, was_object);
    }
    child_changed(arg, change, was_object, is_object, initial);
}

/* When the last slice that had a pod has let go of it is a part of that pod's state. */
static void slice_changed(void *arg, enum pt_change change, struct pt_object *was_object, struct pt_object *is_object, bool initial)
{
    struct pt_operator *op = arg;
    const struct pt_slice *was = (const struct pt_slice *)was_object, *is = (const struct pt_slice *)is_object;
    struct pt_str rest = pt_str(was ? was->pods : NULL), part;
    char name[256];
    while (pt_str_split(&rest, ' ', &part)) {
        snprintf(name, sizeof name, PT_STR_FMT, PT_STR_ARG(part));
        struct pt_pod *pod = part.len ? (struct pt_pod *)pt_store_get(&op->stores[PT_STORE_POD], was->o.ns, name) : NULL;
        if (pod && !(is && pt_slice_has(is, name)))
            pod->state.left_ms = pt_now_ms(op->o.sched);
    }
    child_changed(arg, change, was_object, is_object, initial);
}

/* What it reported stays with a pod that compresses. */
static void work_changed(void *arg, enum pt_change change, struct pt_object *was_object, struct pt_object *is_object, bool initial)
{
    const struct pt_work_pod *was = (const struct pt_work_pod *)was_object;
    struct pt_work_pod *is = (struct pt_work_pod *)is_object;
    if (change == PT_UPDATED) {
        is->progress = was->progress;
        is->sequence = was->sequence;
        is->started_ms = was->started_ms;
    }
    owned_changed(arg, change, was_object, is_object, initial);
}

static const struct {
    struct pt_store_type type;
    const struct pt_resource *resource;
    const char *manager; /* only what carries its label is watched; NULL: all */
} kinds[PT_STORE_COUNT] = {
    [PT_STORE_MD] = {{"modeldeployments", pt_md_decode, pt_md_decode_after, pt_md_free, md_changed}, &pt_res_modeldeployments, NULL},
    [PT_STORE_POD] = {{"pods", pt_pod_decode, NULL, pt_pod_free, pod_changed}, &pt_res_pods, PT_MANAGER},
    [PT_STORE_REVISION] = {{"controllerrevisions", pt_revision_decode, NULL, pt_packed_free, owned_changed}, &pt_res_controllerrevisions, PT_MANAGER},
    [PT_STORE_SERVICE] = {{"services", pt_service_decode, NULL, pt_packed_free, owned_changed}, &pt_res_services, PT_MANAGER},
    [PT_STORE_SLICE] = {{"endpointslices", pt_slice_decode, NULL, pt_packed_free, slice_changed}, &pt_res_endpointslices, PT_MANAGER},
    [PT_STORE_BUDGET] = {{"poddisruptionbudgets", pt_budget_decode, NULL, pt_packed_free, owned_changed}, &pt_res_poddisruptionbudgets, PT_MANAGER},
    [PT_STORE_WORK] = {{"compressions", pt_work_decode, NULL, pt_packed_free, work_changed}, &pt_res_pods, PT_COMPRESSOR},
};

/* --- reconcile ----------------------------------------------------------------------------------------------------------- */

static void free_deployment(struct pt_operator *op, struct pt_deployment *d)
{
    if (d->m_healthy)
        pt_metrics_remove(op->o.metrics, d->m_healthy);
    pt_free(d->verdict);
    pt_carry_out_cancel(d->run);
    pt_free(d->reserved);
    pt_free(d->refusals);
    pt_free(d->trouble);
    pt_free(d->autoscale);
    pt_free(d);
}

/* What whoever led before us asked for last may still be carried out, and may be what is no longer wanted: until then no pod that serves is taken out where a
 * change was under way, or two could go where one may. A request is given up after 30 s, and a write that is later than this is none that we know of. */
#define LATE_MS 40000
static bool is_under_way(const struct pt_md *md)
{
    return md->observed_generation && (md->observed_generation != md->generation || md->conds[PT_COND_RECONCILING].truth != PT_FALSE);
}

static struct pt_deployment *deployment_of(struct pt_operator *op, const char *key, const struct pt_md *md)
{
    const char *uid = md->o.uid;
    struct pt_deployment *d = pt_map_get(&op->deployments, pt_str(key));
    if (d && !strcmp(d->uid, uid))
        return d;
    if (d) /* deleted, and made again under its name */
        free_deployment(op, pt_map_remove(&op->deployments, pt_str(key)));
    d = pt_calloc(1, sizeof *d);
    if (!d || pt_map_set(&op->deployments, pt_str(key), d, NULL, NULL) < 0) {
        pt_free(d);
        return NULL;
    }
    snprintf(d->uid, sizeof d->uid, "%s", uid);
    d->inherited = is_under_way(md);
    d->progress_ms = pt_now_ms(op->o.sched);
    d->status_ms = -1;
    for (int i = 0; i < PT_NAMED_COUNT; i++)
        d->taken_ms[i] = -1;
    return d;
}

#define PROXIES_MIN_MS 5000
#define PROXIES_MAX_MS 30000
/* Proxies watch EndpointSlices as we do. Whoever tries again at growing intervals comes back at the latest as long after an outage as that lasted. */
static int64_t proxies_follow_ms(const struct pt_operator *op)
{
    struct pt_outage o = pt_reflector_outage(op->reflectors[PT_STORE_SLICE]);
    int64_t lasted = o.until_ms - o.since_ms;
    if (o.lasts)
        return pt_now_ms(op->o.sched) + 1000; /* look again */
    if (o.until_ms <= 0)
        return 0;
    return o.until_ms + (lasted < PROXIES_MIN_MS ? PROXIES_MIN_MS : lasted < PROXIES_MAX_MS ? lasted : PROXIES_MAX_MS);
}

static int make_plan(struct pt_operator *op, struct pt_deployment *d, const struct pt_md *md, struct pt_plan *plan, struct pt_err *err)
{
    static const enum pt_kind_index named[PT_NAMED_COUNT] = {[PT_NAMED_SERVICE] = PT_STORE_SERVICE, [PT_NAMED_BUDGET] = PT_STORE_BUDGET};
    int64_t now = pt_now_ms(op->o.sched);
    struct pt_snapshot s = {
        .md = md,
        .pods = (const struct pt_pod *)pt_store_owned(&op->stores[PT_STORE_POD], md->o.uid),
        .revisions = (const struct pt_revision *)pt_store_owned(&op->stores[PT_STORE_REVISION], md->o.uid),
        .orphan_pods = (const struct pt_pod *)pt_store_orphans(&op->stores[PT_STORE_POD], md->o.ns, md->o.name),
        .orphan_revisions = (const struct pt_revision *)pt_store_orphans(&op->stores[PT_STORE_REVISION], md->o.ns, md->o.name),
        .work_pods = (const struct pt_work_pod *)pt_store_owned(&op->stores[PT_STORE_WORK], md->o.uid),
        .revision_taken = d->revision_taken,
        .reserved = d->reserved,
        .reserved_count = d->reserved_count,
        .refusals = d->refusals,
        .refusal_count = d->refusal_count,
        .trouble = d->trouble ? "FailedCreate" : NULL,
        .trouble_message = d->trouble,
        .settings = {op->image, op->url, op->ca, op->o.drain_settle_ms},
        .proxies_ms = proxies_follow_ms(op),
        .alone_ms = d->inherited ? op->led_ms + LATE_MS : 0,
        .progress = d->progress,
        .progress_ms = d->progress_ms,
        .status_ms = d->status_ms,
        .seed = (uint64_t)pt_rand_u32(&op->rand) << 32 | pt_rand_u32(&op->rand),
        .now_ms = now,
        .wall_ms = pt_wall_ms(op->o.sched),
    };
    for (int i = 0; i < PT_NAMED_COUNT; i++) {
        if (d->taken_ms[i] >= 0 && now - d->taken_ms[i] >= PT_TAKEN_MS)
            d->taken_ms[i] = -1;
        s.named[i].is = (const struct pt_shaped *)pt_store_get(&op->stores[named[i]], md->o.ns, md->o.name);
        s.named[i].taken = d->taken_ms[i] >= 0;
    }
    if (s.named[PT_NAMED_SERVICE].is)
        s.slices = (const struct pt_slice *)pt_store_owned(&op->stores[PT_STORE_SLICE], s.named[PT_NAMED_SERVICE].is->o.uid);
    int rc = pt_load_look(op, d, &s, err);
    if (rc < 0 || (rc = pt_plan_make(&s, plan, err)) < 0)
        return rc;
    if (plan->progressed)
        d->progress_ms = now;
    d->progress = plan->progress;
    return PT_OK;
}

static bool creates(const struct pt_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        if (plan->effects[i].kind == PT_EFFECT_CREATE_POD || plan->effects[i].kind == PT_EFFECT_CREATE_SERVICE ||
            plan->effects[i].kind == PT_EFFECT_CREATE_WORK || plan->effects[i].kind == PT_EFFECT_CREATE_BUDGET || plan->effects[i].kind == PT_EFFECT_CREATE_REVISION)
            return true;
    return false;
}

static bool has_effect(const struct pt_plan *plan, int kind, const char *name)
{
    for (size_t i = 0; i < plan->count; i++)
        if ((int)plan->effects[i].kind == kind && !strcmp(plan->effects[i].name, name))
            return true;
    return false;
}

/* Of what is no longer wanted, unless it was only left out for a while. true: there were some. */
static bool forget_refusals(struct pt_operator *op, struct pt_deployment *d, const struct pt_plan *plan)
{
    size_t kept = 0, before = d->refusal_count;
    for (size_t i = 0; i < before; i++) {
        const struct pt_refusal *r = &d->refusals[i];
        if (has_effect(plan, r->kind, r->name) || (r->final && pt_now_ms(op->o.sched) - r->since_ms < PT_REFUSED_MS))
            d->refusals[kept++] = *r;
    }
    d->refusal_count = kept;
    return kept < before;
}

/* What is left out for a while is looked at again when that is over: it may be wanted no longer, and then nothing else would make it forgotten. */
static void await_refusals(struct pt_operator *op, const struct pt_deployment *d, struct pt_plan *plan)
{
    for (size_t i = 0; i < d->refusal_count; i++) {
        int64_t left = d->refusals[i].since_ms + PT_REFUSED_MS - pt_now_ms(op->o.sched);
        if (d->refusals[i].final && left > 0 && (plan->requeue_ms < 0 || left < plan->requeue_ms))
            plan->requeue_ms = left;
    }
}

/* Names whose pod has turned up meanwhile. */
static void forget_reserved(struct pt_operator *op, struct pt_deployment *d, const char *ns)
{
    size_t kept = 0;
    for (size_t i = 0; i < d->reserved_count; i++)
        if (!pt_store_get(&op->stores[PT_STORE_POD], ns, d->reserved[i].name))
            d->reserved[kept++] = d->reserved[i];
    d->reserved_count = kept;
}

static void reconcile(void *arg, const char *key)
{
    struct pt_operator *op = arg;
    struct pt_plan plan = {.requeue_ms = -1};
    struct pt_err err;
    const char *slash = strchr(key, '/');
    char ns[64];
    int64_t now = pt_now_ms(op->o.sched);
    snprintf(ns, sizeof ns, "%.*s", (int)(slash - key), key);
    const struct pt_md *md = (const struct pt_md *)pt_store_get(&op->stores[PT_STORE_MD], ns, slash + 1);
    pt_metric_set(op->m_active, pt_workqueue_active(op->queue));
    op->begun++;
    if (!md) {
        struct pt_deployment *old = pt_map_remove(&op->deployments, pt_str(key));
        if (old)
            free_deployment(op, old);
        pt_operator_ran(op, key, false, -1, now);
        return;
    }
    struct pt_deployment *d = deployment_of(op, key, md);
    int rc = PT_ENOMEM;
    if (!d) {
        pt_fail(&err, PT_ENOMEM, "out of memory");
    } else {
        forget_reserved(op, d, ns);
        rc = make_plan(op, d, md, &plan, &err);
        bool settled = rc == PT_OK && d->trouble && !creates(&plan); /* nothing is left to fail */
        if (rc == PT_OK && ((d->refusal_count && forget_refusals(op, d, &plan)) || settled)) {
            if (settled)
                pt_free(pt_steal(d->trouble));
            pt_plan_finish(&plan);
            rc = make_plan(op, d, md, &plan, &err);
        }
        d->revision_taken = false;
        await_refusals(op, d, &plan);
    }
    if (rc < 0) {
        char id[24], generation[24];
        pt_log(PT_LOG_ERROR, "reconcile failed", "deployment", key, "generation", pt_log_int(generation, md->generation), "reconcileID",
               pt_log_int(id, (int64_t)op->begun), "error", err.msg, NULL);
        pt_plan_finish(&plan);
        pt_operator_ran(op, key, true, -1, now);
        return;
    }
    pt_carry_out_start(op, d, key, md, &plan);
}

void pt_operator_ran(struct pt_operator *op, const char *key, bool failed, int64_t requeue_ms, int64_t started_ms)
{
    op->reconciles++;
    op->failures += failed;
    pt_metric_add(failed ? op->m_error : requeue_ms >= 0 ? op->m_requeue : op->m_success, 1);
    if (failed)
        pt_metric_add(op->m_errors, 1);
    pt_metric_observe(op->m_seconds, (double)(pt_now_ms(op->o.sched) - started_ms) / 1000.0);
    pt_workqueue_done(op->queue, key, failed ? PT_WORK_FAILED : PT_WORK_OK, requeue_ms);
    pt_metric_set(op->m_active, pt_workqueue_active(op->queue));
}

/* --- life ---------------------------------------------------------------------------------------------------------------- */

static void begin_work(struct pt_operator *op)
{
    if (op->synced == PT_STORE_COUNT && !op->stopping) /* where nobody leads nothing is queued */
        pt_workqueue_start(op->queue);
}

static void store_synced(void *arg)
{
    struct pt_operator *op = arg;
    op->synced++;
    begin_work(op);
}

void pt_operator_lead(struct pt_operator *op)
{
    const struct pt_object *md;
    op->leading = true;
    op->led_ms = pt_now_ms(op->o.sched);
    for (size_t i = 0; (md = pt_store_next(&op->stores[PT_STORE_MD], &i));)
        pt_operator_enqueue(op, md->ns, md->name, PT_URGENCY_BACKLOG);
    begin_work(op);
}

static void forget_deployments(struct pt_operator *op)
{
    void *d;
    for (size_t i = 0; pt_map_next(&op->deployments, &i, NULL, &d);)
        free_deployment(op, d);
    pt_map_finish(&op->deployments);
}

/* What was asked for and not answered may still come, as of any leader that is gone: whoever leads next, we perhaps, takes that into account (inherited). */
void pt_operator_stand_by(struct pt_operator *op)
{
    struct pt_object *pod;
    op->leading = false;
    pt_timer_stop(op->o.sched, &op->load_timer);
    forget_deployments(op);
    pt_events_drop(op->events);
    pt_workqueue_reset(op->queue);
    pt_metric_set(op->m_active, 0);
    for (size_t i = 0; (pod = pt_store_next(&op->stores[PT_STORE_POD], &i));) {
        struct pt_pod_state *st = &((struct pt_pod *)pod)->state;
        st->removing_ms = st->doomed_ms = -1;
        st->start_counted = false;
    }
}

bool pt_operator_synced(const struct pt_operator *op)
{
    return op->synced == PT_STORE_COUNT;
}

static void make_metrics(struct pt_operator *op)
{
    struct pt_metrics *m = op->o.metrics;
    if (!m)
        return;
    op->m_success = pt_metrics_series(m, &f_total, "modeldeployment", "success", NULL);
    op->m_error = pt_metrics_series(m, &f_total, "modeldeployment", "error", NULL);
    op->m_requeue = pt_metrics_series(m, &f_total, "modeldeployment", "requeue_after", NULL);
    op->m_errors = pt_metrics_series(m, &f_errors, "modeldeployment", NULL);
    op->m_seconds = pt_metrics_series(m, &f_seconds, "modeldeployment", NULL);
    op->m_active = pt_metrics_series(m, &f_active, "modeldeployment", NULL);
    op->m_reports = pt_metrics_series(m, &f_reports, NULL);
    (void)pt_metrics_series(m, &f_total, "modeldeployment", "requeue", NULL);
    (void)pt_metrics_series(m, &f_terminal, "modeldeployment", NULL);
    (void)pt_metrics_series(m, &f_panics, "modeldeployment", NULL);
    (void)pt_metrics_series(m, &f_timeouts, "modeldeployment", NULL);
    pt_metric_set(pt_metrics_series(m, &f_max, "modeldeployment", NULL), op->o.workers);
}

static int make_parts(struct pt_operator *op, struct pt_err *err)
{
    const struct pt_operator_options *o = &op->o;
    struct pt_workqueue_options q = {.name = "modeldeployment", .sched = o->sched, .metrics = o->metrics, .workers = o->workers, .work = reconcile, .arg = op};
    int rc = pt_workqueue_create(&q, &op->queue, err);
    if (rc == PT_OK)
        rc = pt_events_create(&op->fence.api, o->sched, o->metrics, o->seed + 1, PT_MANAGER, &op->events, err);
    for (int i = 0; i < PT_STORE_COUNT && rc == PT_OK; i++) {
        char selector[128];
        snprintf(selector, sizeof selector, PT_LABEL_MANAGED_BY "=%s", kinds[i].manager ? kinds[i].manager : "");
        struct pt_reflector_options r = {.api = o->api, .sched = o->sched, .metrics = o->metrics, .seed = o->seed + 2 + (uint64_t)i, .resource = kinds[i].resource,
                                         .ns = op->ns, .label_selector = kinds[i].manager ? selector : NULL,
                                         .store = &op->stores[i], .synced = store_synced, .arg = op};
        rc = pt_reflector_create(&r, &op->reflectors[i], err);
    }
    return rc;
}

int pt_operator_create(const struct pt_operator_options *o, struct pt_operator **out, struct pt_err *err)
{
    struct pt_operator *op = pt_calloc(1, sizeof *op);
    if (!op)
        return pt_fail(err, PT_ENOMEM, "create operator: out of memory");
    op->o = *o;
    pt_fence_init(&op->fence, o->api, o->may_write, o->may_write_arg);
    op->leading = !o->standby;
    op->led_ms = pt_now_ms(o->sched);
    op->o.workers = o->workers ? o->workers : 16;
    op->o.drain_settle_ms = o->drain_settle_ms ? o->drain_settle_ms : DRAIN_SETTLE_MS;
    pt_rand_init(&op->rand, o->seed);
    for (int i = 0; i < PT_STORE_COUNT; i++)
        pt_store_init(&op->stores[i], &kinds[i].type, op);
    int rc = PT_OK;
    if ((o->ns && !(op->ns = pt_strdup(o->ns))) || !(op->image = pt_strdup(o->sidecar_image)) || (o->report_url && !(op->url = pt_strdup(o->report_url))) ||
        (o->report_ca_pem && !(op->ca = pt_strdup(o->report_ca_pem))))
        rc = pt_fail(err, PT_ENOMEM, "create operator: out of memory");
    make_metrics(op);
    if (rc == PT_OK)
        rc = make_parts(op, err);
    if (rc < 0) {
        pt_operator_destroy(op);
        return rc;
    }
    *out = op;
    return PT_OK;
}

int pt_operator_set_ca(struct pt_operator *op, const char *report_ca_pem, struct pt_err *err)
{
    char *copy = pt_strdup(report_ca_pem);
    if (!copy)
        return pt_fail(err, PT_ENOMEM, "certificate authority: out of memory");
    pt_free(op->ca);
    op->ca = copy;
    return PT_OK;
}

void pt_operator_start(struct pt_operator *op)
{
    for (int i = 0; i < PT_STORE_COUNT; i++)
        pt_reflector_start(op->reflectors[i]);
}

static void check_stopped(struct pt_timer *t)
{
    struct pt_operator *op = (struct pt_operator *)((char *)t - offsetof(struct pt_operator, stop_timer));
    int64_t now = pt_now_ms(op->o.sched);
    bool working = pt_workqueue_active(op->queue) > 0;
    if (working)
        op->told_by_ms = now + STOP_EVENTS_MS;
    if ((!working && (pt_events_idle(op->events) || now >= op->told_by_ms)) || now >= op->stop_by_ms)
        op->stopped(op->stopped_arg);
    else
        pt_timer_start(op->o.sched, t, 20, check_stopped);
}

void pt_operator_stop(struct pt_operator *op, void (*done)(void *arg), void *arg)
{
    op->stopping = true;
    op->stopped = done;
    op->stopped_arg = arg;
    op->stop_by_ms = pt_now_ms(op->o.sched) + STOP_MS;
    op->told_by_ms = pt_now_ms(op->o.sched) + STOP_EVENTS_MS;
    pt_workqueue_stop(op->queue);
    pt_timer_start(op->o.sched, &op->stop_timer, 0, check_stopped);
}

void pt_operator_destroy(struct pt_operator *op)
{
    if (!op)
        return;
    pt_timer_stop(op->o.sched, &op->stop_timer);
    pt_timer_stop(op->o.sched, &op->load_timer);
    for (int i = 0; i < PT_STORE_COUNT; i++)
        pt_reflector_destroy(op->reflectors[i]);
    forget_deployments(op);
    pt_events_destroy(op->events);
    pt_workqueue_destroy(op->queue);
    for (int i = 0; i < PT_STORE_COUNT; i++)
        pt_store_finish(&op->stores[i]);
    pt_free(op->ns);
    pt_free(op->image);
    pt_free(op->url);
    pt_free(op->ca);
    pt_free(op);
}

void pt_operator_stats(const struct pt_operator *op, struct pt_operator_stats *out)
{
    *out = (struct pt_operator_stats){pt_store_count(&op->stores[PT_STORE_MD]),       pt_store_count(&op->stores[PT_STORE_POD]),
                                      pt_store_count(&op->stores[PT_STORE_REVISION]), pt_store_count(&op->stores[PT_STORE_SERVICE]),
                                      pt_workqueue_depth(op->queue),                  op->reconciles,
                                      op->failures,                                   op->writes};
}
