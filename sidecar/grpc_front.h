/* SPDX-License-Identifier: Apache-2.0
 *
 * grpc_front.h: the gRPC front ends: one table of methods per protocol, all with the frontend as their arg, and what they share.
 */
#ifndef PT_SIDECAR_GRPC_FRONT_H
#define PT_SIDECAR_GRPC_FRONT_H

#include "net/grpc.h"
#include "sidecar/frontend.h"
#include "sidecar/pbtensor.h"

extern const struct pt_grpc_method pt_oip_grpc_methods[], pt_tfs_grpc_methods[], pt_health_grpc_methods[], pt_reflection_grpc_methods[];
extern const size_t pt_oip_grpc_method_count, pt_tfs_grpc_method_count, pt_health_grpc_method_count, pt_reflection_grpc_method_count;

/* Field of a message that is a string; empty when absent. */
struct pt_str pt_pb_find_str(const struct pt_buf *message, uint32_t number);
/* Name and version, as most requests of the Open Inference Protocol begin. */
struct pt_model_ref pt_grpc_ref(const struct pt_buf *message);

/* Loads or unloads what `what` says (a name, a message): the reply, a literal, when it is done. */
typedef int (*pt_control_fn)(struct pt_frontend *f, struct pt_str what, struct pt_control *c, struct pt_err *err);
void pt_grpc_control(struct pt_frontend *f, struct pt_grpc_call *c, struct pt_str what, pt_control_fn fn, struct pt_str reply);

/* --- a unary inference ---------------------------------------------------------------------------------------------------------- */

struct pt_grpc_infer;
struct pt_grpc_protocol {
    int (*decode)(struct pt_grpc_infer *i, struct pt_str message, struct pt_err *err);
    int (*encode)(struct pt_grpc_infer *i, const struct pt_tensor *const *outputs, struct pt_err *err); /* appends to reply */
};
struct pt_grpc_infer {
    struct pt_call call; /* first member */
    struct pt_frontend *frontend;
    const struct pt_grpc_protocol *protocol;
    struct pt_grpc_call *grpc; /* NULL once the client is gone */
    struct pt_buf message, reply;
    bool raw; /* of the Open Inference Protocol */
    int form; /* of TF Serving: which method */
    struct pt_str signature;
};
/* Takes the message's memory and answers the call, sooner or later. */
void pt_grpc_infer(struct pt_frontend *f, struct pt_grpc_call *call, struct pt_buf *message, const struct pt_model_ref *ref,
                   const struct pt_grpc_protocol *protocol, int form);

#endif
