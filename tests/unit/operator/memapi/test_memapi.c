/* SPDX-License-Identifier: Apache-2.0
 *
 * memapi as an API server's clients see it.
 */
#include "base/log.h"
#include "base/mem.h"
#include "operator/ctrl/obj.h"
#include "operator/memapi/memapi.h"
#include "operator/model/spec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct rig {
    struct pt_vsched clock;
    struct pt_memapi *m;
    struct pt_buf body; /* of the last answer */
    cJSON *o;
    char reason[64];
    int code;
};

static int admit(void *arg, const struct pt_resource *res, cJSON *object, const cJSON *old, struct pt_err *err)
{
    (void)arg;
    (void)old;
    return res == &pt_res_modeldeployments ? pt_spec_admit(object, err) : PT_OK;
}

static int setup(void **state)
{
    struct rig *g = calloc(1, sizeof *g);
    struct pt_err err;
    pt_vsched_init(&g->clock, 1700000000000);
    struct pt_memapi_options o = {.sched = &g->clock.sched, .seed = 7, .history = 16, .admit = admit};
    assert_int_equal(pt_memapi_create(&o, &g->m, &err), PT_OK);
    *state = g;
    return 0;
}
static int teardown(void **state)
{
    struct rig *g = *state;
    cJSON_Delete(g->o);
    pt_buf_finish(&g->body);
    pt_memapi_destroy(g->m);
    pt_sched_finish(&g->clock.sched);
    free(g);
    return 0;
}

static int call(struct rig *g, struct pt_api_request req)
{
    struct pt_err err = {0};
    cJSON_Delete(g->o);
    g->o = NULL;
    pt_buf_reset(&g->body);
    int http = pt_memapi_do(g->m, &req, &g->body, &err);
    g->code = err.code;
    assert_int_equal(pt_obj_parse((struct pt_str){g->body.data, g->body.len}, "answer", &g->o, &err), PT_OK);
    const char *reason = pt_obj_str(g->o, "reason");
    snprintf(g->reason, sizeof g->reason, "%s", reason ? reason : "");
    return http;
}
static int write_to(struct rig *g, enum pt_verb verb, const struct pt_resource *res, const char *name, const char *sub, const char *body)
{
    return call(g, (struct pt_api_request){
                       .verb = verb, .resource = res, .ns = "ns", .name = name, .subresource = sub, .body = pt_str(body), .grace_seconds = -1});
}
static int create(struct rig *g, const struct pt_resource *res, const char *body)
{
    return write_to(g, PT_VERB_CREATE, res, NULL, NULL, body);
}
static int get(struct rig *g, const struct pt_resource *res, const char *name)
{
    return call(g, (struct pt_api_request){.verb = PT_VERB_GET, .resource = res, .ns = "ns", .name = name, .grace_seconds = -1});
}
static int erase(struct rig *g, const struct pt_resource *res, const char *name, const char *how, int grace)
{
    return call(
        g, (struct pt_api_request){.verb = PT_VERB_DELETE, .resource = res, .ns = "ns", .name = name, .propagation = how, .grace_seconds = grace});
}
static const char *text(struct rig *g, const char *path)
{
    const char *s = pt_obj_str(g->o, path);
    return s ? s : "";
}
static void advance(struct rig *g, int64_t ms)
{
    int64_t end = g->clock.now + ms;
    while (pt_vsched_step(&g->clock, end))
        ;
}

#define MD                                                                                                                                           \
    "{\"apiVersion\":\"pintle.dev/v1alpha1\",\"kind\":\"ModelDeployment\",\"metadata\":{\"name\":\"m\"},\"spec\":{\"model\":{\"uri\":\"https://h/"   \
    "p\"}}}"

static void creating(void **state)
{
    struct rig *g = *state;
    assert_int_equal(create(g, &pt_res_configmaps, "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"v\"}}"), 201);
    assert_string_equal(text(g, "kind"), "ConfigMap");
    assert_string_equal(text(g, "metadata.namespace"), "ns");
    assert_int_equal(strlen(text(g, "metadata.uid")), 36);
    assert_string_equal(text(g, "metadata.creationTimestamp"), "2023-11-14T22:13:20Z");
    assert_int_equal(create(g, &pt_res_configmaps, "{\"metadata\":{\"name\":\"a\"}}"), 409);
    assert_string_equal(g->reason, "AlreadyExists");
    assert_int_equal(g->code, PT_EEXIST);
    assert_int_equal(create(g, &pt_res_configmaps, "{\"metadata\":{\"generateName\":\"x-\"}}"), 201);
    assert_int_equal(strlen(text(g, "metadata.name")), 7);
    static const char *const bad[] = {"", "{", "[]", "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"b\"}}",
                                      "{\"metadata\":{\"name\":\"b\",\"namespace\":\"other\"}}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(create(g, &pt_res_configmaps, bad[i]), 400);
    assert_int_equal(create(g, &pt_res_configmaps, "{\"metadata\":{}}"), 422);
    assert_int_equal(create(g, &pt_res_configmaps, "{\"metadata\":{\"name\":\"Not_A_Name\"}}"), 422);
    assert_int_equal(get(g, &pt_res_configmaps, "zzz"), 404);
    assert_string_equal(g->reason, "NotFound");
}

static void updating(void **state)
{
    struct rig *g = *state;
    char body[200], rv[32];
    create(g, &pt_res_configmaps, "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"v\"}}");
    snprintf(rv, sizeof rv, "%s", text(g, "metadata.resourceVersion"));
    uint64_t writes = pt_memapi_writes(g->m);
    assert_int_equal(write_to(g, PT_VERB_MERGE_PATCH, &pt_res_configmaps, "a", NULL, "{\"data\":{\"k\":\"v\"}}"), 200);
    assert_int_equal(pt_memapi_writes(g->m), writes); /* nothing changed: no new version */
    snprintf(body, sizeof body, "{\"metadata\":{\"resourceVersion\":\"%s\"},\"data\":{\"k\":null,\"l\":\"w\"}}", rv);
    assert_int_equal(write_to(g, PT_VERB_MERGE_PATCH, &pt_res_configmaps, "a", NULL, body), 200);
    assert_null(pt_obj_get(g->o, "data.k"));
    assert_string_equal(text(g, "data.l"), "w");
    assert_int_equal(write_to(g, PT_VERB_MERGE_PATCH, &pt_res_configmaps, "a", NULL, body), 409); /* the version moved on */
    assert_string_equal(g->reason, "Conflict");
    assert_int_equal(write_to(g, PT_VERB_UPDATE, &pt_res_configmaps, "a", NULL, "{\"metadata\":{\"name\":\"a\",\"uid\":\"wrong\"}}"), 409);
    assert_int_equal(write_to(g, PT_VERB_UPDATE, &pt_res_configmaps, "a", NULL, "{\"metadata\":{\"name\":\"a\"},\"data\":{}}"), 200);
    assert_string_equal(text(g, "kind"), "ConfigMap");
    assert_int_equal(strlen(text(g, "metadata.uid")), 36);
}

static void status_and_generation(void **state)
{
    struct rig *g = *state;
    assert_int_equal(create(g, &pt_res_modeldeployments, MD), 201);
    assert_int_equal(pt_obj_int(g->o, "spec.replicas", -1), 1); /* admission fills it in */
    assert_int_equal(pt_obj_int(g->o, "metadata.generation", 0), 1);
    assert_int_equal(write_to(g, PT_VERB_MERGE_PATCH, &pt_res_modeldeployments, "m", "status",
                              "{\"spec\":{\"replicas\":9},\"status\":{\"replicas\":4,\"selector\":\"a=b\"}}"),
                     200);
    assert_int_equal(pt_obj_int(g->o, "spec.replicas", -1), 1);
    assert_int_equal(pt_obj_int(g->o, "status.replicas", -1), 4);
    assert_int_equal(pt_obj_int(g->o, "metadata.generation", 0), 1);
    assert_int_equal(write_to(g, PT_VERB_MERGE_PATCH, &pt_res_modeldeployments, "m", NULL, "{\"spec\":{\"replicas\":2},\"status\":{\"replicas\":7}}"),
                     200);
    assert_int_equal(pt_obj_int(g->o, "status.replicas", -1), 4);
    assert_int_equal(pt_obj_int(g->o, "metadata.generation", 0), 2);
    assert_int_equal(write_to(g, PT_VERB_MERGE_PATCH, &pt_res_modeldeployments, "m", "scale", "{\"spec\":{\"replicas\":5}}"), 200);
    assert_string_equal(text(g, "kind"), "Scale");
    assert_int_equal(pt_obj_int(g->o, "spec.replicas", -1), 5);
    assert_string_equal(text(g, "status.selector"), "a=b");
    get(g, &pt_res_modeldeployments, "m");
    assert_int_equal(pt_obj_int(g->o, "metadata.generation", 0), 3);
    assert_int_equal(write_to(g, PT_VERB_MERGE_PATCH, &pt_res_modeldeployments, "m", "scale", "{\"spec\":{\"replicas\":-1}}"), 422);
    assert_int_equal(write_to(g, PT_VERB_MERGE_PATCH, &pt_res_modeldeployments, "m", NULL, "{\"spec\":{\"autoscaling\":{}}}"), 422);
    assert_non_null(strstr(text(g, "message"), "spec.autoscaling"));
    assert_int_equal(write_to(g, PT_VERB_STRATEGIC, &pt_res_modeldeployments, "m", NULL, "{}"), 415);
    assert_int_equal(write_to(g, PT_VERB_MERGE_PATCH, &pt_res_modeldeployments, "m", "nothing", "{}"), 404);
}

static void applying(void **state)
{
    struct rig *g = *state;
    assert_int_equal(write_to(g, PT_VERB_APPLY, &pt_res_configmaps, "a", NULL, "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"1\",\"l\":\"2\"}}"),
                     201);
    assert_int_equal(write_to(g, PT_VERB_MERGE_PATCH, &pt_res_configmaps, "a", NULL, "{\"data\":{\"other\":\"3\"}}"), 200);
    assert_int_equal(write_to(g, PT_VERB_APPLY, &pt_res_configmaps, "a", NULL, "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"9\"}}"), 200);
    assert_string_equal(text(g, "data.k"), "9");
    assert_null(pt_obj_get(g->o, "data.l"));         /* applied before, now left out */
    assert_string_equal(text(g, "data.other"), "3"); /* someone else's */
}

static void pods_end_gracefully(void **state)
{
    struct rig *g = *state;
    create(g, &pt_res_pods, "{\"metadata\":{\"name\":\"p\"},\"spec\":{},\"status\":{\"phase\":\"Running\"}}");
    assert_string_equal(text(g, "status.phase"), "Pending"); /* not the creator's to say */
    write_to(g, PT_VERB_MERGE_PATCH, &pt_res_pods, "p", NULL, "{\"spec\":{\"nodeName\":\"n\"}}");
    assert_int_equal(erase(g, &pt_res_pods, "p", NULL, -1), 200);
    assert_string_equal(text(g, "metadata.deletionTimestamp"), "2023-11-14T22:13:50Z");
    uint64_t writes = pt_memapi_writes(g->m);
    assert_int_equal(erase(g, &pt_res_pods, "p", NULL, -1), 200); /* again: no change */
    assert_int_equal(pt_memapi_writes(g->m), writes);
    assert_int_equal(
        call(g,
             (struct pt_api_request){.verb = PT_VERB_DELETE, .resource = &pt_res_pods, .ns = "ns", .name = "p", .uid = "other", .grace_seconds = 0}),
        409);
    assert_int_equal(erase(g, &pt_res_pods, "p", NULL, 0), 200);
    assert_int_equal(get(g, &pt_res_pods, "p"), 404);
    create(g, &pt_res_pods, "{\"metadata\":{\"name\":\"q\"},\"spec\":{}}");
    erase(g, &pt_res_pods, "q", NULL, -1); /* on no node: at once */
    assert_int_equal(get(g, &pt_res_pods, "q"), 404);
}

static void make_family(struct rig *g)
{
    char body[400];
    create(g, &pt_res_modeldeployments, MD);
    int n = snprintf(body, sizeof body,
                     "{\"metadata\":{\"name\":\"child\",\"ownerReferences\":[{\"apiVersion\":\"pintle.dev/"
                     "v1alpha1\",\"kind\":\"ModelDeployment\",\"name\":\"m\",\"uid\":\"%s\",\"controller\":true}]}}",
                     text(g, "metadata.uid"));
    assert_true(n < (int)sizeof body);
    assert_int_equal(create(g, &pt_res_configmaps, body), 201);
}

static void owners(void **state)
{
    struct rig *g = *state;
    make_family(g);
    assert_int_equal(erase(g, &pt_res_modeldeployments, "m", NULL, -1), 200);
    assert_int_equal(get(g, &pt_res_modeldeployments, "m"), 404);
    advance(g, 10);
    assert_int_equal(get(g, &pt_res_configmaps, "child"), 404);
    make_family(g);
    erase(g, &pt_res_modeldeployments, "m", "Orphan", -1);
    advance(g, 10);
    assert_int_equal(get(g, &pt_res_configmaps, "child"), 200);
    assert_int_equal(cJSON_GetArraySize(pt_obj_get(g->o, "metadata.ownerReferences")), 0);
    erase(g, &pt_res_configmaps, "child", NULL, -1);
    make_family(g);
    write_to(g, PT_VERB_MERGE_PATCH, &pt_res_configmaps, "child", NULL, "{\"metadata\":{\"finalizers\":[\"test/hold\"]}}");
    assert_int_equal(erase(g, &pt_res_modeldeployments, "m", "Foreground", -1), 200);
    advance(g, 10);
    assert_int_equal(get(g, &pt_res_modeldeployments, "m"), 200); /* waits for its child, which waits for its finalizer */
    assert_non_null(pt_obj_get(g->o, "metadata.deletionTimestamp"));
    write_to(g, PT_VERB_MERGE_PATCH, &pt_res_configmaps, "child", NULL, "{\"metadata\":{\"finalizers\":[]}}");
    advance(g, 10);
    assert_int_equal(get(g, &pt_res_configmaps, "child"), 404);
    assert_int_equal(get(g, &pt_res_modeldeployments, "m"), 404);
}

static void lists(void **state)
{
    struct rig *g = *state;
    char body[100];
    for (int i = 0; i < 7; i++) {
        snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"c%d\",\"labels\":{\"parity\":\"%s\"}}}", i, i % 2 ? "odd" : "even");
        create(g, &pt_res_configmaps, body);
    }
    struct pt_api_request req = {.verb = PT_VERB_LIST, .resource = &pt_res_configmaps, .ns = "ns", .limit = 3};
    assert_int_equal(call(g, req), 200);
    assert_int_equal(cJSON_GetArraySize(pt_obj_get(g->o, "items")), 3);
    char token[200], rv[32];
    snprintf(token, sizeof token, "%s", text(g, "metadata.continue"));
    snprintf(rv, sizeof rv, "%s", text(g, "metadata.resourceVersion"));
    create(g, &pt_res_configmaps, "{\"metadata\":{\"name\":\"d\"}}");
    req.continue_token = token;
    assert_int_equal(call(g, req), 200);
    assert_string_equal(pt_obj_str(cJSON_GetArrayItem(pt_obj_get(g->o, "items"), 0), "metadata.name"), "c3");
    assert_string_equal(text(g, "metadata.resourceVersion"), rv); /* of the first page */
    for (int i = 0; i < 30; i++) {
        snprintf(body, sizeof body, "{\"data\":{\"n\":\"%d\"}}", i);
        write_to(g, PT_VERB_MERGE_PATCH, &pt_res_configmaps, "d", NULL, body);
    }
    assert_int_equal(call(g, req), 410);
    static const struct {
        const char *labels, *fields;
        int count;
    } cases[] = {{"parity=odd", NULL, 3},
                 {"parity!=odd", NULL, 5},
                 {"parity", NULL, 7},
                 {"!parity", NULL, 1},
                 {"parity==even,parity!=odd", NULL, 4},
                 {NULL, "metadata.name=c2", 1},
                 {NULL, "metadata.name!=c2", 7}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        req = (struct pt_api_request){
            .verb = PT_VERB_LIST, .resource = &pt_res_configmaps, .label_selector = cases[i].labels, .field_selector = cases[i].fields};
        assert_int_equal(call(g, req), 200);
        assert_int_equal(cJSON_GetArraySize(pt_obj_get(g->o, "items")), cases[i].count);
    }
    req.field_selector = "data.n=29"; /* no field to select by */
    assert_int_equal(call(g, req), 400);
    req.field_selector = NULL;
    static const struct {
        const char *labels;
        int status;
    } sets[] = {{"parity in (odd)", 200},
                {"parity notin (odd, even),parity", 200},
                {"parity in odd", 400},
                {"parity within (odd)", 400},
                {"parity > 3", 400}};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        req.label_selector = sets[i].labels;
        assert_int_equal(call(g, req), sets[i].status);
        if (sets[i].status == 200)
            assert_int_equal(cJSON_GetArraySize(pt_obj_get(g->o, "items")) > 0, i == 0);
    }
}

/* --- the asynchronous face ----------------------------------------------------------------------------------------------- */

struct heard {
    int events[5], done, code, http;
    char last[64];
};
static void on_event(void *arg, const struct pt_watch_event *e)
{
    struct heard *h = arg;
    pt_auto_obj *o = NULL;
    struct pt_err err;
    assert_int_equal(pt_obj_parse(e->object, "event", &o, &err), PT_OK);
    h->events[e->type]++;
    if (pt_obj_str(o, "metadata.name"))
        snprintf(h->last, sizeof h->last, "%s", pt_obj_str(o, "metadata.name"));
}
static void on_done(void *arg, const struct pt_api_result *r)
{
    struct heard *h = arg;
    h->done++;
    h->code = r->err.code;
    h->http = r->http;
}

static void watches(void **state)
{
    struct rig *g = *state;
    struct heard h = {.done = 0}, old = {.done = 0};
    struct pt_api_call *call_, *old_call;
    struct pt_err err;
    create(g, &pt_res_configmaps, "{\"metadata\":{\"name\":\"a\",\"labels\":{\"x\":\"1\"}}}");
    struct pt_api_request req = {
        .verb = PT_VERB_LIST, .resource = &pt_res_configmaps, .ns = "ns", .label_selector = "x=1", .resource_version = "0", .timeout_ms = 120000};
    assert_int_equal(pt_api_watch(pt_memapi_api(g->m), &req, on_event, on_done, &h, &call_, &err), PT_OK);
    assert_int_equal(h.events[PT_WATCH_ADDED], 0); /* never from inside the call */
    advance(g, 1);
    assert_int_equal(h.events[PT_WATCH_ADDED], 1);
    write_to(g, PT_VERB_MERGE_PATCH, &pt_res_configmaps, "a", NULL, "{\"data\":{\"k\":\"v\"}}");
    write_to(g, PT_VERB_MERGE_PATCH, &pt_res_configmaps, "a", NULL, "{\"metadata\":{\"labels\":{\"x\":\"2\"}}}"); /* leaves the selection */
    write_to(g, PT_VERB_MERGE_PATCH, &pt_res_configmaps, "a", NULL, "{\"metadata\":{\"labels\":{\"x\":\"1\"}}}");
    erase(g, &pt_res_configmaps, "a", NULL, -1);
    advance(g, 1);
    assert_int_equal(h.events[PT_WATCH_MODIFIED], 1);
    assert_int_equal(h.events[PT_WATCH_ADDED], 2);
    assert_int_equal(h.events[PT_WATCH_DELETED], 2);
    advance(g, 61000);
    assert_int_equal(h.events[PT_WATCH_BOOKMARK], 1);
    advance(g, 61000);
    assert_int_equal(h.done, 1); /* its timeout, cleanly */
    assert_int_equal(h.code, PT_OK);
    for (int i = 0; i < 20; i++) { /* the history holds 16 */
        create(g, &pt_res_configmaps, "{\"metadata\":{\"generateName\":\"n-\"}}");
    }
    req.resource_version = "2";
    assert_int_equal(pt_api_watch(pt_memapi_api(g->m), &req, on_event, on_done, &old, &old_call, &err), PT_OK);
    advance(g, 1);
    assert_int_equal(old.events[PT_WATCH_ERROR], 1);
    assert_int_equal(old.done, 1);
    req.resource_version = "999999";
    old = (struct heard){.done = 0};
    assert_int_equal(pt_api_watch(pt_memapi_api(g->m), &req, on_event, on_done, &old, &old_call, &err), PT_OK);
    advance(g, 1);
    assert_int_equal(old.code, PT_ETIMEDOUT);
    req.resource_version = "0";
    req.label_selector = NULL;
    old = (struct heard){.done = 0};
    assert_int_equal(pt_api_watch(pt_memapi_api(g->m), &req, on_event, on_done, &old, &old_call, &err), PT_OK);
    pt_api_cancel(pt_memapi_api(g->m), old_call);
    advance(g, 1000);
    assert_int_equal(old.done + old.events[PT_WATCH_ADDED], 0);
}

/* Whoever hears of a change writes the next one at once, from inside the event: each is heard once. */
struct echo {
    struct rig *g;
    int heard;
};
static void write_again(void *arg, const struct pt_watch_event *e)
{
    struct echo *c = arg;
    struct pt_err err = {0};
    pt_auto_buf answer = {0};
    if (e->type != PT_WATCH_MODIFIED)
        return;
    if (++c->heard >= 200)
        return;
    pt_auto_free char *body = pt_asprintf("{\"data\":{\"n\":\"%d\"}}", c->heard);
    struct pt_api_request req = {
        .verb = PT_VERB_MERGE_PATCH, .resource = &pt_res_configmaps, .ns = "ns", .name = "a", .body = pt_str(body), .grace_seconds = -1};
    assert_int_equal(pt_memapi_do(c->g->m, &req, &answer, &err), 200);
}
static void writing_while_told(void **state)
{
    struct rig *g = *state;
    struct echo c = {.g = g};
    struct pt_api_call *call_;
    struct pt_err err;
    struct pt_api_request req = {.verb = PT_VERB_LIST, .resource = &pt_res_configmaps, .ns = "ns", .resource_version = "0", .timeout_ms = 120000};
    create(g, &pt_res_configmaps, "{\"metadata\":{\"name\":\"a\"}}");
    assert_int_equal(pt_api_watch(pt_memapi_api(g->m), &req, write_again, NULL, &c, &call_, &err), PT_OK);
    advance(g, 1);
    write_to(g, PT_VERB_MERGE_PATCH, &pt_res_configmaps, "a", NULL, "{\"data\":{\"n\":\"0\"}}");
    advance(g, 10);
    assert_int_equal(c.heard, 200);
    pt_api_cancel(pt_memapi_api(g->m), call_);
}

static void lose(void *arg, const struct pt_api_request *req, bool watch, struct pt_memapi_fault *f)
{
    (void)req;
    (void)watch;
    *f = *(struct pt_memapi_fault *)arg;
}

static void faults(void **state)
{
    (void)state;
    struct pt_vsched clock;
    struct pt_memapi *m;
    struct pt_memapi_fault f = {.lose_reply = true};
    struct pt_err err;
    struct heard h = {.done = 0};
    pt_vsched_init(&clock, 0);
    struct pt_memapi_options o = {.sched = &clock.sched, .hooks = {.arg = &f, .request = lose}};
    assert_int_equal(pt_memapi_create(&o, &m, &err), PT_OK);
    struct pt_api_request req = {
        .verb = PT_VERB_CREATE, .resource = &pt_res_configmaps, .ns = "ns", .body = PT_STR("{\"metadata\":{\"name\":\"a\"}}"), .grace_seconds = -1};
    struct pt_api_call *c;
    assert_int_equal(pt_api_start(pt_memapi_api(m), &req, on_done, &h, &c, &err), PT_OK);
    while (pt_vsched_step(&clock, 29999))
        ;
    assert_int_equal(h.done, 0);
    assert_true(pt_memapi_peek(m, &pt_res_configmaps, "ns", "a").len > 0); /* carried out */
    while (pt_vsched_step(&clock, 30001))
        ;
    assert_int_equal(h.done, 1);
    assert_int_equal(h.code, PT_ETIMEDOUT);
    assert_int_equal(h.http, 0);
    f = (struct pt_memapi_fault){.delay_ms = 40000};
    req.body = PT_STR("{\"metadata\":{\"name\":\"b\"}}");
    assert_int_equal(pt_api_start(pt_memapi_api(m), &req, on_done, &h, &c, &err), PT_OK);
    while (pt_vsched_step(&clock, 65000))
        ;
    assert_int_equal(h.done, 2);
    assert_true(pt_memapi_peek(m, &pt_res_configmaps, "ns", "b").len == 0);
    while (pt_vsched_step(&clock, 71000)) /* it arrives after its caller gave up */
        ;
    assert_true(pt_memapi_peek(m, &pt_res_configmaps, "ns", "b").len > 0);
    f = (struct pt_memapi_fault){.http = 429, .reason = "TooManyRequests", .retry_after_s = 3};
    assert_int_equal(pt_api_start(pt_memapi_api(m), &req, on_done, &h, &c, &err), PT_OK);
    while (pt_vsched_step(&clock, 72000))
        ;
    assert_int_equal(h.code, PT_EBUSY);
    pt_memapi_destroy(m);
    pt_sched_finish(&clock.sched);
}

static void tokens(void **state)
{
    struct rig *g = *state;
    struct pt_err err;
    int64_t wall = 1700000000000;
    assert_int_equal(pt_memapi_add_token(g->m, "secret", "pintle.dev", "ns", "p", "uid-p", wall + 1000, &err), PT_OK);
    static const char review[] = "{\"spec\":{\"token\":\"secret\",\"audiences\":[\"pintle.dev\"]}}";
    assert_int_equal(create(g, &pt_res_tokenreviews, review), 201);
    assert_true(pt_obj_true(g->o, "status.authenticated"));
    assert_string_equal(
        cJSON_GetArrayItem(cJSON_GetObjectItem(pt_obj_get(g->o, "status.user.extra"), "authentication.kubernetes.io/pod-uid"), 0)->valuestring,
        "uid-p");
    create(g, &pt_res_tokenreviews, "{\"spec\":{\"token\":\"secret\",\"audiences\":[\"other\"]}}");
    assert_false(pt_obj_true(g->o, "status.authenticated"));
    create(g, &pt_res_tokenreviews, "{\"spec\":{\"token\":\"guess\"}}");
    assert_false(pt_obj_true(g->o, "status.authenticated"));
    advance(g, 2000);
    create(g, &pt_res_tokenreviews, review);
    assert_false(pt_obj_true(g->o, "status.authenticated"));
    assert_int_equal(create(g, &pt_res_tokenreviews, "{}"), 400);
}

/* --- http ---------------------------------------------------------------------------------------------------------------- */

struct reply {
    int status, last;
    struct pt_buf body;
};
static void on_reply(void *arg, int status, const char *content_type, struct pt_str piece, bool more)
{
    struct reply *r = arg;
    assert_non_null(content_type);
    r->status = status;
    pt_buf_append(&r->body, piece.p, piece.len);
    r->last += !more;
}
static int http(struct rig *g, struct reply *r, const char *method, const char *target, const char *type, const char *body)
{
    struct pt_memapi_exchange *x = NULL;
    struct pt_err err;
    struct pt_memapi_http req = {.method = pt_str(method), .target = pt_str(target), .content_type = pt_str(type), .body = pt_str(body)};
    pt_buf_finish(&r->body);
    *r = (struct reply){.status = 0};
    if (pt_memapi_http(g->m, &req, on_reply, r, &x, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(r->last, 0); /* never from inside the call */
    advance(g, 5);
    if (!r->last)
        pt_memapi_http_cancel(x);
    return r->status;
}

static void over_http(void **state)
{
    struct rig *g = *state;
    struct reply r = {.status = 0};
    static const struct {
        const char *method, *target, *type, *body;
        int status;
        const char *has;
    } cases[] = {
        {"GET", "/version", "", "", 200, "gitVersion"},
        {"GET", "/apis", "", "", 200, "\"pintle.dev\""},
        {"GET", "/apis/pintle.dev/v1alpha1", "", "", 200, "modeldeployments/scale"},
        {"GET", "/api/v1", "", "", 200, "\"pods\""},
        {"GET", "/apis/none/v1", "", "", 404, "NotFound"},
        {"POST", "/apis/pintle.dev/v1alpha1/namespaces/ns/modeldeployments", "application/json", MD, 201, "\"uid\""},
        {"GET", "/apis/pintle.dev/v1alpha1/namespaces/ns/modeldeployments/m", "", "", 200, "https://h/p"},
        {"GET", "/apis/pintle.dev/v1alpha1/modeldeployments?limit=5&fieldSelector=metadata.name%3Dm", "", "", 200, "https://h/p"},
        {"GET", "/apis/pintle.dev/v1alpha1/modeldeployments?limit=x", "", "", 400, "limit"},
        {"PATCH", "/apis/pintle.dev/v1alpha1/namespaces/ns/modeldeployments/m/scale", "application/merge-patch+json", "{\"spec\":{\"replicas\":3}}",
         200, "\"replicas\":3"},
        {"PATCH", "/apis/pintle.dev/v1alpha1/namespaces/ns/modeldeployments/m?fieldManager=me&force=true", "application/apply-patch+yaml",
         "apiVersion: pintle.dev/v1alpha1\nkind: ModelDeployment\nmetadata:\n  name: m\nspec:\n  model:\n    uri: https://h/q\n", 200, "https://h/q"},
        {"PATCH", "/apis/pintle.dev/v1alpha1/namespaces/ns/modeldeployments/m", "application/json-patch+json",
         "[{\"op\":\"test\",\"path\":\"/spec/model/uri\",\"value\":\"x\"}]", 422, "operation 0"},
        {"PATCH", "/apis/pintle.dev/v1alpha1/namespaces/ns/modeldeployments/m", "application/json-patch+json",
         "[{\"op\":\"add\",\"path\":\"/metadata/labels\",\"value\":{\"a/b\":\"c\"}},{\"op\":\"copy\",\"from\":\"/metadata/labels/a~1b\",\"path\":\"/"
         "metadata/labels/d\"}]",
         200, "\"d\":\"c\""},
        {"PATCH", "/apis/pintle.dev/v1alpha1/namespaces/ns/modeldeployments/m", "application/x-patch", "[]", 415, "not supported"},
        {"POST", "/apis/pintle.dev/v1alpha1/namespaces/ns/modeldeployments/m", "", "", 405, "not allowed"},
        {"DELETE", "/apis/pintle.dev/v1alpha1/namespaces/ns/modeldeployments/m", "application/json", "{\"preconditions\":{\"uid\":\"x\"}}", 409,
         "precondition"},
        {"GET", "/apis/pintle.dev/v1alpha1/namespaces/ns/modeldeployments/%zz", "", "", 404, "NotFound"},
        {"GET", "/nothing", "", "", 404, "NotFound"},
        {"GET", "", "", "", 404, "NotFound"},
        {"DELETE", "/apis/pintle.dev/v1alpha1/namespaces/ns/modeldeployments/m?propagationPolicy=Background", "", "", 200, "\"uid\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = http(g, &r, cases[i].method, cases[i].target, cases[i].type, cases[i].body);
        if (status != cases[i].status || !strstr(pt_buf_cstr(&r.body), cases[i].has) || r.last != 1)
            fail_msg("%s %s: %d, %d last replies: %s", cases[i].method, cases[i].target, status, r.last, pt_buf_cstr(&r.body));
    }
    create(g, &pt_res_configmaps, "{\"metadata\":{\"name\":\"a\"}}");
    assert_int_equal(http(g, &r, "GET", "/api/v1/namespaces/ns/configmaps?watch=true", "", ""), 200);
    assert_int_equal(r.last, 0);
    assert_int_equal(strncmp(pt_buf_cstr(&r.body), "{\"type\":\"ADDED\",\"object\":{", 26), 0);
    assert_int_equal(r.body.data[r.body.len - 1], '\n');
    assert_int_equal(http(g, &r, "GET", "/api/v1/pods?watch=1", "", ""), 200); /* quiet: the head alone */
    assert_int_equal(r.body.len, 0);
    pt_buf_finish(&r.body);
}

/* --- ownership of fields ------------------------------------------------------------------------------------------------- */

static int as(struct pt_memapi *m, const char *manager, enum pt_verb verb, bool no_force, const char *body, struct pt_buf *out)
{
    struct pt_err err;
    struct pt_api_request req = {.verb = verb,
                                 .resource = &pt_res_configmaps,
                                 .ns = "ns",
                                 .name = "c",
                                 .body = pt_str(body),
                                 .field_manager = manager,
                                 .no_force = no_force,
                                 .grace_seconds = -1};
    pt_buf_reset(out);
    int http = pt_memapi_do(m, &req, out, &err);
    (void)pt_buf_cstr(out);
    return http;
}

static void ownership(void **state)
{
    (void)state;
    struct pt_vsched clock;
    struct pt_memapi *m = NULL;
    struct pt_err err = {0};
    pt_auto_buf out = PT_BUF_INIT(0);
    pt_vsched_init(&clock, 0);
    struct pt_memapi_options o = {.sched = &clock.sched, .managed_fields = true};
    assert_int_equal(pt_memapi_create(&o, &m, &err), PT_OK);
    assert_int_equal(as(m, "one", PT_VERB_APPLY, true, "{\"metadata\":{\"name\":\"c\"},\"data\":{\"a\":\"1\",\"b\":\"1\"}}", &out), 201);
    assert_non_null(strstr(out.data, "\"fieldsV1\":{\"f:data\":{\"f:a\":{},\"f:b\":{}}}"));
    assert_int_equal(as(m, "two", PT_VERB_APPLY, true, "{\"data\":{\"a\":\"2\"}}", &out), 409);
    assert_non_null(strstr(out.data, "conflict with \\\"one\\\" using v1"));
    assert_non_null(strstr(out.data, "\"field\":\".data.a\""));
    assert_int_equal(as(m, "two", PT_VERB_APPLY, true, "{\"data\":{\"a\":\"1\"}}", &out), 200); /* the same value: both own it */
    assert_int_equal(as(m, "one", PT_VERB_APPLY, true, "{\"data\":{\"b\":\"1\"}}", &out), 200);
    assert_non_null(strstr(out.data, "\"a\":\"1\"")); /* left out by one, but two's */
    assert_int_equal(as(m, "two", PT_VERB_APPLY, true, "{\"data\":{\"c\":\"3\"}}", &out), 200);
    assert_null(strstr(out.data, "\"a\":\"1\"")); /* nobody's any more */
    assert_int_equal(as(m, "three", PT_VERB_MERGE_PATCH, false, "{\"data\":{\"b\":\"9\"}}", &out), 200);
    assert_int_equal(as(m, "one", PT_VERB_APPLY, true, "{\"data\":{\"b\":\"1\"}}", &out), 409);
    assert_non_null(strstr(out.data, "three"));
    assert_int_equal(as(m, "one", PT_VERB_APPLY, false, "{\"data\":{\"b\":\"1\"}}", &out), 200);
    assert_null(strstr(out.data, "three")); /* it owned nothing else */
    uint64_t writes = pt_memapi_writes(m);
    assert_int_equal(as(m, "one", PT_VERB_APPLY, true, "{\"data\":{\"b\":\"1\"}}", &out), 200);
    assert_int_equal(pt_memapi_writes(m), writes); /* nothing new is not written */
    assert_int_equal(as(m, "one", PT_VERB_APPLY, true, "{\"metadata\":{\"managedFields\":[]}}", &out), 400);
    pt_memapi_destroy(m);
    pt_sched_finish(&clock.sched);
}

static void out_of_memory(void **state)
{
    (void)state;
    for (int64_t n = 1, done = 0; !done; n++) {
        struct pt_vsched clock;
        struct pt_memapi *m = NULL;
        struct pt_err err = {0};
        int http = 0;
        pt_vsched_init(&clock, 0);
        struct pt_memapi_options o = {.sched = &clock.sched, .admit = admit};
        if (pt_sched_reserve(&clock.sched, 8, &err) < 0)
            fail();
        pt_mem_fail_at(n, 1);
        if (pt_memapi_create(&o, &m, &err) == PT_OK) {
            struct pt_api_request req = {
                .verb = PT_VERB_CREATE, .resource = &pt_res_modeldeployments, .ns = "ns", .body = PT_STR(MD), .grace_seconds = -1};
            http = pt_memapi_do(m, &req, NULL, &err);
        }
        pt_mem_fail_at(0, 0);
        done = http == 201;
        assert_true(done || http == 0 || http >= 400);
        assert_true(n < 5000);
        pt_memapi_destroy(m);
        pt_sched_finish(&clock.sched);
    }
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {CASE(creating),
                                       CASE(updating),
                                       CASE(status_and_generation),
                                       CASE(applying),
                                       CASE(pods_end_gracefully),
                                       CASE(owners),
                                       CASE(lists),
                                       CASE(watches),
                                       CASE(writing_while_told),
                                       CASE(tokens),
                                       CASE(over_http),
                                       cmocka_unit_test(ownership),
                                       cmocka_unit_test(faults),
                                       cmocka_unit_test(out_of_memory)};
    pt_log_setup("test", PT_LOG_OFF, PT_LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
