/* SPDX-License-Identifier: Apache-2.0
 *
 * access_log.c: see access_log.h. The loop thread fills one buffer while the writer empties the other; the writer lets lines gather for a moment, so
 * that it wakes some times a second and not for each. It asks the file whether it takes more before each piece, and a piece is one that a pipe takes
 * whole, so it never hangs in a write and can be told to stop.
 */
#include "sidecar/access_log.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/sched.h"
#include "sidecar/frontend.h"
#include "sidecar/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 1 << 20, LINE_MAX_BYTES = 16 << 10, PIECE = 4096, GATHER_MS = 50, LAST_MS = 1000, MAX_TEXT = 1024 };

struct pt_access_log {
    struct pt_access_options o;
    struct pt_metric *written, *dropped;
    struct pt_rand rand;
    struct pt_buf line; /* the loop thread's scratch */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* guarded by lock */
    struct pt_buf fill;
    bool stopping;
    /* the writer's */
    struct pt_buf out;
    int fd;
    bool complained;
    int64_t give_up_ms; /* while stopping */
};

/* --- writing ----------------------------------------------------------------------------------------------------------------------- */

static bool open_file(struct pt_access_log *a)
{
    if (a->o.path && a->fd < 0)
        a->fd = open(a->o.path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
    return a->fd >= 0;
}

/* Whoever rotates logs moves the file away: go on in a new one of its name. */
static void follow_rotation(struct pt_access_log *a)
{
    struct stat named, open;
    if (!a->o.path || a->fd < 0)
        return;
    if (stat(a->o.path, &named) == 0 && fstat(a->fd, &open) == 0 && named.st_ino == open.st_ino && named.st_dev == open.st_dev)
        return;
    close(a->fd);
    a->fd = -1;
}

static bool is_late(struct pt_access_log *a)
{
    pthread_mutex_lock(&a->lock);
    bool stopping = a->stopping;
    pthread_mutex_unlock(&a->lock);
    int64_t now_ms = pt_clock_mono_ns() / 1000000;
    if (stopping && !a->give_up_ms)
        a->give_up_ms = now_ms + LAST_MS;
    return stopping && now_ms >= a->give_up_ms;
}

/* PT_OK, or why the piece cannot be written. */
static int write_piece(struct pt_access_log *a, const char *p, size_t len)
{
    while (len) {
        struct pollfd f = {.fd = a->fd, .events = POLLOUT};
        if (is_late(a))
            return ETIMEDOUT;
        if (poll(&f, 1, 100) <= 0)
            continue;
        ssize_t n = write(a->fd, p, len);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return errno;
        if (n > 0)
            p += n, len -= (size_t)n;
    }
    return 0;
}

/* As many whole lines as fit into a piece; a longer one alone. */
static size_t piece_of(const char *p, size_t len)
{
    if (len <= PIECE)
        return len;
    const char *end = memrchr(p, '\n', PIECE);
    end = end ? end : memchr(p, '\n', len);
    return end ? (size_t)(end - p) + 1 : len;
}

static size_t count_lines(const char *p, size_t len)
{
    size_t n = 0;
    for (const char *end = p + len; (p = memchr(p, '\n', (size_t)(end - p))); p++)
        n++;
    return n;
}

static void write_out(struct pt_access_log *a)
{
    follow_rotation(a);
    int failed = open_file(a) ? 0 : errno;
    for (size_t at = 0, n; at < a->out.len; at += n) {
        n = piece_of(a->out.data + at, a->out.len - at);
        if (!failed)
            failed = write_piece(a, a->out.data + at, n);
        pt_metric_add(failed ? a->dropped : a->written, (double)count_lines(a->out.data + at, n));
    }
    if (failed && !a->complained)
        pt_log(PT_LOG_ERROR, "access log: lines are lost", "path", a->o.path ? a->o.path : "standard output", "error", strerror(failed), NULL);
    a->complained = failed;
    pt_buf_reset(&a->out);
}

static void *work(void *arg)
{
    struct pt_access_log *a = arg;
    const struct timespec gather = {.tv_nsec = GATHER_MS * 1000000L};
    pthread_mutex_lock(&a->lock);
    for (;;) {
        while (!a->fill.len && !a->stopping)
            pthread_cond_wait(&a->wake, &a->lock);
        if (!a->fill.len)
            break;
        bool stopping = a->stopping;
        pthread_mutex_unlock(&a->lock);
        if (!stopping)
            nanosleep(&gather, NULL);
        pthread_mutex_lock(&a->lock);
        struct pt_buf full = a->fill;
        a->fill = a->out;
        a->out = full;
        pthread_mutex_unlock(&a->lock);
        write_out(a);
        pthread_mutex_lock(&a->lock);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

/* --- lines --------------------------------------------------------------------------------------------------------------------------- */

static void put_text(struct pt_buf *b, const char *key, struct pt_str s)
{
    if (s.len == 0)
        return;
    pt_buf_printf(b, ",\"%s\":", key);
    pt_buf_json_string(b, (struct pt_str){s.p, s.len < MAX_TEXT ? s.len : MAX_TEXT});
}

static void put_us(struct pt_buf *b, const char *key, int64_t ns)
{
    pt_buf_printf(b, ",\"%s\":%lld", key, (long long)(ns > 0 ? ns / 1000 : 0));
}

static void put_trace(struct pt_buf *b, const struct pt_trace *t)
{
    char trace[33], parent[17];
    if (!t->valid)
        return;
    pt_trace_hex(t->trace_id, sizeof t->trace_id, trace);
    pt_trace_hex(t->parent_id, sizeof t->parent_id, parent);
    pt_buf_printf(b, ",\"trace_id\":\"%s\",\"parent_id\":\"%s\",\"sampled\":%s", trace, parent, t->sampled ? "true" : "false");
}

/* False: this one is not part of the sample. */
static bool is_wanted(struct pt_access_log *a, bool failed)
{
    return failed || a->o.sample <= 1 || pt_rand_below(&a->rand, (uint32_t)a->o.sample) == 0;
}

static void begin(struct pt_access_log *a, const char *protocol)
{
    char ts[24];
    int64_t now = pt_clock_wall_ms();
    pt_format_time(now, ts);
    pt_buf_reset(&a->line);
    pt_buf_printf(&a->line, "{\"ts\":\"%.19s.%03dZ\",\"protocol\":\"%s\"", ts, (int)(now % 1000), protocol);
}

static void end(struct pt_access_log *a)
{
    pt_buf_puts(&a->line, "}\n");
    pthread_mutex_lock(&a->lock);
    bool wake = a->fill.len == 0;
    bool fits = !a->line.failed && a->line.len <= ROOM - a->fill.len && pt_buf_append(&a->fill, a->line.data, a->line.len);
    if (a->fill.failed) /* what is in it stays good */
        a->fill.failed = PT_OK;
    pthread_mutex_unlock(&a->lock);
    if (!fits)
        pt_metric_add(a->dropped, 1);
    else if (wake)
        pthread_cond_signal(&a->wake);
}

/* What a call knows. While its client is gone but a worker may still be at it, only what the loop thread wrote. */
static void put_call(struct pt_buf *b, const struct pt_call *c, bool over)
{
    const struct pt_job *j = &c->job;
    if (c->version) {
        put_text(b, "model", pt_str(c->version->model->name));
        put_text(b, "version", pt_str(c->version->text));
    }
    put_trace(b, &c->trace);
    if (!over)
        return;
    if (c->request.id.len && c->grpc)
        put_text(b, "request_id", c->request.id);
    else if (c->request.id.len) /* JSON already */
        pt_buf_printf(b, ",\"request_id\":" PT_STR_FMT, PT_STR_ARG(c->request.id));
    if (!j->ran)
        return;
    put_us(b, "queue_us", j->started_ns - j->queued_ns - c->decode_ns);
    put_us(b, "decode_us", c->decode_ns);
    put_us(b, "compute_us", c->infer_ns);
    put_us(b, "encode_us", c->encode_ns);
    pt_buf_printf(b, ",\"rows\":%lld", (long long)(j->rows > 0 ? j->rows : 1));
}

static void put_head(struct pt_buf *b, const struct pt_http_request *req, const struct pt_call *c)
{
    char state[PT_TRACE_STATE_MAX + 1];
    struct pt_trace t;
    put_text(b, "method", pt_http_method(req));
    put_text(b, "path", pt_http_path(req));
    pt_trace_of_request(req, &t);
    if (!c)
        put_trace(b, &t);
    if (t.valid)
        put_text(b, "tracestate", pt_trace_state_of(req, state));
    if (!c || !c->request.id.len)
        put_text(b, "x_request_id", pt_http_header(req, "X-Request-Id"));
}

void pt_access_log_request(struct pt_access_log *a, const struct pt_http_request *req, const struct pt_http_end *e)
{
    char peer[64];
    if (!a || !is_wanted(a, e->status >= 400 || e->code > 0))
        return;
    struct pt_buf *b = &a->line;
    const struct pt_call *c = pt_http_note(req);
    bool gone = e->status == 499, grpc = e->has_head && pt_str_starts(pt_http_header(req, "Content-Type"), PT_STR("application/grpc"));
    begin(a, grpc ? "grpc" : pt_http_is_http2(req) ? "http/2" : "http/1.1");
    if (e->has_head)
        put_head(b, req, gone ? NULL : c);
    if (c)
        put_call(b, c, !gone);
    pt_buf_printf(b, ",\"status\":%d", e->status);
    if (grpc)
        pt_buf_printf(b, ",\"grpc_status\":%d", gone ? pt_err_grpc(PT_ECANCELED) : e->code);
    put_us(b, "duration_us", pt_clock_mono_ns() - (c ? c->received_ns : e->received_ns));
    pt_buf_printf(b, ",\"bytes_in\":%llu,\"bytes_out\":%llu", (unsigned long long)e->bytes_in, (unsigned long long)e->bytes_out);
    pt_http_peer(req, peer);
    put_text(b, "client", pt_str(peer));
    put_text(b, "reason", gone && !e->reason ? PT_STR("the client went away") : pt_str(e->reason));
    end(a);
}

void pt_access_log_message(struct pt_access_log *a, const struct pt_call *c, const char *path, const char *peer, size_t bytes_in, size_t bytes_out)
{
    if (!a || !is_wanted(a, c->rc < 0))
        return;
    struct pt_buf *b = &a->line;
    begin(a, "grpc-message");
    put_text(b, "path", pt_str(path));
    put_call(b, c, true);
    pt_buf_printf(b, ",\"grpc_status\":%d", c->rc < 0 ? pt_err_grpc(c->rc) : 0);
    put_us(b, "duration_us", pt_clock_mono_ns() - c->received_ns);
    pt_buf_printf(b, ",\"bytes_in\":%zu,\"bytes_out\":%zu", bytes_in, bytes_out);
    put_text(b, "client", pt_str(peer));
    if (c->rc < 0)
        put_text(b, "reason", pt_str(c->err.msg));
    end(a);
}

/* --- beginning and end ------------------------------------------------------------------------------------------------------------------ */

static const struct pt_metric_family written_total = {"pintle_access_log_lines_total", "Lines written to the access log.", PT_COUNTER, "", NULL, 0},
                                     dropped_total = {
                                         "pintle_access_log_dropped_total", "Lines of the access log that were lost.", PT_COUNTER, "", NULL, 0};

/* The thread takes no signals: they are the loop's. */
static int start_thread(struct pt_access_log *a)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&a->thread, NULL, work, a);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

int pt_access_log_create(const struct pt_access_options *o, struct pt_access_log **out, struct pt_err *err)
{
    struct pt_access_log *a = pt_calloc(1, sizeof *a);
    if (!a)
        return pt_fail(err, PT_ENOMEM, "access log: out of memory");
    a->o = *o;
    a->fd = o->path ? -1 : STDOUT_FILENO;
    a->line = PT_BUF_INIT(LINE_MAX_BYTES);
    a->fill = a->out = PT_BUF_INIT(ROOM);
    pt_rand_init(&a->rand, (uint64_t)pt_clock_mono_ns());
    int rc = PT_OK;
    if (!open_file(a))
        rc = pt_fail(err, PT_EIO, "accessLog.path: %s: %s", o->path, strerror(errno));
    a->written = pt_metrics_series(o->registry, &written_total, NULL);
    a->dropped = pt_metrics_series(o->registry, &dropped_total, NULL);
    if (rc == PT_OK && (!a->written || !a->dropped))
        rc = pt_fail(err, PT_ENOMEM, "access log: out of memory");
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->wake, NULL);
    if (rc == PT_OK && start_thread(a) != 0)
        rc = pt_fail(err, PT_ENOMEM, "access log: no thread");
    if (rc == PT_OK) {
        *out = a;
        return PT_OK;
    }
    if (a->fd >= 0 && o->path)
        close(a->fd);
    pthread_cond_destroy(&a->wake);
    pthread_mutex_destroy(&a->lock);
    pt_free(a);
    return rc;
}

void pt_access_log_destroy(struct pt_access_log *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    a->stopping = true;
    pthread_mutex_unlock(&a->lock);
    pthread_cond_signal(&a->wake);
    pthread_join(a->thread, NULL);
    if (a->fd >= 0 && a->o.path)
        close(a->fd);
    pthread_cond_destroy(&a->wake);
    pthread_mutex_destroy(&a->lock);
    pt_buf_finish(&a->line);
    pt_buf_finish(&a->fill);
    pt_buf_finish(&a->out);
    pt_free(a);
}
