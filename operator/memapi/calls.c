/* SPDX-License-Identifier: Apache-2.0
 *
 * calls.c: the asynchronous face of memapi, its faults, and its life.
 *
 * A call has two timers: when it is carried out, and when its caller hears of it. They are independent, so a write can happen after its caller
 * has given up, as on a network. A cancelled call whose time to be carried out has not come is still carried out: it was sent.
 */
#include "operator/memapi/internal.h"

#include <stdio.h>

struct pt_api_call {
    struct pt_memapi *m;
    struct pt_api_call *next, **link;
    struct pt_api_request req; /* strings in arena */
    struct pt_arena arena;
    struct pt_memapi_fault fault;
    bool is_watch, executed, heard;
    pt_api_done_fn done;
    pt_watch_event_fn event;
    void *arg;
    struct pt_timer execute, hear;
    struct pt_mem_answer answer;
    struct pt_mem_watch *watch;
};

static void free_call(struct pt_api_call *c)
{
    pt_timer_stop(c->m->o.sched, &c->execute);
    pt_timer_stop(c->m->o.sched, &c->hear);
    pt_mem_watch_stop(c->watch);
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    pt_buf_finish(&c->answer.body);
    pt_arena_finish(&c->arena);
    pt_free(c);
}

void pt_mem_call_pause(struct pt_api_call *c, bool pause)
{
    if (c->watch)
        pt_mem_watch_pause(c->watch, pause);
}

static void settle(struct pt_api_call *c)
{
    if (c->executed && c->heard && !c->watch)
        free_call(c);
}

static void report(struct pt_api_call *c, const struct pt_api_result *res)
{
    pt_api_done_fn done = c->done;
    void *arg = c->arg;
    c->heard = true;
    c->done = NULL;
    if (done)
        done(arg, res);
    settle(c);
}

static void gave_up(struct pt_api_call *c)
{
    struct pt_api_result res = {.retry_after_ms = -1};
    pt_fail(&res.err, PT_ETIMEDOUT, "no answer in time; the request may have been carried out or not");
    report(c, &res);
}

static void hear(struct pt_timer *t)
{
    struct pt_api_call *c = (struct pt_api_call *)((char *)t - offsetof(struct pt_api_call, hear));
    if (!c->executed || c->fault.lose_request || c->fault.lose_reply) {
        gave_up(c);
        return;
    }
    struct pt_api_result res = {
        .http = c->answer.http, .body = {c->answer.body.data, c->answer.body.len}, .retry_after_ms = -1, .err = c->answer.err};
    memcpy(res.reason, c->answer.reason, sizeof res.reason);
    if (c->fault.http && c->fault.retry_after_s)
        res.retry_after_ms = c->fault.retry_after_s * 1000;
    report(c, &res);
}

static void watch_ended(struct pt_api_call *c, const struct pt_api_result *res)
{
    c->watch = NULL; /* it frees itself */
    report(c, res);
}

static void start_watch(struct pt_api_call *c)
{
    struct pt_err err = {0};
    if (c->heard) { /* cancelled before it began */
        settle(c);
        return;
    }
    if (pt_mem_watch_start(c->m, &c->req, c, c->event, c->arg, watch_ended, &c->watch, &err) < 0) {
        struct pt_api_result res = {.http = pt_err_http(err.code), .retry_after_ms = -1, .err = err};
        report(c, &res);
    }
}

static void carry_out(struct pt_api_call *c)
{
    struct pt_memapi *m = c->m;
    uint64_t before = m->writes;
    pt_mem_execute(m, &c->req, &c->answer);
    if (m->writes != before && m->o.hooks.wrote)
        m->o.hooks.wrote(m->o.hooks.arg, &c->req, c->req.ns, c->req.name);
}

static void answer_fault(struct pt_api_call *c)
{
    const struct pt_memapi_fault *f = &c->fault;
    char details[64];
    pt_mem_fail(&c->answer, f->http, f->reason ? f->reason : "InternalError", "injected fault: HTTP %d", f->http);
    snprintf(details, sizeof details, "{\"retryAfterSeconds\":%d}", f->retry_after_s);
    if (f->retry_after_s)
        pt_mem_details(&c->answer, details);
}

static void execute(struct pt_timer *t)
{
    struct pt_api_call *c = (struct pt_api_call *)((char *)t - offsetof(struct pt_api_call, execute));
    struct pt_memapi_fault *f = &c->fault;
    c->executed = true;
    if (f->http && f->carried_out && !c->is_watch)
        carry_out(c);
    if (f->http) {
        answer_fault(c);
    } else if (c->is_watch && !f->lose_request) {
        start_watch(c);
        return;
    } else if (!f->lose_request) {
        carry_out(c);
    }
    if (c->heard)
        settle(c);
    else if (!f->lose_request && !f->lose_reply)
        pt_timer_start(c->m->o.sched, &c->hear, f->reply_delay_ms, hear);
}

static const char *copy(struct pt_arena *a, const char *s, bool *failed)
{
    char *p = s ? pt_arena_strndup(a, s, strlen(s)) : NULL;
    *failed |= s && !p;
    return p;
}

static int copy_request(struct pt_api_call *c, const struct pt_api_request *r, struct pt_err *err)
{
    bool failed = false;
    pt_arena_init(&c->arena, 0);
    c->req = *r;
    c->req.ns = copy(&c->arena, r->ns, &failed);
    c->req.name = copy(&c->arena, r->name, &failed);
    c->req.subresource = copy(&c->arena, r->subresource, &failed);
    c->req.label_selector = copy(&c->arena, r->label_selector, &failed);
    c->req.field_selector = copy(&c->arena, r->field_selector, &failed);
    c->req.resource_version = copy(&c->arena, r->resource_version, &failed);
    c->req.uid = copy(&c->arena, r->uid, &failed);
    c->req.field_manager = copy(&c->arena, r->field_manager ? r->field_manager : "pintle-operator", &failed);
    c->req.propagation = copy(&c->arena, r->propagation, &failed);
    c->req.continue_token = copy(&c->arena, r->continue_token, &failed);
    if (r->body.len) {
        c->req.body.p = pt_arena_strndup(&c->arena, r->body.p, r->body.len);
        failed |= !c->req.body.p;
    }
    return failed ? pt_fail(err, PT_ENOMEM, "API call: out of memory") : PT_OK;
}

static int begin(struct pt_memapi *m, const struct pt_api_request *req, bool is_watch, pt_watch_event_fn event, pt_api_done_fn done, void *arg,
                 struct pt_api_call **out, struct pt_err *err)
{
    struct pt_api_call *c = pt_calloc(1, sizeof *c);
    if (!c)
        return pt_fail(err, PT_ENOMEM, "API call: out of memory");
    c->m = m;
    if (copy_request(c, req, err) < 0) {
        pt_arena_finish(&c->arena);
        pt_free(c);
        return PT_ENOMEM;
    }
    c->is_watch = is_watch;
    c->event = event;
    c->done = done;
    c->arg = arg;
    c->link = &m->calls;
    c->next = m->calls;
    if (c->next)
        c->next->link = &c->next;
    m->calls = c;
    if (m->o.hooks.request)
        m->o.hooks.request(m->o.hooks.arg, req, is_watch, &c->fault);
    pt_timer_start(m->o.sched, &c->execute, m->o.latency_ms + c->fault.delay_ms, execute);
    if (!is_watch || c->fault.lose_request)
        pt_timer_start(m->o.sched, &c->hear, req->timeout_ms && !is_watch ? req->timeout_ms : 30000, hear);
    if (out)
        *out = c;
    return PT_OK;
}

static int api_start(struct pt_api *api, const struct pt_api_request *req, pt_api_done_fn done, void *arg, struct pt_api_call **out,
                     struct pt_err *err)
{
    return begin((struct pt_memapi *)api, req, false, NULL, done, arg, out, err);
}

static int api_watch(struct pt_api *api, const struct pt_api_request *req, pt_watch_event_fn event, pt_api_done_fn done, void *arg,
                     struct pt_api_call **out, struct pt_err *err)
{
    struct pt_memapi *m = (struct pt_memapi *)api;
    if (!pt_mem_type_of(m, req->resource))
        return pt_fail(err, PT_ENOTFOUND, "watch %s: no such resource", req->resource->plural);
    return begin(m, req, true, event, done, arg, out, err);
}

static void api_cancel(struct pt_api *api, struct pt_api_call *c)
{
    (void)api;
    if (!c || c->heard)
        return;
    c->heard = true;
    c->done = NULL;
    pt_timer_stop(c->m->o.sched, &c->hear);
    pt_mem_watch_stop(c->watch);
    c->watch = NULL;
    settle(c);
}

static const struct pt_api_ops ops = {api_start, api_watch, api_cancel};

/* --- life ---------------------------------------------------------------------------------------------------------------- */

int pt_memapi_register(struct pt_memapi *m, const struct pt_resource *res, bool has_status, struct pt_err *err)
{
    struct pt_mem_type *t = pt_calloc(1, sizeof *t);
    if (!t || !(t->ring = pt_calloc(m->o.history, sizeof *t->ring))) {
        pt_free(t);
        return pt_fail(err, PT_ENOMEM, "register %s: out of memory", res->plural);
    }
    t->res = res;
    t->has_status = has_status;
    t->next = m->types;
    m->types = t;
    return PT_OK;
}

int pt_memapi_create(const struct pt_memapi_options *o, struct pt_memapi **out, struct pt_err *err)
{
    static const struct {
        const struct pt_resource *res;
        bool has_status;
    } known[] = {{&pt_res_modeldeployments, true},
                 {&pt_res_pods, true},
                 {&pt_res_services, true},
                 {&pt_res_controllerrevisions, false},
                 {&pt_res_events, false},
                 {&pt_res_secrets, false},
                 {&pt_res_configmaps, false},
                 {&pt_res_tokenreviews, false},
                 {&pt_res_poddisruptionbudgets, true},
                 {&pt_res_leases, false},
                 {&pt_res_endpointslices, false}};
    struct pt_memapi *m = pt_calloc(1, sizeof *m);
    if (!m)
        return pt_fail(err, PT_ENOMEM, "create memapi: out of memory");
    m->api.ops = &ops;
    m->o = *o;
    m->rv = 1; /* 0 means "any version" to those who list and watch */
    if (!m->o.history)
        m->o.history = 1024;
    if (!m->o.bookmark_ms)
        m->o.bookmark_ms = 60000;
    pt_rand_init(&m->rand, o->seed);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (pt_memapi_register(m, known[i].res, known[i].has_status, err) < 0) {
            pt_memapi_destroy(m);
            return err ? err->code : PT_ENOMEM;
        }
    if (o->managed_fields && pt_mem_define(m, err) < 0) {
        pt_memapi_destroy(m);
        return err ? err->code : PT_ENOMEM;
    }
    *out = m;
    return PT_OK;
}

static void free_type(struct pt_memapi *m, struct pt_mem_type *t)
{
    void *v;
    for (size_t i = 0; pt_map_next(&t->objects, &i, NULL, &v);) {
        struct pt_mem_object *o = v;
        pt_mem_version_release(o->now);
        pt_free(o->applied);
        pt_free(o);
    }
    pt_map_finish(&t->objects);
    for (size_t i = 0; i < m->o.history && i < t->head; i++) {
        pt_mem_version_release(t->ring[i].was);
        pt_mem_version_release(t->ring[i].now);
    }
    pt_free(t->ring);
    pt_free(t);
}

void pt_memapi_destroy(struct pt_memapi *m)
{
    if (!m)
        return;
    while (m->calls)
        free_call(m->calls);
    pt_timer_stop(m->o.sched, &m->gc);
    for (size_t i = 0; i < PT_MEM_TREES; i++)
        pt_mem_version_release(m->trees[i]);
    while (m->types) {
        struct pt_mem_type *t = m->types;
        m->types = t->next;
        free_type(m, t);
    }
    void *v;
    for (size_t i = 0; pt_map_next(&m->tokens, &i, NULL, &v);)
        pt_free(v);
    pt_map_finish(&m->tokens);
    pt_obj_free(m->definitions);
    pt_map_finish(&m->uids);
    pt_map_finish(&m->owned);
    pt_buf_finish(&m->orphans_of);
    pt_free(m);
}

struct pt_api *pt_memapi_api(struct pt_memapi *m)
{
    return &m->api;
}

int pt_memapi_do(struct pt_memapi *m, const struct pt_api_request *req, struct pt_buf *out, struct pt_err *err)
{
    struct pt_mem_answer a = {0};
    struct pt_api_request r = *req;
    if (!r.field_manager)
        r.field_manager = "pintle-operator";
    pt_mem_execute(m, &r, &a);
    if (out)
        pt_buf_append(out, a.body.data, a.body.len);
    pt_buf_finish(&a.body);
    if (a.err.code && err)
        *err = a.err;
    return a.http;
}

struct pt_str pt_memapi_peek(struct pt_memapi *m, const struct pt_resource *res, const char *ns, const char *name)
{
    struct pt_mem_type *t = pt_mem_type_of(m, res);
    struct pt_mem_object *o = t ? pt_mem_find(t, ns, name) : NULL;
    return o ? o->now->text : (struct pt_str){NULL, 0};
}

const cJSON *pt_memapi_tree(struct pt_memapi *m, const struct pt_resource *res, const char *ns, const char *name)
{
    struct pt_mem_type *t = pt_mem_type_of(m, res);
    struct pt_mem_object *o = t ? pt_mem_find(t, ns, name) : NULL;
    return o ? pt_mem_read(m, o->now, NULL) : NULL;
}

void pt_memapi_each(struct pt_memapi *m, const struct pt_resource *res, pt_memapi_each_fn fn, void *arg)
{
    struct pt_mem_type *t = pt_mem_type_of(m, res);
    void *v;
    for (size_t i = 0; t && pt_map_next(&t->objects, &i, NULL, &v);) {
        struct pt_mem_version *now = ((struct pt_mem_object *)v)->now;
        fn(arg, now->ns, now->name, now->text);
    }
}

uint64_t pt_memapi_writes(const struct pt_memapi *m)
{
    return m->writes;
}
