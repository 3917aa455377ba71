/* SPDX-License-Identifier: Apache-2.0
 *
 * The operator's certificate authority against memapi, in real time with lifetimes of seconds.
 */
#include "base/log.h"
#include "base/mem.h"
#include "net/loop.h"
#include "operator/memapi/memapi.h"
#include "operator/report/ca.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

struct holder {
    struct pt_ca *ca;
    int told, changed, failures;
    char cert[4096], key[4096], first_cert[4096], first_key[4096];
};

static struct pt_loop *loop;
static struct pt_memapi *api;
static bool works;

static bool does_work(void *arg)
{
    (void)arg;
    return works;
}

static void on_ca(void *arg, const char *cert, const char *key, const struct pt_err *failure)
{
    struct holder *h = arg;
    if (failure) {
        h->failures++;
        return;
    }
    h->changed += h->told++ && strcmp(h->cert, cert) != 0;
    snprintf(h->cert, sizeof h->cert, "%s", cert);
    snprintf(h->key, sizeof h->key, "%s", key);
    if (h->told == 1) {
        snprintf(h->first_cert, sizeof h->first_cert, "%s", cert);
        snprintf(h->first_key, sizeof h->first_key, "%s", key);
    }
}

static int setup(void **state)
{
    (void)state;
    struct pt_err err;
    pt_log_setup("test", PT_LOG_OFF, PT_LOG_TEXT);
    if (pt_loop_create(&loop, &err) < 0)
        return -1;
    struct pt_memapi_options o = {.sched = pt_loop_sched(loop), .seed = 3, .latency_ms = 1};
    works = true;
    return pt_memapi_create(&o, &api, NULL);
}

static int teardown(void **state)
{
    (void)state;
    pt_memapi_destroy(api);
    pt_loop_destroy(loop);
    return 0;
}

static void stop(struct pt_timer *t)
{
    (void)t;
    pt_loop_stop(loop);
}

static void run(int64_t ms)
{
    static struct pt_timer t;
    pt_timer_start(pt_loop_sched(loop), &t, ms, stop);
    pt_loop_run(loop);
}

static void hold(struct holder *h, int64_t ca_s, int64_t cert_s)
{
    struct pt_err err;
    *h = (struct holder){0};
    struct pt_ca_options o = {.api = pt_memapi_api(api),
                              .sched = pt_loop_sched(loop),
                              .ns = "pintle-system",
                              .ca_s = ca_s,
                              .cert_s = cert_s,
                              .deadline_ms = 30000,
                              .works = does_work,
                              .fn = on_ca,
                              .arg = h};
    assert_int_equal(pt_ca_start(&o, &h->ca, &err), PT_OK);
}

/* Does a certificate that one signs pass for the other's clients? Only the key decides. */
static bool same_authority(const char *cert, const char *key)
{
    pt_auto_buf c = PT_BUF_INIT(0), k = PT_BUF_INIT(0);
    return pt_ca_issue(cert, key, "localhost", 1, &c, &k, NULL) == PT_OK;
}

static void two_agree(void **state)
{
    (void)state;
    struct holder a, b;
    hold(&a, 0, 0);
    hold(&b, 0, 0);
    for (int i = 0; i < 100 && (!a.told || !b.told); i++)
        run(100);
    assert_true(a.told >= 1 && b.told >= 1);
    assert_string_equal(a.cert, b.cert);
    assert_string_equal(a.key, b.key);
    assert_true(pt_cert_seconds_left(a.cert, NULL) > PT_CA_LIFETIME_S - 600);
    pt_ca_destroy(a.ca);
    pt_ca_destroy(b.ca);
    pt_ca_destroy(NULL);
}

/* Of 12 s, 4 are left after 8: then it is renewed, by the one that works, and the other follows. */
static void it_is_renewed_with_its_key(void **state)
{
    (void)state;
    struct holder a, b;
    hold(&a, 12, 60);
    hold(&b, 12, 60);
    works = false;
    while (!a.told || !b.told || pt_cert_seconds_left(a.cert, NULL) >= 4)
        run(100);
    run(200); /* who stands by renews nothing */
    assert_int_equal(a.changed + b.changed, 0);
    works = true;
    for (int i = 0; i < 60 && (!a.changed || !b.changed); i++)
        run(100);
    assert_int_equal(a.changed, 1);
    assert_int_equal(b.changed, 1);
    assert_string_equal(a.cert, b.cert);
    assert_string_equal(a.key, a.first_key);
    assert_string_not_equal(a.cert, a.first_cert);
    assert_true(same_authority(a.first_cert, a.key) && same_authority(a.cert, a.first_key));
    assert_true(pt_cert_seconds_left(a.cert, NULL) >= 4);
    assert_int_equal(a.failures + b.failures, 0);
    pt_ca_destroy(a.ca);
    pt_ca_destroy(b.ca);
}

static void servers_are_told_to_sign_anew(void **state)
{
    (void)state;
    struct holder a;
    hold(&a, 0, 3); /* a sixth: 0.5 s */
    for (int i = 0; i < 100 && a.told < 3; i++)
        run(100);
    assert_true(a.told >= 3);
    assert_int_equal(a.changed, 0);
    pt_ca_destroy(a.ca);
}

static void what_is_of_no_use_is_replaced(void **state)
{
    (void)state;
    struct holder a;
    struct pt_err err;
    static const char junk[] = "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"pintle-ca\",\"namespace\":\"pintle-system\"},"
                               "\"data\":{\"tls.crt\":\"eA==\"}}";
    struct pt_api_request req = {
        .verb = PT_VERB_CREATE, .resource = &pt_res_secrets, .ns = "pintle-system", .body = {junk, sizeof junk - 1}, .grace_seconds = -1};
    assert_int_equal(pt_memapi_do(api, &req, NULL, &err), 201);
    hold(&a, 0, 0);
    for (int i = 0; i < 100 && !a.told; i++)
        run(100);
    assert_int_equal(a.told, 1);
    assert_true(same_authority(a.cert, a.key));
    pt_ca_destroy(a.ca);
}

/* Something in between that answers everything with a page of its own, or a Secret that never has what was written. */
struct stranger {
    struct pt_api api; /* first member */
    const char *body;
    struct pt_timer answer;
    pt_api_done_fn done;
    void *arg;
    int reads, writes;
};

static void stranger_answers(struct pt_timer *t)
{
    struct stranger *s = (struct stranger *)(void *)((char *)t - offsetof(struct stranger, answer));
    struct pt_api_result r = {.http = 200, .retry_after_ms = -1, .body = pt_str(s->body)};
    s->done(s->arg, &r);
}

static int stranger_start(struct pt_api *a, const struct pt_api_request *req, pt_api_done_fn done, void *arg, struct pt_api_call **out,
                          struct pt_err *err)
{
    struct stranger *s = (struct stranger *)(void *)a;
    (void)err;
    s->done = done;
    s->arg = arg;
    s->reads += req->verb == PT_VERB_GET;
    s->writes += req->verb != PT_VERB_GET;
    *out = (struct pt_api_call *)(void *)s;
    pt_timer_start(pt_loop_sched(loop), &s->answer, 1, stranger_answers);
    return PT_OK;
}

static void stranger_cancel(struct pt_api *a, struct pt_api_call *call)
{
    (void)call;
    pt_timer_stop(pt_loop_sched(loop), &((struct stranger *)(void *)a)->answer);
}

static void what_is_no_secret_is_not_written(void **state)
{
    static const struct pt_api_ops ops = {.start = stranger_start, .cancel = stranger_cancel};
    static const struct {
        const char *body;
        int writes;
    } rows[] = {{"<html>log in</html>", 0},
                {"null", 0},
                {"{\"metadata\":{\"name\":\"pintle-ca\"}}", 0},
                {"{\"metadata\":{\"name\":\"other\",\"resourceVersion\":\"1\"}}", 0},
                {"{\"metadata\":{\"name\":\"pintle-ca\",\"resourceVersion\":\"1\"},\"data\":null}", 2}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct stranger s = {.api = {&ops}, .body = rows[i].body};
        struct holder h = {0};
        struct pt_err err;
        struct pt_ca_options o = {
            .api = &s.api, .sched = pt_loop_sched(loop), .ns = "n", .deadline_ms = 30000, .works = does_work, .fn = on_ca, .arg = &h};
        assert_int_equal(pt_ca_start(&o, &h.ca, &err), PT_OK);
        run(800);
        if (s.writes > rows[i].writes || s.reads < 2 || s.reads > 6 || h.told)
            fail_msg("row %zu: %d reads, %d writes, told %d times", i, s.reads, s.writes, h.told);
        pt_ca_destroy(h.ca);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(two_agree, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_secret_is_not_written, setup, teardown),
        cmocka_unit_test_setup_teardown(it_is_renewed_with_its_key, setup, teardown),
        cmocka_unit_test_setup_teardown(servers_are_told_to_sign_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_of_no_use_is_replaced, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
