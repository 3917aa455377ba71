/* SPDX-License-Identifier: Apache-2.0
 *
 * reflector.c: see reflector.h. Two states, listing and watching, and one timer for the waits between; every end of a call goes
 * through list_done() or watch_done(), which decide what is next. With WatchList the list is the first part of the watch: what comes before its end
 * is collected as pages are, and taken in at once. Whatever goes wrong with that, the same attempt goes on with a list; a server that refuses is not
 * asked again.
 *
 * Lists are consistent reads (resourceVersion unset) and a list older than what was seen is refused, so the store never goes back in time even
 * when the API server behind the address changes to one that lags.
 */
#include "operator/ctrl/reflector.h"
#include "operator/ctrl/obj.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>

#define PAGE 500
#define BACKOFF_MS 800
#define BACKOFF_MAX_MS 30000
#define BACKOFF_FORGET_MS 120000
#define WATCH_MIN_MS 300000 /* timeout of a stream: random in [5 min, 10 min) */
#define GUARD_MS 10000      /* past its timeout a silent stream is dead */
#define SHORT_WATCH_MS 1000
#define IN_VAIN_MS 30000 /* a watch of a new list lasts longer than that before its version expires */
#define INITIAL_MS 60000 /* for all of what there is to come */

struct pt_reflector {
    struct pt_reflector_options o;
    char *ns, *labels, *fields;
    struct pt_rand rand;
    struct pt_timer timer; /* until the next list or watch; while watching: the guard */
    struct pt_api_call *call;
    bool initial;      /* this stream begins with a list, which has not ended yet */
    bool no_watchlist; /* the server does not know that */
    bool unpaged;      /* the server forgot our place in a list: ask for all at once */
    struct pt_object **page;
    size_t count, room;
    char *token, *page_of; /* of the next page; of the one that is being read */
    uint64_t list_rv;
    int64_t watch_started_ms, guard_ms, failed_ms, backoff_ms;
    bool down; /* more than one try has failed */
    struct pt_outage outage;
    uint64_t events;   /* of this stream */
    uint64_t start_rv; /* what this stream began at */
    bool expired;      /* the stream said so in an ERROR event */
    int error;         /* or the code of another one; 0: none */
    bool fresh;        /* nothing has come since the last list */
    bool told;         /* synced() was called */
    struct pt_metric *m_lists, *m_watches, *m_short, *m_objects, *m_version, *m_heard;
};

#define GAUGE PT_GAUGE, "name", NULL, 0
#define COUNTER PT_COUNTER, "name", NULL, 0
static const struct pt_metric_family
    f_lists = {"reflector_lists_total", "Lists made by the reflectors", COUNTER},
    f_watches = {"reflector_watches_total", "Watches started by the reflectors", COUNTER},
    f_short = {"reflector_short_watches_total", "Watches that ended at once without an event", COUNTER},
    f_objects = {"pintle_cache_objects", "Objects in the local store", GAUGE},
    f_version = {"pintle_cache_resource_version", "The resourceVersion that the local store has reached", GAUGE},
    f_heard = {"pintle_cache_heard_timestamp_seconds", "When the server last told something of these objects, if only by a bookmark", GAUGE};

static void list(struct pt_reflector *r);
static void watch(struct pt_reflector *r, bool initial);
static void take_list(struct pt_reflector *r);
static bool only_connection(int code);

static struct pt_reflector *of_timer(struct pt_timer *t)
{
    return (struct pt_reflector *)((char *)t - offsetof(struct pt_reflector, timer));
}
static void list_now(struct pt_timer *t)
{
    list(of_timer(t));
}
static void watch_now(struct pt_timer *t)
{
    watch(of_timer(t), false);
}
/* A list, one way or the other. */
static void begin_now(struct pt_timer *t)
{
    struct pt_reflector *r = of_timer(t);
    if (r->no_watchlist)
        list(r);
    else
        watch(r, true);
}

int pt_reflector_create(const struct pt_reflector_options *o, struct pt_reflector **out, struct pt_err *err)
{
    struct pt_reflector *r = pt_calloc(1, sizeof *r);
    if (!r)
        goto no_memory;
    r->o = *o;
    pt_rand_init(&r->rand, o->seed);
    if ((o->ns && !(r->ns = pt_strdup(o->ns))) || (o->label_selector && !(r->labels = pt_strdup(o->label_selector))) ||
        (o->field_selector && !(r->fields = pt_strdup(o->field_selector))))
        goto no_memory;
    if (o->metrics) {
        const char *name = o->store->type->name; /* two may be of one resource */
        r->m_lists = pt_metrics_series(o->metrics, &f_lists, name, NULL);
        r->m_watches = pt_metrics_series(o->metrics, &f_watches, name, NULL);
        r->m_short = pt_metrics_series(o->metrics, &f_short, name, NULL);
        r->m_objects = pt_metrics_series(o->metrics, &f_objects, name, NULL);
        r->m_version = pt_metrics_series(o->metrics, &f_version, name, NULL);
        r->m_heard = pt_metrics_series(o->metrics, &f_heard, name, NULL);
    }
    *out = r;
    return PT_OK;
no_memory:
    pt_reflector_destroy(r);
    return pt_fail(err, PT_ENOMEM, "create reflector of %s: out of memory", o->resource->plural);
}

static void drop_pages(struct pt_reflector *r)
{
    for (size_t i = 0; i < r->count; i++)
        r->o.store->type->free(r->page[i]);
    r->count = 0;
    pt_free(pt_steal(r->token));
    pt_free(pt_steal(r->page_of));
}

void pt_reflector_destroy(struct pt_reflector *r)
{
    if (!r)
        return;
    if (r->call)
        pt_api_cancel(r->o.api, r->call);
    pt_timer_stop(r->o.sched, &r->timer);
    drop_pages(r);
    pt_free(r->page);
    pt_free(r->ns);
    pt_free(r->labels);
    pt_free(r->fields);
    pt_free(r);
}

struct pt_outage pt_reflector_outage(const struct pt_reflector *r)
{
    return r->outage;
}

void pt_reflector_start(struct pt_reflector *r)
{
    pt_timer_start(r->o.sched, &r->timer, 0, begin_now);
}

/* Something failed: wait before the next list or watch. */
static void back_off(struct pt_reflector *r, const struct pt_api_result *res, const char *doing, pt_timer_fn next)
{
    int64_t now = pt_now_ms(r->o.sched);
    bool first = !r->backoff_ms || now - r->failed_ms > BACKOFF_FORGET_MS;
    if (first && !r->down)
        r->outage.since_ms = now;
    r->down |= !first && res && only_connection(res->err.code); /* not where it answers and refuses us alone */
    r->outage.lasts = r->down;
    if (first)
        r->backoff_ms = BACKOFF_MS;
    else
        r->backoff_ms = r->backoff_ms * 2 < BACKOFF_MAX_MS ? r->backoff_ms * 2 : BACKOFF_MAX_MS;
    r->failed_ms = now;
    int64_t delay = r->backoff_ms + (int64_t)(pt_rand_unit(&r->rand) * (double)r->backoff_ms);
    if (res && res->retry_after_ms > delay)
        delay = res->retry_after_ms < 10 * BACKOFF_MAX_MS ? res->retry_after_ms : 10 * BACKOFF_MAX_MS;
    char ms[24];
    pt_log(PT_LOG_WARN, doing, "resource", r->o.resource->plural, "error", res ? res->err.msg : "", "retry_ms", pt_log_int(ms, delay), NULL);
    pt_timer_start(r->o.sched, &r->timer, delay, next);
}

static struct pt_api_request request(const struct pt_reflector *r, enum pt_verb verb)
{
    return (struct pt_api_request){
        .verb = verb, .resource = r->o.resource, .ns = r->ns, .label_selector = r->labels, .field_selector = r->fields, .grace_seconds = -1};
}

/* --- list -------------------------------------------------------------------------------------------------------------- */

static bool decode(struct pt_reflector *r, struct pt_str json, struct pt_object **out)
{
    struct pt_err err;
    if (pt_store_decode(r->o.store, json, out, &err) == PT_OK)
        return true;
    pt_log(PT_LOG_ERROR, "object not understood, left out", "resource", r->o.resource->plural, "error", err.msg, NULL);
    return false;
}

static int take_item(struct pt_reflector *r, struct pt_str json, struct pt_err *err)
{
    struct pt_obj_identity id;
    if (pt_obj_identify(json, &id) && pt_store_confirm(r->o.store, id.ns, id.name, id.rv))
        return PT_OK;
    if (r->count == r->room) {
        size_t room = r->room ? r->room * 2 : 64;
        struct pt_object **page = pt_reallocarray(r->page, room, sizeof *page);
        if (!page)
            return pt_fail(err, PT_ENOMEM, "list: out of memory");
        r->page = page;
        r->room = room;
    }
    struct pt_object *o;
    if (decode(r, json, &o))
        r->page[r->count++] = o;
    return PT_OK;
}

static int take_meta(struct pt_reflector *r, struct pt_str json, struct pt_err *err)
{
    pt_auto_obj *meta = NULL;
    if (pt_obj_parse(json, "list metadata", &meta, err) < 0)
        return err->code;
    const char *rv = pt_obj_str(meta, "resourceVersion"), *token = pt_obj_str(meta, "continue");
    int64_t n = 0;
    if (!rv || pt_parse_i64(pt_str(rv), 0, INT64_MAX, "resourceVersion", &n, err) < 0)
        return pt_fail(err, PT_EPARSE, "list: no usable resourceVersion");
    r->list_rv = (uint64_t)n;
    if (token && *token && r->page_of && !strcmp(token, r->page_of))
        return pt_fail(err, PT_EPARSE, "list: a page says that it is itself the next one");
    if (token && *token && !(r->token = pt_strdup(token)))
        return pt_fail(err, PT_ENOMEM, "list: out of memory");
    return PT_OK;
}

static int take_page(struct pt_reflector *r, struct pt_str body, struct pt_err *err)
{
    struct pt_json j;
    struct pt_str key, raw;
    bool has_meta = false;
    int more, rc;
    pt_free(r->page_of);
    r->page_of = pt_steal(r->token);
    pt_json_init(&j, body.p, body.len);
    if ((rc = pt_json_object(&j, err)) < 0)
        return rc;
    while ((more = pt_json_member(&j, &key, err)) == 1) {
        if (pt_json_key_is(&key, "metadata")) {
            has_meta = true;
            if ((rc = pt_json_value(&j, &raw, err)) < 0 || (rc = take_meta(r, raw, err)) < 0)
                return rc;
        } else if (pt_json_key_is(&key, "items") && pt_json_kind(&j, err) == PT_JSON_ARRAY) {
            if ((rc = pt_json_array(&j, err)) < 0)
                return rc;
            while ((rc = pt_json_element(&j, err)) == 1)
                if ((rc = pt_json_value(&j, &raw, err)) < 0 || (rc = take_item(r, raw, err)) < 0)
                    return rc;
            if (rc < 0)
                return rc;
        } else if ((rc = pt_json_skip(&j, err)) < 0) {
            return rc;
        }
    }
    if (more < 0)
        return more;
    return has_meta ? PT_OK : pt_fail(err, PT_EPARSE, "list: no metadata");
}

/* What a dashboard sees of the store. */
static void show(struct pt_reflector *r)
{
    pt_metric_set(r->m_objects, (double)pt_store_count(r->o.store));
    pt_metric_set(r->m_version, (double)r->o.store->rv);
    pt_metric_set(r->m_heard, (double)pt_wall_ms(r->o.sched) / 1000);
}

static int finish_list(struct pt_reflector *r, struct pt_err *err)
{
    if (r->list_rv < r->o.store->rv)
        return pt_fail(err, PT_EUNAVAILABLE, "the server's list is of version %llu, older than %llu seen before", (unsigned long long)r->list_rv,
                       (unsigned long long)r->o.store->rv);
    size_t count = r->count;
    r->count = 0;
    int rc = pt_store_replace(r->o.store, r->page, count, r->list_rv, err);
    r->fresh = true;
    pt_free(pt_steal(r->page)); /* needed again only after a lost watch */
    r->room = 0;
    show(r);
    return rc;
}

/* The store is as the list says: tell, once. */
static void listed(struct pt_reflector *r)
{
    if (r->told || !r->o.synced)
        return;
    r->told = true;
    r->o.synced(r->o.arg);
}

static void list_done(void *arg, const struct pt_api_result *res)
{
    struct pt_reflector *r = arg;
    struct pt_api_result failed = *res;
    r->call = NULL;
    if (res->err.code == PT_OK && take_page(r, res->body, &failed.err) == PT_OK) {
        if (r->token) {
            pt_timer_start(r->o.sched, &r->timer, 0, list_now);
            return;
        }
        if (finish_list(r, &failed.err) == PT_OK) {
            r->unpaged = false;
            pt_timer_start(r->o.sched, &r->timer, 0, watch_now);
            listed(r);
            return;
        }
    }
    bool place_lost = failed.err.code == PT_EGONE && r->token && !r->unpaged;
    drop_pages(r);
    if (place_lost) {
        r->unpaged = true;
        pt_timer_start(r->o.sched, &r->timer, 0, list_now);
        return;
    }
    back_off(r, &failed, "list failed", begin_now);
}

static void list(struct pt_reflector *r)
{
    struct pt_api_request req = request(r, PT_VERB_LIST);
    if (!r->token)
        pt_store_list(r->o.store);
    req.limit = r->unpaged ? 0 : PAGE;
    req.continue_token = r->token;
    req.timeout_ms = 60000;
    struct pt_api_result res = {.retry_after_ms = -1};
    pt_metric_add(r->m_lists, 1);
    if (pt_api_start(r->o.api, &req, list_done, r, &r->call, &res.err) < 0) {
        drop_pages(r);
        back_off(r, &res, "list failed", begin_now);
    }
}

/* --- watch ------------------------------------------------------------------------------------------------------------- */

static uint64_t version_of(const cJSON *o)
{
    const char *rv = pt_obj_str(o, "metadata.resourceVersion");
    int64_t n = 0;
    return rv && pt_parse_i64(pt_str(rv), 0, INT64_MAX, "resourceVersion", &n, NULL) == PT_OK ? (uint64_t)n : 0;
}

/* BOOKMARK: only the version counts. ERROR: a Status; 410 means that the history before us is gone. */
static void take_note(struct pt_reflector *r, const struct pt_watch_event *e)
{
    pt_auto_obj *o = NULL;
    struct pt_err err;
    if (pt_obj_parse(e->object, "watch event", &o, &err) < 0) {
        pt_log(PT_LOG_ERROR, "watch event not understood", "resource", r->o.resource->plural, "error", err.msg, NULL);
        return;
    }
    if (e->type == PT_WATCH_BOOKMARK) {
        uint64_t rv = version_of(o);
        const char *end = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(pt_obj_get(o, "metadata.annotations"), "k8s.io/initial-events-end"));
        if (r->initial) {
            r->list_rv = rv;
            if (end && !strcmp(end, "true"))
                take_list(r);
        } else if (rv > r->o.store->rv)
            r->o.store->rv = rv;
        return;
    }
    const char *message = pt_obj_str(o, "message");
    int64_t code = pt_obj_int(o, "code", 500);
    r->expired |= code == 410;
    r->error = code > 0 && code < 1000 ? (int)code : 500;
    pt_log(PT_LOG_WARN, "watch: the server sent an error", "resource", r->o.resource->plural, "error", message ? message : "", NULL);
}

/* An object of the list that the stream begins with; of several versions of it the store keeps the newest. */
static void take_initial(struct pt_reflector *r, const struct pt_watch_event *e)
{
    struct pt_object *o;
    struct pt_err err;
    if (e->type != PT_WATCH_DELETED) {
        if (take_item(r, e->object, &err) < 0)
            r->expired = true;
        return;
    }
    if (!decode(r, e->object, &o))
        return;
    for (size_t i = r->count; i-- > 0;)
        if (!strcmp(r->page[i]->name, o->name) && !strcmp(r->page[i]->ns, o->ns)) {
            r->o.store->type->free(r->page[i]);
            r->page[i] = r->page[--r->count];
        }
    pt_store_doubt(r->o.store, o->ns, o->name);
    r->o.store->type->free(o);
}

/* What needs no reading of the whole: the echo of a write of ours, which the store has from the answer, and what is gone. */
static bool take_identity(struct pt_reflector *r, const struct pt_watch_event *e)
{
    struct pt_obj_identity id;
    if (!pt_obj_identify(e->object, &id))
        return false;
    if (e->type == PT_WATCH_DELETED) {
        pt_store_delete(r->o.store, id.ns, id.name, id.rv);
        return true;
    }
    const struct pt_object *o = pt_store_get(r->o.store, id.ns, id.name);
    if (!o || o->rv != id.rv)
        return false;
    if (id.rv > r->o.store->rv)
        r->o.store->rv = id.rv;
    return true;
}

static void take_event(struct pt_reflector *r, const struct pt_watch_event *e)
{
    struct pt_object *o;
    struct pt_err err;
    if (e->type == PT_WATCH_BOOKMARK || e->type == PT_WATCH_ERROR) {
        r->events += e->type == PT_WATCH_BOOKMARK;
        take_note(r, e);
        return;
    }
    r->events++;
    if (r->initial) {
        take_initial(r, e);
        return;
    }
    r->fresh = false;
    if (take_identity(r, e))
        return;
    if (!decode(r, e->object, &o))
        return;
    if (e->type == PT_WATCH_DELETED) { /* with a name that is not plain */
        pt_store_delete(r->o.store, o->ns, o->name, o->rv);
        r->o.store->type->free(o);
    } else if (pt_store_put(r->o.store, o, &err) < 0) {
        pt_log(PT_LOG_ERROR, "object lost until the next list", "resource", r->o.resource->plural, "error", err.msg, NULL);
        r->expired = true;
    }
}

static void on_event(void *arg, const struct pt_watch_event *e)
{
    take_event(arg, e);
    show(arg);
}

static bool only_connection(int code)
{
    return code == PT_EBUSY || code == PT_EUNAVAILABLE || code == PT_ETIMEDOUT || code == PT_EIO || code == PT_ECANCELED;
}

static void watch_done(void *arg, const struct pt_api_result *res)
{
    struct pt_reflector *r = arg;
    r->call = NULL;
    pt_timer_stop(r->o.sched, &r->timer);
    if (r->initial) { /* it ended before the list did */
        r->initial = false;
        r->no_watchlist |= res->err.code == PT_EINVAL || res->err.code == PT_EUNSUPPORTED || res->err.code == PT_EMETHOD;
        drop_pages(r);
        if (only_connection(res->err.code)) /* an ordinary list would fare no better */
            back_off(r, res, "watch failed", begin_now);
        else
            pt_timer_start(r->o.sched, &r->timer, 0, list_now);
        return;
    }
    /* Whatever a stream brings that takes us nowhere, a bookmark of where we are, say, must not make us come again in a loop. */
    int64_t lasted_ms = pt_now_ms(r->o.sched) - r->watch_started_ms;
    bool progress = r->o.store->rv > r->start_rv, is_short = !progress && lasted_ms < SHORT_WATCH_MS;
    bool in_vain = r->expired && r->fresh && lasted_ms < IN_VAIN_MS;
    if (progress && !in_vain) /* it worked: what comes now is a new trouble */
        r->backoff_ms = 0;
    r->down &= !r->events && res->err.code != PT_OK;
    if (in_vain) { /* a server that takes each watch back must not make us list in a loop */
        back_off(r, res, "watch: version expired right after its list", begin_now);
    } else if (r->expired) {
        pt_timer_start(r->o.sched, &r->timer, 0, begin_now);
    } else if (r->error) {
        back_off(r, res, "watch ended by an error", r->error == 500 && progress ? watch_now : begin_now);
    } else if (res->err.code == PT_OK && !is_short) {
        pt_timer_start(r->o.sched, &r->timer, 0, watch_now);
    } else if (res->err.code == PT_OK) {
        pt_metric_add(r->m_short, 1);
        back_off(r, res, "very short watch without news", watch_now);
    } else {
        back_off(r, res, "watch failed", only_connection(res->err.code) ? watch_now : begin_now);
    }
}

static void guard(struct pt_timer *t)
{
    struct pt_reflector *r = of_timer(t);
    pt_log(PT_LOG_WARN, "watch cut", "resource", r->o.resource->plural, "reason", r->expired ? "its list was not taken" : "it outlived its timeout",
           NULL);
    pt_api_cancel(r->o.api, pt_steal(r->call));
    if (r->expired) {
        struct pt_api_result res = {.retry_after_ms = -1};
        pt_fail(&res.err, PT_EUNAVAILABLE, "list at the beginning of a watch not taken");
        back_off(r, &res, "watch failed", begin_now);
        return;
    }
    pt_timer_start(r->o.sched, &r->timer, 0, watch_now);
}

/* The end of the list did not come. */
static void initial_late(struct pt_timer *t)
{
    struct pt_reflector *r = of_timer(t);
    pt_log(PT_LOG_WARN, "watch does not say that its list is complete, listing instead", "resource", r->o.resource->plural, NULL);
    pt_api_cancel(r->o.api, pt_steal(r->call));
    r->initial = false;
    r->no_watchlist = true;
    drop_pages(r);
    list(r);
}

static void take_list(struct pt_reflector *r)
{
    struct pt_err err;
    r->initial = false;
    int rc = finish_list(r, &err);
    int64_t left = r->guard_ms - pt_now_ms(r->o.sched);
    pt_timer_start(r->o.sched, &r->timer, left > 0 ? left : 0, guard);
    if (rc == PT_OK) {
        listed(r);
        return;
    }
    pt_log(PT_LOG_WARN, "list at the beginning of a watch not taken", "resource", r->o.resource->plural, "error", err.msg, NULL);
    drop_pages(r);
    r->expired = true; /* the stream is of no use without it */
    pt_timer_start(r->o.sched, &r->timer, 0, guard);
}

static void watch(struct pt_reflector *r, bool initial)
{
    char rv[24];
    snprintf(rv, sizeof rv, "%llu", (unsigned long long)r->o.store->rv);
    struct pt_api_request req = request(r, PT_VERB_LIST);
    req.resource_version = initial ? NULL : rv;
    req.initial_events = initial;
    req.timeout_ms = WATCH_MIN_MS + pt_rand_below(&r->rand, WATCH_MIN_MS);
    if (initial)
        pt_store_list(r->o.store);
    r->initial = initial;
    r->guard_ms = pt_now_ms(r->o.sched) + req.timeout_ms + GUARD_MS;
    struct pt_api_result res = {.retry_after_ms = -1};
    r->events = 0;
    r->expired = false;
    r->error = 0;
    r->start_rv = r->o.store->rv;
    r->watch_started_ms = pt_now_ms(r->o.sched);
    if (r->down)
        r->outage = (struct pt_outage){r->outage.since_ms, r->watch_started_ms, false}; /* as far as we know yet */
    pt_metric_add(r->m_watches, 1);
    if (pt_api_watch(r->o.api, &req, on_event, watch_done, r, &r->call, &res.err) < 0)
        back_off(r, &res, "watch failed", initial ? begin_now : watch_now);
    else if (initial)
        pt_timer_start(r->o.sched, &r->timer, INITIAL_MS, initial_late);
    else
        pt_timer_start(r->o.sched, &r->timer, req.timeout_ms + GUARD_MS, guard);
}
