/* SPDX-License-Identifier: Apache-2.0
 *
 * apiserver.c: an exchange is one request between an HTTP server and memapi, or a log that is read piece by piece.
 */
#include "operator/local/apiserver.h"

#include "base/contract.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "net/http_server.h"
#include "operator/local/front.h"
#include "operator/local/podproxy.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LOG_POLL_MS = 100, LOG_PIECE = 64 << 10 };

struct exchange {
    struct pt_apiserver *server;
    struct exchange *next, **link;
    struct pt_http_request *request;
    struct pt_memapi_exchange *memapi;
    bool streaming;
    int log_fd;       /* -1: not a log */
    int64_t log_left; /* bytes that may still be sent; -1: all */
    bool follow;
    struct pt_timer timer;
};

struct pt_apiserver {
    struct pt_loop *loop;
    struct pt_memapi *memapi;
    struct pt_agent *agent;
    struct pt_http_client *client;
    struct pt_http_server *http; /* on the socket, for our own commands */
    struct pt_front *front;      /* on the loopback interface, for kubectl */
    struct exchange *exchanges;
    char *path;
};

static void end_exchange(struct exchange *x)
{
    pt_timer_stop(pt_loop_sched(x->server->loop), &x->timer);
    if (x->log_fd >= 0)
        close(x->log_fd);
    *x->link = x->next;
    if (x->next)
        x->next->link = x->link;
    pt_free(x);
}

static void on_client_gone(void *arg)
{
    struct exchange *x = arg;
    pt_memapi_http_cancel(x->memapi);
    end_exchange(x);
}

/* A Kubernetes Status as the answer. */
static void reply_status(struct pt_http_request *req, const struct pt_err *err)
{
    const char *reason = err->code == PT_ENOTFOUND          ? "NotFound"
                         : err->code == PT_EINVAL           ? "BadRequest"
                         : err->code == PT_EUNAUTHENTICATED ? "Unauthorized"
                                                            : "InternalError";
    pt_auto_buf b = PT_BUF_INIT(4096);
    pt_buf_puts(&b, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\",\"message\":");
    pt_buf_json_string(&b, pt_str(err->msg));
    pt_buf_printf(&b, ",\"reason\":\"%s\",\"code\":%d}", reason, pt_err_http(err->code));
    pt_http_reply(req, pt_err_http(err->code), "application/json", NULL, 0, (struct pt_str){b.data, b.len});
}

/* --- memapi ------------------------------------------------------------------------------------------------------------------ */

static void on_caught_up(void *arg)
{
    pt_memapi_http_pause(((struct exchange *)arg)->memapi, false);
}

static void on_reply(void *arg, int status, const char *content_type, struct pt_str piece, bool more)
{
    struct exchange *x = arg;
    struct pt_http_request *req = x->request;
    if (!x->streaming && !more) {
        pt_http_on_close(req, NULL, NULL);
        end_exchange(x);
        pt_http_reply(req, status, content_type, NULL, 0, piece);
        return;
    }
    if (!x->streaming) {
        pt_http_begin(req, status, content_type);
        pt_http_on_drain(req, on_caught_up, x);
    }
    x->streaming = true;
    if (piece.len && pt_http_chunk(req, piece) == PT_EAGAIN && more)
        pt_memapi_http_pause(x->memapi, true);
    if (!more) {
        pt_http_on_close(req, NULL, NULL);
        pt_http_on_drain(req, NULL, NULL);
        end_exchange(x);
        pt_http_end(req);
    }
}

static int start_memapi(struct exchange *x, struct pt_err *err)
{
    struct pt_str path = pt_http_path(x->request), query = pt_http_query(x->request);
    pt_auto_buf target = PT_BUF_INIT(16 << 10);
    pt_buf_printf(&target, PT_STR_FMT "%s" PT_STR_FMT, PT_STR_ARG(path), query.len ? "?" : "", PT_STR_ARG(query));
    int rc = pt_buf_check(&target, "request target", err);
    struct pt_memapi_http req = {.method = pt_http_method(x->request),
                                 .target = {target.data, target.len},
                                 .content_type = pt_http_header(x->request, "Content-Type"),
                                 .accept = pt_http_header(x->request, "Accept"),
                                 .user_agent = pt_http_header(x->request, "User-Agent"),
                                 .body = pt_http_body(x->request)};
    return rc < 0 ? rc : pt_memapi_http(x->server->memapi, &req, on_reply, x, &x->memapi, err);
}

/* --- logs -------------------------------------------------------------------------------------------------------------------- */

static void send_log(struct pt_timer *t)
{
    struct exchange *x = (struct exchange *)(void *)((char *)t - offsetof(struct exchange, timer));
    char piece[LOG_PIECE];
    size_t room = x->log_left >= 0 && x->log_left < LOG_PIECE ? (size_t)x->log_left : sizeof piece;
    ssize_t n = room ? read(x->log_fd, piece, room) : 0;
    if (n > 0)
        pt_http_chunk(x->request, (struct pt_str){piece, (size_t)n});
    if (n > 0 && x->log_left >= 0)
        x->log_left -= n;
    if (n > 0 || (x->follow && room)) {
        pt_timer_start(pt_loop_sched(x->server->loop), &x->timer, n > 0 ? 0 : LOG_POLL_MS, send_log);
        return;
    }
    struct pt_http_request *req = x->request;
    pt_http_on_close(req, NULL, NULL);
    end_exchange(x);
    pt_http_end(req);
}

/* Leaves the file position before the last `lines` lines. */
static void seek_tail(int fd, int64_t lines)
{
    off_t at = lseek(fd, 0, SEEK_END);
    char c;
    for (int64_t seen = 0; at > 0; at--)
        if (pread(fd, &c, 1, at - 1) == 1 && c == '\n' && seen++ == lines)
            break;
    lseek(fd, at, SEEK_SET);
}

/* /api/v1/namespaces/NS/pods/NAME/log -> ns and name */
static bool is_log_path(struct pt_str path, char ns[64], char name[254])
{
    char text[512];
    int end = 0;
    snprintf(text, sizeof text, PT_STR_FMT, PT_STR_ARG(path));
    return sscanf(text, "/api/v1/namespaces/%63[^/]/pods/%253[^/]/log%n", ns, name, &end) == 2 && end > 0 && text[end] == 0;
}

static bool is_true(const char *text)
{
    return text && (strcmp(text, "true") == 0 || strcmp(text, "1") == 0);
}

static int log_number(struct exchange *x, const char *name, int64_t *out, struct pt_err *err)
{
    char value[32];
    const char *text = pt_http_query_param(x->request, name, value, sizeof value);
    return text ? pt_parse_i64(pt_str(text), 0, INT32_MAX, name, out, err) : PT_OK;
}

/* What a kubelet could answer and a file of lines without times cannot is refused, not ignored. */
static int check_log_options(struct exchange *x, const char *pod, struct pt_err *err)
{
    static const char *const refused[] = {"previous", "timestamps", "sinceSeconds", "sinceTime"};
    char value[64];
    const char *container = pt_http_query_param(x->request, "container", value, sizeof value);
    if (container && *container && strcmp(container, PT_CONTAINER) != 0)
        return pt_fail(err, PT_EINVAL, "container %s is not valid for pod %s: it has only %s", container, pod, PT_CONTAINER);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        const char *text = pt_http_query_param(x->request, refused[i], value, sizeof value);
        if (text && strcmp(text, "false") != 0 && strcmp(text, "0") != 0)
            return pt_fail(err, PT_EINVAL,
                           "logs: %s is not supported without a cluster: a pod has one log, of all its runs, in which every line has its own time",
                           refused[i]);
    }
    return PT_OK;
}

static int start_log(struct exchange *x, const char *ns, const char *name, struct pt_err *err)
{
    char path[512], value[32];
    int64_t tail = -1;
    int rc = check_log_options(x, name, err);
    if (rc == PT_OK)
        rc = log_number(x, "tailLines", &tail, err);
    if (rc == PT_OK)
        rc = log_number(x, "limitBytes", &x->log_left, err);
    if (rc == PT_OK)
        rc = pt_agent_log_path(x->server->agent, ns, name, path, sizeof path, err);
    if (rc < 0)
        return rc;
    x->log_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (x->log_fd < 0)
        return pt_fail(err, PT_ENOTFOUND, "the pod \"%s\" has written nothing yet", name);
    if (tail >= 0)
        seek_tail(x->log_fd, tail);
    x->follow = is_true(pt_http_query_param(x->request, "follow", value, sizeof value));
    pt_http_begin(x->request, 200, "text/plain");
    pt_timer_start(pt_loop_sched(x->server->loop), &x->timer, 0, send_log);
    return PT_OK;
}

/* --- the server ---------------------------------------------------------------------------------------------------------------- */

static void handle(void *arg, struct pt_http_request *req)
{
    struct pt_apiserver *s = arg;
    struct exchange *x = pt_calloc(1, sizeof *x);
    struct pt_err err;
    char ns[64], name[254];
    bool admitted = pt_front_admits(s->front, req);
    if (!x || !admitted) {
        pt_free(x);
        pt_fail(&err, admitted ? PT_ENOMEM : PT_EUNAUTHENTICATED, admitted ? "out of memory" : "Unauthorized");
        reply_status(req, &err);
        return;
    }
    if (pt_podproxy_handle(s->agent, s->client, req)) {
        pt_free(x);
        return;
    }
    *x = (struct exchange){.server = s, .request = req, .next = s->exchanges, .link = &s->exchanges, .log_fd = -1, .log_left = -1};
    if (x->next)
        x->next->link = &x->next;
    s->exchanges = x;
    pt_http_on_close(req, on_client_gone, x);
    int rc = is_log_path(pt_http_path(req), ns, name) ? start_log(x, ns, name, &err) : start_memapi(x, &err);
    if (rc < 0) {
        pt_http_on_close(req, NULL, NULL);
        end_exchange(x);
        reply_status(req, &err);
    }
}

/* Does somebody listen there? A socket file without a listener is a leftover and is replaced. */
static bool is_alive(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || strlen(path) >= sizeof a.sun_path)
        return false;
    memcpy(a.sun_path, path, strlen(path) + 1);
    bool alive = connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
    close(fd);
    return alive;
}

static int make_folder(const char *socket_path, struct pt_err *err)
{
    char dir[512];
    snprintf(dir, sizeof dir, "%s", socket_path);
    char *slash = strrchr(dir, '/');
    if (!slash || slash == dir)
        return PT_OK;
    *slash = 0;
    return pt_path_mkdirs(dir, 0700, err);
}

static int listen_on(struct pt_apiserver *s, const struct pt_apiserver_options *o, struct pt_err *err)
{
    char address[160];
    snprintf(address, sizeof address, "unix:%s", o->socket_path);
    struct pt_http_server_options http = {.address = address, .max_body_bytes = 16 << 20, .idle_timeout_ms = 3600000, .handler = handle, .arg = s};
    struct pt_front_options front = {.loop = o->loop,
                                     .port = o->port,
                                     .ca_cert_pem = o->ca_cert_pem,
                                     .ca_key_pem = o->ca_key_pem,
                                     .kubeconfig = o->kubeconfig,
                                     .handler = handle,
                                     .arg = s};
    int rc = pt_http_server_start(o->loop, &http, &s->http, err);
    return rc < 0 ? rc : pt_front_create(&front, &s->front, err);
}

int pt_apiserver_create(const struct pt_apiserver_options *o, struct pt_apiserver **out, struct pt_err *err)
{
    if (is_alive(o->socket_path))
        return pt_fail(err, PT_EEXIST, "another pintle up answers on %s (choose another --socket)", o->socket_path);
    int rc = make_folder(o->socket_path, err);
    struct pt_apiserver *s = rc < 0 ? NULL : pt_calloc(1, sizeof *s);
    if (!s)
        return rc < 0 ? rc : pt_fail(err, PT_ENOMEM, "API server: out of memory");
    *s = (struct pt_apiserver){.loop = o->loop, .memapi = o->memapi, .agent = o->agent, .client = o->http, .path = pt_strdup(o->socket_path)};
    rc = s->path ? listen_on(s, o, err) : pt_fail(err, PT_ENOMEM, "API server: out of memory");
    if (rc < 0) {
        pt_apiserver_destroy(s);
        return rc;
    }
    *out = s;
    return PT_OK;
}

void pt_apiserver_destroy(struct pt_apiserver *s)
{
    if (!s)
        return;
    while (s->exchanges) {
        struct exchange *x = s->exchanges;
        pt_http_on_close(x->request, NULL, NULL);
        pt_memapi_http_cancel(x->memapi);
        end_exchange(x);
    }
    pt_front_destroy(s->front);
    if (s->http) {
        pt_http_server_destroy(s->http);
        unlink(s->path);
    }
    pt_free(s->path);
    pt_free(s);
}
