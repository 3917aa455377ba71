/* SPDX-License-Identifier: Apache-2.0
 *
 * listen.c: listening sockets: "host:port", "[v6]:port" or "unix:/path".
 *
 * accept() is called by us and not by libuv, which would answer running out of descriptors by dropping the clients that wait; here they
 * keep waiting in the kernel's queue until a descriptor is free or the server has room again.
 */
#include "net/listen.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/http_server.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024
#define ACCEPTS_PER_TURN 64
#define RETRY_MS 100

int pt_http_parse_address(const char *address, char *host, size_t host_size, int *port, struct pt_err *err)
{
    struct pt_str a = pt_str(address), h;
    if (pt_str_starts(a, PT_STR("unix:"))) {
        h = (struct pt_str){a.p + 5, a.len - 5};
        *port = -1;
    } else {
        const char *colon = memrchr(address, ':', a.len);
        if (!colon)
            return pt_fail(err, PT_EINVAL, "address \"%s\": no port", address);
        int64_t n;
        if (pt_parse_i64(pt_str(colon + 1), 0, 65535, "port", &n, err) < 0)
            return pt_wrap(err, "address \"%s\"", address);
        *port = (int)n;
        h = (struct pt_str){address, (size_t)(colon - address)};
        if (h.len >= 2 && h.p[0] == '[' && h.p[h.len - 1] == ']')
            h = (struct pt_str){h.p + 1, h.len - 2};
        else if (memchr(h.p, ':', h.len))
            return pt_fail(err, PT_EINVAL, "address \"%s\": write an IPv6 address in brackets", address);
    }
    if (h.len >= host_size)
        return pt_fail(err, PT_ELIMIT, "address \"%s\": too long", address);
    memcpy(host, h.p, h.len);
    host[h.len] = 0;
    return PT_OK;
}

/* --- binding ---------------------------------------------------------------------------------------------------------- */
/* Accepted sockets inherit these. A client that vanished without a word is noticed after two minutes even if nobody writes to it. */
static void set_options(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {{IPPROTO_TCP, TCP_NODELAY, 1},
                   {SOL_SOCKET, SO_KEEPALIVE, 1},
                   {IPPROTO_TCP, TCP_KEEPIDLE, 60},
                   {IPPROTO_TCP, TCP_KEEPINTVL, 15},
                   {IPPROTO_TCP, TCP_KEEPCNT, 4}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof options[i].value);
}

static int bind_tcp_to(const struct addrinfo *a, struct pt_err *err)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return pt_fail(err, PT_EIO, "socket: %s", strerror(errno));
    int on = 1, off = 0;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    set_options(fd);
    if (a->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off); /* "[::]" takes IPv4 as well */
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0)
        return fd;
    int code = pt_uv_code(-errno);
    pt_fail(err, code, "bind: %s", strerror(errno));
    close(fd);
    return code;
}

static int bind_tcp(const char *host, int port, struct pt_err *err)
{
    char service[16];
    snprintf(service, sizeof service, "%d", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *list;
    bool any6 = strcmp(host, "::") == 0;
    int gai = getaddrinfo(*host ? host : "::", service, &hints, &list);
    if (gai != 0)
        return pt_fail(err, PT_EINVAL, "%s", gai_strerror(gai));
    const struct addrinfo *best = list; /* of a name with several addresses ("localhost") the IPv4 one, as people expect */
    while (best->ai_family != AF_INET && best->ai_next)
        best = best->ai_next;
    int fd = bind_tcp_to(best->ai_family == AF_INET ? best : list, err);
    freeaddrinfo(list);
    if (fd < 0 && fd != PT_EEXIST && fd != PT_EDENIED && (any6 || !*host)) /* a machine without IPv6 */
        return bind_tcp("0.0.0.0", port, err);
    return fd;
}

/* A socket file that nobody listens on is left over from a process that was killed. */
static bool stale(const struct sockaddr_un *a)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool refused = connect(fd, (const struct sockaddr *)a, sizeof *a) < 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static int bind_unix(const char *path, struct pt_err *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (!*path || strlen(path) >= sizeof a.sun_path)
        return pt_fail(err, PT_EINVAL, "a socket's path has 1 to %zu bytes, this one %zu", sizeof a.sun_path - 1, strlen(path));
    strcpy(a.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return pt_fail(err, PT_EIO, "socket: %s", strerror(errno));
    fchmod(fd, 0600); /* Linux makes the file with this mode: it is never open to others, not even for a moment */
    int rc = bind(fd, (const struct sockaddr *)&a, sizeof a);
    if (rc < 0 && errno == EADDRINUSE && stale(&a) && unlink(path) == 0)
        rc = bind(fd, (const struct sockaddr *)&a, sizeof a);
    if (rc == 0)
        return fd;
    int code = pt_uv_code(-errno);
    pt_fail(err, code, "bind: %s", strerror(errno));
    close(fd);
    return code;
}

/* --- accepting ------------------------------------------------------------------------------------------------------------ */
static void on_readable(uv_poll_t *h, int status, int events);

static void watch(struct pt_listener *li)
{
    if (li->fd < 0)
        return;
    if (li->paused || pt_timer_running(&li->retry))
        uv_poll_stop(&li->poll);
    else
        uv_poll_start(&li->poll, UV_READABLE, on_readable);
}

static void on_retry(struct pt_timer *t)
{
    watch((struct pt_listener *)((char *)t - offsetof(struct pt_listener, retry)));
}

static void retry_later(struct pt_listener *li, int error)
{
    if (!li->out_of_files)
        pt_log(PT_LOG_WARN, "cannot accept connections, they wait", "reason", strerror(error), NULL);
    li->out_of_files = true;
    pt_timer_start(pt_loop_sched(li->loop), &li->retry, RETRY_MS, on_retry);
    watch(li);
}

static void on_readable(uv_poll_t *h, int status, int events)
{
    (void)status;
    (void)events;
    struct pt_listener *li = h->data;
    for (int i = 0; i < ACCEPTS_PER_TURN && !li->paused && li->fd >= 0; i++) {
        int fd = accept4(li->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            li->out_of_files = false;
            li->on_accept(li, fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            retry_later(li, errno);
            return;
        } else if (errno == EAGAIN) {
            return;
        } /* else that one connection failed, by the client or the network */
    }
}

/* --- life -------------------------------------------------------------------------------------------------------------------- */
static int bound_port(int fd)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &len) < 0)
        return 0;
    if (a.ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)&a)->sin_port);
    return a.ss_family == AF_INET6 ? ntohs(((const struct sockaddr_in6 *)&a)->sin6_port) : 0;
}

int pt_listener_open(struct pt_listener *li, struct pt_loop *l, const char *address, struct pt_err *err)
{
    char host[256];
    int port, rc = pt_http_parse_address(address, host, sizeof host, &port, err);
    if (rc < 0)
        return rc;
    int fd = port < 0 ? bind_unix(host, err) : bind_tcp(host, port, err);
    if (fd < 0)
        return pt_wrap(err, "listen on %s", address);
    rc = PT_OK;
    li->unix_path = port < 0 ? pt_strdup(host) : NULL;
    if (port < 0 && !li->unix_path)
        rc = pt_fail(err, PT_ENOMEM, "listen on %s: out of memory", address);
    else if (listen(fd, BACKLOG) < 0)
        rc = pt_fail(err, pt_uv_code(-errno), "listen on %s: %s", address, strerror(errno));
    else if ((rc = uv_poll_init(pt_loop_uv(l), &li->poll, fd)) < 0)
        rc = pt_fail(err, pt_uv_code(rc), "listen on %s: %s", address, uv_strerror(rc));
    if (rc < 0) {
        if (port < 0)
            unlink(host);
        pt_free(pt_steal(li->unix_path));
        close(fd);
        return rc;
    }
    li->poll.data = li;
    li->loop = l;
    li->fd = fd;
    li->port = bound_port(fd);
    watch(li);
    return PT_OK;
}

void pt_listener_pause(struct pt_listener *li, bool pause)
{
    if (li->paused == pause)
        return;
    li->paused = pause;
    watch(li);
}

static void poll_closed(uv_handle_t *h)
{
    struct pt_listener *li = h->data;
    li->on_closed(li);
}

void pt_listener_close(struct pt_listener *li)
{
    if (li->fd < 0)
        return;
    pt_timer_stop(pt_loop_sched(li->loop), &li->retry);
    uv_poll_stop(&li->poll);
    if (li->unix_path)
        unlink(li->unix_path);
    pt_free(pt_steal(li->unix_path));
    close(li->fd);
    li->fd = -1;
    uv_close((uv_handle_t *)&li->poll, poll_closed);
}
