/* SPDX-License-Identifier: Apache-2.0
 *
 * test_http2.c: HTTP/2 over real sockets: every split of the bytes, many streams, flow control, limits, clients that leave, the end of connections.
 */
#include "base/mem.h"
#include "h2_rig.h"

#include <openssl/ssl.h>

static void requests_are_answered_by_the_same_handler(void **state)
{
    (void)state;
    rig_start(&rig);
    connect_client();
    static const char *const extra[] = {"x-test", "1", NULL};
    struct answer *a = ask("GET", "/hello", none), *b = ask("POST", "/echo", PT_STR("hello")),
                  *c = ask_with("GET", "/facts/a%20b?name=x%2fy+z", none, extra), *d = ask("GET", "/empty", none), *e = ask("HEAD", "/hello", none),
                  *f = ask("GET", "/error", none);
    finish(a), finish(b), finish(c), finish(d), finish(e), finish(f);
    assert_int_equal(a->status, 200);
    assert_body(a, "hi");
    assert_body(b, "hello");
    assert_body(c, "GET /facts/a%20b [name=x%2fy+z] x/y z 1 1");
    assert_int_equal(d->status, 204);
    assert_body(d, "");
    assert_int_equal(e->status, 200);
    assert_body(e, "");
    assert_int_equal(f->status, 429);
    disconnect();
}

static struct pt_buf recorded;
static ssize_t record(nghttp2_session *s, const uint8_t *p, size_t len, int flags, void *arg)
{
    (void)s, (void)flags, (void)arg;
    pt_buf_append(&recorded, p, len);
    return (ssize_t)len;
}

/* What a client says that posts "hello" to /echo. */
static void record_post(void)
{
    nghttp2_session_callbacks *cb;
    nghttp2_session *s;
    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_send_callback(cb, record);
    nghttp2_session_client_new(&s, cb, NULL);
    nghttp2_submit_settings(s, 0, NULL, 0);
    struct answer body = {.sent = "hello", .sent_len = 5};
    nghttp2_data_provider data = {.source.ptr = &body, .read_callback = read_body};
    const nghttp2_nv nv[] = {NV(":method", "POST"), NV(":path", "/echo"), NV(":scheme", "http"), NV(":authority", "a")};
    nghttp2_submit_request(s, NULL, nv, 4, &data, NULL);
    assert_int_equal(nghttp2_session_send(s), 0);
    nghttp2_session_del(s);
    nghttp2_session_callbacks_del(cb);
}

/* The bytes of a whole connection, cut in two at every place. */
static void bytes_may_come_in_any_pieces(void **state)
{
    (void)state;
    rig_start(&rig);
    record_post();
    for (size_t cut = 1; cut < recorded.len; cut++) {
        int fd = dial(&rig);
        send_bytes(fd, recorded.data, cut);
        usleep(200);
        send_bytes(fd, recorded.data + cut, recorded.len - cut);
        char got[4096];
        size_t len = 0;
        while (!memmem(got, len, "hello", 5)) {
            ssize_t n = recv(fd, got + len, sizeof got - len, 0);
            assert_true(n > 0);
            len += (size_t)n;
        }
        close(fd);
    }
    pt_buf_finish(&recorded);
}

/* One connection that offers these protocols; which the server chose, and that it then speaks it. */
static void over_tls(const char *protocols, const char *chosen)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)protocols, (unsigned)strlen(protocols));
    SSL *ssl = SSL_new(ctx);
    int fd = dial(&rig);
    SSL_set_fd(ssl, fd);
    assert_int_equal(SSL_connect(ssl), 1);
    const unsigned char *alpn;
    unsigned len;
    SSL_get0_alpn_selected(ssl, &alpn, &len);
    assert_int_equal(len, strlen(chosen));
    assert_memory_equal(alpn, chosen, len);
    static const char http1[] = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    bool two = strcmp(chosen, "h2") == 0;
    int n = two ? SSL_write(ssl, recorded.data, (int)recorded.len) : SSL_write(ssl, http1, sizeof http1 - 1);
    assert_true(n > 0);
    char got[4096];
    size_t have = 0;
    while (!memmem(got, have, "hello", 5)) {
        n = SSL_read(ssl, got + have, (int)(sizeof got - have));
        assert_true(n > 0);
        have += (size_t)n;
    }
    assert_int_equal(memcmp(got, "HTTP/1.1", 8) == 0, !two);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
}

static void tls_clients_choose_by_alpn(void **state)
{
    (void)state;
    struct pt_err err;
    struct pt_tls *tls;
    pt_auto_buf ca = {0}, ca_key = {0}, cert = {0}, key = {0};
    assert_int_equal(pt_ca_create("test", 2, &ca, &ca_key, &err), PT_OK);
    assert_int_equal(pt_ca_issue(pt_buf_cstr(&ca), pt_buf_cstr(&ca_key), "localhost", 1, &cert, &key, &err), PT_OK);
    assert_int_equal(pt_tls_server_create(pt_buf_cstr(&cert), pt_buf_cstr(&key), &tls, &err), PT_OK);
    rig.options.tls = tls;
    rig_start(&rig);
    pt_tls_destroy(tls);
    record_post();
    over_tls("\x02h2\x08http/1.1", "h2");
    over_tls("\x08http/1.1\x02h2", "h2");
    over_tls("\x08http/1.1", "http/1.1");
    pt_buf_finish(&recorded);
}

static void http1_is_told_apart(void **state)
{
    (void)state;
    rig_start(&rig);
    static const char *const methods[] = {"POST", "PUT", "PATCH", "GET", "DELETE"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        char text[128];
        pt_auto_buf head = {0}, body = {0};
        int fd = dial(&rig);
        snprintf(text, sizeof text, "%s /facts HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", methods[i]);
        for (size_t k = 0; k < strlen(text); k++) {
            send_bytes(fd, text + k, 1);
            if (k < 4)
                usleep(2000);
        }
        assert_int_equal(read_response(fd, &head, &body), 200);
        assert_memory_equal(pt_buf_cstr(&body), methods[i], strlen(methods[i]));
        close(fd);
    }
    int fd = dial(&rig); /* no method, nor the preface */
    pt_auto_buf head = {0};
    send_all(fd, "PRI * HTTP/2.1\r\n\r\n");
    assert_int_equal(read_response(fd, &head, NULL), 505);
    close(fd);
}

static void a_thousand_streams_at_once(void **state)
{
    (void)state;
    rig_start(&rig);
    connect_client();
    assert_true(turn()); /* the server's settings say how many */
    for (int i = 0; i < 1000; i++)
        ask("GET", i % 2 ? "/later?ms=50" : "/big?n=3000", none);
    for (int i = 0; i < 1000; i++)
        finish(&client.answers[i]);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(client.answers[i].status, 200);
        assert_int_equal(client.answers[i].body.len, i % 2 ? 4 : 3000);
    }
    disconnect();
}

static void large_bodies_go_both_ways(void **state)
{
    (void)state;
    rig_start(&rig);
    connect_client();
    size_t len = 20 << 20;
    char *big = malloc(len);
    for (size_t i = 0; i < len; i++)
        big[i] = (char)(i % 253);
    struct answer *a = ask("POST", "/echo", (struct pt_str){big, len});
    finish(a);
    assert_int_equal(a->body.len, len);
    assert_memory_equal(a->body.data, big, len);
    free(big);
    struct answer *b = ask("GET", "/stream?n=400&size=20000", none);
    finish(b);
    assert_int_equal(b->body.len, 8000000);
    disconnect();
}

static void a_client_that_takes_nothing_holds_up_nobody(void **state)
{
    (void)state;
    rig_start(&rig);
    connect_client();
    client.hold = true;
    struct answer *slow = ask("GET", "/stream?n=300&size=20000", none);
    for (int i = 0; i < 20; i++) {
        struct answer *quick = ask("GET", "/hello", none); /* the connection's window is used up, but heads go */
        while (quick->status == 0)
            assert_true(turn());
    }
    assert_false(slow->closed);
    assert_true(rig_wait(&rig.full, 1));
    client.hold = false;
    for (int i = 0; i < client.count; i++)
        nghttp2_session_consume(client.session, client.answers[i].id, client.answers[i].body.len);
    finish(slow);
    assert_int_equal(slow->body.len, 6000000);
    disconnect();
}

static void limits_are_said(void **state)
{
    (void)state;
    rig.options.max_body_bytes = 1000;
    rig.options.max_header_bytes = 2000;
    rig_start(&rig);
    connect_client();
    char *big = malloc(5000);
    memset(big, 'a', 4999);
    big[4999] = 0;
    const char *const extra[] = {"x-big", big, NULL}, *const length[] = {"content-length", "5000", NULL};
    struct answer *a = ask("POST", "/echo", (struct pt_str){big, 1001}), *b = ask_with("GET", "/hello", none, extra),
                  *c = ask_with("POST", "/echo", (struct pt_str){big, 5000}, length), *d = ask("POST", "/echo", (struct pt_str){big, 1000});
    finish(a), finish(b), finish(c), finish(d);
    assert_int_equal(a->status, 413);
    assert_non_null(strstr(pt_buf_cstr(&a->body), "over 1000 bytes"));
    assert_int_equal(b->status, 431);
    assert_int_equal(c->status, 413);
    assert_int_equal(d->status, 200);
    free(big);
    disconnect();
}

static void handlers_hear_of_clients_that_leave(void **state)
{
    (void)state;
    rig_start(&rig);
    connect_client();
    struct answer *a = ask("GET", "/never", none);
    ask("GET", "/never", none);
    ask("GET", "/never", none);
    assert_true(turn());
    assert_true(rig_wait(&rig.handled, 3));
    nghttp2_submit_rst_stream(client.session, 0, a->id, NGHTTP2_CANCEL);
    nghttp2_session_send(client.session);
    assert_true(rig_wait(&rig.closed, 1));
    disconnect();
    assert_true(rig_wait(&rig.closed, 3));
    assert_int_equal(atomic_load(&rig.closed), 3);
}

static void slow_bodies_and_idle_connections_end(void **state)
{
    (void)state;
    rig.options.body_timeout_ms = 150;
    rig.options.idle_timeout_ms = 200;
    rig_start(&rig);
    connect_client();
    const nghttp2_nv nv[] = {NV(":method", "POST"), NV(":path", "/echo"), NV(":scheme", "http"), NV(":authority", "a")};
    struct answer *a = &client.answers[client.count++];
    *a = (struct answer){.grpc_status = -1};
    a->id = nghttp2_submit_headers(client.session, 0, -1, NULL, nv, 4, NULL); /* its body never comes */
    finish(a);
    assert_int_equal(a->status, 408);
    while (turn())
        ;
    assert_true(client.goaway);
    disconnect();
}

static void drained(void *arg)
{
    sem_post(&((struct rig *)arg)->drained);
}

static void drain(struct rig *r)
{
    pt_http_server_drain(r->server, 5000, drained, r);
}

static void a_drain_answers_what_is_under_way(void **state)
{
    (void)state;
    rig_start(&rig);
    connect_client();
    struct answer *a = ask("GET", "/later?ms=300", none);
    assert_true(turn());
    assert_true(rig_wait(&rig.handled, 1));
    rig_call(&rig, drain);
    finish(a);
    assert_true(client.goaway);
    assert_body(a, "late");
    while (turn())
        ;
    sem_wait(&rig.drained);
    disconnect();
}

static void who_asks_again_too_early_waits(void **state)
{
    (void)state;
    struct timespec begin, end;
    rig_start(&rig);
    connect_client();
    clock_gettime(CLOCK_MONOTONIC, &begin);
    struct answer *together[20];
    for (int i = 0; i < 20; i++) /* sent before any was refused: none is early */
        together[i] = ask("GET", "/busy?s=5", none);
    for (int i = 0; i < 20; i++)
        finish(together[i]);
    for (int i = 0; i < 4; i++) { /* these are: their refusals come after 50 + 100 + 200 + 400 ms */
        struct answer *a = ask("GET", "/busy?s=5", none);
        finish(a);
        assert_int_equal(a->status, 429);
    }
    finish(ask("GET", "/hello", none));
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_in_range((end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000, 740, 5000);
    /* other streams of the connection do not, and one that leaves meanwhile does no harm */
    struct answer *late = ask("GET", "/busy?s=5", none), *left = ask("GET", "/busy?s=5", none);
    for (int i = 0; i < 20; i++) {
        struct answer *a = ask("GET", "/hello", none);
        finish(a);
        assert_int_equal(a->status, 200);
    }
    assert_false(late->closed);
    nghttp2_submit_rst_stream(client.session, 0, left->id, NGHTTP2_CANCEL);
    finish(late);
    assert_int_equal(late->status, 429);
    finish(ask("GET", "/hello", none));
    disconnect();
}

static bool has_word(void *arg, const struct pt_http_request *r)
{
    (void)arg;
    return pt_http_header(r, "authorization").p != NULL;
}

/* The handler answers without the body, which is never sent. */
static void who_is_not_admitted_need_not_send_a_body(void **state)
{
    (void)state;
    static const char *const word[] = {"authorization", "w", NULL};
    rig.options.admits = has_word;
    rig_start(&rig);
    connect_client();
    struct answer *a = &client.answers[client.count++];
    nghttp2_nv nv[] = {NV(":method", "POST"), NV(":path", "/echo"), NV(":scheme", "http"), NV(":authority", "a"), NV("content-length", "60000000")};
    *a = (struct answer){.grpc_status = -1};
    a->id = nghttp2_submit_headers(client.session, 0, -1, NULL, nv, 5, NULL); /* more is to come */
    finish(a);
    assert_int_equal(a->status, 200);
    assert_int_equal(a->body.len, 0);
    a = ask_with("POST", "/echo", PT_STR("all of it"), word);
    finish(a);
    assert_body(a, "all of it");
    disconnect();
}

/* The answer comes, and the connection is no longer one for new streams. */
static void a_client_is_sent_elsewhere(void **state)
{
    (void)state;
    rig_start(&rig);
    connect_client();
    struct answer *a = ask("GET", "/elsewhere", none);
    finish(a);
    assert_int_equal(a->status, 503);
    while (!client.goaway)
        assert_true(turn());
    while (turn())
        ;
    disconnect();
}

static void old_connections_are_sent_away(void **state)
{
    (void)state;
    rig.options.max_age_ms = 300;
    rig_start(&rig);
    connect_client();
    struct answer *a = ask("GET", "/hello", none), *long_one = ask("GET", "/later?ms=1700", none);
    finish(a);
    while (!client.goaway)
        assert_true(turn());
    assert_false(long_one->closed);
    struct answer *b = ask("GET", "/later?ms=10", none); /* it was on its way */
    if (b->id > 0)
        while (!b->closed && turn())
            ;
    finish(long_one); /* though it takes longer than anything new is taken */
    assert_body(long_one, "late");
    while (turn())
        ;
    disconnect();
    pt_auto_buf head = {0}; /* HTTP/1.1: with its next answer */
    int fd = dial(&rig);
    usleep(500000);
    send_all(fd, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(read_response(fd, &head, NULL), 200);
    assert_non_null(strstr(pt_buf_cstr(&head), "Connection: close"));
    close(fd);
}

static void broken_frames_end_the_connection(void **state)
{
    (void)state;
    rig_start(&rig);
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    static const struct {
        const char *p;
        size_t len;
    } bad[] = {
        {"\0\0\1\4\0\0\0\0\0x", 10}, {"\xff\xff\xff\0\0\0\0\0\1", 9}, {"\0\0\4\1\5\0\0\0\1\xff\xff\xff\xff", 13}, {"GET / HTTP/1.1\r\n\r\n", 18}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int fd = dial(&rig);
        char got[512];
        send_bytes(fd, preface, 24);
        send_bytes(fd, "\0\0\0\4\0\0\0\0\0", 9);
        send_bytes(fd, bad[i].p, bad[i].len);
        while (recv(fd, got, sizeof got, 0) > 0)
            ;
        close(fd);
    }
    connect_client();
    finish(ask("GET", "/hello", none)); /* others are not disturbed */
    disconnect();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(requests_are_answered_by_the_same_handler),
        CASE(bytes_may_come_in_any_pieces),
        CASE(tls_clients_choose_by_alpn),
        CASE(http1_is_told_apart),
        CASE(a_thousand_streams_at_once),
        CASE(large_bodies_go_both_ways),
        CASE(a_client_that_takes_nothing_holds_up_nobody),
        CASE(limits_are_said),
        CASE(handlers_hear_of_clients_that_leave),
        CASE(slow_bodies_and_idle_connections_end),
        CASE(a_drain_answers_what_is_under_way),
        CASE(who_asks_again_too_early_waits),
        CASE(who_is_not_admitted_need_not_send_a_body),
        CASE(a_client_is_sent_elsewhere),
        CASE(old_connections_are_sent_away),
        CASE(broken_frames_end_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
