/* SPDX-License-Identifier: Apache-2.0
 *
 * world.c: see world.h.
 */
#include "tests/sim/world.h"
#include "operator/model/spec.h"

#include <stdio.h>

#define MINUTE_MS 60000

void world_log(struct world *w, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    if (!w->logging)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (w->timeline.len < 1 << 20)
        pt_buf_printf(&w->timeline, "%10.3f  %s\n", (double)w->clock.now / 1000.0, text);
}

void world_break(struct world *w, const char *fmt, ...)
{
    va_list ap;
    if (w->broken)
        return;
    w->broken = true;
    va_start(ap, fmt);
    vsnprintf(w->why, sizeof w->why, fmt, ap);
    va_end(ap);
    world_log(w, "BROKEN: %s", w->why);
}

bool chance(struct pt_rand *r, double p)
{
    return pt_rand_unit(r) < p;
}

int64_t between(struct pt_rand *r, int64_t low, int64_t high)
{
    return low + pt_rand_below(r, (uint32_t)(high - low + 1));
}

const cJSON *world_stored(struct world *w, const struct wish *m)
{
    return pt_memapi_tree(w->api, &pt_res_modeldeployments, SIM_NS, m->name);
}

int world_do(struct world *w, struct pt_api_request req, const char *who, bool may_fail)
{
    struct pt_err err = {0};
    req.field_manager = who;
    int http = pt_memapi_do(w->api, &req, NULL, &err);
    if (http >= 300 && !may_fail)
        world_break(w, "%s: HTTP %d: %s", who, http, err.msg);
    return http;
}

/* --- the operators' lives ------------------------------------------------------------------------------------------------ */

static void start_process(struct process *p);

bool world_is_write(const struct pt_api_request *req)
{
    return req->verb != PT_VERB_GET && req->verb != PT_VERB_LIST;
}

static void restart_now(struct pt_timer *t)
{
    start_process((struct process *)((char *)t - offsetof(struct process, restart)));
}

static void end_process(struct process *p)
{
    struct world *w = p->w;
    pt_lease_destroy(pt_steal(p->lease));
    pt_operator_destroy(pt_steal(p->op));
    pt_timer_stop(&w->clock.sched, &p->restart);
    process_clear(p);
    p->leads = p->starved = false;
}

static void slack(struct world *w)
{
    w->slack_until_ms = w->clock.now + 45000 + w->p.stale_ms;
}

static void on_leads(void *arg)
{
    struct process *p = arg;
    world_log(p->w, "operator %d: leads", (int)(p - p->w->process));
    p->leads = true;
    process_leads(p);
    pt_operator_lead(p->op);
}

/* It may write nothing from now on, and goes on watching. */
static void on_lost(void *arg, const char *why)
{
    struct process *p = arg;
    world_log(p->w, "operator %d: %s", (int)(p - p->w->process), why);
    slack(p->w);
    p->leads = false;
    p->w->losses++;
    pt_operator_stand_by(p->op);
    process_stands_by(p);
}

static bool may_write(void *arg)
{
    struct process *p = arg;
    return !p->lease || pt_lease_valid(p->lease);
}

static int start_lease(struct process *p, struct pt_err *err)
{
    snprintf(p->identity, sizeof p->identity, "life-%u", p->w->lives);
    struct pt_lease_options o = {.api = &p->api, .sched = process_sched(p), .seed = p->w->seed + p->w->lives, .ns = SIM_NS, .name = PT_LEASE,
                                 .identity = p->identity, .duration_ms = 60000, .renew_ms = 40000, .retry_ms = 8000, .leads = on_leads, .lost = on_lost, .arg = p};
    int rc = pt_lease_create(&o, &p->lease, err);
    if (rc == PT_OK)
        pt_lease_start(p->lease);
    return rc;
}

static void start_process(struct process *p)
{
    struct world *w = p->w;
    struct pt_operator_options o = {.api = &p->api, .sched = process_sched(p), .seed = w->seed * 1000 + ++w->lives, .sidecar_image = w->image,
                                    .report_url = "https://operator:8443/v1/report", .standby = w->p.elected, .may_write = may_write, .may_write_arg = p};
    struct pt_err err;
    p->term = ++w->terms;
    p->looked = 0;
    int rc = pt_operator_create(&o, &p->op, &err);
    if (rc == PT_OK && w->p.elected)
        rc = start_lease(p, &err);
    if (rc < 0) {
        world_break(w, "operator: %s", err.msg);
        return;
    }
    world_log(w, "operator %d: start (life %u)", (int)(p - w->process), w->lives);
    p->leads = !w->p.elected;
    pt_operator_start(p->op);
}

static unsigned processes(const struct world *w)
{
    return w->p.elected ? SIM_PROCESSES : 1;
}

struct pt_operator *world_leader(struct world *w)
{
    for (unsigned i = 0; i < SIM_PROCESSES; i++)
        if (w->process[i].op && w->process[i].leads && !w->process[i].stopped && !w->process[i].apart)
            return w->process[i].op;
    return NULL;
}

static void crash_now(struct pt_timer *t)
{
    struct world *w = (struct world *)((char *)t - offsetof(struct world, crash));
    for (unsigned i = 0; i < SIM_PROCESSES; i++) {
        struct process *p = &w->process[i];
        if (!p->op || !p->leads)
            continue;
        world_log(w, "operator %u: dies", i);
        slack(w);
        end_process(p);
        pt_timer_start(&w->clock.sched, &p->restart, between(&w->luck, 0, 5000), restart_now);
        return;
    }
}

void world_crash(struct world *w)
{
    pt_timer_start(&w->clock.sched, &w->crash, 0, crash_now);
}

void world_starve(struct world *w, bool starves)
{
    for (unsigned i = 0; i < SIM_PROCESSES; i++) {
        struct process *p = &w->process[i];
        if (p->starved != starves && (!starves || p->leads))
            world_log(w, "operator %u: %s", i, starves ? "cannot renew its Lease" : "reaches the Lease again");
        p->starved = starves && (p->starved || p->leads);
    }
}

/* Long enough to lose it, most times; sometimes as long as the other needs to take it. */
static void starve_now(struct pt_timer *t)
{
    struct world *w = (struct world *)((char *)t - offsetof(struct world, starve));
    bool starves = w->faults && !w->process[0].starved && !w->process[1].starved;
    world_starve(w, starves);
    if (w->faults)
        pt_timer_start(&w->clock.sched, t, starves ? between(&w->hunger, 20000, 120000) : between(&w->hunger, 10000, 200000), starve_now);
}

void world_upgrade(struct world *w)
{
    world_log(w, "operators: upgrade");
    w->image = "sidecar:next";
    slack(w);
    for (unsigned i = 0; i < processes(w); i++) {
        end_process(&w->process[i]);
        pt_timer_start(&w->clock.sched, &w->process[i].restart, 1000, restart_now);
    }
}

/* --- faults -------------------------------------------------------------------------------------------------------------- */

static bool by_operator(const struct pt_api_request *req)
{
    return !req->field_manager || !strcmp(req->field_manager, PT_MANAGER);
}

static void an_error(struct world *w, const struct pt_api_request *req, struct pt_memapi_fault *f)
{
    static const struct {
        int http;
        const char *reason;
    } errors[] = {{500, "InternalError"}, {503, "ServiceUnavailable"}, {429, "TooManyRequests"}, {504, "Timeout"}, {409, "Conflict"}, {403, "Forbidden"}};
    size_t n = req->verb == PT_VERB_CREATE ? 6 : world_is_write(req) ? 5 : 4;
    size_t i = pt_rand_below(&w->luck, (uint32_t)n);
    for (size_t k = 0; w->p.http && k < n; k++)
        if (errors[k].http == w->p.http)
            i = k;
    if (errors[i].http == 409 && req->verb == PT_VERB_CREATE)
        i = 0;
    f->http = w->p.http == 401 ? 401 : errors[i].http;
    f->reason = w->p.http == 401 ? "Unauthorized" : errors[i].reason;
    f->retry_after_s = f->http == 429 && chance(&w->luck, 0.5) ? (int)between(&w->luck, 1, 3) : 0;
}

/* What the operators asked for in all schedules of this process: their rights are judged by it. */
static struct use {
    const struct pt_resource *resource;
    const char *subresource, *verb; /* static texts */
} uses[128];
static size_t use_count;

static void note_use(const struct pt_api_request *req, const char *verb)
{
    const char *subresource = !req->subresource ? "" : !strcmp(req->subresource, "status") ? "/status" : "/another";
    for (size_t i = 0; i < use_count; i++)
        if (uses[i].resource == req->resource && !strcmp(uses[i].verb, verb) && !strcmp(uses[i].subresource, subresource))
            return;
    if (use_count < sizeof uses / sizeof *uses)
        uses[use_count++] = (struct use){req->resource, subresource, verb};
}

void world_print_uses(FILE *out)
{
    for (size_t i = 0; i < use_count; i++)
        fprintf(out, "%s %s/%s%s\n", uses[i].verb, uses[i].resource->group, uses[i].resource->plural, uses[i].subresource);
}

/* What may be forbidden, one at a time. */
static const struct right {
    const char *name;
    const struct pt_resource *resource;
    const char *verb, *subresource;
} rights[] = {
    {"patch services", &pt_res_services, "patch", ""},
    {"patch controllerrevisions", &pt_res_controllerrevisions, "patch", ""},
    {"patch poddisruptionbudgets", &pt_res_poddisruptionbudgets, "patch", ""},
    {"create services", &pt_res_services, "create", ""},
    {"create poddisruptionbudgets", &pt_res_poddisruptionbudgets, "create", ""},
    {"create controllerrevisions", &pt_res_controllerrevisions, "create", ""},
    {"delete poddisruptionbudgets", &pt_res_poddisruptionbudgets, "delete", ""},
    {"patch pods", &pt_res_pods, "patch", ""},
    {"patch pods/status", &pt_res_pods, "patch", "status"},
    {"delete pods", &pt_res_pods, "delete", ""},
    {"delete controllerrevisions", &pt_res_controllerrevisions, "delete", ""},
};
enum { RIGHTS = sizeof rights / sizeof *rights };

const char *world_right(int i)
{
    return i > 0 && i <= RIGHTS ? rights[i - 1].name : NULL;
}

static bool is_forbidden(const struct world *w, const struct pt_api_request *req, const char *verb)
{
    const struct right *r = w->p.forbidden ? &rights[w->p.forbidden - 1] : NULL;
    return r && r->resource == req->resource && !strcmp(r->verb, verb) && !strcmp(r->subresource, req->subresource ? req->subresource : "");
}

static void digest_text(struct world *w, const char *text, size_t len)
{
    if (w->digest)
        w->digest = pt_hash64(text, len, w->digest) | 1;
}

static void digest_request(struct world *w, const struct pt_api_request *req, bool watch)
{
    const char *const texts[] = {req->resource->plural, req->ns, req->name, req->subresource, req->resource_version, req->uid, req->field_manager};
    int64_t numbers[] = {w->clock.now, req->verb, watch, req->timeout_ms};
    digest_text(w, (const char *)numbers, sizeof numbers);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        digest_text(w, texts[i] ? texts[i] : "", texts[i] ? strlen(texts[i]) : 0);
    digest_text(w, req->body.p, req->body.len);
}

static void digest_object(void *arg, const char *ns, const char *name, struct pt_str object)
{
    (void)ns;
    (void)name;
    digest_text(arg, object.p, object.len);
}

static void digest_objects(struct world *w)
{
    static const struct pt_resource *const all[] = {&pt_res_modeldeployments, &pt_res_pods, &pt_res_services, &pt_res_controllerrevisions,
                                                    &pt_res_poddisruptionbudgets, &pt_res_events, &pt_res_leases};
    uint64_t writes = pt_memapi_writes(w->api);
    for (size_t i = 0; w->digest && i < sizeof all / sizeof *all; i++)
        pt_memapi_each(w->api, all[i], digest_object, w);
    digest_text(w, (const char *)&writes, sizeof writes);
}

/* What only stories with it have. */
static void disturb(struct world *w, const struct pt_api_request *req, bool watch, struct pt_memapi_fault *f)
{
    f->lose_request |= w->asking && w->asking->apart;
    f->carried_out = f->http && w->p.carried_out;
    bool status = req->subresource && req->resource == &pt_res_modeldeployments; /* a late one tells of what was, which nobody can help */
    if (w->faults && w->p.late > 0 && world_is_write(req) && req->resource != &pt_res_leases && !status && by_operator(req) && chance(&w->luck, w->p.late))
        f->delay_ms = between(&w->luck, 31000, 40000);
    if (w->faults && w->p.slow_list_ms && req->verb == PT_VERB_LIST && !watch)
        f->reply_delay_ms = between(&w->luck, 1, w->p.slow_list_ms);
}

static void on_request(void *arg, const struct pt_api_request *req, bool watch, struct pt_memapi_fault *f)
{
    struct world *w = arg;
    static const char *const verbs[] = {"get", "list", "create", "update", "patch", "apply", "patch", "patch", "delete"};
    if (w->digest)
        digest_request(w, req, watch);
    if (by_operator(req))
        note_use(req, watch ? "watch" : verbs[req->verb]);
    if (by_operator(req) && w->away) {
        f->http = 503;
        f->reason = "ServiceUnavailable";
    } else if (by_operator(req) && is_forbidden(w, req, watch ? "watch" : verbs[req->verb])) {
        f->http = 403;
        f->reason = "Forbidden";
    } else if (w->p.denied && req->verb == PT_VERB_CREATE && req->resource == &pt_res_pods) {
        f->http = 403;
        f->reason = "Forbidden";
    } else if (w->faults && chance(&w->luck, w->p.error))
        an_error(w, req, f);
    else if (w->faults && chance(&w->luck, w->p.lose))
        *(chance(&w->luck, 0.5) ? &f->lose_reply : &f->lose_request) = true;
    if (w->faults && chance(&w->luck, w->p.delay))
        f->delay_ms = chance(&w->luck, 0.02) && !watch ? between(&w->luck, 31000, 40000) : between(&w->luck, 1, 3000);
    if (w->faults && chance(&w->luck, w->p.delay))
        f->reply_delay_ms = between(&w->luck, 1, 3000);
    disturb(w, req, watch, f);
    if (world_is_write(req) && req->resource == &pt_res_leases)
        return;
    if (world_is_write(req) && req->resource != &pt_res_events && by_operator(req)) {
        if (w->p.crash_at && ++w->op_writes == w->p.crash_at) {
            f->lose_request |= w->p.crash_before;
            pt_timer_start(&w->clock.sched, &w->crash, f->delay_ms, crash_now);
        }
        load_asked(w, req);
        check_asked(w, req);
        writes_asked(w, req, f);
        world_log(w, "operator: %s %s/%s%s%s%s", verbs[req->verb], req->resource->plural, req->name ? req->name : "", req->subresource ? "/" : "",
                  req->subresource ? req->subresource : "", f->http || f->lose_reply || f->lose_request || f->delay_ms ? " (with a fault)" : "");
    }
}

static int64_t on_event(void *arg, const struct pt_resource *res)
{
    struct world *w = arg;
    if (!w->faults)
        return 0;
    if (chance(&w->luck, w->p.cut))
        return -1;
    int64_t lag = res == &pt_res_pods ? w->p.pod_lag_ms : w->p.other_lag_ms;
    if (lag)
        return between(&w->luck, 0, lag);
    return chance(&w->luck, w->p.delay) ? between(&w->luck, 1, 2000) : 0;
}

static int admit(void *arg, const struct pt_resource *res, cJSON *object, const cJSON *old, struct pt_err *err)
{
    (void)arg;
    (void)old;
    return res == &pt_res_modeldeployments ? pt_spec_admit(object, err) : PT_OK;
}

static void draw_profile(struct world *w)
{
    struct pt_rand *r = &w->luck;
    double harshness = pt_rand_unit(r);
    if (chance(r, 0.25)) { /* a peaceful cluster: the bounds are checked at their strictest */
        w->p.stale_ms = 1000;
    } else {
        w->p.error = chance(r, 0.7) ? 0.15 * harshness : 0;
        w->p.lose = chance(r, 0.5) ? 0.08 * harshness : 0;
        w->p.delay = chance(r, 0.7) ? 0.4 * harshness : 0;
        w->p.cut = chance(r, 0.5) ? 0.05 * harshness : 0;
        w->p.pod_lag_ms = chance(r, 0.3) ? between(r, 100, 8000) : 0;
        w->p.other_lag_ms = chance(r, 0.1) ? between(r, 100, 8000) : 0;
        w->p.stale_ms = 180000;
    }
    if (chance(r, 0.4)) {
        w->p.crash_at = between(r, 1, 60);
        w->p.crash_before = chance(r, 0.5);
    }
    w->p.elected = chance(r, 0.05);
    w->p.watchlist = chance(r, 0.8) ? PT_WATCHLIST : chance(r, 0.5) ? PT_WATCHLIST_REFUSED : PT_WATCHLIST_ENDLESS;
}

static void leave_out(struct world *w)
{
    const bool *f = w->omit.faults;
    w->p.error *= !f[0];
    w->p.lose *= !f[1];
    w->p.delay *= !f[2];
    w->p.cut *= !f[3];
    if (f[4])
        w->p.pod_lag_ms = w->p.other_lag_ms = 0;
    if (f[5])
        w->p.crash_at = 0;
    w->p.elected &= !f[6];
}

/* --- a schedule ---------------------------------------------------------------------------------------------------------- */

/* Those of a Lease are no news to anybody else, and go on for ever. */
static uint64_t writes_of(struct world *w)
{
    return pt_memapi_writes(w->api) - w->lease_writes;
}

static uint64_t reconciles_of(struct world *w)
{
    struct pt_operator_stats stats = {0};
    if (world_leader(w))
        pt_operator_stats(world_leader(w), &stats);
    return stats.reconciles;
}

#define INSTANT_MAX 20000 /* turns in which time stands still: somebody answers somebody for ever */

static void run_until(struct world *w, int64_t end_ms)
{
    int64_t at = -1, turns = 0;
    while (!w->broken && pt_vsched_step(&w->clock, end_ms)) {
        turns = w->clock.now == at ? turns + 1 : 0;
        at = w->clock.now;
        if (turns > INSTANT_MAX)
            world_break(w, "a loop: %d turns and %llu writes so far, and time stands still", INSTANT_MAX, (unsigned long long)writes_of(w));
        uint64_t writes = writes_of(w);
        if (writes == w->seen_writes)
            continue;
        w->seen_writes = writes;
        kubelet_observe(w);
        check_now(w);
    }
}

static bool moved_lately(const struct world *w)
{
    bool any = false;
    for (int i = 0; i < SIM_MDS; i++)
        any |= w->wish[i].uid[0] && w->wish[i].scaled && w->clock.now - w->wish[i].scale_ms < MINUTE_MS;
    return any;
}

/* What a pod can carry is still being found out: that may end in another number of pods at any time. */
static bool learns(const struct world *w)
{
    bool any = false;
    for (int i = 0; i < SIM_MDS; i++)
        any |= w->wish[i].uid[0] && w->wish[i].scaled && w->wish[i].metric >= PT_METRIC_QUEUE_DELAY;
    return any;
}

static void on_wrote(void *arg, const struct pt_api_request *req, const char *ns, const char *name)
{
    (void)ns;
    (void)name;
    ((struct world *)arg)->lease_writes += req->resource == &pt_res_leases;
    if (req->resource == &pt_res_leases)
        process_wrote_lease(arg);
    check_wrote(arg, req);
    writes_done(arg, req);
    load_wrote(arg, req);
    watch_wrote(arg, req);
}

static void begin(struct world *w, const struct sim_run *run)
{
    *w = (struct world){.seed = run->seed, .faults = true, .logging = run->logging, .digest = run->digest, .omit = run->omit, .script = run->script, .image = "sidecar:sim"};
    for (unsigned i = 0; i < SIM_PROCESSES; i++)
        process_init(&w->process[i], w);
    for (int i = 0; i < 8; i++)
        w->accuracy[i] = 95;
    pt_rand_init(&w->rand, run->seed * 2);
    pt_rand_init(&w->luck, run->seed * 2 + 1);
    pt_vsched_init(&w->clock, 1700000000000);
    draw_profile(w);
    if (run->script) {
        w->p = run->script->profile;
        w->p.stale_ms = w->p.stale_ms ? w->p.stale_ms : 180000;
        w->next_action = run->script->actions;
        w->stops = strstr(run->script->actions, "stop ") != NULL || strstr(run->script->actions, "apart ") != NULL;
    }
    leave_out(w);
}

bool world_run(struct world *w, const struct sim_run *run)
{
    struct pt_err err;
    begin(w, run);
    struct pt_memapi_options o = {.sched = &w->clock.sched, .seed = run->seed, .history = (unsigned)between(&w->luck, 20, 300), .gc_delay_ms = between(&w->luck, 0, 500),
                                  .latency_ms = between(&w->luck, 0, 5), .admit = admit, .hooks = {w, on_request, on_wrote, on_event}, .watchlist = w->p.watchlist, .bookmark_ms = 5 * MINUTE_MS};
    o.history = w->p.history ? w->p.history : o.history;
    if (pt_memapi_create(&o, &w->api, &err) < 0) {
        world_break(w, "memapi: %s", err.msg);
        return false;
    }
    for (unsigned i = 0; i < processes(w); i++)
        start_process(&w->process[i]);
    if (w->p.elected && !run->script) {
        pt_rand_init(&w->hunger, run->seed);
        pt_timer_start(&w->clock.sched, &w->starve, between(&w->hunger, 10000, 200000), starve_now);
    }
    user_start(w);
    while (!w->broken && (w->actions_left > 0 || w->clock.now == 0))
        run_until(w, w->clock.now + MINUTE_MS);
    user_settle(w);
    w->faults = w->p.denied = false;
    w->p.forbidden = 0;
    w->away = false;
    world_starve(w, false);
    process_disturb(w, false, false);
    w->p.crash_at = 0;
    w->calm_ms = w->clock.now;
    world_log(w, "faults stop");
    run_until(w, w->clock.now + (w->autoscales ? 20 : 30) * MINUTE_MS); /* with loads every second costs */
    for (int i = 0; i < 20 && moved_lately(w); i++) /* what a pod can carry is still being found out */
        run_until(w, w->clock.now + MINUTE_MS / 2);
    check_end(w);
    uint64_t writes = writes_of(w), reconciles = reconciles_of(w);
    run_until(w, w->clock.now + (w->autoscales || w->p.elected ? 10 : 60) * MINUTE_MS); /* a Lease is written every 40 s for ever */
    if (writes_of(w) != writes && !learns(w))
        world_break(w, "%llu writes in a time in which nothing happened", (unsigned long long)(writes_of(w) - writes));
    if (reconciles_of(w) != reconciles && !w->autoscales && !w->broken)
        world_break(w, "%llu reconciles in an hour in which nothing happened", (unsigned long long)(reconciles_of(w) - reconciles));
    digest_objects(w);
    return !w->broken;
}

void world_finish(struct world *w)
{
    for (unsigned i = 0; i < SIM_PROCESSES; i++) {
        end_process(&w->process[i]);
        pt_sched_finish(&w->process[i].sched);
    }
    pt_map_finish(&w->revisions);
    kubelet_finish(w);
    pt_timer_stop(&w->clock.sched, &w->crash);
    pt_timer_stop(&w->clock.sched, &w->user);
    pt_timer_stop(&w->clock.sched, &w->starve);
    pt_memapi_destroy(w->api);
    pt_buf_finish(&w->timeline);
    pt_sched_finish(&w->clock.sched);
}
