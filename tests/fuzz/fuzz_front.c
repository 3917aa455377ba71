/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_front.c: requests of every front end, to a server with one model (examples/digits), without sockets. The first byte says HTTP, whose bytes
 * follow, or a gRPC method, whose messages follow, each behind its length in one byte (0: all that is left). Answers are taken here (the linker's
 * --wrap): each request gets exactly one, and what is called JSON can be read as such.
 */
#include "base/json.h"
#include "base/log.h"
#include "net/http_conn.h"
#include "sidecar/grpc_front.h"
#include "sidecar/rest.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct pt_grpc_call {
    void *data, *cancel_arg;
    void (*cancel)(void *arg);
    bool over;
};

static struct {
    struct pt_loop *loop;
    struct pt_config config;
    struct pt_threads *threads;
    struct pt_scheduler *scheduler;
    struct pt_metrics *registry;
    struct pt_repository repository;
    struct pt_frontend frontend;
    struct pt_rest rest;
    bool ready, waiting, answered;
} s;

static void check(bool good)
{
    if (!good)
        abort();
}

static void answered(void)
{
    check(!s.answered);
    s.answered = true;
    if (s.waiting)
        pt_loop_stop(s.loop);
}

static void await_answer(void)
{
    s.waiting = true;
    while (!s.answered)
        pt_loop_run(s.loop);
    s.waiting = false;
}

/* --- answers ------------------------------------------------------------------------------------------------------------------------ */

static void check_body(const char *content_type, const char *p, size_t len)
{
    struct pt_json j;
    struct pt_err err;
    if (!content_type || strcmp(content_type, PT_JSON) != 0)
        return;
    pt_json_init(&j, p, len);
    check(pt_json_skip(&j, &err) == PT_OK && pt_json_end(&j, &err) == PT_OK);
}

void __wrap_pt_http_reply(struct pt_http_request *r, int status, const char *content_type, const struct pt_http_header *headers, size_t count,
                          struct pt_str body);
void __wrap_pt_http_reply_buf(struct pt_http_request *r, int status, const char *content_type, const struct pt_http_header *headers, size_t count,
                              struct pt_buf *body);
void __wrap_pt_http_reply_error(struct pt_http_request *r, const struct pt_err *e);
void __wrap_pt_grpc_reply(struct pt_grpc_call *c, struct pt_buf *message);
int __wrap_pt_grpc_send(struct pt_grpc_call *c, struct pt_buf *message);
void __wrap_pt_grpc_finish(struct pt_grpc_call *c, int status, const char *message);
void __wrap_pt_grpc_fail(struct pt_grpc_call *c, const struct pt_err *err, int retry_after_s);
void *__wrap_pt_grpc_data(const struct pt_grpc_call *c);
void __wrap_pt_grpc_set_data(struct pt_grpc_call *c, void *data);
void __wrap_pt_grpc_on_cancel(struct pt_grpc_call *c, void (*fn)(void *arg), void *arg);
void __wrap_pt_grpc_on_drain(struct pt_grpc_call *c, void (*fn)(void *arg), void *arg);
void __wrap_pt_grpc_pause(struct pt_grpc_call *c, bool pause);
int64_t __wrap_pt_grpc_deadline_ms(const struct pt_grpc_call *c);
const struct pt_http_request *__wrap_pt_grpc_request(const struct pt_grpc_call *c);
void __wrap_pt_grpc_set_note(struct pt_grpc_call *c, void *note);
struct pt_str __wrap_pt_grpc_metadata(const struct pt_grpc_call *c, const char *name);

void __wrap_pt_http_reply(struct pt_http_request *r, int status, const char *content_type, const struct pt_http_header *headers, size_t count,
                          struct pt_str body)
{
    (void)r, (void)headers, (void)count;
    check(status >= 200 && status < 600);
    check_body(content_type, body.p, body.len);
    answered();
}

void __wrap_pt_http_reply_buf(struct pt_http_request *r, int status, const char *content_type, const struct pt_http_header *headers, size_t count,
                              struct pt_buf *body)
{
    bool packed = false;
    (void)r;
    check(status >= 200 && status < 600);
    for (size_t i = 0; i < count; i++)
        packed |= pt_str_eq_nocase(headers[i].name, PT_STR("Content-Encoding"));
    if (!packed)
        check_body(content_type, body->data, body->len);
    answered();
}

void __wrap_pt_http_reply_error(struct pt_http_request *r, const struct pt_err *e)
{
    (void)r;
    check(e->code < 0 && e->msg[0]);
    answered();
}

static void end_call(struct pt_grpc_call *c)
{
    check(!c->over);
    c->over = true;
    answered();
}

static void check_message(const struct pt_buf *m)
{
    struct pt_pb_reader r = pt_pb_reader(m->data + 5, m->len - 5);
    struct pt_pb_field f;
    struct pt_err err;
    int rc;
    check(!m->failed && m->len >= 5);
    while ((rc = pt_pb_next(&r, &f, &err)) == 1)
        ;
    check(rc == 0);
}

void __wrap_pt_grpc_reply(struct pt_grpc_call *c, struct pt_buf *message)
{
    check_message(message);
    pt_buf_finish(message);
    end_call(c);
}

int __wrap_pt_grpc_send(struct pt_grpc_call *c, struct pt_buf *message)
{
    check(!c->over);
    check_message(message);
    pt_buf_finish(message);
    if (s.waiting)
        pt_loop_stop(s.loop);
    return PT_OK;
}

void __wrap_pt_grpc_finish(struct pt_grpc_call *c, int status, const char *message)
{
    check(status >= 0 && status <= 16 && message);
    end_call(c);
}

void __wrap_pt_grpc_fail(struct pt_grpc_call *c, const struct pt_err *err, int retry_after_s)
{
    check(err->code < 0 && err->msg[0] && retry_after_s >= 0);
    end_call(c);
}

void *__wrap_pt_grpc_data(const struct pt_grpc_call *c)
{
    return c->data;
}

void __wrap_pt_grpc_set_data(struct pt_grpc_call *c, void *data)
{
    c->data = data;
}

void __wrap_pt_grpc_on_cancel(struct pt_grpc_call *c, void (*fn)(void *arg), void *arg)
{
    c->cancel = fn;
    c->cancel_arg = arg;
}

void __wrap_pt_grpc_on_drain(struct pt_grpc_call *c, void (*fn)(void *arg), void *arg)
{
    (void)c, (void)fn, (void)arg;
}

void __wrap_pt_grpc_pause(struct pt_grpc_call *c, bool pause)
{
    (void)c, (void)pause;
}

int64_t __wrap_pt_grpc_deadline_ms(const struct pt_grpc_call *c)
{
    (void)c;
    return 0;
}

const struct pt_http_request *__wrap_pt_grpc_request(const struct pt_grpc_call *c)
{
    static struct pt_http_conn conn = {.req.ops = &pt_http1_ops};
    (void)c;
    return &conn.req;
}

void __wrap_pt_grpc_set_note(struct pt_grpc_call *c, void *note)
{
    (void)c, (void)note;
}

struct pt_str __wrap_pt_grpc_metadata(const struct pt_grpc_call *c, const char *name)
{
    (void)c, (void)name;
    return (struct pt_str){0};
}

/* --- the server ----------------------------------------------------------------------------------------------------------------------- */

static void on_changed(void *arg, struct pt_version *v)
{
    (void)arg;
    check(!v || v->servable.state != PT_MODEL_FAILED);
    if (!s.ready && pt_repository_ready(&s.repository)) {
        s.ready = true;
        pt_loop_stop(s.loop);
    }
}

static void on_wake(void *arg, struct pt_version *v)
{
    (void)arg;
    pt_frontend_wake(&s.frontend, v);
}

static void start(void)
{
    struct pt_err err;
    const struct pt_scheduler_options so = {.workers = 1, .run_here_ns = 100000};
    pt_log_level_set(PT_LOG_OFF);
    check(pt_config_init(&s.config, &err) == PT_OK && pt_config_set(&s.config, "model", "name", "digits", &err) == PT_OK &&
          pt_config_set(&s.config, "model", "uri", "file://" PT_DIGITS, &err) == PT_OK &&
          pt_config_set(&s.config, "monitoring", "enabled", "1", &err) == PT_OK);
    check(pt_loop_create(&s.loop, &err) == PT_OK && pt_threads_create(1, &s.threads, &err) == PT_OK &&
          pt_scheduler_create(s.loop, &so, &s.scheduler, &err) == PT_OK);
    s.registry = pt_serving_registry_create(&err);
    s.frontend = (struct pt_frontend){.loop = s.loop, .config = &s.config, .repository = &s.repository};
    s.rest = (struct pt_rest){.frontend = &s.frontend};
    const struct pt_repository_options o = {.loop = s.loop,
                                            .config = &s.config,
                                            .cache_dir = "/nonexistent",
                                            .threads = s.threads,
                                            .scheduler = s.scheduler,
                                            .jobs = &pt_call_job,
                                            .registry = s.registry,
                                            .changed = on_changed,
                                            .wake = on_wake};
    check(s.registry && pt_repository_start(&s.repository, &o, &err) == PT_OK);
    while (!s.ready)
        pt_loop_run(s.loop);
}

/* --- requests ------------------------------------------------------------------------------------------------------------------------- */

static struct pt_http_conn *conn_of(struct pt_http_msg *m)
{
    return (struct pt_http_conn *)((char *)m - offsetof(struct pt_http_conn, msg));
}

static int on_headers(struct pt_http_msg *m)
{
    struct pt_http_request *r = &conn_of(m)->req;
    r->head_only = m->parser.method == HTTP_HEAD;
    (void)pt_rest_full(&s.rest, r);
    return PT_OK;
}

static int on_body(struct pt_http_msg *m, const char *p, size_t len)
{
    check(pt_buf_append(&conn_of(m)->body, p, len));
    return PT_OK;
}

static void http(const char *p, size_t len)
{
    static const struct pt_http_msg_ops ops = {.on_headers = on_headers, .on_body = on_body};
    struct pt_http_server server = {0};
    struct pt_http_conn c = {.server = &server, .req.ops = &pt_http1_ops};
    size_t used;
    pt_http_msg_init(&c.msg, false, &ops, 16384);
    if (pt_http_msg_feed(&c.msg, p, len, &used) == 1) {
        s.answered = false;
        pt_rest_handle(&s.rest, &c.req);
        await_answer();
    }
    pt_http_msg_finish(&c.msg);
    pt_buf_finish(&c.body);
}

static const struct pt_grpc_method *method_at(size_t i)
{
    const struct pt_grpc_method *const tables[] = {pt_oip_grpc_methods, pt_tfs_grpc_methods, pt_health_grpc_methods, pt_reflection_grpc_methods};
    const size_t counts[] = {pt_oip_grpc_method_count, pt_tfs_grpc_method_count, pt_health_grpc_method_count, pt_reflection_grpc_method_count};
    size_t all = counts[0] + counts[1] + counts[2] + counts[3], t = 0;
    for (i %= all; i >= counts[t]; t++)
        i -= counts[t];
    return &tables[t][i];
}

static void grpc(const struct pt_grpc_method *m, const uint8_t *p, size_t len)
{
    struct pt_grpc_call c = {0};
    s.answered = false;
    do {
        size_t n = len > 1 && p[0] && p[0] < len - 1 ? p[0] : len > 0 ? len - 1 : 0;
        struct pt_buf message = {0};
        check(pt_buf_append(&message, (const char *)p + (len > 0), n));
        m->message(&s.frontend, &c, &message);
        pt_buf_finish(&message);
        p += n + (len > 0);
        len -= n + (len > 0);
    } while (m->streaming && !c.over && len > 0);
    if (m->streaming && !c.over && m->end)
        m->end(&s.frontend, &c);
    if (m->streaming && !c.over && c.cancel)
        c.cancel(c.cancel_arg);
    else if (!m->streaming)
        await_answer();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!s.loop)
        start();
    if (size == 0)
        return 0;
    if (data[0] < 128)
        http((const char *)data + 1, size - 1);
    else
        grpc(method_at(data[0] - 128u), data + 1, size - 1);
    return 0;
}
