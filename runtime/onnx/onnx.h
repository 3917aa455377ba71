/* SPDX-License-Identifier: Apache-2.0
 *
 * onnx.h: an ONNX file as C structures, read in place.
 *
 * Strings and raw tensor data are views of the caller's bytes; everything else lives in the caller's arena, whose cap bounds what a
 * hostile file can make us allocate. Lists are counted first and allocated once. Nothing here knows what an operator means: names are
 * resolved by graph/. Fields that Pintle does not use (documentation, quantization annotations) are skipped.
 *
 * Tensors in other files are views of those files, which are mapped as the model is; they must lie in the model's folder or below it, also after
 * following links. A sparse tensor is made dense, within what the arena's cap allows.
 */
#ifndef PT_RUNTIME_ONNX_H
#define PT_RUNTIME_ONNX_H

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "runtime/tensor.h"

#define PT_ONNX_MIN_IR 3
#define PT_ONNX_MAX_IR 13
#define PT_ONNX_MAX_DEPTH 16 /* of graphs inside attributes */

/* AttributeProto.AttributeType */
enum pt_attr_type {
    PT_ATTR_NONE = 0, PT_ATTR_FLOAT = 1, PT_ATTR_INT = 2, PT_ATTR_STRING = 3, PT_ATTR_TENSOR = 4, PT_ATTR_GRAPH = 5, PT_ATTR_FLOATS = 6,
    PT_ATTR_INTS = 7, PT_ATTR_STRINGS = 8, PT_ATTR_TENSORS = 9, PT_ATTR_GRAPHS = 10, PT_ATTR_SPARSE_TENSOR = 11, PT_ATTR_SPARSE_TENSORS = 12,
    PT_ATTR_TYPE_PROTO = 13, PT_ATTR_TYPE_PROTOS = 14
};

struct pt_onnx_tensor {
    struct pt_str name;
    struct pt_tensor t; /* data may lie unaligned in the file; PT_STRING: array of struct pt_string */
};

/* The type of a value. */
struct pt_onnx_type {
    enum pt_dtype dtype;             /* of a tensor's elements, or PT_SEQUENCE, PT_OPTIONAL, PT_MAP; PT_UNDEFINED: not said, or one that we do not know */
    enum pt_dtype key_dtype;         /* PT_MAP */
    const struct pt_onnx_type *elem; /* what a sequence or optional holds, a map's values; may be NULL */
    int rank;                        /* -1: no shape */
    int64_t dims[PT_MAX_RANK];       /* -1: not fixed */
    struct pt_str dim_names[PT_MAX_RANK];
};

struct pt_onnx_attr {
    struct pt_str name;
    struct pt_str ref; /* inside a function: the attribute of the call that is meant; p NULL: none */
    enum pt_attr_type type;
    union {
        int64_t i;
        float f;
        struct pt_str s;
        struct pt_onnx_tensor *t; /* also of PT_ATTR_TENSORS and the two sparse kinds (made dense): count of them */
        struct pt_onnx_graph *g;  /* also of PT_ATTR_GRAPHS */
        struct pt_onnx_type *tp;  /* also of PT_ATTR_TYPE_PROTOS */
        int64_t *ints;
        float *floats;
        struct pt_str *strings;
    };
    size_t count; /* of a list */
};

struct pt_onnx_node {
    struct pt_str name, op_type, domain, overload; /* domain "ai.onnx" is given as "" */
    struct pt_str *inputs, *outputs;     /* an empty name: not given */
    struct pt_onnx_attr *attrs;
    size_t input_count, output_count, attr_count;
};

struct pt_onnx_value_info {
    struct pt_str name;
    struct pt_onnx_type type;
};

struct pt_onnx_graph {
    struct pt_str name;
    struct pt_onnx_node *nodes;
    struct pt_onnx_tensor *initializers;
    struct pt_onnx_value_info *inputs, *outputs;
    size_t node_count, initializer_count, input_count, output_count;
};

struct pt_onnx_opset {
    struct pt_str domain;
    int64_t version;
};

/* A model-local function: nodes that stand for a call. */
struct pt_onnx_function {
    struct pt_str name, domain, overload;
    struct pt_str *inputs, *outputs, *attr_names;
    struct pt_onnx_attr *attrs; /* those with a default */
    struct pt_onnx_node *nodes;
    struct pt_onnx_opset *opsets;
    size_t input_count, output_count, attr_name_count, attr_count, node_count, opset_count;
};

struct pt_onnx_pair {
    struct pt_str key, value;
};

struct pt_onnx_model {
    int64_t ir_version;
    struct pt_str producer, producer_version, domain, description;
    int64_t model_version;
    struct pt_onnx_pair *metadata;
    size_t metadata_count;
    struct pt_onnx_opset *opsets;
    struct pt_onnx_function *functions;
    size_t opset_count, function_count;
    struct pt_onnx_graph graph;
};

/* --- file mapping --------------------------------------------------------------------------------------------------- */
struct pt_map_file {
    void *data;
    size_t len;
};
int pt_map_file_open(const char *path, struct pt_map_file *out, struct pt_err *err);
void pt_map_file_close(struct pt_map_file *m);

/* The files beside a model that hold tensors of it, each mapped when first named. */
struct pt_onnx_files {
    const char *folder; /* where they are looked for; NULL: a model that names one is refused */
    struct pt_onnx_file *list;
};
/* [offset, offset + len) of the file `location`, len -1: to its end. sha1: 40 hexadecimal digits of the whole file, or empty. */
int pt_onnx_files_get(struct pt_onnx_files *f, struct pt_str location, int64_t offset, int64_t len, struct pt_str sha1, struct pt_str *out,
                      struct pt_err *err);
/* Each file that is open, the latest first; fn's result ends it if it is not 0. */
int pt_onnx_files_each(const struct pt_onnx_files *f, int (*fn)(void *arg, const void *data, size_t len), void *arg);
void pt_onnx_files_close(struct pt_onnx_files *f);
/* SHA-1 (FIPS 180-4), 20 bytes. */
void pt_sha1(const void *data, size_t len, uint8_t out[20]);

/* --- reading --------------------------------------------------------------------------------------------------------- */
/* Reads a model. The bytes, the arena and the files must outlive *out. files may be NULL. */
int pt_onnx_read(const void *data, size_t len, struct pt_arena *arena, struct pt_onnx_files *files, struct pt_onnx_model *out, struct pt_err *err);
/* A TensorProto, SequenceProto, OptionalProto or MapProto, as `kind` says (PT_SEQUENCE, PT_OPTIONAL, PT_MAP, else a tensor), with all it holds
 * in the arena, aligned for its type. name (may be NULL): the proto's. */
int pt_onnx_read_value(const void *data, size_t len, enum pt_dtype kind, struct pt_arena *arena, struct pt_tensor *out, struct pt_str *name,
                       struct pt_err *err);

/* --- writing ------------------------------------------------------------------------------------------------------------ */
/* Appends the model as the bytes of a file. PT_ELIMIT over 2 GiB, which no protocol buffer can be. */
int pt_onnx_write(const struct pt_onnx_model *m, struct pt_buf *out, struct pt_err *err);

#endif
