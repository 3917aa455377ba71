/* SPDX-License-Identifier: Apache-2.0
 *
 * edit.c: opening, finding and saving. The index is thrown away by every change of structure and made when somebody asks, so that changes stay
 * simple; it is linear in the model.
 */
#include "runtime/compress/edit.h"

#include "base/path.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static int out_of_memory(struct pt_err *err)
{
    return pt_fail(err, PT_ENOMEM, "out of memory changing the model");
}

void *pt_edit_alloc(struct pt_edit *e, size_t bytes, struct pt_err *err)
{
    void *p = pt_arena_alloc(&e->arena, bytes ? bytes : 1);
    if (!p)
        out_of_memory(err);
    return p;
}

struct pt_str pt_edit_text(struct pt_edit *e, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int len = vsnprintf(NULL, 0, fmt, ap);
    char *s = len < 0 ? NULL : pt_arena_alloc(&e->arena, (size_t)len + 1);
    if (s)
        vsnprintf(s, (size_t)len + 1, fmt, again);
    va_end(again);
    va_end(ap);
    return (struct pt_str){s, s ? (size_t)len : 0};
}

/* --- one form ----------------------------------------------------------------------------------------------------------- */

/* The tensor that a Constant node makes: of `value`, or of the forms for numbers. false: it has another form. */
static bool constant_tensor(const struct pt_onnx_node *n, struct pt_tensor *out)
{
    if (n->attr_count != 1 || n->output_count != 1 || n->attrs[0].ref.p)
        return false;
    const struct pt_onnx_attr *a = &n->attrs[0];
    bool list = a->type == PT_ATTR_FLOATS || a->type == PT_ATTR_INTS, real = a->type == PT_ATTR_FLOAT || a->type == PT_ATTR_FLOATS;
    size_t count = list ? a->count : 1;
    if (a->type == PT_ATTR_TENSOR) {
        *out = a->t->t;
        return true;
    }
    if (!list && a->type != PT_ATTR_FLOAT && a->type != PT_ATTR_INT)
        return false;
    *out = (struct pt_tensor){.dtype = real ? PT_FLOAT : PT_INT64, .rank = list, .dims = {(int64_t)count}, .size_bytes = count * (real ? 4 : 8)};
    out->data = list ? (real ? (void *)a->floats : (void *)a->ints) : (void *)(uintptr_t)&a->f; /* f and i begin at one address */
    return true;
}

/* Constant nodes become initializers. */
static int take_constants(struct pt_edit *e, struct pt_err *err)
{
    struct pt_onnx_graph *g = &e->model.graph;
    bool *drop = pt_edit_alloc(e, g->node_count, err);
    if (!drop)
        return err->code;
    for (size_t i = 0; i < g->node_count; i++) {
        const struct pt_onnx_node *n = &g->nodes[i];
        struct pt_tensor t;
        if (!pt_str_eq(n->op_type, PT_STR("Constant")) || n->domain.len || !constant_tensor(n, &t))
            continue;
        int at = pt_edit_add_initializer(e, n->outputs[0], PT_UNDEFINED, 0, NULL, NULL, err);
        if (at < 0)
            return at;
        g->initializers[at].t = t; /* a view, as those of the file are */
        drop[i] = true;
    }
    pt_edit_drop_nodes(e, drop);
    return PT_OK;
}

static bool is_output(const struct pt_onnx_graph *g, struct pt_str name)
{
    bool found = false;
    for (size_t i = 0; i < g->output_count; i++)
        found = found || pt_str_eq(g->outputs[i].name, name);
    return found;
}

/* A weight that an Identity copies is one of its own: exporters store equal arrays once (the zeros that biases and means begin with), which are equal
 * only until one of them is trained. */
static int take_copies(struct pt_edit *e, struct pt_err *err)
{
    struct pt_onnx_graph *g = &e->model.graph;
    struct pt_map at = {0};
    bool *drop = pt_edit_alloc(e, g->node_count, err);
    int rc = drop ? PT_OK : err->code;
    for (size_t i = 0; rc == PT_OK && i < g->initializer_count; i++)
        rc = pt_map_set(&at, g->initializers[i].name, (void *)(uintptr_t)(i + 1), NULL, err);
    for (size_t i = 0; rc == PT_OK && i < g->node_count; i++) {
        const struct pt_onnx_node *n = &g->nodes[i];
        bool copies = pt_str_eq(n->op_type, PT_STR("Identity")) && n->domain.len == 0 && n->input_count == 1 && n->output_count == 1;
        size_t from = copies && !is_output(g, n->outputs[0]) ? (size_t)(uintptr_t)pt_map_get(&at, n->inputs[0]) : 0;
        if (!from)
            continue;
        int to = pt_edit_add_initializer(e, n->outputs[0], PT_UNDEFINED, 0, NULL, NULL, err);
        if (to < 0) {
            rc = to;
            break;
        }
        g->initializers[to].t = g->initializers[from - 1].t; /* a view; who changes it makes a copy */
        rc = pt_map_set(&at, g->initializers[to].name, (void *)(uintptr_t)(to + 1), NULL, err);
        drop[i] = true;
    }
    pt_map_finish(&at);
    if (rc == PT_OK)
        pt_edit_drop_nodes(e, drop);
    return rc;
}

/* Initializers that are listed as inputs too, as files up to IR version 3 had to. */
static int take_inputs(struct pt_edit *e, struct pt_err *err)
{
    struct pt_onnx_graph *g = &e->model.graph;
    struct pt_map names = {0};
    int rc = PT_OK;
    for (size_t i = 0; rc == PT_OK && i < g->initializer_count; i++)
        rc = pt_map_set(&names, g->initializers[i].name, e, NULL, err);
    size_t kept = 0;
    for (size_t i = 0; rc == PT_OK && i < g->input_count; i++)
        if (!pt_map_get(&names, g->inputs[i].name))
            g->inputs[kept++] = g->inputs[i];
    if (rc == PT_OK && kept < g->input_count) {
        g->input_count = kept;
        if (e->model.ir_version < 4)
            e->model.ir_version = 4;
    }
    pt_map_finish(&names);
    return rc;
}

static int read_bytes(struct pt_edit *e, const void *model, size_t len, struct pt_err *err)
{
    int rc = pt_onnx_read(model, len, &e->arena, &e->files, &e->model, err);
    if (rc == PT_OK)
        rc = take_constants(e, err);
    if (rc == PT_OK)
        rc = take_copies(e, err);
    return rc < 0 ? rc : take_inputs(e, err);
}

int pt_edit_open(struct pt_edit *e, const char *path, struct pt_err *err)
{
    *e = (struct pt_edit){0};
    pt_arena_init(&e->arena, 0);
    const char *slash = strrchr(path, '/');
    char *folder = pt_arena_strndup(&e->arena, slash ? path : ".", slash ? (size_t)(slash - path) + 1 : 1);
    if (!folder)
        return out_of_memory(err);
    e->files.folder = folder;
    int rc = pt_map_file_open(path, &e->file, err);
    if (rc == PT_OK && (rc = read_bytes(e, e->file.data, e->file.len, err)) < 0)
        pt_wrap(err, "%s", path);
    return rc;
}

int pt_edit_open_memory(struct pt_edit *e, const void *model, size_t len, struct pt_err *err)
{
    *e = (struct pt_edit){0};
    pt_arena_init(&e->arena, 0);
    return read_bytes(e, model, len, err);
}

int pt_edit_copy(const struct pt_edit *e, struct pt_edit *out, struct pt_err *err)
{
    struct pt_buf b = {0};
    *out = (struct pt_edit){.run_ms = e->run_ms, .run_bytes = e->run_bytes};
    pt_arena_init(&out->arena, 0);
    int rc = pt_onnx_write(&e->model, &b, err);
    char *bytes = rc < 0 ? NULL : pt_arena_strndup(&out->arena, b.data, b.len);
    if (rc == PT_OK)
        rc = bytes ? read_bytes(out, bytes, b.len, err) : out_of_memory(err);
    pt_buf_finish(&b);
    return rc;
}

static void drop_index(struct pt_edit *e)
{
    struct pt_str name;
    void *v;
    for (size_t i = 0; pt_map_next(&e->index, &i, &name, &v);) {
        pt_free(((struct pt_edit_value *)v)->readers);
        pt_free(v);
    }
    pt_map_finish(&e->index);
    e->indexed = false;
}

void pt_edit_changed(struct pt_edit *e)
{
    if (e->index.size)
        drop_index(e);
    e->indexed = false;
}

void pt_edit_finish(struct pt_edit *e)
{
    drop_index(e);
    pt_onnx_files_close(&e->files);
    if (e->file.data)
        pt_map_file_close(&e->file);
    pt_arena_finish(&e->arena);
    *e = (struct pt_edit){0};
}

int pt_edit_save(const struct pt_edit *e, const char *path, struct pt_err *err)
{
    struct pt_buf b = {0};
    int rc = pt_onnx_write(&e->model, &b, err);
    if (rc == PT_OK)
        rc = pt_path_write_atomic(path, b.data, b.len, 0644, err);
    pt_buf_finish(&b);
    return rc;
}

/* --- the index ------------------------------------------------------------------------------------------------------------ */

static struct pt_edit_value *value_for(struct pt_edit *e, struct pt_str name, struct pt_err *err)
{
    struct pt_edit_value *v = pt_map_get(&e->index, name);
    if (v)
        return v;
    if (!(v = pt_calloc(1, sizeof *v))) {
        out_of_memory(err);
        return NULL;
    }
    *v = (struct pt_edit_value){.name = name, .producer = -1, .initializer = -1};
    if (pt_map_set(&e->index, name, v, NULL, err) < 0) {
        pt_free(v);
        return NULL;
    }
    return v;
}

static int add_reader(struct pt_edit_value *v, int node, struct pt_err *err)
{
    if (v->reader_count && v->readers[v->reader_count - 1] == node)
        return PT_OK;
    if ((v->reader_count & (v->reader_count - 1)) == 0) { /* room is the next power of two */
        int *more = pt_reallocarray(v->readers, v->reader_count ? 2 * (size_t)v->reader_count : 1, sizeof *more);
        if (!more)
            return out_of_memory(err);
        v->readers = more;
    }
    v->readers[v->reader_count++] = node;
    return PT_OK;
}

/* Names that graphs inside a node read: those of them that are values here are captured. A name that the body has itself hides ours, so this may say
 * captured too often, which only makes changes more careful. */
static int mark_captures(struct pt_edit *e, const struct pt_onnx_node *n, int node, struct pt_err *err)
{
    int rc = PT_OK;
    for (size_t a = 0; rc == PT_OK && a < n->attr_count; a++) {
        const struct pt_onnx_attr *at = &n->attrs[a];
        size_t graphs = at->type == PT_ATTR_GRAPH ? 1 : at->type == PT_ATTR_GRAPHS ? at->count : 0;
        for (size_t k = 0; rc == PT_OK && k < graphs; k++) {
            const struct pt_onnx_graph *g = &at->g[k];
            for (size_t i = 0; rc == PT_OK && i < g->node_count + 1; i++) {
                const struct pt_onnx_node *inner = i < g->node_count ? &g->nodes[i] : NULL;
                for (size_t j = 0; rc == PT_OK && j < (inner ? inner->input_count : g->output_count); j++) {
                    struct pt_edit_value *v = pt_map_get(&e->index, inner ? inner->inputs[j] : g->outputs[j].name);
                    if (v)
                        v->captured = true, rc = add_reader(v, node, err);
                }
                if (rc == PT_OK && inner)
                    rc = mark_captures(e, inner, node, err);
            }
        }
    }
    return rc;
}

static int make_index(struct pt_edit *e, struct pt_err *err)
{
    const struct pt_onnx_graph *g = &e->model.graph;
    struct pt_edit_value *v = NULL;
    int rc = PT_OK;
    for (size_t i = 0; i < g->input_count; i++)
        if (!value_for(e, g->inputs[i].name, err))
            return err->code;
    for (size_t i = 0; i < g->initializer_count; i++) {
        if (!(v = value_for(e, g->initializers[i].name, err)))
            return err->code;
        v->initializer = (int)i;
    }
    for (size_t i = 0; i < g->node_count; i++)
        for (size_t k = 0; k < g->nodes[i].output_count; k++) {
            if (g->nodes[i].outputs[k].len == 0)
                continue;
            if (!(v = value_for(e, g->nodes[i].outputs[k], err)))
                return err->code;
            v->producer = (int)i;
        }
    for (size_t i = 0; rc == PT_OK && i < g->node_count; i++) {
        for (size_t k = 0; rc == PT_OK && k < g->nodes[i].input_count; k++)
            if ((v = pt_map_get(&e->index, g->nodes[i].inputs[k])))
                rc = add_reader(v, (int)i, err);
        if (rc == PT_OK)
            rc = mark_captures(e, &g->nodes[i], (int)i, err);
    }
    for (size_t i = 0; rc == PT_OK && i < g->output_count; i++)
        if ((v = pt_map_get(&e->index, g->outputs[i].name)))
            v->is_output = true;
    return rc;
}

const struct pt_edit_value *pt_edit_value(struct pt_edit *e, struct pt_str name, int *rc)
{
    struct pt_err err = {0};
    int made = PT_OK;
    if (!e->indexed) {
        drop_index(e);
        if ((made = make_index(e, &err)) < 0)
            drop_index(e);
        e->indexed = made == PT_OK;
    }
    const struct pt_edit_value *v = made < 0 || name.len == 0 ? NULL : pt_map_get(&e->index, name);
    if (rc)
        *rc = v ? PT_OK : made < 0 ? made : PT_ENOTFOUND;
    return v;
}

const struct pt_tensor *pt_edit_constant(struct pt_edit *e, const struct pt_onnx_node *n, size_t i)
{
    const struct pt_edit_value *v = i < n->input_count ? pt_edit_value(e, n->inputs[i], NULL) : NULL;
    return v && v->initializer >= 0 ? &e->model.graph.initializers[v->initializer].t : NULL;
}

const struct pt_onnx_attr *pt_edit_attr(const struct pt_onnx_node *n, const char *name)
{
    for (size_t i = 0; i < n->attr_count; i++)
        if (pt_str_eq(n->attrs[i].name, pt_str(name)))
            return &n->attrs[i];
    return NULL;
}

int64_t pt_edit_attr_int(const struct pt_onnx_node *n, const char *name, int64_t def)
{
    const struct pt_onnx_attr *a = pt_edit_attr(n, name);
    return a && a->type == PT_ATTR_INT && !a->ref.p ? a->i : def;
}

int64_t pt_edit_opset(const struct pt_edit *e, const char *domain)
{
    for (size_t i = 0; i < e->model.opset_count; i++)
        if (pt_str_eq(e->model.opsets[i].domain, pt_str(domain)))
            return e->model.opsets[i].version;
    return 0;
}
