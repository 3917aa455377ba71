/* SPDX-License-Identifier: Apache-2.0
 *
 * crop.c: CenterCropPad: the middle of the input, or the input in the middle of zeros, axis by axis.
 */
#include "runtime/ops/types.h"

struct crop {
    int64_t from[PT_MAX_RANK], to[PT_MAX_RANK], count[PT_MAX_RANK]; /* what is copied: first element of the input, of the output, how many */
};

static int crop_infer(struct pt_op_ctx *c)
{
    struct crop *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int64_t sizes[PT_MAX_RANK], axes[PT_MAX_RANK], dims[PT_MAX_RANK];
    int n, given, rc;
    if ((rc = pt_op_const_ints(c, 1, "shape", sizes, PT_MAX_RANK, &n)) < 0 ||
        (rc = pt_attr_ints(c, "axes", INT32_MIN, INT32_MAX, axes, PT_MAX_RANK, &given)) < 0)
        return rc;
    if (n != (given < 0 ? x->rank : given))
        return pt_op_fail(c, PT_EINVAL, "%d sizes for %d axes", n, given < 0 ? x->rank : given);
    for (int i = 0; i < x->rank; i++) {
        p->from[i] = p->to[i] = 0;
        p->count[i] = dims[i] = x->dims[i];
    }
    for (int k = 0; k < n; k++) {
        int a;
        if ((rc = pt_op_axis(c, "attribute 'axes'", given < 0 ? k : axes[k], x->rank, false, &a)) < 0)
            return rc;
        if (sizes[k] < 0)
            return pt_op_fail(c, PT_EINVAL, "size %d is %lld", k, (long long)sizes[k]);
        int64_t in = x->dims[a];
        dims[a] = sizes[k];
        p->from[a] = in > sizes[k] ? (in - sizes[k]) / 2 : 0;
        p->to[a] = in < sizes[k] ? (sizes[k] - in) / 2 : 0;
        p->count[a] = in < sizes[k] ? in : sizes[k];
    }
    pt_op_set_out(c, 0, x->dtype, x->rank, dims);
    return PT_OK;
}

static int crop_run(struct pt_op_ctx *c)
{
    const struct crop *p = c->params;
    const struct pt_tensor *x = c->in[0], *y = c->out[0];
    size_t size = pt_dtype_size(x->dtype);
    int last = x->rank - 1;
    if (x->rank == 0) {
        memcpy(y->data, x->data, size);
        return PT_OK;
    }
    if (y->size_bytes)
        memset(y->data, 0, y->size_bytes);
    int64_t rows = p->count[last] ? pt_dims_product(p->count, last) : 0;
    for (int64_t r = 0; r < rows; r++) {
        int64_t rest = r, from = p->from[last], to = p->to[last], xs = x->dims[last], ys = y->dims[last];
        for (int a = last - 1; a >= 0; a--) {
            int64_t i = rest % p->count[a];
            rest /= p->count[a];
            from += (p->from[a] + i) * xs;
            to += (p->to[a] + i) * ys;
            xs *= x->dims[a];
            ys *= y->dims[a];
        }
        memcpy((char *)y->data + (size_t)to * size, (const char *)x->data + (size_t)from * size, (size_t)p->count[last] * size);
    }
    return PT_OK;
}

const struct pt_op pt_op_center_crop_pad = {.type = "CenterCropPad",
                                            .since = {18},
                                            .min_in = 2,
                                            .max_in = 2,
                                            .max_out = 1,
                                            .types = {PT_TS_BYTES, PT_TS_INDEX},
                                            .params_size = sizeof(struct crop),
                                            .infer = crop_infer,
                                            .run = crop_run};
