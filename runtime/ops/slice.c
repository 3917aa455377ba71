/* SPDX-License-Identifier: Apache-2.0
 *
 * slice.c: Slice: starts, ends, axes and steps as numpy has them. Attributes before opset 10 (no steps), inputs from then on.
 */
#include "runtime/ops/order.h"

struct slice {
    int64_t start[PT_MAX_RANK], step[PT_MAX_RANK];
};

static int read_list(struct pt_op_ctx *c, int input, const char *name, int64_t *out, int *n)
{
    if (c->node->version < 10)
        return pt_attr_ints(c, name, INT64_MIN, INT64_MAX, out, PT_MAX_RANK, n);
    return pt_op_const_ints(c, input, name, out, PT_MAX_RANK, n);
}

static int64_t clamp(int64_t v, int64_t lo, int64_t hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

static int slice_infer(struct pt_op_ctx *c)
{
    struct slice *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int64_t starts[PT_MAX_RANK], ends[PT_MAX_RANK], axes[PT_MAX_RANK], steps[PT_MAX_RANK], dims[PT_MAX_RANK];
    bool seen[PT_MAX_RANK] = {0};
    int ns, ne, na, nt = -1, rc;
    if ((rc = read_list(c, 1, "starts", starts, &ns)) < 0 || (rc = read_list(c, 2, "ends", ends, &ne)) < 0 ||
        (rc = read_list(c, 3, "axes", axes, &na)) < 0 || (c->node->version >= 10 && (rc = read_list(c, 4, "steps", steps, &nt)) < 0))
        return rc;
    if (ns < 0 || ne != ns || (na >= 0 && na != ns) || (nt >= 0 && nt != ns) || (na < 0 && ns > x->rank))
        return pt_op_fail(c, PT_EINVAL, "starts, ends, axes and steps have %d, %d, %d and %d values for an input of rank %d", ns, ne, na, nt,
                          x->rank);
    for (int i = 0; i < x->rank; i++) {
        p->start[i] = 0;
        p->step[i] = 1;
        dims[i] = x->dims[i];
    }
    for (int k = 0; k < ns; k++) {
        int a;
        if ((rc = pt_op_axis(c, "axis", na < 0 ? k : axes[k], x->rank, false, &a)) < 0)
            return rc;
        int64_t step = nt < 0 ? 1 : steps[k], d = x->dims[a], s = starts[k], e = ends[k];
        if (seen[a])
            return pt_op_fail(c, PT_EINVAL, "axis %d is given twice", a);
        if (step == 0 || step == INT64_MIN)
            return pt_op_fail(c, PT_EINVAL, "the step of axis %d is %lld, must be another number than 0", a, (long long)step);
        seen[a] = true;
        s = s < 0 ? s + d : s;
        e = e < 0 ? e + d : e;
        s = step > 0 ? clamp(s, 0, d) : clamp(s, 0, d - 1);
        e = step > 0 ? clamp(e, 0, d) : clamp(e, -1, d - 1);
        int64_t span = step > 0 ? e - s : s - e, size = step > 0 ? step : -step;
        dims[a] = d == 0 || span <= 0 ? 0 : (span - 1) / size + 1;
        p->start[a] = s;
        p->step[a] = step;
    }
    pt_op_set_out(c, 0, x->dtype, x->rank, dims);
    return PT_OK;
}

static int slice_run(struct pt_op_ctx *c)
{
    const struct slice *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int64_t stride[PT_MAX_RANK], s = 1, base = 0;
    const int64_t *rows[1] = {stride};
    size_t size = pt_dtype_size(x->dtype);
    char *y = c->out[0]->data;
    struct pt_bcast w;
    if (pt_tensor_count(c->out[0]) == 0)
        return PT_OK;
    for (int i = x->rank - 1; i >= 0; i--) {
        stride[i] = c->out[0]->dims[i] > 1 ? s * p->step[i] : 0;
        base += p->start[i] * s;
        s *= x->dims[i];
    }
    pt_bcast_init_strided(&w, c->out[0], 1, rows);
    for (int64_t r = 0; r < w.rows; r++) {
        int64_t off[PT_BCAST_MAX];
        pt_bcast_row(&w, r, off);
        const char *src = (const char *)x->data + (size_t)(base + off[0]) * size;
        if (w.step[0] == 1) {
            memcpy(y, src, (size_t)w.n * size);
            y += (size_t)w.n * size;
            continue;
        }
        for (int64_t i = 0; i < w.n; i++, y += size)
            pt_move(y, src + (int64_t)size * i * w.step[0], size);
    }
    return PT_OK;
}

const struct pt_op pt_op_slice = {.type = "Slice",
                                  .since = {1, 10, 11, 13},
                                  .min_in = 1,
                                  .max_in = 5,
                                  .max_out = 1,
                                  .types = {PT_TS_BYTES, PT_TS_INDEX},
                                  .params_size = sizeof(struct slice),
                                  .infer = slice_infer,
                                  .run = slice_run};
