/* SPDX-License-Identifier: Apache-2.0
 *
 * test_http_client.c: the client against the real server, and against a puppet: a thread that accepts connections and answers with bytes that
 * the test chose.
 */
#include "base/mem.h"
#include "net/http_client.h"
#include "rig.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* --- the puppet ---------------------------------------------------------------------------------------------------------- */
struct answer {
    const char *bytes;
    size_t len;      /* 0: strlen */
    size_t cut;      /* a pause behind that many bytes; 0: none */
    bool stay;       /* do not close after it: the next answer of the list goes to the next request on this connection */
    bool hang;       /* and then say nothing until the client leaves */
    bool no_request; /* do not wait for a request first */
};

static struct {
    int fd, port;
    pthread_t thread;
    const struct answer *answers;
    size_t count;
    atomic_int accepted;
    char request[65536]; /* the last one, as far as its head */
} puppet;

static bool read_request(int fd)
{
    size_t len = 0;
    while (len < sizeof puppet.request - 1) {
        ssize_t n = recv(fd, puppet.request + len, sizeof puppet.request - 1 - len, 0);
        if (n <= 0)
            return false;
        len += (size_t)n;
        puppet.request[len] = 0;
        if (strstr(puppet.request, "\r\n\r\n"))
            return true;
    }
    return false;
}

static void *puppet_thread(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < puppet.count;) {
        int fd = accept(puppet.fd, NULL, NULL), on = 1;
        if (fd < 0)
            return NULL;
        atomic_fetch_add(&puppet.accepted, 1);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        for (bool stay = true; stay && i < puppet.count;) {
            const struct answer *a = &puppet.answers[i++];
            size_t len = a->len ? a->len : strlen(a->bytes);
            if (!a->no_request && !read_request(fd))
                break;
            send_bytes(fd, a->bytes, a->cut);
            if (a->cut)
                usleep(400);
            send_bytes(fd, a->bytes + a->cut, len - a->cut);
            stay = a->stay;
            char byte;
            while (a->hang && recv(fd, &byte, 1, 0) > 0)
                ;
        }
        shutdown(fd, SHUT_WR); /* linger, or data that was not read would reset what was sent */
        char sink[4096];
        struct timeval brief = {0, 200000};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &brief, sizeof brief);
        while (recv(fd, sink, sizeof sink, 0) > 0)
            ;
        close(fd);
    }
    return NULL;
}

static void puppet_start(const struct answer *answers, size_t count)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    puppet.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(puppet.fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(puppet.fd, 16), 0);
    getsockname(puppet.fd, (struct sockaddr *)&a, &len);
    puppet.port = ntohs(a.sin_port);
    puppet.answers = answers;
    puppet.count = count;
    atomic_store(&puppet.accepted, 0);
    assert_int_equal(pthread_create(&puppet.thread, NULL, puppet_thread, NULL), 0);
}

static void puppet_stop(void)
{
    shutdown(puppet.fd, SHUT_RDWR); /* wakes an accept() that nobody will answer */
    pthread_join(puppet.thread, NULL);
    close(puppet.fd);
}
#define PUPPET(...)                                                                                                                                  \
    static const struct answer answers_[] = {__VA_ARGS__};                                                                                           \
    puppet_start(answers_, sizeof answers_ / sizeof *answers_)

/* --- the client's side -------------------------------------------------------------------------------------------------------- */
static struct pt_loop *loop;
static struct pt_http_client *client;
static struct pt_err err;
static struct rig rig;
static bool rig_runs;

static struct result {
    int dones, status;
    struct pt_err err;
    struct pt_buf body, data;
    char location[128], range[64];
    int headers_calls;
    struct pt_http_call *call;
    enum { NOTHING, CANCEL_IN_HEADERS, CANCEL_IN_DATA, REFUSE_IN_HEADERS, REFUSE_IN_DATA, DESTROY_IN_DATA, DESTROY_IN_DONE, PAUSE_IN_DATA } act;
} got;

static struct pt_timer guard;
static void on_guard(struct pt_timer *t)
{
    (void)t;
    fail_msg("the test took too long");
}

static void run(void)
{
    pt_timer_start(pt_loop_sched(loop), &guard, 20000, on_guard);
    pt_loop_run(loop);
    pt_timer_stop(pt_loop_sched(loop), &guard);
}

static struct pt_timer pause_timer;
static void on_pause_over(struct pt_timer *t)
{
    (void)t;
    if (got.act == NOTHING)
        pt_http_call_pause(got.call, false);
    else
        pt_loop_stop(loop);
}

static void stop_soon(void) /* where no on_done will come */
{
    pt_timer_start(pt_loop_sched(loop), &pause_timer, 30, on_pause_over);
}

static int on_headers(void *arg, const struct pt_http_response *r)
{
    struct result *g = arg;
    g->headers_calls++;
    snprintf(g->range, sizeof g->range, PT_STR_FMT, PT_STR_ARG(pt_http_response_header(r, "content-range")));
    if (g->act == CANCEL_IN_HEADERS) {
        pt_http_call_cancel(g->call);
        stop_soon();
    }
    return g->act == REFUSE_IN_HEADERS;
}

static int on_data(void *arg, const void *p, size_t len)
{
    struct result *g = arg;
    pt_buf_append(&g->data, p, len);
    if (g->act == CANCEL_IN_DATA) {
        pt_http_call_cancel(g->call);
        stop_soon();
    } else if (g->act == DESTROY_IN_DATA) {
        pt_http_client_destroy(client);
        client = NULL;
        stop_soon();
    } else if (g->act == PAUSE_IN_DATA) {
        pt_http_call_pause(g->call, true);
        g->act = NOTHING;
        stop_soon();
    }
    return g->act == REFUSE_IN_DATA;
}

static void on_done(void *arg, const struct pt_http_response *r, const struct pt_err *e)
{
    struct result *g = arg;
    g->dones++;
    if (e) {
        assert_null(r);
        g->err = *e;
    } else {
        g->status = r->status;
        pt_buf_append(&g->body, r->body.p, r->body.len);
        snprintf(g->location, sizeof g->location, PT_STR_FMT, PT_STR_ARG(pt_http_response_header(r, "LOCATION")));
    }
    if (g->act == DESTROY_IN_DONE) {
        pt_http_client_destroy(client);
        client = NULL;
    }
    pt_loop_stop(loop);
}

static void forget(void)
{
    pt_buf_finish(&got.body);
    pt_buf_finish(&got.data);
    got = (struct result){.act = got.act};
}

static int setup(void **state)
{
    (void)state;
    got.act = NOTHING;
    memset(&rig, 0, sizeof rig);
    rig_runs = false;
    return pt_loop_create(&loop, &err) < 0 || pt_http_client_create(loop, NULL, &client, &err) < 0;
}

static int teardown(void **state)
{
    (void)state;
    pt_http_client_destroy(client);
    pt_loop_destroy(loop);
    if (rig_runs)
        rig_stop(&rig);
    got.act = NOTHING;
    forget();
    return 0;
}

static void server_start(void)
{
    rig_start(&rig);
    rig_runs = true;
}

static const char *url(int port, const char *path)
{
    static char text[512];
    snprintf(text, sizeof text, "http://127.0.0.1:%d%s", port, path);
    return text;
}

/* Runs one call to its end: the status, or the code. */
static int call(struct pt_http_call_options o)
{
    forget();
    o.method = o.method ? o.method : "GET";
    o.on_done = on_done;
    o.arg = &got;
    if (pt_http_call_start(client, &o, &got.call, &got.err) < 0)
        return got.err.code;
    assert_int_equal(got.dones, 0);
    run();
    return got.dones == 1 ? (got.err.code ? got.err.code : got.status) : 0;
}
static int get(const char *u)
{
    return call((struct pt_http_call_options){.url = u});
}
#define assert_got(text) assert_string_equal(pt_buf_cstr(&got.body), text)

/* --- responses ------------------------------------------------------------------------------------------------------------------- */
static void responses_arrive_at_every_split(void **state)
{
    (void)state;
    static const char *const kinds[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: x\r\n\r\nhello",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nT: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
    };
    for (size_t k = 0; k < 3; k++) {
        static struct answer answers[200];
        size_t len = strlen(kinds[k]);
        for (size_t i = 0; i < len; i++)
            answers[i] = (struct answer){.bytes = kinds[k], .cut = i, .stay = k < 2};
        puppet_start(answers, len);
        for (size_t i = 0; i < len; i++) {
            assert_int_equal(get(url(puppet.port, "/")), 200);
            assert_got("hello");
        }
        assert_int_equal(atomic_load(&puppet.accepted), k < 2 ? 1 : (int)len); /* kept alive, or not */
        puppet_stop();
    }
}

static void requests_are_what_was_asked_for(void **state)
{
    (void)state;
    PUPPET({.bytes = "HTTP/1.1 206 Partial\r\nContent-Length: 2\r\nContent-Range: bytes 100-101/200\r\n\r\nab"}, {.bytes = "HTTP/1.1 200 OK\r\n\r\n"},
           {.bytes = "HTTP/1.1 200 OK\r\n\r\n"});
    const struct pt_http_header headers[] = {{PT_STR("Range"), PT_STR("bytes=100-")}, {PT_STR("If-Range"), PT_STR("\"tag\"")}};
    assert_int_equal(
        call((struct pt_http_call_options){
            .url = url(puppet.port, "/m?x=1#frag"), .headers = headers, .header_count = 2, .on_headers = on_headers, .on_data = on_data}),
        206);
    char want[600];
    snprintf(want, sizeof want,
             "GET /m?x=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nRange: bytes=100-\r\nIf-Range: \"tag\"\r\nUser-Agent: pintle/0.1.0\r\nAccept: */*\r\n\r\n",
             puppet.port);
    assert_string_equal(puppet.request, want);
    assert_string_equal(got.range, "bytes 100-101/200");
    assert_string_equal(pt_buf_cstr(&got.data), "ab");
    assert_int_equal(got.headers_calls, 1);
    assert_got(""); /* it went to on_data */
    const struct pt_http_header own[] = {{PT_STR("host"), PT_STR("pod")}, {PT_STR("User-Agent"), PT_STR("me")}, {PT_STR("accept"), PT_STR("a/b")}};
    assert_int_equal(call((struct pt_http_call_options){.method = "POST", .url = url(puppet.port, "?q"), .headers = own, .header_count = 3}), 200);
    assert_string_equal(puppet.request, "POST /?q HTTP/1.1\r\nhost: pod\r\nUser-Agent: me\r\naccept: a/b\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(call((struct pt_http_call_options){.method = "HEAD", .url = url(puppet.port, "")}), 200);
    assert_memory_equal(puppet.request, "HEAD / HTTP/1.1\r\n", 17);
    puppet_stop();
}

static void what_cannot_be_sent_is_refused(void **state)
{
    (void)state;
    const struct pt_http_header bad[] = {
        {PT_STR("A"), PT_STR("x\r\nB: y")}, {PT_STR("A B"), PT_STR("x")}, {PT_STR("Content-Length"), PT_STR("5")}, {PT_STR(""), PT_STR("x")}};
    for (int i = 0; i < 4; i++)
        assert_int_equal(call((struct pt_http_call_options){.url = "http://127.0.0.1:1/", .headers = bad + i, .header_count = 1}), PT_EINVAL);
    assert_int_equal(call((struct pt_http_call_options){.url = "http://127.0.0.1:1/", .method = "GET /\r\n"}), PT_EINVAL);
    assert_int_equal(get("ftp://127.0.0.1/"), PT_EINVAL);
    assert_int_equal(got.dones, 0);
}

static void bodies_go_both_ways_on_one_connection(void **state)
{
    (void)state;
    server_start();
    struct pt_buf big = {0};
    for (int i = 0; i < 300000; i++)
        pt_buf_printf(&big, "%09d,", i);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(
            call((struct pt_http_call_options){.method = "POST", .url = url(rig.port, "/echo"), .body = {big.data, i % 2 ? 5 : big.len}}), 200);
        assert_int_equal(got.body.len, i % 2 ? 5 : big.len);
        assert_memory_equal(got.body.data, big.data, got.body.len);
        assert_int_equal(rig_connections(&rig), 1);
    }
    pt_buf_finish(&big);
    assert_int_equal(get(url(rig.port, "/stream?n=100&size=1000")), 200);
    assert_int_equal(got.body.len, 100000);
    assert_int_equal(call((struct pt_http_call_options){.method = "HEAD", .url = url(rig.port, "/big?n=5000")}), 200);
    assert_int_equal(got.body.len, 0);
    assert_int_equal(get(url(rig.port, "/empty")), 204);
    assert_int_equal(get(url(rig.port, "/nothing")), 404); /* any status is a response */
    assert_int_equal(rig_connections(&rig), 1);
}

static int parallel_left;
static void on_parallel(void *arg, const struct pt_http_response *r, const struct pt_err *e)
{
    (void)arg;
    assert_null(e);
    assert_int_equal(r->status, 200);
    if (--parallel_left == 0)
        pt_loop_stop(loop);
}

static void the_pool_is_bounded(void **state)
{
    (void)state;
    server_start();
    parallel_left = 30;
    struct pt_http_call_options o = {.method = "GET", .url = url(rig.port, "/later?ms=30"), .on_done = on_parallel};
    for (int i = 0; i < 30; i++)
        assert_int_equal(pt_http_call_start(client, &o, NULL, &err), PT_OK);
    run();
    for (int i = 0; i < 200 && rig_connections(&rig) > 8; i++)
        usleep(5000);
    assert_int_equal(rig_connections(&rig), 8);
}

/* --- what goes wrong ---------------------------------------------------------------------------------------------------------------- */
static void failures_have_their_codes_and_name_the_url(void **state)
{
    (void)state;
    PUPPET({.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"},
           {.bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"}, {.bytes = ""}, {.bytes = "SSH-2.0-OpenSSH\r\n"},
           {.bytes = "HTTP/1.1 200 OK\r\nContent-Len"}, {.bytes = "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"},
           {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"},
           {.bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"}, );
    static const int want[] = {PT_EIO, PT_EIO, PT_EUNAVAILABLE, PT_EPARSE, PT_EIO, PT_EPARSE, PT_EPARSE, PT_EPARSE};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        assert_int_equal(get(url(puppet.port, "/model.onnx?signature=secret")), want[i]);
        assert_non_null(strstr(got.err.msg, "/model.onnx"));
        assert_null(strstr(got.err.msg, "secret"));
    }
    assert_int_equal(atomic_load(&puppet.accepted), 8); /* nothing was tried twice */
    int port = puppet.port;
    puppet_stop();
    assert_int_equal(get(url(port, "/")), PT_EUNAVAILABLE);
    assert_non_null(strstr(got.err.msg, "refused"));
    assert_int_equal(get("http://no-such-host.invalid/"), PT_EUNAVAILABLE);
    assert_non_null(strstr(got.err.msg, "no-such-host.invalid"));
}

static void a_body_over_the_limit_is_refused(void **state)
{
    (void)state;
    server_start();
    assert_int_equal(call((struct pt_http_call_options){.url = url(rig.port, "/big?n=1000"), .max_body_bytes = 999}), PT_ELIMIT);
    assert_int_equal(call((struct pt_http_call_options){.url = url(rig.port, "/stream?n=10&size=100"), .max_body_bytes = 999}), PT_ELIMIT);
    assert_int_equal(call((struct pt_http_call_options){.url = url(rig.port, "/big?n=1000"), .max_body_bytes = 1000}), 200);
}

static void a_connection_found_dead_is_replaced_once(void **state)
{
    (void)state;
#define OK2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    PUPPET({.bytes = OK2 "a1", .stay = true}, {.bytes = ""},                 /* closes on the second request, */
           {.bytes = OK2 "a2", .stay = true}, {.bytes = "H"},                /* which goes to a new one; a third is answered by one byte */
           {.bytes = OK2 "a3", .stay = true}, {.bytes = ""}, {.bytes = ""}); /* dead, and the new one as well */
    assert_int_equal(get(url(puppet.port, "/")), 200);
    assert_got("a1");
    assert_int_equal(call((struct pt_http_call_options){.method = "POST", .url = url(puppet.port, "/"), .body = PT_STR("x")}), 200);
    assert_got("a2");
    assert_int_equal(atomic_load(&puppet.accepted), 2);
    assert_int_equal(get(url(puppet.port, "/")), PT_EIO);
    assert_int_equal(get(url(puppet.port, "/")), 200);
    assert_got("a3");
    assert_int_equal(get(url(puppet.port, "/")), PT_EUNAVAILABLE);
    assert_int_equal(atomic_load(&puppet.accepted), 4);
    puppet_stop();
}

static void an_answer_before_the_upload_ends_is_read(void **state)
{
    (void)state;
    rig.options.max_body_bytes = 1000;
    server_start();
    struct pt_buf big = {0};
    assert_non_null(pt_buf_reserve(&big, 32 << 20));
    memset(big.data, 'x', 32 << 20);
    big.len = 32 << 20;
    assert_int_equal(call((struct pt_http_call_options){.method = "POST", .url = url(rig.port, "/echo"), .body = {big.data, big.len}}), 413);
    assert_got("{\"error\":\"request body too large: over 1000 bytes\"}");
    pt_buf_finish(&big);
}

static void waiting_ends(void **state)
{
    (void)state;
    PUPPET({.bytes = "", .hang = true}, {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab", .hang = true},
           {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab", .hang = true}, {.bytes = "", .no_request = true, .hang = true});
    const char *u = url(puppet.port, "/slow");
    int64_t start = pt_clock_mono_ns();
    assert_int_equal(call((struct pt_http_call_options){.url = u, .stall_timeout_ms = 60}), PT_ETIMEDOUT);
    assert_non_null(strstr(got.err.msg, "60 ms"));
    assert_int_equal(call((struct pt_http_call_options){.url = u, .stall_timeout_ms = 60}), PT_ETIMEDOUT);
    assert_int_equal(call((struct pt_http_call_options){.url = u, .timeout_ms = 60}), PT_ETIMEDOUT);
    assert_true(pt_clock_mono_ns() - start >= 180 * 1000000L);
    char tls[100]; /* a server that takes the connection and never answers the handshake */
    snprintf(tls, sizeof tls, "https://127.0.0.1:%d/", puppet.port);
    assert_int_equal(call((struct pt_http_call_options){.url = tls, .connect_timeout_ms = 60}), PT_ETIMEDOUT);
    assert_non_null(strstr(got.err.msg, "no connection"));
    puppet_stop();
}

static void a_call_is_cancelled_anywhere(void **state)
{
    (void)state;
    server_start();
    struct pt_http_call_options o = {.url = url(rig.port, "/stream?n=100&size=10000"), .on_headers = on_headers, .on_data = on_data};
    got.act = CANCEL_IN_HEADERS;
    call(o);
    assert_int_equal(got.dones, 0);
    got.act = CANCEL_IN_DATA;
    call(o);
    assert_int_equal(got.dones, 0);
    got.act = REFUSE_IN_HEADERS;
    assert_int_equal(call(o), PT_ECANCELED);
    got.act = REFUSE_IN_DATA;
    assert_int_equal(call(o), PT_ECANCELED);
    got.act = NOTHING;
    assert_int_equal(call(o), 200);
    assert_int_equal(got.data.len, 1000000);
    got.act = DESTROY_IN_DATA;
    call(o);
    assert_int_equal(got.dones, 0);
    assert_int_equal(pt_http_client_create(loop, NULL, &client, &err), PT_OK);
    got.act = DESTROY_IN_DONE;
    assert_int_equal(call(o), 200);
    assert_int_equal(pt_http_client_create(loop, NULL, &client, &err), PT_OK);
    struct pt_http_call *before_it_began;
    o.method = "GET";
    o.on_done = on_done;
    o.arg = &got;
    assert_int_equal(pt_http_call_start(client, &o, &before_it_began, &err), PT_OK);
    pt_http_call_cancel(before_it_began);
    o.url = "http://some-name.invalid/";
    assert_int_equal(pt_http_call_start(client, &o, NULL, &err), PT_OK); /* is looked up when the client goes */
    got.act = CANCEL_IN_DATA;
    stop_soon();
    run();
}

static void a_paused_call_goes_on(void **state)
{
    (void)state;
    server_start();
    got.act = PAUSE_IN_DATA;
    int64_t start = pt_clock_mono_ns();
    assert_int_equal(
        call((struct pt_http_call_options){.url = url(rig.port, "/stream?n=300&size=10000"), .on_data = on_data, .stall_timeout_ms = 20000}), 200);
    assert_int_equal(got.data.len, 3000000);
    assert_true(pt_clock_mono_ns() - start >= 25 * 1000000L);
}

/* --- redirects ---------------------------------------------------------------------------------------------------------------------------- */
static void redirects_are_followed_as_documented(void **state)
{
    (void)state;
    server_start();
    char u[300], to[200];
    snprintf(to, sizeof to, "/redirect?status=302&to=/hello");
    assert_int_equal(call((struct pt_http_call_options){.url = url(rig.port, to)}), 302); /* not asked to */
    assert_string_equal(got.location, "/hello");
    assert_got("moved");
    static const int statuses[] = {301, 302, 303, 307, 308};
    for (int i = 0; i < 5; i++) {
        snprintf(u, sizeof u, "/redirect?status=%d&to=/hello", statuses[i]);
        assert_int_equal(call((struct pt_http_call_options){.url = url(rig.port, u), .max_redirects = 1, .on_headers = on_headers}), 200);
        assert_got("hi");
        assert_int_equal(got.headers_calls, 1);
    }
    assert_int_equal(call((struct pt_http_call_options){.method = "POST", .url = url(rig.port, u), .max_redirects = 5}), 308);
    assert_int_equal(call((struct pt_http_call_options){.url = url(rig.port, "/redirect?status=300&to=/hello"), .max_redirects = 5}), 300);
    /* for ever */
    assert_int_equal(
        call((struct pt_http_call_options){.url = url(rig.port, "/redirect?status=302&to=?status=302%26to=/redirect"), .max_redirects = 0}), 302);
    assert_int_equal(call((struct pt_http_call_options){.url = url(rig.port, "/redirect?status=302&to=ftp://x/"), .max_redirects = 5}), PT_EPARSE);
    assert_int_equal(rig_connections(&rig), 1);
}

static void a_redirect_loop_ends(void **state)
{
    (void)state;
#define LOOP {.bytes = "HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 4\r\n\r\nmore", .stay = true}
    PUPPET(LOOP, LOOP, LOOP, LOOP);
    assert_int_equal(call((struct pt_http_call_options){.url = url(puppet.port, "/"), .max_redirects = 3}), PT_ELIMIT);
    assert_non_null(strstr(got.err.msg, "3 redirects"));
    puppet_stop();
}

static void secrets_stay_with_their_origin(void **state)
{
    (void)state;
    server_start();
    static struct answer answers[2];
    static char first[300], second[300];
    const struct pt_http_header headers[] = {
        {PT_STR("Authorization"), PT_STR("Bearer s")}, {PT_STR("X-Plain"), PT_STR("p")}, {PT_STR("Host"), PT_STR("model-store")}};
    snprintf(first, sizeof first, "HTTP/1.1 302 Found\r\nLocation: /same\r\nContent-Length: 0\r\n\r\n");
    answers[0] = (struct answer){.bytes = first, .stay = true};
    answers[1] = (struct answer){.bytes = OK2 "ok"};
    puppet_start(answers, 2);
    assert_int_equal(call((struct pt_http_call_options){.url = url(puppet.port, "/"), .headers = headers, .header_count = 3, .max_redirects = 2}),
                     200);
    assert_non_null(strstr(puppet.request, "Authorization: Bearer s\r\n"));
    assert_non_null(strstr(puppet.request, "Host: model-store\r\n"));
    puppet_stop();

    /* "localhost" is another origin than "127.0.0.1"; the address is the same */
    answers[0] = (struct answer){.bytes = second};
    puppet_start(answers, 2);
    snprintf(second, sizeof second, "HTTP/1.1 302 Found\r\nLocation: http://localhost:%d/other\r\n\r\nlong body without end", puppet.port);
    assert_int_equal(call((struct pt_http_call_options){.url = url(puppet.port, "/"), .headers = headers, .header_count = 3, .max_redirects = 2}),
                     200);
    assert_null(strstr(puppet.request, "Authorization"));
    assert_non_null(strstr(puppet.request, "X-Plain: p\r\n"));
    char want[64];
    snprintf(want, sizeof want, "\r\nHost: localhost:%d\r\n", puppet.port);
    assert_non_null(strstr(puppet.request, want));
    puppet_stop();
}

/* --- TLS and unix sockets --------------------------------------------------------------------------------------------------------------------- */
static struct pt_buf ca_cert, ca_key, other_cert, other_key;

static struct pt_tls *server_tls(const char *names, int days)
{
    pt_auto_buf cert = PT_BUF_INIT(0), key = PT_BUF_INIT(0);
    struct pt_tls *t;
    assert_int_equal(pt_ca_issue(pt_buf_cstr(&ca_cert), pt_buf_cstr(&ca_key), names, days, &cert, &key, &err), PT_OK);
    assert_int_equal(pt_tls_server_create(pt_buf_cstr(&cert), pt_buf_cstr(&key), &t, &err), PT_OK);
    return t;
}

static void trust(struct pt_buf *ca)
{
    struct pt_tls *t;
    pt_http_client_destroy(client);
    assert_int_equal(pt_tls_client_create(pt_buf_cstr(ca), &t, &err), PT_OK);
    assert_int_equal(pt_http_client_create(loop, &(struct pt_http_client_options){.tls = t}, &client, &err), PT_OK);
    pt_tls_destroy(t); /* the client holds its own */
}

static const char *tls_url(const char *host, const char *path)
{
    static char text[300];
    snprintf(text, sizeof text, "https://%s:%d%s", host, rig.port, path);
    return text;
}

static void tls_works_with_the_right_authority_and_name(void **state)
{
    (void)state;
    rig.options.tls = server_tls("localhost,127.0.0.1", 1);
    server_start();
    trust(&ca_cert);
    static const char *const hosts[] = {"localhost", "127.0.0.1"};
    struct pt_buf big = {0};
    for (int i = 0; i < 500000; i++)
        pt_buf_printf(&big, "%09d,", i);
    for (int h = 0; h < 2; h++) {
        assert_int_equal(get(tls_url(hosts[h], "/hello")), 200);
        assert_got("hi");
        for (int i = 0; i < 2; i++) {
            assert_int_equal(call((struct pt_http_call_options){.method = "POST", .url = tls_url(hosts[h], "/echo"), .body = {big.data, big.len}}),
                             200);
            assert_int_equal(got.body.len, big.len);
            assert_memory_equal(got.body.data, big.data, big.len);
        }
        assert_int_equal(get(tls_url(hosts[h], "/stream?n=1000&size=5000")), 200);
        assert_int_equal(got.body.len, 5000000);
        assert_int_equal(get(tls_url(hosts[h], "/big?n=10000000")), 200);
        assert_int_equal(got.body.len, 10000000);
        got.act = PAUSE_IN_DATA;
        assert_int_equal(call((struct pt_http_call_options){.url = tls_url(hosts[h], "/stream?n=100&size=10000"), .on_data = on_data}), 200);
        assert_int_equal(got.data.len, 1000000);
    }
    pt_buf_finish(&big);
    assert_int_equal(rig_connections(&rig), 2);
    pt_tls_destroy(rig.options.tls);
}

static void tls_refuses_the_wrong_authority_name_and_time(void **state)
{
    (void)state;
    rig.options.tls = server_tls("localhost,127.0.0.2", 1);
    server_start();
    assert_int_equal(get(tls_url("localhost", "/hello")), PT_EUNAVAILABLE); /* the system's roots do not know it */
    assert_non_null(strstr(got.err.msg, "certificate"));
    trust(&other_cert);
    assert_int_equal(get(tls_url("localhost", "/hello")), PT_EUNAVAILABLE);
    assert_non_null(strstr(got.err.msg, "certificate"));
    trust(&ca_cert);
    assert_int_equal(get(tls_url("127.0.0.1", "/hello")), PT_EUNAVAILABLE);
    assert_non_null(strstr(got.err.msg, "IP address mismatch"));
    assert_int_equal(get(tls_url("localhost", "/hello")), 200);
    assert_int_equal(get(url(rig.port, "/hello")), PT_EUNAVAILABLE); /* plain HTTP on the TLS port */
    pt_tls_destroy(rig.options.tls);
    rig_stop(&rig);
    memset(&rig, 0, sizeof rig);
    rig.options.tls = server_tls("localhost", -1);
    rig_start(&rig);
    assert_int_equal(get(tls_url("localhost", "/hello")), PT_EUNAVAILABLE);
    assert_non_null(strstr(got.err.msg, "expired"));
    pt_tls_destroy(rig.options.tls);
    rig_stop(&rig);
    memset(&rig, 0, sizeof rig);
    rig.options.tls = server_tls("other.example", 1);
    rig_start(&rig);
    assert_int_equal(get(tls_url("localhost", "/hello")), PT_EUNAVAILABLE);
    assert_non_null(strstr(got.err.msg, "ostname mismatch"));
    pt_tls_destroy(rig.options.tls);
    rig_stop(&rig);
    memset(&rig, 0, sizeof rig);
    rig_start(&rig); /* and a plain server */
    assert_int_equal(get(tls_url("localhost", "/hello")), PT_EUNAVAILABLE);
    assert_int_equal(atomic_load(&rig.handled), 0);
}

static void https_never_goes_to_http(void **state)
{
    (void)state;
    rig.options.tls = server_tls("localhost", 1);
    server_start();
    trust(&ca_cert);
    char path[100];
    snprintf(path, sizeof path, "/redirect?status=302&to=http://localhost:%d/hello", rig.port);
    assert_int_equal(call((struct pt_http_call_options){.url = tls_url("localhost", path), .max_redirects = 5}), PT_EDENIED);
    assert_int_equal(atomic_load(&rig.handled), 1);
    pt_tls_destroy(rig.options.tls);
}

static void a_handshake_that_never_ends_is_cut(void **state)
{
    (void)state;
    rig.options.tls = server_tls("localhost", 1);
    rig.options.header_timeout_ms = 100;
    server_start();
    int fd = dial(&rig);
    send_bytes(fd, "\x16\x03\x01", 3);
    assert_true(at_end(fd));
    close(fd);
    fd = dial(&rig);
    send_all(fd, "GET / HTTP/1.1\r\n\r\n");
    char sink[100];
    while (recv(fd, sink, sizeof sink, 0) > 0) /* an alert, then the end */
        ;
    close(fd);
    pt_tls_destroy(rig.options.tls);
}

static void unix_sockets_take_every_host(void **state)
{
    (void)state;
    char address[100];
    snprintf(address, sizeof address, "unix:/tmp/pintle-test-client-%d.sock", (int)getpid());
    rig.options.address = address;
    server_start();
    pt_http_client_destroy(client);
    assert_int_equal(pt_http_client_create(loop, &(struct pt_http_client_options){.unix_socket = address + 5}, &client, &err), PT_OK);
    assert_int_equal(get("http://anything.invalid/hello"), 200);
    assert_int_equal(get("http://anything.invalid/hello"), 200);
    assert_int_equal(rig_connections(&rig), 1);
    rig_stop(&rig);
    rig_runs = false;
    assert_int_equal(get("http://anything.invalid/hello"), PT_EUNAVAILABLE);
    assert_non_null(strstr(got.err.msg, address + 5));
}

static void each_address_of_a_name_is_tried(void **state)
{
    (void)state;
    server_start(); /* on 127.0.0.1 only; "localhost" may well mean ::1 first */
    char u[100];
    snprintf(u, sizeof u, "http://localhost:%d/hello", rig.port);
    assert_int_equal(get(u), 200);
}

/* --- out of memory -------------------------------------------------------------------------------------------------------------------------------
 */
static void every_failed_allocation_is_an_error(void **state)
{
    (void)state;
    PUPPET({.bytes = OK2 "ok"}, {.bytes = OK2 "ok"}, {.bytes = OK2 "ok"}, {.bytes = OK2 "ok"}, {.bytes = OK2 "ok"}, {.bytes = OK2 "ok"},
           {.bytes = OK2 "ok"}, {.bytes = OK2 "ok"}, {.bytes = OK2 "ok"}, {.bytes = OK2 "ok"}, {.bytes = OK2 "ok"}, {.bytes = OK2 "ok"},
           {.bytes = OK2 "ok"}, {.bytes = OK2 "ok"}, {.bytes = OK2 "ok"}, {.bytes = OK2 "ok"});
    const struct pt_http_header headers[] = {{PT_STR("A"), PT_STR("b")}};
    int failures = 0;
    for (int n = 1; n < 30; n++) {
        pt_mem_fail_at(n, 0);
        int rc = call((struct pt_http_call_options){.url = url(puppet.port, "/"), .headers = headers, .header_count = 1});
        pt_mem_fail_at(0, 0);
        if (rc == 200 && got.body.len == 2)
            break;
        assert_true(rc == PT_ENOMEM || rc == PT_EUNAVAILABLE || rc == 200);
        failures++;
    }
    assert_true(failures >= 4 && failures < 29);
    puppet_stop();
    struct pt_http_client *c;
    for (int n = 1; n < 4; n++) {
        pt_mem_fail_at(n, 0);
        int rc = pt_http_client_create(loop, &(struct pt_http_client_options){.unix_socket = "/x"}, &c, &err);
        pt_mem_fail_at(0, 0);
        assert_int_equal(rc, PT_ENOMEM);
    }
}

static int make_authorities(void **state)
{
    (void)state;
    return pt_ca_create("one", 10, &ca_cert, &ca_key, &err) < 0 || pt_ca_create("two", 10, &other_cert, &other_key, &err) < 0;
}

static int finish(void **state)
{
    (void)state;
    pt_buf_finish(&ca_cert);
    pt_buf_finish(&ca_key);
    pt_buf_finish(&other_cert);
    pt_buf_finish(&other_key);
    return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(responses_arrive_at_every_split),
        CASE(requests_are_what_was_asked_for),
        CASE(what_cannot_be_sent_is_refused),
        CASE(bodies_go_both_ways_on_one_connection),
        CASE(the_pool_is_bounded),
        CASE(failures_have_their_codes_and_name_the_url),
        CASE(a_body_over_the_limit_is_refused),
        CASE(a_connection_found_dead_is_replaced_once),
        CASE(an_answer_before_the_upload_ends_is_read),
        CASE(waiting_ends),
        CASE(a_call_is_cancelled_anywhere),
        CASE(a_paused_call_goes_on),
        CASE(redirects_are_followed_as_documented),
        CASE(a_redirect_loop_ends),
        CASE(secrets_stay_with_their_origin),
        CASE(tls_works_with_the_right_authority_and_name),
        CASE(tls_refuses_the_wrong_authority_name_and_time),
        CASE(https_never_goes_to_http),
        CASE(a_handshake_that_never_ends_is_cut),
        CASE(unix_sockets_take_every_host),
        CASE(each_address_of_a_name_is_tried),
        CASE(every_failed_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, make_authorities, finish);
}
