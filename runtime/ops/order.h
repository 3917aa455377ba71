/* SPDX-License-Identifier: Apache-2.0
 *
 * order.h: elements moved, compared and sorted without a copy of the code per element type.
 *
 * To move an element one needs its size only. To order numbers, each is turned into an unsigned integer that sorts the same way (a key): then one
 * selection, one sort and one search serve all types. NaN is above everything and equal to itself, -0 equals 0.
 */
#ifndef PT_RUNTIME_OPS_ORDER_H
#define PT_RUNTIME_OPS_ORDER_H

#include "runtime/ops/types.h"

/* Everything with a key. */
#define PT_TS_KEYED (PT_TS_NUM | PT_TS_HALF | PT_TS_BOOL)

/* One element of `size` bytes (any, but the usual ones become single moves). */
static inline void pt_move(void *to, const void *from, size_t size)
{
    switch (size) {
    case 1:
        memcpy(to, from, 1);
        break;
    case 2:
        memcpy(to, from, 2);
        break;
    case 4:
        memcpy(to, from, 4);
        break;
    case 8:
        memcpy(to, from, 8);
        break;
    case 16:
        memcpy(to, from, 16);
        break;
    default:
        memcpy(to, from, size);
    }
}

/* Element i of a tensor of indices (int32 or int64). */
static inline int64_t pt_index_at(const struct pt_tensor *t, int64_t i)
{
    return t->dtype == PT_INT64 ? ((const int64_t *)t->data)[i] : ((const int32_t *)t->data)[i];
}
/* *at <- index element i of input `input`, made non-negative; an error that names everything when it is outside [-dim, dim). */
int pt_op_index(struct pt_op_ctx *c, int input, int64_t i, int64_t dim, int axis, int64_t *at);

/* *at <- the flat place that row i of input `input` (rows of `depth` indices) names in the first `depth` of dims. */
int pt_op_coordinates(struct pt_op_ctx *c, int input, int64_t i, int depth, const int64_t *dims, int64_t *at);

/* All elements of `ix` in order, i of n; `at`: the place in `x` with the same coordinates, but 0 on `axis`, along which x steps by `stride`. */
struct pt_walk_elements {
    int64_t i, n, at, stride, pos[PT_MAX_RANK], dims[PT_MAX_RANK], steps[PT_MAX_RANK];
    int rank;
};
void pt_walk_elements_init(struct pt_walk_elements *w, const struct pt_tensor *ix, const struct pt_tensor *x, int axis);
void pt_walk_elements_next(struct pt_walk_elements *w);

/* Keys of n elements that start at `first` and lie `step` apart. */
void pt_order_keys(const struct pt_tensor *t, int64_t first, int64_t step, int64_t n, uint64_t *keys);
/* Order of elements i of a and j of b, of one type: numbers by key, strings by bytes, complex numbers by real, then imaginary part. */
int pt_elem_compare(const struct pt_tensor *a, int64_t i, const struct pt_tensor *b, int64_t j);

/* Sorts n numbers so that compare(arg, before, after) <= 0, keeping the order of equals; tmp has room for n. */
typedef int (*pt_compare_fn)(const void *arg, int64_t a, int64_t b);
void pt_sort(int64_t *items, int64_t *tmp, int64_t n, pt_compare_fn compare, const void *arg);

#endif
