/* SPDX-License-Identifier: Apache-2.0
 *
 * onnx.h: an ONNX file as C structures, read in place.
 *
 * Strings and raw tensor data are views of the caller's bytes; everything else lives in the caller's arena, whose cap bounds what a
 * hostile file can make us allocate. Lists are counted first and allocated once. Nothing here knows what an operator means: names are
 * resolved by graph/. Fields that Pintle does not use (documentation, quantization annotations) are skipped; what would change the
 * meaning of the model and is not read (external data, sparse initializers, model-local functions) is refused by name.
 */
#ifndef PT_RUNTIME_ONNX_H
#define PT_RUNTIME_ONNX_H

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

struct pt_onnx_attr {
    struct pt_str name;
    enum pt_attr_type type;
    union {
        int64_t i;
        float f;
        struct pt_str s;
        struct pt_onnx_tensor *t;
        struct pt_onnx_graph *g;
        int64_t *ints;
        float *floats;
        struct pt_str *strings;
    };
    size_t count; /* of ints, floats, strings */
};

struct pt_onnx_node {
    struct pt_str name, op_type, domain; /* domain "ai.onnx" is given as "" */
    struct pt_str *inputs, *outputs;     /* an empty name: not given */
    struct pt_onnx_attr *attrs;
    size_t input_count, output_count, attr_count;
};

struct pt_onnx_value_info {
    struct pt_str name;
    bool is_tensor;
    enum pt_dtype dtype;
    int rank; /* -1: no shape */
    int64_t dims[PT_MAX_RANK]; /* -1: not fixed */
    struct pt_str dim_names[PT_MAX_RANK];
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

struct pt_onnx_model {
    int64_t ir_version;
    struct pt_str producer;
    struct pt_onnx_opset *opsets;
    size_t opset_count;
    struct pt_onnx_graph graph;
};

/* Reads a model. The bytes and the arena must outlive *out. */
int pt_onnx_read(const void *data, size_t len, struct pt_arena *arena, struct pt_onnx_model *out, struct pt_err *err);

/* --- file mapping --------------------------------------------------------------------------------------------------- */
struct pt_map_file {
    void *data;
    size_t len;
};
int pt_map_file_open(const char *path, struct pt_map_file *out, struct pt_err *err);
void pt_map_file_close(struct pt_map_file *m);

#endif
