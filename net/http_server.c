/* SPDX-License-Identifier: Apache-2.0
 *
 * http_server.c: the HTTP server: connections, drain, and reading HTTP/1.1 with its time limits. Replies are in http_reply.c; a connection that
 * begins with HTTP/2's preface is handed to http2.c.
 *
 * A connection has room for one request, which is embedded in it together with its parser and buffers, so that a request on a kept-alive
 * connection allocates nothing. While a request is being answered reading goes on, to notice a client that leaves; pipelined bytes wait in
 * the stash, and reading pauses when that is full. An answer that ends a connection lingers, unless the client has said itself that it is the last:
 * the sending side is shut and what the client still sends is read and dropped for a moment, because closing at once would make the kernel reset the
 * connection and the client could lose the answer.
 *
 * One timer per connection: the deadline is a plain number that moves with each step; the timer is only re-armed when it fires too early or
 * the deadline moves before it.
 */
#include "net/http_server.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/http_conn.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define STASH_BYTES ((size_t)64 << 10)
#define KEEP_BODY_BYTES ((size_t)64 << 10)
#define RESERVE_BYTES ((uint64_t)1 << 20) /* of a body's announced length taken at once; a mere announcement costs no more */
#define LINGER_STEP_MS 2000               /* without a byte */
#define LINGER_MS 10000
#define HOLD_MIN_MS 50
#define HOLD_MAX_MS 1000

static void resume_soon(struct pt_http_conn *c);

static struct pt_sched *sched(const struct pt_http_server *s)
{
    return pt_loop_sched(s->loop);
}

/* --- deadlines -------------------------------------------------------------------------------------------------------- */
static void on_timer(struct pt_timer *t);

static void arm(struct pt_http_conn *c, int64_t now)
{
    if (!pt_timer_running(&c->timer) || c->timer.due_ms > c->deadline_ms)
        pt_timer_start(sched(c->server), &c->timer, c->deadline_ms > now ? c->deadline_ms - now : 0, on_timer);
}

void pt_conn_set_deadline(struct pt_http_conn *c, int64_t delay_ms)
{
    int64_t now = pt_now_ms(sched(c->server));
    c->deadline_ms = now + delay_ms;
    arm(c, now);
}

/* After a read: which limit holds now? A limit starts with the phase, not with each byte; only a body's moves on with its bytes, and with them
 * no faster than 1 KB/s on the whole. */
static void set_read_deadline(struct pt_http_conn *c)
{
    struct pt_http_server *s = c->server;
    if (c->state != PT_CONN_READING)
        return;
    enum pt_http_wait wait = c->msg.headers_done ? PT_WAIT_BODY : c->msg.begun ? PT_WAIT_HEAD : PT_WAIT_IDLE;
    if (wait == c->wait && (wait != PT_WAIT_BODY || c->mark == c->body.len))
        return;
    if (wait == PT_WAIT_BODY) {
        int64_t now = pt_now_ms(sched(s));
        if (c->wait != PT_WAIT_BODY)
            c->limit_ms = now;
        int64_t slowest = c->limit_ms + (int64_t)c->body.len;
        pt_conn_set_deadline(c, s->body_timeout_ms + (slowest < now ? slowest - now : 0));
        c->mark = c->body.len;
    } else {
        pt_conn_set_deadline(c, wait == PT_WAIT_HEAD ? s->header_timeout_ms : s->idle_timeout_ms);
    }
    c->wait = wait;
}

void pt_conn_watch_output(struct pt_http_conn *c)
{
    if (pt_stream_pending(&c->stream) == 0) {
        c->deadline_ms = 0;
    } else if (c->deadline_ms == 0) {
        c->mark = c->stream.sent_bytes;
        pt_conn_set_deadline(c, c->server->body_timeout_ms);
    }
}

/* --- who asks again too early ------------------------------------------------------------------------------------------------------ */
static bool is_held(const struct pt_http_conn *c)
{
    return pt_timer_running(&c->hold);
}

static void on_held(struct pt_timer *t)
{
    struct pt_http_conn *c = (struct pt_http_conn *)((char *)t - offsetof(struct pt_http_conn, hold));
    resume_soon(c);
}

int64_t pt_conn_hold_ms(struct pt_http_conn *c, bool early, int retry_after_s)
{
    int64_t now = pt_now_ms(sched(c->server));
    bool again = early && now < c->patience_ms;
    if (now >= c->patience_ms)
        c->hold_ms = 0;
    c->patience_ms = now + 1000 * (int64_t)retry_after_s;
    if (again)
        c->hold_ms = c->hold_ms == 0 ? HOLD_MIN_MS : c->hold_ms < HOLD_MAX_MS / 2 ? 2 * c->hold_ms : HOLD_MAX_MS;
    return again ? c->hold_ms : 0;
}

void pt_conn_discourage(struct pt_http_conn *c, int retry_after_s)
{
    if (is_held(c) || pt_conn_hold_ms(c, true, retry_after_s) == 0) /* held: it was on its way already */
        return;
    pt_stream_pause(&c->stream, true);
    pt_timer_start(sched(c->server), &c->hold, c->hold_ms, on_held);
}

/* --- from one request to the next ------------------------------------------------------------------------------------------ */
static void forget_request(struct pt_http_conn *c)
{
    pt_http_msg_reset(&c->msg);
    if (c->body.room > KEEP_BODY_BYTES)
        pt_buf_finish(&c->body);
    pt_buf_reset(&c->body);
    c->req = (struct pt_http_request){.ops = &pt_http1_ops};
    c->send_continue = false;
}

/* Will nothing more come? It has hung up, or said that this request is its last, and kept to it so far. */
static bool is_over(const struct pt_http_conn *c)
{
    bool last = c->msg.done && !c->msg.keep_alive && c->stash.len == c->stash_off;
    return c->stream.ended || (last && !pt_stream_readable(&c->stream));
}

void pt_conn_linger(struct pt_http_conn *c)
{
    bool over = is_over(c);
    forget_request(c);
    pt_buf_finish(&c->stash);
    c->state = PT_CONN_LINGERING;
    if (over) {
        pt_conn_close(c);
        return;
    }
    pt_stream_shutdown(&c->stream);
    c->stream.discards = true;
    pt_stream_pause(&c->stream, false);
    c->limit_ms = pt_now_ms(sched(c->server)) + LINGER_MS;
    pt_conn_set_deadline(c, LINGER_STEP_MS);
}

static void next_request(struct pt_http_conn *c)
{
    if (c->close_after) {
        pt_conn_linger(c);
        return;
    }
    forget_request(c);
    c->state = PT_CONN_READING;
    c->wait = PT_WAIT_IDLE;
    pt_conn_set_deadline(c, c->server->idle_timeout_ms);
    if (!c->parsing && !is_held(c) && (c->stash.len > c->stash_off || c->stream.paused))
        resume_soon(c);
}

void pt_conn_reply_done(struct pt_http_conn *c)
{
    c->req.on_close = NULL;
    c->req.on_drain = NULL;
    if (pt_stream_pending(&c->stream) == 0) {
        next_request(c);
        return;
    }
    c->state = PT_CONN_FLUSHING;
    c->deadline_ms = 0;
    pt_conn_watch_output(c);
}

/* --- reading ---------------------------------------------------------------------------------------------------------------------- */
static struct pt_http_conn *conn_of_msg(struct pt_http_msg *m)
{
    return (struct pt_http_conn *)((char *)m - offsetof(struct pt_http_conn, msg));
}

static int body_too_large(struct pt_http_conn *c)
{
    return pt_http_msg_fail(&c->msg, PT_ELIMIT, 413, c->server->too_large);
}

static int on_headers(struct pt_http_msg *m)
{
    struct pt_http_conn *c = conn_of_msg(m);
    uint64_t length = m->parser.flags & F_CONTENT_LENGTH ? m->parser.content_length : 0;
    if (length > c->server->max_body_bytes)
        return body_too_large(c);
    struct pt_str expect = pt_http_find_header(m->headers, m->header_count, PT_STR("Expect"));
    if (expect.p && !pt_str_eq_nocase(expect, PT_STR("100-continue")))
        return pt_http_msg_fail(m, PT_EUNSUPPORTED, 417, "only the expectation 100-continue is supported");
    c->send_continue = expect.p && m->parser.http_minor > 0 && (length > 0 || (m->parser.flags & F_CHUNKED));
    c->req.head_only = m->parser.method == HTTP_HEAD;
    bool has_body = length > 0 || (m->parser.flags & F_CHUNKED);
    c->req.unwelcome = has_body && c->server->admits && !c->server->admits(c->server->arg, &c->req);
    if (c->req.unwelcome)
        return pt_http_msg_fail(m, PT_EDENIED, 403, "not admitted"); /* parse() lets the handler say it better */
    if (length > 0 && !pt_buf_reserve(&c->body, (size_t)(length < RESERVE_BYTES ? length : RESERVE_BYTES)))
        return pt_http_msg_fail(m, PT_ENOMEM, 503, "out of memory");
    return PT_OK;
}

static int on_body(struct pt_http_msg *m, const char *p, size_t len)
{
    struct pt_http_conn *c = conn_of_msg(m);
    c->send_continue = false; /* it did not wait */
    c->req.bytes_in += len;
    if (len > c->server->max_body_bytes - c->body.len)
        return body_too_large(c);
    return pt_buf_append(&c->body, p, len) ? PT_OK : pt_http_msg_fail(m, PT_ENOMEM, 503, "out of memory");
}

static const struct pt_http_msg_ops msg_ops = {.on_headers = on_headers, .on_body = on_body};

static void dispatch(struct pt_http_conn *c)
{
    c->state = PT_CONN_HANDLING;
    c->deadline_ms = 0;
    c->asked = true;
    pt_request_received(&c->req);
    c->server->handler(c->server->arg, &c->req);
}

/* Takes requests from the bytes until they end or one is not answered at once; the number of bytes used. */
static size_t parse(struct pt_http_conn *c, const char *p, size_t len)
{
    size_t at = 0;
    c->parsing = true;
    while (at < len && c->state == PT_CONN_READING && !is_held(c)) {
        size_t used;
        int rc = pt_http_msg_feed(&c->msg, p + at, len - at, &used);
        at += used;
        if (rc < 0 && c->req.unwelcome) {
            c->close_after = true;
            c->send_continue = false;
            dispatch(c);
        } else if (rc < 0)
            pt_conn_refuse(c, c->msg.fail_status, c->msg.fail_reason);
        else if (rc == 1)
            dispatch(c);
    }
    c->parsing = false;
    if (c->state == PT_CONN_READING && c->send_continue) {
        c->send_continue = false;
        pt_stream_write(&c->stream, &PT_STR("HTTP/1.1 100 Continue\r\n\r\n"), 1, NULL);
    }
    set_read_deadline(c);
    return at;
}

static void stash(struct pt_http_conn *c, const char *p, size_t len)
{
    if (c->state == PT_CONN_LINGERING || c->state == PT_CONN_CLOSED)
        return;
    if (c->stash_off > c->stash.len / 2) {
        pt_buf_consume(&c->stash, c->stash_off);
        c->stash_off = 0;
    }
    if (!pt_buf_append(&c->stash, p, len))
        pt_stream_fail(&c->stream, ENOMEM, NULL);
    else if (c->stash.len - c->stash_off >= STASH_BYTES)
        pt_stream_pause(&c->stream, true);
}

static void take(struct pt_http_conn *c, const char *p, size_t len)
{
    size_t used = c->state == PT_CONN_READING && c->stash.len == c->stash_off ? parse(c, p, len) : 0;
    if (used < len)
        stash(c, p + used, len - used);
}

/* The first bytes of a connection, compared with the preface of HTTP/2 as far as they agree; what was compared needs no keeping. */
static void begin(struct pt_http_conn *c, const char *p, size_t len)
{
    size_t n = 0;
    while (n < len && c->preface < sizeof pt_h2_preface && p[n] == pt_h2_preface[c->preface]) {
        n++;
        c->preface++;
    }
    if (c->preface == sizeof pt_h2_preface) {
        if (pt_h2_start(c) < 0)
            pt_stream_fail(&c->stream, ENOMEM, NULL);
        else
            pt_h2_data(c, p + n, len - n);
    } else if (n < len) { /* it is HTTP/1.1 */
        size_t seen = c->preface;
        c->asked = true;
        take(c, pt_h2_preface, seen);
        take(c, p + n, len - n);
    } else if (c->wait == PT_WAIT_IDLE) {
        c->wait = PT_WAIT_HEAD;
        pt_conn_set_deadline(c, c->server->header_timeout_ms);
    }
}

static void on_data(struct pt_stream *st, const char *p, size_t len)
{
    struct pt_http_conn *c = (struct pt_http_conn *)st;
    if (c->h2 && c->state == PT_CONN_HTTP2) {
        pt_h2_data(c, p, len);
        return;
    }
    if (c->state == PT_CONN_LINGERING) {
        int64_t left = c->limit_ms - pt_now_ms(sched(c->server));
        pt_conn_set_deadline(c, left < LINGER_STEP_MS ? left : LINGER_STEP_MS);
        return;
    }
    if (c->server->http2 && !c->asked)
        begin(c, p, len);
    else
        take(c, p, len);
}

/* The reply before is done; go on with what the client sent meanwhile. */
static void on_resume(struct pt_timer *t)
{
    struct pt_http_conn *c = (struct pt_http_conn *)((char *)t - offsetof(struct pt_http_conn, resume));
    if (c->state != PT_CONN_READING || is_held(c))
        return;
    c->stash_off += parse(c, c->stash.data + c->stash_off, c->stash.len - c->stash_off);
    if (c->state == PT_CONN_CLOSED || c->state == PT_CONN_LINGERING || c->stash_off < c->stash.len || is_held(c))
        return;
    pt_buf_finish(&c->stash);
    c->stash_off = 0;
    pt_stream_pause(&c->stream, false);
}

static void resume_soon(struct pt_http_conn *c)
{
    pt_timer_start(sched(c->server), &c->resume, 0, on_resume);
}

/* --- the other events of a connection ------------------------------------------------------------------------------------------------ */
static void on_open(struct pt_stream *st)
{
    struct pt_http_conn *c = (struct pt_http_conn *)st;
    pt_conn_set_deadline(c, c->server->idle_timeout_ms);
}

static void on_drain(struct pt_stream *st)
{
    struct pt_http_conn *c = (struct pt_http_conn *)st;
    if (c->state == PT_CONN_HTTP2) {
        pt_h2_drained(c);
    } else if (c->state == PT_CONN_FLUSHING) {
        next_request(c);
    } else if (c->state == PT_CONN_STREAMING) {
        c->deadline_ms = 0;
        if (c->req.on_drain)
            c->req.on_drain(c->req.drain_arg);
    }
}

static void on_end(struct pt_stream *st, const struct pt_err *e)
{
    struct pt_http_conn *c = (struct pt_http_conn *)st;
    if (!e && c->state == PT_CONN_FLUSHING) { /* shut only its sending side: what it asked for is still delivered */
        c->close_after = true;
        pt_buf_finish(&c->stash);
        c->stash_off = 0;
        return;
    }
    pt_conn_close(c);
}

static void on_timer(struct pt_timer *t)
{
    struct pt_http_conn *c = (struct pt_http_conn *)((char *)t - offsetof(struct pt_http_conn, timer));
    int64_t now = pt_now_ms(sched(c->server));
    if (c->deadline_ms == 0)
        return;
    if (now < c->deadline_ms) {
        arm(c, now);
        return;
    }
    if (c->state == PT_CONN_HTTP2) {
        c->deadline_ms = 0;
        pt_h2_on_deadline(c, now);
        return;
    }
    bool writing = c->state == PT_CONN_FLUSHING || c->state == PT_CONN_STREAMING;
    if (writing && c->mark != c->stream.sent_bytes) {
        c->mark = c->stream.sent_bytes;
        pt_conn_set_deadline(c, c->server->body_timeout_ms);
    } else if (c->state == PT_CONN_READING && c->wait != PT_WAIT_IDLE) {
        pt_conn_refuse(c, 408, c->wait == PT_WAIT_HEAD ? "the header took too long" : "the body took too long");
    } else {
        pt_conn_close(c);
    }
}

/* --- old connections ------------------------------------------------------------------------------------------------------------ */
static void on_age(struct pt_timer *t)
{
    struct pt_http_conn *c = (struct pt_http_conn *)((char *)t - offsetof(struct pt_http_conn, age));
    if (c->state == PT_CONN_HTTP2)
        pt_h2_retire(c);
    else
        c->old = true; /* the next reply is the last: closing now could meet a request on its way */
}

/* Not all that were opened together end together. */
static void start_aging(struct pt_http_conn *c)
{
    int64_t age = c->server->max_age_ms;
    if (age)
        pt_timer_start(sched(c->server), &c->age,
                       age * 9 / 10 + (int64_t)(pt_hash64(&c, sizeof c, (uint64_t)pt_now_ms(sched(c->server))) % (uint64_t)(age / 5 + 1)), on_age);
}

/* --- life of a connection ---------------------------------------------------------------------------------------------------------------- */
static void release(struct pt_http_server *s)
{
    if (--s->live > 0 || !s->destroyed)
        return;
    pt_tls_destroy(s->tls);
    pt_buf_finish(&s->head);
    pt_free(s->read_buf);
    pt_free(s);
}

static void on_conn_closed(struct pt_stream *st)
{
    struct pt_http_conn *c = (struct pt_http_conn *)st;
    struct pt_http_server *s = c->server;
    pt_http_msg_finish(&c->msg);
    pt_buf_finish(&c->body);
    pt_buf_finish(&c->stash);
    pt_free(c);
    release(s);
}

static const struct pt_stream_ops stream_ops = {
    .on_open = on_open, .on_data = on_data, .on_drain = on_drain, .on_end = on_end, .on_closed = on_conn_closed};

static void on_drained(struct pt_timer *t);

void pt_conn_close(struct pt_http_conn *c)
{
    struct pt_http_server *s = c->server;
    if (c->state == PT_CONN_CLOSED)
        return;
    if (c->state == PT_CONN_HANDLING || c->state == PT_CONN_STREAMING || (c->state == PT_CONN_READING && c->msg.headers_done))
        pt_request_ended(&c->req, 499, true);
    c->state = PT_CONN_CLOSED;
    *(c->prev ? &c->prev->next : &s->conns) = c->next;
    if (c->next)
        c->next->prev = c->prev;
    if (c->req.on_close)
        c->req.on_close(c->req.close_arg);
    pt_h2_destroy(c);
    pt_timer_stop(sched(s), &c->age);
    pt_timer_stop(sched(s), &c->hold);
    pt_timer_stop(sched(s), &c->timer);
    pt_timer_stop(sched(s), &c->resume);
    pt_stream_close(&c->stream);
    s->conn_count--;
    if (!s->draining)
        pt_listener_pause(&s->listener, false);
    else if (s->conn_count == 0 && s->drain_done)
        pt_timer_start(sched(s), &s->drain_timer, 0, on_drained);
}

static void on_accept(struct pt_listener *li, int fd)
{
    struct pt_http_server *s = (struct pt_http_server *)((char *)li - offsetof(struct pt_http_server, listener));
    struct pt_err e;
    struct pt_http_conn *c = pt_calloc(1, sizeof *c);
    /* starting a timer must not be what runs out of memory later: five per connection, and some for the rest of the process */
    if (!c || pt_sched_reserve(sched(s), 64 + 5 * (size_t)(s->conn_count + 1), &e) < 0) {
        pt_free(c);
        close(fd);
        return;
    }
    if (pt_stream_init(&c->stream, s->loop, fd, PT_STREAM_OPEN, &stream_ops, s->tls, NULL, s->read_buf, &e) < 0) {
        pt_log(PT_LOG_WARN, "connection refused", "reason", e.msg, NULL);
        pt_free(c);
        return;
    }
    c->server = s;
    c->req.ops = &pt_http1_ops;
    socklen_t size = sizeof c->peer;
    if (s->ended && (getpeername(fd, (struct sockaddr *)&c->peer, &size) < 0 || size > sizeof c->peer))
        c->peer = (struct sockaddr_in6){0};
    if (c->stream.ssl && s->http2)
        pt_tls_offer_http2(c->stream.ssl);
    pt_http_msg_init(&c->msg, false, &msg_ops, s->max_header_bytes);
    c->next = s->conns;
    if (c->next)
        c->next->prev = c;
    s->conns = c;
    s->live++;
    if (++s->conn_count >= s->max_connections)
        pt_listener_pause(li, true);
    pt_conn_set_deadline(c, s->tls ? s->header_timeout_ms : s->idle_timeout_ms);
    start_aging(c);
}

/* --- the server --------------------------------------------------------------------------------------------------------------------------- */
static void on_listener_closed(struct pt_listener *li)
{
    release((struct pt_http_server *)((char *)li - offsetof(struct pt_http_server, listener)));
}

int pt_http_server_start(struct pt_loop *l, const struct pt_http_server_options *o, struct pt_http_server **out, struct pt_err *err)
{
    struct pt_http_server *s = pt_calloc(1, sizeof *s);
    char *read_buf = pt_malloc(PT_STREAM_READ_SIZE);
    int rc = s && read_buf ? PT_OK : pt_fail(err, PT_ENOMEM, "serve on %s: out of memory", o->address);
    if (rc == PT_OK) {
        *s = (struct pt_http_server){
            .loop = l,
            .listener = {.fd = -1, .on_accept = on_accept, .on_closed = on_listener_closed},
            .max_header_bytes = o->max_header_bytes ? o->max_header_bytes : (size_t)64 << 10,
            .max_body_bytes = o->max_body_bytes ? o->max_body_bytes : (size_t)64 << 20,
            .max_connections = o->max_connections ? o->max_connections : 4096,
            .idle_timeout_ms = o->idle_timeout_ms ? o->idle_timeout_ms : 120000,
            .header_timeout_ms = o->header_timeout_ms ? o->header_timeout_ms : 10000,
            .body_timeout_ms = o->body_timeout_ms ? o->body_timeout_ms : 60000,
            .max_age_ms = o->max_age_ms,
            .max_streams = o->max_streams ? o->max_streams : 1024,
            .http2 = o->http2,
            .handler = o->handler,
            .on_head = o->on_head,
            .admits = o->admits,
            .ended = o->ended,
            .arg = o->arg,
            .read_buf = read_buf,
            .live = 1,
        };
        snprintf(s->too_large, sizeof s->too_large, "request body too large: over %zu bytes", s->max_body_bytes);
        rc = pt_listener_open(&s->listener, l, o->address, err);
    }
    if (rc < 0) {
        pt_free(read_buf);
        pt_free(s);
        return rc;
    }
    s->tls = pt_tls_ref(o->tls);
    *out = s;
    return PT_OK;
}

int pt_http_server_port(const struct pt_http_server *s)
{
    return s->listener.port;
}

void pt_http_server_set_tls(struct pt_http_server *s, struct pt_tls *tls)
{
    struct pt_tls *before = s->tls;
    s->tls = pt_tls_ref(tls);
    pt_tls_destroy(before);
}

unsigned pt_http_server_connections(const struct pt_http_server *s)
{
    return s->conn_count;
}

void pt_http_server_close_after_reply(struct pt_http_server *s)
{
    s->close_replies = true;
    for (struct pt_http_conn *c = s->conns; c; c = c->next)
        if (c->state == PT_CONN_HTTP2)
            pt_h2_retire(c);
}

static void cut_all(struct pt_http_server *s)
{
    while (s->conns)
        pt_conn_close(s->conns);
}

static void on_drained(struct pt_timer *t)
{
    struct pt_http_server *s = (struct pt_http_server *)((char *)t - offsetof(struct pt_http_server, drain_timer));
    void (*done)(void *) = s->drain_done;
    s->drain_done = NULL;
    cut_all(s);
    if (done)
        done(s->drain_arg);
}

/* Waits for its first or next request, and none is on its way into our socket. */
static bool is_idle(const struct pt_http_conn *c)
{
    return c->state == PT_CONN_READING && !c->msg.begun && (c->asked || c->preface == 0) && c->stash.len == c->stash_off &&
           !pt_stream_readable(&c->stream);
}

void pt_http_server_drain(struct pt_http_server *s, int64_t timeout_ms, void (*done)(void *arg), void *arg)
{
    s->drain_done = done;
    s->drain_arg = arg;
    s->draining = true;
    pt_listener_close(&s->listener);
    for (struct pt_http_conn *c = s->conns, *next; c; c = next) {
        next = c->next;
        if (c->state == PT_CONN_HTTP2)
            pt_h2_shut(c);
        else if (is_idle(c))
            pt_conn_close(c);
    }
    pt_timer_start(sched(s), &s->drain_timer, s->conn_count ? timeout_ms : 0, on_drained);
}

void pt_http_server_destroy(struct pt_http_server *s)
{
    if (!s)
        return;
    s->draining = true;
    s->drain_done = NULL;
    pt_timer_stop(sched(s), &s->drain_timer);
    cut_all(s);
    s->destroyed = true;
    if (s->listener.fd >= 0) {
        pt_listener_close(&s->listener);
    } else {
        s->live++; /* the listener is gone since the drain: free now unless a connection is still closing */
        release(s);
    }
}
