/* SPDX-License-Identifier: Apache-2.0
 *
 * grpc.h: gRPC over the HTTP/2 server: a table of methods, messages in and out, status, deadlines, compression, cancellation.
 *
 * A method gets whole messages and answers each call at once or later, from the loop thread: a unary one with pt_grpc_reply() or
 * pt_grpc_finish(), a streaming one with any number of pt_grpc_send() and then pt_grpc_finish(). The call is gone after reply or finish, and
 * after on_cancel (the client went away, reset the call, or a streaming call's deadline passed), whichever comes first.
 */
#ifndef PT_NET_GRPC_H
#define PT_NET_GRPC_H

#include "net/http_server.h"

/* Status codes that have no error code of ours. */
enum { PT_GRPC_OK = 0, PT_GRPC_UNKNOWN = 2, PT_GRPC_FAILED_PRECONDITION = 9, PT_GRPC_OUT_OF_RANGE = 11, PT_GRPC_UNIMPLEMENTED = 12 };

struct pt_grpc_call;
struct pt_grpc_method {
    const char *path; /* "/package.Service/Method" */
    bool streaming;   /* each message as it comes, any number of answers; else one of each */
    /* The message's memory may be taken out of *m. Its bytes begin at m->data. */
    void (*message)(void *arg, struct pt_grpc_call *c, struct pt_buf *m);
    void (*end)(void *arg, struct pt_grpc_call *c); /* streaming: the client sends no more messages */
};
struct pt_grpc_table {
    const struct pt_grpc_method *methods;
    size_t count;
    void *arg; /* of these methods */
};
struct pt_grpc {
    struct pt_loop *loop;
    const struct pt_grpc_table *tables;
    size_t table_count;
    size_t max_message_bytes; /* received, also after decompression; 0 = 64 MiB */
    int (*authorize)(void *arg, const struct pt_http_request *req, struct pt_err *err); /* of each call's head; NULL: everybody may */
    void *authorize_arg;
    /* its own */
    struct pt_grpc_call *first;
};
/* For pt_http_server_options.on_head: takes the request if it is a gRPC call, else leaves it alone. g outlives the server. */
void pt_grpc_accept(struct pt_grpc *g, struct pt_http_request *req);
/* The methods of a gRPC path that there are, for messages: does any table have this service ("package.Service")? */
bool pt_grpc_has_service(const struct pt_grpc *g, struct pt_str service);

/* Loop time at which the client stops waiting; 0: never. */
int64_t pt_grpc_deadline_ms(const struct pt_grpc_call *c);
const struct pt_http_request *pt_grpc_request(const struct pt_grpc_call *c);
void pt_grpc_set_note(struct pt_grpc_call *c, void *note); /* as pt_http_set_note() */
struct pt_str pt_grpc_metadata(const struct pt_grpc_call *c, const char *name); /* p NULL: absent */
void *pt_grpc_data(const struct pt_grpc_call *c);                               /* what a streaming method keeps with its call */
void pt_grpc_set_data(struct pt_grpc_call *c, void *data);
void pt_grpc_on_cancel(struct pt_grpc_call *c, void (*fn)(void *arg), void *arg);
void pt_grpc_pause(struct pt_grpc_call *c, bool pause);                          /* no more messages for now, as far as flow control reaches */
void pt_grpc_on_drain(struct pt_grpc_call *c, void (*fn)(void *arg), void *arg); /* after PT_EAGAIN */

/* A message is written behind what this puts in front of it. */
void pt_grpc_begin_message(struct pt_buf *b);
/* Takes the buffer's memory; a failed buffer becomes an error status. Ends the call with OK. */
void pt_grpc_reply(struct pt_grpc_call *c, struct pt_buf *message);
/* PT_OK, PT_EAGAIN: taken, but the client is slow; PT_ECANCELED: the client is gone, on_cancel follows; PT_ENOMEM. */
int pt_grpc_send(struct pt_grpc_call *c, struct pt_buf *message);
void pt_grpc_finish(struct pt_grpc_call *c, int status, const char *message);
/* The code's status and message; retry_after_s > 0 goes along as grpc-retry-pushback-ms. */
void pt_grpc_fail(struct pt_grpc_call *c, const struct pt_err *err, int retry_after_s);

/* "100m" -> 100; rounded up to milliseconds. PT_EPARSE. For tests. */
int pt_grpc_parse_timeout(struct pt_str s, int64_t *ms);
/* Percent-encoding of grpc-message. */
void pt_grpc_put_message(struct pt_buf *b, struct pt_str s);

#endif
