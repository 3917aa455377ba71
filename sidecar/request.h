/* SPDX-License-Identifier: Apache-2.0
 *
 * request.h: an inference request without its protocol: the model's inputs as tensors, which outputs are wanted and how, and what the
 * client asks of the scheduler. Front ends fill it from their bytes and write their answer from it; batching joins and splits it.
 *
 * Pure data, one owner at a time; whoever has it may be any thread. Memory from pt_request_alloc() lives until pt_request_finish().
 */
#ifndef PT_SIDECAR_REQUEST_H
#define PT_SIDECAR_REQUEST_H

#include "sidecar/datatype.h"

/* What protocols say of a loaded model. Borrowed; outlives its requests. */
struct pt_pad;
struct pt_model_info {
    const char *name, *version;
    const struct pt_value_info *const *inputs, *const *outputs;
    size_t input_count, output_count;
    const struct pt_pad *pads; /* one per input (padding.h); NULL: requests of different lengths are not joined */
    int64_t max_batch;         /* rows along the first dimension that one run takes; 0: requests are not joined */
};
/* PT_EUNSUPPORTED names the first input or output whose type cannot be served. */
int pt_model_info_check(const struct pt_model_info *m, struct pt_err *err);

struct pt_output_wish {
    bool wanted;
    int8_t binary;    /* raw bytes rather than the protocol's text form, where it has both */
    uint32_t classes; /* > 0: the so many highest elements as strings "value:index" */
};

struct pt_request_chunk;
struct pt_request {
    const struct pt_model_info *model;
    struct pt_tensor *inputs;        /* one per input of the model; given exactly if data is not NULL */
    struct pt_output_wish *outputs;  /* one per output of the model */
    struct pt_str id;                /* as the protocol writes it; p NULL without one */
    struct pt_str plain_id;          /* the same without JSON's quotes and escapes: what is asked for by other ways than this protocol */
    uint32_t priority;               /* 0: the default, else 1 is the highest */
    int64_t timeout_us;              /* 0: the server's; most that the client wants it to wait in the queue */
    const char *group_key;           /* the parameter that names the request's group; NULL: none does */
    struct pt_str group;             /* its value, without JSON's quotes and escapes; p NULL without one */
    struct pt_str traceparent;       /* of this message of a stream; p NULL without one */
    bool alone;                      /* not to be joined with others into one run */
    struct pt_request_chunk *chunks; /* its own */
};
/* All outputs are wanted, no input is given. */
int pt_request_init(struct pt_request *q, const struct pt_model_info *m, struct pt_err *err);
void pt_request_finish(struct pt_request *q); /* zeroed memory is fine */
/* 64-byte aligned, not zeroed. NULL out of memory. */
void *pt_request_alloc(struct pt_request *q, size_t bytes);

/* For decoders. Index by name, or PT_EINVAL with a message that lists what there is. */
int pt_request_input_index(const struct pt_request *q, struct pt_str name, struct pt_err *err);
int pt_request_output_index(const struct pt_request *q, struct pt_str name, struct pt_err *err);
/* Sets dtype and shape of input i and size_bytes, if the model takes them; data is still to come. PT_EINVAL names input, wanted and got. */
int pt_request_set_shape(struct pt_request *q, size_t i, const struct pt_datatype *type, const int64_t *dims, int rank, int64_t *count,
                         struct pt_err *err);
/* Binary form of input i, shape set before: a view of the bytes where they are aligned, else a copy. Strings: each with its length before
 * it. The bytes live as long as the request. PT_EINVAL when they are not as many as the shape needs. */
int pt_request_set_raw(struct pt_request *q, size_t i, struct pt_str bytes, struct pt_err *err);
/* A JSON string's bytes: where they stand if they need no decoding, else in memory of the request. */
int pt_request_json_string(struct pt_request *q, struct pt_json *j, struct pt_str *out, struct pt_err *err);
/* Are all inputs given? No output wanted means all. */
int pt_request_check(struct pt_request *q, struct pt_err *err);

/* Binary form of an output appended to b. */
void pt_tensor_put_raw(const struct pt_tensor *t, struct pt_buf *b);
size_t pt_tensor_raw_size(const struct pt_tensor *t);
/* "[1,-1,3]" */
void pt_shape_put(struct pt_buf *b, const int64_t *dims, int rank);
/* The `classes` highest elements of each row (last dimension) of a numeric output as strings "value:index", shape [..., classes]. Memory of q. */
int pt_request_classify(struct pt_request *q, size_t output, const struct pt_tensor *t, struct pt_tensor *out, struct pt_err *err);

#endif
