/* SPDX-License-Identifier: Apache-2.0
 *
 * Leader election on virtual time, against memapi: who leads, how long a dead leader is waited for, and when a leader must stop.
 */
#include "base/log.h"
#include "base/mem.h"
#include "operator/ctrl/lease.h"
#include "operator/ctrl/obj.h"
#include "operator/ctrl/role.h"
#include "operator/memapi/memapi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

struct candidate {
    struct pt_lease *lease;
    int leads, lost, released;
};

static struct pt_vsched vclock;
static struct pt_memapi *api;
static bool down;

static void on_request(void *arg, const struct pt_api_request *req, bool watch, struct pt_memapi_fault *f)
{
    (void)arg;
    (void)req;
    (void)watch;
    if (down)
        f->http = 503;
}

static void leads(void *arg)
{
    ((struct candidate *)arg)->leads++;
}
static void lost(void *arg, const char *why)
{
    assert_true(*why);
    ((struct candidate *)arg)->lost++;
}
static void released(void *arg)
{
    ((struct candidate *)arg)->released++;
}

static int setup(void **state)
{
    (void)state;
    pt_log_setup("test", PT_LOG_OFF, PT_LOG_TEXT);
    pt_vsched_init(&vclock, 1700000000000);
    struct pt_memapi_options o = {.sched = &vclock.sched, .seed = 3, .latency_ms = 3, .hooks = {NULL, on_request, NULL, NULL}};
    down = false;
    return pt_memapi_create(&o, &api, NULL);
}

static int teardown(void **state)
{
    (void)state;
    pt_memapi_destroy(api);
    pt_sched_finish(&vclock.sched);
    return 0;
}

static void candidate(struct candidate *c, const char *name, uint64_t seed)
{
    struct pt_err err;
    *c = (struct candidate){0};
    struct pt_lease_options o = {.api = pt_memapi_api(api), .sched = &vclock.sched, .seed = seed, .ns = "pintle-system", .name = "pintle-operator", .identity = name,
                                 .leads = leads, .lost = lost, .arg = c};
    assert_int_equal(pt_lease_create(&o, &c->lease, &err), PT_OK);
    pt_lease_start(c->lease);
}

static void run(int64_t ms)
{
    int64_t end = pt_now_ms(&vclock.sched) + ms;
    while (pt_vsched_step(&vclock, end))
        ;
}

static cJSON *stored(void)
{
    cJSON *o = NULL;
    struct pt_err err;
    assert_int_equal(pt_obj_parse(pt_memapi_peek(api, &pt_res_leases, "pintle-system", "pintle-operator"), "lease", &o, &err), PT_OK);
    return o;
}

static void one_leads_and_renews(void **state)
{
    (void)state;
    struct candidate a, b;
    candidate(&a, "a_1", 1);
    run(100);
    candidate(&b, "b_2", 2);
    run(120000);
    assert_int_equal(a.leads, 1);
    assert_int_equal(b.leads + a.lost, 0);
    assert_true(pt_lease_valid(a.lease) && !pt_lease_valid(b.lease));
    assert_string_equal(pt_lease_holder(b.lease), "a_1");
    pt_auto_obj *o = stored();
    assert_string_equal(pt_obj_str(o, "spec.holderIdentity"), "a_1");
    assert_int_equal(pt_obj_int(o, "spec.leaseDurationSeconds", 0), 15);
    assert_int_equal(pt_obj_int(o, "spec.leaseTransitions", -1), 0);
    assert_non_null(strstr(pt_obj_str(o, "spec.renewTime"), ".")); /* MicroTime */
    pt_lease_destroy(a.lease); /* dies without a word */
    run(14000);
    assert_int_equal(b.leads, 0);
    run(6000); /* 15 s since it was seen to change, and one retry */
    assert_int_equal(b.leads, 1);
    pt_auto_obj *then = stored();
    assert_int_equal(pt_obj_int(then, "spec.leaseTransitions", 0), 1);
    pt_lease_destroy(b.lease);
}

static void a_released_lease_is_taken_at_once(void **state)
{
    (void)state;
    struct candidate a, b;
    candidate(&a, "a_1", 1);
    run(100);
    candidate(&b, "b_2", 2);
    run(10000);
    pt_lease_release(a.lease, released, &a);
    run(100);
    assert_int_equal(a.released, 1);
    pt_auto_obj *o = stored();
    assert_string_equal(pt_obj_str(o, "spec.holderIdentity"), "");
    run(4500); /* one jittered retry period */
    assert_int_equal(b.leads, 1);
    assert_int_equal(a.lost, 0);
    pt_lease_release(b.lease, released, &b);
    down = true; /* nobody answers: it ends all the same */
    run(5000);
    assert_int_equal(b.released, 1);
    pt_lease_destroy(a.lease);
    pt_lease_destroy(b.lease);
}

/* It stops, stands by as anybody does, and leads again: here by finding its own name in the Lease, which nobody else wanted. */
static void a_leader_that_cannot_renew_stops(void **state)
{
    (void)state;
    struct candidate a;
    candidate(&a, "a_1", 1);
    run(1000);
    down = true;
    run(8000);
    assert_int_equal(a.lost, 0);
    run(4000);
    assert_int_equal(a.lost, 1);
    assert_false(pt_lease_valid(a.lease));
    run(60000);
    assert_int_equal(a.lost, 1);
    assert_true(pt_lease_healthy(a.lease, 0)); /* there is nothing to restart it for */
    down = false;
    run(5000);
    assert_int_equal(a.leads, 2);
    assert_true(pt_lease_valid(a.lease));
    run(60000);
    pt_auto_obj *o = stored();
    assert_int_equal(pt_obj_int(o, "spec.leaseTransitions", -1), 0);
    down = true;
    run(12000);
    assert_int_equal(a.lost, 2);
    assert_false(pt_lease_valid(a.lease));
    pt_lease_destroy(a.lease);
}

/* Who has lost it to another waits until that one is gone, and does not hold on to what it has lost. */
static void a_lost_lease_changes_hands_and_comes_back(void **state)
{
    (void)state;
    struct candidate a, b;
    candidate(&a, "a_1", 1);
    run(1000);
    pt_lease_destroy(a.lease);
    candidate(&b, "b_2", 2);
    run(30000);
    assert_int_equal(b.leads, 1);
    candidate(&a, "a_1", 1);
    run(5000);
    down = true;
    run(20000);
    assert_int_equal(b.lost, 1);
    pt_lease_release(b.lease, released, &b);
    run(100);
    assert_int_equal(b.released, 1); /* it has nothing to give back */
    down = false;
    run(20000);
    assert_int_equal(a.leads, 1);
    assert_int_equal(b.leads, 1);
    pt_lease_destroy(a.lease);
    pt_lease_destroy(b.lease);
}

/* Stopped for 20 s in the middle of its work: before any timer runs it knows that it must not write. */
static void a_sleeper_knows(void **state)
{
    (void)state;
    struct candidate a, b;
    candidate(&a, "a_1", 1);
    run(1000);
    assert_true(pt_lease_valid(a.lease) && pt_lease_healthy(a.lease, 0));
    vclock.now += 20000;
    assert_false(pt_lease_valid(a.lease));
    assert_false(pt_lease_healthy(a.lease, 1000));
    candidate(&b, "b_2", 2);
    run(40000);
    assert_int_equal(a.leads + b.leads, 1 + a.lost); /* either it renewed in time for the other to see it, or it has lost, and one of them has taken it */
    assert_int_equal(pt_lease_valid(a.lease) + pt_lease_valid(b.lease), 1);
    pt_lease_destroy(a.lease);
    pt_lease_destroy(b.lease);
}

static void taken_by_force(void **state)
{
    (void)state;
    struct candidate a;
    static const char body[] = "{\"spec\":{\"holderIdentity\":\"thief\"}}";
    candidate(&a, "a_1", 1);
    run(1000);
    struct pt_api_request steal = {.verb = PT_VERB_MERGE_PATCH, .resource = &pt_res_leases, .ns = "pintle-system", .name = "pintle-operator", .body = {body, sizeof body - 1},
                                   .grace_seconds = -1};
    assert_int_equal(pt_memapi_do(api, &steal, NULL, NULL), 200);
    run(3000);
    assert_int_equal(a.lost, 1);
    assert_false(pt_lease_valid(a.lease));
    run(9000);
    assert_int_equal(a.leads, 1); /* another's record is respected for as long as it says */
    run(14000);
    assert_int_equal(a.leads, 2);
    struct pt_api_request erase = {.verb = PT_VERB_DELETE, .resource = &pt_res_leases, .ns = "pintle-system", .name = "pintle-operator", .grace_seconds = -1};
    assert_int_equal(pt_memapi_do(api, &erase, NULL, NULL), 200);
    run(3000);
    assert_int_equal(a.lost, 2);
    run(5000);
    assert_int_equal(a.leads, 3);
    pt_lease_destroy(a.lease);
}

static void wrong_times_of_others_do_not_matter(void **state)
{
    (void)state;
    struct candidate a;
    static const char body[] = "{\"metadata\":{\"name\":\"pintle-operator\"},\"spec\":{\"holderIdentity\":\"gone\",\"leaseDurationSeconds\":15,"
                               "\"renewTime\":\"2099-01-01T00:00:00.000000Z\",\"leaseTransitions\":4}}";
    struct pt_api_request make = {.verb = PT_VERB_CREATE, .resource = &pt_res_leases, .ns = "pintle-system", .body = {body, sizeof body - 1}, .grace_seconds = -1};
    assert_int_equal(pt_memapi_do(api, &make, NULL, NULL), 201);
    candidate(&a, "a_1", 1);
    run(14000);
    assert_int_equal(a.leads, 0);
    run(6000);
    assert_int_equal(a.leads, 1);
    pt_auto_obj *o = stored();
    assert_int_equal(pt_obj_int(o, "spec.leaseTransitions", 0), 5);
    pt_lease_destroy(a.lease);
}

/* Whatever somebody has written into it, one leads after as long as a Lease is respected, and what is stored then is right. */
static void odd_records_are_taken_over(void **state)
{
    static const char *const specs[] = {
        "null", "[]", "{}", "{\"holderIdentity\":\"\",\"leaseDurationSeconds\":1}", "{\"holderIdentity\":\"gone\",\"leaseDurationSeconds\":-5,\"renewTime\":\"1970-01-01T00:00:00Z\"}",
        "{\"holderIdentity\":\"gone\",\"leaseDurationSeconds\":1e300,\"leaseTransitions\":\"x\"}", "{\"holderIdentity\":5,\"leaseDurationSeconds\":\"a\",\"renewTime\":7,\"acquireTime\":[]}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        struct candidate a;
        char body[300];
        int n = snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"pintle-operator\"},\"spec\":%s}", specs[i]);
        struct pt_api_request make = {.verb = PT_VERB_CREATE, .resource = &pt_res_leases, .ns = "pintle-system", .body = {body, (size_t)n}, .grace_seconds = -1};
        assert_int_equal(pt_memapi_do(api, &make, NULL, NULL), 201);
        candidate(&a, "a_1", 1);
        run(20000);
        assert_int_equal(a.leads, 1);
        pt_auto_obj *o = stored();
        assert_string_equal(pt_obj_text(o, "spec.holderIdentity"), "a_1");
        assert_int_equal(pt_obj_int(o, "spec.leaseDurationSeconds", 0), 15);
        pt_lease_destroy(a.lease);
        struct pt_api_request drop = {.verb = PT_VERB_DELETE, .resource = &pt_res_leases, .ns = "pintle-system", .name = "pintle-operator", .grace_seconds = -1};
        assert_int_equal(pt_memapi_do(api, &drop, NULL, NULL), 200);
    }
}

static void make_pod(const char *name, const char *role)
{
    char body[256];
    int n = snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"pintle.dev/role\":\"%s\",\"app\":\"x\"}},\"spec\":{}}", name, role);
    struct pt_api_request make = {.verb = PT_VERB_CREATE, .resource = &pt_res_pods, .ns = "pintle-system", .body = {body, (size_t)n}, .grace_seconds = -1};
    assert_int_equal(pt_memapi_do(api, &make, NULL, NULL), 201);
}

static void role_is(const char *pod, const char *role)
{
    pt_auto_obj *o = NULL;
    struct pt_err err;
    assert_int_equal(pt_obj_parse(pt_memapi_peek(api, &pt_res_pods, "pintle-system", pod), "pod", &o, &err), PT_OK);
    assert_string_equal(cJSON_GetObjectItem(pt_obj_get(o, "metadata.labels"), "pintle.dev/role")->valuestring, role);
    assert_string_equal(pt_obj_str(o, "metadata.labels.app"), "x");
}

static void the_leader_is_labelled(void **state)
{
    (void)state;
    struct pt_role *r;
    struct pt_err err;
    struct pt_role_options o = {.api = pt_memapi_api(api), .sched = &vclock.sched, .ns = "pintle-system", .pod = "op-1", .label = "pintle.dev/role"};
    make_pod("op-1", "leader"); /* of the process before, in the same pod */
    make_pod("op-2", "leader"); /* of a node that died */
    make_pod("op-3", "standby");
    assert_int_equal(pt_role_create(&o, &r, &err), PT_OK);
    pt_role_set(r, false);
    run(100);
    role_is("op-1", "standby");
    role_is("op-2", "leader");
    down = true;
    pt_role_set(r, true);
    run(5000);
    role_is("op-1", "standby");
    down = false;
    run(5000); /* tried until it works */
    role_is("op-1", "leader");
    role_is("op-2", "standby");
    role_is("op-3", "standby");
    pt_role_destroy(r);
}

static void bad_options(void **state)
{
    (void)state;
    struct pt_lease *l;
    struct pt_err err;
    struct pt_lease_options o = {.api = pt_memapi_api(api), .sched = &vclock.sched, .ns = "n", .name = "l", .identity = "i", .duration_ms = 5000, .renew_ms = 5000};
    assert_int_equal(pt_lease_create(&o, &l, &err), PT_EINVAL);
    o.duration_ms = 15000;
    for (int64_t n = 1;; n++) {
        o.renew_ms = 0;
        pt_mem_fail_at(n, 0);
        int rc = pt_lease_create(&o, &l, &err);
        pt_mem_fail_at(0, 0);
        if (rc == PT_OK)
            break;
        assert_int_equal(rc, PT_ENOMEM);
    }
    pt_lease_destroy(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_leads_and_renews, setup, teardown),
        cmocka_unit_test_setup_teardown(a_released_lease_is_taken_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_leader_that_cannot_renew_stops, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lost_lease_changes_hands_and_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sleeper_knows, setup, teardown),
        cmocka_unit_test_setup_teardown(taken_by_force, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_times_of_others_do_not_matter, setup, teardown),
        cmocka_unit_test_setup_teardown(odd_records_are_taken_over, setup, teardown),
        cmocka_unit_test_setup_teardown(the_leader_is_labelled, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_options, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
