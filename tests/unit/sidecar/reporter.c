/* SPDX-License-Identifier: Apache-2.0
 *
 * reporter.c: reports to an operator of ours, over TLS with its private CA, on the same loop.
 */
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/http_server.h"
#include "sidecar/reporter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAX_REPORTS = 32 };

struct fixture {
    struct pt_loop *loop;
    struct pt_config config;
    struct pt_servable servable; /* never started: only its state is read */
    struct pt_scheduler *scheduler;
    struct pt_metrics *registry;
    struct pt_serving_metrics metrics;
    struct pt_reporter *reporter;
    struct pt_http_server *operator;
    struct pt_buf ca, ca_key;
    char token_file[64];
    int port;
    /* what the operator does and got */
    int status, after_ms, stop_at, count;
    struct {
        char body[4096], authorization[64];
        int64_t at_ms;
    } reports[MAX_REPORTS];
};

static void handle(void *arg, struct pt_http_request *req)
{
    struct fixture *f = arg;
    char reply[64];
    assert_true(f->count < MAX_REPORTS);
    struct pt_str body = pt_http_body(req), authorization = pt_http_header(req, "Authorization");
    assert_true(pt_str_eq(pt_http_method(req), PT_STR("POST")) && pt_str_eq(pt_http_path(req), PT_STR(PT_REPORT_PATH)));
    snprintf(f->reports[f->count].body, sizeof f->reports[0].body, PT_STR_FMT, PT_STR_ARG(body));
    snprintf(f->reports[f->count].authorization, sizeof f->reports[0].authorization, PT_STR_FMT, PT_STR_ARG(authorization));
    f->reports[f->count].at_ms = pt_now_ms(pt_loop_sched(f->loop));
    snprintf(reply, sizeof reply, "{\"future\":[1],\"" PT_REPORT_REPLY_AFTER "\":%d}", f->after_ms);
    pt_http_reply(req, f->status, "application/json", NULL, 0, f->status == 200 ? pt_str(reply) : PT_STR("{\"error\":\"no\"}"));
    if (++f->count == f->stop_at)
        pt_loop_stop(f->loop);
}

static void start_operator(struct fixture *f)
{
    pt_auto_buf cert = PT_BUF_INIT(0), key = PT_BUF_INIT(0);
    struct pt_tls *tls;
    char address[32];
    assert_int_equal(pt_ca_issue(pt_buf_cstr(&f->ca), pt_buf_cstr(&f->ca_key), "localhost,127.0.0.1", 1, &cert, &key, NULL), PT_OK);
    assert_int_equal(pt_tls_server_create(pt_buf_cstr(&cert), pt_buf_cstr(&key), &tls, NULL), PT_OK);
    snprintf(address, sizeof address, "127.0.0.1:%d", f->port);
    struct pt_http_server_options o = {.address = address, .tls = tls, .handler = handle, .arg = f};
    assert_int_equal(pt_http_server_start(f->loop, &o, &f->operator, NULL), PT_OK);
    f->port = pt_http_server_port(f->operator);
    pt_tls_destroy(tls);
}

static void write_token(struct fixture *f, const char *token)
{
    FILE *file = fopen(f->token_file, "w");
    assert_true(file && fputs(token, file) >= 0 && fclose(file) == 0);
}

static struct fixture *set_up(bool trusted)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct pt_buf other = PT_BUF_INIT(0);
    char url[64];
    pt_log_setup("test", PT_LOG_OFF, PT_LOG_TEXT);
    setenv(PT_ENV_POD_UID, "uid-1", 1);
    setenv(PT_ENV_POD_NAME, "pod-1", 1);
    setenv(PT_ENV_POD_NAMESPACE, "ns-1", 1);
    f->status = 200;
    f->after_ms = 3600000;
    assert_int_equal(pt_loop_create(&f->loop, NULL), PT_OK);
    assert_int_equal(pt_ca_create("test", 1, &f->ca, &f->ca_key, NULL), PT_OK);
    if (!trusted) {
        pt_auto_buf other_key = PT_BUF_INIT(0);
        assert_int_equal(pt_ca_create("other", 1, &other, &other_key, NULL), PT_OK);
    }
    start_operator(f);
    strcpy(f->token_file, "/tmp/pintle-token-XXXXXX");
    close(mkstemp(f->token_file));
    write_token(f, "first\n");
    snprintf(url, sizeof url, "https://localhost:%d" PT_REPORT_PATH, f->port);
    assert_int_equal(pt_config_init(&f->config, NULL), PT_OK);
    assert_int_equal(pt_config_set(&f->config, PT_CONFIG_REPORT, "url", url, NULL), PT_OK);
    assert_int_equal(pt_config_set(&f->config, PT_CONFIG_REPORT, "ca", pt_buf_cstr(trusted ? &f->ca : &other), NULL), PT_OK);
    assert_int_equal(pt_config_set(&f->config, PT_CONFIG_REPORT, "tokenFile", f->token_file, NULL), PT_OK);
    struct pt_scheduler_options so = {.workers = 1};
    assert_int_equal(pt_scheduler_create(f->loop, &so, &f->scheduler, NULL), PT_OK);
    assert_non_null(f->registry = pt_serving_registry_create(NULL));
    assert_int_equal(pt_serving_metrics_init(&f->metrics, f->registry, "digits", "1", NULL), PT_OK);
    f->servable.bytes_total = -1;
    assert_int_equal(pt_reporter_create(f->loop, &f->config, &f->servable, f->scheduler, &f->metrics, NULL, &f->reporter, NULL), PT_OK);
    pt_buf_finish(&other);
    return f;
}

static void tear_down(struct fixture *f)
{
    pt_reporter_destroy(f->reporter);
    pt_http_server_destroy(f->operator);
    pt_scheduler_destroy(f->scheduler);
    pt_serving_metrics_finish(&f->metrics);
    pt_metrics_destroy(f->registry);
    pt_loop_destroy(f->loop);
    pt_config_finish(&f->config);
    pt_buf_finish(&f->ca);
    pt_buf_finish(&f->ca_key);
    unlink(f->token_file);
    free(f);
}

static void on_timeout(struct pt_timer *t)
{
    (void)t;
    fail_msg("no report came");
}

/* Runs the loop until the operator has got so many reports in all. */
static void until_reports(struct fixture *f, int count)
{
    struct pt_timer limit = {0};
    f->stop_at = count;
    pt_timer_start(pt_loop_sched(f->loop), &limit, 10000, on_timeout);
    if (f->count < count)
        pt_loop_run(f->loop);
    pt_timer_stop(pt_loop_sched(f->loop), &limit);
}

struct stop {
    struct pt_timer timer; /* first member */
    struct pt_loop *loop;
};

static void stop_loop(struct pt_timer *t)
{
    pt_loop_stop(((struct stop *)t)->loop);
}

static void run_for(struct fixture *f, int64_t ms)
{
    struct stop stop = {.loop = f->loop};
    f->stop_at = 0;
    pt_timer_start(pt_loop_sched(f->loop), &stop.timer, ms, stop_loop);
    pt_loop_run(f->loop);
}

static void assert_has(const char *body, const char *text)
{
    if (!strstr(body, text))
        fail_msg("%s is not in %s", text, body);
}

static void says_how_it_is(void **state)
{
    (void)state;
    struct fixture *f = set_up(true);
    struct pt_job job = {.ran = true, .started_ns = 5, .finished_ns = 10};
    pt_serving_metrics_request(&f->metrics, 200, &job, pt_clock_mono_ns(), NULL);
    pt_serving_metrics_request(&f->metrics, 429, NULL, 0, NULL);
    pt_serving_metrics_request(&f->metrics, 500, NULL, 0, NULL);
    f->servable.state = PT_MODEL_READY;
    f->servable.has_digest = true;
    f->servable.digest[0] = 0xab;
    f->servable.bytes_done = 7;
    f->servable.bytes_total = 9;
    pt_reporter_now(f->reporter);
    assert_false(pt_reporter_idle(f->reporter));
    until_reports(f, 1);
    const char *b = f->reports[0].body;
    struct pt_json j;
    pt_json_init(&j, b, strlen(b));
    assert_true(pt_json_skip(&j, NULL) == PT_OK && pt_json_end(&j, NULL) == PT_OK);
    assert_string_equal(f->reports[0].authorization, "Bearer first");
    assert_has(b, "\"podUID\":\"uid-1\"");
    assert_has(b, "\"podName\":\"pod-1\"");
    assert_has(b, "\"namespace\":\"ns-1\"");
    assert_has(b, "\"sequence\":1,");
    assert_has(b, "\"startedMs\":");
    assert_has(b, "\"state\":\"Ready\"");
    assert_has(b, "\"digest\":\"sha256:ab00");
    assert_has(b, "\"modelVersion\":\"1\"");
    assert_has(b, "\"bytesDone\":7");
    assert_has(b, "\"bytesTotal\":9");
    assert_has(b, "\"inFlight\":0");
    assert_has(b, "\"requestsTotal\":3");
    assert_has(b, "\"errorsTotal\":1");
    assert_has(b, "\"rejectedTotal\":1");
    assert_has(b, "\"latency\":{\"boundsSeconds\":[0.0001,");
    assert_has(b, "\"memoryBytes\":");
    assert_has(b, "\"cpuSeconds\":");
    assert_null(strstr(b, "\"reason\""));
    f->servable.state = PT_MODEL_FAILED;
    f->servable.reason = PT_REASON_DIGEST_MISMATCH;
    pt_fail(&f->servable.error, PT_ECONFLICT, "digest: \"x\"");
    pt_reporter_now(f->reporter);
    until_reports(f, 2);
    assert_has(f->reports[1].body, "\"sequence\":2,");
    assert_has(f->reports[1].body, "\"state\":\"Failed\",\"reason\":\"DigestMismatch\",\"message\":\"digest: \\\"x\\\"\"");
    tear_down(f);
}

static void comes_back_when_told_on_one_connection(void **state)
{
    (void)state;
    struct fixture *f = set_up(true);
    f->after_ms = 50;
    pt_reporter_now(f->reporter);
    until_reports(f, 2);
    write_token(f, "second");
    until_reports(f, 4);
    assert_in_range(f->reports[3].at_ms - f->reports[0].at_ms, 140, 3000);
    assert_string_equal(f->reports[3].authorization, "Bearer second");
    assert_int_equal(pt_http_server_connections(f->operator), 1);
    f->after_ms = 0; /* not sensible: the interval stays */
    until_reports(f, 6);
    assert_true(f->reports[5].at_ms - f->reports[4].at_ms >= 45);
    tear_down(f);
}

static void a_change_during_a_report_is_reported_next(void **state)
{
    (void)state;
    struct fixture *f = set_up(true);
    pt_reporter_now(f->reporter);
    until_reports(f, 1); /* stopped in the handler: the answer is under way */
    f->servable.state = PT_MODEL_WARMING;
    pt_reporter_now(f->reporter);
    until_reports(f, 2);
    assert_has(f->reports[1].body, "\"state\":\"Warming\"");
    tear_down(f);
}

static void goes_on_when_the_operator_was_away(void **state)
{
    (void)state;
    struct fixture *f = set_up(true);
    f->after_ms = 20;
    pt_reporter_now(f->reporter);
    until_reports(f, 1);
    pt_http_server_destroy(f->operator);
    run_for(f, 300);
    assert_int_equal(f->count, 1);
    start_operator(f);
    until_reports(f, 3);
    assert_has(f->reports[2].body, "\"state\":\"Downloading\"");
    tear_down(f);
}

static void a_refusal_slows_it_down_but_a_change_does_not_wait(void **state)
{
    (void)state;
    struct fixture *f = set_up(true);
    f->status = 404;
    pt_reporter_now(f->reporter);
    until_reports(f, 1);
    run_for(f, 200);
    assert_int_equal(f->count, 1);
    pt_reporter_now(f->reporter);
    until_reports(f, 2);
    assert_true(f->reports[1].at_ms - f->reports[0].at_ms < 395);
    tear_down(f);
}

static void an_operator_of_another_ca_gets_nothing(void **state)
{
    (void)state;
    struct fixture *f = set_up(false);
    pt_reporter_now(f->reporter);
    run_for(f, 300);
    assert_int_equal(f->count, 0);
    tear_down(f);
}

static void no_token_no_report(void **state)
{
    (void)state;
    struct fixture *f = set_up(true);
    unlink(f->token_file);
    pt_reporter_now(f->reporter);
    run_for(f, 200);
    assert_int_equal(f->count, 0);
    write_token(f, "late");
    until_reports(f, 1);
    assert_string_equal(f->reports[0].authorization, "Bearer late");
    tear_down(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_how_it_is),
        cmocka_unit_test(comes_back_when_told_on_one_connection),
        cmocka_unit_test(a_change_during_a_report_is_reported_next),
        cmocka_unit_test(goes_on_when_the_operator_was_away),
        cmocka_unit_test(a_refusal_slows_it_down_but_a_change_does_not_wait),
        cmocka_unit_test(an_operator_of_another_ca_gets_nothing),
        cmocka_unit_test(no_token_no_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
