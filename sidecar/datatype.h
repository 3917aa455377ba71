/* SPDX-License-Identifier: Apache-2.0
 *
 * datatype.h: the types of tensor elements that can be served, one row each, with what every protocol calls them.
 */
#ifndef PT_SIDECAR_DATATYPE_H
#define PT_SIDECAR_DATATYPE_H

#include "base/json.h"

#include <pintle/runtime.h>

struct pt_datatype {
    enum pt_dtype dtype;
    const char *name;       /* of the Open Inference Protocol: "FP32"; strings are "BYTES" */
    unsigned width;         /* bytes of an element in binary form; 0: of its own length */
    enum pt_json_elem elem; /* unused for strings */
    unsigned contents;      /* field of InferTensorContents; 0: raw form only */
    unsigned config;        /* Triton\'s model configuration: TYPE_... */
    unsigned tf;            /* tensorflow.DataType */
    unsigned tf_field;      /* field of TensorProto that carries it element by element */
};
extern const struct pt_datatype pt_datatypes[];
extern const size_t pt_datatype_count;

/* NULL when it cannot be served. */
const struct pt_datatype *pt_datatype_of(enum pt_dtype t);
const struct pt_datatype *pt_datatype_named(struct pt_str name);
const struct pt_datatype *pt_datatype_of_tf(uint64_t tf);

#endif
