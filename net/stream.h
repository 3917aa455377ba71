/* SPDX-License-Identifier: Apache-2.0
 *
 * stream.h: private to net/: a connected socket (TCP or unix, plain or TLS) on the loop, the same for servers and clients.
 *
 * A stream is embedded in its owner's connection, which is freed in on_closed. Reading is pushed to the owner; writing goes to the socket at
 * once as far as it takes it, the rest is kept and on_drain says when it is gone. No call below runs a callback: failures of a write come
 * as on_end from the loop.
 */
#ifndef PT_NET_STREAM_H
#define PT_NET_STREAM_H

#include "base/buf.h"
#include "net/loop_uv.h"
#include "net/tls_ssl.h"

#include <sys/socket.h>

#define PT_STREAM_READ_SIZE 65536

struct pt_stream;
struct pt_stream_ops {
    void (*on_open)(struct pt_stream *s); /* connected, TLS included; not called for an accepted plain socket, which is open from the start */
    void (*on_data)(struct pt_stream *s, const char *p, size_t len);
    void (*on_drain)(struct pt_stream *s); /* what a write had to keep is with the kernel now */
    /* e NULL: the peer sends no more (writing may go on). e: the stream is dead; the last callback before on_closed. */
    void (*on_end)(struct pt_stream *s, const struct pt_err *e);
    void (*on_closed)(struct pt_stream *s); /* nothing refers to the memory any more */
};

enum pt_stream_phase { PT_STREAM_CONNECTING, PT_STREAM_HANDSHAKE, PT_STREAM_OPEN };

struct pt_stream {
    uv_poll_t poll;
    struct pt_timer kick; /* callbacks that must not run inside a call; data that waits inside the TLS layer */
    const struct pt_stream_ops *ops;
    struct pt_loop *loop;
    char *read_buf; /* PT_STREAM_READ_SIZE bytes of the owner, shared by its streams: data is consumed within on_data */
    SSL *ssl;
    int fd;
    int events; /* what uv_poll watches now */
    enum pt_stream_phase phase;
    bool paused, want_write, ended, unwritable, broken, closed;
    bool discards; /* the owner's: on_data wants to know how much came, not what */
    int fail_errno;          /* why it is broken, for the kick that reports it */
    const char *fail_reason; /* static text, or NULL: strerror(fail_errno) */
    struct pt_buf out, big;  /* kept: out first, then big, each from its offset */
    size_t out_off, big_off;
    uint64_t sent_bytes; /* given to the kernel so far: shows whether a slow reader makes progress */
};

/* Takes over fd, connected or connecting (phase PT_STREAM_CONNECTING). On failure fd is closed and s is not to be closed. host: for client TLS. */
int pt_stream_init(struct pt_stream *s, struct pt_loop *l, int fd, enum pt_stream_phase phase, const struct pt_stream_ops *ops, struct pt_tls *tls,
                   const char *host, char *read_buf, struct pt_err *err);
/* A non-blocking socket on its way to the address; the descriptor or a code. */
int pt_stream_connect_fd(const struct sockaddr *a, socklen_t len, struct pt_err *err);
/* own: where the last part lies when the stream may keep that buffer instead of copying; taken then. NULL: parts are copied as needed. */
void pt_stream_write(struct pt_stream *s, const struct pt_str *parts, size_t count, struct pt_buf *own);
size_t pt_stream_pending(const struct pt_stream *s);
void pt_stream_pause(struct pt_stream *s, bool pause);                   /* reading; what the peer does meanwhile, leaving included, is not noticed */
void pt_stream_shutdown(struct pt_stream *s);                            /* no more writes: the peer sees the end after what is sent */
bool pt_stream_has_peer(const struct pt_stream *s); /* the peer has shown a certificate, which was verified */
bool pt_stream_peer_name(const struct pt_stream *s, char *out, size_t size); /* the common name of the peer's verified certificate, if it showed one */
bool pt_stream_readable(const struct pt_stream *s);                      /* are there bytes that were not read yet? */
bool pt_stream_is_stale(const struct pt_stream *s);                      /* has the peer closed an idle connection, though we were not told yet? */
void pt_stream_fail(struct pt_stream *s, int error, const char *reason); /* gives up: on_end with errno or the static text from the loop */
void pt_stream_close(struct pt_stream *s);                               /* at once; then on_closed from the loop. Fine when already closed */

#endif
