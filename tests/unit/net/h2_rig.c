/* SPDX-License-Identifier: Apache-2.0
 *
 * h2_rig.c: see h2_rig.h.
 */
#include "h2_rig.h"

struct rig rig;
struct client client;
const struct pt_str none;

static ssize_t on_send(nghttp2_session *s, const uint8_t *p, size_t len, int flags, void *arg)
{
    (void)s, (void)flags, (void)arg;
    return send(client.fd, p, len, MSG_NOSIGNAL) == (ssize_t)len ? (ssize_t)len : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static struct answer *answer_of(int32_t id)
{
    for (int i = 0; i < client.count; i++)
        if (client.answers[i].id == id)
            return &client.answers[i];
    return NULL;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t name_len, const uint8_t *value, size_t len,
                     uint8_t flags, void *arg)
{
    struct answer *a = answer_of(f->hd.stream_id);
    struct pt_str n = {(const char *)name, name_len};
    char text[256];
    (void)s, (void)flags, (void)arg;
    assert_non_null(a);
    snprintf(text, sizeof text, "%.*s", (int)len, value);
    if (pt_str_eq(n, PT_STR(":status")))
        a->status = atoi(text);
    if (pt_str_eq(n, PT_STR("grpc-status")))
        a->grpc_status = atoi(text);
    if (pt_str_eq(n, PT_STR("grpc-message")))
        snprintf(a->grpc_message, sizeof a->grpc_message, "%s", text);
    if (pt_str_eq(n, PT_STR("grpc-encoding")))
        snprintf(a->encoding, sizeof a->encoding, "%.15s", text);
    return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *p, size_t len, void *arg)
{
    (void)flags, (void)arg;
    pt_buf_append(&answer_of(id)->body, p, len);
    if (!client.hold)
        nghttp2_session_consume(s, id, len);
    return 0;
}

static int on_close(nghttp2_session *s, int32_t id, uint32_t code, void *arg)
{
    (void)s, (void)arg;
    struct answer *a = answer_of(id);
    a->closed = true;
    a->error = code;
    return 0;
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *f, void *arg)
{
    (void)s, (void)arg;
    client.goaway |= f->hd.type == NGHTTP2_GOAWAY;
    return 0;
}

void connect_client(void)
{
    nghttp2_session_callbacks *cb;
    nghttp2_option *o;
    nghttp2_session_callbacks_new(&cb);
    nghttp2_option_new(&o);
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_session_callbacks_set_send_callback(cb, on_send);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    client.fd = dial(&rig);
    client.count = 0;
    client.goaway = client.hold = false;
    assert_int_equal(nghttp2_session_client_new2(&client.session, cb, NULL, o), 0);
    nghttp2_submit_settings(client.session, 0, NULL, 0);
    nghttp2_option_del(o);
    nghttp2_session_callbacks_del(cb);
}

void disconnect(void)
{
    nghttp2_session_del(client.session);
    close(client.fd);
    for (int i = 0; i < client.count; i++)
        pt_buf_finish(&client.answers[i].body);
}

ssize_t read_body(nghttp2_session *s, int32_t id, uint8_t *buf, size_t room, uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct answer *a = source->ptr;
    size_t n = a->sent_len < room ? a->sent_len : room;
    (void)s, (void)id, (void)arg;
    memcpy(buf, a->sent, n);
    a->sent += n;
    a->sent_len -= n;
    if (a->sent_len == 0)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

struct answer *ask_with(const char *method, const char *path, struct pt_str body, const char *const *extra)
{
    struct answer *a = &client.answers[client.count++];
    nghttp2_nv nv[12] = {NV(":method", method), NV(":path", path), NV(":scheme", "http"), NV(":authority", "a")};
    size_t n = 4;
    for (; extra && *extra; extra += 2)
        nv[n++] = (nghttp2_nv)NV(extra[0], extra[1]);
    *a = (struct answer){.grpc_status = -1, .sent = body.p, .sent_len = body.len};
    nghttp2_data_provider data = {.source.ptr = a, .read_callback = read_body};
    a->id = nghttp2_submit_request(client.session, NULL, nv, n, body.p ? &data : NULL, NULL);
    assert_true(a->id > 0);
    return a;
}

struct answer *ask(const char *method, const char *path, struct pt_str body)
{
    return ask_with(method, path, body, NULL);
}

bool turn(void)
{
    static uint8_t bytes[65536];
    assert_int_equal(nghttp2_session_send(client.session), 0);
    ssize_t n = recv(client.fd, bytes, sizeof bytes, 0);
    if (n <= 0)
        return false;
    assert_int_equal(nghttp2_session_mem_recv(client.session, bytes, (size_t)n), n);
    return true;
}

void finish(struct answer *a)
{
    while (!a->closed)
        assert_true(turn());
    nghttp2_session_send(client.session);
}

int setup(void **state)
{
    (void)state;
    memset(&rig, 0, sizeof rig);
    rig.options.http2 = true;
    return 0;
}

int teardown(void **state)
{
    (void)state;
    rig_stop(&rig);
    return 0;
}
