/* SPDX-License-Identifier: Apache-2.0
 *
 * test_http_msg.c: the message parser without sockets: every split point, framing, and what must be refused.
 */
#include "base/mem.h"
#include "net/http_msg.h"
#include "net/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct pt_buf trace; /* what the owner of the parser saw, as text */

static int on_headers(struct pt_http_msg *m)
{
    struct pt_str t = pt_http_msg_target(m);
    pt_buf_printf(&trace, "[%d %d " PT_STR_FMT, m->parser.method, m->parser.status_code, PT_STR_ARG(t));
    for (size_t i = 0; i < m->header_count; i++)
        pt_buf_printf(&trace, "|" PT_STR_FMT "=" PT_STR_FMT, PT_STR_ARG(m->headers[i].name), PT_STR_ARG(m->headers[i].value));
    pt_buf_puts(&trace, "]");
    return 0;
}

static int on_body(struct pt_http_msg *m, const char *p, size_t len)
{
    (void)m;
    pt_buf_append(&trace, p, len);
    return 0;
}

static const struct pt_http_msg_ops ops = {on_headers, on_body};

/* Feeds the pieces in front of and behind each cut; messages follow each other. Returns the code of the failure or the number of messages. */
static int feed(struct pt_http_msg *m, const char *bytes, size_t len, size_t cut)
{
    int messages = 0;
    pt_buf_reset(&trace);
    for (size_t at = 0; at < len;) {
        size_t end = at < cut ? cut : len, used;
        int rc = pt_http_msg_feed(m, bytes + at, end - at, &used);
        if (rc < 0)
            return rc;
        at += used;
        if (rc == 1) {
            pt_buf_printf(&trace, "<%s>\n", m->keep_alive ? "more" : "last");
            pt_http_msg_reset(m);
            messages++;
        }
    }
    return messages;
}

static int parse(bool response, const char *text, size_t cut)
{
    struct pt_http_msg m;
    pt_http_msg_init(&m, response, &ops, 4096);
    int rc = feed(&m, text, strlen(text), cut);
    if (rc < 0)
        rc = m.fail_status ? -m.fail_status : -1;
    pt_http_msg_finish(&m);
    return rc;
}

static const char two_requests[] =
    "POST /v2/models/digits/infer?x=1 HTTP/1.1\r\nHost: a\r\nX-Empty:\r\nX-Trail: v \t\r\nTransfer-Encoding: chunked\r\n\r\n"
    "5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: dropped\r\n\r\n"
    "\r\nPUT / HTTP/1.1\r\nhost: b\r\nContent-Length: 3\r\n\r\nabc"
    "GET /last HTTP/1.0\r\n\r\n";
static const char two_requests_seen[] = "[3 0 /v2/models/digits/infer?x=1|Host=a|X-Empty=|X-Trail=v|Transfer-Encoding=chunked]hello world<more>\n"
                                        "[4 0 /|host=b|Content-Length=3]abc<more>\n"
                                        "[1 0 /last]<last>\n";

static void requests_parse_alike_at_every_split(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < sizeof two_requests; cut++) {
        assert_int_equal(parse(false, two_requests, cut), 3);
        assert_string_equal(pt_buf_cstr(&trace), two_requests_seen);
    }
}

static void requests_parse_alike_byte_by_byte(void **state)
{
    (void)state;
    struct pt_http_msg m;
    pt_http_msg_init(&m, false, &ops, 4096);
    pt_buf_reset(&trace);
    int messages = 0;
    for (size_t i = 0; i < sizeof two_requests - 1; i++) {
        size_t used;
        int rc = pt_http_msg_feed(&m, two_requests + i, 1, &used);
        assert_int_equal(used, 1);
        assert_true(rc >= 0);
        if (rc == 1) {
            pt_buf_printf(&trace, "<%s>\n", m.keep_alive ? "more" : "last");
            pt_http_msg_reset(&m);
            messages++;
        }
    }
    assert_int_equal(messages, 3);
    assert_string_equal(pt_buf_cstr(&trace), two_requests_seen);
    pt_http_msg_finish(&m);
}

static void responses_parse_alike_at_every_split(void **state)
{
    (void)state;
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\nhello"
                               "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                               "HTTP/1.1 204 No Content\r\n\r\n";
    for (size_t cut = 0; cut < sizeof text; cut++) {
        assert_int_equal(parse(true, text, cut), 3);
        assert_string_equal(pt_buf_cstr(&trace),
                            "[0 200 |Content-Length=5|ETag=\"a\"]hello<more>\n[0 404 |Transfer-Encoding=chunked]abc<more>\n[0 204 ]<more>\n");
    }
}

static void the_end_of_the_connection_ends_a_response_without_length(void **state)
{
    (void)state;
    struct pt_http_msg m;
    static const char text[] = "HTTP/1.1 200 OK\r\n\r\nall of it", cut[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab";
    size_t used;
    pt_http_msg_init(&m, true, &ops, 4096);
    pt_buf_reset(&trace);
    assert_int_equal(pt_http_msg_feed(&m, text, sizeof text - 1, &used), 0);
    assert_int_equal(pt_http_msg_eof(&m), 1);
    assert_false(m.keep_alive);
    assert_string_equal(pt_buf_cstr(&trace), "[0 200 ]all of it");
    pt_http_msg_reset(&m);
    assert_int_equal(pt_http_msg_eof(&m), PT_EIO); /* nothing came */
    assert_int_equal(pt_http_msg_feed(&m, cut, sizeof cut - 1, &used), 0);
    assert_int_equal(pt_http_msg_eof(&m), PT_EIO);
    pt_http_msg_finish(&m);
}

#define HOST "Host: a\r\n"
static const struct {
    const char *bytes;
    int status; /* of the refusal; positive: that many messages are fine */
} cases[] = {
    {"GET / HTTP/1.1\r\n" HOST "\r\n", 1},
    {"GET http://a/b?c HTTP/1.1\r\n" HOST "\r\n", 1},
    {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 1},
    {"GET / HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 1}, /* an offer may be declined */
    {"GET / HTTP/1.1\r\n\r\n", -400},
    {"GET / HTTP/1.1\r\n" HOST HOST "\r\n", -400},
    {"GET / HTTP/2.0\r\n" HOST "\r\n", -505},
    {"GET / HTTP/1.2\r\n" HOST "\r\n", -505},
    {"GET /\r\n\r\n", -505},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", -505},
    {"CONNECT a:443 HTTP/1.1\r\n" HOST "\r\n", -405},
    {"FOO / HTTP/1.1\r\n" HOST "\r\n", -400},
    {"\x16\x03\x01\x02", -400}, /* TLS on a plain port */
    /* two lengths, or two opinions about the length */
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", -400},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", -400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", -400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 3\r\n\r\n", -400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 3, 3\r\n\r\n", -400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: +3\r\n\r\n", -400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: -3\r\n\r\n", -400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 0x3\r\n\r\n", -400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999\r\n\r\n", -400},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", -501},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", -400},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n", -501},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n", -501},
    {"POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", -400},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n\r\n", -400},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", -400},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n", -400},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n", -400},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n", -400},
    /* line ends and header syntax */
    {"GET / HTTP/1.1\n" HOST "\r\n", -400},
    {"GET / HTTP/1.1\r\nHost: a\n\r\n", -400},
    {"GET / HTTP/1.1\r\n" HOST "X: a\r\n folded\r\n\r\n", -400},
    {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", -400},
    {"GET / HTTP/1.1\r\n" HOST "X Y: a\r\n\r\n", -400},
    {"GET / HTTP/1.1\r\n" HOST ": a\r\n\r\n", -400},
    {"GET / HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n", -400},
    {"GET / HTTP/1.1\r\n" HOST "X: a\001\r\n\r\n", -400},
    {"GET  / HTTP/1.1\r\n" HOST "\r\n", 1}, /* the parser takes more blanks; the target is still one */
};

static void what_is_ambiguous_or_malformed_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t cut = 0; cut <= strlen(cases[i].bytes); cut++) {
            int rc = parse(false, cases[i].bytes, cut);
            if (rc != cases[i].status)
                fail_msg("case %zu cut at %zu: %d, not %d: %s", i, cut, rc, cases[i].status, cases[i].bytes);
        }
}

static void a_nul_in_a_header_is_refused(void **state)
{
    (void)state;
    static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n";
    struct pt_http_msg m;
    pt_http_msg_init(&m, false, &ops, 4096);
    assert_int_equal(feed(&m, text, sizeof text - 1, 0), PT_EPARSE);
    pt_http_msg_finish(&m);
}

static void heads_are_limited(void **state)
{
    (void)state;
    pt_auto_buf b = PT_BUF_INIT(0);
    pt_buf_puts(&b, "GET /");
    for (int i = 0; i < 5000; i++)
        pt_buf_putc(&b, 'a');
    assert_int_equal(parse(false, pt_buf_cstr(&b), 0), -414);
    pt_buf_reset(&b);
    pt_buf_puts(&b, "GET / HTTP/1.1\r\nX: ");
    for (int i = 0; i < 5000; i++)
        pt_buf_putc(&b, 'a');
    assert_int_equal(parse(false, pt_buf_cstr(&b), 100), -431);
    pt_buf_reset(&b);
    pt_buf_puts(&b, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < PT_HTTP_MAX_HEADERS; i++)
        pt_buf_puts(&b, "x:\r\n");
    assert_int_equal(parse(false, pt_buf_cstr(&b), 0), -431);
    pt_buf_reset(&b);
    pt_buf_puts(&b, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
    for (int i = 0; i < 1000; i++)
        pt_buf_puts(&b, "trailer: x\r\n");
    assert_int_equal(parse(false, pt_buf_cstr(&b), 0), -431);
    struct pt_http_msg m; /* exactly PT_HTTP_MAX_HEADERS are fine */
    pt_buf_reset(&b);
    pt_buf_puts(&b, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 1; i < PT_HTTP_MAX_HEADERS; i++)
        pt_buf_puts(&b, "x:\r\n");
    pt_buf_puts(&b, "\r\n");
    pt_http_msg_init(&m, false, &ops, 4096);
    assert_int_equal(feed(&m, b.data, b.len, 0), 1);
    pt_http_msg_finish(&m);
}

static void every_failed_allocation_is_an_answer(void **state)
{
    (void)state;
    int refused = 0;
    for (int n = 1; n < 40; n++) {
        struct pt_http_msg m;
        pt_http_msg_init(&m, false, &ops, 4096);
        pt_buf_finish(&trace);
        pt_buf_reserve(&trace, 4096); /* not the subject */
        pt_mem_fail_at(n, 0);
        int rc = feed(&m, two_requests, sizeof two_requests - 1, 0);
        pt_mem_fail_at(0, 0);
        pt_http_msg_finish(&m);
        if (rc == 3)
            break;
        assert_int_equal(rc, PT_ENOMEM);
        refused++;
    }
    assert_true(refused >= 3);
}

/* --- URLs --------------------------------------------------------------------------------------------------------------- */
static void urls_are_taken_apart(void **state)
{
    (void)state;
    struct pt_url u;
    struct pt_err err;
    assert_int_equal(pt_url_parse("https://Example.org:8443/a/b?c=d#frag", &u, &err), PT_OK);
    assert_true(u.https);
    assert_int_equal(u.port, 8443);
    assert_true(pt_str_eq(u.host, PT_STR("Example.org")));
    assert_true(pt_str_eq(u.authority, PT_STR("Example.org:8443")));
    assert_true(pt_str_eq(u.target, PT_STR("/a/b?c=d")));
    assert_int_equal(pt_url_parse("http://[::1]:80", &u, &err), PT_OK);
    assert_true(pt_str_eq(u.host, PT_STR("::1")));
    assert_int_equal(u.target.len, 0);
    assert_int_equal(pt_url_parse("HTTP://h?q", &u, &err), PT_OK);
    assert_int_equal(u.port, 80);
    assert_true(pt_str_eq(u.target, PT_STR("?q")));
    static const char *const bad[] = {"",
                                      "ftp://h/",
                                      "http:/h",
                                      "http://",
                                      "http:///p",
                                      "http://h:0/",
                                      "http://h:65536/",
                                      "http://h:x/",
                                      "http://h:/",
                                      "http://u:p@h/",
                                      "http://h/ x",
                                      "http://h/\n",
                                      "http://[::1/",
                                      "http://[::1]x/",
                                      "h/p",
                                      "http://h/\xc3\xa4"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (pt_url_parse(bad[i], &u, &err) == PT_OK)
            fail_msg("accepted: %s", bad[i]);
    pt_url_parse("ftp://h/p?X-Amz-Signature=secret", &u, &err);
    assert_null(strstr(err.msg, "secret"));
    pt_url_parse("http://user:secret@h/", &u, &err);
    assert_null(strstr(err.msg, "secret"));
}

static void redirect_targets_are_resolved(void **state)
{
    (void)state;
    static const struct {
        const char *base, *reference, *want;
    } rows[] = {
        {"http://h:81/a/b?q", "https://x/y", "https://x/y"},
        {"https://h/a/b", "//x/y", "https://x/y"},
        {"http://h:81/a/b?q", "/c?d", "http://h:81/c?d"},
        {"http://h/a/b?q", "c", "http://h/a/c"},
        {"http://h/a/b?q", "?z", "http://h/a/b?z"},
        {"http://h", "c", "http://h/c"},
        {"http://h/a", "c:d", "c:d"},
        {"http://h/a", "", "http://h/a"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pt_url u;
        pt_auto_buf out = PT_BUF_INIT(0);
        assert_int_equal(pt_url_parse(rows[i].base, &u, NULL), PT_OK);
        pt_url_resolve(&u, pt_str(rows[i].reference), &out);
        assert_string_equal(pt_buf_cstr(&out), rows[i].want);
    }
}

static int finish(void **state)
{
    (void)state;
    pt_buf_finish(&trace);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_parse_alike_at_every_split),
        cmocka_unit_test(requests_parse_alike_byte_by_byte),
        cmocka_unit_test(responses_parse_alike_at_every_split),
        cmocka_unit_test(the_end_of_the_connection_ends_a_response_without_length),
        cmocka_unit_test(what_is_ambiguous_or_malformed_is_refused),
        cmocka_unit_test(a_nul_in_a_header_is_refused),
        cmocka_unit_test(heads_are_limited),
        cmocka_unit_test(every_failed_allocation_is_an_answer),
        cmocka_unit_test(urls_are_taken_apart),
        cmocka_unit_test(redirect_targets_are_resolved),
    };
    return cmocka_run_group_tests(tests, NULL, finish);
}
