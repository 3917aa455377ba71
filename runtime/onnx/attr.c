/* SPDX-License-Identifier: Apache-2.0
 *
 * attr.c: AttributeProto. Graphs inside attributes are read with bounded depth, for control flow.
 */
#include "runtime/onnx/internal.h"

struct attr_counts {
    size_t floats, ints, strings, messages; /* messages: tensors, graphs and types, in lists or alone */
};

/* Fields that hold one message (5 tensor, 6 graph, 14 type, 22 sparse tensor) or several (10, 11, 15, 23), by the type they make. */
static enum pt_attr_type message_type(uint32_t field)
{
    static const enum pt_attr_type types[24] = {
        [5] = PT_ATTR_TENSOR,      [6] = PT_ATTR_GRAPH,        [10] = PT_ATTR_TENSORS,       [11] = PT_ATTR_GRAPHS,
        [14] = PT_ATTR_TYPE_PROTO, [15] = PT_ATTR_TYPE_PROTOS, [22] = PT_ATTR_SPARSE_TENSOR, [23] = PT_ATTR_SPARSE_TENSORS};
    return field < 24 ? types[field] : PT_ATTR_NONE;
}

static int count_attr(struct pt_onnx_reader *r, struct pt_str bytes, struct attr_counts *c)
{
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    int rc;
    while ((rc = pt_pb_next(&in, &f, r->err)) == 1) {
        if (f.number == 7)
            c->floats += f.type == PT_PB_LEN ? f.bytes.len / 4 : 1;
        else if (f.number == 8 && pt_onnx_count_ints(r, &f, "ints", &c->ints) < 0)
            return PT_EPARSE;
        else if (f.number == 9)
            c->strings++;
        else if (message_type(f.number))
            c->messages++;
    }
    return rc;
}

static int read_floats(struct pt_onnx_reader *r, const struct pt_pb_field *f, float *out, size_t *n)
{
    if (f->type == PT_PB_I32) {
        uint32_t bits = (uint32_t)f->value;
        memcpy(&out[(*n)++], &bits, 4);
        return PT_OK;
    }
    if (pt_onnx_expect(r, f, PT_PB_LEN, "floats") < 0)
        return PT_EPARSE;
    if (f->bytes.len % 4)
        return pt_fail(r->err, PT_EPARSE, "floats of %zu bytes are not a multiple of 4", f->bytes.len);
    if (f->bytes.len)
        memcpy(out + *n, f->bytes.p, f->bytes.len);
    *n += f->bytes.len / 4;
    return PT_OK;
}

static int read_message(struct pt_onnx_reader *r, enum pt_attr_type type, struct pt_str bytes, struct pt_onnx_attr *out, size_t i)
{
    int rc;
    switch (type) {
    case PT_ATTR_TENSOR:
    case PT_ATTR_TENSORS:
        return pt_onnx_read_tensor(r, bytes, &out->t[i]);
    case PT_ATTR_SPARSE_TENSOR:
    case PT_ATTR_SPARSE_TENSORS:
        return pt_onnx_read_sparse(r, bytes, &out->t[i]);
    case PT_ATTR_TYPE_PROTO:
    case PT_ATTR_TYPE_PROTOS:
        return pt_onnx_read_type(r, bytes, &out->tp[i]);
    default:
        if (r->depth >= PT_ONNX_MAX_DEPTH)
            return pt_fail(r->err, PT_ELIMIT, "graphs are nested deeper than %d", PT_ONNX_MAX_DEPTH);
        r->depth++;
        rc = pt_onnx_read_graph(r, bytes, &out->g[i]);
        r->depth--;
        return rc;
    }
}

/* What the fields of an attribute hold before its type says which one counts. */
struct attr_fields {
    int64_t i;
    float f;
    struct pt_str s;
    bool has_f, has_i, has_s;
    int64_t *ints;
    float *floats;
    struct pt_str *strings;
    struct pt_pb_field *messages;
    size_t int_count, float_count, string_count, message_count;
    enum pt_attr_type type;
};

static int read_attr_field(struct pt_onnx_reader *r, const struct pt_pb_field *f, struct pt_onnx_attr *out, struct attr_fields *a)
{
    static const enum pt_pb_type wire[] = {[1] = PT_PB_LEN, [2] = PT_PB_I32, [3] = PT_PB_VARINT, [4] = PT_PB_LEN};
    if ((f->number >= 1 && f->number <= 4 && pt_onnx_expect(r, f, wire[f->number], "attribute") < 0) ||
        (message_type(f->number) && pt_onnx_expect(r, f, PT_PB_LEN, "attribute") < 0))
        return PT_EPARSE;
    if (message_type(f->number))
        a->messages[a->message_count++] = *f;
    uint32_t bits = (uint32_t)f->value;
    switch (f->number) {
    case 1:
        out->name = f->bytes;
        break;
    case 2:
        memcpy(&a->f, &bits, 4);
        a->has_f = true;
        break;
    case 3:
        a->i = (int64_t)f->value;
        a->has_i = true;
        break;
    case 4:
        a->s = f->bytes;
        a->has_s = true;
        break;
    case 7:
        return read_floats(r, f, a->floats, &a->float_count);
    case 8:
        return pt_onnx_read_ints(r, f, a->ints, &a->int_count);
    case 9:
        if (pt_onnx_expect(r, f, PT_PB_LEN, "strings") < 0)
            return PT_EPARSE;
        a->strings[a->string_count++] = f->bytes;
        break;
    case 20:
        if (f->value > PT_ATTR_TYPE_PROTOS)
            return pt_fail(r->err, PT_EPARSE, "type %llu is not a known attribute type", (unsigned long long)f->value);
        a->type = (enum pt_attr_type)f->value;
        break;
    case 21:
        if (pt_onnx_expect(r, f, PT_PB_LEN, "ref_attr_name") < 0)
            return PT_EPARSE;
        out->ref = f->bytes.len ? f->bytes : (struct pt_str){0};
        break;
    default:
        break;
    }
    return PT_OK;
}

/* Files before the type field existed say it by which field is there. */
static enum pt_attr_type guess_type(const struct attr_fields *a)
{
    return a->has_f           ? PT_ATTR_FLOAT
           : a->has_i         ? PT_ATTR_INT
           : a->has_s         ? PT_ATTR_STRING
           : a->float_count   ? PT_ATTR_FLOATS
           : a->int_count     ? PT_ATTR_INTS
           : a->string_count  ? PT_ATTR_STRINGS
           : a->message_count ? message_type(a->messages[0].number)
                              : PT_ATTR_NONE;
}

/* One tensor, graph or type, or a list of them. */
static int set_messages(struct pt_onnx_reader *r, struct pt_onnx_attr *out, const struct attr_fields *a)
{
    bool list =
        out->type == PT_ATTR_TENSORS || out->type == PT_ATTR_GRAPHS || out->type == PT_ATTR_SPARSE_TENSORS || out->type == PT_ATTR_TYPE_PROTOS;
    bool graph = out->type == PT_ATTR_GRAPH || out->type == PT_ATTR_GRAPHS,
         type = out->type == PT_ATTR_TYPE_PROTO || out->type == PT_ATTR_TYPE_PROTOS;
    const struct pt_pb_field *last = NULL;
    size_t size = graph ? sizeof *out->g : type ? sizeof *out->tp : sizeof *out->t, count = 0;
    for (size_t i = 0; i < a->message_count; i++)
        if (message_type(a->messages[i].number) == out->type) {
            last = &a->messages[i];
            count++;
        }
    if (!list && !last)
        return pt_fail(r->err, PT_EPARSE, "the %s is missing", graph ? "graph" : type ? "type" : "tensor");
    if (!(out->t = pt_onnx_array(r, list ? count : 1, size)))
        return pt_onnx_code(r);
    if (!list)
        return read_message(r, out->type, last->bytes, out, 0);
    for (size_t i = 0; i < a->message_count; i++) {
        if (message_type(a->messages[i].number) != out->type)
            continue;
        int rc = read_message(r, out->type, a->messages[i].bytes, out, out->count++);
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

static int set_attr(struct pt_onnx_reader *r, struct pt_onnx_attr *out, struct attr_fields *a)
{
    out->type = a->type ? a->type : guess_type(a);
    switch (out->type) {
    case PT_ATTR_FLOAT:
        out->f = a->f;
        return PT_OK;
    case PT_ATTR_INT:
        out->i = a->i;
        return PT_OK;
    case PT_ATTR_STRING:
        out->s = a->s;
        return PT_OK;
    case PT_ATTR_FLOATS:
        out->floats = a->floats;
        out->count = a->float_count;
        return PT_OK;
    case PT_ATTR_INTS:
        out->ints = a->ints;
        out->count = a->int_count;
        return PT_OK;
    case PT_ATTR_STRINGS:
        out->strings = a->strings;
        out->count = a->string_count;
        return PT_OK;
    case PT_ATTR_NONE:
        return PT_OK; /* a reference, or empty: whoever asks for it will say that it has no value */
    default:
        return set_messages(r, out, a);
    }
}

int pt_onnx_read_attr(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_attr *out)
{
    struct attr_counts c = {0};
    struct attr_fields a = {0};
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    int rc = count_attr(r, bytes, &c);
    if (rc < 0)
        return rc;
    if (c.ints && !(a.ints = pt_onnx_array(r, c.ints, sizeof *a.ints)))
        return pt_onnx_code(r);
    if (c.floats && !(a.floats = pt_onnx_array(r, c.floats, sizeof *a.floats)))
        return pt_onnx_code(r);
    if (c.messages && !(a.messages = pt_onnx_array(r, c.messages, sizeof *a.messages)))
        return pt_onnx_code(r);
    if (c.strings && !(a.strings = pt_onnx_array(r, c.strings, sizeof *a.strings)))
        return pt_onnx_code(r);
    while ((rc = pt_pb_next(&in, &f, r->err)) == 1)
        if ((rc = read_attr_field(r, &f, out, &a)) < 0)
            break;
    if (rc == PT_OK)
        rc = set_attr(r, out, &a);
    if (rc < 0 && r->depth == 0)
        pt_wrap(r->err, "attribute '" PT_STR_FMT "'", PT_STR_ARG(out->name));
    return rc;
}
