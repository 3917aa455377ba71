/* SPDX-License-Identifier: Apache-2.0
 *
 * test_relay.c: connections passed on to the rig's server and to sockets of the test.
 */
#include "base/mem.h"
#include "net/relay.h"
#include "rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct rig rig;
static struct pt_relay *relay;
static struct pt_relay_options options;
static struct pt_err err;
static int failed_starts;

/* Which ports pick() gives, one after the other, the last one for ever; 0: none. */
static int ports[4];
static atomic_int picks;

static bool pick(void *arg, struct sockaddr_storage *to)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int n = atomic_fetch_add(&picks, 1);
    (void)arg;
    a.sin_port = htons((uint16_t)ports[n < 4 ? n : 3]);
    memcpy(to, &a, sizeof a);
    return a.sin_port != 0;
}

static void start_on_loop(struct rig *r)
{
    assert_int_equal(pt_relay_start(r->loop, &options, &relay, &err), PT_OK);
}
static void destroy_on_loop(struct rig *r)
{
    (void)r;
    pt_relay_destroy(relay);
    relay = NULL;
}
static unsigned open_connections;
static void count_on_loop(struct rig *r)
{
    (void)r;
    open_connections = pt_relay_connections(relay);
}
static bool connections_become(unsigned n)
{
    for (int i = 0; i < 500; i++) {
        rig_call(&rig, count_on_loop);
        if (open_connections == n)
            return true;
        usleep(10000);
    }
    return false;
}

static void begin(int a, int b)
{
    ports[0] = a;
    ports[1] = ports[2] = ports[3] = b;
    atomic_store(&picks, 0);
    rig_call(&rig, start_on_loop);
}

static int setup(void **state)
{
    (void)state;
    rig = (struct rig){0};
    rig_start(&rig);
    options = (struct pt_relay_options){.address = "127.0.0.1:0", .pick = pick, .wait_ms = 300};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_call(&rig, destroy_on_loop);
    rig_stop(&rig);
    return 0;
}

static int dial_relay(void)
{
    struct rig there = {.port = pt_relay_port(relay), .options.address = options.address};
    return dial(&there);
}

/* A backend of the test's own: bound, and listening if asked to. */
static int backend(bool listening, int *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    if (listening)
        assert_int_equal(listen(fd, 16), 0);
    getsockname(fd, (struct sockaddr *)&a, &len);
    *port = ntohs(a.sin_port);
    return fd;
}

static void passes_requests_and_answers(void **state)
{
    (void)state;
    begin(rig.port, rig.port);
    int fd = dial_relay();
    for (int i = 0; i < 3; i++) {
        struct pt_buf body = PT_BUF_INIT(0);
        send_all(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
        assert_int_equal(read_response(fd, NULL, &body), 200);
        assert_int_equal(body.len, 5);
        assert_memory_equal(body.data, "hello", 5);
        pt_buf_finish(&body);
    }
    assert_int_equal(atomic_load(&picks), 1); /* once per connection */
    close(fd);
    assert_true(connections_become(0));
}

/* Each side may end what it says before the other does. */
static void passes_each_end_by_itself(void **state)
{
    int port, listener = backend(true, &port);
    char text[16] = "";
    (void)state;
    begin(port, port);
    int fd = dial_relay();
    send_all(fd, "question");
    shutdown(fd, SHUT_WR);
    int server = accept(listener, NULL, NULL);
    assert_int_equal(recv(server, text, sizeof text, MSG_WAITALL), 8);
    assert_int_equal(recv(server, text, sizeof text, 0), 0);
    send_all(server, "answer");
    close(server);
    assert_int_equal(recv(fd, text, 6, MSG_WAITALL), 6);
    assert_memory_equal(text, "answer", 6);
    assert_true(at_end(fd));
    assert_true(connections_become(0));
    close(fd);
    close(listener);
}

static void leaves_a_backend_that_refuses(void **state)
{
    int port, deaf = backend(false, &port);
    (void)state;
    begin(port, rig.port);
    int fd = dial_relay();
    send_all(fd, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"); /* sent before there is anybody: nothing of it is lost */
    assert_int_equal(read_response(fd, NULL, NULL), 200);
    assert_int_equal(atomic_load(&picks), 2);
    close(fd);
    close(deaf);
}

static void waits_for_a_backend_but_not_for_ever(void **state)
{
    (void)state;
    ports[0] = ports[1] = 0;
    ports[2] = ports[3] = rig.port;
    rig_call(&rig, start_on_loop);
    int fd = dial_relay();
    send_all(fd, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(read_response(fd, NULL, NULL), 200);
    close(fd);
    assert_true(connections_become(0));
    ports[3] = 0;
    fd = dial_relay();
    assert_true(at_end(fd));
    close(fd);
    assert_true(connections_become(0));
}

static void a_dead_backend_ends_the_connection(void **state)
{
    int port, listener = backend(true, &port);
    char byte;
    (void)state;
    begin(port, port);
    int fd = dial_relay();
    send_all(fd, "x");
    int server = accept(listener, NULL, NULL);
    assert_int_equal(recv(server, &byte, 1, 0), 1);
    setsockopt(server, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)); /* close() resets, as a killed process does */
    close(server);
    assert_true(recv(fd, &byte, 1, 0) <= 0);
    assert_true(connections_become(0));
    close(fd);
    close(listener);
}

/* A side that does not read stops the other one, and nothing is lost or changes places. */
static void a_slow_reader_holds_up_the_writer(void **state)
{
    enum { BLOCK = 65536, LIMIT = 64 << 20 };
    int port, listener = backend(true, &port), small = 65536;
    static uint32_t block[BLOCK / 4 + 1];
    uint32_t written = 0, seen = 0;
    size_t made = 0, sent = 0, got = 0;
    (void)state;
    setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    begin(port, port);
    int fd = dial_relay();
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    int server = accept(listener, NULL, NULL);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    for (int idle = 0; idle < 20 && sent < LIMIT;) {
        if (sent == made) {
            for (size_t i = 0; i < BLOCK / 4; i++)
                block[i] = written++;
            made += BLOCK;
        }
        ssize_t n = send(fd, (char *)block + sent % BLOCK, BLOCK - sent % BLOCK, MSG_NOSIGNAL);
        idle = n > 0 ? 0 : idle + 1;
        sent += n > 0 ? (size_t)n : 0;
        if (n <= 0)
            usleep(10000);
    }
    assert_true(sent < LIMIT / 2); /* the kernel's buffers and one of ours, not all there is */
    shutdown(fd, SHUT_WR);
    for (ssize_t n; (n = recv(server, (char *)block + got % 4, BLOCK - got % 4, 0)) > 0;) {
        size_t whole = got % 4 + (size_t)n, i = 0;
        for (; i < whole / 4; i++)
            assert_int_equal(block[i], seen++);
        got += (size_t)n;
        block[0] = block[i]; /* the beginning of the next number */
    }
    assert_int_equal(got, sent);
    close(server);
    close(fd);
    close(listener);
}

static void no_more_than_so_many_connections(void **state)
{
    (void)state;
    options.max_connections = 2;
    begin(rig.port, rig.port);
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = dial_relay();
        send_all(fds[i], "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    assert_int_equal(read_response(fds[0], NULL, NULL), 200);
    assert_int_equal(read_response(fds[1], NULL, NULL), 200);
    assert_true(connections_become(2));
    close(fds[0]);
    assert_int_equal(read_response(fds[2], NULL, NULL), 200); /* it has waited */
    close(fds[1]);
    close(fds[2]);
}

static void start_and_connect_without_memory(struct rig *r)
{
    for (int n = 1; n < 20; n++) {
        struct pt_relay *made = NULL;
        pt_mem_fail_at(n, 0);
        int rc = pt_relay_start(r->loop, &options, &made, &err);
        pt_mem_fail_at(0, 0);
        failed_starts += rc == PT_ENOMEM;
        if (rc == PT_OK)
            pt_relay_destroy(made);
    }
}

static void survives_without_memory(void **state)
{
    (void)state;
    begin(rig.port, rig.port);
    failed_starts = 0;
    rig_call(&rig, start_and_connect_without_memory);
    assert_true(failed_starts >= 2);
    for (int n = 1; n < 12; n++) { /* a connection may be lost, the relay not */
        pt_mem_fail_at(n, 0);
        int fd = dial_relay();
        send(fd, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", 31, MSG_NOSIGNAL);
        usleep(20000);
        pt_mem_fail_at(0, 0);
        close(fd);
    }
    int fd = dial_relay();
    send_all(fd, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(read_response(fd, NULL, NULL), 200);
    close(fd);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(passes_requests_and_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(passes_each_end_by_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(leaves_a_backend_that_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(waits_for_a_backend_but_not_for_ever, setup, teardown),
        cmocka_unit_test_setup_teardown(a_dead_backend_ends_the_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(a_slow_reader_holds_up_the_writer, setup, teardown),
        cmocka_unit_test_setup_teardown(no_more_than_so_many_connections, setup, teardown),
        cmocka_unit_test_setup_teardown(survives_without_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
