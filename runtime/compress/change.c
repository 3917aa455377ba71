/* SPDX-License-Identifier: Apache-2.0
 *
 * change.c: changes to a model. Lists grow by doubling in the arena; the reader made them exactly as long as the file's.
 */
#include "runtime/compress/edit.h"

#include <stdio.h>
#include <string.h>

/* Room for one more element behind count; the list, perhaps elsewhere. */
static void *grow(struct pt_edit *e, void *list, size_t count, size_t *room, size_t size, struct pt_err *err)
{
    if (count < *room)
        return list;
    size_t more = count < 8 ? 16 : 2 * count, bytes;
    void *p = __builtin_mul_overflow(more, size, &bytes) ? NULL : pt_edit_alloc(e, bytes, err);
    if (!p)
        return NULL;
    if (count)
        memcpy(p, list, count * size);
    *room = more;
    return p;
}

static struct pt_str copy_text(struct pt_edit *e, struct pt_str s, struct pt_err *err)
{
    char *p = pt_edit_alloc(e, s.len + 1, err);
    if (p && s.len)
        memcpy(p, s.p, s.len);
    return (struct pt_str){p, p ? s.len : 0};
}

struct pt_str pt_edit_name(struct pt_edit *e, struct pt_str stem, struct pt_err *err)
{
    struct pt_str name = copy_text(e, stem, err);
    int rc = PT_OK;
    while (name.p && pt_edit_value(e, name, &rc))
        name = pt_edit_text(e, PT_STR_FMT "_%u", PT_STR_ARG(stem), ++e->made);
    if (!name.p || (rc < 0 && rc != PT_ENOTFOUND)) {
        pt_fail(err, PT_ENOMEM, "out of memory changing the model");
        return (struct pt_str){0};
    }
    return name;
}

/* --- initializers --------------------------------------------------------------------------------------------------------- */

int pt_edit_set_initializer(struct pt_edit *e, int i, enum pt_dtype dtype, int rank, const int64_t *dims, const void *data, struct pt_err *err)
{
    struct pt_tensor t = {.dtype = dtype, .rank = rank};
    if (dims)
        memcpy(t.dims, dims, (size_t)rank * sizeof *dims);
    if (!pt_tensor_need(dtype, rank, t.dims, &t.size_bytes))
        return pt_fail(err, PT_EINVAL, "'" PT_STR_FMT "': shape %s is negative or too large", PT_STR_ARG(e->model.graph.initializers[i].name),
                       PT_SHAPE(&t));
    if (!(t.data = pt_edit_alloc(e, t.size_bytes, err)))
        return err->code;
    if (data && t.size_bytes)
        memcpy(t.data, data, t.size_bytes);
    e->model.graph.initializers[i].t = t;
    return PT_OK;
}

int pt_edit_add_initializer(struct pt_edit *e, struct pt_str name, enum pt_dtype dtype, int rank, const int64_t *dims, const void *data,
                            struct pt_err *err)
{
    struct pt_onnx_graph *g = &e->model.graph;
    struct pt_onnx_tensor *list = grow(e, g->initializers, g->initializer_count, &e->initializer_room, sizeof *list, err);
    struct pt_str copy = list ? copy_text(e, name, err) : (struct pt_str){0};
    if (!copy.p)
        return err->code;
    g->initializers = list;
    list[g->initializer_count] = (struct pt_onnx_tensor){.name = copy};
    int rc = dtype == PT_UNDEFINED ? PT_OK : pt_edit_set_initializer(e, (int)g->initializer_count, dtype, rank, dims, data, err);
    if (rc < 0)
        return rc;
    pt_edit_changed(e);
    return (int)g->initializer_count++;
}

float *pt_edit_floats(struct pt_edit *e, int initializer, struct pt_err *err)
{
    struct pt_onnx_tensor *x = &e->model.graph.initializers[initializer];
    if (x->t.dtype != PT_FLOAT) {
        pt_fail(err, PT_EUNSUPPORTED, "weights '" PT_STR_FMT "' are %s; only float32 can be changed", PT_STR_ARG(x->name), pt_dtype_name(x->t.dtype));
        return NULL;
    }
    int rc = pt_edit_set_initializer(e, initializer, PT_FLOAT, x->t.rank, x->t.dims, x->t.data, err);
    return rc < 0 ? NULL : x->t.data;
}

/* --- nodes ------------------------------------------------------------------------------------------------------------------ */

struct pt_onnx_node *pt_edit_add_node(struct pt_edit *e, size_t at, struct pt_str name, const char *domain, const char *op_type, size_t inputs,
                                      size_t outputs, struct pt_err *err)
{
    struct pt_onnx_graph *g = &e->model.graph;
    struct pt_onnx_node *list = grow(e, g->nodes, g->node_count, &e->node_room, sizeof *list, err);
    struct pt_str *operands = list ? pt_edit_alloc(e, (inputs + outputs) * sizeof *operands, err) : NULL;
    if (!operands)
        return NULL;
    struct pt_onnx_node n = {.name = copy_text(e, name, err),
                             .op_type = copy_text(e, pt_str(op_type), err),
                             .domain = copy_text(e, pt_str(domain), err),
                             .overload = PT_STR(""),
                             .inputs = operands,
                             .outputs = operands + inputs,
                             .input_count = inputs,
                             .output_count = outputs};
    if (!n.name.p || !n.op_type.p || !n.domain.p)
        return NULL;
    g->nodes = list;
    memmove(list + at + 1, list + at, (g->node_count - at) * sizeof *list);
    list[at] = n;
    g->node_count++;
    pt_edit_changed(e);
    return &list[at];
}

/* The attribute of that name, made if need be; its value is the caller's to write. */
static struct pt_onnx_attr *attr_for(struct pt_edit *e, struct pt_onnx_node *n, const char *name, enum pt_attr_type type, struct pt_err *err)
{
    struct pt_onnx_attr *a = (struct pt_onnx_attr *)(uintptr_t)pt_edit_attr(n, name);
    if (!a) {
        struct pt_onnx_attr *list = pt_edit_alloc(e, (n->attr_count + 1) * sizeof *list, err);
        if (!list)
            return NULL;
        if (n->attr_count)
            memcpy(list, n->attrs, n->attr_count * sizeof *list);
        n->attrs = list;
        a = &list[n->attr_count];
        a->name = copy_text(e, pt_str(name), err);
        if (!a->name.p)
            return NULL;
        n->attr_count++;
    }
    *a = (struct pt_onnx_attr){.name = a->name, .type = type};
    return a;
}

int pt_edit_set_int(struct pt_edit *e, struct pt_onnx_node *n, const char *name, int64_t v, struct pt_err *err)
{
    struct pt_onnx_attr *a = attr_for(e, n, name, PT_ATTR_INT, err);
    if (!a)
        return err->code;
    a->i = v;
    return PT_OK;
}

int pt_edit_set_float(struct pt_edit *e, struct pt_onnx_node *n, const char *name, float v, struct pt_err *err)
{
    struct pt_onnx_attr *a = attr_for(e, n, name, PT_ATTR_FLOAT, err);
    if (!a)
        return err->code;
    a->f = v;
    return PT_OK;
}

int pt_edit_set_ints(struct pt_edit *e, struct pt_onnx_node *n, const char *name, const int64_t *v, size_t count, struct pt_err *err)
{
    int64_t *copy = pt_edit_alloc(e, count * sizeof *v, err);
    struct pt_onnx_attr *a = copy ? attr_for(e, n, name, PT_ATTR_INTS, err) : NULL;
    if (!a)
        return err->code;
    if (count)
        memcpy(copy, v, count * sizeof *v);
    a->ints = copy;
    a->count = count;
    return PT_OK;
}

int pt_edit_set_string(struct pt_edit *e, struct pt_onnx_node *n, const char *name, const char *v, struct pt_err *err)
{
    struct pt_str copy = copy_text(e, pt_str(v), err);
    struct pt_onnx_attr *a = copy.p ? attr_for(e, n, name, PT_ATTR_STRING, err) : NULL;
    if (!a)
        return err->code;
    a->s = copy;
    return PT_OK;
}

void pt_edit_drop_nodes(struct pt_edit *e, const bool *drop)
{
    struct pt_onnx_graph *g = &e->model.graph;
    size_t kept = 0;
    for (size_t i = 0; i < g->node_count; i++)
        if (!drop[i])
            g->nodes[kept++] = g->nodes[i];
    g->node_count = kept;
    pt_edit_changed(e);
}

void pt_edit_redirect(struct pt_edit *e, struct pt_str from, struct pt_str to, size_t at)
{
    struct pt_onnx_graph *g = &e->model.graph;
    for (size_t i = at; i < g->node_count; i++)
        for (size_t k = 0; k < g->nodes[i].input_count; k++)
            if (pt_str_eq(g->nodes[i].inputs[k], from))
                g->nodes[i].inputs[k] = to;
    pt_edit_changed(e);
}

/* Marks what makes the value, and what that needs. Nodes of a file stand in topological order, so one pass from the back does. */
int pt_edit_sweep(struct pt_edit *e, struct pt_err *err)
{
    struct pt_onnx_graph *g = &e->model.graph;
    int rc = PT_OK;
    pt_auto_free bool *drop = pt_calloc(g->node_count + 1, sizeof *drop);
    if (!drop)
        return pt_fail(err, PT_ENOMEM, "out of memory changing the model");
    for (size_t i = g->node_count; i-- > 0;) {
        bool wanted = false;
        for (size_t k = 0; !wanted && k < g->nodes[i].output_count; k++) {
            const struct pt_edit_value *v = pt_edit_value(e, g->nodes[i].outputs[k], &rc);
            if (!v && rc == PT_ENOMEM)
                return pt_fail(err, rc, "out of memory changing the model");
            wanted = v && v->is_output;
            for (int r = 0; v && !wanted && r < v->reader_count; r++)
                wanted = !drop[v->readers[r]];
        }
        drop[i] = !wanted;
    }
    size_t kept = 0;
    for (size_t i = 0; i < g->initializer_count; i++) {
        const struct pt_edit_value *v = pt_edit_value(e, g->initializers[i].name, NULL);
        bool wanted = v && v->is_output;
        for (int r = 0; v && !wanted && r < v->reader_count; r++)
            wanted = !drop[v->readers[r]];
        if (wanted)
            g->initializers[kept++] = g->initializers[i];
    }
    g->initializer_count = kept;
    pt_edit_drop_nodes(e, drop);
    return PT_OK;
}

/* --- the model ---------------------------------------------------------------------------------------------------------------- */

int pt_edit_need_opset(struct pt_edit *e, const char *domain, int64_t version, struct pt_err *err)
{
    int64_t has = pt_edit_opset(e, domain);
    if (has >= version)
        return PT_OK;
    if (has)
        return pt_fail(err, PT_EUNSUPPORTED, "the model imports version %lld of operator set '%s'; this needs %lld or later", (long long)has,
                       domain[0] ? domain : "ai.onnx", (long long)version);
    struct pt_onnx_opset *list = pt_edit_alloc(e, (e->model.opset_count + 1) * sizeof *list, err);
    struct pt_str copy = list ? copy_text(e, pt_str(domain), err) : (struct pt_str){0};
    if (!copy.p)
        return err->code;
    if (e->model.opset_count)
        memcpy(list, e->model.opsets, e->model.opset_count * sizeof *list);
    list[e->model.opset_count++] = (struct pt_onnx_opset){copy, version};
    e->model.opsets = list;
    return PT_OK;
}

int pt_edit_note(struct pt_edit *e, const char *key, const char *value, struct pt_err *err)
{
    struct pt_str v = copy_text(e, pt_str(value), err);
    if (!v.p)
        return err->code;
    for (size_t i = 0; i < e->model.metadata_count; i++)
        if (pt_str_eq(e->model.metadata[i].key, pt_str(key))) {
            e->model.metadata[i].value = v;
            return PT_OK;
        }
    struct pt_onnx_pair *list = pt_edit_alloc(e, (e->model.metadata_count + 1) * sizeof *list, err);
    struct pt_str k = list ? copy_text(e, pt_str(key), err) : (struct pt_str){0};
    if (!k.p)
        return err->code;
    if (e->model.metadata_count)
        memcpy(list, e->model.metadata, e->model.metadata_count * sizeof *list);
    list[e->model.metadata_count++] = (struct pt_onnx_pair){k, v};
    e->model.metadata = list;
    return PT_OK;
}
