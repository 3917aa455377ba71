/* SPDX-License-Identifier: Apache-2.0
 *
 * The client against a server of ours on loopback that behaves as the script of each case says.
 */
#include "base/contract.h"
#include "base/mem.h"
#include "base/path.h"
#include "net/http_server.h"
#include "operator/kube/client.h"
#include "operator/kube/exec.h"
#include "operator/kube/limiter.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
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
    bool deaf;                       /* not even to /livez */
    int fail_first;                  /* so many answers are `status`, then 200 */
    const char *retry_after;
    const struct pt_http_header *more; /* headers of the answer; NULL: none */
    size_t more_count, body_len;       /* of a body that is no text; 0: it is */
    const char *token;               /* 401 for any other */
    int requests, probes;
    char impersonated[64], peer[64], agent[64], accepts[64];
    bool http2;
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
    if (f->hold) /* the stream stays open, and silent */
        return;
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
    f->requests++;
    pt_http_peer(req, f->peer);
    f->http2 = pt_http_is_http2(req);
    struct pt_str agent = pt_http_header(req, "User-Agent"), accepts = pt_http_header(req, "Accept-Encoding");
    snprintf(f->agent, sizeof f->agent, PT_STR_FMT, PT_STR_ARG(agent));
    snprintf(f->accepts, sizeof f->accepts, PT_STR_FMT, PT_STR_ARG(accepts));
    struct pt_str who = pt_http_header(req, "Impersonate-User"), group = pt_http_header(req, "Impersonate-Group");
    snprintf(f->impersonated, sizeof f->impersonated, PT_STR_FMT "/" PT_STR_FMT, PT_STR_ARG(who), PT_STR_ARG(group));
    if (pt_str_eq(p, PT_STR("/livez"))) {
        f->probes++;
        if (!f->deaf)
            pt_http_reply(req, 403, "text/plain", NULL, 0, PT_STR("no"));
        return;
    }
    if (f->token && !pt_str_eq(a, pt_str(f->token))) {
        pt_http_reply(req, 401, "application/json", NULL, 0, PT_STR("{\"reason\":\"Unauthorized\"}"));
        return;
    }
    if (f->hold && !f->pieces)
        return;
    if (!f->pieces) {
        if (f->more) {
            pt_http_reply(req, f->status, "application/json", f->more, f->more_count, f->body_len ? (struct pt_str){f->body, f->body_len} : pt_str(f->body));
            return;
        }
        struct pt_http_header retry = {PT_STR("Retry-After"), pt_str(f->retry_after)};
        int status = f->fail_first < 0 || f->requests <= f->fail_first ? f->status : 200;
        pt_http_reply(req, status, "application/json", &retry, f->retry_after != NULL && status != 200, pt_str(f->body));
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
    f->fail_first = -1;
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
    f->done = 0;
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
    start(&(struct pt_api_request){.verb = PT_VERB_DELETE, .resource = &pt_res_pods, .ns = "n", .name = "p", .uid = "u-1", .resource_version = "77", .grace_seconds = -1});
    assert_string_equal(f->seen, "DELETE /api/v1/namespaces/n/pods/p?|application/json|Bearer secret-token|{\"apiVersion\":\"v1\",\"kind\":\"DeleteOptions\","
                                 "\"propagationPolicy\":\"Background\",\"preconditions\":{\"uid\":\"u-1\",\"resourceVersion\":\"77\"}}");
    assert_int_equal(f->code, PT_OK);
}

static void test_failures_carry_the_status(void **state)
{
    (void)state;
    f->status = 429;
    f->retry_after = "2";
    f->body = "{\"kind\":\"Status\",\"reason\":\"TooManyRequests\",\"message\":\"slow down\"}";
    start(&(struct pt_api_request){.verb = PT_VERB_GET, .resource = &pt_res_pods, .ns = "n", .name = "p", .timeout_ms = 1500}); /* no time to try again */
    assert_int_equal(f->requests, 1);
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

static const struct pt_api_request get_pod = {.verb = PT_VERB_GET, .resource = &pt_res_pods, .ns = "n", .name = "p"};

static void test_tries_again_when_told(void **state)
{
    (void)state;
    f->status = 503;
    f->retry_after = "1";
    f->fail_first = 1;
    start(&get_pod);
    assert_int_equal(f->code, PT_OK);
    assert_int_equal(f->requests, 2);
    f->retry_after = NULL; /* not told: the caller decides */
    f->fail_first = -1;
    start(&get_pod);
    assert_int_equal(f->code, PT_EUNAVAILABLE);
    assert_int_equal(f->requests, 3);
}

/* Another client, with what this case needs. */
static void use(struct pt_kube_config *config)
{
    struct pt_err err;
    if (!config->server)
        config->server = pt_asprintf("http://127.0.0.1:%d", pt_http_server_port(f->server));
    pt_kube_client_destroy(f->client);
    if (pt_kube_client_create(f->loop, config, NULL, &f->client, &err) < 0)
        fail_msg("%s", err.msg);
    f->api = pt_kube_client_api(f->client);
}

/* Lists may come compressed; events never do. */
static void test_compressed_answers(void **state)
{
    static const char pod[] = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\xca\xce\xcc\x4b\x51\xb2\x52\x0a\xc8\x4f\x51\xaa\x05\x00\xc8\xb0\x9c\x7b\x0e\x00\x00\x00";
    static const struct pt_http_header gzip = {{"Content-Encoding", 16}, {"gzip", 4}};
    (void)state;
    f->body = pod;
    f->body_len = sizeof pod - 1;
    f->more = &gzip;
    f->more_count = 1;
    start(&get_pod);
    assert_string_equal(f->accepts, "gzip");
    assert_string_equal(f->agent, PT_MANAGER "/" PT_VERSION);
    assert_int_equal(f->code, PT_OK);
    assert_string_equal(f->events, "{\"kind\":\"Pod\"}");
    f->body = "no gzip at all";
    f->body_len = 0;
    start(&get_pod);
    assert_int_equal(f->code, PT_EIO);
    f->more = NULL;
    watch((const char *const[]){NULL});
    assert_string_equal(f->accepts, "");
    f->pieces = NULL;
    struct pt_kube_config config = {.uncompressed = true};
    use(&config);
    start(&get_pod);
    assert_string_equal(f->accepts, "");
}

/* Who is refused for too many requests learns in which of the server's queues. */
static void test_names_the_queue(void **state)
{
    static const struct pt_http_header uids[] = {{{"X-Kubernetes-PF-FlowSchema-UID", 30}, {"f-1", 3}}, {{"X-Kubernetes-PF-PriorityLevel-UID", 33}, {"p-2", 3}}};
    (void)state;
    f->status = 429;
    f->more = uids;
    f->more_count = 2;
    start(&get_pod);
    assert_int_equal(f->code, PT_EBUSY);
    if (!strstr(f->message,  ", flow schema f-1, priority level p-2"))
        fail_msg("%s", f->message);
}

static void test_impersonates(void **state)
{
    (void)state;
    struct pt_kube_config config = {.impersonate = pt_strdup("Impersonate-User: jane\nImpersonate-Group: dev\n")};
    use(&config);
    start(&get_pod);
    assert_string_equal(f->impersonated, "jane/dev");
}

static char dir[] = "/tmp/pintle-test-XXXXXX";

static char *put_file(const char *name, const char *text, unsigned mode)
{
    char *path = pt_asprintf("%s/%s", dir, name);
    assert_int_equal(pt_path_write_atomic(path, text, strlen(text), mode, NULL), PT_OK);
    return path;
}

static void test_rotated_token(void **state)
{
    (void)state;
    struct pt_kube_config config = {.token = pt_strdup("old"), .token_file = put_file("token", "new\n", 0600)};
    use(&config);
    f->token = "Bearer new";
    start(&get_pod);
    assert_int_equal(f->code, PT_OK);
    assert_int_equal(f->requests, 2);
    f->token = "Bearer newest"; /* the file does not have it yet */
    f->requests = 0;
    start(&get_pod);
    assert_int_equal(f->code, PT_EUNAUTHENTICATED);
    assert_int_equal(f->requests, 2);
}

static struct pt_kube_exec *plugin(char *command)
{
    struct pt_kube_exec *x = pt_calloc(1, sizeof *x);
    *x = (struct pt_kube_exec){.command = command, .api_version = pt_strdup("client.authentication.k8s.io/v1"), .install_hint = pt_strdup("install it from here"), .cluster_info = true};
    x->args = pt_calloc(2, sizeof *x->args);
    x->args[0] = pt_strdup("with blanks; and $HOME");
    x->env = pt_calloc(2, sizeof *x->env);
    x->env[0] = pt_asprintf("DIR=%s", dir);
    return x;
}

/* Counts its runs in DIR/count; the token is "t<count>", good for ever. */
static const char counting[] = "#!/bin/sh\n[ \"$1\" = 'with blanks; and $HOME' ] || exit 3\nread n 2>/dev/null <\"$DIR/count\"; n=$((n + 1)); echo $n >\"$DIR/count\"\n"
                               "printf %s \"$KUBERNETES_EXEC_INFO\" >\"$DIR/info\"\n"
                               "echo '{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":{\"token\":\"t'$n'\"'$MORE'}}'\n";

static void test_plugin(void **state)
{
    (void)state;
    pt_free(put_file("count", "0\n", 0600));
    struct pt_kube_config config = {.exec = plugin(put_file("plugin", counting, 0700))};
    use(&config);
    f->token = "Bearer t1";
    start(&get_pod);
    if (f->code != PT_OK)
        fail_msg("%s", f->message);
    start(&get_pod); /* not asked again */
    assert_int_equal(f->code, PT_OK);
    f->token = "Bearer t2"; /* the server does not like it any more: asked once */
    f->requests = 0;
    start(&get_pod);
    assert_int_equal(f->code, PT_OK);
    assert_int_equal(f->requests, 2);
    f->token = "Bearer never";
    start(&get_pod);
    assert_int_equal(f->code, PT_EUNAUTHENTICATED);
    pt_auto_buf info = PT_BUF_INIT(0);
    pt_auto_free char *path = pt_asprintf("%s/info", dir);
    assert_int_equal(pt_buf_read_file(&info, path, NULL), PT_OK);
    assert_non_null(strstr(pt_buf_cstr(&info), "\"interactive\":false,\"cluster\":{\"server\":\"http://127.0.0.1:"));
}

static void test_plugin_expires(void **state)
{
    (void)state;
    pt_free(put_file("count", "0\n", 0600));
    setenv("MORE", ",\"expirationTimestamp\":\"2001-01-01T00:00:00Z\"", 1);
    struct pt_kube_config config = {.exec = plugin(put_file("plugin", counting, 0700))};
    use(&config);
    f->token = "Bearer t1";
    start(&get_pod);
    assert_int_equal(f->code, PT_OK); /* used once all the same, as kubectl does */
    f->token = "Bearer t2";
    start(&get_pod);
    assert_int_equal(f->code, PT_OK);
    unsetenv("MORE");
}

static void test_plugin_fails(void **state)
{
    static const struct {
        const char *script, *says;
    } rows[] = {
        {"#!/bin/sh\nexit 3\n", "exit code 3"},
        {"#!/bin/sh\necho SECRET\n", "did not print JSON"},
        {"#!/bin/sh\necho '{\"apiVersion\":\"client.authentication.k8s.io/v1beta1\",\"kind\":\"ExecCredential\",\"status\":{\"token\":\"SECRET\"}}'\n", "no ExecCredential of client.authentication.k8s.io/v1"},
        {"#!/bin/sh\necho '{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":{\"clientKeyData\":\"SECRET\"}}'\n", "together"},
        {"#!/bin/sh\nyes SECRET\n", "printed more than"},
        {NULL, "not found, or not executable: install it from here"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pt_kube_config config = {.exec = plugin(rows[i].script ? put_file("plugin", rows[i].script, 0700) : pt_strdup("/nonexistent/plugin"))};
        use(&config);
        f->requests = f->done = 0;
        start(&get_pod);
        if (f->code == PT_OK || !strstr(f->message, rows[i].says) || strstr(f->message, "SECRET"))
            fail_msg("row %zu: %d %s", i, f->code, f->message);
        assert_int_equal(f->requests, 0);
    }
}

/* A call ends by its deadline, whatever the program does. */
static void test_plugin_hangs(void **state)
{
    struct pt_api_request req = get_pod;
    (void)state;
    struct pt_kube_config config = {.exec = plugin(put_file("plugin", "#!/bin/sh\nexec sleep 60\n", 0700))};
    use(&config);
    req.timeout_ms = 100;
    start(&req);
    assert_int_equal(f->done, 1);
    assert_int_equal(f->code, PT_ETIMEDOUT);
    assert_non_null(strstr(f->message, "no credentials in time from plugin"));
    assert_int_equal(f->requests, 0);
}

static void test_limit(void **state)
{
    struct pt_limiter l;
    (void)state;
    pt_limiter_init(&l, 10, 2, 0);
    assert_int_equal(pt_limiter_take(&l, 0), 0);
    assert_int_equal(pt_limiter_take(&l, 0), 0);
    assert_int_equal(pt_limiter_take(&l, 0), 100);
    assert_int_equal(pt_limiter_take(&l, 0), 200);
    assert_int_equal(pt_limiter_take(&l, 300), 0);
    assert_int_equal(pt_limiter_take(&l, 100000), 0);
    assert_int_equal(pt_limiter_take(&l, 100000), 0);
    assert_int_equal(pt_limiter_take(&l, 100000), 100); /* no more than the burst is saved up */
    pt_limiter_init(&l, 0, 0, 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(pt_limiter_take(&l, 0), 0);
    pt_kube_client_limit(f->client, 10, 1);
    int64_t begin = pt_clock_mono_ns();
    for (int i = 0; i < 3; i++)
        start(&get_pod), f->done = 0;
    assert_true(pt_clock_mono_ns() - begin >= 150000000);
}

/* A silent watch is asked for; answered, it goes on; not answered, it is cut. */
static void test_watchdog(void **state)
{
    static const char *const pieces[] = {"{\"type\":\"ADDED\",\"object\":{}}\n", NULL};
    struct pt_err err;
    (void)state;
    f->hold = true;
    f->pieces = pieces;
    pt_kube_client_watchdog(f->client, 60, 60);
    assert_int_equal(pt_api_watch(f->api, &(struct pt_api_request){.verb = PT_VERB_LIST, .resource = &pt_res_pods}, on_event, on_done, NULL, &f->call, &err), PT_OK);
    pt_timer_start(pt_loop_sched(f->loop), &f->deadline, 500, give_up);
    pt_loop_run(f->loop);
    assert_int_equal(f->event_count, 1);
    assert_int_equal(f->done, 0);
    assert_true(f->probes >= 2);
    f->deaf = true;
    run();
    assert_int_equal(f->done, 1);
    assert_true(f->code == PT_EIO || f->code == PT_EUNAVAILABLE);
}

static void count_bytes(int fd, size_t *all)
{
    char piece[4096];
    for (ssize_t n; (n = recv(fd, piece, sizeof piece, 0)) > 0;)
        *all += (size_t)n;
}

/* A server that reads nothing: most of a large request waits in the kernel. Once cut, it never comes, though the server reads again. */
static void test_what_is_cut_never_arrives(void **state)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof here;
    int small = 4096, peer = -1, listener = socket(AF_INET, SOCK_STREAM, 0);
    size_t all = 0, size = 1 << 20;
    struct pt_err err;
    (void)state;
    setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    assert_int_equal(bind(listener, (struct sockaddr *)&here, sizeof here), 0);
    assert_int_equal(listen(listener, 1), 0);
    getsockname(listener, (struct sockaddr *)&here, &len);
    struct pt_kube_config config = {.server = pt_asprintf("http://127.0.0.1:%d", ntohs(here.sin_port))};
    use(&config);
    pt_auto_buf body = PT_BUF_INIT(0);
    while (body.len < size)
        pt_buf_puts(&body, "{}");
    struct pt_api_request req = {.verb = PT_VERB_CREATE, .resource = &pt_res_pods, .ns = "n", .body = {body.data, body.len}};
    assert_int_equal(pt_api_start(f->api, &req, on_done, NULL, &f->call, &err), PT_OK);
    pt_timer_start(pt_loop_sched(f->loop), &f->deadline, 200, give_up);
    pt_loop_run(f->loop);
    peer = accept(listener, NULL, NULL);
    assert_true(peer >= 0);
    pt_kube_client_cut(f->client);
    pt_api_cancel(f->api, f->call);
    count_bytes(peer, &all); /* to the end, which the cut has made */
    assert_true(all > 0 && all < 32768);
    assert_int_equal(f->done, 0);
    close(peer);
    close(listener);
}

/* Of what goes on, a call fails and the next one finds another connection. */
static void test_a_cut_is_no_end(void **state)
{
    struct pt_err err;
    (void)state;
    start(&get_pod);
    assert_int_equal(f->code, PT_OK);
    f->hold = true;
    f->done = 0;
    assert_int_equal(pt_api_start(f->api, &get_pod, on_done, NULL, &f->call, &err), PT_OK);
    pt_timer_start(pt_loop_sched(f->loop), &f->deadline, 100, give_up);
    pt_loop_run(f->loop);
    assert_int_equal(f->done, 0);
    f->hold = false;
    pt_kube_client_cut(f->client);
    run();
    assert_int_equal(f->done, 1);
    start(&get_pod);
    assert_int_equal(f->code, PT_OK);
}

static char *text_of(struct pt_buf *b)
{
    return pt_strdup(pt_buf_cstr(b));
}

/* With it the server knows whom it speaks to. */
static void ended(void *arg, struct pt_http_request *req, const struct pt_http_end *end)
{
    (void)arg, (void)req, (void)end;
}

static void serve_tls(const struct pt_buf *ca_cert, const struct pt_buf *ca_key, const char *names, struct pt_tls **tls)
{
    struct pt_err err;
    pt_auto_buf cert = PT_BUF_INIT(0), key = PT_BUF_INIT(0);
    assert_int_equal(pt_ca_issue(ca_cert->data, ca_key->data, names, 1, &cert, &key, &err), PT_OK);
    assert_int_equal(pt_tls_server_create(pt_buf_cstr(&cert), pt_buf_cstr(&key), tls, &err), PT_OK);
    pt_http_server_destroy(f->server);
    struct pt_http_server_options o = {.address = "127.0.0.1:0", .tls = *tls, .http2 = true, .handler = handle, .ended = ended};
    assert_int_equal(pt_http_server_start(f->loop, &o, &f->server, &err), PT_OK);
}

/* The certificate is for another name than the address; and then another authority takes over. */
static void test_tls_server_name_and_new_authority(void **state)
{
    struct pt_err err;
    struct pt_tls *tls;
    pt_auto_buf ca = PT_BUF_INIT(0), key = PT_BUF_INIT(0), ca2 = PT_BUF_INIT(0), key2 = PT_BUF_INIT(0);
    (void)state;
    assert_int_equal(pt_ca_create("one", 1, &ca, &key, &err), PT_OK);
    assert_int_equal(pt_ca_create("two", 1, &ca2, &key2, &err), PT_OK);
    pt_buf_cstr(&ca), pt_buf_cstr(&key), pt_buf_cstr(&ca2), pt_buf_cstr(&key2);
    serve_tls(&ca, &key, "api.internal", &tls);
    struct pt_kube_config config = {.server = pt_asprintf("https://127.0.0.1:%d", pt_http_server_port(f->server)), .ca_pem = text_of(&ca)};
    use(&config);
    start(&get_pod);
    assert_true(f->code != PT_OK); /* not the name of the certificate */
    config = (struct pt_kube_config){.server = pt_asprintf("https://127.0.0.1:%d", pt_http_server_port(f->server)), .ca_pem = text_of(&ca), .tls_server_name = pt_strdup("api.internal")};
    use(&config);
    start(&get_pod);
    if (f->code != PT_OK)
        fail_msg("%s", f->message);
    assert_true(f->http2);
    setenv("DISABLE_HTTP2", "1", 1);
    config = (struct pt_kube_config){.server = pt_asprintf("https://127.0.0.1:%d", pt_http_server_port(f->server)), .ca_pem = text_of(&ca), .tls_server_name = pt_strdup("api.internal")};
    use(&config);
    start(&get_pod);
    unsetenv("DISABLE_HTTP2");
    assert_int_equal(f->code, PT_OK);
    assert_false(f->http2);
    pt_tls_destroy(tls);

    serve_tls(&ca2, &key2, "127.0.0.1", &tls);
    char *file = put_file("ca.pem", ca.data, 0600);
    config = (struct pt_kube_config){.server = pt_asprintf("https://127.0.0.1:%d", pt_http_server_port(f->server)), .ca_pem = text_of(&ca), .ca_file = file};
    use(&config);
    start(&get_pod);
    assert_true(f->code != PT_OK);
    pt_free(put_file("ca.pem", ca2.data, 0600)); /* rotated: who is not believed makes the client look, at once */
    start(&get_pod);
    if (f->code != PT_OK)
        fail_msg("%s", f->message);
    pt_tls_destroy(tls);
}

static void turn_for(int64_t ms)
{
    pt_timer_start(pt_loop_sched(f->loop), &f->deadline, ms, give_up);
    pt_loop_run(f->loop);
}

/* A cluster's rotation, by the book: both authorities in the file, another certificate for the server, only the new authority. Nothing fails before the old
 * one is withdrawn; then every connection that it vouched for ends, those at rest too. */
static void test_withdrawn_authority(void **state)
{
    static const char *const pieces[] = {"{\"type\":\"ADDED\",\"object\":{}}\n", NULL};
    struct pt_err err;
    struct pt_tls *tls, *tls2 = NULL;
    bool changed;
    pt_auto_buf ca = PT_BUF_INIT(0), key = PT_BUF_INIT(0), ca2 = PT_BUF_INIT(0), key2 = PT_BUF_INIT(0), cert = PT_BUF_INIT(0), cert_key = PT_BUF_INIT(0), both = PT_BUF_INIT(0);
    (void)state;
    assert_int_equal(pt_ca_create("one", 1, &ca, &key, &err), PT_OK); /* as the other's: kubeadm calls each of them "kubernetes" */
    assert_int_equal(pt_ca_create("one", 1, &ca2, &key2, &err), PT_OK);
    pt_buf_printf(&both, "%s%s", pt_buf_cstr(&ca2), pt_buf_cstr(&ca));
    pt_buf_cstr(&key), pt_buf_cstr(&key2);
    serve_tls(&ca, &key, "127.0.0.1", &tls);
    struct pt_kube_config config = {.server = pt_asprintf("https://127.0.0.1:%d", pt_http_server_port(f->server)), .ca_file = put_file("ca.pem", ca.data, 0600)};
    assert_int_equal(pt_kube_config_refresh(&config, &changed, &err), PT_OK);
    use(&config);
    start(&get_pod);
    assert_int_equal(f->code, PT_OK);
    pt_kube_client_refresh(f->client);
    turn_for(50);
    assert_int_equal(pt_http_server_connections(f->server), 1); /* the same authority: left alone */

    pt_free(put_file("ca.pem", pt_buf_cstr(&both), 0600));
    pt_kube_client_refresh(f->client);
    turn_for(50);
    assert_int_equal(pt_http_server_connections(f->server), 0); /* it was at rest */
    f->hold = true;
    f->pieces = pieces;
    f->done = 0;
    assert_int_equal(pt_api_watch(f->api, &(struct pt_api_request){.verb = PT_VERB_LIST, .resource = &pt_res_pods}, on_event, on_done, NULL, &f->call, &err), PT_OK);
    turn_for(200);
    assert_int_equal(f->event_count, 1);
    assert_int_equal(pt_http_server_connections(f->server), 1);
    assert_int_equal(pt_ca_issue(ca2.data, key2.data, "127.0.0.1", 1, &cert, &cert_key, &err), PT_OK);
    assert_int_equal(pt_tls_server_create(pt_buf_cstr(&cert), pt_buf_cstr(&cert_key), &tls2, &err), PT_OK);
    pt_http_server_set_tls(f->server, tls2); /* for connections from now on: the watch goes on over the one that it has */

    pt_free(put_file("ca.pem", ca2.data, 0600));
    pt_kube_client_refresh(f->client);
    run();
    assert_int_equal(f->done, 1);
    assert_true(f->code == PT_EIO || f->code == PT_EUNAVAILABLE);
    turn_for(50);
    assert_int_equal(pt_http_server_connections(f->server), 0);
    f->hold = false;
    f->pieces = NULL;
    f->event_count = 0;
    start(&get_pod);
    if (f->code != PT_OK)
        fail_msg("%s", f->message);
    pt_tls_destroy(tls);
    pt_tls_destroy(tls2);
}

/* A server that says nothing any more: what is asked next goes over another connection, with HTTP/2 too, or a Lease would be lost over a dead one. */
static void test_a_dead_connection_is_left(void **state)
{
    struct pt_err err;
    struct pt_tls *tls;
    struct pt_api_request req = get_pod;
    char first[64];
    pt_auto_buf ca = PT_BUF_INIT(0), key = PT_BUF_INIT(0);
    (void)state;
    assert_int_equal(pt_ca_create("one", 1, &ca, &key, &err), PT_OK);
    pt_buf_cstr(&ca), pt_buf_cstr(&key);
    serve_tls(&ca, &key, "127.0.0.1", &tls);
    struct pt_kube_config config = {.server = pt_asprintf("https://127.0.0.1:%d", pt_http_server_port(f->server)), .ca_pem = text_of(&ca)};
    use(&config);
    start(&get_pod);
    assert_int_equal(f->code, PT_OK);
    snprintf(first, sizeof first, "%s", f->peer);
    start(&get_pod);
    assert_string_equal(f->peer, first);
    f->hold = true;
    req.timeout_ms = 100;
    start(&req);
    assert_int_equal(f->code, PT_ETIMEDOUT);
    assert_string_equal(f->peer, first);
    f->hold = false;
    start(&get_pod);
    assert_int_equal(f->code, PT_OK);
    assert_string_not_equal(f->peer, first);
    pt_tls_destroy(tls);
}

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    static const char *const names[] = {"token", "plugin", "count", "info", "ca.pem"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        pt_auto_free char *path = pt_asprintf("%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_verbs_on_the_wire),       CASE(test_failures_carry_the_status), CASE(test_deadline),      CASE(test_nobody_listens),         CASE(test_watch_lines_are_cut_anywhere),
        CASE(test_watch_with_garbage_ends), CASE(test_watch_refused),             CASE(test_cancel_inside_an_event), CASE(test_destroy_cancels),
        CASE(test_tries_again_when_told),   CASE(test_impersonates),              CASE(test_rotated_token),   CASE(test_plugin),                 CASE(test_plugin_expires),
        CASE(test_compressed_answers),      CASE(test_names_the_queue),           CASE(test_plugin_hangs),
        CASE(test_plugin_fails),            CASE(test_limit),                     CASE(test_watchdog),
        CASE(test_what_is_cut_never_arrives),
        CASE(test_a_dead_connection_is_left),
        CASE(test_a_cut_is_no_end),        CASE(test_tls_server_name_and_new_authority), CASE(test_withdrawn_authority),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
