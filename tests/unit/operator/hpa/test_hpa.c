/* SPDX-License-Identifier: Apache-2.0
 *
 * The answers of the metrics API, from loads that the test makes up. Who may ask is tested against a real API server (tests/cluster).
 */
#include "base/mem.h"
#include "operator/ctrl/obj.h"
#include "operator/hpa/answer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define V1 PT_HPA_PATH "/namespaces/models/"

static const struct pt_load loads[] = {
    {"digits-a", "digits", "digits-r1", 2, 10.5, 0.0251, 0.3},
    {"digits-b", "digits", "digits-r2", 0.25, 0, 0.5, NAN},
    {"other-a", "other", "other-r1", 7, 1e30, NAN, NAN},
};
static const char *asked_ns;

static void each(void *source, const char *ns, pt_load_fn fn, void *arg)
{
    (void)source;
    asked_ns = strcmp(ns, "models") == 0 ? "models" : "another";
    for (size_t i = 0; !strcmp(ns, "models") && i < sizeof loads / sizeof *loads; i++)
        fn(arg, &loads[i]);
}

static cJSON *ask(const char *path, const char *labels, const char *metric, int want)
{
    pt_auto_buf out = PT_BUF_INIT(1 << 20);
    struct pt_hpa_request r = {pt_str(path), labels, metric};
    struct pt_err err;
    cJSON *o = NULL;
    assert_int_equal(pt_hpa_answer(&r, each, NULL, 1700000000000, &out), want);
    assert_int_equal(pt_obj_parse((struct pt_str){out.data, out.len}, "answer", &o, &err), PT_OK);
    if (want != 200) {
        assert_string_equal(pt_obj_text(o, "kind"), "Status");
        assert_int_equal(pt_obj_int(o, "code", 0), want);
    }
    return o;
}

static void the_list_names_what_can_be_asked(void **state)
{
    (void)state;
    pt_auto_obj *o = ask(PT_HPA_PATH, NULL, NULL, 200);
    assert_string_equal(pt_obj_text(o, "groupVersion"), "custom.metrics.k8s.io/v1beta2");
    const cJSON *r;
    int pods = 0, deployments = 0;
    cJSON_ArrayForEach(r, pt_obj_get(o, "resources"))
    {
        pods += !strncmp(pt_obj_text(r, "name"), "pods/", 5);
        deployments += !strncmp(pt_obj_text(r, "name"), "modeldeployments.pintle.dev/", 28);
        assert_string_equal(pt_obj_text(r, "kind"), "MetricValueList");
    }
    assert_true(pods >= 2 && pods == deployments);
}

static void pods_by_selector_and_by_name(void **state)
{
    (void)state;
    pt_auto_obj *all = ask(V1 "pods/*/inference_concurrency", "pintle.dev/model-deployment=digits", NULL, 200);
    assert_int_equal(cJSON_GetArraySize(pt_obj_get(all, "items")), 2);
    assert_string_equal(pt_obj_text(all, "items.0.describedObject.kind"), "Pod");
    assert_string_equal(pt_obj_text(all, "items.0.describedObject.name"), "digits-a");
    assert_string_equal(pt_obj_text(all, "items.0.describedObject.namespace"), "models");
    assert_string_equal(pt_obj_text(all, "items.0.metric.name"), "inference_concurrency");
    assert_string_equal(pt_obj_text(all, "items.0.value"), "2000m");
    assert_string_equal(pt_obj_text(all, "items.1.value"), "250m");
    assert_string_equal(pt_obj_text(all, "items.1.timestamp"), "2023-11-14T22:13:20Z");
    pt_auto_obj *escaped =
        ask(V1 "pods/%2A/inference_concurrency", "controller-revision-hash == digits-r2, app.kubernetes.io/managed-by=pintle-operator", "", 200);
    assert_int_equal(cJSON_GetArraySize(pt_obj_get(escaped, "items")), 1);
    pt_auto_obj *none = ask(V1 "pods/*/requests_per_second", "app.kubernetes.io/managed-by=somebody", NULL, 200);
    assert_int_equal(cJSON_GetArraySize(pt_obj_get(none, "items")), 0);
    pt_auto_obj *one = ask(V1 "pods/digits-a/requests_per_second", NULL, NULL, 200);
    assert_string_equal(pt_obj_text(one, "items.0.value"), "10500m");
    pt_auto_obj *huge = ask(V1 "pods/other-a/requests_per_second", NULL, NULL, 200);
    assert_string_equal(pt_obj_text(huge, "items.0.value"), "1000000000000000000m");
}

/* Of times a ModelDeployment has the longest of its pods'; a pod that answered nothing has none. */
static void delays(void **state)
{
    (void)state;
    pt_auto_obj *one = ask(V1 "pods/digits-a/queue_delay", NULL, NULL, 200), *late = ask(V1 "pods/*/latency", NULL, NULL, 200);
    assert_string_equal(pt_obj_text(one, "items.0.value"), "25m"); /* thousandths of a second */
    assert_int_equal(cJSON_GetArraySize(pt_obj_get(late, "items")), 1);
    assert_string_equal(pt_obj_text(late, "items.0.value"), "300m");
    pt_auto_obj *all = ask(V1 "modeldeployments.pintle.dev/digits/queue_delay", NULL, NULL, 200), *none = ask(V1 "modeldeployments.pintle.dev/other/latency", NULL, NULL, 404);
    assert_string_equal(pt_obj_text(all, "items.0.value"), "500m");
    assert_non_null(strstr(pt_obj_text(none, "message"), "latency"));
}

static void a_deployment_is_the_sum_of_its_pods(void **state)
{
    (void)state;
    pt_auto_obj *o = ask(V1 "modeldeployments.pintle.dev/digits/inference_concurrency", NULL, NULL, 200);
    assert_int_equal(cJSON_GetArraySize(pt_obj_get(o, "items")), 1);
    assert_string_equal(pt_obj_text(o, "items.0.describedObject.kind"), "ModelDeployment");
    assert_string_equal(pt_obj_text(o, "items.0.describedObject.apiVersion"), "pintle.dev/v1alpha1");
    assert_string_equal(pt_obj_text(o, "items.0.value"), "2250m");
}

static void what_is_not_there_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *path, *labels, *metric;
        int status;
        const char *says;
    } rows[] = {
        {"/", NULL, NULL, 404, PT_HPA_PATH},
        {PT_HPA_PATH "x", NULL, NULL, 404, PT_HPA_PATH},
        {PT_HPA_PATH "/namespaces/models/pods", NULL, NULL, 404, "NAME/METRIC"},
        {V1 "pods/digits-a/requests_per_second/more", NULL, NULL, 404, "NAME/METRIC"},
        {V1 "pods/digits-a/colour", NULL, NULL, 404, "colour"},
        {V1 "services/digits/requests_per_second", NULL, NULL, 404, "services"},
        {V1 "pods/gone/requests_per_second", NULL, NULL, 404, "gone"},
        {V1 "modeldeployments.pintle.dev/gone/requests_per_second", NULL, NULL, 404, "gone"},
        {V1 "modeldeployments.pintle.dev/*/requests_per_second", NULL, NULL, 400, "*"},
        {V1 "modeldeployments.pintle.dev/digits/requests_per_second", "a=b", NULL, 400, "a=b"},
        {V1 "pods/*/requests_per_second", "team=x", NULL, 400, "team=x"},
        {V1 "pods/*/requests_per_second", "pintle.dev/model-deployment!=digits", NULL, 400, "!="},
        {V1 "pods/*/requests_per_second", "pintle.dev/model-deployment in (a)", NULL, 400, " in "},
        {V1 "pods/*/requests_per_second", NULL, "verb=GET", 400, "verb=GET"},
        {V1 "pods/a\"b/requests_per_second", NULL, NULL, 400, "a\"b"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pt_auto_obj *o = ask(rows[i].path, rows[i].labels, rows[i].metric, rows[i].status);
        if (!strstr(pt_obj_text(o, "message"), rows[i].says))
            fail_msg("%s: \"%s\" does not say \"%s\"", rows[i].path, pt_obj_text(o, "message"), rows[i].says);
    }
    pt_auto_obj *o = ask(PT_HPA_PATH "/namespaces/empty/pods/*/requests_per_second", NULL, NULL, 200);
    assert_int_equal(cJSON_GetArraySize(pt_obj_get(o, "items")), 0);
    assert_string_equal(asked_ns, "another");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_list_names_what_can_be_asked),
        cmocka_unit_test(pods_by_selector_and_by_name),
        cmocka_unit_test(delays), cmocka_unit_test(a_deployment_is_the_sum_of_its_pods),
        cmocka_unit_test(what_is_not_there_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
