/* SPDX-License-Identifier: Apache-2.0
 *
 * test_http_life.c: the server over real sockets: drain, clients that ask again too early, unix sockets and addresses.
 */
#include "http1_rig.h"

/* --- drain ------------------------------------------------------------------------------------------------------------------------------ */
static void on_drained(void *arg)
{
    sem_post(&((struct rig *)arg)->drained);
}
static void drain(struct rig *r)
{
    pt_http_server_drain(r->server, 5000, on_drained, r);
}
static void drain_briefly(struct rig *r)
{
    pt_http_server_drain(r->server, 200, on_drained, r);
}
static void close_after_reply(struct rig *r)
{
    pt_http_server_close_after_reply(r->server);
}

static bool drained_within(int ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_nsec -= 1000000000L;
        until.tv_sec++;
    }
    return sem_timedwait(&rig.drained, &until) == 0;
}

static void a_drain_finishes_what_is_under_way(void **state)
{
    (void)state;
    rig_start(&rig);
    int idle = dial(&rig), busy = dial(&rig), half = dial(&rig);
    assert_int_equal(ask(idle, GET("/hello")), 200);
    send_all(busy, GET("/later?ms=300"));
    send_all(half, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
    assert_true(rig_wait(&rig.handled, 2));
    usleep(50000);
    rig_call(&rig, drain);
    assert_true(at_end(idle));
    assert_int_equal(dial(&rig), -1); /* refused */
    assert_int_equal(ask(half, "cd"), 200);
    assert_body(body, "abcd");
    assert_true(head_has("\r\nConnection: close\r\n"));
    assert_false(drained_within(1));
    assert_int_equal(ask(busy, ""), 200);
    assert_true(head_has("\r\nConnection: close\r\n"));
    assert_true(at_end(busy));
    close(idle);
    close(busy);
    close(half);
    assert_true(drained_within(2000));
}

static void a_drain_ends_at_its_limit(void **state)
{
    (void)state;
    rig_start(&rig);
    int fd = dial(&rig);
    send_all(fd, GET("/never"));
    assert_true(rig_wait(&rig.handled, 1));
    int64_t start = now_ms();
    rig_call(&rig, drain_briefly);
    assert_true(drained_within(3000));
    assert_true(now_ms() - start >= 190);
    assert_int_equal(atomic_load(&rig.closed), 1);
    assert_true(at_end(fd));
    close(fd);
}

static void a_drain_without_connections_is_done_at_once(void **state)
{
    (void)state;
    rig_start(&rig);
    rig_call(&rig, drain);
    assert_true(drained_within(1000));
}

static void replies_say_close_while_accepting_goes_on(void **state)
{
    (void)state;
    rig_start(&rig);
    int fd = dial(&rig);
    assert_int_equal(ask(fd, GET("/hello")), 200);
    rig_call(&rig, close_after_reply);
    assert_int_equal(ask(fd, GET("/hello")), 200);
    assert_true(head_has("\r\nConnection: close\r\n"));
    assert_true(at_end(fd));
    close(fd);
    fd = dial(&rig);
    assert_int_equal(ask(fd, GET("/hello")), 200);
    close(fd);
}

static void a_client_is_sent_elsewhere(void **state)
{
    (void)state;
    rig_start(&rig);
    int fd = dial(&rig), other = dial(&rig);
    assert_int_equal(ask(other, GET("/hello")), 200);
    assert_int_equal(ask(fd, GET("/elsewhere")), 503);
    assert_true(head_has("\r\nConnection: close\r\n"));
    assert_true(at_end(fd));
    assert_int_equal(ask(other, GET("/hello")), 200); /* only that one */
    close(fd);
    close(other);
}

/* --- unix sockets and addresses ------------------------------------------------------------------------------------------------------------- */
static char socket_path[100], socket_address[110];

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A connection's requests until the end; how many were answered with `status`. */
static int ask_until(int fd, const char *request, int status, double end)
{
    int count = 0;
    while (seconds() < end) {
        send_all(fd, request);
        assert_int_equal(read_response(fd, NULL, NULL), status);
        count++;
    }
    return count;
}

struct flood {
    pthread_t thread;
    int fd;
    double end;
    bool patient;
    int answers;
};

/* Raw bytes: read_response() keeps what is left over for one descriptor at a time. */
static void *flood(void *arg)
{
    struct flood *f = arg;
    char got[4096];
    const char *request = f->patient ? "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n" : "GET /busy?s=5 HTTP/1.1\r\nHost: a\r\n\r\n";
    while (seconds() < f->end) {
        send_all(f->fd, request);
        if (recv(f->fd, got, sizeof got, 0) <= 0)
            break;
        f->answers++;
    }
    return NULL;
}

static int run_flood(bool patient)
{
    struct flood f[8];
    double end = seconds() + 0.8;
    for (size_t i = 0; i < 8; i++) {
        f[i] = (struct flood){.fd = dial(&rig), .end = end, .patient = patient};
        pthread_create(&f[i].thread, NULL, flood, &f[i]);
    }
    int fd = dial(&rig), answers = ask_until(fd, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", 200, end), others = 0;
    for (size_t i = 0; i < 8; i++) {
        pthread_join(f[i].thread, NULL);
        close(f[i].fd);
        others += f[i].answers;
    }
    close(fd);
    print_message("%d answers of the one beside %d of eight %s clients\n", answers, others, patient ? "accepted" : "refused");
    if (!patient)
        assert_in_range(others, 8 * 2, 8 * 8); /* 2 at once, then after 50, 150, 350 and 750 ms; not thousands */
    assert_true(answers > 0);
    return others;
}

static void who_asks_again_too_early_waits(void **state)
{
    (void)state;
    rig_start(&rig);
    int refused = run_flood(false), accepted = run_flood(true);
    assert_true(refused < accepted); /* the same clients, let in, have all that the server can give: thousands */
}

static void pipelined_requests_wait_and_are_all_answered(void **state)
{
    (void)state;
    rig_start(&rig);
    double begin = seconds();
    int fd = dial(&rig);
    for (int i = 0; i < 4; i++)
        send_all(fd, "GET /busy?s=5 HTTP/1.1\r\nHost: a\r\n\r\n");
    send_all(fd, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < 4; i++)
        assert_int_equal(read_response(fd, NULL, NULL), 429);
    assert_int_equal(read_response(fd, NULL, NULL), 200);
    assert_true(seconds() - begin > 0.3);                   /* 50 + 100 + 200 ms */
    send_all(fd, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"); /* and reading has gone on */
    assert_int_equal(read_response(fd, NULL, NULL), 200);
    close(fd);
}

static void who_comes_back_in_time_does_not_wait(void **state)
{
    (void)state;
    rig_start(&rig);
    double begin = seconds();
    int fd = dial(&rig);
    for (int i = 0; i < 200; i++) { /* told to come back at once */
        send_all(fd, "GET /busy?s=0 HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_int_equal(read_response(fd, NULL, NULL), 429);
    }
    assert_true(seconds() - begin < 4); /* held, they would take more than three minutes */
    close(fd);
}

static void a_unix_socket_is_private_and_replaced_when_stale(void **state)
{
    (void)state;
    snprintf(socket_path, sizeof socket_path, "/tmp/pintle-test-%d.sock", (int)getpid());
    snprintf(socket_address, sizeof socket_address, "unix:%s", socket_path);
    int stale = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    strcpy(a.sun_path, socket_path);
    assert_int_equal(bind(stale, (struct sockaddr *)&a, sizeof a), 0);
    close(stale); /* the file stays, nobody listens */
    rig.options.address = socket_address;
    rig_start(&rig);
    assert_int_equal(rig.port, 0);
    struct stat st;
    assert_int_equal(stat(socket_path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    int fd = dial(&rig);
    assert_int_equal(ask(fd, GET("/hello")), 200);
    close(fd);
    struct pt_http_server *second;
    struct pt_err err;
    struct pt_loop *l;
    assert_int_equal(pt_loop_create(&l, &err), PT_OK);
    assert_int_equal(pt_http_server_start(l, &rig.options, &second, &err), PT_EEXIST); /* in use: not stolen */
    assert_non_null(strstr(err.msg, socket_path));
    pt_loop_destroy(l);
    rig_call(&rig, drain);
    assert_true(drained_within(2000));
    assert_int_equal(stat(socket_path, &st), -1);
}

static void an_empty_host_listens_everywhere(void **state)
{
    (void)state;
    rig.options.address = ":0";
    rig_start(&rig);
    assert_true(rig.port > 0);
    int fd = dial(&rig); /* by IPv4 */
    assert_int_equal(ask(fd, GET("/hello")), 200);
    close(fd);
    rig_stop(&rig);
    setup(NULL);
    rig.options.address = "localhost:0";
    rig_start(&rig);
    fd = dial(&rig);
    assert_int_equal(ask(fd, GET("/hello")), 200);
    close(fd);
}

static void addresses_are_checked(void **state)
{
    (void)state;
    rig_start(&rig);
    char host[64];
    int port;
    struct pt_err err;
    assert_int_equal(pt_http_parse_address("[::1]:80", host, sizeof host, &port, &err), PT_OK);
    assert_string_equal(host, "::1");
    assert_int_equal(pt_http_parse_address(":8080", host, sizeof host, &port, &err), PT_OK);
    assert_string_equal(host, "");
    assert_int_equal(port, 8080);
    assert_int_equal(pt_http_parse_address("unix:/a b", host, sizeof host, &port, &err), PT_OK);
    assert_int_equal(port, -1);
    static const char *const bad[] = {"", "80", "host:", "host:x", "host:65536", "host:-1", "::1:80", "[::1]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_true(pt_http_parse_address(bad[i], host, sizeof host, &port, &err) < 0);
    assert_int_equal(pt_http_parse_address("a-rather-long-name:80", host, 8, &port, &err), PT_ELIMIT);
    struct pt_http_server *second;
    struct pt_loop *l;
    char taken[32];
    snprintf(taken, sizeof taken, "127.0.0.1:%d", rig.port);
    assert_int_equal(pt_loop_create(&l, &err), PT_OK);
    struct pt_http_server_options o = rig.options;
    o.address = taken;
    assert_int_equal(pt_http_server_start(l, &o, &second, &err), PT_EEXIST);
    assert_non_null(strstr(err.msg, taken));
    o.address = "unix:/nonexistent/dir/s";
    assert_int_equal(pt_http_server_start(l, &o, &second, &err), PT_ENOTFOUND);
    pt_loop_destroy(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_drain_finishes_what_is_under_way),
        CASE(a_drain_ends_at_its_limit),
        CASE(a_drain_without_connections_is_done_at_once),
        CASE(replies_say_close_while_accepting_goes_on),
        CASE(a_client_is_sent_elsewhere),
        CASE(who_asks_again_too_early_waits),
        CASE(pipelined_requests_wait_and_are_all_answered),
        CASE(who_comes_back_in_time_does_not_wait),
        CASE(a_unix_socket_is_private_and_replaced_when_stale),
        CASE(an_empty_host_listens_everywhere),
        CASE(addresses_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, finish);
}
