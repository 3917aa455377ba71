/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h: what the files of the ONNX reader share.
 */
#ifndef PT_RUNTIME_ONNX_INTERNAL_H
#define PT_RUNTIME_ONNX_INTERNAL_H

#include "base/pbwire.h"
#include "runtime/onnx/onnx.h"

struct pt_onnx_reader {
    struct pt_arena *arena;
    struct pt_onnx_files *files; /* or NULL */
    int depth;                   /* of nested graphs, types or values */
    struct pt_err *err;
};

/* Zeroed array of count elements, never NULL for count 0; NULL with PT_ELIMIT written when the model needs more than its arena's cap. */
void *pt_onnx_array(struct pt_onnx_reader *r, size_t count, size_t size);
/* A field must have the wire type its number has in onnx.proto. */
int pt_onnx_expect(struct pt_onnx_reader *r, const struct pt_pb_field *f, enum pt_pb_type type, const char *what);
/* Repeated integers: adds the number of values of this field (packed or not) to *count. */
int pt_onnx_count_ints(struct pt_onnx_reader *r, const struct pt_pb_field *f, const char *what, size_t *count);
/* The same field again: appends its values to out[*n]. */
int pt_onnx_read_ints(struct pt_onnx_reader *r, const struct pt_pb_field *f, int64_t *out, size_t *n);

int pt_onnx_read_tensor(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_tensor *out);
int pt_onnx_read_sparse(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_tensor *out);
int pt_onnx_read_type(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_type *out);
int pt_onnx_read_function(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_function *out);
int pt_onnx_read_attr(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_attr *out);
/* Counts the length-delimited fields 0..31 of a message. */
int pt_onnx_count_fields(struct pt_onnx_reader *r, struct pt_str bytes, size_t counts[32]);
int pt_onnx_code(const struct pt_onnx_reader *r); /* of the failure that was written */
int pt_onnx_read_value_info(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_value_info *out);
int pt_onnx_read_node(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_node *out);
int pt_onnx_read_graph(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_graph *out);

#endif
