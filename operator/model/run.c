/* SPDX-License-Identifier: Apache-2.0
 *
 * run.c: carries out the effects of one plan against the API.
 *
 * In order, several at once; a new revision is waited for before anything else, and pods are created in batches of 1, 2, 4, ... so that a quota or a
 * webhook that refuses them costs one call. Answers to writes go into the stores at once (read-your-writes). A create whose answer is lost
 * keeps its pod name reserved, so that the next try meets the first one instead of doubling it; where there is no next try it is looked for.
 */
#include "base/log.h"
#include "base/num.h"
#include "operator/ctrl/obj.h"
#include "operator/model/internal.h"

#include <stdio.h>

#define IN_FLIGHT_MAX 64

struct op {
    struct pt_carry_out *run;
    struct op *prev, *next;
    const struct pt_effect *effect;
    struct pt_api_call *call;
    enum step { ACTING, READING, ASKING } step; /* READING: the object whose name was taken, or may be; ASKING: is the owner alive? */
};

struct pt_carry_out {
    struct pt_operator *op;
    struct pt_deployment *d;
    struct pt_plan plan;
    char *key, *ns, *name, *uid;
    size_t next;
    struct op *ops;
    unsigned in_flight, creating, batch, batch_left;
    bool revision_pending, failed, no_pods, created, pumping; /* no_pods: one was refused, or the revision is not there */
    bool goes_on; /* a request for the effect at hand has just been started, the first one or another behind an answer */
    int64_t requeue_ms, started_ms, id, generation; /* id: of the reconcile, for logs */
};

static const struct kind {
    const struct pt_resource *resource;
    enum pt_kind_index store;
    enum pt_verb verb;
    const char *subresource;
    bool asks; /* only if the ModelDeployment is alive at this moment */
} kinds[] = {
    [PT_EFFECT_ROLLBACK] = {&pt_res_modeldeployments, PT_STORE_MD, PT_VERB_MERGE_PATCH, NULL, false},
    [PT_EFFECT_RETREAT] = {&pt_res_modeldeployments, PT_STORE_MD, PT_VERB_MERGE_PATCH, NULL, false},
    [PT_EFFECT_SCALE] = {&pt_res_modeldeployments, PT_STORE_MD, PT_VERB_MERGE_PATCH, NULL, false},
    [PT_EFFECT_ADOPT_REVISION] = {&pt_res_controllerrevisions, PT_STORE_REVISION, PT_VERB_STRATEGIC, NULL, true},
    [PT_EFFECT_ADOPT_POD] = {&pt_res_pods, PT_STORE_POD, PT_VERB_STRATEGIC, NULL, true},
    [PT_EFFECT_ADOPT_SERVICE] = {&pt_res_services, PT_STORE_SERVICE, PT_VERB_STRATEGIC, NULL, true},
    [PT_EFFECT_ADOPT_BUDGET] = {&pt_res_poddisruptionbudgets, PT_STORE_BUDGET, PT_VERB_STRATEGIC, NULL, true},
    [PT_EFFECT_RELEASE_POD] = {&pt_res_pods, PT_STORE_POD, PT_VERB_STRATEGIC, NULL, false},
    [PT_EFFECT_CREATE_REVISION] = {&pt_res_controllerrevisions, PT_STORE_REVISION, PT_VERB_CREATE, NULL, false},
    [PT_EFFECT_NUMBER_REVISION] = {&pt_res_controllerrevisions, PT_STORE_REVISION, PT_VERB_MERGE_PATCH, NULL, false},
    [PT_EFFECT_DELETE_REVISION] = {&pt_res_controllerrevisions, PT_STORE_REVISION, PT_VERB_DELETE, NULL, false},
    [PT_EFFECT_CREATE_SERVICE] = {&pt_res_services, PT_STORE_SERVICE, PT_VERB_CREATE, NULL, false},
    [PT_EFFECT_PATCH_SERVICE] = {&pt_res_services, PT_STORE_SERVICE, PT_VERB_MERGE_PATCH, NULL, false},
    [PT_EFFECT_CREATE_BUDGET] = {&pt_res_poddisruptionbudgets, PT_STORE_BUDGET, PT_VERB_CREATE, NULL, false},
    [PT_EFFECT_PATCH_BUDGET] = {&pt_res_poddisruptionbudgets, PT_STORE_BUDGET, PT_VERB_MERGE_PATCH, NULL, false},
    [PT_EFFECT_DELETE_BUDGET] = {&pt_res_poddisruptionbudgets, PT_STORE_BUDGET, PT_VERB_DELETE, NULL, false},
    [PT_EFFECT_CREATE_POD] = {&pt_res_pods, PT_STORE_POD, PT_VERB_CREATE, NULL, false},
    [PT_EFFECT_FIND_POD] = {&pt_res_pods, PT_STORE_POD, PT_VERB_GET, NULL, false},
    [PT_EFFECT_PATCH_GATE] = {&pt_res_pods, PT_STORE_POD, PT_VERB_STRATEGIC, "status", false},
    [PT_EFFECT_DELETE_POD] = {&pt_res_pods, PT_STORE_POD, PT_VERB_DELETE, NULL, false},
    [PT_EFFECT_CREATE_WORK] = {&pt_res_pods, PT_STORE_WORK, PT_VERB_CREATE, NULL, false},
    [PT_EFFECT_DELETE_WORK] = {&pt_res_pods, PT_STORE_WORK, PT_VERB_DELETE, NULL, false},
    [PT_EFFECT_PATCH_STATUS] = {&pt_res_modeldeployments, PT_STORE_MD, PT_VERB_MERGE_PATCH, "status", false},
};

static void pump(struct pt_carry_out *run);

static void free_run(struct pt_carry_out *run)
{
    pt_plan_finish(&run->plan);
    pt_free(run->key);
    pt_free(run->ns);
    pt_free(run->name);
    pt_free(run->uid);
    pt_free(run);
}

void pt_carry_out_cancel(struct pt_carry_out *run)
{
    if (!run)
        return;
    while (run->ops) {
        struct op *o = run->ops;
        run->ops = o->next;
        pt_api_cancel(&run->op->fence.api, o->call);
        pt_free(o);
    }
    free_run(run);
}

/* What becomes of the whole is told whatever else there was to tell. */
static bool is_milestone(enum pt_effect_kind kind)
{
    return kind == PT_EFFECT_PATCH_STATUS || kind == PT_EFFECT_CREATE_REVISION || kind == PT_EFFECT_NUMBER_REVISION || kind == PT_EFFECT_RETREAT;
}

static void emit(struct pt_carry_out *run, const struct pt_effect *e, bool warning, const char *reason, const char *message)
{
    struct pt_event ev = {.resource = &pt_res_modeldeployments,
                          .ns = run->ns,
                          .name = run->name,
                          .uid = run->uid,
                          .warning = warning,
                          .reason = reason,
                          .message = message,
                          .milestone = is_milestone(e->kind)};
    pt_events_emit(run->op->events, &ev);
}

static struct pt_pod *pod_of(struct pt_carry_out *run, const struct pt_effect *e)
{
    struct pt_pod *pod = (struct pt_pod *)pt_store_get(&run->op->stores[PT_STORE_POD], run->ns, e->name);
    return pod && (!e->uid || !strcmp(pod->o.uid, e->uid)) ? pod : NULL;
}

/* --- reserved names ------------------------------------------------------------------------------------------------------ */

static void release_name(struct pt_deployment *d, const char *name)
{
    for (size_t i = 0; i < d->reserved_count; i++)
        if (!strcmp(d->reserved[i].name, name)) {
            memmove(&d->reserved[i], &d->reserved[i + 1], (d->reserved_count - i - 1) * sizeof *d->reserved);
            d->reserved_count--;
            return;
        }
}

static void reserve_name(struct pt_carry_out *run, const struct pt_effect *e)
{
    struct pt_deployment *d = run->d;
    release_name(d, e->name);
    if (d->reserved_count == PT_RESERVED_MAX)
        release_name(d, d->reserved[0].name);
    struct pt_reserved *more = pt_reallocarray(d->reserved, d->reserved_count + 1, sizeof *more);
    if (!more)
        return;
    d->reserved = more;
    struct pt_reserved *r = &more[d->reserved_count++];
    *r = (struct pt_reserved){.since_ms = pt_now_ms(run->op->o.sched)};
    snprintf(r->name, sizeof r->name, "%s", e->name);
    snprintf(r->revision, sizeof r->revision, "%s", e->revision);
}

/* It takes up no room any more; the name stays the first to be used again. */
static void note_missing(struct pt_carry_out *run, const char *name)
{
    for (size_t i = 0; i < run->d->reserved_count; i++)
        if (!strcmp(run->d->reserved[i].name, name)) {
            run->d->reserved[i].missing = true;
            run->requeue_ms = 1;
        }
}

/* --- answers ------------------------------------------------------------------------------------------------------------- */

/* Puts the object of an answer into its store. The object, as decoded, is seen by `look` before the store takes it. */
static void take_in(struct pt_carry_out *run, const struct kind *k, struct pt_str body, bool only_terminating)
{
    struct pt_store *s = &run->op->stores[k->store];
    struct pt_object *o;
    struct pt_err err;
    if (pt_store_knows(s, body))
        return;
    if (pt_store_decode(s, body, &o, &err) < 0) {
        pt_log(PT_LOG_WARN, "answer to a write not understood", "resource", k->resource->plural, "error", err.msg, NULL);
        return;
    }
    if (only_terminating && !((struct pt_pod *)o)->terminating)
        s->type->free(o);
    else if (pt_store_wrote(s, o, &err) < 0)
        pt_log(PT_LOG_ERROR, "answer to a write lost until the watch brings it", "resource", k->resource->plural, "error", err.msg, NULL);
}

static bool unknown_outcome(const struct pt_api_result *res)
{
    return res->http == 0 || res->http >= 500;
}

static bool namespace_ends(const struct pt_api_result *res)
{
    return res->http == 403 && res->body.len && memmem(res->body.p, res->body.len, "NamespaceTerminating", 20) != NULL;
}

static void fail(struct pt_carry_out *run, const struct pt_effect *e, const struct pt_err *err)
{
    const struct kind *k = &kinds[e->kind];
    run->failed = true;
    run->no_pods |= e->kind == PT_EFFECT_CREATE_POD || e->kind == PT_EFFECT_CREATE_REVISION || e->kind == PT_EFFECT_NUMBER_REVISION;
    char id[24], generation[24];
    pt_log(err->code == PT_ECONFLICT ? PT_LOG_DEBUG : PT_LOG_WARN, "write failed", "deployment", run->key, "generation", pt_log_int(generation, run->generation),
           "reconcileID", pt_log_int(id, run->id), "resource", k->resource->plural, "object", e->name, "error", err->msg, NULL);
}

/* Is remembered until it succeeds, so that the status can say it and others need not wait for it. */
static void note_refusal(struct pt_carry_out *run, const struct pt_effect *e, const struct pt_api_result *res)
{
    struct pt_deployment *d = run->d;
    int code = res->err.code;
    if (code == PT_ENOTFOUND || code == PT_ECONFLICT || code == PT_EEXIST || namespace_ends(res))
        return;
    struct pt_refusal *r = d->refusals, *end = r + d->refusal_count;
    while (r < end && (r->kind != (int)e->kind || strcmp(r->name, e->name) != 0))
        r++;
    if (r == end) {
        struct pt_refusal *more = d->refusal_count < PT_REFUSALS_MAX ? pt_reallocarray(d->refusals, d->refusal_count + 1, sizeof *more) : NULL;
        if (!more)
            return;
        d->refusals = more;
        r = &more[d->refusal_count++];
        *r = (struct pt_refusal){.kind = (int)e->kind};
        snprintf(r->name, sizeof r->name, "%s", e->name);
    }
    r->count++;
    r->final = res->http >= 400 && res->http < 500 && code != PT_EBUSY && res->http != 401;
    r->since_ms = pt_now_ms(run->op->o.sched);
    snprintf(r->message, sizeof r->message, "%.*s", (int)sizeof r->message - 1, res->err.msg);
}

static void forget_refusal(struct pt_deployment *d, const struct pt_effect *e)
{
    for (size_t i = 0; i < d->refusal_count; i++)
        if (d->refusals[i].kind == (int)e->kind && !strcmp(d->refusals[i].name, e->name)) {
            memmove(&d->refusals[i], &d->refusals[i + 1], (d->refusal_count - i - 1) * sizeof *d->refusals);
            d->refusal_count--;
            return;
        }
}

static void create_failed(struct pt_carry_out *run, const struct pt_effect *e, const struct pt_api_result *res)
{
    struct pt_deployment *d = run->d;
    char message[480];
    if (namespace_ends(res)) { /* nothing to retry: we end with it */
        run->requeue_ms = PT_TAKEN_MS;
        run->next = run->plan.count;
        return;
    }
    if (e->kind == PT_EFFECT_CREATE_POD && unknown_outcome(res))
        reserve_name(run, e);
    if (e->kind == PT_EFFECT_CREATE_POD || e->kind == PT_EFFECT_CREATE_WORK) {
        pt_free(d->trouble);
        d->trouble = pt_strdup(res->err.msg); /* out of memory: the event says it */
    } else {
        note_refusal(run, e, res);
    }
    snprintf(message, sizeof message, "Error creating %s: %.400s", kinds[e->kind].resource->kind, res->err.msg);
    emit(run, e, true, "FailedCreate", message);
    fail(run, e, &res->err);
}

static void succeeded(struct pt_carry_out *run, const struct pt_effect *e, const struct pt_api_result *res)
{
    const struct kind *k = &kinds[e->kind];
    run->op->writes++;
    forget_refusal(run->d, e);
    if (k->verb != PT_VERB_DELETE || e->kind == PT_EFFECT_DELETE_POD)
        take_in(run, k, res->body, k->verb == PT_VERB_DELETE);
    if (e->kind == PT_EFFECT_RETREAT)
        pt_load_retreated(run->op, run->ns, run->name);
    if (e->kind == PT_EFFECT_PATCH_STATUS)
        run->d->status_ms = pt_now_ms(run->op->o.sched);
    if (e->kind == PT_EFFECT_CREATE_POD) {
        release_name(run->d, e->name);
        run->created = true;
    }
    run->created |= e->kind == PT_EFFECT_CREATE_WORK;
    if (e->reason)
        emit(run, e, e->warning, e->reason, e->message);
}

static void start(struct pt_carry_out *run, const struct pt_effect *e, enum step step);

static void refused(struct pt_carry_out *run, const struct pt_effect *e, const struct pt_api_result *res)
{
    struct pt_pod *pod;
    int code = res->err.code;
    if (kinds[e->kind].verb != PT_VERB_CREATE) /* those have words of their own */
        note_refusal(run, e, res);
    switch (e->kind) {
    case PT_EFFECT_CREATE_REVISION:
    case PT_EFFECT_CREATE_SERVICE:
    case PT_EFFECT_CREATE_BUDGET:
    case PT_EFFECT_CREATE_POD:
    case PT_EFFECT_CREATE_WORK:
        if (code == PT_EEXIST)
            start(run, e, READING);
        else
            create_failed(run, e, res);
        break;
    case PT_EFFECT_DELETE_POD:
        if (code == PT_ENOTFOUND || code == PT_ECONFLICT || unknown_outcome(res))
            break; /* gone, or perhaps: the watch tells; if it does not, the deletion is repeated */
        if ((pod = pod_of(run, e)))
            pod->state.doomed_ms = -1;
        fail(run, e, &res->err);
        break;
    case PT_EFFECT_DELETE_WORK:
        if (code != PT_ENOTFOUND && code != PT_ECONFLICT)
            fail(run, e, &res->err);
        break;
    case PT_EFFECT_PATCH_GATE:
        /* a conflict may come from the first try, which was given up too early: the next version of the pod tells */
        if (e->removal && !e->repeated && !unknown_outcome(res) && code != PT_ECONFLICT && (pod = pod_of(run, e)))
            pod->state.removing_ms = -1;
        if (code != PT_ENOTFOUND)
            fail(run, e, &res->err);
        break;
    case PT_EFFECT_FIND_POD: /* it only reads */
        break;
    case PT_EFFECT_DELETE_REVISION:
    case PT_EFFECT_DELETE_BUDGET:
    case PT_EFFECT_PATCH_STATUS:
    case PT_EFFECT_ROLLBACK:
    case PT_EFFECT_RETREAT:
    case PT_EFFECT_SCALE:
    case PT_EFFECT_ADOPT_REVISION:
    case PT_EFFECT_ADOPT_POD:
    case PT_EFFECT_ADOPT_SERVICE:
    case PT_EFFECT_ADOPT_BUDGET:
    case PT_EFFECT_RELEASE_POD:
        if (code != PT_ENOTFOUND)
            fail(run, e, &res->err);
        break;
    case PT_EFFECT_NUMBER_REVISION:
    case PT_EFFECT_PATCH_SERVICE:
    case PT_EFFECT_PATCH_BUDGET:
        fail(run, e, &res->err);
        break;
    }
}

/* The object that has the name we wanted: ours after all, our predecessor's that is on its way out, or a stranger's. Looked for, there may be none. */
static void found(struct pt_carry_out *run, const struct pt_effect *e, const struct pt_api_result *res)
{
    const struct kind *k = &kinds[e->kind];
    struct pt_object *o = NULL;
    struct pt_err err;
    bool find = e->kind == PT_EFFECT_FIND_POD;
    if (find && res->err.code == PT_ENOTFOUND) {
        forget_refusal(run->d, e);
        note_missing(run, e->name);
        return;
    }
    if (find && res->err.code != PT_OK)
        note_refusal(run, e, res);
    if (res->err.code != PT_OK || pt_store_decode(&run->op->stores[k->store], res->body, &o, &err) < 0) {
        fail(run, e, res->err.code != PT_OK ? &res->err : &err);
        return;
    }
    bool ours = o->owner_uid && !strcmp(o->owner_uid, run->uid);
    bool before = o->owner_uid && !ours && !strcmp(o->owner_name, run->name);
    run->op->stores[k->store].type->free(o);
    if (e->kind == PT_EFFECT_CREATE_POD || find)
        release_name(run->d, e->name);
    if (ours) {
        forget_refusal(run->d, e);
        take_in(run, k, res->body, false);
        run->created |= e->kind == PT_EFFECT_CREATE_POD || e->kind == PT_EFFECT_CREATE_WORK;
        return;
    }
    if (find)
        return;
    pt_fail(&err, PT_EEXIST, "%s %s exists and is not ours%s", k->resource->kind, e->name, before ? " yet: it belongs to a deleted namesake" : "");
    if (!before && (e->kind == PT_EFFECT_CREATE_SERVICE || e->kind == PT_EFFECT_CREATE_BUDGET)) {
        bool service = e->kind == PT_EFFECT_CREATE_SERVICE;
        run->d->taken_ms[service ? PT_NAMED_SERVICE : PT_NAMED_BUDGET] = pt_now_ms(run->op->o.sched);
        emit(run, e, true, service ? "ServiceNameTaken" : "BudgetNameTaken", err.msg);
    }
    run->d->revision_taken |= !before && e->kind == PT_EFFECT_CREATE_REVISION;
    fail(run, e, &err);
}

/* The owner as it is now: only a living one takes in orphans, or gets anew what was deleted. Our copy follows. */
static void owner_told(struct pt_carry_out *run, const struct pt_effect *e, const struct pt_api_result *res)
{
    struct pt_object *o = NULL;
    struct pt_err err;
    bool gone = res->err.code == PT_ENOTFOUND;
    if (res->err.code != PT_OK && !gone)
        note_refusal(run, e, res);
    if (!gone && (res->err.code != PT_OK || pt_store_decode(&run->op->stores[PT_STORE_MD], res->body, &o, &err) < 0)) {
        fail(run, e, res->err.code != PT_OK ? &res->err : &err);
        return;
    }
    bool alive = !gone && !strcmp(o->uid, run->uid) && !((struct pt_md *)o)->deleting;
    if (o)
        run->op->stores[PT_STORE_MD].type->free(o);
    if (alive) {
        run->d->bereaved = false;
        start(run, e, ACTING);
    } else {
        run->next = run->plan.count; /* nothing of this plan is wanted any more */
    }
}

/* Of those whose number counts while they are under way. */
static void count(struct pt_carry_out *run, const struct pt_effect *e, bool begins)
{
    if (e->kind == PT_EFFECT_CREATE_POD)
        run->creating += begins ? 1 : -1;
    if (e->kind == PT_EFFECT_CREATE_REVISION)
        run->revision_pending = begins;
}

static void answered(void *arg, const struct pt_api_result *res)
{
    struct op *o = arg;
    struct pt_carry_out *run = o->run;
    const struct pt_effect *e = o->effect;
    enum step step = o->step;
    bool reading = step == READING;
    if (o->prev)
        o->prev->next = o->next;
    else
        run->ops = o->next;
    if (o->next)
        o->next->prev = o->prev;
    pt_free(o);
    run->in_flight--;
    run->pumping = true; /* what is started from here must not end the run */
    run->goes_on = false;
    if (step == ASKING)
        owner_told(run, e, res);
    else if (reading)
        found(run, e, res);
    else if (res->err.code == PT_OK)
        succeeded(run, e, res);
    else
        refused(run, e, res);
    run->pumping = false;
    if (!run->goes_on)
        count(run, e, false);
    pump(run);
}

/* --- starting ------------------------------------------------------------------------------------------------------------ */

static struct pt_api_request request_of(const struct pt_carry_out *run, const struct pt_effect *e, enum step step, char rv[PT_NUM_MAX + 1])
{
    const struct kind *k = &kinds[e->kind];
    rv[pt_num_put_u64(rv, e->rv)] = 0;
    if (step == ASKING)
        return (struct pt_api_request){
            .verb = PT_VERB_GET, .resource = &pt_res_modeldeployments, .ns = run->ns, .name = run->name, .grace_seconds = -1};
    if (step == READING)
        return (struct pt_api_request){.verb = PT_VERB_GET, .resource = k->resource, .ns = run->ns, .name = e->name, .grace_seconds = -1};
    return (struct pt_api_request){.verb = k->verb,
                                   .resource = k->resource,
                                   .ns = run->ns,
                                   .name = k->verb == PT_VERB_CREATE ? NULL : e->name,
                                   .subresource = k->subresource,
                                   .body = e->body,
                                   .uid = k->verb == PT_VERB_DELETE ? e->uid : NULL,
                                   .resource_version = k->verb == PT_VERB_DELETE && e->rv ? rv : NULL,
                                   .grace_seconds = -1,
                                   .strict = e->kind == PT_EFFECT_CREATE_POD || e->kind == PT_EFFECT_CREATE_WORK}; /* a slip in the user's template must show */
}

static void start(struct pt_carry_out *run, const struct pt_effect *e, enum step step)
{
    char rv[PT_NUM_MAX + 1];
    struct pt_api_request req = request_of(run, e, step, rv);
    struct pt_err err;
    struct op *o = pt_calloc(1, sizeof *o);
    struct pt_pod *pod = e->kind == PT_EFFECT_DELETE_POD || e->removal ? pod_of(run, e) : NULL;
    if (pod && e->removal)
        pod->state.removing_ms = pt_now_ms(run->op->o.sched);
    else if (pod && (!e->rv || e->rv == pod->o.rv)) /* else it is refused */
        pod->state.doomed_ms = pt_now_ms(run->op->o.sched);
    if (o) {
        *o = (struct op){.run = run, .effect = e, .step = step};
        if (pt_api_start(&run->op->fence.api, &req, answered, o, &o->call, &err) == PT_OK) {
            o->next = run->ops;
            if (o->next)
                o->next->prev = o;
            run->ops = o;
            run->in_flight++;
            run->goes_on = true;
            return;
        }
        pt_free(o);
    } else {
        pt_fail(&err, PT_ENOMEM, "out of memory");
    }
    if (pod)
        pod->state.doomed_ms = pod->state.removing_ms = -1;
    fail(run, e, &err);
}

/* May this effect be started now? */
static bool may_start(struct pt_carry_out *run, const struct pt_effect *e)
{
    if (run->revision_pending || run->in_flight >= IN_FLIGHT_MAX)
        return false;
    if (e->kind != PT_EFFECT_CREATE_POD)
        return true;
    if (run->batch_left == 0) {
        if (run->creating > 0)
            return false;
        run->batch = run->batch ? run->batch * 2 : 1;
        run->batch_left = run->batch;
    }
    run->batch_left--;
    return true;
}

static void end(struct pt_carry_out *run)
{
    struct pt_operator *op = run->op;
    struct pt_deployment *d = run->d;
    pt_auto_free char *key = pt_steal(run->key);
    bool failed = run->failed;
    int64_t requeue = run->requeue_ms, started = run->started_ms;
    if (run->created && !failed)
        pt_free(pt_steal(d->trouble));
    d->run = NULL;
    free_run(run);
    pt_operator_ran(op, key, failed, requeue, started);
}

static enum step first_step(const struct pt_carry_out *run, const struct pt_effect *e)
{
    const struct kind *k = &kinds[e->kind];
    return k->asks || (run->d->bereaved && k->verb == PT_VERB_CREATE) ? ASKING : k->verb == PT_VERB_GET ? READING : ACTING;
}

static void pump(struct pt_carry_out *run)
{
    if (run->pumping)
        return;
    run->pumping = true;
    while (run->next < run->plan.count) {
        const struct pt_effect *e = &run->plan.effects[run->next];
        if (run->no_pods && e->kind == PT_EFFECT_CREATE_POD) {
            run->next++;
            continue;
        }
        if (!may_start(run, e))
            break;
        run->next++;
        run->goes_on = false;
        start(run, e, first_step(run, e));
        if (run->goes_on)
            count(run, e, true);
    }
    run->pumping = false;
    if (run->in_flight == 0 && run->next >= run->plan.count)
        end(run);
}

void pt_carry_out_start(struct pt_operator *op, struct pt_deployment *d, const char *key, const struct pt_md *md, struct pt_plan *plan)
{
    struct pt_carry_out *run = pt_calloc(1, sizeof *run);
    if (run) {
        *run = (struct pt_carry_out){.op = op, .d = d, .plan = *plan, .requeue_ms = plan->requeue_ms, .started_ms = pt_now_ms(op->o.sched)};
        run->id = (int64_t)op->begun;
        run->generation = md->generation;
        run->key = pt_strdup(key);
        run->ns = pt_strdup(md->o.ns);
        run->name = pt_strdup(md->o.name);
        run->uid = pt_strdup(md->o.uid);
        *plan = (struct pt_plan){.requeue_ms = -1};
    }
    if (!run || !run->key || !run->ns || !run->name || !run->uid) {
        if (run)
            free_run(run);
        pt_plan_finish(plan);
        pt_operator_ran(op, key, true, -1, pt_now_ms(op->o.sched));
        return;
    }
    d->run = run;
    pump(run);
}
