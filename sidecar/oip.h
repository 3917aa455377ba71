/* SPDX-License-Identifier: Apache-2.0
 *
 * oip.h: the Open Inference Protocol's REST form (v2): request and response bodies with JSON tensors.
 *
 * Pure: no I/O, no model is run. A request object belongs to one thread at a time and is used again for the next request of the same
 * model, so that a steady load allocates nothing for inputs.
 */
#ifndef PT_SIDECAR_OIP_H
#define PT_SIDECAR_OIP_H

#include "base/buf.h"

#include <pintle/runtime.h>

/* What the protocol says of a model. Everything is borrowed and outlives its requests. */
struct pt_oip_model {
    const char *name, *version;
    const struct pt_value_info *const *inputs, *const *outputs;
    size_t input_count, output_count;
};
/* PT_EUNSUPPORTED names the first input or output whose type JSON tensors cannot carry. */
int pt_oip_check_model(const struct pt_oip_model *m, struct pt_err *err);
/* GET /v2/models/NAME */
void pt_oip_write_metadata(const struct pt_oip_model *m, struct pt_buf *out);

struct pt_oip_request {
    const struct pt_oip_model *model;
    struct pt_tensor *inputs; /* one per input of the model; data is this object's memory */
    bool *wanted;             /* one per output of the model */
    struct pt_str id;         /* JSON text of the string, quotes included, within the body; p NULL without one */
    size_t *room;             /* bytes behind inputs[i].data */
    bool *given;
    struct pt_buf scratch;
};
int pt_oip_request_init(struct pt_oip_request *q, const struct pt_oip_model *m, struct pt_err *err);
void pt_oip_request_finish(struct pt_oip_request *q); /* zeroed memory is fine */
/* Reads a body, which must live until the response is written. PT_EPARSE, PT_EINVAL (a message names input, wanted and got), PT_ENOMEM. */
int pt_oip_decode(struct pt_oip_request *q, struct pt_str body, struct pt_err *err);
/* Appends the response to the decoded request; outputs[i] is needed where wanted[i]. */
int pt_oip_encode(const struct pt_oip_request *q, const struct pt_tensor *const *outputs, struct pt_buf *out, struct pt_err *err);
/* Gives back the memory of unusually large inputs. */
void pt_oip_request_trim(struct pt_oip_request *q);

#endif
