/* SPDX-License-Identifier: Apache-2.0
 *
 * transpose.c: Transpose; without `perm` the axes are reversed.
 */
#include "runtime/ops/transpose.h"

#include "runtime/ops/types.h"

static int transpose_infer(struct pt_op_ctx *c)
{
    struct pt_transpose_params *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int64_t perm[PT_MAX_RANK], dims[PT_MAX_RANK];
    bool seen[PT_MAX_RANK] = {0};
    int n, rc = pt_attr_ints(c, "perm", -PT_MAX_RANK, PT_MAX_RANK, perm, PT_MAX_RANK, &n);
    if (rc < 0)
        return rc;
    if (n >= 0 && n != x->rank)
        return pt_op_fail(c, PT_EINVAL, "attribute 'perm' has %d values, the input is %s", n, PT_SHAPE(x));
    for (int i = 0; i < x->rank; i++) {
        if ((rc = pt_op_axis(c, "attribute 'perm'", n < 0 ? x->rank - 1 - i : perm[i], x->rank, false, &p->perm[i])) < 0)
            return rc;
        if (seen[p->perm[i]])
            return pt_op_fail(c, PT_EINVAL, "attribute 'perm' names axis %d twice", p->perm[i]);
        seen[p->perm[i]] = true;
        dims[i] = x->dims[p->perm[i]];
    }
    pt_op_set_out(c, 0, x->dtype, x->rank, dims);
    return PT_OK;
}

static int transpose_run(struct pt_op_ctx *c)
{
    const struct pt_transpose_params *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int64_t in_stride[PT_MAX_RANK], stride[PT_MAX_RANK], s = 1;
    const int64_t *rows[1] = {stride};
    struct pt_bcast w;
    size_t size = pt_dtype_size(x->dtype);
    char *y = c->out[0]->data;
    for (int i = x->rank - 1; i >= 0; i--) {
        in_stride[i] = s;
        s *= x->dims[i];
    }
    for (int i = 0; i < x->rank; i++)
        stride[i] = in_stride[p->perm[i]];
    pt_bcast_init_strided(&w, c->out[0], 1, rows);
    for (int64_t r = 0; r < w.rows; r++) {
        int64_t off[PT_BCAST_MAX];
        pt_bcast_row(&w, r, off);
        for (int64_t i = 0; size && i < w.n; i++, y += size)
            memcpy(y, (const char *)x->data + (size_t)(off[0] + i * w.step[0]) * size, size);
        for (int64_t i = 0; !size && i < w.n; i++) /* types below a byte */
            pt_copy_elem(c->out[0], r * w.n + i, x, off[0] + i * w.step[0]);
    }
    return PT_OK;
}

const struct pt_op pt_op_transpose = {.type = "Transpose",
                                      .since = {1, 13, 21, 23, 24, 25},
                                      .min_in = 1,
                                      .max_in = 1,
                                      .max_out = 1,
                                      .types = {PT_TS_ANY},
                                      .params_size = sizeof(struct pt_transpose_params),
                                      .infer = transpose_infer,
                                      .run = transpose_run};
