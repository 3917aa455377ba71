/* SPDX-License-Identifier: Apache-2.0
 *
 * tree_read.c: the attributes that describe trees, as raw nodes (tree.h). What they say is checked for making sense here, for being trees in
 * tree_build.c.
 *
 * TreeEnsemble (version 5) has lists for inner nodes and lists for leaves, and refers to them by position. TreeEnsembleRegressor and
 * TreeEnsembleClassifier have one list of nodes, named by numbers of tree and node, and a list of weights, each for such a pair.
 */
#include "runtime/ops/ml/tree.h"
#include "runtime/ops/order.h"

#include <math.h>
#include <stdio.h>

static void *alloc(struct pt_op_ctx *c, int64_t count, size_t size)
{
    void *p = pt_calloc((size_t)count + 1, size);
    if (!p)
        pt_op_fail(c, PT_ENOMEM, "out of memory for %lld nodes of trees", (long long)count);
    return p;
}

/* A list of `count` (or any number, with -1: then it sets it) integers that must be given. */
static int read_ints(struct pt_op_ctx *c, const char *name, int64_t *count, const int64_t **out)
{
    int64_t n;
    int rc = pt_attr_int64s(c, name, out, &n);
    if (rc < 0)
        return rc;
    if (n < 1)
        return pt_op_fail(c, PT_EINVAL, "attribute '%s' is missing", name);
    if (*count >= 0 && n != *count)
        return pt_op_fail(c, PT_EINVAL, "attribute '%s' has %lld values, needs %lld", name, (long long)n, (long long)*count);
    *count = n;
    return PT_OK;
}

/* Numbers from a list of floats or, under the other name, a tensor; NULL when neither is given. The result is the caller's. */
static int read_numbers(struct pt_op_ctx *c, const char *name, const char *tensor_name, int64_t *count, double **out)
{
    struct pt_tensor t = {0};
    int rc = pt_attr_list(c, name, &t);
    *out = NULL;
    if (rc == PT_OK && t.dtype == PT_UNDEFINED && tensor_name)
        rc = pt_attr_list(c, tensor_name, &t);
    if (rc < 0 || t.dtype == PT_UNDEFINED)
        return rc;
    int64_t n = pt_tensor_count(&t);
    if (!(PT_T(t.dtype) & (PT_TS_FLOAT | PT_TS_HALF)) || (*count >= 0 && n != *count))
        return pt_op_fail(c, PT_EINVAL, "attribute '%s' is %s, needs %lld numbers", name, PT_SHAPE(&t), (long long)*count);
    if (!(*out = alloc(c, n, sizeof **out)))
        return PT_ENOMEM;
    pt_load_f64(&t, 0, n, *out);
    *count = n;
    return PT_OK;
}

static int check_feature(struct pt_op_ctx *c, int64_t feature)
{
    if (feature < 0 || feature >= (int64_t)PT_TREE_FEATURE)
        return pt_op_fail(c, PT_EINVAL, "attribute 'nodes_featureids' has the value %lld", (long long)feature);
    return PT_OK;
}

static int check_count(struct pt_op_ctx *c, int64_t n)
{
    return n > INT32_MAX / 4 ? pt_op_fail(c, PT_ELIMIT, "%lld nodes of trees are too many", (long long)n) : PT_OK;
}

/* --- version 5 --------------------------------------------------------------------------------------------------------------------------------- */

struct v5 {
    const int64_t *features, *kids[2], *leafs[2], *missing, *targets, *roots; /* pairs: false, true */
    struct pt_tensor modes;
    double *splits;
    int64_t inner, leaves;
};

static int read_modes(struct pt_op_ctx *c, struct v5 *v)
{
    int rc = pt_attr_list(c, "nodes_modes", &v->modes);
    if (rc < 0)
        return rc;
    if (v->modes.dtype != PT_UINT8 || pt_tensor_count(&v->modes) != v->inner)
        return pt_op_fail(c, PT_EINVAL, "attribute 'nodes_modes' is %s, must be %lld of uint8", PT_SHAPE(&v->modes), (long long)v->inner);
    for (int64_t i = 0; i < v->inner; i++)
        if (((const uint8_t *)v->modes.data)[i] > PT_TREE_MEMBER)
            return pt_op_fail(c, PT_EINVAL, "attribute 'nodes_modes' has the value %d", ((const uint8_t *)v->modes.data)[i]);
    return PT_OK;
}

static int read_v5_lists(struct pt_op_ctx *c, struct v5 *v, struct pt_raw_trees *r)
{
    int64_t missing;
    int rc;
    v->inner = v->leaves = r->root_count = -1;
    if ((rc = read_ints(c, "nodes_featureids", &v->inner, &v->features)) < 0 ||
        (rc = read_ints(c, "nodes_falsenodeids", &v->inner, &v->kids[0])) < 0 ||
        (rc = read_ints(c, "nodes_truenodeids", &v->inner, &v->kids[1])) < 0 ||
        (rc = read_ints(c, "nodes_falseleafs", &v->inner, &v->leafs[0])) < 0 || (rc = read_ints(c, "nodes_trueleafs", &v->inner, &v->leafs[1])) < 0 ||
        (rc = read_ints(c, "leaf_targetids", &v->leaves, &v->targets)) < 0 || (rc = read_ints(c, "tree_roots", &r->root_count, &v->roots)) < 0 ||
        (rc = read_modes(c, v)) < 0 || (rc = read_numbers(c, "nodes_splits", NULL, &v->inner, &v->splits)) < 0 ||
        (rc = pt_attr_int64s(c, "nodes_missing_value_tracks_true", &v->missing, &missing)) < 0)
        return rc;
    if (missing > 0 && missing != v->inner)
        return pt_op_fail(c, PT_EINVAL, "attribute 'nodes_missing_value_tracks_true' has %lld values for %lld nodes", (long long)missing,
                          (long long)v->inner);
    if (!v->splits)
        return pt_op_fail(c, PT_EINVAL, "attribute 'nodes_splits' is missing");
    v->missing = missing > 0 ? v->missing : NULL;
    r->weight_count = v->leaves;
    r->member_count = -1;
    if ((rc = read_numbers(c, "leaf_weights", NULL, &r->weight_count, &r->weights)) < 0 ||
        (rc = read_numbers(c, "membership_values", NULL, &r->member_count, &r->members)) < 0)
        return rc;
    r->member_count = r->members ? r->member_count : 0;
    return r->weights ? check_count(c, v->inner + v->leaves) : pt_op_fail(c, PT_EINVAL, "attribute 'leaf_weights' is missing");
}

/* A child as a raw node: leaves stand behind the inner nodes. */
static int v5_kid(struct pt_op_ctx *c, const struct v5 *v, int64_t i, int which, int32_t *kid)
{
    int64_t k = v->kids[which][i], limit = v->leafs[which][i] ? v->leaves : v->inner;
    if (k < 0 || k >= limit)
        return pt_op_fail(c, PT_EINVAL, "attribute 'nodes_%snodeids' has the value %lld, there are %lld", which ? "true" : "false", (long long)k,
                          (long long)limit);
    *kid = (int32_t)(v->leafs[which][i] ? v->inner + k : k);
    return PT_OK;
}

/* The next set: up to a NaN. */
static int take_members(struct pt_op_ctx *c, struct pt_raw_trees *r, int64_t *at, struct pt_raw_node *n)
{
    n->first = (int32_t)*at;
    while (*at < r->member_count && !isnan(r->members[*at]))
        ++*at;
    n->count = (int32_t)*at - n->first;
    if (*at >= r->member_count)
        return pt_op_fail(c, PT_EINVAL, "attribute 'membership_values' has too few sets");
    ++*at;
    return PT_OK;
}

static int fill_v5(struct pt_op_ctx *c, const struct v5 *v, struct pt_raw_trees *r)
{
    int64_t member = 0;
    for (int64_t i = 0; i < v->inner; i++) {
        struct pt_raw_node *n = &r->nodes[i];
        int rc = check_feature(c, v->features[i]);
        if (rc < 0 || (rc = v5_kid(c, v, i, 0, &n->kid[0])) < 0 || (rc = v5_kid(c, v, i, 1, &n->kid[1])) < 0)
            return rc;
        n->split = v->splits[i];
        n->feature = (int32_t)v->features[i];
        n->mode = ((const uint8_t *)v->modes.data)[i];
        n->missing_true = v->missing && v->missing[i];
        if (n->mode == PT_TREE_MEMBER && (rc = take_members(c, r, &member, n)) < 0)
            return rc;
    }
    for (int64_t i = 0; i < v->leaves; i++) {
        r->nodes[v->inner + i] = (struct pt_raw_node){.mode = PT_TREE_LEAF, .first = (int32_t)i, .count = 1};
        r->targets[i] = v->targets[i] < 0 || v->targets[i] > INT32_MAX ? -1 : (int32_t)v->targets[i];
    }
    for (int64_t i = 0; i < r->root_count; i++) {
        if (v->roots[i] < 0 || v->roots[i] >= v->inner)
            return pt_op_fail(c, PT_EINVAL, "attribute 'tree_roots' has the value %lld, there are %lld nodes", (long long)v->roots[i],
                              (long long)v->inner);
        r->roots[i] = (int32_t)v->roots[i];
    }
    return PT_OK;
}

int pt_trees_read_v5(struct pt_op_ctx *c, struct pt_raw_trees *r)
{
    struct v5 v = {0};
    int rc = read_v5_lists(c, &v, r);
    if (rc == PT_OK) {
        r->node_count = v.inner + v.leaves;
        r->nodes = alloc(c, r->node_count, sizeof *r->nodes);
        r->roots = alloc(c, r->root_count, sizeof *r->roots);
        r->targets = alloc(c, v.leaves, sizeof *r->targets);
        rc = r->nodes && r->roots && r->targets ? fill_v5(c, &v, r) : PT_ENOMEM;
    }
    pt_free(v.splits);
    return rc;
}

/* --- versions 1 and 3 ------------------------------------------------------------------------------------------------------------------------------
 */

struct v1 {
    const int64_t *trees, *nodes, *features, *kids[2], *missing;
    const int64_t *weight_trees, *weight_nodes, *weight_targets;
    double *splits, *weights;
    int64_t *order; /* node positions sorted by tree and number */
    int64_t count, weight_count;
};

static int compare_ids(int64_t tree_a, int64_t node_a, int64_t tree_b, int64_t node_b)
{
    int d = (tree_a > tree_b) - (tree_a < tree_b);
    return d ? d : (node_a > node_b) - (node_a < node_b);
}

static int compare_nodes(const void *arg, int64_t a, int64_t b)
{
    const struct v1 *v = arg;
    return compare_ids(v->trees[a], v->nodes[a], v->trees[b], v->nodes[b]);
}

/* Position of a node, or -1. `near` is the position of another node: nearly always a tree's nodes stand in order, and its number leads to this one.
 */
static int32_t find_node(const struct v1 *v, int64_t tree, int64_t node, int64_t near)
{
    int64_t lo = 0, hi = v->count, guess;
    if (!__builtin_sub_overflow(node, v->nodes[near], &guess) && !__builtin_add_overflow(guess, near, &guess) && guess >= 0 && guess < v->count &&
        v->trees[guess] == tree && v->nodes[guess] == node)
        return (int32_t)guess;
    while (lo < hi) {
        int64_t mid = (lo + hi) / 2, i = v->order[mid];
        int d = compare_ids(v->trees[i], v->nodes[i], tree, node);
        if (d == 0)
            return (int32_t)i;
        if (d < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return -1;
}

static int sort_nodes(struct pt_op_ctx *c, struct v1 *v)
{
    pt_auto_free int64_t *tmp = alloc(c, v->count, sizeof *tmp);
    if (!tmp || !(v->order = alloc(c, v->count, sizeof *v->order)))
        return PT_ENOMEM;
    for (int64_t i = 0; i < v->count; i++)
        v->order[i] = i;
    bool sorted = true;
    for (int64_t i = 1; sorted && i < v->count; i++)
        sorted = compare_nodes(v, i - 1, i) <= 0;
    if (!sorted)
        pt_sort(v->order, tmp, v->count, compare_nodes, v);
    for (int64_t i = 1; i < v->count; i++)
        if (compare_nodes(v, v->order[i - 1], v->order[i]) == 0)
            return pt_op_fail(c, PT_EINVAL, "node %lld of tree %lld is there twice", (long long)v->nodes[v->order[i]],
                              (long long)v->trees[v->order[i]]);
    return PT_OK;
}

static int read_v1_lists(struct pt_op_ctx *c, const char *kind, struct v1 *v)
{
    char trees[32], nodes[32], ids[32], weights[32], tensor[40];
    int64_t missing;
    int rc;
    snprintf(trees, sizeof trees, "%s_treeids", kind);
    snprintf(nodes, sizeof nodes, "%s_nodeids", kind);
    snprintf(ids, sizeof ids, "%s_ids", kind);
    snprintf(weights, sizeof weights, "%s_weights", kind);
    snprintf(tensor, sizeof tensor, "%s_weights_as_tensor", kind);
    v->count = v->weight_count = -1;
    if ((rc = read_ints(c, "nodes_treeids", &v->count, &v->trees)) < 0 || (rc = read_ints(c, "nodes_nodeids", &v->count, &v->nodes)) < 0 ||
        (rc = read_ints(c, "nodes_featureids", &v->count, &v->features)) < 0 ||
        (rc = read_ints(c, "nodes_falsenodeids", &v->count, &v->kids[0])) < 0 ||
        (rc = read_ints(c, "nodes_truenodeids", &v->count, &v->kids[1])) < 0 || (rc = read_ints(c, trees, &v->weight_count, &v->weight_trees)) < 0 ||
        (rc = read_ints(c, nodes, &v->weight_count, &v->weight_nodes)) < 0 || (rc = read_ints(c, ids, &v->weight_count, &v->weight_targets)) < 0 ||
        (rc = pt_attr_int64s(c, "nodes_missing_value_tracks_true", &v->missing, &missing)) < 0 ||
        (rc = read_numbers(c, "nodes_values", "nodes_values_as_tensor", &v->count, &v->splits)) < 0 ||
        (rc = read_numbers(c, weights, tensor, &v->weight_count, &v->weights)) < 0)
        return rc;
    if (!v->splits || !v->weights)
        return pt_op_fail(c, PT_EINVAL, "attribute '%s' is missing", v->splits ? weights : "nodes_values");
    if (missing > 0 && missing != v->count)
        return pt_op_fail(c, PT_EINVAL, "attribute 'nodes_missing_value_tracks_true' has %lld values for %lld nodes", (long long)missing,
                          (long long)v->count);
    v->missing = missing > 0 ? v->missing : NULL;
    return check_count(c, v->count + v->weight_count);
}

static int mode_of(struct pt_op_ctx *c, const struct pt_onnx_attr *modes, int64_t i, uint8_t *mode)
{
    static const char *const names[] = {"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "", "LEAF"};
    for (uint8_t k = 0; k < sizeof names / sizeof *names; k++)
        if (modes->strings[i].len && pt_str_eq(modes->strings[i], pt_str(names[k]))) {
            *mode = k;
            return PT_OK;
        }
    return pt_op_fail(c, PT_EINVAL, "attribute 'nodes_modes' has the value \"" PT_STR_FMT "\"", PT_STR_ARG(modes->strings[i]));
}

static int fill_v1_nodes(struct pt_op_ctx *c, const struct v1 *v, struct pt_raw_trees *r, uint8_t *is_kid)
{
    const struct pt_onnx_attr *modes = pt_node_attr(c->node, "nodes_modes");
    if (!modes || modes->type != PT_ATTR_STRINGS || modes->count != (size_t)v->count)
        return pt_op_fail(c, PT_EINVAL, "attribute 'nodes_modes' does not have %lld strings", (long long)v->count);
    for (int64_t i = 0; i < v->count; i++) {
        struct pt_raw_node *n = &r->nodes[i];
        int rc = mode_of(c, modes, i, &n->mode);
        if (rc < 0 || (n->mode != PT_TREE_LEAF && (rc = check_feature(c, v->features[i])) < 0))
            return rc;
        n->split = v->splits[i];
        n->missing_true = v->missing && v->missing[i];
        if (n->mode == PT_TREE_LEAF)
            continue;
        n->feature = (int32_t)v->features[i];
        for (int k = 0; k < 2; k++) {
            if ((n->kid[k] = find_node(v, v->trees[i], v->kids[k][i], i)) < 0)
                return pt_op_fail(c, PT_EINVAL, "node %lld of tree %lld has a child %lld, which is not there", (long long)v->nodes[i],
                                  (long long)v->trees[i], (long long)v->kids[k][i]);
            is_kid[n->kid[k]] = 1;
        }
    }
    return PT_OK;
}

/* A tree's root is nobody's child; trees in the order in which their first nodes stand. */
static int find_roots(struct pt_op_ctx *c, const struct v1 *v, struct pt_raw_trees *r, const uint8_t *is_kid)
{
    int64_t trees = 0;
    for (int64_t i = 0; i < v->count; i++)
        if (!is_kid[i])
            r->roots[r->root_count++] = (int32_t)i;
    for (int64_t i = 0; i < v->count; i++)
        trees += i == 0 || v->trees[v->order[i]] != v->trees[v->order[i - 1]];
    return trees == r->root_count
               ? PT_OK
               : pt_op_fail(c, PT_EINVAL, "%lld trees have %lld nodes without a parent", (long long)trees, (long long)r->root_count);
}

/* Weights sorted by leaf, in the order in which they stand for each. */
static int fill_v1_weights(struct pt_op_ctx *c, const struct v1 *v, struct pt_raw_trees *r)
{
    pt_auto_free int32_t *leaf = alloc(c, v->weight_count, sizeof *leaf);
    if (!leaf)
        return PT_ENOMEM;
    for (int64_t i = 0; i < v->weight_count; i++) {
        leaf[i] = find_node(v, v->weight_trees[i], v->weight_nodes[i], i ? leaf[i - 1] : 0);
        if (leaf[i] < 0 || r->nodes[leaf[i]].mode != PT_TREE_LEAF)
            return pt_op_fail(c, PT_EINVAL, "a weight is for node %lld of tree %lld, which is no leaf", (long long)v->weight_nodes[i],
                              (long long)v->weight_trees[i]);
        r->nodes[leaf[i]].count++;
    }
    int32_t at = 0;
    for (int64_t i = 0; i < v->count; i++) {
        r->nodes[i].first = at;
        at += r->nodes[i].count;
        r->nodes[i].count = 0;
    }
    for (int64_t i = 0; i < v->weight_count; i++) {
        struct pt_raw_node *n = &r->nodes[leaf[i]];
        int32_t k = n->first + n->count++;
        r->weights[k] = v->weights[i];
        r->targets[k] = v->weight_targets[i] < 0 || v->weight_targets[i] > INT32_MAX ? -1 : (int32_t)v->weight_targets[i];
    }
    return PT_OK;
}

static int fill_v1(struct pt_op_ctx *c, const struct v1 *v, struct pt_raw_trees *r)
{
    pt_auto_free uint8_t *is_kid = alloc(c, v->count, 1);
    int rc;
    r->node_count = v->count;
    r->weight_count = v->weight_count;
    r->nodes = alloc(c, v->count, sizeof *r->nodes);
    r->roots = alloc(c, v->count, sizeof *r->roots);
    r->weights = alloc(c, v->weight_count, sizeof *r->weights);
    r->targets = alloc(c, v->weight_count, sizeof *r->targets);
    if (!is_kid || !r->nodes || !r->roots || !r->weights || !r->targets)
        return PT_ENOMEM;
    if ((rc = fill_v1_nodes(c, v, r, is_kid)) < 0 || (rc = find_roots(c, v, r, is_kid)) < 0)
        return rc;
    return fill_v1_weights(c, v, r);
}

int pt_trees_read_v1(struct pt_op_ctx *c, const char *kind, struct pt_raw_trees *r)
{
    struct v1 v = {0};
    int rc = read_v1_lists(c, kind, &v);
    if (rc == PT_OK && (rc = sort_nodes(c, &v)) == PT_OK)
        rc = fill_v1(c, &v, r);
    pt_free(v.splits);
    pt_free(v.weights);
    pt_free(v.order);
    return rc;
}
