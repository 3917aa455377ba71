/* SPDX-License-Identifier: Apache-2.0
 *
 * tensor_file.h: tensors in files: NumPy's .npy and ONNX's TensorProto (.pb). The parsers work on bytes in memory, meet any input and do no
 * I/O; what they make owns its memory.
 */
#ifndef PT_CLI_TENSOR_FILE_H
#define PT_CLI_TENSOR_FILE_H

#include "base/buf.h"
#include "pintle/runtime.h"

/* t.data is owned, 64-byte aligned; the strings of a PT_STRING tensor point into text. What a sequence, optional or map holds is owned by parts.
 * Zeroed is empty. */
struct pt_tensor_file {
    struct pt_tensor t;
    char *text;
    struct pt_tensor_file *parts;
    struct pt_tensor *items; /* of a sequence or optional: the parts' tensors side by side */
    size_t part_count;
};
void pt_tensor_file_finish(struct pt_tensor_file *f);
/* Sets dtype, dims and zeroed data of the size they need, for the caller to fill. PT_ELIMIT when that overflows, PT_ENOMEM. */
int pt_tensor_file_alloc(struct pt_tensor_file *f, enum pt_dtype dtype, int rank, const int64_t *dims, struct pt_err *err);
/* Bytes of count elements; false on overflow. Below 8 bits the last byte is filled up. */
bool pt_tensor_bytes(enum pt_dtype dtype, int64_t count, size_t *bytes);

/* Versions 1 to 3, both byte orders and both element orders; booleans, integers, floats, complex, byte strings (S) and text (U). Structured and
 * pickled arrays are PT_EUNSUPPORTED. */
int pt_npy_parse(const void *bytes, size_t len, struct pt_tensor_file *out, struct pt_err *err);
/* Appends t; PT_EUNSUPPORTED for types that NumPy lacks (bfloat16, float8, 4 and 2 bits). Strings become text (U). */
int pt_npy_write(struct pt_buf *out, const struct pt_tensor *t, struct pt_err *err);

/* External data and segments are PT_EUNSUPPORTED. */
int pt_tensor_pb_parse(const void *bytes, size_t len, struct pt_tensor_file *out, struct pt_err *err);
int pt_tensor_pb_write(struct pt_buf *out, const struct pt_tensor *t, const char *name, struct pt_err *err);

/* The same for the kinds of value: a SequenceProto, OptionalProto or MapProto as kind says, else a TensorProto. */
int pt_value_pb_parse(const void *bytes, size_t len, enum pt_dtype kind, struct pt_tensor_file *out, struct pt_err *err);
int pt_value_pb_write(struct pt_buf *out, const struct pt_tensor *t, const char *name, struct pt_err *err);
/* A map as a JSON object, or a sequence of maps as an array of them. Numbers that JSON lacks (NaN, infinities) are null. */
int pt_map_json_write(struct pt_buf *out, const struct pt_tensor *t, struct pt_err *err);
bool pt_is_map_or_maps(const struct pt_tensor *t);

/* Reads path by its ending, .npy or .pb, for an input that the model declares as info says (NULL: a tensor). An optional takes a .npy as its value. */
int pt_value_file_read(const char *path, const struct pt_value_info *info, struct pt_tensor_file *out, struct pt_err *err);
int pt_tensor_file_read(const char *path, struct pt_tensor_file *out, struct pt_err *err);
/* Fills with N(0, 1) for floats, 1 for integers and booleans, "" for strings; PT_EUNSUPPORTED for floats below 16 bits. */
int pt_tensor_file_fill(struct pt_tensor_file *f, struct pt_err *err);

#endif
