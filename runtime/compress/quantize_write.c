/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/compress/quantize_write.h"

#include <stdio.h>
#include <string.h>

static void fail(struct pt_qz_writer *w, int code)
{
    if (!w->failed && w->err->code == 0)
        pt_fail(w->err, code < 0 ? code : PT_ENOMEM, "out of memory quantising the model");
    w->failed = true;
}

static void take_name(struct pt_qz_writer *w, struct pt_str name)
{
    if (!w->failed && pt_map_set(&w->names, name, w, NULL, w->err) < 0)
        fail(w, PT_ENOMEM);
}

int pt_qz_writer_init(struct pt_qz_writer *w, struct pt_edit *e, struct pt_err *err)
{
    const struct pt_onnx_graph *g = &e->model.graph;
    *w = (struct pt_qz_writer){.e = e, .err = err};
    err->code = 0;
    for (size_t i = 0; i < g->input_count; i++)
        take_name(w, g->inputs[i].name);
    for (size_t i = 0; i < g->initializer_count; i++)
        take_name(w, g->initializers[i].name);
    for (size_t i = 0; i < g->node_count; i++) {
        take_name(w, g->nodes[i].name); /* names of nodes are a set of their own; new ones are in neither */
        for (size_t k = 0; k < g->nodes[i].output_count; k++)
            take_name(w, g->nodes[i].outputs[k]);
    }
    return w->failed ? err->code : PT_OK;
}

void pt_qz_writer_finish(struct pt_qz_writer *w)
{
    pt_map_finish(&w->names);
}

/* Passes over the list, each taking every node whose operands are all there: as many passes as new nodes follow one upon the other. */
static int sort(struct pt_edit *e, struct pt_err *err)
{
    struct pt_onnx_graph *g = &e->model.graph;
    int rc = PT_OK;
    pt_auto_free int *waits = pt_calloc(g->node_count + 1, sizeof *waits);
    pt_auto_free bool *done = pt_calloc(g->node_count + 1, sizeof *done);
    struct pt_onnx_node *sorted = waits && done ? pt_edit_alloc(e, g->node_count * sizeof *sorted, err) : NULL;
    if (!sorted || (!pt_edit_value(e, PT_STR("?"), &rc) && rc == PT_ENOMEM))
        return pt_fail(err, PT_ENOMEM, "out of memory quantising the model");
    for (size_t i = 0; i < g->node_count; i++)
        for (size_t k = 0; k < g->nodes[i].output_count; k++) {
            const struct pt_edit_value *v = pt_edit_value(e, g->nodes[i].outputs[k], NULL);
            for (int r = 0; v && r < v->reader_count; r++)
                waits[v->readers[r]]++;
        }
    size_t count = 0;
    for (size_t before = 1; count < g->node_count && before != count;) {
        before = count;
        for (size_t i = 0; i < g->node_count; i++) {
            if (done[i] || waits[i])
                continue;
            done[i] = true;
            sorted[count++] = g->nodes[i];
            for (size_t k = 0; k < g->nodes[i].output_count; k++) {
                const struct pt_edit_value *v = pt_edit_value(e, g->nodes[i].outputs[k], NULL);
                for (int r = 0; v && r < v->reader_count; r++)
                    waits[v->readers[r]]--;
            }
        }
    }
    if (count < g->node_count)
        return pt_fail(err, PT_EINVAL, "the model's nodes depend on each other in a circle");
    memcpy(g->nodes, sorted, count * sizeof *sorted);
    pt_edit_changed(e);
    return PT_OK;
}

int pt_qz_writer_end(struct pt_qz_writer *w, const char *note)
{
    int rc = w->failed ? w->err->code : sort(w->e, w->err);
    if (rc == PT_OK && note)
        rc = pt_edit_sweep(w->e, w->err);
    return rc < 0 || !note ? rc : pt_edit_note(w->e, "pintle.quantize", note, w->err);
}

struct pt_str pt_qz_name(struct pt_qz_writer *w, struct pt_str stem, const char *suffix)
{
    struct pt_str name = w->failed ? (struct pt_str){0} : pt_edit_text(w->e, PT_STR_FMT "%s", PT_STR_ARG(stem), suffix);
    while (name.p && pt_map_get(&w->names, name))
        name = pt_edit_text(w->e, PT_STR_FMT "%s_%u", PT_STR_ARG(stem), suffix, ++w->e->made);
    if (!name.p)
        fail(w, PT_ENOMEM);
    take_name(w, name);
    return name;
}

struct pt_str pt_qz_constant(struct pt_qz_writer *w, struct pt_str stem, const char *suffix, enum pt_dtype dtype, int rank, const int64_t *dims,
                             const void *data)
{
    struct pt_str name = pt_qz_name(w, stem, suffix);
    if (!w->failed && pt_edit_add_initializer(w->e, name, dtype, rank, dims, data, w->err) < 0)
        fail(w, w->err->code);
    return name;
}

size_t pt_qz_put(struct pt_qz_writer *w, const char *op, const char *domain, struct pt_str out, const struct pt_str *operands, size_t count)
{
    while (count && operands[count - 1].len == 0)
        count--;
    char suffix[64];
    snprintf(suffix, sizeof suffix, "_%s", op);
    size_t at = w->e->model.graph.node_count;
    struct pt_str name = pt_qz_name(w, out, suffix);
    struct pt_onnx_node *n = w->failed ? NULL : pt_edit_add_node(w->e, at, name, domain, op, count, 1, w->err);
    if (!n) {
        fail(w, PT_ENOMEM);
        return 0;
    }
    for (size_t i = 0; i < count; i++)
        n->inputs[i] = operands[i].p ? operands[i] : PT_STR("");
    n->outputs[0] = out;
    return at;
}

void pt_qz_attr(struct pt_qz_writer *w, size_t node, const char *name, int64_t v)
{
    if (!w->failed && pt_edit_set_int(w->e, &w->e->model.graph.nodes[node], name, v, w->err) < 0)
        fail(w, PT_ENOMEM);
}

void pt_qz_like(struct pt_qz_writer *w, size_t node, size_t from)
{
    if (w->failed)
        return;
    w->e->model.graph.nodes[node].attrs = w->e->model.graph.nodes[from].attrs;
    w->e->model.graph.nodes[node].attr_count = w->e->model.graph.nodes[from].attr_count;
}

void pt_qz_set(struct pt_qz_writer *w, size_t node, size_t i, struct pt_str name)
{
    struct pt_onnx_node *n = w->failed ? NULL : &w->e->model.graph.nodes[node];
    if (!n)
        return;
    /* operands may be shared with the model that this is a copy's node of: never written in place */
    size_t count = i < n->input_count ? n->input_count : i + 1;
    struct pt_str *list = pt_edit_alloc(w->e, count * sizeof *list, w->err);
    if (!list) {
        fail(w, PT_ENOMEM);
        return;
    }
    memcpy(list, n->inputs, n->input_count * sizeof *list);
    list[i] = name;
    n->inputs = list;
    n->input_count = count;
    pt_edit_changed(w->e);
}

/* --- weights --------------------------------------------------------------------------------------------------------------------- */

/* Two to a byte, the first in the low half. */
static void pack(int8_t *q, int64_t count)
{
    for (int64_t i = 0; i < count; i += 2)
        q[i / 2] = (int8_t)((q[i] & 15) | (i + 1 < count ? q[i + 1] & 15 : 0) << 4);
}

struct pt_qz_weights pt_qz_put_weights(struct pt_qz_writer *w, struct pt_str stem, const struct pt_tensor *of, int axis, int64_t block,
                                       enum pt_dtype dtype, const struct pt_qz_array *a)
{
    struct pt_qz_weights out = {0};
    int64_t dims[PT_MAX_RANK] = {(int64_t)a->grids};
    int rank = axis >= 0;
    if (block) {
        rank = of->rank;
        memcpy(dims, of->dims, sizeof dims);
        dims[axis] = (dims[axis] + block - 1) / block;
    }
    pt_auto_free int8_t *zero = pt_calloc(a->grids + 2, 1), *q = pt_calloc((size_t)pt_tensor_count(of) + 2, 1);
    if (!zero || !q) {
        fail(w, PT_ENOMEM);
        return out;
    }
    for (size_t i = 0; i < a->grids; i++)
        zero[i] = (int8_t)(uint8_t)a->zero[i];
    memcpy(q, a->q, (size_t)pt_tensor_count(of));
    if (pt_dtype_bits(dtype) == 4) {
        pack(q, pt_tensor_count(of));
        pack(zero, (int64_t)a->grids);
    }
    out.q = pt_qz_constant(w, stem, "_quantized", dtype, of->rank, of->dims, q);
    out.scale = pt_qz_constant(w, stem, "_scale", PT_FLOAT, rank, dims, a->scale);
    out.zero = pt_qz_constant(w, stem, "_zero_point", dtype, rank, dims, zero);
    out.floats = pt_qz_name(w, stem, "_dequantized");
    size_t dq = pt_qz_put(w, "DequantizeLinear", "", out.floats, PT_QZ_IN(out.q, out.scale, out.zero));
    if (axis >= 0)
        pt_qz_attr(w, dq, "axis", axis);
    if (block)
        pt_qz_attr(w, dq, "block_size", block);
    return out;
}
