/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/kube/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void expect_path(const struct pt_api_request *req, bool watch, const char *wanted)
{
    struct pt_err err = {0};
    pt_auto_buf out = PT_BUF_INIT(0);
    if (pt_kube_path(req, watch, 7, &out, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(pt_buf_cstr(&out), wanted);
}

static void test_paths(void **state)
{
    (void)state;
    expect_path(&(struct pt_api_request){.verb = PT_VERB_GET, .resource = &pt_res_secrets, .ns = "a", .name = "b"}, false, "/api/v1/namespaces/a/secrets/b");
    expect_path(&(struct pt_api_request){.verb = PT_VERB_LIST, .resource = &pt_res_pods, .label_selector = "x/y=z,k", .limit = 500, .continue_token = "a b"}, false,
                "/api/v1/pods?labelSelector=x%2Fy%3Dz%2Ck&limit=500&continue=a%20b");
    expect_path(&(struct pt_api_request){.verb = PT_VERB_LIST, .resource = &pt_res_modeldeployments, .resource_version = "12"}, true,
                "/apis/pintle.dev/v1alpha1/modeldeployments?watch=true&allowWatchBookmarks=true&timeoutSeconds=307&resourceVersion=12");
    expect_path(&(struct pt_api_request){.verb = PT_VERB_APPLY, .resource = &pt_res_services, .ns = "a", .name = "s", .field_manager = "m"}, false,
                "/api/v1/namespaces/a/services/s?fieldManager=m&force=true");
    expect_path(&(struct pt_api_request){.verb = PT_VERB_STRATEGIC, .resource = &pt_res_pods, .ns = "a", .name = "p", .subresource = "status", .field_manager = "m"},
                false, "/api/v1/namespaces/a/pods/p/status?fieldManager=m");
    expect_path(&(struct pt_api_request){.verb = PT_VERB_CREATE, .resource = &pt_res_pods, .ns = "a", .name = "ignored"}, false, "/api/v1/namespaces/a/pods");
    expect_path(&(struct pt_api_request){.verb = PT_VERB_CREATE, .resource = &pt_res_pods, .ns = "a", .strict = true}, false, "/api/v1/namespaces/a/pods?fieldValidation=Strict");
    expect_path(&(struct pt_api_request){.verb = PT_VERB_LIST, .resource = &pt_res_pods, .initial_events = true}, true,
                "/api/v1/pods?watch=true&allowWatchBookmarks=true&timeoutSeconds=307&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
    struct pt_err err = {0};
    pt_auto_buf out = PT_BUF_INIT(0);
    struct pt_api_request nameless = {.verb = PT_VERB_DELETE, .resource = &pt_res_pods, .ns = "a"};
    assert_int_equal(pt_kube_path(&nameless, false, 0, &out, &err), PT_EINVAL);
}

static void expect_status(int http, const char *body, int code, const char *reason, int64_t retry_ms)
{
    struct pt_api_result r = {.http = http, .body = pt_str(body), .retry_after_ms = -1};
    pt_kube_decode_status(&r, "GET /x");
    assert_int_equal(r.err.code, code);
    assert_string_equal(r.reason, reason);
    assert_int_equal(r.retry_after_ms, retry_ms);
    if (code != PT_OK)
        assert_non_null(strstr(r.err.msg, "GET /x"));
}

static void test_status(void **state)
{
    (void)state;
    expect_status(200, "{}", PT_OK, "", -1);
    expect_status(404, "{\"reason\":\"NotFound\",\"message\":\"m\"}", PT_ENOTFOUND, "NotFound", -1);
    expect_status(409, "{\"reason\":\"AlreadyExists\"}", PT_EEXIST, "AlreadyExists", -1);
    expect_status(409, "{\"reason\":\"Conflict\"}", PT_ECONFLICT, "Conflict", -1);
    expect_status(410, "{\"reason\":\"Expired\"}", PT_EGONE, "Expired", -1);
    expect_status(429, "{\"reason\":\"TooManyRequests\",\"details\":{\"retryAfterSeconds\":3}}", PT_EBUSY, "TooManyRequests", 3000);
    expect_status(422, "{\"reason\":\"Invalid\"}", PT_EINVAL, "Invalid", -1);
    expect_status(500, "not json", PT_EINTERNAL, "", -1);
    expect_status(503, "", PT_EUNAVAILABLE, "", -1);
    expect_status(418, "[]", PT_EINTERNAL, "", -1);
}

static void test_events(void **state)
{
    struct pt_watch_event e;
    struct pt_err err;
    (void)state;
    assert_int_equal(pt_kube_decode_event(PT_STR("{\"type\":\"MODIFIED\",\"object\":{\"a\":[1]}}"), &e, &err), PT_OK);
    assert_int_equal(e.type, PT_WATCH_MODIFIED);
    assert_int_equal(e.object.len, 9);
    assert_memory_equal(e.object.p, "{\"a\":[1]}", 9);
    assert_int_equal(pt_kube_decode_event(PT_STR("{\"object\":{},\"type\":\"BOOKMARK\",\"new\":null}"), &e, &err), PT_OK);
    assert_int_equal(e.type, PT_WATCH_BOOKMARK);
    static const char *const bad[] = {"", "{", "[]", "{\"type\":\"ADDED\"}", "{\"object\":{}}", "{\"type\":\"NEW\",\"object\":{}}", "{\"type\":1,\"object\":{}}",
                                      "{\"type\":\"ADDED\",\"object\":{\"a\":}}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_true(pt_kube_decode_event(pt_str(bad[i]), &e, &err) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_paths), cmocka_unit_test(test_status), cmocka_unit_test(test_events)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
