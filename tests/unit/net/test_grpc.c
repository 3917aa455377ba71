/* SPDX-License-Identifier: Apache-2.0
 *
 * test_grpc.c: gRPC over real sockets: messages in any pieces, status, compression, deadlines, who may call, clients that leave.
 */
#include "base/mem.h"
#include "h2_rig.h"
#include "net/grpc.h"
#include "net/gzip.h"

static struct pt_grpc grpc;
static atomic_int canceled;

static void echo(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    struct pt_buf b = {0};
    (void)arg;
    pt_grpc_begin_message(&b);
    pt_buf_append(&b, m->data, m->len);
    pt_grpc_reply(c, &b);
}

static void echo_stream(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    struct pt_buf b = {0};
    (void)arg;
    pt_grpc_begin_message(&b);
    pt_buf_append(&b, m->data, m->len);
    pt_grpc_send(c, &b);
}

static void end_stream(void *arg, struct pt_grpc_call *c)
{
    (void)arg;
    pt_grpc_finish(c, 0, "");
}

static void refuse(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    struct pt_err err;
    (void)arg, (void)m;
    pt_fail(&err, PT_EBUSY, "50%% of \xc3\xa9");
    pt_grpc_fail(c, &err, 3);
}

static void on_canceled(void *arg)
{
    (void)arg;
    atomic_fetch_add(&canceled, 1);
}

static void never(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    (void)arg, (void)m;
    pt_grpc_on_cancel(c, on_canceled, NULL);
}

static void never_end(void *arg, struct pt_grpc_call *c)
{
    (void)arg, (void)c;
}

static const struct pt_grpc_method methods[] = {{"/t.S/Echo", false, echo, NULL},
                                                {"/t.S/Stream", true, echo_stream, end_stream},
                                                {"/t.S/Fail", false, refuse, NULL},
                                                {"/t.S/Never", false, never, NULL},
                                                {"/t.S/NeverStream", true, never, never_end}};
static const struct pt_grpc_table table = {methods, sizeof methods / sizeof *methods, NULL};

static void on_head(void *arg, struct pt_http_request *req)
{
    (void)arg;
    grpc.loop = rig.loop;
    pt_grpc_accept(&grpc, req);
}

static void start_grpc(void)
{
    grpc = (struct pt_grpc){.tables = &table, .table_count = 1, .max_message_bytes = 100000};
    atomic_store(&canceled, 0);
    rig.options.on_head = on_head;
    rig_start(&rig);
    connect_client();
}

static const char *const plain[] = {"content-type", "application/grpc", "te", "trailers", NULL};

static struct answer *call(const char *path, const char *bytes, size_t len, const char *const *extra)
{
    struct answer *a = ask_with("POST", path, (struct pt_str){bytes, len}, extra ? extra : plain);
    finish(a);
    return a;
}

static void unary_calls(void **state)
{
    (void)state;
    start_grpc();
    struct answer *a = call("/t.S/Echo", "\0\0\0\0\5hello", 10, NULL);
    assert_int_equal(a->status, 200);
    assert_int_equal(a->grpc_status, 0);
    assert_int_equal(a->body.len, 10);
    assert_memory_equal(a->body.data, "\0\0\0\0\5hello", 10);
    a = call("/t.S/Echo", "\0\0\0\0\0", 5, NULL);
    assert_int_equal(a->grpc_status, 0);
    assert_int_equal(a->body.len, 5);
    a = call("/t.S/Fail", "\0\0\0\0\0", 5, NULL);
    assert_int_equal(a->grpc_status, 8);
    assert_string_equal(a->grpc_message, "50%25 of %C3%A9");
    assert_int_equal(a->body.len, 0);
    a = call("/t.S/Nothing", "\0\0\0\0\0", 5, NULL);
    assert_int_equal(a->grpc_status, 12);
    static const struct {
        const char *bytes;
        size_t len;
        int status;
    } bad[] = {{"\0\0\0\0\5hell", 9, 13},        {"\0\0\0", 3, 13},     {"", 0, 13}, {"\2\0\0\0\0", 5, 13}, {"\0\xff\0\0\0", 5, 8},
               {"\0\0\0\0\0\0\0\0\0\0", 10, 13}, {"\1\0\0\0\1x", 6, 13}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(call("/t.S/Echo", bad[i].bytes, bad[i].len, NULL)->grpc_status, bad[i].status);
    static const char *const odd[] = {"content-type", "application/grpc", "grpc-timeout", "5x", NULL}, *const br[] = {"content-type",
                                                                                                                      "application/grpc",
                                                                                                                      "grpc-encoding", "br", NULL};
    assert_int_equal(call("/t.S/Echo", "\0\0\0\0\0", 5, odd)->grpc_status, 13);
    assert_int_equal(call("/t.S/Echo", "\0\0\0\0\0", 5, br)->grpc_status, 12);
    disconnect();
}

static int only_with_a_word(void *arg, const struct pt_http_request *req, struct pt_err *err)
{
    return pt_str_eq(pt_http_header(req, "authorization"), pt_str(arg)) ? PT_OK : pt_fail(err, PT_EUNAUTHENTICATED, "no word");
}

static void calls_are_authorized_by_their_head(void **state)
{
    (void)state;
    static char word[] = "Bearer w";
    static const char *const with[] = {"content-type", "application/grpc", "authorization", "Bearer w", NULL};
    start_grpc();
    grpc.authorize_arg = word;
    grpc.authorize = only_with_a_word;
    struct answer *a = call("/t.S/Echo", "\0\0\0\0\5hello", 10, NULL);
    assert_int_equal(a->grpc_status, 16);
    assert_string_equal(a->grpc_message, "no word");
    assert_int_equal(call("/t.S/Nothing", "\0\0\0\0\0", 5, NULL)->grpc_status, 16); /* nor which methods there are */
    assert_int_equal(call("/t.S/Echo", "\0\0\0\0\5hello", 10, with)->grpc_status, 0);
    disconnect();
}

static void messages_are_compressed_both_ways(void **state)
{
    (void)state;
    start_grpc();
    static const char *const gzip[] = {
        "content-type", "application/grpc+proto", "grpc-encoding", "gzip", "grpc-accept-encoding", "identity,gzip", NULL};
    char text[5000];
    memset(text, 'z', sizeof text);
    pt_auto_buf b = {0}, back = {0};
    pt_buf_append(&b, "\1\0\0\0\0", 5);
    assert_int_equal(pt_deflate(PT_ENC_GZIP, (struct pt_str){text, sizeof text}, &b, NULL), PT_OK);
    b.data[4] = (char)(b.len - 5);
    struct answer *a = call("/t.S/Echo", b.data, b.len, gzip);
    assert_int_equal(a->grpc_status, 0);
    assert_string_equal(a->encoding, "gzip");
    assert_int_equal(a->body.data[0], 1);
    assert_int_equal(pt_inflate(PT_ENC_GZIP, (struct pt_str){a->body.data + 5, a->body.len - 5}, 1 << 20, &back, NULL), PT_OK);
    assert_int_equal(back.len, sizeof text);
    char *bomb = calloc(1, 1 << 20); /* 1 MiB of nothing is over the limit, though its bytes are few */
    pt_buf_reset(&b);
    pt_buf_append(&b, "\1\0\0\0\0", 5);
    pt_deflate(PT_ENC_GZIP, (struct pt_str){bomb, 1 << 20}, &b, NULL);
    free(bomb);
    b.data[3] = (char)((b.len - 5) >> 8), b.data[4] = (char)(b.len - 5);
    assert_int_equal(call("/t.S/Echo", b.data, b.len, gzip)->grpc_status, 8);
    disconnect();
}

/* The frames of gRPC and of HTTP/2 have nothing to do with each other. */
static void streams_take_messages_in_any_pieces(void **state)
{
    (void)state;
    start_grpc();
    char bytes[4096];
    size_t len = 0;
    for (int i = 0; i < 30; i++) {
        memcpy(bytes + len, "\0\0\0\0", 4);
        bytes[len + 4] = (char)(i * 3);
        memset(bytes + len + 5, 'a' + i % 26, (size_t)i * 3);
        len += 5 + (size_t)i * 3;
    }
    for (size_t step = 1; step < 200; step += 7) {
        struct answer *a = &client.answers[client.count++];
        *a = (struct answer){.grpc_status = -1};
        const nghttp2_nv nv[] = {NV(":method", "POST"), NV(":path", "/t.S/Stream"), NV(":scheme", "http"), NV(":authority", "a"),
                                 NV("content-type", "application/grpc")};
        a->id = nghttp2_submit_headers(client.session, 0, -1, NULL, nv, 5, NULL);
        assert_int_equal(nghttp2_session_send(client.session), 0);
        for (size_t at = 0; at < len; at += step) {
            a->sent = bytes + at;
            a->sent_len = len - at < step ? len - at : step;
            nghttp2_data_provider data = {.source.ptr = a, .read_callback = read_body};
            assert_int_equal(nghttp2_submit_data(client.session, at + step >= len ? NGHTTP2_FLAG_END_STREAM : 0, a->id, &data), 0);
            assert_int_equal(nghttp2_session_send(client.session), 0);
        }
        finish(a);
        assert_int_equal(a->grpc_status, 0);
        assert_int_equal(a->body.len, len);
        assert_memory_equal(a->body.data, bytes, len);
    }
    disconnect();
}

static void calls_are_canceled(void **state)
{
    (void)state;
    start_grpc();
    struct answer *a = ask_with("POST", "/t.S/Never", PT_STR("\0\0\0\0\0"), plain);
    ask_with("POST", "/t.S/Never", PT_STR("\0\0\0\0\0"), plain);
    assert_true(turn());
    usleep(50000);
    nghttp2_submit_rst_stream(client.session, 0, a->id, NGHTTP2_CANCEL);
    nghttp2_session_send(client.session);
    assert_true(rig_wait(&canceled, 1));
    static const char *const soon[] = {"content-type", "application/grpc", "grpc-timeout", "50m", NULL};
    struct answer *b = call("/t.S/NeverStream", "\0\0\0\0\0", 5, soon);
    assert_int_equal(b->grpc_status, 4);
    assert_true(rig_wait(&canceled, 2));
    disconnect();
    assert_true(rig_wait(&canceled, 3));
}

static void timeouts_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms; /* -1: none */
    } all[] = {{"100m", 100}, {"1S", 1000}, {"2M", 120000}, {"1H", 3600000}, {"1u", 1},   {"1500u", 2},       {"99999999n", 100}, {"0m", 0},
               {"", -1},      {"m", -1},    {"5", -1},      {"5x", -1},      {"-1m", -1}, {"123456789m", -1}, {"1.5S", -1}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int64_t ms = -1;
        int rc = pt_grpc_parse_timeout(pt_str(all[i].text), &ms);
        assert_int_equal(rc == PT_OK ? ms : -1, all[i].ms);
    }
    rig_start(&rig); /* for teardown */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(unary_calls),
        CASE(calls_are_authorized_by_their_head),
        CASE(messages_are_compressed_both_ways),
        CASE(streams_take_messages_in_any_pieces),
        CASE(calls_are_canceled),
        CASE(timeouts_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
