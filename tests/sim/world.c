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

int world_do(struct world *w, struct pt_api_request req, const char *who, bool may_fail)
{
    struct pt_err err = {0};
    req.field_manager = who;
    int http = pt_memapi_do(w->api, &req, NULL, &err);
    if (http >= 300 && !may_fail)
        world_break(w, "%s: HTTP %d: %s", who, http, err.msg);
    return http;
}

/* --- the operator's life ------------------------------------------------------------------------------------------------- */

static void start_operator(struct world *w)
{
    struct pt_operator_options o = {.api = pt_memapi_api(w->api), .sched = &w->clock.sched, .seed = w->seed * 1000 + ++w->lives, .sidecar_image = "sidecar:sim",
                                    .report_url = "https://operator:8443/v1/report"};
    struct pt_err err;
    if (pt_operator_create(&o, &w->op, &err) < 0) {
        world_break(w, "operator: %s", err.msg);
        return;
    }
    world_log(w, "operator: start (life %u)", w->lives);
    pt_operator_start(w->op);
}

static void restart_now(struct pt_timer *t)
{
    start_operator((struct world *)((char *)t - offsetof(struct world, restart)));
}

static void crash_now(struct pt_timer *t)
{
    struct world *w = (struct world *)((char *)t - offsetof(struct world, crash));
    if (!w->op)
        return;
    world_log(w, "operator: dies");
    w->slack_until_ms = w->clock.now + 45000 + w->p.stale_ms;
    pt_operator_destroy(w->op);
    w->op = NULL;
    pt_timer_start(&w->clock.sched, &w->restart, between(&w->luck, 0, 5000), restart_now);
}

/* --- faults -------------------------------------------------------------------------------------------------------------- */

static bool by_operator(const struct pt_api_request *req)
{
    return !req->field_manager || !strcmp(req->field_manager, PT_MANAGER);
}

static bool is_write(const struct pt_api_request *req)
{
    return req->verb != PT_VERB_GET && req->verb != PT_VERB_LIST;
}

static void an_error(struct world *w, const struct pt_api_request *req, struct pt_memapi_fault *f)
{
    static const struct {
        int http;
        const char *reason;
    } errors[] = {{500, "InternalError"}, {503, "ServiceUnavailable"}, {429, "TooManyRequests"}, {504, "Timeout"}, {409, "Conflict"}, {403, "Forbidden"}};
    size_t n = req->verb == PT_VERB_CREATE ? 6 : is_write(req) ? 5 : 4;
    size_t i = pt_rand_below(&w->luck, (uint32_t)n);
    if (errors[i].http == 409 && req->verb == PT_VERB_CREATE)
        i = 0;
    f->http = errors[i].http;
    f->reason = errors[i].reason;
    f->retry_after_s = f->http == 429 && chance(&w->luck, 0.5) ? (int)between(&w->luck, 1, 3) : 0;
}

static void on_request(void *arg, const struct pt_api_request *req, bool watch, struct pt_memapi_fault *f)
{
    struct world *w = arg;
    static const char *const verbs[] = {"get", "list", "create", "update", "patch", "apply", "patch", "delete"};
    if (w->faults && chance(&w->luck, w->p.error))
        an_error(w, req, f);
    else if (w->faults && chance(&w->luck, w->p.lose))
        *(chance(&w->luck, 0.5) ? &f->lose_reply : &f->lose_request) = true;
    if (w->faults && chance(&w->luck, w->p.delay))
        f->delay_ms = chance(&w->luck, 0.02) && !watch ? between(&w->luck, 31000, 40000) : between(&w->luck, 1, 3000);
    if (w->faults && chance(&w->luck, w->p.delay))
        f->reply_delay_ms = between(&w->luck, 1, 3000);
    if (f->delay_ms > 30000 && req->verb == PT_VERB_CREATE && w->slack_until_ms < w->clock.now + f->delay_ms + w->p.stale_ms)
        w->slack_until_ms = w->clock.now + f->delay_ms + w->p.stale_ms;
    if (is_write(req) && req->resource != &pt_res_events && by_operator(req)) {
        if (w->p.crash_at && ++w->op_writes == w->p.crash_at) {
            f->lose_request |= w->p.crash_before;
            pt_timer_start(&w->clock.sched, &w->crash, f->delay_ms, crash_now);
        }
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
    if (res == &pt_res_pods && w->p.pod_lag_ms)
        return between(&w->luck, 0, w->p.pod_lag_ms);
    return chance(&w->luck, w->p.delay) ? between(&w->luck, 1, 2000) : 0;
}

static int admit(void *arg, const struct pt_resource *res, struct pt_str object, struct pt_str old, struct pt_buf *out, struct pt_err *err)
{
    (void)arg;
    (void)old;
    return res == &pt_res_modeldeployments ? pt_spec_admit(object, out, err) : PT_OK;
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
        w->p.stale_ms = 180000;
    }
    if (chance(r, 0.4)) {
        w->p.crash_at = between(r, 1, 60);
        w->p.crash_before = chance(r, 0.5);
    }
}

/* --- a schedule ---------------------------------------------------------------------------------------------------------- */

static void run_until(struct world *w, int64_t end_ms)
{
    while (!w->broken && pt_vsched_step(&w->clock, end_ms)) {
        uint64_t writes = pt_memapi_writes(w->api);
        if (writes == w->seen_writes)
            continue;
        w->seen_writes = writes;
        kubelet_observe(w);
        check_now(w);
    }
}

bool world_run(struct world *w, uint64_t seed, bool logging)
{
    struct pt_err err;
    *w = (struct world){.seed = seed, .faults = true, .logging = logging};
    pt_rand_init(&w->rand, seed * 2);
    pt_rand_init(&w->luck, seed * 2 + 1);
    pt_vsched_init(&w->clock, 1700000000000);
    draw_profile(w);
    struct pt_memapi_options o = {.sched = &w->clock.sched, .seed = seed, .history = (unsigned)between(&w->luck, 20, 300), .gc_delay_ms = between(&w->luck, 0, 500),
                                  .latency_ms = between(&w->luck, 0, 5), .admit = admit, .hooks = {w, on_request, NULL, on_event}};
    if (pt_memapi_create(&o, &w->api, &err) < 0) {
        world_break(w, "memapi: %s", err.msg);
        return false;
    }
    start_operator(w);
    user_start(w);
    while (!w->broken && (w->actions_left > 0 || w->clock.now == 0))
        run_until(w, w->clock.now + MINUTE_MS);
    user_settle(w);
    w->faults = false;
    w->p.crash_at = 0;
    if (!w->op && !pt_timer_running(&w->restart))
        start_operator(w);
    world_log(w, "faults stop");
    run_until(w, w->clock.now + 30 * MINUTE_MS);
    check_end(w);
    uint64_t writes = pt_memapi_writes(w->api);
    run_until(w, w->clock.now + 60 * MINUTE_MS);
    if (pt_memapi_writes(w->api) != writes)
        world_break(w, "%llu writes in an hour in which nothing happened", (unsigned long long)(pt_memapi_writes(w->api) - writes));
    return !w->broken;
}

void world_finish(struct world *w)
{
    pt_operator_destroy(w->op);
    kubelet_finish(w);
    pt_timer_stop(&w->clock.sched, &w->crash);
    pt_timer_stop(&w->clock.sched, &w->restart);
    pt_timer_stop(&w->clock.sched, &w->user);
    pt_memapi_destroy(w->api);
    pt_buf_finish(&w->timeline);
    pt_sched_finish(&w->clock.sched);
}
