/* SPDX-License-Identifier: Apache-2.0
 *
 * tree.h: ensembles of decision trees.
 *
 * Three operators describe them in two ways (tree_read.c); both become a list of raw nodes, which tree_build.c lays out for walking, once, when the
 * session is opened:
 *
 *   - a node is 16 bytes; its two children stand side by side, so that a comparison's outcome, 0 or 1, is added to one index: no branch;
 *   - <, >= and > become <=, with the threshold one step lower or the children exchanged; a bit says where NaN goes;
 *   - a leaf leads to itself, so that several samples (or several trees) can be walked in step until all of them stand still: that hides the
 *     memory's latency, which is what walking trees costs.
 *
 * Trees lie level by level, roots first. Equality and set membership need a test per node, and get a walk of their own.
 */
#ifndef PT_RUNTIME_OPS_TREE_H
#define PT_RUNTIME_OPS_TREE_H

#include "runtime/ops/ml/ml.h"

/* --- what the attributes say ------------------------------------------------------------------------------------------------------------- */
enum pt_tree_mode { PT_TREE_LEQ, PT_TREE_LT, PT_TREE_GTE, PT_TREE_GT, PT_TREE_EQ, PT_TREE_NEQ, PT_TREE_MEMBER, PT_TREE_LEAF };

struct pt_raw_node {
    double split;
    int32_t feature;
    int32_t kid[2];       /* raw nodes: for false, for true */
    int32_t first, count; /* LEAF: weights; MEMBER: members */
    uint8_t mode;         /* pt_tree_mode */
    bool missing_true;    /* NaN goes to kid[1] */
};
struct pt_raw_trees {
    struct pt_raw_node *nodes;
    int32_t *roots;
    int64_t node_count, root_count;
    double *weights, *members;
    int32_t *targets; /* per weight */
    int64_t weight_count, member_count;
};
void pt_raw_trees_free(struct pt_raw_trees *r);

/* --- what is walked -------------------------------------------------------------------------------------------------------------------------- */
#define PT_TREE_MISSING 0x80000000u /* in `feature`: NaN goes to the true child */
#define PT_TREE_EQUAL 0x40000000u
#define PT_TREE_IN_SET 0x20000000u
#define PT_TREE_FEATURE 0x1fffffffu

struct pt_tree_node {
    double split;     /* leaf: a NaN that carries the leaf's first weight; member: one that carries its set */
    uint32_t feature; /* and bits */
    uint32_t next;    /* the false child; the true one is behind it; leaf: itself */
};
struct pt_tree_range {
    uint32_t first, count;
};

enum pt_tree_aggregate { PT_TREE_AVERAGE, PT_TREE_SUM, PT_TREE_MIN, PT_TREE_MAX };

struct pt_trees {
    struct pt_tree_node *nodes;
    uint32_t *roots;
    struct pt_tree_range *ranges; /* of weights per leaf, of members per set; what the split's NaN carries is an index here */
    double *weights, *members;
    int32_t *targets;
    const double *base;                                     /* NULL or base_count values */
    int64_t root_count, features, target_count, base_count; /* features: one more than the greatest */
    int aggregate, post;
    bool simple; /* no equality, no sets */
    /* classifier */
    struct pt_ml_labels labels;
    bool positive, one_class, has_second; /* no weight below 0; all weights for one class; some for class 1 */
};

int pt_trees_read_v5(struct pt_op_ctx *c, struct pt_raw_trees *r);
/* `kind` is "target" or "class": the prefix of the attributes that hold the weights. */
int pt_trees_read_v1(struct pt_op_ctx *c, const char *kind, struct pt_raw_trees *r);
/* Lays the trees out; also checks that they are trees and that targets are below t->target_count. */
int pt_trees_build(struct pt_op_ctx *c, const struct pt_raw_trees *r, struct pt_trees *t);

/* acc[row * target_count + target] <- sums (or least, greatest) over all trees, without base values; x: float32 or float64 rows. */
void pt_trees_walk(const struct pt_trees *t, enum pt_dtype dtype, const void *x, int64_t columns, int64_t rows, double *acc);

#endif
