/* SPDX-License-Identifier: Apache-2.0
 *
 * reader.c: ModelProto, FunctionProto, GraphProto and NodeProto. Each message is walked twice: once to count its lists, once to fill them.
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

int pt_onnx_code(const struct pt_onnx_reader *r)
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

/* --- nodes and graphs ------------------------------------------------------------------------------------------------ */

static struct pt_str domain_of(struct pt_str d)
{
    return pt_str_eq(d, PT_STR("ai.onnx")) ? (struct pt_str){"", 0} : d.p ? d : (struct pt_str){"", 0};
}

int pt_onnx_count_fields(struct pt_onnx_reader *r, struct pt_str bytes, size_t counts[32])
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
    int rc = pt_onnx_count_fields(r, bytes, n);
    if (rc < 0)
        return rc;
    out->inputs = pt_onnx_array(r, n[1], sizeof *out->inputs);
    out->outputs = pt_onnx_array(r, n[2], sizeof *out->outputs);
    out->attrs = pt_onnx_array(r, n[5], sizeof *out->attrs);
    if (!out->inputs || !out->outputs || !out->attrs)
        return pt_onnx_code(r);
    out->domain = out->name = out->op_type = out->overload = PT_STR("");
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
        else if (f.number == 8)
            out->overload = f.bytes;
    }
    if (out->name.len == 0 && out->output_count) /* most exporters name values only */
        out->name = out->outputs[0];
    while (rc == PT_OK && (rc = pt_pb_next(&in, &f, r->err)) == 1) {
        rc = PT_OK;
        if (f.number == 5 && f.type == PT_PB_LEN)
            rc = pt_onnx_read_attr(r, f.bytes, &out->attrs[out->attr_count++]);
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
    int rc = pt_onnx_count_fields(r, bytes, n);
    if (rc < 0)
        return rc;
    out->nodes = pt_onnx_array(r, n[1], sizeof *out->nodes);
    out->initializers = pt_onnx_array(r, n[5] + n[15], sizeof *out->initializers);
    out->inputs = pt_onnx_array(r, n[11], sizeof *out->inputs);
    out->outputs = pt_onnx_array(r, n[12], sizeof *out->outputs);
    if (!out->nodes || !out->initializers || !out->inputs || !out->outputs)
        return pt_onnx_code(r);
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
            rc = pt_onnx_read_sparse(r, f.bytes, &out->initializers[out->initializer_count++]);
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

/* The functions of a model: names first, so that errors can say which. */
int pt_onnx_read_function(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_function *out)
{
    size_t n[32] = {0};
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len), again = in;
    struct pt_pb_field f;
    int rc = pt_onnx_count_fields(r, bytes, n);
    if (rc < 0)
        return rc;
    *out = (struct pt_onnx_function){.name = PT_STR(""), .domain = PT_STR(""), .overload = PT_STR("")};
    out->inputs = pt_onnx_array(r, n[4], sizeof *out->inputs);
    out->outputs = pt_onnx_array(r, n[5], sizeof *out->outputs);
    out->attr_names = pt_onnx_array(r, n[6], sizeof *out->attr_names);
    out->nodes = pt_onnx_array(r, n[7], sizeof *out->nodes);
    out->opsets = pt_onnx_array(r, n[9], sizeof *out->opsets);
    out->attrs = pt_onnx_array(r, n[11], sizeof *out->attrs);
    if (!out->inputs || !out->outputs || !out->attr_names || !out->nodes || !out->opsets || !out->attrs)
        return pt_onnx_code(r);
    while ((rc = pt_pb_next(&in, &f, r->err)) == 1) {
        if (f.type != PT_PB_LEN)
            continue;
        if (f.number == 1)
            out->name = f.bytes;
        else if (f.number == 4)
            out->inputs[out->input_count++] = f.bytes;
        else if (f.number == 5)
            out->outputs[out->output_count++] = f.bytes;
        else if (f.number == 6)
            out->attr_names[out->attr_name_count++] = f.bytes;
        else if (f.number == 10)
            out->domain = domain_of(f.bytes);
        else if (f.number == 13)
            out->overload = f.bytes;
    }
    while (rc == PT_OK && (rc = pt_pb_next(&again, &f, r->err)) == 1) {
        rc = PT_OK;
        if (f.type != PT_PB_LEN)
            continue;
        if (f.number == 7)
            rc = pt_onnx_read_node(r, f.bytes, &out->nodes[out->node_count++]);
        else if (f.number == 9)
            rc = read_opset(r, f.bytes, &out->opsets[out->opset_count++]);
        else if (f.number == 11)
            rc = pt_onnx_read_attr(r, f.bytes, &out->attrs[out->attr_count++]);
        if (rc < 0)
            pt_wrap(r->err, "function '" PT_STR_FMT "'", PT_STR_ARG(out->name));
    }
    return rc;
}

static int read_pair(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_pair *out)
{
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    int rc;
    *out = (struct pt_onnx_pair){PT_STR(""), PT_STR("")};
    while ((rc = pt_pb_next(&in, &f, r->err)) == 1)
        if (f.type == PT_PB_LEN && (f.number == 1 || f.number == 2))
            *(f.number == 1 ? &out->key : &out->value) = f.bytes;
    return rc;
}

/* What describes the model and does not change what it computes. */
static int read_about(struct pt_onnx_reader *r, const struct pt_pb_field *f, struct pt_onnx_model *out)
{
    struct pt_str *const texts[] = {[2] = &out->producer, [3] = &out->producer_version, [4] = &out->domain, [6] = &out->description};
    if (f->number == 5 && f->type == PT_PB_VARINT)
        out->model_version = (int64_t)f->value;
    else if (f->number == 14 && f->type == PT_PB_LEN)
        return read_pair(r, f->bytes, &out->metadata[out->metadata_count++]);
    else if (f->number < sizeof texts / sizeof *texts && texts[f->number] && f->type == PT_PB_LEN)
        *texts[f->number] = f->bytes;
    return PT_OK;
}

static int read_model(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_model *out)
{
    size_t n[32] = {0};
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    bool has_graph = false;
    int rc = pt_onnx_count_fields(r, bytes, n);
    if (rc < 0)
        return rc;
    out->producer = out->producer_version = out->domain = out->description = PT_STR("");
    if (!(out->metadata = pt_onnx_array(r, n[14], sizeof *out->metadata)) || !(out->opsets = pt_onnx_array(r, n[8], sizeof *out->opsets)) || !(out->functions = pt_onnx_array(r, n[25], sizeof *out->functions)))
        return pt_onnx_code(r);
    while ((rc = pt_pb_next(&in, &f, r->err)) == 1) {
        rc = PT_OK;
        if (f.number == 1 && f.type == PT_PB_VARINT)
            out->ir_version = (int64_t)f.value;
        else if (f.number == 7 && f.type == PT_PB_LEN) {
            if (has_graph)
                return pt_fail(r->err, PT_EPARSE, "the model has more than one graph");
            has_graph = true;
            rc = pt_onnx_read_graph(r, f.bytes, &out->graph);
        } else if (f.number == 8 && f.type == PT_PB_LEN)
            rc = read_opset(r, f.bytes, &out->opsets[out->opset_count++]);
        else if (f.number == 25 && f.type == PT_PB_LEN)
            rc = pt_onnx_read_function(r, f.bytes, &out->functions[out->function_count++]);
        else
            rc = read_about(r, &f, out);
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

int pt_onnx_read(const void *data, size_t len, struct pt_arena *arena, struct pt_onnx_files *files, struct pt_onnx_model *out, struct pt_err *err)
{
    struct pt_err local = {0};
    struct pt_onnx_reader r = {.arena = arena, .files = files, .err = err ? err : &local};
    *out = (struct pt_onnx_model){0};
    return read_model(&r, (struct pt_str){data, len}, out);
}
