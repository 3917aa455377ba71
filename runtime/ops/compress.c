/* SPDX-License-Identifier: Apache-2.0
 *
 * compress.c: NonZero and Compress: what they find decides how much they give, so infer counts and run writes.
 */
#include "runtime/ops/order.h"

/* --- NonZero: coordinates of all elements that are not zero, one column each --------------------------------------------------------- */

/* mask[i] <- is element first + i not zero. Zero has one key in every type, -0 too. */
static void find_nonzero(const struct pt_tensor *x, int64_t first, int64_t n, bool mask[PT_BLOCK])
{
    static const uint64_t none[2];
    const struct pt_tensor zero = {.dtype = x->dtype, .data = (void *)(uintptr_t)none};
    uint64_t keys[PT_BLOCK], zero_key;
    if (!(PT_TS_KEYED & PT_T(x->dtype))) {
        for (int64_t i = 0; i < n; i++)
            mask[i] = x->dtype == PT_STRING ? ((const struct pt_string *)x->data)[first + i].len != 0 : pt_elem_compare(x, first + i, &zero, 0) != 0;
        return;
    }
    pt_order_keys(&zero, 0, 1, 1, &zero_key);
    pt_order_keys(x, first, 1, n, keys);
    for (int64_t i = 0; i < n; i++)
        mask[i] = keys[i] != zero_key;
}

static int nonzero_infer(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0];
    int64_t n = pt_tensor_count(x), dims[2] = {x->rank, 0};
    bool mask[PT_BLOCK];
    if (!x->data && n)
        return pt_op_needs_data(c, 0, "X");
    for (int64_t at = 0; at < n; at += PT_BLOCK) {
        int64_t m = n - at < PT_BLOCK ? n - at : PT_BLOCK;
        find_nonzero(x, at, m, mask);
        for (int64_t i = 0; i < m; i++)
            dims[1] += mask[i];
    }
    pt_op_set_out(c, 0, PT_INT64, 2, dims);
    return PT_OK;
}

static int nonzero_run(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0];
    int64_t n = pt_tensor_count(x), columns = c->out[0]->dims[1], *y = c->out[0]->data, k = 0;
    bool mask[PT_BLOCK];
    for (int64_t at = 0; at < n; at += PT_BLOCK) {
        int64_t m = n - at < PT_BLOCK ? n - at : PT_BLOCK;
        find_nonzero(x, at, m, mask);
        for (int64_t i = 0; i < m && k < columns; i++) {
            if (!mask[i])
                continue;
            for (int64_t a = x->rank - 1, rest = at + i; a >= 0; a--) {
                y[a * columns + k] = rest % x->dims[a];
                rest /= x->dims[a];
            }
            k++;
        }
    }
    return PT_OK;
}

const struct pt_op pt_op_nonzero = {
    .type = "NonZero", .since = {9, 13}, .min_in = 1, .max_in = 1, .max_out = 1, .types = {PT_TS_BYTES}, .infer = nonzero_infer, .run = nonzero_run};

/* --- Compress: slices (or elements, without an axis) whose condition holds ------------------------------------------------------------- */

struct compress {
    bool flat;
    int axis;
    int64_t length; /* conditions that count: they may be fewer than there are slices, more mean nothing */
};

static int compress_infer(struct pt_op_ctx *c)
{
    struct compress *p = c->params;
    const struct pt_tensor *x = c->in[0], *cond = c->in[1];
    int64_t axis, dims[PT_MAX_RANK], kept = 0, all = pt_tensor_count(x);
    int rc = pt_attr_int(c, "axis", 0, INT32_MIN, INT32_MAX, &axis);
    p->flat = !pt_node_attr(c->node, "axis");
    if (rc < 0 || (!p->flat && (rc = pt_op_axis(c, "attribute 'axis'", axis, x->rank, false, &p->axis)) < 0))
        return rc;
    if (cond->rank != 1)
        return pt_op_fail(c, PT_EINVAL, "input 1 (condition) is %s, must have rank 1", PT_SHAPE(cond));
    if (!cond->data && cond->dims[0])
        return pt_op_needs_data(c, 1, "condition");
    p->length = p->flat ? all : x->dims[p->axis];
    p->length = cond->dims[0] < p->length ? cond->dims[0] : p->length;
    for (int64_t i = 0; i < p->length; i++)
        kept += ((const uint8_t *)cond->data)[i] != 0;
    if (p->flat) {
        pt_op_set_out(c, 0, x->dtype, 1, &kept);
        return PT_OK;
    }
    memcpy(dims, x->dims, sizeof dims);
    dims[p->axis] = kept;
    pt_op_set_out(c, 0, x->dtype, x->rank, dims);
    return PT_OK;
}

static int compress_run(struct pt_op_ctx *c)
{
    const struct compress *p = c->params;
    const struct pt_tensor *x = c->in[0];
    const uint8_t *cond = c->in[1]->data;
    size_t inner = pt_dtype_size(x->dtype) * (size_t)(p->flat ? 1 : pt_dims_product(x->dims + p->axis + 1, x->rank - p->axis - 1));
    int64_t outer = p->flat ? 1 : pt_dims_product(x->dims, p->axis), dim = p->flat ? pt_tensor_count(x) : x->dims[p->axis];
    char *y = c->out[0]->data;
    for (int64_t o = 0; inner && o < outer; o++)
        for (int64_t i = 0; i < p->length; i++)
            if (cond[i]) {
                pt_move(y, (const char *)x->data + (size_t)(o * dim + i) * inner, inner);
                y += inner;
            }
    return PT_OK;
}

const struct pt_op pt_op_compress = {.type = "Compress",
                                     .since = {9, 11},
                                     .min_in = 2,
                                     .max_in = 2,
                                     .max_out = 1,
                                     .types = {PT_TS_BYTES, PT_TS_BOOL},
                                     .params_size = sizeof(struct compress),
                                     .infer = compress_infer,
                                     .run = compress_run};
