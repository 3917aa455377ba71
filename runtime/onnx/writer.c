/* SPDX-License-Identifier: Apache-2.0
 *
 * writer.c: the structures of onnx.h as the bytes of a ModelProto: the reader backwards. Tensors are written as raw_data, whatever they came as, and
 * inside the file: external data come home. What the reader skips (documentation of nodes, value_info, quantization annotations) is not there to be
 * written; it changes nothing of what a model computes.
 */
#include "base/pbwire.h"
#include "runtime/onnx/onnx.h"

/* Protocol buffers end at 2 GiB. */
#define MAX_FILE_BYTES INT32_MAX

static void put_str(struct pt_buf *b, uint32_t field, struct pt_str s)
{
    if (s.len)
        pt_pb_put_bytes(b, field, s.p, s.len);
}

static void put_names(struct pt_buf *b, uint32_t field, const struct pt_str *names, size_t count)
{
    for (size_t i = 0; i < count; i++) /* an empty name is an operand that is not given */
        pt_pb_put_bytes(b, field, names[i].p, names[i].len);
}

static void put_tensor(struct pt_buf *b, uint32_t field, struct pt_str name, const struct pt_tensor *t)
{
    size_t at = pt_pb_begin(b, field);
    for (int i = 0; i < t->rank; i++)
        pt_pb_put_varint(b, 1, (uint64_t)t->dims[i]);
    pt_pb_put_varint(b, 2, t->dtype);
    put_str(b, 8, name);
    if (t->dtype == PT_STRING) {
        const struct pt_string *s = t->data;
        for (size_t i = 0; i < t->size_bytes / sizeof *s; i++)
            pt_pb_put_bytes(b, 6, s[i].p, s[i].len);
    } else {
        pt_pb_put_bytes(b, 9, t->data, t->size_bytes);
    }
    pt_pb_end(b, at);
}

/* A SparseTensorProto of those elements that are not zero, by their place in row-major order. */
static int put_sparse(struct pt_buf *b, uint32_t field, const struct pt_onnx_tensor *x, struct pt_err *err)
{
    static const uint8_t zero[16];
    const struct pt_tensor *t = &x->t;
    size_t unit = pt_dtype_bits(t->dtype) / 8, count = 0;
    if (unit == 0)
        return pt_fail(err, PT_EUNSUPPORTED, "a sparse attribute of %s cannot be written", pt_dtype_name(t->dtype));
    pt_auto_buf values = PT_BUF_INIT(MAX_FILE_BYTES), places = PT_BUF_INIT(MAX_FILE_BYTES);
    for (int64_t i = 0, n = pt_tensor_count(t); i < n; i++) {
        const uint8_t *p = (const uint8_t *)t->data + (size_t)i * unit;
        if (memcmp(p, zero, unit) == 0)
            continue;
        pt_buf_append(&values, p, unit);
        pt_buf_append(&places, &i, sizeof i);
        count++;
    }
    int rc = pt_buf_check(&values, "a sparse attribute", err);
    if (rc < 0 || (rc = pt_buf_check(&places, "a sparse attribute", err)) < 0)
        return rc;
    struct pt_tensor v = {.dtype = t->dtype, .rank = 1, .dims = {(int64_t)count}, .data = values.data, .size_bytes = values.len};
    struct pt_tensor at = {.dtype = PT_INT64, .rank = 1, .dims = {(int64_t)count}, .data = places.data, .size_bytes = places.len};
    size_t begun = pt_pb_begin(b, field);
    put_tensor(b, 1, x->name, &v);
    put_tensor(b, 2, PT_STR(""), &at);
    for (int i = 0; i < t->rank; i++)
        pt_pb_put_varint(b, 3, (uint64_t)t->dims[i]);
    pt_pb_end(b, begun);
    return PT_OK;
}

/* --- types ------------------------------------------------------------------------------------------------------------ */

static void put_type(struct pt_buf *b, uint32_t field, const struct pt_onnx_type *t);

static void put_tensor_type(struct pt_buf *b, const struct pt_onnx_type *t)
{
    size_t at = pt_pb_begin(b, 1);
    pt_pb_put_varint(b, 1, t->dtype);
    if (t->rank >= 0) {
        size_t shape = pt_pb_begin(b, 2);
        for (int i = 0; i < t->rank; i++) {
            size_t dim = pt_pb_begin(b, 1);
            if (t->dims[i] >= 0)
                pt_pb_put_varint(b, 1, (uint64_t)t->dims[i]);
            else
                put_str(b, 2, t->dim_names[i]);
            pt_pb_end(b, dim);
        }
        pt_pb_end(b, shape);
    }
    pt_pb_end(b, at);
}

static void put_type(struct pt_buf *b, uint32_t field, const struct pt_onnx_type *t)
{
    size_t at = pt_pb_begin(b, field);
    bool map = t->dtype == PT_MAP;
    if (map || t->dtype == PT_SEQUENCE || t->dtype == PT_OPTIONAL) {
        size_t inner = pt_pb_begin(b, map ? 5 : t->dtype == PT_SEQUENCE ? 4 : 9);
        if (map)
            pt_pb_put_varint(b, 1, t->key_dtype);
        if (t->elem)
            put_type(b, map ? 2 : 1, t->elem);
        pt_pb_end(b, inner);
    } else if (t->dtype != PT_UNDEFINED) {
        put_tensor_type(b, t);
    }
    pt_pb_end(b, at);
}

static void put_value_info(struct pt_buf *b, uint32_t field, const struct pt_onnx_value_info *v)
{
    size_t at = pt_pb_begin(b, field);
    put_str(b, 1, v->name);
    if (v->type.dtype != PT_UNDEFINED)
        put_type(b, 2, &v->type);
    pt_pb_end(b, at);
}

/* --- attributes, nodes, graphs ------------------------------------------------------------------------------------------ */

static int put_graph(struct pt_buf *b, uint32_t field, const struct pt_onnx_graph *g, struct pt_err *err);

static void put_numbers(struct pt_buf *b, const struct pt_onnx_attr *a)
{
    for (size_t i = 0; i < a->count; i++) {
        uint32_t bits;
        if (a->type == PT_ATTR_INTS)
            pt_pb_put_varint(b, 8, (uint64_t)a->ints[i]);
        else
            memcpy(&bits, &a->floats[i], sizeof bits), pt_pb_put_i32(b, 7, bits);
    }
}

static int put_lists(struct pt_buf *b, const struct pt_onnx_attr *a, struct pt_err *err)
{
    int rc = PT_OK;
    for (size_t i = 0; rc == PT_OK && i < a->count; i++) {
        if (a->type == PT_ATTR_TENSORS)
            put_tensor(b, 10, a->t[i].name, &a->t[i].t);
        else if (a->type == PT_ATTR_GRAPHS)
            rc = put_graph(b, 11, &a->g[i], err);
        else if (a->type == PT_ATTR_SPARSE_TENSORS)
            rc = put_sparse(b, 23, &a->t[i], err);
        else
            put_type(b, 15, &a->tp[i]);
    }
    return rc;
}

static int put_value(struct pt_buf *b, const struct pt_onnx_attr *a, struct pt_err *err)
{
    uint32_t bits;
    switch (a->type) {
    case PT_ATTR_FLOAT:
        memcpy(&bits, &a->f, sizeof bits);
        pt_pb_put_i32(b, 2, bits);
        return PT_OK;
    case PT_ATTR_INT:
        pt_pb_put_varint(b, 3, (uint64_t)a->i);
        return PT_OK;
    case PT_ATTR_STRING:
        pt_pb_put_bytes(b, 4, a->s.p, a->s.len);
        return PT_OK;
    case PT_ATTR_TENSOR:
        put_tensor(b, 5, a->t->name, &a->t->t);
        return PT_OK;
    case PT_ATTR_GRAPH:
        return put_graph(b, 6, a->g, err);
    case PT_ATTR_FLOATS:
    case PT_ATTR_INTS:
        put_numbers(b, a);
        return PT_OK;
    case PT_ATTR_STRINGS:
        put_names(b, 9, a->strings, a->count);
        return PT_OK;
    case PT_ATTR_SPARSE_TENSOR:
        return put_sparse(b, 22, a->t, err);
    case PT_ATTR_TYPE_PROTO:
        put_type(b, 14, a->tp);
        return PT_OK;
    case PT_ATTR_NONE:
        return PT_OK;
    default:
        return put_lists(b, a, err);
    }
}

static int put_attr(struct pt_buf *b, uint32_t field, const struct pt_onnx_attr *a, struct pt_err *err)
{
    size_t at = pt_pb_begin(b, field);
    put_str(b, 1, a->name);
    put_str(b, 21, a->ref);
    pt_pb_put_varint(b, 20, a->type);
    int rc = a->ref.p ? PT_OK : put_value(b, a, err);
    pt_pb_end(b, at);
    return rc;
}

static int put_node(struct pt_buf *b, uint32_t field, const struct pt_onnx_node *n, struct pt_err *err)
{
    size_t at = pt_pb_begin(b, field);
    put_names(b, 1, n->inputs, n->input_count);
    put_names(b, 2, n->outputs, n->output_count);
    put_str(b, 3, n->name);
    put_str(b, 4, n->op_type);
    put_str(b, 7, n->domain);
    put_str(b, 8, n->overload);
    int rc = PT_OK;
    for (size_t i = 0; rc == PT_OK && i < n->attr_count; i++)
        rc = put_attr(b, 5, &n->attrs[i], err);
    pt_pb_end(b, at);
    return rc;
}

static int put_graph(struct pt_buf *b, uint32_t field, const struct pt_onnx_graph *g, struct pt_err *err)
{
    size_t at = pt_pb_begin(b, field);
    int rc = PT_OK;
    for (size_t i = 0; rc == PT_OK && i < g->node_count; i++)
        rc = put_node(b, 1, &g->nodes[i], err);
    put_str(b, 2, g->name);
    for (size_t i = 0; i < g->initializer_count; i++)
        put_tensor(b, 5, g->initializers[i].name, &g->initializers[i].t);
    for (size_t i = 0; i < g->input_count; i++)
        put_value_info(b, 11, &g->inputs[i]);
    for (size_t i = 0; i < g->output_count; i++)
        put_value_info(b, 12, &g->outputs[i]);
    pt_pb_end(b, at);
    return rc;
}

static void put_opset(struct pt_buf *b, uint32_t field, const struct pt_onnx_opset *o)
{
    size_t at = pt_pb_begin(b, field);
    put_str(b, 1, o->domain);
    pt_pb_put_varint(b, 2, (uint64_t)o->version);
    pt_pb_end(b, at);
}

static int put_function(struct pt_buf *b, uint32_t field, const struct pt_onnx_function *f, struct pt_err *err)
{
    size_t at = pt_pb_begin(b, field);
    int rc = PT_OK;
    put_str(b, 1, f->name);
    put_names(b, 4, f->inputs, f->input_count);
    put_names(b, 5, f->outputs, f->output_count);
    put_names(b, 6, f->attr_names, f->attr_name_count);
    for (size_t i = 0; rc == PT_OK && i < f->node_count; i++)
        rc = put_node(b, 7, &f->nodes[i], err);
    for (size_t i = 0; i < f->opset_count; i++)
        put_opset(b, 9, &f->opsets[i]);
    put_str(b, 10, f->domain);
    for (size_t i = 0; rc == PT_OK && i < f->attr_count; i++)
        rc = put_attr(b, 11, &f->attrs[i], err);
    put_str(b, 13, f->overload);
    pt_pb_end(b, at);
    return rc;
}

int pt_onnx_write(const struct pt_onnx_model *m, struct pt_buf *out, struct pt_err *err)
{
    size_t cap = out->cap;
    out->cap = cap && cap < MAX_FILE_BYTES ? cap : MAX_FILE_BYTES;
    pt_pb_put_varint(out, 1, (uint64_t)m->ir_version);
    put_str(out, 2, m->producer);
    put_str(out, 3, m->producer_version);
    put_str(out, 4, m->domain);
    if (m->model_version)
        pt_pb_put_varint(out, 5, (uint64_t)m->model_version);
    put_str(out, 6, m->description);
    int rc = put_graph(out, 7, &m->graph, err);
    for (size_t i = 0; i < m->opset_count; i++)
        put_opset(out, 8, &m->opsets[i]);
    for (size_t i = 0; i < m->metadata_count; i++) {
        size_t at = pt_pb_begin(out, 14);
        put_str(out, 1, m->metadata[i].key);
        put_str(out, 2, m->metadata[i].value);
        pt_pb_end(out, at);
    }
    for (size_t i = 0; rc == PT_OK && i < m->function_count; i++)
        rc = put_function(out, 25, &m->functions[i], err);
    out->cap = cap;
    return rc < 0 ? rc : pt_buf_check(out, "the model's file", err);
}
