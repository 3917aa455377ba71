/* SPDX-License-Identifier: Apache-2.0
 *
 * The client against a server of ours on loopback that behaves as the script of each case says.
 */
#include "base/mem.h"
#include "net/http_server.h"
#include "operator/kube/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

struct fixture {
    struct pt_loop *loop;
    struct pt_http_server *server;
    struct pt_kube_client *client;
    struct pt_api *api;
    struct pt_timer deadline, step;
    /* the server's script */
    int status;
    const char *body;                /* whole answer, or */
    const char *const *pieces;       /* a stream, one piece per turn; NULL ends it */
    bool hold;                       /* never answer */
    struct pt_http_request *streaming;
    char seen[4096];                 /* what the server saw of the last request */
    /* what the client told */
    struct pt_api_call *call;
    int done, http, code;
    int64_t retry_after_ms;
    char reason[64], message[504];
    char events[4096];
    int event_count, cancel_at;
};

static struct fixture *f;

static void give_up(struct pt_timer *t)
{
    (void)t;
    pt_loop_stop(f->loop);
}

static void next_piece(struct pt_timer *t)
{
    if (!f->streaming)
        return;
    if (*f->pieces) {
        pt_http_chunk(f->streaming, pt_str(*f->pieces++));
        pt_timer_start(pt_loop_sched(f->loop), t, 2, next_piece);
        return;
    }
    struct pt_http_request *req = f->streaming;
    f->streaming = NULL;
    pt_http_on_close(req, NULL, NULL);
    pt_http_end(req);
}

static void stream_closed(void *arg)
{
    (void)arg;
    f->streaming = NULL;
}

static void handle(void *arg, struct pt_http_request *req)
{
    (void)arg;
    struct pt_str m = pt_http_method(req), p = pt_http_path(req), q = pt_http_query(req), b = pt_http_body(req), c = pt_http_header(req, "Content-Type"),
                  a = pt_http_header(req, "Authorization");
    snprintf(f->seen, sizeof f->seen, PT_STR_FMT " " PT_STR_FMT "?" PT_STR_FMT "|" PT_STR_FMT "|" PT_STR_FMT "|" PT_STR_FMT, PT_STR_ARG(m), PT_STR_ARG(p), PT_STR_ARG(q),
             PT_STR_ARG(c), PT_STR_ARG(a), PT_STR_ARG(b));
    if (f->hold)
        return;
    if (!f->pieces) {
        struct pt_http_header retry = {PT_STR("Retry-After"), PT_STR("2")};
        pt_http_reply(req, f->status, "application/json", &retry, f->status == 429, pt_str(f->body));
        return;
    }
    f->streaming = req;
    pt_http_on_close(req, stream_closed, NULL);
    pt_http_begin(req, 200, "application/json");
    pt_timer_start(pt_loop_sched(f->loop), &f->step, 0, next_piece);
}

static void on_done(void *arg, const struct pt_api_result *r)
{
    (void)arg;
    f->done++;
    f->http = r->http;
    f->code = r->err.code;
    f->retry_after_ms = r->retry_after_ms;
    snprintf(f->reason, sizeof f->reason, "%s", r->reason);
    snprintf(f->message, sizeof f->message, "%s", r->err.msg);
    if (f->code == PT_OK && !f->event_count)
        snprintf(f->events, sizeof f->events, PT_STR_FMT, PT_STR_ARG(r->body));
    pt_loop_stop(f->loop);
}

static void on_event(void *arg, const struct pt_watch_event *e)
{
    (void)arg;
    size_t n = strlen(f->events);
    snprintf(f->events + n, sizeof f->events - n, "%d" PT_STR_FMT ";", (int)e->type, PT_STR_ARG(e->object));
    if (++f->event_count == f->cancel_at) {
        pt_api_cancel(f->api, f->call);
        pt_loop_stop(f->loop);
    }
}

static int set_up(void **state)
{
    struct pt_err err = {0};
    struct pt_kube_config config = {0};
    (void)state;
    f = calloc(1, sizeof *f);
    assert_int_equal(pt_loop_create(&f->loop, &err), PT_OK);
    struct pt_http_server_options o = {.address = "127.0.0.1:0", .handler = handle};
    assert_int_equal(pt_http_server_start(f->loop, &o, &f->server, &err), PT_OK);
    config.server = pt_asprintf("http://127.0.0.1:%d", pt_http_server_port(f->server));
    config.token = pt_strdup("secret-token");
    assert_int_equal(pt_kube_client_create(f->loop, &config, NULL, &f->client, &err), PT_OK);
    f->api = pt_kube_client_api(f->client);
    f->status = 200;
    f->body = "{}";
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pt_timer_stop(pt_loop_sched(f->loop), &f->deadline);
    pt_timer_stop(pt_loop_sched(f->loop), &f->step);
    pt_kube_client_destroy(f->client);
    pt_http_server_destroy(f->server);
    pt_loop_destroy(f->loop);
    free(f);
    return 0;
}

static void run(void)
{
    pt_timer_start(pt_loop_sched(f->loop), &f->deadline, 5000, give_up);
    pt_loop_run(f->loop);
    pt_timer_stop(pt_loop_sched(f->loop), &f->deadline);
}

static void start(const struct pt_api_request *req)
{
    struct pt_err err = {0};
    if (pt_api_start(f->api, req, on_done, NULL, &f->call, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(f->done, 0); /* never inside the call */
    run();
}

static void watch(const char *const *pieces)
{
    struct pt_err err = {0};
    f->pieces = pieces;
    if (pt_api_watch(f->api, &(struct pt_api_request){.verb = PT_VERB_LIST, .resource = &pt_res_pods}, on_event, on_done, NULL, &f->call, &err) < 0)
        fail_msg("%s", err.msg);
    run();
}

static void test_verbs_on_the_wire(void **state)
{
    (void)state;
    start(&(struct pt_api_request){.verb = PT_VERB_APPLY, .resource = &pt_res_services, .ns = "n", .name = "s", .body = PT_STR("{\"a\":1}")});
    assert_string_equal(f->seen, "PATCH /api/v1/namespaces/n/services/s?fieldManager=pintle-operator&force=true|application/apply-patch+yaml|Bearer secret-token|{\"a\":1}");
    assert_int_equal(f->done, 1);
    f->done = 0;
    start(&(struct pt_api_request){.verb = PT_VERB_DELETE, .resource = &pt_res_pods, .ns = "n", .name = "p", .uid = "u-1", .grace_seconds = -1});
    assert_string_equal(f->seen, "DELETE /api/v1/namespaces/n/pods/p?|application/json|Bearer secret-token|{\"apiVersion\":\"v1\",\"kind\":\"DeleteOptions\","
                                 "\"propagationPolicy\":\"Background\",\"preconditions\":{\"uid\":\"u-1\"}}");
    assert_int_equal(f->code, PT_OK);
}

static void test_failures_carry_the_status(void **state)
{
    (void)state;
    f->status = 429;
    f->body = "{\"kind\":\"Status\",\"reason\":\"TooManyRequests\",\"message\":\"slow down\"}";
    start(&(struct pt_api_request){.verb = PT_VERB_GET, .resource = &pt_res_pods, .ns = "n", .name = "p"});
    assert_int_equal(f->code, PT_EBUSY);
    assert_int_equal(f->retry_after_ms, 2000);
    assert_string_equal(f->reason, "TooManyRequests");
    assert_non_null(strstr(f->message, "slow down"));
    assert_null(strstr(f->message, "secret-token"));
}

static void test_deadline(void **state)
{
    (void)state;
    f->hold = true;
    start(&(struct pt_api_request){.verb = PT_VERB_GET, .resource = &pt_res_pods, .ns = "n", .name = "p", .timeout_ms = 100});
    assert_int_equal(f->done, 1);
    assert_int_equal(f->code, PT_ETIMEDOUT);
    assert_int_equal(f->http, 0);
}

static void test_nobody_listens(void **state)
{
    (void)state;
    pt_http_server_destroy(f->server);
    f->server = NULL;
    start(&(struct pt_api_request){.verb = PT_VERB_GET, .resource = &pt_res_pods, .ns = "n", .name = "p"});
    assert_int_equal(f->code, PT_EUNAVAILABLE);
}

static void test_watch_lines_are_cut_anywhere(void **state)
{
    static const char *const pieces[] = {"{\"type\":\"ADDED\",\"obj", "ect\":{\"n\":1}}", "\n{\"type\":\"MODIFIED\",\"object\":{\"n\":2}}\n{\"type\":\"BOOKM",
                                         "ARK\",\"object\":{}}\n", NULL};
    (void)state;
    watch(pieces);
    assert_string_equal(f->events, "0{\"n\":1};1{\"n\":2};3{};");
    assert_int_equal(f->done, 1);
    assert_int_equal(f->code, PT_OK);
}

static void test_watch_with_garbage_ends(void **state)
{
    static const char *const pieces[] = {"{\"type\":\"ADDED\",\"object\":{}}\n", "<html>\n", "{\"type\":\"ADDED\",\"object\":{}}\n", NULL};
    (void)state;
    watch(pieces);
    assert_int_equal(f->event_count, 1);
    assert_int_equal(f->done, 1);
    assert_int_equal(f->code, PT_EPARSE);
}

static void test_watch_refused(void **state)
{
    (void)state;
    f->status = 410;
    f->body = "{\"kind\":\"Status\",\"reason\":\"Expired\",\"message\":\"too old resource version\"}";
    watch(NULL);
    assert_int_equal(f->event_count, 0);
    assert_int_equal(f->code, PT_EGONE);
    assert_string_equal(f->reason, "Expired");
}

static void test_cancel_inside_an_event(void **state)
{
    static const char *const pieces[] = {"{\"type\":\"ADDED\",\"object\":{}}\n{\"type\":\"ADDED\",\"object\":{}}\n{\"type\":\"ADDED\",\"object\":{}}\n", NULL};
    (void)state;
    f->cancel_at = 2;
    watch(pieces);
    assert_int_equal(f->event_count, 2);
    assert_int_equal(f->done, 0);
}

static void test_destroy_cancels(void **state)
{
    struct pt_err err = {0};
    (void)state;
    f->hold = true;
    for (int i = 0; i < 20; i++)
        assert_int_equal(pt_api_start(f->api, &(struct pt_api_request){.verb = PT_VERB_GET, .resource = &pt_res_pods, .ns = "n", .name = "p"}, on_done, NULL, NULL, &err),
                         PT_OK);
    pt_timer_start(pt_loop_sched(f->loop), &f->deadline, 50, give_up);
    pt_loop_run(f->loop);
    assert_int_equal(f->done, 0);
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_verbs_on_the_wire),       CASE(test_failures_carry_the_status), CASE(test_deadline),      CASE(test_nobody_listens),         CASE(test_watch_lines_are_cut_anywhere),
        CASE(test_watch_with_garbage_ends), CASE(test_watch_refused),             CASE(test_cancel_inside_an_event), CASE(test_destroy_cancels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
