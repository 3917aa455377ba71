/* SPDX-License-Identifier: Apache-2.0
 *
 * What the status says, and that it is written only when it says something else.
 */
#include "scene.h"

static void statuses(void **state)
{
    (void)state;
    static struct scene t;
    struct pt_spec spec = ROLL(2, 1, 0);
    plan(&t, "nA nA", spec);
    cJSON *s = status_of(&t);
    assert_string_equal(pt_obj_str(s, "metadata.resourceVersion"), "5");
    assert_string_equal(condition(s, "Ready", "status"), "True");
    assert_string_equal(condition(s, "Reconciling", "status"), "False");
    assert_string_equal(condition(s, "ModelLoaded", "status"), "True");
    assert_string_equal(pt_obj_str(s, "status.selector"), "pintle.dev/model-deployment=m");
    assert_string_equal(pt_obj_str(s, "status.endpoint"), "http://m.ns.svc:8080");
    assert_string_equal(pt_obj_str(s, "status.currentRevision"), t.update);
    assert_string_equal(pt_obj_str(s, "status.model.state"), "Loaded");
    assert_int_equal(pt_obj_int(s, "status.observedGeneration", 0), 2);
    cJSON_Delete(s);
    pt_plan_finish(&t.plan);

    plan(&t, "cA cA nF", spec);
    s = status_of(&t);
    assert_string_equal(condition(s, "Ready", "status"), "False");
    assert_string_equal(condition(s, "Ready", "reason"), "DigestMismatch");
    assert_string_equal(condition(s, "Available", "status"), "True");
    assert_string_equal(condition(s, "ModelLoaded", "reason"), "DigestMismatch");
    assert_string_equal(condition(s, "Stalled", "status"), "True");
    assert_string_equal(pt_obj_str(s, "status.model.state"), "Failed");
    assert_string_equal(pt_obj_str(s, "status.model.lastFailure.pod"), "p2nF");
    assert_string_equal(pt_obj_str(s, "status.currentRevision"), "m-current");
    cJSON_Delete(s);
    pt_plan_finish(&t.plan);
}

static void a_second_look_writes_nothing(void **state)
{
    (void)state;
    static struct scene t;
    struct pt_err err;
    struct pt_spec spec = ROLL(2, 1, 0);
    struct pt_plan again;
    struct pt_object *o;
    plan(&t, "nA nA", spec);
    cJSON *s = status_of(&t);
    pt_auto_buf object = PT_BUF_INIT(0), status = PT_BUF_INIT(0);
    assert_int_equal(pt_obj_print(pt_obj_get(s, "status"), &status, &err), PT_OK);
    pt_buf_printf(&object,
                  "{\"metadata\":{\"name\":\"m\",\"namespace\":\"ns\",\"uid\":\"u\",\"resourceVersion\":\"6\",\"generation\":2},\"spec\":{"
                  "\"replicas\":2,\"model\":{"
                  "\"uri\":\"https://h/p\"},\"strategy\":{\"rollingUpdate\":{\"maxSurge\":1}}},\"status\":%s}",
                  pt_buf_cstr(&status));
    assert_int_equal(pt_md_decode((struct pt_str){object.data, object.len}, &o, &err), PT_OK);
    t.s.md = (struct pt_md *)o;
    t.s.wall_ms += 3600000; /* time alone changes nothing */
    assert_int_equal(pt_plan_make(&t.s, &again, &err), PT_OK);
    assert_int_equal(again.count, 0);
    assert_int_equal(again.requeue_ms, -1);
    pt_plan_finish(&again);
    pt_plan_finish(&t.plan);
    pt_md_free(o);
    cJSON_Delete(s);
}

static void progress_deadline(void **state)
{
    (void)state;
    static struct scene t;
    struct pt_plan p;
    struct pt_err err;
    struct pt_spec spec = ROLL(2, 1, 0);
    plan(&t, "nS nS", spec);
    assert_int_equal(t.plan.requeue_ms, 600000);
    t.s.progress = t.plan.progress;
    t.s.progress_ms = NOW;
    pt_plan_finish(&t.plan);
    t.s.now_ms = NOW + 600000;
    assert_int_equal(pt_plan_make(&t.s, &p, &err), PT_OK);
    t.plan = p;
    cJSON *s = status_of(&t);
    assert_string_equal(condition(s, "Progressing", "status"), "False");
    assert_string_equal(condition(s, "Progressing", "reason"), "ProgressDeadlineExceeded");
    assert_string_equal(condition(s, "Stalled", "status"), "True");
    cJSON_Delete(s);
    pt_plan_finish(&t.plan);
    t.s.progress.complete = true; /* it was complete until just now: the deadline begins again */
    assert_int_equal(pt_plan_make(&t.s, &t.plan, &err), PT_OK);
    s = status_of(&t);
    assert_string_equal(condition(s, "Progressing", "status"), "True");
    cJSON_Delete(s);
    pt_plan_finish(&t.plan);
}

/* What was refused is said, and nothing else waits for it; bad luck is not said before the third time. */
static void refusals(void **state)
{
    (void)state;
    static const struct {
        struct pt_refusal r;
        const char *stalled, *message; /* "": not stalled */
        bool adopts;
    } rows[] = {
        {{PT_EFFECT_ADOPT_SERVICE, "m", "forbidden", 1, true, NOW - 1000}, "AdoptionFailed", "taking in Service m: forbidden", false},
        {{PT_EFFECT_ADOPT_SERVICE, "m", "forbidden", 4, true, NOW - 31000}, "AdoptionFailed", "taking in Service m: forbidden", true}, /* tried again */
        {{PT_EFFECT_ADOPT_SERVICE, "m", "internal error", 2, false, NOW - 10}, "", "", true},
        {{PT_EFFECT_ADOPT_SERVICE, "m", "internal error", 3, false, NOW - 10}, "AdoptionFailed", "taking in Service m: internal error", true},
        {{PT_EFFECT_DELETE_POD, "p7", "denied by a webhook", 1, true, NOW - 10}, "FailedDelete", "deleting Pod p7: denied by a webhook", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        static struct scene t;
        struct pt_err err;
        plan(&t, "nA", (struct pt_spec)ROLL(2, 1, 0));
        pt_plan_finish(&t.plan);
        t.service = (struct pt_shaped){.o = {.ns = "ns", .name = "m", .uid = "s", .owner_name = "m"}, .shape = ""}; /* an orphan */
        t.s.refusals = &rows[i].r;
        t.s.refusal_count = 1;
        assert_int_equal(pt_plan_make(&t.s, &t.plan, &err), PT_OK);
        assert_int_equal(effect(&t, PT_EFFECT_ADOPT_SERVICE) != NULL, rows[i].adopts);
        assert_int_equal(effect(&t, PT_EFFECT_CREATE_POD) != NULL, !rows[i].adopts);
        if (*rows[i].stalled) {
            pt_auto_obj *s = status_of(&t);
            assert_string_equal(condition(s, "Stalled", "status"), "True");
            assert_string_equal(condition(s, "Stalled", "reason"), rows[i].stalled);
            assert_string_equal(condition(s, "Stalled", "message"), rows[i].message);
        } else {
            assert_null(effect(&t, PT_EFFECT_PATCH_STATUS));
        }
        pt_plan_finish(&t.plan);
    }
}

static void all_refusals_are_named(void **state)
{
    (void)state;
    static const struct pt_refusal rows[] = {
        {PT_EFFECT_DELETE_POD, "p7", "denied by a webhook", 1, true, NOW - 10},
        {PT_EFFECT_PATCH_GATE, "p8", "internal error", 2, false, NOW - 10}, /* bad luck */
        {PT_EFFECT_DELETE_POD, "p9", "denied by a webhook", 1, true, NOW - 10},
        {PT_EFFECT_PATCH_SERVICE, "m", "forbidden", 1, true, NOW - 10},
    };
    static struct scene t;
    struct pt_err err;
    plan(&t, "nA", (struct pt_spec)ROLL(2, 1, 0));
    pt_plan_finish(&t.plan);
    t.s.refusals = rows;
    t.s.refusal_count = sizeof rows / sizeof *rows;
    assert_int_equal(pt_plan_make(&t.s, &t.plan, &err), PT_OK);
    pt_auto_obj *s = status_of(&t);
    assert_string_equal(condition(s, "Stalled", "reason"), "FailedDelete");
    assert_string_equal(condition(s, "Stalled", "message"), "deleting Pod p7: denied by a webhook; updating Service m: forbidden");
    pt_plan_finish(&t.plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses),
        cmocka_unit_test(a_second_look_writes_nothing),
        cmocka_unit_test(progress_deadline),
        cmocka_unit_test(refusals),
        cmocka_unit_test(all_refusals_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
