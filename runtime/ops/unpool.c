/* SPDX-License-Identifier: Apache-2.0
 *
 * unpool.c: MaxUnpool: maxima go back to where the indices say, everything else is 0. Indices count in the image that the attributes give; with an
 * explicit output shape that image is its first corner.
 */
#include "runtime/ops/window.h"

static int unpool_infer(struct pt_op_ctx *c)
{
    struct pt_window *w = c->params;
    const struct pt_tensor *x = c->in[0], *at = c->in[1];
    int64_t dims[PT_MAX_RANK];
    enum pt_auto_pad kind;
    int n, rc;
    w->axes = x->rank - 2;
    if (x->rank < 3 || w->axes > PT_WINDOW_AXES || !pt_dims_equal(x, at))
        return pt_op_fail(c, PT_EINVAL, "input %s and indices %s must have one shape, of rank 3 to %d", PT_SHAPE(x), PT_SHAPE(at),
                          PT_WINDOW_AXES + 2);
    if ((rc = pt_attr_ints(c, "kernel_shape", 1, INT32_MAX, w->kernel, w->axes, &n)) < 0)
        return rc;
    if (n != w->axes)
        return pt_op_fail(c, PT_EINVAL, "attribute 'kernel_shape' has %d values, needs %d", n < 0 ? 0 : n, w->axes);
    for (int i = 0; i < w->axes; i++)
        w->in[i] = w->out[i] = x->dims[i + 2];
    if ((rc = pt_window_read(c, w, &kind)) < 0 || (rc = pt_op_const_ints(c, 2, "output_shape", dims, PT_MAX_RANK, &n)) < 0)
        return rc;
    if (n >= 0 && n != x->rank)
        return pt_op_fail(c, PT_EINVAL, "input 2 (output_shape) has %d values, needs %d", n, x->rank);
    for (int i = 0; i < x->rank; i++) {
        int64_t want = i < 2 ? x->dims[i] : (x->dims[i] - 1) * w->stride[i - 2] - w->pad[i - 2] - w->pad_end[i - 2] + w->kernel[i - 2];
        if (want < 0 || (n >= 0 && dims[i] < want))
            return pt_op_fail(c, PT_EINVAL, "axis %d of the output would have %lld elements, the image has %lld", i,
                              (long long)(n < 0 ? want : dims[i]), (long long)want);
        if (n < 0)
            dims[i] = want;
        if (i >= 2)
            w->in[i - 2] = want;
    }
    pt_op_set_out(c, 0, x->dtype, x->rank, dims);
    return PT_OK;
}

static int unpool_run(struct pt_op_ctx *c)
{
    const struct pt_window *w = c->params;
    const struct pt_tensor *x = c->in[0], *y = c->out[0];
    const int64_t *at = c->in[1]->data;
    size_t size = pt_dtype_size(x->dtype);
    int64_t n = pt_tensor_count(x), image = x->dims[0] * x->dims[1] * pt_dims_product(w->in, w->axes);
    if (y->size_bytes)
        memset(y->data, 0, y->size_bytes);
    for (int64_t i = 0; i < n; i++) {
        int64_t rest = at[i], to = 0, stride = 1;
        if (rest < 0 || rest >= image)
            return pt_op_fail(c, PT_EINVAL, "index %lld is outside the image of %lld", (long long)rest, (long long)image);
        for (int a = x->rank - 1; a >= 0; a--) {
            int64_t d = a < 2 ? x->dims[a] : w->in[a - 2];
            to += rest % d * stride;
            rest /= d;
            stride *= y->dims[a];
        }
        memcpy((char *)y->data + (size_t)to * size, (const char *)x->data + (size_t)i * size, size);
    }
    return PT_OK;
}

const struct pt_op pt_op_max_unpool = {.type = "MaxUnpool",
                                       .since = {9, 11, 22},
                                       .min_in = 2,
                                       .max_in = 3,
                                       .max_out = 1,
                                       .types = {PT_TS_REAL, PT_T(PT_INT64), PT_T(PT_INT64)},
                                       .params_size = sizeof(struct pt_window),
                                       .infer = unpool_infer,
                                       .run = unpool_run};
