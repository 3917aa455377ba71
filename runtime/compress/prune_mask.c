/* SPDX-License-Identifier: Apache-2.0
 *
 * prune_mask.c: which weights become zero. Single weights and blocks are the same thing, a block being one weight or block_rows x block_cols of them:
 * `unit` says which block a weight is in, a block is worth the sum of its weights, and the blocks worth least go. n:m has a rule of its own.
 *
 * The number that goes is round(amount * units), and ties are broken by place, so that the sparsity asked for is the sparsity there is.
 */
#include "runtime/compress/prune_parts.h"

#include <math.h>
#include <stdlib.h>

/* What can be taken away at once: units [first, first + count) of `worth`, `most` of them at most. */
struct unit {
    double worth;
    int layer;
    int64_t index; /* within the layer */
};

static int by_worth(const void *a, const void *b)
{
    const struct unit *x = a, *y = b;
    if (x->worth < y->worth || x->worth > y->worth)
        return x->worth < y->worth ? -1 : 1;
    if (x->layer != y->layer)
        return x->layer < y->layer ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* --- n:m -------------------------------------------------------------------------------------------------------------------- */

/* Of `len` weights, `stride` apart, the n of most worth stay. */
static void keep_largest(const float *scores, uint8_t *keep, int64_t stride, int64_t len, int64_t n)
{
    for (int64_t i = 0; i < len; i++) {
        int64_t better = 0;
        for (int64_t k = 0; k < len; k++)
            better += scores[k * stride] > scores[i * stride] || (k < i && scores[k * stride] >= scores[i * stride]);
        keep[i * stride] = better < n;
    }
}

static void choose_n_of_m(const struct pt_layer *l, const float *scores, int64_t n, int64_t m, uint8_t *keep)
{
    for (int64_t e = 0; e < l->count; e++) {
        int64_t i = pt_layer_in(l, e);
        if (i % m == 0)
            keep_largest(scores + e, keep + e, l->in_stride, l->ins - i < m ? l->ins - i : m, n);
    }
}

/* --- blocks ----------------------------------------------------------------------------------------------------------------- */

struct blocks {
    int64_t rows, cols; /* of a block */
    int64_t across;     /* blocks beside each other */
    int64_t count;
};

static struct blocks blocks_of(const struct pt_layer *l, const struct pt_prune_options *o)
{
    bool single = o->kind == PT_PRUNE_UNSTRUCTURED;
    struct blocks b = {.rows = single ? 1 : o->block_rows ? o->block_rows : 4, .cols = single || !o->block_cols ? 1 : o->block_cols};
    int64_t width = l->count / l->outs;
    b.across = (width + b.cols - 1) / b.cols;
    b.count = b.across * ((l->outs + b.rows - 1) / b.rows);
    return b;
}

/* The block of element e. Its row is the output channel, its column what is left of the place when that is taken out. */
static int64_t block_of(const struct pt_layer *l, const struct blocks *b, int64_t e)
{
    int64_t column = e / (l->out_stride * l->outs) * l->out_stride + e % l->out_stride;
    return pt_layer_out(l, e) / b->rows * b->across + column / b->cols;
}

static void fill_units(const struct pt_layer *l, int layer, const struct blocks *b, const float *scores, struct unit *u)
{
    for (int64_t i = 0; i < b->count; i++)
        u[i] = (struct unit){.layer = layer, .index = i};
    for (int64_t e = 0; e < l->count; e++)
        u[block_of(l, b, e)].worth += (double)scores[e];
}

/* Blocks at edges are smaller: what counts is the mean of a weight. */
static void take_means(const struct pt_layer *l, const struct blocks *b, struct unit *u)
{
    int64_t width = l->count / l->outs;
    for (int64_t i = 0; i < b->count; i++) {
        int64_t row = i / b->across * b->rows, col = i % b->across * b->cols;
        int64_t rows = l->outs - row < b->rows ? l->outs - row : b->rows, cols = width - col < b->cols ? width - col : b->cols;
        u[i].worth /= (double)(rows * cols);
    }
}

static void drop(const struct pt_layer *l, const struct blocks *b, const bool *gone, uint8_t *keep)
{
    for (int64_t e = 0; e < l->count; e++)
        keep[e] = !gone[block_of(l, b, e)];
}

/* LAMP: what a sorted list of squares is worth becomes its share of those that are not smaller. */
static void lamp(struct unit *u, int64_t n)
{
    double above = 0;
    qsort(u, (size_t)n, sizeof *u, by_worth);
    for (int64_t i = n; i-- > 0;) {
        above += u[i].worth;
        u[i].worth = above > 0 ? u[i].worth / above : 0;
    }
}

static int64_t share(double amount, int64_t n)
{
    return (int64_t)floor(amount * (double)n + 0.5);
}

static int choose_in_layer(const struct pt_layer *l, const struct pt_prune_options *o, const float *scores, uint8_t *keep, struct pt_err *err)
{
    struct blocks b = blocks_of(l, o);
    pt_auto_free struct unit *u = pt_calloc((size_t)b.count, sizeof *u);
    pt_auto_free bool *gone = pt_calloc((size_t)b.count, sizeof *gone);
    if (!u || !gone)
        return pt_fail(err, PT_ENOMEM, "out of memory for pruning");
    fill_units(l, 0, &b, scores, u);
    take_means(l, &b, u);
    /* Wanda compares the weights of one output, which are one row of units */
    int64_t each = o->criterion == PT_PRUNE_WANDA ? b.across : b.count;
    for (int64_t first = 0; first < b.count; first += each) {
        qsort(u + first, (size_t)each, sizeof *u, by_worth);
        for (int64_t i = 0, n = share(l->amount, each); i < n; i++)
            gone[u[first + i].index] = true;
    }
    drop(l, &b, gone, keep);
    return PT_OK;
}

/* --- all layers together ---------------------------------------------------------------------------------------------------- */

static int choose_globally(const struct pt_layers *l, float *const *scores, const struct pt_prune_options *o, uint8_t *const *keep,
                           struct pt_err *err)
{
    int64_t total = 0, at = 0;
    for (size_t i = 0; i < l->count; i++)
        total += keep[i] && !l->list[i].rule ? blocks_of(&l->list[i], o).count : 0;
    pt_auto_free struct unit *u = pt_calloc((size_t)total + 1, sizeof *u);
    pt_auto_free bool *gone = pt_calloc((size_t)total + 1, sizeof *gone);
    pt_auto_free int64_t *first = pt_calloc(l->count + 1, sizeof *first), *left = pt_calloc(l->count + 1, sizeof *left);
    if (!u || !gone || !first || !left)
        return pt_fail(err, PT_ENOMEM, "out of memory for pruning");
    for (size_t i = 0; i < l->count; i++) {
        if (!keep[i] || l->list[i].rule)
            continue;
        struct blocks b = blocks_of(&l->list[i], o);
        fill_units(&l->list[i], (int)i, &b, scores[i], u + at);
        take_means(&l->list[i], &b, u + at);
        if (o->lamp)
            lamp(u + at, b.count);
        first[i] = at;
        left[i] = (int64_t)floor((o->max_per_layer > 0 ? o->max_per_layer : 0.98) * (double)b.count);
        at += b.count;
    }
    qsort(u, (size_t)total, sizeof *u, by_worth);
    int64_t wanted = share(o->amount, total);
    for (int64_t i = 0; i < total && wanted > 0; i++)
        if (left[u[i].layer] > 0) {
            left[u[i].layer]--;
            wanted--;
            gone[first[u[i].layer] + u[i].index] = true;
        }
    for (size_t i = 0; i < l->count; i++)
        if (keep[i] && !l->list[i].rule) {
            struct blocks b = blocks_of(&l->list[i], o);
            drop(&l->list[i], &b, gone + first[i], keep[i]);
        }
    return PT_OK;
}

int pt_masks_choose(const struct pt_layers *l, float *const *scores, const struct pt_prune_options *o, uint8_t *const *keep, struct pt_err *err)
{
    int rc = PT_OK;
    bool global = o->scope == PT_PRUNE_GLOBAL && o->kind != PT_PRUNE_N_OF_M;
    for (size_t i = 0; rc == PT_OK && i < l->count; i++) {
        if (!keep[i])
            continue;
        if (o->kind == PT_PRUNE_N_OF_M)
            choose_n_of_m(&l->list[i], scores[i], o->m ? o->n : 2, o->m ? o->m : 4, keep[i]);
        else if (!global || l->list[i].rule)
            rc = choose_in_layer(&l->list[i], o, scores[i], keep[i], err);
    }
    return rc == PT_OK && global ? choose_globally(l, scores, o, keep, err) : rc;
}
