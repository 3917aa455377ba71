/* SPDX-License-Identifier: Apache-2.0
 *
 * lower.h: from nodes with known shapes to steps: which kernel, which layout, which weights packed.
 *
 * A lowering function looks at one node and either emits steps for it (1), leaves it to the reference operator (0), or fails (< 0).
 */
#ifndef PT_RUNTIME_LOWER_H
#define PT_RUNTIME_LOWER_H

#include "runtime/compile/program.h"

/* A node that is left after folding: shapes are known, params filled. */
struct pt_item {
    const struct pt_node *node;
    void *params;
    size_t scratch_bytes;
};

struct pt_lower {
    struct pt_program *p;
    const struct pt_compile_options *o;
    const struct pt_kernels *k;
    const struct pt_item *item;
    struct pt_err *err;
};

typedef int (*pt_lower_fn)(struct pt_lower *l);
int pt_lower_conv(struct pt_lower *l);
int pt_lower_conv_columns(struct pt_lower *l); /* what pt_lower_conv does not take */
int pt_lower_int_conv(struct pt_lower *l);
int pt_lower_int_matmul(struct pt_lower *l);
int pt_lower_bytes(struct pt_lower *l);
int pt_lower_bytes_pair(struct pt_lower *l);
int pt_lower_bytes_average(struct pt_lower *l);
int pt_lower_bytes_max(struct pt_lower *l); /* MaxPool */
int pt_lower_pool(struct pt_lower *l);
int pt_lower_global_average(struct pt_lower *l);
int pt_lower_reduce_mean(struct pt_lower *l);
int pt_lower_attention(struct pt_lower *l);
int pt_lower_gemm(struct pt_lower *l);
int pt_lower_matmul(struct pt_lower *l);
int pt_lower_fused_matmul(struct pt_lower *l);
int pt_lower_fused_conv(struct pt_lower *l);
int pt_lower_fused_gemm(struct pt_lower *l);
int pt_lower_unary(struct pt_lower *l);
int pt_lower_binary(struct pt_lower *l);
int pt_lower_clip(struct pt_lower *l);
int pt_lower_pow(struct pt_lower *l);
int pt_lower_softmax(struct pt_lower *l);
int pt_lower_layernorm(struct pt_lower *l);
int pt_lower_rmsnorm(struct pt_lower *l);
int pt_lower_tanh_gelu(struct pt_lower *l);
int pt_lower_transpose(struct pt_lower *l);
int pt_lower_concat(struct pt_lower *l);
int pt_lower_batchnorm(struct pt_lower *l);
bool pt_is_binary_step(const struct pt_step *s);
const int *pt_transpose_perm(const struct pt_step *s);                                   /* NULL when the step is no transposition */
int pt_fuse_transpose(struct pt_lower *l, const int *perm);                              /* the node transposes the result of a product: 1 done */
int pt_fuse_transpose_attention(struct pt_lower *l, struct pt_step *s, const int *perm); /* the same where s makes that result */

/* --- fuse.c: merging a node into a step that was emitted before. 1 done, 0 not possible. ------------------------------------------- */
int pt_fuse_act(struct pt_lower *l, enum pt_act act, float lo, float hi); /* the node is an activation of its input 0 */
int pt_fuse_add(struct pt_lower *l);                                      /* the node is Add */
int pt_fuse_scale(struct pt_lower *l);                                    /* the node is Mul or Div */
/* The step that makes `slot`, if the node being lowered is its only reader; else NULL. */
struct pt_step *pt_fuse_source(struct pt_lower *l, int slot);
/* step makes the node's output from now on instead of `old`. */
void pt_fuse_redirect(struct pt_lower *l, struct pt_step *step, int old);
/* A number that is known, for operands that scale. */
bool pt_fuse_number(struct pt_lower *l, int slot, float *v);

/* All items, then reorders and copies for the outputs. */
int pt_lower_all(struct pt_lower *l, const struct pt_item *items, int count);

/* --- for lowering functions ----------------------------------------------------------------------------------------------------- */
/* Slot of the node's operand, -1 when not given. */
int pt_lower_in(const struct pt_lower *l, int i);
int pt_lower_out(const struct pt_lower *l, int i);
static inline struct pt_slot *pt_lower_slot(const struct pt_lower *l, int slot)
{
    return &l->p->slots[slot];
}
static inline struct pt_slot *pt_lower_given(const struct pt_lower *l, int slot) /* NULL for an operand that is not given */
{
    return slot < 0 ? NULL : &l->p->slots[slot];
}
/* The slot with the same value in that layout; emits a reorder when there is none yet. Negative code on failure. */
int pt_lower_to(struct pt_lower *l, int slot, enum pt_layout layout);
/* Channels-last and plain order are the same memory for this tensor. */
bool pt_same_order(const struct pt_tensor *t);
/* t gives one value for each of the last n elements of x, the same for every row of n. */
bool pt_lower_is_row(const struct pt_tensor *t, const struct pt_tensor *x, int64_t n);
/* Makes a constant operand readable as C elements: views of the file may lie anywhere. */
int pt_lower_align(struct pt_lower *l, int slot);
/* Zeroed memory that lives with the program. */
void *pt_lower_alloc(struct pt_lower *l, size_t bytes);
static inline int *pt_lower_operands(const struct pt_lower *l, const struct pt_step *s)
{
    return &l->p->operands[s->operands];
}
/* Emits a step; out is the node's output 0 whose layout is set. in: slots. */
struct pt_step_desc {
    pt_op_fn run;
    void *params;
    const int *in;
    int in_count, out;
    unsigned inplace;
    size_t scratch_bytes;
    struct pt_fused *fused;
};
int pt_lower_emit(struct pt_lower *l, const struct pt_step_desc *d, enum pt_layout out_layout);
/* The same with several outputs (-1: not wanted), each of that layout. */
int pt_lower_emit_all(struct pt_lower *l, const struct pt_step_desc *d, const int *outs, int out_count, enum pt_layout out_layout);
int pt_lower_new_slot(struct pt_lower *l, const struct pt_slot *like);

/* --- lower_view.c: an operand seen through transpositions: dims and element strides -------------------------------------------------- */
struct pt_view {
    int slot, rank;
    int64_t dims[PT_MAX_RANK + 1], stride[PT_MAX_RANK + 1];
};
/* The slot as it is. */
void pt_view_slot(struct pt_lower *l, int slot, struct pt_view *v);
/* Goes back over transpositions, and scalings by a number into *alpha (NULL: not over those), that only this node reads; with commit their steps
 * disappear. False: there are none. */
bool pt_view_peel(struct pt_lower *l, struct pt_view *v, float *alpha, bool commit);

/* --- lower_half.c: float16 and bfloat16 through float32 kernels ----------------------------------------------------------------------------- */
#define PT_PACK_WIDE 2 /* kind of pack: the constant in float32. Even: the kinds that depend on a shape are odd, and 0 is an aligned copy. */
bool pt_lower_has_half(struct pt_lower *l);
/* Lowers the node as fn does, on float32 operands; 0: fn did not take it. */
int pt_lower_half(struct pt_lower *l, pt_lower_fn fn);
/* Of a constant slot whose data are still half (slot.stored). */
int pt_lower_load_wide(struct pt_lower *l, int slot);
/* A constant as aligned floats, in *copy (to be freed with pt_free) if it must be; NULL: out of memory. */
const float *pt_lower_floats(const struct pt_tensor *t, enum pt_dtype stored, float **copy);
/* Before a half slot is read as it is: emits what makes it from its wide one, once. */
int pt_lower_narrow(struct pt_lower *l, int slot);

/* Memory derived from constant slot: of the session when the constant is the graph's, else of the program. */
void *pt_lower_pack(struct pt_lower *l, const struct pt_slot *s, uint64_t kind, size_t bytes, pt_pack_fn fill, void *arg);
/* The same for what only kernels read: filled when everything is lowered, all of it side by side. arg is copied; what it points to is as old as the
 * program (slots are not: they move). */
void *pt_lower_pack_later(struct pt_lower *l, const struct pt_slot *s, uint64_t kind, size_t bytes, pt_pack_fn fill, const void *arg,
                          size_t arg_bytes);

#endif
