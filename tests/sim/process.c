/* SPDX-License-Identifier: Apache-2.0
 *
 * process.c: what lies between an operator and its cluster.
 *
 * In scenarios each call of an operator passes through here, so that its process can be stopped for a while (SIGSTOP, a suspended machine: no timer
 * of its runs and it hears nothing until it goes on, and then all at once, timers or news first) or cut off (what it asks is lost, its streams stand
 * still). And here is seen what it hears and what becomes of that:
 *
 *   leader   it writes only while the Lease is in its name and not run out, as the server has it
 *   one      nobody else believes to lead when one begins to, but whoever is stopped and cannot know
 *   standby  until then it looks at nothing
 *   news     what an operator has of an object never gets older
 *
 * Schedules by chance go straight to memapi.
 */
#include "operator/model/internal.h"
#include "tests/sim/world.h"

#define LEASE_MS 60000 /* as world.c asks for */

struct call {
    struct process *p;
    const struct pt_resource *resource;
    struct pt_api_call *inner; /* NULL: it has ended */
    pt_api_done_fn done;
    pt_watch_event_fn event;
    void *arg;
};

/* Heard by a process that cannot take it in yet. */
struct message {
    struct message *next;
    struct call *call; /* NULL: cancelled since */
    bool is_event;
    struct pt_watch_event event;
    struct pt_api_result res;
    char *text;
};

/* --- what it knows ------------------------------------------------------------------------------------------------------- */

static const struct pt_object *known(const struct process *p, const struct pt_resource *res, const struct pt_obj_identity *id)
{
    static const struct {
        const struct pt_resource *resource;
        enum pt_kind_index store;
    } kept[] = {{&pt_res_modeldeployments, PT_STORE_MD},
                {&pt_res_pods, PT_STORE_POD},
                {&pt_res_controllerrevisions, PT_STORE_REVISION},
                {&pt_res_services, PT_STORE_SERVICE}};
    for (size_t i = 0; p->op && i < sizeof kept / sizeof *kept; i++)
        if (kept[i].resource == res)
            return pt_store_get(&p->op->stores[kept[i].store], id->ns, id->name);
    return NULL;
}

static void hand_over(struct call *c, const struct pt_watch_event *e, const struct pt_api_result *r)
{
    struct process *p = c->p;
    const struct pt_resource *res = c->resource;
    struct pt_obj_identity id;
    struct pt_str object = e ? e->object : r->body;
    const struct pt_object *o = pt_obj_identify(object, &id) ? known(p, res, &id) : NULL;
    uint64_t rv = o ? o->rv : 0;
    char uid[64];
    snprintf(uid, sizeof uid, "%s", o ? o->uid : "");
    if (e) {
        c->event(c->arg, e);
    } else {
        pt_api_done_fn done = c->done;
        void *arg = c->arg;
        pt_free(c);
        done(arg, r);
    }
    o = rv ? known(p, res, &id) : NULL;
    if (o && o->rv < rv && !strcmp(o->uid, uid))
        world_break(p->w, "operator %d had version %llu of %s %s and has %llu again", (int)(p - p->w->process), (unsigned long long)rv, res->plural,
                    id.name, (unsigned long long)o->rv);
}

/* --- stopped, cut off ---------------------------------------------------------------------------------------------------- */

static void hold(struct call *c, const struct pt_watch_event *e, const struct pt_api_result *r)
{
    struct process *p = c->p;
    struct message *m = pt_calloc(1, sizeof *m), **end = &p->held;
    struct pt_str text = e ? e->object : r->body;
    if (!m || !(m->text = pt_strndup(text.p ? text.p : "", text.len))) {
        pt_free(m);
        world_break(p->w, "process: out of memory");
        return;
    }
    *m = (struct message){.call = c, .is_event = e != NULL, .text = m->text};
    if (e)
        m->event = (struct pt_watch_event){e->type, {m->text, text.len}};
    else {
        m->res = *r;
        m->res.body = (struct pt_str){m->text, text.len};
    }
    while (*end)
        end = &(*end)->next;
    *end = m;
}

static void on_event(void *arg, const struct pt_watch_event *e)
{
    struct call *c = arg;
    if (c->p->stopped || c->p->apart || c->p->held)
        hold(c, e, NULL);
    else
        hand_over(c, e, NULL);
}

static void on_done(void *arg, const struct pt_api_result *r)
{
    struct call *c = arg;
    struct pt_api_result lost = {.retry_after_ms = -1};
    bool timed_out = r->http == 0 && r->err.code == PT_ETIMEDOUT; /* it need not hear anything to know that */
    c->inner = NULL;
    if (c->p->stopped || (c->p->held && !timed_out) || (c->p->apart && c->event && !timed_out)) {
        hold(c, NULL, r);
        return;
    }
    if (c->p->apart && !timed_out) {
        pt_fail(&lost.err, PT_ETIMEDOUT, "no answer in time; the request may have been carried out or not");
        r = &lost;
    }
    hand_over(c, NULL, r);
}

static void free_message(struct message *m)
{
    pt_free(m->text);
    pt_free(m);
}

static void hear_all(struct process *p)
{
    while (p->held && !p->stopped && !p->apart) {
        struct message *m = p->held;
        struct call *c = m->call;
        if (c && m->is_event)
            hand_over(c, &m->event, NULL);
        else if (c)
            hand_over(c, NULL, &m->res);
        if (p->held != m) /* its process has ended */
            return;
        p->held = m->next;
        free_message(m);
    }
}

/* Its timers are its own, in those scenarios in which it is stopped. */
static struct process *of_sched(struct pt_sched *s)
{
    return (struct process *)((char *)s - offsetof(struct process, sched));
}
static int64_t own_now(struct pt_sched *s)
{
    return of_sched(s)->w->clock.now;
}
static int64_t own_wall(struct pt_sched *s)
{
    return pt_wall_ms(&of_sched(s)->w->clock.sched);
}
static void own_turn(struct pt_timer *t);
static void own_rearm(struct pt_sched *s)
{
    struct process *p = of_sched(s);
    int64_t next = p->stopped ? -1 : pt_sched_next_ms(s);
    if (next >= 0)
        pt_timer_start(&p->w->clock.sched, &p->turn, next, own_turn);
    else
        pt_timer_stop(&p->w->clock.sched, &p->turn);
}
static void own_turn(struct pt_timer *t)
{
    struct process *p = (struct process *)((char *)t - offsetof(struct process, turn));
    pt_sched_run_due(&p->sched);
    own_rearm(&p->sched);
}

struct pt_sched *process_sched(struct process *p)
{
    return p->w->stops ? &p->sched : &p->w->clock.sched;
}

static const char *state_of(const struct process *p)
{
    return p->stopped ? "stopped" : p->apart ? "cut off" : "back";
}

static void goes_on(struct process *p)
{
    bool news_first = chance(&p->w->luck, 0.5); /* a loop that comes back from waiting looks at its sockets before its timers, or after them */
    if (news_first)
        hear_all(p);
    pt_sched_run_due(&p->sched);
    if (!news_first)
        hear_all(p);
    own_rearm(&p->sched);
}

void process_disturb(struct world *w, bool stop, bool apart)
{
    struct process *p = w->disturbed;
    if (!stop && !apart && p) {
        p->stopped = p->apart = false;
        w->disturbed = NULL;
        world_log(w, "operator %d: %s", (int)(p - w->process), state_of(p));
        goes_on(p);
        return;
    }
    for (p = w->process; (stop || apart) && p < w->process + SIM_PROCESSES && !w->disturbed; p++)
        if (p->op && p->leads) {
            p->stopped = stop;
            p->apart = apart;
            own_rearm(&p->sched);
            w->disturbed = p;
            world_log(w, "operator %d: %s", (int)(p - w->process), state_of(p));
        }
}

/* --- its interface ------------------------------------------------------------------------------------------------------- */

static void check_leads(const struct process *p, const struct pt_api_request *req)
{
    struct world *w = p->w;
    bool ours = !w->p.elected || (!strcmp(w->holder, p->identity) && w->clock.now - w->held_ms <= LEASE_MS);
    if (world_is_write(req) && req->resource != &pt_res_leases && !(p->leads && ours))
        world_break(w, "operator %d writes %s/%s, and the Lease is %s's since %lld ms", (int)(p - w->process), req->resource->plural,
                    req->name ? req->name : "", *w->holder ? w->holder : "nobody", (long long)(w->clock.now - w->held_ms));
}

void process_wrote_lease(struct world *w)
{
    const cJSON *lease = pt_memapi_tree(w->api, &pt_res_leases, SIM_NS, PT_LEASE);
    snprintf(w->holder, sizeof w->holder, "%s", pt_obj_text(lease, "spec.holderIdentity"));
    w->held_ms = w->clock.now;
}

static uint64_t looked(const struct process *p)
{
    struct pt_operator_stats stats;
    pt_operator_stats(p->op, &stats);
    return stats.reconciles;
}

void process_stands_by(struct process *p)
{
    p->looked = looked(p);
}

void process_leads(struct process *p)
{
    p->term = ++p->w->terms;
    if (looked(p) != p->looked)
        world_break(p->w, "operator %d has looked at ModelDeployments before it leads", (int)(p - p->w->process));
    for (const struct process *q = p->w->process; q < p->w->process + SIM_PROCESSES; q++)
        if (q != p && q->op && q->leads && !q->stopped)
            world_break(p->w, "operators %d and %d lead", (int)(q - p->w->process), (int)(p - p->w->process));
}

static int start(struct pt_api *api, const struct pt_api_request *req, pt_watch_event_fn event, pt_api_done_fn done, void *arg,
                 struct pt_api_call **out, struct pt_err *err)
{
    struct process *p = (struct process *)api;
    struct pt_api *inner = pt_memapi_api(p->w->api);
    struct call *c = p->w->script ? pt_calloc(1, sizeof *c) : NULL;
    int rc;
    p->w->asking = p;
    if (!c) {
        rc = event ? pt_api_watch(inner, req, event, done, arg, out, err) : pt_api_start(inner, req, done, arg, out, err);
    } else {
        *c = (struct call){p, req->resource, NULL, done, event, arg};
        rc = event ? pt_api_watch(inner, req, on_event, on_done, c, &c->inner, err) : pt_api_start(inner, req, on_done, c, &c->inner, err);
        if (rc < 0)
            pt_free(c);
        else if (out)
            *out = (struct pt_api_call *)c;
    }
    p->w->asking = NULL;
    return rc;
}

static int process_starts(struct pt_api *api, const struct pt_api_request *req, pt_api_done_fn done, void *arg, struct pt_api_call **out,
                          struct pt_err *err)
{
    check_leads((struct process *)api, req);
    if (((struct process *)api)->starved && req->resource == &pt_res_leases)
        return pt_fail(err, PT_EUNAVAILABLE, "starved");
    return start(api, req, NULL, done, arg, out, err);
}

static int process_watches(struct pt_api *api, const struct pt_api_request *req, pt_watch_event_fn event, pt_api_done_fn done, void *arg,
                           struct pt_api_call **out, struct pt_err *err)
{
    return start(api, req, event, done, arg, out, err);
}

static void process_cancels(struct pt_api *api, struct pt_api_call *call)
{
    struct process *p = (struct process *)api;
    struct call *c = (struct call *)call;
    if (!p->w->script) {
        pt_api_cancel(pt_memapi_api(p->w->api), call);
        return;
    }
    if (!c)
        return;
    for (struct message *m = p->held; m; m = m->next)
        if (m->call == c)
            m->call = NULL;
    if (c->inner)
        pt_api_cancel(pt_memapi_api(p->w->api), c->inner);
    pt_free(c);
}

void process_init(struct process *p, struct world *w)
{
    static const struct pt_api_ops ops = {process_starts, process_watches, process_cancels};
    *p = (struct process){.api = {&ops}, .w = w, .sched = {.now_ms = own_now, .wall_ms = own_wall, .rearm = own_rearm}};
}

/* It has ended, and cancelled what was under way. */
void process_clear(struct process *p)
{
    while (p->held) {
        struct message *m = p->held;
        p->held = m->next;
        free_message(m);
    }
    p->stopped = p->apart = false;
    if (p->w->disturbed == p)
        p->w->disturbed = NULL;
    pt_timer_stop(&p->w->clock.sched, &p->turn);
}
