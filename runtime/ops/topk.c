/* SPDX-License-Identifier: Apache-2.0
 *
 * topk.c: TopK: the k largest or smallest along an axis, best first; of equal ones the lower index comes first. NaN counts as the largest.
 *
 * Elements become keys (order.h), inverted for the largest, so that less is better. A heap of the k best seen so far, worst on top, takes
 * O(n log k), and sorting it gives the order. Before opset 10 k is an attribute; before 11 only the largest are sought.
 */
#include "runtime/ops/order.h"

struct topk {
    int axis;
    int64_t largest;
};

struct ranked {
    uint64_t key;
    int64_t index;
};

static int read_k(struct pt_op_ctx *c, int64_t *k)
{
    int n = 0;
    if (c->node->version >= 10) {
        int rc = pt_op_const_ints(c, 1, "K", k, 1, &n);
        return rc < 0 || n == 1 ? rc : pt_op_fail(c, PT_EINVAL, "input 1 (K) must be one value");
    }
    if (!pt_node_attr(c->node, "k"))
        return pt_op_fail(c, PT_EINVAL, "attribute 'k' is missing");
    return pt_attr_int(c, "k", 0, 0, INT64_MAX, k);
}

static int topk_infer(struct pt_op_ctx *c)
{
    struct topk *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int64_t axis, k, dims[PT_MAX_RANK], sorted;
    int rc;
    p->largest = 1;
    if ((rc = pt_attr_int(c, "axis", -1, INT32_MIN, INT32_MAX, &axis)) < 0 ||
        (rc = pt_op_axis(c, "attribute 'axis'", axis, x->rank, false, &p->axis)) < 0 || (rc = read_k(c, &k)) < 0)
        return rc;
    if (c->node->version >= 11 &&
        ((rc = pt_attr_int(c, "largest", 1, 0, 1, &p->largest)) < 0 || (rc = pt_attr_int(c, "sorted", 1, 0, 1, &sorted)) < 0))
        return rc;
    if (k < 0 || k > x->dims[p->axis])
        return pt_op_fail(c, PT_EINVAL, "k = %lld is outside 0 to %lld, the size of axis %d", (long long)k, (long long)x->dims[p->axis], p->axis);
    memcpy(dims, x->dims, sizeof dims);
    dims[p->axis] = k;
    pt_op_set_out(c, 0, x->dtype, x->rank, dims);
    pt_op_set_out(c, 1, PT_INT64, x->rank, dims);
    c->scratch_bytes = (size_t)x->dims[p->axis] * sizeof(uint64_t) + (size_t)k * sizeof(struct ranked);
    return PT_OK;
}

static bool worse(const struct ranked *a, const struct ranked *b)
{
    return a->key > b->key || (a->key == b->key && a->index > b->index);
}

/* heap[at] sinks to where both below it are better. */
static void sink(struct ranked *heap, int64_t n, int64_t at)
{
    struct ranked moving = heap[at];
    for (int64_t kid; (kid = 2 * at + 1) < n; at = kid) {
        kid += kid + 1 < n && worse(&heap[kid + 1], &heap[kid]);
        if (!worse(&heap[kid], &moving))
            break;
        heap[at] = heap[kid];
    }
    heap[at] = moving;
}

/* best[0..k) <- the k least of n keys, in order. */
static void select_best(const uint64_t *keys, int64_t n, int64_t k, struct ranked *best)
{
    for (int64_t i = 0; i < k; i++)
        best[i] = (struct ranked){keys[i], i};
    for (int64_t i = k / 2 - 1; i >= 0; i--)
        sink(best, k, i);
    for (int64_t i = k; k && i < n; i++)
        if (keys[i] < best[0].key) { /* an equal one has a higher index: worse */
            best[0] = (struct ranked){keys[i], i};
            sink(best, k, 0);
        }
    for (int64_t end = k - 1; end > 0; end--) {
        struct ranked worst = best[0];
        best[0] = best[end];
        best[end] = worst;
        sink(best, end, 0);
    }
}

static int topk_run(struct pt_op_ctx *c)
{
    const struct topk *p = c->params;
    const struct pt_tensor *x = c->in[0], *values = c->out[0], *indices = c->out_count > 1 ? c->out[1] : NULL;
    const struct pt_tensor *y = values ? values : indices;
    int64_t n = x->dims[p->axis], k = y->dims[p->axis];
    int64_t outer = pt_dims_product(x->dims, p->axis), inner = pt_dims_product(x->dims + p->axis + 1, x->rank - p->axis - 1);
    size_t size = pt_dtype_size(x->dtype);
    uint64_t *keys = c->scratch;
    struct ranked *best = (struct ranked *)(void *)(keys + n);
    for (int64_t row = 0; n && row < outer * inner; row++) {
        int64_t from = row / inner * n * inner + row % inner, to = row / inner * k * inner + row % inner;
        pt_order_keys(x, from, inner, n, keys);
        for (int64_t i = 0; p->largest && i < n; i++)
            keys[i] = ~keys[i];
        select_best(keys, n, k, best);
        for (int64_t i = 0; i < k; i++) {
            if (values)
                pt_move((char *)values->data + (size_t)(to + i * inner) * size, (const char *)x->data + (size_t)(from + best[i].index * inner) * size,
                        size);
            if (indices)
                ((int64_t *)indices->data)[to + i * inner] = best[i].index;
        }
    }
    return PT_OK;
}

const struct pt_op pt_op_topk = {.type = "TopK",
                                 .since = {1, 10, 11, 24},
                                 .min_in = 1,
                                 .max_in = 2,
                                 .max_out = 2,
                                 .types = {PT_TS_NUM | PT_TS_HALF, PT_T(PT_INT64)},
                                 .params_size = sizeof(struct topk),
                                 .infer = topk_infer,
                                 .run = topk_run};
