/* SPDX-License-Identifier: Apache-2.0
 *
 * tensor_scatter.c: TensorScatter: a cache with new entries written from an index per batch on, around its end in circular mode.
 */
#include "runtime/ops/types.h"

struct scatter {
    int axis, circular;
};

static int scatter_infer(struct pt_op_ctx *c)
{
    static const char *const modes[] = {"linear", "circular", NULL};
    struct scatter *p = c->params;
    const struct pt_tensor *x = c->in[0], *u = c->in[1], *at = pt_op_in(c, 2);
    int64_t axis;
    int rc;
    if ((rc = pt_attr_choice(c, "mode", modes, 0, &p->circular)) < 0 || (rc = pt_attr_int(c, "axis", -2, INT32_MIN, INT32_MAX, &axis)) < 0 ||
        (rc = pt_op_axis(c, "attribute 'axis'", axis, x->rank, false, &p->axis)) < 0)
        return rc;
    bool fits = p->axis > 0 && u->rank == x->rank && u->dtype == x->dtype && u->dims[p->axis] <= x->dims[p->axis];
    for (int i = 0; fits && i < x->rank; i++)
        fits = i == p->axis || u->dims[i] == x->dims[i];
    if (!fits)
        return pt_op_fail(c, PT_EINVAL, "update %s does not fit cache %s along axis %d", PT_SHAPE(u), PT_SHAPE(x), p->axis);
    if (at && (at->rank != 1 || at->dims[0] != x->dims[0]))
        return pt_op_fail(c, PT_EINVAL, "input 2 (write_indices) is %s, must be int64[%lld]", PT_SHAPE(at), (long long)x->dims[0]);
    return pt_infer_same(c);
}

/* n elements; types below a byte one by one. */
static void copy(struct pt_tensor *y, int64_t to, const struct pt_tensor *x, int64_t from, int64_t n)
{
    size_t size = pt_dtype_size(y->dtype);
    if (size)
        memcpy((char *)y->data + (size_t)to * size, (const char *)x->data + (size_t)from * size, (size_t)n * size);
    for (int64_t i = 0; !size && i < n; i++)
        pt_copy_elem(y, to + i, x, from + i);
}

static int scatter_run(struct pt_op_ctx *c)
{
    const struct scatter *p = c->params;
    const struct pt_tensor *x = c->in[0], *u = c->in[1], *at = pt_op_in(c, 2);
    struct pt_tensor *y = c->out[0];
    int64_t room = x->dims[p->axis], n = u->dims[p->axis], outer = pt_dims_product(x->dims, p->axis), batch = x->dims[0];
    int64_t inner = pt_dims_product(x->dims + p->axis + 1, x->rank - p->axis - 1);
    if (y->data != x->data && y->size_bytes)
        memcpy(y->data, x->data, y->size_bytes);
    for (int64_t o = 0; o < outer; o++) {
        int64_t first = at ? ((const int64_t *)at->data)[o / (outer / batch)] : 0;
        if (first < 0 || (!p->circular && first > room - n))
            return pt_op_fail(c, PT_EINVAL, "%lld entries written from %lld on do not fit %lld", (long long)n, (long long)first, (long long)room);
        for (int64_t i = 0; inner && i < n; i++)
            copy(y, (o * room + (first % room + i) % room) * inner, u, (o * n + i) * inner, inner);
    }
    return PT_OK;
}

const struct pt_op pt_op_tensor_scatter = {.type = "TensorScatter",
                                           .since = {24},
                                           .min_in = 2,
                                           .max_in = 3,
                                           .max_out = 1,
                                           .types = {PT_TS_ANY, PT_TS_ANY, PT_T(PT_INT64)},
                                           .params_size = sizeof(struct scatter),
                                           .infer = scatter_infer,
                                           .run = scatter_run};
