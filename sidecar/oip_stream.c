/* SPDX-License-Identifier: Apache-2.0
 *
 * oip_stream.c: see oip_stream.h. The requests of a call wait in a list in the order in which they came; an answer that is ready waits for
 * those before it. Past MAX_OPEN requests no more are read from the client.
 */
#include "sidecar/oip_stream.h"

#include "base/mem.h"
#include "sidecar/access_log.h"
#include "sidecar/oip_pb.h"
#include "sidecar/rest.h"

enum { MAX_OPEN = 64 };

struct item {
    struct pt_call call; /* first member */
    struct stream *stream;
    struct item *next;
    struct pt_buf message, reply;
    struct pt_str id;
    size_t bytes_in;
    bool raw, ready;
};

struct stream {
    struct pt_frontend *frontend;
    struct pt_grpc_call *grpc; /* NULL once the client is gone */
    struct item *first, **last;
    unsigned open;
    bool ended; /* the client sends no more */
    bool paused;
    struct pt_trace trace; /* of the call: of every message that does not say otherwise */
    char peer[64];
};

static void free_item(struct item *i)
{
    pt_call_finish(&i->call);
    pt_buf_finish(&i->message);
    pt_buf_finish(&i->reply);
    pt_free(i);
}

/* --- answers -------------------------------------------------------------------------------------------------------------------- */

static int decode(struct pt_call *c, struct pt_err *err)
{
    struct item *i = (struct item *)c;
    int rc = pt_oip_pb_decode(&c->request, (struct pt_str){i->message.data, i->message.len}, &i->raw, err);
    struct pt_trace own;
    if (c->request.traceparent.len && pt_trace_parse(c->request.traceparent, &own) == PT_OK)
        c->trace = own;
    return rc;
}

static int encode(struct pt_call *c, const struct pt_tensor *const *outputs, struct pt_err *err)
{
    struct item *i = (struct item *)c;
    pt_grpc_begin_message(&i->reply);
    size_t response = pt_pb_begin(&i->reply, 2);
    int rc = pt_oip_pb_encode(&c->request, outputs, i->raw, true, &i->reply, err);
    pt_pb_end(&i->reply, response);
    return rc < 0 ? rc : pt_buf_check(&i->reply, "response", err);
}

/* An error is a message of its own, with the id that it belongs to. */
static void write_error(struct item *i)
{
    struct pt_buf *b = &i->reply;
    pt_buf_finish(b);
    pt_grpc_begin_message(b);
    pt_pb_put_bytes(b, 1, i->call.err.msg, strlen(i->call.err.msg));
    size_t response = pt_pb_begin(b, 2);
    if (i->id.len)
        pt_pb_put_bytes(b, 3, i->id.p, i->id.len);
    pt_pb_end(b, response);
}

/* Sends what is ready, and ends the call after the last answer. s may be gone afterwards. */
static void advance(struct stream *s)
{
    for (struct item *i; (i = s->first) && i->ready; free_item(i)) {
        s->first = i->next;
        if (!s->first)
            s->last = &s->first;
        s->open--;
        if (!s->grpc)
            continue;
        if (i->call.rc < 0)
            write_error(i);
        pt_grpc_send(s->grpc, &i->reply); /* a client that is gone is noticed by on_cancel */
    }
    if (s->grpc && s->paused && s->open < MAX_OPEN / 2) {
        s->paused = false;
        pt_grpc_pause(s->grpc, false);
    }
    if (s->first || (s->grpc && !s->ended))
        return;
    if (s->grpc)
        pt_grpc_finish(s->grpc, PT_GRPC_OK, "");
    pt_free(s);
}

/* It has its answer, which may have to wait for those before it. */
static void answered(struct item *i)
{
    i->ready = true;
    pt_access_log_message(i->stream->frontend->access, &i->call, PT_OIP_STREAM_PATH, i->stream->peer, i->bytes_in, i->reply.len);
    advance(i->stream);
}

static void done(struct pt_call *c)
{
    answered((struct item *)c);
}

static const struct pt_call_ops ops = {decode, encode, done};

/* --- the call ------------------------------------------------------------------------------------------------------------------------ */

static void client_gone(void *arg)
{
    struct stream *s = arg;
    s->grpc = NULL;
    for (struct item *i = s->first; i; i = i->next)
        if (!i->ready)
            pt_frontend_cancel(s->frontend, &i->call);
    advance(s); /* what was ready only waited */
}

static struct stream *stream_of(struct pt_frontend *f, struct pt_grpc_call *c)
{
    struct stream *s = pt_grpc_data(c);
    if (s)
        return s;
    s = pt_calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->frontend = f;
    s->grpc = c;
    s->last = &s->first;
    pt_http_peer(pt_grpc_request(c), s->peer);
    pt_trace_of_request(pt_grpc_request(c), &s->trace);
    pt_grpc_set_data(c, s);
    pt_grpc_on_cancel(c, client_gone, s);
    return s;
}

static void out_of_memory(struct pt_grpc_call *c, struct stream *s)
{
    pt_grpc_finish(c, pt_err_grpc(PT_ENOMEM), "out of memory");
    if (s)
        client_gone(s);
}

void pt_oip_stream_message(void *arg, struct pt_grpc_call *c, struct pt_buf *message)
{
    struct stream *s = stream_of(arg, c);
    struct item *i = s ? pt_calloc(1, sizeof *i) : NULL;
    if (!i) {
        out_of_memory(c, s);
        return;
    }
    struct pt_model_ref ref = {0};
    i->stream = s;
    i->message = *message;
    *message = (struct pt_buf){0};
    i->reply = PT_BUF_INIT(PT_MAX_REPLY);
    i->call.ops = &ops;
    i->call.grpc = true;
    i->call.body_bytes = i->message.len;
    i->call.received_ns = pt_clock_mono_ns();
    i->call.trace = s->trace;
    i->bytes_in = i->message.len;
    *s->last = i;
    s->last = &i->next;
    if (++s->open >= MAX_OPEN && !s->paused) {
        s->paused = true;
        pt_grpc_pause(c, true);
    }
    i->call.rc = pt_oip_pb_peek((struct pt_str){i->message.data, i->message.len}, &ref.name, &ref.version, &i->id, &i->call.err);
    if (i->call.rc < 0 || pt_frontend_infer(s->frontend, &ref, &i->call))
        answered(i);
}

void pt_oip_stream_end(void *arg, struct pt_grpc_call *c)
{
    struct stream *s = stream_of(arg, c);
    if (!s) {
        out_of_memory(c, NULL);
        return;
    }
    s->ended = true;
    advance(s);
}
