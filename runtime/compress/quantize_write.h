/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize_write.h: writing nodes into a model. Nodes are added behind all others, and sorted in the end; names are looked up in a map of their own,
 * for the edit's index would be made anew after each. A failure is kept: functions called behind it do nothing, so it is asked for once.
 */
#ifndef PT_RUNTIME_COMPRESS_QUANTIZE_WRITE_H
#define PT_RUNTIME_COMPRESS_QUANTIZE_WRITE_H

#include "runtime/compress/quantize_plan.h"

struct pt_qz_writer {
    struct pt_edit *e;
    struct pt_map names;
    bool failed;
    struct pt_err *err;
};
int pt_qz_writer_init(struct pt_qz_writer *w, struct pt_edit *e, struct pt_err *err);
/* Sorts nodes so that each stands behind what it reads, takes out what nobody reads, notes what was done; note NULL: only
 * sorts. PT_OK or the failure. */
int pt_qz_writer_end(struct pt_qz_writer *w, const char *note);
void pt_qz_writer_finish(struct pt_qz_writer *w);

/* A new value name, stem and suffix. */
struct pt_str pt_qz_name(struct pt_qz_writer *w, struct pt_str stem, const char *suffix);
/* A new initializer; its name. */
struct pt_str pt_qz_constant(struct pt_qz_writer *w, struct pt_str stem, const char *suffix, enum pt_dtype dtype, int rank, const int64_t *dims,
                             const void *data);
/* A node that makes `out` of the operands, an empty name ending none; its index. Operands with an empty name are not given. */
size_t pt_qz_put(struct pt_qz_writer *w, const char *op, const char *domain, struct pt_str out, const struct pt_str *operands, size_t count);
#define PT_QZ_IN(...) (const struct pt_str[]){__VA_ARGS__}, sizeof((const struct pt_str[]){__VA_ARGS__}) / sizeof(struct pt_str)
void pt_qz_attr(struct pt_qz_writer *w, size_t node, const char *name, int64_t v);
/* Attributes of another node. */
void pt_qz_like(struct pt_qz_writer *w, size_t node, size_t from);
/* The node reads `name` as operand i, which it had or gets. */
void pt_qz_set(struct pt_qz_writer *w, size_t node, size_t i, struct pt_str name);

/* Initializers of a quantised weight, and the value that makes floats of it, with DequantizeLinear. */
struct pt_qz_weights {
    struct pt_str q, scale, zero, floats;
};
/* of: the tensor that it was made of. axis -1: one scale. */
struct pt_qz_weights pt_qz_put_weights(struct pt_qz_writer *w, struct pt_str stem, const struct pt_tensor *of, int axis, int64_t block,
                                       enum pt_dtype dtype, const struct pt_qz_array *a);

#endif
