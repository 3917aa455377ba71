/* SPDX-License-Identifier: Apache-2.0
 *
 * prune_units.h: what a channel is coupled to.
 *
 * Every index along an axis that could shrink belongs to a unit: output channel 7 of a convolution, the 7th mean of the norm behind it, column 7 of
 * what reads it, and, where a residual branch is added, channel 7 over there are one unit, and what is removed is units. A value's axis has labels:
 * an array with a unit for each index, or NULL when nothing is known that could shrink it. Rules (one per operator, prune_rules.c) go through the
 * graph once, give outputs the labels that follow from the inputs', and tie units together that stand and fall with each other (a union-find).
 * Reshapes, concats, splits and heads are then nothing special: they are labels in another order, repeated, cut or put behind each other.
 *
 * What must stay (outputs of the model, operands of operators that nobody has a rule for) is pinned, with the node and the reason.
 *
 * Initializers get labels when somebody asks for them (pt_units_want): a constant can shrink along any axis.
 */
#ifndef PT_RUNTIME_COMPRESS_PRUNE_UNITS_H
#define PT_RUNTIME_COMPRESS_PRUNE_UNITS_H

#include "runtime/compress/prune_parts.h"

struct pt_unit {
    int parent;
    int pinned_by;   /* node; -1: none */
    int tied_by;     /* the node that last tied it to another; -1: none */
    const char *why; /* pinned; NULL: it is not */
    bool head;
    bool gone; /* of roots: chosen to be removed */
};

/* An integer that shapes are made of (prune_numbers.c): the size of an axis, as Shape gives it, or a number that has been computed and does not
 * depend on what the model reads, times one that does. */
struct pt_size_ref {
    struct pt_axes *of; /* the axis that it is the size of, or that it was computed from; NULL: none */
    int axis;
    bool is_number; /* value times rest; else the size itself */
    int64_t value;
    struct pt_str rest; /* an integer of the graph; empty: 1 */
};

/* A value. */
struct pt_axes {
    struct pt_str name;
    const struct pt_tensor *shape;
    int *labels[PT_MAX_RANK];
    int initializer;    /* -1: none */
    const char *frozen; /* an initializer all axes of which are pinned, also those asked for later; why */
    int frozen_by;
    bool vanishes;             /* of a value that is computed: its elements are zero where a unit's weights are */
    struct pt_size_ref *sizes; /* of int64 values of rank 0 and 1; NULL: no size among them */
};

struct pt_units {
    struct pt_edit *e;
    const struct pt_shapes *shapes;
    bool through_norms;
    struct pt_err *err;
    bool failed; /* err says why; all functions are then without effect */
    struct pt_arena arena;
    struct pt_map values; /* name -> struct pt_axes */
    struct pt_unit *units;
    size_t count, room;
    int node;       /* that a rule is looking at */
    uint8_t *modes; /* of nodes: what a rule wants to remember for its fix */
};

/* Goes through the graph. *u is the caller's; finish it also after a failure. */
int pt_units_find(struct pt_units *u, struct pt_edit *e, const struct pt_shapes *s, bool through_norms, struct pt_err *err);
void pt_units_finish(struct pt_units *u);
int pt_units_root(struct pt_units *u, int unit);

/* --- for rules ------------------------------------------------------------------------------------------------------------ */

/* Operands of a node: NULL when it is not given, or is no tensor. */
struct pt_axes *pt_units_in(struct pt_units *u, const struct pt_onnx_node *n, size_t i);
struct pt_axes *pt_units_out(struct pt_units *u, const struct pt_onnx_node *n, size_t i);
struct pt_axes *pt_units_value(struct pt_units *u, struct pt_str name);
static inline int64_t pt_axis_size(const struct pt_axes *v, int axis)
{
    return v->shape->dims[axis];
}
/* Labels of an axis, new ones for an initializer that has none; NULL: it has none, or it has no such axis. */
int *pt_units_want(struct pt_units *u, struct pt_axes *v, int axis);
void pt_units_want_all(struct pt_units *u, struct pt_axes *v);
/* New units, all pinned when why is not NULL. */
int *pt_units_fresh(struct pt_units *u, int64_t count, const char *why);
int *pt_units_array(struct pt_units *u, int64_t count);                /* for labels, not written */
struct pt_size_ref *pt_units_sizes(struct pt_units *u, int64_t count); /* none of them a size */
void pt_units_tie(struct pt_units *u, int a, int b);
void pt_units_tie_all(struct pt_units *u, const int *a, const int *b, int64_t count);
void pt_units_pin(struct pt_units *u, const int *labels, int64_t count, const char *why);
void pt_units_pin_axis(struct pt_units *u, struct pt_axes *v, int axis, const char *why);
void pt_units_pin_value(struct pt_units *u, struct pt_axes *v, const char *why);
/* Axes of one size become one: their units are tied, or pinned where only one of them has some. What both are then; may be NULL. */
int *pt_units_join(struct pt_units *u, struct pt_axes *a, int a_axis, struct pt_axes *b, int b_axis);
void pt_units_mark_heads(struct pt_units *u, const int *labels, int64_t count);

/* A rule and what its node needs when units are gone (may be NULL). */
struct pt_unit_rule {
    const char *domain, *op;
    void (*rule)(struct pt_units *u, const struct pt_onnx_node *n);
    int (*fix)(struct pt_units *u, int node, int ordinal); /* node: its index now; ordinal: the one that it had. May put nodes in front of it */
    bool takes_sizes;                                      /* operands that are sizes of axes are no reason to pin those */
};
const struct pt_unit_rule *pt_unit_rule_find(const struct pt_onnx_node *n);
/* Tables of rules, ended by a row without an operator. */
extern const struct pt_unit_rule pt_unit_rules_basic[], pt_unit_rules_moving[], pt_unit_rules_parts[], pt_unit_rules_product[],
    pt_unit_rules_numbers[];

/* Are its elements zero where a unit's weights are? Known once the node that makes it has been visited. */
bool pt_units_vanishes(struct pt_units *u, const struct pt_axes *v);
void pt_units_mark_vanishing(struct pt_units *u, const struct pt_onnx_node *n);
extern const char pt_units_is_input[]; /* why axes of inputs stay */
extern const char pt_units_missing[];  /* why a sum over what does not vanish keeps it */
bool pt_units_holds_numbers(struct pt_units *u, const struct pt_axes *v); /* of an initializer: may it be made zero? */
/* Axis of operand v that comes together with axis `axis` of y by broadcasting; -1: it is repeated along it. */
int pt_axes_broadcast(const struct pt_axes *v, const struct pt_axes *y, int axis);
void pt_units_elementwise(struct pt_units *u, const struct pt_onnx_node *n); /* the rule of Add */

bool pt_axes_has_sizes(const struct pt_axes *v);
/* Integer `at` of operand i of a node as a number; false: it is none, or nobody knows. */
bool pt_units_number(struct pt_units *u, const struct pt_onnx_node *n, size_t i, int64_t at, struct pt_size_ref *out);
/* Axes whose sizes are among v's integers stay: they are used for something that cannot follow. */
void pt_units_pin_sizes(struct pt_units *u, const struct pt_axes *v);
/* Operand i is y's shape, or the end of it: what cannot follow when y's axes shrink, or those that its integers come from, stays. */
void pt_units_check_shape(struct pt_units *u, const struct pt_onnx_node *n, size_t i, struct pt_axes *y);
/* The constant that operand i is, or NULL; without the edit's index, which every fix throws away. */
const struct pt_tensor *pt_units_constant(struct pt_units *u, const struct pt_onnx_node *n, size_t i);
int64_t pt_tensor_integer(const struct pt_tensor *t, int64_t i); /* of int32 and int64, aligned or not */

/* --- for fixes ------------------------------------------------------------------------------------------------------------ */

/* How long an axis, or labels, will be. */
int64_t pt_units_left(struct pt_units *u, const int *labels, int64_t count);
int64_t pt_units_axis_left(struct pt_units *u, const struct pt_axes *v, int axis);
bool pt_units_shrinks(struct pt_units *u, const struct pt_axes *y, int axis);
/* A new initializer of rank 0 or 1, at most PT_MAX_RANK numbers, int32 or int64; its name, p NULL with err written. */
struct pt_str pt_units_add_integers(struct pt_units *u, struct pt_str stem, enum pt_dtype dtype, int rank, const int64_t *v, int64_t count);

/* Rewrites operand i, y's shape. */
int pt_units_fix_shape(struct pt_units *u, int node, size_t i);

/* Removes what is gone from initializers and has nodes follow. The edit keeps what it was in *before: pt_units_restore. */
struct pt_units_before {
    struct pt_onnx_node *nodes;
    struct pt_tensor *tensors;
    size_t node_count, initializer_count;
};
int pt_units_remove(struct pt_units *u, struct pt_units_before *before);
/* The same with zeros instead: what removal must be equal to. */
int pt_units_zero(struct pt_units *u, struct pt_units_before *before);
void pt_units_restore(struct pt_edit *e, const struct pt_units_before *before);
/* Is every value as large as it should be? */
int pt_units_check(struct pt_units *u, const struct pt_shapes *now);

#endif
