/* SPDX-License-Identifier: Apache-2.0
 *
 * oip.h: the bodies of the Open Inference Protocol's REST form (v2): requests and responses with JSON tensors and with the binary tensor
 * extension, and what the server says of its models.
 *
 * Pure: no I/O, no model is run.
 */
#ifndef PT_SIDECAR_OIP_H
#define PT_SIDECAR_OIP_H

#include "sidecar/frontend.h"

/* The whole body is JSON: no header Inference-Header-Content-Length. */
#define PT_OIP_ALL_JSON SIZE_MAX

/* Reads a body into an initialised request; the body must live as long as the request. json_bytes: the length of its JSON, which the rest
 * follows as binary tensors; 0: no JSON at all, the body is the only input. PT_EPARSE, PT_EINVAL (a message names input, wanted and got), PT_ENOMEM.
 */
int pt_oip_decode(struct pt_request *q, struct pt_str body, size_t json_bytes, struct pt_err *err);
/* Appends the response to the decoded request; outputs[i] is needed where wanted. *json_bytes <- PT_OIP_ALL_JSON, or the length of the JSON
 * before binary tensors. */
int pt_oip_encode(struct pt_request *q, const struct pt_tensor *const *outputs, struct pt_buf *out, size_t *json_bytes, struct pt_err *err);

/* What the server metadata lists; ends with NULL. */
extern const char *const pt_oip_extensions[];

/* A parameter that asks for what is not there, by any protocol of this family: the message, or NULL. */
const char *pt_oip_refused_parameter(struct pt_str name);

/* GET /v2/models/NAME: versions: all that serve */
void pt_oip_write_metadata(const struct pt_model_info *m, const char *const *versions, size_t version_count, struct pt_buf *out);
/* GET .../config: as Triton writes it */
void pt_oip_write_config(const struct pt_model_view *v, struct pt_buf *out);
/* An element of "model_stats" of GET .../stats */
void pt_oip_write_stats(const struct pt_model_view *v, struct pt_buf *out);
/* An element of the repository index */
void pt_oip_write_index(const struct pt_model_view *v, struct pt_buf *out);
/* READY, LOADING, UNLOADING, UNAVAILABLE */
const char *pt_oip_state(const struct pt_model_view *v);

#endif
