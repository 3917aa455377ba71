/* SPDX-License-Identifier: Apache-2.0
 *
 * edit.h: a model that is being changed: what pruning, quantisation and training work on, and what is written as a file in the end.
 *
 * It is the ONNX structures themselves (runtime/onnx/onnx.h), nodes over named values, not the compiler's graph: what comes out must be plain ONNX
 * again, for any runtime. Opening it puts it in one form: Constant nodes of tensors and copies of initializers by Identity have become initializers,
 * and initializers are no inputs. Everything lives in the edit's arena and goes with it; what a change leaves behind is not given back before. One
 * owner, no threads.
 *
 * Values are found by name (pt_edit_value). The index behind that is made anew after changes of structure: pointers that it gave are valid until
 * then. Model-local functions and graphs in attributes are kept as they are: their nodes are opaque, and a value of the model's graph that they read
 * says so.
 */
#ifndef PT_RUNTIME_COMPRESS_EDIT_H
#define PT_RUNTIME_COMPRESS_EDIT_H

#include "base/map.h"
#include "runtime/onnx/onnx.h"

struct pt_edit_value {
    struct pt_str name;
    int producer;    /* index of the node that makes it, or -1: an input or an initializer */
    int initializer; /* index, or -1 */
    int *readers;    /* indices of nodes that read it, ascending, one that reads it twice once */
    int reader_count;
    bool is_output; /* of the model */
    bool captured;  /* one of the readers does so in a graph of an attribute */
};

struct pt_edit {
    struct pt_arena arena;
    struct pt_map_file file; /* what it was read from; weights are views of it until they are changed */
    struct pt_onnx_files files;
    struct pt_onnx_model model; /* change its graph by the functions below, or say pt_edit_changed() */
    struct pt_map index;        /* name -> struct pt_edit_value */
    bool indexed;
    size_t node_room, initializer_room;
    unsigned made; /* names made */
    /* of a run of the model while it is looked at (tap.h): how long it may take, 0: five minutes; how much memory, 0: the session's limit */
    uint64_t run_ms, run_bytes;
};

/* *e is the caller's memory; finish it also after a failure. err is not NULL, here and below. */
int pt_edit_open(struct pt_edit *e, const char *path, struct pt_err *err);
/* The bytes must outlive e. */
int pt_edit_open_memory(struct pt_edit *e, const void *model, size_t len, struct pt_err *err);
/* A copy that shares nothing with e. */
int pt_edit_copy(const struct pt_edit *e, struct pt_edit *out, struct pt_err *err);
void pt_edit_finish(struct pt_edit *e);
/* The file; written beside its name and renamed, so that readers see all of it or nothing. */
int pt_edit_save(const struct pt_edit *e, const char *path, struct pt_err *err);

/* --- finding ---------------------------------------------------------------------------------------------------------- */
/* NULL when there is no such value; *rc (may be NULL) is then PT_ENOTFOUND, or PT_ENOMEM when the index could not be made. */
const struct pt_edit_value *pt_edit_value(struct pt_edit *e, struct pt_str name, int *rc);
/* The constant that input i of a node is, or NULL. */
const struct pt_tensor *pt_edit_constant(struct pt_edit *e, const struct pt_onnx_node *n, size_t i);
const struct pt_onnx_attr *pt_edit_attr(const struct pt_onnx_node *n, const char *name);
int64_t pt_edit_attr_int(const struct pt_onnx_node *n, const char *name, int64_t def);
/* Version of the domain's operator set that the model imports; 0: none. */
int64_t pt_edit_opset(const struct pt_edit *e, const char *domain);

/* --- changing --------------------------------------------------------------------------------------------------------- */
void pt_edit_changed(struct pt_edit *e);
/* Zeroed memory of the arena, PT_ENOMEM written when there is none. */
void *pt_edit_alloc(struct pt_edit *e, size_t bytes, struct pt_err *err);
/* A formatted text in the arena; p is NULL when there is no memory. */
struct pt_str pt_edit_text(struct pt_edit *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A value name that is not taken: stem, or stem with a number behind it. */
struct pt_str pt_edit_name(struct pt_edit *e, struct pt_str stem, struct pt_err *err);
/* A new initializer; data (NULL: zeros) are copied. Its index, or a negative code. */
int pt_edit_add_initializer(struct pt_edit *e, struct pt_str name, enum pt_dtype dtype, int rank, const int64_t *dims, const void *data,
                            struct pt_err *err);
/* The same initializer with other dims or another type; data (NULL: zeros) are copied. */
int pt_edit_set_initializer(struct pt_edit *e, int i, enum pt_dtype dtype, int rank, const int64_t *dims, const void *data, struct pt_err *err);
/* The elements of a float32 initializer, to be written to; NULL with PT_EUNSUPPORTED written for another type. */
float *pt_edit_floats(struct pt_edit *e, int initializer, struct pt_err *err);
/* A node in front of node `at` (node_count: behind all), name, op_type and domain copied, with room for that many operands, which the caller names.
 * Pointers to nodes are not valid afterwards. NULL without memory. */
struct pt_onnx_node *pt_edit_add_node(struct pt_edit *e, size_t at, struct pt_str name, const char *domain, const char *op_type, size_t inputs,
                                      size_t outputs, struct pt_err *err);
/* Sets or replaces an attribute; lists and strings are copied. */
int pt_edit_set_int(struct pt_edit *e, struct pt_onnx_node *n, const char *name, int64_t v, struct pt_err *err);
int pt_edit_set_ints(struct pt_edit *e, struct pt_onnx_node *n, const char *name, const int64_t *v, size_t count, struct pt_err *err);
int pt_edit_set_float(struct pt_edit *e, struct pt_onnx_node *n, const char *name, float v, struct pt_err *err);
int pt_edit_set_string(struct pt_edit *e, struct pt_onnx_node *n, const char *name, const char *v, struct pt_err *err);
/* Takes nodes for which drop[i] is set out. */
void pt_edit_drop_nodes(struct pt_edit *e, const bool *drop);
/* Every reader of `from` from node `at` on reads `to` instead; a model output of that name stays what it is. */
void pt_edit_redirect(struct pt_edit *e, struct pt_str from, struct pt_str to, size_t at);
/* Takes out nodes and initializers that no output needs. */
int pt_edit_sweep(struct pt_edit *e, struct pt_err *err);
/* Imports at least that version of a domain that the model does not import yet; PT_EUNSUPPORTED, naming both, when it imports an older one: an
 * operator set is not raised behind the model's back. */
int pt_edit_need_opset(struct pt_edit *e, const char *domain, int64_t version, struct pt_err *err);
/* metadata_props[key] = value: what was done to the model. */
int pt_edit_note(struct pt_edit *e, const char *key, const char *value, struct pt_err *err);

#endif
