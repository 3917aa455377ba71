/* SPDX-License-Identifier: Apache-2.0
 *
 * What becomes of single pods: gates, which goes first, and how one that serves is taken out.
 */
#include "scene.h"

/* What the plan does to the gate of the first pod when the gate is `gate (gate_reason)` and the sidecar says `model` (-1: nothing yet). */
static void gates(void **state)
{
    (void)state;
    static const struct {
        enum pt_truth gate;
        const char *gate_reason;
        int model;
        const char *digest, *wanted; /* words of the patch, in this order; NULL: none */
        bool warning;
    } rows[] = {
        {PT_UNKNOWN, "", -1, "", "\"True\" AwaitingModel", false},
        {PT_UNKNOWN, "", PT_MODEL_DOWNLOADING, "", "\"True\" AwaitingModel", false},
        {PT_UNKNOWN, "", PT_MODEL_READY, "", "\"True\" ModelReady", false},
        {PT_TRUE, PT_GATE_AWAITING, -1, "", NULL, false}, /* silence changes nothing */
        {PT_TRUE, PT_GATE_READY, -1, "", NULL, false},
        {PT_FALSE, "DigestMismatch", -1, "", NULL, false},
        {PT_TRUE, PT_GATE_AWAITING, PT_MODEL_LOADING, "", NULL, false},
        {PT_TRUE, PT_GATE_AWAITING, PT_MODEL_READY, "", "\"True\" ModelReady", false},
        {PT_TRUE, PT_GATE_READY, PT_MODEL_READY, "", NULL, false},
        {PT_TRUE, PT_GATE_READY, PT_MODEL_LOADING, "", "\"True\" AwaitingModel", false}, /* the container began anew */
        {PT_TRUE, PT_GATE_READY, PT_MODEL_DRAINING, "", "\"False\" Draining", false},
        {PT_TRUE, PT_GATE_AWAITING, PT_MODEL_FAILED, "", "\"False\" ModelLoadFailed", true},
        {PT_FALSE, "ModelLoadFailed", PT_MODEL_FAILED, "", NULL, false},
        {PT_FALSE, "ModelLoadFailed", PT_MODEL_DOWNLOADING, "", NULL, false}, /* trying again: closed until it is loaded */
        {PT_FALSE, "ModelLoadFailed", PT_MODEL_READY, "", "\"True\" ModelReady", false},
        {PT_TRUE, PT_GATE_AWAITING, PT_MODEL_READY, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
         "\"False\" DigestMismatch", true}, /* Ready, but with what? */
    };
    static struct scene t;
    struct pt_err err;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char on[16], reason[32];
        plan(&t, "nS nA", (struct pt_spec)ROLL(2, 1, 0));
        pt_plan_finish(&t.plan);
        t.pods[1].gate_reason = PT_GATE_READY;
        t.pods[0].gate = rows[i].gate;
        t.pods[0].gate_reason = rows[i].gate_reason;
        struct pt_pod_told told = {.model = (enum pt_model_state)rows[i].model, .reason = rows[i].model == PT_MODEL_FAILED ? PT_REASON_MODEL_LOAD_FAILED : PT_REASON_NONE};
        t.pods[0].state.told = rows[i].model >= 0 ? &told : NULL;
        t.revisions[0].digest = rows[i].digest;
        assert_int_equal(pt_plan_make(&t.s, &t.plan, &err), PT_OK);
        const struct pt_effect *e = effect(&t, PT_EFFECT_PATCH_GATE);
        if (!rows[i].wanted != !e)
            fail_msg("row %zu: %s", i, e ? e->body.p : "no patch");
        if (e) {
            assert_int_equal(sscanf(rows[i].wanted, "%15s %31s", on, reason), 2);
            if (!gate_says(e, on) || !gate_says(e, reason) || e->warning != rows[i].warning)
                fail_msg("row %zu: %s", i, e->body.p);
        }
        pt_plan_finish(&t.plan);
    }
}

/* Which of two pods goes first. */
static void victims(void **state)
{
    (void)state;
    static struct scene t;
    plan(&t, "nA nA nA", (struct pt_spec)ROLL(3, 1, 0));
    char is[256];
    t.md.spec.replicas = 2;
    struct pt_pod_told told[] = {{.in_flight = 3}, {.in_flight = 1}, {.in_flight = 2}};
    for (int i = 0; i < 3; i++)
        t.pods[i].state.told = &told[i];
    again(&t);
    summary(&t, is);
    assert_string_equal(is, "-p1nA "); /* least work in flight */
    t.pods[0].deletion_cost = -1;
    again(&t);
    summary(&t, is);
    assert_string_equal(is, "-p0nA "); /* unless somebody said otherwise by hand */
    t.pods[0].deletion_cost = 0;
    for (int i = 0; i < 3; i++)
        t.pods[i].state.told = NULL;
    t.pods[0].node = 1;
    t.pods[1].node = t.pods[2].node = 2;
    t.pods[1].restarts = 1;
    again(&t);
    summary(&t, is);
    assert_string_equal(is, "-p1nA "); /* of two on one node, the one that ended more often */
    t.pods[0].ready = false;
    again(&t);
    summary(&t, is);
    assert_string_equal(is, "xp0nA "); /* what does not serve always goes first */
    pt_plan_finish(&t.plan);
}

/* Deleted when its node has seen the gate and endpoints had their time; a silent node does not hold it up for ever. */
/* A patch whose answer was lost: the pod counts as leaving, takes up room, and is asked again. */
static void lost_removals(void **state)
{
    (void)state;
    static struct scene t;
    char is[256];
    plan(&t, "nA nA nA", (struct pt_spec)ROLL(2, 1, 0));
    summary(&t, is);
    assert_string_equal(is, "-p0nA ");
    assert_true(effect(&t, PT_EFFECT_PATCH_GATE)->removal);
    t.pods[0].state.removing_ms = NOW;
    again(&t);
    summary(&t, is);
    assert_string_equal(is, "");
    t.md.spec.replicas = 3; /* wanted again, but there is no room before it is known */
    t.md.spec.max_surge = (struct pt_amount){0, false};
    t.md.spec.max_unavailable = (struct pt_amount){1, false};
    again(&t);
    summary(&t, is);
    assert_string_equal(is, "");
    t.s.now_ms += 30000;
    again(&t);
    summary(&t, is);
    assert_string_equal(is, "-p0nA ");
    pt_plan_finish(&t.plan);
}

/* It may be ready by the time its deletion arrives, unless it is out of service for good. */
static void deletes_what_was_looked_at(void **state)
{
    (void)state;
    static struct scene t;
    static const struct {
        const char *pod;
        uint64_t rv;
    } rows[] = {{"nW", 77}, {"nF", 77}, {"nD", 0}, {"nE", 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        plan(&t, rows[i].pod, (struct pt_spec)ROLL(0, 1, 0));
        t.pods[0].o.rv = 77;
        t.s.now_ms += 1600; /* who drains is done */
        again(&t);
        const struct pt_effect *e = effect(&t, PT_EFFECT_DELETE_POD);
        assert_non_null(e);
        assert_string_equal(e->uid, t.pods[0].o.uid);
        assert_int_equal(e->rv, rows[i].rv);
        pt_plan_finish(&t.plan);
    }
}

static void drains(void **state)
{
    (void)state;
    static struct scene t;
    plan(&t, "nD nA nA", (struct pt_spec)ROLL(2, 1, 0));
    assert_null(effect(&t, PT_EFFECT_DELETE_POD));
    assert_int_equal(t.plan.requeue_ms, 1600); /* not ready for 400 of 2,000 ms */
    t.s.now_ms += 1600;
    again(&t);
    assert_non_null(effect(&t, PT_EFFECT_DELETE_POD));
    t.pods[0].ready = true;
    t.pods[0].state.drained_ms = -1;
    again(&t);
    assert_null(effect(&t, PT_EFFECT_DELETE_POD));
    t.s.now_ms += 10000;
    again(&t);
    assert_non_null(effect(&t, PT_EFFECT_DELETE_POD));
    pt_plan_finish(&t.plan);
}

static struct pt_slice *slice(const char *json)
{
    struct pt_object *o = NULL;
    struct pt_err err;
    assert_int_equal(pt_slice_decode(pt_str(json), &o, &err), PT_OK);
    return (struct pt_slice *)o;
}

#define SLICE(endpoints)                                                                                                                             \
    "{\"metadata\":{\"name\":\"m-1\",\"namespace\":\"ns\",\"uid\":\"e\",\"resourceVersion\":\"7\",\"ownerReferences\":[{\"kind\":\"Service\","       \
    "\"name\":\"m\","                                                                                                                                \
    "\"uid\":\"s\",\"controller\":true}]},\"endpoints\":[" endpoints "]}"
#define ENDPOINT(name, conditions)                                                                                                                   \
    "{\"addresses\":[\"10.0.0.1\"],\"conditions\":{" conditions "},\"targetRef\":{\"kind\":\"Pod\",\"name\":\"" name "\"}}"

static void slices_name_who_gets_traffic(void **state)
{
    (void)state;
    struct pt_slice *s =
        slice(SLICE(ENDPOINT("a-1", "\"ready\":true") "," ENDPOINT("a", "\"ready\":false") "," ENDPOINT("b", "") ",{\"addresses\":[\"10.0.0.2\"]}"));
    assert_string_equal(s->o.owner_uid, "s");
    assert_string_equal(s->o.owner_name, "m");
    assert_true(pt_slice_has(s, "a-1") && pt_slice_has(s, "b"));
    assert_false(pt_slice_has(s, "a") || pt_slice_has(s, "1") || pt_slice_has(s, "a-"));
    pt_packed_free(&s->o);
    s = slice("{\"metadata\":{\"name\":\"m-1\",\"uid\":\"e\",\"resourceVersion\":\"7\"},\"endpoints\":null}");
    assert_false(pt_slice_has(s, "a"));
    pt_packed_free(&s->o);
}

static void drains_until_no_slice_has_it(void **state)
{
    (void)state;
    static struct scene t;
    struct pt_slice *has = slice(SLICE(ENDPOINT("p0nD", "\"ready\":true"))), *has_not = slice(SLICE(ENDPOINT("p0nD", "\"ready\":false")));
    plan(&t, "nD nA nA", (struct pt_spec)ROLL(2, 1, 0));
    t.s.slices = has;
    t.s.now_ms += 5000; /* its node has followed long ago */
    again(&t);
    assert_null(effect(&t, PT_EFFECT_DELETE_POD));
    assert_int_equal(t.plan.requeue_ms, 10000 - 5500 + 2000);
    t.s.slices = has_not;
    t.pods[0].state.left_ms = t.s.now_ms - 300;
    again(&t);
    assert_null(effect(&t, PT_EFFECT_DELETE_POD));
    assert_int_equal(t.plan.requeue_ms, 1700);
    t.s.now_ms += 1700;
    again(&t);
    assert_non_null(effect(&t, PT_EFFECT_DELETE_POD));
    t.s.slices = has; /* for ever: not longer than the bound */
    t.s.now_ms = NOW - 500 + 12000;
    again(&t);
    assert_non_null(effect(&t, PT_EFFECT_DELETE_POD));
    pt_plan_finish(&t.plan);
    pt_packed_free(&has->o);
    pt_packed_free(&has_not->o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gates),
        cmocka_unit_test(victims),
        cmocka_unit_test(lost_removals),
        cmocka_unit_test(deletes_what_was_looked_at),
        cmocka_unit_test(drains),
        cmocka_unit_test(slices_name_who_gets_traffic),
        cmocka_unit_test(drains_until_no_slice_has_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
