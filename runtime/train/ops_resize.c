/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_resize.c: the derivative of Resize between elements (linear, cubic). Resize is a sum with fixed weights along each axis, one axis after the
 * other; its derivative takes the axes in the opposite order and the tables of taps the other way round.
 */
#include "runtime/train/ops.h"

#include "runtime/ops/resize.h"

/* in: dy, x or its like, then the operands of Resize from the second on */
static int back_infer(struct pt_op_ctx *c)
{
    const struct pt_tensor *dy = c->in[0], *x = c->in[1];
    struct pt_tensor y = {0};
    struct pt_tensor *const out[] = {&y};
    struct pt_op_ctx resize = *c;
    resize.in = c->in + 1;
    resize.in_count = c->in_count - 1;
    resize.out = out;
    resize.out_count = 1;
    int rc = pt_resize_infer(&resize);
    c->needs_data = resize.needs_data;
    c->scratch_bytes = resize.scratch_bytes;
    if (rc < 0)
        return rc;
    if (dy->rank != y.rank || memcmp(dy->dims, y.dims, (size_t)y.rank * sizeof *y.dims) != 0)
        return pt_op_fail(c, PT_EINVAL, "%s is not what Resize gives of %s", PT_SHAPE(dy), PT_SHAPE(x));
    pt_op_like(c, 0, x);
    return PT_OK;
}

static int back_run(struct pt_op_ctx *c)
{
    const struct pt_resize *p = c->params;
    const struct pt_tensor *x = c->in[1], *dx = c->out[0];
    struct pt_tensor dy = *c->in[0];
    struct pt_taps taps[PT_MAX_RANK];
    bool *outside[PT_MAX_RANK];
    char *scratch = c->scratch, *buffers[2] = {scratch, scratch + p->work_bytes};
    int64_t dims[PT_MAX_RANK];
    int turn = 1;
    if (pt_tensor_count(&dy) == 0 || x->rank == 0) {
        memcpy(dx->data, dy.data, dy.size_bytes);
        memset((char *)dx->data + dy.size_bytes, 0, dx->size_bytes - dy.size_bytes);
        return PT_OK;
    }
    bool some = pt_resize_tables(p, x, &dy, scratch + 2 * p->work_bytes, taps, outside);
    memcpy(buffers[0], dy.data, dy.size_bytes);
    dy.data = buffers[0];
    if (some)
        pt_resize_extrapolate(&dy, outside, 0); /* what came from outside came from no element */
    memcpy(dims, dy.dims, sizeof dims);
    for (int a = 0; a < x->rank; a++) {
        if (!p->changes[a])
            continue;
        pt_resample_back(&taps[a], dy.dtype, pt_dims_product(dims, a), pt_dims_product(dims + a + 1, x->rank - a - 1), dy.data, buffers[turn],
                         c->threads);
        dy.data = buffers[turn];
        turn = !turn;
        dims[a] = x->dims[a];
    }
    memcpy(dx->data, dy.data, dx->size_bytes);
    return PT_OK;
}

const struct pt_op pt_grad_resize = {.type = "ResizeGrad",
                                     .since = {1},
                                     .min_in = 2,
                                     .max_in = 5,
                                     .max_out = 1,
                                     .types = {PT_TS_FLOAT, PT_TS_FLOAT, PT_TS_REAL | PT_TS_INDEX},
                                     .flags = PT_OP_MAY_LACK,
                                     .params_size = sizeof(struct pt_resize),
                                     .infer = back_infer,
                                     .run = back_run};
