/* SPDX-License-Identifier: Apache-2.0
 *
 * reader.c: ModelProto, GraphProto, NodeProto and AttributeProto. Each message is walked twice: once to count its lists, once to fill
 * them. Graphs inside attributes are kept, with bounded depth, for control flow.
 */
#include "runtime/onnx/internal.h"

void *pt_onnx_array(struct pt_onnx_reader *r, size_t count, size_t size)
{
    size_t bytes;
    void *p = NULL;
    if (!__builtin_mul_overflow(count, size, &bytes))
        p = pt_arena_alloc(r->arena, bytes ? bytes : 1);
    if (!p) {
        if (r->arena->cap_bytes && r->arena->used_bytes + bytes > r->arena->cap_bytes)
            pt_fail(r->err, PT_ELIMIT, "the model needs more than %zu bytes of memory to be read", r->arena->cap_bytes);
        else
            pt_fail(r->err, PT_ENOMEM, "out of memory reading the model (%zu bytes)", bytes);
    }
    return p;
}

static int code_of(const struct pt_onnx_reader *r)
{
    return r->err && r->err->code < 0 ? r->err->code : PT_EPARSE;
}

int pt_onnx_expect(struct pt_onnx_reader *r, const struct pt_pb_field *f, enum pt_pb_type type, const char *what)
{
    if (f->type == type)
        return PT_OK;
    return pt_fail(r->err, PT_EPARSE, "%s (field %u) has wire type %d instead of %d", what, f->number, (int)f->type, (int)type);
}

int pt_onnx_count_ints(struct pt_onnx_reader *r, const struct pt_pb_field *f, const char *what, size_t *count)
{
    if (f->type == PT_PB_VARINT) {
        ++*count;
        return PT_OK;
    }
    if (pt_onnx_expect(r, f, PT_PB_LEN, what) < 0)
        return PT_EPARSE;
    for (size_t i = 0; i < f->bytes.len; i++)
        *count += !((unsigned char)f->bytes.p[i] & 0x80);
    return PT_OK;
}

int pt_onnx_read_ints(struct pt_onnx_reader *r, const struct pt_pb_field *f, int64_t *out, size_t *n)
{
    if (f->type == PT_PB_VARINT) {
        out[(*n)++] = (int64_t)f->value;
        return PT_OK;
    }
    struct pt_pb_reader in = pt_pb_reader(f->bytes.p, f->bytes.len);
    uint64_t v;
    int rc;
    while ((rc = pt_pb_varint(&in, &v, r->err)) == 1)
        out[(*n)++] = (int64_t)v;
    return rc;
}

/* --- attributes ----------------------------------------------------------------------------------------------------- */

struct attr_counts {
    size_t floats, ints, strings;
};

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

static int read_subgraph(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_graph **out)
{
    if (r->depth >= PT_ONNX_MAX_DEPTH)
        return pt_fail(r->err, PT_ELIMIT, "graphs are nested deeper than %d", PT_ONNX_MAX_DEPTH);
    if (!(*out = pt_onnx_array(r, 1, sizeof **out)))
        return code_of(r);
    r->depth++;
    int rc = pt_onnx_read_graph(r, bytes, *out);
    r->depth--;
    return rc;
}

/* What the fields of an attribute hold before its type says which one counts. */
struct attr_fields {
    int64_t i;
    float f;
    struct pt_str s, tensor, graph;
    bool has_f, has_i, has_s, has_tensor, has_graph;
    int64_t *ints;
    float *floats;
    struct pt_str *strings;
    size_t int_count, float_count, string_count;
    enum pt_attr_type type;
};

static int read_attr_field(struct pt_onnx_reader *r, const struct pt_pb_field *f, struct pt_onnx_attr *out, struct attr_fields *a)
{
    static const enum pt_pb_type wire[] = {[1] = PT_PB_LEN, [2] = PT_PB_I32, [3] = PT_PB_VARINT, [4] = PT_PB_LEN, [5] = PT_PB_LEN, [6] = PT_PB_LEN};
    if (f->number >= 1 && f->number <= 6 && pt_onnx_expect(r, f, wire[f->number], "attribute") < 0)
        return PT_EPARSE;
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
    case 5:
        a->tensor = f->bytes;
        a->has_tensor = true;
        break;
    case 6:
        a->graph = f->bytes;
        a->has_graph = true;
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
        return pt_fail(r->err, PT_EUNSUPPORTED, "references to a function's attributes are not supported yet");
    default:
        break;
    }
    return PT_OK;
}

/* Files before the type field existed say it by which field is there. */
static enum pt_attr_type guess_type(const struct attr_fields *a)
{
    return a->has_f          ? PT_ATTR_FLOAT
           : a->has_i        ? PT_ATTR_INT
           : a->has_s        ? PT_ATTR_STRING
           : a->has_tensor   ? PT_ATTR_TENSOR
           : a->has_graph    ? PT_ATTR_GRAPH
           : a->float_count  ? PT_ATTR_FLOATS
           : a->int_count    ? PT_ATTR_INTS
           : a->string_count ? PT_ATTR_STRINGS
                             : PT_ATTR_NONE;
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
    case PT_ATTR_TENSOR:
        if (!a->has_tensor)
            return pt_fail(r->err, PT_EPARSE, "the tensor is missing");
        if (!(out->t = pt_onnx_array(r, 1, sizeof *out->t)))
            return code_of(r);
        return pt_onnx_read_tensor(r, a->tensor, out->t);
    case PT_ATTR_GRAPH:
        if (!a->has_graph)
            return pt_fail(r->err, PT_EPARSE, "the graph is missing");
        return read_subgraph(r, a->graph, &out->g);
    default: /* kinds that only operators we lack use: the operator is refused by name later */
        return PT_OK;
    }
}

static int read_attr(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_attr *out)
{
    struct attr_counts c = {0};
    struct attr_fields a = {0};
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    int rc = count_attr(r, bytes, &c);
    if (rc < 0)
        return rc;
    if (c.ints && !(a.ints = pt_onnx_array(r, c.ints, sizeof *a.ints)))
        return code_of(r);
    if (c.floats && !(a.floats = pt_onnx_array(r, c.floats, sizeof *a.floats)))
        return code_of(r);
    if (c.strings && !(a.strings = pt_onnx_array(r, c.strings, sizeof *a.strings)))
        return code_of(r);
    while ((rc = pt_pb_next(&in, &f, r->err)) == 1)
        if ((rc = read_attr_field(r, &f, out, &a)) < 0)
            break;
    if (rc == PT_OK)
        rc = set_attr(r, out, &a);
    if (rc < 0 && r->depth == 0)
        pt_wrap(r->err, "attribute '" PT_STR_FMT "'", PT_STR_ARG(out->name));
    return rc;
}

/* --- nodes and graphs ------------------------------------------------------------------------------------------------ */

static struct pt_str domain_of(struct pt_str d)
{
    return pt_str_eq(d, PT_STR("ai.onnx")) ? (struct pt_str){"", 0} : d.p ? d : (struct pt_str){"", 0};
}

/* Counts the length-delimited fields 1..15 of a message. */
static int count_fields(struct pt_onnx_reader *r, struct pt_str bytes, size_t counts[32])
{
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    int rc;
    while ((rc = pt_pb_next(&in, &f, r->err)) == 1)
        if (f.number < 32 && f.type == PT_PB_LEN)
            counts[f.number]++;
    return rc;
}

int pt_onnx_read_node(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_node *out)
{
    size_t n[32] = {0};
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    int rc = count_fields(r, bytes, n);
    if (rc < 0)
        return rc;
    out->inputs = pt_onnx_array(r, n[1], sizeof *out->inputs);
    out->outputs = pt_onnx_array(r, n[2], sizeof *out->outputs);
    out->attrs = pt_onnx_array(r, n[5], sizeof *out->attrs);
    if (!out->inputs || !out->outputs || !out->attrs)
        return code_of(r);
    out->domain = out->name = out->op_type = PT_STR("");
    struct pt_pb_reader names = in;
    while ((rc = pt_pb_next(&names, &f, r->err)) == 1) { /* first, so that errors below can name the node */
        if (f.type != PT_PB_LEN)
            continue;
        if (f.number == 1)
            out->inputs[out->input_count++] = f.bytes;
        else if (f.number == 2)
            out->outputs[out->output_count++] = f.bytes;
        else if (f.number == 3)
            out->name = f.bytes;
        else if (f.number == 4)
            out->op_type = f.bytes;
        else if (f.number == 7)
            out->domain = domain_of(f.bytes);
    }
    if (out->name.len == 0 && out->output_count) /* most exporters name values only */
        out->name = out->outputs[0];
    while (rc == PT_OK && (rc = pt_pb_next(&in, &f, r->err)) == 1) {
        rc = PT_OK;
        if (f.number == 5 && f.type == PT_PB_LEN)
            rc = read_attr(r, f.bytes, &out->attrs[out->attr_count++]);
        if (rc < 0 && r->depth == 0) /* the outermost node is enough: sixteen of them would not leave room for the reason */
            pt_wrap(r->err, "node '" PT_STR_FMT "' (" PT_STR_FMT ")", PT_STR_ARG(out->name), PT_STR_ARG(out->op_type));
        if (rc < 0)
            return rc;
    }
    return rc;
}

int pt_onnx_read_graph(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_graph *out)
{
    size_t n[32] = {0};
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    int rc = count_fields(r, bytes, n);
    if (rc < 0)
        return rc;
    out->nodes = pt_onnx_array(r, n[1], sizeof *out->nodes);
    out->initializers = pt_onnx_array(r, n[5], sizeof *out->initializers);
    out->inputs = pt_onnx_array(r, n[11], sizeof *out->inputs);
    out->outputs = pt_onnx_array(r, n[12], sizeof *out->outputs);
    if (!out->nodes || !out->initializers || !out->inputs || !out->outputs)
        return code_of(r);
    while ((rc = pt_pb_next(&in, &f, r->err)) == 1) {
        rc = PT_OK;
        if (f.type != PT_PB_LEN)
            continue;
        if (f.number == 1)
            rc = pt_onnx_read_node(r, f.bytes, &out->nodes[out->node_count++]);
        else if (f.number == 2)
            out->name = f.bytes;
        else if (f.number == 5)
            rc = pt_onnx_read_tensor(r, f.bytes, &out->initializers[out->initializer_count++]);
        else if (f.number == 11)
            rc = pt_onnx_read_value_info(r, f.bytes, &out->inputs[out->input_count++]);
        else if (f.number == 12)
            rc = pt_onnx_read_value_info(r, f.bytes, &out->outputs[out->output_count++]);
        else if (f.number == 15)
            rc = pt_fail(r->err, PT_EUNSUPPORTED, "sparse initializers are not supported yet");
        if (rc < 0)
            return rc;
    }
    return rc;
}

static int read_opset(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_opset *out)
{
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    int rc;
    out->domain = PT_STR("");
    while ((rc = pt_pb_next(&in, &f, r->err)) == 1) {
        if (f.number == 1 && f.type == PT_PB_LEN)
            out->domain = domain_of(f.bytes);
        else if (f.number == 2 && f.type == PT_PB_VARINT)
            out->version = (int64_t)f.value;
    }
    return rc;
}

static int read_model(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_model *out)
{
    size_t n[32] = {0};
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    bool has_graph = false;
    int rc = count_fields(r, bytes, n);
    if (rc < 0)
        return rc;
    out->producer = PT_STR("");
    if (!(out->opsets = pt_onnx_array(r, n[8], sizeof *out->opsets)))
        return code_of(r);
    while ((rc = pt_pb_next(&in, &f, r->err)) == 1) {
        rc = PT_OK;
        if (f.number == 1 && f.type == PT_PB_VARINT)
            out->ir_version = (int64_t)f.value;
        else if (f.number == 2 && f.type == PT_PB_LEN)
            out->producer = f.bytes;
        else if (f.number == 7 && f.type == PT_PB_LEN) {
            if (has_graph)
                return pt_fail(r->err, PT_EPARSE, "the model has more than one graph");
            has_graph = true;
            rc = pt_onnx_read_graph(r, f.bytes, &out->graph);
        } else if (f.number == 8 && f.type == PT_PB_LEN)
            rc = read_opset(r, f.bytes, &out->opsets[out->opset_count++]);
        else if (f.number == 25 && f.type == PT_PB_LEN)
            rc = pt_fail(r->err, PT_EUNSUPPORTED, "model-local functions are not supported yet");
        if (rc < 0)
            return rc;
    }
    if (rc < 0)
        return rc;
    if (!has_graph)
        return pt_fail(r->err, PT_EPARSE, "not an ONNX model: it has no graph");
    if (out->ir_version < PT_ONNX_MIN_IR || out->ir_version > PT_ONNX_MAX_IR)
        return pt_fail(r->err, PT_EUNSUPPORTED, "IR version %lld is not supported (supported: %d to %d)", (long long)out->ir_version, PT_ONNX_MIN_IR,
                       PT_ONNX_MAX_IR);
    return PT_OK;
}

int pt_onnx_read(const void *data, size_t len, struct pt_arena *arena, struct pt_onnx_model *out, struct pt_err *err)
{
    struct pt_err local = {0};
    struct pt_onnx_reader r = {.arena = arena, .err = err ? err : &local};
    *out = (struct pt_onnx_model){0};
    return read_model(&r, (struct pt_str){data, len}, out);
}
