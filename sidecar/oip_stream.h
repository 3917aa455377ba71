/* SPDX-License-Identifier: Apache-2.0
 *
 * oip_stream.h: ModelStreamInfer: many requests on one call, answered in their order; an error of one is a message and does not end the call.
 */
#ifndef PT_SIDECAR_OIP_STREAM_H
#define PT_SIDECAR_OIP_STREAM_H

#include "net/grpc.h"

#define PT_OIP_STREAM_PATH "/inference.GRPCInferenceService/ModelStreamInfer"
/* For the table of methods; arg is the frontend. */
void pt_oip_stream_message(void *arg, struct pt_grpc_call *c, struct pt_buf *message);
void pt_oip_stream_end(void *arg, struct pt_grpc_call *c);

#endif
