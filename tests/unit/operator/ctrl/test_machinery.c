/* SPDX-License-Identifier: Apache-2.0
 *
 * Store, reflector and events, on virtual time; the API behind the last two is memapi.
 */
#include "base/log.h"
#include "base/mem.h"
#include "operator/ctrl/events.h"
#include "operator/ctrl/obj.h"
#include "operator/ctrl/reflector.h"
#include "operator/memapi/memapi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* --- a type of objects --------------------------------------------------------------------------------------------------- */

struct thing {
    struct pt_object o;
    char ns[16], name[32], uid[64], owner[64];
};
static int added, updated, deleted, decoded;

static int thing_decode(struct pt_str json, struct pt_object **out, struct pt_err *err)
{
    cJSON *tree = NULL;
    if (pt_obj_parse(json, "thing", &tree, err) < 0)
        return PT_EPARSE;
    decoded++;
    struct thing *t = calloc(1, sizeof *t);
    const char *owner = pt_obj_str(cJSON_GetArrayItem(pt_obj_get(tree, "metadata.ownerReferences"), 0), "uid");
    snprintf(t->ns, sizeof t->ns, "%s", pt_obj_str(tree, "metadata.namespace"));
    snprintf(t->name, sizeof t->name, "%s", pt_obj_str(tree, "metadata.name"));
    snprintf(t->uid, sizeof t->uid, "%s", pt_obj_str(tree, "metadata.uid"));
    snprintf(t->owner, sizeof t->owner, "%s", owner ? owner : "");
    t->o = (struct pt_object){.ns = t->ns,
                              .name = t->name,
                              .uid = t->uid,
                              .owner_uid = owner ? t->owner : NULL,
                              .rv = strtoull(pt_obj_str(tree, "metadata.resourceVersion"), NULL, 10)};
    cJSON_Delete(tree);
    *out = &t->o;
    return PT_OK;
}
static void thing_free(struct pt_object *o)
{
    free(o);
}
static void thing_changed(void *arg, enum pt_change change, struct pt_object *was, struct pt_object *is, bool initial)
{
    (void)arg;
    (void)initial;
    assert_true((was != NULL) == (change != PT_ADDED) && (is != NULL) == (change != PT_DELETED));
    added += change == PT_ADDED;
    updated += change == PT_UPDATED;
    deleted += change == PT_DELETED;
}
static const struct pt_store_type things = {"things", thing_decode, NULL, thing_free, thing_changed};

static struct pt_object *thing(const char *name, const char *uid, uint64_t rv, const char *owner)
{
    struct thing *t = calloc(1, sizeof *t);
    snprintf(t->name, sizeof t->name, "%s", name);
    snprintf(t->uid, sizeof t->uid, "%s", uid);
    snprintf(t->owner, sizeof t->owner, "%s", owner ? owner : "");
    t->o = (struct pt_object){.ns = "ns", .name = t->name, .uid = t->uid, .owner_uid = owner ? t->owner : NULL, .rv = rv};
    return &t->o;
}

static int reset(void **state)
{
    (void)state;
    added = updated = deleted = decoded = 0;
    return 0;
}

/* --- store --------------------------------------------------------------------------------------------------------------- */

static void store_orders_by_version(void **state)
{
    (void)state;
    struct pt_store s;
    struct pt_err err;
    pt_store_init(&s, &things, NULL);
    assert_int_equal(pt_store_put(&s, thing("a", "1", 10, "o"), &err), PT_OK);
    assert_int_equal(pt_store_wrote(&s, thing("a", "1", 12, "o"), &err), PT_OK); /* ahead of the watch */
    assert_int_equal(pt_store_get(&s, "ns", "a")->rv, 12);
    assert_false(pt_store_knows(&s, PT_STR("{\"metadata\":{\"namespace\":\"ns\",\"name\":\"a\",\"resourceVersion\":\"11\"}}")));
    assert_true(pt_store_knows(&s, PT_STR("{\"metadata\":{\"namespace\":\"ns\",\"name\":\"a\",\"resourceVersion\":\"10\"}}"))); /* the watch is as far */
    assert_false(pt_store_knows(&s, PT_STR("{\"metadata\":{\"name\":\"a\"}}")));
    pt_store_put(&s, thing("a", "1", 11, "o"), &err); /* the watch, behind */
    assert_int_equal(pt_store_get(&s, "ns", "a")->rv, 12);
    pt_store_delete(&s, "ns", "a", 13);
    assert_null(pt_store_get(&s, "ns", "a"));
    pt_store_wrote(&s, thing("a", "1", 12, "o"), &err); /* a late answer must not bring it back */
    assert_null(pt_store_get(&s, "ns", "a"));
    assert_null(pt_store_owned(&s, "o"));
    assert_int_equal(added, 1);
    assert_int_equal(updated, 1);
    assert_int_equal(deleted, 1);
    pt_store_finish(&s);
}

static void store_knows_owners_and_uids(void **state)
{
    (void)state;
    struct pt_store s;
    struct pt_err err;
    pt_store_init(&s, &things, NULL);
    pt_store_put(&s, thing("a", "1", 1, "o"), &err);
    pt_store_put(&s, thing("b", "2", 2, "o"), &err);
    pt_store_put(&s, thing("c", "3", 3, "p"), &err);
    int n = 0;
    for (struct pt_object *o = pt_store_owned(&s, "o"); o; o = o->next)
        n++;
    assert_int_equal(n, 2);
    pt_store_put(&s, thing("b", "9", 4, "p"), &err); /* deleted and made again while we looked away */
    assert_int_equal(deleted, 1);
    assert_int_equal(added, 4);
    assert_null(pt_store_owned(&s, "o")->next);
    pt_store_finish(&s);
}

static void store_replaces(void **state)
{
    (void)state;
    struct pt_store s;
    struct pt_err err;
    pt_store_init(&s, &things, NULL);
    pt_store_put(&s, thing("a", "1", 1, NULL), &err);
    pt_store_put(&s, thing("b", "2", 2, NULL), &err);
    pt_store_wrote(&s, thing("new", "5", 9, NULL), &err); /* written after the list was made */
    pt_store_put(&s, thing("same", "6", 3, NULL), &err);
    pt_store_put(&s, thing("went", "7", 4, NULL), &err);
    pt_store_list(&s); /* this one fails: what it has seen counts for nothing */
    assert_true(pt_store_confirm(&s, "ns", "a", 1));
    pt_store_list(&s);
    assert_true(pt_store_confirm(&s, "ns", "same", 3));
    assert_false(pt_store_confirm(&s, "ns", "same", 4));
    assert_true(pt_store_confirm(&s, "ns", "went", 4));
    pt_store_doubt(&s, "ns", "went");
    struct pt_object *list[] = {thing("b", "2", 2, NULL), thing("c", "3", 5, NULL)};
    assert_int_equal(pt_store_replace(&s, list, 2, 6, &err), PT_OK);
    assert_true(pt_store_synced(&s));
    assert_null(pt_store_get(&s, "ns", "a"));
    assert_non_null(pt_store_get(&s, "ns", "b"));
    assert_non_null(pt_store_get(&s, "ns", "c"));
    assert_non_null(pt_store_get(&s, "ns", "new"));
    assert_non_null(pt_store_get(&s, "ns", "same"));
    assert_null(pt_store_get(&s, "ns", "went"));
    assert_int_equal(deleted, 2);
    pt_store_finish(&s);
}

/* --- reflector ----------------------------------------------------------------------------------------------------------- */

struct rig {
    struct pt_vsched clock;
    struct pt_memapi *api;
    struct pt_store store;
    struct pt_reflector *r;
    int synced, fail_http, requests, watches, initial, cut_next;
    struct pt_metrics *metrics;
};

static void on_request(void *arg, const struct pt_api_request *req, bool watch, struct pt_memapi_fault *f)
{
    struct rig *g = arg;
    g->requests++;
    g->watches += watch;
    g->initial += watch && req->initial_events;
    f->http = g->fail_http;
    f->reason = "InternalError";
    f->retry_after_s = g->fail_http == 429 ? 90 : 0;
}
static int64_t on_event(void *arg, const struct pt_resource *res)
{
    struct rig *g = arg;
    (void)res;
    return g->cut_next && g->cut_next-- ? -1 : 0;
}
static void on_synced(void *arg)
{
    ((struct rig *)arg)->synced++;
}

static void put_pod(struct rig *g, const char *name, bool labelled)
{
    char body[200];
    struct pt_err err;
    int n = snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"app\":\"%s\"}}}", name, labelled ? "x" : "y");
    struct pt_api_request req = {.verb = PT_VERB_CREATE, .resource = &pt_res_pods, .ns = "ns", .body = {body, (size_t)n}, .grace_seconds = -1};
    assert_int_equal(pt_memapi_do(g->api, &req, NULL, &err), 201);
}
static void remove_pod(struct rig *g, const char *name)
{
    struct pt_err err;
    struct pt_api_request req = {.verb = PT_VERB_DELETE, .resource = &pt_res_pods, .ns = "ns", .name = name, .grace_seconds = 0};
    assert_int_equal(pt_memapi_do(g->api, &req, NULL, &err), 200);
}

static void start_rig(struct rig *g, unsigned history, enum pt_memapi_watchlist mode)
{
    struct pt_err err;
    *g = (struct rig){.synced = 0};
    pt_log_setup("test", PT_LOG_OFF, PT_LOG_TEXT);
    pt_vsched_init(&g->clock, 1700000000000);
    struct pt_memapi_options o = {
        .sched = &g->clock.sched, .seed = 1, .history = history, .watchlist = mode, .hooks = {g, on_request, NULL, on_event}};
    assert_int_equal(pt_memapi_create(&o, &g->api, &err), PT_OK);
    pt_store_init(&g->store, &things, NULL);
    struct pt_reflector_options r = {.api = pt_memapi_api(g->api),
                                     .sched = &g->clock.sched,
                                     .seed = 1,
                                     .resource = &pt_res_pods,
                                     .label_selector = "app=x",
                                     .store = &g->store,
                                     .metrics = g->metrics = pt_metrics_create(),
                                     .synced = on_synced,
                                     .arg = g};
    assert_int_equal(pt_reflector_create(&r, &g->r, &err), PT_OK);
}
static void stop_rig(struct rig *g)
{
    pt_reflector_destroy(g->r);
    pt_metrics_destroy(g->metrics);
    pt_store_finish(&g->store);
    pt_memapi_destroy(g->api);
    pt_sched_finish(&g->clock.sched);
}
static void advance(struct rig *g, int64_t ms)
{
    int64_t end = g->clock.now + ms;
    while (pt_vsched_step(&g->clock, end))
        ;
}

/* What is here in the version that a list shows is not read again. */
static void lists_again(enum pt_memapi_watchlist mode)
{
    struct rig g;
    char name[16];
    start_rig(&g, 4096, mode);
    for (int i = 0; i < 1100; i++) {
        snprintf(name, sizeof name, "p%d", i);
        put_pod(&g, name, true);
    }
    pt_reflector_start(g.r);
    advance(&g, 100);
    assert_int_equal(decoded, 1100);
    pt_memapi_cut_watches(g.api, NULL, true);
    remove_pod(&g, "p7");
    put_pod(&g, "late", true);
    advance(&g, 60000);
    assert_int_equal(decoded, 1101);
    assert_int_equal(pt_store_count(&g.store), 1100);
    assert_null(pt_store_get(&g.store, "ns", "p7"));
    assert_non_null(pt_store_get(&g.store, "ns", "late"));
    assert_int_equal(deleted, 1);
    stop_rig(&g);
}
static void reflector_lists_again(void **state)
{
    (void)state;
    lists_again(PT_WATCHLIST);
    reset(state);
    lists_again(PT_WATCHLIST_REFUSED);
}

static void lists_and_watches(enum pt_memapi_watchlist mode)
{
    struct rig g;
    char name[16];
    start_rig(&g, 4096, mode);
    for (int i = 0; i < 1203; i++) { /* three pages */
        snprintf(name, sizeof name, "p%d", i);
        put_pod(&g, name, i % 3 != 0);
    }
    pt_reflector_start(g.r);
    advance(&g, 100);
    if (mode == PT_WATCHLIST_ENDLESS) { /* its end never comes: listed after a minute */
        assert_int_equal(g.synced, 0);
        assert_int_equal(pt_store_count(&g.store), 0); /* nothing before all of it is known */
        advance(&g, 60000);
    }
    assert_int_equal(g.synced, 1);
    assert_int_equal(g.initial, 1);
    assert_int_equal(g.requests, mode == PT_WATCHLIST ? 1 : 1 + 2 + 1); /* the watch alone, or pages and another watch */
    assert_int_equal(pt_store_count(&g.store), 802);
    put_pod(&g, "late", true);
    put_pod(&g, "other", false);
    remove_pod(&g, "p1");
    advance(&g, 10);
    assert_non_null(pt_store_get(&g.store, "ns", "late"));
    assert_null(pt_store_get(&g.store, "ns", "other"));
    assert_null(pt_store_get(&g.store, "ns", "p1"));
    int requests = g.requests;
    advance(&g, 3600000); /* an hour of timeouts and bookmarks: watches are resumed, nothing is listed */
    assert_int_equal(g.requests - requests, g.watches - (mode == PT_WATCHLIST ? 1 : 2));
    assert_int_equal(g.initial, 1);
    put_pod(&g, "later", true);
    advance(&g, 10);
    assert_non_null(pt_store_get(&g.store, "ns", "later"));
    stop_rig(&g);
}

static void reflector_lists_and_watches(void **state)
{
    (void)state;
    lists_and_watches(PT_WATCHLIST);
    lists_and_watches(PT_WATCHLIST_REFUSED);
    lists_and_watches(PT_WATCHLIST_ENDLESS);
}

static void survives(enum pt_memapi_watchlist mode)
{
    struct rig g;
    char name[16];
    start_rig(&g, 8, mode);
    g.fail_http = 503;
    pt_reflector_start(g.r);
    advance(&g, 600000);
    assert_int_equal(g.synced, 0);
    assert_true(g.requests > 10 && g.requests < 40); /* backs off to 30..60 s */
    g.fail_http = 0;
    advance(&g, 61000);
    assert_int_equal(g.synced, 1);
    put_pod(&g, "a", true);
    advance(&g, 10);
    g.cut_next = 1;
    put_pod(&g, "b", true); /* the stream ends before this event */
    advance(&g, 5000);
    assert_non_null(pt_store_get(&g.store, "ns", "b"));
    for (int i = 0; i < 30; i++) { /* more than the history holds: 410, list again; "a" was deleted meanwhile */
        snprintf(name, sizeof name, "n%d", i);
        put_pod(&g, name, true);
        if (i == 3)
            remove_pod(&g, "a");
    }
    advance(&g, 5000);
    assert_null(pt_store_get(&g.store, "ns", "a"));
    assert_int_equal(pt_store_count(&g.store), 31);
    pt_memapi_cut_watches(g.api, NULL, true);
    advance(&g, 5000);
    put_pod(&g, "z", true);
    advance(&g, 10);
    assert_non_null(pt_store_get(&g.store, "ns", "z"));
    g.fail_http = 429; /* Retry-After: 90 */
    pt_memapi_cut_watches(g.api, NULL, false);
    advance(&g, 2000);
    int requests = g.requests;
    advance(&g, 60000);
    assert_int_equal(g.requests, requests);
    stop_rig(&g);
}

static void reflector_survives(void **state)
{
    (void)state;
    survives(PT_WATCHLIST);
    survives(PT_WATCHLIST_REFUSED);
}

static double shown(struct rig *g, const char *series)
{
    pt_auto_buf text = PT_BUF_INIT(0);
    pt_metrics_write(g->metrics, PT_METRICS_TEXT, &text);
    const char *at = strstr(pt_buf_cstr(&text), series);
    assert_non_null(at);
    return strtod(at + strlen(series), NULL);
}

/* What the store holds, how far it is, and when something was heard last: also while nothing happens, by bookmarks. */
static void reflector_shows_its_place(void **state)
{
    struct rig g;
    (void)state;
    start_rig(&g, 1000, PT_WATCHLIST);
    assert_true(shown(&g, "pintle_cache_heard_timestamp_seconds{name=\"things\"} ") < 1); /* never */
    put_pod(&g, "a", true);
    pt_reflector_start(g.r);
    advance(&g, 1000);
    put_pod(&g, "b", true);
    advance(&g, 1000);
    assert_int_equal(shown(&g, "pintle_cache_objects{name=\"things\"} "), 2);
    assert_int_equal(shown(&g, "pintle_cache_resource_version{name=\"things\"} "), g.store.rv);
    remove_pod(&g, "a");
    advance(&g, 600000);
    assert_int_equal(shown(&g, "pintle_cache_objects{name=\"things\"} "), 1);
    double ago = (double)pt_wall_ms(&g.clock.sched) / 1000 - shown(&g, "pintle_cache_heard_timestamp_seconds{name=\"things\"} ");
    assert_true(ago >= 0 && ago < 120);
    stop_rig(&g);
}

/* Each stream ends at once, with the word that its version is too old. */
static void reflector_lists_in_no_loop(void **state)
{
    (void)state;
    struct rig g;
    start_rig(&g, 8, PT_WATCHLIST);
    put_pod(&g, "a", true);
    pt_reflector_start(g.r);
    advance(&g, 100);
    int requests = g.requests;
    for (int i = 0; i < 60000; i++) {
        pt_memapi_cut_watches(g.api, NULL, true);
        advance(&g, 1);
    }
    assert_in_range(g.requests - requests, 4, 20);
    advance(&g, 61000);
    put_pod(&g, "b", true);
    advance(&g, 10);
    assert_non_null(pt_store_get(&g.store, "ns", "b"));
    requests = g.requests;
    pt_memapi_cut_watches(g.api, NULL, true); /* once, after news, is no reason to wait */
    advance(&g, 100);
    assert_in_range(g.requests - requests, 1, 3);
    stop_rig(&g);
}

/* A server that says the same each time: what it says to a watch, or to a list, and that is the end of it. */
struct parrot {
    struct pt_api api; /* first member */
    struct pt_vsched clock;
    const char *events[4], *page;
    struct pt_timer answer;
    pt_watch_event_fn event;
    pt_api_done_fn done;
    void *arg;
    int requests;
};

static void parrot_answers(struct pt_timer *t)
{
    struct parrot *p = (struct parrot *)(void *)((char *)t - offsetof(struct parrot, answer));
    struct pt_api_result r = {.http = 200, .retry_after_ms = -1, .body = pt_str(p->page)};
    for (int i = 0; p->event && i < 4 && p->events[i]; i++) {
        char text[120];
        bool bookmark = !*p->events[i] || *p->events[i] == '+';
        snprintf(text, sizeof text, "{\"metadata\":{\"resourceVersion\":\"%d\",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}",
                 *p->events[i] ? 5 + p->requests : 5);
        p->event(p->arg, &(struct pt_watch_event){bookmark ? PT_WATCH_BOOKMARK : PT_WATCH_ERROR, pt_str(bookmark ? text : p->events[i])});
    }
    if (p->event && p->page) {
        r.http = 400;
        pt_fail(&r.err, PT_EINVAL, "no watch");
    }
    p->done(p->arg, &r);
}

static int parrot_watch(struct pt_api *api, const struct pt_api_request *req, pt_watch_event_fn event, pt_api_done_fn done, void *arg,
                        struct pt_api_call **out, struct pt_err *err)
{
    struct parrot *p = (struct parrot *)(void *)api;
    (void)req, (void)err;
    p->event = event;
    p->done = done;
    p->arg = arg;
    p->requests++;
    *out = (struct pt_api_call *)(void *)p;
    pt_timer_start(&p->clock.sched, &p->answer, 1, parrot_answers);
    return PT_OK;
}

static int parrot_start(struct pt_api *api, const struct pt_api_request *req, pt_api_done_fn done, void *arg, struct pt_api_call **out, struct pt_err *err)
{
    return parrot_watch(api, req, NULL, done, arg, out, err);
}

static void parrot_cancel(struct pt_api *api, struct pt_api_call *call)
{
    (void)call;
    pt_timer_stop(&((struct parrot *)(void *)api)->clock.sched, &((struct parrot *)(void *)api)->answer);
}

static void reflector_meets_a_parrot(void **state)
{
    static const struct pt_api_ops ops = {parrot_start, parrot_watch, parrot_cancel};
    static const struct {
        const char *events[4], *page;
        int most; /* requests in two minutes */
    } rows[] = {
        {{"", ""}, NULL, 40}, /* bookmarks of where we are */
        {{"", "{\"code\":500,\"message\":\"x\"}"}, NULL, 40},
        {{"", "{\"code\":410}"}, NULL, 40},
        {{"", "null"}, NULL, 40},
        {{"+", "{\"code\":500}"}, NULL, 150}, /* gets on each time: not ever longer waits, but one each time */
        {{"+", "{\"code\":504}"}, NULL, 150},
        {{NULL}, "{\"metadata\":{\"resourceVersion\":\"5\",\"continue\":\"again\"},\"items\":[]}", 40},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct parrot p = {.api = {&ops}, .page = rows[i].page};
        struct pt_store store;
        struct pt_reflector *r;
        struct pt_err err;
        memcpy(p.events, rows[i].events, sizeof p.events);
        pt_log_setup("test", PT_LOG_OFF, PT_LOG_TEXT);
        pt_vsched_init(&p.clock, 1700000000000);
        pt_store_init(&store, &things, NULL);
        struct pt_reflector_options o = {.api = &p.api, .sched = &p.clock.sched, .seed = 1, .resource = &pt_res_pods, .store = &store};
        assert_int_equal(pt_reflector_create(&o, &r, &err), PT_OK);
        pt_reflector_start(r);
        int64_t end = p.clock.now + 120000;
        while (pt_vsched_step(&p.clock, end))
            ;
        if (p.requests < 4 || p.requests > rows[i].most)
            fail_msg("row %zu: %d requests in two minutes", i, p.requests);
        pt_reflector_destroy(r);
        pt_store_finish(&store);
        pt_sched_finish(&p.clock.sched);
    }
}

/* --- events -------------------------------------------------------------------------------------------------------------- */

static int events_stored, count_sum, combined;
static void count_event(void *arg, const char *ns, const char *name, struct pt_str object)
{
    (void)arg;
    (void)ns;
    (void)name;
    pt_auto_obj *o = NULL;
    struct pt_err err;
    assert_int_equal(pt_obj_parse(object, "event", &o, &err), PT_OK);
    events_stored++;
    count_sum += (int)pt_obj_int(o, "count", 0);
    combined += strncmp(pt_obj_str(o, "message"), "(combined", 9) == 0;
    assert_string_equal(pt_obj_str(o, "involvedObject.kind"), "ModelDeployment");
}
static void tally_events(struct rig *g)
{
    events_stored = count_sum = combined = 0;
    pt_memapi_each(g->api, &pt_res_events, count_event, NULL);
}

static void events_aggregate(void **state)
{
    (void)state;
    struct rig g;
    struct pt_events *e;
    struct pt_err err;
    char message[32];
    start_rig(&g, 64, PT_WATCHLIST);
    assert_int_equal(pt_events_create(pt_memapi_api(g.api), &g.clock.sched, NULL, 1, "test", &e, &err), PT_OK);
    struct pt_event ev = {
        .resource = &pt_res_modeldeployments, .ns = "ns", .name = "m", .uid = "uid-1", .warning = true, .reason = "Bad", .message = "it \"failed\""};
    for (int i = 0; i < 5; i++)
        pt_events_emit(e, &ev);
    assert_false(pt_events_idle(e));
    advance(&g, 100);
    assert_true(pt_events_idle(e));
    tally_events(&g);
    assert_int_equal(events_stored, 1);
    assert_int_equal(count_sum, 5);
    ev.uid = "uid-2";
    ev.message = message;
    for (int i = 0; i < 60; i++) { /* all different: ten single ones, then combined, then over the bucket */
        snprintf(message, sizeof message, "failure %d", i);
        pt_events_emit(e, &ev);
    }
    advance(&g, 100);
    tally_events(&g);
    assert_int_equal(events_stored, 1 + 10 + 1);
    assert_int_equal(combined, 1);
    assert_int_equal(count_sum, 5 + 25);
    ev.milestone = true; /* not used up by those */
    ev.reason = "Ready";
    ev.message = "2 of 2";
    pt_events_emit(e, &ev);
    advance(&g, 100);
    tally_events(&g);
    assert_int_equal(events_stored, 1 + 10 + 1 + 1);
    for (int i = 0; i < 60; i++) /* nor by many of another kind */
        pt_events_emit(e, &ev);
    advance(&g, 100);
    ev.reason = "Rollback";
    pt_events_emit(e, &ev);
    advance(&g, 100);
    tally_events(&g);
    assert_int_equal(events_stored, 1 + 10 + 1 + 3); /* Ready, its likes combined, Rollback */
    ev.milestone = false;
    ev.reason = "Bad";
    ev.message = message;
    advance(&g, 400000); /* a token later: the next of the series says how many there were */
    pt_events_emit(e, &ev);
    advance(&g, 100);
    tally_events(&g);
    assert_int_equal(count_sum, 5 + 10 + 51 + 25 + 1);
    ev.uid = "uid-3";
    g.fail_http = 503;
    pt_events_emit(e, &ev);
    advance(&g, 30000);
    g.fail_http = 0;
    advance(&g, 20000);
    tally_events(&g);
    assert_int_equal(count_sum, 5 + 10 + 51 + 25 + 1 + 1); /* it was tried again */
    pt_events_destroy(e);
    stop_rig(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(store_orders_by_version, reset),
        cmocka_unit_test_setup(store_knows_owners_and_uids, reset),
        cmocka_unit_test_setup(store_replaces, reset),
        cmocka_unit_test_setup(reflector_lists_again, reset),
        cmocka_unit_test(reflector_lists_and_watches),
        cmocka_unit_test(reflector_survives),
        cmocka_unit_test(reflector_shows_its_place),
        cmocka_unit_test(reflector_lists_in_no_loop),
        cmocka_unit_test(reflector_meets_a_parrot),
        cmocka_unit_test(events_aggregate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
