/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* --- the handler ------------------------------------------------------------------------------------------------------ */
struct later {
    struct pt_timer timer;
    struct rig *rig;
    struct pt_http_request *req;
    long chunks, size;
};

static void on_close(void *arg)
{
    struct later *l = arg;
    atomic_fetch_add(&l->rig->closed, 1);
    pt_timer_stop(pt_loop_sched(l->rig->loop), &l->timer);
    free(l);
}

static struct later *keep(struct rig *rig, struct pt_http_request *req)
{
    struct later *l = calloc(1, sizeof *l);
    l->rig = rig;
    l->req = req;
    pt_http_on_close(req, on_close, l);
    return l;
}

static void on_later(struct pt_timer *t)
{
    struct later *l = (struct later *)t;
    struct pt_http_request *req = l->req;
    free(l);
    pt_http_reply(req, 200, "text/plain", NULL, 0, PT_STR("late"));
}

static void pour(void *arg)
{
    struct later *l = arg;
    char *block = malloc((size_t)l->size);
    memset(block, 'c', (size_t)l->size);
    int rc = PT_OK;
    while (l->chunks > 0 && rc == PT_OK) {
        rc = pt_http_chunk(l->req, (struct pt_str){block, (size_t)l->size});
        l->chunks--;
    }
    free(block);
    if (rc == PT_EAGAIN) {
        atomic_fetch_add(&l->rig->full, 1);
    } else if (rc == PT_ECANCELED) {
        atomic_fetch_add(&l->rig->canceled, 1);
    } else {
        pt_http_end(l->req);
        free(l);
    }
}

static long param(struct pt_http_request *req, const char *name)
{
    char text[32];
    const char *v = pt_http_query_param(req, name, text, sizeof text);
    return v ? atol(v) : 0;
}

static void reply_facts(struct pt_http_request *req)
{
    pt_auto_buf b = PT_BUF_INIT(0);
    char q[16];
    const char *name = pt_http_query_param(req, "name", q, sizeof q);
    struct pt_str m = pt_http_method(req), p = pt_http_path(req), qs = pt_http_query(req), x = pt_http_header(req, "x-test");
    pt_buf_printf(&b, PT_STR_FMT " " PT_STR_FMT " [" PT_STR_FMT "] %s " PT_STR_FMT " %d", PT_STR_ARG(m), PT_STR_ARG(p), PT_STR_ARG(qs),
                  name ? name : "-", PT_STR_ARG(x), pt_http_header(req, "absent").p == NULL);
    const struct pt_http_header headers[] = {{PT_STR("X-Injected"), x.p ? PT_STR("a\r\nSet-Cookie: evil") : PT_STR("no")}};
    pt_http_reply(req, 200, "text/plain", headers, 1, (struct pt_str){b.data, b.len});
}

static void reply_big(struct pt_http_request *req, bool moved)
{
    struct pt_buf b = PT_BUF_INIT(0);
    long n = param(req, "n");
    char *p = pt_buf_reserve(&b, (size_t)n);
    for (long i = 0; p && i < n; i++)
        p[i] = (char)(i % 251);
    b.len = p ? (size_t)n : 0;
    if (moved) {
        pt_http_reply_buf(req, 200, NULL, NULL, 0, &b);
        if (b.len != 0 || b.data)
            abort();
    } else {
        pt_http_reply(req, 200, NULL, NULL, 0, (struct pt_str){b.data, b.len});
        pt_buf_finish(&b);
    }
}

static void handle(void *arg, struct pt_http_request *req)
{
    struct rig *r = arg;
    struct pt_str path = pt_http_path(req);
    atomic_fetch_add(&r->handled, 1);
    if (pt_http_request_server(req) != r->server)
        abort();
    if (pt_str_eq(path, PT_STR("/hello"))) {
        pt_http_reply(req, 200, "text/plain", NULL, 0, PT_STR("hi"));
    } else if (pt_str_eq(path, PT_STR("/echo"))) {
        pt_http_reply(req, 200, NULL, NULL, 0, pt_http_body(req));
    } else if (pt_str_eq(path, PT_STR("/later"))) {
        struct later *l = keep(r, req);
        pt_timer_start(pt_loop_sched(r->loop), &l->timer, param(req, "ms"), on_later);
    } else if (pt_str_eq(path, PT_STR("/never"))) {
        keep(r, req);
    } else if (pt_str_starts(path, PT_STR("/facts"))) {
        reply_facts(req);
    } else if (pt_str_eq(path, PT_STR("/big"))) {
        reply_big(req, true);
    } else if (pt_str_eq(path, PT_STR("/bigcopy"))) {
        reply_big(req, false);
    } else if (pt_str_eq(path, PT_STR("/empty"))) {
        pt_http_reply(req, 204, NULL, NULL, 0, (struct pt_str){0});
    } else if (pt_str_eq(path, PT_STR("/busy"))) {
        pt_http_discourage(req, (int)param(req, "s"));
        pt_http_reply(req, 429, NULL, NULL, 0, (struct pt_str){0});
    } else if (pt_str_eq(path, PT_STR("/elsewhere"))) {
        pt_http_retire(req);
        pt_http_reply(req, 503, NULL, NULL, 0, (struct pt_str){0});
    } else if (pt_str_eq(path, PT_STR("/error"))) {
        struct pt_err e;
        pt_fail(&e, PT_EBUSY, "queue \"x\" is full");
        pt_http_reply_error(req, &e);
    } else if (pt_str_eq(path, PT_STR("/redirect"))) {
        char to[256];
        const char *v = pt_http_query_param(req, "to", to, sizeof to);
        const struct pt_http_header headers[] = {{PT_STR("Location"), pt_str(v)}};
        pt_http_reply(req, (int)param(req, "status"), NULL, headers, 1, PT_STR("moved"));
    } else if (pt_str_eq(path, PT_STR("/stream"))) {
        struct later *l = keep(r, req);
        l->chunks = param(req, "n");
        l->size = param(req, "size");
        pt_http_begin(req, 200, "text/plain");
        pt_http_on_drain(req, pour, l);
        pour(l);
    } else {
        struct pt_err e;
        pt_fail(&e, PT_ENOTFOUND, "no route \"" PT_STR_FMT "\"", PT_STR_ARG(path));
        pt_http_reply_error(req, &e);
    }
}

/* --- the loop thread ------------------------------------------------------------------------------------------------------ */
struct errand {
    struct pt_post post;
    struct rig *rig;
    void (*fn)(struct rig *r);
    sem_t done;
};

static void *loop_thread(void *arg)
{
    pt_loop_run(((struct rig *)arg)->loop);
    return NULL;
}

static void on_errand(struct pt_post *p)
{
    struct errand *e = (struct errand *)p;
    e->fn(e->rig);
    sem_post(&e->done);
}

void rig_call(struct rig *r, void (*fn)(struct rig *r))
{
    struct errand e = {.post.fn = on_errand, .rig = r, .fn = fn};
    sem_init(&e.done, 0, 0);
    pt_loop_post(r->loop, &e.post);
    sem_wait(&e.done);
    sem_destroy(&e.done);
}

void rig_start(struct rig *r)
{
    struct pt_err err;
    sem_init(&r->drained, 0, 0);
    if (!r->options.address)
        r->options.address = "127.0.0.1:0";
    if (!r->options.handler)
        r->options.handler = handle;
    r->options.arg = r;
    if (pt_loop_create(&r->loop, &err) < 0 || pt_http_server_start(r->loop, &r->options, &r->server, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        abort();
    }
    r->port = pt_http_server_port(r->server);
    pthread_create(&r->thread, NULL, loop_thread, r);
}

static void stop_on_loop(struct rig *r)
{
    pt_http_server_destroy(r->server);
    pt_loop_stop(r->loop);
}

void rig_stop(struct rig *r)
{
    rig_call(r, stop_on_loop);
    pthread_join(r->thread, NULL);
    pt_loop_destroy(r->loop);
    sem_destroy(&r->drained);
}

static void count_connections(struct rig *r)
{
    r->connections = pt_http_server_connections(r->server);
}

unsigned rig_connections(struct rig *r)
{
    rig_call(r, count_connections);
    return r->connections;
}

bool rig_wait(const atomic_int *counter, int at_least)
{
    for (int i = 0; i < 5000 && atomic_load(counter) < at_least; i++)
        usleep(1000);
    return atomic_load(counter) >= at_least;
}

/* --- the test's side ---------------------------------------------------------------------------------------------------------- */
static char left[65536]; /* bytes behind the last response */
static size_t left_len;
static int left_fd = -1;

int dial(const struct rig *r)
{
    int fd;
    if (strncmp(r->options.address, "unix:", 5) == 0) {
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        strcpy(a.sun_path, r->options.address + 5);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0) {
            close(fd);
            return -1;
        }
    } else {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)r->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0) {
            close(fd);
            return -1;
        }
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    struct timeval limit = {10, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (left_fd == fd)
        left_len = 0;
    return fd;
}

void send_bytes(int fd, const void *p, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = send(fd, (const char *)p + at, len - at, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* the answer tells */
        at += (size_t)n;
    }
}

void send_all(int fd, const char *text)
{
    send_bytes(fd, text, strlen(text));
}

/* An independent and simple reader: Content-Length, chunked or to the end. */
static ssize_t fill(int fd)
{
    ssize_t n = recv(fd, left + left_len, sizeof left - left_len, 0);
    if (n > 0)
        left_len += (size_t)n;
    return n;
}

static void drop(size_t n)
{
    memmove(left, left + n, left_len - n);
    left_len -= n;
}

static int read_line(int fd, struct pt_buf *line)
{
    for (;;) {
        char *end = memmem(left, left_len, "\r\n", 2);
        if (end) {
            pt_buf_append(line, left, (size_t)(end - left) + 2);
            drop((size_t)(end - left) + 2);
            return 1;
        }
        ssize_t n = fill(fd);
        if (n <= 0)
            return n == 0 && left_len == 0 ? 0 : -1;
    }
}

static int read_exactly(int fd, size_t want, struct pt_buf *body)
{
    while (want > 0) {
        if (left_len == 0 && fill(fd) <= 0)
            return -1;
        size_t n = left_len < want ? left_len : want;
        if (body)
            pt_buf_append(body, left, n);
        drop(n);
        want -= n;
    }
    return 1;
}

static int read_chunks(int fd, struct pt_buf *body)
{
    for (;;) {
        pt_auto_buf line = PT_BUF_INIT(0);
        if (read_line(fd, &line) != 1)
            return -1;
        size_t size = strtoul(pt_buf_cstr(&line), NULL, 16);
        if (read_exactly(fd, size, body) != 1)
            return -1;
        pt_buf_reset(&line);
        if (read_line(fd, &line) != 1 || line.len != 2)
            return -1;
        if (size == 0)
            return 1;
    }
}

int read_response(int fd, struct pt_buf *head, struct pt_buf *body)
{
    if (left_fd != fd)
        left_len = 0;
    left_fd = fd;
    pt_auto_buf text = PT_BUF_INIT(0);
    size_t before;
    do {
        before = text.len;
        int rc = read_line(fd, &text);
        if (rc != 1)
            return before == 0 ? rc : -1;
    } while (text.len - before > 2);
    int status = atoi(pt_buf_cstr(&text) + 9), rc = 1;
    const char *length = strcasestr(text.data, "\r\nContent-Length: ");
    if (strcasestr(text.data, "\r\nTransfer-Encoding: chunked"))
        rc = read_chunks(fd, body);
    else if (length)
        rc = read_exactly(fd, strtoul(length + 18, NULL, 10), body);
    else if (status != 204 && status != 304 && status >= 200)
        while (read_exactly(fd, 1, body) == 1)
            ;
    if (head)
        pt_buf_append(head, text.data, text.len);
    return rc == 1 ? status : -1;
}

bool at_end(int fd)
{
    char c;
    return !(left_fd == fd && left_len) && recv(fd, &c, 1, 0) == 0;
}
