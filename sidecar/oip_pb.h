/* SPDX-License-Identifier: Apache-2.0
 *
 * oip_pb.h: the inference messages of the Open Inference Protocol's gRPC form: ModelInferRequest and ModelInferResponse, with typed and
 * with raw contents. Pure, as oip.h.
 */
#ifndef PT_SIDECAR_OIP_PB_H
#define PT_SIDECAR_OIP_PB_H

#include "base/pbwire.h"
#include "sidecar/request.h"

/* Which model a ModelInferRequest is for; views of the message. */
int pt_oip_pb_peek(struct pt_str message, struct pt_str *name, struct pt_str *version, struct pt_str *id, struct pt_err *err);
/* Into an initialised request; the message must live as long. *raw <- the tensors are in raw_input_contents. */
int pt_oip_pb_decode(struct pt_request *q, struct pt_str message, bool *raw, struct pt_err *err);
/* Appends a ModelInferResponse. raw: in raw_output_contents; it is used anyway when a type has no typed form. final: says that it is the last one
 * of its request, for streams. */
int pt_oip_pb_encode(struct pt_request *q, const struct pt_tensor *const *outputs, bool raw, bool final, struct pt_buf *out, struct pt_err *err);

#endif
