/* SPDX-License-Identifier: Apache-2.0
 *
 * tree_build.c: lays trees out for walking (tree.h), level by level: the output is its own queue.
 */
#include "runtime/ops/ml/tree.h"

#include <math.h>

void pt_raw_trees_free(struct pt_raw_trees *r)
{
    pt_free(r->nodes);
    pt_free(r->roots);
    pt_free(r->weights);
    pt_free(r->members);
    pt_free(r->targets);
    *r = (struct pt_raw_trees){0};
}

struct build {
    struct pt_op_ctx *c;
    const struct pt_raw_trees *r;
    struct pt_trees *t;
    int32_t *raw;     /* per node that was laid out: what it is */
    uint8_t *visited; /* per raw node */
    uint32_t count, range_count;
};

static double nan_with(uint32_t payload)
{
    uint64_t bits = 0x7ff8000000000000 | payload;
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static void put_range(struct build *b, struct pt_tree_node *to, const struct pt_raw_node *n)
{
    to->split = nan_with(b->range_count);
    b->t->ranges[b->range_count++] = (struct pt_tree_range){(uint32_t)n->first, (uint32_t)n->count};
}

/* The comparison as <=, = or membership; `swap`: with the children exchanged. */
static void put_test(struct build *b, struct pt_tree_node *to, const struct pt_raw_node *n, bool *swap)
{
    bool missing = n->missing_true;
    *swap = n->mode == PT_TREE_GTE || n->mode == PT_TREE_GT || n->mode == PT_TREE_NEQ;
    to->feature = (uint32_t)n->feature;
    to->split = n->mode == PT_TREE_LT || n->mode == PT_TREE_GTE ? nextafter(n->split, -INFINITY) : n->split;
    if (n->mode == PT_TREE_EQ || n->mode == PT_TREE_NEQ)
        to->feature |= PT_TREE_EQUAL;
    if (n->mode == PT_TREE_NEQ) /* NaN differs from everything */
        missing = true;
    if (n->mode == PT_TREE_MEMBER) {
        to->feature |= PT_TREE_IN_SET;
        put_range(b, to, n);
    }
    if (missing != *swap)
        to->feature |= PT_TREE_MISSING;
    b->t->simple = b->t->simple && n->mode <= PT_TREE_GT;
    if (n->feature >= b->t->features)
        b->t->features = n->feature + 1;
}

static int push(struct build *b, int32_t raw)
{
    if (raw < 0 || raw >= b->r->node_count)
        return pt_op_fail(b->c, PT_EINVAL, "a node of a tree names a child %d, there are %lld nodes", raw, (long long)b->r->node_count);
    if (b->r->nodes[raw].mode != PT_TREE_LEAF && b->visited[raw]++)
        return pt_op_fail(b->c, PT_EINVAL, "node %d of a tree has two parents", raw);
    b->raw[b->count++] = raw;
    return PT_OK;
}

static int lay_out(struct build *b, uint32_t at)
{
    const struct pt_raw_node *n = &b->r->nodes[b->raw[at]];
    struct pt_tree_node *to = &b->t->nodes[at];
    bool swap;
    *to = (struct pt_tree_node){.next = at};
    if (n->mode == PT_TREE_LEAF) {
        put_range(b, to, n);
        return PT_OK;
    }
    put_test(b, to, n, &swap);
    to->next = b->count;
    int rc = push(b, n->kid[swap]);
    return rc < 0 ? rc : push(b, n->kid[!swap]);
}

static int lay_out_all(struct build *b)
{
    const struct pt_raw_trees *r = b->r;
    for (int64_t i = 0; i < r->root_count; i++) {
        b->t->roots[i] = b->count;
        int rc = push(b, r->roots[i]);
        for (uint32_t at = b->t->roots[i]; rc == PT_OK && at < b->count; at++)
            rc = lay_out(b, at);
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

static void *keep(struct pt_op_ctx *c, const void *from, int64_t count, size_t size)
{
    void *to = pt_op_alloc(c, (size_t)count * size);
    if (to && count)
        memcpy(to, from, (size_t)count * size);
    return to;
}

static int check_targets(struct build *b)
{
    const struct pt_raw_trees *r = b->r;
    struct pt_trees *t = b->t;
    t->positive = t->one_class = true;
    for (int64_t i = 0; i < r->weight_count; i++) {
        if (r->targets[i] < 0 || r->targets[i] >= t->target_count)
            return pt_op_fail(b->c, PT_EINVAL, "a leaf adds to target %d, there are %lld", r->targets[i], (long long)t->target_count);
        t->positive = t->positive && r->weights[i] >= 0;
        t->one_class = t->one_class && r->targets[i] == r->targets[0];
        t->has_second = t->has_second || r->targets[i] == 1;
    }
    return PT_OK;
}

int pt_trees_build(struct pt_op_ctx *c, const struct pt_raw_trees *r, struct pt_trees *t)
{
    int64_t inner = 0;
    for (int64_t i = 0; i < r->node_count; i++)
        inner += r->nodes[i].mode != PT_TREE_LEAF;
    size_t room = (size_t)(r->root_count + 2 * inner); /* each inner node is reached once */
    if (room >= UINT32_MAX || r->weight_count > INT32_MAX || r->member_count > INT32_MAX)
        return pt_op_fail(c, PT_ELIMIT, "%lld nodes of trees are too many", (long long)r->node_count);
    t->simple = true;
    t->root_count = r->root_count;
    t->nodes = pt_op_alloc(c, room * sizeof *t->nodes);
    t->ranges = pt_op_alloc(c, room * sizeof *t->ranges);
    t->roots = pt_op_alloc(c, (size_t)r->root_count * sizeof *t->roots);
    t->weights = keep(c, r->weights, r->weight_count, sizeof *t->weights);
    t->targets = keep(c, r->targets, r->weight_count, sizeof *t->targets);
    t->members = keep(c, r->members, r->member_count, sizeof *t->members);
    if (!t->nodes || !t->ranges || !t->roots || !t->weights || !t->targets || !t->members)
        return c->err->code;
    pt_auto_free int32_t *raw = pt_reallocarray(NULL, room + 1, sizeof *raw);
    pt_auto_free uint8_t *visited = pt_calloc((size_t)r->node_count + 1, 1);
    if (!raw || !visited)
        return pt_op_fail(c, PT_ENOMEM, "out of memory for %lld nodes of trees", (long long)r->node_count);
    struct build b = {.c = c, .r = r, .t = t, .raw = raw, .visited = visited};
    int rc = check_targets(&b);
    return rc < 0 ? rc : lay_out_all(&b);
}

/* --- walking ------------------------------------------------------------------------------------------------------------------------------- */

#define LANES 8

static uint32_t payload(double split)
{
    uint64_t bits;
    memcpy(&bits, &split, sizeof bits);
    return (uint32_t)bits;
}

static void add_leaf(const struct pt_trees *t, uint32_t node, double *acc)
{
    struct pt_tree_range range = t->ranges[payload(t->nodes[node].split)];
    for (uint32_t i = range.first; i < range.first + range.count; i++) {
        double *to = &acc[t->targets[i]], w = t->weights[i];
        if (t->aggregate == PT_TREE_SUM || t->aggregate == PT_TREE_AVERAGE)
            *to += w;
        else if (isnan(*to) || (t->aggregate == PT_TREE_MIN ? w < *to : w > *to))
            *to = w;
    }
}

static bool is_member(const struct pt_trees *t, double split, double x)
{
    struct pt_tree_range range = t->ranges[payload(split)];
    for (uint32_t i = range.first; i < range.first + range.count; i++)
        if (t->members[i] == x)
            return true;
    return false;
}

static uint32_t test_any(const struct pt_trees *t, const struct pt_tree_node *n, double x)
{
    bool yes = n->feature & PT_TREE_EQUAL ? x == n->split : n->feature & PT_TREE_IN_SET ? is_member(t, n->split, x) : x <= n->split;
    return yes | ((n->feature & PT_TREE_MISSING) && isnan(x));
}

/* All trees for all rows; every LANES pairs of a tree and a row, tree by tree, go down together. */
#define WALK(T, name, test)                                                                                                                          \
    static void name(const struct pt_trees *t, const T *x, int64_t columns, int64_t rows, double *acc)                                               \
    {                                                                                                                                                \
        const struct pt_tree_node *nodes = t->nodes;                                                                                                 \
        int64_t tree = 0, row = 0;                                                                                                                   \
        while (tree < t->root_count && rows) {                                                                                                       \
            const T *at[LANES];                                                                                                                      \
            uint32_t node[LANES], moved;                                                                                                             \
            double *to[LANES];                                                                                                                       \
            int lanes = 0;                                                                                                                           \
            for (; lanes < LANES && tree < t->root_count; lanes++) {                                                                                 \
                node[lanes] = t->roots[tree];                                                                                                        \
                at[lanes] = x + row * columns;                                                                                                       \
                to[lanes] = acc + row * t->target_count;                                                                                             \
                row = row + 1 == rows ? 0 : row + 1;                                                                                                 \
                tree += row == 0;                                                                                                                    \
            }                                                                                                                                        \
            for (int k = lanes; k < LANES; k++) {                                                                                                    \
                node[k] = node[0];                                                                                                                   \
                at[k] = at[0];                                                                                                                       \
            }                                                                                                                                        \
            do {                                                                                                                                     \
                moved = 0;                                                                                                                           \
                for (int k = 0; k < LANES; k++) {                                                                                                    \
                    const struct pt_tree_node *n = &nodes[node[k]];                                                                                  \
                    double v = (double)at[k][n->feature & PT_TREE_FEATURE];                                                                          \
                    uint32_t next = n->next + (test);                                                                                                \
                    moved |= next ^ node[k];                                                                                                         \
                    node[k] = next;                                                                                                                  \
                }                                                                                                                                    \
            } while (moved);                                                                                                                         \
            for (int k = 0; k < lanes; k++)                                                                                                          \
                add_leaf(t, node[k], to[k]);                                                                                                         \
        }                                                                                                                                            \
    }
#define TEST_SIMPLE (uint32_t)(v <= n->split) | ((uint32_t)(v != v) & n->feature >> 31)
/* a leaf's split is NaN and its bits are clear, so that it passes no test */
#define TEST_ANY test_any(t, n, v)
WALK(float, walk_f32, TEST_SIMPLE)
WALK(double, walk_f64, TEST_SIMPLE)
WALK(float, walk_any_f32, TEST_ANY)
WALK(double, walk_any_f64, TEST_ANY)

/* Rows that stay in the cache while all trees pass over them: many, for each block loads all trees anew. */
#define BLOCK_ELEMENTS 32768

static int64_t block_rows(int64_t columns)
{
    int64_t rows = columns ? BLOCK_ELEMENTS / columns : BLOCK_ELEMENTS;
    return rows < 2 * LANES ? 2 * LANES : rows > 1024 ? 1024 : rows;
}

void pt_trees_walk(const struct pt_trees *t, enum pt_dtype dtype, const void *x, int64_t columns, int64_t rows, double *acc)
{
    bool sums = t->aggregate == PT_TREE_SUM || t->aggregate == PT_TREE_AVERAGE;
    for (int64_t i = 0; i < rows * t->target_count; i++)
        acc[i] = sums ? 0 : NAN;
    int64_t block = block_rows(columns);
    for (int64_t r = 0; r < rows; r += block) {
        int64_t n = rows - r < block ? rows - r : block;
        double *to = acc + r * t->target_count;
        if (dtype == PT_FLOAT)
            (t->simple ? walk_f32 : walk_any_f32)(t, (const float *)x + r * columns, columns, n, to);
        else
            (t->simple ? walk_f64 : walk_any_f64)(t, (const double *)x + r * columns, columns, n, to);
    }
}
