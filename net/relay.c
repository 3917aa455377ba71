/* SPDX-License-Identifier: Apache-2.0
 *
 * relay.c: a leg is one socket; a connection is two of them that know each other. The client's leg leads: it is in the relay's list and owns the
 * search for a backend, during which it is not read. Legs are freed when their streams are closed, the relay with the last of them.
 */
#include "net/relay.h"

#include "base/log.h"
#include "base/mem.h"
#include "net/listen.h"
#include "net/stream.h"

#include <unistd.h>

enum { BUFFER_BYTES = 256 << 10, POLL_MS = 20, WAIT_MS = 5000, MAX_CONNECTIONS = 1024 };

struct leg {
    struct pt_stream stream; /* first: a stream is its leg */
    struct pt_relay *relay;
    struct leg *other; /* NULL: the client's while it has no backend */
    bool finished;     /* it sends no more, */
    bool told;         /* and the other side was told */
    /* of the client's leg only */
    bool client;
    struct leg *prev, *next;
    struct pt_timer search;
    int64_t give_up_ms;
};

struct pt_relay {
    struct pt_loop *loop;
    struct pt_listener listener;
    struct pt_relay_options o;
    struct leg *clients;
    unsigned count; /* of clients */
    unsigned live;  /* streams and the listener: what still calls back */
    char *read_buf;
};

static struct pt_sched *sched(const struct pt_relay *r)
{
    return pt_loop_sched(r->loop);
}

static void release(struct pt_relay *r)
{
    if (--r->live > 0)
        return;
    pt_free(r->read_buf);
    pt_free(r);
}

/* --- a connection's end ------------------------------------------------------------------------------------------------------ */

static void on_closed(struct pt_stream *st)
{
    struct leg *leg = (struct leg *)st;
    struct pt_relay *r = leg->relay;
    pt_free(leg);
    release(r);
}

/* Closes both sides; a timer or a listener is all that comes back to them. */
static void cut(struct leg *leg)
{
    struct leg *client = leg->client ? leg : leg->other;
    struct pt_relay *r = leg->relay;
    if (client->stream.closed)
        return;
    pt_timer_stop(sched(r), &client->search);
    *(client->prev ? &client->prev->next : &r->clients) = client->next;
    if (client->next)
        client->next->prev = client->prev;
    r->count--;
    if (client->other)
        pt_stream_close(&client->other->stream);
    pt_stream_close(&client->stream);
    pt_listener_pause(&r->listener, false);
}

/* The end of what one side says is told to the other once all of it was passed on; when both have ended there is nothing left to do. */
static void pass_end(struct leg *from)
{
    if (!from->finished || from->told || pt_stream_pending(&from->other->stream) > 0)
        return;
    from->told = true;
    pt_stream_shutdown(&from->other->stream);
    if (from->other->told)
        cut(from);
}

/* --- bytes --------------------------------------------------------------------------------------------------------------------- */

static void on_data(struct pt_stream *st, const char *p, size_t len)
{
    struct leg *leg = (struct leg *)st;
    struct pt_stream *to = &leg->other->stream;
    pt_stream_write(to, &(struct pt_str){p, len}, 1, NULL);
    if (pt_stream_pending(to) >= BUFFER_BYTES)
        pt_stream_pause(st, true);
}

static void on_drain(struct pt_stream *st)
{
    struct leg *from = ((struct leg *)st)->other;
    if (!from)
        return;
    pt_stream_pause(&from->stream, false);
    pass_end(from);
}

static void search_backend(struct pt_timer *t);

static void on_end(struct pt_stream *st, const struct pt_err *e)
{
    struct leg *leg = (struct leg *)st;
    if (!e) {
        leg->finished = true;
        pass_end(leg);
    } else if (!leg->client && st->phase != PT_STREAM_OPEN) { /* it refused: the client has lost nothing yet */
        struct leg *client = pt_steal(leg->other);
        client->other = NULL;
        pt_stream_close(st);
        pt_timer_start(sched(leg->relay), &client->search, POLL_MS, search_backend);
    } else {
        cut(leg);
    }
}

static void on_open(struct pt_stream *st)
{
    struct leg *leg = (struct leg *)st;
    if (leg->client)
        return;
    pt_timer_stop(sched(leg->relay), &leg->other->search);
    pt_stream_pause(&leg->other->stream, false);
}

static const struct pt_stream_ops ops = {.on_open = on_open, .on_data = on_data, .on_drain = on_drain, .on_end = on_end, .on_closed = on_closed};

/* --- a connection's beginning ------------------------------------------------------------------------------------------------------ */

static struct leg *create_leg(struct pt_relay *r, int fd, enum pt_stream_phase phase, struct pt_err *err)
{
    struct leg *leg = pt_calloc(1, sizeof *leg);
    if (!leg) {
        close(fd);
        pt_fail(err, PT_ENOMEM, "out of memory");
        return NULL;
    }
    leg->relay = r;
    if (pt_stream_init(&leg->stream, r->loop, fd, phase, &ops, NULL, NULL, r->read_buf, err) < 0) {
        pt_free(leg);
        return NULL;
    }
    r->live++;
    return leg;
}

static int connect_to(struct leg *client, const struct sockaddr_storage *to, struct pt_err *err)
{
    socklen_t len = to->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    int fd = pt_stream_connect_fd((const struct sockaddr *)to, len, err);
    struct leg *server = fd < 0 ? NULL : create_leg(client->relay, fd, PT_STREAM_CONNECTING, err);
    if (!server)
        return err->code;
    server->other = client;
    client->other = server;
    return PT_OK;
}

static void give_up(struct leg *client, const char *why)
{
    pt_log(PT_LOG_WARN, "a connection was closed, there was nobody to pass it on to", "error", why, NULL);
    cut(client);
}

static struct leg *searching(struct pt_timer *t)
{
    return (struct leg *)(void *)((char *)t - offsetof(struct leg, search));
}

static void on_no_answer(struct pt_timer *t)
{
    give_up(searching(t), "connect: no answer");
}

static void search_backend(struct pt_timer *t)
{
    struct leg *client = searching(t);
    struct pt_relay *r = client->relay;
    int64_t left = client->give_up_ms - pt_now_ms(sched(r));
    struct sockaddr_storage to = {0};
    struct pt_err err = {.code = PT_EUNAVAILABLE, .msg = "no backend"};
    if (left > 0 && r->o.pick(r->o.arg, &to) && connect_to(client, &to, &err) == PT_OK)
        pt_timer_start(sched(r), t, left, on_no_answer);
    else if (left > 0)
        pt_timer_start(sched(r), t, POLL_MS, search_backend);
    else
        give_up(client, err.msg);
}

static void on_accept(struct pt_listener *li, int fd)
{
    struct pt_relay *r = (struct pt_relay *)(void *)((char *)li - offsetof(struct pt_relay, listener));
    struct pt_err err;
    /* starting a timer must not be what runs out of memory later: one per stream and one to search */
    if (pt_sched_reserve(sched(r), 64 + 3 * (size_t)(r->count + 1), &err) < 0) {
        close(fd);
        return;
    }
    struct leg *client = create_leg(r, fd, PT_STREAM_OPEN, &err);
    if (!client) {
        pt_log(PT_LOG_WARN, "connection refused", "reason", err.msg, NULL);
        return;
    }
    client->client = true;
    client->next = r->clients;
    if (client->next)
        client->next->prev = client;
    r->clients = client;
    if (++r->count >= r->o.max_connections)
        pt_listener_pause(li, true);
    client->give_up_ms = pt_now_ms(sched(r)) + r->o.wait_ms;
    pt_stream_pause(&client->stream, true);
    search_backend(&client->search);
}

/* --- the relay ------------------------------------------------------------------------------------------------------------------ */

static void on_listener_closed(struct pt_listener *li)
{
    release((struct pt_relay *)(void *)((char *)li - offsetof(struct pt_relay, listener)));
}

int pt_relay_start(struct pt_loop *l, const struct pt_relay_options *o, struct pt_relay **out, struct pt_err *err)
{
    struct pt_relay *r = pt_calloc(1, sizeof *r);
    char *read_buf = pt_malloc(PT_STREAM_READ_SIZE);
    int rc = r && read_buf ? PT_OK : pt_fail(err, PT_ENOMEM, "relay on %s: out of memory", o->address);
    if (rc == PT_OK) {
        *r = (struct pt_relay){
            .loop = l, .listener = {.fd = -1, .on_accept = on_accept, .on_closed = on_listener_closed}, .o = *o, .live = 1, .read_buf = read_buf};
        r->o.wait_ms = o->wait_ms ? o->wait_ms : WAIT_MS;
        r->o.max_connections = o->max_connections ? o->max_connections : MAX_CONNECTIONS;
        rc = pt_listener_open(&r->listener, l, o->address, err);
    }
    if (rc < 0) {
        pt_free(read_buf);
        pt_free(r);
        return rc;
    }
    r->o.address = NULL; /* the caller's */
    *out = r;
    return PT_OK;
}

void pt_relay_destroy(struct pt_relay *r)
{
    if (!r)
        return;
    while (r->clients)
        cut(r->clients);
    pt_listener_close(&r->listener);
}

int pt_relay_port(const struct pt_relay *r)
{
    return r->listener.port;
}

unsigned pt_relay_connections(const struct pt_relay *r)
{
    return r->count;
}
