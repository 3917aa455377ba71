/* SPDX-License-Identifier: Apache-2.0
 *
 * http_client.c: the HTTP/1.1 client.
 *
 * A call is one request of the user and lives until on_done or its cancellation; a link is one connection, either carrying a call or idle in the
 * pool. A call goes: start -> (an idle link | look up -> connect to one address after another -> TLS) -> send -> response -> done, or
 * back to the start for a redirect, or once for a link that turned out to be dead before it answered a byte. Starting only
 * sets a timer, so no callback can run inside pt_http_call_start().
 *
 * User callbacks may cancel their call or destroy the client. `busy` says that such a callback, or the parser above it, is on the
 * stack: then cancelling only sets a flag, and whoever lowers `busy` to zero frees the call.
 */
#include "net/http_client.h"
#include "base/contract.h"
#include "base/mem.h"
#include "net/http_msg.h"
#include "net/resolve.h"
#include "net/stream.h"
#include "net/url.h"

#include <stdio.h>
#include <unistd.h>

#define MAX_IDLE_TOTAL 256
#define IDLE_MS 60000
#define DROP_BYTES ((size_t)64 << 10) /* of a redirect's body; over it a new connection is cheaper */
#define MAX_HEADER_BYTES ((size_t)64 << 10)

struct link {
    struct pt_stream stream; /* first member */
    struct pt_http_client *client;
    struct pt_http_call *call; /* NULL: idle, or closing */
    struct link *prev, *next;  /* idle ones, newest first */
    struct pt_timer idle_timer;
    bool reused, answered; /* it carried a call before; a byte of this response came */
    struct pt_http_msg msg;
    char origin[300]; /* "https://host:port" */
};

struct pt_http_client {
    struct pt_loop *loop;
    struct pt_tls *tls;
    char *unix_socket;
    unsigned max_idle, idle_count;
    struct link *idle;
    struct pt_http_call *calls;
    unsigned live; /* 1 for the owner, 1 per call and link */
    char *read_buf;
};

struct pt_http_call {
    struct pt_http_client *client;
    struct pt_http_call *prev, *next;
    struct pt_http_call_options o; /* pointers into the arena */
    struct pt_arena arena;
    char *url;
    struct pt_url u; /* views of url */
    char host[256];
    bool drop_secrets; /* a redirect left the origin of the first request */
    bool fresh;        /* take no idle link any more */
    unsigned redirects;
    struct pt_resolve *lookup;
    struct pt_address addresses[PT_RESOLVE_MAX];
    size_t address_count, address_next;
    struct link *link;
    struct pt_timer soon, timer;
    int64_t total_due, connect_due, attempt_due, stall_due; /* 0: not running */
    uint64_t sent_mark;
    bool paused, cancelled, finished;
    unsigned busy;
    bool following; /* this response is a redirect that we take */
    size_t dropped_bytes;
    struct pt_http_response response;
    struct pt_buf body;
    size_t received;
};

static void begin(struct pt_http_call *call);
static void connect_next(struct pt_http_call *call, const struct pt_err *last);

static struct pt_sched *sched(const struct pt_http_client *c)
{
    return pt_loop_sched(c->loop);
}

static void release(struct pt_http_client *c)
{
    if (--c->live > 0)
        return;
    pt_tls_destroy(c->tls);
    pt_free(c->unix_socket);
    pt_free(c->read_buf);
    pt_free(c);
}

/* --- links and the pool -------------------------------------------------------------------------------------------------- */
static void on_link_closed(struct pt_stream *st)
{
    struct link *k = (struct link *)st;
    struct pt_http_client *c = k->client;
    pt_http_msg_finish(&k->msg);
    pt_free(k);
    release(c);
}

static void unlink_idle(struct link *k)
{
    struct pt_http_client *c = k->client;
    *(k->prev ? &k->prev->next : &c->idle) = k->next;
    if (k->next)
        k->next->prev = k->prev;
    k->prev = k->next = NULL;
    c->idle_count--;
    pt_timer_stop(sched(c), &k->idle_timer);
}

static void close_idle(struct link *k)
{
    unlink_idle(k);
    pt_stream_close(&k->stream);
}

static void on_idle_timer(struct pt_timer *t)
{
    close_idle((struct link *)((char *)t - offsetof(struct link, idle_timer)));
}

static void make_room(struct pt_http_client *c, const char *origin)
{
    struct link *oldest = NULL, *oldest_here = NULL;
    unsigned here = 0;
    for (struct link *k = c->idle; k; k = k->next) {
        oldest = k;
        if (strcmp(k->origin, origin) == 0) {
            oldest_here = k;
            here++;
        }
    }
    if (here >= c->max_idle)
        close_idle(oldest_here);
    else if (c->idle_count >= MAX_IDLE_TOTAL)
        close_idle(oldest);
}

static void park(struct link *k)
{
    struct pt_http_client *c = k->client;
    make_room(c, k->origin);
    k->next = c->idle;
    if (k->next)
        k->next->prev = k;
    c->idle = k;
    c->idle_count++;
    pt_stream_pause(&k->stream, false); /* to notice that the server closes it */
    pt_timer_start(sched(c), &k->idle_timer, IDLE_MS, on_idle_timer);
}

static struct link *take_idle(struct pt_http_client *c, const char *origin)
{
    for (struct link *k = c->idle, *next; k; k = next) {
        next = k->next;
        if (strcmp(k->origin, origin) != 0)
            continue;
        if (!pt_stream_is_stale(&k->stream)) {
            unlink_idle(k);
            return k;
        }
        close_idle(k);
    }
    return NULL;
}

/* Parts call and link; the link goes to the pool when another request may follow on it. */
static void detach(struct pt_http_call *call, bool reusable)
{
    struct link *k = call->link;
    if (!k)
        return;
    call->link = NULL;
    k->call = NULL;
    if (reusable)
        park(k);
    else
        pt_stream_close(&k->stream);
}

/* --- the end of a call ------------------------------------------------------------------------------------------------------ */
static void call_free(struct pt_http_call *call)
{
    struct pt_http_client *c = call->client;
    *(call->prev ? &call->prev->next : &c->calls) = call->next;
    if (call->next)
        call->next->prev = call->prev;
    pt_timer_stop(sched(c), &call->soon);
    pt_timer_stop(sched(c), &call->timer);
    pt_resolve_cancel(call->lookup);
    detach(call, false);
    pt_buf_finish(&call->body);
    pt_arena_finish(&call->arena);
    pt_free(call);
    release(c);
}

/* After a stretch in which user callbacks may have run: true when the call is gone. */
static bool leave(struct pt_http_call *call)
{
    call->busy--;
    if (!call->cancelled || call->busy)
        return call->cancelled;
    call_free(call);
    return true;
}

void pt_http_call_cancel(struct pt_http_call *call)
{
    if (call->busy)
        call->cancelled = true;
    else
        call_free(call);
}

/* err NULL: complete. Frees the call, or leaves that to whoever is busy with it. */
static void finish(struct pt_http_call *call, const struct pt_err *err)
{
    if (call->finished || call->cancelled)
        return;
    call->finished = true;
    if (err)
        detach(call, false);
    call->busy++;
    call->response.body = call->o.on_data ? (struct pt_str){0} : (struct pt_str){call->body.data, call->body.len};
    call->o.on_done(call->o.arg, err ? NULL : &call->response, err);
    call->cancelled = true;
    leave(call);
}

static void fail(struct pt_http_call *call, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void fail(struct pt_http_call *call, int code, const char *fmt, ...)
{
    struct pt_err e;
    va_list ap;
    va_start(ap, fmt);
    pt_vfail(&e, code, fmt, ap);
    va_end(ap);
    size_t shown = strcspn(call->url, "?"); /* a query may hold a signature */
    pt_wrap(&e, "%s %.*s", call->o.method, (int)shown, call->url);
    finish(call, &e);
}

/* --- deadlines: one timer for the earliest --------------------------------------------------------------------------------- */
static void on_timer(struct pt_timer *t);

static void arm(struct pt_http_call *call)
{
    const int64_t all[] = {call->total_due, call->connect_due, call->attempt_due, call->stall_due};
    int64_t due = 0, now = pt_now_ms(sched(call->client));
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] && (!due || all[i] < due))
            due = all[i];
    if (due && (!pt_timer_running(&call->timer) || call->timer.due_ms > due))
        pt_timer_start(sched(call->client), &call->timer, due > now ? due - now : 0, on_timer);
}

static void moved(struct pt_http_call *call)
{
    call->stall_due = call->paused ? 0 : pt_now_ms(sched(call->client)) + call->o.stall_timeout_ms;
    call->sent_mark = call->link ? call->link->stream.sent_bytes : 0;
    arm(call);
}

static void on_timer(struct pt_timer *t)
{
    struct pt_http_call *call = (struct pt_http_call *)((char *)t - offsetof(struct pt_http_call, timer));
    int64_t now = pt_now_ms(sched(call->client));
    if (call->total_due && now >= call->total_due) {
        fail(call, PT_ETIMEDOUT, "not complete after %lld ms", (long long)call->o.timeout_ms);
    } else if (call->connect_due && now >= call->connect_due) {
        fail(call, PT_ETIMEDOUT, "no connection after %lld ms", (long long)call->o.connect_timeout_ms);
    } else if (call->attempt_due && now >= call->attempt_due) {
        detach(call, false);
        connect_next(call, NULL);
    } else if (call->stall_due && now >= call->stall_due) {
        if (call->link && call->link->stream.sent_bytes != call->sent_mark)
            moved(call);
        else
            fail(call, PT_ETIMEDOUT, "no byte came or went for %lld ms", (long long)call->o.stall_timeout_ms);
    } else {
        arm(call);
    }
}

static void expect_connection(struct pt_http_call *call)
{
    call->stall_due = 0;
    call->connect_due = pt_now_ms(sched(call->client)) + call->o.connect_timeout_ms;
    arm(call);
}

/* --- sending --------------------------------------------------------------------------------------------------------------------- */
static bool is_secret(struct pt_str name)
{
    return pt_str_eq_nocase(name, PT_STR("Authorization")) || pt_str_eq_nocase(name, PT_STR("Cookie")) || pt_str_eq_nocase(name, PT_STR("Host"));
}

static void put_default(struct pt_http_call *call, struct pt_buf *b, const char *name, struct pt_str value)
{
    struct pt_str given = pt_http_find_header(call->o.headers, call->o.header_count, pt_str(name));
    if (!given.p || (call->drop_secrets && is_secret(pt_str(name))))
        pt_buf_printf(b, "%s: " PT_STR_FMT "\r\n", name, PT_STR_ARG(value));
}

static void write_request(struct pt_http_call *call, struct pt_buf *b)
{
    const struct pt_http_call_options *o = &call->o;
    struct pt_str t = call->u.target;
    pt_buf_printf(b, "%s %s" PT_STR_FMT " HTTP/1.1\r\n", o->method, t.len == 0 || t.p[0] == '?' ? "/" : "", PT_STR_ARG(t));
    put_default(call, b, "Host", call->u.authority);
    for (size_t i = 0; i < o->header_count; i++)
        if (!call->drop_secrets || !is_secret(o->headers[i].name))
            pt_buf_printf(b, PT_STR_FMT ": " PT_STR_FMT "\r\n", PT_STR_ARG(o->headers[i].name), PT_STR_ARG(o->headers[i].value));
    put_default(call, b, "User-Agent", PT_STR("pintle/" PT_VERSION));
    put_default(call, b, "Accept", PT_STR("*/*"));
    if (o->body.len > 0 || (strcmp(o->method, "GET") != 0 && strcmp(o->method, "HEAD") != 0 && strcmp(o->method, "DELETE") != 0))
        pt_buf_printf(b, "Content-Length: %zu\r\n", o->body.len);
    pt_buf_puts(b, "\r\n");
}

static void send_request(struct pt_http_call *call)
{
    struct link *k = call->link;
    call->connect_due = call->attempt_due = 0;
    pt_http_msg_reset(&k->msg);
    k->msg.no_body = strcmp(call->o.method, "HEAD") == 0;
    k->answered = false;
    pt_auto_buf head = PT_BUF_INIT(0);
    write_request(call, &head);
    if (head.failed) {
        fail(call, PT_ENOMEM, "out of memory");
        return;
    }
    const struct pt_str parts[2] = {{head.data, head.len}, call->o.body};
    pt_stream_write(&k->stream, parts, call->o.body.len ? 2 : 1, NULL);
    pt_stream_pause(&k->stream, call->paused);
    moved(call);
}

/* --- the response ------------------------------------------------------------------------------------------------------------------ */
static struct link *link_of_msg(struct pt_http_msg *m)
{
    return (struct link *)((char *)m - offsetof(struct link, msg));
}

static bool is_redirect(const struct pt_http_call *call, int status)
{
    bool moved_status = status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
    bool safe = strcmp(call->o.method, "GET") == 0 || strcmp(call->o.method, "HEAD") == 0;
    return moved_status && safe && call->o.max_redirects > 0 && pt_http_response_header(&call->response, "Location").p;
}

static int on_headers(struct pt_http_msg *m)
{
    struct pt_http_call *call = link_of_msg(m)->call;
    if (m->parser.status_code < 200) /* 100 Continue and hints: the response is still to come */
        return PT_OK;
    call->response = (struct pt_http_response){.status = m->parser.status_code, .headers = m->headers, .header_count = m->header_count};
    call->following = is_redirect(call, m->parser.status_code);
    if (call->following)
        return PT_OK;
    bool too_long = (m->parser.flags & F_CONTENT_LENGTH) && m->parser.content_length > call->o.max_body_bytes;
    if (!call->o.on_data && too_long && !m->no_body)
        return pt_http_msg_fail(m, PT_ELIMIT, 0, "the response's body is larger than the caller allows");
    if (call->o.on_headers && call->o.on_headers(call->o.arg, &call->response) != 0)
        return pt_http_msg_fail(m, PT_ECANCELED, 0, "cancelled when the headers came");
    return call->cancelled ? pt_http_msg_fail(m, PT_ECANCELED, 0, "cancelled") : PT_OK;
}

static int on_body(struct pt_http_msg *m, const char *p, size_t len)
{
    struct pt_http_call *call = link_of_msg(m)->call;
    call->received += len;
    if (call->following) {
        call->dropped_bytes += len;
        return call->dropped_bytes > DROP_BYTES ? pt_http_msg_fail(m, PT_EAGAIN, 0, "") : PT_OK;
    }
    if (call->o.on_data) {
        bool stop = call->o.on_data(call->o.arg, p, len) != 0 || call->cancelled;
        return stop ? pt_http_msg_fail(m, PT_ECANCELED, 0, "cancelled while the body came") : PT_OK;
    }
    if (pt_buf_append(&call->body, p, len))
        return PT_OK;
    bool full = call->body.failed == PT_ELIMIT;
    return pt_http_msg_fail(m, call->body.failed, 0, full ? "the response's body is larger than the caller allows" : "out of memory");
}

static const struct pt_http_msg_ops msg_ops = {.on_headers = on_headers, .on_body = on_body};

static int set_url(struct pt_http_call *call, const char *text, struct pt_err *err)
{
    struct pt_url u;
    if (pt_url_parse(text, &u, err) < 0)
        return err->code;
    char *url = pt_arena_strndup(&call->arena, text, strlen(text));
    if (!url)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    call->url = url;
    pt_url_parse(url, &call->u, err);
    memcpy(call->host, call->u.host.p, call->u.host.len); /* at most 253 bytes */
    call->host[call->u.host.len] = 0;
    return PT_OK;
}

static void on_soon(struct pt_timer *t)
{
    begin((struct pt_http_call *)((char *)t - offsetof(struct pt_http_call, soon)));
}

static void follow(struct pt_http_call *call, bool reusable)
{
    struct pt_err e = {0};
    pt_auto_buf text = PT_BUF_INIT(16384);
    struct pt_url before = call->u;
    pt_url_resolve(&before, pt_http_response_header(&call->response, "Location"), &text);
    int status = call->response.status;
    detach(call, reusable);
    if (++call->redirects > call->o.max_redirects) {
        fail(call, PT_ELIMIT, "more than %u redirects", call->o.max_redirects);
        return;
    }
    if (text.failed || memchr(text.data, 0, text.len) || set_url(call, pt_buf_cstr(&text), &e) < 0) {
        fail(call, PT_EPARSE, "redirect (%d): %s", status, e.code ? e.msg : "bad Location");
        return;
    }
    if (before.https && !call->u.https) {
        fail(call, PT_EDENIED, "redirect (%d) from https to http", status);
        return;
    }
    call->drop_secrets |= !pt_url_same_origin(&before, &call->u);
    call->following = call->fresh = false;
    call->dropped_bytes = call->received = 0;
    expect_connection(call);
    pt_timer_start(sched(call->client), &call->soon, 0, on_soon);
}

static void complete(struct pt_http_call *call, bool more_bytes)
{
    struct link *k = call->link;
    bool reusable =
        k->msg.keep_alive && !more_bytes && pt_stream_pending(&k->stream) == 0 && !k->stream.broken && !k->stream.ended && !k->stream.unwritable;
    if (call->following) {
        follow(call, reusable);
        return;
    }
    detach(call, reusable); /* the headers stay readable until the link is used again or the loop turns */
    finish(call, NULL);
}

static void broken(struct pt_http_call *call, const struct pt_http_msg *m)
{
    if (call->following && m->fail_code == PT_EAGAIN)
        follow(call, false);
    else if (m->fail_code == PT_ECANCELED || m->fail_code == PT_ELIMIT || m->fail_code == PT_ENOMEM)
        fail(call, m->fail_code, "%s", m->fail_reason);
    else
        fail(call, PT_EPARSE, "malformed response: %s", m->fail_reason);
}

static void on_data(struct pt_stream *st, const char *p, size_t len)
{
    struct link *k = (struct link *)st;
    struct pt_http_call *call = k->call;
    if (!call) { /* an idle connection has nothing to say */
        close_idle(k);
        return;
    }
    k->answered = true;
    call->busy++;
    moved(call);
    int rc = 0;
    while (rc == 0 && len > 0) {
        size_t used;
        rc = pt_http_msg_feed(&k->msg, p, len, &used);
        p += used;
        len -= used;
        if (rc == 1 && k->msg.parser.status_code < 200) {
            pt_http_msg_reset(&k->msg);
            k->msg.no_body = strcmp(call->o.method, "HEAD") == 0;
            rc = 0;
        }
    }
    if (rc < 0 && !call->cancelled)
        broken(call, &k->msg);
    else if (rc == 1 && !call->cancelled)
        complete(call, len > 0);
    leave(call);
}

/* The link ended while it carried the call. */
static void lost(struct pt_http_call *call, struct link *k, const struct pt_err *e)
{
    if (k->stream.phase == PT_STREAM_CONNECTING) {
        detach(call, false);
        connect_next(call, e);
    } else if (!e && k->answered && pt_http_msg_eof(&k->msg) == 1) {
        complete(call, false);
    } else if (k->answered) {
        fail(call, PT_EIO, "the response broke off after %zu bytes of body: %s", call->received, e ? e->msg : "connection closed");
    } else if (k->reused && !call->fresh) { /* closed by the server while it lay idle: nothing was lost */
        call->fresh = true;
        detach(call, false);
        expect_connection(call);
        begin(call);
    } else {
        fail(call, PT_EUNAVAILABLE, "no response: %s", e ? e->msg : "connection closed");
    }
}

static void on_end(struct pt_stream *st, const struct pt_err *e)
{
    struct link *k = (struct link *)st;
    struct pt_http_call *call = k->call;
    if (call) {
        call->busy++;
        lost(call, k, e);
        leave(call);
    } else {
        close_idle(k);
    }
}

static void on_open(struct pt_stream *st)
{
    struct pt_http_call *call = ((struct link *)st)->call;
    if (call)
        send_request(call);
}

static void on_drain(struct pt_stream *st)
{
    struct pt_http_call *call = ((struct link *)st)->call;
    if (call)
        moved(call);
}

static const struct pt_stream_ops stream_ops = {
    .on_open = on_open, .on_data = on_data, .on_drain = on_drain, .on_end = on_end, .on_closed = on_link_closed};

/* --- connecting ---------------------------------------------------------------------------------------------------------------------- */
static void origin_of(const struct pt_http_call *call, char out[300])
{
    snprintf(out, 300, "%s://%s:%d", call->u.https ? "https" : "http", call->host, call->u.port);
}

static struct link *link_create(struct pt_http_call *call, int fd, struct pt_err *err)
{
    struct pt_http_client *c = call->client;
    struct link *k = pt_calloc(1, sizeof *k);
    if (!k) {
        close(fd);
        pt_fail(err, PT_ENOMEM, "out of memory");
        return NULL;
    }
    struct pt_tls *tls = call->u.https ? c->tls : NULL;
    if (pt_stream_init(&k->stream, c->loop, fd, PT_STREAM_CONNECTING, &stream_ops, tls, call->host, c->read_buf, err) < 0) {
        pt_free(k);
        return NULL;
    }
    k->client = c;
    c->live++;
    k->call = call;
    origin_of(call, k->origin);
    pt_http_msg_init(&k->msg, true, &msg_ops, MAX_HEADER_BYTES);
    return k;
}

static void connect_next(struct pt_http_call *call, const struct pt_err *last)
{
    struct pt_err e = {.code = PT_EUNAVAILABLE};
    pt_fail(&e, PT_EUNAVAILABLE, "%s", last ? last->msg : "connect: no answer");
    while (call->address_next < call->address_count) {
        const struct pt_address *a = &call->addresses[call->address_next++];
        int fd = pt_stream_connect_fd((const struct sockaddr *)&a->a, a->len, &e);
        call->link = fd < 0 ? NULL : link_create(call, fd, &e);
        if (!call->link)
            continue;
        /* what time is left is shared evenly among the addresses left */
        int64_t now = pt_now_ms(sched(call->client)), left = call->connect_due - now;
        call->attempt_due = call->address_next < call->address_count ? now + left / (int64_t)(call->address_count - call->address_next + 1) : 0;
        arm(call);
        return;
    }
    char text[128] = "";
    if (call->address_count)
        pt_address_format(&call->addresses[call->address_count - 1], text);
    fail(call, PT_EUNAVAILABLE, "%s: %s", text, e.msg);
}

static void on_resolved(void *arg, const struct pt_address *list, size_t count, const struct pt_err *err)
{
    struct pt_http_call *call = arg;
    call->lookup = NULL;
    if (count == 0) {
        fail(call, PT_EUNAVAILABLE, "look up %s: %s", call->host, err->msg);
        return;
    }
    memcpy(call->addresses, list, count * sizeof *list);
    call->address_count = count;
    connect_next(call, NULL);
}

static void begin(struct pt_http_call *call)
{
    struct pt_http_client *c = call->client;
    struct pt_err e = {0};
    char origin[300];
    origin_of(call, origin);
    call->link = call->fresh ? NULL : take_idle(c, origin);
    if (call->link) {
        call->link->call = call;
        call->link->reused = true;
        send_request(call);
        return;
    }
    if (call->u.https && !c->tls && pt_tls_client_create(NULL, &c->tls, &e) < 0) {
        fail(call, e.code, "%s", e.msg);
        return;
    }
    call->address_next = 0;
    call->address_count = 1;
    const char *host = c->unix_socket ? c->unix_socket : call->host;
    if (pt_address_parse(host, c->unix_socket ? -1 : call->u.port, call->addresses)) {
        connect_next(call, NULL);
        return;
    }
    call->address_count = 0;
    if (pt_resolve_start(c->loop, call->host, call->u.port, on_resolved, call, &call->lookup, &e) < 0)
        fail(call, e.code, "%s", e.msg);
}

/* --- calls -------------------------------------------------------------------------------------------------------------------------------- */
static bool is_token(struct pt_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", s.p[i]))
            return false;
    return s.len > 0;
}

static bool is_value(struct pt_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] == '\r' || s.p[i] == '\n' || s.p[i] == 0)
            return false;
    return true;
}

/* Framing and the connection are not the caller's: another Content-Length would make two messages of one. */
static bool is_ours(struct pt_str name)
{
    static const char *const names[] = {"Content-Length", "Transfer-Encoding", "Connection", "Expect", "Upgrade", "TE"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (pt_str_eq_nocase(name, pt_str(names[i])))
            return true;
    return false;
}

static struct pt_str copy_str(struct pt_arena *a, struct pt_str s)
{
    return (struct pt_str){pt_arena_strndup(a, s.p ? s.p : "", s.len), s.len};
}

static int copy_headers(struct pt_http_call *call, const struct pt_http_call_options *o, struct pt_err *err)
{
    struct pt_http_header *h = pt_arena_alloc(&call->arena, (o->header_count + 1) * sizeof *h);
    bool ok = h != NULL;
    for (size_t i = 0; ok && i < o->header_count; i++) {
        if (is_ours(o->headers[i].name))
            return pt_fail(err, PT_EINVAL, "header \"" PT_STR_FMT "\" is set by the client itself", PT_STR_ARG(o->headers[i].name));
        if (!is_token(o->headers[i].name) || !is_value(o->headers[i].value)) /* the value may be a secret: not shown */
            return pt_fail(err, PT_EINVAL, "header \"" PT_STR_FMT "\" cannot be sent", PT_STR_ARG(o->headers[i].name));
        h[i].name = copy_str(&call->arena, o->headers[i].name);
        h[i].value = copy_str(&call->arena, o->headers[i].value);
        ok = h[i].name.p && h[i].value.p;
    }
    call->o.headers = h;
    return ok ? PT_OK : pt_fail(err, PT_ENOMEM, "out of memory");
}

static int copy_options(struct pt_http_call *call, const struct pt_http_call_options *o, struct pt_err *err)
{
    call->o = *o;
    call->o.max_body_bytes = o->max_body_bytes ? o->max_body_bytes : (size_t)16 << 20;
    call->o.connect_timeout_ms = o->connect_timeout_ms ? o->connect_timeout_ms : 10000;
    call->o.stall_timeout_ms = o->stall_timeout_ms ? o->stall_timeout_ms : 60000;
    call->body.cap = call->o.max_body_bytes;
    if (!is_token(pt_str(o->method)))
        return pt_fail(err, PT_EINVAL, "method \"%s\"", o->method ? o->method : "");
    int rc = set_url(call, o->url, err);
    if (rc == PT_OK)
        rc = copy_headers(call, o, err);
    if (rc < 0)
        return rc;
    call->o.method = pt_arena_strndup(&call->arena, o->method, strlen(o->method));
    call->o.body = copy_str(&call->arena, o->body);
    return call->o.method && call->o.body.p ? PT_OK : pt_fail(err, PT_ENOMEM, "out of memory");
}

int pt_http_call_start(struct pt_http_client *c, const struct pt_http_call_options *o, struct pt_http_call **out, struct pt_err *err)
{
    struct pt_err local;
    err = err ? err : &local;
    struct pt_http_call *call = pt_calloc(1, sizeof *call);
    if (!call)
        return pt_fail(err, PT_ENOMEM, "HTTP call: out of memory");
    pt_arena_init(&call->arena, 0);
    if (copy_options(call, o, err) < 0) {
        pt_arena_finish(&call->arena);
        pt_free(call);
        return pt_wrap(err, "HTTP call");
    }
    call->client = c;
    c->live++;
    call->next = c->calls;
    if (call->next)
        call->next->prev = call;
    c->calls = call;
    call->total_due = o->timeout_ms ? pt_now_ms(sched(c)) + o->timeout_ms : 0;
    expect_connection(call);
    pt_timer_start(sched(c), &call->soon, 0, on_soon);
    if (out)
        *out = call;
    return PT_OK;
}

void pt_http_call_pause(struct pt_http_call *call, bool pause)
{
    call->paused = pause;
    if (!call->link || call->link->stream.phase != PT_STREAM_OPEN)
        return;
    pt_stream_pause(&call->link->stream, pause);
    moved(call);
}

struct pt_str pt_http_response_header(const struct pt_http_response *r, const char *name)
{
    return pt_http_find_header(r->headers, r->header_count, pt_str(name));
}

/* --- the client ------------------------------------------------------------------------------------------------------------------------------ */
int pt_http_client_create(struct pt_loop *l, const struct pt_http_client_options *o, struct pt_http_client **out, struct pt_err *err)
{
    struct pt_http_client *c = pt_calloc(1, sizeof *c);
    if (!c)
        return pt_fail(err, PT_ENOMEM, "HTTP client: out of memory");
    c->loop = l;
    c->live = 1;
    c->max_idle = o && o->max_idle ? o->max_idle : 8;
    c->tls = pt_tls_ref(o ? o->tls : NULL);
    c->read_buf = pt_malloc(PT_STREAM_READ_SIZE);
    c->unix_socket = o && o->unix_socket ? pt_strdup(o->unix_socket) : NULL;
    if (!c->read_buf || (o && o->unix_socket && !c->unix_socket)) {
        release(c);
        return pt_fail(err, PT_ENOMEM, "HTTP client: out of memory");
    }
    *out = c;
    return PT_OK;
}

void pt_http_client_destroy(struct pt_http_client *c)
{
    if (!c)
        return;
    for (struct pt_http_call *call = c->calls, *next; call; call = next) {
        next = call->next;
        pt_http_call_cancel(call);
    }
    while (c->idle)
        close_idle(c->idle);
    release(c);
}
