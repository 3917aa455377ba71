/* SPDX-License-Identifier: Apache-2.0
 *
 * watch.c: a watch is a cursor into the history of its resource type. What falls out of the history before it was delivered
 * ends the watch with 410, as on a server; so nothing is queued per watch.
 */
#include "operator/memapi/internal.h"

#include <stdio.h>

struct pt_mem_watch {
    struct pt_memapi *m;
    struct pt_mem_type *t;
    struct pt_mem_watch *next, **link;
    struct pt_api_call *call;
    pt_watch_event_fn event;
    void *arg;
    void (*ended)(struct pt_api_call *call, const struct pt_api_result *res);
    char *ns, *labels, *fields;
    struct pt_mem_version **initial; /* of a watch without a version: what is there now, as ADDED */
    size_t initial_count, initial_at;
    uint64_t cursor;     /* the next change to deliver */
    uint64_t initial_rv; /* say that it was all, with this version; 0: need not */
    bool behind;         /* asked for a version that the history no longer reaches */
    bool drawn;          /* the hook was asked for the change at cursor */
    struct pt_timer deliver, tick;
    int64_t ends_ms; /* -1: cut */
    bool busy, dead; /* in event(); stopped from in there */
    bool paused;
};

#define BURST 64

static void tick(struct pt_timer *t);
static void deliver(struct pt_timer *t);

static void end(struct pt_mem_watch *w, int code, const char *message)
{
    struct pt_api_result res = {.http = 200, .retry_after_ms = -1};
    if (code != PT_OK)
        pt_fail(&res.err, code, "%s", message);
    struct pt_api_call *call = w->call;
    void (*ended)(struct pt_api_call *, const struct pt_api_result *) = w->ended;
    pt_mem_watch_stop(w);
    ended(call, &res);
}

void pt_mem_watch_stop(struct pt_mem_watch *w)
{
    if (!w)
        return;
    pt_timer_stop(w->m->o.sched, &w->deliver);
    pt_timer_stop(w->m->o.sched, &w->tick);
    if (w->link) {
        *w->link = w->next;
        if (w->next)
            w->next->link = w->link;
        w->link = NULL;
    }
    if (w->busy) {
        w->dead = true;
        return;
    }
    for (size_t i = w->initial_at; i < w->initial_count; i++)
        pt_mem_version_release(w->initial[i]);
    pt_free(w->initial);
    pt_free(w->ns);
    pt_free(w->labels);
    pt_free(w->fields);
    pt_free(w);
}

static bool selected(const struct pt_mem_watch *w, const struct pt_mem_version *v)
{
    return pt_mem_selected(v, w->ns, w->labels, w->fields);
}

/* false: the watch was stopped from inside the callback and is gone. */
static bool emit(struct pt_mem_watch *w, enum pt_watch_type type, struct pt_str object)
{
    struct pt_watch_event e = {type, object};
    w->busy = true;
    w->event(w->arg, &e);
    w->busy = false;
    if (!w->dead)
        return true;
    pt_mem_watch_stop(w);
    return false;
}

static bool send_status(struct pt_mem_watch *w, int http, const char *reason, const char *message)
{
    struct pt_mem_answer a = {0};
    pt_mem_fail(&a, http, reason, "%s", message);
    bool alive = emit(w, PT_WATCH_ERROR, (struct pt_str){a.body.data, a.body.len});
    pt_buf_finish(&a.body);
    return alive;
}

static bool send_bookmark(struct pt_mem_watch *w, uint64_t rv, const char *annotations)
{
    const struct pt_resource *r = w->t->res;
    pt_auto_buf b = PT_BUF_INIT(0);
    pt_buf_printf(&b, "{\"kind\":\"%s\",\"apiVersion\":\"%s%s%s\",\"metadata\":{\"resourceVersion\":\"%llu\"%s}}", r->kind, r->group,
                  *r->group ? "/" : "", r->version, (unsigned long long)rv, annotations);
    return b.failed || emit(w, PT_WATCH_BOOKMARK, (struct pt_str){b.data, b.len});
}

/* The event of one change as this watch's selector sees it: entering the selection is ADDED, leaving it DELETED. */
static bool send_change(struct pt_mem_watch *w, const struct pt_mem_change *c)
{
    bool before = c->was && selected(w, c->was), after = !c->deleted && selected(w, c->now);
    if (!before && !after)
        return true;
    enum pt_watch_type type = before && after ? PT_WATCH_MODIFIED : after ? PT_WATCH_ADDED : PT_WATCH_DELETED;
    struct pt_mem_version *v = c->now;
    v->refs++; /* the callback may write, and so push the change out of the ring */
    bool alive = emit(w, type, v->text);
    pt_mem_version_release(v);
    return alive;
}

static void schedule(struct pt_mem_watch *w)
{
    if (pt_timer_running(&w->deliver) || w->paused)
        return;
    bool change = w->initial_at == w->initial_count && !w->behind && !w->initial_rv;
    if (change && w->cursor >= w->t->head)
        return;
    int64_t delay = 0;
    if (change && !w->drawn && w->m->o.hooks.event) {
        w->drawn = true;
        delay = w->m->o.hooks.event(w->m->o.hooks.arg, w->t->res);
        if (delay < 0) {
            w->ends_ms = -1;
            delay = 0;
        }
    }
    pt_timer_start(w->m->o.sched, &w->deliver, delay, deliver);
}

/* The next event. false: the watch is gone. */
static bool deliver_one(struct pt_mem_watch *w)
{
    if (w->ends_ms < 0) {
        end(w, PT_EIO, "watch: the connection was cut");
        return false;
    }
    uint64_t oldest = w->t->head > w->m->o.history ? w->t->head - w->m->o.history : 0;
    if (w->behind || w->cursor < oldest) {
        if (send_status(w, 410, "Expired", "too old resource version"))
            end(w, PT_OK, "");
        return false;
    }
    bool alive;
    if (w->initial_at < w->initial_count) {
        struct pt_mem_version *v = w->initial[w->initial_at++];
        alive = emit(w, PT_WATCH_ADDED, v->text);
        pt_mem_version_release(v);
    } else if (w->initial_rv) {
        uint64_t rv = w->initial_rv;
        w->initial_rv = 0;
        alive = w->m->o.watchlist == PT_WATCHLIST_ENDLESS || send_bookmark(w, rv, ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}");
    } else {
        w->drawn = false;
        alive = send_change(w, &w->t->ring[w->cursor++ % w->m->o.history]);
    }
    return alive;
}

/* What the timer was started for may have been delivered since, in the turn that a write was answered in. */
static bool is_due(const struct pt_mem_watch *w)
{
    return w->ends_ms < 0 || w->behind || (!w->paused && (w->initial_at < w->initial_count || w->initial_rv || w->cursor < w->t->head));
}

/* Where nobody delays events one by one, several in a turn: who watches must not fall behind those who write. */
static void deliver(struct pt_timer *t)
{
    struct pt_mem_watch *w = (struct pt_mem_watch *)((char *)t - offsetof(struct pt_mem_watch, deliver));
    for (int left = w->m->o.hooks.event ? 1 : BURST; left > 0 && is_due(w); left--)
        if (!deliver_one(w))
            return;
    schedule(w);
}

void pt_mem_watch_pause(struct pt_mem_watch *w, bool pause)
{
    w->paused = pause;
    if (!pause)
        schedule(w);
}

void pt_mem_watch_wake(struct pt_mem_type *t)
{
    for (struct pt_mem_watch *w = t->watches; w; w = w->next)
        schedule(w);
}

/* The next bookmark, or the end when that comes first. */
static void next_tick(struct pt_mem_watch *w, int64_t left_ms)
{
    pt_timer_start(w->m->o.sched, &w->tick, left_ms < w->m->o.bookmark_ms ? left_ms : w->m->o.bookmark_ms, tick);
}

static void tick(struct pt_timer *t)
{
    struct pt_mem_watch *w = (struct pt_mem_watch *)((char *)t - offsetof(struct pt_mem_watch, tick));
    int64_t now = pt_now_ms(w->m->o.sched);
    if (now >= w->ends_ms) {
        end(w, PT_OK, "");
        return;
    }
    if (w->initial_at == w->initial_count && w->cursor == w->t->head && !w->behind && !w->initial_rv && !send_bookmark(w, w->m->rv, ""))
        return; /* nothing of this type is newer than what was delivered */
    next_tick(w, w->ends_ms - now);
}

static int take_initial(struct pt_mem_watch *w, struct pt_err *err)
{
    void *v;
    w->initial = pt_reallocarray(NULL, w->t->objects.count + 1, sizeof(void *));
    if (!w->initial)
        return pt_fail(err, PT_ENOMEM, "watch: out of memory");
    for (size_t i = 0; pt_map_next(&w->t->objects, &i, NULL, &v);) {
        struct pt_mem_version *now = ((struct pt_mem_object *)v)->now;
        if (!selected(w, now))
            continue;
        now->refs++;
        w->initial[w->initial_count++] = now;
    }
    w->cursor = w->t->head;
    return PT_OK;
}

static int place(struct pt_mem_watch *w, const char *rv, struct pt_err *err)
{
    int64_t from = 0;
    if (!rv || !*rv || !strcmp(rv, "0"))
        return take_initial(w, err);
    if (pt_parse_i64(pt_str(rv), 0, INT64_MAX, "resourceVersion", &from, err) < 0)
        return PT_EINVAL;
    if ((uint64_t)from > w->m->rv)
        return pt_fail(err, PT_ETIMEDOUT, "Too large resource version: %s, current: %llu", rv, (unsigned long long)w->m->rv);
    w->behind = (uint64_t)from < w->t->lost_rv;
    w->cursor = w->t->head;
    uint64_t oldest = w->t->head > w->m->o.history ? w->t->head - w->m->o.history : 0;
    while (w->cursor > oldest && w->t->ring[(w->cursor - 1) % w->m->o.history].rv > (uint64_t)from)
        w->cursor--;
    return PT_OK;
}

int pt_mem_watch_start(struct pt_memapi *m, const struct pt_api_request *req, struct pt_api_call *call, pt_watch_event_fn event, void *arg,
                       void (*ended)(struct pt_api_call *call, const struct pt_api_result *res), struct pt_mem_watch **out, struct pt_err *err)
{
    struct pt_mem_type *t = pt_mem_type_of(m, req->resource);
    struct pt_mem_watch *w = pt_calloc(1, sizeof *w);
    if (!w)
        return pt_fail(err, PT_ENOMEM, "watch: out of memory");
    *w = (struct pt_mem_watch){.m = m, .t = t, .call = call, .event = event, .arg = arg, .ended = ended};
    if ((req->ns && !(w->ns = pt_strdup(req->ns))) || (req->label_selector && !(w->labels = pt_strdup(req->label_selector))) ||
        (req->field_selector && !(w->fields = pt_strdup(req->field_selector)))) {
        pt_mem_watch_stop(w);
        return pt_fail(err, PT_ENOMEM, "watch: out of memory");
    }
    int rc = pt_mem_check_selectors(t, w->labels, w->fields, err);
    if (rc == PT_OK && req->initial_events && m->o.watchlist == PT_WATCHLIST_REFUSED)
        rc = pt_fail(err, PT_EINVAL, "sendInitialEvents: Forbidden: is forbidden for watch unless the WatchList feature gate is enabled");
    if (rc == PT_OK)
        rc = place(w, req->initial_events ? NULL : req->resource_version, err);
    if (req->initial_events)
        w->initial_rv = m->rv;
    if (rc < 0) {
        pt_mem_watch_stop(w);
        return rc;
    }
    int64_t timeout = req->timeout_ms ? req->timeout_ms : 300000 + pt_rand_below(&m->rand, 300000);
    w->ends_ms = pt_now_ms(m->o.sched) + timeout;
    w->link = &t->watches;
    w->next = t->watches;
    if (w->next)
        w->next->link = &w->next;
    t->watches = w;
    next_tick(w, timeout);
    *out = w;
    schedule(w);
    return PT_OK;
}

void pt_memapi_cut_watches(struct pt_memapi *m, const struct pt_resource *res, bool with_410)
{
    for (struct pt_mem_type *t = m->types; t; t = t->next)
        for (struct pt_mem_watch *w = res && t->res != res ? NULL : t->watches; w; w = w->next) {
            w->behind = with_410;
            if (!with_410)
                w->ends_ms = -1;
            pt_timer_start(m->o.sched, &w->deliver, 0, deliver);
        }
}
