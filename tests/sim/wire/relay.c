/* SPDX-License-Identifier: Apache-2.0 */
#include "relay.h"

#include "base/mem.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK = 4096, HANG_MS = 300 };

struct pair;
struct way { /* one direction of a connection */
    struct pair *pair;
    int from, to;
    struct pt_timer later;
    char data[CHUNK];
    size_t at, len, step; /* step: so many bytes at a time */
};
struct pair {
    struct relay *relay;
    struct pair *next, **link;
    struct pt_poll *poll[2];
    int fd[2];           /* client, server */
    struct way way[2];   /* of requests, of answers */
    struct pt_timer end; /* of a connection that hangs */
    bool hangs;
};
struct relay {
    struct pt_loop *loop;
    struct pt_poll *accepts;
    int fd, to_port;
    struct pt_rand rand;
    bool garble, quiet;
    unsigned faults;
    struct pair *pairs;
};

static struct pt_sched *sched_of(const struct pair *p)
{
    return pt_loop_sched(p->relay->loop);
}

static void close_pair(struct pair *p, bool reset)
{
    struct linger hard = {1, 0};
    for (int i = 0; i < 2; i++) {
        pt_timer_stop(sched_of(p), &p->way[i].later);
        pt_poll_destroy(p->poll[i]);
        if (reset)
            setsockopt(p->fd[i], SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        close(p->fd[i]);
    }
    pt_timer_stop(sched_of(p), &p->end);
    *p->link = p->next;
    if (p->next)
        p->next->link = p->link;
    pt_free(p);
}

static void on_hung(struct pt_timer *t)
{
    close_pair((struct pair *)(void *)((char *)t - offsetof(struct pair, end)), true);
}

static void set_polls(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        struct way *in = &p->way[i], *out = &p->way[1 - i];
        bool read = !in->len && !p->hangs, write = out->len && !pt_timer_running(&out->later) && !p->hangs;
        (void)pt_poll_set(p->poll[i], (read ? PT_READABLE : 0) | (write ? PT_WRITABLE : 0));
    }
}

static void go_on(struct pt_timer *t)
{
    set_polls(((struct way *)(void *)((char *)t - offsetof(struct way, later)))->pair);
}

/* true: the pair is gone. */
static bool misbehave(struct way *w)
{
    struct pair *p = w->pair;
    struct relay *r = p->relay;
    unsigned draw = r->quiet ? 1000 : pt_rand_below(&r->rand, 100);
    w->step = w->len;
    r->faults += draw < 6;
    if (draw < 2) {
        close_pair(p, true);
        return true;
    }
    if (draw < 4) { /* a half, and then the end */
        ssize_t n = send(w->to, w->data, w->len / 2, MSG_NOSIGNAL);
        (void)n;
        close_pair(p, false);
        return true;
    }
    if (draw < 5) {
        p->hangs = true;
        pt_timer_start(sched_of(p), &p->end, HANG_MS, on_hung);
    } else if (draw < 6) {
        if (r->garble)
            w->data[pt_rand_below(&r->rand, (uint32_t)w->len)] = 1; /* allowed nowhere in HTTP's heads nor in JSON */
    } else if (draw < 20) {
        w->step = 1 + pt_rand_below(&r->rand, 40);
    } else if (draw < 40) {
        pt_timer_start(sched_of(p), &w->later, 1 + pt_rand_below(&r->rand, 20), go_on);
    }
    return false;
}

/* Both false: the pair is gone. */
static bool take(struct way *w)
{
    ssize_t n = recv(w->from, w->data, sizeof w->data, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0) {
        close_pair(w->pair, n < 0);
        return false;
    }
    w->at = 0;
    w->len = w->step = (size_t)n;
    return w == &w->pair->way[0] || !misbehave(w);
}

static bool give(struct way *w)
{
    size_t left = w->len - w->at;
    ssize_t n = send(w->to, w->data + w->at, left < w->step ? left : w->step, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        close_pair(w->pair, true);
        return false;
    }
    w->at += n > 0 ? (size_t)n : 0;
    if (w->at == w->len)
        w->at = w->len = 0;
    return true;
}

static void on_ready(struct pair *p, int side, int events)
{
    if (!events) {
        close_pair(p, true);
        return;
    }
    if ((events & PT_WRITABLE) && p->way[1 - side].len && !give(&p->way[1 - side]))
        return;
    if ((events & PT_READABLE) && !p->way[side].len && !take(&p->way[side]))
        return;
    set_polls(p);
}

static void on_client(void *arg, int events)
{
    on_ready(arg, 0, events);
}
static void on_server(void *arg, int events)
{
    on_ready(arg, 1, events);
}

static void on_accept(void *arg, int events)
{
    struct relay *r = arg;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)r->to_port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int client = accept4(r->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    struct pair *p = pt_calloc(1, sizeof *p);
    (void)events;
    if (client < 0 || server < 0 || !p || connect(server, (struct sockaddr *)&to, sizeof to) < 0) {
        close(client);
        close(server);
        pt_free(p);
        return;
    }
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    *p = (struct pair){.relay = r,
                       .next = r->pairs,
                       .link = &r->pairs,
                       .fd = {client, server},
                       .way = {{.pair = p, .from = client, .to = server}, {.pair = p, .from = server, .to = client}}};
    if (p->next)
        p->next->link = &p->next;
    r->pairs = p;
    if (pt_poll_create(r->loop, client, on_client, p, &p->poll[0], NULL) < 0 || pt_poll_create(r->loop, server, on_server, p, &p->poll[1], NULL) < 0)
        close_pair(p, true);
    else
        set_polls(p);
}

int relay_create(struct pt_loop *loop, int to_port, uint64_t seed, bool garble, struct relay **out, struct pt_err *err)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct relay *r = pt_calloc(1, sizeof *r);
    if (!r)
        return pt_fail(err, PT_ENOMEM, "relay: out of memory");
    *r = (struct relay){.loop = loop, .to_port = to_port, .garble = garble, .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    pt_rand_init(&r->rand, seed);
    if (bind(r->fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(r->fd, 64) < 0 ||
        pt_poll_create(loop, r->fd, on_accept, r, &r->accepts, err) < 0) {
        close(r->fd);
        pt_free(r);
        return pt_fail(err, PT_EIO, "relay: %s", strerror(errno));
    }
    (void)pt_poll_set(r->accepts, PT_READABLE);
    *out = r;
    return PT_OK;
}

void relay_destroy(struct relay *r)
{
    if (!r)
        return;
    while (r->pairs)
        close_pair(r->pairs, true);
    pt_poll_destroy(r->accepts);
    close(r->fd);
    pt_free(r);
}

int relay_port(const struct relay *r)
{
    struct sockaddr_in at;
    socklen_t n = sizeof at;
    return getsockname(r->fd, (struct sockaddr *)&at, &n) < 0 ? 0 : ntohs(at.sin_port);
}

void relay_quiet(struct relay *r)
{
    r->quiet = true;
}

unsigned relay_faults(const struct relay *r)
{
    return r->faults;
}
