/* SPDX-License-Identifier: Apache-2.0
 *
 * test_http_server.c: the server over real sockets: framing, order, limits, time, back-pressure, clients that leave, failing allocations.
 */
#include "http1_rig.h"

/* --- messages -------------------------------------------------------------------------------------------------------------- */
static void a_request_is_served_at_every_split(void **state)
{
    (void)state;
    rig_start(&rig);
    static const char request[] = "POST /echo?x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    static const char chunked[] = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x\r\nlo\r\n0\r\n\r\n";
    int fd = dial(&rig);
    for (int kind = 0; kind < 2; kind++) {
        const char *text = kind ? chunked : request;
        for (size_t cut = 1; cut < strlen(text); cut++) {
            send_bytes(fd, text, cut);
            usleep(300);
            assert_int_equal(ask(fd, text + cut), 200);
            assert_body(body, "hello");
        }
    }
    close(fd);
}

static void the_request_is_what_was_sent(void **state)
{
    (void)state;
    rig_start(&rig);
    int fd = dial(&rig);
    assert_int_equal(ask(fd, "GET /facts/a%20b?name=x%2fy+z&other HTTP/1.1\r\nHost: a\r\nX-Test: 1\r\n\r\n"), 200);
    assert_body(body, "GET /facts/a%20b [name=x%2fy+z&other] x/y z 1 1");
    assert_true(head_has("\r\nX-Injected: a  Set-Cookie: evil\r\n")); /* a header value stays one */
    assert_true(head_has("\r\nDate: "));
    assert_int_equal(ask(fd, "DELETE http://host:81/facts?name=0123456789abcdef HTTP/1.1\r\nHost: a\r\n\r\n"), 200);
    assert_body(body, "DELETE /facts [name=0123456789abcdef] -  1"); /* too long for the buffer */
    assert_int_equal(ask(fd, "GET /facts?#frag HTTP/1.1\r\nHost: a\r\n\r\n"), 200);
    assert_body(body, "GET /facts [] -  1");
    assert_int_equal(ask(fd, GET("/nothing")), 404);
    assert_body(body, "{\"error\":\"no route \\\"/nothing\\\"\"}");
    assert_int_equal(ask(fd, GET("/error")), 429);
    assert_body(body, "{\"error\":\"queue \\\"x\\\" is full\"}");
    close(fd);
}

static void head_and_204_have_no_body(void **state)
{
    (void)state;
    rig_start(&rig);
    int fd = dial(&rig);
    send_all(fd, "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n" GET("/empty") "HEAD /stream?n=3&size=5 HTTP/1.1\r\nHost: a\r\n\r\n" GET("/hello"));
    char text[2048] = "";
    size_t len = 0;
    while (!strstr(text, "\r\n\r\nhi")) {
        ssize_t n = recv(fd, text + len, sizeof text - 1 - len, 0);
        assert_true(n > 0);
        len += (size_t)n;
        text[len] = 0;
    }
    const char *first_end = strstr(text, "\r\n\r\n"), *second = strstr(text, "HTTP/1.1 204"),
               *third = second ? strstr(second + 1, "HTTP/1.1 200") : NULL;
    assert_non_null(third);
    assert_ptr_equal(first_end + 4, second); /* nothing between the heads */
    assert_non_null(strstr(text, "Content-Length: 2\r\n"));
    assert_null(strstr(third, "5\r\nccccc"));
    close(fd);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    rig_start(&rig);
    int fd = dial(&rig);
    pt_auto_buf all = PT_BUF_INIT(0);
    for (int i = 0; i < 200; i++) {
        if (i % 5 == 3)
            pt_buf_puts(&all, GET("/later?ms=1"));
        else
            pt_buf_printf(&all, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n%04d", i);
    }
    send_bytes(fd, all.data, all.len);
    for (int i = 0; i < 200; i++) {
        char want[16] = "late";
        if (i % 5 != 3)
            snprintf(want, sizeof want, "%04d", i);
        assert_int_equal(ask(fd, ""), 200);
        assert_body(body, want);
    }
    close(fd);
}

/* More than the stash holds: reading must pause and go on. */
static void a_flood_of_pipelined_requests_is_bounded_and_served(void **state)
{
    (void)state;
    rig_start(&rig);
    int fd = dial(&rig);
    pt_auto_buf all = PT_BUF_INIT(0);
    enum { N = 300 };
    pt_buf_puts(&all, GET("/later?ms=100"));
    for (int i = 0; i < N; i++) {
        pt_buf_puts(&all, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n");
        for (int k = 0; k < 2000; k++)
            pt_buf_putc(&all, 'x');
    }
    send_bytes(fd, all.data, all.len); /* 600 KB: the rest waits in the sockets */
    assert_int_equal(ask(fd, ""), 200);
    for (int i = 0; i < N; i++) {
        assert_int_equal(ask(fd, ""), 200);
        assert_int_equal(body.len, 2000);
    }
    close(fd);
}

static void connections_are_kept_or_closed_as_asked(void **state)
{
    (void)state;
    rig_start(&rig);
    int fd = dial(&rig);
    assert_int_equal(ask(fd, GET("/hello")), 200);
    assert_false(head_has("Connection:"));
    assert_int_equal(ask(fd, "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), 200);
    assert_true(head_has("\r\nConnection: close\r\n"));
    assert_true(at_end(fd));
    close(fd);
    fd = dial(&rig);
    assert_int_equal(ask(fd, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), 200);
    assert_true(head_has("\r\nConnection: keep-alive\r\n"));
    assert_int_equal(ask(fd, "GET /hello HTTP/1.0\r\n\r\n"), 200);
    assert_true(head_has("\r\nConnection: close\r\n"));
    assert_true(at_end(fd));
    close(fd);
    fd = dial(&rig);
    assert_int_equal(ask(fd, "GET /stream?n=3&size=5 HTTP/1.0\r\n\r\n"), 200); /* no chunks in HTTP/1.0 */
    assert_body(body, "ccccccccccccccc");
    close(fd);
}

static void expect_100_continue_is_answered_when_the_client_waits(void **state)
{
    (void)state;
    rig_start(&rig);
    int fd = dial(&rig);
    static const char request[] = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    assert_int_equal(ask(fd, request), 100);
    assert_int_equal(ask(fd, "ok"), 200);
    assert_body(body, "ok");
    send_all(fd, request);
    assert_int_equal(ask(fd, ""), 100);
    assert_int_equal(ask(fd, "ok"), 200);
    assert_int_equal(ask(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nok"), 200); /* it did not wait */
    assert_int_equal(ask(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: miracle\r\n\r\n"), 417);
    close(fd);
}

/* --- limits ------------------------------------------------------------------------------------------------------------------- */
/* The client sends everything before it reads: the refusal must still be there to be read. */
static void a_body_over_the_limit_is_refused_readably(void **state)
{
    (void)state;
    rig.options.max_body_bytes = 1000;
    rig_start(&rig);
    size_t big = 8u << 20;
    char *bytes = calloc(1, big);
    for (int chunked = 0; chunked < 2; chunked++) {
        int fd = dial(&rig);
        char text[200];
        snprintf(text, sizeof text,
                 chunked ? "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n"
                         : "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n",
                 big);
        send_all(fd, text);
        send_bytes(fd, bytes, big);
        assert_int_equal(ask(fd, ""), 413);
        assert_true(head_has("\r\nConnection: close\r\n"));
        assert_body(body, "{\"error\":\"request body too large: over 1000 bytes\"}");
        assert_true(at_end(fd));
        close(fd);
    }
    int fd = dial(&rig); /* with Expect the client need not send it at all */
    assert_int_equal(ask(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n"), 413);
    close(fd);
    fd = dial(&rig);
    bytes[999] = 0;
    send_all(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
    send_bytes(fd, bytes, 1000);
    assert_int_equal(ask(fd, ""), 200);
    assert_int_equal(body.len, 1000);
    close(fd);
    free(bytes);
    assert_int_equal(atomic_load(&rig.handled), 1);
}

static void bad_heads_are_refused_with_a_reason(void **state)
{
    (void)state;
    rig.options.max_header_bytes = 2000;
    rig_start(&rig);
    char *x = malloc(5001);
    memset(x, 'x', 5000);
    x[5000] = 0;
    int fd = dial(&rig);
    send_all(fd, "GET /hello HTTP/1.1\r\nHost: a\r\nX: ");
    assert_int_equal(ask(fd, x), 431);
    assert_true(at_end(fd));
    close(fd);
    fd = dial(&rig);
    send_all(fd, "GET /");
    assert_int_equal(ask(fd, x), 414);
    close(fd);
    free(x);
    static const struct {
        const char *request;
        int status;
    } rows[] = {
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"GET /hello HTTP/1.1\r\n\r\n", 400},
        {"GET /hello HTTP/2.0\r\nHost: a\r\n\r\n", 505},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
        {"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 405},
        {"garbage\r\n\r\n", 400},
        {GET("/hello") "garbage\r\n\r\n", 200}, /* what came before is still answered */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fd = dial(&rig);
        assert_int_equal(ask(fd, rows[i].request), rows[i].status);
        if (rows[i].status == 200)
            assert_int_equal(ask(fd, ""), 400);
        assert_memory_equal(body.data, "{\"error\":\"", 10);
        assert_true(at_end(fd));
        close(fd);
    }
}

static void slow_clients_meet_their_limits(void **state)
{
    (void)state;
    rig.options.header_timeout_ms = 150;
    rig.options.body_timeout_ms = 200;
    rig.options.idle_timeout_ms = 100;
    rig_start(&rig);
    int fd = dial(&rig);
    int64_t start = now_ms();
    assert_true(at_end(fd)); /* idle: closed without a word */
    assert_true(now_ms() - start >= 90);
    close(fd);

    fd = dial(&rig); /* a byte now and then does not move the header's limit */
    start = now_ms();
    static const char slow[] = "GET /hello HTTP/1.1\r\nHost: a\r\nX: ";
    for (size_t i = 0; i < sizeof slow - 1 && now_ms() - start < 400; i++) {
        send_bytes(fd, slow + i, 1);
        usleep(20000);
    }
    assert_int_equal(ask(fd, ""), 408);
    assert_true(at_end(fd));
    close(fd);

    fd = dial(&rig);
    start = now_ms();
    assert_int_equal(ask(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"), 408);
    assert_true(now_ms() - start >= 190);
    close(fd);

    fd = dial(&rig); /* progress, but far below 1 KB/s */
    start = now_ms();
    send_all(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n");
    for (int i = 0; i < 30; i++) {
        send_bytes(fd, "x", 1);
        usleep(20000);
    }
    assert_int_equal(ask(fd, ""), 408);
    close(fd);

    fd = dial(&rig); /* slow but steady enough: 1.2 s in all */
    send_all(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n");
    char block[250] = {0};
    for (int i = 0; i < 12; i++) {
        send_bytes(fd, block, sizeof block);
        usleep(100000);
    }
    assert_int_equal(ask(fd, ""), 200);
    close(fd);

    fd = dial(&rig); /* the handler may take its time */
    assert_int_equal(ask(fd, GET("/later?ms=500")), 200);
    close(fd);
}

static void connections_over_the_limit_wait(void **state)
{
    (void)state;
    rig.options.max_connections = 2;
    rig_start(&rig);
    int a = dial(&rig), b = dial(&rig);
    assert_int_equal(ask(a, GET("/hello")), 200);
    assert_int_equal(ask(b, GET("/hello")), 200);
    int c = dial(&rig);
    send_all(c, GET("/hello"));
    struct timeval brief = {0, 100000}, full = {10, 0};
    setsockopt(c, SOL_SOCKET, SO_RCVTIMEO, &brief, sizeof brief);
    char byte;
    assert_int_equal(recv(c, &byte, 1, MSG_PEEK), -1);
    setsockopt(c, SOL_SOCKET, SO_RCVTIMEO, &full, sizeof full);
    close(a);
    assert_int_equal(ask(c, ""), 200);
    close(b);
    close(c);
}

static void running_out_of_descriptors_only_delays(void **state)
{
    (void)state;
    rig_start(&rig);
    int ready = dial(&rig);
    assert_int_equal(ask(ready, GET("/hello")), 200);
    struct rlimit old, low;
    getrlimit(RLIMIT_NOFILE, &old);
    int fd = dial(&rig); /* accepted at once or not, it tells us the highest descriptor in use */
    assert_int_equal(ask(fd, GET("/hello")), 200);
    int free_fd = dup(0);
    int late = socket(AF_INET, SOCK_STREAM, 0);
    close(late);
    close(free_fd);
    low = old;
    low.rlim_cur = (rlim_t)free_fd + 1; /* one more: the client's own socket */
    setrlimit(RLIMIT_NOFILE, &low);
    late = dial(&rig);
    int error = errno;
    if (late >= 0)
        send_all(late, GET("/hello"));
    usleep(300000);                                   /* accept() fails and is tried again meanwhile */
    assert_int_equal(ask(ready, GET("/hello")), 200); /* those that are in are served */
    setrlimit(RLIMIT_NOFILE, &old);
    if (late < 0)
        fail_msg("dial: %s", strerror(error));
    assert_int_equal(ask(late, ""), 200);
    close(late);
    close(fd);
    close(ready);
}

static void a_thousand_connections(void **state)
{
    (void)state;
    enum { N = 1000 };
    struct rlimit old, high;
    getrlimit(RLIMIT_NOFILE, &old);
    high = old;
    high.rlim_cur = old.rlim_max < 4096 ? old.rlim_max : 4096;
    setrlimit(RLIMIT_NOFILE, &high);
    if (high.rlim_cur < 2 * N + 100)
        skip();
    rig_start(&rig);
    static int fds[N];
    for (int i = 0; i < N; i++)
        assert_true((fds[i] = dial(&rig)) >= 0);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++)
            send_all(fds[i], i % 2 ? GET("/hello") : GET("/later?ms=20"));
        for (int i = 0; i < N; i++) {
            assert_int_equal(ask(fds[i], ""), 200);
            assert_body(body, i % 2 ? "hi" : "late");
        }
    }
    for (int i = 0; i < N; i++)
        close(fds[i]);
    setrlimit(RLIMIT_NOFILE, &old);
}

/* --- clients that leave, clients that do not read ----------------------------------------------------------------------------------- */
static void a_client_that_leaves_is_noticed(void **state)
{
    (void)state;
    rig_start(&rig);
    int fd = dial(&rig);
    send_all(fd, GET("/never"));
    assert_true(rig_wait(&rig.handled, 1));
    int64_t start = now_ms();
    close(fd);
    assert_true(rig_wait(&rig.closed, 1));
    assert_true(now_ms() - start < 1000);
    fd = dial(&rig); /* with a pipelined request behind, and with a reset */
    send_all(fd, GET("/never") GET("/hello"));
    assert_true(rig_wait(&rig.handled, 2));
    struct linger reset = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
    assert_true(rig_wait(&rig.closed, 2));
    assert_int_equal(atomic_load(&rig.handled), 2);
}

static void check_pattern(size_t n)
{
    assert_int_equal(body.len, n);
    for (size_t i = 0; i < n; i++)
        if (body.data[i] != (char)(i % 251))
            fail_msg("byte %zu of %zu is wrong", i, n);
}

static void large_replies_arrive_whole_at_slow_readers(void **state)
{
    (void)state;
    rig_start(&rig);
    int fd = dial(&rig);
    static const char *const paths[] = {GET("/big?n=20000000") GET("/bigcopy?n=9000000") GET("/hello"),
                                        GET("/bigcopy?n=9000000") GET("/big?n=20000000") GET("/hello")};
    for (int i = 0; i < 2; i++) {
        send_all(fd, paths[i]);
        usleep(100000);
        for (int k = 0; k < 2; k++) {
            assert_int_equal(ask(fd, ""), 200);
            check_pattern(k == i ? 20000000 : 9000000);
        }
        assert_int_equal(ask(fd, ""), 200);
        assert_body(body, "hi");
    }
    /* a client that has shut its sending side still gets what it asked for */
    send_all(fd, GET("/big?n=20000000"));
    usleep(50000);
    shutdown(fd, SHUT_WR);
    usleep(50000);
    assert_int_equal(ask(fd, ""), 200);
    check_pattern(20000000);
    assert_true(at_end(fd));
    close(fd);
}

static void a_reader_that_stops_is_cut(void **state)
{
    (void)state;
    rig.options.body_timeout_ms = 200;
    rig_start(&rig);
    int fd = dial(&rig);
    send_all(fd, GET("/stream?n=100000&size=10000"));
    assert_true(rig_wait(&rig.full, 1)); /* the handler was told */
    assert_true(rig_wait(&rig.closed, 1));
    close(fd);
    fd = dial(&rig);
    send_all(fd, GET("/big?n=30000000"));
    assert_true(rig_wait(&rig.handled, 2));
    for (int i = 0; i < 500 && rig_connections(&rig) > 0; i++)
        usleep(10000);
    assert_int_equal(rig_connections(&rig), 0);
    assert_int_equal(ask(fd, ""), -1); /* broke off */
    close(fd);
}

static void streams_keep_pace_with_the_reader(void **state)
{
    (void)state;
    rig_start(&rig);
    int fd = dial(&rig);
    send_all(fd, GET("/stream?n=2000&size=10000") GET("/hello"));
    usleep(200000);
    assert_int_equal(ask(fd, ""), 200);
    assert_true(head_has("Transfer-Encoding: chunked"));
    assert_int_equal(body.len, 20000000);
    assert_true(atomic_load(&rig.full) >= 1); /* while we slept */
    assert_int_equal(ask(fd, ""), 200);
    assert_body(body, "hi");
    send_all(fd, GET("/stream?n=100000&size=10000")); /* and one whose reader leaves */
    char some[1000];
    assert_true(recv(fd, some, sizeof some, 0) > 0);
    close(fd);
    assert_true(rig_wait(&rig.closed, 1));
}

/* --- out of memory ------------------------------------------------------------------------------------------------------------------------------ */
/* Whatever allocation fails: an answer or an end, never a crash or a hang, and the server serves on. */
static void every_failed_allocation_costs_one_connection_at_most(void **state)
{
    (void)state;
    rig_start(&rig);
    static const char *const requests[] = {GET("/hello"), GET("/bigcopy?n=8000000"),
                                           "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                                           GET("/later?ms=1") GET("/hello"), "garbage\r\n\r\n"};
    char *sink = malloc(1 << 20);
    for (size_t k = 0; k < sizeof requests / sizeof *requests; k++)
        for (int n = 1; n < 15; n++) {
            int fd = dial(&rig);
            pt_mem_fail_at(n, 0);
            send_all(fd, requests[k]);
            shutdown(fd, SHUT_WR);
            usleep(2000);
            while (recv(fd, sink, 1 << 20, 0) > 0)
                ;
            pt_mem_fail_at(0, 0);
            close(fd);
        }
    free(sink);
    int fd = dial(&rig);
    assert_int_equal(ask(fd, GET("/hello")), 200);
    close(fd);
}

static void starting_survives_every_failed_allocation(void **state)
{
    (void)state;
    rig_start(&rig);
    struct pt_err err;
    struct pt_loop *l;
    assert_int_equal(pt_loop_create(&l, &err), PT_OK);
    struct pt_http_server_options o = {.address = "unix:/tmp/pintle-test-oom.sock", .handler = rig.options.handler};
    int failures = 0;
    for (int n = 1; n < 20; n++) {
        struct pt_http_server *s;
        pt_mem_fail_at(n, 0);
        int rc = pt_http_server_start(l, &o, &s, &err);
        pt_mem_fail_at(0, 0);
        if (rc == PT_OK) {
            pt_http_server_destroy(s);
            break;
        }
        assert_int_equal(rc, PT_ENOMEM);
        failures++;
    }
    assert_true(failures >= 2);
    pt_loop_destroy(l);
    assert_int_equal(access("/tmp/pintle-test-oom.sock", F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_request_is_served_at_every_split),
        CASE(the_request_is_what_was_sent),
        CASE(head_and_204_have_no_body),
        CASE(pipelined_requests_are_answered_in_order),
        CASE(a_flood_of_pipelined_requests_is_bounded_and_served),
        CASE(connections_are_kept_or_closed_as_asked),
        CASE(expect_100_continue_is_answered_when_the_client_waits),
        CASE(a_body_over_the_limit_is_refused_readably),
        CASE(bad_heads_are_refused_with_a_reason),
        CASE(slow_clients_meet_their_limits),
        CASE(connections_over_the_limit_wait),
        CASE(running_out_of_descriptors_only_delays),
        CASE(a_thousand_connections),
        CASE(a_client_that_leaves_is_noticed),
        CASE(large_replies_arrive_whole_at_slow_readers),
        CASE(a_reader_that_stops_is_cut),
        CASE(streams_keep_pace_with_the_reader),
        CASE(every_failed_allocation_costs_one_connection_at_most),
        CASE(starting_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, finish);
}
