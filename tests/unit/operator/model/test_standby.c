/* SPDX-License-Identifier: Apache-2.0
 *
 * The controller over memapi as its lease comes and goes: when it writes, and that it can go on where it was.
 */
#include "base/log.h"
#include "base/mem.h"
#include "operator/memapi/memapi.h"
#include "operator/model/operator.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct pt_vsched vclock;
static struct pt_memapi *api;
static struct pt_operator *op;
static bool allowed;
static int64_t delay_ms; /* of writes */
static int writes, lists;

static bool may_write(void *arg)
{
    (void)arg;
    return allowed;
}

static void on_request(void *arg, const struct pt_api_request *req, bool watch, struct pt_memapi_fault *f)
{
    (void)arg;
    if (req->field_manager) /* the user */
        return;
    bool reads = watch || req->verb == PT_VERB_GET || req->verb == PT_VERB_LIST;
    lists += watch && req->initial_events;
    writes += !reads;
    f->delay_ms = reads ? 0 : delay_ms;
}

static void run(int64_t ms)
{
    int64_t end = vclock.now + ms;
    while (pt_vsched_step(&vclock, end))
        ;
}

static void user(enum pt_verb verb, const char *name, const char *body)
{
    struct pt_err err;
    struct pt_api_request req = {.verb = verb, .resource = &pt_res_modeldeployments, .ns = "models", .name = name, .body = pt_str(body), .grace_seconds = -1, .field_manager = "user"};
    if (pt_memapi_do(api, &req, NULL, &err) >= 300)
        fail_msg("%s", err.msg);
}

static void count_pod(void *arg, const char *ns, const char *name, struct pt_str object)
{
    (void)ns, (void)name, (void)object;
    ++*(int *)arg;
}

static int pods(void)
{
    int n = 0;
    pt_memapi_each(api, &pt_res_pods, count_pod, &n);
    return n;
}

#define MODEL(name, replicas) "{\"metadata\":{\"name\":\"" name "\"},\"spec\":{\"replicas\":" #replicas ",\"model\":{\"uri\":\"https://models/m\"}}}"

static int setup(void **state)
{
    struct pt_err err;
    (void)state;
    pt_log_setup("test", PT_LOG_OFF, PT_LOG_TEXT);
    pt_vsched_init(&vclock, 1700000000000);
    struct pt_memapi_options o = {.sched = &vclock.sched, .seed = 3, .latency_ms = 2, .hooks = {NULL, on_request, NULL, NULL}};
    assert_int_equal(pt_memapi_create(&o, &api, &err), PT_OK);
    delay_ms = writes = lists = 0;
    allowed = true;
    struct pt_operator_options options = {.api = pt_memapi_api(api), .sched = &vclock.sched, .seed = 1, .sidecar_image = "s:1", .standby = true, .may_write = may_write};
    assert_int_equal(pt_operator_create(&options, &op, &err), PT_OK);
    pt_operator_start(op);
    run(1000);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pt_operator_destroy(op);
    pt_memapi_destroy(api);
    pt_sched_finish(&vclock.sched);
    return 0;
}

static void a_standby_watches_and_writes_nothing(void **state)
{
    (void)state;
    struct pt_operator_stats stats;
    user(PT_VERB_CREATE, NULL, MODEL("a", 2));
    user(PT_VERB_CREATE, NULL, MODEL("b", 1));
    user(PT_VERB_DELETE, "b", "");
    run(10000);
    pt_operator_stats(op, &stats);
    assert_int_equal(stats.deployments, 1);
    assert_int_equal(stats.queue_depth, 0); /* nothing is kept for a day that may not come */
    assert_int_equal(writes, 0);
    pt_operator_lead(op);
    run(10000);
    assert_int_equal(pods(), 2);
}

/* The lease is lost while pods are being made, and comes back: the stores are those from before, and what was wanted meanwhile is done. */
static void work_is_dropped_and_taken_up_again(void **state)
{
    (void)state;
    struct pt_operator_stats stats;
    pt_operator_lead(op);
    user(PT_VERB_CREATE, NULL, MODEL("a", 1));
    run(10000);
    assert_int_equal(pods(), 1);
    int listed = lists;
    delay_ms = 500;
    user(PT_VERB_MERGE_PATCH, "a", "{\"spec\":{\"replicas\":5}}");
    run(300); /* the first of them is under way */
    int before = writes;
    assert_true(before > 0);
    pt_operator_stand_by(op);
    pt_operator_stats(op, &stats);
    assert_int_equal(stats.queue_depth, 0);
    user(PT_VERB_MERGE_PATCH, "a", "{\"spec\":{\"replicas\":3}}");
    run(600000);
    assert_int_equal(writes, before);
    assert_true(pods() < 3);
    delay_ms = 0;
    pt_operator_lead(op);
    run(60000);
    assert_int_equal(pods(), 3);
    pt_operator_stand_by(op);
    pt_operator_stand_by(op);
    pt_operator_lead(op);
    user(PT_VERB_MERGE_PATCH, "a", "{\"spec\":{\"replicas\":4}}");
    run(60000);
    assert_int_equal(pods(), 4);
    assert_int_equal(lists, listed); /* nothing was read again */
}

/* Stopped for a while, it wakes up in the middle of a plan: the lease has run out, and nobody has told it yet. */
static void a_sleeper_begins_no_write(void **state)
{
    (void)state;
    pt_operator_lead(op);
    delay_ms = 300;
    user(PT_VERB_CREATE, NULL, MODEL("a", 6));
    run(400); /* the revision is there, and its pods come next, more from answer to answer */
    int before = writes;
    assert_true(before > 0 && pods() < 6);
    allowed = false;
    run(120000);
    assert_int_equal(writes, before);
    assert_true(pods() < 6);
    allowed = true;
    run(120000);
    assert_int_equal(pods(), 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_standby_watches_and_writes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(work_is_dropped_and_taken_up_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sleeper_begins_no_write, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
