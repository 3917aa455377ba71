/* SPDX-License-Identifier: Apache-2.0
 *
 * grpc_front.c: see grpc_front.h.
 */
#include "sidecar/grpc_front.h"

#include "base/mem.h"
#include "sidecar/rest.h"

struct pt_str pt_pb_find_str(const struct pt_buf *message, uint32_t number)
{
    struct pt_pb_reader r = pt_pb_reader(message->data, message->len);
    struct pt_pb_field f;
    struct pt_str found = PT_STR("");
    while (pt_pb_next(&r, &f, NULL) == 1)
        if (f.number == number && f.type == PT_PB_LEN)
            found = f.bytes;
    return found;
}

struct pt_model_ref pt_grpc_ref(const struct pt_buf *message)
{
    return (struct pt_model_ref){.name = pt_pb_find_str(message, 1), .version = pt_pb_find_str(message, 2)};
}

/* --- control ----------------------------------------------------------------------------------------------------------------------- */

struct control {
    struct pt_control control; /* first member */
    struct pt_grpc_call *grpc; /* NULL once the client is gone: the work goes on */
    struct pt_str reply;
};

static void control_answer(struct pt_grpc_call *c, struct pt_str reply, int rc, const struct pt_err *err)
{
    pt_auto_buf message = {0};
    pt_grpc_begin_message(&message);
    pt_buf_append(&message, reply.p, reply.len);
    if (rc < 0)
        pt_grpc_fail(c, err, 0);
    else
        pt_grpc_reply(c, &message);
}

static void control_done(struct pt_control *control)
{
    struct control *c = (struct control *)control;
    if (c->grpc)
        control_answer(c->grpc, c->reply, control->rc, &control->err);
    pt_free(c);
}

static void control_gone(void *arg)
{
    ((struct control *)arg)->grpc = NULL;
}

void pt_grpc_control(struct pt_frontend *f, struct pt_grpc_call *call, struct pt_str what, pt_control_fn fn, struct pt_str reply)
{
    struct pt_err err;
    struct control *c = pt_calloc(1, sizeof *c);
    if (!c) {
        pt_grpc_finish(call, pt_err_grpc(PT_ENOMEM), "out of memory");
        return;
    }
    c->control.done = control_done;
    c->grpc = call;
    c->reply = reply;
    int rc = fn(f, what, &c->control, &err);
    if (rc == PT_EAGAIN) {
        pt_grpc_on_cancel(call, control_gone, c);
        return;
    }
    control_answer(call, reply, rc, &err);
    pt_free(c);
}

/* --- inference --------------------------------------------------------------------------------------------------------------------- */

static int decode(struct pt_call *c, struct pt_err *err)
{
    struct pt_grpc_infer *i = (struct pt_grpc_infer *)c;
    return i->protocol->decode(i, (struct pt_str){i->message.data, i->message.len}, err);
}

static int encode(struct pt_call *c, const struct pt_tensor *const *outputs, struct pt_err *err)
{
    struct pt_grpc_infer *i = (struct pt_grpc_infer *)c;
    pt_grpc_begin_message(&i->reply);
    return i->protocol->encode(i, outputs, err);
}

static void finish(struct pt_grpc_infer *i)
{
    if (i->grpc && i->call.rc == PT_OK)
        pt_grpc_reply(i->grpc, &i->reply);
    else if (i->grpc)
        pt_grpc_fail(i->grpc, &i->call.err, i->call.retry_after_s);
    pt_call_finish(&i->call);
    pt_buf_finish(&i->message);
    pt_buf_finish(&i->reply);
    pt_free(i);
}

static void done(struct pt_call *c)
{
    finish((struct pt_grpc_infer *)c);
}

static void client_gone(void *arg)
{
    struct pt_grpc_infer *i = arg;
    i->grpc = NULL;
    pt_frontend_cancel(i->frontend, &i->call);
}

static const struct pt_call_ops ops = {decode, encode, done};

void pt_grpc_infer(struct pt_frontend *f, struct pt_grpc_call *call, struct pt_buf *message, const struct pt_model_ref *ref,
                   const struct pt_grpc_protocol *protocol, int form)
{
    struct pt_grpc_infer *i = pt_malloc(sizeof *i);
    if (!i) {
        pt_grpc_finish(call, pt_err_grpc(PT_ENOMEM), "out of memory");
        return;
    }
    *i = (struct pt_grpc_infer){
        .frontend = f, .protocol = protocol, .grpc = call, .message = *message, .reply = PT_BUF_INIT(PT_MAX_REPLY), .form = form};
    *message = (struct pt_buf){0}; /* the bytes do not move: ref may point into them */
    i->call.ops = &ops;
    i->call.grpc = true;
    i->call.body_bytes = i->message.len;
    i->call.received_ns = pt_clock_mono_ns();
    i->call.deadline_ms = pt_grpc_deadline_ms(call);
    pt_trace_of_request(pt_grpc_request(call), &i->call.trace);
    pt_grpc_set_note(call, &i->call);
    if (pt_frontend_infer(f, ref, &i->call))
        finish(i);
    else
        pt_grpc_on_cancel(call, client_gone, i);
}
