/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_http2.c: what a client may send behind the preface of HTTP/2, whole and cut in two, against handlers that echo, by HTTP and by gRPC (unary and
 * streaming). The first two bytes of an input say where it is cut. What the server answers goes into a socket whose other end is emptied.
 */
#include "net/grpc.h"
#include "net/http_conn.h"

#include "base/mem.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct pt_loop *loop;
static struct pt_http_server server;
static struct pt_grpc grpc;
static bool freed;

static void handle(void *arg, struct pt_http_request *req)
{
    (void)arg;
    pt_http_reply(req, 200, "text/plain", NULL, 0, pt_http_body(req));
}

static void on_head(void *arg, struct pt_http_request *req)
{
    (void)arg;
    pt_grpc_accept(&grpc, req);
}

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

static const struct pt_grpc_method methods[] = {{"/inference.GRPCInferenceService/ModelInfer", false, echo, NULL},
                                                {"/inference.GRPCInferenceService/ModelStreamInfer", true, echo_stream, end_stream}};
static const struct pt_grpc_table table = {methods, sizeof methods / sizeof *methods, NULL};

static void on_closed(struct pt_stream *st)
{
    struct pt_http_conn *c = (struct pt_http_conn *)st;
    pt_http_msg_finish(&c->msg);
    pt_free(c);
    freed = true;
    pt_loop_stop(loop);
}

static void on_end(struct pt_stream *st, const struct pt_err *e)
{
    (void)st, (void)e;
}

static void on_drain(struct pt_stream *st)
{
    (void)st;
}

static const struct pt_stream_ops ops = {.on_drain = on_drain, .on_end = on_end, .on_closed = on_closed};

static void set_up(void)
{
    if (loop)
        return;
    if (pt_loop_create(&loop, NULL) < 0)
        abort();
    grpc = (struct pt_grpc){.loop = loop, .tables = &table, .table_count = 1, .max_message_bytes = 1 << 16};
    server = (struct pt_http_server){.loop = loop,
                                     .listener = {.fd = -1},
                                     .max_header_bytes = 4096,
                                     .max_body_bytes = 1 << 16,
                                     .idle_timeout_ms = 60000,
                                     .header_timeout_ms = 60000,
                                     .body_timeout_ms = 60000,
                                     .max_streams = 8,
                                     .http2 = true,
                                     .handler = handle,
                                     .on_head = on_head,
                                     .too_large = "too large",
                                     .read_buf = pt_malloc(PT_STREAM_READ_SIZE)};
}

static void empty(int fd)
{
    static char sink[1 << 16];
    while (recv(fd, sink, sizeof sink, MSG_DONTWAIT) > 0)
        ;
}

static void run(const char *p, size_t len, size_t cut)
{
    int fds[2];
    struct pt_http_conn *c = pt_calloc(1, sizeof *c);
    if (!c || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) < 0 ||
        pt_stream_init(&c->stream, loop, fds[0], PT_STREAM_OPEN, &ops, NULL, NULL, server.read_buf, NULL) < 0)
        abort();
    c->server = &server;
    c->req.ops = &pt_http1_ops;
    pt_http_msg_init(&c->msg, false, NULL, 4096);
    server.conns = c;
    server.conn_count = 1;
    if (pt_h2_start(c) < 0)
        abort();
    pt_h2_data(c, p, cut);
    empty(fds[1]);
    if (c->state == PT_CONN_HTTP2)
        pt_h2_drained(c);
    pt_h2_data(c, p + cut, len - cut);
    empty(fds[1]);
    freed = false;
    pt_conn_close(c);
    if (server.conns || grpc.first) /* every call has ended with its connection */
        abort();
    while (!freed)
        pt_loop_run(loop);
    close(fds[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    set_up();
    if (size < 2)
        return 0;
    size_t cut = ((size_t)data[0] << 8 | data[1]) % (size - 1);
    run((const char *)data + 2, size - 2, cut);
    run((const char *)data + 2, size - 2, 0);
    return 0;
}
