/* SPDX-License-Identifier: Apache-2.0
 *
 * stream.c: sockets with optional TLS.
 *
 * A stream is a non-blocking descriptor watched by a uv_poll, not a uv_stream: reads go into one buffer that all connections of an owner
 * share (an idle connection holds none), a reply is one sendmsg() in the common case, and OpenSSL works on the descriptor itself
 * without memory in between. Readiness is level-triggered and one read is done per turn, so no peer starves the others.
 *
 * OpenSSL may hold bytes that the poll cannot see; whoever stops reading before it says WANT_READ starts the kick timer.
 */
#include "net/stream.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <unistd.h>

#define TLS_RECORDS_PER_TURN 8
#define KEEP_BYTES 65536 /* an output buffer larger than that is given back once it is empty */

static void on_poll(uv_poll_t *h, int status, int events);
static void read_tls(struct pt_stream *s);

static void watch(struct pt_stream *s)
{
    int events = 0;
    if (s->phase == PT_STREAM_CONNECTING)
        events = UV_WRITABLE;
    else if (!s->broken)
        events = (s->paused || s->ended ? 0 : UV_READABLE) | (s->want_write ? UV_WRITABLE : 0);
    if (events == s->events || s->closed)
        return;
    s->events = events;
    if (events)
        uv_poll_start(&s->poll, events, on_poll);
    else
        uv_poll_stop(&s->poll);
}

size_t pt_stream_pending(const struct pt_stream *s)
{
    return s->out.len - s->out_off + s->big.len - s->big_off;
}

static void forget_output(struct pt_stream *s)
{
    if (s->out.room > KEEP_BYTES)
        pt_buf_finish(&s->out);
    pt_buf_reset(&s->out);
    pt_buf_finish(&s->big);
    s->out_off = s->big_off = 0;
    s->want_write = false;
}

/* --- the end ---------------------------------------------------------------------------------------------------------- */
static void end(struct pt_stream *s, const struct pt_err *e)
{
    if (e) {
        s->broken = true;
        forget_output(s);
    } else {
        s->ended = true;
    }
    watch(s);
    s->ops->on_end(s, e);
}

static void end_failed(struct pt_stream *s)
{
    struct pt_err e;
    const char *what = s->phase == PT_STREAM_CONNECTING ? "connect: " : s->phase == PT_STREAM_HANDSHAKE ? "TLS handshake: " : "";
    pt_fail(&e, PT_EIO, "%s%s", what, s->fail_reason ? s->fail_reason : strerror(s->fail_errno));
    end(s, &e);
}

static void on_kick(struct pt_timer *t)
{
    struct pt_stream *s = (struct pt_stream *)((char *)t - offsetof(struct pt_stream, kick));
    if (s->broken) {
        end_failed(s);
    } else if (s->ssl && s->phase == PT_STREAM_OPEN && !s->paused && !s->ended) {
        read_tls(s);
        watch(s);
    }
}

static void kick(struct pt_stream *s)
{
    pt_timer_start(pt_loop_sched(s->loop), &s->kick, 0, on_kick);
}

void pt_stream_fail(struct pt_stream *s, int error, const char *reason)
{
    s->fail_errno = error;
    s->fail_reason = reason;
    s->broken = true;
    forget_output(s);
    watch(s);
    kick(s);
}

/* What went wrong in OpenSSL, as static text, or NULL: errno. */
static const char *ssl_reason(struct pt_stream *s, int ssl_error)
{
    if (ssl_error == SSL_ERROR_SYSCALL) {
        ERR_clear_error();
        return errno ? NULL : "connection closed";
    }
    long verify = SSL_get_verify_result(s->ssl);
    if (s->phase == PT_STREAM_HANDSHAKE && verify != X509_V_OK) {
        ERR_clear_error();
        return X509_verify_cert_error_string(verify);
    }
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return reason ? reason : "TLS failure";
}

/* --- reading ------------------------------------------------------------------------------------------------------------ */
static void read_plain(struct pt_stream *s)
{
    ssize_t n = recv(s->fd, s->read_buf, PT_STREAM_READ_SIZE, s->discards ? MSG_TRUNC : 0); /* TCP then copies nothing */
    if (n > 0) {
        s->ops->on_data(s, s->read_buf, (size_t)n);
    } else if (n == 0) {
        end(s, NULL);
    } else if (errno != EAGAIN && errno != EINTR) {
        s->fail_errno = errno;
        end_failed(s);
    }
}

static void read_tls(struct pt_stream *s)
{
    for (int i = 0; i < TLS_RECORDS_PER_TURN; i++) {
        errno = 0;
        ERR_clear_error();
        int n = SSL_read(s->ssl, s->read_buf, PT_STREAM_READ_SIZE);
        if (n > 0) {
            s->ops->on_data(s, s->read_buf, (size_t)n);
            if (s->closed || s->broken || s->paused)
                return;
            continue;
        }
        int e = SSL_get_error(s->ssl, n);
        if (e == SSL_ERROR_WANT_READ)
            return;
        if (e == SSL_ERROR_WANT_WRITE) {
            s->want_write = true;
        } else if (e == SSL_ERROR_ZERO_RETURN) {
            end(s, NULL);
        } else {
            s->fail_errno = errno;
            s->fail_reason = ssl_reason(s, e);
            end_failed(s);
        }
        return;
    }
    kick(s);
}

bool pt_stream_has_peer(const struct pt_stream *s)
{
    return s->ssl && SSL_get0_peer_certificate(s->ssl) && SSL_get_verify_result(s->ssl) == X509_V_OK;
}

bool pt_stream_peer_name(const struct pt_stream *s, char *out, size_t size)
{
    X509 *x = s->ssl && SSL_get_verify_result(s->ssl) == X509_V_OK ? SSL_get1_peer_certificate(s->ssl) : NULL;
    unsigned char *text = NULL;
    int at = x ? X509_NAME_get_index_by_NID(X509_get_subject_name(x), NID_commonName, -1) : -1;
    int len = at < 0 ? -1 : ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(X509_get_subject_name(x), at)));
    bool fits = len >= 0 && (size_t)len < size && !memchr(text, 0, (size_t)len);
    if (fits) {
        memcpy(out, text, (size_t)len);
        out[len] = 0;
    }
    OPENSSL_free(text);
    X509_free(x);
    ERR_clear_error();
    return fits;
}

bool pt_stream_readable(const struct pt_stream *s)
{
    char c;
    return (s->ssl && SSL_has_pending(s->ssl)) || recv(s->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

bool pt_stream_is_stale(const struct pt_stream *s)
{
    char c;
    ssize_t n = recv(s->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN);
}

void pt_stream_pause(struct pt_stream *s, bool pause)
{
    if (s->paused == pause || s->closed)
        return;
    s->paused = pause;
    watch(s);
    if (!pause && s->ssl)
        kick(s);
}

/* --- writing -------------------------------------------------------------------------------------------------------------- */
/* Bytes written, 0 when the socket is full, -1 when the stream broke. */
static ssize_t send_plain(struct pt_stream *s, const struct iovec *iov, size_t count)
{
    struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = count};
    ssize_t n;
    do
        n = sendmsg(s->fd, &m, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return n;
    if (errno == EAGAIN)
        return 0;
    if (s->ended || s->paused) {
        pt_stream_fail(s, errno, NULL);
    } else { /* the peer may have said why before it hung up: reading finds that, and then the end */
        s->unwritable = true;
        forget_output(s);
    }
    return -1;
}

static ssize_t send_tls(struct pt_stream *s, const struct iovec *v)
{
    errno = 0;
    ERR_clear_error();
    int n = SSL_write(s->ssl, v->iov_base, v->iov_len > INT_MAX ? INT_MAX : (int)v->iov_len);
    if (n > 0)
        return n;
    int e = SSL_get_error(s->ssl, n);
    if (e == SSL_ERROR_WANT_WRITE || e == SSL_ERROR_WANT_READ)
        return 0;
    pt_stream_fail(s, errno, ssl_reason(s, e));
    return -1;
}

/* Sends what is kept as far as the socket takes it. */
static void pump(struct pt_stream *s)
{
    while (pt_stream_pending(s) > 0) {
        struct iovec v[2] = {{s->out.data + s->out_off, s->out.len - s->out_off}, {s->big.data + s->big_off, s->big.len - s->big_off}};
        size_t first = v[0].iov_len == 0; /* never an empty vector in front: TLS sends one at a time */
        ssize_t n = s->ssl ? send_tls(s, v + first) : send_plain(s, v + first, 2 - first);
        if (n < 0) {
            watch(s);
            return;
        }
        if (n == 0) {
            s->want_write = true;
            watch(s);
            return;
        }
        s->sent_bytes += (uint64_t)n;
        size_t from_out = (size_t)n < v[0].iov_len ? (size_t)n : v[0].iov_len;
        s->out_off += from_out;
        s->big_off += (size_t)n - from_out;
    }
    forget_output(s);
    watch(s);
}

/* Keeps a part behind what is kept already. */
static bool keep(struct pt_stream *s, struct pt_str part, struct pt_buf *own)
{
    if (own && part.len > 0 && s->big.len == s->big_off) {
        pt_buf_finish(&s->big);
        s->big = *own;
        s->big.cap = 0;
        s->big_off = (size_t)(part.p - own->data);
        *own = (struct pt_buf){0};
        return true;
    }
    if (s->big.len > s->big_off)
        return pt_buf_append(&s->big, part.p, part.len);
    if (s->out_off > s->out.len / 2) { /* a slow reader of a long stream must not make it grow for ever */
        pt_buf_consume(&s->out, s->out_off);
        s->out_off = 0;
    }
    return pt_buf_append(&s->out, part.p, part.len);
}

void pt_stream_write(struct pt_stream *s, const struct pt_str *parts, size_t count, struct pt_buf *own)
{
    if (s->closed || s->broken || s->unwritable)
        return;
    bool idle = pt_stream_pending(s) == 0 && s->phase == PT_STREAM_OPEN;
    size_t sent = 0;
    if (idle && !s->ssl) {
        struct iovec v[4] = {0};
        for (size_t i = 0; i < count; i++)
            v[i] = (struct iovec){(void *)(uintptr_t)parts[i].p, parts[i].len};
        ssize_t n = send_plain(s, v, count);
        if (n < 0)
            return;
        sent = (size_t)n;
        s->sent_bytes += sent;
    }
    bool ok = true;
    for (size_t i = 0; i < count; i++) {
        size_t skip = sent < parts[i].len ? sent : parts[i].len;
        sent -= skip;
        struct pt_str rest = {parts[i].p + skip, parts[i].len - skip};
        if (rest.len > 0)
            ok = ok && keep(s, rest, i + 1 == count ? own : NULL);
    }
    if (!ok)
        pt_stream_fail(s, ENOMEM, NULL);
    else if (idle && pt_stream_pending(s) > 0)
        pump(s);
}

void pt_stream_shutdown(struct pt_stream *s)
{
    if (s->closed || s->broken)
        return;
    if (s->ssl && s->phase == PT_STREAM_OPEN) {
        SSL_shutdown(s->ssl); /* best effort: a full socket means that the peer does not read anyway */
        ERR_clear_error();
    }
    shutdown(s->fd, SHUT_WR);
}

/* --- opening and events -------------------------------------------------------------------------------------------------------- */
static void opened(struct pt_stream *s)
{
    s->phase = PT_STREAM_OPEN;
    pump(s);
    if (s->ops->on_open && !s->broken)
        s->ops->on_open(s);
    if (s->ssl && !s->closed && !s->paused)
        kick(s); /* data may have come along with the handshake */
}

static void handshake(struct pt_stream *s)
{
    errno = 0;
    ERR_clear_error();
    int n = SSL_do_handshake(s->ssl);
    int e = n == 1 ? SSL_ERROR_NONE : SSL_get_error(s->ssl, n);
    s->want_write = e == SSL_ERROR_WANT_WRITE;
    if (e == SSL_ERROR_NONE) {
        opened(s);
    } else if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
        watch(s);
    } else {
        s->fail_errno = errno;
        s->fail_reason = ssl_reason(s, e);
        end_failed(s);
    }
}

static void connected(struct pt_stream *s)
{
    int error = 0;
    socklen_t len = sizeof error;
    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error) {
        s->fail_errno = error;
        end_failed(s);
        return;
    }
    s->phase = PT_STREAM_HANDSHAKE;
    if (s->ssl) {
        handshake(s);
        return;
    }
    opened(s);
}

static void writable(struct pt_stream *s)
{
    bool had = pt_stream_pending(s) > 0;
    s->want_write = false;
    pump(s);
    if (had && !s->broken && !s->unwritable && pt_stream_pending(s) == 0)
        s->ops->on_drain(s);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    struct pt_stream *s = h->data;
    if (status < 0) { /* the socket has an error; the next call on it will say which. libuv has stopped watching */
        s->events = 0;
        events = s->ended || s->paused ? UV_WRITABLE : UV_READABLE;
    }
    if (s->phase == PT_STREAM_CONNECTING) {
        connected(s);
        return;
    }
    if (s->phase == PT_STREAM_HANDSHAKE) {
        handshake(s);
        return;
    }
    if (s->want_write && (events & UV_WRITABLE))
        writable(s);
    else if (s->ssl && pt_stream_pending(s) > 0)
        writable(s); /* a TLS write may have waited for a read, */
    if (s->ssl)
        events |= UV_READABLE; /* and a read for a write */
    if ((events & UV_READABLE) && !s->closed && !s->broken && !s->paused && !s->ended) {
        if (s->ssl)
            read_tls(s);
        else
            read_plain(s);
    }
    watch(s);
}

int pt_stream_init(struct pt_stream *s, struct pt_loop *l, int fd, enum pt_stream_phase phase, const struct pt_stream_ops *ops, struct pt_tls *tls,
                   const char *host, char *read_buf, struct pt_err *err)
{
    *s = (struct pt_stream){.ops = ops, .loop = l, .read_buf = read_buf, .fd = fd, .phase = phase};
    if (tls && phase == PT_STREAM_OPEN)
        s->phase = PT_STREAM_HANDSHAKE;
    int rc = PT_OK;
    if (tls) {
        struct pt_err e;
        s->ssl = pt_tls_ssl_create(tls, host, &e);
        if (!s->ssl)
            rc = pt_fail(err, e.code, "%s", e.msg);
        else if (SSL_set_fd(s->ssl, fd) != 1)
            rc = pt_ssl_fail(err, PT_ENOMEM, "TLS connection");
    }
    int uv = rc < 0 ? 0 : uv_poll_init(pt_loop_uv(l), &s->poll, fd);
    if (uv < 0)
        rc = pt_fail(err, pt_uv_code(uv), "watch socket: %s", uv_strerror(uv));
    if (rc < 0) {
        SSL_free(s->ssl);
        close(fd);
        return rc;
    }
    s->poll.data = s;
    watch(s);
    return PT_OK;
}

int pt_stream_connect_fd(const struct sockaddr *a, socklen_t len, struct pt_err *err)
{
    int fd = socket(a->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return pt_fail(err, PT_EUNAVAILABLE, "socket: %s", strerror(errno));
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* a unix socket refuses, which is fine */
    if (connect(fd, a, len) < 0 && errno != EINPROGRESS) {
        pt_fail(err, PT_EUNAVAILABLE, "connect: %s", strerror(errno));
        close(fd);
        return PT_EUNAVAILABLE;
    }
    return fd;
}

static void poll_closed(uv_handle_t *h)
{
    struct pt_stream *s = h->data;
    s->ops->on_closed(s);
}

void pt_stream_close(struct pt_stream *s)
{
    if (s->closed)
        return;
    s->closed = true;
    pt_timer_stop(pt_loop_sched(s->loop), &s->kick);
    if (s->ssl) {
        if (s->phase == PT_STREAM_OPEN && !s->broken)
            SSL_shutdown(s->ssl);
        ERR_clear_error();
        SSL_free(s->ssl);
        s->ssl = NULL;
    }
    uv_poll_stop(&s->poll);
    close(s->fd);
    pt_buf_finish(&s->out);
    pt_buf_finish(&s->big);
    uv_close((uv_handle_t *)&s->poll, poll_closed);
}
