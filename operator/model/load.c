/* SPDX-License-Identifier: Apache-2.0
 *
 * load.c: what sidecars report, and what follows for the number of pods.
 *
 * A load changes every second and most often nothing follows from it. So autoscaled ModelDeployments are not reconciled for it: one timer looks at all of
 * them once a second, which costs a microsecond each, and puts into the queue those about which a plan would say something new.
 */
#include "operator/model/internal.h"

#include <math.h>
#include <stdio.h>

#define LOOK_MS 1000
#define MEAN_MS 5000      /* how long a report counts in the means */
#define REPORTS_PER_S 200 /* of routine reports, all pods together */
#define REPORT_MAX_MS 60000

/* --- reports ------------------------------------------------------------------------------------------------------------- */

static int64_t next_report_ms(const struct pt_operator *op)
{
    int64_t ms = (int64_t)pt_store_count(&op->stores[PT_STORE_POD]) * 1000 / REPORTS_PER_S;
    return ms < PT_REPORT_INTERVAL_MS ? PT_REPORT_INTERVAL_MS : ms < REPORT_MAX_MS ? ms : REPORT_MAX_MS;
}

static bool has_told(const struct pt_operator *op, const struct pt_pod *pod, int64_t now_ms)
{
    return pod->state.told && now_ms - pod->state.told->reported_ms <= 2 * next_report_ms(op) + 500;
}

/* Where 95 of 100 of the requests between two reports were faster: inside a bucket as far up as its share says; past the last bound, twice that. */
static double p95_between(const struct pt_pod_latency *was, const struct pt_report *is)
{
    double all = 0, below = 0;
    for (unsigned i = 0; i <= is->bounds; i++)
        all += is->counts[i] - was->counts[i];
    for (unsigned i = 0; i <= is->bounds && all > 0; i++) {
        double here = is->counts[i] - was->counts[i], low = i ? is->bounds_s[i - 1] : 0, high = i < is->bounds ? is->bounds_s[i] : 2 * low;
        if (here > 0 && below + here >= 0.95 * all)
            return low + (high - low) * (0.95 * all - below) / here;
        below += here;
    }
    return 0;
}

/* counts_on: this report goes on where the last one ended, by the same process with the same buckets. */
static void take_latency(struct pt_pod_told *st, const struct pt_report *r, bool same_process, double weight)
{
    struct pt_pod_latency *l = st->latency;
    bool counts_on = l && same_process && l->bounds == r->bounds && !memcmp(l->bounds_s, r->bounds_s, r->bounds * sizeof *r->bounds_s);
    for (unsigned i = 0; counts_on && i <= r->bounds; i++)
        counts_on = r->counts[i] >= l->counts[i];
    if (!l && !(l = st->latency = pt_calloc(1, sizeof *l)))
        return; /* the next report tries again; until then it has none */
    l->p95_s = counts_on ? p95_between(l, r) : 0;
    if (l->p95_s > 0)
        l->mean_s += (l->mean_s > 0 ? weight : 1) * (l->p95_s - l->mean_s);
    l->bounds = r->bounds;
    memcpy(l->bounds_s, r->bounds_s, sizeof l->bounds_s);
    memcpy(l->counts, r->counts, sizeof l->counts);
}

/* Whose pod it is, if that is of use. */
static const struct pt_md *owner_of(const struct pt_operator *op, const struct pt_pod *pod)
{
    const struct pt_md *md = pod->o.owner_name ? (const struct pt_md *)pt_store_get(&op->stores[PT_STORE_MD], pod->o.ns, pod->o.owner_name) : NULL;
    return md && !md->invalid ? md : NULL;
}

static bool wants_latency(const struct pt_md *md)
{
    return md && md->spec.autoscaling.on && md->spec.autoscaling.metric == PT_METRIC_LATENCY;
}

static void take_figures(struct pt_pod_told *st, const struct pt_report *r, const struct pt_md *md)
{
    if (!r->monitored || !md || !md->spec.monitoring) {
        pt_free(st->figures);
        st->figures = NULL;
    } else if (st->figures || (st->figures = pt_calloc(1, sizeof *st->figures))) { /* else the next report tries again */
        st->figures->rows = r->rows;
        st->figures->labelled = r->labelled;
        memcpy(st->figures->values, r->figures, sizeof st->figures->values);
    }
}

static void take_load(const struct pt_operator *op, struct pt_pod *pod, const struct pt_report *r, bool same_process)
{
    struct pt_pod_told *st = pod->state.told;
    int64_t now = pt_now_ms(op->o.sched), since_ms = now - st->reported_ms;
    if (st->reported_ms && since_ms > 0 && r->requests >= st->requests && same_process)
        st->rps = (r->requests - st->requests) * 1000 / (double)since_ms;
    st->requests = r->requests;
    st->reported_ms = now;
    st->in_flight = r->in_flight + r->queued;
    st->queued = r->queued;
    st->busy_ms = st->in_flight > 0 || st->rps > 0 ? now : same_process ? st->busy_ms : 0;
    double weight = same_process ? 1 - exp(-(double)since_ms / MEAN_MS) : 1;
    st->mean_in_flight += weight * (st->in_flight - st->mean_in_flight);
    st->mean_queued += weight * (st->queued - st->mean_queued);
    st->mean_rps += weight * (st->rps - st->mean_rps);
    const struct pt_md *md = owner_of(op, pod);
    take_figures(st, r, md);
    if (op->loads_asked || wants_latency(md)) {
        take_latency(st, r, same_process, weight);
    } else if (st->latency) {
        pt_free(st->latency);
        st->latency = NULL;
    }
}

static int no_such_pod(const struct pt_report *r, struct pt_err *err)
{
    return pt_fail(err, PT_ENOTFOUND, "report: no pod %s/%s with uid %s", r->ns, r->pod_name, r->pod_uid);
}

static bool is_old(const struct pt_report *r, int64_t started_ms, uint64_t sequence)
{
    return r->started_ms < started_ms || (r->started_ms == started_ms && r->sequence <= sequence);
}

/* Of a pod that compresses. How often its news reach the status is for plan() to say. */
static int take_progress(struct pt_operator *op, const struct pt_report *r, struct pt_err *err)
{
    struct pt_work_pod *pod = (struct pt_work_pod *)pt_store_get(&op->stores[PT_STORE_WORK], r->ns, r->pod_name);
    if (!pod || strcmp(pod->o.uid, r->pod_uid) != 0)
        return no_such_pod(r, err);
    if (is_old(r, pod->started_ms, pod->sequence))
        return PT_OK;
    pod->sequence = r->sequence;
    pod->started_ms = r->started_ms;
    pod->progress = r->progress;
    pt_metric_add(op->m_reports, 1);
    if (pod->o.owner_name)
        pt_operator_enqueue(op, pod->o.ns, pod->o.owner_name, false);
    return PT_OK;
}

int pt_operator_report(struct pt_operator *op, const struct pt_report *r, int64_t *next_ms, struct pt_err *err)
{
    uint8_t digest[32] = {0};
    bool has_digest = *r->digest && pt_parse_digest(pt_str(r->digest), "digest", digest, NULL) == PT_OK;
    *next_ms = next_report_ms(op);
    if (!pt_operator_synced(op))
        return pt_fail(err, PT_EUNAVAILABLE, "report: the operator has just started");
    if (r->compresses)
        return take_progress(op, r, err);
    struct pt_pod *pod = (struct pt_pod *)pt_store_get(&op->stores[PT_STORE_POD], r->ns, r->pod_name);
    if (!pod || strcmp(pod->o.uid, r->pod_uid) != 0)
        return no_such_pod(r, err);
    struct pt_pod_told *st = pod->state.told;
    bool first = !st;
    if (!first && is_old(r, st->started_ms, st->sequence))
        return PT_OK;
    if (first && !(st = pod->state.told = pt_calloc(1, sizeof *st)))
        return pt_fail(err, PT_ENOMEM, "report: out of memory");
    bool news = first || st->model != r->state || st->reason != r->reason || st->has_digest != has_digest || memcmp(st->digest, digest, 32) != 0;
    bool same_process = !first && st->started_ms == r->started_ms;
    st->model = r->state;
    st->reason = r->reason;
    st->has_digest = has_digest;
    memcpy(st->digest, digest, 32);
    st->sequence = r->sequence;
    st->started_ms = r->started_ms;
    take_load(op, pod, r, same_process);
    pt_metric_add(op->m_reports, 1);
    if (news) {
        pt_free(st->message);
        st->message = r->state == PT_MODEL_FAILED ? pt_strdup(r->message) : NULL;
        if (pod->o.owner_name)
            pt_operator_enqueue(op, pod->o.ns, pod->o.owner_name, PT_URGENCY_NEWS);
    }
    return PT_OK;
}

/* Delays are of requests: without any they fade as means do, so that whoever scales by them sees that nobody waits. */
static double faded(const struct pt_pod_told *st, double delay_s)
{
    return st->busy_ms ? delay_s * exp(-(double)(st->reported_ms - st->busy_ms) / MEAN_MS) : 0;
}

/* By Little's law. What waits where nothing is answered waits as long as can be said. */
static double queue_delay_of(const struct pt_pod_told *st)
{
    double delay_s = st->mean_rps > 0.001 ? fmin(st->mean_queued / st->mean_rps, 3600) : st->mean_queued > 0.001 ? 3600 : 0;
    return faded(st, delay_s);
}

void pt_operator_loads(struct pt_operator *op, const char *ns, pt_load_fn fn, void *arg)
{
    op->loads_asked = true; /* from now on latencies are kept */
    int64_t now = pt_now_ms(op->o.sched);
    const struct pt_pod *pod;
    for (size_t i = 0; (pod = (const struct pt_pod *)pt_store_next(&op->stores[PT_STORE_POD], &i));) {
        if (strcmp(pod->o.ns, ns) != 0 || !pod->o.owner_name || !has_told(op, pod, now))
            continue;
        const struct pt_pod_told *st = pod->state.told;
        const struct pt_pod_latency *late = st->latency;
        struct pt_load l = {pod->o.name, pod->o.owner_name, pod->revision, st->mean_in_flight, st->mean_rps, queue_delay_of(st),
                            late ? faded(st, late->mean_s) : (double)NAN};
        fn(arg, &l);
    }
}

/* --- the number of pods ---------------------------------------------------------------------------------------------------- */

/* Of all pods that told lately. */
struct sums {
    double in_flight, queued, rps, late; /* late: 95th percentiles, weighted by requests */
    int ready;
    bool any, complete; /* a pod that serves and has not told makes them incomplete */
};

static struct sums sum_up(struct pt_operator *op, struct pt_deployment *d, const struct pt_pod *pods, int64_t now_ms)
{
    struct sums sum = {.complete = true};
    for (struct pt_pod *pod = (struct pt_pod *)(uintptr_t)pods; pod; pod = (struct pt_pod *)pod->o.next) {
        const struct pt_pod_told *st = pod->state.told;
        bool told = has_told(op, pod, now_ms);
        if (told && pod->ready && pod->gate != PT_FALSE) { /* what one carried that is being taken out has moved to the others, who tell of it: not twice */
            sum.in_flight += st->in_flight;
            sum.queued += st->queued;
            sum.rps += st->rps;
            sum.late += st->latency ? st->latency->p95_s * st->rps : 0;
        }
        sum.any |= told;
        sum.complete &= told || !pod->ready;
        sum.ready += pod->ready;
        if (pod->ready && !pod->state.start_counted && pod->ready_wall_ms > pod->created_ms)
            pt_autoscale_started(d->autoscale, pod->ready_wall_ms - pod->created_ms);
        pod->state.start_counted |= pod->ready;
    }
    return sum;
}

/* In the queue by Little's law: how many wait over how many are served. Nothing served with work at hand is as late as can be. */
static double delay_of(const struct sums *sum, enum pt_autoscaling_metric metric)
{
    if (sum->rps <= 0)
        return sum->in_flight > 0 ? INFINITY : 0;
    return (metric == PT_METRIC_LATENCY ? sum->late : sum->queued) / sum->rps;
}

/* Once a second, however often it is called. */
static void observe(struct pt_deployment *d, const struct pt_autoscaling *a, const struct sums *sum, int64_t now_ms)
{
    if (!sum->any || now_ms / 1000 == d->observed_s)
        return;
    d->observed_s = now_ms / 1000;
    pt_autoscale_observe(d->autoscale, now_ms, a->metric == PT_METRIC_RPS ? sum->rps : sum->in_flight, sum->complete);
    if (a->config.goal_s > 0)
        pt_autoscale_delay(d->autoscale, &a->config, now_ms, delay_of(sum, a->metric), sum->in_flight, sum->ready, sum->complete);
}

static int decide(struct pt_operator *op, struct pt_deployment *d, const struct pt_md *md, const struct pt_pod *pods, struct pt_scaling *out, struct pt_err *err)
{
    const struct pt_autoscaling *a = &md->spec.autoscaling;
    int64_t now = pt_now_ms(op->o.sched);
    *out = (struct pt_scaling){.scaled_wall_ms = d->scaled_wall_ms};
    if (md->spec.replicas == 0) /* stopped by whoever wrote that */
        return PT_OK;
    if (d->autoscale && !pt_autoscale_fits(d->autoscale, &a->config)) {
        pt_free(d->autoscale);
        d->autoscale = NULL;
    }
    if (!d->autoscale && !(d->autoscale = pt_autoscale_create(&a->config)))
        return pt_fail(err, PT_ENOMEM, "autoscale: out of memory");
    struct sums sum = sum_up(op, d, pods, now);
    observe(d, a, &sum, now);
    struct pt_autoscale_decision decision = pt_autoscale_decide(d->autoscale, &a->config, now, md->spec.replicas, sum.ready);
    out->on = true;
    out->known = decision.known;
    out->panic = decision.panic;
    int most = md->spec.replicas < a->config.max ? md->spec.replicas : a->config.max;
    out->desired = decision.desired < most && !sum.complete ? most : decision.desired; /* whoever has just fallen silent is in no past second yet */
    return PT_OK;
}

/* Would a plan say something else than the last one? */
static bool is_news(struct pt_operator *op, struct pt_deployment *d, const char *ns, const char *name)
{
    const struct pt_md *md = (const struct pt_md *)pt_store_get(&op->stores[PT_STORE_MD], ns, name);
    const struct pt_scaling *was = &d->scaling;
    struct pt_scaling is;
    if (!md || md->invalid || !md->spec.autoscaling.on || strcmp(md->o.uid, d->uid) != 0)
        return false; /* what happened is in the queue */
    if (decide(op, d, md, (const struct pt_pod *)pt_store_owned(&op->stores[PT_STORE_POD], md->o.uid), &is, NULL) < 0)
        return false; /* the next second tries again */
    return is.on != was->on || is.known != was->known || is.panic != was->panic || is.desired != was->desired || (is.on && is.desired != md->spec.replicas);
}

/* --- how the model does ------------------------------------------------------------------------------------------------------ */

static const struct pt_metric_family f_healthy = {"pintle_model_healthy", "1: the model holds the thresholds of spec.monitoring, 0: it does not. Absent: not known yet",
                                                  PT_GAUGE, "namespace,name", NULL, 0},
                                     f_rollbacks = {"pintle_model_rollbacks_total", "Returns to a healthy revision by the operator itself", PT_COUNTER, "namespace,name", NULL, 0};

void pt_load_retreated(struct pt_operator *op, const char *ns, const char *name)
{
    if (op->o.metrics)
        pt_metric_add(pt_metrics_series(op->o.metrics, &f_rollbacks, ns, name, NULL), 1);
}

static struct pt_figures add_up(const struct pt_operator *op, const struct pt_pod *pod, const char *revision, int64_t now_ms)
{
    struct pt_figures sum = {.pods = 0};
    for (; pod; pod = (const struct pt_pod *)pod->o.next)
        if (!strcmp(pod->revision, revision) && has_told(op, pod, now_ms) && pod->state.told->figures)
            pt_figures_add(&sum, pod->state.told->figures->rows, pod->state.told->figures->labelled, pod->state.told->figures->values);
    return sum;
}

static void tell_health(struct pt_operator *op, const struct pt_md *md, struct pt_deployment *d)
{
    bool bad = d->verdict->health == PT_HEALTH_BAD;
    struct pt_event ev = {.resource = &pt_res_modeldeployments, .ns = md->o.ns, .name = md->o.name, .uid = md->o.uid, .warning = bad,
                          .reason = bad ? d->verdict->reason : "ModelHealthy", .message = d->verdict->message, .milestone = true};
    pt_events_emit(op->events, &ev);
    if (!d->m_healthy && op->o.metrics)
        d->m_healthy = pt_metrics_series(op->o.metrics, &f_healthy, md->o.ns, md->o.name, NULL);
    pt_metric_set(d->m_healthy, !bad);
}

/* Would a plan say something else? */
static bool judge(struct pt_operator *op, struct pt_deployment *d, const char *ns, const char *name)
{
    const struct pt_md *md = (const struct pt_md *)pt_store_get(&op->stores[PT_STORE_MD], ns, name);
    int64_t now = pt_now_ms(op->o.sched);
    if (!md || md->invalid || !md->spec.monitoring || !*md->update_revision || strcmp(md->o.uid, d->uid) != 0)
        return false; /* what happened is in the queue */
    struct pt_figures f = add_up(op, (const struct pt_pod *)pt_store_owned(&op->stores[PT_STORE_POD], md->o.uid), md->update_revision, now);
    enum pt_health was = d->verdict->health;
    bool news = pt_verdict_look(d->verdict, md->spec.monitoring, md->update_revision, &f, now);
    if (d->verdict->health == PT_HEALTH_UNKNOWN && d->m_healthy) { /* another revision */
        pt_metrics_remove(op->o.metrics, d->m_healthy);
        d->m_healthy = NULL;
    }
    if (d->verdict->health != was && d->verdict->health != PT_HEALTH_UNKNOWN)
        tell_health(op, md, d);
    return news;
}

static int look_at_health(struct pt_deployment *d, struct pt_snapshot *s, struct pt_err *err)
{
    if (s->md->invalid || !s->md->spec.monitoring) {
        pt_free(d->verdict);
        d->verdict = NULL;
    } else if (!d->verdict && !(d->verdict = pt_calloc(1, sizeof *d->verdict))) {
        return pt_fail(err, PT_ENOMEM, "monitoring: out of memory");
    }
    s->verdict = d->verdict;
    return PT_OK;
}

/* --- once a second ----------------------------------------------------------------------------------------------------------- */

static void look_at_all(struct pt_timer *t)
{
    struct pt_operator *op = (struct pt_operator *)((char *)t - offsetof(struct pt_operator, load_timer));
    struct pt_str key;
    void *v;
    bool any = false;
    for (size_t i = 0; pt_map_next(&op->deployments, &i, &key, &v);) {
        struct pt_deployment *d = v;
        char ns[64];
        const char *slash = d->autoscale || d->verdict ? memchr(key.p, '/', key.len) : NULL;
        if (!slash)
            continue;
        any = true;
        size_t n = (size_t)(slash - key.p) < sizeof ns ? (size_t)(slash - key.p) : sizeof ns - 1;
        memcpy(ns, key.p, n);
        ns[n] = 0;
        bool news = d->verdict && judge(op, d, ns, slash + 1);
        bool scales = d->autoscale && is_news(op, d, ns, slash + 1); /* also looks, whatever is under way */
        if (news || (scales && !d->run))
            pt_operator_enqueue(op, ns, slash + 1, PT_URGENCY_NEWS);
    }
    if (any && !op->stopping)
        pt_timer_start(op->o.sched, t, LOOK_MS, look_at_all);
}

static int look_at_load(struct pt_operator *op, struct pt_deployment *d, struct pt_snapshot *s, struct pt_err *err)
{
    if (s->md->invalid || !s->md->spec.autoscaling.on) {
        pt_free(d->autoscale);
        d->autoscale = NULL;
        return PT_OK;
    }
    int rc = decide(op, d, s->md, s->pods, &s->scaling, err);
    if (rc < 0)
        return rc;
    d->scaling = s->scaling;
    if (s->scaling.on && s->scaling.desired != s->md->spec.replicas)
        d->scaled_wall_ms = s->scaling.scaled_wall_ms = s->wall_ms;
    return PT_OK;
}

int pt_load_look(struct pt_operator *op, struct pt_deployment *d, struct pt_snapshot *s, struct pt_err *err)
{
    int rc = look_at_health(d, s, err);
    if (rc == PT_OK)
        rc = look_at_load(op, d, s, err);
    if (rc == PT_OK && (d->autoscale || d->verdict) && !pt_timer_running(&op->load_timer))
        pt_timer_start(op->o.sched, &op->load_timer, LOOK_MS, look_at_all);
    return rc;
}
